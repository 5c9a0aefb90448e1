import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as AudioTag from "../../src/media/AudioTag.ts"
import * as ExHeader from "../../src/media/ExHeader.ts"
import * as FourCc from "../../src/media/FourCc.ts"
import * as MediaFrame from "../../src/media/MediaFrame.ts"
import * as Metadata from "../../src/media/Metadata.ts"
import * as VideoTag from "../../src/media/VideoTag.ts"
import * as Amf0 from "../../src/protocol/amf/Amf0.ts"
import * as AmfValue from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as MediaArbitrary from "../../src/testing/MediaArbitrary.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import * as Fixtures from "./Fixtures.ts"

const { AUDIO, DATA_AMF0, DATA_AMF3, VIDEO } = Message
const hex = Bytes.fromHex
const colorInfo = "02 0009 636F6C6F72496E666F 03 000009"
const onMetaData = "02 000A 6F6E4D65746144617461"
const setDataFrame = "02 000D 40736574446174614672616D65"

/** Kind, role, codec, track and cache key in one line, or the reason. */
const look = (typeId: number, payload: Uint8Array): string => {
  const { cacheKey, codec, enhanced, kind, reason, role, trackId } = MediaFrame.classify(typeId, payload)
  if (role === "Undecodable") return reason
  return [kind, role, codec || "-", enhanced ? "ex" : "legacy", trackId, cacheKey || "-"].join(" ")
}

const parse = (typeId: number, payload: Uint8Array): VideoTag.VideoTag | AudioTag.AudioTag | undefined => {
  if (typeId === VIDEO) return Result.getOrUndefined(VideoTag.parse(payload))
  return typeId === AUDIO ? Result.getOrUndefined(AudioTag.parse(payload)) : undefined
}

