import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as HandshakeDigest from "../../src/protocol/HandshakeDigest.ts"

const crypto = NodeCrypto.make

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** A packet whose byte `i` is `factor * i + summand`, with a time of zero and the given version bytes. */
const packet = (factor: number, summand: number, version: string): Uint8Array => {
  const out = Uint8Array.from({ length: HandshakeDigest.PACKET_BYTES }, (_, i) => factor * i + summand)
  out.fill(0, 0, 4)
  out.set(Bytes.fromHex(version), 4)
  return out
}

/** Computed independently, with an implementation that FFmpeg 5.1.9 accepted as a server. */
const vectors = [
  {
    schema: 0,
    c1Position: 942,
    c1Digest: "8e211aefe949d44221d8905aa6154973bcab5ecb43dc582f65b1de1c2f94e4d5",
    c1Sha256: "d6abf3db96d97a96fb1c81f56d4a915f10e84490f308d4ae863828f38ceb8d84",
    s2Key: "be47901e0f17614f341c5874d282e921437abf14d7abc7583e1256bcde1e410c",
    s2Digest: "13849c40d8b8f5eb4d19952e011d9d65ff199582a324f3ca276d3a176b1fddae",
    s1Position: 1038,
    s1Digest: "0fee6e1dbd4f1a9ec3e9cfe7e8c4e39d4deff5d6406c711452e5027fff8e9ab8"
  },
  {
    schema: 1,
    c1Position: 290,
    c1Digest: "0b441119ef46c4660e578ac88d3bf4c2d8901ff9a39c94bb92cb345f63928860",
    c1Sha256: "97c733c9f73ec5c3dda41c1dd27f847e6d31634fce04f0f4c17de1bfd27893f9",
    s2Key: "c9b4bfa8650743a87fbcce8ea87abcef69670756c531d6476d141e04ce15331f",
    s2Digest: "7f4fa37a25bdaa6280a3138529ab67261dad6dc6c8783ad95397cb61390e6a96",
    s1Position: 450,
    s1Digest: "c86a27af10c6a02fb88d7f4a12a8c918974abb012e9116ec90946a34c255ffc6"
  }
] as const

const Schema01 = Schema.Literals([0, 1])
const Byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
const OffsetBytes = Schema.Tuple([Byte, Byte, Byte, Byte])

