/**
 * The values of `ServerAdmin` and what else the admin API shows, as Schemas: one for each type, with the same fields.
 *
 * Nothing here is undefined: what is not known is the empty string or 0. Times of day are milliseconds since 1970 (UTC).
 */
import * as Schema from "effect/Schema"
import { type Level, type LineLevel, levels } from "../observability/LogLevels.ts"
import type { Lifecycle } from "../server/ServerAdmin.ts"
import type { ComponentState } from "../server/Supervisor.ts"
import { ConfigProblemInfo } from "./AdminErrors.ts"

const text = (description: string) => Schema.String.annotate({ description })
const number = (description: string) => Schema.Finite.annotate({ description })
const flag = (description: string) => Schema.Boolean.annotate({ description })
const time = (description: string) => number(`${description}, in milliseconds since 1970 (UTC).`)

/** `Lifecycle`. */
export const LifecycleInfo = Schema.Literals<ReadonlyArray<Lifecycle>>([
  "Stopped",
  "Starting",
  "Running",
  "Draining",
  "Stopping"
]).annotate({
  identifier: "Lifecycle",
  description:
    "Where the server is in its life. `Draining`: the port is open, but new clients are turned away. `Stopping`: the port is closed, and clients are ended."
})

/** `Endpoint`: an address and a port. */
export const EndpointInfo = Schema.Struct({
  host: text("The address."),
  port: number("The port.")
}).annotate({ identifier: "Endpoint", description: "An address and a port." })

/** `DropReport`. */
export const DropInfo = Schema.Struct({
  late: number("Frames dropped because the viewer was too far behind."),
  full: number("Frames dropped because its queue was full."),
  orphaned: number("Frames dropped because a frame that they need was dropped.")
}).annotate({ identifier: "Drops", description: "Inter frames that a viewer lost, by cause." })

/** `PlayingInfo`. */
export const PlayingInfo = Schema.Struct({
  streamKey: text("The key of the stream."),
  started: flag("Whether the stream has begun for this viewer; it waits for a publisher otherwise."),
  frames: number("Audio and video frames handed over for sending."),
  bytes: number("Bytes handed over for sending."),
  lagMs: number("Milliseconds of media that wait for the socket of the viewer."),
  queuedBytes: number("Bytes that wait for it."),
  drops: DropInfo
}).annotate({ identifier: "Playing", description: "A stream that a connection plays, or waits for." })

/** `ConnectionInfo`. */
export const ConnectionInfo = Schema.Struct({
  id: text("The identifier of the connection, as in the log."),
  remote: EndpointInfo,
  state: text(
    "The step of the handshake, `WaitingConnect`, `Connected`, `Publishing`, `Subscribing`, or `Disconnected`."
  ),
  openedAt: time("When it was opened"),
  application: text("The application that the client named; empty before it has."),
  flashVer: text("The program of the client, as it says."),
  canReconnect: flag("Whether the client follows a ReconnectRequest (Enhanced RTMP v2)."),
  bytesReceived: number("Bytes received."),
  bytesSent: number("Bytes sent."),
  receiveBitsPerSecond: number("Mean since somebody last asked, at least a second ago."),
  sendBitsPerSecond: number("Mean since somebody last asked, at least a second ago."),
  publishing: Schema.Array(Schema.String).annotate({ description: "Keys of the streams that it publishes." }),
  playing: Schema.Array(PlayingInfo).annotate({ description: "Streams that it plays." })
}).annotate({ identifier: "Connection", description: "A connection of a client." })

/** `TrackInfo`. */
export const TrackInfo = Schema.Struct({
  kind: Schema.Literals(["audio", "video"]).annotate({ description: "Audio or video." }),
  trackId: number("The track of enhanced multitrack media, else 0."),
  codec: text("The codec, such as `avc`, `hevc`, `aac`."),
  profile: text("The profile by its usual name; empty where unknown."),
  level: text("The level by its usual name; empty where unknown."),
  width: number("Pixels; 0 where unknown."),
  height: number("Pixels; 0 where unknown."),
  frameRate: number("Frames per second over the last seconds."),
  sampleRate: number("Hz; 0 where unknown."),
  channels: number("Audio channels; 0 where unknown."),
  bitsPerSecond: number("Bitrate over the last seconds."),
  keyframeIntervalMs: number("Mean distance of keyframes in milliseconds; 0 for audio, and before the second one."),
  frames: number("Frames received."),
  bytes: number("Bytes received."),
  gaps: number("Steps of more than a second in the timestamps.")
}).annotate({ identifier: "Track", description: "A track of a stream." })

/** `GopInfo`. */
export const GopInfo = Schema.Struct({
  frames: number("Frames that are kept."),
  bytes: number("Their bytes."),
  durationMs: number("The time that they cover, in milliseconds.")
}).annotate({ identifier: "Gop", description: "What a stream keeps so that a new viewer has a picture at once." })

