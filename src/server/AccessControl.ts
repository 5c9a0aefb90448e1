/**
 * Access control of a running server: the `Authenticator` that the configuration describes, which follows it while the
 * server runs, and what operators do about it.
 *
 * With nothing configured everybody may do everything, and a line in the log says so. What belongs to keys, tokens and
 * callbacks is loaded when it is first needed.
 *
 * **Details**
 *
 * The store of stream keys is a part of the `Supervisor` around, `keyStore`: keys hold while it is away.
 *
 * A reload takes effect for what is decided from then on; who publishes or plays goes on. Blocked addresses stay blocked,
 * unless `auth.block` itself has changed.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Stream from "effect/Stream"
import { AccessSettingsError } from "../access/AccessMethod.ts"
import type { AccessAttempt } from "../access/AccessPolicy.ts"
import {
  type AccessAction,
  type AccessGrant,
  type AccessRequest,
  Authenticator,
  anonymous
} from "../access/Authenticator.ts"
import type { BlockedAddress } from "../access/FailureLimiter.ts"
import type { SignedGrant } from "../access/SignedUrls.ts"
import type { CreatedKey, KeyInfo, NewKey, StreamKeyError, StreamKeys } from "../access/StreamKeys.ts"
import { methodsOf } from "../config/ConfigAccess.ts"
import { ConfigError } from "../config/ConfigError.ts"
import { ConfigStore } from "../config/ConfigStore.ts"
import type { RtmpConfigData } from "../config/RtmpConfig.ts"
import * as Broadcast from "../live/Broadcast.ts"
import * as LogLevels from "../observability/LogLevels.ts"
import type { RtmpCrypto } from "../protocol/Crypto.ts"
import type { AccessParts, PartsError } from "./AccessParts.ts"
import type { AccessPlatform } from "./AccessPlatform.ts"
import * as ServerLog from "./ServerLog.ts"
import { make as makeSupervisor, Supervisor } from "./Supervisor.ts"

/**
 * How access is controlled now.
 *
 * - `open`: whether everybody may do everything.
 * - `required`: actions that need a credential.
 * - `methods`: what is asked, in order: `list`, `certificate`, `key`, `signed`, `jwt`, `login`, `callback`.
 * - `keysEnabled`: whether stream keys are among it.
 */
export interface AccessState {
  readonly open: boolean
  readonly required: ReadonlyArray<AccessAction>
  readonly methods: ReadonlyArray<string>
  readonly keysEnabled: boolean
}

/**
 * How a callback is: for how many milliseconds more it is not asked, because it did not answer (0 where it is), and what
 * happens to clients meanwhile.
 */
export interface CallbackState {
  readonly pauseMs: number
  readonly fallback: "allow" | "deny"
}

/** Access control. */
export class AccessControl extends Context.Service<
  AccessControl,
  {
    /** Decides as the configuration in force says. */
    readonly authenticator: Authenticator["Service"]
    /** How access is controlled now. */
    readonly state: Effect.Effect<AccessState>
    /** How attempts went, from the moment on at which the stream is run; nothing while the server is open. */
    readonly attempts: Stream.Stream<AccessAttempt>
    /** How the callback is, where there is one. */
    readonly callback: Effect.Effect<CallbackState | undefined>
    /** Makes a stream key, which holds at once. */
    readonly createKey: (key: NewKey) => Effect.Effect<CreatedKey, PartsError>
    /** Lists stream keys: those of the configuration, then the others by age. */
    readonly listKeys: Effect.Effect<ReadonlyArray<KeyInfo>, PartsError>
    /**
     * Removes a stream key for good. Who uses it stays: see `sessions`, and `RtmpServer.withdraw`. Where the store fails the
     * key counts no more all the same (`StreamKeyError.revoked`).
     */
    readonly revokeKey: (id: string) => Effect.Effect<KeyInfo, PartsError>
    /** The connections that publish or play with a credential, as `RtmpServer.kick` takes them. */
    readonly sessions: (credential: string) => Effect.Effect<ReadonlyArray<string>>
    /** Signs an address: gives the query to append to it. */
    readonly sign: (grant: SignedGrant) => Effect.Effect<Redacted.Redacted<string>, AccessSettingsError>
    /** Addresses that are blocked for their failures. */
    readonly blocked: Effect.Effect<ReadonlyArray<BlockedAddress>>
    /** Frees an address; tells whether it was blocked. */
    readonly unblock: (address: string) => Effect.Effect<boolean>
  }
