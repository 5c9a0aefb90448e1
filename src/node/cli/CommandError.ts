/**
 * Why a command did not do what it was asked for, and the exit status that says so to a program.
 */
import * as Data from "effect/Data"

/**
 * The exit statuses, those beyond 2 as in `sysexits.h`.
 *
 * - `ok`: done, or healthy.
 * - `failed`: not done: no such stream, the answer was no, not healthy, or an unexpected failure.
 * - `usage`: the command line was not understood.
 * - `unavailable`: the server, or the service manager, cannot be reached.
 * - `noPermission`: a token or the rights of the user are missing.
 * - `config`: the configuration is not valid.
 */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 2,
  unavailable: 69,
  noPermission: 77,
  config: 78
} as const

/** A name of an exit status. */
export type Outcome = keyof typeof exitCodes

/** A command failed. The message is one line, or a few, for the operator: what is wrong and what to do. */
export class CommandError extends Data.TaggedError("CommandError")<{
  readonly outcome: Exclude<Outcome, "ok">
  readonly message: string
}> {}

/** Makes the error of a command. */
export const fail = (outcome: Exclude<Outcome, "ok">, message: string): CommandError =>
  new CommandError({ outcome, message })
