import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import * as AdobeAuth from "../../src/access/AdobeAuth.ts"
import type { AccessDenied, AccessGrant, AccessRequest } from "../../src/access/Authenticator.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as RtmpUrl from "../../src/protocol/RtmpUrl.ts"
import * as Requests from "./Requests.ts"

const lookup = Result.getOrThrow(
  AdobeAuth.lookupIn(
    [
      { user: "u", password: "p" },
      { user: "late", password: "p", scope: { expiresAtMs: 60_000 } },
      { user: "narrow", password: "p", scope: { application: "live", stream: "cam-*", actions: ["publish"] } }
    ],
    NodeCrypto.make.randomBytes
  )
)

const make = (settings: Partial<AdobeAuth.AdobeAuthSettings> = {}) =>
  Effect.provide(AdobeAuth.make({ lookup, ...settings }), Requests.services)

type Method = Effect.Success<ReturnType<typeof make>>

const connect = (method: Method, query: string, changes: Partial<AccessRequest> = {}) =>
  Requests.ask(method, { action: "connect", stream: "", query, ...changes }) as Effect.Effect<
    AccessGrant | AccessDenied
  >

const denied = (answer: unknown): AccessDenied => {
  assert.property(answer, "description")
  return answer as AccessDenied
}

/** The parameters of a challenge, read as librtmp and FFmpeg do. */
const challengeOf = (description: string): Readonly<Record<string, string>> => {
  const start = description.indexOf("?reason=needauth")
  assert.isAtLeast(start, 0, description)
  assert.isBelow(description.length - start, 300)
  return Object.fromEntries(
    description
      .slice(start + 1)
      .split("&")
      .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)])
  )
}

/** What FFmpeg and librtmp answer, as they compute it. */
const answer = (description: string, password: string, application = "live"): string => {
  const { challenge, nonce, opaque, salt, user } = challengeOf(description)
  if (nonce !== undefined) {
    const response = AdobeAuth.llnwResponse(
      AdobeAuth.verifierOf(user!, "", password),
      application,
      nonce,
      "00000001",
      "0badcafe"
    )
    return `authmod=llnw&user=${user}&nonce=${nonce}&cnonce=0badcafe&nc=00000001&response=${response}`
  }
  const verifier = AdobeAuth.verifierOf(user!, salt!, password)
  const response = AdobeAuth.adobeResponse(verifier, opaque ?? challenge!, "6372a40c")
  return `authmod=adobe&user=${user}&challenge=6372a40c&response=${response}&opaque=${opaque}`
}

const logIn = (method: Method, user: string, password: string, dialect: AdobeAuth.Dialect = "adobe") =>
  Effect.gen(function* () {
    const asked = denied(yield* connect(method, `authmod=${dialect}&user=${user}`))
    return yield* connect(method, answer(asked.description, password))
  })

describe("whoever connects without a word of a login", () => {
  const asked = (settings: Partial<AdobeAuth.AdobeAuthSettings>, changes: Partial<AccessRequest>) =>
    Effect.gen(function* () {
      const method = yield* make(settings)
      const answer = yield* connect(method, "", changes)
      const isAsked = answer !== undefined && "reason" in answer
      const request = Requests.request({ action: "connect", stream: "", ...changes })
      assert.strictEqual(method.challenges!(request), isAsked)
      return isAsked
    })

  it.effect("is asked for one, but for players, unless they are to be asked too", () =>
    Effect.gen(function* () {
      assert.isTrue(yield* asked({}, {}))
      assert.isTrue(yield* asked({}, { role: "unknown" }))
      assert.isTrue(yield* asked({}, { role: "publisher" }))
      assert.isFalse(yield* asked({}, { role: "player" }))
      assert.isTrue(yield* asked({ players: true }, { role: "player" }))
    })
  )

  it.effect("is asked in the applications that are named, and below them, since streams of theirs are there", () =>
    Effect.gen(function* () {
      const settings = { application: "studio" }
      assert.isTrue(yield* asked(settings, { application: "studio" }))
      assert.isTrue(yield* asked(settings, { application: "studio/a" }))
      assert.isFalse(yield* asked(settings, { application: "live" }))
      assert.isFalse(yield* asked({ ...settings, players: true }, { application: "live", role: "player" }))
    })
  )
})

