/**
 * Who may come in: the limits that are looked at when a connection arrives, before anything is spent on it.
 */
import * as Context from "effect/Context"
import type { AccessDeniedReason } from "../access/Authenticator.ts"
import { doorLimits } from "../observability/DoorLimit.ts"

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

/** How many files and sockets may still be opened. */
export interface FileStatusShape {
  /** How many more the system lets the process have. */
  readonly freeFiles: () => number
}

/** How many files and sockets may still be opened; without bound where nobody tells. `NodeOpenFiles` tells on Node. */
export const FileStatus: Context.Reference<FileStatusShape> = Context.Reference<FileStatusShape>(
  "effect-rtmp/server/FileStatus",
  { defaultValue: () => ({ freeFiles: () => Number.POSITIVE_INFINITY }) }
)

/** The bounds of admission. */
export interface AdmissionLimits {
  readonly maxConnections: number
  readonly maxPendingHandshakes: number
  /** Bytes of free memory below which nobody is let in; 0 for any. */
  readonly minFreeMemory: number
  /** Files that are kept for other things than connections; 0 for none. */
  readonly minFreeFiles: number
}

/** What a connection is refused for. */
export const refusalLimits = [...doorLimits, "draining"] as const

/** What a connection is refused for, as a label. */
export type RefusalLimit = (typeof refusalLimits)[number]

/**
 * Why a connection is refused, and the number that the limit is set to (0 for `draining` and `access`).
 *
 * - `connections`, `handshakes`: of all clients. `address`, `addressHandshakes`, `addressRate`, `rate`: see `AddressLimits`.
 * - `memory`, `files`: the machine has no more. `freeBytes` is what is left of memory.
 * - `access`: the address is not to be listened to; `reason` says why.
 * - `draining`: clients are being moved away.
 */
export interface Refusal {
  readonly limit: RefusalLimit
  readonly max: number
  readonly freeBytes?: number
  readonly reason?: AccessDeniedReason
}

/** What admission looks at. */
export interface AdmissionState {
  readonly nowMs: number
  readonly isDraining: boolean
  /** Connections, those that a load balancer has not told the address of included. */
  readonly connections: number
  /** Counts pending handshakes, those included: a walk over all connections. */
  readonly handshakes: () => number
}

const sampleIntervalMs = 1_000

/**
 * Decides about each arriving connection.
 *
 * Memory and open files are looked at once a second, and only while connections arrive: asking the system takes longer
 * than accepting. In between, every connection that came in counts as a file.
 *
 * **Gotchas**
 *
 * At the limit of open files libuv gives up a file that it holds in reserve, and closes whatever waits to be accepted: the
 * accept loop does not spin, and the server never hears of it. Log files, the API and lookups would fail there too, which
 * is why connections stop short of it.
 */
export class Admission {
  /** The bounds; they may be replaced at any time. */
  limits: AdmissionLimits
  readonly #memory: MemoryStatusShape
  readonly #files: FileStatusShape
  #freeBytes = Number.POSITIVE_INFINITY
  #freeFiles = Number.POSITIVE_INFINITY
  #sampledMs = Number.NEGATIVE_INFINITY

  constructor(limits: AdmissionLimits, memory: MemoryStatusShape, files: FileStatusShape) {
    this.limits = limits
    this.#memory = memory
    this.#files = files
  }

  /** Gives the reason for which a connection is refused; undefined for one that may come in. */
  refusal({ connections, handshakes, isDraining, nowMs }: AdmissionState): Refusal | undefined {
    const { maxConnections, maxPendingHandshakes, minFreeFiles, minFreeMemory } = this.limits
    if (isDraining) return { limit: "draining", max: 0 }
    if (connections >= maxConnections) return { limit: "connections", max: maxConnections }
    // Counting handshakes costs a walk over all connections: only where there may be too many.
    if (connections >= maxPendingHandshakes && handshakes() >= maxPendingHandshakes) {
      return { limit: "handshakes", max: maxPendingHandshakes }
    }
    if (nowMs - this.#sampledMs >= sampleIntervalMs) {
      this.#sampledMs = nowMs
      if (minFreeMemory > 0) this.#freeBytes = this.#memory.freeBytes()
      // The connection that asks is open already.
      if (minFreeFiles > 0) this.#freeFiles = this.#files.freeFiles() + 1
    }
    const freeBytes = this.#freeBytes
    if (freeBytes < minFreeMemory) return { limit: "memory", max: minFreeMemory, freeBytes }
    if (this.#freeFiles <= minFreeFiles) return { limit: "files", max: minFreeFiles }
    this.#freeFiles--
    return undefined
  }
}
