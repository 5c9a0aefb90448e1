/**
 * The AMF3 codec: bytes to `AmfValue` and back (AMF3, January 2013).
 *
 * RTMP itself speaks AMF0, in which AMF3 values stand behind an avmplus marker (`Amf0` calls this module for them); FLV
 * script data of tag type 15 is AMF3 throughout (E-RTMP v2). This module knows values only, no messages.
 *
 * The three reference tables (strings, objects, traits) live as long as one call. String and trait references are
 * resolved, object references stay `AmfReference`: see there.
 *
 * What one decodes to, canonically:
 *
 * - An integer and a double are both a number. Written is an integer where it fits 29 bits signed and is not -0.
 * - An array without named entries is an `AmfStrictArray`, one with them an `AmfEcmaArray` whose dense part, if any, is
 *   in `dense`. So an empty `AmfEcmaArray` comes back as an empty `AmfStrictArray`.
 * - An object has `traits` only where its class is sealed or has sealed members; an anonymous class has no `className`.
 *
 * **Gotchas**
 *
 * - AMF3 has no unsupported marker and no time zone: `AmfUnsupported` is written as undefined, a date without its zone.
 * - The writer repeats traits in line and refers only to strings, which every reader understands.
 * - Externalizable objects are an error: only their class knows where they end.
 * - The payload bits of a NaN are not kept.
 */
import * as Result from "effect/Result"
import { AmfInput, AmfOutput } from "./AmfBuffer.ts"
import {
  type AmfDictionary,
  type AmfEcmaArray,
  AmfError,
  type AmfObject,
  type AmfStrictArray,
  type AmfValue,
  type AmfVector,
  type DecodeOptions,
  type EncodeOptions,
  type First
} from "./AmfValue.ts"

/** Decodes all values up to the end of the input. Fails with the first error; what came before it is not given out. */
export const decode = (bytes: Uint8Array, options?: DecodeOptions): Result.Result<Array<AmfValue>, AmfError> => {
  try {
    const input = new AmfInput(bytes, options?.offset, options?.limits)
    const reader = new Amf3Reader(input)
    const values: Array<AmfValue> = []
    while (input.offset < input.end) values.push(reader.value())
    return Result.succeed(values)
  } catch (error) {
    if (error instanceof AmfError) return Result.fail(error)
    throw error
  }
}

/** Decodes the first value only. `end` is the offset of the byte after it, from the start of the input. */
export const decodeFirst = (bytes: Uint8Array, options?: DecodeOptions): Result.Result<First, AmfError> => {
  try {
    const input = new AmfInput(bytes, options?.offset, options?.limits)
    const value = new Amf3Reader(input).value()
    return Result.succeed({ value, end: input.offset })
  } catch (error) {
    if (error instanceof AmfError) return Result.fail(error)
    throw error
  }
}

/**
 * Encodes a sequence of values that share one set of reference tables.
 *
 * Throws a `RangeError`, a defect of ours, for an empty key, a string or array over 2^28-1 bytes or members, traits that
 * do not fit their object, and nesting over `maxDepth`.
 *
 * **Gotchas** A reference to a value that was not written before becomes undefined: editing a peer's value may take the
 * target away, and must not turn into our defect.
 */
export const encode = (values: ReadonlyArray<AmfValue>, options?: EncodeOptions): Uint8Array => {
  const output = new AmfOutput(options?.maxDepth)
  try {
    const writer = new Amf3Writer(output)
    for (const value of values) writer.value(value)
    return output.finish()
  } finally {
    output.release()
  }
}

const UNDEFINED = 0x00
const NULL = 0x01
const FALSE = 0x02
const TRUE = 0x03
const INTEGER = 0x04
const DOUBLE = 0x05
const STRING = 0x06
const XML_DOCUMENT = 0x07
const DATE = 0x08
const ARRAY = 0x09
const OBJECT = 0x0a
const XML = 0x0b
const BYTE_ARRAY = 0x0c
const VECTOR_INT = 0x0d
const VECTOR_UINT = 0x0e
const VECTOR_DOUBLE = 0x0f
const VECTOR_OBJECT = 0x10
const DICTIONARY = 0x11

const MAX_INTEGER = 0x0fffffff
const MIN_INTEGER = -0x10000000
/** What a U29 with one flag bit can say: lengths in bytes, counts, and indices. */
const MAX_U28 = 0x0fffffff

/** The traits of a class as they were read; `names` are the sealed members. */
interface Traits {
  readonly className: string | undefined
  readonly names: ReadonlyArray<string>
  readonly dynamic: boolean
}

