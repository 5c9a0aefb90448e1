/**
 * What the service manager is told: ready, reloading, stopping, status, and a sign of life (`sd_notify(3)`).
 *
 * Without a `NOTIFY_SOCKET` nothing here does anything, and nothing is started. With one, a message that is lost never
 * hurts the server: the first failure is logged, the rest are silent. `SystemdNotify` says how messages travel.
 *
 * **Example** (Around a server)
 *
 * ```ts
 * const program = Effect.gen(function* () {
 *   const systemd = yield* Systemd
 *   yield* server.start
 *   yield* systemd.ready("listening on port 1935")
 *   yield* Effect.addFinalizer(() => systemd.stopping({ graceMs: 30_000 }))
 *   yield* systemd.watchdog(health.isGood)
 *   yield* Effect.forkScoped(
 *     Stream.runForEach(NodeSignals.signals(["SIGHUP"]), () => systemd.reloading(Effect.ignore(config.reload)))
 *   )
 *   return yield* Effect.never
 * })
 * ```
 */
import process from "node:process"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Environment } from "./SocketActivation.ts"
import * as SystemdNotify from "./SystemdNotify.ts"

/** What the service manager can be told. No member fails. */
export interface SystemdShape {
  /** Whether there is a service manager that listens. */
  readonly isListening: boolean
  /** Whether it wants signs of life, and how often: half of the time after which it would restart the server. */
  readonly watchdogIntervalMs: number | undefined
  /** The server takes connections. `status` is one line for `systemctl status`. */
  readonly ready: (status?: string) => Effect.Effect<void>
  /** Replaces the line of `systemctl status`. */
  readonly status: (status: string) => Effect.Effect<void>
  /**
   * Runs a reload between RELOADING and READY. READY follows however the reload ends, because the server goes on with what
   * it had, and the service manager would otherwise wait until it gives up.
   */
  readonly reloading: <A, E, R>(reload: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * The server stops. With `graceMs`, the time that its connections have to end, the service manager waits that long and
   * `killMarginMs` longer, whatever its unit says; without, as long as the unit says.
   */
  readonly stopping: (options?: { readonly graceMs?: number; readonly status?: string }) => Effect.Effect<void>
  /**
   * Gives signs of life while the scope lasts, as long as `isHealthy` says true. Starts no fiber and no timer where nobody
   * asked for them. A check that does not come back counts as no sign of life.
   */
  readonly watchdog: <R>(isHealthy: Effect.Effect<boolean, never, R>) => Effect.Effect<void, never, R | Scope.Scope>
}

/** What `make` takes from the process, so that a test can give something else. */
export interface SystemdOptions {
  readonly env: Environment
  readonly pid: number
  /** How messages travel; `undefined` when nobody listens. */
  readonly sender: SystemdNotify.Sender | undefined
  /** CLOCK_MONOTONIC of the machine, in microseconds. */
  readonly monotonicUsec: () => bigint
}

/** Time between the end of the grace and the kill, in milliseconds. */
export const killMarginMs = 15_000

/** The longest status, in bytes of UTF-8; the service manager drops longer messages. */
export const maxStatusBytes = 512

/**
 * The time between two signs of life that an environment asks for, in milliseconds: half of `WATCHDOG_USEC`, as long as
 * `WATCHDOG_PID` is this process or not there. `undefined` when none are asked for.
 */
export const watchdogIntervalMs = (env: Environment, pid: number): number | undefined => {
  if (env.WATCHDOG_PID !== undefined && env.WATCHDOG_PID !== String(pid)) return undefined
  if (!/^[1-9]\d{0,17}$/.test(env.WATCHDOG_USEC ?? "")) return undefined
  // A longer timer overflows in Node, and comes at once.
  return Math.min(Math.max(1, Math.floor(Number(env.WATCHDOG_USEC) / 2000)), 0x7fffffff)
}

/** Makes the service of a sender and an environment. */
export const make = (options: SystemdOptions): Effect.Effect<SystemdShape> =>
  Effect.map(Semaphore.make(1), (one) => {
    const { sender } = options
    const intervalMs = sender === undefined ? undefined : watchdogIntervalMs(options.env, options.pid)
    let isUseless = false
    let hasFailed = false
    const send = (...assignments: SystemdNotify.Assignments): Effect.Effect<void> => {
      if (sender === undefined) return Effect.void
      // One after the other: READY must not overtake RELOADING.
      return one.withPermit(Effect.suspend(() => (isUseless ? Effect.void : sender(assignments)))).pipe(
        Effect.catch((error) => {
          isUseless ||= error.reason === "NoCommand"
          if (hasFailed) return Effect.void
          hasFailed = true
          return Effect.logWarning("the service manager cannot be notified", {
            reason: error.reason,
            detail: error.message
          })
        })
      )
    }
    const withStatus = (status: string | undefined): SystemdNotify.Assignments =>
      status === undefined ? [] : [`STATUS=${oneLine(status)}`]
    const sign = <R>(isHealthy: Effect.Effect<boolean, never, R>): Effect.Effect<void, never, R> => {
      let wasHealthy = true
      return Effect.flatMap(isHealthy, (healthy) => {
        const changed = healthy !== wasHealthy
        wasHealthy = healthy
        if (healthy) return send("WATCHDOG=1")
        return changed
          ? Effect.logWarning("not healthy: the service manager is given no sign of life until it is, and may restart")
          : Effect.void
      })
    }
    return {
      isListening: sender !== undefined,
      watchdogIntervalMs: intervalMs,
      ready: (status) => send("READY=1", ...withStatus(status)),
      status: (status) => send(...withStatus(status)),
      reloading: (reload) =>
        Effect.acquireUseRelease(
          Effect.suspend(() => send("RELOADING=1", `MONOTONIC_USEC=${options.monotonicUsec()}`)),
          () => reload,
          () => send("READY=1")
        ),
      stopping: ({ graceMs, status } = {}) =>
        send(
          "STOPPING=1",
          ...(graceMs === undefined ? [] : [`EXTEND_TIMEOUT_USEC=${Math.ceil((graceMs + killMarginMs) * 1000)}`]),
          ...withStatus(status)
        ),
      watchdog: (isHealthy) => {
        if (intervalMs === undefined) return Effect.void
        return Effect.suspend(() => {
          const once = sign(isHealthy)
          return Effect.asVoid(Effect.forkScoped(Effect.forever(Effect.andThen(once, Effect.sleep(intervalMs)))))
        })
      }
    }
  })

/** The service manager, as a service. */
export class Systemd extends Context.Service<Systemd, SystemdShape>()("effect-rtmp/node/Systemd") {
  /** The service manager of this process, if it has one. */
  static readonly layer: Layer.Layer<Systemd> = Layer.effect(
    Systemd,
    Effect.flatMap(SystemdNotify.fromEnv(process.env, process.pid), (sender) =>
      // libuv's clock is CLOCK_MONOTONIC, which is the one that the service manager compares with.
      make({ env: process.env, pid: process.pid, sender, monotonicUsec: () => process.hrtime.bigint() / 1000n })
    )
  )
}

/** A text as one line without control characters, of at most `maxStatusBytes`. */
const oneLine = (text: string): string => {
  const line = text.replace(/\p{Cc}+/gu, " ").trim()
  let bytes = 0
  let kept = ""
  for (const character of line) {
    bytes += new TextEncoder().encode(character).length
    if (bytes > maxStatusBytes) return kept
    kept += character
  }
  return kept
}
