import { deepStrictEqual } from "node:assert"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Amf0 from "../../../src/protocol/amf/Amf0.ts"
import type { AmfErrorReason, AmfLimits, AmfValue } from "../../../src/protocol/amf/AmfValue.ts"
import * as Amf from "../../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../../src/protocol/Bytes.ts"
import * as AmfArbitrary from "../../../src/testing/AmfArbitrary.ts"
import * as obsMetadata from "./obsMetadata.ts"

const hex = Bytes.fromHex
const byte = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
const position = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff })))

const decode = (bytes: Uint8Array, options?: Amf0.Amf0DecodeOptions): Array<AmfValue> =>
  Result.getOrThrow(Amf0.decode(bytes, options))

const failure = (bytes: Uint8Array, options?: Amf0.Amf0DecodeOptions): Amf.AmfError => {
  const result = Amf0.decode(bytes, options)
  if (Result.isSuccess(result)) assert.fail(`decoded ${Bytes.hex(bytes)}`)
  assert.instanceOf(result.failure, Amf.AmfError)
  return result.failure
}

const reasonOf = (bytes: Uint8Array, options?: Amf0.Amf0DecodeOptions): AmfErrorReason => failure(bytes, options).reason

const limits = (changed: Partial<AmfLimits>): { readonly limits: AmfLimits } => ({
  limits: { ...Amf.metadataLimits, ...changed }
})

/** Encoding what was decoded gives bytes that decode to the same. */
const assertStable = (values: ReadonlyArray<AmfValue>): void =>
  deepStrictEqual(decode(Amf0.encode(values), { limits: Amf.metadataLimits }), values)

