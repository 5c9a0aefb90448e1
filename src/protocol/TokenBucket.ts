/**
 * A token bucket: so many events at once, and so many a second in the long run.
 *
 * Synchronous; time comes in with every call, in milliseconds of any monotonic clock.
 */

/** A bucket. It starts full. */
export class TokenBucket {
  readonly #capacity: number
  readonly #perSecond: number
  #tokens: number
  #atMs: number

  /** Holds at most `capacity` tokens; `perSecond` of them come back each second. */
  constructor(capacity: number, perSecond: number, nowMs: number) {
    this.#capacity = capacity
    this.#perSecond = perSecond
    this.#tokens = capacity
    this.#atMs = nowMs
  }

  /** Takes one token, or so many. Gives back whether there were as many; where not, none is taken. */
  take(nowMs: number, count = 1): boolean {
    if (nowMs > this.#atMs) {
      this.#tokens = Math.min(this.#capacity, this.#tokens + ((nowMs - this.#atMs) * this.#perSecond) / 1_000)
      this.#atMs = nowMs
    }
    if (this.#tokens < count) return false
    this.#tokens -= count
    return true
  }
}
