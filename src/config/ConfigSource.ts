/**
 * Where configuration values come from, and how several sources become one configuration.
 *
 * A source is a list of values, each with the path of its key and the place where it was written. Sources lie on top of
 * each other: a later one wins, key by key, and the defaults of the schema lie below all of them. The result remembers
 * where each value came from. Three sources exist: a file (`ConfigFile`), the environment, and values written in code.
 */
import type * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Log from "../observability/Log.ts"
import { ConfigError, type ConfigProblem, type ConfigWarning } from "./ConfigError.ts"
import type { ConfigKey } from "./ConfigKey.ts"

/** One value of a source: the path of its key, the value as it was written, and where that was. */
export interface ConfigEntry {
  readonly path: string
  readonly value: unknown
  readonly origin: string
}

/** The values of one source, what is wrong with the source itself, and the names in it that mean nothing. */
export interface ConfigSource {
  readonly entries: ReadonlyArray<ConfigEntry>
  readonly problems: ReadonlyArray<ConfigProblem>
  readonly warnings: ReadonlyArray<ConfigWarning>
}

/** What a source is read for: the schema that decodes the values, and its keys. */
export interface ConfigModel<A, I> {
  readonly schema: Schema.Codec<A, I>
  readonly keys: ReadonlyArray<ConfigKey>
}

/**
 * A configuration that is complete and valid.
 *
 * - `config`: the decoded values.
 * - `warnings`: what had no effect, of all sources.
 * - `origins`: for the keys that a source has set, where their value was written.
 */
export interface LoadedConfig<A> {
  readonly config: A
  readonly warnings: ReadonlyArray<ConfigWarning>
  readonly origins: ReadonlyMap<string, string>
}

/** The variable that names the configuration file. It is no key, because the file cannot say where it is. */
export const fileVariable = "RTMP_CONFIG"

/** The variable with the token that the command line shows to the admin API. It is no key: the server does not read it. */
export const tokenVariable = "RTMP_HTTP_TOKEN"

/**
 * Reads the environment out of a record of variables. An empty variable counts as not set.
 *
 * A variable that begins with `RTMP_` and belongs to no key is a warning.
 */
export const fromRecord = (
  keys: ReadonlyArray<ConfigKey>,
  variables: Readonly<Record<string, string | undefined>>
): ConfigSource => {
  const byVariable = new Map(keys.map((key) => [key.variable, key]))
  const entries: Array<ConfigEntry> = []
  const warnings: Array<ConfigWarning> = []
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined || value === "" || !name.startsWith(prefix) || others.has(name)) continue
    const key = byVariable.get(name)
    if (key !== undefined) entries.push({ path: key.path, value, origin: name })
    else {
      const suggestion = suggest(
        name,
        keys.map((key) => key.variable)
      )
      warnings.push(suggestion === undefined ? { origin: name } : { origin: name, suggestion })
    }
  }
  return { entries, problems: [], warnings }
}

/**
 * Reads the environment out of an Effect `ConfigProvider`, whose default is the environment of the process.
 *
 * **Gotchas**
 *
 * Unknown variables are found by walking the provider from `RTMP` downwards, which works for every provider that splits
 * names at underscores, as Effect's own for the environment does.
 */
export const fromProvider = (
  keys: ReadonlyArray<ConfigKey>,
  provider: ConfigProvider.ConfigProvider
): Effect.Effect<ConfigSource, ConfigError> =>
  Effect.gen(function* () {
    const variables: Record<string, string | undefined> = {}
    for (const key of keys) variables[key.variable] = (yield* provider.load([key.variable]))?.value
    yield* collectVariables(provider, ["RTMP"], variables)
    return fromRecord(keys, variables)
  }).pipe(Effect.mapError((error) => new ConfigError({ reason: "SourceFailed", problems: [], detail: error.message })))

/**
 * Takes values that were written in code, nested as in the schema. `origin` names the place in errors. A path that is no
 * key is a warning.
 */
