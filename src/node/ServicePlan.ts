/**
 * What it takes to install, remove or look at a service: steps and commands, computed without touching anything.
 * `ServiceManager` carries them out; `--dry-run` prints them.
 */
import * as LaunchdPlist from "./LaunchdPlist.ts"
import { configFileName, type Manager, type ServiceSettings, systemdUser } from "./ServiceSettings.ts"
import * as SystemdUnits from "./SystemdUnits.ts"
import * as WindowsService from "./WindowsService.ts"

/**
 * One step. `mode` is in the manner of chmod, and has no meaning on Windows.
 *
 * - `MakeDirectory`: with its parents; there already is fine.
 * - `WriteFile`: replaces the file as a whole; with `keep` one that is there already stays as it is.
 * - `CopyFile`: replaces `to`.
 * - `RemoveFile`: not there is fine.
 * - `Run`: a command with its arguments, without a shell; with `mayFail` any end of it is fine.
 */
export type Step =
  | { readonly _tag: "MakeDirectory"; readonly path: string; readonly mode: number }
  | {
      readonly _tag: "WriteFile"
      readonly path: string
      readonly text: string
      readonly mode: number
      readonly keep: boolean
    }
  | { readonly _tag: "CopyFile"; readonly from: string; readonly to: string }
  | { readonly _tag: "RemoveFile"; readonly path: string }
  | { readonly _tag: "Run"; readonly command: string; readonly args: ReadonlyArray<string>; readonly mayFail: boolean }

/** Steps in their order, and what the operator should know, a sentence each. */
export interface Plan {
  readonly steps: ReadonlyArray<Step>
  readonly notes: ReadonlyArray<string>
}

/** What installing takes besides the settings. */
export interface InstallOptions {
  /** What a configuration file is written with where there is none yet; `undefined` writes none. */
  readonly configText: string | undefined
  /** Absolute path of WinSW, downloaded by the operator (Windows). */
  readonly wrapper: string | undefined
  /** The number of the user, which is part of the name of the user's launchd (macOS). */
  readonly uid: number
}

/** A command whose output says how a service is. */
export interface Query {
  readonly command: string
  readonly args: ReadonlyArray<string>
}

/** The steps that install a service, or bring one that is there to new settings, and start it. */
export const install = (manager: Manager, settings: ServiceSettings, options: InstallOptions): Plan => {
  switch (manager) {
    case "systemd":
      return installSystemd(settings, options)
    case "launchd":
      return installLaunchd(settings, options)
    case "windows":
      return installWindows(settings, options)
  }
}

/** The steps that stop a service and remove it. Configuration, state and logs stay, and a note says where. */
export const uninstall = (manager: Manager, settings: ServiceSettings, uid: number): Plan => {
  switch (manager) {
    case "systemd": {
      const name = SystemdUnits.unitName(settings)
      const folder = systemdPaths(settings).units
      const systemctl = systemctlOf(settings)
      return {
        steps: [
          systemctl(true, "disable", "--now", `${name}.socket`),
          systemctl(true, "disable", "--now", `${name}.service`),
          { _tag: "RemoveFile", path: `${folder}/${name}.socket` },
          { _tag: "RemoveFile", path: `${folder}/${name}.service` },
          systemctl(false, "daemon-reload"),
          systemctl(true, "reset-failed", `${name}.service`)
        ],
        notes: [`the configuration stays: ${systemdPaths(settings).config}`]
      }
    }
    case "launchd": {
      const paths = LaunchdPlist.paths(settings)
      return {
        steps: [
          run(true, "launchctl", "bootout", `${domain(settings, uid)}/${LaunchdPlist.label(settings)}`),
          { _tag: "RemoveFile", path: paths.plist }
        ],
        notes: [`the configuration stays: ${paths.config}`]
      }
    }
    case "windows": {
      const paths = WindowsService.paths(settings)
      return {
        steps: [
          stopWindows(settings),
          run(false, paths.wrapper, "uninstall"),
          deleteRule(settings),
          { _tag: "RemoveFile", path: paths.wrapper },
          { _tag: "RemoveFile", path: paths.description }
        ],
        notes: [`the configuration stays: ${paths.config}`]
      }
    }
  }
}

/** The command that tells how a service is, in words that `ServiceStatus.parse` knows. */
export const query = (manager: Manager, settings: ServiceSettings, uid: number): Query => {
  switch (manager) {
    case "systemd":
      return {
        command: "systemctl",
        args: [
          ...(settings.scope === "user" ? ["--user"] : []),
          "show",
          `${SystemdUnits.unitName(settings)}.service`,
          "--property=LoadState,ActiveState,SubState,UnitFileState,MainPID,StatusText,Result"
        ]
      }
    case "launchd":
      return { command: "launchctl", args: ["print", `${domain(settings, uid)}/${LaunchdPlist.label(settings)}`] }
    case "windows":
      return { command: "sc.exe", args: ["queryex", WindowsService.id(settings)] }
  }
}

