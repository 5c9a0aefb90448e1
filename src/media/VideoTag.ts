/**
 * The payload of a video message: the body of an FLV video tag (FLV 10.1 §E.4.3) and its Enhanced RTMP form
 * (E-RTMP v2, Enhanced Video), parsed into one union and built back byte for byte.
 *
 * This is the full view, for tools, tests and whoever writes media. A server that passes media through asks
 * `MediaFrame.classify`, which reads the same layout without making objects. Bodies are opaque here: `Avc`, `Hevc`, `Av1`
 * and `Vp9` read the codec configurations.
 *
 * **Gotchas**
 *
 * - Bodies are views of the input: copy what outlives the turn.
 * - The end of a sequence and sequence headers usually come with frame type 1 (FFmpeg, GStreamer: `17 02 000000`): the
 *   frame type alone does not make a keyframe.
 * - OBS writes Metadata packets with frame type 0, FFmpeg with frame type 5; for them the frame type means nothing.
 * - Composition times may be negative (Wirecast).
 */
import * as Result from "effect/Result"
import * as Bytes from "../protocol/Bytes.ts"
import * as ExHeader from "./ExHeader.ts"
import * as FourCc from "./FourCc.ts"
import { MediaError, type MediaReason } from "./MediaError.ts"

/** Frame type: a frame that decodes on its own. */
export const KEYFRAME = 1
/** Frame type: a frame that needs others. */
export const INTER_FRAME = 2
/** Frame type: an inter frame that no other needs (H.263). */
export const DISPOSABLE_FRAME = 3
/** Frame type: a keyframe that a server made up. */
export const GENERATED_KEYFRAME = 4
/** Frame type: no frame, a command to the player. */
export const COMMAND = 5

/** Legacy codec id: Sorenson H.263. */
export const H263 = 2
/** Legacy codec id: Screen video. */
export const SCREEN = 3
/** Legacy codec id: On2 VP6. */
export const VP6 = 4
/** Legacy codec id: On2 VP6 with alpha channel. */
export const VP6_ALPHA = 5
/** Legacy codec id: Screen video version 2. */
export const SCREEN_2 = 6
/** Legacy codec id: AVC. */
export const AVC = 7
/** Legacy codec id that no specification has: HEVC in the layout of AVC (Larix, old HaishinKit, Chinese CDNs). */
export const HEVC = 12

/** Packet type of AVC and HEVC: a decoder configuration record. */
export const AVC_SEQUENCE_HEADER = 0
/** Packet type of AVC and HEVC: NAL units, each behind its length. */
export const AVC_NALU = 1
/** Packet type of AVC and HEVC: end of the sequence. */
export const AVC_END_OF_SEQUENCE = 2

/** VideoPacketType: a codec configuration. */
export const SEQUENCE_START = 0
/** VideoPacketType: coded data, behind a composition time for the codecs of `FourCc.hasCompositionTime`. */
export const CODED_FRAMES = 1
/** VideoPacketType: end of the sequence. */
export const SEQUENCE_END = 2
/** VideoPacketType: coded data whose composition time is 0 and not written. */
export const CODED_FRAMES_X = 3
/** VideoPacketType: AMF0 names and values, of which `colorInfo` is defined. */
export const METADATA = 4
/** VideoPacketType: an AV1 video descriptor, in place of `SEQUENCE_START`. */
export const MPEG2TS_SEQUENCE_START = 5
/** VideoPacketType: tracks with ids. */
export const MULTITRACK = 6

/** A frame of a codec older than AVC (codec ids 2 to 6). `body` is what follows byte 0. */
export interface LegacyFrame {
  readonly _tag: "LegacyFrame"
  readonly frameType: number
  readonly codecId: number
  readonly body: Uint8Array
}

/**
 * A packet of AVC, or of HEVC as codec id 12 (FLV 10.1 §E.4.3.1).
 *
 * - `packetType`: `AVC_SEQUENCE_HEADER`, `AVC_NALU` or `AVC_END_OF_SEQUENCE`.
 * - `compositionTime`: milliseconds, signed 24-bit; meaningful for `AVC_NALU` only.
 */
export interface LegacyPacket {
  readonly _tag: "LegacyPacket"
  readonly frameType: number
  readonly codecId: number
  readonly packetType: number
  readonly compositionTime: number
  readonly body: Uint8Array
}

/** Frame type 5: `command` 0 starts and 1 ends a seek on the client's side. `rest` is what follows it, usually nothing. */
export interface LegacyCommand {
  readonly _tag: "LegacyCommand"
  readonly codecId: number
  readonly command: number
  readonly rest: Uint8Array
}

