/**
 * The transport on Node: Effect's TCP socket server, with synchronous writes straight to the `net.Socket`.
 *
 * The server accepts through `effect/socket`, and each connection uses its `net.Socket` directly: reading pauses it while
 * nobody pulls, so that backpressure reaches the peer, and writing is a plain call. A media batch for a thousand viewers
 * is handed to a thousand sockets in one turn of the event loop, where libuv passes it to the kernel without a detour.
 *
 * **Details**
 *
 * `TCP_NODELAY` is set, because the server merges writes itself, and TCP keep-alive, so that a peer that lost its
 * power is noticed even where nothing is to be sent.
 */

import type * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import type { Connection, Endpoint, Listener, ListenOptions } from "../server/Transport.ts"
import { Transport, TransportError } from "../server/Transport.ts"

const nothing = new Uint8Array(0)

const keepAliveInitialDelayMs = 30_000

/** Makes a connection of a `net.Socket` that is paused. It takes over the events of the socket. */
export const makeConnection = (socket: Net.Socket): Connection => ({
  remote: { host: socket.remoteAddress ?? "unknown", port: socket.remotePort ?? 0 },
  pull: makePull(socket),
  write: (bytes) => {
    if (!socket.writable) return true
    socket.write(bytes)
    // The return value of `write` compares with the high-water mark; this says whether the kernel took it all.
    return socket.writableLength === 0
  },
  bufferedBytes: () => socket.writableLength,
  onDrain: (callback) => {
    if (socket.writableLength === 0) {
      setImmediate(() => {
        if (!socket.destroyed) callback()
      })
      return
    }
    // Stands behind what is being written, without a callback on every write before it.
    socket.write(nothing, (error) => {
      if (error == null) callback()
    })
  },
  end: () => {
    if (socket.writable) socket.end()
  },
  destroy: () => {
    socket.destroy()
  }
})

/** Opens a TCP listener; the contract is that of `Transport`. */
export const listen = (
  options: ListenOptions,
  handle: (connection: Connection) => Effect.Effect<void>
): Effect.Effect<Listener, TransportError, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const listening = yield* Scope.make()
    const server = yield* NodeSocketServer.make({
      host: options.host,
      port: options.port,
      backlog: options.backlog,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveInitialDelayMs
    }).pipe(
      Scope.provide(listening),
      Effect.mapError((error) => listenError(error, options))
    )
    // Closing a Node server takes effect at once, but reports back only when its last connection is gone: not waited for.
    const close = Effect.asVoid(Effect.forkDetach(Scope.close(listening, Exit.void)))
    yield* Effect.addFinalizer(() => close)
    // `run` provides the socket to every handler, though its type does not say so.
    const serve = Effect.contextWith((context: Context.Context<never>) => {
      const socket = Context.getUnsafe(context, NodeSocket.NetSocket)
      return Effect.ensuring(
        handle(makeConnection(socket)),
        Effect.sync(() => socket.destroy())
      )
    })
    yield* Effect.forkIn(
      server.run(() => serve),
      scope
    )
    return { address: endpoint(server.address), close }
  })

/** The transport of Node: TCP through libuv. */
export const layer: Layer.Layer<Transport> = Layer.succeed(Transport, { listen })

const endpoint = (address: NetAddress.SocketAddress): Endpoint =>
  address._tag === "UnixPathAddress"
    ? { host: String(address), port: 0 }
    : { host: NetAddress.formatIp(address.address), port: address.port }

// Every connection ends with one, and a stack trace would cost more than all the rest of the end.
const closed = new TransportError({ reason: "Closed", detail: "the peer closed the connection" })

/**
 * Pulls from the `data` events of a socket. It flows while somebody pulls, and stands still from the first chunk that
 * nobody waited for: then the receive window closes, and the peer waits.
 */
const makePull = (socket: Net.Socket): Connection["pull"] => {
  let chunks: Array<Uint8Array> = []
  let error: TransportError | undefined
  let waiter: ((result: Effect.Effect<ReadonlyArray<Uint8Array>, TransportError>) => void) | undefined
  let flows = false
  const fail = (failure: TransportError): void => {
    error ??= failure
    const resume = waiter
    waiter = undefined
    resume?.(Effect.fail(error))
  }
  socket.on("data", (chunk: Uint8Array) => {
    const resume = waiter
    if (resume !== undefined) {
      waiter = undefined
      resume(Effect.succeed([chunk]))
      return
    }
    chunks.push(chunk)
    flows = false
    socket.pause()
  })
  socket.on("end", () => fail(closed))
  socket.on("error", (cause: Error) =>
    fail(new TransportError({ reason: "Reset", detail: `the connection broke off (${code(cause)})`, cause }))
  )
  socket.on("close", () => fail(closed))
  return Effect.callback((resume) => {
    if (chunks.length > 0) {
      const arrived = chunks
      chunks = []
      resume(Effect.succeed(arrived))
      return
    }
    if (error !== undefined || socket.destroyed) {
      resume(Effect.fail(error ?? closed))
      return
    }
    waiter = resume
    if (!flows) {
      flows = true
      socket.resume()
    }
    return Effect.sync(() => {
      if (waiter === resume) waiter = undefined
    })
  })
}

const code = (cause: unknown): string => (cause instanceof Error && "code" in cause ? String(cause.code) : "unknown")

const listenError = (
  error: { readonly reason: { readonly cause: unknown } },
  options: ListenOptions
): TransportError => {
  const cause = error.reason.cause
  const reason = code(cause)
  const where = `${options.host}:${options.port}`
  switch (reason) {
    case "EADDRINUSE":
      return new TransportError({ reason: "AddressInUse", detail: `${where} is in use by another program`, cause })
    case "EADDRNOTAVAIL":
      return new TransportError({
        reason: "AddressNotAvailable",
        detail: `this machine has no address ${where}`,
        cause
      })
    case "EACCES":
      return new TransportError({ reason: "PermissionDenied", detail: `no permission to listen on ${where}`, cause })
    default:
      return new TransportError({ reason: "ListenFailed", detail: `cannot listen on ${where} (${reason})`, cause })
  }
}
