/**
 * What a joiner is given at once: metadata, sequence headers, then the cached frames from a keyframe on.
 *
 * The bytes are made once and shared by all joiners until the stream moves on; after a flush only what is new is added as
 * another run, so a stream that many viewers join does not copy its group of pictures for each flush, let alone for each
 * viewer. After `maxRuns` additions the runs are merged into one again, and when the cache begins somewhere else the
 * snapshot is made anew.
 *
 * **Gotchas**
 *
 * - Headers and metadata carry the timestamp of the first cached frame: players that see a jump between a header and the
 *   first frame take it for a gap.
 * - Inter frames of a track whose keyframe lies before the cache are left out; the track waits for its next keyframe.
 */
import { concatRecords, type EncodableMessage, encodeMessages, type MediaRecord, type Run } from "./Batch.ts"
import type { GopCache } from "./GopCache.ts"
import type { Prologue } from "./Outbox.ts"

const maxRuns = 16

/** A prologue that grows with the cache. */
export class Snapshot implements Prologue {
  readonly #gop: GopCache
  readonly #position: number
  readonly #headers: Run
  readonly #headerTimestamp: number
  #runs: Array<Run>
  #headersWithFrames: boolean
  #next = 0
  #seen = 0
  #videoTracks = 0

  constructor(gop: GopCache, headers: ReadonlyArray<EncodableMessage>, headerTimestamp: number, chunkSize: number) {
    this.#gop = gop
    this.#position = gop.position
    this.#headerTimestamp = headerTimestamp
    this.#headers = encodeMessages(headers, chunkSize)
    this.#runs = this.#headers.bytes.length > 0 ? [this.#headers] : []
    this.#headersWithFrames = false
  }

  /** The shared bytes, in order. */
  get runs(): ReadonlyArray<Run> {
    return this.#runs.slice()
  }

  /** Video tracks, as bits, that start at their next keyframe. */
  get waiting(): number {
    return this.#videoTracks & ~this.#seen
  }

  /** Whether the snapshot can still be brought up to date: its cache begins where it did. */
  isCurrent(timestamp: number): boolean {
    if (this.#gop.position !== this.#position) return false
    return this.#next > 0 || timestamp === this.#headerTimestamp
  }

  /** Adds what the cache got since the last time. `videoTracks` are the tracks of the stream that have started. */
  update(videoTracks: number): void {
    this.#videoTracks = videoTracks
    if (this.#next === this.#gop.length) return
    if (this.#runs.length >= maxRuns) {
      this.#runs = this.#headers.bytes.length > 0 ? [this.#headers] : []
      this.#headersWithFrames = false
      this.#next = 0
      this.#seen = 0
    }
    const records: Array<MediaRecord> = []
    for (; this.#next < this.#gop.length; this.#next++) {
      const record = this.#gop.at(this.#next)!
      if (record.kind === "video") {
        if (record.role === "Keyframe") this.#seen |= record.trackBit
        else if ((this.#seen & record.trackBit) === 0) continue
      }
      records.push(record)
    }
    if (records.length === 0) return
    const run = concatRecords(records)
    if (this.#headersWithFrames || this.#headers.bytes.length === 0) this.#runs.push(run)
    else this.#joinHeaders(run)
  }

  /** The headers alone, for a viewer who filters: it waits for its next keyframe. */
  headersOnly(): Prologue {
    return { runs: this.#headers.bytes.length > 0 ? [this.#headers] : [], waiting: this.#videoTracks }
  }

  /** One write for the usual joiner: headers and frames in one run. */
  #joinHeaders(frames: Run): void {
    const bytes = new Uint8Array(this.#headers.bytes.length + frames.bytes.length)
    bytes.set(this.#headers.bytes)
    bytes.set(frames.bytes, this.#headers.bytes.length)
    const starts = this.#headers.starts.concat(frames.starts.map((start) => start + this.#headers.bytes.length))
    this.#runs = [{ bytes, starts }]
    this.#headersWithFrames = true
  }
}
