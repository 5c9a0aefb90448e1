import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { Distribution } from "../../src/live/Distribution.ts"
import { defaultLiveOptions } from "../../src/live/LiveOptions.ts"
import * as LiveStreamStream from "../../src/live/LiveStreamStream.ts"
import { StreamEvents } from "../../src/live/StreamEvents.ts"
import { StreamRegistry } from "../../src/live/StreamRegistry.ts"
import { MediaClassifier } from "../../src/media/MediaFrame.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as LiveArbitrary from "../../src/testing/LiveArbitrary.ts"
import { letters } from "./Recording.ts"

const key = "live/a"
const options = {
  ...defaultLiveOptions,
  chunkSize: 128,
  publisher: { ...defaultLiveOptions.publisher, conflict: "takeover", resumeGraceMs: 1_000 },
  outbox: { ...defaultLiveOptions.outbox, stallTimeoutMs: 500 }
} as const

const Live = StreamRegistry.layerWith(options).pipe(
  Layer.provide([StreamEvents.layer, MediaClassifier.layer, Distribution.layer])
)

const message = (kind: LiveArbitrary.MediaContent["kind"], number: number, bytes = 300) =>
  LiveArbitrary.message({ kind, number }, number * 20, bytes)

const text = (messages: ReadonlyArray<Message>): string =>
  letters(messages.map(({ payload, typeId }) => LiveArbitrary.read(typeId, payload)!))

describe("LiveStreamStream", () => {
  it.effect("carries what is published from a stream to who subscribed as a stream", () =>
    Effect.gen(function* () {
      const watching = yield* Effect.forkChild(
        Stream.runCollect(LiveStreamStream.subscribe(key, { waitForPublisher: true }))
      )
      yield* TestClock.adjust(0)
      const sent = [
        message("VideoHeader", 0),
        message("Keyframe", 1),
        message("InterFrame", 2),
        { ...message("InterFrame", 3), typeId: 20 }
      ]
      yield* LiveStreamStream.publishFrom(key, Stream.fromIterable(sent), { publisherId: "me" })
      const batches = yield* Fiber.join(watching)
      const messages = batches.flat()
      assert.strictEqual(text(messages), "V0 K1 i2")
      assert.deepStrictEqual(
        messages.map(({ payload, timestamp }) => ({ payload, timestamp })),
        sent.slice(0, 3).map(({ payload, timestamp }) => ({ payload, timestamp }))
      )
    }).pipe(Effect.provide(Live))
  )

  it.effect("gives a late subscriber headers and the cached frames as its first batch", () =>
    Effect.gen(function* () {
      const source = yield* Queue.make<Message>()
      yield* Effect.forkChild(LiveStreamStream.publishFrom(key, Stream.fromQueue(source), { publisherId: "me" }))
      yield* Queue.offerAll(source, [message("VideoHeader", 0), message("Keyframe", 1), message("InterFrame", 2)])
      yield* TestClock.adjust(0)
      const batches = yield* Stream.runCollect(Stream.take(LiveStreamStream.subscribe(key), 1))
      assert.strictEqual(text(batches[0]!), "V0 K1 i2")
      const registry = yield* StreamRegistry
      assert.strictEqual(registry.get(key)!.viewers, 0, "the subscription left with its scope")
    }).pipe(Effect.provide(Live))
  )

  it.effect("fails where there is no stream, and after a wait in vain", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(Stream.runDrain(LiveStreamStream.subscribe(key)))
      assert.strictEqual(missing._tag, "StreamNotFound")
      const waiting = yield* Effect.forkChild(
        Effect.flip(Stream.runDrain(LiveStreamStream.subscribe(key, { waitForPublisher: true })))
      )
      yield* TestClock.adjust(options.play.waitTimeoutMs + 1)
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "StreamNotFound")
    }).pipe(Effect.provide(Live))
  )

  it.effect("loses a consumer that stops pulling, with a bounded number of batches", () =>
    Effect.gen(function* () {
      const registry = yield* StreamRegistry
      const source = yield* Queue.make<Message>()
      yield* Effect.forkChild(LiveStreamStream.publishFrom(key, Stream.fromQueue(source), { publisherId: "me" }))
      const gate = yield* Queue.make<void>()
      let pulled = 0
      const consumer = yield* Effect.forkChild(
        LiveStreamStream.subscribe(key, { waitForPublisher: true, bufferBatches: 2 }).pipe(
          Stream.runForEach(() =>
            Effect.suspend(() => {
              pulled++
              return Queue.take(gate)
            })
          ),
          Effect.flip
        )
      )
      yield* TestClock.adjust(0)
      for (let i = 0; i < 10; i++) {
        yield* Queue.offer(source, i === 0 ? message("VideoHeader", 0) : message("Keyframe", i))
        yield* TestClock.adjust(10)
      }
      assert.strictEqual(pulled, 1)
      assert.strictEqual(registry.statistics(registry.nowMs()).blockedViewers, 1)
      yield* TestClock.adjust(500)
      assert.strictEqual(registry.statistics(registry.nowMs()).viewers, 0)
      yield* Queue.offerAll(
        gate,
        Array.from({ length: 20 }, () => undefined)
      )
      const lost = yield* Fiber.join(consumer)
      assert.deepInclude(lost, { _tag: "SubscriptionLost", reason: "Stalled" })
      assert.strictEqual(pulled, 3)
    }).pipe(Effect.provide(Live))
  )

  it.effect("ends the stream with its source, and keeps its viewers when the source fails", () =>
    Effect.gen(function* () {
      const registry = yield* StreamRegistry
      const failing = Stream.concat(Stream.make(message("VideoHeader", 0)), Stream.fail("broken"))
      const failed = yield* Effect.flip(LiveStreamStream.publishFrom(key, failing, { publisherId: "me" }))
      assert.strictEqual(failed, "broken")
      assert.strictEqual(registry.statistics(0).streams[0]!.state, "Vanished")
      yield* LiveStreamStream.publishFrom(key, Stream.make(message("VideoHeader", 0)), { publisherId: "me" })
      assert.strictEqual(registry.get(key), undefined)
      const interrupted = yield* Effect.forkChild(
        LiveStreamStream.publishFrom(key, Stream.never, { publisherId: "me" })
      )
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(interrupted)
      assert.strictEqual(registry.statistics(0).streams[0]!.state, "Vanished")
    }).pipe(Effect.provide(Live))
  )

  it.effect("fails the publisher that another one replaces", () =>
    Effect.gen(function* () {
      const first = yield* Effect.forkChild(
        Effect.exit(LiveStreamStream.publishFrom(key, Stream.never, { publisherId: "one", credential: "k" }))
      )
      yield* TestClock.adjust(0)
      const refused = yield* Effect.flip(
        LiveStreamStream.publishFrom(key, Stream.never, { publisherId: "two", credential: "other" })
      )
      assert.strictEqual(refused._tag, "PublishConflict")
      yield* Effect.forkChild(
        LiveStreamStream.publishFrom(key, Stream.never, { publisherId: "three", credential: "k" })
      )
      yield* TestClock.adjust(0)
      const exit = yield* Fiber.join(first)
      assert.isTrue(Exit.isFailure(exit))
      const registry = yield* StreamRegistry
      assert.strictEqual(registry.statistics(0).streams[0]!.publisherId, "three")
      assert.strictEqual(registry.statistics(0).streams[0]!.state, "Live")
    }).pipe(Effect.provide(Live))
  )
})
