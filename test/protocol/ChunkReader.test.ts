import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as ChunkReader from "../../src/protocol/ChunkReader.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import {
  abort,
  basicHeaders,
  be,
  counting,
  extendedGoldens,
  extendedMessage,
  goldens,
  hex,
  join,
  setChunkSize,
  type0,
  type1,
  type2,
  type3
} from "./chunks.ts"
import * as Reference from "./ReferenceChunkReader.ts"

/** Pushes everything, out of one buffer that is written over after each push, and gives what came out up to an error. */
const run = (
  pieces: ReadonlyArray<Uint8Array>,
  limits?: Partial<ChunkReader.ChunkReaderLimits>
): { readonly reader: ChunkReader.ChunkReader; readonly outcome: Reference.Outcome } => {
  const reader = ChunkReader.make(limits)
  const messages: Array<Message> = []
  const lent = Buffer.alloc(Math.max(0, ...pieces.map((piece) => piece.length)))
  for (const piece of pieces) {
    lent.set(piece)
    const result = reader.push(lent.subarray(0, piece.length))
    lent.fill(0xff)
    if (Result.isFailure(result)) {
      const { offset, reason, value } = result.failure
      messages.push(...result.failure.messages)
      return { reader, outcome: { messages, error: { reason, offset, value } } }
    }
    messages.push(...result.success)
  }
  return { reader, outcome: { messages, error: undefined } }
}

const bytewise = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => MessageArbitrary.split(bytes, [1])

const readAll = (bytes: Uint8Array): ReadonlyArray<Message> => {
  const { outcome } = run([bytes])
  assert.isUndefined(outcome.error)
  return outcome.messages
}

const message = (
  chunkStreamId: number,
  timestamp: number,
  typeId: number,
  payload: Uint8Array,
  streamId = 0
): Message => ({ typeId, streamId, chunkStreamId, timestamp, payload })

describe("golden bytes", () => {
  it.each(goldens)("reads $name", ({ bytes, message }) => {
    assert.deepStrictEqual(readAll(bytes), [message])
  })

  it.each(basicHeaders)("reads chunk stream id %i from its basic headers", (id, first, third) => {
    const header = hex("00001A 000002 08 01000000")
    const read = readAll(join(hex(first), header, hex("AF01"), hex(third), hex("AF02")))
    assert.deepStrictEqual(read, [message(id, 26, 8, hex("AF01"), 1), message(id, 52, 8, hex("AF02"), 1)])
  })

  it.each(extendedGoldens)("reads extended timestamp %i on both chunks of a message", (timestamp) => {
    const bytes = join(
      hex("06 FFFFFF 0000C8 09 01000000"),
      be(4, timestamp),
      counting(128),
      hex("C6"),
      be(4, timestamp),
      counting(200).subarray(128)
    )
    assert.strictEqual(bytes.length, 221)
    assert.deepStrictEqual(readAll(bytes), [extendedMessage(timestamp)])
  })

  it("adds the type 0 time again for the fresh type 3 of FMLE", () => {
    const bytes = join(
      setChunkSize(4096),
      hex("04 00001A 00009D 08 01000000"),
      counting(157),
      hex("C4"),
      counting(157),
      hex("C4"),
      counting(157)
    )
    assert.deepStrictEqual(
      readAll(bytes)
        .slice(1)
        .map((m) => m.timestamp),
      [26, 52, 78]
    )
  })

  it("takes the negative delta of librtmp modulo 2^32", () => {
    const bytes = join(type0(4, 1000, 8, counting(3)), hex("44 FFFFFF 000005 09 FFFFFF9F"), counting(5))
    assert.deepStrictEqual(
      readAll(bytes).map((m) => m.timestamp),
      [1000, 903]
    )
  })
})

