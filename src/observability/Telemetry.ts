/**
 * Sends metrics, logs and traces to an OTLP collector over HTTP.
 *
 * Only what is switched on is loaded and does anything. The exporter batches, retries, and forgets what it cannot send. By
 * itself (`layer`) it says nothing about a failure and is silent for a minute, so a collector that is away costs memory for
 * no more than one interval. To be supervised (`layerKept`), it ends with an error instead and can be run again, while the
 * loggers and the tracer that everybody else has stay the same: what is logged and traced meanwhile is not sent.
 *
 * **Gotchas**
 *
 * - Logs are sent beside what the loggers before do: build this layer on top of `Log.layer`, which replaces loggers.
 * - Metrics are those of the `Metric.MetricRegistry` of the context in which the layer is built.
 * - Traces replace the `Tracer`. Spans of connections are made by `server/ConnectionSpans`.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Tracer from "effect/Tracer"
import { redactUrl } from "./LogText.ts"

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

/** The collector does not take what is sent. The message is for the operator. */
export class TelemetryError extends Data.TaggedError("TelemetryError")<{ readonly message: string }> {}

/** The exporter of `layerKept`. */
export class TelemetryExporter extends Context.Service<
  TelemetryExporter,
  {
    /**
     * Exports until the collector fails, or the exporter dies; run again, it begins anew. To be supervised, by one at a
     * time. What is left when it is interrupted is sent, for three seconds at most.
     */
    readonly keep: Effect.Effect<never, TelemetryError>
  }
>()("effect-rtmp/observability/TelemetryExporter") {}

/** The pauses before an exporter that failed is started again: from a second, doubling, up to a minute. */
export const restartSchedule: Schedule.Schedule<unknown> = Schedule.min([
  Schedule.exponential("1 second"),
  Schedule.spaced("1 minute")
])

/**
 * Offers an exporter, with a logger and a tracer that lead to it while it runs and nowhere while it does not. Like `layer`,
 * it is to be built on top of `Log.layer`.
 */
export const layerKept = (
  settings: TelemetrySettings
): Layer.Layer<TelemetryExporter, never, HttpClient.HttpClient> => {
  const line: { logger: Logger.Logger<unknown, unknown>; tracer: Tracer.Tracer | undefined } = {
    logger: silence,
    tracer: undefined
  }
  const exporter = Layer.effect(
    TelemetryExporter,
    Effect.gen(function* () {
      const context = yield* Effect.context<HttpClient.HttpClient>()
      const keep = Effect.gen(function* () {
        const failure = yield* Deferred.make<never, TelemetryError>()
        const client = yield* Effect.promise(() => watched(context, settings.url, failure))
        const built = yield* Layer.build(layer(settings).pipe(Layer.provide(client))).pipe(
          Effect.provideService(Logger.CurrentLoggers, new Set())
        )
        const [logger] = Context.get(built as Context.Context<never>, Logger.CurrentLoggers)
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            if (settings.logs && logger !== undefined) line.logger = logger
            if (settings.traces) line.tracer = Context.get(built as Context.Context<never>, Tracer.Tracer)
          }),
          () =>
            Effect.sync(() => {
              line.logger = silence
              line.tracer = undefined
            })
        )
        return yield* Deferred.await(failure)
      }).pipe(Effect.scoped)
      return TelemetryExporter.of({ keep: Effect.provideContext(keep, context) })
    })
  )
  const logger = Logger.layer([Logger.make((options) => line.logger.log(options))], { mergeWithExisting: true })
  const tracer = Layer.effect(
    Tracer.Tracer,
    Effect.map(Tracer.Tracer, (otherwise) =>
      Tracer.make({ span: (options) => (line.tracer ?? otherwise).span(options) })
    )
  )
  return Layer.mergeAll(exporter, settings.logs ? logger : Layer.empty, settings.traces ? tracer : Layer.empty)
}

const silence: Logger.Logger<unknown, unknown> = Logger.make(() => undefined)

/** The statuses that the exporter tries again after, as it does when nobody answers. */
const transientStatuses: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])

/** How often the exporter sends a batch at most. */
const maxAttempts = 4

/** Watches what becomes of requests: the exporter above keeps it to itself. */
const watched = async (
  context: Context.Context<HttpClient.HttpClient>,
  url: string,
  failure: Deferred.Deferred<never, TelemetryError>
): Promise<Layer.Layer<HttpClient.HttpClient>> => {
  const Http = await import("effect/http/HttpClient")
  const failed = new Map<string, number>()
  const give = (words: string) =>
    Deferred.fail(failure, new TelemetryError({ message: `the OTLP collector at ${redactUrl(url)} ${words}` }))
  const client = Http.transform(Context.get(context, Http.HttpClient), (response, request) =>
    Effect.onExit(response, (exit) => {
      const status = Exit.isSuccess(exit) ? exit.value.status : 0
      if (status >= 200 && status < 300) {
        failed.delete(request.url)
        return Effect.void
      }
      const attempts = (failed.get(request.url) ?? 0) + 1
      failed.set(request.url, attempts)
      if (attempts < maxAttempts && (status === 0 || transientStatuses.has(status))) return Effect.void
      return give(status === 0 ? "cannot be reached" : `answered ${status}`)
    })
  )
  return Layer.succeed(Http.HttpClient, client)
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
