/**
 * Describes connections and streams for `ServerAdmin`: looks at what is there when somebody asks, and keeps nothing of it
 * but the byte counts from which the next rates are taken.
 */
import type { StreamStatistics } from "../live/Registry.ts"
import type { TrackStatistics } from "../live/TrackStats.ts"
import * as CodecConfiguration from "../media/CodecConfiguration.ts"
import * as MediaFrame from "../media/MediaFrame.ts"
import type { Playing } from "./ConnectionEnvironment.ts"
import type { RtmpConnection } from "./RtmpConnection.ts"
import type { ConnectionInfo, PlayingInfo, StreamInfo, TrackInfo } from "./ServerAdmin.ts"

/** The moment of a description, on the monotonic clock of the server and in milliseconds since 1970. */
export interface Moment {
  readonly nowMs: number
  readonly epochMs: number
}

/** A sequence header as a message: its type and payload. */
export interface HeaderMessage {
  readonly typeId: number
  readonly payload: Uint8Array
}

interface Sample {
  readonly atMs: number
  readonly received: number
  readonly sent: number
  readonly receiveBitsPerSecond: number
  readonly sendBitsPerSecond: number
}

const minSampleMs = 1_000

/** The rates of connections, each from one look to the next. No timer, and nothing for connections nobody looked at. */
export class Rates {
  readonly #samples = new WeakMap<RtmpConnection, Sample>()

  /** The rates of a connection, which are measured anew when the last measurement is a second old. */
  of(connection: RtmpConnection, nowMs: number): Sample {
    const { bytesReceived: received, bytesSent: sent } = connection.totals
    const last = this.#samples.get(connection) ?? {
      atMs: connection.openedMs,
      received: 0,
      sent: 0,
      receiveBitsPerSecond: 0,
      sendBitsPerSecond: 0
    }
    const elapsedMs = nowMs - last.atMs
    if (elapsedMs < minSampleMs) return last
    const sample: Sample = {
      atMs: nowMs,
      received,
      sent,
      receiveBitsPerSecond: Math.round(((received - last.received) * 8_000) / elapsedMs),
      sendBitsPerSecond: Math.round(((sent - last.sent) * 8_000) / elapsedMs)
    }
    this.#samples.set(connection, sample)
    return sample
  }
}

/** Describes a connection. */
export const connection = (it: RtmpConnection, rates: Rates, { epochMs, nowMs }: Moment): ConnectionInfo => {
  const { receiveBitsPerSecond, sendBitsPerSecond } = rates.of(it, nowMs)
  const { bytesReceived, bytesSent } = it.totals
  const { connect, state } = it.session.statistics
  return {
    id: it.id,
    remote: it.transport.remote,
    state: state === "Disconnected" ? state : it.session.stage,
    openedAt: Math.round(epochMs - (nowMs - it.openedMs)),
    application: connect?.application ?? "",
    flashVer: connect?.flashVer ?? "",
    canReconnect: it.session.canReconnect,
    bytesReceived,
    bytesSent,
    receiveBitsPerSecond,
    sendBitsPerSecond,
    publishing: it.publishing,
    playing: it.playing.map(playing)
  }
}

const playing = ({ streamKey, viewer }: Playing): PlayingInfo => {
  const { bytes, drops, frames, lagMs, queuedBytes } = viewer.statistics()
  return { streamKey, started: viewer.started, frames, bytes, lagMs, queuedBytes, drops }
}

/** Describes a stream; `headers` are its newest sequence headers. */
export const stream = (
  statistics: StreamStatistics,
  headers: ReadonlyArray<HeaderMessage>,
  isDisabled: boolean,
  { epochMs, nowMs }: Moment
): StreamInfo => {
  const { key } = statistics
  const slash = key.lastIndexOf("/")
  const tracks = statistics.tracks.map((it) => track(it, headers))
  return {
    key,
    application: slash < 0 ? "" : key.slice(0, slash),
    name: key.slice(slash + 1),
    publisher: statistics.publisherId ?? "",
    state: statistics.state,
    since: Math.round(epochMs - (nowMs - statistics.createdAtMs)),
    viewers: statistics.viewers,
    viewersPeak: statistics.viewersPeak,
    bitsPerSecond: tracks.reduce((sum, it) => sum + it.bitsPerSecond, 0),
    bytes: statistics.bytes,
    dry: statistics.dry,
    disabled: isDisabled,
    tracks,
    gop: {
      frames: statistics.gop.frames,
      bytes: statistics.gop.bytes,
      durationMs: statistics.gop.durationMs
    }
  }
}

const track = (it: TrackStatistics, headers: ReadonlyArray<HeaderMessage>): TrackInfo => {
  const configuration = configurationOf(it, headers)
  const { bitsPerSecond, bytes, codec, frames, framesPerSecond, gaps, keyframes, kind, trackId } = it
  return {
    kind,
    trackId,
    codec,
    profile: configuration?.profile ?? "",
    level: configuration?.level ?? "",
    width: configuration?.width ?? 0,
    height: configuration?.height ?? 0,
    frameRate: framesPerSecond,
    sampleRate: configuration?.sampleRate ?? 0,
    channels: configuration?.channels ?? 0,
    bitsPerSecond,
    // In frames first: a publisher's own clock may run at any speed.
    keyframeIntervalMs:
      keyframes > 1 && framesPerSecond > 0 ? Math.round((frames / keyframes / framesPerSecond) * 1_000) : 0,
    frames,
    bytes,
    gaps
  }
}

/** The configuration in the newest sequence header of a track. */
const configurationOf = (
  track: TrackStatistics,
  headers: ReadonlyArray<HeaderMessage>
): CodecConfiguration.CodecConfiguration | undefined => {
  for (const { payload, typeId } of headers) {
    const { kind, role, trackId } = MediaFrame.classify(typeId, payload)
    if (role === "SequenceHeader" && kind === track.kind && trackId === track.trackId) {
      return CodecConfiguration.describe(typeId, payload)
    }
  }
  return undefined
}

/** The newest metadata and sequence headers of a stream, where its class gives them. */
export const headersOf = (stream: object | undefined): ReadonlyArray<HeaderMessage> =>
  stream !== undefined && "headers" in stream && typeof stream.headers === "function"
    ? (stream.headers() as ReadonlyArray<HeaderMessage>)
    : []