const cases: ReadonlyArray<readonly [typeId: number, bytes: string, expected: string]> = [
  // Legacy video.
  [VIDEO, "17 00 000000 01", "video SequenceHeader avc1 legacy 0 video:0:header"],
  [VIDEO, "27 00 000000 01", "video SequenceHeader avc1 legacy 0 video:0:header"],
  [VIDEO, "17 01 000000 01", "video Keyframe avc1 legacy 0 -"],
  [VIDEO, "27 01 FFFFD8 01", "video Frame avc1 legacy 0 -"],
  [VIDEO, "47 01 000000 01", "video Frame avc1 legacy 0 -"],
  [VIDEO, "17 02 000000", "video EndOfSequence avc1 legacy 0 -"],
  [VIDEO, "57 00", "video Command avc1 legacy 0 -"],
  [VIDEO, "52 01", "video Command H.263 legacy 0 -"],
  [VIDEO, "1C 00 000000 01", "video SequenceHeader hvc1 legacy 0 video:0:header"],
  [VIDEO, "1C 01 000000 01", "video Keyframe hvc1 legacy 0 -"],
  [VIDEO, "12 AA", "video Keyframe H.263 legacy 0 -"],
  [VIDEO, "32 AA", "video Frame H.263 legacy 0 -"],
  [VIDEO, "13 AA", "video Keyframe Screen legacy 0 -"],
  [VIDEO, "14 AA", "video Keyframe VP6 legacy 0 -"],
  [VIDEO, "15 AA", "video Keyframe VP6A legacy 0 -"],
  [VIDEO, "16 AA", "video Keyframe Screen2 legacy 0 -"],
  // Enhanced video.
  [VIDEO, "90 68766331 01", "video SequenceHeader hvc1 ex 0 video:0:header"],
  [VIDEO, "95 61763031 80 04 81000C00", "video SequenceHeader av01 ex 0 video:0:header"],
  [VIDEO, "91 68766331 000021 01", "video Keyframe hvc1 ex 0 -"],
  [VIDEO, "91 61763031 01", "video Keyframe av01 ex 0 -"],
  [VIDEO, "93 76766331 01", "video Keyframe vvc1 ex 0 -"],
  [VIDEO, "A1 76703039 01", "video Frame vp09 ex 0 -"],
  [VIDEO, "A1 76703038 01", "video Frame vp08 ex 0 -"],
  [VIDEO, "A3 61766331 01", "video Frame avc1 ex 0 -"],
  [VIDEO, "92 68766331", "video EndOfSequence hvc1 ex 0 -"],
  [VIDEO, "A2 68766331", "video EndOfSequence hvc1 ex 0 -"],
  [VIDEO, "D1 00", "video Command - ex 0 -"],
  [VIDEO, `84 68766331 ${colorInfo}`, "video Metadata hvc1 ex 0 video:0:color"],
  [VIDEO, `D4 68766331 ${colorInfo}`, "video Metadata hvc1 ex 0 video:0:color"],
  [VIDEO, "D4 68766331 02 0001 78 05", "video Metadata hvc1 ex 0 -"],
  [VIDEO, `86 04 68766331 03 ${colorInfo}`, "video Metadata hvc1 ex 3 video:3:color"],
  [VIDEO, "96 00 61766331 01 01", "video SequenceHeader avc1 ex 1 video:1:header"],
  [VIDEO, "96 01 61766331 FF 000000 01", "video Keyframe avc1 ex 255 -"],
  [VIDEO, "A6 11 61763031 02 000001 01 03 000001 01", "video Frame av01 ex 2 -"],
  [VIDEO, "96 20 61763031 00 000001 01 76703039 01 000001 01", "video SequenceHeader av01 ex 0 video:0:header"],
  [VIDEO, "97 02 0F423F 01 61763031 01", "video Keyframe av01 ex 0 -"],
  [VIDEO, "97 02 000000 06 01 61763031 01 01", "video Keyframe av01 ex 1 -"],
  // Legacy audio.
  [AUDIO, "", "audio Frame - legacy 0 -"],
  [AUDIO, "AF 00 1210", "audio SequenceHeader mp4a legacy 0 audio:0:header"],
  [AUDIO, "AF 01 21", "audio Frame mp4a legacy 0 -"],
  [AUDIO, "2F FF", "audio Frame .mp3 legacy 0 -"],
  [AUDIO, "E2 FF", "audio Frame .mp3 legacy 0 -"],
  [AUDIO, "B2 AA", "audio Frame speex legacy 0 -"],
  [AUDIO, "72 AA", "audio Frame alaw legacy 0 -"],
  [AUDIO, "82 AA", "audio Frame mulaw legacy 0 -"],
  [AUDIO, "3E AA", "audio Frame pcm-le legacy 0 -"],
  // Enhanced audio.
  [AUDIO, "90 6D703461 1210", "audio SequenceHeader mp4a ex 0 audio:0:header"],
  [AUDIO, "90 4F707573", "audio SequenceHeader Opus ex 0 audio:0:header"],
  [AUDIO, "90 61632D33", "audio SequenceHeader ac-3 ex 0 audio:0:header"],
  [AUDIO, "90 2E6D7033", "audio SequenceHeader .mp3 ex 0 audio:0:header"],
  [AUDIO, "91 65632D33 AA", "audio Frame ec-3 ex 0 -"],
  [AUDIO, "91 664C6143 AA", "audio Frame fLaC ex 0 -"],
  [AUDIO, "92 4F707573", "audio EndOfSequence Opus ex 0 -"],
  [AUDIO, "94 4F707573 01 01 00000004", "audio Metadata Opus ex 0 audio:0:channels"],
  [AUDIO, "95 00 6D703461 01 1210", "audio SequenceHeader mp4a ex 1 audio:1:header"],
  [AUDIO, "95 01 4F707573 28 AA", "audio Frame Opus ex 40 -"],
  // Data.
  [DATA_AMF0, `${onMetaData} 08 00000000 000009`, "data Metadata - legacy 0 data:metadata"],
  [DATA_AMF0, `${setDataFrame} ${onMetaData} 03 000009`, "data Metadata - legacy 0 data:metadata"],
  [DATA_AMF0, `00 0000000000000000 ${setDataFrame} ${onMetaData} 03 000009`, "data Metadata - legacy 0 data:metadata"],
  [DATA_AMF0, `${onMetaData} 08 00000001 0001 61 05`, "data Metadata - legacy 0 data:metadata"],
  [DATA_AMF0, `${onMetaData} 08 FFFFFFFF 0001 61 05 000009`, "data Metadata - legacy 0 data:metadata"],
  [DATA_AMF0, `${onMetaData} 05`, "data Metadata - legacy 0 -"],
  [DATA_AMF0, `${onMetaData} 00 0000000000000000`, "data Metadata - legacy 0 -"],
  [DATA_AMF0, onMetaData, "data Metadata - legacy 0 -"],
  [DATA_AMF0, "02 000A 6F6E437565506F696E74 05", "data Frame - legacy 0 -"],
  [DATA_AMF0, "02 000F 40636C656172446174614672616D65 05", "data Command - legacy 0 -"],
  [DATA_AMF3, `00 ${onMetaData} 03 000009`, "data Metadata - legacy 0 data:metadata"],
  [DATA_AMF3, `${onMetaData} 03 000009`, "data Metadata - legacy 0 data:metadata"],
  // Cut off, empty, or unknown.
  [VIDEO, "", "Empty"],
  [VIDEO, "17", "Truncated"],
  [VIDEO, "17 01", "Truncated"],
  [VIDEO, "17 01 000000", "EmptyFrame"],
  [VIDEO, "17 00 000000", "EmptyHeader"],
  [VIDEO, "12", "EmptyFrame"],
  [VIDEO, "57", "Truncated"],
  [VIDEO, "57 05", "UnknownCommand"],
  [VIDEO, "1F AA", "UnknownCodec"],
  [VIDEO, "18 AA", "UnknownCodec"],
  [VIDEO, "19 AA", "UnknownCodec"],
  [VIDEO, "1D 01 000000 AA", "UnknownCodec"],
  [VIDEO, "1E 01 000000 AA", "UnknownCodec"],
  [VIDEO, "07 01 000000 AA", "UnknownFrameType"],
  [VIDEO, "17 03 000000 AA", "UnknownPacketType"],
  [VIDEO, "91 58585858 AA", "UnknownFourCc"],
  [VIDEO, "9F 61766331 AA", "UnknownPacketType"],
  [VIDEO, "81 61766331 000000 AA", "UnknownFrameType"],
  [VIDEO, "91 6176", "Truncated"],
  [VIDEO, "91 61766331 0000", "Truncated"],
  [VIDEO, "91 61766331 000000", "EmptyFrame"],
  [VIDEO, "93 61766331", "EmptyFrame"],
  [VIDEO, "91 61763031", "EmptyFrame"],
  [VIDEO, "90 61763031", "EmptyHeader"],
  [VIDEO, "95 61766331 AA", "UnknownPacketType"],
  [VIDEO, "84 68766331", "BadAmf"],
  [VIDEO, "84 68766331 05", "BadAmf"],
  [VIDEO, "84 68766331 02 0009 636F6C6F72496E666F 03 0001", "BadAmf"],
  [VIDEO, "97 FF FFFF 00", "Truncated"],
  [VIDEO, "97 01 0000 01 61763031 01", "BadModEx"],
  [VIDEO, "97 02 0F4240 01 61763031 01", "BadModEx"],
  [VIDEO, "96 06 61766331 01 01", "BadMultitrack"],
  [VIDEO, "96 30 61766331 01 01", "BadMultitrack"],
  [VIDEO, "96 10 61766331 00 000002 01", "Truncated"],
  [VIDEO, "96 10 61766331 00 000000", "EmptyHeader"],
  [VIDEO, "96 10 61766331 00 000001 01 01 000000", "EmptyHeader"],
  [VIDEO, "96 10 61766331", "Truncated"],
  [AUDIO, "AF", "Truncated"],
  [AUDIO, "AF 01", "EmptyFrame"],
  [AUDIO, "AF 00", "EmptyHeader"],
  [AUDIO, "AF 02 AA", "UnknownPacketType"],
  [AUDIO, "2F", "EmptyFrame"],
  [AUDIO, "C0 AA", "UnknownCodec"],
  [AUDIO, "D0 AA", "UnknownCodec"],
  [AUDIO, "F0 AA", "UnknownCodec"],
  [AUDIO, "91 58585858 AA", "UnknownFourCc"],
  [AUDIO, "9F 4F707573 AA", "UnknownPacketType"],
  [AUDIO, "93 4F707573 AA", "UnknownPacketType"],
  [AUDIO, "91 4F707573", "EmptyFrame"],
  [AUDIO, "90 6D703461", "EmptyHeader"],
  [AUDIO, "94 4F707573 03 02", "BadChannels"],
  [AUDIO, "94 4F707573 01 02 0000", "BadChannels"],
  [DATA_AMF0, "", "Empty"],
  [DATA_AMF0, "FF", "NoHandler"],
  [DATA_AMF0, "00000001", "NoHandler"],
  [DATA_AMF0, "02000001", "NoHandler"],
  [DATA_AMF0, "05", "NoHandler"],
  [DATA_AMF0, "02 0000 05", "NoHandler"],
  [DATA_AMF0, "02 00FF 61", "NoHandler"],
  [DATA_AMF0, "0C FFFFFFFF 61", "NoHandler"],
  [DATA_AMF0, setDataFrame, "NoHandler"],
  [DATA_AMF0, `${setDataFrame} 03 000009`, "NoHandler"],
  [DATA_AMF0, "02 0001 78 FF", "NoHandler"],
  [DATA_AMF0, `${onMetaData} 03 0001`, "BadAmf"],
  [DATA_AMF0, `${onMetaData} 03 0001 61 00 00`, "BadAmf"],
  [DATA_AMF3, "", "Empty"],
  [DATA_AMF3, "00", "NoHandler"],
  [DATA_AMF3, `01 ${onMetaData} 05`, "NoHandler"],
  [22, "08 000003", "UnknownMessageType"],
  [20, `${onMetaData}`, "UnknownMessageType"]
]

