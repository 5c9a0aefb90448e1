/**
 * A server for the tests of clients: one `ServerSession` on one socket, which grants everything unless told otherwise.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as Amf0 from "../../src/protocol/amf/Amf0.ts"
import * as ChunkReader from "../../src/protocol/ChunkReader.ts"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import * as Handshake from "../../src/protocol/Handshake.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as ServerCommands from "../../src/protocol/ServerCommands.ts"
import * as ServerSession from "../../src/protocol/ServerSession.ts"
import type { CloseError, Session, SessionOutput } from "../../src/protocol/Session.ts"
import { defaultOptions, SessionError } from "../../src/protocol/Session.ts"
import type { Status } from "../../src/protocol/Status.ts"

/** What happened on the server, over all its connections. */
export class Journal {
  readonly tags: Array<string> = []
  readonly media: Array<Message.Message> = []
  readonly requests: Array<Extract<SessionOutput, { readonly requestId: number }>> = []
  readonly closes: Array<CloseError> = []
  written = 0
  disconnects = 0
}

export interface SessionServerOptions {
  readonly decide?: (request: SessionOutput) => Status | undefined
  /** What a player gets when its play has been granted. */
  readonly play?: ReadonlyArray<Message.Message>
  /** Whether the stream ends after that. */
  readonly endPlay?: boolean
  /** Called after each media message. */
  readonly onMedia?: (session: Session, count: number) => ReadonlyArray<SessionOutput>
}

/** Serves one connection until it ends. */
export const serve = (socket: Socket.Socket, journal: Journal, options: SessionServerOptions = {}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const pull = yield* Socket.readerBytes(socket)
      const writing = yield* Scope.make()
      const writer = yield* Scope.provide(socket.writer, writing)
      const session = ServerSession.make(
        defaultOptions,
        {
          handshake: Handshake.make({ crypto: NodeCrypto.make }),
          reader: ChunkReader.make(),
          writer: ChunkWriter.make(),
          decodeCommand: Amf0.decode,
          commands: ServerCommands.defaultHandlers
        },
        yield* Clock.currentTimeMillis
      )

      const write = (bytes: Uint8Array) =>
        Effect.ignore(Effect.tap(writer.write(bytes), () => Effect.sync(() => (journal.written += bytes.length))))

      const handle = (outputs: ReadonlyArray<SessionOutput>): Effect.Effect<void> =>
        Effect.gen(function* () {
          const nowMs = yield* Clock.currentTimeMillis
          const after: Array<Effect.Effect<void>> = []
          for (const output of outputs) {
            if (output._tag === "Send") {
              yield* write(output.bytes)
              continue
            }
            journal.tags.push(output._tag)
            if (output._tag === "Close") journal.closes.push(output.error)
            if (output._tag === "Media") {
              journal.media.push({ ...output.message, payload: output.message.payload.slice() })
              const { onMedia } = options
              if (onMedia !== undefined) after.push(handle(onMedia(session, journal.media.length)))
            }
            if (!("requestId" in output)) continue
            journal.requests.push(output)
            const refusal = options.decide?.(output)
            after.push(
              refusal === undefined
                ? Effect.suspend(() => handle(session.accept(output.requestId, nowMs)))
                : Effect.suspend(() => handle(session.reject(output.requestId, refusal, nowMs)))
            )
            if (output._tag === "PlayRequested" && refusal === undefined) {
              for (const message of options.play ?? []) after.push(write(chunks(message)))
              if (options.endPlay === true) {
                const error = new SessionError({ reason: "StreamEnded", detail: "over" })
                after.push(Effect.suspend(() => handle(session.endPlay(output.request.streamId, error))))
              }
            }
          }
          for (const effect of after) yield* effect
        })

      while (session.state !== "Disconnected") {
        const pulled = yield* Effect.result(pull)
        if (Result.isFailure(pulled)) {
          session.disconnect()
          journal.disconnects++
          return
        }
        for (const bytes of pulled.success) yield* handle(session.receive(bytes, yield* Clock.currentTimeMillis))
      }
      // Bytes that come and are not read would have the kernel reset the connection, and the client lose what it has not read.
      yield* Scope.close(writing, Exit.void)
      yield* Effect.ignore(Effect.forever(pull))
    })
  )

const chunks = (message: Message.Message): Uint8Array => {
  const { payload, timestamp, typeId } = message
  const id = typeId === Message.AUDIO ? 4 : typeId === Message.VIDEO ? 6 : 7
  const bytes = new Uint8Array(ChunkWriter.encodedLength(payload.length, timestamp, id, defaultOptions.chunkSize))
  ChunkWriter.encodeInto(bytes, 0, typeId, 1, id, timestamp, payload, defaultOptions.chunkSize)
  return bytes
}

/** Messages of every kind of media, as many as asked for, up to 100 KB each. */
export const someMedia = (count: number): ReadonlyArray<Message.Message> =>
  Array.from({ length: count }, (_, i) => ({
    typeId: i % 2 === 0 ? Message.VIDEO : Message.AUDIO,
    streamId: 1,
    chunkStreamId: i % 2 === 0 ? 6 : 4,
    timestamp: 20 * i,
    payload: new Uint8Array(i % 5 === 0 ? 100_000 : 10 + i).fill(i)
  }))
