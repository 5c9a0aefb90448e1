/**
 * Installs the server as a service of the operating system it runs on, removes it, and tells how it is.
 *
 * What is done is computed first, as a `ServicePlan`, and carried out step by step; with `dryRun` it is only computed. A
 * plan can be carried out again: it brings the service to what it says, and leaves a configuration that is there alone.
 *
 * **Example** (Behind a command line)
 *
 * ```ts
 * const program = Effect.gen(function* () {
 *   const services = yield* ServiceManager
 *   const plan = yield* services.install({ instance: "studio", dryRun: true })
 *   for (const line of ServicePlan.describe(plan)) yield* Console.log(line)
 * })
 * Effect.provide(program, ServiceManager.layer.pipe(Layer.provide(NodeServices.layer)))
 * ```
 */
import * as Os from "node:os"
import process from "node:process"
import { fileURLToPath } from "node:url"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type { PlatformError } from "effect/PlatformError"
import * as ChildProcess from "effect/process/ChildProcess"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Stream from "effect/Stream"
import * as ServicePlan from "./ServicePlan.ts"
import * as ServiceSettings from "./ServiceSettings.ts"
import { ServiceError } from "./ServiceSettings.ts"
import * as ServiceStatus from "./ServiceStatus.ts"
import { wrapperFor } from "./WindowsService.ts"

/** Which service is meant: the only one of the machine, unless an instance or the user's own is named. */
export interface Target {
  readonly instance?: string | undefined
  readonly scope?: ServiceSettings.ServiceScope | undefined
}

/** A service to install. What is not given is that of `ServiceSettings.defaults`, or of the process that asks. */
export interface InstallRequest extends Target {
  /** Computes the plan, and does nothing. */
  readonly dryRun?: boolean | undefined
  /** Absolute path of the configuration; without, the usual place of the platform. */
  readonly configPath?: string | undefined
  /** What a configuration file is written with where there is none yet; without, none is written. */
  readonly configText?: string | undefined
  readonly user?: string | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly nodeArgs?: ReadonlyArray<string> | undefined
  /** Arguments of the server, such as `["serve"]`. */
  readonly args?: ReadonlyArray<string> | undefined
  readonly shutdownGraceMs?: number | undefined
  readonly lowPorts?: boolean | undefined
  readonly ports?: ReadonlyArray<number> | undefined
  readonly socketPort?: number | undefined
  /** Absolute path of WinSW; needed on Windows. */
  readonly wrapper?: string | undefined
}

/** The machine and the process that asks. A test gives another one. */
export interface Host {
  readonly platform: string
  readonly architecture: string
  /** The number of the user; 0 is root. `undefined` where there are no such numbers. */
  readonly uid: number | undefined
  readonly home: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Absolute paths of Node and of the server's `main`. */
  readonly node: string
  readonly script: string
  /** A folder that is there when systemd started the machine. */
  readonly systemdFolder: string
}

/** What can be done with services. All errors are for the operator to read. */
export interface ServiceManagerShape {
  /** Installs and starts a service, or brings one that is there to new settings. Returns what was done, or would be. */
  readonly install: (request: InstallRequest) => Effect.Effect<ServicePlan.Plan, ServiceError>
  /** Stops and removes a service; its configuration and data stay. Returns what was done, or would be. */
  readonly uninstall: (
    request: Target & { readonly dryRun?: boolean | undefined }
  ) => Effect.Effect<ServicePlan.Plan, ServiceError>
  /** Asks the service manager how a service is. */
  readonly status: (target: Target) => Effect.Effect<ServiceStatus.ServiceStatus, ServiceError>
}

/** This machine and this process. */
export const currentHost = (): Host => ({
  platform: process.platform,
  architecture: process.arch,
  uid: process.getuid?.(),
  home: Os.homedir(),
  env: process.env,
  node: process.execPath,
  script: fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "../main.ts" : "../main.js", import.meta.url)),
  systemdFolder: "/run/systemd/system"
})

