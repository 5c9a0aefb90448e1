/**
 * Running the server as a Node process: signals, terminal, exit status, and the last words of a process that fails.
 *
 * SIGINT and SIGTERM stop the server in order. A second one ends all waiting in that: every connection is dropped, and
 * the process ends as soon as it has said so, in any case within a second; a third ends it on the spot. The exit status
 * is 0 after a stop that came to its end, 78 (`EX_CONFIG` of sysexits) for a configuration that is not valid, and 1 for
 * any other failure and for a process that had to be ended.
 */

import process from "node:process"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import * as Diagnostics from "../server/Diagnostics.ts"
import * as LastWords from "../server/LastWords.ts"
import { StopSignal, type StopSignalShape } from "../server/StopSignal.ts"

/** Whether standard output is a terminal. */
export const isTerminal = (): boolean => process.stdout.isTTY === true

/** Exit status for a configuration that is not valid. */
export const exitConfig = 78

/** How long a process may take to end after the second signal, and beyond the time for its last words. */
const urgentMs = 1_000

/**
 * Runs a program as the main one of the process, with `StopSignal`, `Diagnostics` and `LastWords` provided.
 *
 * A failure is printed as its message, without a stack: it is for the operator. A defect, and an exception that nobody
 * caught, is printed in full, with the diagnostic report on one line of JSON. After such an exception (a rejection that nobody
 * handled is one, too) nothing is closed in order, because nobody knows what still works: those of `LastWords` may write it
 * down, within their time, and then the process ends.
 */
export const run = <E extends { readonly _tag: string; readonly message: string }>(
  program: Effect.Effect<void, E>
): void => {
  const diagnostics = Diagnostics.make()
  diagnostics.contribute("process", describeProcess)
  const urgency = makeUrgency()
  const lastWords = LastWords.make()
  let isDying = false
  process.on("uncaughtException", (error) => {
    const cause = Cause.die(error)
    die(Cause.pretty(cause), diagnostics)
    // What fails beside the last words is printed only.
    if (isDying) return
    isDying = true
    // Also where fibers do not run any more, because the exception came out of what runs them.
    setTimeout(() => process.exit(1), Duration.toMillis(LastWords.timeLimit) + urgentMs)
    Effect.runFork(lastWords.tell(cause, diagnostics.last(Date.now()))).addObserver(() => process.exit(1))
  })
  runMain(urgency.declare)(
    program.pipe(
      Effect.provideService(StopSignal, urgency.signal),
      Effect.provideService(Diagnostics.Diagnostics, diagnostics),
      Effect.provideService(LastWords.LastWords, lastWords),
      Effect.tapCause((cause) =>
        Effect.sync(() => {
          if (Cause.hasInterruptsOnly(cause)) return
          const failure = Cause.findErrorOption(cause)
          if (failure._tag === "Some") process.stderr.write(`effect-rtmp: ${failure.value.message}\n`)
          else die(Cause.pretty(cause), diagnostics)
        })
      )
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
}

const runMain = (declareUrgent: () => void) =>
  Runtime.makeRunMain(({ fiber, teardown }) => {
    let signals = 0
    const onSignal = (): void => {
      signals++
      if (signals === 1) fiber.interruptUnsafe(fiber.id)
      else if (signals === 2) {
        declareUrgent()
        setTimeout(() => process.exit(1), urgentMs).unref()
      } else process.exit(1)
    }
    fiber.addObserver((exit) => {
      teardown(exit, (code) => {
        if (signals > 0 || code !== 0) process.exit(code)
        process.off("SIGINT", onSignal)
        process.off("SIGTERM", onSignal)
      })
    })
    process.on("SIGINT", onSignal)
    process.on("SIGTERM", onSignal)
  })

const makeUrgency = (): { readonly signal: StopSignalShape; readonly declare: () => void } => {
  const callbacks = new Set<() => void>()
  let isUrgent = false
  return {
    signal: {
      onUrgent: (callback) => {
        if (isUrgent) callback()
        callbacks.add(callback)
        return () => callbacks.delete(callback)
      }
    },
    declare: () => {
      isUrgent = true
      for (const callback of [...callbacks]) callback()
    }
  }
}

const die = (what: string, diagnostics: Diagnostics.DiagnosticsShape): void => {
  process.stderr.write(`effect-rtmp: unexpected failure\n${what}\n`)
  process.stderr.write(`effect-rtmp: report ${JSON.stringify(diagnostics.last(Date.now()))}\n`)
}

const describeProcess = () => ({
  pid: process.pid,
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
  uptimeSeconds: Math.round(process.uptime()),
  memory: process.memoryUsage(),
  availableMemory: process.availableMemory()
})

const isConfigError = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "ConfigError"
