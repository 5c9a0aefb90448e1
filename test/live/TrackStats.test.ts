import { assert, describe, it } from "@effect/vitest"
import * as TrackStats from "../../src/live/TrackStats.ts"

const identity = { kind: "video", trackId: 0, codec: "avc1", hasHeader: true } as const

describe("TrackStats", () => {
  it("reports the rates of the last seconds, and totals", () => {
    const stats = TrackStats.make()
    let nowMs = 123_456
    for (let i = 0; i < 500; i++) {
      stats.countFrame(1_000, i * 40, i % 50 === 0, nowMs)
      nowMs += 40
    }
    const snapshot = stats.snapshot(nowMs, identity)
    assert.closeTo(snapshot.framesPerSecond, 25, 0.5)
    assert.closeTo(snapshot.bitsPerSecond, 200_000, 5_000)
    assert.deepInclude(snapshot, { frames: 500, keyframes: 10, bytes: 500_000, lastTimestamp: 499 * 40, gaps: 0 })
  })

  it("forgets what is older than its window", () => {
    const stats = TrackStats.make()
    for (let i = 0; i < 100; i++) stats.countFrame(1_000, i * 40, false, i * 40)
    const snapshot = stats.snapshot(60_000, identity)
    assert.strictEqual(snapshot.framesPerSecond, 0)
    assert.strictEqual(snapshot.bitsPerSecond, 0)
    assert.strictEqual(snapshot.frames, 100)
  })

  it("gives a young track its rate per second, not per window", () => {
    const stats = TrackStats.make()
    for (let i = 0; i < 50; i++) stats.countFrame(100, i * 40, false, i * 40)
    assert.closeTo(stats.snapshot(2_000, identity).framesPerSecond, 25, 1)
  })

  it("counts steps of more than a second in either direction as gaps, across the wrap", () => {
    const stats = TrackStats.make()
    const steps = [0xffffff00, 0x10, 0x10 + 1_000, 0x10 + 2_001, 0x10 + 1_001, 0x10]
    assert.deepStrictEqual(
      steps.map((timestamp) => stats.countFrame(1, timestamp, false, 0)),
      [0, 0, 0, 1_001, 0, -1_001]
    )
    assert.strictEqual(stats.countFrame(1, 0xffff_0000, false, 0), -(0x10000 + 0x10))
    assert.strictEqual(stats.snapshot(0, identity).gaps, 3)
  })
})
