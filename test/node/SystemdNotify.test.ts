import * as Fs from "node:fs"
import * as Path from "node:path"
import process from "node:process"
import { pathToFileURL } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as SystemdNotify from "../../src/node/SystemdNotify.ts"
import { missing, notifications, temporaryFolder, writeScript } from "../service/Tools.ts"

const isWindows = process.platform === "win32"
const noPython = missing("python3")
const noSystemd = missing("python3", "systemd-notify")

/** The environment of a service whose `systemd-notify` is a script. */
const withProgram = (lines: ReadonlyArray<string>) =>
  Effect.map(temporaryFolder, (folder) => {
    writeScript(folder, "systemd-notify", lines)
    return { folder, env: { NOTIFY_SOCKET: "/nowhere", PATH: `${folder}:/usr/bin:/bin` } }
  })

const failure = (send: Effect.Effect<void, SystemdNotify.NotifyError>) =>
  Effect.map(Effect.result(send), (result) => (Result.isFailure(result) ? result.failure.reason : "sent"))

describe.skipIf(isWindows)("the command", () => {
  it.live("is given each assignment as it is, whatever a shell would make of it", () =>
    Effect.gen(function* () {
      const { env, folder } = yield* withProgram([
        'for it in "$@"; do printf "%s\\n" "$it" >>"$0.log"; done',
        'echo "$NOTIFY_SOCKET" >>"$0.log"'
      ])
      const send = yield* SystemdNotify.commandSender(env)
      yield* send(["READY=1", "STATUS=a  b $HOME `id` * \"q\" 'q' \\n ; rm"])
      // A pattern that has a match.
      yield* send(["/bin/s?"])
      assert.deepStrictEqual(Fs.readFileSync(Path.join(folder, "systemd-notify.log"), "utf8").split("\n"), [
        "--",
        "READY=1",
        "STATUS=a  b $HOME `id` * \"q\" 'q' \\n ; rm",
        "/nowhere",
        "--",
        "/bin/s?",
        "/nowhere",
        ""
      ])
    })
  )

  it.live("that fails is told from one that is not there", () =>
    Effect.gen(function* () {
      const { env } = yield* withProgram(["exit 1"])
      const failing = yield* SystemdNotify.commandSender(env)
      assert.strictEqual(yield* failure(failing(["READY=1"])), "SendFailed")
      const nowhere = yield* SystemdNotify.commandSender({ NOTIFY_SOCKET: "/nowhere", PATH: "/nowhere" })
      assert.strictEqual(yield* failure(nowhere(["READY=1"])), "NoCommand")
    })
  )

  it.live("is started by a new shell when the old one is gone", () =>
    Effect.gen(function* () {
      const { env, folder } = yield* withProgram([
        'if [ ! -e "$0.once" ]; then touch "$0.once"; kill -9 "$PPID"; exit 0; fi'
      ])
      const send = yield* SystemdNotify.commandSender(env)
      assert.strictEqual(yield* failure(send(["READY=1"])), "SendFailed")
      assert.isTrue(Fs.existsSync(Path.join(folder, "systemd-notify.once")))
      assert.strictEqual(yield* failure(send(["READY=1"])), "sent")
    })
  )

  it.live("is still there after a signal to the whole group", () =>
    Effect.gen(function* () {
      const { env } = yield* withProgram([
        'if [ ! -e "$0.once" ]; then touch "$0.once"; kill -TERM "$PPID"; kill -INT "$PPID"; kill -HUP "$PPID"; fi'
      ])
      const send = yield* SystemdNotify.commandSender(env)
      assert.strictEqual(yield* failure(send(["READY=1"])), "sent")
      assert.strictEqual(yield* failure(send(["STOPPING=1"])), "sent")
    })
  )

  it.live("ends with the scope", () =>
    Effect.gen(function* () {
      const { env, folder } = yield* withProgram(['echo "$PPID" >"$0.pid"'])
      yield* Effect.scoped(Effect.flatMap(SystemdNotify.commandSender(env), (send) => send(["READY=1"])))
      const shell = Number(Fs.readFileSync(Path.join(folder, "systemd-notify.pid"), "utf8"))
      yield* Effect.suspend(() => (isAlive(shell) ? Effect.fail("alive") : Effect.void)).pipe(
        Effect.tapError(() => Effect.sleep(5)),
        Effect.eventually,
        Effect.timeout("5 seconds")
      )
    })
  )
})

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe(`systemd-notify itself${noSystemd}`, () => {
  for (const kind of ["path", "abstract"] as const) {
    it.live.skipIf(noSystemd !== "")(`reaches a socket with ${kind} address`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const address = kind === "path" ? `${folder}/notify` : `@effect-rtmp-${process.pid}`
        const next = yield* notifications(address)
        const send = yield* SystemdNotify.fromEnv({ NOTIFY_SOCKET: address, PATH: process.env.PATH }, process.pid)
        yield* send!(["READY=1", "STATUS=listening on port 1935"])
        assert.strictEqual((yield* next).text, "READY=1\nSTATUS=listening on port 1935")
        yield* send!(["STOPPING=1"])
        assert.strictEqual((yield* next).text, "STOPPING=1")
      })
    )
  }

  it.live.skipIf(noSystemd !== "")("fails where nobody listens any more", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const env = { NOTIFY_SOCKET: `${folder}/nobody`, PATH: process.env.PATH }
      const send = yield* SystemdNotify.fromEnv(env, process.pid)
      assert.strictEqual(yield* failure(send!(["READY=1"])), "SendFailed")
    })
  )
})

