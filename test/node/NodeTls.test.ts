import { spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Tls from "node:tls"
import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as NodeTls from "../../src/node/NodeTls.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import type { Connection } from "../../src/server/Transport.ts"
import * as TestAuthority from "../support/TestAuthority.ts"

const here = { host: "127.0.0.1", port: 0, backlog: 16, secure: true }

interface Settings {
  readonly requestCert?: boolean
  readonly required?: boolean
  readonly ca?: string
  readonly pins?: ReadonlyArray<string>
  readonly context?: Tls.SecureContextOptions
}

/** Certificates that a test can replace. */
const certificatesOf = (first: TestAuthority.Issued, settings: Settings = {}) => {
  const ticketKeys = randomBytes(48)
  const contextFor = ({ certificate, key }: TestAuthority.Issued) =>
    Tls.createSecureContext({
      minVersion: "TLSv1.2",
      cert: certificate,
      key,
      ticketKeys,
      sessionIdContext: "test",
      ...(settings.ca === undefined ? {} : { ca: settings.ca }),
      ...settings.context
    })
  let usual: Tls.SecureContext | undefined = contextFor(first)
  const byName = new Map<string, Tls.SecureContext>()
  const challenges = new Map<string, Tls.SecureContext>()
  const { ca, pins = [], requestCert = false, required = false } = settings
  const certificates: NodeTls.Certificates = {
    contextOf: (name) => (name === undefined ? usual : (byName.get(name) ?? usual)),
    challengeOf: (name) => challenges.get(name),
    options: () => ({
      minVersion: "TLSv1.2",
      requestCert,
      required,
      pins: new Set(pins),
      ticketKeys,
      ...(ca === undefined ? {} : { ca })
    })
  }
  return {
    certificates,
    replace: (issued: TestAuthority.Issued | undefined) => {
      usual = issued === undefined ? undefined : contextFor(issued)
    },
    name: (name: string, issued: TestAuthority.Issued) => byName.set(name, contextFor(issued)),
    challenge: (name: string, issued: TestAuthority.Issued) => challenges.set(name, contextFor(issued))
  }
}

const listening = (certificates: NodeTls.Certificates) =>
  Effect.gen(function* () {
    const connections = yield* Queue.unbounded<Connection>()
    const listener = yield* NodeTransport.listen(
      here,
      (connection) => Effect.andThen(Queue.offer(connections, connection), Effect.never),
      certificates
    )
    return { listener, port: listener.address.port, next: Queue.take(connections) }
  })

const dial = (port: number, options: Tls.ConnectionOptions) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = Tls.connect({ host: "127.0.0.1", port, servername: "localhost", ...options })
      // A refusal is looked at where it matters.
      socket.on("error", () => {})
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

const agreed = (socket: Tls.TLSSocket) =>
  Effect.callback<void>((resume) => {
    socket.once("secureConnect", () => resume(Effect.void))
  })

const closed = (socket: Net.Socket) =>
  Effect.callback<void>((resume) => {
    if (socket.closed) resume(Effect.void)
    else socket.once("close", () => resume(Effect.void)).resume()
  })

const gone = (connection: Connection) => Effect.flip(connection.pull)

const authority = Effect.cached(Effect.promise(() => TestAuthority.make("test authority")))
const shared = Effect.runSync(authority)
const server = (...hosts: ReadonlyArray<string>) =>
  Effect.flatMap(shared, (authority) =>
    Effect.promise(() => TestAuthority.forHosts(authority, ...(hosts.length === 0 ? ["localhost"] : hosts)))
  )

const bytes = (text: string) => new TextEncoder().encode(text)
const text = (pieces: ReadonlyArray<Uint8Array>) => Buffer.concat([...pieces]).toString()

describe("a secure listener", () => {
  it.live("passes bytes both ways and says what was agreed on", () =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const { certificates } = certificatesOf(yield* server())
      const { next, port } = yield* listening(certificates)
      const client = yield* dial(port, { ca })
      client.write("hello")
      const connection = yield* next
      assert.strictEqual(text(yield* connection.pull), "hello")
      assert.deepStrictEqual(connection.security, { protocol: "TLSv1.3", serverName: "localhost" })
      assert.strictEqual(connection.remote.port, client.localPort)
      assert.isTrue(connection.write(bytes("one ")))
      assert.isTrue(connection.write(bytes("two")))
      connection.end()
      const answer = yield* Effect.promise(() => client.toArray())
      assert.strictEqual(text(answer), "one two")
      assert.strictEqual((yield* gone(connection)).reason, "Closed")
    }).pipe(Effect.scoped)
  )

  it.live("begins no handshake with a client that is refused at the door", () =>
    Effect.gen(function* () {
      const { certificates } = certificatesOf(yield* server())
      let asked = 0
      const counting = {
        ...certificates,
        contextOf: (name: string | undefined) => {
          asked++
          return certificates.contextOf(name)
        }
      }
      const listener = yield* NodeTransport.listen(
        here,
        (connection) => Effect.sync(() => connection.destroy()),
        counting
      )
      yield* closed(yield* dial(listener.address.port, {}))
      assert.strictEqual(asked, 0)
    }).pipe(Effect.scoped)
  )

  it.live.each([
    { side: "below", pieces: 1 },
    { side: "above", pieces: 8 }
  ])("tells when a full socket has drained, $side the high-water mark", ({ pieces }) =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const { next, port } = yield* listening(certificatesOf(yield* server()).certificates)
      const client = yield* dial(port, { ca })
      yield* Effect.forkScoped(Effect.flatMap(next, (connection) => Effect.ignore(Effect.forever(connection.pull))))
      const { next: again, port: secondPort } = yield* listening(certificatesOf(yield* server()).certificates)
      client.destroy()
      const slow = yield* dial(secondPort, { ca })
      slow.write("x")
      const connection = yield* again
      yield* connection.pull
      slow.pause()
      const piece = new Uint8Array(32 * 1024)
      let sent = 0
      while (true) {
        sent += piece.length
        if (!connection.write(piece)) break
        // TLS tells what the kernel took a turn later.
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      for (let i = 1; i < pieces; i++) {
        connection.write(piece)
        sent += piece.length
      }
      assert.isAbove(connection.bufferedBytes(), 0)
      let received = 0
      slow.on("data", (chunk) => {
        received += chunk.length
      })
      slow.resume()
      yield* Effect.callback<void>((resume) => connection.onDrain(() => resume(Effect.void)))
      assert.strictEqual(connection.bufferedBytes(), 0)
      yield* Effect.callback<void>((resume) => connection.onDrain(() => resume(Effect.void)))
      connection.end()
      yield* closed(slow)
      assert.strictEqual(received, sent)
    }).pipe(Effect.scoped)
  )

  it.live("takes what is written turn by turn, in any amount, for passed on while the client reads", () =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const { next, port } = yield* listening(certificatesOf(yield* server()).certificates)
      const client = yield* dial(port, { ca })
      client.write("x")
      client.resume()
      const connection = yield* next
      yield* connection.pull
      for (let turn = 0; turn < 20; turn++) {
        assert.isTrue(connection.write(new Uint8Array(turn % 5 === 0 ? 200_000 : 5_000)), `turn ${turn}`)
        yield* Effect.sleep(5)
      }
      assert.strictEqual(connection.bufferedBytes(), 0)
    }).pipe(Effect.scoped)
  )

  it.live(
    "encrypts a large write in pieces, and never joins those that wait, so that no connection keeps its size",
    () =>
      Effect.gen(function* () {
        const { certificate: ca } = yield* shared
        const sizes: Array<number> = []
        const socket = Promise.withResolvers<Tls.TLSSocket>()
        const { certificates } = certificatesOf(yield* server())
        const made = Promise.withResolvers<Connection>()
        const listener = Net.createServer({ pauseOnConnect: true }, (raw) => {
          const remote = { host: "127.0.0.1", port: 0 }
          made.resolve(
            NodeTls.makeConnection(raw, remote, certificates, (tls, ...rest) => {
              if (tls instanceof Tls.TLSSocket) socket.resolve(tls)
              return NodeTransport.makeConnection(tls, ...rest)
            })
          )
        })
        yield* Effect.acquireRelease(
          Effect.callback<void>((resume) => {
            listener.listen(0, "127.0.0.1", () => resume(Effect.void))
          }),
          () => Effect.sync(() => listener.close())
        )
        const address = listener.address()
        assert.isTrue(typeof address === "object" && address !== null)
        const client = yield* dial(typeof address === "object" && address !== null ? address.port : 0, { ca })
        client.write("x")
        const connection = yield* Effect.promise(() => made.promise)
        yield* connection.pull
        const tls = yield* Effect.promise(() => socket.promise)
        const { _write } = tls
        tls._write = function (chunk, ...rest) {
          sizes.push(chunk.length)
          _write.call(this, chunk, ...rest)
        }
        const sent = Uint8Array.from({ length: 500_000 }, (_, i) => (i * 31) >> 3)
        for (let at = 0; at < sent.length; at += 100_000) connection.write(sent.subarray(at, at + 100_000))
        connection.end()
        const received = yield* Effect.promise(() => client.toArray())
        assert.isTrue(Buffer.concat(received).equals(sent))
        assert.strictEqual(
          sizes.reduce((sum, size) => sum + size, 0),
          sent.length
        )
        assert.isAtMost(Math.max(...sizes), 32 * 1024)
      }).pipe(Effect.scoped)
  )

  it.live("shows the certificate of the name that is asked for, and the usual one for any other", () =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const made = certificatesOf(yield* server("usual.example"))
      made.name("live.example", yield* server("live.example"))
      const { port } = yield* listening(made.certificates).pipe(Effect.tap(served))
      const nameFor = (servername: string | undefined) =>
        Effect.gen(function* () {
          const options = servername === undefined ? { servername: "" } : { servername }
          const client = yield* dial(port, { ca, checkServerIdentity: () => undefined, ...options })
          yield* agreed(client)
          return client.getPeerX509Certificate()!.subject
        })
      assert.strictEqual(yield* nameFor("live.example"), "CN=live.example")
      assert.strictEqual(yield* nameFor("other.example"), "CN=usual.example")
      assert.strictEqual(yield* nameFor(undefined), "CN=usual.example")
    }).pipe(Effect.scoped)
  )

  it.live("replaces its certificate for the next client, and leaves alone who is there", () =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const made = certificatesOf(yield* server("localhost", "first.example"))
      const { next, port } = yield* listening(made.certificates)
      const early = yield* dial(port, { ca })
      early.write("early")
      const first = yield* next
      assert.strictEqual(text(yield* first.pull), "early")
      made.replace(yield* server("localhost", "second.example"))
      const late = yield* dial(port, { ca })
      late.write("late")
      const second = yield* next
      assert.strictEqual(text(yield* second.pull), "late")
      assert.include(early.getPeerX509Certificate()!.subjectAltName, "first.example")
      assert.include(late.getPeerX509Certificate()!.subjectAltName, "second.example")
      early.write("still here")
      assert.strictEqual(text(yield* first.pull), "still here")
    }).pipe(Effect.scoped)
  )

  it.live.each(["TLSv1.2", "TLSv1.3"] as const)(
    "resumes a %s session, also after its certificate was replaced",
    (version) =>
      Effect.gen(function* () {
        const { certificate: ca } = yield* shared
        const made = certificatesOf(yield* server())
        const { port } = yield* listening(made.certificates).pipe(Effect.tap(served))
        const options = { ca, minVersion: version, maxVersion: version }
        const session = yield* Effect.callback<Buffer>((resume) => {
          const client = Tls.connect({ host: "127.0.0.1", port, servername: "localhost", ...options })
          client.once("session", (session) => {
            resume(Effect.succeed(session))
            client.destroy()
          })
          client.write("x")
        })
        made.replace(yield* server())
        const client = yield* dial(port, { ...options, session })
        yield* agreed(client)
        assert.isTrue(client.isSessionReused())
      }).pipe(Effect.scoped)
  )

  it.live("answers an ACME challenge with its certificate, and closes", () =>
    Effect.gen(function* () {
      const made = certificatesOf(yield* server())
      made.challenge("live.example", yield* server("live.example", "challenge.example"))
      const { next, port } = yield* listening(made.certificates)
      const options = { ALPNProtocols: [NodeTls.acmeProtocol], rejectUnauthorized: false }
      const validator = yield* dial(port, { ...options, servername: "live.example" })
      const first = yield* next
      const end = yield* Effect.forkScoped(gone(first))
      yield* agreed(validator)
      assert.strictEqual(validator.alpnProtocol, NodeTls.acmeProtocol)
      assert.include(validator.getPeerX509Certificate()!.subjectAltName, "challenge.example")
      yield* closed(validator)
      assert.strictEqual((yield* Fiber.join(end)).reason, "Closed")
      const stranger = yield* dial(port, { ...options, servername: "other.example" })
      const error = yield* gone(yield* next)
      assert.strictEqual(error.tls, "NoCommonProtocol")
      yield* closed(stranger)
    }).pipe(Effect.scoped)
  )
})