>()("effect-rtmp/server/AccessControl") {
  /** Follows the configuration. Fails where it asks for what cannot be had, such as a file that does not exist. */
  static get layer(): Layer.Layer<AccessControl, ConfigError, ConfigStore | AccessPlatform | RtmpCrypto> {
    return Layer.effect(AccessControl, make)
  }

  /** The authenticator of the `AccessControl` around it; one that allows everything where there is none. */
  static readonly layerAuthenticator: Layer.Layer<Authenticator> = Layer.effect(
    Authenticator,
    Effect.map(Effect.serviceOption(AccessControl), (control) =>
      Option.isSome(control) ? control.value.authenticator : open
    )
  )
}

const granted = Effect.succeed(anonymous)

const open = Authenticator.of({ authorize: () => granted })

/** Whether a configuration asks for nothing. */
const isOpen = ({ acl, auth }: RtmpConfigData): boolean =>
  acl.rules.length === 0 &&
  acl.otherwise === "allow" &&
  methodsOf(auth).length === 0 &&
  Redacted.value(auth.callback.url) === ""

const loadParts = Effect.promise(() => import("./AccessParts.ts"))

const make: Effect.Effect<
  AccessControl["Service"],
  ConfigError,
  ConfigStore | AccessPlatform | RtmpCrypto | Scope.Scope
> = Effect.gen(function* () {
  const store = yield* ConfigStore
  const scope = yield* Effect.scope
  const needs = yield* Effect.context<AccessPlatform | RtmpCrypto>()
  const supervisor = yield* Effect.flatMap(Effect.serviceOption(Supervisor), (option) =>
    Option.isSome(option) ? Effect.succeed(option.value) : makeSupervisor
  )
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const { emit: broadcast, values: attempts } = yield* Broadcast.make<AccessAttempt>()
  const minimumLevel = yield* References.MinimumLogLevel
  const levels = Option.getOrUndefined(yield* Effect.serviceOption(LogLevels.LogLevels))
  // Reloads and changes of the keys come one after the other, so that none is lost.
  const one = Semaphore.makeUnsafe(1)
  const sessions = new Sessions()
  let config = yield* store.current
  let parts: AccessParts | undefined
  // Goes up with all that may take something away. What was being decided then is decided anew: nobody gets in with a key that
  // was revoked meanwhile, nor because a callback was given up with the configuration that named it.
  let revision = 0

  const emit = (attempt: AccessAttempt): void => {
    broadcast(attempt)
    const line = ServerLog.attemptLine(attempt)
    if (ServerLog.isEnabled(line, minimumLevel, levels)) runFork(ServerLog.write(line))
  }

  const makeParts = (next: RtmpConfigData): Effect.Effect<AccessParts | undefined, PartsError> =>
    isOpen(next)
      ? Effect.undefined
      : Effect.flatMap(loadParts, (AccessParts) => AccessParts.make(next, parts, emit, scope)).pipe(
          Effect.provideContext(needs)
        )

  const discard = (made: AccessParts | undefined, other: AccessParts | undefined): Effect.Effect<void> =>
    made === undefined ? Effect.void : Effect.flatMap(loadParts, ({ release }) => release(made, other))

  const supervise = (before: AccessParts | undefined): Effect.Effect<void> =>
    Effect.suspend(() => {
      const made = parts
      if (made === undefined) return Effect.void
      return Effect.flatMap(loadParts, (AccessParts) =>
        AccessParts.supervise(config, made, before, supervisor).pipe(Effect.provideContext(needs))
      )
    })

  const announce = Effect.suspend(() =>
    parts === undefined
      ? Effect.logInfo("the server is open: everybody may publish and play (see auth and acl of the configuration)")
      : Effect.logInfo("access is controlled", {
          methods: parts.methods.join(","),
          required: parts.required.join(",")
        })
  ).pipe(LogLevels.inRoom("access"))

  parts = yield* Effect.catch(makeParts(config), (error) => Effect.flatMap(store.loaded, configError(error)))
  config = yield* store.register({
    name: "access",
    prepare: (next) =>
      Effect.gen(function* () {
        yield* Effect.acquireRelease(one.take(1), () => one.release(1))
        const made = yield* makeParts(next)
        yield* Effect.addFinalizer((exit) => (Exit.isSuccess(exit) ? Effect.void : discard(made, parts)))
        return Effect.suspend(() => {
          const before = parts
          const was = stateOf(config, before)
          parts = made
          config = next
          revision++
          const hasChanged = JSON.stringify(was) !== JSON.stringify(stateOf(next, made))
          return Effect.andThen(hasChanged ? announce : Effect.void, discard(before, made)).pipe(
            Effect.andThen(supervise(before))
          )
        })
      })
  })
  yield* announce
  yield* supervise(undefined)

  /** The keys can be managed before anybody is asked for one. */
  const withKeys = <A>(
    use: (keys: StreamKeys["Service"]) => Effect.Effect<A, StreamKeyError>
  ): Effect.Effect<A, PartsError> =>
    Effect.flatMap(loadParts, (AccessParts) => Effect.flatMap(AccessParts.keysOf(config, parts), use)).pipe(
      Effect.scoped,
      Effect.provideContext(needs),
      one.withPermit
    )

  const authorize: Authenticator["Service"]["authorize"] = (request) => {
    if (parts === undefined) return granted
    const decision = parts.authenticator.authorize(request)
    // An answer that is there already comes from nobody who could be known again.
    if (Exit.isExit(decision)) return decision
    const asked = revision
    return Effect.flatMap(Effect.result(decision), (answer) => {
      const isNo = Result.isFailure(answer) && answer.failure.reason !== "Unavailable"
      if (asked !== revision && !isNo) return authorize(request)
      if (Result.isSuccess(answer)) sessions.began(request, answer.success)
      return Effect.fromResult(answer)
    })
  }

  const authenticator: Authenticator["Service"] = {
    authorize,
    refusal: (remoteAddress) => parts?.authenticator.refusal?.(remoteAddress),
    get ended() {
      return parts === undefined ? undefined : ended
    }
  } as Authenticator["Service"]
  const ended = (request: AccessRequest): void => {
    sessions.ended(request)
    parts?.authenticator.ended?.(request)
  }

  return AccessControl.of({
    authenticator,
    attempts,
    state: Effect.sync(() => stateOf(config, parts)),
    callback: Effect.suspend(() => {
      const { fallback } = config.auth.callback
      return parts?.callback === undefined
        ? Effect.undefined
        : Effect.map(parts.callback.pauseMs, (pauseMs) => ({ pauseMs, fallback }))
    }),
    createKey: (key) => withKeys((keys) => keys.create(key)),
    listKeys: withKeys((keys) => keys.list),
    revokeKey: (id) =>
      withKeys((keys) =>
        // Also where it fails: the key may count no more all the same.
        Effect.uninterruptible(
          Effect.ensuring(
            keys.revoke(id),
            Effect.sync(() => revision++)
          )
        )
      ),
    sessions: (credential) => Effect.sync(() => sessions.of(credential)),
    sign: (grant) =>
      Effect.flatMap(loadParts, (AccessParts) => AccessParts.signerOf(config)).pipe(
        Effect.flatMap(({ sign }) => Effect.fromResult(sign(grant))),
        Effect.provideContext(needs)
      ),
    blocked: Effect.sync(() => parts?.limiter.blocked() ?? []),
    unblock: (address) => Effect.sync(() => parts?.limiter.unblock(address) === true)
  })
})

