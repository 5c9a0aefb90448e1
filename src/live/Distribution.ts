/**
 * Distribution: how a stream's batches reach its viewers. One outbox for each viewer decides what it is sent, what waits
 * and what is dropped; this service makes them.
 *
 * A custom server with a drop policy of its own provides outboxes that extend `Outbox`.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { OutboxOptions } from "./LiveOptions.ts"
import type { BlockedViewers, OutboxOwner, ViewerSink } from "./Outbox.ts"
import { Outbox } from "./Outbox.ts"

/**
 * Makes the outbox of one viewer.
 *
 * `id` tells viewers of one registry apart; `messageStreamId` is what the viewer's messages carry; `blocked` holds the
 * viewers with full sockets of all streams; `owner` hears of the viewer's end.
 */
export type MakeOutbox = (
  id: number,
  sink: ViewerSink,
  messageStreamId: number,
  options: OutboxOptions,
  blocked: BlockedViewers,
  owner: OutboxOwner
) => Outbox

/** Makes an `Outbox`. */
export const makeOutbox: MakeOutbox = (id, sink, messageStreamId, options, blocked, owner) =>
  new Outbox(id, sink, messageStreamId, options, blocked, owner)

/** Makes the outboxes of viewers. */
export class Distribution extends Context.Service<
  Distribution,
  {
    /** See the type of this name. */
    readonly makeOutbox: MakeOutbox
  }
>()("effect-rtmp/live/Distribution") {
  /** The outboxes of this package. */
  static readonly layer: Layer.Layer<Distribution> = Layer.succeed(Distribution, { makeOutbox })
}
