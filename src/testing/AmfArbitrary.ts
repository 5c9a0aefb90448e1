/**
 * Arbitraries of AMF values, for property tests of anything that takes or gives AMF.
 *
 * Every generated value is canonical for its encoding: encoding and decoding it gives an equal one. That means strings
 * without lone surrogates, no empty keys, references that name something, and for AMF3 arrays and traits in the one form
 * that the decoder gives. All kinds of value occur, with the numbers and keys that break naive codecs: NaN, -0, the edges of
 * 29 bits, `__proto__`, repeated strings, text beyond ASCII.
 *
 * Nothing nests more than 3 deep, and nothing generated comes near the limits of a decoder.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import type { AmfDictionary, AmfObject, AmfValue } from "../protocol/amf/AmfValue.ts"
import * as Amf from "../protocol/amf/AmfValue.ts"

const NESTING = 3
const MAX_MEMBERS = 4

const oneOf = <A>(...choices: ReadonlyArray<Arbitrary.Arbitrary<A>>): Arbitrary.Arbitrary<A> =>
  Arbitrary.flatMap(
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: choices.length - 1 }))),
    (index) => choices[index]!
  )

const literals = <const A extends ReadonlyArray<string | number>>(values: A): Arbitrary.Arbitrary<A[number]> =>
  Arbitrary.map(
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: values.length - 1 }))),
    (index) => values[index]!
  )

const boolean: Arbitrary.Arbitrary<boolean> = Arbitrary.schema(Schema.Boolean)
const small: Arbitrary.Arbitrary<number> = Arbitrary.schema(
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 }))
)
const int16: Arbitrary.Arbitrary<number> = Arbitrary.schema(
  Schema.Int.check(Schema.isBetween({ minimum: -0x8000, maximum: 0x7fff }))
)
const uint32: Arbitrary.Arbitrary<number> = Arbitrary.schema(
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffffffff }))
)
const bytes: Arbitrary.Arbitrary<Uint8Array> = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))),
  (items) => Uint8Array.from(items)
)

/** Strings that survive UTF-8: plain ones, the vocabulary of RTMP, control characters, two to four byte characters. */
export const string: Arbitrary.Arbitrary<string> = oneOf<string>(
  Arbitrary.map(Arbitrary.schema(Schema.String), (text) => text.toWellFormed()),
  literals([
    "",
    "live",
    "onMetaData",
    "\u0000\r\n\u001b",
    "é",
    "日本語",
    "🎥",
    "\ufeff\ufffd",
    "x".repeat(65),
    "é".repeat(40)
  ])
)

/** Keys of members: never empty, and with those that JavaScript objects already have. */
export const key: Arbitrary.Arbitrary<string> = oneOf<string>(
  literals(["a", "b", "app", "width", "2.1", "0", "__proto__", "constructor", "hasOwnProperty", "clé", "k".repeat(40)]),
  Arbitrary.map(string, (text) => (text === "" ? "_" : text))
)

/** Doubles of all kinds: integers around the edges of 29 and 32 bits, fractions, NaN, infinities and -0. */
export const number: Arbitrary.Arbitrary<number> = oneOf<number>(
  small,
  literals([-1, 127, 128, 16383, 16384, 2097151, 2097152, 2 ** 28 - 1, 2 ** 28, -(2 ** 28), -(2 ** 28) - 1]),
  literals([-0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 5e-324, 1e300, 2 ** 53, 0.1]),
  Arbitrary.schema(Schema.Number)
)

const scalar: Arbitrary.Arbitrary<AmfValue> = oneOf<AmfValue>(
  Arbitrary.Constant(null),
  Arbitrary.Constant(undefined),
  boolean,
  number,
  string
)

const array = <A>(item: Arbitrary.Arbitrary<A>): Arbitrary.Arbitrary<Array<A>> =>
  Arbitrary.array(item, { maxLength: MAX_MEMBERS })

const entries = (value: Arbitrary.Arbitrary<AmfValue>): Arbitrary.Arbitrary<ReadonlyMap<string, AmfValue>> =>
  Arbitrary.map(array(Arbitrary.all([key, value])), (pairs) => new Map(pairs))

