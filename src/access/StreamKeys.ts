/**
 * Stream keys: long random texts that let whoever knows them publish or play.
 *
 * Keys come from the configuration, or are made at run time and kept in a `KeyValueStore` (`StoredKeys`). Only the SHA-256 of
 * a key is held and stored. A presented key is hashed and compared, in constant time, with all of them.
 *
 * **Details**
 *
 * A key travels in the query of the stream, of the application or of the tcUrl (`in: "query"`), or as the name of the stream
 * itself (`in: "name"`): it is then mapped to a public name, which viewers play, and the name that was sent is secret.
 *
 * A key can also stand for a password (`AdobeAuth`), with its `id` as the user. What is stored for that is as good as the
 * key in those two dialects, and is therefore made only where it is asked for.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Digest from "effect/crypto/Digest"
import * as Mac from "effect/crypto/Mac"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Bytes from "../protocol/Bytes.ts"
import { RtmpCrypto } from "../protocol/Crypto.ts"
import * as RtmpUrl from "../protocol/RtmpUrl.ts"
import * as AccessMethod from "./AccessMethod.ts"
import * as AccessScope from "./AccessScope.ts"
import * as AdobeAuth from "./AdobeAuth.ts"
import { AccessDenied, type AccessGrant, type AccessRequest, Authenticator } from "./Authenticator.ts"
import * as StoredKeys from "./StoredKeys.ts"

/** Where a key travels. */
export type KeyPlace = "query" | "name"

/**
 * A key of the configuration: its `id`, and either the key itself or its SHA-256 in hexadecimal, with what it is good for.
 *
 * - `publishAs`: canonical public name of the stream. Needed where keys travel as names.
 * - `login`: whether `id` and key can be used as user and password; needs the key itself.
 */
export interface StaticKey extends AccessScope.AccessScope {
  readonly id: string
  readonly key?: Redacted.Redacted<string>
  readonly sha256?: string
  readonly publishAs?: string
  readonly login?: boolean
}

/**
 * The settings of stream keys.
 *
 * - `in`: where keys travel (`query`).
 * - `parameter`: name of the query parameter (`key`).
 * - `keys`: those of the configuration.
 * - `maxKeys`: how many keys can be made at run time (10,000).
 */
export interface StreamKeysSettings {
  readonly in?: KeyPlace
  readonly parameter?: string
  readonly keys?: ReadonlyArray<StaticKey>
  readonly maxKeys?: number
}

/** What a new key is to be good for. `label` is for people; it holds no secret. */
export interface NewKey extends AccessScope.AccessScope {
  readonly label?: string
  readonly publishAs?: string
  readonly login?: boolean
}

/** What may be known of a key. `credential` is what its grants carry; times are in milliseconds since 1970. */
export interface KeyInfo extends AccessScope.AccessScope {
  readonly id: string
  readonly label: string
  readonly origin: "static" | "dynamic"
  readonly credential: string
  readonly publishAs?: string
  readonly login: boolean
  readonly createdAtMs?: number
}

/** A key that has just been made: the only time that it is to be seen. */
export interface CreatedKey {
  readonly key: Redacted.Redacted<string>
  readonly info: KeyInfo
}

/** A key that has been revoked. Live sessions whose grant has this `credential` can be dropped. */
export interface Revocation {
  readonly id: string
  readonly credential: string
}

/**
 * Why a key was not made or revoked. `detail` holds no secret. `revoked`: the key that counts no more all the same, though the
 * store still has it.
 */
export class StreamKeyError extends Data.TaggedError("StreamKeyError")<{
  readonly reason: "NotFound" | "Static" | "TooMany" | "Invalid" | "Store"
  readonly detail: string
  readonly revoked?: KeyInfo
}> {
  override get message(): string {
    return `stream key: ${this.detail}`
  }
}

/** How many random bytes a key has: 160 bits. */
export const keyBytes = 20

/** Makes a key or an id: random bytes as 5-bit digits of lower-case letters and numbers without i, l, o and u. */
export const crockford = (bytes: Uint8Array): string => {
  let out = ""
  let bits = 0
  let held = 0
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xffff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      out += digits[(held >>> bits) & 31]
    }
  }
  return bits === 0 ? out : out + digits[(held << (5 - bits)) & 31]
}

