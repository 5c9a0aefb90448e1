import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as AudioTag from "../../src/media/AudioTag.ts"
import * as ExHeader from "../../src/media/ExHeader.ts"
import * as FourCc from "../../src/media/FourCc.ts"
import type { MediaReason } from "../../src/media/MediaError.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MediaArbitrary from "../../src/testing/MediaArbitrary.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"

const hex = Bytes.fromHex
const ex = (packetType: number, fourCc: number, body: string) =>
  ({ _tag: "ExFrame", packetType, modEx: [], fourCc, body: hex(body) }) as const
const cd = { rate: 3, size: 1, type: 1 }

const golden: ReadonlyArray<readonly [name: string, bytes: string, tag: AudioTag.AudioTag]> = [
  ["silence", "", { _tag: "Silence" }],
  ["AAC sequence header", "AF 00 1210", { _tag: "AacPacket", packetType: 0, ...cd, body: hex("1210") }],
  ["AAC frame", "AF 01 2110", { _tag: "AacPacket", packetType: 1, ...cd, body: hex("2110") }],
  ["MP3 frame", "2A FFFB", { _tag: "LegacyFrame", format: 2, rate: 2, size: 1, type: 0, body: hex("FFFB") }],
  ["Speex frame", "B2 AA", { _tag: "LegacyFrame", format: 11, rate: 0, size: 1, type: 0, body: hex("AA") }],
  ["Opus sequence start", "90 4F707573 4F70", ex(AudioTag.SEQUENCE_START, FourCc.OPUS, "4F70")],
  ["Opus frames", "91 4F707573 AA", ex(AudioTag.CODED_FRAMES, FourCc.OPUS, "AA")],
  ["sequence end", "92 6D703461", ex(AudioTag.SEQUENCE_END, FourCc.MP4A, "")],
  ["channel configuration", "94 4F707573 01 01 00000004", ex(4, FourCc.OPUS, "010100000004")],
  [
    "one track",
    "95 00 6D703461 01 1210",
    {
      _tag: "ExMultitrack",
      packetType: 0,
      modEx: [],
      multitrackType: ExHeader.ONE_TRACK,
      tracks: [{ fourCc: FourCc.MP4A, trackId: 1, body: hex("1210") }]
    }
  ],
  [
    "many tracks of many codecs, behind a nanosecond offset",
    "97 02 000001 05 21 6D703461 00 000001 AA 4F707573 01 000002 BBCC",
    {
      _tag: "ExMultitrack",
      packetType: 1,
      modEx: [ExHeader.timestampOffset(1)],
      multitrackType: ExHeader.MANY_TRACKS_MANY_CODECS,
      tracks: [
        { fourCc: FourCc.MP4A, trackId: 0, body: hex("AA") },
        { fourCc: FourCc.OPUS, trackId: 1, body: hex("BBCC") }
      ]
    }
  ]
]

const hostile: ReadonlyArray<readonly [name: string, bytes: string, reason: MediaReason]> = [
  ["AAC without packet type", "AF", "Truncated"],
  ["AAC packet type 2", "AF 02 AA", "UnknownPacketType"],
  ["sound format 12", "C0 AA", "UnknownCodec"],
  ["sound format 13, Opus on some CDNs", "D0 AA", "UnknownCodec"],
  ["sound format 15 of DJI drones", "F0 AA", "UnknownCodec"],
  ["unknown FourCC", "91 58585858 AA", "UnknownFourCc"],
  ["FourCC in the wrong case", "91 6F707573 AA", "UnknownFourCc"],
  ["video FourCC", "91 61766331 AA", "UnknownFourCc"],
  ["packet type 3", "93 4F707573 AA", "UnknownPacketType"],
  ["packet type 6, which is multitrack for video", "96 00 4F707573 01 AA", "UnknownPacketType"],
  ["packet type 15", "9F 4F707573 AA", "UnknownPacketType"],
  ["cut off in the FourCC", "91 4F7075", "Truncated"],
  ["multitrack in multitrack", "95 05 4F707573 00 AA", "BadMultitrack"],
  ["multitrack type 15", "95 F0 4F707573 00 AA", "BadMultitrack"],
  ["track size past the end", "95 11 4F707573 00 000002 AA", "Truncated"],
  ["nanosecond offset of one byte", "97 00 00 01 4F707573 AA", "BadModEx"]
]