// What only AMF3 has and what holds no other value; in AMF0 it stands behind an avmplus marker.
const leaf3: Arbitrary.Arbitrary<AmfValue> = oneOf<AmfValue>(
  Arbitrary.map(string, (text) => Amf.xml(text, "E4X")),
  Arbitrary.map(bytes, Amf.byteArray),
  Arbitrary.map(Arbitrary.all([array(uint32), boolean]), ([items, fixed]) => Amf.intVector(items, fixed)),
  Arbitrary.map(Arbitrary.all([array(uint32), boolean]), ([items, fixed]) => Amf.uintVector(items, fixed)),
  Arbitrary.map(Arbitrary.all([array(number), boolean]), ([items, fixed]) => Amf.doubleVector(items, fixed))
)

const referenceSeed: Arbitrary.Arbitrary<AmfValue> = Arbitrary.map(small, Amf.reference)

const object3 = (members: Arbitrary.Arbitrary<ReadonlyMap<string, AmfValue>>): Arbitrary.Arbitrary<AmfObject> =>
  Arbitrary.map(Arbitrary.all([members, key, boolean, boolean, small]), ([entries, name, named, dynamic, count]) => {
    const className = named ? name : undefined
    const sealed = dynamic ? Math.min(count, entries.size) : entries.size
    return dynamic && sealed === 0
      ? { _tag: "Object", className, entries }
      : { _tag: "Object", className, entries, traits: { sealed, dynamic } }
  })

const dictionary3 = (value: Arbitrary.Arbitrary<AmfValue>): Arbitrary.Arbitrary<AmfDictionary> =>
  Arbitrary.map(Arbitrary.all([array(Arbitrary.all([value, value])), boolean]), ([pairs, weakKeys]) =>
    Amf.dictionary(pairs, weakKeys)
  )

const vector3 = (value: Arbitrary.Arbitrary<AmfValue>): Arbitrary.Arbitrary<AmfValue> =>
  Arbitrary.map(Arbitrary.all([array(value), string, boolean]), ([items, className, fixed]) =>
    Amf.objectVector(items, className, fixed)
  )

const mixed3 = (value: Arbitrary.Arbitrary<AmfValue>): Arbitrary.Arbitrary<AmfValue> =>
  Arbitrary.map(Arbitrary.all([entries(value), array(value)]), ([entries, items]): AmfValue => {
    if (entries.size === 0) return Amf.strictArray(items)
    return items.length === 0 ? { _tag: "EcmaArray", entries } : { _tag: "EcmaArray", entries, dense: items }
  })

const nested3 = (depth: number): Arbitrary.Arbitrary<AmfValue> => {
  const leaves = oneOf<AmfValue>(
    scalar,
    referenceSeed,
    Arbitrary.map(number, (time) => Amf.date(time)),
    Arbitrary.map(string, (text) => Amf.xml(text)),
    leaf3
  )
  if (depth === 0) return leaves
  const inner = nested3(depth - 1)
  return oneOf<AmfValue>(
    leaves,
    object3(entries(inner)),
    mixed3(inner),
    Arbitrary.map(array(inner), Amf.strictArray),
    vector3(inner),
    dictionary3(inner)
  )
}

const avmplus3 = (depth: number): Arbitrary.Arbitrary<AmfValue> =>
  Arbitrary.map(nested3(depth), (value): AmfValue => {
    if (typeof value !== "object" || value === null || value._tag === "Reference") return null
    return value._tag === "Object" || value._tag === "EcmaArray" || value._tag === "StrictArray"
      ? { ...value, avmplus: true }
      : value
  })

const nested0 = (depth: number): Arbitrary.Arbitrary<AmfValue> => {
  const leaves = oneOf<AmfValue>(
    scalar,
    referenceSeed,
    Arbitrary.map(Arbitrary.all([number, int16]), ([time, zone]) => Amf.date(time, zone)),
    Arbitrary.map(string, (text) => Amf.xml(text)),
    Arbitrary.Constant(Amf.unsupported)
  )
  if (depth === 0) return leaves
  const inner = nested0(depth - 1)
  return oneOf<AmfValue>(
    leaves,
    Arbitrary.map(entries(inner), (entries) => ({ _tag: "Object", className: undefined, entries })),
    Arbitrary.map(Arbitrary.all([entries(inner), string]), ([entries, className]) => ({
      _tag: "Object",
      className,
      entries
    })),
    Arbitrary.map(entries(inner), (entries) => ({ _tag: "EcmaArray", entries })),
    Arbitrary.map(array(inner), Amf.strictArray),
    avmplus3(depth)
  )
}

