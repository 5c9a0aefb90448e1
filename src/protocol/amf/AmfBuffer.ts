/**
 * What the AMF0 and AMF3 codecs share: the input with its budgets, and the output that grows.
 *
 * One input serves one call. It is handed from the AMF0 reader to the AMF3 reader and back at an avmplus marker, so that
 * depth and node count run on. This is machinery of `Amf0` and `Amf3`; nothing else has a use for it.
 *
 * `BytesReader` and `BytesWriter` are not used here because these are the hottest small fields of the server: short
 * ASCII strings are read and written without `TextDecoder`, keys are interned, and no `DataView` is made per call.
 */
import * as Bytes from "../Bytes.ts"
import { AmfError, type AmfErrorReason, type AmfLimits, commandLimits } from "./AmfValue.ts"

/** The deepest nesting that any limit can allow: bounds the recursion of readers and writers. */
export const HARD_MAX_DEPTH = 256

/** The nesting that the encoders write unless told otherwise. */
export const DEFAULT_MAX_DEPTH = 32

/** What an AMF0 length of 16 bits can say, in bytes. */
export const MAX_SHORT_STRING_BYTES = 0xffff

// One scratch for every double: a typed array to put the bytes in, and a view of them. Both codecs are synchronous.
const scratch = new Uint8Array(8)
const scratchView = new DataView(scratch.buffer)

/**
 * The bytes being decoded, the place reached, and what is left of the budgets.
 *
 * Every method that reads checks its bounds and throws `AmfError`; the codecs catch it at their boundary. The input is
 * dead after an error: throw it away.
 */
export class AmfInput {
  /** The whole input. */
  readonly bytes: Uint8Array
  /** The index after the last byte. */
  readonly end: number
  /** The index of the next byte. */
  offset: number
  /** Limit on the UTF-8 bytes of one string. */
  readonly maxStringBytes: number
  readonly #maxDepth: number
  readonly #maxNodes: number
  #depth = 0
  #nodes = 0
  #referenced = false
  #repeated = false

  constructor(bytes: Uint8Array, offset = 0, limits: AmfLimits = commandLimits) {
    this.bytes = bytes
    this.end = bytes.length
    this.offset = offset
    this.maxStringBytes = limits.maxStringBytes
    this.#maxDepth = Math.min(limits.maxDepth, HARD_MAX_DEPTH)
    this.#maxNodes = limits.maxNodes
    if (offset > bytes.length) this.fail("EndOfInput", offset - bytes.length, bytes.length)
  }

  /** Gives up. `offset` is where, the place reached unless given. */
  fail(reason: AmfErrorReason, value: number, offset = this.offset): never {
    throw new AmfError({ reason, offset, value })
  }

