/**
 * One cheap look at a media message: what it is, for whom it must be kept, and whether it may be relayed at all.
 *
 * A live server passes media through untouched, and `classify` is all it asks of a payload. It reads a few header bytes,
 * checks every length, never throws, and for all common messages gives a shared frozen object, so that the hot path
 * allocates nothing. `VideoTag`, `AudioTag` and `Metadata` are the full views of the same bytes.
 *
 * What is `Undecodable` must not be relayed: FFmpeg players lose packets to data that is not AMF, and GStreamer's
 * demuxer stops for good at a codec it does not know. The reaction is to drop the message, not the connection.
 *
 * **Gotchas**
 *
 * - A keyframe is known by its header alone. Encoders that use intra refresh may never send one: bound what waits for it.
 * - HEVC as legacy codec id 12 is accepted and named like its FourCC (Larix, old HaishinKit). The ids 8, 9, 13 and 14, in
 *   use in forks here and there, are not: no player of reference knows them, and their layouts are not settled.
 * - Frame type 4, a keyframe that a server made up, counts as a frame like any other.
 * - A ModEx modifier of unknown type is let pass.
 * - A message of several tracks is dropped as a whole where one of them is empty, cut off or of an unknown codec.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Bytes from "../protocol/Bytes.ts"
import * as Message from "../protocol/Message.ts"
import * as AudioTag from "./AudioTag.ts"
import * as ExHeader from "./ExHeader.ts"
import * as FourCc from "./FourCc.ts"
import type { MediaReason } from "./MediaError.ts"
import * as Metadata from "./Metadata.ts"
import * as VideoTag from "./VideoTag.ts"

/** The kinds of media message. */
export type Track = "audio" | "video" | "data"

/**
 * What a media message does.
 *
 * - `SequenceHeader`: the codec configuration, without which nothing that follows decodes.
 * - `Keyframe`: a coded video frame at which a player can begin.
 * - `Frame`: any other coded video frame, any audio frame, silence (audio of length 0), any data message not named below.
 * - `EndOfSequence`: the codec's sequence ends; others may follow.
 * - `Metadata`: `onMetaData`, an Enhanced RTMP video Metadata packet, or an audio MultichannelConfig.
 * - `Command`: a video seek command, or a data message that takes the metadata back (`@clearDataFrame`, which is for the
 *   server and not for players). Never part of a group of pictures.
 * - `Undecodable`: not to be relayed.
 */
export type Role = "SequenceHeader" | "Keyframe" | "Frame" | "EndOfSequence" | "Metadata" | "Command" | "Undecodable"

/** Why a message is undecodable; any but `BadConfiguration` may occur. */
export type UndecodableReason = MediaReason

/**
 * The answer of `classify`.
 *
 * - `kind`: audio, video or data. A type that is none of them counts as undecodable data.
 * - `codec`: the FourCC where the codec has one, for its legacy form too (`avc1`, `hvc1`, `av01`, `vp09`, `vp08`, `vvc1`;
 *   `mp4a`, `Opus`, `fLaC`, `ac-3`, `ec-3`, `.mp3`), the names of `VideoTag.codecName` and `AudioTag.codecName` for others;
 *   `""` for data, silence, Enhanced RTMP commands, and whatever is undecodable.
 * - `enhanced`: the Enhanced RTMP form.
 * - `trackId`: of the first track where there are several; 0 outside a multitrack message.
 * - `cacheKey`: not `""` where the message must be kept and replayed to joiners, the newest for each key:
 *   `<kind>:<trackId>:header`, `video:<trackId>:color`, `audio:<trackId>:channels`, `data:metadata`. Where the message
 *   holds several tracks it is the key of the first: see `splitTracks`.
 * - `reason`: not `""` exactly where the role is `Undecodable`.
 */
export interface MediaFrame {
  readonly kind: Track
  readonly role: Role
  readonly codec: string
  readonly enhanced: boolean
  readonly trackId: number
  readonly cacheKey: string
  readonly reason: UndecodableReason | ""
}

/** The most bytes of a message that would be kept for joiners, `onMetaData` excepted (which has a limit of its own). */
export const maxHeaderBytes = 262_144

const make = (
  kind: Track,
  role: Role,
  codec: string,
  enhanced: boolean,
  trackId: number,
  cacheKey: string,
  reason: UndecodableReason | ""
): MediaFrame => Object.freeze({ kind, role, codec, enhanced, trackId, cacheKey, reason })

