/** AMF0 and AMF3 values: whatever decodes is bounded, and re-encodes to the same value. */
import * as Result from "effect/Result"
import * as Amf0 from "../../../src/protocol/amf/Amf0.ts"
import * as Amf3 from "../../../src/protocol/amf/Amf3.ts"
import { AmfError, type AmfValue, commandLimits, metadataLimits } from "../../../src/protocol/amf/AmfValue.ts"
import { ensure, type Layer, same } from "../Layer.ts"
import { Output } from "../Output.ts"
import type { Random } from "../Random.ts"

const keys = [
  "app",
  "a",
  "b",
  "tcUrl",
  "__proto__",
  "constructor",
  "width",
  "é",
  "\u00ff",
  "videocodecid",
  "x".repeat(40)
]
const doubles = [0, -0, 1, -1, 1.5, 1e300, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 28, -(2 ** 28) - 1, 2 ** 53, 7]

const string16 = (out: Output, text: string): void => {
  out.u16(text.length).latin(text)
}

const key = (out: Output, random: Random): void => string16(out, random.pick(keys))

const members = (out: Output, random: Random, depth: number): void => {
  for (let i = random.below(4); i > 0; i--) {
    key(out, random)
    amf0(out, random, depth)
  }
  if (!random.once(30)) out.u24(9)
}

/** Writes one AMF0 value; now and then one that is wrong. */
export const amf0 = (out: Output, random: Random, depth = 0): void => {
  switch (depth > 5 ? random.below(8) : random.below(20)) {
    case 0:
    case 1:
      out.u8(0).f64(random.pick(doubles))
      return
    case 2:
      out.u8(1).u8(random.below(3))
      return
    case 3:
    case 4:
      out.u8(2)
      string16(out, random.pick(keys))
      return
    case 5:
      out.u8(5)
      return
    case 6:
      out.u8(random.once(2) ? 6 : 0x0d)
      return
    case 7:
      out.u8(7).u16(random.below(random.once(20) ? 65_536 : 4))
      return
    case 8:
    case 9:
    case 10:
      out.u8(3)
      members(out, random, depth + 1)
      return
    case 11:
    case 12:
      out.u8(8).u32(random.once(4) ? random.u32() : random.below(4))
      members(out, random, depth + 1)
      return
    case 13:
    case 14: {
      const count = random.below(5)
      out.u8(0x0a).u32(random.once(40) ? random.u32() : count)
      for (let i = 0; i < count; i++) amf0(out, random, depth + 1)
      return
    }
    case 15:
      out
        .u8(0x0b)
        .f64(random.pick(doubles))
        .u16(random.u32() & 0xffff)
      return
    case 16:
      out
        .u8(random.once(2) ? 0x0c : 0x0f)
        .u32(random.once(20) ? random.u32() : 3)
        .latin("<a>")
      return
    case 17:
      out.u8(0x10)
      string16(out, random.pick(keys))
      members(out, random, depth + 1)
      return
    case 18:
      out.u8(0x11)
      new Amf3Maker(out, random).value(depth + 1)
      return
    default:
      if (random.once(10)) out.u8(random.below(256))
      else out.u8(5)
  }
}

const u29 = (out: Output, value: number): void => {
  if (value < 0x80) out.u8(value)
  else if (value < 0x4000) out.u8(0x80 | (value >>> 7)).u8(value & 0x7f)
  else if (value < 0x20_0000)
    out
      .u8(0x80 | (value >>> 14))
      .u8(0x80 | ((value >>> 7) & 0x7f))
      .u8(value & 0x7f)
  else
    out
      .u8(0x80 | (value >>> 22))
      .u8(0x80 | ((value >>> 15) & 0x7f))
      .u8(0x80 | ((value >>> 8) & 0x7f))
      .u8(value & 0xff)
}

/** Writes AMF3 values with the tables that references go to. */
class Amf3Maker {
  readonly #out: Output
  readonly #random: Random
  #strings = 0
  #complex = 0
  readonly #traits: Array<number> = []

  constructor(out: Output, random: Random) {
    this.#out = out
    this.#random = random
  }

