/**
 * Every number that bounds or paces the live room, in one plain object.
 *
 * The server maps its configuration to `LiveOptions`; a custom server starts from `defaultLiveOptions` and changes what
 * it wants. The object is read when a stream is made, so a changed configuration holds for streams made after it.
 */

/** Bounds of the cache that lets a viewer start at once with a whole group of pictures (`GopCache`). */
export interface GopOptions {
  /** Whether anything is cached at all. Without a cache a viewer's video starts at the next keyframe. */
  readonly enabled: boolean
  /** Milliseconds of media that the cache tries to hold; 0 keeps the newest group of pictures only. */
  readonly minDurationMs: number
  /** Milliseconds of media past which the oldest group of pictures is dropped, the only one too. */
  readonly maxDurationMs: number
  /** Bytes of the batches held past which the oldest group of pictures is dropped, the only one too. */
  readonly maxBytes: number
  /** Messages past which the oldest group of pictures is dropped, the only one too. */
  readonly maxFrames: number
}

/** Bounds of what waits for one slow viewer (`Outbox`). */
export interface OutboxOptions {
  /** Milliseconds, of media or of waiting, past which inter frames are dropped up to a later keyframe. */
  readonly maxDelayMs: number
  /**
   * Bytes that waiting messages may keep alive, a shared batch counted whole; past them all inter frames go, and the
   * viewer too where that is not enough.
   */
  readonly maxBytes: number
  /** Messages that may wait; past them as with `maxBytes`. */
  readonly maxRecords: number
  /** Milliseconds that a full socket may go without draining before the viewer is removed. */
  readonly stallTimeoutMs: number
  /** Bytes that waiting messages are merged to per write once the socket has drained. */
  readonly mergeBytes: number
}

/** Who wins a name, and what happens while its publisher is away. */
export interface PublisherOptions {
  /**
   * What becomes of a second publisher: `"reject"` refuses it, `"takeover"` lets it replace the first one where both
   * carry the same credential, which anonymous ones never do. A silent publisher is always replaced.
   */
  readonly conflict: "reject" | "takeover"
  /** Milliseconds without a media message after which a connected publisher counts as silent. */
  readonly silentAfterMs: number
  /** Milliseconds that the viewers of a lost or silent publisher wait for its return; 0 ends the stream at once. */
  readonly resumeGraceMs: number
}

/** Bounds of the viewers who wait for a stream that nobody publishes yet. */
export interface PlayOptions {
  /** Waiting viewers, over all names. */
  readonly maxWaitingViewers: number
  /** Milliseconds until a waiting viewer is told that there is no such stream. */
  readonly waitTimeoutMs: number
}

/** Bounds of what one publisher can make a stream remember. */
export interface StreamLimits {
  /** Audio and video tracks, 1 to 32. Messages of tracks past them are dropped. */
  readonly maxTracks: number
  /** Bytes of cached sequence headers, over all tracks. A track whose header does not fit is dropped. */
  readonly maxHeaderBytes: number
  /** Bytes of a metadata message. A larger one is dropped. */
  readonly maxMetadataBytes: number
  /** Payload bytes that may wait for a flush; past them the stream flushes by itself. */
  readonly maxPendingBytes: number
  /** Messages that may wait for a flush; past them the stream flushes by itself. */
  readonly maxPendingMessages: number
  /** Events per second that a publisher's media may cause (gaps, codec and metadata changes); the rest is counted. */
  readonly maxMediaEventsPerSecond: number
  /** Bits per second of a publisher, as a mean over some seconds, past which the stream says so; 0 for no limit. */
  readonly publishBitsPerSecond: number
}

/** The settings of the live room. All times are milliseconds, all sizes bytes. */
export interface LiveOptions {
  readonly gop: GopOptions
  readonly outbox: OutboxOptions
  readonly publisher: PublisherOptions
  readonly play: PlayOptions
  readonly limits: StreamLimits
  /** The chunk size that viewers were told with Set Chunk Size, 128 to 0xFFFFFF (RTMP 1.0 §5.4.1). */
  readonly chunkSize: number
  /**
   * Milliseconds for which media is collected before a flush; 0 flushes once per turn of the event loop. Who owns a
   * registry without the service layer decides when to flush.
   */
  readonly mergeWindowMs: number
  /** What is different for the streams of an application, by its name. */
  readonly applications: ReadonlyMap<string, ApplicationOptions>
}

/** The latency of one application, in milliseconds: see the fields of `LiveOptions` that they stand for. */
export interface ApplicationOptions {
  /** In the place of `LiveOptions.mergeWindowMs`. */
  readonly mergeWindowMs: number
  /** In the place of `OutboxOptions.maxDelayMs`. */
  readonly outboxMaxDelayMs: number
  /** In the place of `GopOptions.minDurationMs`. */
  readonly gopMinDurationMs: number
}

/**
 * The options of one stream: those of its application, the longest name in front of a slash of its key, or else those
 * of the server.
 */
export const forStream = (options: LiveOptions, streamKey: string): LiveOptions => {
  if (options.applications.size === 0) return options
  let name = ""
  let found: ApplicationOptions | undefined
  for (const [application, own] of options.applications) {
    if (found !== undefined && application.length <= name.length) continue
    if (!streamKey.startsWith(application === "" ? "" : `${application}/`)) continue
    name = application
    found = own
  }
  if (found === undefined) return options
  return {
    ...options,
    gop: { ...options.gop, minDurationMs: found.gopMinDurationMs },
    outbox: { ...options.outbox, maxDelayMs: found.outboxMaxDelayMs },
    mergeWindowMs: found.mergeWindowMs
  }
}

/** What the server has with nothing configured, except that nothing is merged: a flush for each turn of the event loop. */
export const defaultLiveOptions: LiveOptions = {
  gop: { enabled: true, minDurationMs: 2_000, maxDurationMs: 30_000, maxBytes: 32 * 1024 * 1024, maxFrames: 4_096 },
  outbox: {
    maxDelayMs: 5_000,
    maxBytes: 16 * 1024 * 1024,
    maxRecords: 16_384,
    stallTimeoutMs: 30_000,
    mergeBytes: 256 * 1024
  },
  publisher: { conflict: "reject", silentAfterMs: 5_000, resumeGraceMs: 10_000 },
  play: { maxWaitingViewers: 1_000, waitTimeoutMs: 60_000 },
  limits: {
    maxTracks: 32,
    maxHeaderBytes: 1024 * 1024,
    maxMetadataBytes: 1024 * 1024,
    maxPendingBytes: 1024 * 1024,
    maxPendingMessages: 4_096,
    maxMediaEventsPerSecond: 10,
    publishBitsPerSecond: 50_000_000
  },
  chunkSize: 60_000,
  mergeWindowMs: 0,
  applications: new Map()
}