/** Reads AMF3 values from an input that it may share with an AMF0 reader. One reader is one set of tables. */
export class Amf3Reader {
  readonly #input: AmfInput
  readonly #strings: Array<string> = []
  readonly #traits: Array<Traits> = []
  // Object references stay opaque, so all the object table has to know is its length.
  #objects = 0

  constructor(input: AmfInput) {
    this.#input = input
  }

  /** The next value. Throws `AmfError`; the input is dead afterwards. */
  value(): AmfValue {
    const input = this.#input
    input.node()
    const marker = input.u8()
    switch (marker) {
      case UNDEFINED:
        return undefined
      case NULL:
        return null
      case FALSE:
        return false
      case TRUE:
        return true
      case INTEGER:
        return (this.#u29() << 3) >> 3
      case DOUBLE:
        return input.f64()
      case STRING:
        return this.#string(false)
      case XML_DOCUMENT:
      case XML:
      case DATE:
      case ARRAY:
      case OBJECT:
      case BYTE_ARRAY:
      case VECTOR_INT:
      case VECTOR_UINT:
      case VECTOR_DOUBLE:
      case VECTOR_OBJECT:
      case DICTIONARY:
        return this.#complex(marker)
      default:
        return input.fail("UnknownMarker", marker, input.offset - 1)
    }
  }

  /** Unsigned 29-bit integer in 1 to 4 bytes (AMF3 §1.3.1). Longer forms than needed are accepted. */
  #u29(): number {
    const input = this.#input
    let byte = input.u8()
    if (byte < 0x80) return byte
    let value = byte & 0x7f
    for (let i = 0; i < 2; i++) {
      byte = input.u8()
      value = (value << 7) | (byte & 0x7f)
      if (byte < 0x80) return value
    }
    return (value << 8) | input.u8()
  }

  /** A string in line or by reference; `isName` tells keys and class names from values, which share the table. */
  #string(isName: boolean): string {
    const header = this.#u29()
    const length = header >>> 1
    if ((header & 1) === 0) {
      const known = this.#strings[length]
      return known === undefined ? this.#input.fail("BadReference", length) : known
    }
    if (length === 0) return ""
    const input = this.#input
    const text = isName ? input.name(length, input.maxStringBytes) : input.text(length, input.maxStringBytes)
    this.#strings.push(text)
    return text
  }

  #complex(marker: number): AmfValue {
    const input = this.#input
    const header = this.#u29()
    const length = header >>> 1
    if ((header & 1) === 0) {
      input.refer(length, this.#objects)
      return { _tag: "Reference", index: length }
    }
    this.#objects++
    switch (marker) {
      case XML_DOCUMENT:
        return { _tag: "Xml", kind: "Document", text: input.text(length, input.maxStringBytes) }
      case XML:
        return { _tag: "Xml", kind: "E4X", text: input.text(length, input.maxStringBytes) }
      case DATE:
        return { _tag: "Date", time: input.f64(), timeZoneMinutes: 0 }
      case BYTE_ARRAY:
        return { _tag: "ByteArray", bytes: input.blob(length).slice() }
      case VECTOR_INT:
      case VECTOR_UINT:
      case VECTOR_DOUBLE:
        return this.#numbers(marker, length)
    }
    input.enter()
    const value =
      marker === ARRAY
        ? this.#array(length)
        : marker === OBJECT
          ? this.#object(header)
          : marker === DICTIONARY
            ? this.#dictionary(length)
            : this.#objectVector(length)
    input.leave()
    return value
  }

  #numbers(marker: number, count: number): AmfVector {
    const input = this.#input
    const fixed = input.u8() !== 0
    if (marker === VECTOR_DOUBLE) {
      input.count(count, 8)
      const items = new Float64Array(count)
      for (let i = 0; i < count; i++) items[i] = input.f64()
      return { _tag: "DoubleVector", fixed, items }
    }
    input.count(count, 4)
    const items = marker === VECTOR_INT ? new Int32Array(count) : new Uint32Array(count)
    for (let i = 0; i < count; i++) items[i] = input.u32()
    return items instanceof Int32Array ? { _tag: "IntVector", fixed, items } : { _tag: "UintVector", fixed, items }
  }

  #objectVector(count: number): AmfVector {
    const fixed = this.#input.u8() !== 0
    const className = this.#string(true)
    this.#input.countNodes(count)
    return { _tag: "ObjectVector", fixed, className, items: this.#values(count) }
  }

  #values(count: number): Array<AmfValue> {
    const items: Array<AmfValue> = []
    for (let i = 0; i < count; i++) items.push(this.value())
    return items
  }

  #array(count: number): AmfStrictArray | AmfEcmaArray {
    this.#input.countNodes(count)
    const entries = new Map<string, AmfValue>()
    this.#dynamic(entries)
    const values = this.#values(count)
    if (entries.size === 0) return { _tag: "StrictArray", values }
    return count === 0 ? { _tag: "EcmaArray", entries } : { _tag: "EcmaArray", entries, dense: values }
  }

  #dynamic(entries: Map<string, AmfValue>): void {
    for (;;) {
      const key = this.#string(true)
      if (key === "") return
      this.#input.member(entries, key, this.value())
    }
  }

  #object(header: number): AmfObject {
    const traits = this.#traitsOf(header)
    const entries = new Map<string, AmfValue>()
    this.#input.countNodes(traits.names.length)
    for (const name of traits.names) this.#input.member(entries, name, this.value())
    const sealed = entries.size
    if (traits.dynamic) this.#dynamic(entries)
    const className = traits.className
    return sealed === 0 && traits.dynamic
      ? { _tag: "Object", className, entries }
      : { _tag: "Object", className, entries, traits: { sealed, dynamic: traits.dynamic } }
  }

  /** The traits that the U29 of an object stands for: bit 1 clear refers, bit 2 is externalizable, bit 3 dynamic (AMF3 §3.12). */
  #traitsOf(header: number): Traits {
    const input = this.#input
    if ((header & 2) === 0) {
      const index = header >>> 2
      return this.#traits[index] ?? input.fail("BadReference", index)
    }
    if ((header & 4) !== 0) input.fail("Externalizable", 0)
    const count = header >>> 4
    const className = this.#string(true)
    input.count(count, 1)
    const names: Array<string> = []
    for (let i = 0; i < count; i++) {
      const name = this.#string(true)
      // A sealed member without a name cannot be told from the end of the dynamic ones, and no class has one.
      if (name === "") input.fail("EmptyKey", 0)
      names.push(name)
    }
    const traits: Traits = {
      className: className === "" ? undefined : className,
      names,
      dynamic: (header & 8) !== 0
    }
    this.#traits.push(traits)
    return traits
  }

  #dictionary(count: number): AmfDictionary {
    const weakKeys = this.#input.u8() !== 0
    this.#input.countNodes(2 * count)
    const entries: Array<readonly [AmfValue, AmfValue]> = []
    for (let i = 0; i < count; i++) {
      const key = this.value()
      entries.push([key, this.value()])
    }
    return { _tag: "Dictionary", weakKeys, entries }
  }
}

