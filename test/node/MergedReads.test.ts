import { assert, describe, it } from "@effect/vitest"
import * as MergedReads from "../../src/node/MergedReads.ts"

/** A clock that stands, and the callbacks that were scheduled on it. */
const clock = (startMs: number) => {
  const scheduled: Array<{ readonly callback: () => void; readonly atMs: number }> = []
  const state = { nowMs: startMs }
  const atNext = MergedReads.make(
    () => state.nowMs,
    (callback, delayMs) => scheduled.push({ callback, atMs: state.nowMs + delayMs })
  )
  const pass = (untilMs: number): void => {
    for (const due of scheduled.splice(0).sort((a, b) => a.atMs - b.atMs)) {
      if (due.atMs > untilMs) scheduled.push(due)
      else {
        state.nowMs = due.atMs
        due.callback()
      }
    }
    state.nowMs = untilMs
  }
  return { atNext, pass, scheduled, state }
}

describe("MergedReads", () => {
  it("wakes everybody who waits for one point of time in one turn, in the order of their coming", () => {
    const { atNext, pass, scheduled, state } = clock(1_003)
    const woken: Array<string> = []
    atNext(40, () => woken.push("first"))
    state.nowMs = 1_017
    atNext(40, () => woken.push("second"))
    assert.lengthOf(scheduled, 1)
    pass(1_039)
    assert.deepStrictEqual(woken, [])
    pass(1_040)
    assert.deepStrictEqual(woken, ["first", "second"])
  })

  it("keeps intervals apart, and begins anew after each point", () => {
    const { atNext, pass } = clock(0)
    const woken: Array<number> = []
    const again = (ms: number) => (): void => {
      woken.push(ms)
      atNext(ms, again(ms))
    }
    atNext(40, again(40))
    atNext(100, again(100))
    for (let ms = 1; ms <= 200; ms++) pass(ms)
    assert.deepStrictEqual(
      woken.filter((ms) => ms === 40),
      [40, 40, 40, 40, 40]
    )
    assert.deepStrictEqual(
      woken.filter((ms) => ms === 100),
      [100, 100]
    )
  })

  it("never calls back at once, however close the point is", () => {
    const { atNext, scheduled } = clock(79.9)
    atNext(40, () => undefined)
    assert.isAbove(scheduled[0]!.atMs, 79.9)
  })
})
