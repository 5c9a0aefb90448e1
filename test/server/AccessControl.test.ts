import * as Http from "node:http"
import type * as Net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { AccessAttempt } from "../../src/access/AccessPolicy.ts"
import { ConfigStore } from "../../src/config/ConfigStore.ts"
import type { RtmpConfigInput } from "../../src/config/RtmpConfig.ts"
import { Health } from "../../src/observability/Health.ts"
import { AccessControl } from "../../src/server/AccessControl.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import { Supervisor } from "../../src/server/Supervisor.ts"
import * as Harness from "../http/AdminHarness.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { client, settle } = TestServer

const run = <A, E, R>(input: RtmpConfigInput, effect: Effect.Effect<A, E, R>) =>
  effect.pipe(Effect.scoped, Effect.provide(Harness.services(input)))

/** What becomes of a request: the code of the status. */
const attempt = (action: "publish" | "play", name: string, application = "live") =>
  Effect.gen(function* () {
    const from = yield* client
    yield* from.handshake
    const connected = yield* Effect.result(from.connect(application))
    if (connected._tag === "Failure") return `${connected.failure.code}`
    const streamId = yield* from.createStream
    const result = yield* Effect.result(from[action](streamId, name))
    return result._tag === "Success" ? result.success.code : `${result.failure.code}`
  })

const granted = "NetStream.Publish.Start"
const denied = "NetStream.Publish.Denied"

const reload = (input: RtmpConfigInput) =>
  Effect.gen(function* () {
    const sources = yield* Harness.Sources
    sources.input = { ...sources.input, ...input }
    yield* (yield* ConfigStore).reload
  })

describe("a server without anything configured", () => {
  it.effect("lets everybody in, without a fiber that waits, and says that it is open", () =>
    run(
      {},
      Effect.gen(function* () {
        const control = yield* AccessControl
        assert.deepStrictEqual(yield* control.state, { open: true, required: [], methods: [], keysEnabled: false })
        assert.strictEqual(yield* attempt("publish", "a"), granted)
        assert.isUndefined(control.authenticator.ended)
      })
    )
  )
})

describe("stream keys", () => {
  const allow = { ann: "key-of-ann application=live stream=a*", bob: "key-of-bob actions=play" }

  it.effect("are asked of publishers, in the query of name or application; viewers need none", () =>
    run(
      { auth: { keys: { allow } } },
      Effect.gen(function* () {
        assert.strictEqual(yield* attempt("publish", "a?key=key-of-ann"), granted)
        assert.strictEqual(yield* attempt("publish", "a2", "live?key=key-of-ann"), granted)
        for (const name of ["a", "a?key=key-of-bob", "b?key=key-of-ann"]) {
          assert.strictEqual(yield* attempt("publish", name), denied, name)
        }
        assert.strictEqual(yield* attempt("play", "a"), "NetStream.Play.Start")
      })
    )
  )

  it.effect("have a store that is looked after for as long as the configuration asks for keys", () => {
    const state = Effect.gen(function* () {
      yield* settle
      const components = yield* (yield* Supervisor).components
      return components.find(({ name }) => name === "keyStore")?.state
    })
    return run(
      {},
      Effect.gen(function* () {
        assert.isUndefined(yield* state)
        yield* reload({ auth: { keys: { allow } } })
        assert.strictEqual(yield* state, "Running")
        yield* reload({ auth: { keys: { allow: { ann: allow.ann } } } })
        assert.strictEqual(yield* state, "Running")
        assert.isTrue(yield* Effect.isFailure(reload({ auth: { keys: { allow: { ann: "short" } } } })))
        assert.strictEqual(yield* state, "Running")
        yield* reload({ auth: {} })
        assert.strictEqual(yield* state, "Stopped")
        yield* reload({ auth: { keys: { enabled: true } } })
        assert.strictEqual(yield* state, "Running")
      })
    )
  })

  it.effect("are asked of viewers where that is required, and denied in words that players show", () =>
    run(
      { auth: { required: "play", keys: { allow } } },
      Effect.gen(function* () {
        assert.strictEqual(yield* attempt("play", "a"), "NetStream.Play.Failed")
        assert.strictEqual(yield* attempt("play", "a?key=key-of-bob"), "NetStream.Play.Start")
        assert.strictEqual(yield* attempt("publish", "a"), granted)
      })
    )
  )

  it.effect("may be the name of the stream, which then nobody gets to see", () =>
    run(
      { auth: { keys: { in: "name", allow: { ann: "key-of-ann publishAs=show" } } } },
      Effect.gen(function* () {
        const log = yield* TestServer.events
        const from = yield* TestServer.publisher("key-of-ann")
        yield* from.send(Media.videoHeader(), Media.keyframe(0))
        yield* TestServer.viewer("show")
        yield* settle
        assert.strictEqual(yield* attempt("publish", "key-of-eve"), denied)
        yield* settle
        assert.notInclude(JSON.stringify(log), "key-of")
      })
    )
  )

  it.effect("made at run time hold at once and survive a reload; a revoked one opens nothing", () =>
    run(
      { auth: { keys: { enabled: true } } },
      Effect.gen(function* () {
        const control = yield* AccessControl
        const { info, key } = yield* control.createKey({ stream: "a" })
        const name = `a?key=${Redacted.value(key)}`
        const first = yield* TestServer.publisher(name)
        const [session] = yield* control.sessions(info.credential)
        const [connection] = yield* (yield* RtmpServer).connections
        assert.strictEqual(session, connection?.id)
        yield* first.end
        yield* TestServer.pass("3 seconds")
        assert.deepStrictEqual(yield* control.sessions(info.credential), [])
        yield* reload({ auth: { keys: { enabled: true, allow: { ann: "key-of-ann" } } } })
        assert.strictEqual(yield* attempt("publish", `a?key=${Redacted.value(key)}`), granted)
        assert.deepStrictEqual(
          (yield* control.listKeys).map(({ id }) => id),
          ["ann", info.id]
        )
        yield* control.revokeKey(info.id)
        assert.strictEqual(yield* attempt("publish", name), denied)
      })
    )
  )
})

