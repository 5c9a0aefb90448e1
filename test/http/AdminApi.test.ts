import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Schema from "effect/Schema"
import { ConfigStore } from "../../src/config/ConfigStore.ts"
import * as ServerSchema from "../../src/http/AdminSchema.ts"
import { Health } from "../../src/observability/Health.ts"
import { LogLevels } from "../../src/observability/LogLevels.ts"
import { RecentLog } from "../../src/observability/RecentLog.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as Exposition from "../observability/Exposition.ts"
import * as Media from "../support/Media.ts"
import { pass, publisher, settle, viewer } from "../support/TestServer.ts"
import * as Harness from "./AdminHarness.ts"

/** A server whose API is open, and a client of it. */
const served = Effect.gen(function* () {
  const { port } = yield* Harness.open
  return { port, api: yield* Harness.client(port) }
})

const run = <A, E, R>(effect: Effect.Effect<A, E, R>, input: Parameters<typeof Harness.services>[0] = {}) =>
  effect.pipe(Effect.scoped, Effect.provide(Harness.services(input)))

const json = { "content-type": "application/json" }

describe("the endpoints of the server", () => {
  it.effect("show what it is, what it counts and how its parts are doing", () =>
    run(
      Effect.gen(function* () {
        const { api, port } = yield* served
        yield* publisher("a")
        const info = yield* api.server.info()
        assert.strictEqual(info.version, "1.2.3")
        assert.strictEqual(info.runtime, `node ${process.version}`)
        assert.strictEqual(info.instance, "studio")
        assert.strictEqual(info.lifecycle, "Running")
        assert.deepStrictEqual(
          info.listeners.map(({ protocol }) => protocol),
          ["rtmp", "http"]
        )
        assert.strictEqual(info.listeners[1]!.port, port)
        assert.strictEqual(info.statistics.connections, 1)
        assert.strictEqual(info.statistics.states.Publishing, 1)
        assert.strictEqual(info.statistics.streams, 1)
        assert.deepStrictEqual(
          info.components.map(({ name, state }) => `${name} ${state}`),
          ["listener Running"]
        )
        yield* pass("5 seconds")
        assert.strictEqual((yield* api.server.info()).uptimeMs, 5_000)
      }),
      { instance: { name: "studio" } }
    )
  )

  it.effect("tell the health, also where a check fails", () =>
    run(
      Effect.gen(function* () {
        const { api } = yield* served
        assert.deepStrictEqual(yield* api.server.health(), {
          live: { status: "ok", checks: [] },
          ready: {
            status: "ok",
            checks: [
              { name: "listening", ok: true, reason: "" },
              { name: "memory", ok: true, reason: "" },
              { name: "components", ok: true, reason: "" },
              { name: "callback", ok: true, reason: "" }
            ]
          }
        })
        const health = yield* Health
        const check = Effect.succeed({ ok: false, reason: "on fire" })
        yield* health.register({ name: "smoke", critical: true, check })
        const { live } = yield* api.server.health()
        assert.deepStrictEqual(live, { status: "failing", checks: [{ name: "smoke", ok: false, reason: "on fire" }] })
      })
    )
  )

  it.effect("drain it and resume it, and refuse both where the server is stopped", () =>
    run(
      Effect.gen(function* () {
        const { api } = yield* served
        const server = yield* RtmpServer
        const reconnectTo = "rtmp://other.example/live"
        assert.deepStrictEqual(yield* api.server.drain({ payload: { reconnectTo, graceMs: 1_000 } }), {
          lifecycle: "Draining"
        })
        assert.strictEqual(yield* server.lifecycle, "Draining")
        assert.deepStrictEqual(yield* api.server.resume({ payload: {} }), { lifecycle: "Running" })
        assert.strictEqual(yield* server.lifecycle, "Running")
        yield* server.stop()
        assert.strictEqual((yield* Effect.flip(api.server.drain({ payload: {} })))._tag, "Conflict")
        assert.strictEqual((yield* Effect.flip(api.server.resume({ payload: {} })))._tag, "Conflict")
      })
    )
  )

  it.effect("stop it, and answer before they do", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* served
        const server = yield* RtmpServer
        const one = yield* publisher("a")
        const answer = yield* Harness.request(port, "/api/v1/server/shutdown", {
          method: "POST",
          headers: json,
          body: '{"force":true}'
        })
        assert.strictEqual(answer.status, 202)
        assert.strictEqual(answer.text, '{"connections":1}')
        yield* server.awaitStopped
        yield* one.waitForClose
        assert.strictEqual(yield* server.lifecycle, "Stopped")
      })
    )
  )
})

