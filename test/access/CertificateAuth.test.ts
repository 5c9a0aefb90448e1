import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { ClientCertificate } from "../../src/access/Authenticator.ts"
import * as CertificateAuth from "../../src/access/CertificateAuth.ts"
import { ask, outcome } from "./Requests.ts"

const certificate: ClientCertificate = {
  subject: "CN=studio-1,O=Example Ltd",
  names: ["DNS:studio-1.example", "email:ann@example.org"],
  publicKeySha256: `${"A".repeat(43)}=`
}

const method = (...rules: ReadonlyArray<CertificateAuth.CertificateRule>) =>
  Result.getOrThrow(CertificateAuth.make(rules))

describe("a client certificate", () => {
  it.effect("stands for a credential by its subject, a name of it, or its key", () =>
    Effect.gen(function* () {
      for (const name of [
        "CN=studio-1,O=*",
        "DNS:studio-1.example",
        "DNS:*.example",
        "email:ann@example.org",
        `spki:${"A".repeat(43)}=`
      ]) {
        assert.deepStrictEqual(yield* ask(method({ id: "studio", name }), { certificate }), {
          credential: "certificate:studio"
        })
      }
      for (const name of ["studio-1.example", "DNS:studio-2.example", "CN=studio-1", "spki:B"]) {
        assert.strictEqual(yield* outcome(method({ id: "studio", name }), { certificate }), undefined)
      }
      assert.strictEqual(yield* outcome(method({ id: "any", name: "**" })), undefined)
    })
  )

  it.effect("is good for its scope only, until it expires, and under its public name", () =>
    Effect.gen(function* () {
      const rule = { id: "studio", name: "DNS:*", application: "live", stream: "show", actions: ["publish" as const] }
      const named = method({ ...rule, publishAs: "show" })
      assert.deepStrictEqual(yield* ask(named, { certificate, stream: "anything" }), {
        credential: "certificate:studio",
        stream: "show"
      })
      assert.strictEqual(yield* outcome(method(rule), { certificate }), "NotAllowed")
      assert.strictEqual(yield* outcome(named, { certificate, application: "other" }), "NotAllowed")
      assert.strictEqual(yield* outcome(named, { certificate, action: "play" }), "NotAllowed")
      assert.strictEqual(
        yield* outcome(method({ id: "a", name: "**", expiresAtMs: 0 }), { certificate }),
        "CredentialExpired"
      )
    })
  )

  it.effect("falls under the first rule that names it", () =>
    Effect.gen(function* () {
      const rules = [
        { id: "first", name: "DNS:studio-1.example", actions: ["play" as const] },
        { id: "second", name: "**" }
      ]
      assert.strictEqual(yield* outcome(method(...rules), { certificate }), "NotAllowed")
      assert.deepStrictEqual(yield* ask(method(...rules), { certificate, action: "play" }), {
        credential: "certificate:first"
      })
    })
  )
})
