/** The server as a process: how it starts, how signals end it, and what it says with its last breath. */
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClient from "../../src/testing/TestClient.ts"
import * as Child from "../interop/Child.ts"
import * as Media from "../support/Media.ts"

const script = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const node = (path: string, env: Readonly<Record<string, string>> = {}) =>
  Child.spawn({
    name: "server",
    command: process.execPath,
    args: [script(path)],
    env: {
      RTMP_LISTEN_HOST: "127.0.0.1",
      RTMP_LISTEN_PORT: "0",
      RTMP_LOG_FORMAT: "json",
      RTMP_SHUTDOWN_GRACE: "30 seconds",
      RTMP_HTTP_ENABLED: "false",
      ...env
    }
  })

const line = (child: Child.Child, message: string): Record<string, unknown> | undefined => {
  for (const text of child.stdout) {
    if (text.includes(`"message":"${message}"`)) return JSON.parse(text)
  }
  return undefined
}

const logged = (child: Child.Child, message: string) =>
  Child.until(child, `the line "${message}"`, (child) => line(child, message))

/** A publisher that follows ReconnectRequests, and then does not move. */
const publisher = (port: number) =>
  Effect.gen(function* () {
    const client = yield* TestClient.make(yield* NodeSocket.makeNet({ host: "127.0.0.1", port }))
    yield* client.handshake
    yield* client.connect("live", { capsEx: 1 })
    yield* client.publish(yield* client.createStream, "a")
    yield* client.send(Media.videoHeader(), Media.keyframe(0))
    return client
  })

describe("the process", () => {
  it.live("serves, stops on SIGTERM when its clients have gone, says what it has done, and exits with 0", () =>
    Effect.gen(function* () {
      const child = yield* node("../../src/main.ts", { RTMP_SHUTDOWN_RECONNECT_TO: "rtmp://other.example/live" })
      const { port } = yield* logged(child, "listening")
      const client = yield* publisher(Number(port))
      Child.signal(child, "SIGTERM")
      yield* client.waitForStatus("NetConnection.Connect.ReconnectRequest")
      yield* client.send(Media.keyframe(33))
      yield* client.call("deleteStream", [null, 1])
      yield* client.end
      const { code, signal } = yield* Child.ended(child)
      assert.deepStrictEqual([code, signal], [0, null])
      const stopped = line(child, "stopped")
      assert.deepInclude(stopped, {
        connections: 1,
        dropped: 0,
        accepted: 1,
        publications: 1,
        reasons: "ClientClosed=1"
      })
      assert.strictEqual(line(child, "clients are moved away")?.reconnectTo, "rtmp://other.example/live")
    })
  )

  it.live("drops what is left on a second signal, and exits with 0 all the same", () =>
    Effect.gen(function* () {
      const child = yield* node("../../src/main.ts")
      const { port } = yield* logged(child, "listening")
      const client = yield* publisher(Number(port))
      Child.signal(child, "SIGTERM")
      yield* client.waitForStatus("NetConnection.Connect.ReconnectRequest")
      Child.signal(child, "SIGTERM")
      const { code } = yield* Child.ended(child)
      assert.strictEqual(code, 0)
      assert.deepInclude(line(child, "stopped"), { connections: 1, dropped: 1 })
      assert.isDefined(line(child, "stream ended"))
      assert.include(child.stdout.at(-1), '"message":"stopped"', "the summary is the last line")
    })
  )

  it.live("that finds its port in use says which one, and how to choose another, and exits with 1", () =>
    Effect.gen(function* () {
      const holder = yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const server = Net.createServer()
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const address = holder.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const child = yield* node("../../src/main.ts", { RTMP_LISTEN_PORT: String(port) })
      const { code } = yield* Child.ended(child)
      assert.strictEqual(code, 1)
      assert.strictEqual(child.stderr.length, 1)
      assert.include(child.stderr[0], `127.0.0.1:${port} is in use`)
      assert.include(child.stderr[0], "listen.port (RTMP_LISTEN_PORT)")
    })
  )

  it.live.each([
    ["an exception that nobody catches", "throw"],
    ["a rejection that nobody handles", "reject"],
    ["a defect of the program", "die"]
  ])("that ends by %s while it serves has written a report of how it stood into the file of its log", ([, how]) =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-last-words-"))),
        (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
      )
      const file = Path.join(folder, "server.log")
      const child = yield* node("./failingServer.ts", {
        FAIL_BY: how,
        RTMP_LOG_FILE_PATH: file,
        RTMP_LOG_OUTPUT: "stdout",
        RTMP_SHUTDOWN_GRACE: "0"
      })
      const { port } = yield* logged(child, "listening")
      yield* publisher(Number(port))
      yield* logged(child, "publish started")
      Child.signal(child, "SIGUSR2")
      const { code, signal } = yield* Child.ended(child)
      assert.deepStrictEqual([code, signal], [1, null])
      const lines = Fs.readFileSync(file, "utf8").trim().split("\n")
      const said = lines.filter((text) => text.includes('"level":"fatal"'))
      assert.lengthOf(said, 1)
      // The same on both ways, to the last byte.
      assert.deepStrictEqual(lines, [...child.stdout])
      const { cause, message, report, room } = JSON.parse(said[0]!)
      assert.deepStrictEqual([message, room], ["unexpected failure", "lifecycle"])
      assert.include(cause, `a bug of the test: ${how}`)
      const { parts } = JSON.parse(report)
      assert.deepInclude(parts.server, { lifecycle: "Running", connections: 1, publishers: 1, streams: 1 })
      assert.isAbove(parts.process.memory.rss, 1_000_000)
      const running = parts.components.map(({ name, state }: Record<string, string>) => `${name} ${state}`)
      assert.sameMembers(running, ["log stdout Running", "log file Running", "listener Running"])
      assert.include(child.stderr, `effect-rtmp: report ${report}`)
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["an exception that nobody catches", "throw"],
    ["an exception whose last words do not come to an end", "hang"],
    ["a defect of the program", "die"]
  ])("that ends by %s leaves a report and exits with 1", ([, how]) =>
    Effect.gen(function* () {
      const child = yield* node("./failing.ts", { FAIL_BY: how })
      const { code } = yield* Child.ended(child)
      assert.strictEqual(code, 1)
      assert.isTrue(child.stderr.some((text) => text.includes("a bug of the test")))
      const report = child.stderr.find((text) => text.startsWith("effect-rtmp: report "))
      assert.isDefined(report)
      const { parts, recentErrors } = JSON.parse(report!.slice("effect-rtmp: report ".length))
      assert.deepInclude(parts.process, { node: process.version, platform: `${process.platform}-${process.arch}` })
      assert.isAbove(parts.process.memory.rss, 1_000_000)
      assert.deepStrictEqual(parts.part, { state: "fine" })
      assert.deepStrictEqual(recentErrors, [{ at: 1, error: "something before" }])
    })
  )
})
