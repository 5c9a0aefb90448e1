import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { AccessDenied, Authenticator } from "../../src/access/Authenticator.ts"
import type { MakeOutbox } from "../../src/live/Distribution.ts"
import { Distribution } from "../../src/live/Distribution.ts"
import { defaultLiveOptions } from "../../src/live/LiveOptions.ts"
import type { Prologue } from "../../src/live/Outbox.ts"
import { Outbox } from "../../src/live/Outbox.ts"
import { StreamRegistry } from "../../src/live/StreamRegistry.ts"
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import { RtmpCrypto } from "../../src/protocol/Crypto.ts"
import * as Handshake from "../../src/protocol/Handshake.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as RtmpUrl from "../../src/protocol/RtmpUrl.ts"
import * as UserControl from "../../src/protocol/UserControl.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import type { TestClient } from "../../src/testing/TestClient.ts"
import { isType } from "../../src/testing/TestClient.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { client, closes, events, frames, pass, publisher, settle, viewer } = TestServer

const opening = (at = 0): ReadonlyArray<Message.Message> => [
  Media.videoHeader(at),
  Media.audioHeader(at),
  Media.keyframe(at),
  Media.audio(at)
]

const userControls = (client: TestClient): ReadonlyArray<string> =>
  client.received
    .filter(isType(Message.USER_CONTROL))
    .map((message) => Result.getOrThrow(UserControl.decode(message.payload))._tag)

