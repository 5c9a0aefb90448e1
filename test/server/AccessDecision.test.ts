import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type { AccessGrant } from "../../src/access/Authenticator.ts"
import { AccessDenied, Authenticator, anonymous } from "../../src/access/Authenticator.ts"
import { ReadAhead } from "../../src/server/AccessDecision.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import type { TransportError } from "../../src/server/Transport.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { client, closes, events, frames, pass, settle, viewer } = TestServer

/** Answers connect at once, and everything else when told. */
const slow = () => {
  const answers: Array<Deferred.Deferred<AccessGrant, AccessDenied>> = []
  const seen = { asked: 0, interrupted: 0 }
  const authenticator = Layer.succeed(Authenticator, {
    authorize: ({ action }) => {
      if (action !== "publish") return Effect.succeed(anonymous)
      const answer = Deferred.makeUnsafe<AccessGrant, AccessDenied>()
      answers.push(answer)
      seen.asked++
      return Effect.onInterrupt(Deferred.await(answer), () =>
        Effect.sync(() => {
          seen.interrupted++
        })
      )
    }
  })
  const answer = (reply: Effect.Effect<AccessGrant, AccessDenied>) =>
    Effect.andThen(Deferred.completeWith(answers.shift()!, reply), settle)
  return { authenticator, seen, answer }
}

const asking = Effect.gen(function* () {
  const from = yield* client
  yield* from.open("live")
  yield* from.call("publish", [null, "a", "live"], { streamId: 1 })
  yield* settle
  return from
})

describe("reading ahead", () => {
  it.effect("never begins a read while another one is under way, and gives what that one brings", () => {
    const reads: Array<Deferred.Deferred<ReadonlyArray<Uint8Array>, TransportError>> = []
    const pull = Effect.suspend(() => {
      const read = Deferred.makeUnsafe<ReadonlyArray<Uint8Array>, TransportError>()
      reads.push(read)
      return Deferred.await(read)
    })
    return Effect.gen(function* () {
      const ahead = new ReadAhead(pull)
      const answer = Deferred.makeUnsafe<string>()
      const waiting = yield* Effect.forkChild(ahead.during(Deferred.await(answer)))
      yield* settle
      yield* Deferred.succeed(answer, "yes")
      assert.strictEqual(yield* Fiber.join(waiting), "yes")
      const again = yield* Effect.forkChild(ahead.during(Effect.andThen(settle, Effect.succeed("and yes"))))
      assert.strictEqual(yield* Fiber.join(again), "and yes")
      const next = yield* Effect.forkChild(ahead.next)
      yield* settle
      assert.strictEqual(reads.length, 1)
      yield* Deferred.succeed(reads[0]!, [Uint8Array.of(1)])
      assert.deepStrictEqual(yield* Fiber.join(next), [Uint8Array.of(1)])
      const last = yield* Effect.forkChild(ahead.next)
      yield* settle
      assert.strictEqual(reads.length, 2)
      yield* Deferred.succeed(reads[1]!, [Uint8Array.of(2)])
      assert.deepStrictEqual(yield* Fiber.join(last), [Uint8Array.of(2)])
    })
  })
})

