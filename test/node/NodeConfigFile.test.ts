import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ConfigStore } from "../../src/config/ConfigStore.ts"
import * as NodeConfigFile from "../../src/node/NodeConfigFile.ts"

/** A directory of its own, gone after the test. */
const directory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-config-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** Runs with some environment, and with nothing of the real one. */
const withEnv = <A, E, R>(env: Record<string, string>, effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))

const replace = (path: string, text: string): void => {
  Fs.writeFileSync(`${path}.new`, text)
  Fs.renameSync(`${path}.new`, path)
}

/** The changes of a file as they come, one at a time. */
const changesOf = (path: string): Effect.Effect<Effect.Effect<void>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const stream = yield* NodeConfigFile.watch(path)
    const inbox = yield* Queue.unbounded<void>()
    yield* Effect.forkScoped(Stream.runForEach(stream, () => Queue.offer(inbox, undefined)))
    return Queue.take(inbox)
  })

describe("the configuration file", () => {
  it.effect("is the one that is named, else the one of the environment, else the default", () =>
    Effect.gen(function* () {
      const env = { RTMP_CONFIG: "b.yaml" }
      assert.strictEqual(yield* withEnv(env, NodeConfigFile.locate("a.yaml")), "a.yaml")
      assert.strictEqual(yield* withEnv(env, NodeConfigFile.locate()), "b.yaml")
      assert.strictEqual(yield* withEnv(env, NodeConfigFile.locate("")), "b.yaml")
      const found = Fs.existsSync(NodeConfigFile.defaultPath) ? NodeConfigFile.defaultPath : undefined
      assert.strictEqual(yield* withEnv({ RTMP_CONFIG: "" }, NodeConfigFile.locate()), found)
    })
  )

  it.effect("is loaded below the environment, whose RTMP_CONFIG is no unknown variable", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* directory, "my.json")
      Fs.writeFileSync(path, '{"listen": {"port": 1, "backlog": 5}}')
      const env = { RTMP_LISTEN_PORT: "2", RTMP_CONFIG: path }
      const { config, origins, warnings } = yield* withEnv(env, NodeConfigFile.load(path))
      assert.deepStrictEqual([config.listen.port, config.listen.backlog], [2, 5])
      assert.strictEqual(origins.get("listen.backlog"), `${path}:1:35`)
      assert.deepStrictEqual(warnings, [])
      assert.strictEqual((yield* withEnv(env, NodeConfigFile.load(undefined))).config.listen.backlog, 1024)
    })
  )

  it.effect("that cannot be read is an error that says why", () =>
    Effect.gen(function* () {
      const home = yield* directory
      const big = Path.join(home, "big.yaml")
      Fs.writeFileSync(big, "#".repeat(1024 * 1024 + 1))
      const utf16 = Path.join(home, "utf16.yaml")
      Fs.writeFileSync(utf16, "\uFEFFlisten:\n", "utf16le")
      const table = [
        [Path.join(home, "none.yaml"), "does not exist"],
        [Path.join(big, "below.yaml"), "does not exist"],
        [home, "is a directory"],
        [big, "is longer than 1048576 bytes"],
        [utf16, "is not text in UTF-8"]
      ] as const
      for (const [path, words] of table) {
        const error = yield* Effect.flip(NodeConfigFile.load(path))
        assert.strictEqual(error.reason, "SourceFailed")
        assert.strictEqual(error.message, `the configuration could not be read: ${path} ${words}`)
      }
    })
  )
})

