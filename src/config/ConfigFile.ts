/**
 * The configuration file: YAML, of which JSON is a part, taken apart into values with the places where they stand.
 *
 * This is the syntax only, and it does no I/O: finding, reading and watching the file is the node room's business, and
 * what the values mean is `ConfigSource`'s. Everything that is wrong is found at once. A file is not trusted to be kind:
 * its size, its depth and the nodes that it unfolds into are bounded.
 *
 * **Gotchas**
 *
 * Not all of YAML is welcome: a file is one document, YAML 1.2, without merge keys and without tags of its own. Anchors and
 * aliases work. An unknown key is an error, because a file that is ours alone should not hold what has no effect.
 */
import * as Effect from "effect/Effect"
import type * as Yaml from "yaml"
import * as Log from "../observability/Log.ts"
import type { ConfigProblem } from "./ConfigError.ts"
import type { ConfigKey } from "./ConfigKey.ts"
import * as ConfigSource from "./ConfigSource.ts"

/** The longest file that is looked at, in bytes. */
export const maxFileBytes = 1024 * 1024

/** The most nodes that are visited in one file, each as often as an alias repeats it. */
export const maxNodes = 10_000

/** The most complaints about the syntax that are passed on. */
const maxComplaints = 20

/** What following one alias costs, in nodes. */
const aliasNodes = 100

/**
 * Takes the text of a file apart. `fileName` is how problems and origins name it: `file.yaml:12:3`.
 *
 * What is wrong is in the `problems` of the source; this never fails. The YAML library is loaded when this first runs.
 */
export const parse = (
  keys: ReadonlyArray<ConfigKey>,
  text: string,
  fileName: string
): Effect.Effect<ConfigSource.ConfigSource> =>
  Effect.map(
    Effect.promise(() => import("yaml")),
    (yaml) => parseWith(yaml, keys, text, fileName)
  )

/** Takes the text of a file apart as `parse` does, at once, with a YAML library that is loaded already. */
export const parseWith = (
  yaml: typeof Yaml,
  keys: ReadonlyArray<ConfigKey>,
  text: string,
  fileName: string
): ConfigSource.ConfigSource => {
  const name = Log.escapeForLog(fileName, 1024)
  const syntax = (origin: string, expected: string, found: string): ConfigProblem => ({
    reason: "Syntax",
    origin,
    path: "",
    expected,
    found
  })
  const failed = (problems: ReadonlyArray<ConfigProblem>): ConfigSource.ConfigSource => ({
    entries: [],
    problems,
    warnings: []
  })
  if (text.length > maxFileBytes || new TextEncoder().encode(text).length > maxFileBytes) {
    return failed([syntax(name, `at most ${maxFileBytes} bytes`, "a longer file")])
  }

  const lines = new yaml.LineCounter()
  const at = (offset: number): string => {
    const { col, line } = lines.linePos(offset)
    return `${name}:${Math.max(line, 1)}:${Math.max(col, 1)}`
  }
  let document: Yaml.Document.Parsed
  try {
    // Errors of the library quote the line, which may hold a secret; its check for repeated keys takes quadratic time.
    document = yaml.parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      stringKeys: true,
      resolveKnownTags: false,
      version: "1.2"
    })
  } catch {
    return failed([syntax(name, "a file that can be taken apart", "one that is nested too deeply")])
  }
  if (document.directives.yaml.version !== "1.2") {
    return failed([syntax(`${name}:1:1`, "YAML 1.2", `YAML ${document.directives.yaml.version}`)])
  }
  const complaints = [...document.errors, ...document.warnings]
  if (complaints.length > 0) {
    const problems = complaints.map((complaint) => {
      const [expected, found] = complaintWords[complaint.code]
      return syntax(at(Math.max(complaint.pos[0], 0)), expected, found)
    })
    // One slip makes the library complain many times behind it.
    return failed(
      problems.filter((it, index) => index === 0 || it.origin !== problems[index - 1]!.origin).slice(0, maxComplaints)
    )
  }
  const stray = strayAliases(yaml, document)
  if (stray.length > 0) {
    return failed(stray.map((alias) => syntax(at(offsetOf(alias)), ...complaintWords.BAD_ALIAS)))
  }
  return new Walk(yaml, keys, document, at).source()
}

/** Aliases whose anchor does not stand before them; the library lets them stand for nothing. */
const strayAliases = (yaml: typeof Yaml, document: Yaml.Document.Parsed): ReadonlyArray<Yaml.Alias> => {
  const anchors = new Set<string>()
  const stray: Array<Yaml.Alias> = []
  yaml.visit(document, {
    Value: (_, node) => {
      if (node.anchor !== undefined) anchors.add(node.anchor)
    },
    Alias: (_, alias) => {
      if (!anchors.has(alias.source) && stray.length < maxComplaints) stray.push(alias)
    }
  })
  return stray
}

/** One pass over the nodes of a document. */
class Walk {
  private readonly entries: Array<ConfigSource.ConfigEntry> = []
  private readonly problems: Array<ConfigProblem> = []
  private readonly known: ReadonlyMap<string, ConfigKey>
  private readonly groups: ReadonlyArray<string>
  private nodes = 0
  private readonly yaml: typeof Yaml
  private readonly document: Yaml.Document.Parsed
  private readonly at: (offset: number) => string

