import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import * as NodeStart from "../../src/node/NodeStart.ts"

describe("a build inside a checkout", () => {
  let root = ""
  const put = (path: string, seconds: number): void => {
    const file = Path.join(root, path)
    Fs.mkdirSync(Path.dirname(file), { recursive: true })
    Fs.writeFileSync(file, "")
    Fs.utimesSync(file, seconds, seconds)
  }
  const staleness = (module = "dist/node/NodeStart.js"): string | undefined =>
    NodeStart.staleness(pathToFileURL(`${root}/`), pathToFileURL(Path.join(root, module)).href)

  beforeEach(() => {
    root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-start-"))
    put("src/tsconfig.json", 300)
    put("src/main.ts", 100)
    put("src/server/Life.ts", 200)
    put("dist/main.js", 250)
  })
  afterEach(() => Fs.rmSync(root, { recursive: true }))

  it("is said to be stale when any source is younger, and not before", () => {
    assert.strictEqual(staleness(), undefined)
    put("src/server/Life.ts", 251)
    const words = staleness() ?? ""
    for (const word of ["src/server/Life.ts", "npm run build"]) assert.include(words, word)
  })

  it("does not matter to who runs the sources, nor in a package that was installed", () => {
    put("src/main.ts", 400)
    assert.isString(staleness())
    assert.strictEqual(staleness("src/node/NodeStart.ts"), undefined)
    Fs.rmSync(Path.join(root, "src/tsconfig.json"))
    assert.strictEqual(staleness(), undefined)
  })
})
