/**
 * The transport on Node: Effect's TCP socket server, with synchronous writes straight to the `net.Socket`.
 *
 * Reading goes through the pull of `effect/socket`, so that nothing is read while nobody asks and backpressure reaches
 * the peer. Writing does not: a media batch for a thousand viewers is handed to a thousand sockets in one turn of the
 * event loop, where libuv passes it to the kernel without a detour.
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
import type * as Socket from "effect/socket/Socket"
import type { Connection, Endpoint, Listener, ListenOptions } from "../server/Transport.ts"
import { Transport, TransportError } from "../server/Transport.ts"

const nothing = new Uint8Array(0)

const keepAliveInitialDelayMs = 30_000

/** Makes a connection out of a pull and the `net.Socket` behind it. */
export const makeConnection = (reader: Socket.Reader, socket: Net.Socket): Connection => ({
  remote: { host: socket.remoteAddress ?? "unknown", port: socket.remotePort ?? 0 },
  pull: Effect.mapError(reader.pull, toError) as Connection["pull"],
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
    const serve = Effect.fnUntraced(function* (socket: Socket.Socket) {
      // `run` provides it to every handler, though its type does not say so.
      const raw = yield* Effect.contextWith((context: Context.Context<never>) =>
        Effect.succeed(Context.getUnsafe(context, NodeSocket.NetSocket))
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => raw.destroy()))
      const reader = yield* socket.reader
      yield* handle(makeConnection(reader, raw))
    }, Effect.scoped)
    yield* Effect.forkIn(server.run(serve), scope)
    return { address: endpoint(server.address), close }
  })

/** The transport of Node: TCP through libuv. */
export const layer: Layer.Layer<Transport> = Layer.succeed(Transport, { listen })

const endpoint = (address: NetAddress.SocketAddress): Endpoint =>
  address._tag === "UnixPathAddress"
    ? { host: String(address), port: 0 }
    : { host: NetAddress.formatIp(address.address), port: address.port }

const toError = (error: Socket.SocketError): TransportError => {
  const reason = error.reason
  return reason._tag === "SocketCloseError" && reason.code === 1000
    ? new TransportError({ reason: "Closed", detail: "the peer closed the connection" })
    : new TransportError({ reason: "Reset", detail: "the connection broke off", cause: error })
}

const listenError = (
  error: { readonly reason: { readonly cause: unknown } },
  options: ListenOptions
): TransportError => {
  const cause = error.reason.cause
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown"
  const where = `${options.host}:${options.port}`
  switch (code) {
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
      return new TransportError({ reason: "ListenFailed", detail: `cannot listen on ${where} (${code})`, cause })
  }
}
