import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as Diagnostics from "../../src/server/Diagnostics.ts"
import * as LastWords from "../../src/server/LastWords.ts"

const cause = Cause.die(new Error("a bug"))
const report = Diagnostics.discard.report(1)

describe("last words", () => {
  it.effect("are said by all who are there, whatever the others do", () =>
    Effect.gen(function* () {
      const { add, tell } = LastWords.make()
      const heard: Array<unknown> = []
      add(() => {
        throw new Error("a bug of the first")
      })
      add(() => Effect.die(new Error("a bug of the second")))
      add((...about) => Effect.sync(() => void heard.push(about)))
      const remove = add(() => Effect.sync(() => void heard.push("who is gone")))
      remove()
      yield* tell(cause, report)
      assert.deepStrictEqual(heard, [[cause, report]])
    })
  )

  it.effect("keep the process for no longer than their time", () =>
    Effect.gen(function* () {
      const { add, tell } = LastWords.make()
      add(() => Effect.never)
      const telling = yield* Effect.forkChild(tell(cause, report))
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(telling.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(telling)
    })
  )
})
