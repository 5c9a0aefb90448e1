import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as AccessList from "../../src/access/AccessList.ts"
import type { AccessMethod } from "../../src/access/AccessMethod.ts"
import * as AccessPolicy from "../../src/access/AccessPolicy.ts"
import * as AdobeAuth from "../../src/access/AdobeAuth.ts"
import * as AuthCallback from "../../src/access/AuthCallback.ts"
import {
  AccessDenied,
  type AccessDeniedReason,
  type AccessGrant,
  type AccessRequest,
  Authenticator,
  secretStream
} from "../../src/access/Authenticator.ts"
import * as FailureLimiter from "../../src/access/FailureLimiter.ts"
import * as Jwt from "../../src/access/Jwt.ts"
import * as SignedUrls from "../../src/access/SignedUrls.ts"
import * as StreamKeys from "../../src/access/StreamKeys.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as Requests from "./Requests.ts"

const says = (name: string, answer: AccessGrant | AccessDeniedReason | undefined, more: Partial<AccessMethod> = {}) => {
  const asked: Array<AccessRequest> = []
  const method: AccessMethod = {
    name,
    check: (request) => {
      asked.push(request)
      return typeof answer === "string"
        ? Effect.fail(new AccessDenied({ reason: answer, description: name }))
        : Effect.succeed(answer)
    },
    ...more
  }
  return { method, asked }
}

/** A policy, and the attempts that it has told of. */
const policy = (parts: AccessPolicy.AccessPolicyParts) => {
  const attempts: Array<AccessPolicy.AccessAttempt> = []
  const authenticator = AccessPolicy.make(parts, (attempt) => attempts.push(attempt))
  const answer = (changes: Partial<AccessRequest> = {}) =>
    Effect.catch(authenticator.authorize(Requests.request(changes)), (denied) => Effect.succeed(denied))
  return { attempts, authenticator, answer }
}

const reasonOf = (answer: AccessGrant | AccessDenied): string => ("reason" in answer ? answer.reason : "Granted")

