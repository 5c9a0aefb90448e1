/**
 * The configuration file on disk: which one it is, what it holds, and when it changes.
 *
 * The directory is watched rather than the file, because editors and Kubernetes put a new file or a new link in its place,
 * and a watcher of the old one hears nothing any more. Where the file is a link, the directory that it leads to is watched
 * too. Watching keeps no process alive, and nothing wakes up as long as nothing changes.
 */
import * as Fs from "node:fs"
import * as FsPromises from "node:fs/promises"
import * as Path from "node:path"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ConfigError } from "../config/ConfigError.ts"
import * as ConfigFile from "../config/ConfigFile.ts"
import * as ConfigSource from "../config/ConfigSource.ts"
import { ConfigStore } from "../config/ConfigStore.ts"
import { keys, loadWith, type RtmpConfigData } from "../config/RtmpConfig.ts"

/** The file that is read where none is named, if it exists; relative to the working directory. */
export const defaultPath = "config/effect-rtmp.yaml"

/** How long nothing must happen before a change is looked at, in milliseconds. */
export const quietMs = 200

/** How long a change is put off at most when things keep happening, in milliseconds. */
export const maxPutOffMs = 2000

/** How long until a directory that has gone away is looked for again, in milliseconds. */
export const searchAgainMs = 1000

/**
 * Finds the file: `named` (by `--config`), else the one that `RTMP_CONFIG` names, else the default one if it exists.
 *
 * Gives the path as it was written, and `undefined` for none. A file that was named is not looked for here: reading it will
 * say that it is missing.
 */
export const locate = (named?: string): Effect.Effect<string | undefined, ConfigError> =>
  Effect.gen(function* () {
    if (named !== undefined && named !== "") return named
    const provider = yield* ConfigProvider.ConfigProvider
    const variable = yield* Effect.mapError(provider.load([ConfigSource.fileVariable]), (error) =>
      failed(error.message)
    )
    if (variable?.value !== undefined && variable.value !== "") return variable.value
    return (yield* Effect.promise(() => exists(defaultPath))) ? defaultPath : undefined
  })

/** Reads a file. What is wrong with its text is in the problems of the source; one that cannot be read is an error. */
export const read = (path: string): Effect.Effect<ConfigSource.ConfigSource, ConfigError> =>
  Effect.flatMap(
    Effect.tryPromise({
      try: () => readText(path),
      catch: (error) => failed(`${path} ${wordsOf(error)}`)
    }),
    (text) => ConfigFile.parse(keys, text, path)
  )

/** Loads the configuration from a file, if there is one, and from the environment, which lies above it. */
export const load = (path: string | undefined): Effect.Effect<ConfigSource.LoadedConfig<RtmpConfigData>, ConfigError> =>
  Effect.flatMap(path === undefined ? Effect.succeed([]) : Effect.map(read(path), (source) => [source]), loadWith)

/**
 * Watches a file from now on. The stream tells that the file may have changed: once, when nothing has happened for a moment.
 * A file that is not there for the time being is no change.
 */
export const watch = (path: string): Effect.Effect<Stream.Stream<void>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const signals = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
    const changes = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
    const watcher = new DirectoryWatcher(Path.resolve(path), () => Queue.offerUnsafe(signals, undefined))
    yield* Effect.addFinalizer(() => Effect.sync(() => watcher.close()))
    let known = yield* Effect.promise(() => identityOf(path))
    yield* Effect.promise(() => watcher.arm())
    // What happened before the watcher stood is looked at once.
    yield* Queue.offer(signals, undefined)

    const settle = Effect.gen(function* () {
      for (let waited = 0; waited < maxPutOffMs; waited += quietMs) {
        yield* Effect.sleep(quietMs)
        if ((yield* Queue.clear(signals)).length === 0) return
      }
    })
    const look = Effect.gen(function* () {
      yield* Queue.take(signals)
      yield* settle
      while (!(yield* Effect.promise(() => watcher.arm()))) yield* Effect.sleep(searchAgainMs)
      const identity = yield* Effect.promise(() => identityOf(path))
      if (identity === undefined || identity === known) return
      known = identity
      yield* Queue.offer(changes, undefined)
    })
    yield* Effect.forkScoped(Effect.forever(look))
    return Stream.fromQueue(changes)
  })

