import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as AdobeAuth from "../../src/access/AdobeAuth.ts"
import type { AccessAction, AccessDenied, AccessGrant } from "../../src/access/Authenticator.ts"
import * as StreamKeys from "../../src/access/StreamKeys.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import type { RtmpCrypto } from "../../src/protocol/Crypto.ts"
import * as Requests from "./Requests.ts"

const withKeys = <A, E>(
  settings: StreamKeys.StreamKeysSettings,
  use: (keys: StreamKeys.StreamKeys["Service"]) => Effect.Effect<A, E, KeyValueStore.KeyValueStore>
) =>
  Effect.scoped(Effect.flatMap(Effect.provide(StreamKeys.make(settings), Requests.services), use)).pipe(
    Effect.provide(Requests.services)
  )

const staticKey = (changes: Partial<StreamKeys.StaticKey> = {}): StreamKeys.StaticKey => ({
  id: "studio",
  key: Redacted.make("studio-secret"),
  ...changes
})

const text = ({ key }: StreamKeys.CreatedKey): string => Redacted.value(key)

describe("keys in the query", () => {
  it.effect("let in who knows one, by its id, and have no opinion on who shows none", () =>
    withKeys({ keys: [staticKey()] }, ({ method }) =>
      Effect.gen(function* () {
        const query = "a=1&key=studio-secret"
        assert.deepStrictEqual(yield* Requests.ask(method, { query }), { credential: "key:studio" })
        assert.deepStrictEqual(yield* Requests.ask(method, { query, action: "connect", stream: "" }), {
          credential: "key:studio"
        })
        assert.strictEqual(yield* Requests.outcome(method, { query: "key=studio-secres" }), "CredentialInvalid")
        assert.strictEqual(yield* Requests.outcome(method, { query: "key=studio" }), "CredentialInvalid")
        assert.strictEqual(yield* Requests.outcome(method, { query: "" }), undefined)
        assert.strictEqual(yield* Requests.outcome(method, { query: "key=" }), undefined)
        assert.strictEqual(yield* Requests.outcome(method, { query: "Key=studio-secret" }), undefined)
      })
    )
  )

  it.effect("travel under the name that is configured, and can be given as their hash", () => {
    const sha256 = createHash("sha256").update("studio-secret").digest("hex")
    return withKeys({ parameter: "token", keys: [{ id: "studio", sha256 }] }, ({ method }) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* Requests.outcome(method, { query: "token=studio-secret" }), "Granted")
        assert.strictEqual(yield* Requests.outcome(method, { query: `token=${sha256}` }), "CredentialInvalid")
        assert.strictEqual(yield* Requests.outcome(method, { query: "key=studio-secret" }), undefined)
      })
    )
  })

  it.effect("are good for their applications, streams, actions and time, and nothing else", () => {
    const scope = { application: "live", stream: "cam-*", actions: ["publish"] as const, expiresAtMs: 60_000 }
    return withKeys({ keys: [staticKey(scope)] }, ({ method }) =>
      Effect.gen(function* () {
        const outcome = (changes: object) =>
          Requests.outcome(method, { stream: "cam-1", query: "key=studio-secret", ...changes })
        assert.strictEqual(yield* outcome({}), "Granted")
        assert.strictEqual(yield* outcome({ stream: "camera" }), "NotAllowed")
        assert.strictEqual(yield* outcome({ application: "other" }), "NotAllowed")
        assert.strictEqual(yield* outcome({ action: "play" }), "NotAllowed")
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* outcome({}), "CredentialExpired")
      })
    )
  })

  it.effect("are good for a stream however its client cuts the address", () =>
    withKeys({ keys: [staticKey({ application: "live", stream: "bob/*" })] }, ({ method }) =>
      Effect.gen(function* () {
        const outcome = (application: string, stream: string, action: AccessAction = "publish") =>
          Requests.outcome(method, { application, stream, action, query: "key=studio-secret" })
        for (const [application, stream] of [
          ["live", "bob/1"],
          ["live/bob", "1"],
          ["", "live/bob/1"]
        ] as const) {
          assert.strictEqual(yield* outcome(application, stream), "Granted", application)
        }
        assert.strictEqual(yield* outcome("live", "", "connect"), "Granted")
        assert.strictEqual(yield* outcome("live/bob", "", "connect"), "Granted")
        assert.strictEqual(yield* outcome("live/bob", "1/2"), "NotAllowed")
        assert.strictEqual(yield* outcome("live/eve", "1"), "NotAllowed")
        assert.strictEqual(yield* outcome("bob", "1"), "NotAllowed")
        assert.strictEqual(yield* outcome("x/live", "bob/1"), "NotAllowed")
        assert.strictEqual(yield* outcome("x/live", "", "connect"), "NotAllowed")
      })
    )
  )

  it.effect("give a publisher another name, and viewers none", () =>
    withKeys({ keys: [staticKey({ publishAs: "public" })] }, ({ method }) =>
      Effect.gen(function* () {
        const query = "key=studio-secret"
        assert.deepStrictEqual(yield* Requests.ask(method, { query }), { credential: "key:studio", stream: "public" })
        assert.deepStrictEqual(yield* Requests.ask(method, { query, action: "play" }), { credential: "key:studio" })
      })
    )
  )
})

