/**
 * Arbitraries of media messages, for property tests of anything that reads, relays or caches them.
 *
 * `videoTag` and `audioTag` cover every layout: all frame and packet types, all codecs, ModEx chains with nanosecond offsets
 * and unknown modifiers, and all multitrack types. `message` is what a well-behaved publisher may send, and must be
 * relayed; `hostileMessage` is one of those with a few bytes changed or cut off, or bytes that mean nothing.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as AudioTag from "../media/AudioTag.ts"
import * as ExHeader from "../media/ExHeader.ts"
import * as FourCc from "../media/FourCc.ts"
import * as Metadata from "../media/Metadata.ts"
import * as VideoTag from "../media/VideoTag.ts"
import * as Amf0 from "../protocol/amf/Amf0.ts"
import * as AmfValue from "../protocol/amf/AmfValue.ts"
import * as Bytes from "../protocol/Bytes.ts"
import * as Message from "../protocol/Message.ts"
import { bytes, integer } from "./MessageArbitrary.ts"

const boolean: Arbitrary.Arbitrary<boolean> = Arbitrary.schema(Schema.Boolean)

const literal = <A>(...values: ReadonlyArray<A>): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(integer(0, values.length - 1), (index) => values[index]!)

const oneOf = <A>(...choices: ReadonlyArray<Arbitrary.Arbitrary<A>>): Arbitrary.Arbitrary<A> =>
  Arbitrary.flatMap(integer(0, choices.length - 1), (index) => choices[index]!)

/** A body of 0 to 40 bytes, empty ones more often than by chance. */
const body: Arbitrary.Arbitrary<Uint8Array> = oneOf(bytes(40), bytes(40), Arbitrary.Constant(Bytes.empty))

const trackId: Arbitrary.Arbitrary<number> = oneOf(integer(0, 3), integer(0, 255))

const compositionTime: Arbitrary.Arbitrary<number> = oneOf(literal(0, -1, 0x7fffff, -0x800000), integer(-2000, 2000))

/** One modifier: a nanosecond offset, sometimes with more data than it needs, or one of a type that nobody knows. */
export const modEx: Arbitrary.Arbitrary<ExHeader.ModEx> = oneOf<ExHeader.ModEx>(
  Arbitrary.map(
    Arbitrary.all([
      oneOf(literal(0, 1, ExHeader.maxNanoseconds), integer(0, ExHeader.maxNanoseconds)),
      bytes(3),
      boolean
    ]),
    ([nanoseconds, rest, wide]) => {
      const offset = ExHeader.timestampOffset(nanoseconds)
      return { ...offset, data: Bytes.concat([offset.data, rest]), wide }
    }
  ),
  Arbitrary.map(
    Arbitrary.all([integer(1, 15), oneOf(integer(1, 5), literal(255, 256, 257)), boolean]),
    ([type, size, wide]) => ({
      type,
      data: new Uint8Array(size).fill(type),
      wide: wide || size > 255
    })
  )
)

const modExChain: Arbitrary.Arbitrary<ReadonlyArray<ExHeader.ModEx>> = oneOf(
  Arbitrary.Constant<ReadonlyArray<ExHeader.ModEx>>([]),
  Arbitrary.array(modEx, { maxLength: 4 })
)

/** Multitrack type and tracks that agree: one track, several of one codec, or several of any. */
const multitrack = <T extends { readonly fourCc: number }>(track: Arbitrary.Arbitrary<T>) =>
  Arbitrary.map(
    Arbitrary.all([
      literal(ExHeader.ONE_TRACK, ExHeader.MANY_TRACKS, ExHeader.MANY_TRACKS_MANY_CODECS),
      Arbitrary.array(track, { minLength: 1, maxLength: 4 })
    ]),
    ([multitrackType, tracks]) => ({
      multitrackType,
      tracks:
        multitrackType === ExHeader.ONE_TRACK
          ? tracks.slice(0, 1)
          : multitrackType === ExHeader.MANY_TRACKS
            ? tracks.map((each) => ({ ...each, fourCc: tracks[0]!.fourCc }))
            : tracks
    })
  )

const videoFourCc = literal(...FourCc.video)
const audioFourCc = literal(...FourCc.audio)

/** Frame types that a frame may have. */
const frameType = integer(VideoTag.KEYFRAME, VideoTag.GENERATED_KEYFRAME)

const videoTrack: Arbitrary.Arbitrary<VideoTag.Track> = Arbitrary.all({
  fourCc: videoFourCc,
  trackId,
  compositionTime,
  body
})

/** MPEG2TSSequenceStart is defined for AV1 only, and only some packets carry a composition time. */
const settleVideo = <T extends { readonly fourCc: number; readonly compositionTime: number }>(
  packetType: number,
  track: T
): T => {
  const fourCc = packetType === VideoTag.MPEG2TS_SEQUENCE_START ? FourCc.AV01 : track.fourCc
  const timed = VideoTag.carriesCompositionTime(packetType, fourCc)
  return { ...track, fourCc, compositionTime: timed ? track.compositionTime : 0 }
}

