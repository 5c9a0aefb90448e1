/**
 * What an operator sees of a running server, and may do to it: plain values and a few verbs.
 *
 * The values are ready for JSON: nothing in them is undefined, times of day are milliseconds since 1970 (UTC), and what
 * is not known is the empty string or 0. Names come from clients and are as they sent them: whoever shows them escapes
 * them.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { DropReport } from "../live/Outbox.ts"
import type { CloseReason } from "../observability/CloseReason.ts"
import type { ComponentStatus } from "./Supervisor.ts"
import type { Endpoint } from "./Transport.ts"

/**
 * Where a server is in its life.
 *
 * `Starting`: the listener is being opened. `Running`: it serves. `Draining`: the port is open, but whoever connects is
 * turned away, and those who are there are asked to move. `Stopping`: the port is closed, and those who are there are
 * ended. `Stopped`: nothing is left; it can be started again.
 */
export type Lifecycle = "Stopped" | "Starting" | "Running" | "Draining" | "Stopping"

/** A stream that a connection plays, or waits for. */
export interface PlayingInfo {
  readonly streamKey: string
  /** Whether the stream has begun for this viewer; it waits for a publisher otherwise. */
  readonly started: boolean
  /** Audio and video frames, and bytes, that were handed over for sending. */
  readonly frames: number
  readonly bytes: number
  /** Milliseconds of media that wait for the viewer's socket, and their bytes. */
  readonly lagMs: number
  readonly queuedBytes: number
  /** Frames that the viewer lost, by cause. */
  readonly drops: DropReport
}

/**
 * A connection.
 *
 * - `state`: as in `SessionStage`: the step of the handshake, `WaitingConnect`, `Connected`, `Publishing`,
 *   `Subscribing`, or `Disconnected` while its last bytes are sent.
 * - `application`, `flashVer`: as the client said in `connect`; empty before. `canReconnect`: whether it said that it
 *   follows a ReconnectRequest (E-RTMP v2, capsEx).
 * - `receiveBitsPerSecond`, `sendBitsPerSecond`: the mean since rates were last asked for, a second ago or more; the
 *   first time, since the connection was opened.
 */
export interface ConnectionInfo {
  readonly id: string
  readonly remote: Endpoint
  readonly state: string
  readonly openedAt: number
  readonly application: string
  readonly flashVer: string
  readonly canReconnect: boolean
  readonly bytesReceived: number
  readonly bytesSent: number
  readonly receiveBitsPerSecond: number
  readonly sendBitsPerSecond: number
  /** Keys of the streams that it publishes. */
  readonly publishing: ReadonlyArray<string>
  readonly playing: ReadonlyArray<PlayingInfo>
}

/**
 * A track of a stream.
 *
 * - `codec`: as `MediaFrame.codec` names it. `profile`, `level`: by their usual names, empty where unknown.
 * - `width`, `height`: pixels; `sampleRate`: Hz; `channels`: count. From the sequence header; 0 where it does not tell.
 * - `frameRate`: frames per second, measured over the last seconds. `keyframeIntervalMs`: mean distance of keyframes; 0
 *   before the second one, and for audio.
 */
export interface TrackInfo {
  readonly kind: "audio" | "video"
  readonly trackId: number
  readonly codec: string
  readonly profile: string
  readonly level: string
  readonly width: number
  readonly height: number
  readonly frameRate: number
  readonly sampleRate: number
  readonly channels: number
  readonly bitsPerSecond: number
  readonly keyframeIntervalMs: number
  readonly frames: number
  readonly bytes: number
  /** Steps of more than a second in the timestamps. */
  readonly gaps: number
}

/** What a stream keeps so that a viewer has a picture at once. */
export interface GopInfo {
  readonly frames: number
  readonly bytes: number
  readonly durationMs: number
}

/**
 * A stream that is published, or waits for its publisher's return.
 *
 * - `publisher`: the id of the connection, or of whoever else publishes; empty while the stream waits.
 * - `state`: `Live`, `Silent` (the publisher sends nothing) or `Vanished` (it broke off, and may come back).
 * - `since`: when the stream began. `dry`: whether viewers were told that no media comes.
 * - `disabled`: whether new publishers and viewers are refused; see `disableStream`.
 */