describe("Amf0 golden bytes", () => {
  const golden: ReadonlyArray<readonly [name: string, bytes: string, value: AmfValue]> = [
    ["number 1", "00 3ff0000000000000", 1],
    ["number 0", "00 0000000000000000", 0],
    ["number -0", "00 8000000000000000", -0],
    ["number -2000", "00 c09f400000000000", -2000],
    ["number infinity", "00 7ff0000000000000", Number.POSITIVE_INFINITY],
    ["number -infinity", "00 fff0000000000000", Number.NEGATIVE_INFINITY],
    ["number NaN", "00 7ff8000000000000", Number.NaN],
    ["boolean true", "01 01", true],
    ["boolean false", "01 00", false],
    ["string empty", "02 0000", ""],
    ["string", "02 0007 636f6e6e656374", "connect"],
    ["string of two, three and four byte characters", "02 0009 c3a9 e697a5 f09f8ea5", "é日🎥"],
    ["object empty", "03 000009", Amf.object({})],
    ["object", "03 0003617070 0200046c697665 0001 6e 05 000009", Amf.object({ app: "live", n: null })],
    ["null", "05", null],
    ["undefined", "06", undefined],
    ["ECMA array empty", "08 00000000 000009", Amf.ecmaArray({})],
    ["ECMA array", "08 00000001 0003322e31 0101 000009", Amf.ecmaArray({ "2.1": true })],
    ["strict array empty", "0a 00000000", Amf.strictArray([])],
    ["strict array", "0a 00000002 05 020001 61", Amf.strictArray([null, "a"])],
    ["date", "0b 4278bcfe56800000 ffc4", Amf.date(1_700_000_000_000, -60)],
    ["date NaN", "0b 7ff8000000000000 7fff", Amf.date(Number.NaN, 0x7fff)],
    ["unsupported", "0d", Amf.unsupported],
    ["XML document", "0f 00000004 3c612f3e", Amf.xml("<a/>")],
    ["typed object", "10 0001 43 0001 78 0101 000009", Amf.object({ x: true }, "C")],
    ["typed object without a name", "10 0000 000009", Amf.object({}, "")],
    ["reference to the enclosing object", "03 0001 61 07 0000 000009", Amf.object({ a: Amf.reference(0) })],
    ["AMF3 byte array", "11 0c 05 cafe", Amf.byteArray(hex("cafe"))],
    ["AMF3 E4X", "11 0b 03 61", Amf.xml("a", "E4X")],
    ["AMF3 object", "11 0a 0b 01 03 61 04 05 01", { ...Amf.object({ a: 5 }), avmplus: true }],
    ["AMF3 array", "11 09 03 01 04 05", { ...Amf.strictArray([5]), avmplus: true }]
  ]
  for (const [name, bytes, value] of golden) {
    it(`decodes and encodes: ${name}`, () => {
      deepStrictEqual(decode(hex(bytes)), [value])
      deepStrictEqual(Amf0.encode([value]), hex(bytes))
    })
  }

  const decodedOnly: ReadonlyArray<readonly [name: string, bytes: string, value: AmfValue]> = [
    ["boolean 2 is true", "01 02", true],
    ["long string", "0c 00000002 6869", "hi"],
    [
      "ECMA array whose count is too low",
      "08 00000000 0001 61 05 0001 62 05 000009",
      Amf.ecmaArray({ a: null, b: null })
    ],
    [
      "ECMA array whose count is absurd",
      "08 ffffffff 0001 61 05 0001 62 05 000009",
      Amf.ecmaArray({ a: null, b: null })
    ],
    ["AMF3 integer", "11 04 ffffffff", -1],
    ["AMF3 double", "11 05 3ff8000000000000", 1.5],
    ["AMF3 string", "11 06 05 6869", "hi"],
    ["AMF3 date", "11 08 01 0000000000000000", Amf.date(0)],
    ["AMF3 legacy XML", "11 07 03 61", Amf.xml("a")],
    ["bytes that are no UTF-8", "02 0003 61 ff 62", "a\ufffdb"]
  ]
  for (const [name, bytes, value] of decodedOnly) {
    it(`decodes: ${name}`, () => {
      deepStrictEqual(decode(hex(bytes)), [value])
      assertStable([value])
    })
  }

  it("decodes and encodes the connect command of a publisher", () => {
    const bytes = hex(`020007636f6e6e656374 003ff0000000000000
      03 0003617070 0200046c697665 0005746355726c 02000d72746d703a2f2f682f6c697665 000009`)
    const values = ["connect", 1, Amf.object({ app: "live", tcUrl: "rtmp://h/live" })]
    deepStrictEqual(decode(bytes), values)
    deepStrictEqual(Amf0.encode(values), bytes)
  })

  it("decodes and encodes the status that starts a publication", () => {
    const bytes = hex(`0200086f6e537461747573 000000000000000000 05
      03 00056c6576656c 020006737461747573
         0004636f6465 0200174e657453747265616d2e5075626c6973682e5374617274
         000b6465736372697074696f6e 0200026f6b 000009`)
    const info = Amf.object({ level: "status", code: "NetStream.Publish.Start", description: "ok" })
    deepStrictEqual(decode(bytes), ["onStatus", 0, null, info])
    deepStrictEqual(Amf0.encode(["onStatus", 0, null, info]), bytes)
  })

  it("decodes and encodes the metadata of OBS", () => {
    deepStrictEqual(decode(obsMetadata.bytes), obsMetadata.values)
    deepStrictEqual(Amf0.encode(obsMetadata.values), obsMetadata.bytes)
  })

  it("goes back to AMF0 after one AMF3 value, and gives each its own reference tables", () => {
    const array3 = "09 03 01 06 03 61"
    deepStrictEqual(decode(hex(`11 ${array3} 02 0001 62 11 ${array3} 05`)), [
      { ...Amf.strictArray(["a"]), avmplus: true },
      "b",
      { ...Amf.strictArray(["a"]), avmplus: true },
      null
    ])
    // A string reference, an object reference and a traits reference into the tables of the value before.
    assert.strictEqual(reasonOf(hex(`11 ${array3} 11 06 00`)), "BadReference")
    assert.strictEqual(reasonOf(hex(`11 ${array3} 11 0a 00`)), "BadReference")
    assert.strictEqual(reasonOf(hex("11 0a 0b 01 01 11 0a 01")), "BadReference")
    // What stands behind the marker is no entry of the AMF0 table.
    assert.strictEqual(reasonOf(hex("11 0a 0b 01 01 07 0000")), "BadReference")
  })

  it("writes what only AMF3 can say behind a switch marker", () => {
    const sealed: AmfValue = { ...Amf.object({ x: 1 }), traits: { sealed: 1, dynamic: false } }
    const mixed: AmfValue = { ...Amf.ecmaArray({ x: 1 }), dense: [2] }
    const plain = [sealed, mixed, Amf.intVector([-1]), Amf.dictionary([["k", 1]])]
    const bytes = Amf0.encode(plain)
    assert.strictEqual(bytes[0], 0x11)
    deepStrictEqual(decode(bytes), [{ ...sealed, avmplus: true }, { ...mixed, avmplus: true }, plain[2], plain[3]])
  })
})

