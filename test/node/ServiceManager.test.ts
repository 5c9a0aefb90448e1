import * as Fs from "node:fs"
import * as Path from "node:path"
import process from "node:process"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Host } from "../../src/node/ServiceManager.ts"
import { currentHost, ServiceManager } from "../../src/node/ServiceManager.ts"
import * as ServicePlan from "../../src/node/ServicePlan.ts"
import type * as ServiceSettings from "../../src/node/ServiceSettings.ts"
import { temporaryFolder, writeScript } from "../service/Tools.ts"

/** A machine whose commands are scripts that write down how they were called. */
const machine = (changes: Partial<Host> = {}) =>
  Effect.map(temporaryFolder, (folder) => {
    const bin = Path.join(folder, "bin")
    Fs.mkdirSync(bin)
    const log = Path.join(folder, "commands")
    Fs.writeFileSync(log, "")
    const program = (name: string, lines: ReadonlyArray<string> = []) =>
      writeScript(bin, name, [`printf '%s\\n' "${name} $*" >>'${log}'`, ...lines])
    program("systemctl", ['case "$*" in --version) echo "systemd 257 (257.4-1)";; esac'])
    const host: Host = {
      ...currentHost(),
      platform: "linux",
      uid: 1000,
      home: Path.join(folder, "home"),
      env: { PATH: `${bin}:/usr/bin:/bin` },
      systemdFolder: folder,
      ...changes
    }
    return { folder, host, program, commands: () => Fs.readFileSync(log, "utf8").trimEnd().split("\n") }
  })

