/**
 * A histogram of milliseconds: a few counters in a row, cheap enough for the media path.
 *
 * `observe` is a handful of comparisons and three additions, and allocates nothing. What it has counted is turned into
 * something that can be shown when somebody asks, not before.
 */

/** What a histogram has counted until now. */
export interface HistogramSnapshot {
  /** The upper bound of each bucket, inclusive, in milliseconds, and how many values are not greater than it. */
  readonly buckets: ReadonlyArray<readonly [boundMs: number, cumulativeCount: number]>
  /** All values, those beyond the last bound included. */
  readonly count: number
  /** Their sum, in milliseconds. */
  readonly sumMs: number
  /** The least and the greatest value, in milliseconds; 0 where there is none. */
  readonly minMs: number
  readonly maxMs: number
}

/** Counts values by size. Made by `make`. */
export class Histogram {
  readonly #bounds: Float64Array
  /** One more than bounds: the last is for what is beyond all of them. */
  readonly #counts: Float64Array
  #count = 0
  #sum = 0
  #min = Number.POSITIVE_INFINITY
  #max = 0

  constructor(boundsMs: ReadonlyArray<number>) {
    for (let i = 0; i < boundsMs.length; i++) {
      if (!Number.isFinite(boundsMs[i]) || (i > 0 && boundsMs[i]! <= boundsMs[i - 1]!)) {
        throw new RangeError("the bounds of a histogram must be finite and ascend")
      }
    }
    this.#bounds = Float64Array.from(boundsMs)
    this.#counts = new Float64Array(boundsMs.length + 1)
  }

  /** Values counted until now. */
  get count(): number {
    return this.#count
  }

  /**
   * Counts a value in milliseconds. One below zero, as of two clocks that disagree, counts as zero; what is no number is
   * not counted.
   */
  observe(ms: number): void {
    // Written so that NaN is refused too.
    if (!(ms >= 0)) {
      if (!(ms < 0)) return
      ms = 0
    }
    const bounds = this.#bounds
    const length = bounds.length
    let i = 0
    // Most delays are small, and the bounds few: from the front is faster than by halves.
    while (i < length && ms > bounds[i]!) i++
    this.#counts[i]! += 1
    this.#count += 1
    this.#sum += ms
    if (ms < this.#min) this.#min = ms
    if (ms > this.#max) this.#max = ms
  }

  /** What was counted until now. */
  snapshot(): HistogramSnapshot {
    const buckets: Array<readonly [number, number]> = []
    let cumulative = 0
    for (let i = 0; i < this.#bounds.length; i++) {
      cumulative += this.#counts[i]!
      buckets.push([this.#bounds[i]!, cumulative])
    }
    return {
      buckets,
      count: this.#count,
      sumMs: this.#sum,
      minMs: this.#count === 0 ? 0 : this.#min,
      maxMs: this.#max
    }
  }
}

/** Makes an empty histogram with these upper bounds, in milliseconds, ascending. */
export const make = (boundsMs: ReadonlyArray<number>): Histogram => new Histogram(boundsMs)