/** The steps as lines for a person, and the notes behind them. */
export const describe = (plan: Plan): ReadonlyArray<string> => [
  ...plan.steps.map(describeStep),
  ...plan.notes.map((note) => `note: ${note}`)
]

/** A command and its arguments as one line, quoted where a reader needs it. */
export const commandLine = (query: Query): string => [query.command, ...query.args].map(shown).join(" ")

/** Where the files of a systemd service are kept. */
export const systemdPaths = (settings: ServiceSettings) => {
  const isSystem = settings.scope === "system"
  const folder = isSystem ? "/etc/effect-rtmp" : `${settings.home}/.config/effect-rtmp`
  return {
    units: isSystem ? "/etc/systemd/system" : `${settings.home}/.config/systemd/user`,
    folder,
    config: settings.configPath ?? `${folder}/${configFileName(settings)}`
  }
}

const installSystemd = (settings: ServiceSettings, { configText }: InstallOptions): Plan => {
  const name = SystemdUnits.unitName(settings)
  const kind = settings.instance === undefined ? "single" : "instance"
  const paths = systemdPaths(settings)
  const systemctl = systemctlOf(settings)
  const isSystem = settings.scope === "system"
  const user = settings.user ?? systemdUser
  const sysusers = "/etc/sysusers.d/effect-rtmp.conf"
  return {
    steps: [
      ...(isSystem && user === systemdUser
        ? [write(sysusers, SystemdUnits.sysusers, 0o644), run(false, "systemd-sysusers", sysusers)]
        : []),
      ...(configText !== undefined && folderOf(paths.config) === paths.folder
        ? []
        : [{ _tag: "MakeDirectory", path: paths.folder, mode: 0o755 } as const]),
      ...configSteps(paths.config, configText, 0o640),
      // Its secrets are for the server, and not for everybody.
      ...(isSystem && configText !== undefined ? [run(true, "chgrp", user, paths.config)] : []),
      { _tag: "MakeDirectory", path: paths.units, mode: 0o755 },
      write(`${paths.units}/${name}.service`, SystemdUnits.service(settings, kind), 0o644),
      ...(settings.socketPort === undefined
        ? [
            systemctl(true, "disable", "--now", `${name}.socket`),
            { _tag: "RemoveFile", path: `${paths.units}/${name}.socket` } as const
          ]
        : [write(`${paths.units}/${name}.socket`, SystemdUnits.socket(settings.socketPort, kind), 0o644)]),
      systemctl(false, "daemon-reload"),
      systemctl(false, "enable", `${name}.service`),
      ...(settings.socketPort === undefined
        ? []
        : [
            // A socket cannot take its port while the service holds it.
            systemctl(true, "stop", `${name}.service`),
            systemctl(false, "enable", `${name}.socket`),
            systemctl(false, "restart", `${name}.socket`)
          ]),
      systemctl(false, "restart", `${name}.service`)
    ],
    notes: [
      `the configuration is ${paths.config}`,
      `it is reloaded with systemctl ${isSystem ? "" : "--user "}reload ${name}`,
      ...(isSystem ? [] : ["it runs while you are logged in, or always after: loginctl enable-linger"]),
      ...(isSystem && [settings.node, settings.script].some((path) => path.startsWith("/root/"))
        ? [`the account ${user} cannot read below /root: install Node and the server where everybody can read them`]
        : [])
    ]
  }
}

const installLaunchd = (settings: ServiceSettings, { configText, uid }: InstallOptions): Plan => {
  const paths = LaunchdPlist.paths(settings)
  const target = `${domain(settings, uid)}/${LaunchdPlist.label(settings)}`
  const user = settings.user ?? LaunchdPlist.launchdUser
  const owned = (path: string): ReadonlyArray<Step> =>
    settings.scope === "system" ? [run(false, "chown", user, path)] : []
  return {
    steps: [
      // On its own, because a folder gives its mode to the parents that are made with it.
      { _tag: "MakeDirectory", path: paths.support, mode: 0o755 },
      { _tag: "MakeDirectory", path: paths.state, mode: 0o750 },
      ...owned(paths.state),
      { _tag: "MakeDirectory", path: paths.logs, mode: 0o755 },
      write(paths.log, "", 0o640, true),
      ...owned(paths.log),
      ...configSteps(paths.config, configText, 0o600),
      ...(configText === undefined ? [] : owned(paths.config)),
      // A service of before has to go, or the new one is refused.
      run(true, "launchctl", "bootout", target),
      { _tag: "MakeDirectory", path: folderOf(paths.plist), mode: 0o755 },
      write(paths.plist, LaunchdPlist.plist(settings), 0o644),
      run(false, "launchctl", "enable", target),
      run(false, "launchctl", "bootstrap", domain(settings, uid), paths.plist)
    ],
    notes: [
      `the configuration is ${paths.config}`,
      `it is reloaded with launchctl kill SIGHUP ${target}`,
      `its output is in ${paths.log}`,
      ...(settings.lowPorts && settings.scope === "system"
        ? ["macOS lets everybody bind ports below 1024 on all addresses, and nobody but root on a single one"]
        : [])
    ]
  }
}

