/**
 * Writes an RTMP chunk stream: whole messages in, bytes out (RTMP 1.0 §5.3).
 *
 * There are two ways, for two jobs:
 *
 * - A `ChunkWriter` belongs to one direction of one connection. It leaves out header fields that the peer knows from the
 *   message before (types 1 to 3), so its bytes must all be sent, in order.
 * - `encodeInto` and `encodedLength` keep no state: every message begins with a full type 0 header. A batch encoded once
 *   can go to any number of viewers, and any of its messages can be left out.
 *
 * Messages are not interleaved: their chunks follow each other. This module checks no session rule and sends nothing.
 *
 * **Gotchas**
 *
 * - One connection may mix both, on different chunk stream ids: `encodeInto` changes header state at the peer that a
 *   `ChunkWriter` does not know of.
 * - Type 3 chunks repeat an extended timestamp. FFmpeg and librtmp players demand it; GStreamer takes either form.
 * - A message starts with a type 3 chunk only where all readers agree on its time: after a delta (type 1 or 2) that it
 *   repeats, or at time 0 after time 0. After another type 0, FFmpeg, librtmp and GStreamer add the absolute time again,
 *   nginx-rtmp and gortmplib add nothing.
 * - A time that goes back, and a delta that would need an extended timestamp, become a type 0 chunk: SRS reads an
 *   extended delta as an absolute time, and old OBS expects none on type 3.
 * - FFmpeg players do not know Abort: it is encoded when asked for, and should not be.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Bytes from "./Bytes.ts"
import {
  basicHeaderLength,
  DEFAULT_CHUNK_SIZE,
  EXTENDED_TIMESTAMP,
  type Format,
  MAX_CHUNK_SIZE,
  MAX_CHUNK_STREAM_ID,
  MAX_PAYLOAD_BYTES,
  MIN_CHUNK_STREAM_ID,
  putBasicHeader
} from "./ChunkHeader.ts"
import { type Message, SET_CHUNK_SIZE } from "./Message.ts"
import * as Timestamp from "./Timestamp.ts"

/**
 * Writes one direction of one connection, with compressed headers. Made by `make`.
 *
 * A message that does not fit the protocol (payload above 16,777,215 bytes, chunk stream id outside 2 to 65599, a Set
 * Chunk Size of 0 or above 0x7FFFFFFF) is our own mistake: `write` and `writeAll` throw a `RangeError`, and the writer
 * must not be used any more.
 */
export interface ChunkWriter {
  /** The bytes of one message. A Set Chunk Size message takes effect for the messages after it. */
  readonly write: (message: Message) => Uint8Array
  /** The bytes of several messages in one array: the same bytes as `write` gives one after the other. */
  readonly writeAll: (messages: ReadonlyArray<Message>) => Uint8Array
  /** The chunk size in force, 1 to 0xFFFFFF; 128 at first. */
  readonly chunkSize: number
  /**
   * Changes the chunk size, where the Set Chunk Size message reaches the peer by other means than `write`.
   *
   * Takes 1 to 0x7FFFFFFF; everything above 0xFFFFFF is the same as 0xFFFFFF.
   */
  readonly setChunkSize: (chunkSize: number) => void
}

/**
 * Makes a writer for the bytes after a handshake.
 *
 * `chunkSize` is what the peer assumes at this point: 128 on a new connection, which is the default.
 */
export const make = (options?: { readonly chunkSize?: number }): ChunkWriter =>
  new Writer(checkChunkSize(options?.chunkSize ?? DEFAULT_CHUNK_SIZE))

/**
 * The number of bytes that `encodeInto` writes for a payload of `payloadBytes` bytes.
 *
 * `timestamp` in milliseconds counts because times from 0xFFFFFF on take four more bytes in every chunk.
 */
export const encodedLength = (
  payloadBytes: number,
  timestamp: number,
  chunkStreamId: number,
  chunkSize: number
): number => {
  const repeated = basicHeaderLength(chunkStreamId) + (timestamp >= EXTENDED_TIMESTAMP ? 4 : 0)
  const chunks = payloadBytes <= chunkSize ? 1 : Math.ceil(payloadBytes / chunkSize)
  return payloadBytes + 11 + chunks * repeated
}

/**
 * Encodes one message at `offset` of `target`, with a type 0 header and type 3 continuations, and gives the offset after.
 *
 * It depends on nothing that was sent before but the chunk size, so a viewer can be sent any selection of such messages.
 * The target must have room for `encodedLength` bytes, the timestamp be an unsigned 32-bit number of milliseconds, and
 * the ids and the payload length be in range: this is the hot path of a fan-out, and checks nothing but the room, whose
 * lack throws a `RangeError`.
 */
export const encodeInto = (
  target: Uint8Array,
  offset: number,
  typeId: number,
  streamId: number,
  chunkStreamId: number,
  timestamp: number,
  payload: Uint8Array,
  chunkSize: number
): number => {
  let at = putBasicHeader(target, offset, 0, chunkStreamId)
  const extended = timestamp >= EXTENDED_TIMESTAMP
  Bytes.putU24(target, at, extended ? EXTENDED_TIMESTAMP : timestamp)
  Bytes.putU24(target, at + 3, payload.length)
  target[at + 6] = typeId
  Bytes.putU32Le(target, at + 7, streamId)
  at += 11
  if (extended) {
    Bytes.putU32(target, at, timestamp)
    at += 4
  }
  return putPayload(target, at, chunkStreamId, extended ? timestamp : -1, payload, chunkSize)
}

