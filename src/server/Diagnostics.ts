/**
 * What is written down before the process ends on a fault: the state of its parts, counts, and the last errors.
 *
 * Parts contribute a function that describes them; it is called only when a report is asked for. A report is taken in the
 * worst moment, so a part that throws while it is asked is reported as that, and nothing here waits for anything.
 */
import * as Context from "effect/Context"

/** An error that was noted, and when, in milliseconds since 1970. */
export interface NotedError {
  readonly at: number
  readonly error: string
}

/** A report: plain data, ready for JSON. */
export interface DiagnosticReport {
  readonly at: number
  /** What each part says of itself, by its name. */
  readonly parts: Readonly<Record<string, unknown>>
  /** The last errors, oldest first. */
  readonly recentErrors: ReadonlyArray<NotedError>
}

/** Collects what a report is made of. All calls are synchronous. */
export interface DiagnosticsShape {
  /** Adds a part; `describe` gives plain data without secrets. Gives back what takes the part out again. */
  readonly contribute: (name: string, describe: () => unknown) => () => void
  /** Notes an error. Only the last ones are kept. */
  readonly note: (error: string, at: number) => void
  /** Makes the report. It never throws. */
  readonly report: (at: number) => DiagnosticReport
  /**
   * The report of the fault that ends the process: made at the first call, before parts are closed for it, and the same
   * from then on.
   */
  readonly last: (at: number) => DiagnosticReport
}

const maxErrors = 20
const maxErrorCharacters = 1_000

/** Makes a collector. */
export const make = (): DiagnosticsShape => {
  const parts = new Map<string, () => unknown>()
  let errors: Array<NotedError> = []
  let last: DiagnosticReport | undefined
  const report = (at: number): DiagnosticReport => {
    const described: Record<string, unknown> = {}
    for (const [name, describe] of parts) {
      try {
        // What a part goes on changing must not change in a report that was made.
        described[name] = structuredClone(describe())
      } catch (error) {
        described[name] = `could not be described: ${String(error)}`
      }
    }
    return { at, parts: described, recentErrors: errors }
  }
  return {
    contribute: (name, describe) => {
      parts.set(name, describe)
      return () => {
        if (parts.get(name) === describe) parts.delete(name)
      }
    },
    note: (error, at) => {
      errors = [...errors.slice(-(maxErrors - 1)), { at, error: error.slice(0, maxErrorCharacters) }]
    },
    report,
    last: (at) => {
      last ??= report(at)
      return last
    }
  }
}

/** A collector that collects nothing: its reports are empty. */
export const discard: DiagnosticsShape = {
  contribute: () => () => {},
  note: () => {},
  report: (at) => ({ at, parts: {}, recentErrors: [] }),
  last: (at) => ({ at, parts: {}, recentErrors: [] })
}

/** The collector of the process; `discard` where nobody provides one. `NodeMain` does. */
export const Diagnostics: Context.Reference<DiagnosticsShape> = Context.Reference<DiagnosticsShape>(
  "effect-rtmp/server/Diagnostics",
  { defaultValue: () => discard }
)
