/**
 * The configuration as a command line asks for it: the file, the environment above it, and the flags above both.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import type { ConfigError, ConfigProblem } from "../../config/ConfigError.ts"
import * as ConfigSource from "../../config/ConfigSource.ts"
import { askingModel, keys, model, type RtmpConfigData } from "../../config/RtmpConfig.ts"
import * as Log from "../../observability/Log.ts"
import * as NodeConfigFile from "../NodeConfigFile.ts"
import type { ServeArguments, Setting } from "./ServeArguments.ts"

/** The configuration, and the file that it was read from; `undefined` for none. */
export interface ServeConfig {
  readonly file: string | undefined
  readonly loaded: ConfigSource.LoadedConfig<RtmpConfigData>
}

/**
 * Finds the configuration file and loads the configuration: what a server with these arguments starts with. For a reload,
 * `loadFrom` reads the same again.
 */
export const load = (args: ServeArguments, by: typeof model = model): Effect.Effect<ServeConfig, ConfigError> =>
  Effect.gen(function* () {
    const file = yield* NodeConfigFile.locate(args.config)
    return { file, loaded: yield* loadFrom(file, args.settings, by) }
  })

/** Finds and loads the configuration of a server that runs, for those who want to ask it: see `askingModel`. */
export const loadToAsk = (config: string | undefined): Effect.Effect<RtmpConfigData, ConfigError> =>
  Effect.map(load({ config, settings: [] }, askingModel), ({ loaded }) => loaded.config)

/** Loads the configuration from a file, if there is one, from the environment and from flags; the last one wins. */
export const loadFrom = (
  file: string | undefined,
  settings: ReadonlyArray<Setting>,
  by: typeof model = model
): Effect.Effect<ConfigSource.LoadedConfig<RtmpConfigData>, ConfigError> =>
  Effect.gen(function* () {
    const sources = file === undefined ? [] : [yield* NodeConfigFile.read(file)]
    const environment = yield* ConfigSource.fromProvider(keys, yield* ConfigProvider.ConfigProvider)
    return yield* Effect.fromResult(ConfigSource.load(by, [...sources, environment, fromSettings(settings)]))
  })

/**
 * Makes a source of flags. Unlike in the environment, a key that does not exist is an error; so is a secret, because a
 * command line is for everybody on the machine to read.
 */
export const fromSettings = (settings: ReadonlyArray<Setting>): ConfigSource.ConfigSource => {
  const known = new Map(keys.map((key) => [key.path, key]))
  const problems = settings.flatMap(({ flag, path }): ReadonlyArray<ConfigProblem> => {
    const key = known.get(path)
    if (key === undefined) {
      const suggestion = ConfigSource.suggest(path, [...known.keys()])
      const problem: ConfigProblem = {
        reason: "UnknownKey",
        origin: "--set",
        path: "",
        expected: "a key that exists",
        found: `"${Log.escapeForLog(path)}"`
      }
      return [suggestion === undefined ? problem : { ...problem, suggestion }]
    }
    if (!key.secret) return []
    const expected = `the secret in ${key.variable} or in the file, because a command line can be read by others`
    return [{ reason: "InvalidValue", origin: flag, path, expected, found: "it on the command line" }]
  })
  const entries = settings.flatMap(({ flag, path, value }) => {
    const key = known.get(path)
    return key === undefined || key.secret ? [] : [{ path, value, origin: flag }]
  })
  return { entries, problems, warnings: [] }
}
