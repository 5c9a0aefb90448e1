/**
 * What happens to connections and to the server as a whole, as values: for the log, for metrics and for custom code.
 *
 * What happens to streams is told by `live/StreamEvents`.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type { AccessDeniedReason } from "../access/Authenticator.ts"
import * as Broadcast from "../live/Broadcast.ts"
import type { DropReport } from "../live/Outbox.ts"
import type { CloseReason } from "../observability/CloseReason.ts"
import type { RefusalLimit } from "./Admission.ts"
import type { Lifecycle, StopSummary } from "./ServerAdmin.ts"
import type { Endpoint } from "./Transport.ts"

/** Counters of a connection at its end: bytes, and the seconds that it lasted. */
export interface ConnectionTotals {
  readonly bytesReceived: number
  readonly bytesSent: number
  readonly durationMs: number
}

/** An event of a connection, or of the server. `connectionId` is the identifier that the log carries too. */
export type ServerEvent =
  | {
      readonly _tag: "ConnectionOpened"
      readonly connectionId: string
      readonly remote: Endpoint
      /** Which of the server's listeners it came to: `rtmp` or `rtmps`. */
      readonly listener?: string
    }
  | {
      readonly _tag: "ConnectionRefused"
      readonly remote: Endpoint
      /** Which of the server's listeners it came to: `rtmp` or `rtmps`. */
      readonly listener?: string
      readonly limit: RefusalLimit
      readonly max: number
      /** How many were refused for this limit, this one included, since the last event that told so; one, if absent. */
      readonly count?: number
      /** Why the address is not listened to, where that is the limit. */
      readonly reason?: AccessDeniedReason
      /** What is left, where memory is short. */
      readonly freeBytes?: number
    }
  | {
      readonly _tag: "HandshakeCompleted"
      readonly connectionId: string
      readonly remote: Endpoint
      readonly kind: string
      readonly echoMatches: boolean
    }
  | {
      readonly _tag: "ClientConnected"
      readonly connectionId: string
      readonly remote: Endpoint
      readonly application: string
      readonly flashVer: string
    }
  | {
      readonly _tag: "PublishStarted" | "PlayStarted"
      readonly connectionId: string
      readonly remote: Endpoint
      readonly streamKey: string
    }
  | {
      readonly _tag: "PublishStopped"
      readonly connectionId: string
      readonly remote: Endpoint
      readonly streamKey: string
    }
  | {
      readonly _tag: "FramesDropped"
      readonly connectionId: string
      readonly remote: Endpoint
      readonly streamKey: string
      readonly drops: DropReport
    }
  | {
      readonly _tag: "AccessRefused"
      readonly connectionId: string
      readonly remote: Endpoint
      readonly action: "connect" | "publish" | "play"
      readonly streamKey: string
      readonly reason: string
    }
  | {
      readonly _tag: "Anomaly"
      readonly connectionId: string
      readonly remote: Endpoint
      readonly kind: string
      readonly detail: string
    }
  | {
      readonly _tag: "ConnectionClosed"
      readonly connectionId: string
      readonly remote: Endpoint
      readonly reason: CloseReason
      readonly detail: string
      readonly stage: string
      readonly totals: ConnectionTotals
    }
  | { readonly _tag: "LifecycleChanged"; readonly from: Lifecycle; readonly to: Lifecycle }
  | {
      readonly _tag: "ClientsAsked"
      readonly connections: number
      readonly asked: number
      readonly reconnectTo: string
    }
  | { readonly _tag: "StreamDisabled" | "StreamEnabled"; readonly streamKey: string }
  | { readonly _tag: "ServerStopped"; readonly summary: StopSummary }

/** Publishes server events to whoever subscribes. */
export class ServerEvents extends Context.Service<
  ServerEvents,
  {
    /** Takes an event, at once and from anywhere. Subscribers run in fibers of their own, later. */
    readonly emit: (event: ServerEvent) => void
    /** The events from the moment on at which the stream is run. A slow subscriber loses the oldest. */
    readonly events: Stream.Stream<ServerEvent>
  }
>()("effect-rtmp/server/ServerEvents") {
  /** Broadcasts with the default capacity. */
  static readonly layer: Layer.Layer<ServerEvents> = Layer.effect(
    ServerEvents,
    Effect.map(Broadcast.make<ServerEvent>(), ({ emit, values }) => ServerEvents.of({ emit, events: values }))
  )
}