describe("the endpoints of streams", () => {
  it.effect("list them with tracks and viewers, and give one by a key with slashes", () =>
    run(
      Effect.gen(function* () {
        const { api, port } = yield* served
        const source = yield* publisher("a")
        yield* source.send(Media.videoHeader())
        yield* source.send(Media.keyframe(0))
        yield* viewer("a")
        yield* settle
        const { disabled, streams } = yield* api.streams.list()
        assert.deepStrictEqual(disabled, [])
        assert.strictEqual(streams.length, 1)
        const [stream] = streams
        assert.strictEqual(stream!.key, "live/a")
        assert.strictEqual(stream!.publisher, "c1")
        assert.strictEqual(stream!.viewers, 1)
        assert.strictEqual(stream!.tracks[0]!.kind, "video")
        assert.deepStrictEqual(yield* api.streams.get({ query: { key: "live/a" } }), stream)
        for (const path of ["/api/v1/stream?key=live/a", "/api/v1/stream?key=live%2Fa"]) {
          const raw = yield* Harness.request(port, path)
          assert.deepStrictEqual(Schema.decodeUnknownSync(ServerSchema.StreamInfo)(JSON.parse(raw.text)), stream)
        }
        assert.strictEqual((yield* Effect.flip(api.streams.get({ query: { key: "live/b" } })))._tag, "NotFound")
      })
    )
  )

  it.effect("kick the publisher of one", () =>
    run(
      Effect.gen(function* () {
        const { api } = yield* served
        const source = yield* publisher("a")
        const payload = { key: "live/a", description: "Out of time." }
        assert.deepStrictEqual(yield* api.streams.kick({ payload }), { key: "live/a" })
        yield* source.waitForClose
        yield* settle
        assert.strictEqual((yield* Effect.flip(api.streams.kick({ payload })))._tag, "NotFound")
      })
    )
  )

  it.effect("disable one for its publisher and its viewers, and enable it again", () =>
    run(
      Effect.gen(function* () {
        const { api } = yield* served
        const server = yield* RtmpServer
        const [source, watcher] = [yield* publisher("a"), yield* viewer("a")]
        const payload = { key: "live/a" }
        assert.deepStrictEqual(yield* api.streams.disable({ payload }), { key: "live/a", changed: true })
        yield* source.waitForClose
        yield* watcher.waitForClose
        assert.deepStrictEqual(yield* server.disabledStreams, ["live/a"])
        assert.deepStrictEqual((yield* api.streams.list()).disabled, ["live/a"])
        assert.deepStrictEqual(yield* api.streams.disable({ payload }), { key: "live/a", changed: false })
        assert.deepStrictEqual(yield* api.streams.enable({ payload }), { key: "live/a", changed: true })
        assert.deepStrictEqual(yield* api.streams.enable({ payload }), { key: "live/a", changed: false })
        assert.deepStrictEqual(yield* server.disabledStreams, [])
      })
    )
  )
})

