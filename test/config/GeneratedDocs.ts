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

/** Puts the table of all keys between the marks in the README, and throws where the marks are missing. */
export const withTable = (readme: string): string => {
  const from = readme.indexOf(begin)
  const to = readme.indexOf(end)
  if (from === -1 || to < from) throw new Error("the README has lost the marks around its configuration table")
  return `${readme.slice(0, from + begin.length)}\n\n${ConfigDocs.markdownTable(keys)}\n\n${readme.slice(to)}`
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
  const example = "config/effect-rtmp.env.example"
  return [
    { path: "README.md", actual: readme, expected: withTable(readme) },
    { path: example, actual: read(example), expected: ConfigDocs.envFile(keys) }
  ]
}

if (import.meta.main) {
  for (const { expected, path } of documents()) Fs.writeFileSync(Path.join(root, path), expected)
}
