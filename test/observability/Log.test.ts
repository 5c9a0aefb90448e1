import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as TestConsole from "effect/testing/TestConsole"
import * as Log from "../../src/observability/Log.ts"
import { inRoom, LogLevels } from "../../src/observability/LogLevels.ts"
import * as LogSink from "../../src/observability/LogSink.ts"
import { RecentLog } from "../../src/observability/RecentLog.ts"

const utf8 = new TextEncoder()

/** Text as attackers write it: controls, bidirectional overrides, halves of surrogate pairs, long runs. */
const HostileText = Schema.Array(
  Schema.Union([
    Schema.String,
    Schema.Literals(["\u0000", "\n", "\r", "\u001b[31m", "\u007f", "\u0085", "\u2028", "\u202e", "\ufeff"]),
    Schema.Literals(["\ud800", "\udc00", "😀", "é", "字", "…", "\u{e0041}", "x".repeat(70)])
  ])
)

const isClean = (text: string): boolean => !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(text)

/** Runs an effect with the log layer and gives back the lines on the console. */
const linesOf = (settings: Log.LogSettings, effect: Effect.Effect<void>): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    yield* TestClock.setTime(Date.UTC(2026, 0, 2, 3, 4, 5, 678))
    yield* effect.pipe(Effect.provide(Log.layer(settings)))
    return (yield* TestConsole.logLines).map(String)
  }).pipe(Effect.provide(Layer.fresh(TestConsole.layer)))

describe("escapeForLog", () => {
  it("leaves ordinary names of any script alone", () => {
    for (const name of ["", "camera-1", "éclair", "カメラ", "😀", "a/b c\\d"])
      assert.strictEqual(Log.escapeForLog(name), name)
  })

  it("spells out what moves the cursor, hides or reorders text", () => {
    assert.strictEqual(Log.escapeForLog("a\nb\u001b[2J\u0000"), "a\\u{a}b\\u{1b}[2J\\u{0}")
    assert.strictEqual(Log.escapeForLog("\u202egpj.exe"), "\\u{202e}gpj.exe")
    assert.strictEqual(Log.escapeForLog("\ud83d"), "\\u{d83d}")
    assert.strictEqual(Log.escapeForLog("a\u200bb\ufeff"), "a\\u{200b}b\\u{feff}")
  })

  it("keeps 64 bytes and cuts the 65th, never inside a character", () => {
    assert.strictEqual(Log.escapeForLog("x".repeat(64)), "x".repeat(64))
    assert.strictEqual(Log.escapeForLog("x".repeat(65)), `${"x".repeat(61)}…`)
    assert.strictEqual(Log.escapeForLog("字".repeat(22)), `${"字".repeat(20)}…`)
    assert.strictEqual(Log.escapeForLog("\n".repeat(40), 12), `\\u{a}…`)
  })

  it("gives nothing at all where not even the ellipsis fits", () => {
    assert.strictEqual(Log.escapeForLog("xxx", 2), "")
    assert.strictEqual(Log.escapeForLog("xxxx", 3), "…")
  })

  it.prop("gives clean text within its bytes, and the same when escaped again", [HostileText], ([pieces]) => {
    const escaped = Log.escapeForLog(pieces.join(""))
    assert.isTrue(isClean(escaped))
    assert.isAtMost(utf8.encode(escaped).length, 64)
    assert.strictEqual(Log.escapeForLog(escaped), escaped)
  })
})

