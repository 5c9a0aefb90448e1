/**
 * One flush of a live stream: its messages, encoded once into one buffer that every viewer shares.
 *
 * A `PendingMessage` may hold a view of a receive buffer. `encode` copies its payload exactly once, into the batch, and
 * leaves a `MediaRecord` behind, which says where in the batch the message lies. The group-of-pictures cache and the
 * queues of slow viewers hold records, never copies. Every message is written as self-contained chunks (fmt 0, RTMP 1.0
 * §5.3.1.2.1), so any run of records can follow any other one on a connection.
 *
 * **Gotchas**
 *
 * - A record keeps the whole batch alive, as all records of one flush share its memory: who holds records and has a
 *   bound in bytes counts `buffer`, not the record. What lives long (sequence headers, metadata) is copied out by its
 *   owner.
 * - Audio goes on chunk stream 4, video on 6 and data on 5. FFmpeg, GStreamer and librtmp take any; servers disagree.
 */
import type { MediaFrame } from "../media/MediaFrame.ts"
import * as Bytes from "../protocol/Bytes.ts"
import * as ChunkWriter from "../protocol/ChunkWriter.ts"

/** Audio, video or data. */
export type MediaKind = MediaFrame["kind"]

/** What a payload is to its stream: a sequence header, a keyframe, … */
export type MediaRole = MediaFrame["role"]

/** The chunk stream id of audio messages. */
export const AUDIO_CHUNK_STREAM = 4
/** The chunk stream id of data messages. */
export const DATA_CHUNK_STREAM = 5
/** The chunk stream id of video messages. */
export const VIDEO_CHUNK_STREAM = 6

/** The message stream id that a batch is encoded for. Almost every player gets it for its first stream. */
export const SHARED_MESSAGE_STREAM_ID = 1

/** The message stream id of a fmt 0 chunk lies here when the basic header has one byte (RTMP 1.0 §5.3.1.2.1). */
const messageStreamIdOffset = 8

/** A message that was published and not encoded yet. `payload` may be a view of somebody else's buffer. */
export interface PendingMessage {
  /** Audio, video or data. */
  readonly kind: MediaKind
  /** What the payload is to the stream. */
  readonly role: MediaRole
  /** What a joiner must be given, by name; empty for everything that is not replayed. */
  readonly cacheKey: string
  /** The RTMP message type id. */
  readonly typeId: number
  /** Milliseconds on the stream's own timeline, unsigned 32-bit. */
  readonly timestamp: number
  /** One bit per track of the stream, by which viewers remember which video tracks wait for a keyframe; 0 for data. */
  readonly trackBit: number
  /** Milliseconds of media that the stream had seen when this came; never decreases. */
  readonly clockMs: number
  /** When the message was published. */
  readonly receivedAtMs: number
  /** The message body. */
  readonly payload: Uint8Array
}

/** A message of an encoded batch: `buffer[start, end)` are its chunks. */
export interface MediaRecord {
  /** Audio, video or data. */
  readonly kind: MediaKind
  /** What the payload is to the stream. */
  readonly role: MediaRole
  /** Milliseconds on the stream's own timeline, unsigned 32-bit. */
  readonly timestamp: number
  /** See `PendingMessage`. */
  readonly trackBit: number
  /** See `PendingMessage`. */
  readonly clockMs: number
  /** See `PendingMessage`. */
  readonly receivedAtMs: number
  /** The batch that the message is part of, shared. */
  readonly buffer: Uint8Array
  /** Where its chunks begin in `buffer`. */
  readonly start: number
  /** Where its chunks end in `buffer`. */
  readonly end: number
}

/** Messages encoded together. `bytes` is exactly as long as its records. */
export interface Batch {
  /** The chunks of all messages, in order, for message stream id 1. */
  readonly bytes: Uint8Array
  /** One record per message, in order. */
  readonly records: ReadonlyArray<MediaRecord>
  /** How many of the records carry audio or video frames. */
  readonly frames: number
}

