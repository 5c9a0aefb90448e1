import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as ConfigFile from "../../src/config/ConfigFile.ts"
import * as ConfigShow from "../../src/config/ConfigShow.ts"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import * as ConfigYaml from "../../src/config/ConfigYaml.ts"
import { keys, model, RtmpConfig, written } from "../../src/config/RtmpConfig.ts"
import * as Samples from "./Samples.ts"

const parse = (text: string) => ConfigFile.parse(keys, text, "my.yaml")

const load = (text: string, environment: Record<string, string> = {}) =>
  Effect.map(parse(text), (source) => ConfigSource.load(model, [source, ConfigSource.fromRecord(keys, environment)]))

const loaded = (text: string, environment: Record<string, string> = {}) =>
  Effect.map(load(text, environment), Result.getOrThrow)

/** What the error says, without its first line. */
const complaints = (text: string, environment: Record<string, string> = {}) =>
  Effect.map(load(text, environment), (result) => {
    assert.isTrue(Result.isFailure(result), "expected a ConfigError")
    return Result.isFailure(result) ? result.failure.message.split("\n  ").slice(1) : []
  })

/** A few keys with values that they accept. */
const Choices = Schema.Array(Schema.Tuple([Schema.Int, Schema.Int])).check(Schema.isMaxLength(12))

const settingsOf = (choices: ReadonlyArray<readonly [number, number]>): ReadonlyMap<string, unknown> =>
  new Map(
    choices.map(([index, seed]) => {
      const key = keys[Math.abs(index) % keys.length]!
      return [key.path, Samples.valueOf(key, Math.abs(seed))]
    })
  )

