import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Harness from "../../http/AdminHarness.ts"
import * as TestServer from "../../support/TestServer.ts"
import * as CommandLine from "./CommandLine.ts"

/** A server with its API, and a way to run commands about it. */
const serving = Effect.map(Harness.open, ({ port }) => ({
  port,
  run: (...args: ReadonlyArray<string>) => CommandLine.run([...args, "--url", `http://127.0.0.1:${port}`])
}))

describe("the commands about a running server", () => {
  it.effect("list and show streams and connections, for people and for programs", () =>
    Effect.gen(function* () {
      const { run } = yield* serving
      assert.strictEqual((yield* run("streams")).out, "nothing is published")
      yield* TestServer.publisher("camera")
      yield* TestServer.settle
      const { out } = yield* run("streams")
      assert.match(out, /^STREAM +STATE +FOR +VIEWERS +BITRATE +MEDIA +PUBLISHER\nlive\/camera +Live/)
      assert.strictEqual((yield* run("streams", "list")).out, out)
      const { streams } = JSON.parse((yield* run("streams", "--json")).out)
      assert.strictEqual(streams[0].key, "live/camera")
      const shown = yield* run("streams", "show", "live/camera")
      assert.match(shown.out, /^key +live\/camera$/m)
      const [connection] = JSON.parse((yield* run("connections", "--json")).out)
      assert.deepStrictEqual(connection.publishing, ["live/camera"])
      assert.include((yield* run("connections")).out, "publishes live/camera")
      assert.include((yield* run("connections", "show", connection.id)).out, connection.id)
      assert.strictEqual((yield* run("connections", "list", "--stream", "live/x")).out, "nobody is connected")
    }).pipe(Effect.scoped, Effect.provide(Harness.services()))
  )

  it.effect("send clients away, and keep them away", () =>
    Effect.gen(function* () {
      const { run } = yield* serving
      const publisher = yield* TestServer.publisher("a")
      yield* TestServer.settle
      assert.strictEqual(
        (yield* run("streams", "kick", "live/a", "--message", "over")).out,
        "the publisher of live/a is sent away"
      )
      yield* publisher.waitForClose
      const again = yield* run("streams", "kick", "live/a")
      assert.deepStrictEqual([again.status, again.out], [1, ""])
      assert.include(again.error, "no connection publishes this stream")

      yield* TestServer.publisher("b")
      yield* TestServer.settle
      const [{ id }] = JSON.parse((yield* run("connections", "--json", "--stream", "live/b")).out)
      assert.strictEqual((yield* run("kick", id)).status, 0)
      assert.strictEqual((yield* run("kick", "nobody")).status, 1)

      assert.strictEqual((yield* run("streams", "disable", "live/c")).out, "live/c is disabled now")
      assert.strictEqual((yield* run("streams", "disable", "live/c")).out, "live/c was disabled already")
      assert.include((yield* run("streams")).out, "disabled: live/c")
      assert.strictEqual((yield* run("streams", "enable", "live/c")).out, "live/c is enabled again")
    }).pipe(Effect.scoped, Effect.provide(Harness.services()))
  )

  it.effect("change the life of the server: drain, resume, stop", () =>
    Effect.gen(function* () {
      const { run } = yield* serving
      assert.include((yield* run("status")).out, "Running, up")
      assert.strictEqual(
        (yield* run("drain", "--reconnect-to", "rtmp://other.example/live", "--grace", "5s")).status,
        0
      )
      assert.match((yield* run("status")).out, /state +Draining[\s\S]*live, not ready: listening: the server moves/)
      assert.strictEqual((yield* run("resume")).out, "the server lets clients in")
      assert.strictEqual((yield* run("stop", "--force")).out, "the server is stopping: 0 connections are ended at once")
      assert.strictEqual((yield* run("drain", "--grace", "soon")).status, 2)
      assert.strictEqual((yield* run("drain", "--reconnect-to", "http://x")).status, 2)
    }).pipe(Effect.scoped, Effect.provide(Harness.services()))
  )

  it.effect("show and set the levels of the log, and reload the configuration", () =>
    Effect.gen(function* () {
      const { run } = yield* serving
      const sources = yield* Harness.Sources
      assert.strictEqual((yield* run("log-level")).out, "everything  info")
      assert.strictEqual(
        (yield* run("log-level", "debug", "--room", "session")).out,
        "everything  info\nsession     debug"
      )
      assert.strictEqual((yield* run("log-level", "reset", "--room", "session")).out, "everything  info")
      assert.strictEqual((yield* run("log-level", "reset")).status, 2)
      assert.strictEqual((yield* run("log-level", "loud")).status, 2)

      assert.match((yield* run("reload")).out, /^the configuration is in force already, for \d+m?s$/)
      const before = sources.input
      sources.input = { ...before, shutdown: { grace: "7 seconds" }, listen: { port: 1999 } }
      assert.match(
        (yield* run("reload")).out,
        /^the configuration has changed:\n {2}shutdown.grace: .* -> 7 seconds\nthese wait for a restart:\n {2}listen.port: 1935 -> 1999$/
      )
      sources.input = { ...before, listen: { port: -1 } }
      const refused = yield* run("reload")
      assert.strictEqual(refused.status, 78)
      assert.include(refused.error, "test.yaml (listen.port): expected")
    }).pipe(Effect.scoped, Effect.provide(Harness.services()))
  )

  it.effect("tell what a reload would change, by asking the server, and what is wrong with the file", () =>
    Effect.gen(function* () {
      const { run } = yield* serving
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-cli-"))),
        (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
      )
      const file = Path.join(folder, "next.yaml")
      const diff = (text: string, ...args: ReadonlyArray<string>) => {
        Fs.writeFileSync(file, text)
        return run("config", "diff", "--config", file, ...args)
      }
      const same = "latency: { mergeWindow: 0 }\nshutdown: { grace: 0 }\nhttp: { port: 0 }\n"
      assert.strictEqual((yield* diff(same)).out, "nothing differs")
      const changed = yield* diff(`${same}listen: { port: 1999 }\n`)
      assert.strictEqual(changed.out, "listen.port: 1935 -> 1999 (needs a restart)")
      const [change] = JSON.parse((yield* diff(`${same}listen: { port: 1999 }\n`, "--json")).out)
      assert.deepStrictEqual(change, { path: "listen.port", from: 1935, to: 1999, restart: true })
      const bad = yield* diff(`${same}listen: { port: x }\n`)
      assert.strictEqual(bad.status, 78)
      assert.include(bad.error, `${file}:4:17 (listen.port): expected`)
      assert.strictEqual((yield* run("config", "diff", "one.yaml", "--config", file)).status, 78)
    }).pipe(Effect.scoped, Effect.provide(Harness.services()))
  )

  it.effect("say whether a token is missing, wrong, or may only look", () =>
    Effect.gen(function* () {
      const { run } = yield* serving
      const none = yield* run("streams")
      assert.strictEqual(none.status, 77)
      assert.include(none.error, "it asks for a token")
      const withToken = (token: string, ...args: ReadonlyArray<string>) =>
        Effect.provideService(
          run(...args),
          ConfigProvider.ConfigProvider,
          ConfigProvider.fromEnv({ env: { RTMP_HTTP_TOKEN: token } })
        )
      const wrong = yield* withToken("hunter2", "streams")
      assert.strictEqual(wrong.status, 77)
      assert.notInclude(wrong.error, "hunter2")
      assert.strictEqual((yield* withToken("look", "streams")).out, "nothing is published")
      const reader = yield* withToken("look", "drain")
      assert.strictEqual(reader.status, 77)
      assert.include(reader.error, "may look, but not change anything")
      assert.strictEqual((yield* withToken("do", "drain")).status, 0)
    }).pipe(
      Effect.scoped,
      Effect.provide(Harness.services({ http: { port: 0, readTokens: ["look"], writeTokens: ["do"] } }))
    )
  )

  it.effect("say so in one line where no server answers", () =>
    Effect.gen(function* () {
      const { status, error } = yield* CommandLine.run(["streams", "--url", "http://127.0.0.1:1"])
      assert.strictEqual(status, 69)
      assert.match(error, /^no server answers at http:\/\/127\.0\.0\.1:1: start it/)
      assert.strictEqual(error.split("\n").length, 1)
    })
  )
})