describe("Amf0 strings", () => {
  for (const length of [0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 255, 256, 65_535]) {
    it(`writes ${length} bytes as a string`, () => {
      for (const text of ["x".repeat(length), `${"x".repeat(Math.max(0, length - 2))}é`.slice(0, length)]) {
        const bytes = Amf0.encode([text])
        const size = Bytes.fromUtf8(text).length
        assert.strictEqual(bytes[0], size > 65_535 ? 0x0c : 0x02)
        deepStrictEqual(decode(bytes, limits({ maxStringBytes: 70_000 })), [text])
      }
    })
  }

  it("writes 65536 bytes as a long string, counting bytes and not characters", () => {
    for (const text of ["x".repeat(65_536), "é".repeat(32_768)]) {
      const bytes = Amf0.encode([text])
      deepStrictEqual(bytes.subarray(0, 5), hex("0c 00010000"))
      deepStrictEqual(decode(bytes), [text])
    }
  })

  it("keeps text at every length and script apart, as key and as value", () => {
    for (let length = 0; length < 80; length++) {
      for (const fill of ["a", "é", "🎥"]) {
        const text = `${"k".repeat(length)}${fill}`
        const value = Amf.object({ [text]: text })
        deepStrictEqual(decode(Amf0.encode([value])), [value])
      }
    }
  })

  it("tells keys apart that differ in one byte, whatever was read before", () => {
    const keys: Array<string> = []
    for (let i = 0; i < 3000; i++) keys.push(`key${i}`)
    const value = Amf.object(Object.fromEntries(keys.map((key) => [key, key])))
    for (let round = 0; round < 2; round++) {
      const [decoded] = decode(Amf0.encode([value]))
      assert.deepStrictEqual([...(Amf.entriesOf(decoded)?.keys() ?? [])], keys)
    }
  })

  it("replaces malformed bytes in keys and class names, and can write the result again", () => {
    const values = decode(hex("10 0001 ff 0002 c3 28 05 000009"))
    deepStrictEqual(values, [Amf.object({ "\ufffd(": null }, "\ufffd")])
    assertStable(values)
  })

  it("writes a lone surrogate as the replacement character", () => {
    deepStrictEqual(decode(Amf0.encode(["a\ud800"])), ["a\ufffd"])
  })
})

describe("Amf0 members", () => {
  it("takes the last of repeated keys", () => {
    deepStrictEqual(decode(hex("03 0001 61 020001 78 0001 62 05 0001 61 020001 79 000009")), [
      Amf.object({ a: "y", b: null })
    ])
  })

  it("takes names of JavaScript's own properties as data", () => {
    const names = ["__proto__", "constructor", "hasOwnProperty", "toString"]
    const value: AmfValue = {
      _tag: "Object",
      className: undefined,
      entries: new Map(names.map((name) => [name, name]))
    }
    const [decoded] = decode(Amf0.encode([value]))
    deepStrictEqual(decoded, value)
    for (const name of names) assert.strictEqual(Amf.get(decoded, name), name)
    assert.strictEqual(Amf.get(decode(hex("03 000009"))[0], "__proto__"), undefined)
  })

  it("keeps the order of the wire", () => {
    const [decoded] = decode(hex("08 00000000 0001 32 05 0001 61 05 0001 31 05 000009"))
    assert.deepStrictEqual([...(Amf.entriesOf(decoded)?.keys() ?? [])], ["2", "a", "1"])
  })

  it("keeps nothing of the input", () => {
    const bytes = hex("02 0002 6869 11 0c 05 cafe 03 0001 61 020001 62 000009")
    const values = decode(bytes)
    bytes.fill(0xff)
    deepStrictEqual(values, ["hi", Amf.byteArray(hex("cafe")), Amf.object({ a: "b" })])
  })
})

