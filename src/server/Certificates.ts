/**
 * The certificates of the server, as those see them who look after it: what there is, how long it is good, and what went
 * wrong. Where they come from is the platform's business: `src/node/NodeCertificates.ts` has them from files, from an ACME
 * directory, or makes them.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** Where a certificate comes from. */
export type CertificateSource = "file" | "acme" | "selfSigned"

/**
 * One certificate in use.
 *
 * - `source` and `path`: where it comes from, and the file that it is in.
 * - `names`: host names and addresses that it is for; a name may begin with `*.`.
 * - `issuer`: who signed it, in one line.
 * - `notBefore` and `notAfter`: when it is good, in milliseconds since 1970.
 * - `publicKeySha256`: SHA-256 of its public key (SPKI), in base64, as pins are written.
 * - `problem`: why what has come to take its place was not taken; empty where nothing is wrong.
 */
export interface CertificateStatus {
  readonly source: CertificateSource
  readonly path: string
  readonly names: ReadonlyArray<string>
  readonly issuer: string
  readonly notBefore: number
  readonly notAfter: number
  readonly publicKeySha256: string
  readonly problem: string
}

/**
 * How a certificate is obtained from an ACME directory.
 *
 * `Off`: no names are configured. `Waiting`: until `nextAttemptAt`. `Ordering`: now. `lastError` is why the last attempt
 * failed, and empty where it did not.
 */
export interface AcmeStatus {
  readonly state: "Off" | "Waiting" | "Ordering"
  readonly domains: ReadonlyArray<string>
  readonly directoryUrl: string
  /** When the next attempt is due, in milliseconds since 1970; 0 where none is. */
  readonly nextAttemptAt: number
  readonly lastError: string
}

/** All certificates in use, the one for clients that name no host first. */
export interface CertificateReport {
  readonly enabled: boolean
  readonly certificates: ReadonlyArray<CertificateStatus>
  readonly acme: AcmeStatus
}

/**
 * Why a certificate cannot be used.
 *
 * `FileMissing` and `FileUnreadable` are of the system; `NotACertificate`, `NotAKey` and `NotARevocationList` of what is in the file,
 * `KeyMismatch` of certificate and key together, `NotAccepted` of the TLS library, `SettingsNotAccepted` of settings that it does not accept (ciphers, issuers
 * of clients). `StorageFailed`: what was made could not be kept. The `Acme…` ones are of the directory: it could not be
 * reached, refused the account or the order, found a name not to be ours, asks us to come back later, or took too long;
 * `AcmePortUnavailable`: the port for `http-01` could not be opened.
 */
export type CertificateErrorReason =
  | "FileMissing"
  | "FileUnreadable"
  | "NotACertificate"
  | "NotAKey"
  | "NotARevocationList"
  | "KeyMismatch"
  | "NotAccepted"
  | "SettingsNotAccepted"
  | "StorageFailed"
  | "AcmeOff"
  | "AcmeUnreachable"
  | "AcmeRefused"
  | "AcmeChallengeFailed"
  | "AcmePortUnavailable"
  | "AcmeRateLimited"
  | "AcmeTimedOut"

/** A certificate that cannot be used, or not be had. `path` is the file or the address concerned; `detail` is in words. */
export class CertificateError extends Data.TaggedError("CertificateError")<{
  readonly reason: CertificateErrorReason
  readonly path: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.path}: ${this.detail}`
  }
}

/** What can be asked of the certificates, and done with them. */
export interface CertificatesShape {
  /** What is in use. */
  readonly report: Effect.Effect<CertificateReport>
  /** Reads all files again. What is not right is not taken, and is an error; the last good certificates stay then. */
  readonly reload: Effect.Effect<CertificateReport, CertificateError>
  /** Obtains a new certificate from the ACME directory now, and waits for it; the old one stays where that fails. */
  readonly renew: Effect.Effect<CertificateReport, CertificateError>
}

/** The state of ACME where no names are configured. */
export const acmeOff: AcmeStatus = { state: "Off", domains: [], directoryUrl: "", nextAttemptAt: 0, lastError: "" }

const off: CertificateReport = { enabled: false, certificates: [], acme: acmeOff }

/** The certificates of the server. Where nothing else is provided, there are none: TLS is off. */
export const Certificates: Context.Reference<CertificatesShape> = Context.Reference<CertificatesShape>(
  "effect-rtmp/server/Certificates",
  {
    defaultValue: () => ({
      report: Effect.succeed(off),
      reload: Effect.succeed(off),
      renew: Effect.fail(
        new CertificateError({ reason: "AcmeOff", path: "tls.enabled", detail: "TLS is off on this server" })
      )
    })
  }
)
