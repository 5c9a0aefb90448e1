/**
 * Certificates for development: made here, signed by themselves, and trusted by no client that was not told to.
 */
import * as Os from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type { CertificateError } from "../server/Certificates.ts"
import * as CertificateFile from "./CertificateFile.ts"

/** How long such a certificate is good, in days: as long as the pickiest clients accept. */
export const validDays = 397

/** What is left of its life when it is made anew, in days. */
export const renewBeforeDays = 30

const dayMs = 86_400_000

/** The names of this machine, as clients in development call it. */
export const localNames = (): ReadonlyArray<string> => [
  ...new Set(["localhost", Os.hostname().toLowerCase(), "127.0.0.1", "::1"])
]

/** Makes a key (P-256) and a certificate for some names and addresses, good from the moment `now`, both in PEM. */
export const make = (
  names: ReadonlyArray<string>,
  now: number
): Effect.Effect<{ readonly chain: string; readonly key: string }> =>
  Effect.promise(async () => {
    const x509 = await import("@peculiar/x509")
    const { subtle } = globalThis.crypto
    const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" }
    const keys = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"])
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: [{ CN: [names[0] ?? "localhost"] }, { O: ["effect-rtmp self-signed"] }],
      // Clocks of clients may be a little behind.
      notBefore: new Date(now - 3_600_000),
      notAfter: new Date(now + validDays * dayMs),
      keys,
      signingAlgorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(
          names.map((value) => ({ type: isAddress(value) ? ("ip" as const) : ("dns" as const), value }))
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey)
      ]
    })
    const key = x509.PemConverter.encode(await subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY")
    return { chain: `${certificate.toString("pem")}\n`, key: `${key}\n` }
  })

/** Where the two files are, below a directory. */
export const pathsIn = (directory: string): { readonly path: string; readonly keyPath: string } => ({
  path: Path.join(directory, "self-signed", "certificate.pem"),
  keyPath: Path.join(directory, "self-signed", "key.pem")
})

/**
 * Gives the certificate that is kept in a directory, and makes one where there is none, where it is about to end, or where
 * it is not for all of the names. `isNew` tells which it was. Fails with `StorageFailed`.
 */
export const obtain = (
  directory: string,
  names: ReadonlyArray<string>,
  now: number
): Effect.Effect<{ readonly certificate: CertificateFile.Certificate; readonly isNew: boolean }, CertificateError> =>
  Effect.gen(function* () {
    const files = pathsIn(directory)
    const kept = yield* Effect.option(load(files))
    if (kept._tag === "Some") {
      const { notAfter, notBefore } = kept.value
      const isGood = notBefore <= now && notAfter - now > renewBeforeDays * dayMs
      if (isGood && names.every((name) => kept.value.names.includes(CertificateFile.canonicalName(name)))) {
        return { certificate: kept.value, isNew: false }
      }
    }
    const { chain, key } = yield* make(names, now)
    yield* CertificateFile.write(files.keyPath, key, 0o600)
    yield* CertificateFile.write(files.path, chain, 0o644)
    return { certificate: yield* CertificateFile.parse("selfSigned", files, chain, key), isNew: true }
  })

const load = (files: {
  readonly path: string
  readonly keyPath: string
}): Effect.Effect<CertificateFile.Certificate, CertificateError> =>
  Effect.gen(function* () {
    const chain = yield* CertificateFile.readText(files.path)
    const key = yield* CertificateFile.readText(files.keyPath)
    return yield* CertificateFile.parse("selfSigned", files, chain, key)
  })

const isAddress = (name: string): boolean => name.includes(":") || /^\d{1,3}(?:\.\d{1,3}){3}$/.test(name)
