/**
 * A `KeyValueStore` in a directory, whose entries survive a crash at any moment.
 *
 * Every entry is a file of its own. It is written beside its place, flushed to the disk and moved there, and the directory
 * is flushed too: after `set` has succeeded the new value is there, before that the old one, and never a part of one.
 * Files and directory can be read by their owner only.
 *
 * What a crash leaves half-written is removed when the store is opened. One process writes at a time.
 *
 * A store belongs to the directory that it was opened with. When that is gone, or another one has come in its place (a disk
 * that was mounted or taken away), everything fails until the store is opened anew: nothing is written to where nobody
 * looks for it, and an empty directory is not taken for one whose entries were removed.
 */
import * as FsPromises from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as AtomicFile from "./AtomicFile.ts"

/** A store in a directory. */
export interface NodeKeyStore extends KeyValueStore.KeyValueStore {
  /** That of the directory, which no other one has, also one that takes its place: see `StoredKeys.identityOf`. */
  readonly identity: string
}

/**
 * Opens a store, and makes its directory if there is none. Keys have 1 to 100 bytes of UTF-8. Everything fails with the path
 * and what the system said, and never with a value.
 */
export const make = (directory: string): Effect.Effect<NodeKeyStore, KeyValueStore.KeyValueStoreError> =>
  Effect.suspend(() => {
    let opened = ""
    const attempt = <A>(method: string, key: string | undefined, run: () => Promise<A>) =>
      Effect.tryPromise({
        try: run,
        catch: (cause) =>
          new KeyValueStore.KeyValueStoreError({
            method,
            ...(key === undefined ? {} : { key }),
            message: `${directory}: ${wordsOf(cause)}`,
            cause
          })
      })
    const within = <A>(method: string, key: string | undefined, run: () => Promise<A>) =>
      attempt(method, key, async () => {
        if ((await lookAt(directory)).place !== opened) throw new Error("something else has come in its place")
        return run()
      })
    const list = async (): Promise<ReadonlyArray<string>> =>
      (await FsPromises.readdir(directory)).flatMap((file) => keyOf(file) ?? [])
    const read = async (key: string): Promise<Buffer | undefined> => {
      try {
        return await FsPromises.readFile(pathOf(directory, key))
      } catch (error) {
        if (codeOf(error) === "ENOENT") return undefined
        throw error
      }
    }
    const write = async (key: string, value: string | Uint8Array): Promise<void> =>
      AtomicFile.write(pathOf(directory, key), value, 0o600)
    const remove = async (key: string): Promise<void> => AtomicFile.remove(pathOf(directory, key))
    const store = KeyValueStore.make({
      get: (key) =>
        within("get", key, async () => {
          const bytes = await read(key)
          return bytes === undefined ? undefined : isText(bytes) ? bytes.toString("utf8") : Base64.encode(bytes)
        }),
      getUint8Array: (key) => within("getUint8Array", key, () => read(key)),
      set: (key, value) => Effect.uninterruptible(within("set", key, () => write(key, value))),
      remove: (key) => Effect.uninterruptible(within("remove", key, () => remove(key))),
      clear: within("clear", undefined, async () => {
        for (const key of await list()) await remove(key)
      }),
      size: within("size", undefined, async () => (await list()).length),
      keys: within("keys", undefined, list)
    })
    const prepare = async (): Promise<NodeKeyStore> => {
      await FsPromises.mkdir(directory, { recursive: true, mode: 0o700 })
      for (const file of await FsPromises.readdir(directory)) {
        const path = Path.join(directory, file)
        if (AtomicFile.isUnfinished(path)) await FsPromises.rm(path, { force: true })
      }
      const { identity, place } = await lookAt(directory)
      opened = place
      return { ...store, identity }
    }
    return attempt("open", undefined, prepare)
  })

/** Provides a store in a directory. */
export const layer = (directory: string): Layer.Layer<KeyValueStore.KeyValueStore, KeyValueStore.KeyValueStoreError> =>
  Layer.effect(KeyValueStore.KeyValueStore, make(directory))

const suffix = ".entry"

// Hexadecimal, because file systems differ in the case of letters, and in the characters that they take.
const pathOf = (directory: string, key: string): string => {
  const bytes = Buffer.from(key, "utf8")
  if (bytes.length === 0 || bytes.length > 100) throw new Error("a key has 1 to 100 bytes")
  const name = /^[a-z0-9][a-z0-9.-]*$/.test(key) ? key : `=${bytes.toString("hex")}`
  return Path.join(directory, `${name}${suffix}`)
}

const keyOf = (file: string): string | undefined => {
  if (!file.endsWith(suffix)) return undefined
  const name = file.slice(0, -suffix.length)
  return name.startsWith("=") ? Buffer.from(name.slice(1), "hex").toString("utf8") : name
}

// A directory that is made where one was removed often gets the number of that one, so that its birth counts too. Systems that
// do not know it give 0, or the time of the last change: the same directory is then taken for another one, which loses nothing.
const lookAt = async (directory: string): Promise<{ readonly place: string; readonly identity: string }> => {
  const { birthtimeNs, dev, ino } = await FsPromises.stat(directory, { bigint: true })
  const place = `${dev}:${ino}`
  return { place, identity: `${place}:${birthtimeNs}` }
}

const isText = (bytes: Buffer): boolean => bytes.equals(Buffer.from(bytes.toString("utf8"), "utf8"))

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined

const wordsOf = (error: unknown): string => {
  switch (codeOf(error)) {
    case "EACCES":
    case "EPERM":
      return "permission denied"
    case "ENOENT":
      return "it is gone"
    case "EEXIST":
    case "ENOTDIR":
      return "there is a file where it should be"
    case "ENOSPC":
      return "no space left"
    case "EROFS":
      return "read-only file system"
    default:
      return error instanceof Error ? error.message : "cannot be used"
  }
}
