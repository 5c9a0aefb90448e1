/**
 * The protocol's cryptography on Node.js: `node:crypto`.
 */
import { createHmac, randomFillSync } from "node:crypto"
import * as Layer from "effect/Layer"
import { RtmpCrypto, type RtmpCryptoShape } from "../protocol/Crypto.ts"

// A call of the random number generator costs as much as the rest of a handshake, however few bytes it gives.
const pool = new Uint8Array(64 * 1024)
let used = pool.length

/** Bytes that nobody else gets: what was handed out is wiped from the pool. */
const randomBytes = (count: number): Uint8Array => {
  if (count > pool.length) return randomFillSync(new Uint8Array(count))
  if (count > pool.length - used) {
    randomFillSync(pool)
    used = 0
  }
  const bytes = pool.slice(used, used + count)
  pool.fill(0, used, used + count)
  used += count
  return bytes
}

/** Random bytes and HMAC-SHA-256 from `node:crypto`, synchronously. */
export const make: RtmpCryptoShape = {
  randomBytes,
  hmacSha256: (key, data) => createHmac("sha256", key).update(data).digest()
}

/** Provides `RtmpCrypto` from `node:crypto`. */
export const layer: Layer.Layer<RtmpCrypto> = Layer.succeed(RtmpCrypto, make)