const exVideoPacketType = integer(VideoTag.SEQUENCE_START, VideoTag.MPEG2TS_SEQUENCE_START)

/** The frame type means nothing for Metadata packets: OBS writes 0 there and FFmpeg 5. */
const exFrameType = (packetType: number, frame: number, any: number): number =>
  packetType === VideoTag.METADATA ? any : frame

/** Any video tag, legacy or enhanced, that is laid out well. Bodies are arbitrary bytes and may be empty. */
export const videoTag: Arbitrary.Arbitrary<VideoTag.VideoTag> = oneOf<VideoTag.VideoTag>(
  Arbitrary.all({
    _tag: Arbitrary.Constant("LegacyFrame"),
    frameType,
    codecId: integer(VideoTag.H263, VideoTag.SCREEN_2),
    body
  }),
  Arbitrary.all({
    _tag: Arbitrary.Constant("LegacyPacket"),
    frameType,
    codecId: literal(VideoTag.AVC, VideoTag.HEVC),
    packetType: integer(VideoTag.AVC_SEQUENCE_HEADER, VideoTag.AVC_END_OF_SEQUENCE),
    compositionTime,
    body
  }),
  Arbitrary.all({
    _tag: Arbitrary.Constant("LegacyCommand"),
    codecId: literal(VideoTag.H263, VideoTag.AVC, VideoTag.HEVC),
    command: integer(0, 1),
    rest: body
  }),
  Arbitrary.all({
    _tag: Arbitrary.Constant("ExCommand"),
    packetType: literal(0, 1, 2, 3, 5, 6),
    modEx: modExChain,
    command: integer(0, 1),
    rest: body
  }),
  Arbitrary.map(
    Arbitrary.all([exVideoPacketType, frameType, integer(0, 7), modExChain, videoTrack]),
    ([packetType, frame, any, chain, track]): VideoTag.ExFrame => {
      const { body, compositionTime, fourCc } = settleVideo(packetType, track)
      const tag = { _tag: "ExFrame", frameType: exFrameType(packetType, frame, any), packetType } as const
      return { ...tag, modEx: chain, fourCc, compositionTime, body }
    }
  ),
  Arbitrary.map(
    // Frame type 5 in front of a multitrack byte is a command, whatever the packet type behind it.
    Arbitrary.all([exVideoPacketType, frameType, literal(0, 1, 2, 6, 7), modExChain, multitrack(videoTrack)]),
    ([packetType, frame, any, chain, { multitrackType, tracks }]): VideoTag.ExMultitrack => ({
      _tag: "ExMultitrack",
      frameType: exFrameType(packetType, frame, any),
      packetType,
      modEx: chain,
      multitrackType,
      tracks: tracks.map((track) => settleVideo(packetType, track))
    })
  )
)

const audioPacketType = literal(
  AudioTag.SEQUENCE_START,
  AudioTag.CODED_FRAMES,
  AudioTag.SEQUENCE_END,
  AudioTag.MULTICHANNEL_CONFIG
)

const sound = { rate: integer(0, 3), size: integer(0, 1), type: integer(0, 1) }

/** Any audio tag, legacy or enhanced, that is laid out well. Bodies are arbitrary bytes and may be empty. */
export const audioTag: Arbitrary.Arbitrary<AudioTag.AudioTag> = oneOf<AudioTag.AudioTag>(
  Arbitrary.Constant({ _tag: "Silence" }),
  Arbitrary.all({
    _tag: Arbitrary.Constant("LegacyFrame"),
    format: literal(0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 14),
    ...sound,
    body
  }),
  Arbitrary.all({ _tag: Arbitrary.Constant("AacPacket"), packetType: integer(0, 1), ...sound, body }),
  Arbitrary.all({
    _tag: Arbitrary.Constant("ExFrame"),
    packetType: audioPacketType,
    modEx: modExChain,
    fourCc: audioFourCc,
    body
  }),
  Arbitrary.map(
    Arbitrary.all([audioPacketType, modExChain, multitrack(Arbitrary.all({ fourCc: audioFourCc, trackId, body }))]),
    ([packetType, chain, { multitrackType, tracks }]): AudioTag.ExMultitrack => ({
      _tag: "ExMultitrack",
      packetType,
      modEx: chain,
      multitrackType,
      tracks
    })
  )
)