export const fromValues = (keys: ReadonlyArray<ConfigKey>, values: object, origin: string): ConfigSource => {
  const known = new Set(keys.map((key) => key.path))
  const collect = (members: object, above: string): ReadonlyArray<ConfigEntry> =>
    Object.entries(members).flatMap(([name, value]): ReadonlyArray<ConfigEntry> => {
      const path = above === "" ? name : `${above}.${name}`
      if (value === undefined) return []
      return typeof value === "object" && value !== null && !known.has(path)
        ? collect(value, path)
        : [{ path, value, origin }]
    })
  return { entries: collect(values, ""), problems: [], warnings: [] }
}

/** Lays sources on top of each other, the last one uppermost, and decodes the result; all problems are found at once. */
export const load = <A, I>(
  model: ConfigModel<A, I>,
  sources: ReadonlyArray<ConfigSource>
): Result.Result<LoadedConfig<A>, ConfigError> => {
  const known = new Map(model.keys.map((key) => [key.path, key]))
  const set = new Map<string, ConfigEntry>()
  const warnings = sources.flatMap((source) => source.warnings)
  for (const source of sources) {
    for (const entry of source.entries) {
      if (known.has(entry.path)) set.set(entry.path, entry)
      else {
        const suggestion = suggest(entry.path, [...known.keys()])
        const name = `${entry.path} (${entry.origin})`
        warnings.push(suggestion === undefined ? { origin: name } : { origin: name, suggestion })
      }
    }
  }

  const input: Record<string, unknown> = {}
  for (const entry of set.values()) put(input, entry.path.split("."), entry.value)

  const problems = sources.flatMap((source) => source.problems)
  const decoded = Schema.decodeUnknownResult(model.schema)(input, { errors: "all" })
  if (Result.isFailure(decoded)) {
    const isPartial = problems.some((problem) => problem.reason === "Syntax")
    for (const issue of formatIssues(decoded.failure.issue).issues) {
      const problem = problemOf(known, set, (issue.path ?? []).map(String), issue.message)
      // Where a file could not be read to its end, what seems to contradict may just be missing.
      if (problem.reason !== "Conflict" || !isPartial) problems.push(problem)
    }
  }
  if (Result.isFailure(decoded) || problems.length > 0) {
    return Result.fail(new ConfigError({ reason: "Invalid", problems: inOrder(unique(problems)) }))
  }
  const origins = new Map([...set.values()].map((entry) => [entry.path, entry.origin]))
  return Result.succeed({ config: decoded.success, warnings, origins })
}

/**
 * The name that may have been meant by `name`: one that has all its words, or one that is only a few letters away;
 * `undefined` where nothing comes near.
 */
export const suggest = (name: string, candidates: ReadonlyArray<string>): string | undefined => {
  const words = wordsOf(name)
  const written = words.join("_")
  let best: string | undefined
  let bestScore = Number.POSITIVE_INFINITY
  for (const candidate of candidates) {
    const candidateWords = wordsOf(candidate)
    const missing = candidateWords.length - words.length
    const isPart = words.length > 0 && missing > 0 && words.every((word) => candidateWords.includes(word))
    const other = candidateWords.join("_")
    // In a short word two letters make another word.
    const near = Math.max(written.length < 5 ? 1 : 2, Math.floor(written.length / 4))
    const isFar = Math.abs(written.length - other.length) > near
    const distance = isFar ? Number.POSITIVE_INFINITY : editDistance(written, other)
    const isNear = distance <= near
    // A few letters wrong is likelier than a word left out, and one word left out likelier than two.
    const score = isNear ? distance : isPart ? 100 * missing : Number.POSITIVE_INFINITY
    if (score < bestScore) {
      best = candidate
      bestScore = score
    }
  }
  return best
}

const prefix = "RTMP_"

const others: ReadonlySet<string> = new Set([fileVariable, tokenVariable])

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const collectVariables = (
  provider: ConfigProvider.ConfigProvider,
  path: ReadonlyArray<string>,
  variables: Record<string, string | undefined>
): Effect.Effect<void, ConfigProvider.SourceError> =>
  Effect.gen(function* () {
    const node = yield* provider.load(path)
    if (node === undefined) return
    if (node.value !== undefined) variables[path.join("_")] = node.value
    if (node._tag === "Record") {
      for (const name of node.keys) yield* collectVariables(provider, [...path, name], variables)
    } else if (node._tag === "Array") {
      // No key has a number for a name. The last index is there for certain; the ones before may be millions of holes.
      yield* collectVariables(provider, [...path, String(node.length - 1)], variables)
    }
  })

