/**
 * The one error of the client, in which whatever stops a publish or a play becomes a reason out of a closed set.
 */
import * as Data from "effect/Data"
import type { ClientFailure } from "../protocol/ClientSessionState.ts"

/**
 * Why a publish or a play did not go on.
 *
 * - `InvalidUrl`, `UnsupportedScheme`: nothing was tried. Trying again does not help.
 * - `DialFailed`: the server could not be reached.
 * - `HandshakeFailed`: something answered that speaks no RTMP, as far as its first bytes tell.
 * - `ConnectRejected`, `StreamRejected`: the server said no to the application, or to the stream.
 * - `StreamFailed`: the server reported an error after the start.
 * - `EndedByServer`: the server ended a publish in order, with the source still running.
 * - `ProtocolViolation`: the server sent what cannot be read.
 * - `Timeout`: it was too slow to start, or silent for too long.
 * - `ConnectionLost`: the connection ended in the middle.
 */
export type RtmpClientReason =
  | "InvalidUrl"
  | "UnsupportedScheme"
  | "DialFailed"
  | "HandshakeFailed"
  | "ConnectRejected"
  | "StreamRejected"
  | "StreamFailed"
  | "EndedByServer"
  | "ProtocolViolation"
  | "Timeout"
  | "ConnectionLost"

/**
 * A publish or play that failed.
 *
 * `detail` is one line for logs, without the URL, which may hold a key. `code` is the server's status code where it gave
 * one, such as `NetStream.Publish.BadName`. `cause` is the error of the layer below.
 */
export class RtmpClientError extends Data.TaggedError("RtmpClientError")<{
  readonly reason: RtmpClientReason
  readonly detail: string
  readonly code?: string
  readonly cause?: unknown
}> {
  /** One line for logs. */
  override get message(): string {
    return this.detail
  }
}

/** Translates what a client session failed with. */
export const fromFailure = (failure: ClientFailure): RtmpClientError => {
  const detail = failure.message
  switch (failure._tag) {
    case "ClientHandshakeError":
      return new RtmpClientError({ reason: "HandshakeFailed", detail, cause: failure })
    case "ChunkError":
      return new RtmpClientError({ reason: "ProtocolViolation", detail, cause: failure })
    case "ClientSessionError": {
      const reason = reasons[failure.reason]
      return failure.code === undefined
        ? new RtmpClientError({ reason, detail, cause: failure })
        : new RtmpClientError({ reason, detail, code: failure.code, cause: failure })
    }
  }
}

const reasons = {
  ConnectRejected: "ConnectRejected",
  StreamRejected: "StreamRejected",
  StreamFailed: "StreamFailed",
  MalformedCommand: "ProtocolViolation",
  StartTimeout: "Timeout",
  SilenceTimeout: "Timeout",
  ConnectionClosed: "ConnectionLost"
} as const
