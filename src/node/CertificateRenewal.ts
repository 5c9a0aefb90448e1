/**
 * Keeps a certificate of an ACME directory in use: obtains the first one, renews it in time, and tries again where that fails.
 *
 * The last good certificate stays whatever happens. It lies on the disk with its key, in one file, and so does the key of
 * the account; each directory has a place of its own, so that a certificate of a directory for tests is never taken for a
 * real one.
 */
import { createHash } from "node:crypto"
import * as Path from "node:path"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { RtmpConfigData } from "../config/RtmpConfig.ts"
import { inRoom } from "../observability/LogLevels.ts"
import { type AcmeStatus, acmeOff, CertificateError } from "../server/Certificates.ts"
import * as CertificateFile from "./CertificateFile.ts"
import type { AcmeChallenges } from "./NodeAcmeChallenges.ts"

type TlsSettings = RtmpConfigData["tls"]

/**
 * Pauses between attempts that fail: from two minutes, doubling, up to six hours, each a fifth more or less. A directory
 * such as Let's Encrypt allows five failures in an hour.
 */
export const retrySchedule: Schedule.Schedule<unknown> = Schedule.jittered(
  Schedule.min([Schedule.exponential("2 minutes"), Schedule.spaced("6 hours")])
)

/** The least pause where the directory says that it was asked too often. */
export const rateLimitPause = "1 hour"

/** The longest time that nobody looks at the clock: it may have been set meanwhile, or the machine asleep. */
const maxSleep = "12 hours"

const dayMs = 86_400_000

/** What the renewal works on: the settings and the certificate in force, and how a new one is put to use. */
export interface RenewalTarget {
  readonly settings: () => TlsSettings
  readonly current: () => CertificateFile.Certificate | undefined
  readonly install: (certificate: CertificateFile.Certificate) => Effect.Effect<void, CertificateError>
  readonly challenges: AcmeChallenges
}

/**
 * The renewal of one certificate.
 *
 * - `status`: how it is doing.
 * - `renew`: obtains a certificate now. Whoever asks while one is being obtained waits for that one.
 * - `keep`: obtains and renews in time, until it is interrupted.
 * - `settingsChanged`: has `keep` look at the settings again.
 */
export interface Renewal {
  readonly status: () => AcmeStatus
  readonly renew: Effect.Effect<void, CertificateError>
  readonly keep: Effect.Effect<never>
  readonly settingsChanged: Effect.Effect<void>
}

/** Where the certificate of a directory is kept, with its key. */
export const fileOf = ({ acme, directory }: TlsSettings): string =>
  Path.join(homeOf(directory, acme.directoryUrl), "certificate.pem")

/** Gives the certificate that is kept, and nothing where there is none. What cannot be read or used is an error. */
export const load = (settings: TlsSettings): Effect.Effect<CertificateFile.Certificate | undefined, CertificateError> =>
  Effect.gen(function* () {
    const path = fileOf(settings)
    const text = yield* CertificateFile.readText(path)
    return yield* CertificateFile.parse("acme", { path, keyPath: path }, text, text)
  }).pipe(
    Effect.catchIf(
      (error) => error.reason === "FileMissing",
      () => Effect.succeed(undefined)
    )
  )

/**
 * When a certificate is to be renewed, in milliseconds since 1970: `renewBeforeDays` before its end, or at two thirds of its
 * life where that is later; `share`, from 0 to 1, puts it off by up to a tenth of what is left then, so that not all servers
 * of the world come at the same time.
 */
export const renewAt = (
  { notAfter, notBefore }: Pick<CertificateFile.Certificate, "notAfter" | "notBefore">,
  renewBeforeDays: number,
  share: number
): number => {
  const leftMs = Math.min(renewBeforeDays * dayMs, (notAfter - notBefore) / 3)
  return notAfter - Math.floor(leftMs - (leftMs * share) / 10)
}

