/**
 * The keys of the configuration, group by group: what exists, how it is written, and what it is when nobody sets it.
 *
 * A key is added here and nowhere else: its environment variable, its row in the README, its line in the example files
 * and its place in an error follow from it. `RtmpConfig` puts the groups together.
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as Address from "../access/Address.ts"
import * as Log from "../observability/Log.ts"
import { rooms as logRooms } from "../observability/LogLevels.ts"
import * as LogSink from "../observability/LogSink.ts"
import { type Choice, dependentKey, group, type KeyOptions, key } from "./ConfigKey.ts"
import {
  alternatives,
  bitrate,
  bytes,
  type ConfigValue,
  choice,
  convert,
  count,
  duration,
  flag,
  formatDuration,
  list,
  parseDuration,
  record,
  secretList,
  secretText,
  text
} from "./ConfigValue.ts"

/** How a viewer's batches are formed: `low` sends at once, `throughput` merges for the fewest writes. */
export const latencyModes = ["low", "balanced", "throughput"] as const

/** A latency mode by its name in the configuration. */
export type LatencyMode = (typeof latencyModes)[number]

/** What a latency mode means, in milliseconds. */
export interface LatencyShape {
  readonly mergeWindowMs: number
  readonly outboxMaxDelayMs: number
  readonly gopMinDurationMs: number
}

/** What each latency mode means. */
export const latencyShapes: Readonly<Record<LatencyMode, LatencyShape>> = {
  low: { mergeWindowMs: 0, outboxMaxDelayMs: 500, gopMinDurationMs: 0 },
  balanced: { mergeWindowMs: 40, outboxMaxDelayMs: 5000, gopMinDurationMs: 2000 },
  throughput: { mergeWindowMs: 350, outboxMaxDelayMs: 5000, gopMinDurationMs: 2000 }
}

/** What kind of machine the server runs on. */
export const profiles = ["desktop", "mobile"] as const

/** A profile by its name in the configuration. */
export type Profile = (typeof profiles)[number]

/** The defaults that follow from a profile: bytes, and bits per second. */
export interface ProfileDefaults {
  readonly listen: { readonly rehearsal: boolean }
  readonly limits: {
    readonly maxConnections: number
    readonly maxConnectionsPerAddress: number
    readonly acceptRate: number
    readonly maxPublishers: number
    readonly publishBitrate: number
    readonly distributionBitrate: number
    readonly maxPendingHandshakes: number
    readonly maxPendingHandshakesPerAddress: number
    readonly maxWaitingViewers: number
  }
  readonly gopCache: { readonly maxBytes: number }
  readonly outbox: { readonly maxBytes: number }
}

/** The defaults of each profile. */
export const profileDefaults: Readonly<Record<Profile, ProfileDefaults>> = {
  desktop: {
    listen: { rehearsal: true },
    limits: {
      maxConnections: 1000,
      maxConnectionsPerAddress: 200,
      acceptRate: 1000,
      maxPublishers: 10,
      publishBitrate: 50_000_000,
      distributionBitrate: 500_000_000,
      maxPendingHandshakes: 1000,
      maxPendingHandshakesPerAddress: 100,
      maxWaitingViewers: 1000
    },
    gopCache: { maxBytes: 32 * 1024 * 1024 },
    outbox: { maxBytes: 16 * 1024 * 1024 }
  },
  mobile: {
    listen: { rehearsal: false },
    limits: {
      maxConnections: 100,
      maxConnectionsPerAddress: 50,
      acceptRate: 100,
      maxPublishers: 3,
      publishBitrate: 20_000_000,
      distributionBitrate: 100_000_000,
      maxPendingHandshakes: 100,
      maxPendingHandshakesPerAddress: 25,
      maxWaitingViewers: 100
    },
    gopCache: { maxBytes: 16 * 1024 * 1024 },
    outbox: { maxBytes: 8 * 1024 * 1024 }
  }
}

const restart: KeyOptions = { restart: true }

const profileChoice: Choice<Profile> = { path: "profile", words: profiles, usual: "desktop", label: "profile" }

const modeChoice: Choice<LatencyMode> = {
  path: "latency.mode",
  words: latencyModes,
  usual: "balanced",
  label: "latency mode"
}

const byProfile = <A, I>(value: ConfigValue<A, I>, pick: (defaults: ProfileDefaults) => A, description: string) =>
  dependentKey(value, profileChoice, (profile) => pick(profileDefaults[profile]), description)

