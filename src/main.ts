#!/usr/bin/env node
/**
 * The executable: reads the configuration, and serves until it is told to stop.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as App from "./App.ts"
import { describeWarning } from "./config/ConfigError.ts"
import { loadFromEnv, RtmpConfig } from "./config/RtmpConfig.ts"
import * as NodeCrypto from "./node/NodeCrypto.ts"
import * as NodeMain from "./node/NodeMain.ts"
import * as NodeTransport from "./node/NodeTransport.ts"
import * as Log from "./observability/Log.ts"
import { RtmpServer } from "./server/RtmpServer.ts"

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
