import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Socket from "effect/socket/Socket"
import { TestClock } from "effect/testing"
import { RtmpClient } from "../../src/client/RtmpClient.ts"
import { RtmpClientError } from "../../src/client/RtmpClientError.ts"
import { RtmpDialer } from "../../src/client/RtmpDialer.ts"
import * as NodeClient from "../../src/node/NodeClient.ts"
import type { Message } from "../../src/protocol/Message.ts"
import { SessionError } from "../../src/protocol/Session.ts"
import * as Status from "../../src/protocol/Status.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as SessionServer from "./SessionServer.ts"

const url = "rtmp://host/live/stream?key=secret"

/** A client whose every dial gets a connection in memory to a server of its own. */
const withServer = <A, E>(
  use: (client: RtmpClient["Service"], journal: SessionServer.Journal) => Effect.Effect<A, E>,
  options: SessionServer.SessionServerOptions & MemorySocket.MemorySocketOptions = {}
) =>
  Effect.gen(function* () {
    const journal = new SessionServer.Journal()
    const scope = yield* Effect.scope
    const dialer = Layer.succeed(RtmpDialer, {
      dial: () =>
        Effect.suspend(() => {
          const [ours, theirs] = MemorySocket.makePair(options)
          return Effect.as(Effect.forkIn(Effect.ignore(SessionServer.serve(theirs, journal, options)), scope), ours)
        })
    })
    const layer = RtmpClient.layer.pipe(Layer.provide([NodeClient.layerSession, dialer]))
    return yield* Effect.flatMap(RtmpClient, (client) => use(client, journal)).pipe(Effect.provide(layer))
  })

/** A client on one end of a pair of sockets, and the other end. */
const withSocket = <A, E>(use: (client: RtmpClient["Service"], peer: Socket.Socket) => Effect.Effect<A, E>) => {
  const [ours, theirs] = MemorySocket.makePair()
  const layer = RtmpClient.layer.pipe(
    Layer.provide([NodeClient.layerSession, RtmpDialer.layerSocket]),
    Layer.provide(Layer.succeed(Socket.Socket, ours))
  )
  return Effect.flatMap(RtmpClient, (client) => use(client, theirs)).pipe(Effect.provide(layer))
}

/** A socket whose reader gives nothing more once this has happened on the server. */
const deafAfter = (socket: Socket.Socket, journal: SessionServer.Journal, tag: string): Socket.Socket =>
  Socket.make({
    reader: Effect.map(socket.reader, (reader) => ({
      ...reader,
      pull: Effect.suspend(() => (journal.tags.includes(tag) ? Effect.never : reader.pull))
    })),
    writer: socket.writer
  })

const batchesOf = (messages: ReadonlyArray<Message>, size: number): ReadonlyArray<ReadonlyArray<Message>> =>
  Array.from({ length: Math.ceil(messages.length / size) }, (_, i) => messages.slice(i * size, (i + 1) * size))

const fields = ({ payload, timestamp, typeId }: Message) => [typeId, timestamp, payload.length, payload[0]]

const errorOf = <A, E>(exit: Exit.Exit<A, E>): E => {
  assert(Exit.isFailure(exit))
  const failure = exit.cause.reasons.find(Cause.isFailReason)
  assert(failure !== undefined)
  return failure.error
}

const clientError = <A, E>(exit: Exit.Exit<A, E>): RtmpClientError => {
  const error = errorOf(exit)
  assert(error instanceof RtmpClientError)
  return error
}

class SourceFailed extends Data.TaggedError("SourceFailed") {}

const Sizes = Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 20_000 })))

