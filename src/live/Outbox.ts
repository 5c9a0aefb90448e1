/**
 * One viewer of a live stream: what it is sent, what waits for it while its socket is full, and what it loses then.
 *
 * A viewer whose socket keeps up, who filters nothing and waits for no keyframe, costs one `write` of the shared batch
 * per flush and nothing else. Everybody else goes record by record. While the socket is full, records wait in a queue of
 * references into the shared batches:
 *
 * - Where the queue reaches over more than `maxDelayMs` of media or of waiting, inter frames are dropped from its old
 *   end up to a later keyframe, down to half that delay, so that a drop happens rarely and then gives room to recover.
 *   Keyframes, sequence headers, audio and data stay, in order; an inter frame never follows a dropped keyframe or inter
 *   frame of its track.
 * - Past `maxBytes` or `maxRecords` all waiting inter frames go; where half the bound is still taken, the viewer is
 *   removed (`"Full"`). Bytes are those that the queue keeps alive: a batch counts whole as long as one of its records
 *   waits. Records that are less than half of their batch are moved to memory of their own.
 * - A socket that does not drain within `stallTimeoutMs`, or a record that waits longer than `maxDelayMs` and
 *   `stallTimeoutMs` together (a reader of one byte per second makes "some progress"), removes the viewer (`"Stalled"`).
 *
 * Messages are dropped whole and before the first of their bytes is written: a message that was begun is finished.
 *
 * **Gotchas**
 *
 * - Sinks may call back into their viewer (`leave`, say) from any notification.
 * - Sequence headers and metadata pass every filter, so that a viewer who lifts one later can decode what it gets.
 */
import type { Batch, MediaRecord, Run } from "./Batch.ts"
import { concatRecords, isFrame, type Readdressed, readdress, repack, SHARED_MESSAGE_STREAM_ID } from "./Batch.ts"
import type { BlockedViewers } from "./BlockedViewers.ts"
import type { OutboxOptions } from "./LiveOptions.ts"
import { RecordQueue } from "./RecordQueue.ts"
import type { DropReport, EndReason, OutboxStatistics, OverflowReason, ViewerSink } from "./ViewerSink.ts"

export { BlockedViewers } from "./BlockedViewers.ts"
export type { DropReport, EndReason, OutboxStatistics, OverflowReason, ViewerSink } from "./ViewerSink.ts"

/** Who keeps a viewer, and must hear when it goes. */
export interface OutboxOwner {
  /** The viewer is gone for good; called exactly once for every viewer of this owner. */
  readonly released: (outbox: Outbox, nowMs: number, reason: EndReason | OverflowReason | "Left") => void
  /** Video tracks (as bits) that have started: what a viewer who switches video on again has to wait for. */
  readonly videoTracks: () => number
  /** Bytes and frames of the batches that its viewers were given unseen, up to the last one that this viewer got. */
  readonly sharedBytes: (viewer: Outbox) => number
  readonly sharedFrames: (viewer: Outbox) => number
  /** The viewer is, or is not any more, one whose next batch can be handed over unseen. */
  readonly fastChanged: (viewer: Outbox) => void
}

/** What a joiner is given before the live batches. */
export interface Prologue {
  /** Headers, metadata and cached frames, in order; shared with other joiners. */
  readonly runs: ReadonlyArray<Run>
  /** Video tracks (as bits) that are not in it, and start at their next keyframe. */
  readonly waiting: number
}

const reportIntervalMs = 1_000

const noRuns: ReadonlyArray<Run> = []

/** What a joiner is given in one turn: enough for a picture of most streams, little enough for hundreds of joiners. */
const pieceBytes = 64 * 1024

// Headers and a keyframe, and little more: a picture for everybody before a group of pictures for anybody.
const firstPieceBytes = 8 * 1024

// What is so large is written from where it lies, for all viewers: many that catch up at once would have a copy each.
const uncopiedBytes = 8 * 1024

/** A viewer. Made by `StreamRegistry.subscribe` or `LiveStream.join`; time comes in with every call. */
export class Outbox {
  /** Tells viewers of one registry apart. */
  readonly id: number
  /** The message stream id that the viewer's messages carry. */
  readonly messageStreamId: number
  /** Whether the next batch can be handed over unseen: in its lane, where it has one. Written here only. */
  fast = false
  /** The place in the owner's list of viewers. Written by the owner only; -1 where there is none. */
  index = -1
  /** Where everything else is written, and who is told. */
  readonly sink: ViewerSink