describe("the endpoints of connections", () => {
  it.effect("list all or those of a stream, give one, and kick it", () =>
    run(
      Effect.gen(function* () {
        const { api } = yield* served
        const source = yield* publisher("a")
        yield* viewer("a")
        yield* publisher("b")
        const ids = (query: { readonly stream?: string }) =>
          Effect.map(api.connections.list({ query }), (list) => list.map(({ id }) => id))
        assert.deepStrictEqual(yield* ids({}), ["c1", "c2", "c3"])
        assert.deepStrictEqual(yield* ids({ stream: "live/a" }), ["c1", "c2"])
        assert.deepStrictEqual(yield* ids({ stream: "live/c" }), [])
        const one = yield* api.connections.get({ params: { id: "c2" } })
        assert.strictEqual(one.state, "Subscribing")
        assert.strictEqual(one.playing[0]!.streamKey, "live/a")
        assert.deepStrictEqual(yield* api.connections.kick({ params: { id: "c1" }, payload: {} }), { id: "c1" })
        yield* source.waitForClose
        yield* source.end
        yield* settle
        assert.notInclude(yield* ids({}), "c1")
        assert.strictEqual((yield* Effect.flip(api.connections.get({ params: { id: "c1" } })))._tag, "NotFound")
        const kick = api.connections.kick({ params: { id: "c1" }, payload: {} })
        assert.strictEqual((yield* Effect.flip(kick))._tag, "NotFound")
      })
    )
  )
})

describe("the endpoints of the configuration", () => {
  it.effect("show every key with its origin, and no secret", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const api = yield* Harness.client(port, "top-secret")
        const { keys } = yield* api.config.show()
        const find = (path: string) => keys.find((key) => key.path === path)
        assert.deepInclude(find("shutdown.grace"), { origin: "test.yaml", isDefault: false })
        assert.deepInclude(find("listen.port"), { value: 1935, origin: "default", isDefault: true })
        assert.deepInclude(find("http.writeTokens"), { value: "***" })
        const raw = yield* Harness.request(port, "/api/v1/config", { headers: { authorization: "Bearer top-secret" } })
        assert.strictEqual(raw.status, 200)
        assert.notInclude(raw.text, "top-secret")
      }),
      { http: { port: 0, writeTokens: "top-secret" } }
    )
  )

  it.effect("check a text, with all its problems or what it would change, and change nothing", () =>
    run(
      Effect.gen(function* () {
        const { api } = yield* served
        const bad = yield* api.config.check({ payload: { text: "listen: { port: 99999 }\nlimts: {}\n" } })
        assert.isFalse(bad.valid)
        assert.deepStrictEqual(
          bad.problems.map(({ origin, reason }) => `${reason} ${origin}`),
          ["InvalidValue text:1:17", "UnknownKey text:2:1"]
        )
        const good = yield* api.config.check({ payload: { text: "latency: { mergeWindow: 50 ms }" } })
        assert.isTrue(good.valid)
        const change = good.changes.find(({ path }) => path === "latency.mergeWindow")
        assert.strictEqual(change?.to, "50 ms")
        const { keys } = yield* api.config.show()
        assert.notStrictEqual(keys.find(({ path }) => path === "latency.mergeWindow")?.value, "50 ms")
      })
    )
  )

  it.effect("reload it, tell what has changed and what needs a restart, and all problems of a bad one", () =>
    run(
      Effect.gen(function* () {
        const { api } = yield* served
        const sources = yield* Harness.Sources
        const before = sources.input
        sources.input = { ...before, publisher: { resumeGrace: "7 seconds" }, listen: { port: 1936 } }
        const report = yield* api.config.reload({ payload: {} })
        assert.deepStrictEqual(
          report.changes.map(({ path, to }) => [path, to]),
          [["publisher.resumeGrace", "7 seconds"]]
        )
        assert.deepStrictEqual(
          report.needsRestart.map(({ path }) => path),
          ["listen.port"]
        )
        sources.input = { ...before, listen: { port: -1 }, chunk: { outSize: 1 } }
        const error = yield* Effect.flip(api.config.reload({ payload: {} }))
        assert.strictEqual(error._tag, "Unprocessable")
        assert.deepStrictEqual(error._tag === "Unprocessable" && error.problems.map(({ path }) => path), [
          "listen.port",
          "chunk.outSize"
        ])
      })
    )
  )

  it.effect("tell which part of the server does not agree to a new one", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const api = yield* Harness.client(port, "secret")
        const sources = yield* Harness.Sources
        const before = sources.input
        sources.input = { ...before, http: { port: 0, host: "0.0.0.0" } }
        const invalid = yield* Effect.flip(api.config.reload({ payload: {} }))
        assert.strictEqual(invalid._tag, "Unprocessable")
        assert.include(invalid._tag === "Unprocessable" && invalid.problems[0]?.expected, "http.readTokens")
        yield* api.server.info()
        const store = yield* ConfigStore
        yield* store.register({ name: "the moon", prepare: () => Effect.fail("it is full") })
        sources.input = { ...before, play: { waitForPublisher: false } }
        const error = yield* Effect.flip(api.config.reload({ payload: {} }))
        assert.strictEqual(error._tag, "Conflict")
        for (const words of ["the moon: it is full", "the old one stays in force"]) assert.include(error.message, words)
      }),
      { http: { port: 0, host: "0.0.0.0", writeTokens: "secret" } }
    )
  )
})

