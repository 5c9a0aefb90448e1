import { assert, describe, it } from "@effect/vitest"
import { BitrateGuard } from "../../src/live/BitrateGuard.ts"

/** Feeds a constant bitrate in 30 pieces a second, and gives back what was told, with the second it was told in. */
const feed = (
  guard: BitrateGuard,
  bitsPerSecond: number,
  fromMs: number,
  seconds: number
): ReadonlyArray<readonly [number, number]> => {
  const told: Array<readonly [number, number]> = []
  for (let i = 0; i < seconds * 30; i++) {
    const nowMs = fromMs + (i * 1_000) / 30
    const found = guard.add(bitsPerSecond / 240, nowMs)
    if (found > 0) told.push([Math.floor(nowMs / 1_000), Math.round(found / 1_000)])
  }
  return told
}

describe("BitrateGuard", () => {
  it("tells of an excess after some seconds, and again after a minute while it goes on", () => {
    const guard = new BitrateGuard(50_000_000)
    const told = feed(guard, 60_000_000, 0, 130)
    assert.deepStrictEqual(
      told.map(([second]) => second),
      [5, 65, 125]
    )
    for (const [, kbps] of told) assert.approximately(kbps, 60_000, 1_000)
  })

  it("says nothing at the limit, nor of a burst that the mean swallows", () => {
    const guard = new BitrateGuard(50_000_000)
    assert.deepStrictEqual(feed(guard, 49_900_000, 0, 20), [])
    assert.strictEqual(guard.add(20_000_000, 20_100), 0)
    assert.deepStrictEqual(feed(guard, 1_000_000, 20_200, 20), [])
  })

  it("tells anew after the excess was over", () => {
    const guard = new BitrateGuard(1_000_000)
    assert.strictEqual(feed(guard, 2_000_000, 0, 8).length, 1)
    assert.strictEqual(feed(guard, 500_000, 8_000, 20).length, 0)
    assert.strictEqual(feed(guard, 2_000_000, 28_000, 12).length, 1)
  })

  it("takes a pause for no rate at all", () => {
    const guard = new BitrateGuard(1_000_000)
    guard.add(10, 0)
    guard.add(100_000_000, 1_000)
    assert.strictEqual(guard.add(10, 60_000), 0)
  })

  it("does nothing without a limit", () => {
    assert.deepStrictEqual(feed(new BitrateGuard(0), 1e9, 0, 20), [])
  })
})
