import { assert, describe, it } from "@effect/vitest"
import * as Project from "./Project.ts"
import * as Rules from "./Rules.ts"
import * as Sources from "./Sources.ts"

/** Parses small files, each with a header so that only what a test is about is wrong. */
const parse = (files: Readonly<Record<string, string>>) =>
  Sources.parse(Object.fromEntries(Object.entries(files).map(([path, text]) => [path, `/** A module. */\n${text}\n`])))

const one = (path: string, text: string) => parse({ [path]: text })

describe("the order of the rooms", () => {
  it("lets a room import itself and the rooms before it, and the roof import all", () => {
    const sources = parse({
      "src/live/GopCache.ts": `import * as A from "../protocol/Bytes.ts"\nimport * as B from "./Outbox.ts"`,
      "src/protocol/amf/Amf0.ts": `import * as A from "../Bytes.ts"`,
      "src/testing/Pair.ts": `import * as A from "../node/Sockets.ts"\nimport { x } from "effect/Effect"`,
      "src/App.ts": `import * as A from "./testing/Pair.ts"\nimport * as B from "./main.ts"`
    })
    assert.deepStrictEqual(Rules.importOrder(sources), [])
  })

  it("refuses every way of importing a room further down", () => {
    const ways = [
      `import * as A from "../live/GopCache.ts"`,
      `import type { A } from "../live/GopCache.ts"`,
      `import "../live/GopCache.ts"`,
      `export * from "../live/GopCache.ts"`,
      `export { A } from "../live/GopCache.ts"`,
      `const a = await import("../live/GopCache.ts")`,
      "const a = await import(`../live/GopCache.ts`)",
      `type A = import("../live/GopCache.ts").A`
    ]
    for (const text of ways) {
      const violations = Rules.importOrder(one("src/media/FourCc.ts", text))
      assert.strictEqual(violations.length, 1, text)
      assert.include(violations[0], "src/media/FourCc.ts:2: media must not import live")
    }
  })

  it("holds between all rooms: each one may not import the next", () => {
    for (const [index, room] of Rules.rooms.slice(0, -1).entries()) {
      const text = `import * as A from "../${Rules.rooms[index + 1]}/A.ts"`
      assert.strictEqual(Rules.importOrder(one(`src/${room}/B.ts`, text)).length, 1, room)
    }
  })

  it("refuses imports of the roof, of places outside, without an ending, and files in no room", () => {
    const table: ReadonlyArray<readonly [string, string, string]> = [
      ["src/node/A.ts", `import * as A from "../App.ts"`, "node must not import roof"],
      ["src/node/A.ts", `import * as A from "../../test/B.ts"`, "leads out of the house"],
      ["src/node/A.ts", `import * as A from "./B"`, "does not end in .ts"],
      ["src/cellar/A.ts", "", "stands in no room"],
      ["src/Loose.ts", "", "stands in no room"]
    ]
    for (const [path, text, expected] of table) {
      const violations = Rules.importOrder(one(path, text))
      assert.strictEqual(violations.length, 1, expected)
      assert.include(violations[0], expected)
    }
  })
})

describe("import cycles", () => {
  it("are found over any number of files and in types, and reported once", () => {
    const sources = parse({
      "src/live/C.ts": `import * as A from "./A.ts"`,
      "src/live/A.ts": `import type { B } from "./B.ts"`,
      "src/live/B.ts": `import * as C from "./C.ts"\nimport * as D from "./D.ts"`,
      "src/live/D.ts": `export * from "./D.ts"`
    })
    assert.sameMembers(
      [...Rules.importCycles(sources)],
      [
        "import cycle: src/live/A.ts -> src/live/B.ts -> src/live/C.ts -> src/live/A.ts",
        "import cycle: src/live/D.ts -> src/live/D.ts"
      ]
    )
  })

  it("are not seen where two ways lead to the same file", () => {
    const sources = parse({
      "src/live/A.ts": `import * as B from "./B.ts"\nimport * as C from "./C.ts"`,
      "src/live/B.ts": `import * as D from "./D.ts"`,
      "src/live/C.ts": `import * as D from "./D.ts"`,
      "src/live/D.ts": ""
    })
    assert.deepStrictEqual(Rules.importCycles(sources), [])
  })
})

