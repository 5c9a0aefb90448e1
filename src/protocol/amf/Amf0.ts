/**
 * The AMF0 codec: bytes to `AmfValue` and back (AMF0, the encoding of RTMP commands and of stream metadata).
 *
 * This module knows values only; what a command or a metadata message looks like is for `Command` and `media/`. It is a
 * function of its input: tables of references live as long as one call, and an input that failed is dead.
 *
 * An avmplus marker (0x11) switches to AMF3 for one value, with reference tables of its own, and back. What only AMF3 can
 * say (byte arrays, vectors, dictionaries, E4X, sealed members, arrays with a dense and a named part) is written that way.
 *
 * **Gotchas**
 *
 * - The count of an ECMA array is advisory: OBS writes it exactly, FFmpeg patches it in later, others write 0. Members are
 *   read to the object end, always.
 * - Some encoders leave out the object end of metadata: see `lenientEnd`.
 * - An empty key that is not followed by the object end marker is an error, although FFmpeg skips the byte: readers that
 *   disagree about where an object ends disagree about what it says.
 * - Strings that are not UTF-8 decode with U+FFFD, so they do not come back as the same bytes. To relay metadata as it
 *   was, relay its bytes.
 * - The payload bits of a NaN are not kept. To echo a number bit for bit, take its 8 bytes from between the ends that
 *   `decodeFirst` gives.
 */
import * as Result from "effect/Result"
import { Amf3Reader, Amf3Writer } from "./Amf3.ts"
import { AmfInput, AmfOutput, MAX_SHORT_STRING_BYTES } from "./AmfBuffer.ts"
import {
  type AmfEcmaArray,
  AmfError,
  type AmfObject,
  type AmfStrictArray,
  type AmfValue,
  type DecodeOptions,
  type EncodeOptions,
  type First,
  unsupported
} from "./AmfValue.ts"

/**
 * What the AMF0 decoders take besides `DecodeOptions`.
 *
 * `lenientEnd` accepts the end of the input, where a key would begin, as the end of an object or ECMA array that is not
 * inside another value. For metadata; a command that ends so is cut off.
 *
 * `required` is how many values there must be: what behind them is no value is ignored, with everything after it.
 */
export interface Amf0DecodeOptions extends DecodeOptions {
  readonly lenientEnd?: boolean | undefined
  readonly required?: number | undefined
}

/** Decodes all values up to the end of the input. Fails with the first error; what came before it is not given out. */
export const decode = (bytes: Uint8Array, options?: Amf0DecodeOptions): Result.Result<Array<AmfValue>, AmfError> => {
  const values: Array<AmfValue> = []
  try {
    const input = new AmfInput(bytes, options?.offset, options?.limits)
    const reader = new Amf0Reader(input, options?.lenientEnd === true)
    while (input.offset < input.end) values.push(reader.value())
    return Result.succeed(values)
  } catch (error) {
    if (!(error instanceof AmfError)) throw error
    return values.length >= (options?.required ?? Number.POSITIVE_INFINITY)
      ? Result.succeed(values)
      : Result.fail(error)
  }
}

/**
 * Decodes the first value only. `end` is the offset of the byte after it, from the start of the input.
 *
 * **Gotchas** Values decoded one call at a time do not share a reference table, as those of one message should.
 */
export const decodeFirst = (bytes: Uint8Array, options?: Amf0DecodeOptions): Result.Result<First, AmfError> => {
  try {
    const input = new AmfInput(bytes, options?.offset, options?.limits)
    const value = new Amf0Reader(input, options?.lenientEnd === true).value()
    return Result.succeed({ value, end: input.offset })
  } catch (error) {
    if (error instanceof AmfError) return Result.fail(error)
    throw error
  }
}

/**
 * Encodes a sequence of values, the body of one message. Strings over 65535 bytes are written as long strings.
 *
 * Throws a `RangeError`, a defect of ours, for an empty key, a key or class name over 65535 bytes, a string over 4 GiB, a
 * time zone outside 16 bits, and nesting over `maxDepth` (which also ends a value that contains itself).
 *
 * **Gotchas** A reference to a value that was not written before becomes undefined: editing a peer's value may take the
 * target away, and must not turn into our defect.
 */
export const encode = (values: ReadonlyArray<AmfValue>, options?: EncodeOptions): Uint8Array => {
  const output = new AmfOutput(options?.maxDepth)
  try {
    const writer = new Amf0Writer(output)
    for (const value of values) writer.value(value)
    return output.finish()
  } finally {
    output.release()
  }
}

