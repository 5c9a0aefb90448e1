/**
 * What the configuration says about access, made into an `Authenticator`. `AccessControl` loads this where something is
 * configured, and keeps what has not changed from one configuration to the next: open challenges, fetched key sets, an
 * open circuit, blocked addresses.
 *
 * The order of the methods is: certificate, key, signed address, token, login. The callback comes last and has a veto.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as AccessLines from "../access/AccessLines.ts"
import * as AccessList from "../access/AccessList.ts"
import { type AccessMethod, AccessSettingsError } from "../access/AccessMethod.ts"
import * as AccessPolicy from "../access/AccessPolicy.ts"
import type { AuthCallback } from "../access/AuthCallback.ts"
import type { AccessAction, Authenticator } from "../access/Authenticator.ts"
import * as CertificateAuth from "../access/CertificateAuth.ts"
import * as FailureLimiter from "../access/FailureLimiter.ts"
import type * as Jwt from "../access/Jwt.ts"
import type { SignedUrls } from "../access/SignedUrls.ts"
import type { StaticKey, StreamKeyError, StreamKeys } from "../access/StreamKeys.ts"
import * as ConfigAccess from "../config/ConfigAccess.ts"
import { type RtmpConfigData, written } from "../config/RtmpConfig.ts"
import { inRoom } from "../observability/LogLevels.ts"
import type { RtmpCrypto } from "../protocol/Crypto.ts"
import { AccessPlatform } from "./AccessPlatform.ts"
import type { Supervisor } from "./Supervisor.ts"

/** A part that was made, and what it was made of. */
interface Part {
  readonly identity: string
  readonly value: unknown
  readonly scope: Scope.Closeable
}

/** Everything that was made of one configuration. */
export interface AccessParts {
  readonly authenticator: Authenticator["Service"]
  readonly required: ReadonlyArray<AccessAction>
  readonly methods: ReadonlyArray<string>
  readonly limiter: FailureLimiter.FailureLimiter["Service"]
  readonly callback: AuthCallback | undefined
  readonly parts: ReadonlyMap<string, Part>
}

/** What keeps parts from being made. */
export type PartsError = AccessSettingsError | StreamKeyError

type Needs = AccessPlatform | RtmpCrypto

/** The actions that need a credential. */
export const requiredOf = ({ auth }: RtmpConfigData): ReadonlyArray<AccessAction> => {
  if (auth.required.length > 0) return auth.required
  return ConfigAccess.methodsOf(auth).length > 0 ? ["publish"] : []
}

/**
 * Makes the parts of a configuration in a scope, and takes over those of `previous` that would be the same. Where it fails,
 * nothing is left of what was made.
 */
export const make = (
  config: RtmpConfigData,
  previous: AccessParts | undefined,
  emit: (attempt: AccessPolicy.AccessAttempt) => void,
  scope: Scope.Scope
): Effect.Effect<AccessParts, PartsError, Needs> =>
  Effect.suspend(() => {
    const maker = new Maker(config, previous?.parts, scope)
    return Effect.onError(makeWith(maker, config, emit), () => maker.discard)
  })

/** Ends those parts that the next configuration has not taken over; all of them where there is none. */
export const release = (parts: AccessParts, next: AccessParts | undefined): Effect.Effect<void> =>
  Effect.forEach(
    parts.parts,
    ([name, part]) => (next?.parts.get(name) === part ? Effect.void : Scope.close(part.scope, Exit.void)),
    { discard: true }
  )

/**
 * Keeps the store of stream keys going for as long as the parts live, supervised as `keyStore`; nothing where `previous` had
 * the same one. Returns at once.
 */
export const supervise = (
  config: RtmpConfigData,
  parts: AccessParts,
  previous: AccessParts | undefined,
  supervisor: Supervisor["Service"]
): Effect.Effect<void, never, AccessPlatform> =>
  Effect.gen(function* () {
    const part = parts.parts.get("keys")
    if (part === undefined || previous?.parts.get("keys") === part) return
    const { keep } = part.value as StreamKeys["Service"]
    const { openStore } = yield* AccessPlatform
    yield* Effect.flatMap(openStore(config.auth.keys.directory), keep).pipe(
      (keeping) => supervisor.supervise("keyStore", keeping),
      // It is not critical, and so never fails.
      Effect.ignore,
      inRoom("access"),
      Effect.forkIn(part.scope)
    )
  })

/** The stream keys of a configuration: those of `parts` where they are there, made for the purpose otherwise. */
export const keysOf = (
  config: RtmpConfigData,
  parts: AccessParts | undefined
): Effect.Effect<StreamKeys["Service"], PartsError, Needs | Scope.Scope> =>
  Effect.suspend(() => {
    const part = parts?.parts.get("keys")
    return part === undefined ? makeKeys(config) : Effect.succeed(part.value as StreamKeys["Service"])
  })

