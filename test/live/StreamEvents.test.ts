import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import { TestClock } from "effect/testing"
import { StreamEvents } from "../../src/live/StreamEvents.ts"

describe("StreamEvents", () => {
  it.effect("gives every listener all events, in order", () =>
    Effect.gen(function* () {
      const { emit, subscribe } = yield* StreamEvents
      const listeners = [yield* subscribe, yield* subscribe]
      for (let atMs = 0; atMs < 3; atMs++) emit({ _tag: "Resumed", streamKey: "live/a", atMs })
      yield* TestClock.adjust(0)
      for (const listener of listeners) {
        const events = yield* PubSub.takeAll(listener)
        assert.deepStrictEqual(
          events.map(({ atMs }) => atMs),
          [0, 1, 2]
        )
      }
    }).pipe(Effect.provide(StreamEvents.layer))
  )

  it.effect("drops the oldest events for a listener who falls behind, and never waits for one", () =>
    Effect.gen(function* () {
      const { emit, subscribe } = yield* StreamEvents
      const listener = yield* subscribe
      for (let atMs = 0; atMs < 50; atMs++) {
        emit({ _tag: "Resumed", streamKey: "live/a", atMs })
        if (atMs % 3 === 0) yield* TestClock.adjust(0)
      }
      yield* TestClock.adjust(0)
      const events = yield* PubSub.takeAll(listener)
      assert.deepStrictEqual(
        events.map(({ atMs }) => atMs),
        [46, 47, 48, 49]
      )
    }).pipe(Effect.provide(StreamEvents.layerWith(4)))
  )

  it.effect("runs no listener inside of emit", () =>
    Effect.gen(function* () {
      const { emit, subscribe } = yield* StreamEvents
      const listener = yield* subscribe
      let heard = 0
      yield* Effect.forkChild(
        Effect.map(PubSub.take(listener), () => {
          heard++
        })
      )
      yield* TestClock.adjust(0)
      emit({ _tag: "Resumed", streamKey: "live/a", atMs: 0 })
      assert.strictEqual(heard, 0)
      yield* TestClock.adjust(0)
      assert.strictEqual(heard, 1)
    }).pipe(Effect.provide(StreamEvents.layer))
  )
})
