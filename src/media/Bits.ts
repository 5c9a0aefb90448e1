/**
 * Reading single bits, as codec configurations need: fixed-width fields and the Exp-Golomb codes of H.264 and H.265.
 *
 * A `BitReader` never throws and never reads past its input: once a field does not fit, `failed` is set, and that field and
 * all after it read as 0. Whoever parses a record asks once, at the end, and must bound the loops a field controls.
 */

/** Walks forwards over the bits of a view, most significant first. */
export class BitReader {
  readonly #bytes: Uint8Array
  #position = 0
  /** Set for good by the first field that did not fit. */
  failed = false

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Bits read so far. */
  get position(): number {
    return this.#position
  }

  /** Bits not read yet; 0 once `failed`. */
  get remaining(): number {
    return this.failed ? 0 : this.#bytes.length * 8 - this.#position
  }

  /** An unsigned field of `count` bits, 0 to 32. */
  bits(count: number): number {
    if (count > this.remaining) {
      this.failed = true
      return 0
    }
    let value = 0
    let left = count
    while (left > 0) {
      const inByte = 8 - (this.#position & 7)
      const take = Math.min(left, inByte)
      const byte = this.#bytes[this.#position >> 3]!
      // Not a shift: the value may need all 32 bits.
      value = value * 2 ** take + ((byte >> (inByte - take)) & (2 ** take - 1))
      this.#position += take
      left -= take
    }
    return value
  }

  /** One bit. */
  flag(): boolean {
    return this.bits(1) === 1
  }

  /** Moves over `count` bits. */
  skip(count: number): void {
    if (count > this.remaining) this.failed = true
    else this.#position += count
  }

  /** Moves on to the next byte boundary. */
  align(): void {
    this.#position = (this.#position + 7) & ~7
  }

  /** Zero bits up to the next one, which is consumed too; -1, and `failed`, for more than 32 of them. */
  #leadingZeros(): number {
    let zeros = 0
    while (!this.failed && !this.flag()) if (++zeros > 32) this.failed = true
    return this.failed ? -1 : zeros
  }

  /** An unsigned Exp-Golomb code, 0 to 2^32 - 1 (H.264 §9.1, ue(v)). Anything longer fails. */
  ue(): number {
    const zeros = this.#leadingZeros()
    if (zeros < 0) return 0
    const value = 2 ** zeros - 1 + this.bits(zeros)
    if (value > 0xffffffff) this.failed = true
    return this.failed ? 0 : value
  }

  /** A signed Exp-Golomb code (H.264 §9.1.1, se(v)). */
  se(): number {
    const code = this.ue()
    return code % 2 === 1 ? (code + 1) / 2 : 0 - code / 2
  }

  /** A variable-length code of AV1 (AV1 §4.10.3, uvlc()), which counts as Exp-Golomb does but ends at 32 zeros. */
  uvlc(): number {
    const zeros = this.#leadingZeros()
    return zeros < 0 ? 0 : zeros === 32 ? 0xffffffff : 2 ** zeros - 1 + this.bits(zeros)
  }
}
