import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Diagnostics from "../../src/server/Diagnostics.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

describe("a diagnostic report", () => {
  it("asks each part that is there, and survives those that throw", () => {
    const diagnostics = Diagnostics.make()
    diagnostics.contribute("one", () => ({ connections: 3 }))
    const remove = diagnostics.contribute("gone", () => 1)
    diagnostics.contribute("broken", () => {
      throw new Error("a bug")
    })
    remove()
    assert.deepStrictEqual(diagnostics.report(7), {
      at: 7,
      parts: { one: { connections: 3 }, broken: "could not be described: Error: a bug" },
      recentErrors: []
    })
  })

  it("is made once for what ends the process: what is closed for it is still in there", () => {
    const diagnostics = Diagnostics.make()
    const state = { connections: 3 }
    const remove = diagnostics.contribute("server", () => state)
    const last = diagnostics.last(7)
    remove()
    state.connections = 0
    diagnostics.note("of the end", 8)
    assert.strictEqual(diagnostics.last(9), last)
    assert.deepStrictEqual(last, { at: 7, parts: { server: { connections: 3 } }, recentErrors: [] })
    assert.deepStrictEqual(diagnostics.report(9).parts, {})
  })

  it("keeps the last twenty errors, each cut to a thousand characters", () => {
    const diagnostics = Diagnostics.make()
    for (let i = 0; i < 50; i++) diagnostics.note(`${i} ${"x".repeat(2_000)}`, i)
    const { recentErrors } = diagnostics.report(0)
    assert.deepStrictEqual(
      recentErrors.map(({ at }) => at),
      Array.from({ length: 20 }, (_, i) => 30 + i)
    )
    assert.strictEqual(recentErrors[0]?.error.length, 1_000)
  })

  it.effect("has the counts of the server, without a name in them, as long as there is one", () => {
    const diagnostics = Diagnostics.make()
    const run = Effect.gen(function* () {
      yield* RtmpServer
      const from = yield* TestServer.publisher("secret-key")
      yield* from.send(Media.videoHeader(), Media.keyframe(0))
      yield* TestServer.settle
      const { parts } = diagnostics.report(0)
      assert.deepInclude(parts.server, { lifecycle: "Running", connections: 1, accepted: 1, publishers: 1, streams: 1 })
      assert.notInclude(JSON.stringify(parts), "secret-key")
    }).pipe(Effect.provide(TestServer.layer()), Effect.provideService(Diagnostics.Diagnostics, diagnostics))
    return Effect.andThen(
      run,
      Effect.sync(() => assert.deepStrictEqual(diagnostics.report(0).parts, {}))
    )
  })
})