/** `onMetaData` as encoders send it: an object or an ECMA array, wrapped in `@setDataFrame` or not. */
export const metadata: Arbitrary.Arbitrary<Uint8Array> = Arbitrary.map(
  Arbitrary.all([
    integer(1, 4096),
    integer(1, 4096),
    literal<number | string>(7, 12, FourCc.AV01, "avc1"),
    boolean,
    boolean
  ]),
  ([width, height, videocodecid, isArray, isWrapped]) => {
    const fields = { width, height, framerate: 30, videocodecid, audiocodecid: 10, encoder: "Arbitrary/1" }
    const values = isArray ? AmfValue.ecmaArray(fields) : AmfValue.object(fields)
    const plain = Amf0.encode(["onMetaData", values])
    return isWrapped ? Metadata.setDataFrame(plain) : plain
  }
)

/** A media message without its stream: `typeId` and `payload` of a `Message`. */
export interface MediaMessage {
  readonly typeId: number
  readonly payload: Uint8Array
}

/** A body is there where a player needs one. */
const filled = (track: { readonly body: Uint8Array }): boolean => track.body.length > 0

/** The body of a `colorInfo` packet. */
const colorInfo = Amf0.encode([
  "colorInfo",
  AmfValue.object({ colorConfig: AmfValue.object({ bitDepth: 10, colorPrimaries: 9 }) })
])

/** Empty bodies become one byte, and bodies with a format of their own become valid. */
const settleBody = (isVideo: boolean, packetType: number, track: { readonly body: Uint8Array }): Uint8Array => {
  if (isVideo && packetType === VideoTag.METADATA) return colorInfo
  if (!isVideo && packetType === AudioTag.MULTICHANNEL_CONFIG) return Uint8Array.of(AudioTag.ORDER_UNSPECIFIED, 2)
  return filled(track) ? track.body : Uint8Array.of(1)
}

/** A video message that must be relayed. */
export const videoMessage: Arbitrary.Arbitrary<MediaMessage> = Arbitrary.map(videoTag, (tag) => {
  const settle = <T extends { readonly body: Uint8Array }>(packetType: number, track: T): T => ({
    ...track,
    body: settleBody(true, packetType, track)
  })
  const settled: VideoTag.VideoTag =
    tag._tag === "ExMultitrack"
      ? { ...tag, tracks: tag.tracks.map((track) => settle(tag.packetType, track)) }
      : tag._tag === "ExFrame"
        ? settle(tag.packetType, tag)
        : tag._tag === "LegacyFrame" || tag._tag === "LegacyPacket"
          ? settle(VideoTag.CODED_FRAMES, tag)
          : tag
  return { typeId: Message.VIDEO, payload: VideoTag.build(settled) }
})

/** An audio message that must be relayed. */
export const audioMessage: Arbitrary.Arbitrary<MediaMessage> = Arbitrary.map(audioTag, (tag) => {
  const settle = <T extends { readonly body: Uint8Array }>(packetType: number, track: T): T => ({
    ...track,
    body: settleBody(false, packetType, track)
  })
  const settled: AudioTag.AudioTag =
    tag._tag === "ExMultitrack"
      ? { ...tag, tracks: tag.tracks.map((track) => settle(tag.packetType, track)) }
      : tag._tag === "ExFrame"
        ? settle(tag.packetType, tag)
        : tag._tag === "Silence"
          ? tag
          : settle(AudioTag.CODED_FRAMES, tag)
  return { typeId: Message.AUDIO, payload: AudioTag.build(settled) }
})

/** A data message that must be relayed: metadata or a cue, with and without what publishers put in front. */
export const dataMessage: Arbitrary.Arbitrary<MediaMessage> = Arbitrary.map(
  Arbitrary.all([oneOf(metadata, Arbitrary.Constant(Amf0.encode(["onCuePoint", null]))), boolean, boolean]),
  ([payload, hasNumber, isAmf3]) => {
    const parts = [isAmf3 ? Uint8Array.of(0) : Bytes.empty, hasNumber ? Amf0.encode([0]) : Bytes.empty, payload]
    return { typeId: isAmf3 ? Message.DATA_AMF3 : Message.DATA_AMF0, payload: Bytes.concat(parts) }
  }
)

/** Any media message that must be relayed. */
export const message: Arbitrary.Arbitrary<MediaMessage> = oneOf(videoMessage, audioMessage, dataMessage)

/** A media message of which nothing is promised: damaged, cut off, or bytes that mean nothing. */
export const hostileMessage: Arbitrary.Arbitrary<MediaMessage> = Arbitrary.map(
  Arbitrary.all([
    oneOf(message, Arbitrary.all({ typeId: literal(8, 9, 15, 18), payload: bytes(60) })),
    Arbitrary.array(Arbitrary.all([integer(0, 63), integer(0, 255)]), { maxLength: 3 }),
    integer(0, 400)
  ]),
  ([{ payload, typeId }, changes, length]) => {
    const damaged = payload.slice(0, length)
    for (const [at, value] of changes) if (at < damaged.length) damaged[at] = value
    return { typeId, payload: damaged }
  }
)
