/**
 * The keys of the configuration: a kind of value with a default and a description, annotated in the schema.
 *
 * Every key carries what is known about it as an annotation, so that the same Schema that decodes a value also names its
 * environment variable, explains an error, and writes the table and the files that operators read. Nothing here knows
 * which keys exist: `ConfigGroups` does.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import type { ConfigKind, ConfigValue, JsonSchema } from "./ConfigValue.ts"

/**
 * What is known about one key, as its annotation in the schema.
 *
 * - `description`: what the key is for; a sentence without a full stop.
 * - `kind`: the sort of value.
 * - `unit`: what a bare number means (`ms`, `bytes`), or what is counted; empty where a number has no unit.
 * - `expected`: what is accepted; it follows "expected" in an error.
 * - `json`: what is accepted in a file, as JSON Schema.
 * - `defaultInput`: the default as it stands in a file.
 * - `defaultText`: the default as it stands in an environment variable.
 * - `defaultNote`: on what the default depends; empty where it depends on nothing.
 * - `dependsOn`: the path of the key that the default depends on; empty where there is none.
 * - `secret`: whether the value must never be shown.
 * - `restart`: whether a change has no effect before the server starts anew.
 */
export interface ConfigKeyInfo {
  readonly description: string
  readonly kind: ConfigKind
  readonly unit: string
  readonly expected: string
  readonly json: JsonSchema
  readonly defaultInput: unknown
  readonly defaultText: string
  readonly defaultNote: string
  readonly dependsOn: string
  readonly secret: boolean
  readonly restart: boolean
}

/** One key of the configuration: where it stands, what its environment variable is called, and what is known about it. */
export interface ConfigKey extends ConfigKeyInfo {
  /** The path with dots, such as `publisher.resumeGrace` or `log.file.maxSize`. */
  readonly path: string
  /** The first step of the path, such as `publisher`; empty for a key that stands in no group. */
  readonly group: string
  /** The name of the environment variable, such as `RTMP_PUBLISHER_RESUME_GRACE`. */
  readonly variable: string
  /** Tells whether the key alone accepts a value; rules between keys are not looked at. */
  readonly accepts: (value: unknown) => boolean
}

/** What a key may be besides its value: `restart` for one whose change waits for the next start. */
export interface KeyOptions {
  readonly restart?: boolean
}

/**
 * A choice that other keys take their defaults from: `path` is its own key, `usual` the word that is chosen where nobody
 * chooses, and `label` is how the choice is called in a sentence, such as `latency mode`.
 */
export interface Choice<Word extends string> {
  readonly path: string
  readonly words: ReadonlyArray<Word>
  readonly usual: Word
  readonly label: string
}

/** Makes a key: a value with a default (in the form in which an operator writes it) and a description. */
export const key = <A, I>(
  value: ConfigValue<A, I>,
  defaultInput: NoInfer<I>,
  description: string,
  options: KeyOptions = {}
) =>
  value.codec
    .pipe(Schema.withDecodingDefaultKey(Effect.succeed(defaultInput)))
    .annotate(annotations(value, defaultInput, { note: "", path: "" }, description, options))

/**
 * Makes a key whose default depends on a choice: absent after decoding where nobody set it, for a later step to fill with
 * what `pick` gives for the word that was chosen.
 */
export const dependentKey = <A, I, Word extends string>(
  value: ConfigValue<A, I>,
  choice: Choice<Word>,
  pick: (word: Word) => NoInfer<A>,
  description: string,
  options: KeyOptions = {}
) => {
  const written = (word: Word): I => Schema.encodeSync(value.codec)(pick(word))
  const usual = written(choice.usual)
  const note = choice.words
    .filter((word) => textOf(written(word)) !== textOf(usual))
    .map((word) => `${textOf(written(word))} with ${choice.label} \`${word}\``)
    .join(", ")
  return Schema.optionalKey(
    value.codec.annotate(annotations(value, usual, { note, path: choice.path }, description, options))
  )
}