describe("a configuration file", () => {
  it.effect("sets keys at any depth, and remembers line and column", () =>
    Effect.gen(function* () {
      const { config, origins, warnings } = yield* loaded(
        "# mine\nprofile: mobile\nlisten:\n  port: 1936\nlog:\n  file: { maxSize: 1MiB }\nhttp:\n  readTokens:\n    - abc\n"
      )
      assert.strictEqual(config.listen.port, 1936)
      assert.strictEqual(config.log.file.maxSize, 1024 * 1024)
      assert.strictEqual(config.limits.maxConnections, 100)
      assert.deepStrictEqual(
        [...origins],
        [
          ["profile", "my.yaml:2:10"],
          ["listen.port", "my.yaml:4:9"],
          ["log.file.maxSize", "my.yaml:6:20"],
          ["http.readTokens", "my.yaml:9:5"]
        ]
      )
      assert.deepStrictEqual(warnings, [])
    })
  )

  it.effect("may be empty, have empty groups, be JSON with tabs, or come from Windows", () =>
    Effect.gen(function* () {
      for (const text of ["", "# nothing\n", "---\n", "~", "listen:\nlog:\n  file:\n", "{}", "\uFEFF"]) {
        assert.deepStrictEqual((yield* loaded(text)).config, RtmpConfig.defaults, JSON.stringify(text))
      }
      assert.strictEqual((yield* loaded('{\n\t"listen": {\n\t\t"port": 1936\n\t}\n}\n')).config.listen.port, 1936)
      assert.strictEqual((yield* loaded("\uFEFFlisten:\r\n  port: 1936\r\n")).config.listen.port, 1936)
    })
  )

  it.effect("lies above the profile and the defaults, and below the environment", () =>
    Effect.gen(function* () {
      const text =
        "profile: mobile\nlimits: { maxConnections: 7 }\nlisten: { port: 1 }\nsession: { applications: [a, b] }\n"
      const environment = {
        RTMP_LISTEN_PORT: "2",
        RTMP_SESSION_APPLICATIONS: "c",
        RTMP_LATENCY_APPLICATIONS: "live=low,event=100 ms",
        RTMP_LOG_FILE_MAX_SIZE: "2MiB"
      }
      const { config, origins } = yield* loaded(text, environment)
      assert.deepStrictEqual([config.limits.maxConnections, config.limits.maxPublishers], [7, 3])
      assert.strictEqual(config.listen.port, 2)
      assert.deepStrictEqual(config.session.applications, ["c"])
      assert.deepStrictEqual([...config.latency.applications.keys()], ["live", "event"])
      assert.strictEqual(config.log.file.maxSize, 2 * 1024 * 1024)
      assert.strictEqual(origins.get("listen.port"), "RTMP_LISTEN_PORT")
      assert.strictEqual((yield* loaded(text, { RTMP_PROFILE: "desktop" })).config.limits.maxPublishers, 10)
    })
  )

  it.effect("keeps text as it is written, also where YAML would see a number or a truth value", () =>
    Effect.gen(function* () {
      const { config } = yield* loaded(
        "instance: { name: 007 }\nsession: { applications: [1.50, true, 'null'] }\nlatency: { applications: { 2024: 100, no: low } }"
      )
      assert.strictEqual(config.instance.name, "007")
      assert.deepStrictEqual(config.session.applications, ["1.50", "true", "null"])
      assert.deepStrictEqual(
        [...config.latency.applications].map(([name, { mergeWindowMs }]) => [name, mergeWindowMs]),
        [
          ["2024", 100],
          ["no", 0]
        ]
      )
    })
  )

  it.effect("may use anchors and aliases", () =>
    Effect.gen(function* () {
      const { config } = yield* loaded("play: { waitTimeout: &short 7 s }\npublisher: { resumeGrace: *short }")
      assert.strictEqual(Duration.toMillis(config.publisher.resumeGrace), 7000)
    })
  )

  it.effect("is reported with all that is wrong in it and in the environment, in the order of its lines", () =>
    Effect.gen(function* () {
      const text = [
        "listen:",
        "  prot: 1936",
        "  port: 70000",
        "log:",
        "  level: loud",
        "  file: 5",
        "gop:",
        "  enabled: yes please",
        "port: 1",
        "handshake: { timeout: }",
        "session: { pingInterval: [1] }"
      ].join("\n")
      assert.deepStrictEqual(yield* complaints(text, { RTMP_CHUNK_OUT_SIZE: "1" }), [
        'my.yaml:2:3 (listen.prot): expected a key that exists, found "prot"; did you mean listen.port?',
        "my.yaml:3:9 (listen.port): expected a whole number from 0 to 65535, found 70000",
        'my.yaml:5:10 (log.level): expected `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `none`, found "loud"',
        "my.yaml:6:9 (log.file): expected a mapping with the keys of log.file, found a single value",
        'my.yaml:7:1 (gop): expected a key that exists, found "gop"; did you mean gopCache?',
        'my.yaml:9:1 (port): expected a key that exists, found "port"; did you mean listen.port?',
        "my.yaml:10:14 (handshake.timeout): expected a duration from 100 ms to 24 days (`5 seconds`, `500 ms`, `10s` or milliseconds), found nothing",
        "my.yaml:11:26 (session.pingInterval): expected a duration from 100 ms to 24 days (`5 seconds`, `500 ms`, `10s` or milliseconds), found a list",
        'RTMP_CHUNK_OUT_SIZE (chunk.outSize): expected a whole number from 128 to 65536, found "1"'
      ])
    })
  )

  it.effect("is reported where its values contradict each other, with the place", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* complaints("session:\n  pingInterval: 2 minutes\n"), [
        'my.yaml:2:17 (session.pingInterval): expected at most 1 minute, the value of session.pingTimeout, found "2 minutes"'
      ])
    })
  )

  it.effect("never has its secrets quoted", () =>
    Effect.gen(function* () {
      const secret = "hush-hush"
      const texts = [
        `http: { readTokens: ["${secret} ${secret}"] }`,
        `http: { writeTokens: { ${secret}: 1 } }`,
        `http:\n  readTokens: "${secret}\\q"`,
        `http:\n  readTokens: ${secret}: x`,
        `otlp: { headers: "${secret}" }`,
        `otlp: { headers: { "a b": ${secret} } }`
      ]
      for (const text of texts) assert.notInclude((yield* complaints(text)).join("\n"), secret, text)
    })
  )
})

