/**
 * The events of the admin API as Schemas: what `ServerEvents`, `StreamEvents` and the configuration tell, in envelopes.
 */
import * as Schema from "effect/Schema"
import type { AccessDeniedReason } from "../access/Authenticator.ts"
import * as CloseReason from "../observability/CloseReason.ts"
import { refusalLimits } from "../server/Admission.ts"
import { ConfigChangeInfo, DropInfo, EndpointInfo, LifecycleInfo, LogEntryInfo } from "./AdminSchema.ts"

const text = (description: string) => Schema.String.annotate({ description })
const number = (description: string) => Schema.Finite.annotate({ description })
const flag = (description: string) => Schema.Boolean.annotate({ description })
const connectionId = text("The connection, as in the log.")
const streamKey = text("The stream.")
const listener = text("Which of the listeners it came to, `rtmp` or `rtmps`.")
const kind = Schema.Literals(["audio", "video"]).annotate({ description: "Audio or video." })
const trackId = number("The track of enhanced multitrack media, else 0.")

/** `CloseReason`. */
export const CloseReasonInfo: Schema.Literals<ReadonlyArray<CloseReason.CloseReason>> = Schema.Literals(
  CloseReason.all
).annotate({ identifier: "CloseReason", description: "Why a connection ended." })

const reasonCounts = Object.fromEntries(
  CloseReason.all.map((reason) => [reason, Schema.optionalKey(number(CloseReason.describe(reason)))])
) as Record<CloseReason.CloseReason, Schema.optionalKey<Schema.Finite>>

const accessReasons = [
  "CredentialMissing",
  "CredentialInvalid",
  "CredentialExpired",
  "NotAllowed",
  "AddressNotAllowed",
  "TooManyFailures",
  "Unavailable"
] as const satisfies ReadonlyArray<AccessDeniedReason>

/** `StopSummary`. */
export const StopSummaryInfo = Schema.Struct({
  connections: number("Connections when the stop began."),
  dropped: number("Those among them that had to be dropped in the end."),
  accepted: number("Connections accepted."),
  publications: number("Publications begun."),
  refused: number("Connections refused."),
  bytesReceived: number("Bytes received."),
  bytesSent: number("Bytes sent."),
  uptimeMs: number("How long the server ran, in milliseconds."),
  stopMs: number("How long the stop took, in milliseconds."),
  reasons: Schema.Struct(reasonCounts).annotate({ description: "How many connections ended for which reason." })
}).annotate({ identifier: "StopSummary", description: "What the server did between its start and its stop." })

/** `ServerEvent`. */
export const ServerEventInfo = Schema.Union([
  Schema.Struct({
    _tag: Schema.Literal("ConnectionOpened"),
    connectionId,
    remote: EndpointInfo,
    listener: Schema.optionalKey(listener)
  }),
  Schema.Struct({
    _tag: Schema.Literal("ConnectionRefused"),
    remote: EndpointInfo,
    listener: Schema.optionalKey(listener),
    limit: Schema.Literals(refusalLimits).annotate({ description: "What there was too much of." }),
    max: number("The limit."),
    count: Schema.optionalKey(
      number("How many were refused for it since the last event that told so, this one included.")
    ),
    reason: Schema.optionalKey(
      Schema.Literals(accessReasons).annotate({ description: "Why the address is not listened to." })
    ),
    freeBytes: Schema.optionalKey(number("What is left, where memory is short."))
  }),
  Schema.Struct({
    _tag: Schema.Literal("HandshakeCompleted"),
    connectionId,
    remote: EndpointInfo,
    kind: text("Which handshake."),
    echoMatches: flag("Whether C2 repeated S1.")
  }),
  Schema.Struct({
    _tag: Schema.Literal("ClientConnected"),
    connectionId,
    remote: EndpointInfo,
    application: text("The application."),
    flashVer: text("The program of the client, as it says.")
  }),
  Schema.Struct({
    _tag: Schema.Literals(["PublishStarted", "PlayStarted"]),
    connectionId,
    remote: EndpointInfo,
    streamKey
  }),
  Schema.Struct({ _tag: Schema.Literal("PublishStopped"), connectionId, remote: EndpointInfo, streamKey }),
  Schema.Struct({
    _tag: Schema.Literal("FramesDropped"),
    connectionId,
    remote: EndpointInfo,
    streamKey,
    drops: DropInfo
  }),
  Schema.Struct({
    _tag: Schema.Literal("AccessRefused"),
    connectionId,
    remote: EndpointInfo,
    action: Schema.Literals(["connect", "publish", "play"]).annotate({ description: "What was asked for." }),
    streamKey,
    reason: text("Why it was refused.")
  }),
  Schema.Struct({
    _tag: Schema.Literal("Anomaly"),
    connectionId,
    remote: EndpointInfo,
    kind: text("Which oddity was tolerated."),
    detail: text("More about it.")
  }),
  Schema.Struct({
    _tag: Schema.Literal("ConnectionClosed"),
    connectionId,
    remote: EndpointInfo,
    reason: CloseReasonInfo,
    detail: text("More about it."),
    stage: text("How far the connection had come."),
    totals: Schema.Struct({
      bytesReceived: number("Bytes received."),
      bytesSent: number("Bytes sent."),
      durationMs: number("How long it lasted, in milliseconds.")
    }).annotate({ description: "Its counters." })
  }),
  Schema.Struct({ _tag: Schema.Literal("LifecycleChanged"), from: LifecycleInfo, to: LifecycleInfo }),
  Schema.Struct({
    _tag: Schema.Literal("ClientsAsked"),
    connections: number("Open connections."),
    asked: number("Those that were sent a ReconnectRequest."),
    reconnectTo: text("Where to; empty for the same address.")
  }),
  Schema.Struct({ _tag: Schema.Literals(["StreamDisabled", "StreamEnabled"]), streamKey }),
  Schema.Struct({ _tag: Schema.Literal("ServerStopped"), summary: StopSummaryInfo })
]).annotate({ identifier: "ServerEvent", description: "What happened to a connection, or to the server." })