/** The signer of addresses of a configuration. Fails where no secret is set. */
export const signerOf = (config: RtmpConfigData): Effect.Effect<SignedUrls, AccessSettingsError, RtmpCrypto> =>
  Effect.flatMap(
    Effect.promise(() => import("../access/SignedUrls.ts")),
    (SignedUrls) => within("auth.signedUrls", SignedUrls.make({ secrets: config.auth.signedUrls.secrets }))
  )

class Maker {
  readonly parts = new Map<string, Part>()
  readonly #written: ReadonlyMap<string, unknown>
  readonly #previous: ReadonlyMap<string, Part> | undefined
  readonly #scope: Scope.Scope
  readonly #made: Array<Scope.Closeable> = []

  constructor(config: RtmpConfigData, previous: ReadonlyMap<string, Part> | undefined, scope: Scope.Scope) {
    this.#written = written(config)
    this.#previous = previous
    this.#scope = scope
  }

  /** Makes a part out of the groups of the configuration that it depends on, or takes the one that is there. */
  part<A, E, R>(
    name: string,
    groups: ReadonlyArray<string>,
    make: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, Exclude<R, Scope.Scope>> {
    const identity = JSON.stringify(
      [...this.#written].filter(([path]) => groups.some((group) => path.startsWith(`${group}.`)))
    )
    const before = this.#previous?.get(name)
    if (before?.identity === identity) {
      this.parts.set(name, before)
      return Effect.succeed(before.value as A)
    }
    return Effect.flatMap(Scope.fork(this.#scope), (scope) => {
      this.#made.push(scope)
      return Effect.map(Scope.provide(make, scope), (value) => {
        this.parts.set(name, { identity, value, scope })
        return value
      })
    })
  }

  get discard(): Effect.Effect<void> {
    return Effect.forEach(this.#made, (scope) => Scope.close(scope, Exit.void), { discard: true })
  }
}

const makeWith = Effect.fnUntraced(function* (
  maker: Maker,
  config: RtmpConfigData,
  emit: (attempt: AccessPolicy.AccessAttempt) => void
) {
  const { acl, auth } = config
  const required = requiredOf(config)
  const limiter = yield* maker.part(
    "limiter",
    ["auth.block"],
    FailureLimiter.make({
      maxFailures: auth.block.failures,
      window: auth.block.window,
      blockDuration: auth.block.duration
    })
  )
  const rules = yield* lines("acl.rules", acl.rules, AccessLines.rule)
  const hasList = rules.length > 0 || acl.otherwise === "deny"
  const list = hasList
    ? yield* within("acl", Effect.fromResult(AccessList.make({ rules, otherwise: acl.otherwise })))
    : undefined
  const methods: Array<AccessMethod> = []
  const wanted = ConfigAccess.methodsOf(auth)
  const keys =
    wanted.includes("key") || wanted.includes("login")
      ? yield* maker.part("keys", ["auth.keys"], makeKeys(config))
      : undefined
  for (const name of wanted) {
    switch (name) {
      case "certificate": {
        const certificates = yield* Effect.forEach(auth.certificates, ([id, line]) =>
          read("auth.certificates", AccessLines.certificate(id, line))
        )
        methods.push(yield* Effect.fromResult(CertificateAuth.make(certificates)))
        break
      }
      case "key":
        methods.push(keys!.method)
        break
      case "signed":
        methods.push((yield* signerOf(config)).method)
        break
      case "jwt":
        methods.push(yield* maker.part("jwt", ["auth.jwt"], makeJwt(config)))
        break
      case "login": {
        const AdobeAuth = yield* Effect.promise(() => import("../access/AdobeAuth.ts"))
        const { application, dialect } = auth.adobe
        // Who needs a credential to play can only be asked for a user and password while it connects.
        const players = required.some((action) => action !== "publish")
        const login = within("auth.adobe", AdobeAuth.make({ lookup: keys!.lookup, dialect, application, players }))
        methods.push(yield* maker.part("login", ["auth.adobe", "auth.keys", "auth.required"], login))
        break
      }
    }
  }
  const callback =
    Redacted.value(auth.callback.url) === ""
      ? undefined
      : yield* maker.part("callback", ["auth.callback"], makeCallback(config))
  const parts: AccessParts = {
    authenticator: AccessPolicy.make(
      {
        limiter,
        needs: required,
        methods,
        ...(list === undefined ? {} : { list }),
        ...(callback === undefined ? {} : { vetoes: [callback] })
      },
      emit
    ),
    required,
    methods: [...(hasList ? ["list"] : []), ...wanted, ...(callback === undefined ? [] : ["callback"])],
    limiter,
    callback,
    parts: maker.parts
  }
  return parts
})

const makeKeys = (config: RtmpConfigData): Effect.Effect<StreamKeys["Service"], PartsError, Needs | Scope.Scope> =>
  Effect.gen(function* () {
    const { keys } = config.auth
    const platform = yield* AccessPlatform
    const StreamKeys = yield* Effect.promise(() => import("../access/StreamKeys.ts"))
    const allow = yield* Effect.forEach(keys.allow, ([id, line]) =>
      read<StaticKey>("auth.keys.allow", AccessLines.key(id, Redacted.value(line)))
    )
    const store = yield* platform.openStore(keys.directory)
    return yield* within(
      "auth.keys.allow",
      StreamKeys.make({ in: keys.in, parameter: keys.parameter, keys: allow, maxKeys: keys.max })
    ).pipe(Effect.provideService(KeyValueStore.KeyValueStore, store))
  })

const makeJwt = (config: RtmpConfigData): Effect.Effect<AccessMethod, AccessSettingsError, Needs> =>
  Effect.gen(function* () {
    const { algorithms, audience, clockSkew, issuer, jwksUrl, parameter, publicKeyFile, secret } = config.auth.jwt
    const platform = yield* AccessPlatform
    const Jwt = yield* Effect.promise(() => import("../access/Jwt.ts"))
    const hasSecret = Redacted.value(secret) !== ""
    const key: Jwt.JwtKey = hasSecret
      ? { _tag: "Secret", secret }
      : jwksUrl !== ""
        ? { _tag: "Jwks", url: jwksUrl }
        : { _tag: "PublicKey", pem: yield* platform.readText("auth.jwt.publicKeyFile", publicKeyFile) }
    return yield* within(
      "auth.jwt",
      Jwt.make({
        key,
        algorithms: algorithms.length > 0 ? algorithms : [hasSecret ? "HS256" : "RS256"],
        parameter,
        clockSkew,
        ...(issuer === "" ? {} : { issuer }),
        ...(audience === "" ? {} : { audience })
      })
    )
  })

const makeCallback = (config: RtmpConfigData): Effect.Effect<AuthCallback, AccessSettingsError, Needs | Scope.Scope> =>
  Effect.gen(function* () {
    const { callback } = config.auth
    const platform = yield* AccessPlatform
    const AuthCallback = yield* Effect.promise(() => import("../access/AuthCallback.ts"))
    const client = yield* platform.httpClient(callback)
    const made = yield* within(
      "auth.callback",
      AuthCallback.make({
        url: Redacted.value(callback.url),
        format: callback.format,
        actions: callback.actions,
        timeout: callback.timeout,
        fallback: callback.fallback,
        cacheFor: callback.cacheFor,
        maxFailures: callback.maxFailures,
        openFor: growing(callback.openFor, callback.maxOpenFor),
        ...(Redacted.value(callback.secret) === "" ? {} : { secret: callback.secret })
      })
    ).pipe(Effect.provideService(HttpClient.HttpClient, client))
    yield* Effect.forkScoped(Stream.runForEach(made.outages, tellOutage).pipe(inRoom("access")), {
      startImmediately: true
    })
    return made
  })

const tellOutage = (isOut: boolean): Effect.Effect<void> =>
  isOut
    ? Effect.logWarning("the access callback does not answer and is not asked for a while (see auth.callback)")
    : Effect.logInfo("the access callback answers again")

/** Times that double from the first to the longest. */
const growing = (first: Duration.Duration, longest: Duration.Duration): Schedule.Schedule<unknown, number> =>
  Schedule.min([Schedule.exponential(first), Schedule.spaced(longest)])

const read = <A>(path: string, line: Result.Result<A, string>): Effect.Effect<A, AccessSettingsError> =>
  Result.isSuccess(line)
    ? Effect.succeed(line.success)
    : Effect.fail(new AccessSettingsError({ setting: path, problem: line.failure }))

const lines = <A>(
  path: string,
  texts: ReadonlyArray<string>,
  parse: (line: string) => Result.Result<A, string>
): Effect.Effect<ReadonlyArray<A>, AccessSettingsError> => Effect.forEach(texts, (line) => read(path, parse(line)))

/** Names a setting by where it stands in the configuration. */
const within = <A, E, R>(
  path: string,
  effect: Effect.Effect<A, E | AccessSettingsError, R>
): Effect.Effect<A, E | AccessSettingsError, R> =>
  Effect.mapError(effect, (error) =>
    error instanceof AccessSettingsError
      ? new AccessSettingsError({ setting: settingIn(path, error.setting), problem: error.problem })
      : error
  )

/** The key that a setting of a part is, where there is one of that name; the group, with the name, otherwise. */
const settingIn = (path: string, setting: string): string =>
  /^[a-z]+$/i.test(setting) ? `${path}.${setting}` : `${path} (${setting})`
