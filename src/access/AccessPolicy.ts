/**
 * The whole answer: all ways to tell who a client is, joined into one `Authenticator` in a stated order.
 *
 * 1. **Failures**: an address that failed too often is refused, before anything else is looked at.
 * 2. **Addresses**: the access list decides who may be here at all, for this application and action.
 * 3. **Need**: an action that needs no credential is granted as anonymous, without a look at any. Connecting needs one
 *    where it is said so, or where a method asks for a login there. Where the name of a stream may be a key, that is found out
 *    for those who play as well, so that it is never shown.
 * 4. **Methods**, in their order: the first grant counts. A refusal does not end it, since the next method may know better;
 *    where none grants, the first refusal that is a decision is the answer, else the first one, and where no method has
 *    seen a credential of its kind, that one is missing.
 * 5. **Vetoes**, in their order: each must agree as well, or have no opinion. What they add (another name, limits) comes on
 *    top of the grant, and of two limits the lower one counts; they also give an identity to who has none.
 *
 * Then the attempt is told (`AccessAttempts`), and a wrong or expired credential counts as a failure. A missing one does
 * not, and so a login of three connections (`AdobeAuth`) counts once. Nothing here ever shows a credential.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Broadcast from "../live/Broadcast.ts"
import * as AccessList from "./AccessList.ts"
import * as AccessMethod from "./AccessMethod.ts"
import {
  type AccessAction,
  AccessDenied,
  type AccessDeniedReason,
  type AccessGrant,
  type AccessLimits,
  type AccessRequest,
  Authenticator,
  anonymous,
  secretStream
} from "./Authenticator.ts"
import type { FailureLimiter } from "./FailureLimiter.ts"

/**
 * How an attempt went.
 *
 * - `stream`: the public name; `***` where the name that was asked for may be a key.
 * - `outcome`: `Granted`, or why not. `blocked` tells that the address is blocked from now on because of it.
 * - `method`: the name of the method that decided: `limiter` and `list` for addresses, `none` where nothing did.
 */
export interface AccessAttempt {
  readonly connectionId: string
  readonly address: string
  readonly action: AccessAction
  readonly application: string
  readonly stream: string
  readonly outcome: "Granted" | AccessDeniedReason
  readonly method: string
  readonly blocked: boolean
}

/** Tells how attempts went, to whoever subscribes. */
export class AccessAttempts extends Context.Service<
  AccessAttempts,
  {
    /** Takes an attempt, at once and from anywhere. */
    readonly emit: (attempt: AccessAttempt) => void
    /** The attempts from the moment on at which the stream is run. A slow subscriber loses the oldest of 1,024. */
    readonly attempts: Stream.Stream<AccessAttempt>
  }
>()("effect-rtmp/access/AccessAttempts") {
  /** Broadcasts attempts. */
  static readonly layer: Layer.Layer<AccessAttempts> = Layer.effect(
    AccessAttempts,
    Effect.map(Broadcast.make<AccessAttempt>(), ({ emit, values }) => AccessAttempts.of({ emit, attempts: values }))
  )
}

/**
 * The parts of a policy. What is absent does not take part.
 *
 * - `needs`: actions that need a credential (`publish`).
 * - `methods`: any of them grants.
 * - `vetoes`: all of them must agree.
 */
export interface AccessPolicyParts {
  readonly limiter?: FailureLimiter["Service"]
  readonly list?: AccessList.AccessList
  readonly needs?: ReadonlyArray<AccessAction>
  readonly methods?: ReadonlyArray<AccessMethod.AccessMethod>
  readonly vetoes?: ReadonlyArray<AccessMethod.AccessMethod>
}

/** Joins the parts. `emit` is told of every attempt. */
export const make = (parts: AccessPolicyParts, emit: (attempt: AccessAttempt) => void): Authenticator["Service"] => {
  const { limiter, list } = parts
  const methods = parts.methods ?? []
  const vetoes = parts.vetoes ?? []
  const needs = parts.needs ?? ["publish"]
  const nameReaders = methods.filter((method) => method.readsName === true)
  const readsNames = nameReaders.length > 0
  const listeners = [...methods, ...vetoes].flatMap(({ ended }) => ended ?? [])

  const conclude = (request: AccessRequest, decision: Decision): Effect.Effect<AccessGrant, AccessDenied> => {
    const { grant, method } = decision
    const attempt = {
      connectionId: request.connectionId,
      address: request.remoteAddress,
      action: request.action,
      application: request.application,
      method
    }
    if (grant !== undefined) {
      emit({ ...attempt, stream: grant.stream ?? request.stream, outcome: "Granted", blocked: false })
      return Effect.succeed(grant)
    }
    const { denied } = decision
    const isFailure = denied.reason === "CredentialInvalid" || denied.reason === "CredentialExpired"
    const blocked = isFailure && limiter?.failed(request.remoteAddress) === true
    // Of what is played the methods have found out, where they were asked.
    const wasRead = request.action === "play" && method !== "limiter" && method !== "list"
    const mayBeKey = readsNames && request.action !== "connect" && !wasRead
    const stream =
      mayBeKey || decision.isStreamSecret === true || denied.isStreamSecret === true ? secretStream : request.stream
    emit({ ...attempt, stream, outcome: denied.reason, blocked })
    return Effect.fail(stream === secretStream && denied.isStreamSecret !== true ? withSecretStream(denied) : denied)
  }

  const isNeeded = (request: AccessRequest): boolean =>
    needs.includes(request.action) ||
    (request.action === "publish" && readsNames) ||
    (request.action === "connect" && methods.some((method) => method.challenges?.(request) === true))

  const decide = (request: AccessRequest): Effect.Effect<Decision> =>
    isNeeded(request)
      ? Effect.flatMap(firstGrant(methods, request), (decision) => veto(vetoes, request, decision))
      : Effect.flatMap(playsByName(request), (decision) => veto(vetoes, request, decision))

  /** What plays by a key instead of a name, though nobody asks for one, plays what the key stands for. */
  const playsByName = (request: AccessRequest): Effect.Effect<Decision> =>
    request.action === "play" && readsNames
      ? Effect.map(firstGrant(nameReaders, request), (decision) =>
          decision.grant === undefined && decision.isStreamSecret !== true ? unasked : decision
        )
      : Effect.succeed(unasked)

  return {
    authorize: (request) => {
      // What is known at once is answered at once: most of what is asked needs no credential.
      if (limiter?.isBlocked(request.remoteAddress) === true) {
        return conclude(request, { method: "limiter", denied: tooMany })
      }
      if (list !== undefined && !list.allows(request)) {
        return conclude(request, { method: "list", denied: AccessList.refused })
      }
      const isPlain = vetoes.length === 0 && !(request.action === "play" && readsNames)
      if (isPlain && !isNeeded(request)) return conclude(request, unasked)
      return Effect.flatMap(decide(request), (decision) => conclude(request, decision))
    },
    refusal: (remoteAddress) => {
      if (limiter?.isBlocked(remoteAddress) === true) return "TooManyFailures"
      return list?.admits(remoteAddress) === false ? "AddressNotAllowed" : undefined
    },
    ended: (request) => {
      for (const listener of listeners) listener(request)
    }
  }
}

