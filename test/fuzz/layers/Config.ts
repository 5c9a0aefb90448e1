/** Configuration files: any text gives values or problems that can be shown, and values that are shown read back the same. */
import * as Result from "effect/Result"
import * as yaml from "yaml"
import * as ConfigError from "../../../src/config/ConfigError.ts"
import * as ConfigFile from "../../../src/config/ConfigFile.ts"
import * as ConfigShow from "../../../src/config/ConfigShow.ts"
import * as ConfigSource from "../../../src/config/ConfigSource.ts"
import * as ConfigYaml from "../../../src/config/ConfigYaml.ts"
import * as RtmpConfig from "../../../src/config/RtmpConfig.ts"
import { ensure, hasControl, type Layer, same } from "../Layer.ts"
import { Output } from "../Output.ts"
import { hashOf, type Random } from "../Random.ts"

const values = [
  '"1"',
  "'true'",
  '"null"',
  '"0x10"',
  '"a: b"',
  "1",
  "0",
  "-1",
  "1935",
  "5 seconds",
  "100 ms",
  "64KiB",
  "1 MiB",
  "2 Mbit/s",
  "true",
  "false",
  "null",
  "~",
  "live",
  "[a, b]",
  "[]",
  "{}",
  "{ a: 1 }",
  '"text"',
  "'it'",
  "*x",
  "&x 1",
  "|\n      text",
  ">\n      text",
  "0x10",
  ".inf",
  ".nan",
  "1e309",
  "2026-01-01",
  "[a, [b]]",
  "!!str 1",
  "!x 1",
  "? a",
  '"\\u202e"',
  '"\\u0000"',
  "é",
  "127.0.0.1",
  "::",
  "0.0.0.0/0",
  "desktop",
  "mobile",
  "reject",
  "takeover",
  "json",
  "off",
  "info",
  '"*"',
  "%",
  "@",
  "`",
  "# only a comment",
  "\t",
  "a: b: c",
  "low",
  "balanced"
]
const noise = [
  "\n",
  "  ",
  "\t",
  ":",
  "- ",
  "? ",
  "---\n",
  "...\n",
  "%YAML 1.1\n",
  "<<: *x\n",
  "{",
  "}",
  "[",
  "]",
  '"',
  "'",
  "#",
  "&a ",
  "*a",
  "\u0000",
  "\ufeff",
  "!",
  "|",
  ">",
  "\r"
]

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const out = new Output()
const groups = [...new Set(RtmpConfig.keys.map((key) => key.path.split(".")[0]!))]
const byGroup = new Map(
  groups.map((group) => [
    group,
    RtmpConfig.keys.filter((key) => key.path.startsWith(`${group}.`)).map((key) => key.path.slice(group.length + 1))
  ])
)
/** What a key may well be set to: its default. */
const usualValues = new Map(
  [...RtmpConfig.written(RtmpConfig.RtmpConfig.defaults)].map(([path, value]) => [path, ConfigYaml.inline(value)])
)
const secret = new Set(RtmpConfig.keys.filter((key) => key.secret).map((key) => key.path))

const write = (text: string): void => {
  out.bytes(encoder.encode(text))
}

const file = (random: Random): void => {
  for (let i = random.once(50) ? 0 : 1 + random.below(3); i > 0; i--) {
    const group = random.pick(groups)
    const names = byGroup.get(group)!
    if (names.length === 0 || random.once(20)) {
      write(`${group}: ${random.pick(values)}\n`)
      continue
    }
    write(`${group}:\n`)
    for (let j = 1 + random.below(3); j > 0; j--) {
      const name = random.once(25)
        ? random.pick(["nonsense", "__proto__", "constructor", "*a", "? [a]", "1"])
        : random.pick(names)
      const usual = random.once(3) ? undefined : usualValues.get(`${group}.${name}`)
      write(`  ${name.replace(".", ":\n    ")}: ${usual ?? random.pick(values)}\n`)
    }
  }
  for (let i = random.once(4) ? 1 + random.below(3) : 0; i > 0; i--) write(random.pick(noise))
}

const ensureShowable = (text: string): void => {
  ensure(!hasControl(text), "a control character in a message", () => JSON.stringify(text))
  ensure(text.length <= 4096, "a message without end", () => String(text.length))
}

export const configLayer: Layer = {
  name: "config",
  inputsInTests: 600,
  generate: (random) => {
    out.clear()
    file(random)
    return (random.once(4) ? out.damage(random, 0, 1 + random.below(3)) : out).finish()
  },
  check: (input) => {
    const source = ConfigFile.parseWith(yaml, RtmpConfig.keys, decoder.decode(input), "f.yaml")
    for (const problem of source.problems) ensureShowable(ConfigError.describe(problem))
    // All keys are decoded for every file, which takes longest: a file with problems is refused whatever they say, so
    // one in so many of these will do, and a quarter of the others, of which half are shown and read again.
    const hash = hashOf(input)
    if (hash % (source.problems.length > 0 ? 16 : 4) !== 0) return
    const loaded = ConfigSource.load(RtmpConfig.model, [source])
    if (Result.isFailure(loaded)) {
      ensure(loaded.failure instanceof ConfigError.ConfigError, "an error that is no ConfigError")
      ensure(loaded.failure.problems.length > 0, "an error without a problem")
      for (const problem of loaded.failure.problems) ensureShowable(ConfigError.describe(problem))
      return
    }
    for (const warning of loaded.success.warnings) ensureShowable(ConfigError.describeWarning(warning))
    if ((hash >>> 4) % 2 !== 0) return
    const isWhole = (hash >>> 6) % 4 === 0
    const shown = ConfigShow.show(loaded.success).filter((key) => isWhole || !key.isDefault)
    const again = ConfigSource.load(RtmpConfig.model, [
      ConfigFile.parseWith(yaml, RtmpConfig.keys, ConfigShow.toYaml(shown), "g.yaml")
    ])
    const open = (config: RtmpConfig.RtmpConfigData) =>
      [...RtmpConfig.written(config)].filter(([path]) => !secret.has(path))
    if (Result.isFailure(again)) {
      const isSecret = again.failure.problems.every((problem) => secret.has(problem.path))
      ensure(isSecret, "a configuration cannot be read that was shown", () => again.failure.message)
      return
    }
    if (same(again.success.config, loaded.success.config)) return
    ensure(same(open(again.success.config), open(loaded.success.config)), "a configuration changes when it is shown")
  }
}
