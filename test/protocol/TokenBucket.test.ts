import { assert, describe, it } from "@effect/vitest"
import { TokenBucket } from "../../src/protocol/TokenBucket.ts"

const taken = (bucket: TokenBucket, nowMs: number): number => {
  let count = 0
  while (bucket.take(nowMs)) count++
  return count
}

describe("a token bucket", () => {
  it("starts full, and refills by the second up to its capacity", () => {
    const bucket = new TokenBucket(10, 5, 1_000)
    assert.strictEqual(taken(bucket, 1_000), 10)
    assert.strictEqual(taken(bucket, 1_199), 0)
    assert.strictEqual(taken(bucket, 1_200), 1)
    assert.strictEqual(taken(bucket, 2_200), 5)
    assert.strictEqual(taken(bucket, 100_000), 10)
  })

  it("neither gives nor loses anything when time stands still or runs backwards", () => {
    const bucket = new TokenBucket(2, 1, 1_000)
    assert.strictEqual(taken(bucket, 500), 2)
    assert.strictEqual(taken(bucket, 1_500), 0)
    assert.strictEqual(taken(bucket, 2_000), 1)
  })

  it("holds nothing with a capacity of 0", () => {
    assert.strictEqual(taken(new TokenBucket(0, 50, 0), 10_000), 0)
  })
})
