/**
 * The payloads of protocol control messages: types 1, 2, 3, 5 and 6 (RTMP 1.0 §5.4).
 *
 * `decode` gives a plain tagged object, the constructors give messages ready to be written: chunk stream 2, message
 * stream 0, time 0. Nothing here takes effect: the `ChunkReader` has applied Set Chunk Size and Abort by the time it
 * returns them, the `ChunkWriter` applies what it writes, and windows are the session's.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Bytes from "./Bytes.ts"
import { CONTROL_CHUNK_STREAM_ID, MAX_CHUNK_STREAM_ID, MIN_CHUNK_STREAM_ID } from "./ChunkHeader.ts"
import {
  ABORT,
  ACKNOWLEDGEMENT,
  type Message,
  SET_CHUNK_SIZE,
  SET_PEER_BANDWIDTH,
  typeName,
  WINDOW_ACK_SIZE
} from "./Message.ts"

/** How a peer is to take a bandwidth limit (RTMP 1.0 §5.4.5). */
export type BandwidthLimit = "hard" | "soft" | "dynamic"

/**
 * The chunks after this message hold up to `size` bytes of payload, 0 to 2^32-1 as sent.
 *
 * A `ChunkReader` fails on 0 and on values above 0x7FFFFFFF and so never returns them (RTMP 1.0 §5.4.1).
 */
export interface SetChunkSize {
  readonly _tag: "SetChunkSize"
  readonly size: number
}

/** The message in progress on `chunkStreamId` is given up (RTMP 1.0 §5.4.2). Any 32-bit number can stand there. */
export interface Abort {
  readonly _tag: "Abort"
  readonly chunkStreamId: number
}

/**
 * The peer has received bytes up to `sequence`, modulo 2^32 (RTMP 1.0 §5.4.3).
 *
 * **Gotchas**
 *
 * librtmp and OBS count the 3,073 bytes of the handshake, FFmpeg does not, GStreamer counts from elsewhere: a number to
 * look at, not to check.
 */
export interface Acknowledgement {
  readonly _tag: "Acknowledgement"
  readonly sequence: number
}

/** The sender wants an Acknowledgement after every `size` bytes, 0 to 2^32-1 as sent (RTMP 1.0 §5.4.4). */
export interface WindowAckSize {
  readonly _tag: "WindowAckSize"
  readonly size: number
}

/**
 * The receiver should have no more than `size` bytes unacknowledged (RTMP 1.0 §5.4.5).
 *
 * A limit type that is missing (a payload of four bytes) or unknown counts as dynamic.
 */
export interface SetPeerBandwidth {
  readonly _tag: "SetPeerBandwidth"
  readonly size: number
  readonly limit: BandwidthLimit
}

/** A protocol control message. */
export type ProtocolControl = SetChunkSize | Abort | Acknowledgement | WindowAckSize | SetPeerBandwidth

/**
 * A message that is not a readable protocol control message.
 *
 * `TooShort`: fewer than the four bytes that every type needs. `NotProtocolControl`: the type is another. `typeId` is
 * the message type, `length` that of the payload in bytes.
 *
 * **Gotchas**
 *
 * Skip a short Abort or Acknowledgement and stay connected. Short messages of the other types never get here: a
 * `ChunkReader` fails on them.
 */
export class ProtocolControlError extends Data.TaggedError("ProtocolControlError")<{
  readonly reason: "TooShort" | "NotProtocolControl"
  readonly typeId: number
  readonly length: number
}> {
  /** One line for logs. */
  override get message(): string {
    return this.reason === "TooShort"
      ? `${typeName(this.typeId)} message of ${this.length} bytes is too short`
      : `message type ${this.typeId} is not a protocol control message`
  }
}

/**
 * Decodes the payload of a message of type 1, 2, 3, 5 or 6. Bytes after the known fields are ignored, and so are the
 * message's chunk stream, message stream and time.
 */
export const decode = (message: Message): Result.Result<ProtocolControl, ProtocolControlError> => {
  const { payload, typeId } = message
  if (!isProtocolControl(typeId)) {
    return Result.fail(new ProtocolControlError({ reason: "NotProtocolControl", typeId, length: payload.length }))
  }
  if (payload.length < 4) {
    return Result.fail(new ProtocolControlError({ reason: "TooShort", typeId, length: payload.length }))
  }
  const value = Bytes.u32(payload, 0)
  switch (typeId) {
    case SET_CHUNK_SIZE:
      return Result.succeed({ _tag: "SetChunkSize", size: value })
    case ABORT:
      return Result.succeed({ _tag: "Abort", chunkStreamId: value })
    case ACKNOWLEDGEMENT:
      return Result.succeed({ _tag: "Acknowledgement", sequence: value })
    case WINDOW_ACK_SIZE:
      return Result.succeed({ _tag: "WindowAckSize", size: value })
    default:
      return Result.succeed({ _tag: "SetPeerBandwidth", size: value, limit: limits[payload[4] ?? 2] ?? "dynamic" })
  }
}

