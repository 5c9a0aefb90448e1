import { deepStrictEqual } from "node:assert"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Amf3 from "../../../src/protocol/amf/Amf3.ts"
import type {
  AmfErrorReason,
  AmfLimits,
  AmfObject,
  AmfValue,
  DecodeOptions
} from "../../../src/protocol/amf/AmfValue.ts"
import * as Amf from "../../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../../src/protocol/Bytes.ts"
import * as AmfArbitrary from "../../../src/testing/AmfArbitrary.ts"
import * as obsMetadata from "./obsMetadata.ts"

const hex = Bytes.fromHex
const byte = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
const lowByte = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0x12 })))
const position = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff })))

const decode = (bytes: Uint8Array, options?: DecodeOptions): Array<AmfValue> =>
  Result.getOrThrow(Amf3.decode(bytes, options))

const failure = (bytes: Uint8Array, options?: DecodeOptions): Amf.AmfError => {
  const result = Amf3.decode(bytes, options)
  if (Result.isSuccess(result)) assert.fail(`decoded ${Bytes.hex(bytes)}`)
  assert.instanceOf(result.failure, Amf.AmfError)
  return result.failure
}

const limits = (changed: Partial<AmfLimits>): DecodeOptions => ({ limits: { ...Amf.metadataLimits, ...changed } })

const sealed = (
  entries: Readonly<Record<string, AmfValue>>,
  count: number,
  dynamic: boolean,
  name?: string
): AmfObject => ({
  ...Amf.object(entries, name),
  traits: { sealed: count, dynamic }
})

const assertStable = (values: ReadonlyArray<AmfValue>): void =>
  deepStrictEqual(decode(Amf3.encode(values), { limits: Amf.metadataLimits }), values)