const NUMBER = 0x00
const BOOLEAN = 0x01
const STRING = 0x02
const OBJECT = 0x03
const NULL = 0x05
const UNDEFINED = 0x06
const REFERENCE = 0x07
const ECMA_ARRAY = 0x08
const OBJECT_END = 0x09
const STRICT_ARRAY = 0x0a
const DATE = 0x0b
const LONG_STRING = 0x0c
const UNSUPPORTED = 0x0d
const XML_DOCUMENT = 0x0f
const TYPED_OBJECT = 0x10
const AVMPLUS = 0x11

class Amf0Reader {
  readonly #input: AmfInput
  readonly #lenientEnd: boolean
  // References stay opaque, so all the table of complex values has to know is its length.
  #complex = 0
  #depth = 0

  constructor(input: AmfInput, lenientEnd: boolean) {
    this.#input = input
    this.#lenientEnd = lenientEnd
  }

  value(): AmfValue {
    const input = this.#input
    input.node()
    const marker = input.u8()
    switch (marker) {
      case NUMBER:
        return input.f64()
      case BOOLEAN:
        return input.u8() !== 0
      case STRING:
        return input.text(input.u16(), input.maxStringBytes)
      case OBJECT:
        return { _tag: "Object", className: undefined, entries: this.#members() }
      case NULL:
        return null
      case UNDEFINED:
        return undefined
      case REFERENCE: {
        const index = input.u16()
        input.refer(index, this.#complex)
        return { _tag: "Reference", index }
      }
      case ECMA_ARRAY:
        input.u32()
        return { _tag: "EcmaArray", entries: this.#members() }
      case STRICT_ARRAY:
        return this.#strictArray()
      case DATE: {
        const time = input.f64()
        return { _tag: "Date", time, timeZoneMinutes: (input.u16() << 16) >> 16 }
      }
      case LONG_STRING:
        return input.text(input.u32(), input.maxStringBytes)
      case UNSUPPORTED:
        return unsupported
      case XML_DOCUMENT:
        return { _tag: "Xml", kind: "Document", text: input.text(input.u32(), input.maxStringBytes) }
      case TYPED_OBJECT: {
        const className = this.#name(input.u16())
        return { _tag: "Object", className, entries: this.#members() }
      }
      case AVMPLUS:
        return avmplus(new Amf3Reader(input).value())
      default:
        return input.fail("UnknownMarker", marker, input.offset - 1)
    }
  }

  /** A key or class name: 16 bits of length both ways, so replacing malformed bytes may not make it longer than that. */
  #name(length: number): string {
    return this.#input.name(length, Math.min(this.#input.maxStringBytes, MAX_SHORT_STRING_BYTES))
  }

  #enter(): void {
    this.#input.enter()
    this.#complex++
    this.#depth++
  }

  #leave(): void {
    this.#input.leave()
    this.#depth--
  }

  #members(): Map<string, AmfValue> {
    const input = this.#input
    const lenientEnd = this.#lenientEnd && this.#depth === 0
    const entries = new Map<string, AmfValue>()
    this.#enter()
    while (!(lenientEnd && input.offset === input.end)) {
      const length = input.u16()
      if (length === 0) {
        const marker = input.u8()
        if (marker !== OBJECT_END) input.fail("EmptyKey", marker, input.offset - 3)
        break
      }
      const key = this.#name(length)
      input.member(entries, key, this.value())
    }
    this.#leave()
    return entries
  }

  #strictArray(): AmfStrictArray {
    const count = this.#input.u32()
    this.#enter()
    this.#input.countNodes(count)
    const values: Array<AmfValue> = []
    for (let i = 0; i < count; i++) values.push(this.value())
    this.#leave()
    return { _tag: "StrictArray", values }
  }
}

/** Marks what came from behind an avmplus marker, where AMF0 could say the same and references would change tables. */
const avmplus = (value: AmfValue): AmfValue =>
  typeof value === "object" &&
  value !== null &&
  (value._tag === "Object" || value._tag === "EcmaArray" || value._tag === "StrictArray")
    ? { ...value, avmplus: true }
    : value

class Amf0Writer {
  readonly #output: AmfOutput
  #complex = 0

  constructor(output: AmfOutput) {
    this.#output = output
  }

