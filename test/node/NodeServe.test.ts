/** The whole process under load: what an operator does to it, and what those who use it notice. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { RtmpClient } from "../../src/client/RtmpClient.ts"
import * as NodeClient from "../../src/node/NodeClient.ts"
import * as NodeServe from "../../src/node/NodeServe.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as Diagnostics from "../../src/server/Diagnostics.ts"
import * as Child from "../interop/Child.ts"
import * as Media from "../support/Media.ts"

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-serve-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

const settings = (maxConnections: number, listenPort: number, logLevel: string): string =>
  [
    `listen: { host: 127.0.0.1, port: ${listenPort} }`,
    "http: { enabled: false }",
    `limits: { maxConnections: ${maxConnections} }`,
    `log: { format: json, output: stdout, level: ${logLevel} }`,
    "shutdown: { grace: 10 seconds }"
  ].join("\n")

const lines = (child: Child.Child, message: string): ReadonlyArray<Record<string, unknown>> =>
  child.stdout.filter((text) => text.includes(`"message":"${message}"`)).map((text) => JSON.parse(text))

const logged = (child: Child.Child, message: string, count = 1) =>
  Child.until(child, `line ${count} of "${message}"`, (child) => lines(child, message)[count - 1])

/** A picture every 20 ms, a keyframe every half a second, without end. */
const media: Stream.Stream<ReadonlyArray<Message>> = Stream.concat(
  Stream.make([Media.videoHeader(0)]),
  Stream.map(Stream.tick("20 millis").pipe(Stream.zipWithIndex), ([, index]) => [
    index % 25 === 0 ? Media.keyframe(index * 20, index & 0xffff) : Media.interFrame(index * 20, index & 0xffff)
  ])
)

const viewers = 30

describe("a server that dies", () => {
  it.live("leaves the report of its state in its log file", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const log = Path.join(cwd, "server.log")
      const file = Path.join(cwd, "server.yaml")
      Fs.writeFileSync(file, `log: { output: none, file: { path: ${log} } }\nhttp: { enabled: false }\n`)
      const diagnostics = Diagnostics.make()
      diagnostics.contribute("moon", () => "full")
      diagnostics.note("an earlier fault", 1)
      const exit = yield* NodeServe.serve({ config: file, settings: [] }, () =>
        Layer.effectContext(Effect.die(new Error("a bug in a part")))
      ).pipe(Effect.provideService(Diagnostics.Diagnostics, diagnostics), Effect.exit)
      assert.isTrue(Exit.isFailure(exit))
      const line = JSON.parse(Fs.readFileSync(log, "utf8").trim().split("\n").at(-1)!)
      assert.deepInclude(line, { level: "fatal", room: "lifecycle", message: "unexpected failure" })
      assert.include(line.cause, "a bug in a part")
      const report = JSON.parse(line.report)
      assert.deepStrictEqual([report.parts.moon, report.recentErrors[0].error], ["full", "an earlier fault"])
    }).pipe(Effect.scoped)
  )
})

describe("a process that serves", () => {
  it.live(
    "drops nobody when it is reloaded, and tells everybody when it is stopped",
    () =>
      Effect.gen(function* () {
        const file = Path.join(yield* folder, "server.yaml")
        Fs.writeFileSync(file, settings(100, 0, "info"))
        const child = yield* Child.spawn({
          name: "server",
          command: process.execPath,
          args: [main, "--config", file],
          env: {}
        })
        const { port } = yield* logged(child, "listening")
        const client = yield* RtmpClient
        const url = `rtmp://127.0.0.1:${port}/live/a`
        const publisher = yield* Effect.forkScoped(Effect.result(client.publish(url, media)))
        const received = new Array<number>(viewers).fill(0)
        let check = (): void => {}
        const watching = yield* Effect.forEach(received, (_, index) =>
          Effect.forkScoped(
            Effect.result(
              Stream.runForEach(client.play(url), (batch) =>
                Effect.sync(() => {
                  received[index]! += batch.length
                  check()
                })
              )
            )
          )
        )
        const everybodyHas = (count: number) =>
          Effect.callback<void>((resume) => {
            check = () => {
              if (received.every((messages) => messages >= count)) resume(Effect.void)
            }
            check()
          }).pipe(Effect.timeout("20 seconds"))
        yield* everybodyHas(20)

        // One change that holds at once, one that needs a restart: found by the watcher, and asked for by a signal.
        Fs.writeFileSync(`${file}.next`, settings(50, 1, "info"))
        Fs.renameSync(`${file}.next`, file)
        const first = yield* logged(child, "the configuration has changed")
        assert.include(JSON.stringify(first), "limits.maxConnections")
        assert.include(JSON.stringify(first), "listen.port")
        Fs.writeFileSync(file, "limits: { maxConnections: many }\nlisten: { host: 127.0.0.1, port: 0 }\n")
        Child.signal(child, "SIGHUP")
        yield* Child.until(child, "the refusal of a bad file", (child) =>
          child.stdout.find((text) => text.includes("limits.maxConnections") && text.includes("many"))
        )
        const before = Math.max(...received)
        yield* everybodyHas(before + 50)
        assert.strictEqual(lines(child, "connection closed").length, 0, "sessions survive a reload")

        Child.signal(child, "SIGTERM")
        const { code, signal } = yield* Child.ended(child)
        assert.deepStrictEqual([code, signal], [0, null])
        for (const fiber of watching) {
          const result = yield* Fiber.join(fiber)
          assert.isTrue(Result.isSuccess(result), "the viewer was told that the stream is over")
        }
        const published = yield* Fiber.join(publisher)
        assert.isTrue(Result.isFailure(published), "the publisher was told")
        assert.deepInclude(lines(child, "stopped")[0], { connections: viewers + 1, dropped: 0, publications: 1 })
      }).pipe(Effect.provide(NodeClient.layer), Effect.scoped),
    60_000
  )
})