describe("the endpoints of the log", () => {
  it.effect("show, set and reset levels", () =>
    run(
      Effect.gen(function* () {
        const { api } = yield* served
        const levels = yield* LogLevels
        assert.deepStrictEqual(yield* api.log.levels(), { level: "info", rooms: {} })
        yield* api.log.setLevel({ payload: { level: "warn" } })
        yield* api.log.setLevel({ payload: { level: "debug", room: "live" } })
        assert.isTrue(levels.isEnabled("live", "debug"))
        assert.isFalse(levels.isEnabled("server", "info"))
        const table = yield* api.log.resetLevel({ payload: { room: "live" } })
        assert.deepStrictEqual(table, { level: "warn", rooms: {} })
        assert.isFalse(levels.isEnabled("live", "debug"))
      })
    )
  )

  it.effect("give the rooms of a table that cannot grow without end", () =>
    run(
      Effect.gen(function* () {
        const { api } = yield* served
        for (let i = 0; i < 64; i++) yield* api.log.setLevel({ payload: { level: "debug", room: `room${i}` } })
        const more = api.log.setLevel({ payload: { level: "debug", room: "other" } })
        assert.strictEqual((yield* Effect.flip(more))._tag, "Conflict")
        yield* api.log.setLevel({ payload: { level: "info", room: "room1" } })
      })
    )
  )

  it.effect("give the recent lines that pass a filter", () =>
    run(
      Effect.gen(function* () {
        const { api, port } = yield* served
        const log = yield* RecentLog
        log.add("info", "live", '{"message":"one"}')
        log.add("warn", undefined, '{"message":"two"}')
        log.add("error", "live", '{"message":"three"}')
        const lines = (query: Parameters<typeof api.log.lines>[0]["query"]) =>
          Effect.map(api.log.lines({ query }), (entries) => entries.map(({ id }) => id))
        assert.deepStrictEqual(yield* lines({}), [1, 2, 3])
        assert.deepStrictEqual(yield* lines({ level: "warn" }), [2, 3])
        assert.deepStrictEqual(yield* lines({ room: "live", limit: 1 }), [3])
        assert.deepStrictEqual(yield* lines({ after: 2 }), [3])
        assert.deepStrictEqual((yield* api.log.lines({ query: { level: "warn", limit: 2 } }))[0], {
          id: 2,
          level: "warn",
          room: "",
          line: '{"message":"two"}'
        })
        for (const query of ["limit=0", "limit=1001", "limit=x", "level=loud", "after=-1", "room=%00"]) {
          const answer = yield* Harness.request(port, `/api/v1/log/lines?${query}`)
          assert.strictEqual(answer.status, 400, query)
          assert.strictEqual(JSON.parse(answer.text)._tag, "BadRequest")
        }
      })
    )
  )
})

