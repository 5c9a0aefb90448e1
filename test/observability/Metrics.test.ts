import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { TestClock } from "effect/testing"
import * as Meters from "../../src/live/LiveMeters.ts"
import type { StreamStatistics } from "../../src/live/Registry.ts"
import * as CloseReason from "../../src/observability/CloseReason.ts"
import type { MetricsSettings, ServerFacts } from "../../src/observability/Metrics.ts"
import { connectionStates, Metrics } from "../../src/observability/Metrics.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"
import * as Exposition from "./Exposition.ts"

const { valueOf } = Exposition

const run = <A, E>(effect: Effect.Effect<A, E, Metrics>, settings: Partial<MetricsSettings> = {}) =>
  effect.pipe(
    Effect.provide(Metrics.layer({ version: "1.2.3", runtime: "node v24", ...settings })),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )

const scrape = Effect.gen(function* () {
  const metrics = yield* Metrics
  return Exposition.parse(yield* metrics.renderPrometheus)
})

const stream = (key: string, overrides: Partial<StreamStatistics> = {}): StreamStatistics => ({
  key,
  id: 1,
  sessions: 1,
  dry: false,
  viewers: 3,
  viewersPeak: 3,
  messages: 10,
  bytes: 1_000,
  flushes: 1,
  drops: { truncatedAggregates: 0 } as StreamStatistics["drops"],
  suppressedEvents: 0,
  metadataBytes: 0,
  headerBytes: 0,
  gop: {} as StreamStatistics["gop"],
  tracks: [{ bitsPerSecond: 8_000 }, { bitsPerSecond: 800 }] as unknown as StreamStatistics["tracks"],
  publisherId: "c1",
  state: "Live",
  createdAtMs: 0,
  ...overrides
})

const facts = (overrides: Partial<ServerFacts> = {}): ServerFacts => ({
  connections: { Connecting: 1, Handshaking: 2, Connected: 3, Publishing: 4, Subscribing: 5, Closing: 6 },
  accepted: 100,
  refused: 7,
  handshakesCompleted: 90,
  echoMismatches: 3,
  distributionTargetBitsPerSecond: 500_000_000,
  unknownMessages: 8,
  bytesReceived: 123_456_789_012_345,
  bytesSent: 9_876,
  live: { streams: [], publishers: 4, viewers: 5, waitingViewers: 2, blockedViewers: 1 },
  outboxLagMaxMs: 1_500,
  meters: Meters.make(),
  componentRestarts: 12,
  ...overrides
})

