/**
 * User control messages: type 4, an event number and its data (RTMP 1.0 §6.2, §7.1.7).
 *
 * `decode` gives a plain tagged object for the events that live servers and their clients use and `Unknown` for all
 * others; the constructors give messages ready to be written: chunk stream 2, message stream 0, time 0. What an event
 * means for a session, and how often a ping is answered, is the session's.
 *
 * **Gotchas**
 *
 * - OBS never answers pings once it publishes, and FFmpeg publishers answer late: any received byte is a sign of life.
 * - `rtmp2src` of GStreamer ends only on StreamEOF; FFmpeg ignores it.
 * - FMS-era events stay `Unknown`: SWF verification (26, 27), BufferEmpty and BufferReady (31, 32).
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Bytes from "./Bytes.ts"
import { CONTROL_CHUNK_STREAM_ID } from "./ChunkHeader.ts"
import { type Message, USER_CONTROL } from "./Message.ts"

/** Event number of StreamBegin. */
export const STREAM_BEGIN = 0
/** Event number of StreamEOF. */
export const STREAM_EOF = 1
/** Event number of StreamDry. */
export const STREAM_DRY = 2
/** Event number of SetBufferLength. */
export const SET_BUFFER_LENGTH = 3
/** Event number of StreamIsRecorded. */
export const STREAM_IS_RECORDED = 4
/** Event number of PingRequest. */
export const PING_REQUEST = 6
/** Event number of PingResponse. */
export const PING_RESPONSE = 7

/** Server to client: the message stream can be used. */
export interface StreamBegin {
  readonly _tag: "StreamBegin"
  readonly streamId: number
}

/** Server to client: playback on the message stream has ended. */
export interface StreamEof {
  readonly _tag: "StreamEof"
  readonly streamId: number
}

/** Server to client: there is no more data on the message stream for now. */
export interface StreamDry {
  readonly _tag: "StreamDry"
  readonly streamId: number
}

/** Client to server: the size of the client's buffer in milliseconds. Any 32-bit number can stand there. */
export interface SetBufferLength {
  readonly _tag: "SetBufferLength"
  readonly streamId: number
  readonly bufferMs: number
}

/** Server to client: the message stream is a recording. */
export interface StreamIsRecorded {
  readonly _tag: "StreamIsRecorded"
  readonly streamId: number
}

/** To be answered with a `PingResponse` of the same `timestamp`, a 32-bit number of the sender's choice. */
export interface PingRequest {
  readonly _tag: "PingRequest"
  readonly timestamp: number
}

/** The answer to a `PingRequest`. */
export interface PingResponse {
  readonly _tag: "PingResponse"
  readonly timestamp: number
}

/** An event that has no name here: its 16-bit number, and its data as a view of the payload. */
export interface Unknown {
  readonly _tag: "Unknown"
  readonly event: number
  readonly data: Uint8Array
}

/** A user control event. Stream ids are message stream ids, unsigned 32-bit. */
export type UserControl =
  | StreamBegin
  | StreamEof
  | StreamDry
  | SetBufferLength
  | StreamIsRecorded
  | PingRequest
  | PingResponse
  | Unknown

/**
 * A user control payload too short for its event.
 *
 * `event` is its number, `undefined` where not even two bytes are there; `length` and `needed` count payload bytes. Skip
 * such a message and stay connected.
 */
export class UserControlError extends Data.TaggedError("UserControlError")<{
  readonly reason: "TooShort"
  readonly event: number | undefined
  readonly length: number
  readonly needed: number
}> {
  /** One line for logs. */
  override get message(): string {
    const what = this.event === undefined ? "user control message" : `user control event ${this.event}`
    return `${what} of ${this.length} bytes is too short, ${this.needed} needed`
  }
}

