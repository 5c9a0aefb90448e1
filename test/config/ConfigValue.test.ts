import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ConfigValue from "../../src/config/ConfigValue.ts"

const millis = (input: ConfigValue.DurationInput): number | undefined => {
  const parsed = ConfigValue.parseDuration(input)
  return parsed === undefined ? undefined : Duration.toMillis(parsed)
}

/** What a kind of value makes of an input; `undefined` where it refuses. */
const decode = <A, I>(value: ConfigValue.ConfigValue<A, I>, input: unknown): A | undefined =>
  Result.getOrUndefined(Schema.decodeUnknownResult(value.codec)(input))

describe("durations", () => {
  it("are read with a unit, in the usual spellings, or as milliseconds", () => {
    const table: ReadonlyArray<readonly [ConfigValue.DurationInput, number]> = [
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
    const value = ConfigValue.duration({ min: "100 ms", max: "1 minute" })
    for (const input of ["100 ms", "1 minute", 60_000]) assert.isDefined(decode(value, input), String(input))
    for (const input of ["99 ms", "60001", -1, Duration.infinity, true, null]) {
      assert.isUndefined(decode(value, input), String(input))
    }
  })

  it("never exceed what a timer can hold", () => {
    const value = ConfigValue.duration({ min: "0" })
    assert.isDefined(decode(value, "24 days"))
    assert.isUndefined(decode(value, "25 days"))
  })

  it.prop(
    "are read back as they were written",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))],
    ([ms]) => {
      assert.strictEqual(millis(ConfigValue.formatDuration(Duration.millis(ms))), ms)
    }
  )
})

describe("byte sizes", () => {
  it("are read with binary and decimal units, or as numbers", () => {
    const table: ReadonlyArray<readonly [ConfigValue.BytesInput, number]> = [
      ["16MiB", 16 * 1024 * 1024],
      ["64 KiB", 65_536],
      ["1.5 kib", 1536],
      ["1MB", 1_000_000],
      ["2 GiB", 2 ** 31],
      ["12B", 12],
      ["4096", 4096],
      [4096, 4096]
    ]
    for (const [input, expected] of table) assert.strictEqual(ConfigValue.parseBytes(input), expected, String(input))
  })

  it("are refused when they are no whole number of bytes, or out of range", () => {
    const value = ConfigValue.bytes({ min: "1KiB", max: "1MiB" })
    for (const input of ["1KiB", "1MiB", 1024, 1_048_576]) assert.isDefined(decode(value, input), String(input))
    for (const input of ["1023", "1048577", "1024.5", 2000.5, "", "KiB", "-4096", "0x1000", "16 MiBs", Number.NaN]) {
      assert.isUndefined(decode(value, input), String(input))
    }
  })

  it.prop(
    "are read back as they were written",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 40 }))],
    ([size]) => {
      assert.strictEqual(ConfigValue.parseBytes(ConfigValue.formatBytes(size)), size)
    }
  )
})

describe("bitrates", () => {
  it("are read with decimal units in the usual spellings, or as bits per second", () => {
    const table: ReadonlyArray<readonly [ConfigValue.BitrateInput, number]> = [
      ["50 Mbit/s", 50_000_000],
      ["500 kbit/s", 500_000],
      ["2.3 mbps", 2_300_000],
      ["1 Gbit/s", 1_000_000_000],
      ["6M", 6_000_000],
      ["999 bit/s", 999],
      [" 64000 ", 64_000],
      [64_000, 64_000]
    ]
    for (const [input, expected] of table) assert.strictEqual(ConfigValue.parseBitrate(input), expected, String(input))
  })

  it("are refused when they are no whole number of bits per second, or out of range", () => {
    const value = ConfigValue.bitrate({ min: "1 kbit/s", max: "1 Mbit/s" })
    for (const input of ["1 kbit/s", "1 Mbit/s", 1000, 1_000_000]) assert.isDefined(decode(value, input), String(input))
    for (const input of ["999", "1000001", "1000.5", "", "Mbit/s", "-5 Mbit/s", "5 MiB", "5 Mbit", "1e6", true, null]) {
      assert.isUndefined(decode(value, input), String(input))
    }
  })

  it.prop(
    "are read back as they were written",
    [Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e12 }))],
    ([rate]) => {
      assert.strictEqual(ConfigValue.parseBitrate(ConfigValue.formatBitrate(rate)), rate)
    }
  )
})

