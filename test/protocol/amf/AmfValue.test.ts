import { deepStrictEqual } from "node:assert"
import { assert, describe, it } from "@effect/vitest"
import type { AmfValue } from "../../../src/protocol/amf/AmfValue.ts"
import * as Amf from "../../../src/protocol/amf/AmfValue.ts"

describe("AmfValue accessors", () => {
  const members = { text: "t", empty: "", number: Number.NaN, zero: 0, no: false, nothing: null }

  for (const record of [Amf.object(members), Amf.object(members, "C"), Amf.ecmaArray(members)]) {
    it(`read members of an ${record._tag}`, () => {
      assert.strictEqual(Amf.get(record, "text"), "t")
      assert.strictEqual(Amf.get(record, "nothing"), null)
      assert.strictEqual(Amf.get(record, "other"), undefined)
      assert.strictEqual(Amf.getString(record, "text"), "t")
      assert.strictEqual(Amf.getString(record, "empty"), "")
      assert.isNaN(Amf.getNumber(record, "number"))
      assert.strictEqual(Amf.getNumber(record, "zero"), 0)
      assert.strictEqual(Amf.getBoolean(record, "no"), false)
    })

    it(`take a member of the wrong type in an ${record._tag} for absent`, () => {
      for (const key of ["number", "no", "nothing", "other"]) assert.strictEqual(Amf.getString(record, key), undefined)
      for (const key of ["text", "no", "nothing", "other"]) assert.strictEqual(Amf.getNumber(record, key), undefined)
      for (const key of ["text", "zero", "nothing", "other"]) assert.strictEqual(Amf.getBoolean(record, key), undefined)
      for (const key of ["text", "zero", "nothing", "other"]) assert.strictEqual(Amf.getArray(record, key), undefined)
    })
  }

  it("find nothing in a value that has no members", () => {
    const values: ReadonlyArray<AmfValue> = [
      undefined,
      null,
      true,
      1,
      "length",
      Amf.strictArray(["x"]),
      Amf.date(0),
      Amf.xml("x"),
      Amf.reference(0),
      Amf.unsupported,
      Amf.byteArray(Uint8Array.of(1)),
      Amf.dictionary([["length", 1]])
    ]
    for (const value of values) {
      for (const key of ["length", "0", "entries", "_tag"]) assert.strictEqual(Amf.get(value, key), undefined)
      assert.strictEqual(Amf.entriesOf(value), undefined)
    }
  })

  it("find no member that was not sent, whatever JavaScript objects inherit", () => {
    for (const key of ["__proto__", "constructor", "hasOwnProperty", "toString", "size", "get"]) {
      assert.strictEqual(Amf.get(Amf.object({}), key), undefined)
    }
  })

  it("read arrays of all forms", () => {
    const value = Amf.object({
      strict: Amf.strictArray(["av01", "hvc1"]),
      ecma: Amf.ecmaArray({ 0: "av01", 1: "hvc1" }),
      mixed: { ...Amf.ecmaArray({ x: "hvc1" }), dense: ["av01"] },
      object: Amf.object({ 0: "av01" })
    })
    for (const key of ["strict", "ecma", "mixed"]) deepStrictEqual(Amf.getArray(value, key), ["av01", "hvc1"])
    assert.strictEqual(Amf.getArray(value, "object"), undefined)
  })
})

describe("AmfValue constructors", () => {
  it("keep the order of members and members that are undefined", () => {
    deepStrictEqual(
      [...Amf.object({ b: 1, a: undefined }).entries],
      [
        ["b", 1],
        ["a", undefined]
      ]
    )
    deepStrictEqual(
      [...Amf.ecmaArray({ b: 1, a: null }).entries],
      [
        ["b", 1],
        ["a", null]
      ]
    )
  })

  it("wrap integers to the width of their vector", () => {
    deepStrictEqual(Amf.intVector([0xffffffff]).items, Int32Array.of(-1))
    deepStrictEqual(Amf.uintVector([-1]).items, Uint32Array.of(0xffffffff))
  })
})

describe("AmfError", () => {
  it("says what happened, where, and with which number, for every reason", () => {
    const reasons: ReadonlyArray<Amf.AmfErrorReason> = [
      "EndOfInput",
      "UnknownMarker",
      "EmptyKey",
      "BadReference",
      "AmbiguousReference",
      "CountTooLarge",
      "StringTooLong",
      "TooDeep",
      "TooManyNodes",
      "Externalizable"
    ]
    const messages = reasons.map((reason) => new Amf.AmfError({ reason, offset: 4711, value: 18 }).message)
    assert.strictEqual(new Set(messages).size, reasons.length)
    for (const message of messages) assert.include(message, "4711")
  })
})
