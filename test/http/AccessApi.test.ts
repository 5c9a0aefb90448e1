import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import { AccessControl } from "../../src/server/AccessControl.ts"
import * as TestServer from "../support/TestServer.ts"
import * as Harness from "./AdminHarness.ts"

const run = <A, E, R>(effect: Effect.Effect<A, E, R>, ...harness: Parameters<typeof Harness.services>) =>
  effect.pipe(Effect.scoped, Effect.provide(Harness.services(...harness)))

describe("the endpoints of access control", () => {
  it.effect("make a key that holds at once, show it once, and revoke it with who uses it", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const api = yield* Harness.client(port)
        const created = yield* api.access.createKey({
          payload: { label: "camera 1", stream: "a", actions: ["publish"], expiresAt: 60_000 }
        })
        assert.isTrue(created.enabled)
        const from = yield* TestServer.publisher(`a?key=${created.key}`)
        yield* TestServer.settle
        const keys = yield* api.access.keys()
        assert.strictEqual(keys.length, 1)
        assert.deepStrictEqual(
          { ...keys[0]!, id: "", sessions: keys[0]!.sessions.length },
          {
            id: "",
            label: "camera 1",
            origin: "dynamic",
            application: "",
            stream: "a",
            actions: ["publish"],
            publishAs: "",
            login: false,
            createdAt: 0,
            expiresAt: 60_000,
            sessions: 1
          }
        )
        assert.notInclude(JSON.stringify(keys), created.key)
        const revoked = yield* api.access.revokeKey({ payload: { id: created.info.id, drop: true } })
        assert.deepStrictEqual(revoked, { id: created.info.id, sessions: keys[0]!.sessions, dropped: true })
        yield* from.waitForClose
        const error = yield* Effect.flip(api.access.revokeKey({ payload: { id: created.info.id } }))
        assert.strictEqual(error._tag, "NotFound")
      }),
      { auth: { keys: { enabled: true } } }
    )
  )

  it.effect("end who uses a key that the store does not let go, and say that it is still there", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const api = yield* Harness.client(port)
        const created = yield* api.access.createKey({ payload: { label: "leaked" } })
        const from = yield* TestServer.publisher(`a?key=${created.key}`)
        yield* TestServer.settle
        const error = yield* Effect.flip(api.access.revokeKey({ payload: { id: created.info.id, drop: true } }))
        assert.strictEqual(error._tag, "Conflict")
        assert.match(error.message, /cannot be removed from the store: read-only; here it counts no more/)
        yield* from.waitForClose
        assert.deepStrictEqual(yield* api.access.keys(), [])
      }),
      { auth: { keys: { enabled: true } } },
      (store) => ({
        ...store,
        remove: () => Effect.fail(new KeyValueStore.KeyValueStoreError({ method: "remove", message: "read-only" }))
      })
    )
  )

  it.effect("refuse to revoke a key of the configuration, and a key that makes no sense", () =>
    run(
      Effect.gen(function* () {
        const api = yield* Harness.client((yield* Harness.open).port)
        const fixed = yield* Effect.flip(api.access.revokeKey({ payload: { id: "ann" } }))
        assert.deepStrictEqual([fixed._tag, fixed.message], ["Conflict", "it stands in the configuration"])
        assert.strictEqual(
          (yield* Effect.flip(api.access.createKey({ payload: { publishAs: "/a//b" } })))._tag,
          "Conflict"
        )
        assert.strictEqual((yield* Effect.flip(api.access.createKey({ payload: { actions: [] } })))._tag, "Conflict")
      }),
      { auth: { keys: { allow: { ann: "key-of-ann" } } } }
    )
  )

  it.effect("sign addresses, and say why where they cannot", () =>
    run(
      Effect.gen(function* () {
        const api = yield* Harness.client((yield* Harness.open).port)
        const payload = { action: "publish", application: "live", stream: "a", expiresAt: 60_000 } as const
        const { query } = yield* api.access.sign({ payload })
        yield* TestServer.publisher(`a?${query}`)
        const error = yield* Effect.flip(api.access.sign({ payload: { ...payload, address: "nobody" } }))
        assert.strictEqual(error._tag, "Conflict")
      }),
      { auth: { signedUrls: { secrets: "0123456789abcdef" } } }
    )
  )

  it.effect("show what is asked and who is blocked, and free an address", () =>
    run(
      Effect.gen(function* () {
        const api = yield* Harness.client((yield* Harness.open).port)
        const from = yield* TestServer.client
        yield* Effect.flip(from.publish(yield* from.open("live"), "a?key=key-of-eve"))
        const { blocked, ...rest } = yield* api.access.info()
        assert.deepStrictEqual(rest, { open: false, required: ["publish"], methods: ["list", "key"] })
        const [{ address }] = blocked as [(typeof blocked)[0]]
        assert.deepStrictEqual(yield* api.access.unblock({ payload: { address } }), { address, changed: true })
        assert.deepStrictEqual(yield* api.access.unblock({ payload: { address } }), { address, changed: false })
      }),
      { acl: { rules: "allow all" }, auth: { keys: { allow: { ann: "key-of-ann" } }, block: { failures: 1 } } }
    )
  )

  it.effect("need a token that may write for all that changes something or makes a credential", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const reader = yield* Harness.client(port, "reader")
        assert.isFalse((yield* reader.access.info()).open)
        assert.deepStrictEqual(yield* reader.access.keys(), [])
        const payload = { action: "play", application: "live", stream: "a", expiresAt: 60_000 } as const
        for (const refused of [
          yield* Effect.flip(reader.access.createKey({ payload: {} })),
          yield* Effect.flip(reader.access.revokeKey({ payload: { id: "a" } })),
          yield* Effect.flip(reader.access.sign({ payload })),
          yield* Effect.flip(reader.access.unblock({ payload: { address: "192.0.2.1" } }))
        ]) {
          assert.strictEqual(refused._tag, "Forbidden")
        }
        const writer = yield* Harness.client(port, "writer")
        yield* writer.access.createKey({ payload: {} })
        assert.strictEqual((yield* (yield* AccessControl).listKeys).length, 1)
      }),
      { http: { port: 0, readTokens: "reader", writeTokens: "writer" }, auth: { keys: { enabled: true } } }
    )
  )
})