describe("equivalences", () => {
  it.prop(
    "reads every legal chunking back in any partition",
    [MessageArbitrary.chunkedStream, MessageArbitrary.partition],
    ([stream, lengths]) => {
      const { outcome, reader } = run(MessageArbitrary.split(stream.bytes, lengths))
      assert.deepStrictEqual(outcome, { messages: stream.messages, error: undefined })
      assert.strictEqual(reader.bytesRead, stream.bytes.length)
      assert.strictEqual(reader.anomalies, 0)
      assert.strictEqual(reader.bufferedBytes, 0)
    },
    { arbitrary: { runs: 200, size: 30 } }
  )

  it.prop(
    "gives after each byte what the bytes so far determine, and never a wrong message",
    [MessageArbitrary.chunkedStream],
    ([stream]) => {
      const whole = stream.bytes.subarray(0, 1500)
      const reader = ChunkReader.make()
      let count = 0
      for (let i = 0; i < whole.length; i++) {
        for (const read of Result.getOrThrow(reader.push(whole.slice(i, i + 1)))) {
          assert.deepStrictEqual(read, stream.messages[count])
          count++
        }
        if (i % 50 === 0) assert.strictEqual(run([whole.slice(0, i + 1)]).outcome.messages.length, count)
      }
    },
    { arbitrary: { runs: 50, size: 30 } }
  )

  const damage = ([stream, hits]: readonly [
    MessageArbitrary.ChunkedStream,
    ReadonlyArray<readonly [at: number, value: number]>
  ]) => {
    const bytes = stream.bytes.slice()
    for (const [at, value] of hits) if (bytes.length > 0) bytes[at % bytes.length] = value
    return bytes
  }
  const hits = MessageArbitrary.integer(0, 255)
  const limits = { maxMessageBytes: 40_000, maxReassemblyBytes: 60_000, maxChunkStreams: 8, maxAnomalies: 2 }

  it.prop(
    "reads damaged streams as the reference does, to the same error at the same byte, within its memory bound",
    {
      stream: MessageArbitrary.chunkedStream,
      at: MessageArbitrary.integer(0, 2000),
      first: hits,
      second: hits,
      lengths: MessageArbitrary.partition
    },
    ({ at, first, lengths, second, stream }) => {
      const bytes = damage([
        stream,
        [
          [at, first],
          [at * 7, second]
        ]
      ])
      const expected = Reference.read(bytes, { limits })
      assert.deepStrictEqual(run([bytes], limits).outcome, expected)
      assert.deepStrictEqual(run(MessageArbitrary.split(bytes, lengths), limits).outcome, expected)
      const reader = ChunkReader.make(limits)
      for (const byte of bytewise(bytes.subarray(0, 400))) {
        reader.push(byte)
        assert.isAtMost(reader.bufferedBytes, 3 * reader.bytesRead + 1024 * limits.maxChunkStreams + 18)
      }
    },
    { arbitrary: { runs: 200, size: 30 } }
  )

  it.prop(
    "survives any bytes, and reads them as the reference does",
    { seed: MessageArbitrary.u32, length: MessageArbitrary.integer(0, 400), lengths: MessageArbitrary.partition },
    ({ length, lengths, seed }) => {
      // Random headers nearly always announce far too much or continue nothing: half of the bytes are made plausible.
      const bytes = MessageArbitrary.payload(seed, length).map((byte, i) => (i % 2 === seed % 2 ? byte % 6 : byte))
      const expected = Reference.read(bytes)
      assert.deepStrictEqual(run(MessageArbitrary.split(bytes, lengths)).outcome, expected)
    },
    { arbitrary: { runs: 300 } }
  )
})

