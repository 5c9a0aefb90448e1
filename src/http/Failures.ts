/**
 * Counts wrong tokens by the address that sent them, and remembers the right ones, in tables that cannot grow.
 *
 * Synchronous; time comes in with every call, in milliseconds of any monotonic clock.
 */

import { neighbourhood } from "../access/Address.ts"

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
    const window = this.#windows.get(neighbourhood(address))
    if (window === undefined || window.count < maxPerMinute) return 0
    return Math.max(0, window.sinceMs + windowMs - nowMs)
  }

  /** Notes a failure. The minute of an address begins with its first one. */
  note(address: string, nowMs: number): void {
    const key = neighbourhood(address)
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

/** The right tokens that addresses have shown, as digests: those that showed one last, as many as `maxAddresses`. */
export class Familiar {
  readonly #seen = new Set<string>()

  /** Whether an address has shown a token that has this digest. */
  has(address: string, digest: Uint8Array): boolean {
    return this.#seen.has(nameOf(address, digest))
  }

  /** Notes that it has. */
  note(address: string, digest: Uint8Array): void {
    const name = nameOf(address, digest)
    this.#seen.delete(name)
    this.#seen.add(name)
    if (this.#seen.size <= maxAddresses) return
    for (const oldest of this.#seen) {
      this.#seen.delete(oldest)
      break
    }
  }
}

const nameOf = (address: string, digest: Uint8Array): string => `${neighbourhood(address)} ${digest.join()}`
