import type * as Http from "node:http"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { defaultLimits, type NodeHttpLimits, NodeHttpListener } from "../../src/node/NodeHttpListener.ts"
import * as Harness from "../http/AdminHarness.ts"

/** A listener with tight bounds; gives its port. */
const opened = (
  limits: Partial<NodeHttpLimits>,
  handle: (request: Http.IncomingMessage, response: Http.ServerResponse) => void = (_, response) => response.end("done")
) =>
  Effect.gen(function* () {
    const listener = new NodeHttpListener(handle, { ...defaultLimits, ...limits })
    yield* Effect.addFinalizer(() => listener.close)
    return (yield* listener.listen("127.0.0.1", 0)).port
  })

const gone = (socket: { once: (event: "close", callback: () => void) => unknown; resume: () => unknown }) =>
  Effect.callback<void>((resume) => {
    socket.resume()
    socket.once("close", () => resume(Effect.void))
  })

describe("a connection", () => {
  it.live("that says nothing is dropped", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const port = yield* opened({ arrivalTimeoutMs: 50 })
        yield* gone(yield* Harness.connect(port))
      })
    )
  )

  it.live("whose head trickles in is dropped, though it never falls silent", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const port = yield* opened({ arrivalTimeoutMs: 200 })
        const socket = yield* Harness.connect(port)
        socket.write("GET / HTTP/1.1\r\n")
        const timer = setInterval(() => socket.write("X: y\r\n"), 10)
        yield* Effect.ensuring(
          gone(socket),
          Effect.sync(() => clearInterval(timer))
        )
      })
    )
  )

  it.live("whose body trickles in is dropped", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const port = yield* opened({ arrivalTimeoutMs: 200 }, (request) => request.resume())
        const socket = yield* Harness.connect(port)
        socket.write("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        const timer = setInterval(() => socket.write("x"), 10)
        yield* Effect.ensuring(
          gone(socket),
          Effect.sync(() => clearInterval(timer))
        )
      })
    )
  )

  it.live("that takes its time after a whole request is left alone", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const answer = yield* Deferred.make<Http.ServerResponse>()
        const port = yield* opened({ arrivalTimeoutMs: 50 }, (_, response) =>
          Deferred.doneUnsafe(answer, Effect.succeed(response))
        )
        const socket = yield* Harness.connect(port)
        let isClosed = false
        socket.once("close", () => {
          isClosed = true
        })
        socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        const response = yield* Deferred.await(answer)
        // The deadline of a connection that was opened later passes.
        yield* gone(yield* Harness.connect(port))
        assert.isFalse(isClosed)
        response.end("late")
        yield* gone(socket)
      })
    )
  )

  it.live("that does not read its answer is dropped, and holds no more than its socket takes", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const closed = yield* Deferred.make<number>()
        const port = yield* opened({ stallTimeoutMs: 200 }, (_, response) => {
          const block = Buffer.alloc(64 * 1024)
          const fill = (): void => {
            while (response.write(block));
          }
          response.on("drain", fill)
          response.on("close", () => Deferred.doneUnsafe(closed, Effect.succeed(response.writableLength)))
          fill()
        })
        const socket = yield* Harness.connect(port)
        socket.pause()
        socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert.isBelow(yield* Deferred.await(closed), 1024 * 1024)
      })
    )
  )

  it.live("is dropped where there are too many", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const port = yield* opened({ maxConnections: 2 })
        yield* Harness.connect(port)
        yield* Harness.connect(port)
        yield* gone(yield* Harness.connect(port))
      })
    )
  )

  it.live("with an answer under way may finish it when the listener closes", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const answer = yield* Deferred.make<Http.ServerResponse>()
        const listener = new NodeHttpListener((_, response) => Deferred.doneUnsafe(answer, Effect.succeed(response)))
        const { port } = yield* listener.listen("127.0.0.1", 0)
        const asked = yield* Effect.forkChild(Harness.request(port, "/"), { startImmediately: true })
        const response = yield* Deferred.await(answer)
        const closing = yield* Effect.forkChild(listener.close, { startImmediately: true })
        response.end("done")
        assert.strictEqual((yield* Fiber.join(asked)).text, "done")
        yield* Fiber.join(closing)
      })
    )
  )
})