describe("what librtmp sends where it was built with nettle", () => {
  it("is read up to the end of its base64, whatever lay behind it in memory", () => {
    const garbage = '\u{fffd}\u0007^B\u001fJ3.m\u0003\\f4V-o"\btmIJ=='
    const app = `live?authmod=adobe&user=ann&challenge=rOH4Qw==${garbage}&response=tmIJiYhvFex0yR/DsJR12Q==${garbage}&opaque=26`
    const { name, query } = Result.getOrThrow(RtmpUrl.application(app))
    assert.strictEqual(name, "live")
    const given = AdobeAuth.parameters(query)!
    assert.deepStrictEqual(
      [given.user, given.clientChallenge, given.response, given.token],
      ["ann", "rOH4Qw==", "tmIJiYhvFex0yR/DsJR12Q==", "26"]
    )
    // Others may send nothing that cannot be printed.
    assert.isTrue(Result.isFailure(RtmpUrl.application(`live?key=a${garbage}`)))
  })
})

describe("the responses", () => {
  it("are those that FFmpeg and librtmp compute", () => {
    const verifier = AdobeAuth.verifierOf("u", "SALT", "p")
    assert.strictEqual(AdobeAuth.adobeResponse(verifier, "OPAQ", "6372a40c"), "8Kcze0GwdcQT+hFzoo/xXw==")
    const query = "authmod=adobe&user=u&challenge=6372a40c&response=8Kcze0GwdcQT+hFzoo/xXw==&opaque=OPAQ"
    const given = AdobeAuth.parameters(query)!
    assert.isTrue(AdobeAuth.verify(verifier, "live", given))
    assert.isFalse(AdobeAuth.verify(verifier, "live", { ...given, token: "OPAR" }))
    assert.isFalse(AdobeAuth.verify(verifier, "live", { ...given, response: undefined }))
    assert.isFalse(AdobeAuth.verify(AdobeAuth.verifierOf("u", "SALT", "q"), "live", given))
  })

  it("of llnw are those of digest authentication with its fixed words", () => {
    // RFC 2617 by hand: MD5("u:live:p"), MD5("publish:/live/_definst_"), and both with nonce, counter and cnonce.
    const verifier = AdobeAuth.verifierOf("u", "", "p")
    assert.strictEqual(verifier.llnw, "cbbc2d82bc2da6553ff7b55dd35d9f1e")
    const response = AdobeAuth.llnwResponse(verifier, "live", "N", "00000001", "C")
    assert.strictEqual(response, "48da92cda277438943a806b21170b644")
    assert.strictEqual(
      AdobeAuth.llnwResponse(verifier, "live/x", "N", "00000001", "C"),
      "27529783cc65b0d771f79995d28326bd"
    )
  })
})

