/**
 * The payload of an audio message: the body of an FLV audio tag (FLV 10.1 §E.4.2) and its Enhanced RTMP form
 * (E-RTMP v2, Enhanced Audio), parsed into one union and built back byte for byte.
 *
 * As `VideoTag`, this is the full view; `MediaFrame.classify` is the cheap look. Bodies are opaque views: `Aac`, `Opus`
 * and `Flac` read the codec configurations.
 *
 * **Gotchas**
 *
 * - A message of length 0 is legal and means silence (E-RTMP v2, Enhanced Audio).
 * - For AAC the rate, size and type bits of byte 0 mean nothing: clients send `AF` for mono too.
 * - Sound format 15 (device-specific) is not accepted, like every id that players do not know: DJI drones send it by
 *   mistake, and GStreamer's demuxer stops for good at a format it does not know. Nor is 13, Opus on some Chinese CDNs.
 */
import * as Result from "effect/Result"
import * as Bytes from "../protocol/Bytes.ts"
import * as ExHeader from "./ExHeader.ts"
import * as FourCc from "./FourCc.ts"
import { MediaError, type MediaReason } from "./MediaError.ts"

/** Sound format: linear PCM in the byte order of the sender's platform. */
export const PCM = 0
/** Sound format: ADPCM. */
export const ADPCM = 1
/** Sound format: MP3. */
export const MP3 = 2
/** Sound format: linear PCM, little-endian. */
export const PCM_LE = 3
/** Sound format: Nellymoser, 16 kHz mono. */
export const NELLYMOSER_16K = 4
/** Sound format: Nellymoser, 8 kHz mono. */
export const NELLYMOSER_8K = 5
/** Sound format: Nellymoser. */
export const NELLYMOSER = 6
/** Sound format: G.711 A-law. */
export const A_LAW = 7
/** Sound format: G.711 µ-law. */
export const MU_LAW = 8
/** Sound format: the Enhanced RTMP header follows. */
export const EX_HEADER = 9
/** Sound format: AAC. */
export const AAC = 10
/** Sound format: Speex. */
export const SPEEX = 11
/** Sound format: MP3 at 8 kHz. */
export const MP3_8K = 14

/** AAC packet type: an AudioSpecificConfig. */
export const AAC_SEQUENCE_HEADER = 0
/** AAC packet type: a raw frame. */
export const AAC_RAW = 1

/** AudioPacketType: a codec configuration. */
export const SEQUENCE_START = 0
/** AudioPacketType: coded data. */
export const CODED_FRAMES = 1
/** AudioPacketType: end of the sequence. */
export const SEQUENCE_END = 2
/** AudioPacketType: which speaker each channel is for. */
export const MULTICHANNEL_CONFIG = 4
/** AudioPacketType: tracks with ids. Note that it is 6 for video. */
export const MULTITRACK = 5

/** A message of length 0. */
export interface Silence {
  readonly _tag: "Silence"
}

/** What the low four bits of byte 0 say about legacy audio (FLV 10.1 §E.4.2.1). */
export interface LegacySound {
  /** 0 to 3: 5.5, 11, 22 or 44.1 kHz. */
  readonly rate: number
  /** 0: 8 bits, 1: 16 bits a sample. */
  readonly size: number
  /** 0: mono, 1: stereo. */
  readonly type: number
}

/** A frame of a codec other than AAC. `format` is the sound format; `body` is what follows byte 0. */
export interface LegacyFrame extends LegacySound {
  readonly _tag: "LegacyFrame"
  readonly format: number
  readonly body: Uint8Array
}

/** A packet of AAC. `packetType` is `AAC_SEQUENCE_HEADER` or `AAC_RAW`. */
export interface AacPacket extends LegacySound {
  readonly _tag: "AacPacket"
  readonly packetType: number
  readonly body: Uint8Array
}