  /** What was handed to the sink, without the batches since the viewer is fast: those are counted once for all. */
  #bytes = 0
  #frames = 0
  #fastSinceBytes = 0
  #fastSinceFrames = 0

  readonly #options: OutboxOptions
  /** Blocked viewers in the order of their last progress, shared by all viewers of a registry. */
  readonly #blockedViewers: BlockedViewers
  readonly #queue = new RecordQueue()
  #owner: OutboxOwner | undefined
  #joinedAtMs: number | undefined
  #dry = false
  #ended = false
  #ending: EndReason | undefined
  #blocked = false
  #lastProgressMs = 0
  #prologue = noRuns
  /** The next run of the prologue, and the next message in it. */
  #prologueNext = 0
  #prologueMessage = 0
  #queuedBytes = 0
  /** The bytes of the batches that the queue keeps alive. */
  #heldBytes = 0
  #queuedInter = 0
  /** No waiting inter frame is older than this, on either clock. */
  #interFloorClockMs = 0
  #interFloorAtMs = 0
  /** Video tracks that wait for a keyframe, and those of them that lost a frame. */
  #waiting = 0
  #orphaned = 0
  #audio = true
  #video = true
  #paused = false
  #late = 0
  #full = 0
  #orphans = 0
  #reported = 0
  #reportedLate = 0
  #reportedFull = 0
  #reportedOrphans = 0
  #reportedAtMs = Number.NEGATIVE_INFINITY

  constructor(
    id: number,
    sink: ViewerSink,
    messageStreamId: number,
    options: OutboxOptions,
    blockedViewers: BlockedViewers,
    owner: OutboxOwner
  ) {
    this.id = id
    this.sink = sink
    this.messageStreamId = messageStreamId
    this.#options = options
    this.#blockedViewers = blockedViewers
    this.#owner = owner
  }

  /** Encoded bytes handed to the sink. */
  get bytes(): number {
    return this.#bytes + (this.fast ? (this.#owner?.sharedBytes(this) ?? 0) - this.#fastSinceBytes : 0)
  }

  /** Audio and video frames handed to the sink. */
  get frames(): number {
    return this.#frames + (this.fast ? (this.#owner?.sharedFrames(this) ?? 0) - this.#fastSinceFrames : 0)
  }

  /** Whether the socket is full. */
  get blocked(): boolean {
    return this.#blocked
  }

  /** Whether the viewer was started by a stream. */
  get started(): boolean {
    return this.#joinedAtMs !== undefined
  }

  /** Whether the viewer is gone. */
  get ended(): boolean {
    return this.#ended
  }

  /** Whether the viewer has switched audio or video off, or paused. */
  get filtered(): boolean {
    return !this.#audio || !this.#video || this.#paused
  }

  /** When a full socket becomes a stalled one. */
  get stallsAtMs(): number {
    return this.#lastProgressMs + this.#options.stallTimeoutMs
  }

  /** Milliseconds of media from the oldest to the newest record that waits. */
  get lagMs(): number {
    const first = this.#queue.first()
    const last = this.#queue.last()
    return first === undefined || last === undefined ? 0 : last.clockMs - first.clockMs
  }

  /** Changes who is told of the viewer's end: the registry while it waits, then the stream. */
  adopt(owner: OutboxOwner): void {
    this.#owner = owner
  }

