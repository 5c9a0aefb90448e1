#!/usr/bin/env node
/**
 * The executable: reads the configuration, and serves until it is told to stop.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as App from "./App.ts"
import { RtmpConfig } from "./config/RtmpConfig.ts"
import * as NodeCrypto from "./node/NodeCrypto.ts"
import * as NodeMain from "./node/NodeMain.ts"
import * as NodeTransport from "./node/NodeTransport.ts"
import * as Log from "./observability/Log.ts"
import { RtmpServer } from "./server/RtmpServer.ts"

const logging = Layer.unwrap(
  Effect.map(RtmpConfig, ({ log }) => Log.layer({ ...log, isTerminal: NodeMain.isTerminal() }))
)

const main = RtmpServer.layerStarted.pipe(
  Layer.provide(App.layer),
  Layer.provide([NodeTransport.layer, NodeCrypto.layer]),
  Layer.provide(logging),
  Layer.provide(RtmpConfig.layerFromEnv)
)

NodeMain.run(Layer.launch(main))
