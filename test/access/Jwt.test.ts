import { generateKeyPairSync } from "node:crypto"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { exportJWK, type JWTPayload, SignJWT, UnsecuredJWT } from "jose"
import type { AccessRequest } from "../../src/access/Authenticator.ts"
import * as Jwt from "../../src/access/Jwt.ts"
import * as Requests from "./Requests.ts"

const secretText = "a secret that has thirty-two bytes, and more"
const secret = new TextEncoder().encode(secretText)
const pair = generateKeyPairSync("ec", { namedCurve: "P-256" })
const pem = pair.publicKey.export({ type: "spki", format: "pem" }) as string

const claims = { app: "live", stream: "cam-*", action: "publish", exp: 3_600, sub: "ann" }

type Key = Parameters<SignJWT["sign"]>[0]
const sign = (payload: JWTPayload = claims, key: Key = secret, alg = "HS256", kid?: string) =>
  Effect.promise(() =>
    new SignJWT(payload).setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }) }).sign(key)
  )

const shared: Jwt.JwtSettings = {
  key: { _tag: "Secret", secret: Redacted.make(secretText) },
  algorithms: ["HS256"]
}

const outcome = (settings: Jwt.JwtSettings, token: string, changes: Partial<AccessRequest> = {}) =>
  Effect.flatMap(Jwt.make(settings), (method) =>
    Requests.outcome(method, { stream: "cam-1", query: `token=${token}`, ...changes })
  )