describe("records", () => {
  const words = ConfigValue.choice(["low", "high"])
  const value = ConfigValue.record(words, "levels")

  it("are read as mappings or as text, whatever the names are", () => {
    const inputs = ["a=low, b = HIGH ,__proto__=low", JSON.parse('{"a": "low", "b": "high", "__proto__": "low"}')]
    for (const input of inputs) {
      const entries = [...decode(value, input)!]
      assert.deepStrictEqual(entries.slice(0, 2), [
        ["a", "low"],
        ["b", "high"]
      ])
    }
    assert.strictEqual(decode(value, "__proto__=low")!.get("__proto__"), "low")
    assert.deepStrictEqual(decode(value, "")!, new Map())
  })

  it("split text at the first equals sign of each piece", () => {
    const headers = ConfigValue.record(ConfigValue.text("anything", /^.*$/), "headers")
    assert.deepStrictEqual(
      [...decode(headers, "a=b=c==,d=")!],
      [
        ["a", "b=c=="],
        ["d", ""]
      ]
    )
  })

  it("refuse wrong values, wrong names and names that come twice", () => {
    for (const input of [
      "a",
      "a=",
      "=low",
      "a=low,a=high",
      "a b=low",
      "a=medium",
      { "a,b": "low" },
      { a: 1 },
      { a: null },
      [],
      1
    ]) {
      assert.isUndefined(decode(value, input), JSON.stringify(input))
    }
    const closed = ConfigValue.record(words, "levels", ["x"])
    assert.isDefined(decode(closed, { x: "low" }))
    assert.isUndefined(decode(closed, { y: "low" }))
  })

  it("are written as mappings", () => {
    assert.deepStrictEqual(Schema.encodeSync(value.codec)(new Map([["a", "low"]])), { a: "low" })
  })
})

describe("secrets", () => {
  it("are redacted as soon as they are read, and refused with blanks", () => {
    const value = ConfigValue.secretList("tokens")
    const tokens = decode(value, "s3cret, other==")!
    assert.deepStrictEqual(tokens.map(Redacted.value), ["s3cret", "other=="])
    assert.notInclude(`${JSON.stringify(tokens)} ${tokens}`, "s3cret")
    for (const input of ["a b", ["a,b"], ["a\nb"], [1]]) assert.isUndefined(decode(value, input))
    const headers = ConfigValue.record(ConfigValue.secretText("a value", /^[\x20-\x7e]*$/), "headers")
    assert.isTrue(headers.secret)
    assert.strictEqual(Redacted.value(decode(headers, "Authorization=Bearer x y")!.get("Authorization")!), "Bearer x y")
    assert.isUndefined(decode(headers, { a: "x\r\nInjected: y" }))
  })
})

describe("the other kinds", () => {
  it("accept whole numbers in their range, as numbers or digits", () => {
    const value = ConfigValue.count({ min: 1, max: 10 })
    assert.strictEqual(decode(value, "7"), 7)
    assert.strictEqual(decode(value, 10), 10)
    for (const input of ["0", 11, "1.5", 1.5, "", "ten", "1e1", "0x7", Number.NaN]) {
      assert.isUndefined(decode(value, input), String(input))
    }
  })

  it("accept yes and no in the usual spellings", () => {
    for (const input of [true, "true", "YES", "on", "1"]) assert.strictEqual(decode(ConfigValue.flag, input), true)
    for (const input of [false, "false", "No", "off", "0"]) assert.strictEqual(decode(ConfigValue.flag, input), false)
    for (const input of ["", "maybe", 1, 0]) assert.isUndefined(decode(ConfigValue.flag, input))
  })

  it("accept the words of a choice in any case, and no others", () => {
    const value = ConfigValue.choice(["low", "high"])
    assert.strictEqual(decode(value, " LOW "), "low")
    assert.isUndefined(decode(value, "medium"))
    assert.strictEqual(ConfigValue.choice(["a", "b", "c"]).expected, "`a`, `b` or `c`")
  })

  it("accept lists with commas, or as lists", () => {
    assert.deepStrictEqual(decode(ConfigValue.list, "live, , studio ,"), ["live", "studio"])
    assert.deepStrictEqual(decode(ConfigValue.list, ["live", " studio "]), ["live", "studio"])
    assert.deepStrictEqual(decode(ConfigValue.list, ""), [])
    assert.isUndefined(decode(ConfigValue.list, ["live", 1]))
  })

  it("accept text without blanks only", () => {
    assert.strictEqual(decode(ConfigValue.text("a name"), " ::1 "), "::1")
    for (const input of ["", "  ", "a b", "a\nb", 1]) assert.isUndefined(decode(ConfigValue.text("a name"), input))
  })
})
