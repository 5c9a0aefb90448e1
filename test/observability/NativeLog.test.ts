import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type LineLevel, levels } from "../../src/observability/LogLevels.ts"
import * as NativeLog from "../../src/observability/NativeLog.ts"

const { NativeSink } = NativeLog
const lineLevels = levels.filter((level): level is LineLevel => level !== "none")

/** Writes a line at every level through a sink layer, and gives back what the platform was told. */
const told = (layer: Layer.Layer<NativeLog.NativeSink, never, NativeLog.NativeLog>, line = "a line") =>
  Effect.gen(function* () {
    const calls: Array<readonly [number, string, string]> = []
    const binding = NativeLog.NativeLog.layerFrom((...call) => {
      calls.push(call)
    })
    yield* Effect.gen(function* () {
      const sink = yield* NativeSink
      for (const level of lineLevels) sink.write(line, level)
    }).pipe(Effect.provide(Layer.provide(layer, binding)))
    return calls
  })

const priorities = (layer: Layer.Layer<NativeLog.NativeSink, never, NativeLog.NativeLog>) =>
  Effect.map(told(layer), (calls) => calls.map(([priority]) => priority))

describe("native sinks", () => {
  it.effect("speak each platform's own numbers, from trace to fatal", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* priorities(NativeSink.layerOsLog()), [2, 1, 0, 16, 16, 17])
      assert.deepStrictEqual(yield* priorities(NativeSink.layerEventLog()), [4, 4, 4, 2, 1, 1])
      assert.deepStrictEqual(yield* priorities(NativeSink.layerLogcat()), [2, 3, 4, 5, 6, 7])
      assert.deepStrictEqual(yield* priorities(NativeSink.layerSyslog()), [7, 7, 6, 4, 3, 2])
    })
  )

  it.effect("stand under a tag", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* told(NativeSink.layerLogcat()))[0], [2, "effect-rtmp", "a line"])
      assert.deepStrictEqual((yield* told(NativeSink.layerLogcat("studio")))[0], [2, "studio", "a line"])
    })
  )

  it.effect("cut a message at what the platform takes", () =>
    Effect.gen(function* () {
      for (const platform of [NativeLog.osLog, NativeLog.eventLog, NativeLog.logcat, NativeLog.syslog]) {
        const [call] = yield* told(NativeSink.layerOf(platform), "é".repeat(40_000))
        const bytes = new TextEncoder().encode(call![2]).length
        assert.isAtMost(bytes, platform.maxMessageBytes)
        assert.isAbove(bytes, platform.maxMessageBytes - 8)
      }
    })
  )

  it.effect("count what the platform refuses", () =>
    Effect.gen(function* () {
      const sink = yield* NativeSink
      sink.write("a", "info")
      sink.write("b", "info")
      assert.strictEqual(sink.lost(), 2)
    }).pipe(
      Effect.provide(
        Layer.provide(
          NativeSink.layerOsLog(),
          NativeLog.NativeLog.layerFrom(() => {
            throw new Error("no")
          })
        )
      )
    )
  )
})
