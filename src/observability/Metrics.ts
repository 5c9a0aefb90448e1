/**
 * What the server tells about itself in numbers: one typed service, from which Prometheus, OTLP and custom code read.
 *
 * Underneath are Effect's metrics: everything is registered in the `Metric.MetricRegistry` of the context in which the
 * layer is built, beside the metrics that a custom server adds, and is read when an exporter asks. Nothing is counted
 * for each message or viewer: what the server counts anyway comes through `bindServer`, at that moment.
 *
 * **Gotchas**
 *
 * - No label is chosen by a client: a stream key, an address or an identifier is none. `streamLabels` is the exception
 *   that an operator can switch on, for Prometheus only; its series are bounded in number and go with their streams.
 * - The service knows one server. Two in one process need a `Metric.MetricRegistry` each.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { AccessDeniedReason } from "../access/Authenticator.ts"
import * as Histogram from "../live/Histogram.ts"
import type { LiveMeters } from "../live/LiveMeters.ts"
import * as Meters from "../live/LiveMeters.ts"
import type { RegistryStatistics } from "../live/Registry.ts"
import type { AnomalyKind } from "../protocol/Session.ts"
import * as CloseReason from "./CloseReason.ts"
import { doorLimits } from "./DoorLimit.ts"
import * as Instruments from "./Instruments.ts"
import { other } from "./Instruments.ts"
import * as StreamSeries from "./StreamSeries.ts"

/** The states of a connection that are told apart; `Closing` is one that is ended and not gone yet. */
export const connectionStates = [
  "Connecting",
  "Handshaking",
  "Connected",
  "Publishing",
  "Subscribing",
  "Closing"
] as const

/** A state of a connection, as a label. */
export type ConnectionState = (typeof connectionStates)[number]

const keysOf = <K extends string>(keys: Readonly<Record<K, true>>): ReadonlyArray<K> => Object.keys(keys) as Array<K>

/** What becomes of a request to connect, publish or play, as a label. */
export const accessOutcomes = [
  "Allowed",
  ...keysOf<AccessDeniedReason>({
    CredentialMissing: true,
    CredentialInvalid: true,
    CredentialExpired: true,
    NotAllowed: true,
    AddressNotAllowed: true,
    TooManyFailures: true,
    Unavailable: true
  }),
  other
] as const

/** Oddities of clients, as labels. */
export const anomalyKinds = [
  ...keysOf<AnomalyKind>({
    UnknownMessageType: true,
    MessageWithoutCommand: true,
    UnknownCommand: true,
    MediaWithoutPublish: true,
    ShortControlMessage: true,
    ChunkHeaderRestart: true,
    TooManyStreams: true
  }),
  other
] as const

/**
 * Limits that can be reached, as labels: those that refuse a connection (`doorLimits`), and those that end one (`outbox`: the
 * viewer fell too far behind; `stall`: it took nothing for too long; `session`: it asked for more than one may, or than
 * there is room for).
 */
export const limits = [...doorLimits, "outbox", "stall", "session", other] as const

/**
 * The reasons for which a connection ends and an operator may want to look into: errors, as labels. Beside them stands
 * `StreamDefect`, which `LiveMeters` counts.
 */
export const errorReasons: ReadonlyArray<CloseReason.CloseReason> = CloseReason.all.filter(
  (reason) => CloseReason.level(reason) !== "info"
)

/** What a server counts itself, read when metrics are asked for. Counts are totals since its start. */
export interface ServerFacts {
  /** Open connections. */
  readonly connections: Readonly<Record<ConnectionState, number>>
  readonly accepted: number
  readonly refused: number
  readonly handshakesCompleted: number
  readonly echoMismatches: number
  /** Bits per second to all viewers that the machine is planned for. */
  readonly distributionTargetBitsPerSecond: number
  readonly unknownMessages: number
  readonly bytesReceived: number
  readonly bytesSent: number
  readonly live: RegistryStatistics
  /** Milliseconds of media that the slowest viewer is behind. */
  readonly outboxLagMaxMs: number
  /** What the media path measures of itself. */
  readonly meters: LiveMeters
  /** How often a component of the server, a listener say, had to be started again. */
  readonly componentRestarts: number
}

