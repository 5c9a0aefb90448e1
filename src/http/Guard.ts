/**
 * Who may do what over HTTP: one decision for each request, from its head alone.
 *
 * Where tokens are configured, one of them must come in the `Authorization` header, and it must be one that may write for
 * what is not a mere look. Where none is, the listener must be bound to the loopback, and a request must also come from a
 * program that meant it: its `Host` must name the loopback (a web page whose name was made to resolve to this machine has
 * another one), it must not be sent by the page of another site, and not be passed on by a proxy, behind which may be anybody.
 *
 * Synchronous, with time and hashing from outside. It needs none of Effect's HTTP modules, so that probes can be answered
 * before those are loaded.
 *
 * **Gotchas**
 *
 * Tokens are compared as HMACs under a key that nobody knows, all of them every time: how long that takes says nothing
 * about them.
 *
 * A wrong token does not lock out the right ones of the same address, behind which may be a whole office: after
 * `failuresPerMinute` wrong ones the answer is 429, and a right one still passes. Guessing stays bounded, because after
 * ten times as many nothing is compared any more for the rest of the minute, but for tokens that this address has shown
 * before.
 */
import * as Context from "effect/Context"
import * as Redacted from "effect/Redacted"
import { isLoopback } from "../config/ListenHost.ts"
import type { RtmpCryptoShape } from "../protocol/Crypto.ts"
import { Failures, Familiar } from "./Failures.ts"

export { isLoopback }

/** What the operator says about access: from the configuration, and from the listener. */
export interface GuardPolicy {
  readonly readTokens: ReadonlyArray<Redacted.Redacted<string>>
  readonly writeTokens: ReadonlyArray<Redacted.Redacted<string>>
  readonly failuresPerMinute: number
}

/** The head of a request, as far as it matters. Headers that were not sent are undefined. */
export interface GuardedRequest {
  readonly method: string
  readonly needs: "read" | "write"
  readonly remoteAddress: string
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly fetchSite: string | undefined
  /** Whether a proxy has passed it on. */
  readonly isForwarded: boolean
  readonly authorization: string | undefined
  readonly contentType: string | undefined
}

/** A request that is not let in. `retryAfterSeconds` is 0 but for `TooManyRequests`. */
export interface Refusal {
  readonly reason: "Unauthorized" | "Forbidden" | "UnsupportedMediaType" | "TooManyRequests"
  readonly message: string
  readonly retryAfterSeconds: number
}

/** The status of a refusal. */
export const statusOf: Readonly<Record<Refusal["reason"], number>> = {
  Unauthorized: 401,
  Forbidden: 403,
  UnsupportedMediaType: 415,
  TooManyRequests: 429
}

/** The headers that a refusal carries. */
export const headersOf = (refusal: Refusal): Readonly<Record<string, string>> => {
  switch (refusal.reason) {
    case "Unauthorized":
      return { "www-authenticate": "Bearer" }
    case "TooManyRequests":
      return { "retry-after": String(refusal.retryAfterSeconds) }
    default:
      return {}
  }
}

/** Whether a policy asks for tokens. */
export const hasTokens = (policy: Pick<GuardPolicy, "readTokens" | "writeTokens">): boolean =>
  policy.readTokens.length > 0 || policy.writeTokens.length > 0

/** Tells from the headers of a request whether a proxy has passed it on. */
export const isForwarded = (headers: Readonly<Record<string, unknown>>): boolean =>
  ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"].some((name) => headers[name] !== undefined)

/** Decides who may do what. */
export interface GuardShape {
  /** Gives the reason not to let a request in, or undefined. `nowMs` is of a monotonic clock. */
  readonly check: (request: GuardedRequest, nowMs: number) => Refusal | undefined
  /** Replaces the policy, as a reload of the configuration does. */
  readonly configure: (policy: GuardPolicy) => void
}

/** The guard of the admin API, as a service. */
export class Guard extends Context.Service<Guard, GuardShape>()("effect-rtmp/http/Guard") {}

