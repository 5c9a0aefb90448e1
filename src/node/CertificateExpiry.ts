/**
 * When certificates end: warnings before, and what health and metrics say of it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { type CheckResult, failed, passed } from "../observability/Health.ts"
import type { CertificateReport, CertificateStatus } from "../server/Certificates.ts"

/** What is known of a certificate that may end. */
export type Mortal = Pick<CertificateStatus, "source" | "path" | "names" | "notBefore" | "notAfter" | "publicKeySha256">

/** Days before the end at which there is a warning. */
export const warningDays = [30, 7, 1] as const

const dayMs = 86_400_000

/** Full days until a certificate ends; negative where it has ended. */
export const daysLeft = ({ notAfter }: Pick<Mortal, "notAfter">, now: number): number =>
  Math.floor((notAfter - now) / dayMs)

/**
 * The warning that is due: 30, 7 or 1 days before the end, 0 after it; undefined where none is.
 *
 * A certificate that renews itself is renewed a third of its life before its end, so what comes before is no news; a
 * certificate for a few days has no warning of 30.
 */
export const stageOf = (certificate: Mortal, now: number): number | undefined => {
  const { notAfter, notBefore, source } = certificate
  const leftMs = notAfter - now
  if (leftMs <= 0) return 0
  const stages = warningDays.filter((days) => {
    const isShort = days * dayMs * 3 > notAfter - notBefore
    return leftMs <= days * dayMs && !isShort && (source === "file" || days < 30)
  })
  return stages.at(-1)
}

/** The warnings of some certificates: each one at each stage once. */
export const make = (certificates: () => ReadonlyArray<Mortal>): { readonly warn: Effect.Effect<void> } => {
  const warned = new Map<string, number>()
  return {
    warn: Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const present = new Set<string>()
      for (const certificate of certificates()) {
        const identity = `${certificate.publicKeySha256} ${certificate.notAfter}`
        present.add(identity)
        const stage = stageOf(certificate, now)
        if (stage === undefined || stage >= (warned.get(identity) ?? Number.POSITIVE_INFINITY)) continue
        warned.set(identity, stage)
        const log = stage <= 1 ? Effect.logError : Effect.logWarning
        yield* log(stage === 0 ? "certificate has ended" : "certificate ends soon", {
          path: certificate.path,
          names: certificate.names.join(", "),
          daysLeft: daysLeft(certificate, now),
          notAfter: new Date(certificate.notAfter).toISOString()
        })
      }
      for (const identity of warned.keys()) if (!present.has(identity)) warned.delete(identity)
    })
  }
}

/** When the first of the certificates ends, in milliseconds since 1970; 0 where there is none. */
export const firstEnd = (certificates: ReadonlyArray<Mortal>): number =>
  certificates.length === 0 ? 0 : Math.min(...certificates.map(({ notAfter }) => notAfter))

/**
 * The check `certificate`. It fails where no certificate is good any more and none is being obtained; a server that waits
 * for its first one must be reachable, because the directory looks whether it is. All else is a remark.
 */
export const check = ({ acme, certificates }: CertificateReport): Effect.Effect<CheckResult> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const remarks = certificates.flatMap((certificate) => {
      const name = certificate.names[0] ?? certificate.path
      const stage = stageOf(certificate, now)
      const end =
        stage === undefined ? [] : [stage === 0 ? `${name} has ended` : `${name} ends in ${words(certificate, now)}`]
      return certificate.problem === "" ? end : [...end, `${name} is the last good one: ${certificate.problem}`]
    })
    if (acme.lastError !== "") remarks.push(`not obtained: ${acme.lastError}`)
    const isGood = certificates.some(({ notAfter, notBefore }) => notBefore <= now && now < notAfter)
    if (certificates.length === 0) remarks.unshift("there is no certificate yet")
    if (!isGood && acme.state === "Off") return failed(remarks.join("; "))
    return remarks.length === 0 ? passed : { ok: true, reason: remarks.join("; ") }
  })

const words = (certificate: Mortal, now: number): string => {
  const days = daysLeft(certificate, now)
  return days < 1 ? "less than a day" : days === 1 ? "1 day" : `${days} days`
}
