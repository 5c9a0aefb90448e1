import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Socket from "effect/socket/Socket"
import { TestClock } from "effect/testing"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as ProtocolControl from "../../src/protocol/ProtocolControl.ts"
import * as Status from "../../src/protocol/Status.ts"
import * as UserControl from "../../src/protocol/UserControl.ts"
import * as MemorySocket from "../../src/testing/MemorySocket.ts"
import * as TestClient from "../../src/testing/TestClient.ts"
import * as SessionServer from "../client/SessionServer.ts"

const withClient = <A, E>(
  use: (client: TestClient.TestClient, journal: SessionServer.Journal) => Effect.Effect<A, E>,
  options: SessionServer.SessionServerOptions & MemorySocket.MemorySocketOptions & TestClient.TestClientOptions = {}
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const journal = new SessionServer.Journal()
      const [ours, theirs] = MemorySocket.makePair(options)
      yield* Effect.forkScoped(Effect.ignore(SessionServer.serve(theirs, journal, options)))
      return yield* use(yield* TestClient.make(ours, options), journal)
    })
  )

describe("TestClient", () => {
  for (const digest of [false, true]) {
    it.effect(`follows a script from the handshake to the end of a publish (digest: ${digest})`, () =>
      withClient(
        (client, journal) =>
          Effect.gen(function* () {
            const { kind } = yield* client.handshake
            assert.strictEqual(kind, digest ? "digest-schema1" : "simple")
            yield* client.send(ProtocolControl.setChunkSize(4096))
            yield* client.connect("live", { flashVer: "test" })
            assert.strictEqual(yield* client.createStream, 1)
            assert.strictEqual(yield* client.createStream, 2)
            const status = yield* client.publish(2, "name")
            assert.strictEqual(status.code, "NetStream.Publish.Start")
            const messages = SessionServer.someMedia(6).map((message) => ({ ...message, streamId: 2 }))
            yield* client.send(...messages)
            yield* client.call("deleteStream", [null, 2], { transactionId: 0 })
            yield* client.end
            yield* client.waitForClose
            assert.deepStrictEqual(
              journal.media.map(({ payload }) => payload.length),
              messages.map(({ payload }) => payload.length)
            )
            assert.strictEqual(journal.tags.at(-1), "PublishEnded")
          }),
        { digest, sizes: [1, 500, 3] }
      )
    )
  }

  it.effect("takes messages in any order of waiting, and keeps all that came", () =>
    withClient(
      (client) =>
        Effect.gen(function* () {
          const streamId = yield* client.open("live")
          yield* client.play(streamId, "name")
          const audio = yield* client.waitForMany(5, TestClient.isType(Message.AUDIO))
          assert.deepStrictEqual(
            audio.map(({ timestamp }) => timestamp),
            [20, 60, 100, 140, 180]
          )
          const video = yield* client.waitFor(TestClient.isType(Message.VIDEO))
          assert.strictEqual(video.timestamp, 0)
          yield* client.waitForStatus("NetStream.Play.UnpublishNotify")
          yield* client.waitFor(({ payload, typeId }) => typeId === 4 && payload[1] === UserControl.STREAM_EOF)
          yield* client.waitForClose
          assert.strictEqual(client.received.filter(({ typeId }) => typeId === Message.VIDEO).length, 5)
          assert.isAbove(client.bytesReceived(), 3073)
        }),
      { play: SessionServer.someMedia(10), endPlay: true }
    )
  )

  it.effect("answers no ping by itself", () =>
    withClient((client, journal) =>
      Effect.gen(function* () {
        yield* client.open("live")
        yield* client.send(UserControl.pingRequest(5))
        const pong = yield* client.waitFor(({ payload, typeId }) => typeId === 4 && payload[1] === 7)
        assert.strictEqual(Bytes.hex(pong.payload), "000700000005")
        assert.notInclude(journal.tags, "Anomaly")
      })
    )
  )

  it.effect("tells a refusal by its code", () =>
    withClient(
      (client) =>
        Effect.gen(function* () {
          const streamId = yield* client.open("live")
          const error = yield* Effect.flip(client.publish(streamId, "name"))
          assert.strictEqual(error.reason, "Refused")
          assert.strictEqual(error.code, "NetStream.Publish.BadName")
          yield* client.waitForClose
        }),
      {
        decide: ({ _tag }) =>
          _tag === "PublishRequested" ? Status.error("NetStream.Publish.BadName", "taken") : undefined
      }
    )
  )

  it.effect("gives up waiting after its time, and says what came instead", () =>
    withClient(
      (client) =>
        Effect.gen(function* () {
          yield* client.open("live")
          yield* client.call("FCPublish", [null, "x"], { transactionId: 0 })
          yield* client.waitForCommand("onFCPublish")
          const waiting = yield* Effect.forkChild(Effect.flip(client.waitForCommand("never")))
          const short = yield* Effect.forkChild(Effect.flip(client.waitFor(() => false, "1 second")))
          yield* TestClock.adjust(1_000)
          assert.strictEqual((yield* Fiber.join(short)).reason, "Timeout")
          assert.isUndefined(waiting.pollUnsafe())
          yield* TestClock.adjust(1_000)
          assert.match((yield* Fiber.join(waiting)).message, /the command never: 4 other messages .* Set Chunk Size/)
        }),
      { timeout: "2 seconds" }
    )
  )

  it.effect("fails whoever waits when the connection ends, and whoever comes after", () =>
    withClient((client) =>
      Effect.gen(function* () {
        yield* client.open("live")
        const waiting = yield* Effect.forkChild(Effect.flip(client.waitForCommand("never")))
        yield* TestClock.adjust(1)
        yield* client.sendRaw(Uint8Array.of(0xff))
        assert.strictEqual((yield* Fiber.join(waiting)).reason, "Closed")
        assert.strictEqual((yield* Effect.flip(client.waitForCommand("never"))).reason, "Closed")
        yield* client.waitForClose
      })
    )
  )

  it.effect("sends raw bytes in place of a handshake", () =>
    withClient((client, journal) =>
      Effect.gen(function* () {
        yield* client.sendRaw(Bytes.fromUtf8("GET / HTTP/1.1\r\n\r\n"))
        yield* client.waitForClose
        const [error] = journal.closes
        assert(error?._tag === "HandshakeError")
        assert.strictEqual(error.reason, "HttpOnRtmpPort")
      })
    )
  )

  it.effect("fails where the server sends what cannot be read", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [ours, theirs] = MemorySocket.makePair()
        const writer = yield* theirs.writer
        const client = yield* TestClient.make(ours)
        const handshake = yield* Effect.forkChild(Effect.flip(client.handshake))
        yield* TestClock.adjust(1)
        yield* writer.write("SSH-2.0\r\n")
        assert.strictEqual((yield* Fiber.join(handshake)).reason, "Unreadable")
      })
    )
  )

  it.effect("fails where the socket cannot be connected", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const cause = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1006 }) })
        const socket = Socket.make({ reader: Effect.fail(cause), writer: Effect.never })
        assert.strictEqual((yield* Effect.flip(TestClient.make(socket))).reason, "Closed")
      })
    )
  )
})
