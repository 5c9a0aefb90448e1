import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ConfigKey from "../../src/config/ConfigKey.ts"
import { count } from "../../src/config/ConfigValue.ts"

describe("keys", () => {
  it("name their variables by the path, word by word", () => {
    assert.strictEqual(ConfigKey.variableOf("listen.port"), "RTMP_LISTEN_PORT")
    assert.strictEqual(ConfigKey.variableOf("publisher.resumeGrace"), "RTMP_PUBLISHER_RESUME_GRACE")
    assert.strictEqual(ConfigKey.variableOf("gopCache.maxBytes"), "RTMP_GOP_CACHE_MAX_BYTES")
    assert.strictEqual(ConfigKey.variableOf("a.b2C"), "RTMP_A_B2_C")
  })

  it("are found at the root and however deep they stand", () => {
    const port = ConfigKey.key(count({ min: 0, max: 9 }), 1, "A port", { restart: true })
    const schema = Schema.Struct({ port, log: ConfigKey.group({ file: ConfigKey.group({ port }), port }) })
    const keys = ConfigKey.keysOf(schema)
    assert.deepStrictEqual(
      keys.map(({ group, path, restart, variable }) => [path, group, variable, restart]),
      [
        ["port", "", "RTMP_PORT", true],
        ["log.file.port", "log", "RTMP_LOG_FILE_PORT", true],
        ["log.port", "log", "RTMP_LOG_PORT", true]
      ]
    )
    assert.deepStrictEqual(Schema.decodeSync(schema)({}), { port: 1, log: { file: { port: 1 }, port: 1 } })
  })

  it("say how their default depends on a choice, and are absent until it is known", () => {
    const choice: ConfigKey.Choice<"a" | "b" | "c"> = {
      path: "x.y",
      words: ["a", "b", "c"],
      usual: "b",
      label: "letter"
    }
    const sizes = { a: 1, b: 2, c: 2 }
    const fields = { size: ConfigKey.dependentKey(count({ min: 0, max: 9 }), choice, (word) => sizes[word], "A size") }
    const [key] = ConfigKey.keysOf(Schema.Struct(fields))
    assert.deepStrictEqual([key?.defaultText, key?.defaultNote, key?.dependsOn], ["2", "1 with letter `a`", "x.y"])
    assert.deepStrictEqual(Schema.decodeSync(Schema.Struct(fields))({}), {})
    assert.isTrue(Result.isFailure(Schema.decodeUnknownResult(ConfigKey.complete(fields))({})))
    assert.deepStrictEqual(Schema.decodeUnknownSync(ConfigKey.complete(fields))({ size: 3 }), { size: 3 })
  })

  it("are refused when they were made without a description", () => {
    const schema = Schema.Struct({ listen: ConfigKey.group({ port: Schema.Int }) })
    assert.throws(() => ConfigKey.keysOf(schema), /listen\.port/)
  })
})
