/**
 * The floor of RTMPS: what a TLS server on Node alone costs that writes the same bytes to everybody, and does nothing else.
 *
 *     node test/bench/tlsFloor.ts VIEWERS WRITES_PER_SECOND KBPS SECONDS
 *
 * Prints the port that it listens on as a line of JSON, waits for so many clients, lets them settle, and writes to them
 * for some seconds. Prints a second line then: CPU seconds of the process, bytes, seconds, writes that found a socket
 * full, and resident memory. The handshakes are not counted, neither are they for a server.
 */
import { setTimeout as sleep } from "node:timers/promises"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import * as SelfSigned from "../../src/node/SelfSigned.ts"

const [viewers = 0, hertz = 0, kbps = 0, seconds = 0] = process.argv.slice(2).map(Number)
if (!(viewers > 0 && hertz > 0 && kbps > 0 && seconds > 0)) {
  throw new Error("usage: tlsFloor.ts VIEWERS WRITES_PER_SECOND KBPS SECONDS")
}

const settleMs = 2_000

const { chain, key } = await Effect.runPromise(SelfSigned.make(["localhost"], Date.now()))
const sockets: Array<Tls.TLSSocket> = []
const everybody = Promise.withResolvers<void>()
const server = Tls.createServer({ cert: chain, key, noDelay: true, minVersion: "TLSv1.2" }, (socket) => {
  // The readers end first.
  socket.on("error", () => {})
  if (sockets.push(socket) === viewers) everybody.resolve()
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  console.log(JSON.stringify({ port: typeof address === "object" && address !== null ? address.port : 0 }))
})
await everybody.promise
await sleep(settleMs)

const piece = Buffer.alloc(Math.round((kbps * 125) / hertz))
const rounds = Math.round(seconds * hertz)
let refused = 0
const startedMs = performance.now()
const before = process.cpuUsage()
for (let round = 1; round <= rounds; round++) {
  for (const socket of sockets) {
    if (socket.writableLength > 0) refused++
    socket.write(piece)
  }
  await sleep(Math.max(0, startedMs + (round * 1_000) / hertz - performance.now()))
}
const { system, user } = process.cpuUsage(before)
console.log(
  JSON.stringify({
    cpuSeconds: (user + system) / 1e6,
    bytes: rounds * piece.length * viewers,
    seconds: (performance.now() - startedMs) / 1e3,
    refused,
    residentMb: process.memoryUsage.rss() / 2 ** 20
  })
)
process.exit(0)
