/**
 * Running the server as a Node process: signals, terminal and exit status.
 *
 * SIGINT and SIGTERM stop the server in order; a second one ends the process at once. The exit status is 0 after an
 * orderly stop, 78 (`EX_CONFIG` of sysexits) for a configuration that is not valid, and 1 for any other failure.
 */

import process from "node:process"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** Whether standard output is a terminal. */
export const isTerminal = (): boolean => process.stdout.isTTY === true

/** Exit status for a configuration that is not valid. */
export const exitConfig = 78

/**
 * Runs a program as the main one of the process.
 *
 * A failure is printed as its message, without a stack: it is for the operator. A defect is printed in full.
 */
export const run = <E extends { readonly _tag: string; readonly message: string }>(
  program: Effect.Effect<void, E>
): void =>
  NodeRuntime.runMain(
    Effect.tapCause(program, (cause) =>
      Effect.sync(() => {
        if (Cause.hasInterruptsOnly(cause)) return
        const failure = Cause.findErrorOption(cause)
        process.stderr.write(`effect-rtmp: ${failure._tag === "Some" ? failure.value.message : Cause.pretty(cause)}\n`)
      })
    ),
    {
      disableErrorReporting: true,
      teardown: (exit, onExit) => {
        if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return onExit(0)
        const failure = Cause.findErrorOption(exit.cause)
        onExit(failure._tag === "Some" && isConfigError(failure.value) ? exitConfig : 1)
      }
    }
  )

const isConfigError = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "ConfigError"
