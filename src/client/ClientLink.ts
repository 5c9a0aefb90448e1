/**
 * One client session on one socket: reads, writes, keeps the deadlines, and says goodbye.
 *
 * What `RtmpClient` is built on. A link has no fiber of its own: whoever waits for the server calls `step`, which waits
 * for bytes or for the next deadline, whichever comes first. So nothing is read while nobody asks, and backpressure
 * reaches the server.
 */

import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Socket from "effect/socket/Socket"
import type { ClientMachine } from "../protocol/ClientSession.ts"
import type { ClientOutput } from "../protocol/ClientSessionState.ts"
import type { Message } from "../protocol/Message.ts"
import { fromFailure, RtmpClientError } from "./RtmpClientError.ts"

/** How long the end of a connection may take, in milliseconds: to send the last bytes, and again to see the server close. */
export const lingerMs = 1_000

/** A session on a connected socket. */
export interface ClientLink {
  /**
   * Waits for the server's next bytes, or for the next deadline, and gives what came of it (`Send` included, which has
   * been written). Fails with what the session failed with.
   */
  readonly step: Effect.Effect<ReadonlyArray<ClientOutput>, RtmpClientError>
  /** Sends media. Waits while the socket is full. */
  readonly publish: (messages: ReadonlyArray<Message>) => Effect.Effect<void, RtmpClientError>
}

/**
 * Connects a socket and starts a session on it.
 *
 * `connectTimeoutMs` bounds the time to connect; the session has a limit of its own for the rest. When the scope closes
 * the session ends in order, as far as the server lets it: the last bytes get `lingerMs` to leave, then the sending side
 * is closed and the server gets `lingerMs` to do the same. A socket that is destroyed with bytes unread would be reset,
 * and the server might never see the end of the stream.
 */
export const open = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  session: ClientMachine,
  connectTimeoutMs: number
): Effect.fn.Return<ClientLink, RtmpClientError, Scope.Scope> {
  const clock = yield* Clock.Clock
  const pull = yield* Socket.readerBytes(socket).pipe(
    Effect.mapError((cause) => new RtmpClientError({ reason: "DialFailed", detail: describe(cause), cause })),
    Effect.timeoutOrElse({
      duration: connectTimeoutMs,
      orElse: () =>
        Effect.fail(
          new RtmpClientError({ reason: "Timeout", detail: `not connected after ${connectTimeoutMs / 1000} s` })
        )
    })
  )
  const writerScope = yield* Scope.make()
  const writer = yield* Scope.provide(socket.writer, writerScope)
  // Chunks build on those before them: what the session gives out is written before anybody can call it again.
  const turn = Semaphore.makeUnsafe(1)
  // False while bytes of the session are on their way to the socket: interrupted there, nothing may be sent after them.
  let isWhole = true

  const transact = (
    call: () => ReadonlyArray<ClientOutput>
  ): Effect.Effect<ReadonlyArray<ClientOutput>, Socket.SocketError> =>
    turn.withPermit(
      Effect.suspend(() => {
        const outputs = call()
        const bytes = sends(outputs)
        if (bytes === undefined) return Effect.succeed(outputs)
        isWhole = false
        return Effect.map(writer.writeAll(bytes), () => {
          isWhole = true
          return outputs
        })
      })
    )

  // A write that fails here is no news: the next read says that the connection is gone, after what the server had to say.
  const react = (call: () => ReadonlyArray<ClientOutput>): Effect.Effect<ReadonlyArray<ClientOutput>> => {
    let outputs: ReadonlyArray<ClientOutput> = []
    return transact(() => {
      outputs = call()
      return outputs
    }).pipe(Effect.catch(() => Effect.succeed(outputs)))
  }

  const received = (
    pulled: Result.Result<NonEmptyReadonlyArray<Uint8Array>, Socket.SocketError>
  ): Effect.Effect<ReadonlyArray<ClientOutput>> =>
    react(() => {
      if (Result.isFailure(pulled)) return session.disconnect()
      const nowMs = clock.currentTimeMillisUnsafe()
      const chunks = pulled.success
      if (chunks.length === 1) return session.receive(chunks[0], nowMs)
      const outputs: Array<ClientOutput> = []
      for (const chunk of chunks) for (const output of session.receive(chunk, nowMs)) outputs.push(output)
      return outputs
    })

  const read = Effect.result(pull)

  const step: ClientLink["step"] = Effect.suspend(() => {
    const dueMs = session.nextDeadlineMs()
    if (dueMs === Number.POSITIVE_INFINITY) return Effect.flatMap(read, received)
    return Effect.flatMap(
      Effect.timeoutOption(read, Math.max(0, dueMs - clock.currentTimeMillisUnsafe())),
      Option.match({
        onNone: () => react(() => session.tick(clock.currentTimeMillisUnsafe())),
        onSome: received
      })
    )
  }).pipe(Effect.tap(failed))

  const publish: ClientLink["publish"] = (messages) =>
    Effect.matchEffect(
      transact(() => session.publish(messages)),
      {
        onSuccess: () => Effect.void,
        // Whoever calls `step` at the same time learns what the server had to say about it: that is worth a moment.
        onFailure: (cause) =>
          Effect.andThen(
            Effect.sleep(lingerMs),
            Effect.fail(new RtmpClientError({ reason: "ConnectionLost", detail: describe(cause), cause }))
          )
      }
    )

  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      const wasOpen = session.state !== "Disconnected"
      if (wasOpen && isWhole) yield* withinLinger(transact(session.close))
      yield* Scope.close(writerScope, Exit.void)
      if (wasOpen) yield* withinLinger(Effect.forever(pull))
    })
  )

  yield* Effect.ignore(transact(() => session.start(clock.currentTimeMillisUnsafe())))
  return { step, publish }
})

const failed = (outputs: ReadonlyArray<ClientOutput>): Effect.Effect<void, RtmpClientError> => {
  const last = outputs.at(-1)
  return last?._tag === "Failed" ? Effect.fail(fromFailure(last.error)) : Effect.void
}

const sends = (outputs: ReadonlyArray<ClientOutput>): NonEmptyReadonlyArray<Uint8Array> | undefined => {
  let bytes: [Uint8Array, ...Array<Uint8Array>] | undefined
  for (const output of outputs) {
    if (output._tag !== "Send") continue
    if (bytes === undefined) bytes = [output.bytes]
    else bytes.push(output.bytes)
  }
  return bytes
}

const withinLinger = (effect: Effect.Effect<unknown, unknown>): Effect.Effect<void> =>
  Effect.ignore(Effect.timeoutOption(Effect.interruptible(effect), lingerMs))

/** What the system says of a socket: "connect ECONNREFUSED" is worth more than "An error occurred during Open". */
const describe = (error: Socket.SocketError): string => {
  const { reason } = error
  const cause = "cause" in reason ? reason.cause : undefined
  return cause instanceof Error ? `${reason.message}: ${cause.message}` : reason.message
}