  constructor(
    yaml: typeof Yaml,
    keys: ReadonlyArray<ConfigKey>,
    document: Yaml.Document.Parsed,
    at: (offset: number) => string
  ) {
    this.yaml = yaml
    this.document = document
    this.at = at
    let paths = pathsOf.get(keys)
    if (paths === undefined) {
      paths = { known: new Map(keys.map((key) => [key.path, key])), groups: groupsOf(keys) }
      pathsOf.set(keys, paths)
    }
    this.known = paths.known
    this.groups = paths.groups
  }

  source(): ConfigSource.ConfigSource {
    const root = this.resolve(this.document.contents)
    if (this.yaml.isMap(root)) this.group(root, "")
    else if (!isNothing(this.yaml, root)) {
      this.problem("Syntax", root, "", "a mapping of groups such as `listen:`", this.nameOf(root))
    }
    if (this.nodes > maxNodes) {
      const problem = {
        reason: "Syntax",
        origin: this.at(0),
        path: "",
        expected: `at most ${maxNodes} values`,
        found: "more"
      }
      return { entries: [], problems: [problem as ConfigProblem], warnings: [] }
    }
    return { entries: this.entries, problems: this.problems, warnings: [] }
  }

  private group(map: Yaml.YAMLMap, above: string): void {
    const seen = new Map<string, string>()
    for (const pair of map.items) {
      if (++this.nodes > maxNodes) return
      const keyNode = pair.key as Yaml.Scalar
      const name = String(keyNode.value)
      const path = above === "" ? name : `${above}.${name}`
      const origin = this.at(offsetOf(keyNode))
      const first = seen.get(name)
      if (first !== undefined) {
        this.problem("Syntax", keyNode, shown(path), `each key once (the first is at ${first})`, "it again")
        continue
      }
      seen.set(name, origin)
      const value = this.resolve(pair.value as Yaml.Node | null)
      const key = this.known.get(path)
      // A name with a dot is one step, whatever path it happens to spell.
      if (key !== undefined && !name.includes(".")) this.value(key, value, keyNode)
      else if (this.groups.includes(path) && !name.includes(".")) {
        if (this.yaml.isMap(value)) this.group(value, path)
        else if (!isNothing(this.yaml, value)) {
          this.problem("InvalidValue", value, path, `a mapping with the keys of ${path}`, this.nameOf(value))
        }
      } else this.unknown(keyNode, path, this.yaml.isMap(value))
    }
  }

  private unknown(keyNode: Yaml.Scalar, path: string, isGroup: boolean): void {
    const candidates = isGroup ? this.groups : [...this.known.keys()]
    // Looking for what was meant takes a while, and nobody reads that many suggestions.
    const suggestion = this.problems.length < maxComplaints ? ConfigSource.suggest(path, candidates) : undefined
    const name = String(keyNode.value)
    this.problems.push({
      reason: "UnknownKey",
      origin: this.at(offsetOf(keyNode)),
      path: shown(path),
      expected:
        name === "<<"
          ? "a key; there are no merge keys"
          : name.includes(".")
            ? "a key without dots, below its group"
            : "a key that exists",
      found: `"${shown(name)}"`,
      ...(suggestion === undefined || name === "<<" || name.includes(".") ? {} : { suggestion })
    })
  }

  private value(key: ConfigKey, node: Yaml.Node | null, keyNode: Yaml.Scalar): void {
    const isText = textKinds.has(key.kind)
    let value: unknown
    if (isNothing(this.yaml, node)) value = null
    else if (this.yaml.isScalar(node)) value = isText ? textOf(node) : node.value
    else if (this.yaml.isSeq(node) && key.kind === "list") value = this.items(key, node)
    else if (this.yaml.isMap(node) && key.kind === "record") value = this.members(key, node)
    else this.refuse(key, node!, this.nameOf(node))
    const place = isNothing(this.yaml, node) ? keyNode : node!
    if (value !== undefined) this.entries.push({ path: key.path, value, origin: this.at(offsetOf(place)) })
  }

  private items(key: ConfigKey, node: Yaml.YAMLSeq): ReadonlyArray<string> | undefined {
    const items: Array<string> = []
    for (const item of node.items) {
      if (++this.nodes > maxNodes) return undefined
      const resolved = this.resolve(item as Yaml.Node | null)
      if (!this.yaml.isScalar(resolved) || isNothing(this.yaml, resolved)) {
        this.refuse(key, resolved ?? node, `a list with ${this.nameOf(resolved)} in it`)
        return undefined
      }
      items.push(textOf(resolved))
    }
    return items
  }