/** `StreamEvent`, without its time: the envelope has one that means something elsewhere. */
export const StreamEventInfo = Schema.Union([
  Schema.Struct({
    _tag: Schema.Literal("Published"),
    streamKey,
    publisherId: text("The connection that publishes."),
    resumed: flag("Whether the stream existed already, and its viewers waited.")
  }),
  Schema.Struct({
    _tag: Schema.Literal("Unpublished"),
    streamKey,
    publisherId: text("The connection that published."),
    reason: Schema.Literals(["Unpublished", "Vanished", "TakenOver", "Shutdown"]).annotate({
      description: "Why it ended."
    })
  }),
  Schema.Struct({
    _tag: Schema.Literal("Unavailable"),
    streamKey,
    reason: Schema.Literals(["Silent", "Vanished"]).annotate({ description: "What is wrong." })
  }),
  Schema.Struct({ _tag: Schema.Literal("Resumed"), streamKey }),
  Schema.Struct({
    _tag: Schema.Literal("SubscriberJoined"),
    streamKey,
    viewerId: number("The viewer."),
    viewers: number("Viewers, this one included.")
  }),
  Schema.Struct({
    _tag: Schema.Literal("SubscriberLeft"),
    streamKey,
    viewerId: number("The viewer."),
    viewers: number("Viewers that are left."),
    reason: Schema.Literals([
      "Unpublished",
      "PublisherLost",
      "NotFound",
      "Shutdown",
      "Full",
      "Stalled",
      "SinkFailed",
      "Left"
    ]).annotate({ description: "Why it left." })
  }),
  Schema.Struct({ _tag: Schema.Literal("MetadataChanged"), streamKey, bytes: number("Size of the new metadata.") }),
  Schema.Struct({ _tag: Schema.Literal("CodecChanged"), streamKey, kind, trackId, codec: text("The new codec.") }),
  Schema.Struct({
    _tag: Schema.Literal("BitrateExceeded"),
    streamKey,
    bitsPerSecond: number("The mean over the last seconds."),
    limitBitsPerSecond: number("What a publisher is expected to stay below.")
  }),
  Schema.Struct({
    _tag: Schema.Literal("Gap"),
    streamKey,
    kind,
    trackId,
    stepMs: number("Milliseconds from the frame before; negative where time went backwards.")
  })
]).annotate({ identifier: "StreamEvent", description: "What happened to a stream." })

const at = number("When it was told, in milliseconds since 1970 (UTC).")

/** An event of the admin API, in the data of a server-sent event. */
export const AdminEvent = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("server").annotate({ description: "It is of a connection, or of the server." }),
    at,
    event: ServerEventInfo
  }),
  Schema.Struct({
    type: Schema.Literal("stream").annotate({ description: "It is of a stream." }),
    at,
    event: StreamEventInfo
  }),
  Schema.Struct({
    type: Schema.Literal("config").annotate({ description: "The configuration has changed." }),
    at,
    changes: Schema.Array(ConfigChangeInfo).annotate({ description: "What has changed." })
  }),
  Schema.Struct({
    type: Schema.Literal("log").annotate({ description: "A line was logged." }),
    at,
    entry: LogEntryInfo
  }),
  Schema.Struct({
    type: Schema.Literal("heartbeat").annotate({ description: "Nothing has happened, but the server is there." }),
    at,
    lost: number("Events that this client has lost so far, because it read too slowly.")
  })
]).annotate({
  identifier: "Event",
  description:
    "An event. `type` says which kind. A heartbeat comes first, when everything from now on will be told, and then four times a minute."
})
