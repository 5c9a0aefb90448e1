/**
 * A log file that is put aside when it is full, or when its time is over, and kept a few times: `rotating-file-stream`.
 *
 * A disk that is full, a directory that may not be written, a file in the way: the file is closed, the lines wait in the
 * queue of the sink within its bounds, and it is opened again later. A file that somebody moved away or removed, with its
 * directory or without, is made anew before the next line: lines would go where nobody finds them. `rotating-file-stream` is
 * loaded when the first line is written.
 *
 * **Gotchas**
 *
 * - When putting the file aside fails right after a batch was written, the batch is written once more when it works again.
 * - While a full file is being compressed lines wait, which is a second or two for 64 MiB.
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Options, RotatingFileStream } from "rotating-file-stream"
import type { FileInterval, FileSettings, LogSink, QueuedOptions } from "../observability/LogSink.ts"
import { LogWriteError, queued } from "../observability/LogSink.ts"
import { textOf } from "./NodeLogStream.ts"

/** Opens the sink of a log file. Never fails: see `LogSinks`. */
export const sink = (
  settings: FileSettings,
  options: Pick<QueuedOptions, "onResume" | "report" | "maxQueuedBytes" | "maxBatchBytes" | "retry">
): Effect.Effect<LogSink, never, Scope.Scope> =>
  Effect.gen(function* () {
    let current: LogFile | undefined
    const leave = (file: LogFile): void => {
      if (current === file) current = undefined
    }
    yield* Effect.addFinalizer(() => Effect.suspend(() => (current === undefined ? Effect.void : end(current.stream))))
    const opened = Effect.gen(function* () {
      const file = yield* open(settings)
      file.stream.on("error", () => leave(file))
      current = file
      return file
    })
    const file = Effect.gen(function* () {
      if (current === undefined) return yield* opened
      const found = current
      if (yield* Effect.promise(() => found.isInPlace())) return found
      leave(found)
      yield* end(found.stream)
      return yield* opened
    })
    return yield* queued({
      ...options,
      name: "file",
      write: (lines) =>
        Effect.flatMap(file, (file) =>
          Effect.callback<void, LogWriteError>((resume) => {
            file.stream.write(textOf(lines), (error) => {
              if (!error) return resume(Effect.void)
              leave(file)
              resume(Effect.fail(failure(settings, error)))
            })
          })
        )
    })
  })

/** A file that is written, and whether it still is what stands at its path. */
interface LogFile {
  readonly stream: RotatingFileStream
  readonly isInPlace: () => Promise<boolean>
}

/** Opens the file, behind what it holds; a last line that was cut off by a crash or a full disk is ended first. */
const open = (settings: FileSettings): Effect.Effect<LogFile, LogWriteError> =>
  Effect.tryPromise({
    try: async () => {
      const { createStream } = await import("rotating-file-stream")
      const path = Path.resolve(settings.path)
      await endLastLine(path)
      const stream = createStream(Path.basename(path), { ...optionsOf(settings), path: Path.dirname(path) })
      await new Promise<void>((resolve, reject) => {
        stream.once("open", () => resolve())
        stream.once("error", reject)
      })
      return { stream, isInPlace: await watchPlace(path, stream) }
    },
    catch: (error) => failure(settings, error)
  })

/**
 * Tells, before each batch, whether what is written is what stands at the path. It is not while the file is put aside. What
 * is written is looked up as soon as it is open: by the next batch another file may have come in its place.
 */
const watchPlace = async (path: string, stream: RotatingFileStream): Promise<LogFile["isInPlace"]> => {
  let known = identityOf(path)
  let isMoving = false
  stream.on("rotation", () => {
    isMoving = true
  })
  stream.on("open", () => {
    isMoving = false
    known = identityOf(path)
  })
  await known
  return async () => {
    if (isMoving) return true
    const found = await identityOf(path)
    const written = await known
    // The file may have been put aside for its age meanwhile.
    if (isMoving) return true
    return found !== undefined && found === written
  }
}

const identityOf = async (path: string): Promise<string | undefined> => {
  try {
    const { dev, ino } = await Fs.stat(path, { bigint: true })
    return `${dev}:${ino}`
  } catch {
    return undefined
  }
}

/** Ends the stream: what it was given is written, and the file closed. */
const end = (stream: RotatingFileStream): Effect.Effect<void> =>
  Effect.asVoid(
    Effect.timeoutOption(
      Effect.callback<void>((resume) => {
        stream.once("close", () => resume(Effect.void))
        stream.end()
      }),
      "1 second"
    )
  )

const optionsOf = (settings: FileSettings): Options => ({
  size: `${settings.maxBytes}B`,
  rotate: settings.maxFiles,
  // Lines tell who was connected from where.
  mode: 0o640,
  ...(settings.gzip ? { compress: "gzip" as const } : {}),
  ...(settings.interval === "never" ? {} : { interval: intervals[settings.interval] })
})

const intervals: Readonly<Record<Exclude<FileInterval, "never">, "1h" | "1d" | "1M">> = {
  hour: "1h",
  day: "1d",
  month: "1M"
}

const endLastLine = async (path: string): Promise<void> => {
  let file: Fs.FileHandle
  try {
    file = await Fs.open(path, "r+")
  } catch {
    // It does not exist, or opening it to write will fail for the same reason.
    return
  }
  try {
    const { size } = await file.stat()
    if (size === 0) return
    const last = Buffer.alloc(1)
    await file.read(last, 0, 1, size - 1)
    if (last[0] !== 0x0a) await file.write("\n", size)
  } finally {
    await file.close()
  }
}

const failure = (settings: FileSettings, error: unknown): LogWriteError =>
  new LogWriteError({
    message: `cannot write ${settings.path}: ${error instanceof Error ? error.message : String(error)}`
  })