const installWindows = (settings: ServiceSettings, { configText, wrapper }: InstallOptions): Plan => {
  const paths = WindowsService.paths(settings)
  // Well-known accounts by number, because their names are translated: administrators, system, LocalService.
  const grants = ["*S-1-5-32-544:(OI)(CI)F", "*S-1-5-18:(OI)(CI)F", `${settings.user ?? "*S-1-5-19"}:(OI)(CI)M`]
  return {
    steps: [
      stopWindows(settings),
      run(true, paths.wrapper, "uninstall"),
      { _tag: "MakeDirectory", path: paths.programs, mode: 0o755 },
      { _tag: "MakeDirectory", path: paths.logs, mode: 0o750 },
      ...(wrapper === undefined ? [] : [{ _tag: "CopyFile", from: wrapper, to: paths.wrapper } as const]),
      write(paths.description, WindowsService.description(settings), 0o644),
      ...configSteps(paths.config, configText, 0o640),
      run(false, "icacls.exe", paths.data, "/inheritance:r", "/grant:r", ...grants),
      deleteRule(settings),
      run(
        false,
        "netsh.exe",
        "advfirewall",
        "firewall",
        "add",
        "rule",
        `name=${WindowsService.id(settings)}`,
        "dir=in",
        "action=allow",
        "protocol=TCP",
        `localport=${settings.ports.join(",")}`,
        `program=${settings.node}`,
        "profile=any"
      ),
      run(false, paths.wrapper, "install"),
      run(false, paths.wrapper, "start")
    ],
    notes: [`the configuration is ${paths.config}`, `its output is in ${paths.logs}`]
  }
}

const describeStep = (step: Step): string => {
  switch (step._tag) {
    case "MakeDirectory":
      return `make folder ${shown(step.path)} (${step.mode.toString(8)})`
    case "WriteFile":
      return `write ${shown(step.path)} (${step.mode.toString(8)})${step.keep ? ", unless it is there" : ""}`
    case "CopyFile":
      return `copy ${shown(step.from)} to ${shown(step.to)}`
    case "RemoveFile":
      return `remove ${shown(step.path)}`
    case "Run":
      return `run ${commandLine(step)}${step.mayFail ? " (may fail)" : ""}`
  }
}

// The wrapper only asks for the stop; this waits for it, and a program that runs cannot be replaced.
const stopWindows = (settings: ServiceSettings): Step => {
  const command = `Stop-Service -Name ${WindowsService.id(settings)}`
  return run(true, "powershell.exe", "-NoProfile", "-NonInteractive", "-Command", command)
}

const deleteRule = (settings: ServiceSettings): Step =>
  run(true, "netsh.exe", "advfirewall", "firewall", "delete", "rule", `name=${WindowsService.id(settings)}`)

const domain = (settings: ServiceSettings, uid: number): string =>
  settings.scope === "system" ? "system" : `gui/${uid}`

const run = (mayFail: boolean, command: string, ...args: ReadonlyArray<string>): Step => ({
  _tag: "Run",
  command,
  args,
  mayFail
})

const write = (path: string, text: string, mode: number, keep = false): Step => ({
  _tag: "WriteFile",
  path,
  text,
  mode,
  keep
})

const folderOf = (path: string): string => path.replace(/[\\/][^\\/]*$/, "") || "/"

const configSteps = (path: string, text: string | undefined, mode: number): ReadonlyArray<Step> =>
  text === undefined
    ? []
    : [{ _tag: "MakeDirectory", path: folderOf(path), mode: 0o755 }, write(path, text, mode, true)]

const systemctlOf =
  (settings: ServiceSettings) =>
  (mayFail: boolean, ...args: ReadonlyArray<string>): Step =>
    run(mayFail, "systemctl", ...(settings.scope === "user" ? ["--user"] : []), ...args)

const shown = (text: string): string => (/^[\w@%+=:,./\\-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
