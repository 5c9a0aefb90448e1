/**
 * The transport over any `effect/socket` server: for platforms that have no transport of their own, and for tests.
 *
 * Effect's sockets write in fibers, so each connection has one more fiber, which writes what has been handed over since
 * it wrote last. `NodeTransport` does without and is what a server on Node should use.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import type { Connection, Endpoint } from "./Transport.ts"
import { Transport, TransportError } from "./Transport.ts"

const nothing = new Uint8Array(0)

/**
 * Makes a connection of a socket. The connection lives as long as the current scope; acquiring it opens the socket.
 */
export const makeConnection = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  remote: Endpoint
): Effect.fn.Return<Connection, TransportError, Scope.Scope> {
  const reader = yield* Effect.mapError(Socket.readerBytes(socket), toError)
  const writing = yield* Scope.fork(yield* Effect.scope)
  const writer = yield* Scope.provide(socket.writer, writing)
  const destroyed = Deferred.makeUnsafe<never, TransportError>()
  const queue = yield* Queue.unbounded<Uint8Array | "end">()
  let buffered = 0
  let open = true
  let waiting: Array<() => void> = []

  const finish = Scope.close(writing, Exit.void)
  const writeSome = Effect.gen(function* () {
    const items = yield* Queue.takeAll(queue)
    const bytes: Array<Uint8Array> = []
    let written = 0
    for (const item of items) {
      if (item === "end" || item.length === 0) continue
      bytes.push(item)
      written += item.length
    }
    const [first, ...rest] = bytes
    if (first !== undefined) yield* writer.writeAll([first, ...rest])
    buffered -= written
    if (items.at(-1) === "end") yield* finish
    else if (buffered === 0) {
      const callbacks = waiting
      waiting = []
      for (const callback of callbacks) callback()
    }
  })
  yield* Effect.forkScoped(
    Effect.catch(Effect.forever(writeSome), () =>
      Effect.sync(() => {
        // The reader reports the end of the connection.
        open = false
      })
    )
  )

  return {
    remote,
    pull: Effect.raceFirst(Effect.mapError(reader, toError), Deferred.await(destroyed)),
    write: (bytes) => {
      if (!open) return true
      buffered += bytes.length
      Queue.offerUnsafe(queue, bytes)
      return false
    },
    bufferedBytes: () => buffered,
    onDrain: (callback) => {
      waiting.push(callback)
      // Where nothing waits to be written, this makes the writer take a turn.
      if (buffered === 0) Queue.offerUnsafe(queue, nothing)
    },
    end: () => {
      if (open) Queue.offerUnsafe(queue, "end")
      open = false
    },
    destroy: () => {
      open = false
      Deferred.doneUnsafe(destroyed, Exit.fail(new TransportError({ reason: "Closed", detail: "destroyed" })))
    }
  }
})

/**
 * The transport over the `SocketServer` of the environment.
 *
 * The socket server decides where it listens: host, port and backlog of the configuration have no effect, and peers have
 * no address.
 */
export const layer: Layer.Layer<Transport, never, SocketServer.SocketServer> = Layer.effect(
  Transport,
  Effect.map(SocketServer.SocketServer, (server) => {
    const remote: Endpoint = { host: "unknown", port: 0 }
    return Transport.of({
      listen: (_options, handle) =>
        Effect.gen(function* () {
          let refuse = false
          yield* Effect.forkScoped(
            server.run((socket) =>
              refuse ? Effect.void : Effect.scoped(Effect.flatMap(makeConnection(socket, remote), handle))
            )
          )
          return {
            address: endpoint(server.address),
            close: Effect.sync(() => {
              refuse = true
            })
          }
        })
    })
  })
)

const endpoint = (address: NetAddress.SocketAddress): Endpoint =>
  address._tag === "UnixPathAddress"
    ? { host: NetAddress.formatUnixPath(address), port: 0 }
    : { host: NetAddress.formatIp(address.address), port: address.port }

const toError = (error: Socket.SocketError): TransportError =>
  error.reason._tag === "SocketCloseError" && error.reason.code === 1000
    ? new TransportError({ reason: "Closed", detail: "the peer closed the connection" })
    : new TransportError({ reason: "Reset", detail: "the connection broke off", cause: error })
