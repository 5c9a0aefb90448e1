/**
 * What happens to streams, for logs, metrics, hooks and custom code: never per message, always with key and time.
 *
 * The synchronous core calls an `Emit` function and knows nothing of who listens. The service broadcasts the events on a
 * bounded, sliding `PubSub`: a listener who falls behind by `capacity` events loses the oldest ones, and holds nobody up.
 *
 * **Gotchas**
 *
 * - `Emit` only appends to a queue; listeners run in fibers of their own, later. Completing a waiting fiber resumes it on
 *   the spot in Effect, and foreign code must not run in the middle of a publish.
 * - Events that a publisher's media cause (`Gap`, `CodecChanged`, `MetadataChanged`) are limited per second and stream.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Broadcast from "./Broadcast.ts"
import type { EndReason, OverflowReason } from "./Outbox.ts"

/** Fields of every event. */
interface EventBase {
  /** The stream, as `app/name`. */
  readonly streamKey: string
  /** When it happened, in the milliseconds that the caller passed in. */
  readonly atMs: number
}

/** Why a publication ended: in an orderly way, by a lost connection, replaced by another publisher, or at shutdown. */
export type UnpublishReason = "Unpublished" | "Vanished" | "TakenOver" | "Shutdown"

/** A publisher has claimed the name. `resumed` where it continues a stream whose viewers were waiting. */
export interface Published extends EventBase {
  readonly _tag: "Published"
  /** Who publishes, as given to `claim`. */
  readonly publisherId: string
  /** Whether the stream existed already. */
  readonly resumed: boolean
}

/** A publication is over: exactly one for every `Published`. */
export interface Unpublished extends EventBase {
  readonly _tag: "Unpublished"
  /** Who published. */
  readonly publisherId: string
  /** Why it ended. */
  readonly reason: UnpublishReason
}

/** No media comes any more, and the viewers stay: the publisher is silent, or lost and given time to return. */
export interface Unavailable extends EventBase {
  readonly _tag: "Unavailable"
  /** What is wrong. */
  readonly reason: "Silent" | "Vanished"
}

/** Media comes again after `Unavailable`. */
export interface Resumed extends EventBase {
  readonly _tag: "Resumed"
}

/** A viewer was started. */
export interface SubscriberJoined extends EventBase {
  readonly _tag: "SubscriberJoined"
  /** The viewer's id within its registry. */
  readonly viewerId: number
  /** Viewers of the stream, this one included. */
  readonly viewers: number
}

/** A started viewer is gone: exactly one for every `SubscriberJoined`. */
export interface SubscriberLeft extends EventBase {
  readonly _tag: "SubscriberLeft"
  /** The viewer's id within its registry. */
  readonly viewerId: number
  /** Viewers that are left. */
  readonly viewers: number
  /** `Left` by its own wish; the rest as the sink was told. */
  readonly reason: EndReason | OverflowReason | "Left"
}

/** The publisher sent metadata that differs from what it sent before. */
export interface MetadataChanged extends EventBase {
  readonly _tag: "MetadataChanged"
  /** The size of the new metadata. */
  readonly bytes: number
}

/** A track has a codec for the first time, or another one than before. */
export interface CodecChanged extends EventBase {
  readonly _tag: "CodecChanged"
  /** Audio or video. */
  readonly kind: "audio" | "video"
  /** The track id of enhanced multitrack media, else 0. */
  readonly trackId: number
  /** The new codec. */
  readonly codec: string
}

/** A track's timestamps jumped by more than a second. */
export interface Gap extends EventBase {
  readonly _tag: "Gap"
  /** Audio or video. */
  readonly kind: "audio" | "video"
  /** The track id of enhanced multitrack media, else 0. */
  readonly trackId: number
  /** Milliseconds from the frame before; negative where time went backwards. */
  readonly stepMs: number
}

/** A publisher sends more than `StreamLimits.publishBitsPerSecond`. Told again each minute while it goes on. */
export interface BitrateExceeded extends EventBase {
  readonly _tag: "BitrateExceeded"
  /** The mean over the last seconds. */
  readonly bitsPerSecond: number
  /** The limit. */
  readonly limitBitsPerSecond: number
}

/** Everything that is reported about streams. */
export type StreamEvent =
  | Published
  | Unpublished
  | Unavailable
  | Resumed
  | SubscriberJoined
  | SubscriberLeft
  | MetadataChanged
  | CodecChanged
  | Gap
  | BitrateExceeded

/** Takes an event. Must not throw and must not call back into the live room. */
export type Emit = (event: StreamEvent) => void

/** An `Emit` that forgets. */
export const discard: Emit = () => {}

/** The events of all streams of a registry, as a service. */
export class StreamEvents extends Context.Service<
  StreamEvents,
  {
    /** Takes an event from the synchronous core. */
    readonly emit: Emit
    /** Subscribes until the scope closes: events from now on, sliding. */
    readonly subscribe: Effect.Effect<PubSub.Subscription<StreamEvent>, never, Scope.Scope>
    /** The events from the moment on at which the stream is run. Ends with the service. */
    readonly events: Stream.Stream<StreamEvent>
  }
>()("effect-rtmp/live/StreamEvents") {
  /** Broadcasts with `capacity` events of patience for each listener. */
  static readonly layerWith = (capacity: number): Layer.Layer<StreamEvents> =>
    Layer.effect(
      StreamEvents,
      Effect.map(Broadcast.make<StreamEvent>(capacity), ({ emit, subscribe, values }) =>
        StreamEvents.of({ emit, subscribe, events: values })
      )
    )

  /** Broadcasts with the default capacity. */
  static readonly layer: Layer.Layer<StreamEvents> = StreamEvents.layerWith(Broadcast.defaultCapacity)
}
