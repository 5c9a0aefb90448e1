/** The command line as a process: what it prints where, and how it ends. */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { RecentLog } from "../../../src/observability/RecentLog.ts"
import * as Harness from "../../http/AdminHarness.ts"
import * as Child from "../../interop/Child.ts"

const main = fileURLToPath(new URL("./main.ts", import.meta.url))

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-cli-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
)

const run = (args: ReadonlyArray<string>, env: Record<string, string> = {}, cwd?: string) =>
  Effect.gen(function* () {
    const child = yield* Child.spawn({
      name: "effect-rtmp",
      command: process.execPath,
      args: [main, ...args],
      env,
      ...(cwd === undefined ? {} : { cwd })
    })
    const { code } = yield* Child.ended(child)
    return { code, out: child.stdout.join("\n"), error: child.stderr.join("\n") }
  })

describe("the process of a command", () => {
  it.live("that checks a bad file ends with 78, and names all its problems with their lines", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      Fs.writeFileSync(Path.join(cwd, "bad.yaml"), "listen:\n  port: 99999\n  hots: 127.0.0.1\nlog:\n  level: loud\n")
      const { code, error, out } = yield* run(["config", "check", "--config", "bad.yaml"], {}, cwd)
      assert.deepStrictEqual([code, out], [78, ""])
      const lines = error.split("\n")
      assert.strictEqual(lines[0], "effect-rtmp: the configuration has 3 problems:")
      assert.match(lines[1]!, /^ {2}bad\.yaml:2:9 \(listen\.port\): expected /)
      assert.match(lines[2]!, /^ {2}bad\.yaml:3:3 .*did you mean listen\.host\?$/)
      assert.match(lines[3]!, /^ {2}bad\.yaml:5:10 \(log\.level\): expected /)
      assert.strictEqual(lines.length, 4)

      const asJson = yield* run(["config", "check", "--config", "bad.yaml", "--json"], {}, cwd)
      assert.deepStrictEqual([asJson.code, asJson.error], [78, ""])
      const { ok, problems } = JSON.parse(asJson.out)
      assert.deepStrictEqual([ok, problems.length], [false, 3])
    })
  )

  it.live("that shows and compares configurations hides secrets, and names where values come from", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      Fs.writeFileSync(Path.join(cwd, "a.yaml"), "listen: { port: 1936 }\nhttp: { writeTokens: [hunter2] }\n")
      Fs.writeFileSync(Path.join(cwd, "b.yaml"), "shutdown: { grace: 5s }\n")
      const checked = yield* run(["config", "check", "--config", "a.yaml"], { RTMP_LSTEN_PORT: "1" }, cwd)
      assert.deepStrictEqual([checked.code, checked.out], [0, "the configuration is valid: a.yaml"])
      assert.include(checked.error, "warning: RTMP_LSTEN_PORT")
      const shown = yield* run(["config", "show", "--changed", "--config", "a.yaml"], { RTMP_PROFILE: "mobile" }, cwd)
      assert.strictEqual(
        shown.out,
        'profile: mobile # RTMP_PROFILE\nlisten:\n  port: 1936 # a.yaml:1:17\nhttp:\n  writeTokens: "***" # a.yaml:2:22'
      )
      const diff = yield* run(["config", "diff", "a.yaml", "b.yaml"], {}, cwd)
      assert.strictEqual(diff.code, 0)
      assert.match(diff.out, /^listen.port: 1936 -> 1935 \(needs a restart\)$/m)
      assert.match(diff.out, /^shutdown.grace: 30 seconds -> 5 seconds$/m)
      assert.notInclude(shown.out + diff.out, "hunter2")
    })
  )

  it.live("that asks for the health ends with 0 or 1 only, with the reasons on standard error", () =>
    Effect.gen(function* () {
      const { port } = yield* Harness.open
      const url = `http://127.0.0.1:${port}`
      assert.deepStrictEqual(yield* run(["health", "--url", url]), { code: 0, out: "ready", error: "" })
      assert.deepStrictEqual(yield* run(["health", "--live", "--url", url]), { code: 0, out: "live", error: "" })
      const client = yield* Harness.client(port)
      yield* client.server.drain({ payload: {} })
      const draining = yield* run(["health", "--url", url])
      assert.deepStrictEqual(
        [draining.code, draining.out, draining.error],
        [1, "", "effect-rtmp: the server is not ready: listening: the server moves its clients away"]
      )
      const asJson = yield* run(["health", "--json", "--url", url])
      assert.deepStrictEqual([asJson.code, JSON.parse(asJson.out).status, asJson.error], [1, "failing", ""])
      assert.strictEqual((yield* run(["health", "--live", `--url=${url}`])).code, 0)
      assert.strictEqual((yield* run(["health", "--config", "nowhere.yaml"])).code, 1)
    }).pipe(Effect.provide(Harness.services()))
  )

  it.live("that follows the log prints the last lines and then new ones of its room, escaped", () =>
    Effect.gen(function* () {
      const { port } = yield* Harness.open
      const log = yield* RecentLog
      const line = (message: string) =>
        JSON.stringify({ time: "2026-01-01T00:00:00.000Z", level: "info", room: "live", message })
      log.add("info", "live", line("before"))
      const child = yield* Child.spawn({
        name: "logs",
        command: process.execPath,
        args: [main, "logs", "--follow", "--room", "live", "--url", `http://127.0.0.1:${port}`]
      })
      const printed = (message: string) =>
        Child.until(child, message, ({ stdout }) => (stdout.some((text) => text.includes(message)) ? true : undefined))
      yield* printed("before")
      log.add("info", "http", line("another room"))
      log.add("warn", "live", line("after\u001b[2J"))
      yield* printed("after")
      assert.deepStrictEqual(child.stdout, [
        "00:00:00.000 INFO  [live] before",
        "00:00:00.000 INFO  [live] after\\u{1b}[2J"
      ])
    }).pipe(Effect.provide(Harness.services()))
  )

  it.live(
    "that follows the log of a busy server loses no line between the last ones and the new ones, and repeats none",
    () =>
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const log = yield* RecentLog
        let count = 0
        const busy = Effect.sync(() => log.add("info", undefined, `{"n":${++count}}`))
        yield* Effect.forkScoped(Effect.repeat(busy, Schedule.spaced("1 millis")))
        const child = yield* Child.spawn({
          name: "logs",
          command: process.execPath,
          args: [main, "logs", "--follow", "--json", "-n", "5", "--url", `http://127.0.0.1:${port}`]
        })
        yield* Child.until(child, "many lines", ({ stdout }) => (stdout.length > 300 ? true : undefined))
        const numbers = child.stdout.map((line) => JSON.parse(line)).filter(({ n }) => n !== undefined)
        const first = numbers[0].n
        assert.deepStrictEqual(
          numbers.map(({ n }) => n),
          numbers.map((_, index) => first + index)
        )
      }).pipe(Effect.provide(Harness.services()))
  )

  it.live("is quiet when its reader has seen enough", () =>
    Effect.gen(function* () {
      const child = yield* Child.spawn({
        name: "pipe",
        command: "/bin/sh",
        args: ["-c", `"${process.execPath}" "${main}" config show | :`]
      })
      yield* Child.ended(child)
      assert.deepStrictEqual([child.stdout, child.stderr], [[], []])
    })
  )

  it.live("tells the version of the package, and does not serve with flags that are wrong", () =>
    Effect.gen(function* () {
      const { version } = JSON.parse(Fs.readFileSync(new URL("../../../package.json", import.meta.url), "utf8"))
      assert.strictEqual((yield* run(["--version"])).out, `effect-rtmp ${version}`)
      assert.strictEqual((yield* run(["serve", "--profile", "tablet"])).code, 2)
    })
  )
})
