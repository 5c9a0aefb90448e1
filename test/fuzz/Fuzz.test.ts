/**
 * The fuzzer for a second or two a layer, always with the same inputs, and every input that ever failed.
 *
 * For long runs see `main.ts`.
 */
import { readdirSync, readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { layers } from "./Layers.ts"
import { minimise } from "./Minimise.ts"
import { Random } from "./Random.ts"
import { run } from "./Run.ts"

const seed = 20_261_122

const fixtures = new URL("../fixtures/fuzz/", import.meta.url)

const kept = readdirSync(fixtures, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => readdirSync(new URL(`${name}/`, fixtures)).map((file) => ({ layer: name, file })))

describe("the fuzzer", () => {
  for (const layer of layers) {
    it(`finds nothing in ${layer.inputsInTests} inputs of the layer ${layer.name}`, async () => {
      const { failure } = await run(layer, seed, 0, layer.inputsInTests)
      if (failure === undefined) return
      const smallest = await minimise(layer, failure.input, 5_000)
      const text = failure.error instanceof Error ? failure.error.stack : String(failure.error)
      const again = `node test/fuzz/main.ts --layer ${layer.name} --seed ${seed} --from ${failure.index} --count 1`
      assert.fail(`${again}\n${Buffer.from(smallest).toString("hex")}\n${text}`)
    })
  }

  it("makes the same input of the same seed and number, and another of any other", () => {
    const random = new Random()
    for (const layer of layers) {
      const [first, again, other] = [7, 7, 8].map((index) => layer.generate(random.start(seed, index)))
      assert.deepStrictEqual(again, first, layer.name)
      assert.notDeepEqual(other, first, layer.name)
    }
  })

  it("notices what does not hold, and makes the input smaller while it fails in the same way", async () => {
    const layer = {
      name: "example",
      inputsInTests: 1,
      generate: (random: Random) => Uint8Array.from({ length: 40 }, () => random.below(256)),
      check: (input: Uint8Array) => {
        if (input.includes(0xff)) throw new Error("the last byte value")
        if (input.length > 35) throw new RangeError("too long")
      }
    }
    const { failure } = await run(layer, 1, 0, 1_000)
    assert.strictEqual(failure?.input.length, 40)
    const failing = new Uint8Array(30).fill(7)
    failing[11] = 0xff
    assert.deepStrictEqual(await minimise(layer, failing), Uint8Array.of(0xff))
  })
})

describe("inputs that failed once", () => {
  const byName = new Map(layers.map((layer) => [layer.name, layer]))

  it("belong to a layer that there is", () => {
    assert.deepStrictEqual(
      kept.filter(({ layer }) => !byName.has(layer)),
      []
    )
  })

  for (const { file, layer } of kept) {
    it(`${layer}/${file} does not fail any more`, async () => {
      await byName.get(layer)?.check(new Uint8Array(readFileSync(new URL(`${layer}/${file}`, fixtures))))
    })
  }
})
