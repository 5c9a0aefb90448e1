import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Bytes from "../../src/protocol/Bytes.ts"
import { MAX_PAYLOAD_BYTES } from "../../src/protocol/ChunkHeader.ts"
import * as ChunkReader from "../../src/protocol/ChunkReader.ts"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as ProtocolControl from "../../src/protocol/ProtocolControl.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import { basicHeaders, counting, extendedGoldens, extendedMessage, goldens, hex, join } from "./chunks.ts"
import * as Reference from "./ReferenceChunkReader.ts"

const read = (bytes: Uint8Array): ReadonlyArray<Message> => Result.getOrThrow(ChunkReader.make().push(bytes))

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

const audio = (timestamp: number, payload: Uint8Array = counting(3), chunkStreamId = 4): Message => ({
  typeId: 8,
  streamId: 1,
  chunkStreamId,
  timestamp,
  payload
})

const encodeOne = (message: Message, chunkSize: number): Uint8Array => {
  const { chunkStreamId, payload, streamId, timestamp, typeId } = message
  const length = ChunkWriter.encodedLength(payload.length, timestamp, chunkStreamId, chunkSize)
  const target = new Uint8Array(length)
  const end = ChunkWriter.encodeInto(target, 0, typeId, streamId, chunkStreamId, timestamp, payload, chunkSize)
  assert.strictEqual(end, length)
  return target
}

describe("golden bytes", () => {
  it.each(goldens)("writes $name", ({ bytes, message }) => {
    assert.deepStrictEqual(ChunkWriter.make().write(message), bytes)
    assert.deepStrictEqual(encodeOne(message, 128), bytes)
  })

  it.each(basicHeaders)("writes chunk stream id %i in the shortest form", (id, first, third) => {
    const header = hex("00001A 000082 08 01000000")
    const expected = join(hex(first), header, counting(128), hex(third), hex("80 81"))
    assert.deepStrictEqual(ChunkWriter.make().write(audio(26, counting(130), id)), expected)
    assert.deepStrictEqual(encodeOne(audio(26, counting(130), id), 128), expected)
  })

  it.each(extendedGoldens)("writes extended timestamp %i on both chunks of a message", (timestamp, digest) => {
    for (const bytes of [
      ChunkWriter.make().write(extendedMessage(timestamp)),
      encodeOne(extendedMessage(timestamp), 128)
    ]) {
      assert.strictEqual(bytes.length, 221)
      assert.strictEqual(sha256(bytes), digest)
    }
  })
})

describe("header compression", () => {
  const formats = (messages: ReadonlyArray<Message>): ReadonlyArray<string> => {
    const writer = ChunkWriter.make()
    return messages.map((message) => Bytes.hex(writer.write(message).subarray(0, 4)))
  }

  it("leaves out what the peer knows", () => {
    const longer = counting(4)
    assert.deepStrictEqual(
      formats([audio(1000), audio(1020, longer), audio(1040, longer), audio(1080, longer), audio(1120, longer)]),
      ["040003e8", "44000014", "c4000102", "84000028", "c4000102"]
    )
  })

  it("starts no message with type 3 after a type 0 header, where readers disagree on its time", () => {
    assert.deepStrictEqual(formats([audio(1000), audio(2000), audio(3000)]), ["040003e8", "840003e8", "c4000102"])
    assert.deepStrictEqual(formats([audio(1000), audio(1000), audio(1000)]), ["040003e8", "84000000", "c4000102"])
  })

  it("starts control messages at time 0 with type 3, which all readers take for time 0", () => {
    const acks = [1, 2].map(ProtocolControl.acknowledgement)
    assert.deepStrictEqual(formats(acks), ["02000000", "c2000000"])
  })

  it("writes type 0 for another message stream and for a time that goes back", () => {
    assert.deepStrictEqual(formats([audio(1000), { ...audio(1020), streamId: 2 }, audio(1040), audio(1039)]), [
      "040003e8",
      "040003fc",
      "04000410",
      "0400040f"
    ])
  })

  it("writes type 0 for a delta that needs an extended timestamp, so that only type 0 has one", () => {
    assert.deepStrictEqual(formats([audio(0), audio(0xfffffe)]), ["04000000", "84fffffe"])
    assert.deepStrictEqual(formats([audio(0), audio(0xffffff)]), ["04000000", "04ffffff"])
    assert.deepStrictEqual(formats([audio(0x1000000), audio(0x1000014), audio(0x1000028)]), [
      "04ffffff",
      "84000014",
      "c4000102"
    ])
  })

  it("lets time wrap by a delta", () => {
    assert.deepStrictEqual(formats([audio(0xfffffff0), audio(0x10)]), ["04ffffff", "84000020"])
    assert.deepStrictEqual(formats([audio(0), audio(0x7fffffff), audio(0xffffffff)]), [
      "04000000",
      "04ffffff",
      "04ffffff"
    ])
  })

  it("keeps its state for each chunk stream apart", () => {
    assert.deepStrictEqual(formats([audio(0), audio(5, counting(3), 6), audio(20), audio(25, counting(3), 6)]), [
      "04000000",
      "06000005",
      "84000014",
      "86000014"
    ])
  })
})

