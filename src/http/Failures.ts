/**
 * Counts wrong tokens by the address that sent them, in a table that cannot grow.
 *
 * Synchronous; time comes in with every call, in milliseconds of any monotonic clock.
 */

/** Addresses that are remembered; beyond that the one that failed first is forgotten. */
export const maxAddresses = 1_024

const windowMs = 60_000

interface Window {
  readonly sinceMs: number
  count: number
}

/** The failures of the last minute. */
export class Failures {
  readonly #windows = new Map<string, Window>()

  /** How many addresses are remembered. */
  get size(): number {
    return this.#windows.size
  }

  /** For how many milliseconds an address is still turned away; 0 where it is not. */
  blockedMs(address: string, maxPerMinute: number, nowMs: number): number {
    const window = this.#windows.get(prefixOf(address))
    if (window === undefined || window.count < maxPerMinute) return 0
    return Math.max(0, window.sinceMs + windowMs - nowMs)
  }

  /** Notes a failure. The minute of an address begins with its first one. */
  note(address: string, nowMs: number): void {
    const key = prefixOf(address)
    const window = this.#windows.get(key)
    if (window !== undefined && nowMs < window.sinceMs + windowMs) {
      window.count++
      return
    }
    this.#windows.delete(key)
    this.#windows.set(key, { sinceMs: nowMs, count: 1 })
    // In the order of their beginnings: what is over stands in front.
    for (const [other, { sinceMs }] of this.#windows) {
      if (this.#windows.size <= maxAddresses && nowMs < sinceMs + windowMs) break
      this.#windows.delete(other)
    }
  }
}

/** Whoever has an IPv6 address has the 64 bits behind its network too, so the network is what counts. */
const prefixOf = (address: string): string => {
  if (!address.includes(":")) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped !== null) return mapped[1]!
  const [head = "", tail] = address.toLowerCase().split("%", 1)[0]!.split("::", 2)
  const front = head === "" ? [] : head.split(":")
  const back = tail === undefined || tail === "" ? [] : tail.split(":")
  const middle =
    tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => "0")
  return [...front, ...middle, ...back].slice(0, 4).join(":")
}