describe("Metrics", () => {
  it.effect("renders what the server counts, in base units", () =>
    run(
      Effect.scoped(
        Effect.gen(function* () {
          const metrics = yield* Metrics
          const meters = Meters.make()
          meters.streamDefects = 2
          for (const ms of [1, 40, 40, 9_000]) meters.ingestDelay.observe(ms)
          const live = {
            ...facts().live,
            streams: [stream("live/a"), stream("live/b"), stream("live/c", { state: "Vanished" })]
          }
          yield* metrics.bindServer(() => facts({ meters, live }))
          yield* metrics.bindLogLinesLost(() => 11)
          yield* TestClock.adjust("90 seconds")
          const text = yield* metrics.renderPrometheus
          const families = Exposition.parse(text)
          assert.deepStrictEqual(
            connectionStates.map((state) => valueOf(families, "rtmp_connections", { state })),
            [1, 2, 3, 4, 5, 6]
          )
          assert.strictEqual(valueOf(families, "rtmp_connections_accepted_total"), 100)
          assert.strictEqual(valueOf(families, "rtmp_connections_refused_total"), 7)
          assert.strictEqual(valueOf(families, "rtmp_handshakes_completed_total"), 90)
          assert.strictEqual(valueOf(families, "rtmp_handshake_echo_mismatches_total"), 3)
          assert.strictEqual(valueOf(families, "rtmp_unknown_messages_total"), 8)
          assert.strictEqual(valueOf(families, "rtmp_received_bytes_total"), 123_456_789_012_345)
          assert.strictEqual(valueOf(families, "rtmp_sent_bytes_total"), 9_876)
          assert.strictEqual(valueOf(families, "rtmp_publishers"), 4)
          assert.strictEqual(valueOf(families, "rtmp_viewers"), 5)
          assert.strictEqual(valueOf(families, "rtmp_waiting_viewers"), 2)
          assert.strictEqual(valueOf(families, "rtmp_blocked_viewers"), 1)
          assert.strictEqual(valueOf(families, "rtmp_streams", { state: "Live" }), 2)
          assert.strictEqual(valueOf(families, "rtmp_streams", { state: "Silent" }), 0)
          assert.strictEqual(valueOf(families, "rtmp_streams", { state: "Vanished" }), 1)
          assert.strictEqual(valueOf(families, "rtmp_outbox_lag_max_seconds"), 1.5)
          assert.strictEqual(valueOf(families, "rtmp_log_lines_lost_total"), 11)
          assert.strictEqual(valueOf(families, "rtmp_component_restarts_total"), 12)
          assert.strictEqual(valueOf(families, "rtmp_errors_total", { reason: "StreamDefect" }), 2)
          assert.strictEqual(valueOf(families, "rtmp_uptime_seconds"), 90)
          assert.strictEqual(valueOf(families, "rtmp_build_info", { version: "1.2.3", runtime: "node v24" }), 1)
          // As it stands in the text, to the letter.
          assert.include(
            text,
            [
              "# HELP rtmp_ingest_delay_seconds Time from the arrival of the oldest message of a batch to the moment at which the batch is formed.",
              "# TYPE rtmp_ingest_delay_seconds histogram",
              'rtmp_ingest_delay_seconds_bucket{le="0.0005"} 0',
              'rtmp_ingest_delay_seconds_bucket{le="0.001"} 1',
              'rtmp_ingest_delay_seconds_bucket{le="0.0025"} 1',
              'rtmp_ingest_delay_seconds_bucket{le="0.005"} 1',
              'rtmp_ingest_delay_seconds_bucket{le="0.01"} 1',
              'rtmp_ingest_delay_seconds_bucket{le="0.025"} 1',
              'rtmp_ingest_delay_seconds_bucket{le="0.05"} 3',
              'rtmp_ingest_delay_seconds_bucket{le="0.1"} 3',
              'rtmp_ingest_delay_seconds_bucket{le="0.25"} 3',
              'rtmp_ingest_delay_seconds_bucket{le="0.5"} 3',
              'rtmp_ingest_delay_seconds_bucket{le="1"} 3',
              'rtmp_ingest_delay_seconds_bucket{le="2.5"} 3',
              'rtmp_ingest_delay_seconds_bucket{le="5"} 3',
              'rtmp_ingest_delay_seconds_bucket{le="+Inf"} 4',
              "rtmp_ingest_delay_seconds_sum 9.081",
              "rtmp_ingest_delay_seconds_count 4",
              ""
            ].join("\n")
          )
        })
      )
    )
  )

  it.effect("has every series from the start, at zero, before there is a server", () =>
    run(
      Effect.gen(function* () {
        const families = yield* scrape
        for (const reason of CloseReason.all) {
          assert.strictEqual(valueOf(families, "rtmp_connections_closed_total", { reason }), 0)
        }
        for (const { name, samples } of families.values()) {
          if (name === "rtmp_build_info") continue
          for (const sample of samples) assert.strictEqual(sample.value, 0, sample.name)
        }
      })
    )
  )

  it.effect("has the same series whatever was counted", () =>
    run(
      Effect.gen(function* () {
        const metrics = yield* Metrics
        const names = (families: ReadonlyMap<string, Exposition.Family>) =>
          [...families.values()].flatMap(({ samples }) =>
            samples.map(({ labels, name }) => `${name} ${JSON.stringify(labels)}`)
          )
        const before = names(yield* scrape)
        metrics.closed.add({ reason: "Kicked" })
        metrics.access.add({ action: "play", outcome: "Other" }, 5)
        metrics.handshakeTime.observe(12)
        const after = yield* scrape
        assert.deepStrictEqual(names(after), before)
        assert.strictEqual(valueOf(after, "rtmp_access_decisions_total", { action: "play", outcome: "Other" }), 5)
      })
    )
  )

  it.effect.prop(
    "renders the counts of its counters",
    [Arbitrary.array(integer(0, CloseReason.all.length - 1), { maxLength: 50 })],
    ([indexes]) =>
      run(
        Effect.gen(function* () {
          const metrics = yield* Metrics
          const reasons = indexes.map((index) => CloseReason.all[index]!)
          for (const reason of reasons) metrics.closed.add({ reason })
          const families = yield* scrape
          for (const reason of CloseReason.all) {
            const count = reasons.filter((it) => it === reason).length
            assert.strictEqual(valueOf(families, "rtmp_connections_closed_total", { reason }), count)
            assert.strictEqual(metrics.closed.value({ reason }), count)
          }
        })
      ),
    { arbitrary: { runs: 20 } }
  )

  it.effect("reads the server once for a whole scrape", () =>
    run(
      Effect.scoped(
        Effect.gen(function* () {
          const metrics = yield* Metrics
          let reads = 0
          yield* metrics.bindServer(() => {
            reads++
            return facts()
          })
          yield* metrics.renderPrometheus
          assert.strictEqual(reads, 1)
          yield* metrics.renderPrometheus
          assert.strictEqual(reads, 2)
        })
      ),
      { streamLabels: true }
    )
  )

  it.effect("forgets a server that is gone", () =>
    run(
      Effect.gen(function* () {
        const metrics = yield* Metrics
        yield* Effect.scoped(metrics.bindServer(() => facts()))
        assert.strictEqual((yield* metrics.facts).accepted, 0)
      })
    )
  )

  it.effect("shows the metrics of custom code beside its own", () =>
    run(
      Effect.gen(function* () {
        yield* Metric.update(Metric.counter("custom_total", { description: "Mine." }), 3)
        assert.strictEqual(valueOf(yield* scrape, "custom_total"), 3)
      })
    )
  )

  it.effect("escapes what stands in a label", () =>
    run(
      Effect.map(scrape, (families) =>
        assert.strictEqual(valueOf(families, "rtmp_build_info", { version: 'a"b\\c\nd', runtime: "" }), 1)
      ),
      { version: 'a"b\\c\nd', runtime: "" }
    )
  )

  it.effect("leaves the registry as it was", () =>
    Effect.gen(function* () {
      const registry: Metric.MetricRegistry = new Map()
      const sizes: Array<number> = []
      yield* Effect.sync(() => sizes.push(registry.size)).pipe(
        Effect.provide(Metrics.layer({ version: "1" })),
        Effect.provideService(Metric.MetricRegistry, registry)
      )
      assert.isAbove(sizes[0]!, 50)
      assert.strictEqual(registry.size, 0)
    })
  )
})