const byMode = <A, I>(value: ConfigValue<A, I>, pick: (shape: LatencyShape) => A, description: string) =>
  dependentKey(value, modeChoice, (mode) => pick(latencyShapes[mode]), description)

const mergeWindow = duration({ min: "0", max: "10 seconds" })

const latencyWords: ReadonlyArray<string> = latencyModes

/** The latency of one application as it is written: a mode, or a merge window. */
const modeOrWindow: ConfigValue<LatencyMode | Duration.Duration, string | number> = {
  kind: "text",
  unit: "ms",
  expected: `${alternatives(latencyModes)}, or ${mergeWindow.expected}`,
  secret: false,
  json: { anyOf: [{ enum: latencyModes }, mergeWindow.json] },
  codec: Schema.Union([Schema.String, Schema.Finite]).pipe(
    Schema.decodeTo(
      Schema.Union([Schema.Literals(latencyModes), Schema.toType(mergeWindow.codec)]),
      convert<LatencyMode | Duration.Duration, string | number>(
        (input) => {
          const word = String(input).trim().toLowerCase()
          return latencyWords.includes(word) ? (word as LatencyMode) : parseDuration(input)
        },
        (value) => (typeof value === "string" ? value : formatDuration(value))
      )
    )
  )
}

/** What kind of machine the server runs on; the defaults of its limits follow. */
export const profile = key(
  choice(profiles),
  "desktop",
  "What kind of machine this is: sets the defaults of limits, caches and queues"
)

/** Networks in CIDR notation, and single addresses. */
const networks: ConfigValue<ReadonlyArray<string>, string | ReadonlyArray<string>> = {
  ...list,
  expected: "a list of networks and addresses (`10.0.0.0/8,2001:db8::1`) with commas between them",
  codec: Schema.Union([Schema.String, Schema.Array(Schema.String)]).pipe(
    Schema.decodeTo(
      Schema.Array(Schema.String.check(Schema.makeFilter((it) => Address.parseNetwork(it) !== undefined))),
      convert<ReadonlyArray<string>, string | ReadonlyArray<string>>(
        (input) =>
          (typeof input === "string" ? input.split(",") : input).map((it) => it.trim()).filter((it) => it !== ""),
        (value) => value
      )
    )
  )
}

/** Where the server listens for RTMP. */
export const listen = {
  enabled: key(flag, true, "Serve RTMP in the clear; RTMPS has a port of its own, see `tls`", restart),
  host: key(
    text("an address or a host name"),
    "0.0.0.0",
    "Address to listen on; `::` is IPv6, and IPv4 with it",
    restart
  ),
  port: key(count({ min: 0, max: 65_535 }), 1935, "TCP port; 0 takes any free one and logs it", restart),
  backlog: key(
    count({ min: 1, max: 65_535, unit: "connections" }),
    1024,
    "Connections that the system may hold until the server accepts them",
    restart
  ),
  rehearsal: byProfile(
    flag,
    ({ listen }) => listen.rehearsal,
    "Let some viewers of the program's own join before the port opens, so that it is quick from its first client on; takes a third of a second"
  ),
  proxyProtocol: group({
    trusted: key(
      networks,
      "",
      "Load balancers whose PROXY protocol header says who the client is, for RTMPS too; from them every connection must have one",
      restart
    )
  })
}

/** The handshake. */
export const handshake = {
  timeout: key(duration({ min: "100 ms" }), "10 seconds", "Time for the whole handshake"),
  strict: key(flag, false, "Refuse a C2 that does not repeat S1; encoders in the wild send others"),
  reservedVersions: key(
    choice(["accept", "reject"]),
    "accept",
    "What to do with a C0 other than 3 that the specification reserves for the future"
  )
}

/** The session between the handshake and the media. */
export const session = {
  connectTimeout: key(duration({ min: "100 ms" }), "10 seconds", "Time from the handshake to the connect command"),
  idleTimeout: key(duration({ min: "100 ms" }), "30 seconds", "Time from connect to the first publish or play"),
  pingInterval: key(
    duration({ min: "100 ms" }),
    "30 seconds",
    "Silence after which a client that publishes or plays is sent a ping"
  ),
  pingTimeout: key(
    duration({ min: "100 ms" }),
    "60 seconds",
    "Silence after which a client that publishes or plays is taken for dead; any byte counts as alive"
  ),
  applications: key(list, "", "Names of the applications that clients may connect to; empty allows any"),
  maxStreams: key(
    count({ min: 1, max: 256, unit: "message streams" }),
    8,
    "Message streams that one connection may open"
  )
}

