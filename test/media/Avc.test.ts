import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Avc from "../../src/media/Avc.ts"
import * as Hevc from "../../src/media/Hevc.ts"
import type { MediaReason } from "../../src/media/MediaError.ts"
import type * as Nal from "../../src/media/Nal.ts"
import * as VideoTag from "../../src/media/VideoTag.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import * as Fixtures from "./Fixtures.ts"

const hex = Bytes.fromHex

const reasonOf = (result: Result.Result<unknown, { readonly reason: MediaReason }>): MediaReason | "" =>
  Result.isFailure(result) ? result.failure.reason : ""

const avcNames = ["avc-crop", "avc-interlaced", "avc-baseline", "avc-444"]

/** An SPS of Baseline profile and the fields up to the picture size, as bits; the rest is zeros. */
const sps = (text: string): Uint8Array => {
  const digits = text.replace(/ /g, "")
  const body = Uint8Array.from(digits.match(/.{1,8}/g) ?? [], (byte) => Number.parseInt(byte.padEnd(8, "0"), 2))
  return Bytes.concat([hex("67 42 00 1E"), body])
}

describe("Avc", () => {
  it("reads picture size and frame rate of what libx264 writes", () => {
    const picture = (name: string) => Avc.parseSps(Result.getOrThrow(Avc.parse(Fixtures.header(name))).sps[0]!)
    assert.deepStrictEqual(picture("avc-crop"), { width: 322, height: 182, frameRate: 30000 / 1001 })
    assert.deepStrictEqual(picture("avc-interlaced"), { width: 1920, height: 1080, frameRate: 25 })
    assert.deepStrictEqual(picture("avc-baseline"), { width: 64, height: 36, frameRate: 25 })
    assert.deepStrictEqual(picture("avc-444"), { width: 64, height: 36, frameRate: 25 })
  })

  it("reads the record around them", () => {
    const record = Result.getOrThrow(Avc.parse(Fixtures.header("avc-crop")))
    assert.deepInclude(record, { profile: 100, compatibility: 0, level: 31, lengthSize: 4 })
    assert.deepStrictEqual([record.sps.length, record.pps.length], [1, 1])
    assert.strictEqual(Bytes.hex(record.pps[0]!), "68ef8fcb")
  })

  it("takes records without parameter sets, without a tail, and without a count of picture parameter sets", () => {
    assert.deepInclude(Result.getOrThrow(Avc.parse(hex("01 64 00 1F FF E0 00"))), { sps: [], pps: [] })
    assert.deepInclude(Result.getOrThrow(Avc.parse(hex("01 64 00 1F FE E0"))), { sps: [], pps: [], lengthSize: 3 })
    assert.deepInclude(Result.getOrThrow(Avc.parse(hex("01 64 00 1F FF E1 0001 67 01 0001 68"))), {
      sps: [hex("67")],
      pps: [hex("68")]
    })
  })

  it("fails for parameter sets that go past the end, and for other versions", () => {
    assert.strictEqual(reasonOf(Avc.parse(Bytes.empty)), "Truncated")
    assert.strictEqual(reasonOf(Avc.parse(hex("01 64 00 1F FF"))), "Truncated")
    assert.strictEqual(reasonOf(Avc.parse(hex("01 64 00 1F FF FF 0001 67"))), "Truncated")
    assert.strictEqual(reasonOf(Avc.parse(hex("01 64 00 1F FF E1 FFFF 67"))), "Truncated")
    assert.strictEqual(reasonOf(Avc.parse(hex("01 64 00 1F FF E0 FF 0001"))), "Truncated")
    assert.strictEqual(reasonOf(Avc.parse(hex("00 00 00 01 67 64 00 1F"))), "BadConfiguration")
  })

  it("gives no picture for nonsense: endless codes, 2^32 pixels, cropping to nothing, an order type of 3", () => {
    const fields = "1 1 1 1 0" // id, frame number bits, order type 0, order bits, reference frames… up to the width
    assert.deepStrictEqual(Avc.parseSps(sps(`1 1 1 1 1 0 00100 00101 1 0 0 0`)), {
      width: 64,
      height: 80,
      frameRate: undefined
    })
    assert.isUndefined(Avc.parseSps(sps("0".repeat(64))))
    assert.isUndefined(Avc.parseSps(sps(`1 1 1 1 1 0 ${"0".repeat(31)}1${"1".repeat(31)} 00101 1 0 0 0`)))
    assert.isUndefined(Avc.parseSps(sps(`1 1 1 1 1 0 00100 00101 1 0 1 000000100001 1 1 1 0`)))
    assert.isUndefined(Avc.parseSps(sps(`1 1 00100 ${fields}`)))
    assert.isUndefined(Avc.parseSps(sps("")))
    assert.isUndefined(Avc.parseSps(hex("68 42 00 1E FF")))
    assert.isUndefined(Avc.parseSps(Bytes.empty))
  })

  it("never takes a parameter set cut off for another picture", () => {
    for (const name of avcNames) {
      const unit = Result.getOrThrow(Avc.parse(Fixtures.header(name))).sps[0]!
      const whole = Avc.parseSps(unit)!
      for (let length = 0; length < unit.length; length++) {
        const picture = Avc.parseSps(unit.subarray(0, length))
        if (picture !== undefined) assert.deepInclude(picture, { width: whole.width, height: whole.height })
      }
    }
  })

  it.prop("never throws for arbitrary bytes", [MessageArbitrary.bytes(80)], ([bytes]) => {
    for (const profile of ["42", "64", "F4"]) Avc.parseSps(Bytes.concat([hex(`67 ${profile} 00 1E`), bytes]))
    Avc.parse(Bytes.concat([hex("01"), bytes]))
    for (const lengthSize of [1, 2, 3, 4]) Avc.randomAccess(bytes, lengthSize)
  })

  it("names profiles and levels", () => {
    assert.strictEqual(Avc.profileName(66, 0xc0), "Constrained Baseline")
    assert.strictEqual(Avc.profileName(66, 0x80), "Baseline")
    assert.strictEqual(Avc.profileName(99, 0), "99")
    assert.strictEqual(Avc.levelName(31, 100, 0), "3.1")
    assert.strictEqual(Avc.levelName(11, 66, 0x10), "1b")
    assert.strictEqual(Avc.levelName(11, 100, 0x10), "1.1")
    assert.strictEqual(Avc.levelName(9, 100, 0), "1b")
  })
})

