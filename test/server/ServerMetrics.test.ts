import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import { TestClock } from "effect/testing"
import { defaultParts } from "../../src/App.ts"
import { AccessDenied, Authenticator } from "../../src/access/Authenticator.ts"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import { StreamEvents } from "../../src/live/StreamEvents.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as CloseReason from "../../src/observability/CloseReason.ts"
import { Health } from "../../src/observability/Health.ts"
import { Metrics } from "../../src/observability/Metrics.ts"
import { RuntimeStats } from "../../src/observability/RuntimeMetrics.ts"
import { ServerSession } from "../../src/protocol/ServerSession.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import type { ServerEvent } from "../../src/server/ServerEvents.ts"
import * as ServerHealth from "../../src/server/ServerHealth.ts"
import * as ServerMetrics from "../../src/server/ServerMetrics.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"
import * as Exposition from "../observability/Exposition.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { valueOf } = Exposition
const { client, publisher, settle, viewer } = TestServer

const remote = { host: "203.0.113.7", port: 5 }

const closed = (connectionId: string, reason: CloseReason.CloseReason): ServerEvent => ({
  _tag: "ConnectionClosed",
  connectionId,
  remote,
  reason,
  detail: "",
  stage: "Connected",
  totals: { bytesReceived: 1, bytesSent: 2, durationMs: 3 }
})

const withMetrics = <A, E>(effect: Effect.Effect<A, E, Metrics>) =>
  effect.pipe(Effect.provide(Metrics.layer({ version: "1" })), Effect.provideService(Metric.MetricRegistry, new Map()))