/** A message without the facts that only a stream needs: what `encodeMessages` takes. */
export interface EncodableMessage {
  /** Audio, video or data: decides the chunk stream. */
  readonly kind: MediaKind
  /** What the payload is to the stream. */
  readonly role: MediaRole
  /** The RTMP message type id. */
  readonly typeId: number
  /** Unsigned 32-bit milliseconds. */
  readonly timestamp: number
  /** The message body. */
  readonly payload: Uint8Array
}

/** The chunk stream that messages of this kind go on. */
export const chunkStreamOf = (kind: MediaKind): number =>
  kind === "audio" ? AUDIO_CHUNK_STREAM : kind === "video" ? VIDEO_CHUNK_STREAM : DATA_CHUNK_STREAM

/** Tells whether a record carries a piece of audio or video (not a header, not metadata, not a command). */
export const isFrame = (record: MediaRecord | PendingMessage): boolean =>
  record.kind !== "data" && (record.role === "Frame" || record.role === "Keyframe")

/**
 * The timestamp that goes on the wire.
 *
 * **Gotchas**
 *
 * Metadata goes out with 0: FFmpeg takes `onMetaData` with any other time for a frame of a text stream.
 */
const wireTimestamp = (message: EncodableMessage): number =>
  message.role === "Metadata" && message.kind === "data" ? 0 : message.timestamp

// From this size on memory is asked of the system page by page.
const mappedBytes = 64 * 1024

/**
 * Memory for a batch. That of a resizable buffer is mapped, and goes back to the system with it, where the allocator of the C
 * library keeps what was freed: a stream of some megabits whose slow viewers have left would look as large as with them.
 */
const allocate = (bytes: number): Uint8Array =>
  bytes < mappedBytes
    ? new Uint8Array(bytes)
    : new Uint8Array(new ArrayBuffer(bytes, { maxByteLength: bytes }), 0, bytes)

/** Encodes messages into one buffer of exactly their size. The only copy of a payload on its way to all viewers. */
export const encode = (pending: ReadonlyArray<PendingMessage>, chunkSize: number): Batch => {
  let total = 0
  for (let i = 0; i < pending.length; i++) {
    const message = pending[i]!
    total += ChunkWriter.encodedLength(
      message.payload.length,
      wireTimestamp(message),
      chunkStreamOf(message.kind),
      chunkSize
    )
  }
  const bytes = allocate(total)
  const records: Array<MediaRecord> = []
  let offset = 0
  let frames = 0
  for (let i = 0; i < pending.length; i++) {
    const message = pending[i]!
    const start = offset
    offset = ChunkWriter.encodeInto(
      bytes,
      start,
      message.typeId,
      SHARED_MESSAGE_STREAM_ID,
      chunkStreamOf(message.kind),
      wireTimestamp(message),
      message.payload,
      chunkSize
    )
    if (isFrame(message)) frames++
    records.push({
      kind: message.kind,
      role: message.role,
      timestamp: message.timestamp,
      trackBit: message.trackBit,
      clockMs: message.clockMs,
      receivedAtMs: message.receivedAtMs,
      buffer: bytes,
      start,
      end: offset
    })
  }
  return { bytes, records, frames }
}

/** Copies the messages `from` to `to` (exclusive) of a run, addressed to another message stream. */
export const readdress = (run: Run, from: number, to: number, messageStreamId: number): Uint8Array => {
  const { bytes, starts } = run
  const offset = starts[from] ?? bytes.length
  const out = bytes.slice(offset, starts[to] ?? bytes.length)
  for (let i = from; i < to && i < starts.length; i++) {
    Bytes.putU32Le(out, starts[i]! - offset + messageStreamIdOffset, messageStreamId)
  }
  return out
}

/** Copies that somebody holds, of the batch that they were taken from, by the places of their records. */
const repacked = new WeakMap<Uint8Array, Map<string, WeakRef<Uint8Array>>>()

/**
 * Copies records of one batch into memory of exactly their size, so that they do not keep the batch alive any more. Who asks
 * for the same ones while somebody holds the copy gets the same memory: viewers who are slow together drop the same frames.
 */
