/**
 * What a credential is good for: applications, streams, actions, and until when.
 */
import * as Result from "effect/Result"
import { AccessSettingsError } from "./AccessMethod.ts"
import type { AccessAction, AccessRequest } from "./Authenticator.ts"
import * as NamePattern from "./NamePattern.ts"

/**
 * What a credential is good for, as an operator writes it. What is absent is not restricted.
 *
 * - `application`, `stream`: patterns as in `NamePattern`.
 * - `actions`: `publish`, `play`; `connect` is never asked for here.
 * - `expiresAtMs`: time on the clock, in milliseconds since 1970, from which on it is not accepted any more.
 */
export interface AccessScope {
  readonly application?: string
  readonly stream?: string
  readonly actions?: ReadonlyArray<AccessAction>
  readonly expiresAtMs?: number
}

/** What keeps a credential from being good for a request. */
export type ScopeFault = "Expired" | "OutOfScope"

/** A scope that has been compiled. */
export interface CompiledScope {
  readonly scope: AccessScope
  /** Gives what stands against a request, or `undefined`. For `connect`, only the application and the time count. */
  readonly fault: (
    request: Pick<AccessRequest, "action" | "application" | "stream">,
    nowMs: number
  ) => ScopeFault | undefined
}

/** Compiles a scope. */
export const make = (scope: AccessScope): Result.Result<CompiledScope, AccessSettingsError> =>
  Result.gen(function* () {
    const application = yield* pattern("application", scope.application)
    const stream = yield* pattern("stream", scope.stream)
    const { actions, expiresAtMs } = scope
    if (actions !== undefined && actions.length === 0) {
      return yield* Result.fail(new AccessSettingsError({ setting: "actions", problem: "names no action" }))
    }
    if (expiresAtMs !== undefined && !(expiresAtMs >= 0)) {
      return yield* Result.fail(new AccessSettingsError({ setting: "expiresAtMs", problem: "is no time" }))
    }
    return {
      scope,
      fault: (request, nowMs) => {
        if (expiresAtMs !== undefined && nowMs >= expiresAtMs) return "Expired"
        if (!application.matches(request.application)) return "OutOfScope"
        if (request.action === "connect") return undefined
        if (!stream.matches(request.stream)) return "OutOfScope"
        return actions === undefined || actions.includes(request.action) ? undefined : "OutOfScope"
      }
    }
  })

/** Compiles the pattern of a setting; an absent one covers everything. */
export const pattern = (
  setting: string,
  source: string | undefined
): Result.Result<NamePattern.NamePattern, AccessSettingsError> =>
  source === undefined
    ? Result.succeed(NamePattern.everything)
    : Result.mapError(NamePattern.make(source), (error) => new AccessSettingsError({ setting, problem: error.message }))
