import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import type { StopOptions } from "../../src/server/ServerAdmin.ts"
import type { ServerEvent } from "../../src/server/ServerEvents.ts"
import { StopSignal } from "../../src/server/StopSignal.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { asking, client, events, frames, gated, pass, publisher, settle, viewer } = TestServer

const opening = [Media.videoHeader(), Media.audioHeader(), Media.keyframe(0), Media.audio(0)]

const stopping = (options?: StopOptions) =>
  Effect.gen(function* () {
    const server = yield* RtmpServer
    const fiber = yield* Effect.forkChild(server.stop(options))
    yield* settle
    return fiber
  })

const summary = (log: ReadonlyArray<ServerEvent>) => {
  const stopped = log.flatMap((event) => (event._tag === "ServerStopped" ? [event.summary] : []))
  assert.strictEqual(stopped.length, 1)
  return stopped[0]!
}

describe("a graceful stop", () => {
  it.effect("asks those to move who follow, tells the other publishers, and lets both end with their viewers", () =>
    Effect.gen(function* () {
      const log = yield* events
      const server = yield* RtmpServer
      const follows = yield* asking(1)
      yield* follows.publish(1, "a")
      yield* follows.send(...opening)
      const deaf = yield* publisher("b")
      yield* deaf.send(...opening)
      const ofA = yield* viewer("a")
      const ofB = yield* viewer("b")
      const stop = yield* stopping({ grace: "30 seconds", reconnectTo: "rtmp://other/live" })
      assert.strictEqual(yield* server.lifecycle, "Stopping")
      yield* deaf.waitForStatus("NetConnection.Connect.AppShutdown")
      yield* follows.waitForStatus("NetConnection.Connect.ReconnectRequest")
      yield* follows.send(Media.interFrame(33))
      yield* deaf.send(Media.interFrame(33))
      yield* pass("10 seconds")
      assert.strictEqual(frames(ofB).at(-1), "inter @33")
      // What an encoder does when its stream is over.
      yield* deaf.call("deleteStream", [null, 1])
      yield* deaf.end
      yield* ofB.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* ofB.waitForClose
      yield* ofB.end
      yield* pass("10 seconds")
      assert.strictEqual(frames(ofA).at(-1), "inter @33")
      assert.strictEqual(yield* server.address, undefined)
      // The publisher is connected elsewhere, and unpublishes here; its viewers are told then.
      yield* follows.call("deleteStream", [null, 1])
      yield* follows.end
      yield* ofA.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* ofA.waitForClose
      yield* ofA.end
      yield* settle
      yield* Fiber.join(stop)
      assert.strictEqual(yield* server.lifecycle, "Stopped")
      yield* settle
      const { reasons, ...numbers } = summary(log)
      assert.deepInclude(numbers, {
        connections: 4,
        dropped: 0,
        accepted: 4,
        publications: 2,
        refused: 0,
        stopMs: 20_000
      })
      assert.isAbove(numbers.bytesReceived, 4 * 3_073)
      assert.isAbove(numbers.bytesSent, 4 * 3_073)
      assert.deepStrictEqual(reasons, { ClientClosed: 2, StreamEnded: 2 })
    }).pipe(Effect.provide(TestServer.layer({ publisher: { silentAfter: "1 minute" } })))
  )

  it.effect("gives a publisher that cannot move the grace, and the status that ends encoders then", () =>
    Effect.gen(function* () {
      const log = yield* events
      const deaf = yield* publisher("a")
      yield* deaf.send(...opening)
      const to = yield* viewer("a")
      const stop = yield* stopping({ grace: "20 seconds" })
      yield* deaf.waitForStatus("NetConnection.Connect.AppShutdown")
      yield* pass("17900 millis")
      yield* deaf.send(Media.interFrame(66))
      yield* settle
      assert.strictEqual(frames(to).at(-1), "inter @66")
      yield* pass("200 millis")
      yield* deaf.waitForStatus("NetStream.Publish.Denied")
      yield* to.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* deaf.end
      yield* to.end
      yield* settle
      yield* Fiber.join(stop)
      yield* settle
      assert.deepInclude(summary(log), { connections: 2, dropped: 0 })
    }).pipe(Effect.provide(TestServer.layer({ publisher: { silentAfter: "1 minute" } })))
  )

  it.effect("is not held by viewers who have nothing to see: none published, or the publisher is lost", () =>
    Effect.gen(function* () {
      const lost = yield* publisher("a")
      yield* lost.send(...opening)
      const orphan = yield* viewer("a")
      const early = yield* viewer("b")
      yield* lost.end
      yield* settle
      const stop = yield* stopping({ grace: "30 seconds" })
      for (const idle of [orphan, early]) {
        yield* idle.waitForClose
        yield* idle.end
      }
      yield* settle
      yield* Fiber.join(stop)
    }).pipe(Effect.provide(TestServer.layer({ publisher: { resumeGrace: "1 minute" } })))
  )

  it.effect(
    "tells those who stay to the last, while what waits for them is still sent, and is over with the grace",
    () =>
      Effect.gen(function* () {
        const log = yield* events
        const stays = yield* asking(1)
        yield* stays.publish(1, "a")
        yield* stays.send(...opening)
        const to = yield* viewer("a")
        const stop = yield* stopping({ grace: "20 seconds" })
        yield* stays.send(Media.interFrame(33))
        yield* pass("17900 millis")
        yield* stays.send(Media.interFrame(66))
        yield* settle
        assert.strictEqual(frames(to).at(-1), "inter @66")
        yield* pass("200 millis")
        yield* stays.waitForStatus("NetStream.Publish.Denied")
        yield* to.waitForStatus("NetStream.Play.UnpublishNotify")
        yield* stays.waitForClose
        yield* to.waitForClose
        yield* pass("2 seconds")
        yield* Fiber.join(stop)
        yield* settle
        // The viewer's end was never closed by the viewer.
        assert.deepInclude(summary(log), { dropped: 1, stopMs: 20_000 })
      }).pipe(Effect.provide(TestServer.layer({ publisher: { silentAfter: "1 minute" } })))
  )

  it.effect("is held up by a viewer that does not read no longer than such a one is waited for", () =>
    Effect.gen(function* () {
      const log = yield* events
      const from = yield* publisher("a")
      yield* from.send(...opening)
      const { client: stalled, gate } = yield* gated
      yield* stalled.play(yield* stalled.open("live"), "a")
      yield* settle
      yield* gate.close
      const large = { ...Media.keyframe(40), payload: new Uint8Array(200_000) }
      large.payload.set(Media.keyframe(40).payload)
      // The first is what the viewer had asked for already.
      for (let i = 0; i < 2; i++) {
        yield* from.send(large)
        yield* settle
      }
      const stop = yield* stopping({ grace: "10 minutes" })
      yield* from.call("deleteStream", [null, 1])
      yield* from.end
      yield* pass("31 seconds")
      yield* Fiber.join(stop)
      yield* settle
      assert.deepInclude(summary(log).reasons, { OutboxStalled: 1 })
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("does not wait for a publisher that broke off to come back", () =>
    Effect.gen(function* () {
      const follows = yield* asking(1)
      yield* follows.publish(1, "a")
      yield* follows.send(...opening)
      const to = yield* viewer("a")
      const stop = yield* stopping({ grace: "30 seconds" })
      yield* follows.end
      yield* to.waitForStatus("NetStream.Play.UnpublishNotify")
      yield* to.waitForClose
      yield* to.end
      yield* settle
      yield* Fiber.join(stop)
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("ends at once what is still shaking hands or idle, and nobody new comes in", () =>
    Effect.gen(function* () {
      const early = yield* client
      yield* early.sendRaw(Uint8Array.of(3))
      const idle = yield* client
      yield* idle.open("live")
      const stop = yield* stopping({ grace: "30 seconds" })
      yield* early.waitForClose
      yield* idle.waitForClose
      yield* idle.end
      yield* settle
      yield* Fiber.join(stop)
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("is cut short by a forced one", () =>
    Effect.gen(function* () {
      const log = yield* events
      const server = yield* RtmpServer
      const stays = yield* asking(1)
      yield* stays.publish(1, "a")
      const stop = yield* stopping({ grace: "30 seconds" })
      yield* pass("5 seconds")
      yield* server.stop({ force: true })
      yield* Fiber.join(stop)
      yield* stays.waitForClose
      yield* settle
      assert.deepInclude(summary(log), { connections: 1, dropped: 1, stopMs: 5_000 })
    }).pipe(Effect.provide(TestServer.layer()))
  )

  it.effect("is cut short by the process, and the next run has its grace again", () => {
    const callbacks = new Set<() => void>()
    const signal = {
      onUrgent: (callback: () => void) => {
        callbacks.add(callback)
        return () => callbacks.delete(callback)
      }
    }
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      const first = yield* asking(1)
      yield* first.publish(1, "a")
      const stop = yield* stopping({ grace: "30 seconds" })
      for (const callback of callbacks) callback()
      yield* Fiber.join(stop)
      yield* first.waitForClose
      yield* server.start
      const second = yield* asking(1)
      yield* second.publish(1, "a")
      const again = yield* stopping({ grace: "30 seconds" })
      yield* pass("10 seconds")
      assert.strictEqual(yield* server.lifecycle, "Stopping")
      yield* second.end
      yield* settle
      yield* Fiber.join(again)
    }).pipe(Effect.provide(TestServer.layer()), Effect.provideService(StopSignal, signal))
  })

  it.effect("can be waited for", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const waiting = yield* Effect.forkChild(server.awaitStopped)
      yield* settle
      assert.strictEqual(waiting.pollUnsafe(), undefined)
      yield* server.stop()
      yield* Fiber.join(waiting)
    }).pipe(Effect.provide(TestServer.layer()))
  )
})