describe("memory", () => {
  const setup = (size: number): ChunkReader.ChunkReader => {
    const reader = ChunkReader.make()
    Result.getOrThrow(reader.push(setChunkSize(size)))
    return reader
  }

  it("keeps nothing of what was pushed, so that it can be written over", () => {
    const reader = setup(4096)
    reader.stopAtCommands!()
    const pushed = Buffer.from(
      join(type0(6, 0, 9, counting(200)), type0(3, 0, 20, counting(3)), type0(4, 0, 8, counting(90)))
    )
    const [video, command] = Result.getOrThrow(reader.push(pushed))
    pushed.fill(0xff)
    const [audio] = Result.getOrThrow(reader.push(Bytes.empty))
    assert.deepStrictEqual(video!.payload, counting(200))
    assert.deepStrictEqual(command!.payload, counting(3))
    assert.deepStrictEqual(audio!.payload, counting(90))
  })

  it("assembles a message in a plain array that covers a buffer of exactly its size", () => {
    const reader = setup(100)
    const chunks = join(type0(4, 0, 8, counting(100), { length: 200 }), type3(4, counting(100)))
    const [read] = Result.getOrThrow(reader.push(chunks))
    assert.strictEqual(read!.payload.buffer.byteLength, 200)
    const whole = type0(4, 0, 8, counting(90))
    assert.deepStrictEqual(Result.getOrThrow(reader.push(whole.subarray(0, 50))), [])
    const [split] = Result.getOrThrow(reader.push(whole.subarray(50)))
    assert.strictEqual(split!.payload.buffer.byteLength, 90)
    assert.deepStrictEqual(split!.payload, counting(90))
    const [atOnce] = Result.getOrThrow(reader.push(Buffer.from(whole)))
    assert.strictEqual(atOnce!.payload.buffer.byteLength, 90)
    assert.strictEqual(Object.getPrototypeOf(atOnce!.payload), Uint8Array.prototype)
  })

  it("keeps returned payloads as they were while it reads on", () => {
    const chunks = (fill: number): Uint8Array =>
      join(
        type0(4, 0, 8, new Uint8Array(100).fill(fill), { length: 200 }),
        type3(4, new Uint8Array(100).fill(fill)),
        type0(5, 0, 8, new Uint8Array(50).fill(fill))
      )
    const reader = setup(100)
    const read = [1, 2, 3].map((fill) =>
      [chunks(fill).subarray(0, 150), chunks(fill).subarray(150)].flatMap((bytes) =>
        Result.getOrThrow(reader.push(bytes))
      )
    )
    for (const [i, messages] of read.entries()) {
      assert.deepStrictEqual(messages[0]!.payload, new Uint8Array(200).fill(i + 1))
      assert.deepStrictEqual(messages[1]!.payload, new Uint8Array(50).fill(i + 1))
    }
  })

  it("holds memory for what it received, not for what 64 chunk streams announce (case 35)", () => {
    const reader = ChunkReader.make()
    for (let i = 0; i < 64; i++) {
      const id = i < 62 ? Uint8Array.of(i + 2) : Uint8Array.of(0, i - 62)
      Result.getOrThrow(reader.push(join(id, hex("000000 9FFFFF 09 01000000"), counting(128))))
    }
    assert.strictEqual(reader.bytesRead, 64 * 140 + 2)
    assert.isAtMost(reader.bufferedBytes, 64 * 1024)
    const read = reader.push(hex("00 02 000000 000001 08 01000000 00"))
    assert.strictEqual(Result.isFailure(read) && read.failure.reason, "TooManyChunkStreams")
    assert.strictEqual(reader.bufferedBytes, 0)
  })

  it("grows a buffer with what arrives, to the announced length and not beyond", () => {
    const reader = setup(0xffffff)
    Result.getOrThrow(reader.push(type0(4, 0, 9, 1_000_000)))
    assert.strictEqual(reader.bufferedBytes, 0)
    for (let sent = 0; sent < 999_000; sent += 1000) {
      Result.getOrThrow(reader.push(new Uint8Array(1000)))
      assert.isAtMost(reader.bufferedBytes, Math.min(1_000_000, 3 * reader.bytesRead + 1024))
      assert.isAtLeast(reader.bufferedBytes, sent + 1000)
    }
    assert.strictEqual(Result.getOrThrow(reader.push(new Uint8Array(1000)))[0]!.payload.length, 1_000_000)
    assert.strictEqual(reader.bufferedBytes, 0)
  })

  it("makes room for a whole message at once when the connection has sent that much", () => {
    const reader = setup(0xffffff)
    Result.getOrThrow(reader.push(type0(4, 0, 8, new Uint8Array(10_000 - 16 - 12 - 13))))
    Result.getOrThrow(reader.push(join(type0(4, 0, 9, 10_000), hex("00"))))
    assert.deepStrictEqual([reader.bytesRead, reader.bufferedBytes], [10_000, 10_000])
    Result.getOrThrow(reader.push(new Uint8Array(9_999)))
    Result.getOrThrow(reader.push(join(type0(4, 0, 9, 30_000), hex("00"))))
    assert.strictEqual(reader.bufferedBytes, 1024)
  })

  it("gives up the memory of a message that is aborted or cut short", () => {
    const reader = setup(100)
    Result.getOrThrow(reader.push(type0(4, 0, 9, counting(100), { length: 5000 })))
    assert.isAbove(reader.bufferedBytes, 0)
    Result.getOrThrow(reader.push(abort(4)))
    assert.strictEqual(reader.bufferedBytes, 0)
    Result.getOrThrow(reader.push(type0(4, 0, 9, counting(100), { length: 5000 })))
    Result.getOrThrow(reader.push(type0(4, 0, 9, counting(100))))
    assert.strictEqual(reader.bufferedBytes, 0)
  })
})

describe("work is linear", () => {
  const singles = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte))

  it("reads a message of 10 MiB from one-byte buffers (case 72)", () => {
    const length = 10 * 1024 * 1024
    const reader = ChunkReader.make()
    Result.getOrThrow(reader.push(setChunkSize(60_000)))
    Result.getOrThrow(reader.push(type0(6, 0, 9, length)))
    let read: ReadonlyArray<Message> = []
    for (let i = 0; i < length; i++) {
      if (i > 0 && i % 60_000 === 0) reader.push(singles[0xc6]!)
      read = Result.getOrThrow(reader.push(singles[i & 0xff]!))
    }
    assert.strictEqual(read.length, 1)
    assert.strictEqual(read[0]!.payload.length, length)
    assert.isTrue(read[0]!.payload.every((byte, i) => byte === (i & 0xff)))
  })

  it("reads a message of 10 MiB in chunks of one byte where that is allowed", () => {
    const length = 10 * 1024 * 1024
    const reader = ChunkReader.make({ minChunkSize: 0 })
    Result.getOrThrow(reader.push(setChunkSize(1)))
    Result.getOrThrow(reader.push(type0(6, 0, 9, Uint8Array.of(7), { length })))
    const buffer = new Uint8Array(65_536).map((_, i) => (i % 2 === 0 ? 0xc6 : 7))
    const bytes = 2 * (length - 1)
    let read: ReadonlyArray<Message> = []
    for (let sent = 0; sent < bytes; sent += buffer.length) {
      read = Result.getOrThrow(reader.push(buffer.subarray(0, Math.min(buffer.length, bytes - sent))))
    }
    assert.strictEqual(read[0]?.payload.length, length)
  })
})