describe("watching", () => {
  it.live("tells of a file that is written, replaced, removed and put back", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* directory, "my.yaml")
      Fs.writeFileSync(path, "listen:\n")
      const change = yield* changesOf(path)
      Fs.writeFileSync(path, "listen: {}\n")
      yield* change
      replace(path, "log:\n")
      yield* change
      Fs.rmSync(path)
      Fs.writeFileSync(path, "log: {}\n")
      yield* change
    })
  )

  it.live("follows links that are swapped, as Kubernetes does, and files behind a link", () =>
    Effect.gen(function* () {
      const home = yield* directory
      for (const version of ["1", "2"]) {
        Fs.mkdirSync(Path.join(home, `..v${version}`))
        Fs.writeFileSync(Path.join(home, `..v${version}`, "my.yaml"), `listen: { backlog: ${version} }\n`)
      }
      Fs.symlinkSync("..v1", Path.join(home, "..data"))
      Fs.symlinkSync("..data/my.yaml", Path.join(home, "my.yaml"))
      const path = Path.join(home, "my.yaml")
      const change = yield* changesOf(path)
      Fs.symlinkSync("..v2", Path.join(home, "..tmp"))
      Fs.renameSync(Path.join(home, "..tmp"), Path.join(home, "..data"))
      yield* change
      assert.strictEqual((yield* withEnv({}, NodeConfigFile.load(path))).config.listen.backlog, 2)
      Fs.writeFileSync(Path.join(home, "..v2", "my.yaml"), "listen: { backlog: 30 }\n")
      yield* change
    })
  )

  it.live("finds a directory again that was taken away and made anew", () =>
    Effect.gen(function* () {
      const home = Path.join(yield* directory, "inner")
      const path = Path.join(home, "my.yaml")
      Fs.mkdirSync(home)
      Fs.writeFileSync(path, "listen:\n")
      const change = yield* changesOf(path)
      Fs.rmSync(home, { recursive: true })
      Fs.mkdirSync(home)
      Fs.writeFileSync(path, "log:\n")
      yield* change
      Fs.writeFileSync(path, "log: {}\n")
      yield* change
    })
  )

  it.live("is silent when its directory sees other things, and stops with its scope", () =>
    Effect.gen(function* () {
      const home = yield* directory
      const path = Path.join(home, "my.yaml")
      Fs.writeFileSync(path, "listen:\n")
      const seen: Array<string> = []
      const exit = yield* Effect.exit(
        Effect.scoped(
          Effect.gen(function* () {
            const stream = yield* NodeConfigFile.watch(path)
            const witness = yield* changesOf(Path.join(home, "other.yaml"))
            yield* Effect.forkScoped(
              Stream.runForEach(stream, () => Effect.sync(() => seen.push(Fs.readFileSync(path, "utf8"))))
            )
            // The witness hears of the other file: had the first one heard of anything, it would have told by then too.
            Fs.writeFileSync(Path.join(home, "other.yaml"), "log:\n")
            yield* witness
            Fs.writeFileSync(path, "log:\n")
            Fs.writeFileSync(Path.join(home, "other.yaml"), "log: {}\n")
            yield* witness
          })
        )
      )
      assert.isTrue(Exit.isSuccess(exit))
      assert.isAtMost(seen.length, 1)
      assert.notInclude(seen, "listen:\n")
    })
  )

  it.live("reloads the configuration when its file changes, unless it is told not to, and survives a wrong file", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* directory, "my.yaml")
      const lines: Array<unknown> = []
      const logged = yield* Queue.unbounded<string>()
      const logger = Logger.make(({ message }) => {
        lines.push(message)
        Queue.offerUnsafe(logged, String(Array.isArray(message) ? message[0] : message))
      })
      Fs.writeFileSync(path, "session: { maxStreams: 1 }\n")
      yield* Effect.gen(function* () {
        const store = yield* ConfigStore
        yield* NodeConfigFile.reloadOnChange(path)
        replace(path, "session: { maxStreams: none }\n")
        assert.include(yield* Queue.take(logged), `${path}:1:24 (session.maxStreams)`)
        assert.strictEqual((yield* store.current).session.maxStreams, 1)
        replace(path, "session: { maxStreams: 2 }\nconfig: { watch: false }\n")
        assert.strictEqual(yield* Queue.take(logged), "the configuration has changed")
        assert.strictEqual((yield* store.current).session.maxStreams, 2)
        const change = yield* changesOf(path)
        replace(path, "session: { maxStreams: 3 }\n")
        yield* change
        assert.strictEqual((yield* store.current).session.maxStreams, 2)
      }).pipe(
        Effect.scoped,
        Effect.provide(
          ConfigStore.layer(withEnv({}, NodeConfigFile.load(path))).pipe(Layer.provideMerge(Logger.layer([logger])))
        )
      )
    })
  )
})
