/**
 * The admin API as a listener of `node:http` requests. `NodeHttp` imports this when somebody first asks for it: behind it
 * stand Effect's HTTP server, router and API builder, which a server that nobody administers does not need in memory.
 */
import type * as Http from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Scope from "effect/Scope"
import * as AdminServer from "../http/AdminServer.ts"

/** Builds the API in a scope, whose end interrupts the requests that are still being answered. */
export const make = (
  scope: Scope.Scope,
  maxBodyBytes: number
): Effect.Effect<(request: Http.IncomingMessage, response: Http.ServerResponse) => void, never, AdminServer.Needs> =>
  Effect.gen(function* () {
    const app = yield* AdminServer.make
    return yield* NodeHttpServer.makeHandler(app, { scope })
  }).pipe(
    Scope.provide(scope),
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(maxBodyBytes))
  )
