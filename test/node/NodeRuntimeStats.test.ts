import * as fs from "node:fs"
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as NodeRuntimeStats from "../../src/node/NodeRuntimeStats.ts"
import { gcKinds, RuntimeStats } from "../../src/observability/RuntimeMetrics.ts"

const run = <A, E>(effect: Effect.Effect<A, E, RuntimeStats>) => Effect.provide(effect, NodeRuntimeStats.layer)

const block = (ms: number): void => {
  const until = performance.now() + ms
  while (performance.now() < until);
}

/** Real time, since it is the event loop that is watched. */
const turn = (ms: number) => Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, ms)))

describe("NodeRuntimeStats", () => {
  it.effect("reads the process", () =>
    run(
      Effect.gen(function* () {
        const { read } = yield* RuntimeStats
        const before = read()
        block(30)
        yield* turn(0)
        const after = read()
        assert.isAbove(after.memory.resident, after.memory.heapUsed)
        assert.isAbove(after.memory.heapUsed, 1024 * 1024)
        assert.isAtLeast(after.cpu.userMs + after.cpu.systemMs - before.cpu.userMs - before.cpu.systemMs, 15)
        assert.isAtLeast(after.eventLoopActiveMs - before.eventLoopActiveMs, 25)
        assert.isAtLeast(after.handles, 0)
      })
    )
  )

  it.effect.skipIf(process.platform !== "linux")("counts open files", () =>
    run(
      Effect.gen(function* () {
        const { read } = yield* RuntimeStats
        const before = read().openFiles!
        const files = Array.from({ length: 5 }, () => fs.openSync("/dev/null", "r"))
        const during = read().openFiles!
        for (const file of files) fs.closeSync(file)
        assert.strictEqual(during - before, 5)
        assert.isAtLeast(read().maxOpenFiles!, during)
      })
    )
  )

  it.effect("sees a blocked event loop only while there is something to do", () =>
    run(
      Effect.gen(function* () {
        const { read, setActive } = yield* RuntimeStats
        setActive(true)
        setActive(true)
        yield* turn(100)
        block(200)
        yield* turn(100)
        const { maxMs, p50Ms, p99Ms } = read().eventLoopLag
        assert.isAtLeast(maxMs, 150)
        assert.isAtLeast(p99Ms, p50Ms)
        setActive(false)
        block(60)
        yield* turn(40)
        assert.deepStrictEqual(read().eventLoopLag, { p50Ms: 0, p99Ms: 0, maxMs: 0 })
      })
    )
  )

  it.effect("counts pauses for garbage collection", () =>
    run(
      Effect.gen(function* () {
        const { gcPauses } = yield* RuntimeStats
        const pauses = () => gcKinds.reduce((sum, kind) => sum + gcPauses[kind].count, 0)
        let kept: unknown
        for (let i = 0; i < 200 && pauses() === 0; i++) {
          for (let j = 0; j < 50_000; j++) kept = { j, kept: undefined }
          yield* turn(0)
        }
        assert.isDefined(kept)
        assert.isAbove(pauses(), 0)
      })
    )
  )
})
