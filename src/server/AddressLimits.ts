/**
 * What one address may ask of the server, and what all of them together may: connections at the same time, and new ones a
 * second.
 *
 * An address is an IPv4 address, or a network of IPv6: whoever has one address of such a network has them all. Networks
 * that are exempt (the machine itself, load balancers) are neither counted nor held back.
 *
 * **Details**
 *
 * Synchronous, with the time as an argument. All memory is allocated at the start: a table of so many addresses. Those
 * that have connections stay in it; of the others, whose rates are remembered until they have recovered, the ones that
 * went first make room.
 */
import * as IpNetwork from "effect/net/IpNetwork"
import * as Address from "../access/Address.ts"
import { TokenBucket } from "../protocol/TokenBucket.ts"

/** The bounds. 0 is no bound for each of the numbers. */
export interface AddressLimitOptions {
  /** Connections of all addresses: how large the table is, and how many may come at once after a rest. */
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
  /** Connections of one address whose handshake is not finished. */
  readonly maxPendingHandshakesPerAddress: number
  /** New connections a second of one address in the long run; so many as it may have may come at once. */
  readonly acceptRatePerAddress: number
  /** New connections a second of all addresses in the long run. */
  readonly acceptRate: number
  /** Bits of an IPv6 address that tell one from another. */
  readonly ipv6PrefixBits: number
  /** Networks in CIDR notation, or single addresses, that are exempt. What is neither is passed over. */
  readonly exemptNetworks: ReadonlyArray<string>
}

/** What there was too much of, and how much there may be. */
export interface AddressRefusal {
  readonly limit: "address" | "addressHandshakes" | "addressRate" | "rate"
  readonly max: number
}

/** Addresses without connections whose rates are remembered. */
const idleAddresses = 1_024

// Where connections have no bound of their own, so many may come at once.
const burstWithoutBound = 200

/** Counts connections by address. */
export class AddressLimits {
  #options: AddressLimitOptions
  #exempt: ReadonlyArray<IpNetwork.IpNetwork> = []
  #all: TokenBucket
  /** Of each place in the table: connections, those of them in the handshake, tokens, and when these were counted. */
  #connections = new Int32Array(0)
  #handshakes = new Int32Array(0)
  #tokens = new Float64Array(0)
  #atMs = new Float64Array(0)
  #free: Array<number> = []
  /** Places by address: of those who are connected, and of the others in the order in which they left. */
  readonly #active = new Map<string, number>()
  readonly #idle = new Map<string, number>()

  constructor(options: AddressLimitOptions, nowMs: number) {
    this.#options = options
    this.#all = new TokenBucket(0, 0, nowMs)
    this.reconfigure(options, nowMs)
  }