describe("hostile and unusual input", () => {
  const a = counting(3)
  const after = type0(9, 5, 8, a)
  const afterwards = message(9, 5, 8, a)
  /** `messages` of the case, then `after`; or the error that keeps `after` from being read, at the chunk at `offset`. */
  interface Case {
    readonly name: string
    readonly bytes: Uint8Array
    readonly messages?: ReadonlyArray<Message>
    readonly error?: Reference.Outcome["error"]
    readonly anomalies?: number
    readonly chunkSize?: number
  }
  const control = (size: number): Message => message(2, 0, 1, be(4, size))
  const half = type0(6, 40, 9, counting(128), { length: 200, streamId: 1 })
  const rest = counting(200).subarray(128)
  const t = 0x01020304
  const partial = type0(6, t, 9, counting(128), { length: 200 })
  const failure = (
    reason: ChunkReader.ChunkErrorReason,
    value: number,
    offset = 0
  ): Pick<Case, "error" | "messages"> => ({
    error: { reason, offset, value },
    messages: []
  })
  const cases: ReadonlyArray<Case> = [
    { name: "26: chunk size 0", bytes: setChunkSize(0), ...failure("InvalidChunkSize", 0) },
    {
      name: "27: chunk size with the top bit",
      bytes: setChunkSize(0x80000000),
      ...failure("InvalidChunkSize", 0x80000000)
    },
    { name: "27: chunk size -1", bytes: setChunkSize(0xffffffff), ...failure("InvalidChunkSize", 0xffffffff) },
    {
      name: "28: chunk size 1 is legal",
      bytes: join(
        setChunkSize(1),
        type0(4, 0, 8, hex("01"), { length: 2 }),
        type3(4, hex("02")),
        hex("02 000000 000004 01 00000000 00 C2 00 C2 10 C2 00")
      ),
      messages: [control(1), message(4, 0, 8, hex("0102")), control(4096)],
      chunkSize: 4096
    },
    {
      name: "29: chunk size 0x7FFFFFFF is kept as 0xFFFFFF",
      bytes: setChunkSize(0x7fffffff),
      messages: [control(0x7fffffff)],
      chunkSize: 0xffffff
    },
    { name: "30: short Set Chunk Size", bytes: type0(2, 0, 1, a), ...failure("InvalidControlMessage", 1) },
    {
      name: "30: long Set Chunk Size",
      bytes: type0(2, 0, 1, hex("00001000 FFFF")),
      messages: [message(2, 0, 1, hex("00001000 FFFF"))],
      chunkSize: 4096
    },
    {
      name: "31: chunk size grows inside a message of another chunk stream",
      bytes: join(half, setChunkSize(4096), type3(6, rest)),
      messages: [control(4096), message(6, 40, 9, counting(200), 1)],
      chunkSize: 4096
    },
    {
      name: "31: chunk size shrinks inside a message of another chunk stream",
      bytes: join(
        half,
        setChunkSize(50),
        type3(6, rest.subarray(0, 50)),
        setChunkSize(128),
        type3(6, rest.subarray(50))
      ),
      messages: [control(50), control(128), message(6, 40, 9, counting(200), 1)]
    },
    {
      name: "32: Set Chunk Size over several chunks counts when it is complete",
      bytes: join(
        setChunkSize(3),
        type0(2, 0, 1, hex("000010"), { length: 4 }),
        type0(4, 7, 8, hex("0A0B0C")),
        type3(2, hex("00")),
        type0(4, 7, 8, counting(64))
      ),
      messages: [control(3), message(4, 7, 8, hex("0A0B0C")), control(4096), message(4, 7, 8, counting(64))],
      chunkSize: 4096
    },
    {
      name: "33: Set Chunk Size on another chunk stream and message stream",
      bytes: type0(7, 99, 1, be(4, 4096), { streamId: 3 }),
      messages: [message(7, 99, 1, be(4, 4096), 3)],
      chunkSize: 4096
    },
    {
      name: "34: a thousand chunk sizes",
      bytes: join(...Array.from({ length: 1000 }, (_, i) => setChunkSize(1000 + i))),
      messages: Array.from({ length: 1000 }, (_, i) => control(1000 + i)),
      chunkSize: 1999
    },
    {
      name: "37: message above the limit, at its header",
      bytes: type0(6, 0, 9, 10 * 1024 * 1024 + 1),
      ...failure("MessageTooLarge", 10 * 1024 * 1024 + 1)
    },
    {
      name: "38: audio and video of length 0",
      bytes: join(type0(4, 1, 8, Bytes.empty), type0(6, 1, 9, Bytes.empty), type3(6, Bytes.empty)),
      messages: [message(4, 1, 8, Bytes.empty), message(6, 1, 9, Bytes.empty), message(6, 2, 9, Bytes.empty)]
    },
    ...[1, 5, 6].map((type) => ({
      name: `39: empty message of type ${type}`,
      bytes: type0(2, 0, type, Bytes.empty),
      ...failure("InvalidControlMessage", type)
    })),
    ...[1, 5, 6].map((type) => ({
      name: `39: three bytes of type ${type}, by a type 1 header`,
      bytes: join(type0(2, 0, 3, be(4, 1)), type1(2, 0, type, 3)),
      error: { reason: "InvalidControlMessage" as const, offset: 16, value: type },
      messages: [message(2, 0, 3, be(4, 1))]
    })),
    ...[2, 3, 4].map((type) => ({
      name: `39, 58: empty message of type ${type} is skipped`,
      bytes: type0(2, 0, type, Bytes.empty),
      messages: [message(2, 0, type, Bytes.empty)]
    })),
    {
      name: "40: chunk stream starts with type 3",
      bytes: type3(6, a),
      ...failure("UninitialisedChunkStream", 6)
    },
    {
      name: "40: chunk stream starts with type 2",
      bytes: type2(29, 0, a),
      ...failure("UninitialisedChunkStream", 29)
    },
    {
      name: "41: chunk stream starts with type 1, type 3 follows",
      bytes: join(hex("42 00000A 000004 03 00001000"), hex("C2 00002000")),
      messages: [message(2, 10, 3, be(4, 4096)), message(2, 20, 3, be(4, 8192))]
    },
    {
      name: "42: type 0 in the middle of a message",
      bytes: join(half, type0(6, 50, 9, a)),
      messages: [message(6, 50, 9, a)],
      anomalies: 1
    },
    {
      name: "43: type 1 with a smaller length in the middle of a message",
      bytes: join(half, type1(6, 10, 8, a)),
      messages: [message(6, 50, 8, a, 1)],
      anomalies: 1
    },
    {
      name: "43: type 1 with a larger length in the middle of a message",
      bytes: join(half, type1(6, 10, 8, counting(128), 250), type3(6, counting(250).subarray(128))),
      messages: [message(6, 50, 8, counting(250), 1)],
      anomalies: 1
    },
    {
      name: "43: type 1 with the same type and length in the middle of a message",
      bytes: join(half, type1(6, 10, 9, counting(128), 200), type3(6, rest)),
      messages: [message(6, 50, 9, counting(200), 1)],
      anomalies: 1
    },
    {
      name: "43: type 2 in the middle of a message",
      bytes: join(half, type2(6, 10, counting(128)), type3(6, rest)),
      messages: [message(6, 50, 9, counting(200), 1)],
      anomalies: 1
    },
    {
      name: "44: type 3 after a complete message",
      bytes: join(type0(4, 100, 8, a), type2(4, 20, a), type3(4, a), type3(4, a)),
      messages: [100, 120, 140, 160].map((time) => message(4, time, 8, a))
    },
    {
      name: "45: one chunk stream by both long headers",
      bytes: join(hex("00 08 000001 000003 08 00000000"), a, hex("81 08 00 000002"), a, hex("C0 08"), a),
      messages: [1, 3, 5].map((time) => message(72, time, 8, a))
    },
    {
      name: "46: audio on chunk stream 2, video on 3",
      bytes: join(type0(2, 1, 8, a), type0(3, 2, 9, a)),
      messages: [message(2, 1, 8, a), message(3, 2, 9, a)]
    },
    {
      name: "47: an acknowledgement between the chunks of a video message",
      bytes: join(half, type0(2, 0, 3, be(4, 9)), type3(6, rest)),
      messages: [message(2, 0, 3, be(4, 9)), message(6, 40, 9, counting(200), 1)]
    },
    {
      name: "48: video on two chunk streams, in order of completion",
      bytes: join(half, type0(7, 41, 9, a), type3(6, rest)),
      messages: [message(7, 41, 9, a), message(6, 40, 9, counting(200), 1)]
    },
    {
      name: "49: 60 messages, chunk by chunk in turn",
      bytes: join(
        ...[0, 1, 2].flatMap((round) =>
          Array.from({ length: 60 }, (_, i) => {
            const part = counting(150 * 2).subarray(128 * round, Math.min(300, 128 * round + 128))
            return round === 0 ? type0(i + 3, i, 9, part, { length: 300 }) : type3(i + 3, part)
          })
        )
      ),
      messages: Array.from({ length: 60 }, (_, i) => message(i + 3, i, 9, counting(300)))
    },
    {
      name: "50: extended timestamp below 0xFFFFFF",
      bytes: join(hex("06 FFFFFF 0000C8 09 00000000 00000010"), counting(128), hex("C6 00000010"), rest),
      messages: [message(6, 16, 9, counting(200))]
    },
    {
      name: "52: continuations without the extended timestamp",
      bytes: join(partial, type3(6, rest), type0(6, t, 9, counting(128), { length: 200 }), type3(6, rest)),
      messages: [message(6, t, 9, counting(200)), message(6, t, 9, counting(200))]
    },
    {
      name: "52: newer OBS: continuations with, fresh type 3 without the extended timestamp",
      bytes: join(
        type0(6, 0, 9, a),
        type1(6, t, 9, counting(128), 200),
        type3(6, join(be(4, t), rest)),
        type3(6, counting(128)),
        type3(6, join(be(4, t), rest))
      ),
      messages: [message(6, 0, 9, a), message(6, t, 9, counting(200)), message(6, 2 * t, 9, counting(200))]
    },
    {
      name: "52: the absolute time repeated after an extended delta",
      bytes: join(
        type0(6, 1000, 9, a),
        type1(6, t, 9, counting(128), 200),
        type3(6, join(be(4, t + 1000), rest)),
        type2(6, t, counting(128)),
        type3(6, join(be(4, 2 * t + 1000), rest))
      ),
      messages: [
        message(6, 1000, 9, a),
        message(6, t + 1000, 9, counting(200)),
        message(6, 2 * t + 1000, 9, counting(200))
      ]
    },
    {
      name: "52: one byte is left of the message, and differs",
      bytes: join(type0(6, t, 9, counting(128), { length: 129 }), type3(6, hex("02"))),
      messages: [message(6, t, 9, join(counting(128), hex("02")))]
    },
    {
      name: "52: one byte is left of the message, and only the next header tells",
      bytes: join(type0(6, t, 9, counting(128), { length: 129 }), type3(6, hex("01"))),
      messages: [message(6, t, 9, join(counting(128), hex("01")))]
    },
    {
      name: "52: one byte is left of the message, and a faulty header tells",
      bytes: join(type0(6, t, 9, counting(128), { length: 129 }), type3(6, hex("01")), type3(33, a)),
      error: { reason: "UninitialisedChunkStream", offset: 146, value: 33 },
      messages: [message(6, t, 9, join(counting(128), hex("01")))]
    },
    {
      name: "52: type 3 timestamps stay once they were seen, whatever payload looks like",
      bytes: join(partial, type3(6, join(be(4, t), be(4, t), rest.subarray(4)))),
      messages: [message(6, t, 9, join(counting(128), be(4, t), rest.subarray(4)))]
    },
    {
      name: "53: payload that equals the missing timestamp is misread, and ends in an error",
      bytes: join(partial, type3(6, join(be(4, t), rest.subarray(4))), type3(33, a), type3(34, a)),
      error: { reason: "UninitialisedChunkStream", offset: 221, value: 34 },
      messages: [message(6, t, 9, join(counting(128), rest.subarray(4), hex("E1000102")))]
    },
    {
      name: "54: delta -1",
      bytes: join(type0(4, 100, 8, a), type1(4, 0xffffffff, 8, a), type3(4, join(be(4, 0xffffffff), a))),
      messages: [100, 99, 98].map((time) => message(4, time, 8, a))
    },
    {
      name: "55: time goes back, forward by an hour, and wraps",
      bytes: join(
        ...[20_000, 10_000, 3_610_000, 0xfffffff0].map((time) => type0(4, time, 8, a)),
        type1(4, 0x20, 8, a),
        type3(4, a)
      ),
      messages: [20_000, 10_000, 3_610_000, 0xfffffff0, 0x10, 0x30].map((time) => message(4, time, 8, a))
    },
    {
      name: "57: Abort of nothing",
      bytes: join(abort(6), abort(2), abort(70_000), abort(0xffffffff), type0(6, 1, 9, a), abort(6)),
      messages: [
        ...[6, 2, 70_000, 0xffffffff].map((id) => message(2, 0, 2, be(4, id))),
        message(6, 1, 9, a),
        message(2, 0, 2, be(4, 6))
      ]
    },
    {
      name: "58: short Abort leaves the message alone",
      bytes: join(half, type0(2, 0, 2, hex("000006")), type3(6, rest)),
      messages: [message(2, 0, 2, hex("000006")), message(6, 40, 9, counting(200), 1)]
    },
    {
      name: "59: type 3 after an Abort starts a new message",
      bytes: join(half, abort(6), type3(6, counting(128)), type3(6, rest)),
      messages: [message(2, 0, 2, be(4, 6)), message(6, 80, 9, counting(200), 1)]
    },
    {
      name: "60: unknown message types",
      bytes: join(...[0, 7, 10, 14, 21, 23, 255].map((type) => type0(3, 0, type, a))),
      messages: [0, 7, 10, 14, 21, 23, 255].map((type) => message(3, 0, type, a))
    },
    {
      name: "71: message stream id -1, and 1 in the wrong byte order",
      bytes: join(type0(4, 0, 8, a, { streamId: 0xffffffff }), type0(4, 0, 8, a, { streamId: 0x1000000 })),
      messages: [message(4, 0, 8, a, 0xffffffff), message(4, 0, 8, a, 0x1000000)]
    }
  ]

  it.each(cases)("case $name", ({ anomalies = 0, bytes, chunkSize = 128, error, messages = [] }) => {
    const input = join(bytes, after)
    const expected = { messages: error === undefined ? [...messages, afterwards] : messages, error }
    for (const pieces of [[input], bytewise(input), MessageArbitrary.split(input, [7, 1, 130])]) {
      const { outcome, reader } = run(pieces)
      assert.deepStrictEqual(outcome, expected)
      assert.strictEqual(reader.anomalies, anomalies)
      if (error === undefined) assert.strictEqual(reader.chunkSize, chunkSize)
    }
    assert.deepStrictEqual(Reference.read(input), expected)
  })

  it("case 51: waits for the extended timestamp", () => {
    const reader = ChunkReader.make()
    const bytes = type0(6, t, 9, a)
    for (const byte of bytewise(bytes.subarray(0, -1))) assert.deepStrictEqual(Result.getOrThrow(reader.push(byte)), [])
    assert.deepStrictEqual(Result.getOrThrow(reader.push(bytes.subarray(-1))), [message(6, t, 9, a)])
  })

  it("reports how the sender treats extended timestamps", () => {
    const reader = ChunkReader.make()
    assert.deepStrictEqual(reader.extendedTimestamps, { continuation: "Unknown", fresh: "Unknown" })
    Result.getOrThrow(reader.push(join(partial, type3(6, rest), type3(6, be(4, t)))))
    assert.deepStrictEqual(reader.extendedTimestamps, { continuation: "Absent", fresh: "Present" })
  })
})