/** Values of one AMF0 message, which share a table of references. Some stand behind an avmplus marker. */
export const amf0Values: Arbitrary.Arbitrary<Array<AmfValue>> = Arbitrary.map(
  Arbitrary.array(nested0(NESTING), { maxLength: MAX_MEMBERS }),
  (values) => settle(values, false)
)

/** Values of one AMF3 sequence, which share tables of references. */
export const amf3Values: Arbitrary.Arbitrary<Array<AmfValue>> = Arbitrary.map(
  Arbitrary.array(nested3(NESTING), { maxLength: MAX_MEMBERS }),
  (values) => settle(values, true)
)

/** Any value that AMF0 can carry. */
export const amf0: Arbitrary.Arbitrary<AmfValue> = Arbitrary.map(nested0(NESTING), (value) => settle([value], false)[0])

/** Any value that AMF3 can carry. */
export const amf3: Arbitrary.Arbitrary<AmfValue> = Arbitrary.map(nested3(NESTING), (value) => settle([value], true)[0])

/** Complex values counted so far, in the order of the wire. */
interface Table {
  count: number
}

/** Turns the seeds of references into references to what precedes them, and those that nothing precedes into null. */
const settle = (values: ReadonlyArray<AmfValue>, isAmf3: boolean): Array<AmfValue> => {
  const table: Table = { count: 0 }
  return values.map((value) => (isAmf3 ? settle3(value, table) : settle0(value, table)))
}

const settleReference = (seed: number, table: Table): AmfValue =>
  table.count === 0 ? null : Amf.reference(seed % table.count)

const settleEntries = (
  entries: ReadonlyMap<string, AmfValue>,
  settleOne: (value: AmfValue, table: Table) => AmfValue,
  table: Table
): ReadonlyMap<string, AmfValue> => {
  const settled = new Map<string, AmfValue>()
  for (const [key, value] of entries) settled.set(key, settleOne(value, table))
  return settled
}

const settle0 = (value: AmfValue, table: Table): AmfValue => {
  if (typeof value !== "object" || value === null) return value
  switch (value._tag) {
    case "Reference":
      return settleReference(value.index, table)
    case "Object":
    case "EcmaArray":
      if (value.avmplus) return settle3(value, { count: 0 })
      table.count++
      return { ...value, entries: settleEntries(value.entries, settle0, table) }
    case "StrictArray":
      if (value.avmplus) return settle3(value, { count: 0 })
      table.count++
      return { ...value, values: value.values.map((item) => settle0(item, table)) }
    case "ObjectVector":
    case "Dictionary":
      return settle3(value, { count: 0 })
    default:
      return value
  }
}

const settle3 = (value: AmfValue, table: Table): AmfValue => {
  if (typeof value !== "object" || value === null) return value
  if (value._tag === "Reference") return settleReference(value.index, table)
  table.count++
  switch (value._tag) {
    case "Object":
      return { ...value, entries: settleEntries(value.entries, settle3, table) }
    case "EcmaArray": {
      const entries = settleEntries(value.entries, settle3, table)
      return value.dense === undefined
        ? { ...value, entries }
        : { ...value, entries, dense: value.dense.map((item) => settle3(item, table)) }
    }
    case "StrictArray":
      return { ...value, values: value.values.map((item) => settle3(item, table)) }
    case "ObjectVector":
      return { ...value, items: value.items.map((item) => settle3(item, table)) }
    case "Dictionary": {
      const entries: Array<readonly [AmfValue, AmfValue]> = []
      for (const [key, item] of value.entries) entries.push([settle3(key, table), settle3(item, table)])
      return { ...value, entries }
    }
    default:
      return value
  }
}
