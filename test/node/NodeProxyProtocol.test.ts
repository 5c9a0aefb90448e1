import * as Net from "node:net"
import * as Tls from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as NodeProxyProtocol from "../../src/node/NodeProxyProtocol.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import type { Connection, ListenOptions } from "../../src/server/Transport.ts"
import * as TestAuthority from "../support/TestAuthority.ts"

const here: ListenOptions = { host: "127.0.0.1", port: 0, backlog: 16, proxyProtocol: { trusted: ["127.0.0.0/8"] } }

const listening = (...args: [ListenOptions, Parameters<typeof NodeTransport.listen>[2]?]) =>
  Effect.gen(function* () {
    const connections = yield* Queue.unbounded<Connection>()
    const listener = yield* NodeTransport.listen(
      args[0],
      (connection) => Effect.andThen(Queue.offer(connections, connection), Effect.never),
      args[1]
    )
    return { connections, listener, next: Queue.take(connections), port: listener.address.port }
  })

const dial = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<Net.Socket>((resume) => {
      const socket = Net.connect({ host: "127.0.0.1", port, noDelay: true }, () => resume(Effect.succeed(socket)))
      socket.on("error", () => {})
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )

const closed = (socket: Net.Socket) =>
  Effect.callback<void>((resume) => {
    if (socket.closed) resume(Effect.void)
    else socket.once("close", () => resume(Effect.void)).resume()
  })

/** Pulls until so many bytes are there. */
const read = (connection: Connection, length: number) =>
  Effect.gen(function* () {
    let got = Buffer.alloc(0)
    while (got.length < length) got = Buffer.concat([got, ...(yield* connection.pull)])
    return got.toString("latin1")
  })

const v1 = "PROXY TCP4 192.0.2.7 198.51.100.1 8080 1935\r\n"
const v2 = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x1f\x90\x07\x8f"
const local = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"

describe("a listener behind a load balancer", () => {
  it.live.each([
    { version: "1", header: v1 },
    { version: "2", header: v2 }
  ])("knows clients by the header of version $version, and hands over what came behind it", ({ header }) =>
    Effect.gen(function* () {
      const { next, port } = yield* listening(here)
      for (const pieces of [[`${header}behind`], [header, "behind"], [...`${header}behind`]]) {
        const balancer = yield* dial(port)
        for (const piece of pieces) {
          balancer.write(piece, "latin1")
          yield* Effect.sleep(1)
        }
        const connection = yield* next
        assert.deepStrictEqual(connection.remote, { host: "192.0.2.7", port: 8080 })
        assert.strictEqual(yield* read(connection, 6), "behind")
        connection.write(new TextEncoder().encode("answer"))
        const answer = yield* Effect.callback<string>((resume) => {
          balancer.once("data", (data) => resume(Effect.succeed(String(data))))
        })
        assert.strictEqual(answer, "answer")
      }
    }).pipe(Effect.scoped)
  )

  it.live("holds back a client that sends more than is pulled, behind the header too", () =>
    Effect.gen(function* () {
      const { next, port } = yield* listening(here)
      const balancer = yield* dial(port)
      const length = 8 * 1024 * 1024
      balancer.write(v1)
      balancer.end(Buffer.alloc(length, 7))
      const connection = yield* next
      yield* Effect.sleep(50)
      assert.isAbove(balancer.writableLength, 0)
      let received = 0
      const error = yield* Effect.flip(
        Effect.forever(
          Effect.map(connection.pull, (pieces) => {
            for (const piece of pieces) received += piece.length
          })
        )
      )
      assert.strictEqual(error.reason, "Closed")
      assert.strictEqual(received, length)
    }).pipe(Effect.scoped)
  )

  it.live.each([
    { what: "the balancer's own", header: local },
    { what: "unknown", header: "PROXY UNKNOWN\r\n" }
  ])("takes the address of the connection where it is $what", ({ header }) =>
    Effect.gen(function* () {
      const { next, port } = yield* listening(here)
      const balancer = yield* dial(port)
      balancer.write(`${header}x`, "latin1")
      assert.deepStrictEqual((yield* next).remote, { host: "127.0.0.1", port: balancer.localPort! })
    }).pipe(Effect.scoped)
  )

  it.live.each([
    { what: "none", sent: "\x03RTMP", says: "Missing" },
    { what: "a broken one", sent: "PROXY TCP4 nobody 1.2.3.4 1 2\r\n", says: "Malformed" }
  ])("refuses a connection that has no header but $what, and says why", ({ says, sent }) =>
    Effect.gen(function* () {
      const { next, port } = yield* listening(here)
      const balancer = yield* dial(port)
      balancer.write(sent, "latin1")
      const connection = yield* next
      const error = yield* Effect.flip(connection.pull)
      assert.strictEqual(error.reason, "ProxyRefused")
      assert.include(error.detail, says)
      assert.strictEqual(connection.remote.host, "127.0.0.1")
    }).pipe(Effect.scoped)
  )

  it.live("refuses a header that breaks off, and passes over a health check that says nothing", () =>
    Effect.gen(function* () {
      const { connections, next, port } = yield* listening(here)
      const check = yield* dial(port)
      check.end()
      yield* closed(check)
      const reset = yield* dial(port)
      reset.resetAndDestroy()
      const half = yield* dial(port)
      half.end("PROXY TCP4 192")
      const error = yield* Effect.flip((yield* next).pull)
      assert.strictEqual(error.reason, "ProxyRefused")
      assert.include(error.detail, "breaks off")
      assert.strictEqual(yield* Queue.size(connections), 0)
    }).pipe(Effect.scoped)
  )

  it.live("believes nobody else: a header from elsewhere is what the client says", () =>
    Effect.gen(function* () {
      const { next, port } = yield* listening({
        ...here,
        proxyProtocol: { trusted: ["192.0.2.0/24", "2001:db8::/32"] }
      })
      const client = yield* dial(port)
      client.write(v1)
      const connection = yield* next
      assert.strictEqual(connection.remote.host, "127.0.0.1")
      assert.strictEqual(yield* read(connection, v1.length), v1)
    }).pipe(Effect.scoped)
  )

  it.live("speaks TLS behind the header", () =>
    Effect.gen(function* () {
      const authority = yield* Effect.promise(() => TestAuthority.make("authority"))
      const { certificate: cert, key } = yield* Effect.promise(() => TestAuthority.forHosts(authority, "localhost"))
      const context = Tls.createSecureContext({ cert, key })
      const { next, port } = yield* listening(
        { ...here, secure: true },
        {
          contextOf: () => context,
          challengeOf: () => undefined,
          options: () => ({
            minVersion: "TLSv1.2",
            requestCert: false,
            required: false,
            pins: new Set(),
            ticketKeys: Buffer.alloc(48)
          })
        }
      )
      // The greeting comes in the same segment as the header.
      const balancer = yield* dial(port)
      balancer.cork()
      balancer.write(v2, "latin1")
      const client = Tls.connect({ socket: balancer, servername: "localhost", ca: authority.certificate })
      client.on("error", () => {})
      client.write("hello")
      yield* Effect.sleep(1)
      balancer.uncork()
      const connection = yield* next
      assert.strictEqual(yield* read(connection, 5), "hello")
      assert.deepStrictEqual(connection.remote, { host: "192.0.2.7", port: 8080 })
      assert.strictEqual(connection.security?.serverName, "localhost")
    }).pipe(Effect.scoped)
  )

  it.live("tells how many have not said whose they are, and drops those that are too many", () =>
    Effect.gen(function* () {
      const { listener, next, port } = yield* listening({
        ...here,
        proxyProtocol: { trusted: ["127.0.0.0/8"], maxWaiting: 2 }
      })
      const balancers = [yield* dial(port), yield* dial(port)]
      // It is accepted behind the others.
      yield* closed(yield* dial(port))
      assert.strictEqual(listener.waiting?.(), 2)
      balancers[0]!.write(v1)
      yield* next
      assert.strictEqual(listener.waiting?.(), 1)
      balancers[1]!.write(v2, "latin1")
      yield* next
      assert.strictEqual(listener.waiting?.(), 0)
    }).pipe(Effect.scoped)
  )

  it.live("drops those who have not said whose they are when its scope closes", () =>
    Effect.gen(function* () {
      const silent = yield* Effect.scoped(
        Effect.gen(function* () {
          const { port } = yield* listening(here)
          const socket = yield* Effect.scoped(Effect.succeed(Net.connect(port, "127.0.0.1")))
          socket.on("error", () => {})
          yield* Effect.callback<void>((resume) => {
            socket.once("connect", () => resume(Effect.void))
          })
          // Accepted by the server, and not only by the kernel.
          const { port: other } = yield* listening({ ...here, proxyProtocol: { trusted: [] } })
          yield* dial(other)
          return socket
        })
      )
      yield* closed(silent)
    }).pipe(Effect.scoped)
  )

  it.live.each([
    { sent: "", says: "no PROXY protocol header came in time" },
    { sent: "PROXY TCP4 ", says: "not whole in time" }
  ])("waits no longer than its deadline: $says", ({ says, sent }) =>
    Effect.gen(function* () {
      const door = Result.getOrThrow(NodeProxyProtocol.make({ trusted: ["127.0.0.1"] }, 50))
      const server = Net.createServer({ pauseOnConnect: true })
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      const answers = yield* Queue.unbounded<NodeProxyProtocol.ProxyAnswer>()
      server.on("connection", (socket) => {
        door.ask(socket, { host: "127.0.0.1", port: 1 }, (answer) => {
          Queue.offerUnsafe(answers, answer)
          socket.destroy()
        })
      })
      const port = yield* Effect.callback<number>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as Net.AddressInfo).port)))
      })
      const balancer = yield* dial(port)
      balancer.write(sent)
      const said = yield* Queue.take(answers)
      assert.include("error" in said ? said.error.detail : "", says)
    }).pipe(Effect.scoped)
  )

  it.effect("does not open where what it is to trust is no network", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(listening({ ...here, proxyProtocol: { trusted: ["10.0.0.0/33"] } }))
      assert.strictEqual(error.reason, "ListenFailed")
      assert.include(error.detail, "10.0.0.0/33")
    }).pipe(Effect.scoped)
  )

  it("trusts by network, whatever form an address has", () => {
    const { isTrusted } = Result.getOrThrow(NodeProxyProtocol.make({ trusted: ["10.1.0.0/16", "2001:db8::1"] }))
    assert.deepStrictEqual(
      ["10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "2001:db8::1", "2001:db8::2", "nonsense", undefined].map(isTrusted),
      [true, true, false, true, false, false, false]
    )
  })
})
