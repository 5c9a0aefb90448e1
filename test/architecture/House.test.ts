import { assert, describe, it } from "@effect/vitest"
import * as Project from "./Project.ts"
import * as Rules from "./Rules.ts"
import * as Sources from "./Sources.ts"

/** Files that may be larger than one sitting, each with the reason. */
const largeFiles: Readonly<Record<string, string>> = {}

const files = Project.texts(Project.paths())
const within = (directory: string) =>
  files.filter((file) => file.path.startsWith(`${directory}/`) && file.path.endsWith(".ts"))
const sourceFiles = within("src")
const testFiles = within("test")
const sources = Sources.parse(Object.fromEntries(sourceFiles.map((file) => [file.path, file.text])))

describe("the house", () => {
  it("is read from where it stands", () => {
    const paths = sources.map((source) => source.path)
    assert.includeMembers(paths, ["src/protocol/Bytes.ts", "src/config/RtmpConfig.ts"])
    assert.isFalse(files.some((file) => file.path.startsWith("node_modules/")))
    const imports = sources.find((source) => source.path === "src/config/RtmpConfig.ts")?.imports.length
    assert.isAbove(imports ?? 0, 5)
  })

  it("has rooms that import only the rooms before them", () => {
    assert.deepStrictEqual(Rules.importOrder(sources), [])
  })

  it("has no import cycles", () => {
    assert.deepStrictEqual(Rules.importCycles(sources), [])
  })

  it("keeps Node in the node room", () => {
    assert.deepStrictEqual(Rules.nodeOnlyInNode(sources), [])
  })

  it("imports modules of Effect, never its barrels", () => {
    assert.deepStrictEqual(Rules.noBarrels(sources), [])
  })

  it("takes Node's HTTP without what an import of it loads", () => {
    assert.deepStrictEqual(Rules.noHttpByName(sources), [])
  })

  it("documents every module and every export", () => {
    assert.deepStrictEqual(Rules.documented(sources), [])
  })

  it("has files that can be read in one sitting", () => {
    assert.deepStrictEqual(Rules.fileSizes(sourceFiles, largeFiles), [])
    // A table of cases is not read from its first line to its last.
    assert.deepStrictEqual(Rules.fileSizes(testFiles, {}, 48 * 1024), [])
  })

  it("is drawn in the README with the rooms that have something in them, in their order", () => {
    const readme = files.find((file) => file.path === "README.md")?.text ?? ""
    const drawn = [...readme.matchAll(/^\| `(\w+)\/` +\|/gm)].map((match) => match[1])
    const furnished = Rules.rooms.filter((room) => sources.some((source) => source.path.startsWith(`src/${room}/`)))
    assert.deepStrictEqual(drawn, furnished)
  })

  it("has nothing at its root that does not belong there", () => {
    assert.deepStrictEqual(Rules.topLevelEntries(Project.entries()), [])
  })

  it("names no machine, no place outside and no registry", () => {
    assert.deepStrictEqual(Rules.foreignNames(files), [])
  })

  it("pins its dependencies", () => {
    const manifest = files.find((file) => file.path === "package.json")
    assert.deepStrictEqual(Rules.exactVersions(manifest!.text), [])
  })
})
