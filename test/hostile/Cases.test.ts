import { existsSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Cases from "./Cases.ts"

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

  it("is shown here where it is a peer of the running server", () => {
    const peers = [...textOf("hostile/Peers.ts").matchAll(/^ {2}\[\n? *"([^"]+)",/gm)].map((match) => match[1]!)
    const listed = new Set(
      Object.values(Cases).flatMap((cases) =>
        cases.flatMap(({ shown }) => shown.flatMap(([file, test]) => (file === "hostile/Peers.ts" ? [test] : [])))
      )
    )
    assert.isAbove(peers.length, 50)
    const unlisted = peers.filter((peer) => !listed.has(peer))
    assert.deepStrictEqual(unlisted, [])
  })
})
