import { assert, describe, it } from "@effect/vitest"
import * as FourCc from "../../src/media/FourCc.ts"
import * as Metadata from "../../src/media/Metadata.ts"
import * as Amf0 from "../../src/protocol/amf/Amf0.ts"
import * as AmfValue from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as MediaArbitrary from "../../src/testing/MediaArbitrary.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import * as Fixtures from "./Fixtures.ts"

const { DATA_AMF0, DATA_AMF3 } = Message

const metadataOf = (fields: Readonly<Record<string, AmfValue.AmfValue>>): Uint8Array =>
  Amf0.encode(["onMetaData", AmfValue.ecmaArray(fields)])

describe("Metadata.body", () => {
  const plain = metadataOf({ width: 2 })
  const wrapped = Metadata.setDataFrame(plain)

  it("leaves behind the wrapping, a stray number of Uniview cameras, and the selector of AMF3 messages", () => {
    const number = Amf0.encode([0])
    const selector = Uint8Array.of(0)
    for (const payload of [plain, wrapped, Bytes.concat([number, wrapped]), Bytes.concat([number, plain])]) {
      assert.deepStrictEqual(Metadata.body(DATA_AMF0, payload), plain)
      assert.deepStrictEqual(Metadata.body(DATA_AMF3, payload), plain)
      assert.deepStrictEqual(Metadata.body(DATA_AMF3, Bytes.concat([selector, payload])), plain)
    }
  })

  it("gives a view, and the payload itself where nothing is left behind", () => {
    assert.strictEqual(Metadata.body(DATA_AMF0, plain), plain)
    assert.strictEqual(Metadata.body(DATA_AMF0, wrapped)?.buffer, wrapped.buffer)
  })

  it("takes names in the form of long strings", () => {
    const long = Bytes.fromHex("0C 0000000A 6F6E4D65746144617461 03 000009")
    assert.strictEqual(Metadata.body(DATA_AMF0, long), long)
    assert.strictEqual(Metadata.handlerAt(long, 0), "OnMetaData")
  })

  it("tells handlers by their whole name", () => {
    const handler = (name: string) => Metadata.handlerAt(Amf0.encode([name, null]), 0)
    assert.strictEqual(handler("onMetaData"), "OnMetaData")
    assert.strictEqual(handler("@clearDataFrame"), "ClearDataFrame")
    for (const name of ["onMetaDat", "onMetaDataX", "onmetadata", "onCuePoint", "|RtmpSampleAccess"]) {
      assert.strictEqual(handler(name), "Other")
    }
  })

  it("finds no body in what is not AMF", () => {
    for (const text of [
      "",
      "00",
      "0000",
      "00000000",
      "11223344",
      "02",
      "020001",
      "02 0000",
      "03 000009",
      "0C 000000"
    ]) {
      assert.isUndefined(Metadata.body(DATA_AMF0, Bytes.fromHex(text)), text)
      assert.isUndefined(Metadata.body(DATA_AMF3, Bytes.fromHex(text)), text)
    }
  })

  it.prop("wraps so that unwrapping gives the same back", [MediaArbitrary.metadata], ([payload]) => {
    const body = Metadata.body(DATA_AMF0, payload)!
    assert.deepStrictEqual(Metadata.body(DATA_AMF0, Metadata.setDataFrame(body)), body)
  })

  it.prop("never throws for arbitrary bytes, behind a handler name too", [MessageArbitrary.bytes(60)], ([bytes]) => {
    const named = Bytes.concat([Amf0.encode(["onMetaData"]), bytes])
    for (const payload of [bytes, named]) {
      for (const typeId of [DATA_AMF0, DATA_AMF3]) Metadata.body(typeId, payload)
      Metadata.summary(payload)
    }
    Metadata.check(named, 0)
    Metadata.checkVideo(named)
  })
})

describe("Metadata.check", () => {
  it("tells values from none", () => {
    const check = (...values: ReadonlyArray<AmfValue.AmfValue>) =>
      Metadata.check(Amf0.encode(["onMetaData", ...values]), 0)
    assert.strictEqual(check(AmfValue.object({})), "Values")
    assert.strictEqual(check(AmfValue.ecmaArray({ width: 1 })), "Values")
    for (const value of [null, undefined, 1, "x", true, AmfValue.strictArray([1])]) {
      assert.strictEqual(check(value), "NoValues")
    }
    assert.strictEqual(check(), "NoValues")
  })

  it("lets a missing end marker and bytes behind the value pass, and nothing else", () => {
    const whole = metadataOf({ width: 2, name: "x" })
    assert.strictEqual(Metadata.check(whole.subarray(0, whole.length - 3), 0), "Values")
    assert.strictEqual(Metadata.check(Bytes.concat([whole, Uint8Array.of(0, 0, 9)]), 0), "Values")
    for (const cut of [1, 2, 4, 5]) {
      assert.strictEqual(Metadata.check(whole.subarray(0, whole.length - cut), 0), "Broken", `${cut}`)
    }
  })
})