describe("a decision that takes time", () => {
  it.effect("is interrupted when the client leaves, at once", () => {
    const { authenticator, seen } = slow()
    return Effect.gen(function* () {
      const log = yield* events
      const from = yield* asking
      assert.deepStrictEqual(seen, { asked: 1, interrupted: 0 })
      yield* from.end
      yield* settle
      assert.deepStrictEqual(seen, { asked: 1, interrupted: 1 })
      assert.deepStrictEqual(closes(log), ["ClientClosed in Connected"])
    }).pipe(Effect.provide(TestServer.layer({}, { authenticator })))
  })

  it.effect("is interrupted when the client is kicked and goes", () => {
    const { authenticator, seen } = slow()
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      const from = yield* asking
      yield* server.kick("c1")
      yield* from.waitForClose
      yield* from.end
      yield* settle
      assert.strictEqual(seen.interrupted, 1)
      assert.strictEqual((yield* server.statistics).connections, 0)
    }).pipe(Effect.provide(TestServer.layer({}, { authenticator })))
  })

  it.effect("loses nothing of what the client sends meanwhile, in its order, and nothing of what comes after", () => {
    const { answer, authenticator } = slow()
    return Effect.gen(function* () {
      const from = yield* asking
      // Nobody waits for the answer: some clients send their media behind the command.
      yield* from.send(Media.videoHeader(), Media.audioHeader())
      yield* settle
      yield* from.send(Media.keyframe(0), Media.audio(1))
      yield* settle
      yield* answer(Effect.succeed(anonymous))
      yield* from.waitForStatus("NetStream.Publish.Start")
      const to = yield* viewer("a")
      yield* from.send(Media.interFrame(33), Media.audio(35))
      yield* settle
      const first = ["video header", "audio header", "key @0", "audio @1", "inter @33", "audio @35"]
      assert.deepStrictEqual(frames(to), first)
      // And the next decision waits as the first one did.
      yield* from.call("createStream", [null])
      yield* from.call("publish", [null, "b", "live"], { streamId: 2 })
      yield* settle
      yield* from.send(Media.interFrame(66))
      yield* settle
      yield* answer(Effect.succeed(anonymous))
      yield* from.send(Media.interFrame(99))
      yield* settle
      assert.deepStrictEqual(frames(to), [...first, "inter @66", "inter @99"])
    }).pipe(Effect.provide(TestServer.layer({}, { authenticator })))
  })

  it.effect("reads no more than 64 KiB ahead", () => {
    const { answer, authenticator } = slow()
    const megabyte = { ...Media.keyframe(0), payload: new Uint8Array(1_000_000) }
    megabyte.payload.set(Media.keyframe(0).payload)
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      const from = yield* asking
      const before = yield* Effect.map(server.connection("c1"), (it) => it?.bytesReceived ?? 0)
      yield* from.send(Media.videoHeader())
      let sent = 0
      const sending = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 10 }),
          () =>
            Effect.tap(from.send(megabyte), () =>
              Effect.sync(() => {
                sent++
              })
            ),
          { discard: true }
        )
      )
      yield* settle
      // The second one is held up by the network, which holds 64 KiB.
      assert.isAtMost(sent, 2)
      assert.strictEqual(yield* Effect.map(server.connection("c1"), (it) => it?.bytesReceived), before)
      yield* answer(Effect.succeed(anonymous))
      yield* TestServer.Fiber.join(sending)
      yield* settle
      assert.strictEqual((yield* server.stream("live/a"))?.tracks[0]?.frames, 10)
    }).pipe(Effect.provide(TestServer.layer({}, { authenticator })))
  })

  it.effect("is a refusal after half a minute", () => {
    const { authenticator, seen } = slow()
    return Effect.gen(function* () {
      const from = yield* asking
      yield* pass("29 seconds")
      assert.strictEqual(seen.interrupted, 0)
      yield* pass("2 seconds")
      yield* from.waitForStatus("NetStream.Publish.Denied")
      yield* from.waitForClose
      assert.strictEqual(seen.interrupted, 1)
    }).pipe(Effect.provide(TestServer.layer({}, { authenticator })))
  })

  it.effect("refuses as one that was there at once", () => {
    const { answer, authenticator } = slow()
    return Effect.gen(function* () {
      const from = yield* asking
      yield* answer(Effect.fail(new AccessDenied({ reason: "NotAllowed", description: "Friends only." })))
      const status = yield* from.waitForStatus("NetStream.Publish.Denied")
      assert.strictEqual(status.description, "Friends only.")
      yield* from.waitForClose
    }).pipe(Effect.provide(TestServer.layer({}, { authenticator })))
  })
})
