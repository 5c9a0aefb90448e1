/**
 * The certificates that RTMPS is served with: from files, from an ACME directory, or made here for development.
 *
 * What a handshake needs is given at once and synchronously, and may be another one at the next handshake: a certificate is
 * replaced without a connection noticing. All that can fail happens before, and leaves the last good one in use.
 *
 * `node:tls` and everything behind it is loaded only where `tls.enabled` is true.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConfigError } from "../config/ConfigError.ts"
import { ConfigStore } from "../config/ConfigStore.ts"
import { Certificates } from "../server/Certificates.ts"
import type { HandshakeOptions, NodeCertificatesShape } from "./CertificateStore.ts"

export type { HandshakeOptions, NodeCertificatesShape } from "./CertificateStore.ts"

/** The certificates of the server on Node. */
export class NodeCertificates extends Context.Service<NodeCertificates, NodeCertificatesShape>()(
  "effect-rtmp/node/NodeCertificates"
) {
  /** No certificates: for servers without TLS. */
  static readonly layerNone: Layer.Layer<NodeCertificates> = Layer.effect(
    NodeCertificates,
    Effect.map(Certificates, (nothing) => ({
      ...nothing,
      contextOf: () => undefined,
      challengeOf: () => undefined,
      options: () => noOptions,
      maintain: Effect.void
    }))
  )

  /**
   * The certificates that the configuration asks for, which they follow while the server runs; also as `Certificates`.
   * Fails where TLS is on and a certificate that is configured cannot be used.
   */
  static readonly layer: Layer.Layer<NodeCertificates, ConfigError, ConfigStore> = Layer.unwrap(
    Effect.gen(function* () {
      const { tls } = yield* (yield* ConfigStore).current
      if (!tls.enabled) return NodeCertificates.layerNone
      const CertificateStore = yield* Effect.promise(() => import("./CertificateStore.ts"))
      const live = Layer.effect(NodeCertificates, CertificateStore.make)
      return Layer.effect(Certificates, NodeCertificates).pipe(Layer.provideMerge(live))
    })
  )
}

const noOptions: HandshakeOptions = {
  minVersion: "TLSv1.2",
  requestCert: false,
  required: false,
  pins: new Set(),
  ticketKeys: Buffer.alloc(0)
}