/** Decodes the payload of a type 4 message. Bytes after the known fields are ignored. */
export const decode = (payload: Uint8Array): Result.Result<UserControl, UserControlError> => {
  const length = payload.length
  if (length < 2) return Result.fail(new UserControlError({ reason: "TooShort", event: undefined, length, needed: 2 }))
  const event = Bytes.u16(payload, 0)
  if (event > PING_RESPONSE || event === 5) return Result.succeed({ _tag: "Unknown", event, data: payload.subarray(2) })
  const needed = event === SET_BUFFER_LENGTH ? 10 : 6
  if (length < needed) return Result.fail(new UserControlError({ reason: "TooShort", event, length, needed }))
  const value = Bytes.u32(payload, 2)
  switch (event) {
    case STREAM_BEGIN:
      return Result.succeed({ _tag: "StreamBegin", streamId: value })
    case STREAM_EOF:
      return Result.succeed({ _tag: "StreamEof", streamId: value })
    case STREAM_DRY:
      return Result.succeed({ _tag: "StreamDry", streamId: value })
    case SET_BUFFER_LENGTH:
      return Result.succeed({ _tag: "SetBufferLength", streamId: value, bufferMs: Bytes.u32(payload, 6) })
    case STREAM_IS_RECORDED:
      return Result.succeed({ _tag: "StreamIsRecorded", streamId: value })
    case PING_REQUEST:
      return Result.succeed({ _tag: "PingRequest", timestamp: value })
    default:
      return Result.succeed({ _tag: "PingResponse", timestamp: value })
  }
}

/** The message for a decoded value: the inverse of `decode`. */
export const encode = (control: UserControl): Message => {
  switch (control._tag) {
    case "StreamBegin":
      return streamBegin(control.streamId)
    case "StreamEof":
      return streamEof(control.streamId)
    case "StreamDry":
      return streamDry(control.streamId)
    case "SetBufferLength":
      return setBufferLength(control.streamId, control.bufferMs)
    case "StreamIsRecorded":
      return streamIsRecorded(control.streamId)
    case "PingRequest":
      return pingRequest(control.timestamp)
    case "PingResponse":
      return pingResponse(control.timestamp)
    case "Unknown":
      return unknown(control.event, control.data)
  }
}

/** StreamBegin for a message stream id; 0 for the connection itself. */
export const streamBegin = (streamId: number): Message => u32Event(STREAM_BEGIN, streamId)

/** StreamEOF for a message stream id. */
export const streamEof = (streamId: number): Message => u32Event(STREAM_EOF, streamId)

/** StreamDry for a message stream id. */
export const streamDry = (streamId: number): Message => u32Event(STREAM_DRY, streamId)

/** SetBufferLength: the client buffers `bufferMs` milliseconds of a message stream. */
export const setBufferLength = (streamId: number, bufferMs: number): Message => {
  const payload = new Uint8Array(10)
  Bytes.putU16(payload, 0, SET_BUFFER_LENGTH)
  Bytes.putU32(payload, 2, streamId)
  Bytes.putU32(payload, 6, bufferMs)
  return message(payload)
}

/** StreamIsRecorded for a message stream id. */
export const streamIsRecorded = (streamId: number): Message => u32Event(STREAM_IS_RECORDED, streamId)

/** PingRequest with a 32-bit number to be echoed, usually the sender's clock in milliseconds. */
export const pingRequest = (timestamp: number): Message => u32Event(PING_REQUEST, timestamp)

/** PingResponse with the number of the request that it answers. */
export const pingResponse = (timestamp: number): Message => u32Event(PING_RESPONSE, timestamp)

/** Any other event, by its 16-bit number, with its data copied. Throws a `RangeError` for another number. */
export const unknown = (event: number, data: Uint8Array): Message => {
  if (!Number.isInteger(event) || event < 0 || event > 0xffff) throw new RangeError(`invalid event number ${event}`)
  const payload = new Uint8Array(2 + data.length)
  Bytes.putU16(payload, 0, event)
  payload.set(data, 2)
  return message(payload)
}

/** Decodes and encodes user control messages: the service face of this module. */
export class UserControlCodec extends Context.Service<
  UserControlCodec,
  {
    /** See the function of this name. */
    readonly decode: (payload: Uint8Array) => Result.Result<UserControl, UserControlError>
    /** See the function of this name. */
    readonly encode: (control: UserControl) => Message
  }
>()("effect-rtmp/protocol/UserControl") {
  /** The codec of this module. */
  static readonly layer: Layer.Layer<UserControlCodec> = Layer.succeed(UserControlCodec, { decode, encode })
}

const u32Event = (event: number, value: number): Message => {
  const payload = new Uint8Array(6)
  Bytes.putU16(payload, 0, event)
  Bytes.putU32(payload, 2, value)
  return message(payload)
}

const message = (payload: Uint8Array): Message => ({
  typeId: USER_CONTROL,
  streamId: 0,
  chunkStreamId: CONTROL_CHUNK_STREAM_ID,
  timestamp: 0,
  payload
})
