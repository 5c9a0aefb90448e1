/**
 * How a service is, read from what the service manager says.
 */
import type { Manager } from "./ServiceSettings.ts"

/** How a service is. `Changing` is between two of the others: starting, stopping, reloading, waiting to start again. */
export type ServiceState = "NotInstalled" | "Stopped" | "Running" | "Changing" | "Failed"

/**
 * The state of a service.
 *
 * - `startsAtBoot`: whether it starts with the machine (or the login); `undefined` where the manager does not say.
 * - `pid`: its process, if it runs. On Windows that is the wrapper.
 * - `text`: what the server or the manager says about it, in one line; may be empty.
 */
export interface ServiceStatus {
  readonly state: ServiceState
  readonly startsAtBoot: boolean | undefined
  readonly pid: number | undefined
  readonly text: string
}

/** A service that is not there. */
export const notInstalled: ServiceStatus = {
  state: "NotInstalled",
  startsAtBoot: undefined,
  pid: undefined,
  text: ""
}

/** Reads the output of `ServicePlan.query`. `exitCode` is that of the command. */
export const parse = (manager: Manager, exitCode: number, output: string): ServiceStatus => {
  switch (manager) {
    case "systemd":
      return parseSystemd(output)
    case "launchd":
      return exitCode === 0 ? parseLaunchd(output) : notInstalled
    case "windows":
      return parseWindows(exitCode, output)
  }
}

/** The status as one line for a person. */
export const describe = (name: string, status: ServiceStatus): string => {
  const words = {
    NotInstalled: "is not installed",
    Stopped: "is stopped",
    Running: "runs",
    Changing: "is changing",
    Failed: "has failed"
  }
  return [
    `${name} ${words[status.state]}`,
    status.pid === undefined ? undefined : `process ${status.pid}`,
    status.startsAtBoot === undefined ? undefined : status.startsAtBoot ? "starts at boot" : "does not start at boot",
    status.text === "" ? undefined : status.text
  ]
    .filter((part) => part !== undefined)
    .join(", ")
}

const parseSystemd = (output: string): ServiceStatus => {
  const properties = new Map(
    output.split("\n").flatMap((line) => {
      const at = line.indexOf("=")
      return at === -1 ? [] : [[line.slice(0, at), line.slice(at + 1)] as const]
    })
  )
  const of = (name: string): string => properties.get(name) ?? ""
  if (of("LoadState") !== "loaded") return notInstalled
  const result = of("Result")
  const state = systemdStates[of("ActiveState")] ?? "Changing"
  // systemd keeps the last words of a server that is gone.
  const said = state === "Running" || state === "Changing" ? of("StatusText") : ""
  return {
    state,
    startsAtBoot: of("UnitFileState") === "" ? undefined : /^enabled/.test(of("UnitFileState")),
    pid: positive(of("MainPID")),
    text: said || (result === "" || result === "success" ? "" : result)
  }
}

const systemdStates: Readonly<Record<string, ServiceState>> = {
  active: "Running",
  inactive: "Stopped",
  failed: "Failed"
}

const parseLaunchd = (output: string): ServiceStatus => {
  const of = (name: string): string => new RegExp(`^\\s*${name} = (.*)$`, "m").exec(output)?.[1]?.trim() ?? ""
  const state = of("state")
  const exit = of("last exit code")
  const hasFailed = /^[1-9]\d*/.test(exit)
  return {
    state: state === "running" ? "Running" : hasFailed ? "Failed" : "Stopped",
    startsAtBoot: undefined,
    pid: positive(of("pid")),
    text: state === "running" || !hasFailed ? "" : `last exit status ${exit}`
  }
}

// ERROR_SERVICE_DOES_NOT_EXIST
const noSuchService = 1060

const parseWindows = (exitCode: number, output: string): ServiceStatus => {
  if (exitCode === noSuchService) return notInstalled
  // Labels may be translated, numbers are not. The type comes first, then the state.
  const state = /:\s*\d+\s+\S+[^\n]*\n[^\n:]*:\s*([1-7])\s+(\S+)/.exec(output)
  const pid = /PID\s*:\s*(\d+)/.exec(output)
  const exit = /WIN32_EXIT_CODE\s*:\s*(\d+)/.exec(output)?.[1] ?? "0"
  const number = state?.[1] ?? ""
  return {
    state: number === "4" ? "Running" : number === "1" ? (exit === "0" ? "Stopped" : "Failed") : "Changing",
    startsAtBoot: undefined,
    pid: positive(pid?.[1] ?? ""),
    text: number === "1" && exit !== "0" ? `last exit status ${exit}` : ""
  }
}

const positive = (text: string): number | undefined => {
  const number = Number(text)
  return Number.isInteger(number) && number > 0 ? number : undefined
}
