/**
 * OTLP export on Node: `Telemetry` over Node's own `fetch`, loaded only where something is to be sent.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { TelemetrySettings } from "../observability/Telemetry.ts"

/** Sends what is switched on until the scope closes. See `Telemetry.layer` for what it has to be built on. */
export const layer = (settings: TelemetrySettings): Layer.Layer<never> => {
  if (!settings.metrics && !settings.logs && !settings.traces) return Layer.empty
  return Layer.unwrap(
    Effect.promise(async () => {
      const [Telemetry, FetchHttpClient] = await Promise.all([
        import("../observability/Telemetry.ts"),
        import("effect/http/FetchHttpClient")
      ])
      return Telemetry.layer(settings).pipe(Layer.provide(FetchHttpClient.layer))
    })
  )
}