describe("Amf0 decodeFirst and offsets", () => {
  it("gives the first value and where it ends, from the start of the input", () => {
    const bytes = hex("ffff 02 0002 6869 05 ff")
    deepStrictEqual(Result.getOrThrow(Amf0.decodeFirst(bytes, { offset: 2 })), { value: "hi", end: 7 })
    deepStrictEqual(Result.getOrThrow(Amf0.decodeFirst(bytes, { offset: 7 })), { value: null, end: 8 })
    const last = Amf0.decodeFirst(bytes, { offset: 8 })
    assert.deepInclude(Result.isFailure(last) ? last.failure : {}, { reason: "UnknownMarker", offset: 8, value: 0xff })
  })

  it("decodes from an offset to the end, and nothing at the end", () => {
    deepStrictEqual(decode(hex("00 05 06"), { offset: 1 }), [null, undefined])
    deepStrictEqual(decode(hex("00"), { offset: 1 }), [])
    deepStrictEqual(decode(Bytes.empty), [])
  })

  it("has no first value at the end of the input, and none past it", () => {
    for (const offset of [1, 2, 100]) {
      const result = Amf0.decodeFirst(hex("05"), { offset })
      assert.strictEqual(Result.isFailure(result) ? result.failure.reason : "", "EndOfInput")
    }
    assert.strictEqual(reasonOf(hex("05"), { offset: 2 }), "EndOfInput")
  })
})

describe("Amf0 lenientEnd", () => {
  const lenientEnd = { lenientEnd: true }

  it("takes the end of the input for the end of an object, an ECMA array or a typed object at the top", () => {
    deepStrictEqual(decode(hex("03 0001 61 05"), lenientEnd), [Amf.object({ a: null })])
    deepStrictEqual(decode(hex("08 00000001 0001 61 05"), lenientEnd), [Amf.ecmaArray({ a: null })])
    deepStrictEqual(decode(hex("10 0001 43 0001 61 05"), lenientEnd), [Amf.object({ a: null }, "C")])
    deepStrictEqual(decode(hex("03 000009 03 0001 61 05"), lenientEnd), [Amf.object({}), Amf.object({ a: null })])
    deepStrictEqual(decode(hex("05 08 00000000"), lenientEnd), [null, Amf.ecmaArray({})])
    deepStrictEqual(Result.getOrThrow(Amf0.decodeFirst(hex("03"), lenientEnd)), { value: Amf.object({}), end: 1 })
  })

  it("takes the metadata of OBS without its object end", () => {
    deepStrictEqual(decode(obsMetadata.bytes.subarray(0, obsMetadata.bytes.length - 3), lenientEnd), obsMetadata.values)
  })

  it("still needs every value whole, and the end of what is inside another value", () => {
    for (const bytes of [
      "03 00",
      "03 0000",
      "03 0001",
      "03 0001 61",
      "03 0001 61 00 3f",
      "03 0001 61 03",
      "0a 00000001 03"
    ]) {
      assert.strictEqual(reasonOf(hex(bytes), lenientEnd), "EndOfInput", bytes)
    }
  })

  it("is not the default", () => {
    assert.strictEqual(reasonOf(hex("03 0001 61 05")), "EndOfInput")
    assert.strictEqual(reasonOf(hex("08 00000001 0001 61 05")), "EndOfInput")
  })
})