describe("the order", () => {
  it.effect("begins with failures, which cost nothing: no method and no list is asked", () =>
    Effect.gen(function* () {
      const limiter = yield* FailureLimiter.make({ maxFailures: 2 })
      const { asked, method } = says("key", "CredentialInvalid")
      const list = Result.getOrThrow(AccessList.make({ rules: [{ rule: "deny", networks: ["198.51.100.0/24"] }] }))
      const { answer, attempts, authenticator } = policy({ limiter, list, methods: [method] })
      for (const expected of ["CredentialInvalid", "CredentialInvalid", "TooManyFailures"]) {
        assert.strictEqual(reasonOf(yield* answer()), expected)
      }
      assert.lengthOf(asked, 2)
      assert.strictEqual(authenticator.refusal!("192.0.2.1"), "TooManyFailures")
      assert.strictEqual(authenticator.refusal!("198.51.100.1"), "AddressNotAllowed")
      assert.strictEqual(authenticator.refusal!("192.0.2.2"), undefined)
      assert.deepStrictEqual(
        attempts.map(({ blocked, method, outcome }) => [method, outcome, blocked]),
        [
          ["key", "CredentialInvalid", false],
          ["key", "CredentialInvalid", true],
          ["limiter", "TooManyFailures", false]
        ]
      )
      assert.strictEqual(reasonOf(yield* answer({ remoteAddress: "198.51.100.1" })), "AddressNotAllowed")
      assert.lengthOf(asked, 2)
    })
  )

  it.effect("asks methods in turn until one grants, and answers with the first decision otherwise", () =>
    Effect.gen(function* () {
      const table: ReadonlyArray<
        readonly [ReadonlyArray<AccessGrant | AccessDeniedReason | undefined>, string, string]
      > = [
        [[], "CredentialMissing", "none"],
        [[undefined], "CredentialMissing", "none"],
        [[undefined, { credential: "b" }, { credential: "c" }], "Granted", "1"],
        [["CredentialInvalid", { credential: "b" }], "Granted", "1"],
        [["CredentialMissing", "CredentialExpired", "NotAllowed"], "CredentialExpired", "1"],
        [["CredentialMissing", undefined], "CredentialMissing", "0"]
      ]
      for (const [answers, outcome, method] of table) {
        const { answer, attempts } = policy({ methods: answers.map((it, index) => says(String(index), it).method) })
        assert.strictEqual(reasonOf(yield* answer()), outcome)
        assert.deepStrictEqual([attempts[0]!.outcome, attempts[0]!.method], [outcome, method])
      }
    })
  )

  it.effect("asks nobody where no credential is needed, and everybody where one is", () =>
    Effect.gen(function* () {
      const { asked, method } = says("key", "CredentialInvalid")
      const { answer } = policy({ methods: [method], needs: ["play"] })
      assert.strictEqual(reasonOf(yield* answer()), "Granted")
      assert.strictEqual(reasonOf(yield* answer({ action: "connect" })), "Granted")
      assert.lengthOf(asked, 0)
      assert.strictEqual(reasonOf(yield* answer({ action: "play" })), "CredentialInvalid")
      assert.strictEqual(reasonOf(yield* policy({}).answer()), "CredentialMissing")
      const login = policy({
        methods: [says("login", "CredentialMissing", { challenges: () => true }).method],
        needs: []
      })
      assert.strictEqual(reasonOf(yield* login.answer({ action: "connect" })), "CredentialMissing")
      assert.strictEqual(reasonOf(yield* login.answer()), "Granted")
    })
  )

  it.effect("ends with vetoes, all of which must agree, and what they add comes on top", () =>
    Effect.gen(function* () {
      const key = says("key", { credential: "key:a", stream: "show", limits: { viewers: 1, durationMs: 5 } })
      const renames = says("callback", { credential: "callback:x", stream: "new", limits: { viewers: 9 } })
      const { answer } = policy({ methods: [key.method], vetoes: [says("quiet", undefined).method, renames.method] })
      assert.deepStrictEqual(yield* answer({ stream: "secret-name" }), {
        credential: "key:a",
        stream: "new",
        limits: { viewers: 1, durationMs: 5 }
      })
      assert.strictEqual(renames.asked[0]!.stream, "show")
      const strict = policy({ methods: [key.method], vetoes: [says("callback", "NotAllowed").method, renames.method] })
      assert.strictEqual(reasonOf(yield* strict.answer()), "NotAllowed")
      assert.lengthOf(renames.asked, 1)
      const open = policy({ needs: [], vetoes: [renames.method] })
      assert.strictEqual(((yield* open.answer()) as AccessGrant).credential, "callback:x")
    })
  )

  it.effect("takes a defect for a refusal, and lets nothing of it out", () =>
    Effect.gen(function* () {
      const broken = says("key", undefined, { check: () => Effect.die(new Error("secret")) }).method
      const thrown = says("jwt", undefined, {
        check: () => {
          throw new Error("secret")
        }
      }).method
      const { answer, attempts } = policy({ methods: [broken, thrown] })
      const denied = yield* answer()
      assert.strictEqual(reasonOf(denied), "Unavailable")
      assert.notInclude(Cause.pretty(Cause.fail(denied)) + JSON.stringify(attempts), "secret")
    })
  )

  it.effect("never shows nor waves through a name that may be a key, whoever refuses it", () =>
    Effect.gen(function* () {
      const limiter = yield* FailureLimiter.make({ maxFailures: 1 })
      const key = says("key", undefined, { readsName: true }).method
      const { answer, attempts } = policy({
        limiter,
        needs: [],
        methods: [says("jwt", "CredentialInvalid").method, key]
      })
      for (const reason of ["CredentialInvalid", "TooManyFailures"]) {
        const denied = (yield* answer({ stream: "maybe-a-key" })) as AccessDenied
        assert.strictEqual(denied.reason, reason)
        assert.isTrue(denied.isStreamSecret)
      }
      assert.deepStrictEqual(
        attempts.map(({ stream }) => stream),
        [secretStream, secretStream]
      )
    })
  )

  it.effect("plays what a key stands for, though nobody needs one, and tells nobody of the key", () =>
    Effect.gen(function* () {
      const reader: AccessMethod = {
        name: "key",
        readsName: true,
        check: ({ action, stream }) => {
          if (stream === "s3cret") return Effect.succeed({ credential: "key:1", stream: "show" })
          if (stream === "0ld") {
            return Effect.fail(
              new AccessDenied({ reason: "CredentialExpired", description: "old", isStreamSecret: true })
            )
          }
          return action === "play" ? Effect.undefined : Effect.fail(refusedKey)
        }
      }
      const refusedKey = new AccessDenied({ reason: "CredentialInvalid", description: "wrong", isStreamSecret: true })
      const { answer, attempts } = policy({ needs: ["publish"], methods: [reader] })
      assert.deepStrictEqual(yield* answer({ action: "play", stream: "s3cret" }), {
        credential: "key:1",
        stream: "show"
      })
      assert.deepStrictEqual(yield* answer({ action: "play", stream: "show" }), { credential: "" })
      assert.strictEqual(reasonOf(yield* answer({ action: "play", stream: "0ld" })), "CredentialExpired")
      const list = Result.getOrThrow(AccessList.make({ rules: [{ rule: "deny", networks: ["all"] }] }))
      const closed = policy({ list, needs: ["publish"], methods: [reader] })
      const denied = (yield* closed.answer({ action: "play", stream: "s3cret" })) as AccessDenied
      assert.isTrue(denied.isStreamSecret)
      assert.deepStrictEqual(
        [...attempts, ...closed.attempts].map(({ outcome, stream }) => `${outcome} ${stream}`),
        ["Granted show", "Granted show", `CredentialExpired ${secretStream}`, `AddressNotAllowed ${secretStream}`]
      )
    })
  )

  it.effect("takes the lower of two limits, whoever says it", () =>
    Effect.gen(function* () {
      const first = says("first", { credential: "a", limits: { bitsPerSecond: 10, viewers: 5 } })
      const second = says("second", { credential: "", limits: { bitsPerSecond: 20, viewers: 3, durationMs: 7 } })
      const { answer } = policy({ methods: [first.method], vetoes: [second.method] })
      assert.deepStrictEqual(yield* answer(), {
        credential: "a",
        limits: { bitsPerSecond: 10, viewers: 3, durationMs: 7 }
      })
    })
  )

  it("tells every method of ends", () => {
    const told: Array<string> = []
    const listens = (name: string) =>
      says(name, undefined, { ended: (request) => told.push(`${name} ${request.action}`) }).method
    const { authenticator } = policy({ methods: [listens("a"), says("b", undefined).method], vetoes: [listens("c")] })
    authenticator.ended!(Requests.request())
    assert.deepStrictEqual(told, ["a publish", "c publish"])
  })
})

