import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { ExpiringMap } from "../../src/access/ExpiringMap.ts"
import { FailureLimiter, layerWith, make } from "../../src/access/FailureLimiter.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"
import { oneOf } from "./Requests.ts"

const fail = (limiter: FailureLimiter["Service"], address: string, times: number): ReadonlyArray<boolean> =>
  Array.from({ length: times }, () => limiter.failed(address))

describe("FailureLimiter", () => {
  it.effect("blocks at the fifth failure within a minute, and only then", () =>
    Effect.gen(function* () {
      const limiter = yield* FailureLimiter
      assert.deepStrictEqual(fail(limiter, "192.0.2.1", 4), [false, false, false, false])
      assert.isFalse(limiter.isBlocked("192.0.2.1"))
      assert.isTrue(limiter.failed("192.0.2.1"))
      assert.isTrue(limiter.isBlocked("192.0.2.1"))
      assert.isTrue(limiter.isBlocked("::ffff:192.0.2.1"))
      assert.isFalse(limiter.isBlocked("192.0.2.2"))
    }).pipe(Effect.provide(FailureLimiter.layer))
  )

  it.effect("forgets failures after a minute each", () =>
    Effect.gen(function* () {
      const limiter = yield* FailureLimiter
      fail(limiter, "192.0.2.1", 2)
      yield* TestClock.adjust("40 seconds")
      fail(limiter, "192.0.2.1", 2)
      yield* TestClock.adjust("21 seconds")
      // The first two are a minute old.
      fail(limiter, "192.0.2.1", 2)
      assert.isFalse(limiter.isBlocked("192.0.2.1"))
      limiter.failed("192.0.2.1")
      assert.isTrue(limiter.isBlocked("192.0.2.1"))
    }).pipe(Effect.provide(FailureLimiter.layer))
  )

  it.effect("frees after the time of the block, counted from the last failure", () =>
    Effect.gen(function* () {
      const limiter = yield* FailureLimiter
      fail(limiter, "192.0.2.1", 5)
      yield* TestClock.adjust("1 minute")
      assert.isFalse(limiter.failed("192.0.2.1"), "it was blocked before")
      yield* TestClock.adjust("119 seconds")
      assert.isTrue(limiter.isBlocked("192.0.2.1"))
      assert.deepStrictEqual(limiter.blocked(), [{ address: "192.0.2.1", remainingMs: 1_000 }])
      yield* TestClock.adjust("1 second")
      assert.isFalse(limiter.isBlocked("192.0.2.1"))
      assert.deepStrictEqual(limiter.blocked(), [])
      assert.isFalse(limiter.failed("192.0.2.1"), "it begins anew")
    }).pipe(Effect.provide(layerWith({ blockDuration: "2 minutes" })))
  )

  it.effect("takes a /64 for one, and frees it by any of its addresses or its name", () =>
    Effect.gen(function* () {
      const limiter = yield* FailureLimiter
      for (let i = 1; i <= 5; i++) limiter.failed(`2001:db8::${i}`)
      assert.isTrue(limiter.isBlocked("2001:db8::ffff"))
      assert.isFalse(limiter.isBlocked("2001:db8:0:1::1"))
      assert.isTrue(limiter.unblock(limiter.blocked()[0]!.address))
      assert.isFalse(limiter.isBlocked("2001:db8::ffff"))
      assert.isFalse(limiter.unblock("2001:db8::1"))
    }).pipe(Effect.provide(FailureLimiter.layer))
  )

  it.effect("keeps no more addresses than it may, whatever comes", () =>
    Effect.gen(function* () {
      const limiter = yield* make({ maxAddresses: 3, maxFailures: 1 })
      for (let i = 0; i < 100; i++) limiter.failed(`192.0.2.${i}`)
      assert.deepStrictEqual(
        limiter.blocked().map(({ address }) => address),
        ["192.0.2.97", "192.0.2.98", "192.0.2.99"]
      )
    })
  )
})

describe("ExpiringMap", () => {
  const step = Arbitrary.all({
    key: oneOf("a", "b", "c", "d"),
    what: oneOf("set", "get", "take", "delete"),
    lasts: integer(1, 5)
  })

  it.prop(
    "holds what a table without bounds would, as far as it has not ended or made room",
    [Arbitrary.array(step, { maxLength: 40 })],
    ([steps]) => {
      const map = new ExpiringMap<number>(2)
      let model: Array<{ readonly key: string; readonly value: number; readonly ends: number }> = []
      for (const [now, { key, lasts, what }] of steps.entries()) {
        const found = model.find((entry) => entry.key === key && entry.ends > now)
        if (what === "get") assert.strictEqual(map.get(key, now), found?.value)
        else if (what === "take") assert.strictEqual(map.take(key, now), found?.value)
        if (what === "delete") map.delete(key)
        if (what !== "get" || found === undefined) model = model.filter((entry) => entry.key !== key)
        if (what === "set") {
          map.set(key, now, now + lasts)
          model.push({ key, value: now, ends: now + lasts })
          if (model.length > 2) model.shift()
        }
        assert.strictEqual(map.size, model.length)
      }
    },
    { arbitrary: { runs: 500 } }
  )
})
