import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Tls from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { TestClock } from "effect/testing"
import { ConfigStore } from "../../src/config/ConfigStore.ts"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import type { NodeCertificatesShape } from "../../src/node/CertificateStore.ts"
import { NodeCertificates } from "../../src/node/NodeCertificates.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import * as TestAuthority from "../support/TestAuthority.ts"
import * as TestCertificates from "../support/TestCertificates.ts"

const authority = Effect.promise(() => TestAuthority.make("An authority"))

const hosts = (from: TestAuthority.TestAuthority, ...names: ReadonlyArray<string>) =>
  Effect.promise(() => TestAuthority.forHosts(from, ...names))

const put = (path: string, text: string): void => {
  Fs.writeFileSync(`${path}.new`, text)
  Fs.renameSync(`${path}.new`, path)
}

/** A server that clients with certificates of an authority come to, and what it makes of them. */
const visited = (ca: TestAuthority.TestAuthority, certificates: NodeCertificatesShape, version: Tls.SecureVersion) =>
  Effect.gen(function* () {
    const outcomes = yield* Queue.unbounded<string>()
    const { address } = yield* NodeTransport.listen(
      { host: "127.0.0.1", port: 0, backlog: 16, secure: true },
      (connection) =>
        Effect.matchEffect(connection.pull, {
          onSuccess: () =>
            Effect.andThen(Queue.offer(outcomes, connection.security?.certificate?.subject ?? "nobody"), Effect.never),
          onFailure: (error) => Queue.offer(outcomes, error.detail)
        }),
      certificates
    )
    /** Comes with a certificate, and with a session; gives what the server makes of it, as `outcomes` has it then. */
    const come = (issued: TestAuthority.Issued, session?: Buffer) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const socket = Tls.connect({
            port: address.port,
            host: "127.0.0.1",
            ca: ca.certificate,
            servername: "a.test",
            cert: issued.certificate,
            key: issued.key,
            minVersion: version,
            maxVersion: version,
            ...(session === undefined ? {} : { session })
          })
          socket.on("error", () => {})
          socket.write("x")
          return socket
        }),
        (socket) => Effect.sync(() => socket.destroy())
      )
    const outcome = Queue.take(outcomes)
    const sessionOf = (socket: Tls.TLSSocket) =>
      Effect.callback<Buffer>((resume) => {
        socket.once("session", (session) => resume(Effect.succeed(session)))
      })
    return { come, outcome, sessionOf }
  })

/** Writes a certificate and its key, the key first. */
const store = (folder: string, name: string, { certificate, key }: TestAuthority.Issued) => {
  const [certFile, keyFile] = [Path.join(folder, `${name}.pem`), Path.join(folder, `${name}.key`)]
  put(keyFile, key)
  put(certFile, certificate)
  return { certFile, keyFile }
}

/** A server's certificate, and the files that say which clients' certificates count: that of their issuer stands there. */
const revoking = Effect.gen(function* () {
  const folder = yield* TestCertificates.folder
  const ca = yield* authority
  const files = store(folder, "a", yield* hosts(ca, "a.test"))
  const [caFile, crlFile] = [Path.join(folder, "ca.pem"), Path.join(folder, "revoked.pem")]
  put(caFile, ca.certificate)
  return { ca, caFile, crlFile, files }
})

