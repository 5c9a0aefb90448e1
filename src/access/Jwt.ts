/**
 * JSON Web Tokens (RFC 7519): whoever runs another service signs what a client may do, and the server only verifies.
 *
 * A token travels in the query. It must name its expiry (`exp`), and what it is good for: `app` and `stream` (patterns, as
 * in `NamePattern`) and `action` (`publish`, `play`, or a list of both). All three are needed: a token that was made for
 * something else, with the same key, is good for nothing here.
 *
 * `jose` is loaded with the first token.
 *
 * **Gotchas** Algorithms are pinned by the settings and never taken from the token, and secrets go with `HS…` only.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { JWTPayload, JWTVerifyGetKey, KeyInput } from "jose"
import * as Bytes from "../protocol/Bytes.ts"
import * as RtmpUrl from "../protocol/RtmpUrl.ts"
import * as AccessMethod from "./AccessMethod.ts"
import * as AccessScope from "./AccessScope.ts"
import {
  type AccessAction,
  type AccessDenied,
  type AccessGrant,
  type AccessRequest,
  Authenticator
} from "./Authenticator.ts"

/** An algorithm that a token may be signed with. */
export type JwtAlgorithm =
  | "HS256"
  | "HS384"
  | "HS512"
  | "RS256"
  | "RS384"
  | "RS512"
  | "PS256"
  | "PS384"
  | "PS512"
  | "ES256"
  | "ES384"
  | "ES512"
  | "EdDSA"
  | "Ed25519"

/**
 * What verifies a signature: a shared secret (for `HS…`, of at least 32 bytes), a public key as PEM (SPKI), or the address
 * of a key set (JWKS), which is fetched when it is first needed, kept for ten minutes, and fetched again for a key that is
 * not in it, at most every 30 seconds.
 */
export type JwtKey =
  | { readonly _tag: "Secret"; readonly secret: Redacted.Redacted<string> }
  | { readonly _tag: "PublicKey"; readonly pem: string }
  | { readonly _tag: "Jwks"; readonly url: string }

/**
 * The settings of tokens.
 *
 * - `algorithms`: those that are accepted; at least one.
 * - `parameter`: name of the query parameter (`token`).
 * - `issuer`, `audience`: what `iss` and `aud` must be, where given.
 * - `clockSkew`: how far clocks may differ (30 seconds; 5 minutes at most).
 * - `fetchTimeout`: for the key set (5 seconds).
 */
export interface JwtSettings {
  readonly key: JwtKey
  readonly algorithms: ReadonlyArray<JwtAlgorithm>
  readonly parameter?: string
  readonly issuer?: string
  readonly audience?: string
  readonly clockSkew?: Duration.Input
  readonly fetchTimeout?: Duration.Input
}

/** The greatest difference of clocks that can be allowed, in milliseconds. */
export const maxClockSkewMs = 300_000

/** Makes the method. Its name is `jwt`. */
export const make = (
  settings: JwtSettings
): Effect.Effect<AccessMethod.AccessMethod, AccessMethod.AccessSettingsError> =>
  Effect.gen(function* () {
    const problem = faultOf(settings)
    if (problem !== undefined) return yield* new AccessMethod.AccessSettingsError(problem)
    const clock = yield* Clock.Clock
    const parameter = settings.parameter ?? "token"
    const skewSeconds = millis(settings.clockSkew, "30 seconds") / 1000
    let loading: Promise<Verify> | undefined
    const loaded = (): Promise<Verify> => {
      loading ??= load(settings, skewSeconds).catch((error) => {
        loading = undefined
        throw error
      })
      return loading
    }
    // A key that cannot be read is told of at the start; a secret needs no look.
    if (settings.key._tag === "PublicKey") {
      yield* Effect.tryPromise({
        try: loaded,
        catch: () => new AccessMethod.AccessSettingsError({ setting: "key", problem: "is no public key as PEM (SPKI)" })
      })
    }
    const check = (token: string, request: AccessRequest): Effect.Effect<AccessGrant, AccessDenied> =>
      Effect.tryPromise({
        try: async () => (await loaded())(token, new Date(clock.currentTimeMillisUnsafe())),
        catch: denialOf
      }).pipe(Effect.flatMap((claims) => decide(claims, request)))
    return {
      name: "jwt",
      check: (request) => {
        if (request.action === "connect") return Effect.succeed(undefined)
        const token = RtmpUrl.parameter(request.query, parameter)
        return token === undefined || token === "" ? Effect.succeed(undefined) : check(token, request)
      }
    }
  })

