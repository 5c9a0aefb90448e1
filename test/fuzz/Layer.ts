/**
 * What a layer is for the fuzzer: a way to make inputs, and what must hold for any input whatever.
 *
 * An input is bytes, so that one shape serves to keep, to shrink and to replay it.
 */
import type { Random } from "./Random.ts"

/** One layer. */
export interface Layer {
  /** As `--layer` names it, and the folder of its fixtures. */
  readonly name: string
  /** Makes an input. */
  readonly generate: (random: Random) => Uint8Array
  /** Throws where something does not hold. Anything thrown counts: a layer throws nothing by itself. */
  readonly check: (input: Uint8Array) => void | Promise<void>
  /** Inputs that take the tests about a second or two. */
  readonly inputsInTests: number
}

/** Something that must hold does not. */
export class Violation extends Error {
  constructor(what: string, detail = "") {
    super(detail === "" ? what : `${what}: ${detail}`)
    this.name = "Violation"
  }
}

/** Throws a `Violation` unless `holds`. */
export const ensure = (holds: boolean, what: string, detail?: () => string): void => {
  if (!holds) throw new Violation(what, detail?.())
}

/** What tells failures apart while an input is made smaller: the same fault, whatever its numbers. */
export const kindOf = (error: unknown): string =>
  error instanceof Violation
    ? error.message.split(":", 1)[0]!
    : error instanceof Error
      ? `${error.name} ${error.message.replace(/\d+/g, "N").slice(0, 60)} ${(error.stack ?? "").split("\n")[1]?.trim() ?? ""}`
      : String(error)

/** Structural equality of plain data, of Maps and typed arrays, in which NaN equals itself and 0 does not equal -0. */
export const same = (left: unknown, right: unknown): boolean => {
  if (Object.is(left, right)) return true
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false
  if (ArrayBuffer.isView(left)) {
    if (!ArrayBuffer.isView(right) || left.byteLength !== right.byteLength) return false
    const a = new Uint8Array(left.buffer, left.byteOffset, left.byteLength)
    const b = new Uint8Array(right.buffer, right.byteOffset, right.byteLength)
    for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
    return true
  }
  if (Array.isArray(left)) {
    if (!Array.isArray(right) || left.length !== right.length) return false
    for (let i = 0; i < left.length; i++) if (!same(left[i], right[i])) return false
    return true
  }
  if (left instanceof Map) {
    if (!(right instanceof Map) || left.size !== right.size) return false
    const others = right.entries()
    for (const [key, value] of left) {
      const other = others.next().value!
      if (other[0] !== key || !same(value, other[1])) return false
    }
    return true
  }
  const keys = Object.keys(left)
  if (keys.length !== Object.keys(right).length) return false
  for (const key of keys) {
    if (!same((left as Record<string, unknown>)[key], (right as Record<string, unknown>)[key])) return false
  }
  return true
}

/** Whether a text has a character that would move or hide what stands around it: controls, and marks of direction. */
export const hasControl = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true
    if (code >= 0x2028 && code <= 0x202e) return true
    if (code >= 0x200e && code <= 0x200f) return true
    if (code >= 0x2066 && code <= 0x2069) return true
  }
  return false
}