  value(value: AmfValue): void {
    const output = this.#output
    switch (typeof value) {
      case "undefined":
        output.u8(UNDEFINED)
        return
      case "boolean": {
        const offset = output.reserve(2)
        output.bytes[offset] = BOOLEAN
        output.bytes[offset + 1] = value ? 1 : 0
        return
      }
      case "number":
        output.u8(NUMBER)
        output.f64(value)
        return
      case "string":
        this.#string(value)
        return
    }
    if (value === null) {
      output.u8(NULL)
      return
    }
    switch (value._tag) {
      case "Object":
        this.#object(value)
        return
      case "EcmaArray":
        this.#ecmaArray(value)
        return
      case "StrictArray":
        this.#strictArray(value)
        return
      case "Date":
        this.#date(value.time, value.timeZoneMinutes)
        return
      case "Reference":
        if (!(value.index < this.#complex && value.index >= 0 && value.index <= 0xffff)) {
          output.u8(UNDEFINED)
          return
        }
        output.u8(REFERENCE)
        output.u16(value.index)
        return
      case "Unsupported":
        output.u8(UNSUPPORTED)
        return
      case "Xml":
        if (value.kind === "E4X") {
          this.#avmplus(value)
          return
        }
        output.u8(XML_DOCUMENT)
        this.#long(output.utf8(value.text))
        return
      default:
        this.#avmplus(value)
        return
    }
  }

  #avmplus(value: AmfValue): void {
    this.#output.u8(AVMPLUS)
    new Amf3Writer(this.#output).value(value)
  }

  #string(text: string): void {
    const output = this.#output
    const length = output.ascii(text, 3)
    if (length >= 0) {
      const offset = output.length - length - 3
      output.bytes[offset] = STRING
      output.bytes[offset + 1] = 0
      output.bytes[offset + 2] = length
      return
    }
    const bytes = output.utf8(text)
    if (bytes.length > MAX_SHORT_STRING_BYTES) {
      output.u8(LONG_STRING)
      this.#long(bytes)
      return
    }
    output.u8(STRING)
    output.u16(bytes.length)
    output.raw(bytes)
  }

  #long(bytes: Uint8Array): void {
    if (bytes.length > 0xffffffff) throw new RangeError(`${bytes.length} bytes do not fit an AMF0 string`)
    this.#output.u32(bytes.length)
    this.#output.raw(bytes)
  }

  /** A key or class name: its length in 16 bits and its bytes. */
  #name(text: string): void {
    const output = this.#output
    const length = output.ascii(text, 2)
    if (length >= 0) {
      const offset = output.length - length - 2
      output.bytes[offset] = 0
      output.bytes[offset + 1] = length
      return
    }
    const bytes = output.utf8(text)
    if (bytes.length > MAX_SHORT_STRING_BYTES) throw new RangeError(`an AMF0 name of ${bytes.length} bytes`)
    output.u16(bytes.length)
    output.raw(bytes)
  }

  #members(entries: ReadonlyMap<string, AmfValue>): void {
    const output = this.#output
    output.enter()
    this.#complex++
    for (const [key, value] of entries) {
      if (key === "") throw new RangeError("an AMF member without a name")
      this.#name(key)
      this.value(value)
    }
    const offset = output.reserve(3)
    output.bytes[offset] = 0
    output.bytes[offset + 1] = 0
    output.bytes[offset + 2] = OBJECT_END
    output.leave()
  }

  #object(value: AmfObject): void {
    if (value.avmplus === true || value.traits !== undefined) {
      this.#avmplus(value)
      return
    }
    if (value.className === undefined) {
      this.#output.u8(OBJECT)
    } else {
      this.#output.u8(TYPED_OBJECT)
      this.#name(value.className)
    }
    this.#members(value.entries)
  }

  #ecmaArray(value: AmfEcmaArray): void {
    if (value.avmplus === true || value.dense !== undefined) {
      this.#avmplus(value)
      return
    }
    this.#output.u8(ECMA_ARRAY)
    this.#output.u32(value.entries.size)
    this.#members(value.entries)
  }

  #strictArray(value: AmfStrictArray): void {
    if (value.avmplus === true) {
      this.#avmplus(value)
      return
    }
    const output = this.#output
    output.enter()
    this.#complex++
    output.u8(STRICT_ARRAY)
    output.u32(value.values.length)
    for (const item of value.values) this.value(item)
    output.leave()
  }

  #date(time: number, timeZoneMinutes: number): void {
    if (!(timeZoneMinutes >= -0x8000 && timeZoneMinutes <= 0x7fff)) {
      throw new RangeError(`a time zone of ${timeZoneMinutes} minutes does not fit 16 bits`)
    }
    this.#output.u8(DATE)
    this.#output.f64(time)
    this.#output.u16(timeZoneMinutes & 0xffff)
  }
}
