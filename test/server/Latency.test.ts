import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { defaultLiveOptions, forStream } from "../../src/live/LiveOptions.ts"
import type { TestClient } from "../../src/testing/TestClient.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { client, closes, events, frames, pass, settle } = TestServer

/** A client that plays application/name. */
const viewer = (application: string, name: string) =>
  Effect.gen(function* () {
    const viewer = yield* client
    yield* viewer.play(yield* viewer.open(application), name)
    return viewer
  })

const publisher = (application: string, name: string) =>
  Effect.gen(function* () {
    const publisher = yield* client
    yield* publisher.publish(yield* publisher.open(application), name)
    return publisher
  })

describe("latency per application", () => {
  it.effect("merges each application's messages for its own window", () =>
    Effect.gen(function* () {
      const applications = ["fast", "slow", "other"]
      const viewers: Array<TestClient> = []
      for (const application of applications) {
        const from = yield* publisher(application, "a")
        yield* settle
        viewers.push(yield* viewer(application, "a"))
        yield* settle
        yield* from.send(Media.videoHeader(0), Media.keyframe(0))
      }
      yield* settle
      const seen = () => viewers.map((viewer) => frames(viewer).length)
      assert.deepStrictEqual(seen(), [2, 0, 0])
      yield* pass("40 millis")
      assert.deepStrictEqual(seen(), [2, 0, 2])
      yield* pass("309 millis")
      assert.deepStrictEqual(seen(), [2, 0, 2])
      yield* pass("1 millis")
      assert.deepStrictEqual(seen(), [2, 2, 2])
    }).pipe(
      Effect.provide(TestServer.layer({ latency: { mode: "balanced", applications: { fast: "low", slow: "350 ms" } } }))
    )
  )

  it("belongs to the longest name in front of a slash", () => {
    const own = (mergeWindowMs: number) => ({ mergeWindowMs, outboxMaxDelayMs: 500, gopMinDurationMs: 0 })
    const options = {
      ...defaultLiveOptions,
      mergeWindowMs: 40,
      applications: new Map([
        ["live", own(1)],
        ["live/low", own(2)]
      ])
    }
    const windows = ["live/a", "live/low/a", "lively/a", "liv/a"].map((key) => forStream(options, key).mergeWindowMs)
    assert.deepStrictEqual(windows, [1, 2, 40, 40])
    assert.deepInclude(forStream(options, "live/a").outbox, { maxDelayMs: 500 })
    assert.deepInclude(forStream(options, "live/a").gop, { minDurationMs: 0 })
    assert.strictEqual(forStream(options, "x/a"), options)
  })
})

/** Sends 1 Mbit/s for so many seconds. */
const publish = (from: TestClient, seconds: number) =>
  Effect.gen(function* () {
    for (let i = 0; i < seconds * 10; i++) {
      const message = Media.keyframe(i * 100)
      const payload = new Uint8Array(12_500)
      payload.set(message.payload)
      yield* Effect.ignore(from.send({ ...message, payload }))
      yield* pass("100 millis")
    }
  })

describe("the bitrate limit", () => {
  const config = (enforcePublishBitrate: boolean) =>
    TestServer.layer({ limits: { publishBitrate: "800 kbit/s", enforcePublishBitrate } })

  it.effect("is only reported unless it is to be enforced", () =>
    Effect.gen(function* () {
      const happened = yield* events
      const from = yield* publisher("live", "a")
      yield* from.send(Media.videoHeader(0))
      yield* publish(from, 8)
      assert.deepStrictEqual(closes(happened), [])
    }).pipe(Effect.provide(config(false)))
  )

  it.effect("ends a publisher that passes it for some seconds where it is enforced", () =>
    Effect.gen(function* () {
      const happened = yield* events
      const from = yield* publisher("live", "a")
      yield* from.send(Media.videoHeader(0))
      yield* publish(from, 4)
      assert.deepStrictEqual(closes(happened), [], "a mean over less than five seconds is none")
      yield* publish(from, 4)
      yield* pass("2 seconds")
      assert.deepStrictEqual(closes(happened), ["LimitReached in Publishing"])
    }).pipe(Effect.provide(config(true)))
  )
})
