/**
 * A typed client of the admin API, derived from its definition: one method for each endpoint, in groups.
 *
 * **Example** (Who watches?)
 *
 * ```ts
 * const program = Effect.gen(function* () {
 *   const client = yield* AdminClient.make({ baseUrl: "http://127.0.0.1:8080", token: Redacted.make("secret") })
 *   const { streams } = yield* client.streams.list()
 *   for (const { key, viewers } of streams) yield* Effect.log(`${key}: ${viewers}`)
 * }).pipe(Effect.provide(FetchHttpClient.layer))
 * ```
 */
import type * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import type * as Redacted from "effect/Redacted"
import { AdminApi } from "./AdminApi.ts"

/**
 * Where the server is, and who asks.
 *
 * - `baseUrl`: scheme, host and port, such as `http://127.0.0.1:8080`.
 * - `token`: one of `http.readTokens` or `http.writeTokens`; left out where the server needs none.
 */
export interface AdminClientOptions {
  readonly baseUrl: string
  readonly token?: Redacted.Redacted<string>
}

/** The client. A method fails with the errors of its endpoint, with an `HttpClientError`, or with a `SchemaError`. */
export type AdminClient = HttpApiClient.ForApi<typeof AdminApi>

/** Makes a client on top of an `HttpClient`, such as `FetchHttpClient.layer`. */
export const make = (options: AdminClientOptions): Effect.Effect<AdminClient, never, HttpClient.HttpClient> =>
  HttpApiClient.make(AdminApi, {
    baseUrl: options.baseUrl,
    transformClient: (client) => {
      const { token } = options
      return token === undefined ? client : HttpClient.mapRequest(client, HttpClientRequest.bearerToken(token))
    }
  })
