/**
 * The vocabulary of sessions: options, requests, outputs and errors.
 *
 * `ServerSession` makes the values of this module, `ServerCommands` uses them; nothing here does anything.
 */
import * as Data from "effect/Data"
import type { AmfLimits } from "./amf/AmfValue.ts"
import { commandLimits } from "./amf/AmfValue.ts"
import type { ChunkError, ChunkReaderLimits } from "./ChunkReader.ts"
import type { HandshakeError, HandshakeState } from "./Handshake.ts"
import type * as Message from "./Message.ts"
import type { NameLimits } from "./RtmpUrl.ts"
import { defaultNameLimits } from "./RtmpUrl.ts"
import type { SessionState } from "./SessionState.ts"
import type { Status } from "./Status.ts"

/**
 * What a session may use and for how long it waits. Times are in milliseconds, sizes in bytes.
 *
 * - `handshakeTimeoutMs`: from accept to the end of the handshake; never extended by progress.
 * - `connectTimeoutMs`: from the end of the handshake to `connect`. `idleTimeoutMs`: from `connect`, or the end of the
 *   last stream, to a publish or play.
 * - `pingIntervalMs`: silence after which a ping is sent. `pingTimeoutMs`: silence after which the connection is dead;
 *   any byte counts as life, since OBS never answers a ping while it publishes.
 * - `chunkSize`: of what we send, announced once in the connect reply. FFmpeg adopts it for what it sends.
 * - `applications`: names that `connect` accepts; empty means any. `maxStreams`: message streams per connection.
 * - `maxCommandBytes`: size of a command, and of any message before connect was accepted or from a player.
 *   `maxMessageBytes`: size of any other message.
 * - `maxAnomalies`: tolerated oddities; the budget refills by one a second.
 */
export interface SessionOptions {
  readonly handshakeTimeoutMs: number
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly pingIntervalMs: number
  readonly pingTimeoutMs: number
  readonly chunkSize: number
  readonly windowAckSize: number
  readonly peerBandwidth: number
  readonly applications: ReadonlyArray<string>
  readonly maxStreams: number
  readonly maxCommandBytes: number
  readonly maxMessageBytes: number
  readonly maxAnomalies: number
  readonly names: NameLimits
  readonly amf: AmfLimits
  readonly chunks: Partial<ChunkReaderLimits>
  readonly strictHandshake: boolean
  readonly acceptReservedVersions: boolean
}

/** The options that a server has with nothing configured. */
export const defaultOptions: SessionOptions = {
  handshakeTimeoutMs: 10_000,
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 30_000,
  pingIntervalMs: 30_000,
  pingTimeoutMs: 60_000,
  chunkSize: 60_000,
  windowAckSize: 2_500_000,
  peerBandwidth: 2_500_000,
  applications: [],
  maxStreams: 8,
  maxCommandBytes: 65_536,
  maxMessageBytes: 10 * 1024 * 1024,
  maxAnomalies: 64,
  names: defaultNameLimits,
  amf: commandLimits,
  chunks: {},
  strictHandshake: false,
  acceptReservedVersions: true
}

/**
 * Why a session ends: the peer did what the command state machine does not allow or let a deadline pass, or whoever
 * drives the session ended it (the reasons from `Rejected` on). `detail` is a sentence for the log.
 */
export class SessionError extends Data.TaggedError("SessionError")<{
  readonly reason:
    | "HandshakeTimeout"
    | "ConnectTimeout"
    | "IdleTimeout"
    | "PingTimeout"
    | "NotConnected"
    | "DuplicateConnect"
    | "MalformedCommand"
    | "IllegalCommand"
    | "TooManyAnomalies"
    | "LoginAsked"
    | "Rejected"
    | "PublishConflict"
    | "TakenOver"
    | "Kicked"
    | "StreamEnded"
    | "StreamNotFound"
    | "OutboxOverflow"
    | "OutboxStalled"
    | "LimitReached"
    | "ServerStopping"
    | "ClosedByClient"
  readonly detail: string
}> {
  override get message(): string {
    return this.detail
  }
}

/** Why a session closes the connection. */
export type CloseError = HandshakeError | ChunkError | SessionError

/**
 * What a client is going to do, by its `connect`: encoders are of the type `nonprivate` or call themselves FMLE, players call
 * themselves a Flash Player (`LNX 9,0,124,2`). A hint, never evidence: nothing keeps a client from doing the other thing.
 */
export type ClientRole = "publisher" | "player" | "unknown"

/** What a client says of itself in `connect` (RTMP 1.0 §7.2.1.1, and E-RTMP v2, connect command). */
export interface ConnectRequest {
  /** Canonical application name; may be empty. */
  readonly application: string
  /** Query of the application and tcUrl. Secret. */
  readonly query: string
  /** As sent; its query is secret. Never to be trusted or fetched. */
  readonly tcUrl: string
  readonly flashVer: string
  readonly role: ClientRole
  /** Bits of E-RTMP `capsEx`: 1 reconnect, 2 multitrack, 4 ModEx, 8 nanosecond timestamps. */
  readonly capsEx: number
  /** FourCCs that the client names in `fourCcList` or in the info maps; `*` stands for all. */
  readonly fourCcs: ReadonlyArray<string>
}

