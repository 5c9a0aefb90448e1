import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as App from "../../src/App.ts"
import { RtmpConfig, type RtmpConfigInput } from "../../src/config/RtmpConfig.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import { Health } from "../../src/observability/Health.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as ServerHealth from "../../src/server/ServerHealth.ts"
import { type ListenOptions, Transport, TransportError } from "../../src/server/Transport.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"
import * as TestServer from "../support/TestServer.ts"

/** A network that notes what is listened on, in which the listener with TLS accepts, and either can die. */
const noted = (config: RtmpConfigInput) => {
  const opened: Array<ListenOptions> = []
  const closed: Array<string> = []
  const died: Array<Deferred.Deferred<TransportError>> = []
  const failing = new Set<number>()
  const balancers = { waiting: 0 }
  const transport = Layer.effect(
    Transport,
    Effect.map(Transport, (inner) =>
      Transport.of({
        listen: (options, handle) =>
          Effect.gen(function* () {
            opened.push(options)
            if (failing.has(options.port)) {
              return yield* new TransportError({ reason: "AddressInUse", detail: `port ${options.port} is in use` })
            }
            if (options.secure === true) yield* inner.listen(options, handle)
            const death = Deferred.makeUnsafe<TransportError>()
            died.push(death)
            return {
              address: { host: options.host, port: options.port },
              close: Effect.sync(() => {
                closed.push(`${options.port}`)
              }),
              died: Deferred.await(death),
              waiting: () => balancers.waiting
            }
          })
      })
    )
  )
  const layer = ServerHealth.layer.pipe(
    Layer.provideMerge(App.layer),
    Layer.provide(transport),
    Layer.provideMerge([
      MemoryNetwork.layer,
      Health.layer,
      NodeCrypto.layer,
      RtmpConfig.layer({ shutdown: { grace: 0 }, ...config })
    ]),
    Layer.provide(Logger.layer([]))
  )
  return { balancers, closed, died, failing, layer, opened }
}

const tls = { enabled: true, selfSigned: true }

describe("a server with several listeners", () => {
  it.effect("opens RTMP and RTMPS, names both, and says of a connection to which it came", () => {
    const { closed, layer, opened } = noted({ tls, listen: { proxyProtocol: { trusted: "10.0.0.0/8" } } })
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      const log = yield* TestServer.events
      assert.deepStrictEqual(yield* server.addresses, [])
      assert.deepStrictEqual(yield* server.start, { host: "0.0.0.0", port: 1935 })
      assert.deepStrictEqual(yield* server.addresses, [
        { protocol: "rtmp", host: "0.0.0.0", port: 1935 },
        { protocol: "rtmps", host: "0.0.0.0", port: 1936 }
      ])
      assert.deepStrictEqual(
        opened.map(({ port, proxyProtocol, secure }) => [port, secure ?? false, proxyProtocol?.trusted]),
        [
          [1935, false, ["10.0.0.0/8"]],
          [1936, true, ["10.0.0.0/8"]]
        ]
      )
      yield* (yield* TestServer.client).open("live")
      const came = log.find((event) => event._tag === "ConnectionOpened")
      assert.strictEqual(came?.listener, "rtmps")
      yield* server.stop()
      assert.deepStrictEqual(closed, ["1935", "1936"])
      assert.deepStrictEqual(yield* server.addresses, [])
    }).pipe(Effect.provide(layer))
  })

  it.effect.each([
    { limits: { maxConnections: 3 }, limit: "connections" },
    { limits: { maxPendingHandshakes: 3 }, limit: "handshakes" }
  ])("counts those among its $limit whom a load balancer has not named yet", ({ limit, limits }) => {
    const { balancers, layer, opened } = noted({ tls, limits, listen: { enabled: false } })
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      const log = yield* TestServer.events
      yield* server.start
      assert.strictEqual(opened[0]!.proxyProtocol?.maxWaiting, "maxPendingHandshakes" in limits ? 3 : 1_000)
      const refused = () => log.flatMap((event) => (event._tag === "ConnectionRefused" ? [event.limit] : []))
      balancers.waiting = 2
      yield* TestServer.client
      yield* TestServer.settle
      assert.deepStrictEqual(refused(), [])
      yield* (yield* TestServer.client).waitForClose
      yield* TestServer.settle
      assert.deepStrictEqual(refused(), [limit])
      balancers.waiting = 0
      yield* (yield* TestServer.client).open("live")
    }).pipe(Effect.provide(layer))
  })

  it.effect("can have RTMPS alone, whose address is then the first", () => {
    const { layer } = noted({ listen: { enabled: false }, tls: { ...tls, port: 443 } })
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      yield* server.start
      assert.deepStrictEqual(yield* server.address, { host: "0.0.0.0", port: 443 })
      assert.strictEqual((yield* server.addresses).length, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("does not start with half of them: what was open is closed where another cannot be opened", () => {
    const { failing, layer } = noted({ tls })
    failing.add(1936)
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      const error = yield* Effect.flip(server.start)
      assert.strictEqual(error.reason, "AddressInUse")
      assert.include(error.message, "tls.port (RTMP_TLS_PORT)")
      assert.notInclude(error.message, "listen.")
      assert.deepStrictEqual([yield* server.lifecycle, yield* server.address], ["Stopped", undefined])
      failing.clear()
      yield* server.start
      assert.strictEqual((yield* server.addresses).length, 2)
    }).pipe(Effect.provide(layer))
  })

  it.effect("opens one anew that dies, under its name, while the other goes on", () => {
    const { died, failing, layer, opened } = noted({ tls })
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      yield* server.start
      failing.add(1936)
      yield* Deferred.succeed(died[1]!, new TransportError({ reason: "ListenFailed", detail: "gone" }))
      yield* TestServer.settle
      assert.deepStrictEqual(
        (yield* server.addresses).map(({ protocol }) => protocol),
        ["rtmp"]
      )
      const components = new Map((yield* server.components).map((it) => [it.name, it.state]))
      assert.strictEqual(components.get("listener"), "Running")
      assert.notStrictEqual(components.get("listener rtmps"), "Running")
      const health = yield* Health
      const ready = Effect.map(health.ready, ({ checks }) => checks.find(({ name }) => name === "listening"))
      assert.deepInclude(yield* ready, { ok: false, reason: "the listener rtmps has died and is being opened anew" })
      failing.clear()
      yield* TestServer.pass("1 minute")
      assert.strictEqual((yield* server.addresses).length, 2)
      assert.deepInclude(yield* ready, { ok: true })
      assert.strictEqual(opened.at(-1)?.secure, true)
    }).pipe(Effect.provide(layer))
  })
})
