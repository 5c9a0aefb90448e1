import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as NamePattern from "../../src/access/NamePattern.ts"
import { textOf } from "./Requests.ts"

const matches = (pattern: string, name: string): boolean => Result.getOrThrow(NamePattern.make(pattern)).matches(name)

/** The same by trying everything, for short patterns. */
const reference = (pattern: string, name: string): boolean => {
  if (pattern === "") return name === ""
  if (pattern.startsWith("**")) {
    return reference(pattern.slice(2), name) || (name !== "" && reference(pattern, name.slice(1)))
  }
  if (pattern.startsWith("*")) {
    return reference(pattern.slice(1), name) || (name !== "" && name[0] !== "/" && reference(pattern, name.slice(1)))
  }
  if (name === "") return false
  if (pattern[0] === "?" ? name[0] === "/" : pattern[0] !== name[0]) return false
  return reference(pattern.slice(1), name.slice(1))
}

describe("NamePattern", () => {
  it("covers whole names, within a segment with one star and beyond it with two", () => {
    const table: ReadonlyArray<readonly [pattern: string, name: string, expected: boolean]> = [
      ["live", "live", true],
      ["live", "Live", false],
      ["live", "lively", false],
      ["*", "", true],
      ["*", "a", true],
      ["*", "a/b", false],
      ["**", "a/b/c", true],
      ["cam-?", "cam-1", true],
      ["cam-?", "cam-10", false],
      ["a?b", "a/b", false],
      ["a/**/c", "a/b/b/c", true],
      ["a/**/c", "a/c", false],
      ["a.c", "abc", false],
      ["(a|b)+$", "a", false],
      ["(a|b)+$", "(a|b)+$", true],
      ["***", "a/b", true]
    ]
    for (const [pattern, name, expected] of table)
      assert.strictEqual(matches(pattern, name), expected, `${pattern} ${name}`)
  })

  it.prop(
    "agrees with trying every way",
    [textOf("ab/*?", 0, 8), textOf("ab/", 0, 8)],
    ([pattern, name]) => {
      assert.strictEqual(matches(pattern, name), reference(pattern, name), `${pattern} ${name}`)
    },
    { arbitrary: { runs: 3_000 } }
  )

  it("takes no more steps for patterns that are made to be slow", () => {
    const name = `${"a".repeat(255)}`
    const started = performance.now()
    for (let i = 0; i < 20; i++) assert.isFalse(matches(`${"*a".repeat(120)}b`, name))
    // Trying every way would outlast the universe.
    assert.isBelow(performance.now() - started, 2_000)
  })

  it("is refused where it is longer than any name", () => {
    assert.isTrue(Result.isFailure(NamePattern.make("a".repeat(NamePattern.maxPatternLength + 1))))
    assert.isTrue(Result.isSuccess(NamePattern.make("a".repeat(NamePattern.maxPatternLength))))
  })
})
