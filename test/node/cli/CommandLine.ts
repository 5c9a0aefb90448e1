/** The command line inside of the test's process, with what it prints. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Console from "effect/Console"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Terminal from "effect/Terminal"
import { TestConsole } from "effect/testing"
import { CommandError, exitCodes } from "../../../src/node/cli/CommandError.ts"
import * as Commands from "../../../src/node/cli/Commands.ts"
import type { ServeArguments } from "../../../src/node/cli/ServeArguments.ts"

/** How a terminal is: `columns` 0 for none. */
export interface TerminalOptions {
  readonly columns?: number
  readonly colors?: boolean
}

const layer = ({ colors = false, columns = 0 }: TerminalOptions) =>
  Layer.mergeAll(
    NodeServices.layer,
    Layer.effect(
      Terminal.Terminal,
      Effect.map(Terminal.Terminal, (terminal) => ({ ...terminal, columns: Effect.succeed(columns) }))
    ).pipe(Layer.provide(NodeServices.layer)),
    Layer.succeed(TerminalCapabilities.TerminalCapabilities, { canColor: colors, canAnimate: false, canPrompt: false })
  )

/** Runs a command. Gives what it has printed, why it failed, its exit status, and what would have been served. */
export const run = (args: ReadonlyArray<string>, terminal: TerminalOptions = {}) =>
  Effect.gen(function* () {
    let served: ServeArguments | undefined
    const console = yield* TestConsole.make
    const command = Commands.run(args, "1.2.3", (args) =>
      Effect.sync(() => {
        served = args
      })
    )
    const failure = yield* command.pipe(
      Effect.provide(layer(terminal)),
      Effect.provideService(Console.Console, console),
      Effect.as(undefined),
      Effect.catch((error) => Effect.succeed(error))
    )
    const out = (yield* console.logLines).join("\n")
    const printed = (yield* console.errorLines).join("\n")
    const status =
      failure === undefined ? 0 : failure instanceof CommandError ? exitCodes[failure.outcome] : exitCodes.config
    const error = [printed, failure?.message ?? ""].filter((text) => text !== "").join("\n")
    return { out, error, status, served }
  })
