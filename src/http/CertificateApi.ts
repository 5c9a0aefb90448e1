/**
 * The endpoints of the admin API about certificates, and what they show: `CertificateReport` as Schemas.
 */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import type { AcmeStatus, CertificateSource } from "../server/Certificates.ts"
import { Conflict } from "./AdminErrors.ts"
import { Authorization, describe, RequestErrors } from "./AdminMiddleware.ts"

const text = (description: string) => Schema.String.annotate({ description })
const time = (description: string) =>
  Schema.Finite.annotate({ description: `${description}, in milliseconds since 1970 (UTC).` })

/** `CertificateStatus`. */
export const CertificateInfo = Schema.Struct({
  source: Schema.Literals<ReadonlyArray<CertificateSource>>(["file", "acme", "selfSigned"]).annotate({
    description: "Where it comes from: a file, an ACME directory, or the server itself."
  }),
  path: text("The file that it is in."),
  names: Schema.Array(Schema.String).annotate({ description: "Host names and addresses that it is for." }),
  issuer: text("Who signed it."),
  notBefore: time("When it begins to be good"),
  notAfter: time("When it ends"),
  publicKeySha256: text("SHA-256 of its public key (SPKI), in base64, as pins are written."),
  problem: text("Why what has come to take its place was not taken; empty where nothing is wrong.")
}).annotate({ identifier: "Certificate", description: "A certificate in use." })

/** `AcmeStatus`. */
export const AcmeInfo = Schema.Struct({
  state: Schema.Literals<ReadonlyArray<AcmeStatus["state"]>>(["Off", "Waiting", "Ordering"]).annotate({
    description: "`Off`: no names are configured. `Ordering`: a certificate is being obtained now."
  }),
  domains: Schema.Array(Schema.String).annotate({ description: "The names to obtain a certificate for." }),
  directoryUrl: text("The address of the directory; empty where it is off."),
  nextAttemptAt: time("When the next attempt is due, 0 where none is"),
  lastError: text("Why the last attempt failed; empty where it did not.")
}).annotate({ identifier: "Acme", description: "How a certificate is obtained from an ACME directory." })

/** `CertificateReport`. */
export const CertificateReportInfo = Schema.Struct({
  enabled: Schema.Boolean.annotate({ description: "Whether the server serves RTMPS." }),
  certificates: Schema.Array(CertificateInfo).annotate({
    description: "The certificates in use; the first one is for clients that name no host."
  }),
  acme: AcmeInfo
}).annotate({ identifier: "Certificates", description: "The certificates of the server." })

const nothing = Schema.Struct({}).annotate({ description: "An empty object." })

/** The certificates. */
export class CertificatesGroup extends HttpApiGroup.make("certificates")
  .add(
    HttpApiEndpoint.get("list", "/certificates", { success: CertificateReportInfo }).annotateMerge(
      describe("List certificates", "The certificates that RTMPS is served with, when they end, and how ACME is doing.")
    ),
    HttpApiEndpoint.post("reload", "/certificates/reload", {
      payload: nothing,
      success: CertificateReportInfo,
      error: Conflict
    }).annotateMerge(
      describe(
        "Read the certificates again",
        "Takes over what has changed on the disk, which also happens by itself. 409: a file cannot be used; the last good certificate stays."
      )
    ),
    HttpApiEndpoint.post("renew", "/certificates/renew", {
      payload: nothing,
      success: CertificateReportInfo,
      error: Conflict
    }).annotateMerge(
      describe(
        "Renew the certificate of ACME now",
        "Obtains a new certificate, and answers when it is in use, which takes seconds to minutes. 409: none was obtained; the last good one stays."
      )
    )
  )
  .middleware(RequestErrors)
  .middleware(Authorization)
  .prefix("/api/v1")
  .annotateMerge(OpenApi.annotations({ title: "Certificates", description: "What RTMPS is served with." })) {}
