/** The whole process as an operator meets it: starts that fail, a stop that is watched, and an exporter that comes back. */
import * as Fs from "node:fs"
import * as Http from "node:http"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { RtmpClient } from "../../src/client/RtmpClient.ts"
import * as NodeClient from "../../src/node/NodeClient.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as Child from "../interop/Child.ts"
import * as Tools from "../service/Tools.ts"
import * as Media from "../support/Media.ts"

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-operation-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** Starts the program in a folder of its own, where no configuration is found, on free ports. */
const run = (args: ReadonlyArray<string>, env: Record<string, string> = {}) =>
  Effect.flatMap(folder, (cwd) =>
    Child.spawn({
      name: "effect-rtmp",
      command: process.execPath,
      args: [main, ...args],
      cwd,
      env: {
        RTMP_LISTEN_HOST: "127.0.0.1",
        RTMP_LISTEN_PORT: "0",
        RTMP_HTTP_PORT: "0",
        RTMP_LOG_FORMAT: "json",
        RTMP_LOG_OUTPUT: "stdout",
        RTMP_LIMITS_MIN_FREE_MEMORY: "0",
        ...env
      }
    })
  )

/** A port that somebody else has. */
const taken = Effect.acquireRelease(
  Effect.callback<Net.Server>((resume) => {
    const server = Net.createServer()
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
)

const portOf = (server: Net.Server): number => (server.address() as Net.AddressInfo).port

const lines = (child: Child.Child, message: string): ReadonlyArray<Record<string, unknown>> =>
  child.stdout.filter((text) => text.includes(`"message":"${message}"`)).map((text) => JSON.parse(text))

const logged = (child: Child.Child, message: string, count = 1) =>
  Child.until(child, `line ${count} of "${message}"`, (child) => lines(child, message)[count - 1])

const listening = (child: Child.Child, protocol: string) =>
  Child.until(child, `${protocol} to listen`, (child) =>
    lines(child, "listening").find((line) => line.protocol === protocol)
  )

const media: Stream.Stream<ReadonlyArray<Message>> = Stream.concat(
  Stream.make([Media.videoHeader(0)]),
  Stream.map(Stream.tick("20 millis").pipe(Stream.zipWithIndex), ([, index]) => [
    index % 25 === 0 ? Media.keyframe(index * 20, index & 0xffff) : Media.interFrame(index * 20, index & 0xffff)
  ])
)

interface Answer {
  readonly status: number
  readonly text: string
}

const ask = (port: unknown, path: string, body?: object) =>
  Effect.promise(async (): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { "content-type": "application/json", connection: "close" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    return { status: response.status, text: await response.text() }
  })

describe("a start that fails", () => {
  it.live("for the port of HTTP lets no client in before, and says why in one line", () =>
    Effect.gen(function* () {
      const port = portOf(yield* taken)
      const child = yield* run(["--log-level", "debug"], { RTMP_HTTP_PORT: String(port) })
      assert.strictEqual((yield* Child.ended(child)).code, 1)
      assert.strictEqual(child.stderr.length, 1)
      assert.match(child.stderr[0]!, new RegExp(`^effect-rtmp: 127\\.0\\.0\\.1:${port} is in use .*http\\.port`))
      assert.deepStrictEqual(lines(child, "listening"), [])
    }).pipe(Effect.scoped)
  )

  it.live("for the port of RTMP says why in one line, and is never ready", () =>
    Effect.gen(function* () {
      const port = portOf(yield* taken)
      const child = yield* run([], { RTMP_LISTEN_PORT: String(port) })
      assert.strictEqual((yield* Child.ended(child)).code, 1)
      assert.strictEqual(child.stderr.length, 1)
      assert.match(child.stderr[0]!, new RegExp(`^effect-rtmp: 127\\.0\\.0\\.1:${port} is in use .*listen\\.port`))
    }).pipe(Effect.scoped)
  )

  it.live("for an API that everybody could use is a mistake of the configuration, found by the check as well", () =>
    Effect.gen(function* () {
      const env = { RTMP_HTTP_HOST: "0.0.0.0" }
      const served = yield* run([], env)
      const checked = yield* run(["config", "check"], env)
      for (const child of [served, checked]) {
        assert.strictEqual((yield* Child.ended(child)).code, 78)
        assert.strictEqual(child.stderr.length, 2)
        assert.match(
          child.stderr[1]!,
          /^ {2}RTMP_HTTP_HOST \(http\.host\): expected .*http\.writeTokens.*found "0\.0\.0\.0"$/
        )
      }
      assert.deepStrictEqual(served.stderr, checked.stderr)
    }).pipe(Effect.scoped)
  )
})

describe("a stop", () => {
  it.live(
    "gives a publisher that cannot move the grace, can be watched meanwhile, and be ended by the API",
    () =>
      Effect.gen(function* () {
        const child = yield* run([], { RTMP_SHUTDOWN_GRACE: "10 minutes" })
        const { port: http } = yield* listening(child, "http")
        const { port } = yield* listening(child, "rtmp")
        assert.strictEqual((yield* ask(http, "/readyz")).status, 200)
        const client = yield* RtmpClient
        const publisher = yield* Effect.forkScoped(
          Effect.result(client.publish(`rtmp://127.0.0.1:${port}/live/a`, media))
        )
        yield* logged(child, "publish started")
        Child.signal(child, "SIGTERM")
        const { hint } = yield* logged(child, "stopping")
        assert.include(hint, "second signal")
        const ready = yield* ask(http, "/readyz")
        assert.strictEqual(ready.status, 503)
        assert.include(ready.text, "the server is stopping")
        assert.include((yield* ask(http, "/api/v1/server")).text, '"lifecycle":"Stopping"')
        assert.deepStrictEqual(lines(child, "publish stopped"), [])
        yield* ask(http, "/api/v1/server/shutdown", { force: true })
        assert.strictEqual((yield* Child.ended(child)).code, 0)
        assert.isTrue(Result.isFailure(yield* Fiber.join(publisher)))
        assert.deepInclude(lines(child, "stopped")[0], { connections: 1, dropped: 1 })
      }).pipe(Effect.provide(NodeClient.layer), Effect.scoped),
    60_000
  )
})

const noPython = Tools.missing("python3", "systemd-notify")

describe.skipIf(noPython !== "")(`the service manager${noPython}`, () => {
  it.live(
    "hears that the process is ready, reloads and stops, the last at the beginning of the stop",
    () =>
      Effect.gen(function* () {
        const socket = Path.join(yield* Tools.temporaryFolder, "notify")
        const next = yield* Tools.notifications(socket)
        const child = yield* run([], { NOTIFY_SOCKET: socket, RTMP_SHUTDOWN_GRACE: "10 minutes" })
        const { port } = yield* listening(child, "rtmp")
        assert.include((yield* next).text, `READY=1\nSTATUS=listening on 127.0.0.1:${port}`)
        const client = yield* RtmpClient
        yield* Effect.forkScoped(Effect.result(client.publish(`rtmp://127.0.0.1:${port}/live/a`, media)))
        yield* logged(child, "publish started")
        Child.signal(child, "SIGHUP")
        assert.match((yield* next).text, /^RELOADING=1\nMONOTONIC_USEC=\d+/)
        assert.match((yield* next).text, /^READY=1/)
        yield* logged(child, "the configuration is in force already")
        Child.signal(child, "SIGTERM")
        // Longer than the unit allows: ten minutes, and a quarter of one for the end.
        assert.match((yield* next).text, /^STOPPING=1\nEXTEND_TIMEOUT_USEC=615000000/)
        assert.deepStrictEqual(lines(child, "stopped"), [])
        Child.signal(child, "SIGTERM")
        assert.strictEqual((yield* Child.ended(child)).code, 0)
      }).pipe(Effect.provide(NodeClient.layer), Effect.scoped),
    60_000
  )
})

/** A collector at a port that was free a moment ago; `posted` waits for a post with some text in it. */
const collectorAt = (port: number) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<Http.Server>((resume) => {
        const server = Http.createServer((request, response) => {
          let text = ""
          request.setEncoding("latin1").on("data", (chunk: string) => {
            text += chunk
          })
          request.on("end", () => {
            response.end()
            server.emit("posted", text)
          })
        })
        server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.callback<void>((resume) => {
          server.closeAllConnections()
          server.close(() => resume(Effect.void))
        })
    ),
    (server) => (words: string) =>
      Effect.callback<void>((resume) => {
        const listener = (text: string): void => {
          if (text.includes(words)) resume(Effect.void)
        }
        server.on("posted", listener)
        return Effect.sync(() => server.off("posted", listener))
      }).pipe(Effect.timeout("30 seconds"))
  )

describe("the exporter of telemetry", () => {
  it.live(
    "is started again when its collector fails, until it is back, and no stream notices",
    () =>
      Effect.gen(function* () {
        const port = yield* Effect.scoped(Effect.map(taken, portOf))
        const child = yield* run([], {
          RTMP_OTLP_URL: `http://127.0.0.1:${port}`,
          RTMP_OTLP_INTERVAL: "100 millis",
          RTMP_SHUTDOWN_GRACE: "0"
        })
        const { port: http } = yield* listening(child, "http")
        const { port: rtmp } = yield* listening(child, "rtmp")
        const client = yield* RtmpClient
        yield* Effect.forkScoped(Effect.result(client.publish(`rtmp://127.0.0.1:${rtmp}/live/a`, media)))
        yield* logged(child, "publish started")
        const failed = yield* logged(child, "component failed")
        assert.deepInclude(failed, { component: "telemetry", room: "metrics" })
        assert.include(failed.error, `http://127.0.0.1:${port} cannot be reached`)
        const { components } = JSON.parse((yield* ask(http, "/api/v1/server")).text)
        assert.include(
          components.map(({ name }: { readonly name: string }) => name),
          "telemetry"
        )
        const posted = yield* collectorAt(port)
        yield* posted("rtmp_publishers")
        const line = yield* Effect.forkScoped(posted("admin request"))
        yield* ask(http, "/api/v1/log/levels/reset", { room: "live" })
        yield* Fiber.join(line)
        assert.deepStrictEqual(lines(child, "connection closed"), [])
        assert.deepStrictEqual(lines(child, "publish stopped"), [])
        Child.signal(child, "SIGTERM")
        assert.strictEqual((yield* Child.ended(child)).code, 0)
      }).pipe(Effect.provide(NodeClient.layer), Effect.scoped),
    60_000
  )
})
