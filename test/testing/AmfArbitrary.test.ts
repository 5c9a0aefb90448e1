import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import type { AmfValue } from "../../src/protocol/amf/AmfValue.ts"
import * as AmfArbitrary from "../../src/testing/AmfArbitrary.ts"

/** Notes the kinds of `value` and of everything in it. */
const kindsOf = (value: AmfValue, into: Set<string>): void => {
  if (typeof value !== "object" || value === null) {
    into.add(value === null ? "null" : typeof value)
    if (typeof value === "number" && Number.isNaN(value)) into.add("NaN")
    if (Object.is(value, -0)) into.add("-0")
    return
  }
  into.add(value._tag)
  for (const mark of ["avmplus", "traits", "dense"]) if (mark in value) into.add(mark)
  if (value._tag === "Object" || value._tag === "EcmaArray") {
    if (value.entries.has("__proto__")) into.add("__proto__")
    for (const member of value.entries.values()) kindsOf(member, into)
  } else if (value._tag === "StrictArray") {
    for (const item of value.values) kindsOf(item, into)
  } else if (value._tag === "ObjectVector") {
    for (const item of value.items) kindsOf(item, into)
  } else if (value._tag === "Dictionary") {
    for (const item of value.entries.flat()) kindsOf(item, into)
  }
}

const kindsIn = (values: Arbitrary.Arbitrary<Array<AmfValue>>) =>
  Effect.map(Arbitrary.sampleEffect(values, { count: 300, seed: 1 }), (samples) => {
    const kinds = new Set<string>()
    for (const sample of samples) for (const value of sample) kindsOf(value, kinds)
    return [...kinds]
  })

describe("AmfArbitrary", () => {
  const scalars = ["undefined", "null", "boolean", "number", "string", "NaN", "-0", "__proto__"]
  const shared = ["Object", "EcmaArray", "StrictArray", "Date", "Xml", "Reference"]
  const only3 = [
    "ByteArray",
    "IntVector",
    "UintVector",
    "DoubleVector",
    "ObjectVector",
    "Dictionary",
    "traits",
    "dense"
  ]

  it.effect("makes AMF0 values of every kind", () =>
    Effect.map(kindsIn(AmfArbitrary.amf0Values), (kinds) => {
      assert.sameMembers(kinds, [...scalars, ...shared, ...only3, "Unsupported", "avmplus"])
    })
  )

  it.effect("makes AMF3 values of every kind", () =>
    Effect.map(kindsIn(AmfArbitrary.amf3Values), (kinds) => {
      assert.sameMembers(kinds, [...scalars, ...shared, ...only3])
    })
  )
})
