/**
 * The kinds of value that a configuration is made of: how each is written, read, bounded and described.
 *
 * A value is a schema with what an operator must know about it. It is no key yet: `ConfigKey` gives it a default and a
 * description, and `ConfigGroups` says which keys exist.
 *
 * Values come as text (environment, command line) or as what a structured file holds: numbers, booleans, lists, mappings.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"

/** What sort of value a key holds. */
export type ConfigKind = "duration" | "bytes" | "bitrate" | "count" | "boolean" | "text" | "choice" | "list" | "record"

/** A piece of JSON Schema (draft 2020-12) that says how a value is written in a file. */
export type JsonSchema = { readonly [keyword: string]: unknown }

/** The schema of one kind of value, before it has become a key. */
export interface ConfigValue<A, I> {
  /** Decodes what an operator writes. */
  readonly codec: Schema.Codec<A, I>
  /** The sort of value. */
  readonly kind: ConfigKind
  /** What a bare number means; empty where a number has no unit. */
  readonly unit: string
  /** What is accepted. */
  readonly expected: string
  /** What is accepted in a file, for editors. It may be stricter than the decoder, which also takes numbers as text. */
  readonly json: JsonSchema
  /** Whether the value must never be shown. */
  readonly secret: boolean
}

/** How durations are written: text with a unit, a number of milliseconds, or a `Duration`. */
export type DurationInput = string | number | Duration.Duration

/** How byte sizes are written: text with a unit, or a number of bytes. */
export type BytesInput = string | number

/** How bitrates are written: text with a unit, or a number of bits per second. */
export type BitrateInput = string | number

/** Reads `5 seconds`, `500 ms`, `10s`, `1.5 minutes` or plain milliseconds; `undefined` for anything else. */
export const parseDuration = (input: DurationInput): Duration.Duration | undefined => {
  if (typeof input === "object") return input
  if (typeof input === "number") return Number.isFinite(input) ? Duration.millis(input) : undefined
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(input)
  const unitMs = match === null ? undefined : durationUnits.get(match[2]!.toLowerCase())
  return unitMs === undefined ? undefined : Duration.millis(Number(match![1]) * unitMs)
}

