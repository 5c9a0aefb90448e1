import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as LogLevels from "../../src/observability/LogLevels.ts"

const lineLevels = LogLevels.levels.filter((level) => level !== "none")

/** Logs with a guarded logger, and gives back the messages that came through. */
const heard = (table: LogLevels.LevelTable, effect: Effect.Effect<void>): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const messages: Array<string> = []
    const logger = LogLevels.guarded(
      LogLevels.make(table),
      Logger.make<unknown, void>(({ message }) => {
        messages.push(String(Array.isArray(message) ? message[0] : message))
      })
    )
    yield* effect.pipe(
      Effect.provide(Layer.merge(Logger.layer([logger]), Layer.succeed(References.MinimumLogLevel)("Trace")))
    )
    return messages
  })

describe("LogLevels", () => {
  it.prop(
    "lets through what is at least as loud as the room's own level, else as the level for all",
    [
      Schema.Literals(LogLevels.levels),
      Schema.Literals(LogLevels.levels),
      Schema.Literals(lineLevels),
      Schema.Literals(["live", "http", ""])
    ],
    ([general, own, level, room]) => {
      const { isEnabled } = LogLevels.make({ level: general, rooms: { live: own } })
      const minimum = room === "live" ? own : general
      const expected = LogLevels.levels.indexOf(level) >= LogLevels.levels.indexOf(minimum)
      assert.strictEqual(isEnabled(room === "" ? undefined : room, level), expected)
      assert.strictEqual(LogLevels.isAtLeast(level, minimum), expected)
    }
  )

  it.effect("changes at once for everything, for one room, and back", () =>
    Effect.gen(function* () {
      const levels = yield* LogLevels.LogLevels
      assert.isFalse(levels.isEnabled("live", "debug"))
      yield* levels.set("debug", "live")
      assert.isTrue(levels.isEnabled("live", "debug"))
      assert.isFalse(levels.isEnabled("http", "debug"))
      assert.isFalse(levels.isEnabled(undefined, "debug"))
      yield* levels.set("error")
      assert.isTrue(levels.isEnabled("live", "debug"))
      assert.isFalse(levels.isEnabled("http", "warn"))
      assert.deepStrictEqual(yield* levels.get, { level: "error", rooms: { live: "debug" } })
      yield* levels.reset("live")
      assert.isFalse(levels.isEnabled("live", "warn"))
      yield* levels.replace({ level: "trace", rooms: { http: "none" } })
      assert.isTrue(levels.isEnabled("live", "trace"))
      assert.isFalse(levels.isEnabled("http", "fatal"))
      assert.deepStrictEqual(yield* levels.get, { level: "trace", rooms: { http: "none" } })
    }).pipe(Effect.provide(LogLevels.LogLevels.layer({ level: "info", rooms: {} })))
  )

  it("keeps the table that it was made of as it is", () => {
    const rooms = { live: "warn" } as const
    const levels = LogLevels.make({ level: "info", rooms })
    Effect.runSync(levels.set("trace", "live"))
    assert.deepStrictEqual(rooms, { live: "warn" })
  })

  it("is not led astray by rooms called like members of objects", () => {
    const levels = LogLevels.make({ level: "warn", rooms: {} })
    Effect.runSync(levels.set("debug", "live"))
    for (const room of ["constructor", "__proto__", "toString"]) assert.isFalse(levels.isEnabled(room, "info"))
    assert.isFalse(LogLevels.isLevel("constructor"))
    assert.isFalse(LogLevels.isRoom("constructor"))
    assert.isTrue(LogLevels.isLevel("none") && LogLevels.isRoom("live"))
  })

  it.effect("finds the room in the annotation, and in a field before that", () =>
    Effect.gen(function* () {
      const messages = yield* heard(
        { level: "warn", rooms: { http: "debug" } },
        Effect.all(
          [
            LogLevels.inRoom("http")(Effect.logDebug("annotated")),
            LogLevels.inRoom("live")(Effect.logDebug("other room")),
            Effect.logDebug("field", { room: "http" }),
            LogLevels.inRoom("http")(Effect.logInfo("field of another room", { room: "live" })),
            LogLevels.inRoom("http")(Effect.logInfo("field that is no name", { room: 5 })),
            Effect.logInfo("no room"),
            Effect.logWarning("no room, loud")
          ],
          { discard: true }
        )
      )
      assert.deepStrictEqual(messages, ["annotated", "field", "field that is no name", "no room, loud"])
    })
  )

  it("knows Effect's levels by name, both ways", () => {
    for (const level of lineLevels) {
      const effectLevel = LogLevels.toLogLevel(level)
      assert.strictEqual(effectLevel.toLowerCase(), level)
      assert.strictEqual(LogLevels.fromLogLevel(effectLevel), level)
    }
    assert.strictEqual(LogLevels.toLogLevel("none"), "None")
  })
})
