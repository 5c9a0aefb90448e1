import { createHmac } from "node:crypto"
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import * as AuthCallback from "../../src/access/AuthCallback.ts"
import type { AccessDenied, AccessGrant } from "../../src/access/Authenticator.ts"
import * as CallbackMessage from "../../src/access/CallbackMessage.ts"
import * as Requests from "./Requests.ts"

interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

type Handler = (response: ServerResponse, received: Received) => void

const reply =
  (
    status: number,
    body = "",
    contentType = "application/json",
    extra: Readonly<Record<string, string>> = {}
  ): Handler =>
  (response) => {
    response.writeHead(status, { "content-type": contentType, ...extra })
    response.end(body)
  }

/** A server that does what it is told, and remembers. */
class Hook {
  readonly received: Array<Received> = []
  handler: Handler = reply(200)
  #waiting: Array<() => void> = []
  readonly server = createServer((request, response) => {
    let body = ""
    request.setEncoding("utf8")
    request.on("data", (text: string) => {
      body += text
    })
    request.on("end", () => {
      const received = { headers: request.headers, body }
      this.received.push(received)
      for (const resume of this.#waiting.splice(0)) resume()
      this.handler(response, received)
    })
  })

  /** Waits until so many requests have come. */
  until(count: number): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.received.length >= count
        ? Effect.void
        : Effect.andThen(
            Effect.callback<void>((resume) => {
              this.#waiting.push(() => resume(Effect.void))
            }),
            this.until(count)
          )
    )
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook?token=url-secret`
  }
}

const opened = Effect.acquireRelease(
  Effect.callback<Hook>((resume) => {
    const hook = new Hook()
    hook.server.listen(0, "127.0.0.1", () => resume(Effect.succeed(hook)))
  }),
  (hook) =>
    Effect.sync(() => {
      hook.server.closeAllConnections()
      hook.server.close()
    })
)

const services = Layer.merge(Requests.services, FetchHttpClient.layer)

const make = (hook: { readonly url: string }, settings: Partial<AuthCallback.AuthCallbackSettings> = {}) =>
  Effect.provide(AuthCallback.make({ url: hook.url, ...settings }), services)

const query = "key=query-secret&a=1%202"

describe("the question", () => {
  it.live("is a signed JSON object that names everything", () =>
    Effect.gen(function* () {
      const hook = yield* opened
      const method = yield* make(hook, { secret: Redacted.make("shared") })
      assert.deepStrictEqual(yield* Requests.ask(method, { query, tcUrl: "rtmp://h/live" }), { credential: "" })
      const [{ body, headers }] = hook.received as [Received]
      assert.deepStrictEqual(JSON.parse(body), {
        call: "publish",
        app: "live",
        name: "camera",
        addr: "192.0.2.1",
        clientid: "c1",
        tcurl: "rtmp://h/live",
        args: { key: "query-secret", a: "1 2" }
      })
      const seconds = headers["x-effect-rtmp-timestamp"] as string
      assert.isBelow(Math.abs(Number(seconds) - Date.now() / 1000), 10)
      const expected = createHmac("sha256", "shared").update(`${seconds}.${body}`).digest("hex")
      assert.strictEqual(headers["x-effect-rtmp-signature"], `v1=${expected}`)
      assert.strictEqual(headers["content-type"], "application/json")
      assert.isUndefined(headers.traceparent)
    }).pipe(Effect.scoped)
  )

  it.live("is a form with the names of nginx-rtmp, which the query cannot take", () =>
    Effect.gen(function* () {
      const hook = yield* opened
      const method = yield* make(hook, { format: "form" })
      yield* Requests.ask(method, { action: "play", query: `${query}&addr=203.0.113.9&name=other&call=x` })
      const [{ body, headers }] = hook.received as [Received]
      assert.strictEqual(headers["content-type"], "application/x-www-form-urlencoded")
      assert.isUndefined(headers["x-effect-rtmp-signature"])
      assert.deepStrictEqual(
        [...new URLSearchParams(body)],
        [
          ["call", "play"],
          ["app", "live"],
          ["name", "camera"],
          ["addr", "192.0.2.1"],
          ["clientid", "c1"],
          ["tcurl", ""],
          ["key", "query-secret"],
          ["a", "1 2"]
        ]
      )
    }).pipe(Effect.scoped)
  )

  it.live("is asked about the actions that are named, and so are their ends told", () =>
    Effect.gen(function* () {
      const hook = yield* opened
      const method = yield* make(hook, { actions: ["publish", "connect"] })
      assert.strictEqual(yield* Requests.ask(method, { action: "play" }), undefined)
      for (const action of ["publish", "play", "connect"] as const) method.ended!(Requests.request({ action }))
      yield* hook.until(2)
      const calls = hook.received.map(({ body }) => (JSON.parse(body) as { readonly call: string }).call)
      assert.sameMembers(calls, ["publish_done", "disconnect"])
    }).pipe(Effect.scoped)
  )
})

describe("the answer", () => {
  const table: ReadonlyArray<readonly [what: string, handler: Handler, expected: Partial<AccessGrant & AccessDenied>]> =
    [
      ["200 with nothing", reply(200), { credential: "" }],
      ["204", reply(204, ""), { credential: "" }],
      ["200 with a page", reply(200, "<p>ok", "text/html"), { credential: "" }],
      [
        "200 with everything",
        reply(
          201,
          `{"stream":"show","user":"ann","limits":{"bitsPerSecond":1000,"durationSeconds":2,"viewers":3},"new":1}`
        ),
        {
          credential: "callback:ann",
          stream: "show",
          limits: { bitsPerSecond: 1000, durationMs: 2000, viewers: 3 }
        }
      ],
      [
        "a redirect",
        reply(200, `{"redirect":"rtmp://other/live"}`),
        { reason: "NotAllowed", redirect: "rtmp://other/live" }
      ],
      [
        "a redirect of nginx-rtmp",
        reply(302, "", "", { location: "rtmps://other/live" }),
        { reason: "NotAllowed", redirect: "rtmps://other/live" }
      ],
      ["a renaming of nginx-rtmp", reply(302, "", "", { location: "show" }), { credential: "", stream: "show" }],
      ["403", reply(403), { reason: "CredentialInvalid", description: CallbackMessage.defaultReason }],
      [
        "401 with text",
        reply(401, "Go home.\nNow.", "text/plain"),
        { reason: "CredentialInvalid", description: "Go home." }
      ],
      [
        "404 with JSON",
        reply(404, `{"reason":"No such \\u001bshow."}`),
        { reason: "NotAllowed", description: "No such  show." }
      ],
      ["403 with a page", reply(403, "<h1>403</h1>", "text/html"), { description: CallbackMessage.defaultReason }],
      [
        "403 that repeats the key",
        reply(403, "bad key query-secret (key=query-secret&a=1%202)", "text/plain"),
        { description: "bad key *** (***)" }
      ],
      [
        "403 that repeats it as it came",
        reply(403, "not 1%202", "text/plain"),
        { reason: "CredentialInvalid", description: "not ***" }
      ],
      ["500", reply(500), { reason: "Unavailable" }],
      ["JSON that is none", reply(200, `{"stream":`), { reason: "Unavailable" }],
      ["JSON of another shape", reply(200, `{"limits":{"viewers":"many"}}`), { reason: "Unavailable" }],
      ["a name that is none", reply(200, `{"stream":"../x"}`), { reason: "Unavailable" }],
      ["a redirect to nowhere", reply(200, `{"redirect":"http://other/"}`), { reason: "Unavailable" }],
      ["an answer without end", reply(200, `"${"x".repeat(AuthCallback.maxAnswerBytes)}"`), { reason: "Unavailable" }],
      ["a connection that breaks", (response) => response.destroy(), { reason: "Unavailable" }]
    ]
  for (const [what, handler, expected] of table) {
    it.live(`is understood: ${what}`, () =>
      Effect.gen(function* () {
        const hook = yield* opened
        hook.handler = handler
        const method = yield* make(hook)
        const answer = (yield* Requests.ask(method, { query })) as AccessGrant | AccessDenied
        if ("reason" in expected || "description" in expected) {
          assert.property(answer, "reason")
          for (const [name, value] of Object.entries(expected)) {
            assert.strictEqual((answer as AccessDenied)[name as "reason"], value, name)
          }
        } else assert.deepStrictEqual(answer, expected as AccessGrant)
        assert.lengthOf(hook.received, 1, "no redirect is followed")
      }).pipe(Effect.scoped)
    )
  }
})

describe("without an answer", () => {
  it.live("the fallback decides", () =>
    Effect.gen(function* () {
      const hook = yield* opened
      hook.handler = reply(503)
      const method = yield* make(hook, { fallback: "allow" })
      assert.deepStrictEqual(yield* Requests.ask(method), { credential: "" })
      // Nobody listens there any more.
      const { url } = hook
      hook.server.close()
      hook.server.closeAllConnections()
      assert.strictEqual(yield* Requests.outcome(yield* make({ url }, {})), "Unavailable")
    }).pipe(Effect.scoped)
  )

  it.effect("nobody waits longer than the timeout, neither for an answer nor for a place", () =>
    Effect.gen(function* () {
      const hook = yield* opened
      hook.handler = () => {}
      const method = yield* make(hook, { timeout: "3 seconds", maxConcurrent: 1 })
      const first = yield* Effect.forkChild(Requests.outcome(method), { startImmediately: true })
      yield* hook.until(1)
      yield* TestClock.adjust("1 second")
      const second = yield* Effect.forkChild(Requests.outcome(method), { startImmediately: true })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(first), "Unavailable")
      yield* hook.until(2)
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(second.pollUnsafe())
      // It has waited for its place since the first second.
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(second), "Unavailable")
    }).pipe(Effect.scoped)
  )

  it.live("one that hangs is not asked any more after some failures", () =>
    Effect.gen(function* () {
      const hook = yield* opened
      hook.handler = () => {}
      const method = yield* make(hook, { timeout: "100 millis", maxFailures: 2, openFor: "1 hour" })
      for (let i = 0; i < 4; i++) assert.strictEqual(yield* Requests.outcome(method), "Unavailable")
      assert.lengthOf(hook.received, 2)
    }).pipe(Effect.scoped)
  )

  it.effect("nothing is asked for a while after some failures, for longer each time", () =>
    Effect.gen(function* () {
      const hook = yield* opened
      hook.handler = reply(500)
      const openFor = Schedule.exponential("10 seconds")
      const method = yield* make(hook, { maxFailures: 2, openFor })
      const ask = (times: number) => Effect.forEach(Array.from({ length: times }), () => Requests.outcome(method))
      yield* ask(5)
      assert.lengthOf(hook.received, 2)
      yield* TestClock.adjust(Duration.millis(9_999))
      yield* ask(1)
      assert.lengthOf(hook.received, 2)
      yield* TestClock.adjust("1 millis")
      yield* ask(3)
      assert.lengthOf(hook.received, 3, "one probe")
      yield* TestClock.adjust("19 seconds")
      yield* ask(1)
      assert.lengthOf(hook.received, 3)
      yield* TestClock.adjust("1 seconds")
      hook.handler = reply(403)
      assert.deepStrictEqual(yield* ask(3), ["CredentialInvalid", "CredentialInvalid", "CredentialInvalid"])
      assert.lengthOf(hook.received, 6, "a refusal is an answer")
    }).pipe(Effect.scoped)
  )
})

describe("an allowing answer", () => {
  it.effect("counts for a while, for the same question from the same address, and refusals do not", () =>
    Effect.gen(function* () {
      const hook = yield* opened
      const method = yield* make(hook, { cacheFor: "1 minute", maxCached: 2 })
      const asked = (changes: Parameters<typeof Requests.outcome>[1] = {}) =>
        Effect.map(Requests.outcome(method, changes), () => hook.received.length)
      assert.strictEqual(yield* asked(), 1)
      assert.strictEqual(yield* asked({ connectionId: "c2" }), 1)
      assert.strictEqual(yield* asked({ query: "key=b" }), 2)
      assert.strictEqual(yield* asked({ remoteAddress: "192.0.2.2" }), 3)
      assert.strictEqual(yield* asked(), 4, "it had to make room")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* asked(), 5)
      hook.handler = reply(403)
      assert.strictEqual(yield* asked({ query: "x" }), 6)
      assert.strictEqual(yield* asked({ query: "x" }), 7)
    }).pipe(Effect.scoped)
  )
})

describe("the settings", () => {
  it.effect("are refused where the address is none", () =>
    Effect.gen(function* () {
      for (const url of ["", "nonsense-secret", "ftp://secret/", "http://"]) {
        const error = yield* Effect.flip(Effect.scoped(make({ url })))
        assert.strictEqual(error.setting, "url")
        assert.notInclude(error.message, "secret")
      }
    })
  )
})
