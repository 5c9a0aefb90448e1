/**
 * The health check of the server itself.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { CheckResult } from "../observability/Health.ts"
import { failed, Health, passed } from "../observability/Health.ts"
import { RtmpServer } from "./RtmpServer.ts"
import type { Lifecycle } from "./ServerAdmin.ts"

/**
 * Registers the check `listening`: ready only while the port is open and clients are let in. It is not critical: a server
 * may be stopped, or moving its clients away, on purpose.
 */
export const layer: Layer.Layer<never, never, Health | RtmpServer> = Layer.effectDiscard(
  Effect.gen(function* () {
    const health = yield* Health
    const server = yield* RtmpServer
    yield* health.register({
      name: "listening",
      critical: false,
      check: Effect.map(server.lifecycle, (lifecycle) => results[lifecycle])
    })
  })
)

const results: Readonly<Record<Lifecycle, CheckResult>> = {
  Starting: failed("the server is not listening yet"),
  Running: passed,
  Draining: failed("the server moves its clients away"),
  Stopping: failed("the server is stopping"),
  Stopped: failed("the server does not listen")
}