describe("failures", () => {
  it.effect("are wrong and expired credentials, once for a login of three connections", () =>
    Effect.gen(function* () {
      const limiter = yield* FailureLimiter.make({})
      const lookup = Result.getOrThrow(AdobeAuth.lookupIn([{ user: "u", password: "p" }], NodeCrypto.make.randomBytes))
      const login = yield* Effect.provide(AdobeAuth.make({ lookup }), Requests.services)
      const { answer } = policy({ limiter, methods: [login], needs: ["publish"] })
      const connect = (query: string) => answer({ action: "connect", stream: "", query })
      const attempt = Effect.gen(function* () {
        yield* connect("")
        const asked = (yield* connect("authmod=adobe&user=u")) as AccessDenied
        const token = /opaque=(\w+)/.exec(asked.description)?.[1]
        return yield* connect(`authmod=adobe&user=u&challenge=1&response=wrong&opaque=${token}`)
      })
      for (let i = 0; i < 4; i++) assert.strictEqual(reasonOf(yield* attempt), "CredentialInvalid")
      assert.isFalse(limiter.isBlocked("192.0.2.1"))
      assert.strictEqual(reasonOf(yield* attempt), "CredentialInvalid")
      assert.isTrue(limiter.isBlocked("192.0.2.1"))
    })
  )

  it.effect("are no refusals that say nothing about a credential", () =>
    Effect.gen(function* () {
      for (const reason of ["CredentialMissing", "NotAllowed", "Unavailable"] as const) {
        const limiter = yield* FailureLimiter.make({ maxFailures: 1 })
        yield* policy({ limiter, methods: [says("key", reason).method] }).answer()
        assert.isFalse(limiter.isBlocked("192.0.2.1"), reason)
      }
    })
  )
})