/** `StreamInfo`. */
export const StreamInfo = Schema.Struct({
  key: text("The key of the stream: application, slash, name."),
  application: text("The application."),
  name: text("The name."),
  publisher: text("The connection that publishes it; empty while the stream waits for its publisher."),
  state: Schema.Literals(["Live", "Silent", "Vanished"]).annotate({
    description: "`Silent`: the publisher sends nothing. `Vanished`: it broke off, and may come back."
  }),
  since: time("When it began"),
  viewers: number("Viewers now."),
  viewersPeak: number("Most viewers at one time."),
  bitsPerSecond: number("Bitrate of all tracks over the last seconds."),
  bytes: number("Bytes received."),
  dry: flag("Whether the viewers were told that no media comes."),
  disabled: flag("Whether new publishers and viewers are refused."),
  tracks: Schema.Array(TrackInfo).annotate({ description: "Its tracks." }),
  gop: GopInfo
}).annotate({ identifier: "Stream", description: "A stream that is published, or waits for its publisher." })

/** `ComponentStatus`. */
export const ComponentInfo = Schema.Struct({
  name: text("The part, such as `listener`, `http`, `keyStore` or `log file`."),
  state: Schema.Literals<ReadonlyArray<ComponentState>>(["Running", "Waiting", "Stopped", "Failed"]).annotate({
    description: "`Waiting`: it failed, and is about to be started again. `Failed`: it was given up."
  }),
  critical: flag("Whether the server is of no use without it."),
  restarts: number("How often it was started again."),
  lastError: text("Why, the last time; empty where it never failed."),
  since: time("When it came into this state")
}).annotate({ identifier: "Component", description: "A part of the server that is kept running." })

/** A port that the server listens on. */
export const ListenerInfo = Schema.Struct({
  protocol: text("`rtmp`, `rtmps` or `http`."),
  host: text("The address that it is bound to."),
  port: number("The port that it is bound to.")
}).annotate({ identifier: "Listener", description: "A port that the server listens on." })

/** What the server counts: `ServerStatistics`, with streams as a number. */
export const StatisticsInfo = Schema.Struct({
  connections: number("Open connections, those in the handshake included."),
  states: Schema.Struct({
    Connecting: number("Nothing was received yet."),
    Handshaking: number("In the handshake."),
    Connected: number("Neither publishing nor playing."),
    Publishing: number("Publishing."),
    Subscribing: number("Playing."),
    Disconnected: number("Only sent what still waits for them.")
  }).annotate({ description: "Open connections by their state." }),
  handshakes: number("Connections whose handshake is not complete."),
  accepted: number("Connections accepted since the start."),
  refused: number("Connections refused for a limit since the start."),
  handshakesCompleted: number("Handshakes completed since the start."),
  echoMismatches: number("Those among them whose C2 did not repeat S1."),
  distributionTargetBitsPerSecond: number(
    "Bits per second to all viewers that the machine is planned for; not enforced."
  ),
  unknownMessages: number("Messages of unknown types that were skipped."),
  bytesReceived: number("Bytes received since the start."),
  bytesSent: number("Bytes sent since the start."),
  streams: number("Streams, those that wait for their publisher included."),
  publishers: number("Streams with a publisher."),
  viewers: number("Viewers of all streams."),
  waitingViewers: number("Viewers who wait for streams that nobody publishes."),
  blockedViewers: number("Viewers whose sockets are full.")
}).annotate({ identifier: "Statistics", description: "What the server counts." })

/** The server as a whole. */
export const ServerInfo = Schema.Struct({
  version: text("The version of effect-rtmp."),
  runtime: text("What it runs on, such as `node v24.1.0`."),
  instance: text("The name of this server among those on the same machine: `instance.name`."),
  lifecycle: LifecycleInfo,
  startedAt: time("When it was started"),
  uptimeMs: number("Milliseconds since then."),
  listeners: Schema.Array(ListenerInfo).annotate({ description: "The ports that are open." }),
  statistics: StatisticsInfo,
  components: Schema.Array(ComponentInfo).annotate({ description: "The parts that are kept running." })
}).annotate({ identifier: "Server", description: "The server as a whole." })

/** `ReportedCheck`. */
export const CheckInfo = Schema.Struct({
  name: text("The check, such as `listening`."),
  ok: flag("Whether it found nothing."),
  reason: text("What it found: why it fails, or a remark where it is ok; empty where there is nothing to say.")
}).annotate({ identifier: "Check", description: "What one check of the health found." })

/** `Report`. */
export const HealthReport = Schema.Struct({
  status: Schema.Literals(["ok", "failing"]).annotate({ description: "`ok` where every check is." }),
  checks: Schema.Array(CheckInfo).annotate({ description: "The checks, in the order in which they were registered." })
}).annotate({ description: "What the checks found." })

/** Both questions of the health at once. */
export const HealthInfo = Schema.Struct({
  live: HealthReport.annotate({ description: "Whether the process should go on: the critical checks." }),
  ready: HealthReport.annotate({ description: "Whether the server should be sent new clients: all checks." })
}).annotate({ identifier: "Health", description: "Whether the server is well." })

