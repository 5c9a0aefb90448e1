/**
 * Hostile peers at the sockets of a running server, beside a publisher and a viewer who must lose nothing.
 *
 * Each peer sends its bytes and waits until the server has closed the connection. Between any two of them the publisher
 * sends a frame, and in the end the viewer has every one of them, and the server nobody else.
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
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import type { ServerEvent } from "../../src/server/ServerEvents.ts"
import * as TestClient from "../../src/testing/TestClient.ts"
import * as Media from "../support/Media.ts"
import * as TestAuthority from "../support/TestAuthority.ts"
import { frames } from "../support/TestServer.ts"
import { type How, peers, securePeers } from "./Peers.ts"

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

/** Sends bytes, and gives the reason with which the server closed the connection. */
const attack = (to: number, bytes: Uint8Array, how: How): Effect.Effect<string, Error, RtmpServer | Scope.Scope> =>
  Effect.gen(function* () {
    const server = yield* RtmpServer
    const socket = yield* Effect.acquireRelease(
      Effect.sync(() => Net.connect({ port: to, host: "127.0.0.1", noDelay: true })),
      (socket) => Effect.sync(() => socket.destroy())
    )
    let ownPort = 0
    const isOurs = (event: ServerEvent) => event._tag === "ConnectionClosed" && event.remote.port === ownPort
    const closed = yield* Effect.forkScoped(Stream.runHead(Stream.filter(server.events, isOurs)))
    yield* Effect.callback<void>((resume) => {
      socket.on("error", () => {})
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
        for (const [i, [name, bytes, , how]] of all.entries()) {
          const to = i < peers.length ? plainPort : securePort
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
})