/**
 * Loads the configuration anew whenever its file changes, for as long as the scope lives; a reload that fails is logged by the
 * store and changes nothing. While `config.watch` is off, changes are not acted upon.
 */
export const reloadOnChange = (path: string): Effect.Effect<void, never, ConfigStore | Scope.Scope> =>
  Effect.gen(function* () {
    const store = yield* ConfigStore
    const changes = yield* watch(path)
    const reload = Effect.gen(function* () {
      if (!(yield* store.current).config.watch) return
      yield* Effect.ignore(store.reload)
    })
    yield* Effect.forkScoped(Stream.runForEach(changes, () => reload))
  })

/** Watchers of the directories in which a change of one file shows. */
class DirectoryWatcher {
  private readonly path: string
  private readonly onEvent: () => void
  private watchers: ReadonlyArray<Fs.FSWatcher> = []
  private isClosed = false

  constructor(path: string, onEvent: () => void) {
    this.path = path
    this.onEvent = onEvent
  }

  /**
   * Watches what must be watched now, with new watchers: a directory of the same name may be another one by now, even one
   * with the same inode. Tells whether the directory of the file could be watched.
   */
  async arm(): Promise<boolean> {
    const home = Path.dirname(this.path)
    const target = await FsPromises.realpath(this.path).then(Path.dirname, () => home)
    if (this.isClosed) return true
    const before = this.watchers
    const [first, second] = [home, target === home ? undefined : target].map((it) => this.open(it))
    this.watchers = [first, second].filter((watcher) => watcher !== undefined)
    // Not before the new ones stand, so that nothing happens unseen.
    for (const watcher of before) watcher.close()
    return first !== undefined
  }

  close(): void {
    this.isClosed = true
    for (const watcher of this.watchers) watcher.close()
    this.watchers = []
  }

  private open(directory: string | undefined): Fs.FSWatcher | undefined {
    if (directory === undefined) return undefined
    try {
      const watcher = Fs.watch(directory, { persistent: false }, this.onEvent)
      watcher.on("error", this.onEvent)
      return watcher
    } catch {
      // It has gone away, or the system has no more watchers to give.
      return undefined
    }
  }
}

const failed = (detail: string): ConfigError => new ConfigError({ reason: "SourceFailed", problems: [], detail })

const exists = (path: string): Promise<boolean> =>
  FsPromises.stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== "ENOENT" && error.code !== "ENOTDIR"
  )

/** What tells one state of a file from another; `undefined` where there is no file. */
const identityOf = (path: string): Promise<string | undefined> =>
  FsPromises.stat(path, { bigint: true }).then(
    ({ ctimeNs, dev, ino, mtimeNs, size }) => [dev, ino, size, mtimeNs, ctimeNs].join(),
    () => undefined
  )

class NotText extends Error {}

const readText = async (path: string): Promise<string> => {
  const file = await FsPromises.open(path)
  try {
    const bytes = new Uint8Array(ConfigFile.maxFileBytes + 1)
    let length = 0
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    if (length > ConfigFile.maxFileBytes) throw new NotText(`is longer than ${ConfigFile.maxFileBytes} bytes`)
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length))
    } catch {
      throw new NotText("is not text in UTF-8")
    }
  } finally {
    await file.close()
  }
}

const wordsOf = (error: unknown): string => {
  if (error instanceof NotText) return error.message
  const code = (error as NodeJS.ErrnoException).code ?? "unknown"
  return systemWords.get(code) ?? `cannot be read (${code})`
}

const systemWords: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "does not exist"],
  ["ENOTDIR", "does not exist"],
  ["EACCES", "cannot be read: permission denied"],
  ["EPERM", "cannot be read: permission denied"],
  ["EISDIR", "is a directory"]
])
