/**
 * Where log lines go: a small interface that never blocks and never grows, and a queue that makes one of a slow writer.
 *
 * A logger calls `write` from wherever the server is, so a sink has to take the line, or lose and count it, at once. What
 * is slow or may fail (a pipe, a disk, another program) stands behind `queued`: a bounded queue and one fiber. Which sinks
 * there are is the platform's business: it provides `LogSinks`.
 */
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { LineLevel } from "./LogLevels.ts"

/** Takes log lines. */
export interface LogSink {
  /** Takes a line, without its line feed, at once: writes it, queues it, or counts it as lost. Never throws. */
  readonly write: (line: string, level: LineLevel) => void
  /** Lines that were lost so far. */
  readonly lost: () => number
  /** Waits until every line that was taken is written. Does not end as long as the writer is stuck. */
  readonly flush: Effect.Effect<void>
  /** Flushes for two seconds at most, and gives up what is left; at once where writing fails. What comes later is lost. */
  readonly close: Effect.Effect<void>
}

/** The outputs by their name in the configuration; `auto` is `journald` for a service of systemd, `stdout` elsewhere. */
export const outputs = ["auto", "stdout", "stderr", "journald", "native", "none"] as const

/** An output by its name in the configuration. */
export type OutputName = (typeof outputs)[number]

/** How often a log file is closed and put aside, beside doing so for its size. */
export const intervals = ["never", "hour", "day", "month"] as const

/** An interval by its name in the configuration. */
export type FileInterval = (typeof intervals)[number]

/**
 * A log file and what becomes of it. Full files are called `<path>.1`, `<path>.2` and so on, the youngest first, with `.gz`
 * where they are compressed.
 */
export interface FileSettings {
  /** The path of the file; its directory is made where it is missing. */
  readonly path: string
  /** Size after which the file is put aside. */
  readonly maxBytes: number
  readonly interval: FileInterval
  /** Compresses what was put aside. */
  readonly gzip: boolean
  /** Files that are kept beside the one that is written. */
  readonly maxFiles: number
  /** How lines are written; without it as JSON, unless the format of the log is `pretty`. */
  readonly format?: "json" | "pretty"
}

/** A file of 64 MiB and seven compressed ones beside it. */
export const defaultFile: Omit<FileSettings, "path"> = {
  maxBytes: 64 * 1024 * 1024,
  interval: "never",
  gzip: true,
  maxFiles: 7
}

/** What to open: one of the outputs of the platform, or a file. */
export type LogTarget =
  | { readonly _tag: "Output"; readonly output: Exclude<OutputName, "none"> }
  | { readonly _tag: "File"; readonly settings: FileSettings }

/** An open sink; `ownTime` says that it keeps time and level by itself, so that lines come without them. */
export interface OpenSink {
  readonly name: string
  readonly sink: LogSink
  readonly ownTime: boolean
}

/** Opens the sinks of a platform. */
export class LogSinks extends Context.Service<
  LogSinks,
  {
    /**
     * Opens a sink for as long as the scope lives. Never fails: what cannot be opened now is tried again later.
     *
     * `onResume` is called with the number of lines that were lost since the last time, when lines can be taken again; the
     * callback may write to the sink.
     */
    readonly open: (
      target: LogTarget,
      onResume: (lostLines: number) => void
    ) => Effect.Effect<OpenSink, never, Scope.Scope>
  }
>()("effect-rtmp/observability/LogSinks") {
  /** Writes to the console of the platform, whatever the target is. For platforms without a service of their own. */
  static readonly layerConsole: Layer.Layer<LogSinks> = Layer.effect(
    LogSinks,
    Effect.map(Console.Console, (console) =>
      LogSinks.of({
        open: () => Effect.succeed({ name: "console", sink: direct((line) => console.log(line)), ownTime: false })
      })
    )
  )
}

