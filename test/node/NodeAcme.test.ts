import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { fileOf } from "../../src/node/CertificateRenewal.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import * as Pebble from "../support/Pebble.ts"
import * as TestCertificates from "../support/TestCertificates.ts"

const names = ["rtmp.test", "live.rtmp.test"]

const acmeOf = (pebble: Pebble.Pebble, folder: string) => ({
  directory: Path.join(folder, "data"),
  acme: {
    domains: names,
    acceptTerms: true,
    email: "ann@example.org",
    directoryUrl: pebble.directoryUrl,
    caFile: pebble.caFile,
    httpHost: "127.0.0.1"
  }
})

const modeOf = (path: string): number => Fs.statSync(path).mode & 0o777

describe.skipIf(!Pebble.isInstalled)("ACME, with a real directory", () => {
  it.live("obtains a certificate over http-01, keeps it and the account, and renews it when asked to", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const httpPort = yield* Pebble.freePort
      const pebble = yield* Pebble.start({ folder, httpPort })
      const { acme, directory } = acmeOf(pebble, folder)
      const settings = { directory, acme: { ...acme, httpPort } }
      const { certificates, line, maintain, store } = yield* TestCertificates.make(settings)
      assert.isUndefined(certificates.contextOf("rtmp.test"))
      yield* maintain
      yield* line("certificate obtained")

      const ca = yield* pebble.roots
      for (const name of names) {
        const { authorized } = yield* TestCertificates.serving(certificates, name, ca)
        assert.isTrue(authorized, name)
      }
      const first = yield* certificates.report
      assert.sameMembers([...first.certificates[0]!.names], names)
      assert.strictEqual(first.certificates[0]!.source, "acme")

      const again = yield* certificates.renew
      assert.notStrictEqual(again.certificates[0]!.publicKeySha256, first.certificates[0]!.publicKeySha256)
      const { fingerprint } = yield* TestCertificates.serving(certificates, "rtmp.test", ca)

      const { tls } = yield* store.current
      const kept = fileOf(tls)
      const account = Path.join(Path.dirname(kept), "account.pem")
      assert.deepStrictEqual([modeOf(kept), modeOf(account), modeOf(Path.dirname(kept))], [0o600, 0o600, 0o700])
      // A server that starts anew takes what is there, and asks for nothing.
      const restarted = yield* TestCertificates.make(settings)
      assert.strictEqual(
        (yield* TestCertificates.serving(restarted.certificates, "rtmp.test", ca)).fingerprint,
        fingerprint
      )
      assert.isTrue((yield* TestCertificates.serving(restarted.certificates, "live.rtmp.test", ca)).authorized)
      // Nothing listens where http-01 was answered.
      const port = yield* Effect.exit(connect(httpPort))
      assert.strictEqual(port._tag, "Failure")
    }).pipe(Effect.scoped)
  )

  it.live("obtains the first certificate over tls-alpn-01 at the port of RTMPS, before there is any", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const tlsPort = yield* Pebble.freePort
      const pebble = yield* Pebble.start({ folder, tlsPort })
      const { acme, directory } = acmeOf(pebble, folder)
      const running = yield* TestCertificates.make({ directory, acme: { ...acme, challenge: "tls-alpn-01" } })
      yield* NodeTransport.listen(
        { host: "127.0.0.1", port: tlsPort, backlog: 16, secure: true },
        (connection) => Effect.ignore(Effect.forever(connection.pull)),
        running.certificates
      )
      yield* running.maintain
      yield* running.line("certificate obtained")
      const { authorized } = yield* TestCertificates.serving(running.certificates, "rtmp.test", yield* pebble.roots)
      assert.isTrue(authorized)
      assert.isUndefined(running.certificates.challengeOf("rtmp.test"))
    }).pipe(Effect.scoped)
  )

  it.live("renews by itself when two thirds of the life of a certificate are over", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const httpPort = yield* Pebble.freePort
      const pebble = yield* Pebble.start({ folder, httpPort, validitySeconds: 6 })
      const { acme, directory } = acmeOf(pebble, folder)
      const { certificates, line, maintain } = yield* TestCertificates.make({ directory, acme: { ...acme, httpPort } })
      yield* maintain
      yield* line("certificate obtained")
      const first = (yield* certificates.report).certificates[0]!
      yield* line("certificate obtained")
      const second = (yield* certificates.report).certificates[0]!
      assert.isAbove(second.notAfter, first.notAfter)
      assert.isAtLeast(second.notBefore, first.notBefore + ((first.notAfter - first.notBefore) * 2) / 3 - 1_000)
      const { authorized } = yield* TestCertificates.serving(certificates, "rtmp.test", yield* pebble.roots)
      assert.isTrue(authorized)
    }).pipe(Effect.scoped)
  )

  it.live("keeps the last good certificate where the directory is away, and says so in health and status", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const httpPort = yield* Pebble.freePort
      const pebble = yield* Pebble.start({ folder, httpPort })
      const { acme, directory } = acmeOf(pebble, folder)
      const { certificates, health, line, maintain } = yield* TestCertificates.make({
        directory,
        acme: { ...acme, httpPort }
      })
      yield* maintain
      yield* line("certificate obtained")
      const ca = yield* pebble.roots
      const before = yield* TestCertificates.serving(certificates, "rtmp.test", ca)
      yield* pebble.stop

      const error = yield* Effect.flip(certificates.renew)
      assert.strictEqual(error.reason, "AcmeUnreachable")
      assert.deepStrictEqual(yield* TestCertificates.serving(certificates, "rtmp.test", ca), before)
      const report = yield* certificates.report
      assert.include(report.acme.lastError, "cannot be reached")
      const { checks, status } = yield* health.ready
      assert.strictEqual(status, "ok")
      assert.include(checks.find(({ name }) => name === "certificate")?.reason, "not obtained")
    }).pipe(Effect.scoped)
  )

  it.live(
    "tells what is wrong: a name that is not ours, one that is refused, an authority that is not trusted, a port in use",
    () =>
      Effect.gen(function* () {
        const folder = yield* TestCertificates.folder
        const httpPort = yield* Pebble.freePort
        const otherPort = yield* Pebble.freePort
        const pebble = yield* Pebble.start({ folder, httpPort: otherPort, blocked: ["blocked.test"] })
        const { acme, directory } = acmeOf(pebble, folder)
        const settings = { directory, acme: { ...acme, httpPort } }
        const { certificates, configure, reload } = yield* TestCertificates.make(settings)

        // It asks at another port, where nobody answers.
        const notOurs = yield* Effect.flip(certificates.renew)
        assert.strictEqual(notOurs.reason, "AcmeChallengeFailed")
        assert.include(notOurs.message, "rtmp.test")

        configure({ ...settings, acme: { ...settings.acme, domains: ["blocked.test"] } })
        yield* reload
        const refused = yield* Effect.flip(certificates.renew)
        assert.strictEqual(refused.reason, "AcmeRefused")
        assert.include(refused.detail, "refused the order")

        configure({ ...settings, acme: { ...settings.acme, caFile: "" } })
        yield* reload
        assert.strictEqual((yield* Effect.flip(certificates.renew)).reason, "AcmeUnreachable")

        yield* occupied(httpPort)
        configure(settings)
        yield* reload
        const inUse = yield* Effect.flip(certificates.renew)
        assert.strictEqual(inUse.reason, "AcmePortUnavailable")
        assert.include(inUse.message, String(httpPort))
      }).pipe(Effect.scoped)
  )

  it.live("uses the account that the directory asks for, and takes another key for another one", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const httpPort = yield* Pebble.freePort
      const keys = [1, 2].map((byte) => Buffer.alloc(48, byte).toString("base64url"))
      const pebble = yield* Pebble.start({ folder, httpPort, accounts: { "kid-1": keys[0]!, "kid-2": keys[1]! } })
      const { acme, directory } = acmeOf(pebble, folder)
      const settings = (kid: string, hmacKey: string) => ({
        directory,
        acme: { ...acme, httpPort, eab: { kid, hmacKey } }
      })
      const { certificates, configure, lines, reload, store } = yield* TestCertificates.make(settings("", ""))
      const without = yield* Effect.flip(certificates.renew)
      assert.strictEqual(without.reason, "AcmeRefused")
      assert.include(without.detail, "refused the account")

      const wrong = Buffer.alloc(48, 9).toString("base64url")
      configure(settings("kid-1", wrong))
      yield* reload
      assert.strictEqual((yield* Effect.flip(certificates.renew)).reason, "AcmeRefused")

      // Nothing but the secret is another one now.
      configure(settings("kid-1", keys[0]!))
      yield* reload
      const first = yield* certificates.renew
      assert.sameMembers([...first.certificates[0]!.names], names)

      configure(settings("kid-2", keys[1]!))
      yield* reload
      yield* certificates.renew
      const home = Path.dirname(fileOf((yield* store.current).tls))
      const accounts = Fs.readdirSync(home).filter((name) => name.startsWith("account"))
      assert.lengthOf(accounts, 3)
      assert.deepStrictEqual(
        accounts.map((name) => modeOf(Path.join(home, name))),
        accounts.map(() => 0o600)
      )
      for (const secret of [...keys, wrong]) assert.notInclude(JSON.stringify(lines), secret)
    }).pipe(Effect.scoped)
  )

  it.live("serves with a certificate also where it cannot be kept, and does not ask for another one", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const httpPort = yield* Pebble.freePort
      const pebble = yield* Pebble.start({ folder, httpPort })
      const { acme, directory } = acmeOf(pebble, folder)
      const settings = { directory, acme: { ...acme, httpPort } }
      const place = yield* Effect.map((yield* TestCertificates.make(settings)).store.current, ({ tls }) => fileOf(tls))
      Fs.mkdirSync(place, { recursive: true })
      const { certificates, line, maintain } = yield* TestCertificates.make(settings)
      yield* line("the certificate that was kept is not used")
      yield* maintain
      yield* line("certificate obtained")
      const { level } = yield* line("certificate not kept")
      assert.strictEqual(level, "Error")
      assert.isTrue((yield* TestCertificates.serving(certificates, "rtmp.test", yield* pebble.roots)).authorized)
      assert.isAbove((yield* certificates.report).acme.nextAttemptAt, Date.now())
    }).pipe(Effect.scoped)
  )

  it.live("lets those who ask for a renewal at the same time have the same one", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const httpPort = yield* Pebble.freePort
      const pebble = yield* Pebble.start({ folder, httpPort })
      const { acme, directory } = acmeOf(pebble, folder)
      const { certificates, lines } = yield* TestCertificates.make({ directory, acme: { ...acme, httpPort } })
      const one = yield* Effect.forkChild(certificates.renew)
      const other = yield* Effect.forkChild(certificates.renew)
      const [first, second] = [yield* Fiber.join(one), yield* Fiber.join(other)]
      assert.strictEqual(second.certificates[0]!.publicKeySha256, first.certificates[0]!.publicKeySha256)
      assert.lengthOf(
        lines.filter(({ message }) => message === "certificate obtained"),
        1
      )
    }).pipe(Effect.scoped)
  )
})

/** Listens at a port until the scope ends. */
const occupied = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer()
      server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

const connect = (port: number): Effect.Effect<void, Error> =>
  Effect.callback<void, Error>((resume) => {
    const socket = Net.connect(port, "127.0.0.1")
    socket.on("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.on("error", (error) => resume(Effect.fail(error)))
  })
