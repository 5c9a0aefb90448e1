import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Aac from "../../src/media/Aac.ts"
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

describe("Aac", () => {
  const lc = { objectType: 2, sbr: false, ps: false }
  const cases: ReadonlyArray<readonly [name: string, bytes: Uint8Array, expected: Aac.AudioSpecificConfig]> = [
    ["LC 44.1 kHz stereo", hex("12 10"), { ...lc, sampleRate: 44100, outputSampleRate: 44100, channels: 2 }],
    ["LC 48 kHz stereo", hex("11 90"), { ...lc, sampleRate: 48000, outputSampleRate: 48000, channels: 2 }],
    [
      "mono of FFmpeg, with its sync word that says no SBR",
      hex("12 08 56 E5 00"),
      { ...lc, sampleRate: 44100, outputSampleRate: 44100, channels: 1 }
    ],
    ["recorded mono", Fixtures.header("aac-mono"), { ...lc, sampleRate: 48000, outputSampleRate: 48000, channels: 1 }],
    ["recorded 5.1", Fixtures.header("aac-51"), { ...lc, sampleRate: 48000, outputSampleRate: 48000, channels: 6 }],
    [
      "HE-AAC announced in front",
      bits("00101 0110 0010 0011 00010 000"),
      { objectType: 2, sampleRate: 24000, outputSampleRate: 48000, channels: 2, sbr: true, ps: false }
    ],
    [
      "HE-AACv2 announced in front",
      bits("11101 0110 0001 0011 00010 000"),
      { objectType: 2, sampleRate: 24000, outputSampleRate: 48000, channels: 1, sbr: true, ps: true }
    ],
    [
      "HE-AAC announced behind",
      bits("00010 0110 0010 000 01010110111 00101 1 0011"),
      { objectType: 2, sampleRate: 24000, outputSampleRate: 48000, channels: 2, sbr: true, ps: false }
    ],
    [
      "HE-AACv2 announced behind",
      bits("00010 0110 0001 000 01010110111 00101 1 0011 10101001000 1"),
      { objectType: 2, sampleRate: 24000, outputSampleRate: 48000, channels: 1, sbr: true, ps: true }
    ],
    [
      "rate written out, seven channels of configuration 7 make eight",
      bits("00010 1111 000000001011101110000000 0111 000"),
      { ...lc, sampleRate: 48000, outputSampleRate: 48000, channels: 8 }
    ],
    [
      "channels from an element list: a pair in front, one behind, one of low frequencies",
      bits("00010 0011 0000 000  0000 01 0011 0001 0000 0001 01 000 0000 0 0 0  1 0000  0 0001  0000  000 00000000"),
      { ...lc, sampleRate: 48000, outputSampleRate: 48000, channels: 4 }
    ],
    [
      "object type past 31: ELD",
      bits("11111 000111 0011 0001"),
      { objectType: 39, sampleRate: 48000, outputSampleRate: 48000, channels: 1, sbr: false, ps: false }
    ],
    [
      "HE-AAC cut off to two bytes, as Telos Omnia sends it",
      bits("00101 0110 0010 001"),
      { objectType: 2, sampleRate: 24000, outputSampleRate: 24000, channels: 2, sbr: true, ps: false }
    ]
  ]
  for (const [name, bytes, expected] of cases) {
    it(`reads ${name}`, () => assert.deepStrictEqual(Result.getOrThrow(Aac.parse(bytes)), expected))
  }

  it("fails for less than type, rate and channels, and for a reserved rate", () => {
    assert.strictEqual(reasonOf(Aac.parse(Bytes.empty)), "Truncated")
    assert.strictEqual(reasonOf(Aac.parse(hex("12"))), "Truncated")
    assert.strictEqual(reasonOf(Aac.parse(bits("00010 1111 0000000"))), "Truncated")
    assert.strictEqual(reasonOf(Aac.parse(bits("00010 1101 0010 000"))), "BadConfiguration")
  })

  it("names profiles", () => {
    const name = (text: string) => Aac.profileName(Result.getOrThrow(Aac.parse(bits(text))))
    assert.strictEqual(name("00010 0110 0010 000"), "LC")
    assert.strictEqual(name("00101 0110 0010 0011 00010 000"), "HE-AAC")
    assert.strictEqual(name("11101 0110 0001 0011 00010 000"), "HE-AACv2")
  })

  it.prop("never throws for arbitrary bytes", [MessageArbitrary.bytes(60)], ([bytes]) => {
    Aac.parse(bytes)
    Aac.parse(Bytes.concat([hex("16"), bytes]))
  })
})
