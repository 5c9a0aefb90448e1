/**
 * Keeps the long-running parts of a server alive: a part that fails or dies is logged, counted and started again.
 *
 * A part (a listener, the API, a watcher) is an Effect that runs until it is interrupted. When it ends by itself with a
 * failure or a defect, it is run again after a pause that the schedule gives; once it has run well for a while, the
 * schedule begins anew. The log hears of a failure once, and of the same one again only from the level `debug` on, until the
 * part has run well. Connections are no parts: each ends alone and is never restarted.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import { Diagnostics } from "./Diagnostics.ts"

/**
 * How a part is doing.
 *
 * `Running`; `Waiting` to be started again; `Stopped`, because it was interrupted or came to an end; `Failed`, because
 * its schedule has come to an end.
 */
export type ComponentState = "Running" | "Waiting" | "Stopped" | "Failed"

/** What is known of a part. */
export interface ComponentStatus {
  readonly name: string
  readonly state: ComponentState
  /** Whether the server is of no use without it. */
  readonly critical: boolean
  /** How often it was started again, and why the last time; empty where it never failed. */
  readonly restarts: number
  readonly lastError: string
  /** When it came into this state, in milliseconds since 1970. */
  readonly since: number
}

/** A critical part failed, and its schedule allows no further start. */
export class ComponentFailed extends Data.TaggedError("ComponentFailed")<{
  readonly component: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.component} failed for good: ${this.detail}`
  }
}

/**
 * How a part is supervised.
 *
 * - `schedule`: the pauses before each new start, `defaultSchedule` where left out; a schedule that ends gives up.
 * - `critical`: whether giving up is a failure of whoever supervises; false where left out.
 * - `resetAfter`: how long a part must have run for the schedule to begin anew; one minute where left out.
 */
export interface SuperviseOptions {
  readonly schedule?: Schedule.Schedule<unknown>
  readonly critical?: boolean
  readonly resetAfter?: Duration.Input
}

/** Pauses from a fifth of a second, doubling, up to half a minute, each a fifth more or less; it never ends. */
export const defaultSchedule: Schedule.Schedule<unknown> = Schedule.jittered(
  Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("30 seconds")])
)

/** Supervises the parts of one server. */
export class Supervisor extends Context.Service<
  Supervisor,
  {
    /**
     * Runs a part and starts it again when it fails or dies. Returns when the part ends by itself, and when a part that
     * is not critical is given up; fails where a critical one is. The name is that of its status; a second part of the
     * same name takes the place of one that has ended.
     */
    readonly supervise: <A, E, R>(
      name: string,
      component: Effect.Effect<A, E, R>,
      options?: SuperviseOptions
    ) => Effect.Effect<void, ComponentFailed, R>
    /** All parts, in the order in which they were begun. */
    readonly components: Effect.Effect<ReadonlyArray<ComponentStatus>>
  }
>()("effect-rtmp/server/Supervisor") {
  /**
   * The supervisor of what is around, where there is one, so that all parts of a process stand in one list; otherwise a new
   * one, whose parts are in the diagnostic report.
   */
  static readonly layer: Layer.Layer<Supervisor> = Layer.suspend(() =>
    Layer.effect(
      Supervisor,
      Effect.flatMap(Effect.serviceOption(Supervisor), (around) =>
        Option.isSome(around) ? Effect.succeed(around.value) : makeReported
      )
    )
  )
}

const makeReported = Effect.gen(function* () {
  const supervisor = yield* make
  const diagnostics = yield* Diagnostics
  yield* Effect.acquireRelease(
    Effect.sync(() => diagnostics.contribute("components", () => Effect.runSync(supervisor.components))),
    (remove) => Effect.sync(remove)
  )
  return supervisor
})

const maxErrorCharacters = 500

const describe = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  const text = error instanceof Error ? error.message : String(error)
  return text.slice(0, maxErrorCharacters)
}

/** Makes a supervisor. What fails is also noted in the `Diagnostics` of the environment. */
export const make: Effect.Effect<Supervisor["Service"]> = Effect.gen(function* () {
  const clock = yield* Effect.clockWith(Effect.succeed)
  const diagnostics = yield* Diagnostics
  const statuses = new Map<string, ComponentStatus>()

  const blank = { critical: false, restarts: 0, lastError: "" }
  const set = (name: string, change: Partial<ComponentStatus> & Pick<ComponentStatus, "state">): ComponentStatus => {
    const since = clock.currentTimeMillisUnsafe()
    const status: ComponentStatus = { ...blank, ...statuses.get(name), ...change, name, since }
    statuses.set(name, status)
    return status
  }

  const supervise = Effect.fnUntraced(function* <A, E, R>(
    name: string,
    component: Effect.Effect<A, E, R>,
    options: SuperviseOptions = {}
  ): Effect.fn.Return<void, ComponentFailed, R> {
    const { critical = false, schedule = defaultSchedule } = options
    const resetAfterMs = Duration.toMillis(Duration.fromInputUnsafe(options.resetAfter ?? "1 minute"))
    let step = yield* Schedule.toStepWithMetadata(schedule)
    let restarts = 0
    let told = ""
    statuses.delete(name)
    while (true) {
      const startedAt = set(name, { state: "Running", critical, restarts }).since
      const exit = yield* Effect.exit(component)
      if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return
      const now = clock.currentTimeMillisUnsafe()
      if (now - startedAt >= resetAfterMs) {
        step = yield* Schedule.toStepWithMetadata(schedule)
        told = ""
      }
      const lastError = describe(exit.cause)
      set(name, { state: "Waiting", lastError })
      // What goes on for hours, a disk that is full, is news once.
      const isNews = lastError !== told
      told = lastError
      if (isNews) diagnostics.note(`${name}: ${lastError}`, now)
      const failed = isNews ? Effect.logError : Effect.logDebug
      yield* failed("component failed", exit.cause).pipe(
        Effect.annotateLogs({ component: name, restarts, error: lastError })
      )
      const goesOn = yield* Pull.matchEffect(step(undefined), {
        onSuccess: () => Effect.succeed(true),
        onDone: () => Effect.succeed(false),
        onFailure: () => Effect.succeed(false)
      })
      if (!goesOn) {
        set(name, { state: "Failed" })
        yield* Effect.logError("component given up").pipe(Effect.annotateLogs({ component: name, critical }))
        if (critical) return yield* new ComponentFailed({ component: name, detail: lastError })
        return
      }
      restarts++
      const restarting = isNews ? Effect.logWarning : Effect.logDebug
      yield* restarting("component restarts").pipe(Effect.annotateLogs({ component: name, restarts }))
    }
  })

  return Supervisor.of({
    supervise: (name, component, options) =>
      Effect.ensuring(
        supervise(name, component, options),
        Effect.sync(() => {
          if (statuses.get(name)?.state !== "Failed") set(name, { state: "Stopped" })
        })
      ),
    components: Effect.sync(() => [...statuses.values()])
  })
})
