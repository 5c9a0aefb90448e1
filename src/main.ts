#!/usr/bin/env node
/**
 * The executable: reads the configuration, and serves until it is told to stop.
 */
import * as NodeStart from "./node/NodeStart.ts"

// Before anything else is imported: it works for what comes after it.
NodeStart.prepare()

const Effect = await import("effect/Effect")
const Layer = await import("effect/Layer")
const App = await import("./App.ts")
const { describeWarning } = await import("./config/ConfigError.ts")
const { loadFromEnv, RtmpConfig } = await import("./config/RtmpConfig.ts")
const NodeCrypto = await import("./node/NodeCrypto.ts")
const NodeMain = await import("./node/NodeMain.ts")
const NodeTransport = await import("./node/NodeTransport.ts")
const Log = await import("./observability/Log.ts")
const { RtmpServer } = await import("./server/RtmpServer.ts")

const main = Effect.gen(function* () {
  const { config, warnings } = yield* loadFromEnv
  const warn = Effect.forEach(warnings, (warning) => Effect.logWarning(describeWarning(warning)), { discard: true })
  const server = RtmpServer.layerStarted.pipe(
    Layer.provide(App.layer),
    Layer.provide([NodeTransport.layer, NodeCrypto.layer, Layer.succeed(RtmpConfig, config)])
  )
  return yield* Effect.andThen(warn, Layer.launch(server)).pipe(
    Effect.provide(Log.layer({ ...config.log, isTerminal: NodeMain.isTerminal() }))
  )
})

NodeMain.run(main)
