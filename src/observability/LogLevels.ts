/**
 * How loud each room of the server may be, changeable while it runs.
 *
 * There is one level for everything, and rooms of the house can have a level of their own. A log call belongs to the room
 * that its annotation or its field `room` names, and to none without one. The table is asked twice: by code that would
 * have to build a line first (`isEnabled`), and by the logger for every line.
 *
 * It holds no loggers and writes nothing: `Log` does.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"

/** The levels that can be configured, from the most to the least talkative; `none` is silence. */
export const levels = ["trace", "debug", "info", "warn", "error", "fatal", "none"] as const

/** A level by its name in the configuration. */
export type Level = (typeof levels)[number]

/** The level of a line: every level but `none`. */
export type LineLevel = Exclude<Level, "none">

/** Tells whether a value is the name of a level. */
export const isLevel = (value: unknown): value is Level => typeof value === "string" && Object.hasOwn(ranks, value)

/** Turns the name of a level in the configuration into Effect's. */
export const toLogLevel = (level: Level): LogLevel.LogLevel => effectLevels[level]

/** Turns Effect's level of a log call into its name here. */
export const fromLogLevel = (level: LogLevel.LogLevel): LineLevel => lineLevels[level]

/** Tells whether a line of one level is at least as loud as another level asks for. */
export const isAtLeast = (level: LineLevel, minimum: Level): boolean => ranks[level] >= ranks[minimum]

/**
 * The rooms that the server logs from: `server` (connections and their life), `session` (the protocol), `live` (streams),
 * `access`, `config`, `http`, `tls`, `client` (relays), `metrics`, `lifecycle`, `cli`, and `log` (the log about itself).
 *
 * A custom server may log from rooms of its own names beside these.
 */
export const rooms = [
  "server",
  "session",
  "live",
  "access",
  "config",
  "http",
  "tls",
  "client",
  "metrics",
  "lifecycle",
  "cli",
  "log"
] as const

/** A room that the server logs from. */
export type Room = (typeof rooms)[number]

/** Tells whether a value is a room that the server logs from. */
export const isRoom = (value: unknown): value is Room => (rooms as ReadonlyArray<unknown>).includes(value)

/** The level for everything, and the rooms that have a level of their own. */
export interface LevelTable {
  readonly level: Level
  readonly rooms: Readonly<Record<string, Level>>
}

/** Puts what an effect logs into a room, unless it names another one itself. */
export const inRoom: (room: Room) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = (room) =>
  Effect.annotateLogs({ room })

/** The room that a log call belongs to: that of its own field `room`, else that of the annotation. */
export const roomOf = (fiber: Fiber.Fiber<unknown, unknown>, message: unknown): string | undefined => {
  if (Array.isArray(message)) {
    for (let i = message.length - 1; i >= 0; i--) {
      const part: unknown = message[i]
      if (typeof part === "object" && part !== null && "room" in part && typeof part.room === "string") return part.room
    }
  }
  const annotated = fiber.getRef(References.CurrentLogAnnotations).room
  return typeof annotated === "string" ? annotated : undefined
}

/** What can be done with the levels of a running server. */
export interface LogLevelsShape {
  /** The table as it is now. */
  readonly get: Effect.Effect<LevelTable>
  /** Sets the level of a room, or without a room the level for everything that has none of its own. */
  readonly set: (level: Level, room?: string) => Effect.Effect<void>
  /** Takes the own level of a room away. */
  readonly reset: (room: string) => Effect.Effect<void>
  /** Replaces the whole table at once, as a reload of the configuration does. */
  readonly replace: (table: LevelTable) => Effect.Effect<void>
  /** Tells, at once, whether a line would be logged. For code that would have to build the line first. */
  readonly isEnabled: (room: string | undefined, level: LineLevel) => boolean
}

/** Makes a table of levels that belongs to nobody yet. */
export const make = (initial: LevelTable): LogLevelsShape => {
  let general: Level = initial.level
  let generalRank = ranks[general]
  let own = new Map(Object.entries(initial.rooms))
  let ownRanks = ranksOf(own)
  const set = (level: Level, room: string | undefined): void => {
    if (room === undefined) {
      general = level
      generalRank = ranks[level]
    } else {
      own.set(room, level)
      ownRanks.set(room, ranks[level])
    }
  }
  return {
    get: Effect.sync(() => ({ level: general, rooms: Object.fromEntries(own) })),
    set: (level, room) => Effect.sync(() => set(level, room)),
    reset: (room) =>
      Effect.sync(() => {
        own.delete(room)
        ownRanks.delete(room)
      }),
    replace: (table) =>
      Effect.sync(() => {
        set(table.level, undefined)
        own = new Map(Object.entries(table.rooms))
        ownRanks = ranksOf(own)
      }),
    isEnabled: (room, level) =>
      ranks[level] >= (room === undefined || ownRanks.size === 0 ? generalRank : (ownRanks.get(room) ?? generalRank))
  }
}

/**
 * The levels of the running server.
 *
 * **Gotchas**
 *
 * Effect drops what is below `References.MinimumLogLevel` before any logger sees it, and that cannot be raised for fibers
 * that run. `Log.layerWith` sets it to `Trace`, so that this table alone decides.
 */
export class LogLevels extends Context.Service<LogLevels, LogLevelsShape>()("effect-rtmp/observability/LogLevels") {
  /** A table with these levels to begin with. */
  static readonly layer = (initial: LevelTable): Layer.Layer<LogLevels> =>
    Layer.sync(LogLevels, () => LogLevels.of(make(initial)))
}

/** Makes a logger that sees only what the table lets through; for exporters beside the loggers of `Log`. */
export const guarded = <Message, Output>(
  levels: Pick<LogLevelsShape, "isEnabled">,
  logger: Logger.Logger<Message, Output>
): Logger.Logger<Message, Output | undefined> =>
  Logger.make((options) =>
    levels.isEnabled(roomOf(options.fiber, options.message), fromLogLevel(options.logLevel))
      ? logger.log(options)
      : undefined
  )

const ranks: Readonly<Record<Level, number>> = { trace: 0, debug: 1, info: 2, warn: 3, error: 4, fatal: 5, none: 6 }

const ranksOf = (table: ReadonlyMap<string, Level>): Map<string, number> =>
  new Map([...table].map(([room, level]) => [room, ranks[level]]))

const effectLevels: Readonly<Record<Level, LogLevel.LogLevel>> = {
  trace: "Trace",
  debug: "Debug",
  info: "Info",
  warn: "Warn",
  error: "Error",
  fatal: "Fatal",
  none: "None"
}

// Nothing is logged at `All` or `None`; a custom logger that claims so is heard.
const lineLevels: Readonly<Record<LogLevel.LogLevel, LineLevel>> = {
  All: "trace",
  Trace: "trace",
  Debug: "debug",
  Info: "info",
  Warn: "warn",
  Error: "error",
  Fatal: "fatal",
  None: "fatal"
}
