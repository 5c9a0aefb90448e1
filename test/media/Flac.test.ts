import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Flac from "../../src/media/Flac.ts"
import type { MediaReason } from "../../src/media/MediaError.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import * as Fixtures from "./Fixtures.ts"

const hex = Bytes.fromHex

const reasonOf = (result: Result.Result<unknown, { readonly reason: MediaReason }>): MediaReason | "" =>
  Result.isFailure(result) ? result.failure.reason : ""

describe("Flac", () => {
  const block = Fixtures.header("flac")

  it("reads the block alone, as FFmpeg sends it, and behind its marker, as the specification asks", () => {
    const expected = { sampleRate: 48000, channels: 1, bitsPerSample: 16 }
    assert.deepStrictEqual(Result.getOrThrow(Flac.parse(block)), expected)
    assert.deepStrictEqual(Result.getOrThrow(Flac.parse(Bytes.concat([hex("664C6143 80000022"), block]))), expected)
  })

  it("fails for a block cut off and for a sample rate of 0", () => {
    assert.strictEqual(reasonOf(Flac.parse(block.subarray(0, 33))), "Truncated")
    assert.strictEqual(reasonOf(Flac.parse(new Uint8Array(34))), "BadConfiguration")
  })

  it.prop("never throws for arbitrary bytes", [MessageArbitrary.bytes(60)], ([bytes]) => {
    Flac.parse(bytes)
    Flac.parse(Bytes.concat([hex("664C6143 80000022"), bytes]))
  })
})