/** Stream keys: their management, and how they answer requests. */
export class StreamKeys extends Context.Service<
  StreamKeys,
  {
    /** Answers requests. Its name is `key`. */
    readonly method: AccessMethod.AccessMethod
    /** Finds the user whose name is the id of a key that can be used as a password. */
    readonly lookup: AdobeAuth.AdobeAuthSettings["lookup"]
    /** Makes and stores a key. */
    readonly create: (key: NewKey) => Effect.Effect<CreatedKey, StreamKeyError>
    /** Lists all keys, expired ones too: those of the configuration, then the others by age. */
    readonly list: Effect.Effect<ReadonlyArray<KeyInfo>>
    /**
     * Removes a key that was made at run time, for good. It counts no more at once, also where the store fails: it is removed
     * there when that works again, by `keep` or by asking once more.
     */
    readonly revoke: (id: string) => Effect.Effect<KeyInfo, StreamKeyError>
    /**
     * Goes on with a store that was opened anew, and looks after it until it fails: cannot be reached, or did not take a
     * change. To be supervised, by one at a time, and to be run with a store opened for it each time. Keys hold while their
     * store is away. Those that were revoked meanwhile are removed from what is there then. Where it is the same store
     * (`StoredKeys.identityOf`), keys that it lacks were removed by somebody, and are revoked. Where it is another one, they
     * are written, and those that only it knows taken over.
     */
    readonly keep: (store: KeyValueStore.KeyValueStore) => Effect.Effect<never, StreamKeyError>
    /** What is revoked from the moment on at which the stream is run. A slow subscriber loses the oldest of 256. */
    readonly revocations: Stream.Stream<Revocation>
  }
>()("effect-rtmp/access/StreamKeys") {}

interface Held {
  readonly info: KeyInfo
  readonly hash: Uint8Array
  readonly scope: AccessScope.CompiledScope
  readonly verifier: AdobeAuth.Verifier | undefined
  /** What is kept of it; undefined for one of the configuration. */
  readonly record: StoredKeys.StoredKey | undefined
}

/** What is kept of the keys that are held, by their id. */
type StoredRecords = ReadonlyMap<string, StoredKeys.StoredKey>

/** How often `keep` looks whether the store can be used, where nobody makes or revokes a key. */
export const checkInterval = "30 seconds"

/** Loads the keys. An entry of the store that cannot be read is left out, with a warning, and left where it is. */
export const make = (
  settings: StreamKeysSettings
): Effect.Effect<
  StreamKeys["Service"],
  AccessMethod.AccessSettingsError | StreamKeyError,
  KeyValueStore.KeyValueStore | RtmpCrypto | Scope.Scope