describe("certificates from files", () => {
  it.live(
    "are chosen by the name that a client asks for, exact names before wildcards, and the first for all others",
    () =>
      Effect.gen(function* () {
        const folder = yield* TestCertificates.folder
        const ca = yield* authority
        const first = store(folder, "a", yield* hosts(ca, "a.test"))
        const second = store(folder, "b", yield* hosts(ca, "*.b.test", "c.test"))
        const third = store(folder, "d", yield* hosts(ca, "x.b.test"))
        const { certificates } = yield* TestCertificates.make({
          ...first,
          certificates: { [second.certFile]: second.keyFile, [third.certFile]: third.keyFile }
        })
        const names = (name: string) => Effect.map(TestCertificates.serving(certificates, name), (it) => it.names)
        assert.strictEqual(yield* names("a.test"), "DNS:a.test")
        assert.strictEqual(yield* names("y.b.test"), "DNS:*.b.test, DNS:c.test")
        assert.strictEqual(yield* names("Y.B.Test"), "DNS:*.b.test, DNS:c.test")
        assert.strictEqual(yield* names("c.test"), "DNS:*.b.test, DNS:c.test")
        assert.strictEqual(yield* names("x.b.test"), "DNS:x.b.test")
        for (const other of ["b.test", "z.y.b.test", "other.test"])
          assert.strictEqual(yield* names(other), "DNS:a.test")
        assert.strictEqual(certificates.contextOf(undefined), certificates.contextOf("a.test"))
        assert.isUndefined(certificates.challengeOf("a.test"))
        const { certificates: listed } = yield* certificates.report
        assert.deepStrictEqual(
          listed.map(({ path }) => path),
          [first.certFile, second.certFile, third.certFile]
        )
      }).pipe(Effect.scoped)
  )

  it.live("are taken over when they are replaced on the disk, and a broken one is not, until it is right again", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const ca = yield* authority
      const files = store(folder, "a", yield* hosts(ca, "a.test"))
      const { certificates, health, line, lines, maintain, metrics } = yield* TestCertificates.make(files)
      yield* maintain
      const fingerprint = Effect.map(
        TestCertificates.serving(certificates, "a.test", ca.certificate),
        (it) => it.fingerprint
      )
      const check = Effect.map(health.ready, ({ checks }) => checks.find(({ name }) => name === "certificate"))
      const first = yield* fingerprint

      const next = yield* hosts(ca, "a.test", "b.test")
      store(folder, "a", next)
      yield* line("certificate replaced")
      const second = yield* fingerprint
      assert.notStrictEqual(second, first)

      put(files.certFile, "no certificate")
      const { fields } = yield* line("certificate not replaced, the last good one stays")
      assert.strictEqual(fields.reason, "NotACertificate")
      assert.strictEqual(yield* fingerprint, second)
      assert.strictEqual((yield* check)?.ok, true)
      assert.include((yield* check)?.reason, "last good one")
      assert.include((yield* certificates.report).certificates[0]!.problem, "holds no PEM")
      const error = yield* Effect.flip(certificates.reload)
      assert.strictEqual(error.reason, "NotACertificate")
      assert.lengthOf(
        lines.filter(({ message }) => message.startsWith("certificate not replaced")),
        1
      )

      Fs.rmSync(files.certFile)
      assert.strictEqual((yield* Effect.flip(certificates.reload)).reason, "FileMissing")
      assert.strictEqual(yield* fingerprint, second)

      store(folder, "a", yield* hosts(ca, "a.test"))
      const report = yield* certificates.reload
      assert.strictEqual(report.certificates[0]!.problem, "")
      assert.notStrictEqual(yield* fingerprint, second)
      assert.deepStrictEqual(yield* check, { name: "certificate", ok: true, reason: "a.test ends in less than a day" })
      assert.match(
        yield* metrics.renderPrometheus,
        new RegExp(`^rtmp_certificate_end_timestamp_seconds ${report.certificates[0]!.notAfter / 1000}$`, "m")
      )
    }).pipe(Effect.scoped)
  )

  it.live("follow the configuration while the server runs: as a whole, or not at all", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const ca = yield* authority
      const first = store(folder, "a", yield* hosts(ca, "a.test"))
      const second = store(folder, "b", yield* hosts(ca, "b.test"))
      const caFile = Path.join(folder, "ca.pem")
      Fs.writeFileSync(caFile, ca.certificate)
      const { certificates, configure, reload } = yield* TestCertificates.make(first)
      const before = certificates.contextOf(undefined)
      assert.isFalse(certificates.options().requestCert)

      configure({ ...second, certFile: first.certFile })
      const refused = yield* Effect.flip(reload)
      assert.include(refused.message, "is not the key of the certificate")
      assert.strictEqual(certificates.contextOf(undefined), before)

      const pins = [second, first].map(() => "A".repeat(43).concat("="))
      configure({
        ...second,
        minVersion: "tlsv1.3",
        clientCertificates: { mode: "required", caFile, pins }
      })
      yield* reload
      assert.strictEqual((yield* TestCertificates.serving(certificates, "b.test")).names, "DNS:b.test")
      const { ca: issuers, minVersion, pins: allowed, required, requestCert } = certificates.options()
      assert.deepStrictEqual([minVersion, requestCert, required, issuers], ["TLSv1.3", true, true, ca.certificate])
      assert.deepStrictEqual([...allowed], ["A".repeat(43).concat("=")])

      configure({ ...second, ciphers: "NO-SUCH-CIPHER" })
      assert.include((yield* Effect.flip(reload)).message, "tls.ciphers")
      assert.isTrue(certificates.options().required)
    }).pipe(Effect.scoped)
  )

  it.live("are replaced without a connection noticing", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const ca = yield* authority
      const files = store(folder, "a", yield* hosts(ca, "a.test"))
      const { certificates } = yield* TestCertificates.make(files)
      const arrived = yield* Queue.unbounded<string>()
      const { address } = yield* NodeTransport.listen(
        { host: "127.0.0.1", port: 0, backlog: 16, secure: true },
        (connection) =>
          Effect.ignore(
            Effect.forever(
              Effect.tap(connection.pull, (arrays) => {
                connection.write(Buffer.concat(arrays))
                return Queue.offer(arrived, Buffer.concat(arrays).toString())
              })
            )
          ),
        certificates
      )
      const dial = Effect.acquireRelease(
        Effect.callback<Tls.TLSSocket>((resume) => {
          const socket = Tls.connect({
            host: "127.0.0.1",
            port: address.port,
            servername: "a.test",
            ca: ca.certificate
          })
          socket.on("secureConnect", () => resume(Effect.succeed(socket)))
          socket.on("error", (error) => resume(Effect.die(error)))
        }),
        (socket) => Effect.sync(() => socket.destroy())
      )
      const before = yield* dial
      before.write("one")
      assert.strictEqual(yield* Queue.take(arrived), "one")

      store(folder, "a", yield* hosts(ca, "a.test"))
      yield* certificates.reload
      const after = yield* dial
      assert.notStrictEqual(after.getPeerCertificate().fingerprint256, before.getPeerCertificate().fingerprint256)
      before.write("two")
      assert.strictEqual(yield* Queue.take(arrived), "two")
      assert.isFalse(before.destroyed)
    }).pipe(Effect.scoped)
  )

  it.live.each(["TLSv1.2", "TLSv1.3"] as const)(
    "of clients count no more once their issuer has revoked them, nor do sessions that began before (%s)",
    (version) =>
      Effect.gen(function* () {
        const { ca, caFile, crlFile, files } = yield* revoking
        const [kept, lost] = [yield* hosts(ca, "kept.test"), yield* hosts(ca, "lost.test")]
        const revoke = (...issued: Parameters<typeof ca.revoke>) => Effect.promise(() => ca.revoke(...issued))
        put(crlFile, yield* revoke([]))
        const { certificates, line, maintain } = yield* TestCertificates.make({
          ...files,
          clientCertificates: { mode: "required", caFile, crlFile }
        })
        yield* maintain
        const { come, outcome, sessionOf } = yield* visited(ca, certificates, version)
        const sessions = []
        for (const [issued, name] of [
          [kept, "kept"],
          [lost, "lost"]
        ] as const) {
          sessions.push(yield* sessionOf(yield* come(issued)))
          assert.strictEqual(yield* outcome, `CN=${name}.test`)
        }
        const resumed = yield* come(lost, sessions[1])
        assert.strictEqual(yield* outcome, "CN=lost.test")
        assert.isTrue(resumed.isSessionReused())

        put(crlFile, yield* revoke([lost]))
        yield* line("revocation list replaced")
        for (const session of [undefined, sessions[1]]) {
          yield* come(lost, session)
          assert.include(yield* outcome, "CERT_REVOKED")
        }
        yield* come(kept)
        assert.strictEqual(yield* outcome, "CN=kept.test")

        put(crlFile, "no list")
        const { fields } = yield* line("revocation list not replaced, the last good one stays")
        assert.strictEqual(fields.reason, "NotARevocationList")
        yield* come(lost)
        assert.include(yield* outcome, "CERT_REVOKED")

        // A list that is past its time may lack anybody: it lets nobody in.
        put(crlFile, yield* revoke([lost], new Date(Date.now() - 1_000)))
        yield* line("revocation list replaced")
        yield* come(kept)
        assert.include(yield* outcome, "CRL_HAS_EXPIRED")

        put(caFile, `${ca.certificate}\n`)
        yield* line("file of issuers replaced")
      }).pipe(Effect.scoped)
  )

  it.effect.each(["TLSv1.2", "TLSv1.3"] as const)(
    "of clients are looked at anew once a revocation list is past its time, also where a session could be resumed (%s)",
    (version) =>
      Effect.gen(function* () {
        const { ca, caFile, crlFile, files } = yield* revoking
        // For OpenSSL, which has no other clock than that of the machine, it is not over yet.
        const end = new Date(Date.now() + 3_600_000)
        put(crlFile, yield* Effect.promise(() => ca.revoke([], end)))
        yield* TestClock.setTime(end.getTime() - 30_000)
        const { certificates, line, maintain } = yield* TestCertificates.make({
          ...files,
          clientCertificates: { mode: "required", caFile, crlFile }
        })
        yield* maintain
        const { come, outcome, sessionOf } = yield* visited(ca, certificates, version)
        const client = yield* hosts(ca, "client.test")
        const session = yield* sessionOf(yield* come(client))
        const again = yield* come(client, session)
        assert.deepStrictEqual([yield* outcome, yield* outcome], ["CN=client.test", "CN=client.test"])
        assert.isTrue(again.isSessionReused())

        const past = "a revocation list is past its time: nobody of its issuer is let in until it is replaced"
        const told = yield* Effect.forkChild(line(past), { startImmediately: true })
        while (told.pollUnsafe() === undefined) {
          yield* TestClock.adjust("1 second")
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        const late = yield* come(client, session)
        assert.strictEqual(yield* outcome, "CN=client.test")
        assert.isFalse(late.isSessionReused())
      }).pipe(Effect.scoped)
  )

  it.live("stop a server from starting where they cannot be used, with the key that names them", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const ca = yield* authority
      const good = store(folder, "a", yield* hosts(ca, "a.test"))
      const other = store(folder, "b", yield* hosts(ca, "b.test"))
      const missing = Path.join(folder, "none.pem")
      const cut = Path.join(folder, "cut.pem")
      put(cut, "-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n")
      const cases = [
        [{ ...good, certFile: missing }, "tls.certFile", "does not exist"],
        [{ ...good, keyFile: other.keyFile }, "tls.keyFile", "is not the key"],
        [{ ...good, certificates: { [missing]: good.keyFile } }, "tls.certificates", "does not exist"],
        [{ ...good, ciphers: "NO-SUCH-CIPHER" }, "tls.ciphers", "not accepted"],
        [
          { ...good, clientCertificates: { mode: "optional", caFile: good.keyFile } },
          "tls.clientCertificates.caFile",
          "holds private key"
        ],
        [
          { ...good, clientCertificates: { mode: "optional", caFile: good.certFile, crlFile: good.certFile } },
          "tls.clientCertificates.crlFile",
          "holds no revocation list"
        ],
        [
          { ...good, clientCertificates: { mode: "optional", caFile: good.certFile, crlFile: cut } },
          "tls.clientCertificates.crlFile",
          "not accepted"
        ]
      ] as const
      for (const [tls, path, detail] of cases) {
        const error = yield* Effect.flip(TestCertificates.make(tls))
        assert.strictEqual(error._tag, "ConfigError")
        assert.strictEqual(error.problems[0]?.path, path)
        assert.include(error.message, detail)
      }
    }).pipe(Effect.scoped)
  )

  it.live("are made where none are configured, and give way to files in a reload", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const ca = yield* authority
      const files = store(folder, "a", yield* hosts(ca, "a.test"))
      const directory = Path.join(folder, "data")
      const { certificates, configure, line, reload } = yield* TestCertificates.make({ selfSigned: true, directory })
      const said = yield* line("self-signed certificate made")
      assert.strictEqual(said.level, "Warn")
      const own = Fs.readFileSync(Path.join(directory, "self-signed", "certificate.pem"), "utf8")
      const { authorized, names } = yield* TestCertificates.serving(certificates, "localhost", own)
      assert.isTrue(authorized)
      assert.include(names, "DNS:localhost")
      configure({ selfSigned: true, directory, ...files })
      yield* reload
      assert.strictEqual((yield* TestCertificates.serving(certificates, "localhost")).names, "DNS:a.test")
    }).pipe(Effect.scoped)
  )
})

