/**
 * What one connection has been granted: who it is, what it does with that, until when and how much of it.
 *
 * Synchronous. Message stream 0 stands for the connection itself, the others for what is published and played on them.
 */
import type { AccessGrant, AccessRequest, Authenticator } from "../access/Authenticator.ts"
import { BitrateGuard } from "../live/BitrateGuard.ts"
import type { Session } from "../protocol/Session.ts"
import type { AccessQuestion } from "./AccessDecision.ts"
import * as AccessDecision from "./AccessDecision.ts"
import type { Connection } from "./Transport.ts"

/** Something that was granted and has not ended. */
interface Granted {
  /** As it was granted: with the name that takes the place of the one that was asked for. */
  readonly request: AccessRequest
  readonly credential: string
  readonly ended: Authenticator["Service"]["ended"]
  readonly endsAtMs: number
  readonly guard: BitrateGuard | undefined
}

/** The message stream of the connection itself. */
const connectionStreamId = 0

// Shared by the many connections to which nothing was granted that ends, and never written to.
const nothing = new Map<number, Granted>()

/** The grants of a connection. */
export class ConnectionAccess {
  readonly #authenticator: Authenticator["Service"]
  readonly #connectionId: string
  readonly #transport: Connection
  readonly #session: Session
  #live = nothing
  #login: AccessGrant | undefined
  /** When the first of the grants ends; infinite where none does. */
  nextDeadlineMs = Number.POSITIVE_INFINITY
  /** Whether the bitrate of a publication is limited by its grant. */
  isMetered = false

  constructor(authenticator: Authenticator["Service"], connectionId: string, transport: Connection, session: Session) {
    this.#authenticator = authenticator
    this.#connectionId = connectionId
    this.#transport = transport
    this.#session = session
  }

  /** Puts a question in the authenticator's terms. */
  describe(question: AccessQuestion): AccessRequest {
    const { action, application, query, stream } = AccessDecision.describe(question)
    const { remote, security } = this.#transport
    const connect = question._tag === "ConnectRequested" ? question.request : this.#session.statistics.connect
    return {
      action,
      application,
      stream,
      query,
      tcUrl: connect?.tcUrl ?? "",
      role: connect?.role ?? "unknown",
      remoteAddress: remote.host,
      connectionId: this.#connectionId,
      ...(security?.certificate === undefined ? {} : { certificate: security.certificate }),
      ...(this.#login === undefined ? {} : { login: this.#login })
    }
  }

  /** Takes down what was granted. */
  granted(question: AccessQuestion, request: AccessRequest, grant: AccessGrant, nowMs: number): void {
    const streamId = streamOf(question)
    this.end(streamId)
    if (request.action === "connect" && grant.credential !== "") this.#login = grant
    const { credential, limits, stream } = grant
    const { ended } = this.#authenticator
    // Most servers ask for none of this, and have a thousand viewers.
    if (ended === undefined && limits === undefined && credential === "") return
    const { bitsPerSecond, durationMs } = limits ?? {}
    if (this.#live === nothing) this.#live = new Map()
    this.#live.set(streamId, {
      request: stream === undefined || request.action === "connect" ? request : { ...request, stream },
      credential,
      ended,
      endsAtMs: durationMs === undefined ? Number.POSITIVE_INFINITY : nowMs + durationMs,
      guard: request.action === "publish" && bitsPerSecond !== undefined ? new BitrateGuard(bitsPerSecond) : undefined
    })
    this.#look()
  }

  /** What was granted has ended, or never began. Does nothing where there is nothing. */
  end(streamId: number): void {
    const granted = this.#live.get(streamId)
    if (granted === undefined) return
    this.#live.delete(streamId)
    this.#look()
    granted.ended?.(granted.request)
  }

  /** Ends everything, the connection last. */
  endAll(): void {
    for (const streamId of [...this.#live.keys()]) if (streamId !== connectionStreamId) this.end(streamId)
    this.end(connectionStreamId)
  }

  /** The message streams that were granted to a credential; 0 is the connection. */
  grantedTo(credential: string): ReadonlyArray<number> {
    if (credential === "") return none
    return [...this.#live].filter(([, granted]) => granted.credential === credential).map(([streamId]) => streamId)
  }

  /** The message streams whose time is over; 0 is the connection. */
  due(nowMs: number): ReadonlyArray<number> {
    if (nowMs < this.nextDeadlineMs) return none
    return [...this.#live].filter(([, { endsAtMs }]) => endsAtMs <= nowMs).map(([streamId]) => streamId)
  }

  /** Counts what is published; tells whether it is more than was granted. */
  exceeds(streamId: number, bytes: number, nowMs: number): boolean {
    const guard = this.#live.get(streamId)?.guard
    return guard !== undefined && guard.add(bytes, nowMs) > 0
  }

  #look(): void {
    this.nextDeadlineMs = Number.POSITIVE_INFINITY
    this.isMetered = false
    for (const { endsAtMs, guard } of this.#live.values()) {
      this.nextDeadlineMs = Math.min(this.nextDeadlineMs, endsAtMs)
      if (guard !== undefined) this.isMetered = true
    }
  }
}

const none: ReadonlyArray<number> = []

/** The message stream that a question is about. */
export const streamOf = (question: AccessQuestion): number =>
  question._tag === "ConnectRequested" ? connectionStreamId : question.request.streamId
