/**
 * One live stream: takes the messages of its publisher, and hands them to its viewers in shared batches.
 *
 * `publish` looks at a message just far enough to know what it is (keyframe? header? which track?), drops what would kill
 * a player, and notes the rest. `flush` encodes everything that was noted once, brings the caches up to date, and gives
 * the same bytes to every viewer. Nothing here waits, and nothing here knows the time: it comes in with every call, and
 * when to flush is the business of whoever is told that the stream is dirty.
 *
 * What viewers can rely on:
 *
 * - Metadata and the newest sequence headers come before frames; a codec that cannot do without a header has its frames
 *   dropped until the header came.
 * - The first frame of a video track is a keyframe, for a joiner and after a publisher came back.
 * - Timestamps are the publisher's own, modulo 2^32, for its first session. When a publisher comes back, or another one
 *   takes over, its timestamps are shifted to continue where the last session ended.
 *
 * **Gotchas**
 *
 * - Payloads are read once more in `flush`, and must not change until then.
 * - Caches follow `flush`, not `publish`: a viewer who joins in between gets the caches of the last flush, and then the
 *   next batch whole.
 * - Sinks are called from `flush`, and may leave, join and publish from there.
 * - A frame message of several tracks (E-RTMP v2, ManyTracks) counts as one of its first track; a header message of
 *   several tracks is relayed as it is and cached by track.
 */

import * as MediaFrame from "../media/MediaFrame.ts"
import * as Aggregate from "../protocol/Aggregate.ts"
import * as Message from "../protocol/Message.ts"
import * as Batch from "./Batch.ts"
import { BitrateGuard } from "./BitrateGuard.ts"
import * as GopCache from "./GopCache.ts"
import * as HeaderCache from "./HeaderCache.ts"
import { type AcceptedMessage, Intake, type PublishDrops, trackKeyOf } from "./Intake.ts"
import { defaultLiveOptions, type LiveOptions } from "./LiveOptions.ts"
import {
  BlockedViewers,
  type EndReason,
  Outbox,
  type OutboxOwner,
  type OverflowReason,
  type ViewerSink
} from "./Outbox.ts"
import { Snapshot } from "./Snapshot.ts"
import * as StreamEvents from "./StreamEvents.ts"
import type { TrackStatistics } from "./TrackStats.ts"
import type { BatchLanes } from "./ViewerSink.ts"

/** A snapshot of a stream. */
export interface LiveStreamStatistics {
  /** The stream, as `app/name`. */
  readonly key: string
  /** The id of the stream within its registry; never used twice. */
  readonly id: number
  /** How many publishers it has had. */
  readonly sessions: number
  /** Whether viewers were told that no media comes. */
  readonly dry: boolean
  /** Viewers now. */
  readonly viewers: number
  /** The most viewers at a time. */
  readonly viewersPeak: number
  /** Messages accepted. */
  readonly messages: number
  /** Their payload bytes. */
  readonly bytes: number
  /** Batches encoded. */
  readonly flushes: number
  /** What was dropped on the way in. */
  readonly drops: PublishDrops
  /** Events that a publisher's media caused and that were held back by their rate limit. */
  readonly suppressedEvents: number
  /** The size of the current metadata; 0 where there is none. */
  readonly metadataBytes: number
  /** Bytes of the sequence headers kept for joiners. */
  readonly headerBytes: number
  /** How full the join cache is. */
  readonly gop: GopCache.GopStatistics
  /** One entry per track of the current publisher. */
  readonly tracks: ReadonlyArray<TrackStatistics>
}

/** What a stream is made with. Everything has a default, so that a stream can be used without a registry. */
export interface LiveStreamConfig {
  /** The numbers; `defaultLiveOptions` where left out. */
  readonly options?: LiveOptions
  /** The id; 0 where left out. */
  readonly id?: number
  /** Who hears of events. */
  readonly emit?: StreamEvents.Emit
  /** Called once when the first message after a flush arrived: flush soon. */
  readonly onDirty?: (stream: LiveStream) => void
  /** Called after a viewer is gone. */
  readonly onReleased?: (stream: LiveStream, nowMs: number) => void
  /** The classifier; a custom server may know more codecs. */
  readonly classify?: typeof MediaFrame.classify
  /** Blocked viewers in the order of their last progress; streams of one registry share one set. */
  readonly blocked?: BlockedViewers
}

const ignore = () => {}

// The lane of a viewer that has none, or is not on the fast path.
const noLane = -1

