import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import process from "node:process"
import { pathToFileURL } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as NodeSignals from "../../src/node/NodeSignals.ts"

describe("signals", () => {
  it.live("emits what comes, and listens no longer than it runs", () =>
    Effect.gen(function* () {
      const before = process.listenerCount("SIGUSR2") + process.listenerCount("SIGHUP")
      const fiber = yield* NodeSignals.signals(["SIGUSR2", "SIGHUP"]).pipe(
        Stream.take(3),
        Stream.runCollect,
        Effect.forkChild({ startImmediately: true })
      )
      assert.strictEqual(process.listenerCount("SIGUSR2") + process.listenerCount("SIGHUP"), before + 2)
      // As Node calls its listeners; a real signal is in the test below.
      process.emit("SIGUSR2")
      process.emit("SIGHUP")
      process.emit("SIGUSR2")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["SIGUSR2", "SIGHUP", "SIGUSR2"])
      assert.strictEqual(process.listenerCount("SIGUSR2") + process.listenerCount("SIGHUP"), before)
    })
  )

  it.live("stops listening when it is interrupted", () =>
    Effect.gen(function* () {
      const before = process.listenerCount("SIGHUP")
      const fiber = yield* NodeSignals.signals(["SIGHUP"]).pipe(
        Stream.runDrain,
        Effect.forkChild({ startImmediately: true })
      )
      assert.strictEqual(process.listenerCount("SIGHUP"), before + 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(process.listenerCount("SIGHUP"), before)
    })
  )
})

const moduleUrl = (path: string): string => pathToFileURL(Path.resolve(import.meta.dirname, "../..", path)).href

const secret = "hush-hush"

/** Runs a program in a process of its own, which says `ready` before it is sent a signal. */
const child = (source: string) =>
  spawn(process.execPath, ["--input-type=module", "-e", source], {
    env: { ...process.env, SECRET: secret },
    // Node announces its reports there.
    stdio: ["ignore", "pipe", "ignore"]
  })

describe.skipIf(process.platform === "win32")("a process", () => {
  it("outlives SIGHUP as long as somebody listens for it, and no longer", async () => {
    const running = child(`
      const NodeSignals = await import(${JSON.stringify(moduleUrl("src/node/NodeSignals.ts"))})
      const Effect = await import(${JSON.stringify(import.meta.resolve("effect/Effect"))})
      const Stream = await import(${JSON.stringify(import.meta.resolve("effect/Stream"))})
      const alive = setInterval(() => {}, 60_000)
      const two = Stream.take(NodeSignals.signals(["SIGHUP"]), 2)
      const done = Effect.runPromise(Stream.runForEach(two, (signal) => Effect.sync(() => console.log(signal))))
      console.log("ready")
      await done
      console.log("deaf")
    `)
    const closed = once(running, "exit")
    const said: Array<string> = []
    for await (const bytes of running.stdout) {
      for (const line of String(bytes).trim().split("\n")) {
        said.push(line)
        running.kill("SIGHUP")
      }
    }
    assert.deepStrictEqual(said, ["ready", "SIGHUP", "SIGHUP", "deaf"])
    assert.deepStrictEqual(await closed, [null, "SIGHUP"])
  })

  it("writes a report on SIGUSR2, without its environment, and lives on", async () => {
    const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-report-"))
    try {
      const running = child(`
        import * as Fs from "node:fs"
        const NodeSignals = await import(${JSON.stringify(moduleUrl("src/node/NodeSignals.ts"))})
        const Effect = await import(${JSON.stringify(import.meta.resolve("effect/Effect"))})
        const directory = ${JSON.stringify(directory)}
        const before = JSON.stringify([process.report.directory, process.report.reportOnSignal])
        await Effect.runPromise(Effect.scoped(Effect.andThen(NodeSignals.reportOnSignal({ directory }), Effect.promise(() => {
          console.log("ready")
          return new Promise((resolve) => {
            const look = setInterval(() => {
              if (Fs.readdirSync(directory).length === 0) return
              clearInterval(look)
              resolve()
            }, 20)
          })
        }))))
        console.log(before === JSON.stringify([process.report.directory, process.report.reportOnSignal]) ? "restored" : "changed")
      `)
      const closed = once(running, "exit")
      const said: Array<string> = []
      for await (const bytes of running.stdout) {
        said.push(...String(bytes).trim().split("\n"))
        if (said.at(-1) === "ready") running.kill("SIGUSR2")
      }
      assert.deepStrictEqual(await closed, [0, null])
      assert.deepStrictEqual(said, ["ready", "restored"])
      const report = Fs.readFileSync(Path.join(directory, Fs.readdirSync(directory)[0]!), "utf8")
      assert.include(report, '"javascriptHeap"')
      assert.notInclude(report, secret)
      assert.notInclude(report, '"environmentVariables"')
    } finally {
      Fs.rmSync(directory, { recursive: true })
    }
  })
})