/** What a codec has in one track of an Enhanced RTMP message. */
export interface Track {
  /** One of `FourCc.video`. */
  readonly fourCc: number
  /** 0 to 255. */
  readonly trackId: number
  /** Milliseconds, signed 24-bit; 0 where the packet type or the codec carries none. */
  readonly compositionTime: number
  /** What follows the headers. */
  readonly body: Uint8Array
}

/** An Enhanced RTMP message with one body and no track id. `packetType` is not `MULTITRACK`; the rest is as for `Track`. */
export interface ExFrame {
  readonly _tag: "ExFrame"
  readonly frameType: number
  readonly packetType: number
  readonly modEx: ReadonlyArray<ExHeader.ModEx>
  readonly fourCc: number
  readonly compositionTime: number
  readonly body: Uint8Array
}

/**
 * An Enhanced RTMP message with track ids.
 *
 * - `packetType`: the real one, which all tracks share; not `MULTITRACK`.
 * - `multitrackType`: `ExHeader.ONE_TRACK`, `MANY_TRACKS` or `MANY_TRACKS_MANY_CODECS`.
 * - `tracks`: at least one; exactly one for `ONE_TRACK`. An id may occur twice.
 */
export interface ExMultitrack {
  readonly _tag: "ExMultitrack"
  readonly frameType: number
  readonly packetType: number
  readonly modEx: ReadonlyArray<ExHeader.ModEx>
  readonly multitrackType: number
  readonly tracks: ReadonlyArray<Track>
}

/** Frame type 5 in Enhanced RTMP: no FourCC, no body. `packetType` is any but `METADATA`. */
export interface ExCommand {
  readonly _tag: "ExCommand"
  readonly packetType: number
  readonly modEx: ReadonlyArray<ExHeader.ModEx>
  readonly command: number
  readonly rest: Uint8Array
}

/** Any video payload that can be understood. */
export type VideoTag = LegacyFrame | LegacyPacket | LegacyCommand | ExFrame | ExMultitrack | ExCommand

/** The name of a legacy codec id, the FourCC where the codec has one; `undefined` for an id that is not accepted. */
export const codecName = (codecId: number): string | undefined => {
  switch (codecId) {
    case H263:
      return "H.263"
    case SCREEN:
      return "Screen"
    case VP6:
      return "VP6"
    case VP6_ALPHA:
      return "VP6A"
    case SCREEN_2:
      return "Screen2"
    case AVC:
      return "avc1"
    case HEVC:
      return "hvc1"
    default:
      return undefined
  }
}

/** Tells whether a packet of this type and codec begins with a composition time (E-RTMP v2, ExVideoTagBody). */
export const carriesCompositionTime = (packetType: number, fourCc: number): boolean =>
  packetType === CODED_FRAMES && FourCc.hasCompositionTime(fourCc)

const fail = (reason: MediaReason, offset: number): Result.Result<never, MediaError> =>
  Result.fail(new MediaError({ reason, offset }))

/**
 * Parses the payload of a video message.
 *
 * Fails with a `MediaError` whose reason is one of the first group of `MediaReason`. Empty bodies are no failure here,
 * though `MediaFrame.classify` will not have them relayed.
 */
export const parse = (bytes: Uint8Array): Result.Result<VideoTag, MediaError> => {
  const length = bytes.length
  if (length === 0) return fail("Empty", 0)
  const byte0 = bytes[0]!
  if ((byte0 & 0x80) !== 0) return parseEx(bytes)
  const frameType = byte0 >> 4
  const codecId = byte0 & 0x0f
  if (codecName(codecId) === undefined) return fail("UnknownCodec", 0)
  if (frameType < KEYFRAME || frameType > COMMAND) return fail("UnknownFrameType", 0)
  if (frameType === COMMAND) {
    if (length < 2) return fail("Truncated", 1)
    if (bytes[1]! > 1) return fail("UnknownCommand", 1)
    return Result.succeed({ _tag: "LegacyCommand", codecId, command: bytes[1]!, rest: bytes.subarray(2) })
  }
  if (codecId !== AVC && codecId !== HEVC) {
    return Result.succeed({ _tag: "LegacyFrame", frameType, codecId, body: bytes.subarray(1) })
  }
  if (length < 5) return fail("Truncated", length)
  const packetType = bytes[1]!
  if (packetType > AVC_END_OF_SEQUENCE) return fail("UnknownPacketType", 1)
  return Result.succeed({
    _tag: "LegacyPacket",
    frameType,
    codecId,
    packetType,
    compositionTime: Bytes.s24(bytes, 2),
    body: bytes.subarray(5)
  })
}

