/**
 * What the endpoints about certificates do: they translate between HTTP and `Certificates`.
 */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { type CertificateError, Certificates } from "../server/Certificates.ts"
import { AdminApi } from "./AdminApi.ts"
import { Conflict } from "./AdminErrors.ts"

const toConflict = ({ message }: CertificateError): Conflict => new Conflict({ message })

/** The endpoints about certificates. */
export const layer = HttpApiBuilder.group(
  AdminApi,
  "certificates",
  Effect.fnUntraced(function* (handlers) {
    const certificates = yield* Certificates
    return handlers.handleAll({
      list: () => certificates.report,
      reload: () => Effect.mapError(certificates.reload, toConflict),
      // Whoever goes away meanwhile leaves it to come to its end: an order that is broken off counts at the directory.
      renew: () => Effect.uninterruptible(Effect.mapError(certificates.renew, toConflict))
    })
  })
)
