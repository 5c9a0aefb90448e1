import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Histogram from "../../src/live/Histogram.ts"
import * as Instruments from "../../src/observability/Instruments.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"

const colours = ["red", "green"] as const
const sizes = ["small", "large", Instruments.other] as const

const isolated = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, Metric.MetricRegistry, new Map())

describe("Counters", () => {
  it.prop(
    "count each combination of labels by itself",
    [Arbitrary.array(integer(0, 5), { maxLength: 40 })],
    ([steps]) => {
      const counters = new Instruments.Counters({ colour: colours, size: sizes })
      const model = new Map<string, number>()
      steps.forEach((step, by) => {
        const labels = { colour: colours[step % 2]!, size: sizes[Math.floor(step / 2)]! }
        counters.add(labels, by)
        const key = `${labels.colour} ${labels.size}`
        model.set(key, (model.get(key) ?? 0) + by)
      })
      for (const { labels, read } of counters.series) {
        assert.strictEqual(read(), model.get(`${labels?.colour} ${labels?.size}`) ?? 0)
      }
      assert.strictEqual(counters.series.length, 6)
      assert.strictEqual(
        counters.total,
        [...model.values()].reduce((sum, count) => sum + count, 0)
      )
    }
  )

  it("have no label but those that they were made with", () => {
    const counters: Instruments.Counters<Instruments.Labels> = new Instruments.Counters({ colour: ["red"] })
    for (const labels of [{ colour: "blue" }, { colour: "__proto__" }, { size: "red" }, {}]) {
      assert.throws(() => counters.add(labels), RangeError)
    }
    assert.strictEqual(counters.series.length, 1)
  })

  it("do not count backwards", () => {
    const counters = new Instruments.Counters({ colour: colours })
    for (const by of [-1, Number.NaN]) assert.throws(() => counters.add({ colour: "red" }, by), RangeError)
    assert.strictEqual(counters.value({ colour: "red" }), 0)
  })
})

describe("known", () => {
  it("gives back what it knows and `Other` for the rest", () => {
    assert.strictEqual(Instruments.known(colours, "green"), "green")
    for (const text of ["", "GREEN", "toString", "stream/key"]) {
      assert.strictEqual(Instruments.known(colours, text), "Other")
    }
  })
})

describe("register", () => {
  it.effect("puts plain numbers into Effect's registry as they are when somebody reads, until the scope closes", () =>
    isolated(
      Effect.gen(function* () {
        let count = 1
        const histogram = Histogram.make([10, 500])
        const read = Effect.map(Metric.snapshot, (metrics) => metrics.map(({ id, state }) => [id, state]))
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Instruments.register([
              { name: "a_total", help: "A.", type: "counter", series: [{ read: () => count }] },
              { name: "b", help: "B.", type: "gauge", series: [{ labels: { of: "x" }, read: () => -count }] },
              { name: "c_seconds", help: "C.", type: "histogram", series: [{ read: () => histogram.snapshot() }] }
            ])
            count = 7
            histogram.observe(250)
            assert.deepStrictEqual(yield* read, [
              ["a_total", { count: 7, incremental: true }],
              ["b", { value: -7 }],
              [
                "c_seconds",
                {
                  buckets: [
                    [0.01, 0],
                    [0.5, 1]
                  ],
                  count: 1,
                  sum: 0.25,
                  min: 0.25,
                  max: 0.25
                }
              ]
            ])
          })
        )
        assert.deepStrictEqual(yield* read, [])
      })
    )
  )
})

describe("perTurn", () => {
  it.effect("reads once for all who ask in one turn, and anew in the next", () =>
    Effect.gen(function* () {
      let reads = 0
      const read = Instruments.perTurn(() => ++reads)
      assert.deepStrictEqual([read(), read(), read()], [1, 1, 1])
      yield* Effect.promise(() => Promise.resolve())
      assert.deepStrictEqual([read(), read()], [2, 2])
    })
  )
})
