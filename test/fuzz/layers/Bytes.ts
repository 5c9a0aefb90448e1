/** Arbitrary bytes for every small decoder there is: a value or a typed error, and what has an inverse goes back. */
import * as Result from "effect/Result"
import * as Aac from "../../../src/media/Aac.ts"
import * as AudioTag from "../../../src/media/AudioTag.ts"
import * as Av1 from "../../../src/media/Av1.ts"
import * as Avc from "../../../src/media/Avc.ts"
import * as Flac from "../../../src/media/Flac.ts"
import * as Hevc from "../../../src/media/Hevc.ts"
import * as Nal from "../../../src/media/Nal.ts"
import * as Opus from "../../../src/media/Opus.ts"
import * as Vp9 from "../../../src/media/Vp9.ts"
import * as Aggregate from "../../../src/protocol/Aggregate.ts"
import * as Bytes from "../../../src/protocol/Bytes.ts"
import * as Command from "../../../src/protocol/Command.ts"
import * as ProtocolControl from "../../../src/protocol/ProtocolControl.ts"
import * as UserControl from "../../../src/protocol/UserControl.ts"
import { ensure, type Layer, same } from "../Layer.ts"
import { Output } from "../Output.ts"

const message = (typeId: number, payload: Uint8Array) => ({
  typeId,
  streamId: 1,
  chunkStreamId: 3,
  timestamp: 7,
  payload
})

const typed = (result: Result.Result<unknown, { readonly _tag: string; readonly message: string }>): void => {
  if (Result.isFailure(result)) {
    ensure(
      result.failure._tag.endsWith("Error") && typeof result.failure.message === "string",
      "an error without a name"
    )
  }
}

/** Each takes a payload; the first byte of an input says which. */
const decoders: ReadonlyArray<(bytes: Uint8Array) => void> = [
  (bytes) => {
    const decoded = UserControl.decode(bytes)
    typed(decoded)
    if (Result.isFailure(decoded)) return
    const again = UserControl.decode(UserControl.encode(decoded.success).payload)
    ensure(Result.isSuccess(again) && same(again.success, decoded.success), "a user control event changes")
  },
  (bytes) => {
    for (const typeId of [1, 2, 3, 5, 6]) {
      const decoded = ProtocolControl.decode(message(typeId, bytes))
      typed(decoded)
      if (Result.isFailure(decoded)) continue
      const control = decoded.success
      // What is never sent cannot be encoded.
      if ("size" in control && (control.size === 0 || control.size > 0x7fffffff)) continue
      if (control._tag === "Abort" && (control.chunkStreamId < 2 || control.chunkStreamId > 65_599)) continue
      const again = ProtocolControl.decode(ProtocolControl.encode(control))
      ensure(Result.isSuccess(again) && same(again.success, control), "a control message changes")
    }
  },
  (bytes) => {
    for (const typeId of [20, 17]) {
      const decoded = Command.decode(message(typeId, bytes))
      typed(decoded)
      if (Result.isFailure(decoded)) continue
      ensure(decoded.success.transactionIdBytes.length === 8, "a transaction id of another length")
      const { args, name, object, transactionIdBytes } = decoded.success
      const values = args.length === 0 && object === undefined ? [] : [object, ...args]
      const again = Command.decode(Command.encode({ name, transactionId: transactionIdBytes, values, streamId: 1 }))
      ensure(Result.isSuccess(again) && same(again.success, decoded.success), "a command changes")
    }
  },
  (bytes) => {
    const { messages } = Aggregate.split(message(22, bytes))
    let total = 0
    for (const { payload, typeId } of messages) {
      ensure([8, 9, 15, 18].includes(typeId), "a message that does not belong into an aggregate")
      total += 11 + payload.length
    }
    ensure(total <= bytes.length && messages.length <= 4096, "an aggregate that grows")
  },
  (bytes) => {
    typed(Avc.parse(bytes))
    Avc.parseSps(bytes)
    for (const size of [1, 2, 4]) Avc.randomAccess(bytes, size)
  },
  (bytes) => {
    typed(Hevc.parse(bytes))
    Hevc.parseSps(bytes)
    Hevc.randomAccess(bytes)
  },
  (bytes) => {
    typed(Av1.parse(bytes))
    typed(Av1.parseDescriptor(bytes))
    Av1.parseSequenceHeader(bytes)
  },
  (bytes) => {
    typed(Aac.parse(bytes))
    typed(Opus.parse(bytes))
    typed(Flac.parse(bytes))
    typed(Vp9.parse(bytes))
    typed(AudioTag.parseChannels(bytes))
  },
  (bytes) => {
    ensure(Nal.unescape(bytes).length <= Math.min(bytes.length, Nal.maxParameterSetBytes), "a unit that grows")
    const text = Bytes.utf8(bytes)
    const strict = Bytes.utf8Strict(bytes)
    if (strict !== undefined) ensure(strict === text && same(Bytes.fromUtf8(strict), bytes), "a text that changes")
  }
]

const openings = [
  [0, 6],
  [2, 0, 7, 0x63, 0x6f, 0x6e, 0x6e, 0x65, 0x63, 0x74, 0],
  [8, 0, 0, 4],
  [9, 0, 0, 8],
  [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 9, 0x67, 0x64],
  [1, 1, 0x60, 0, 0],
  [0x81, 4, 0x0c, 0, 0x0a, 0x0b],
  [0x12, 0x10],
  [0x4f, 0x70, 0x75, 0x73, 0x48, 0x65, 0x61, 0x64, 1, 2],
  [0, 0, 3, 0, 0, 3],
  [0x67, 0x64, 0, 0x1f, 0xac],
  [0x42, 1, 1, 1, 0x60],
  [0x40, 1],
  [0, 0, 0, 1, 0x65]
]

const out = new Output()

export const bytesLayer: Layer = {
  name: "bytes",
  inputsInTests: 300_000,
  generate: (random) => {
    out.clear().u8(random.u32())
    if (random.once(2)) out.bytes(random.pick(openings))
    out.noise(random, random.once(8) ? random.below(300) : random.below(24))
    return (random.once(4) ? out.damage(random, 1, 1 + random.below(3)) : out).finish()
  },
  check: (input) => {
    if (input.length > 0) decoders[input[0]! % decoders.length]!(input.subarray(1))
  }
}
