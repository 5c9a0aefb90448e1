/**
 * What AMF carries: one union for AMF0 and AMF3, its constructors, tolerant accessors, limits and the error of both codecs.
 *
 * This module holds data only: `Amf0` and `Amf3` turn it into bytes and back. Scalars are JavaScript's own
 * (`undefined`, `null`, booleans, numbers, strings), everything else is a plain object with a `_tag`.
 *
 * **Gotchas**
 *
 * - Members live in a `Map`, so `__proto__`, `constructor` and the like are keys as any other, and the order of the
 *   wire is kept. Of a key that occurs twice the last value wins, in the place of the first.
 * - References are never followed: an `AmfReference` is a leaf. Resolving them would make cycles and let a small message
 *   describe an enormous value.
 * - XML is text. Nothing here parses it.
 * - A decoded value holds no view of the bytes it came from, so it may be kept.
 */
import * as Data from "effect/Data"

/** Any value of AMF0 or AMF3. */
export type AmfValue =
  | undefined
  | null
  | boolean
  | number
  | string
  | AmfObject
  | AmfEcmaArray
  | AmfStrictArray
  | AmfDate
  | AmfXml
  | AmfReference
  | AmfUnsupported
  | AmfByteArray
  | AmfVector
  | AmfDictionary

/** The kinds of AMF3 vector (AMF3 §3.15). */
export type AmfVector = AmfIntVector | AmfUintVector | AmfDoubleVector | AmfObjectVector

/**
 * How AMF3 lays out a class (AMF3 §3.12): the first `sealed` entries of the object are sealed members, and only a
 * `dynamic` class has entries after them.
 */
export interface AmfTraits {
  readonly sealed: number
  readonly dynamic: boolean
}

/**
 * An object: anonymous (AMF0 §2.5), or of a class where `className` is given (AMF0 §2.18, AMF3 §3.12).
 *
 * - `traits`: only AMF3 has them. Absent means what almost every encoder writes: all members dynamic, none sealed.
 * - `avmplus`: in AMF0, the value stood behind an avmplus marker and is written behind one again.
 */
export interface AmfObject {
  readonly _tag: "Object"
  readonly className: string | undefined
  readonly entries: ReadonlyMap<string, AmfValue>
  readonly traits?: AmfTraits
  readonly avmplus?: true
}

/**
 * An ECMA array (AMF0 §2.10): the same members as an object, with another marker.
 *
 * - `dense`: the values at the ordinal indices of an AMF3 array that has named entries too (AMF3 §3.11). An AMF3 array
 *   without named entries is an `AmfStrictArray`.
 * - `avmplus`: as for `AmfObject`.
 */
export interface AmfEcmaArray {
  readonly _tag: "EcmaArray"
  readonly entries: ReadonlyMap<string, AmfValue>
  readonly dense?: ReadonlyArray<AmfValue>
  readonly avmplus?: true
}

/** An array of values at indices 0, 1, … (AMF0 §2.12, AMF3 §3.11). `avmplus`: as for `AmfObject`. */
export interface AmfStrictArray {
  readonly _tag: "StrictArray"
  readonly values: ReadonlyArray<AmfValue>
  readonly avmplus?: true
}

/**
 * A point in time (AMF0 §2.13, AMF3 §3.10): `time` in milliseconds since 1970-01-01 UTC, NaN included, and
 * `timeZoneMinutes`, which AMF0 carries though it is reserved and to be ignored; always 0 in AMF3.
 */
export interface AmfDate {
  readonly _tag: "Date"
  readonly time: number
  readonly timeZoneMinutes: number
}

/** An XML text, not parsed: a legacy `Document` (AMF0 §2.17, AMF3 §3.9) or an `E4X` value, which only AMF3 has (AMF3 §3.13). */
export interface AmfXml {
  readonly _tag: "Xml"
  readonly kind: "Document" | "E4X"
  readonly text: string
}