const reasonOf = (bytes: Uint8Array): MediaReason | "" => {
  const result = AudioTag.parse(bytes)
  return Result.isFailure(result) ? result.failure.reason : ""
}

describe("AudioTag", () => {
  for (const [name, bytes, tag] of golden) {
    it(`reads and writes: ${name}`, () => {
      assert.deepStrictEqual(Result.getOrThrow(AudioTag.parse(hex(bytes))), tag)
      assert.strictEqual(Bytes.hex(AudioTag.build(tag), 1000), Bytes.hex(hex(bytes), 1000))
    })
  }

  for (const [name, bytes, reason] of hostile) {
    it(`fails with ${reason}: ${name}`, () => assert.strictEqual(reasonOf(hex(bytes)), reason))
  }

  it.prop("reads back what it writes", [MediaArbitrary.audioTag], ([tag]) => {
    assert.deepStrictEqual(Result.getOrThrow(AudioTag.parse(AudioTag.build(tag))), tag)
  })

  it.prop("writes back what it reads, byte for byte", [MediaArbitrary.hostileMessage], ([{ payload }]) => {
    const result = AudioTag.parse(payload)
    if (Result.isSuccess(result)) assert.deepStrictEqual(AudioTag.build(result.success), Uint8Array.from(payload))
  })

  it.prop("gives a tag or a MediaError within the input at every truncation", [MediaArbitrary.audioTag], ([tag]) => {
    const whole = AudioTag.build(tag)
    for (let length = 0; length < Math.min(whole.length, 80); length++) {
      const result = AudioTag.parse(whole.subarray(0, length))
      if (Result.isFailure(result)) assert.isAtMost(result.failure.offset, length)
    }
  })

  it.prop("never throws for arbitrary bytes", [MessageArbitrary.bytes(60)], ([bytes]) => {
    for (let byte0 = 0; byte0 < 256; byte0 += 5) AudioTag.parse(Bytes.concat([Uint8Array.of(byte0), bytes]))
    for (let type = 0; type < 16; type++) AudioTag.parse(Bytes.concat([Uint8Array.of(0x90 | type), bytes]))
  })

  it("reads channel configurations of all three orders", () => {
    assert.deepStrictEqual(Result.getOrThrow(AudioTag.parseChannels(hex("00 02"))), {
      order: AudioTag.ORDER_UNSPECIFIED,
      channels: 2,
      mask: 0,
      speakers: Bytes.empty
    })
    assert.deepStrictEqual(Result.getOrThrow(AudioTag.parseChannels(hex("01 06 8000003F"))), {
      order: AudioTag.ORDER_NATIVE,
      channels: 6,
      mask: 0x8000003f,
      speakers: Bytes.empty
    })
    assert.deepStrictEqual(Result.getOrThrow(AudioTag.parseChannels(hex("02 03 00 01 FE"))), {
      order: AudioTag.ORDER_CUSTOM,
      channels: 3,
      mask: 0,
      speakers: hex("0001FE")
    })
    for (const bad of ["", "00", "03 02", "01 02 000000", "02 02 00"]) {
      assert.isTrue(Result.isFailure(AudioTag.parseChannels(hex(bad))), bad)
    }
  })

  it("refuses to build what it would not read", () => {
    assert.throws(() => AudioTag.build({ _tag: "LegacyFrame", format: 9, ...cd, body: hex("AA") }), RangeError)
    assert.throws(() => AudioTag.build({ _tag: "LegacyFrame", format: 15, ...cd, body: hex("AA") }), RangeError)
    assert.throws(
      () => AudioTag.build({ _tag: "AacPacket", packetType: 1, ...cd, rate: 4, body: hex("AA") }),
      RangeError
    )
  })
})