/** Writes a duration in the largest unit that gives a whole number: `500 ms`, `90 seconds`, `1 minute`. */
export const formatDuration = (duration: Duration.Duration): string => {
  const ms = Duration.toMillis(duration)
  for (const [name, unitMs] of durationNames) {
    if (ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs} ${name}${ms === unitMs ? "" : "s"}`
  }
  return `${ms} ms`
}

/** Reads `16MiB`, `64 KiB`, `1.5 GB` or a plain number of bytes; `undefined` for anything else. */
export const parseBytes = (input: BytesInput): number | undefined => {
  if (typeof input === "number") return input
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(input)
  const unit = match === null ? undefined : byteUnits.get(match[2]!.toLowerCase())
  return unit === undefined ? undefined : Number(match![1]) * unit
}

/** Writes a byte size in the largest binary unit that gives a whole number: `16MiB`, `64KiB`, `2500000`. */
export const formatBytes = (bytes: number): string => {
  for (const [name, unit] of byteNames) {
    if (bytes >= unit && bytes % unit === 0) return `${bytes / unit}${name}`
  }
  return String(bytes)
}

/** Reads `50 Mbit/s`, `500 kbit/s`, `2.5 Mbps` or a plain number of bits per second; `undefined` for anything else. */
export const parseBitrate = (input: BitrateInput): number | undefined => {
  if (typeof input === "number") return input
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z/]*)\s*$/i.exec(input)
  const unit = match === null ? undefined : bitrateUnits.get(match[2]!.toLowerCase())
  // Rounded, because 2.3 times a million is not quite a whole number in floating point.
  return unit === undefined ? undefined : Math.round(Number(match![1]) * unit * 1000) / 1000
}

/** Writes a bitrate in the largest decimal unit that gives a whole number: `50 Mbit/s`, `1500 kbit/s`, `999 bit/s`. */
export const formatBitrate = (bitsPerSecond: number): string => {
  for (const [name, unit] of bitrateNames) {
    if (bitsPerSecond >= unit && bitsPerSecond % unit === 0) return `${bitsPerSecond / unit} ${name}`
  }
  return `${bitsPerSecond} bit/s`
}

/** A time between `min` and `max`, both written like any duration. Never more than 24 days, which a timer can hold. */
export const duration = (range: {
  readonly min: string
  readonly max?: string
}): ConfigValue<Duration.Duration, DurationInput> => {
  const min = parseDuration(range.min)!
  const max = parseDuration(range.max ?? "24 days")!
  return {
    kind: "duration",
    unit: "ms",
    secret: false,
    json: {
      anyOf: [
        { type: "string", pattern: durationPattern },
        { type: "number", minimum: Duration.toMillis(min), maximum: Duration.toMillis(max) }
      ]
    },
    expected: `a duration from ${formatDuration(min)} to ${formatDuration(max)} (\`5 seconds\`, \`500 ms\`, \`10s\` or milliseconds)`,
    codec: Schema.Union([Schema.String, Schema.Finite, Schema.Duration]).pipe(
      Schema.decodeTo(
        Schema.Duration.check(Schema.makeFilter((value) => Duration.between(value, { minimum: min, maximum: max }))),
        convert<Duration.Duration, DurationInput>(parseDuration, formatDuration)
      )
    )
  }
}

/** A number of bytes between `min` and `max`, both written like any byte size. */
export const bytes = (range: { readonly min: string; readonly max: string }): ConfigValue<number, BytesInput> => {
  const min = parseBytes(range.min)!
  const max = parseBytes(range.max)!
  return {
    kind: "bytes",
    unit: "bytes",
    secret: false,
    json: {
      anyOf: [
        { type: "string", pattern: bytesPattern },
        { type: "integer", minimum: min, maximum: max }
      ]
    },
    expected: `a byte size from ${formatBytes(min)} to ${formatBytes(max)} (\`16MiB\` or a number of bytes)`,
    codec: Schema.Union([Schema.String, Schema.Finite]).pipe(
      Schema.decodeTo(
        Schema.Int.check(Schema.isBetween({ minimum: min, maximum: max })),
        convert<number, BytesInput>(parseBytes, (value) => {
          const text = formatBytes(value)
          return /^\d+$/.test(text) ? value : text
        })
      )
    )
  }
}

/** A number of bits per second between `min` and `max`, both written like any bitrate. */
export const bitrate = (range: { readonly min: string; readonly max: string }): ConfigValue<number, BitrateInput> => {
  const min = parseBitrate(range.min)!
  const max = parseBitrate(range.max)!
  return {
    kind: "bitrate",
    unit: "bit/s",
    secret: false,
    json: {
      anyOf: [
        { type: "string", pattern: bitratePattern },
        { type: "integer", minimum: min, maximum: max }
      ]
    },
    expected: `a bitrate from ${formatBitrate(min)} to ${formatBitrate(max)} (\`50 Mbit/s\`, \`500 kbit/s\` or a number of bits per second)`,
    codec: Schema.Union([Schema.String, Schema.Finite]).pipe(
      Schema.decodeTo(
        Schema.Int.check(Schema.isBetween({ minimum: min, maximum: max })),
        convert<number, BitrateInput>(parseBitrate, formatBitrate)
      )
    )
  }
}

/** A whole number between `min` and `max`; `unit` says what is counted. */
export const count = (range: {
  readonly min: number
  readonly max: number
  readonly unit?: string
}): ConfigValue<number, string | number> => ({
  kind: "count",
  unit: range.unit ?? "",
  secret: false,
  json: { type: "integer", minimum: range.min, maximum: range.max },
  expected: `a whole number from ${range.min} to ${range.max}`,
  codec: Schema.Union([Schema.String, Schema.Finite]).pipe(
    Schema.decodeTo(
      Schema.Int.check(Schema.isBetween({ minimum: range.min, maximum: range.max })),
      convert<number, string | number>(
        (input) => (typeof input === "number" ? input : /^\s*\d+\s*$/.test(input) ? Number(input) : undefined),
        (value) => value
      )
    )
  )
})

/** Yes or no; `yes`, `on` and `1` count as `true`, `no`, `off` and `0` as `false`. */
export const flag: ConfigValue<boolean, string | boolean> = {
  kind: "boolean",
  unit: "",
  secret: false,
  json: { type: "boolean" },
  expected: "`true` or `false`",
  codec: Schema.Union([Schema.String, Schema.Boolean]).pipe(
    Schema.decodeTo(
      Schema.Boolean,
      convert<boolean, string | boolean>(
        (input) => (typeof input === "boolean" ? input : flagWords.get(input.trim().toLowerCase())),
        (value) => value
      )
    )
  )
}

/** One word out of a closed set; upper and lower case are the same. */
export const choice = <const Words extends ReadonlyArray<string>>(
  words: Words
): ConfigValue<Words[number], string> => ({
  kind: "choice",
  unit: "",
  secret: false,
  json: { enum: words },
  expected: alternatives(words),
  codec: Schema.String.pipe(
    Schema.decodeTo(
      Schema.Literals(words),
      convert<Words[number], string>(
        (input) => words.find((word) => word === input.trim().toLowerCase()),
        (value) => value
      )
    )
  )
})

/**
 * One line of text, at least one character; blanks around it are dropped. `expected` says what it is, and `pattern` what it
 * may look like: without one, text without blanks.
 */
export const text = (expected: string, pattern: RegExp = /^\S+$/): ConfigValue<string, string> => ({
  kind: "text",
  unit: "",
  expected,
  secret: false,
  json: { type: "string", pattern: pattern.source },
  codec: Schema.String.pipe(
    Schema.decodeTo(
      Schema.String.check(Schema.makeFilter((value) => pattern.test(value))),
      convert<string, string>(
        (input) => input.trim(),
        (value) => value
      )
    )
  )
})

/** A list of texts, or one text with commas between them; blanks around and empty ones in between are dropped. */
export const list: ConfigValue<ReadonlyArray<string>, string | ReadonlyArray<string>> = {
  kind: "list",
  unit: "",
  expected: "a list of names with commas between them",
  secret: false,
  json: { anyOf: [{ type: "array", items: { type: "string" } }, { type: "string" }] },
  codec: Schema.Union([Schema.String, Schema.Array(Schema.String)]).pipe(
    Schema.decodeTo(
      Schema.Array(Schema.String),
      convert<ReadonlyArray<string>, string | ReadonlyArray<string>>(splitList, (value) => value)
    )
  )
}

/** A list of secrets, each without blanks and commas. They are `Redacted`: no log and no error shows them. */
export const secretList = (
  expected: string
): ConfigValue<ReadonlyArray<Redacted.Redacted<string>>, string | ReadonlyArray<string>> => ({
  kind: "list",
  unit: "",
  expected,
  secret: true,
  json: {
    anyOf: [{ type: "array", items: { type: "string", pattern: secretPattern.source } }, { type: "string" }],
    writeOnly: true
  },
  codec: Schema.Union([Schema.String, Schema.Array(Schema.String)]).pipe(
    Schema.decodeTo(
      Schema.Array(Schema.RedactedFromValue(Schema.String.check(Schema.isPattern(secretPattern)))),
      convert<ReadonlyArray<string>, string | ReadonlyArray<string>>(splitList, (value) => value)
    )
  )
})

/**
 * Values by name: a mapping in a file, and `live=low,event=100 ms` as text. A name has no blanks, commas and equals signs;
 * `names` closes the set of them.
 */
export const record = <A, I extends string | number>(
  entry: ConfigValue<A, I>,
  expected: string,
  names?: ReadonlyArray<string>
): ConfigValue<ReadonlyMap<string, A>, RecordInput> => ({
  kind: "record",
  unit: "",
  expected,
  secret: entry.secret,
  json: {
    anyOf: [
      {
        type: "object",
        additionalProperties: entry.json,
        propertyNames: names === undefined ? { pattern: namePattern.source } : { enum: names }
      },
      { type: "string" }
    ],
    ...(entry.secret ? { writeOnly: true } : {})
  },
  codec: Schema.Union([Schema.String, Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Finite]))]).pipe(
    Schema.decodeTo(
      Schema.ReadonlyMap(
        Schema.String.check(
          Schema.makeFilter((name) => (names === undefined ? namePattern.test(name) : names.includes(name)))
        ),
        // What an entry does not accept is refused by its own codec.
        entry.codec as Schema.Codec<A, string | number>
      ),
      convert<ReadonlyMap<string, string | number>, RecordInput>(
        (input) => (typeof input === "string" ? splitRecord(input) : new Map(Object.entries(input))),
        (value) => Object.fromEntries(value)
      )
    )
  )
})

