/** A client that asks to publish or play over a real connection, to learn what the server answers. */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Effect from "effect/Effect"
import * as TestClient from "../../src/testing/TestClient.ts"

/** Where to knock, and for what. With `tls`, over RTMPS with these options of `node:tls`. */
export interface Knock {
  readonly port: number
  readonly action: "publish" | "play"
  readonly name: string
  readonly application?: string
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string }
}

/** The code of the status that came, or the reason why none did. */
export const answer = ({ action, application = "live", name, port, tls }: Knock): Effect.Effect<string> =>
  Effect.gen(function* () {
    const socket = yield* tls === undefined
      ? NodeSocket.makeNet({ host: "127.0.0.1", port })
      : NodeSocket.makeTls({ host: "localhost", port, servername: "localhost", ...tls })
    const client = yield* TestClient.make(socket, { timeout: "20 seconds" })
    yield* client.handshake
    yield* client.connect(application)
    return (yield* client[action](yield* client.createStream, name)).code
  }).pipe(
    Effect.scoped,
    Effect.catch((error) =>
      Effect.succeed(`${"code" in error && error.code !== undefined ? error.code : error.reason}`)
    )
  )
