/** Media payloads and FLV files: layouts parse and build to the same bytes, and all looks at a payload agree. */
import * as Result from "effect/Result"
import * as AudioTag from "../../../src/media/AudioTag.ts"
import * as CodecConfiguration from "../../../src/media/CodecConfiguration.ts"
import * as FlvTag from "../../../src/media/FlvTag.ts"
import * as FourCc from "../../../src/media/FourCc.ts"
import { MediaError } from "../../../src/media/MediaError.ts"
import * as MediaFrame from "../../../src/media/MediaFrame.ts"
import * as Metadata from "../../../src/media/Metadata.ts"
import * as VideoTag from "../../../src/media/VideoTag.ts"
import { ensure, type Layer, same } from "../Layer.ts"
import { Output } from "../Output.ts"
import type { Random } from "../Random.ts"
import { amf0 } from "./Amf.ts"

const avcRecord = [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 6, 0x67, 0x64, 0, 0x1f, 0xac, 0xd9, 1, 0, 2, 0x68, 0xee]
const fourCcs = [...FourCc.video, ...FourCc.audio, 0x58585858]

const body = (out: Output, random: Random): void => {
  if (random.once(4)) out.bytes(avcRecord)
  else out.noise(random, random.below(24))
}

const tracks = (out: Output, random: Random): void => {
  const type = random.below(random.once(10) ? 16 : 3)
  out.u8((type << 4) | random.below(7))
  const fourCc = random.pick(fourCcs)
  if (type !== 2) out.u32(fourCc)
  for (let i = type === 0 ? 0 : random.below(4); i >= 0; i--) {
    if (type === 2) out.u32(random.pick(fourCcs))
    out.u8(random.once(3) ? random.below(256) : i)
    if (type === 0) {
      body(out, random)
      return
    }
    const at = out.length
    out.u24(0)
    body(out, random)
    out.patch24(at, random.once(20) ? random.u32() & 0xffffff : out.length - at - 3)
  }
}

/** ModEx modifiers, and the packet type in the low bits behind each. `high` are the bits above it in byte 0. */
const enhanced = (out: Output, random: Random, high: number, multitrack: number): void => {
  const packetType = random.once(3) ? multitrack : random.below(8)
  const modifiers = random.once(4) ? (random.once(20) ? 40 : 1 + random.below(3)) : 0
  out.u8(high | (modifiers > 0 ? 7 : packetType))
  for (let i = modifiers; i > 0; i--) {
    const size = 1 + random.below(5)
    if (random.once(8)) out.u8(255).u16(size - 1)
    else out.u8(size - 1)
    out.noise(random, size).u8((random.below(3) << 4) | (i > 1 ? 7 : packetType))
  }
  if (packetType === multitrack) tracks(out, random)
  else if (packetType === 4 && multitrack === 6) {
    out.u32(random.pick(fourCcs)).u8(2).u16(9).latin("colorInfo")
    amf0(out, random)
  } else {
    out.u32(random.pick(fourCcs))
    body(out, random)
  }
}

const data = (out: Output, random: Random): void => {
  if (random.once(6)) out.u8(0)
  if (random.once(6)) out.u8(0).f64(0)
  if (random.once(2)) out.u8(2).u16(13).latin("@setDataFrame")
  if (!random.once(8)) out.u8(2).u16(10).latin("onMetaData")
  amf0(out, random)
}

/** Writes the payload of a media message of this type. */
export const payload = (out: Output, random: Random, typeId: number): void => {
  const start = out.length
  if (typeId === 9) {
    if (random.once(2)) enhanced(out, random, 0x80 | (random.below(7) << 4), 6)
    else {
      out
        .u8((random.below(7) << 4) | (random.once(6) ? random.below(16) : 7))
        .u8(random.below(4))
        .u24(0)
      body(out, random)
    }
  } else if (typeId === 8) {
    if (random.once(2)) enhanced(out, random, 0x90, 5)
    else {
      out.u8(random.once(4) ? random.below(256) : 0xaf).u8(random.below(3))
      body(out, random)
    }
  } else data(out, random)
  if (random.once(4)) out.damage(random, start, 1 + random.below(3))
}

const typeIds = [8, 9, 9, 15, 18, 18]

const structural: ReadonlySet<string> = new Set([
  "Empty",
  "Truncated",
  "UnknownCodec",
  "UnknownFourCc",
  "UnknownFrameType",
  "UnknownPacketType",
  "UnknownCommand",
  "BadModEx",
  "BadMultitrack",
  "TooManyTracks"
])

const ensureMediaError = (error: unknown, length: number): void => {
  ensure(error instanceof MediaError, "an error that is no MediaError", () => String(error))
  const { offset } = error as MediaError
  ensure(offset >= 0 && offset <= length, "an error that stands outside of the input", () => String(offset))
}

