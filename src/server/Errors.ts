/**
 * The edge where errors of the rooms become close reasons.
 *
 * The other translations of the one vocabulary stand where they are used: statuses in `protocol/Status.ts`, log levels
 * in `observability/CloseReason.ts`.
 */
import type { EndReason } from "../live/Outbox.ts"
import type { CloseReason } from "../observability/CloseReason.ts"
import type { CloseError } from "../protocol/Session.ts"
import { SessionError } from "../protocol/Session.ts"
import type { ListenerName } from "./Listening.ts"
import { TransportError } from "./Transport.ts"

/** The close reason for what a session or the transport gave as the end of a connection. */
export const closeReason = (error: CloseError | TransportError): CloseReason => {
  switch (error._tag) {
    case "HandshakeError":
      return "HandshakeFailed"
    case "ChunkError":
      return "ProtocolViolation"
    case "TransportError":
      switch (error.reason) {
        case "Reset":
          return "ConnectionReset"
        case "TlsFailed":
        case "ProxyRefused":
          return error.reason
        default:
          return "ClientClosed"
      }
    case "SessionError":
      switch (error.reason) {
        case "HandshakeTimeout":
        case "ConnectTimeout":
        case "IdleTimeout":
        case "PingTimeout":
        case "LoginAsked":
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

/** The error with which a viewer's connection ends when its stream does. */
export const endError = (reason: EndReason, key: string): SessionError => {
  switch (reason) {
    case "Unpublished":
      return new SessionError({ reason: "StreamEnded", detail: `${key} ended` })
    case "PublisherLost":
      return new SessionError({ reason: "StreamEnded", detail: `the publisher of ${key} did not come back` })
    case "NotFound":
      return new SessionError({ reason: "StreamNotFound", detail: `nobody publishes ${key}` })
    case "Shutdown":
      return new SessionError({ reason: "ServerStopping", detail: "the server stops" })
  }
}

/** The same error with the way out of it, for an operator whose server does not start: in the keys of that listener. */
export const withAdvice = (error: TransportError, listener: ListenerName): TransportError => {
  const advice =
    listener === "rtmp" ? adviceFor(error.reason, "listen", "LISTEN") : adviceFor(error.reason, "tls", "TLS")
  return advice === ""
    ? error
    : new TransportError({ reason: error.reason, detail: `${error.detail}: ${advice}`, cause: error.cause })
}

const adviceFor = (reason: TransportError["reason"], group: string, variables: string): string => {
  switch (reason) {
    case "AddressInUse":
      return `stop that program, or choose another port with ${group}.port (RTMP_${variables}_PORT)`
    case "AddressNotAvailable":
      return `set ${group}.host (RTMP_${variables}_HOST) to an address of this machine, or to 0.0.0.0 or :: for all of them`
    case "PermissionDenied":
      return (
        `choose a port of 1024 or more with ${group}.port (RTMP_${variables}_PORT), or allow low ports: on Linux with ` +
        "`setcap cap_net_bind_service=+ep` on the node program, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit"
      )
    default:
      return ""
  }
}