describe("Amf3 golden bytes", () => {
  const golden: ReadonlyArray<readonly [name: string, bytes: string, value: AmfValue]> = [
    ["undefined", "00", undefined],
    ["null", "01", null],
    ["false", "02", false],
    ["true", "03", true],
    ["integer 0", "04 00", 0],
    ["integer -1", "04 ffffffff", -1],
    ["integer 2^28-1", "04 bfffffff", 2 ** 28 - 1],
    ["integer -2^28", "04 c0808000", -(2 ** 28)],
    ["double 2^28", "05 41b0000000000000", 2 ** 28],
    ["double -2^28-1", "05 c1b0000001000000", -(2 ** 28) - 1],
    ["double -0", "05 8000000000000000", -0],
    ["double 1.5", "05 3ff8000000000000", 1.5],
    ["double NaN", "05 7ff8000000000000", Number.NaN],
    ["double infinity", "05 7ff0000000000000", Number.POSITIVE_INFINITY],
    ["string empty", "06 01", ""],
    ["string", "06 05 6869", "hi"],
    ["string beyond ASCII", "06 0b c3a9 e697a5", "é日"],
    ["legacy XML document", "07 09 3c612f3e", Amf.xml("<a/>")],
    ["date", "08 01 4278bcfe56800000", Amf.date(1_700_000_000_000)],
    ["array empty", "09 01 01", Amf.strictArray([])],
    ["array dense", "09 05 01 04 01 06 03 61", Amf.strictArray([1, "a"])],
    ["array of named values", "09 01 03 61 04 01 01", Amf.ecmaArray({ a: 1 })],
    ["array of both", "09 03 03 61 04 01 01 03", { ...Amf.ecmaArray({ a: 1 }), dense: [true] }],
    ["object empty", "0a 0b 01 01", Amf.object({})],
    ["object dynamic", "0a 0b 01 03 61 04 05 01", Amf.object({ a: 5 })],
    ["object dynamic of a class", "0a 0b 03 43 03 61 04 05 01", Amf.object({ a: 5 }, "C")],
    ["object sealed", "0a 23 03 43 03 61 03 62 04 01 04 02", sealed({ a: 1, b: 2 }, 2, false, "C")],
    ["object sealed and dynamic", "0a 1b 01 03 61 04 01 03 62 04 02 01", sealed({ a: 1, b: 2 }, 1, true)],
    ["object sealed without members", "0a 03 03 43", sealed({}, 0, false, "C")],
    ["XML", "0b 09 3c612f3e", Amf.xml("<a/>", "E4X")],
    ["byte array empty", "0c 01", Amf.byteArray(Bytes.empty.slice())],
    ["byte array", "0c 05 cafe", Amf.byteArray(hex("cafe"))],
    ["vector of int", "0d 05 00 ffffffff 7fffffff", Amf.intVector([-1, 0x7fffffff])],
    ["vector of uint, fixed", "0e 03 01 ffffffff", Amf.uintVector([0xffffffff], true)],
    ["vector of double", "0f 03 00 8000000000000000", Amf.doubleVector([-0])],
    ["vector of objects", "10 05 01 03 43 01 0a 0b 00 01", Amf.objectVector([null, Amf.object({}, "C")], "C", true)],
    ["vector of anything", "10 03 00 01 03", Amf.objectVector([true])],
    ["dictionary empty", "11 01 00", Amf.dictionary([])],
    [
      "dictionary",
      "11 05 01 06 03 61 04 01 04 02 01",
      Amf.dictionary(
        [
          ["a", 1],
          [2, null]
        ],
        true
      )
    ],
    ["dictionary keyed by itself", "11 03 00 11 00 01", Amf.dictionary([[Amf.reference(0), null]])]
  ]
  for (const [name, bytes, value] of golden) {
    it(`decodes and encodes: ${name}`, () => {
      deepStrictEqual(decode(hex(bytes)), [value])
      deepStrictEqual(Amf3.encode([value]), hex(bytes))
    })
  }

  const decodedOnly: ReadonlyArray<readonly [name: string, bytes: string, values: ReadonlyArray<AmfValue>]> = [
    ["double with an integral value", "05 3ff0000000000000", [1]],
    ["integer in more bytes than needed", "04 8000 04 808000 04 80808000", [0, 0, 0]],
    ["length in more bytes than needed", "06 8005 6869", ["hi"]],
    ["repeated dynamic member: the last wins", "0a 0b 01 03 61 04 01 00 04 02 01", [Amf.object({ a: 2 })]],
    [
      "dynamic member that repeats a sealed one: the last wins, and it stays sealed",
      "0a 1b 01 03 61 04 01 00 04 02 01",
      [sealed({ a: 2 }, 1, true)]
    ],
    ["repeated sealed member: the last wins", "0a 23 01 03 61 00 04 01 04 02", [sealed({ a: 2 }, 1, false)]],
    [
      "traits reference",
      "0a 23 03 43 03 61 03 62 04 01 04 02 0a 01 04 03 04 04",
      [sealed({ a: 1, b: 2 }, 2, false, "C"), sealed({ a: 3, b: 4 }, 2, false, "C")]
    ],
    [
      "traits reference, dynamic",
      "0a 1b 01 03 61 04 01 01 0a 01 04 02 03 62 03 01",
      [sealed({ a: 1 }, 1, true), sealed({ a: 2, b: true }, 1, true)]
    ],
    ["fixed flag of 2", "0d 01 02", [Amf.intVector([], true)]]
  ]
  for (const [name, bytes, values] of decodedOnly) {
    it(`decodes: ${name}`, () => {
      deepStrictEqual(decode(hex(bytes)), values)
      assertStable(values)
    })
  }

  it("reads and writes every edge of the 29-bit integer", () => {
    const vectors: ReadonlyArray<readonly [number, string]> = [
      [0, "00"],
      [1, "01"],
      [127, "7f"],
      [128, "8100"],
      [16_383, "ff7f"],
      [16_384, "818000"],
      [2_097_151, "ffff7f"],
      [2_097_152, "80c08000"],
      [2 ** 28 - 1, "bfffffff"],
      [-(2 ** 28), "c0808000"],
      [-2, "fffffffe"],
      [-1, "ffffffff"]
    ]
    for (const [value, bytes] of vectors) {
      deepStrictEqual(decode(hex(`04${bytes}`)), [value])
      deepStrictEqual(Amf3.encode([value]), hex(`04${bytes}`))
    }
  })

  it("reads and writes lengths of one, two and three bytes", () => {
    for (const [length, header] of [
      [63, "7f"],
      [64, "8101"],
      [8191, "ff7f"],
      [8192, "818001"],
      [65_536, "888001"]
    ] as const) {
      const bytes = Bytes.concat([hex(`06 ${header}`), new Uint8Array(length).fill(0x61)])
      deepStrictEqual(decode(bytes), ["a".repeat(length)])
      deepStrictEqual(Amf3.encode(["a".repeat(length)]), bytes)
    }
  })

  it("writes AMF0's own values as AMF3 can say them", () => {
    deepStrictEqual(decode(Amf3.encode([Amf.unsupported, Amf.date(5, 60), Amf.ecmaArray({}), Amf.object({}, "")])), [
      undefined,
      Amf.date(5),
      Amf.strictArray([]),
      Amf.object({})
    ])
  })

  it("carries the metadata of OBS", () => {
    deepStrictEqual(decode(Amf3.encode(obsMetadata.values)), obsMetadata.values)
  })
})

