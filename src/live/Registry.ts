/**
 * All live streams of a server by name: who publishes, who watches, who waits, and when each of it ends.
 *
 * A name has at most one publisher. `claim` decides at once, synchronously, so that of any number of publishers in a
 * race exactly one wins; the others are refused, or take over where the policy lets them. A publisher that vanishes
 * leaves its viewers waiting for `resumeGraceMs`; one that goes silent is reported, and can be replaced by anybody. When
 * it stays silent for `resumeGraceMs` more, the stream ends for its viewers; the publisher keeps the name, and with its
 * next media the stream is there again for new viewers, from a keyframe on.
 *
 * `Registry` is synchronous: time comes in, and `tick` does what is due. `nextDeadlineMs` says when that is, and is
 * `undefined` when nothing is: an idle server never wakes. The service `StreamRegistry` drives one with Effect's clock
 * and fibers.
 *
 * **Gotchas**
 *
 * - A publication that is over (unpublished, vanished, taken over) ignores every further call, so a connection that dies
 *   late cannot hurt its successor.
 * - `credential` is compared as it is: pass what identifies a permission (the id of a stream key), never a secret. The
 *   empty one is anonymous, and is like no other, not even another empty one.
 * - Publishers are known by their connection; whether they may publish at all has been decided before `claim`.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import type { Message } from "../protocol/Message.ts"
import { SHARED_MESSAGE_STREAM_ID } from "./Batch.ts"
import type { MakeOutbox } from "./Distribution.ts"
import * as Distribution from "./Distribution.ts"
import type { Histogram } from "./Histogram.ts"
import { defaultLiveOptions, forStream, type LiveOptions } from "./LiveOptions.ts"
import * as LiveStream from "./LiveStream.ts"
import { BlockedViewers, type Outbox, type OutboxOwner, type OutboxStatistics, type ViewerSink } from "./Outbox.ts"
import * as StreamEvents from "./StreamEvents.ts"

/** A name could not be claimed: somebody publishes it already, or the registry is closed. */
export class PublishConflict extends Data.TaggedError("PublishConflict")<{
  readonly reason: "AlreadyPublished" | "Closed"
  readonly streamKey: string
}> {
  /** One line for logs. */
  override get message(): string {
    return this.reason === "Closed" ? "the server is stopping" : "somebody publishes this stream already"
  }
}

/** There is no such stream, and the viewer does not wait (or the registry is closed). */
export class StreamNotFound extends Data.TaggedError("StreamNotFound")<{ readonly streamKey: string }> {
  /** One line for logs. */
  override get message(): string {
    return "nobody publishes this stream"
  }
}

/** There is no such stream, and as many viewers wait for streams as may. */
export class TooManyWaiting extends Data.TaggedError("TooManyWaiting")<{
  readonly streamKey: string
  /** `PlayOptions.maxWaitingViewers`. */
  readonly limit: number
}> {
  /** One line for logs. */
  override get message(): string {
    return `nobody publishes this stream, and ${this.limit} viewers wait already`
  }
}

/** What a publisher claims a name with. */
export interface ClaimOptions {
  /** Who publishes, for events and statistics. */
  readonly publisherId: string
  /** What identifies the permission to publish; empty for an anonymous publisher. Not a secret. */
  readonly credential: string
  /** The time. */
  readonly nowMs: number
  /** Called once when another publisher has taken the name over. The publication is over by then. */
  readonly onTakenOver: () => void
}

/** A publisher's hold on a name, until it ends. */
export interface Publication {
  /** The stream that it feeds. */
  readonly stream: LiveStream.LiveStream
  /** Who publishes. */
  readonly publisherId: string
  /** Whether it still holds the name. */
  readonly isCurrent: boolean
  /** Takes an audio, video, data or aggregate message. Tells whether any of it is relayed. */
  readonly publish: (message: Message, nowMs: number) => boolean
  /** Stops in an orderly way: the stream ends for its viewers at once. Idempotent. */
  readonly unpublish: (nowMs: number) => void
  /** The connection is lost: the viewers wait for a new claim until the grace is over. Idempotent. */
  readonly vanish: (nowMs: number) => void
}

