/** Bytes under construction, in one buffer that is used for every input: making an input allocates its result only. */
import type { Random } from "./Random.ts"

export class Output {
  #bytes = new Uint8Array(1024)
  #view = new DataView(this.#bytes.buffer)
  length = 0

  clear(): this {
    this.length = 0
    return this
  }

  #room(count: number): number {
    const at = this.length
    this.length += count
    if (this.length > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.length)
      grown.set(this.#bytes)
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    return at
  }

  u8(value: number): this {
    const at = this.#room(1)
    this.#bytes[at] = value
    return this
  }

  u16(value: number): this {
    const at = this.#room(2)
    this.#view.setUint16(at, value)
    return this
  }

  u24(value: number): this {
    return this.u8(value >>> 16).u16(value & 0xffff)
  }

  u32(value: number): this {
    const at = this.#room(4)
    this.#view.setUint32(at, value)
    return this
  }

  u32Le(value: number): this {
    const at = this.#room(4)
    this.#view.setUint32(at, value, true)
    return this
  }

  f64(value: number): this {
    const at = this.#room(8)
    this.#view.setFloat64(at, value)
    return this
  }

  bytes(bytes: ArrayLike<number>): this {
    const at = this.#room(bytes.length)
    this.#bytes.set(bytes, at)
    return this
  }

  /** Characters below 256, one byte each. */
  latin(text: string): this {
    const at = this.#room(text.length)
    for (let i = 0; i < text.length; i++) this.#bytes[at + i] = text.charCodeAt(i)
    return this
  }

  /** `count` bytes of no meaning. */
  noise(random: Random, count: number): this {
    const at = this.#room(count)
    for (let i = 0; i < count; i += 4) {
      let word = random.u32()
      for (let j = i; j < i + 4 && j < count; j++) {
        this.#bytes[at + j] = word
        word >>>= 8
      }
    }
    return this
  }

  /** Overwrites one byte. */
  patch8(at: number, value: number): void {
    this.#bytes[at] = value
  }

  /** Overwrites three bytes. */
  patch24(at: number, value: number): void {
    this.#bytes[at] = value >>> 16
    this.#bytes[at + 1] = value >>> 8
    this.#bytes[at + 2] = value
  }

  /** Damages what was written from `from` on: bits, bytes, sizes, cuts, repeats. */
  damage(random: Random, from: number, times: number): this {
    for (let i = 0; i < times && this.length > from; i++) {
      const at = from + random.below(this.length - from)
      switch (random.below(8)) {
        case 0:
          this.#bytes[at]! ^= 1 << random.below(8)
          break
        case 1:
          this.#bytes[at] = random.u32()
          break
        case 2:
          this.#bytes[at] = random.pick(interesting)
          break
        case 3:
          this.#bytes[at]! += random.once(2) ? 1 : 0xff
          break
        case 4:
          this.#bytes.fill(random.once(2) ? 0xff : 0, at, Math.min(this.length, at + 1 + random.below(4)))
          break
        case 5:
          if (random.once(3)) this.length = at
          break
        case 6: {
          const count = Math.min(1 + random.below(8), this.length - at)
          this.#bytes.copyWithin(at, at + count, this.length)
          this.length -= count
          break
        }
        default: {
          const count = Math.min(1 + random.below(24), this.length - at)
          const end = this.length
          this.#room(count)
          this.#bytes.copyWithin(at + count, at, end)
        }
      }
    }
    return this
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.length)
  }
}

const interesting = [0, 1, 2, 3, 4, 8, 9, 15, 16, 17, 18, 20, 22, 31, 32, 63, 64, 127, 128, 192, 254, 255]
