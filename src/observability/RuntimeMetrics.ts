/**
 * What the process underneath does: event loop, garbage collection, memory, CPU, open files.
 *
 * `RuntimeStats` is the contract with the platform; `src/node/NodeRuntimeStats.ts` fulfils it on Node. The layer of this
 * module puts its numbers into the metric registry. Nothing is measured by a timer of ours, so an idle server sleeps.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Histogram from "../live/Histogram.ts"
import * as Instruments from "./Instruments.ts"

/** The kinds of garbage collections. */
export const gcKinds = ["minor", "major", "incremental", "weak"] as const

/** A kind of garbage collection, as a label. */
export type GcKind = (typeof gcKinds)[number]

/** A reading of the process. What a platform does not know is `undefined`. */
export interface RuntimeSample {
  /**
   * How late the event loop was over the last ten to twenty seconds, in milliseconds; zeros while it is not watched. The
   * percentiles are of samples taken at a fixed pace.
   */
  readonly eventLoopLag: { readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number }
  /** Milliseconds since the start in which the event loop did something, and in which it waited. */
  readonly eventLoopActiveMs: number
  readonly eventLoopIdleMs: number
  /** Bytes. */
  readonly memory: {
    readonly resident: number
    readonly heapUsed: number
    readonly heapTotal: number
    readonly external: number
    readonly arrayBuffers: number
  }
  /** Milliseconds of CPU since the start. */
  readonly cpu: { readonly userMs: number; readonly systemMs: number }
  /** Open file descriptors, and how many there may be. */
  readonly openFiles: number | undefined
  readonly maxOpenFiles: number | undefined
  /** Sockets, timers and the like that keep the event loop alive. */
  readonly handles: number
}

/** Reads the process. */
export class RuntimeStats extends Context.Service<
  RuntimeStats,
  {
    /** Takes a reading; cheap enough for every scrape, not for every message. */
    readonly read: () => RuntimeSample
    /** Pauses for garbage collection since the start. */
    readonly gcPauses: Readonly<Record<GcKind, Histogram.Histogram>>
    /**
     * Says whether anybody publishes. Only then the lag of the event loop is watched, because watching wakes the
     * process many times a second.
     */
    readonly setActive: (active: boolean) => void
  }
>()("effect-rtmp/observability/RuntimeStats") {}

/** Puts the numbers of the process into the current metric registry until the scope closes. */
export const layer: Layer.Layer<never, never, RuntimeStats> = Layer.effectDiscard(
  Effect.flatMap(RuntimeStats, (stats) => Instruments.register(families(stats)))
)

const memoryKinds = ["resident", "heapUsed", "heapTotal", "external", "arrayBuffers"] as const

const families = (stats: RuntimeStats["Service"]): ReadonlyArray<Instruments.Family> => {
  const read = Instruments.perTurn(stats.read)
  const lag = (name: string, what: string, value: keyof RuntimeSample["eventLoopLag"]): Instruments.Family => ({
    name: `rtmp_event_loop_lag_${name}_seconds`,
    help: `${what} of how late the event loop was over the last seconds; 0 while nobody publishes.`,
    unit: "seconds",
    type: "gauge",
    series: [{ read: () => read().eventLoopLag[value] / 1_000 }]
  })
  const optional = (name: string, help: string, value: () => number | undefined): ReadonlyArray<Instruments.Family> =>
    value() === undefined ? [] : [{ name, help, type: "gauge", series: [{ read: () => value() ?? 0 }] }]
  return [
    lag("p50", "The median", "p50Ms"),
    lag("p99", "The 99th percentile", "p99Ms"),
    lag("max", "The maximum", "maxMs"),
    {
      name: "rtmp_event_loop_seconds_total",
      help: "Time in which the event loop was active, and idle.",
      unit: "seconds",
      type: "counter",
      series: [
        { labels: { state: "active" }, read: () => read().eventLoopActiveMs / 1_000 },
        { labels: { state: "idle" }, read: () => read().eventLoopIdleMs / 1_000 }
      ]
    },
    {
      name: "rtmp_gc_pause_seconds",
      help: "Pauses for garbage collection, by kind.",
      unit: "seconds",
      type: "histogram",
      series: gcKinds.map((kind) => ({ labels: { kind }, read: () => stats.gcPauses[kind].snapshot() }))
    },
    {
      name: "rtmp_memory_bytes",
      help: "Memory of the process: resident in all, and what the JavaScript engine knows of.",
      unit: "bytes",
      type: "gauge",
      series: memoryKinds.map((kind) => ({ labels: { kind }, read: () => read().memory[kind] }))
    },
    {
      name: "rtmp_cpu_seconds_total",
      help: "CPU time of the process.",
      unit: "seconds",
      type: "counter",
      series: [
        { labels: { mode: "user" }, read: () => read().cpu.userMs / 1_000 },
        { labels: { mode: "system" }, read: () => read().cpu.systemMs / 1_000 }
      ]
    },
    {
      name: "rtmp_handles",
      help: "Sockets, timers and the like that keep the event loop alive.",
      type: "gauge",
      series: [{ read: () => read().handles }]
    },
    ...optional("rtmp_open_files", "Open file descriptors.", () => read().openFiles),
    ...optional("rtmp_max_open_files", "File descriptors that may be open.", () => read().maxOpenFiles)
  ]
}
