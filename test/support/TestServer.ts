/** A server in memory, under the test's clock, and clients for it. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import { TestClock } from "effect/testing"
import * as App from "../../src/App.ts"
import { Authenticator } from "../../src/access/Authenticator.ts"
import type { RtmpConfigInput } from "../../src/config/RtmpConfig.ts"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import type { AmfValue } from "../../src/protocol/amf/AmfValue.ts"
import * as Message from "../../src/protocol/Message.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import type { ServerEvent } from "../../src/server/ServerEvents.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as TestClient from "../../src/testing/TestClient.ts"
import { label } from "./Media.ts"

/**
 * A started server with some configuration and some parts replaced.
 *
 * It merges nothing, so that tests see every write, and does not wait for clients when the test is over.
 */
export const layer = (config: RtmpConfigInput = {}, parts: Partial<App.Parts> = {}) =>
  RtmpServer.layerStarted.pipe(
    Layer.provideMerge(App.layerWith(parts)),
    Layer.provideMerge(MemoryNetwork.layer),
    Layer.provide([
      NodeCrypto.layer,
      RtmpConfig.layer({ latency: { mergeWindow: 0 }, shutdown: { grace: 0 }, ...config })
    ]),
    Layer.provide(Logger.layer([]))
  )

/** Parts of a server that takes everybody for the same user. */
export const oneUser: Partial<App.Parts> = {
  authenticator: Layer.succeed(Authenticator, { authorize: () => Effect.succeed({ credential: "user:one" }) })
}

/** A client with its connection open and nothing sent. */
export const client = Effect.gen(function* () {
  const network = yield* MemoryNetwork
  return yield* TestClient.make(yield* network.connect(), { timeout: "1 hour" })
})

/** A client that reads only while the gate is open. It is open at first; what was asked for already still arrives. */
export const gated = Effect.gen(function* () {
  const network = yield* MemoryNetwork
  const socket = yield* network.connect()
  const gate = yield* Latch.make(true)
  const reader = Effect.map(socket.reader, (reader) => ({
    ...reader,
    pull: Effect.andThen(gate.await, reader.pull)
  }))
  const client = yield* TestClient.make(Socket.make({ reader, writer: socket.writer }), { timeout: "1 hour" })
  return { client, gate }
})

/** A client that publishes live/`name`. */
export const publisher = (name: string) =>
  Effect.gen(function* () {
    const publisher = yield* client
    yield* publisher.publish(yield* publisher.open("live"), name)
    return publisher
  })

/** A client that plays live/`name`, and was told so. */
export const viewer = (name: string) =>
  Effect.gen(function* () {
    const viewer = yield* client
    yield* viewer.play(yield* viewer.open("live"), name)
    return viewer
  })

/** A client that is connected with these capabilities (E-RTMP v2, capsEx), and has a stream 1 that does nothing. */
export const asking = (capsEx: number, members: Readonly<Record<string, AmfValue>> = {}) =>
  Effect.gen(function* () {
    const asking = yield* client
    yield* asking.handshake
    yield* asking.connect("live", { capsEx, ...members })
    yield* asking.createStream
    return asking
  })

/** Lets everything happen that can happen without time passing. */
export const settle: Effect.Effect<void> = Effect.gen(function* () {
  for (let i = 0; i < 20; i++) {
    yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
  }
})

/** Passes virtual time, and lets what is due happen. */
export const pass = (duration: Parameters<typeof TestClock.adjust>[0]) =>
  Effect.andThen(Effect.andThen(settle, TestClock.adjust(duration)), settle)

/** Audio and video that a client has received, labelled. */
export const frames = (client: TestClient.TestClient): ReadonlyArray<string> =>
  client.received.filter((message) => message.typeId === Message.AUDIO || message.typeId === Message.VIDEO).map(label)

/** Collects the events of the server from now on. */
export const events: Effect.Effect<ReadonlyArray<ServerEvent>, never, RtmpServer | Scope.Scope> = Effect.gen(
  function* () {
    const server = yield* RtmpServer
    const collected: Array<ServerEvent> = []
    yield* Effect.forkScoped(Stream.runForEach(server.events, (event) => Effect.sync(() => collected.push(event))))
    yield* settle
    return collected
  }
)

/** The closes among events, shortened. */
export const closes = (events: ReadonlyArray<ServerEvent>): ReadonlyArray<string> =>
  events.flatMap((event) => (event._tag === "ConnectionClosed" ? [`${event.reason} in ${event.stage}`] : []))

export { Fiber }
