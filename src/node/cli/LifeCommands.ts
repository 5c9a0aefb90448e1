/**
 * The commands about the life of a server that runs: `drain`, `resume`, `stop` and `reload`.
 */

import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ConfigDiff from "../../config/ConfigDiff.ts"
import { describeWarning } from "../../config/ConfigError.ts"
import { fail } from "./CommandError.ts"
import * as Flags from "./Flags.ts"
import * as Output from "./Output.ts"
import * as Remote from "./Remote.ts"
import * as Table from "./Table.ts"
import * as Words from "./Words.ts"

const moving = {
  reconnectTo: Flags.reconnectTo,
  grace: Flags.duration("grace", "How long clients have; otherwise shutdown.grace of the configuration")
}

const options = ({ grace, reconnectTo }: Command.Command.Config.Infer<typeof moving>) => ({
  ...(Option.isSome(reconnectTo) ? { reconnectTo: reconnectTo.value } : {}),
  ...(Option.isSome(grace) ? { graceMs: Duration.toMillis(grace.value) } : {})
})

/** Moves clients away. */
export const drain = Command.make("drain", { ...moving, ...Flags.server }, ({ grace, reconnectTo, ...target }) =>
  Effect.gen(function* () {
    yield* Remote.call(yield* Flags.configPath, target, (client) =>
      client.server.drain({ payload: options({ grace, reconnectTo }) })
    )
    yield* Console.log("the server is draining: clients were asked to move, and new ones are turned away")
    yield* Console.log("`effect-rtmp resume` takes it back, `effect-rtmp stop` ends the server")
  })
).pipe(
  Command.withDescription(
    "Move clients away and turn new ones away, without stopping. Clients that can are told where to connect anew;\n  publishers that cannot are ended, so that their encoders connect anew by themselves. Viewers stay until their stream ends."
  ),
  Command.withShortDescription("Move clients to another server, without stopping"),
  Command.withExamples([
    {
      command: "effect-rtmp drain --reconnect-to rtmp://other.example/live --grace 2m",
      description: "Before maintenance"
    }
  ])
)

/** Lets clients in again. */
export const resume = Command.make("resume", Flags.server, (target) =>
  Effect.gen(function* () {
    yield* Remote.call(yield* Flags.configPath, target, (client) => client.server.resume({ payload: {} }))
    yield* Console.log("the server lets clients in")
  })
).pipe(
  Command.withDescription("Take a drain back: new clients are let in again."),
  Command.withShortDescription("Take a drain back"),
  Command.withExamples([{ command: "effect-rtmp resume" }])
)

/** Stops the server. */
export const stop = Command.make(
  "stop",
  {
    force: Flag.Boolean("force").pipe(
      Flag.withDescription("Drop every connection at once, also where a stop is under way"),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    ...moving,
    ...Flags.server
  },
  ({ force, grace, reconnectTo, ...target }) =>
    Effect.gen(function* () {
      const { connections } = yield* Remote.call(yield* Flags.configPath, target, (client) =>
        client.server.shutdown({ payload: { ...options({ grace, reconnectTo }), ...(force ? { force } : {}) } })
      )
      const counted = Words.counted(connections, "connection")
      if (force || connections === 0) {
        return yield* Console.log(
          `the server is stopping: ${counted} ${connections === 1 ? "is" : "are"} ended at once`
        )
      }
      yield* Console.log(`the server is stopping: ${counted} ${connections === 1 ? "has" : "have"} the grace to end`)
      yield* Console.log("`effect-rtmp stop --force` ends it now")
    })
).pipe(
  Command.withDescription(
    "Stop the server in order: nobody new comes in, publishers are told and may end their streams within the grace, viewers\n  stay until then. It ends with the last of them, or with the grace. A service manager may start it again: stop the\n  service there instead."
  ),
  Command.withShortDescription("Stop the server"),
  Command.withExamples([
    { command: "effect-rtmp stop --grace 1m", description: "With a minute for the streams to end" },
    { command: "effect-rtmp stop --force", description: "Now" }
  ])
)

/** Loads the configuration again. */
export const reload = Command.make("reload", Flags.reading, ({ json, ...target }) =>
  Effect.gen(function* () {
    const report = yield* Remote.call(yield* Flags.configPath, target, (client) =>
      client.config.reload({ payload: {} })
    ).pipe(
      // It was read here, to find the server: its file is the one that the server would read.
      Effect.catchTag("ConfigError", ({ message }) =>
        Effect.fail(fail("config", `${message}\nnothing was loaded: the server keeps the configuration that it has`))
      )
    )
    yield* Output.either(json, report, () => [
      report.changes.length > 0
        ? "the configuration has changed:"
        : `the configuration is in force already, for ${Words.span(report.inForceMs)}`,
      ...report.changes.map((change) => `  ${ConfigDiff.describe(change)}`),
      ...(report.needsRestart.length === 0 ? [] : ["these wait for a restart:"]),
      ...report.needsRestart.map((change) => `  ${ConfigDiff.describe({ ...change, restart: false })}`),
      ...report.warnings.map((warning) => `warning: ${Table.safe(describeWarning(warning))}`)
    ])
    if (report.failed.length > 0) {
      const parts = report.failed.map(Table.safe).join(", ")
      return yield* fail("failed", `these parts failed to take the change over, see the log of the server: ${parts}`)
    }
  })
).pipe(
  Command.withDescription(
    "Let the server load its configuration again and apply what has changed, as a whole or not at all. Sessions go on.\n  The exit status is 78 for a configuration that is not valid; nothing has changed then."
  ),
  Command.withShortDescription("Load the configuration again"),
  Command.withExamples([
    { command: "effect-rtmp config diff && effect-rtmp reload", description: "See what would change, and change it" }
  ])
)
