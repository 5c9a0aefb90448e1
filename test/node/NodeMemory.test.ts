import * as Os from "node:os"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as NodeMemory from "../../src/node/NodeMemory.ts"
import { MemoryStatus } from "../../src/server/Admission.ts"

describe("the memory of a Node process", () => {
  it.effect("is what the system says is left: something, and not more than the machine has", () =>
    Effect.gen(function* () {
      const { freeBytes } = yield* MemoryStatus
      assert.isAbove(freeBytes(), 0)
      assert.isAtMost(freeBytes(), Os.totalmem())
    }).pipe(Effect.provide(NodeMemory.layer))
  )

  it.effect("is without bound where nobody tells", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* MemoryStatus).freeBytes(), Number.POSITIVE_INFINITY)
    })
  )
})