/** How values by name are written: a mapping, or text such as `live=low,event=100 ms`. */
export type RecordInput = string | { readonly [name: string]: string | number }

/** A secret text, as a member of a record. */
export const secretText = (expected: string, pattern: RegExp): ConfigValue<Redacted.Redacted<string>, string> => ({
  kind: "text",
  unit: "",
  expected,
  secret: true,
  json: { type: "string", pattern: pattern.source },
  codec: Schema.RedactedFromValue(Schema.String.check(Schema.isPattern(pattern)))
})

/** The alternatives of a closed set as words: `a`, `b` or `c`, each in backticks. */
export const alternatives = (words: ReadonlyArray<string>): string => {
  const quoted = words.map((word) => `\`${word}\``)
  return quoted.length < 2 ? quoted.join("") : `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`
}

/**
 * A transformation out of a parser, which gives `undefined` for what it does not understand, and a writer that gives back
 * what the parser reads.
 */
export function convert<A, I>(parse: (input: I) => A | undefined, format: (value: A) => I) {
  return SchemaTransformation.transformEffect<A, I>({
    decode: (input) => {
      const value = parse(input)
      return value === undefined ? Effect.fail(new SchemaIssue.InvalidValue(undefined)) : Effect.succeed(value)
    },
    encode: (value) => Effect.succeed(format(value))
  })
}

