import * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { ConfigStore } from "../../src/config/ConfigStore.ts"
import * as NodeHttp from "../../src/node/NodeHttp.ts"
import { Supervisor } from "../../src/server/Supervisor.ts"
import * as Harness from "../http/AdminHarness.ts"
import { publisher, settle } from "../support/TestServer.ts"

const run = <A, E, R>(effect: Effect.Effect<A, E, R>, input: Parameters<typeof Harness.services>[0] = {}) =>
  effect.pipe(Effect.scoped, Effect.provide(Harness.services(input)))

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const json = { "content-type": "application/json" }
const tokens = { http: { port: 0, readTokens: "reader", writeTokens: "writer", failuresPerMinute: 3 } }

/** Waits until a connection has ended, and gives what came over it. */
const ended = (socket: Net.Socket): Effect.Effect<string> =>
  Effect.callback((resume) => {
    let text = ""
    socket.setEncoding("utf8")
    socket.on("data", (chunk: string) => {
      text += chunk
    })
    socket.on("close", () => resume(Effect.succeed(text)))
  })

/** The servers that begin to listen while an effect runs. */
const capturing = <A, E, R>(use: (servers: ReadonlyArray<Net.Server>) => Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const servers: Array<Net.Server> = []
      const original = Net.Server.prototype.listen
      Net.Server.prototype.listen = function (this: Net.Server, ...parameters: [never]) {
        servers.push(this)
        return original.apply(this, parameters)
      } as typeof original
      return { servers, original }
    }),
    ({ servers }) => use(servers),
    ({ original }) =>
      Effect.sync(() => {
        Net.Server.prototype.listen = original
      })
  )

describe("opening the listener", () => {
  it.effect("tells of a port in use which key and which variable choose another one", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const sources = yield* Harness.Sources
        sources.input = { ...sources.input, http: { port } }
        const other = Harness.services({ http: { port } })
        const error = yield* Effect.flip(Effect.provide(Effect.scoped(Harness.open), Layer.fresh(other)))
        assert.deepInclude(error, { _tag: "HttpListenError", reason: "AddressInUse" })
        for (const word of [`127.0.0.1:${port}`, "http.port", "RTMP_HTTP_PORT"]) assert.include(error.message, word)
      })
    )
  )

  for (const host of ["0.0.0.0", "::", "192.0.2.1"]) {
    it.effect(`refuses ${host} without a token, also where no configuration was read, and names the ways out`, () =>
      run(
        Effect.gen(function* () {
          const store = yield* ConfigStore
          const current = Effect.map(store.current, (config) => ({ ...config, http: { ...config.http, host } }))
          const error = yield* Effect.flip(Effect.provideService(Harness.open, ConfigStore, { ...store, current }))
          assert.deepInclude(error, { _tag: "HttpListenError", reason: "TokensMissing" })
          for (const word of ["RTMP_HTTP_WRITE_TOKENS", "http.host", "http.enabled"])
            assert.include(error.message, word)
        })
      )
    )
  }

  it.effect("names an address that the machine does not have", () =>
    run(
      Effect.gen(function* () {
        const error = yield* Effect.flip(Harness.open)
        assert.deepInclude(error, { _tag: "HttpListenError", reason: "AddressNotAvailable" })
      }),
      { http: { port: 0, host: "192.0.2.1", readTokens: "reader" } }
    )
  )

  it.effect("does nothing where the API is switched off", () =>
    run(
      capturing((servers) =>
        Effect.gen(function* () {
          yield* Layer.build(NodeHttp.layer({ version: "1" }))
          assert.strictEqual(servers.length, 0)
        })
      ),
      { http: { enabled: false } }
    )
  )
})

describe("what is loaded", () => {
  it.effect("is nothing for probes and metrics, and the API for the first other request", () =>
    run(
      Effect.gen(function* () {
        const { isLoaded, port } = yield* Harness.open
        for (const path of ["/healthz", "/readyz?verbose", "/metrics"]) {
          assert.strictEqual((yield* Harness.request(port, path)).status, 200, path)
        }
        assert.isFalse(isLoaded())
        const answers = yield* Effect.all(
          Array.from({ length: 5 }, () => Harness.request(port, "/api/v1/server")),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          answers.map(({ status }) => status),
          [200, 200, 200, 200, 200]
        )
        assert.isTrue(isLoaded())
      })
    )
  )
})