/** Writes AMF3 values to an output that it may share with an AMF0 writer. One writer is one set of tables. */
export class Amf3Writer {
  readonly #output: AmfOutput
  readonly #strings = new Map<string, number>()
  // The markers of the complex values written so far, because a reference repeats the marker of what it refers to.
  readonly #objects: Array<number> = []

  constructor(output: AmfOutput) {
    this.#output = output
  }

  /** Appends a value. Throws a `RangeError` for what cannot be written. */
  value(value: AmfValue): void {
    const output = this.#output
    switch (typeof value) {
      case "undefined":
        output.u8(UNDEFINED)
        return
      case "boolean":
        output.u8(value ? TRUE : FALSE)
        return
      case "number":
        this.#number(value)
        return
      case "string":
        output.u8(STRING)
        this.#string(value)
        return
    }
    if (value === null) {
      output.u8(NULL)
      return
    }
    switch (value._tag) {
      case "Unsupported":
        output.u8(UNDEFINED)
        return
      case "Reference": {
        const marker = this.#objects[value.index]
        if (marker === undefined) {
          output.u8(UNDEFINED)
          return
        }
        output.u8(marker)
        this.#u29(value.index << 1)
        return
      }
      case "Xml":
        this.#blob(value.kind === "E4X" ? XML : XML_DOCUMENT, output.utf8(value.text))
        return
      case "ByteArray":
        this.#blob(BYTE_ARRAY, value.bytes)
        return
      case "Date":
        this.#head(DATE, 0)
        output.f64(value.time)
        return
      case "IntVector":
      case "UintVector":
        this.#head(value._tag === "IntVector" ? VECTOR_INT : VECTOR_UINT, value.items.length)
        output.u8(value.fixed ? 1 : 0)
        for (const item of value.items) output.u32(item)
        return
      case "DoubleVector":
        this.#head(VECTOR_DOUBLE, value.items.length)
        output.u8(value.fixed ? 1 : 0)
        for (const item of value.items) output.f64(item)
        return
    }
    output.enter()
    switch (value._tag) {
      case "StrictArray":
        this.#head(ARRAY, value.values.length)
        output.u8(0x01)
        for (const item of value.values) this.value(item)
        break
      case "EcmaArray":
        this.#head(ARRAY, value.dense?.length ?? 0)
        this.#dynamic(value.entries, 0)
        if (value.dense !== undefined) for (const item of value.dense) this.value(item)
        break
      case "ObjectVector":
        this.#head(VECTOR_OBJECT, value.items.length)
        output.u8(value.fixed ? 1 : 0)
        this.#string(value.className)
        for (const item of value.items) this.value(item)
        break
      case "Dictionary":
        this.#head(DICTIONARY, value.entries.length)
        output.u8(value.weakKeys ? 1 : 0)
        for (const [key, item] of value.entries) {
          this.value(key)
          this.value(item)
        }
        break
      case "Object":
        this.#object(value)
        break
    }
    output.leave()
  }

