import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogFormat from "../../src/observability/LogFormat.ts"

const event: LogFormat.LogEvent = {
  date: new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678)),
  level: "warn",
  message: "connection closed",
  room: "server",
  fields: { connection: "c1", client: "192.0.2.1:5000", detail: "a b", durationMs: 12 },
  cause: undefined
}

/** Takes what one log call is apart. */
const eventOf = (effect: Effect.Effect<void>): LogFormat.LogEvent => {
  let found: LogFormat.LogEvent | undefined
  const logger = Logger.make<unknown, void>((options) => {
    found = LogFormat.eventOf(options)
  })
  Effect.runSync(effect.pipe(Effect.provide(Logger.layer([logger]))))
  return found!
}

describe("LogFormat", () => {
  it("writes the same event as JSON, for people, and plain", () => {
    assert.strictEqual(
      LogFormat.json(event),
      '{"time":"2026-01-02T03:04:05.678Z","level":"warn","room":"server","message":"connection closed",' +
        '"connection":"c1","client":"192.0.2.1:5000","detail":"a b","durationMs":12}'
    )
    assert.strictEqual(
      LogFormat.pretty(event, false),
      '03:04:05.678 WARN  [server] connection closed connection=c1 client=192.0.2.1:5000 detail="a b" durationMs=12'
    )
    assert.strictEqual(
      LogFormat.plain(event),
      '[server] connection closed connection=c1 client=192.0.2.1:5000 detail="a b" durationMs=12'
    )
    assert.strictEqual(LogFormat.plainJson({ ...event, fields: {} }), '{"room":"server","message":"connection closed"}')
  })

  it("keeps a plain line with a cause on one line", () => {
    const line = LogFormat.plain({ ...event, fields: {}, cause: "Error: a\n  at b" })
    assert.strictEqual(line, '[server] connection closed cause="Error: a\\\\u{a}  at b"')
    assert.notInclude(LogFormat.plainJson({ ...event, cause: "a\nb" }), "\n")
  })

  it("takes the room from the annotation or the field, and leaves another kind of value a field", () => {
    const named = eventOf(Effect.logInfo("a", { room: "live", x: 1 }).pipe(Effect.annotateLogs({ room: "http" })))
    assert.strictEqual(named.room, "live")
    assert.deepStrictEqual(named.fields, { x: 1 })
    const odd = eventOf(Effect.logInfo("a", { room: 7 }))
    assert.strictEqual(odd.room, undefined)
    assert.strictEqual(JSON.parse(LogFormat.json(odd)).room_, 7)
  })

  it("shows no secret of any annotation, field or object in the message", () => {
    class Login {
      readonly password = "s3cret"
    }
    const found = eventOf(
      Effect.logInfo("a", new Login(), { nested: { token: "s3cret" }, streamKey: "s3cret" }).pipe(
        Effect.annotateLogs({ authorization: "s3cret" })
      )
    )
    for (const text of [LogFormat.json(found), LogFormat.pretty(found, true), LogFormat.plain(found)]) {
      assert.notInclude(text, "s3cret")
      assert.include(text, "***")
    }
  })

  it("bounds the length of a line whatever is logged", () => {
    const fields = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, "x".repeat(2_000)]))
    const large = { ...event, message: "m".repeat(4_096), cause: "c".repeat(8_192), fields }
    for (const format of [LogFormat.json, LogFormat.plain, LogFormat.plainJson]) {
      assert.isBelow(format(large).length, 100_000)
    }
    assert.strictEqual(Object.keys(JSON.parse(LogFormat.json(large))).filter((name) => /^f\d/.test(name)).length, 64)
    const message = eventOf(Effect.logInfo("m".repeat(10_000))).message
    assert.strictEqual(message.length, 4_096)
    const value = JSON.parse(LogFormat.json({ ...event, fields: { list: Array(5_000).fill("xx") } }))
    assert.isAtMost(value.list.length, 2_048)
  })

  it("writes values that JSON has no word for, and survives those that fail", () => {
    const hostile = {
      toJSON: () => {
        throw new Error("no")
      }
    }
    const fields = { big: 10n, nan: Number.NaN, none: undefined, run: () => 1, nothing: null, hostile }
    const line = JSON.parse(LogFormat.json({ ...event, fields }))
    assert.strictEqual(line.nan, "NaN")
    assert.strictEqual(line.nothing, null)
    assert.strictEqual(line.hostile, "[unprintable]")
    assert.isFalse("none" in line || "run" in line)
    assert.include(String(line.big), "10")
    assert.isString(LogFormat.plain({ ...event, fields }))
  })

  it("cannot be given a prototype by a field", () => {
    const fields = eventOf(Effect.logInfo("a", JSON.parse('{"__proto__":{"polluted":1},"b":2}'))).fields
    assert.deepStrictEqual(Object.keys(fields), ["b"])
    assert.isFalse("polluted" in fields)
  })
})