/** What the server has against a client that does something; the certificates are made by `settings`. */
const failure = (
  settings: Settings,
  act: (port: number) => Effect.Effect<unknown, unknown, Scope.Scope>,
  replace?: (made: ReturnType<typeof certificatesOf>) => void
) =>
  Effect.gen(function* () {
    const made = certificatesOf(yield* server(), settings)
    replace?.(made)
    const { next, port } = yield* listening(made.certificates)
    yield* Effect.forkScoped(Effect.ignore(act(port)))
    const connection = yield* next
    const error = yield* gone(connection)
    assert.strictEqual(error.reason, "TlsFailed", error.message)
    assert.isUndefined(connection.security)
    // It stays so.
    assert.strictEqual((yield* gone(connection)).tls, error.tls)
    assert.isTrue(connection.write(bytes("nobody")))
    connection.destroy()
    return error
  }).pipe(Effect.scoped)

const say = (data: Uint8Array | string) => (port: number) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const socket = Net.connect(port, "127.0.0.1")
      socket.on("error", () => {})
      socket.write(data)
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

describe("a client that TLS is not agreed on with", () => {
  const rtmp = Buffer.concat([Buffer.of(3), Buffer.alloc(4), randomBytes(1532)])
  it.live.each([
    { what: "RTMP in the clear", data: rtmp, tls: "NotTls" },
    { what: "an HTTP request", data: "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", tls: "HttpSpoken" },
    { what: "an HTTP request for tunnelling", data: "POST /open/1 HTTP/1.1\r\n\r\n", tls: "HttpSpoken" },
    { what: "noise", data: Buffer.alloc(512, 0xa5), tls: "NotTls" }
  ])("is told apart: $what", ({ data, tls }) =>
    Effect.gen(function* () {
      const error = yield* failure({}, say(data))
      assert.strictEqual(error.tls, tls, error.message)
    })
  )

  it.live("has an older version", () =>
    Effect.gen(function* () {
      const old = (port: number) =>
        dial(port, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT:@SECLEVEL=0" })
      assert.strictEqual((yield* failure({}, old)).tls, "VersionNotSupported")
    })
  )

  it.live("has no cipher that is allowed", () =>
    Effect.gen(function* () {
      const only = (port: number) => dial(port, { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" })
      const settings = { context: { ciphers: "ECDHE-ECDSA-CHACHA20-POLY1305", maxVersion: "TLSv1.2" as const } }
      assert.strictEqual((yield* failure(settings, only)).tls, "NoCommonCipher")
    })
  )

  it.live("comes while there is no certificate", () =>
    Effect.gen(function* () {
      const none = (made: ReturnType<typeof certificatesOf>) => made.replace(undefined)
      const error = yield* failure({}, (port) => dial(port, {}), none)
      assert.strictEqual(error.tls, "CertificateMissing")
    })
  )

  it.live("offers HTTP within TLS", () =>
    Effect.gen(function* () {
      const error = yield* failure({}, (port) => dial(port, { ALPNProtocols: ["h2", "http/1.1"] }))
      assert.strictEqual(error.tls, "NoCommonProtocol")
    })
  )

  it.live("may leave in the middle of the handshake", () =>
    Effect.gen(function* () {
      const { next, port } = yield* listening(certificatesOf(yield* server()).certificates)
      for (const end of [(socket: Net.Socket) => socket.destroy(), (socket: Net.Socket) => socket.resetAndDestroy()]) {
        const socket = yield* say(Buffer.from("160301020001", "hex"))(port)
        const connection = yield* next
        const error = yield* Effect.forkScoped(gone(connection))
        yield* Effect.sleep(20)
        end(socket)
        assert.include(["Closed", "Reset"], (yield* Fiber.join(error)).reason)
      }
    }).pipe(Effect.scoped)
  )

  it.live("breaks the protocol later, and is dropped", () =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const { next, port } = yield* listening(certificatesOf(yield* server()).certificates)
      const raw = yield* say("")(port)
      const client = Tls.connect({ socket: raw, servername: "localhost", ca })
      client.on("error", () => {})
      client.write("fine")
      const connection = yield* next
      assert.strictEqual(text(yield* connection.pull), "fine")
      // A record that nobody can decrypt.
      const plain = Net.Socket.prototype.write.bind(raw)
      const error = yield* Effect.forkScoped(gone(connection))
      plain(Buffer.from(`1703030020${"00".repeat(32)}`, "hex"))
      assert.strictEqual((yield* Fiber.join(error)).reason, "Reset")
    }).pipe(Effect.scoped)
  )
})

describe("a client certificate", () => {
  const studio = Effect.flatMap(shared, (authority) =>
    Effect.promise(() =>
      authority.issue({
        subject: "CN=studio-1, O=Example\\, Inc.",
        names: [
          { type: "dns", value: "studio-1.example" },
          { type: "email", value: "ann@example.org" }
        ]
      })
    )
  )
  const stranger = Effect.promise(async () => {
    const other = await TestAuthority.make("another authority")
    return TestAuthority.forHosts(other, "studio-1.example")
  })
  const showing =
    (issued: TestAuthority.Issued | undefined, options: Tls.ConnectionOptions = {}) =>
    (port: number) =>
      dial(port, {
        rejectUnauthorized: false,
        ...(issued === undefined ? {} : { cert: issued.certificate, key: issued.key }),
        ...options
      })

  /** The security of a client that is let in. */
  const letIn = (settings: Settings, client: TestAuthority.Issued | undefined) =>
    Effect.gen(function* () {
      const { next, port } = yield* listening(certificatesOf(yield* server(), settings).certificates)
      const socket = yield* showing(client)(port)
      socket.write("hello")
      const connection = yield* next
      yield* connection.pull
      return connection.security!
    }).pipe(Effect.scoped)

  it.live("tells who the client is", () =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const client = yield* studio
      const { certificate } = yield* letIn({ requestCert: true, required: true, ca }, client)
      assert.deepStrictEqual(certificate, {
        subject: "CN=studio-1,O=Example\\, Inc.",
        names: ["DNS:studio-1.example", "email:ann@example.org"],
        publicKeySha256: client.publicKeySha256
      })
    })
  )

  it.live("is not needed where it is optional, and must be a trusted one where it is shown", () =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const settings = { requestCert: true, ca }
      assert.isUndefined((yield* letIn(settings, undefined)).certificate)
      assert.isDefined((yield* letIn(settings, yield* studio)).certificate)
      assert.strictEqual((yield* failure(settings, showing(yield* stranger))).tls, "ClientCertificateUntrusted")
    })
  )

  it.live.each(["TLSv1.2", "TLSv1.3"] as const)("is needed where it is required (%s)", (version) =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const settings = { requestCert: true, required: true, ca }
      const options = { minVersion: version, maxVersion: version }
      assert.strictEqual((yield* failure(settings, showing(undefined, options))).tls, "ClientCertificateMissing")
      assert.strictEqual(
        (yield* failure(settings, showing(yield* stranger, options))).tls,
        "ClientCertificateUntrusted"
      )
    })
  )

  it.live("counts for nothing once it has expired", () =>
    Effect.gen(function* () {
      const { certificate: ca, issue } = yield* shared
      const expired = yield* Effect.promise(() => issue({ subject: "CN=old", notAfter: new Date(Date.now() - 1_000) }))
      const error = yield* failure({ requestCert: true, ca }, showing(expired))
      assert.strictEqual(error.tls, "ClientCertificateUntrusted")
      assert.include(error.detail, "CERT_HAS_EXPIRED")
    })
  )

  it.live("must have a pinned key where some are pinned, and needs nobody's word then", () =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const known = yield* studio
      const pins = [known.publicKeySha256]
      const required = { requestCert: true, required: true }
      assert.isDefined((yield* letIn({ ...required, ca, pins }, known)).certificate)
      assert.strictEqual(
        (yield* failure({ ...required, ca, pins }, showing(yield* studio))).tls,
        "ClientCertificateNotPinned"
      )
      const self = yield* stranger
      assert.isDefined((yield* letIn({ ...required, pins: [self.publicKeySha256] }, self)).certificate)
      assert.strictEqual(
        (yield* failure({ ...required, ca, pins: [self.publicKeySha256] }, showing(self))).tls,
        "ClientCertificateUntrusted"
      )
      assert.strictEqual((yield* failure({ ...required, pins }, showing(self))).tls, "ClientCertificateNotPinned")
      assert.strictEqual((yield* failure(required, showing(self))).tls, "ClientCertificateUntrusted")
    })
  )

  /** Connects once, and gives what a client needs to resume that session. */
  const sessionOf = Effect.fnUntraced(function* (
    client: TestAuthority.Issued,
    version: Tls.SecureVersion,
    port: number,
    next: Effect.Effect<Connection>
  ) {
    const options = { minVersion: version, maxVersion: version }
    const first = yield* showing(client, options)(port)
    const session = yield* Effect.forkScoped(
      Effect.callback<Buffer>((resume) => {
        first.once("session", (session) => resume(Effect.succeed(session)))
      })
    )
    first.write("x")
    yield* (yield* next).pull
    return { ...options, session: yield* Fiber.join(session) }
  })

  it.live.each(["TLSv1.2", "TLSv1.3"] as const)("is known again in a session that is resumed (%s)", (version) =>
    Effect.gen(function* () {
      const { certificate: ca } = yield* shared
      const client = yield* studio
      const made = certificatesOf(yield* server(), { requestCert: true, required: true, ca })
      const { next, port } = yield* listening(made.certificates)
      const again = yield* showing(client, yield* sessionOf(client, version, port, next))(port)
      again.write("x")
      const connection = yield* next
      yield* connection.pull
      assert.isTrue(again.isSessionReused())
      assert.strictEqual(connection.security?.certificate?.publicKeySha256, client.publicKeySha256)
    }).pipe(Effect.scoped)
  )

  it.live.each(["TLSv1.2", "TLSv1.3"] as const)(
    "is not let in by a session that began before its certificate expired (%s)",
    (version) =>
      Effect.gen(function* () {
        const { certificate: ca } = yield* shared
        const client = yield* studio
        const made = certificatesOf(yield* server(), { requestCert: true, required: true, ca })
        const { next, port } = yield* listening(made.certificates)
        const resumed = yield* sessionOf(client, version, port, next)
        // OpenSSL's clock stays where it is.
        yield* Effect.acquireRelease(
          Effect.sync(() => vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 200 * 365 * 86_400_000 })),
          () => Effect.sync(() => vi.useRealTimers())
        )
        yield* showing(client, resumed)(port)
        const error = yield* gone(yield* next)
        assert.strictEqual(error.tls, "ClientCertificateUntrusted")
        assert.include(error.detail, "CERT_HAS_EXPIRED")
      }).pipe(Effect.scoped)
  )

  it("has names that cannot be taken for others", () => {
    assert.deepStrictEqual(NodeTls.alternativeNames(""), [])
    assert.deepStrictEqual(NodeTls.alternativeNames("DNS:a.example, IP Address:192.0.2.1, URI:urn:x"), [
      "DNS:a.example",
      "IP Address:192.0.2.1",
      "URI:urn:x"
    ])
    assert.deepStrictEqual(NodeTls.alternativeNames('URI:"http://x/\\u002c DNS:admin.example", DNS:b.example'), [
      "URI:http://x/, DNS:admin.example",
      "DNS:b.example"
    ])
  })
})

