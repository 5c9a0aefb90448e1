import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CertCommand from "../../../src/node/cli/CertCommand.ts"
import * as Table from "../../../src/node/cli/Table.ts"
import { acmeOff, Certificates } from "../../../src/server/Certificates.ts"
import * as Harness from "../../http/AdminHarness.ts"
import * as TestAuthority from "../../support/TestAuthority.ts"
import * as TestCertificates from "../../support/TestCertificates.ts"
import * as CommandLine from "./CommandLine.ts"

const serving = Effect.map(Harness.open, ({ port }) => ({
  run: (...args: ReadonlyArray<string>) => CommandLine.run([...args, "--url", `http://127.0.0.1:${port}`])
}))

const now = Date.UTC(2026, 0, 2, 3, 4, 5)
const dayMs = 86_400_000

const certificate = {
  source: "acme" as const,
  path: "data/acme/a/certificate.pem",
  names: ["a.test", "b.test"],
  issuer: "CN=An authority",
  notBefore: now - dayMs,
  notAfter: now + 20 * dayMs,
  publicKeySha256: "x",
  problem: ""
}

describe("the commands about certificates", () => {
  it.live("list them, read them again, and say why where that or a renewal fails", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const [certFile, keyFile] = [Path.join(folder, "a.pem"), Path.join(folder, "a.key")]
      const authority = yield* Effect.promise(() => TestAuthority.make("An authority"))
      const own = yield* Effect.promise(() => TestAuthority.forHosts(authority, "a.test"))
      Fs.writeFileSync(certFile, own.certificate)
      Fs.writeFileSync(keyFile, own.key)
      const { certificates } = yield* TestCertificates.make({ certFile, keyFile })
      const { run } = yield* serving.pipe(Effect.provideService(Certificates, certificates))

      const { out } = yield* run("cert")
      assert.match(out, /^NAMES +FROM +ENDS +LEFT +ISSUER +FILE\na\.test +file +\S+ \S+Z +2?3h .*CN=An authority/)
      assert.strictEqual((yield* run("cert", "list")).out, out)
      const report = JSON.parse((yield* run("cert", "list", "--json")).out)
      assert.deepStrictEqual(report, JSON.parse(JSON.stringify(yield* certificates.report)))

      const next = yield* Effect.promise(() => TestAuthority.forHosts(authority, "a.test", "b.test"))
      Fs.writeFileSync(keyFile, next.key)
      Fs.writeFileSync(certFile, next.certificate)
      assert.include((yield* run("cert", "reload")).out, "a.test, b.test")
      Fs.writeFileSync(keyFile, own.key)
      const refused = yield* run("cert", "reload")
      assert.strictEqual(refused.status, 1)
      assert.include(refused.error, "is not the key of the certificate")
      assert.include((yield* run("cert")).out, "a.test is the last good one")

      const renewed = yield* run("cert", "renew")
      assert.deepStrictEqual([renewed.status, renewed.out], [1, ""])
      assert.include(renewed.error, "tls.acme.domains")
    }).pipe(Effect.scoped, Effect.provide(Harness.services()))
  )

  it.effect("say that there are none where TLS is off", () =>
    Effect.gen(function* () {
      const { run } = yield* serving
      assert.strictEqual((yield* run("cert")).out, "the server serves no RTMPS: tls.enabled is false")
      assert.include((yield* run("cert", "renew")).error, "TLS is off")
    }).pipe(Effect.scoped, Effect.provide(Harness.services()))
  )

  it.effect("make a pair of files without a server, and replace none unless they are told to", () =>
    Effect.gen(function* () {
      const out = Path.join(yield* TestCertificates.folder, "made")
      const run = (...args: ReadonlyArray<string>) =>
        CommandLine.run(["cert", "self-signed", "--out", out, "--name", "studio.local", "--name", "192.0.2.7", ...args])
      const made = yield* run()
      assert.strictEqual(made.status, 0)
      assert.include(made.out, "for studio.local, 192.0.2.7, good for 397 days")
      const [certFile, keyFile] = [Path.join(out, "certificate.pem"), Path.join(out, "key.pem")]
      assert.strictEqual(Fs.statSync(keyFile).mode & 0o777, 0o600)
      const first = Fs.readFileSync(certFile, "utf8")
      const again = yield* run()
      assert.strictEqual(again.status, 1)
      assert.include(again.error, "--force")
      assert.strictEqual(Fs.readFileSync(certFile, "utf8"), first)
      assert.strictEqual((yield* run("--force")).status, 0)
      assert.notStrictEqual(Fs.readFileSync(certFile, "utf8"), first)
      assert.strictEqual((yield* CommandLine.run(["cert", "self-signed", "--name", "a b"])).status, 2)
    }).pipe(Effect.scoped)
  )

  it("tell how ACME is doing", () => {
    const acme = { ...acmeOff, state: "Waiting" as const, domains: ["a.test"], directoryUrl: "https://acme.test/dir" }
    const draw = (report: Parameters<typeof CertCommand.view>[0]) => CertCommand.view(report, now, Table.plain)
    assert.deepStrictEqual(
      draw({ enabled: true, certificates: [certificate], acme: { ...acme, nextAttemptAt: now + dayMs } }),
      [
        "NAMES           FROM  ENDS                  LEFT  ISSUER           FILE",
        "a.test, b.test  ACME  2026-01-22 03:04:05Z   20d  CN=An authority  data/acme/a/certificate.pem",
        "",
        "ACME at https://acme.test/dir: next attempt in 1d (2026-01-03 03:04:05Z)"
      ]
    )
    const late = { ...certificate, notAfter: now - 1, problem: "a.pem: does not exist\n" }
    const failing = draw({ enabled: true, certificates: [late], acme: { ...acme, state: "Ordering", lastError: "no" } })
    assert.include(failing[1], "ended")
    assert.deepStrictEqual(failing.slice(3), [
      "a.test is the last good one: a.pem: does not exist\\u{a}",
      "",
      "ACME at https://acme.test/dir: a certificate is being obtained now",
      "the last attempt failed: no"
    ])
    assert.strictEqual(draw({ enabled: true, certificates: [], acme: acmeOff })[0], "there is no certificate yet")
  })
})
