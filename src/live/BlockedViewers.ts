/**
 * The viewers whose sockets are full, and which of them stalls first. Not their queues: those are in `Outbox`.
 */
import type { Histogram } from "./Histogram.ts"
import type { OverflowReason } from "./ViewerSink.ts"

/** What is known here of a viewer: an `Outbox`. */
export interface BlockedViewer {
  /** When its full socket becomes a stalled one. */
  readonly stallsAtMs: number
  /** Milliseconds of media that wait for it. */
  readonly lagMs: number
  /** Removes it. It calls `BlockedViewers.delete` meanwhile. */
  readonly overflow: (reason: OverflowReason, nowMs: number) => void
}

/**
 * Viewers whose sockets are full, in the order of their last progress: those of one stream, or of a whole registry.
 *
 * All of them have the same `stallTimeoutMs`, so the first one is the first to stall, and nothing needs to be searched.
 */
export class BlockedViewers {
  readonly #viewers = new Set<BlockedViewer>()
  readonly #onFirst: () => void

  /** `onFirst` is called when there is a deadline where there was none. */
  constructor(onFirst: () => void = () => {}) {
    this.#onFirst = onFirst
  }

  /** How many there are. */
  get size(): number {
    return this.#viewers.size
  }

  /** Adds a viewer that has just made its last progress. */
  add(outbox: BlockedViewer): void {
    this.#viewers.add(outbox)
    if (this.#viewers.size === 1) this.#onFirst()
  }

  /** Forgets a viewer that drained, or is gone. */
  delete(outbox: BlockedViewer): void {
    this.#viewers.delete(outbox)
  }

  /** Removes those that have been full for too long. What a viewer throws meanwhile goes to `onDefect`. */
  removeStalled(nowMs: number, onDefect?: (defect: unknown) => void): void {
    for (const outbox of this.#viewers) {
      if (outbox.stallsAtMs > nowMs) return
      try {
        outbox.overflow("Stalled", nowMs)
      } catch (defect) {
        this.#viewers.delete(outbox)
        if (onDefect === undefined) throw defect
        onDefect(defect)
      }
    }
  }

  /** Counts the lag of each one, in milliseconds, and gives back the longest. */
  sampleLag(into: Histogram): number {
    let max = 0
    for (const { lagMs } of this.#viewers) {
      into.observe(lagMs)
      max = Math.max(max, lagMs)
    }
    return max
  }

  /** When the next one stalls; `undefined` where there is none. */
  nextStallMs(): number | undefined {
    for (const outbox of this.#viewers) return outbox.stallsAtMs
    return undefined
  }
}