> =>
  Effect.gen(function* () {
    const crypto = yield* RtmpCrypto
    const clock = yield* Clock.Clock
    let store = StoredKeys.make(yield* KeyValueStore.KeyValueStore)
    const failures = yield* Queue.sliding<StreamKeyError>(1)
    const hub = yield* Effect.acquireRelease(PubSub.sliding<Revocation>(256), PubSub.shutdown)
    const writing = Semaphore.makeUnsafe(1)
    const place = settings.in ?? "query"
    const parameter = settings.parameter ?? "key"
    const maxKeys = settings.maxKeys ?? 10_000
    const held = new Map<string, Held>()
    // They must not come back with a store that was away; as many as there can be keys.
    const revoked = new Set<string>()
    // Those among them that a store which failed still has.
    const unremoved = new Map<string, KeyInfo>()

    for (const [index, key] of (settings.keys ?? []).entries()) {
      const setting = `keys[${index}]`
      const problem = faultOf(key, place) ?? (held.has(key.id) ? "an id can be used once" : undefined)
      if (problem !== undefined) return yield* new AccessMethod.AccessSettingsError({ setting, problem })
      const text = key.key === undefined ? undefined : Redacted.value(key.key)
      const verifier =
        key.login === true && text !== undefined ? verifierOf(key.id, text, crypto.randomBytes) : undefined
      held.set(key.id, {
        info: infoOf(key, "static", key.id, key.login === true, undefined),
        hash: text === undefined ? Bytes.fromHex(key.sha256!) : yield* sha256(text),
        scope: yield* Effect.fromResult(AccessScope.make(StoredKeys.scopeOf(key))),
        verifier,
        record: undefined
      })
    }

    const entries = yield* Effect.mapError(store.ids, storeError("the stored keys cannot be listed"))
    for (const id of entries) {
      // A key of the configuration takes the place of one that was made with the same id.
      const key = held.has(id) ? undefined : yield* store.read(id)
      if (key !== undefined) held.set(id, holdStored(key))
    }
    const staticKeys = settings.keys?.length ?? 0

    /** Compares with every key, so that the time tells nothing about which. */
    const find = (hash: Uint8Array): Held | undefined => {
      let found: Held | undefined
      for (const key of held.values()) if (Mac.timingSafeEqual(key.hash, hash)) found = key
      return found
    }

    const present = (
      text: string,
      request: AccessRequest,
      inName: boolean
    ): Effect.Effect<AccessGrant | undefined, AccessDenied> =>
      Effect.flatMap(sha256(text), (hash) => {
        const key = find(hash)
        if (key === undefined) {
          // Who plays a public name shows no key.
          return inName && request.action !== "publish" ? Effect.succeed(undefined) : Effect.fail(wrong(inName))
        }
        const { publishAs } = key.info
        if (inName && publishAs === undefined) return Effect.fail(wrong(inName))
        const asked = inName ? { ...request, stream: publishAs! } : request
        const fault = key.scope.fault(asked, clock.currentTimeMillisUnsafe())
        if (fault === undefined) {
          const renames = publishAs !== undefined && request.action !== "connect"
          return Effect.succeed({
            credential: key.info.credential,
            ...(renames && (inName || request.action === "publish") ? { stream: publishAs } : {})
          })
        }
        return Effect.fail(hidden(fault === "Expired" ? AccessMethod.expired : AccessMethod.notAllowed, inName))
      })

    const method: AccessMethod.AccessMethod = {
      name: "key",
      readsName: place === "name",
      check: (request) => {
        if (place === "name") {
          return request.action === "connect" ? Effect.succeed(undefined) : present(request.stream, request, true)
        }
        const text = RtmpUrl.parameter(request.query, parameter)
        return text === undefined || text === "" ? Effect.succeed(undefined) : present(text, request, false)
      }
    }

    /** Does something to the store; a failure is also one of whoever keeps it. */
    const attempt = <A>(use: Effect.Effect<A, Error>, detail: string): Effect.Effect<A, StreamKeyError> =>
      Effect.mapError(use, storeError(detail)).pipe(Effect.tapError((error) => Queue.offer(failures, error)))

    const check = Effect.mapError(
      Effect.suspend(() => store.ids),
      storeError("the store cannot be used")
    )

    /** From now on the key counts no more, and whoever follows `revocations` is told. */
    const forget = ({ credential, id }: KeyInfo): Effect.Effect<void> =>
      Effect.suspend(() => {
        held.delete(id)
        revoked.add(id)
        if (revoked.size > maxKeys) revoked.delete(revoked.values().next().value!)
        return PubSub.publish(hub, { id, credential })
      })

    const resume = (same: StoredKeys.StoredKeys, records: StoredRecords, turnedOut: ReadonlySet<string>) =>
      Effect.gen(function* () {
        const gone = yield* StoredKeys.resume(same, records.keys(), turnedOut)
        for (const id of gone) yield* forget(held.get(id)!.info)
        if (gone.length > 0) {
          yield* Effect.logWarning("stream keys that somebody removed from their store are revoked", {
            keys: gone.slice(0, 20).join(", "),
            count: gone.length
          })
        }
      })

    const mend = (other: StoredKeys.StoredKeys, records: StoredRecords, turnedOut: ReadonlySet<string>) =>
      Effect.gen(function* () {
        const { found, written } = yield* StoredKeys.mend(other, records, turnedOut)
        for (const key of found) if (!held.has(key.record.id)) held.set(key.record.id, holdStored(key))
        yield* Effect.logInfo("another store of stream keys is in use", { written, found: found.length })
      })

    const goOn = (opened: KeyValueStore.KeyValueStore): Effect.Effect<void, StreamKeyError> =>
      Effect.gen(function* () {
        const next = StoredKeys.make(opened)
        yield* Queue.clear(failures)
        const records = new Map<string, StoredKeys.StoredKey>()
        for (const [id, { record }] of held) if (record !== undefined) records.set(id, record)
        const turnedOut = new Set([...revoked, ...unremoved.keys()])
        yield* Effect.mapError(
          (next.identity === store.identity ? resume : mend)(next, records, turnedOut),
          storeError("the store cannot be mended")
        )
        unremoved.clear()
        // Only now: what is made meanwhile must not be missing in the one before, should that come back instead.
        store = next
      }).pipe(writing.withPermit)

    const keep = (opened: KeyValueStore.KeyValueStore): Effect.Effect<never, StreamKeyError> =>
      Effect.gen(function* () {
        yield* goOn(opened)
        while (true) {
          const failure = yield* Effect.timeoutOption(Queue.take(failures), checkInterval)
          yield* check
          if (Option.isSome(failure)) return yield* failure.value
        }
      })

    const create = (key: NewKey): Effect.Effect<CreatedKey, StreamKeyError> =>
      Effect.gen(function* () {
        if (held.size - staticKeys >= maxKeys) return yield* failed("TooMany", `there are ${maxKeys} already`)
        const problem = faultOf(key, place)
        if (problem !== undefined) return yield* failed("Invalid", problem)
        if ((key.label ?? "").length > 256) return yield* failed("Invalid", "a label has at most 256 characters")
        const scope = AccessScope.make(StoredKeys.scopeOf(key))
        if (Result.isFailure(scope)) return yield* failed("Invalid", scope.failure.message)
        const id = `k${crockford(crypto.randomBytes(10))}`
        const text = crockford(crypto.randomBytes(keyBytes))
        const record: StoredKeys.StoredKey = {
          version: 1,
          id,
          label: key.label ?? "",
          sha256: Hex.encode(yield* sha256(text)),
          ...StoredKeys.scopeOf(key),
          ...(key.publishAs === undefined ? {} : { publishAs: key.publishAs }),
          createdAtMs: clock.currentTimeMillisUnsafe(),
          ...(key.login === true ? { login: verifierOf(id, text, crypto.randomBytes) } : {})
        }
        yield* attempt(store.write(record), "the key cannot be stored")
        const made = holdStored({ record, scope: scope.success })
        held.set(id, made)
        return { key: Redacted.make(text), info: made.info }
      }).pipe(Effect.uninterruptible, writing.withPermit)

    const revoke = (id: string): Effect.Effect<KeyInfo, StreamKeyError> =>
      Effect.gen(function* () {
        const info = held.get(id)?.info ?? unremoved.get(id)
        if (info === undefined) return yield* failed("NotFound", "there is none with this id")
        if (info.origin === "static") return yield* failed("Static", "it stands in the configuration")
        if (held.has(id)) yield* forget(info)
        unremoved.set(id, info)
        yield* Effect.mapError(
          attempt(store.remove(id), "the key cannot be removed from the store"),
          ({ detail, reason }) => new StreamKeyError({ reason, detail, revoked: info })
        )
        unremoved.delete(id)
        return info
      }).pipe(Effect.uninterruptible, writing.withPermit)

    return StreamKeys.of({
      method,
      lookup: (user) =>
        Effect.sync(() => {
          const key = held.get(user)
          if (key?.verifier === undefined) return undefined
          const { credential, publishAs } = key.info
          return {
            verifier: key.verifier,
            scope: key.scope,
            credential,
            ...(publishAs === undefined ? {} : { publishAs })
          }
        }),
      create,
      list: Effect.sync(() => Array.from(held.values(), ({ info }) => info).sort(byAge)),
      revoke,
      keep,
      revocations: Stream.fromPubSub(hub)
    })
  })

