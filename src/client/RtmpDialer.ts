/**
 * How a client gets from a URL to a socket: the part that a platform, a proxy or a test puts in.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Socket from "effect/socket/Socket"
import type { RtmpUrl } from "../protocol/RtmpUrl.ts"
import type { RtmpClientError } from "./RtmpClientError.ts"

/**
 * Gives the socket for a URL.
 *
 * The socket connects when its reader is acquired, not before, and once: each publish or play asks for one of its own.
 */
export class RtmpDialer extends Context.Service<
  RtmpDialer,
  {
    /** Gives a socket to the server of `url`; fails with `UnsupportedScheme` where it has no way there. */
    readonly dial: (url: RtmpUrl) => Effect.Effect<Socket.Socket, RtmpClientError>
  }
>()("effect-rtmp/client/RtmpDialer") {
  /** Takes the provided `Socket` for every URL, whatever host it names: for tests, tunnels and Unix sockets. */
  static readonly layerSocket: Layer.Layer<RtmpDialer, never, Socket.Socket> = Layer.effect(
    RtmpDialer,
    Effect.map(Socket.Socket, (socket) => RtmpDialer.of({ dial: () => Effect.succeed(socket) }))
  )
}
