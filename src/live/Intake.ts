/**
 * What a publisher sends, message by message: may it be relayed, as part of which track, and at what time.
 *
 * Dropped are messages that nobody could decode or that would stop a player, frames before the header that their codec
 * cannot do without, inter frames before the first keyframe of their track, and what goes over the stream's limits. Each
 * of it is counted, and the publisher goes on.
 */
import * as MediaFrame from "../media/MediaFrame.ts"
import * as Metadata from "../media/Metadata.ts"
import * as Message from "../protocol/Message.ts"
import type { PendingMessage } from "./Batch.ts"
import type { HeaderCache } from "./HeaderCache.ts"
import type { StreamLimits } from "./LiveOptions.ts"
import type { Emit } from "./StreamEvents.ts"
import * as Timeline from "./Timeline.ts"
import * as TrackStats from "./TrackStats.ts"

/** Why messages of a publisher did not reach the viewers: counts since the stream was made. */
export interface PublishDrops {
  /** Nobody could decode them, or they would stop a player (`MediaFrame`: `Undecodable`). */
  readonly undecodable: number
  /** Aggregates that were cut short; their whole messages passed. */
  readonly truncatedAggregates: number
  /** They belong to a track beyond `maxTracks`. */
  readonly trackLimit: number
  /** Sequence headers beyond `maxHeaderBytes`, and the frames that would have needed them. */
  readonly headerLimit: number
  /** Metadata beyond `maxMetadataBytes`. */
  readonly metadataLimit: number
  /** Frames of a codec with sequence headers, before the first one. */
  readonly noHeader: number
  /** Inter frames before the first keyframe of their track. */
  readonly noKeyframe: number
}

/** One audio or video track of the current publisher. */
interface Track {
  readonly kind: "audio" | "video"
  readonly trackId: number
  readonly key: number
  /** Video: the bit by which viewers remember that they wait for a keyframe. Audio: 0. */
  readonly bit: number
  readonly stats: TrackStats.TrackStats
  codec: string
  /** The codec of the last frame, where it was another one and did not count yet. */
  strayCodec: string
  needsHeader: boolean
  hasHeader: boolean
  /** Its last header did not fit: its frames are worth nothing. */
  refused: boolean
  /** Video: a keyframe came. */
  started: boolean
  /** The codec has changed, and no message since then was relayed. */
  codecVoid: boolean
}

/** A message that will be relayed, and what the stream's caches have to know of it. */
export interface AcceptedMessage extends PendingMessage {
  /** Tells tracks apart, see `trackKeyOf`; -1 for data. */
  readonly trackKey: number
  /** The track has another codec from here on: its headers and the cache are void. */
  readonly codecChanged: boolean
}

/** Codecs whose frames no player decodes without a sequence header. The others may carry what they need in band. */
const codecsWithHeader: ReadonlySet<string> = new Set(["avc1", "hvc1", "vvc1", "mp4a"])

/** One number for a track among the audio and video tracks of a stream. */
export const trackKeyOf = (kind: "audio" | "video", trackId: number): number =>
  kind === "video" ? trackId : trackId + 256

/** The intake of one stream. Synchronous; it never looks at a clock. */
export class Intake {
  /** The timeline that accepted messages are put on. */
  readonly timeline = Timeline.make()
  readonly #streamKey: string
  readonly #limits: StreamLimits
  readonly #headers: HeaderCache
  readonly #classify: typeof MediaFrame.classify
  readonly #emit: Emit
  #tracks = new Map<number, Track>()
  #pendingHeaderBytes = 0
  #undecodable = 0
  #trackLimit = 0
  #headerLimit = 0
  #metadataLimit = 0
  #noHeader = 0
  #noKeyframe = 0
  #eventSecond = Number.NaN
  #eventsInSecond = 0
  #suppressedEvents = 0

  /** `headers` are those that joiners get: the owner fills them, and their size counts here. */
  constructor(
    streamKey: string,
    limits: StreamLimits,
    headers: HeaderCache,
    classify: typeof MediaFrame.classify,
    emit: Emit
  ) {
    const { maxTracks } = limits
    if (!(Number.isInteger(maxTracks) && maxTracks >= 1 && maxTracks <= 32)) {
      throw new RangeError(`maxTracks must be 1 to 32, not ${maxTracks}`)
    }
    this.#streamKey = streamKey
    this.#limits = limits
    this.#headers = headers
    this.#classify = classify
    this.#emit = emit
  }