describe("RtmpClient", () => {
  describe("publish", () => {
    it.effect("brings every message to the server and ends the stream in order", () =>
      withServer((client, journal) =>
        Effect.gen(function* () {
          const messages = SessionServer.someMedia(40)
          yield* client.publish(url, Stream.fromIterable(batchesOf(messages, 7)))
          assert.deepStrictEqual(journal.media.map(fields), messages.map(fields))
          assert.deepStrictEqual(
            journal.tags.filter((tag) => tag !== "Media"),
            ["HandshakeCompleted", "ConnectRequested", "PublishRequested", "PublishEnded"]
          )
          const request = journal.requests[1]
          assert(request?._tag === "PublishRequested")
          assert.strictEqual(request.request.stream, "stream")
          assert.strictEqual(request.request.query, "key=secret")
          assert.strictEqual(journal.disconnects, 1)
        })
      )
    )

    it.effect("ends in order with no media at all", () =>
      withServer((client, journal) =>
        Effect.gen(function* () {
          yield* client.publish(url, Stream.empty)
          assert.strictEqual(journal.tags.at(-1), "PublishEnded")
        })
      )
    )

    it.effect("does not start the source before the server has agreed", () =>
      withServer(
        (client) =>
          Effect.gen(function* () {
            let started = false
            const source = Stream.suspend(() => {
              started = true
              return Stream.empty
            })
            const error = clientError(yield* Effect.exit(client.publish(url, source)))
            assert.strictEqual(error.reason, "StreamRejected")
            assert.strictEqual(error.code, "NetStream.Publish.BadName")
            assert.isFalse(started)
          }),
        {
          decide: ({ _tag }) =>
            _tag === "PublishRequested" ? Status.error("NetStream.Publish.BadName", "taken") : undefined
        }
      )
    )

    it.effect("fails with the source's own error, and ends the stream in order", () =>
      withServer((client, journal) =>
        Effect.gen(function* () {
          const source = Stream.concat(Stream.make(SessionServer.someMedia(3)), Stream.fail(new SourceFailed()))
          assert.instanceOf(errorOf(yield* Effect.exit(client.publish(url, source))), SourceFailed)
          assert.strictEqual(journal.media.length, 3)
          assert.strictEqual(journal.tags.at(-1), "PublishEnded")
        })
      )
    )

    it.effect("ends the stream in order when it is interrupted", () =>
      withServer((client, journal) =>
        Effect.gen(function* () {
          const sent = yield* Deferred.make<void>()
          const source = Stream.concat(
            Stream.make(SessionServer.someMedia(2)),
            Stream.fromEffect(Effect.andThen(Deferred.succeed(sent, undefined), Effect.never))
          )
          const fiber = yield* Effect.forkChild(client.publish(url, source))
          yield* Deferred.await(sent)
          yield* Fiber.interrupt(fiber)
          assert.strictEqual(journal.tags.at(-1), "PublishEnded")
        })
      )
    )

    it.effect("fails with the server's reason when it is kicked in the middle", () =>
      withServer(
        (client) =>
          Effect.gen(function* () {
            const source = Stream.concat(Stream.make(SessionServer.someMedia(6)), Stream.never)
            const error = clientError(yield* Effect.exit(client.publish(url, source)))
            assert.strictEqual(error.reason, "StreamFailed")
            assert.strictEqual(error.code, "NetStream.Publish.Rejected")
            assert.match(error.message, /maintenance/)
          }),
        {
          onMedia: (session, count) =>
            count < 3
              ? []
              : session.kick(
                  1,
                  Status.error("NetStream.Publish.Rejected", "maintenance"),
                  new SessionError({ reason: "Kicked", detail: "maintenance" })
                )
        }
      )
    )

    it.effect("waits while the server does not read, and can be interrupted then", () =>
      withSocket((client, peer) =>
        Effect.scoped(
          Effect.gen(function* () {
            const journal = new SessionServer.Journal()
            const started = yield* Deferred.make<void>()
            let pulled = 0
            const stalled = deafAfter(peer, journal, "PublishRequested")
            yield* Effect.forkScoped(Effect.ignore(SessionServer.serve(stalled, journal)))
            const source = Stream.tap(Stream.forever(Stream.make(SessionServer.someMedia(10))), () =>
              Effect.andThen(
                Effect.sync(() => {
                  pulled++
                }),
                Deferred.succeed(started, undefined)
              )
            )
            const fiber = yield* Effect.forkChild(client.publish(url, source))
            yield* Deferred.await(started)
            yield* TestClock.adjust(60_000)
            assert.strictEqual(pulled, 1)
            yield* Effect.forkChild(Fiber.interrupt(fiber))
            yield* TestClock.adjust(5_000)
            assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
          })
        )
      )
    )
  })

  describe("play", () => {
    it.effect("gives every message of the stream and ends when the server says so", () => {
      const messages = SessionServer.someMedia(40)
      return withServer(
        (client, journal) =>
          Effect.gen(function* () {
            const batches = yield* Stream.runCollect(client.play(url))
            const [sampleAccess, ...got] = batches.flat()
            assert.strictEqual(sampleAccess?.typeId, 18)
            assert.deepStrictEqual(got.map(fields), messages.map(fields))
            for (const batch of batches) assert.isAbove(batch.length, 0)
            assert.strictEqual(journal.requests[1]?._tag, "PlayRequested")
          }),
        { play: messages, endPlay: true }
      )
    })

    it.effect.prop(
      "gives the same messages however the bytes are cut",
      { sizes: Sizes },
      ({ sizes }) =>
        withServer(
          (client) =>
            Effect.gen(function* () {
              const got = (yield* Stream.runCollect(client.play(url))).flat().slice(1)
              assert.deepStrictEqual(got.map(fields), SessionServer.someMedia(12).map(fields))
            }),
          { play: SessionServer.someMedia(12), endPlay: true, sizes }
        ),
      { arbitrary: { runs: 20 } }
    )

    it.effect("leaves the server in order when it is no longer wanted", () =>
      withServer(
        (client, journal) =>
          Effect.gen(function* () {
            const first = yield* Stream.runCollect(Stream.take(client.play(url), 1))
            assert.strictEqual(first.length, 1)
            assert.strictEqual(journal.tags.at(-1), "PlayEnded")
            assert.strictEqual(journal.disconnects, 1)
          }),
        { play: SessionServer.someMedia(2) }
      )
    )

    it.effect("fails with the server's code when there is no such stream", () =>
      withServer(
        (client) =>
          Effect.gen(function* () {
            const error = clientError(yield* Effect.exit(Stream.runDrain(client.play(url))))
            assert.strictEqual(error.reason, "StreamRejected")
            assert.strictEqual(error.code, "NetStream.Play.StreamNotFound")
          }),
        {
          decide: ({ _tag }) =>
            _tag === "PlayRequested" ? Status.error("NetStream.Play.StreamNotFound", "no such stream") : undefined
        }
      )
    )

    it.effect("does not read ahead of whoever consumes it", () =>
      withServer(
        (client, journal) =>
          Effect.gen(function* () {
            const written: Array<number> = []
            yield* Stream.runForEach(Stream.take(client.play(url), 3), () =>
              Effect.andThen(
                TestClock.adjust(1),
                Effect.sync(() => written.push(journal.written))
              )
            )
            // All of it is 2 MB. What the socket holds, and the message that crosses its mark, may be on the way.
            for (const bytes of written) assert.isBelow(bytes, 300_000)
          }),
        { play: SessionServer.someMedia(100) }
      )
    )

    it.effect("pings a silent server, and fails when it stays silent", () =>
      withSocket((client, peer) =>
        Effect.scoped(
          Effect.gen(function* () {
            const journal = new SessionServer.Journal()
            const playing = yield* Deferred.make<void>()
            yield* Effect.forkScoped(
              Effect.ignore(SessionServer.serve(deafAfter(peer, journal, "PlayRequested"), journal))
            )
            const media = Stream.tap(client.play(url, { silenceTimeoutMs: 20_000 }), () =>
              Deferred.succeed(playing, undefined)
            )
            const fiber = yield* Effect.forkChild(Effect.exit(Stream.runDrain(media)))
            yield* Deferred.await(playing)
            yield* TestClock.adjust(19_999)
            assert.isUndefined(fiber.pollUnsafe())
            yield* TestClock.adjust(1)
            assert.strictEqual(clientError(yield* Fiber.join(fiber)).reason, "Timeout")
          })
        )
      )
    )

    it.effect("is kept alive through silence by the answers to its pings", () =>
      withServer((client) =>
        Effect.gen(function* () {
          const playing = yield* Deferred.make<void>()
          const media = Stream.tap(client.play(url, { silenceTimeoutMs: 20_000 }), () =>
            Deferred.succeed(playing, undefined)
          )
          const fiber = yield* Effect.forkChild(Stream.runDrain(media))
          yield* Deferred.await(playing)
          for (let i = 0; i < 20; i++) yield* TestClock.adjust(5_000)
          assert.isUndefined(fiber.pollUnsafe())
          yield* Fiber.interrupt(fiber)
        })
      )
    )

    it.effect("copies a stream from one server to another as source of a publish", () =>
      withServer(
        (client, journal) =>
          Effect.gen(function* () {
            yield* client.publish("rtmp://there/live/copy", client.play("rtmp://here/live/original"))
            assert.deepStrictEqual(journal.media.slice(1).map(fields), SessionServer.someMedia(30).map(fields))
          }),
        { play: SessionServer.someMedia(30), endPlay: true }
      )
    )
  })

  describe("both", () => {
    for (const [text, detail] of [
      ["http://host/live/stream", /rtmp:/],
      ["rtmp://host/", /path/],
      ["rtmp://:1935/live/stream", /host/]
    ] as const) {
      it.effect(`refuse ${text} without dialling`, () =>
        withServer((client, journal) =>
          Effect.gen(function* () {
            for (const exit of [
              yield* Effect.exit(client.publish(text, Stream.never)),
              yield* Effect.exit(Stream.runDrain(client.play(text)))
            ]) {
              assert.strictEqual(clientError(exit).reason, "InvalidUrl")
              assert.match(clientError(exit).message, detail)
            }
            assert.strictEqual(journal.tags.length, 0)
          })
        )
      )
    }

    it.effect("fail with the code of a refused connect, and never with the key of the URL", () =>
      withServer(
        (client) =>
          Effect.gen(function* () {
            for (const exit of [
              yield* Effect.exit(client.publish(url, Stream.never)),
              yield* Effect.exit(Stream.runDrain(client.play(url)))
            ]) {
              assert.strictEqual(clientError(exit).reason, "ConnectRejected")
              assert.strictEqual(clientError(exit).code, "NetConnection.Connect.Rejected")
              assert.notMatch(clientError(exit).message, /secret/)
            }
          }),
        { decide: () => Status.error("NetConnection.Connect.Rejected", "closed today") }
      )
    )

    it.effect("give up on a server that never answers", () =>
      withSocket((client) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(Effect.exit(client.publish(url, Stream.never)))
          yield* TestClock.adjust(9_999)
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust(1)
          assert.strictEqual(clientError(yield* Fiber.join(fiber)).reason, "Timeout")
        })
      )
    )

    it.effect("give up on a server that cannot be reached in time", () => {
      const socket = Socket.make({ reader: Effect.never, writer: Effect.never })
      const layer = RtmpClient.layer.pipe(
        Layer.provide([NodeClient.layerSession, RtmpDialer.layerSocket]),
        Layer.provide(Layer.succeed(Socket.Socket, socket))
      )
      return Effect.gen(function* () {
        const client = yield* RtmpClient
        const fiber = yield* Effect.forkChild(Effect.exit(Stream.runDrain(client.play(url, { startTimeoutMs: 3_000 }))))
        yield* TestClock.adjust(3_000)
        const error = clientError(yield* Fiber.join(fiber))
        assert.strictEqual(error.reason, "Timeout")
        assert.match(error.message, /not connected after 3 s/)
      }).pipe(Effect.provide(layer))
    })

    it.effect("say what they found instead of an RTMP server", () =>
      withSocket((client, peer) =>
        Effect.scoped(
          Effect.gen(function* () {
            const writer = yield* peer.writer
            yield* writer.write("HTTP/1.1 400 Bad Request\r\n\r\n")
            const error = clientError(yield* Effect.exit(client.publish(url, Stream.never)))
            assert.strictEqual(error.reason, "HandshakeFailed")
            assert.match(error.message, /HTTP/)
          })
        )
      )
    )

    it.effect("fail when the connection ends in the middle", () =>
      withSocket((client, peer) =>
        Effect.gen(function* () {
          yield* Effect.scoped(peer.writer)
          const error = clientError(yield* Effect.exit(Stream.runDrain(client.play(url))))
          assert.strictEqual(error.reason, "ConnectionLost")
        })
      )
    )
  })
})
