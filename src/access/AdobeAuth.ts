/**
 * User and password as RTMP encoders ask for them: the dialects `adobe` and `llnw` of `authmod`, which the user and password
 * box of OBS, FFmpeg (`rtmp://user:password@host/…`), GStreamer and librtmp speak.
 *
 * **Details**
 *
 * A login takes three connections, each refused with a description that the client parses, but for the last:
 *
 * 1. `connect` without credentials: `code=403 need auth`, with the dialect. The client asks its user for a password.
 * 2. `connect` with `authmod` and `user` in the query: `?reason=needauth`, with a salt and a challenge, which are made for
 *    this login, held for a short time and accepted once.
 * 3. `connect` with the response to that challenge: granted, or `?reason=authfailed`.
 *
 * The first two are refused as `CredentialMissing`, which is no failure; only the third can fail. What the user may
 * publish and play is looked up again for every stream, so that a credential that was taken away or changed counts no more.
 *
 * A user who does not exist is challenged like any other, with a salt that stays the same: nobody learns who exists.
 *
 * **Gotchas**
 *
 * - Both dialects rest on MD5, and what the server keeps (`Verifier`) is as good as the password to whoever speaks them.
 *   It is safe for long random passwords that are used nowhere else, over TLS.
 * - The dialect is read by FFmpeg up to the next space: one must follow it. The parameters come last, and unescaped.
 * - librtmp, where it was built with nettle, sends what lies in its memory behind its challenge and its response. Both are
 *   read up to their padding, and names up to what can be printed (`RtmpUrl.application`).
 * - FFmpeg has 300 bytes for the parameters; user names are therefore limited to 64 characters.
 */
import * as Clock from "effect/Clock"
import * as Digest from "effect/crypto/Digest"
import * as Mac from "effect/crypto/Mac"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Hex from "effect/encoding/Hex"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Bytes from "../protocol/Bytes.ts"
import { RtmpCrypto } from "../protocol/Crypto.ts"
import * as AccessMethod from "./AccessMethod.ts"
import * as AccessScope from "./AccessScope.ts"
import { AccessDenied, type AccessGrant, type AccessRequest, Authenticator } from "./Authenticator.ts"
import { ExpiringMap } from "./ExpiringMap.ts"
import * as NamePattern from "./NamePattern.ts"

/** A dialect of the login. */
export type Dialect = "adobe" | "llnw"

/**
 * What a server keeps of a password: its salted hash for `adobe` (base64 of MD5 over user, salt and password), and its hash
 * for `llnw` (hexadecimal MD5 over user, realm and password). Secret: either is enough to log in.
 */
export interface Verifier {
  readonly salt: string
  readonly adobe: string
  readonly llnw: string
}

/** A user: the verifier of the password, what the user may do, and the identity for takeovers (never a secret). */
export interface Login {
  readonly verifier: Verifier
  readonly scope: AccessScope.CompiledScope
  readonly credential: string
  /** Canonical name to publish instead of the one that is asked for. */
  readonly publishAs?: string
}

/**
 * The settings of logins.
 *
 * - `lookup`: finds a user.
 * - `application`: pattern of the applications that ask who connects without another credential to log in, and of those
 *   below them.
 * - `players`: whether those who look like players are asked as well (not). A client can only log in when it connects, and a
 *   player that has no user and password gives up then.
 * - `dialect`: the one that clients are asked for (`adobe`); both are understood.
 * - `challengeTimeout`: how long a challenge can be answered (30 seconds).
 * - `maxChallenges`: how many can be open at once (1,024); the oldest make room.
 */
export interface AdobeAuthSettings {
  readonly lookup: (user: string) => Effect.Effect<Login | undefined>
  readonly application?: string
  readonly players?: boolean
  readonly dialect?: Dialect
  readonly challengeTimeout?: Duration.Input
  readonly maxChallenges?: number
}

/** The longest user name, in UTF-16 code units. */
export const maxUserLength = 64

/** Tells whether a name can be the name of a user: what the descriptions and queries can carry unescaped. */
export const isUserName = (user: string): boolean => user.length <= maxUserLength && /^[A-Za-z0-9._~@-]+$/.test(user)

/** Makes what a server keeps of a password. */
export const verifierOf = (user: string, salt: string, password: string): Verifier => ({
  salt,
  adobe: md5Base64(`${user}${salt}${password}`),
  llnw: md5Hex(`${user}:live:${password}`)
})

/** What a client says in its query about the login. */
export interface Parameters {
  readonly dialect: Dialect
  readonly user: string
  /** Its response, once it has answered a challenge. */
  readonly response: string | undefined
  /** For `adobe`, the challenge that the client made up; for `llnw`, its `cnonce`. */
  readonly clientChallenge: string
  /** For `adobe`, the `opaque` of the server; for `llnw`, the `nonce`. */
  readonly token: string
  /** For `llnw`, the counter `nc`. */
  readonly count: string
}

