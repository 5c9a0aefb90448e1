/**
 * Obtains a certificate from an ACME directory (RFC 8555) once: account, order, challenges, certificate.
 *
 * Nothing here tries again or waits for a better time: `CertificateRenewal` does. The library speaks to one directory at a
 * time, so only one certificate is obtained at a time in a process.
 */
import * as Https from "node:https"
import { setTimeout as sleep } from "node:timers/promises"
import type * as Acme from "acme-client"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { CertificateError, type CertificateErrorReason } from "../server/Certificates.ts"
import type { AcmeChallenges } from "./NodeAcmeChallenges.ts"

/**
 * What to obtain, and where.
 *
 * - `ca`: PEM of issuers to trust in the directory's own address; absent for the usual ones.
 * - `eab`: the account that the directory knows us by already, and the key that shows it (RFC 8555 §7.3.4, base64); absent
 *   where it asks for none.
 * - `accountKey`: PEM of the key that the account at the directory belongs to; the account is made where there is none.
 */
export interface AcmeRequest {
  readonly domains: ReadonlyArray<string>
  readonly email: string
  readonly directoryUrl: string
  readonly ca?: string
  readonly challenge: "http-01" | "tls-alpn-01"
  readonly eab?: { readonly kid: string; readonly hmacKey: Redacted.Redacted<string> }
  readonly accountKey: string
}

/** The longest time that all of it may take. */
export const orderTimeout = "5 minutes"

/** Makes the key of an account, in PEM. */
export const makeKey: Effect.Effect<string> = Effect.promise(async () => {
  const { crypto } = await load()
  return (await crypto.createPrivateEcdsaKey("P-256")).toString()
})

/**
 * Obtains a certificate; gives it with those behind it, and its key, both in PEM. Answers to the challenges are in
 * `challenges` as long as the directory may ask for them. Fails with the reasons that begin with `Acme`.
 */
export const obtain = (
  request: AcmeRequest,
  challenges: AcmeChallenges
): Effect.Effect<{ readonly chain: string; readonly key: string }, CertificateError> =>
  Effect.callback<{ readonly chain: string; readonly key: string }, CertificateError>((resume, signal) => {
    const phase: Phase = { name: "account", problem: undefined }
    order(request, challenges, phase, signal).then(
      (result) => resume(Effect.succeed(result)),
      (error: unknown) => resume(Effect.fail(explain(error, phase, request)))
    )
  }).pipe(
    Effect.timeoutOrElse({
      duration: orderTimeout,
      orElse: () => Effect.fail(failure("AcmeTimedOut", request.directoryUrl, `gave no certificate in ${orderTimeout}`))
    })
  )

/** The pauses between questions whether the directory has come to a conclusion, in milliseconds; they double. */
const firstPollMs = 200
const maxPollMs = 5_000

interface Answer {
  readonly status: number
  readonly data: unknown
}

interface Problem {
  readonly status: number
  readonly type: string
}

/** How far an order is, and the last complaint of the directory: the library passes on no more than its words. */
interface Phase {
  name: "account" | "order" | "challenge" | "certificate"
  problem: Problem | undefined
}

// It is CommonJS, and not all of what it exports is found by name.
const load = async () => (await import("acme-client")).default

type Library = Awaited<ReturnType<typeof load>>

