import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"
import * as Diagnostics from "../../src/server/Diagnostics.ts"
import { defaultSchedule, Supervisor } from "../../src/server/Supervisor.ts"

/** A part that runs for a time and then fails, in a way of its own each time. */
const part = (failures: ReadonlyArray<Effect.Effect<never, unknown>>) => {
  const runs: Array<number> = []
  const run = Effect.gen(function* () {
    runs.push(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
    return yield* failures[runs.length - 1] ?? Effect.never
  })
  return { runs, run }
}

const layer = Supervisor.layer.pipe(Layer.provideMerge(Logger.layer([])))

const status = Effect.gen(function* () {
  const supervisor = yield* Supervisor
  const components = yield* supervisor.components
  assert.strictEqual(components.length, 1)
  return components[0]!
})

const everySecond = Schedule.spaced("1 second")

describe("a supervised part", () => {
  it.effect("is started again after a failure and after a defect, and says so in its status", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor
      const { run, runs } = part([Effect.fail("no network"), Effect.die(new Error("a bug"))])
      const fiber = yield* Effect.forkChild(supervisor.supervise("api", run, { schedule: everySecond }))
      yield* TestClock.adjust(0)
      assert.deepInclude(yield* status, { name: "api", state: "Waiting", restarts: 0, lastError: "no network" })
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* status, { state: "Waiting", restarts: 1, lastError: "a bug", since: 1_000 })
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* status, { state: "Running", restarts: 2, lastError: "a bug", critical: false })
      assert.deepStrictEqual(runs, [0, 1_000, 2_000])
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* status).state, "Stopped")
    }).pipe(Effect.provide(layer))
  )

  it.effect("begins its schedule anew once it has run for a while, and not before", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor
      const failing = (ms: number) => Effect.andThen(Effect.sleep(ms), Effect.fail("again"))
      const { run, runs } = part([0, 0, 9_999, 10_000].map(failing))
      const schedule = Schedule.exponential("100 millis")
      yield* Effect.forkChild(supervisor.supervise("api", run, { schedule, resetAfter: "10 seconds" }))
      for (let i = 0; i < 300; i++) yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(runs, [0, 100, 300, 300 + 9_999 + 400, 300 + 9_999 + 400 + 10_000 + 100])
    }).pipe(Effect.provide(layer))
  )

  it.effect("is given up where its schedule ends, which fails who supervises only if the part is critical", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor
      const schedule = Schedule.recurs(2)
      const { run, runs } = part(Array.from({ length: 9 }, () => Effect.fail("broken")))
      yield* supervisor.supervise("api", run, { schedule })
      assert.strictEqual(runs.length, 3)
      assert.deepInclude(yield* status, { state: "Failed", restarts: 2, lastError: "broken" })
      const error = yield* Effect.flip(supervisor.supervise("api", run, { schedule, critical: true }))
      assert.strictEqual(error.message, "api failed for good: broken")
    }).pipe(Effect.provide(layer))
  )

  it.effect("may come to its end", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor
      yield* supervisor.supervise("once", Effect.succeed(1))
      assert.deepInclude(yield* status, { state: "Stopped", restarts: 0, lastError: "" })
    }).pipe(Effect.provide(layer))
  )

  it.effect("is never restarted for an interruption", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor
      const { run, runs } = part([])
      const fiber = yield* Effect.forkChild(supervisor.supervise("api", run))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(runs.length, 1)
    }).pipe(Effect.provide(layer))
  )

  it.effect("tells of a failure once, and of the same one again when it has run well in between", () => {
    const told: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      told.push(`${logLevel} ${String(message).split(",")[0]}`)
    })
    return Effect.gen(function* () {
      const supervisor = yield* Supervisor
      const failures = ["full", "full", "full", "gone", "gone"].map((error) => Effect.fail(error))
      const { run } = part([...failures, Effect.delay(Effect.fail("gone"), "1 minute")])
      yield* Effect.forkChild(supervisor.supervise("log", run, { schedule: everySecond }))
      yield* TestClock.adjust("2 minutes")
      const news = ["Error component failed", "Warn component restarts"]
      const again = ["Debug component failed", "Debug component restarts"]
      assert.deepStrictEqual(told, [...news, ...again, ...again, ...news, ...again, ...news])
      assert.deepInclude(yield* status, { state: "Running", restarts: 6 })
    }).pipe(
      Effect.provide(Supervisor.layer.pipe(Layer.provideMerge(Logger.layer([logger])))),
      Effect.provideService(References.MinimumLogLevel, "Trace")
    )
  })

  it.effect("is of the supervisor around, where there is one", () =>
    Effect.gen(function* () {
      const around = yield* Supervisor
      const inner = yield* Effect.provide(Supervisor, Layer.fresh(Supervisor.layer))
      assert.strictEqual(inner, around)
    }).pipe(Effect.provide(layer))
  )

  it.effect("leaves its failures and its state in the diagnostic report", () => {
    const diagnostics = Diagnostics.make()
    return Effect.gen(function* () {
      const supervisor = yield* Supervisor
      yield* supervisor.supervise("api", Effect.fail("broken"), { schedule: Schedule.recurs(0) })
      const { parts, recentErrors } = diagnostics.report(5)
      assert.deepStrictEqual(recentErrors, [{ at: 0, error: "api: broken" }])
      assert.deepStrictEqual(parts.components, yield* supervisor.components)
      assert.deepInclude(yield* status, { name: "api", state: "Failed" })
    }).pipe(Effect.provide(layer), Effect.provideService(Diagnostics.Diagnostics, diagnostics))
  })
})

describe("the default schedule", () => {
  it.effect("never ends, and never waits for longer than 36 seconds", () =>
    Effect.gen(function* () {
      const step = yield* Schedule.toStep(defaultSchedule)
      const delays: Array<number> = []
      for (let i = 0; i < 20; i++) {
        const [, delay] = yield* step(0, undefined)
        delays.push(Duration.toMillis(delay))
      }
      assert.isAtMost(delays[0]!, 240)
      assert.isAtLeast(delays[0]!, 160)
      for (const delay of delays) assert.isAtMost(delay, 36_000)
      assert.isAtLeast(delays.at(-1)!, 24_000)
    })
  )
})
