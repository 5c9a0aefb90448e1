/**
 * The whole command line: every command in its group, and how it is run.
 */

import * as Console from "effect/Console"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConfigError } from "../../config/ConfigError.ts"
import * as Log from "../../observability/Log.ts"
import * as CertCommand from "./CertCommand.ts"
import { CommandError, fail } from "./CommandError.ts"
import * as ConfigCommand from "./ConfigCommand.ts"
import * as ConnectionsCommand from "./ConnectionsCommand.ts"
import * as Flags from "./Flags.ts"
import * as HealthCommand from "./HealthCommand.ts"
import * as KeysCommand from "./KeysCommand.ts"
import * as LeadingFlags from "./LeadingFlags.ts"
import * as LifeCommands from "./LifeCommands.ts"
import * as LogCommands from "./LogCommands.ts"
import type { ServeArguments } from "./ServeArguments.ts"
import * as ServiceCommand from "./ServiceCommand.ts"
import * as SignCommand from "./SignCommand.ts"
import * as StatusCommand from "./StatusCommand.ts"
import * as StreamsCommand from "./StreamsCommand.ts"

/** Runs the server. */
export type Serve<E, R> = (args: ServeArguments) => Effect.Effect<void, E, R>

/** The tree of commands, over what serves. */
export const make = <E, R>(serve: Serve<E, R>) => {
  const handler = (config: string | undefined, flags: SettingFlags) => serve(Flags.serveArguments(config, flags))
  return Flags.root.pipe(
    Command.withHandler(({ config, ...flags }: Flags.RootFlags) => handler(Option.getOrUndefined(config), flags)),
    Command.withDescription(
      `An RTMP live server. Without a command it serves.

  The commands about a running server ask its HTTP API: at http.host and http.port of the same configuration file and
  environment that the server has, or at --url. Where the server wants a token, it is read from --token-file, from
  RTMP_HTTP_TOKEN, or from the configuration.

  Exit status: 0 done, 1 failed, 2 not understood, 69 the server cannot be reached, 77 no permission, 78 a configuration
  that is not valid.`
    ),
    Command.withExamples([
      { command: "effect-rtmp --config my.yaml", description: "Serve" },
      { command: "effect-rtmp config check --config my.yaml", description: "Check a configuration" },
      { command: "effect-rtmp status", description: "See how the server is" },
      { command: "effect-rtmp logs --follow --level warn", description: "Watch what goes wrong" },
      { command: "source <(effect-rtmp --completions bash)", description: "Complete commands in this shell" }
    ]),
    Command.withSubcommands([
      {
        group: "SERVER",
        commands: [serveCommand(handler), ConfigCommand.command, CertCommand.command, ServiceCommand.command]
      },
      {
        group: "LOOK",
        commands: [
          StatusCommand.command,
          HealthCommand.command,
          StreamsCommand.command,
          ConnectionsCommand.command,
          LogCommands.logs
        ]
      },
      {
        group: "CHANGE",
        commands: [
          LogCommands.logLevel,
          LifeCommands.reload,
          ConnectionsCommand.kick,
          KeysCommand.command,
          SignCommand.command,
          LifeCommands.drain,
          LifeCommands.resume,
          LifeCommands.stop
        ]
      }
    ])
  )
}

type SettingFlags = Command.Command.Config.Infer<typeof Flags.settingFlags>

const serveCommand = <E, R>(handler: (config: string | undefined, flags: SettingFlags) => Effect.Effect<void, E, R>) =>
  Command.make("serve", Flags.settingFlags, (flags) =>
    Effect.flatMap(Flags.configPath, (config) => handler(config, flags))
  ).pipe(
    Command.withDescription(
      "Serve until a signal or `effect-rtmp stop` ends it. Flags win over the environment, and that over the file."
    ),
    Command.withShortDescription("Serve; this is also what happens without a command"),
    Command.withExamples([
      { command: "effect-rtmp serve --config my.yaml" },
      { command: "effect-rtmp serve --profile mobile --set listen.port=1936 --log-level debug" }
    ])
  )

/**
 * Reads arguments and does what they say. What was not understood is printed here, on standard error and with a hint where
 * to look; it becomes a `CommandError` without a message.
 */
export const run = <E, R>(
  args: ReadonlyArray<string>,
  version: string,
  serve: Serve<E, R>
): Effect.Effect<void, E | CommandError | ConfigError, R | Command.Environment> => {
  const settled = LeadingFlags.settle(args)
  if (settled instanceof CommandError) return Effect.fail(settled)
  return Command.runWith(make(serve), { version })(settled).pipe(
    Effect.provideService(CliOutput.Presenter, presenter),
    Effect.provideService(CliConfig.CliConfig, {
      // The server has a log level of its own, and no command is so long that it needs a wizard.
      builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions]
    }),
    Effect.mapError((error) => (CliError.isCliError(error) ? fail("usage", "") : error))
  )
}

const presenter: CliOutput.Presenter = {
  present: Effect.fnUntraced(function* (event) {
    const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
    switch (event._tag) {
      case "Help": {
        const help = CliOutput.defaultFormatter({ colors: canColor }).formatHelpDoc(event.helpDoc)
        return yield* event.reason === "Requested" ? Console.log(help) : Console.error(help)
      }
      case "InvalidInvocation": {
        for (const { message } of event.errors) {
          yield* Console.error(`effect-rtmp: ${Log.escapeForLog(oneLine(message), 1_024)}`)
        }
        return yield* Console.error(`see ${event.commandPath.join(" ")} --help`)
      }
      case "Version":
        return yield* Console.log(`${event.name} ${event.version}`)
    }
  })
}

/** Puts a message of the command line on one line: suggestions stand on lines of their own in it. */
const oneLine = (message: string): string => {
  const [said = "", meant] = message.split(/\s*Did you mean this\?\s*/)
  const words = said.replace(/\s*\n\s*/g, " ")
  return meant === undefined
    ? words
    : `${words}; did you mean ${meant
        .trim()
        .split(/\s*\n\s*/)
        .join(" or ")}?`
}