/**
 * A reference to a complex value that came earlier in the same message (AMF0 §2.9, AMF3 §2.2), kept as its index.
 *
 * The index counts complex values in their order of appearance, from 0, in the table of the encoding the reference
 * stands in. It may name a value that encloses the reference.
 */
export interface AmfReference {
  readonly _tag: "Reference"
  readonly index: number
}

/** The marker for a value that the writer could not express (AMF0 §2.15). AMF3 has no such marker. */
export interface AmfUnsupported {
  readonly _tag: "Unsupported"
}

/** Raw bytes (AMF3 §3.14). In AMF0 it stands behind an avmplus marker. */
export interface AmfByteArray {
  readonly _tag: "ByteArray"
  readonly bytes: Uint8Array
}

/** A vector of signed 32-bit integers (AMF3 §3.15). In AMF0 it stands behind an avmplus marker. */
export interface AmfIntVector {
  readonly _tag: "IntVector"
  readonly fixed: boolean
  readonly items: Int32Array
}

/** A vector of unsigned 32-bit integers (AMF3 §3.15). In AMF0 it stands behind an avmplus marker. */
export interface AmfUintVector {
  readonly _tag: "UintVector"
  readonly fixed: boolean
  readonly items: Uint32Array
}

/** A vector of doubles (AMF3 §3.15). In AMF0 it stands behind an avmplus marker. */
export interface AmfDoubleVector {
  readonly _tag: "DoubleVector"
  readonly fixed: boolean
  readonly items: Float64Array
}

/** A vector of values of the class `className`, `""` for any (AMF3 §3.15). In AMF0 it stands behind an avmplus marker. */
export interface AmfObjectVector {
  readonly _tag: "ObjectVector"
  readonly fixed: boolean
  readonly className: string
  readonly items: ReadonlyArray<AmfValue>
}

/**
 * A dictionary (AMF3 §3.16): pairs whose keys are values of any kind, in the order of the wire, repeated keys kept.
 * In AMF0 it stands behind an avmplus marker.
 */
export interface AmfDictionary {
  readonly _tag: "Dictionary"
  readonly weakKeys: boolean
  readonly entries: ReadonlyArray<readonly [key: AmfValue, value: AmfValue]>
}

/** Why a decoder gave up; see `AmfError`. */
export type AmfErrorReason =
  | "EndOfInput"
  | "UnknownMarker"
  | "EmptyKey"
  | "BadReference"
  | "AmbiguousReference"
  | "CountTooLarge"
  | "StringTooLong"
  | "TooDeep"
  | "TooManyNodes"
  | "Externalizable"

/**
 * The input is not AMF, or is more of it than the limits allow. Nothing that was decoded before is given out.
 *
 * `offset` is the byte offset from the start of the input at which the decoder stood, and `value` the number at fault:
 *
 * - `EndOfInput`: a field, or a string of its declared length, goes past the end; `value` is the bytes it needs.
 * - `UnknownMarker`: movie clip, recordset, object end out of place, or a marker that no version defines; `value` is the marker.
 * - `EmptyKey`: an empty key that is not followed by the object end marker, or an unnamed sealed member; `value` is the byte after it.
 * - `BadReference`: a reference to an object, string or traits that has not occurred; `value` is the index.
 * - `AmbiguousReference`: a repeated key and a reference in one message. The dropped value would leave the table wrong; `value` is 0.
 * - `CountTooLarge`: an array, vector, dictionary or class announces more members than bytes follow; `value` is the count (of keys and values).
 * - `StringTooLong`, `TooDeep`, `TooManyNodes`: past a limit of `AmfLimits`; `value` is the length, depth or node count.
 * - `Externalizable`: an object whose class alone knows its length (AMF3 §3.12); `value` is 0.
 */