/** Provides the keys. */
export const layer = (
  settings: StreamKeysSettings
): Layer.Layer<
  StreamKeys,
  AccessMethod.AccessSettingsError | StreamKeyError,
  KeyValueStore.KeyValueStore | RtmpCrypto
> => Layer.effect(StreamKeys, make(settings))

/** Asks for a stream key, and for nothing else. */
export const layerAuthenticator: Layer.Layer<Authenticator, never, StreamKeys> = Layer.effect(
  Authenticator,
  Effect.map(StreamKeys, ({ method }) => AccessMethod.authenticator(method))
)

const digits = "0123456789abcdefghjkmnpqrstvwxyz"

const sha256 = (text: string): Effect.Effect<Uint8Array> =>
  Digest.Digest.use((digest) => digest.digest(Digest.sha256, Bytes.fromUtf8(text))).pipe(
    Effect.provide(Digest.layerWebCrypto)
  )

const verifierOf = (id: string, text: string, randomBytes: (count: number) => Uint8Array): AdobeAuth.Verifier =>
  AdobeAuth.verifierOf(id, AdobeAuth.newSalt(randomBytes), text)

const wrongKey = new AccessDenied({ reason: "CredentialInvalid", description: "The stream key is not valid." })

/** A refusal that keeps the name out of logs, where that is the key. */
const hidden = (denied: AccessDenied, inName: boolean): AccessDenied =>
  inName ? new AccessDenied({ reason: denied.reason, description: denied.description, isStreamSecret: true }) : denied

