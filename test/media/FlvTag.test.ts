import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as FlvTag from "../../src/media/FlvTag.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import * as Fixtures from "./Fixtures.ts"

const { bytes, integer, u32 } = MessageArbitrary
const hex = Bytes.fromHex

const reasonOf = (file: Uint8Array): string => {
  const result = FlvTag.read(file)
  return Result.isFailure(result) ? `${result.failure.reason} ${result.failure.offset}` : ""
}

const golden =
  "464C5601 05 00000009 00000000" +
  "08 000003 345678 12 000000 AF01AA 0000000E" +
  "09 000006 000000 00 000000 2701000000BB 00000011"

const goldenTags = [
  { typeId: 8, timestamp: 0x12345678, payload: hex("AF01AA") },
  { typeId: 9, timestamp: 0, payload: hex("2701000000BB") }
]

describe("FlvTag", () => {
  it("reads and writes a file of two tags", () => {
    assert.deepStrictEqual(Result.getOrThrow(FlvTag.read(hex(golden))), goldenTags)
    assert.deepStrictEqual(FlvTag.write(goldenTags), hex(golden))
  })

  it("reads and writes a file without tags, with and without the size in front of the first", () => {
    assert.deepStrictEqual(FlvTag.write([]), hex("464C5601 00 00000009 00000000"))
    assert.deepStrictEqual(Result.getOrThrow(FlvTag.read(hex("464C5601 00 00000009 00000000"))), [])
    assert.deepStrictEqual(Result.getOrThrow(FlvTag.read(hex("464C5601 00 00000009"))), [])
  })

  it.prop(
    "reads back what it writes",
    [Arbitrary.array(Arbitrary.all({ typeId: integer(0, 31), timestamp: u32, payload: bytes(40) }), { maxLength: 6 })],
    ([tags]) => assert.deepStrictEqual(Result.getOrThrow(FlvTag.read(FlvTag.write(tags))), tags)
  )

  it("writes back what FFmpeg muxed, byte for byte", () => {
    for (const name of Fixtures.flvNames) {
      assert.deepStrictEqual(FlvTag.write(Fixtures.tags(name)), Fixtures.file(`${name}.flv`), name)
    }
  })

  it("fails for what is no FLV file, and for encrypted tags", () => {
    assert.strictEqual(reasonOf(hex("464C57 01 05 00000009 00000000")), "BadSignature 0")
    assert.strictEqual(reasonOf(hex("464C56 02 05 00000009 00000000")), "BadSignature 0")
    assert.strictEqual(reasonOf(hex("464C56 01 05 00000008 00000000")), "BadSignature 5")
    assert.strictEqual(reasonOf(hex("464C56 01 05 FFFFFFFF 00000000")), "Truncated 13")
    assert.strictEqual(reasonOf(hex(golden.replace("08 000003", "28 000003"))), "Encrypted 13")
  })

  it("fails at any truncation that cuts a tag, and nowhere reads past the end", () => {
    const whole = hex(golden)
    // Between the tags, with or without the size behind the first; or with the size behind the last cut off.
    const clean = new Set([9, 13, 27, 28, 29, 30, 31, 48, 49, 50, 51])
    for (let length = 0; length < whole.length; length++) {
      assert.strictEqual(reasonOf(whole.subarray(0, length)) === "", clean.has(length), `${length}`)
    }
  })

  it("does not believe the sizes behind tags", () => {
    assert.deepStrictEqual(Result.getOrThrow(FlvTag.read(hex(golden.replace("0000000E", "00000000")))), goldenTags)
  })

  it("refuses to write what does not fit", () => {
    assert.throws(() => FlvTag.write([{ typeId: 32, timestamp: 0, payload: Bytes.empty }]), RangeError)
    assert.throws(() => FlvTag.write([{ typeId: 8, timestamp: 2 ** 32, payload: Bytes.empty }]), Bytes.BytesError)
  })
})