/** A live stream. Made by `make`, or by a `StreamRegistry`. */
export class LiveStream implements OutboxOwner {
  /** The stream, as `app/name`. */
  readonly key: string
  /** The id of the stream within its registry; never used twice. */
  readonly id: number
  /** The numbers that it was made with. */
  readonly options: LiveOptions
  readonly #emit: StreamEvents.Emit
  readonly #onDirty: (stream: LiveStream) => void
  readonly #onReleased: (stream: LiveStream, nowMs: number) => void
  readonly #classify: typeof MediaFrame.classify
  readonly #intake: Intake
  readonly #blocked: BlockedViewers
  readonly #bitrate: BitrateGuard

  #pending: Array<AcceptedMessage> = []
  #pendingBytes = 0
  /** Metadata in front of this place in `#pending` was taken back by the publisher; -1 where none was. */
  #metadataClearedAt = -1

  #viewers: Array<Outbox | undefined> = []
  /** Beside the viewers: the lanes of those who are on the fast path, so that the fan-out loop touches no viewer for them. */
  readonly #lanes: Array<BatchLanes | undefined> = []
  readonly #laneOf: Array<number> = []
  #viewerCount = 0
  #viewersPeak = 0
  #nextViewerId = 1
  #delivering = false
  /** All batches, and the one that is being delivered: to the viewers up to this place, to those before this count. */
  #sharedBytes = 0
  #sharedFrames = 0
  #batchBytes = 0
  #batchFrames = 0
  #deliveredTo = 0
  #deliveredBelow = 0
  #holes = false
  #flushAgain = false

  readonly #gop: GopCache.GopCache
  readonly #headers = HeaderCache.make()
  #snapshot: Snapshot | undefined

  /** Video tracks whose first keyframe was flushed, and the one whose keyframes begin a group of pictures. */
  #videoTracks = 0
  #leadTrack = 0

  #sessions = 0
  #dry = false
  #messages = 0
  #bytes = 0
  #flushes = 0
  #truncatedAggregates = 0

  constructor(key: string, config: LiveStreamConfig = {}) {
    const options = config.options ?? defaultLiveOptions
    this.key = key
    this.id = config.id ?? 0
    this.options = options
    this.#emit = config.emit ?? StreamEvents.discard
    this.#onDirty = config.onDirty ?? ignore
    this.#onReleased = config.onReleased ?? ignore
    this.#classify = config.classify ?? MediaFrame.classify
    this.#blocked = config.blocked ?? new BlockedViewers()
    this.#intake = new Intake(key, options.limits, this.#headers, this.#classify, this.#emit)
    this.#gop = GopCache.make(options.gop)
    this.#bitrate = new BitrateGuard(options.limits.publishBitsPerSecond)
  }

  /** Viewers now, those included that are only still given what waits for them. */
  get viewers(): number {
    return this.#viewerCount
  }

  /** Whether viewers were told that no media comes. */
  get dry(): boolean {
    return this.#dry
  }

  /** Messages that wait for a flush. */
  get pending(): number {
    return this.#pending.length
  }

  /** When the oldest message that waits for a flush arrived; `undefined` where none waits. */
  get pendingSinceMs(): number | undefined {
    return this.#pending[0]?.receivedAtMs
  }

  /** Video tracks, as bits, that have started. */
  videoTracks(): number {
    return this.#videoTracks
  }

