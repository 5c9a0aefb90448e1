/**
 * One way to tell who a client is: a stream key, a signed address, a token, a login, a question to another server.
 *
 * A method looks only at the credentials of its own kind and has no opinion on requests that carry none, so that several
 * of them can be asked one after the other. `AccessPolicy` does that; `authenticator` makes one alone into the whole answer.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { AccessDenied, type AccessGrant, type AccessRequest, type Authenticator, anonymous } from "./Authenticator.ts"

/** What is wrong with the settings of a method. `setting` names the member; `problem` never holds its value. */
export class AccessSettingsError extends Data.TaggedError("AccessSettingsError")<{
  readonly setting: string
  readonly problem: string
}> {
  override get message(): string {
    return `${this.setting}: ${this.problem}`
  }
}

/** A way to tell who a client is. */
export interface AccessMethod {
  /** What events call it: `key`, `signed`, `jwt`, `login`, `callback`, or the name of a custom one. */
  readonly name: string
  /**
   * Answers with a grant, with `undefined` where the request carries no credential of this kind, or fails with the reason
   * of the refusal.
   */
  readonly check: (request: AccessRequest) => Effect.Effect<AccessGrant | undefined, AccessDenied>
  /** Tells whether a client must show who it is already when it connects. Absent: never. */
  readonly challenges?: (request: AccessRequest) => boolean
  /** Whether the name of a stream that is published may be the credential. It then always needs one, and is not shown. */
  readonly readsName?: boolean
  /** Is told that what was granted has ended, as in `Authenticator`. */
  readonly ended?: (request: AccessRequest) => void
}

/** The refusal of a client that has shown no credential. It is no failed attempt. */
export const missing: AccessDenied = new AccessDenied({
  reason: "CredentialMissing",
  description: "A credential is needed."
})

/** The refusal of a credential that is not right, whatever is wrong with it. */
export const invalid: AccessDenied = new AccessDenied({
  reason: "CredentialInvalid",
  description: "The credential is not valid."
})

/** The refusal of a credential that was right once. */
export const expired: AccessDenied = new AccessDenied({
  reason: "CredentialExpired",
  description: "The credential has expired."
})

/** The refusal of a credential that is right, but not for this. */
export const notAllowed: AccessDenied = new AccessDenied({
  reason: "NotAllowed",
  description: "The credential does not allow this."
})

/** The refusal for want of an answer. */
export const unavailable: AccessDenied = new AccessDenied({
  reason: "Unavailable",
  description: "Access could not be decided."
})

/**
 * Makes one method the whole answer: who shows no credential may connect, where the method does not ask for a login then,
 * and nothing else.
 */
export const authenticator = (method: AccessMethod): Authenticator["Service"] => ({
  authorize: (request) =>
    request.action === "connect" && method.challenges?.(request) !== true
      ? Effect.succeed(anonymous)
      : Effect.flatMap(method.check(request), (grant) =>
          grant === undefined ? Effect.fail(missing) : Effect.succeed(grant)
        ),
  ...(method.ended === undefined ? {} : { ended: method.ended })
})