describe("Amf0 hostile input", () => {
  const nested = (unit: string, count: number): Uint8Array => hex(unit.repeat(count))

  const cases: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reason: AmfErrorReason]> = [
    ["objects nested 10^5 deep", nested("03000161", 100_000), "TooDeep"],
    ["ECMA arrays nested 10^5 deep", nested("0800000000000161", 100_000), "TooDeep"],
    ["strict arrays nested 10^5 deep", nested("0a00000001", 100_000), "TooDeep"],
    ["typed objects nested 10^5 deep", nested("100000000161", 100_000), "TooDeep"],
    ["AMF3 arrays nested 10^5 deep behind a switch", Bytes.concat([hex("11"), nested("090301", 100_000)]), "TooDeep"],
    ["string longer than the input", hex("02 0005 61"), "EndOfInput"],
    ["string of 65535 bytes that are not there", hex("02 ffff 6161"), "EndOfInput"],
    ["long string of 4 GiB", hex("0c ffffffff 61"), "EndOfInput"],
    ["XML of 4 GiB", hex("0f ffffffff 61"), "EndOfInput"],
    ["key longer than the input", hex("03 ffff 61"), "EndOfInput"],
    ["class name longer than the input", hex("10 ffff 61"), "EndOfInput"],
    ["strict array of 2^32-1", hex("0a ffffffff 05 05"), "CountTooLarge"],
    ["strict array one longer than the input", hex("0a 00000003 05 05"), "CountTooLarge"],
    [
      "strict array of a million nulls",
      Bytes.concat([hex("0a 000f4240"), new Uint8Array(1e6).fill(5)]),
      "TooManyNodes"
    ],
    ["a million nulls", new Uint8Array(1e6).fill(5), "TooManyNodes"],
    ["empty key without object end", hex("03 0000 05 000009"), "EmptyKey"],
    ["empty key without object end in an ECMA array", hex("08 00000001 0000 0101 000009"), "EmptyKey"],
    ["object without its end", hex("03 0001 61 05"), "EndOfInput"],
    ["reference before any complex value", hex("07 0000"), "BadReference"],
    ["forward reference", hex("0a 00000002 07 0001 03 000009"), "BadReference"],
    ["reference to index 65535", hex("03 0001 61 07 ffff 000009"), "BadReference"],
    ["reference to a date, which is not complex", hex("0b 0000000000000000 0000 07 0000"), "BadReference"],
    [
      "reference after a repeated key",
      hex("03 0001 61 03 000009 0001 61 05 0001 62 07 0000 000009"),
      "AmbiguousReference"
    ],
    ["repeated key after a reference", hex("03 0001 61 07 0000 0001 61 05 000009"), "AmbiguousReference"],
    ["movie clip", hex("04"), "UnknownMarker"],
    ["object end out of place", hex("09"), "UnknownMarker"],
    ["recordset", hex("0e"), "UnknownMarker"],
    ["AMF3 externalizable object", hex("11 0a 07 03 43"), "Externalizable"],
    ["AMF3 traits reference out of range", hex("11 0a 01"), "BadReference"],
    ["AMF3 U29 past the end", hex("11 04 ff ff"), "EndOfInput"],
    ["AMF3 vector of 2^28-1 integers", hex("11 0d ffffffff 00 00000000"), "CountTooLarge"],
    ["AMF3 value missing", hex("11"), "EndOfInput"],
    ["switch marker twice", hex("11 11"), "EndOfInput"],
    ["a digit for a marker, as in a text file", hex("30 30"), "UnknownMarker"],
    ["string cut in its length", hex("02 30"), "EndOfInput"],
    ["string of zeros as text", hex("02 30 30"), "EndOfInput"],
    ["ECMA array of zeros as text", hex("08 30303030"), "EndOfInput"],
    ["ECMA array with a bad end", hex("08 30303030 0000 30"), "EmptyKey"],
    ["object with a key past the end", hex("03 0002 30 30"), "EndOfInput"],
    ["object with a bad end", hex("03 0000 30"), "EmptyKey"],
    ["strict array of zeros as text", hex("0a 30303030"), "CountTooLarge"]
  ]
  for (const [name, bytes, reason] of cases) {
    it(`is a typed error: ${name}`, () => {
      const error = failure(bytes)
      assert.strictEqual(error.reason, reason)
      assert.isTrue(error.offset >= 0 && error.offset <= bytes.length)
      assert.isAbove(error.message.length, 0)
    })
  }

  it("knows no marker from 0x12 on", () => {
    for (let marker = 0x12; marker <= 0xff; marker++) {
      assert.deepInclude(failure(Uint8Array.of(0x05, marker, 0, 0, 0)), {
        reason: "UnknownMarker",
        offset: 1,
        value: marker
      })
    }
  })

  it("gives up on a lone marker that needs a body", () => {
    for (const marker of [0x00, 0x01, 0x02, 0x03, 0x07, 0x08, 0x0a, 0x0b, 0x0c, 0x0f, 0x10, 0x11]) {
      assert.deepInclude(failure(Uint8Array.of(marker)), { reason: "EndOfInput", offset: 1 })
    }
  })

  it("says where it gave up, counted from the start of the input", () => {
    assert.deepInclude(failure(hex("ff 05 03 0001 61 04"), { offset: 1 }), { offset: 6, value: 4 })
    assert.deepInclude(failure(hex("03 0001 61 05 0000 05")), { reason: "EmptyKey", offset: 5, value: 5 })
  })

  it("keeps references to the value itself, its parents and its elders as leaves", () => {
    const values = decode(hex("03 0001 61 0a 00000002 07 0000 07 0001 000009 07 0001"))
    deepStrictEqual(values, [
      Amf.object({ a: Amf.strictArray([Amf.reference(0), Amf.reference(1)]) }),
      Amf.reference(1)
    ])
    assertStable(values)
  })

  it("does not expand a reference bomb", () => {
    let bytes = "0a 00000000"
    for (let level = 0; level < 16; level++)
      bytes += `0a 00000002 07 000${level.toString(16)} 07 000${level.toString(16)}`
    const values = decode(hex(bytes))
    assert.strictEqual(values.length, 17)
    deepStrictEqual(values[16], Amf.strictArray([Amf.reference(15), Amf.reference(15)]))
    assertStable(values)
  })

  it("keeps XML with entities as text", () => {
    const text = `<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`
    deepStrictEqual(decode(Amf0.encode([Amf.xml(text)])), [Amf.xml(text)])
  })

  it("fails for what follows the last good value; decodeFirst does not see it", () => {
    assert.deepInclude(failure(hex("05 ff")), { reason: "UnknownMarker", offset: 1 })
    deepStrictEqual(Result.getOrThrow(Amf0.decodeFirst(hex("05 ff"))), { value: null, end: 1 })
  })
})

