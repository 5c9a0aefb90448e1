/**
 * The configuration while the server runs: what is in force, and how it changes as one transaction or not at all.
 *
 * A reload loads and checks the sources again, compares, and asks every registered component to prepare for what is new.
 * When all of them have agreed the change is made; when one refuses nothing is. A key that needs a restart keeps its old
 * value in the configuration in force, so that nothing changes by half, and is named in the report until the server starts
 * anew. `RtmpConfig` remains what it was at the start.
 *
 * **Example** (A component that follows the configuration)
 *
 * ```ts
 * const config = yield* store.register({
 *   name: "log",
 *   prepare: (next) => Effect.succeed(Effect.sync(() => setLevel(next.log.level)))
 * })
 * setLevel(config.log.level)
 * ```
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { inRoom } from "../observability/LogLevels.ts"
import * as ConfigDiff from "./ConfigDiff.ts"
import { type ConfigError, type ConfigWarning, describe, describeWarning } from "./ConfigError.ts"
import * as ConfigSource from "./ConfigSource.ts"
import { keys, model, RtmpConfig, type RtmpConfigData, written } from "./RtmpConfig.ts"

/** The longest time that a component may take to prepare, in milliseconds. */
export const prepareTimeoutMs = 30_000

/** Reports that a subscriber may fall behind before it loses the oldest. */
export const capacity = 16

/**
 * A part of the server that follows the configuration.
 *
 * - `name`: how it is called in errors and in the log.
 * - `prepare`: does all that can fail, changes nothing yet, and gives the effect that makes the change. It is not asked when
 *   nothing has changed. Its scope is closed when the reload is over: with a success after the change was made, with a
 *   failure when it was given up, so that a finalizer can throw away what was prepared in vain.
 */
export interface ConfigComponent<E> {
  readonly name: string
  readonly prepare: (
    next: RtmpConfigData,
    previous: RtmpConfigData
  ) => Effect.Effect<Effect.Effect<void>, E, Scope.Scope>
}

/**
 * What a reload has done.
 *
 * - `config` and `previous`: what is in force now, and what was.
 * - `changes`: what has changed, secrets hidden; empty where the sources say what is in force already.
 * - `inForceMs`: for how long, in milliseconds, what is in force has been so; 0 where it has just changed.
 * - `needsRestart`: what the sources say otherwise than what is in force, and cannot change while the server runs.
 * - `warnings`: what in the sources has no effect.
 * - `failed`: components whose change died half-way, against their promise. They may be in any state; the log has more.
 */
export interface ReloadReport {
  readonly config: RtmpConfigData
  readonly previous: RtmpConfigData
  readonly changes: ReadonlyArray<ConfigDiff.ConfigChange>
  readonly inForceMs: number
  readonly needsRestart: ReadonlyArray<ConfigDiff.ConfigChange>
  readonly warnings: ReadonlyArray<ConfigWarning>
  readonly failed: ReadonlyArray<string>
}

/**
 * A component that did not agree to a new configuration, of which nothing has been applied.
 *
 * `reason` is `Refused` for a failure of the component, `Died` for a defect in it, and `TimedOut`; `detail` is in words.
 */
export class ReloadError extends Data.TaggedError("ReloadError")<{
  readonly component: string
  readonly reason: "Refused" | "Died" | "TimedOut"
  readonly detail: string
}> {
  override get message(): string {
    return `the configuration was not changed, and the old one stays in force, because of ${this.component}: ${this.detail}`
  }
}

/** What a `ConfigStore` offers. */
export interface ConfigStoreShape {
  /** The configuration in force. */
  readonly current: Effect.Effect<RtmpConfigData>
  /** The configuration in force with the origins of its values, and the warnings of the last load that was applied. */
  readonly loaded: Effect.Effect<ConfigSource.LoadedConfig<RtmpConfigData>>
  /**
   * Loads the sources again and applies what has changed, or nothing. One reload runs at a time; others wait. What it did,
   * or why it did nothing, is logged here, whoever asked for it.
   */
  readonly reload: Effect.Effect<ReloadReport, ConfigError | ReloadError>
  /** The reports of reloads that have changed something, from the moment on at which the stream is run. */
  readonly changes: Stream.Stream<ReloadReport>
  /**
   * Lets a component follow the configuration until its scope ends, and gives the one in force, to start with. No change
   * is lost in between.
   */
  readonly register: <E>(component: ConfigComponent<E>) => Effect.Effect<RtmpConfigData, never, Scope.Scope>
}

