/**
 * The last seconds of a connection: its half is closed, and it is read on and dropped until the peer has closed too.
 *
 * Without that, the kernel would answer bytes that nobody read with a reset, which can overtake an error status that the
 * peer has not read yet.
 */
import type { CloseError } from "../protocol/Session.ts"

/** How long, in milliseconds, and how much, in bytes, a connection that did wrong is read on after its end. */
const lingerMs = 1_000
const lingerBytes = 4 * 1024 * 1024

/**
 * The same for a viewer that ends in order: as long as the peer shows that it still takes what was sent, up to a bound. A
 * socket that is closed while the peer sends (an acknowledgement, say) answers with a reset, and the peer loses the end.
 */
const orderlyIdleMs = 10_000
const orderlyMs = 30_000
const orderlyReasons: ReadonlySet<string> = new Set(["StreamEnded", "StreamNotFound", "ServerStopping", "Kicked"])

/** A connection that is being closed. */
export class Closing {
  /** Why it ends. */
  readonly error: CloseError
  /** When it is destroyed, however little the peer has read. */
  untilMs: number
  /** Up to when signs of life extend `untilMs`. */
  readonly #lastMs: number
  #bytes = 0

  /** `isPublisher`: some go on sending until the connection breaks, whatever they are told, and wait for nothing. */
  constructor(error: CloseError, isPublisher: boolean, nowMs: number) {
    this.error = error
    const isOrderly = !isPublisher && orderlyReasons.has(error.reason)
    this.untilMs = nowMs + (isOrderly ? orderlyIdleMs : lingerMs)
    this.#lastMs = nowMs + (isOrderly ? orderlyMs : lingerMs)
  }

  /** The peer has sent something, which is dropped. Gives back whether it was too much. */
  received(bytes: number, nowMs: number): boolean {
    this.#bytes += bytes
    this.untilMs = Math.max(this.untilMs, Math.min(this.#lastMs, nowMs + orderlyIdleMs))
    return this.#bytes > lingerBytes
  }
}