describe("keys as names", () => {
  it.effect("are mapped to the public name, and a wrong one is kept secret", () =>
    withKeys({ in: "name", keys: [staticKey({ publishAs: "show", stream: "show" })] }, ({ method }) =>
      Effect.gen(function* () {
        assert.isTrue(method.readsName)
        assert.deepStrictEqual(yield* Requests.ask(method, { stream: "studio-secret" }), {
          credential: "key:studio",
          stream: "show"
        })
        const denied = (yield* Requests.ask(method, { stream: "studio-secres" })) as AccessDenied
        assert.strictEqual(denied.reason, "CredentialInvalid")
        assert.isTrue(denied.isStreamSecret)
        // The public name is no key, and viewers may play it without one.
        assert.strictEqual(yield* Requests.outcome(method, { stream: "show" }), "CredentialInvalid")
        assert.strictEqual(yield* Requests.outcome(method, { stream: "show", action: "play" }), undefined)
        const played = (yield* Requests.ask(method, { stream: "studio-secret", action: "play" })) as AccessGrant
        assert.strictEqual(played.stream, "show")
      })
    )
  )

  it.effect("need a public name", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(withKeys({ in: "name", keys: [staticKey()] }, () => Effect.void))
      assert.include(error.message, "publishAs")
      yield* withKeys({ in: "name" }, ({ create }) =>
        Effect.map(Effect.flip(create({})), (error) => assert.strictEqual(error.reason, "Invalid"))
      )
    })
  )
})

