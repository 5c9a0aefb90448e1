/**
 * Parts of a server that break beside a publisher and a viewer who must lose nothing: the file of its log, what writes it, the
 * store of its stream keys. They come back by themselves when what broke them is gone, and lack nothing.
 */
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as App from "../../src/App.ts"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import * as Log from "../../src/observability/Log.ts"
import * as LogSink from "../../src/observability/LogSink.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as SupervisedLog from "../../src/server/SupervisedLog.ts"
import { Supervisor } from "../../src/server/Supervisor.ts"
import { nothingSeen, Publisher } from "../bench/SoakClients.ts"
import * as Child from "../interop/Child.ts"
import { nothingLost, until, witnesses } from "./Witnesses.ts"

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-parts-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

const spawn = (cwd: string, env: Readonly<Record<string, string>>) =>
  Child.spawn({
    name: "server",
    command: process.execPath,
    args: [main],
    cwd,
    env: {
      RTMP_LISTEN_PORT: "0",
      RTMP_LISTEN_HOST: "127.0.0.1",
      RTMP_HTTP_PORT: "0",
      RTMP_LOG_FORMAT: "json",
      RTMP_LOG_OUTPUT: "stdout",
      RTMP_LIMITS_MIN_FREE_MEMORY: "0",
      RTMP_SHUTDOWN_GRACE: "0",
      ...env
    }
  })

type Line = Readonly<Record<string, unknown>>

const logged = (child: Child.Child, message: string, fields: Line = {}) =>
  Child.until(child, `"${message}" with ${JSON.stringify(fields)}`, (child) =>
    child.stdout
      .filter((text) => text.includes(`"message":"${message}"`))
      .map((text): Line => JSON.parse(text))
      .find((line) => Object.entries(fields).every(([name, value]) => line[name] === value))
  )

const portOf = (child: Child.Child, protocol: string) =>
  Effect.map(logged(child, "listening", { protocol }), ({ port }) => Number(port))

interface Component {
  readonly name: string
  readonly state: string
  readonly restarts: number
  readonly lastError: string
}

const ask = (port: number, path: string, body?: object) =>
  Effect.promise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { "content-type": "application/json", connection: "close" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    return { status: response.status, body: JSON.parse(await response.text()) }
  })

const component = (port: number, name: string) =>
  Effect.map(ask(port, "/server"), ({ body }): Component | undefined =>
    body.components.find((it: Component) => it.name === name)
  )

/** Somebody who comes and goes, and leaves lines in the log. */
const visit = (port: number): Promise<void> =>
  new Promise((resolve) => {
    const socket = Net.connect({ port, host: "127.0.0.1" }, () => socket.destroy())
    socket.on("error", () => {})
    socket.on("close", () => resolve())
  })

describe("the file of the log", () => {
  it.live(
    "may be taken away and be kept from coming back: lines go on elsewhere, and all of them are there in the end",
    () =>
      Effect.gen(function* () {
        const cwd = yield* folder
        const [logs, moved] = [Path.join(cwd, "logs"), Path.join(cwd, "moved")]
        const child = yield* spawn(cwd, {
          RTMP_LOG_LEVEL: "debug",
          RTMP_LOG_FILE_PATH: Path.join(logs, "server.log")
        })
        const port = yield* portOf(child, "rtmp")
        const http = yield* portOf(child, "http")
        const finish = yield* Effect.promise(() => witnesses(port))
        assert.deepInclude(yield* component(http, "log file"), { state: "Running", restarts: 0 })
        assert.deepInclude(yield* component(http, "log stdout"), { state: "Running", restarts: 0 })

        Fs.renameSync(logs, moved)
        Fs.writeFileSync(logs, "in the way")
        yield* Effect.promise(() => visit(port))
        const failed = yield* logged(child, "component failed", { component: "log file" })
        assert.deepInclude(failed, { level: "error", room: "log" })
        assert.include(failed.error, `cannot write ${Path.join(logs, "server.log")}`)
        yield* Effect.promise(() => Promise.all(Array.from({ length: 50 }, () => visit(port))))
        yield* logged(child, "component restarts", { component: "log file", restarts: 1 })
        const { lastError } = (yield* component(http, "log file"))!
        assert.include(lastError, "cannot write")
        assert.isTrue(child.stderr.some((text) => text.includes("log output file: cannot write")))

        Fs.rmSync(logs)
        // The file is there again when the writer was started again.
        yield* Effect.promise(() => until("the file is back", () => Fs.existsSync(Path.join(logs, "server.log"))))
        const { restarts, state } = (yield* component(http, "log file"))!
        assert.strictEqual(state, "Running")
        assert.isAbove(restarts, 0)
        nothingLost(yield* Effect.promise(finish))
        Child.signal(child, "SIGTERM")
        assert.strictEqual((yield* Child.ended(child)).code, 0)
        const linesOf = (path: string) => Fs.readFileSync(Path.join(path, "server.log"), "utf8").trim().split("\n")
        assert.deepStrictEqual([...linesOf(moved), ...linesOf(logs)], [...child.stdout])
      }).pipe(Effect.scoped),
    60_000
  )
})

