import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { Distribution } from "../../src/live/Distribution.ts"
import { defaultLiveOptions, type LiveOptions } from "../../src/live/LiveOptions.ts"
import * as Registry from "../../src/live/Registry.ts"
import type { StreamEvent } from "../../src/live/StreamEvents.ts"
import * as StreamEvents from "../../src/live/StreamEvents.ts"
import { StreamRegistry } from "../../src/live/StreamRegistry.ts"
import { classify, MediaClassifier } from "../../src/media/MediaFrame.ts"
import * as LiveArbitrary from "../../src/testing/LiveArbitrary.ts"
import { letters, Recording } from "./Recording.ts"

const options: LiveOptions = {
  ...defaultLiveOptions,
  publisher: { conflict: "reject", silentAfterMs: 5_000, resumeGraceMs: 2_000 },
  play: { maxWaitingViewers: 3, waitTimeoutMs: 1_000 },
  outbox: { ...defaultLiveOptions.outbox, stallTimeoutMs: 3_000 }
}

const key = "live/a"
const header = LiveArbitrary.message({ kind: "VideoHeader", number: 0 }, 0)
const keyframe = (number: number) => LiveArbitrary.message({ kind: "Keyframe", number }, number)

const setup = (overrides: Partial<LiveOptions> = {}) => {
  const events: Array<StreamEvent> = []
  const calls: Array<string> = []
  const registry = Registry.make(
    { ...options, ...overrides },
    {
      emit: (event) => events.push(event),
      onDirty: () => calls.push("dirty"),
      onDeadline: () => calls.push("deadline")
    }
  )
  const claim = (nowMs: number, publisherId = "p", credential = "", onTakenOver = () => {}) =>
    registry.claim(key, { publisherId, credential, nowMs, onTakenOver })
  const subscribe = (nowMs: number, waitForPublisher = false, sink = new Recording()) => ({
    sink,
    result: registry.subscribe(key, { sink, nowMs, waitForPublisher })
  })
  return { registry, events, calls, claim, subscribe, tags: () => events.map(({ _tag }) => _tag) }
}

const got = (recording: Recording): string => letters(recording.received(options.chunkSize))

