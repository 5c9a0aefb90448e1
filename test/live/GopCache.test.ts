import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import type { MediaRecord } from "../../src/live/Batch.ts"
import * as GopCache from "../../src/live/GopCache.ts"
import type { GopOptions } from "../../src/live/LiveOptions.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"

const options: GopOptions = {
  enabled: true,
  minDurationMs: 0,
  maxDurationMs: 10_000,
  maxBytes: 10_000,
  maxFrames: 100
}

/** `K` keyframe, `i` inter frame, `a` audio, each a batch of its own of 10 bytes unless told otherwise. */
const record = (letter: string, clockMs: number, bytes = 10): MediaRecord => ({
  kind: letter === "a" ? "audio" : "video",
  role: letter === "K" ? "Keyframe" : "Frame",
  timestamp: clockMs,
  trackBit: letter === "a" ? 0 : 1,
  clockMs,
  receivedAtMs: clockMs,
  buffer: new Uint8Array(bytes),
  start: 0,
  end: bytes
})

const play = (cache: GopCache.GopCache, letters: string, stepMs: number, startMs = 0, bytes = 10): number => {
  let clockMs = startMs
  for (const letter of letters) {
    cache.add(record(letter, clockMs, bytes), letter === "K")
    clockMs += stepMs
  }
  return clockMs
}

const letters = (cache: GopCache.GopCache): string => {
  let out = ""
  for (let i = 0; i < cache.length; i++) {
    const { kind, role } = cache.at(i)!
    out += kind === "audio" ? "a" : role === "Keyframe" ? "K" : "i"
  }
  return out
}