describe("Amf0 limits", () => {
  const deep: ReadonlyArray<readonly [name: string, (inner: AmfValue) => AmfValue]> = [
    ["objects", (inner) => Amf.object({ a: inner })],
    ["typed objects", (inner) => Amf.object({ a: inner }, "C")],
    ["ECMA arrays", (inner) => Amf.ecmaArray({ a: inner })],
    ["strict arrays", (inner) => Amf.strictArray([inner])]
  ]
  const nest = (depth: number, around: (inner: AmfValue) => AmfValue): AmfValue => {
    let value: AmfValue = "x"
    for (let i = 0; i < depth; i++) value = around(value)
    return value
  }
  for (const [name, around] of deep) {
    it(`takes 31 and 32 nested ${name}, and not 33`, () => {
      for (const depth of [0, 31, 32])
        deepStrictEqual(decode(Amf0.encode([nest(depth, around)])), [nest(depth, around)])
      const bytes = Amf0.encode([nest(33, around)], { maxDepth: 33 })
      assert.deepInclude(failure(bytes), { reason: "TooDeep", value: 33 })
      deepStrictEqual(decode(bytes, limits({ maxDepth: 33 })), [nest(33, around)])
    })
  }

  it("counts depth through the switch to AMF3", () => {
    const inner = (depth: number): AmfValue => {
      const value = nest(depth, deep[3]![1])
      return depth > 0 ? { ...Amf.strictArray([nest(depth - 1, deep[3]![1])]), avmplus: true } : value
    }
    const value = (depth: number): AmfValue => Amf.object({ a: Amf.object({ b: inner(depth) }) })
    deepStrictEqual(decode(Amf0.encode([value(30)])), [value(30)])
    assert.strictEqual(reasonOf(Amf0.encode([value(31)], { maxDepth: 33 })), "TooDeep")
  })

  it("leaves depth behind with the container, also across values", () => {
    const value = Amf.strictArray([nest(31, deep[0]![1]), nest(31, deep[2]![1])])
    deepStrictEqual(decode(Amf0.encode([value, value])), [value, value])
  })

  it("never goes deeper than 256, whatever the limit says", () => {
    const options = limits({ maxDepth: Number.MAX_SAFE_INTEGER })
    const around = deep[3]![1]
    deepStrictEqual(decode(Amf0.encode([nest(256, around)], { maxDepth: 1e9 }), options), [nest(256, around)])
    assert.deepInclude(failure(hex("0a00000001".repeat(100_000)), options), { reason: "TooDeep", value: 257 })
    assert.throws(() => Amf0.encode([nest(257, around)], { maxDepth: 1e9 }), RangeError)
  })

  it("counts values up to the limit, containers and members included", () => {
    const values: ReadonlyArray<AmfValue> = [Amf.object({ a: 1, b: Amf.strictArray([true, null]) }), "x"]
    const bytes = Amf0.encode(values)
    deepStrictEqual(decode(bytes, limits({ maxNodes: 6 })), values)
    assert.deepInclude(failure(bytes, limits({ maxNodes: 5 })), { reason: "TooManyNodes", value: 6 })
  })

  it("has 4096 values for commands, which is the default, and 65536 for metadata", () => {
    const nulls = (count: number): Uint8Array => new Uint8Array(count).fill(5)
    assert.strictEqual(decode(nulls(4096)).length, 4096)
    assert.strictEqual(reasonOf(nulls(4097)), "TooManyNodes")
    assert.strictEqual(decode(nulls(65_536), { limits: Amf.metadataLimits }).length, 65_536)
    assert.strictEqual(reasonOf(nulls(65_537), { limits: Amf.metadataLimits }), "TooManyNodes")
    assert.strictEqual(reasonOf(Bytes.concat([hex("0a 00001000"), nulls(4096)])), "TooManyNodes")
    assert.strictEqual(decode(Bytes.concat([hex("0a 00000fff"), nulls(4095)])).length, 1)
  })

  it("refuses a strict array over the value budget before it reads one", () => {
    assert.deepInclude(failure(Bytes.concat([hex("0a 000f4240"), new Uint8Array(1e6).fill(5)])), { offset: 5 })
  })

  for (const [name, encode] of [
    ["string", (text: string) => Amf0.encode([text])],
    ["XML", (text: string) => Amf0.encode([Amf.xml(text)])],
    ["key", (text: string) => Amf0.encode([Amf.object({ [text]: 1 })])],
    ["class name", (text: string) => Amf0.encode([Amf.object({}, text)])],
    ["byte array", (text: string) => Amf0.encode([Amf.byteArray(Bytes.fromUtf8(text))])]
  ] as const) {
    it(`takes a ${name} of the limit's bytes, and not one more`, () => {
      for (const [text, max] of [
        ["x".repeat(10), 10],
        ["é".repeat(5), 10],
        ["x".repeat(100), 100]
      ] as const) {
        assert.strictEqual(decode(encode(text), limits({ maxStringBytes: max })).length, 1)
        const error = failure(encode(text), limits({ maxStringBytes: max - 1 }))
        assert.deepInclude(error, { reason: "StringTooLong", value: max })
      }
    })
  }

  it("has 64 KiB for one string", () => {
    assert.strictEqual(decode(Amf0.encode(["x".repeat(65_536)])).length, 1)
    assert.strictEqual(reasonOf(Amf0.encode(["x".repeat(65_537)])), "StringTooLong")
  })

  it("holds a replaced string to the limit too, so that it can be written again", () => {
    const malformed = (length: number): Uint8Array =>
      Bytes.concat([hex("02"), Uint8Array.of(length >> 8, length & 0xff), new Uint8Array(length).fill(0xff)])
    assert.strictEqual(decode(malformed(21_845)).length, 1)
    assertStable(decode(malformed(21_845)))
    assert.deepInclude(failure(malformed(21_846)), { reason: "StringTooLong", value: 65_538 })
    deepStrictEqual(decode(hex("02 0003 6161ff"), limits({ maxStringBytes: 5 })), ["aa\ufffd"])
    assert.deepInclude(failure(hex("02 0003 6161ff"), limits({ maxStringBytes: 4 })), {
      reason: "StringTooLong",
      value: 5
    })
    const key = new Uint8Array(21_846).fill(0xff)
    const object = Bytes.concat([hex("03 5556"), key, hex("05 000009")])
    assert.strictEqual(reasonOf(object, limits({ maxStringBytes: 1e6 })), "StringTooLong")
  })
})