export const repack = (records: ReadonlyArray<MediaRecord>): ReadonlyArray<MediaRecord> => {
  const batch = records[0]?.buffer
  if (batch === undefined) return []
  const copies = repacked.get(batch) ?? new Map<string, WeakRef<Uint8Array>>()
  const key = records.map(({ start }) => start).join()
  let buffer = copies.get(key)?.deref()
  if (buffer === undefined) {
    buffer = concatRecords(records).bytes
    copies.set(key, new WeakRef(buffer))
    repacked.set(batch, copies)
  }
  let end = 0
  const packed: Array<MediaRecord> = []
  for (const record of records) {
    const start = end
    end += record.end - record.start
    packed.push({
      kind: record.kind,
      role: record.role,
      timestamp: record.timestamp,
      trackBit: record.trackBit,
      clockMs: record.clockMs,
      receivedAtMs: record.receivedAtMs,
      buffer,
      start,
      end
    })
  }
  return packed
}

/** The same batch for viewers whose message stream id is not 1. */
export const forMessageStream = (batch: Batch, messageStreamId: number): Uint8Array => {
  const out = batch.bytes.slice()
  for (let i = 0; i < batch.records.length; i++) {
    Bytes.putU32Le(out, batch.records[i]!.start + messageStreamIdOffset, messageStreamId)
  }
  return out
}

/**
 * Whole messages back to back, and where each begins: what a joiner is given, and what `readdress` works on.
 */
export interface Run {
  /** The chunks of all messages. */
  readonly bytes: Uint8Array
  /** The offset of each message in `bytes`. */
  readonly starts: ReadonlyArray<number>
}

/** Copies records into one run, addressed to `messageStreamId`. */
export const concatRecords = (
  records: ReadonlyArray<MediaRecord>,
  messageStreamId: number = SHARED_MESSAGE_STREAM_ID
): Run => {
  let total = 0
  for (let i = 0; i < records.length; i++) total += records[i]!.end - records[i]!.start
  const bytes = new Uint8Array(total)
  const starts: Array<number> = []
  let offset = 0
  let i = 0
  while (i < records.length) {
    // Neighbours in one batch are copied together: usually a whole flush at a time.
    const from = records[i]!
    let to = from
    starts.push(offset)
    while (i + 1 < records.length && records[i + 1]!.buffer === from.buffer && records[i + 1]!.start === to.end) {
      to = records[++i]!
      starts.push(offset + to.start - from.start)
    }
    bytes.set(from.buffer.subarray(from.start, to.end), offset)
    offset += to.end - from.start
    i++
  }
  if (messageStreamId !== SHARED_MESSAGE_STREAM_ID) {
    for (const start of starts) Bytes.putU32Le(bytes, start + messageStreamIdOffset, messageStreamId)
  }
  return { bytes, starts }
}

/** Encodes loose messages into one run, for message stream id 1. */
export const encodeMessages = (messages: ReadonlyArray<EncodableMessage>, chunkSize: number): Run => {
  let total = 0
  for (const message of messages) {
    const { kind, payload } = message
    total += ChunkWriter.encodedLength(payload.length, wireTimestamp(message), chunkStreamOf(kind), chunkSize)
  }
  const bytes = new Uint8Array(total)
  const starts: Array<number> = []
  let offset = 0
  for (const message of messages) {
    const { kind, payload, typeId } = message
    starts.push(offset)
    offset = ChunkWriter.encodeInto(
      bytes,
      offset,
      typeId,
      SHARED_MESSAGE_STREAM_ID,
      chunkStreamOf(kind),
      wireTimestamp(message),
      payload,
      chunkSize
    )
  }
  return { bytes, starts }
}

/** A batch readdressed at most once per message stream id: the fan-out loop asks it for viewers without the usual id. */
export class Readdressed {
  readonly #batch: Batch
  readonly #byId = new Map<number, Uint8Array>()

  constructor(batch: Batch) {
    this.#batch = batch
  }

  /** The bytes of the batch for this message stream id. */
  bytes(messageStreamId: number): Uint8Array {
    if (messageStreamId === SHARED_MESSAGE_STREAM_ID) return this.#batch.bytes
    let bytes = this.#byId.get(messageStreamId)
    if (bytes === undefined) {
      bytes = forMessageStream(this.#batch, messageStreamId)
      this.#byId.set(messageStreamId, bytes)
    }
    return bytes
  }
}
