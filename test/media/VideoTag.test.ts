import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as ExHeader from "../../src/media/ExHeader.ts"
import * as FourCc from "../../src/media/FourCc.ts"
import type { MediaReason } from "../../src/media/MediaError.ts"
import * as VideoTag from "../../src/media/VideoTag.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MediaArbitrary from "../../src/testing/MediaArbitrary.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"

const hex = Bytes.fromHex
const ex = (packetType: number, frameType: number, fourCc: number, body: string, compositionTime = 0) =>
  ({ _tag: "ExFrame", frameType, packetType, modEx: [], fourCc, compositionTime, body: hex(body) }) as const

const golden: ReadonlyArray<readonly [name: string, bytes: string, tag: VideoTag.VideoTag]> = [
  ["H.263 keyframe", "12 AABB", { _tag: "LegacyFrame", frameType: 1, codecId: 2, body: hex("AABB") }],
  ["disposable H.263 frame", "32 AA", { _tag: "LegacyFrame", frameType: 3, codecId: 2, body: hex("AA") }],
  [
    "AVC sequence header",
    "17 00 000000 0164",
    { _tag: "LegacyPacket", frameType: 1, codecId: 7, packetType: 0, compositionTime: 0, body: hex("0164") }
  ],
  [
    "AVC frame before its decoding time",
    "27 01 FFFFD8 00",
    { _tag: "LegacyPacket", frameType: 2, codecId: 7, packetType: 1, compositionTime: -40, body: hex("00") }
  ],
  [
    "AVC end of sequence",
    "17 02 000000",
    { _tag: "LegacyPacket", frameType: 1, codecId: 7, packetType: 2, compositionTime: 0, body: Bytes.empty }
  ],
  [
    "HEVC as codec id 12",
    "1C 01 000050 AA",
    { _tag: "LegacyPacket", frameType: 1, codecId: 12, packetType: 1, compositionTime: 80, body: hex("AA") }
  ],
  ["seek command", "57 00", { _tag: "LegacyCommand", codecId: 7, command: 0, rest: Bytes.empty }],
  ["HEVC sequence start", "90 68766331 0101", ex(VideoTag.SEQUENCE_START, 1, FourCc.HVC1, "0101")],
  ["HEVC keyframe at +33 ms", "91 68766331 000021 AA", ex(VideoTag.CODED_FRAMES, 1, FourCc.HVC1, "AA", 33)],
  ["AV1 frame, which has no composition time", "A1 61763031 1200", ex(VideoTag.CODED_FRAMES, 2, FourCc.AV01, "1200")],
  ["AVC inter frame without composition time", "A3 61766331 AA", ex(VideoTag.CODED_FRAMES_X, 2, FourCc.AVC1, "AA")],
  ["HEVC sequence end of OBS", "A2 68766331", ex(VideoTag.SEQUENCE_END, 2, FourCc.HVC1, "")],
  ["metadata of OBS", "84 68766331 02", ex(VideoTag.METADATA, 0, FourCc.HVC1, "02")],
  ["metadata of FFmpeg", "D4 76703039 02", ex(VideoTag.METADATA, 5, FourCc.VP09, "02")],
  ["AV1 in MPEG-2 TS terms", "95 61763031 80 04 81000C00", ex(5, 1, FourCc.AV01, "800481000C00")],
  ["enhanced command", "D1 01", { _tag: "ExCommand", packetType: 1, modEx: [], command: 1, rest: Bytes.empty }],
  [
    "one track",
    "96 00 61766331 01 AABB",
    {
      _tag: "ExMultitrack",
      frameType: 1,
      packetType: 0,
      modEx: [],
      multitrackType: ExHeader.ONE_TRACK,
      tracks: [{ fourCc: FourCc.AVC1, trackId: 1, compositionTime: 0, body: hex("AABB") }]
    }
  ],
  [
    "many tracks of one codec",
    "A6 11 68766331 00 000004 00000A AA 02 000005 FFFFFF BBCC",
    {
      _tag: "ExMultitrack",
      frameType: 2,
      packetType: 1,
      modEx: [],
      multitrackType: ExHeader.MANY_TRACKS,
      tracks: [
        { fourCc: FourCc.HVC1, trackId: 0, compositionTime: 10, body: hex("AA") },
        { fourCc: FourCc.HVC1, trackId: 2, compositionTime: -1, body: hex("BBCC") }
      ]
    }
  ],
  [
    "many tracks of many codecs",
    "96 20 61763031 00 000001 AA 76703039 01 000002 BBCC",
    {
      _tag: "ExMultitrack",
      frameType: 1,
      packetType: 0,
      modEx: [],
      multitrackType: ExHeader.MANY_TRACKS_MANY_CODECS,
      tracks: [
        { fourCc: FourCc.AV01, trackId: 0, compositionTime: 0, body: hex("AA") },
        { fourCc: FourCc.VP09, trackId: 1, compositionTime: 0, body: hex("BBCC") }
      ]
    }
  ],
  [
    "nanosecond offset behind an unknown modifier",
    "97 00 FF 57 02 0F423F 03 61766331 AA",
    {
      _tag: "ExFrame",
      frameType: 1,
      packetType: 3,
      modEx: [{ type: 5, data: hex("FF"), wide: false }, ExHeader.timestampOffset(999_999)],
      fourCc: FourCc.AVC1,
      compositionTime: 0,
      body: hex("AA")
    }
  ],
  [
    "modifier in the long form, in front of a track",
    "97 FF 0000 AA 16 00 61766331 01 BB",
    {
      _tag: "ExMultitrack",
      frameType: 1,
      packetType: 0,
      modEx: [{ type: 1, data: hex("AA"), wide: true }],
      multitrackType: ExHeader.ONE_TRACK,
      tracks: [{ fourCc: FourCc.AVC1, trackId: 1, compositionTime: 0, body: hex("BB") }]
    }
  ]
]

