import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as ServeArguments from "../../../src/node/cli/ServeArguments.ts"
import * as ServeConfig from "../../../src/node/cli/ServeConfig.ts"
import * as CommandLine from "./CommandLine.ts"

const plain: ReadonlyArray<ReadonlyArray<string>> = [
  [],
  ["serve"],
  ["--config", "a.yaml"],
  ["--config=a.yaml", "--profile=mobile"],
  ["serve", "--log-level", "debug", "--profile", "desktop"],
  ["serve", "--set", "listen.port=1936", "--set=log.level=debug", "--set", "instance.name="]
]

const others: ReadonlyArray<ReadonlyArray<string>> = [
  ["--help"],
  ["serve", "--help"],
  ["streams"],
  ["serve", "x"],
  ["--config"],
  ["--config", "--profile"],
  ["--config", "a", "--config", "b"],
  ["--set", "listen.port"],
  ["--set", "=1"],
  ["--unknown", "x"],
  ["-c", "a"]
]

describe("ServeArguments", () => {
  it.effect.each(plain.map((args) => ({ args })))(
    "read by hand are the same as those that the whole command line reads: $args",
    ({ args }) =>
      Effect.gen(function* () {
        const quick = ServeArguments.parse(args)
        assert.isDefined(quick)
        const { served } = yield* CommandLine.run(args)
        assert.deepStrictEqual(served?.config, quick?.config)
        assert.sameDeepMembers([...(served?.settings ?? [])], [...(quick?.settings ?? [])])
      })
  )

  it.each(others.map((args) => ({ args })))(
    "leave what is not plain serving to the command line: $args",
    ({ args }) => {
      assert.isUndefined(ServeArguments.parse(args))
    }
  )
})

const load = (env: Record<string, string>, ...args: ReadonlyArray<string>) =>
  Effect.provideService(
    ServeConfig.loadFrom(undefined, ServeArguments.parse(args)!.settings),
    ConfigProvider.ConfigProvider,
    ConfigProvider.fromEnv({ env })
  )

describe("ServeConfig", () => {
  it.effect("lets flags win over the environment, and names them as the origin", () =>
    Effect.gen(function* () {
      const loaded = yield* load(
        { RTMP_LISTEN_PORT: "1111", RTMP_PROFILE: "desktop", RTMP_INSTANCE_NAME: "env" },
        "--set",
        "listen.port=2222",
        "--profile",
        "mobile"
      )
      assert.strictEqual(loaded.config.listen.port, 2222)
      assert.strictEqual(loaded.config.profile, "mobile")
      assert.strictEqual(loaded.config.instance.name, "env")
      assert.strictEqual(loaded.origins.get("listen.port"), "--set listen.port")
      assert.strictEqual(loaded.origins.get("profile"), "--profile")
    })
  )

  it.effect("refuses unknown keys, bad values and secrets on the command line, all at once", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        load({}, "--set", "listen.prot=1", "--set", "listen.port=x", "--set", "http.writeTokens=hunter2")
      )
      const text = exit._tag === "Failure" ? Cause.pretty(exit.cause) : ""
      assert.include(text, "did you mean listen.port?")
      assert.include(text, "--set listen.port (listen.port): expected")
      assert.include(text, "RTMP_HTTP_WRITE_TOKENS")
      assert.notInclude(text, "hunter2")
    })
  )
})