describe("session tickets", () => {
  it.effect("are encrypted with keys of the same 12 hours, for the certificates that are there then", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const files = store(folder, "a", yield* hosts(yield* authority, "a.test"))
      const { certificates, maintain } = yield* TestCertificates.make(files)
      yield* maintain
      const keys = () => certificates.options().ticketKeys.toString("hex")
      const [first, context] = [keys(), certificates.contextOf("a.test")]
      const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust("719 minutes")
      for (let i = 0; i < 100; i++) yield* turn
      assert.strictEqual(keys(), first)
      yield* TestClock.adjust("1 minute")
      // Files are looked at in the same minute, and that takes as long as the disk does.
      while (keys() === first) yield* turn
      assert.lengthOf(keys(), 96)
      assert.notStrictEqual(certificates.contextOf("a.test"), context)
    }).pipe(Effect.scoped)
  )
})

describe("a server without TLS", () => {
  it.effect("has no certificates, and says so", () =>
    Effect.gen(function* () {
      const layer = NodeCertificates.layer.pipe(
        Layer.provide(ConfigStore.layerStatic.pipe(Layer.provide(RtmpConfig.layer())))
      )
      const certificates = Context.get(yield* Layer.build(layer), NodeCertificates)
      assert.isUndefined(certificates.contextOf("a.test"))
      assert.isFalse((yield* certificates.report).enabled)
      assert.strictEqual((yield* Effect.flip(certificates.renew)).reason, "AcmeOff")
    }).pipe(Effect.scoped)
  )
})
