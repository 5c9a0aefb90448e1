import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Hevc from "../../src/media/Hevc.ts"
import type { MediaReason } from "../../src/media/MediaError.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import * as Fixtures from "./Fixtures.ts"

const hex = Bytes.fromHex

const reasonOf = (result: Result.Result<unknown, { readonly reason: MediaReason }>): MediaReason | "" =>
  Result.isFailure(result) ? result.failure.reason : ""

const hevcNames = ["hevc", "hevc-main10", "hevc-422"]

describe("Hevc", () => {
  it("reads picture, profile and level of what libx265 writes", () => {
    const read = (name: string) => {
      const record = Result.getOrThrow(Hevc.parse(Fixtures.header(name)))
      const { arrays, bitDepth, chromaFormat, lengthSize, level, profile } = record
      assert.deepStrictEqual(
        arrays.map((array) => array.nalType),
        [Hevc.VPS, Hevc.SPS, Hevc.PPS]
      )
      const names = [Hevc.profileName(profile), Hevc.levelName(level)]
      return [...names, chromaFormat, bitDepth, lengthSize, Hevc.parseSps(Hevc.unitOf(record, Hevc.SPS)!)]
    }
    assert.deepStrictEqual(read("hevc"), ["Main", "1.0", 1, 8, 4, { width: 64, height: 36 }])
    assert.deepStrictEqual(read("hevc-main10"), ["Main 10", "4.1", 1, 10, 4, { width: 1920, height: 1080 }])
    assert.deepStrictEqual(read("hevc-422"), ["Range Extensions", "2.1", 2, 10, 4, { width: 640, height: 360 }])
  })

  it("fails for arrays that go past the end, and for other versions", () => {
    const record = Fixtures.header("hevc")
    const changed = (at: number, value: number) => Uint8Array.from(record, (byte, i) => (i === at ? value : byte))
    assert.strictEqual(reasonOf(Hevc.parse(Bytes.empty)), "Truncated")
    assert.strictEqual(reasonOf(Hevc.parse(changed(22, 255))), "Truncated")
    assert.strictEqual(reasonOf(Hevc.parse(changed(24, 255))), "Truncated")
    assert.strictEqual(reasonOf(Hevc.parse(changed(26, 255))), "Truncated")
    assert.strictEqual(reasonOf(Hevc.parse(changed(0, 2))), "BadConfiguration")
    for (let length = 23; length < record.length; length++) {
      assert.strictEqual(reasonOf(Hevc.parse(record.subarray(0, length))), "Truncated")
    }
  })

  it("reads records without arrays, and the frame rate where there is one", () => {
    const record = Fixtures.header("hevc").slice(0, 23)
    record.set([0x19, 0x00], 19)
    record[22] = 0
    const found = Result.getOrThrow(Hevc.parse(record))
    assert.deepStrictEqual([found.arrays, found.frameRate], [[], 25])
    assert.isUndefined(Hevc.unitOf(found, Hevc.SPS))
  })

  it("never takes a parameter set cut off for another picture", () => {
    for (const name of hevcNames) {
      const unit = Hevc.unitOf(Result.getOrThrow(Hevc.parse(Fixtures.header(name))), Hevc.SPS)!
      const whole = Hevc.parseSps(unit)
      for (let length = 0; length < unit.length; length++) {
        const picture = Hevc.parseSps(unit.subarray(0, length))
        if (picture !== undefined) assert.deepStrictEqual(picture, whole)
      }
    }
  })

  it("reads past the profiles and levels of sub-layers", () => {
    // Two sub-layers below the top one: the first with profile and level, the second with a level.
    const ptl = (text: string) => text.replace(/ /g, "")
    const digits = ptl(
      `0000 010 1 ${"0".repeat(96)} 11 01 ${"00".repeat(6)} ${"0".repeat(88 + 8 + 8)} 1 010 00000100001 000010010 0`
    )
    const body = Uint8Array.from(`${digits}${"0".repeat(8)}`.match(/.{8}/g)!, (byte) => Number.parseInt(byte, 2))
    // Emulation prevention, as an encoder would add it.
    const escaped: Array<number> = []
    let zeros = 0
    for (const byte of body) {
      if (zeros === 2 && byte <= 3) {
        escaped.push(3)
        zeros = 0
      }
      escaped.push(byte)
      zeros = byte === 0 ? zeros + 1 : 0
    }
    assert.deepStrictEqual(Hevc.parseSps(Bytes.concat([hex("4201"), Uint8Array.from(escaped)])), {
      width: 32,
      height: 17
    })
  })

  it("tells entry points by their NAL unit types", () => {
    const type = (nalType: number) =>
      Hevc.randomAccess(hex(`00000003 ${(nalType << 1).toString(16).padStart(2, "0")}01AA`))
    for (const nalType of [19, 20]) assert.strictEqual(type(nalType), "Idr")
    for (const nalType of [16, 17, 18, 21]) assert.strictEqual(type(nalType), "RecoveryPoint")
    for (const nalType of [0, 1, 9, 22, 31, 32, 39]) assert.strictEqual(type(nalType), "None")
    assert.strictEqual(Hevc.randomAccess(hex("00000002 4001 00000002 4201 00000002 2601")), "Idr")
    assert.strictEqual(Hevc.randomAccess(hex("00000001 26 01")), "AnnexB")
    assert.strictEqual(Hevc.randomAccess(hex("00000009 26")), "Malformed")
  })

  it.prop("never throws for arbitrary bytes", [MessageArbitrary.bytes(80)], ([bytes]) => {
    Hevc.parseSps(Bytes.concat([hex("4201"), bytes]))
    Hevc.parse(Bytes.concat([hex("01"), bytes]))
    for (const lengthSize of [1, 2, 3, 4]) Hevc.randomAccess(bytes, lengthSize)
  })
})