/** What the layer needs to know. */
export interface MetricsSettings {
  /** The version of the program, for `rtmp_build_info`. */
  readonly version: string
  /** What it runs on, such as `node v24.1.0`; empty where left out. */
  readonly runtime?: string
  /** Whether each stream has series of its own in `renderPrometheus`, labelled by its key. `false` where left out. */
  readonly streamLabels?: boolean
  /** How many streams have them at most: the oldest ones. 200 where left out. */
  readonly maxLabelledStreams?: number
}

const actions = ["connect", "publish", "play"] as const
const dropReasons = ["late", "full", "orphaned"] as const
const handshakeBoundsMs = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000]

const none: ServerFacts = {
  connections: { Connecting: 0, Handshaking: 0, Connected: 0, Publishing: 0, Subscribing: 0, Closing: 0 },
  accepted: 0,
  refused: 0,
  handshakesCompleted: 0,
  echoMismatches: 0,
  distributionTargetBitsPerSecond: 0,
  unknownMessages: 0,
  bytesReceived: 0,
  bytesSent: 0,
  live: { streams: [], publishers: 0, viewers: 0, waitingViewers: 0, blockedViewers: 0 },
  outboxLagMaxMs: 0,
  meters: Meters.make(),
  componentRestarts: 0
}

/** The counters that are fed by events. */
export interface MetricsCounters {
  /** Connections that ended. */
  readonly closed: Instruments.Counters<{ readonly reason: ReadonlyArray<CloseReason.CloseReason> }>
  /** Requests that were decided, by what was asked and the outcome. */
  readonly access: Instruments.Counters<{ readonly action: typeof actions; readonly outcome: typeof accessOutcomes }>
  /** Times that a limit was reached. */
  readonly limitsHit: Instruments.Counters<{ readonly limit: typeof limits }>
  /** Connections that ended with an error. */
  readonly errors: Instruments.Counters<{ readonly reason: ReadonlyArray<CloseReason.CloseReason> }>
  /** Oddities of clients that were tolerated. */
  readonly anomalies: Instruments.Counters<{ readonly kind: typeof anomalyKinds }>
  /** Frames that slow viewers lost. */
  readonly droppedFrames: Instruments.Counters<{ readonly reason: typeof dropReasons }>
  /** From accept to the end of the handshake. */
  readonly handshakeTime: Histogram.Histogram
}

/** The numbers of a server. */
export class Metrics extends Context.Service<
  Metrics,
  MetricsCounters & {
    /** Reads the server from now on, until the scope closes. `read` is called once for each reading of an exporter. */
    readonly bindServer: (read: () => ServerFacts) => Effect.Effect<void, never, Scope.Scope>
    /** Reads how many log lines were lost since the start, until the scope closes. */
    readonly bindLogLinesLost: (read: () => number) => Effect.Effect<void, never, Scope.Scope>
    /** Reads when the first certificate ends, in milliseconds since 1970 and 0 for never, until the scope closes. */
    readonly bindCertificateEnd: (read: () => number) => Effect.Effect<void, never, Scope.Scope>
    /** What the server counts itself, now; zeros without a server. */
    readonly facts: Effect.Effect<ServerFacts>
    /** Every metric of the registry with its value, those of custom code included. */
    readonly snapshot: Effect.Effect<ReadonlyArray<Metric.Metric.Snapshot>>
    /**
     * All of it in the Prometheus text format 0.0.4, for `/metrics`. The content type is `prometheusContentType`.
     */
    readonly renderPrometheus: Effect.Effect<string>
  }
>()("effect-rtmp/observability/Metrics") {
  /** The numbers of one server, registered in the current metric registry until the scope closes. */
  static readonly layer = (settings: MetricsSettings): Layer.Layer<Metrics> => Layer.effect(Metrics, make(settings))
}

/** The content type of what `renderPrometheus` gives. */
export const prometheusContentType = "text/plain; version=0.0.4; charset=utf-8"

