/**
 * Writing to standard output and standard error without ever blocking the event loop.
 *
 * What Node does by itself differs by what the descriptor is: it writes to files and terminals synchronously, so that a
 * terminal that was stopped with Ctrl-S, or a slow disk, stops the whole server; and to pipes and sockets asynchronously
 * but without a bound. Here one batch at a time is under way, and the queue before it (`LogSink.queued`) has the bound.
 *
 * - **file**: asynchronous writes at the position that the descriptor has, shared with whoever shares the file.
 * - **terminal** on Linux: the terminal is opened once more, without blocking; when it takes nothing, writing is tried
 *   again after a while.
 * - **pipe, socket** and everything else: the stream of Node.
 *
 * **Gotchas**
 *
 * Terminals of other systems, and pipes on Windows, are written synchronously by Node; a stopped terminal stops the server
 * there.
 */
import * as Fs from "node:fs"
import process from "node:process"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { LogSink } from "../observability/LogSink.ts"
import { LogWriteError, queued } from "../observability/LogSink.ts"

/** Writes lines in order; given the same array again after a failure, it goes on where it stopped. */
export type LineWriter = (lines: ReadonlyArray<string>) => Effect.Effect<void, LogWriteError>

/** The descriptor of standard output. */
export const stdout = 1

/** The descriptor of standard error. */
export const stderr = 2

/** The writer that suits what standard output or standard error is. What it opens, it closes with the scope. */
export const writer = (fd: typeof stdout | typeof stderr): Effect.Effect<LineWriter, never, Scope.Scope> =>
  Effect.suspend(() => {
    const stats = statOf(fd)
    if (stats?.isFile() === true) return Effect.succeed(descriptorWriter(fd))
    if (stats?.isCharacterDevice() === true && process.platform === "linux") {
      return Effect.acquireRelease(
        Effect.sync(() => reopen(fd)),
        (opened) => Effect.sync(() => (opened === undefined ? undefined : Fs.close(opened, () => undefined)))
      ).pipe(Effect.map((opened) => (opened === undefined ? streamWriter(fd) : descriptorWriter(opened))))
    }
    return Effect.succeed(streamWriter(fd))
  })

/** A sink on standard output or standard error. */
export const sink = (
  fd: typeof stdout | typeof stderr,
  options: {
    readonly onResume: (lostLines: number) => void
    readonly report: (text: string) => void
    readonly maxQueuedBytes?: number
  }
): Effect.Effect<LogSink, never, Scope.Scope> =>
  Effect.flatMap(writer(fd), (write) => queued({ name: fd === stdout ? "stdout" : "stderr", write, ...options }))

/**
 * A way to tell the operator something beside the log: a line on standard error, at once and without waiting for it.
 *
 * What standard error does not take is lost; so is what comes while earlier lines are on their way.
 */
export const reporter: Effect.Effect<(text: string) => void, never, Scope.Scope> = Effect.gen(function* () {
  const write = yield* writer(stderr)
  let busy = false
  return (text) => {
    if (busy) return
    busy = true
    Effect.runFork(
      Effect.ensuring(
        Effect.ignore(Effect.timeoutOption(write([`effect-rtmp: ${text}`]), "10 seconds")),
        Effect.sync(() => {
          busy = false
        })
      )
    )
  }
})

/**
 * Writes to a descriptor with the file system's asynchronous calls. A descriptor that takes nothing for now (`EAGAIN`) is
 * tried again every 50 ms.
 */
export const descriptorWriter = (fd: number): LineWriter => {
  let current: ReadonlyArray<string> | undefined
  let rest: Uint8Array = new Uint8Array()
  const writeRest: Effect.Effect<void, LogWriteError> = Effect.suspend(() =>
    rest.length === 0
      ? Effect.void
      : Effect.callback<void, NodeJS.ErrnoException>((resume) => {
          Fs.write(fd, rest, 0, rest.length, null, (error, written) => {
            if (error !== null) return resume(Effect.fail(error))
            rest = rest.subarray(written)
            resume(Effect.void)
          })
        }).pipe(
          Effect.catch((error) =>
            error.code === "EAGAIN"
              ? Effect.sleep("50 millis")
              : Effect.fail(new LogWriteError({ message: error.message }))
          ),
          Effect.andThen(writeRest)
        )
  )
  return (lines) =>
    Effect.suspend(() => {
      if (lines !== current) {
        current = lines
        rest = Buffer.from(textOf(lines))
      }
      return writeRest
    })
}

/** Writes to the stream that Node has for the descriptor. */
const streamWriter = (fd: typeof stdout | typeof stderr): LineWriter => {
  const stream = fd === stdout ? process.stdout : process.stderr
  // The callback of each write tells the same; without a listener, it would end the process.
  stream.on("error", () => undefined)
  return (lines) =>
    Effect.callback((resume) => {
      stream.write(textOf(lines), (error) =>
        resume(error ? Effect.fail(new LogWriteError({ message: error.message })) : Effect.void)
      )
    })
}

/** The lines as they are written: each with a line feed behind it. */
export const textOf = (lines: ReadonlyArray<string>): string => `${lines.join("\n")}\n`

const statOf = (fd: number): Fs.Stats | undefined => {
  try {
    return Fs.fstatSync(fd)
  } catch {
    return undefined
  }
}

/** Opens a terminal once more: the flag not to block belongs to the open file, which may be shared with a shell. */
const reopen = (fd: number): number | undefined => {
  const { O_APPEND, O_NOCTTY, O_NONBLOCK, O_WRONLY } = Fs.constants
  try {
    return Fs.openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY)
  } catch {
    return undefined
  }
}