  /** Starts the viewer: notifies the sink and writes what a joiner is given. */
  start(prologue: Prologue, nowMs: number): void {
    if (this.#ended) return
    this.#joinedAtMs = nowMs
    this.#waiting = prologue.waiting
    this.#guard(this.sink.onStart, nowMs)
    if (this.#ended) return
    this.#prologue = prologue.runs
    if (this.#isFull(nowMs)) {
      this.block(nowMs)
      if (this.#blocked && this.sink.whenDrained !== undefined) this.#guard(this.sink.whenDrained, nowMs)
    } else this.#writePrologue(nowMs)
    this.#settle()
  }

  /**
   * Hands a batch to a viewer that is not on the fast path: it filters, waits for a keyframe, has another message stream
   * id or a full socket. `readdressed` is shared by all viewers of the batch.
   */
  deliver(batch: Batch, readdressed: Readdressed, nowMs: number): void {
    if (this.#ended || this.#ending !== undefined) return
    const records = batch.records
    const queued = this.#queue.length
    const queuedBytes = this.#queuedBytes
    let from = -1
    for (let i = 0; i < records.length; i++) {
      const record = records[i]!
      if (this.#wants(record)) {
        if (this.#blocked) this.#enqueue(record)
        else {
          if (from < 0) from = i
          if (isFrame(record)) this.#frames++
        }
      } else if (from >= 0) {
        this.#writeRun(records, readdressed, from, i, nowMs)
        from = -1
        if (this.#ended) return
      }
    }
    if (from >= 0) this.#writeRun(records, readdressed, from, records.length, nowMs)
    if (this.#ended) return
    if (this.#blocked) {
      // Of a viewer who wants audio only, say, not every few bytes may keep a batch alive.
      if (queued < this.#queue.length && (this.#queuedBytes - queuedBytes) * 2 < batch.bytes.byteLength) {
        this.#repack(queued, this.#queue.length)
        this.#heldBytes += this.#queuedBytes - queuedBytes - batch.bytes.byteLength
      }
      this.#enforce(nowMs)
    }
    if (this.#ended) return
    this.#report(nowMs)
    this.#settle()
  }

  /** Writes a whole batch, for the fan-out loop, which calls `full` where it gives back `false`. */
  writeBatch(bytes: Uint8Array): boolean {
    const { sink } = this
    return sink.writeBatch === undefined ? sink.write(bytes) : sink.writeBatch(bytes)
  }

  /** `writeBatch` found the socket full. */
  full(nowMs: number): void {
    this.block(nowMs)
    if (this.#blocked && this.sink.writeBatch !== undefined && this.sink.onFull !== undefined) {
      this.#guard(this.sink.onFull, nowMs)
    }
  }

  /** The socket is full: what comes waits. */
  block(nowMs: number): void {
    if (this.#blocked || this.#ended) return
    this.#blocked = true
    this.#lastProgressMs = nowMs
    this.#blockedViewers.add(this)
    this.#setFast(false)
  }

  /** The socket has drained: writes what waits, merged, until the socket is full again or nothing is left. */
  drained(nowMs: number): void {
    if (!this.#blocked || this.#ended) return
    this.#blocked = false
    this.#blockedViewers.delete(this)
    this.#writePrologue(nowMs)
    while (!this.#blocked && !this.#ended && this.#queue.length > 0) {
      const bytes = this.#takeMerged()
      this.#write(bytes, nowMs)
    }
    if (this.#ended) return
    this.#report(nowMs)
    if (!this.#blocked && this.#ending !== undefined) this.#finish(this.#ending, nowMs)
    else this.#settle()
  }

  /** Leaves the stream: what waits is dropped, and the sink is not called any more. Idempotent. */
  leave(nowMs: number): void {
    if (!this.#ended) this.#release("Left", nowMs)
  }

  /** Switches audio off and on. Switched on, it goes on at once. */
  receiveAudio(wanted: boolean): void {
    this.#audio = wanted
    this.#settle()
  }

  /** Switches video off and on. Switched on, each track goes on at its next keyframe. */
  receiveVideo(wanted: boolean): void {
    if (wanted && !this.#video) this.#awaitKeyframes()
    this.#video = wanted
    this.#settle()
  }

  /** Pauses and resumes audio and video. Resumed, each video track goes on at its next keyframe. */
  pause(paused: boolean): void {
    if (!paused && this.#paused) this.#awaitKeyframes()
    this.#paused = paused
    this.#settle()
  }

  /** Tells the sink that the publisher is away. Does nothing where it knows. */
  dry(nowMs: number): void {
    if (this.#ended || this.#dry) return
    this.#dry = true
    this.#guard(this.sink.onDry, nowMs)
  }

  /** Tells the sink that the publisher is back. Does nothing unless `dry` came before. */
  resume(nowMs: number): void {
    if (this.#ended || !this.#dry) return
    this.#dry = false
    this.#guard(this.sink.onResume, nowMs)
  }

  /**
   * Ends the viewer once everything that waits for it has been written and a full socket has drained. One that does not
   * drain is stalled, as ever.
   */
  end(reason: EndReason, nowMs: number): void {
    if (this.#ended || this.#ending !== undefined) return
    this.#setFast(false)
    if (this.#blocked) this.#ending = reason
    else this.#finish(reason, nowMs)
  }

  /** Removes the viewer at once; the sink is told why. */
  overflow(reason: OverflowReason, nowMs: number): void {
    if (this.#ended) return
    this.#release(reason, nowMs)
    try {
      this.sink.onOverflow(reason)
    } catch {
      // A sink that throws while it is told goodbye has nothing left to lose.
    }
  }

  /** What the viewer got and lost until now. */
  statistics(): OutboxStatistics {
    return {
      joinedAtMs: this.#joinedAtMs,
      bytes: this.bytes,
      frames: this.frames,
      drops: { late: this.#late, full: this.#full, orphaned: this.#orphans },
      queuedRecords: this.#queue.length,
      queuedBytes: this.#queuedBytes,
      heldBytes: this.#heldBytes,
      lagMs: this.lagMs,
      blocked: this.#blocked
    }
  }

  #wants(record: MediaRecord): boolean {
    if (record.kind === "audio") {
      return (this.#audio && !this.#paused) || record.role !== "Frame"
    }
    if (record.kind === "data") return !this.#paused || record.role === "Metadata"
    if (record.role === "Keyframe") {
      if (!this.#video || this.#paused) return false
      this.#waiting &= ~record.trackBit
      this.#orphaned &= ~record.trackBit
      return true
    }
    if (record.role !== "Frame") return record.role !== "Command" || (this.#video && !this.#paused)
    if (!this.#video || this.#paused) return false
    if ((this.#waiting & record.trackBit) === 0) return true
    if ((this.#orphaned & record.trackBit) !== 0) this.#orphans++
    return false
  }

  #awaitKeyframes(): void {
    if (this.started) this.#waiting |= this.#owner?.videoTracks() ?? 0
  }

  #settle(): void {
    if (this.#waiting !== 0) {
      // A track that has not started, in this session, starts with a keyframe: there is nothing to wait for.
      const tracks = this.#owner?.videoTracks() ?? 0
      this.#waiting &= tracks
      this.#orphaned &= tracks
    }
    this.#setFast(
      !this.#blocked &&
        !this.#ended &&
        this.#ending === undefined &&
        this.#bytes > 0 &&
        this.#audio &&
        this.#video &&
        !this.#paused &&
        this.#waiting === 0 &&
        this.messageStreamId === SHARED_MESSAGE_STREAM_ID
    )
  }

  #setFast(fast: boolean): void {
    if (fast === this.fast) return
    if (!fast) {
      this.#bytes = this.bytes
      this.#frames = this.frames
    }
    this.fast = fast
    const owner = this.#owner
    if (owner === undefined) return
    owner.fastChanged(this)
    if (!fast) return
    this.#fastSinceBytes = owner.sharedBytes(this)
    this.#fastSinceFrames = owner.sharedFrames(this)
  }

  #writeRun(
    records: ReadonlyArray<MediaRecord>,
    readdressed: Readdressed,
    from: number,
    to: number,
    nowMs: number
  ): void {
    const shared = readdressed.bytes(this.messageStreamId)
    const start = records[from]!.start
    const end = records[to - 1]!.end
    this.#write(start === 0 && end === shared.length ? shared : shared.subarray(start, end), nowMs)
  }

  #write(bytes: Uint8Array, nowMs: number): void {
    this.#bytes += bytes.length
    let more: boolean
    try {
      more = this.sink.write(bytes)
    } catch {
      this.overflow("SinkFailed", nowMs)
      return
    }
    if (!more) this.block(nowMs)
  }

  /** Calls a notification of the sink; one that throws removes its viewer and disturbs nobody else. */
  #guard(notify: () => void, nowMs: number): void {
    try {
      notify.call(this.sink)
    } catch {
      this.overflow("SinkFailed", nowMs)
    }
  }

  /**
   * Writes what the joiner is given: a piece of whole messages for each turn of the event loop, so that in a rush of
   * joiners each has its headers and first frames before the first one has all of its megabytes.
   */
  #writePrologue(nowMs: number): void {
    while (!this.#blocked && !this.#ended && this.#prologueNext < this.#prologue.length) {
      this.#write(this.#takePiece(), nowMs)
      if (this.sink.later === undefined || this.#blocked || this.#ended) continue
      if (this.#prologueNext === this.#prologue.length) break
      this.block(nowMs)
      this.#guard(this.sink.later, nowMs)
    }
    if (this.#prologueNext < this.#prologue.length) return
    this.#prologue = noRuns
    this.#prologueNext = 0
  }

  #isFull(nowMs: number): boolean {
    try {
      return this.sink.full?.() === true
    } catch {
      this.overflow("SinkFailed", nowMs)
      return true
    }
  }

  /** The next whole messages of the prologue: of the first piece until it is large enough, later as many as fit. */
  #takePiece(): Uint8Array {
    const run = this.#prologue[this.#prologueNext]!
    const { bytes, starts } = run
    const shared = this.messageStreamId === SHARED_MESSAGE_STREAM_ID
    const first = this.#prologueMessage
    const from = starts[first] ?? 0
    let to = first + 1
    // What is readdressed is a copy of the viewer's own: no more of it than is being written.
    if (shared && this.sink.later === undefined) to = starts.length
    else if (this.#bytes === 0) while (to < starts.length && starts[to]! - from < firstPieceBytes) to++
    else while (to < starts.length && (starts[to + 1] ?? bytes.length) - from <= pieceBytes) to++
    if (to >= starts.length) {
      this.#prologueNext++
      this.#prologueMessage = 0
    } else this.#prologueMessage = to
    if (!shared) return readdress(run, first, to, this.messageStreamId)
    return from === 0 && to >= starts.length ? bytes : bytes.subarray(from, starts[to])
  }

  #enqueue(record: MediaRecord): void {
    if (this.#queue.last()?.buffer !== record.buffer) this.#heldBytes += record.buffer.byteLength
    this.#queue.push(record)
    this.#queuedBytes += record.end - record.start
    if (record.kind === "video" && record.role === "Frame") {
      if (this.#queuedInter++ === 0) {
        this.#interFloorClockMs = record.clockMs
        this.#interFloorAtMs = record.receivedAtMs
      }
    }
  }

  #enforce(nowMs: number): void {
    const { maxBytes, maxDelayMs, maxRecords, stallTimeoutMs } = this.#options
    const newest = this.#queue.last()
    if (newest === undefined) return
    if (
      this.#queuedInter > 0 &&
      (newest.clockMs - this.#interFloorClockMs > maxDelayMs || nowMs - this.#interFloorAtMs > maxDelayMs)
    ) {
      const half = Math.floor(maxDelayMs / 2)
      this.#late += this.#dropInter(newest.clockMs - half, nowMs - half)
      this.#recount(0.5)
    }
    if (this.#heldBytes > maxBytes || this.#queue.length > maxRecords) {
      this.#full += this.#dropInter(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY)
      this.#recount(1)
      if (this.#heldBytes > maxBytes / 2 || this.#queue.length > maxRecords / 2) {
        this.overflow("Full", nowMs)
        return
      }
    }
    const oldest = this.#queue.first()
    if (
      nowMs - this.#lastProgressMs >= stallTimeoutMs ||
      (oldest !== undefined && nowMs - oldest.receivedAtMs > maxDelayMs + stallTimeoutMs)
    ) {
      this.overflow("Stalled", nowMs)
    }
  }

  /** Drops the inter frames from before either time, and those that depend on them. Gives back how many were too old. */
  #dropInter(beforeClockMs: number, beforeAtMs: number): number {
    let old = 0
    let lost = 0
    this.#queue.retain((record) => {
      if (record.kind !== "video") return true
      if (record.role === "Keyframe") {
        lost &= ~record.trackBit
        return true
      }
      if (record.role !== "Frame") return true
      if (record.clockMs < beforeClockMs || record.receivedAtMs < beforeAtMs) old++
      else if ((lost & record.trackBit) !== 0) this.#orphans++
      else return true
      lost |= record.trackBit
      this.#queuedInter--
      this.#queuedBytes -= record.end - record.start
      return false
    })
    // The tracks without a keyframe behind their last drop go on at the next one to come.
    this.#waiting |= lost
    this.#orphaned |= lost
    this.#interFloorClockMs = beforeClockMs
    this.#interFloorAtMs = beforeAtMs
    return old
  }

  /**
   * Counts the batches that the queue keeps alive, after drops. Where less than `share` of a batch waits, what waits of it
   * is moved to memory of its own.
   */
  #recount(share: number): void {
    const queue = this.#queue
    let held = 0
    let from = 0
    while (from < queue.length) {
      const { buffer } = queue.at(from)!
      let to = from
      let bytes = 0
      for (let record = queue.at(to); record?.buffer === buffer; record = queue.at(++to)) {
        bytes += record.end - record.start
      }
      if (bytes < buffer.byteLength * share) {
        this.#repack(from, to)
        held += bytes
      } else held += buffer.byteLength
      from = to
    }
    this.#heldBytes = held
  }

  /** Moves waiting records of one batch to memory of their own. */
  #repack(from: number, to: number): void {
    const records: Array<MediaRecord> = []
    for (let i = from; i < to; i++) records.push(this.#queue.at(i)!)
    const packed = repack(records)
    for (let i = 0; i < packed.length; i++) this.#queue.replace(from + i, packed[i]!)
  }

  /**
   * Takes records off the queue up to `mergeBytes`, at least one, as one array; a shared view where they lie together. Only
   * small ones are copied to be sent with others.
   */
  #takeMerged(): Uint8Array {
    const records: Array<MediaRecord> = []
    let bytes = 0
    let together = true
    for (;;) {
      const next = this.#queue.first()
      if (next === undefined) break
      const length = next.end - next.start
      const previous = records[records.length - 1]
      if (previous !== undefined) {
        if (bytes + length > this.#options.mergeBytes) break
        const joined = together && previous.buffer === next.buffer && previous.end === next.start
        if (!joined) {
          if (bytes >= uncopiedBytes || length >= uncopiedBytes) break
          together = false
        }
      }
      this.#queue.shift()
      if (this.#queue.first()?.buffer !== next.buffer) this.#heldBytes -= next.buffer.byteLength
      records.push(next)
      bytes += length
      if (isFrame(next)) this.#frames++
      if (next.kind === "video" && next.role === "Frame") {
        this.#queuedInter--
        this.#interFloorClockMs = next.clockMs
        this.#interFloorAtMs = next.receivedAtMs
      }
    }
    this.#queuedBytes -= bytes
    if (together && this.messageStreamId === SHARED_MESSAGE_STREAM_ID) {
      const first = records[0]!
      return first.buffer.subarray(first.start, records[records.length - 1]!.end)
    }
    return concatRecords(records, this.messageStreamId).bytes
  }

  #report(nowMs: number): void {
    const total = this.#late + this.#full + this.#orphans
    if (total === this.#reported || nowMs - this.#reportedAtMs < reportIntervalMs) return
    const report: DropReport = {
      late: this.#late - this.#reportedLate,
      full: this.#full - this.#reportedFull,
      orphaned: this.#orphans - this.#reportedOrphans
    }
    this.#reported = total
    this.#reportedLate = this.#late
    this.#reportedFull = this.#full
    this.#reportedOrphans = this.#orphans
    this.#reportedAtMs = nowMs
    const onDrops = this.sink.onDrops
    if (onDrops !== undefined) this.#guard(() => onDrops.call(this.sink, report), nowMs)
  }

  #finish(reason: EndReason, nowMs: number): void {
    this.#release(reason, nowMs)
    try {
      this.sink.onEnd(reason)
    } catch {
      // As in `overflow`.
    }
  }

  #release(reason: EndReason | OverflowReason | "Left", nowMs: number): void {
    this.#setFast(false)
    this.#ended = true
    this.#ending = undefined
    this.#blocked = false
    this.#blockedViewers.delete(this)
    this.#queue.clear()
    this.#queuedBytes = 0
    this.#heldBytes = 0
    this.#queuedInter = 0
    this.#prologue = noRuns
    const owner = this.#owner
    this.#owner = undefined
    owner?.released(this, nowMs, reason)
  }
}