describe("Registry: publishers", () => {
  it("gives a name to one publisher and refuses the next", () => {
    const { claim, registry } = setup()
    const first = Result.getOrThrow(claim(0))
    const second = claim(1)
    assert.isTrue(Result.isFailure(second) && second.failure.reason === "AlreadyPublished")
    assert.isTrue(first.isCurrent)
    first.unpublish(2)
    assert.isTrue(Result.isSuccess(claim(3)))
    assert.strictEqual(registry.statistics(3).publishers, 1)
  })

  it("lets the same credential take over where the policy says so, and nobody without one", () => {
    const { claim } = setup({ publisher: { ...options.publisher, conflict: "takeover" } })
    let takenOver = 0
    const first = Result.getOrThrow(claim(0, "one", "key-1", () => takenOver++))
    assert.isTrue(Result.isFailure(claim(1, "two", "key-2")))
    assert.isTrue(Result.isFailure(claim(1, "two", "")))
    const second = Result.getOrThrow(claim(1, "two", "key-1"))
    assert.deepStrictEqual([first.isCurrent, second.isCurrent, takenOver], [false, true, 1])
    second.unpublish(2)
    const anonymous = Result.getOrThrow(claim(3, "three"))
    assert.isTrue(Result.isFailure(claim(4, "four")))
    assert.isTrue(Result.isFailure(claim(4, "four", "key-1")))
    assert.deepStrictEqual([anonymous.isCurrent, takenOver], [true, 1])
    assert.isTrue(Result.isSuccess(claim(3 + options.publisher.silentAfterMs, "four")))
  })

  it("lets anybody replace a publisher that has been silent", () => {
    const { claim } = setup()
    const first = Result.getOrThrow(claim(0, "one", "key-1"))
    first.publish(header, 1_000)
    assert.isTrue(Result.isFailure(claim(5_999, "two", "key-2")))
    assert.isTrue(Result.isSuccess(claim(6_000, "two", "key-2")))
    assert.isFalse(first.isCurrent)
  })

  it("ignores what a publication does after its end", () => {
    const { claim, events, registry } = setup({ publisher: { ...options.publisher, conflict: "takeover" } })
    const first = Result.getOrThrow(claim(0, "one", "key-1"))
    const second = Result.getOrThrow(claim(0, "two", "key-1"))
    const before = events.length
    assert.isFalse(first.publish(header, 1))
    first.unpublish(1)
    first.vanish(1)
    assert.strictEqual(events.length, before)
    assert.isTrue(second.isCurrent)
    second.unpublish(2)
    second.unpublish(2)
    second.vanish(2)
    assert.strictEqual(events.filter(({ _tag }) => _tag === "Unpublished").length, 2)
    assert.strictEqual(registry.get(key), undefined)
    assert.strictEqual(registry.nextDeadlineMs(), undefined)
  })

  it("keeps the viewers of a vanished publisher for its return", () => {
    const { claim, registry, subscribe, tags } = setup()
    const first = Result.getOrThrow(claim(0))
    const { sink } = subscribe(0)
    first.publish(header, 0)
    first.publish(keyframe(100), 0)
    first.vanish(10)
    const late = subscribe(11)
    assert.deepStrictEqual(sink.calls, ["start", "dry"])
    assert.deepStrictEqual(late.sink.calls, ["start", "dry"])
    assert.strictEqual(got(late.sink), "V0 K100")
    assert.strictEqual(registry.nextDeadlineMs(), 2_010)
    registry.tick(2_009)
    const second = Result.getOrThrow(claim(2_009, "q"))
    assert.strictEqual(second.stream, first.stream)
    registry.tick(2_010)
    assert.deepStrictEqual(sink.calls, ["start", "dry"])
    second.publish(LiveArbitrary.message({ kind: "VideoHeader", number: 1 }, 0), 2_020)
    second.publish(keyframe(5), 2_020)
    registry.flush(2_020)
    assert.deepStrictEqual(sink.calls, ["start", "dry", "resume"])
    assert.strictEqual(got(sink), "V0 K100 V1 K5")
    assert.strictEqual(sink.received(options.chunkSize)[3]!.timestamp, 140)
    assert.deepStrictEqual(
      tags().filter((tag) => !tag.startsWith("Subscriber")),
      ["Published", "CodecChanged", "Unpublished", "Unavailable", "Published", "CodecChanged", "Resumed"]
    )
  })

  it("ends the stream when the grace is over, or at once where there is none", () => {
    const { claim, registry, subscribe } = setup()
    const { sink } = subscribe(0, true)
    Result.getOrThrow(claim(0)).vanish(0)
    registry.tick(2_000)
    assert.deepStrictEqual(sink.calls, ["start", "dry", "end PublisherLost"])
    assert.strictEqual(registry.get(key), undefined)
    assert.strictEqual(registry.nextDeadlineMs(), undefined)
    const without = setup({ publisher: { ...options.publisher, resumeGraceMs: 0 } })
    const viewer = without.subscribe(0, true)
    Result.getOrThrow(without.claim(0)).vanish(0)
    assert.deepStrictEqual(viewer.sink.calls, ["start", "end PublisherLost"])
  })

  it("reports a silent publisher once, and its return", () => {
    const { claim, registry, subscribe, tags } = setup()
    const publication = Result.getOrThrow(claim(0))
    const { sink } = subscribe(0)
    publication.publish(header, 3_000)
    assert.strictEqual(registry.nextDeadlineMs(), 5_000)
    registry.tick(5_000)
    assert.strictEqual(registry.nextDeadlineMs(), 8_000)
    registry.tick(8_000)
    assert.strictEqual(registry.statistics(8_000).streams[0]!.state, "Silent")
    assert.strictEqual(registry.nextDeadlineMs(), 10_000)
    assert.isFalse(publication.publish({ ...header, payload: new Uint8Array(0) }, 9_000))
    assert.deepStrictEqual(sink.calls, ["start", "dry"])
    publication.publish(keyframe(1), 9_000)
    assert.deepStrictEqual(sink.calls, ["start", "dry", "resume"])
    registry.tick(10_000)
    assert.strictEqual(registry.nextDeadlineMs(), 14_000)
    assert.deepStrictEqual(tags().slice(-2), ["Unavailable", "Resumed"])
  })

  it("ends a silent stream for its viewers after the grace, and goes on with a keyframe for new ones", () => {
    const { claim, registry, subscribe } = setup()
    const publication = Result.getOrThrow(claim(0))
    const { sink } = subscribe(0)
    publication.publish(header, 0)
    publication.publish(keyframe(1), 0)
    registry.tick(5_000)
    assert.strictEqual(registry.nextDeadlineMs(), 7_000)
    registry.tick(6_999)
    assert.isUndefined(sink.ended)
    registry.tick(7_000)
    assert.deepStrictEqual(sink.calls, ["start", "dry", "end PublisherLost"])
    assert.isTrue(publication.isCurrent)
    assert.strictEqual(registry.nextDeadlineMs(), undefined)
    assert.isTrue(Result.isFailure(subscribe(7_001).result))
    const waiting = subscribe(7_002, true)
    assert.deepStrictEqual(waiting.sink.calls, [])
    const inter = (number: number) => LiveArbitrary.message({ kind: "InterFrame", number }, number)
    assert.isFalse(publication.publish(inter(2), 7_100))
    assert.isTrue(publication.publish(keyframe(3), 7_200))
    assert.isTrue(publication.publish(inter(4), 7_210))
    registry.flush(7_210)
    const late = subscribe(7_220)
    assert.deepStrictEqual(waiting.sink.calls, ["start"])
    assert.strictEqual(got(waiting.sink), "V0 K3 i4")
    assert.strictEqual(got(late.sink), "V0 K3 i4")
    assert.strictEqual(registry.nextDeadlineMs(), 12_200)
    registry.tick(12_210)
    registry.tick(14_210)
    assert.strictEqual(late.sink.ended, "PublisherLost")
    publication.vanish(14_300)
    assert.strictEqual(registry.get(key), undefined)
  })

  it("does not keep viewers waiting for a publisher who comes back and sends nothing", () => {
    const { claim, registry, subscribe } = setup()
    Result.getOrThrow(claim(0)).vanish(0)
    const { sink } = subscribe(0)
    Result.getOrThrow(claim(1_000))
    registry.tick(6_000)
    assert.isUndefined(sink.ended)
    assert.strictEqual(registry.nextDeadlineMs(), 8_000)
    registry.tick(8_000)
    assert.strictEqual(sink.ended, "PublisherLost")
  })

  it("does for every stream what is due, whatever another one throws", () => {
    const defects: Array<string> = []
    let broken = false
    const registry = Registry.make(options, {
      onDefect: (streamKey) => defects.push(streamKey),
      // Headers are classified again when they are flushed.
      classify: (typeId, payload) => {
        if (broken) throw new Error("broken")
        return classify(typeId, payload)
      }
    })
    const sinks: Array<Recording> = []
    const publications = ["live/a", "live/b"].map((streamKey, index) => {
      const claim = { publisherId: "p", credential: "", nowMs: 0, onTakenOver: () => {} }
      const publication = Result.getOrThrow(registry.claim(streamKey, claim))
      const sink = new Recording()
      sinks.push(sink)
      registry.subscribe(streamKey, { sink, nowMs: 0 })
      if (index === 0) publication.publish(header, 0)
      return publication
    })
    broken = true
    registry.tick(5_000)
    registry.tick(7_000)
    for (const sink of sinks) assert.deepStrictEqual(sink.calls, ["start", "dry", "end PublisherLost"])
    assert.deepStrictEqual(defects, ["live/a"])
    broken = false
    publications[0]!.publish({ ...header, timestamp: 1 }, 7_100)
    broken = true
    publications[0]!.vanish(7_200)
    assert.deepStrictEqual(defects, ["live/a", "live/a"])
    assert.strictEqual(registry.nextDeadlineMs(), 9_200)
    registry.tick(9_200)
    assert.isUndefined(registry.get("live/a"))
  })
})