/** Makes the service for a machine. */
export const make = (
  host: Host
): Effect.Effect<ServiceManagerShape, never, FileSystem.FileSystem | ChildProcessSpawner> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const spawner = yield* ChildProcessSpawner

    const isSystemdThere = Effect.orElseSucceed(files.exists(host.systemdFolder), () => false)

    /** A plan alone needs nobody to carry it out. */
    const managerFor = (dryRun: boolean): Effect.Effect<ServiceSettings.Manager, ServiceError> =>
      host.platform === "linux" && dryRun ? Effect.succeed("systemd") : manager

    const manager: Effect.Effect<ServiceSettings.Manager, ServiceError> = Effect.suspend(() => {
      switch (host.platform) {
        case "darwin":
          return Effect.succeed("launchd")
        case "win32":
          return Effect.succeed("windows")
        case "linux":
          return Effect.flatMap(isSystemdThere, (isThere) =>
            isThere ? Effect.succeed<ServiceSettings.Manager>("systemd") : unsupported(noSystemd)
          )
        default:
          return unsupported(`services are not supported on ${host.platform}`)
      }
    })

    const call = (query: ServicePlan.Query) =>
      Effect.scoped(
        Effect.gen(function* () {
          const child = yield* spawner.spawn(
            ChildProcess.make(query.command, query.args, {
              // What is read from it should be in the words it is known in.
              env: { ...host.env, LC_ALL: "C", SYSTEMD_PAGER: "", SYSTEMD_COLORS: "0" },
              stdin: "ignore"
            })
          )
          const output = yield* Stream.mkString(Stream.decodeText(child.all))
          return { exitCode: yield* child.exitCode, output: output.trim() }
        })
      )

    const command = (query: ServicePlan.Query): Effect.Effect<{ exitCode: number; output: string }, ServiceError> =>
      Effect.mapError(call(query), (error) =>
        kindOf(error) === "NotFound"
          ? new ServiceError({ reason: "NotFound", detail: `there is no ${query.command} on this machine` })
          : new ServiceError({ reason: "CommandFailed", detail: `${query.command} cannot be run: ${kindOf(error)}` })
      )

    const file = <A>(
      what: string,
      path: string,
      effect: Effect.Effect<A, PlatformError>
    ): Effect.Effect<A, ServiceError> =>
      Effect.mapError(effect, (error) => {
        const kind = kindOf(error)
        if (kind === "PermissionDenied") return denied(host, `cannot ${what} ${path}`)
        return new ServiceError({
          reason: kind === "NotFound" ? "NotFound" : "FileFailed",
          detail: `cannot ${what} ${path}: ${kind === "NotFound" ? "it is not there" : error.message}`
        })
      })

    const writeFile = (step: Extract<ServicePlan.Step, { _tag: "WriteFile" }>): Effect.Effect<void, PlatformError> =>
      Effect.gen(function* () {
        if (step.keep && (yield* files.exists(step.path))) return
        // Whole or not at all: a service manager may read at any time.
        const next = `${step.path}.new`
        yield* files.writeFileString(next, step.text, { mode: step.mode })
        yield* files.chmod(next, step.mode)
        yield* files.rename(next, step.path)
      })

    const carryOut = (step: ServicePlan.Step): Effect.Effect<void, ServiceError> => {
      switch (step._tag) {
        case "MakeDirectory":
          return file(
            "make the folder",
            step.path,
            files.makeDirectory(step.path, { recursive: true, mode: step.mode })
          )
        case "WriteFile":
          return file("write", step.path, writeFile(step))
        case "CopyFile":
          return file(`copy ${step.from} to`, step.to, files.copyFile(step.from, step.to))
        case "RemoveFile":
          return file("remove", step.path, files.remove(step.path, { force: true }))
        case "Run": {
          const ran = Effect.flatMap(command(step), ({ exitCode, output }) =>
            exitCode === 0 ? Effect.void : Effect.fail(commandError(host, step, exitCode, output))
          )
          return step.mayFail ? Effect.ignore(ran) : ran
        }
      }
    }

    const perform = (plan: ServicePlan.Plan, settings: ServiceSettings.ServiceSettings, dryRun: boolean) => {
      if (dryRun) {
        return host.platform !== "linux"
          ? Effect.succeed(plan)
          : Effect.map(isSystemdThere, (isThere) => (isThere ? plan : { ...plan, notes: [...plan.notes, noSystemd] }))
      }
      if (settings.scope === "system" && host.uid !== undefined && host.uid !== 0)
        return Effect.fail(denied(host, "a service of the machine is not yours to change"))
      return Effect.as(Effect.forEach(plan.steps, carryOut, { discard: true }), plan)
    }

    const settle = (
      kind: ServiceSettings.Manager,
      request: InstallRequest,
      systemdVersion: number = ServiceSettings.defaults.systemdVersion
    ): Effect.Effect<ServiceSettings.ServiceSettings, ServiceError> =>
      Effect.gen(function* () {
        const scope = request.scope ?? "system"
        if (kind === "windows" && scope === "user") return yield* unsupported("Windows has no services of a user")
        const given = Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined))
        const { configText, dryRun, wrapper, ...settings } = given as InstallRequest
        return yield* Effect.fromResult(
          ServiceSettings.check(
            {
              ...ServiceSettings.defaults,
              node: host.node,
              script: host.script,
              home: host.home,
              programFiles: host.env.ProgramFiles ?? ServiceSettings.defaults.programFiles,
              programData: host.env.ProgramData ?? ServiceSettings.defaults.programData,
              systemdVersion,
              ...(settings as Partial<ServiceSettings.ServiceSettings>),
              scope
            },
            kind
          )
        )
      })

    const versionOf = (kind: ServiceSettings.Manager): Effect.Effect<number | undefined, ServiceError> =>
      kind === "systemd" ? askSystemdVersion : Effect.undefined

    const askSystemdVersion = Effect.map(command({ command: "systemctl", args: ["--version"] }), ({ output }) =>
      Number(/^systemd (\d+)/.exec(output)?.[1] ?? ServiceSettings.defaults.systemdVersion)
    )

    return {
      install: (request) =>
        Effect.gen(function* () {
          const dryRun = request.dryRun === true
          const kind = yield* managerFor(dryRun)
          const version = dryRun ? Effect.orElseSucceed(versionOf(kind), () => undefined) : versionOf(kind)
          const settings = yield* settle(kind, request, yield* version)
          if (kind === "windows" && request.wrapper === undefined) {
            return yield* new ServiceError({
              reason: "NotFound",
              detail: `a Windows service needs WinSW 2 as its wrapper: download ${wrapperFor(host.architecture)} and give its path`
            })
          }
          const plan = ServicePlan.install(kind, settings, {
            configText: request.configText,
            wrapper: request.wrapper,
            uid: host.uid ?? 0
          })
          return yield* perform(plan, settings, dryRun)
        }),
      uninstall: ({ dryRun, instance, scope }) =>
        Effect.gen(function* () {
          const kind = yield* managerFor(dryRun === true)
          const settings = yield* settle(kind, { instance, scope })
          return yield* perform(ServicePlan.uninstall(kind, settings, host.uid ?? 0), settings, dryRun === true)
        }),
      status: ({ instance, scope }) =>
        Effect.gen(function* () {
          const kind = yield* manager
          const settings = yield* settle(kind, { instance, scope })
          const query = ServicePlan.query(kind, settings, host.uid ?? 0)
          const { exitCode, output } = yield* command(query)
          // The others say with a status that there is no such service.
          if (kind === "systemd" && exitCode !== 0)
            return yield* Effect.fail(commandError(host, query, exitCode, output))
          return ServiceStatus.parse(kind, exitCode, output)
        })
    }
  })

