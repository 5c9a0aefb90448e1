import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { StreamRegistry } from "../../src/live/StreamRegistry.ts"
import type { RtmpServer as Server } from "../../src/server/RtmpServer.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { asking, client, closes, events, frames, pass, publisher, settle, viewer } = TestServer

const opening = (at = 0) => [Media.videoHeader(at), Media.audioHeader(at), Media.keyframe(at), Media.audio(at)]

const only = <A>(values: ReadonlyArray<A>): A => {
  assert.strictEqual(values.length, 1)
  return values[0]!
}

describe("connections", () => {
  it.effect("are described with who they are, what they do, and what they got", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      yield* pass("1 minute")
      const from = yield* asking(3, { flashVer: "FMLE/3.0" })
      yield* from.publish(1, "a")
      yield* from.send(...opening())
      yield* settle
      const to = yield* viewer("a")
      yield* from.send(Media.interFrame(33), Media.audio(35))
      yield* settle
      const early = yield* client
      yield* early.sendRaw(Uint8Array.of(3))
      yield* settle
      const [publishing, playing, waiting] = yield* server.connections
      assert.deepInclude(publishing, {
        id: "c1",
        state: "Publishing",
        openedAt: 60_000,
        application: "live",
        flashVer: "FMLE/3.0",
        canReconnect: true,
        publishing: ["live/a"],
        playing: []
      })
      assert.deepInclude(playing, { id: "c2", state: "Subscribing", canReconnect: false, publishing: [] })
      const watched = only(playing!.playing)
      assert.deepInclude(watched, { streamKey: "live/a", started: true, frames: 2, lagMs: 0, queuedBytes: 0 })
      assert.deepStrictEqual(watched.drops, { late: 0, full: 0, orphaned: 0 })
      assert.isAtLeast(playing!.bytesSent, to.bytesReceived())
      assert.deepInclude(waiting, { id: "c3", state: "WaitingC1", application: "", bytesReceived: 1 })
      assert.deepStrictEqual(yield* server.connection("c2"), playing)
      assert.strictEqual(yield* server.connection("c9"), undefined)
      // What the API gives is what JSON gives.
      assert.deepStrictEqual(JSON.parse(JSON.stringify([publishing, playing])), [publishing, playing])
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("have rates over the time since somebody last looked, a second ago or more", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const from = yield* publisher("a")
      yield* pass("10 seconds")
      const rate = Effect.map(server.connections, (all) => only(all).receiveBitsPerSecond)
      const total = Effect.map(server.connections, (all) => only(all).bytesReceived)
      assert.strictEqual(yield* rate, Math.round(((yield* total) * 8) / 10))
      const before = yield* total
      yield* from.send(...Array.from({ length: 100 }, (_, i) => Media.audio(i)))
      yield* pass("500 millis")
      const during = yield* rate
      yield* pass("1500 millis")
      assert.strictEqual(yield* rate, Math.round((((yield* total) - before) * 8) / 2))
      // Too early for a new measurement, the last one was still given.
      assert.strictEqual(during, Math.round((before * 8) / 10))
      yield* pass("4 seconds")
      assert.strictEqual(yield* rate, 0)
    }).pipe(Effect.provide(TestServer.layer()))
  )
})

describe("streams", () => {
  it.effect("are described with their publisher, their viewers, their tracks and what is cached", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const from = yield* publisher("a")
      for (let i = 0; i < 50; i++) {
        if (i % 10 === 0) yield* from.send(Media.videoHeader(i * 100), Media.audioHeader(i * 100))
        yield* from.send(i % 10 === 0 ? Media.keyframe(i * 100) : Media.interFrame(i * 100), Media.audio(i * 100))
        yield* pass("100 millis")
      }
      yield* viewer("a")
      yield* settle
      const stream = only(yield* server.streams)
      assert.deepInclude(stream, {
        key: "live/a",
        application: "live",
        name: "a",
        publisher: "c1",
        state: "Live",
        viewers: 1,
        viewersPeak: 1,
        dry: false,
        disabled: false
      })
      assert.isAtMost(stream.since, 100)
      assert.isAbove(stream.bitsPerSecond, 0)
      assert.isAbove(stream.gop.frames, 0)
      const [video, audio] = stream.tracks
      assert.deepInclude(video, { kind: "video", trackId: 0, codec: "avc1", frames: 50, gaps: 0 })
      assert.approximately(video!.frameRate, 10, 1)
      assert.approximately(video!.keyframeIntervalMs, 1_000, 150)
      assert.deepInclude(audio, { kind: "audio", codec: "mp4a", keyframeIntervalMs: 0 })
      assert.deepStrictEqual(yield* server.stream("live/a"), stream)
      assert.strictEqual(yield* server.stream("live/b"), undefined)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(stream)), stream)
    }).pipe(Effect.provide(TestServer.layer()))
  )
})

