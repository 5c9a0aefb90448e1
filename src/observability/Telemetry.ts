/**
 * Sends metrics, logs and traces to an OTLP collector over HTTP.
 *
 * Only what is switched on is loaded and does anything. The exporter batches, retries, and forgets what it cannot send:
 * after a failure it is silent for a minute, so a collector that is away costs memory for no more than one interval.
 *
 * **Gotchas**
 *
 * - Logs are sent beside what the loggers before do: build this layer on top of `Log.layer`, which replaces loggers.
 * - Metrics are those of the `Metric.MetricRegistry` of the context in which the layer is built.
 * - Traces replace the `Tracer`. Spans of connections are made by `server/ConnectionSpans`.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"

/** What to send, and where to. */
export interface TelemetrySettings {
  /** The address of the collector without the path of a signal, such as `http://localhost:4318`. */
  readonly url: string
  /** Headers of each request; values are secret, because keys travel here. */
  readonly headers: Readonly<Record<string, string>>
  /** Which signals to send. */
  readonly metrics: boolean
  readonly logs: boolean
  readonly traces: boolean
  /** Milliseconds between two batches. */
  readonly intervalMs: number
  /** The encoding; `protobuf`, which every collector understands, where left out. */
  readonly encoding?: "protobuf" | "json"
  /** The name and version of the service; `effect-rtmp` and none where left out. */
  readonly serviceName?: string
  readonly serviceVersion?: string
  /** Further attributes of the resource, such as `service.instance.id`. */
  readonly attributes?: Readonly<Record<string, string>>
}

/** Sends what is switched on until the scope closes; what is left is sent then, for three seconds at most. */
export const layer = (settings: TelemetrySettings): Layer.Layer<never, never, HttpClient.HttpClient> => {
  if (!settings.metrics && !settings.logs && !settings.traces) return Layer.empty
  return Layer.unwrap(Effect.promise(() => load(settings)))
}

const load = async (settings: TelemetrySettings): Promise<Layer.Layer<never, never, HttpClient.HttpClient>> => {
  const { layerJson, layerProtobuf } = await import("effect/observability/OtlpSerialization")
  const url = (signal: string): string => `${settings.url.replace(/\/+$/, "")}/v1/${signal}`
  const common = {
    headers: settings.headers,
    exportInterval: Duration.millis(settings.intervalMs),
    shutdownTimeout: Duration.seconds(3),
    resource: {
      serviceName: settings.serviceName ?? "effect-rtmp",
      serviceVersion: settings.serviceVersion,
      attributes: settings.attributes ?? {}
    }
  }
  const metrics = async () => {
    const Otlp = await import("effect/observability/OtlpMetrics")
    return Otlp.layer({ ...common, url: url("metrics") })
  }
  const logs = async () => {
    const Otlp = await import("effect/observability/OtlpLogger")
    return Otlp.layer({ ...common, url: url("logs") })
  }
  const traces = async () => {
    const Otlp = await import("effect/observability/OtlpTracer")
    return Otlp.layer({ ...common, url: url("traces") })
  }
  const signals = await Promise.all([
    ...(settings.metrics ? [metrics()] : []),
    ...(settings.logs ? [logs()] : []),
    ...(settings.traces ? [traces()] : [])
  ])
  // What a batch was flushed by is nobody's business outside.
  const [first, ...rest] = signals
  return Layer.mergeAll(first!, ...rest).pipe(
    Layer.provide(settings.encoding === "json" ? layerJson : layerProtobuf)
  ) as Layer.Layer<never, never, HttpClient.HttpClient>
}