/** What a viewer subscribes with. */
export interface SubscribeOptions {
  /** Where its bytes go. */
  readonly sink: ViewerSink
  /** The time. */
  readonly nowMs: number
  /** The message stream id that its messages carry; 1 where left out. */
  readonly messageStreamId?: number
  /** Whether to wait where nobody publishes the stream yet. */
  readonly waitForPublisher?: boolean
}

/** A viewer's hold on a stream, or its place among those who wait for one. */
export interface Viewer {
  /** Tells viewers of one registry apart. */
  readonly id: number
  /** Whether a stream has started it; `false` while it waits. */
  readonly started: boolean
  /** Whether it is gone: it left, its stream ended, or it was removed. */
  readonly ended: boolean
  /** Its socket has drained, and takes bytes again. */
  readonly drained: (nowMs: number) => void
  /** Leaves; the sink is not called any more. Idempotent. */
  readonly leave: (nowMs: number) => void
  /** Pauses and resumes audio and video; video goes on at a keyframe. */
  readonly pause: (paused: boolean) => void
  /** Switches audio off and on. */
  readonly receiveAudio: (wanted: boolean) => void
  /** Switches video off and on; it goes on at a keyframe. */
  readonly receiveVideo: (wanted: boolean) => void
  /** What it got and lost until now. */
  readonly statistics: () => OutboxStatistics
}

/** One stream in `RegistryStatistics`. */
export interface StreamStatistics extends LiveStream.LiveStreamStatistics {
  /** Who publishes; `undefined` while the stream waits for its publisher to return. */
  readonly publisherId: string | undefined
  /** `Live`; `Silent` where a publisher sends nothing; `Vanished` where the publisher is lost. */
  readonly state: "Live" | "Silent" | "Vanished"
  /** When the stream was first claimed. */
  readonly createdAtMs: number
}

/** A snapshot of a registry. */
export interface RegistryStatistics {
  /** All streams, oldest first. */
  readonly streams: ReadonlyArray<StreamStatistics>
  /** Streams with a publisher. */
  readonly publishers: number
  /** Viewers of all streams, those of ended streams included that are still given what waits for them. */
  readonly viewers: number
  /** Viewers who wait for streams that nobody publishes. */
  readonly waitingViewers: number
  /** Viewers whose sockets are full. */
  readonly blockedViewers: number
}

/** What a registry calls. All of it is optional, and must return quickly. */
export interface RegistryHooks {
  /** Takes events. */
  readonly emit?: StreamEvents.Emit
  /** Called once when streams with this merge window have something to flush and had not: call `flush` after it. */
  readonly onDirty?: (mergeWindowMs: number) => void
  /** Called after each flush of a stream with the arrival of its oldest message, and with the time of the flush. */
  readonly onFlushed?: (sinceMs: number, nowMs: number) => void
  /** Called when `nextDeadlineMs` may have become earlier. */
  readonly onDeadline?: () => void
  /** Called with what a stream threw where its caller is not to blame: a defect, which other streams must not feel. */
  readonly onDefect?: (streamKey: string, defect: unknown) => void
  /** Makes the viewers' outboxes; `Distribution.makeOutbox` where left out. */
  readonly makeOutbox?: MakeOutbox
  /** Replaces the classifier of media messages. */
  readonly classify?: LiveStream.LiveStreamConfig["classify"]
}

interface Entry {
  readonly key: string
  readonly stream: LiveStream.LiveStream
  readonly createdAtMs: number
  publication: Claimed | undefined
  lastMediaMs: number
  /** Viewers were told that no media comes. */
  unavailable: boolean
  /** When the grace of a vanished or silent publisher is over. */
  graceEndsMs: number
  /** The grace of a silent publisher is over: for viewers there is no such stream, until media comes. */
  endedForViewers: boolean
}

/** What a publication calls. */
interface ClaimOwner {
  readonly mediaCame: (entry: Entry, nowMs: number) => void
  readonly publicationEnded: (publication: Claimed, reason: "Unpublished" | "Vanished", nowMs: number) => void
}

interface Waiter {
  readonly streamKey: string
  readonly deadlineMs: number
}

const ignore = () => {}