describe("Amf3 references", () => {
  it("resolves strings, among values, keys and class names, and writes them as references", () => {
    const bytes = hex("06 03 61 06 00 0a 0b 00 00 06 00 01 06 05 6262 06 02")
    const values = ["a", "a", Amf.object({ a: "a" }, "a"), "bb", "bb"]
    deepStrictEqual(decode(bytes), values)
    deepStrictEqual(Amf3.encode(values), bytes)
  })

  it("keeps the empty string out of the table", () => {
    deepStrictEqual(decode(hex("06 01 06 03 61 06 00")), ["", "a", "a"])
    assert.strictEqual(failure(hex("06 01 06 00")).reason, "BadReference")
  })

  it("keeps XML out of the string table", () => {
    assert.strictEqual(failure(hex("0b 03 61 06 00")).reason, "BadReference")
  })

  it("counts every complex value, and keeps references as leaves with the marker of their target", () => {
    const bytes =
      hex(`07 01 08 01 0000000000000000 09 01 01 0a 0b 01 01 0b 01 0c 01 0d 01 00 0e 01 00 0f 01 00 10 01 00 01 11 01 00
      07 00 08 02 09 04 0a 06 0b 08 0c 0a 0d 0c 0e 0e 0f 10 10 12 11 14`)
    const values = decode(bytes)
    assert.strictEqual(values.length, 22)
    for (let i = 0; i < 11; i++) deepStrictEqual(values[11 + i], Amf.reference(i))
    deepStrictEqual(Amf3.encode(values), bytes)
  })

  it("lets a value refer to itself and to what encloses it", () => {
    const values = decode(hex("09 03 01 0a 0b 01 03 61 0a 02 03 62 09 00 01"))
    deepStrictEqual(values, [Amf.strictArray([Amf.object({ a: Amf.reference(1), b: Amf.reference(0) })])])
    assertStable(values)
  })

  it("does not expand a reference bomb", () => {
    let bytes = "09 01 01"
    for (let level = 0; level < 16; level++) {
      const reference = (2 * level).toString(16).padStart(2, "0")
      bytes += `09 05 01 09 ${reference} 09 ${reference}`
    }
    const values = decode(hex(bytes))
    assert.strictEqual(values.length, 17)
    deepStrictEqual(values[16], Amf.strictArray([Amf.reference(15), Amf.reference(15)]))
  })

  it("does not write a repeated string out again", () => {
    const long = "x".repeat(60_000)
    const values = decode(Amf3.encode(Array.from({ length: 1000 }, () => long)))
    assert.strictEqual(values.length, 1000)
    assert.isBelow(Amf3.encode(values).length, 64_000)
  })

  it("writes undefined for a reference whose target is not there any more", () => {
    deepStrictEqual(
      Amf3.encode([Amf.reference(0), Amf.strictArray([Amf.reference(1)]), Amf.reference(-1)]),
      hex("00 09 03 01 00 00")
    )
  })

  it("starts each call with empty tables", () => {
    assert.strictEqual(decode(hex("06 03 61")).length, 1)
    assert.strictEqual(failure(hex("06 00")).reason, "BadReference")
    deepStrictEqual(Amf3.encode(["a"]), Amf3.encode(["a"]))
  })
})