/** The outputs of the running log. */
export class LogOutputs extends Context.Service<
  LogOutputs,
  {
    /** The lines that each output lost so far, by its name (`stdout`, `file` …). */
    readonly lost: Effect.Effect<Readonly<Record<string, number>>>
    /** Waits until all outputs have written what they took, two seconds at most. */
    readonly flush: Effect.Effect<void>
  }
>()("effect-rtmp/observability/LogOutputs") {}

/** A writer could not write. The message is for the operator. */
export class LogWriteError extends Data.TaggedError("LogWriteError")<{ readonly message: string }> {}

/** A sink that writes with a synchronous function. A line for which it throws is lost. */
export const direct = (write: (line: string, level: LineLevel) => void): LogSink => {
  let lost = 0
  return {
    write: (line, level) => {
      try {
        write(line, level)
      } catch {
        lost++
      }
    },
    lost: () => lost,
    flush: Effect.void,
    close: Effect.void
  }
}

/**
 * Keeps the writer of an output going until it is interrupted. `step` writes what waits, once: it is to be run again and
 * again, after a failure or a defect too, by one at a time and with the pauses of `schedule`. Where it returns, the output
 * is given up.
 */
export type WriterKeeper = (
  output: string,
  step: Effect.Effect<void, LogWriteError>,
  schedule: Schedule.Schedule<unknown>
) => Effect.Effect<void>

/**
 * Who keeps the writers of queued sinks going. By default nobody hears of it; a server lets its supervisor do it, with a
 * status of each output.
 */
export const KeepWriter: Context.Reference<WriterKeeper> = Context.Reference<WriterKeeper>(
  "effect-rtmp/observability/KeepWriter",
  {
    defaultValue: () => (_, step, schedule) =>
      step.pipe(
        Effect.catchDefect((defect) => Effect.fail(new LogWriteError({ message: String(defect) }))),
        Effect.retry(schedule),
        Effect.forever,
        Effect.ignore
      )
  }
)

/** What a queue of lines needs. */
export interface QueuedOptions {
  /** The name of the output in reports. */
  readonly name: string
  /**
   * Writes lines in order. Runs again with the very same array after a failure or a defect; a writer that may have written
   * a part can tell by that. Is interrupted when the sink closes.
   */
  readonly write: (lines: ReadonlyArray<string>) => Effect.Effect<void, LogWriteError>
  /** Called, with the lines lost since the last time, when lines can be taken again. It may write to the sink. */
  readonly onResume: (lostLines: number) => void
  /** Tells the operator, on a way beside the log, that writing fails; once until it works again. */
  readonly report: (text: string) => void
  /** Most bytes that wait, at least one line's. Defaults to 4 MiB. */
  readonly maxQueuedBytes?: number
  /** Bytes that are handed to `write` at once. Defaults to 64 KiB. */
  readonly maxBatchBytes?: number
  /**
   * When to write again after a failure. Defaults to one second, twice as long each time, a minute at most. A schedule that
   * ends gives the output up: what comes then is lost.
   */
  readonly retry?: Schedule.Schedule<unknown>
}

/** The default of `retry`. */
export const defaultRetry: Schedule.Schedule<unknown> = Schedule.min([
  Schedule.exponential("1 second"),
  Schedule.spaced("1 minute")
])

/** Time that a sink gives its writer when it is closed. */
export const closeTimeout = "2 seconds"

/**
 * Makes a sink of a writer that takes its time, fails, or dies: a bounded queue, and one fiber that writes, which is started
 * again by the `KeepWriter` around it. The queue outlives its writer, and so does what the writer had in its hands.
 *
 * **Details**
 *
 * When the queue is full, lines are lost and counted until half of it is empty; what waits longest is kept, so that the gap
 * stands where lines are missing. The bytes of a line are counted as its characters and some 64 for its keep.
 */