describe("GopCache", () => {
  it("holds the newest group of pictures, from its keyframe on", () => {
    const cache = GopCache.make(options)
    play(cache, "aiKiaiKia", 20)
    assert.strictEqual(letters(cache), "Kia")
    assert.strictEqual(cache.bytes, 30)
  })

  it("keeps older groups until what is left covers the duration that is asked for", () => {
    const cache = GopCache.make({ ...options, minDurationMs: 100 })
    let clockMs = play(cache, "KiiKii", 20)
    assert.strictEqual(letters(cache), "KiiKii")
    clockMs = play(cache, "K", 20, clockMs)
    assert.strictEqual(letters(cache), "KiiKiiK")
    // The second group begins at 60 ms: from 160 ms on the first one is not needed.
    play(cache, "iK", 20, clockMs)
    assert.strictEqual(letters(cache), "KiiKiK")
  })

  it("is empty until a keyframe came, and drops audio from before it", () => {
    const cache = GopCache.make({ ...options, minDurationMs: 1_000 })
    play(cache, "aaa", 20)
    assert.strictEqual(letters(cache), "aaa")
    play(cache, "i", 20, 60)
    assert.strictEqual(letters(cache), "")
    play(cache, "aiaK", 20, 80)
    assert.strictEqual(letters(cache), "K")
  })

  it("keeps the last milliseconds of a stream without video", () => {
    const cache = GopCache.make({ ...options, minDurationMs: 100 })
    play(cache, "a".repeat(50), 20)
    assert.strictEqual(letters(cache), "aaaaa")
    assert.strictEqual(cache.at(0)!.clockMs, 900)
    const without = GopCache.make(options)
    play(without, "aaaa", 20)
    assert.strictEqual(without.length, 0)
  })

  it("empties itself where one group goes over a bound, and starts again at the next keyframe", () => {
    for (const [bounds, atEdge] of [
      [{ maxFrames: 5 }, 5],
      [{ maxBytes: 50 }, 5],
      [{ maxDurationMs: 80 }, 5]
    ] as const) {
      const cache = GopCache.make({ ...options, ...bounds })
      let clockMs = play(cache, "Kiaia", 20)
      assert.strictEqual(cache.length, atEdge)
      clockMs = play(cache, "i", 20, clockMs)
      assert.strictEqual(cache.length, 0)
      clockMs = play(cache, "iai", 20, clockMs)
      assert.strictEqual(cache.length, 0)
      assert.strictEqual(cache.statistics().overruns, 1)
      play(cache, "Ki", 20, clockMs)
      assert.strictEqual(letters(cache), "Ki")
    }
  })

  it("drops only the oldest groups where that is enough", () => {
    const cache = GopCache.make({ ...options, minDurationMs: 10_000, maxFrames: 7 })
    play(cache, "KiiKiiKii", 20)
    assert.strictEqual(letters(cache), "KiiKii")
    assert.strictEqual(cache.statistics().overruns, 0)
  })

  it("survives streams in which every frame is a keyframe", () => {
    const cache = GopCache.make({ ...options, minDurationMs: 200 })
    play(cache, "K".repeat(5_000), 20)
    assert.strictEqual(cache.length, 11)
    assert.strictEqual(cache.statistics().groups, 11)
  })

  it("holds nothing where it is switched off", () => {
    const cache = GopCache.make({ ...options, enabled: false })
    play(cache, "KiaKia", 20)
    assert.strictEqual(cache.length, 0)
  })

  it("starts anew after a reset as it did at first", () => {
    const cache = GopCache.make({ ...options, minDurationMs: 1_000 })
    play(cache, "Kia", 20)
    cache.reset()
    play(cache, "aa", 20, 100)
    assert.strictEqual(letters(cache), "aa")
  })

  it("counts a batch whole and once, from its first cached record to its last one", () => {
    const cache = GopCache.make(options)
    const batch = new Uint8Array(1_000)
    const part = (letter: string, clockMs: number) => ({ ...record(letter, clockMs), buffer: batch })
    cache.add(part("K", 0), true)
    cache.add(part("a", 1), false)
    assert.strictEqual(cache.bytes, 1_000)
    play(cache, "i", 0, 2)
    cache.add(part("K", 3), true)
    assert.strictEqual(cache.bytes, 1_000)
    play(cache, "K", 0, 4)
    assert.strictEqual(cache.bytes, 10)
  })

  it.prop(
    "keeps no more memory alive than its bound, whatever else lies in the batches",
    [
      Arbitrary.array(
        Arbitrary.all([
          Arbitrary.array(Arbitrary.all([integer(0, 5), integer(1, 40)]), { minLength: 1, maxLength: 6 }),
          integer(0, 300)
        ]),
        { minLength: 10, maxLength: 60 }
      ),
      integer(0, 400)
    ],
    ([batches, minDurationMs]) => {
      const maxBytes = 1_500
      const cache = GopCache.make({ ...options, minDurationMs, maxBytes })
      let clockMs = 0
      for (const [parts, uncached] of batches) {
        const buffer = new Uint8Array(uncached + parts.reduce((sum, [, bytes]) => sum + bytes, 0))
        let start = uncached
        for (const [choice, bytes] of parts) {
          const letter = "Kiiiaa"[choice]!
          cache.add({ ...record(letter, clockMs++), buffer, start, end: start + bytes }, letter === "K")
          start += bytes
          const held = new Set<Uint8Array>()
          for (let i = 0; i < cache.length; i++) held.add(cache.at(i)!.buffer)
          const reachable = [...held].reduce((sum, { buffer }) => sum + buffer.byteLength, 0)
          assert.strictEqual(cache.bytes, reachable)
          assert.isAtMost(reachable, maxBytes)
        }
      }
    }
  )

  it.prop(
    "begins at a keyframe, in order, within its bounds, and covers what it should",
    [
      Arbitrary.array(Arbitrary.all([integer(0, 5), integer(0, 60), integer(1, 40)]), {
        minLength: 20,
        maxLength: 200
      }),
      integer(0, 400)
    ],
    ([steps, minDurationMs]) => {
      const bounds = { ...options, minDurationMs, maxDurationMs: 600, maxBytes: 600, maxFrames: 30 }
      const cache = GopCache.make(bounds)
      let clockMs = 0
      let bytesOf = 0
      play(cache, "K", 0)
      for (const [choice, stepMs, bytes] of steps) {
        clockMs += stepMs
        play(cache, "Kiiiaa"[choice]!, 0, clockMs, bytes)
        if (cache.length > 0) {
          assert.strictEqual(cache.at(0)!.role, "Keyframe")
          assert.strictEqual(cache.at(cache.length - 1)!.clockMs, clockMs)
        }
        bytesOf = 0
        for (let i = 0; i < cache.length; i++) {
          bytesOf += cache.at(i)!.end
          if (i > 0) assert.isAtLeast(cache.at(i)!.clockMs, cache.at(i - 1)!.clockMs)
        }
        assert.strictEqual(cache.bytes, bytesOf)
        assert.isAtMost(cache.length, bounds.maxFrames)
        assert.isAtMost(bytesOf, bounds.maxBytes)
        assert.isAtMost(cache.statistics().durationMs, bounds.maxDurationMs)
      }
    }
  )
})
