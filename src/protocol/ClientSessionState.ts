/**
 * The vocabulary of client sessions: the states with the one table of their transitions, options, outputs and errors.
 *
 * `ClientSession` makes the values of this module; nothing here does anything.
 *
 * ```text
 *   Idle ─start─> Handshaking ─handshakeDone─> ConnectRequested ─connected─> StreamRequested
 *                                                                            │           │
 *                                                                    publish │           │ play
 *                                                                            v           v
 *                                                              PublishRequested   PlayRequested
 *                                                                            │           │
 *                                                             publishStarted │           │ playStarted
 *                                                                            v           v
 *                                                                     Publishing      Playing
 *
 *   every state ─close─> Disconnected
 * ```
 */
import * as Data from "effect/Data"
import type { AmfLimits, AmfValue } from "./amf/AmfValue.ts"
import { commandLimits } from "./amf/AmfValue.ts"
import type { ChunkError, ChunkReaderLimits } from "./ChunkReader.ts"
import type { ClientHandshakeError } from "./ClientHandshake.ts"
import type { HandshakeKind } from "./Handshake.ts"
import type * as Message from "./Message.ts"

/**
 * The state of a client session.
 *
 * - `Idle`: made, nothing sent. `Handshaking`: C0 and C1 are out.
 * - `ConnectRequested`, `StreamRequested`: `connect` and `createStream` wait for their results.
 * - `PublishRequested`, `PlayRequested`: `publish` or `play` waits for its status.
 * - `Publishing`, `Playing`: media flows. `Disconnected`: final.
 */
export type ClientState =
  | "Idle"
  | "Handshaking"
  | "ConnectRequested"
  | "StreamRequested"
  | "PublishRequested"
  | "PlayRequested"
  | "Publishing"
  | "Playing"
  | "Disconnected"

/**
 * What moves a client session: its start, the end of the handshake, the result of `connect`, the request to publish or
 * to play that follows the result of `createStream`, the start of either, and the end of the connection.
 */
export type ClientInput =
  | "start"
  | "handshakeDone"
  | "connected"
  | "publish"
  | "play"
  | "publishStarted"
  | "playStarted"
  | "close"

/** The transition table. What it does not name cannot happen. */
export const transitions: {
  readonly [State in ClientState]: { readonly [Input in ClientInput]?: ClientState }
} = {
  Idle: { start: "Handshaking", close: "Disconnected" },
  Handshaking: { handshakeDone: "ConnectRequested", close: "Disconnected" },
  ConnectRequested: { connected: "StreamRequested", close: "Disconnected" },
  StreamRequested: { publish: "PublishRequested", play: "PlayRequested", close: "Disconnected" },
  PublishRequested: { publishStarted: "Publishing", close: "Disconnected" },
  PlayRequested: { playStarted: "Playing", close: "Disconnected" },
  Publishing: { close: "Disconnected" },
  Playing: { close: "Disconnected" },
  Disconnected: {}
}

/** The state after `input`, or `undefined` where the table has none. */
export const next = (state: ClientState, input: ClientInput): ClientState | undefined => transitions[state][input]

/**
 * What a client session is for.
 *
 * - `intent`: to publish a stream, or to play one.
 * - `application`, `stream`, `tcUrl`: as `RtmpUrl.parse` gives them. The stream name may carry a query with a key in it:
 *   it is secret.
 */
export interface ClientTarget {
  /** Whether the stream is to be published or played. */
  readonly intent: "publish" | "play"
  /** The `app` of the connect command. */
  readonly application: string
  /** The stream name, with its query. Secret. */
  readonly stream: string
  /** The `tcUrl` of the connect command. */
  readonly tcUrl: string
}

/**
 * What a client session may use and for how long it waits. Times are in milliseconds, sizes in bytes.
 *
 * - `flashVer`: what the client calls itself. Undefined takes what encoders and players are expected to say, since some
 *   servers look for `FMLE/` there.
 * - `chunkSize`: of what is sent from `connect`'s result on.
 * - `bufferMs`: the buffer length told to a server that plays.
 * - `capsEx`: bits of E-RTMP `capsEx`: 1 reconnect, 2 multitrack, 4 ModEx, 8 nanosecond timestamps.
 * - `startTimeoutMs`: from the start to the first media, in either direction; never extended by progress.
 * - `silenceTimeoutMs`: silence after which a server that plays is taken for dead; any byte counts as life. At half of it
 *   a ping is sent. A publisher is told nothing for as long as it is well, and has no such limit.
 * - `digestHandshake`, `strictHandshake`: see `ClientHandshake`.
 */
