import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import { RtmpCrypto } from "../../src/protocol/Crypto.ts"

describe("NodeCrypto", () => {
  it("gives as many random bytes as asked for, different each time", () => {
    assert.strictEqual(NodeCrypto.make.randomBytes(0).length, 0)
    const first = NodeCrypto.make.randomBytes(1528)
    assert.strictEqual(first.length, 1528)
    assert.isFalse(Bytes.equals(first, NodeCrypto.make.randomBytes(1528)))
  })

  it("never gives the same bytes twice, however often it is asked", () => {
    const seen = new Set<string>()
    for (let i = 0; i < 500; i++)
      seen.add(Bytes.hex(NodeCrypto.make.randomBytes(i % 7 === 0 ? 70_000 : 1528).subarray(0, 16)))
    assert.strictEqual(seen.size, 500)
  })

  it("gives bytes that belong to who asked: changing them changes nobody else's", () => {
    const first = NodeCrypto.make.randomBytes(32)
    first.fill(0)
    const second = NodeCrypto.make.randomBytes(32)
    assert.isFalse(second.every((byte) => byte === 0))
    assert.notStrictEqual(first.buffer, second.buffer)
  })

  it("computes HMAC-SHA-256 as RFC 4231 has it", () => {
    const short = NodeCrypto.make.hmacSha256(Bytes.fromUtf8("Jefe"), Bytes.fromUtf8("what do ya want for nothing?"))
    assert.strictEqual(Bytes.hex(short), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    const longKey = NodeCrypto.make.hmacSha256(
      new Uint8Array(131).fill(0xaa),
      Bytes.fromUtf8("Test Using Larger Than Block-Size Key - Hash Key First")
    )
    assert.strictEqual(Bytes.hex(longKey), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
  })

  it.effect("is what its layer provides", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* RtmpCrypto, NodeCrypto.make)
    }).pipe(Effect.provide(NodeCrypto.layer))
  )
})