describe("limits", () => {
  /** The last byte sequence that a limit lets pass, and the first that it does not. */
  const edge = (
    limits: Partial<ChunkReader.ChunkReaderLimits>,
    passes: Uint8Array,
    fails: Uint8Array,
    reason: ChunkReader.ChunkErrorReason,
    value: number
  ): void => {
    for (const cut of [(bytes: Uint8Array) => [bytes], bytewise]) {
      assert.isUndefined(run(cut(passes), limits).outcome.error)
      const { error } = run(cut(fails), limits).outcome
      assert.deepStrictEqual([error?.reason, error?.value], [reason, value])
    }
  }
  const some = counting(3)

  it("maxMessageBytes holds for types 0, 1 and 3", () => {
    const limits = { maxMessageBytes: 10 }
    edge(limits, type0(4, 0, 8, 10), type0(4, 0, 8, 11), "MessageTooLarge", 11)
    const one = type0(4, 0, 8, some)
    edge(limits, join(one, type1(4, 0, 8, 10)), join(one, type1(4, 0, 8, 11)), "MessageTooLarge", 11)
    const reader = ChunkReader.make()
    Result.getOrThrow(reader.push(one))
    reader.setMaxMessageBytes(2)
    const result = reader.push(type3(4, some))
    assert.strictEqual(Result.isFailure(result) && result.failure.reason, "MessageTooLarge")
  })

  it("setMaxMessageBytes counts for messages that start later, not for the one in progress", () => {
    const reader = ChunkReader.make({ maxMessageBytes: 200 })
    Result.getOrThrow(reader.push(type0(4, 0, 8, counting(128), { length: 200 })))
    reader.setMaxMessageBytes(100)
    assert.strictEqual(Result.getOrThrow(reader.push(type3(4, counting(72)))).length, 1)
    reader.setMaxMessageBytes(201)
    Result.getOrThrow(reader.push(type0(4, 0, 8, counting(128), { length: 201 })))
  })

  it("maxChunkStreams counts the ids seen (case 36)", () => {
    const streams = (count: number): Uint8Array =>
      join(...Array.from({ length: count }, (_, i) => type0(i + 2, 0, 8, hex("00"))))
    edge({ maxChunkStreams: 5 }, join(streams(5), streams(5)), streams(6), "TooManyChunkStreams", 7)
    const many = join(
      ...Array.from({ length: 65 }, (_, i) =>
        join(hex("01"), Uint8Array.of(i, 9), type0(0, 0, 8, hex("00")).subarray(1))
      )
    )
    edge({}, many.subarray(0, 64 * 15), many, "TooManyChunkStreams", 64 + 64 + 9 * 256)
  })

  it("maxReassemblyBytes counts unfinished messages and the chunk in progress", () => {
    const started = (count: number): Uint8Array =>
      join(...Array.from({ length: count }, (_, i) => type0(i + 3, 0, 9, counting(128), { length: 1000 })))
    const limits = { maxReassemblyBytes: 3 * 128 + 3 }
    edge(limits, join(started(3), type0(2, 0, 3, some)), started(4), "ReassemblyLimit", 4 * 128)
    edge(limits, started(3), join(started(3), type0(2, 0, 3, 4)), "ReassemblyLimit", 3 * 128 + 4)
    const done = join(started(3), abort(3).subarray(0, 0), type0(3, 0, 9, some))
    edge(limits, join(done, type0(2, 0, 3, counting(100))), started(4), "ReassemblyLimit", 4 * 128)
  })

  it("maxAnomalies counts messages cut short", () => {
    const cut = (count: number): Uint8Array =>
      join(...Array.from({ length: count + 1 }, () => type0(4, 0, 9, counting(128), { length: 200 })))
    edge({ maxAnomalies: 3 }, cut(3), cut(4), "TooManyAnomalies", 4)
    edge({}, cut(8), cut(9), "TooManyAnomalies", 9)
  })

  it("maxChunkDebtBytes bounds the chunks below minChunkSize, and larger chunks pay back (case 28)", () => {
    const tiny = (length: number): Uint8Array =>
      join(type0(4, 0, 9, hex("00"), { length }), ...Array.from({ length: length - 1 }, () => type3(4, hex("00"))))
    // Ten chunks, of which nine leave the message unfinished and lack 63 bytes each.
    const limits = { maxChunkDebtBytes: 9 * 63 }
    const size = (now: number): Uint8Array =>
      join(
        hex("03 000000 000004 01 00000000"),
        ...[0, 0, now >> 8].map((byte) => Uint8Array.of(byte, 0xc3)),
        be(1, now)
      )
    edge(limits, join(setChunkSize(1), tiny(10)), join(setChunkSize(1), tiny(11)), "ChunkSizeAbuse", 1)
    edge(
      limits,
      join(setChunkSize(1), tiny(10), tiny(1)),
      join(setChunkSize(1), tiny(10), tiny(2)),
      "ChunkSizeAbuse",
      1
    )
    // Three of four bytes of a chunk size message count, too.
    const paid = join(setChunkSize(1), tiny(7), size(128), type0(5, 0, 8, counting(63)), setChunkSize(1))
    edge(limits, join(paid, tiny(2)), join(paid, tiny(4)), "ChunkSizeAbuse", 1)
    edge(
      { ...limits, minChunkSize: 0 },
      join(setChunkSize(1), tiny(500)),
      type3(4, some),
      "UninitialisedChunkStream",
      4
    )
  })

  it("sizes from 64 on are never metered, and one below it is for long only", () => {
    const video = (size: number, messages: number): Reference.Outcome =>
      run(
        [
          setChunkSize(size),
          ...Array.from({ length: messages }, () =>
            join(type0(4, 0, 9, counting(size), { length: 2 * size }), type3(4, counting(size)))
          )
        ],
        { maxChunkDebtBytes: 100 }
      ).outcome
    assert.isUndefined(video(64, 500).error)
    assert.isUndefined(video(63, 100).error)
    assert.strictEqual(video(63, 101).error?.reason, "ChunkSizeAbuse")
  })

  it("refuses limits that are no numbers of bytes", () => {
    assert.throws(() => ChunkReader.make({ maxMessageBytes: -1 }), RangeError)
    assert.throws(() => ChunkReader.make({ maxChunkStreams: Number.NaN }), RangeError)
    assert.throws(() => ChunkReader.make().setMaxMessageBytes(0.5), RangeError)
  })
})