describe("Amf0 misuse", () => {
  const around = (inner: AmfValue): AmfValue => Amf.strictArray([inner])
  const cases: ReadonlyArray<readonly [name: string, () => AmfValue]> = [
    ["an empty key", () => Amf.object({ "": 1 })],
    ["an empty key in an ECMA array", () => Amf.ecmaArray({ a: 1, "": 1 })],
    ["a key over 65535 bytes", () => Amf.object({ ["x".repeat(65_536)]: 1 })],
    ["a class name over 65535 bytes", () => Amf.object({}, "é".repeat(32_768))],
    ["a time zone outside 16 bits", () => Amf.date(0, 0x8000)],
    ["a time zone that is no number", () => Amf.date(0, Number.NaN)],
    ["33 containers inside each other", () => Array.from({ length: 33 }).reduce<AmfValue>(around, null)],
    [
      "a value that contains itself",
      () => {
        const entries = new Map<string, AmfValue>()
        const value = { _tag: "Object", className: undefined, entries } as const
        entries.set("self", value)
        return value
      }
    ]
  ]
  for (const [name, make] of cases) {
    it(`throws for ${name}, and encodes the next value all the same`, () => {
      assert.throws(() => Amf0.encode([make()]), RangeError)
      deepStrictEqual(Amf0.encode([null]), hex("05"))
    })
  }

  it("writes undefined for a reference whose target is not there any more", () => {
    deepStrictEqual(
      Amf0.encode([Amf.reference(0), Amf.object({ a: Amf.reference(1) }), Amf.reference(-1)]),
      hex("06 03 0001 61 06 000009 06")
    )
    // 65537 complex values, of which the last cannot be named in 16 bits.
    const many = [
      ...Array.from({ length: 65_537 }, () => Amf.strictArray([])),
      Amf.reference(65_535),
      Amf.reference(65_536)
    ]
    deepStrictEqual(Amf0.encode(many).subarray(65_537 * 5), hex("07 ffff 06"))
  })

  it("encodes inside of encoding", () => {
    const entries = new Map<string, AmfValue>([["a", 1]])
    const sly: ReadonlyMap<string, AmfValue> = new Proxy(entries, {
      get: (target, property) => {
        if (property !== Symbol.iterator) return Reflect.get(target, property, target)
        deepStrictEqual(Amf0.encode(["inner"]), hex("02 0005 696e6e6572"))
        return target[Symbol.iterator].bind(target)
      }
    })
    deepStrictEqual(
      Amf0.encode(["x", { _tag: "Object", className: undefined, entries: sly }]),
      hex("02 0001 78 03 0001 61 00 3ff0000000000000 000009")
    )
  })

  it("gives out bytes that a later call does not change", () => {
    const first = Amf0.encode(["first"])
    Amf0.encode(["second, and longer"])
    deepStrictEqual(first, hex("02 0005 6669727374"))
  })
})

