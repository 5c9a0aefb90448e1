/**
 * What the server needs of a network: a listener that accepts byte connections, and the connection itself.
 *
 * This is a contract, not an implementation. `src/node/NodeTransport.ts` fulfils it over Effect's own socket services
 * on Node (libuv underneath: epoll, kqueue, IOCP), `SocketTransport` over any `effect/socket` server, and
 * `src/testing/MemoryNetwork.ts` in memory.
 *
 * Reading is an Effect, because a fiber waits for it; writing is a plain call, because media goes to a thousand viewers
 * in one turn of the event loop and no fiber may wake for that.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { ClientCertificate } from "../access/Authenticator.ts"
import type { BatchLane } from "../live/ViewerSink.ts"

/**
 * Why TLS was not agreed on.
 *
 * - `NotTls`, `HttpSpoken`: the client spoke something else: RTMP in the clear, or HTTP.
 * - `VersionNotSupported`, `NoCommonCipher`, `NoCommonProtocol` (ALPN): there was nothing to agree on.
 * - `CertificateMissing`: the server has none to show.
 * - `CertificateRefused`: the client does not trust the server's.
 * - `ClientCertificateMissing`, `ClientCertificateUntrusted`, `ClientCertificateNotPinned`: the client has to show one that
 *   somebody known has issued, and whose key is among those that are allowed.
 * - `HandshakeBroken`: anything else.
 */
export type TlsFailure =
  | "NotTls"
  | "HttpSpoken"
  | "VersionNotSupported"
  | "NoCommonCipher"
  | "NoCommonProtocol"
  | "CertificateMissing"
  | "CertificateRefused"
  | "ClientCertificateMissing"
  | "ClientCertificateUntrusted"
  | "ClientCertificateNotPinned"
  | "HandshakeBroken"

/**
 * A listener that could not be opened, or a connection that is no more.
 *
 * `AddressInUse`, `AddressNotAvailable`, `PermissionDenied` and `ListenFailed` are of listeners; the others of
 * connections: `Closed` (the peer ended it in order), `Reset` (it broke), `TlsFailed` (TLS was not agreed on; `tls` says
 * why) and `ProxyRefused` (a load balancer did not say whose connection it is).
 */
export class TransportError extends Data.TaggedError("TransportError")<{
  readonly reason:
    | "AddressInUse"
    | "AddressNotAvailable"
    | "PermissionDenied"
    | "ListenFailed"
    | "Closed"
    | "Reset"
    | "TlsFailed"
    | "ProxyRefused"
  readonly tls?: TlsFailure
  readonly detail: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return this.detail
  }
}

/** An address and port, as a listener is bound to or a peer connects from. */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

/**
 * What TLS agreed on.
 *
 * - `protocol`: the version (`TLSv1.3`).
 * - `serverName`: the name that the client asked for (SNI).
 * - `certificate`: who the client is, by a certificate that was verified; absent where it showed none.
 */
export interface Security {
  readonly protocol: string
  readonly serverName?: string
  readonly certificate?: ClientCertificate
}

/**
 * One accepted connection. Its functions are methods: they are called on it.
 *
 * Preconditions: `pull` is called by one fiber at a time. Postconditions: everything that was written before `end` is
 * sent before the end of the stream is; after `destroy`, or once the peer is gone, `write` does nothing and returns
 * true, and `pull` fails.
 */
export interface Connection {
  /** The client, also where a trusted load balancer stands between. */
  readonly remote: Endpoint
  /**
   * What TLS agreed on; absent where the connection is in the clear, and until the first `pull` has given bytes: that is
   * when the handshake is over.
   */
  readonly security?: Security | undefined
  /**
   * Waits for bytes, and gives all that have arrived, one or more arrays. Nothing is read from the peer while nobody
   * pulls. Fails with the reason for which there is nothing more to come, and keeps failing.
   */
  readonly pull: Effect.Effect<ReadonlyArray<Uint8Array>, TransportError>
  /**
   * A shorter way to read, for which no fiber wakes up: hands each array to `take` in the turn in which it arrives, until
   * `take` gives back `false`; then it succeeds, and nothing more is read. The array is lent: once `take` has returned, it may be
   * written over. Fails as `pull` does, and dies of what `take` throws. Absent where there is none.
   */
  readonly flow?: ((take: (bytes: Uint8Array) => boolean) => Effect.Effect<void, TransportError>) | undefined
  /**
   * Hands bytes over for sending, at once and always in whole. Returns whether all of it could be passed on to the
   * operating system; `false` asks the writer to wait for `onDrain`. The array must not be changed afterwards.
   */
  readonly write: (bytes: Uint8Array) => boolean
  /**
   * A shorter way to write, past this object, for as long as the connection is handled; absent where there is none. It keeps
   * the order with `write`, which must be given what it does not take.
   */
  readonly lane?: BatchLane | undefined
  /** Bytes that were written but not yet passed on to the operating system. */
  readonly bufferedBytes: () => number
  /**
   * Calls back once, in a later turn of the event loop, when everything written so far has been passed on; never if the
   * connection ends before.
   */
  readonly onDrain: (callback: () => void) => void
  /** Sends what was written, then the end of the stream. The peer can still send. */
  readonly end: () => void
  /** Ends the connection at once, both ways, dropping what was not sent. */
  readonly destroy: () => void
}

/** An open listener. */
export interface Listener {
  /** Where it is bound; the port is the real one where 0 was asked for. */
  readonly address: Endpoint
  /** Refuses further connections from now on, and leaves those that were accepted alone. */
  readonly close: Effect.Effect<void>
  /**
   * Waits until the listener has died without having been closed, and tells why: nothing is accepted any more, and it is
   * to be opened anew. A transport that cannot tell leaves it out.
   */
  readonly died?: Effect.Effect<TransportError>
  /** Connections that are accepted and not handed over yet, as their PROXY protocol header is still to come. */
  readonly waiting?: () => number
}

/** Whose PROXY protocol header is believed. */
export interface ProxyProtocolOptions {
  /**
   * Networks in CIDR notation, or single addresses, of load balancers. A connection from there must begin with a header of
   * version 1 or 2; a header from elsewhere is nothing but wrong bytes. Nobody is trusted where it is empty.
   */
  readonly trusted: ReadonlyArray<string>
  /** How many connections may wait for their header at the same time; more are dropped. Absent: 1,024. */
  readonly maxWaiting?: number
}

/** What to listen on. `port` 0 takes any free one; `backlog` is the queue of connections not yet accepted. */
export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly backlog: number
  /** A socket that listens already, as a service manager hands over; host and port have no effect then. */
  readonly fd?: number
  /**
   * Speak TLS (RTMPS), with the certificates that the transport was given. Absent: in the clear. `handle` runs before the
   * handshake, which begins with the first `pull`: who is refused at the door costs no cryptography.
   */
  readonly secure?: boolean
  /** Learn the addresses of clients from load balancers, before `handle` runs. Absent: connections come directly. */
  readonly proxyProtocol?: ProxyProtocolOptions
}

/**
 * Opens listeners.
 *
 * `handle` runs in a fiber of its own for each connection, whose failure, defects included, touches no other; when it
 * ends, the connection is destroyed. Closing the scope closes the listener, interrupts those fibers and destroys their
 * connections.
 */
export class Transport extends Context.Service<
  Transport,
  {
    readonly listen: (
      options: ListenOptions,
      handle: (connection: Connection) => Effect.Effect<void>
    ) => Effect.Effect<Listener, TransportError, Scope.Scope>
  }
>()("effect-rtmp/server/Transport") {}