describe("a hostile file", () => {
  const table: ReadonlyArray<readonly [what: string, text: string, complaint: string]> = [
    ["a list", "[1, 2]", "my.yaml:1:1: expected a mapping of groups such as `listen:`, found a list"],
    ["a word", "hello", "my.yaml:1:1: expected a mapping of groups such as `listen:`, found a single value"],
    [
      "a repeated group",
      "log:\nlisten:\nlog:",
      "my.yaml:3:1 (log): expected each key once (the first is at my.yaml:1:1), found it again"
    ],
    [
      "a repeated key",
      "log: {level: info, level: info}",
      "my.yaml:1:20 (log.level): expected each key once (the first is at my.yaml:1:7), found it again"
    ],
    [
      "a merge key",
      "listen:\n  <<: {port: 1}",
      'my.yaml:2:3 (listen.<<): expected a key; there are no merge keys, found "<<"'
    ],
    [
      "a path for a key",
      "listen.port: 1",
      'my.yaml:1:1 (listen.port): expected a key without dots, below its group, found "listen.port"'
    ],
    [
      "a stray alias",
      "listen: *nope",
      "my.yaml:1:9: expected an alias of an anchor that stands before it, found another alias"
    ],
    ["a tab", "listen:\n\tport: 1", "my.yaml:2:1: expected spaces as indentation, found a tab"],
    [
      "an open bracket",
      "listen: {port: 1",
      "my.yaml:1:17: expected the indentation of the lines around it, found another indentation"
    ],
    [
      "an open quote",
      'listen:\n  host: "x',
      "my.yaml:2:11: expected `:`, a comma, a closing quote or a closing bracket, found something else"
    ],
    ["two documents", "log:\n---\nlisten:", "my.yaml:2:1: expected one document, found several, parted by `---`"],
    ["another version", "%YAML 1.1\n---\nlog:", "my.yaml:1:1: expected YAML 1.2, found YAML 1.1"],
    [
      "a tag",
      "listen: !!js/function x",
      "my.yaml:1:9: expected a value without a tag, found a tag that means nothing here"
    ],
    [
      "binary",
      "listen: {host: !!binary AAAA}",
      "my.yaml:1:16: expected a value without a tag, found a tag that means nothing here"
    ],
    ["a mapping as key", "? {a: b}\n: c", "my.yaml:1:3: expected a name as the key, found something else"],
    [
      "a key with controls",
      '"a\\e[2J\\n": 1',
      'my.yaml:1:1 (a\\u{1b}[2J\\u{a}): expected a key that exists, found "a\\u{1b}[2J\\u{a}"'
    ],
    ["a prototype", "__proto__: {port: 1}", 'my.yaml:1:1 (__proto__): expected a key that exists, found "__proto__"'],
    [
      "deep brackets",
      "[".repeat(5_000),
      "expected a file that can be taken apart, found one that is nested too deeply"
    ],
    [
      "deep mappings",
      "{a: ".repeat(5_000),
      "expected a file that can be taken apart, found one that is nested too deeply"
    ],
    ["deep dashes", "- ".repeat(5_000), "expected a file that can be taken apart, found one that is nested too deeply"],
    [
      "a long file",
      "#".repeat(ConfigFile.maxFileBytes + 1),
      "my.yaml: expected at most 1048576 bytes, found a longer file"
    ],
    ["a long file in bytes", "é".repeat(ConfigFile.maxFileBytes / 2 + 1), "my.yaml: expected at most 1048576 bytes"],
    [
      "many keys",
      Array.from({ length: 20_000 }, (_, i) => `k${i}: 1`).join("\n"),
      "my.yaml:1:1: expected at most 10000 values, found more"
    ],
    [
      "many items",
      `session: {applications: [${"a,".repeat(20_000)}]}`,
      "my.yaml:1:1: expected at most 10000 values, found more"
    ]
  ]

  for (const [what, text, complaint] of table) {
    it.effect(`is refused for ${what}, in words`, () =>
      Effect.gen(function* () {
        const found = yield* complaints(text)
        assert.include(found[0]!, complaint)
        assert.isBelow(found.join().length, 10_000)
      })
    )
  }

  it.effect("cannot unfold aliases into more than the bound", () =>
    Effect.gen(function* () {
      let text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
      for (let i = 1; i < 30; i++)
        text += `a${i}: &a${i} [${Array(9)
          .fill(`*a${i - 1}`)
          .join()}]\n`
      yield* complaints(`${text}session: { applications: *a29 }\n`)
      const aliases = `play: {waitTimeout: &t 1s}\nsession: {applications: [&x live${",*x".repeat(200)}]}`
      assert.deepStrictEqual(yield* complaints(aliases), ["my.yaml:1:1: expected at most 10000 values, found more"])
    })
  )

  it.effect("of exactly the greatest size is read", () =>
    Effect.gen(function* () {
      const text = "listen: {port: 7}\n"
      const filled = text + "#".repeat(ConfigFile.maxFileBytes - text.length)
      assert.strictEqual((yield* loaded(filled)).config.listen.port, 7)
    })
  )

  it.effect(
    "whose text cannot be taken apart still lets the environment be checked, without guessing at conflicts",
    () =>
      Effect.gen(function* () {
        const found = yield* complaints("listen: {", { RTMP_SESSION_PING_TIMEOUT: "1s" })
        assert.strictEqual(found.length, 1)
        assert.strictEqual((yield* complaints("listen: {", { RTMP_LISTEN_PORT: "x" })).length, 2)
      })
  )

  it.effect.prop(
    "never makes it throw",
    [
      Schema.Array(
        Schema.Literals([
          "listen",
          "port",
          ":",
          " ",
          "\n",
          "- ",
          "{",
          "}",
          "[",
          "]",
          "&a ",
          "*a",
          "!",
          "'",
          '"',
          "#",
          "|",
          ">",
          "?",
          "%",
          "1",
          "\t",
          ","
        ])
      )
    ],
    ([pieces]) =>
      Effect.gen(function* () {
        const source = yield* parse(pieces.join(""))
        for (const problem of source.problems) assert.match(problem.origin, /^my\.yaml:\d+:\d+$/)
      })
  )
})

