/**
 * Tells of connections that were refused: at once of the first for a limit, and of those that follow within a second
 * together, so that a flood of connections is no flood of log lines.
 */
import type { Refusal } from "./Admission.ts"
import type { Deadline, DeadlineWheel } from "./DeadlineWheel.ts"
import type { Endpoint } from "./Transport.ts"

/** A connection that was refused, the last of `count` for the same limit. */
export interface RefusalReport extends Refusal {
  readonly remote: Endpoint
  readonly listener: string
  readonly count: number
}

interface Tally {
  /** Until when nothing more is told. */
  untilMs: number
  waiting: RefusalReport | undefined
}

const quietMs = 1_000

/** Collects refusals. */
export class RefusalReports implements Deadline {
  readonly #wheel: DeadlineWheel
  readonly #tell: (report: RefusalReport) => void
  readonly #tallies = new Map<string, Tally>()

  constructor(wheel: DeadlineWheel, tell: (report: RefusalReport) => void) {
    this.#wheel = wheel
    this.#tell = tell
  }

  /** Refusals that nobody was told of yet. */
  get untold(): number {
    let count = 0
    for (const { waiting } of this.#tallies.values()) count += waiting?.count ?? 0
    return count
  }

  /** Takes a refusal. */
  add(refusal: Refusal, remote: Endpoint, listener: string, nowMs: number): void {
    const tally = this.#tallies.get(refusal.limit)
    if (tally === undefined || (tally.waiting === undefined && nowMs >= tally.untilMs)) {
      this.#tallies.set(refusal.limit, { untilMs: nowMs + quietMs, waiting: undefined })
      this.#tell({ ...refusal, remote, listener, count: 1 })
      return
    }
    const isFirst = tally.waiting === undefined
    tally.waiting = { ...refusal, remote, listener, count: (tally.waiting?.count ?? 0) + 1 }
    if (isFirst) this.#wheel.schedule(this)
  }

  /** Tells what waits to be told. */
  flush(): void {
    for (const tally of this.#tallies.values()) this.#flush(tally)
  }

  /** When the first of those that wait is to be told. */
  readonly nextDeadlineMs = (): number => {
    let atMs = Number.POSITIVE_INFINITY
    for (const { untilMs, waiting } of this.#tallies.values())
      if (waiting !== undefined && untilMs < atMs) atMs = untilMs
    return atMs
  }

  /** Tells what is due. */
  readonly tick = (nowMs: number): void => {
    for (const tally of this.#tallies.values()) {
      if (tally.waiting === undefined || tally.untilMs > nowMs) continue
      tally.untilMs = nowMs + quietMs
      this.#flush(tally)
    }
  }

  #flush(tally: Tally): void {
    const { waiting } = tally
    tally.waiting = undefined
    if (waiting !== undefined) this.#tell(waiting)
  }
}