const order = async (
  request: AcmeRequest,
  challenges: AcmeChallenges,
  phase: Phase,
  signal: AbortSignal
): Promise<{ readonly chain: string; readonly key: string }> => {
  const acme = await load()
  const noted = <A extends Answer>(response: A): A => {
    phase.problem = response.status < 400 ? undefined : { status: response.status, type: typeOf(response.data) }
    return response
  }
  const agent = new Https.Agent({ ...(request.ca === undefined ? {} : { ca: request.ca }), keepAlive: false })
  Object.assign(acme.axios.defaults, { httpsAgent: agent, signal, timeout: 30_000, maxContentLength: 1024 * 1024 })
  // What the library has here tries again by itself, and forgets what was wrong with a connection.
  const { interceptors } = acme.axios
  interceptors.response.clear()
  interceptors.response.use(noted, (error: { readonly response?: Answer }) => {
    if (error.response === undefined) throw error
    return noted(error.response)
  })
  try {
    const client = new acme.Client({
      directoryUrl: request.directoryUrl,
      accountKey: request.accountKey,
      ...(request.eab === undefined
        ? {}
        : { externalAccountBinding: { kid: request.eab.kid, hmacKey: Redacted.value(request.eab.hmacKey) } })
    })
    await client.createAccount({
      termsOfServiceAgreed: true,
      ...(request.email === "" ? {} : { contact: [`mailto:${request.email}`] })
    })
    phase.name = "order"
    const order = await client.createOrder({
      identifiers: request.domains.map((value) => ({ type: "dns", value }))
    })
    const authorizations = await client.getAuthorizations(order)
    phase.name = "challenge"
    for (const authorization of authorizations) {
      if (authorization.status === "valid") continue
      await prove(client, acme, request, challenges, authorization, signal)
    }
    phase.name = "certificate"
    const [key, csr] = await acme.crypto.createCsr(
      { altNames: [...request.domains] },
      await acme.crypto.createPrivateEcdsaKey("P-256")
    )
    let finalized = await client.finalizeOrder(order, csr)
    for (let pauseMs = firstPollMs; finalized.status === "processing"; pauseMs *= 2) {
      await sleep(Math.min(pauseMs, maxPollMs), undefined, { signal })
      finalized = await client.getOrder(order)
    }
    const chain = await client.getCertificate(finalized)
    return { chain, key: key.toString() }
  } finally {
    interceptors.response.clear()
    agent.destroy()
  }
}

const prove = async (
  client: Acme.Client,
  acme: Library,
  { challenge: type, directoryUrl }: AcmeRequest,
  challenges: AcmeChallenges,
  authorization: Acme.Authorization,
  signal: AbortSignal
): Promise<void> => {
  const name = authorization.identifier.value
  const challenge = authorization.challenges.find((it) => it.type === type)
  if (challenge === undefined) {
    const offered = authorization.challenges.map((it) => it.type).join(", ")
    throw failure("AcmeRefused", directoryUrl, `does not offer ${type} for ${name}, but ${offered}`)
  }
  const answer = await client.getChallengeKeyAuthorization(challenge)
  // The library asks by the order, of which it looks at nothing else.
  const one = { authorizations: [authorization.url] } as unknown as Acme.Order
  if (type === "http-01") challenges.addToken(challenge.token, answer)
  else {
    const made = await acme.crypto.createPrivateEcdsaKey("P-256")
    const [key, certificate] = await acme.crypto.createAlpnCertificate(authorization, answer, made)
    challenges.addCertificate(name, certificate.toString(), key.toString())
  }
  try {
    await client.completeChallenge(challenge)
    for (let pauseMs = firstPollMs; ; pauseMs *= 2) {
      await sleep(Math.min(pauseMs, maxPollMs), undefined, { signal })
      const told = (await client.getAuthorizations(one))[0]!
      if (told.status === "valid") return
      if (told.status === "pending") continue
      const why = detailOf(told.challenges.find((it) => it.url === challenge.url)?.error)
      throw failure("AcmeChallengeFailed", directoryUrl, `did not find ${name} to be ours: ${why}`)
    }
  } finally {
    challenges.remove(challenge.token, name)
  }
}

const explain = (error: unknown, { name, problem }: Phase, { directoryUrl }: AcmeRequest): CertificateError => {
  if (error instanceof CertificateError) return error
  const said = error instanceof Error ? error.message : String(error)
  if (problem !== undefined) {
    const reason = problem.type.endsWith(":rateLimited") || problem.status === 429 ? "AcmeRateLimited" : "AcmeRefused"
    return failure(reason, directoryUrl, `refused the ${name}: ${words(said)}`)
  }
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined
  if (code !== undefined) return failure("AcmeUnreachable", directoryUrl, `cannot be reached: ${words(said)} (${code})`)
  return failure(name === "challenge" ? "AcmeChallengeFailed" : "AcmeRefused", directoryUrl, words(said))
}

const failure = (reason: CertificateErrorReason, path: string, detail: string): CertificateError =>
  new CertificateError({ reason, path, detail })

const typeOf = (data: unknown): string =>
  typeof data === "object" && data !== null && "type" in data && typeof data.type === "string" ? data.type : ""

const detailOf = (problem: unknown): string =>
  typeof problem === "object" && problem !== null && "detail" in problem
    ? words(String(problem.detail))
    : "no reason given"

/** What a directory says is for a log line. */
const words = (text: string): string => text.replace(/\s+/g, " ").slice(0, 500)
