/**
 * Who may do what: the question that the server asks before it lets a client connect, publish or play.
 *
 * This module holds the question, the two answers, and the open policy that allows everything. A custom server replaces
 * the layer by its own. How a refusal reaches the client (which status, and that the connection is closed after it) is
 * the session's business and not decided here.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** What a client asks to be allowed. */
export type AccessAction = "connect" | "publish" | "play"

/**
 * What a client asks for.
 *
 * - `application`: canonical name of the application; may be empty.
 * - `stream`: canonical name of the stream; empty for `connect`.
 * - `query`: what came after the question mark of the application or the stream, without the question mark. Secret:
 *   stream keys and tokens travel here, so it is never logged.
 * - `tcUrl`: the address that the client says it connected to. The client chooses it freely: a hint, never evidence.
 *   Secret too, because it may repeat the query.
 * - `remoteAddress`: IP address of the client.
 * - `connectionId`: identifier of the connection, as in the log.
 */
export interface AccessRequest {
  readonly action: AccessAction
  readonly application: string
  readonly stream: string
  readonly query: string
  readonly tcUrl?: string
  readonly remoteAddress: string
  readonly connectionId: string
}

/**
 * The answer "yes".
 *
 * `credential` is the identity behind the request, for the rule that a publisher may take over its own stream: two
 * requests with the same credential come from the same user. The empty string is anonymous. It is never logged.
 */
export interface AccessGrant {
  readonly credential: string
}

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
 * `description` is a sentence that the client may show to its user; it must not tell which part of a credential was
 * wrong.
 */
export class AccessDenied extends Data.TaggedError("AccessDenied")<{
  readonly reason: AccessDeniedReason
  readonly description: string
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
  }
>()("effect-rtmp/access/Authenticator") {
  /** Allows everything, to everybody, as anonymous. */
  static readonly layerOpen: Layer.Layer<Authenticator> = Layer.succeed(Authenticator, {
    authorize: () => Effect.succeed(anonymous)
  })
}
