import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Timeline from "../../src/live/Timeline.ts"
import * as Timestamp from "../../src/protocol/Timestamp.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"

const timestamps = Arbitrary.array(integer(0, 0xffffffff), { minLength: 1, maxLength: 50 })

describe("Timeline", () => {
  it.prop("relays any timestamp of the first session as it is", [timestamps], ([all]) => {
    const timeline = Timeline.make()
    timeline.beginSession()
    for (const timestamp of all) assert.strictEqual(timeline.relay(timestamp, true), timestamp)
  })

  it.prop("has a clock that never runs backwards, nor faster than timestamps", [timestamps], ([all]) => {
    const timeline = Timeline.make()
    let before = 0
    for (const timestamp of all) {
      timeline.relay(timestamp, true)
      assert.isAtLeast(timeline.clockMs, before)
      assert.isAtMost(timeline.clockMs - before, 30_000)
      before = timeline.clockMs
    }
  })

  it("counts across the wrap and over jumps", () => {
    const timeline = Timeline.make()
    for (const timestamp of [0xfffffff0, 0x10, 0x30, 5_000_000, 5_000_040, 100, 140]) timeline.relay(timestamp, true)
    assert.strictEqual(timeline.clockMs, 0x20 + 0x20 + 40 + 40)
  })

  it.prop(
    "continues behind the last frame, whatever the next session starts with",
    [integer(0, 0xffffffff), integer(0, 0xffffffff), Arbitrary.array(integer(0, 50), { maxLength: 40 })],
    ([last, first, steps]) => {
      const timeline = Timeline.make()
      timeline.beginSession()
      timeline.relay(last, true)
      timeline.beginSession()
      const expected = Timestamp.add(last, Timeline.RESUME_STEP_MS)
      assert.strictEqual(timeline.relay(0, false), expected)
      assert.strictEqual(timeline.relay(first, true), expected)
      let published = first
      for (const step of steps) {
        published = Timestamp.add(published, step)
        assert.strictEqual(
          timeline.relay(published, true),
          Timestamp.add(expected, Timestamp.difference(published, first))
        )
      }
      // Another track that begins earlier does not fall behind the session before.
      assert.isFalse(Timestamp.isAfter(expected, timeline.relay(Timestamp.add(first, -500), true)))
    }
  )
})
