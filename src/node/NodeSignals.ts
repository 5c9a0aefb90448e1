/**
 * Signals of the operating system as a stream, and diagnostic reports on demand.
 *
 * `NodeMain` stops the process on SIGINT and SIGTERM; this is for the signals that do not end it. A signal that is
 * listened to loses its default action, so SIGHUP does not end a server that reloads on it.
 *
 * **Gotchas**
 *
 * Windows has SIGINT, SIGBREAK and SIGHUP only, and after SIGHUP (its console was closed) it ends the process whatever
 * a listener does. Node keeps SIGUSR1 for its debugger.
 */
import process from "node:process"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** The signals that can be listened to without ending the process. */
export type Signal = "SIGHUP" | "SIGUSR2" | "SIGINT" | "SIGTERM" | "SIGBREAK" | "SIGWINCH" | "SIGCONT"

/** Signals that wait for the stream to be pulled; of more, the oldest are dropped. */
export const maxWaitingSignals = 16

/**
 * Emits each of the named signals as it comes. The process listens while the stream runs, and does not when it has ended:
 * then the default action, mostly the end of the process, is back.
 */
export const signals = <const S extends Signal>(names: ReadonlyArray<S>): Stream.Stream<S> =>
  Stream.callback<S>(
    (queue) =>
      Effect.acquireRelease(
        Effect.sync(() =>
          names.map((name) => {
            const listener = (): void => {
              Queue.offerUnsafe(queue, name)
            }
            process.on(name, listener)
            return { listener, name }
          })
        ),
        (listeners) =>
          Effect.sync(() => {
            for (const { listener, name } of listeners) process.off(name, listener)
          })
      ),
    { bufferSize: maxWaitingSignals, strategy: "sliding" }
  )

/**
 * Makes Node write a diagnostic report (JSON: stacks, heap, handles, limits) into `directory` on SIGUSR2, also while
 * JavaScript is busy and would never come to a listener. The old settings are back when the scope closes.
 *
 * The environment, where secrets may be, is left out of the report, and so are the names of peers, which would be looked
 * up one by one. Does nothing on Windows, which has no such signal.
 *
 * **Gotchas**
 *
 * The command line is in the report: no secret belongs there.
 */
export const reportOnSignal = (options: { readonly directory: string }): Effect.Effect<void, never, Scope.Scope> =>
  process.platform === "win32" || process.report === undefined
    ? Effect.void
    : Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => {
            const before = reportSettings()
            Object.assign(process.report, {
              directory: options.directory,
              excludeEnv: true,
              excludeNetwork: true,
              signal: "SIGUSR2",
              reportOnSignal: true
            })
            return before
          }),
          (before) =>
            Effect.sync(() => {
              Object.assign(process.report, before)
            })
        )
      )

const reportSettings = () => {
  const { directory, excludeEnv, reportOnSignal, signal } = process.report
  return {
    directory,
    excludeEnv,
    excludeNetwork: Reflect.get(process.report, "excludeNetwork"),
    signal,
    reportOnSignal
  }
}
