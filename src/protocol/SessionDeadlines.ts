/**
 * The deadlines of a server session: handshake, connect, publish or play, and signs of life.
 *
 * Time comes in with every call, in milliseconds of any monotonic clock. Nothing here extends the deadline of a
 * handshake: a client that sends one byte a second is as slow as one that sends none.
 */
import type { SessionOptions } from "./Session.ts"
import { SessionError } from "./Session.ts"

/**
 * Where a session stands, for its deadlines.
 *
 * `Handshake`: the handshake is not complete. `WaitingConnect`: no connect command came. `Idle`: connected, and neither
 * publishing nor playing. `Busy`: publishing or playing. `Deciding`: the server itself makes the client wait.
 *
 * Only the busy are asked for signs of life. Nothing is lost with a dead client that does nothing, and its time is limited
 * anyway; a thousand of them that answer would wake a server that is to sleep.
 */
export type DeadlinePhase = "Handshake" | "WaitingConnect" | "Idle" | "Busy" | "Deciding"

/** What is due: nothing, a ping to a silent client, or the end of the connection. */
export type Due = undefined | "Ping" | SessionError

/** The deadlines of one session, accepted at `nowMs`. */
export class SessionDeadlines {
  readonly #options: SessionOptions
  readonly #acceptedMs: number
  #connectedMs: number
  #idleSinceMs: number
  #lastReceivedMs: number
  /** When the client was asked for a sign of life in this silence. */
  #pingedMs: number | undefined

  constructor(options: SessionOptions, nowMs: number) {
    this.#options = options
    this.#acceptedMs = nowMs
    this.#connectedMs = nowMs
    this.#idleSinceMs = nowMs
    this.#lastReceivedMs = nowMs
  }

  /** Bytes came: any are a sign of life, since OBS never answers a ping while it publishes. */
  received(nowMs: number): void {
    this.#lastReceivedMs = nowMs
    this.#pingedMs = undefined
  }

  /** The handshake is complete: the wait for connect begins. */
  handshaken(nowMs: number): void {
    this.#connectedMs = nowMs
  }

  /** The session neither publishes nor plays from now on. */
  idle(nowMs: number): void {
    this.#idleSinceMs = nowMs
  }

  /** Tells what is due at `nowMs`. A `Ping` is told once for each silence. */
  due(phase: DeadlinePhase, nowMs: number): Due {
    const options = this.#options
    switch (phase) {
      case "Deciding":
        return undefined
      case "Handshake":
        return nowMs - this.#acceptedMs >= options.handshakeTimeoutMs
          ? timeout("HandshakeTimeout", "handshake not complete after", nowMs - this.#acceptedMs)
          : undefined
      case "WaitingConnect":
        return nowMs - this.#connectedMs >= options.connectTimeoutMs
          ? timeout("ConnectTimeout", "no connect command within", nowMs - this.#connectedMs)
          : undefined
      case "Idle":
        return nowMs - this.#idleSinceMs >= options.idleTimeoutMs
          ? timeout("IdleTimeout", "neither published nor played for", nowMs - this.#idleSinceMs)
          : undefined
    }
    const silentMs = nowMs - this.#lastReceivedMs
    if (this.#pingedMs !== undefined) {
      return nowMs >= this.#giveUpMs(this.#pingedMs)
        ? timeout("PingTimeout", "nothing received for", silentMs)
        : undefined
    }
    if (silentMs < options.pingIntervalMs) return undefined
    this.#pingedMs = nowMs
    return "Ping"
  }

  /**
   * Until when a client may answer a ping. Nobody is given up who was not asked: a viewer has nothing to say by itself, and
   * the server may have been held up, or the machine asleep.
   */
  #giveUpMs(pingedMs: number): number {
    const { pingIntervalMs, pingTimeoutMs } = this.#options
    return Math.max(this.#lastReceivedMs + pingTimeoutMs, pingedMs + pingTimeoutMs - pingIntervalMs)
  }

  /** When something may be due next; infinity for never. */
  nextMs(phase: DeadlinePhase): number {
    const options = this.#options
    switch (phase) {
      case "Deciding":
        return Number.POSITIVE_INFINITY
      case "Handshake":
        return this.#acceptedMs + options.handshakeTimeoutMs
      case "WaitingConnect":
        return this.#connectedMs + options.connectTimeoutMs
      case "Idle":
        return this.#idleSinceMs + options.idleTimeoutMs
      case "Busy":
        return this.#pingedMs === undefined
          ? this.#lastReceivedMs + options.pingIntervalMs
          : this.#giveUpMs(this.#pingedMs)
    }
  }
}

const timeout = (
  reason: "HandshakeTimeout" | "ConnectTimeout" | "IdleTimeout" | "PingTimeout",
  what: string,
  elapsedMs: number
): SessionError => new SessionError({ reason, detail: `${what} ${(elapsedMs / 1000).toFixed(1)} s` })
