import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as RecentLog from "../../src/observability/RecentLog.ts"

const idsOf = (entries: ReadonlyArray<RecentLog.LogEntry>): ReadonlyArray<number> => entries.map(({ id }) => id)

describe("RecentLog", () => {
  it.effect.prop(
    "keeps the youngest lines that are within both bounds, whatever their lengths",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 })))],
    ([lengths]) =>
      Effect.gen(function* () {
        const recent = yield* RecentLog.make({ maxLines: 5, maxBytes: 60 })
        const model: Array<string> = []
        for (const length of [...lengths, ...lengths, ...lengths]) {
          const line = "x".repeat(length)
          recent.add("info", undefined, line)
          model.push(line)
          while (model.length > 5 || model.join("").length > 60) model.shift()
          const entries = yield* recent.recent()
          assert.deepStrictEqual(
            entries.map((entry) => entry.line),
            model
          )
        }
      })
  )

  it.effect("keeps its bounds over many times what it holds", () =>
    Effect.gen(function* () {
      const recent = yield* RecentLog.make({ maxLines: 100, maxBytes: 1_000_000 })
      for (let i = 1; i <= 10_000; i++) recent.add("info", undefined, `line ${i}`)
      const entries = yield* recent.recent()
      assert.deepStrictEqual(
        idsOf(entries),
        Array.from({ length: 100 }, (_, i) => 9_901 + i)
      )
      assert.strictEqual(entries[99]?.line, "line 10000")
    })
  )

  it.effect("filters by level, room, number and what the reader has seen", () =>
    Effect.gen(function* () {
      const recent = yield* RecentLog.RecentLog
      recent.add("debug", "live", "1")
      recent.add("warn", "live", "2")
      recent.add("error", "http", "3")
      recent.add("info", undefined, "4")
      const ids = (filter: RecentLog.LogFilter) => Effect.map(recent.recent(filter), idsOf)
      assert.deepStrictEqual(yield* ids({}), [1, 2, 3, 4])
      assert.deepStrictEqual(yield* ids({ level: "warn" }), [2, 3])
      assert.deepStrictEqual(yield* ids({ room: "live" }), [1, 2])
      assert.deepStrictEqual(yield* ids({ limit: 2 }), [3, 4])
      assert.deepStrictEqual(yield* ids({ limit: 0 }), [])
      assert.deepStrictEqual(yield* ids({ level: "debug", room: "live", limit: 1 }), [2])
      assert.deepStrictEqual(yield* ids({ after: 2 }), [3, 4])
    }).pipe(Effect.provide(RecentLog.RecentLog.layer()))
  )

  it.effect("follows from the past into the future without a gap or a repetition", () =>
    Effect.gen(function* () {
      const recent = yield* RecentLog.make(RecentLog.defaults)
      for (let i = 0; i < 3; i++) recent.add("info", "live", "past")
      recent.add("debug", "live", "quiet")
      const reader = yield* Effect.forkChild(
        recent.stream({ level: "info", limit: 2 }).pipe(
          // What is logged while the reader reads the past must not be lost.
          Stream.tap((entry) => Effect.sync(() => entry.id < 8 && recent.add("info", "live", "meanwhile"))),
          Stream.take(6),
          Stream.runCollect
        )
      )
      assert.deepStrictEqual(idsOf([...(yield* Fiber.join(reader))]), [2, 3, 5, 6, 7, 8])
    })
  )

  it.effect("gives a slow follower the youngest lines, and ends its stream with the log", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const recent = yield* RecentLog.make({ maxLines: 10, maxBytes: 10_000 }).pipe(Scope.provide(scope))
      recent.add("info", undefined, "first")
      const reader = yield* Effect.forkChild(
        recent.stream().pipe(
          Stream.tap((entry) =>
            Effect.sync(() => {
              if (entry.id !== 1) return
              for (let i = 0; i < 3_000; i++) recent.add("info", undefined, "x")
            }).pipe(Effect.andThen(entry.id === 1 ? Effect.forkChild(Scope.close(scope, Exit.void)) : Effect.void))
          ),
          Stream.runCollect
        )
      )
      const ids = idsOf([...(yield* Fiber.join(reader))])
      assert.strictEqual(ids[0], 1)
      assert.isAtMost(ids.length, 1 + RecentLog.followerCapacity)
      assert.strictEqual(ids.at(-1), 3_001)
    })
  )
})
