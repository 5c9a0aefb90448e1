/**
 * A server on a socket that was handed over: says what it was handed, and how it is bound, to each who connects.
 *
 * `SystemdTools.test.ts` starts it with `systemd-socket-activate`.
 */
import type * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { activatedSockets } from "../../src/node/SocketActivation.ts"

const program = Effect.gen(function* () {
  const sockets = yield* activatedSockets
  // Node takes it; its types do not know.
  const options: Net.ListenOptions & { readonly fd: number } = { fd: sockets[0]!.fd, backlog: 16 }
  const server = yield* NodeSocketServer.make(options)
  const said = JSON.stringify({ sockets, address: String(server.address) })
  // `run` provides the socket to every handler, though its type does not say so.
  const answer = Effect.contextWith((context: Context.Context<never>) =>
    Effect.callback<void>((resume) => {
      Context.getUnsafe(context, NodeSocket.NetSocket).end(said, () => resume(Effect.void))
    })
  )
  yield* server.run(() => answer)
})

Effect.runFork(Effect.scoped(program))