/**
 * Classifies the payload of a message of type 8, 9, 15 or 18. Never throws, whatever the bytes.
 *
 * Data messages may be passed as they came, with selector byte and `@setDataFrame`, or as `Metadata.body` leaves them.
 */
export const classify = (typeId: number, payload: Uint8Array): MediaFrame => {
  switch (typeId) {
    case Message.VIDEO:
      return classifyVideo(payload)
    case Message.AUDIO:
      return classifyAudio(payload)
    case Message.DATA_AMF0:
    case Message.DATA_AMF3:
      return classifyData(typeId, payload)
    default:
      return undecodable("data", "UnknownMessageType", false)
  }
}

const undecodables = new Map<string, MediaFrame>()

/** Shared by kind, form and reason: what is dropped should leave nothing behind either. */
const undecodable = (kind: Track, reason: UndecodableReason, enhanced: boolean): MediaFrame => {
  const key = enhanced ? kind + reason : reason + kind
  let frame = undecodables.get(key)
  if (frame === undefined) {
    frame = make(kind, "Undecodable", "", enhanced, 0, "", reason)
    undecodables.set(key, frame)
  }
  return frame
}

interface LegacyFrames {
  readonly header: MediaFrame
  readonly keyframe: MediaFrame
  readonly frame: MediaFrame
  readonly end: MediaFrame
  readonly command: MediaFrame
}

const legacyFrames = (kind: Track, codec: string | undefined): LegacyFrames | undefined =>
  codec === undefined
    ? undefined
    : {
        header: make(kind, "SequenceHeader", codec, false, 0, `${kind}:0:header`, ""),
        keyframe: make(kind, "Keyframe", codec, false, 0, "", ""),
        frame: make(kind, "Frame", codec, false, 0, "", ""),
        end: make(kind, "EndOfSequence", codec, false, 0, "", ""),
        command: make(kind, "Command", codec, false, 0, "", "")
      }

const ids = Array.from({ length: 16 }, (_, id) => id)
const legacyVideo = ids.map((id) => legacyFrames("video", VideoTag.codecName(id)))
const legacyAudio = ids.map((id) => legacyFrames("audio", AudioTag.codecName(id)))

const classifyVideo = (payload: Uint8Array): MediaFrame => {
  const length = payload.length
  if (length === 0) return undecodable("video", "Empty", false)
  const byte0 = payload[0]!
  if ((byte0 & 0x80) !== 0) return classifyExVideo(payload)
  const frameType = byte0 >> 4
  const codecId = byte0 & 0x0f
  const frames = legacyVideo[codecId]
  if (frames === undefined) return undecodable("video", "UnknownCodec", false)
  if (frameType < VideoTag.KEYFRAME || frameType > VideoTag.COMMAND) {
    return undecodable("video", "UnknownFrameType", false)
  }
  if (frameType === VideoTag.COMMAND) {
    if (length < 2) return undecodable("video", "Truncated", false)
    return payload[1]! > 1 ? undecodable("video", "UnknownCommand", false) : frames.command
  }
  const frame = frameType === VideoTag.KEYFRAME ? frames.keyframe : frames.frame
  if (codecId !== VideoTag.AVC && codecId !== VideoTag.HEVC) {
    return length < 2 ? undecodable("video", "EmptyFrame", false) : frame
  }
  if (length < 5) return undecodable("video", "Truncated", false)
  switch (payload[1]) {
    case VideoTag.AVC_NALU:
      return length === 5 ? undecodable("video", "EmptyFrame", false) : frame
    case VideoTag.AVC_SEQUENCE_HEADER:
      if (length === 5) return undecodable("video", "EmptyHeader", false)
      return length > maxHeaderBytes ? undecodable("video", "TooLarge", false) : frames.header
    case VideoTag.AVC_END_OF_SEQUENCE:
      return frames.end
    default:
      return undecodable("video", "UnknownPacketType", false)
  }
}

const silence = make("audio", "Frame", "", false, 0, "", "")

const classifyAudio = (payload: Uint8Array): MediaFrame => {
  const length = payload.length
  if (length === 0) return silence
  const format = payload[0]! >> 4
  if (format === AudioTag.EX_HEADER) return classifyExAudio(payload)
  const frames = legacyAudio[format]
  if (frames === undefined) return undecodable("audio", "UnknownCodec", false)
  if (format !== AudioTag.AAC) return length < 2 ? undecodable("audio", "EmptyFrame", false) : frames.frame
  if (length < 2) return undecodable("audio", "Truncated", false)
  switch (payload[1]) {
    case AudioTag.AAC_RAW:
      return length === 2 ? undecodable("audio", "EmptyFrame", false) : frames.frame
    case AudioTag.AAC_SEQUENCE_HEADER:
      if (length === 2) return undecodable("audio", "EmptyHeader", false)
      return length > maxHeaderBytes ? undecodable("audio", "TooLarge", false) : frames.header
    default:
      return undecodable("audio", "UnknownPacketType", false)
  }
}