  /** Events that were held back by `mayEmit`. */
  get suppressedEvents(): number {
    return this.#suppressedEvents
  }

  /** A publisher starts: its tracks are unknown, and its timestamps start anew. */
  beginSession(): void {
    this.#tracks = new Map()
    this.timeline.beginSession()
  }

  /** Inter frames of all tracks are dropped until the next keyframe of their track. Headers stay known. */
  awaitKeyframes(): void {
    for (const track of this.#tracks.values()) track.started = false
  }

  /** Everything accepted so far has reached the caches. */
  flushed(): void {
    this.#pendingHeaderBytes = 0
  }

  /** Whether a track is one of those that are relayed. */
  hasTrack(kind: "audio" | "video", trackId: number): boolean {
    return this.#tracks.has(trackKeyOf(kind, trackId))
  }

  /** What was dropped since the stream was made, aggregates left out. */
  drops(): Omit<PublishDrops, "truncatedAggregates"> {
    return {
      undecodable: this.#undecodable,
      trackLimit: this.#trackLimit,
      headerLimit: this.#headerLimit,
      metadataLimit: this.#metadataLimit,
      noHeader: this.#noHeader,
      noKeyframe: this.#noKeyframe
    }
  }

  /** The tracks of the current publisher, with rates over the seconds before `nowMs`. */
  tracks(nowMs: number): ReadonlyArray<TrackStats.TrackStatistics> {
    return Array.from(this.#tracks.values(), (track) => track.stats.snapshot(nowMs, track))
  }

  /**
   * Looks at one message (not an aggregate). Gives what is to be relayed, with the stream's own timestamp, or tells that
   * the publisher takes its metadata back; `undefined` where the message is dropped, and counted.
   */
  accept(
    typeId: number,
    timestamp: number,
    payload: Uint8Array,
    nowMs: number
  ): AcceptedMessage | "MetadataTakenBack" | undefined {
    const frame = this.#classify(typeId, payload)
    if (frame.role === "Undecodable") {
      this.#undecodable++
      return undefined
    }
    if (frame.kind === "data") return this.#acceptData(frame, typeId, timestamp, payload, nowMs)
    const track = this.#track(frame.kind, frame.trackId)
    if (track === undefined) {
      this.#trackLimit++
      return undefined
    }
    const isFrame = frame.role === "Frame" || frame.role === "Keyframe"
    if (frame.codec !== "" && frame.codec !== track.codec) {
      if (frame.role !== "SequenceHeader" && this.#isStray(track, frame.codec, isFrame)) return undefined
      this.#changeCodec(track, frame.codec, nowMs)
    }
    track.strayCodec = ""
    if (isFrame) {
      if (!this.#admitsFrame(track, frame.role === "Keyframe")) return undefined
    } else if (frame.cacheKey !== "" && !this.#admitsHeader(frame, typeId, payload, nowMs)) return undefined
    const relayed = this.timeline.relay(timestamp, isFrame)
    if (isFrame) {
      const stepMs = track.stats.countFrame(payload.length, relayed, frame.role === "Keyframe", nowMs)
      if (stepMs !== 0 && this.mayEmit(nowMs)) {
        const { kind, trackId } = track
        this.#emit({ _tag: "Gap", streamKey: this.#streamKey, atMs: nowMs, kind, trackId, stepMs })
      }
    } else track.stats.countBytes(payload.length, nowMs)
    const codecChanged = track.codecVoid
    track.codecVoid = false
    return this.#accepted(frame, typeId, relayed, payload, track.key, track.bit, codecChanged, nowMs)
  }

  #acceptData(
    frame: MediaFrame.MediaFrame,
    typeId: number,
    timestamp: number,
    payload: Uint8Array,
    nowMs: number
  ): AcceptedMessage | "MetadataTakenBack" | undefined {
    if (frame.role === "Command") {
      // The publisher takes its metadata back: a matter between it and us.
      return "MetadataTakenBack"
    }
    const body = Metadata.body(typeId, payload) ?? payload
    if (frame.role === "Metadata" && body.length > this.#limits.maxMetadataBytes) {
      this.#metadataLimit++
      return undefined
    }
    return this.#accepted(frame, Message.DATA_AMF0, this.timeline.relay(timestamp, false), body, -1, 0, false, nowMs)
  }

  /** Whether a publisher's media may cause another event in this second. */
  mayEmit(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1_000)
    if (second !== this.#eventSecond) {
      this.#eventSecond = second
      this.#eventsInSecond = 0
    }
    if (this.#eventsInSecond < this.#limits.maxMediaEventsPerSecond) {
      this.#eventsInSecond++
      return true
    }
    this.#suppressedEvents++
    return false
  }

  #track(kind: "audio" | "video", trackId: number): Track | undefined {
    const key = trackKeyOf(kind, trackId)
    let track = this.#tracks.get(key)
    if (track === undefined && this.#tracks.size < this.#limits.maxTracks) {
      track = {
        kind,
        trackId,
        key,
        bit: kind === "video" ? 1 << this.#tracks.size : 0,
        stats: TrackStats.make(),
        codec: "",
        strayCodec: "",
        needsHeader: false,
        hasHeader: false,
        refused: false,
        started: false,
        codecVoid: false
      }
      this.#tracks.set(key, track)
    }
    return track
  }

  /**
   * Whether a message is one of another codec in the middle of a track. There are players that it would stop, and all of them
   * would lose the track, as its header comes once. A codec changes with its header, or where it has none with the second
   * frame of it in a row.
   */
  #isStray(track: Track, codec: string, isFrame: boolean): boolean {
    if (track.codec === "" || (isFrame && track.strayCodec === codec && !codecsWithHeader.has(codec))) return false
    track.strayCodec = codec
    if (codecsWithHeader.has(codec)) this.#noHeader++
    else this.#undecodable++
    return true
  }

  #changeCodec(track: Track, codec: string, nowMs: number): void {
    track.codecVoid = track.codec !== ""
    track.codec = codec
    track.needsHeader = codecsWithHeader.has(codec)
    track.hasHeader = false
    track.refused = false
    track.started = false
    if (!this.mayEmit(nowMs)) return
    const { kind, trackId } = track
    this.#emit({ _tag: "CodecChanged", streamKey: this.#streamKey, atMs: nowMs, kind, trackId, codec })
  }