export const queued = (options: QueuedOptions): Effect.Effect<LogSink, never, Scope.Scope> =>
  Effect.gen(function* () {
    const maxQueuedBytes = options.maxQueuedBytes ?? 4 * 1024 * 1024
    const maxBatchBytes = options.maxBatchBytes ?? 64 * 1024
    const keep = yield* KeepWriter
    const pending = yield* Latch.make(false)
    const idle = yield* Latch.make(true)
    let lines: Array<string> = []
    let at = 0
    let bytes = 0
    let lost = 0
    let gap = 0
    let inFlight: ReadonlyArray<string> = []
    let inFlightBytes = 0
    let writing = false
    let failing = false
    let closed = false

    const resumeIfPossible = (): void => {
      if (gap === 0 || bytes > maxQueuedBytes / 2) return
      const count = gap
      gap = 0
      options.onResume(count)
    }
    const write = (line: string): void => {
      if (closed) {
        lost++
        return
      }
      resumeIfPossible()
      const size = sizeOf(line)
      if (gap > 0 || (bytes > 0 && bytes + size > maxQueuedBytes)) {
        lost++
        gap++
        return
      }
      lines.push(line)
      bytes += size
      if (lines.length - at > 1) return
      idle.closeUnsafe()
      pending.openUnsafe()
    }
    const take = (): void => {
      let end = at
      let size = 0
      while (end < lines.length && (end === at || size + sizeOf(lines[end]!) <= maxBatchBytes))
        size += sizeOf(lines[end++]!)
      inFlight = lines.slice(at, end)
      inFlightBytes = size
      at = end
      // What is written must not be kept alive by what waits, nor be moved for each batch.
      if (at === lines.length) {
        lines = []
        at = 0
      } else if (at >= 4_096) {
        lines = lines.slice(at)
        at = 0
      }
    }
    const report = (text: string): void => {
      try {
        options.report(`log output ${options.name}: ${text}`)
      } catch {
        // The last way to tell anybody is gone too.
      }
    }
    const failed = (cause: Cause.Cause<LogWriteError>): Effect.Effect<void> =>
      Effect.sync(() => {
        if (failing || Cause.hasInterruptsOnly(cause)) return
        failing = true
        const error = Cause.squash(cause)
        const words = error instanceof Error ? error.message : String(error)
        report(`${words}; lines wait or are lost until it works again`)
      })
    const step = Effect.gen(function* () {
      // Left behind by a writer that failed or died: it is written before what waits.
      if (inFlight.length === 0) {
        while (at === lines.length) {
          pending.closeUnsafe()
          idle.openUnsafe()
          yield* pending.await
        }
        take()
      }
      writing = true
      yield* Effect.suspend(() => options.write(inFlight)).pipe(
        Effect.onExit(() =>
          Effect.sync(() => {
            writing = false
          })
        ),
        Effect.tapCause(failed)
      )
      failing = false
      inFlight = []
      bytes -= inFlightBytes
      resumeIfPossible()
      if (at < lines.length) return
      pending.closeUnsafe()
      idle.openUnsafe()
    })
    const giveUp = Effect.sync(() => {
      if (closed) return
      closed = true
      // Of what the writer has in its hands nobody knows.
      const left = lines.length - at + inFlight.length
      lost += left
      if (left + gap > 0) report(`${left + gap} lines are lost at the end`)
      lines = []
      at = 0
      gap = 0
      inFlight = []
      idle.openUnsafe()
    })
    const fiber = yield* Effect.forkScoped(
      Effect.interruptible(Effect.andThen(keep(options.name, step, options.retry ?? defaultRetry), giveUp))
    )
    // A writer that waits to be started again does not get to it any more: what failed may work by now.
    const lastTry = Effect.andThen(
      Fiber.interrupt(fiber),
      Effect.raceFirst(idle.await, Effect.ignoreCause(Effect.forever(step)))
    )
    const close = Effect.suspend(() =>
      closed
        ? Effect.void
        : Effect.timeoutOption(failing && !writing ? lastTry : idle.await, closeTimeout).pipe(
            Effect.andThen(Fiber.interrupt(fiber)),
            Effect.andThen(giveUp)
          )
    )
    yield* Effect.addFinalizer(() => close)
    return { write, lost: () => lost, flush: idle.await, close }
  })

const sizeOf = (line: string): number => line.length + 64
