/**
 * Whether the server is well: checks that any part of it can register, and two questions that are answered from them.
 *
 * `live` asks whether the process should go on at all, `ready` whether it should be sent new clients. Nothing is checked
 * until somebody asks; every check has a bounded time, and one that throws, fails or takes too long has failed.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { RuntimeStats } from "./RuntimeMetrics.ts"

/** What a check found; `reason` is a sentence for an operator: why it is not ok, or a remark where it is. */
export interface CheckResult {
  readonly ok: boolean
  readonly reason?: string
}

/** A check, by a name that no other one has. */
export interface Check<E = never> {
  readonly name: string
  readonly check: Effect.Effect<CheckResult, E>
  /**
   * Whether only a restart helps where it fails: such a check counts for `live` and `ready`, any other for `ready` only.
   */
  readonly critical: boolean
}

/** One line of a report. `reason` is empty where the check has nothing to say. */
export interface ReportedCheck {
  readonly name: string
  readonly ok: boolean
  readonly reason: string
}

/** The answer to a question. Checks are in the order in which they were registered. */
export interface Report {
  readonly status: "ok" | "failing"
  readonly checks: ReadonlyArray<ReportedCheck>
}

/** The answer to a question is another one than the last time; before the first time it is taken to be `ok`. */
export interface Transition {
  readonly probe: "live" | "ready"
  readonly status: Report["status"]
  /** The checks that fail now. */
  readonly failing: ReadonlyArray<ReportedCheck>
}

/** How long a check may take. */
export const checkTimeout = "1 second"

const capacity = 64

/** The health of a server. */
export class Health extends Context.Service<
  Health,
  {
    /** Adds a check until the scope closes. It takes the place of one with the same name. */
    readonly register: <E>(check: Check<E>) => Effect.Effect<void, never, Scope.Scope>
    /** Whether the process should go on: runs the critical checks. */
    readonly live: Effect.Effect<Report>
    /** Whether the server should be sent new clients: runs all checks. */
    readonly ready: Effect.Effect<Report>
    /** Changes from the moment on at which the stream is run. They are noticed when somebody asks. */
    readonly transitions: Stream.Stream<Transition>
  }
>()("effect-rtmp/observability/Health") {
  /** Health without a check: live and ready. */
  static readonly layer: Layer.Layer<Health> = Layer.suspend(() => Layer.effect(Health, make))
}

/** What the process must keep to. */
export interface RuntimeLimits {
  /** The lag of the event loop, in milliseconds, that one in a hundred samples of the last seconds may exceed. */
  readonly maxEventLoopLagMs: number
  /** Resident memory, in bytes; no limit where left out. */
  readonly maxMemoryBytes?: number
}

/** Registers the checks `eventLoop` and, where there is a limit, `residentMemory`. Neither is critical. */
export const layerRuntime = (limits: RuntimeLimits): Layer.Layer<never, never, Health | RuntimeStats> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const health = yield* Health
      const stats = yield* RuntimeStats
      yield* health.register({
        name: "eventLoop",
        critical: false,
        check: Effect.sync(() => {
          const lagMs = Math.round(stats.read().eventLoopLag.p99Ms)
          if (lagMs <= limits.maxEventLoopLagMs) return passed
          return failed(`the event loop is ${lagMs} ms late, more than ${limits.maxEventLoopLagMs} ms`)
        })
      })
      const { maxMemoryBytes } = limits
      if (maxMemoryBytes === undefined) return
      yield* health.register({
        name: "residentMemory",
        critical: false,
        check: Effect.sync(() => {
          const { resident } = stats.read().memory
          if (resident <= maxMemoryBytes) return passed
          return failed(`the process holds ${mebibytes(resident)} MiB, more than ${mebibytes(maxMemoryBytes)} MiB`)
        })
      })
    })
  )

/** The result of a check that found nothing. */
export const passed: CheckResult = { ok: true }

/** The result of a check that found something; `reason` is a sentence without a full stop. */
export const failed = (reason: string): CheckResult => ({ ok: false, reason })

const mebibytes = (bytes: number): number => Math.round(bytes / (1024 * 1024))

const make = Effect.gen(function* () {
  const checks = new Map<string, Check<unknown>>()
  const hub = yield* Effect.acquireRelease(PubSub.sliding<Transition>(capacity), PubSub.shutdown)
  const last = { live: "ok" as Report["status"], ready: "ok" as Report["status"] }

  const ask = (probe: Transition["probe"]): Effect.Effect<Report> =>
    Effect.suspend(() =>
      Effect.forEach(
        [...checks.values()].filter((check) => probe === "ready" || check.critical),
        run,
        { concurrency: "unbounded" }
      )
    ).pipe(
      Effect.map(
        (results): Report => ({
          status: results.every((result) => result.ok) ? "ok" : "failing",
          checks: results
        })
      ),
      Effect.tap((report) => {
        if (report.status === last[probe]) return Effect.void
        last[probe] = report.status
        return PubSub.publish(hub, {
          probe,
          status: report.status,
          failing: report.checks.filter((check) => !check.ok)
        })
      })
    )

  return Health.of({
    register: (check) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          checks.set(check.name, check)
        }),
        () =>
          Effect.sync(() => {
            if (checks.get(check.name) === check) checks.delete(check.name)
          })
      ),
    live: ask("live"),
    ready: ask("ready"),
    transitions: Stream.fromPubSub(hub)
  })
})

const run = ({ check, name }: Check<unknown>): Effect.Effect<ReportedCheck> =>
  Effect.suspend(() => check).pipe(
    Effect.timeoutOrElse({
      duration: checkTimeout,
      orElse: () => Effect.succeed(failed(`no answer within ${checkTimeout}`))
    }),
    Effect.exit,
    Effect.map((exit) => {
      const result = Exit.isSuccess(exit) ? exit.value : failed(firstLine(Cause.pretty(exit.cause)))
      return { name, ok: result.ok, reason: result.reason ?? (result.ok ? "" : "the check failed") }
    })
  )

const firstLine = (text: string): string => text.split("\n", 1)[0]!