describe("access over the wire", () => {
  const endpoints = [
    ["/healthz", 200, 200, 200],
    ["/readyz", 200, 200, 200],
    ["/docs", 200, 200, 200],
    ["/openapi.json", 200, 200, 200],
    ["/metrics", 401, 200, 200],
    ["/api/v1/server", 401, 200, 200],
    ["/api/v1/streams", 401, 200, 200],
    ["/api/v1/config", 401, 200, 200]
  ] as const

  it.effect("is open for probes and pages, and asks for a token for all else", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        for (const [path, open, read, write] of endpoints) {
          assert.strictEqual((yield* Harness.request(port, path)).status, open, path)
          assert.strictEqual((yield* Harness.request(port, path, { headers: bearer("reader") })).status, read, path)
          assert.strictEqual((yield* Harness.request(port, path, { headers: bearer("writer") })).status, write, path)
          const query = yield* Harness.request(port, `${path}?token=writer&access_token=writer`)
          assert.strictEqual(query.status, open, path)
        }
        const refused = yield* Harness.request(port, "/api/v1/server")
        assert.strictEqual(refused.headers["www-authenticate"], "Bearer")
        assert.strictEqual(JSON.parse(refused.text)._tag, "Unauthorized")
      }),
      tokens
    )
  )

  it.effect("changes nothing for a token that reads, or for a body that is not JSON", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const changes = [
          ["POST", "/api/v1/streams/disable", '{"key":"live/a"}'],
          ["POST", "/api/v1/server/drain", "{}"],
          ["POST", "/api/v1/server/shutdown", "{}"],
          ["POST", "/api/v1/config/reload", "{}"],
          ["PUT", "/api/v1/log/levels", '{"level":"debug"}']
        ] as const
        for (const [method, path, body] of changes) {
          const ask = (headers: Record<string, string>) =>
            Effect.map(Harness.request(port, path, { method, headers, body }), ({ status, text }) => [
              status,
              JSON.parse(text)._tag
            ])
          assert.deepStrictEqual(yield* ask({ ...json }), [401, "Unauthorized"], path)
          assert.deepStrictEqual(yield* ask({ ...json, ...bearer("reader") }), [403, "Forbidden"], path)
          const plain = { "content-type": "text/plain", ...bearer("writer") }
          assert.deepStrictEqual(yield* ask(plain), [415, "UnsupportedMediaType"], path)
          assert.deepStrictEqual(yield* ask(bearer("writer")), [415, "UnsupportedMediaType"], path)
        }
        const api = yield* Harness.client(port, "writer")
        const { lifecycle } = yield* api.server.info()
        assert.strictEqual(lifecycle, "Running")
        assert.deepStrictEqual((yield* api.streams.list()).disabled, [])
        const check = yield* Harness.client(port, "reader")
        assert.isTrue((yield* check.config.check({ payload: { text: "{}" } })).valid)
      }),
      tokens
    )
  )

  it.effect("ends for an address after too many wrong tokens, wherever they were sent, until its minute is over", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const ask = (path: string, token: string) => Harness.request(port, path, { headers: bearer(token) })
        for (const path of ["/metrics", "/api/v1/server", "/metrics"]) {
          assert.strictEqual((yield* ask(path, "wrong")).status, 401)
        }
        for (const path of ["/metrics", "/api/v1/server"]) {
          const refused = yield* ask(path, "wrong")
          assert.strictEqual(refused.status, 429, path)
          assert.strictEqual(refused.headers["retry-after"], "60")
          assert.deepInclude(JSON.parse(refused.text), { _tag: "TooManyRequests", retryAfterSeconds: 60 })
        }
        for (const path of ["/metrics", "/api/v1/server"])
          assert.strictEqual((yield* ask(path, "reader")).status, 200, "a right token of the same address")
        assert.strictEqual((yield* Harness.request(port, "/healthz")).status, 200)
        yield* TestClock.adjust("60 seconds")
        assert.strictEqual((yield* ask("/api/v1/server", "wrong")).status, 401)
      }),
      tokens
    )
  )

  it.effect("without tokens is for those who name this machine, come from no other site and through no proxy", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const rebound: ReadonlyArray<Record<string, string>> = [
          { host: "evil.example" },
          { host: `localhost.evil.example:${port}` },
          { origin: "https://evil.example" },
          { "sec-fetch-site": "cross-site" },
          { "x-forwarded-for": "192.0.2.1" }
        ]
        for (const path of ["/metrics", "/api/v1/server"]) {
          for (const headers of rebound) {
            const refused = yield* Harness.request(port, path, { headers })
            assert.strictEqual(refused.status, 403, `${path} ${JSON.stringify(headers)}`)
            assert.strictEqual(JSON.parse(refused.text)._tag, "Forbidden")
          }
          assert.strictEqual((yield* Harness.request(port, path, { headers: { host: "localhost" } })).status, 200)
        }
      })
    )
  )

  it.effect("follows tokens that are changed by a reload", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const sources = yield* Harness.Sources
        const ask = (headers: Record<string, string>) =>
          Effect.map(Harness.request(port, "/api/v1/server", { headers }), ({ status }) => status)
        const open = yield* Harness.client(port)
        sources.input = { ...sources.input, http: { port: 0, writeTokens: "new" } }
        yield* open.config.reload({ payload: {} })
        assert.strictEqual(yield* ask({}), 401)
        assert.strictEqual(yield* ask(bearer("new")), 200)
      })
    )
  )

  it.effect("answers nothing that a browser may keep, guess about or frame", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        for (const path of ["/healthz", "/metrics", "/api/v1/server", "/docs", "/openapi.json", "/nothing"]) {
          const { headers } = yield* Harness.request(port, path)
          assert.strictEqual(headers["cache-control"], "no-store", path)
          assert.strictEqual(headers["x-content-type-options"], "nosniff", path)
          const policy = String(headers["content-security-policy"])
          for (const rule of ["default-src 'none'", "frame-ancestors 'none'"]) assert.include(policy, rule, path)
          assert.isUndefined(headers["access-control-allow-origin"], path)
        }
      })
    )
  )
})

