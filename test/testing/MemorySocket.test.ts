import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { TestClock } from "effect/testing"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"

const closeCode = (error: Socket.SocketError): number | undefined =>
  error.reason._tag === "SocketCloseError" ? error.reason.code : undefined

/** Reads to the end of the stream. */
const readAll = Effect.fnUntraced(function* (socket: Socket.Socket) {
  const pull = yield* Socket.readerBytes(socket)
  const chunks: Array<Uint8Array> = []
  const error = yield* Effect.flip(
    Effect.forever(Effect.map(pull, (pulled) => chunks.push(...pulled.map((chunk) => chunk.slice()))))
  )
  return { chunks, bytes: Bytes.concat(chunks), code: closeCode(error) }
})

describe("MemorySocket", () => {
  it.effect("carries bytes both ways, in order, and ends after the last", () =>
    Effect.gen(function* () {
      const [here, there] = MemorySocket.makePair()
      const reading = yield* Effect.forkChild(Effect.scoped(readAll(there)))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* here.writer
          yield* writer.write(Uint8Array.of(1, 2))
          yield* writer.writeAll([Uint8Array.of(3), "A"])
        })
      )
      const { bytes, code } = yield* Fiber.join(reading)
      assert.strictEqual(Bytes.hex(bytes), "01020341")
      assert.strictEqual(code, 1000)
    })
  )

  it.effect.prop(
    "gives the same bytes in pieces of the given sizes",
    { sizes: Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 50 }))) },
    ({ sizes }) =>
      Effect.gen(function* () {
        const [here, there] = MemorySocket.makePair({ sizes })
        const sent = Uint8Array.from({ length: 300 }, (_, i) => i)
        yield* Effect.scoped(
          Effect.flatMap(here.writer, (writer) => writer.writeAll([sent.subarray(0, 130), sent.subarray(130)]))
        )
        const { bytes } = yield* Effect.scoped(readAll(there))
        assert.deepStrictEqual(bytes, sent)
      })
  )

  it.effect("makes a writer wait for a reader that lags behind", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [here, there] = MemorySocket.makePair({ highWaterBytes: 10 })
        const writer = yield* here.writer
        yield* writer.write(new Uint8Array(9))
        const second = yield* Effect.forkChild(writer.write(new Uint8Array(1)))
        yield* TestClock.adjust(1_000)
        assert.isUndefined(second.pollUnsafe())
        const pull = yield* Socket.readerBytes(there)
        const pulled = yield* pull
        assert.strictEqual(Bytes.concat(pulled).length, 10)
        yield* Fiber.join(second)
      })
    )
  )

  it.effect("loses nothing when a pull is interrupted", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [here, there] = MemorySocket.makePair()
        const pull = yield* Socket.readerBytes(there)
        const waiting = yield* Effect.forkChild(pull)
        yield* TestClock.adjust(1)
        yield* Fiber.interrupt(waiting)
        const writer = yield* here.writer
        yield* writer.write(Uint8Array.of(7))
        assert.deepStrictEqual(yield* pull, [Uint8Array.of(7)])
      })
    )
  )

  it.effect("breaks when the reader goes away: writes fail, and the other side sees the end", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [here, there] = MemorySocket.makePair()
        const scope = yield* Scope.make()
        yield* Scope.provide(there.reader, scope)
        const writer = yield* here.writer
        yield* writer.write(Uint8Array.of(1))
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(closeCode(yield* Effect.flip(writer.write(Uint8Array.of(2)))), 1006)
        assert.strictEqual((yield* readAll(here)).code, 1000)
      })
    )
  )

  it.effect("fails a pull that is waiting when its own reader is closed", () =>
    Effect.gen(function* () {
      const [here] = MemorySocket.makePair()
      const scope = yield* Scope.make()
      const pull = yield* Scope.provide(Socket.readerBytes(here), scope)
      const waiting = yield* Effect.forkChild(Effect.flip(pull))
      yield* TestClock.adjust(1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(closeCode(yield* Fiber.join(waiting)), 1006)
    })
  )
})