const durationNames: ReadonlyArray<readonly [string, number]> = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000]
]

const durationUnits: ReadonlyMap<string, number> = new Map(
  (
    [
      [1, ["", "ms", "milli", "millis", "millisecond", "milliseconds"]],
      [1000, ["s", "sec", "secs", "second", "seconds"]],
      [60_000, ["m", "min", "mins", "minute", "minutes"]],
      [3_600_000, ["h", "hour", "hours"]],
      [86_400_000, ["d", "day", "days"]]
    ] as const
  ).flatMap(([unitMs, names]) => names.map((name) => [name, unitMs] as const))
)

const byteNames: ReadonlyArray<readonly [string, number]> = [
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10]
]

const byteUnits: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ["kb", 1e3],
  ["mb", 1e6],
  ["gb", 1e9],
  ["kib", 2 ** 10],
  ["mib", 2 ** 20],
  ["gib", 2 ** 30]
])

const bitrateNames: ReadonlyArray<readonly [string, number]> = [
  ["Gbit/s", 1e9],
  ["Mbit/s", 1e6],
  ["kbit/s", 1e3]
]

const bitrateUnits: ReadonlyMap<string, number> = new Map(
  (
    [
      [1, ["", "bit/s", "bps"]],
      [1e3, ["kbit/s", "kbps", "k"]],
      [1e6, ["mbit/s", "mbps", "m"]],
      [1e9, ["gbit/s", "gbps", "g"]]
    ] as const
  ).flatMap(([unit, names]) => names.map((name) => [name, unit] as const))
)

// JSON Schema knows no flag for upper and lower case, and the units are the decoder's to know.
const durationPattern = "^\\s*\\d+(\\.\\d+)?\\s*[A-Za-z]*\\s*$"
const bytesPattern = durationPattern
const bitratePattern = "^\\s*\\d+(\\.\\d+)?\\s*[A-Za-z/]*\\s*$"

const namePattern = /^[^\s,=]+$/
const secretPattern = /^[\x21-\x2b\x2d-\x7e]+$/

function splitList(input: string | ReadonlyArray<string>): ReadonlyArray<string> {
  return (typeof input === "string" ? input.split(",") : input).map((name) => name.trim()).filter((name) => name !== "")
}

/** Takes `a=1, b=2` apart at its commas and the first equals sign of each piece; a name must not come twice. */
function splitRecord(input: string): ReadonlyMap<string, string> | undefined {
  const entries = new Map<string, string>()
  for (const piece of splitList(input)) {
    const equals = piece.indexOf("=")
    const name = piece.slice(0, equals).trim()
    if (equals === -1 || entries.has(name)) return undefined
    entries.set(name, piece.slice(equals + 1).trim())
  }
  return entries
}

const flagWords: ReadonlyMap<string, boolean> = new Map([
  ["true", true],
  ["yes", true],
  ["on", true],
  ["1", true],
  ["false", false],
  ["no", false],
  ["off", false],
  ["0", false]
])