// Roles of Enhanced RTMP messages, as indices into the table of shared frames. `KEPT` and `LOOSE` are both Metadata.
const HEADER = 0
const KEYFRAME = 1
const FRAME = 2
const END = 3
const KEPT = 4
const LOOSE = 5
const exRoles: ReadonlyArray<Role> = ["SequenceHeader", "Keyframe", "Frame", "EndOfSequence", "Metadata", "Metadata"]

// Frames of tracks 0 to 31 are shared and made when first needed; higher track ids, legal and rare, are made each time.
const SHARED_TRACKS = 32
const CODECS = 6
const shared: Array<MediaFrame | undefined> = Array.from({ length: 2 * CODECS * exRoles.length * SHARED_TRACKS })

const makeEx = (video: boolean, codecIndex: number, role: number, trackId: number): MediaFrame => {
  const kind = video ? "video" : "audio"
  const fourCc = (video ? FourCc.video : FourCc.audio)[codecIndex]!
  const suffix = role === HEADER ? "header" : role === KEPT ? (video ? "color" : "channels") : ""
  const cacheKey = suffix === "" ? "" : `${kind}:${trackId}:${suffix}`
  return make(kind, exRoles[role]!, FourCc.toText(fourCc)!, true, trackId, cacheKey, "")
}

const exFrame = (video: boolean, codecIndex: number, role: number, trackId: number): MediaFrame => {
  if (trackId >= SHARED_TRACKS) return makeEx(video, codecIndex, role, trackId)
  const index = (((video ? CODECS : 0) + codecIndex) * exRoles.length + role) * SHARED_TRACKS + trackId
  const known = shared[index]
  if (known !== undefined) return known
  const frame = makeEx(video, codecIndex, role, trackId)
  shared[index] = frame
  return frame
}

const exCommand = make("video", "Command", "", true, 0, "", "")

// Safe to share: classification is synchronous and never calls itself.
const cursor = new ExHeader.Cursor()

const classifyExVideo = (payload: Uint8Array): MediaFrame => {
  const frameType = (payload[0]! >> 4) & 0x07
  if (!ExHeader.open(payload, cursor)) return undecodable("video", cursor.reason as MediaReason, true)
  if (frameType === VideoTag.COMMAND && cursor.packetType !== VideoTag.METADATA) {
    if (cursor.packetType > VideoTag.MULTITRACK) return undecodable("video", "UnknownPacketType", true)
    if (cursor.offset >= payload.length) return undecodable("video", "Truncated", true)
    return payload[cursor.offset]! > 1 ? undecodable("video", "UnknownCommand", true) : exCommand
  }
  if (!ExHeader.enter(payload, cursor, VideoTag.MULTITRACK)) {
    return undecodable("video", cursor.reason as MediaReason, true)
  }
  const packetType = cursor.packetType
  let role = LOOSE
  switch (packetType) {
    case VideoTag.CODED_FRAMES:
    case VideoTag.CODED_FRAMES_X:
      role = frameType === VideoTag.KEYFRAME ? KEYFRAME : FRAME
      break
    case VideoTag.SEQUENCE_START:
    case VideoTag.MPEG2TS_SEQUENCE_START:
      role = HEADER
      break
    case VideoTag.SEQUENCE_END:
      role = END
      break
    case VideoTag.METADATA:
      break
    default:
      return undecodable("video", "UnknownPacketType", true)
  }
  if (packetType !== VideoTag.METADATA && (frameType < VideoTag.KEYFRAME || frameType > VideoTag.COMMAND)) {
    return undecodable("video", "UnknownFrameType", true)
  }
  if ((role === HEADER || role === LOOSE) && payload.length > maxHeaderBytes) {
    return undecodable("video", "TooLarge", true)
  }
  let codecIndex = 0
  let trackId = 0
  while (ExHeader.nextTrack(payload, cursor)) {
    if (cursor.trackCount === 1) {
      codecIndex = FourCc.videoIndex(cursor.fourCc)
      trackId = cursor.trackId
    }
    const reason = exVideoBody(packetType)
    if (reason !== "") return undecodable("video", reason, true)
    if (packetType === VideoTag.METADATA) {
      const found = Metadata.checkVideo(payload.subarray(cursor.bodyStart, cursor.bodyEnd))
      if (found === "Broken") return undecodable("video", "BadAmf", true)
      // Where tracks differ, one that must be kept makes the message one to keep: `splitTracks` sorts them out.
      if (found === "ColorInfo") role = KEPT
    }
  }
  if (cursor.reason !== "") return undecodable("video", cursor.reason, true)
  return exFrame(true, codecIndex, role, trackId)
}

