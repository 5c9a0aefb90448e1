/** A server in memory with its admin API on a real port, and ways to ask it: typed, raw, and by sockets. */
import * as Http from "node:http"
import * as Net from "node:net"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as App from "../../src/App.ts"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import { ConfigStore } from "../../src/config/ConfigStore.ts"
import { keys, model, type RtmpConfigInput } from "../../src/config/RtmpConfig.ts"
import * as AdminClient from "../../src/http/AdminClient.ts"
import type { AdminEvent } from "../../src/http/AdminEventSchema.ts"
import * as NodeAccess from "../../src/node/NodeAccess.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as NodeHttp from "../../src/node/NodeHttp.ts"
import { Health } from "../../src/observability/Health.ts"
import { LogLevels } from "../../src/observability/LogLevels.ts"
import { Metrics } from "../../src/observability/Metrics.ts"
import { RecentLog } from "../../src/observability/RecentLog.ts"
import { AccessControl } from "../../src/server/AccessControl.ts"
import { AccessPlatform } from "../../src/server/AccessPlatform.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as ServerHealth from "../../src/server/ServerHealth.ts"
import * as ServerMetrics from "../../src/server/ServerMetrics.ts"
import { Supervisor } from "../../src/server/Supervisor.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"

/** Stream keys in memory; `wrap` makes of their store what it should be for a test. */
const layerPlatform = (wrap: (store: KeyValueStore.KeyValueStore) => KeyValueStore.KeyValueStore) =>
  Layer.effect(
    AccessPlatform,
    Effect.gen(function* () {
      const memory = Context.get(yield* Layer.build(KeyValueStore.layerMemory), KeyValueStore.KeyValueStore)
      const store = wrap(memory)
      const platform = Context.get(yield* Layer.build(NodeAccess.layerPlatform), AccessPlatform)
      return { ...platform, openStore: () => Effect.succeed(store) }
    })
  )

/** What the configuration file says; tests write into it and reload. */
export class Sources extends Context.Service<Sources, { input: RtmpConfigInput }>()("test/Sources") {}

/** Everything but the listener. */
export const services = (input: RtmpConfigInput = {}, wrap: Parameters<typeof layerPlatform>[0] = identity) => {
  const sources: Sources["Service"] = {
    input: { latency: { mergeWindow: 0 }, shutdown: { grace: 0 }, http: { port: 0 }, ...input }
  }
  const load = Effect.suspend(() =>
    Effect.fromResult(ConfigSource.load(model, [ConfigSource.fromValues(keys, sources.input, "test.yaml")]))
  )
  return Layer.mergeAll(ServerHealth.layer, ServerMetrics.layer, RtmpServer.layerStarted).pipe(
    Layer.provideMerge(App.layerWith({})),
    Layer.provideMerge(AccessControl.layer.pipe(Layer.provide(layerPlatform(wrap)), Layer.orDie)),
    Layer.provideMerge([
      MemoryNetwork.layer,
      Health.layer,
      Metrics.layer({ version: "1" }),
      LogLevels.layer({ level: "info", rooms: {} }),
      RecentLog.layer(),
      Supervisor.layer,
      NodeCrypto.layer,
      Layer.succeed(Sources, sources),
      ConfigStore.layer(load)
    ]),
    Layer.provide(Logger.layer([])),
    Layer.provideMerge(Layer.succeed(Metric.MetricRegistry, new Map()))
  )
}

/** An answer as it came over the wire. */
export interface Raw {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly text: string
}

/** Sends a request with exactly these headers. */
export const request = (
  port: number,
  path: string,
  options: { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string } = {}
): Effect.Effect<Raw> =>
  Effect.callback((resume) => {
    const outgoing = Http.request(
      { host: "127.0.0.1", port, path, method: options.method ?? "GET", headers: options.headers, agent: false },
      (incoming) => {
        let text = ""
        incoming.setEncoding("utf8")
        incoming.on("data", (chunk: string) => {
          text += chunk
        })
        incoming.on("end", () =>
          resume(Effect.succeed({ status: incoming.statusCode ?? 0, headers: incoming.headers, text }))
        )
      }
    )
    outgoing.on("error", (error) => resume(Effect.die(error)))
    outgoing.end(options.body)
  })

/** Follows the events; the queue ends when the server ends the answer in order, and dies when it breaks off. */
export const follow = Effect.fnUntraced(function* (port: number, path = "/api/v1/events") {
  const queue = yield* Queue.make<typeof AdminEvent.Type, Cause.Done>()
  const response = yield* Effect.acquireRelease(
    Effect.callback<Http.IncomingMessage>((resume) => {
      Http.get({ host: "127.0.0.1", port, path, agent: false }, (incoming) => resume(Effect.succeed(incoming)))
    }),
    (incoming) => Effect.sync(() => incoming.destroy())
  )
  let rest = ""
  response.setEncoding("utf8")
  response.on("data", (chunk: string) => {
    const blocks = (rest + chunk).split("\n\n")
    rest = blocks.pop()!
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1]
      if (data !== undefined) Queue.offerUnsafe(queue, JSON.parse(data))
    }
  })
  response.on("end", () => Queue.endUnsafe(queue))
  response.on("error", (error) => Queue.failCauseUnsafe(queue, Cause.die(error)))
  return { response, queue }
})

/** A connection on which nothing has been sent. */
export const connect = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket>((resume) => {
      const socket = Net.connect({ host: "127.0.0.1", port }, () => resume(Effect.succeed(socket)))
      socket.on("error", () => {})
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

/** A typed client. */
export const client = (port: number, token?: string) =>
  AdminClient.make({
    baseUrl: `http://127.0.0.1:${port}`,
    ...(token === undefined ? {} : { token: Redacted.make(token) })
  }).pipe(Effect.provide(FetchHttpClient.layer))

/** Opens the listener, and gives its port and what else it is. */
export const open = Effect.map(NodeHttp.open({ version: "1.2.3" }), (http) => ({ ...http, port: http.address.port }))