/** The chunk stream. */
export const chunk = {
  outSize: key(count({ min: 128, max: 65_536, unit: "bytes" }), 60_000, "Chunk size of what the server sends"),
  windowAckSize: key(
    bytes({ min: "64KiB", max: "1GiB" }),
    2_500_000,
    "Bytes after which a client is asked for an acknowledgement"
  ),
  peerBandwidth: key(bytes({ min: "64KiB", max: "1GiB" }), 2_500_000, "Window that a client is told to keep to")
}

/** What a connection, a stream and the server may use at most. */
export const limits = {
  maxMessageBytes: key(bytes({ min: "64KiB", max: "16777215" }), "10MiB", "Largest message"),
  maxCommandBytes: key(bytes({ min: "1KiB", max: "16777215" }), "64KiB", "Largest message before publish or play"),
  maxChunkStreams: key(count({ min: 4, max: 65_597, unit: "chunk streams" }), 64, "Chunk streams of one connection"),
  maxReassemblyBytes: key(
    bytes({ min: "64KiB", max: "1GiB" }),
    "16MiB",
    "Bytes of unfinished messages that one connection may hold"
  ),
  maxAnomalies: key(
    count({ min: 0, max: 1_000_000, unit: "anomalies" }),
    64,
    "Oddities that a connection is forgiven before it is closed"
  ),
  maxConnections: byProfile(
    count({ min: 1, max: 1_000_000, unit: "connections" }),
    ({ limits }) => limits.maxConnections,
    "Connections at the same time"
  ),
  maxConnectionsPerAddress: byProfile(
    count({ min: 0, max: 1_000_000, unit: "connections" }),
    ({ limits }) => limits.maxConnectionsPerAddress,
    "Connections at the same time of one address; 0 for any number"
  ),
  acceptRate: byProfile(
    count({ min: 0, max: 1_000_000, unit: "connections a second" }),
    ({ limits }) => limits.acceptRate,
    "New connections a second in the long run; as many as there may be at the same time may come at once; 0 for any number"
  ),
  acceptRatePerAddress: key(
    count({ min: 0, max: 1_000_000, unit: "connections a second" }),
    20,
    "New connections a second of one address in the long run; 0 for any number"
  ),
  ipv6PrefixBits: key(
    count({ min: 16, max: 128, unit: "bits" }),
    64,
    "Leading bits of an IPv6 address that count as one address",
    restart
  ),
  exemptNetworks: key(
    networks,
    "127.0.0.0/8, ::1",
    "Networks whose addresses have no limit of their own, such as load balancers and this machine"
  ),
  maxPublishers: byProfile(
    count({ min: 0, max: 1_000_000, unit: "publishers" }),
    ({ limits }) => limits.maxPublishers,
    "Publishers at the same time"
  ),
  publishBitrate: byProfile(
    bitrate({ min: "1 kbit/s", max: "100 Gbit/s" }),
    ({ limits }) => limits.publishBitrate,
    "Bitrate that one publisher is expected to stay below"
  ),
  enforcePublishBitrate: key(flag, false, "Close a publisher that stays above its bitrate instead of reporting it"),
  distributionBitrate: byProfile(
    bitrate({ min: "1 kbit/s", max: "100 Gbit/s" }),
    ({ limits }) => limits.distributionBitrate,
    "Bitrate to all viewers together that the server is meant for; more is reported"
  ),
  minFreeMemory: key(
    bytes({ min: "0", max: "1024GiB" }),
    "64MiB",
    "Free memory of the system below which new connections are refused; 0 never refuses"
  ),
  minFreeFiles: key(
    count({ min: 0, max: 1_000_000, unit: "files" }),
    32,
    "Open files below the limit of the system that are kept for other things than connections"
  ),
  maxPendingHandshakes: byProfile(
    count({ min: 1, max: 1_000_000, unit: "connections" }),
    ({ limits }) => limits.maxPendingHandshakes,
    "Connections whose handshake is not finished yet"
  ),
  maxPendingHandshakesPerAddress: byProfile(
    count({ min: 0, max: 1_000_000, unit: "connections" }),
    ({ limits }) => limits.maxPendingHandshakesPerAddress,
    "Connections of one address whose handshake is not finished yet; 0 for any number"
  ),
  maxNameBytes: key(bytes({ min: "1", max: "64KiB" }), 255, "Longest name of an application or a stream"),
  maxQueryBytes: key(bytes({ min: "0", max: "64KiB" }), 4096, "Longest query behind a name"),
  amfDepth: key(count({ min: 4, max: 1024, unit: "levels" }), 32, "Deepest nesting of an AMF value"),
  amfNodes: key(count({ min: 64, max: 1_000_000, unit: "values" }), 4096, "Values in one AMF message"),
  maxMetadataBytes: key(bytes({ min: "1KiB", max: "16777215" }), "1MiB", "Largest metadata of a stream"),
  maxWaitingViewers: byProfile(
    count({ min: 0, max: 1_000_000, unit: "viewers" }),
    ({ limits }) => limits.maxWaitingViewers,
    "Viewers that wait for publishers to come"
  ),
  maxHeaderBytes: key(bytes({ min: "1KiB", max: "64MiB" }), "1MiB", "Codec headers that are kept for one stream"),
  maxTracks: key(count({ min: 1, max: 32, unit: "tracks" }), 32, "Tracks of one stream")
}