describe("Amf3 decodeFirst", () => {
  it("gives the first value and where it ends, from the start of the input", () => {
    const bytes = hex("ff 06 05 6869 04 8100")
    deepStrictEqual(Result.getOrThrow(Amf3.decodeFirst(bytes, { offset: 1 })), { value: "hi", end: 5 })
    deepStrictEqual(Result.getOrThrow(Amf3.decodeFirst(bytes, { offset: 5 })), { value: 128, end: 8 })
    const none = Amf3.decodeFirst(bytes, { offset: 8 })
    assert.strictEqual(Result.isFailure(none) ? none.failure.reason : "", "EndOfInput")
    deepStrictEqual(decode(bytes, { offset: 8 }), [])
    assert.strictEqual(failure(bytes, { offset: 9 }).reason, "EndOfInput")
  })
})

describe("Amf3 hostile input", () => {
  const cases: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reason: AmfErrorReason]> = [
    ["arrays nested 10^5 deep", hex("090301".repeat(100_000)), "TooDeep"],
    ["named arrays nested 10^5 deep", hex("09010361".repeat(100_000)), "TooDeep"],
    ["objects nested 10^5 deep", hex("0a0b010361".repeat(100_000)), "TooDeep"],
    ["object vectors nested 10^5 deep", hex("10030001".repeat(100_000)), "TooDeep"],
    ["dictionaries nested 10^5 deep, in their keys", hex("110300".repeat(100_000)), "TooDeep"],
    ["unknown marker", hex("12"), "UnknownMarker"],
    ["U29 past the end", hex("04 ff ff"), "EndOfInput"],
    ["double past the end", hex("05 00"), "EndOfInput"],
    ["string past the end", hex("06 05 61"), "EndOfInput"],
    ["string of 256 MiB", hex("06 ffffffff 61"), "EndOfInput"],
    ["byte array of 256 MiB", hex("0c ffffffff 61"), "EndOfInput"],
    ["XML of 256 MiB", hex("0b ffffffff 61"), "EndOfInput"],
    ["array of 2^28-1", hex("09 ffffffff 01"), "CountTooLarge"],
    ["array of a million nulls", Bytes.concat([hex("09 fa8901 01"), new Uint8Array(1e6).fill(1)]), "TooManyNodes"],
    ["vector of 2^28-1 integers", hex("0d ffffffff 00 00000000"), "CountTooLarge"],
    ["vector of integers one longer than the input", hex("0d 05 00 00000000"), "CountTooLarge"],
    ["vector of 2^28-1 unsigned integers", hex("0e ffffffff 00 00000000"), "CountTooLarge"],
    ["vector of 2^28-1 doubles", hex("0f ffffffff 00 0000000000000000"), "CountTooLarge"],
    ["vector of doubles that would fit as integers", hex("0f 05 00 0000000000000000"), "CountTooLarge"],
    ["vector of 2^28-1 objects", hex("10 ffffffff 00 01 01"), "CountTooLarge"],
    ["dictionary of 2^28-1", hex("11 ffffffff 00 01 01"), "CountTooLarge"],
    ["dictionary one longer than the input", hex("11 05 00 01 01 01"), "CountTooLarge"],
    ["class of 2^25-1 sealed members", hex("0a fffffff3 01 03 61"), "CountTooLarge"],
    [
      "sealed members by reference, more than bytes follow",
      hex("0a 23 01 03 61 03 62 01 01 0a 01 01"),
      "CountTooLarge"
    ],
    ["sealed member without a name", hex("0a 13 01 01 04 01"), "EmptyKey"],
    ["externalizable object", hex("0a 07 03 43 00"), "Externalizable"],
    ["traits reference out of range", hex("0a 01"), "BadReference"],
    ["traits reference to the second of one", hex("0a 0b 01 01 0a 05"), "BadReference"],
    ["string reference out of range", hex("06 02"), "BadReference"],
    ["string reference for a key", hex("0a 0b 01 00"), "BadReference"],
    ["object reference out of range", hex("0a 00"), "BadReference"],
    ["forward object reference", hex("09 05 01 0a 02 0a 0b 01 01"), "BadReference"],
    ["date reference out of range", hex("08 02"), "BadReference"],
    ["reference and repeated key", hex("0a 0b 01 03 61 0a 00 00 01 01"), "AmbiguousReference"],
    ["array without its end of names", hex("09 01"), "EndOfInput"],
    ["object without its end of names", hex("0a 0b 01 03 61 01"), "EndOfInput"],
    ["array whose dense part is cut off by names", hex("09 03 03 61 01 01"), "EndOfInput"]
  ]
  for (const [name, bytes, reason] of cases) {
    it(`is a typed error: ${name}`, () => {
      const error = failure(bytes)
      assert.strictEqual(error.reason, reason)
      assert.isTrue(error.offset >= 0 && error.offset <= bytes.length)
    })
  }

  it("knows no marker from 0x12 on", () => {
    for (let marker = 0x12; marker <= 0xff; marker++) {
      assert.deepInclude(failure(Uint8Array.of(0x01, marker, 1)), { reason: "UnknownMarker", offset: 1, value: marker })
    }
  })

  it("gives up on a lone marker that needs a body", () => {
    for (let marker = 0x04; marker <= 0x11; marker++) {
      assert.deepInclude(failure(Uint8Array.of(marker)), { reason: "EndOfInput", offset: 1 })
    }
  })

  it("takes names of JavaScript's own properties as data, sealed or not", () => {
    const entries = new Map<string, AmfValue>([
      ["__proto__", 1],
      ["constructor", 2]
    ])
    for (const count of [0, 1, 2]) {
      const value: AmfObject =
        count === 0
          ? { _tag: "Object", className: "__proto__", entries }
          : { _tag: "Object", className: "__proto__", entries, traits: { sealed: count, dynamic: count < 2 } }
      deepStrictEqual(decode(Amf3.encode([value])), [value])
    }
  })
})

