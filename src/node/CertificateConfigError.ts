/**
 * What is wrong with certificates when a server starts, in the words of a configuration: it names the key that leads there.
 */
import { ConfigError } from "../config/ConfigError.ts"
import { variableOf } from "../config/ConfigKey.ts"
import type { RtmpConfigData } from "../config/RtmpConfig.ts"
import type { CertificateError } from "../server/Certificates.ts"

/** Makes the error of a start out of that of a certificate; `origins` says where keys stand. */
export const make = (
  error: CertificateError,
  { certFile, clientCertificates, keyFile }: RtmpConfigData["tls"],
  origins: ReadonlyMap<string, string>
): ConfigError => {
  const keys = new Map([
    [certFile, "tls.certFile"],
    [keyFile, "tls.keyFile"],
    [clientCertificates.caFile, "tls.clientCertificates.caFile"],
    [clientCertificates.crlFile, "tls.clientCertificates.crlFile"],
    ["tls.ciphers", "tls.ciphers"]
  ])
  const path = error.reason === "StorageFailed" ? "tls.directory" : (keys.get(error.path) ?? "tls.certificates")
  return new ConfigError({
    reason: "Invalid",
    problems: [
      {
        reason: "InvalidValue",
        origin: origins.get(path) ?? variableOf(path),
        path,
        expected: expectedAt[path] ?? "certificates and keys that can be used",
        found: error.path === path ? error.detail : error.message
      }
    ]
  })
}

const expectedAt: Readonly<Record<string, string>> = {
  "tls.certFile": "the file of a certificate in PEM",
  "tls.keyFile": "the file of the key of that certificate in PEM",
  "tls.clientCertificates.caFile": "a file with certificates of issuers in PEM",
  "tls.clientCertificates.crlFile": "a file with revocation lists in PEM",
  "tls.ciphers": "ciphers that the TLS library knows",
  "tls.directory": "a directory that can be written to"
}
