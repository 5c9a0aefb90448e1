/**
 * Two `effect/socket` sockets joined in memory, each the other's peer.
 *
 * They behave as TCP does where it matters to a test: bytes arrive in order and cut in any way, a writer waits while too
 * much is unread on the other side, a closed writer is seen as the end of the stream after the last byte, and a closed
 * reader breaks the connection. No time passes in them, so `TestClock` rules alone.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Socket from "effect/socket/Socket"

/**
 * How a pair behaves; everything may be left out.
 *
 * - `sizes`: how many bytes each pull gives, over and over, in both directions; by default all there are.
 * - `highWaterBytes`: unread bytes from which on a writer waits; 64 KiB by default.
 */
export interface MemorySocketOptions {
  /** Sizes of what a pull gives, in bytes; at least 1 each. */
  readonly sizes?: ReadonlyArray<number>
  /** Unread bytes from which on a writer waits. */
  readonly highWaterBytes?: number
}

/** Makes two joined sockets. They are connected from the start; each can be acquired once. */
export const makePair = (options: MemorySocketOptions = {}): readonly [Socket.Socket, Socket.Socket] => {
  const there = new Pipe(options)
  const back = new Pipe(options)
  return [end(there, back), end(back, there)]
}

const closed = (code: number): Socket.SocketError =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })

const encoder = new TextEncoder()

const end = (out: Pipe, incoming: Pipe): Socket.Socket =>
  Socket.make({
    reader: Effect.acquireRelease(
      Effect.succeed({ pull: incoming.pull, upgrade: Socket.SocketUpgradeError.unsupported }),
      () =>
        Effect.sync(() => {
          incoming.break()
          out.end()
        })
    ),
    writer: Effect.acquireRelease(
      Effect.succeed({
        write: (chunk: Uint8Array | string | Socket.CloseEvent) => {
          if (!Socket.isCloseEvent(chunk)) return out.write([chunk])
          return Effect.sync(() => {
            out.end()
            incoming.break()
          })
        },
        writeAll: (chunks: NonEmptyReadonlyArray<Uint8Array | string>) => out.write(chunks)
      }),
      () => Effect.sync(() => out.end())
    )
  })

type Pulled = NonEmptyReadonlyArray<Uint8Array>

/** One direction. */
class Pipe {
  #chunks: Array<Uint8Array> = []
  #unread = 0
  #isEnded = false
  #isBroken = false
  #turn = 0
  #reader: ((result: Effect.Effect<Pulled, Socket.SocketError>) => void) | undefined
  #writers: Array<(result: Effect.Effect<void, Socket.SocketError>) => void> = []
  readonly #sizes: ReadonlyArray<number>
  readonly #highWaterBytes: number

  constructor(options: MemorySocketOptions) {
    this.#sizes = options.sizes ?? []
    this.#highWaterBytes = options.highWaterBytes ?? 65_536
  }

  readonly pull: Effect.Effect<Pulled, Socket.SocketError> = Effect.callback((resume) => {
    this.#reader = resume
    this.#deliver()
    return Effect.sync(() => {
      if (this.#reader === resume) this.#reader = undefined
    })
  })

  write(chunks: ReadonlyArray<Uint8Array | string>): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => {
      if (this.#isBroken || this.#isEnded) return Effect.fail(closed(1006))
      for (const chunk of chunks) {
        // A copy: the writer may use its array again, and a reader that keeps a view must not see that.
        const bytes = typeof chunk === "string" ? encoder.encode(chunk) : chunk.slice()
        if (bytes.length === 0) continue
        this.#chunks.push(bytes)
        this.#unread += bytes.length
      }
      this.#deliver()
      if (this.#unread < this.#highWaterBytes) return Effect.void
      return Effect.callback<void, Socket.SocketError>((resume) => {
        this.#writers.push(resume)
        return Effect.sync(() => {
          this.#writers = this.#writers.filter((writer) => writer !== resume)
        })
      })
    })
  }

  /** The writing side is done. */
  end(): void {
    this.#isEnded = true
    this.#deliver()
  }

  /** The reading side is gone. */
  break(): void {
    this.#isBroken = true
    this.#chunks = []
    this.#unread = 0
    this.#deliver()
    this.#release(Effect.fail(closed(1006)))
  }

  #deliver(): void {
    const reader = this.#reader
    if (reader === undefined) return
    if (this.#unread > 0) {
      this.#reader = undefined
      reader(Effect.succeed(this.#take()))
      if (this.#unread < this.#highWaterBytes) this.#release(Effect.void)
    } else if (this.#isBroken || this.#isEnded) {
      this.#reader = undefined
      reader(Effect.fail(closed(this.#isBroken ? 1006 : 1000)))
    }
  }

  #take(): Pulled {
    if (this.#sizes.length === 0) {
      const [first, ...others] = this.#chunks
      this.#chunks = []
      this.#unread = 0
      return [first!, ...others]
    }
    let wanted = this.#sizes[this.#turn++ % this.#sizes.length]!
    const taken: Array<Uint8Array> = []
    while (wanted > 0 && this.#chunks.length > 0) {
      const chunk = this.#chunks[0]!
      const piece = chunk.subarray(0, wanted)
      if (piece.length === chunk.length) this.#chunks.shift()
      else this.#chunks[0] = chunk.subarray(piece.length)
      wanted -= piece.length
      this.#unread -= piece.length
      taken.push(piece)
    }
    const [first, ...others] = taken
    return [first!, ...others]
  }

  #release(result: Effect.Effect<void, Socket.SocketError>): void {
    const writers = this.#writers
    this.#writers = []
    for (const writer of writers) writer(result)
  }
}