const exVideoBody = (packetType: number): MediaReason | "" => {
  const fourCc = cursor.fourCc
  if (FourCc.videoIndex(fourCc) < 0) return "UnknownFourCc"
  const size = cursor.bodyEnd - cursor.bodyStart
  switch (packetType) {
    case VideoTag.CODED_FRAMES:
      if (FourCc.hasCompositionTime(fourCc)) return size < 3 ? "Truncated" : size === 3 ? "EmptyFrame" : ""
      return size === 0 ? "EmptyFrame" : ""
    case VideoTag.CODED_FRAMES_X:
      return size === 0 ? "EmptyFrame" : ""
    case VideoTag.MPEG2TS_SEQUENCE_START:
      if (fourCc !== FourCc.AV01) return "UnknownPacketType"
      return size === 0 ? "EmptyHeader" : ""
    case VideoTag.SEQUENCE_START:
      return size === 0 ? "EmptyHeader" : ""
    default:
      return ""
  }
}

const classifyExAudio = (payload: Uint8Array): MediaFrame => {
  if (!ExHeader.open(payload, cursor) || !ExHeader.enter(payload, cursor, AudioTag.MULTITRACK)) {
    return undecodable("audio", cursor.reason as MediaReason, true)
  }
  const packetType = cursor.packetType
  let role = FRAME
  switch (packetType) {
    case AudioTag.CODED_FRAMES:
      break
    case AudioTag.SEQUENCE_START:
      role = HEADER
      break
    case AudioTag.SEQUENCE_END:
      role = END
      break
    case AudioTag.MULTICHANNEL_CONFIG:
      role = KEPT
      break
    default:
      return undecodable("audio", "UnknownPacketType", true)
  }
  if ((role === HEADER || role === KEPT) && payload.length > maxHeaderBytes) {
    return undecodable("audio", "TooLarge", true)
  }
  let codecIndex = 0
  let trackId = 0
  while (ExHeader.nextTrack(payload, cursor)) {
    if (cursor.trackCount === 1) {
      codecIndex = FourCc.audioIndex(cursor.fourCc)
      trackId = cursor.trackId
    }
    const reason = exAudioBody(payload, packetType)
    if (reason !== "") return undecodable("audio", reason, true)
  }
  if (cursor.reason !== "") return undecodable("audio", cursor.reason, true)
  return exFrame(false, codecIndex, role, trackId)
}

const exAudioBody = (payload: Uint8Array, packetType: number): MediaReason | "" => {
  const fourCc = cursor.fourCc
  if (FourCc.audioIndex(fourCc) < 0) return "UnknownFourCc"
  const size = cursor.bodyEnd - cursor.bodyStart
  switch (packetType) {
    case AudioTag.CODED_FRAMES:
      return size === 0 ? "EmptyFrame" : ""
    case AudioTag.SEQUENCE_START:
      // Opus may leave its header out, and AC-3, E-AC-3 and MP3 have none: the packet then only names the codec.
      return size === 0 && (fourCc === FourCc.MP4A || fourCc === FourCc.FLAC) ? "EmptyHeader" : ""
    case AudioTag.MULTICHANNEL_CONFIG: {
      const channels = AudioTag.parseChannels(payload.subarray(cursor.bodyStart, cursor.bodyEnd))
      return Result.isFailure(channels) ? "BadChannels" : ""
    }
    default:
      return ""
  }
}

const dataFrame = make("data", "Frame", "", false, 0, "", "")
const clearDataFrame = make("data", "Command", "", false, 0, "", "")
const metadata = make("data", "Metadata", "", false, 0, "data:metadata", "")
const emptyMetadata = make("data", "Metadata", "", false, 0, "", "")