describe("equivalences", () => {
  it.prop(
    "is read back as written, by the reader and by the reference, whatever the times and chunk sizes",
    [MessageArbitrary.messages],
    ([messages]) => {
      const bytes = ChunkWriter.make().writeAll(messages)
      assert.deepStrictEqual(read(bytes), messages)
      assert.deepStrictEqual(Reference.read(bytes), { messages, error: undefined })
    },
    { arbitrary: { runs: 200, size: 30 } }
  )

  it.prop(
    "keeps any sequence of times modulo 2^32, for readers of every dialect",
    [Arbitrary.array(MessageArbitrary.u32, { maxLength: 20 }), MessageArbitrary.integer(0, 0xffffff)],
    ([times, step]) => {
      const steady = times.flatMap((time) => [0, 1, 2].map((i) => audio((time + i * step) >>> 0, counting(130))))
      const bytes = ChunkWriter.make().writeAll(steady)
      const dialects: ReadonlyArray<Reference.Dialect> = [
        Reference.specification,
        { freshAfterType0: "nothing", extendedDeltaIsTime: false, extendedOnType3: "always" },
        { freshAfterType0: "time", extendedDeltaIsTime: true, extendedOnType3: "always" },
        { freshAfterType0: "nothing", extendedDeltaIsTime: true, extendedOnType3: "neverOnFresh" }
      ]
      for (const dialect of dialects) {
        assert.deepStrictEqual(Reference.read(bytes, { dialect }), { messages: steady, error: undefined })
      }
    }
  )

  it.prop(
    "gives the same bytes for a batch as for its messages one by one",
    [MessageArbitrary.messages, MessageArbitrary.integer(0, 12)],
    ([messages, cut]) => {
      const batched = ChunkWriter.make()
      const single = ChunkWriter.make()
      const bytes = join(batched.writeAll(messages.slice(0, cut)), batched.writeAll(messages.slice(cut)))
      assert.deepStrictEqual(bytes, join(...messages.map((message) => single.write(message))))
      assert.strictEqual(batched.chunkSize, single.chunkSize)
    }
  )

  it.prop(
    "encodes messages so that any selection of them can be read",
    {
      messages: Arbitrary.array(MessageArbitrary.message, { maxLength: 10 }),
      chunkSize: MessageArbitrary.integer(1, 65_536),
      kept: MessageArbitrary.u32
    },
    ({ chunkSize, kept, messages }) => {
      const selection = messages.filter((_, i) => ((kept >>> i) & 1) === 1)
      const bytes = join(
        ChunkWriter.make().write(ProtocolControl.setChunkSize(chunkSize)),
        ...selection.map((message) => encodeOne(message, chunkSize))
      )
      assert.deepStrictEqual(read(bytes).slice(1), selection)
    },
    { arbitrary: { size: 30 } }
  )
})

describe("chunk sizes", () => {
  it("apply from the message after Set Chunk Size on, also inside a batch", () => {
    const writer = ChunkWriter.make()
    const bytes = writer.writeAll([audio(0, counting(200)), ProtocolControl.setChunkSize(200), audio(0, counting(200))])
    assert.strictEqual(bytes.length, 12 + 200 + 1 + 16 + 1 + 200)
    assert.strictEqual(writer.chunkSize, 200)
  })

  it("can be set from outside, and are kept below the message length limit", () => {
    const writer = ChunkWriter.make({ chunkSize: 4096 })
    assert.strictEqual(writer.chunkSize, 4096)
    writer.setChunkSize(0x7fffffff)
    assert.strictEqual(writer.chunkSize, 0xffffff)
    assert.strictEqual(writer.write(audio(0, counting(5000))).length, 12 + 5000)
  })

  it.each([0, -1, 0.5, 0x80000000, Number.NaN])("refuse %d", (size) => {
    assert.throws(() => ChunkWriter.make({ chunkSize: size }), RangeError)
    assert.throws(() => ChunkWriter.make().setChunkSize(size), RangeError)
  })

  it("refuse a Set Chunk Size message of ours that would end the connection", () => {
    const message = ProtocolControl.setChunkSize(1)
    for (const payload of [hex("00000000"), hex("80000000"), hex("000010")]) {
      assert.throws(() => ChunkWriter.make().write({ ...message, payload }), RangeError)
    }
  })
})

describe("limits", () => {
  it("writes chunk streams 2 to 65599 and no others", () => {
    for (const id of [2, 65599])
      assert.deepStrictEqual(read(ChunkWriter.make().write(audio(0, counting(3), id)))[0]!.chunkStreamId, id)
    for (const id of [0, 1, 65600, Number.NaN]) {
      assert.throws(() => ChunkWriter.make().write(audio(0, counting(3), id)), RangeError)
    }
  })

  it("writes payloads of up to 16,777,215 bytes and no longer", () => {
    const writer = ChunkWriter.make({ chunkSize: 0xffffff })
    assert.strictEqual(writer.write(audio(0, new Uint8Array(MAX_PAYLOAD_BYTES))).length, 12 + MAX_PAYLOAD_BYTES)
    assert.throws(() => writer.write(audio(0, new Uint8Array(MAX_PAYLOAD_BYTES + 1))), RangeError)
  })

  it("does not write past the target", () => {
    assert.throws(() => ChunkWriter.encodeInto(new Uint8Array(14), 0, 8, 1, 4, 0, counting(3), 128), RangeError)
  })
})

describe("as a service and a stream", () => {
  it.effect("encodes batches of messages, from the start for every run", () =>
    Effect.gen(function* () {
      const { make } = yield* ChunkWriter.ChunkWriting
      const batches = [[audio(0), audio(20)], [audio(40)]]
      const bytes = Stream.fromIterable(batches).pipe(ChunkWriter.encode(() => make({ chunkSize: 2 })))
      const expected = [hex("04 000000 000003 08 01000000 0001 C4 02 84 000014 0001 C4 02"), hex("C4 0001 C4 02")]
      assert.deepStrictEqual(yield* Stream.runCollect(bytes), expected)
      assert.deepStrictEqual(yield* Stream.runCollect(bytes), expected)
    }).pipe(Effect.provide(ChunkWriter.ChunkWriting.layer))
  )
})