describe("kick", () => {
  it.effect("ends a viewer in order, and no one else", () =>
    Effect.gen(function* () {
      const log = yield* events
      const server = yield* RtmpServer
      const from = yield* publisher("a")
      yield* from.send(...opening())
      const unwanted = yield* viewer("a")
      const other = yield* viewer("a")
      assert.isTrue(yield* server.kick("c2", "Go away."))
      yield* unwanted.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* unwanted.waitForClose
      assert.isFalse(yield* server.kick("c9"))
      yield* from.send(Media.interFrame(33))
      yield* pass("11 seconds")
      assert.strictEqual(frames(other).at(-1), "inter @33")
      assert.deepStrictEqual(closes(log), ["Kicked in Subscribing"])
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("ends a publisher by its stream with the status that FFmpeg and OBS understand", () =>
    Effect.gen(function* () {
      const log = yield* events
      const server = yield* RtmpServer
      const from = yield* publisher("a")
      yield* from.send(...opening())
      const to = yield* viewer("a")
      assert.isFalse(yield* server.kickPublisher("live/b"))
      assert.isTrue(yield* server.kickPublisher("live/a", "Wrong show."))
      const status = yield* from.waitForStatus("NetStream.Publish.Denied")
      assert.strictEqual(status.description, "Wrong show.")
      yield* from.waitForClose
      yield* to.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* to.waitForClose
      yield* pass("31 seconds")
      assert.sameMembers([...closes(log)], ["Kicked in Publishing", "StreamEnded in Subscribing"])
      const { live } = yield* server.statistics
      assert.deepStrictEqual([live.publishers, live.viewers, live.streams.length], [0, 0, 0])
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("leaves the other stream of a connection that publishes two", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const from = yield* publisher("a")
      yield* from.publish(yield* from.createStream, "b")
      const other = { ...Media.keyframe(0), streamId: 2 }
      yield* from.send({ ...Media.videoHeader(), streamId: 2 }, other)
      yield* settle
      assert.isTrue(yield* server.kickPublisher("live/a"))
      yield* from.waitForStatus("NetStream.Publish.Denied")
      yield* from.send(Media.keyframe(33), { ...Media.keyframe(40), streamId: 2 })
      yield* settle
      assert.deepStrictEqual(only(yield* server.connections).publishing, ["live/b"])
      assert.strictEqual((yield* server.stream("live/b"))?.tracks[0]?.frames, 2)
    }).pipe(Effect.provide(TestServer.layer()))
  )
})

describe("a disabled stream", () => {
  it.effect("loses its publisher and viewers, refuses new ones, and is as before once it is enabled", () =>
    Effect.gen(function* () {
      const log = yield* events
      const server = yield* RtmpServer
      const from = yield* publisher("a")
      yield* from.send(...opening())
      const to = yield* viewer("a")
      assert.isTrue(yield* server.disableStream("live/a"))
      assert.isFalse(yield* server.disableStream("live/a"))
      yield* from.waitForStatus("NetStream.Publish.Denied")
      yield* from.waitForClose
      yield* to.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* to.waitForClose
      assert.deepStrictEqual(yield* server.disabledStreams, ["live/a"])

      const again = yield* client
      const refused = yield* Effect.flip(again.publish(yield* again.open("live"), "a"))
      assert.strictEqual(refused.code, "NetStream.Publish.Denied")
      yield* again.waitForClose
      const watching = yield* client
      const missing = yield* Effect.flip(watching.play(yield* watching.open("live"), "a"))
      assert.strictEqual(missing.code, "NetStream.Play.StreamNotFound")
      yield* watching.waitForClose
      yield* publisher("b")

      assert.isTrue(yield* server.enableStream("live/a"))
      assert.isFalse(yield* server.enableStream("live/a"))
      const back = yield* publisher("a")
      yield* back.send(...opening())
      yield* viewer("a")
      yield* settle
      assert.strictEqual((yield* server.stream("live/a"))?.viewers, 1)
      yield* pass("31 seconds")
      assert.includeMembers([...closes(log)], ["Kicked in Publishing", "Rejected in Connected"])
      const tags = log.flatMap((event) =>
        event._tag === "StreamDisabled" || event._tag === "StreamEnabled" ? [`${event._tag} ${event.streamKey}`] : []
      )
      assert.deepStrictEqual(tags, ["StreamDisabled live/a", "StreamEnabled live/a"])
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("is not waited for by those who wait already", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const waiting = yield* viewer("a")
      yield* server.disableStream("live/a")
      yield* waiting.waitForClose
      yield* settle
      assert.strictEqual((yield* server.statistics).live.waitingViewers, 0)
    }).pipe(Effect.provide(TestServer.layer()))
  )
})

describe("draining", () => {
  const lifecycle: Effect.Effect<
    { readonly changes: ReadonlyArray<string>; readonly fiber: Fiber.Fiber<void> },
    never,
    Server | StreamRegistry
  > = Effect.gen(function* () {
    const server = yield* RtmpServer
    const changes: Array<string> = []
    const fiber = yield* Effect.forkDetach(
      Stream.runForEach(server.lifecycleChanges, (to) => Effect.sync(() => changes.push(to)))
    )
    yield* settle
    return { changes, fiber }
  })

  it.effect("asks those who follow to move, ends the publishers who do not, and turns newcomers away", () =>
    Effect.gen(function* () {
      const log = yield* events
      const server = yield* RtmpServer
      const { changes, fiber } = yield* lifecycle
      const follows = yield* asking(1)
      yield* follows.publish(1, "a")
      yield* follows.send(...opening())
      const deaf = yield* publisher("b")
      yield* deaf.send(...opening())
      const ofA = yield* viewer("a")
      const ofB = yield* viewer("b")
      const ofNone = yield* viewer("c")
      const idle = yield* client
      yield* idle.open("live")

      yield* server.drain({ reconnectTo: "rtmp://other/live", grace: "30 seconds" })
      assert.strictEqual(yield* server.lifecycle, "Draining")
      yield* follows.waitForStatus("NetConnection.Connect.ReconnectRequest")
      yield* deaf.waitForStatus("NetStream.Publish.Denied")
      yield* deaf.waitForClose
      yield* ofB.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* ofB.waitForClose
      yield* ofNone.waitForClose
      yield* idle.waitForClose

      const newcomer = yield* client
      yield* newcomer.waitForClose
      assert.isDefined(yield* server.address)

      // The stream goes on until its publisher has moved, and ends for its viewers then.
      yield* follows.send(Media.interFrame(33))
      yield* settle
      assert.strictEqual(frames(ofA).at(-1), "inter @33")
      yield* follows.end
      yield* ofA.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* ofA.waitForClose
      yield* pass("40 seconds")
      assert.strictEqual((yield* server.statistics).connections, 0)
      assert.strictEqual(yield* server.lifecycle, "Draining")
      const asked = log.find((event) => event._tag === "ClientsAsked")
      assert.deepInclude(asked, { connections: 6, asked: 1, reconnectTo: "rtmp://other/live" })
      assert.deepInclude(
        log.find((event) => event._tag === "ConnectionRefused"),
        { limit: "draining" }
      )

      yield* server.resume
      assert.strictEqual(yield* server.lifecycle, "Running")
      yield* publisher("a")
      yield* settle
      assert.deepStrictEqual(changes, ["Draining", "Running"])
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("ends those who were asked and stayed, when the grace is over, unless it was taken back before", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const stays = yield* asking(1)
      yield* stays.publish(1, "a")
      yield* server.drain({ grace: "10 seconds" })
      yield* pass("9 seconds")
      yield* server.resume
      yield* pass("10 seconds")
      assert.strictEqual((yield* server.connections).length, 1)
      yield* server.drain({ grace: "10 seconds" })
      yield* pass("9 seconds")
      assert.strictEqual((yield* server.connections)[0]?.state, "Publishing")
      yield* pass("2 seconds")
      yield* stays.waitForStatus("NetStream.Publish.Denied")
      yield* stays.waitForClose
    }).pipe(Effect.provide(TestServer.layer({ session: { pingTimeout: "5 minutes" } })))
  )

  it.effect("lets nothing begin on the connections that stay", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const stays = yield* asking(1)
      yield* stays.publish(1, "a")
      yield* server.drain({ grace: "10 seconds" })
      const error = yield* Effect.flip(stays.publish(yield* stays.createStream, "b"))
      assert.strictEqual(error.code, "NetStream.Publish.Denied")
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("does nothing to a server that does not run", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      yield* server.stop({ force: true })
      yield* server.drain()
      assert.strictEqual(yield* server.lifecycle, "Stopped")
    }).pipe(Effect.provide(TestServer.layer()))
  )
})