describe("the access list", () => {
  it.effect("is not got around by the cut of an address: it is about the stream, whose key is the same", () =>
    run(
      { acl: { rules: ["deny all application=studio"] } },
      Effect.gen(function* () {
        yield* TestServer.publisher("x")
        for (const [application, name] of [
          ["", "studio/x"],
          ["studio", "x"],
          ["studio/a", "x"]
        ] as const) {
          assert.notStrictEqual(yield* attempt("publish", name, application), granted, application)
          assert.match(yield* attempt("play", name, application), /Play.Failed|Connect.Rejected/, application)
        }
        assert.strictEqual(yield* attempt("publish", "studio/x", "live"), granted)
      })
    )
  )

  it.effect("refuses by address, for an application and an action", () =>
    run(
      { acl: { rules: ["deny all application=closed", "deny all application=live actions=publish"] } },
      Effect.gen(function* () {
        assert.strictEqual(yield* attempt("publish", "a"), denied)
        assert.strictEqual(yield* attempt("play", "a"), "NetStream.Play.Start")
        assert.strictEqual(yield* attempt("publish", "a", "other"), granted)
        assert.strictEqual(yield* attempt("publish", "a", "closed"), "NetConnection.Connect.Rejected")
      })
    )
  )
})

describe("failures", () => {
  it.effect("block an address at the fifth for auth.block.duration, over a reload, until it is freed", () =>
    run(
      { auth: { keys: { allow: { ann: "key-of-ann" } }, block: { duration: "10 minutes" } } },
      Effect.gen(function* () {
        const control = yield* AccessControl
        const told = yield* Effect.forkScoped(Stream.runCollect(Stream.take(control.attempts, 10)))
        yield* settle
        for (let i = 0; i < 4; i++) yield* attempt("publish", "a?key=key-of-eve")
        assert.deepStrictEqual(yield* control.blocked, [])
        yield* attempt("publish", "a?key=key-of-eve")
        const [blocked] = yield* control.blocked
        assert.strictEqual(blocked?.remainingMs, 600_000)
        assert.strictEqual(control.authenticator.refusal?.(blocked!.address), "TooManyFailures")
        yield* reload({ auth: { keys: { allow: { bob: "key-of-bob" } }, block: { duration: "10 minutes" } } })
        assert.strictEqual((yield* control.blocked).length, 1)
        assert.isTrue(yield* control.unblock(blocked!.address))
        assert.strictEqual(yield* attempt("publish", "a?key=key-of-bob"), granted)
        const attempts = yield* Fiber.join(told)
        assert.deepStrictEqual(shown(attempts[9]!), "publish live/a CredentialInvalid by key, blocked")
        assert.notInclude(JSON.stringify(attempts), "key-of")
      })
    )
  )
})

describe("a reload", () => {
  it.effect("changes the rules for whoever asks from then on, and refuses what cannot be had as a whole", () =>
    run(
      {},
      Effect.gen(function* () {
        const from = yield* TestServer.publisher("a")
        yield* reload({ auth: { keys: { allow: { ann: "key-of-ann" } } } })
        assert.strictEqual(yield* attempt("publish", "b"), denied)
        yield* from.send(Media.videoHeader(), Media.keyframe(0))
        const error = yield* Effect.flip(reload({ auth: { jwt: { publicKeyFile: "/nowhere/key.pem" } } }))
        assert.include(error.message, "auth.jwt.publicKeyFile")
        assert.strictEqual(yield* attempt("publish", "b?key=key-of-ann"), granted)
        yield* reload({ auth: {} })
        assert.strictEqual(yield* attempt("publish", "c"), granted)
        assert.isTrue((yield* (yield* AccessControl).state).open)
      })
    )
  )
})