/** The streams of one server. Made by `make`. */
export class Registry {
  #options: LiveOptions
  readonly #hooks: RegistryHooks
  readonly #emit: StreamEvents.Emit
  readonly #onDeadline: () => void
  readonly #makeOutbox: MakeOutbox
  readonly #entries = new Map<string, Entry>()
  readonly #vanished = new Set<Entry>()
  /** Viewers without a stream, and the same by name. */
  readonly #waiters = new Map<Outbox, Waiter>()
  readonly #waitersByKey = new Map<string, Set<Outbox>>()
  readonly #blocked: BlockedViewers
  readonly #waitingOwner: OutboxOwner
  readonly #claimOwner: ClaimOwner
  /** By merge window. */
  readonly #dirty = new Map<number, Array<LiveStream.LiveStream>>()
  #silenceCheckMs = Number.POSITIVE_INFINITY
  #nextStreamId = 1
  #nextViewerId = 1
  #viewers = 0
  #closed = false

  constructor(options: LiveOptions = defaultLiveOptions, hooks: RegistryHooks = {}) {
    this.#options = options
    this.#hooks = hooks
    this.#emit = hooks.emit ?? StreamEvents.discard
    this.#onDeadline = hooks.onDeadline ?? ignore
    this.#makeOutbox = hooks.makeOutbox ?? Distribution.makeOutbox
    this.#blocked = new BlockedViewers(this.#onDeadline)
    const none = () => 0
    const released = (outbox: Outbox) => this.#forgetWaiter(outbox)
    this.#waitingOwner = { released, videoTracks: none, sharedBytes: none, sharedFrames: none, fastChanged: none }
    this.#claimOwner = {
      mediaCame: (entry, nowMs) => this.#mediaCame(entry, nowMs),
      publicationEnded: (publication, reason, nowMs) => this.#publicationEnded(publication, reason, nowMs)
    }
  }

  /** The numbers that its streams are made with. */
  get options(): LiveOptions {
    return this.#options
  }

  /**
   * Takes other numbers. Streams and viewers that are there keep those that they were made with; what concerns publishers
   * (conflicts, silence, grace) holds for all from now on.
   */
  reconfigure(options: LiveOptions): void {
    this.#options = options
    this.#onDeadline()
  }

  /** Claims a name for a publisher. Viewers who wait for it are started before this returns. */
  claim(streamKey: string, options: ClaimOptions): Result.Result<Publication, PublishConflict> {
    const { nowMs, publisherId } = options
    if (this.#closed) return Result.fail(new PublishConflict({ reason: "Closed", streamKey }))
    let entry = this.#entries.get(streamKey)
    const resumed = entry !== undefined
    const previous = entry?.publication
    if (entry !== undefined && previous !== undefined && !this.#mayTakeOver(entry, previous, options)) {
      return Result.fail(new PublishConflict({ reason: "AlreadyPublished", streamKey }))
    }
    entry ??= this.#add(streamKey, nowMs)
    if (previous !== undefined) this.#endPublication(previous, "TakenOver", nowMs)
    this.#vanished.delete(entry)
    const publication = new Claimed(this.#claimOwner, entry, options)
    entry.publication = publication
    entry.lastMediaMs = nowMs
    entry.endedForViewers = false
    // Viewers who were told already that no media comes wait for this publisher no longer than for a silent one.
    entry.graceEndsMs = nowMs + this.#options.publisher.silentAfterMs + this.#options.publisher.resumeGraceMs
    this.#contain(streamKey, () => publication.stream.beginSession(nowMs))
    this.#emit({ _tag: "Published", streamKey, atMs: nowMs, publisherId, resumed })
    this.#watchSilence(nowMs)
    this.#attachWaiters(entry, nowMs)
    previous?.takenOver()
    return Result.succeed(publication)
  }

  /** Adds a viewer. It is started before this returns where the stream exists, and waits where it may. */
  subscribe(streamKey: string, options: SubscribeOptions): Result.Result<Viewer, StreamNotFound | TooManyWaiting> {
    const { nowMs, sink } = options
    const known = this.#entries.get(streamKey)
    const entry = known?.endedForViewers === true ? undefined : known
    const { maxWaitingViewers, waitTimeoutMs } = this.#options.play
    if (this.#closed || (entry === undefined && options.waitForPublisher !== true)) {
      return Result.fail(new StreamNotFound({ streamKey }))
    }
    if (entry === undefined && this.#waiters.size >= maxWaitingViewers) {
      return Result.fail(new TooManyWaiting({ streamKey, limit: maxWaitingViewers }))
    }
    const outbox = this.#makeOutbox(
      this.#nextViewerId++,
      sink,
      options.messageStreamId ?? SHARED_MESSAGE_STREAM_ID,
      (entry?.stream.options ?? forStream(this.#options, streamKey)).outbox,
      this.#blocked,
      this.#waitingOwner
    )
    if (entry !== undefined) this.#attach(entry, outbox, nowMs)
    else {
      this.#waiters.set(outbox, { streamKey, deadlineMs: nowMs + waitTimeoutMs })
      const waiters = this.#waitersByKey.get(streamKey)
      if (waiters === undefined) this.#waitersByKey.set(streamKey, new Set([outbox]))
      else waiters.add(outbox)
      this.#onDeadline()
    }
    return Result.succeed(outbox)
  }

  /** The stream of this name, if it is published or waits for its publisher's return. */
  get(streamKey: string): LiveStream.LiveStream | undefined {
    return this.#entries.get(streamKey)?.stream
  }

  /** Flushes every stream that was published to since its last flush, or only those with this merge window. */
  flush(nowMs: number, mergeWindowMs?: number): void {
    if (mergeWindowMs === undefined) {
      for (const window of [...this.#dirty.keys()]) this.flush(nowMs, window)
      return
    }
    const dirty = this.#dirty.get(mergeWindowMs)
    if (dirty === undefined) return
    this.#dirty.delete(mergeWindowMs)
    for (let i = 0; i < dirty.length; i++) {
      const stream = dirty[i]!
      const sinceMs = stream.pendingSinceMs
      try {
        stream.flush(nowMs)
      } catch (defect) {
        this.#hooks.onDefect?.(stream.key, defect)
      }
      if (sinceMs !== undefined) this.#hooks.onFlushed?.(sinceMs, nowMs)
    }
  }

  /** Counts how many milliseconds each viewer with a full socket is behind, and gives back the most. */
  sampleLag(into: Histogram): number {
    return this.#blocked.sampleLag(into)
  }

  /**
   * Does what is due: stalled viewers, waits and graces that are over, publishers gone silent. What one stream or viewer
   * throws goes to `onDefect`, and does not keep the others from what is due to them.
   */
  tick(nowMs: number): void {
    this.#blocked.removeStalled(nowMs, (defect) => this.#hooks.onDefect?.("", defect))
    for (const [outbox, waiter] of this.#waiters) {
      if (waiter.deadlineMs > nowMs) continue
      this.#endWaiter(outbox, waiter.streamKey, "NotFound", nowMs)
    }
    for (const entry of this.#vanished) {
      if (entry.graceEndsMs > nowMs) continue
      this.#remove(entry)
      this.#contain(entry.key, () => entry.stream.end("PublisherLost", nowMs))
    }
    if (this.#silenceCheckMs <= nowMs) this.#checkSilence(nowMs)
  }

  /** When `tick` has something to do; `undefined` where it has not. */
  nextDeadlineMs(): number | undefined {
    let next = this.#blocked.nextStallMs() ?? Number.POSITIVE_INFINITY
    for (const waiter of this.#waiters.values()) {
      next = Math.min(next, waiter.deadlineMs)
    }
    for (const entry of this.#vanished) {
      next = Math.min(next, entry.graceEndsMs)
    }
    if (this.#entries.size > this.#vanished.size) next = Math.min(next, this.#silenceCheckMs)
    return next === Number.POSITIVE_INFINITY ? undefined : next
  }

  /** Ends every stream and every wait, and refuses whatever comes after. Idempotent. */
  close(nowMs: number): void {
    this.#closed = true
    for (const entry of [...this.#entries.values()]) {
      if (entry.publication !== undefined) this.#endPublication(entry.publication, "Shutdown", nowMs)
      this.#remove(entry)
      this.#contain(entry.key, () => entry.stream.end("Shutdown", nowMs))
    }
    for (const [outbox, { streamKey }] of [...this.#waiters]) this.#endWaiter(outbox, streamKey, "Shutdown", nowMs)
  }

  /** What all streams do, with rates over the seconds before `nowMs`. */
  statistics(nowMs: number): RegistryStatistics {
    const streams: Array<StreamStatistics> = []
    let publishers = 0
    for (const entry of this.#entries.values()) {
      if (entry.publication !== undefined) publishers++
      streams.push({
        ...entry.stream.statistics(nowMs),
        publisherId: entry.publication?.publisherId,
        state: entry.publication === undefined ? "Vanished" : entry.unavailable ? "Silent" : "Live",
        createdAtMs: entry.createdAtMs
      })
    }
    return {
      streams,
      publishers,
      viewers: this.#viewers,
      waitingViewers: this.#waiters.size,
      blockedViewers: this.#blocked.size
    }
  }

  #mediaCame(entry: Entry, nowMs: number): void {
    entry.lastMediaMs = nowMs
    if (!entry.unavailable) return
    entry.unavailable = false
    this.#emit({ _tag: "Resumed", streamKey: entry.key, atMs: nowMs })
    this.#watchSilence(nowMs)
    this.#contain(entry.key, () => entry.stream.markResumed(nowMs))
    if (!entry.endedForViewers) return
    entry.endedForViewers = false
    this.#attachWaiters(entry, nowMs)
  }

  #publicationEnded(publication: Claimed, reason: "Unpublished" | "Vanished", nowMs: number): void {
    const { entry } = publication
    const { resumeGraceMs } = this.#options.publisher
    this.#endPublication(publication, reason, nowMs)
    if (reason === "Unpublished" || resumeGraceMs <= 0 || entry.endedForViewers) {
      this.#remove(entry)
      const endReason = reason === "Unpublished" ? "Unpublished" : "PublisherLost"
      this.#contain(entry.key, () => entry.stream.end(endReason, nowMs))
      return
    }
    entry.graceEndsMs = nowMs + resumeGraceMs
    this.#vanished.add(entry)
    this.#markUnavailable(entry, "Vanished", nowMs)
    this.#onDeadline()
  }

  #mayTakeOver(entry: Entry, previous: Claimed, claim: ClaimOptions): boolean {
    const { conflict, silentAfterMs } = this.#options.publisher
    if (claim.nowMs - entry.lastMediaMs >= silentAfterMs) return true
    // Who has shown nothing is nobody in particular: anybody could put out anybody else.
    return conflict === "takeover" && claim.credential !== "" && previous.credential === claim.credential
  }

  #add(streamKey: string, nowMs: number): Entry {
    const options = forStream(this.#options, streamKey)
    const stream = LiveStream.make(streamKey, {
      options,
      id: this.#nextStreamId++,
      emit: this.#emit,
      blocked: this.#blocked,
      onDirty: (stream) => {
        const dirty = this.#dirty.get(options.mergeWindowMs)
        if (dirty !== undefined) dirty.push(stream)
        else {
          this.#dirty.set(options.mergeWindowMs, [stream])
          this.#hooks.onDirty?.(options.mergeWindowMs)
        }
      },
      onReleased: () => {
        this.#viewers--
      },
      ...(this.#hooks.classify === undefined ? {} : { classify: this.#hooks.classify })
    })
    const entry: Entry = {
      key: streamKey,
      stream,
      createdAtMs: nowMs,
      publication: undefined,
      lastMediaMs: nowMs,
      unavailable: false,
      graceEndsMs: 0,
      endedForViewers: false
    }
    this.#entries.set(streamKey, entry)
    return entry
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.key)
    this.#vanished.delete(entry)
  }

  #attach(entry: Entry, outbox: Outbox, nowMs: number): void {
    this.#viewers++
    entry.stream.attach(outbox, nowMs)
  }

  /** Starts those who wait for the stream. */
  #attachWaiters(entry: Entry, nowMs: number): void {
    const waiters = this.#waitersByKey.get(entry.key)
    if (waiters === undefined) return
    for (const outbox of [...waiters]) {
      this.#forgetWaiter(outbox)
      this.#contain(entry.key, () => this.#attach(entry, outbox, nowMs))
    }
  }

  #endWaiter(outbox: Outbox, streamKey: string, reason: "NotFound" | "Shutdown", nowMs: number): void {
    this.#contain(streamKey, () => outbox.end(reason, nowMs))
    // It went with its end, unless that threw.
    this.#forgetWaiter(outbox)
  }

  /** Does something for one stream; what it throws is nobody else's business. */
  #contain(streamKey: string, run: () => void): void {
    try {
      run()
    } catch (defect) {
      this.#hooks.onDefect?.(streamKey, defect)
    }
  }

  #endPublication(publication: Claimed, reason: StreamEvents.UnpublishReason, nowMs: number): void {
    const { entry, publisherId } = publication
    publication.end()
    entry.publication = undefined
    this.#contain(entry.key, () => entry.stream.flush(nowMs))
    this.#emit({ _tag: "Unpublished", streamKey: entry.key, atMs: nowMs, publisherId, reason })
  }

  #forgetWaiter(outbox: Outbox): void {
    const waiter = this.#waiters.get(outbox)
    if (waiter === undefined) return
    this.#waiters.delete(outbox)
    const waiters = this.#waitersByKey.get(waiter.streamKey)!
    waiters.delete(outbox)
    if (waiters.size === 0) this.#waitersByKey.delete(waiter.streamKey)
  }

  #markUnavailable(entry: Entry, reason: "Silent" | "Vanished", nowMs: number): void {
    if (entry.unavailable) return
    entry.unavailable = true
    this.#emit({ _tag: "Unavailable", streamKey: entry.key, atMs: nowMs, reason })
    this.#contain(entry.key, () => entry.stream.markDry(nowMs))
  }

  #watchSilence(nowMs: number): void {
    const checkMs = nowMs + this.#options.publisher.silentAfterMs
    if (checkMs >= this.#silenceCheckMs) return
    this.#silenceCheckMs = checkMs
    this.#onDeadline()
  }

  #checkSilence(nowMs: number): void {
    const { resumeGraceMs, silentAfterMs } = this.#options.publisher
    let next = Number.POSITIVE_INFINITY
    this.#silenceCheckMs = next
    for (const entry of [...this.#entries.values()]) {
      if (entry.publication === undefined || entry.endedForViewers) continue
      if (!entry.unavailable) {
        const silentAtMs = entry.lastMediaMs + silentAfterMs
        if (silentAtMs > nowMs) {
          next = Math.min(next, silentAtMs)
          continue
        }
        entry.graceEndsMs = nowMs + resumeGraceMs
        this.#markUnavailable(entry, "Silent", nowMs)
      }
      if (entry.graceEndsMs > nowMs) next = Math.min(next, entry.graceEndsMs)
      else {
        entry.endedForViewers = true
        this.#contain(entry.key, () => entry.stream.endViewers("PublisherLost", nowMs))
      }
    }
    this.#silenceCheckMs = Math.min(this.#silenceCheckMs, next)
  }
}

