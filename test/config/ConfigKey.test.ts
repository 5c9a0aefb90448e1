import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ConfigKey from "../../src/config/ConfigKey.ts"

const millis = (input: ConfigKey.DurationInput): number | undefined => {
  const parsed = ConfigKey.parseDuration(input)
  return parsed === undefined ? undefined : Duration.toMillis(parsed)
}

/** What a kind of value makes of an input; `undefined` where it refuses. */
const decode = <A, I>(value: ConfigKey.ConfigValue<A, I>, input: unknown): A | undefined =>
  Result.getOrUndefined(Schema.decodeUnknownResult(value.codec)(input))

describe("durations", () => {
  it("are read with a unit, in the usual spellings, or as milliseconds", () => {
    const table: ReadonlyArray<readonly [ConfigKey.DurationInput, number]> = [
      ["5 seconds", 5000],
      ["1 second", 1000],
      ["500 ms", 500],
      ["10s", 10_000],
      ["10S", 10_000],
      ["1.5 minutes", 90_000],
      ["2m", 120_000],
      [" 1 h ", 3_600_000],
      ["1 day", 86_400_000],
      ["250", 250],
      [250, 250],
      ["0", 0],
      [Duration.seconds(3), 3000]
    ]
    for (const [input, expected] of table) assert.strictEqual(millis(input), expected, String(input))
  })

  it("are refused when the unit or the number is unknown", () => {
    const table = ["", "s", "5 fortnights", "-5s", "1,5s", "five seconds", "1e3", "5 s 3 ms", "Infinity", "NaN", "0x10"]
    for (const input of table) assert.isUndefined(millis(input), input)
    assert.isUndefined(millis(Number.NaN))
    assert.isUndefined(millis(Number.POSITIVE_INFINITY))
  })

  it("are bounded at both ends", () => {
    const value = ConfigKey.duration({ min: "100 ms", max: "1 minute" })
    for (const input of ["100 ms", "1 minute", 60_000]) assert.isDefined(decode(value, input), String(input))
    for (const input of ["99 ms", "60001", -1, Duration.infinity, true, null]) {
      assert.isUndefined(decode(value, input), String(input))
    }
  })

  it("never exceed what a timer can hold", () => {
    const value = ConfigKey.duration({ min: "0" })
    assert.isDefined(decode(value, "24 days"))
    assert.isUndefined(decode(value, "25 days"))
  })

  it.prop(
    "are read back as they were written",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))],
    ([ms]) => {
      assert.strictEqual(millis(ConfigKey.formatDuration(Duration.millis(ms))), ms)
    }
  )
})

describe("byte sizes", () => {
  it("are read with binary and decimal units, or as numbers", () => {
    const table: ReadonlyArray<readonly [ConfigKey.BytesInput, number]> = [
      ["16MiB", 16 * 1024 * 1024],
      ["64 KiB", 65_536],
      ["1.5 kib", 1536],
      ["1MB", 1_000_000],
      ["2 GiB", 2 ** 31],
      ["12B", 12],
      ["4096", 4096],
      [4096, 4096]
    ]
    for (const [input, expected] of table) assert.strictEqual(ConfigKey.parseBytes(input), expected, String(input))
  })

  it("are refused when they are no whole number of bytes, or out of range", () => {
    const value = ConfigKey.bytes({ min: "1KiB", max: "1MiB" })
    for (const input of ["1KiB", "1MiB", 1024, 1_048_576]) assert.isDefined(decode(value, input), String(input))
    for (const input of ["1023", "1048577", "1024.5", 2000.5, "", "KiB", "-4096", "0x1000", "16 MiBs", Number.NaN]) {
      assert.isUndefined(decode(value, input), String(input))
    }
  })

  it.prop(
    "are read back as they were written",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 40 }))],
    ([size]) => {
      assert.strictEqual(ConfigKey.parseBytes(ConfigKey.formatBytes(size)), size)
    }
  )
})

describe("the other kinds", () => {
  it("accept whole numbers in their range, as numbers or digits", () => {
    const value = ConfigKey.count({ min: 1, max: 10 })
    assert.strictEqual(decode(value, "7"), 7)
    assert.strictEqual(decode(value, 10), 10)
    for (const input of ["0", 11, "1.5", 1.5, "", "ten", "1e1", "0x7", Number.NaN]) {
      assert.isUndefined(decode(value, input), String(input))
    }
  })

  it("accept yes and no in the usual spellings", () => {
    for (const input of [true, "true", "YES", "on", "1"]) assert.strictEqual(decode(ConfigKey.flag, input), true)
    for (const input of [false, "false", "No", "off", "0"]) assert.strictEqual(decode(ConfigKey.flag, input), false)
    for (const input of ["", "maybe", 1, 0]) assert.isUndefined(decode(ConfigKey.flag, input))
  })

  it("accept the words of a choice in any case, and no others", () => {
    const value = ConfigKey.choice(["low", "high"])
    assert.strictEqual(decode(value, " LOW "), "low")
    assert.isUndefined(decode(value, "medium"))
    assert.strictEqual(ConfigKey.choice(["a", "b", "c"]).expected, "`a`, `b` or `c`")
  })

  it("accept lists with commas, or as lists", () => {
    assert.deepStrictEqual(decode(ConfigKey.list, "live, , studio ,"), ["live", "studio"])
    assert.deepStrictEqual(decode(ConfigKey.list, ["live", " studio "]), ["live", "studio"])
    assert.deepStrictEqual(decode(ConfigKey.list, ""), [])
    assert.isUndefined(decode(ConfigKey.list, ["live", 1]))
  })

  it("accept text without blanks only", () => {
    assert.strictEqual(decode(ConfigKey.text("a name"), " ::1 "), "::1")
    for (const input of ["", "  ", "a b", "a\nb", 1]) assert.isUndefined(decode(ConfigKey.text("a name"), input))
  })
})

describe("keys", () => {
  it("name their variables by the path, word by word", () => {
    assert.strictEqual(ConfigKey.variableOf("listen.port"), "RTMP_LISTEN_PORT")
    assert.strictEqual(ConfigKey.variableOf("publisher.resumeGrace"), "RTMP_PUBLISHER_RESUME_GRACE")
    assert.strictEqual(ConfigKey.variableOf("gopCache.maxBytes"), "RTMP_GOP_CACHE_MAX_BYTES")
    assert.strictEqual(ConfigKey.variableOf("a.b2C"), "RTMP_A_B2_C")
  })

  it("are refused when they were made without a description", () => {
    const schema = Schema.Struct({ listen: ConfigKey.group({ port: Schema.Int }) })
    assert.throws(() => ConfigKey.keysOf(schema), /listen\.port/)
  })
})
