import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Histogram from "../../src/live/Histogram.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"

const ascending = Arbitrary.map(Arbitrary.array(integer(0, 400), { maxLength: 12 }), (bounds) =>
  [...new Set(bounds)].sort((a, b) => a - b)
)

describe("Histogram", () => {
  it.prop(
    "counts as one does who keeps every value",
    [ascending, Arbitrary.array(integer(-20, 450), { maxLength: 60 })],
    ([bounds, values]) => {
      const histogram = Histogram.make(bounds)
      for (const value of values) histogram.observe(value)
      const kept = values.map((value) => Math.max(0, value))
      assert.deepStrictEqual(histogram.snapshot(), {
        buckets: bounds.map((bound) => [bound, kept.filter((value) => value <= bound).length] as const),
        count: kept.length,
        sumMs: kept.reduce((sum, value) => sum + value, 0),
        minMs: kept.length === 0 ? 0 : Math.min(...kept),
        maxMs: Math.max(0, ...kept)
      })
      assert.strictEqual(histogram.count, kept.length)
    }
  )

  it("counts a value at a bound within it, and one past it in the next bucket", () => {
    const histogram = Histogram.make([1, 2.5])
    for (const value of [1, 1.000001, 2.5, 2.500001]) histogram.observe(value)
    assert.deepStrictEqual(histogram.snapshot().buckets, [
      [1, 1],
      [2.5, 3]
    ])
    assert.strictEqual(histogram.snapshot().count, 4)
  })

  it("does not count what is no number", () => {
    const histogram = Histogram.make([1])
    histogram.observe(Number.NaN)
    assert.strictEqual(histogram.snapshot().count, 0)
    assert.strictEqual(histogram.snapshot().sumMs, 0)
  })

  it("refuses bounds that do not ascend, or are not finite", () => {
    for (const bounds of [[2, 1], [1, 1], [Number.NaN], [Number.POSITIVE_INFINITY]]) {
      assert.throws(() => Histogram.make(bounds), RangeError)
    }
  })
})