/** Makes a group of keys and groups; absent is the same as empty. */
export const group = <const Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.Struct(fields).pipe(Schema.withDecodingDefaultKey(Effect.succeed({} as Schema.Struct<Fields>["Encoded"])))

/** The fields of a group with those filled in whose default depends on a choice. */
export type CompleteFields<Fields extends Schema.Struct.Fields> = {
  readonly [Name in keyof Fields]: Fields[Name] extends Schema.optionalKey<infer Inner> ? Inner : Fields[Name]
}

/** The decoded side of a group in which nothing is optional. */
export const complete = <const Fields extends Schema.Struct.Fields>(fields: Fields) =>
  Schema.toType(
    Schema.Struct(
      // The type says what the loop does; the compiler cannot see it.
      Object.fromEntries(
        Object.entries(fields).map(([name, field]) => [name, isOptionalKey(field) ? Schema.requiredKey(field) : field])
      ) as unknown as CompleteFields<Fields>
    )
  )

/** Lists the keys of a struct of keys and groups, however deep they stand, in the order in which they are declared. */
export const keysOf = (schema: Schema.Struct<Schema.Struct.Fields>): ReadonlyArray<ConfigKey> =>
  keysBelow(schema.ast, [])

/** The environment variable of a path: `publisher.resumeGrace` is `RTMP_PUBLISHER_RESUME_GRACE`. */
export const variableOf = (path: string): string =>
  `RTMP_${path
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replaceAll(".", "_")
    .toUpperCase()}`

const annotationName = "effect-rtmp/config/ConfigKey"

const annotations = <A, I>(
  value: ConfigValue<A, I>,
  defaultInput: I,
  depends: { readonly note: string; readonly path: string },
  description: string,
  options: KeyOptions
): { readonly description: string } => {
  const isCollection = value.kind === "list" || value.kind === "record"
  const info: ConfigKeyInfo = {
    description,
    kind: value.kind,
    unit: value.unit,
    expected: value.expected,
    json: value.json,
    // A collection may be given as text with commas; in a file it stands as what it is.
    defaultInput: isCollection
      ? Schema.encodeSync(value.codec)(Schema.decodeSync(value.codec)(defaultInput))
      : defaultInput,
    defaultText: textOf(defaultInput),
    defaultNote: depends.note,
    dependsOn: depends.path,
    secret: value.secret,
    restart: options.restart === true
  }
  return { description, [annotationName]: info } as { readonly description: string }
}

const keysBelow = (ast: SchemaAST.AST, above: ReadonlyArray<string>): ReadonlyArray<ConfigKey> =>
  properties(ast).flatMap((property) => {
    const steps = [...above, String(property.name)]
    const path = steps.join(".")
    const info = SchemaAST.resolveAt<ConfigKeyInfo>(annotationName)(property.type)
    if (info === undefined) {
      const below = keysBelow(property.type, steps)
      if (below.length === 0) throw new Error(`the configuration key ${path} was not made with ConfigKey.key`)
      return below
    }
    const decode = Schema.decodeUnknownResult(Schema.make<Schema.Codec<unknown>>(property.type))
    return {
      ...info,
      path,
      group: steps.length === 1 ? "" : steps[0]!,
      variable: variableOf(path),
      accepts: (value: unknown) => Result.isSuccess(decode(value))
    }
  })

/** A value as text in an environment variable. */
const textOf = (input: unknown): string => {
  if (Array.isArray(input)) return input.join(",")
  if (typeof input !== "object" || input === null) return String(input)
  return Object.entries(input)
    .map(([name, value]) => `${name}=${value}`)
    .join(",")
}

const isOptionalKey = (
  field: Schema.Struct.Fields[PropertyKey]
): field is Schema.optionalKey<Schema.Constraint> & Schema.Struct.Fields[PropertyKey] => SchemaAST.isOptional(field.ast)

const properties = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.PropertySignature> =>
  SchemaAST.isObjects(ast) ? ast.propertySignatures : []
