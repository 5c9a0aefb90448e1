import { existsSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Cases from "./Cases.ts"
import { oddities } from "./Oddities.ts"
import { peers, securePeers } from "./Peers.ts"

const texts = new Map<string, string>()

const textOf = (file: string): string => {
  const known = texts.get(file)
  if (known !== undefined) return known
  const path = new URL(`../${file}`, import.meta.url)
  const text = existsSync(path) ? readFileSync(path, "utf8") : ""
  texts.set(file, text)
  return text
}

describe("every known hostile input", () => {
  for (const [room, cases] of Object.entries(Cases)) {
    it(`is shown by a test that exists: ${room}`, () => {
      const missing = cases.flatMap(({ name, shown }) => [
        ...(shown.length === 0 ? [`${name}: nowhere`] : []),
        ...shown
          .filter(([file, test]) => !textOf(file).includes(test))
          .map(([file, test]) => `${name}: ${file}: ${test}`)
      ])
      assert.deepStrictEqual(missing, [])
    })

    it(`stands in the table once: ${room}`, () => {
      const names = cases.map(({ name }) => name)
      assert.deepStrictEqual(
        names.filter((name, index) => names.indexOf(name) !== index),
        []
      )
    })
  }

  it("is shown here where it is sent to the running server", () => {
    const listedOf = (file: string): ReadonlyArray<string> =>
      Object.values(Cases).flatMap((cases) =>
        cases.flatMap(({ shown }) => shown.flatMap(([where, test]) => (where === file ? [test] : [])))
      )
    const asPeers = new Set(listedOf("hostile/Peers.ts"))
    assert.deepStrictEqual(
      [...peers, ...securePeers].map(([name]) => name).filter((name) => !asPeers.has(name)),
      []
    )
    // Some of them are made of a word that each has in its name.
    const asOddities = listedOf("hostile/Oddities.ts")
    assert.deepStrictEqual(
      oddities.map(({ name }) => name).filter((name) => !asOddities.some((listed) => name.startsWith(listed))),
      []
    )
  })
})