describe("Avc.randomAccess", () => {
  const cases: ReadonlyArray<readonly [name: string, bytes: string, expected: Nal.RandomAccess]> = [
    ["IDR slice", "00000002 6588", "Idr"],
    ["IDR slice behind parameter sets", "00000002 09F0 00000002 6764 00000001 68 00000002 6588", "Idr"],
    ["other slice", "00000002 419A", "None"],
    ["recovery point", "00000004 06060180 00000002 419A", "RecoveryPoint"],
    ["recovery point behind another message", "00000007 06 0502AABB 0601 00000002 419A", "RecoveryPoint"],
    [
      "recovery point behind a message of 255 bytes",
      `00000106 06 05FF00 ${"AA".repeat(255)} 060180 00000001 41`,
      "RecoveryPoint"
    ],
    ["messages that are no recovery point", "00000004 06050180 00000002 419A", "None"],
    ["messages cut off", "00000003 06FFFF 00000002 419A", "None"],
    ["parameter sets only", "00000002 6764", "None"],
    ["nothing", "", "None"],
    ["start codes", "00000001 65 88", "AnnexB"],
    ["length past the end", "00000010 65", "Malformed"],
    ["length of 4 GiB", "FFFFFFFF 65", "Malformed"],
    ["length of 0", "00000000 65", "Malformed"],
    ["length cut off", "000002", "Malformed"]
  ]
  for (const [name, bytes, expected] of cases) {
    it(`${name}: ${expected}`, () => assert.strictEqual(Avc.randomAccess(hex(bytes)), expected))
  }

  it("reads lengths of other sizes", () => {
    assert.strictEqual(Avc.randomAccess(hex("02 6588"), 1), "Idr")
    assert.strictEqual(Avc.randomAccess(hex("0002 419A"), 2), "None")
    assert.strictEqual(Avc.randomAccess(hex("000002 6588"), 3), "Idr")
  })

  it("agrees with the frame types that FFmpeg writes, for AVC and HEVC", () => {
    let keyframes = 0
    for (const name of ["avc-aac", "hevc-opus", "multitrack"]) {
      for (const { payload, typeId } of Fixtures.tags(name)) {
        if (typeId !== 9) continue
        const tag = Result.getOrThrow(VideoTag.parse(payload))
        const legacy = tag._tag === "LegacyPacket" && tag.packetType === VideoTag.AVC_NALU
        const enhanced =
          (tag._tag === "ExFrame" || tag._tag === "ExMultitrack") && (tag.packetType === 1 || tag.packetType === 3)
        if (!legacy && !enhanced) continue
        const { body } = tag._tag === "ExMultitrack" ? tag.tracks[0]! : tag
        const found = legacy ? Avc.randomAccess(body) : Hevc.randomAccess(body)
        assert.strictEqual(found !== "None", tag.frameType === VideoTag.KEYFRAME, `${name}: ${found}`)
        if (found !== "None") keyframes++
      }
    }
    assert.isAbove(keyframes, 6)
  })
})
