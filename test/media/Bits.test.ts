import { assert, describe, it } from "@effect/vitest"
import { BitReader } from "../../src/media/Bits.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"

const reader = (text: string) => new BitReader(Bytes.fromHex(text))

describe("BitReader", () => {
  it("reads fields across bytes, all 32 bits of them included", () => {
    const bits = reader("A5 FFFFFFFF 80")
    assert.deepStrictEqual([bits.bits(3), bits.flag(), bits.bits(4)], [5, false, 5])
    assert.strictEqual(bits.bits(32), 0xffffffff)
    assert.deepStrictEqual([bits.position, bits.remaining], [40, 8])
    assert.isTrue(bits.flag())
  })

  it("fails for good at a field that does not fit, and reads zeros from then on", () => {
    const bits = reader("FF")
    assert.strictEqual(bits.bits(9), 0)
    assert.isTrue(bits.failed)
    assert.deepStrictEqual([bits.bits(1), bits.flag(), bits.ue(), bits.se(), bits.remaining], [0, false, 0, 0, 0])
    const skipped = reader("FF")
    skipped.skip(9)
    assert.isTrue(skipped.failed)
  })

  it("reads Exp-Golomb codes up to 2^32 - 1", () => {
    const bits = reader("A6 42 98 E2 04 8A")
    assert.deepStrictEqual(
      Array.from({ length: 9 }, () => bits.ue()),
      [0, 1, 2, 3, 4, 5, 6, 7, 8]
    )
    assert.strictEqual(reader("00000000 80000000 00").ue(), 0xffffffff)
    const signed = reader("A6 42 98 E2 04 8A")
    assert.deepStrictEqual(
      Array.from({ length: 5 }, () => signed.se()),
      [0, 1, -1, 2, -2]
    )
  })

  it("fails for codes over 32 bits", () => {
    for (const text of ["00000000 80000000 80", "00000000 00000000 FFFFFFFF", "00 00", ""]) {
      const bits = reader(text)
      assert.strictEqual(bits.ue(), 0)
      assert.isTrue(bits.failed, text)
    }
  })

  it("moves to byte boundaries", () => {
    const bits = reader("80 40")
    bits.align()
    assert.strictEqual(bits.position, 0)
    bits.skip(1)
    bits.align()
    assert.strictEqual(bits.bits(8), 0x40)
  })

  it.prop("never reads past its input", [MessageArbitrary.bytes(20)], ([bytes]) => {
    const bits = new BitReader(bytes)
    for (let i = 0; i < 40; i++) {
      bits.bits(i % 33)
      bits.ue()
      bits.uvlc()
      assert.isAtMost(bits.position, bytes.length * 8)
    }
    assert.isTrue(bits.failed)
  })
})
