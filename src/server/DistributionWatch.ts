/**
 * Tells when the server sends more than its machine is planned for (`limits.distributionBitrate`): one line a minute at
 * most. Nothing is held back: viewers would notice first.
 *
 * The rate is looked at every few seconds while somebody watches; without viewers nothing wakes up.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { inRoom } from "../observability/LogLevels.ts"
import { RtmpServer } from "./RtmpServer.ts"

/** How far two looks are apart, in milliseconds: the time over which the rate is taken. */
export const intervalMs = 5_000

/** The time between two lines, in milliseconds. */
export const quietMs = 60_000

/** Watches until the scope closes. */
export const layer: Layer.Layer<never, never, RtmpServer> = Layer.effectDiscard(
  Effect.gen(function* () {
    const server = yield* RtmpServer
    const clock = yield* Clock.Clock
    const watching = yield* Latch.make(false)
    let toldMs = Number.NEGATIVE_INFINITY
    const monotonicMs = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

    const look = Effect.gen(function* () {
      yield* watching.await
      const before = (yield* server.statistics).bytesSent
      const beforeMs = monotonicMs()
      yield* Effect.sleep(intervalMs)
      const { bytesSent, distributionTargetBitsPerSecond: limit, live } = yield* server.statistics
      if (live.viewers === 0) watching.closeUnsafe()
      const nowMs = monotonicMs()
      const bitsPerSecond = Math.round(((bytesSent - before) * 8_000) / (nowMs - beforeMs))
      if (bitsPerSecond <= limit || nowMs - toldMs < quietMs) return
      toldMs = nowMs
      yield* Effect.logWarning("more is sent to viewers than limits.distributionBitrate plans for", {
        bitsPerSecond,
        limitBitsPerSecond: limit,
        viewers: live.viewers
      })
    }).pipe(inRoom("live"))

    yield* Effect.forkScoped(Effect.forever(look))
    yield* Effect.forkScoped(
      Stream.runForEach(server.events, (event) =>
        Effect.sync(() => {
          if (event._tag === "PlayStarted") watching.openUnsafe()
        })
      )
    )
  })
)