export class AmfError extends Data.TaggedError("AmfError")<{
  readonly reason: AmfErrorReason
  readonly offset: number
  readonly value: number
}> {
  override get message(): string {
    switch (this.reason) {
      case "EndOfInput":
        return `needed ${this.value} bytes at offset ${this.offset}, past the end of the input`
      case "UnknownMarker":
        return `marker 0x${this.value.toString(16).padStart(2, "0")} at offset ${this.offset} begins no value`
      case "EmptyKey":
        return `empty key at offset ${this.offset} without the end of its object`
      case "BadReference":
        return `reference ${this.value} at offset ${this.offset} names nothing`
      case "AmbiguousReference":
        return `references and repeated keys in one message, at offset ${this.offset}`
      case "CountTooLarge":
        return `${this.value} members announced at offset ${this.offset}, more than the input can hold`
      case "StringTooLong":
        return `string of ${this.value} bytes at offset ${this.offset} is over the limit`
      case "TooDeep":
        return `nested ${this.value} deep at offset ${this.offset}, over the limit`
      case "TooManyNodes":
        return `${this.value} values up to offset ${this.offset}, over the limit`
      case "Externalizable":
        return `externalizable object at offset ${this.offset}`
    }
  }
}

/**
 * What a decoder accepts from a peer, per call.
 *
 * - `maxDepth`: containers inside each other; a container at the top is 1 deep. More than 256 counts as 256, so that
 *   no configuration can exhaust the stack.
 * - `maxStringBytes`: UTF-8 bytes of one string, key, class name or XML text, and bytes of one byte array.
 * - `maxNodes`: values in total, scalars and references included, keys and the elements of numeric vectors not.
 */
export interface AmfLimits {
  readonly maxDepth: number
  readonly maxStringBytes: number
  readonly maxNodes: number
}

/** Limits for commands: 32 deep, 64 KiB strings, 4096 values. What a decoder uses where none are given. */
export const commandLimits: AmfLimits = { maxDepth: 32, maxStringBytes: 65536, maxNodes: 4096 }

/** Limits for stream metadata: 32 deep, 64 KiB strings, 65536 values. */
export const metadataLimits: AmfLimits = { maxDepth: 32, maxStringBytes: 65536, maxNodes: 65536 }

/**
 * What every decoder takes: `limits` (`commandLimits` unless given), and `offset`, the index of the first byte to decode
 * (0 unless given; past the end it is an `EndOfInput` error).
 */
export interface DecodeOptions {
  readonly limits?: AmfLimits | undefined
  readonly offset?: number | undefined
}

/** What every encoder takes: `maxDepth`, the containers inside each other that it writes; 32 unless given, 256 at most. */
export interface EncodeOptions {
  readonly maxDepth?: number | undefined
}

/** The first value of an input, and the offset of the byte after it. */
export interface First {
  readonly value: AmfValue
  readonly end: number
}

/**
 * An object with the own members of `entries`, in their order.
 *
 * **Gotchas**
 *
 * - In an object literal `__proto__: x` sets the prototype and makes no member, and keys such as `"1"` move to the front.
 *   Build the `Map` yourself where that matters.
 * - A member that is `undefined` is written as AMF's undefined: leave it out to have it absent.
 */
export const object = (entries: Readonly<Record<string, AmfValue>>, className?: string): AmfObject => ({
  _tag: "Object",
  className,
  entries: new Map(Object.entries(entries))
})

/** An ECMA array with the own members of `entries`, in their order. The gotchas of `object` apply. */
export const ecmaArray = (entries: Readonly<Record<string, AmfValue>>): AmfEcmaArray => ({
  _tag: "EcmaArray",
  entries: new Map(Object.entries(entries))
})

/** A strict array of `values`. */
export const strictArray = (values: ReadonlyArray<AmfValue>): AmfStrictArray => ({ _tag: "StrictArray", values })

/** A date: milliseconds since 1970-01-01 UTC, and the time zone field of AMF0 (signed 16-bit minutes, 0 unless given). */
export const date = (time: number, timeZoneMinutes = 0): AmfDate => ({ _tag: "Date", time, timeZoneMinutes })

