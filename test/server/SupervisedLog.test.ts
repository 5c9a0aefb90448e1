import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import * as Log from "../../src/observability/Log.ts"
import * as LogSink from "../../src/observability/LogSink.ts"
import * as Diagnostics from "../../src/server/Diagnostics.ts"
import * as SupervisedLog from "../../src/server/SupervisedLog.ts"
import { Supervisor } from "../../src/server/Supervisor.ts"

/** An output whose writer ends as a test wants it to, beside one that always works. */
const outputs = () => {
  const written = { stdout: [] as Array<string>, file: [] as Array<string> }
  const state = { fault: Effect.void as Effect.Effect<void, LogSink.LogWriteError> }
  const layer = Layer.succeed(LogSink.LogSinks, {
    open: (target, onResume) => {
      const name = target._tag === "File" ? "file" : "stdout"
      return Effect.map(
        LogSink.queued({
          name,
          write: (lines) =>
            Effect.andThen(name === "file" ? Effect.suspend(() => state.fault) : Effect.void, () =>
              Effect.sync(() => void written[name].push(...lines))
            ),
          onResume,
          report: () => {}
        }),
        (sink): LogSink.OpenSink => ({ name, sink, ownTime: false })
      )
    }
  })
  return { layer, state, written }
}

const messages = (lines: ReadonlyArray<string>): ReadonlyArray<string> => lines.map((line) => JSON.parse(line).message)

const withLog = <A, E>(
  diagnostics: Diagnostics.DiagnosticsShape,
  use: (log: ReturnType<typeof outputs>) => Effect.Effect<A, E, Supervisor | Log.LogServices>
) =>
  Effect.suspend(() => {
    const log = outputs()
    const file = { ...LogSink.defaultFile, path: "server.log" }
    return use(log).pipe(
      Effect.provide(
        Log.layerWith({ level: "info", format: "json", output: "stdout", file }).pipe(
          Layer.provide([log.layer, SupervisedLog.layer]),
          Layer.provideMerge(Supervisor.layer)
        )
      )
    )
  }).pipe(Effect.provideService(Diagnostics.Diagnostics, diagnostics))

const statuses = Effect.gen(function* () {
  const { components } = yield* Supervisor
  return new Map((yield* components).map((it) => [it.name, it]))
})

describe("a writer of the log", () => {
  it.effect.each([
    ["fails", Effect.fail(new LogSink.LogWriteError({ message: "no space left" })), "no space left"],
    ["dies", Effect.die(new Error("a bug of the writer")), "a bug of the writer"]
  ] as const)("that %s is started again by the schedule, and no line is lost or written twice", ([, fault, words]) => {
    const diagnostics = Diagnostics.make()
    return withLog(diagnostics, ({ state, written }) =>
      Effect.gen(function* () {
        yield* Effect.logInfo("one")
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(messages(written.file), ["one"])
        state.fault = fault
        yield* Effect.logInfo("two")
        yield* TestClock.adjust(0)
        assert.deepInclude((yield* statuses).get("log file"), { state: "Waiting", lastError: words, critical: false })
        assert.deepInclude((yield* statuses).get("log stdout"), { state: "Running", restarts: 0 })
        // What is said of it is read where the log still is, by who it is about.
        const failed = JSON.parse(written.stdout.at(-1)!)
        assert.deepInclude(failed, { message: "component failed", room: "log", component: "log file", error: words })
        yield* Effect.logInfo("three")
        yield* TestClock.adjust("10 minutes")
        assert.deepStrictEqual(messages(written.file), ["one"])
        assert.isAbove((yield* statuses).get("log file")!.restarts, 8)
        assert.deepStrictEqual(
          diagnostics.report(0).recentErrors.map(({ error }) => error),
          [`log file: ${words}`]
        )

        state.fault = Effect.void
        yield* TestClock.adjust("1 minute")
        yield* Effect.logInfo("four")
        yield* (yield* LogSink.LogOutputs).flush
        assert.deepStrictEqual(written.file, written.stdout)
        assert.deepStrictEqual(messages(written.file), [
          "one",
          "two",
          "component failed",
          "three",
          "component restarts",
          "four"
        ])
        assert.strictEqual((yield* statuses).get("log file")?.state, "Running")
        assert.deepStrictEqual(yield* (yield* LogSink.LogOutputs).lost, { stdout: 0, file: 0 })
      })
    )
  })

  it.effect("has stopped when the log has", () =>
    Effect.gen(function* () {
      const supervisor = yield* Supervisor
      yield* withLog(Diagnostics.discard, () => TestClock.adjust(0))
      const states = (yield* supervisor.components).map(({ name, state }) => [name, state])
      assert.deepStrictEqual(states, [
        ["log stdout", "Stopped"],
        ["log file", "Stopped"]
      ])
    }).pipe(Effect.provide(Supervisor.layer))
  )
})
