import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ServiceManager, type ServiceManagerShape } from "../../../src/node/ServiceManager.ts"
import { ServiceError } from "../../../src/node/ServiceSettings.ts"
import * as CommandLine from "./CommandLine.ts"

/** Service managers that only note what they were asked for. */
const noting = (answers: Partial<ServiceManagerShape> = {}) => {
  const requests: Array<unknown> = []
  const plan = {
    steps: [{ _tag: "Run" as const, command: "systemctl", args: ["daemon-reload"], mayFail: false }],
    notes: ["the configuration is /etc/x.yaml"]
  }
  const asked = (request: unknown) =>
    Effect.sync(() => {
      requests.push(request)
      return plan
    })
  const services: ServiceManagerShape = {
    install: asked,
    uninstall: asked,
    status: () => Effect.succeed({ state: "Running", startsAtBoot: true, pid: 7, text: "12 connections" }),
    ...answers
  }
  return {
    requests,
    run: (...args: ReadonlyArray<string>) =>
      Effect.provideService(CommandLine.run(["service", ...args]), ServiceManager, ServiceManager.of(services))
  }
}

describe("effect-rtmp service", () => {
  it.effect("installs with what the flags say, and the commented configuration", () =>
    Effect.gen(function* () {
      const { requests, run } = noting()
      const { out } = yield* run(
        ...["install", "--dry-run", "--instance", "studio", "--scope", "user", "--account", "media"],
        ...[
          "--env",
          "A=1",
          "--env",
          "B=2",
          "--node-arg=--max-old-space-size=512",
          "--low-ports",
          "--socket-port",
          "1935"
        ]
      )
      assert.strictEqual(out, "run systemctl daemon-reload\nnote: the configuration is /etc/x.yaml")
      const { configText, ...request } = requests[0] as Record<string, unknown>
      assert.deepStrictEqual(request, {
        instance: "studio",
        scope: "user",
        dryRun: true,
        configPath: undefined,
        user: "media",
        env: { A: "1", B: "2" },
        nodeArgs: ["--max-old-space-size=512"],
        lowPorts: true,
        socketPort: 1935,
        wrapper: undefined
      })
      assert.match(
        String(configText),
        /^# yaml-language-server: \$schema=\S+effect-rtmp\.schema\.json\n[\s\S]*#port: 1935/
      )
    })
  )

  it.effect("says what was done, and what to know", () =>
    Effect.gen(function* () {
      const { run } = noting()
      assert.strictEqual(
        (yield* run("install")).out,
        "the service is installed\nnote: the configuration is /etc/x.yaml"
      )
      assert.strictEqual(
        (yield* run("uninstall")).out,
        "the service is removed\nnote: the configuration is /etc/x.yaml"
      )
      assert.strictEqual(JSON.parse((yield* run("uninstall", "--dry-run", "--json")).out).steps.length, 1)
    })
  )

  it.effect("tells the state, with the exit status 0 only for a service that runs", () =>
    Effect.gen(function* () {
      const running = yield* noting().run("status", "--instance", "studio")
      assert.deepStrictEqual(
        [running.status, running.out],
        [0, "effect-rtmp-studio runs, process 7, starts at boot, 12 connections"]
      )
      const stopped = noting({
        status: () => Effect.succeed({ state: "Stopped", startsAtBoot: undefined, pid: undefined, text: "" })
      })
      const { out, status } = yield* stopped.run("status", "--json")
      assert.deepStrictEqual(JSON.parse(out), {
        name: "effect-rtmp",
        state: "Stopped",
        startsAtBoot: null,
        pid: null,
        text: ""
      })
      assert.strictEqual(status, 1)
    })
  )

  it.effect.each([
    ["PermissionDenied", 77],
    ["Unsupported", 69],
    ["InvalidSetting", 2],
    ["CommandFailed", 1]
  ] as const)("ends with its own status where it fails by %s", ([reason, expected]) =>
    Effect.gen(function* () {
      const failing = noting({ install: () => Effect.fail(new ServiceError({ reason, detail: "what to do" })) })
      const { error, status } = yield* failing.run("install")
      assert.deepStrictEqual([status, error], [expected, "what to do"])
    })
  )

  it.effect("refuses flags that make no sense", () =>
    Effect.gen(function* () {
      const { requests, run } = noting()
      assert.strictEqual((yield* run("install", "--socket-port", "70000")).status, 2)
      assert.strictEqual((yield* run("install", "--scope", "mine")).status, 2)
      assert.strictEqual((yield* run("instal")).status, 2)
      assert.deepStrictEqual(requests, [])
    })
  )
})