/** Provides a policy of parts that are made when the layer is. */
export const layer = <E, R>(
  parts: Effect.Effect<AccessPolicyParts, E, R>
): Layer.Layer<Authenticator, E, AccessAttempts | Exclude<R, Scope.Scope>> =>
  Layer.effect(
    Authenticator,
    Effect.gen(function* () {
      const attempts = yield* AccessAttempts
      return make(yield* parts, attempts.emit)
    })
  )

/** What has been decided, and by which method. `isStreamSecret`: a method took the name for a credential. */
type Decision =
  | { readonly method: string; readonly grant: AccessGrant; readonly denied?: undefined }
  | {
      readonly method: string
      readonly grant?: undefined
      readonly denied: AccessDenied
      readonly isStreamSecret?: boolean
    }

const unasked: Decision = { method: "none", grant: anonymous }

const tooMany = new AccessDenied({
  reason: "TooManyFailures",
  description: "Too many failed attempts. Try again later."
})

const withSecretStream = (denied: AccessDenied): AccessDenied =>
  new AccessDenied({
    reason: denied.reason,
    description: denied.description,
    ...(denied.redirect === undefined ? {} : { redirect: denied.redirect }),
    isStreamSecret: true
  })

const firstGrant = (
  methods: ReadonlyArray<AccessMethod.AccessMethod>,
  request: AccessRequest
): Effect.Effect<Decision> =>
  Effect.gen(function* () {
    let first: { readonly method: string; readonly denied: AccessDenied } | undefined
    let isStreamSecret = false
    for (const method of methods) {
      const answer = yield* ask(method, request)
      if (answer === undefined) continue
      if (!(answer instanceof AccessDenied)) return { method: method.name, grant: answer }
      isStreamSecret ||= answer.isStreamSecret === true
      if (
        first === undefined ||
        (first.denied.reason === "CredentialMissing" && answer.reason !== "CredentialMissing")
      ) {
        first = { method: method.name, denied: answer }
      }
    }
    return { ...(first ?? { method: "none", denied: AccessMethod.missing }), isStreamSecret }
  })

const veto = (
  vetoes: ReadonlyArray<AccessMethod.AccessMethod>,
  request: AccessRequest,
  decision: Decision
): Effect.Effect<Decision> =>
  Effect.gen(function* () {
    let current = decision
    for (const method of vetoes) {
      if (current.grant === undefined) return current
      const { grant } = current
      // Behind the name that a key stood for, the key itself is not shown to the next one.
      const answer = yield* ask(method, grant.stream === undefined ? request : { ...request, stream: grant.stream })
      if (answer === undefined) continue
      const isStreamSecret = grant.stream !== undefined && grant.stream !== request.stream
      if (answer instanceof AccessDenied) return { method: method.name, denied: answer, isStreamSecret }
      const credential = grant.credential === "" ? answer.credential : grant.credential
      const limits = strictest(grant.limits, answer.limits)
      current = {
        method: current.method === "none" ? method.name : current.method,
        grant: { ...grant, ...answer, ...(limits === undefined ? {} : { limits }), credential }
      }
    }
    return current
  })

/** Of two limits the lower one: nobody may allow more than another one did. */
const strictest = (one: AccessLimits | undefined, other: AccessLimits | undefined): AccessLimits | undefined => {
  if (one === undefined || other === undefined) return one ?? other
  const limits: { -readonly [Name in keyof AccessLimits]: AccessLimits[Name] } = { ...one }
  for (const name of ["bitsPerSecond", "durationMs", "viewers"] as const) {
    const limit = other[name]
    if (limit !== undefined) limits[name] = Math.min(limit, one[name] ?? limit)
  }
  return limits
}

/** A defect of a method is a refusal, and its text, which may hold anything, goes nowhere. */
const ask = (
  method: AccessMethod.AccessMethod,
  request: AccessRequest
): Effect.Effect<AccessGrant | AccessDenied | undefined> =>
  Effect.suspend(() => method.check(request)).pipe(
    Effect.catchDefect(() => Effect.fail(AccessMethod.unavailable)),
    Effect.catch((denied) => Effect.succeed(denied))
  )
