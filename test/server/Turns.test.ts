import { assert, describe, it } from "@effect/vitest"
import * as Turns from "../../src/server/Turns.ts"

/** A queue whose turns come when the test says. */
const setup = (perTurn: number) => {
  const scheduled: Array<() => void> = []
  const turns = Turns.make(perTurn, (callback) => scheduled.push(callback))
  return { turns, scheduled, turn: () => scheduled.shift()?.() }
}

describe("Turns", () => {
  it("does so many callbacks in a turn and no more, in order", () => {
    const { turn, turns } = setup(3)
    const done: Array<number> = []
    for (let i = 0; i < 7; i++) turns.later(() => done.push(i))
    assert.deepStrictEqual(done, [])
    turn()
    assert.deepStrictEqual(done, [0, 1, 2])
    turn()
    turn()
    assert.deepStrictEqual(done, [0, 1, 2, 3, 4, 5, 6])
  })

  it("puts what a callback adds behind those that wait, for a later turn", () => {
    const { turn, turns } = setup(2)
    const done: Array<string> = []
    turns.later(() => {
      done.push("a")
      turns.later(() => done.push("a again"))
    })
    turns.later(() => done.push("b"))
    turns.later(() => done.push("c"))
    turn()
    assert.deepStrictEqual(done, ["a", "b"])
    turn()
    assert.deepStrictEqual(done, ["a", "b", "c", "a again"])
  })

  it("schedules no turn while there is nothing to do, and never two at once", () => {
    const { scheduled, turn, turns } = setup(1)
    assert.strictEqual(scheduled.length, 0)
    turns.later(() => {})
    turns.later(() => {})
    assert.strictEqual(scheduled.length, 1)
    turn()
    assert.strictEqual(scheduled.length, 1)
    turn()
    assert.strictEqual(scheduled.length, 0)
  })

  it("passes over a turn for what is more urgent, and never so many that what waits does not get on", () => {
    const { scheduled, turn, turns } = setup(1)
    const done: Array<number> = []
    turns.later(() => done.push(1))
    turns.giveWay()
    turn()
    assert.deepStrictEqual(done, [], "passed over")
    turn()
    assert.deepStrictEqual(done, [1], "nothing urgent since")
    turns.later(() => done.push(2))
    let turnsTaken = 0
    while (scheduled.length > 0) {
      turns.giveWay()
      turn()
      turnsTaken++
    }
    assert.deepStrictEqual(done, [1, 2])
    assert.isAtMost(turnsTaken, 65)
  })

  it("does all that waits at once when it is flushed, and nothing of it again", () => {
    const { scheduled, turn, turns } = setup(1)
    const done: Array<number> = []
    for (let i = 0; i < 3; i++) turns.later(() => done.push(i))
    turns.flush()
    assert.deepStrictEqual(done, [0, 1, 2])
    while (scheduled.length > 0) turn()
    turns.later(() => done.push(3))
    while (scheduled.length > 0) turn()
    assert.deepStrictEqual(done, [0, 1, 2, 3])
  })

  it("keeps order over thousands of callbacks", () => {
    const { scheduled, turn, turns } = setup(16)
    const done: Array<number> = []
    for (let i = 0; i < 5_000; i++) turns.later(() => done.push(i))
    while (scheduled.length > 0) turn()
    assert.deepStrictEqual(
      done,
      Array.from({ length: 5_000 }, (_, i) => i)
    )
  })
})