export interface ClientOptions {
  /** What the client calls itself; `undefined` for what servers expect. */
  readonly flashVer: string | undefined
  /** Chunk size of what is sent after `connect`, in bytes. */
  readonly chunkSize: number
  /** Buffer length told to the server of a play, in milliseconds. */
  readonly bufferMs: number
  /** E-RTMP capability bits. */
  readonly capsEx: number
  /** From the start to the first media, in milliseconds. */
  readonly startTimeoutMs: number
  /** Silence that ends a play, in milliseconds. */
  readonly silenceTimeoutMs: number
  /** Whether C1 carries a digest. */
  readonly digestHandshake: boolean
  /** Whether S2 has to answer C1. */
  readonly strictHandshake: boolean
  /** Limits on commands from the server. */
  readonly amf: AmfLimits
  /** Limits on chunks from the server. */
  readonly chunks: Partial<ChunkReaderLimits>
}

/** The options that a client has with nothing said. */
export const defaultClientOptions: ClientOptions = {
  flashVer: undefined,
  chunkSize: 60_000,
  bufferMs: 3_000,
  // Multitrack, ModEx and nanosecond timestamps pass through; reconnect requests are reported, not followed.
  capsEx: 2 | 4 | 8,
  startTimeoutMs: 10_000,
  silenceTimeoutMs: 60_000,
  digestHandshake: false,
  strictHandshake: false,
  amf: commandLimits,
  chunks: {}
}

/**
 * Why a client session failed.
 *
 * - `ConnectRejected`: the server refused `connect`.
 * - `StreamRejected`: it refused `createStream`, `publish` or `play`.
 * - `StreamFailed`: it reported an error on the stream after that had started.
 * - `MalformedCommand`: it sent a command that cannot be understood.
 * - `StartTimeout`, `SilenceTimeout`: a time of `ClientOptions` has passed.
 * - `ConnectionClosed`: the connection ended before the session did.
 */
export type ClientSessionReason =
  | "ConnectRejected"
  | "StreamRejected"
  | "StreamFailed"
  | "MalformedCommand"
  | "StartTimeout"
  | "SilenceTimeout"
  | "ConnectionClosed"

/**
 * A server that refused, misbehaved or went away.
 *
 * `stage` is the state in which it happened, `code` the status code where the server gave one, and `detail` one line
 * for logs, in which the server's own words are cut short and have no control characters.
 */
export class ClientSessionError extends Data.TaggedError("ClientSessionError")<{
  readonly reason: ClientSessionReason
  readonly stage: ClientState
  readonly detail: string
  readonly code?: string
}> {
  /** One line for logs. */
  override get message(): string {
    return this.detail
  }
}

/** Why a client session can fail. */
export type ClientFailure = ClientSessionError | ClientHandshakeError | ChunkError

/** A status as a server sent it: any code, any level, its words unchanged. */
export interface ReceivedStatus {
  /** `status`, `warning`, `error`, or whatever the server wrote; empty where it wrote nothing. */
  readonly level: string
  /** Such as `NetStream.Publish.Start`; empty where the server wrote none. */
  readonly code: string
  /** The server's own words. Not to be logged as they are. */
  readonly description: string
}

/**
 * How a client session ended in order.
 *
 * - `Closed`: `close` was called. `Unpublished`: the server says that the stream is over. `StreamEof`: it says so with a
 *   user control message alone.
 */
export type ClientEnd = "Closed" | "Unpublished" | "StreamEof"

/**
 * What a client session gives back.
 *
 * - `Send`: bytes for the server, to be written in order.
 * - `HandshakeCompleted`, `Connected` (with both objects of the server's result), `StreamCreated`, `PublishStarted`,
 *   `PlayStarted`: progress, in this order.
 * - `Media`: an audio, video, data or aggregate message of the stream that is played. Its payload may be a view of the
 *   bytes that were received.
 * - `Status`: every `onStatus`, before what follows from it.
 * - `StreamDry`, `StreamEof`: the user control messages.
 * - `Ended`, `Failed`: the last output, one or the other. The connection is to be closed.
 */
export type ClientOutput =
  | { readonly _tag: "Send"; readonly bytes: Uint8Array }
  | { readonly _tag: "HandshakeCompleted"; readonly kind: HandshakeKind; readonly echoMatches: boolean }
  | { readonly _tag: "Connected"; readonly properties: AmfValue; readonly information: AmfValue }
  | { readonly _tag: "StreamCreated"; readonly streamId: number }
  | { readonly _tag: "PublishStarted"; readonly streamId: number }
  | { readonly _tag: "PlayStarted"; readonly streamId: number }
  | { readonly _tag: "Media"; readonly message: Message.Message }
  | { readonly _tag: "Status"; readonly streamId: number; readonly status: ReceivedStatus }
  | { readonly _tag: "StreamDry"; readonly streamId: number }
  | { readonly _tag: "StreamEof"; readonly streamId: number }
  | { readonly _tag: "Ended"; readonly end: ClientEnd }
  | { readonly _tag: "Failed"; readonly error: ClientFailure }