  #number(value: number): void {
    const output = this.#output
    if (value >= MIN_INTEGER && value <= MAX_INTEGER && Number.isInteger(value) && !Object.is(value, -0)) {
      output.u8(INTEGER)
      this.#u29(value & 0x1fffffff)
      return
    }
    output.u8(DOUBLE)
    output.f64(value)
  }

  #u29(value: number): void {
    const output = this.#output
    if (value >= 0x200000) {
      output.u8((value >>> 22) | 0x80)
      output.u8(((value >>> 15) & 0x7f) | 0x80)
      output.u8(((value >>> 8) & 0x7f) | 0x80)
      output.u8(value & 0xff)
      return
    }
    if (value >= 0x4000) output.u8((value >>> 14) | 0x80)
    if (value >= 0x80) output.u8(((value >>> 7) & 0x7f) | 0x80)
    output.u8(value & 0x7f)
  }

  /** The U29 of something in line: a length or count above the flag bit. */
  #inline(length: number): void {
    if (length > MAX_U28) throw new RangeError(`${length} bytes or members do not fit an AMF3 length`)
    this.#u29((length << 1) | 1)
  }

  #head(marker: number, length: number): void {
    this.#output.u8(marker)
    this.#inline(length)
    this.#objects.push(marker)
  }

  #blob(marker: number, bytes: Uint8Array): void {
    this.#head(marker, bytes.length)
    this.#output.raw(bytes)
  }

  #string(text: string): void {
    if (text === "") {
      this.#output.u8(0x01)
      return
    }
    const index = this.#strings.get(text)
    if (index !== undefined) {
      this.#u29(index << 1)
      return
    }
    this.#strings.set(text, this.#strings.size)
    const output = this.#output
    const length = output.ascii(text, 1)
    if (length >= 0 && length < 64) {
      output.bytes[output.length - length - 1] = (length << 1) | 1
      return
    }
    if (length >= 0) output.length -= length + 1
    const bytes = output.utf8(text)
    this.#inline(bytes.length)
    output.raw(bytes)
  }

  #key(key: string): void {
    if (key === "") throw new RangeError("an AMF member without a name")
    this.#string(key)
  }

  /** Named entries from number `from` on, and the empty key. */
  #dynamic(entries: ReadonlyMap<string, AmfValue>, from: number): void {
    let at = 0
    for (const [key, value] of entries) {
      if (at++ < from) continue
      this.#key(key)
      this.value(value)
    }
    this.#output.u8(0x01)
  }

  #object(value: AmfObject): void {
    const sealed = value.traits?.sealed ?? 0
    const dynamic = value.traits?.dynamic ?? true
    if (sealed > value.entries.size || (!dynamic && sealed < value.entries.size)) {
      throw new RangeError(`traits with ${sealed} sealed members do not fit an object of ${value.entries.size}`)
    }
    if (sealed > MAX_U28 >>> 3) throw new RangeError(`${sealed} sealed members do not fit AMF3 traits`)
    this.#output.u8(OBJECT)
    this.#u29((sealed << 4) | (dynamic ? 0x0b : 0x03))
    this.#objects.push(OBJECT)
    this.#string(value.className ?? "")
    this.#sealed(value.entries, sealed, true)
    this.#sealed(value.entries, sealed, false)
    if (dynamic) this.#dynamic(value.entries, sealed)
  }

  /** The names, or then the values, of the first `count` entries. */
  #sealed(entries: ReadonlyMap<string, AmfValue>, count: number, names: boolean): void {
    if (count === 0) return
    let at = 0
    for (const [key, value] of entries) {
      if (at++ === count) return
      if (names) this.#key(key)
      else this.value(value)
    }
  }
}