const classifyData = (typeId: number, payload: Uint8Array): MediaFrame => {
  if (payload.length === 0) return undecodable("data", "Empty", false)
  const offset = Metadata.bodyOffset(typeId, payload)
  if (offset < 0) return undecodable("data", "NoHandler", false)
  switch (Metadata.handlerAt(payload, offset)) {
    case "Other":
      return dataFrame
    case "ClearDataFrame":
      return clearDataFrame
    case "OnMetaData":
      break
  }
  switch (Metadata.check(payload, offset)) {
    case "Values":
      return metadata
    case "NoValues":
      return emptyMetadata
    case "TooLarge":
      return undecodable("data", "TooLarge", false)
    case "Broken":
      return undecodable("data", "BadAmf", false)
  }
}

/**
 * The tracks of a message as messages of one track each, so that each can be classified and cached by its own `cacheKey`.
 *
 * A message of several tracks (ManyTracks, ManyTracksManyCodecs) gives one new OneTrack message a track, in their order,
 * or nothing where it is malformed; any other message gives itself. It judges no codecs, so that it serves a classifier that
 * knows more of them. At most `ExHeader.maxTracks` come out, and hardly more bytes than went in.
 *
 * **Gotchas** Modifiers are left behind, as a chain repeated for every track could multiply the bytes. All that is lost
 * is a nanosecond offset, which matters to no codec configuration.
 */
export const splitTracks = (typeId: number, payload: Uint8Array): ReadonlyArray<Uint8Array> => {
  const multitrackPacketType = enterTracks(typeId, payload)
  if (multitrackPacketType < 0 || cursor.multitrackType === ExHeader.ONE_TRACK) return [payload]
  const parts: Array<Uint8Array> = []
  while (ExHeader.nextTrack(payload, cursor)) {
    const part = new Uint8Array(7 + cursor.bodyEnd - cursor.bodyStart)
    part[0] = (payload[0]! & 0xf0) | multitrackPacketType
    part[1] = (ExHeader.ONE_TRACK << 4) | cursor.packetType
    Bytes.putU32(part, 2, cursor.fourCc)
    part[6] = cursor.trackId
    part.set(payload.subarray(cursor.bodyStart, cursor.bodyEnd), 7)
    parts.push(part)
  }
  return cursor.reason === "" ? parts : []
}

/**
 * One track of a message in the form without track ids, for players that did not declare multitrack (E-RTMP v2, capsEx).
 *
 * Gives the payload itself where it is not multitrack and `trackId` is 0, which is the id such a message has; a new
 * message where the track is in it; `undefined` where it is not. Of an id that occurs twice the first track counts.
 * As with `splitTracks`, codecs are not judged and modifiers are left behind.
 */
export const unwrapTrack = (typeId: number, payload: Uint8Array, trackId: number): Uint8Array | undefined => {
  if (enterTracks(typeId, payload) < 0) return trackId === 0 ? payload : undefined
  while (ExHeader.nextTrack(payload, cursor)) {
    if (cursor.trackId !== trackId) continue
    const part = new Uint8Array(5 + cursor.bodyEnd - cursor.bodyStart)
    part[0] = (payload[0]! & 0xf0) | cursor.packetType
    Bytes.putU32(part, 1, cursor.fourCc)
    part.set(payload.subarray(cursor.bodyStart, cursor.bodyEnd), 5)
    return part
  }
  return undefined
}

/** Puts the cursor in front of the tracks of a multitrack message and gives its multitrack packet type; -1 for any other message. */
const enterTracks = (typeId: number, payload: Uint8Array): number => {
  if (payload.length === 0) return -1
  const byte0 = payload[0]!
  const isVideo = typeId === Message.VIDEO && byte0 >= 0x80
  if (!isVideo && (typeId !== Message.AUDIO || byte0 >> 4 !== AudioTag.EX_HEADER)) return -1
  const multitrackPacketType = isVideo ? VideoTag.MULTITRACK : AudioTag.MULTITRACK
  if (!ExHeader.open(payload, cursor) || cursor.packetType !== multitrackPacketType) return -1
  if (isVideo && ((byte0 >> 4) & 0x07) === VideoTag.COMMAND) return -1
  return ExHeader.enter(payload, cursor, multitrackPacketType) ? multitrackPacketType : -1
}

/**
 * What a live server asks about media, as a service: replace it to relay codecs that this module drops, or to look
 * deeper than headers.
 *
 * An implementation must not throw and should not allocate: it is called for every media message.
 */
export class MediaClassifier extends Context.Service<
  MediaClassifier,
  {
    /** See `classify`. */
    readonly classify: (typeId: number, payload: Uint8Array) => MediaFrame
  }
>()("effect-rtmp/media/MediaFrame") {
  /** Classifies as this module does. */
  static readonly layer = Layer.succeed(MediaClassifier, { classify })
}