/** The configuration while the server runs, as a service. */
export class ConfigStore extends Context.Service<ConfigStore, ConfigStoreShape>()("effect-rtmp/config/ConfigStore") {
  /**
   * Keeps a configuration that can be loaded again, and offers `RtmpConfig` as it was at the start. `initial` saves the first
   * load where somebody has done it already.
   */
  static readonly layer = <R>(
    load: Effect.Effect<ConfigSource.LoadedConfig<RtmpConfigData>, ConfigError, R>,
    initial?: ConfigSource.LoadedConfig<RtmpConfigData>
  ): Layer.Layer<ConfigStore | RtmpConfig, ConfigError, R> =>
    Layer.effectContext(
      Effect.gen(function* () {
        const context = yield* Effect.context<R>()
        const first = initial ?? (yield* load)
        const store = yield* make(first, Effect.provideContext(load, context))
        return Context.make(RtmpConfig, first.config).pipe(Context.add(ConfigStore, store))
      })
    )

  /** Keeps the configuration of `RtmpConfig`, which never changes: for servers that are put together in code. */
  static readonly layerStatic: Layer.Layer<ConfigStore, never, RtmpConfig> = Layer.effect(
    ConfigStore,
    Effect.gen(function* () {
      const loaded = { config: yield* RtmpConfig, warnings: [], origins: new Map<string, string>() }
      return yield* make(loaded, Effect.succeed(loaded))
    })
  )
}

const make = (
  initial: ConfigSource.LoadedConfig<RtmpConfigData>,
  load: Effect.Effect<ConfigSource.LoadedConfig<RtmpConfigData>, ConfigError>
): Effect.Effect<ConfigStoreShape, never, Scope.Scope> =>
  Effect.gen(function* () {
    const hub = yield* Effect.acquireRelease(PubSub.sliding<ReloadReport>(capacity), PubSub.shutdown)
    const oneAtATime = yield* Semaphore.make(1)
    const components = new Set<ConfigComponent<unknown>>()
    const clock = yield* Clock.Clock
    let inForce = initial
    let sinceMs = clock.currentTimeMillisUnsafe()

    /** Prepares all components, those too that register meanwhile, and then changes over without a step in between. */
    const transact = (
      next: ConfigSource.LoadedConfig<RtmpConfigData>
    ): Effect.Effect<ReadonlyArray<string>, ReloadError> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const previous = inForce.config
          const commits = new Map<ConfigComponent<unknown>, Effect.Effect<void>>()
          for (;;) {
            const component = [...components].find((it) => !commits.has(it))
            if (component === undefined) break
            commits.set(component, yield* restore(prepare(component, next.config, previous)))
          }
          inForce = next
          const failed: Array<string> = []
          for (const [component, commit] of commits) {
            if (!components.has(component)) continue
            const exit = yield* Effect.exit(commit)
            if (Exit.isSuccess(exit)) continue
            failed.push(component.name)
            yield* Effect.logError("a component failed to take over the configuration", exit.cause, {
              component: component.name
            })
          }
          return failed
        }).pipe(Effect.scoped)
      )

    const reload = Effect.gen(function* () {
      const wanted = yield* load
      const previous = inForce.config
      const { changes, needsRestart, next } = yield* Effect.fromResult(split(inForce, wanted))
      const failed = changes.length > 0 ? yield* transact(next) : []
      const nowMs = clock.currentTimeMillisUnsafe()
      if (changes.length > 0) sinceMs = nowMs
      else inForce = next
      const { warnings } = wanted
      const inForceMs = Math.max(0, nowMs - sinceMs)
      const report = { config: inForce.config, previous, changes, inForceMs, needsRestart, warnings, failed }
      for (const warning of warnings) yield* Effect.logWarning(describeWarning(warning))
      yield* changes.length === 0
        ? Effect.logInfo("the configuration is in force already", { inForceMs, ...waiting(needsRestart) })
        : Effect.logInfo("the configuration has changed", {
            changes: changes.map(ConfigDiff.describe).join("; "),
            ...waiting(needsRestart)
          })
      if (changes.length > 0) yield* PubSub.publish(hub, report)
      return report
    }).pipe(
      Effect.tapError((error) => Effect.logError(refusalOf(error))),
      inRoom("config")
    )

    return {
      current: Effect.sync(() => inForce.config),
      loaded: Effect.sync(() => inForce),
      reload: Semaphore.withPermit(oneAtATime, reload),
      changes: Stream.fromPubSub(hub),
      register: (component) =>
        Effect.map(
          Effect.acquireRelease(
            Effect.sync(() => {
              // One entry for each registration, also where somebody registers the same object twice.
              const entry: ConfigComponent<unknown> = { name: component.name, prepare: component.prepare }
              components.add(entry)
              return entry
            }),
            (entry) => Effect.sync(() => components.delete(entry))
          ),
          () => inForce.config
        )
    }
  })

