/**
 * Hostile peers at the sockets of a running server, beside a publisher and a viewer who must lose nothing.
 *
 * Each peer sends its bytes and waits until the server has closed the connection; what is odd and legal is played by a
 * viewer of its own. Between any two of them the publisher sends a frame, and in the end the viewer has every one of them,
 * and the server nobody else.
 */
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as App from "../../src/App.ts"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import { NodeCertificates } from "../../src/node/NodeCertificates.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import type * as Message from "../../src/protocol/Message.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import type { ServerEvent } from "../../src/server/ServerEvents.ts"
import * as TestClient from "../../src/testing/TestClient.ts"
import * as Media from "../support/Media.ts"
import * as TestAuthority from "../support/TestAuthority.ts"
import { frames } from "../support/TestServer.ts"
import { oddities } from "./Oddities.ts"
import { connected, type How, peers, player, sealed, securePeers } from "./Peers.ts"

const certificates = Layer.effect(
  NodeCertificates,
  Effect.gen(function* () {
    const issued = yield* Effect.promise(async () =>
      TestAuthority.forHosts(await TestAuthority.make("an authority"), "localhost")
    )
    const nothing = Context.get(yield* Layer.build(NodeCertificates.layerNone), NodeCertificates)
    const context = Tls.createSecureContext({ cert: issued.certificate, key: issued.key })
    return { ...nothing, contextOf: () => context }
  })
)

const server = RtmpServer.layerStarted.pipe(
  Layer.provideMerge(App.layer),
  Layer.provide([
    NodeTransport.layer.pipe(Layer.provide(certificates)),
    NodeCrypto.layer,
    RtmpConfig.layer({
      listen: { host: "127.0.0.1", port: 0 },
      tls: { enabled: true, selfSigned: true, host: "127.0.0.1", port: 0 },
      handshake: { timeout: "1 second" },
      session: { connectTimeout: "500 ms", idleTimeout: "800 ms" },
      publisher: { resumeGrace: 0 },
      latency: { mergeWindow: 0 },
      shutdown: { grace: 0 },
      outbox: { stallTimeout: "2 seconds" },
      limits: { minFreeMemory: 0 }
    })
  ]),
  Layer.provide(Logger.layer([]))
)

const port = Effect.map(
  Effect.flatMap(RtmpServer, (server) => server.address),
  (address) => address!.port
)

const client = Effect.flatMap(port, (port) =>
  Effect.flatMap(NodeSocket.makeNet({ host: "127.0.0.1", port }), (socket) => TestClient.make(socket))
)

/** A connection to a port, closed with the scope. */
const connectedTo = (to: number): Effect.Effect<Net.Socket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = Net.connect({ port: to, host: "127.0.0.1", noDelay: true })
      socket.on("error", () => {})
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** The S1 that the server sends to somebody with this C1. */
const s1For = (to: number, c1: Uint8Array): Effect.Effect<Uint8Array> =>
  Effect.scoped(
    Effect.flatMap(connectedTo(to), (socket) =>
      Effect.callback<Uint8Array>((resume) => {
        const answer: Array<Uint8Array> = []
        socket.write(Bytes.concat([Uint8Array.of(3), c1]))
        socket.on("data", (bytes: Buffer) => {
          answer.push(bytes)
          const all = Bytes.concat(answer)
          if (all.length >= 1537) resume(Effect.succeed(all.slice(1, 1537)))
        })
      })
    )
  )

/** Sends bytes, and gives the reason with which the server closed the connection. */
const attack = (to: number, bytes: Uint8Array, how: How): Effect.Effect<string, Error, RtmpServer | Scope.Scope> =>
  Effect.gen(function* () {
    const server = yield* RtmpServer
    const socket = yield* connectedTo(to)
    let ownPort = 0
    const isOurs = (event: ServerEvent) => event._tag === "ConnectionClosed" && event.remote.port === ownPort
    const closed = yield* Effect.forkScoped(Stream.runHead(Stream.filter(server.events, isOurs)))
    yield* Effect.callback<void>((resume) => {
      socket.resume()
      socket.once("connect", () => {
        ownPort = socket.localPort!
        // The event stream is subscribed to by then: its fiber has run before this callback can.
        const done = () => resume(Effect.void)
        if (how === "bytewise") for (const byte of bytes) socket.write(Uint8Array.of(byte))
        else if (bytes.length > 0) socket.write(bytes)
        if (how === "then FIN") socket.end(done)
        else if (how === "then RST") {
          setImmediate(() => {
            socket.resetAndDestroy()
            done()
          })
        } else done()
      })
    })
    const event = yield* Effect.timeoutOrElse(Fiber.join(closed), {
      duration: "8 seconds",
      orElse: () => Effect.fail(new Error("the server keeps the connection open"))
    })
    return event._tag === "Some" && event.value._tag === "ConnectionClosed" ? event.value.reason : "no event"
  })

