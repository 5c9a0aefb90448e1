import { assert, describe, it } from "@effect/vitest"
import * as HeaderCache from "../../src/live/HeaderCache.ts"

describe("HeaderCache", () => {
  it("gives metadata, then video, then audio, the newest of each, at one timestamp", () => {
    const cache = HeaderCache.make()
    cache.set("audio:0:header", "audio", 256, 8, new Uint8Array([1]))
    cache.set("video:0:header", "video", 0, 9, new Uint8Array([2]))
    cache.setMetadata(18, new Uint8Array([3]))
    cache.set("audio:0:header", "audio", 256, 8, new Uint8Array([4, 4]))
    assert.deepStrictEqual(
      cache.messages(77).map(({ payload, timestamp, typeId }) => [typeId, timestamp, ...payload]),
      [
        [18, 77, 3],
        [9, 77, 2],
        [8, 77, 4, 4]
      ]
    )
    assert.strictEqual(cache.bytes, 3)
    assert.strictEqual(cache.metadataBytes, 1)
  })

  it("tells new, same and changed bytes apart, and keeps a copy of them", () => {
    const cache = HeaderCache.make()
    const payload = new Uint8Array([1, 2])
    assert.strictEqual(cache.set("video:0:header", "video", 0, 9, payload), "New")
    payload[0] = 9
    assert.strictEqual(cache.set("video:0:header", "video", 0, 9, new Uint8Array([1, 2])), "Same")
    assert.strictEqual(cache.set("video:0:header", "video", 0, 9, payload), "Changed")
    assert.isTrue(cache.setMetadata(18, payload))
    assert.isFalse(cache.setMetadata(18, payload))
  })

  it("forgets the headers of one track, and counts their bytes no more", () => {
    const cache = HeaderCache.make()
    cache.set("video:0:header", "video", 0, 9, new Uint8Array(5))
    cache.set("video:0:color", "video", 0, 9, new Uint8Array(6))
    cache.set("video:1:header", "video", 1, 9, new Uint8Array(7))
    cache.clearTrack(0)
    assert.strictEqual(cache.bytes, 7)
    assert.strictEqual(cache.messages(0).length, 1)
    cache.clear()
    assert.strictEqual(cache.bytes, 0)
    assert.strictEqual(cache.messages(0).length, 0)
  })
})
