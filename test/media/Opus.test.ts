import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { MediaReason } from "../../src/media/MediaError.ts"
import * as Opus from "../../src/media/Opus.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import * as Fixtures from "./Fixtures.ts"

const hex = Bytes.fromHex

const reasonOf = (result: Result.Result<unknown, { readonly reason: MediaReason }>): MediaReason | "" =>
  Result.isFailure(result) ? result.failure.reason : ""

describe("Opus", () => {
  it("reads the identification header of libopus", () => {
    assert.deepStrictEqual(Result.getOrThrow(Opus.parse(Fixtures.header("opus"))), {
      version: 1,
      channels: 1,
      preSkip: 312,
      inputSampleRate: 48000,
      outputGain: 0,
      mappingFamily: 0
    })
  })

  it("reads little-endian and signed fields", () => {
    const head = Result.getOrThrow(Opus.parse(hex("4F70757348656164 01 06 0102 04030201 FFFE 01 04 02 000401020305")))
    assert.deepInclude(head, { preSkip: 0x0201, inputSampleRate: 0x01020304, outputGain: -257, mappingFamily: 1 })
  })

  it("fails for a short header, another magic, a new version, no channels", () => {
    const head = Fixtures.header("opus")
    const changed = (at: number, value: number) => Uint8Array.from(head, (byte, i) => (i === at ? value : byte))
    assert.strictEqual(reasonOf(Opus.parse(head.subarray(0, 18))), "Truncated")
    assert.strictEqual(reasonOf(Opus.parse(Bytes.empty)), "Truncated")
    assert.strictEqual(reasonOf(Opus.parse(changed(0, 0))), "BadConfiguration")
    assert.strictEqual(reasonOf(Opus.parse(changed(8, 16))), "BadConfiguration")
    assert.strictEqual(reasonOf(Opus.parse(changed(9, 0))), "BadConfiguration")
  })

  it.prop("never throws for arbitrary bytes", [MessageArbitrary.bytes(60)], ([bytes]) => {
    Opus.parse(bytes)
    Opus.parse(Bytes.concat([hex("4F70757348656164 01"), bytes]))
  })
})