describe("Jwt", () => {
  it.effect("lets in for what its claims name, by its subject", () =>
    Effect.gen(function* () {
      const method = yield* Jwt.make(shared)
      const query = `token=${yield* sign({ ...claims, iss: "me" })}`
      assert.deepStrictEqual(yield* Requests.ask(method, { stream: "cam-1", query }), { credential: "jwt:me:ann" })
      assert.strictEqual(yield* Requests.outcome(method, { stream: "other", query }), "NotAllowed")
      assert.strictEqual(yield* Requests.outcome(method, { application: "b", stream: "cam-1", query }), "NotAllowed")
      assert.strictEqual(yield* Requests.outcome(method, { action: "play", stream: "cam-1", query }), "NotAllowed")
      assert.strictEqual(yield* Requests.outcome(method, { action: "connect", query }), undefined)
      assert.strictEqual(yield* Requests.outcome(method, { query: "" }), undefined)
      const both = `token=${yield* sign({ ...claims, action: ["play", "publish"] })}`
      assert.strictEqual(yield* Requests.outcome(method, { action: "play", stream: "cam-1", query: both }), "Granted")
    })
  )

  it.effect("needs every claim that says what it is good for, and an expiry", () =>
    Effect.gen(function* () {
      for (const missing of ["app", "stream", "action"]) {
        const { [missing as "app"]: _, ...rest } = claims
        assert.strictEqual(yield* outcome(shared, yield* sign(rest)), "NotAllowed", missing)
      }
      const { exp: _, ...endless } = claims
      assert.strictEqual(yield* outcome(shared, yield* sign(endless)), "CredentialInvalid")
      for (const action of ["connect", "", 1, null, []]) {
        assert.strictEqual(yield* outcome(shared, yield* sign({ ...claims, action })), "NotAllowed")
      }
      assert.strictEqual(yield* outcome(shared, yield* sign({ ...claims, app: "x".repeat(600) })), "NotAllowed")
    })
  )

  it.effect("expires on the clock of the server, with what clocks may differ and no more", () =>
    Effect.gen(function* () {
      const method = yield* Jwt.make({ ...shared, clockSkew: "1 minute" })
      const query = `token=${yield* sign()}`
      const now = Requests.outcome(method, { stream: "cam-1", query })
      yield* TestClock.adjust("3659 seconds")
      assert.strictEqual(yield* now, "Granted")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* now, "CredentialExpired")
      const early = yield* sign({ ...claims, exp: 9_000, nbf: 3_722 })
      assert.strictEqual(
        yield* Requests.outcome(method, { stream: "cam-1", query: `token=${early}` }),
        "CredentialInvalid"
      )
    })
  )

  it.effect("is not fooled by signatures of others, other algorithms, or none", () =>
    Effect.gen(function* () {
      const unsigned = new UnsecuredJWT({ ...claims }).encode()
      assert.strictEqual(yield* outcome(shared, unsigned), "CredentialInvalid")
      assert.strictEqual(yield* outcome(shared, yield* sign(claims, new Uint8Array(32))), "CredentialInvalid")
      assert.strictEqual(yield* outcome(shared, yield* sign(claims, secret, "HS512")), "CredentialInvalid")
      const token = yield* sign()
      assert.strictEqual(yield* outcome(shared, `${token}x`), "CredentialInvalid")
      for (const garbage of ["x", "a.b.c", "..", "%00", "e30.e30.e30"]) {
        assert.strictEqual(yield* outcome(shared, garbage), "CredentialInvalid", garbage)
      }
      // The public key is no shared secret, however the token calls itself.
      const publicKey: Jwt.JwtSettings = { key: { _tag: "PublicKey", pem }, algorithms: ["ES256"] }
      const forged = yield* sign(claims, new TextEncoder().encode(pem), "HS256")
      assert.strictEqual(yield* outcome(publicKey, forged), "CredentialInvalid")
      assert.strictEqual(yield* outcome(publicKey, yield* sign(claims, pair.privateKey, "ES256")), "Granted")
    })
  )

  it.effect("is for its issuer and audience, where these are given", () =>
    Effect.gen(function* () {
      const settings = { ...shared, issuer: "me", audience: "tv" }
      assert.strictEqual(yield* outcome(settings, yield* sign({ ...claims, iss: "me", aud: "tv" })), "Granted")
      assert.strictEqual(yield* outcome(settings, yield* sign({ ...claims, iss: "me" })), "CredentialInvalid")
      assert.strictEqual(
        yield* outcome(settings, yield* sign({ ...claims, iss: "you", aud: "tv" })),
        "CredentialInvalid"
      )
    })
  )

  it.live("fetches a key set once, and cannot decide where there is none", () =>
    Effect.gen(function* () {
      const jwk = yield* Effect.promise(() => exportJWK(pair.publicKey))
      let requests = 0
      let status = 503
      const server = createServer((_, response) => {
        requests++
        response.writeHead(status, { "content-type": "application/json" })
        response.end(JSON.stringify({ keys: [{ ...jwk, kid: "one", alg: "ES256", use: "sig" }] }))
      })
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => {
          server.listen(0, "127.0.0.1", () => resume(Effect.void))
        }),
        () => Effect.sync(() => server.close())
      )
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`
      const method = yield* Jwt.make({ key: { _tag: "Jwks", url }, algorithms: ["ES256"] })
      const exp = Math.floor(Date.now() / 1000) + 60
      const token = yield* sign({ ...claims, exp }, pair.privateKey, "ES256", "one")
      const now = (text = token) => Requests.outcome(method, { stream: "cam-1", query: `token=${text}` })
      assert.strictEqual(yield* now(), "Unavailable")
      status = 200
      const before = requests
      for (let i = 0; i < 3; i++) assert.strictEqual(yield* now(), "Granted")
      const unknown = yield* sign({ ...claims, exp }, pair.privateKey, "ES256", "two")
      assert.strictEqual(yield* now(unknown), "CredentialInvalid")
      assert.strictEqual(requests, before + 1)
    }).pipe(Effect.scoped)
  )

  it.effect("is not made of settings that would let in more than meant", () =>
    Effect.gen(function* () {
      const table: ReadonlyArray<Jwt.JwtSettings> = [
        { ...shared, algorithms: [] },
        { ...shared, algorithms: ["HS256", "ES256"] },
        { ...shared, key: { _tag: "Secret", secret: Redacted.make("shorty-shorty") } },
        { ...shared, clockSkew: "6 minutes" },
        { key: { _tag: "PublicKey", pem }, algorithms: ["HS256"] },
        { key: { _tag: "PublicKey", pem }, algorithms: ["ES256", "RS256"] },
        { key: { _tag: "PublicKey", pem: "nonsense" }, algorithms: ["ES256"] },
        { key: { _tag: "Jwks", url: "file:///etc/passwd" }, algorithms: ["ES256"] },
        { key: { _tag: "Jwks", url: "http://" }, algorithms: ["ES256"] }
      ]
      for (const settings of table) {
        const error = yield* Effect.flip(Jwt.make(settings))
        assert.strictEqual(error._tag, "AccessSettingsError")
        assert.notInclude(error.message, "shorty")
      }
    })
  )
})