class Claimed implements Publication {
  readonly entry: Entry
  readonly publisherId: string
  readonly credential: string
  readonly #owner: ClaimOwner
  readonly #onTakenOver: () => void
  #current = true

  constructor(owner: ClaimOwner, entry: Entry, options: ClaimOptions) {
    this.#owner = owner
    this.entry = entry
    this.publisherId = options.publisherId
    this.credential = options.credential
    this.#onTakenOver = options.onTakenOver
  }

  get stream(): LiveStream.LiveStream {
    return this.entry.stream
  }

  get isCurrent(): boolean {
    return this.#current
  }

  publish(message: Message, nowMs: number): boolean {
    if (!this.#current) return false
    const accepted = this.entry.stream.publish(message, nowMs)
    if (accepted) this.#owner.mediaCame(this.entry, nowMs)
    return accepted
  }

  unpublish(nowMs: number): void {
    if (this.#current) this.#owner.publicationEnded(this, "Unpublished", nowMs)
  }

  vanish(nowMs: number): void {
    if (this.#current) this.#owner.publicationEnded(this, "Vanished", nowMs)
  }

  end(): void {
    this.#current = false
  }

  takenOver(): void {
    try {
      this.#onTakenOver()
    } catch {
      // The publication is over; what its owner makes of that is not ours.
    }
  }
}

/** Makes an empty registry that its owner ticks and flushes. */
export const make = (options?: LiveOptions, hooks?: RegistryHooks): Registry => new Registry(options, hooks)