/** A callback that leaves its questions open until the test answers them. */
const hook = Effect.acquireRelease(
  Effect.callback<Hook>((resume) => {
    const open: Array<Http.ServerResponse> = []
    const waiting: Array<(response: Http.ServerResponse) => void> = []
    const server = Http.createServer((request, response) => {
      request.resume()
      const next = waiting.shift()
      if (next === undefined) open.push(response)
      else next(response)
    })
    server.listen(0, "127.0.0.1", () => {
      resume(
        Effect.succeed({
          url: `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}/`,
          server,
          open,
          asked: Effect.callback<Http.ServerResponse>((resume) => {
            const response = open.shift()
            if (response === undefined) waiting.push((response) => resume(Effect.succeed(response)))
            else resume(Effect.succeed(response))
          })
        })
      )
    })
  }),
  ({ server }) =>
    Effect.sync(() => {
      server.closeAllConnections()
      server.close()
    })
)

interface Hook {
  readonly url: string
  readonly server: Http.Server
  /** Questions that nobody has waited for. */
  readonly open: ReadonlyArray<Http.ServerResponse>
  readonly asked: Effect.Effect<Http.ServerResponse>
}

describe("a callback that is down", () => {
  const down = (fallback: "allow" | "deny") => ({
    auth: { callback: { url: "http://127.0.0.1:1/", maxFailures: 2, openFor: "10 seconds", fallback } }
  })
  const callback = Effect.flatMap(Health, ({ ready }) =>
    Effect.map(ready, ({ checks, status }) => {
      const { ok, reason } = checks.find(({ name }) => name === "callback")!
      return [ok, reason, status]
    })
  )

  it.effect("is a reason not to send clients, until it is to be asked again, for else nobody would find out", () =>
    run(
      down("deny"),
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* callback, [true, "", "ok"])
        for (let i = 0; i < 2; i++) assert.strictEqual(yield* attempt("publish", "a"), denied)
        const refused = "auth.callback.url does not answer: clients are refused"
        assert.deepStrictEqual(yield* callback, [false, refused, "failing"])
        yield* TestServer.pass("10 seconds")
        assert.deepStrictEqual(yield* callback, [true, "", "ok"])
        yield* attempt("publish", "a")
        assert.deepStrictEqual(yield* callback, [false, refused, "failing"])
        yield* reload({ auth: {} })
        assert.deepStrictEqual(yield* callback, [true, "", "ok"])
      })
    )
  )

  it.effect("is a remark only where everybody is let in meanwhile", () =>
    run(
      down("allow"),
      Effect.gen(function* () {
        for (let i = 0; i < 2; i++) assert.strictEqual(yield* attempt("publish", `a${i}`), granted)
        assert.deepStrictEqual(yield* callback, [true, "auth.callback.url does not answer", "ok"])
      })
    )
  )
})

describe("what changes while somebody waits for an answer", () => {
  it.effect("counts: a key that is revoked meanwhile opens nothing, and nobody is left behind with it", () =>
    Effect.gen(function* () {
      const { asked, open, url } = yield* hook
      yield* run(
        { auth: { keys: { enabled: true }, callback: { url } } },
        Effect.gen(function* () {
          const control = yield* AccessControl
          const { info, key } = yield* control.createKey({})
          const waiting = yield* Effect.forkScoped(attempt("publish", `a?key=${Redacted.value(key)}`))
          const response = yield* asked
          yield* control.revokeKey(info.id)
          response.writeHead(200).end()
          assert.strictEqual(yield* Fiber.join(waiting), denied)
          assert.deepStrictEqual(yield* control.sessions(info.credential), [])
          assert.lengthOf(open, 0)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.effect("counts: a callback that a reload replaces is not taken for one that is down", () =>
    Effect.gen(function* () {
      const first = yield* hook
      const second = yield* hook
      const callback = { url: first.url, fallback: "allow" } as const
      yield* run(
        { auth: { callback } },
        Effect.gen(function* () {
          const waiting = yield* Effect.forkScoped(attempt("publish", "a"))
          yield* first.asked
          const reloading = yield* Effect.forkScoped(reload({ auth: { callback: { ...callback, url: second.url } } }))
          const response = yield* second.asked
          response.writeHead(403).end()
          assert.strictEqual(yield* Fiber.join(waiting), denied)
          yield* Fiber.join(reloading)
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("a signed address", () => {
  it.effect("lets in whoever holds it, for what was signed", () =>
    run(
      { auth: { signedUrls: { secrets: ["0123456789abcdef"] } } },
      Effect.gen(function* () {
        const control = yield* AccessControl
        const query = yield* control.sign({
          action: "publish",
          application: "live",
          stream: "a",
          expiresAtMs: 60_000
        })
        assert.strictEqual(yield* attempt("publish", `a?${Redacted.value(query)}`), granted)
        assert.strictEqual(yield* attempt("publish", `b?${Redacted.value(query)}`), denied)
        assert.strictEqual(yield* attempt("publish", "a"), denied)
      })
    )
  )
})

const shown = ({ action, application, blocked, method, outcome, stream }: AccessAttempt): string =>
  `${action} ${application}/${stream} ${outcome} by ${method}${blocked ? ", blocked" : ""}`