describe("Registry: viewers", () => {
  it("finds no stream that nobody publishes", () => {
    const { registry, subscribe } = setup()
    const { result, sink } = subscribe(0)
    assert.isTrue(Result.isFailure(result) && result.failure._tag === "StreamNotFound")
    assert.deepStrictEqual(sink.calls, [])
    assert.strictEqual(registry.nextDeadlineMs(), undefined)
  })

  it("holds a bounded number of waiting viewers for a bounded time", () => {
    const { registry, subscribe } = setup()
    const waiting = [0, 100, 200].map((nowMs) => subscribe(nowMs, true))
    const { result } = subscribe(300, true)
    assert.isTrue(Result.isFailure(result) && result.failure._tag === "TooManyWaiting")
    assert.strictEqual(registry.nextDeadlineMs(), 1_000)
    registry.tick(1_100)
    assert.deepStrictEqual(
      waiting.map(({ sink }) => sink.ended),
      ["NotFound", "NotFound", undefined]
    )
    Result.getOrThrow(waiting[2]!.result).leave(1_150)
    assert.strictEqual(registry.nextDeadlineMs(), undefined)
    assert.strictEqual(registry.statistics(0).waitingViewers, 0)
  })

  it("starts waiting viewers when a publisher comes, with what they asked for meanwhile", () => {
    const { claim, events, registry, subscribe } = setup()
    const { sink } = subscribe(0, true)
    const muted = subscribe(0, true)
    Result.getOrThrow(muted.result).receiveVideo(false)
    const publication = Result.getOrThrow(claim(10))
    assert.deepStrictEqual(sink.calls, ["start"])
    publication.publish(header, 10)
    publication.publish(keyframe(1), 10)
    registry.flush(10)
    assert.strictEqual(got(sink), "V0 K1")
    assert.strictEqual(got(muted.sink), "V0")
    assert.strictEqual(registry.statistics(10).waitingViewers, 0)
    assert.strictEqual(registry.statistics(10).viewers, 2)
    assert.deepInclude(events[1], { _tag: "SubscriberJoined", streamKey: key, atMs: 10, viewers: 1 })
  })

  it("removes viewers that stalled, and calls for a deadline when the first one is full", () => {
    const { calls, claim, registry, subscribe } = setup()
    const publication = Result.getOrThrow(claim(0))
    const { sink } = subscribe(0, false, new Recording(1))
    publication.publish(header, 0)
    calls.length = 0
    registry.flush(0)
    assert.deepStrictEqual(calls, ["deadline"])
    assert.strictEqual(registry.nextDeadlineMs(), 3_000)
    registry.tick(3_000)
    assert.strictEqual(sink.ended, "Stalled")
    assert.strictEqual(registry.statistics(0).viewers, 0)
  })

  it("tells once that something is to be flushed, for all streams together", () => {
    const { calls, claim, registry } = setup()
    const one = Result.getOrThrow(claim(0))
    const two = Result.getOrThrow(
      registry.claim("live/b", { publisherId: "q", credential: "", nowMs: 0, onTakenOver: () => {} })
    )
    one.publish(header, 0)
    two.publish(header, 0)
    one.publish(keyframe(1), 0)
    assert.strictEqual(calls.filter((call) => call === "dirty").length, 1)
    registry.flush(0)
    two.publish(keyframe(1), 0)
    assert.strictEqual(calls.filter((call) => call === "dirty").length, 2)
  })

  it("ends everybody when it closes, and refuses whatever comes after", () => {
    const { claim, events, registry, subscribe } = setup()
    const waiting = subscribe(0, true)
    Result.getOrThrow(registry.claim("live/b", { publisherId: "q", credential: "", nowMs: 0, onTakenOver: () => {} }))
    const watching = new Recording()
    registry.subscribe("live/b", { sink: watching, nowMs: 0 })
    registry.close(5)
    registry.close(6)
    assert.strictEqual(waiting.sink.ended, "Shutdown")
    assert.strictEqual(watching.ended, "Shutdown")
    assert.strictEqual(events.filter(({ _tag }) => _tag === "Unpublished").length, 1)
    const refused = claim(7)
    assert.isTrue(Result.isFailure(refused) && refused.failure.reason === "Closed")
    assert.isTrue(Result.isFailure(subscribe(7, true).result))
  })
})