const moduleUrl = (path: string): string => pathToFileURL(Path.resolve(import.meta.dirname, "../..", path)).href

describe(`a descriptor that was handed over${noPython}`, () => {
  it.live.skipIf(noPython !== "")("takes messages of this very process, and starts no other", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const program = `
        process.env.LISTEN_PID = String(process.pid)
        const { Systemd } = await import(${JSON.stringify(moduleUrl("src/node/Systemd.ts"))})
        const Effect = await import(${JSON.stringify(import.meta.resolve("effect/Effect"))})
        await Effect.runPromise(Effect.provide(Effect.gen(function* () {
          const systemd = yield* Systemd
          yield* systemd.ready("pid " + process.pid)
          yield* systemd.reloading(Effect.void)
          yield* systemd.watchdog(Effect.succeed(true)).pipe(Effect.andThen(Effect.sleep(30)), Effect.scoped)
          yield* systemd.stopping()
        }), Systemd.layer))`
      const next = yield* notifications(`${folder}/notify`, [process.execPath, "--input-type=module", "-e", program], {
        LISTEN_FDS: "1",
        LISTEN_FDNAMES: "notify",
        NOTIFY_SOCKET: `${folder}/notify`,
        WATCHDOG_USEC: "40000",
        // Nothing can be started.
        PATH: process.env.PATH ?? ""
      })
      const first = yield* next
      assert.strictEqual(first.text, `READY=1\nSTATUS=pid ${first.pid}`)
      const reloading = yield* next
      const usec = Number(/^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(reloading.text)?.[1])
      // The clock of the machine, which every process sees alike.
      assert.isBelow(Math.abs(usec - Number(process.hrtime.bigint() / 1000n)), 60_000_000)
      assert.strictEqual((yield* next).text, "READY=1")
      assert.strictEqual((yield* next).text, "WATCHDOG=1")
      assert.strictEqual((yield* next).text, "WATCHDOG=1")
      const last = yield* next
      assert.strictEqual(last.text, "STOPPING=1")
      assert.strictEqual(last.pid, first.pid)
    })
  )

  it.live("is not used when it is no socket", () =>
    Effect.gen(function* () {
      // Descriptor 3 of a test runner is something else, or nothing.
      const env = {
        NOTIFY_SOCKET: "/nowhere",
        LISTEN_PID: "1",
        LISTEN_FDS: "600",
        LISTEN_FDNAMES: `${"x:".repeat(599)}notify`
      }
      const send = yield* SystemdNotify.fromEnv({ ...env, PATH: "/nowhere" }, 1)
      assert.strictEqual(yield* failure(send!(["READY=1"])), "NoCommand")
    })
  )
})