describe("the observer of server events", () => {
  it.effect.prop(
    "counts every close by its reason, and as an error where it is one",
    [Arbitrary.array(integer(0, CloseReason.all.length - 1), { maxLength: 40 })],
    ([indexes]) =>
      withMetrics(
        Effect.gen(function* () {
          const metrics = yield* Metrics
          const observe = ServerMetrics.observer(metrics, { nowMs: () => 0 })
          const reasons = indexes.map((index) => CloseReason.all[index]!)
          reasons.forEach((reason, index) => {
            observe({ _tag: "ConnectionOpened", connectionId: `c${index}`, remote })
            observe(closed(`c${index}`, reason))
          })
          for (const reason of CloseReason.all) {
            assert.strictEqual(metrics.closed.value({ reason }), reasons.filter((it) => it === reason).length)
          }
          const loud = reasons.filter((reason) => CloseReason.level(reason) !== "info")
          assert.strictEqual(metrics.errors.total, loud.length)
          const limits = reasons.filter((it) => ["OutboxOverflow", "OutboxStalled", "LimitReached"].includes(it))
          assert.strictEqual(metrics.limitsHit.total, limits.length)
        })
      ),
    { arbitrary: { runs: 30 } }
  )

  it.effect("measures handshakes from accept to their end, and forgets those that fail", () =>
    withMetrics(
      Effect.gen(function* () {
        const metrics = yield* Metrics
        let nowMs = 1_000
        const observe = ServerMetrics.observer(metrics, { nowMs: () => nowMs })
        const completed = (connectionId: string): ServerEvent => ({
          _tag: "HandshakeCompleted",
          connectionId,
          remote,
          kind: "simple",
          echoMatches: true
        })
        observe({ _tag: "ConnectionOpened", connectionId: "c1", remote })
        observe({ _tag: "ConnectionOpened", connectionId: "c2", remote })
        nowMs += 40
        observe(completed("c1"))
        observe(closed("c2", "HandshakeTimeout"))
        nowMs += 1_000
        observe(completed("c1"))
        observe(completed("c2"))
        observe(completed("c3"))
        assert.deepInclude(metrics.handshakeTime.snapshot(), { count: 1, sumMs: 40 })
      })
    )
  )

  it.effect("puts text that it does not know under `Other`", () =>
    withMetrics(
      Effect.gen(function* () {
        const metrics = yield* Metrics
        const observe = ServerMetrics.observer(metrics, { nowMs: () => 0 })
        const refused = (reason: string): ServerEvent => ({
          _tag: "AccessRefused",
          connectionId: "c1",
          remote,
          action: "publish",
          streamKey: "live/a",
          reason
        })
        observe(refused("CredentialInvalid"))
        observe(refused("<script>"))
        observe({ _tag: "Anomaly", connectionId: "c1", remote, kind: "UnknownCommand", detail: "" })
        observe({ _tag: "Anomaly", connectionId: "c1", remote, kind: "toString", detail: "" })
        assert.strictEqual(metrics.access.value({ action: "publish", outcome: "CredentialInvalid" }), 1)
        assert.strictEqual(metrics.access.value({ action: "publish", outcome: "Other" }), 1)
        assert.strictEqual(metrics.anomalies.value({ kind: "UnknownCommand" }), 1)
        assert.strictEqual(metrics.anomalies.value({ kind: "Other" }), 1)
      })
    )
  )

  it.effect("counts refusals by limit, those of a server that empties as none, and frames by why they were lost", () =>
    withMetrics(
      Effect.gen(function* () {
        const metrics = yield* Metrics
        const observe = ServerMetrics.observer(metrics, { nowMs: () => 0 })
        for (const limit of ["connections", "handshakes", "handshakes", "memory", "draining"] as const) {
          observe({ _tag: "ConnectionRefused", remote, limit, max: 1 })
        }
        observe({
          _tag: "FramesDropped",
          connectionId: "c1",
          remote,
          streamKey: "live/a",
          drops: { late: 5, full: 2, orphaned: 1 }
        })
        assert.deepStrictEqual(
          (["connections", "handshakes", "memory"] as const).map((limit) => metrics.limitsHit.value({ limit })),
          [1, 2, 1]
        )
        assert.strictEqual(metrics.limitsHit.total, 4)
        assert.deepStrictEqual(
          (["late", "full", "orphaned"] as const).map((reason) => metrics.droppedFrames.value({ reason })),
          [5, 2, 1]
        )
      })
    )
  )

  it.effect(
    "says when the first client publishes, and when the last one has stopped, and is not woken by the others",
    () =>
      withMetrics(
        Effect.gen(function* () {
          const told: Array<boolean> = []
          const observe = ServerMetrics.observer(yield* Metrics, {
            nowMs: () => 0,
            setActive: (active) => told.push(active)
          })
          const started = (streamKey: string) =>
            observe({ _tag: "PublishStarted", connectionId: "c1", remote, streamKey })
          const stopped = (streamKey: string) =>
            observe({ _tag: "PublishStopped", connectionId: "c1", remote, streamKey })
          observe({ _tag: "ConnectionOpened", connectionId: "c1", remote })
          observe({ _tag: "PlayStarted", connectionId: "c2", remote, streamKey: "live/a" })
          assert.deepStrictEqual(told, [])
          started("live/a")
          started("live/b")
          stopped("live/a")
          assert.deepStrictEqual(told, [true])
          stopped("live/b")
          observe(closed("c1", "ClientClosed"))
          started("live/a")
          assert.deepStrictEqual(told, [true, false, true])
        })
      )
  )
})

/** A server with metrics and health, put together as an application does it. */
const server = (told: Array<boolean>) => {
  const parts = defaultParts
  const session = ServerSession.layer.pipe(
    Layer.provide([parts.handshake, parts.chunkReading, parts.chunkWriting, parts.amf, parts.commands])
  )
  const live = parts.registry.pipe(
    Layer.provide([parts.ingest, parts.distribution]),
    Layer.provideMerge(StreamEvents.layer)
  )
  const authenticator = Layer.succeed(Authenticator, {
    authorize: ({ stream }) =>
      stream === "forbidden"
        ? Effect.fail(new AccessDenied({ reason: "NotAllowed", description: "No." }))
        : Effect.succeed({ credential: "" })
  })
  const runtime = Layer.succeed(RuntimeStats, {
    setActive: (active: boolean) => told.push(active)
  } as unknown as RuntimeStats["Service"])
  const rtmp = RtmpServer.layer.pipe(
    Layer.provide([session, authenticator, ServerMetrics.layerEvents.pipe(Layer.provide(runtime))]),
    Layer.provideMerge(live)
  )
  return Layer.mergeAll(RtmpServer.layerStarted, ServerMetrics.layer, ServerHealth.layer).pipe(
    Layer.provideMerge(rtmp),
    Layer.provideMerge(Layer.mergeAll(Metrics.layer({ version: "1" }), Health.layer, MemoryNetwork.layer)),
    Layer.provide([NodeCrypto.layer, RtmpConfig.layer({ latency: { mergeWindow: 0 }, shutdown: { grace: 0 } })]),
    Layer.provide(Logger.layer([]))
  )
}

