/**
 * Loaded into the server process in front of its main module (`--import`): tells over the channel of the parent process
 * what is alive in there after a collection.
 */
import process from "node:process"
import * as V8 from "node:v8"
import * as Effect from "effect/Effect"

/** What is alive in the server. Fibers are counted whether or not they run: one that has ended and is still held leaks. */
export interface Alive {
  readonly heapUsed: number
  readonly external: number
  readonly arrayBuffers: number
  readonly fibers: number
  readonly connections: number
  readonly streams: number
  readonly viewers: number
  readonly sockets: number
  readonly timers: number
}

// biome-ignore lint/complexity/noBannedTypes: the type of Node's own parameter
const count = (make: Function): number => Number(V8.queryObjects(make))

const look = async (): Promise<Alive> => {
  const { RtmpConnection } = await import("../../src/server/RtmpConnection.ts")
  const { LiveStream } = await import("../../src/live/LiveStream.ts")
  const { Outbox } = await import("../../src/live/Outbox.ts")
  for (let i = 0; i < 2; i++) {
    globalThis.gc?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { arrayBuffers, external, heapUsed } = process.memoryUsage()
  const resources = process.getActiveResourcesInfo()
  const fiber = Effect.runFork(Effect.void)
  return {
    heapUsed,
    external,
    arrayBuffers,
    fibers: count(fiber.constructor) - 1,
    connections: count(RtmpConnection),
    streams: count(LiveStream),
    viewers: count(Outbox),
    sockets: resources.filter((name) => name === "TCPSocketWrap").length,
    timers: resources.filter((name) => name === "Timeout").length
  }
}

process.on("message", () => {
  look().then(
    (alive) => process.send?.(alive),
    (error: unknown) => process.send?.({ error: String(error) })
  )
})
process.channel?.unref()
