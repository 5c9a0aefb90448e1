/**
 * The building blocks of the configuration schema: one schema per kind of value, and what is known about each key.
 *
 * Every key carries its description, its kind, what it accepts and its default as an annotation, so that the same Schema
 * that decodes a value also names its environment variable, explains an error, and writes the table and the files that
 * operators read. Nothing here knows which keys exist: `RtmpConfig` does.
 *
 * Values come as text (environment, command line) or as what a structured file holds: numbers, booleans, lists.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"

/** What sort of value a key holds. */
export type ConfigKind = "duration" | "bytes" | "count" | "boolean" | "text" | "choice" | "list"

/**
 * What is known about one key, as its annotation in the schema.
 *
 * - `description`: what the key is for; a sentence without a full stop.
 * - `kind`: the sort of value.
 * - `unit`: what a bare number means (`ms`, `bytes`), or what is counted; empty where a number has no unit.
 * - `expected`: what is accepted; it follows "expected" in an error.
 * - `defaultText`: the default in the form in which an operator writes it.
 * - `defaultNote`: on what the default depends; empty where it depends on nothing.
 */
export interface ConfigKeyInfo {
  readonly description: string
  readonly kind: ConfigKind
  readonly unit: string
  readonly expected: string
  readonly defaultText: string
  readonly defaultNote: string
}

/** One key of the configuration: where it stands, what its environment variable is called, and what is known about it. */
export interface ConfigKey extends ConfigKeyInfo {
  /** The path with dots, such as `publisher.resumeGrace`. */
  readonly path: string
  /** The group that the key belongs to, such as `publisher`. */
  readonly group: string
  /** The name of the environment variable, such as `RTMP_PUBLISHER_RESUME_GRACE`. */
  readonly variable: string
  /** Tells whether the key alone accepts a value; rules between keys are not looked at. */
  readonly accepts: (value: unknown) => boolean
}

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
}

/** How durations are written: text with a unit, a number of milliseconds, or a `Duration`. */
export type DurationInput = string | number | Duration.Duration

/** How byte sizes are written: text with a unit, or a number of bytes. */
export type BytesInput = string | number

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
    expected: `a byte size from ${formatBytes(min)} to ${formatBytes(max)} (\`16MiB\` or a number of bytes)`,
    codec: Schema.Union([Schema.String, Schema.Finite]).pipe(
      Schema.decodeTo(
        Schema.Int.check(Schema.isBetween({ minimum: min, maximum: max })),
        convert<number, BytesInput>(parseBytes, formatBytes)
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

/** Text without blanks, at least one character; `expected` says what it is. */
export const text = (expected: string): ConfigValue<string, string> => ({
  kind: "text",
  unit: "",
  expected,
  codec: Schema.String.pipe(
    Schema.decodeTo(
      Schema.String.check(Schema.makeFilter((value) => /^\S+$/.test(value))),
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
  codec: Schema.Union([Schema.String, Schema.Array(Schema.String)]).pipe(
    Schema.decodeTo(
      Schema.Array(Schema.String),
      convert<ReadonlyArray<string>, string | ReadonlyArray<string>>(
        (input) =>
          (typeof input === "string" ? input.split(",") : input)
            .map((name) => name.trim())
            .filter((name) => name !== ""),
        (value) => value
      )
    )
  )
}

/** Makes a key: a value with a default (in the form in which an operator writes it) and a description. */
export const key = <A, I>(value: ConfigValue<A, I>, defaultInput: NoInfer<I>, description: string) =>
  value.codec
    .pipe(Schema.withDecodingDefaultKey(Effect.succeed(defaultInput)))
    .annotate(annotations(value, textOf(defaultInput), "", description))

/**
 * Makes a key whose default depends on other keys: absent after decoding where nobody set it, for a later step to fill.
 * `defaultText` and `defaultNote` describe what that step does.
 */
export const dependentKey = <A, I>(
  value: ConfigValue<A, I>,
  defaultText: string,
  defaultNote: string,
  description: string
) => Schema.optionalKey(value.codec.annotate(annotations(value, defaultText, defaultNote, description)))

/** Makes a group of keys; absent is the same as empty. */
export const group = <const Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct(fields).pipe(Schema.withDecodingDefaultKey(Effect.succeed({} as Schema.Struct<Fields>["Encoded"])))

/** Lists the keys of a struct of groups, in the order in which they are declared. */
export const keysOf = (schema: Schema.Struct<Schema.Struct.Fields>): ReadonlyArray<ConfigKey> =>
  properties(schema.ast).flatMap((section) =>
    properties(section.type).map((property): ConfigKey => {
      const info = SchemaAST.resolveAt<ConfigKeyInfo>(annotationName)(property.type)
      const path = `${String(section.name)}.${String(property.name)}`
      if (info === undefined) throw new Error(`the configuration key ${path} was not made with ConfigKey.key`)
      const decode = Schema.decodeUnknownResult(Schema.make<Schema.Codec<unknown>>(property.type))
      return {
        ...info,
        path,
        group: String(section.name),
        variable: variableOf(path),
        accepts: (value) => Result.isSuccess(decode(value))
      }
    })
  )

/** The environment variable of a path: `publisher.resumeGrace` is `RTMP_PUBLISHER_RESUME_GRACE`. */
export const variableOf = (path: string): string =>
  `RTMP_${path
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replaceAll(".", "_")
    .toUpperCase()}`

const annotationName = "effect-rtmp/config/ConfigKey"

const annotations = <A, I>(
  value: ConfigValue<A, I>,
  defaultText: string,
  defaultNote: string,
  description: string
): { readonly description: string } => {
  const info: ConfigKeyInfo = {
    description,
    kind: value.kind,
    unit: value.unit,
    expected: value.expected,
    defaultText,
    defaultNote
  }
  return { description, [annotationName]: info } as { readonly description: string }
}

const alternatives = (words: ReadonlyArray<string>): string => {
  const quoted = words.map((word) => `\`${word}\``)
  return quoted.length < 2 ? quoted.join("") : `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`
}

const textOf = (input: unknown): string => (Array.isArray(input) ? input.join(",") : String(input))

const properties = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.PropertySignature> =>
  SchemaAST.isObjects(ast) ? ast.propertySignatures : []

/** A transformation out of a parser that gives `undefined` for what it does not understand. */
function convert<A, I>(parse: (input: I) => A | undefined, format: (value: A) => I) {
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