/** Publishers of the same stream. */
export const publisher = {
  conflict: key(
    choice(["reject", "takeover"]),
    "reject",
    "What becomes of a second publisher of the same stream: refused, or let in where both have shown the same credential; two without any are never the same"
  ),
  silentAfter: key(
    duration({ min: "0" }),
    "5 seconds",
    "Time without media after which a publisher may be replaced by another one in any case"
  ),
  resumeGrace: key(
    duration({ min: "0" }),
    "10 seconds",
    "Time that viewers stay after their publisher broke off, for it to come back; 0 ends the stream at once"
  )
}

/** Viewers that come before their publisher. */
export const play = {
  waitForPublisher: key(flag, true, "Let a viewer wait for a stream that nobody publishes yet"),
  waitTimeout: key(duration({ min: "0" }), "60 seconds", "Longest wait for a publisher")
}

/** The group of pictures that a new viewer begins with. */
export const gopCache = {
  enabled: key(flag, true, "Keep the current group of pictures, so that a new viewer has a picture at once"),
  minDuration: byMode(
    duration({ min: "0" }),
    ({ gopMinDurationMs }) => Duration.millis(gopMinDurationMs),
    "Time that the cache tries to cover; 0 keeps the newest group of pictures only"
  ),
  maxDuration: key(duration({ min: "0" }), "30 seconds", "Longest time that is kept"),
  maxBytes: byProfile(
    bytes({ min: "0", max: "4GiB" }),
    ({ gopCache }) => gopCache.maxBytes,
    "Most bytes that are kept for one stream"
  ),
  maxFrames: key(
    count({ min: 0, max: 1_000_000, unit: "messages" }),
    4096,
    "Most messages that are kept for one stream"
  )
}

/** What waits for a viewer. */
export const outbox = {
  maxDelay: byMode(
    duration({ min: "10 ms" }),
    ({ outboxMaxDelayMs }) => Duration.millis(outboxMaxDelayMs),
    "How far a viewer may fall behind before frames up to a keyframe are dropped for it"
  ),
  maxBytes: byProfile(
    bytes({ min: "64KiB", max: "4GiB" }),
    ({ outbox }) => outbox.maxBytes,
    "Bytes that may wait for one viewer"
  ),
  // One for all viewers, so that the first one to stall is known without a search.
  stallTimeout: key(
    duration({ min: "100 ms" }),
    "30 seconds",
    "Time without progress after which a viewer is closed",
    restart
  )
}

/** What to favour, delay or work. */
export const latency = {
  mode: key(
    choice(latencyModes),
    "balanced",
    "What to favour: `low` sends every message at once, `throughput` merges the most into one write"
  ),
  mergeWindow: byMode(
    mergeWindow,
    ({ mergeWindowMs }) => Duration.millis(mergeWindowMs),
    "Time in which messages are merged into one write"
  ),
  applications: key(
    record(
      modeOrWindow,
      "applications with a latency mode or a merge window of at most 10 seconds each (`live=low,event=100 ms`, or a mapping)"
    ),
    "",
    "Latency of single applications: a mode, or a merge window with all else as for the server"
  )
}