describe("Registry: any life of a registry", () => {
  const names = ["live/a", "live/b", "live/c"]

  it.prop(
    "has at most one publisher per name, ends each publication once, and leaves nothing behind",
    [LiveArbitrary.registryCommands()],
    ([commands]) => {
      for (const conflict of ["reject", "takeover"] as const) {
        const events: Array<StreamEvent> = []
        const registry = Registry.make(
          { ...options, publisher: { ...options.publisher, conflict } },
          { emit: (event) => events.push(event) }
        )
        const publications: Array<Registry.Publication> = []
        const viewers: Array<{ viewer: Registry.Viewer; sink: Recording }> = []
        let takenOver = 0
        let nowMs = 0
        const pick = <A>(all: ReadonlyArray<A>, who: number): A | undefined => all[who % Math.max(1, all.length)]
        for (const command of commands) {
          switch (command._tag) {
            case "Claim": {
              const streamKey = names[command.name % 3]!
              const before = publications.filter(({ isCurrent, stream }) => isCurrent && stream.key === streamKey)
              const claimed = registry.claim(streamKey, {
                publisherId: `p${publications.length}`,
                credential: `c${command.credential}`,
                nowMs,
                onTakenOver: () => takenOver++
              })
              if (Result.isSuccess(claimed)) publications.push(claimed.success)
              else assert.strictEqual(before.length, 1)
              break
            }
            case "Media": {
              const publication = pick(publications, command.who)
              publication?.publish(header, nowMs)
              publication?.publish(keyframe(nowMs), nowMs)
              break
            }
            case "Unpublish":
              pick(publications, command.who)?.unpublish(nowMs)
              break
            case "Vanish":
              pick(publications, command.who)?.vanish(nowMs)
              break
            case "Subscribe": {
              const sink = new Recording(command.full ? 1 : undefined)
              const subscribed = registry.subscribe(names[command.name % 3]!, {
                sink,
                nowMs,
                waitForPublisher: command.wait
              })
              if (Result.isSuccess(subscribed)) viewers.push({ viewer: subscribed.success, sink })
              else assert.deepStrictEqual(sink.calls, [])
              break
            }
            case "Leave":
              pick(viewers, command.who)?.viewer.leave(nowMs)
              break
            case "Drain": {
              const viewer = pick(viewers, command.who)
              viewer?.sink.makeRoom(1)
              viewer?.viewer.drained(nowMs)
              break
            }
            case "Flush":
              registry.flush(nowMs)
              break
            case "Tick":
              nowMs += command.ms
              registry.tick(nowMs)
              break
          }
          const next = registry.nextDeadlineMs()
          assert.isTrue(next === undefined || command._tag !== "Tick" || next > nowMs, "a tick leaves nothing due")
          const current = publications.filter(({ isCurrent }) => isCurrent)
          assert.strictEqual(new Set(current.map(({ stream }) => stream.key)).size, current.length)
          const published = events.filter(({ _tag }) => _tag === "Published").length
          const unpublished = events.filter(({ _tag }) => _tag === "Unpublished").length
          assert.strictEqual(published, publications.length)
          assert.strictEqual(published - unpublished, current.length)
          const statistics = registry.statistics(nowMs)
          assert.strictEqual(statistics.publishers, current.length)
          const alive = viewers.filter(({ viewer }) => !viewer.ended)
          assert.strictEqual(statistics.viewers, alive.filter(({ viewer }) => viewer.started).length)
          assert.strictEqual(statistics.waitingViewers, alive.filter(({ viewer }) => !viewer.started).length)
        }
        for (const publication of publications) publication.unpublish(nowMs)
        // Graces, waits and stalls end by themselves.
        for (let i = 0; i < 10; i++) {
          nowMs += 1_000
          registry.tick(nowMs)
        }
        const statistics = registry.statistics(nowMs)
        assert.deepStrictEqual(
          [statistics.streams.length, statistics.viewers, statistics.waitingViewers, statistics.blockedViewers],
          [0, 0, 0, 0]
        )
        assert.strictEqual(registry.nextDeadlineMs(), undefined)
        assert.isAtMost(takenOver, publications.length)
        for (const { sink, viewer } of viewers) {
          assert.isTrue(viewer.ended)
          assert.isAtMost(sink.calls.filter((call) => /^(end|overflow)/.test(call)).length, 1)
          assert.strictEqual(sink.writtenWhileFull, 0)
        }
      }
    }
  )
})

