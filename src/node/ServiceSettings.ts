/**
 * What a service of the operating system is made of: which program, which files, for whom. The texts of the units and the
 * plans to install them are pure functions of this.
 *
 * It is not the configuration of the server: that is the file at `configPath`, which the server reads itself.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"

/** Where services are managed: by systemd, by launchd, or by Windows with WinSW as wrapper. */
export type Manager = "systemd" | "launchd" | "windows"

/** A service of the machine, or one of the user who installs it, without special rights and while the user is logged in. */
export type ServiceScope = "system" | "user"

/** A service, fully told. Times are in milliseconds, ports are TCP. */
export interface ServiceSettings {
  /** Name of this one among several side by side; `undefined` for the only one. */
  readonly instance: string | undefined
  readonly scope: ServiceScope
  /** Absolute path of Node, and of the server's `main.js`; arguments for each. */
  readonly node: string
  readonly nodeArgs: ReadonlyArray<string>
  readonly script: string
  readonly args: ReadonlyArray<string>
  /** Absolute path of the configuration file; `undefined` for where the platform keeps such files (`defaultPaths`). */
  readonly configPath: string | undefined
  /**
   * The account that the server runs under; `undefined` for that of the platform: `effect-rtmp` (made by systemd-sysusers),
   * `nobody` on macOS, `LocalService` on Windows. Has no meaning for a service of a user.
   */
  readonly user: string | undefined
  /** Variables of the environment, beside those of the unit. They are readable by everybody: no secrets. */
  readonly env: Readonly<Record<string, string>>
  /** `shutdown.grace` of the configuration: the service manager must not kill the server within it. */
  readonly shutdownGraceMs: number
  /** Whether the server binds ports below 1024 itself. */
  readonly lowPorts: boolean
  /** Ports that the firewall lets in (Windows). */
  readonly ports: ReadonlyArray<number>
  /** The RTMP port, if systemd opens it for the server (a socket unit); `undefined` if the server does. */
  readonly socketPort: number | undefined
  /** The version of systemd that the unit is for. 252 (Debian 12) is the oldest. */
  readonly systemdVersion: number
  /** Home of the user, for a service of the user; and on Windows the folders that the system names. */
  readonly home: string
  readonly programFiles: string
  readonly programData: string
}

/** Why a service cannot be described, installed, removed or asked for its state. The message is for the operator. */
export class ServiceError extends Data.TaggedError("ServiceError")<{
  /**
   * - `InvalidSetting`: a setting that no unit can hold.
   * - `Unsupported`: no service manager here that this can work with.
   * - `PermissionDenied`: not enough rights.
   * - `NotFound`: a program or file that is needed is missing.
   * - `CommandFailed`: a command of the service manager ended with an error.
   * - `FileFailed`: a file could not be read or written.
   */
  readonly reason: "InvalidSetting" | "Unsupported" | "PermissionDenied" | "NotFound" | "CommandFailed" | "FileFailed"
  readonly detail: string
}> {
  override get message(): string {
    return this.detail
  }
}

/** The account that systemd-sysusers makes. */
export const systemdUser = "effect-rtmp"

/** Settings of the one service of the machine, for a package in the usual places of Linux. */
export const defaults: ServiceSettings = {
  instance: undefined,
  scope: "system",
  node: "/usr/bin/node",
  nodeArgs: [],
  script: "/usr/lib/node_modules/effect-rtmp/dist/main.js",
  args: [],
  configPath: undefined,
  user: undefined,
  env: {},
  shutdownGraceMs: 30_000,
  lowPorts: false,
  ports: [1935],
  socketPort: undefined,
  systemdVersion: 252,
  home: "/var/lib/effect-rtmp",
  programFiles: "C:\\Program Files",
  programData: "C:\\ProgramData"
}

/** The time that a service manager gives the server to stop, in whole seconds: the grace, and a margin. */
export const stopTimeoutSeconds = (settings: ServiceSettings): number => Math.ceil(settings.shutdownGraceMs / 1000) + 15

/** The name of the service where names are free: `effect-rtmp`, or `effect-rtmp-studio` for the instance `studio`. */
export const serviceName = (settings: ServiceSettings): string =>
  settings.instance === undefined ? "effect-rtmp" : `effect-rtmp-${settings.instance}`

/** What the configuration file of the service is called. */
export const configFileName = (settings: ServiceSettings): string => `${settings.instance ?? "effect-rtmp"}.yaml`

const instanceName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/
const userName = /^[A-Za-z_][A-Za-z0-9_.-]{0,30}\$?$/
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/
const isPort = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65_535

/** Checks that a unit can hold the settings: names, absolute paths, no control characters. Gives them back as they are. */
export const check = (settings: ServiceSettings, manager: Manager): Result.Result<ServiceSettings, ServiceError> => {
  const isAbsolute = (path: string): boolean =>
    manager === "windows" ? /^[A-Za-z]:[\\/]/.test(path) : path.startsWith("/")
  const paths = { node: settings.node, script: settings.script, configPath: settings.configPath }
  const problems = [
    settings.instance === undefined || instanceName.test(settings.instance)
      ? undefined
      : "the name of an instance is letters, digits, `_`, `.` and `-`, and begins with a letter or digit",
    settings.user === undefined || userName.test(settings.user) ? undefined : "that is not the name of a user",
    ...Object.entries(paths).map(([name, path]) =>
      path === undefined || isAbsolute(path) ? undefined : `the path of ${name} must be absolute (${clean(path)})`
    ),
    ...Object.keys(settings.env).map((name) =>
      variableName.test(name) ? undefined : `${clean(name)} is not the name of a variable`
    ),
    [...settings.ports, settings.socketPort ?? 1].every(isPort) ? undefined : "a port is a number from 1 to 65535",
    settings.shutdownGraceMs >= 0 && Number.isFinite(settings.shutdownGraceMs)
      ? undefined
      : "the grace of the shutdown is a time",
    texts(settings).some((text) => control.test(text)) ? "a setting has a control character in it" : undefined
  ].filter((problem) => problem !== undefined)
  return problems.length === 0
    ? Result.succeed(settings)
    : Result.fail(
        new ServiceError({ reason: "InvalidSetting", detail: `cannot make a service: ${problems.join("; ")}` })
      )
}

const control = /\p{Cc}/u

const texts = (settings: ServiceSettings): ReadonlyArray<string> => [
  settings.node,
  ...settings.nodeArgs,
  settings.script,
  ...settings.args,
  settings.configPath ?? "",
  ...Object.values(settings.env),
  settings.home,
  settings.programFiles,
  settings.programData
]

const clean = (text: string): string => text.replace(/\p{Cc}/gu, "?")
