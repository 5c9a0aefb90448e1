/**
 * Where a server is in its life, what it waits for on the way down, and what it has done until then.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type { CloseReason } from "../observability/CloseReason.ts"
import type { Deadline, DeadlineWheel } from "./DeadlineWheel.ts"
import type { RtmpConnection } from "./RtmpConnection.ts"
import type { Lifecycle } from "./ServerAdmin.ts"
import type { ServerEvent } from "./ServerEvents.ts"

/** The life of one server. It knows how many connections there are, and one deadline at a time. */
export class Life {
  /** Hears of each change. */
  onChange: (from: Lifecycle, to: Lifecycle) => void = () => {}
  readonly #wheel: DeadlineWheel
  readonly #connections: { readonly size: number }
  readonly #stopped = Latch.makeUnsafe(false)
  readonly #waiting = Latch.makeUnsafe(true)
  #state: Lifecycle = "Stopped"
  #isUrgent = false
  #deadline: Deadline | undefined

  constructor(wheel: DeadlineWheel, connections: { readonly size: number }) {
    this.#wheel = wheel
    this.#connections = connections
  }

  /** Where the server is. */
  get state(): Lifecycle {
    return this.#state
  }

  /** Whether clients are being moved away. */
  get isLeaving(): boolean {
    return this.#state === "Draining" || this.#state === "Stopping"
  }

  /** Returns when the server has stopped, not before it was started for the first time. */
  get stopped(): Effect.Effect<void> {
    return this.#stopped.await
  }

  /** Changes the state. */
  enter(to: Lifecycle): void {
    const from = this.#state
    if (from === to) return
    this.#state = to
    if (to === "Starting") this.#isUrgent = false
    if (to === "Stopped") this.#stopped.openUnsafe()
    else this.#stopped.closeUnsafe()
    this.onChange(from, to)
  }

  /** Calls back once after a time, unless `cancel` or another `after` comes first. */
  after(ms: number, run: () => void): void {
    this.cancel()
    const atMs = this.#wheel.nowMs() + ms
    const deadline: Deadline = {
      nextDeadlineMs: () => (this.#deadline === deadline ? atMs : Number.POSITIVE_INFINITY),
      tick: () => {
        this.cancel()
        run()
      }
    }
    this.#deadline = deadline
    this.#wheel.schedule(deadline)
  }

  /** Takes back what `after` was asked for. */
  cancel(): void {
    if (this.#deadline !== undefined) this.#wheel.cancel(this.#deadline)
    this.#deadline = undefined
  }

  /** The last connection has ended. */
  emptied(): void {
    this.#waiting.openUnsafe()
  }

  /** Ends all waiting, now and until the next start. */
  hurry(): void {
    this.#isUrgent = true
    this.#waiting.openUnsafe()
  }

  /**
   * Waits until no connection is left, until a time has passed, or until `hurry`. It takes no race of fibers, and so it
   * can be waited for where nothing can be interrupted: while a scope closes.
   */
  untilEmpty(ms: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#isUrgent || this.#connections.size === 0 || ms <= 0) return Effect.void
      this.#waiting.closeUnsafe()
      this.after(ms, () => this.#waiting.openUnsafe())
      return Effect.ensuring(
        this.#waiting.await,
        Effect.sync(() => this.cancel())
      )
    })
  }
}

/** What a server has counted since it was made. */
export class Counts {
  /** Connections accepted; their ids are made of it. */
  accepted = 0
  /** Connections refused for a limit. */
  refused = 0
  /** Publications begun. */
  publications = 0
  /** Handshakes completed, and those among them whose C2 did not repeat S1. */
  handshakesCompleted = 0
  /** See `handshakesCompleted`. */
  echoMismatches = 0
  /** Ends of connections by reason. */
  readonly reasons: { [Reason in CloseReason]?: number } = {}
  /** Totals of the connections that have ended. */
  readonly past = { bytesReceived: 0, bytesSent: 0, unknownMessages: 0 }

  /** Counts an event. */
  count(event: ServerEvent): void {
    switch (event._tag) {
      case "HandshakeCompleted":
        this.handshakesCompleted++
        if (!event.echoMatches) this.echoMismatches++
        break
      case "ConnectionRefused":
        this.refused += event.count ?? 1
        break
      case "PublishStarted":
        this.publications++
        break
      case "ConnectionClosed":
        this.reasons[event.reason] = (this.reasons[event.reason] ?? 0) + 1
        break
    }
  }

  /** Adds the totals of a connection that has ended. */
  ended({ session, totals }: RtmpConnection): void {
    this.past.bytesReceived += totals.bytesReceived
    this.past.bytesSent += totals.bytesSent
    this.past.unknownMessages += session.statistics.unknownMessages
  }
}
