/**
 * What all groups of the admin API have in common: who may come in, what a request must be, and how endpoints are described.
 */
import * as Context from "effect/Context"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as OpenApi from "effect/http-api/OpenApi"
import { BadRequest, Forbidden, TooManyRequests, Unauthorized, UnsupportedMediaType } from "./AdminErrors.ts"

/** What a token may do: look at everything, or change it too. */
export type Scope = "read" | "write"

/** The scope that an endpoint needs. What is not said follows from the method: `GET` reads, all else writes. */
export const RequiredScope: Context.Reference<Scope | undefined> = Context.Reference<Scope | undefined>(
  "effect-rtmp/http/AdminApi/RequiredScope",
  { defaultValue: () => undefined }
)

/** The scope that an endpoint needs. */
export const scopeOf = (endpoint: { readonly method: string; readonly annotations: Context.Context<never> }): Scope =>
  Context.get(endpoint.annotations, RequiredScope) ?? (endpoint.method === "GET" ? "read" : "write")

/** Lets in who may come in: see `Guard`. */
export class Authorization extends HttpApiMiddleware.Service<Authorization>()("effect-rtmp/http/Authorization", {
  security: {
    token: HttpApiSecurity.bearer.pipe(
      HttpApiSecurity.annotate(
        OpenApi.Description,
        "A token of `http.readTokens` or `http.writeTokens`. None is needed where none is configured: then only programs on the same machine are let in."
      )
    )
  },
  error: [Unauthorized, Forbidden, UnsupportedMediaType, TooManyRequests]
}) {}

/** Answers requests that cannot be decoded with what is wrong with them. */
export class RequestErrors extends HttpApiMiddleware.Service<RequestErrors>()("effect-rtmp/http/RequestErrors", {
  error: BadRequest
}) {}

/** What the OpenAPI document says of an endpoint. */
export const describe = (summary: string, description: string) => OpenApi.annotations({ summary, description })
