/**
 * `effect-rtmp health` as a command, for its help and for what is not plain; see `Health` for what it does.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flags from "./Flags.ts"

/** Asks whether the server is well. */
export const command = Command.make(
  "health",
  {
    live: Flag.Boolean("live").pipe(
      Flag.withDescription("Whether the process should go on, instead of whether it should get new clients"),
      Flag.withDefault(false),
      Flag.withoutNegation
    ),
    url: Flags.server.url,
    json: Flags.json
  },
  ({ json, live, url }) =>
    Effect.gen(function* () {
      const { check } = yield* Effect.promise(() => import("./Health.ts"))
      yield* check({ config: yield* Flags.configPath, url: Option.getOrUndefined(url), live, json })
    })
).pipe(
  Command.withDescription(
    "Ask whether the server is ready for clients. The exit status is 0, or 1 with the reasons on standard error. It needs no\n  token. In a container, ask with --live: a server that drains is well, and must not be killed."
  ),
  Command.withShortDescription("Ask whether the server is well: exit status 0 or 1"),
  Command.withExamples([
    { command: "effect-rtmp health", description: "Ready?" },
    { command: "effect-rtmp health --live", description: "As a healthcheck of a container" }
  ])
)
