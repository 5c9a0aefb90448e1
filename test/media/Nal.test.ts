import { assert, describe, it } from "@effect/vitest"
import * as Nal from "../../src/media/Nal.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"

const hex = Bytes.fromHex

describe("Nal.unescape", () => {
  it("takes out emulation prevention bytes and no others", () => {
    const plain = (text: string) => Bytes.hex(Nal.unescape(hex(text)))
    assert.strictEqual(plain("67 000003 01 0003 000003 00 000003"), "67000001000300000000 00".replace(" ", ""))
    assert.strictEqual(plain("000003 000003 03"), "0000000003")
    assert.strictEqual(plain(""), "")
  })

  it("looks at no more bytes than its limit", () => {
    assert.strictEqual(
      Nal.unescape(new Uint8Array(Nal.maxParameterSetBytes * 4).fill(1)).length,
      Nal.maxParameterSetBytes
    )
  })
})
