/**
 * How stream keys that were made at run time are kept: in a `KeyValueStore`, one entry each, so that making or revoking one
 * touches no other. Of a key only its SHA-256 is there.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AccessScope from "./AccessScope.ts"

/** What is kept of a key; `sha256` is in hexadecimal, and `login` is there where it can be used as a password. */
export const StoredKey = Schema.Struct({
  version: Schema.Literal(1),
  id: Schema.String,
  label: Schema.String,
  sha256: Schema.String,
  application: Schema.optionalKey(Schema.String),
  stream: Schema.optionalKey(Schema.String),
  actions: Schema.optionalKey(Schema.Array(Schema.Literals(["connect", "publish", "play"]))),
  expiresAtMs: Schema.optionalKey(Schema.Number),
  publishAs: Schema.optionalKey(Schema.String),
  createdAtMs: Schema.Number,
  login: Schema.optionalKey(Schema.Struct({ salt: Schema.String, adobe: Schema.String, llnw: Schema.String }))
})

/** What is kept of a key. */
export type StoredKey = typeof StoredKey.Type

/** A stored key that can be used, with what it is good for. */
export interface ReadKey {
  readonly record: StoredKey
  readonly scope: AccessScope.CompiledScope
}

/** The kept keys. */
export interface StoredKeys {
  /** What tells their store from another one: see `identityOf`. */
  readonly identity: unknown
  /** The ids of all entries, whether they can be read or not. */
  readonly ids: Effect.Effect<ReadonlyArray<string>, KeyValueStore.KeyValueStoreError>
  /** Reads an entry. One that cannot be read is left where it is, with a warning. */
  readonly read: (id: string) => Effect.Effect<ReadKey | undefined>
  /** Writes an entry, for good when it has succeeded. */
  readonly write: (record: StoredKey) => Effect.Effect<void, KeyValueStore.KeyValueStoreError | Schema.SchemaError>
  /** Removes an entry, where there is one. */
  readonly remove: (id: string) => Effect.Effect<void, KeyValueStore.KeyValueStoreError>
}

/**
 * What tells a store from another one that has come in its place: its `identity` where it has one, which it keeps when it is
 * opened anew, and itself where it has none.
 */
export const identityOf = (store: KeyValueStore.KeyValueStore): unknown =>
  "identity" in store ? store.identity : store

/** The kept keys of a store, which may hold other things as well. */
export const make = (store: KeyValueStore.KeyValueStore): StoredKeys => {
  const entries = KeyValueStore.prefix(store, prefix)
  const records = KeyValueStore.toSchemaStore(entries, StoredKey)
  return {
    identity: identityOf(store),
    ids: entries.keys,
    read: (id) =>
      Effect.gen(function* () {
        const loaded = yield* Effect.result(records.get(id))
        const record = Result.isSuccess(loaded) ? Option.getOrUndefined(loaded.success) : undefined
        const scope = record === undefined ? undefined : Result.getOrUndefined(AccessScope.make(scopeOf(record)))
        if (record !== undefined && scope !== undefined && record.id === id && isSha256(record.sha256)) {
          return { record, scope }
        }
        yield* Effect.logWarning("a stored stream key cannot be read and is left out").pipe(
          Effect.annotateLogs({ id: id.slice(0, 64) })
        )
        return undefined
      }),
    write: (record) => records.set(record.id, record),
    remove: entries.remove
  }
}

/**
 * Goes on with the same store, which may have been away: those of `revoked` are removed. Gives those of `held` that it no
 * longer has: somebody else removed them.
 */
export const resume = (
  keys: StoredKeys,
  held: Iterable<string>,
  revoked: ReadonlySet<string>
): Effect.Effect<ReadonlyArray<string>, KeyValueStore.KeyValueStoreError> =>
  Effect.gen(function* () {
    const ids = new Set(yield* keys.ids)
    for (const id of ids) if (revoked.has(id)) yield* keys.remove(id)
    return Array.from(held).filter((id) => !ids.has(id))
  })

/**
 * Makes another store than before hold what it should: those of `held` that are missing are written, those of `revoked`
 * removed. Gives the keys that only the store knows, and how many were written.
 */
export const mend = (
  keys: StoredKeys,
  held: ReadonlyMap<string, StoredKey>,
  revoked: ReadonlySet<string>
): Effect.Effect<
  { readonly found: ReadonlyArray<ReadKey>; readonly written: number },
  KeyValueStore.KeyValueStoreError | Schema.SchemaError
> =>
  Effect.gen(function* () {
    const ids = new Set(yield* keys.ids)
    const found: Array<ReadKey> = []
    for (const id of ids) {
      if (revoked.has(id)) yield* keys.remove(id)
      else if (!held.has(id)) {
        const key = yield* keys.read(id)
        if (key !== undefined) found.push(key)
      }
    }
    let written = 0
    for (const [id, record] of held) {
      if (ids.has(id)) continue
      yield* keys.write(record)
      written++
    }
    return { found, written }
  })

/** The scope among the members of a key. */
export const scopeOf = ({
  actions,
  application,
  expiresAtMs,
  stream
}: AccessScope.AccessScope): AccessScope.AccessScope => ({
  ...(application === undefined ? {} : { application }),
  ...(stream === undefined ? {} : { stream }),
  ...(actions === undefined ? {} : { actions }),
  ...(expiresAtMs === undefined ? {} : { expiresAtMs })
})

/** Whether a text is a SHA-256 in hexadecimal. */
export const isSha256 = (text: string): boolean => /^[0-9a-fA-F]{64}$/.test(text)

const prefix = "stream-key."
