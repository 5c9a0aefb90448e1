import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as LogSink from "../../src/observability/LogSink.ts"

/** A writer that a test holds up, breaks and mends. */
const makeWriter = () => {
  const written: Array<string> = []
  const batches: Array<number> = []
  const reports: Array<string> = []
  const resumes: Array<number> = []
  const attempts: Array<ReadonlyArray<string>> = []
  const state = {
    failure: undefined as string | undefined,
    gate: undefined as Deferred.Deferred<void> | undefined
  }
  const options = {
    name: "test",
    write: (lines: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        attempts.push(lines)
        if (state.gate !== undefined) yield* Deferred.await(state.gate)
        if (state.failure !== undefined)
          return yield* Effect.fail(new LogSink.LogWriteError({ message: state.failure }))
        written.push(...lines)
        batches.push(lines.length)
      }),
    onResume: (lost: number) => {
      resumes.push(lost)
    },
    report: (text: string) => {
      reports.push(text)
    }
  }
  return { written, batches, reports, resumes, attempts, state, options }
}

describe("queued", () => {
  it.effect("writes every line in order, those of one turn together", () =>
    Effect.gen(function* () {
      const writer = makeWriter()
      const sink = yield* LogSink.queued(writer.options)
      for (let i = 0; i < 100; i++) sink.write(`line ${i}`, "info")
      yield* sink.flush
      sink.write("later", "info")
      yield* sink.flush
      assert.deepStrictEqual(writer.written, [...Array.from({ length: 100 }, (_, i) => `line ${i}`), "later"])
      assert.deepStrictEqual(writer.batches, [100, 1])
      assert.strictEqual(sink.lost(), 0)
    })
  )

  it.effect("goes on though nobody can be told that it fails, and loses nothing", () =>
    Effect.gen(function* () {
      const writer = makeWriter()
      const sink = yield* LogSink.queued({
        ...writer.options,
        report: () => {
          throw new Error("standard error is gone")
        }
      })
      writer.state.failure = "the disk is full"
      sink.write("one", "info")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(writer.written, [])
      sink.write("two", "info")
      writer.state.failure = undefined
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([writer.written, sink.lost()], [["one", "two"], 0])
    })
  )

  it.effect("is started again after a callback that throws, and writes nothing twice", () =>
    Effect.gen(function* () {
      const writer = makeWriter()
      const gate = yield* Deferred.make<void>()
      writer.state.gate = gate
      let calls = 0
      const sink = yield* LogSink.queued({
        ...writer.options,
        maxQueuedBytes: 4 * 67,
        maxBatchBytes: 67,
        onResume: () => {
          calls++
          throw new Error("a bug of who is told")
        }
      })
      for (let i = 0; i < 6; i++) sink.write(`l ${i}`, "info")
      assert.strictEqual(sink.lost(), 2)
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("1 minute")
      sink.write("l 6", "info")
      yield* sink.flush
      assert.deepStrictEqual([writer.written, calls], [["l 0", "l 1", "l 2", "l 3", "l 6"], 1])
    })
  )

  it.effect("hands its writer to whoever keeps it, with what it had in its hands", () =>
    Effect.gen(function* () {
      const writer = makeWriter()
      const kept: Array<readonly [string, Effect.Effect<void, LogSink.LogWriteError>]> = []
      const sink = yield* LogSink.queued(writer.options).pipe(
        Effect.provideService(LogSink.KeepWriter, (output, step) =>
          Effect.andThen(
            Effect.sync(() => kept.push([output, step])),
            Effect.never
          )
        )
      )
      yield* TestClock.adjust(0)
      const [[output, step]] = kept as unknown as readonly [(typeof kept)[0]]
      assert.strictEqual(output, "test")
      sink.write("one", "info")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(writer.attempts, [])
      writer.state.failure = "no space left"
      assert.strictEqual((yield* Effect.flip(step)).message, "no space left")
      sink.write("two", "info")
      writer.state.failure = undefined
      yield* step
      yield* step
      yield* sink.flush
      assert.deepStrictEqual(writer.written, ["one", "two"])
      assert.strictEqual(writer.attempts[0], writer.attempts[1])
    })
  )

  it.effect("is given up where its schedule ends: then everything is lost at once, and counted", () =>
    Effect.gen(function* () {
      const writer = makeWriter()
      const sink = yield* LogSink.queued({ ...writer.options, retry: Schedule.recurs(2) })
      writer.state.failure = "no space left"
      sink.write("one", "info")
      yield* sink.flush
      assert.strictEqual(writer.attempts.length, 3)
      assert.strictEqual(sink.lost(), 1)
      assert.strictEqual(writer.reports.at(-1), "log output test: 1 lines are lost at the end")
      sink.write("two", "info")
      assert.strictEqual(sink.lost(), 2)
    })
  )

  it.effect.prop(
    "writes what it took and counts the rest, whatever fits",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 })))],
    ([sizes]) =>
      Effect.gen(function* () {
        const writer = makeWriter()
        const sink = yield* LogSink.queued({ ...writer.options, maxQueuedBytes: 1_000, maxBatchBytes: 300 })
        for (const [i, size] of sizes.entries()) {
          sink.write(`${i} ${"x".repeat(size)}`, "info")
          if (size % 7 === 0) yield* sink.flush
        }
        yield* sink.flush
        assert.strictEqual(writer.written.length + sink.lost(), sizes.length)
        assert.strictEqual(
          writer.resumes.reduce((sum, lost) => sum + lost, 0),
          sink.lost()
        )
        const order = writer.written.map((line) => Number.parseInt(line, 10))
        assert.deepStrictEqual(
          order,
          [...order].sort((a, b) => a - b)
        )
      })
  )

  it.effect("loses and counts what does not fit while the writer is stuck, and says so where the gap is", () =>
    Effect.gen(function* () {
      const writer = makeWriter()
      const gate = yield* Deferred.make<void>()
      writer.state.gate = gate
      const sink: LogSink.LogSink = yield* LogSink.queued({
        ...writer.options,
        maxQueuedBytes: 10 * 66,
        maxBatchBytes: 66,
        onResume: (lost) => sink.write(`lost ${lost}`, "warn")
      })
      for (let i = 0; i < 50; i++) sink.write(`${i}`.padStart(2), "info")
      assert.strictEqual(sink.lost(), 40)
      yield* Deferred.succeed(gate, undefined)
      yield* sink.flush
      sink.write("on", "info")
      yield* sink.flush
      assert.deepStrictEqual(writer.written, [..." 0 1 2 3 4 5 6 7 8 9".match(/../g)!, "lost 40", "on"])
      assert.strictEqual(sink.lost(), 40)
    })
  )

  it.effect("takes a line that alone is more than its bound, so that nothing can never be written", () =>
    Effect.gen(function* () {
      const writer = makeWriter()
      const sink = yield* LogSink.queued({ ...writer.options, maxQueuedBytes: 10, maxBatchBytes: 10 })
      sink.write("x".repeat(500), "info")
      sink.write("lost", "info")
      yield* sink.flush
      assert.deepStrictEqual(writer.written, ["x".repeat(500)])
      assert.strictEqual(sink.lost(), 1)
    })
  )

  it.effect("reports a failure once, tries again later with the same array, and loses nothing that fits", () =>
    Effect.gen(function* () {
      const writer = makeWriter()
      const sink = yield* LogSink.queued(writer.options)
      writer.state.failure = "no space left"
      sink.write("a", "info")
      yield* TestClock.adjust("10 seconds")
      sink.write("b", "info")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(writer.reports, [
        "log output test: no space left; lines wait or are lost until it works again"
      ])
      assert.isAbove(writer.attempts.length, 50)
      for (const lines of writer.attempts) assert.strictEqual(lines, writer.attempts[0])
      writer.state.failure = undefined
      yield* TestClock.adjust("1 minute")
      yield* sink.flush
      assert.deepStrictEqual(writer.written, ["a", "b"])
      writer.state.failure = "again"
      sink.write("c", "info")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(writer.reports.length, 2)
      writer.state.failure = undefined
      yield* TestClock.adjust("1 minute")
      yield* sink.flush
      assert.deepStrictEqual(writer.written, ["a", "b", "c"])
    })
  )

  it.effect("lives on when the writer throws", () =>
    Effect.gen(function* () {
      const written: Array<string> = []
      let broken = true
      const writer = makeWriter()
      const sink = yield* LogSink.queued({
        ...writer.options,
        write: (lines) => {
          if (broken) throw new Error("boom")
          return Effect.sync(() => written.push(...lines))
        }
      })
      sink.write("a", "info")
      yield* TestClock.adjust("1 millis")
      assert.include(writer.reports[0], "boom")
      broken = false
      yield* TestClock.adjust("1 minute")
      yield* sink.flush
      assert.deepStrictEqual(written, ["a"])
    })
  )

  it.effect("writes what waits when its scope closes", () =>
    Effect.gen(function* () {
      const writer = makeWriter()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const sink = yield* LogSink.queued({ ...writer.options, maxBatchBytes: 1 })
          for (let i = 0; i < 20; i++) sink.write(`${i}`, "info")
        })
      )
      assert.strictEqual(writer.written.length, 20)
      assert.deepStrictEqual(writer.reports, [])
    })
  )

  it.effect("waits two seconds for a stuck writer when it closes, then gives up and says what is lost", () =>
    Effect.gen(function* () {
      const writer = makeWriter()
      writer.state.gate = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const sink = yield* LogSink.queued({ ...writer.options, maxBatchBytes: 1 }).pipe(Scope.provide(scope))
      for (let i = 0; i < 3; i++) sink.write(`${i}`, "info")
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1900 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(closing)
      assert.strictEqual(sink.lost(), 3)
      assert.deepStrictEqual(writer.reports, ["log output test: 3 lines are lost at the end"])
      sink.write("after", "info")
      assert.strictEqual(sink.lost(), 4)
      yield* sink.flush
    })
  )

  it.effect("tries once more when it closes while it waits to, and says what is lost where that fails as well", () =>
    Effect.gen(function* () {
      for (const failure of [undefined, "no space left"]) {
        const writer = makeWriter()
        const scope = yield* Scope.make()
        const sink = yield* LogSink.queued({ ...writer.options, maxBatchBytes: 1 }).pipe(Scope.provide(scope))
        writer.state.failure = "no space left"
        for (let i = 0; i < 3; i++) sink.write(`${i}`, "info")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(writer.written, [])
        writer.state.failure = failure
        // No time passes.
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(writer.written, failure === undefined ? ["0", "1", "2"] : [])
        assert.strictEqual(sink.lost(), failure === undefined ? 0 : 3)
        assert.deepStrictEqual(
          writer.reports.slice(1),
          failure === undefined ? [] : ["log output test: 3 lines are lost at the end"]
        )
      }
    })
  )
})

describe("direct", () => {
  it("counts the lines for which its function throws", () => {
    const lines: Array<string> = []
    const sink = LogSink.direct((line, level) => {
      if (line === "bad") throw new Error("no")
      lines.push(`${level} ${line}`)
    })
    sink.write("a", "info")
    sink.write("bad", "warn")
    assert.deepStrictEqual(lines, ["info a"])
    assert.strictEqual(sink.lost(), 1)
  })
})
