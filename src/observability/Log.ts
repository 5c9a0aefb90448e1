/**
 * Logging: one structured line per event, readable on a terminal and as JSON elsewhere.
 *
 * The server logs with Effect's own `Effect.logInfo` and its siblings; this module puts the loggers behind them together,
 * and passes on the helpers that make text from the network safe to log. It is not a logging interface of its own, and it
 * opens no files: sinks come from the platform (`LogSinks`).
 *
 * An event is a message and, as a second argument, an object of fields; annotations (`Effect.annotateLogs`) join them:
 *
 * ```ts
 * Effect.logInfo("stream published", { room: "live", stream: Log.escapeForLog(name), codec: "avc1" })
 * ```
 *
 * **Gotchas**
 *
 * - Whatever a client sent is hostile text: names go through `escapeForLog`, addresses through `redactUrl`, and a query
 *   string, where stream keys travel, is never logged. The loggers escape control characters once more and hide fields
 *   that are called like a secret, but they cannot know a secret in other words.
 * - Never log per message or per frame.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import type { LogEvent } from "./LogFormat.ts"
import * as LogFormat from "./LogFormat.ts"
import type { Level, LevelTable } from "./LogLevels.ts"
import { fromLogLevel, LogLevels, make as makeLevels, roomOf, toLogLevel } from "./LogLevels.ts"
import type { FileSettings, LogTarget, OpenSink, OutputName } from "./LogSink.ts"
import { closeTimeout, LogOutputs, LogSinks } from "./LogSink.ts"
import type { RecentSettings } from "./RecentLog.ts"
import * as RecentLog from "./RecentLog.ts"

export { formatJson, formatPretty } from "./LogFormat.ts"
export { type Level, levels, toLogLevel } from "./LogLevels.ts"
export { escapeForLog, redactQuery, redactUrl } from "./LogText.ts"

/** The formats that can be configured: `auto` is `pretty` on a terminal and `json` elsewhere. */
export const formats = ["auto", "pretty", "json"] as const

/** A log format by its name in the configuration. */
export type Format = (typeof formats)[number]

/**
 * What the plain log layer needs to know.
 *
 * `isTerminal` tells whether standard output is a terminal; only the Node room can know. Without it `auto` is `json`.
 */
export interface LogSettings {
  readonly level: Level
  readonly format: Format
  readonly isTerminal?: boolean
}

/** What the whole log needs to know. */
export interface LogOptions extends LogSettings {
  /** Rooms with a level of their own, see `LogLevels.rooms`. */
  readonly levels?: Readonly<Record<string, Level>>
  /** Where lines go; `auto` without it. */
  readonly output?: OutputName
  /** A file that takes every line too. */
  readonly file?: FileSettings
  /** Bounds of what `RecentLog` keeps. */
  readonly recent?: RecentSettings
}

/** The services that the whole log offers. */
export type LogServices = LogLevels | RecentLog.RecentLog | LogOutputs

/**
 * The logger layer for tests and small programs: writes to the console in the given format, and drops what is below the
 * level for good.
 *
 * It replaces the loggers that were there before.
 */
export const layer = (settings: LogSettings): Layer.Layer<never> => {
  const format = isPretty(settings)
    ? settings.isTerminal === true
      ? LogFormat.formatPrettyColor
      : LogFormat.formatPretty
    : LogFormat.formatJson
  return Layer.merge(
    Logger.layer([Logger.withConsoleLog(format)]),
    Layer.succeed(References.MinimumLogLevel)(toLogLevel(settings.level))
  )
}

/** The table of levels that settings begin with. */
export const tableOf = (settings: Pick<LogOptions, "level" | "levels">): LevelTable => ({
  level: settings.level,
  rooms: settings.levels ?? {}
})

/**
 * The whole log: levels per room that can be changed at run time, outputs that neither block nor grow, and the recent
 * lines.
 *
 * It replaces the loggers that were there before. When its scope closes, the outputs have two seconds to write what they
 * hold.
 *
 * **Details**
 *
 * A line is formatted once for each format in use. An output that keeps time and level itself (journald, the log of a
 * platform) gets them without: as words, or as JSON where the format is `json`.
 */