describe("keys that are made at run time", () => {
  it.effect("have 160 bits, are seen once, and only their hash is stored", () =>
    withKeys({}, (keys) =>
      Effect.gen(function* () {
        const created = yield* keys.create({ label: "door camera", stream: "door" })
        const other = yield* keys.create({})
        assert.match(text(created), /^[0-9a-hjkmnp-tv-z]{32}$/)
        assert.notStrictEqual(text(created), text(other))
        assert.notInclude(JSON.stringify([created, yield* keys.list]), text(created))
        const store = yield* KeyValueStore.KeyValueStore
        const stored = yield* Effect.forEach(yield* store.keys, (key) => store.get(key))
        assert.lengthOf(stored, 2)
        const hash = createHash("sha256").update(text(created)).digest("hex")
        assert.include(stored.join(), hash)
        assert.notInclude(stored.join(), text(created))
        assert.deepStrictEqual(
          (yield* keys.list).map(({ label, origin }) => [label, origin]),
          [
            ["door camera", "dynamic"],
            ["", "dynamic"]
          ]
        )
        const outcome = (stream: string) => Requests.outcome(keys.method, { stream, query: `key=${text(created)}` })
        assert.strictEqual(yield* outcome("door"), "Granted")
        assert.strictEqual(yield* outcome("window"), "NotAllowed")
      })
    )
  )

  it.effect("are there again after a restart, with all that they are good for", () =>
    Effect.gen(function* () {
      const created = yield* Effect.scoped(
        Effect.flatMap(StreamKeys.make({}), (keys) =>
          keys.create({ stream: "door", actions: ["publish"], expiresAtMs: 9_000, publishAs: "front", login: true })
        )
      )
      const store = yield* KeyValueStore.KeyValueStore
      yield* store.set("stream-key.broken", "{")
      yield* store.set("something else", "1")
      const again = yield* Effect.scoped(StreamKeys.make({ keys: [staticKey()] }))
      const listed = yield* again.list
      assert.deepStrictEqual(
        listed.map(({ id }) => id),
        ["studio", created.info.id]
      )
      assert.deepStrictEqual(listed[1], created.info)
      const outcome = Requests.outcome(again.method, { stream: "door", query: `key=${text(created)}` })
      assert.strictEqual(yield* outcome, "Granted")
      assert.isDefined(yield* again.lookup(created.info.id))
      assert.isDefined(yield* store.get("stream-key.broken"))
    }).pipe(Effect.provide(Requests.services))
  )

  it.effect("are revoked for good, and whoever listens is told", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const keys = yield* StreamKeys.make({ keys: [staticKey()] })
        const created = yield* keys.create({})
        const told = yield* Effect.forkChild(Stream.runHead(keys.revocations), { startImmediately: true })
        yield* keys.revoke(created.info.id)
        const { id } = created.info
        assert.deepStrictEqual(Option.getOrUndefined(yield* Fiber.join(told)), { id, credential: `key:${id}` })
        const query = `key=${text(created)}`
        assert.strictEqual(yield* Requests.outcome(keys.method, { query }), "CredentialInvalid")
        assert.strictEqual((yield* Effect.flip(keys.revoke(id))).reason, "NotFound")
        assert.strictEqual((yield* Effect.flip(keys.revoke("studio"))).reason, "Static")
        const again = yield* StreamKeys.make({})
        assert.deepStrictEqual(yield* again.list, [])
      })
    ).pipe(Effect.provide(Requests.services))
  )

  it.effect("are neither made nor revoked where the store fails, and there are only so many", () => {
    const full = Effect.fail(new KeyValueStore.KeyValueStoreError({ method: "set", message: "no space left" }))
    const broken = KeyValueStore.make({
      get: () => Effect.undefined,
      getUint8Array: () => Effect.undefined,
      set: () => full,
      remove: () => full,
      clear: full,
      size: Effect.succeed(0),
      keys: Effect.succeed([])
    })
    return Effect.scoped(
      Effect.gen(function* () {
        const keys = yield* Effect.provideService(StreamKeys.make({}), KeyValueStore.KeyValueStore, broken)
        const error = yield* Effect.flip(keys.create({}))
        assert.deepStrictEqual([error.reason, error.detail], ["Store", "the key cannot be stored: no space left"])
        assert.deepStrictEqual(yield* keys.list, [])
        const few = yield* StreamKeys.make({ maxKeys: 1, keys: [staticKey()] })
        yield* few.create({})
        assert.strictEqual((yield* Effect.flip(few.create({}))).reason, "TooMany")
        for (const publishAs of ["a?b", "../a", "", "/a"]) {
          assert.strictEqual((yield* Effect.flip(keys.create({ publishAs }))).reason, "Invalid", publishAs)
        }
      })
    ).pipe(Effect.provide(Requests.services))
  })
})

