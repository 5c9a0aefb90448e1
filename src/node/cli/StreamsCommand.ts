/**
 * `effect-rtmp streams`: what is published, and who may.
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
import * as Table from "./Table.ts"
import * as Views from "./Views.ts"

const listed = ({ json, ...target }: Command.Command.Config.Infer<typeof Flags.reading>) =>
  Effect.gen(function* () {
    const answer = yield* Remote.call(yield* Flags.configPath, target, (client) => client.streams.list())
    const now = yield* Clock.currentTimeMillis
    yield* Output.either(json, answer, (style) => Views.streams(answer, now, style))
  })

const list = Command.make("list", Flags.reading, listed).pipe(
  Command.withDescription(
    "List all streams with their codecs, rates and viewers, oldest first, and the keys that are disabled."
  ),
  Command.withShortDescription("List all streams"),
  Command.withExamples([{ command: "effect-rtmp streams list --json" }])
)

const show = Command.make("show", { key: Flags.streamKey, ...Flags.reading }, ({ json, key, ...target }) =>
  Effect.gen(function* () {
    const stream = yield* Remote.call(yield* Flags.configPath, target, (client) =>
      client.streams.get({ query: { key } })
    )
    const now = yield* Clock.currentTimeMillis
    yield* Output.either(json, stream, (style) => Views.stream(stream, now, style))
  })
).pipe(
  Command.withDescription("Show one stream: its publisher, its tracks, its viewers and what is kept of it."),
  Command.withShortDescription("Show one stream with its tracks"),
  Command.withExamples([{ command: "effect-rtmp streams show live/camera" }])
)

const disable = Command.make("disable", { key: Flags.streamKey, ...Flags.server }, ({ key, ...target }) =>
  Effect.gen(function* () {
    const { changed } = yield* Remote.call(yield* Flags.configPath, target, (client) =>
      client.streams.disable({ payload: { key } })
    )
    yield* Console.log(`${Table.safe(key)} ${changed ? "is disabled now" : "was disabled already"}`)
  })
).pipe(
  Command.withDescription(
    "Disable a stream: its publisher and its viewers are sent away, and so are those who come, until it is enabled again or\n  the server ends."
  ),
  Command.withShortDescription("Send everybody of a stream away, and keep them away"),
  Command.withExamples([{ command: "effect-rtmp streams disable live/camera" }])
)

const enable = Command.make("enable", { key: Flags.streamKey, ...Flags.server }, ({ key, ...target }) =>
  Effect.gen(function* () {
    const { changed } = yield* Remote.call(yield* Flags.configPath, target, (client) =>
      client.streams.enable({ payload: { key } })
    )
    yield* Console.log(`${Table.safe(key)} ${changed ? "is enabled again" : "was not disabled"}`)
  })
).pipe(
  Command.withDescription("Take back what disabling a stream has done."),
  Command.withShortDescription("Let a disabled stream come back"),
  Command.withExamples([{ command: "effect-rtmp streams enable live/camera" }])
)

/** What a client is told when it is sent away. */
export const message = Flag.String("message").pipe(
  Flag.withMetavar("TEXT"),
  Flag.withDescription("What the client is told, for its user to read"),
  Flag.optional
)

/** The field of a request that `--message` fills. */
export const description = (message: Option.Option<string>): { readonly description?: string } =>
  Option.isSome(message) ? { description: message.value } : {}

const kick = Command.make("kick", { key: Flags.streamKey, message, ...Flags.server }, ({ key, message, ...target }) =>
  Effect.gen(function* () {
    yield* Remote.call(yield* Flags.configPath, target, (client) =>
      client.streams.kick({ payload: { key, ...description(message) } })
    )
    yield* Console.log(`the publisher of ${Table.safe(key)} is sent away`)
  })
).pipe(
  Command.withDescription(
    "End the publication of a stream, and the connection of its publisher unless it publishes something else.\n  The publisher may come back: disable the stream to keep it away."
  ),
  Command.withShortDescription("Send the publisher of a stream away"),
  Command.withExamples([{ command: "effect-rtmp streams kick live/camera --message 'Your time is over'" }])
)

/** The group of commands about streams. Without one of them it lists the streams. */
export const command = Command.make("streams", Flags.reading, listed).pipe(
  Command.withDescription("Look at streams, and send their publishers away. Without a command, list them."),
  Command.withShortDescription("List, show, disable, enable and kick streams"),
  Command.withSubcommands([{ group: "COMMANDS", commands: [list, show, disable, enable, kick] }]),
  Command.withExamples([{ command: "effect-rtmp streams" }, { command: "effect-rtmp streams show live/camera --json" }])
)
