/**
 * What happens, for one client of the admin API: the events of server, streams and configuration, and lines of the log, in
 * one bounded queue.
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ConfigStore } from "../config/ConfigStore.ts"
import type { LineLevel } from "../observability/LogLevels.ts"
import { RecentLog } from "../observability/RecentLog.ts"
import { RtmpServer } from "../server/RtmpServer.ts"
import { AdminContext } from "./AdminContext.ts"
import type { AdminEvent } from "./AdminEventSchema.ts"
import * as Describe from "./Describe.ts"

/** Events that one client may fall behind before it loses the oldest. */
export const capacity = 1_024

/** How often a client hears something, whatever happens: shorter than any proxy's patience. */
export const heartbeatMs = 15_000

/** Which lines of the log are asked for; none where `level` is left out. */
export interface FollowOptions {
  readonly level?: LineLevel
  readonly room?: string
}

type Event = typeof AdminEvent.Type

/**
 * Subscribes until the scope closes. The stream begins with a heartbeat, and ends when the API closes.
 */
export const follow: (
  options: FollowOptions
) => Effect.Effect<Stream.Stream<Event>, never, RtmpServer | ConfigStore | RecentLog | AdminContext | Scope.Scope> =
  Effect.fnUntraced(function* (options: FollowOptions) {
    const server = yield* RtmpServer
    const store = yield* ConfigStore
    const log = yield* RecentLog
    const { closing } = yield* AdminContext
    const clock = yield* Clock.Clock
    const queue = yield* Effect.acquireRelease(Queue.sliding<Event, Cause.Done>(capacity), Queue.shutdown)
    let lost = 0
    const offer = (event: Event): void => {
      if (Queue.sizeUnsafe(queue) >= capacity) lost++
      Queue.offerUnsafe(queue, event)
    }
    const now = (): number => clock.currentTimeMillisUnsafe()
    const beat = Effect.sync(() => offer({ type: "heartbeat", at: now(), lost }))
    const listen = <A>(stream: Stream.Stream<A>, toEvent: (value: A) => Event) =>
      // At once, so that what happens after the first heartbeat is told.
      Effect.forkScoped(
        Stream.runForEachArray(stream, (values) =>
          Effect.sync(() => {
            for (const value of values) offer(toEvent(value))
          })
        ),
        { startImmediately: true }
      )

    yield* listen(server.events, (event) => ({ type: "server", at: now(), event }))
    yield* listen(server.streamEvents, ({ atMs: _, ...event }) => ({ type: "stream", at: now(), event }))
    yield* listen(store.changes, ({ changes }) => ({
      type: "config",
      at: now(),
      changes: changes.map(Describe.configChange)
    }))
    if (options.level !== undefined) {
      const past = yield* log.recent({ limit: 1 })
      const lines = log.stream({
        level: options.level,
        after: past.at(-1)?.id ?? 0,
        ...(options.room === undefined ? {} : { room: options.room })
      })
      yield* listen(lines, (entry) => ({ type: "log", at: now(), entry: Describe.logEntry(entry) }))
    }
    yield* beat
    yield* Effect.forkScoped(Effect.forever(Effect.delay(beat, heartbeatMs)))
    yield* Effect.forkScoped(Effect.andThen(closing, Queue.end(queue)))
    return Stream.fromQueue(queue)
  })
