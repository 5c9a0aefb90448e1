/**
 * What the admin API must be told by whoever runs it: facts about the program, and how to end it.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { StopOptions } from "../server/ServerAdmin.ts"

/** A port that is open. */
export interface ListenerStatus {
  readonly protocol: string
  readonly host: string
  readonly port: number
}

/**
 * The program around the API.
 *
 * - `version` and `runtime`: of the program, and what it runs on, such as `node v24.1.0`.
 * - `startedAt`: when it was started, in milliseconds since 1970.
 * - `listeners`: the ports that are open, beside the one that `RtmpServer.address` gives.
 * - `stop`: begins to end the program, and returns at once.
 * - `closing`: returns when the API is about to close, so that followers can be sent away in order.
 */
export class AdminContext extends Context.Service<
  AdminContext,
  {
    readonly version: string
    readonly runtime: string
    readonly startedAt: number
    readonly listeners: Effect.Effect<ReadonlyArray<ListenerStatus>>
    readonly stop: (options: StopOptions) => Effect.Effect<void>
    readonly closing: Effect.Effect<void>
  }
>()("effect-rtmp/http/AdminContext") {}
