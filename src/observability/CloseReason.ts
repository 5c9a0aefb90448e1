/**
 * Why a connection, a publisher or a viewer ended: one closed set of names for the whole server.
 *
 * The same name stands in the "connection closed" log line, in the metric label and in whatever a custom server sees,
 * so that the three can be matched with each other. What is *not* here is the translation to an RTMP status: the edge
 * that talks to the client does that.
 */

const table = {
  ClientClosed: {
    level: "info",
    description: "the client closed the connection, or ended its stream"
  },
  ConnectionReset: {
    level: "info",
    description: "the connection was reset or broke off"
  },
  ProxyRefused: {
    level: "warn",
    description: "a load balancer did not say whose connection it is"
  },
  TlsFailed: {
    level: "info",
    description: "the client and the server did not agree on TLS"
  },
  HandshakeTimeout: {
    level: "info",
    description: "the handshake was not finished in time"
  },
  HandshakeFailed: {
    level: "info",
    description: "the handshake was not one of RTMP"
  },
  ProtocolViolation: {
    level: "warn",
    description: "the client sent bytes that break the chunk stream protocol"
  },
  CommandViolation: {
    level: "warn",
    description: "the client sent a command that its state does not allow"
  },
  ConnectTimeout: {
    level: "info",
    description: "no connect command came in time after the handshake"
  },
  IdleTimeout: {
    level: "info",
    description: "the client connected but neither published nor played in time"
  },
  PingTimeout: {
    level: "info",
    description: "the client sent nothing at all for too long"
  },
  LoginAsked: {
    level: "info",
    description: "the client was asked to log in, and is to come back with the answer"
  },
  Rejected: {
    level: "warn",
    description: "the client may not do what it asked for"
  },
  PublishConflict: {
    level: "warn",
    description: "the stream has a publisher already"
  },
  TakenOver: {
    level: "info",
    description: "another publisher took the stream over"
  },
  StreamEnded: {
    level: "info",
    description: "the stream that was played has ended"
  },
  StreamNotFound: {
    level: "info",
    description: "the stream that was asked for has no publisher"
  },
  OutboxOverflow: {
    level: "warn",
    description: "the viewer fell behind further than its queue may hold"
  },
  OutboxStalled: {
    level: "warn",
    description: "the viewer took no bytes for too long"
  },
  Kicked: {
    level: "info",
    description: "an operator, or the code around the server, closed the connection"
  },
  ServerStopping: { level: "info", description: "the server is shutting down" },
  LimitReached: {
    level: "warn",
    description: "a configured limit was reached"
  },
  Defect: { level: "error", description: "a fault of the server itself" }
} as const satisfies Record<string, { readonly level: "info" | "warn" | "error"; readonly description: string }>

/** A reason from the closed set; `describe` says in a sentence what each one means. */
export type CloseReason = keyof typeof table

/** How loud the log line of a close is. */
export type CloseLevel = "info" | "warn" | "error"

/** Every close reason, in the order of a connection's life. */
export const all: ReadonlyArray<CloseReason> = Object.keys(table) as ReadonlyArray<CloseReason>

/** Tells whether a value is a close reason. */
export const isCloseReason = (value: unknown): value is CloseReason =>
  typeof value === "string" && Object.hasOwn(table, value)

/** What a reason means: the rest of a sentence, in lower case and without a full stop. */
export const describe = (reason: CloseReason): string => table[reason].description

/**
 * How loud the log line of a close is: `info` for what happens every day (also port scans and cameras that lose their
 * network), `warn` for what an operator may want to look into, `error` for faults of the server.
 */
export const level = (reason: CloseReason): CloseLevel => table[reason].level
