import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as NodeTelemetry from "../../src/node/NodeTelemetry.ts"
import { Metrics } from "../../src/observability/Metrics.ts"
import type { TelemetrySettings } from "../../src/observability/Telemetry.ts"

interface Post {
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

/** A collector that keeps what is posted to it. */
const collector = Effect.acquireRelease(
  Effect.callback<{ readonly server: http.Server; readonly url: string; readonly posts: Array<Post> }>((resume) => {
    const posts: Array<Post> = []
    const server = http.createServer((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        posts.push({
          path: `${request.method} ${request.url}`,
          headers: request.headers,
          body: Buffer.concat(chunks).toString("latin1")
        })
        response.end("{}")
      })
    })
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      resume(Effect.succeed({ server, posts, url: `http://127.0.0.1:${port}` }))
    })
  }),
  ({ server }) =>
    Effect.callback<void>((resume) => {
      server.closeAllConnections()
      server.close(() => resume(Effect.void))
    })
)

const settings = (url: string, overrides: Partial<TelemetrySettings> = {}): TelemetrySettings => ({
  url,
  headers: { authorization: "Bearer t0ken" },
  metrics: true,
  logs: true,
  traces: true,
  intervalMs: 60_000,
  encoding: "json",
  serviceVersion: "1.2.3",
  ...overrides
})

/** Runs something under telemetry; what it has caused is sent when its scope closes. */
const observed = (settings: TelemetrySettings) => {
  const lines: Array<string> = []
  const local = Logger.layer([Logger.make(({ message }) => lines.push(String(message)))])
  return Effect.gen(function* () {
    const metrics = yield* Metrics
    metrics.closed.add({ reason: "Kicked" }, 42)
    metrics.handshakeTime.observe(30)
    yield* Effect.logInfo("hello collector")
    yield* Effect.void.pipe(Effect.withSpan("a span"))
  }).pipe(
    Effect.provide(NodeTelemetry.layer(settings)),
    Effect.provide(Metrics.layer({ version: "1.2.3" })),
    Effect.provide(local),
    Effect.provideService(Metric.MetricRegistry, new Map()),
    Effect.as(lines)
  )
}

interface OtlpMetric {
  readonly name: string
  readonly unit: string
  readonly sum?: {
    readonly isMonotonic: boolean
    readonly dataPoints: ReadonlyArray<{ readonly asDouble: number; readonly attributes: unknown }>
  }
  readonly histogram?: { readonly dataPoints: ReadonlyArray<Readonly<Record<string, unknown>>> }
}

describe("Telemetry", () => {
  it.live("posts metrics, logs and traces to a collector, with its headers, once it ends at the latest", () =>
    Effect.gen(function* () {
      const { posts, url } = yield* collector
      const lines = yield* observed(settings(`${url}/`))
      assert.deepStrictEqual(lines, ["hello collector"])
      assert.deepStrictEqual(posts.map(({ path }) => path).sort(), [
        "POST /v1/logs",
        "POST /v1/metrics",
        "POST /v1/traces"
      ])
      const bodies = Object.fromEntries(posts.map(({ body, path }) => [path.slice(9), JSON.parse(body)]))
      for (const { body, headers } of posts) {
        assert.strictEqual(headers.authorization, "Bearer t0ken")
        assert.include(body, '{"key":"service.name","value":{"stringValue":"effect-rtmp"}}')
        assert.include(body, '{"key":"service.version","value":{"stringValue":"1.2.3"}}')
      }
      assert.strictEqual(bodies.logs.resourceLogs[0].scopeLogs[0].logRecords[0].body.stringValue, "hello collector")
      assert.strictEqual(bodies.traces.resourceSpans[0].scopeSpans[0].spans[0].name, "a span")
      const metrics: ReadonlyArray<OtlpMetric> = bodies.metrics.resourceMetrics[0].scopeMetrics[0].metrics
      const named = (name: string) => metrics.find((metric) => metric.name === name)
      const closed = named("rtmp_connections_closed_total")
      assert.isTrue(closed?.sum?.isMonotonic)
      assert.deepStrictEqual(
        closed?.sum?.dataPoints.filter(({ asDouble }) => asDouble > 0).map(({ attributes }) => attributes),
        [[{ key: "reason", value: { stringValue: "Kicked" } }]]
      )
      const handshake = named("rtmp_handshake_duration_seconds")
      assert.strictEqual(handshake?.unit, "s")
      assert.deepInclude(handshake?.histogram?.dataPoints[0], { count: 1, sum: 0.03, min: 0.03, max: 0.03 })
    }).pipe(Effect.scoped)
  )

  it.live("sends what is switched on, and nothing else", () =>
    Effect.gen(function* () {
      const { posts, url } = yield* collector
      yield* observed(settings(url, { logs: false, traces: false }))
      assert.deepStrictEqual(
        posts.map(({ path }) => path),
        ["POST /v1/metrics"]
      )
      yield* observed(settings(url, { metrics: false, logs: false, traces: false }))
      assert.strictEqual(posts.length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("encodes as protobuf unless it is told otherwise", () =>
    Effect.gen(function* () {
      const { posts, url } = yield* collector
      const { encoding: _, ...others } = settings(url, { metrics: false, traces: false })
      yield* observed(others)
      assert.deepStrictEqual(
        posts.map(({ headers }) => headers["content-type"]),
        ["application/x-protobuf"]
      )
      assert.include(posts[0]!.body, "hello collector")
    }).pipe(Effect.scoped)
  )

  it.live("harms nobody when there is no collector", () =>
    Effect.gen(function* () {
      const { url } = yield* Effect.scoped(collector)
      const lines = yield* observed(settings(url, { metrics: false, traces: false }))
      assert.include(lines, "hello collector")
    })
  )
})

it.effect("Telemetry loads nothing where nothing is to be sent", () =>
  Effect.gen(function* () {
    const nothing = NodeTelemetry.layer(settings("http://127.0.0.1:1", { metrics: false, logs: false, traces: false }))
    assert.strictEqual(nothing, Layer.empty)
  })
)
