/**
 * Events as log lines: one line for each, with the fields that an operator greps for.
 *
 * Names come from clients, so they are escaped and cut; queries, where stream keys travel, never get here.
 */
import * as Effect from "effect/Effect"
import * as LogLevel from "effect/LogLevel"
import type { AccessAttempt } from "../access/AccessPolicy.ts"
import type { StreamEvent } from "../live/StreamEvents.ts"
import type { CloseLevel } from "../observability/CloseReason.ts"
import * as CloseReason from "../observability/CloseReason.ts"
import * as Log from "../observability/Log.ts"
import type { LogLevels, Room } from "../observability/LogLevels.ts"
import type { StopSummary } from "./ServerAdmin.ts"
import type { ServerEvent } from "./ServerEvents.ts"
import type { Endpoint } from "./Transport.ts"

/** A log line before it is logged. */
export interface LogLine {
  /** The room that it comes from: rooms have log levels of their own. */
  readonly room: Room
  readonly level: CloseLevel | "debug"
  readonly message: string
  readonly fields: Readonly<Record<string, string | number | boolean>>
}

const maxDetailBytes = 512

const client = (remote: Endpoint): string =>
  `${remote.host.includes(":") ? `[${remote.host}]` : remote.host}:${remote.port}`

const stream = (key: string): string => Log.escapeForLog(key, 255)

// A client that leaves during the handshake is a port scan or the health check of a load balancer.
const closedEarly = new Set(["WaitingC0", "WaitingC1", "WaitingC2"])

/** The line for an event of a connection. */
export const serverLine = (event: ServerEvent): LogLine => {
  switch (event._tag) {
    case "ConnectionOpened":
      return {
        room: "server",
        level: "debug",
        message: "connection opened",
        fields: {
          connection: event.connectionId,
          client: client(event.remote),
          ...(event.listener === undefined ? {} : { listener: event.listener })
        }
      }
    case "ConnectionRefused":
      return {
        room: "server",
        level: "warn",
        message: "connection refused",
        fields: {
          client: client(event.remote),
          ...(event.listener === undefined ? {} : { listener: event.listener }),
          reason: event.reason ?? "LimitReached",
          ...(event.limit === "access" ? {} : { limit: event.limit, max: event.max }),
          ...(event.count === undefined || event.count === 1 ? {} : { refused: event.count }),
          ...(event.freeBytes === undefined ? {} : { freeBytes: event.freeBytes })
        }
      }
    case "HandshakeCompleted":
      return {
        room: "session",
        level: "debug",
        message: event.echoMatches ? "handshake completed" : "handshake completed, C2 does not repeat S1",
        fields: {
          connection: event.connectionId,
          client: client(event.remote),
          handshake: event.kind,
          echoMatches: event.echoMatches
        }
      }
    case "ClientConnected":
      return {
        room: "session",
        level: "debug",
        message: "client connected",
        fields: {
          connection: event.connectionId,
          client: client(event.remote),
          application: stream(event.application),
          flashVer: Log.escapeForLog(event.flashVer)
        }
      }
    case "PublishStarted":
    case "PlayStarted":
      return {
        room: "live",
        level: "info",
        message: event._tag === "PublishStarted" ? "publish started" : "play started",
        fields: { connection: event.connectionId, client: client(event.remote), stream: stream(event.streamKey) }
      }
    case "PublishStopped":
      return {
        room: "live",
        level: "info",
        message: "publish stopped",
        fields: { connection: event.connectionId, client: client(event.remote), stream: stream(event.streamKey) }
      }
    case "FramesDropped":
      return {
        room: "live",
        level: "warn",
        message: "frames dropped for a slow viewer",
        fields: {
          connection: event.connectionId,
          client: client(event.remote),
          stream: stream(event.streamKey),
          late: event.drops.late,
          full: event.drops.full,
          orphaned: event.drops.orphaned
        }
      }
    case "AccessRefused":
      return {
        room: "access",
        // A login begins with it, twice.
        level: event.action === "connect" && event.reason === "CredentialMissing" ? "info" : "warn",
        message: "access refused",
        fields: {
          connection: event.connectionId,
          client: client(event.remote),
          action: event.action,
          stream: stream(event.streamKey),
          reason: event.reason
        }
      }
    case "Anomaly":
      return {
        room: "session",
        level: event.kind === "UnknownMessageType" ? "info" : "debug",
        message: "anomaly",
        fields: {
          connection: event.connectionId,
          client: client(event.remote),
          kind: event.kind,
          detail: Log.escapeForLog(event.detail, maxDetailBytes)
        }
      }
    case "ConnectionClosed": {
      const quiet =
        (event.reason === "ClientClosed" || event.reason === "ConnectionReset") && closedEarly.has(event.stage)
      return {
        room: "server",
        level: quiet ? "debug" : CloseReason.level(event.reason),
        message: "connection closed",
        fields: {
          connection: event.connectionId,
          client: client(event.remote),
          reason: event.reason,
          stage: event.stage,
          detail: Log.escapeForLog(event.detail, maxDetailBytes),
          bytesReceived: event.totals.bytesReceived,
          bytesSent: event.totals.bytesSent,
          durationMs: event.totals.durationMs
        }
      }
    }
    case "LifecycleChanged":
      return { room: "lifecycle", level: "debug", message: "lifecycle", fields: { from: event.from, to: event.to } }
    case "ClientsAsked":
      return {
        room: "lifecycle",
        level: "info",
        message: "clients are moved away",
        fields: {
          connections: event.connections,
          askedToReconnect: event.asked,
          ...(event.reconnectTo === "" ? {} : { reconnectTo: event.reconnectTo })
        }
      }
    case "StreamDisabled":
    case "StreamEnabled":
      return {
        room: "live",
        level: "info",
        message: event._tag === "StreamDisabled" ? "stream disabled" : "stream enabled",
        fields: { stream: stream(event.streamKey) }
      }
    case "ServerStopped": {
      const { reasons, ...summary } = event.summary
      return {
        room: "lifecycle",
        level: "info",
        message: "stopped",
        fields: { ...summary, reasons: reasonsOf(reasons) }
      }
    }
  }
}