describe("HandshakeDigest", () => {
  for (const vector of vectors) {
    describe(`golden packets, schema ${vector.schema}`, () => {
      it("puts the digest of C1 where and as Flash Player does", () => {
        const c1 = packet(7, 3, "80000702")
        assert.strictEqual(HandshakeDigest.position(c1, vector.schema), vector.c1Position)
        const digest = HandshakeDigest.seal(crypto, HandshakeDigest.clientKeys, c1, vector.schema)
        assert.strictEqual(Bytes.hex(digest), vector.c1Digest)
        assert.strictEqual(sha256(c1), vector.c1Sha256)
      })

      it("finds the digest of C1 and tells its schema", () => {
        const c1 = packet(7, 3, "80000702")
        c1.set(Bytes.fromHex(vector.c1Digest), vector.c1Position)
        const found = HandshakeDigest.find(crypto, HandshakeDigest.clientKeys, c1)
        assert.strictEqual(found?.schema, vector.schema)
        assert.strictEqual(Bytes.hex(found!.digest), vector.c1Digest)
      })

      it("puts the digest of S1 where and as Flash Media Server does", () => {
        const s1 = packet(11, 5, "03050101")
        assert.strictEqual(HandshakeDigest.position(s1, vector.schema), vector.s1Position)
        const digest = HandshakeDigest.seal(crypto, HandshakeDigest.serverKeys, s1, vector.schema)
        assert.strictEqual(Bytes.hex(digest), vector.s1Digest)
        assert.strictEqual(Bytes.hex(s1.subarray(vector.s1Position, vector.s1Position + 32)), vector.s1Digest)
      })

      it("answers C1's digest in S2 as Flash Media Server does", () => {
        const c1Digest = Bytes.fromHex(vector.c1Digest)
        const key = HandshakeDigest.replyKey(crypto, HandshakeDigest.serverKeys, c1Digest)
        assert.strictEqual(Bytes.hex(key), vector.s2Key)
        const s2 = Uint8Array.from({ length: HandshakeDigest.PACKET_BYTES }, (_, i) => 5 * i + 1)
        HandshakeDigest.sealReply(crypto, HandshakeDigest.serverKeys, c1Digest, s2)
        assert.strictEqual(Bytes.hex(s2.subarray(1504)), vector.s2Digest)
        assert.isTrue(HandshakeDigest.verifyReply(crypto, HandshakeDigest.serverKeys, c1Digest, s2))
      })
    })
  }

  it("keeps the digest inside its block for the least and the greatest offset bytes", () => {
    for (const schema of [0, 1] as const) {
      const block = schema === 0 ? 772 : 8
      const at = (offsets: string): number => {
        const bytes = new Uint8Array(HandshakeDigest.PACKET_BYTES)
        bytes.set(Bytes.fromHex(offsets), block)
        return HandshakeDigest.position(bytes, schema)
      }
      assert.strictEqual(at("00000000"), block + 4)
      assert.strictEqual(at("ffffffff"), block + 4 + 292)
      assert.strictEqual(at("ffffd900"), block + 4 + 727)
      assert.strictEqual(at("ffffda00"), block + 4)
    }
  })

  it.prop(
    "finds whatever was sealed, for any offset bytes in either block",
    { schema: Schema01, first: OffsetBytes, second: OffsetBytes, seed: Byte },
    ({ schema, first, second, seed }) => {
      const c1 = packet(13, seed, "09007c02")
      c1.set(first, 8)
      c1.set(second, 772)
      const digest = HandshakeDigest.seal(crypto, HandshakeDigest.clientKeys, c1, schema)
      assert.deepStrictEqual(HandshakeDigest.find(crypto, HandshakeDigest.clientKeys, c1), { schema, digest })
      assert.isUndefined(HandshakeDigest.find(crypto, HandshakeDigest.serverKeys, c1))
    }
  )

  it.prop(
    "misses a digest when any single byte of the packet has changed",
    {
      schema: Schema01,
      at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1535 }))
    },
    ({ schema, at }) => {
      const c1 = packet(7, 3, "80000702")
      HandshakeDigest.seal(crypto, HandshakeDigest.clientKeys, c1, schema)
      c1[at] = c1[at]! ^ 1
      assert.isUndefined(HandshakeDigest.find(crypto, HandshakeDigest.clientKeys, c1))
    }
  )

  it("takes schema 0 where a packet satisfies both", () => {
    const constant = { ...crypto, hmacSha256: () => new Uint8Array(32) }
    const found = HandshakeDigest.find(constant, HandshakeDigest.clientKeys, new Uint8Array(1536))
    assert.strictEqual(found?.schema, 0)
  })

  it("tells a reply with a changed byte, another side's key or another digest from a valid one", () => {
    const digest = Bytes.fromHex(vectors[0].c1Digest)
    const c2 = packet(5, 1, "00000000")
    HandshakeDigest.sealReply(crypto, HandshakeDigest.clientKeys, digest, c2)
    assert.isTrue(HandshakeDigest.verifyReply(crypto, HandshakeDigest.clientKeys, digest, c2))
    assert.isFalse(HandshakeDigest.verifyReply(crypto, HandshakeDigest.serverKeys, digest, c2))
    assert.isFalse(HandshakeDigest.verifyReply(crypto, HandshakeDigest.clientKeys, digest.toReversed(), c2))
    for (const at of [0, 1503, 1504, 1535]) {
      const changed = c2.slice()
      changed[at] = changed[at]! ^ 0x80
      assert.isFalse(HandshakeDigest.verifyReply(crypto, HandshakeDigest.clientKeys, digest, changed))
    }
  })
})
