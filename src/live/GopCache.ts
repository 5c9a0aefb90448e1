/**
 * The newest groups of pictures of a stream, kept so that a viewer who joins sees a picture at once.
 *
 * A cache with video begins at a keyframe or is empty. A new keyframe pushes the oldest group of pictures out as long as
 * what is left still covers `minDurationMs`; past `maxDurationMs`, `maxBytes` or `maxFrames` the oldest groups go
 * anyway, and where a single group is past a bound, the cache stays empty until the next keyframe while the relay goes
 * on. A stream without video keeps the last `minDurationMs` of audio.
 *
 * It holds what is played in sequence: audio and video frames and timed data. Sequence headers, metadata, ends of
 * sequence and command frames are not for it (`accepts`).
 *
 * **Gotchas**
 *
 * - Durations are taken from the stream's media clock (`MediaRecord.clockMs`), which never runs backwards, so neither a
 *   wrap nor a publisher whose timestamps jump can make the cache grow or throw it away.
 * - Encoders that flag every frame, or none, as a keyframe are bounded by the same numbers.
 * - A record keeps its whole batch alive, so a batch counts whole, once, from its first cached record to its last one:
 *   what came in the same flush and is not cached counts as well.
 */
import type { MediaRecord } from "./Batch.ts"
import type { GopOptions } from "./LiveOptions.ts"
import { RecordQueue } from "./RecordQueue.ts"

/** How full a cache is. */
export interface GopStatistics {
  /** Records held. */
  readonly frames: number
  /** The bytes of the batches that they keep alive: what `GopOptions.maxBytes` bounds. */
  readonly bytes: number
  /** Groups of pictures held. */
  readonly groups: number
  /** Milliseconds of media from the oldest to the newest record. */
  readonly durationMs: number
  /** How often a single group of pictures went past a bound and emptied the cache. */
  readonly overruns: number
}

/** Tells whether a record belongs into a cache: frames, and data that is timed with them. */
export const accepts = (record: MediaRecord): boolean => record.role === "Frame" || record.role === "Keyframe"

/** The cache of one stream. Synchronous, and it never looks at a clock. */
export class GopCache {
  readonly #options: GopOptions
  readonly #records = new RecordQueue()
  /** Absolute positions of the keyframes held; `#firstKeyframe` is the index of the oldest one still held. */
  #keyframes: Array<number> = []
  #firstKeyframe = 0
  /** Absolute position of the oldest record. */
  #position = 0
  #bytes = 0
  #hasVideo = false
  #overruns = 0

  constructor(options: GopOptions) {
    this.#options = options
  }

  /** Records held. */
  get length(): number {
    return this.#records.length
  }

  /** The bytes of the batches that its records keep alive. */
  get bytes(): number {
    return this.#bytes
  }

  /** The absolute position of the oldest record: it changes whenever something is dropped. */
  get position(): number {
    return this.#position
  }

  /** The record `index` places behind the oldest one. */
  at(index: number): MediaRecord | undefined {
    return this.#records.at(index)
  }

  /**
   * Takes in the next record of the stream. `startsGroup` says that a viewer can begin here: it is a keyframe of the
   * leading video track.
   */
  add(record: MediaRecord, startsGroup: boolean): void {
    if (!this.#options.enabled) return
    if (record.kind === "video" && !this.#hasVideo) {
      this.#hasVideo = true
      this.#empty()
    }
    const groups = this.#keyframes.length - this.#firstKeyframe
    if (this.#hasVideo && groups === 0 && !startsGroup) return
    if (startsGroup) this.#keyframes.push(this.#position + this.#records.length)
    // Records come in the order of their batches: another one than that of the newest record is new here.
    if (this.#records.last()?.buffer !== record.buffer) this.#bytes += record.buffer.byteLength
    this.#records.push(record)
    if (this.#hasVideo) this.#trimGroups(record.clockMs, startsGroup)
    else this.#trimAudio(record.clockMs)
  }

  /** Forgets all records. The next keyframe fills the cache again. */
  clear(): void {
    this.#empty()
  }

  /** Forgets all records, and that the stream ever had video: for a publisher that starts anew. */
  reset(): void {
    this.#empty()
    this.#hasVideo = false
  }

  /** How full the cache is. */
  statistics(): GopStatistics {
    const first = this.#records.first()
    const last = this.#records.last()
    return {
      frames: this.#records.length,
      bytes: this.#bytes,
      groups: this.#keyframes.length - this.#firstKeyframe,
      durationMs: first === undefined || last === undefined ? 0 : last.clockMs - first.clockMs,
      overruns: this.#overruns
    }
  }

  #trimGroups(newestMs: number, startsGroup: boolean): void {
    const { maxBytes, maxDurationMs, maxFrames, minDurationMs } = this.#options
    if (startsGroup) {
      while (this.#keyframes.length - this.#firstKeyframe > 1) {
        const second = this.#records.at(this.#keyframes[this.#firstKeyframe + 1]! - this.#position)!
        if (newestMs - second.clockMs < minDurationMs) break
        this.#dropGroup()
      }
    }
    while (
      this.#records.length > 0 &&
      (this.#records.length > maxFrames ||
        this.#bytes > maxBytes ||
        newestMs - this.#records.first()!.clockMs > maxDurationMs)
    ) {
      if (this.#keyframes.length - this.#firstKeyframe > 1) this.#dropGroup()
      else {
        this.#overruns++
        this.#empty()
      }
    }
  }

  #trimAudio(newestMs: number): void {
    const { maxBytes, maxDurationMs, maxFrames, minDurationMs } = this.#options
    const span = Math.min(minDurationMs, maxDurationMs)
    while (
      this.#records.length > 0 &&
      (this.#records.length > maxFrames || this.#bytes > maxBytes || newestMs - this.#records.first()!.clockMs >= span)
    ) {
      this.#dropFirst()
    }
  }

  #dropGroup(): void {
    const end = this.#keyframes[++this.#firstKeyframe]!
    while (this.#position < end) this.#dropFirst()
    // The list of positions is a queue as well: cut it when half of it is history.
    if (this.#firstKeyframe > 16 && this.#firstKeyframe * 2 > this.#keyframes.length) {
      this.#keyframes = this.#keyframes.slice(this.#firstKeyframe)
      this.#firstKeyframe = 0
    }
  }

  #dropFirst(): void {
    const record = this.#records.shift()!
    this.#position++
    if (this.#records.first()?.buffer !== record.buffer) this.#bytes -= record.buffer.byteLength
  }

  #empty(): void {
    this.#position += this.#records.length
    this.#records.clear()
    this.#keyframes = []
    this.#firstKeyframe = 0
    this.#bytes = 0
  }
}

/** Makes an empty cache. */
export const make = (options: GopOptions): GopCache => new GopCache(options)
