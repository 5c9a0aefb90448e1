/**
 * How much of what is cheap to send and dear to handle a session takes: oddities, commands, and tiny messages.
 */
import * as Aggregate from "./Aggregate.ts"
import { AGGREGATE, type Message } from "./Message.ts"
import { TokenBucket } from "./TokenBucket.ts"

/** Oddities that are forgiven each second, beyond those that may come at once. */
const anomaliesPerSecond = 1

// Many times what a client does that connects, publishes and stops as fast as it can.
const commandBurst = 200

/** Commands that are taken each second, beyond those that may come at once. */
export const commandsPerSecond = 50

// A message costs as much as some bytes. Where there are not so many of these to a message, on the average of what is
// read, the rest is metered: minutes of silence may come at once, and empty messages as fast as the line carries may not.
const bytesPerMessage = 64
const tinyBurst = 10_000

/** Messages of next to nothing that are taken each second, beyond those that may come at once. */
export const tinyMessagesPerSecond = 2_000

/** The budgets of one session. Each tells whether it still holds. */
export class SessionBudgets {
  readonly #anomalies: TokenBucket
  readonly #commands: TokenBucket
  readonly #tiny: TokenBucket
  /** Bytes of the connection up to which messages were counted. */
  #counted = 0

  constructor(maxAnomalies: number, nowMs: number) {
    this.#anomalies = new TokenBucket(maxAnomalies, anomaliesPerSecond, nowMs)
    this.#commands = new TokenBucket(commandBurst, commandsPerSecond, nowMs)
    this.#tiny = new TokenBucket(tinyBurst, tinyMessagesPerSecond, nowMs)
  }

  /** Counts an oddity. */
  anomaly(nowMs: number): boolean {
    return this.#anomalies.take(nowMs)
  }

  /** Counts a command. */
  command(nowMs: number): boolean {
    return this.#commands.take(nowMs)
  }

  /**
   * Counts messages, those in aggregates too, of which so many bytes of the connection have been read now. Once a read, not
   * once a message.
   */
  messages(messages: ReadonlyArray<Message>, bytesRead: number, nowMs: number): boolean {
    let count = messages.length
    for (const { payload, typeId } of messages) if (typeId === AGGREGATE) count += Aggregate.count(payload)
    const tiny = count - (bytesRead - this.#counted) / bytesPerMessage
    this.#counted = bytesRead
    return tiny <= 0 || this.#tiny.take(nowMs, tiny)
  }
}
