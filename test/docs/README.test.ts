import * as Fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { keys } from "../../src/config/RtmpConfig.ts"
import * as Commands from "../../src/node/cli/Commands.ts"

const readme = Fs.readFileSync(new URL("../../README.md", import.meta.url), "utf8")
const withoutTable = readme.replace(/<!-- configuration: [\s\S]*<!-- end of configuration -->/, "")

const root = Commands.make(() => Effect.void)
const names = (command: { readonly subcommands: typeof root.subcommands }): ReadonlyArray<string> =>
  command.subcommands.flatMap((group) => group.commands.map((it) => it.name))

describe("the README", () => {
  it("names only commands that there are", () => {
    const used = [...withoutTable.matchAll(/(?:^|[`$ ])effect-rtmp ([a-z][a-z-]*)/gm)].map((match) => match[1]!)
    const commands = new Set(used.filter((name) => !notCommands.has(name)))
    assert.isAbove(commands.size, 8)
    assert.deepStrictEqual(
      [...commands].filter((name) => !names(root).includes(name)),
      []
    )
  })

  it("has every command in its table", () => {
    const table = withoutTable.split("### Command line")[1]?.split("```")[0] ?? ""
    assert.deepStrictEqual(
      names(root).filter((name) => !new RegExp(`\`${name}[\` ]`).test(table)),
      []
    )
  })

  it("names only keys of the configuration that there are", () => {
    const paths = new Set(keys.map((key) => key.path))
    const groups = new Set(keys.filter((key) => key.path.includes(".")).map((key) => key.path.split(".")[0]))
    const used = [...withoutTable.matchAll(/(?:`|--set )([a-z]\w*)(\.[A-Za-z.]+)(?=[`=:])/g)]
      .filter((match) => groups.has(match[1]!))
      .map((match) => `${match[1]}${match[2]}`)
    assert.isAbove(used.length, 10)
    assert.deepStrictEqual(
      used.filter((path) => !paths.has(path)),
      []
    )
  })

  it("names only variables that there are", () => {
    const variables = new Set([...keys.map((key) => key.variable), "RTMP_CONFIG", "RTMP_HTTP_TOKEN"])
    const used = [...withoutTable.matchAll(/\bRTMP_[A-Z_]*[A-Z]\b/g)].map((match) => match[0])
    assert.isAbove(used.length, 4)
    assert.deepStrictEqual(
      used.filter((name) => !variables.has(name)),
      []
    )
  })
})

/** Words that stand behind the name of the program without being commands. */
const notCommands = new Set(["is"])
