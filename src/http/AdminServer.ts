/**
 * The admin API as one effect that answers a request, for any of Effect's HTTP servers.
 *
 * `NodeHttp` serves it on Node, loads it when somebody first asks, and bounds what a request may be. Whoever mounts it in a
 * server of their own brings a `Guard` and an `AdminContext`.
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Layer from "effect/Layer"
import type { ConfigStore } from "../config/ConfigStore.ts"
import type { Health } from "../observability/Health.ts"
import type { LogLevels } from "../observability/LogLevels.ts"
import type { Metrics } from "../observability/Metrics.ts"
import type { RecentLog } from "../observability/RecentLog.ts"
import type { RtmpServer } from "../server/RtmpServer.ts"
import * as AccessHandlers from "./AccessHandlers.ts"
import { AdminApi } from "./AdminApi.ts"
import * as AdminAuthorization from "./AdminAuthorization.ts"
import type { AdminContext } from "./AdminContext.ts"
import * as AdminHandlers from "./AdminHandlers.ts"
import * as CertificateHandlers from "./CertificateHandlers.ts"
import * as DocsPage from "./DocsPage.ts"
import type { Guard } from "./Guard.ts"

/** What the API looks at and acts on. */
export type Needs = RtmpServer | ConfigStore | Health | Metrics | LogLevels | RecentLog | AdminContext | Guard

const api = HttpApiBuilder.layer(AdminApi).pipe(
  Layer.provide([
    AdminHandlers.layerServer,
    AdminHandlers.layerStreams,
    AdminHandlers.layerConnections,
    AccessHandlers.layer,
    AdminHandlers.layerConfig,
    CertificateHandlers.layer,
    AdminHandlers.layerLog,
    AdminHandlers.layerEvents,
    AdminHandlers.layerProbes
  ]),
  Layer.provide([AdminAuthorization.layer, AdminAuthorization.layerRequestErrors]),
  Layer.provide(HttpServer.layerServices)
)

const notFound = HttpServerResponse.jsonUnsafe(
  { _tag: "NotFound", message: "there is nothing here; see /docs" },
  { status: 404 }
)

const pages = Layer.mergeAll(
  HttpRouter.add("GET", "/", HttpServerResponse.redirect("/docs")),
  HttpRouter.add("GET", "/openapi.json", () => Effect.sync(() => HttpServerResponse.jsonUnsafe(DocsPage.openApi()))),
  HttpRouter.add(
    "GET",
    "/docs",
    HttpServerResponse.text(DocsPage.render(DocsPage.openApi()), {
      contentType: "text/html; charset=utf-8",
      headers: { "content-security-policy": DocsPage.contentSecurityPolicy }
    })
  ),
  HttpRouter.add("*", "/*", notFound)
)

/** All routes, to be added to an `HttpRouter`. */
export const layer: Layer.Layer<never, never, Needs | HttpRouter.HttpRouter> = Layer.mergeAll(api, pages)

/** Builds the API in the current scope; the inner effect answers the request of its environment. */
export const make = HttpRouter.toHttpEffect(layer)
