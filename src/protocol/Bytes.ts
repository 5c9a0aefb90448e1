/**
 * Bounds-checked reading and writing of binary fields over a `Uint8Array`.
 *
 * This is the one place where bytes are taken apart and put together. Everything else names fields: a
 * `BytesReader` walks a view forwards, a `BytesWriter` grows a buffer, and the plain functions (`u24`, `putU24`, …)
 * serve the hot paths that have already checked their bounds.
 *
 * RTMP, AMF and FLV are big-endian; the one exception is the message stream id of a chunk header, which is
 * little-endian (RTMP 1.0 §5.3.1.2.1), hence the `Le` variants.
 *
 * **Gotchas**
 *
 * - Readers hand out views, not copies. A view pins the whole buffer behind it: copy what outlives the turn.
 * - A `BytesReader` throws `BytesError`; codecs catch it at their own boundary and turn it into their own error.
 */
import * as Data from "effect/Data"

/**
 * A read past the end of the input, or a value that does not fit its field.
 *
 * `offset` is the byte offset from the start of the view, `needed` and `available` are byte counts. For `OutOfRange`
 * `needed` is the width of the field in bytes and `value` is what did not fit.
 */
export class BytesError extends Data.TaggedError("BytesError")<{
  readonly reason: "EndOfInput" | "OutOfRange" | "InvalidUtf8"
  readonly offset: number
  readonly needed: number
  readonly available: number
  readonly value?: number
}> {
  override get message(): string {
    switch (this.reason) {
      case "EndOfInput":
        return `needed ${this.needed} bytes at offset ${this.offset}, ${this.available} left`
      case "OutOfRange":
        return `${this.value} does not fit ${this.needed} bytes at offset ${this.offset}`
      case "InvalidUtf8":
        return `invalid UTF-8 in ${this.needed} bytes at offset ${this.offset}`
    }
  }
}

/** An empty byte array, shared. */
export const empty: Uint8Array = new Uint8Array(0)

/** Reads an unsigned 16-bit big-endian integer at `offset`. The caller has checked the bounds. */
export const u16 = (bytes: Uint8Array, offset: number): number => (bytes[offset]! << 8) | bytes[offset + 1]!

/** Reads an unsigned 24-bit big-endian integer at `offset`. The caller has checked the bounds. */
export const u24 = (bytes: Uint8Array, offset: number): number =>
  (bytes[offset]! << 16) | (bytes[offset + 1]! << 8) | bytes[offset + 2]!

/** Reads a signed 24-bit big-endian integer at `offset`. The caller has checked the bounds. */
export const s24 = (bytes: Uint8Array, offset: number): number => (u24(bytes, offset) << 8) >> 8

/** Reads an unsigned 32-bit big-endian integer at `offset`. The caller has checked the bounds. */
export const u32 = (bytes: Uint8Array, offset: number): number =>
  ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>> 0

/** Reads an unsigned 32-bit little-endian integer at `offset`. The caller has checked the bounds. */
export const u32Le = (bytes: Uint8Array, offset: number): number =>
  (bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>> 0

/** Writes the low 16 bits of `value`, big-endian, at `offset`. The caller has checked the bounds. */
export const putU16 = (bytes: Uint8Array, offset: number, value: number): void => {
  bytes[offset] = value >>> 8
  bytes[offset + 1] = value
}

/** Writes the low 24 bits of `value`, big-endian, at `offset`. The caller has checked the bounds. */
export const putU24 = (bytes: Uint8Array, offset: number, value: number): void => {
  bytes[offset] = value >>> 16
  bytes[offset + 1] = value >>> 8
  bytes[offset + 2] = value
}

/** Writes the low 32 bits of `value`, big-endian, at `offset`. The caller has checked the bounds. */
export const putU32 = (bytes: Uint8Array, offset: number, value: number): void => {
  bytes[offset] = value >>> 24
  bytes[offset + 1] = value >>> 16
  bytes[offset + 2] = value >>> 8
  bytes[offset + 3] = value
}

/** Writes the low 32 bits of `value`, little-endian, at `offset`. The caller has checked the bounds. */
export const putU32Le = (bytes: Uint8Array, offset: number, value: number): void => {
  bytes[offset] = value
  bytes[offset + 1] = value >>> 8
  bytes[offset + 2] = value >>> 16
  bytes[offset + 3] = value >>> 24
}

/** Joins `parts` into one new array of `length` bytes (their sum, counted where it is not given). */
export const concat = (parts: ReadonlyArray<Uint8Array>, length?: number): Uint8Array => {
  if (length === undefined) {
    length = 0
    for (const part of parts) length += part.length
  }
  const out = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    out.set(part, offset)
    offset += part.length
  }
  return out
}