describe("a server with metrics", () => {
  it.effect("shows in a scrape what its clients do", () => {
    const told: Array<boolean> = []
    return Effect.gen(function* () {
      const metrics = yield* Metrics
      const scrape = Effect.map(metrics.renderPrometheus, Exposition.parse)
      const from = yield* publisher("a")
      yield* from.send(Media.videoHeader(), Media.keyframe(0), Media.interFrame(33))
      const to = yield* viewer("a")
      const third = yield* client
      yield* settle
      const during = yield* scrape
      assert.strictEqual(valueOf(during, "rtmp_connections", { state: "Publishing" }), 1)
      assert.strictEqual(valueOf(during, "rtmp_connections", { state: "Subscribing" }), 1)
      assert.strictEqual(valueOf(during, "rtmp_connections", { state: "Connecting" }), 1)
      assert.strictEqual(valueOf(during, "rtmp_connections_accepted_total"), 3)
      assert.strictEqual(valueOf(during, "rtmp_handshakes_completed_total"), 2)
      assert.strictEqual(
        valueOf(during, "rtmp_handshake_duration_seconds", {}, "rtmp_handshake_duration_seconds_count"),
        2
      )
      assert.strictEqual(valueOf(during, "rtmp_publishers"), 1)
      assert.strictEqual(valueOf(during, "rtmp_viewers"), 1)
      assert.strictEqual(valueOf(during, "rtmp_streams", { state: "Live" }), 1)
      for (const [action, count] of [
        ["connect", 2],
        ["publish", 1],
        ["play", 1]
      ] as const) {
        assert.strictEqual(valueOf(during, "rtmp_access_decisions_total", { action, outcome: "Allowed" }), count)
      }
      assert.isAbove(valueOf(during, "rtmp_received_bytes_total") ?? 0, 3_073 * 2)
      assert.isAbove(valueOf(during, "rtmp_sent_bytes_total") ?? 0, 3_073 * 2)
      assert.deepStrictEqual(told, [true])

      const refused = yield* client
      const streamId = yield* refused.open("live")
      yield* Effect.ignore(refused.publish(streamId, "forbidden"))
      for (const peer of [from, to, third, refused]) yield* peer.end
      yield* settle
      yield* TestClock.adjust("1 minute")
      yield* settle
      const after = yield* scrape
      assert.strictEqual(valueOf(after, "rtmp_access_decisions_total", { action: "publish", outcome: "NotAllowed" }), 1)
      assert.strictEqual(valueOf(after, "rtmp_connections_closed_total", { reason: "Rejected" }), 1)
      assert.strictEqual(valueOf(after, "rtmp_errors_total", { reason: "Rejected" }), 1)
      assert.strictEqual(valueOf(after, "rtmp_connections_closed_total", { reason: "ClientClosed" }), 3)
      assert.strictEqual(metrics.closed.total, 4)
      assert.deepStrictEqual(told, [true, false])
    }).pipe(Effect.provide(server(told)), Effect.provideService(Metric.MetricRegistry, new Map()))
  })

  it.effect("is ready while it listens and lets clients in", () =>
    Effect.gen(function* () {
      const health = yield* Health
      const rtmp = yield* RtmpServer
      const reasons = Effect.map(health.ready, (report) => report.checks.map((check) => check.reason)[0])
      assert.strictEqual((yield* health.ready).status, "ok")
      yield* rtmp.drain()
      assert.strictEqual(yield* reasons, "the server moves its clients away")
      yield* rtmp.resume
      assert.strictEqual(yield* reasons, "")
      yield* rtmp.stop()
      assert.strictEqual(yield* reasons, "the server does not listen")
      assert.strictEqual((yield* health.live).status, "ok")
    }).pipe(Effect.provide(server([])), Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})