  private members(key: ConfigKey, node: Yaml.YAMLMap): Readonly<Record<string, string>> | undefined {
    const members = new Map<string, string>()
    for (const pair of node.items) {
      if (++this.nodes > maxNodes) return undefined
      const nameNode = pair.key as Yaml.Scalar
      const name = String(nameNode.value)
      const resolved = this.resolve(pair.value as Yaml.Node | null)
      if (members.has(name)) {
        this.refuse(key, nameNode, `"${shown(name)}" twice`)
        return undefined
      }
      if (!this.yaml.isScalar(resolved) || isNothing(this.yaml, resolved)) {
        this.refuse(key, resolved ?? nameNode, `${this.nameOf(resolved)} at "${shown(name)}"`)
        return undefined
      }
      members.set(name, textOf(resolved))
    }
    return Object.fromEntries(members)
  }

  private refuse(key: ConfigKey, node: Yaml.Node, found: string): void {
    this.problem("InvalidValue", node, key.path, key.expected, found)
  }

  private problem(
    reason: ConfigProblem["reason"],
    node: Yaml.Node | null,
    path: string,
    expected: string,
    found: string
  ): void {
    this.problems.push({ reason, origin: this.at(node === null ? 0 : offsetOf(node)), path, expected, found })
  }

  /** Follows an alias. An alias of an alias cannot be written, so one step is enough. */
  private resolve(node: Yaml.Node | null): Yaml.Node | null {
    this.nodes++
    if (!this.yaml.isAlias(node)) return node
    // The library looks for the anchor in the whole document, each time.
    this.nodes += aliasNodes
    return this.nodes > maxNodes ? null : (node.resolve(this.document) ?? null)
  }

  private nameOf(node: Yaml.Node | null): string {
    if (isNothing(this.yaml, node)) return "nothing"
    if (this.yaml.isMap(node)) return "a mapping"
    if (this.yaml.isSeq(node)) return "a list"
    return "a single value"
  }
}

/** What is looked up for every file of the same keys. */
const pathsOf = new WeakMap<
  ReadonlyArray<ConfigKey>,
  { readonly known: ReadonlyMap<string, ConfigKey>; readonly groups: ReadonlyArray<string> }
>()

/** Every path that leads to keys without being one, such as `log` and `log.file`. */
const groupsOf = (keys: ReadonlyArray<ConfigKey>): ReadonlyArray<string> => [
  ...new Set(
    keys.flatMap((key) => {
      const steps = key.path.split(".")
      return steps.slice(1).map((_, index) => steps.slice(0, index + 1).join("."))
    })
  )
]

/** The kinds whose values are text, also where YAML would read a number or a truth value. */
const textKinds: ReadonlySet<string> = new Set(["text", "choice", "list", "record"])

/** A scalar as it was written, without quotes: `007` stays what it is. */
const textOf = (scalar: Yaml.Scalar): string => scalar.source ?? String(scalar.value)

const isNothing = (yaml: typeof Yaml, node: Yaml.Node | null): boolean =>
  node === null || (yaml.isScalar(node) && node.value === null)

const offsetOf = (node: Yaml.Node): number => node.range?.[0] ?? 0

const shown = (text: string): string => Log.escapeForLog(text)

/** What was expected and found where the library complains, in words of ours that quote nothing of the file. */
const complaintWords: Readonly<Record<Yaml.ErrorCode, readonly [expected: string, found: string]>> = {
  ALIAS_PROPS: ["an alias alone", "an alias with a tag or an anchor"],
  BAD_ALIAS: ["an alias of an anchor that stands before it", "another alias"],
  BAD_COLLECTION_TYPE: ["a value of the kind that its tag says", "another kind"],
  BAD_DIRECTIVE: ["a directive of YAML 1.2", "another directive"],
  BAD_DQ_ESCAPE: ["an escape sequence of YAML", "another one; in single quotes a backslash is a backslash"],
  BAD_INDENT: ["the indentation of the lines around it", "another indentation"],
  BAD_PROP_ORDER: ["tags and anchors behind the indicator", "them in front of it"],
  BAD_SCALAR_START: ["a value", "a character that must stand in quotes"],
  BLOCK_AS_IMPLICIT_KEY: ["a key with a value on the lines below", "a mapping inside of a line"],
  BLOCK_IN_FLOW: ["values within the brackets", "indented lines"],
  DUPLICATE_KEY: ["each key once", "a key that was there before"],
  IMPOSSIBLE: ["YAML", "something else"],
  KEY_OVER_1024_CHARS: ["a key of at most 1024 characters", "a longer one"],
  MISSING_CHAR: ["`:`, a comma, a closing quote or a closing bracket", "something else"],
  MULTILINE_IMPLICIT_KEY: ["a key on one line", "a key over several lines"],
  MULTIPLE_ANCHORS: ["one anchor", "several"],
  MULTIPLE_DOCS: ["one document", "several, parted by `---`"],
  MULTIPLE_TAGS: ["one tag", "several"],
  NON_STRING_KEY: ["a name as the key", "something else"],
  RESOURCE_EXHAUSTION: ["a file that can be taken apart", "one that is nested too deeply"],
  TAB_AS_INDENT: ["spaces as indentation", "a tab"],
  TAG_RESOLVE_FAILED: ["a value without a tag", "a tag that means nothing here"],
  UNEXPECTED_TOKEN: ["YAML", "characters that have no place here"]
}