describe("any valid configuration", () => {
  it.effect.prop("means the same as JSON, as YAML in blocks, as our own YAML, and in code", [Choices], ([choices]) =>
    Effect.gen(function* () {
      const settings = settingsOf(choices)
      const code = ConfigSource.load(model, [ConfigSource.fromValues(keys, Samples.nest(settings), "code")])
      if (Result.isFailure(code)) {
        assert.isTrue(
          code.failure.problems.every(({ reason }) => reason === "Conflict"),
          code.failure.message
        )
        return
      }
      const expected = written(code.success.config)
      const own = ConfigYaml.nested(
        [...settings]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([path, value]) => ({ path, lines: [`${path.split(".").at(-1)}: ${ConfigYaml.inline(value)}`] })),
        false
      )
      for (const text of [JSON.stringify(Samples.nest(settings)), Samples.blockYaml(Samples.nest(settings)), own]) {
        const result = yield* loaded(text)
        assert.deepStrictEqual(written(result.config), expected, text)
        assert.sameMembers([...result.origins.keys()], [...settings.keys()])
      }
    })
  )

  it.effect.prop("is shown as a file that means the same, without secrets", [Choices], ([choices]) =>
    Effect.gen(function* () {
      const settings = settingsOf(choices)
      const code = ConfigSource.load(model, [ConfigSource.fromValues(keys, Samples.nest(settings), "a\nb: c")])
      if (Result.isFailure(code)) return
      const shown = ConfigShow.show(code.success)
      const text = ConfigShow.toYaml(shown.filter(({ value }) => value !== ConfigShow.redacted))
      const again = written((yield* loaded(text)).config)
      for (const [path, value] of written(code.success.config)) {
        if (!keys.find((key) => key.path === path)!.secret) assert.deepStrictEqual(again.get(path), value, path)
      }
      assert.notInclude(JSON.stringify(shown) + ConfigShow.toYaml(shown) + ConfigShow.settings(shown).join(), "s3cret")
    })
  )
})
