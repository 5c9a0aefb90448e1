import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { MediaReason } from "../../src/media/MediaError.ts"
import * as Vp9 from "../../src/media/Vp9.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"

const hex = Bytes.fromHex

const reasonOf = (result: Result.Result<unknown, { readonly reason: MediaReason }>): MediaReason | "" =>
  Result.isFailure(result) ? result.failure.reason : ""

describe("Vp9", () => {
  it("reads a record with the header of its MP4 box and without", () => {
    const expected = { profile: 0, level: 10, bitDepth: 8, chroma: 1, fullRange: false }
    assert.deepStrictEqual(Result.getOrThrow(Vp9.parse(hex("01000000 00 0A 82 02 02 02 0000"))), expected)
    assert.deepStrictEqual(Result.getOrThrow(Vp9.parse(hex("00 0A 82 02 02 02 0000"))), expected)
    assert.strictEqual(Vp9.levelName(31), "3.1")
    assert.isUndefined(Vp9.levelName(0))
  })

  it("fails for a record cut off", () => {
    assert.strictEqual(reasonOf(Vp9.parse(hex("00 0A 82 02 02 02 00"))), "Truncated")
    assert.strictEqual(reasonOf(Vp9.parse(Bytes.empty)), "Truncated")
  })

  it.prop("never throws for arbitrary bytes", [MessageArbitrary.bytes(60)], ([bytes]) => {
    Vp9.parse(bytes)
    Vp9.parse(Bytes.concat([hex("01000000"), bytes]))
  })
})
