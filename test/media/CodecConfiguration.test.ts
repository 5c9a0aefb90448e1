import { assert, describe, it } from "@effect/vitest"
import * as CodecConfiguration from "../../src/media/CodecConfiguration.ts"
import * as FourCc from "../../src/media/FourCc.ts"
import * as MediaFrame from "../../src/media/MediaFrame.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as MediaArbitrary from "../../src/testing/MediaArbitrary.ts"
import * as Fixtures from "./Fixtures.ts"

const { AUDIO, VIDEO } = Message
const hex = Bytes.fromHex

/** What the sequence headers of a recording say, in their order. */
const described = (name: string): ReadonlyArray<unknown> =>
  Fixtures.tags(name)
    .map(({ payload, typeId }) => CodecConfiguration.describe(typeId, payload))
    .filter((configuration) => configuration !== undefined)

describe("CodecConfiguration", () => {
  const avc = { codec: "avc1", profile: "High", level: "1.0", width: 64, height: 36, frameRate: 25 }
  const hevc = { codec: "hvc1", profile: "Main", level: "1.0", width: 64, height: 36 }
  const aac = { codec: "mp4a", profile: "LC", sampleRate: 44100, channels: 2 }
  const opus = { codec: "Opus", sampleRate: 48000, channels: 1 }

  it("describes what FFmpeg muxes", () => {
    assert.deepStrictEqual(described("avc-aac"), [avc, aac])
    assert.deepStrictEqual(described("hevc-opus"), [hevc, opus])
    assert.deepStrictEqual(described("av1-flac"), [
      { codec: "av01", profile: "Main", level: "2.0", width: 64, height: 36 },
      { codec: "fLaC", sampleRate: 48000, channels: 1 }
    ])
    assert.deepStrictEqual(described("vp9-ac3"), [{ codec: "vp09", profile: "0", level: "1.0" }, { codec: "ac-3" }])
    assert.deepStrictEqual(described("multitrack"), [avc, hevc, aac, opus])
    assert.deepStrictEqual([...described("h263"), ...described("mp3")], [])
  })

  it("describes HEVC as codec id 12, and AV1 in MPEG-2 TS terms", () => {
    const record = Fixtures.header("hevc")
    assert.deepStrictEqual(CodecConfiguration.describe(VIDEO, Bytes.concat([hex("1C 00 000000"), record])), hevc)
    assert.deepStrictEqual(CodecConfiguration.describe(VIDEO, hex("95 61763031 80 04 81 05 4C 00")), {
      codec: "av01",
      profile: "Main",
      level: "3.1"
    })
  })

  it("tells rate and channels of HE-AACv2 as they are played", () => {
    assert.deepStrictEqual(CodecConfiguration.describe(AUDIO, hex("AF 00 EB 09 88 00")), {
      codec: "mp4a",
      profile: "HE-AACv2",
      sampleRate: 48000,
      channels: 2
    })
  })

  it("describes what it cannot read by the codec alone", () => {
    for (const fourCc of [...FourCc.video, ...FourCc.audio]) {
      const codec = FourCc.toText(fourCc)!
      for (const body of [Bytes.empty, hex("FF"), hex("00 00 00 01 67 64")]) {
        const found = CodecConfiguration.configuration(fourCc, body)
        assert.strictEqual(found.codec, codec)
        assert.isUndefined(found.width)
      }
    }
  })

  it.prop("describes exactly the messages that are sequence headers", [MediaArbitrary.hostileMessage], ([message]) => {
    const frame = MediaFrame.classify(message.typeId, message.payload)
    const found = CodecConfiguration.describe(message.typeId, message.payload)
    if (frame.role === "SequenceHeader") assert.strictEqual(found?.codec, frame.codec)
    else if (frame.role !== "Undecodable") assert.isUndefined(found)
  })
})
