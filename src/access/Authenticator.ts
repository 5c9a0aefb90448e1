/**
 * Who may do what: the question that the server asks before it lets a client connect, publish or play.
 *
 * This module holds the question, the two answers, and the open policy that allows everything. The other modules of this
 * room are ways to answer it, and `AccessPolicy` joins them; a custom server replaces the layer by its own. How a refusal
 * reaches the client (which status, and that the connection is closed after it) is the session's business and not decided
 * here.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ClientRole } from "../protocol/Session.ts"

/** What a client asks to be allowed. */
export type AccessAction = "connect" | "publish" | "play"

/**
 * Who a client is by its TLS certificate, which a trusted authority has signed.
 *
 * - `subject`: its distinguished name, in one line (`CN=studio-1,O=Example`).
 * - `names`: its alternative names (SAN), each with its kind (`DNS:studio-1.example`, `email:ann@example.org`).
 * - `publicKeySha256`: SHA-256 of its public key (SPKI), in base64, as pins are written.
 */
export interface ClientCertificate {
  readonly subject: string
  readonly names: ReadonlyArray<string>
  readonly publicKeySha256: string
}

/**
 * What a client asks for.
 *
 * - `application`: canonical name of the application; may be empty.
 * - `stream`: canonical name of the stream; empty for `connect`.
 * - `query`: what came after the question mark of the application or the stream, without the question mark. Secret:
 *   stream keys and tokens travel here, so it is never logged.
 * - `tcUrl`: the address that the client says it connected to. The client chooses it freely: a hint, never evidence.
 *   Secret too, because it may repeat the query.
 * - `role`: what the client looks like in its `connect`; a hint as well. Absent where that is not known.
 * - `remoteAddress`: IP address of the client.
 * - `connectionId`: identifier of the connection, as in the log.
 * - `certificate`: of the client, where the connection is a TLS one and it showed one that was verified.
 * - `login`: the grant that the connect of the same connection got; absent for `connect` itself. Whoever logged in when
 *   connecting (`AdobeAuth`) is known by it when publishing and playing.
 */
export interface AccessRequest {
  readonly action: AccessAction
  readonly application: string
  readonly stream: string
  readonly query: string
  readonly tcUrl?: string
  readonly role?: ClientRole
  readonly remoteAddress: string
  readonly connectionId: string
  readonly certificate?: ClientCertificate
  readonly login?: AccessGrant
}

/**
 * What a grant allows at most. What is absent is not limited by the grant.
 *
 * - `bitsPerSecond`: of a publisher.
 * - `durationMs`: how long to publish or play.
 * - `viewers`: of the stream that is published.
 */
export interface AccessLimits {
  readonly bitsPerSecond?: number
  readonly durationMs?: number
  readonly viewers?: number
}

/**
 * The answer "yes".
 *
 * - `credential`: the identity behind the request, for the rule that a publisher may take over its own stream: two
 *   requests with the same credential come from the same user. The empty string is anonymous: two of them are not known to
 *   come from the same user. Never a secret itself, but never logged either.
 * - `stream`: canonical name to publish or play instead of the one that was asked for. The name that was asked for may
 *   then be a stream key: it must not be shown to anybody.
 * - `limits`: what it allows at most.
 * - `user`: who logged in when connecting (`AdobeAuth`), by whose name later requests of the connection are decided, as long as
 *   the password is the one whose fingerprint is `proof`. The fingerprint is no secret, but is never logged either.
 */
export interface AccessGrant {
  readonly credential: string
  readonly stream?: string
  readonly limits?: AccessLimits
  readonly user?: string
  readonly proof?: string
}

/** What stands, wherever it is shown, for a name that may be a stream key. */
export const secretStream = "***"

/** The grant for a client that showed no identity. */
export const anonymous: AccessGrant = { credential: "" }

/** Why access was denied: `Unavailable` says that no decision could be made, the others are decisions. */
export type AccessDeniedReason =
  | "CredentialMissing"
  | "CredentialInvalid"
  | "CredentialExpired"
  | "NotAllowed"
  | "AddressNotAllowed"
  | "TooManyFailures"
  | "Unavailable"

/**
 * The answer "no".
 *
 * - `description`: a sentence that the client may show to its user; it must not tell which part of a credential was
 *   wrong. The dialects of `AdobeAuth` speak through it: it reaches the client as it is.
 * - `redirect`: `rtmp://` or `rtmps://` address where the client is to go instead.
 * - `isStreamSecret`: the name that was asked for may be a stream key, so neither logs nor events show it.
 */
export class AccessDenied extends Data.TaggedError("AccessDenied")<{
  readonly reason: AccessDeniedReason
  readonly description: string
  readonly redirect?: string
  readonly isStreamSecret?: boolean
}> {
  override get message(): string {
    return `${this.reason}: ${this.description}`
  }
}

/**
 * Decides whether a client may connect, publish or play.
 *
 * **Details**
 *
 * `authorize` is asked once for each connect, publish and play command, each in the fiber of its connection: it is
 * interrupted when the client goes away. A defect counts as a refusal.
 *
 * **Example** (A fixed key for publishers)
 *
 * ```ts
 * const layer = Layer.succeed(Authenticator, {
 *   authorize: (request) =>
 *     request.action !== "publish" || new URLSearchParams(request.query).get("key") === "s3cret"
 *       ? Effect.succeed(anonymous)
 *       : Effect.fail(new AccessDenied({ reason: "CredentialInvalid", description: "wrong stream key" }))
 * })
 * ```
 */
export class Authenticator extends Context.Service<
  Authenticator,
  {
    /** Answers with a grant, or fails with the reason of the refusal. */
    readonly authorize: (request: AccessRequest) => Effect.Effect<AccessGrant, AccessDenied>
    /**
     * Tells, before a single byte is read, why an address is not served at all; `undefined` where it may speak. Absent
     * where every address may.
     */
    readonly refusal?: (remoteAddress: string) => AccessDeniedReason | undefined
    /**
     * Is told, at once, that what was granted has ended: a connection (`connect`), a publication or a play. `request` is
     * the one that was granted, with the name that was granted. It must not throw.
     */
    readonly ended?: (request: AccessRequest) => void
  }
>()("effect-rtmp/access/Authenticator") {
  /** Allows everything, to everybody, as anonymous. */
  static readonly layerOpen: Layer.Layer<Authenticator> = Layer.succeed(Authenticator, {
    authorize: () => Effect.succeed(anonymous)
  })
}