const make = Effect.fnUntraced(function* (settings: MetricsSettings) {
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const nowMs = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const startedMs = nowMs()
  const counters: MetricsCounters = {
    closed: new Instruments.Counters({ reason: CloseReason.all }),
    access: new Instruments.Counters({ action: actions, outcome: accessOutcomes }),
    limitsHit: new Instruments.Counters({ limit: limits }),
    errors: new Instruments.Counters({ reason: errorReasons }),
    anomalies: new Instruments.Counters({ kind: anomalyKinds }),
    droppedFrames: new Instruments.Counters({ reason: dropReasons }),
    handshakeTime: Histogram.make(handshakeBoundsMs)
  }
  const server = bound(() => none)
  const logLinesLost = bound(() => 0)
  const certificateEnd = bound(() => 0)
  const facts = Instruments.perTurn(() => server.read())
  yield* Instruments.register(
    families(counters, facts, {
      logLinesLost: () => logLinesLost.read(),
      certificateEndMs: () => certificateEnd.read(),
      uptimeSeconds: () => (nowMs() - startedMs) / 1_000,
      settings
    })
  )
  const maxStreams = settings.maxLabelledStreams ?? 200
  return Metrics.of({
    ...counters,
    bindServer: server.bind,
    bindLogLinesLost: logLinesLost.bind,
    bindCertificateEnd: certificateEnd.bind,
    facts: Effect.sync(facts),
    snapshot: Effect.sync(() => Metric.snapshotUnsafe(context)),
    renderPrometheus: Effect.gen(function* () {
      const { formatUnsafe } = yield* Effect.promise(() => import("effect/observability/PrometheusMetrics"))
      const text = formatUnsafe(context)
      return settings.streamLabels === true ? text + StreamSeries.render(facts().live.streams, maxStreams) : text
    })
  })
})

/** Something to read that comes and goes. Who comes last is read. */
const bound = <A>(otherwise: () => A) => {
  let current = otherwise
  return {
    read: (): A => current(),
    bind: (read: () => A): Effect.Effect<void, never, Scope.Scope> =>
      Effect.acquireRelease(
        Effect.sync(() => {
          current = read
        }),
        () =>
          Effect.sync(() => {
            if (current === read) current = otherwise
          })
      )
  }
}