layer(server, { excludeTestServices: true, timeout: 60_000 })("beside a publisher and a viewer", (it) => {
  it.effect(
    "every hostile peer is closed for its reason, and nobody else loses a frame",
    () =>
      Effect.gen(function* () {
        const { statistics } = yield* RtmpServer
        const publisher = yield* client
        yield* publisher.publish(yield* publisher.open("live"), "good")
        yield* publisher.send(Media.videoHeader(), Media.audioHeader(), Media.keyframe(0))
        const viewer = yield* client
        yield* viewer.play(yield* viewer.open("live"), "good")
        const all = [...peers, ...securePeers]
        const { addresses } = yield* RtmpServer
        const securePort = (yield* addresses).find(({ protocol }) => protocol === "rtmps")!.port
        const plainPort = yield* port
        const outcomes: Array<string> = []
        let atMs = 0
        const s1 = {
          plain: yield* s1For(plainPort, new Uint8Array(1536)),
          sealed: yield* s1For(plainPort, sealed(0))
        }
        for (const [i, [name, what, , how]] of all.entries()) {
          const to = i < peers.length ? plainPort : securePort
          const bytes = typeof what === "function" ? what(s1) : what
          const reason = yield* Effect.scoped(attack(to, bytes, how ?? "at once"))
          outcomes.push(`${name}: ${reason}`)
          atMs += 20
          yield* publisher.send(Media.interFrame(atMs))
        }
        assert.deepStrictEqual(
          outcomes,
          all.map(([name, , reason]) => `${name}: ${reason}`)
        )
        const last = (yield* viewer.waitForMany(
          2 + 1 + all.length,
          (message) => message.typeId === 8 || message.typeId === 9
        )).length
        assert.strictEqual(last, all.length + 3)
        assert.deepStrictEqual(frames(viewer), [
          "video header",
          "audio header",
          "key @0",
          ...all.map((_, i) => `inter @${(i + 1) * 20}`)
        ])
        const after = yield* statistics
        assert.deepStrictEqual([after.connections, after.live.streams.length, after.live.viewers], [2, 1, 1])
      }),
    60_000
  )

  it.effect(
    "what is legal and odd is understood, however it is cut, and nobody else loses a frame",
    () =>
      Effect.gen(function* () {
        const { statistics } = yield* RtmpServer
        const publisher = yield* client
        yield* publisher.publish(yield* publisher.open("live"), "good")
        yield* publisher.send(Media.videoHeader(), Media.audioHeader(), Media.keyframe(0))
        const viewer = yield* client
        yield* viewer.play(yield* viewer.open("live"), "good")
        const to = yield* port
        let atMs = 0
        for (const { bytes, frames: expected, name, stream } of oddities) {
          for (const how of ["at once", "bytewise"] as const) {
            const watching = yield* client
            yield* watching.play(yield* watching.open("live"), stream)
            yield* Effect.scoped(
              Effect.gen(function* () {
                const socket = yield* connectedTo(to)
                socket.resume()
                if (how === "at once") socket.write(bytes)
                else for (const byte of bytes) socket.write(Uint8Array.of(byte))
                const got = yield* Effect.mapError(
                  watching.waitForMany(3 + expected.length, isFrame),
                  (error) => new Error(`${name}, ${how}: ${error.message}; ${watching.received.map(described)}`)
                )
                assert.deepStrictEqual(got.slice(3).map(described), expected.map(described), `${name}, ${how}`)
                // Nothing more may come: the end of the publisher is the end of the viewer.
                socket.end()
                yield* watching.waitForClose
                assert.strictEqual(watching.received.filter(isFrame).length, 3 + expected.length, `${name}, ${how}`)
              })
            )
            atMs += 20
            yield* publisher.send(Media.interFrame(atMs))
          }
        }
        yield* viewer.waitForMany(2 + 1 + 2 * oddities.length, isFrame)
        assert.deepStrictEqual(
          frames(viewer).slice(3),
          Array.from({ length: 2 * oddities.length }, (_, i) => `inter @${(i + 1) * 20}`)
        )
        const after = yield* statistics
        assert.deepStrictEqual([after.live.streams.length, after.live.viewers], [1, 1])
      }),
    120_000
  )

  it.effect.each(["FIN", "RST"] as const)(
    "a client of TLS that ends by a bare %s, without a word of TLS, is gone as any other",
    (how) =>
      Effect.gen(function* () {
        const server = yield* RtmpServer
        const securePort = (yield* server.addresses).find(({ protocol }) => protocol === "rtmps")!.port
        const socket = yield* connectedTo(securePort)
        // A socket that is reset has forgotten its port.
        let ownPort = 0
        const closed = yield* Effect.forkScoped(
          Stream.runHead(
            Stream.filter(server.events, (event) => event._tag === "ConnectionClosed" && event.remote.port === ownPort)
          )
        )
        yield* Effect.callback<void>((resume) => {
          socket.once("connect", () => {
            ownPort = socket.localPort!
            const tls = Tls.connect({ socket, rejectUnauthorized: false, servername: "localhost" })
            tls.on("error", () => {})
            tls.write(connected)
            // S0 to S2 and an answer to connect: the session is there.
            let received = 0
            tls.on("data", (bytes: Buffer) => {
              received += bytes.length
              if (received < 3_200) return
              if (how === "FIN") socket.end()
              else socket.resetAndDestroy()
              resume(Effect.void)
            })
          })
        })
        const event = yield* Fiber.join(closed)
        assert.deepInclude(event._tag === "Some" ? event.value : undefined, {
          reason: how === "FIN" ? "ClientClosed" : "ConnectionReset"
        })
      }),
    20_000
  )

  it.effect(
    "a viewer who does not read is let go, and the one beside it gets every frame",
    () =>
      Effect.gen(function* () {
        const server = yield* RtmpServer
        const publisher = yield* client
        yield* publisher.publish(yield* publisher.open("live"), "large")
        yield* publisher.send(Media.videoHeader(), large(0))
        const viewer = yield* client
        yield* viewer.play(yield* viewer.open("live"), "large")
        yield* viewer.waitForMany(2, isFrame)
        const stalled = yield* connectedTo(yield* port)
        stalled.pause()
        yield* Effect.callback<void>((resume) => {
          stalled.once("connect", () => resume(Effect.void))
        })
        const closed = yield* Effect.forkScoped(
          Stream.runHead(
            Stream.filter(
              server.events,
              (event) => event._tag === "ConnectionClosed" && event.remote.port === stalled.localPort
            )
          )
        )
        stalled.write(player("large"))
        // Each frame is sent when the one before it is there: the viewer who reads is never behind.
        let sent = 0
        for (; sent < 400; sent++) {
          yield* publisher.send(large(sent + 1))
          yield* viewer.waitFor(isFrame)
        }
        const event = yield* Fiber.join(closed)
        assert.include(
          ["OutboxStalled", "OutboxOverflow"],
          event._tag === "Some" && event.value._tag === "ConnectionClosed" ? event.value.reason : "no event"
        )
        yield* publisher.send(Media.interFrame(sent + 1))
        yield* viewer.waitFor(isFrame)
        assert.deepStrictEqual(
          viewer.received.filter(isFrame).map(({ timestamp }) => timestamp),
          [0, 0, ...Array.from({ length: sent + 1 }, (_, i) => i + 1)]
        )
      }),
    60_000
  )
})

/** A keyframe of 64 KiB. */
const large = (atMs: number): Message.Message => {
  const payload = new Uint8Array(65_536)
  payload.set(Media.keyframe(0).payload)
  return { ...Media.keyframe(atMs), payload }
}

const isFrame = ({ typeId }: Message.Message): boolean => typeId === 8 || typeId === 9

const described = ({ payload, timestamp, typeId }: Message.Message): string =>
  `${typeId} @${timestamp} ${Bytes.hex(payload)}`
