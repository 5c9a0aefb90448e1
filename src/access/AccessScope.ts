/**
 * What a credential is good for: applications, streams, actions, and until when.
 *
 * **Gotchas**
 *
 * Where an address is cut into application and stream is the client's choice: `a/b/c` is `a/b` and `c` to one, `a` and `b/c`
 * to the next, and the same stream to the server. So patterns are compared with every cut, and what is said of an application
 * is said of all that lies below it.
 */
import * as Result from "effect/Result"
import * as RtmpUrl from "../protocol/RtmpUrl.ts"
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
        if (!covers(application, stream, request)) return "OutOfScope"
        if (request.action === "connect") return undefined
        return actions === undefined || actions.includes(request.action) ? undefined : "OutOfScope"
      }
    }
  })

/**
 * Tells whether patterns for application and stream cover what a request is about, wherever its address is cut; for
 * `connect`, which names no stream, whether they may.
 */
export const covers = (
  application: NamePattern.NamePattern,
  stream: NamePattern.NamePattern,
  request: Pick<AccessRequest, "action" | "application" | "stream">
): boolean => {
  const isConnect = request.action === "connect"
  if (application.matches(request.application) && (isConnect || stream.matches(request.stream))) return true
  const key = isConnect ? request.application : RtmpUrl.streamKey(request.application, request.stream)
  for (let slash = key.indexOf("/"); slash >= 0; slash = key.indexOf("/", slash + 1)) {
    if (application.matches(key.slice(0, slash)) && (isConnect || stream.matches(key.slice(slash + 1)))) return true
  }
  return false
}

/** Compiles the pattern of a setting; an absent one covers everything. */
export const pattern = (
  setting: string,
  source: string | undefined
): Result.Result<NamePattern.NamePattern, AccessSettingsError> =>
  source === undefined
    ? Result.succeed(NamePattern.everything)
    : Result.mapError(NamePattern.make(source), (error) => new AccessSettingsError({ setting, problem: error.message }))