  #admitsFrame(track: Track, keyframe: boolean): boolean {
    if (track.refused) {
      this.#headerLimit++
      return false
    }
    if (track.needsHeader && !track.hasHeader) {
      this.#noHeader++
      return false
    }
    if (track.kind === "video" && !track.started) {
      if (!keyframe) {
        this.#noKeyframe++
        return false
      }
      track.started = true
    }
    return true
  }

  /** Whether what must be kept for joiners fits; a message of several tracks passes or fails as a whole. */
  #admitsHeader(frame: MediaFrame.MediaFrame, typeId: number, payload: Uint8Array, nowMs: number): boolean {
    const parts = MediaFrame.splitTracks(typeId, payload)
    const frames = parts.length === 1 ? [frame] : parts.map((part) => this.#classify(typeId, part))
    let added = 0
    let replaced = 0
    for (const part of parts) added += part.length
    for (const { cacheKey } of frames) replaced += this.#headers.bytesOf(cacheKey)
    const fits = this.#headers.bytes + this.#pendingHeaderBytes + added - replaced <= this.#limits.maxHeaderBytes
    for (const { codec, kind, role, trackId } of frames) {
      const track = kind === "data" ? undefined : this.#track(kind, trackId)
      if (track === undefined || role !== "SequenceHeader") continue
      if (track.codec !== codec) this.#changeCodec(track, codec, nowMs)
      track.hasHeader = fits
      track.refused = !fits
    }
    if (fits) this.#pendingHeaderBytes += added
    else this.#headerLimit++
    return fits
  }

  #accepted(
    frame: MediaFrame.MediaFrame,
    typeId: number,
    timestamp: number,
    payload: Uint8Array,
    trackKey: number,
    trackBit: number,
    codecChanged: boolean,
    nowMs: number
  ): AcceptedMessage {
    return {
      kind: frame.kind,
      role: frame.role,
      cacheKey: frame.cacheKey,
      typeId,
      timestamp,
      trackKey,
      trackBit,
      codecChanged,
      clockMs: this.timeline.clockMs,
      receivedAtMs: nowMs,
      payload
    }
  }
}
