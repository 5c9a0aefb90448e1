/**
 * The answers to probes and scrapers, made without Effect's HTTP modules: they are what every deployment asks for, over and
 * over, and nothing else should have to be loaded for them.
 */
import * as Effect from "effect/Effect"
import type { ConfigStore } from "../config/ConfigStore.ts"
import type { Health, Report } from "../observability/Health.ts"
import type { Metrics } from "../observability/Metrics.ts"
import { prometheusContentType } from "../observability/Metrics.ts"
import { headersOf, type Refusal, statusOf } from "./Guard.ts"

/** An answer as it goes over the wire. */
export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Gives an error of the API as an answer. */
export const error = (status: number, tag: string, message: string, more: object = {}): Answer => ({
  status,
  contentType: "application/json",
  body: JSON.stringify({ _tag: tag, message, ...more })
})

/** Gives a refusal as an answer. */
export const refusal = (refusal: Refusal): Answer => ({
  ...error(
    statusOf[refusal.reason],
    refusal.reason,
    refusal.message,
    refusal.reason === "TooManyRequests" ? { retryAfterSeconds: refusal.retryAfterSeconds } : {}
  ),
  headers: headersOf(refusal)
})

/** Gives a report of the health as an answer: 503 where it is failing. */
export const health = (report: Report): Answer => ({
  status: report.status === "ok" ? 200 : 503,
  contentType: "application/json",
  body: JSON.stringify(report)
})

/** The answer to `GET /healthz`. */
export const healthz = (service: Health["Service"]): Effect.Effect<Answer> => Effect.map(service.live, health)

/** The answer to `GET /readyz`. */
export const readyz = (service: Health["Service"]): Effect.Effect<Answer> => Effect.map(service.ready, health)

/** The answer to `GET /metrics`, for somebody who may read. */
export const metrics = (service: Metrics["Service"], store: ConfigStore["Service"]): Effect.Effect<Answer> =>
  Effect.flatMap(store.current, (config) =>
    config.metrics.enabled
      ? Effect.map(service.renderPrometheus, (body) => ({ status: 200, contentType: prometheusContentType, body }))
      : Effect.succeed(error(404, "NotFound", "metrics are switched off: metrics.enabled is false"))
  )