describe("metrics of single streams", () => {
  const bound = (streams: ReadonlyArray<StreamStatistics>) =>
    Effect.scoped(
      Effect.gen(function* () {
        const metrics = yield* Metrics
        yield* metrics.bindServer(() => facts({ live: { ...facts().live, streams } }))
        return yield* scrape
      })
    )

  it.effect("are not there unless they are asked for", () =>
    run(
      Effect.map(bound([stream("live/secret")]), (families) => {
        assert.isFalse([...families.keys()].some((name) => name.startsWith("rtmp_stream_")))
        assert.notInclude(JSON.stringify([...families.values()]), "secret")
      })
    )
  )

  it.effect("carry the key, and are gone with the stream", () =>
    run(
      Effect.gen(function* () {
        const one = yield* bound([stream("live/a")])
        assert.strictEqual(valueOf(one, "rtmp_stream_viewers", { stream: "live/a" }), 3)
        assert.strictEqual(valueOf(one, "rtmp_stream_bytes_per_second", { stream: "live/a" }), 1_100)
        assert.strictEqual(valueOf(one, "rtmp_stream_received_bytes_total", { stream: "live/a" }), 1_000)
        const none = yield* bound([])
        assert.strictEqual(none.get("rtmp_stream_viewers")?.samples.length, 0)
      }),
      { streamLabels: true }
    )
  )

  it.effect("are bounded in number, the oldest streams first, and tell how many are left out", () =>
    run(
      Effect.gen(function* () {
        const streams = Array.from({ length: 5 }, (_, index) => stream(`live/${index}`))
        for (const [length, leftOut] of [
          [3, 0],
          [4, 1],
          [5, 2]
        ] as const) {
          const families = yield* bound(streams.slice(0, length))
          assert.deepStrictEqual(
            families.get("rtmp_stream_viewers")?.samples.map(({ labels }) => labels.stream),
            ["live/0", "live/1", "live/2"]
          )
          assert.strictEqual(valueOf(families, "rtmp_unlabelled_streams"), leftOut)
        }
      }),
      { streamLabels: true, maxLabelledStreams: 3 }
    )
  )

  it.effect("cannot be broken out of by a hostile key, nor made to occur twice", () =>
    run(
      Effect.gen(function* () {
        const keys = ['a"} 1\nrtmp_evil 1', "a\\", "a\\\\", "\ud800", "\n", "\\u{a}", "\u202e", 'x="y",z']
        const families = yield* bound(keys.map((key) => stream(key)))
        assert.isUndefined(families.get("rtmp_evil"))
        assert.strictEqual(families.get("rtmp_stream_viewers")?.samples.length, keys.length - 1)
        assert.strictEqual(valueOf(families, "rtmp_unlabelled_streams"), 1)
      }),
      { streamLabels: true }
    )
  )
})
