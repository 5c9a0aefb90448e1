import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Message from "../../src/protocol/Message.ts"
import * as ProtocolControl from "../../src/protocol/ProtocolControl.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { closes, events, gated, pass, publisher, settle } = TestServer

/** A keyframe of so many bytes. */
const large = (bytes: number): Message.Message => {
  const payload = new Uint8Array(bytes)
  payload.set(Media.keyframe(0).payload)
  return { ...Media.keyframe(0), payload }
}

const layer = TestServer.layer({
  limits: { maxMessageBytes: "64KiB", maxCommandBytes: "64KiB", maxMetadataBytes: "64KiB" },
  outbox: { maxBytes: "64KiB" }
})

describe("a connection that does not read", () => {
  // Whatever is larger than what the network holds stays with the server: 64 KiB in memory.
  const playing = (names: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const log = yield* events
      const from = yield* Effect.forEach(names, (name) =>
        Effect.tap(publisher(name), (client) => client.send(Media.videoHeader(), Media.keyframe(0)))
      )
      const { client, gate } = yield* gated
      yield* client.open("live")
      for (const name of names) {
        const streamId = name === names[0] ? 1 : yield* client.createStream
        yield* client.play(streamId, name)
      }
      yield* settle
      yield* gate.close
      return { log, from }
    })

  it.effect("may play two streams, whose bytes together are bounded: past that it is closed as too slow", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const { from, log } = yield* playing(["a", "b"])
      const [ofA, ofB] = from
      // What the viewer had asked for already.
      yield* ofA!.send(large(60_000))
      yield* settle
      // One batch, which the connection takes whole: 128 KiB may wait for it. Neither outbox holds anything.
      yield* ofA!.send(large(60_000), large(60_000))
      yield* settle
      assert.strictEqual((yield* server.statistics).live.viewers, 2)
      yield* ofB!.send(large(60_000))
      yield* settle
      assert.strictEqual((yield* server.statistics).live.viewers, 0)
      assert.deepStrictEqual(closes(log), ["OutboxOverflow in Subscribing"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("is closed when the answers it asked for are past their bound, and not for those that it read", () =>
    Effect.gen(function* () {
      const log = yield* events
      const { client, gate } = yield* gated
      yield* client.open("live")
      // Answered with Window Acknowledgement Size, of which at least five bytes are sent.
      const question = ProtocolControl.setPeerBandwidth(1_000_000, "dynamic")
      const ask = (count: number) => client.send(...Array.from({ length: count }, () => question))
      for (let i = 0; i < 20; i++) {
        yield* ask(5_000)
        yield* settle
      }
      assert.deepStrictEqual(closes(log), [])
      yield* gate.close
      for (let i = 0; i < 20; i++) {
        yield* Effect.ignore(ask(5_000))
        yield* settle
      }
      yield* pass("2 seconds")
      assert.deepStrictEqual(closes(log), ["LimitReached in Connected"])
    }).pipe(Effect.provide(layer))
  )
})

describe("publishers past limits.maxPublishers", () => {
  it.effect("are refused with a status that encoders show, and one warning in the log that names the limit", () =>
    Effect.gen(function* () {
      const log = yield* events
      const first = yield* publisher("a")
      yield* first.send(Media.videoHeader(), Media.keyframe(0))
      yield* publisher("b")
      const third = yield* TestServer.client
      const error = yield* Effect.flip(third.publish(yield* third.open("live"), "c"))
      assert.strictEqual(error.code, "NetStream.Publish.Rejected")
      yield* third.waitForClose
      yield* pass("2 seconds")
      const closed = log.flatMap((event) => (event._tag === "ConnectionClosed" ? [event] : []))
      assert.deepStrictEqual(closes(log), ["LimitReached in Connected"])
      assert.include(closed[0]?.detail, "limits.maxPublishers (2)")
      yield* first.call("deleteStream", [null, 1])
      yield* settle
      yield* publisher("c")
    }).pipe(Effect.provide(TestServer.layer({ limits: { maxPublishers: 2 } })))
  )

  it.effect("may take over a stream that is counted already", () =>
    Effect.gen(function* () {
      const first = yield* publisher("a")
      yield* first.send(Media.videoHeader(), Media.keyframe(0))
      yield* publisher("a")
      yield* first.waitForClose
      const second = yield* TestServer.client
      const error = yield* Effect.flip(second.publish(yield* second.open("live"), "b"))
      assert.strictEqual(error.code, "NetStream.Publish.Rejected")
    }).pipe(
      Effect.provide(
        TestServer.layer({ limits: { maxPublishers: 1 }, publisher: { conflict: "takeover" } }, TestServer.oneUser)
      )
    )
  )
})

describe("a publisher with two streams", () => {
  it.effect("keeps the other one when one is taken over", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const first = yield* publisher("a")
      yield* first.publish(yield* first.createStream, "b")
      yield* first.send(Media.videoHeader(), Media.keyframe(0))
      const second = yield* publisher("a")
      yield* first.waitForStatus("NetStream.Publish.Denied")
      yield* first.send(Media.keyframe(33), ...[Media.videoHeader(), Media.keyframe(33)].map(onSecond))
      yield* second.send(Media.videoHeader(), Media.keyframe(0))
      yield* settle
      const [one, two] = yield* server.connections
      assert.deepStrictEqual([one?.publishing, two?.publishing], [["live/b"], ["live/a"]])
      assert.strictEqual((yield* server.stream("live/b"))?.tracks[0]?.frames, 1)
      assert.strictEqual((yield* server.stream("live/a"))?.tracks[0]?.frames, 1)
    }).pipe(Effect.provide(TestServer.layer({ publisher: { conflict: "takeover" } }, TestServer.oneUser)))
  )
})

const onSecond = (message: Message.Message): Message.Message => ({ ...message, streamId: 2 })

describe("signs of life", () => {
  it.effect("are asked for in time also where that is sooner than the deadline of the handshake was", () =>
    Effect.gen(function* () {
      const log = yield* events
      yield* publisher("a")
      const viewer = yield* TestServer.viewer("a")
      const pings = () => viewer.received.filter(({ payload, typeId }) => typeId === 4 && payload[1] === 6).length
      yield* pass("700 millis")
      assert.strictEqual(pings(), 1)
      yield* viewer.send(ProtocolControl.acknowledgement(1))
      yield* pass("900 millis")
      assert.strictEqual(pings(), 2)
      yield* pass("2 seconds")
      assert.deepStrictEqual(closes(log), ["PingTimeout in Publishing", "PingTimeout in Subscribing"])
    }).pipe(Effect.provide(TestServer.layer({ session: { pingInterval: "500 ms", pingTimeout: "1500 ms" } })))
  )
})
