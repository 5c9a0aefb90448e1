/** What of a running server follows the configuration. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as App from "../../src/App.ts"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import { ConfigStore } from "../../src/config/ConfigStore.ts"
import { model, type RtmpConfigInput } from "../../src/config/RtmpConfig.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { client, closes, events, frames, pass, publisher, settle, viewer } = TestServer

const changing = (first: RtmpConfigInput) => {
  const base: RtmpConfigInput = { latency: { mergeWindow: 0 }, shutdown: { grace: 0 } }
  let written: RtmpConfigInput = { ...base, ...first }
  const load = Effect.suspend(() =>
    Effect.fromResult(ConfigSource.load(model, [ConfigSource.fromValues(model.keys, written, "test")]))
  )
  const layer = RtmpServer.layerStarted.pipe(
    Layer.provideMerge(App.layer),
    Layer.provideMerge(MemoryNetwork.layer),
    Layer.provideMerge(ConfigStore.layer(load)),
    Layer.provide(NodeCrypto.layer),
    Layer.provide(Logger.layer([]))
  )
  const change = (next: RtmpConfigInput) =>
    Effect.gen(function* () {
      written = { ...base, ...next }
      const store = yield* ConfigStore
      return yield* store.reload
    })
  return { change, layer }
}

describe("a changed configuration", () => {
  it.effect("holds for admission and publishers at once, and leaves those who are there", () => {
    const { change, layer } = changing({ limits: { maxConnections: 100, maxPublishers: 10 } })
    return Effect.gen(function* () {
      const log = yield* events
      const from = yield* publisher("a")
      yield* from.send(Media.videoHeader(), Media.keyframe(0))
      const to = yield* viewer("a")
      const other = yield* client
      const streamId = yield* other.open("live")
      const { failed } = yield* change({ limits: { maxConnections: 3, maxPublishers: 1 } })
      assert.deepStrictEqual(failed, [])
      const error = yield* Effect.flip(other.publish(streamId, "b"))
      assert.strictEqual(error.code, "NetStream.Publish.Rejected")
      const fourth = yield* client
      yield* fourth.waitForClose
      yield* from.send(Media.interFrame(33))
      yield* settle
      assert.strictEqual(frames(to).at(-1), "inter @33")
      assert.deepInclude(
        log.find((event) => event._tag === "ConnectionRefused"),
        { limit: "connections", max: 3 }
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("holds for sessions that begin after it", () => {
    const { change, layer } = changing({ handshake: { timeout: "10 seconds" } })
    return Effect.gen(function* () {
      const log = yield* events
      const before = yield* client
      yield* settle
      yield* change({ handshake: { timeout: "60 seconds" } })
      const after = yield* client
      yield* pass("11 seconds")
      assert.deepStrictEqual(closes(log), ["HandshakeTimeout in WaitingC0"])
      yield* before.waitForClose
      yield* after.handshake
    }).pipe(Effect.provide(layer))
  })

  it.effect("says whether viewers may wait, and where publishers are sent", () => {
    const { change, layer } = changing({})
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      const log = yield* events
      yield* change({ play: { waitForPublisher: false }, shutdown: { grace: 0, reconnectTo: "rtmp://other/live" } })
      const to = yield* client
      const error = yield* Effect.flip(to.play(yield* to.open("live"), "a"))
      assert.strictEqual(error.code, "NetStream.Play.StreamNotFound")
      yield* client
      yield* settle
      yield* server.drain()
      yield* settle
      assert.deepInclude(
        log.find((event) => event._tag === "ClientsAsked"),
        { reconnectTo: "rtmp://other/live" }
      )
    }).pipe(Effect.provide(layer))
  })
})
