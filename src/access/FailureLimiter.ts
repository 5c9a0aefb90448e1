/**
 * Whoever fails to show a right credential too often is not listened to for a while.
 *
 * Failures are counted per IPv4 address and per /64 network of IPv6. Synchronous, and bounded: the table holds so many
 * addresses, and those that were seen first make room. To ask about an address costs one look into a table, and nothing
 * at all as long as nobody is blocked.
 *
 * **Gotchas**
 *
 * - What is a failure is the caller's to say. A login of three connections (`AdobeAuth`) fails at its third only.
 * - A success does not clear what was counted: who knows one credential could otherwise guess at another for ever.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Address from "./Address.ts"
import { ExpiringMap } from "./ExpiringMap.ts"

/**
 * The settings of the limiter.
 *
 * - `maxFailures`: how many failures within `window` block an address (5).
 * - `window`: how long a failure counts (1 minute).
 * - `blockDuration`: how long an address is blocked, from its last failure on (5 minutes).
 * - `maxAddresses`: how many addresses are counted, and how many are blocked, at most (10,000).
 */
export interface FailureLimiterSettings {
  readonly maxFailures?: number
  readonly window?: Duration.Input
  readonly blockDuration?: Duration.Input
  readonly maxAddresses?: number
}

/** An address that is blocked, and for how many milliseconds more. IPv6 networks are in CIDR notation. */
export interface BlockedAddress {
  readonly address: string
  readonly remainingMs: number
}

/** Counts failures by address. */
export class FailureLimiter extends Context.Service<
  FailureLimiter,
  {
    /** Tells whether an address is not to be listened to. */
    readonly isBlocked: (remoteAddress: string) => boolean
    /** Counts a failure; tells whether the address is blocked because of it, having been free before. */
    readonly failed: (remoteAddress: string) => boolean
    /** Lists what is blocked. */
    readonly blocked: () => ReadonlyArray<BlockedAddress>
    /** Frees an address and forgets its failures; tells whether it was blocked. */
    readonly unblock: (remoteAddress: string) => boolean
  }
>()("effect-rtmp/access/FailureLimiter") {
  /** Counts with the default settings. */
  static get layer(): Layer.Layer<FailureLimiter> {
    return layerWith({})
  }
}

/** Makes a limiter on the clock of the fiber. Throws a `RangeError` for a number of failures or addresses below 1. */
export const make = (settings: FailureLimiterSettings): Effect.Effect<FailureLimiter["Service"]> =>
  Effect.map(Clock.Clock, (clock) => {
    const maxFailures = settings.maxFailures ?? 5
    if (!(Number.isInteger(maxFailures) && maxFailures >= 1)) {
      throw new RangeError(`maxFailures must be at least 1: ${maxFailures}`)
    }
    const windowMs = Duration.toMillis(Duration.fromInputUnsafe(settings.window ?? "1 minute"))
    const blockMs = Duration.toMillis(Duration.fromInputUnsafe(settings.blockDuration ?? "5 minutes"))
    const failures = new ExpiringMap<ReadonlyArray<number>>(settings.maxAddresses ?? 10_000)
    const blocked = new ExpiringMap<true>(settings.maxAddresses ?? 10_000)
    const nowMs = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    return {
      isBlocked: (remoteAddress) =>
        blocked.size > 0 && blocked.get(Address.neighbourhood(remoteAddress), nowMs()) !== undefined,
      failed: (remoteAddress) => {
        const address = Address.neighbourhood(remoteAddress)
        const now = nowMs()
        const wasBlocked = blocked.get(address, now) !== undefined
        const times = (failures.get(address, now) ?? []).filter((time) => time > now - windowMs)
        times.push(now)
        if (!wasBlocked && times.length < maxFailures) {
          failures.set(address, times, now + windowMs)
          return false
        }
        failures.delete(address)
        blocked.set(address, true, now + blockMs)
        return !wasBlocked
      },
      blocked: () => {
        const now = nowMs()
        return Array.from(blocked.entries(now), ([address, , endsAtMs]) => ({ address, remainingMs: endsAtMs - now }))
      },
      unblock: (remoteAddress) => {
        const address = Address.neighbourhood(remoteAddress)
        failures.delete(address)
        const wasBlocked = blocked.get(address, nowMs()) !== undefined
        blocked.delete(address)
        return wasBlocked
      }
    }
  })

/** Provides a limiter. */
export const layerWith = (settings: FailureLimiterSettings): Layer.Layer<FailureLimiter> =>
  Layer.effect(FailureLimiter, make(settings))
