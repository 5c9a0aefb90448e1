/**
 * A table that forgets: every entry has an end, and there are never more than so many.
 *
 * Where it is full, what was put in first makes room. Synchronous; the time comes from outside, on any clock that does not
 * go back far. Nothing wakes up to clean it: what has ended is found when it is looked for, or makes room in its turn.
 */

interface Entry<V> {
  readonly value: V
  readonly endsAtMs: number
}

/** A bounded table whose entries end. */
export class ExpiringMap<V> {
  readonly #capacity: number
  readonly #entries = new Map<string, Entry<V>>()

  constructor(capacity: number) {
    if (!(Number.isInteger(capacity) && capacity >= 1)) throw new RangeError(`capacity must be at least 1: ${capacity}`)
    this.#capacity = capacity
  }

  /** How many entries are held, those that have ended and were not looked for included. */
  get size(): number {
    return this.#entries.size
  }

  /** Gives an entry that has not ended. */
  get(key: string, nowMs: number): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.endsAtMs > nowMs) return entry.value
    this.#entries.delete(key)
    return undefined
  }

  /** Gives an entry that has not ended, and forgets it. */
  take(key: string, nowMs: number): V | undefined {
    const value = this.get(key, nowMs)
    this.#entries.delete(key)
    return value
  }

  /** Puts an entry in, as the newest. */
  set(key: string, value: V, endsAtMs: number): void {
    this.#entries.delete(key)
    if (this.#entries.size >= this.#capacity) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest)
        break
      }
    }
    this.#entries.set(key, { value, endsAtMs })
  }

  /** Forgets an entry; tells whether there was one. */
  delete(key: string): boolean {
    return this.#entries.delete(key)
  }

  /** Forgets all entries. */
  clear(): void {
    this.#entries.clear()
  }

  /** The entries that have not ended, oldest first. */
  *entries(nowMs: number): Iterable<readonly [key: string, value: V, endsAtMs: number]> {
    for (const [key, { endsAtMs, value }] of this.#entries) if (endsAtMs > nowMs) yield [key, value, endsAtMs]
  }
}
