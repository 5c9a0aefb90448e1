/**
 * What `effect-rtmp service` does; loaded only when it is asked for.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { FileSystem } from "effect/FileSystem"
import * as Option from "effect/Option"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as ConfigDocs from "../../config/ConfigDocs.ts"
import type { ConfigError } from "../../config/ConfigError.ts"
import * as ConfigSource from "../../config/ConfigSource.ts"
import { askingModel, keys } from "../../config/RtmpConfig.ts"
import * as NodeConfigFile from "../NodeConfigFile.ts"
import { type InstallRequest, ServiceManager, type ServiceManagerShape, type Target } from "../ServiceManager.ts"
import * as ServicePlan from "../ServicePlan.ts"
import type { ServiceError } from "../ServiceSettings.ts"
import * as ServiceStatus from "../ServiceStatus.ts"
import { type CommandError, fail, type Outcome } from "./CommandError.ts"
import * as Output from "./Output.ts"

type Needs = FileSystem | ChildProcessSpawner

interface TargetFlags {
  readonly instance: Option.Option<string>
  readonly scope: "system" | "user"
  readonly json: boolean
}

interface PlanFlags extends TargetFlags {
  readonly dryRun: boolean
}

/** The flags of `service install`, as they were given. */
export interface InstallFlags extends PlanFlags {
  readonly account: Option.Option<string>
  readonly env: Readonly<Record<string, string>>
  readonly nodeArgs: ReadonlyArray<string>
  readonly lowPorts: boolean
  readonly socketPort: Option.Option<number>
  readonly wrapper: Option.Option<string>
}

/** Installs the service, or prints what that would take. `config` is what `--config` says. */
export const install = (
  config: string | undefined,
  flags: InstallFlags
): Effect.Effect<void, CommandError | ConfigError, Needs> =>
  withManager((services) =>
    Effect.gen(function* () {
      const configPath = config === undefined ? undefined : Path.resolve(config)
      const request: InstallRequest = {
        ...(yield* configured(configPath)),
        ...targetOf(flags),
        dryRun: flags.dryRun,
        configPath,
        configText: ConfigDocs.yamlFile(keys, schemaFile),
        user: Option.getOrUndefined(flags.account),
        env: flags.env,
        nodeArgs: flags.nodeArgs,
        lowPorts: flags.lowPorts,
        socketPort: Option.getOrUndefined(flags.socketPort),
        wrapper: Option.getOrUndefined(Option.map(flags.wrapper, (path) => Path.resolve(path)))
      }
      yield* report(flags, yield* Effect.mapError(services.install(request), explained), "the service is installed")
    })
  )

/** Removes the service, or prints what that would take. */
export const uninstall = (flags: PlanFlags): Effect.Effect<void, CommandError, Needs> =>
  withManager((services) =>
    Effect.flatMap(
      Effect.mapError(services.uninstall({ ...targetOf(flags), dryRun: flags.dryRun }), explained),
      (plan) => report(flags, plan, "the service is removed")
    )
  )

/** Prints how the service is; fails, without a message, where it does not run. */
export const status = (flags: TargetFlags): Effect.Effect<void, CommandError, Needs> =>
  withManager((services) =>
    Effect.gen(function* () {
      const found = yield* Effect.mapError(services.status(targetOf(flags)), explained)
      const instance = Option.getOrUndefined(flags.instance)
      const name = instance === undefined ? "effect-rtmp" : `effect-rtmp-${instance}`
      if (flags.json) {
        const { pid = null, startsAtBoot = null, state, text } = found
        yield* Output.json({ name, state, startsAtBoot, pid, text })
      } else yield* Console.log(ServiceStatus.describe(name, found))
      if (found.state !== "Running") return yield* fail("failed", "")
    })
  )

/** The JSON Schema that this package brings along, for the editor of whoever edits the configuration. */
const schemaFile = fileURLToPath(new URL("../../../config/effect-rtmp.schema.json", import.meta.url))

const withManager = <A, E>(use: (services: ServiceManagerShape) => Effect.Effect<A, E>): Effect.Effect<A, E, Needs> =>
  Effect.flatMap(Effect.serviceOption(ServiceManager), (services) =>
    Option.isSome(services)
      ? use(services.value)
      : Effect.provide(Effect.flatMap(ServiceManager, use), ServiceManager.layer)
  )

const targetOf = ({ instance, scope }: Pick<TargetFlags, "instance" | "scope">): Target => ({
  instance: Option.getOrUndefined(instance),
  scope
})

/** What the service manager must know of a configuration that is there already. */
const configured = (path: string | undefined): Effect.Effect<Partial<InstallRequest>, ConfigError> => {
  if (path === undefined || !Fs.existsSync(path)) return Effect.succeed({})
  return Effect.gen(function* () {
    const { config } = yield* Effect.fromResult(ConfigSource.load(askingModel, [yield* NodeConfigFile.read(path)]))
    return {
      shutdownGraceMs: Duration.toMillis(config.shutdown.grace),
      ...(config.listen.port === 0 ? {} : { ports: [config.listen.port] })
    }
  })
}

const report = (flags: PlanFlags, plan: ServicePlan.Plan, done: string): Effect.Effect<void> => {
  if (flags.json) return Output.json({ dryRun: flags.dryRun, ...plan })
  const notes = plan.notes.map((note) => `note: ${note}`)
  return Output.lines(flags.dryRun ? ServicePlan.describe(plan) : [done, ...notes])
}

const outcomes: Readonly<Record<ServiceError["reason"], Exclude<Outcome, "ok">>> = {
  InvalidSetting: "usage",
  Unsupported: "unavailable",
  PermissionDenied: "noPermission",
  NotFound: "failed",
  CommandFailed: "failed",
  FileFailed: "failed"
}

const explained = (error: ServiceError): CommandError => fail(outcomes[error.reason], error.message)
