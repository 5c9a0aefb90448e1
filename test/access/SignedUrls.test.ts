import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import * as SignedUrls from "../../src/access/SignedUrls.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"
import * as Requests from "./Requests.ts"

const secret = "a secret of enough bytes"
const make = (...secrets: ReadonlyArray<string>) =>
  Effect.provide(SignedUrls.make({ secrets: secrets.map((text) => Redacted.make(text)) }), Requests.services)

const grant: SignedUrls.SignedGrant = {
  action: "publish",
  application: "live",
  stream: "camera",
  expiresAtMs: 60_000
}

const query = (urls: SignedUrls.SignedUrls, changes: Partial<SignedUrls.SignedGrant> = {}): string =>
  Redacted.value(Result.getOrThrow(urls.sign({ ...grant, ...changes })))

describe("SignedUrls", () => {
  it.effect("lets its holder do the one thing until it expires", () =>
    Effect.gen(function* () {
      const urls = yield* make(secret)
      const signed = query(urls)
      assert.match(signed, /^expires=60&sig=[0-9a-f]{64}$/)
      assert.strictEqual(yield* Requests.outcome(urls.method, { query: signed }), "Granted")
      assert.strictEqual(yield* Requests.outcome(urls.method, { query: `a=1&${signed}` }), "Granted")
      yield* TestClock.adjust("59999 millis")
      assert.strictEqual(yield* Requests.outcome(urls.method, { query: signed }), "Granted")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Requests.outcome(urls.method, { query: signed }), "CredentialExpired")
    })
  )

  it.effect("is refused for anything else, and after any change", () =>
    Effect.gen(function* () {
      const urls = yield* make(secret)
      const signed = query(urls)
      const refused = (changes: Parameters<typeof Requests.outcome>[1]) =>
        Effect.map(Requests.outcome(urls.method, { query: signed, ...changes }), (outcome) =>
          assert.strictEqual(outcome, "CredentialInvalid", JSON.stringify(changes))
        )
      yield* refused({ action: "play" })
      yield* refused({ stream: "camera2" })
      yield* refused({ application: "live2" })
      yield* refused({ query: signed.replace("expires=60", "expires=61") })
      yield* refused({ query: `${signed}&bound=1` })
      yield* refused({ query: signed.slice(0, -2) })
      yield* refused({ query: "expires=60&sig=" })
      yield* refused({ query: "expires=60&sig=zz" })
      yield* refused({ query: query(yield* make("another secret, also long")) })
      for (let i = signed.length - 64; i < signed.length; i++) {
        const other = signed[i] === "0" ? "1" : "0"
        yield* refused({ query: signed.slice(0, i) + other + signed.slice(i + 1) })
      }
      assert.strictEqual(yield* Requests.outcome(urls.method, { query: "key=1" }), undefined)
      assert.strictEqual(yield* Requests.outcome(urls.method, { action: "connect", query: signed }), undefined)
    })
  )

  it.effect("can be for one client only, in whatever form its address comes", () =>
    Effect.gen(function* () {
      const urls = yield* make(secret)
      const signed = query(urls, { address: "::ffff:192.0.2.1" })
      const outcome = (remoteAddress: string, text = signed) =>
        Requests.outcome(urls.method, { query: text, remoteAddress })
      assert.strictEqual(yield* outcome("192.0.2.1"), "Granted")
      assert.strictEqual(yield* outcome("::ffff:192.0.2.1"), "Granted")
      assert.strictEqual(yield* outcome("192.0.2.2"), "CredentialInvalid")
      assert.strictEqual(yield* outcome("192.0.2.1", signed.replace("&bound=1", "")), "CredentialInvalid")
      assert.strictEqual(yield* outcome("/run/socket"), "CredentialInvalid")
      assert.isTrue(Result.isFailure(urls.sign({ ...grant, address: "nowhere" })))
    })
  )

  it.effect("is accepted under an old secret, and signed with the first", () =>
    Effect.gen(function* () {
      const old = yield* make(secret)
      const both = yield* make("the new secret, long too", secret)
      assert.strictEqual(yield* Requests.outcome(both.method, { query: query(old) }), "Granted")
      assert.strictEqual(yield* Requests.outcome(old.method, { query: query(both) }), "CredentialInvalid")
    })
  )

  it.effect("needs secrets that cannot be guessed, and does not repeat them", () =>
    Effect.gen(function* () {
      for (const secrets of [[], ["fifteen bytes.."], [secret, ""]]) {
        const error = yield* Effect.flip(make(...secrets))
        assert.strictEqual(error.setting, "secrets")
        assert.notInclude(error.message, "fifteen")
      }
    })
  )

  it.effect.prop(
    "agrees with itself for all names and times",
    [Requests.textOf("ab/ \u00e9&=?%", 1, 12), Requests.textOf("ab/ &", 1, 12), integer(1, 2 ** 31)],
    ([application, stream, expires]) =>
      Effect.gen(function* () {
        const urls = yield* make(secret)
        const signed = query(urls, { application, stream, expiresAtMs: expires * 1000 })
        const outcome = (changes: object) =>
          Requests.outcome(urls.method, { application, stream, query: signed, ...changes })
        assert.strictEqual(yield* outcome({}), "Granted")
        assert.strictEqual(yield* outcome({ stream: `${stream}x` }), "CredentialInvalid")
      })
  )
})
