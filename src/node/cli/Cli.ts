/**
 * The entrance of the command line: what is quick goes its own way, and for all else the commands are loaded.
 */
import process from "node:process"
import * as Effect from "effect/Effect"
import type { ConfigError } from "../../config/ConfigError.ts"
import { version } from "../NodePackage.ts"
import { CommandError, exitCodes } from "./CommandError.ts"
import * as Health from "./Health.ts"
import type { ServeArguments } from "./ServeArguments.ts"

/**
 * Does what the arguments say. `serve` is what runs the server, with what the command line says about it.
 *
 * A command that fails has printed why on standard error and set the exit status of the process (`exitCodes`); nothing is
 * left to do then. What serving fails with passes through, and so does a configuration that is not valid: `NodeMain` knows
 * both.
 */
export const run = <E>(
  args: ReadonlyArray<string>,
  serve: (args: ServeArguments) => Effect.Effect<void, E>
): Effect.Effect<void, Exclude<E, CommandError> | ConfigError> =>
  Effect.suspend(() => {
    const strict = tolerateClosedPipe()
    const health = Health.parse(args)
    if (health !== undefined) return Health.check(health)
    // A server goes on without its readers.
    return commands(args, (args) => Effect.andThen(Effect.sync(strict), serve(args)))
  }).pipe(
    Effect.catch((error) =>
      error instanceof CommandError
        ? Effect.sync(() => end(error))
        : Effect.fail(error as Exclude<E, CommandError> | ConfigError)
    )
  )

const commands = <E>(
  args: ReadonlyArray<string>,
  serve: (args: ServeArguments) => Effect.Effect<void, E>
): Effect.Effect<void, E | CommandError | ConfigError> =>
  Effect.gen(function* () {
    const [Commands, NodeServices] = yield* Effect.promise(() =>
      Promise.all([import("./Commands.ts"), import("@effect/platform-node/NodeServices")])
    )
    yield* Effect.provide(Commands.run(args, version(), serve), NodeServices.layer)
  })

const end = ({ message, outcome }: CommandError): void => {
  if (message !== "") process.stderr.write(`effect-rtmp: ${message}\n`)
  process.exitCode = exitCodes[outcome]
}

/** Whoever reads may have seen enough, as `head` has: that is no failure of ours. Gives what takes this back. */
const tolerateClosedPipe = (): (() => void) => {
  const onError = (error: NodeJS.ErrnoException): void => {
    if (error.code === "EPIPE") process.exit(exitCodes.ok)
    throw error
  }
  process.stdout.on("error", onError)
  return () => process.stdout.off("error", onError)
}
