/**
 * A certificate with its key: read, checked and described, before anything is served with it.
 */
import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import * as FsPromises from "node:fs/promises"
import * as Effect from "effect/Effect"
import { CertificateError, type CertificateErrorReason, type CertificateSource } from "../server/Certificates.ts"
import * as AtomicFile from "./AtomicFile.ts"

/**
 * A certificate that fits its key.
 *
 * - `chain`: PEM of the certificate and of those behind it. `key`: PEM of the private key.
 * - `names`: host names and addresses that it is for, in lower case; a name may begin with `*.`.
 * - the rest as in `CertificateStatus`.
 */
export interface Certificate {
  readonly source: CertificateSource
  readonly path: string
  readonly chain: string
  readonly key: string
  readonly names: ReadonlyArray<string>
  readonly issuer: string
  readonly notBefore: number
  readonly notAfter: number
  readonly publicKeySha256: string
}

/** The longest file that is read, in bytes. */
export const maxFileBytes = 1024 * 1024

/** Reads a file of text. Fails with `FileMissing` or `FileUnreadable`. */
export const readText = (path: string): Effect.Effect<string, CertificateError> =>
  Effect.tryPromise({
    try: async () => {
      const file = await FsPromises.open(path)
      try {
        const { size } = await file.stat()
        if (size > maxFileBytes) throw fail("FileUnreadable", path, `is longer than ${maxFileBytes} bytes`)
        return await file.readFile("utf8")
      } finally {
        await file.close()
      }
    },
    catch: (error) => (error instanceof CertificateError ? error : ofSystem(path, error))
  })

/**
 * Checks a certificate and its key, which stand in the files that `path` and `keyPath` name. Whether it is expired is not
 * looked at: a clock may be wrong, and a client that does not mind is better off with it than without.
 */
export const parse = (
  source: CertificateSource,
  files: { readonly path: string; readonly keyPath: string },
  chain: string,
  key: string
): Effect.Effect<Certificate, CertificateError> =>
  Effect.try({
    try: () => {
      const { keyPath, path } = files
      const certificate = certificatesOf(path, chain)[0]!
      if (!certificate.checkPrivateKey(privateKeyOf(keyPath, key))) {
        throw fail("KeyMismatch", keyPath, `is not the key of the certificate in ${path}`)
      }
      return describe(source, path, certificate, chain, key)
    },
    catch: (error) => {
      if (error instanceof CertificateError) return error
      throw error
    }
  })

/** Gives a name in the form in which names are compared: in lower case, and an address of IPv6 in its shortest form. */
export const canonicalName = (name: string): string =>
  name.includes(":") ? (URL.parse(`http://[${name}]`)?.hostname.slice(1, -1) ?? name) : name.toLowerCase()

/** Checks a file of certificates, such as of issuers to trust. Fails with `NotACertificate`. */
export const parseIssuers = (path: string, text: string): Effect.Effect<string, CertificateError> =>
  Effect.try({
    try: () => {
      certificatesOf(path, text)
      return text
    },
    catch: (error) => {
      if (error instanceof CertificateError) return error
      throw error
    }
  })

/**
 * Takes apart a file of revocation lists: PEM of each. What is in them is looked at by whoever makes a context of them. Fails
 * with `NotARevocationList`.
 */
export const parseRevocationLists = (
  path: string,
  text: string
): Effect.Effect<ReadonlyArray<string>, CertificateError> => {
  const lists = text.match(/-----BEGIN X509 CRL-----[\s\S]*?-----END X509 CRL-----/g) ?? []
  const detail = "holds no revocation list in PEM; expected one between BEGIN X509 CRL and END X509 CRL"
  return lists.length > 0 ? Effect.succeed(lists) : Effect.fail(fail("NotARevocationList", path, detail))
}

/** Writes a file whole or not at all. Fails with `StorageFailed`. */
export const write = (path: string, content: string, mode: number): Effect.Effect<void, CertificateError> =>
  Effect.tryPromise({
    try: () => AtomicFile.write(path, content, mode),
    catch: (error) => {
      const code = error instanceof Error && "code" in error ? String(error.code) : String(error)
      const detail = `cannot be written: ${systemWords.get(code) ?? code}`
      return new CertificateError({ reason: "StorageFailed", path, detail })
    }
  })

/** Makes the error of a file that the system gave an error for. */
export const ofSystem = (path: string, error: unknown): CertificateError => {
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown"
  if (code === "ENOENT" || code === "ENOTDIR") return fail("FileMissing", path, "does not exist")
  return fail("FileUnreadable", path, `cannot be read: ${systemWords.get(code) ?? code}`)
}

const systemWords: ReadonlyMap<string, string> = new Map([
  ["EACCES", "permission denied"],
  ["EPERM", "permission denied"],
  ["ENOSPC", "no space left"],
  ["EISDIR", "it is a directory"],
  ["EROFS", "the file system is read-only"],
  ["ENOTDIR", "a part of the path is no directory"]
])

const fail = (reason: CertificateErrorReason, path: string, detail: string): CertificateError =>
  new CertificateError({ reason, path, detail })

const certificatesOf = (path: string, text: string): ReadonlyArray<X509Certificate> => {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) {
    const found = /-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(text)?.[1]
    const what = found === undefined ? "holds no PEM" : `holds ${found.toLowerCase()}`
    throw fail("NotACertificate", path, `${what}; expected a certificate between BEGIN CERTIFICATE and END CERTIFICATE`)
  }
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block)
    } catch {
      throw fail("NotACertificate", path, `its certificate ${index + 1} of ${blocks.length} cannot be understood`)
    }
  })
}

const privateKeyOf = (path: string, text: string): KeyObject => {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw fail("NotAKey", path, "holds no private key in PEM")
  }
  try {
    return createPrivateKey(text)
  } catch (error) {
    const isEncrypted = /ENCRYPTED/.test(text)
    if (isEncrypted)
      throw fail("NotAKey", path, "has a password; store the key without one, readable by its owner only")
    throw fail("NotAKey", path, `its private key cannot be understood (${codeOf(error)})`)
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown"

const describe = (
  source: CertificateSource,
  path: string,
  certificate: X509Certificate,
  chain: string,
  key: string
): Certificate => ({
  source,
  path,
  chain,
  key,
  names: namesOf(certificate),
  issuer: certificate.issuer.replaceAll("\n", ", "),
  notBefore: certificate.validFromDate.getTime(),
  notAfter: certificate.validToDate.getTime(),
  publicKeySha256: publicKeySha256(certificate)
})

/** Gives the SHA-256 of the public key of a certificate (SPKI), in base64. */
const publicKeySha256 = (certificate: X509Certificate): string =>
  createHash("sha256")
    .update(certificate.publicKey.export({ type: "spki", format: "der" }))
    .digest("base64")

/** Alternative names; a certificate that has none, as they once were, is for its common name. */
const namesOf = (certificate: X509Certificate): ReadonlyArray<string> => {
  const names = (certificate.subjectAltName ?? "")
    .split(", ")
    .flatMap((entry) => /^(?:DNS|IP Address):([^"]+)$/.exec(entry)?.[1] ?? [])
    .map(canonicalName)
  if (names.length > 0) return [...new Set(names)]
  const commonName = /^CN=(.+)$/m.exec(certificate.subject)?.[1]
  return commonName === undefined ? [] : [canonicalName(commonName)]
}
