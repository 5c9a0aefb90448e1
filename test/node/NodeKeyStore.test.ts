import { spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as NodeKeyStore from "../../src/node/NodeKeyStore.ts"
import { textOf } from "../access/Requests.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-keys-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** Runs the writer until it has written some more than so often, kills it, and gives what it had said by then. */
const killed = (directory: string, lines: number): Promise<ReadonlyMap<string, number>> =>
  new Promise((resolve, reject) => {
    const script = fileURLToPath(new URL("./KeyStoreWriter.ts", import.meta.url))
    const child = spawn(process.execPath, [script, directory], { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    child.stdout.setEncoding("utf8")
    child.stdout.on("data", (text: string) => {
      output += text
      if (output.split("\n").length > lines) child.kill("SIGKILL")
    })
    child.on("error", reject)
    child.on("close", (code, signal) => {
      if (signal !== "SIGKILL") return reject(new Error(`the writer ended by itself: ${code}`))
      const said = output.split("\n").slice(0, -1)
      resolve(new Map(said.map((line) => line.split(" ")).map(([key, round]) => [key!, Number(round)])))
    })
  })

// A disk of its own, of 256 KiB.
const whyNotMounted =
  process.platform === "linux" && process.getuid?.() === 0 && canMount()
    ? ""
    : " (skipped: nothing can be mounted here)"

function canMount(): boolean {
  const path = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-disk-"))
  const isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4k", "tmpfs", path]).status === 0
  if (isMounted) spawnSync("umount", [path])
  Fs.rmSync(path, { recursive: true, force: true })
  return isMounted
}

const smallDisk = Effect.tap(folder, (path) =>
  Effect.acquireRelease(
    Effect.sync(() => spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", path])),
    () => Effect.sync(() => spawnSync("umount", [path]))
  )
)

describe("NodeKeyStore", () => {
  it.effect("keeps every value whole that it has said to be written, however often it is killed", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      for (const lines of [1, 7, 12, 20]) {
        const said = yield* Effect.promise(() => killed(directory, lines))
        const store = yield* NodeKeyStore.make(directory)
        for (const [key, round] of said) {
          const value = JSON.parse((yield* store.get(key))!) as { readonly round: number; readonly filler: string }
          assert.isAtLeast(value.round, round)
          assert.strictEqual(value.filler, String(value.round % 10).repeat(200_000))
        }
        // What was half-written is gone.
        assert.sameMembers(
          Fs.readdirSync(directory),
          [...(yield* store.keys)].map((key) => `${key}.entry`)
        )
      }
    }).pipe(Effect.scoped)
  )

  it.effect("gives back what it was given, after a restart too", () =>
    Effect.gen(function* () {
      const directory = Path.join(yield* folder, "deep", "er")
      const store = yield* NodeKeyStore.make(directory)
      assert.strictEqual(yield* store.get("a"), undefined)
      yield* store.set("a", "één")
      yield* store.set("a", "two")
      yield* store.set("bytes", new Uint8Array([0xff, 0, 1]))
      const again = yield* NodeKeyStore.make(directory)
      assert.strictEqual(yield* again.get("a"), "two")
      assert.deepStrictEqual(Array.from((yield* again.getUint8Array("bytes"))!), [0xff, 0, 1])
      assert.strictEqual(yield* again.get("bytes"), "/wAB")
      assert.strictEqual(yield* again.size, 2)
      yield* again.remove("a")
      yield* again.remove("a")
      assert.deepStrictEqual(yield* store.keys, ["bytes"])
      yield* again.clear
      assert.strictEqual(yield* store.size, 0)
    }).pipe(Effect.scoped)
  )

  it.effect.prop(
    "keeps keys apart that differ in anything",
    [textOf("aA=./%\\é *", 1, 6), textOf("aA=./%\\é *", 1, 6)],
    ([one, other]) =>
      Effect.gen(function* () {
        const store = yield* NodeKeyStore.make(yield* folder)
        yield* store.set(one, "1")
        assert.strictEqual(yield* store.get(other), one === other ? "1" : undefined)
        assert.deepStrictEqual(yield* store.keys, [one])
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 40 } }
  )

  it.effect("is for nobody else to read", () =>
    Effect.gen(function* () {
      if (process.platform === "win32") return
      const directory = Path.join(yield* folder, "keys")
      const store = yield* NodeKeyStore.make(directory)
      yield* store.set("a", "1")
      assert.strictEqual(Fs.statSync(directory).mode & 0o777, 0o700)
      assert.strictEqual(Fs.statSync(Path.join(directory, "a.entry")).mode & 0o777, 0o600)
    }).pipe(Effect.scoped)
  )

  it.effect.skipIf(whyNotMounted !== "")(
    `keeps the old value on a full disk, and goes on when there is room${whyNotMounted}`,
    () =>
      Effect.gen(function* () {
        const directory = yield* smallDisk
        const store = yield* NodeKeyStore.make(Path.join(directory, "keys"))
        yield* store.set("a", "old")
        const filler = Path.join(directory, "filler")
        Fs.writeFileSync(filler, Buffer.alloc(200_000))
        const error = yield* Effect.flip(store.set("a", "s3cret".repeat(40_000)))
        assert.include(error.message, "no space left")
        assert.notInclude(error.message, "s3cret")
        assert.strictEqual(yield* store.get("a"), "old")
        assert.deepStrictEqual(Fs.readdirSync(Path.join(directory, "keys")), ["a.entry"])
        Fs.rmSync(filler)
        yield* store.set("a", "new".repeat(40_000))
        assert.strictEqual((yield* store.get("a"))!.length, 120_000)
      }).pipe(Effect.scoped)
  )

  it.effect("fails when its directory is gone, or another has come in its place, until it is opened anew", () =>
    Effect.gen(function* () {
      const directory = Path.join(yield* folder, "keys")
      const store = yield* NodeKeyStore.make(directory)
      yield* store.set("a", "1")
      const failures = (words: string) =>
        Effect.gen(function* () {
          const all = [store.set("b", "2"), store.get("a"), store.getUint8Array("a"), store.remove("a")]
          for (const use of [...all, store.keys, store.size, store.clear] as ReadonlyArray<typeof store.clear>) {
            assert.strictEqual((yield* Effect.flip(use)).message, `${directory}: ${words}`)
          }
        })
      Fs.renameSync(directory, `${directory}.away`)
      yield* failures("it is gone")
      assert.isFalse(Fs.existsSync(directory))
      Fs.mkdirSync(directory)
      yield* failures("something else has come in its place")
      assert.deepStrictEqual(Fs.readdirSync(directory), [])
      Fs.rmdirSync(directory)
      Fs.renameSync(`${directory}.away`, directory)
      assert.strictEqual(yield* store.get("a"), "1")
      Fs.rmSync(directory, { recursive: true })
      const again = yield* NodeKeyStore.make(directory)
      assert.deepStrictEqual(yield* again.keys, [])
      yield* again.set("c", "3")
      assert.strictEqual(yield* again.get("c"), "3")
    }).pipe(Effect.scoped)
  )

  it.effect("is the same when its directory comes back, and another where one was made anew at the same place", () =>
    Effect.gen(function* () {
      const directory = Path.join(yield* folder, "keys")
      const { identity, set } = yield* NodeKeyStore.make(directory)
      yield* set("a", "1")
      Fs.renameSync(directory, `${directory}.away`)
      Fs.renameSync(`${directory}.away`, directory)
      assert.strictEqual((yield* NodeKeyStore.make(directory)).identity, identity)
      // It may well get the number of the one before.
      Fs.rmSync(directory, { recursive: true })
      assert.notStrictEqual((yield* NodeKeyStore.make(directory)).identity, identity)
    }).pipe(Effect.scoped)
  )

  it.effect("clears away what a crash left half-written when it is opened, and nothing that is being written", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const store = yield* NodeKeyStore.make(directory)
      const left = `.${"0".repeat(16)}.tmp`
      Fs.writeFileSync(Path.join(directory, left), "half")
      const value = "x".repeat(8_000_000)
      const writing = yield* Effect.forkChild(store.set("a", value), { startImmediately: true })
      const beside = () => Fs.readdirSync(directory).filter((file) => file.endsWith(".tmp") && file !== left)
      while (beside().length === 0) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* NodeKeyStore.make(directory)
      yield* Fiber.join(writing)
      assert.deepStrictEqual(Fs.readdirSync(directory), ["a.entry"])
      assert.strictEqual((yield* store.get("a"))!.length, value.length)
    }).pipe(Effect.scoped)
  )

  it.effect("fails with a typed error, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const directory = yield* folder
      const store = yield* NodeKeyStore.make(directory)
      for (const key of ["", "x".repeat(101)]) {
        assert.strictEqual((yield* Effect.flip(store.set(key, "1")))._tag, "KeyValueStoreError")
      }
      // A directory stands where the entry should.
      Fs.mkdirSync(Path.join(directory, "a.entry"))
      const error = yield* Effect.flip(store.set("a", "secret"))
      assert.notInclude(error.message, "secret")
      assert.deepStrictEqual(Fs.readdirSync(directory), ["a.entry"])
      Fs.writeFileSync(Path.join(directory, "file"), "")
      const opening = yield* Effect.flip(NodeKeyStore.make(Path.join(directory, "file")))
      assert.deepInclude(opening, {
        method: "open",
        message: `${Path.join(directory, "file")}: there is a file where it should be`
      })
    }).pipe(Effect.scoped)
  )
})
