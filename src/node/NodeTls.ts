/**
 * RTMPS: connections whose bytes go through TLS. Loaded only where a listener is a secure one.
 *
 * The handshake begins when somebody pulls: whoever is refused at the door has cost no cryptography, and a client that
 * does not come to an end with it is one more connection that has not finished its RTMP handshake, with the same deadline
 * and the same limit. Certificates and options are asked for at each handshake, so a replacement counts from the next
 * connection on and touches none that is open.
 *
 * **Gotchas**
 *
 * - Node reports every TLS write as finished in a later phase of the event loop only, also where the kernel took it at
 *   once. So a socket counts as full once bytes of earlier turns wait, not by what this turn has written.
 * - OpenSSL hands the records of one write over together, and Node keeps a buffer of that size until the connection ends.
 *   So no write is larger than `pieceBytes`, and those that wait are not joined. Where they were, a viewer's cached group of
 *   pictures went out in one, and 500 viewers kept up to 250 MB; so they keep 60, for the same CPU.
 * - Node has no public way to learn what became of a client's certificate on a socket that no `tls.Server` has accepted,
 *   nor of errors before and after the handshake: `secure`, `_tlsError` and `verifyError` are what its own server uses. A
 *   `tls.Server` would read its certificate once, at its start.
 */
import * as Crypto from "node:crypto"
import type * as Net from "node:net"
import * as Tls from "node:tls"
import * as Effect from "effect/Effect"
import type { ClientCertificate } from "../access/Authenticator.ts"
import type { Connection, Endpoint, Security, TlsFailure } from "../server/Transport.ts"
import { TransportError } from "../server/Transport.ts"
import type { NodeCertificatesShape } from "./NodeCertificates.ts"

/** What handshakes need of the certificates. */
export type Certificates = Pick<NodeCertificatesShape, "contextOf" | "challengeOf" | "options">

/** Makes a connection of a socket, as `NodeTransport.makeConnection`. */
export type MakeConnection = (
  socket: Net.Socket,
  remote: Endpoint,
  toError: (cause: Error) => TransportError
) => Connection

/** The protocol by which an ACME directory asks for proof of a name (RFC 8737). */
export const acmeProtocol = "acme-tls/1"

// What may wait in Node, after an earlier turn, before a viewer counts as slow. The kernel holds more.
const toleratedBytes = 64 * 1024

// What is encrypted at once. Half as much saves next to nothing more, and twice as much costs 30 MB for 500 viewers.
const pieceBytes = 32 * 1024

/** Makes a secure connection of a socket on which nothing has been read, but what was put back. */
export const makeConnection = (
  socket: Net.Socket,
  remote: Endpoint,
  certificates: Certificates,
  make: MakeConnection
): Connection => {
  let tls: Tls.TLSSocket | undefined
  let inner: Connection | undefined
  let security: Security | undefined
  let failure: TransportError | undefined
  // Until the TLS socket looks after it, nobody else does.
  socket.on("error", () => {})
  const open = (): Connection | undefined => {
    if (inner !== undefined || failure !== undefined) return inner
    const upgraded = upgrade(socket, certificates, (agreed) => {
      security = agreed
    })
    if (upgraded instanceof TransportError) {
      failure = upgraded
      socket.destroy()
      return undefined
    }
    tls = upgraded
    inner = make(upgraded, remote, (cause) => toError(cause, security !== undefined))
    return inner
  }
  return {
    remote,
    get security() {
      return security
    },
    pull: Effect.suspend(() => open()?.pull ?? Effect.fail(failure!)),
    flow: (take) => Effect.suspend(() => open()?.flow?.(take) ?? Effect.fail(failure!)),
    write: (bytes) => {
      if (tls === undefined) return open()?.write(bytes) ?? true
      const waiting = tls.writableLength
      if (bytes.length <= pieceBytes) inner!.write(bytes)
      else for (let at = 0; at < bytes.length; at += pieceBytes) inner!.write(bytes.subarray(at, at + pieceBytes))
      return waiting <= toleratedBytes
    },
    bufferedBytes: () => (tls === undefined || tls.writableLength <= toleratedBytes ? 0 : tls.writableLength),
    onDrain: (callback) => open()?.onDrain(callback),
    end: () => (inner === undefined ? socket.end() : inner.end()),
    destroy: () => {
      if (tls === undefined) socket.destroy()
      else tls.destroy()
    }
  }
}

/** Begins the handshake; fails where there is no certificate. */
const upgrade = (
  socket: Net.Socket,
  certificates: Certificates,
  onAgreed: (security: Security) => void
): Tls.TLSSocket | TransportError => {
  const secureContext = certificates.contextOf(undefined)
  if (secureContext === undefined) return failed("CertificateMissing", "the server has no certificate yet")
  const { requestCert, required } = certificates.options()
  let challenge: Tls.SecureContext | undefined
  const tls: Tls.TLSSocket = new Tls.TLSSocket(socket, {
    isServer: true,
    secureContext,
    requestCert,
    // Whether one that is shown will do is decided here: a pin may vouch for a key that no authority does.
    rejectUnauthorized: requestCert && required,
    SNICallback: (serverName, callback) => {
      callback(null, challenge ?? certificates.contextOf(serverName) ?? secureContext)
    },
    ALPNCallback: ({ protocols, servername }) => {
      if (!protocols.includes(acmeProtocol)) return protocols.find((protocol) => !isHttp(protocol))
      challenge = certificates.challengeOf(servername)
      if (challenge === undefined) return undefined
      // Which of the two callbacks comes first is OpenSSL's business, and has changed.
      tls.setKeyCert(challenge)
      return acmeProtocol
    }
  })
  tls.disableRenegotiation()
  // A stream that cannot write several chunks together writes them one by one, as they were given to it.
  Object.assign(tls, { _writev: undefined })
  const events: NodeJS.EventEmitter = tls
  events.on("_tlsError", (error: Error) => tls.destroy(error))
  events.on("secure", () => {
    if (tls.alpnProtocol === acmeProtocol) {
      // The certificate was all there is to say.
      tls.destroySoon()
      return
    }
    const checked = clientCertificate(tls, certificates)
    if (checked instanceof TransportError) {
      tls.destroy(checked)
      return
    }
    const { servername } = tls as { readonly servername?: string | false | null }
    onAgreed({
      protocol: tls.getProtocol() ?? "unknown",
      ...(typeof servername === "string" && servername !== "" ? { serverName: servername } : {}),
      ...(checked === undefined ? {} : { certificate: checked })
    })
  })
  return tls
}

