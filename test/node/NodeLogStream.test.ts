import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

const root = new URL("../..", import.meta.url)

/**
 * A program with the log of the server that writes more than any pipe holds, and lets its event loop turn a few times
 * before it says so on standard error. What it prints there: the turns, the lines lost, and whether memory stayed.
 */
const chatty = (format: string, lines: number): string => `
  import * as Effect from "effect/Effect"
  import * as NodeLog from "./src/node/NodeLog.ts"
  import { LogOutputs } from "./src/observability/LogSink.ts"
  import { writeSync } from "node:fs"
  const turn = Effect.callback((resume) => { setImmediate(() => resume(Effect.void)) })
  const program = Effect.gen(function* () {
    const outputs = yield* LogOutputs
    for (let i = 0; i < ${lines}; i++) {
      yield* Effect.logInfo("line", { i, padding: "${"x".repeat(400)}" })
      if (i % 200 === 0) yield* turn
    }
    for (let i = 0; i < 20; i++) yield* turn
    writeSync(2, JSON.stringify({ turned: true, lost: yield* outputs.lost }) + "\\n")
  })
  const log = NodeLog.layer({ level: "info", format: "${format}", output: process.argv[1] })
  await Effect.runPromise(Effect.provide(program, log))
  writeSync(2, "closed\\n")
  process.exit(0)
`

interface Ran {
  readonly code: number | null
  readonly stderr: string
  readonly stdout: string
}

/** Runs a program; `read` tells whether somebody reads its standard output, `stdout` may be a descriptor instead. */
const run = (
  source: string,
  options: {
    readonly read: boolean
    readonly stdout?: number
    readonly output?: string
    readonly env?: NodeJS.ProcessEnv
  }
): Effect.Effect<Ran> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", source, options.output ?? "stdout"], {
      cwd: root,
      stdio: ["ignore", options.stdout ?? "pipe", "pipe"],
      env: { ...process.env, ...options.env }
    })
    let stderr = ""
    let stdout = ""
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      stderr += text
    })
    if (options.read) {
      child.stdout?.setEncoding("utf8").on("data", (text: string) => {
        stdout += text
      })
    }
    // Nobody reads: a stream that is not flowing leaves the pipe full once its own buffer is.
    child.once("exit", () => child.stdout?.destroy())
    child.once("close", (code) => resume(Effect.succeed({ code, stderr, stdout })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

// Most of the time is spent waiting for children that are given two seconds to write what they cannot.
describe("standard output", { concurrent: true }, () => {
  it.live("that nobody reads stops neither the event loop nor the end, and lines are lost and counted", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run(chatty("json", 20_000), { read: false })
      const [said] = stderr.split("\n")
      const { lost, turned } = JSON.parse(said!)
      assert.isTrue(turned)
      assert.isAbove(lost.stdout, 5_000)
      assert.match(stderr, /log output stdout: \d+ lines are lost at the end/)
      assert.match(stderr, /closed\n$/)
      assert.strictEqual(code, 0)
    })
  )

  it.live("that is read gets every line before the process ends", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* run(chatty("json", 3_000), { read: true })
      const lines = stdout.trimEnd().split("\n")
      assert.strictEqual(lines.length, 3_000, stderr)
      assert.deepStrictEqual(
        lines.map((line) => JSON.parse(line).i),
        Array.from({ length: 3_000 }, (_, i) => i)
      )
      assert.strictEqual(code, 0)
    })
  )

  it.live("that is a file gets every line", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.mkdtempSync(Path.join(tmpdir(), "effect-rtmp-log-"))),
        (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
      )
      const path = Path.join(directory, "out")
      const file = Fs.openSync(path, "w")
      const { code } = yield* run(chatty("pretty", 500), { read: false, stdout: file })
      Fs.closeSync(file)
      assert.strictEqual(code, 0)
      assert.strictEqual(Fs.readFileSync(path, "utf8").match(/line i=/g)?.length, 500)
    })
  )

  it.live.skipIf(!Fs.existsSync("/dev/full"))("that is full loses lines, says why once, and hurts nobody", () =>
    Effect.gen(function* () {
      const full = Fs.openSync("/dev/full", "w")
      const { code, stderr } = yield* run(chatty("json", 10), { read: false, stdout: full })
      Fs.closeSync(full)
      assert.strictEqual(code, 0)
      assert.strictEqual(stderr.match(/ENOSPC/g)?.length, 1)
      assert.match(stderr, /10 lines are lost at the end/)
    })
  )

  it.live("whose reader goes away does not end the process", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* Effect.callback<Ran>((resume) => {
        const child = spawn(process.execPath, ["--input-type=module", "-e", chatty("json", 2_000), "stdout"], {
          cwd: root,
          stdio: ["ignore", "pipe", "pipe"]
        })
        let stderr = ""
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
          stderr += text
        })
        child.stdout.once("data", () => child.stdout.destroy())
        child.once("close", (code) => resume(Effect.succeed({ code, stderr, stdout: "" })))
        return Effect.sync(() => child.kill("SIGKILL"))
      })
      assert.include(stderr, '"turned":true')
      assert.match(stderr, /log output stdout: .*EPIPE/)
      assert.strictEqual(code, 0)
    })
  )
})

describe("the journal", () => {
  it.live("gets priorities and no time when it is named by systemd, and only then", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.mkdtempSync(Path.join(tmpdir(), "effect-rtmp-log-"))),
        (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
      )
      const path = Path.join(directory, "journal")
      const first = (env: NodeJS.ProcessEnv, output: string) =>
        Effect.gen(function* () {
          const file = Fs.openSync(path, "w")
          const { code } = yield* run(chatty("auto", 1), { read: false, stdout: file, output, env })
          Fs.closeSync(file)
          assert.strictEqual(code, 0)
          return Fs.readFileSync(path, "utf8")
        })
      Fs.writeFileSync(path, "")
      const { dev, ino } = Fs.statSync(path, { bigint: true })
      assert.match(yield* first({ JOURNAL_STREAM: `${dev}:${ino}` }, "auto"), /^<6>line i=0 padding=x+\n$/)
      assert.match(yield* first({ JOURNAL_STREAM: `${dev}:1${ino}` }, "auto"), /^\{"time":/)
      assert.match(yield* first({ JOURNAL_STREAM: `${dev}:${ino}` }, "stdout"), /^\{"time":/)
      assert.match(yield* first({}, "journald"), /^<6>line i=0 /)
    })
  )
})