/** Turns a stream of message batches into a stream of bytes, with a writer of its own for each run. */
export const encode =
  (makeWriter: () => ChunkWriter = make) =>
  <E, R>(self: Stream.Stream<ReadonlyArray<Message>, E, R>): Stream.Stream<Uint8Array, E, R> =>
    Stream.suspend(() => {
      const writer = makeWriter()
      return Stream.map(self, (messages) => writer.writeAll(messages))
    })

/** Makes chunk writers and encodes single messages: the service to replace where a server writes another framing. */
export class ChunkWriting extends Context.Service<
  ChunkWriting,
  {
    /** Makes a writer for one connection. */
    readonly make: (options?: { readonly chunkSize?: number }) => ChunkWriter
    /** See the function of this name. */
    readonly encodedLength: typeof encodedLength
    /** See the function of this name. */
    readonly encodeInto: typeof encodeInto
  }
>()("effect-rtmp/protocol/ChunkWriter") {
  /** The writer of this module. */
  static readonly layer: Layer.Layer<ChunkWriting> = Layer.succeed(ChunkWriting, { make, encodedLength, encodeInto })
}

const checkChunkSize = (size: number): number => {
  if (!Number.isInteger(size) || size < 1 || size > 0x7fffffff) throw new RangeError(`invalid chunk size ${size}`)
  return Math.min(size, MAX_CHUNK_SIZE)
}

const checkMessage = (message: Message): void => {
  const { chunkStreamId, payload } = message
  if (payload.length > MAX_PAYLOAD_BYTES) throw new RangeError(`payload of ${payload.length} bytes is too long`)
  if (!(chunkStreamId >= MIN_CHUNK_STREAM_ID && chunkStreamId <= MAX_CHUNK_STREAM_ID)) {
    throw new RangeError(`invalid chunk stream id ${chunkStreamId}`)
  }
}

/** Writes the payload from the first chunk's on, with type 3 headers between; `extended` is -1 or what they repeat. */
const putPayload = (
  target: Uint8Array,
  at: number,
  chunkStreamId: number,
  extended: number,
  payload: Uint8Array,
  chunkSize: number
): number => {
  const length = payload.length
  if (length <= chunkSize) {
    target.set(payload, at)
    return at + length
  }
  target.set(payload.subarray(0, chunkSize), at)
  at += chunkSize
  for (let from = chunkSize; from < length; from += chunkSize) {
    at = putBasicHeader(target, at, 3, chunkStreamId)
    if (extended >= 0) {
      Bytes.putU32(target, at, extended)
      at += 4
    }
    const to = Math.min(from + chunkSize, length)
    target.set(payload.subarray(from, to), at)
    at += to - from
  }
  return at
}

/** What the peer remembers of the message before on one chunk stream. */
interface Previous {
  timestamp: number
  /** The delta that a fresh type 3 chunk stands for, or -1 where readers disagree on it. */
  delta: number
  length: number
  typeId: number
  streamId: number
}

class Writer implements ChunkWriter {
  chunkSize: number
  readonly #previous: Map<number, Previous> = new Map()

  constructor(chunkSize: number) {
    this.chunkSize = chunkSize
  }

  setChunkSize(chunkSize: number): void {
    this.chunkSize = checkChunkSize(chunkSize)
  }

  write(message: Message): Uint8Array {
    return this.writeAll([message])
  }

  writeAll(messages: ReadonlyArray<Message>): Uint8Array {
    // A type 0 header is the longest that any message gets here, so this is enough, and rarely much more.
    let room = 0
    let chunkSize = this.chunkSize
    for (const message of messages) {
      checkMessage(message)
      room += encodedLength(message.payload.length, message.timestamp >>> 0, message.chunkStreamId, chunkSize)
      if (message.typeId === SET_CHUNK_SIZE) chunkSize = announcedChunkSize(message)
    }
    const target = new Uint8Array(room)
    let at = 0
    for (const message of messages) at = this.#put(target, at, message)
    return at === room ? target : target.subarray(0, at)
  }

  #put(target: Uint8Array, at: number, message: Message): number {
    const { chunkStreamId, payload, streamId, typeId } = message
    const timestamp = message.timestamp >>> 0
    const previous = this.#previous.get(chunkStreamId)
    const delta = previous === undefined ? -1 : Timestamp.difference(timestamp, previous.timestamp)
    let format: Format = 0
    if (previous !== undefined && previous.streamId === streamId && delta >= 0 && delta < EXTENDED_TIMESTAMP) {
      if (previous.length !== payload.length || previous.typeId !== typeId) format = 1
      else format = previous.delta === delta ? 3 : 2
    }
    if (format === 0) {
      at = encodeInto(target, at, typeId, streamId, chunkStreamId, timestamp, payload, this.chunkSize)
    } else {
      at = putBasicHeader(target, at, format, chunkStreamId)
      if (format !== 3) {
        Bytes.putU24(target, at, delta)
        at += 3
      }
      if (format === 1) {
        Bytes.putU24(target, at, payload.length)
        target[at + 3] = typeId
        at += 4
      }
      at = putPayload(target, at, chunkStreamId, -1, payload, this.chunkSize)
    }
    const known = format > 0 ? delta : timestamp === 0 ? 0 : -1
    if (previous === undefined) {
      this.#previous.set(chunkStreamId, { timestamp, delta: known, length: payload.length, typeId, streamId })
    } else {
      previous.timestamp = timestamp
      previous.delta = known
      previous.length = payload.length
      previous.typeId = typeId
      previous.streamId = streamId
    }
    if (typeId === SET_CHUNK_SIZE) this.chunkSize = announcedChunkSize(message)
    return at
  }
}

const announcedChunkSize = (message: Message): number =>
  checkChunkSize(message.payload.length < 4 ? 0 : Bytes.u32(message.payload, 0))
