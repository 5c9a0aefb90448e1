/** A certificate authority that a test makes for itself, and what it issues. */
import { createHash, type webcrypto, X509Certificate } from "node:crypto"
import * as x509 from "@peculiar/x509"

/** A certificate with its key, both in PEM, and the pin of the key (SHA-256 of the SPKI, base64). */
export interface Issued {
  readonly certificate: string
  readonly key: string
  readonly publicKeySha256: string
}

/** An authority: its own certificate, and the way to others. */
export interface TestAuthority extends Issued {
  /**
   * Issues a certificate. `subject` is a distinguished name, such as `CN=localhost`; `names` are its alternative names.
   * It is for servers and for clients, and good for a day unless `notAfter` says otherwise.
   */
  readonly issue: (options: {
    readonly subject: string
    readonly names?: ReadonlyArray<x509.JsonGeneralName>
    readonly notAfter?: Date
  }) => Promise<Issued>
  /** Makes the list (CRL, PEM) of those of its certificates that count no more. It holds for a day unless `until` says otherwise. */
  readonly revoke: (certificates: ReadonlyArray<Issued>, until?: Date) => Promise<string>
}

const { subtle } = globalThis.crypto
const algorithm = { name: "ECDSA", namedCurve: "P-256" }
const signingAlgorithm = { name: "ECDSA", hash: "SHA-256" }
const dayMs = 86_400_000

const pem = async (certificate: x509.X509Certificate, keys: webcrypto.CryptoKeyPair): Promise<Issued> => {
  const text = certificate.toString("pem")
  const spki = new X509Certificate(text).publicKey.export({ type: "spki", format: "der" })
  return {
    certificate: text,
    key: x509.PemConverter.encode(await subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY"),
    publicKeySha256: createHash("sha256").update(spki).digest("base64")
  }
}

/** Makes an authority of some name. */
export const make = async (name: string): Promise<TestAuthority> => {
  const now = Date.now()
  const times = { notBefore: new Date(now - 2 * dayMs), notAfter: new Date(now + dayMs) }
  const keys = await subtle.generateKey(algorithm, true, ["sign", "verify"])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    ...times,
    keys,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature,
        true
      )
    ]
  })
  return {
    ...(await pem(certificate, keys)),
    revoke: async (certificates, until = times.notAfter) => {
      const list = await x509.X509CrlGenerator.create({
        issuer: certificate.subject,
        thisUpdate: times.notBefore,
        nextUpdate: until,
        entries: certificates.map(({ certificate }) => ({
          // Taken for the bytes of an integer, of which the first bit is the sign, and none is too many.
          serialNumber: new X509Certificate(certificate).serialNumber.replace(/^(?=[89A-F])/, "00"),
          revocationDate: times.notBefore,
          reason: x509.X509CrlReason.keyCompromise
        })),
        signingAlgorithm,
        signingKey: keys.privateKey
      })
      return x509.PemConverter.encode(list.rawData, "X509 CRL")
    },
    issue: async ({ names = [], notAfter = times.notAfter, subject }) => {
      const own = await subtle.generateKey(algorithm, true, ["sign", "verify"])
      const issued = await x509.X509CertificateGenerator.create({
        subject,
        issuer: certificate.subject,
        notBefore: times.notBefore,
        notAfter,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
          ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension([...names])] : [])
        ]
      })
      return pem(issued, own)
    }
  }
}

/** Makes a certificate for a server by its host names. */
export const forHosts = (authority: TestAuthority, ...hosts: ReadonlyArray<string>): Promise<Issued> =>
  authority.issue({ subject: `CN=${hosts[0]}`, names: hosts.map((value) => ({ type: "dns" as const, value })) })
