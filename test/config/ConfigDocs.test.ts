import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ConfigDocs from "../../src/config/ConfigDocs.ts"
import * as ConfigFile from "../../src/config/ConfigFile.ts"
import type { ConfigKey } from "../../src/config/ConfigKey.ts"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import type { JsonSchema } from "../../src/config/ConfigValue.ts"
import { keys, model, RtmpConfig, written } from "../../src/config/RtmpConfig.ts"
import { documents, withTable } from "./GeneratedDocs.ts"
import * as Samples from "./Samples.ts"

const key: ConfigKey = {
  path: "listen.port",
  group: "listen",
  variable: "RTMP_LISTEN_PORT",
  description: "TCP port, 1 | 2",
  kind: "count",
  unit: "",
  expected: "a whole number",
  json: { type: "integer" },
  defaultInput: 1,
  defaultText: "1",
  defaultNote: "",
  dependsOn: "",
  secret: false,
  restart: false,
  accepts: () => true
}

describe("the table", () => {
  it("has a row of four cells for every key, whatever its text holds", () => {
    const rows = ConfigDocs.markdownTable([key, ...keys])
      .split("\n")
      .slice(2)
    assert.strictEqual(rows.length, keys.length + 1)
    for (const row of rows) assert.strictEqual(row.replaceAll("\\|", "").split("|").length, 6, row)
    assert.strictEqual(new Set(rows.map((row) => row.length)).size, 1)
    assert.match(rows[0]!, /^\| `listen\.port` +\| `RTMP_LISTEN_PORT` +\| `1` +\| TCP port, 1 \\\| 2 +\|$/)
  })

  it("is one for each group, with a mark on what needs a restart", () => {
    const tables = ConfigDocs.markdownTables([
      { ...key, path: "profile", group: "" },
      key,
      { ...key, path: "log.file.path", group: "log", restart: true }
    ])
    const headings = tables.split("\n").filter((line) => line.startsWith("**"))
    assert.deepStrictEqual(headings, ["**listen**", "**log**"])
    assert.strictEqual(tables.match(/^\| key /gm)?.length, 3)
    assert.match(tables, /log\.file\.path.* ↻ +\|$/)
  })

  it("says on what a default depends, and that a default is empty", () => {
    const table = ConfigDocs.markdownTable([
      { ...key, defaultNote: "2 in mode `x`" },
      { ...key, defaultText: "" }
    ])
    assert.match(table, /\| `1`; 2 in mode `x` +\|/)
    assert.match(table, /\| \(empty\) +\|/)
  })
})

