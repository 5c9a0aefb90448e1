/** A server that fails on SIGUSR2, in the way that `FAIL_BY` names, for `NodeMain.test.ts`. */
import process from "node:process"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as App from "../../src/App.ts"
import * as NodeMain from "../../src/node/NodeMain.ts"
import * as NodeServe from "../../src/node/NodeServe.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"

const fail = (): void => {
  const bug = new Error(`a bug of the test: ${process.env.FAIL_BY}`)
  if (process.env.FAIL_BY === "reject") Promise.reject(bug)
  else throw bug
}

/** A server whose own wait for its end dies. */
const dying = Layer.effect(
  RtmpServer,
  Effect.map(RtmpServer, (server) => ({
    ...server,
    awaitStopped: Effect.callback<void>((resume) => {
      process.on("SIGUSR2", () => {
        if (process.env.FAIL_BY === "die") resume(Effect.die(new Error("a bug of the test: die")))
        else fail()
      })
    })
  }))
)

NodeMain.run(
  NodeServe.serve({ config: undefined, settings: [] }, (operation) =>
    dying.pipe(Layer.provideMerge(App.layerOperated(operation)))
  )
)
