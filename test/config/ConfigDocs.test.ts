import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as ConfigDocs from "../../src/config/ConfigDocs.ts"
import type { ConfigKey } from "../../src/config/ConfigKey.ts"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import { keys, model, RtmpConfig } from "../../src/config/RtmpConfig.ts"
import { documents, withTable } from "./GeneratedDocs.ts"

const key: ConfigKey = {
  path: "listen.port",
  group: "listen",
  variable: "RTMP_LISTEN_PORT",
  description: "TCP port, 1 | 2",
  kind: "count",
  unit: "",
  expected: "a whole number",
  defaultText: "1",
  defaultNote: "",
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

describe("the documents", () => {
  it("say what the schema says; `node test/config/GeneratedDocs.ts` writes them anew", () => {
    for (const { actual, expected, path } of documents()) assert.strictEqual(actual, expected, path)
  })

  it("are not written where the README has lost its marks", () => {
    assert.throws(() => withTable("# A README without marks"), /lost the marks/)
  })
})
