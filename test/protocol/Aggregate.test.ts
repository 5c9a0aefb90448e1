import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Aggregate from "../../src/protocol/Aggregate.ts"
import * as ChunkReader from "../../src/protocol/ChunkReader.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import { be, counting, hex, join } from "./chunks.ts"

const aggregate = (timestamp: number, payload: Uint8Array): Message => ({
  typeId: 22,
  streamId: 1,
  chunkStreamId: 4,
  timestamp,
  payload
})

const message = (typeId: number, timestamp: number, payload: Uint8Array): Message => ({
  ...aggregate(timestamp, payload),
  typeId
})

const tag = (typeId: number, timestamp: number, payload: Uint8Array): Uint8Array =>
  join(
    Uint8Array.of(typeId),
    be(3, payload.length),
    be(3, timestamp & 0xffffff),
    be(1, timestamp >>> 24),
    hex("000000"),
    payload,
    be(4, 11 + payload.length)
  )

describe("count", () => {
  it.each([
    { what: "no tag", payload: [], tags: 0 },
    { what: "one without the length behind it", payload: [...tag(8, 0, Uint8Array.of(1)).subarray(0, 12)], tags: 1 },
    { what: "three", payload: [1, 2, 3].flatMap((n) => [...tag(9, n, counting(n * 100))]), tags: 3 },
    { what: "one and half a header", payload: [...tag(8, 0, Uint8Array.of(1)), 8, 0, 0], tags: 1 }
  ])("counts $what", ({ payload, tags }) => {
    const bytes = Uint8Array.from(payload)
    assert.strictEqual(Aggregate.count(bytes), tags)
    assert.strictEqual(Aggregate.split(aggregate(0, bytes)).messages.length, tags)
  })

  it("stops at what is split", () => {
    assert.strictEqual(Aggregate.count(new Uint8Array(15 * 5_000)), Aggregate.defaultLimits.maxSubMessages)
  })
})

describe("split", () => {
  it("rebases the golden aggregate to its own time", () => {
    const bytes = hex(`04 001388 000027 16 01000000 08 000003 012CC8 00 000000 AF01AA 0000000E
                       09 000006 012CF0 00 000000 2701000000BB 00000011`)
    const [read] = Result.getOrThrow(ChunkReader.make().push(bytes))
    assert.deepStrictEqual(Aggregate.split(read!), {
      messages: [message(8, 5000, hex("AF01AA")), message(9, 5040, hex("2701000000BB"))],
      truncated: false
    })
  })

  it.prop(
    "gives the messages that were put together, moved to the aggregate's time modulo 2^32",
    {
      tags: Arbitrary.array(
        Arbitrary.all({
          kind: MessageArbitrary.integer(0, 3),
          timestamp: MessageArbitrary.u32,
          payload: MessageArbitrary.bytes()
        }),
        { maxLength: 8 }
      ),
      time: MessageArbitrary.u32,
      lastPointer: MessageArbitrary.integer(0, 1)
    },
    ({ lastPointer, tags, time }) => {
      const messages = tags.map(({ kind, payload, timestamp }) => message([8, 9, 18, 15][kind]!, timestamp, payload))
      const all = join(...messages.map((m) => tag(m.typeId, m.timestamp, m.payload)))
      // The length after the last tag may be missing.
      const payload = lastPointer === 0 ? all.subarray(0, Math.max(0, all.length - 4)) : all
      const first = messages[0]?.timestamp ?? 0
      assert.deepStrictEqual(Aggregate.split(aggregate(time, payload)), {
        messages: messages.map((m) => ({ ...m, timestamp: (time + m.timestamp - first) >>> 0 })),
        truncated: false
      })
    }
  )

  it.prop(
    "takes the valid prefix of any bytes",
    [MessageArbitrary.bytes(), MessageArbitrary.integer(0, 60)],
    ([garbage, cut]) => {
      const good = [tag(8, 1, counting(5)), tag(9, 2, counting(20))]
      const payload = join(...good).subarray(0, cut)
      const whole = cut >= 20 + 31 ? 2 : cut >= 16 ? 1 : 0
      assert.strictEqual(Aggregate.split(aggregate(0, payload)).messages.length, whole)
      // Behind a good tag, garbage can only add messages.
      const { messages } = Aggregate.split(aggregate(0, join(good[0]!, garbage)))
      assert.deepStrictEqual(messages[0], message(8, 0, counting(5)))
      assert.isTrue(messages.every((m) => [8, 9, 15, 18].includes(m.typeId)))
    }
  )

  it("returns views of the aggregate's payload", () => {
    const payload = tag(8, 1, counting(5))
    assert.strictEqual(Aggregate.split(aggregate(0, payload)).messages[0]!.payload.buffer, payload.buffer)
  })
})

describe("hostile aggregates keep their valid prefix (case 61)", () => {
  const good = tag(8, 10, counting(5))
  const cases: ReadonlyArray<readonly [name: string, rest: Uint8Array]> = [
    ["a tag that is longer than the payload", hex("08 000010 000000 00 000000 0102")],
    ["a tag header cut short", hex("08 000003 000000")],
    ["a length after the tag cut short", tag(8, 10, counting(5)).subarray(0, -1)],
    ["an aggregate in the aggregate", tag(22, 10, good)],
    ["a command", tag(20, 10, counting(5))],
    ["an encrypted tag", tag(0x28, 10, counting(5))]
  ]

  it.each(cases)("%s", (name, rest) => {
    const { messages, truncated } = Aggregate.split(aggregate(100, join(good, rest)))
    assert.isTrue(truncated)
    const expected = name.startsWith("a length") ? 2 : 1
    assert.deepStrictEqual(messages, Array(expected).fill(message(8, 100, counting(5))))
    assert.isTrue(Aggregate.split(aggregate(100, rest)).truncated)
  })

  it("wrong lengths after tags do not matter", () => {
    const wrong = join(good.subarray(0, -4), hex("FFFFFFFF"), good)
    assert.deepStrictEqual(Aggregate.split(aggregate(0, wrong)).messages.length, 2)
  })

  it("an empty aggregate has no messages", () => {
    assert.deepStrictEqual(Aggregate.split(aggregate(0, hex(""))), { messages: [], truncated: false })
  })

  it("empty tags are messages of length 0", () => {
    assert.deepStrictEqual(Aggregate.split(aggregate(7, tag(9, 1, hex("")))), {
      messages: [message(9, 7, hex(""))],
      truncated: false
    })
  })

  it("4,096 tags are split, and no more (case 62)", () => {
    const many = (count: number): Aggregate.Split =>
      Aggregate.split(aggregate(0, join(...Array.from({ length: count }, () => tag(8, 0, hex(""))))))
    assert.deepStrictEqual([many(4096).messages.length, many(4096).truncated], [4096, false])
    assert.deepStrictEqual([many(4097).messages.length, many(4097).truncated], [4096, true])
    const { messages, truncated } = Aggregate.split(aggregate(0, join(good, good)), { maxSubMessages: 1 })
    assert.deepStrictEqual([messages.length, truncated], [1, true])
  })
})

it("refuses messages of other types: a mistake of ours", () => {
  assert.throws(() => Aggregate.split(message(8, 0, counting(5))), RangeError)
})

it.effect("is a service", () =>
  Effect.gen(function* () {
    const { split } = yield* Aggregate.AggregateSplitter
    assert.deepStrictEqual(split(aggregate(7, tag(8, 1, counting(2)))).messages, [message(8, 7, counting(2))])
  }).pipe(Effect.provide(Aggregate.AggregateSplitter.layer))
)
