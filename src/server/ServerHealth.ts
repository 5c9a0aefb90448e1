/**
 * The health checks of the server itself.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ConfigStore } from "../config/ConfigStore.ts"
import { formatBytes } from "../config/ConfigValue.ts"
import { RtmpConfig } from "../config/RtmpConfig.ts"
import type { CheckResult } from "../observability/Health.ts"
import { failed, Health, passed } from "../observability/Health.ts"
import { AccessControl } from "./AccessControl.ts"
import { MemoryStatus } from "./Admission.ts"
import { RtmpServer } from "./RtmpServer.ts"
import type { Lifecycle } from "./ServerAdmin.ts"

/**
 * Registers the checks `listening`, ready only while every port is open and clients are let in, and `memory`, ready only
 * while there is as much as `limits.minFreeMemory` asks for, below which clients are turned away; and `components`, which
 * never fails and names the parts that do not run. Where there is an `AccessControl`, also `callback`, not ready while its callback does not answer and is not asked, and clients are therefore
 * refused. None is critical: a server may be stopped, or moving its clients away, on purpose, and one without memory or
 * callback still serves who is there.
 */
export const layer: Layer.Layer<never, never, Health | RtmpServer | RtmpConfig> = Layer.effectDiscard(
  Effect.gen(function* () {
    const health = yield* Health
    const server = yield* RtmpServer
    yield* health.register({
      name: "listening",
      critical: false,
      check: Effect.map(Effect.all([server.lifecycle, server.components]), ([lifecycle, components]) => {
        const dead = components.find(({ name, state }) => name.startsWith("listener") && state !== "Running")
        return lifecycle === "Running" && dead !== undefined
          ? failed(`the ${dead.name} has died and is being opened anew`)
          : results[lifecycle]
      })
    })
    const memory = yield* MemoryStatus
    const first = yield* RtmpConfig
    const store = Option.getOrUndefined(yield* Effect.serviceOption(ConfigStore))
    yield* health.register({
      name: "memory",
      critical: false,
      check: Effect.map(
        store === undefined ? Effect.succeed(first) : store.current,
        ({ limits: { minFreeMemory } }) => {
          const freeBytes = memory.freeBytes()
          if (freeBytes >= minFreeMemory) return passed
          const words = `${Math.floor(freeBytes / 2 ** 20)} MiB of memory are free`
          return failed(`${words}, less than limits.minFreeMemory, ${formatBytes(minFreeMemory)}`)
        }
      )
    })
    yield* health.register({
      name: "components",
      critical: false,
      check: Effect.map(server.components, (components): CheckResult => {
        const down = components.filter(({ state }) => state === "Waiting" || state === "Failed").map(({ name }) => name)
        // Without them clients are served all the same; that a port is not open is told by `listening`.
        return down.length === 0 ? passed : { ok: true, reason: `not running: ${down.join(", ")}` }
      })
    })
    const access = Option.getOrUndefined(yield* Effect.serviceOption(AccessControl))
    if (access === undefined) return
    yield* health.register({
      name: "callback",
      critical: false,
      check: Effect.map(access.callback, (state) => {
        if (state === undefined || state.pauseMs === 0) return passed
        const reason = "auth.callback.url does not answer"
        // Ready again before it is asked again: only clients find out that it answers.
        return state.fallback === "deny" ? failed(`${reason}: clients are refused`) : { ok: true, reason }
      })
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