const on = <A, E>(host: Host, use: (manager: ServiceManager["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(ServiceManager, use).pipe(
    Effect.provide(ServiceManager.layerFor(host)),
    Effect.provide(NodeServices.layer)
  )

const failure = <A>(effect: Effect.Effect<A, ServiceSettings.ServiceError>) =>
  Effect.map(Effect.result(effect), (result) => {
    assert(Result.isFailure(result))
    return result.failure
  })

describe.skipIf(process.platform === "win32")("a service of a user, with systemd", () => {
  it.live("is installed, asked and removed, and its configuration stays", () =>
    Effect.gen(function* () {
      const { commands, host, program } = yield* machine()
      const request = { scope: "user", instance: "studio", configText: "# settings\n" } as const
      yield* on(host, (it) => it.install(request))
      const unit = Path.join(host.home, ".config/systemd/user/effect-rtmp@studio.service")
      const config = Path.join(host.home, ".config/effect-rtmp/studio.yaml")
      const text = Fs.readFileSync(unit, "utf8")
      assert.include(text, `ExecStart=${process.execPath} ${host.script}`)
      assert.include(text, "Type=notify-reload")
      assert.strictEqual(Fs.readFileSync(config, "utf8"), "# settings\n")
      assert.strictEqual(Fs.statSync(config).mode & 0o777, 0o640)
      assert.deepStrictEqual(commands(), [
        "systemctl --version",
        "systemctl --user disable --now effect-rtmp@studio.socket",
        "systemctl --user daemon-reload",
        "systemctl --user enable effect-rtmp@studio.service",
        "systemctl --user restart effect-rtmp@studio.service"
      ])

      Fs.writeFileSync(config, "# mine\n")
      yield* on(host, (it) => it.install({ ...request, socketPort: 1940 }))
      assert.strictEqual(Fs.readFileSync(config, "utf8"), "# mine\n")
      const socket = unit.replace(".service", ".socket")
      assert.include(Fs.readFileSync(socket, "utf8"), "ListenStream=1940\n")

      program("systemctl", ["printf 'LoadState=loaded\\nActiveState=active\\nMainPID=12\\n'"])
      const status = yield* on(host, (it) => it.status({ scope: "user", instance: "studio" }))
      assert.strictEqual(status.state, "Running")
      assert.strictEqual(status.pid, 12)

      yield* on(host, (it) => it.uninstall({ scope: "user", instance: "studio" }))
      assert.isFalse(Fs.existsSync(unit) || Fs.existsSync(socket))
      assert.isTrue(Fs.existsSync(config))
    })
  )

  it.live("is only talked about in a dry run", () =>
    Effect.gen(function* () {
      const { commands, host } = yield* machine()
      const plan = yield* on(host, (it) => it.install({ scope: "user", configText: "", dryRun: true }))
      const lines = ServicePlan.describe(plan)
      assert.include(lines, `write ${host.home}/.config/systemd/user/effect-rtmp.service (644)`)
      assert.include(lines, "run systemctl --user restart effect-rtmp.service")
      assert.isFalse(Fs.existsSync(host.home))
      assert.deepStrictEqual(commands(), ["systemctl --version"])
    })
  )
})

describe("a dry run on a machine without systemd", () => {
  it.live("says what would be done, and that it cannot be done here", () =>
    Effect.gen(function* () {
      const { host } = yield* machine({ systemdFolder: "/nowhere/systemd", env: { PATH: "/nowhere" } })
      const plans = [
        yield* on(host, (it) => it.install({ configText: "", dryRun: true })),
        yield* on(host, (it) => it.uninstall({ dryRun: true }))
      ]
      for (const plan of plans) {
        const lines = ServicePlan.describe(plan)
        assert.isTrue(lines.some((line) => line.includes("/etc/systemd/system/effect-rtmp.service")))
        assert.match(lines.at(-1)!, /^note: this machine was not started by systemd/)
      }
      const error = yield* failure(on(host, (it) => it.install({})))
      assert.strictEqual(error.reason, "Unsupported")
    })
  )
})

describe.skipIf(process.platform === "win32")("what goes wrong", () => {
  it.live("is a want of rights, before anything is done", () =>
    Effect.gen(function* () {
      const { commands, host } = yield* machine()
      for (const change of [on(host, (it) => it.install({})), on(host, (it) => it.uninstall({}))]) {
        const error = yield* failure(change)
        assert.strictEqual(error.reason, "PermissionDenied")
        assert.include(error.message, "sudo")
      }
      assert.deepStrictEqual(commands(), ["systemctl --version"])
    })
  )

  it.live("is a command that fails, with what it said, and the rest is not done", () =>
    Effect.gen(function* () {
      const { commands, host, program } = yield* machine()
      program("systemctl", ['case "$*" in *restart*) echo "Job failed." >&2; exit 1;; *daemon-reload*) exit 0;; esac'])
      const failed = yield* failure(on(host, (it) => it.install({ scope: "user" })))
      assert.strictEqual(failed.reason, "CommandFailed")
      assert.strictEqual(
        failed.message,
        "systemctl --user restart effect-rtmp.service ended with status 1: Job failed."
      )

      program("systemctl", ['case "$*" in *enable*) echo "Access denied" >&2; exit 4;; esac'])
      const denied = yield* failure(on(host, (it) => it.install({ scope: "user" })))
      assert.strictEqual(denied.reason, "PermissionDenied")
      assert.strictEqual(commands().at(-1), "systemctl --user enable effect-rtmp.service")
    })
  )

  it.live("is a program, a file or a service manager that is not there", () =>
    Effect.gen(function* () {
      const { folder, host } = yield* machine()
      const noProgram = yield* failure(on({ ...host, env: { PATH: folder } }, (it) => it.status({})))
      assert.strictEqual(noProgram.reason, "NotFound")
      assert.strictEqual(noProgram.message, "there is no systemctl on this machine")
      const noSystemd = yield* failure(on({ ...host, systemdFolder: `${folder}/none` }, (it) => it.install({})))
      assert.strictEqual(noSystemd.reason, "Unsupported")
      const noPlatform = yield* failure(on({ ...host, platform: "aix" }, (it) => it.status({})))
      assert.strictEqual(noPlatform.message, "services are not supported on aix")
    })
  )

  it.live("is a file in the way", () =>
    Effect.gen(function* () {
      const { host } = yield* machine()
      Fs.mkdirSync(host.home)
      Fs.writeFileSync(Path.join(host.home, ".config"), "")
      const error = yield* failure(on(host, (it) => it.install({ scope: "user" })))
      assert.strictEqual(error.reason, "FileFailed")
      assert.include(error.message, "cannot make the folder")
    })
  )

  it.live("is a setting that no unit can hold", () =>
    Effect.gen(function* () {
      const { host } = yield* machine()
      for (const bad of [
        { instance: "a/b" },
        { instance: "" },
        { instance: "-a" },
        { user: "a b" },
        { configPath: "relative.yaml" },
        { env: { "A=B": "c" } },
        { env: { A: "b\nExecStartPre=/bin/evil" } },
        { args: ["a\nb"] },
        { ports: [0] },
        { socketPort: 65_536 },
        { shutdownGraceMs: Number.NaN }
      ]) {
        const error = yield* failure(on(host, (it) => it.install({ scope: "user", dryRun: true, ...bad })))
        assert.strictEqual(error.reason, "InvalidSetting", JSON.stringify(bad))
      }
    })
  )
})

describe("the plan for macOS", () => {
  it.live("loads the job into the domain that it belongs to, after an old one is gone", () =>
    Effect.gen(function* () {
      const { host } = yield* machine({ platform: "darwin", uid: 501, home: "/Users-of/me" })
      const plan = yield* on(host, (it) => it.install({ scope: "user", configText: "# settings\n", dryRun: true }))
      assert.deepStrictEqual(ServicePlan.describe(plan), [
        "make folder '/Users-of/me/Library/Application Support/effect-rtmp' (755)",
        "make folder '/Users-of/me/Library/Application Support/effect-rtmp/effect-rtmp' (750)",
        "make folder /Users-of/me/Library/Logs/effect-rtmp (755)",
        "write /Users-of/me/Library/Logs/effect-rtmp/effect-rtmp.log (640), unless it is there",
        "make folder '/Users-of/me/Library/Application Support/effect-rtmp' (755)",
        "write '/Users-of/me/Library/Application Support/effect-rtmp/effect-rtmp.yaml' (600), unless it is there",
        "run launchctl bootout gui/501/effect-rtmp (may fail)",
        "make folder /Users-of/me/Library/LaunchAgents (755)",
        "write /Users-of/me/Library/LaunchAgents/effect-rtmp.plist (644)",
        "run launchctl enable gui/501/effect-rtmp",
        "run launchctl bootstrap gui/501 /Users-of/me/Library/LaunchAgents/effect-rtmp.plist",
        "note: the configuration is /Users-of/me/Library/Application Support/effect-rtmp/effect-rtmp.yaml",
        "note: it is reloaded with launchctl kill SIGHUP gui/501/effect-rtmp",
        "note: its output is in /Users-of/me/Library/Logs/effect-rtmp/effect-rtmp.log"
      ])
      const removal = yield* on(host, (it) => it.uninstall({ instance: "b", dryRun: true }))
      assert.deepStrictEqual(ServicePlan.describe(removal).slice(0, 2), [
        "run launchctl bootout system/effect-rtmp-b (may fail)",
        "remove /Library/LaunchDaemons/effect-rtmp-b.plist"
      ])
    })
  )
})

describe("the plan for Windows", () => {
  const windows: Partial<Host> = {
    platform: "win32",
    uid: undefined,
    node: "C:\\Program Files\\nodejs\\node.exe",
    script: "C:\\rtmp\\dist\\main.js",
    env: { ProgramFiles: "D:\\Programs", ProgramData: "D:\\Data" }
  }

  it.live("puts the wrapper among the programs, the data apart, and opens the firewall for both ports", () =>
    Effect.gen(function* () {
      const { host } = yield* machine(windows)
      const plan = yield* on(host, (it) =>
        it.install({
          instance: "b",
          wrapper: "C:\\WinSW-x64.exe",
          ports: [1935, 443],
          configText: "",
          dryRun: true
        })
      )
      assert.deepStrictEqual(ServicePlan.describe(plan), [
        "run powershell.exe -NoProfile -NonInteractive -Command 'Stop-Service -Name effect-rtmp-b' (may fail)",
        "run D:\\Programs\\effect-rtmp\\service\\effect-rtmp-b.exe uninstall (may fail)",
        "make folder D:\\Programs\\effect-rtmp\\service (755)",
        "make folder D:\\Data\\effect-rtmp\\b\\logs (750)",
        "copy C:\\WinSW-x64.exe to D:\\Programs\\effect-rtmp\\service\\effect-rtmp-b.exe",
        "write D:\\Programs\\effect-rtmp\\service\\effect-rtmp-b.xml (644)",
        "make folder D:\\Data\\effect-rtmp (755)",
        "write D:\\Data\\effect-rtmp\\b.yaml (640), unless it is there",
        "run icacls.exe D:\\Data\\effect-rtmp /inheritance:r /grant:r '*S-1-5-32-544:(OI)(CI)F' '*S-1-5-18:(OI)(CI)F' '*S-1-5-19:(OI)(CI)M'",
        "run netsh.exe advfirewall firewall delete rule name=effect-rtmp-b (may fail)",
        "run netsh.exe advfirewall firewall add rule name=effect-rtmp-b dir=in action=allow protocol=TCP localport=1935,443 'program=C:\\Program Files\\nodejs\\node.exe' profile=any",
        "run D:\\Programs\\effect-rtmp\\service\\effect-rtmp-b.exe install",
        "run D:\\Programs\\effect-rtmp\\service\\effect-rtmp-b.exe start",
        "note: the configuration is D:\\Data\\effect-rtmp\\b.yaml",
        "note: its output is in D:\\Data\\effect-rtmp\\b\\logs"
      ])
    })
  )

  it.live("says which wrapper it needs, by the processor", () =>
    Effect.gen(function* () {
      for (const [architecture, wrapper] of [
        ["x64", "WinSW-x64.exe"],
        ["arm64", "WinSW.NET461.exe"]
      ] as const) {
        const { host } = yield* machine({ ...windows, architecture })
        const error = yield* failure(on(host, (it) => it.install({ dryRun: true })))
        assert.strictEqual(error.reason, "NotFound")
        assert.include(error.message, wrapper)
      }
    })
  )

  it.live("knows no service of a user", () =>
    Effect.gen(function* () {
      const { host } = yield* machine(windows)
      assert.strictEqual((yield* failure(on(host, (it) => it.status({ scope: "user" })))).reason, "Unsupported")
    })
  )
})
