/**
 * The edge where errors of the rooms become close reasons.
 *
 * The other translations of the one vocabulary stand where they are used: statuses in `protocol/Status.ts`, log levels
 * in `observability/CloseReason.ts`.
 */
import type { CloseReason } from "../observability/CloseReason.ts"
import type { CloseError } from "../protocol/Session.ts"
import type { TransportError } from "./Transport.ts"

/** The close reason for what a session or the transport gave as the end of a connection. */
export const closeReason = (error: CloseError | TransportError): CloseReason => {
  switch (error._tag) {
    case "HandshakeError":
      return "HandshakeFailed"
    case "ChunkError":
      return "ProtocolViolation"
    case "TransportError":
      return error.reason === "Reset" ? "ConnectionReset" : "ClientClosed"
    case "SessionError":
      switch (error.reason) {
        case "HandshakeTimeout":
        case "ConnectTimeout":
        case "IdleTimeout":
        case "PingTimeout":
        case "Rejected":
        case "Kicked":
        case "StreamEnded":
        case "StreamNotFound":
        case "PublishConflict":
        case "TakenOver":
        case "OutboxOverflow":
        case "OutboxStalled":
        case "ServerStopping":
        case "LimitReached":
          return error.reason
        case "ClosedByClient":
          return "ClientClosed"
        case "TooManyAnomalies":
          return "ProtocolViolation"
        case "NotConnected":
        case "DuplicateConnect":
        case "MalformedCommand":
        case "IllegalCommand":
          return "CommandViolation"
      }
  }
}
