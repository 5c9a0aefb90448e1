/**
 * The digests of the Flash Player 9 handshake: where they lie in a packet, how they are computed, sealed and checked.
 *
 * This is arithmetic over one 1536-byte packet and knows no order of events; `Handshake` and `ClientHandshake` decide
 * when it applies. The Diffie-Hellman key of the same packets serves RTMPE only and stays random here.
 *
 * RTMP 1.0 does not describe this handshake. A packet (C1, S1) is 4 bytes of time, 4 bytes of version, then two blocks
 * of 764 bytes. One block holds the digest: 4 bytes whose sum says where, then 760 bytes with the 32-byte digest among
 * them. Which of the two blocks it is, is the schema:
 *
 * | schema | digest block | position of the digest                   |
 * |--------|--------------|------------------------------------------|
 * | 0      | 772 … 1535   | 776 + (sum of bytes 772 to 775) mod 728  |
 * | 1      | 8 … 771      | 12 + (sum of bytes 8 to 11) mod 728      |
 *
 * The digest of a packet covers its other 1504 bytes. A reply (C2, S2) carries a digest in its last 32 bytes, under a
 * key made from the digest that it replies to.
 *
 * **Gotchas**
 *
 * The keys are public constants known to every implementation: a valid digest shows which dialect a peer speaks, not
 * who it is. Comparisons are therefore not constant-time.
 */
import * as Bytes from "./Bytes.ts"
import type { RtmpCryptoShape } from "./Crypto.ts"

/** Bytes in each of C1, C2, S1 and S2 (RTMP 1.0 §5.2.3, §5.2.4). */
export const PACKET_BYTES = 1536

/** Bytes in a digest. */
export const DIGEST_BYTES = 32

/** Position of the digest in a reply (C2, S2): its last 32 bytes. */
export const REPLY_DIGEST_POSITION = PACKET_BYTES - DIGEST_BYTES

/** Which of the two blocks of a packet holds its digest: `0` the second, `1` the first. FFmpeg sends schema 1. */
export type DigestSchema = 0 | 1

const sharedKey = Bytes.fromHex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")

const serverName = Bytes.fromUtf8("Genuine Adobe Flash Media Server 001")

const clientName = Bytes.fromUtf8("Genuine Adobe Flash Player 001")

/**
 * The two keys of one side.
 *
 * - `packet`: the side's name in ASCII, the key for the digest in its C1 or S1.
 * - `reply`: the name and 32 more bytes, which make the key for the digest in its C2 or S2.
 */
export interface DigestKeys {
  /** Key for the digest of C1 or S1. */
  readonly packet: Uint8Array
  /** Key from which the key for the digest of C2 or S2 is made. */
  readonly reply: Uint8Array
}

/** The keys of the server's side: 36 and 68 bytes. */
export const serverKeys: DigestKeys = {
  packet: serverName,
  reply: Bytes.concat([serverName, sharedKey])
}

/** The keys of the client's side: 30 and 62 bytes. */
export const clientKeys: DigestKeys = {
  packet: clientName,
  reply: Bytes.concat([clientName, sharedKey])
}

/**
 * The position of the digest in a 1536-byte C1 or S1, from the packet's own offset bytes.
 *
 * It lies in 776 … 1503 for schema 0 and in 12 … 739 for schema 1, whatever the bytes say.
 */
export const position = (packet: Uint8Array, schema: DigestSchema): number => {
  const block = schema === 0 ? 772 : 8
  const sum = packet[block]! + packet[block + 1]! + packet[block + 2]! + packet[block + 3]!
  return block + 4 + (sum % 728)
}

/** Computes the digest of a C1 or S1: HMAC-SHA-256 over its 1504 bytes that are not at `at` … `at + 31`. */
export const compute = (crypto: RtmpCryptoShape, key: Uint8Array, packet: Uint8Array, at: number): Uint8Array => {
  const covered = new Uint8Array(PACKET_BYTES - DIGEST_BYTES)
  covered.set(packet.subarray(0, at))
  covered.set(packet.subarray(at + DIGEST_BYTES, PACKET_BYTES), at)
  return crypto.hmacSha256(key, covered)
}

/**
 * A digest that was found valid in a C1 or S1.
 *
 * - `schema`: where it was found.
 * - `digest`: its 32 bytes, a copy.
 */
export interface FoundDigest {
  /** The block in which the digest was found. */
  readonly schema: DigestSchema
  /** The digest's 32 bytes, a copy. */
  readonly digest: Uint8Array
}

/**
 * Looks for a valid digest in a 1536-byte C1 (with `clientKeys`) or S1 (with `serverKeys`): schema 0, then 1.
 *
 * Gives `undefined` where neither verifies, which says that the peer does not speak this dialect.
 */
export const find = (crypto: RtmpCryptoShape, keys: DigestKeys, packet: Uint8Array): FoundDigest | undefined =>
  verify(crypto, keys, packet, 0) ?? verify(crypto, keys, packet, 1)

const verify = (
  crypto: RtmpCryptoShape,
  keys: DigestKeys,
  packet: Uint8Array,
  schema: DigestSchema
): FoundDigest | undefined => {
  const at = position(packet, schema)
  const digest = compute(crypto, keys.packet, packet, at)
  return Bytes.equals(digest, packet.subarray(at, at + DIGEST_BYTES)) ? { schema, digest } : undefined
}

/**
 * Writes the digest of a 1536-byte C1 (with `clientKeys`) or S1 (with `serverKeys`) into the packet, and gives it.
 *
 * Everything else in the packet must be final: the digest covers it.
 */
export const seal = (
  crypto: RtmpCryptoShape,
  keys: DigestKeys,
  packet: Uint8Array,
  schema: DigestSchema
): Uint8Array => {
  const at = position(packet, schema)
  const digest = compute(crypto, keys.packet, packet, at)
  packet.set(digest, at)
  return digest
}

/**
 * The key for the digest of a reply: HMAC-SHA-256 of the digest that the other side put into its C1 or S1, under the
 * replying side's long key.
 */
export const replyKey = (crypto: RtmpCryptoShape, keys: DigestKeys, peerDigest: Uint8Array): Uint8Array =>
  crypto.hmacSha256(keys.reply, peerDigest)

/** Writes the digest of a 1536-byte C2 (with `clientKeys`) or S2 (with `serverKeys`) into its last 32 bytes. */
export const sealReply = (
  crypto: RtmpCryptoShape,
  keys: DigestKeys,
  peerDigest: Uint8Array,
  packet: Uint8Array
): void => {
  packet.set(replyDigest(crypto, keys, peerDigest, packet), REPLY_DIGEST_POSITION)
}

/**
 * Tells whether the last 32 bytes of a 1536-byte C2 (with `clientKeys`) or S2 (with `serverKeys`) are the digest that
 * answers `peerDigest`.
 */
export const verifyReply = (
  crypto: RtmpCryptoShape,
  keys: DigestKeys,
  peerDigest: Uint8Array,
  packet: Uint8Array
): boolean =>
  Bytes.equals(
    replyDigest(crypto, keys, peerDigest, packet),
    packet.subarray(REPLY_DIGEST_POSITION, REPLY_DIGEST_POSITION + DIGEST_BYTES)
  )

const replyDigest = (
  crypto: RtmpCryptoShape,
  keys: DigestKeys,
  peerDigest: Uint8Array,
  packet: Uint8Array
): Uint8Array => crypto.hmacSha256(replyKey(crypto, keys, peerDigest), packet.subarray(0, REPLY_DIGEST_POSITION))