/** Makes the renewal of a certificate. */
export const make = (target: RenewalTarget): Effect.Effect<Renewal, never, Scope.Scope> =>
  Effect.gen(function* () {
    const wake = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
    const oneAtATime = yield* Semaphore.make(1)
    const share = yield* Random.next
    let isOrdering = false
    let notBefore = 0
    let lastError = ""
    let obtained = 0

    const order = Effect.gen(function* () {
      const settings = target.settings()
      const certificate = yield* obtain(settings, target.challenges)
      yield* target.install(certificate)
      obtained++
      yield* Effect.logInfo("certificate obtained", {
        names: certificate.names.join(", "),
        issuer: certificate.issuer,
        notAfter: new Date(certificate.notAfter).toISOString()
      })
      // In use already: a disk that is full is no reason to ask for another one.
      const stored = CertificateFile.write(certificate.path, `${certificate.key}\n${certificate.chain}`, 0o600)
      yield* Effect.catch(stored, (error) => Effect.logError("certificate not kept", { detail: error.message }))
      lastError = ""
    }).pipe(
      Effect.tapError((error) =>
        Effect.suspend(() => {
          lastError = error.message
          return Effect.logError("no certificate was obtained", {
            reason: error.reason,
            detail: error.message,
            lastGood: target.current() === undefined ? "none" : "stays"
          })
        })
      )
    )

    const exclusively = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Semaphore.withPermit(
        oneAtATime,
        Effect.suspend(() => {
          isOrdering = true
          return effect
        }).pipe(
          Effect.ensuring(
            Effect.sync(() => {
              isOrdering = false
            })
          )
        )
      ).pipe(inRoom("tls"))

    const dueAt = (): number => {
      const { acme } = target.settings()
      const certificate = target.current()
      if (certificate === undefined) return 0
      const isFor = new Set(certificate.names)
      if (!acme.domains.every((name) => isFor.has(CertificateFile.canonicalName(name)))) return 0
      return renewAt(certificate, acme.renewBeforeDays, share)
    }

    const renew = Effect.suspend(() => {
      if (target.settings().acme.domains.length === 0) return off
      const before = obtained
      return exclusively(Effect.suspend(() => (obtained === before ? order : Effect.void)))
    }).pipe(Effect.andThen(Queue.offer(wake, undefined)), Effect.asVoid)

    /** Sleeps until a moment, or until somebody wakes it. */
    const sleepUntil = (at: number) =>
      Effect.gen(function* () {
        const ms = Math.min(at - (yield* Clock.currentTimeMillis), Duration.toMillis(maxSleep))
        yield* Effect.timeoutOption(Queue.take(wake), Math.max(0, ms))
      })

    const keep = Effect.gen(function* () {
      let step = yield* Schedule.toStep(retrySchedule)
      while (true) {
        const now = yield* Clock.currentTimeMillis
        if (target.settings().acme.domains.length === 0) {
          notBefore = 0
          yield* Queue.take(wake)
          continue
        }
        const at = Math.max(dueAt(), notBefore)
        if (now < at) {
          yield* sleepUntil(at)
          continue
        }
        const result = yield* Effect.result(exclusively(Effect.suspend(() => (dueAt() <= now ? order : Effect.void))))
        if (result._tag === "Success") {
          step = yield* Schedule.toStep(retrySchedule)
          notBefore = 0
          continue
        }
        const failedAt = yield* Clock.currentTimeMillis
        const pause = yield* Pull.matchEffect(step(failedAt, undefined), {
          onSuccess: ([, duration]) => Effect.succeed(Duration.toMillis(duration)),
          onDone: () => Effect.succeed(Duration.toMillis(maxSleep)),
          onFailure: () => Effect.succeed(Duration.toMillis(maxSleep))
        })
        const least = result.failure.reason === "AcmeRateLimited" ? Duration.toMillis(rateLimitPause) : 0
        notBefore = failedAt + Math.ceil(Math.max(pause, least))
      }
    })

    return {
      status: (): AcmeStatus => {
        const { domains, directoryUrl } = target.settings().acme
        if (domains.length === 0) return acmeOff
        const nextAttemptAt = Math.max(dueAt(), notBefore)
        return { state: isOrdering ? "Ordering" : "Waiting", domains, directoryUrl, nextAttemptAt, lastError }
      },
      renew,
      keep,
      settingsChanged: Effect.asVoid(Queue.offer(wake, undefined))
    }
  })

const off = Effect.fail(
  new CertificateError({
    reason: "AcmeOff",
    path: "tls.acme.domains",
    detail: "no names are configured to obtain a certificate for"
  })
)

/** Obtains a certificate that is right in every way, and not yet in use. */
const obtain = (
  settings: TlsSettings,
  challenges: AcmeChallenges
): Effect.Effect<CertificateFile.Certificate, CertificateError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { acme } = settings
      const NodeAcme = yield* Effect.promise(() => import("./NodeAcme.ts"))
      const accountKey = yield* accountKeyOf(settings, NodeAcme.makeKey)
      const ca = acme.caFile === "" ? undefined : yield* CertificateFile.readText(acme.caFile)
      if (acme.challenge === "http-01") yield* challenges.serve(acme.httpHost, acme.httpPort)
      const { domains, email, directoryUrl, challenge, eab } = acme
      const { chain, key } = yield* NodeAcme.obtain(
        {
          domains,
          email,
          directoryUrl,
          challenge,
          accountKey,
          ...(eab.kid === "" ? {} : { eab }),
          ...(ca === undefined ? {} : { ca })
        },
        challenges
      )
      const path = fileOf(settings)
      return yield* CertificateFile.parse("acme", { path, keyPath: path }, chain, key)
    })
  )

const accountKeyOf = (
  { acme, directory }: TlsSettings,
  makeKey: Effect.Effect<string>
): Effect.Effect<string, CertificateError> => {
  // A key stays bound to the account that it was shown with first.
  const { kid } = acme.eab
  const name = kid === "" ? "account.pem" : `account-${createHash("sha256").update(kid).digest("hex").slice(0, 16)}.pem`
  const path = Path.join(homeOf(directory, acme.directoryUrl), name)
  return Effect.catchIf(
    CertificateFile.readText(path),
    (error) => error.reason === "FileMissing",
    () => Effect.tap(makeKey, (key) => CertificateFile.write(path, key, 0o600))
  )
}

/** A directory of the file system for one of ACME, by its host and path. */
const homeOf = (directory: string, url: string): string =>
  Path.join(
    directory,
    "acme",
    url
      .replace(/^https:\/\//, "")
      .replace(/[^A-Za-z0-9.-]+/g, "_")
      .slice(0, 100)
  )