  /** How many addresses are in the table, and how many it has room for. */
  get size(): { readonly addresses: number; readonly capacity: number } {
    return { addresses: this.#active.size + this.#idle.size, capacity: this.#connections.length }
  }

  /** Replaces the bounds. Whoever is connected stays, and is counted. */
  reconfigure(options: AddressLimitOptions, nowMs: number): void {
    this.#options = options
    this.#exempt = options.exemptNetworks.flatMap((text) => Address.parseNetwork(text) ?? [])
    this.#all = new TokenBucket(Math.max(options.maxConnections, options.acceptRate), options.acceptRate, nowMs)
    const had = this.#connections.length
    const capacity = Math.max(had, options.maxConnections + idleAddresses)
    if (capacity === had) return
    const grow = <A extends Int32Array | Float64Array>(from: A, to: A): A => {
      to.set(from)
      return to
    }
    this.#connections = grow(this.#connections, new Int32Array(capacity))
    this.#handshakes = grow(this.#handshakes, new Int32Array(capacity))
    this.#tokens = grow(this.#tokens, new Float64Array(capacity))
    this.#atMs = grow(this.#atMs, new Float64Array(capacity))
    for (let place = capacity - 1; place >= had; place--) this.#free.push(place)
  }

  /** By what an address is counted; undefined for one that is exempt. To be asked once for each connection. */
  keyOf(host: string): string | undefined {
    if (this.#exempt.length > 0) {
      const address = Address.parse(host)
      if (address !== undefined) {
        for (const network of this.#exempt) if (IpNetwork.contains(network, address)) return undefined
      }
    }
    return Address.neighbourhood(host, this.#options.ipv6PrefixBits)
  }

  /** Counts a connection that arrives, or gives the reason for which it cannot come in; it is not counted then. */
  enter(key: string, nowMs: number): AddressRefusal | undefined {
    const { acceptRate, acceptRatePerAddress, maxConnectionsPerAddress, maxPendingHandshakesPerAddress } = this.#options
    const active = this.#active.get(key)
    const place = active ?? this.#idle.get(key) ?? this.#take(key, nowMs)
    // The table is full of addresses that are connected: there are more connections than there may be.
    if (place === undefined) return { limit: "rate", max: acceptRate }
    const connections = this.#connections[place]!
    if (maxConnectionsPerAddress > 0 && connections >= maxConnectionsPerAddress) {
      return { limit: "address", max: maxConnectionsPerAddress }
    }
    if (maxPendingHandshakesPerAddress > 0 && this.#handshakes[place]! >= maxPendingHandshakesPerAddress) {
      return { limit: "addressHandshakes", max: maxPendingHandshakesPerAddress }
    }
    if (acceptRatePerAddress > 0) {
      const tokens = this.#refill(place, nowMs)
      if (tokens < 1) return { limit: "addressRate", max: acceptRatePerAddress }
    }
    if (acceptRate > 0 && !this.#all.take(nowMs)) return { limit: "rate", max: acceptRate }
    this.#tokens[place]! -= 1
    this.#connections[place] = connections + 1
    this.#handshakes[place]! += 1
    if (active === undefined) {
      this.#idle.delete(key)
      this.#active.set(key, place)
    }
    return undefined
  }

  /** A connection that was counted has finished its handshake, or ends without. Once for each, and before `leave`. */
  settled(key: string): void {
    const place = this.#active.get(key)
    if (place !== undefined) this.#handshakes[place]! -= 1
  }

  /** A connection that was counted has ended. */
  leave(key: string): void {
    const place = this.#active.get(key)
    if (place === undefined) return
    if (--this.#connections[place]! > 0) return
    this.#active.delete(key)
    this.#idle.set(key, place)
  }

  /** Forgets everything about an address that has recovered, and gives its place to whoever comes next. */
  #recovered(nowMs: number): void {
    for (const [key, place] of this.#idle) {
      if (this.#refill(place, nowMs) < this.#burst) return
      this.#idle.delete(key)
      this.#free.push(place)
    }
  }

  get #burst(): number {
    const { acceptRatePerAddress, maxConnectionsPerAddress } = this.#options
    return Math.max(maxConnectionsPerAddress > 0 ? maxConnectionsPerAddress : burstWithoutBound, acceptRatePerAddress)
  }

  #refill(place: number, nowMs: number): number {
    // Where there is no rate, nothing has to be remembered.
    if (this.#options.acceptRatePerAddress === 0) return this.#burst
    const elapsedMs = Math.max(0, nowMs - this.#atMs[place]!)
    const tokens = Math.min(
      this.#burst,
      this.#tokens[place]! + (elapsedMs * this.#options.acceptRatePerAddress) / 1_000
    )
    this.#tokens[place] = tokens
    this.#atMs[place] = nowMs
    return tokens
  }

  /** A place for an address that is not in the table; it is idle until it is entered. */
  #take(key: string, nowMs: number): number | undefined {
    this.#recovered(nowMs)
    let place = this.#free.pop()
    if (place === undefined) {
      const first = this.#idle.entries().next()
      if (first.done === true) return undefined
      this.#idle.delete(first.value[0])
      place = first.value[1]
    }
    this.#connections[place] = 0
    this.#handshakes[place] = 0
    this.#tokens[place] = this.#burst
    this.#atMs[place] = nowMs
    this.#idle.set(key, place)
    return place
  }
}