const wrong = (inName: boolean): AccessDenied => hidden(wrongKey, inName)

const failed = (reason: StreamKeyError["reason"], detail: string): Effect.Effect<never, StreamKeyError> =>
  Effect.fail(new StreamKeyError({ reason, detail }))

/** The store says what is wrong with its place; any other error may show what was to be stored. */
const storeError =
  (what: string) =>
  (error: Error): StreamKeyError =>
    new StreamKeyError({
      reason: "Store",
      detail: error instanceof KeyValueStore.KeyValueStoreError ? `${what}: ${error.message}` : what
    })

/** Keys of the configuration first. */
const byAge = (left: KeyInfo, right: KeyInfo): number => (left.createdAtMs ?? 0) - (right.createdAtMs ?? 0)

const infoOf = (
  key: NewKey,
  origin: KeyInfo["origin"],
  id: string,
  login: boolean,
  createdAtMs: number | undefined
): KeyInfo => ({
  id,
  label: key.label ?? "",
  origin,
  credential: `key:${id}`,
  ...StoredKeys.scopeOf(key),
  ...(key.publishAs === undefined ? {} : { publishAs: key.publishAs }),
  login,
  ...(createdAtMs === undefined ? {} : { createdAtMs })
})

const holdStored = ({ record, scope }: StoredKeys.ReadKey): Held => ({
  info: infoOf({ ...record, login: false }, "dynamic", record.id, record.login !== undefined, record.createdAtMs),
  hash: Bytes.fromHex(record.sha256),
  scope,
  verifier: record.login,
  record
})

/** What is wrong with a key of the configuration or a new one. */
const faultOf = (key: StaticKey | NewKey, place: KeyPlace): string | undefined => {
  if ("id" in key) {
    if (!AdobeAuth.isUserName(key.id)) return "an id has up to 64 letters, digits and . _ ~ @ -"
    if ((key.key === undefined) === (key.sha256 === undefined)) return "give either the key or its sha256"
    if (key.key !== undefined && Redacted.value(key.key).length < minStaticKeyLength) {
      return `a key has at least ${minStaticKeyLength} characters`
    }
    if (key.sha256 !== undefined && !StoredKeys.isSha256(key.sha256)) return "sha256 has 64 hexadecimal digits"
    if (key.login === true && key.key === undefined) return "login needs the key itself"
  }
  if (key.publishAs === undefined)
    return place === "name" ? "publishAs is needed where keys travel as names" : undefined
  const name = RtmpUrl.stream(key.publishAs, "")
  return Result.isSuccess(name) && name.success.name === key.publishAs && name.success.query === ""
    ? undefined
    : "publishAs is not the name of a stream"
}

// Short enough for what people have configured elsewhere; the limiter keeps others from trying them out.
const minStaticKeyLength = 8
