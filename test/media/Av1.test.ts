import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Av1 from "../../src/media/Av1.ts"
import type { MediaReason } from "../../src/media/MediaError.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import * as Fixtures from "./Fixtures.ts"

const hex = Bytes.fromHex

const reasonOf = (result: Result.Result<unknown, { readonly reason: MediaReason }>): MediaReason | "" =>
  Result.isFailure(result) ? result.failure.reason : ""

/** Bits given as text, `0`, `1` and spaces, to bytes; the last one is filled up with zeros. */
const bits = (text: string): Uint8Array => {
  const digits = text.replace(/ /g, "")
  return Uint8Array.from(digits.match(/.{1,8}/g) ?? [], (byte) => Number.parseInt(byte.padEnd(8, "0"), 2))
}

describe("Av1", () => {
  it("reads the records of libaom and SVT-AV1, and the picture in their sequence headers", () => {
    const small = Result.getOrThrow(Av1.parse(Fixtures.header("av1")))
    assert.deepInclude(small, { profile: 0, level: 0, highTier: false, bitDepth: 8, monochrome: false })
    assert.isTrue(small.subsamplingX && small.subsamplingY)
    assert.deepStrictEqual(Av1.parseSequenceHeader(small.obus), { width: 64, height: 36 })
    const large = Result.getOrThrow(Av1.parse(Fixtures.header("av1-720")))
    assert.deepInclude(large, { profile: 0, level: 5, bitDepth: 10 })
    assert.deepStrictEqual(Av1.parseSequenceHeader(large.obus), { width: 1280, height: 720 })
    assert.strictEqual(Av1.levelName(large.level), "3.1")
    assert.isUndefined(Av1.levelName(31))
  })

  it("finds the sequence header in coded data too, behind a temporal delimiter", () => {
    const obus = Result.getOrThrow(Av1.parse(Fixtures.header("av1-720"))).obus
    assert.deepStrictEqual(Av1.parseSequenceHeader(Bytes.concat([hex("1200"), obus])), { width: 1280, height: 720 })
  })

  it("reads past timing, decoder model and display delay of each operating point", () => {
    // Two points: the first with decoder model and delay, the second of a low level with neither.
    const header = bits(
      `000 0 0  1 ${"0".repeat(64)} 1 00101  1 00011 ${"0".repeat(32)} 00000 00000  1 00001 ` +
        `000000000000 01000 1 1 0000 0000 0 1 0000  000000000000 00111 0 0 ` +
        "0011 0010 1001 101"
    )
    const obus = Bytes.concat([Uint8Array.of(0x0a, header.length), header])
    assert.deepStrictEqual(Av1.parseSequenceHeader(obus), { width: 10, height: 6 })
  })

  it("reads the descriptor of MPEG-2 TS", () => {
    const found = Result.getOrThrow(Av1.parseDescriptor(hex("80 04 81 05 4C 00")))
    assert.deepInclude(found, { level: 5, bitDepth: 10 })
    assert.strictEqual(reasonOf(Av1.parseDescriptor(hex("81 04 81 05 4C 00"))), "BadConfiguration")
    assert.strictEqual(reasonOf(Av1.parseDescriptor(hex("80 04 81"))), "Truncated")
  })

  it("fails for a short record and another version, and finds no picture in nonsense", () => {
    assert.strictEqual(reasonOf(Av1.parse(hex("81 00 0C"))), "Truncated")
    assert.strictEqual(reasonOf(Av1.parse(hex("82 00 0C 00"))), "BadConfiguration")
    for (const obus of ["", "0A", "0A FF", "0A FFFFFFFF0F 00", "0A 7F 00", "0A 01 00", "0E 00", "1200 1200"]) {
      assert.isUndefined(Av1.parseSequenceHeader(hex(obus)), obus)
    }
  })

  it.prop("never throws for arbitrary bytes", [MessageArbitrary.bytes(60)], ([bytes]) => {
    Av1.parse(bytes)
    Av1.parseDescriptor(bytes)
    Av1.parseSequenceHeader(bytes)
    Av1.parseSequenceHeader(Bytes.concat([hex("08"), bytes]))
  })
})
