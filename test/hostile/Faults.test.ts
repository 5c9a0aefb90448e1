/**
 * Faults beside a publisher and a viewer who must lose nothing: connections that break off at any point, a fiber that dies,
 * a process without file descriptors, a network that is cut. In the end nothing is left of any of it.
 *
 * `FAULTS=all` breaks a session off at every byte, instead of at some.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as App from "../../src/App.ts"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import * as Command from "../../src/protocol/Command.ts"
import * as ServerCommands from "../../src/protocol/ServerCommands.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import { cpuSeconds } from "../bench/Process.ts"
import { nothingSeen, Publisher, Viewer } from "../bench/SoakClients.ts"
import * as Child from "../interop/Child.ts"
import * as Media from "../support/Media.ts"
import { connected, hello } from "./Peers.ts"
import { nothingLost, until, witnesses } from "./Witnesses.ts"

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))

const openFiles = (pid: number | "self"): number => Fs.readdirSync(`/proc/${pid}/fd`).length

const boom: ServerCommands.CommandHandler = () => {
  throw new Error("boom")
}

const server = RtmpServer.layerStarted.pipe(
  Layer.provideMerge(
    App.layerWith({
      commands: Layer.succeed(ServerCommands.ServerCommands, {
        ...ServerCommands.defaultHandlers,
        handlers: new Map([...ServerCommands.defaultHandlers.handlers, ["boom", boom]])
      })
    })
  ),
  Layer.provide([
    NodeTransport.layer,
    NodeCrypto.layer,
    RtmpConfig.layer({
      listen: { host: "127.0.0.1", port: 0 },
      handshake: { timeout: "1 second" },
      session: { connectTimeout: "500 ms", idleTimeout: "800 ms" },
      publisher: { resumeGrace: 0 },
      play: { waitForPublisher: false },
      shutdown: { grace: 0 },
      limits: { minFreeMemory: 0, maxPublishers: 1_000 }
    })
  ]),
  Layer.provide(Logger.layer([]))
)

const call = (name: string, values: Parameters<typeof Command.encode>[0]["values"], streamId = 0) =>
  Command.encode({ name, transactionId: 1, values, streamId })

const written = (...messages: Parameters<ChunkWriter.ChunkWriter["writeAll"]>[0]) =>
  ChunkWriter.make().writeAll(messages)

const opening = [call("connect", [Amf.object({ app: "live", tcUrl: "rtmp://h/live" })]), call("createStream", [null])]

/** What clients send from the first byte to the last. */
const sessions: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
  [
    "a publisher",
    Bytes.concat([
      hello,
      written(
        ...opening,
        call("publish", [null, "victim", "live"], 1),
        Media.videoHeader(),
        Media.audioHeader(),
        Media.keyframe(0),
        Media.interFrame(20),
        Media.audio(20),
        call("FCUnpublish", [null, "victim"]),
        call("deleteStream", [null, 1])
      )
    ])
  ],
  ["a viewer", Bytes.concat([hello, written(...opening, call("play", [null, "good", -2000], 1))])]
]

/** Sends the beginning of a session, and breaks off. */
const breakOff = (port: number, bytes: Uint8Array, end: "FIN" | "RST"): Promise<void> =>
  new Promise((resolve) => {
    const socket = Net.connect({ port, host: "127.0.0.1", noDelay: true })
    socket.on("error", () => {})
    socket.on("close", () => resolve())
    socket.resume()
    socket.on("connect", () => {
      const leave = () => {
        if (end === "RST") socket.resetAndDestroy()
        else socket.destroy()
      }
      if (bytes.length === 0) leave()
      else socket.write(bytes, leave)
    })
  })

