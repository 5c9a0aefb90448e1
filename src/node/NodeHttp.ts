/**
 * The admin API over HTTP on Node.
 *
 * A bare listener stands at the port from the start, and answers probes and scrapers by itself. Everything else is passed to
 * Effect's HTTP server and the API, which are loaded when somebody first asks: most servers are never administered, and
 * resident memory is dear.
 *
 * **Gotchas**
 *
 * The listener is no part of the RTMP server: when it dies, `keep` fails, and opens it anew when it is run again. Media does
 * not notice.
 */
import type * as Http from "node:http"
import process from "node:process"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { ConfigStore } from "../config/ConfigStore.ts"
import { AdminContext } from "../http/AdminContext.ts"
import * as Guard from "../http/Guard.ts"
import { type HttpListenError, tokensMissing } from "../http/HttpError.ts"
import * as Probes from "../http/Probes.ts"
import { Health } from "../observability/Health.ts"
import { inRoom, type LogLevels } from "../observability/LogLevels.ts"
import { Metrics } from "../observability/Metrics.ts"
import type { RecentLog } from "../observability/RecentLog.ts"
import { RtmpCrypto } from "../protocol/Crypto.ts"
import { RtmpServer } from "../server/RtmpServer.ts"
import type { StopOptions } from "../server/ServerAdmin.ts"
import { make as makeSupervisor, Supervisor } from "../server/Supervisor.ts"
import type { Endpoint } from "../server/Transport.ts"
import { NodeHttpListener } from "./NodeHttpListener.ts"

/** The largest body of a request, in bytes. */
export const maxBodyBytes = 64 * 1024

/**
 * The program around the API.
 *
 * - `version`: of the program.
 * - `stop`: begins to end the program, and returns at once. Where it is left out, the RTMP server is stopped, and whoever
 *   waits for `RtmpServer.awaitStopped` ends the program.
 */
export interface NodeHttpOptions {
  readonly version: string
  readonly stop?: (options: StopOptions) => Effect.Effect<void>
}

/** What the API looks at and acts on. */
export type Needs = RtmpServer | ConfigStore | Health | Metrics | LogLevels | RecentLog | RtmpCrypto

/** An open listener. */
export interface NodeHttp {
  /** Where it was bound first, and is bound again. */
  readonly address: Endpoint
  /** Whether the API has been loaded. */
  readonly isLoaded: () => boolean
  /** Fails when the listener dies; run again, it opens the next one. To be supervised. */
  readonly keep: Effect.Effect<never, HttpListenError>
}

type Handle = (request: Http.IncomingMessage, response: Http.ServerResponse) => void

/**
 * Opens the listener until the scope closes. Then it stops accepting, sends those away who follow the events, gives the
 * other answers a second, and drops what is left.
 */
export const open: (options: NodeHttpOptions) => Effect.Effect<NodeHttp, HttpListenError, Needs | Scope.Scope> =
  Effect.fnUntraced(function* (options: NodeHttpOptions) {
    const server = yield* RtmpServer
    const store = yield* ConfigStore
    const { http } = yield* store.current
    if (!Guard.hasTokens(http) && isAddress(http.host) && !Guard.isLoopback(http.host)) {
      return yield* tokensMissing(http.host)
    }
    const needs = yield* Effect.context<Needs>()
    const scope = yield* Scope.make()
    const guard = Guard.make(yield* RtmpCrypto, http)
    const closing = Latch.makeUnsafe(false)
    let listener: NodeHttpListener | undefined
    let bound: Endpoint | undefined

    const stop = (how: StopOptions): Effect.Effect<void> => Effect.asVoid(Effect.forkDetach(server.stop(how)))
    const context = needs.pipe(
      Context.add(Guard.Guard, guard),
      Context.add(AdminContext, {
        version: options.version,
        runtime: `node ${process.version}`,
        startedAt: yield* Clock.currentTimeMillis,
        listeners: Effect.sync(() => (bound === undefined ? [] : [{ protocol: "http", ...bound }])),
        stop: options.stop ?? stop,
        closing: closing.await
      })
    )
    const api = lazy(context, scope)
    const handle = answerer(context, guard, api.load)

    const listen = Effect.fnUntraced(function* (port: number) {
      const next = new NodeHttpListener(handle)
      const address = yield* next.listen(http.host, port)
      const now = yield* store.current
      if (!Guard.hasTokens(now.http) && !Guard.isLoopback(address.host)) {
        yield* next.close
        return yield* tokensMissing(http.host)
      }
      listener = next
      bound = address
      return address
    }, Effect.uninterruptible)

    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        closing.openUnsafe()
        if (listener !== undefined) yield* listener.close
        yield* Scope.close(scope, Exit.void)
      })
    )
    const address = yield* listen(http.port)
    const config = yield* store.register({
      name: "http",
      prepare: (next) =>
        Guard.hasTokens(next.http) || Guard.isLoopback(address.host)
          ? Effect.succeed(Effect.sync(() => guard.configure(next.http)))
          : Effect.fail(tokensMissing(http.host))
    })
    guard.configure(config.http)
    yield* Effect.logInfo("listening").pipe(Effect.annotateLogs({ protocol: "http", ...address }), inRoom("http"))

    const keep = Effect.gen(function* () {
      if (listener === undefined) {
        // The port that clients know, also where any free one was asked for.
        yield* listen(address.port)
        yield* Effect.logInfo("listening again").pipe(
          Effect.annotateLogs({ protocol: "http", ...address }),
          inRoom("http")
        )
      }
      const current = listener
      if (current === undefined) return yield* Effect.never
      return yield* Effect.catch(current.died, (error) => {
        listener = undefined
        bound = undefined
        return Effect.andThen(current.close, Effect.fail(error))
      })
    })
    return { address, isLoaded: api.isLoaded, keep }
  })

