/**
 * What a connection says by itself: answers to commands, statuses, pings. Media goes another way.
 *
 * What one read causes is written together, and what a client asks for and does not read is bounded.
 */
import * as Bytes from "../protocol/Bytes.ts"
import type { Connection } from "./Transport.ts"

// Replies that a client asked for and does not read. Media has bounds of its own.
const maxUnreadBytes = 256 * 1024

const maxCopiedBytes = 16 * 1024

/** The replies of a connection. */
export class Replies {
  readonly #transport: Connection
  readonly #onUnread: () => void
  #held: Array<Uint8Array> = []
  #isHolding = false
  #unreadBytes = 0
  /** Bytes of what was written. */
  bytes = 0

  /** `onUnread` is called when more of them wait for the client than may. */
  constructor(transport: Connection, onUnread: () => void) {
    this.#transport = transport
    this.#onUnread = onUnread
  }

  /** Writes a reply, or keeps it until `release`. */
  send(bytes: Uint8Array): void {
    if (this.#isHolding) this.#held.push(bytes)
    else this.#write(bytes)
  }

  /** Keeps replies together until `release`. */
  hold(): void {
    this.#isHolding = true
  }

  /** Writes the replies that one read has caused, together: a client that pipelines its commands gets one segment. */
  release(): void {
    this.#isHolding = false
    const held = this.#held
    if (held.length === 0) return
    this.#held = []
    this.#write(held.length === 1 ? held[0]! : Bytes.concat(held))
  }

  /**
   * What is to be written instead of `bytes`, so that what is kept goes out before them: in one segment with them, where
   * that is no great copy.
   */
  before(bytes: Uint8Array): Uint8Array {
    if (this.#held.length === 0) return bytes
    if (bytes.length > maxCopiedBytes) {
      this.release()
      return bytes
    }
    const held = this.#held
    this.#held = []
    for (const reply of held) this.bytes += reply.length
    return Bytes.concat([...held, bytes])
  }

  #write(bytes: Uint8Array): void {
    this.bytes += bytes.length
    if (this.#transport.write(bytes)) {
      this.#unreadBytes = 0
      return
    }
    // Some transports never take bytes at once: what was written before this has gone if nothing else waits.
    if (this.#transport.bufferedBytes() <= bytes.length) this.#unreadBytes = 0
    this.#unreadBytes += bytes.length
    if (this.#unreadBytes > maxUnreadBytes) this.#onUnread()
  }
}