describe("Metadata.checkVideo", () => {
  it("tells colorInfo from other names and from what does not decode", () => {
    const colorInfo = Amf0.encode(["colorInfo", AmfValue.object({})])
    assert.strictEqual(Metadata.checkVideo(colorInfo), "ColorInfo")
    assert.strictEqual(Metadata.checkVideo(Amf0.encode(["colorInfoX", null])), "Other")
    assert.strictEqual(Metadata.checkVideo(Amf0.encode([null])), "Broken")
    assert.strictEqual(Metadata.checkVideo(Bytes.empty), "Broken")
    assert.strictEqual(Metadata.checkVideo(colorInfo.subarray(0, colorInfo.length - 1)), "Broken")
  })
})

describe("Metadata.summary", () => {
  it("sums up what FFmpeg writes", () => {
    assert.deepStrictEqual(Metadata.summary(Fixtures.tags("avc-aac")[0]!.payload), {
      width: 64,
      height: 36,
      frameRate: 25,
      duration: 0.32,
      videoDataRate: 0,
      audioDataRate: 0,
      audioSampleRate: 44100,
      audioChannels: 2,
      videoCodec: "avc1",
      audioCodec: "mp4a",
      encoder: "Lavf62.19.101"
    })
  })

  it("names codecs from legacy numbers, FourCC numbers and strings alike", () => {
    const codecs = (videocodecid: AmfValue.AmfValue, audiocodecid: AmfValue.AmfValue) => {
      const found = Metadata.summary(metadataOf({ videocodecid, audiocodecid }))
      return [found?.videoCodec, found?.audioCodec]
    }
    assert.deepStrictEqual(codecs(7, 10), ["avc1", "mp4a"])
    assert.deepStrictEqual(codecs(12, 2), ["hvc1", ".mp3"])
    assert.deepStrictEqual(codecs(FourCc.AV01, FourCc.OPUS), ["av01", "Opus"])
    assert.deepStrictEqual(codecs("hvc1", "mp4a"), ["hvc1", "mp4a"])
    assert.deepStrictEqual(codecs(15, 12), ["15", "12"])
    assert.deepStrictEqual(codecs(Number.NaN, -1), [undefined, undefined])
    assert.deepStrictEqual(codecs(null, AmfValue.object({})), [undefined, undefined])
  })

  it("leaves out numbers that mean nothing and values of other types", () => {
    assert.deepStrictEqual(
      Metadata.summary(metadataOf({ width: Number.NaN, height: -1, framerate: "30", encoder: 5, stereo: false })),
      { audioChannels: 1 }
    )
    assert.deepStrictEqual(Metadata.summary(metadataOf({ audiochannels: 6, stereo: true })), { audioChannels: 6 })
  })

  it("keeps control characters and endless names out of logs", () => {
    const found = Metadata.summary(
      metadataOf({ encoder: `a\r\n\u001b[2J\u0000${"b".repeat(500)}`, videocodecid: "\u0007" })
    )
    assert.match(found?.encoder ?? "", /^a\[2Jb+$/)
    assert.isAtMost(found?.encoder?.length ?? 0, 128)
    assert.isUndefined(found?.videoCodec)
  })

  it("takes wrapped metadata, objects, a leading number and a missing end marker", () => {
    const fields = { width: 2 }
    const object = Amf0.encode(["onMetaData", AmfValue.object(fields)])
    for (const payload of [
      Metadata.setDataFrame(metadataOf(fields)),
      object,
      Bytes.concat([Amf0.encode([1]), object]),
      object.subarray(0, object.length - 3)
    ]) {
      assert.deepStrictEqual(Metadata.summary(payload), fields)
    }
  })

  it("gives nothing for null, for other handlers and for what does not decode", () => {
    for (const payload of [
      Amf0.encode(["onMetaData", null]),
      Amf0.encode(["onMetaData"]),
      Amf0.encode(["onCuePoint", AmfValue.object({ width: 2 })]),
      metadataOf({ width: 2 }).subarray(0, 30),
      Bytes.empty
    ]) {
      assert.isUndefined(Metadata.summary(payload))
    }
  })
})
