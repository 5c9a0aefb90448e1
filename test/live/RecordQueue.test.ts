import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import type { MediaRecord } from "../../src/live/Batch.ts"
import { RecordQueue } from "../../src/live/RecordQueue.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"

const buffer = new Uint8Array(0)
const record = (clockMs: number): MediaRecord => ({
  kind: "video",
  role: "Frame",
  timestamp: 0,
  trackBit: 1,
  clockMs,
  receivedAtMs: 0,
  buffer,
  start: 0,
  end: 0
})

const contents = (queue: RecordQueue): ReadonlyArray<number> =>
  Array.from({ length: queue.length }, (_, index) => queue.at(index)!.clockMs)

describe("RecordQueue", () => {
  it.prop("does what an array does", [Arbitrary.array(integer(0, 9), { minLength: 30, maxLength: 300 })], ([steps]) => {
    const queue = new RecordQueue()
    let model: Array<number> = []
    let next = 0
    for (const step of steps) {
      if (step < 6) {
        queue.push(record(next))
        model.push(next++)
      } else if (step < 8) {
        assert.strictEqual(queue.shift()?.clockMs, model.shift())
      } else if (step < 9) {
        queue.retain(({ clockMs }) => clockMs % 3 !== 0)
        model = model.filter((number) => number % 3 !== 0)
      } else if (model.length > 40) {
        queue.clear()
        model = []
      } else if (model.length > 0) {
        const index = next % model.length
        queue.replace(index, record(next))
        model[index] = next++
      }
      assert.deepStrictEqual(contents(queue), model)
      assert.strictEqual(queue.first()?.clockMs, model[0])
      assert.strictEqual(queue.last()?.clockMs, model.at(-1))
    }
    assert.strictEqual(queue.at(-1), undefined)
    assert.strictEqual(queue.at(queue.length), undefined)
    assert.throws(() => queue.replace(queue.length, record(0)), RangeError)
  })
})
