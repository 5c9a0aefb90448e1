/**
 * The second signal: somebody outside the program is not willing to wait for an orderly stop.
 */
import * as Context from "effect/Context"

/** Tells those who wait in a stop to wait no longer. */
export interface StopSignalShape {
  /** Calls back when it becomes urgent, at once where it is already. Gives back what takes the callback out again. */
  readonly onUrgent: (callback: () => void) => () => void
}

/** The process's impatience. Nothing is ever urgent where nobody provides it; `NodeMain` does. */
export const StopSignal: Context.Reference<StopSignalShape> = Context.Reference<StopSignalShape>(
  "effect-rtmp/server/StopSignal",
  { defaultValue: () => ({ onUrgent: () => () => {} }) }
)