const checkTag = (typeId: number, bytes: Uint8Array, frame: MediaFrame.MediaFrame): void => {
  const layout = typeId === 9 ? VideoTag : AudioTag
  const parsed: Result.Result<unknown, MediaError> = layout.parse(bytes)
  if (Result.isFailure(parsed)) {
    ensureMediaError(parsed.failure, bytes.length)
    ensure(frame.role === "Undecodable", "a payload is relayed that cannot be parsed", () => parsed.failure.message)
    return
  }
  ensure(!structural.has(frame.reason), "a payload is dropped for its layout that can be parsed", () => frame.reason)
  const built =
    typeId === 9
      ? VideoTag.build(parsed.success as VideoTag.VideoTag)
      : AudioTag.build(parsed.success as AudioTag.AudioTag)
  ensure(same(built, bytes), "a tag is not built back byte for byte")
}

const wrapping = Metadata.setDataFrame(new Uint8Array(0))

/** Whether a data message begins with `@setDataFrame`. */
export const isWrapped = (bytes: Uint8Array): boolean => same(bytes.subarray(0, wrapping.length), wrapping)

const checkPayload = (typeId: number, bytes: Uint8Array): void => {
  const frame = MediaFrame.classify(typeId, bytes)
  ensure((frame.role === "Undecodable") === (frame.reason !== ""), "a reason without a drop, or a drop without one")
  ensure(
    frame.role === "Keyframe" ||
      frame.role === "Frame" ||
      frame.cacheKey === "" ||
      frame.role === "SequenceHeader" ||
      frame.role === "Metadata",
    "a message is cached that should not be"
  )
  const shifted = new Uint8Array(bytes.length + 3)
  shifted.set(bytes, 3)
  ensure(same(MediaFrame.classify(typeId, shifted.subarray(3)), frame), "an answer that depends on where the bytes lie")
  const described = CodecConfiguration.describe(typeId, bytes)
  if (frame.role === "SequenceHeader") ensure(described?.codec === frame.codec, "a header that is not described")
  else if (frame.role !== "Undecodable") ensure(described === undefined, "a description of what is no header")
  if (typeId === 8 || typeId === 9) checkTag(typeId, bytes, frame)
  else {
    const found = Metadata.body(typeId, bytes)
    if (found !== undefined) {
      ensure(!isWrapped(found), "a body that is still wrapped")
      ensure(found.length <= bytes.length, "a body longer than its message")
      ensure(same(MediaFrame.classify(18, found), frame), "the body of a data message is judged in another way")
      const wrapped = Metadata.body(18, Metadata.setDataFrame(found))
      ensure(wrapped === undefined || same(wrapped, found), "wrapping changes a body")
    }
    const summary = Metadata.summary(bytes)
    ensure(summary === undefined || (summary.encoder ?? "").length <= 128, "an encoder name without end")
  }
  const parts = MediaFrame.splitTracks(typeId, bytes)
  let total = 0
  for (const part of parts) {
    total += part.length
    if (part !== bytes) MediaFrame.classify(typeId, part)
  }
  ensure(parts.length <= 32 && total <= bytes.length + 7 * parts.length, "more tracks or bytes than came in")
  MediaFrame.unwrapTrack(typeId, bytes, bytes.length > 6 ? bytes[6]! : 0)
}

const out = new Output()

export const mediaLayer: Layer = {
  name: "media",
  inputsInTests: 150_000,
  generate: (random) => {
    const typeId = random.pick(typeIds)
    out.clear().u8(typeIds.indexOf(typeId))
    payload(out, random, typeId)
    return out.finish()
  },
  check: (input) => {
    if (input.length > 0) checkPayload(typeIds[input[0]! % typeIds.length]!, input.subarray(1))
  }
}

export const flvLayer: Layer = {
  name: "flv",
  inputsInTests: 100_000,
  generate: (random) => {
    out
      .clear()
      .latin("FLV")
      .u8(1)
      .u8(random.below(8))
      .u32(random.once(20) ? random.u32() : 9)
      .u32(0)
    for (let i = random.below(5); i > 0; i--) {
      const at = out.length
      const typeId = random.once(20) ? random.below(256) : random.pick([8, 9, 18])
      out
        .u8(typeId)
        .u24(0)
        .u24(random.u32() & 0xffffff)
        .u8(random.below(256))
        .u24(0)
      if (random.once(2)) payload(out, random, typeId)
      else out.noise(random, random.below(12))
      const size = out.length - at - 11
      if (out.length >= at + 11) out.patch24(at + 1, size)
      out.u32(random.once(5) ? random.u32() : size + 11)
    }
    return (random.once(3) ? out.damage(random, 0, 1 + random.below(3)) : out).finish()
  },
  check: (input) => {
    const tags = FlvTag.read(input)
    if (Result.isFailure(tags)) {
      ensure(tags.failure instanceof FlvTag.FlvError, "an error that is no FlvError")
      // A size of four gigabytes stands where it was announced.
      ensure(tags.failure.offset >= 0, "an error in front of the input")
      return
    }
    let bytes = 0
    for (const tag of tags.success) bytes += tag.payload.length
    ensure(bytes <= input.length, "more payload than the file has")
    const again = FlvTag.read(FlvTag.write(tags.success))
    ensure(Result.isSuccess(again) && same(again.success, tags.success), "a file changes when it is written and read")
  }
}