const isHttp = (protocol: string): boolean => /^(?:h2c?|h3|http\/.*)$/.test(protocol)

/** Who the client is; a failure where it showed a certificate that will not do, or none and had to. */
const clientCertificate = (
  tls: Tls.TLSSocket,
  certificates: Certificates
): ClientCertificate | TransportError | undefined => {
  const { ca, pins, requestCert, required } = certificates.options()
  if (!requestCert) return undefined
  const shown = tls.getPeerX509Certificate()
  if (shown === undefined) {
    return required ? failed("ClientCertificateMissing", "the client showed no certificate") : undefined
  }
  const publicKeySha256 = Crypto.createHash("sha256")
    .update(shown.publicKey.export({ type: "spki", format: "der" }))
    .digest("base64")
  // Without an authority the pins alone count: those that Node knows by itself vouch for anybody.
  if (ca !== undefined || pins.size === 0) {
    // A session that is resumed brings the verdict of its beginning along.
    const expired = Date.now() > shown.validToDate.getTime() ? "CERT_HAS_EXPIRED" : undefined
    const problem = ca === undefined ? "nobody is trusted" : (verifyError(tls) ?? expired)
    if (problem !== undefined) {
      return failed("ClientCertificateUntrusted", `the certificate of the client is not trusted (${problem})`)
    }
  }
  if (pins.size > 0 && !pins.has(publicKeySha256)) {
    return failed("ClientCertificateNotPinned", `the key of the client is not among the pins (${publicKeySha256})`)
  }
  return { subject: subject(shown.subject), names: alternativeNames(shown.subjectAltName ?? ""), publicKeySha256 }
}

/** Why OpenSSL does not trust the certificate that was shown; undefined where it does. */
const verifyError = (tls: Tls.TLSSocket): string | undefined => {
  const { _handle: handle } = tls as unknown as {
    readonly _handle: { readonly verifyError: () => Error | null | undefined } | null
  }
  if (handle === null) return "the connection is gone"
  const error = handle.verifyError()
  return error == null ? undefined : code(error)
}

/** A distinguished name in one line. Node gives a line for each part, with commas in it escaped. */
const subject = (text: string | undefined): string => (text ?? "").split("\n").join(",")

/**
 * Alternative names, taken apart. Node separates them by commas, and writes one that has commas or quotes in it as a
 * JSON string, so that nobody can be two.
 */
export const alternativeNames = (text: string): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (const [, kind, value] of text.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    names.push(`${kind}:${value!.startsWith('"') ? unquote(value!) : value}`)
  }
  return names
}

const unquote = (text: string): string => {
  try {
    return String(JSON.parse(text))
  } catch {
    return text
  }
}

const failed = (tls: TlsFailure, why: string): TransportError =>
  new TransportError({ reason: "TlsFailed", tls, detail: `TLS was not agreed on (${tls}): ${why}` })

const code = (cause: Error): string => ("code" in cause ? String(cause.code) : cause.message)

/** What an error of a TLS socket means. */
export const toError = (cause: Error, isAgreed: boolean): TransportError => {
  if (cause instanceof TransportError) return cause
  const what = code(cause)
  if (isAgreed || !what.startsWith("ERR_SSL_")) {
    return new TransportError({ reason: "Reset", detail: `the connection broke off (${what})`, cause })
  }
  for (const [pattern, tls, why] of failures) {
    if (pattern.test(what)) return failed(tls, why)
  }
  return failed("HandshakeBroken", what)
}

const failures: ReadonlyArray<readonly [RegExp, TlsFailure, string]> = [
  [/HTTPS?_(?:PROXY_)?REQUEST$/, "HttpSpoken", "the client spoke HTTP; this port is for rtmps://"],
  [
    /ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_\w+|UNSUPPORTED_CERTIFICATE)$/,
    "CertificateRefused",
    "the client does not trust the certificate of the server"
  ],
  [/DID_NOT_RETURN_A_CERTIFICATE$/, "ClientCertificateMissing", "the client showed no certificate"],
  [
    /UNSUPPORTED_PROTOCOL$|VERSION_TOO_(?:LOW|HIGH)$|ALERT_PROTOCOL_VERSION$/,
    "VersionNotSupported",
    "the client speaks no version of TLS that is allowed here"
  ],
  [/NO_SHARED_CIPHER$|NO_SUITABLE_\w+$|ALERT_HANDSHAKE_FAILURE$/, "NoCommonCipher", "no cipher that both sides allow"],
  [/NO_APPLICATION_PROTOCOL$/, "NoCommonProtocol", "the client wants to speak something else within TLS (ALPN)"],
  [
    /WRONG_VERSION_NUMBER$|BAD_RECORD_TYPE$|PACKET_LENGTH_TOO_LONG$|UNEXPECTED_(?:MESSAGE|RECORD)$|RECORD_LAYER_FAILURE$/,
    "NotTls",
    "the client spoke no TLS; plain RTMP (rtmp://) has a port of its own"
  ]
]