/** `ShownKey`. */
export const ConfigKeyInfo = Schema.Struct({
  path: text("The key, such as `listen.port`."),
  value: Schema.Json.annotate({
    description: "The value as it would stand in a file; `***` for a secret that is set."
  }),
  origin: text("Where the value was written: file, line and column, a variable, or `default`."),
  isDefault: flag("Whether no source has set it.")
}).annotate({ identifier: "ConfigKey", description: "One key of the configuration." })

/** `ConfigWarning`. */
export const ConfigWarningInfo = Schema.Struct({
  origin: text("What was written and has no effect."),
  suggestion: Schema.optionalKey(text("What may have been meant."))
}).annotate({ identifier: "ConfigWarning", description: "A part of a source that was not understood." })

/** `ConfigChange`. */
export const ConfigChangeInfo = Schema.Struct({
  path: text("The key."),
  from: Schema.Json.annotate({ description: "The value before; `***` for a secret." }),
  to: Schema.Json.annotate({ description: "The value after; `***` for a secret." }),
  restart: flag("Whether the change has no effect before the server starts anew.")
}).annotate({ identifier: "ConfigChange", description: "A key that differs." })

/** The configuration in force. */
export const ConfigInfo = Schema.Struct({
  keys: Schema.Array(ConfigKeyInfo).annotate({ description: "Every key, with its value and where that comes from." }),
  warnings: Schema.Array(ConfigWarningInfo).annotate({ description: "What in the sources has no effect." })
}).annotate({ identifier: "Config", description: "The configuration in force. Secrets are not in it." })

/** What a configuration would do. */
export const ConfigCheckInfo = Schema.Struct({
  valid: flag("Whether the server would start with it."),
  problems: Schema.Array(ConfigProblemInfo).annotate({ description: "All problems; none where it is valid." }),
  warnings: Schema.Array(ConfigWarningInfo).annotate({ description: "What has no effect." }),
  changes: Schema.Array(ConfigChangeInfo).annotate({
    description: "How it differs from what is in force; empty where it is not valid."
  })
}).annotate({ identifier: "ConfigCheck", description: "What a configuration file would do." })

/** What a reload has done: `ReloadReport` without the configurations themselves. */
export const ReloadInfo = Schema.Struct({
  changes: Schema.Array(ConfigChangeInfo).annotate({ description: "What has changed." }),
  inForceMs: Schema.Finite.annotate({
    description: "For how many milliseconds what is in force has been so; 0 where it has just changed."
  }),
  needsRestart: Schema.Array(ConfigChangeInfo).annotate({
    description: "What the sources say otherwise than what is in force, and cannot change while the server runs."
  }),
  warnings: Schema.Array(ConfigWarningInfo).annotate({ description: "What in the sources has no effect." }),
  failed: Schema.Array(Schema.String).annotate({
    description: "Parts of the server whose change died half-way; the log has more."
  })
}).annotate({ identifier: "Reload", description: "What a reload has done." })

/** `Level`. */
export const LevelInfo: Schema.Literals<ReadonlyArray<Level>> = Schema.Literals(levels).annotate({
  description: "A level of the log, from the most to the least talkative; `none` is silence."
})

const lineLevels = levels.filter((level): level is LineLevel => level !== "none")

/** `LineLevel`. */
export const LineLevelInfo: Schema.Literals<ReadonlyArray<LineLevel>> = Schema.Literals(lineLevels).annotate({
  description: "The level of a line of the log."
})

/** The name of a room, also one of a custom server. */
export const RoomName = Schema.String.check(Schema.isPattern(/^[A-Za-z][\w.-]{0,31}$/)).annotate({
  description:
    "A room of the server: `server`, `session`, `live`, `access`, `config`, `http`, `tls`, `client`, `metrics`, `lifecycle`, `cli`, `log`, or one of a custom server."
})

/** `LevelTable`. */
export const LevelTableInfo = Schema.Struct({
  level: LevelInfo.annotate({ description: "The level of everything that has none of its own." }),
  rooms: Schema.Record(Schema.String, LevelInfo).annotate({ description: "Rooms with a level of their own." })
}).annotate({ identifier: "LevelTable", description: "How loud each room of the server may be." })

/** `LogEntry`; a line that belongs to no room has an empty one. */
export const LogEntryInfo = Schema.Struct({
  id: number("Counts the lines of this process from 1 on, without gaps."),
  level: LineLevelInfo,
  room: text("The room that logged it; empty for none."),
  line: text("The line: a JSON object, as text.")
}).annotate({ identifier: "LogEntry", description: "A line of the log." })

/** A stream as it stands in the list, and which keys are refused. */
export const StreamList = Schema.Struct({
  streams: Schema.Array(StreamInfo).annotate({ description: "The streams, oldest first." }),
  disabled: Schema.Array(Schema.String).annotate({ description: "Keys that are refused, published or not." })
}).annotate({ identifier: "StreamList", description: "All streams." })
