/**
 * What an `AuthCallback` says and what it is answered: bodies, signatures and answers, without any network.
 */
import * as Hex from "effect/encoding/Hex"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Bytes from "../protocol/Bytes.ts"
import type { RtmpCryptoShape } from "../protocol/Crypto.ts"
import * as RtmpUrl from "../protocol/RtmpUrl.ts"
import type { AccessGrant, AccessRequest } from "./Authenticator.ts"

/** How the body is written. `form` has the field names of nginx-rtmp. */
export type CallbackFormat = "json" | "form"

/** What is told: a question, or that what was granted has ended. The words are those of nginx-rtmp. */
export type CallbackCall = "connect" | "publish" | "play" | "disconnect" | "publish_done" | "play_done"

/** The word for a request, or for its end. */
export const callOf = (request: AccessRequest, ended: boolean): CallbackCall => {
  if (!ended) return request.action
  return request.action === "connect" ? "disconnect" : `${request.action}_done`
}

/** The content type of a body. */
export const contentTypeOf = (format: CallbackFormat): string =>
  format === "json" ? "application/json" : "application/x-www-form-urlencoded"

/**
 * Writes a body. JSON: `call`, `app`, `name`, `addr`, `clientid`, `tcurl` and `args`, an object of the query. Form: the same
 * names, and the query's parameters among them as nginx-rtmp has it, but for those that would take another one's place.
 */
export const body = (format: CallbackFormat, call: CallbackCall, request: AccessRequest): string => {
  const fields = {
    call,
    app: request.application,
    name: request.stream,
    addr: request.remoteAddress,
    clientid: request.connectionId,
    tcurl: request.tcUrl ?? ""
  }
  const args = parametersOf(request.query)
  if (format === "json") return JSON.stringify({ ...fields, args: Object.fromEntries(args) })
  const form = new URLSearchParams(fields)
  for (const [name, value] of args) if (!form.has(name)) form.append(name, value)
  return form.toString()
}

/** The signature of a body: hexadecimal HMAC-SHA256 over the time (seconds since 1970), a full stop, and the body. */
export const signature = (crypto: RtmpCryptoShape, secret: Uint8Array, seconds: string, text: string): string =>
  `v1=${Hex.encode(crypto.hmacSha256(secret, Bytes.fromUtf8(`${seconds}.${text}`)))}`

/** An answer as it came: `body` is at most so long, and `undefined` where it was longer or could not be read. */
export interface CallbackResponse {
  readonly status: number
  readonly contentType: string
  readonly location: string
  readonly body: string | undefined
}

/** What an answer means. `Broken` is none. */
export type CallbackAnswer =
  | { readonly _tag: "Allow"; readonly grant: AccessGrant }
  | { readonly _tag: "Deny"; readonly reason: "CredentialInvalid" | "NotAllowed"; readonly description: string }
  | { readonly _tag: "Redirect"; readonly redirect: string }
  | { readonly _tag: "Broken"; readonly detail: string }

const Amount = Schema.Number.check(Schema.isGreaterThan(0))

const Allowed = Schema.Struct({
  stream: Schema.optionalKey(Schema.String),
  redirect: Schema.optionalKey(Schema.String),
  user: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(256))),
  limits: Schema.optionalKey(
    Schema.Struct({
      bitsPerSecond: Schema.optionalKey(Amount),
      durationSeconds: Schema.optionalKey(Amount),
      viewers: Schema.optionalKey(Amount)
    })
  )
})

const Denied = Schema.Struct({ reason: Schema.String })

const decodeAllowed = Schema.decodeUnknownResult(Schema.fromJsonString(Allowed))
const decodeDenied = Schema.decodeUnknownResult(Schema.fromJsonString(Denied))

/**
 * Reads an answer.
 *
 * - 2xx allows. A JSON body may hold `stream` (another name), `redirect`, `user` (the identity, for takeovers), and `limits`
 *   (`bitsPerSecond`, `durationSeconds`, `viewers`). Other bodies do not matter.
 * - 3xx with a `Location`: an `rtmp` address redirects, a name renames, as nginx-rtmp has it. It is never followed.
 * - 4xx denies: 401 and 403 as a wrong credential. The reason is the JSON member `reason`, or the first line of plain text.
 * - The rest is no answer.
 */