describe("MediaFrame", () => {
  for (const [typeId, bytes, expected] of cases) {
    it(`type ${typeId}, ${bytes || "nothing"}: ${expected}`, () =>
      assert.strictEqual(look(typeId, hex(bytes)), expected))
  }

  it("names each role and key of what FFmpeg 8 muxes", () => {
    const seen = (name: string) => [...new Set(Fixtures.tags(name).map(({ payload, typeId }) => look(typeId, payload)))]
    assert.deepStrictEqual(seen("avc-aac"), [
      "data Metadata - legacy 0 data:metadata",
      "video SequenceHeader avc1 legacy 0 video:0:header",
      "audio SequenceHeader mp4a legacy 0 audio:0:header",
      "video Keyframe avc1 legacy 0 -",
      "video Frame avc1 legacy 0 -",
      "audio Frame mp4a legacy 0 -",
      "video EndOfSequence avc1 legacy 0 -"
    ])
    assert.deepStrictEqual(seen("hevc-opus").slice(1), [
      "video SequenceHeader hvc1 ex 0 video:0:header",
      "audio SequenceHeader Opus ex 0 audio:0:header",
      "audio Metadata Opus ex 0 audio:0:channels",
      "video Metadata hvc1 ex 0 video:0:color",
      "video Keyframe hvc1 ex 0 -",
      "video Frame hvc1 ex 0 -",
      "audio Frame Opus ex 0 -"
    ])
    assert.includeMembers(seen("multitrack"), [
      "video SequenceHeader avc1 legacy 0 video:0:header",
      "video SequenceHeader hvc1 ex 1 video:1:header",
      "audio SequenceHeader mp4a legacy 0 audio:0:header",
      "audio SequenceHeader Opus ex 1 audio:1:header",
      "video Keyframe hvc1 ex 1 -"
    ])
  })

  it("finds nothing to drop in any recording", () => {
    for (const name of Fixtures.flvNames) {
      for (const { payload, typeId } of Fixtures.tags(name)) {
        assert.notStrictEqual(MediaFrame.classify(typeId, payload).role, "Undecodable", name)
      }
    }
  })

  it.prop("lets everything pass that a well-behaved publisher may send", [MediaArbitrary.message], ([message]) => {
    const frame = MediaFrame.classify(message.typeId, message.payload)
    assert.notStrictEqual(frame.role, "Undecodable", frame.reason)
  })

  const structural: ReadonlySet<string> = new Set([
    "Empty",
    "Truncated",
    "UnknownCodec",
    "UnknownFourCc",
    "UnknownFrameType",
    "UnknownPacketType",
    "UnknownCommand",
    "BadModEx",
    "BadMultitrack",
    "TooManyTracks"
  ])

  it.prop("drops for its layout exactly what the parsers do not read", [MediaArbitrary.hostileMessage], ([message]) => {
    for (const typeId of [VIDEO, AUDIO]) {
      const frame = MediaFrame.classify(typeId, message.payload)
      if (parse(typeId, message.payload) === undefined) assert.strictEqual(frame.role, "Undecodable")
      else assert.isFalse(structural.has(frame.reason), frame.reason)
    }
  })

  it.prop("never throws, and gives a reason exactly where it drops", [MessageArbitrary.bytes(80)], ([bytes]) => {
    const payload = Bytes.concat([Uint8Array.of(0), bytes])
    for (let byte0 = 0; byte0 < 256; byte0++) {
      payload[0] = byte0
      for (const typeId of [VIDEO, AUDIO, DATA_AMF0, DATA_AMF3, 0]) {
        const frame = MediaFrame.classify(typeId, payload)
        if ((frame.role === "Undecodable") !== (frame.reason !== ""))
          assert.fail(`${typeId}: ${frame.role} ${frame.reason}`)
      }
    }
  })

  it.prop("never throws at any truncation", [MediaArbitrary.message], ([{ payload, typeId }]) => {
    for (let length = 0; length < Math.min(payload.length, 200); length++) {
      MediaFrame.classify(typeId, payload.subarray(0, length))
      MediaFrame.splitTracks(typeId, payload.subarray(0, length))
    }
  })

  it.prop("takes neither headers, ends, metadata nor commands for keyframes", [MediaArbitrary.videoTag], ([tag]) => {
    const { role } = MediaFrame.classify(VIDEO, VideoTag.build(tag))
    if (role !== "Keyframe") return
    assert.isTrue(tag._tag !== "LegacyCommand" && tag._tag !== "ExCommand" && tag.frameType === VideoTag.KEYFRAME)
    if (tag._tag === "LegacyPacket") assert.strictEqual(tag.packetType, VideoTag.AVC_NALU)
    if (tag._tag === "ExFrame" || tag._tag === "ExMultitrack") assert.include([1, 3], tag.packetType)
  })

  it.prop("does not depend on where the bytes lie", [MediaArbitrary.hostileMessage], ([{ payload, typeId }]) => {
    const shifted = Bytes.concat([hex("AABBCC"), payload, hex("DDEEFF")]).subarray(3, 3 + payload.length)
    assert.deepStrictEqual(MediaFrame.classify(typeId, shifted), MediaFrame.classify(typeId, payload))
  })

  it("gives the same frozen object for the same kind of message", () => {
    for (const bytes of ["17 01 000000 01", "A1 61763031 01", "A6 01 61763031 05 01", "1F AA"]) {
      const frame = MediaFrame.classify(VIDEO, hex(bytes))
      assert.strictEqual(MediaFrame.classify(VIDEO, hex(`${bytes} AA`)), frame)
      assert.isTrue(Object.isFrozen(frame))
    }
  })

  it("keeps every codec, role and track id apart from every other", () => {
    const packetTypes = [
      [VIDEO, [0x96, 0xa6], VideoTag.SEQUENCE_START, FourCc.video],
      [VIDEO, [0x96, 0xa6], VideoTag.CODED_FRAMES_X, FourCc.video],
      [VIDEO, [0x96, 0xa6], VideoTag.SEQUENCE_END, FourCc.video],
      [AUDIO, [0x95], AudioTag.SEQUENCE_START, FourCc.audio],
      [AUDIO, [0x95], AudioTag.CODED_FRAMES, FourCc.audio],
      [AUDIO, [0x95], AudioTag.SEQUENCE_END, FourCc.audio]
    ] as const
    const payload = new Uint8Array(8)
    for (const [typeId, firstBytes, packetType, codecs] of packetTypes) {
      for (const fourCc of codecs) {
        for (const byte0 of firstBytes) {
          for (let trackId = 0; trackId < 256; trackId++) {
            payload.set([byte0, packetType])
            Bytes.putU32(payload, 2, fourCc)
            payload[6] = trackId
            const kind = typeId === VIDEO ? "video" : "audio"
            const isKey = byte0 === 0x96
            const coded = isKey ? "Keyframe" : "Frame"
            const role = packetType === 0 ? "SequenceHeader" : packetType === 2 ? "EndOfSequence" : coded
            const cacheKey = packetType === 0 ? `${kind}:${trackId}:header` : ""
            const codec = FourCc.toText(fourCc)
            const expected = { kind, role, codec, enhanced: true, trackId, cacheKey, reason: "" }
            assert.deepStrictEqual({ ...MediaFrame.classify(typeId, payload) } as object, expected)
          }
        }
      }
    }
  })

  it("keeps headers up to the limit and drops them past it, and frames of any size", () => {
    const of = (start: string, size: number) => {
      const payload = new Uint8Array(size)
      payload.set(hex(start))
      return payload
    }
    const limit = MediaFrame.maxHeaderBytes
    for (const start of ["17 00 000000", "90 68766331"]) {
      assert.strictEqual(MediaFrame.classify(VIDEO, of(start, limit)).role, "SequenceHeader")
      assert.strictEqual(look(VIDEO, of(start, limit + 1)), "TooLarge")
    }
    for (const start of ["AF 00", "90 4F707573"]) {
      assert.strictEqual(MediaFrame.classify(AUDIO, of(start, limit)).role, "SequenceHeader")
      assert.strictEqual(look(AUDIO, of(start, limit + 1)), "TooLarge")
    }
    assert.strictEqual(look(VIDEO, of(`84 68766331 ${colorInfo}`, limit + 1)), "TooLarge")
    assert.strictEqual(MediaFrame.classify(VIDEO, of("17 01 000000", limit + 1)).role, "Keyframe")
  })

  it("drops metadata over a mebibyte, nested 33 deep, or cut off anywhere but before its end marker", () => {
    const sized = (bytes: number) => {
      const values = ["a".repeat(65535)]
      const base = Amf0.encode(["onMetaData", AmfValue.object({ x: AmfValue.strictArray(Array(15).fill(values[0]!)) })])
      return Bytes.concat([base, new Uint8Array(bytes - base.length)])
    }
    assert.strictEqual(MediaFrame.classify(DATA_AMF0, sized(Metadata.maxMetadataBytes)).cacheKey, "data:metadata")
    assert.strictEqual(look(DATA_AMF0, sized(Metadata.maxMetadataBytes + 1)), "TooLarge")
    const nested = (depth: number) => hex(`${onMetaData} ${"03 0001 61".repeat(depth)} 05 ${"000009".repeat(depth)}`)
    assert.strictEqual(MediaFrame.classify(DATA_AMF0, nested(32)).cacheKey, "data:metadata")
    assert.strictEqual(look(DATA_AMF0, nested(33)), "BadAmf")
    assert.strictEqual(look(DATA_AMF0, nested(2000)), "BadAmf")
    const whole = hex(`${onMetaData} 03 0001 61 0100 0001 62 020001 78 000009`)
    const complete = new Set([13, whole.length, whole.length - 3])
    for (let length = 0; length <= whole.length; length++) {
      const frame = MediaFrame.classify(DATA_AMF0, whole.subarray(0, length))
      if (complete.has(length)) assert.strictEqual(frame.role, "Metadata", `${length}`)
    }
    assert.strictEqual(look(DATA_AMF0, whole.subarray(0, whole.length - 1)), "BadAmf")
    assert.strictEqual(look(DATA_AMF0, whole.subarray(0, whole.length - 5)), "BadAmf")
  })

  it("goes through a long chain of modifiers only up to its limit", () => {
    const payload = new Uint8Array(3_000_001)
    payload[0] = 0x97
    for (let i = 1; i < payload.length; i += 3) payload[i + 2] = 0x17
    assert.strictEqual(look(VIDEO, payload), "BadModEx")
  })

  it.effect("is a service whose layer classifies as the function does", () =>
    Effect.gen(function* () {
      const classifier = yield* MediaFrame.MediaClassifier
      const payload = hex("17 01 000000 01")
      assert.strictEqual(classifier.classify(VIDEO, payload), MediaFrame.classify(VIDEO, payload))
    }).pipe(Effect.provide(MediaFrame.MediaClassifier.layer))
  )
})

