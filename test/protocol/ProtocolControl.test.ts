import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { AUDIO, type Message } from "../../src/protocol/Message.ts"
import * as ProtocolControl from "../../src/protocol/ProtocolControl.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import { goldens, hex } from "./chunks.ts"

const message = (typeId: number, payload: string | Uint8Array): Message => ({
  typeId,
  streamId: 0,
  chunkStreamId: 2,
  timestamp: 0,
  payload: typeof payload === "string" ? hex(payload) : payload
})

const decoded = (typeId: number, payload: string): ProtocolControl.ProtocolControl =>
  Result.getOrThrow(ProtocolControl.decode(message(typeId, payload)))

const failure = (typeId: number, payload: Uint8Array): ProtocolControl.ProtocolControlError | undefined =>
  Result.getOrUndefined(Result.flip(ProtocolControl.decode(message(typeId, payload))))

describe("golden messages", () => {
  const cases: ReadonlyArray<readonly [name: string, made: Message, value: ProtocolControl.ProtocolControl]> = [
    ["WindowAckSize 2,500,000", ProtocolControl.windowAckSize(2_500_000), { _tag: "WindowAckSize", size: 2_500_000 }],
    [
      "SetPeerBandwidth 2,500,000 dynamic",
      ProtocolControl.setPeerBandwidth(2_500_000, "dynamic"),
      { _tag: "SetPeerBandwidth", size: 2_500_000, limit: "dynamic" }
    ],
    ["SetChunkSize 60000", ProtocolControl.setChunkSize(60_000), { _tag: "SetChunkSize", size: 60_000 }],
    [
      "Acknowledgement 0xFFFFFFF0",
      ProtocolControl.acknowledgement(0xfffffff0),
      { _tag: "Acknowledgement", sequence: 0xfffffff0 }
    ],
    ["Abort 6", ProtocolControl.abort(6), { _tag: "Abort", chunkStreamId: 6 }]
  ]

  it.each(cases)("%s is made and decoded", (name, made, value) => {
    const golden = goldens.find((one) => one.name === name)!
    assert.deepStrictEqual(made, golden.message)
    assert.deepStrictEqual(ProtocolControl.decode(golden.message), Result.succeed(value))
    assert.deepStrictEqual(ProtocolControl.encode(value), golden.message)
  })

  it.prop("every value that can be sent is decoded as it was", [MessageArbitrary.integer(1, 0x7fffffff)], ([n]) => {
    const values: ReadonlyArray<ProtocolControl.ProtocolControl> = [
      { _tag: "SetChunkSize", size: n },
      { _tag: "Abort", chunkStreamId: 2 + (n % 65_598) },
      { _tag: "Acknowledgement", sequence: n * 2 },
      { _tag: "WindowAckSize", size: n },
      ...(["hard", "soft", "dynamic"] as const).map((limit) => ({ _tag: "SetPeerBandwidth" as const, size: n, limit }))
    ]
    for (const value of values) {
      assert.deepStrictEqual(ProtocolControl.decode(ProtocolControl.encode(value)), Result.succeed(value))
    }
  })
})

describe("unusual input", () => {
  it("numbers the bandwidth limits as the specification does", () => {
    for (const [number, limit] of (["hard", "soft", "dynamic"] as const).entries()) {
      assert.deepStrictEqual(decoded(6, `00001000 0${number}`), { _tag: "SetPeerBandwidth", size: 4096, limit })
    }
  })

  it("takes a missing or unknown limit type for dynamic (case 65)", () => {
    for (const rest of ["", "03", "FF"]) {
      assert.deepStrictEqual(decoded(6, `00000000 ${rest}`), { _tag: "SetPeerBandwidth", size: 0, limit: "dynamic" })
    }
  })

  it("ignores bytes after the fields (case 30)", () => {
    assert.deepStrictEqual(decoded(1, "00001000 FFFF"), { _tag: "SetChunkSize", size: 4096 })
    assert.deepStrictEqual(decoded(6, "00001000 00 FFFF"), { _tag: "SetPeerBandwidth", size: 4096, limit: "hard" })
  })

  it("hands out windows and sequences of any value (cases 63, 64)", () => {
    for (const [digits, value] of [
      ["00000000", 0],
      ["00000001", 1],
      ["FFFFFFFF", 0xffffffff]
    ] as const) {
      assert.deepStrictEqual(decoded(5, digits), { _tag: "WindowAckSize", size: value })
      assert.deepStrictEqual(decoded(3, digits), { _tag: "Acknowledgement", sequence: value })
    }
  })

  it.each([1, 2, 3, 5, 6])("fails on payloads of type %i below four bytes (cases 39, 58)", (typeId) => {
    for (const length of [0, 1, 2, 3]) {
      const error = failure(typeId, new Uint8Array(length))
      assert.deepStrictEqual([error?.reason, error?.typeId, error?.length], ["TooShort", typeId, length])
    }
    assert.isUndefined(failure(typeId, new Uint8Array(4)))
  })

  it.each([0, 4, 7, AUDIO, 255])("does not take type %i for a control message", (typeId) => {
    assert.strictEqual(failure(typeId, new Uint8Array(4))?.reason, "NotProtocolControl")
    assert.isFalse(ProtocolControl.isProtocolControl(typeId))
  })
})

describe("what is never sent", () => {
  it.each([0, -1, 1.5, 0x80000000, 0xffffffff, Number.NaN])("sizes of %d", (size) => {
    assert.throws(() => ProtocolControl.setChunkSize(size), RangeError)
    assert.throws(() => ProtocolControl.windowAckSize(size), RangeError)
    assert.throws(() => ProtocolControl.setPeerBandwidth(size, "hard"), RangeError)
  })

  it.each([0, 1, 65_600, Number.NaN])("an Abort of chunk stream %d", (id) => {
    assert.throws(() => ProtocolControl.abort(id), RangeError)
  })
})

it("acknowledges bytes modulo 2^32", () => {
  for (const [bytes, digits] of [
    [0xffffffff, "FFFFFFFF"],
    [2 ** 32, "00000000"],
    [5 * 2 ** 32 + 7, "00000007"]
  ] as const) {
    assert.deepStrictEqual(ProtocolControl.acknowledgement(bytes).payload, hex(digits))
  }
})

it.effect("is a service", () =>
  Effect.gen(function* () {
    const codec = yield* ProtocolControl.ProtocolControlCodec
    const value = { _tag: "WindowAckSize", size: 4096 } as const
    assert.deepStrictEqual(codec.decode(codec.encode(value)), Result.succeed(value))
  }).pipe(Effect.provide(ProtocolControl.ProtocolControlCodec.layer))
)
