/**
 * The middleware of the admin API: lets requests in, and tells what is wrong with those that cannot be understood.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpEffect from "effect/http/HttpEffect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { inRoom } from "../observability/LogLevels.ts"
import { Authorization, RequestErrors, scopeOf } from "./AdminApi.ts"
import { BadRequest, Forbidden, TooManyRequests, Unauthorized, UnsupportedMediaType } from "./AdminErrors.ts"
import { Guard, headersOf, isForwarded, type Refusal } from "./Guard.ts"

/** Asks the `Guard` about every request. */
export const layer: Layer.Layer<Authorization, never, Guard> = Layer.effect(
  Authorization,
  Effect.gen(function* () {
    const guard = yield* Guard
    const clock = yield* Clock.Clock
    return Authorization.of({
      token: Effect.fnUntraced(function* (httpEffect, { endpoint, group }) {
        const request = yield* HttpServerRequest.HttpServerRequest
        const { headers } = request
        const needs = scopeOf(endpoint)
        const remoteAddress = Option.getOrElse(request.remoteAddress, () => "")
        const refusal = guard.check(
          {
            method: request.method,
            needs,
            remoteAddress,
            host: headers.host,
            origin: headers.origin,
            fetchSite: headers["sec-fetch-site"],
            isForwarded: isForwarded(headers),
            authorization: headers.authorization,
            contentType: headers["content-type"]
          },
          Number(clock.monotonicTimeNanosUnsafe()) / 1e6
        )
        const details = { endpoint: `${group.identifier}.${endpoint.identifier}`, remote: remoteAddress }
        if (refusal === undefined) {
          if (needs === "write") yield* inRoom("http")(Effect.logInfo("admin request", details))
          return yield* httpEffect
        }
        // A wrong token, or one that may not: as often as `http.failuresPerMinute` allows.
        if (headers.authorization !== undefined && refusal.reason !== "TooManyRequests") {
          yield* inRoom("http")(Effect.logWarning("admin request refused", { ...details, reason: refusal.reason }))
        }
        const extra = headersOf(refusal)
        yield* HttpEffect.appendPreResponseHandler((_, response) =>
          Effect.succeed(HttpServerResponse.setHeaders(response, extra))
        )
        return yield* errorOf(refusal)
      })
    })
  })
)

/** Turns what is wrong with a request into `BadRequest`, with the place and what was expected there. */
export const layerRequestErrors: Layer.Layer<RequestErrors> = HttpApiMiddleware.layerSchemaErrorTransform(
  RequestErrors,
  (error) => {
    // A response that cannot be encoded is our fault.
    if (error.kind === "Body" || error.kind === "ResponseHeaders") return Effect.fail(error)
    return Effect.fail(
      new BadRequest({ message: `${error.kind.toLowerCase()}: ${error.cause.message}`.slice(0, 2_000) })
    )
  }
)

const errorOf = ({ message, reason, retryAfterSeconds }: Refusal) => {
  switch (reason) {
    case "Unauthorized":
      return new Unauthorized({ message })
    case "Forbidden":
      return new Forbidden({ message })
    case "UnsupportedMediaType":
      return new UnsupportedMediaType({ message })
    case "TooManyRequests":
      return new TooManyRequests({ message, retryAfterSeconds })
  }
}