describe("beside a publisher and a viewer who lose nothing", () => {
  for (const [name, bytes] of sessions) {
    it.live(
      `${name} may be gone after any byte, and leaves nothing behind`,
      () =>
        Effect.gen(function* () {
          const server = yield* RtmpServer
          const { port } = (yield* server.address)!
          const finish = yield* Effect.promise(() => witnesses(port))
          const filesBefore = openFiles("self")
          // The bytes of the handshake are much alike; what follows is not.
          const offsets = Array.from({ length: bytes.length + 1 }, (_, offset) => offset).filter((offset) =>
            process.env.FAULTS === "all" ? true : offset < hello.length ? offset % 191 === 0 : offset % 3 === 0
          )
          yield* Effect.promise(async () => {
            for (let i = 0; i < offsets.length; i += 8) {
              await Promise.all(
                offsets
                  .slice(i, i + 8)
                  .map((offset, j) => breakOff(port, bytes.slice(0, offset), (i + j) % 2 === 0 ? "FIN" : "RST"))
              )
            }
          })
          const left = () =>
            Effect.runPromise(server.statistics).then(({ connections, live }) => connections + live.streams.length)
          yield* Effect.promise(() =>
            until("two connections and one stream are left", async () => (await left()) === 3)
          )
          yield* Effect.promise(() => until("no socket is left", () => openFiles("self") <= filesBefore))
          nothingLost(yield* Effect.promise(finish))
          yield* Effect.promise(() => until("nothing is left", async () => (await left()) === 0))
        }).pipe(Effect.provide(server), Effect.scoped),
      120_000
    )
  }

  it.live(
    "the fiber of a connection may die of a defect, over and over",
    () =>
      Effect.gen(function* () {
        const server = yield* RtmpServer
        const { port } = (yield* server.address)!
        const finish = yield* Effect.promise(() => witnesses(port))
        const filesBefore = openFiles("self")
        const fatal = Bytes.concat([connected, written(call("boom", [null]))])
        const closed = yield* Effect.promise(() =>
          Promise.all(
            Array.from(
              { length: 50 },
              () =>
                new Promise<boolean>((resolve) => {
                  const socket = Net.connect({ port, host: "127.0.0.1" }, () => socket.write(fatal))
                  socket.on("error", () => {})
                  socket.on("close", () => resolve(true))
                  socket.resume()
                })
            )
          )
        )
        assert.strictEqual(closed.length, 50)
        yield* Effect.promise(() => until("no socket is left", () => openFiles("self") <= filesBefore))
        nothingLost(yield* Effect.promise(finish))
        const { connections, live } = yield* server.statistics
        assert.deepStrictEqual([connections, live.streams.length, live.viewers], [0, 0, 0])
      }).pipe(Effect.provide(server), Effect.scoped),
    60_000
  )
})

const isLinux = process.platform === "linux"
const has = (command: string): boolean => spawnSync("sh", ["-c", `command -v ${command}`]).status === 0
const isRoot = process.getuid?.() === 0

const skipped = (what: string, why: string): boolean => {
  console.log(`skipped: ${what}: ${why}`)
  return true
}

/** The settings of a server in a process of its own. */
const environment = (more: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> => ({
  RTMP_LISTEN_PORT: "0",
  RTMP_LISTEN_HOST: "127.0.0.1",
  RTMP_HTTP_ENABLED: "false",
  RTMP_LOG_FORMAT: "json",
  RTMP_LOG_OUTPUT: "stdout",
  RTMP_PUBLISHER_RESUME_GRACE: "0",
  RTMP_SHUTDOWN_GRACE: "0",
  ...more
})

const lines = (child: Child.Child, message: string): ReadonlyArray<Record<string, unknown>> =>
  child.stdout.filter((text) => text.includes(`"message":"${message}"`)).map((text) => JSON.parse(text))

const listening = (child: Child.Child) =>
  Effect.map(
    Child.until(child, "the port it listens on", (child) =>
      lines(child, "listening").find(({ protocol }) => protocol === "rtmp")
    ),
    ({ port }) => Number(port)
  )

const connectMany = (port: number, count: number): Promise<ReadonlyArray<Net.Socket>> =>
  Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<Net.Socket>((resolve) => {
          const socket = Net.connect({ port, host: "127.0.0.1" })
          socket.on("error", () => {})
          socket.once("connect", () => resolve(socket))
          socket.once("close", () => resolve(socket))
          socket.resume()
        })
    )
  )

const noLimits = !isLinux || !has("prlimit") ? skipped("ulimit -n", "needs prlimit") : false

describe.skipIf(noLimits)("a process that may open few files", () => {
  const spawn = (maxFiles: number, settings: Readonly<Record<string, string>>) =>
    Child.spawn({
      name: "server",
      command: "prlimit",
      args: [`--nofile=${maxFiles}:${maxFiles}`, process.execPath, main],
      env: environment({ RTMP_HANDSHAKE_TIMEOUT: "30 seconds", ...settings })
    })

  it.live(
    "turns connections away while some are left for other things, says so, and recovers when others go",
    () =>
      Effect.gen(function* () {
        const child = yield* spawn(90, {})
        const port = yield* listening(child)
        const finish = yield* Effect.promise(() => witnesses(port))
        const sockets = yield* Effect.promise(() => connectMany(port, 120))
        const refused = yield* Child.until(
          child,
          "a refusal",
          (child) => lines(child, "connection refused").find(({ limit }) => limit === "files"),
          10_000
        )
        assert.strictEqual(refused.max, 32)
        assert.isAtMost(openFiles(child.pid), 90 - 32 + 6)
        // A line for the first, and one a second for all others.
        assert.isAtMost(lines(child, "connection refused").length, 4)
        const before = cpuSeconds(child.pid)
        yield* Effect.sleep(1_500)
        assert.isBelow(cpuSeconds(child.pid) - before, 0.6)
        for (const socket of sockets) socket.destroy()
        yield* Effect.promise(() => until("the files are closed", () => openFiles(child.pid) < 40))
        // What is free is looked at once a second.
        yield* Effect.sleep(1_100)
        const again = nothingSeen()
        const publisher = new Publisher(port, "again", again)
        yield* Effect.promise(() => until("somebody else can publish", () => publisher.live))
        publisher.end("in order")
        nothingLost(yield* Effect.promise(finish))
      }).pipe(Effect.scoped),
    60_000
  )

  it.live(
    "neither spins nor dies where there is none left at all, and recovers",
    () =>
      Effect.gen(function* () {
        const child = yield* spawn(64, { RTMP_LIMITS_MIN_FREE_FILES: "0" })
        const port = yield* listening(child)
        const finish = yield* Effect.promise(() => witnesses(port))
        const sockets = yield* Effect.promise(() => connectMany(port, 120))
        yield* Effect.promise(() => until("all files are open", () => openFiles(child.pid) >= 63))
        const before = cpuSeconds(child.pid)
        yield* Effect.sleep(1_500)
        assert.isBelow(cpuSeconds(child.pid) - before, 0.6)
        // Beyond the limit libuv accepts with the file that it keeps in reserve, and closes at once.
        yield* Effect.promise(() => until("the rest is closed", () => sockets.filter((it) => it.destroyed).length > 50))
        for (const socket of sockets) socket.destroy()
        yield* Effect.promise(() => until("the files are closed", () => openFiles(child.pid) < 40))
        const again = nothingSeen()
        const publisher = new Publisher(port, "again", again)
        yield* Effect.promise(() => until("somebody else can publish", () => publisher.live))
        publisher.end("in order")
        nothingLost(yield* Effect.promise(finish))
      }).pipe(Effect.scoped),
    60_000
  )
})