/** The services of the operating system, as a service. */
export class ServiceManager extends Context.Service<ServiceManager, ServiceManagerShape>()(
  "effect-rtmp/node/ServiceManager"
) {
  /** Those of a machine. */
  static layerFor(host: Host): Layer.Layer<ServiceManager, never, FileSystem.FileSystem | ChildProcessSpawner> {
    return Layer.effect(ServiceManager, make(host))
  }
  /** Those of this machine. */
  static readonly layer: Layer.Layer<ServiceManager, never, FileSystem.FileSystem | ChildProcessSpawner> = Layer.unwrap(
    Effect.sync(() => ServiceManager.layerFor(currentHost()))
  )
}

const noSystemd = "this machine was not started by systemd: start the server from its own init, or in a container"

const unsupported = (detail: string): Effect.Effect<never, ServiceError> =>
  Effect.fail(new ServiceError({ reason: "Unsupported", detail }))

const denied = (host: Host, what: string): ServiceError =>
  new ServiceError({
    reason: "PermissionDenied",
    detail:
      host.platform === "win32"
        ? `${what}: run it again in a terminal that was opened as administrator`
        : `${what}: run it again with sudo, or choose a service of your own user`
  })

const deniedOutput = /access (?:is )?denied|permission denied|not permitted|authentication (?:is )?required|\b740\b/i

const commandError = (host: Host, query: ServicePlan.Query, exitCode: number, output: string): ServiceError => {
  const line = ServicePlan.commandLine(query)
  const said = output === "" ? "" : `: ${output.split("\n").slice(-5).join("\n")}`
  return deniedOutput.test(output)
    ? denied(host, `no permission for ${line}`)
    : new ServiceError({ reason: "CommandFailed", detail: `${line} ended with status ${exitCode}${said}` })
}

const kindOf = (error: PlatformError): string => error.reason._tag