/**
 * Reads the login parameters of a query: split at `&` and the first `=` only, since base64 comes unescaped. `undefined`
 * where there are none, or of an unknown dialect.
 */
export const parameters = (query: string): Parameters | undefined => {
  const dialect = raw(query, "authmod")
  const user = raw(query, "user")
  if ((dialect !== "adobe" && dialect !== "llnw") || user === undefined) return undefined
  return {
    dialect,
    user,
    response: ended(raw(query, "response")),
    clientChallenge: ended(raw(query, dialect === "adobe" ? "challenge" : "cnonce")) ?? "",
    token: raw(query, dialect === "adobe" ? "opaque" : "nonce") ?? "",
    count: raw(query, "nc") ?? ""
  }
}

/** The description that asks for a user and password. */
export const needAuth = (dialect: Dialect): string =>
  `[ AccessManager.Reject ] : [ code=403 need auth; authmod=${dialect} ] : `

/** The description that carries a challenge. `token` is both the challenge and the opaque value, or the nonce. */
export const challenge = (dialect: Dialect, user: string, salt: string, token: string): string =>
  dialect === "adobe"
    ? `[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=${user}&salt=${salt}&challenge=${token}&opaque=${token}`
    : `[ AccessManager.Reject ] : [ authmod=llnw ] : ?reason=needauth&user=${user}&nonce=${token}`

/** The description for a wrong user or password, without telling which. */
export const authFailed = (dialect: Dialect): string =>
  `[ AccessManager.Reject ] : [ authmod=${dialect} ] : ?reason=authfailed`

/** The response of a client that knows the password, for `adobe`. */
export const adobeResponse = (verifier: Verifier, token: string, clientChallenge: string): string =>
  md5Base64(`${verifier.adobe}${token}${clientChallenge}`)

/** The response of a client that knows the password, for `llnw`, which is digest authentication (RFC 2617) in small. */
export const llnwResponse = (
  verifier: Verifier,
  application: string,
  token: string,
  count: string,
  clientChallenge: string
): string => {
  const uri = application.includes("/") ? `/${application}` : `/${application}/_definst_`
  return md5Hex(`${verifier.llnw}:${token}:${count}:${clientChallenge}:auth:${md5Hex(`publish:${uri}`)}`)
}

/** Tells, in constant time, whether a response is that of a client that knows the password. */
export const verify = (verifier: Verifier, application: string, given: Parameters): boolean => {
  const expected =
    given.dialect === "adobe"
      ? adobeResponse(verifier, given.token, given.clientChallenge)
      : llnwResponse(verifier, application, given.token, given.count, given.clientChallenge)
  return Mac.timingSafeEqual(Bytes.fromUtf8(expected), Bytes.fromUtf8(given.response ?? ""))
}

interface Challenge {
  readonly user: string
  readonly dialect: Dialect
  readonly application: string
}

/** Makes the method. Its name is `login`. */
export const make = (
  settings: AdobeAuthSettings
): Effect.Effect<AccessMethod.AccessMethod, AccessMethod.AccessSettingsError, RtmpCrypto> =>
  Effect.gen(function* () {
    const crypto = yield* RtmpCrypto
    const clock = yield* Clock.Clock
    const application = yield* Effect.fromResult(AccessScope.pattern("application", settings.application))
    const asksPlayers = settings.players === true
    const asks = (request: AccessRequest): boolean =>
      (asksPlayers || request.role !== "player") && AccessScope.covers(application, NamePattern.everything, request)
    const dialect = settings.dialect ?? "adobe"
    const timeoutMs = Duration.toMillis(Duration.fromInputUnsafe(settings.challengeTimeout ?? "30 seconds"))
    const open = new ExpiringMap<Challenge>(settings.maxChallenges ?? 1_024)
    const saltKey = crypto.randomBytes(32)
    /** The salt of a user who does not exist: it looks like the others, and is the same every time. */
    const inventedSalt = (user: string): string =>
      saltText(crypto.hmacSha256(saltKey, Bytes.fromUtf8(user)).subarray(0, saltBytes))
    const nowMs = (): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    /** Tells one password of a user from the next; a verifier may have another salt each time that it is looked up. */
    const proofOf = ({ verifier }: Login): string =>
      Hex.encode(crypto.hmacSha256(Bytes.fromUtf8("effect-rtmp-login"), Bytes.fromUtf8(verifier.llnw)))

    const login = (given: Parameters, request: AccessRequest): Effect.Effect<AccessGrant, AccessDenied> =>
      Effect.flatMap(settings.lookup(given.user), (found) => {
        if (given.response === undefined) {
          const token = saltText(crypto.randomBytes(tokenBytes))
          const { application } = request
          open.set(token, { user: given.user, dialect: given.dialect, application }, nowMs() + timeoutMs)
          const salt = found?.verifier.salt ?? inventedSalt(given.user)
          return Effect.fail(asked(challenge(given.dialect, given.user, salt, token)))
        }
        const mine = open.take(given.token, nowMs())
        const isMine =
          mine !== undefined &&
          mine.user === given.user &&
          mine.dialect === given.dialect &&
          mine.application === request.application
        // Computed for everybody, so that the time tells nobody what was wrong.
        const isRight = verify(found?.verifier ?? nobody, request.application, given)
        if (!isMine || found === undefined || !isRight) {
          return Effect.fail(new AccessDenied({ reason: "CredentialInvalid", description: authFailed(given.dialect) }))
        }
        return granted(found, given.user, request)
      })

    const granted = (found: Login, user: string, request: AccessRequest): Effect.Effect<AccessGrant, AccessDenied> => {
      switch (found.scope.fault(request, clock.currentTimeMillisUnsafe())) {
        case "Expired":
          return Effect.fail(AccessMethod.expired)
        case "OutOfScope":
          return Effect.fail(AccessMethod.notAllowed)
        case undefined:
          return Effect.succeed({ ...grantOf(found, request), user, proof: proofOf(found) })
      }
    }

    return {
      name: "login",
      challenges: (request) => parameters(request.query) !== undefined || asks(request),
      check: (request) => {
        if (request.action !== "connect") {
          const { proof, user } = request.login ?? {}
          if (user === undefined) return Effect.succeed(undefined)
          return Effect.flatMap(settings.lookup(user), (found) =>
            found === undefined || proof !== proofOf(found)
              ? Effect.fail(AccessMethod.invalid)
              : granted(found, user, request)
          )
        }
        const given = parameters(request.query)
        if (given !== undefined) {
          if (isUserName(given.user)) return login(given, request)
          return Effect.fail(new AccessDenied({ reason: "CredentialInvalid", description: authFailed(given.dialect) }))
        }
        return asks(request) ? Effect.fail(asked(needAuth(dialect))) : Effect.succeed(undefined)
      }
    }
  })