/** A namespace with a server in it, and two cables to it; undefined where none can be made. */
const network = `ertmp${process.pid % 10_000}`
const ip = (...args: ReadonlyArray<string>): boolean => spawnSync("ip", [...args], { stdio: "ignore" }).status === 0
const cable = (index: number): boolean => {
  const [here, there] = [`er${process.pid % 10_000}h${index}`, `er${process.pid % 10_000}t${index}`]
  const net = `10.231.${process.pid % 250}`
  return (
    ip("link", "add", here, "type", "veth", "peer", "name", there) &&
    ip("link", "set", there, "netns", network) &&
    ip("addr", "add", `${net}.${4 * index + 1}/30`, "dev", here) &&
    ip("link", "set", here, "up") &&
    ip("netns", "exec", network, "ip", "addr", "add", `${net}.${4 * index + 2}/30`, "dev", there) &&
    ip("netns", "exec", network, "ip", "link", "set", there, "up")
  )
}
const addressOf = (index: number): string => `10.231.${process.pid % 250}.${4 * index + 2}`

const noNetwork =
  !isLinux || !isRoot || !has("ip")
    ? skipped("a network that is cut", "needs root and iproute2")
    : !(ip("netns", "add", network) && ip("netns", "del", network))
      ? skipped("a network that is cut", "no network namespace can be made here")
      : false

describe.skipIf(noNetwork)("a network that is cut", () => {
  it.live(
    "ends those behind it for their silence, lets them come back, and nobody else notices",
    () =>
      Effect.gen(function* () {
        yield* Effect.addFinalizer(() => Effect.sync(() => ip("netns", "del", network)))
        assert.isTrue(ip("netns", "add", network))
        assert.isTrue(cable(1) && cable(2))
        const child = yield* Child.spawn({
          name: "server",
          command: "ip",
          args: ["netns", "exec", network, process.execPath, main],
          env: environment({
            RTMP_LISTEN_HOST: "0.0.0.0",
            RTMP_SESSION_PING_INTERVAL: "500 ms",
            RTMP_SESSION_PING_TIMEOUT: "1500 ms"
          })
        })
        const port = yield* listening(child)
        const finish = yield* Effect.promise(() => witnesses(port, addressOf(1)))
        const victims = nothingSeen()
        const publisher = new Publisher(port, "behind", victims, addressOf(2))
        yield* Effect.promise(() => until("the victim is live", () => publisher.live))
        const viewers = [1, 2].map(() => new Viewer(port, publisher, victims, true, addressOf(2)))
        yield* Effect.promise(() => until("its viewers see something", () => viewers.every((it) => it.frames > 4)))
        ip("link", "set", `er${process.pid % 10_000}h2`, "down")
        yield* Child.until(
          child,
          "the end of three connections",
          (child) => (lines(child, "connection closed").length >= 3 ? true : undefined),
          20_000
        )
        for (const client of [publisher, ...viewers]) client.socket.destroy()
        ip("link", "set", `er${process.pid % 10_000}h2`, "up")
        const back = new Publisher(port, "behind", nothingSeen(), addressOf(2))
        yield* Effect.promise(() => until("the victim is back", () => back.live))
        back.end("in order")
        nothingLost(yield* Effect.promise(finish))
        yield* Child.until(
          child,
          "the end of everybody",
          (child) => (lines(child, "connection closed").length >= 6 ? true : undefined),
          20_000
        )
        assert.isBelow(openFiles(Number(spawnSync("pgrep", ["-P", String(child.pid)]).stdout) || child.pid), 40)
      }).pipe(Effect.scoped),
    90_000
  )
})