describe("a writer of the log", () => {
  it.live(
    "may die of a defect at every batch: it is started again, and every line is written once",
    () =>
      Effect.gen(function* () {
        const written: Array<string> = []
        const seen = new Set<ReadonlyArray<string>>()
        let visits = 0
        const sinks = Layer.succeed(LogSink.LogSinks, {
          open: (_, onResume) =>
            Effect.map(
              LogSink.queued({
                name: "memory",
                write: (lines) =>
                  Effect.sync(() => {
                    const isFirst = !seen.has(lines)
                    seen.add(lines)
                    // What is said of its death itself is written, or there would be no end.
                    if (isFirst && lines.some((line) => line.includes('"connection"'))) throw new Error("a bug")
                    written.push(...lines)
                  }),
                onResume,
                report: () => {},
                retry: Schedule.spaced("10 millis")
              }),
              (sink): LogSink.OpenSink => ({ name: "memory", sink, ownTime: false })
            )
        })
        const log = Log.layerWith({ level: "debug", format: "json" }).pipe(
          Layer.provide([sinks, SupervisedLog.layer]),
          Layer.provideMerge(Supervisor.layer)
        )
        const server = RtmpServer.layerStarted.pipe(
          Layer.provideMerge(App.layer),
          Layer.provide([
            NodeTransport.layer,
            NodeCrypto.layer,
            RtmpConfig.layer({
              listen: { host: "127.0.0.1", port: 0 },
              limits: { minFreeMemory: 0 },
              shutdown: { grace: 0 }
            })
          ]),
          Layer.provideMerge(log)
        )
        yield* Effect.gen(function* () {
          const { address, components } = yield* RtmpServer
          const { port } = (yield* address)!
          const finish = yield* Effect.promise(() => witnesses(port))
          const restarts = Effect.map(components, (all) => all.find(({ name }) => name === "log memory")?.restarts ?? 0)
          // Each makes a line: as many as it takes.
          for (; (yield* restarts) < 20 && visits < 1_000; visits++) yield* Effect.promise(() => visit(port))
          assert.isAtLeast(yield* restarts, 20)
          nothingLost(yield* Effect.promise(finish))
          yield* (yield* LogSink.LogOutputs).flush
          assert.deepStrictEqual(yield* (yield* LogSink.LogOutputs).lost, { memory: 0 })
        }).pipe(Effect.provide(server))
        const closed = written
          .map((line): Line => JSON.parse(line))
          .flatMap(({ connection, message }) => (message === "connection closed" ? [String(connection)] : []))
        assert.sameMembers(
          closed,
          Array.from({ length: visits + 2 }, (_, index) => `c${index + 1}`)
        )
      }).pipe(Effect.scoped),
    60_000
  )
})

describe("the store of stream keys", () => {
  it.live(
    "may be taken away and be kept from coming back: keys hold meanwhile, and are stored again in the end",
    () =>
      Effect.gen(function* () {
        const cwd = yield* folder
        const keys = Path.join(cwd, "keys")
        const child = yield* spawn(cwd, {
          RTMP_AUTH_KEYS_ALLOW: "ann=the-key-of-ann",
          RTMP_AUTH_KEYS_DIRECTORY: keys
        })
        const port = yield* portOf(child, "rtmp")
        const http = yield* portOf(child, "http")
        const finish = yield* Effect.promise(() => witnesses(port, "127.0.0.1", "good?key=the-key-of-ann"))
        const made = yield* ask(http, "/access/keys", { label: "before" })
        assert.strictEqual(made.status, 200, JSON.stringify(made.body))
        assert.lengthOf(Fs.readdirSync(keys), 1)
        assert.deepInclude(yield* component(http, "keyStore"), { state: "Running", restarts: 0 })

        Fs.rmSync(keys, { recursive: true })
        Fs.writeFileSync(keys, "in the way")
        const refused = yield* ask(http, "/access/keys", { label: "meanwhile" })
        assert.strictEqual(refused.status, 409)
        assert.include(refused.body.message, `the key cannot be stored: ${keys}`)
        const failed = yield* logged(child, "component failed", { component: "keyStore" })
        assert.deepInclude(failed, { level: "error", room: "access" })
        assert.include(failed.error, keys)
        const seen = nothingSeen()
        const publisher = new Publisher(port, `other?key=${made.body.key}`, seen)
        yield* Effect.promise(() => until("the key still holds", () => publisher.live))
        publisher.end("in order")
        assert.include((yield* component(http, "keyStore"))?.lastError, keys)

        Fs.rmSync(keys)
        assert.deepInclude(yield* logged(child, "another store of stream keys is in use"), { written: 1, found: 0 })
        assert.deepInclude(yield* component(http, "keyStore"), { state: "Running" })
        assert.include(Fs.readdirSync(keys)[0], made.body.info.id)
        assert.strictEqual((yield* ask(http, "/access/keys", { label: "after" })).status, 200)
        assert.lengthOf(Fs.readdirSync(keys), 2)
        assert.deepStrictEqual([...seen.complaints], [])
        nothingLost(yield* Effect.promise(finish))
      }).pipe(Effect.scoped),
    60_000
  )
})
