import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { TestClock } from "effect/testing"
import * as Histogram from "../../src/live/Histogram.ts"
import * as Registry from "../../src/live/Registry.ts"
import { StreamRegistry } from "../../src/live/StreamRegistry.ts"
import { Recording } from "../live/Recording.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { pass, publisher, settle, viewer } = TestServer

describe("the meters of a server", () => {
  it.effect("measure a message from its arrival to the flush, and on to the sockets, once for each flush", () =>
    Effect.gen(function* () {
      const { meters } = yield* StreamRegistry
      const from = yield* publisher("a")
      yield* viewer("a")
      yield* viewer("a")
      yield* from.send(Media.videoHeader(), Media.keyframe(0))
      yield* settle
      yield* TestClock.adjust("30 millis")
      yield* from.send(Media.interFrame(33), Media.interFrame(66))
      yield* pass("1 second")
      assert.deepInclude(meters.ingestDelay.snapshot(), { count: 1, sumMs: 100, maxMs: 100 })
      assert.deepInclude(meters.distributionDelay.snapshot(), { count: 1, sumMs: 100 })
      yield* pass("1 second")
      assert.strictEqual(meters.ingestDelay.count, 1)
    }).pipe(Effect.provide(TestServer.layer({ latency: { mergeWindow: "100 millis" } })))
  )

  it.effect("measure a join once for each viewer, from the start of the stream where it waited for one", () =>
    Effect.gen(function* () {
      const { meters } = yield* StreamRegistry
      yield* viewer("a")
      yield* pass("20 seconds")
      assert.strictEqual(meters.joinTime.count, 0)
      const from = yield* publisher("a")
      yield* pass("2 seconds")
      yield* from.send(Media.videoHeader(), Media.keyframe(0))
      yield* settle
      yield* from.send(Media.interFrame(33))
      yield* settle
      assert.deepInclude(meters.joinTime.snapshot(), { count: 1, sumMs: 2_000 })
      yield* viewer("a")
      yield* settle
      assert.deepInclude(meters.joinTime.snapshot(), { count: 2, sumMs: 2_000, minMs: 0 })
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it("tell how far viewers are behind whose sockets are full, and nothing of the others", () => {
    const registry = Registry.make()
    const publication = Result.getOrThrow(
      registry.claim("live/a", { publisherId: "p", credential: "", nowMs: 0, onTakenOver: () => {} })
    )
    const sinks = [new Recording(), new Recording(1), new Recording(3)]
    const frame = (atMs: number) => {
      publication.publish(atMs === 0 ? Media.keyframe(0) : Media.interFrame(atMs), atMs)
      registry.flush(atMs)
    }
    publication.publish(Media.videoHeader(), 0)
    for (const sink of sinks) Result.getOrThrow(registry.subscribe("live/a", { sink, nowMs: 0 }))
    const into = Histogram.make([500, 1_500])
    assert.strictEqual(registry.sampleLag(into), 0)
    assert.strictEqual(into.count, 0)
    for (let atMs = 0; atMs <= 1_000; atMs += 100) frame(atMs)
    // One took the first frame, one the first three; what waits for them begins with the next.
    assert.strictEqual(registry.sampleLag(into), 900)
    assert.deepInclude(into.snapshot(), { count: 2, sumMs: 900 + 700, minMs: 700, maxMs: 900 })
    assert.strictEqual(registry.statistics(1_000).blockedViewers, 2)
  })
})