export interface StreamInfo {
  readonly key: string
  readonly application: string
  readonly name: string
  readonly publisher: string
  readonly state: "Live" | "Silent" | "Vanished"
  readonly since: number
  readonly viewers: number
  readonly viewersPeak: number
  readonly bitsPerSecond: number
  readonly bytes: number
  readonly dry: boolean
  readonly disabled: boolean
  readonly tracks: ReadonlyArray<TrackInfo>
  readonly gop: GopInfo
}

/**
 * How to move clients away.
 *
 * - `reconnectTo`: where those who follow a ReconnectRequest are sent: an URL such as `rtmp://other.example/live`, or
 *   relative to the one that the client used; empty for the same URL. `shutdown.reconnectTo` where left out.
 * - `grace`: how long they have; `shutdown.grace` where left out.
 */
export interface DrainOptions {
  readonly reconnectTo?: string
  readonly grace?: Duration.Input
}

/** How to stop: as `DrainOptions`; `force` drops every connection at once, also where a stop is already under way. */
export interface StopOptions extends DrainOptions {
  readonly force?: boolean
}

/** What a server did between its start and its stop. */
export interface StopSummary {
  /** Connections when the stop began, and how many of them had to be dropped in the end. */
  readonly connections: number
  readonly dropped: number
  /** Connections accepted, publications begun, and connections refused, since the server was made. */
  readonly accepted: number
  readonly publications: number
  readonly refused: number
  /** Bytes of all of them. */
  readonly bytesReceived: number
  readonly bytesSent: number
  /** How long the server ran and how long the stop took, in milliseconds. */
  readonly uptimeMs: number
  readonly stopMs: number
  /** How many connections ended for which reason; reasons that never came up are left out. */
  readonly reasons: { readonly [Reason in CloseReason]?: number }
}

/**
 * The administration of a server: part of the `RtmpServer` service.
 *
 * - `connections`, `connection`: what is connected. `streams`, `stream`: what is published. Both oldest first; one by
 *   its id or key, undefined where there is none.
 * - `kick`: ends a connection in order, with `description` for the client's user. `kickPublisher`: ends the publication
 *   of a stream, and the connection unless it publishes something else. Both tell whether there was one.
 * - `withdraw`: ends what is published and played by grants with a `credential` (`AccessGrant`), and the whole connection,
 *   where it was let in with that or does nothing else. Gives the ids of the connections that this was so for.
 * - `disableStream`: kicks the publisher and the viewers of a key, and refuses those that come, until `enableStream` or
 *   the end of the process. Both tell whether that changed anything.
 * - `drain`: keeps the port open, but turns new connections away before the handshake, so that a balancer or the
 *   client's own retry leads them elsewhere. Publishers and viewers who follow a ReconnectRequest are sent one, and stay
 *   as they are for `grace`; publishers who do not are, other than in a stop, ended at once, in order, since a lost connection is what makes
 *   encoders such as OBS connect anew. Viewers stay until their stream ends. Returns when all have been told; `resume`
 *   takes it back. A draining server stays so, however empty, until it is resumed or stopped.
 * - `lifecycle`, `lifecycleChanges`: where the server is in its life, and from now on each change; `awaitStopped`
 *   returns when it is or becomes `Stopped` after having run.
 * - `components`: what the supervisor knows.
 */
export interface ServerAdmin {
  readonly connections: Effect.Effect<ReadonlyArray<ConnectionInfo>>
  readonly connection: (id: string) => Effect.Effect<ConnectionInfo | undefined>
  readonly streams: Effect.Effect<ReadonlyArray<StreamInfo>>
  readonly stream: (key: string) => Effect.Effect<StreamInfo | undefined>
  readonly kick: (connectionId: string, description?: string) => Effect.Effect<boolean>
  readonly kickPublisher: (streamKey: string, description?: string) => Effect.Effect<boolean>
  readonly withdraw: (credential: string, description?: string) => Effect.Effect<ReadonlyArray<string>>
  readonly disableStream: (streamKey: string) => Effect.Effect<boolean>
  readonly enableStream: (streamKey: string) => Effect.Effect<boolean>
  readonly disabledStreams: Effect.Effect<ReadonlyArray<string>>
  readonly drain: (options?: DrainOptions) => Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  readonly lifecycle: Effect.Effect<Lifecycle>
  readonly lifecycleChanges: Stream.Stream<Lifecycle>
  readonly awaitStopped: Effect.Effect<void>
  readonly components: Effect.Effect<ReadonlyArray<ComponentStatus>>
}
