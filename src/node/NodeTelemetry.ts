/**
 * OTLP export on Node: `Telemetry` over Node's own `fetch`, loaded only where something is to be sent.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { inRoom } from "../observability/LogLevels.ts"
import type { TelemetryExporter, TelemetrySettings } from "../observability/Telemetry.ts"
import { Supervisor } from "../server/Supervisor.ts"

/** Sends what is switched on until the scope closes. See `Telemetry.layer` for what it has to be built on. */
export const layer = (settings: TelemetrySettings): Layer.Layer<never> => {
  if (!settings.metrics && !settings.logs && !settings.traces) return Layer.empty
  return Layer.unwrap(
    Effect.map(modules, ([Telemetry, client]) => Telemetry.layer(settings).pipe(Layer.provide(client)))
  )
}

/** Offers an exporter to be supervised: see `Telemetry.layerKept`. */
export const layerKept = (settings: TelemetrySettings): Layer.Layer<TelemetryExporter> =>
  Layer.unwrap(Effect.map(modules, ([Telemetry, client]) => Telemetry.layerKept(settings).pipe(Layer.provide(client))))

/** Keeps the exporter of `layerKept` running until the scope closes, supervised as `telemetry`; nothing without one. */
export const supervise: Effect.Effect<void, never, Supervisor | Scope.Scope> = Effect.gen(function* () {
  const { restartSchedule, TelemetryExporter } = yield* Effect.promise(() => import("../observability/Telemetry.ts"))
  const exporter = yield* Effect.serviceOption(TelemetryExporter)
  if (Option.isNone(exporter)) return
  const supervisor = yield* Supervisor
  yield* Effect.forkScoped(
    supervisor.supervise("telemetry", exporter.value.keep, { schedule: restartSchedule }).pipe(inRoom("metrics"))
  )
})

const modules = Effect.promise(async () => {
  const [Telemetry, FetchHttpClient] = await Promise.all([
    import("../observability/Telemetry.ts"),
    import("effect/http/FetchHttpClient")
  ])
  return [Telemetry, FetchHttpClient.layer] as const
})
