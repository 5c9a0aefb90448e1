/**
 * Readings of a Node process: event loop, garbage collection, memory, CPU, open files.
 *
 * Watching the event loop costs a timer that fires twenty-five times a second, in native code; it runs only between
 * `setActive(true)` and `setActive(false)`. All the rest is read when it is asked for.
 */
import { constants, monitorEventLoopDelay, PerformanceObserver, performance } from "node:perf_hooks"
import process from "node:process"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Histogram from "../live/Histogram.ts"
import type { GcKind, RuntimeSample } from "../observability/RuntimeMetrics.ts"
import { RuntimeStats } from "../observability/RuntimeMetrics.ts"
import * as NodeOpenFiles from "./NodeOpenFiles.ts"

/** Readings of this process. Closing the scope ends all watching. */
export const layer: Layer.Layer<RuntimeStats> = Layer.effect(
  RuntimeStats,
  Effect.gen(function* () {
    const lag = new EventLoopLag()
    const gcPauses = {
      minor: Histogram.make(gcBoundsMs),
      major: Histogram.make(gcBoundsMs),
      incremental: Histogram.make(gcBoundsMs),
      weak: Histogram.make(gcBoundsMs)
    }
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const kind = gcKindOf(entry)
        if (kind !== undefined) gcPauses[kind].observe(entry.duration)
      }
    })
    observer.observe({ entryTypes: ["gc"] })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        observer.disconnect()
        lag.setActive(false)
      })
    )
    const maxOpenFiles = NodeOpenFiles.max()
    return RuntimeStats.of({
      gcPauses,
      setActive: (active) => lag.setActive(active),
      read: (): RuntimeSample => {
        const { arrayBuffers, external, heapTotal, heapUsed, rss } = process.memoryUsage()
        const { system, user } = process.cpuUsage()
        const loop = performance.eventLoopUtilization()
        return {
          eventLoopLag: lag.read(),
          eventLoopActiveMs: loop.active,
          eventLoopIdleMs: loop.idle,
          memory: { resident: rss, heapUsed, heapTotal, external, arrayBuffers },
          cpu: { userMs: user / 1_000, systemMs: system / 1_000 },
          openFiles: NodeOpenFiles.count(),
          maxOpenFiles,
          handles: process.getActiveResourcesInfo().length
        }
      }
    })
  })
)

type IntervalHistogram = ReturnType<typeof monitorEventLoopDelay>

const gcBoundsMs = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1_000]

const resolutionMs = 40
const windowMs = 10_000

/**
 * The lag of the last ten to twenty seconds, from two native histograms that are cleared in turns. Clearing one loses the
 * sample that is being taken, which may be the one that matters; the other one has it.
 */
class EventLoopLag {
  #monitors: readonly [older: IntervalHistogram, newer: IntervalHistogram] | undefined
  #turnedAtMs = 0

  setActive(active: boolean): void {
    if (active === (this.#monitors !== undefined)) return
    if (active) {
      const start = (): IntervalHistogram => {
        const monitor = monitorEventLoopDelay({ resolution: resolutionMs })
        monitor.enable()
        return monitor
      }
      this.#monitors = [start(), start()]
      this.#turnedAtMs = performance.now()
      return
    }
    for (const monitor of this.#monitors ?? []) monitor.disable()
    this.#monitors = undefined
  }

  read(): RuntimeSample["eventLoopLag"] {
    if (this.#monitors === undefined) return { p50Ms: 0, p99Ms: 0, maxMs: 0 }
    const elapsedMs = performance.now() - this.#turnedAtMs
    const [older, newer] = this.#monitors
    const lag = {
      p50Ms: lagOf(older, older.percentile(50)),
      p99Ms: lagOf(older, older.percentile(99)),
      maxMs: lagOf(older, older.max)
    }
    if (elapsedMs >= windowMs) {
      older.reset()
      this.#monitors = [newer, older]
      this.#turnedAtMs += elapsedMs
    }
    return lag
  }
}

/** A sample is the time between two ticks, in nanoseconds; what is more than the distance asked for is lag. */
const lagOf = (monitor: IntervalHistogram, nanos: number): number =>
  monitor.count === 0 ? 0 : Math.max(0, nanos / 1e6 - resolutionMs)

const gcKindOf = (entry: unknown): GcKind | undefined => {
  const { detail } = entry as { readonly detail?: { readonly kind?: number } }
  switch (detail?.kind) {
    case constants.NODE_PERFORMANCE_GC_MINOR:
      return "minor"
    case constants.NODE_PERFORMANCE_GC_MAJOR:
      return "major"
    case constants.NODE_PERFORMANCE_GC_INCREMENTAL:
      return "incremental"
    case constants.NODE_PERFORMANCE_GC_WEAKCB:
      return "weak"
    default:
      return undefined
  }
}
