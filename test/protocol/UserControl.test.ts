import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { Message } from "../../src/protocol/Message.ts"
import * as UserControl from "../../src/protocol/UserControl.ts"
import * as MessageArbitrary from "../../src/testing/MessageArbitrary.ts"
import { goldens, hex } from "./chunks.ts"

describe("golden messages", () => {
  const cases: ReadonlyArray<readonly [name: string, made: Message, value: UserControl.UserControl]> = [
    ["StreamBegin 0", UserControl.streamBegin(0), { _tag: "StreamBegin", streamId: 0 }],
    ["StreamBegin 1", UserControl.streamBegin(1), { _tag: "StreamBegin", streamId: 1 }],
    ["StreamEOF 1", UserControl.streamEof(1), { _tag: "StreamEof", streamId: 1 }],
    ["PingRequest", UserControl.pingRequest(0x01020304), { _tag: "PingRequest", timestamp: 0x01020304 }],
    ["PingResponse", UserControl.pingResponse(0x01020304), { _tag: "PingResponse", timestamp: 0x01020304 }],
    [
      "SetBufferLength 1, 3000",
      UserControl.setBufferLength(1, 3000),
      { _tag: "SetBufferLength", streamId: 1, bufferMs: 3000 }
    ]
  ]

  it.each(cases)("%s is made and decoded", (name, made, value) => {
    const golden = goldens.find((one) => one.name === name)!
    assert.deepStrictEqual(made, golden.message)
    assert.deepStrictEqual(UserControl.decode(golden.message.payload), Result.succeed(value))
  })

  it("StreamDry and StreamIsRecorded have their numbers", () => {
    assert.deepStrictEqual(UserControl.streamDry(1).payload, hex("0002 00000001"))
    assert.deepStrictEqual(UserControl.streamIsRecorded(1).payload, hex("0004 00000001"))
  })

  it.prop("every event is decoded as it was", [MessageArbitrary.u32, MessageArbitrary.bytes()], ([n, data]) => {
    const values: ReadonlyArray<UserControl.UserControl> = [
      ...(["StreamBegin", "StreamEof", "StreamDry", "StreamIsRecorded"] as const).map((_tag) => ({
        _tag,
        streamId: n
      })),
      { _tag: "SetBufferLength", streamId: n, bufferMs: 0xffffffff - n },
      { _tag: "PingRequest", timestamp: n },
      { _tag: "PingResponse", timestamp: n },
      { _tag: "Unknown", event: 5, data },
      { _tag: "Unknown", event: 8 + (n % 65_528), data }
    ]
    for (const value of values) {
      assert.deepStrictEqual(UserControl.decode(UserControl.encode(value).payload), Result.succeed(value))
    }
  })
})

describe("unusual input (cases 66 to 70)", () => {
  const failure = (payload: Uint8Array): UserControl.UserControlError | undefined =>
    Result.getOrUndefined(Result.flip(UserControl.decode(payload)))

  it.each([
    ["SWF verification request", "001A 01", 26, "01"],
    ["SWF verification response", "001B 0101", 27, "0101"],
    ["BufferEmpty", "001F 00000001", 31, "00000001"],
    ["event 5", "0005", 5, ""],
    ["event 65535", "FFFF 00", 65_535, "00"]
  ] as const)("keeps %s as an unknown event", (_, payload, event, data) => {
    assert.deepStrictEqual(
      UserControl.decode(hex(payload)),
      Result.succeed<UserControl.UserControl>({ _tag: "Unknown", event, data: hex(data) })
    )
  })

  it("fails on payloads without an event number", () => {
    for (const length of [0, 1]) {
      const error = failure(new Uint8Array(length))
      assert.deepStrictEqual([error?.reason, error?.event, error?.length], ["TooShort", undefined, length])
    }
  })

  it.each([0, 1, 2, 3, 4, 6, 7])("fails on event %i with less data than it needs", (event) => {
    const needed = event === 3 ? 10 : 6
    for (let length = 2; length < needed; length++) {
      const error = failure(Uint8Array.of(0, event, ...new Uint8Array(length - 2)))
      assert.deepStrictEqual([error?.reason, error?.event, error?.needed], ["TooShort", event, needed])
    }
    assert.isUndefined(failure(Uint8Array.of(0, event, ...new Uint8Array(needed - 2))))
  })

  it("ignores bytes after the fields", () => {
    const expected: UserControl.UserControl = { _tag: "PingRequest", timestamp: 1 }
    assert.deepStrictEqual(UserControl.decode(hex("0006 00000001 FFFF")), Result.succeed(expected))
  })

  it("hands out any buffer length", () => {
    const expected: UserControl.UserControl = { _tag: "SetBufferLength", streamId: 0xffffffff, bufferMs: 0xffffffff }
    assert.deepStrictEqual(UserControl.decode(hex("0003 FFFFFFFF FFFFFFFF")), Result.succeed(expected))
  })
})

it("refuses event numbers beyond 16 bits", () => {
  for (const event of [-1, 0.5, 65_536]) assert.throws(() => UserControl.unknown(event, hex("")), RangeError)
})

it.effect("is a service", () =>
  Effect.gen(function* () {
    const codec = yield* UserControl.UserControlCodec
    const value: UserControl.UserControl = { _tag: "StreamDry", streamId: 1 }
    assert.deepStrictEqual(codec.decode(codec.encode(value).payload), Result.succeed(value))
  }).pipe(Effect.provide(UserControl.UserControlCodec.layer))
)
