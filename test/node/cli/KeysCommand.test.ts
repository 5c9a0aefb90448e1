import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Harness from "../../http/AdminHarness.ts"
import * as TestServer from "../../support/TestServer.ts"
import * as CommandLine from "./CommandLine.ts"

const serving = Effect.map(Harness.open, ({ port }) => ({
  run: (...args: ReadonlyArray<string>) => CommandLine.run([...args, "--url", `http://127.0.0.1:${port}`])
}))

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-keys-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** A configuration of a server that does not run: nobody listens at port 1. */
const configured = (text: string) =>
  Effect.map(folder, (path) => {
    const file = Path.join(path, "my.yaml")
    Fs.writeFileSync(file, text.replaceAll("DIRECTORY", path))
    return { path, file }
  })

describe("the commands about keys", () => {
  it.effect("make, list and revoke keys of the running server", () =>
    Effect.gen(function* () {
      const { run } = yield* serving
      assert.strictEqual((yield* run("keys")).out, "there are no keys")
      const made = yield* run(
        "keys",
        "create",
        "--label",
        "camera 1",
        "--stream",
        "a",
        "--action",
        "publish",
        "--expires-in",
        "1h"
      )
      assert.deepStrictEqual([made.status, made.error], [0, ""])
      const key = /^key +(\S+)$/m.exec(made.out)?.[1]
      const id = /^id +(\S+)$/m.exec(made.out)?.[1]
      const from = yield* TestServer.publisher(`a?key=${key}`)
      yield* TestServer.settle
      const listed = yield* run("keys", "list")
      assert.match(listed.out, /camera 1 +\*\*\/a to publish .*in 1h/)
      assert.notInclude(listed.out, key!)
      const kept = yield* run("keys", "revoke", id!)
      assert.match(
        kept.out,
        /is revoked\n1 connection with it is left as it is: c1 \(--drop ends what they do with it\)/
      )
      assert.strictEqual((yield* run("keys", "revoke", id!)).status, 1)
      const other = JSON.parse((yield* run("keys", "create", "--json")).out)
      yield* from.end
      const next = yield* TestServer.publisher(`b?key=${other.key}`)
      yield* TestServer.settle
      assert.include(
        (yield* run("keys", "revoke", other.info.id, "--drop")).out,
        "what 1 connection did with it is ended"
      )
      yield* next.waitForClose
    }).pipe(Effect.scoped, Effect.provide(Harness.services({ auth: { keys: { enabled: true } } })))
  )

  it.effect("say that nobody is asked for a key where that is so", () =>
    Effect.gen(function* () {
      const { run } = yield* serving
      assert.include((yield* run("keys", "create")).error, "set auth.keys.enabled to true")
    }).pipe(Effect.scoped, Effect.provide(Harness.services()))
  )

  it.effect("change the store where no server answers, and say so; not where an address was given", () =>
    Effect.gen(function* () {
      const { file, path } = yield* configured(
        "http: { port: 1 }\nauth:\n  keys:\n    enabled: true\n    directory: DIRECTORY/keys\n    allow:\n      ann: key-of-ann\n"
      )
      const run = (...args: ReadonlyArray<string>) => CommandLine.run([...args, "--config", file])
      const made = yield* run("keys", "create", "--label", "camera 1")
      assert.strictEqual(made.status, 0, made.error)
      assert.include(made.error, `no server answers: it was written in the store in ${path}/keys`)
      const key = /^key +(\S+)$/m.exec(made.out)![1]!
      const files = Fs.readdirSync(Path.join(path, "keys"))
      assert.strictEqual(files.length, 1)
      assert.notInclude(Fs.readFileSync(Path.join(path, "keys", files[0]!), "utf8"), key)
      const listed = JSON.parse((yield* run("keys", "--json")).out)
      assert.deepStrictEqual(
        listed.map(({ label, origin }: { label: string; origin: string }) => [label, origin]),
        [
          ["", "static"],
          ["camera 1", "dynamic"]
        ]
      )
      assert.strictEqual((yield* run("keys", "revoke", listed[1].id)).status, 0)
      assert.deepStrictEqual(Fs.readdirSync(Path.join(path, "keys")), [])
      const named = yield* run("keys", "--url", "http://127.0.0.1:1")
      assert.strictEqual(named.status, 69)
    }).pipe(Effect.scoped)
  )

  it.effect("sign an address with the secret of the configuration, without a server", () =>
    Effect.gen(function* () {
      const { file } = yield* configured("auth:\n  signedUrls:\n    secrets: [0123456789abcdef]\n")
      const run = (...args: ReadonlyArray<string>) => CommandLine.run(["sign", ...args, "--config", file])
      assert.match(
        (yield* run("play", "live/camera", "--expires-in", "10m")).out,
        /^live\/camera\?expires=600&sig=[0-9a-f]{64}$/
      )
      assert.match((yield* run("publish", "live/a", "--address", "192.0.2.7")).out, /expires=3600&sig=\w+&bound=1$/)
      assert.strictEqual((yield* run("publish", "live/a", "--address", "x")).status, 1)
      assert.strictEqual((yield* run("publish", "live")).status, 2)
      assert.strictEqual((yield* run("watch", "live/a")).status, 2)
    }).pipe(Effect.scoped)
  )

  it.effect("sign an address by the server, whose secret it is", () =>
    Effect.gen(function* () {
      const { run } = yield* serving
      const address = (yield* run("sign", "publish", "live/a")).out
      yield* TestServer.publisher(address.slice("live/".length))
    }).pipe(Effect.scoped, Effect.provide(Harness.services({ auth: { signedUrls: { secrets: "0123456789abcdef" } } })))
  )
})