describe("Amf0 properties", () => {
  it.prop(
    "decodes what it encoded, and encodes that to the same bytes",
    { values: AmfArbitrary.amf0Values },
    ({ values }) => {
      const bytes = Amf0.encode(values)
      const decoded = decode(bytes)
      deepStrictEqual(decoded, values)
      deepStrictEqual(Amf0.encode(decoded), bytes)
    }
  )

  it.prop(
    "gives whole values or an error for input cut anywhere, and reads nothing past it",
    { values: AmfArbitrary.amf0Values },
    ({ values }) => {
      const bytes = Amf0.encode(values)
      const ends = new Map<number, number>()
      for (let count = 0; count <= values.length; count++) ends.set(Amf0.encode(values.slice(0, count)).length, count)
      for (let end = 0; end <= bytes.length; end++) {
        // The rest of the bytes follow the view: a reader that goes past it would find them.
        const result = Amf0.decode(bytes.subarray(0, end))
        const count = ends.get(end)
        if (count === undefined) {
          assert.isTrue(Result.isFailure(result), `cut at ${end}`)
          if (Result.isFailure(result)) assert.isAtMost(result.failure.offset, end)
        } else {
          deepStrictEqual(Result.getOrThrow(result), values.slice(0, count))
        }
      }
    }
  )

  it.prop(
    "decodes one value at a time to the same values",
    { value: AmfArbitrary.amf0, rest: AmfArbitrary.amf0 },
    ({ value, rest }) => {
      const bytes = Bytes.concat([Amf0.encode([value]), Amf0.encode([rest])])
      const first = Result.getOrThrow(Amf0.decodeFirst(bytes))
      deepStrictEqual(first.value, value)
      deepStrictEqual(Result.getOrThrow(Amf0.decodeFirst(bytes, { offset: first.end })), {
        value: rest,
        end: bytes.length
      })
    }
  )

  it.prop(
    "gives values or a typed error for any bytes, and can write again what it read",
    { bytes: Arbitrary.array(byte) },
    ({ bytes }) => {
      const result = Amf0.decode(Uint8Array.from(bytes))
      if (Result.isSuccess(result)) assertStable(result.success)
      else assert.instanceOf(result.failure, Amf.AmfError)
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "gives values or a typed error for damaged values, and can write again what it read",
    {
      values: AmfArbitrary.amf0Values,
      damage: Arbitrary.array(Arbitrary.all([position, byte]), { minLength: 1, maxLength: 4 })
    },
    ({ damage, values }) => {
      const bytes = Amf0.encode(values)
      for (const [at, to] of damage) if (bytes.length > 0) bytes[at % bytes.length] = to
      for (const lenientEnd of [false, true]) {
        const result = Amf0.decode(bytes, { lenientEnd })
        if (Result.isSuccess(result)) assertStable(result.success)
        else assert.instanceOf(result.failure, Amf.AmfError)
      }
    },
    { arbitrary: { runs: 500 } }
  )
})
