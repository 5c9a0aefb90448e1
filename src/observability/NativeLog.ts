/**
 * The logs of platforms other than Linux services: os_log, the Windows Event Log, Logcat, and syslog.
 *
 * Each of them is a `NativeSink` layer, which knows the priorities and the longest message of its platform, over a
 * `NativeLog`, the one function that a binding of the platform supplies. A program embedded in an app hands that function
 * in; Node has bindings of its own over programs that come with the platform (`node/NodeLogNative`).
 *
 * **Example** (An Android app with Node in it, whose host offers a function)
 *
 * ```ts
 * const native = NativeSink.layerLogcat().pipe(
 *   Layer.provide(NativeLog.layerFrom((priority, tag, message) => host.androidLog(priority, tag, message)))
 * )
 * const log = NodeLog.layer({ ...settings, output: "native" }, native)
 * ```
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Journald from "./Journald.ts"
import type { LineLevel } from "./LogLevels.ts"
import * as LogSink from "./LogSink.ts"
import { escapeForLog } from "./LogText.ts"

/** What is particular to the log of a platform. */
export interface NativePlatform {
  readonly name: "os_log" | "Event Log" | "Logcat" | "syslog"
  /** The platform's own number for each level. */
  readonly priorities: Readonly<Record<LineLevel, number>>
  /** Longest message, in bytes of UTF-8; what is longer is cut and ends in `…`. */
  readonly maxMessageBytes: number
}

/**
 * The unified log of macOS and iOS, with the numbers of `os_log_type_t`: 17 (fault) for `fatal`, 16 (error) for `error` and
 * `warn`, 0 (default) for `info`, 1 (info) for `debug`, 2 (debug) for `trace`.
 *
 * **Gotchas**
 *
 * The platform keeps only `default` and above on disk, so that is what `info` has to be.
 */
export const osLog: NativePlatform = {
  name: "os_log",
  priorities: { fatal: 17, error: 16, warn: 16, info: 0, debug: 1, trace: 2 },
  maxMessageBytes: 1_000
}

/** The Windows Event Log, with the numbers of `EVENTLOG_*_TYPE`: 1 (error), 2 (warning), 4 (information). */
export const eventLog: NativePlatform = {
  name: "Event Log",
  priorities: { fatal: 1, error: 1, warn: 2, info: 4, debug: 4, trace: 4 },
  maxMessageBytes: 31_000
}

/** Logcat of Android, with the numbers of `android_LogPriority`: 7 (fatal) down to 2 (verbose). */
export const logcat: NativePlatform = {
  name: "Logcat",
  priorities: { fatal: 7, error: 6, warn: 5, info: 4, debug: 3, trace: 2 },
  maxMessageBytes: 4_000
}

/** Syslog of BSD, and of Linux without systemd, with the severities of RFC 5424. */
export const syslog: NativePlatform = {
  name: "syslog",
  priorities: Journald.priorities,
  maxMessageBytes: 1_000
}

/** What a binding of a platform offers. */
export interface NativeLogShape {
  /** Takes a message of one line at once, with the platform's own number for its priority. Must not block. */
  readonly write: (priority: number, tag: string, message: string) => void
  /** Messages that were lost so far. */
  readonly lost: () => number
  /** Waits until everything that was taken is with the platform. */
  readonly flush: Effect.Effect<void>
  /** Flushes for two seconds at most, and gives up what is left. */
  readonly close: Effect.Effect<void>
}

/** The log of the platform. */
export class NativeLog extends Context.Service<NativeLog, NativeLogShape>()("effect-rtmp/observability/NativeLog") {
  /** Writes with a function that the platform offers. A message for which it throws is lost, and counted. */
  static readonly layerFrom = (
    write: (priority: number, tag: string, message: string) => void
  ): Layer.Layer<NativeLog> =>
    Layer.sync(NativeLog, () => {
      let lost = 0
      return NativeLog.of({
        write: (priority, tag, message) => {
          try {
            write(priority, tag, message)
          } catch {
            lost++
          }
        },
        lost: () => lost,
        flush: Effect.void,
        close: Effect.void
      })
    })
}

/** The name under which lines stand in the log of the platform. */
export const defaultTag = "effect-rtmp"

/** Makes a sink of a platform's log. Lines are expected without time and level. */
export const sink = (native: NativeLogShape, platform: NativePlatform, tag: string = defaultTag): LogSink.LogSink => {
  const out = LogSink.direct((line, level) =>
    native.write(platform.priorities[level], tag, escapeForLog(line, platform.maxMessageBytes))
  )
  return {
    write: out.write,
    lost: () => native.lost() + out.lost(),
    flush: native.flush,
    close: native.close
  }
}

/** The sink of the platform that the server runs on. */
export class NativeSink extends Context.Service<NativeSink, LogSink.LogSink>()("effect-rtmp/observability/NativeSink") {
  /** A sink for a platform, over a binding of it. */
  static readonly layerOf = (platform: NativePlatform, tag?: string): Layer.Layer<NativeSink, never, NativeLog> =>
    Layer.effect(
      NativeSink,
      Effect.map(NativeLog, (native) => NativeSink.of(sink(native, platform, tag)))
    )
  /** The unified log of macOS and iOS. */
  static readonly layerOsLog = (tag?: string): Layer.Layer<NativeSink, never, NativeLog> => this.layerOf(osLog, tag)
  /** The Windows Event Log. */
  static readonly layerEventLog = (tag?: string): Layer.Layer<NativeSink, never, NativeLog> =>
    this.layerOf(eventLog, tag)
  /** Logcat of Android. */
  static readonly layerLogcat = (tag?: string): Layer.Layer<NativeSink, never, NativeLog> => this.layerOf(logcat, tag)
  /** Syslog of BSD and Linux. */
  static readonly layerSyslog = (tag?: string): Layer.Layer<NativeSink, never, NativeLog> => this.layerOf(syslog, tag)
}