describe("errors", () => {
  it("carry the messages before the fault, its place and the header there", () => {
    const good = type0(4, 0, 8, counting(3))
    const reader = ChunkReader.make()
    Result.getOrThrow(reader.push(good))
    const result = reader.push(join(good, hex("DD0102030405060708090A0B0C0D0E0F")))
    assert.isTrue(Result.isFailure(result))
    if (!Result.isFailure(result)) return
    const error = result.failure
    assert.strictEqual(error._tag, "ChunkError")
    assert.strictEqual(error.offset, 2 * good.length)
    assert.deepStrictEqual(error.messages, [message(4, 0, 8, counting(3))])
    assert.strictEqual(error.message, "chunk stream 29 not initialised at byte 30 (dd)")
  })

  it("leave the reader dead", () => {
    const reader = ChunkReader.make()
    assert.isTrue(Result.isFailure(reader.push(type3(4, counting(3)))))
    for (let i = 0; i < 2; i++) {
      const again = reader.push(type0(4, 0, 8, counting(3)))
      assert.isTrue(Result.isFailure(again))
      if (Result.isFailure(again)) assert.strictEqual(again.failure.reason, "AlreadyFailed")
    }
    assert.strictEqual(reader.bufferedBytes, 0)
  })

  it("point at the chunk that completed a faulty message, over buffers", () => {
    const bytes = join(setChunkSize(2), type0(2, 0, 1, hex("8000"), { length: 4 }), type3(2, hex("0000")))
    for (const pieces of [[bytes], bytewise(bytes)]) {
      assert.deepStrictEqual(run(pieces).outcome.error, { reason: "InvalidChunkSize", offset: 30, value: 0x80000000 })
    }
  })
})

describe("as a service and a stream", () => {
  const input = join(type0(4, 0, 8, counting(3)), type0(6, 0, 9, counting(5)))

  it.effect("decodes a stream of buffers into batches of messages", () =>
    Effect.gen(function* () {
      const batches = Stream.fromIterable(MessageArbitrary.split(input, [20])).pipe(ChunkReader.decode())
      const expected = [[message(4, 0, 8, counting(3))], [message(6, 0, 9, counting(5))]]
      assert.deepStrictEqual(yield* Stream.runCollect(batches), expected)
      // Every run has a reader of its own.
      assert.deepStrictEqual(yield* Stream.runCollect(batches), expected)
    })
  )

  it.effect("fails the stream with the reader's error", () =>
    Effect.gen(function* () {
      const { make } = yield* ChunkReader.ChunkReading
      const decode = ChunkReader.decode(() => make({ maxMessageBytes: 4 }))
      const error = yield* Effect.flip(Stream.runCollect(decode(Stream.make(input))))
      assert.strictEqual(error.reason, "MessageTooLarge")
      assert.deepStrictEqual(error.messages, [message(4, 0, 8, counting(3))])
    }).pipe(Effect.provide(ChunkReader.ChunkReading.layer))
  )
})