describe("a store that fails", () => {
  /** A store that can be taken away, made read-only, and given back with something else in it. */
  const fragile = () => {
    const entries = new Map<string, string>()
    const state = { reading: "", writing: "" }
    const failing = (method: string, message: string) =>
      message === "" ? Effect.void : Effect.fail(new KeyValueStore.KeyValueStoreError({ method, message }))
    const read = <A>(method: string, use: () => A) =>
      Effect.andThen(
        Effect.suspend(() => failing(method, state.reading)),
        Effect.sync(use)
      )
    const write = <A>(method: string, use: () => A) =>
      Effect.andThen(
        Effect.suspend(() => failing(method, state.reading || state.writing)),
        Effect.sync(use)
      )
    const store = KeyValueStore.make({
      get: (key) => read("get", () => entries.get(key)),
      getUint8Array: () => Effect.undefined,
      set: (key, value) => write("set", () => void entries.set(key, String(value))),
      remove: (key) => write("remove", () => void entries.delete(key)),
      clear: Effect.void,
      size: read("size", () => entries.size),
      keys: read("keys", () => [...entries.keys()])
    })
    const ids = () => [...entries.keys()].map((key) => key.slice("stream-key.".length)).sort()
    return { entries, ids, state, store }
  }

  const opened = <A, E>(
    use: (
      keys: StreamKeys.StreamKeys["Service"],
      disk: ReturnType<typeof fragile>
    ) => Effect.Effect<A, E, Scope.Scope | RtmpCrypto>
  ) =>
    Effect.suspend(() => {
      const disk = fragile()
      return StreamKeys.make({ keys: [staticKey()] }).pipe(
        Effect.provideService(KeyValueStore.KeyValueStore, disk.store),
        Effect.flatMap((keys) => use(keys, disk))
      )
    }).pipe(Effect.scoped, Effect.provide(NodeCrypto.layer))

  const isGranted = (keys: StreamKeys.StreamKeys["Service"], created: StreamKeys.CreatedKey) =>
    Effect.map(Requests.outcome(keys.method, { query: `key=${text(created)}` }), (outcome) => outcome === "Granted")

  it.effect("is noticed by itself, and when it is back it lacks nothing, and nobody gets in who was turned out", () =>
    opened((keys, disk) =>
      Effect.gen(function* () {
        const [kept, revoked, lent] = [yield* keys.create({}), yield* keys.create({}), yield* keys.create({})]
        const [, revokedEntry] = [...disk.entries][1]!
        const keeping = yield* Effect.forkChild(keys.keep(disk.store), { startImmediately: true })
        yield* keys.revoke(revoked.info.id)
        yield* TestClock.adjust(StreamKeys.checkInterval)
        assert.isUndefined(keeping.pollUnsafe())
        disk.state.reading = "it is gone"
        yield* TestClock.adjust(StreamKeys.checkInterval)
        const error = yield* Effect.flip(Fiber.join(keeping))
        assert.deepInclude(error, { reason: "Store", detail: "the store cannot be used: it is gone" })

        assert.isTrue(yield* isGranted(keys, kept), "keys hold while their store is away")
        assert.include((yield* Effect.flip(keys.create({}))).detail, "it is gone")
        assert.include((yield* Effect.flip(keys.keep(disk.store))).detail, "it is gone")

        // A disk as it was some time ago, with a key of another server.
        const stranger = fragile()
        const other = yield* Effect.provideService(StreamKeys.make({}), KeyValueStore.KeyValueStore, stranger.store)
        const found = yield* other.create({ label: "found" })
        stranger.entries.set(`stream-key.${revoked.info.id}`, revokedEntry)
        const again = yield* Effect.forkChild(keys.keep(stranger.store), { startImmediately: true })
        const expected = [kept, lent, found].map(({ info }) => info.id).sort()
        assert.deepStrictEqual(stranger.ids(), expected)
        assert.sameMembers(
          (yield* keys.list).map(({ id }) => id),
          ["studio", ...expected]
        )
        assert.isTrue(yield* isGranted(keys, found))
        assert.isFalse(yield* isGranted(keys, revoked))
        // What is made from now on goes there.
        const later = yield* keys.create({})
        assert.include(stranger.ids(), later.info.id)
        assert.isUndefined(again.pollUnsafe())
        yield* Fiber.interrupt(again)
      })
    )
  )

  it.effect("is the same when it is back: what another process removed from it meanwhile is revoked", () =>
    opened((keys, disk) =>
      Effect.gen(function* () {
        const [kept, leaked] = [yield* keys.create({}), yield* keys.create({})]
        const told = yield* Effect.forkChild(Stream.runHead(keys.revocations), { startImmediately: true })
        const keeping = yield* Effect.forkChild(keys.keep(disk.store), { startImmediately: true })
        disk.entries.delete(`stream-key.${leaked.info.id}`)
        disk.state.reading = "it is gone"
        yield* TestClock.adjust(StreamKeys.checkInterval)
        yield* Effect.flip(Fiber.join(keeping))
        disk.state.reading = ""
        const again = yield* Effect.forkChild(keys.keep(disk.store), { startImmediately: true })
        assert.deepStrictEqual(disk.ids(), [kept.info.id])
        assert.isFalse(yield* isGranted(keys, leaked))
        assert.isTrue(yield* isGranted(keys, kept))
        const { credential, id } = leaked.info
        assert.deepStrictEqual(Option.getOrThrow(yield* Fiber.join(told)), { id, credential })
        // It stays revoked: also another store gets it not, nor may it have it.
        const other = fragile()
        other.entries.set(`stream-key.${id}`, "{}")
        yield* Fiber.interrupt(again)
        yield* Effect.forkChild(keys.keep(other.store), { startImmediately: true })
        assert.deepStrictEqual(other.ids(), [kept.info.id])
      })
    )
  )

  it.effect("may have been another one already when it did not take a change: nothing is missing there", () =>
    opened((keys, disk) =>
      Effect.gen(function* () {
        const first = yield* keys.create({})
        const keeping = yield* Effect.forkChild(keys.keep(disk.store), { startImmediately: true })
        disk.state.writing = "no space left"
        assert.include((yield* Effect.flip(keys.create({}))).detail, "no space left")
        assert.include((yield* Effect.flip(Fiber.join(keeping))).detail, "no space left")
        const other = fragile()
        // It cannot take them at first. Until it has, nothing is written there that the one before would lack.
        other.state.writing = "no space left"
        assert.include((yield* Effect.flip(keys.keep(other.store))).detail, "no space left")
        other.state.writing = ""
        assert.include((yield* Effect.flip(keys.create({}))).detail, "no space left")
        yield* Effect.forkChild(keys.keep(other.store), { startImmediately: true })
        assert.deepStrictEqual(other.ids(), [first.info.id])
        const second = yield* keys.create({})
        assert.deepStrictEqual(other.ids(), [first.info.id, second.info.id].sort())
      })
    )
  )

  it.effect(
    "does not let a revoked key in: it is removed when that works again, by itself or when asked once more",
    () =>
      opened((keys, disk) =>
        Effect.gen(function* () {
          for (const isAsked of [true, false]) {
            const leaked = yield* keys.create({})
            const { credential, id } = leaked.info
            const told = yield* Effect.forkChild(Stream.runHead(keys.revocations), { startImmediately: true })
            const keeping = yield* Effect.forkChild(keys.keep(disk.store), { startImmediately: true })
            disk.state.writing = "no space left"
            const error = yield* Effect.flip(keys.revoke(id))
            assert.deepStrictEqual(
              [error.reason, error.detail, error.revoked?.credential],
              ["Store", "the key cannot be removed from the store: no space left", credential]
            )
            assert.isFalse(yield* isGranted(keys, leaked))
            assert.deepStrictEqual(Option.getOrThrow(yield* Fiber.join(told)), { id, credential })
            assert.strictEqual((yield* Effect.flip(keys.revoke(id))).reason, "Store")
            // Whoever keeps the store fails at once, and for as long as the entry does not go.
            assert.include((yield* Effect.flip(Fiber.join(keeping))).detail, "cannot be removed")
            assert.include((yield* Effect.flip(keys.keep(disk.store))).detail, "no space left")
            disk.state.writing = ""
            assert.deepStrictEqual(disk.ids(), [id])
            if (isAsked) yield* keys.revoke(id)
            const again = yield* Effect.forkChild(keys.keep(disk.store), { startImmediately: true })
            assert.deepStrictEqual(disk.ids(), [])
            assert.strictEqual((yield* Effect.flip(keys.revoke(id))).reason, "NotFound")
            yield* TestClock.adjust("1 hour")
            assert.isUndefined(again.pollUnsafe())
            yield* Fiber.interrupt(again)
          }
        })
      )
  )
})