describe("Amf3 limits", () => {
  const containers: ReadonlyArray<readonly [name: string, (inner: AmfValue) => AmfValue]> = [
    ["arrays", (inner) => Amf.strictArray([inner])],
    ["named arrays", (inner) => Amf.ecmaArray({ a: inner })],
    ["objects", (inner) => Amf.object({ a: inner })],
    ["sealed objects", (inner) => sealed({ a: inner }, 1, false)],
    ["object vectors", (inner) => Amf.objectVector([inner])],
    ["dictionaries", (inner) => Amf.dictionary([[inner, null]])]
  ]
  for (const [name, around] of containers) {
    it(`takes 31 and 32 nested ${name}, and not 33`, () => {
      const nest = (depth: number): AmfValue => {
        let value: AmfValue = "x"
        for (let i = 0; i < depth; i++) value = around(value)
        return value
      }
      for (const depth of [31, 32]) deepStrictEqual(decode(Amf3.encode([nest(depth)])), [nest(depth)])
      assert.throws(() => Amf3.encode([nest(33)]), RangeError)
      const bytes = Amf3.encode([nest(33)], { maxDepth: 33 })
      assert.deepInclude(failure(bytes), { reason: "TooDeep", value: 33 })
      deepStrictEqual(decode(bytes, limits({ maxDepth: 33 })), [nest(33)])
    })
  }

  it("counts values up to the limit, the keys of dictionaries and sealed members included", () => {
    const values = [sealed({ a: 1, b: true }, 2, false), Amf.dictionary([["k", null]]), Amf.objectVector([false])]
    const bytes = Amf3.encode(values)
    deepStrictEqual(decode(bytes, limits({ maxNodes: 8 })), values)
    for (let maxNodes = 0; maxNodes < 8; maxNodes++) {
      assert.strictEqual(failure(bytes, limits({ maxNodes })).reason, "TooManyNodes")
    }
  })

  it("does not count the elements of numeric vectors", () => {
    const values = [Amf.intVector(new Int32Array(1000)), Amf.doubleVector(new Float64Array(1000))]
    deepStrictEqual(decode(Amf3.encode(values), limits({ maxNodes: 2 })), values)
  })

  for (const [name, make] of [
    ["string", (text: string) => text],
    ["key", (text: string) => Amf.object({ [text]: 1 })],
    ["sealed name", (text: string) => sealed({ [text]: 1 }, 1, false)],
    ["class name", (text: string) => Amf.object({}, text)],
    ["XML", (text: string) => Amf.xml(text)],
    ["byte array", (text: string) => Amf.byteArray(Bytes.fromUtf8(text))]
  ] as const) {
    it(`takes a ${name} of the limit's bytes, and not one more`, () => {
      const value = make("é".repeat(50))
      deepStrictEqual(decode(Amf3.encode([value]), limits({ maxStringBytes: 100 })), [value])
      assert.deepInclude(failure(Amf3.encode([value]), limits({ maxStringBytes: 99 })), {
        reason: "StringTooLong",
        value: 100
      })
    })
  }
})

