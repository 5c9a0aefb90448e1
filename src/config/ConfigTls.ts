/**
 * The keys of the configuration for TLS: the RTMPS listener, its certificates, and the clients' own.
 *
 * A certificate comes from files, from an ACME directory, or is made by the server for development. What the keys must not
 * contradict is in `tlsConflicts`.
 */
import * as Redacted from "effect/Redacted"
import { group, type KeyOptions, key } from "./ConfigKey.ts"
import { choice, count, flag, list, record, secretText, text } from "./ConfigValue.ts"

const restart: KeyOptions = { restart: true }

const path = text("the path of a file, or nothing", /^\P{Cc}*$/u)

/** How the server proves to an ACME directory that a name is its own. */
export const acmeChallenges = ["http-01", "tls-alpn-01"] as const

/** What is asked of clients: no certificate, one if they have it, or one in any case. */
export const clientCertificateModes = ["off", "optional", "required"] as const

/** TLS: RTMPS beside RTMP. */
export const tls = {
  enabled: key(flag, false, "Serve RTMPS on a port of its own, beside RTMP", restart),
  host: key(
    text("an address or a host name"),
    "0.0.0.0",
    "Address to listen on for RTMPS; `::` is IPv6, and IPv4 with it",
    restart
  ),
  port: key(count({ min: 0, max: 65_535 }), 1936, "TCP port for RTMPS; 0 takes any free one and logs it", restart),
  certFile: key(
    path,
    "",
    "File with the certificate in PEM, followed by those of its issuers; a file that is replaced is loaded anew"
  ),
  keyFile: key(path, "", "File with the private key of `tls.certFile` in PEM, without a password"),
  certificates: key(
    record(path, "certificate files with their key files (`a.pem=a.key,b.pem=b.key`, or a mapping)"),
    "",
    "Further certificates, chosen by the name that a client asks for (SNI); their names are read out of them"
  ),
  selfSigned: key(
    flag,
    false,
    "Make a certificate for development that no client trusts by itself, for where there is no other"
  ),
  directory: key(
    text("the path of a directory", /^\P{Cc}+$/u),
    "data",
    "Directory for what the server makes or obtains: `self-signed` and `acme` below it"
  ),
  minVersion: key(choice(["tlsv1.2", "tlsv1.3"]), "tlsv1.2", "Lowest version of TLS that clients may speak"),
  ciphers: key(
    text("a list of ciphers in the form of OpenSSL, or nothing", /^[\w:!+@=-]*$/),
    "",
    "Ciphers that may be agreed on; empty leaves it to the TLS library"
  ),
  clientCertificates: group({
    mode: key(choice(clientCertificateModes), "off", "Whether clients are asked for a certificate of their own"),
    caFile: key(path, "", "File with the certificates in PEM of those who may issue clients' certificates"),
    crlFile: key(
      path,
      "",
      "File with the revocation lists (CRL) of all these issuers in PEM; an issuer whose list is missing or past its time vouches for nobody"
    ),
    pins: key(
      list,
      "",
      "SHA-256 of the public keys (base64) that clients may have; empty allows every key that the issuers vouch for"
    )
  }),
  acme: group({
    domains: key(list, "", "Names to obtain a certificate for from an ACME directory; empty obtains none"),
    email: key(
      text("an e-mail address, or nothing", /^(?:[^\s@]+@[^\s@]+)?$/),
      "",
      "Address that the directory may write to"
    ),
    acceptTerms: key(
      flag,
      false,
      "Agree to the terms of service of the directory; without that it gives no certificate"
    ),
    directoryUrl: key(
      text("an https:// address", /^https:\/\/\S+$/),
      "https://acme-v02.api.letsencrypt.org/directory",
      "Address of the ACME directory; the default is that of Let's Encrypt"
    ),
    caFile: key(
      path,
      "",
      "File with certificates in PEM to trust in the directory's own address; empty trusts the usual ones"
    ),
    eab: group({
      kid: key(
        text("the identifier that the directory gave out, or nothing", /^[\x21-\x7e]*$/),
        "",
        "Identifier of an account at the directory that is to be used (external account binding), where it asks for one"
      ),
      hmacKey: key(
        secretText(
          "the key that the directory gave out with the identifier, in base64, or nothing",
          /^[\w+/-]*={0,2}$/
        ),
        "",
        "Key that goes with `tls.acme.eab.kid`"
      )
    }),
    challenge: key(
      choice(acmeChallenges),
      "http-01",
      "How names are proven: over HTTP at port 80, or over TLS at port 443, which then must lead to the RTMPS port"
    ),
    httpHost: key(text("an address or a host name"), "0.0.0.0", "Address to answer `http-01` at"),
    httpPort: key(
      count({ min: 0, max: 65_535 }),
      80,
      "TCP port to answer `http-01` at, open only while a certificate is obtained; port 80 from outside must lead here"
    ),
    renewBeforeDays: key(
      count({ min: 1, max: 365, unit: "days" }),
      30,
      "Days before its end at which a certificate is renewed, but not before two thirds of its life are over"
    )
  })
}

