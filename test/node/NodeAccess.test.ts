import * as Fs from "node:fs"
import * as Https from "node:https"
import type * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as NodeAccess from "../../src/node/NodeAccess.ts"
import { AccessPlatform, type CallbackTls } from "../../src/server/AccessPlatform.ts"
import * as TestAuthority from "../support/TestAuthority.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-callback-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** A web server with a certificate of an authority, which tells who its client is. */
const secured = Effect.gen(function* () {
  const authority = yield* Effect.promise(() => TestAuthority.make("Test"))
  const issued = yield* Effect.promise(() =>
    authority.issue({ subject: "CN=localhost", names: [{ type: "dns", value: "localhost" }] })
  )
  const client = yield* Effect.promise(() => authority.issue({ subject: "CN=rtmp" }))
  const server = yield* Effect.acquireRelease(
    Effect.callback<Https.Server>((resume) => {
      const server = Https.createServer(
        {
          cert: issued.certificate,
          key: issued.key,
          ca: authority.certificate,
          requestCert: true,
          rejectUnauthorized: false
        },
        ({ socket }, response) => {
          const { subject } = (socket as import("node:tls").TLSSocket).getPeerCertificate()
          response.end(subject?.CN ?? "nobody")
        }
      )
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )
  const path = yield* folder
  const file = (name: string, text: string): string => {
    Fs.writeFileSync(Path.join(path, name), text)
    return Path.join(path, name)
  }
  return {
    url: `https://localhost:${(server.address() as Net.AddressInfo).port}/`,
    pin: issued.publicKeySha256,
    otherPin: client.publicKeySha256,
    caFile: file("ca.pem", authority.certificate),
    certFile: file("cert.pem", client.certificate),
    keyFile: file("key.pem", client.key),
    otherKeyFile: file("other.pem", issued.key)
  }
})

const none: CallbackTls = { pins: [], caFile: "", certFile: "", keyFile: "" }

const ask = (url: string, tls: Partial<CallbackTls>) =>
  Effect.gen(function* () {
    const platform = yield* AccessPlatform
    const client = yield* platform.httpClient({ ...none, ...tls })
    return yield* client.get(url).pipe(Effect.flatMap(({ text }) => text))
  }).pipe(Effect.scoped, Effect.provide(NodeAccess.layerPlatform))

describe("the client for callbacks", () => {
  it.live("trusts whom the given authority vouches for, and nobody else", () =>
    Effect.gen(function* () {
      const { caFile, url } = yield* secured
      assert.strictEqual(yield* ask(url, { caFile }), "nobody")
      assert.strictEqual((yield* Effect.flip(ask(url, {})))._tag, "HttpClientError")
    }).pipe(Effect.scoped)
  )

  it.live("asks no server whose key is not among the pins", () =>
    Effect.gen(function* () {
      const { caFile, otherPin, pin, url } = yield* secured
      assert.strictEqual(yield* ask(url, { caFile, pins: [otherPin, `sha256/${pin}`] }), "nobody")
      assert.strictEqual((yield* Effect.flip(ask(url, { caFile, pins: [otherPin] })))._tag, "HttpClientError")
      // A pin does not stand for the authority.
      assert.strictEqual((yield* Effect.flip(ask(url, { pins: [pin] })))._tag, "HttpClientError")
    }).pipe(Effect.scoped)
  )

  it.live("shows its certificate, and is not made with files that do not go together or do not exist", () =>
    Effect.gen(function* () {
      const { caFile, certFile, keyFile, otherKeyFile, url } = yield* secured
      assert.strictEqual(yield* ask(url, { caFile, certFile, keyFile }), "rtmp")
      assert.include(
        (yield* Effect.flip(ask(url, { certFile, keyFile: otherKeyFile }))).message,
        "auth.callback.certFile"
      )
      assert.include((yield* Effect.flip(ask(url, { caFile: "/nowhere.pem" }))).message, "/nowhere.pem does not exist")
    }).pipe(Effect.scoped)
  )
})
