/**
 * Who is told of a fault that nothing recovers from, before the process ends.
 *
 * An exception that nobody caught, or a rejection that nobody handled, comes to no fiber: whoever has a place where it can be
 * read, such as the log, adds itself here.
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { DiagnosticReport } from "./Diagnostics.ts"

/** Writes down what a process ends of, with the report of its state. When it returns, the process may end. */
export type Witness = (cause: Cause.Cause<never>, report: DiagnosticReport) => Effect.Effect<void>

/** Those who write down what a process ends of. */
export interface LastWordsShape {
  /** Adds one. Gives back what takes it out again. */
  readonly add: (witness: Witness) => () => void
}

/** How long all of them together may take. */
export const timeLimit: Duration.Duration = Duration.seconds(3)

/** Makes a list of witnesses, and what tells them all, at the same time: it never fails, and ends within `timeLimit`. */
export const make = (): LastWordsShape & { readonly tell: Witness } => {
  const witnesses = new Set<Witness>()
  return {
    add: (witness) => {
      witnesses.add(witness)
      return () => witnesses.delete(witness)
    },
    tell: (cause, report) =>
      Effect.forEach([...witnesses], (witness) => Effect.ignoreCause(Effect.suspend(() => witness(cause, report))), {
        concurrency: "unbounded",
        discard: true
      }).pipe(Effect.timeoutOption(timeLimit), Effect.asVoid)
  }
}

/** The last words of the process. Nobody says any where nobody provides it; `NodeMain` does. */
export const LastWords: Context.Reference<LastWordsShape> = Context.Reference<LastWordsShape>(
  "effect-rtmp/server/LastWords",
  { defaultValue: () => ({ add: () => () => {} }) }
)