export const answer = (response: CallbackResponse, request: AccessRequest): CallbackAnswer => {
  const { status } = response
  const isJson = /^application\/(?:[^;]*\+)?json/i.test(response.contentType)
  if (status >= 200 && status < 300) {
    if (!isJson || response.body === "") return { _tag: "Allow", grant: { credential: "" } }
    const decoded = response.body === undefined ? undefined : decodeAllowed(response.body)
    if (decoded === undefined || Result.isFailure(decoded)) return broken("the answer is not what was agreed on")
    return allowed(decoded.success, request)
  }
  if (status >= 300 && status < 400 && response.location !== "") {
    return isRtmp(response.location) ? redirected(response.location) : renamed(response.location, {}, request)
  }
  if (status >= 400 && status < 500) {
    return {
      _tag: "Deny",
      reason: status === 401 || status === 403 ? "CredentialInvalid" : "NotAllowed",
      description: reasonOf(response, isJson, request)
    }
  }
  return broken(`status ${status}`)
}

/** What a client is told where the answer gives no reason. */
export const defaultReason = "Not allowed."

const broken = (detail: string): CallbackAnswer => ({ _tag: "Broken", detail })

const isRtmp = (address: string): boolean => /^rtmps?:\/\//i.test(address)

const redirected = (redirect: string): CallbackAnswer =>
  redirect.length <= 1024 && isRtmp(redirect) && URL.canParse(redirect)
    ? { _tag: "Redirect", redirect }
    : broken("the redirect is no rtmp address")

const allowed = (decoded: typeof Allowed.Type, request: AccessRequest): CallbackAnswer => {
  if (decoded.redirect !== undefined) return redirected(decoded.redirect)
  const { limits } = decoded
  const extra: Partial<AccessGrant> = {
    ...(decoded.user === undefined ? {} : { credential: `callback:${decoded.user}` }),
    ...(limits === undefined
      ? {}
      : {
          limits: {
            ...(limits.bitsPerSecond === undefined ? {} : { bitsPerSecond: limits.bitsPerSecond }),
            ...(limits.durationSeconds === undefined ? {} : { durationMs: limits.durationSeconds * 1000 }),
            ...(limits.viewers === undefined ? {} : { viewers: limits.viewers })
          }
        })
  }
  return decoded.stream === undefined
    ? { _tag: "Allow", grant: { credential: "", ...extra } }
    : renamed(decoded.stream, extra, request)
}

const renamed = (name: string, extra: Partial<AccessGrant>, request: AccessRequest): CallbackAnswer => {
  const canonical = RtmpUrl.stream(name, request.application)
  if (Result.isFailure(canonical)) return broken("the new name is not that of a stream")
  const renames = request.action !== "connect"
  return { _tag: "Allow", grant: { credential: "", ...extra, ...(renames ? { stream: canonical.success.name } : {}) } }
}

const reasonOf = (response: CallbackResponse, isJson: boolean, request: AccessRequest): string => {
  const text = response.body ?? ""
  let reason = ""
  if (isJson) {
    const decoded = decodeDenied(text)
    if (Result.isSuccess(decoded)) reason = decoded.success.reason
  } else if (/^text\/plain/i.test(response.contentType)) reason = text
  const line = reason.split(/[\r\n]/, 1)[0]!
  const shown = withoutSecrets(line, request)
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, " ")
    .trim()
  return shown === "" ? defaultReason : Array.from(shown).slice(0, 200).join("")
}

/** An answer may repeat what it was asked; secrets of the request are not passed on to logs and screens. */
const withoutSecrets = (text: string, request: AccessRequest): string => {
  const secrets = [request.query, request.tcUrl ?? "", ...parametersOf(request.query).map(([, value]) => value)]
  // As they came, too, and also those behind the first of a name.
  for (const pair of request.query.split("&")) secrets.push(pair.slice(pair.indexOf("=") + 1))
  secrets.sort((left, right) => right.length - left.length)
  let out = text
  for (const secret of secrets) if (secret.length >= 4) out = out.replaceAll(secret, "***")
  return out
}

/** The parameters of a query, each name once: the first one counts, as everywhere. */
const parametersOf = (query: string): ReadonlyArray<readonly [name: string, value: string]> => {
  const found = new Map<string, string>()
  for (const pair of query === "" ? [] : query.split("&")) {
    const name = decoded(pair.split("=", 1)[0]!)
    if (name !== "" && !found.has(name)) found.set(name, RtmpUrl.parameter(pair, name) ?? "")
  }
  return Array.from(found)
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