export const layerWith = (settings: LogOptions): Layer.Layer<LogServices, never, LogSinks> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const sinks = yield* LogSinks
      const clock = yield* Clock.Clock
      const levels = makeLevels(tableOf(settings))
      const recent = yield* RecentLog.make(settings.recent ?? RecentLog.defaults)
      const outputs: Array<Output> = []
      const logger = Logger.make<unknown, void>((options) => {
        const level = fromLogLevel(options.logLevel)
        if (!levels.isEnabled(roomOf(options.fiber, options.message), level)) return
        const event = LogFormat.eventOf(options)
        const json = LogFormat.json(event)
        recent.add(level, event.room, json)
        let last: Output["format"] = LogFormat.json
        let line = json
        for (const { format, open } of outputs) {
          if (format !== last) {
            last = format
            line = format(event)
          }
          open?.sink.write(line, level)
        }
      })
      // Who keeps the writers going has something to log, too: it goes where all lines go.
      const withLogger = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
        effect.pipe(
          Effect.provideService(Logger.CurrentLoggers, new Set([logger])),
          Effect.provideService(References.MinimumLogLevel, "Trace")
        )
      for (const target of targetsOf(settings)) {
        const output: Output = { open: undefined, format: () => "" }
        const lost = (lines: number): void => {
          if (output.open === undefined) return
          const date = new Date(clock.currentTimeMillisUnsafe())
          const fields = { output: output.open.name, lines }
          const event: LogEvent = {
            date,
            level: "warn",
            room: "log",
            message: "log lines lost",
            fields,
            cause: undefined
          }
          output.open.sink.write(output.format(event), "warn")
        }
        output.open = yield* withLogger(sinks.open(target, lost))
        output.format = formatOf(settings, target, output.open)
        outputs.push(output)
      }
      const all = (use: (open: OpenSink) => Effect.Effect<void>): Effect.Effect<void> =>
        Effect.forEach(outputs, ({ open }) => (open === undefined ? Effect.void : use(open)), {
          concurrency: "unbounded",
          discard: true
        })
      yield* Effect.addFinalizer(() => all(({ sink }) => sink.close))
      return Context.make(LogLevels, levels).pipe(
        Context.add(RecentLog.RecentLog, recent),
        Context.add(LogOutputs, {
          lost: Effect.sync(() =>
            Object.fromEntries(
              outputs.flatMap(({ open }) => (open === undefined ? [] : [[open.name, open.sink.lost()]]))
            )
          ),
          flush: Effect.asVoid(
            Effect.timeoutOption(
              all(({ sink }) => sink.flush),
              closeTimeout
            )
          )
        }),
        Context.add(Logger.CurrentLoggers, new Set([logger])),
        // The table decides; what stood here could not be raised any more.
        Context.add(References.MinimumLogLevel, "Trace")
      )
    })
  )

interface Output {
  open: OpenSink | undefined
  format: (event: LogEvent) => string
}

const isPretty = ({ format, isTerminal }: LogSettings): boolean =>
  format === "pretty" || (format === "auto" && isTerminal === true)

const targetsOf = (settings: LogOptions): ReadonlyArray<LogTarget> => {
  const output = settings.output ?? "auto"
  return [
    ...(output === "none" ? [] : [{ _tag: "Output", output } as const]),
    ...(settings.file === undefined ? [] : [{ _tag: "File", settings: settings.file } as const])
  ]
}

const prettyColor = (event: LogEvent): string => LogFormat.pretty(event, true)
const prettyPlain = (event: LogEvent): string => LogFormat.pretty(event, false)

const formatOf = (settings: LogOptions, target: LogTarget, open: OpenSink): Output["format"] => {
  if (open.ownTime) return settings.format === "json" ? LogFormat.plainJson : LogFormat.plain
  if (target._tag === "File") {
    return (target.settings.format ?? settings.format) === "pretty" ? prettyPlain : LogFormat.json
  }
  if (!isPretty(settings)) return LogFormat.json
  return settings.isTerminal === true && target.output !== "stderr" ? prettyColor : prettyPlain
}