const openssl = spawnSync("openssl", ["version"]).error === undefined

describe.skipIf(!openssl)("OpenSSL's own client", () => {
  /** Runs `openssl s_client` until it ends, and gives what it printed. */
  const client = (...args: ReadonlyArray<string>) =>
    Effect.callback<string>((resume) => {
      const child = spawn("openssl", ["s_client", ...args], { stdio: ["pipe", "pipe", "pipe"] })
      let output = ""
      const take = (piece: Buffer) => {
        output += piece
        // It has got the ticket, which comes behind the handshake.
        if (/---\nPost-Handshake New Session Ticket|New Session Ticket arrived|Session-ID-ctx/.test(output))
          child.stdin.end()
      }
      child.stdout.on("data", take)
      child.stderr.on("data", take)
      child.on("close", () => resume(Effect.succeed(output)))
      return Effect.sync(() => child.kill("SIGKILL"))
    })

  it.live.each(["-tls1_2", "-tls1_3"])("says that it does not trust the server (%s)", (version) =>
    Effect.gen(function* () {
      const error = yield* failure({}, (port) =>
        client("-connect", `127.0.0.1:${port}`, "-verify_return_error", version)
      )
      assert.strictEqual(error.tls, "CertificateRefused", error.message)
    })
  )

  it.live("verifies the server by its name, resumes a session, and is refused with an old version", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-tls-"))),
        (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
      )
      const ca = Path.join(folder, "ca.pem")
      const session = Path.join(folder, "session.pem")
      Fs.writeFileSync(ca, (yield* shared).certificate)
      const made = certificatesOf(yield* server("usual.example"))
      made.name("live.example", yield* server("live.example"))
      const { port } = yield* listening(made.certificates).pipe(Effect.tap(served))
      const to = ["-connect", `127.0.0.1:${port}`]
      const verified = [...to, "-CAfile", ca, "-servername", "live.example", "-verify_hostname", "live.example"]
      const first = yield* client(...verified, "-verify_return_error", "-tls1_2", "-sess_out", session)
      assert.include(first, "subject=CN = live.example")
      assert.include(first, "Verify return code: 0 (ok)")
      assert.include(first, "New, TLSv1.2")
      assert.include(yield* client(...verified, "-tls1_2", "-sess_in", session), "Reused, TLSv1.2")
      const wrong = yield* client(
        ...to,
        "-CAfile",
        ca,
        "-verify_hostname",
        "live.example",
        "-verify_return_error",
        "-noservername"
      )
      assert.include(wrong.toLowerCase(), "hostname mismatch")
      const old = yield* client(...to, "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
      assert.match(old, /protocol version|no protocols available|wrong version/)
      assert.include(old, "Cipher is (NONE)")
    }).pipe(Effect.scoped)
  )
})

/** Reads from every connection, so that handshakes go on. */
function served({ next }: { readonly next: Effect.Effect<Connection> }) {
  return Effect.forkScoped(
    Effect.forever(
      Effect.flatMap(next, (connection) => Effect.forkScoped(Effect.ignore(Effect.forever(connection.pull))))
    )
  )
}