  /**
   * Takes a message of the publisher. Gives back whether any of it is relayed: aggregates are split, undecodable and
   * premature messages are dropped and counted. Other message types than media are our own misuse and throw.
   */
  publish(message: Message.Message, nowMs: number): boolean {
    const bitsPerSecond = this.#bitrate.add(message.payload.length, nowMs)
    if (bitsPerSecond > 0) {
      const limitBitsPerSecond = this.options.limits.publishBitsPerSecond
      this.#emit({ _tag: "BitrateExceeded", streamKey: this.key, atMs: nowMs, bitsPerSecond, limitBitsPerSecond })
    }
    if (message.typeId !== Message.AGGREGATE) {
      if (!Message.isMedia(message.typeId)) throw new RangeError(`message type ${message.typeId} is not media`)
      return this.#accept(message.typeId, message.timestamp, message.payload, nowMs)
    }
    const { messages, truncated } = Aggregate.split(message)
    if (truncated) this.#truncatedAggregates++
    let accepted = false
    for (const { payload, timestamp, typeId } of messages) {
      if (this.#accept(typeId, timestamp, payload, nowMs)) accepted = true
    }
    return accepted
  }

  /** Encodes what was published since the last flush, once, and hands it to every viewer. */
  flush(nowMs: number): void {
    if (this.#delivering) {
      this.#flushAgain = true
      return
    }
    do {
      this.#flushAgain = false
      const pending = this.#pending
      const clearedAt = this.#metadataClearedAt
      this.#pending = []
      this.#pendingBytes = 0
      this.#intake.flushed()
      this.#metadataClearedAt = -1
      if (clearedAt >= 0) {
        this.#headers.clearMetadata()
        this.#snapshot = undefined
      }
      if (pending.length === 0) return
      this.#flushes++
      const batch = Batch.encode(pending, this.options.chunkSize)
      for (let i = 0; i < pending.length; i++) this.#remember(pending[i]!, batch.records[i]!, i < clearedAt, nowMs)
      if (this.#snapshot?.isCurrent(this.#joinTimestamp()) === false) this.#snapshot = undefined
      this.#deliver(batch, nowMs)
    } while (this.#flushAgain)
  }

  /** Adds a viewer: it is started and given the caches at once, then every batch. */
  join(sink: ViewerSink, nowMs: number, messageStreamId: number = Batch.SHARED_MESSAGE_STREAM_ID): Outbox {
    const outbox = new Outbox(this.#nextViewerId++, sink, messageStreamId, this.options.outbox, this.#blocked, this)
    this.attach(outbox, nowMs)
    return outbox
  }

  /** Adds a viewer that was made elsewhere, and waited. */
  attach(outbox: Outbox, nowMs: number): void {
    if (outbox.ended) return
    outbox.adopt(this)
    outbox.index = this.#viewers.length
    this.#viewers.push(outbox)
    this.#lanes.push(outbox.sink.lane?.lanes)
    this.#laneOf.push(noLane)
    this.#viewerCount++
    this.#viewersPeak = Math.max(this.#viewersPeak, this.#viewerCount)
    this.#emit({
      _tag: "SubscriberJoined",
      streamKey: this.key,
      atMs: nowMs,
      viewerId: outbox.id,
      viewers: this.#viewerCount
    })
    const snapshot = this.#currentSnapshot()
    outbox.start(outbox.filtered ? snapshot.headersOnly() : snapshot, nowMs)
    if (this.#dry) outbox.dry(nowMs)
  }

  /**
   * Begins the session of a publisher: the first, one that comes back, or one that takes over. What the session before
   * it left behind is flushed to the viewers, and its headers, metadata and frames are forgotten.
   */
  beginSession(nowMs: number): void {
    try {
      this.flush(nowMs)
    } finally {
      this.#sessions++
      this.#intake.beginSession()
      this.#forget()
    }
  }

  /** Tells the viewers that no media comes for now. */
  markDry(nowMs: number): void {
    if (this.#dry) return
    try {
      this.flush(nowMs)
    } finally {
      this.#dry = true
      this.#forEach((viewer) => viewer.dry(nowMs), nowMs)
    }
  }

  /** Tells the viewers that media comes again. */
  markResumed(nowMs: number): void {
    if (!this.#dry) return
    this.#dry = false
    this.#forEach((viewer) => viewer.resume(nowMs), nowMs)
  }

  /** Ends the stream: flushes, and ends every viewer once it has got what waits for it. */
  end(reason: EndReason, nowMs: number): void {
    try {
      this.flush(nowMs)
    } finally {
      this.#forget()
      this.#forEach((viewer) => viewer.end(reason, nowMs), nowMs)
    }
  }

  /**
   * Ends every viewer as `end` does, while the publisher stays: its headers and metadata are kept for viewers to come, as
   * it sends them once, and each of its video tracks goes on with a keyframe.
   */
  endViewers(reason: EndReason, nowMs: number): void {
    try {
      this.flush(nowMs)
    } finally {
      this.#intake.awaitKeyframes()
      this.#videoTracks = 0
      this.#leadTrack = 0
      this.#gop.clear()
      this.#snapshot = undefined
      this.#forEach((viewer) => viewer.end(reason, nowMs), nowMs)
    }
  }

  /** Removes viewers whose sockets have been full for too long. A registry does this for all its streams. */
  tick(nowMs: number): void {
    this.#blocked.removeStalled(nowMs)
  }

  /** When `tick` has something to do; `undefined` where it has not. */
  nextDeadlineMs(): number | undefined {
    return this.#blocked.nextStallMs()
  }

  /** Bytes of the batches so far; without the one that is being delivered where it has not come to this viewer yet. */
  sharedBytes(viewer: Outbox): number {
    return this.#sharedBytes - (this.#isAhead(viewer) ? this.#batchBytes : 0)
  }

  /** Frames of the batches so far; see `sharedBytes`. */
  sharedFrames(viewer: Outbox): number {
    return this.#sharedFrames - (this.#isAhead(viewer) ? this.#batchFrames : 0)
  }

  /** A viewer came on the fast path, or left it. Called by the viewer itself. */
  fastChanged({ fast, index, sink }: Outbox): void {
    this.#laneOf[index] = fast ? (sink.lane?.lane ?? noLane) : noLane
  }

  /** A viewer is gone. Called by the viewer itself. */
  released(outbox: Outbox, nowMs: number, reason: EndReason | OverflowReason | "Left"): void {
    if (this.#delivering) {
      // The list is being walked: leave a hole, and close it afterwards.
      this.#viewers[outbox.index] = undefined
      this.#laneOf[outbox.index] = noLane
      this.#holes = true
    } else {
      const last = this.#viewers.pop()!
      const lanes = this.#lanes.pop()
      const lane = this.#laneOf.pop()!
      if (last !== outbox) {
        this.#viewers[outbox.index] = last
        this.#lanes[outbox.index] = lanes
        this.#laneOf[outbox.index] = lane
        last.index = outbox.index
      }
    }
    outbox.index = -1
    this.#viewerCount--
    this.#emit({
      _tag: "SubscriberLeft",
      streamKey: this.key,
      atMs: nowMs,
      viewerId: outbox.id,
      viewers: this.#viewerCount,
      reason
    })
    this.#onReleased(this, nowMs)
  }

  /** The newest metadata and sequence headers, at timestamp 0: for statistics and pages. */
  headers(): ReadonlyArray<Batch.EncodableMessage> {
    return this.#headers.messages(0)
  }

  /** What the stream does, with rates over the seconds before `nowMs`. */
  statistics(nowMs: number): LiveStreamStatistics {
    return {
      key: this.key,
      id: this.id,
      sessions: this.#sessions,
      dry: this.#dry,
      viewers: this.#viewerCount,
      viewersPeak: this.#viewersPeak,
      messages: this.#messages,
      bytes: this.#bytes,
      flushes: this.#flushes,
      drops: {
        truncatedAggregates: this.#truncatedAggregates,
        ...this.#intake.drops()
      },
      suppressedEvents: this.#intake.suppressedEvents,
      metadataBytes: this.#headers.metadataBytes,
      headerBytes: this.#headers.bytes,
      gop: this.#gop.statistics(),
      tracks: this.#intake.tracks(nowMs)
    }
  }

  #accept(typeId: number, timestamp: number, payload: Uint8Array, nowMs: number): boolean {
    const message = this.#intake.accept(typeId, timestamp, payload, nowMs)
    if (message === undefined) return false
    const { maxPendingBytes, maxPendingMessages } = this.options.limits
    const pending = this.#pending
    if (message === "MetadataTakenBack") {
      this.#metadataClearedAt = pending.length
      return true
    }
    pending.push(message)
    this.#pendingBytes += payload.length
    this.#messages++
    this.#bytes += payload.length
    if (this.#pendingBytes > maxPendingBytes || pending.length >= maxPendingMessages) this.flush(nowMs)
    else if (pending.length === 1) this.#onDirty(this)
    return true
  }

  /** Brings the caches up to date with one encoded message. */
  #remember(message: AcceptedMessage, record: Batch.MediaRecord, takenBack: boolean, nowMs: number): void {
    if (message.codecChanged) {
      this.#headers.clearTrack(message.trackKey)
      this.#gop.clear()
      this.#snapshot = undefined
    }
    if (message.cacheKey !== "") {
      if (message.kind === "data") {
        if (!takenBack) this.#rememberMetadata(message, nowMs)
      } else this.#rememberHeader(message)
      return
    }
    if (!GopCache.accepts(record)) return
    let startsGroup = false
    if (record.role === "Keyframe") {
      this.#videoTracks |= record.trackBit
      // Another track takes the lead only where the cache would stay empty without it.
      if (this.#leadTrack === 0 || this.#gop.length === 0) this.#leadTrack = record.trackBit
      startsGroup = record.trackBit === this.#leadTrack
    }
    this.#gop.add(record, startsGroup)
  }

  #rememberMetadata(message: AcceptedMessage, nowMs: number): void {
    if (!this.#headers.setMetadata(message.typeId, message.payload)) return
    this.#snapshot = undefined
    if (!this.#intake.mayEmit(nowMs)) return
    this.#emit({ _tag: "MetadataChanged", streamKey: this.key, atMs: nowMs, bytes: message.payload.length })
  }

  #rememberHeader(message: AcceptedMessage): void {
    for (const part of MediaFrame.splitTracks(message.typeId, message.payload)) {
      const { cacheKey, kind, role, trackId } = this.#classify(message.typeId, part)
      // Of several tracks, those beyond the limit are relayed with the others, but not kept.
      if (kind === "data" || cacheKey === "" || !this.#intake.hasTrack(kind, trackId)) continue
      const trackKey = trackKeyOf(kind, trackId)
      const change = this.#headers.set(cacheKey, kind, trackKey, message.typeId, part)
      if (change === "Same") continue
      this.#snapshot = undefined
      // What is cached needs the old header, which a joiner will not get.
      if (change === "Changed" && role === "SequenceHeader") this.#gop.clear()
    }
  }

  #forget(): void {
    this.#videoTracks = 0
    this.#leadTrack = 0
    this.#headers.clear()
    this.#gop.reset()
    this.#snapshot = undefined
  }

  #joinTimestamp(): number {
    return this.#gop.at(0)?.timestamp ?? this.#intake.timeline.newest ?? 0
  }

  #currentSnapshot(): Snapshot {
    const timestamp = this.#joinTimestamp()
    if (this.#snapshot?.isCurrent(timestamp) !== true) {
      this.#snapshot = new Snapshot(this.#gop, this.#headers.messages(timestamp), timestamp, this.options.chunkSize)
    }
    this.#snapshot.update(this.#videoTracks)
    return this.#snapshot
  }

  #deliver(batch: Batch.Batch, nowMs: number): void {
    const viewers = this.#viewers
    const lanes = this.#lanes
    const laneOf = this.#laneOf
    // Who joins from a sink's callback has the batch from the caches already.
    const count = viewers.length
    const { bytes, frames } = batch
    const length = bytes.length
    let readdressed: Batch.Readdressed | undefined
    this.#delivering = true
    this.#sharedBytes += length
    this.#sharedFrames += frames
    this.#batchBytes = length
    this.#batchFrames = frames
    this.#deliveredBelow = count
    try {
      for (let i = 0; i < count; i++) {
        const lane = laneOf[i]!
        const taken = lane === noLane ? noLane : lanes[i]!.write(lane, bytes)
        if (taken === length) continue
        const viewer = viewers[i]
        if (viewer === undefined) continue
        this.#deliveredTo = i
        if (viewer.fast) {
          let more = true
          try {
            more = viewer.writeBatch(taken > 0 ? bytes.subarray(taken) : bytes)
          } catch {
            viewer.overflow("SinkFailed", nowMs)
          }
          if (!more) viewer.full(nowMs)
        } else {
          readdressed ??= new Batch.Readdressed(batch)
          viewer.deliver(batch, readdressed, nowMs)
        }
      }
    } finally {
      this.#delivering = false
      this.#deliveredBelow = 0
      if (this.#holes) this.#compact()
    }
  }

  /** Whether the batch that is being delivered has yet to come to this viewer. */
  #isAhead({ index }: Outbox): boolean {
    return index > this.#deliveredTo && index < this.#deliveredBelow
  }