const waiting = (needsRestart: ReadonlyArray<ConfigDiff.ConfigChange>) =>
  needsRestart.length === 0 ? {} : { needsRestart: needsRestart.map(({ path }) => path).join(", ") }

/** Why nothing has changed, as one line. */
const refusalOf = (error: ConfigError | ReloadError): string => {
  if (error._tag === "ReloadError") return error.message
  const why = error.problems.length > 0 ? error.problems.map(describe).join("; ") : error.message
  return `the configuration was not changed, and the old one stays in force: ${why}`
}

const prepare = (
  component: ConfigComponent<unknown>,
  next: RtmpConfigData,
  previous: RtmpConfigData
): Effect.Effect<Effect.Effect<void>, ReloadError, Scope.Scope> => {
  const refusal = (reason: ReloadError["reason"], detail: string) =>
    new ReloadError({ component: component.name, reason, detail })
  return Effect.suspend(() => component.prepare(next, previous)).pipe(
    Effect.catchCause((cause) => {
      if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
      const reason = Cause.hasDies(cause) ? "Died" : "Refused"
      return Effect.fail(refusal(reason, wordsOf(Cause.squash(cause))))
    }),
    Effect.timeoutOrElse({
      duration: prepareTimeoutMs,
      orElse: () => Effect.fail(refusal("TimedOut", `it was not ready within ${prepareTimeoutMs / 1000} seconds`))
    })
  )
}

const wordsOf = (error: unknown): string => {
  if (error instanceof Error) return error.message
  return typeof error === "string" ? error : Formatter.format(error)
}

/** Parts what can change at once from what waits for a restart, and puts together what will be in force. */
const split = (
  inForce: ConfigSource.LoadedConfig<RtmpConfigData>,
  wanted: ConfigSource.LoadedConfig<RtmpConfigData>
): Result.Result<
  {
    readonly changes: ReadonlyArray<ConfigDiff.ConfigChange>
    readonly needsRestart: ReadonlyArray<ConfigDiff.ConfigChange>
    readonly next: ConfigSource.LoadedConfig<RtmpConfigData>
  },
  ConfigError
> => {
  const differences = ConfigDiff.diff(inForce.config, wanted.config)
  const needsRestart = differences.filter((change) => change.restart)
  const changes = differences.filter((change) => !change.restart)
  if (needsRestart.length === 0) return Result.succeed({ changes, needsRestart, next: wanted })

  const kept = new Set(needsRestart.map(({ path }) => path))
  const now = written(inForce.config)
  const entries = [...written(wanted.config)].map(([path, value]) => ({
    path,
    value: kept.has(path) ? now.get(path) : value,
    origin: (kept.has(path) ? inForce : wanted).origins.get(path) ?? "default"
  }))
  const mixed = ConfigSource.load(model, [{ entries, problems: [], warnings: [] }])
  if (Result.isFailure(mixed)) return Result.fail(mixed.failure)
  const origins = new Map(
    keys.flatMap(({ path }): ReadonlyArray<readonly [string, string]> => {
      const origin = (kept.has(path) ? inForce : wanted).origins.get(path)
      return origin === undefined ? [] : [[path, origin]]
    })
  )
  return Result.succeed({
    changes,
    needsRestart,
    next: { config: mixed.success.config, origins, warnings: wanted.warnings }
  })
}
