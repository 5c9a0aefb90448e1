/**
 * A fast source of choices, xorshift128, that starts anew for each input: input number 7 of seed 3 is always the same.
 *
 * `effect/Arbitrary` shrinks and composes, and makes some thousands of values a second. A long run needs a hundred times
 * that, and shrinks the bytes instead (`Minimise.ts`).
 */
export class Random {
  #x = 1
  #y = 2
  #z = 3
  #w = 4

  /** Begins the choices of one input. */
  start(seed: number, index: number): this {
    this.#x = mix(seed ^ 0x9e3779b9)
    this.#y = mix(this.#x + (index >>> 0))
    this.#z = mix(this.#y + Math.floor(index / 0x1_0000_0000))
    this.#w = mix(this.#z) | 1
    return this
  }

  /** Any unsigned 32-bit number. */
  u32(): number {
    const t = this.#x ^ (this.#x << 11)
    this.#x = this.#y
    this.#y = this.#z
    this.#z = this.#w
    this.#w = this.#w ^ (this.#w >>> 19) ^ t ^ (t >>> 8)
    return this.#w >>> 0
  }

  /** An integer from 0 to `count - 1`. */
  below(count: number): number {
    return this.u32() % count
  }

  /** True once in `count` times. */
  once(count: number): boolean {
    return this.u32() % count === 0
  }

  /** One of `from`. */
  pick<A>(from: ArrayLike<A>): A {
    return from[this.u32() % from.length]!
  }
}

const mix = (value: number): number => {
  let mixed = (value + 0x6d2b79f5) | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
  return mixed ^ (mixed >>> 15)
}

/** A number that depends on every byte: the seed for whatever a check picks, so that an input alone repeats it. */
export const hashOf = (bytes: Uint8Array): number => {
  let hash = 0x811c9dc5
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return mix(hash) >>> 0
}
