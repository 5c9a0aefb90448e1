import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as DirectWrite from "../../src/node/DirectWrite.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import type { TransportError } from "../../src/server/Transport.ts"

/** Both ends of a TCP connection of its own, the server's paused. */
const pair = Effect.acquireRelease(
  Effect.callback<{ readonly here: Net.Socket; readonly there: Net.Socket }>((resume) => {
    const server = Net.createServer({ pauseOnConnect: true }, (here) => {
      server.close()
      resume(Effect.succeed({ here, there }))
    })
    let there: Net.Socket
    server.listen(0, "127.0.0.1", () => {
      there = Net.connect({ host: "127.0.0.1", port: (server.address() as Net.AddressInfo).port })
      there.on("error", () => undefined)
    })
  }),
  ({ here, there }) =>
    Effect.sync(() => {
      here.destroy()
      there.destroy()
    })
)

const descriptor = (socket: Net.Socket): number => (socket as unknown as { _handle: { fd: number } })._handle.fd

const connectionOf = (socket: Net.Socket) =>
  NodeTransport.makeConnection(socket, { host: "192.0.2.1", port: 1 }, undefined, new DirectWrite.Lanes())

const numbered = (from: number, count: number): Uint8Array => {
  const bytes = new Uint8Array(count)
  for (let i = 0; i < count; i++) bytes[i] = ((from + i) * 2_654_435_761) >>> 24
  return bytes
}

/** Everything that arrives until the end. */
const readAll = (socket: Net.Socket) =>
  Effect.callback<Buffer>((resume) => {
    const parts: Array<Buffer> = []
    socket.on("data", (part: Buffer) => parts.push(part))
    socket.on("end", () => resume(Effect.succeed(Buffer.concat(parts)))).resume()
  })

const onPosix = it.live.skipIf(process.platform === "win32")

describe("DirectWrite", () => {
  onPosix("keeps the order of bytes when the kernel takes a part of them, and after it", () =>
    Effect.gen(function* () {
      const { here, there } = yield* pair
      there.pause()
      const connection = connectionOf(here)
      let written = 0
      let full = 0
      // Past the buffers of the kernel, and some more behind that.
      while (full < 20) {
        const piece = numbered(written, 30_011)
        if (!connection.write(piece)) full++
        written += piece.length
      }
      assert.isAbove(connection.bufferedBytes(), 0)
      const reading = yield* Effect.forkChild(readAll(there))
      yield* Effect.callback<void>((resume) => connection.onDrain(() => resume(Effect.void)))
      const last = numbered(written, 1_000)
      assert.isTrue(connection.write(last), "what drained is written to at once again")
      connection.end()
      const read = yield* Fiber.join(reading)
      assert.strictEqual(Buffer.compare(read, Buffer.from(numbered(0, written + last.length))), 0)
    })
  )

  onPosix("never writes to a descriptor that it has given up, which somebody else may have by now", () =>
    Effect.gen(function* () {
      const first = yield* pair
      const connection = connectionOf(first.here)
      const number = descriptor(first.here)
      connection.destroy()
      let second = yield* pair
      for (let i = 0; i < 50 && descriptor(second.here) !== number && descriptor(second.there) !== number; i++) {
        second = yield* pair
      }
      const heir = descriptor(second.here) === number ? second.here : second.there
      assert.strictEqual(descriptor(heir), number, "the descriptor is used again")
      const reading = yield* Effect.forkChild(readAll(heir === second.here ? second.there : second.here))
      if (heir === second.there) second.here.resume()
      assert.isTrue(connection.write(Buffer.from("not for you")))
      heir.end("for you")
      assert.strictEqual((yield* Fiber.join(reading)).toString(), "for you")
    })
  )

  onPosix("tells of a connection that broke while it was written to as broken, not as ended", () =>
    Effect.gen(function* () {
      const { here, there } = yield* pair
      const connection = connectionOf(here)
      there.resetAndDestroy()
      yield* Effect.callback<void>((resume) => {
        there.on("close", () => resume(Effect.void))
      })
      const pulling = yield* Effect.forkChild(Effect.flip(connection.pull), { startImmediately: true })
      assert.isTrue(connection.write(new Uint8Array(10)), "who writes is not told: who reads is")
      const error: TransportError = yield* Fiber.join(pulling)
      assert.strictEqual(error.reason, "Reset")
      assert.isTrue(connection.write(new Uint8Array(10)))
    })
  )

  onPosix("keeps the lanes of many sockets apart, and lets nobody write who holds the lane of one that is gone", () =>
    Effect.gen(function* () {
      const lanes = new DirectWrite.Lanes()
      const pairs = yield* Effect.forEach(Array.from({ length: 70 }), () => pair)
      const opened = pairs.map(({ here }) => lanes.open(here))
      assert.strictEqual(new Set(opened).size, 70)
      const gone = opened[3]!
      pairs[3]!.here.destroy()
      assert.strictEqual(lanes.write(gone, Buffer.from("nobody")), -1)
      lanes.release(gone)
      const next = yield* pair
      opened[3] = lanes.open(next.here)
      assert.notStrictEqual(opened[3], gone)
      // All of these are about the old socket, and nothing to the new one, which has its place.
      assert.strictEqual(lanes.write(gone, Buffer.from("nobody")), -1)
      lanes.close(gone)
      lanes.release(gone)
      pairs[3]!.here._destroy(null, () => undefined)
      const all = pairs.map((one, i) => (i === 3 ? next : one))
      const texts = yield* Effect.forEach(all, ({ here, there }, i) =>
        Effect.gen(function* () {
          const reading = yield* Effect.forkChild(readAll(there))
          const text = Buffer.from(`for ${i}`)
          assert.strictEqual(lanes.write(opened[i]!, text), text.length)
          here.end()
          return (yield* Fiber.join(reading)).toString()
        })
      )
      assert.deepStrictEqual(
        texts,
        all.map((_, i) => `for ${i}`)
      )
    })
  )

  onPosix("sends nothing behind the end of the stream", () =>
    Effect.gen(function* () {
      const { here, there } = yield* pair
      const connection = connectionOf(here)
      const reading = yield* Effect.forkChild(readAll(there))
      connection.write(Buffer.from("before"))
      connection.end()
      assert.isTrue(connection.write(Buffer.from("after")))
      assert.strictEqual((yield* Fiber.join(reading)).toString(), "before")
    })
  )
})