/** What a codec has in one track of an Enhanced RTMP message. */
export interface Track {
  /** One of `FourCc.audio`. */
  readonly fourCc: number
  /** 0 to 255. */
  readonly trackId: number
  /** What follows the headers. */
  readonly body: Uint8Array
}

/** An Enhanced RTMP message with one body and no track id. `packetType` is not `MULTITRACK`. */
export interface ExFrame {
  readonly _tag: "ExFrame"
  readonly packetType: number
  readonly modEx: ReadonlyArray<ExHeader.ModEx>
  readonly fourCc: number
  readonly body: Uint8Array
}

/** An Enhanced RTMP message with track ids; the fields are as for `VideoTag.ExMultitrack`. */
export interface ExMultitrack {
  readonly _tag: "ExMultitrack"
  readonly packetType: number
  readonly modEx: ReadonlyArray<ExHeader.ModEx>
  readonly multitrackType: number
  readonly tracks: ReadonlyArray<Track>
}

/** Any audio payload that can be understood. */
export type AudioTag = Silence | LegacyFrame | AacPacket | ExFrame | ExMultitrack

/** The name of a sound format, the FourCC where the codec has one; `undefined` for one that is not accepted, and for `EX_HEADER`. */
export const codecName = (format: number): string | undefined => names[format]

const names: ReadonlyArray<string | undefined> = [
  "pcm",
  "adpcm",
  ".mp3",
  "pcm-le",
  "nellymoser-16k",
  "nellymoser-8k",
  "nellymoser",
  "alaw",
  "mulaw",
  undefined,
  "mp4a",
  "speex",
  undefined,
  undefined,
  ".mp3",
  undefined
]

const fail = (reason: MediaReason, offset: number): Result.Result<never, MediaError> =>
  Result.fail(new MediaError({ reason, offset }))

/**
 * Parses the payload of an audio message.
 *
 * Fails with a `MediaError` whose reason is one of the first group of `MediaReason`. Empty bodies are no failure here,
 * though `MediaFrame.classify` will not have most of them relayed.
 */
export const parse = (bytes: Uint8Array): Result.Result<AudioTag, MediaError> => {
  if (bytes.length === 0) return Result.succeed({ _tag: "Silence" })
  const byte0 = bytes[0]!
  const format = byte0 >> 4
  if (format === EX_HEADER) return parseEx(bytes)
  if (codecName(format) === undefined) return fail("UnknownCodec", 0)
  const rate = (byte0 >> 2) & 3
  const size = (byte0 >> 1) & 1
  const type = byte0 & 1
  if (format !== AAC) {
    return Result.succeed({ _tag: "LegacyFrame", format, rate, size, type, body: bytes.subarray(1) })
  }
  if (bytes.length < 2) return fail("Truncated", 1)
  const packetType = bytes[1]!
  if (packetType > AAC_RAW) return fail("UnknownPacketType", 1)
  return Result.succeed({ _tag: "AacPacket", packetType, rate, size, type, body: bytes.subarray(2) })
}

const parseEx = (bytes: Uint8Array): Result.Result<AudioTag, MediaError> => {
  const cursor = new ExHeader.Cursor()
  const failed = () => fail(cursor.reason as MediaReason, cursor.offset)
  const modEx = ExHeader.collectModEx(bytes, cursor)
  if (modEx === undefined || !ExHeader.enter(bytes, cursor, MULTITRACK)) return failed()
  const { multitrackType, packetType } = cursor
  if (!isPacketType(packetType)) return fail("UnknownPacketType", cursor.offset)
  const tracks: Array<Track> = []
  while (ExHeader.nextTrack(bytes, cursor)) {
    const { bodyEnd, bodyStart, fourCc, trackId } = cursor
    if (FourCc.audioIndex(fourCc) < 0) return fail("UnknownFourCc", bodyStart)
    tracks.push({ fourCc, trackId, body: bytes.subarray(bodyStart, bodyEnd) })
  }
  if (cursor.reason !== "") return failed()
  if (multitrackType !== ExHeader.SINGLE) {
    return Result.succeed({ _tag: "ExMultitrack", packetType, modEx, multitrackType, tracks })
  }
  const { body, fourCc } = tracks[0]!
  return Result.succeed({ _tag: "ExFrame", packetType, modEx, fourCc, body })
}