describe("Amf3 misuse", () => {
  const cases: ReadonlyArray<readonly [name: string, value: AmfValue]> = [
    ["an empty key", Amf.object({ "": 1 })],
    ["an empty key in an array", Amf.ecmaArray({ "": 1 })],
    ["an empty sealed name", sealed({ "": 1 }, 1, false)],
    ["more sealed members than members", sealed({ a: 1 }, 2, true)],
    ["dynamic members of a class that has none", sealed({ a: 1, b: 2 }, 1, false)]
  ]
  for (const [name, value] of cases) {
    it(`throws for ${name}, and encodes the next value all the same`, () => {
      assert.throws(() => Amf3.encode([value]), RangeError)
      deepStrictEqual(Amf3.encode([null]), hex("01"))
    })
  }
})

describe("Amf3 properties", () => {
  it.prop(
    "decodes what it encoded, and encodes that to the same bytes",
    { values: AmfArbitrary.amf3Values },
    ({ values }) => {
      const bytes = Amf3.encode(values)
      const decoded = decode(bytes)
      deepStrictEqual(decoded, values)
      deepStrictEqual(Amf3.encode(decoded), bytes)
    }
  )

  it.prop(
    "gives whole values or an error for input cut anywhere, and reads nothing past it",
    { values: AmfArbitrary.amf3Values },
    ({ values }) => {
      const bytes = Amf3.encode(values)
      const ends = new Map<number, number>()
      for (let count = 0; count <= values.length; count++) ends.set(Amf3.encode(values.slice(0, count)).length, count)
      for (let end = 0; end <= bytes.length; end++) {
        const result = Amf3.decode(bytes.subarray(0, end))
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

  it.prop("decodes the first value alone to the same", { value: AmfArbitrary.amf3 }, ({ value }) => {
    const bytes = Amf3.encode([value])
    const padded = Bytes.concat([hex("ffff"), bytes, hex("ffff")])
    const first = Result.getOrThrow(Amf3.decodeFirst(padded, { offset: 2 }))
    deepStrictEqual(first, { value, end: bytes.length + 2 })
  })

  it.prop(
    "gives values or a typed error for any bytes, and can write again what it read",
    {
      bytes: Arbitrary.array(Arbitrary.flatMap(byte, (value) => (value < 64 ? byte : lowByte)))
    },
    ({ bytes }) => {
      const result = Amf3.decode(Uint8Array.from(bytes))
      if (Result.isSuccess(result)) assertStable(result.success)
      else assert.instanceOf(result.failure, Amf.AmfError)
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "gives values or a typed error for damaged values, and can write again what it read",
    {
      values: AmfArbitrary.amf3Values,
      damage: Arbitrary.array(Arbitrary.all([position, byte]), { minLength: 1, maxLength: 4 })
    },
    ({ damage, values }) => {
      const bytes = Amf3.encode(values)
      for (const [at, to] of damage) if (bytes.length > 0) bytes[at % bytes.length] = to
      const result = Amf3.decode(bytes)
      if (Result.isSuccess(result)) assertStable(result.success)
      else assert.instanceOf(result.failure, Amf.AmfError)
    },
    { arbitrary: { runs: 500 } }
  )
})
