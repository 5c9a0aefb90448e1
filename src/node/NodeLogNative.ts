/**
 * The log of the platform, over programs that come with it.
 *
 * | platform | program | how |
 * |---|---|---|
 * | macOS | `/usr/bin/logger` | one process per priority, a line each on its standard input |
 * | Windows | Windows PowerShell, `EventLog.WriteEntry` | one process, priority and message on its standard input |
 * | Android | `log` | one process per line, one at a time |
 * | others | `logger` | as on macOS |
 *
 * Lines wait in bounded queues; a program that ends or cannot be started is started again later, and what does not fit is lost and
 * counted. An app that can call the platform by itself hands in a function instead: `NativeLog.layerFrom`.
 */
import type { ChildProcess } from "node:child_process"
import process from "node:process"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { LogSink } from "../observability/LogSink.ts"
import { LogWriteError, queued } from "../observability/LogSink.ts"
import { NativeLog, NativeSink } from "../observability/NativeLog.ts"
import { textOf } from "./NodeLogStream.ts"

/** A program and its arguments. */
export interface Program {
  readonly command: string
  readonly args: ReadonlyArray<string>
}

/** How lines reach a platform's program. */
export interface Binding {
  /** `stream`: a process that lives, and reads lines; `each`: a process for every line, which stands in its arguments. */
  readonly mode: "stream" | "each"
  /** The program for messages of a priority and a tag; `message` only for `each`. */
  readonly program: (priority: number, tag: string, message: string) => Program
  /** Whether one process takes all priorities: the line begins with the number and a tab then. */
  readonly allPriorities: boolean
}

/** `logger` of BSD and util-linux, with the severities of syslog. */
export const syslogBinding: Binding = {
  mode: "stream",
  allPriorities: false,
  program: (priority, tag) => ({
    command: "logger",
    args: ["-t", tag, "-p", `daemon.${severities[priority] ?? "info"}`]
  })
}

/** `logger` of macOS, which hands lines on to the unified log; priorities are those of os_log. */
export const osLogBinding: Binding = {
  mode: "stream",
  allPriorities: false,
  program: (priority, tag) => ({
    command: "/usr/bin/logger",
    args: ["-t", tag, "-p", `daemon.${osLogSeverities[priority] ?? "notice"}`]
  })
}

/** `log` of Android. */
export const logcatBinding: Binding = {
  mode: "each",
  allPriorities: false,
  program: (priority, tag, message) => ({
    command: "log",
    args: ["-p", logcatLetters[priority] ?? "i", "-t", tag, "--", message]
  })
}

/**
 * Windows PowerShell with `EventLog.WriteEntry`, in the log `Application`.
 *
 * **Gotchas**
 *
 * Only an administrator can register the tag as a source (`New-EventLog -LogName Application -Source effect-rtmp`), which the
 * installation of a service does. Without that, lines are filed under the source `Application`.
 */
export const eventLogBinding: Binding = {
  mode: "stream",
  allPriorities: true,
  program: (_priority, tag) => ({
    command: "powershell.exe",
    args: [
      "-NoLogo",
      "-NoProfile",
      "-NonInteractive",
      "-EncodedCommand",
      Buffer.from(eventLogScript(tag), "utf16le").toString("base64")
    ]
  })
}

/** The loop that PowerShell runs. */
export const eventLogScript = (tag: string): string =>
  [
    `$source = '${tag.replaceAll("'", "''")}'`,
    "try { if (-not [Diagnostics.EventLog]::SourceExists($source)) {",
    "[Diagnostics.EventLog]::CreateEventSource($source, 'Application') } } catch { $source = 'Application' }",
    "$in = New-Object IO.StreamReader([Console]::OpenStandardInput(), [Text.Encoding]::UTF8)",
    "while (($line = $in.ReadLine()) -ne $null) { $tab = $line.IndexOf([char]9); if ($tab -lt 1) { continue }",
    "$type = [Diagnostics.EventLogEntryType][int]$line.Substring(0, $tab)",
    "[Diagnostics.EventLog]::WriteEntry($source, $line.Substring($tab + 1), $type, 1) }"
  ].join("\n")

