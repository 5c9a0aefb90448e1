import { assert, describe, it } from "@effect/vitest"
import * as ChunkHeader from "../../src/protocol/ChunkHeader.ts"
import { basicHeaders, hex } from "./chunks.ts"

describe("basic headers", () => {
  it.each(basicHeaders)("take the shortest form for chunk stream id %i", (id, first, third) => {
    for (const [format, expected] of [
      [0, hex(first)],
      [3, hex(third)]
    ] as const) {
      const target = new Uint8Array(6)
      const end = ChunkHeader.putBasicHeader(target, 2, format, id)
      assert.strictEqual(end - 2, ChunkHeader.basicHeaderLength(id))
      assert.deepStrictEqual(target.subarray(2, end), expected)
    }
  })

  it("are never longer than the whole header may be", () => {
    const { MAX_CHUNK_STREAM_ID, MAX_HEADER_BYTES } = ChunkHeader
    assert.strictEqual(ChunkHeader.basicHeaderLength(MAX_CHUNK_STREAM_ID) + 11 + 4, MAX_HEADER_BYTES)
  })
})