/** What of the keys of `tls` the rules between them look at. */
export interface TlsRules {
  readonly enabled: boolean
  readonly certFile: string
  readonly keyFile: string
  readonly selfSigned: boolean
  readonly certificates: ReadonlyMap<string, string>
  readonly clientCertificates: {
    readonly mode: (typeof clientCertificateModes)[number]
    readonly caFile: string
    readonly crlFile: string
    readonly pins: ReadonlyArray<string>
  }
  readonly acme: {
    readonly domains: ReadonlyArray<string>
    readonly acceptTerms: boolean
    readonly eab: { readonly kid: string; readonly hmacKey: Redacted.Redacted<string> }
  }
}

/** A key that contradicts another one: its path, and what is expected of it. */
export interface TlsConflict {
  readonly path: ReadonlyArray<string>
  readonly issue: string
}

/** Lists what the keys of `tls` contradict each other in; nothing where TLS is off. */
export const tlsConflicts = (it: TlsRules): ReadonlyArray<TlsConflict> => {
  if (!it.enabled) return []
  const found: Array<TlsConflict> = []
  const add = (path: string, issue: string) => found.push({ path: ["tls", ...path.split(".")], issue })

  const hasCertificate = it.certFile !== "" || it.certificates.size > 0 || it.acme.domains.length > 0 || it.selfSigned
  if (!hasCertificate) {
    add(
      "certFile",
      "the file of a certificate (with tls.keyFile), because tls.enabled is true; or set tls.acme.domains, or tls.selfSigned for development"
    )
  }
  if (it.certFile !== "" && it.keyFile === "") add("keyFile", "the file of the key of tls.certFile")
  if (it.certFile === "" && it.keyFile !== "") add("certFile", "the file of the certificate of tls.keyFile")

  for (const domain of it.acme.domains) {
    if (!namePattern.test(domain)) {
      add(
        "acme.domains",
        `names such as live.example.com; ACME gives none for ${JSON.stringify(domain)} by its challenges here`
      )
    }
  }
  if (it.acme.domains.length > 0 && !it.acme.acceptTerms) {
    add("acme.acceptTerms", "true, because tls.acme.domains asks for a certificate")
  }

  const hasHmacKey = Redacted.value(it.acme.eab.hmacKey) !== ""
  if (it.acme.eab.kid !== "" && !hasHmacKey) add("acme.eab.hmacKey", "the key that goes with tls.acme.eab.kid")
  if (it.acme.eab.kid === "" && hasHmacKey) add("acme.eab.kid", "the identifier that goes with tls.acme.eab.hmacKey")

  const { caFile, crlFile, mode, pins } = it.clientCertificates
  if (mode !== "off" && caFile === "" && pins.length === 0) {
    add(
      "clientCertificates.caFile",
      `the file of the issuers to trust, or tls.clientCertificates.pins, because the mode is ${mode}`
    )
  }
  if (mode !== "off" && crlFile !== "" && caFile === "") {
    add("clientCertificates.caFile", "the file of the issuers whose lists are in tls.clientCertificates.crlFile")
  }
  for (const pin of pins) {
    if (!pinPattern.test(pin)) add("clientCertificates.pins", "SHA-256 in base64, 44 characters each")
  }
  return found
}

// A wildcard can only be proven over DNS.
const namePattern = /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i

const pinPattern = /^[A-Za-z0-9+/]{43}=$/
