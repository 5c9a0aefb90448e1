import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as App from "../../src/App.ts"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import { Transport, TransportError } from "../../src/server/Transport.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { client, frames, pass, publisher, settle, viewer } = TestServer

/** A network whose listeners die when told, and whose ports can be taken meanwhile. */
const fragile = () => {
  const listeners: Array<Deferred.Deferred<TransportError>> = []
  const ports: Array<number> = []
  const closed: Array<number> = []
  // The network in memory has one port, which stays bound below all listeners of one run.
  const network = { failures: 0, isBound: false }
  const transport = Layer.effect(
    Transport,
    Effect.map(Transport, (inner) =>
      Transport.of({
        listen: (options, handle) =>
          Effect.gen(function* () {
            ports.push(options.port)
            if (network.failures > 0) {
              network.failures--
              return yield* new TransportError({ reason: "AddressInUse", detail: `port ${options.port} is in use` })
            }
            const index = listeners.push(Deferred.makeUnsafe()) - 1
            if (!network.isBound) {
              yield* inner.listen(options, handle)
              network.isBound = true
              yield* Effect.addFinalizer(() =>
                Effect.sync(() => {
                  network.isBound = false
                })
              )
            }
            return {
              address: { host: options.host, port: options.port === 0 ? 41_000 : options.port },
              close: Effect.sync(() => {
                closed.push(index)
              }),
              died: Deferred.await(listeners[index]!)
            }
          })
      })
    )
  )
  const kill = (index: number) =>
    Effect.andThen(
      Deferred.succeed(listeners[index]!, new TransportError({ reason: "ListenFailed", detail: "accept failed" })),
      settle
    )
  const layer = App.layer.pipe(
    Layer.provide(transport),
    Layer.provideMerge(MemoryNetwork.layer),
    Layer.provide([
      NodeCrypto.layer,
      RtmpConfig.layer({ latency: { mergeWindow: 0 }, shutdown: { grace: 0 }, listen: { port: 0 } })
    ]),
    Layer.provide(Logger.layer([]))
  )
  return { closed, kill, layer, network, ports }
}

describe("a listener that dies", () => {
  it.effect("is opened anew at the same port, and no connection notices", () => {
    const { closed, kill, layer, ports } = fragile()
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      yield* server.start
      const from = yield* publisher("a")
      yield* from.send(Media.videoHeader(), Media.keyframe(0))
      const to = yield* viewer("a")
      yield* kill(0)
      assert.strictEqual(yield* server.address, undefined)
      assert.deepStrictEqual(closed, [0])
      const [waiting] = yield* server.components
      assert.deepInclude(waiting, { name: "listener", state: "Waiting", lastError: "accept failed" })
      yield* from.send(Media.interFrame(33))
      yield* pass("1 second")
      assert.deepStrictEqual(ports, [0, 41_000])
      assert.strictEqual((yield* server.address)?.port, 41_000)
      assert.deepInclude((yield* server.components)[0], { state: "Running", restarts: 1 })
      assert.strictEqual(yield* server.lifecycle, "Running")
      yield* from.send(Media.interFrame(66))
      yield* settle
      assert.strictEqual(frames(to).at(-1), "inter @66")
      yield* viewer("a")
      // The next one is watched as well.
      yield* kill(1)
      yield* pass("1 second")
      assert.deepStrictEqual(closed, [0, 1])
      yield* viewer("a")
      assert.strictEqual((yield* server.statistics).connections, 4)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is tried again for as long as it takes", () => {
    const { kill, layer, network, ports } = fragile()
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      yield* server.start
      network.failures = 4
      yield* kill(0)
      for (let i = 0; i < 100; i++) yield* pass("100 millis")
      assert.deepStrictEqual(ports, [0, 41_000, 41_000, 41_000, 41_000, 41_000])
      assert.deepInclude((yield* server.components)[0], { state: "Running", restarts: 5 })
      yield* Effect.flatMap(client, (it) => it.handshake)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is not opened again by a server that stops meanwhile", () => {
    const { kill, layer, ports } = fragile()
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      yield* server.start
      yield* kill(0)
      yield* server.stop()
      yield* pass("1 minute")
      assert.deepStrictEqual(ports, [0])
      assert.deepInclude((yield* server.components)[0], { name: "listener", state: "Stopped" })
      yield* server.start
      assert.deepStrictEqual(ports, [0, 0])
    }).pipe(Effect.provide(layer))
  })
})

describe("a listener that dies while the server stops", () => {
  it.effect("is not opened again, however long the stop takes", () => {
    const { kill, layer, ports } = fragile()
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      yield* server.start
      const stays = yield* TestServer.asking(1)
      yield* stays.publish(1, "a")
      yield* kill(0)
      const stopping = yield* Effect.forkChild(server.stop({ grace: "10 seconds" }))
      yield* pass("5 seconds")
      assert.strictEqual(yield* server.lifecycle, "Stopping")
      assert.deepStrictEqual(ports, [0])
      yield* stays.end
      yield* settle
      yield* Fiber.join(stopping)
    }).pipe(Effect.provide(layer))
  })
})

describe("a listener that cannot be opened", () => {
  it.effect("fails the start with the way out, and leaves a server that can be started", () => {
    const { layer, network } = fragile()
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      network.failures = 1
      const error = yield* Effect.flip(server.start)
      assert.strictEqual(error.reason, "AddressInUse")
      assert.include(error.message, "port 0 is in use")
      assert.include(error.message, "listen.port (RTMP_LISTEN_PORT)")
      assert.strictEqual(yield* server.lifecycle, "Stopped")
      yield* server.start
      assert.strictEqual(yield* server.lifecycle, "Running")
    }).pipe(Effect.provide(layer))
  })
})