/** The log of a platform over one of its programs. `report` tells the operator when the program cannot be run. */
export const layerNativeLog = (binding: Binding, report: (text: string) => void): Layer.Layer<NativeLog> =>
  Layer.effect(
    NativeLog,
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const queues = new Map<string, LogSink>()
      const queueFor = (priority: number, tag: string): LogSink => {
        const name = binding.mode === "each" ? "" : binding.allPriorities ? tag : `${priority} ${tag}`
        const found = queues.get(name)
        if (found !== undefined) return found
        const feeder = binding.mode === "each" ? undefined : makeFeeder(binding.program(priority, tag, ""))
        // Opening a queue only forks its fiber, so it is there at once.
        const queue = Effect.runSync(
          Effect.andThen(
            Effect.addFinalizer(() => Effect.sync(() => feeder?.end())),
            queued({
              name: "native",
              write: feeder === undefined ? runEach(binding) : feeder.write,
              onResume: () => undefined,
              report,
              ...(binding.mode === "each"
                ? { maxBatchBytes: 1, maxQueuedBytes: maxQueuedBytes / 4 }
                : { maxQueuedBytes })
            })
          ).pipe(Effect.provideService(Scope.Scope, scope))
        )
        queues.set(name, queue)
        return queue
      }
      const all = (use: (queue: LogSink) => Effect.Effect<void>): Effect.Effect<void> =>
        Effect.suspend(() => Effect.forEach([...queues.values()], use, { concurrency: "unbounded", discard: true }))
      return NativeLog.of({
        write: (priority, tag, message) => {
          const line = binding.mode === "each" || binding.allPriorities ? `${priority}\t${message}` : message
          queueFor(priority, tag).write(binding.mode === "each" ? `${tag}\t${line}` : line, "info")
        },
        lost: () => [...queues.values()].reduce((sum, queue) => sum + queue.lost(), 0),
        flush: all((queue) => queue.flush),
        close: all((queue) => queue.close)
      })
    })
  )

/** The sink of the platform that this process runs on. */
export const layer = (report: (text: string) => void): Layer.Layer<NativeSink> => {
  switch (process.platform) {
    case "darwin":
      return Layer.provide(NativeSink.layerOsLog(), layerNativeLog(osLogBinding, report))
    case "win32":
      return Layer.provide(NativeSink.layerEventLog(), layerNativeLog(eventLogBinding, report))
    case "android":
      return Layer.provide(NativeSink.layerLogcat(), layerNativeLog(logcatBinding, report))
    default:
      return Layer.provide(NativeSink.layerSyslog(), layerNativeLog(syslogBinding, report))
  }
}

const maxQueuedBytes = 1024 * 1024

const severities: Readonly<Record<number, string>> = {
  2: "crit",
  3: "err",
  4: "warning",
  5: "notice",
  6: "info",
  7: "debug"
}
const osLogSeverities: Readonly<Record<number, string>> = { 17: "crit", 16: "err", 0: "notice", 1: "info", 2: "debug" }
const logcatLetters: Readonly<Record<number, string>> = { 7: "f", 6: "e", 5: "w", 4: "i", 3: "d", 2: "v" }

const failure = (program: Program, error: unknown): LogWriteError =>
  new LogWriteError({
    message: `cannot run ${program.command}: ${error instanceof Error ? error.message : String(error)}`
  })

interface Feeder {
  readonly write: (lines: ReadonlyArray<string>) => Effect.Effect<void, LogWriteError>
  /** Lets the process read what it was given, and end. */
  readonly end: () => void
}

/** Writes lines to the standard input of a process that is started when it is needed, and again when it has ended. */
const makeFeeder = (program: Program): Feeder => {
  let child: ChildProcess | undefined
  let status: number | null = 0
  let ending = false
  const start = Effect.gen(function* () {
    // A program that ended by itself with an error is not started again before the operator was told.
    const last = status
    status = 0
    if (last !== 0) return yield* Effect.fail(failure(program, `it ended with status ${last ?? "unknown"}`))
    const { spawn } = yield* Effect.promise(() => import("node:child_process"))
    const next = yield* Effect.try({
      try: () => spawn(program.command, [...program.args], { stdio: ["pipe", "ignore", "ignore"], windowsHide: true }),
      catch: (error) => failure(program, error)
    })
    const gone = (): void => {
      if (child === next) child = undefined
    }
    yield* Effect.callback<void, LogWriteError>((resume) => {
      next.once("spawn", () => resume(Effect.void))
      next.once("error", (error) => resume(Effect.fail(failure(program, error))))
      next.once("exit", (code) => {
        if (!ending) status = code
        gone()
      })
      next.stdin?.on("error", gone)
    })
    child = next
    return next
  })
  return {
    write: (lines) =>
      Effect.flatMap(
        Effect.suspend(() => (child === undefined ? start : Effect.succeed(child))),
        (running) =>
          Effect.callback<void, LogWriteError>((resume) => {
            running.stdin?.write(textOf(lines), (error) => {
              if (!error) return resume(Effect.void)
              if (child === running) child = undefined
              resume(Effect.fail(failure(program, error)))
            })
          })
      ),
    end: () => {
      ending = true
      const last = child
      child = undefined
      last?.stdin?.end()
    }
  }
}

/** Runs the program for each line, one after the other. */
const runEach =
  (binding: Binding) =>
  (lines: ReadonlyArray<string>): Effect.Effect<void, LogWriteError> =>
    Effect.forEach(
      lines,
      (line) => {
        const [tag = "", priority = "", ...message] = line.split("\t")
        const program = binding.program(Number(priority), tag, message.join("\t"))
        return Effect.flatMap(
          Effect.promise(() => import("node:child_process")),
          ({ execFile }) =>
            Effect.callback<void, LogWriteError>((resume) => {
              execFile(program.command, [...program.args], { timeout: 5_000, windowsHide: true }, (error) =>
                resume(error === null ? Effect.void : Effect.fail(failure(program, error)))
              )
            })
        )
      },
      { discard: true }
    )