const stateOf = (config: RtmpConfigData, parts: AccessParts | undefined): AccessState => ({
  open: parts === undefined,
  required: parts?.required ?? [],
  methods: parts?.methods ?? [],
  keysEnabled: methodsOf(config.auth).some((method) => method === "key" || method === "login")
})

/** Who publishes and plays with which credential. */
class Sessions {
  readonly #byConnection = new Map<string, Map<string, string>>()

  began(request: AccessRequest, grant: AccessGrant): void {
    const credential = grant.credential === "" ? (request.login?.credential ?? "") : grant.credential
    if (credential === "" || request.action === "connect") return
    const mine = this.#byConnection.get(request.connectionId) ?? new Map<string, string>()
    this.#byConnection.set(request.connectionId, mine)
    mine.set(placeOf(request.action, request.application, grant.stream ?? request.stream), credential)
  }

  ended({ action, application, connectionId, stream }: AccessRequest): void {
    const mine = this.#byConnection.get(connectionId)
    // With the connection everything ends, also what was granted to somebody who had left by then.
    if (action !== "connect") mine?.delete(placeOf(action, application, stream))
    if (action === "connect" || mine?.size === 0) this.#byConnection.delete(connectionId)
  }

  of(credential: string): ReadonlyArray<string> {
    return [...this.#byConnection].flatMap(([id, mine]) => ([...mine.values()].includes(credential) ? [id] : []))
  }
}

const placeOf = (action: AccessAction, application: string, stream: string): string =>
  `${action} ${application}/${stream}`

/** A setting that cannot be used is a mistake in the configuration, and told of where it stands. */
const configError =
  (error: PartsError) =>
  ({ origins }: { readonly origins: ReadonlyMap<string, string> }): Effect.Effect<never, ConfigError> => {
    if (!(error instanceof AccessSettingsError)) {
      return Effect.fail(new ConfigError({ reason: "SourceFailed", problems: [], detail: error.message }))
    }
    const { problem, setting } = error
    const path = /^[A-Za-z.]+/.exec(setting)?.[0] ?? setting
    return Effect.fail(
      new ConfigError({
        reason: "Invalid",
        problems: [
          {
            reason: "Conflict",
            origin: origins.get(path) ?? path,
            path,
            expected: "a value that can be used",
            found: problem
          }
        ]
      })
    )
  }
