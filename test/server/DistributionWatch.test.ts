import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as DistributionWatch from "../../src/server/DistributionWatch.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { pass, publisher, viewer } = TestServer

describe("more than is planned for", () => {
  it.effect("is told once a minute while it lasts, and not otherwise", () => {
    const lines: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => {
      lines.push(JSON.stringify(message))
    })
    return Effect.gen(function* () {
      yield* Layer.build(DistributionWatch.layer)
      const from = yield* publisher("a")
      yield* from.send(Media.videoHeader(), Media.keyframe(0))
      yield* viewer("a")
      const large = { ...Media.keyframe(40), payload: new Uint8Array(100_000) }
      large.payload.set(Media.keyframe(40).payload)
      const send = (seconds: number) =>
        Effect.gen(function* () {
          for (let i = 0; i < seconds; i++) {
            yield* from.send(large)
            yield* pass("1 second")
          }
        })
      yield* pass("20 seconds")
      assert.deepStrictEqual(lines, [], "nothing is sent")
      yield* send(30)
      assert.strictEqual(lines.length, 1)
      assert.match(
        lines[0]!,
        /limits\.distributionBitrate.*"bitsPerSecond":\d{6},"limitBitsPerSecond":500000,"viewers":1/
      )
      yield* send(40)
      assert.strictEqual(lines.length, 2)
    }).pipe(
      Effect.provideService(Logger.CurrentLoggers, new Set([logger])),
      Effect.scoped,
      Effect.provide(
        TestServer.layer({
          limits: { distributionBitrate: "500 kbit/s" },
          publisher: { silentAfter: "10 minutes" },
          session: { pingTimeout: "10 minutes" }
        })
      )
    )
  })
})
