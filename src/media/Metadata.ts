/**
 * Data messages: finding the handler name and what of the payload is relayed, and reading `onMetaData`.
 *
 * A publisher wraps metadata as `@setDataFrame`, `onMetaData`, values; what players get, and what a server keeps for
 * joiners, begins at `onMetaData`. That start is found by comparing bytes, without decoding AMF, because other data
 * messages (cue points, timed text) may come as often as frames. Only `onMetaData` is decoded in full, by `check`.
 *
 * **Gotchas**
 *
 * - Metadata is advice. FFmpeg and OBS have announced AVC and sent HEVC: codecs come from the media messages.
 * - Values may be an object or an ECMA array, null (Dahua) or missing, and may lack their end marker.
 * - Codec ids may be legacy numbers, FourCCs as numbers (E-RTMP v2), or strings (XSplit).
 * - Uniview cameras put an AMF number in front of `@setDataFrame`; it is left behind with the wrapping.
 * - FFmpeg's timecode tracks give data messages of four bytes that are not AMF; relaying one costs FFmpeg players a packet.
 */
import * as Result from "effect/Result"
import * as Amf0 from "../protocol/amf/Amf0.ts"
import * as AmfValue from "../protocol/amf/AmfValue.ts"
import * as Bytes from "../protocol/Bytes.ts"
import * as Message from "../protocol/Message.ts"
import * as AudioTag from "./AudioTag.ts"
import * as FourCc from "./FourCc.ts"
import * as VideoTag from "./VideoTag.ts"

/** The most bytes of an `onMetaData` that is relayed. */
export const maxMetadataBytes = 1_048_576

const NUMBER = 0x00
const STRING = 0x02
const LONG_STRING = 0x0c

const SET_DATA_FRAME = Bytes.fromUtf8("@setDataFrame")
const CLEAR_DATA_FRAME = Bytes.fromUtf8("@clearDataFrame")
const ON_METADATA = Bytes.fromUtf8("onMetaData")
const COLOR_INFO = Bytes.fromUtf8("colorInfo")

/** The offset behind the AMF0 string at `offset`; -1 where there is no whole, non-empty string. */
const stringEnd = (bytes: Uint8Array, offset: number): number => {
  const start = stringStart(bytes, offset)
  if (start < 0) return -1
  const length = start === offset + 3 ? Bytes.u16(bytes, offset + 1) : Bytes.u32(bytes, offset + 1)
  return length > 0 && length <= bytes.length - start ? start + length : -1
}

/** The offset of the first character of the AMF0 string at `offset`; -1 where there is no string. */
const stringStart = (bytes: Uint8Array, offset: number): number => {
  const width = bytes[offset] === STRING ? 3 : bytes[offset] === LONG_STRING ? 5 : 0
  return width > 0 && offset + width <= bytes.length ? offset + width : -1
}

/** Tells whether the whole AMF0 string at `offset` is `name`. */
const isString = (bytes: Uint8Array, offset: number, name: Uint8Array): boolean => {
  const start = stringStart(bytes, offset)
  if (start < 0 || stringEnd(bytes, offset) !== start + name.length) return false
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false
  return true
}

/** Tells whether an AMF0 value may begin with `marker` (AMF0 §2.1). */
const beginsValue = (marker: number): boolean => marker <= 0x11 && marker !== 0x04 && marker !== 0x09 && marker !== 0x0e

const bodyOffsetFrom = (bytes: Uint8Array, start: number): number => {
  const offset = bytes[start] === NUMBER ? start + 9 : start
  let end = stringEnd(bytes, offset)
  if (end < 0) return -1
  let body = offset
  // Relays that were relayed to have wrapped it twice, and players know the handler below only.
  while (isString(bytes, body, SET_DATA_FRAME)) {
    body = end
    end = stringEnd(bytes, body)
    if (end < 0) return -1
  }
  return end === bytes.length || beginsValue(bytes[end]!) ? body : -1
}