describe("a live stream", () => {
  it.effect("reaches a viewer in join order with payloads untouched, and goes on live", () =>
    Effect.gen(function* () {
      const from = yield* publisher("a")
      yield* from.send(...opening(), Media.interFrame(33), Media.audio(35))
      yield* settle
      const to = yield* viewer("a")
      yield* from.send(Media.interFrame(66), Media.audio(70))
      yield* settle
      assert.deepStrictEqual(frames(to), [
        "video header",
        "audio header",
        "key @0",
        "audio @0",
        "inter @33",
        "audio @35",
        "inter @66",
        "audio @70"
      ])
      const received = to.received.filter(isType(Message.VIDEO)).map((message) => Bytes.hex(message.payload))
      assert.deepStrictEqual(
        received,
        [Media.videoHeader(), Media.keyframe(0), Media.interFrame(33), Media.interFrame(66)].map((message) =>
          Bytes.hex(message.payload)
        )
      )
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("ends for its viewers at once when the publisher unpublishes, and each connection closes", () =>
    Effect.gen(function* () {
      const log = yield* events
      const from = yield* publisher("a")
      yield* from.send(...opening())
      const to = yield* viewer("a")
      yield* from.call("deleteStream", [null, 1])
      yield* to.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* to.waitForClose
      assert.include(userControls(to), "StreamEof")
      yield* pass("11 seconds")
      assert.deepStrictEqual(closes(log), ["StreamEnded in Subscribing"])
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("waits for a publisher that vanished, and continues with monotonic timestamps and fresh headers", () =>
    Effect.gen(function* () {
      const connection = yield* Scope.make()
      const first = yield* Scope.provide(publisher("a"), connection)
      yield* first.send(...opening(), Media.interFrame(1_000))
      const to = yield* viewer("a")
      yield* settle
      yield* Scope.close(connection, Exit.void)
      yield* settle
      assert.include(userControls(to), "StreamDry")
      yield* pass("9 seconds")
      const second = yield* publisher("a")
      yield* second.send(...opening(0), Media.interFrame(40))
      yield* settle
      const times = to.received.filter(isType(Message.VIDEO)).map((message) => message.timestamp)
      assert.deepStrictEqual(
        [...times].sort((a, b) => a - b),
        times
      )
      assert.isAbove(times.at(-1)!, 1_000)
      assert.deepStrictEqual(frames(to).slice(5, 7), ["video header", "audio header"])
      assert.include(frames(to)[7], "key")
      yield* to.waitForStatus("NetStream.Play.PublishNotify")
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("ends when a vanished publisher stays away for longer than the grace", () =>
    Effect.gen(function* () {
      const connection = yield* Scope.make()
      const from = yield* Scope.provide(publisher("a"), connection)
      yield* from.send(...opening())
      const to = yield* viewer("a")
      yield* settle
      yield* Scope.close(connection, Exit.void)
      yield* pass("10 seconds")
      yield* to.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* to.waitForClose
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("is dry for its viewers while the publisher is silent, and resumes", () =>
    Effect.gen(function* () {
      const from = yield* publisher("a")
      yield* from.send(...opening())
      const to = yield* viewer("a")
      yield* pass("5 seconds")
      assert.deepStrictEqual(userControls(to), ["StreamBegin", "StreamBegin", "StreamDry"])
      yield* from.send(Media.interFrame(5_000))
      yield* settle
      assert.strictEqual(frames(to).at(-1), "inter @5000")
    }).pipe(Effect.provide(TestServer.layer()))
  )
})

describe("a second publisher of a live name", () => {
  it.effect("is refused with BadName while the first is sending, and the first goes on", () =>
    Effect.gen(function* () {
      const log = yield* events
      const first = yield* publisher("a")
      yield* first.send(...opening())
      const to = yield* viewer("a")
      const second = yield* client
      const error = yield* Effect.flip(second.publish(yield* second.open("live"), "a"))
      assert.strictEqual(error.code, "NetStream.Publish.BadName")
      yield* second.waitForClose
      yield* first.send(Media.interFrame(33))
      yield* pass("11 seconds")
      assert.strictEqual(frames(to).at(-1), "inter @33")
      assert.deepStrictEqual(closes(log), ["PublishConflict in Connected"])
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("takes over a publisher that has been silent for longer than publisher.silentAfter", () =>
    Effect.gen(function* () {
      const log = yield* events
      const first = yield* publisher("a")
      yield* first.send(...opening())
      yield* pass("5 seconds")
      yield* publisher("a")
      yield* first.waitForClose
      yield* pass("11 seconds")
      assert.deepStrictEqual(closes(log), ["TakenOver in Publishing"])
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("takes over at once where the policy is takeover and the credential is the same", () =>
    Effect.gen(function* () {
      const first = yield* publisher("a")
      yield* first.send(...opening())
      yield* publisher("a")
      yield* first.waitForStatus("NetStream.Publish.Denied")
      yield* first.waitForClose
    }).pipe(Effect.provide(TestServer.layer({ publisher: { conflict: "takeover" } }, TestServer.oneUser)))
  )

  it.effect("is refused where the policy is takeover and neither has shown a credential", () =>
    Effect.gen(function* () {
      const log = yield* events
      const first = yield* publisher("a")
      yield* first.send(...opening())
      const viewer = yield* TestServer.viewer("a")
      const second = yield* TestServer.client
      const error = yield* Effect.flip(second.publish(yield* second.open("live"), "a"))
      assert.strictEqual(error.code, "NetStream.Publish.BadName")
      yield* second.waitForClose
      yield* first.send(Media.interFrame(40))
      yield* settle
      assert.strictEqual(frames(viewer).at(-1), "inter @40")
      yield* pass("2 seconds")
      assert.deepStrictEqual(closes(log), ["PublishConflict in Connected"])
    }).pipe(Effect.provide(TestServer.layer({ publisher: { conflict: "takeover" } })))
  )
})

describe("a viewer of a stream that is not live", () => {
  it.effect("is held, and starts when the stream does", () =>
    Effect.gen(function* () {
      const to = yield* viewer("a")
      yield* pass("30 seconds")
      const from = yield* publisher("a")
      yield* from.send(...opening())
      yield* to.waitForStatus("NetStream.Play.PublishNotify")
      yield* settle
      assert.deepStrictEqual(frames(to), ["video header", "audio header", "key @0", "audio @0"])
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("is told StreamNotFound when nobody publishes in time", () =>
    Effect.gen(function* () {
      const to = yield* viewer("a")
      yield* pass("61 seconds")
      yield* to.waitForStatus("NetStream.Play.StreamNotFound")
      yield* to.waitForClose
    }).pipe(Effect.provide(TestServer.layer({ session: { pingTimeout: "5 minutes" } })))
  )

  it.effect("may wait for two streams on one connection and no more", () =>
    Effect.gen(function* () {
      const to = yield* client
      yield* to.play(yield* to.open("live"), "a")
      yield* to.play(yield* to.createStream, "b")
      const error = yield* Effect.flip(to.play(yield* to.createStream, "c"))
      assert.strictEqual(error.code, "NetStream.Play.StreamNotFound")
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("is told StreamNotFound at once where waiting is switched off", () =>
    Effect.gen(function* () {
      const to = yield* client
      const error = yield* Effect.flip(to.play(yield* to.open("live"), "a"))
      assert.strictEqual(error.code, "NetStream.Play.StreamNotFound")
      yield* to.waitForClose
    }).pipe(Effect.provide(TestServer.layer({ play: { waitForPublisher: false } })))
  )
})

describe("a bad connection", () => {
  it.effect("whose handshake is not complete in ten seconds is closed with one event that names the stage", () =>
    Effect.gen(function* () {
      const log = yield* events
      const slow = yield* client
      yield* slow.sendRaw(Uint8Array.of(3, 0, 0))
      yield* pass("9 seconds")
      yield* slow.sendRaw(new Uint8Array(100))
      assert.deepStrictEqual(closes(log), [])
      yield* pass("11 seconds")
      yield* slow.waitForClose
      assert.deepStrictEqual(closes(log), ["HandshakeTimeout in WaitingC1"])
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect.each([
    ["TLS", Bytes.fromHex("160301020001"), "TLS"],
    ["HTTP", Bytes.fromUtf8("GET / HTTP/1.1\r\n\r\n"), "HTTP"],
    ["SSH", Bytes.fromUtf8("SSH-2.0-x\r\n"), "text"]
  ] as const)("that speaks %s is recognised, named and closed at once", ([, bytes, word]) =>
    Effect.gen(function* () {
      const log = yield* events
      const other = yield* client
      yield* other.sendRaw(bytes)
      yield* other.waitForClose
      yield* settle
      const close = log.find((event) => event._tag === "ConnectionClosed")
      assert.strictEqual(close?._tag === "ConnectionClosed" ? close.reason : "", "HandshakeFailed")
      assert.match(close?._tag === "ConnectionClosed" ? close.detail : "", new RegExp(word, "i"))
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("that sends garbage after connect is closed, and neither publisher nor viewer notices", () =>
    Effect.gen(function* () {
      const log = yield* events
      const from = yield* publisher("a")
      yield* from.send(...opening())
      const to = yield* viewer("a")
      const bad = yield* client
      yield* bad.open("live")
      yield* bad.sendRaw(new Uint8Array(64).fill(0xff))
      yield* bad.waitForClose
      yield* from.send(Media.interFrame(33))
      yield* pass("11 seconds")
      assert.strictEqual(frames(to).at(-1), "inter @33")
      assert.deepStrictEqual(closes(log), ["ProtocolViolation in Connected"])
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("is refused over the limit of connections, which its event names", () =>
    Effect.gen(function* () {
      const log = yield* events
      yield* publisher("a")
      const second = yield* client
      yield* second.waitForClose
      yield* settle
      const refused = log.find((event) => event._tag === "ConnectionRefused")
      assert.deepInclude(refused, { limit: "connections", max: 1 })
    }).pipe(Effect.provide(TestServer.layer({ limits: { maxConnections: 1 } })))
  )
})

describe("stopping", () => {
  it.effect("tells viewers the end and publishers an error, waits for them, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const from = yield* publisher("a")
      yield* from.send(...opening())
      const to = yield* viewer("a")
      const waiting = yield* viewer("b")
      const stopping = yield* Effect.forkChild(server.stop())
      yield* from.waitForStatus("NetConnection.Connect.AppShutdown")
      yield* pass("28 seconds")
      yield* to.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* from.waitForStatus("NetStream.Publish.Denied")
      yield* waiting.waitForClose
      yield* to.waitForClose
      yield* from.waitForClose
      yield* pass("11 seconds")
      yield* TestServer.Fiber.join(stopping)
      assert.strictEqual(yield* server.address, undefined)
      const { connections, live } = yield* server.statistics
      assert.deepStrictEqual([connections, live.publishers, live.viewers, live.waitingViewers], [0, 0, 0, 0])
    }).pipe(Effect.provide(TestServer.layer({ shutdown: { grace: "30 seconds" } })))
  )

  it.effect("lets a server be started again", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      yield* server.stop({ force: true })
      yield* server.start
      const from = yield* publisher("a")
      yield* from.send(...opening())
    }).pipe(Effect.provide(TestServer.layer()))
  )
})

describe("a custom server", () => {
  const friends = Layer.succeed(Authenticator, {
    authorize: (request) => {
      if (request.action === "connect") return Effect.succeed({ credential: "" })
      const key = RtmpUrl.parameter(request.query, "key")
      if (key === "crash") return Effect.die("a bug in the authenticator")
      return key === "friend"
        ? Effect.succeed({ credential: key })
        : Effect.fail(new AccessDenied({ reason: "CredentialInvalid", description: "Friends only." }))
    }
  })

  it.effect("decides with its own authenticator who publishes and plays", () =>
    Effect.gen(function* () {
      const log = yield* events
      const from = yield* publisher("a?key=friend")
      yield* from.send(...opening())
      yield* viewer("a?key=friend")
      const stranger = yield* client
      const error = yield* Effect.flip(stranger.publish(yield* stranger.open("live"), "b?key=wrong"))
      assert.deepStrictEqual([error.code, error.detail.includes("Friends only.")], ["NetStream.Publish.Denied", true])
      yield* stranger.waitForClose
      yield* settle
      assert.notInclude(JSON.stringify(log), "wrong")
      assert.notInclude(JSON.stringify(log), "key=")
    }).pipe(Effect.provide(TestServer.layer({}, { authenticator: friends })))
  )

  it.effect("survives a defect of its authenticator, which ends that connection alone", () =>
    Effect.gen(function* () {
      const log = yield* events
      const from = yield* publisher("a?key=friend")
      yield* from.send(...opening())
      const to = yield* viewer("a?key=friend")
      const unlucky = yield* client
      yield* unlucky.call("publish", [null])
      const streamId = yield* unlucky.open("live").pipe(Effect.orElseSucceed(() => 0))
      assert.strictEqual(streamId, 0)
      const crashing = yield* client
      const id = yield* crashing.open("live")
      yield* crashing.call("publish", [null, "c?key=crash", "live"], { streamId: id })
      yield* crashing.waitForClose
      yield* from.send(Media.interFrame(33))
      yield* settle
      assert.strictEqual(frames(to).at(-1), "inter @33")
      assert.include(closes(log), "Defect in Connected")
    }).pipe(Effect.provide(TestServer.layer({}, { authenticator: friends })))
  )

  it.effect("feeds its viewers through outboxes of its own", () => {
    let delivered = 0
    class CountingOutbox extends Outbox {
      override start(prologue: Prologue, nowMs: number): void {
        delivered++
        super.start(prologue, nowMs)
      }
    }
    const distribution = Layer.succeed(Distribution, {
      makeOutbox: (...parts: Parameters<MakeOutbox>) => new CountingOutbox(...parts)
    })
    return Effect.gen(function* () {
      const from = yield* publisher("a")
      yield* from.send(...opening())
      yield* viewer("a")
      yield* viewer("a")
      yield* settle
      assert.strictEqual(delivered, 2)
    }).pipe(Effect.provide(TestServer.layer({}, { distribution })))
  })

  it.effect("survives a defect of an outbox, which ends that viewer's connection alone", () => {
    class FaultyOutbox extends Outbox {
      override drained(nowMs: number): void {
        if (this.id === 1) throw new Error("a bug in the outbox")
        super.drained(nowMs)
      }
    }
    const distribution = Layer.succeed(Distribution, {
      makeOutbox: (...parts: Parameters<MakeOutbox>) => new FaultyOutbox(...parts)
    })
    return Effect.gen(function* () {
      const log = yield* events
      const from = yield* publisher("a")
      yield* from.send(...opening())
      const unlucky = yield* viewer("a")
      const lucky = yield* viewer("a")
      yield* from.send(Media.interFrame(33))
      yield* settle
      yield* from.send(Media.interFrame(66))
      yield* settle
      yield* unlucky.waitForClose
      assert.strictEqual(frames(lucky).at(-1), "inter @66")
      yield* settle
      assert.deepStrictEqual(closes(log), ["Defect in Subscribing"])
    }).pipe(Effect.provide(TestServer.layer({}, { distribution })))
  })

  it.effect("shakes hands in its own way, and keeps streams in its own registry", () => {
    let handshakes = 0
    const keys: Array<string> = []
    const handshake = Layer.effect(
      Handshake.Handshake,
      Effect.map(RtmpCrypto, (crypto) =>
        Handshake.Handshake.of({
          make: (options) => {
            handshakes++
            return Handshake.make({ ...options, crypto })
          }
        })
      )
    )
    const registry = Layer.effect(
      StreamRegistry,
      Effect.map(StreamRegistry, (inner) => ({
        ...bind(inner),
        claim: (key: string, options: Parameters<typeof inner.claim>[1]) => {
          keys.push(key)
          return inner.claim(`tenant/${key}`, options)
        },
        subscribe: (key: string, options: Parameters<typeof inner.subscribe>[1]) =>
          inner.subscribe(`tenant/${key}`, options)
      }))
    ).pipe(Layer.provide(StreamRegistry.layerWith({ ...defaultLiveOptions, mergeWindowMs: 0 })))
    return Effect.gen(function* () {
      const inside = yield* StreamRegistry
      const from = yield* publisher("a")
      yield* from.send(...opening())
      const to = yield* viewer("a")
      yield* settle
      assert.deepStrictEqual(frames(to), ["video header", "audio header", "key @0", "audio @0"])
      assert.isAtLeast(handshakes, 2)
      assert.deepStrictEqual(keys, ["live/a"])
      assert.strictEqual(inside.get("tenant/live/a")?.key, "tenant/live/a")
    }).pipe(Effect.provide(TestServer.layer({}, { handshake, registry })))
  })
})

/** A registry's functions as plain members, to be replaced one by one. */
const bind = (inner: StreamRegistry["Service"]): StreamRegistry["Service"] => ({
  options: inner.options,
  nowMs: () => inner.nowMs(),
  claim: (key, options) => inner.claim(key, options),
  subscribe: (key, options) => inner.subscribe(key, options),
  get: (key) => inner.get(key),
  flush: (nowMs) => inner.flush(nowMs),
  tick: (nowMs) => inner.tick(nowMs),
  nextDeadlineMs: () => inner.nextDeadlineMs(),
  close: (nowMs) => inner.close(nowMs),
  reconfigure: (options) => inner.reconfigure(options),
  statistics: (nowMs) => inner.statistics(nowMs),
  sampleLag: (into) => inner.sampleLag(into),
  meters: inner.meters
})

describe("statistics", () => {
  it.effect("count handshakes whose C2 does not repeat S1, and messages of unknown types", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const polite = yield* client
      yield* polite.open("live")
      const sloppy = yield* client
      const hello = new Uint8Array(1537)
      hello[0] = 3
      yield* sloppy.sendRaw(hello)
      yield* sloppy.sendRaw(new Uint8Array(1536))
      yield* polite.send({ typeId: 99, streamId: 0, chunkStreamId: 3, timestamp: 0, payload: Uint8Array.of(1) })
      yield* settle
      const { echoMismatches, handshakesCompleted, unknownMessages } = yield* server.statistics
      assert.deepStrictEqual([handshakesCompleted, echoMismatches, unknownMessages], [2, 1, 1])
    }).pipe(Effect.provide(TestServer.layer()))
  )
})

describe("capabilities", () => {
  it.effect("of the client reach the server's events", () =>
    Effect.gen(function* () {
      const log = yield* events
      const one = yield* client
      yield* one.handshake
      yield* one.connect("live", { flashVer: "FMLE/3.0", fourCcList: Amf.strictArray(["*"]) })
      yield* settle
      assert.deepInclude(
        log.find((event) => event._tag === "ClientConnected"),
        { application: "live", flashVer: "FMLE/3.0" }
      )
    }).pipe(Effect.provide(TestServer.layer()))
  )
})