describe("StreamRegistry: the service", () => {
  const Live = StreamRegistry.layerWith(options).pipe(
    Layer.provideMerge(StreamEvents.StreamEvents.layer),
    Layer.provide([MediaClassifier.layer, Distribution.layer])
  )

  it.effect("flushes in a later turn, and ticks when something is due", () =>
    Effect.gen(function* () {
      const registry = yield* StreamRegistry
      const sink = new Recording()
      registry.subscribe(key, { sink, nowMs: registry.nowMs(), waitForPublisher: true })
      const publication = Result.getOrThrow(
        registry.claim(key, { publisherId: "p", credential: "", nowMs: registry.nowMs(), onTakenOver: () => {} })
      )
      publication.publish(header, registry.nowMs())
      publication.publish(keyframe(1), registry.nowMs())
      assert.strictEqual(sink.writes.length, 0)
      yield* TestClock.adjust(0)
      assert.strictEqual(sink.writes.length, 1)
      publication.vanish(registry.nowMs())
      yield* TestClock.adjust(1_999)
      assert.isUndefined(sink.ended)
      yield* TestClock.adjust(2)
      assert.strictEqual(sink.ended, "PublisherLost")
      const waiting = new Recording()
      registry.subscribe(key, { sink: waiting, nowMs: registry.nowMs(), waitForPublisher: true })
      yield* TestClock.adjust(1_001)
      assert.strictEqual(waiting.ended, "NotFound")
    }).pipe(Effect.provide(Live))
  )

  it.effect("goes on ticking after a stream threw while it was due", () => {
    let broken = false
    const Broken = Layer.succeed(MediaClassifier, {
      classify: (typeId, payload) => {
        if (broken) throw new Error("broken")
        return classify(typeId, payload)
      }
    })
    return Effect.gen(function* () {
      const registry = yield* StreamRegistry
      const sinks = ["live/a", "live/b"].map((streamKey) => {
        const nowMs = registry.nowMs()
        const claim = { publisherId: "p", credential: "", nowMs, onTakenOver: () => {} }
        const publication = Result.getOrThrow(registry.claim(streamKey, claim))
        const sink = new Recording()
        registry.subscribe(streamKey, { sink, nowMs })
        publication.publish(header, nowMs)
        broken = true
        publication.vanish(nowMs)
        broken = false
        return sink
      })
      yield* TestClock.adjust(2_001)
      assert.deepStrictEqual(
        sinks.map(({ ended }) => ended),
        ["PublisherLost", "PublisherLost"]
      )
    }).pipe(
      Effect.provide(
        StreamRegistry.layerWith(options).pipe(
          Layer.provide([StreamEvents.StreamEvents.layer, Broken, Distribution.layer])
        )
      )
    )
  })

  it.effect("collects media for the merge window", () =>
    Effect.gen(function* () {
      const registry = yield* StreamRegistry
      const publication = Result.getOrThrow(
        registry.claim(key, { publisherId: "p", credential: "", nowMs: registry.nowMs(), onTakenOver: () => {} })
      )
      const sink = new Recording()
      registry.subscribe(key, { sink, nowMs: registry.nowMs() })
      publication.publish(header, registry.nowMs())
      yield* TestClock.adjust(60)
      publication.publish(keyframe(1), registry.nowMs())
      assert.strictEqual(sink.writes.length, 0)
      yield* TestClock.adjust(40)
      assert.strictEqual(sink.writes.length, 1)
      assert.strictEqual(got(sink), "V0 K1")
    }).pipe(
      Effect.provide(
        StreamRegistry.layerWith({ ...options, mergeWindowMs: 100 }).pipe(
          Layer.provide([StreamEvents.StreamEvents.layer, MediaClassifier.layer, Distribution.layer])
        )
      )
    )
  )

  it.effect("broadcasts its events, and ends everything with its scope", () =>
    Effect.gen(function* () {
      const sink = new Recording()
      const events = yield* Effect.gen(function* () {
        const registry = yield* StreamRegistry
        const { events } = yield* StreamEvents.StreamEvents
        const listening = yield* Effect.forkChild(Stream.runCollect(Stream.take(events, 2)))
        yield* TestClock.adjust(0)
        registry.subscribe(key, { sink, nowMs: registry.nowMs(), waitForPublisher: true })
        registry.claim(key, { publisherId: "p", credential: "", nowMs: registry.nowMs(), onTakenOver: () => {} })
        return yield* Fiber.join(listening)
      }).pipe(Effect.provide(Live))
      assert.deepStrictEqual(
        events.map(({ _tag }) => _tag),
        ["Published", "SubscriberJoined"]
      )
      assert.strictEqual(sink.ended, "Shutdown")
    })
  )
})
