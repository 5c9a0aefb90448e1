/**
 * A bare `node:http` server at a port, bounded on every side: connections, headers, the time that a request may take to
 * arrive and that an answer may take to leave. It knows nothing of what is asked.
 *
 * No timer runs while nobody is connected. Node's own check for slow requests wakes twice a minute for as long as the
 * server stands, so each connection has a deadline of its own instead.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type * as Net from "node:net"
import * as Effect from "effect/Effect"
import { HttpListenError, listenFailed } from "../http/HttpError.ts"
import type { Endpoint } from "../server/Transport.ts"
import { Http } from "./BuiltinHttp.ts"

/**
 * Bounds of a listener.
 *
 * - `maxConnections`: at the same time; more are closed at once.
 * - `arrivalTimeoutMs`: how long a request may take to arrive, head and body.
 * - `keepAliveMs`: how long a connection is kept for another request.
 * - `stallTimeoutMs`: how long an answer may stand still because the client does not read.
 * - `closeMs`: how long answers may take to leave when the listener closes.
 */
export interface NodeHttpLimits {
  readonly maxConnections: number
  readonly arrivalTimeoutMs: number
  readonly keepAliveMs: number
  readonly stallTimeoutMs: number
  readonly closeMs: number
}

/** The bounds of the admin API. */
export const defaultLimits: NodeHttpLimits = {
  maxConnections: 256,
  arrivalTimeoutMs: 10_000,
  keepAliveMs: 5_000,
  stallTimeoutMs: 60_000,
  closeMs: 1_000
}

/** The largest head of a request, in bytes. */
const maxHeaderBytes = 16 * 1024

// As seldom as a timer of Node can be: 24 days.
const neverMs = 2 ** 31 - 1

/** A listener, which is opened once and closed once. */
export class NodeHttpListener {
  readonly #limits: NodeHttpLimits
  readonly #server: Server
  readonly #sockets = new Set<Net.Socket>()
  readonly #deadlines = new WeakMap<Net.Socket, NodeJS.Timeout>()
  #isClosing = false
  #fault: Error | undefined
  #onDeath: (fault: Error) => void = () => {}

  /** Passes each request to `handle`, which must not throw. */
  constructor(
    handle: (request: IncomingMessage, response: ServerResponse) => void,
    limits: NodeHttpLimits = defaultLimits
  ) {
    this.#limits = limits
    this.#server = Http.createServer(
      {
        connectionsCheckingInterval: neverMs,
        headersTimeout: limits.arrivalTimeoutMs,
        requestTimeout: limits.arrivalTimeoutMs,
        keepAliveTimeout: limits.keepAliveMs,
        maxHeaderSize: maxHeaderBytes,
        noDelay: true
      },
      (request, response) => {
        this.#track(request, response)
        handle(request, response)
      }
    )
    this.#server.maxConnections = limits.maxConnections
    this.#server.timeout = limits.stallTimeoutMs
    this.#server.on("connection", (socket: Net.Socket) => {
      this.#sockets.add(socket)
      this.#expect(socket)
      socket.on("close", () => {
        this.#sockets.delete(socket)
        clearTimeout(this.#deadlines.get(socket))
      })
    })
    this.#server.on("error", (fault: Error) => this.#die(fault))
    this.#server.on("close", () => this.#die(new Error("the listener was closed")))
  }

  /** Opens the port, and gives the address that it is bound to. */
  listen(host: string, port: number): Effect.Effect<Endpoint, HttpListenError> {
    return Effect.callback((resume) => {
      const server = this.#server
      const onError = (cause: Error & { readonly code?: string }): void =>
        resume(Effect.fail(listenFailed(cause.code ?? "unknown", host, port, cause)))
      server.once("error", onError)
      server.listen({ host, port }, () => {
        server.off("error", onError)
        const address = server.address() as Net.AddressInfo
        resume(Effect.succeed({ host: address.address, port: address.port }))
      })
    })
  }

  /** Fails when the listener dies without having been closed. */
  get died(): Effect.Effect<never, HttpListenError> {
    return Effect.callback((resume) => {
      this.#onDeath = (cause) =>
        resume(
          Effect.fail(
            new HttpListenError({ reason: "ListenFailed", detail: `the HTTP listener died: ${cause.message}`, cause })
          )
        )
      if (this.#fault !== undefined) this.#onDeath(this.#fault)
    })
  }

  /** Stops accepting at once, gives answers that are under way a moment, and then drops every connection. */
  readonly close: Effect.Effect<void> = Effect.callback((resume) => {
    this.#isClosing = true
    const finish = (): void => {
      clearTimeout(timer)
      for (const socket of this.#sockets) socket.destroy()
      resume(Effect.void)
    }
    const timer = setTimeout(finish, this.#limits.closeMs)
    // Also calls back where it never listened.
    this.#server.close(finish)
    this.#server.closeIdleConnections()
  })

  #die(fault: Error): void {
    if (this.#isClosing || this.#fault !== undefined) return
    this.#fault = fault
    this.#onDeath(fault)
  }

  /** A request must have arrived by a certain time, however slowly it trickles in. */
  #expect(socket: Net.Socket): void {
    clearTimeout(this.#deadlines.get(socket))
    this.#deadlines.set(socket, setTimeout(() => socket.destroy(), this.#limits.arrivalTimeoutMs).unref())
  }

  #track(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    this.#expect(socket)
    request.once("end", () => clearTimeout(this.#deadlines.get(socket)))
    // A request without a body has ended, but says so only to somebody who reads.
    if (hasNoBody(request)) clearTimeout(this.#deadlines.get(socket))
    response.once("close", () => {
      if (socket.destroyed) return
      this.#expect(socket)
      if (this.#isClosing) setImmediate(() => this.#server.closeIdleConnections())
    })
  }
}

const hasNoBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] === undefined && (headers["content-length"] ?? "0") === "0"
