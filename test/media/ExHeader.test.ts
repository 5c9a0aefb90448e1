import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as AudioTag from "../../src/media/AudioTag.ts"
import * as ExHeader from "../../src/media/ExHeader.ts"
import * as FourCc from "../../src/media/FourCc.ts"
import type { MediaReason } from "../../src/media/MediaError.ts"
import * as VideoTag from "../../src/media/VideoTag.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"

const hex = Bytes.fromHex

const reasonOf = (bytes: Uint8Array): MediaReason | "" => {
  const result = VideoTag.parse(bytes)
  return Result.isFailure(result) ? result.failure.reason : ""
}

describe("ExHeader", () => {
  it("takes as many modifiers as the limit and not one more", () => {
    const chain = (count: number) => hex(`97 ${"00 AA 17".repeat(count - 1)} 00 AA 13 61766331 AA`)
    assert.strictEqual(reasonOf(chain(ExHeader.maxModEx)), "")
    assert.strictEqual(reasonOf(chain(ExHeader.maxModEx + 1)), "BadModEx")
  })

  it("takes as many tracks as the limit and not one more", () => {
    const tracks = (count: number) => hex(`96 10 61763031 ${"00 000001 AA".repeat(count)}`)
    assert.strictEqual(reasonOf(tracks(ExHeader.maxTracks)), "")
    assert.strictEqual(reasonOf(tracks(ExHeader.maxTracks + 1)), "TooManyTracks")
  })

  it("takes a modifier of the largest size", () => {
    const data = new Uint8Array(65536)
    const modEx = [{ type: 1, data, wide: true }]
    const packet = { packetType: VideoTag.CODED_FRAMES_X, fourCc: FourCc.AVC1, compositionTime: 0, body: hex("AA") }
    const tag = { _tag: "ExFrame", frameType: 1, modEx, ...packet } as const
    assert.deepStrictEqual(Result.getOrThrow(VideoTag.parse(VideoTag.build(tag))), tag)
  })

  it("sums up the nanosecond offset of a chain: the last one counts", () => {
    assert.strictEqual(ExHeader.nanoseconds([]), 0)
    const chain = [ExHeader.timestampOffset(1), { type: 9, data: hex("00"), wide: false }, ExHeader.timestampOffset(7)]
    assert.strictEqual(ExHeader.nanoseconds(chain), 7)
  })

  it("serves message after message with one cursor", () => {
    const cursor = new ExHeader.Cursor()
    const walk = (text: string, multitrackPacketType: number): ReadonlyArray<unknown> => {
      const bytes = hex(text)
      const seen: Array<readonly [trackId: number, fourCc: number, body: string]> = []
      if (ExHeader.open(bytes, cursor) && ExHeader.enter(bytes, cursor, multitrackPacketType)) {
        while (ExHeader.nextTrack(bytes, cursor)) {
          seen.push([cursor.trackId, cursor.fourCc, Bytes.hex(bytes.subarray(cursor.bodyStart, cursor.bodyEnd))])
        }
      }
      return [seen, cursor.nanoseconds, cursor.reason]
    }
    const frame = "91 61763031 AA"
    const expected: ReadonlyArray<unknown> = [[[0, FourCc.AV01, "aa"]], 0, ""]
    assert.deepStrictEqual(walk(frame, VideoTag.MULTITRACK), expected)
    assert.deepStrictEqual(walk("97 02 000007 06 10 61763031 05 000001 BB 06 000000", VideoTag.MULTITRACK), [
      [
        [5, FourCc.AV01, "bb"],
        [6, FourCc.AV01, ""]
      ],
      7,
      ""
    ])
    assert.deepStrictEqual(walk("95 11 4F707573 01 000009 BB", AudioTag.MULTITRACK), [[], 0, "Truncated"])
    assert.deepStrictEqual(walk(frame, VideoTag.MULTITRACK), expected)
  })
})