/** An XML text; a legacy document unless `kind` says otherwise. */
export const xml = (text: string, kind: AmfXml["kind"] = "Document"): AmfXml => ({ _tag: "Xml", kind, text })

/** A reference to the complex value number `index` of its message. */
export const reference = (index: number): AmfReference => ({ _tag: "Reference", index })

/** The value for what a writer could not express. */
export const unsupported: AmfUnsupported = { _tag: "Unsupported" }

/** A byte array. `bytes` is not copied. */
export const byteArray = (bytes: Uint8Array): AmfByteArray => ({ _tag: "ByteArray", bytes })

/** A vector of signed 32-bit integers; others wrap. */
export const intVector = (items: ArrayLike<number>, fixed = false): AmfIntVector => ({
  _tag: "IntVector",
  fixed,
  items: Int32Array.from(items)
})

/** A vector of unsigned 32-bit integers; others wrap. */
export const uintVector = (items: ArrayLike<number>, fixed = false): AmfUintVector => ({
  _tag: "UintVector",
  fixed,
  items: Uint32Array.from(items)
})

/** A vector of doubles. */
export const doubleVector = (items: ArrayLike<number>, fixed = false): AmfDoubleVector => ({
  _tag: "DoubleVector",
  fixed,
  items: Float64Array.from(items)
})

/** A vector of values of one class; `""`, the default, stands for any. */
export const objectVector = (items: ReadonlyArray<AmfValue>, className = "", fixed = false): AmfObjectVector => ({
  _tag: "ObjectVector",
  fixed,
  className,
  items
})

/** A dictionary of the given pairs. */
export const dictionary = (
  entries: ReadonlyArray<readonly [key: AmfValue, value: AmfValue]>,
  weakKeys = false
): AmfDictionary => ({ _tag: "Dictionary", weakKeys, entries })

/**
 * The named members of an object or an ECMA array, `undefined` for any other value.
 *
 * **Gotchas** RTMP peers use the two interchangeably: OBS and FFmpeg send metadata as an ECMA array, others as an
 * object, and the command object of connect may be either.
 */
export const entriesOf = (value: AmfValue): ReadonlyMap<string, AmfValue> | undefined =>
  typeof value === "object" && value !== null && (value._tag === "Object" || value._tag === "EcmaArray")
    ? value.entries
    : undefined

/**
 * The member `key` of an object or an ECMA array; `undefined` where there is none, or where `value` is neither.
 * A member that is AMF's undefined counts as absent.
 */
export const get = (value: AmfValue, key: string): AmfValue => entriesOf(value)?.get(key)

/** The member `key` where it is a string. A member of another type counts as absent. */
export const getString = (value: AmfValue, key: string): string | undefined => {
  const member = get(value, key)
  return typeof member === "string" ? member : undefined
}

/** The member `key` where it is a number, NaN and infinities included. A member of another type counts as absent. */
export const getNumber = (value: AmfValue, key: string): number | undefined => {
  const member = get(value, key)
  return typeof member === "number" ? member : undefined
}

/** The member `key` where it is a boolean. A member of another type counts as absent. */
export const getBoolean = (value: AmfValue, key: string): boolean | undefined => {
  const member = get(value, key)
  return typeof member === "boolean" ? member : undefined
}

/**
 * The values of the member `key` where it is an array: the values of a strict array, or of an ECMA array the dense part
 * and then the named values in their order. A member of another type counts as absent.
 */
export const getArray = (value: AmfValue, key: string): ReadonlyArray<AmfValue> | undefined => {
  const member = get(value, key)
  if (typeof member !== "object" || member === null) return undefined
  if (member._tag === "StrictArray") return member.values
  return member._tag === "EcmaArray" ? [...(member.dense ?? []), ...member.entries.values()] : undefined
}