describe("MediaFrame.splitTracks", () => {
  it("makes one message of each track, with cache keys of their own", () => {
    const payload = hex("97 02 000001 06 20 61763031 00 000001 AA 68766331 03 000002 BBCC")
    const parts = MediaFrame.splitTracks(VIDEO, payload)
    assert.deepStrictEqual(
      parts.map((part) => Bytes.hex(part)),
      ["9600617630 3100aa", "9600687663 3103bbcc"].map((text) => text.replace(" ", ""))
    )
    assert.deepStrictEqual(
      parts.map((part) => MediaFrame.classify(VIDEO, part).cacheKey),
      ["video:0:header", "video:3:header"]
    )
  })

  it("gives any other message as it is, and nothing for tracks that are cut off", () => {
    for (const [typeId, bytes] of [
      [VIDEO, "17 00 000000 01"],
      [VIDEO, "96 00 61766331 01 01"],
      [VIDEO, "90 58585858 01"],
      [VIDEO, "D6 00"],
      [AUDIO, "AF 00 1210"],
      [AUDIO, ""],
      [DATA_AMF0, `${onMetaData} 05`]
    ] as const) {
      const payload = hex(bytes)
      const parts = MediaFrame.splitTracks(typeId, payload)
      assert.strictEqual(parts.length, 1)
      assert.strictEqual(parts[0], payload)
    }
    assert.deepStrictEqual(MediaFrame.splitTracks(VIDEO, hex("96 10 61766331 00 000001 AA 01 000002 AA")), [])
  })

  it.prop("loses no track, and adds 7 bytes a track at most", [MediaArbitrary.message], ([{ payload, typeId }]) => {
    const parts = MediaFrame.splitTracks(typeId, payload)
    const whole = MediaFrame.classify(typeId, payload)
    assert.strictEqual(MediaFrame.classify(typeId, parts[0]!).cacheKey, whole.cacheKey)
    assert.isAtMost(
      parts.reduce((sum, part) => sum + part.length, 0),
      payload.length + 7 * parts.length
    )
    assert.isAtMost(parts.length, ExHeader.maxTracks)
    for (const part of parts) assert.strictEqual(MediaFrame.classify(typeId, part).role, whole.role)
    const tag = parse(typeId, payload)
    if (tag?._tag !== "ExMultitrack") return
    const again = parts.flatMap((part) => {
      const one = parse(typeId, part)
      return one?._tag === "ExMultitrack" ? [...one.tracks] : []
    })
    assert.deepStrictEqual(again, [...tag.tracks])
  })
})

describe("MediaFrame.unwrapTrack", () => {
  it("gives one track without its id, in the frame type and packet type of the message", () => {
    const payload = hex("A6 11 68766331 00 000004 00000A AA 02 000004 00000B BB")
    assert.strictEqual(Bytes.hex(MediaFrame.unwrapTrack(VIDEO, payload, 2)!), "a16876633100000bbb")
    assert.strictEqual(Bytes.hex(MediaFrame.unwrapTrack(VIDEO, payload, 0)!), "a16876633100000aaa")
    assert.isUndefined(MediaFrame.unwrapTrack(VIDEO, payload, 1))
    assert.strictEqual(Bytes.hex(MediaFrame.unwrapTrack(AUDIO, hex("95 01 4F707573 01 AA"), 1)!), "914f707573aa")
  })

  it("gives a message without tracks as it is, for track 0 only", () => {
    const payload = hex("17 01 000000 01")
    assert.strictEqual(MediaFrame.unwrapTrack(VIDEO, payload, 0), payload)
    assert.isUndefined(MediaFrame.unwrapTrack(VIDEO, payload, 1))
  })
})