/**
 * The offset at which the relayed part of a data message begins: at its handler name, behind the selector byte of a
 * type 15 message, a stray leading number, and `@setDataFrame`. -1 where no handler name can be found.
 *
 * A name counts if it is a whole AMF0 string of at least one byte and is followed by nothing or by a known marker. The
 * values behind it are not looked at.
 *
 * **Gotchas** A type 15 message should begin with the selector byte 0 (RTMP 1.0 §7.1.1); some clients leave it out, so
 * both readings are tried.
 */
export const bodyOffset = (typeId: number, bytes: Uint8Array): number => {
  if (typeId === Message.DATA_AMF3 && bytes[0] === 0) {
    const offset = bodyOffsetFrom(bytes, 1)
    if (offset >= 0) return offset
  }
  return bodyOffsetFrom(bytes, 0)
}

/**
 * The part of a data message that is relayed, as a view; `undefined` where no handler name can be found.
 *
 * It is AMF0 without a selector byte, whatever the type of the message was: send it as `Message.DATA_AMF0`.
 */
export const body = (typeId: number, bytes: Uint8Array): Uint8Array | undefined => {
  const offset = bodyOffset(typeId, bytes)
  return offset < 0 ? undefined : offset === 0 ? bytes : bytes.subarray(offset)
}

/**
 * What a data message is for: `OnMetaData`, `ClearDataFrame` (the publisher takes its metadata back; for the server, not
 * for players), or any `Other` handler, all of which are relayed alike.
 */
export type Handler = "OnMetaData" | "ClearDataFrame" | "Other"

/** The handler of a body that begins at `offset`, as `bodyOffset` found it. */
export const handlerAt = (bytes: Uint8Array, offset: number): Handler =>
  isString(bytes, offset, ON_METADATA)
    ? "OnMetaData"
    : isString(bytes, offset, CLEAR_DATA_FRAME)
      ? "ClearDataFrame"
      : "Other"

/**
 * What `check` found: `Values` (an object or an ECMA array), `NoValues` (null, nothing, or a value of another kind),
 * `TooLarge` (over `maxMetadataBytes`) or `Broken` (cut off, over `AmfValue.metadataLimits`, or not AMF).
 */
export type Check = "Values" | "NoValues" | "TooLarge" | "Broken"

/**
 * Decodes the value behind the handler name at `offset`, to tell whether players can have it and joiners should.
 *
 * A missing end marker at the end of the message, and anything behind the value, are let pass.
 */
export const check = (bytes: Uint8Array, offset: number): Check => {
  if (bytes.length - offset > maxMetadataBytes) return "TooLarge"
  const end = stringEnd(bytes, offset)
  if (end < 0) return "Broken"
  if (end === bytes.length) return "NoValues"
  const first = Amf0.decodeFirst(bytes, { limits: AmfValue.metadataLimits, offset: end, lenientEnd: true })
  if (Result.isFailure(first)) return "Broken"
  return AmfValue.entriesOf(first.success.value) === undefined ? "NoValues" : "Values"
}

/**
 * Looks at the body of an Enhanced RTMP Metadata packet, pairs of AMF0 names and values: `ColorInfo` where the first
 * name is that, `Other` for another name, `Broken` for what does not decode (E-RTMP v2, Metadata Frame).
 */
export const checkVideo = (bytes: Uint8Array): "ColorInfo" | "Other" | "Broken" => {
  if (stringEnd(bytes, 0) < 0) return "Broken"
  const values = Amf0.decode(bytes, { limits: AmfValue.metadataLimits, lenientEnd: true })
  if (Result.isFailure(values)) return "Broken"
  return isString(bytes, 0, COLOR_INFO) ? "ColorInfo" : "Other"
}