  /** Counts one value against the node budget. */
  node(): void {
    if (++this.#nodes > this.#maxNodes) this.fail("TooManyNodes", this.#nodes)
  }

  /** Goes into a container. `leave` follows only where all went well, as an error ends the input. */
  enter(): void {
    if (++this.#depth > this.#maxDepth) this.fail("TooDeep", this.#depth)
  }

  /** Comes out of a container. */
  leave(): void {
    this.#depth--
  }

  /** Checks `count` members of at least `bytesEach` bytes against the bytes that follow. */
  count(count: number, bytesEach: number): void {
    if (count * bytesEach > this.end - this.offset) this.fail("CountTooLarge", count)
  }

  /** Checks `count` members that are values against the node budget, before any of them is read. */
  countNodes(count: number): void {
    this.count(count, 1)
    if (this.#nodes + count > this.#maxNodes) this.fail("TooManyNodes", this.#nodes + count)
  }

  /**
   * Notes a reference to `index` in a table of `length` complex values.
   *
   * References are indices into the table of the writer, which also counted a value that a repeated key replaced. The
   * two together would come out wrong when encoded again, so a message has one or the other.
   */
  refer(index: number, length: number): void {
    if (index >= length) this.fail("BadReference", index)
    this.#referenced = true
    if (this.#repeated) this.fail("AmbiguousReference", 0)
  }

  /** Stores a member, noting a repeated key; see `refer`. */
  member<A>(entries: Map<string, A>, key: string, value: A): void {
    const size = entries.size
    entries.set(key, value)
    if (entries.size !== size) return
    this.#repeated = true
    if (this.#referenced) this.fail("AmbiguousReference", 0)
  }

  /** Unsigned 8-bit integer. */
  u8(): number {
    if (this.offset >= this.end) this.fail("EndOfInput", 1)
    return this.bytes[this.offset++]!
  }

  /** Unsigned 16-bit integer. */
  u16(): number {
    const offset = this.offset
    if (offset + 2 > this.end) this.fail("EndOfInput", 2)
    this.offset = offset + 2
    return Bytes.u16(this.bytes, offset)
  }

  /** Unsigned 32-bit integer. */
  u32(): number {
    const offset = this.offset
    if (offset + 4 > this.end) this.fail("EndOfInput", 4)
    this.offset = offset + 4
    return Bytes.u32(this.bytes, offset)
  }

  /** IEEE 754 double. */
  f64(): number {
    const { bytes, offset } = this
    if (offset + 8 > this.end) this.fail("EndOfInput", 8)
    this.offset = offset + 8
    for (let i = 0; i < 8; i++) scratch[i] = bytes[offset + i]!
    return scratchView.getFloat64(0)
  }

  /** A view of the next `length` bytes, checked against `maxStringBytes`. */
  blob(length: number): Uint8Array {
    const offset = this.offset
    if (length > this.end - offset) this.fail("EndOfInput", length)
    if (length > this.maxStringBytes) this.fail("StringTooLong", length)
    this.offset = offset + length
    return this.bytes.subarray(offset, this.offset)
  }

  /**
   * `length` bytes as UTF-8, malformed sequences replaced with U+FFFD.
   *
   * `maxBytes` bounds the length on the wire and also the UTF-8 length of the result, which replacing makes up to three
   * times as long: so what was decoded can always be encoded.
   */
  text(length: number, maxBytes: number): string {
    const start = this.offset
    if (length > this.end - start) this.fail("EndOfInput", length)
    if (length > maxBytes) this.fail("StringTooLong", length)
    const ascii = length <= 64 ? shortAscii(this.bytes, start, start + length) : undefined
    if (ascii !== undefined) {
      this.offset = start + length
      return ascii
    }
    const text = Bytes.utf8(this.bytes.subarray(start, start + length))
    if (length * 3 > maxBytes && text.includes("\ufffd")) {
      const replacedLength = Bytes.fromUtf8(text).length
      if (replacedLength > maxBytes) this.fail("StringTooLong", replacedLength)
    }
    this.offset = start + length
    return text
  }

  /** As `text`, for keys and class names: short ASCII ones are interned. */
  name(length: number, maxBytes: number): string {
    if (length <= INTERNED_BYTES && length <= this.end - this.offset && length <= maxBytes) {
      const known = intern(this.bytes, this.offset, length)
      if (known !== undefined) {
        this.offset += length
        return known
      }
    }
    return this.text(length, maxBytes)
  }
}

/** Decodes up to 64 bytes of ASCII, or gives `undefined` where a byte is not. `TextDecoder` costs more up to about that length. */
const shortAscii = (bytes: Uint8Array, start: number, end: number): string | undefined => {
  let text = ""
  let i = start
  for (; i + 8 <= end; i += 8) {
    const a = bytes[i]!
    const b = bytes[i + 1]!
    const c = bytes[i + 2]!
    const d = bytes[i + 3]!
    const e = bytes[i + 4]!
    const f = bytes[i + 5]!
    const g = bytes[i + 6]!
    const h = bytes[i + 7]!
    if ((a | b | c | d | e | f | g | h) > 0x7f) return undefined
    text += String.fromCharCode(a, b, c, d, e, f, g, h)
  }
  for (; i < end; i++) {
    const a = bytes[i]!
    if (a > 0x7f) return undefined
    text += String.fromCharCode(a)
  }
  return text
}

// Keys come from a small vocabulary ("width", "tcUrl", …). A direct-mapped table of strings seen before spares making
// and hashing each anew (metadata decodes 2.5 times as fast), and holds at most 512 strings of 32 characters whatever
// peers send. Values, which may be secrets, never enter it.
const INTERNED_BYTES = 32
const interned: Array<string> = new Array<string>(512).fill("")

const intern = (bytes: Uint8Array, start: number, length: number): string | undefined => {
  const end = start + length
  let hash = length
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!
    if (byte > 0x7f) return undefined
    hash = (Math.imul(hash, 31) + byte) | 0
  }
  const slot = (hash ^ (hash >>> 9)) & 511
  const known = interned[slot]!
  if (known.length === length) {
    let i = 0
    while (i < length && known.charCodeAt(i) === bytes[start + i]) i++
    if (i === length) return known
  }
  const text = shortAscii(bytes, start, end)
  if (text !== undefined) interned[slot] = text
  return text
}

// The buffer is taken while a value is encoded and put back after, so that a call inside a call gets one of its own.
const POOLED_BYTES = 16384
let pooled: Uint8Array | undefined = new Uint8Array(POOLED_BYTES)
const utf8Encoder = new TextEncoder()

/** Bytes that grow by doubling. Misuse throws a `RangeError`. */
export class AmfOutput {
  /** The buffer; longer than what is written. */
  bytes: Uint8Array
  /** Bytes written so far. */
  length = 0
  readonly #maxDepth: number
  #depth = 0

  constructor(maxDepth = DEFAULT_MAX_DEPTH) {
    this.bytes = pooled ?? new Uint8Array(1024)
    pooled = undefined
    this.#maxDepth = Math.min(maxDepth, HARD_MAX_DEPTH)
  }

  /** What was written, as bytes of its own. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.length)
  }

  /** Gives the buffer back. Called once, last, and after a throw too. */
  release(): void {
    if (this.bytes.length <= POOLED_BYTES) pooled = this.bytes
  }

  /** Goes into a container. */
  enter(): void {
    if (++this.#depth > this.#maxDepth) throw new RangeError(`an AMF value nested over ${this.#maxDepth} deep`)
  }

  /** Comes out of a container. */
  leave(): void {
    this.#depth--
  }

  /** Makes room for `count` bytes and gives the offset of the first; `length` moves by `count`. */
  reserve(count: number): number {
    const offset = this.length
    const needed = offset + count
    if (needed > this.bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2))
      grown.set(this.bytes.subarray(0, offset))
      this.bytes = grown
    }
    this.length = needed
    return offset
  }

  /** Unsigned 8-bit integer. */
  u8(value: number): void {
    const offset = this.reserve(1)
    this.bytes[offset] = value
  }

  /** Unsigned 16-bit integer. */
  u16(value: number): void {
    const offset = this.reserve(2)
    Bytes.putU16(this.bytes, offset, value)
  }

  /** Unsigned 32-bit integer. */
  u32(value: number): void {
    const offset = this.reserve(4)
    Bytes.putU32(this.bytes, offset, value)
  }

  /** IEEE 754 double. */
  f64(value: number): void {
    const offset = this.reserve(8)
    const bytes = this.bytes
    scratchView.setFloat64(0, value)
    for (let i = 0; i < 8; i++) bytes[offset + i] = scratch[i]!
  }

  /** Copies `bytes`. */
  raw(bytes: Uint8Array): void {
    const offset = this.reserve(bytes.length)
    this.bytes.set(bytes, offset)
  }

  /** Writes `text` where it is short ASCII, `headerBytes` after the place reached, and gives its length; otherwise -1 and nothing is written. */
  ascii(text: string, headerBytes: number): number {
    const length = text.length
    if (length > 64) return -1
    const offset = this.reserve(headerBytes + length)
    const bytes = this.bytes
    let at = offset + headerBytes
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) {
        this.length = offset
        return -1
      }
      bytes[at++] = code
    }
    return length
  }

  /** `text` as UTF-8, in bytes of its own. A lone surrogate becomes U+FFFD. */
  utf8(text: string): Uint8Array {
    return utf8Encoder.encode(text)
  }
}
