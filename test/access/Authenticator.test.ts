import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AccessDenied, type AccessRequest, Authenticator, anonymous } from "../../src/access/Authenticator.ts"

const request: AccessRequest = {
  action: "publish",
  application: "live",
  stream: "camera",
  query: "key=s3cret",
  remoteAddress: "192.0.2.1",
  connectionId: "c1"
}

describe("Authenticator", () => {
  it.effect("lets everybody do everything as anonymous with the open layer", () =>
    Effect.gen(function* () {
      const authenticator = yield* Authenticator
      for (const action of ["connect", "publish", "play"] as const) {
        assert.deepStrictEqual(yield* authenticator.authorize({ ...request, action }), anonymous)
      }
      assert.strictEqual(anonymous.credential, "")
    }).pipe(Effect.provide(Authenticator.layerOpen))
  )

  it.effect("is replaced by a layer of one's own, whose refusals carry a reason and a sentence", () =>
    Effect.gen(function* () {
      const authenticator = yield* Authenticator
      assert.deepStrictEqual(yield* authenticator.authorize(request), {
        credential: "s3cret"
      })
      const denied = yield* Effect.flip(authenticator.authorize({ ...request, query: "key=guess" }))
      assert.strictEqual(denied._tag, "AccessDenied")
      assert.strictEqual(denied.reason, "CredentialInvalid")
      assert.strictEqual(denied.message, "CredentialInvalid: wrong stream key")
      assert.notInclude(denied.message, "guess")
    }).pipe(
      Effect.provide(
        Layer.succeed(Authenticator, {
          authorize: ({ query }) =>
            query === "key=s3cret"
              ? Effect.succeed({ credential: "s3cret" })
              : Effect.fail(
                  new AccessDenied({
                    reason: "CredentialInvalid",
                    description: "wrong stream key"
                  })
                )
        })
      )
    )
  )
})