/** Puts `@setDataFrame` in front of a body: what a publisher sends so that the server keeps the metadata. */
export const setDataFrame = (body: Uint8Array): Uint8Array =>
  Bytes.concat([new Uint8Array([STRING, 0, SET_DATA_FRAME.length]), SET_DATA_FRAME, body])

/**
 * What `onMetaData` says of a stream, for statistics, logs and pages. A field is there only where the value is of a
 * sensible type; none of it is to be believed over the media messages.
 *
 * - `width`, `height`: pixels. `frameRate`: frames per second. `duration`: seconds.
 * - `videoDataRate`, `audioDataRate`: kilobits per second. `audioSampleRate`: Hz. `audioChannels`: count.
 * - `videoCodec`, `audioCodec`: named as `MediaFrame.codec` names them where the id is known, otherwise the id as text.
 * - `encoder`: at most 128 characters, control characters left out; so are those of the codecs, of at most 32.
 */
export interface MetadataSummary {
  readonly width?: number
  readonly height?: number
  readonly frameRate?: number
  readonly duration?: number
  readonly videoDataRate?: number
  readonly audioDataRate?: number
  readonly audioSampleRate?: number
  readonly audioChannels?: number
  readonly videoCodec?: string
  readonly audioCodec?: string
  readonly encoder?: string
}

/**
 * Summarises an `onMetaData` message of type 18, wrapped in `@setDataFrame` or not; for one of type 15 pass its `body`.
 * `undefined` where it is no `onMetaData`, cannot be decoded, or holds no object.
 */
export const summary = (bytes: Uint8Array): MetadataSummary | undefined => {
  const offset = bodyOffset(Message.DATA_AMF0, bytes)
  if (offset < 0 || handlerAt(bytes, offset) !== "OnMetaData" || bytes.length - offset > maxMetadataBytes)
    return undefined
  const end = stringEnd(bytes, offset)
  if (end === bytes.length) return undefined
  const first = Amf0.decodeFirst(bytes, { limits: AmfValue.metadataLimits, offset: end, lenientEnd: true })
  if (Result.isFailure(first) || AmfValue.entriesOf(first.success.value) === undefined) return undefined
  const value = first.success.value
  const out: { -readonly [K in keyof MetadataSummary]: MetadataSummary[K] } = {}
  for (const [field, key] of numbers) {
    const number = AmfValue.getNumber(value, key)
    if (number !== undefined && Number.isFinite(number) && number >= 0) out[field] = number
  }
  const stereo = AmfValue.getBoolean(value, "stereo")
  if (out.audioChannels === undefined && stereo !== undefined) out.audioChannels = stereo ? 2 : 1
  const videoCodec = codec(AmfValue.get(value, "videocodecid"), VideoTag.codecName)
  if (videoCodec !== undefined) out.videoCodec = videoCodec
  const audioCodec = codec(AmfValue.get(value, "audiocodecid"), AudioTag.codecName)
  if (audioCodec !== undefined) out.audioCodec = audioCodec
  const encoder = clean(AmfValue.getString(value, "encoder"), 128)
  if (encoder !== undefined) out.encoder = encoder
  return out
}

const numbers = [
  ["width", "width"],
  ["height", "height"],
  ["frameRate", "framerate"],
  ["duration", "duration"],
  ["videoDataRate", "videodatarate"],
  ["audioDataRate", "audiodatarate"],
  ["audioSampleRate", "audiosamplerate"],
  ["audioChannels", "audiochannels"]
] as const

const codec = (id: AmfValue.AmfValue, name: (id: number) => string | undefined): string | undefined => {
  if (typeof id === "string") return clean(id, 32)
  if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id > 0xffffffff) return undefined
  return id < 16 ? (name(id) ?? String(id)) : (FourCc.toText(id) ?? String(id))
}

const clean = (text: string | undefined, maxCharacters: number): string | undefined => {
  if (text === undefined) return undefined
  const kept = text.slice(0, maxCharacters).replace(/\p{C}/gu, "").trim()
  return kept === "" ? undefined : kept
}
