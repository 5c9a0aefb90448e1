/**
 * Signed addresses: whoever holds one may do one thing with one stream until it expires.
 *
 * The signature is HMAC-SHA256 over action, application, stream, expiry and, where the address is for one client only, the
 * client's IP address; the server keeps nothing of it. It travels in the query: `expires` (seconds since 1970), `sig`
 * (hexadecimal), and `bound=1` where it is for one client.
 *
 * Names cannot hold line breaks, so the lines that are signed cannot be read in two ways.
 */
import * as Clock from "effect/Clock"
import * as Mac from "effect/crypto/Mac"
import * as Effect from "effect/Effect"
import * as Hex from "effect/encoding/Hex"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Bytes from "../protocol/Bytes.ts"
import { RtmpCrypto, type RtmpCryptoShape } from "../protocol/Crypto.ts"
import * as RtmpUrl from "../protocol/RtmpUrl.ts"
import * as AccessMethod from "./AccessMethod.ts"
import * as Address from "./Address.ts"
import { Authenticator } from "./Authenticator.ts"

/**
 * The settings of signed addresses.
 *
 * - `secrets`: the first one signs, all of them verify, so that they can be changed without breaking what is out. Each has
 *   at least 16 bytes.
 */
export interface SignedUrlsSettings {
  readonly secrets: ReadonlyArray<Redacted.Redacted<string>>
}

/**
 * What is signed. Names are canonical; `expiresAtMs` is in milliseconds since 1970 and counts in whole seconds. With
 * `address`, only the client with that IP address may use it.
 */
export interface SignedGrant {
  readonly action: "publish" | "play"
  readonly application: string
  readonly stream: string
  readonly expiresAtMs: number
  readonly address?: string
}

/** Makes and verifies signed addresses. */
export interface SignedUrls {
  /** The query to append to the stream's address, without a question mark. `address` must be an IP address. */
  readonly sign: (grant: SignedGrant) => Result.Result<Redacted.Redacted<string>, AccessMethod.AccessSettingsError>
  /** Answers requests. Its name is `signed`. */
  readonly method: AccessMethod.AccessMethod
}

/** The shortest secret that is accepted, in bytes. */
export const minSecretBytes = 16

/** Makes signer and verifier. They read the clock of the fiber. */
export const make = (
  settings: SignedUrlsSettings
): Effect.Effect<SignedUrls, AccessMethod.AccessSettingsError, RtmpCrypto> =>
  Effect.gen(function* () {
    const crypto = yield* RtmpCrypto
    const clock = yield* Clock.Clock
    const secrets = settings.secrets.map((secret) => Bytes.fromUtf8(Redacted.value(secret)))
    if (secrets.length === 0 || secrets.some((secret) => secret.length < minSecretBytes)) {
      const problem = `needs at least one secret, each of at least ${minSecretBytes} bytes`
      return yield* new AccessMethod.AccessSettingsError({ setting: "secrets", problem })
    }
    return { sign: (grant) => sign(crypto, secrets[0]!, grant), method: method(crypto, clock, secrets) }
  })

/** Asks for a signed address, and for nothing else. */
export const layer = (
  settings: SignedUrlsSettings
): Layer.Layer<Authenticator, AccessMethod.AccessSettingsError, RtmpCrypto> =>
  Layer.effect(
    Authenticator,
    Effect.map(make(settings), ({ method }) => AccessMethod.authenticator(method))
  )

const sign = (
  crypto: RtmpCryptoShape,
  secret: Uint8Array,
  grant: SignedGrant
): Result.Result<Redacted.Redacted<string>, AccessMethod.AccessSettingsError> => {
  const address = grant.address === undefined ? "" : normal(grant.address)
  if (address === undefined) {
    return Result.fail(new AccessMethod.AccessSettingsError({ setting: "address", problem: "is no IP address" }))
  }
  const seconds = Math.floor(grant.expiresAtMs / 1000)
  if (!(seconds >= 0 && seconds <= maxSeconds)) {
    return Result.fail(new AccessMethod.AccessSettingsError({ setting: "expiresAtMs", problem: "is no time" }))
  }
  const signature = crypto.hmacSha256(secret, signed(grant, String(seconds), address))
  const query = `expires=${seconds}&sig=${Hex.encode(signature)}`
  return Result.succeed(Redacted.make(address === "" ? query : `${query}&bound=1`))
}

const method = (
  crypto: RtmpCryptoShape,
  clock: Clock.Clock,
  secrets: ReadonlyArray<Uint8Array>
): AccessMethod.AccessMethod => ({
  name: "signed",
  check: (request) => {
    if (request.action === "connect") return Effect.succeed(undefined)
    const given = RtmpUrl.parameter(request.query, "sig")
    const expires = RtmpUrl.parameter(request.query, "expires")
    if (given === undefined || expires === undefined) return Effect.succeed(undefined)
    const bound = RtmpUrl.parameter(request.query, "bound") === "1"
    const address = bound ? normal(request.remoteAddress) : ""
    const tag = Hex.decode(given)
    if (address === undefined || !/^\d{1,12}$/.test(expires) || Result.isFailure(tag)) {
      return Effect.fail(AccessMethod.invalid)
    }
    const lines = signed(request, expires, address)
    let valid = false
    for (const secret of secrets) {
      if (Mac.timingSafeEqual(crypto.hmacSha256(secret, lines), tag.success)) valid = true
    }
    if (!valid) return Effect.fail(AccessMethod.invalid)
    // Only now: that something has expired is told to who once held it.
    if (clock.currentTimeMillisUnsafe() >= Number(expires) * 1000) return Effect.fail(AccessMethod.expired)
    const path = RtmpUrl.streamKey(request.application, request.stream)
    return Effect.succeed({ credential: `signed:${request.action}:${expires}:${address}:${path}` })
  }
})

// Twelve digits: far beyond any date that is meant.
const maxSeconds = 999_999_999_999

const signed = (
  what: { readonly action: string; readonly application: string; readonly stream: string },
  expires: string,
  address: string
): Uint8Array =>
  Bytes.fromUtf8(
    ["effect-rtmp-url-1", what.action, RtmpUrl.streamKey(what.application, what.stream), expires, address].join("\n")
  )

const normal = (text: string): string | undefined => {
  const address = Address.parse(text)
  return address === undefined ? undefined : NetAddress.formatIp(address)
}
