import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { CheckResult } from "../../src/observability/Health.ts"
import { failed, Health, layerRuntime, passed } from "../../src/observability/Health.ts"
import type { RuntimeSample } from "../../src/observability/RuntimeMetrics.ts"
import { RuntimeStats } from "../../src/observability/RuntimeMetrics.ts"

const run = <A, E>(effect: Effect.Effect<A, E, Health>) => Effect.provide(effect, Health.layer)

const register = (name: string, check: Effect.Effect<CheckResult, unknown>, critical = false) =>
  Effect.flatMap(Health, (health) => health.register({ name, check, critical }))

describe("Health", () => {
  it.effect("is live and ready without a check", () =>
    run(
      Effect.gen(function* () {
        const health = yield* Health
        assert.deepStrictEqual(yield* health.live, { status: "ok", checks: [] })
        assert.deepStrictEqual(yield* health.ready, { status: "ok", checks: [] })
      })
    )
  )

  it.effect("asks the critical checks whether to live, and all of them whether it is ready", () =>
    run(
      Effect.scoped(
        Effect.gen(function* () {
          const health = yield* Health
          yield* register("good", Effect.succeed(passed))
          yield* register("vital", Effect.succeed(passed), true)
          yield* register("bad", Effect.succeed(failed("it is broken")))
          assert.deepStrictEqual(yield* health.live, {
            status: "ok",
            checks: [{ name: "vital", ok: true, reason: "" }]
          })
          assert.deepStrictEqual(yield* health.ready, {
            status: "failing",
            checks: [
              { name: "good", ok: true, reason: "" },
              { name: "vital", ok: true, reason: "" },
              { name: "bad", ok: false, reason: "it is broken" }
            ]
          })
          yield* register("vital", Effect.succeed(failed("dead")), true)
          assert.strictEqual((yield* health.live).status, "failing")
        })
      )
    )
  )

  it.effect("takes failures, defects and silence for failed checks, and waits for each no longer than a second", () =>
    run(
      Effect.scoped(
        Effect.gen(function* () {
          const health = yield* Health
          yield* register("fails", Effect.fail(new Error("no file")))
          yield* register("dies", Effect.die(new Error("oops")))
          yield* register(
            "throws",
            Effect.suspend(() => {
              throw new Error("thrown")
            })
          )
          yield* register("hangs", Effect.never)
          yield* register("hangs too", Effect.never)
          const asked = yield* Effect.forkChild(health.ready)
          yield* TestClock.adjust("999 millis")
          assert.isUndefined(asked.pollUnsafe())
          yield* TestClock.adjust("1 millis")
          const report = yield* Fiber.join(asked)
          assert.deepStrictEqual(
            report.checks.map((check) => [check.name, check.ok]),
            ["fails", "dies", "throws", "hangs", "hangs too"].map((name) => [name, false])
          )
          assert.match(report.checks[0]!.reason, /no file/)
          assert.match(report.checks[1]!.reason, /oops/)
          assert.strictEqual(report.checks[3]!.reason, "no answer within 1 second")
          for (const { reason } of report.checks) assert.notInclude(reason, "\n")
        })
      )
    )
  )

  it.effect("forgets a check with its scope, and lets a newer one of the same name be", () =>
    run(
      Effect.gen(function* () {
        const health = yield* Health
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Effect.scoped(
              Effect.gen(function* () {
                yield* register("a", Effect.succeed(failed("old")))
                assert.strictEqual((yield* health.ready).status, "failing")
              })
            )
            assert.deepStrictEqual((yield* health.ready).checks, [])
            yield* register("a", Effect.succeed(passed))
          }).pipe(Effect.andThen(register("a", Effect.succeed(failed("new")))))
        )
        assert.deepStrictEqual((yield* health.ready).checks, [])
      })
    )
  )

  it.effect("tells of changes and of nothing else, with what fails", () =>
    run(
      Effect.scoped(
        Effect.gen(function* () {
          const health = yield* Health
          let result: CheckResult = passed
          const told = yield* Effect.forkScoped(Stream.runCollect(Stream.take(health.transitions, 3)), {
            startImmediately: true
          })
          yield* register(
            "changing",
            Effect.sync(() => result),
            true
          )
          yield* health.ready
          yield* health.live
          result = failed("first")
          yield* health.ready
          yield* health.ready
          yield* health.live
          result = passed
          yield* health.ready
          assert.deepStrictEqual(yield* Fiber.join(told), [
            { probe: "ready", status: "failing", failing: [{ name: "changing", ok: false, reason: "first" }] },
            { probe: "live", status: "failing", failing: [{ name: "changing", ok: false, reason: "first" }] },
            { probe: "ready", status: "ok", failing: [] }
          ])
        })
      )
    )
  )

  it.effect("looks at the event loop and the memory of the process, at and past their limits", () => {
    const process = { lagMs: 0, resident: 0 }
    const stats = RuntimeStats.of({
      gcPauses: {} as RuntimeStats["Service"]["gcPauses"],
      setActive: () => {},
      read: () =>
        ({
          eventLoopLag: { p50Ms: 0, p99Ms: process.lagMs, maxMs: 9_999 },
          memory: { resident: process.resident }
        }) as RuntimeSample
    })
    return Effect.gen(function* () {
      const health = yield* Health
      const failing = Effect.map(health.ready, (report) => report.checks.filter((check) => !check.ok))
      process.lagMs = 250
      process.resident = 512 * 1024 * 1024
      assert.deepStrictEqual(yield* failing, [])
      process.lagMs = 251
      process.resident += 1024 * 1024
      assert.deepStrictEqual(yield* failing, [
        { name: "eventLoop", ok: false, reason: "the event loop is 251 ms late, more than 250 ms" },
        { name: "residentMemory", ok: false, reason: "the process holds 513 MiB, more than 512 MiB" }
      ])
      assert.strictEqual((yield* health.live).status, "ok")
    }).pipe(
      Effect.provide(
        Layer.provideMerge(
          layerRuntime({ maxEventLoopLagMs: 250, maxMemoryBytes: 512 * 1024 * 1024 }),
          Layer.merge(Health.layer, Layer.succeed(RuntimeStats, stats))
        )
      )
    )
  })
})
