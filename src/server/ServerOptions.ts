/**
 * What the configuration means to the rooms below it: options of sessions and of live streams.
 */
import * as Duration from "effect/Duration"
import type { RtmpConfigData } from "../config/RtmpConfig.ts"
import * as LiveOptions from "../live/LiveOptions.ts"
import { commandLimits } from "../protocol/amf/AmfValue.ts"
import { defaultNameLimits } from "../protocol/RtmpUrl.ts"
import type { SessionOptions } from "../protocol/Session.ts"

/** The options of every session. */
export const session = (config: RtmpConfigData): SessionOptions => ({
  handshakeTimeoutMs: Duration.toMillis(config.handshake.timeout),
  connectTimeoutMs: Duration.toMillis(config.session.connectTimeout),
  idleTimeoutMs: Duration.toMillis(config.session.idleTimeout),
  pingIntervalMs: Duration.toMillis(config.session.pingInterval),
  pingTimeoutMs: Duration.toMillis(config.session.pingTimeout),
  chunkSize: config.chunk.outSize,
  windowAckSize: config.chunk.windowAckSize,
  peerBandwidth: config.chunk.peerBandwidth,
  applications: config.session.applications,
  maxStreams: config.session.maxStreams,
  maxCommandBytes: config.limits.maxCommandBytes,
  maxMessageBytes: config.limits.maxMessageBytes,
  maxAnomalies: config.limits.maxAnomalies,
  names: {
    ...defaultNameLimits,
    maxNameBytes: config.limits.maxNameBytes,
    maxQueryBytes: config.limits.maxQueryBytes
  },
  amf: { ...commandLimits, maxDepth: config.limits.amfDepth, maxNodes: config.limits.amfNodes },
  chunks: {
    maxMessageBytes: config.limits.maxMessageBytes,
    maxChunkStreams: config.limits.maxChunkStreams,
    maxReassemblyBytes: config.limits.maxReassemblyBytes
  },
  strictHandshake: config.handshake.strict,
  acceptReservedVersions: config.handshake.reservedVersions === "accept"
})

/** The options of every live stream. */
export const live = (config: RtmpConfigData): LiveOptions.LiveOptions => {
  const defaults = LiveOptions.defaultLiveOptions
  return {
    gop: {
      enabled: config.gopCache.enabled,
      minDurationMs: Duration.toMillis(config.gopCache.minDuration),
      maxDurationMs: Duration.toMillis(config.gopCache.maxDuration),
      maxBytes: config.gopCache.maxBytes,
      maxFrames: config.gopCache.maxFrames
    },
    outbox: {
      ...defaults.outbox,
      maxDelayMs: Duration.toMillis(config.outbox.maxDelay),
      maxBytes: config.outbox.maxBytes,
      stallTimeoutMs: Duration.toMillis(config.outbox.stallTimeout)
    },
    publisher: {
      conflict: config.publisher.conflict,
      silentAfterMs: Duration.toMillis(config.publisher.silentAfter),
      resumeGraceMs: Duration.toMillis(config.publisher.resumeGrace)
    },
    play: {
      maxWaitingViewers: config.limits.maxWaitingViewers,
      waitTimeoutMs: Duration.toMillis(config.play.waitTimeout)
    },
    limits: {
      ...defaults.limits,
      maxTracks: config.limits.maxTracks,
      maxHeaderBytes: config.limits.maxHeaderBytes,
      maxMetadataBytes: config.limits.maxMetadataBytes,
      publishBitsPerSecond: config.limits.publishBitrate
    },
    chunkSize: config.chunk.outSize,
    mergeWindowMs: Duration.toMillis(config.latency.mergeWindow),
    applications: config.latency.applications
  }
}
