/**
 * A relay between one client and the server that keeps what the server said: for answers that clients do not print.
 */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A relay in front of a server. */
export interface Tap {
  readonly port: number
  /** All bytes that the server has sent through it until now. */
  readonly fromServer: () => Buffer
}

/** Opens a relay to `serverPort` on a free port; it is closed, with its connections, when the scope closes. */
export const open = (serverPort: number): Effect.Effect<Tap, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly tap: Tap; readonly close: () => void }>((resume) => {
      const chunks: Array<Buffer> = []
      const sockets = new Set<Net.Socket>()
      const keep = (socket: Net.Socket) => {
        sockets.add(socket)
        socket.setNoDelay(true)
        // A connection that breaks off is what some tests are about; the other half follows it.
        socket.on("error", () => {})
      }
      const server = Net.createServer((client) => {
        const upstream = Net.connect(serverPort, "127.0.0.1")
        keep(client)
        keep(upstream)
        upstream.on("data", (chunk) => chunks.push(chunk))
        client.pipe(upstream)
        upstream.pipe(client)
        client.on("close", () => upstream.destroy())
        upstream.on("close", () => client.destroySoon())
      })
      server.listen(0, "127.0.0.1", () =>
        resume(
          Effect.succeed({
            tap: { port: (server.address() as Net.AddressInfo).port, fromServer: () => Buffer.concat(chunks) },
            close: () => {
              for (const socket of sockets) socket.destroy()
              server.close()
            }
          })
        )
      )
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ tap }) => tap))
