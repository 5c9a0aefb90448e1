/**
 * `effect-rtmp config`: checks the configuration, shows what is in force, and tells what differs.
 */

import * as FsPromises from "node:fs/promises"
import * as Console from "effect/Console"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ConfigDiff from "../../config/ConfigDiff.ts"
import { ConfigError, describeWarning } from "../../config/ConfigError.ts"
import * as ConfigShow from "../../config/ConfigShow.ts"
import * as ConfigSource from "../../config/ConfigSource.ts"
import { askingModel, type RtmpConfigData } from "../../config/RtmpConfig.ts"
import * as Log from "../../observability/Log.ts"
import * as NodeConfigFile from "../NodeConfigFile.ts"
import { type CommandError, fail } from "./CommandError.ts"
import * as Flags from "./Flags.ts"
import * as Output from "./Output.ts"
import * as Remote from "./Remote.ts"
import * as ServeConfig from "./ServeConfig.ts"

const local = { ...Flags.settingFlags, json: Flags.json }

const check = Command.make("check", local, ({ json, ...flags }) =>
  Effect.gen(function* () {
    const exit = yield* Effect.result(ServeConfig.load(Flags.serveArguments(yield* Flags.configPath, flags)))
    if (exit._tag === "Failure") {
      if (!json) return yield* exit.failure
      const { detail = "", problems } = exit.failure
      yield* Output.json({ ok: false, problems, detail, warnings: [] })
      // The answer is on standard output already.
      return yield* fail("config", "")
    }
    const { file, loaded } = exit.success
    if (json) return yield* Output.json({ ok: true, problems: [], detail: "", warnings: loaded.warnings })
    for (const warning of loaded.warnings)
      yield* Console.error(`warning: ${Log.escapeForLog(describeWarning(warning), 1024)}`)
    yield* Console.log(
      file === undefined
        ? "the configuration is valid; there is no file"
        : `the configuration is valid: ${Log.escapeForLog(file, 1024)}`
    )
  })
).pipe(
  Command.withDescription(
    "Check the configuration as a server would start with it: the file, the environment and the flags.\n  All problems are named at once, with file and line. The exit status is 0, or 78 for a configuration that is not valid."
  ),
  Command.withShortDescription("Check the configuration, and name all its problems"),
  Command.withExamples([
    { command: "effect-rtmp config check --config my.yaml", description: "Before a restart" },
    { command: "effect-rtmp config check --json", description: "For a program" }
  ])
)

const show = Command.make(
  "show",
  {
    ...local,
    changed: Flag.Boolean("changed").pipe(
      Flag.withDescription("Only the keys that somebody has set"),
      Flag.withDefault(false),
      Flag.withoutNegation
    )
  },
  ({ changed, json, ...flags }) =>
    Effect.gen(function* () {
      const { loaded } = yield* ServeConfig.load(Flags.serveArguments(yield* Flags.configPath, flags))
      const shown = ConfigShow.show(loaded).filter((key) => !changed || !key.isDefault)
      if (json) return yield* Output.json(shown)
      if (shown.length > 0) yield* Console.log(ConfigShow.toYaml(shown).trimEnd())
    })
).pipe(
  Command.withDescription(
    "Show every key with its value and where the value comes from, as YAML that can be used as a file.\n  Secrets are shown as ***."
  ),
  Command.withShortDescription("Show every key, its value, and where it comes from"),
  Command.withExamples([
    { command: "effect-rtmp config show --changed", description: "What differs from the defaults" },
    { command: "effect-rtmp config show --profile mobile --json", description: "What a profile would mean" }
  ])
)

const diff = Command.make(
  "diff",
  {
    from: Argument.File("from").pipe(
      Argument.withDescription(
        "File to compare from; without any, the running server is compared with the configuration"
      ),
      Argument.optional
    ),
    to: Argument.File("to").pipe(Argument.withDescription("File to compare to"), Argument.optional),
    ...Flags.reading
  },
  ({ from, json, to, ...target }) =>
    Effect.gen(function* () {
      const config = yield* Flags.configPath
      const changes = Option.isSome(from)
        ? yield* diffFiles(
            Flags.shortened(from.value),
            Option.getOrUndefined(Option.map(to, Flags.shortened)) ?? config
          )
        : yield* diffServer(config, target)
      if (json) return yield* Output.json(changes)
      if (changes.length === 0) return yield* Console.log("nothing differs")
      yield* Output.lines(changes.map(ConfigDiff.describe))
    })
).pipe(
  Command.withDescription(
    "Tell what differs: between the running server and the configuration that a reload would find, or between two files.\n  Changes that need a restart are marked. Two secrets look the same here, whatever they are."
  ),
  Command.withShortDescription("Compare the running server with the file, or two files"),
  Command.withExamples([
    { command: "effect-rtmp config diff", description: "What a reload would change" },
    { command: "effect-rtmp config diff old.yaml new.yaml", description: "Two files, without the environment" }
  ])
)

/** The group of commands about the configuration. */
export const command = Command.make("config").pipe(
  Command.withDescription("Check, show and compare configurations"),
  Command.withSubcommands([{ group: "COMMANDS", commands: [check, show, diff] }])
)

const fileAlone = (path: string): Effect.Effect<RtmpConfigData, ConfigError> =>
  Effect.flatMap(NodeConfigFile.read(path), (source) =>
    Effect.map(Effect.fromResult(ConfigSource.load(askingModel, [source])), ({ config }) => config)
  )

const diffFiles = (
  from: string,
  to: string | undefined
): Effect.Effect<ReadonlyArray<ConfigDiff.ConfigChange>, CommandError | ConfigError> =>
  to === undefined
    ? Effect.fail(fail("usage", "compare it with what? give a second file, or none to ask the running server"))
    : Effect.gen(function* () {
        return ConfigDiff.diff(yield* fileAlone(from), yield* fileAlone(to))
      })

/**
 * Asks the server itself what a reload would find: only it has its environment, and the secrets to compare.
 */
const diffServer = (
  config: string | undefined,
  target: Remote.Target
): Effect.Effect<ReadonlyArray<ConfigDiff.ConfigChange>, CommandError | ConfigError> =>
  Effect.gen(function* () {
    const file = yield* NodeConfigFile.locate(config)
    const text = file === undefined ? "" : yield* readText(file)
    const answer = yield* Remote.call(config, target, (client) => client.config.check({ payload: { text } }))
    if (answer.valid) return answer.changes
    const problems = answer.problems.map((problem) => ({
      ...problem,
      origin: problem.origin.replace(/^text(?=:|$)/, () => file ?? "text")
    }))
    return yield* new ConfigError({ reason: "Invalid", problems })
  })

const readText = (path: string): Effect.Effect<string, ConfigError> =>
  Effect.tryPromise({
    try: () => FsPromises.readFile(path, "utf8"),
    catch: (error) => {
      const detail = `${path} cannot be read (${Remote.codeOf(error)})`
      return new ConfigError({ reason: "SourceFailed", problems: [], detail })
    }
  })
