/**
 * The protocol's cryptography on Node.js: `node:crypto`.
 */
import { createHmac, randomBytes } from "node:crypto"
import * as Layer from "effect/Layer"
import { RtmpCrypto, type RtmpCryptoShape } from "../protocol/Crypto.ts"

/** Random bytes and HMAC-SHA-256 from `node:crypto`, synchronously. */
export const make: RtmpCryptoShape = {
  randomBytes: (count) => randomBytes(count),
  hmacSha256: (key, data) => createHmac("sha256", key).update(data).digest()
}

/** Provides `RtmpCrypto` from `node:crypto`. */
export const layer: Layer.Layer<RtmpCrypto> = Layer.succeed(RtmpCrypto, make)