describe("the layer", () => {
  it.effect("is one authenticator, whose attempts can be listened to", () =>
    Effect.gen(function* () {
      const { attempts } = yield* AccessPolicy.AccessAttempts
      const first = yield* Effect.forkChild(Stream.runHead(attempts), { startImmediately: true })
      const authenticator = yield* Authenticator
      yield* Effect.exit(authenticator.authorize(Requests.request()))
      const attempt = yield* Fiber.join(first)
      assert.deepStrictEqual(
        attempt.pipe((it) => ("value" in it ? it.value : undefined)),
        {
          connectionId: "c1",
          address: "192.0.2.1",
          action: "publish",
          application: "live",
          stream: "camera",
          outcome: "CredentialMissing",
          method: "none",
          blocked: false
        }
      )
    }).pipe(
      Effect.provide(AccessPolicy.layer(Effect.succeed({})).pipe(Layer.provideMerge(AccessPolicy.AccessAttempts.layer)))
    )
  )
})

describe("secrets", () => {
  const letters = "abcdefghjkmnpqrstvwxyz0123456789"

  /** Everything that a person could read: answers, errors as they are printed, attempts, and the log. */
  const seen = (place: StreamKeys.KeyPlace, secret: string, prefix: string) =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.make((options) => {
        lines.push(JSON.stringify([options.message, options.fiber.getRef(References.CurrentLogAnnotations)]))
        lines.push(Cause.pretty(options.cause))
      })
      yield* Effect.gen(function* () {
        const keys = yield* StreamKeys.make({
          in: place,
          keys: [{ id: "k", key: Redacted.make(`${secret}-right`), publishAs: "show", login: true }]
        })
        const methods = [
          keys.method,
          (yield* SignedUrls.make({ secrets: [Redacted.make(`${secret}-sixteen-bytes!`)] })).method,
          yield* Jwt.make({
            key: { _tag: "Secret", secret: Redacted.make(`${secret}-thirty-two-bytes-and-some-more`) },
            algorithms: ["HS256"]
          }),
          yield* AdobeAuth.make({ lookup: keys.lookup }),
          // Nobody listens there.
          yield* AuthCallback.make({ url: `http://127.0.0.1:1/${secret}`, secret: Redacted.make(secret) })
        ]
        const { answer, attempts } = policy({ methods, needs: ["connect", "publish", "play"] })
        const queries = [
          `${prefix}${secret}`,
          `${prefix}${secret}-right`,
          `token=${secret}`,
          `token=a.${secret}.b`,
          `sig=${secret}&expires=9`,
          `sig=00&expires=9${secret}`,
          `authmod=adobe&user=k&response=${secret}&challenge=${secret}&opaque=${secret}`,
          `authmod=llnw&user=k&response=${secret}&cnonce=${secret}&nonce=${secret}`
        ]
        for (const action of ["connect", "publish"] as const) {
          for (const query of queries) {
            const changes =
              place === "name" && action === "publish" ? { stream: `${secret}-right` } : { stream: "camera", query }
            const result = yield* answer({
              action,
              ...changes,
              ...(action === "connect" ? { stream: "" } : {}),
              tcUrl: `rtmp://h/live?key=${secret}`
            })
            lines.push(String(result), JSON.stringify(result), Cause.pretty(Cause.fail(result)))
            if (place === "name") yield* answer({ action: "publish", stream: secret, query })
          }
        }
        lines.push(JSON.stringify(attempts), JSON.stringify(yield* keys.list))
      }).pipe(
        Effect.scoped,
        Effect.provide([Requests.services, FetchHttpClient.layer, Logger.layer([logger])]),
        Effect.provideService(References.MinimumLogLevel, "All")
      )
      return lines.join("\n")
    })

  for (const place of ["query", "name"] as const) {
    it.live.prop(
      `are in nothing that comes out, with keys in the ${place}`,
      [Requests.textOf(letters, 12, 24)],
      ([secret]) =>
        Effect.gen(function* () {
          const text = yield* seen(place, secret, "key=")
          assert.include(text, "CredentialInvalid")
          assert.include(text, "Granted")
          assert.notInclude(text, secret)
        }),
      { arbitrary: { runs: 10 } }
    )
  }
})
