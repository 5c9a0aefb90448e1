/**
 * What the media path measures of itself: one set of meters for each registry of streams.
 *
 * Histograms are updated at most once for each flush of a stream and once for each viewer that joins, and read when metrics
 * are asked for.
 */
import * as Histogram from "./Histogram.ts"

/** What a registry measures. */
export interface LiveMeters {
  /** From the arrival of the oldest message of a flush to the flush: the merge window, and the turns of the event loop. */
  readonly ingestDelay: Histogram.Histogram
  /** From the arrival of the oldest message of a flush until it was handed to the sockets of all viewers. */
  readonly distributionDelay: Histogram.Histogram
  /** From a play command that was allowed, or the start of the stream that it waited for, to the viewer's first bytes. */
  readonly joinTime: Histogram.Histogram
  /** How far viewers with full sockets are behind, in milliseconds of media: one value for each at each reading. */
  readonly outboxLag: Histogram.Histogram
  /** How often something was thrown in a stream whose caller was not to blame; whoever catches it counts it. */
  streamDefects: number
}

/** Upper bounds, in milliseconds, for delays on the way from a publisher to its viewers. */
export const delayBoundsMs: ReadonlyArray<number> = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000]

/** Upper bounds, in milliseconds, for how far a viewer is behind. */
export const lagBoundsMs: ReadonlyArray<number> = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000]

/** Makes meters that have measured nothing yet. */
export const make = (): LiveMeters => ({
  ingestDelay: Histogram.make(delayBoundsMs),
  distributionDelay: Histogram.make(delayBoundsMs),
  joinTime: Histogram.make(delayBoundsMs),
  outboxLag: Histogram.make(lagBoundsMs),
  streamDefects: 0
})
