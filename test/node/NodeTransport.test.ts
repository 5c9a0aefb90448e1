import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import type { Connection } from "../../src/server/Transport.ts"
import { TransportError } from "../../src/server/Transport.ts"

const here = { host: "127.0.0.1", port: 0, backlog: 16 }

/** A client's socket that reads nothing until it is told to. */
const dial = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket, Error>((resume) => {
      const socket = Net.connect({ host: "127.0.0.1", port }, () => resume(Effect.succeed(socket)))
      socket.on("error", (error) => resume(Effect.fail(error)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

const closed = (socket: Net.Socket) =>
  Effect.callback<void>((resume) => {
    if (socket.destroyed) resume(Effect.void)
    else socket.on("close", () => resume(Effect.void)).resume()
  })

/** A listener whose connections the test holds in its hands. */
const listening = Effect.gen(function* () {
  const connections = yield* Queue.unbounded<Connection>()
  const scope = yield* Scope.make()
  const listener = yield* Scope.provide(
    NodeTransport.listen(here, (connection) => Effect.andThen(Queue.offer(connections, connection), Effect.never)),
    scope
  )
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  return { listener, scope, next: Queue.take(connections), port: listener.address.port }
})

const drained = (connection: Connection) =>
  Effect.callback<void>((resume) => connection.onDrain(() => resume(Effect.void)))

describe("NodeTransport", () => {
  it.live("passes bytes both ways, and the end of each direction", () =>
    Effect.gen(function* () {
      const { next, port } = yield* listening
      const client = yield* dial(port)
      const connection = yield* next
      client.write("hello")
      const bytes = yield* connection.pull
      assert.strictEqual(Buffer.concat([...bytes]).toString(), "hello")
      const answer = yield* Effect.forkChild(
        Effect.callback<string>((resume) => {
          let text = ""
          client.on("data", (chunk) => {
            text += chunk
          })
          client.on("end", () => resume(Effect.succeed(text)))
        })
      )
      yield* Effect.yieldNow
      connection.write(new TextEncoder().encode("one "))
      connection.write(new TextEncoder().encode("two"))
      connection.end()
      assert.strictEqual(yield* Fiber.join(answer), "one two")
      client.end()
      const error = yield* Effect.flip(connection.pull)
      assert.strictEqual(error.reason, "Closed")
    })
  )

  it.live("hands over what flows as it arrives, until it is told to stop, and loses nothing around that", () =>
    Effect.gen(function* () {
      const { next, port } = yield* listening
      const client = yield* dial(port)
      const connection = yield* next
      const got: Array<string> = []
      const until = (end: string) =>
        connection.flow!((bytes) => {
          got.push(Buffer.from(bytes).toString())
          return !got.join("").endsWith(end)
        })
      const flowing = yield* Effect.forkChild(until("2"))
      yield* Effect.yieldNow
      client.write("1")
      client.write("2")
      yield* Fiber.join(flowing)
      client.write("3")
      assert.strictEqual(Buffer.concat([...(yield* connection.pull)]).toString(), "3")
      client.end("4")
      // The end waits for what came before it.
      yield* until("4")
      assert.strictEqual(got.join(""), "124")
      assert.strictEqual((yield* Effect.flip(until("never"))).reason, "Closed")
      assert.strictEqual((yield* Effect.flip(connection.pull)).reason, "Closed")
    })
  )

  it.live("keeps what each of many clients sent apart, whoever reads when", () =>
    Effect.gen(function* () {
      const { next, port } = yield* listening
      const peers = yield* Effect.forEach(
        Array.from({ length: 8 }, (_, i) => i),
        (i) =>
          Effect.gen(function* () {
            const client = yield* dial(port)
            return { client, connection: yield* next, fill: i + 1, length: 200_000 + i }
          })
      )
      for (const { client, fill, length } of peers) client.write(new Uint8Array(length).fill(fill))
      const pulled: Array<{ readonly fill: number; readonly chunk: Uint8Array }> = []
      yield* Effect.forEach(
        peers,
        ({ connection, fill, length }) =>
          Effect.gen(function* () {
            let left = length
            while (left > 0) {
              const chunks = yield* connection.pull
              for (const chunk of chunks) {
                pulled.push({ fill, chunk })
                left -= chunk.length
              }
            }
            assert.strictEqual(left, 0)
          }),
        { concurrency: "unbounded" }
      )
      // Only now: what was pulled first has seen the reads of all the others.
      for (const { chunk, fill } of pulled) assert.isTrue(chunk.every((byte) => byte === fill))
    })
  )

  it.live("holds a client back by TCP while nobody takes what it sends, and then gives all of it", () =>
    Effect.gen(function* () {
      const { next, port } = yield* listening
      const client = yield* dial(port)
      const connection = yield* next
      const piece = new Uint8Array(64 * 1024)
      let sent = 0
      // A turn of the event loop for each: the kernel takes what it has room for, and then no more.
      for (let still = 0; still < 100; still = client.writableLength === 0 ? 0 : still + 1) {
        if (client.writableLength === 0) {
          client.write(piece.fill(sent / piece.length))
          sent += piece.length
        }
        yield* Effect.callback<void>((resume) => {
          setImmediate(() => resume(Effect.void))
        })
      }
      client.end()
      let received = 0
      while (received < sent) {
        for (const chunk of yield* connection.pull) {
          assert.strictEqual(chunk[0], Math.floor(received / piece.length) % 256)
          received += chunk.length
        }
      }
      assert.strictEqual(received, sent)
      assert.strictEqual((yield* Effect.flip(connection.pull)).reason, "Closed")
    })
  )

  it.live("dies of what a flow is taken by, instead of bringing the process down", () =>
    Effect.gen(function* () {
      const { next, port } = yield* listening
      const client = yield* dial(port)
      const connection = yield* next
      const flowing = yield* Effect.forkChild(
        connection.flow!(() => {
          throw new Error("taken badly")
        })
      )
      yield* Effect.yieldNow
      client.write("x")
      const exit = yield* Fiber.await(flowing)
      assert.isTrue(Exit.hasDies(exit))
      assert.include(String(exit), "taken badly")
      // Nothing else is hurt.
      client.write("y")
      assert.strictEqual(Buffer.concat([...(yield* connection.pull)]).toString(), "y")
    })
  )

  it.live("takes nothing more once a flow was interrupted", () =>
    Effect.gen(function* () {
      const { next, port } = yield* listening
      const client = yield* dial(port)
      const connection = yield* next
      const flowing = yield* Effect.forkChild(connection.flow!(() => assert.fail("it was interrupted")))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(flowing)
      client.write("later")
      assert.strictEqual(Buffer.concat([...(yield* connection.pull)]).toString(), "later")
    })
  )

  it.live.each([
    { side: "below", pieces: 1 },
    { side: "above", pieces: 8 }
  ])("tells when a full socket has drained, $side the high-water mark", ({ pieces }) =>
    Effect.gen(function* () {
      const { next, port } = yield* listening
      const client = yield* dial(port)
      client.pause()
      const connection = yield* next
      const piece = new Uint8Array(32 * 1024)
      let sent = 0
      // The buffers of the kernel first, on both sides.
      while (connection.write(piece)) sent += piece.length
      sent += piece.length
      for (let i = 1; i < pieces; i++) {
        connection.write(piece)
        sent += piece.length
      }
      assert.isAbove(connection.bufferedBytes(), 0)
      let received = 0
      client.on("data", (chunk) => {
        received += chunk.length
      })
      client.resume()
      yield* drained(connection)
      assert.strictEqual(connection.bufferedBytes(), 0)
      yield* drained(connection)
      connection.end()
      yield* Effect.callback<void>((resume) => {
        client.on("end", () => resume(Effect.void))
      })
      assert.strictEqual(received, sent)
    })
  )

  it.live("stops accepting when it is closed, and leaves alone who is there", () =>
    Effect.gen(function* () {
      const { listener, next, port } = yield* listening
      const client = yield* dial(port)
      const connection = yield* next
      yield* listener.close
      const refused = yield* Effect.flip(dial(port))
      assert.include(String(refused), "ECONNREFUSED")
      client.write("still here")
      assert.strictEqual(Buffer.concat([...(yield* connection.pull)]).toString(), "still here")
    })
  )

  it.live("drops every connection and interrupts its fiber when its scope closes", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const interrupted = yield* Deferred.make<void>()
      const served = yield* Deferred.make<void>()
      const listener = yield* Scope.provide(
        NodeTransport.listen(here, () =>
          Effect.onInterrupt(Effect.andThen(Deferred.succeed(served, undefined), Effect.never), () =>
            Deferred.succeed(interrupted, undefined)
          )
        ),
        scope
      )
      const client = yield* dial(listener.address.port)
      yield* Deferred.await(served)
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.await(interrupted)
      yield* closed(client)
    })
  )

  it.live("drops the connection of a fiber that dies, and serves the others", () =>
    Effect.gen(function* () {
      let count = 0
      const listener = yield* NodeTransport.listen(here, (connection) =>
        ++count === 1
          ? Effect.die("broken")
          : Effect.andThen(
              Effect.sync(() => connection.write(new TextEncoder().encode("served"))),
              Effect.never
            )
      )
      yield* closed(yield* dial(listener.address.port))
      const client = yield* dial(listener.address.port)
      const text = yield* Effect.callback<string>((resume) => {
        client.on("data", (chunk) => resume(Effect.succeed(String(chunk))))
      })
      assert.strictEqual(text, "served")
    }).pipe(Effect.scoped)
  )

  it.live("says why it cannot listen", () =>
    Effect.gen(function* () {
      const { port } = yield* listening
      const inUse = yield* Effect.flip(NodeTransport.listen({ ...here, port }, () => Effect.void))
      assert.instanceOf(inUse, TransportError)
      assert.strictEqual(inUse.reason, "AddressInUse")
      const foreign = yield* Effect.flip(NodeTransport.listen({ ...here, host: "192.0.2.1" }, () => Effect.void))
      assert.strictEqual(foreign.reason, "AddressNotAvailable")
    }).pipe(Effect.scoped)
  )
})