describe("a key as password", () => {
  it.effect("is that of the user with its id, where that was asked for", () =>
    withKeys(
      {
        keys: [
          staticKey({ login: true, publishAs: "show" }),
          staticKey({ id: "other", key: Redacted.make("other-secret") })
        ]
      },
      (keys) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* keys.lookup("other"), undefined)
          assert.strictEqual(yield* keys.lookup("nobody"), undefined)
          const login = (yield* keys.lookup("studio"))!
          const expected = AdobeAuth.verifierOf("studio", login.verifier.salt, "studio-secret")
          assert.deepStrictEqual(login.verifier, expected)
          assert.strictEqual(login.credential, "key:studio")
          assert.strictEqual(login.publishAs, "show")
          const created = yield* keys.create({ login: true })
          const made = (yield* keys.lookup(created.info.id))!
          assert.deepStrictEqual(
            made.verifier,
            AdobeAuth.verifierOf(created.info.id, made.verifier.salt, text(created))
          )
        })
    )
  )
})

describe("the settings", () => {
  it.effect("are refused where a key is no key, without showing it", () =>
    Effect.gen(function* () {
      const table: ReadonlyArray<ReadonlyArray<StreamKeys.StaticKey>> = [
        [staticKey({ key: Redacted.make("shorty") })],
        [staticKey({ sha256: "00" })],
        [{ id: "a", sha256: "00" }],
        [{ id: "a" }],
        [staticKey({ id: "a b" })],
        [staticKey(), staticKey()],
        [{ id: "a", sha256: "0".repeat(64), login: true }],
        [staticKey({ actions: [] })],
        [staticKey({ stream: "x".repeat(600) })]
      ]
      for (const keys of table) {
        const error = yield* Effect.flip(withKeys({ keys }, () => Effect.void))
        assert.strictEqual(error._tag, "AccessSettingsError")
        assert.notInclude(error.message, "shorty")
      }
    })
  )

  it("write random bytes as Crockford's base 32", () => {
    assert.strictEqual(StreamKeys.crockford(new Uint8Array([0xff, 0, 0xff, 0, 0xff])), "zw0fy07z")
    assert.strictEqual(StreamKeys.crockford(new Uint8Array([0b10000_100])), "gg")
    assert.strictEqual(StreamKeys.crockford(new Uint8Array(0)), "")
  })
})
