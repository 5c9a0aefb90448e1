/**
 * The server inside a process that can be asked for its heap: `node --expose-gc test/bench/heap.ts`.
 *
 * Prints the port it listens on, and for each line of standard input its memory after a collection, as JSON with that line
 * in it.
 */
import process from "node:process"
import * as Readline from "node:readline"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as App from "../../src/App.ts"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"

const program = Effect.gen(function* () {
  const server = yield* RtmpServer
  const { port } = yield* server.start
  console.log(JSON.stringify({ port }))
  const lines = Readline.createInterface({ input: process.stdin })
  lines.on("line", (id) => {
    for (let i = 0; i < 3; i++) globalThis.gc?.()
    const { arrayBuffers, external, heapUsed, rss } = process.memoryUsage()
    console.log(JSON.stringify({ id, heapUsed, external, arrayBuffers, rss }))
  })
  lines.on("close", () => process.exit(0))
  return yield* Effect.never
})

const layer = App.layer.pipe(
  Layer.provide([
    NodeTransport.layer,
    NodeCrypto.layer,
    RtmpConfig.layer({
      listen: { host: "127.0.0.1", port: 0 },
      limits: { maxConnections: 20_000 },
      session: { idleTimeout: "1 hour" }
    })
  ])
)

Effect.runFork(program.pipe(Effect.provide(layer), Effect.provide(Logger.layer([]))))