describe("the command line", () => {
  it.effect("names every command in its help", () =>
    Effect.gen(function* () {
      const { out } = yield* CommandLine.run(["--help"])
      for (const name of [
        ...["serve", "config", "service", "status", "health", "streams", "connections", "logs", "log-level"],
        ...["reload", "kick", "drain", "resume", "stop"]
      ]) {
        assert.match(out, new RegExp(`^ {2}${name} +\\S`, "m"))
        const help = yield* CommandLine.run([name, "--help"])
        assert.match(help.out, /^DESCRIPTION\n {2}\S/)
        assert.include(help.out, `effect-rtmp ${name}`)
      }
    })
  )

  it.effect.each(["bash", "zsh", "fish", "powershell"])("writes completions for %s that know every command", (shell) =>
    Effect.gen(function* () {
      const { out, status } = yield* CommandLine.run(["--completions", shell])
      assert.strictEqual(status, 0)
      for (const name of ["streams", "log-level", "reconnect-to", "uninstall", "token-file"]) assert.include(out, name)
    })
  )

  it.effect.each([
    [["strems"], "did you mean streams?"],
    [["streams", "lst"], "did you mean list?"],
    [["--prfile", "mobile"], "did you mean --profile?"],
    [["logs", "--lines", "5000"], "from 0 to 1000"],
    [["streams", "show"], "Missing required argument: key"]
  ] as ReadonlyArray<readonly [ReadonlyArray<string>, string]>)("explains %j on standard error", ([args, words]) =>
    Effect.gen(function* () {
      const { error, out, served, status } = yield* CommandLine.run(args)
      assert.deepStrictEqual([status, out, served], [2, "", undefined])
      assert.include(error, words)
      assert.match(error, /see effect-rtmp.* --help$/)
    })
  )

  it.effect("escapes what it repeats of the command line", () =>
    Effect.gen(function* () {
      const { error } = yield* CommandLine.run(["\u001b[2Jx"])
      assert.notInclude(error, "\u001b")
    })
  )
})