describe("bounds", () => {
  const large = "x".repeat(NodeHttp.maxBodyBytes + 1)

  for (const [what, headers] of [
    ["declared", { "content-length": String(large.length) }],
    ["not declared", { "transfer-encoding": "chunked" }]
  ] as const) {
    it.effect(`a body that is too large, and ${what}, is not read`, () =>
      run(
        Effect.gen(function* () {
          const { port } = yield* Harness.open
          const answer = yield* Harness.request(port, "/api/v1/config/check", {
            method: "POST",
            headers: { ...json, ...headers },
            body: large
          })
          assert.strictEqual(answer.status, 413)
        })
      )
    )
  }

  it.effect("a head that is too large is refused", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const socket = yield* Harness.connect(port)
        socket.write(`GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(17 * 1024)}\r\n\r\n`)
        assert.include(yield* ended(socket), "431")
      })
    )
  )
})

describe("closing", () => {
  it.effect("drops connections that wait for nothing, and those that never say anything", () =>
    run(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { port } = yield* Scope.provide(Harness.open, scope)
        const silent = yield* Harness.connect(port)
        const idle = yield* Harness.connect(port)
        idle.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield* Effect.callback<void>((resume) => {
          idle.once("data", () => resume(Effect.void))
        })
        const [one, other] = [yield* Effect.forkChild(ended(silent)), yield* Effect.forkChild(ended(idle))]
        const before = performance.now()
        yield* Scope.close(scope, Exit.void)
        assert.isBelow(performance.now() - before, 2_000)
        yield* Fiber.join(one)
        yield* Fiber.join(other)
        const refused = yield* Effect.callback<string>((resume) => {
          Net.connect({ host: "127.0.0.1", port }).on("error", (error: Error & { code?: string }) =>
            resume(Effect.succeed(`${error.code}`))
          )
        })
        assert.strictEqual(refused, "ECONNREFUSED")
      })
    )
  )
})

describe("a listener that dies", () => {
  it.effect("is opened anew at the same port, and media does not notice", () =>
    run(
      capturing((servers) =>
        Effect.gen(function* () {
          const supervisor = yield* Supervisor
          const source = yield* publisher("a")
          yield* Layer.build(NodeHttp.layer({ version: "1" }))
          yield* settle
          const server = servers[0]!
          const { port } = server.address() as Net.AddressInfo
          assert.strictEqual((yield* Harness.request(port, "/readyz")).status, 200)
          const state = Effect.map(
            supervisor.components,
            (components) => components.find(({ name }) => name === "http")?.state
          )
          assert.strictEqual(yield* state, "Running")
          server.close()
          yield* settle
          assert.strictEqual(yield* state, "Waiting")
          yield* TestClock.adjust("1 second")
          while (servers.length < 2 || !servers[1]!.listening) yield* settle
          assert.strictEqual((servers[1]!.address() as Net.AddressInfo).port, port)
          assert.strictEqual((yield* Harness.request(port, "/readyz")).status, 200)
          const api = yield* Harness.client(port)
          assert.strictEqual((yield* api.streams.list()).streams.length, 1)
          assert.isTrue(Option.isSome(yield* Effect.option(source.send())))
        })
      )
    )
  )
})
