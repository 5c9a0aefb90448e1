/**
 * Patterns for the names of applications and streams.
 *
 * `*` stands for any characters but the slash, `**` for any characters, `?` for one character but the slash; everything
 * else stands for itself. A pattern covers the whole name, and letters are compared as they are.
 *
 * Matching walks once over the name with the set of places in the pattern that can have been reached: the time is at most
 * the product of both lengths, whatever they are. No regular expression is made of what a user wrote.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"

/** A pattern that is not accepted. */
export class NamePatternError extends Data.TaggedError("NamePatternError")<{
  readonly reason: "TooLong"
}> {
  override get message(): string {
    return `a pattern has at most ${maxPatternLength} characters`
  }
}

/** The longest pattern that is accepted, in UTF-16 code units. */
export const maxPatternLength = 512

type Step = { readonly _tag: "Literal"; readonly code: number } | { readonly _tag: "One" | "Segment" | "Any" }

/** A compiled pattern. `source` is its text. */
export interface NamePattern {
  readonly source: string
  /** Tells whether the whole name is covered. */
  readonly matches: (name: string) => boolean
}

/** Compiles a pattern. */
export const make = (source: string): Result.Result<NamePattern, NamePatternError> => {
  if (source.length > maxPatternLength) return Result.fail(new NamePatternError({ reason: "TooLong" }))
  const steps = parse(source)
  if (steps.every((step) => step._tag === "Literal")) {
    return Result.succeed({ source, matches: (name) => name === source })
  }
  return Result.succeed({ source, matches: (name) => run(steps, name) })
}

/** The pattern that covers every name. */
export const everything: NamePattern = { source: "**", matches: () => true }

const slash = 0x2f

const parse = (source: string): ReadonlyArray<Step> => {
  const steps: Array<Step> = []
  for (let i = 0; i < source.length; i++) {
    const character = source[i]
    if (character === "?") steps.push({ _tag: "One" })
    else if (character !== "*") steps.push({ _tag: "Literal", code: source.charCodeAt(i) })
    else if (source[i + 1] !== "*") steps.push({ _tag: "Segment" })
    else {
      steps.push({ _tag: "Any" })
      while (source[i + 1] === "*") i++
    }
  }
  return steps
}

const isStar = (step: Step | undefined): boolean => step?._tag === "Segment" || step?._tag === "Any"

/** Marks a place, and those behind it that are reached without a character. */
const reach = (steps: ReadonlyArray<Step>, places: Uint8Array, from: number): void => {
  let place = from
  while (places[place] === 0) {
    places[place] = 1
    if (!isStar(steps[place])) return
    place++
  }
}

const run = (steps: ReadonlyArray<Step>, name: string): boolean => {
  let places = new Uint8Array(steps.length + 1)
  let next = new Uint8Array(steps.length + 1)
  reach(steps, places, 0)
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    next.fill(0)
    let alive = false
    for (let place = 0; place < steps.length; place++) {
      if (places[place] === 0) continue
      const step = steps[place]!
      if (step._tag === "Literal" ? step.code !== code : step._tag !== "Any" && code === slash) continue
      reach(steps, next, isStar(step) ? place : place + 1)
      alive = true
    }
    if (!alive) return false
    const spare = places
    places = next
    next = spare
  }
  return places[steps.length] === 1
}
