/**
 * Deadlines of thousands of connections with one timer.
 *
 * Whoever has a deadline registers once; the wheel calls it when its time has come and asks for the next one. A
 * deadline that moved away meanwhile (a connection that has received bytes pings later) costs nothing until its old
 * time comes. With nothing registered there is no timer at all: an idle server does not wake.
 *
 * Deadlines are rounded up, to a tenth of a second when they are near and to a whole second otherwise, so that those of
 * many connections share one wake-up.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"

/** Something that has to be called at certain times. */
export interface Deadline {
  /** When it wants to be called, in milliseconds of the wheel's clock; infinity for not at all. */
  readonly nextDeadlineMs: () => number
  /** Does what is due. */
  readonly tick: (nowMs: number) => void
}

/** The wheel. All calls are synchronous. */
export interface DeadlineWheel {
  /** Monotonic milliseconds, the time that sessions and streams live by. */
  readonly nowMs: () => number
  /** Registers a deadline, or tells that a registered one now comes earlier. Does nothing where it does not. */
  readonly schedule: (deadline: Deadline) => void
  /** Forgets a deadline. */
  readonly cancel: (deadline: Deadline) => void
}

const coarseMs = 1_000
const fineMs = 100
// Deadlines nearer than this are worth a wake-up of their own.
const nearMs = 15_000

// Never now or earlier: a deadline that stays due is called again, but not before everybody else had a turn.
const roundUp = (deadlineMs: number, nowMs: number): number => {
  const grain = deadlineMs - nowMs <= nearMs ? fineMs : coarseMs
  return Math.max(Math.ceil(deadlineMs / grain), Math.floor(nowMs / grain) + 1) * grain
}

/** Monotonic milliseconds of a clock, with an arbitrary origin. */
export const monotonicMs = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** Makes a wheel whose timer runs in a fiber of the current scope. */
export const make: Effect.Effect<DeadlineWheel, never, Scope.Scope> = Effect.gen(function* () {
  const clock = yield* Effect.clockWith(Effect.succeed)
  const buckets = new Map<number, Set<Deadline>>()
  const registered = new Map<Deadline, number>()
  // An offer resumes its taker in a later turn of the event loop, never on the stack of whoever schedules.
  const earlier = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
  const defects: Array<unknown> = []
  let sleepingUntil = Number.POSITIVE_INFINITY
  const nowMs = (): number => monotonicMs(clock)

  const remove = (deadline: Deadline): void => {
    const at = registered.get(deadline)
    if (at === undefined) return
    registered.delete(deadline)
    const bucket = buckets.get(at)
    if (bucket === undefined) return
    bucket.delete(deadline)
    if (bucket.size === 0) buckets.delete(at)
  }

  const schedule = (deadline: Deadline): void => {
    const wanted = deadline.nextDeadlineMs()
    if (wanted === Number.POSITIVE_INFINITY) return
    const at = roundUp(wanted, nowMs())
    const current = registered.get(deadline)
    if (current !== undefined) {
      if (current <= at) return
      remove(deadline)
    }
    registered.set(deadline, at)
    const bucket = buckets.get(at)
    if (bucket === undefined) buckets.set(at, new Set([deadline]))
    else bucket.add(deadline)
    if (at < sleepingUntil) Queue.offerUnsafe(earlier, undefined)
  }

  const earliest = (): number => {
    let at = Number.POSITIVE_INFINITY
    for (const key of buckets.keys()) if (key < at) at = key
    return at
  }

  const turn = (): void => {
    const now = nowMs()
    for (const [at, bucket] of buckets) {
      if (at > now) continue
      buckets.delete(at)
      for (const deadline of bucket) {
        registered.delete(deadline)
        try {
          if (deadline.nextDeadlineMs() <= now) deadline.tick(now)
          schedule(deadline)
        } catch (defect) {
          // One that throws is not called again; the others do not notice.
          defects.push(defect)
        }
      }
    }
  }

  const run = Effect.gen(function* () {
    while (true) {
      sleepingUntil = earliest()
      const waitMs = sleepingUntil - nowMs()
      if (waitMs > 0) {
        yield* waitMs === Number.POSITIVE_INFINITY
          ? Queue.take(earlier)
          : Effect.timeoutOption(Queue.take(earlier), Math.ceil(waitMs))
      }
      turn()
      if (defects.length > 0) yield* Effect.logError("a deadline failed", ...defects.splice(0).map(Cause.die))
    }
  })
  yield* Effect.forkScoped(run)
  return { nowMs, schedule, cancel: remove }
})