const hostile: ReadonlyArray<readonly [name: string, bytes: string, reason: MediaReason]> = [
  ["nothing", "", "Empty"],
  ["AVC without packet type", "17", "Truncated"],
  ["AVC cut off in the composition time", "17 01 0000", "Truncated"],
  ["AVC packet type 3", "17 03 000000 AA", "UnknownPacketType"],
  ["codec id 15", "1F AA", "UnknownCodec"],
  ["codec id 13", "1D AA", "UnknownCodec"],
  ["frame type 0", "07 01 000000 AA", "UnknownFrameType"],
  ["frame type 7", "77 01 000000 AA", "UnknownFrameType"],
  ["command without a value", "57", "Truncated"],
  ["command 2", "57 02", "UnknownCommand"],
  ["unknown FourCC", "91 58585858 AA", "UnknownFourCc"],
  ["packet type 15", "9F 61766331 AA", "UnknownPacketType"],
  ["reserved packet type in a command", "D8 00", "UnknownPacketType"],
  ["enhanced frame type 0", "81 61766331 000000 AA", "UnknownFrameType"],
  ["cut off in the FourCC", "91 617663", "Truncated"],
  ["cut off in the enhanced composition time", "91 61766331 0000", "Truncated"],
  ["enhanced command without a value", "D1", "Truncated"],
  ["MPEG-2 TS start for HEVC", "95 68766331 AA", "UnknownPacketType"],
  ["modifier without a size", "97", "Truncated"],
  ["modifier without data", "97 05 AA", "Truncated"],
  ["modifier of 65536 bytes that are not there", "97 FF FFFF 00", "Truncated"],
  ["modifier without a next type", "97 00 AA", "Truncated"],
  ["nanosecond offset of two bytes", "97 01 0000 01 61763031 AA", "BadModEx"],
  ["nanosecond offset of a millisecond", "97 02 0F4240 01 61763031 AA", "BadModEx"],
  ["modifiers to the end", `97 ${"00 AA 17".repeat(8)}`, "Truncated"],
  ["multitrack in multitrack", "96 06 61766331 00 AA", "BadMultitrack"],
  ["multitrack type 3", "96 30 61766331 00 AA", "BadMultitrack"],
  ["modifier in multitrack", "96 07 61766331 00 AA", "UnknownPacketType"],
  ["multitrack without its byte", "96", "Truncated"],
  ["one track without an id", "96 00 61766331", "Truncated"],
  ["many tracks and none", "96 10 61766331", "Truncated"],
  ["track size past the end", "96 10 61766331 00 000002 AA", "Truncated"],
  ["track size of 16 MiB", "96 10 61766331 00 FFFFFF AA", "Truncated"],
  ["second track cut off", "96 10 61766331 00 000001 AA 01 00", "Truncated"],
  ["track too short for its composition time", "96 11 61766331 00 000002 AAAA", "Truncated"],
  ["second codec unknown", "96 20 61763031 00 000001 AA 58585858 01 000001 BB", "UnknownFourCc"]
]

