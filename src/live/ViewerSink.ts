/**
 * What the live room needs of a viewer's end: a place where its bytes go, and the notifications that it is given.
 *
 * Types only. The server makes a sink for each connection that plays; the viewer itself is an `Outbox`.
 */

/**
 * Why a viewer gets no more media, in an orderly way: its publisher stopped (`Unpublished`), was lost and did not come
 * back (`PublisherLost`), nobody ever published (`NotFound`), or the registry closed (`Shutdown`).
 */
export type EndReason = "Unpublished" | "PublisherLost" | "NotFound" | "Shutdown"

/** Why a viewer was removed: its queue hit a bound, it did not read, or its sink threw. */
export type OverflowReason = "Full" | "Stalled" | "SinkFailed"

/** What a viewer lost since the last report. */
export interface DropReport {
  /** Inter frames dropped because the queue reached too far back. */
  readonly late: number
  /** Inter frames dropped because the queue hit its bound in bytes or records. */
  readonly full: number
  /** Inter frames dropped because a frame that they need had been dropped. */
  readonly orphaned: number
}

/**
 * Sockets by number. A loop that hands a batch to a thousand viewers takes most of its time to fetch what belongs to each
 * of them from memory; a number and an array of descriptors behind it stay in the processor's cache.
 */
export interface BatchLanes {
  /**
   * Writes at once what the socket takes, and gives back how many bytes that were. The viewer's sink is given the rest to
   * write, and all of it where -1 comes back: then nothing was written. Must not throw. A socket that broke takes everything.
   */
  readonly write: (lane: number, bytes: Uint8Array) => number
}

/** One socket among others. The number is its own for as long as viewers write to it. */
export interface BatchLane {
  readonly lanes: BatchLanes
  readonly lane: number
}

/**
 * Where a viewer's bytes go, and what it is told. Given by the server; every call is synchronous and must be quick.
 */
export interface ViewerSink {
  /**
   * Takes whole messages and keeps the array, which it must not change. Always takes them; `false` says that the socket
   * is full, and that nothing more is to be written until `Outbox.drained` is called.
   */
  readonly write: (bytes: Uint8Array) => boolean
  /**
   * The same as `write`, for a viewer that has begun and keeps up; `write` where left out. It is called for each batch
   * and viewer, so it should do nothing but write: `false` is followed by a call of `onFull`.
   */
  readonly writeBatch?: (bytes: Uint8Array) => boolean
  /** Where batches go instead of to `writeBatch`, which is given what the lane did not take. */
  readonly lane?: BatchLane | undefined
  /** `writeBatch` has found the socket full: ask for a call of `Outbox.drained`. */
  readonly onFull?: () => void
  /** The stream is there; the first `write` follows. Called at most once. */
  readonly onStart: () => void
  /** The publisher is gone or silent, and may come back. */
  readonly onDry: () => void
  /** Media flows again after `onDry`. */
  readonly onResume: () => void
  /** Nothing will be written any more. The last call to this sink. */
  readonly onEnd: (reason: EndReason) => void
  /** The viewer was removed because it could not keep up. The last call to this sink. */
  readonly onOverflow: (reason: OverflowReason) => void
  /**
   * Asks for a call of `Outbox.drained` in a later turn of the event loop, though the socket is not full: what a joiner
   * is given can be megabytes, and others want their turn. Without it, all of it is written at once.
   */
  readonly later?: () => void
  /**
   * Whether the socket holds bytes that are not sent yet. Asked when the viewer starts: where it
   * is true, nothing is written until `Outbox.drained` is called, which `whenDrained` asks for.
   */
  readonly full?: () => boolean
  /** Asks for a call of `Outbox.drained`, in a later turn of the event loop, once the socket is empty. */
  readonly whenDrained?: () => void
  /** What was dropped since the last report. Called at most once per second. */
  readonly onDrops?: (report: DropReport) => void
}

/** What a viewer got and lost. Counts are totals since it was made. */
export interface OutboxStatistics {
  /** When the viewer was given its first bytes; `undefined` while it waits. */
  readonly joinedAtMs: number | undefined
  /** Encoded bytes handed to the sink. */
  readonly bytes: number
  /** Audio and video frames handed to the sink, those of the join not counted. */
  readonly frames: number
  /** Inter frames lost, by cause. */
  readonly drops: DropReport
  /** Records that wait for the socket. */
  readonly queuedRecords: number
  /** Their bytes. */
  readonly queuedBytes: number
  /** The bytes of the batches that they keep alive: what `OutboxOptions.maxBytes` bounds. */
  readonly heldBytes: number
  /** Milliseconds of media from the oldest to the newest record that waits. */
  readonly lagMs: number
  /** Whether the socket is full. */
  readonly blocked: boolean
}