/** Tells whether an AudioPacketType can stand in front of a FourCC and a body. */
export const isPacketType = (packetType: number): boolean =>
  packetType <= SEQUENCE_END || packetType === MULTICHANNEL_CONFIG

/** Builds the payload of an audio message; `parse` gives the same tag back. Throws, a defect of ours, where a field does not fit. */
export const build = (tag: AudioTag): Uint8Array => {
  const writer = new Bytes.BytesWriter(64)
  switch (tag._tag) {
    case "Silence":
      return Bytes.empty
    case "LegacyFrame":
      if (codecName(tag.format) === undefined || tag.format === AAC) throw new RangeError("sound format out of place")
      return writer.u8(legacyByte(tag.format, tag)).bytes(tag.body).finish()
    case "AacPacket":
      return writer.u8(legacyByte(AAC, tag)).u8(tag.packetType).bytes(tag.body).finish()
    case "ExFrame":
      ExHeader.writeModEx(writer, EX_HEADER << 4, tag.modEx, tag.packetType)
      return writer.u32(tag.fourCc).bytes(tag.body).finish()
    case "ExMultitrack":
      ExHeader.writeModEx(writer, EX_HEADER << 4, tag.modEx, MULTITRACK)
      ExHeader.writeTracks(writer, tag.multitrackType, tag.packetType, MULTITRACK, tag.tracks)
      return writer.finish()
  }
}

const legacyByte = (format: number, sound: LegacySound): number => {
  const { rate, size, type } = sound
  if (rate < 0 || rate > 3 || size < 0 || size > 1 || type < 0 || type > 1) throw new RangeError("sound out of range")
  return (format << 4) | (rate << 2) | (size << 1) | type
}

/** The channels stand in no particular order. */
export const ORDER_UNSPECIFIED = 0
/** The channels stand in the order of the bits of the mask. */
export const ORDER_NATIVE = 1
/** Each channel names its speaker. */
export const ORDER_CUSTOM = 2

/**
 * The body of a `MULTICHANNEL_CONFIG` packet (E-RTMP v2, ExAudioTagBody).
 *
 * - `order`: `ORDER_UNSPECIFIED`, `ORDER_NATIVE` or `ORDER_CUSTOM`.
 * - `channels`: 0 to 255.
 * - `mask`: for `ORDER_NATIVE` the speakers there are, bit i for speaker i; 0 otherwise.
 * - `speakers`: for `ORDER_CUSTOM` one number a channel (0 front left, 1 front right, … 0xFE unused, 0xFF unknown);
 *   empty otherwise.
 */
export interface Channels {
  readonly order: number
  readonly channels: number
  readonly mask: number
  readonly speakers: Uint8Array
}

/** Parses the body of a `MULTICHANNEL_CONFIG` packet. Fails with `BadChannels` for an unknown order or a short body. */
export const parseChannels = (body: Uint8Array): Result.Result<Channels, MediaError> => {
  if (body.length < 2 || body[0]! > ORDER_CUSTOM) return fail("BadChannels", 0)
  const order = body[0]!
  const channels = body[1]!
  const needed = order === ORDER_NATIVE ? 4 : order === ORDER_CUSTOM ? channels : 0
  if (body.length < 2 + needed) return fail("BadChannels", 2)
  return Result.succeed({
    order,
    channels,
    mask: order === ORDER_NATIVE ? Bytes.u32(body, 2) : 0,
    speakers: order === ORDER_CUSTOM ? body.subarray(2, 2 + channels) : Bytes.empty
  })
}
