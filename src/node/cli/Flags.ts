/**
 * The root of the command line, and the flags that several commands have.
 */
import * as Path from "node:path"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { profiles } from "../../config/ConfigGroups.ts"
import { parseDuration } from "../../config/ConfigValue.ts"
import * as Log from "../../observability/Log.ts"
import * as ServeArguments from "./ServeArguments.ts"

/** The flags that set keys of the configuration for a server that is started. */
export const settingFlags = {
  profile: Flag.Literals("profile", profiles).pipe(
    Flag.withDescription("Kind of machine that the limits are chosen for"),
    Flag.optional
  ),
  logLevel: Flag.Literals("log-level", Log.levels).pipe(
    Flag.withDescription("Lowest level that is logged"),
    Flag.optional
  ),
  set: Flag.String("set").pipe(
    Flag.withMetavar("KEY=VALUE"),
    Flag.filterMap(
      (text) => Option.fromNullishOr(ServeArguments.assignment(text)),
      (text) => `Expected a key and a value such as listen.port=1936, found "${Log.escapeForLog(text)}"`
    ),
    Flag.withDescription("Sets any key of the configuration, above file and environment; may be repeated"),
    Flag.atLeast(0)
  )
}

/** Where the configuration is. Every command accepts it, before or behind its name. */
const sharedFlags = {
  config: Flag.File("config").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Configuration file; otherwise RTMP_CONFIG, or config/effect-rtmp.yaml if it exists"),
    Flag.map((path) => shortened(path)),
    Flag.optional
  )
}

/** The command itself, without a handler and without those below it, whose handlers get its flags from it. */
export const root = Command.make("effect-rtmp", settingFlags).pipe(Command.withSharedFlags(sharedFlags))

/** What the command itself is given. */
export type RootFlags = Command.Command.Config.Infer<typeof settingFlags & typeof sharedFlags>

/** The file that `--config` names, if any; for the handlers of commands below the root. */
export const configPath = Effect.map(root, ({ config }) => Option.getOrUndefined(config))

/** A path that was made absolute, as people write it: relative where it lies below the working directory. */
export const shortened = (path: string): string => {
  const relative = Path.relative("", path)
  return relative === "" || relative.startsWith("..") || Path.isAbsolute(relative) ? path : relative
}

/** Puts what the flags say in the form that serving wants. */
export const serveArguments = (
  config: string | undefined,
  flags: Command.Command.Config.Infer<typeof settingFlags>
): ServeArguments.ServeArguments => ({
  config,
  settings: [
    ...Option.toArray(flags.profile).map((value) => ({ path: "profile", value, flag: "--profile" })),
    ...Option.toArray(flags.logLevel).map((value) => ({ path: "log.level", value, flag: "--log-level" })),
    ...flags.set
  ]
})

/** Prints JSON instead of a table. */
export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON for programs"),
  Flag.withDefault(false),
  Flag.withoutNegation
)

/** How to reach a server that runs. The token has no flag, because a command line is for everybody to read. */
export const server = {
  url: Flag.String("url").pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription("Address of the server's API; otherwise http.host and http.port of the configuration"),
    Flag.optional
  ),
  tokenFile: Flag.File("token-file").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("File with the bearer token; otherwise RTMP_HTTP_TOKEN, or a token of the configuration"),
    Flag.optional
  )
}

/** The flags of a command that asks a server that runs. */
export const reading = { ...server, json }

/** The key of a stream, such as `live/camera`. */
export const streamKey = Argument.String("key").pipe(
  Argument.withDescription("Key of the stream: application and name, such as live/camera")
)

/** The id of a connection, as `connections` lists it. */
export const connectionId = Argument.String("id").pipe(
  Argument.withDescription("Id of the connection, as `effect-rtmp connections` lists it")
)

/** A flag for a time span: `30s`, `5 minutes`, `500 ms`. */
export const duration = (name: string, description: string): Flag.Flag<Option.Option<Duration.Duration>> =>
  Flag.String(name).pipe(
    Flag.withMetavar("TIME"),
    Flag.filterMap(
      (text) => Option.fromNullishOr(parseDuration(text)),
      (text) => `Expected a time such as 30s or 5m, found "${Log.escapeForLog(text)}"`
    ),
    Flag.withDescription(description),
    Flag.optional
  )

/** Where clients are asked to move to. */
export const reconnectTo = Flag.String("reconnect-to").pipe(
  Flag.withMetavar("URL"),
  Flag.filter(
    (url) => /^rtmps?:\/\/\S+$/.test(url),
    (url) => `Expected an address such as rtmp://other.example/live, found "${Log.escapeForLog(url)}"`
  ),
  Flag.withDescription("Address that clients are asked to move to; otherwise shutdown.reconnectTo"),
  Flag.optional
)
