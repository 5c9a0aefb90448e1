/**
 * The last lines of the log, in memory: for the admin API, `effect-rtmp logs`, and diagnostic reports.
 *
 * It keeps what was logged, as JSON lines, within a number of lines and bytes, and hands new lines to whoever follows. It is
 * no archive, and nothing in it survives the process.
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { LineLevel } from "./LogLevels.ts"
import { isAtLeast } from "./LogLevels.ts"

/** A line that was logged. */
export interface LogEntry {
  /** Counts the lines from 1 on, without gaps. */
  readonly id: number
  readonly level: LineLevel
  readonly room: string | undefined
  /** The line as JSON, without a line feed. */
  readonly line: string
}

/** Which entries are asked for; all without a filter. */
export interface LogFilter {
  /** The lowest level. */
  readonly level?: LineLevel
  readonly room?: string
  /** Most entries of the past; the youngest are given. */
  readonly limit?: number
  /** Only entries with a larger `id`, for a reader that comes back. */
  readonly after?: number
}

/** Bounds of what is kept. */
export interface RecentSettings {
  readonly maxLines: number
  /** Most characters that are kept, over all lines. */
  readonly maxBytes: number
}

/** 1,000 lines within 1 MiB. */
export const defaults: RecentSettings = { maxLines: 1_000, maxBytes: 1024 * 1024 }

/** Lines that one follower may fall behind before it loses the oldest. */
export const followerCapacity = 1_024

/** What can be done with the recent lines. */
export interface RecentLogShape {
  /** Takes a line, at once. Followers run in fibers of their own, later. */
  readonly add: (level: LineLevel, room: string | undefined, line: string) => void
  /** The youngest entries that pass, oldest first. */
  readonly recent: (filter?: LogFilter) => Effect.Effect<ReadonlyArray<LogEntry>>
  /**
   * The recent entries that pass and then the new ones, without a gap or a repetition between them. Ends with the log.
   *
   * A slow follower loses the oldest: a gap in `id` shows it only where no filter does the same.
   */
  readonly stream: (filter?: LogFilter) => Stream.Stream<LogEntry>
}

/** The last lines of the log. */
export class RecentLog extends Context.Service<RecentLog, RecentLogShape>()("effect-rtmp/observability/RecentLog") {
  /** Keeps lines within the given bounds. */
  static readonly layer = (settings: RecentSettings = defaults): Layer.Layer<RecentLog> =>
    Layer.effect(RecentLog, Effect.map(make(settings), RecentLog.of))
}

/** Makes a ring of lines; its followers end with the scope. */
export const make = Effect.fnUntraced(function* (settings: RecentSettings) {
  let entries: Array<LogEntry> = []
  let first = 0
  let bytes = 0
  let count = 0
  const followers = new Set<Follower>()
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const { queue } of followers) Queue.endUnsafe(queue)
      followers.clear()
    })
  )

  const select = (filter: LogFilter): ReadonlyArray<LogEntry> => {
    const limit = filter.limit ?? Number.POSITIVE_INFINITY
    const found: Array<LogEntry> = []
    for (let i = entries.length - 1; i >= first && found.length < limit; i--) {
      const entry = entries[i]!
      if (filter.after !== undefined && entry.id <= filter.after) break
      if (passes(entry, filter)) found.push(entry)
    }
    return found.reverse()
  }

  const follow = (filter: LogFilter) =>
    Effect.gen(function* () {
      const queue = yield* Effect.acquireRelease(Queue.sliding<LogEntry, Cause.Done>(followerCapacity), Queue.shutdown)
      const follower: Follower = { queue, filter }
      // One step, so that a line is either among the recent ones or in the queue.
      const past = yield* Effect.acquireRelease(
        Effect.sync(() => {
          followers.add(follower)
          return select(filter)
        }),
        () => Effect.sync(() => followers.delete(follower))
      )
      return Stream.concat(Stream.fromIterable(past), Stream.fromQueue(queue))
    })

  const shape: RecentLogShape = {
    add: (level, room, line) => {
      const entry: LogEntry = { id: ++count, level, room, line }
      entries.push(entry)
      bytes += line.length
      while (entries.length - first > settings.maxLines || (bytes > settings.maxBytes && first < entries.length)) {
        bytes -= entries[first]!.line.length
        entries[first++] = gone
      }
      if (first > 64 && first * 2 > entries.length) {
        entries = entries.slice(first)
        first = 0
      }
      for (const { filter, queue } of followers) if (passes(entry, filter)) Queue.offerUnsafe(queue, entry)
    },
    recent: (filter = {}) => Effect.sync(() => select(filter)),
    stream: (filter = {}) => Stream.unwrap(follow(filter))
  }
  return shape
})

// Stands where an entry was, so that its line can be collected.
const gone: LogEntry = { id: 0, level: "trace", room: undefined, line: "" }

interface Follower {
  readonly queue: Queue.Queue<LogEntry, Cause.Done>
  readonly filter: LogFilter
}

const passes = (entry: LogEntry, filter: LogFilter): boolean =>
  (filter.level === undefined || isAtLeast(entry.level, filter.level)) &&
  (filter.room === undefined || entry.room === filter.room)