/** What is logged, how, and where to. */
export const log = {
  level: key(choice(Log.levels), "info", "Lowest level that is logged"),
  levels: key(
    record(
      choice(Log.levels),
      `levels by room (\`server=debug,live=warn\`, or a mapping) out of ${alternatives(Log.levels)}; the rooms are ${alternatives(logRooms)}`,
      logRooms
    ),
    "",
    "Lowest level of single rooms of the server"
  ),
  format: key(
    choice(Log.formats),
    "auto",
    "`pretty` for people, `json` for machines; `auto` is `pretty` on a terminal",
    restart
  ),
  output: key(
    choice(LogSink.outputs),
    "auto",
    "Where log lines go besides the file; `auto` is the journal where systemd offers it, and standard output elsewhere",
    restart
  ),
  file: group({
    path: key(
      text("the path of a file, or nothing", /^\P{Cc}*$/u),
      "",
      "File that log lines go to; empty writes none",
      restart
    ),
    maxSize: key(bytes({ min: "64KiB", max: "1024GiB" }), "100MiB", "Size at which the file is rotated", restart),
    interval: key(choice(LogSink.intervals), "day", "How often the file is rotated, beside for its size", restart),
    maxFiles: key(count({ min: 1, max: 10_000, unit: "files" }), 14, "Rotated files that are kept", restart),
    compress: key(flag, true, "Compress rotated files with gzip", restart),
    format: key(choice(["json", "pretty"]), "json", "Format of the lines in the file", restart)
  })
}

/** The metrics for Prometheus. */
export const metrics = {
  enabled: key(flag, true, "Offer metrics at `/metrics` of the HTTP server"),
  streamLabels: key(flag, false, "Label some metrics with the names of streams, two hundred of them at most", restart)
}

/** The export of metrics, logs and traces to a collector. */
export const otlp = {
  url: key(
    text("an http:// or https:// address, or nothing", /^(?:https?:\/\/\S+)?$/),
    "",
    "Address of an OTLP collector, without `/v1/…`; empty exports nothing",
    restart
  ),
  headers: key(
    record(
      secretText("a header value", /^[\x20-\x7e]*$/),
      "headers with their values (`Authorization=Bearer …`, or a mapping)"
    ),
    "",
    "Headers of every request to the collector",
    restart
  ),
  metrics: key(flag, true, "Export metrics", restart),
  logs: key(flag, true, "Export log lines", restart),
  traces: key(flag, true, "Export traces", restart),
  interval: key(duration({ min: "100 ms" }), "10 seconds", "Time between two exports", restart)
}

/** The HTTP server with the API, the metrics and the health. */
export const http = {
  enabled: key(flag, true, "Serve the API, the metrics and the health over HTTP", restart),
  host: key(
    text("an address or a host name"),
    "127.0.0.1",
    "Address to listen on; one that is not the loopback needs tokens",
    restart
  ),
  port: key(count({ min: 0, max: 65_535 }), 8080, "TCP port; 0 takes any free one and logs it", restart),
  readTokens: key(
    secretList("a list of tokens with commas between them, without blanks"),
    "",
    "Bearer tokens that may look at everything"
  ),
  writeTokens: key(
    secretList("a list of tokens with commas between them, without blanks"),
    "",
    "Bearer tokens that may look at everything and change it"
  ),
  failuresPerMinute: key(
    count({ min: 1, max: 1_000_000, unit: "failures" }),
    10,
    "Wrong tokens that one address may send in a minute before it is turned away"
  )
}

/** When the server counts as healthy. */
export const health = {
  maxEventLoopLag: key(
    duration({ min: "1 ms" }),
    "500 ms",
    "Delay of the event loop above which the server is not ready; it is watched while somebody publishes",
    restart
  )
}

/** The end of the server. */
export const shutdown = {
  grace: key(duration({ min: "0" }), "30 seconds", "Time for connections to end when the server stops"),
  reconnectTo: key(
    text("an rtmp:// or rtmps:// address, or nothing", /^(?:rtmps?:\/\/\S+)?$/),
    "",
    "Address that publishers are told to move to when the server stops; empty names none"
  )
}

/** This server among others on the same machine. */
export const instance = {
  name: key(
    text("a name of letters, digits, dots, dashes and underscores", /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/),
    "default",
    "Name of this server among those on the same machine",
    restart
  )
}

/** The configuration file itself. */
export const config = {
  watch: key(flag, true, "Load the configuration anew when its file changes")
}