/** Puts a value where its path leads. Paths are those of keys, and none of them ends where another one passes. */
const put = (into: Record<string, unknown>, steps: ReadonlyArray<string>, value: unknown): void => {
  let members = into
  for (const step of steps.slice(0, -1)) {
    members[step] ??= {}
    members = members[step] as Record<string, unknown>
  }
  members[steps.at(-1)!] = value
}

const problemOf = (
  known: ReadonlyMap<string, ConfigKey>,
  set: ReadonlyMap<string, ConfigEntry>,
  issuePath: ReadonlyArray<string>,
  message: string
): ConfigProblem => {
  // An issue inside a list or a mapping points at the element.
  let path = issuePath.join(".")
  for (let steps = issuePath.length; steps > 0 && !known.has(path); steps--) path = issuePath.slice(0, steps).join(".")
  const key = known.get(path)
  const entry = set.get(path)
  if (key !== undefined && entry !== undefined && !key.accepts(entry.value)) {
    return {
      reason: "InvalidValue",
      origin: entry.origin,
      path,
      expected: key.expected,
      found: found(entry.value, key.secret)
    }
  }
  return {
    reason: "Conflict",
    origin: entry?.origin ?? key?.variable ?? path,
    path,
    expected: message,
    found: entry === undefined ? `${key?.defaultText || "nothing"} (default)` : found(entry.value, key?.secret === true)
  }
}

const found = (value: unknown, isSecret: boolean): string => {
  if (value === null) return "nothing"
  if (isSecret) return "a value that is secret"
  if (typeof value === "string") return `"${Log.escapeForLog(value)}"`
  return Log.escapeForLog(typeof value === "object" ? JSON.stringify(value) : String(value))
}

/** A union of forms gives an issue for each form. */
const unique = (problems: ReadonlyArray<ConfigProblem>): ReadonlyArray<ConfigProblem> => {
  const seen = new Set<string>()
  return problems.filter((problem) => {
    const identity = `${problem.origin} ${problem.path} ${problem.expected}`
    if (seen.has(identity)) return false
    seen.add(identity)
    return true
  })
}

/** Problems of one file come in the order of its lines, whichever step has found them. */
const inOrder = (problems: ReadonlyArray<ConfigProblem>): ReadonlyArray<ConfigProblem> => {
  const places = new Map(problems.map((problem) => [problem, /^(.*):(\d+):(\d+)$/s.exec(problem.origin)]))
  return [...problems].sort((left, right) => {
    const a = places.get(left)
    const b = places.get(right)
    if (!a || !b) return a ? -1 : b ? 1 : 0
    return a[1] === b[1] ? Number(a[2]) - Number(b[2]) || Number(a[3]) - Number(b[3]) : 0
  })
}

const wordsOf = (name: string): ReadonlyArray<string> =>
  (name.startsWith(prefix) ? name.slice(prefix.length) : name)
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .split(/[._]+/)
    .filter((word) => word !== "")

/** How many letters must be replaced, added, left out or swapped with their neighbour. */
const editDistance = (left: string, right: string): number => {
  let before: ReadonlyArray<number> = []
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 0; i < left.length; i++) {
    const current = [i + 1]
    for (let j = 0; j < right.length; j++) {
      const replaced = previous[j]! + (left[i] === right[j] ? 0 : 1)
      const isSwapped = i > 0 && j > 0 && left[i] === right[j - 1] && left[i - 1] === right[j]
      const swapped = isSwapped ? before[j - 1]! + 1 : replaced
      current.push(Math.min(replaced, swapped, previous[j + 1]! + 1, current[j]! + 1))
    }
    before = previous
    previous = current
  }
  return previous[right.length]!
}
