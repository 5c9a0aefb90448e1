/** Writes to a store as fast as it can, and says after each write that it is done: run by a test that kills it. */
import * as Effect from "effect/Effect"
import * as NodeKeyStore from "../../src/node/NodeKeyStore.ts"

const program = Effect.gen(function* () {
  const store = yield* NodeKeyStore.make(process.argv[2]!)
  for (let round = 1; ; round++) {
    const value = JSON.stringify({ round, filler: String(round % 10).repeat(200_000) })
    for (const key of ["a", "b"]) {
      yield* store.set(key, value)
      yield* Effect.sync(() => process.stdout.write(`${key} ${round}\n`))
    }
  }
})

await Effect.runPromise(program)