describe("probes and metrics", () => {
  it.effect("answer 200 or 503 with the reasons", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* served
        const server = yield* RtmpServer
        assert.strictEqual((yield* Harness.request(port, "/healthz")).status, 200)
        assert.strictEqual((yield* Harness.request(port, "/readyz")).status, 200)
        yield* server.drain()
        const ready = yield* Harness.request(port, "/readyz")
        assert.strictEqual(ready.status, 503)
        assert.deepStrictEqual(JSON.parse(ready.text), {
          status: "failing",
          checks: [
            { name: "listening", ok: false, reason: "the server moves its clients away" },
            { name: "memory", ok: true, reason: "" },
            { name: "components", ok: true, reason: "" },
            { name: "callback", ok: true, reason: "" }
          ]
        })
        assert.strictEqual((yield* Harness.request(port, "/healthz")).status, 200)
      })
    )
  )

  it.effect("give metrics that a strict parser reads, unless they are switched off", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* served
        yield* publisher("a")
        const answer = yield* Harness.request(port, "/metrics")
        assert.strictEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        const families = Exposition.parse(answer.text)
        assert.strictEqual(Exposition.valueOf(families, "rtmp_connections", { state: "Publishing" }), 1)
        const sources = yield* Harness.Sources
        sources.input = { ...sources.input, metrics: { enabled: false } }
        const api = yield* Harness.client(port)
        yield* api.config.reload({ payload: {} })
        assert.strictEqual((yield* Harness.request(port, "/metrics")).status, 404)
      })
    )
  )

  it.effect("are what the typed client gets too", () =>
    run(
      Effect.gen(function* () {
        const { api } = yield* served
        const server = yield* RtmpServer
        assert.strictEqual((yield* api.probes.healthz()).status, "ok")
        Exposition.parse(yield* api.probes.metrics())
        yield* server.drain()
        assert.strictEqual((yield* api.probes.readyz()).status, "failing")
      })
    )
  )
})

describe("requests that cannot be understood", () => {
  it.effect("are answered with what is wrong, in JSON", () =>
    run(
      Effect.gen(function* () {
        const { api, port } = yield* served
        const post = (path: string, body: string) =>
          Effect.map(Harness.request(port, path, { method: "POST", headers: json, body }), ({ status, text }) => [
            status,
            JSON.parse(text)._tag
          ])
        assert.deepStrictEqual(yield* post("/api/v1/streams/kick", "{"), [400, "BadRequest"])
        assert.deepStrictEqual(yield* post("/api/v1/streams/kick", ""), [400, "BadRequest"])
        assert.deepStrictEqual(yield* post("/api/v1/streams/kick", '{"key":1}'), [400, "BadRequest"])
        assert.deepStrictEqual(yield* post("/api/v1/streams/kick", '{"key":""}'), [400, "BadRequest"])
        assert.deepStrictEqual(yield* post("/api/v1/server/drain", '{"graceMs":-1}'), [400, "BadRequest"])
        assert.deepStrictEqual(yield* post("/api/v1/server/drain", '{"reconnectTo":"a\\nb"}'), [400, "BadRequest"])
        assert.deepStrictEqual(yield* post("/api/v1/nothing", "{}"), [404, "NotFound"])
        const { status, text } = yield* Harness.request(port, "/api/v2/server")
        assert.deepStrictEqual([status, JSON.parse(text)._tag], [404, "NotFound"])
        const error = yield* Effect.flip(api.streams.get({ query: { key: "" } }))
        assert.isFalse(HttpClientError.isHttpClientError(error))
        assert.strictEqual(yield* (yield* RtmpServer).lifecycle, "Running")
      })
    )
  )
})
