import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Batch from "../../src/live/Batch.ts"
import * as ChunkReader from "../../src/protocol/ChunkReader.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as LiveArbitrary from "../../src/testing/LiveArbitrary.ts"

const pending = (
  kind: LiveArbitrary.MediaContent["kind"],
  number: number,
  timestamp: number,
  bytes = 0
): Batch.PendingMessage => {
  const message = LiveArbitrary.message({ kind, number }, timestamp, bytes)
  return {
    kind: message.typeId === Message.AUDIO ? "audio" : message.typeId === Message.VIDEO ? "video" : "data",
    role: kind === "Keyframe" ? "Keyframe" : kind === "Metadata" ? "Metadata" : "Frame",
    cacheKey: "",
    typeId: message.typeId,
    timestamp,
    trackBit: 1,
    clockMs: 0,
    receivedAtMs: 0,
    payload: message.payload
  }
}

const decode = (bytes: Uint8Array): ReadonlyArray<Message.Message> =>
  Result.getOrThrow(ChunkReader.make({ minChunkSize: 0 }).push(bytes))

describe("Batch", () => {
  const messages = [
    pending("Keyframe", 1, 0xffffffff, 700),
    pending("Metadata", 2, 5),
    pending("AudioFrame", 3, 0xffffff),
    pending("InterFrame", 4, 20, 129)
  ]

  it("encodes messages that any chunk reader reads back, each on the chunk stream of its kind, metadata at time 0", () => {
    const batch = Batch.encode(messages, 128)
    const read = decode(batch.bytes)
    assert.deepStrictEqual(
      read.map(({ chunkStreamId, streamId, timestamp }) => [chunkStreamId, streamId, timestamp]),
      [
        [6, 1, 0xffffffff],
        [5, 1, 0],
        [4, 1, 0xffffff],
        [6, 1, 20]
      ]
    )
    read.forEach((message, index) => {
      assert.deepStrictEqual(message.payload, messages[index]!.payload)
    })
    assert.strictEqual(batch.frames, 3)
  })

  it("leaves records that cover the batch without gaps, each of them whole messages", () => {
    const batch = Batch.encode(messages, 128)
    let end = 0
    for (const [index, record] of batch.records.entries()) {
      assert.strictEqual(record.buffer, batch.bytes)
      assert.strictEqual(record.start, end)
      end = record.end
      const read = decode(record.buffer.subarray(record.start, record.end))
      assert.deepStrictEqual(read[0]!.payload, messages[index]!.payload)
    }
    assert.strictEqual(end, batch.bytes.length)
  })

  it("readdresses every message and leaves the shared bytes as they are", () => {
    const batch = Batch.encode(messages, 128)
    const before = batch.bytes.slice()
    const other = Batch.forMessageStream(batch, 0x01020304)
    assert.deepStrictEqual(batch.bytes, before)
    const read = decode(other)
    for (const [index, message] of read.entries()) {
      assert.strictEqual(message.streamId, 0x01020304)
      assert.deepStrictEqual(message.payload, messages[index]!.payload)
    }
  })

  it("readdresses a part of a run in memory of exactly its size", () => {
    const run = Batch.concatRecords(Batch.encode(messages, 128).records)
    const part = Batch.readdress(run, 1, 3, 7)
    assert.strictEqual(part.buffer.byteLength, run.starts[3]! - run.starts[1]!)
    assert.deepStrictEqual(
      decode(part).map(({ payload, streamId }) => [streamId, payload]),
      [1, 2].map((index) => [7, messages[index]!.payload])
    )
  })

  it("moves records to memory of exactly their size, and changes nothing else of them", () => {
    const { records } = Batch.encode(messages, 128)
    const some = [records[0]!, records[3]!]
    const packed = Batch.repack(some)
    let bytes = 0
    for (const [index, record] of packed.entries()) {
      const { buffer, end, start, ...facts } = record
      const { buffer: from, end: fromEnd, start: fromStart, ...expected } = some[index]!
      assert.deepStrictEqual(facts, expected)
      assert.deepStrictEqual(buffer.subarray(start, end), from.subarray(fromStart, fromEnd))
      assert.strictEqual(buffer, packed[0]!.buffer)
      bytes += end - start
    }
    assert.strictEqual(packed[0]!.buffer.buffer.byteLength, bytes)
  })

  it("copies the same records of a batch once, for everybody who is slow with it at the same time", () => {
    const [batch, other] = [Batch.encode(messages, 128), Batch.encode(messages, 128)]
    const some = (from: Batch.Batch, ...places: ReadonlyArray<number>) =>
      Batch.repack(places.map((place) => from.records[place]!))[0]?.buffer
    assert.strictEqual(some(batch, 0, 3), some(batch, 0, 3))
    assert.notStrictEqual(some(batch, 0, 3), some(batch, 0))
    assert.notStrictEqual(some(batch, 0, 3), some(other, 0, 3))
    assert.strictEqual(some(batch), undefined)
  })

  it("concatenates records of several batches in order, for any message stream", () => {
    const batches = [Batch.encode(messages, 128), Batch.encode(messages, 128)]
    const records = [batches[0]!.records[0]!, batches[0]!.records[1]!, batches[0]!.records[3]!, ...batches[1]!.records]
    const run = Batch.concatRecords(records, 9)
    const read = decode(run.bytes)
    const expected = [0, 1, 3, 0, 1, 2, 3]
    assert.strictEqual(run.starts.length, 7)
    assert.deepStrictEqual(
      read.map(({ payload, streamId }) => [streamId, payload]),
      expected.map((index) => [9, messages[index]!.payload])
    )
  })
})