describe("the environment file", () => {
  it("names every variable once, and changes nothing as it stands", () => {
    const lines = ConfigDocs.envFile(keys).split("\n")
    assert.isTrue(lines.every((line) => line === "" || line.startsWith("#")))
    assert.deepStrictEqual(
      lines.flatMap((line) => /^#(RTMP_\w+)=/.exec(line)?.[1] ?? []),
      keys.map((it) => it.variable)
    )
  })

  it("gives the defaults when every line is uncommented", () => {
    const variables = Object.fromEntries(
      ConfigDocs.envFile(keys)
        .split("\n")
        .flatMap((line) => {
          const match = /^#(RTMP_\w+)=(.*)$/.exec(line)
          return match === null ? [] : [[match[1]!, match[2]!]]
        })
    )
    const loaded = Result.getOrThrow(ConfigSource.load(model, [ConfigSource.fromRecord(keys, variables)]))
    assert.deepStrictEqual(loaded.config, RtmpConfig.defaults)
    assert.deepStrictEqual(loaded.warnings, [])
  })
})

describe("the example file", () => {
  const text = ConfigDocs.yamlFile(keys, "./schema.json")
  const uncommented = text.replace(/^( *)#(?=\S)/gm, "$1")

  it.effect("changes nothing as it stands, and gives the defaults when every key is uncommented", () =>
    Effect.gen(function* () {
      for (const it of [text, uncommented]) {
        const source = yield* ConfigFile.parse(keys, it, "example.yaml")
        assert.deepStrictEqual(source.problems, [])
        assert.strictEqual(source.entries.length, it === text ? 0 : keys.length)
        const { config } = Result.getOrThrow(ConfigSource.load(model, [source]))
        assert.deepStrictEqual(written(config), written(RtmpConfig.defaults))
      }
    })
  )

  it("names every key once, with what it means and accepts", () => {
    for (const it of keys) {
      const name = it.path.slice(it.path.lastIndexOf(".") + 1)
      assert.include(text, `# ${it.description}.\n`)
      assert.include(text, `# Accepts ${it.expected}.\n`)
      assert.match(text, new RegExp(`^ *#${name}: `, "m"))
    }
  })
})

/** As much of JSON Schema as the generated one uses; throws at a keyword that is not known here. */
const accepts = (schema: JsonSchema, value: unknown): boolean =>
  Object.entries(schema).every(([keyword, operand]) => {
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value)
    const members = isObject ? Object.entries(value) : []
    const properties = (schema.properties ?? {}) as Readonly<Record<string, JsonSchema>>
    switch (keyword) {
      case "type":
        return [operand].flat().some((type) => {
          if (type === "integer") return Number.isInteger(value)
          if (type === "array") return Array.isArray(value)
          if (type === "null") return value === null
          return type === "object" ? isObject : typeof value === type
        })
      case "enum":
        return (operand as ReadonlyArray<unknown>).includes(value)
      case "pattern":
        return typeof value !== "string" || new RegExp(operand as string, "u").test(value)
      case "minimum":
        return typeof value !== "number" || value >= (operand as number)
      case "maximum":
        return typeof value !== "number" || value <= (operand as number)
      case "anyOf":
        return (operand as ReadonlyArray<JsonSchema>).some((it) => accepts(it, value))
      case "items":
        return !Array.isArray(value) || value.every((item) => accepts(operand as JsonSchema, item))
      case "properties":
        return members.every(([name, member]) => !(name in properties) || accepts(properties[name]!, member))
      case "propertyNames":
        return members.every(([name]) => accepts(operand as JsonSchema, name))
      case "additionalProperties":
        return members.every(
          ([name, member]) => name in properties || (operand !== false && accepts(operand as JsonSchema, member))
        )
      case "$schema":
      case "title":
      case "description":
      case "default":
      case "writeOnly":
        return true
      default:
        throw new Error(`this test does not know the keyword ${keyword}`)
    }
  })

describe("the JSON Schema", () => {
  const schema = ConfigDocs.jsonSchema(keys)

  it("accepts the defaults, empty groups, and nothing that is no key", () => {
    const defaults = new Map(keys.map((it) => [it.path, it.defaultInput]))
    assert.isTrue(accepts(schema, Samples.nest(defaults)))
    assert.isTrue(accepts(schema, { listen: null, log: { file: null } }))
    for (const wrong of [{ prot: 1 }, { listen: { prot: 1 } }, { log: { file: { x: 1 } } }, { listen: 5 }, []]) {
      assert.isFalse(accepts(schema, wrong), JSON.stringify(wrong))
    }
  })

  it("refuses what the server refuses, by kind", () => {
    const table: ReadonlyArray<readonly [path: string, wrong: unknown]> = [
      ["listen.port", 70_000],
      ["listen.port", 1.5],
      ["log.level", "loud"],
      ["play.waitForPublisher", "maybe"],
      ["session.pingTimeout", 1],
      ["limits.publishBitrate", 10],
      ["limits.maxMessageBytes", "ten"],
      ["log.levels", { kitchen: "debug" }],
      ["log.levels", { server: "loud" }],
      ["latency.applications", { "a b": "low" }],
      ["otlp.url", "ftp://x"],
      ["instance.name", "a/b"],
      ["http.readTokens", ["a b"]]
    ]
    for (const [path, wrong] of table) {
      assert.isFalse(keys.find((it) => it.path === path)!.accepts(wrong), path)
      assert.isFalse(accepts(schema, Samples.nest(new Map([[path, wrong]]))), path)
    }
  })

  it.prop("and the server both accept the same values", [Schema.Int, Schema.Int], ([index, seed]) => {
    const it = keys[Math.abs(index) % keys.length]!
    const value = Samples.valueOf(it, Math.abs(seed))
    assert.isTrue(it.accepts(value), `${it.path} ${JSON.stringify(value)}`)
    assert.isTrue(accepts(schema, Samples.nest(new Map([[it.path, value]]))), `${it.path} ${JSON.stringify(value)}`)
  })
})

describe("the documents", () => {
  it("say what the schema says; `node test/config/GeneratedDocs.ts` writes them anew", () => {
    for (const { actual, expected, path } of documents()) assert.strictEqual(actual, expected, path)
  })

  it("are not written where the README has lost its marks", () => {
    assert.throws(() => withTable("# A README without marks"), /lost the marks/)
  })
})
