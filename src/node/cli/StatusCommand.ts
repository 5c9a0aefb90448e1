/**
 * `effect-rtmp status`: how the server is, on one screen.
 */

import * as Clock from "effect/Clock"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flags from "./Flags.ts"
import * as Output from "./Output.ts"
import * as Remote from "./Remote.ts"
import * as Views from "./Views.ts"

/** Streams that are shown; the largest audiences first. */
const maxStreams = 10

/** Shows the server as a whole. */
export const command = Command.make("status", Flags.reading, ({ json, ...target }) =>
  Effect.gen(function* () {
    const answer = yield* Remote.call(yield* Flags.configPath, target, (client) =>
      Effect.all(
        { server: client.server.info(), health: client.server.health(), streams: client.streams.list() },
        { concurrency: "unbounded" }
      )
    )
    const now = yield* Clock.currentTimeMillis
    yield* Output.either(json, answer, (style) => Views.status(answer, maxStreams, now, style))
  })
).pipe(
  Command.withDescription(
    "Show how the server is, on one screen: state, health, ports, counts, and the streams with most viewers."
  ),
  Command.withShortDescription("Show the server on one screen"),
  Command.withExamples([
    { command: "effect-rtmp status" },
    { command: "effect-rtmp status --url http://10.0.0.5:8080 --token-file token", description: "Of another machine" }
  ])
)