/** Tells whether a message type is one of this module: 1, 2, 3, 5 or 6. */
export const isProtocolControl = (typeId: number): boolean =>
  typeId >= SET_CHUNK_SIZE && typeId <= SET_PEER_BANDWIDTH && typeId !== 4

/** The message for a decoded value: the inverse of `decode`, with the checks of the constructors below. */
export const encode = (control: ProtocolControl): Message => {
  switch (control._tag) {
    case "SetChunkSize":
      return setChunkSize(control.size)
    case "Abort":
      return abort(control.chunkStreamId)
    case "Acknowledgement":
      return acknowledgement(control.sequence)
    case "WindowAckSize":
      return windowAckSize(control.size)
    case "SetPeerBandwidth":
      return setPeerBandwidth(control.size, control.limit)
  }
}

/**
 * Set Chunk Size, 1 to 0x7FFFFFFF bytes; throws a `RangeError` for others.
 *
 * **Gotchas**
 *
 * - FFmpeg takes the size over for what it sends, so it decides how a publisher's chunks look.
 * - Send it before anything above 128 bytes, and not again once OBS publishes: OBS then no longer applies it.
 */
export const setChunkSize = (size: number): Message => control(SET_CHUNK_SIZE, positive("chunk size", size))

/**
 * Abort Message for a chunk stream id, 2 to 65599; throws a `RangeError` for others.
 *
 * **Gotchas**
 *
 * FFmpeg players, nginx-rtmp and GStreamer do not implement it and lose step: servers should not send it.
 */
export const abort = (chunkStreamId: number): Message => {
  if (!(chunkStreamId >= MIN_CHUNK_STREAM_ID && chunkStreamId <= MAX_CHUNK_STREAM_ID)) {
    throw new RangeError(`invalid chunk stream id ${chunkStreamId}`)
  }
  return control(ABORT, chunkStreamId)
}

/** Acknowledgement of all bytes received so far, any non-negative integer: it is sent modulo 2^32. */
export const acknowledgement = (bytesReceived: number): Message => control(ACKNOWLEDGEMENT, bytesReceived)

/**
 * Window Acknowledgement Size, 1 to 0x7FFFFFFF bytes; throws a `RangeError` for others.
 *
 * **Gotchas**
 *
 * FFmpeg closes the connection on 0 and on values that are negative as a signed number.
 */
export const windowAckSize = (size: number): Message => control(WINDOW_ACK_SIZE, positive("window", size))

/**
 * Set Peer Bandwidth, 1 to 0x7FFFFFFF bytes; throws a `RangeError` for others.
 *
 * **Gotchas**
 *
 * FFmpeg closes the connection on 0 and on values that are negative as a signed number.
 */
export const setPeerBandwidth = (size: number, limit: BandwidthLimit): Message => {
  const payload = new Uint8Array(5)
  Bytes.putU32(payload, 0, positive("bandwidth", size))
  payload[4] = limits.indexOf(limit)
  return { typeId: SET_PEER_BANDWIDTH, streamId: 0, chunkStreamId: CONTROL_CHUNK_STREAM_ID, timestamp: 0, payload }
}

/** Decodes and encodes protocol control messages: the service face of this module. */
export class ProtocolControlCodec extends Context.Service<
  ProtocolControlCodec,
  {
    /** See the function of this name. */
    readonly decode: (message: Message) => Result.Result<ProtocolControl, ProtocolControlError>
    /** See the function of this name. */
    readonly encode: (control: ProtocolControl) => Message
  }
>()("effect-rtmp/protocol/ProtocolControl") {
  /** The codec of this module. */
  static readonly layer: Layer.Layer<ProtocolControlCodec> = Layer.succeed(ProtocolControlCodec, { decode, encode })
}

/** By their number on the wire. */
const limits: ReadonlyArray<BandwidthLimit> = ["hard", "soft", "dynamic"]

const positive = (name: string, value: number): number => {
  if (!Number.isInteger(value) || value < 1 || value > 0x7fffffff) throw new RangeError(`invalid ${name} ${value}`)
  return value
}

const control = (typeId: number, value: number): Message => {
  const payload = new Uint8Array(4)
  Bytes.putU32(payload, 0, value)
  return { typeId, streamId: 0, chunkStreamId: CONTROL_CHUNK_STREAM_ID, timestamp: 0, payload }
}