/** Asks for a token, and for nothing else. */
export const layer = (settings: JwtSettings): Layer.Layer<Authenticator, AccessMethod.AccessSettingsError> =>
  Layer.effect(Authenticator, Effect.map(make(settings), AccessMethod.authenticator))

type Verify = (token: string, now: Date) => Promise<JWTPayload>

const millis = (duration: Duration.Input | undefined, otherwise: Duration.Input): number =>
  Duration.toMillis(Duration.fromInputUnsafe(duration ?? otherwise))

const load = async (settings: JwtSettings, clockTolerance: number): Promise<Verify> => {
  const jose = await import("jose")
  const { audience, issuer, key } = settings
  const options = {
    algorithms: [...settings.algorithms],
    clockTolerance,
    requiredClaims: ["exp"],
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience })
  }
  let verifier: KeyInput | JWTVerifyGetKey
  switch (key._tag) {
    case "Secret":
      verifier = Bytes.fromUtf8(Redacted.value(key.secret))
      break
    case "PublicKey":
      verifier = await jose.importSPKI(key.pem, settings.algorithms[0]!)
      break
    case "Jwks":
      verifier = jose.createRemoteJWKSet(new URL(key.url), {
        timeoutDuration: Math.ceil(millis(settings.fetchTimeout, "5 seconds"))
      })
      break
  }
  return async (token, currentDate) => (await jose.jwtVerify(token, verifier, { ...options, currentDate })).payload
}

// By their codes, so that jose need not be loaded to name its classes.
const denialOf = (error: unknown): AccessDenied => {
  const code = error instanceof Error && "code" in error ? error.code : undefined
  switch (code) {
    case "ERR_JWT_EXPIRED":
      return AccessMethod.expired
    case "ERR_JWT_INVALID":
    case "ERR_JWT_CLAIM_VALIDATION_FAILED":
    case "ERR_JWS_INVALID":
    case "ERR_JWS_SIGNATURE_VERIFICATION_FAILED":
    case "ERR_JOSE_ALG_NOT_ALLOWED":
    case "ERR_JOSE_NOT_SUPPORTED":
    case "ERR_JWKS_NO_MATCHING_KEY":
    case "ERR_JWKS_MULTIPLE_MATCHING_KEYS":
      return AccessMethod.invalid
    default:
      // The key set cannot be had, or is none.
      return AccessMethod.unavailable
  }
}

const decide = (claims: JWTPayload, request: AccessRequest): Effect.Effect<AccessGrant, AccessDenied> => {
  const { action, app, stream } = claims
  const actions = (Array.isArray(action) ? action : [action]).filter(isAction)
  if (typeof app !== "string" || typeof stream !== "string" || actions.length === 0) {
    return Effect.fail(AccessMethod.notAllowed)
  }
  const scope = AccessScope.make({ application: app, stream, actions })
  // The time has been looked at already.
  if (Result.isFailure(scope) || scope.success.fault(request, 0) !== undefined) {
    return Effect.fail(AccessMethod.notAllowed)
  }
  const who = claims.sub ?? claims.jti
  const path = RtmpUrl.streamKey(request.application, request.stream)
  return Effect.succeed({ credential: `jwt:${claims.iss ?? ""}:${who ?? `${request.action}:${path}`}` })
}

const isAction = (value: unknown): value is AccessAction => value === "publish" || value === "play"

const faultOf = (settings: JwtSettings): { readonly setting: string; readonly problem: string } | undefined => {
  const { algorithms, key } = settings
  if (algorithms.length === 0) return { setting: "algorithms", problem: "names none" }
  const isShared = key._tag === "Secret"
  if (algorithms.some((algorithm) => algorithm.startsWith("HS") !== isShared)) {
    return { setting: "algorithms", problem: "HS256, HS384 and HS512 need a secret, the others a public key" }
  }
  if (key._tag === "PublicKey" && algorithms.length > 1) {
    return { setting: "algorithms", problem: "one public key goes with one algorithm" }
  }
  if (isShared && Bytes.fromUtf8(Redacted.value(key.secret)).length < 32) {
    return { setting: "key", problem: "a secret has at least 32 bytes" }
  }
  if (key._tag === "Jwks" && !/^https?:\/\//i.test(key.url)) {
    return { setting: "key", problem: "the address of a key set begins with https:// or http://" }
  }
  if (key._tag === "Jwks" && !URL.canParse(key.url)) return { setting: "key", problem: "is no address" }
  const skewMs = millis(settings.clockSkew, "30 seconds")
  return skewMs >= 0 && skewMs <= maxClockSkewMs ? undefined : { setting: "clockSkew", problem: "is at most 5 minutes" }
}
