/** A program that fails in the way that `FAIL_BY` names, for `NodeMain.test.ts`. */
import process from "node:process"
import * as Effect from "effect/Effect"
import * as NodeMain from "../../src/node/NodeMain.ts"
import { Diagnostics } from "../../src/server/Diagnostics.ts"
import { LastWords } from "../../src/server/LastWords.ts"

NodeMain.run(
  Effect.gen(function* () {
    const diagnostics = yield* Diagnostics
    diagnostics.contribute("part", () => ({ state: "fine" }))
    diagnostics.note("something before", 1)
    const bug = new Error("a bug of the test")
    const lastWords = yield* LastWords
    // Nothing that Effect does ends this.
    if (process.env.FAIL_BY === "hang") lastWords.add(() => Effect.uninterruptible(Effect.never))
    if (process.env.FAIL_BY === "die") return yield* Effect.die(bug)
    setTimeout(() => {
      throw bug
    }, 0)
    return yield* Effect.never
  })
)