describe("redaction", () => {
  it("never shows a query", () => {
    for (const query of ["key=abc", "?key=abc", "abc", "?abc&b"]) assert.strictEqual(Log.redactQuery(query), "?***")
    for (const query of ["", "?"]) assert.strictEqual(Log.redactQuery(query), "")
  })

  it("hides the query, the user name and the password of an address", () => {
    const table: ReadonlyArray<readonly [string, string]> = [
      ["rtmp://h/live/cam", "rtmp://h/live/cam"],
      ["rtmp://h/live/cam?key=s3cret", "rtmp://h/live/cam?***"],
      ["rtmp://user:s3cret@h:1935/live", "rtmp://***@h:1935/live"],
      ["rtmps://s3cret@h", "rtmps://***@h"],
      ["rtmp://a@s3cret@h/live?a?b", "rtmp://***@h/live?***"],
      ["cam?s3cret", "cam?***"],
      ["cam@home", "cam@home"],
      ["cam?", "cam"],
      ["", ""]
    ]
    for (const [url, expected] of table) assert.strictEqual(Log.redactUrl(url), expected)
  })

  it("keeps the mark of a redacted query when the address is cut", () => {
    const redacted = Log.redactUrl(`rtmp://h/${"a".repeat(300)}?key=abc`)
    assert.match(redacted, /a…\?\*\*\*$/)
    assert.isAtMost(utf8.encode(redacted).length, 256)
  })

  it.prop(
    "shows nothing of what stands behind the first question mark",
    [Schema.String, HostileText],
    ([name, rest]) => {
      const redacted = Log.redactUrl(`${name}?s3cret${rest.join("")}`)
      assert.notInclude(redacted, "s3cret")
      assert.isTrue(redacted.endsWith("?***"))
    }
  )
})

