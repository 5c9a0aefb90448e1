import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { SessionError } from "../../src/protocol/Session.ts"
import { Closing } from "../../src/server/Closing.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { client, closes, events, pass, publisher, settle, viewer } = TestServer

const mebibyte = 1024 * 1024

describe("a closing", () => {
  const ended = new SessionError({ reason: "StreamEnded", detail: "the stream ended" })

  it("gives a viewer ten seconds from each sign of life, and thirty in all", () => {
    const closing = new Closing(ended, false, 1_000)
    assert.strictEqual(closing.untilMs, 11_000)
    closing.received(16, 9_000)
    assert.strictEqual(closing.untilMs, 19_000)
    closing.received(16, 25_000)
    assert.strictEqual(closing.untilMs, 31_000)
  })

  it("gives one second to a publisher, and to whoever did wrong, whatever they send", () => {
    const wrong = new SessionError({ reason: "MalformedCommand", detail: "wrong" })
    for (const closing of [new Closing(ended, true, 1_000), new Closing(wrong, false, 1_000)]) {
      closing.received(16, 1_900)
      assert.strictEqual(closing.untilMs, 2_000)
    }
  })

  it("takes four mebibytes and not a byte more", () => {
    const closing = new Closing(ended, false, 0)
    assert.isFalse(closing.received(4 * mebibyte, 1))
    assert.isTrue(closing.received(1, 2))
  })
})

describe("a connection at its end", () => {
  const ending = Effect.gen(function* () {
    const log = yield* events
    const from = yield* publisher("a")
    yield* from.send(Media.videoHeader(), Media.keyframe(0))
    const to = yield* viewer("a")
    yield* from.call("deleteStream", [null, 1])
    yield* to.waitForClose
    yield* settle
    return { log, to }
  })
  // The publisher is still connected.
  const open = Effect.flatMap(RtmpServer, (server) =>
    Effect.map(server.statistics, (statistics) => statistics.connections - 1)
  )
  const layer = TestServer.layer({ session: { idleTimeout: "5 minutes", pingTimeout: "5 minutes" } })

  it.effect("is waited for while the viewer, who has had the last byte, closes its side", () =>
    Effect.gen(function* () {
      const { log, to } = yield* ending
      yield* pass("9 seconds")
      assert.strictEqual(yield* open, 1)
      assert.deepStrictEqual(closes(log), [])
      yield* to.end
      yield* settle
      assert.strictEqual(yield* open, 0)
      assert.deepStrictEqual(closes(log), ["StreamEnded in Subscribing"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("is over after ten seconds without a sign of life", () =>
    Effect.gen(function* () {
      yield* ending
      yield* pass("9900 millis")
      assert.strictEqual(yield* open, 1)
      yield* pass("200 millis")
      assert.strictEqual(yield* open, 0)
    }).pipe(Effect.provide(layer))
  )

  it.effect("is over after thirty seconds with any number of them, which are not answered", () =>
    Effect.gen(function* () {
      const { to } = yield* ending
      const received = to.bytesReceived()
      for (let i = 0; i < 5; i++) {
        yield* pass("5 seconds")
        yield* to.sendRaw(new Uint8Array(16))
        yield* settle
        assert.strictEqual(yield* open, 1)
      }
      yield* pass("4900 millis")
      assert.strictEqual(yield* open, 1)
      yield* pass("200 millis")
      assert.strictEqual(yield* open, 0)
      assert.strictEqual(to.bytesReceived(), received)
    }).pipe(Effect.provide(layer))
  )

  it.effect("is over at once when the peer floods it", () =>
    Effect.gen(function* () {
      const { to } = yield* ending
      yield* Effect.ignore(to.sendRaw(new Uint8Array(4 * mebibyte + 1)))
      yield* settle
      assert.strictEqual(yield* open, 0)
    }).pipe(Effect.provide(layer))
  )

  it.effect("is read on for a second after an error, so that the status reaches the client", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const wrong = yield* client
      const streamId = yield* wrong.open("live")
      yield* wrong.call("publish", [null, "", "live"], { streamId })
      yield* wrong.waitForStatus("NetStream.Publish.BadName")
      yield* wrong.waitForClose
      yield* wrong.sendRaw(new Uint8Array(100_000))
      yield* pass("900 millis")
      assert.strictEqual((yield* server.statistics).connections, 1)
      yield* pass("200 millis")
      assert.strictEqual((yield* server.statistics).connections, 0)
    }).pipe(Effect.provide(layer))
  )
})
