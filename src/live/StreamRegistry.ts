/**
 * The registry of live streams as a service: the synchronous `Registry`, driven by Effect's clock and fibers.
 *
 * Its layer is made of three others, each of which can be replaced alone: `MediaClassifier` says what a message is to its
 * stream (ingest), `Distribution` makes the outboxes through which viewers are fed, and `StreamEvents` tells what happens.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { MediaClassifier } from "../media/MediaFrame.ts"
import { Distribution } from "./Distribution.ts"
import * as LiveMeters from "./LiveMeters.ts"
import { defaultLiveOptions, type LiveOptions } from "./LiveOptions.ts"
import { Registry, type RegistryHooks } from "./Registry.ts"
import * as StreamEvents from "./StreamEvents.ts"

/** What the service offers: everything that a `Registry` does, and the time that it lives by. */
export interface DrivenRegistry extends Pick<Registry, keyof Registry> {
  /** The time to pass to all its functions: monotonic milliseconds with an arbitrary origin. */
  readonly nowMs: () => number
  /** What the media path measures of itself. */
  readonly meters: LiveMeters.LiveMeters
}

/**
 * The registry as a service: the synchronous `Registry`, flushed and ticked by fibers of the layer's scope.
 *
 * The time that callers pass in must be `nowMs()`, which is monotonic. When the scope closes, the registry closes.
 */
export class StreamRegistry extends Context.Service<StreamRegistry, DrivenRegistry>()(
  "effect-rtmp/live/StreamRegistry"
) {
  /** A registry with these options. Media is classified as `MediaClassifier` says. */
  static readonly layerWith = (
    options: LiveOptions
  ): Layer.Layer<StreamRegistry, never, StreamEvents.StreamEvents | MediaClassifier | Distribution> =>
    Layer.effect(StreamRegistry, drive(options))

  /** A registry with `defaultLiveOptions`. */
  static readonly layer: Layer.Layer<
    StreamRegistry,
    never,
    StreamEvents.StreamEvents | MediaClassifier | Distribution
  > = Layer.suspend(() => StreamRegistry.layerWith(defaultLiveOptions))
}

class Driven extends Registry implements DrivenRegistry {
  readonly nowMs: () => number
  readonly meters = LiveMeters.make()

  constructor(options: LiveOptions, hooks: RegistryHooks, nowMs: () => number) {
    super(options, {
      ...hooks,
      onFlushed: (sinceMs, atMs) => {
        this.meters.ingestDelay.observe(atMs - sinceMs)
        this.meters.distributionDelay.observe(nowMs() - sinceMs)
      }
    })
    this.nowMs = nowMs
  }
}

// Of a flush in the smoothed time: one keyframe is large, and no reason to let the frames behind it wait.
const newestShare = 1 / 4

// What a flush counts for at most: a pause of the whole process is not to be followed by one rest after the other.
const mostMs = 13

/**
 * How long to rest after a flush, where the last ones took so long: three times that beyond a millisecond and a half, within
 * bounds.
 *
 * With some hundred viewers it is nothing. With a thousand and no merge window, flushes would follow one another without
 * end and keep the event loop from everything else; so it takes a third of it or so, what arrives meanwhile is merged,
 * and the more viewers there are, the fewer writes each of them costs.
 */
const restMs = (tookMs: number): number => Math.min(40, Math.max(0, 3 * (tookMs - 1.5)))

/** Runs a registry: one fiber ticks, and one for each merge window flushes. All sleep until the registry calls for them. */
const drive = Effect.fnUntraced(function* (options: LiveOptions) {
  const events = yield* StreamEvents.StreamEvents
  const { classify } = yield* MediaClassifier
  const { makeOutbox } = yield* Distribution
  const clock = yield* Effect.clockWith(Effect.succeed)
  const scope = yield* Effect.scope
  const context = yield* Effect.context<never>()
  const flushers = new Map<number, () => void>()
  // Offering to a queue resumes its taker in a later turn of the event loop: never inside of what moved the deadline.
  const earlier = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
  const defects: Array<readonly [string, unknown]> = []
  const registry: Driven = new Driven(
    options,
    {
      emit: events.emit,
      classify,
      makeOutbox,
      onDirty: (mergeWindowMs) => {
        const dirty = flushers.get(mergeWindowMs) ?? flusher(mergeWindowMs)
        dirty()
      },
      onDeadline: () => Queue.offerUnsafe(earlier, undefined),
      onDefect: (streamKey, defect) => {
        registry.meters.streamDefects++
        defects.push([streamKey, defect])
      }
    },
    () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => registry.close(registry.nowMs())))

  const logDefects = Effect.suspend(() => {
    if (defects.length === 0) return Effect.void
    return Effect.forEach(
      defects.splice(0),
      ([streamKey, defect]) =>
        Effect.logError("A stream failed", Cause.die(defect)).pipe(Effect.annotateLogs({ stream: streamKey })),
      { discard: true }
    )
  })
  /** What the registry throws itself must not end the fiber by which it lives. */
  const run = (step: (nowMs: number) => void) =>
    Effect.sync(() => {
      try {
        step(registry.nowMs())
      } catch (defect) {
        defects.push(["", defect])
      }
    }).pipe(Effect.andThen(logDefects))
  const tick = run((nowMs) => registry.tick(nowMs))

  /** Starts the fiber that flushes the streams of one merge window, and gives back what tells it that there are any. */
  const flusher = (mergeWindowMs: number): (() => void) => {
    let isDirty = false
    let wake: ((go: Effect.Effect<void>) => void) | undefined
    let restUntilMs = Number.NEGATIVE_INFINITY
    let usualMs = 0
    // Not a queue, whose taker is resumed in a turn of its own: a fourth of what a flush costs where there are few viewers.
    const untilDirty = Effect.callback<void>((resume) => {
      if (isDirty) resume(Effect.void)
      else wake = resume
      isDirty = false
    })
    // It is woken inside of a publish, and must not flush there.
    const collect = Effect.suspend(() => {
      const waitMs = Math.max(mergeWindowMs, Math.floor(restUntilMs - registry.nowMs()))
      return waitMs > 0 ? Effect.sleep(Duration.millis(waitMs)) : Effect.yieldNow
    })
    const flush = run((nowMs) => {
      registry.flush(nowMs, mergeWindowMs)
      const endMs = registry.nowMs()
      usualMs += newestShare * (Math.min(endMs - nowMs, mostMs) - usualMs)
      restUntilMs = endMs + restMs(usualMs)
    })
    const flushing = Effect.forever(Effect.andThen(Effect.andThen(untilDirty, collect), flush), { disableYield: true })
    Effect.runForkWith(context)(Effect.forkIn(flushing, scope, { startImmediately: true }))
    const dirty = (): void => {
      const go = wake
      wake = undefined
      if (go === undefined) isDirty = true
      else go(Effect.void)
    }
    flushers.set(mergeWindowMs, dirty)
    return dirty
  }

  const untilDue = Effect.suspend(() => {
    const deadlineMs = registry.nextDeadlineMs()
    if (deadlineMs === undefined) return Queue.take(earlier)
    const waitMs = deadlineMs - registry.nowMs()
    return waitMs <= 0 ? Effect.void : Effect.timeoutOption(Queue.take(earlier), Duration.millis(Math.ceil(waitMs)))
  })
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(untilDue, tick)))
  return registry
})
