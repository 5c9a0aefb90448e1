/**
 * The documents that are written out of the configuration schema, and where they stand.
 *
 * `node test/config/GeneratedDocs.ts` writes them; `ConfigDocs.test.ts` fails when they are not what the schema says.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as ConfigDocs from "../../src/config/ConfigDocs.ts"
import { keys } from "../../src/config/RtmpConfig.ts"

const root = Path.resolve(import.meta.dirname, "../..")
const begin = "<!-- configuration: written by test/config/GeneratedDocs.ts -->"
const end = "<!-- end of configuration -->"

const legend = "A change of a key with ↻ needs a restart; every other key can change while the server runs."

/** Writes JSON as the formatter of this project does: objects over several lines, arrays of scalars on one that holds them. */
const json = (value: unknown, indent: string): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const inner = `${indent}  `
  if (Array.isArray(value)) {
    const line = `[${value.map((item) => JSON.stringify(item)).join(", ")}]`
    if (value.every((item) => typeof item !== "object") && line.length < 90) return line
    return `[\n${value.map((item) => `${inner}${json(item, inner)}`).join(",\n")}\n${indent}]`
  }
  const members = Object.entries(value).map(
    ([name, member]) => `${inner}${JSON.stringify(name)}: ${json(member, inner)}`
  )
  return members.length === 0 ? "{}" : `{\n${members.join(",\n")}\n${indent}}`
}

/** Puts the tables of all keys between the marks in the README, and throws where the marks are missing. */
export const withTable = (readme: string): string => {
  const from = readme.indexOf(begin)
  const to = readme.indexOf(end)
  if (from === -1 || to < from) throw new Error("the README has lost the marks around its configuration table")
  return `${readme.slice(0, from + begin.length)}\n\n${legend}\n\n${ConfigDocs.markdownTables(keys)}\n\n${readme.slice(to)}`
}

/** The documents: where each one stands, what it holds, and what it should hold. */
export const documents = (): ReadonlyArray<{
  readonly path: string
  readonly actual: string
  readonly expected: string
}> => {
  const read = (path: string): string =>
    Fs.existsSync(Path.join(root, path)) ? Fs.readFileSync(Path.join(root, path), "utf8") : ""
  const readme = read("README.md")
  const environment = "config/effect-rtmp.env.example"
  const file = "config/effect-rtmp.yaml"
  const schema = "config/effect-rtmp.schema.json"
  return [
    { path: "README.md", actual: readme, expected: withTable(readme) },
    { path: environment, actual: read(environment), expected: ConfigDocs.envFile(keys) },
    { path: file, actual: read(file), expected: ConfigDocs.yamlFile(keys, "./effect-rtmp.schema.json") },
    { path: schema, actual: read(schema), expected: `${json(ConfigDocs.jsonSchema(keys), "")}\n` }
  ]
}

if (import.meta.main) {
  for (const { expected, path } of documents()) Fs.writeFileSync(Path.join(root, path), expected)
}