/** Asks for user and password, and for nothing else. */
export const layer = (
  settings: AdobeAuthSettings
): Layer.Layer<Authenticator, AccessMethod.AccessSettingsError, RtmpCrypto> =>
  Layer.effect(Authenticator, Effect.map(make(settings), AccessMethod.authenticator))

/** Makes a salt for a new password. */
export const newSalt = (randomBytes: (count: number) => Uint8Array): string => saltText(randomBytes(saltBytes))

/** Finds users in a fixed list. Names that a description cannot carry are an error. */
export const lookupIn = (
  users: ReadonlyArray<{ readonly user: string; readonly password: string; readonly scope?: AccessScope.AccessScope }>,
  randomBytes: (count: number) => Uint8Array
): Result.Result<AdobeAuthSettings["lookup"], AccessMethod.AccessSettingsError> =>
  Result.gen(function* () {
    const logins = new Map<string, Login>()
    for (const { password, scope, user } of users) {
      if (!isUserName(user)) {
        const problem = "a user name has up to 64 letters, digits and . _ ~ @ -"
        return yield* Result.fail(new AccessMethod.AccessSettingsError({ setting: "user", problem }))
      }
      logins.set(user, {
        verifier: verifierOf(user, newSalt(randomBytes), password),
        scope: yield* AccessScope.make(scope ?? {}),
        credential: `user:${user}`
      })
    }
    return (user: string) => Effect.sync(() => logins.get(user))
  })

const saltBytes = 9
const tokenBytes = 18

const grantOf = (found: Login, request: AccessRequest): AccessGrant => ({
  credential: found.credential,
  ...(found.publishAs === undefined || request.action !== "publish" ? {} : { stream: found.publishAs })
})

const asked = (description: string): AccessDenied => new AccessDenied({ reason: "CredentialMissing", description })

const nobody: Verifier = { salt: "", adobe: "", llnw: "" }

/** A parameter as it came: base64 has `+`, `/` and `=`, and no client escapes them. */
const raw = (query: string, name: string): string | undefined => {
  for (const pair of query.split("&")) if (pair.startsWith(`${name}=`)) return pair.slice(name.length + 1)
  return undefined
}

/**
 * A value without what librtmp, where it was built with nettle, leaves behind its base64: that always ends with its padding
 * there. Other clients send hexadecimal digits, or nothing behind.
 */
const ended = (value: string | undefined): string | undefined =>
  value === undefined ? undefined : (/^[A-Za-z0-9+/]+==/.exec(value)?.[0] ?? value)

// What stands unescaped in a description and in a query: letters and digits.
const saltText = (bytes: Uint8Array): string => Hex.encode(bytes)

const md5 = (text: string): Uint8Array => Digest.md5.implementation!(Bytes.fromUtf8(text))
const md5Base64 = (text: string): string => Base64.encode(md5(text))
const md5Hex = (text: string): string => Hex.encode(md5(text))