  #text(): void {
    const random = this.#random
    if (this.#strings > 0 && random.once(3)) {
      u29(this.#out, (random.once(40) ? random.below(99) : random.below(this.#strings)) << 1)
      return
    }
    const text = random.pick(keys)
    u29(this.#out, (text.length << 1) | 1)
    this.#out.latin(text)
    this.#strings++
  }

  #pairs(depth: number): void {
    for (let i = this.#random.below(3); i > 0; i--) {
      this.#text()
      this.value(depth)
    }
    if (!this.#random.once(40)) u29(this.#out, 1)
  }

  value(depth = 0): void {
    const out = this.#out
    const random = this.#random
    const marker = depth > 5 ? random.below(7) : random.once(60) ? random.below(256) : random.below(18)
    out.u8(marker)
    if (marker <= 3) return
    if (marker === 4) {
      u29(out, random.once(2) ? random.below(200) : random.u32() & 0x1fff_ffff)
      return
    }
    if (marker === 5) {
      out.f64(random.pick(doubles))
      return
    }
    if (marker === 6) {
      this.#text()
      return
    }
    if (marker > 0x11) return
    if (this.#complex > 0 && random.once(5)) {
      u29(out, (random.once(40) ? random.below(99) : random.below(this.#complex)) << 1)
      return
    }
    this.#complex++
    const count = random.below(4)
    const announced = ((random.once(40) ? random.u32() & 0xfff_ffff : count) << 1) | 1
    switch (marker) {
      case 7:
      case 0x0b:
      case 0x0c:
        u29(out, (3 << 1) | 1)
        out.latin("<a>")
        return
      case 8:
        u29(out, 1)
        out.f64(random.pick(doubles))
        return
      case 9:
        u29(out, announced)
        this.#pairs(depth + 1)
        for (let i = 0; i < count; i++) this.value(depth + 1)
        return
      case 0x0a: {
        let sealed = random.once(2) ? 0 : count
        let dynamic = random.once(2)
        if (this.#traits.length > 0 && random.once(3)) {
          const at = random.below(this.#traits.length)
          sealed = this.#traits[at]! >> 1
          dynamic = (this.#traits[at]! & 1) === 1
          u29(out, (at << 2) | 1)
        } else {
          u29(out, (sealed << 4) | (dynamic ? 8 : 0) | (random.once(50) ? 4 : 0) | 3)
          this.#text()
          for (let i = 0; i < sealed; i++) this.#text()
          this.#traits.push((sealed << 1) | (dynamic ? 1 : 0))
        }
        for (let i = 0; i < sealed; i++) this.value(depth + 1)
        if (dynamic) this.#pairs(depth + 1)
        return
      }
      case 0x0d:
      case 0x0e:
        u29(out, announced)
        out.u8(random.below(2)).noise(random, 4 * count)
        return
      case 0x0f:
        u29(out, announced)
        out.u8(random.below(2)).noise(random, 8 * count)
        return
      case 0x10:
        u29(out, announced)
        out.u8(random.below(2))
        this.#text()
        for (let i = 0; i < count; i++) this.value(depth + 1)
        return
      default:
        u29(out, announced)
        out.u8(random.below(2))
        for (let i = 0; i < 2 * count; i++) this.value(depth + 1)
    }
  }
}

/** Values in a value, itself included, as the limit counts them. */
const nodesOf = (value: AmfValue): number => {
  if (typeof value !== "object" || value === null) return 1
  let nodes = 1
  switch (value._tag) {
    case "Object":
      for (const member of value.entries.values()) nodes += nodesOf(member)
      return nodes
    case "EcmaArray":
      for (const member of value.entries.values()) nodes += nodesOf(member)
      for (const member of value.dense ?? []) nodes += nodesOf(member)
      return nodes
    case "StrictArray":
      for (const member of value.values) nodes += nodesOf(member)
      return nodes
    case "ObjectVector":
      for (const member of value.items) nodes += nodesOf(member)
      return nodes
    case "Dictionary":
      for (const [name, member] of value.entries) nodes += nodesOf(name) + nodesOf(member)
      return nodes
    default:
      return 1
  }
}

const small = { maxDepth: 4, maxStringBytes: 16, maxNodes: 12 }

const ensureError = (error: unknown, length: number): void => {
  ensure(error instanceof AmfError, "an error that is no AmfError", () => String(error))
  const { message, offset } = error as AmfError
  ensure(offset >= 0 && offset <= length, "an error that stands outside of the input", () => message)
}

/** Checks both what decodes and what does not, with a codec. */
const checkWith = (codec: typeof Amf0 | typeof Amf3, input: Uint8Array): void => {
  // The tight limits are for every fourth input, which is enough in a million.
  for (const limits of (input.length & 3) === 0 ? [commandLimits, small] : [commandLimits]) {
    const decoded = codec.decode(input, { limits })
    if (Result.isFailure(decoded)) {
      ensureError(decoded.failure, input.length)
      continue
    }
    const values = decoded.success
    let nodes = 0
    for (const value of values) nodes += nodesOf(value)
    ensure(nodes <= limits.maxNodes, "more values than the limit")
    const encoded = codec.encode(values)
    const again = codec.decode(encoded, { limits: metadataLimits })
    ensure(Result.isSuccess(again), "what was encoded does not decode", () => String(Result.merge(again)))
    ensure(same(Result.getOrThrow(again), values), "a value changes when it is encoded and decoded")
    ensure(same(codec.encode(Result.getOrThrow(again)), encoded), "the same value encodes to other bytes")
    if (values.length === 0) continue
    const first = codec.decodeFirst(input, { limits })
    ensure(Result.isSuccess(first) && same(first.success.value, values[0]), "the first value alone is another")
  }
  const first = codec.decodeFirst(input)
  if (Result.isFailure(first)) ensureError(first.failure, input.length)
  else ensure(first.success.end > 0 && first.success.end <= input.length, "a value that ends outside of the input")
}

const out = new Output()

const finish = (random: Random): Uint8Array =>
  (random.once(3) ? out.damage(random, 0, 1 + random.below(3)) : out).finish()

export const amf0Layer: Layer = {
  name: "amf0",
  inputsInTests: 70_000,
  generate: (random) => {
    out.clear()
    for (let i = random.below(3); i >= 0; i--) amf0(out, random)
    return finish(random)
  },
  check: (input) => {
    checkWith(Amf0, input)
    if ((input.length & 3) !== 1) return
    const strict = Amf0.decode(input)
    const lenient = Amf0.decode(input, { lenientEnd: true })
    if (Result.isSuccess(strict)) {
      ensure(Result.isSuccess(lenient) && same(lenient.success, strict.success), "leniency changes what is valid")
    }
  }
}

export const amf3Layer: Layer = {
  name: "amf3",
  inputsInTests: 70_000,
  generate: (random) => {
    out.clear()
    const maker = new Amf3Maker(out, random)
    for (let i = random.below(3); i >= 0; i--) maker.value()
    return finish(random)
  },
  check: (input) => checkWith(Amf3, input)
}