/** Makes a guard for a listener that only programs on this machine can reach, as far as no token is configured. */
export const make = (crypto: RtmpCryptoShape, initial: GuardPolicy): GuardShape => {
  const key = crypto.randomBytes(32)
  const digest = (token: string): Uint8Array => crypto.hmacSha256(key, encoder.encode(token))
  const failures = new Failures()
  const familiar = new Familiar()
  let policy = initial
  let readers: ReadonlyArray<Uint8Array> = []
  let writers: ReadonlyArray<Uint8Array> = []
  const configure = (next: GuardPolicy): void => {
    policy = next
    readers = next.readTokens.map((token) => digest(Redacted.value(token)))
    writers = next.writeTokens.map((token) => digest(Redacted.value(token)))
  }
  configure(initial)

  const checkToken = (request: GuardedRequest, nowMs: number): Refusal | undefined => {
    const token = bearerToken(request.authorization)
    if (token === undefined) {
      return refuse("Unauthorized", "a bearer token is needed, in the header Authorization")
    }
    const { failuresPerMinute } = policy
    const { remoteAddress } = request
    const given = digest(token)
    const mayWrite = matches(given, writers)
    const mayRead = matches(given, readers)
    const isRight = mayWrite || mayRead
    const isGuessing = failures.blockedMs(remoteAddress, guessesPerFailure * failuresPerMinute, nowMs) > 0
    const isFamiliar = familiar.has(remoteAddress, given)
    if (!isRight || (isGuessing && !isFamiliar)) {
      const blockedMs = failures.blockedMs(remoteAddress, failuresPerMinute, nowMs)
      failures.note(remoteAddress, nowMs)
      if (blockedMs === 0) return refuse("Unauthorized", "the token is not one of those that are configured")
      const seconds = Math.ceil(blockedMs / 1_000)
      return refuse("TooManyRequests", `too many wrong tokens came from here; try again in ${seconds} s`, seconds)
    }
    familiar.note(remoteAddress, given)
    if (request.needs === "write" && !mayWrite) {
      return refuse("Forbidden", "the token may look, but not change anything; http.writeTokens has those that may")
    }
    return undefined
  }

  return {
    configure,
    check: (request, nowMs) =>
      (hasTokens(policy) ? checkToken(request, nowMs) : checkOrigin(request)) ?? checkContentType(request)
  }
}

const encoder = new TextEncoder()

/** How many wrong tokens are compared for each one that is answered with 401. */
const guessesPerFailure = 10

const refuse = (reason: Refusal["reason"], message: string, retryAfterSeconds = 0): Refusal => ({
  reason,
  message,
  retryAfterSeconds
})

const bearerToken = (authorization: string | undefined): string | undefined =>
  /^bearer +([^\s]+) *$/i.exec(authorization ?? "")?.[1]

/** Looks at every digest and every byte, whatever it finds. */
const matches = (given: Uint8Array, digests: ReadonlyArray<Uint8Array>): boolean => {
  let found = 0
  for (const digest of digests) {
    let difference = 0
    for (let i = 0; i < given.length; i++) difference |= given[i]! ^ digest[i]!
    found |= difference === 0 ? 1 : 0
  }
  return found === 1
}

const checkOrigin = ({ fetchSite, host, isForwarded, origin }: GuardedRequest): Refusal | undefined => {
  if (isForwarded) return refuse("Forbidden", "without a token, nobody is let in through a proxy")
  const name = /^(\[[^\]]*\]|[^:]*)(?::\d+)?$/.exec(host ?? "")?.[1]?.toLowerCase() ?? ""
  if (name !== "localhost" && !isLoopback(name.replace(/^\[|\]$/g, ""))) {
    return refuse("Forbidden", "without a token the header Host must name this machine, such as localhost")
  }
  const isForeign = origin !== undefined && origin.toLowerCase() !== `http://${host}`.toLowerCase()
  if (isForeign || (fetchSite !== undefined && fetchSite !== "same-origin" && fetchSite !== "none")) {
    return refuse("Forbidden", "without a token, pages of other web sites are not let in")
  }
  return undefined
}

const checkContentType = ({ contentType, method }: GuardedRequest): Refusal | undefined => {
  if (method === "GET" || method === "HEAD") return undefined
  const type = (contentType ?? "").split(";", 1)[0]!.trim().toLowerCase()
  if (type === "application/json") return undefined
  return refuse("UnsupportedMediaType", "the body must be JSON, with the header Content-Type: application/json")
}
