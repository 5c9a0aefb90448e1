/**
 * Watches the bitrate of what a publisher sends, against a limit that may be there to be reported or to be enforced.
 *
 * The mean over some seconds counts, so that a keyframe, or what a slow uplink had kept back, is no excess. Nothing is
 * decided here: the stream tells that the limit was passed, and the server what comes of it.
 */

/** A mean over less than this says little about a stream whose keyframes are seconds apart. */
const windowMs = 5_000

/** An excess that goes on is told again after this time. */
const repeatMs = 60_000

/** The watch over one stream. */
export class BitrateGuard {
  readonly #limit: number
  #sinceMs = Number.NEGATIVE_INFINITY
  #bytes = 0
  #toldMs = Number.NEGATIVE_INFINITY

  /** `bitsPerSecond` is the limit; 0 for none. */
  constructor(bitsPerSecond: number) {
    this.#limit = bitsPerSecond
  }

  /**
   * Counts bytes that arrived at a time. Gives back the bits per second of the last seconds where they have just been
   * found above the limit, and 0 otherwise.
   */
  add(bytes: number, nowMs: number): number {
    if (this.#limit === 0) return 0
    const elapsedMs = nowMs - this.#sinceMs
    if (elapsedMs < windowMs) {
      this.#bytes += bytes
      return 0
    }
    // Longer windows are pauses of the publisher: their mean hides what came before and after.
    const bitsPerSecond = elapsedMs < 2 * windowMs ? (this.#bytes * 8_000) / elapsedMs : 0
    this.#sinceMs = nowMs
    this.#bytes = bytes
    if (bitsPerSecond <= this.#limit) {
      this.#toldMs = Number.NEGATIVE_INFINITY
      return 0
    }
    if (nowMs - this.#toldMs < repeatMs) return 0
    this.#toldMs = nowMs
    return bitsPerSecond
  }
}