/** What a client asks for in `publish` or `play`. */
export interface StreamRequest {
  /** Message stream id. */
  readonly streamId: number
  /** Canonical application and stream name. */
  readonly application: string
  readonly stream: string
  /** Query parameters of name, application and tcUrl, in the order in which they win. Secret. */
  readonly query: string
}

/** What a session gives back. */
export type SessionOutput =
  | { readonly _tag: "Send"; readonly bytes: Uint8Array }
  | { readonly _tag: "HandshakeCompleted"; readonly kind: string; readonly echoMatches: boolean }
  | { readonly _tag: "ConnectRequested"; readonly requestId: number; readonly request: ConnectRequest }
  | { readonly _tag: "PublishRequested"; readonly requestId: number; readonly request: StreamRequest }
  | { readonly _tag: "PlayRequested"; readonly requestId: number; readonly request: StreamRequest }
  | { readonly _tag: "Media"; readonly streamId: number; readonly message: Message.Message }
  | { readonly _tag: "PublishEnded"; readonly streamId: number }
  | { readonly _tag: "PlayEnded"; readonly streamId: number }
  | {
      readonly _tag: "PlayChanged"
      readonly streamId: number
      readonly what: "pause" | "audio" | "video"
      /** For `pause`, whether it is paused; for `audio` and `video`, whether it is wanted. */
      readonly value: boolean
    }
  | { readonly _tag: "Anomaly"; readonly kind: AnomalyKind; readonly detail: string }
  | { readonly _tag: "Close"; readonly error: CloseError }

/** Oddities that are tolerated within a budget. */
export type AnomalyKind =
  | "UnknownMessageType"
  | "MessageWithoutCommand"
  | "UnknownCommand"
  | "MediaWithoutPublish"
  | "ShortControlMessage"
  | "ChunkHeaderRestart"
  | "TooManyStreams"

/** Facts and counters of a session. */
export interface SessionStatistics {
  readonly state: SessionState
  readonly bytesReceived: number
  readonly anomalies: number
  readonly unknownMessages: number
  readonly connect: ConnectRequest | undefined
}

/** The steps of a session as an operator sees them: those of the handshake, the wait for connect, then its states. */
export type SessionStage = Exclude<HandshakeState, "Complete" | "Failed"> | "WaitingConnect" | SessionState

/** A server session. See the contract of `ServerSession`. */
export interface Session {
  readonly state: SessionState
  /** How far the session is, or was when it ended: for the log line of its end. */
  readonly stage: SessionStage
  readonly statistics: SessionStatistics
  /** Tells whether a request waits for `accept` or `reject`. */
  readonly isWaiting: boolean
  /** Tells whether the client has declared that it understands `requestReconnect`, and is still there. */
  readonly canReconnect: boolean
  /** Takes bytes from the peer, in any partition. */
  readonly receive: (bytes: Uint8Array, nowMs: number) => ReadonlyArray<SessionOutput>
  /** Processes what was held back for a decision. Due after every `accept`, once its outputs have been written. */
  readonly resume: (nowMs: number) => ReadonlyArray<SessionOutput>
  /** Grants the pending request. A play of a stream that is not live yet gets its `publishNotify` when it is. */
  readonly accept: (requestId: number, nowMs: number) => ReadonlyArray<SessionOutput>
  /** Refuses the pending request with a status, and closes with `error` (by default `Rejected`). */
  readonly reject: (
    requestId: number,
    status: Status,
    nowMs: number,
    error?: SessionError
  ) => ReadonlyArray<SessionOutput>
  /** Tells a viewer that was waiting, or whose publisher was away, that the stream runs. */
  readonly publishNotify: (streamId: number) => ReadonlyArray<SessionOutput>
  /** Tells a viewer that the stream is silent for now (StreamDry). */
  readonly streamDry: (streamId: number) => ReadonlyArray<SessionOutput>
  /**
   * Tells a viewer that the stream has ended, in the ways that FFmpeg, librtmp and GStreamer each need, and closes
   * unless another stream is played on the connection.
   */
  readonly endPlay: (streamId: number, error: SessionError) => ReadonlyArray<SessionOutput>
  /**
   * Ends a publisher or viewer with an error status on its stream, and closes unless the connection publishes or plays
   * another stream. Whoever drives the session has ended the publication or the play itself: no output tells of it.
   */
  readonly kick: (streamId: number, status: Status, error: SessionError) => ReadonlyArray<SessionOutput>
  /**
   * Asks the client to go on somewhere else: at `tcUrl`, absolute or relative to its own, or at the same URL where that
   * is empty (E-RTMP v2, Reconnect Request). Where the client did not declare that it understands, a publisher is told
   * that the server will stop (`Status.leave`), and others are told nothing.
   *
   * **Gotchas** The client goes on sending here until it is connected there, and then leaves by itself.
   */
  readonly requestReconnect: (tcUrl: string, description: string) => ReadonlyArray<SessionOutput>
  /** Closes without a word, as for a viewer that takes no more bytes. */
  readonly abort: (error: SessionError) => ReadonlyArray<SessionOutput>
  /** Does what is due at `nowMs`: deadlines and pings. */
  readonly tick: (nowMs: number) => ReadonlyArray<SessionOutput>
  /** When `tick` is to be called next. */
  readonly nextDeadlineMs: () => number
  /** Marks the connection as gone. Nothing is sent any more. */
  readonly disconnect: () => void
}
