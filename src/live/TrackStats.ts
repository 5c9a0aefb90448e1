/**
 * What one track of a stream does: its rates over the last seconds, its totals, and gaps in its timestamps.
 *
 * Counting is a few additions per message. Rates are taken over a sliding window of whole seconds when somebody asks.
 */
import * as Timestamp from "../protocol/Timestamp.ts"

/** A step of a track's timestamps, in either direction, that is longer than this many milliseconds counts as a gap. */
export const GAP_MS = 1_000

const windowSeconds = 5
/** One slot more than the window, so that the second in progress never overwrites one that still counts. */
const slots = windowSeconds + 1

/** A snapshot of one track. */
export interface TrackStatistics {
  /** Audio or video. */
  readonly kind: "audio" | "video"
  /** The track id of enhanced multitrack media; 0 for everything else. */
  readonly trackId: number
  /** The codec, as `MediaFrame.codec` names it. */
  readonly codec: string
  /** Whether the track's sequence header is known. */
  readonly hasHeader: boolean
  /** Bits per second over the last seconds. */
  readonly bitsPerSecond: number
  /** Frames per second over the last seconds. */
  readonly framesPerSecond: number
  /** Frames in total, keyframes included. */
  readonly frames: number
  /** Video keyframes in total. */
  readonly keyframes: number
  /** Payload bytes in total, headers included. */
  readonly bytes: number
  /** The newest relayed timestamp, unsigned 32-bit milliseconds; `undefined` before the first frame. */
  readonly lastTimestamp: number | undefined
  /** Steps of more than a second between two frames' timestamps. */
  readonly gaps: number
}

/** The running counts of one track. */
export class TrackStats {
  #bytes = 0
  #frames = 0
  #keyframes = 0
  #gaps = 0
  #lastTimestamp: number | undefined
  #startedAtMs: number | undefined
  readonly #second = new Float64Array(slots).fill(Number.NEGATIVE_INFINITY)
  readonly #secondBytes = new Float64Array(slots)
  readonly #secondFrames = new Float64Array(slots)

  /** Counts payload bytes that are no frame: a sequence header, say. */
  countBytes(bytes: number, nowMs: number): void {
    this.#bytes += bytes
    this.#secondBytes[this.#slot(nowMs)]! += bytes
  }

  /**
   * Counts a frame and gives back the step from the previous frame's timestamp in milliseconds where it is a gap, else
   * 0. `timestamp` is the relayed one, so a publisher who comes back makes no gap of its own.
   */
  countFrame(bytes: number, timestamp: number, keyframe: boolean, nowMs: number): number {
    this.countBytes(bytes, nowMs)
    this.#secondFrames[this.#slot(nowMs)]! += 1
    this.#frames++
    if (keyframe) this.#keyframes++
    const step = this.#lastTimestamp === undefined ? 0 : Timestamp.difference(timestamp, this.#lastTimestamp)
    this.#lastTimestamp = timestamp
    if (step <= GAP_MS && step >= -GAP_MS) return 0
    this.#gaps++
    return step
  }

  /** Frames counted until now. */
  get frames(): number {
    return this.#frames
  }

  /** The totals, and the rates over the window that ends with `nowMs`. */
  snapshot(
    nowMs: number,
    identity: Pick<TrackStatistics, "kind" | "trackId" | "codec" | "hasHeader">
  ): TrackStatistics {
    const now = Math.floor(nowMs / 1_000)
    let bytes = 0
    let frames = 0
    for (let i = 0; i < slots; i++) {
      const age = now - this.#second[i]!
      if (age < 0 || age > windowSeconds) continue
      // The oldest second is only partly inside the window.
      const share = age === windowSeconds ? 1 - (nowMs / 1_000 - now) : 1
      bytes += this.#secondBytes[i]! * share
      frames += this.#secondFrames[i]! * share
    }
    const age = this.#startedAtMs === undefined ? 0 : nowMs - this.#startedAtMs
    const seconds = Math.min(windowSeconds, Math.max(1, age / 1_000))
    return {
      kind: identity.kind,
      trackId: identity.trackId,
      codec: identity.codec,
      hasHeader: identity.hasHeader,
      bitsPerSecond: Math.round((bytes * 8) / seconds),
      framesPerSecond: Math.round((frames * 10) / seconds) / 10,
      frames: this.#frames,
      keyframes: this.#keyframes,
      bytes: this.#bytes,
      lastTimestamp: this.#lastTimestamp,
      gaps: this.#gaps
    }
  }

  #slot(nowMs: number): number {
    this.#startedAtMs ??= nowMs
    const second = Math.floor(nowMs / 1_000)
    const slot = ((second % slots) + slots) % slots
    if (this.#second[slot] !== second) {
      this.#second[slot] = second
      this.#secondBytes[slot] = 0
      this.#secondFrames[slot] = 0
    }
    return slot
  }
}

/** Makes the counts of a new track. */
export const make = (): TrackStats => new TrackStats()