  #forEach(notify: (viewer: Outbox) => void, nowMs: number): void {
    const nested = this.#delivering
    const viewers = this.#viewers
    const count = viewers.length
    const defects: Array<unknown> = []
    this.#delivering = true
    for (let i = 0; i < count; i++) {
      const viewer = viewers[i]
      if (viewer === undefined) continue
      try {
        notify(viewer)
      } catch (defect) {
        // One of a custom server, say. The others are told first.
        defects.push(defect)
      }
    }
    if (!nested) {
      this.#delivering = false
      if (this.#holes) this.#compact()
      if (this.#flushAgain) this.flush(nowMs)
    }
    if (defects.length > 0) throw defects[0]
  }

  #compact(): void {
    const viewers = this.#viewers
    let kept = 0
    for (let i = 0; i < viewers.length; i++) {
      const viewer = viewers[i]
      if (viewer === undefined) continue
      viewer.index = kept
      this.#lanes[kept] = this.#lanes[i]
      this.#laneOf[kept] = this.#laneOf[i]!
      viewers[kept++] = viewer
    }
    viewers.length = kept
    this.#lanes.length = kept
    this.#laneOf.length = kept
    this.#holes = false
  }
}

/** Makes a stream without viewers. Call `beginSession` when its first publisher is there. */
export const make = (key: string, config?: LiveStreamConfig): LiveStream => new LiveStream(key, config)
