/**
 * Who may come in: the limits that are looked at when a connection arrives, before anything is spent on it.
 */
import * as Context from "effect/Context"

/** How much memory is left. */
export interface MemoryStatusShape {
  /** Bytes that the process may still use, as the operating system or its container sees it. */
  readonly freeBytes: () => number
}

/** How much memory is left; without bound where nobody tells. `NodeMemory` tells on Node. */
export const MemoryStatus: Context.Reference<MemoryStatusShape> = Context.Reference<MemoryStatusShape>(
  "effect-rtmp/server/MemoryStatus",
  { defaultValue: () => ({ freeBytes: () => Number.POSITIVE_INFINITY }) }
)

/** The bounds of admission. */
export interface AdmissionLimits {
  readonly maxConnections: number
  readonly maxPendingHandshakes: number
  /** Bytes of free memory below which nobody is let in; 0 for any. */
  readonly minFreeMemory: number
}

/** Why a connection is refused, and the number that the limit is set to (for `draining`, 0). */
export interface Refusal {
  readonly limit: "connections" | "handshakes" | "memory" | "draining"
  readonly max: number
}

/** What admission looks at. */
export interface AdmissionState {
  readonly nowMs: number
  readonly isDraining: boolean
  readonly connections: number
  /** Counts pending handshakes: a walk over all connections. */
  readonly handshakes: () => number
}

const memoryIntervalMs = 1_000

/**
 * Decides about each arriving connection.
 *
 * Memory is looked at once a second, and only while connections arrive: asking the system takes longer than accepting.
 */
export class Admission {
  /** The bounds; they may be replaced at any time. */
  limits: AdmissionLimits
  readonly #memory: MemoryStatusShape
  #freeBytes = Number.POSITIVE_INFINITY
  #sampledMs = Number.NEGATIVE_INFINITY

  constructor(limits: AdmissionLimits, memory: MemoryStatusShape) {
    this.limits = limits
    this.#memory = memory
  }

  /** Gives the reason for which a connection is refused; undefined for one that may come in. */
  refusal({ connections, handshakes, isDraining, nowMs }: AdmissionState): Refusal | undefined {
    const { maxConnections, maxPendingHandshakes, minFreeMemory } = this.limits
    if (isDraining) return { limit: "draining", max: 0 }
    if (connections >= maxConnections) return { limit: "connections", max: maxConnections }
    // Counting handshakes costs a walk over all connections: only where there may be too many.
    if (connections >= maxPendingHandshakes && handshakes() >= maxPendingHandshakes) {
      return { limit: "handshakes", max: maxPendingHandshakes }
    }
    if (minFreeMemory > 0) {
      if (nowMs - this.#sampledMs >= memoryIntervalMs) {
        this.#sampledMs = nowMs
        this.#freeBytes = this.#memory.freeBytes()
      }
      if (this.#freeBytes < minFreeMemory) return { limit: "memory", max: minFreeMemory }
    }
    return undefined
  }
}