const reasonOf = (bytes: Uint8Array): MediaReason | "" => {
  const result = VideoTag.parse(bytes)
  return Result.isFailure(result) ? result.failure.reason : ""
}

describe("VideoTag", () => {
  for (const [name, bytes, tag] of golden) {
    it(`reads and writes: ${name}`, () => {
      assert.deepStrictEqual(Result.getOrThrow(VideoTag.parse(hex(bytes))), tag)
      assert.deepStrictEqual(Bytes.hex(VideoTag.build(tag), 1000), Bytes.hex(hex(bytes), 1000))
    })
  }

  for (const [name, bytes, reason] of hostile) {
    it(`fails with ${reason}: ${name}`, () => assert.strictEqual(reasonOf(hex(bytes)), reason))
  }

  it.prop("reads back what it writes", [MediaArbitrary.videoTag], ([tag]) => {
    assert.deepStrictEqual(Result.getOrThrow(VideoTag.parse(VideoTag.build(tag))), tag)
  })

  it.prop("writes back what it reads, byte for byte", [MediaArbitrary.hostileMessage], ([{ payload }]) => {
    const result = VideoTag.parse(payload)
    if (Result.isSuccess(result)) assert.deepStrictEqual(VideoTag.build(result.success), Uint8Array.from(payload))
  })

  it.prop("gives a tag or a MediaError within the input at every truncation", [MediaArbitrary.videoTag], ([tag]) => {
    const whole = VideoTag.build(tag)
    for (let length = 0; length < Math.min(whole.length, 80); length++) {
      const result = VideoTag.parse(whole.subarray(0, length))
      if (Result.isFailure(result)) assert.isAtMost(result.failure.offset, length)
    }
  })

  it.prop("never throws for arbitrary bytes", [MessageArbitrary.bytes(60)], ([bytes]) => {
    VideoTag.parse(bytes)
    for (let packetType = 0; packetType < 16; packetType++) {
      VideoTag.parse(Bytes.concat([Uint8Array.of(0x90 | packetType), bytes]))
    }
  })

  it("gives bodies as views of the message", () => {
    const bytes = hex("17 01 000000 AABB")
    const tag = Result.getOrThrow(VideoTag.parse(bytes))
    assert.isTrue(tag._tag === "LegacyPacket" && tag.body.buffer === bytes.buffer && tag.body.length === 2)
  })

  it("refuses to build what it would not read", () => {
    const frame = ex(VideoTag.CODED_FRAMES_X, 1, FourCc.AVC1, "AA")
    const short = { type: ExHeader.TIMESTAMP_OFFSET_NANO, data: hex("0000"), wide: false }
    assert.throws(() => VideoTag.build({ ...frame, modEx: [short] }), RangeError)
    assert.throws(() => ExHeader.timestampOffset(1_000_000), RangeError)
    assert.throws(() => VideoTag.build({ _tag: "LegacyFrame", frameType: 1, codecId: 15, body: hex("AA") }), RangeError)
    const track = { fourCc: FourCc.AVC1, trackId: 0, compositionTime: 0, body: hex("AA") }
    const many = { _tag: "ExMultitrack", frameType: 1, packetType: 0, modEx: [], multitrackType: 1 } as const
    assert.throws(() => VideoTag.build({ ...many, tracks: [] }), RangeError)
    assert.throws(() => VideoTag.build({ ...many, tracks: [track, { ...track, fourCc: FourCc.HVC1 }] }), RangeError)
    assert.throws(() => VideoTag.build({ ...many, packetType: VideoTag.MULTITRACK, tracks: [track] }), RangeError)
  })
})
