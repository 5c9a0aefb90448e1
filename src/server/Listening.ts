/**
 * A port that is kept open: the listener, and what opens it anew when it dies.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Connection, Endpoint, Listener, ListenOptions, Transport, TransportError } from "./Transport.ts"

/** The listeners that a server may have, each of which can be off: RTMP in the clear, and RTMPS. */
export const listenerNames = ["rtmp", "rtmps"] as const

/** A listener by its name in logs and events. */
export type ListenerName = (typeof listenerNames)[number]

/** An open port. Connections that it has accepted belong to the scope in which it was opened, and outlive listeners. */
export interface Listening {
  /** Which of the server's listeners it is. */
  readonly name: ListenerName
  /** Where it was bound first, and is bound again. */
  readonly address: Endpoint
  /** Where it listens now; undefined between the death of a listener and the next one. */
  readonly boundTo: Endpoint | undefined
  /** Connections that are accepted and not handed over yet: a load balancer has not said whose they are. */
  readonly waiting: () => number
  /** Fails when the listener dies; run again, it opens the next one. To be supervised. */
  readonly keep: Effect.Effect<never, TransportError>
  /** Closes the port, once `keep` has been interrupted. */
  readonly close: Effect.Effect<void>
}

/** Opens a port in the current scope. `name` is what the log calls it. */
export const open = Effect.fnUntraced(function* (
  transport: Transport["Service"],
  options: ListenOptions,
  handle: (connection: Connection) => Effect.Effect<void>,
  name: ListenerName = "rtmp"
): Effect.fn.Return<Listening, TransportError, Scope.Scope> {
  const parent = yield* Effect.scope
  const listen = Effect.fnUntraced(function* (options: ListenOptions) {
    const scope = yield* Scope.fork(parent)
    return yield* transport.listen(options, handle).pipe(
      Scope.provide(scope),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
  })
  const first = yield* listen(options)
  const { address } = first
  let listener: Listener | undefined = first
  const keep = Effect.gen(function* () {
    if (listener === undefined) {
      // The port that clients know, also where any free one was asked for.
      listener = yield* listen({ ...options, port: address.port })
      yield* Effect.logInfo("listening again").pipe(Effect.annotateLogs({ room: "server", protocol: name, ...address }))
    }
    const current = listener
    const error = yield* current.died ?? Effect.never
    listener = undefined
    yield* current.close
    return yield* error
  })
  return {
    name,
    address,
    get boundTo() {
      return listener?.address
    },
    waiting: () => listener?.waiting?.() ?? 0,
    keep,
    close: Effect.suspend(() => listener?.close ?? Effect.void)
  }
})
