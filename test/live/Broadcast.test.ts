import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as Broadcast from "../../src/live/Broadcast.ts"

/** Lets fibers run that wait for nothing else. */
const settle = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

describe("Broadcast", () => {
  it.effect("tells every subscriber, from its subscription on, and forgets what nobody wanted", () =>
    Effect.gen(function* () {
      const { emit, values } = yield* Broadcast.make<number>()
      emit(1)
      const first = yield* Effect.forkChild(Stream.runCollect(Stream.take(values, 2)))
      yield* settle
      emit(2)
      yield* settle
      const second = yield* Effect.forkChild(Stream.runCollect(Stream.take(values, 1)))
      yield* settle
      emit(3)
      assert.deepStrictEqual([...(yield* Fiber.join(first))], [2, 3])
      assert.deepStrictEqual([...(yield* Fiber.join(second))], [3])
    })
  )

  it.effect("runs no subscriber on the stack of whoever emits", () =>
    Effect.gen(function* () {
      const { emit, values } = yield* Broadcast.make<number>()
      const seen: Array<number> = []
      yield* Effect.forkChild(Stream.runForEach(values, (value) => Effect.sync(() => seen.push(value))))
      yield* settle
      emit(1)
      assert.deepStrictEqual(seen, [])
      yield* settle
      assert.deepStrictEqual(seen, [1])
    })
  )
})