describe("Node", () => {
  it("is refused outside of its room, whatever the form", () => {
    const ways = [
      `import * as Net from "node:net"`,
      `import * as Fs from "fs"`,
      `import { readFile } from "fs/promises"`,
      `const net = await import("node:net")`,
      `import * as NodeSocket from "@effect/platform-node-shared/NodeSocket"`,
      "const b = Buffer.alloc(1)",
      "const f = (b: Buffer) => b.length",
      "const b = globalThis.Buffer",
      "const o = { process }",
      "const e = process.env",
      "type T = NodeJS.Timeout",
      `const x = require("x")`
    ]
    for (const text of ways) {
      const violations = Rules.nodeOnlyInNode(one("src/server/A.ts", text))
      assert.strictEqual(violations.length, 1, text)
      assert.include(violations[0], "src/server/A.ts:2: ")
      assert.deepStrictEqual(Rules.nodeOnlyInNode(one("src/node/A.ts", text)), [], text)
    }
  })

  it("is not mistaken for members, keys and words of the same name", () => {
    const text = [
      "const a = parser.process(1)",
      "const b = { process: 1, Buffer: 2 }",
      "class C { process() { return 1 } }",
      "// Buffer and process in a comment",
      'const d = "process.env"',
      'import * as Stream from "effect/Stream"',
      "type E = Effect.Buffer"
    ].join("\n")
    assert.deepStrictEqual(Rules.nodeOnlyInNode(one("src/server/A.ts", text)), [])
  })

  it("may be started from the roof through Effect, and not by itself", () => {
    const platform = `import * as NodeRuntime from "@effect/platform-node/NodeRuntime"`
    assert.deepStrictEqual(Rules.nodeOnlyInNode(one("src/main.ts", platform)), [])
    assert.strictEqual(Rules.nodeOnlyInNode(one("src/main.ts", "process.exit(1)")).length, 1)
  })
})

describe("barrels", () => {
  it("are refused, and modules are not", () => {
    const ways = [
      `import { Effect } from "effect"`,
      `import * as All from "effect/index"`,
      `export * from "effect"`,
      `import { NodeRuntime } from "@effect/platform-node"`
    ]
    for (const text of ways) assert.strictEqual(Rules.noBarrels(one("src/main.ts", text)).length, 1, text)
    const modules = `import * as Effect from "effect/Effect"\nimport * as R from "@effect/platform-node/NodeRuntime"`
    assert.deepStrictEqual(Rules.noBarrels(one("src/main.ts", modules)), [])
  })
})

describe("HTTP of Node", () => {
  const ways = [
    `import * as Http from "node:http"`,
    `import { createServer } from "http"`,
    `import { type Server } from "node:http"`,
    `export const a = () => import("node:http")`,
    `export * from "node:http"`
  ]

  it.each(ways)("is not loaded by %s", (text) => {
    assert.strictEqual(Rules.noHttpByName(one("src/node/A.ts", text)).length, 1)
  })

  it("gives its types to everybody", () => {
    const text = `import type { Server } from "node:http"\nimport * as Https from "node:https"`
    assert.deepStrictEqual(Rules.noHttpByName(one("src/node/A.ts", text)), [])
  })
})

describe("documentation", () => {
  const undocumented = (text: string) => Rules.documented(one("src/live/A.ts", `import * as B from "./B.ts"\n${text}`))

  it("is asked of every kind of export", () => {
    const ways = [
      "export const a = 1",
      "export function a() {}",
      "export class A {}",
      "export interface A {}",
      "export type A = 1",
      "/* not a docstring */ export const a = 1",
      "// not a docstring\nexport const a = 1",
      "/** */ export const a = 1",
      "/** lower case */ export const a = 1"
    ]
    for (const text of ways) assert.strictEqual(undocumented(text).length, 1, text)
    assert.strictEqual(undocumented("export const a = 1, b = 2").length, 2)
    assert.strictEqual(undocumented("/** The default. */\nexport default 1").length, 1)
    assert.strictEqual(undocumented("/** The default. */\nexport default class A {}").length, 1)
  })

  it("is asked of the public members of a class, and not of the others", () => {
    const text = (doc: string) => `/** A class. */
export class A extends B {
  ${doc} readonly a = 1
  ${doc} static readonly layer = 1
  ${doc} get b() { return 1 }
  ${doc} c() {}
  constructor() {}
  private d = 1
  protected e = 1
  #f = 1
  override get message() { return "" }
}`
    assert.deepStrictEqual(undocumented(text("/** It is. */")), [])
    assert.deepStrictEqual(
      undocumented(text("")).map((violation) => violation.replace(/^.*: (\S+) has .*$/, "$1")),
      ["A.a", "A.layer", "A.b", "A.c"]
    )
  })

  it("is not asked of what stays inside or is passed on", () => {
    const text = `const a = 1\nclass B { c = 1 }\nexport { x } from "./X.ts"\nexport * as Y from "./Y.ts"`
    assert.deepStrictEqual(undocumented(text), [])
  })

  it("may stand at one overload for all of them, and at the getter for its setter", () => {
    const text = `/** It does. */
export function a(x: number): number
export function a(x: string): string
export function a(x: unknown) { return x }
/** A class. */
export class B {
  /** The value. */
  get c() { return 1 }
  set c(value) {}
}`
    assert.deepStrictEqual(undocumented(text), [])
  })

  it("of the module is one of its own: the header is not the docstring of the first export", () => {
    const header = (text: string) => Rules.documented(Sources.parse({ "src/live/A.ts": text }))
    assert.strictEqual(header("/** Only one. */\nexport const a = 1\n").length, 1)
    assert.strictEqual(header(`import * as B from "./B.ts"\n/** It is. */\nexport const a = 1\n`).length, 1)
    assert.deepStrictEqual(header("/** The module. */\n\n/** It is. */\nexport const a = 1\n"), [])
    assert.deepStrictEqual(header("#!/usr/bin/env node\n/** The module. */\nimport * as B from './B.ts'\n"), [])
  })
})

