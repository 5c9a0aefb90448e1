/**
 * FFmpeg 8, from `node-av`, logs in with the user and password of its URL.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as App from "../../src/App.ts"
import * as AccessPolicy from "../../src/access/AccessPolicy.ts"
import * as AdobeAuth from "../../src/access/AdobeAuth.ts"
import { type AccessGrant, Authenticator } from "../../src/access/Authenticator.ts"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as NodeAvPublisher from "../interop/NodeAvPublisher.ts"

const timeoutMs = 60_000

const outcomes: Array<string> = []

const authenticator = (dialect: AdobeAuth.Dialect) =>
  Layer.effect(
    Authenticator,
    Effect.gen(function* () {
      const lookup = Result.getOrThrow(
        AdobeAuth.lookupIn([{ user: "ann", password: "s3cret" }], NodeCrypto.make.randomBytes)
      )
      const login = yield* AdobeAuth.make({ lookup, dialect })
      const policy = AccessPolicy.make({ methods: [login] }, ({ action, outcome }) =>
        outcomes.push(`${action} ${outcome}`)
      )
      // What a connection was granted goes with what it asks next.
      const granted = new Map<string, AccessGrant>()
      return Authenticator.of({
        authorize: (request) => {
          const login = granted.get(request.connectionId)
          return Effect.tap(policy.authorize({ ...request, ...(login === undefined ? {} : { login }) }), (grant) =>
            Effect.sync(() => granted.set(request.connectionId, grant))
          )
        }
      })
    })
  ).pipe(Layer.provide(NodeCrypto.layer), Layer.orDie)

const served = <A, E>(dialect: AdobeAuth.Dialect, use: (port: number) => Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function* () {
    outcomes.length = 0
    const server = yield* RtmpServer
    yield* server.start
    return yield* use((yield* server.address)!.port)
  }).pipe(
    Effect.scoped,
    Effect.provide(
      App.layerWith({ authenticator: authenticator(dialect) }).pipe(
        Layer.provide([
          NodeTransport.layer,
          NodeCrypto.layer,
          RtmpConfig.layer({ listen: { host: "127.0.0.1", port: 0 }, shutdown: { grace: 0 } })
        ]),
        Layer.provide(Logger.layer([]))
      )
    )
  )

describe("FFmpeg", () => {
  for (const dialect of ["adobe", "llnw"] as const) {
    it.live(
      `publishes with ${dialect} after two refusals that it understands`,
      () =>
        served(dialect, (port) =>
          Effect.gen(function* () {
            const url = `rtmp://ann:s3cret@127.0.0.1:${port}/live/camera`
            const publisher = yield* NodeAvPublisher.start({ url, clip: "aac", loop: true })
            yield* publisher.sent(20)
            yield* publisher.leave
            assert.deepStrictEqual(outcomes, [
              "connect CredentialMissing",
              "connect CredentialMissing",
              "connect Granted",
              "publish Granted"
            ])
          })
        ),
      timeoutMs
    )
  }

  it.live(
    "gives up with a wrong password at the third",
    () =>
      served("adobe", (port) =>
        Effect.gen(function* () {
          const url = `rtmp://ann:guess@127.0.0.1:${port}/live/camera`
          const publisher = yield* NodeAvPublisher.start({ url, clip: "aac" })
          const end = yield* publisher.end
          assert.strictEqual(end.reason, "error")
          assert.deepStrictEqual(outcomes, [
            "connect CredentialMissing",
            "connect CredentialMissing",
            "connect CredentialInvalid"
          ])
        })
      ),
    timeoutMs
  )
})
