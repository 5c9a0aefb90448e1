/**
 * What the protocol needs of a platform's cryptography: random bytes and HMAC-SHA-256, both synchronous.
 *
 * The protocol takes them as a value or through the `RtmpCrypto` service and never reaches for a platform itself, so
 * that tests can be deterministic and another runtime can bring its own. `node/NodeCrypto` is the one for Node.js.
 * Nothing here protects a secret: the handshake's keys are public constants, and passwords and tokens are checked in
 * `access/`.
 */
import * as Context from "effect/Context"

/**
 * Random bytes and HMAC-SHA-256.
 *
 * - `randomBytes(count)`: a fresh array of `count` unpredictable bytes, which the caller may keep and change.
 * - `hmacSha256(key, data)`: the 32 bytes of RFC 2104 over SHA-256. Neither argument is kept or changed.
 *
 * Both are total: an implementation that cannot answer throws, which is a defect and not an error of the peer.
 */
export interface RtmpCryptoShape {
  /** Gives a fresh array of `count` random bytes. */
  readonly randomBytes: (count: number) => Uint8Array
  /** Computes HMAC-SHA-256 of `data` under `key`: 32 bytes. */
  readonly hmacSha256: (key: Uint8Array, data: Uint8Array) => Uint8Array
}

/** The service that provides `RtmpCryptoShape` to the layers of the protocol. */
export class RtmpCrypto extends Context.Service<RtmpCrypto, RtmpCryptoShape>()("effect-rtmp/protocol/RtmpCrypto") {}
