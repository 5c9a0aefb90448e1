/**
 * A network in memory: the server's transport on one side, `connect` on the other.
 *
 * Nothing here waits for anything outside the process, so a server over it runs under `TestClock`.
 *
 * ```ts
 * const layer = App.layer.pipe(Layer.provideMerge(MemoryNetwork.layer), Layer.provide([NodeCrypto.layer, RtmpConfig.layer()]))
 * ```
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type * as Socket from "effect/socket/Socket"
import * as SocketTransport from "../server/SocketTransport.ts"
import { Transport } from "../server/Transport.ts"
import * as MemorySocket from "./MemorySocket.ts"

/** The clients' side of the network. */
export class MemoryNetwork extends Context.Service<
  MemoryNetwork,
  {
    /** Connects to the server, and gives the client's socket. Connections wait until the server has started. */
    readonly connect: (options?: MemorySocket.MemorySocketOptions) => Effect.Effect<Socket.Socket>
  }
>()("effect-rtmp/testing/MemoryNetwork") {
  /** A network with nobody on it yet. */
  static readonly layer: Layer.Layer<MemoryNetwork | Transport> = Layer.suspend(() => Layer.effectContext(make))
}

const make = Effect.gen(function* () {
  const incoming = yield* Queue.unbounded<Socket.Socket>()
  let port = 40_000
  const transport = Transport.of({
    listen: (options, handle) =>
      Effect.gen(function* () {
        let open = true
        const serve = (socket: Socket.Socket): Effect.Effect<void> =>
          SocketTransport.makeConnection(socket, { host: "127.0.0.1", port: ++port }).pipe(
            Effect.flatMap(handle),
            Effect.ignore,
            Effect.scoped
          )
        yield* Effect.forkScoped(
          Effect.forever(
            Effect.flatMap(Queue.take(incoming), (socket) => (open ? Effect.forkChild(serve(socket)) : Effect.void))
          )
        )
        return {
          address: { host: options.host, port: options.port },
          close: Effect.sync(() => {
            open = false
          })
        }
      })
  })
  const network = MemoryNetwork.of({
    connect: (options) =>
      Effect.sync(() => {
        const [client, server] = MemorySocket.makePair(options)
        Queue.offerUnsafe(incoming, server)
        return client
      })
  })
  return Context.make(MemoryNetwork, network).pipe(Context.add(Transport, transport))
})