describe("a login", () => {
  for (const dialect of ["adobe", "llnw"] as const) {
    it.effect(`takes three connections with ${dialect}, of which the first two ask and do not fail`, () =>
      Effect.gen(function* () {
        const method = yield* make({ dialect })
        const first = denied(yield* connect(method, ""))
        assert.strictEqual(first.reason, "CredentialMissing")
        assert.include(first.description, "code=403 need auth")
        // FFmpeg reads the dialect up to the next space.
        assert.include(first.description, `authmod=${dialect} `)
        const second = denied(yield* connect(method, `authmod=${dialect}&user=u`))
        assert.strictEqual(second.reason, "CredentialMissing")
        assert.notInclude(second.description, "code=403 need auth")
        assert.include(second.description, `authmod=${dialect} `)
        const login = (yield* connect(method, answer(second.description, "p"))) as AccessGrant
        assert.deepInclude(login, { credential: "user:u", user: "u" })
        assert.deepStrictEqual(yield* Requests.ask(method, { login }), login)
        assert.strictEqual(yield* Requests.ask(method, {}), undefined)
      })
    )
  }

  it.effect("fails at the third, and says neither that the user is unknown nor that the password is wrong", () =>
    Effect.gen(function* () {
      const method = yield* make()
      const wrong = denied(yield* logIn(method, "u", "q"))
      const unknown = denied(yield* logIn(method, "nobody", "p"))
      assert.strictEqual(wrong.reason, "CredentialInvalid")
      assert.include(wrong.description, "?reason=authfailed")
      assert.deepStrictEqual(unknown, wrong)
      const saltOf = (user: string) =>
        Effect.map(
          connect(method, `authmod=adobe&user=${user}`),
          (asked) => challengeOf(denied(asked).description).salt!
        )
      assert.strictEqual(yield* saltOf("nobody"), yield* saltOf("nobody"))
      assert.notStrictEqual(yield* saltOf("nobody"), yield* saltOf("nobody2"))
      assert.strictEqual((yield* saltOf("nobody")).length, (yield* saltOf("u")).length)
    })
  )

  it.effect("cannot be repeated, nor made with a challenge of others, of another time or of one's own", () =>
    Effect.gen(function* () {
      const method = yield* make()
      const ask = Effect.map(connect(method, "authmod=adobe&user=u"), (asked) => denied(asked).description)
      const refused = (query: string, changes: Partial<AccessRequest> = {}) =>
        Effect.map(connect(method, query, changes), (answer) =>
          assert.strictEqual(denied(answer).reason, "CredentialInvalid")
        )
      const good = answer(yield* ask, "p")
      assert.strictEqual((yield* connect(method, good) as Effect.Effect<AccessGrant>).credential, "user:u")
      yield* refused(good)
      yield* refused(answer(yield* ask, "p"), { application: "other" })
      yield* refused(answer((yield* ask).replace("user=u&", "user=narrow&"), "p"))
      yield* refused(answer((yield* ask).replace(/opaque=\w+/, "opaque=mine"), "p"))
      yield* refused("authmod=adobe&user=u&response=&challenge=")
      const late = answer(yield* ask, "p")
      yield* TestClock.adjust("30 seconds")
      yield* refused(late)
    })
  )

  it.effect("is not broken by those who open challenges and leave, beyond those that are the oldest", () =>
    Effect.gen(function* () {
      const method = yield* make({ maxChallenges: 4 })
      const mine = denied(yield* connect(method, "authmod=adobe&user=u")).description
      for (let i = 0; i < 3; i++) yield* connect(method, "authmod=adobe&user=x")
      assert.property(yield* connect(method, answer(mine, "p")), "credential")
      const older = denied(yield* connect(method, "authmod=adobe&user=u")).description
      for (let i = 0; i < 4; i++) yield* connect(method, "authmod=adobe&user=x")
      assert.property(yield* connect(method, answer(older, "p")), "reason")
    })
  )

  it.effect("lasts for what the user may do, as it is when it is done", () =>
    Effect.gen(function* () {
      const method = yield* make()
      const narrow = (yield* logIn(method, "narrow", "p")) as AccessGrant
      const late = (yield* logIn(method, "late", "p")) as AccessGrant
      const outcome = (login: AccessGrant, changes: Partial<AccessRequest> = {}) =>
        Requests.outcome(method, { login, stream: "cam-1", ...changes })
      assert.strictEqual(yield* outcome(narrow), "Granted")
      assert.strictEqual(yield* outcome(narrow, { stream: "other" }), "NotAllowed")
      assert.strictEqual(yield* outcome(narrow, { action: "play" }), "NotAllowed")
      assert.strictEqual(yield* outcome(late), "Granted")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* outcome(late), "CredentialExpired")
      assert.strictEqual(yield* outcome({ credential: "", user: "gone" }), "CredentialInvalid")
    })
  )

  it.effect("ends with the password that it was made with, and not with the salt", () =>
    Effect.gen(function* () {
      let password = "p"
      const changing: AdobeAuth.AdobeAuthSettings["lookup"] = (user) =>
        Effect.suspend(() =>
          Result.getOrThrow(AdobeAuth.lookupIn([{ user: "u", password }], NodeCrypto.make.randomBytes))(user)
        )
      const method = yield* make({ lookup: changing, dialect: "llnw" })
      const login = (yield* logIn(method, "u", "p", "llnw")) as AccessGrant
      assert.notInclude(JSON.stringify(login), AdobeAuth.verifierOf("u", "", "p").llnw)
      assert.strictEqual(yield* Requests.outcome(method, { login }), "Granted")
      password = "q"
      assert.strictEqual(yield* Requests.outcome(method, { login }), "CredentialInvalid")
    })
  )

  it.effect("is asked for in the applications that want it, and of whoever begins one", () =>
    Effect.gen(function* () {
      const method = yield* make({ application: "studio/**" })
      const challenges = (changes: Partial<AccessRequest>) =>
        method.challenges!(Requests.request({ action: "connect", ...changes }))
      assert.isTrue(challenges({ application: "studio/a" }))
      assert.isFalse(challenges({ application: "live" }))
      assert.isTrue(challenges({ application: "live", query: "authmod=adobe&user=u" }))
      assert.strictEqual(yield* connect(method, ""), undefined)
    })
  )

  it.effect("knows only names that a description can carry", () =>
    Effect.gen(function* () {
      const method = yield* make()
      for (const user of ["", "a b", "a%26salt=x", "x".repeat(65), "é"]) {
        assert.strictEqual(
          denied(yield* connect(method, `authmod=adobe&user=${user}`)).reason,
          "CredentialInvalid",
          user
        )
        assert.isTrue(Result.isFailure(AdobeAuth.lookupIn([{ user, password: "p" }], NodeCrypto.make.randomBytes)))
      }
    })
  )
})