describe("layer", () => {
  const event = Effect.logInfo("stream published", {
    stream: "camera 1",
    frames: 3
  }).pipe(Effect.annotateLogs({ connection: "c1" }), Effect.withLogSpan("open"))

  it.effect("writes one JSON object with the message, the fields, the annotations and the spans", () =>
    Effect.gen(function* () {
      const lines = yield* linesOf({ level: "info", format: "json" }, event)
      assert.strictEqual(lines.length, 1)
      assert.deepStrictEqual(JSON.parse(lines[0]!), {
        time: "2026-01-02T03:04:05.678Z",
        level: "info",
        message: "stream published",
        connection: "c1",
        stream: "camera 1",
        frames: 3,
        openMs: 0
      })
    })
  )

  it.effect("writes one readable line, with quotes where a value is more than a word", () =>
    Effect.gen(function* () {
      const lines = yield* linesOf({ level: "info", format: "pretty" }, event)
      assert.deepStrictEqual(lines, [
        '03:04:05.678 INFO  stream published connection=c1 stream="camera 1" frames=3 openMs=0'
      ])
    })
  )

  it.effect("chooses with `auto`: pretty and in colour on a terminal, JSON elsewhere", () =>
    Effect.gen(function* () {
      const terminal = yield* linesOf({ level: "info", format: "auto", isTerminal: true }, event)
      assert.isTrue(terminal[0]!.startsWith("03:04:05.678 \u001b[32mINFO \u001b[0m stream published"))
      const pipe = yield* linesOf({ level: "info", format: "auto" }, event)
      assert.isTrue(pipe[0]!.startsWith("{"))
    })
  )

  it.effect("drops what is below the level, and everything with `none`", () =>
    Effect.gen(function* () {
      const talk = Effect.all([Effect.logDebug("debug"), Effect.logInfo("info"), Effect.logWarning("warn")], {
        discard: true
      })
      const count = (level: Log.Level) => Effect.map(linesOf({ level, format: "json" }, talk), (lines) => lines.length)
      assert.strictEqual(yield* count("trace"), 3)
      assert.strictEqual(yield* count("debug"), 3)
      assert.strictEqual(yield* count("info"), 2)
      assert.strictEqual(yield* count("warn"), 1)
      assert.strictEqual(yield* count("error"), 0)
      assert.strictEqual(yield* count("none"), 0)
    })
  )

  it.effect("writes a cause with its stack into the same JSON line, and below the pretty one", () =>
    Effect.gen(function* () {
      const failing = Effect.die(new Error("boom\u001b[2J")).pipe(
        Effect.catchCause((cause) => Effect.logError("connection died", cause))
      )
      const json = yield* linesOf({ level: "info", format: "json" }, failing)
      assert.strictEqual(json.length, 1)
      assert.include(JSON.parse(json[0]!).cause, "boom")
      const pretty = yield* linesOf({ level: "info", format: "pretty" }, failing)
      assert.match(pretty[0]!, /ERROR connection died\n {2}Error: boom\\u\{1b\}\[2J\n/)
    })
  )

  it.effect("keeps its own members apart from fields of the same name", () =>
    Effect.gen(function* () {
      const lines = yield* linesOf({ level: "info", format: "json" }, Effect.logInfo("a", { level: 5, time: 1 }))
      const line = JSON.parse(lines[0]!)
      assert.deepStrictEqual([line.level, line.level_, line.time_], ["info", 5, 1])
    })
  )

  it.effect("hides redacted values and bounds the length of a field", () =>
    Effect.gen(function* () {
      const noisy = Effect.logInfo("a", {
        key: Redacted.make("s3cret"),
        name: "x".repeat(5000)
      })
      for (const format of ["json", "pretty"] as const) {
        const [line] = yield* linesOf({ level: "info", format }, noisy)
        assert.notInclude(line!, "s3cret")
        assert.isBelow(line!.length, 1200)
      }
    })
  )

  it.effect.prop(
    "writes one clean line whatever the message and the fields hold",
    [HostileText, HostileText],
    ([a, b]) =>
      Effect.gen(function* () {
        const hostile = Effect.logInfo(a.join(""), {
          value: b.join(""),
          nested: { list: b },
          [a.join("").slice(0, 9)]: 1
        })
        for (const format of ["json", "pretty"] as const) {
          const lines = yield* linesOf({ level: "info", format }, hostile)
          assert.strictEqual(lines.length, 1)
          assert.isTrue(isClean(lines[0]!))
        }
      })
  )
})

/** Sinks in memory, by the target that they stand for. */
const memorySinks = (ownTime = false) => {
  const lines: Record<string, Array<string>> = {}
  const closed: Array<string> = []
  const resume: Record<string, (lost: number) => void> = {}
  const layer = Layer.succeed(LogSink.LogSinks, {
    open: (target, onResume) => {
      const name = target._tag === "File" ? target.settings.path : target.output
      const out: Array<string> = []
      lines[name] = out
      resume[name] = onResume
      const sink: LogSink.LogSink = {
        ...LogSink.direct((line, level) => out.push(ownTime ? `${level}|${line}` : line)),
        close: Effect.sync(() => closed.push(name))
      }
      return Effect.succeed({ name, sink, ownTime: ownTime && target._tag === "Output" })
    }
  })
  return { lines, closed, resume, layer }
}

describe("layerWith", () => {
  const run = <A, E>(
    effect: Effect.Effect<A, E, Log.LogServices>,
    settings: Log.LogOptions,
    sinks: ReturnType<typeof memorySinks>
  ) =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 0, 2, 3, 4, 5, 678))
      return yield* Effect.provide(effect, Layer.provide(Log.layerWith(settings), sinks.layer))
    })

  const messages = (lines: ReadonlyArray<string> | undefined): ReadonlyArray<string> =>
    (lines ?? []).map((line) => JSON.parse(line).message)

  it.effect("logs what the level of the line's room asks for, and follows a change at run time in running fibers", () =>
    Effect.gen(function* () {
      const sinks = memorySinks()
      const talk = (step: string) =>
        Effect.all(
          [
            inRoom("live")(Effect.logDebug(`live ${step}`)),
            Effect.logDebug(`session ${step}`, { room: "session" }),
            Effect.logInfo(`none ${step}`)
          ],
          { discard: true }
        )
      yield* run(
        Effect.gen(function* () {
          const levels = yield* LogLevels
          yield* talk("1")
          yield* levels.set("debug", "live")
          yield* talk("2")
          yield* levels.set("none")
          yield* talk("3")
        }),
        { level: "info", levels: { session: "trace" }, format: "json", output: "stdout" },
        sinks
      )
      const expected = ["session 1", "none 1", "live 2", "session 2", "none 2", "live 3", "session 3"]
      assert.deepStrictEqual(messages(sinks.lines.stdout), expected)
    })
  )

  it.effect("writes each output in its own format, closes them all with the scope", () =>
    Effect.gen(function* () {
      const sinks = memorySinks()
      const file = { ...LogSink.defaultFile, path: "server.log" }
      yield* run(
        Effect.logWarning("a", { room: "live" }),
        { level: "info", format: "auto", isTerminal: true, output: "stdout", file },
        sinks
      )
      assert.deepStrictEqual(sinks.lines, {
        stdout: ["03:04:05.678 \u001b[33mWARN \u001b[0m \u001b[36m[live]\u001b[0m a"],
        "server.log": ['{"time":"2026-01-02T03:04:05.678Z","level":"warn","room":"live","message":"a"}']
      })
      assert.deepStrictEqual(sinks.closed, ["stdout", "server.log"])
    })
  )

  it.effect("writes a file for machines unless the format of the log or its own asks for people", () =>
    Effect.gen(function* () {
      const file = { ...LogSink.defaultFile, path: "server.log" }
      const first = (settings: Log.LogOptions) =>
        Effect.gen(function* () {
          const sinks = memorySinks()
          yield* run(Effect.logInfo("a"), { ...settings, isTerminal: true, output: "none" }, sinks)
          return sinks.lines["server.log"]![0]!.slice(0, 8)
        })
      assert.strictEqual(yield* first({ level: "info", format: "auto", file }), '{"time":')
      assert.strictEqual(yield* first({ level: "info", format: "pretty", file }), "03:04:05")
      assert.strictEqual(
        yield* first({ level: "info", format: "json", file: { ...file, format: "pretty" } }),
        "03:04:05"
      )
      assert.strictEqual(
        yield* first({ level: "info", format: "pretty", file: { ...file, format: "json" } }),
        '{"time":'
      )
    })
  )

  it.effect("leaves time and level to an output that keeps them, as words or as JSON", () =>
    Effect.gen(function* () {
      const words = memorySinks(true)
      yield* run(Effect.logWarning("a", { room: "live", x: 1 }), { level: "info", format: "auto" }, words)
      assert.deepStrictEqual(words.lines, { auto: ["warn|[live] a x=1"] })
      const json = memorySinks(true)
      yield* run(Effect.logWarning("a", { room: "live", x: 1 }), { level: "info", format: "json" }, json)
      assert.deepStrictEqual(json.lines, { auto: ['warn|{"room":"live","message":"a","x":1}'] })
    })
  )

  it.effect("keeps recent lines even with no output at all, and nothing that was not logged", () =>
    Effect.gen(function* () {
      const sinks = memorySinks()
      const entries = yield* run(
        Effect.gen(function* () {
          yield* Effect.logDebug("quiet")
          yield* Effect.logInfo("a", { room: "live", token: "s3cret" })
          return yield* (yield* RecentLog).recent()
        }),
        { level: "info", format: "pretty", output: "none" },
        sinks
      )
      assert.deepStrictEqual(sinks.lines, {})
      assert.strictEqual(entries.length, 1)
      assert.strictEqual(entries[0]?.room, "live")
      assert.deepStrictEqual(JSON.parse(entries[0]!.line), {
        time: "2026-01-02T03:04:05.678Z",
        level: "info",
        room: "live",
        message: "a",
        token: "***"
      })
    })
  )

  it.effect("tells in the output itself how many lines it lost, and counts them for metrics", () =>
    Effect.gen(function* () {
      const sinks = memorySinks()
      const lost = yield* run(
        Effect.gen(function* () {
          yield* Effect.logInfo("a")
          sinks.resume.stdout?.(42)
          const outputs = yield* LogSink.LogOutputs
          yield* outputs.flush
          return yield* outputs.lost
        }),
        { level: "info", format: "json", output: "stdout" },
        sinks
      )
      assert.deepStrictEqual(JSON.parse(sinks.lines.stdout![1]!), {
        time: "2026-01-02T03:04:05.678Z",
        level: "warn",
        room: "log",
        message: "log lines lost",
        output: "stdout",
        lines: 42
      })
      assert.deepStrictEqual(lost, { stdout: 0 })
    })
  )

  it.effect("works over the console where a platform has no sinks of its own", () =>
    Effect.gen(function* () {
      const log = Layer.provide(Log.layerWith({ level: "info", format: "json" }), LogSink.LogSinks.layerConsole)
      yield* Effect.logInfo("a").pipe(Effect.provide(log))
      assert.deepStrictEqual(messages((yield* TestConsole.logLines).map(String)), ["a"])
    }).pipe(Effect.provide(Layer.fresh(TestConsole.layer)))
  )
})
