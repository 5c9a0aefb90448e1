/**
 * Brings the facts of a server into `Metrics`: its events as they happen, and its counters when somebody reads them.
 *
 * Events are counted on their way, in `emit` itself: a subscriber that falls behind loses events, and a counter must not.
 * Counting one is a few additions and allocates next to nothing.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { StreamRegistry } from "../live/StreamRegistry.ts"
import * as CloseReason from "../observability/CloseReason.ts"
import { known } from "../observability/Instruments.ts"
import type { MetricsCounters, ServerFacts } from "../observability/Metrics.ts"
import { accessOutcomes, anomalyKinds, limits, Metrics } from "../observability/Metrics.ts"
import { RuntimeStats } from "../observability/RuntimeMetrics.ts"
import { monotonicMs } from "./DeadlineWheel.ts"
import type { ServerStatistics } from "./RtmpServer.ts"
import { RtmpServer } from "./RtmpServer.ts"
import type { ServerEvent } from "./ServerEvents.ts"
import { ServerEvents } from "./ServerEvents.ts"

/** What an observer needs to know besides the event. */
export interface ObserverOptions {
  /** Monotonic milliseconds. */
  readonly nowMs: () => number
  /** Told when the first client publishes, and when the last one has stopped. */
  readonly setActive?: (active: boolean) => void
}

/** Counts events. Each event is to be given once, in order. */
export const observer = (metrics: MetricsCounters, options: ObserverOptions): ((event: ServerEvent) => void) => {
  const { nowMs, setActive } = options
  // Only connections whose handshake is not complete: as many as the limits allow.
  const openedMs = new Map<string, number>()
  let publishing = 0
  return (event) => {
    switch (event._tag) {
      case "ConnectionOpened":
        openedMs.set(event.connectionId, nowMs())
        break
      case "ConnectionRefused":
        // A server that empties refuses on purpose.
        if (event.limit !== "draining") metrics.limitsHit.add({ limit: known(limits, event.limit) }, event.count)
        break
      case "HandshakeCompleted": {
        const since = openedMs.get(event.connectionId)
        if (since === undefined) break
        openedMs.delete(event.connectionId)
        metrics.handshakeTime.observe(nowMs() - since)
        break
      }
      case "ClientConnected":
        metrics.access.add({ action: "connect", outcome: "Allowed" })
        break
      case "PublishStarted":
        metrics.access.add({ action: "publish", outcome: "Allowed" })
        if (++publishing === 1) setActive?.(true)
        break
      case "PublishStopped":
        if (--publishing === 0) setActive?.(false)
        break
      case "PlayStarted":
        metrics.access.add({ action: "play", outcome: "Allowed" })
        break
      case "AccessRefused":
        metrics.access.add({ action: event.action, outcome: known(accessOutcomes, event.reason) })
        break
      case "FramesDropped":
        metrics.droppedFrames.add({ reason: "late" }, event.drops.late)
        metrics.droppedFrames.add({ reason: "full" }, event.drops.full)
        metrics.droppedFrames.add({ reason: "orphaned" }, event.drops.orphaned)
        break
      case "Anomaly":
        metrics.anomalies.add({ kind: known(anomalyKinds, event.kind) })
        break
      case "ConnectionClosed": {
        const { reason } = event
        openedMs.delete(event.connectionId)
        metrics.closed.add({ reason })
        const limit = limitOf(reason)
        if (limit !== undefined) metrics.limitsHit.add({ limit })
        if (CloseReason.level(reason) !== "info") metrics.errors.add({ reason })
        break
      }
    }
  }
}

/** The limit that a connection ended by, if it was one. */
const limitOf = (reason: CloseReason.CloseReason): (typeof limits)[number] | undefined => {
  switch (reason) {
    case "OutboxOverflow":
      return "outbox"
    case "OutboxStalled":
      return "stall"
    case "LimitReached":
      return "session"
    default:
      return undefined
  }
}

/**
 * The event service of a server, with every event counted on its way. Where there are `RuntimeStats`, they watch the
 * event loop as long as anybody publishes: a server whose clients wait for a stream sleeps.
 */
export const layerEvents: Layer.Layer<ServerEvents, never, Metrics> = Layer.effect(
  ServerEvents,
  Effect.gen(function* () {
    const inner = yield* ServerEvents
    const metrics = yield* Metrics
    const clock = yield* Clock.Clock
    const runtime = Option.getOrUndefined(yield* Effect.serviceOption(RuntimeStats))
    const observe = observer(metrics, {
      nowMs: () => monotonicMs(clock),
      setActive: (active) => runtime?.setActive(active)
    })
    return ServerEvents.of({
      ...inner,
      emit: (event) => {
        observe(event)
        inner.emit(event)
      }
    })
  })
).pipe(Layer.provide(ServerEvents.layer))

/** Lets metrics read the counters of the server, until the scope closes. */
export const layer: Layer.Layer<never, never, Metrics | RtmpServer | StreamRegistry> = Layer.effectDiscard(
  Effect.gen(function* () {
    const metrics = yield* Metrics
    const server = yield* RtmpServer
    const registry = yield* StreamRegistry
    const { meters } = registry
    const runSync = Effect.runSyncWith(yield* Effect.context<never>())
    yield* metrics.bindServer((): ServerFacts => {
      const statistics = runSync(server.statistics)
      return {
        connections: byState(statistics.states),
        accepted: statistics.accepted,
        refused: statistics.refused,
        handshakesCompleted: statistics.handshakesCompleted,
        echoMismatches: statistics.echoMismatches,
        distributionTargetBitsPerSecond: statistics.distributionTargetBitsPerSecond,
        unknownMessages: statistics.unknownMessages,
        bytesReceived: statistics.bytesReceived,
        bytesSent: statistics.bytesSent,
        live: statistics.live,
        outboxLagMaxMs: registry.sampleLag(meters.outboxLag),
        meters,
        componentRestarts: runSync(server.components).reduce((sum, { restarts }) => sum + restarts, 0)
      }
    })
  })
)

/** The states as they are called outside: to an operator, one that is disconnected and still there is closing. */
const byState = ({ Disconnected, ...others }: ServerStatistics["states"]): ServerFacts["connections"] => ({
  ...others,
  Closing: Disconnected
})