/**
 * Offers the API for as long as the layer lives, supervised as `http`; nothing where `http.enabled` is false. Fails where
 * the listener cannot be opened at first, or must not be.
 */
export const layer = (options: NodeHttpOptions): Layer.Layer<never, HttpListenError, Needs> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const store = yield* ConfigStore
      const { http } = yield* store.current
      if (!http.enabled) return
      const supervisor = yield* Effect.flatMap(Effect.serviceOption(Supervisor), (option) =>
        Option.isSome(option) ? Effect.succeed(option.value) : makeSupervisor
      )
      const { keep } = yield* open(options)
      yield* Effect.forkScoped(supervisor.supervise("http", keep))
    })
  )

/** Loads the API once, when it is first asked for; after a failure it is tried again by the next request. */
const lazy = (context: Context.Context<Needs | Guard.Guard | AdminContext>, scope: Scope.Scope) => {
  let loading: Promise<Handle> | undefined
  let isLoaded = false
  const load = async (): Promise<Handle> => {
    const NodeHttpApi = await import("./NodeHttpApi.ts")
    const handle = await Effect.runPromiseWith(context)(NodeHttpApi.make(scope, maxBodyBytes))
    isLoaded = true
    return handle
  }
  return {
    isLoaded: () => isLoaded,
    load: (): Promise<Handle> => {
      loading ??= load().catch((error: unknown) => {
        loading = undefined
        throw error
      })
      return loading
    }
  }
}

/** Answers a request: probes and scrapers at once, all else through the API. */
const answerer = (context: Context.Context<Needs>, guard: Guard.GuardShape, load: () => Promise<Handle>): Handle => {
  const health = Context.get(context, Health)
  const metrics = Context.get(context, Metrics)
  const store = Context.get(context, ConfigStore)
  const clock = Context.get(context, Clock.Clock)
  const runFork = Effect.runForkWith(context)

  const scrape = (request: Http.IncomingMessage): Effect.Effect<Probes.Answer> => {
    const refusal = guard.check(headOf(request), Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
    return refusal === undefined ? Probes.metrics(metrics, store) : Effect.succeed(Probes.refusal(refusal))
  }
  const probe = (request: Http.IncomingMessage): Effect.Effect<Probes.Answer> | undefined => {
    if (request.method !== "GET" && request.method !== "HEAD") return undefined
    switch (request.url?.split("?", 1)[0]) {
      case "/healthz":
        return Probes.healthz(health)
      case "/readyz":
        return Probes.readyz(health)
      case "/metrics":
        return scrape(request)
      default:
        return undefined
    }
  }
  const fail = (response: Http.ServerResponse, cause: Cause.Cause<unknown>): Effect.Effect<void> => {
    if (response.headersSent) response.destroy()
    else send(response, Probes.error(500, "InternalError", "the server failed to answer; its log says more"))
    return inRoom("http")(Effect.logError("a request could not be answered", cause))
  }

  return (request, response) => {
    for (const [name, value] of securityHeaders) response.setHeader(name, value)
    const answer = probe(request)
    if (answer !== undefined) {
      runFork(
        answer.pipe(
          Effect.map((answer) => send(response, answer)),
          Effect.catchCause((cause) => fail(response, cause))
        )
      )
      return
    }
    if (Number(request.headers["content-length"] ?? 0) > maxBodyBytes) {
      response.setHeader("connection", "close")
      send(response, Probes.error(413, "PayloadTooLarge", `a body may have ${maxBodyBytes} bytes`))
      return
    }
    load().then(
      (handle) => handle(request, response),
      (error: unknown) => runFork(fail(response, Cause.die(error)))
    )
  }
}

const securityHeaders: ReadonlyArray<readonly [string, string]> = [
  ["cache-control", "no-store"],
  ["x-content-type-options", "nosniff"],
  ["content-security-policy", "default-src 'none'; frame-ancestors 'none'"],
  ["cross-origin-resource-policy", "same-origin"],
  ["referrer-policy", "no-referrer"]
]

const headOf = ({ headers, method, socket }: Http.IncomingMessage): Guard.GuardedRequest => ({
  method: method ?? "GET",
  needs: "read",
  remoteAddress: socket.remoteAddress ?? "",
  host: headers.host,
  origin: headers.origin,
  fetchSite: textOf(headers["sec-fetch-site"]),
  isForwarded: Guard.isForwarded(headers),
  authorization: headers.authorization,
  contentType: headers["content-type"]
})

const textOf = (header: string | ReadonlyArray<string> | undefined): string | undefined =>
  typeof header === "string" ? header : header?.[0]

const send = (response: Http.ServerResponse, { body, contentType, headers, status }: Probes.Answer): void => {
  if (response.destroyed) return
  response.writeHead(status, { ...headers, "content-type": contentType, "content-length": Buffer.byteLength(body) })
  response.end(body)
}

const isAddress = (host: string): boolean => /^[\d.]+$/.test(host) || host.includes(":")
