/**
 * `effect-rtmp connections` and `effect-rtmp kick`: who is connected.
 */

import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flags from "./Flags.ts"
import * as Output from "./Output.ts"
import * as Remote from "./Remote.ts"
import { description, message } from "./StreamsCommand.ts"
import * as Table from "./Table.ts"
import * as Views from "./Views.ts"

const listFlags = {
  stream: Flag.String("stream").pipe(
    Flag.withMetavar("KEY"),
    Flag.withDescription("Only connections that publish or play this stream"),
    Flag.optional
  ),
  ...Flags.reading
}

const listed = ({ json, stream, ...target }: Command.Command.Config.Infer<typeof listFlags>) =>
  Effect.gen(function* () {
    const query = Option.isSome(stream) ? { stream: stream.value } : {}
    const answer = yield* Remote.call(yield* Flags.configPath, target, (client) => client.connections.list({ query }))
    const now = yield* Clock.currentTimeMillis
    yield* Output.either(json, answer, (style) => Views.connections(answer, now, style))
  })

const list = Command.make("list", listFlags, listed).pipe(
  Command.withDescription("List all connections with what they do and their rates, oldest first."),
  Command.withShortDescription("List all connections"),
  Command.withExamples([{ command: "effect-rtmp connections list --stream live/camera" }])
)

const show = Command.make("show", { id: Flags.connectionId, ...Flags.reading }, ({ id, json, ...target }) =>
  Effect.gen(function* () {
    const connection = yield* Remote.call(yield* Flags.configPath, target, (client) =>
      client.connections.get({ params: { id } })
    )
    const now = yield* Clock.currentTimeMillis
    yield* Output.either(json, connection, (style) => Views.connection(connection, now, style))
  })
).pipe(
  Command.withDescription("Show one connection: its client, what it publishes and plays, and how far it lags behind."),
  Command.withShortDescription("Show one connection"),
  Command.withExamples([{ command: "effect-rtmp connections show 3f2a9c" }])
)

/** The group of commands about connections. Without one of them it lists the connections. */
export const command = Command.make("connections", listFlags, listed).pipe(
  Command.withDescription("Look at connections. Without a command, list them."),
  Command.withShortDescription("List and show connections"),
  Command.withSubcommands([{ group: "COMMANDS", commands: [list, show] }]),
  Command.withExamples([
    { command: "effect-rtmp connections" },
    { command: "effect-rtmp connections --stream live/camera --json" }
  ])
)

/** Ends one connection. */
export const kick = Command.make(
  "kick",
  { id: Flags.connectionId, message, ...Flags.server },
  ({ id, message, ...target }) =>
    Effect.gen(function* () {
      yield* Remote.call(yield* Flags.configPath, target, (client) =>
        client.connections.kick({ params: { id }, payload: description(message) })
      )
      yield* Console.log(`connection ${Table.safe(id)} is sent away`)
    })
).pipe(
  Command.withDescription(
    "End a connection in order: its client is told why. `streams kick` does so by the key of a stream."
  ),
  Command.withShortDescription("End a connection"),
  Command.withExamples([{ command: "effect-rtmp kick 3f2a9c --message 'Please use your own key'" }])
)
