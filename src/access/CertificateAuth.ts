/**
 * Client certificates: whoever shows one that a trusted authority has signed needs no other credential.
 *
 * That the certificate is genuine has been found out by TLS; here it is only looked up who may do what. A certificate that
 * no rule names is no refusal: its owner may have another credential.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as AccessMethod from "./AccessMethod.ts"
import * as AccessScope from "./AccessScope.ts"
import { type AccessGrant, Authenticator, type ClientCertificate } from "./Authenticator.ts"

/**
 * Who may do what.
 *
 * - `id`: what the identity is called; grants carry `certificate:` and it.
 * - `name`: pattern as in `NamePattern`, compared with the subject (`CN=studio-1,O=Example`), with each alternative name
 *   (`DNS:studio-1.example`, `email:ann@example.org`), and with `spki:` and the SHA-256 of the public key in base64.
 * - `publishAs`: canonical name to publish instead of the one that is asked for.
 */
export interface CertificateRule extends AccessScope.AccessScope {
  readonly id: string
  readonly name: string
  readonly publishAs?: string
}

/** Makes the method; the first rule that names the certificate counts. Its name is `certificate`. */
export const make = (
  rules: ReadonlyArray<CertificateRule>
): Result.Result<AccessMethod.AccessMethod, AccessMethod.AccessSettingsError> =>
  Result.gen(function* () {
    const compiled: Array<{
      readonly rule: CertificateRule
      readonly covers: (name: string) => boolean
      readonly scope: AccessScope.CompiledScope
    }> = []
    for (const rule of rules) {
      const { matches: covers } = yield* AccessScope.pattern("name", rule.name)
      compiled.push({ rule, covers, scope: yield* AccessScope.make(rule) })
    }
    return {
      name: "certificate",
      check: (request) =>
        Effect.flatMap(Clock.currentTimeMillis, (nowMs) => {
          const { certificate } = request
          if (certificate === undefined) return Effect.succeed(undefined)
          const names = namesOf(certificate)
          const found = compiled.find(({ covers }) => names.some(covers))
          if (found === undefined) return Effect.succeed(undefined)
          const { rule, scope } = found
          const { publishAs } = rule
          const renames = publishAs !== undefined && request.action === "publish"
          switch (scope.fault(renames ? { ...request, stream: publishAs } : request, nowMs)) {
            case "Expired":
              return Effect.fail(AccessMethod.expired)
            case "OutOfScope":
              return Effect.fail(AccessMethod.notAllowed)
            case undefined: {
              const credential = `certificate:${rule.id}`
              const grant: AccessGrant = renames ? { credential, stream: publishAs } : { credential }
              return Effect.succeed(grant)
            }
          }
        })
    }
  })

/** Asks for a certificate, and for nothing else. */
export const layer = (
  rules: ReadonlyArray<CertificateRule>
): Layer.Layer<Authenticator, AccessMethod.AccessSettingsError> =>
  Layer.effect(Authenticator, Effect.map(Effect.fromResult(make(rules)), AccessMethod.authenticator))

const namesOf = ({ names, publicKeySha256, subject }: ClientCertificate): ReadonlyArray<string> => [
  subject,
  ...names,
  `spki:${publicKeySha256}`
]