const parseEx = (bytes: Uint8Array): Result.Result<VideoTag, MediaError> => {
  const cursor = new ExHeader.Cursor()
  const failed = () => fail(cursor.reason as MediaReason, cursor.offset)
  const frameType = (bytes[0]! >> 4) & 0x07
  const modEx = ExHeader.collectModEx(bytes, cursor)
  if (modEx === undefined) return failed()
  if (frameType === COMMAND && cursor.packetType !== METADATA) {
    const { offset, packetType } = cursor
    if (packetType > MULTITRACK) return fail("UnknownPacketType", offset)
    if (offset >= bytes.length) return fail("Truncated", offset)
    if (bytes[offset]! > 1) return fail("UnknownCommand", offset)
    const rest = bytes.subarray(offset + 1)
    return Result.succeed({ _tag: "ExCommand", packetType, modEx, command: bytes[offset]!, rest })
  }
  if (!ExHeader.enter(bytes, cursor, MULTITRACK)) return failed()
  const { multitrackType, packetType } = cursor
  if (packetType >= MULTITRACK) return fail("UnknownPacketType", cursor.offset)
  if (packetType !== METADATA && (frameType < KEYFRAME || frameType > COMMAND)) return fail("UnknownFrameType", 0)
  const tracks: Array<Track> = []
  while (ExHeader.nextTrack(bytes, cursor)) {
    const { bodyEnd, bodyStart, fourCc, trackId } = cursor
    if (FourCc.videoIndex(fourCc) < 0) return fail("UnknownFourCc", bodyStart)
    if (packetType === MPEG2TS_SEQUENCE_START && fourCc !== FourCc.AV01) return fail("UnknownPacketType", bodyStart)
    const timed = carriesCompositionTime(packetType, fourCc)
    if (timed && bodyEnd - bodyStart < 3) return fail("Truncated", bodyEnd)
    tracks.push({
      fourCc,
      trackId,
      compositionTime: timed ? Bytes.s24(bytes, bodyStart) : 0,
      body: bytes.subarray(timed ? bodyStart + 3 : bodyStart, bodyEnd)
    })
  }
  if (cursor.reason !== "") return failed()
  if (multitrackType !== ExHeader.SINGLE) {
    return Result.succeed({ _tag: "ExMultitrack", frameType, packetType, modEx, multitrackType, tracks })
  }
  const { body, compositionTime, fourCc } = tracks[0]!
  return Result.succeed({ _tag: "ExFrame", frameType, packetType, modEx, fourCc, compositionTime, body })
}

/**
 * Builds the payload of a video message; `parse` gives the same tag back.
 *
 * Throws, a defect of ours, where a field does not fit its place. A composition time where the packet carries none is
 * not written.
 */
export const build = (tag: VideoTag): Uint8Array => {
  const writer = new Bytes.BytesWriter(64)
  switch (tag._tag) {
    case "LegacyFrame":
      return writer.u8(legacyByte(tag.frameType, tag.codecId)).bytes(tag.body).finish()
    case "LegacyPacket":
      writer.u8(legacyByte(tag.frameType, tag.codecId)).u8(tag.packetType)
      return writer.s24(tag.compositionTime).bytes(tag.body).finish()
    case "LegacyCommand":
      return writer.u8(legacyByte(COMMAND, tag.codecId)).u8(tag.command).bytes(tag.rest).finish()
    case "ExCommand":
      ExHeader.writeModEx(writer, exBits(COMMAND), tag.modEx, tag.packetType)
      return writer.u8(tag.command).bytes(tag.rest).finish()
    case "ExFrame":
      ExHeader.writeModEx(writer, exBits(tag.frameType), tag.modEx, tag.packetType)
      return writer.u32(tag.fourCc).bytes(trackBody(tag.packetType, tag)).finish()
    case "ExMultitrack": {
      ExHeader.writeModEx(writer, exBits(tag.frameType), tag.modEx, MULTITRACK)
      const tracks = tag.tracks.map((track) => ({
        fourCc: track.fourCc,
        trackId: track.trackId,
        body: trackBody(tag.packetType, track)
      }))
      ExHeader.writeTracks(writer, tag.multitrackType, tag.packetType, MULTITRACK, tracks)
      return writer.finish()
    }
  }
}

const legacyByte = (frameType: number, codecId: number): number => {
  if (frameType < KEYFRAME || frameType > COMMAND) throw new RangeError("frame type out of range")
  if (codecName(codecId) === undefined) throw new RangeError("unknown codec id")
  return (frameType << 4) | codecId
}

const exBits = (frameType: number): number => {
  if (frameType < 0 || frameType > 7) throw new RangeError("frame type out of range")
  return 0x80 | (frameType << 4)
}

const trackBody = (packetType: number, track: Pick<Track, "fourCc" | "compositionTime" | "body">): Uint8Array => {
  if (!carriesCompositionTime(packetType, track.fourCc)) return track.body
  return new Bytes.BytesWriter(3 + track.body.length).s24(track.compositionTime).bytes(track.body).finish()
}
