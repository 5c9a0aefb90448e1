import { assert, describe, it } from "@effect/vitest"
import * as FourCc from "../../src/media/FourCc.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"

describe("FourCc", () => {
  it("has the numbers that onMetaData carries", () => {
    assert.strictEqual(FourCc.fromText("av01"), 1635135537)
    assert.strictEqual(FourCc.fromText("hvc1"), 1752589105)
    assert.strictEqual(FourCc.fromText("avc1"), 1635148593)
    assert.strictEqual(FourCc.fromText("vp09"), 1987063865)
    assert.strictEqual(FourCc.fromText("Opus"), 1332770163)
    assert.strictEqual(FourCc.fromText("mp4a"), 1836069985)
  })

  it("spells every codec it names", () => {
    assert.deepStrictEqual(FourCc.video.map(FourCc.toText), ["avc1", "hvc1", "av01", "vp09", "vp08", "vvc1"])
    assert.deepStrictEqual(FourCc.audio.map(FourCc.toText), ["mp4a", "Opus", "fLaC", "ac-3", "ec-3", ".mp3"])
  })

  it("finds each codec in its own list only", () => {
    for (const [index, code] of FourCc.video.entries()) {
      assert.deepStrictEqual([FourCc.videoIndex(code), FourCc.audioIndex(code)], [index, -1])
    }
    for (const [index, code] of FourCc.audio.entries()) {
      assert.deepStrictEqual([FourCc.videoIndex(code), FourCc.audioIndex(code)], [-1, index])
    }
  })

  it("spells no code that is not printable, and reads no text of another length", () => {
    for (const code of [0, 0x61763000, 0xff763031, 0x6176300a]) assert.isUndefined(FourCc.toText(code))
    for (const text of ["", "av1", "av012", "av0\n", "é£01"]) assert.isUndefined(FourCc.fromText(text))
  })

  it.prop("reads back what it spells", [MessageArbitrary.u32], ([code]) => {
    const text = FourCc.toText(code)
    if (text !== undefined) assert.strictEqual(FourCc.fromText(text), code)
  })
})
