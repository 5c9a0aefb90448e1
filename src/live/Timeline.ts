/**
 * The timeline of a stream: what its publishers' timestamps become for its viewers, and how much media has passed.
 *
 * The first session's timestamps are relayed as they are, modulo 2^32. Every later session is shifted so that its first
 * frame follows the last frame before it; what comes in front of that frame (headers usually carry 0) is put at the same
 * place. The media clock counts the milliseconds by which the newest frame moved on, and so never decreases: caches and
 * queues measure durations with it, whatever timestamps do.
 *
 * **Gotchas**
 *
 * - A step of more than half a minute is taken for a jump: the clock stands still for it and counts on from there.
 * - In the first ten seconds of a later session no timestamp falls behind the session before, not even where a track
 *   begins earlier than the one whose frame came first.
 */
import * as Timestamp from "../protocol/Timestamp.ts"

/** How far the first frame of a new session lies behind the last one of the session before. */
export const RESUME_STEP_MS = 40

const resumeGuardMs = 10_000
const maxClockStepMs = 30_000

/** The timeline of one stream. */
export class Timeline {
  #offset = 0
  #rebase = false
  #resumeAt = 0
  #guardEndMs = -1
  #clockMs = 0
  #newest: number | undefined

  /** Milliseconds of media so far; never decreases. */
  get clockMs(): number {
    return this.#clockMs
  }

  /** The newest relayed timestamp; `undefined` before the first frame. */
  get newest(): number | undefined {
    return this.#newest
  }

  /** The publisher's timestamps start anew. Does nothing before the first frame. */
  beginSession(): void {
    if (this.#newest === undefined) return
    this.#rebase = true
    this.#resumeAt = Timestamp.add(this.#newest, RESUME_STEP_MS)
    this.#guardEndMs = this.#clockMs + resumeGuardMs
  }

  /** The timestamp to relay for a publisher's timestamp. Only frames move the timeline on. */
  relay(timestamp: number, isFrame: boolean): number {
    if (this.#rebase) {
      if (!isFrame) return this.#resumeAt
      this.#offset = Timestamp.difference(this.#resumeAt, timestamp)
      this.#rebase = false
    }
    let relayed = Timestamp.add(timestamp, this.#offset)
    if (this.#clockMs < this.#guardEndMs && Timestamp.difference(relayed, this.#resumeAt) < 0) relayed = this.#resumeAt
    if (isFrame) this.#advance(relayed)
    return relayed
  }

  #advance(relayed: number): void {
    if (this.#newest === undefined) {
      this.#newest = relayed
      return
    }
    const step = Timestamp.difference(relayed, this.#newest)
    if (step > 0 && step <= maxClockStepMs) this.#clockMs += step
    else if (step <= 0 && step >= -maxClockStepMs) return
    this.#newest = relayed
  }
}

/** Makes the timeline of a new stream. */
export const make = (): Timeline => new Timeline()