describe("file sizes", () => {
  const file = { path: "src/live/A.ts", text: "é".repeat(50) }

  it("are counted in bytes, up to the limit and no further", () => {
    assert.deepStrictEqual(Rules.fileSizes([file], {}, 100), [])
    assert.strictEqual(Rules.fileSizes([file], {}, 99).length, 1)
  })

  it("may be excepted with a reason, as long as it is needed", () => {
    assert.deepStrictEqual(Rules.fileSizes([file], { "src/live/A.ts": "a table" }, 99), [])
    assert.strictEqual(Rules.fileSizes([file], { "src/live/A.ts": " " }, 99).length, 1)
    assert.strictEqual(Rules.fileSizes([file], { "src/live/A.ts": "a table" }, 100).length, 1)
    assert.strictEqual(Rules.fileSizes([], { "src/live/A.ts": "a table" }, 100).length, 1)
  })
})

describe("the root", () => {
  it("holds what is listed and dotfiles, and nothing else", () => {
    assert.deepStrictEqual(Rules.topLevelEntries(["src", "README.md", ".ci", ".gitignore"]), [])
    assert.deepStrictEqual(Rules.topLevelEntries(["notes.txt", "lib", "README"]).length, 3)
  })

  it("is read without what version control ignores", () => {
    const ignores = Project.ignorer("# build\nnode_modules/\n*.tgz\n\n/test/results/\ndocs/out\n")
    const table: ReadonlyArray<readonly [string, boolean, boolean]> = [
      ["node_modules", true, true],
      ["deep/node_modules", true, true],
      ["node_modules", false, false],
      ["a.tgz", false, true],
      ["deep/a.tgz", false, true],
      ["atgz", false, false],
      ["test/results", true, true],
      ["x/test/results", true, false],
      ["docs/out", false, true],
      ["src", true, false]
    ]
    for (const [path, isDirectory, expected] of table) assert.strictEqual(ignores(path, isDirectory), expected, path)
    assert.throws(() => Project.ignorer("!keep"), /more than this project needs/)
  })
})

describe("foreign names", () => {
  // Put together here, because the rule also reads this file.
  const slash = "/"
  const bad: ReadonlyArray<string> = [
    `see ${slash}home/someone/x`,
    `"${slash}work/x"`,
    `${slash}Users/someone`,
    `${slash}root/.npmrc`,
    `C:\\${"Users"}\\someone`,
    `read ..${slash}shared/notes`,
    `as ${"protocol"}${"."}md says`,
    `https:${slash}${slash}${"registry"}.npmjs.org/x`,
    `"${"resolved"}": "https:${slash}${slash}mirror/x.tgz"`,
    `${"registry"}=https:${slash}${slash}mirror`
  ]

  it("are found with their line", () => {
    for (const text of bad) {
      const violations = Rules.foreignNames([{ path: "a.txt", text: `fine\n${text}\n` }])
      assert.isAtLeast(violations.length, 1, text)
      assert.include(violations[0], "a.txt:2: ")
    }
  })

  it("are not seen in ordinary text", () => {
    const text = [
      "the shared buffer, ../live/Shared.ts",
      "a protocol, md5",
      "https://example.org/home/page",
      "~/work/x and ./home/x and var/root/x",
      "a registry of streams = a map // comment",
      "homework/x, /homes, /workers/x"
    ].join("\n")
    assert.deepStrictEqual(Rules.foreignNames([{ path: "a.txt", text }]), [])
  })
})

describe("versions", () => {
  it("are exact, in every list of dependencies", () => {
    const violations = (version: string) =>
      ["dependencies", "devDependencies", "peerDependencies"].flatMap((kind) =>
        Rules.exactVersions(JSON.stringify({ [kind]: { a: version } }))
      )
    for (const version of ["1.2.3", "4.0.0-beta.1"]) assert.deepStrictEqual(violations(version), [])
    for (const version of ["^1.2.3", "~1.2.3", "1.x", "1.2", "latest", "*", ">=1.2.3", "", "file:../a"]) {
      assert.strictEqual(violations(version).length, 3, version)
    }
  })
})
