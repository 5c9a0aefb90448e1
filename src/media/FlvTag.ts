/**
 * FLV files (FLV 10.1 §E.2 to §E.4): a sequence of tags whose bodies are the payloads of RTMP messages of the same type.
 *
 * Pure functions over whole files, for fixtures, tests and small recordings. Nothing on the path of a live stream uses them.
 *
 * **Gotchas** The sizes behind the tags are written but not believed: many writers leave them 0 or get them wrong.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as Bytes from "../protocol/Bytes.ts"
import * as Message from "../protocol/Message.ts"

/**
 * One tag. `typeId` is 8, 9 or 18 (15 too, in Enhanced RTMP), at most 31; `timestamp` is in milliseconds, unsigned 32-bit;
 * `payload` is the body, from `read` as a view of the file.
 */
export interface FlvTag {
  readonly typeId: number
  readonly timestamp: number
  readonly payload: Uint8Array
}

/**
 * A file that cannot be read. `offset` is the byte offset of what is at fault.
 *
 * - `BadSignature`: it does not begin as an FLV file of version 1 does.
 * - `Truncated`: it ends inside a header or a tag.
 * - `Encrypted`: a tag needs a filter, that is, a key.
 */
export class FlvError extends Data.TaggedError("FlvError")<{
  readonly reason: "BadSignature" | "Truncated" | "Encrypted"
  readonly offset: number
}> {
  /** The reason and the place, in one line. */
  override get message(): string {
    return `${this.reason} at offset ${this.offset}`
  }
}

const HEADER_BYTES = 9
const TAG_HEADER_BYTES = 11
const FILTER = 0x20

const fail = (reason: FlvError["reason"], offset: number): Result.Result<never, FlvError> =>
  Result.fail(new FlvError({ reason, offset }))

/** Reads all tags of a file. Fails as a whole: there is no partial result. */
export const read = (bytes: Uint8Array): Result.Result<Array<FlvTag>, FlvError> => {
  if (bytes.length < HEADER_BYTES) return fail("Truncated", bytes.length)
  if (Bytes.u24(bytes, 0) !== 0x464c56 || bytes[3] !== 1) return fail("BadSignature", 0)
  const dataOffset = Bytes.u32(bytes, 5)
  if (dataOffset < HEADER_BYTES) return fail("BadSignature", 5)
  let offset = dataOffset + 4
  // A file without tags may end with or without the size in front of the first one.
  if (offset > bytes.length && dataOffset !== bytes.length) return fail("Truncated", bytes.length)
  const tags: Array<FlvTag> = []
  while (offset < bytes.length) {
    if (offset + TAG_HEADER_BYTES > bytes.length) return fail("Truncated", offset)
    if ((bytes[offset]! & FILTER) !== 0) return fail("Encrypted", offset)
    const start = offset + TAG_HEADER_BYTES
    const end = start + Bytes.u24(bytes, offset + 1)
    if (end > bytes.length) return fail("Truncated", offset)
    tags.push({
      typeId: bytes[offset]! & 0x1f,
      timestamp: ((bytes[offset + 7]! << 24) | Bytes.u24(bytes, offset + 4)) >>> 0,
      payload: bytes.subarray(start, end)
    })
    offset = end + 4
  }
  return Result.succeed(tags)
}

/** Writes a file of the given tags. Throws, a defect of ours, for a type over 31, a timestamp over 32 bits, or a payload of 16 MiB. */
export const write = (tags: ReadonlyArray<FlvTag>): Uint8Array => {
  const writer = new Bytes.BytesWriter(1024)
  const hasAudio = tags.some((tag) => tag.typeId === Message.AUDIO)
  const hasVideo = tags.some((tag) => tag.typeId === Message.VIDEO)
  writer.u24(0x464c56).u8(1)
  writer.u8((hasAudio ? 4 : 0) | (hasVideo ? 1 : 0))
  writer.u32(HEADER_BYTES).u32(0)
  for (const { payload, timestamp, typeId } of tags) {
    if (typeId < 0 || typeId > 31) throw new RangeError("tag type out of range")
    writer.u8(typeId).u24(payload.length)
    writer.u24(timestamp % 0x1000000).u8(Math.floor(timestamp / 0x1000000))
    writer.u24(0).bytes(payload)
    writer.u32(TAG_HEADER_BYTES + payload.length)
  }
  return writer.finish()
}