const families = (
  counters: MetricsCounters,
  facts: () => ServerFacts,
  rest: {
    readonly logLinesLost: () => number
    readonly certificateEndMs: () => number
    readonly uptimeSeconds: () => number
    readonly settings: MetricsSettings
  }
): ReadonlyArray<Instruments.Family> => {
  const counter = (name: string, help: string, read: () => number): Instruments.Family => ({
    name,
    help,
    type: "counter",
    series: [{ read }]
  })
  const gauge = (name: string, help: string, read: () => number): Instruments.Family => ({
    name,
    help,
    type: "gauge",
    series: [{ read }]
  })
  const counted = (name: string, help: string, by: { readonly series: ReadonlyArray<Instruments.Series> }) =>
    ({ name, help, type: "counter", series: by.series }) satisfies Instruments.Family
  const histogram = (name: string, help: string, of: () => Histogram.Histogram): Instruments.Family => ({
    name,
    help,
    unit: "seconds",
    type: "histogram",
    series: [{ read: () => of().snapshot() }]
  })
  const streamsIn = (state: string): number => facts().live.streams.filter((stream) => stream.state === state).length
  const { runtime = "", version } = rest.settings
  return [
    {
      name: "rtmp_connections",
      help: "Open connections by state.",
      type: "gauge",
      series: connectionStates.map((state) => ({ labels: { state }, read: () => facts().connections[state] }))
    },
    counter("rtmp_connections_accepted_total", "Connections accepted.", () => facts().accepted),
    counter("rtmp_connections_refused_total", "Connections refused because of a limit.", () => facts().refused),
    counted("rtmp_connections_closed_total", "Connections ended, by the reason in the log.", counters.closed),
    counter("rtmp_handshakes_completed_total", "Handshakes completed.", () => facts().handshakesCompleted),
    counter(
      "rtmp_handshake_echo_mismatches_total",
      "Handshakes completed whose C2 does not repeat S1.",
      () => facts().echoMismatches
    ),
    histogram(
      "rtmp_handshake_duration_seconds",
      "Time from accept to the end of the handshake.",
      () => counters.handshakeTime
    ),
    {
      name: "rtmp_streams",
      help: "Streams by state: live, with a silent publisher, or waiting for a publisher that vanished.",
      type: "gauge",
      series: ["Live", "Silent", "Vanished"].map((state) => ({ labels: { state }, read: () => streamsIn(state) }))
    },
    gauge("rtmp_publishers", "Streams that have a publisher.", () => facts().live.publishers),
    gauge("rtmp_viewers", "Viewers of all streams.", () => facts().live.viewers),
    gauge(
      "rtmp_waiting_viewers",
      "Viewers that wait for streams that nobody publishes.",
      () => facts().live.waitingViewers
    ),
    gauge("rtmp_blocked_viewers", "Viewers whose sockets are full.", () => facts().live.blockedViewers),
    { ...counter("rtmp_received_bytes_total", "Bytes received.", () => facts().bytesReceived), unit: "bytes" },
    { ...counter("rtmp_sent_bytes_total", "Bytes handed to sockets.", () => facts().bytesSent), unit: "bytes" },
    gauge(
      "rtmp_distribution_target_bytes_per_second",
      "What the machine is planned to send to all viewers, to be held against the rate of `rtmp_sent_bytes_total`.",
      () => facts().distributionTargetBitsPerSecond / 8
    ),
    histogram(
      "rtmp_ingest_delay_seconds",
      "Time from the arrival of the oldest message of a batch to the moment at which the batch is formed.",
      () => facts().meters.ingestDelay
    ),
    histogram(
      "rtmp_distribution_delay_seconds",
      "Time from the arrival of the oldest message of a batch until all viewers' sockets were given the batch.",
      () => facts().meters.distributionDelay
    ),
    histogram(
      "rtmp_join_duration_seconds",
      "Time from a play command that was allowed to the first bytes of the stream.",
      () => facts().meters.joinTime
    ),
    histogram(
      "rtmp_outbox_lag_seconds",
      "Media that waits for each viewer whose socket is full, one value for each at every reading.",
      () => facts().meters.outboxLag
    ),
    {
      ...gauge(
        "rtmp_outbox_lag_max_seconds",
        "Media that waits for the slowest viewer.",
        () => facts().outboxLagMaxMs / 1_000
      ),
      unit: "seconds"
    },
    counted(
      "rtmp_dropped_frames_total",
      "Frames that slow viewers lost: too late, queue too full, or without the frame that they depend on.",
      counters.droppedFrames
    ),
    counted(
      "rtmp_access_decisions_total",
      "Requests to connect, publish and play by outcome; the allowed ones are those that went through.",
      counters.access
    ),
    counted("rtmp_limits_hit_total", "Times that a limit was reached.", counters.limitsHit),
    counted("rtmp_errors_total", "Connections that ended with an error, and streams that threw.", {
      series: [
        ...counters.errors.series,
        { labels: { reason: "StreamDefect" }, read: () => facts().meters.streamDefects }
      ]
    }),
    counter(
      "rtmp_component_restarts_total",
      "Times that a component of the server failed and was started again.",
      () => facts().componentRestarts
    ),
    counted("rtmp_anomalies_total", "Oddities of clients that were tolerated.", counters.anomalies),
    counter(
      "rtmp_unknown_messages_total",
      "Messages of unknown types that were skipped.",
      () => facts().unknownMessages
    ),
    counter("rtmp_log_lines_lost_total", "Log lines that could not be written.", rest.logLinesLost),
    {
      ...gauge(
        "rtmp_certificate_end_timestamp_seconds",
        "When the first of the certificates for RTMPS ends, in seconds since 1970; 0 where there is none.",
        () => rest.certificateEndMs() / 1_000
      ),
      unit: "seconds"
    },
    { ...gauge("rtmp_uptime_seconds", "Time since the start.", rest.uptimeSeconds), unit: "seconds" },
    {
      name: "rtmp_build_info",
      help: "The version of the program and of what it runs on; always 1.",
      type: "gauge",
      series: [{ labels: { version, runtime }, read: () => 1 }]
    }
  ]
}