/** Compares two byte arrays. Not constant-time: secrets have a function of their own in `access/`. */
export const equals = (left: Uint8Array, right: Uint8Array): boolean => {
  if (left.length !== right.length) return false
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false
  return true
}

/** Renders up to `limit` bytes as lower-case hexadecimal, for error messages and logs. */
export const hex = (bytes: Uint8Array, limit = 64): string => {
  let out = ""
  const end = Math.min(bytes.length, limit)
  for (let i = 0; i < end; i++) out += bytes[i]!.toString(16).padStart(2, "0")
  return bytes.length > limit ? `${out}…` : out
}

/** Parses hexadecimal digits, white space ignored. Meant for constants and tests; throws a `RangeError` on anything else. */
export const fromHex = (text: string): Uint8Array => {
  const digits = text.replace(/\s+/g, "")
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) throw new RangeError("not hexadecimal bytes")
  const out = new Uint8Array(digits.length / 2)
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16)
  return out
}

const lenientDecoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true })
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** Decodes UTF-8, replacing what is malformed with U+FFFD. */
export const utf8 = (bytes: Uint8Array): string => lenientDecoder.decode(bytes)

/** Decodes UTF-8, or gives `undefined` where it is malformed. */
export const utf8Strict = (bytes: Uint8Array): string | undefined => {
  try {
    return strictDecoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** Encodes a string as UTF-8. */
export const fromUtf8 = (text: string): Uint8Array => encoder.encode(text)

/**
 * Walks forwards over a view, one field at a time.
 *
 * Every method that reads advances `offset` by exactly what it read, or throws `BytesError` and leaves `offset` where
 * it was. `bytes(n)` and `rest()` return views of the input.
 */
export class BytesReader {
  /** The view that is read. */
  readonly input: Uint8Array
  /** Where the next field starts, in bytes from the start of `input`. */
  offset: number
  readonly #view: DataView

  constructor(input: Uint8Array, offset = 0) {
    this.input = input
    this.offset = offset
    this.#view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.input.length - this.offset
  }

  /** Throws `BytesError` (`EndOfInput`) unless `needed` more bytes are there. */
  need(needed: number): void {
    if (needed > this.input.length - this.offset) {
      throw new BytesError({ reason: "EndOfInput", offset: this.offset, needed, available: this.remaining })
    }
  }

  /** The next byte, not consumed. */
  peek(): number {
    this.need(1)
    return this.input[this.offset]!
  }

  /** Moves over `count` bytes. */
  skip(count: number): void {
    this.need(count)
    this.offset += count
  }

  /** Unsigned 8-bit integer. */
  u8(): number {
    this.need(1)
    return this.input[this.offset++]!
  }

  /** Unsigned 16-bit integer, big-endian. */
  u16(): number {
    this.need(2)
    const value = u16(this.input, this.offset)
    this.offset += 2
    return value
  }

  /** Signed 16-bit integer, big-endian. */
  s16(): number {
    return (this.u16() << 16) >> 16
  }

  /** Unsigned 24-bit integer, big-endian. */
  u24(): number {
    this.need(3)
    const value = u24(this.input, this.offset)
    this.offset += 3
    return value
  }

  /** Signed 24-bit integer, big-endian. */
  s24(): number {
    return (this.u24() << 8) >> 8
  }

  /** Unsigned 32-bit integer, big-endian. */
  u32(): number {
    this.need(4)
    const value = u32(this.input, this.offset)
    this.offset += 4
    return value
  }

  /** Signed 32-bit integer, big-endian. */
  s32(): number {
    return this.u32() | 0
  }

  /** Unsigned 16-bit integer, little-endian. */
  u16Le(): number {
    this.need(2)
    const value = this.#view.getUint16(this.offset, true)
    this.offset += 2
    return value
  }

  /** Unsigned 32-bit integer, little-endian. */
  u32Le(): number {
    this.need(4)
    const value = u32Le(this.input, this.offset)
    this.offset += 4
    return value
  }

  /** IEEE 754 double, big-endian. A NaN may lose its payload bits: use `bytes(8)` where they matter. */
  f64(): number {
    this.need(8)
    const value = this.#view.getFloat64(this.offset)
    this.offset += 8
    return value
  }

  /** A view of the next `count` bytes. */
  bytes(count: number): Uint8Array {
    this.need(count)
    const out = this.input.subarray(this.offset, this.offset + count)
    this.offset += count
    return out
  }

  /** A view of everything not read yet. */
  rest(): Uint8Array {
    const out = this.input.subarray(this.offset)
    this.offset = this.input.length
    return out
  }

  /** `count` bytes as UTF-8, malformed sequences replaced with U+FFFD. */
  utf8(count: number): string {
    return utf8(this.bytes(count))
  }

  /** `count` bytes as UTF-8; throws `BytesError` (`InvalidUtf8`) where malformed. */
  utf8Strict(count: number): string {
    this.need(count)
    const text = utf8Strict(this.input.subarray(this.offset, this.offset + count))
    if (text === undefined) {
      throw new BytesError({ reason: "InvalidUtf8", offset: this.offset, needed: count, available: this.remaining })
    }
    this.offset += count
    return text
  }
}

/**
 * Appends fields to a buffer that grows by doubling.
 *
 * Integers out of their field's range throw `BytesError` (`OutOfRange`): silently truncated lengths are how protocol
 * bugs start. `finish` returns a view of exactly what was written; the writer must not be used afterwards.
 */
export class BytesWriter {
  #buffer: Uint8Array
  #view: DataView
  #length = 0

  constructor(capacity = 256) {
    this.#buffer = new Uint8Array(capacity)
    this.#view = new DataView(this.#buffer.buffer)
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  #reserve(count: number): number {
    const offset = this.#length
    const needed = offset + count
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(needed, this.#buffer.length * 2))
      grown.set(this.#buffer.subarray(0, offset))
      this.#buffer = grown
      this.#view = new DataView(grown.buffer)
    }
    this.#length = needed
    return offset
  }

  #check(value: number, width: number, low: number, high: number): void {
    if (!(Number.isInteger(value) && value >= low && value <= high)) {
      throw new BytesError({ reason: "OutOfRange", offset: this.#length, needed: width, available: width, value })
    }
  }

  /** Unsigned 8-bit integer. */
  u8(value: number): this {
    this.#check(value, 1, 0, 0xff)
    const offset = this.#reserve(1)
    this.#buffer[offset] = value
    return this
  }

  /** Unsigned 16-bit integer, big-endian. */
  u16(value: number): this {
    this.#check(value, 2, 0, 0xffff)
    const offset = this.#reserve(2)
    putU16(this.#buffer, offset, value)
    return this
  }

  /** Signed 16-bit integer, big-endian. */
  s16(value: number): this {
    this.#check(value, 2, -0x8000, 0x7fff)
    return this.u16(value & 0xffff)
  }

  /** Unsigned 24-bit integer, big-endian. */
  u24(value: number): this {
    this.#check(value, 3, 0, 0xffffff)
    const offset = this.#reserve(3)
    putU24(this.#buffer, offset, value)
    return this
  }

  /** Signed 24-bit integer, big-endian. */
  s24(value: number): this {
    this.#check(value, 3, -0x800000, 0x7fffff)
    return this.u24(value & 0xffffff)
  }

  /** Unsigned 32-bit integer, big-endian. */
  u32(value: number): this {
    this.#check(value, 4, 0, 0xffffffff)
    const offset = this.#reserve(4)
    putU32(this.#buffer, offset, value)
    return this
  }

  /** Signed 32-bit integer, big-endian. */
  s32(value: number): this {
    this.#check(value, 4, -0x80000000, 0x7fffffff)
    return this.u32(value >>> 0)
  }

  /** Unsigned 16-bit integer, little-endian. */
  u16Le(value: number): this {
    this.#check(value, 2, 0, 0xffff)
    const offset = this.#reserve(2)
    this.#view.setUint16(offset, value, true)
    return this
  }

  /** Unsigned 32-bit integer, little-endian. */
  u32Le(value: number): this {
    this.#check(value, 4, 0, 0xffffffff)
    const offset = this.#reserve(4)
    putU32Le(this.#buffer, offset, value)
    return this
  }

  /** IEEE 754 double, big-endian. */
  f64(value: number): this {
    const offset = this.#reserve(8)
    this.#view.setFloat64(offset, value)
    return this
  }

  /** Copies `bytes`. */
  bytes(bytes: Uint8Array): this {
    const offset = this.#reserve(bytes.length)
    this.#buffer.set(bytes, offset)
    return this
  }

  /** `text` as UTF-8, with no length in front. */
  utf8(text: string): this {
    return this.bytes(fromUtf8(text))
  }

  /** What was written, as a view. The writer must not be used afterwards. */
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }
}