/**
 * The line for an attempt to connect, publish or play. A refusal has a line of its own already, as an event of its
 * connection; here it is told by which method, for those who look closely.
 */
export const attemptLine = (attempt: AccessAttempt): LogLine => {
  const { action, address, application, blocked, connectionId, method, outcome } = attempt
  const isGranted = outcome === "Granted"
  return {
    room: "access",
    level: blocked ? "warn" : isGranted && method !== "none" ? "info" : "debug",
    message: blocked ? "address blocked after too many failures" : isGranted ? "access granted" : "access denied",
    fields: {
      connection: connectionId,
      client: Log.escapeForLog(address, 64),
      action,
      stream: stream(attempt.stream === "" ? application : `${application}/${attempt.stream}`),
      method,
      ...(isGranted ? {} : { reason: outcome })
    }
  }
}

const reasonsOf = (reasons: StopSummary["reasons"]): string =>
  Object.entries(reasons)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${reason}=${count}`)
    .join(" ")

/** The line for an event of a stream, or nothing where a connection's event has said the same. */
export const streamLine = (event: StreamEvent): LogLine | undefined => {
  const room = "live"
  const fields = { stream: stream(event.streamKey) }
  switch (event._tag) {
    case "Published":
    case "SubscriberJoined":
    case "SubscriberLeft":
      return undefined
    case "Unpublished":
      return event.reason === "Unpublished" ? { room, level: "info", message: "stream ended", fields } : undefined
    case "Unavailable":
      return { room, level: "warn", message: "stream unavailable", fields: { ...fields, reason: event.reason } }
    case "Resumed":
      return { room, level: "info", message: "stream resumed", fields }
    case "MetadataChanged":
      return { room, level: "debug", message: "metadata changed", fields: { ...fields, bytes: event.bytes } }
    case "CodecChanged":
      return {
        room,
        level: "info",
        message: "codec",
        fields: { ...fields, kind: event.kind, track: event.trackId, codec: event.codec }
      }
    case "BitrateExceeded":
      return {
        room,
        level: "warn",
        message: "publisher above its bitrate limit",
        fields: {
          ...fields,
          bitsPerSecond: Math.round(event.bitsPerSecond),
          limitBitsPerSecond: event.limitBitsPerSecond
        }
      }
    case "Gap":
      return {
        room,
        level: "warn",
        message: "gap in timestamps",
        fields: { ...fields, kind: event.kind, track: event.trackId, stepMs: event.stepMs }
      }
  }
}

const logAt = {
  debug: Effect.logDebug,
  info: Effect.logInfo,
  warn: Effect.logWarning,
  error: Effect.logError
}

/** Tells whether a line is loud enough to be logged, so that nothing is done for one that is not. */
export const isEnabled = (
  line: LogLine,
  minimum: LogLevel.LogLevel,
  levels: LogLevels["Service"] | undefined
): boolean =>
  LogLevel.isGreaterThanOrEqualTo(effectLevel[line.level], minimum) &&
  (levels === undefined || levels.isEnabled(line.room, line.level))

const effectLevel = { debug: "Debug", info: "Info", warn: "Warn", error: "Error" } as const

/** Logs a line. */
export const write = (line: LogLine): Effect.Effect<void> =>
  logAt[line.level](line.message, { room: line.room, ...line.fields })
