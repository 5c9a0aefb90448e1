/**
 * AV1: the configuration record of a sequence header (AV1 in ISOBMFF §2.3.3), and the picture size from the sequence
 * header OBU it carries (AV1 §5.5.1).
 *
 * For statistics, logs and tools, as `Avc`.
 */
import * as Result from "effect/Result"
import { BitReader } from "./Bits.ts"
import { MediaError, type MediaReason } from "./MediaError.ts"

/**
 * A configuration record.
 *
 * - `profile`: 0 Main, 1 High, 2 Professional. `level`: seq_level_idx, 31 for none. `highTier`: the tier flag.
 * - `bitDepth`: 8, 10 or 12. `monochrome`: no chroma.
 * - `subsamplingX`, `subsamplingY`: chroma is half as wide, half as high.
 * - `obus`: view of the OBUs that follow, usually one sequence header.
 */
export interface Av1Configuration {
  readonly profile: number
  readonly level: number
  readonly highTier: boolean
  readonly bitDepth: number
  readonly monochrome: boolean
  readonly subsamplingX: boolean
  readonly subsamplingY: boolean
  readonly obus: Uint8Array
}

/** What a sequence header OBU says: the largest `width` and `height` of its frames, in pixels. */
export interface Av1Picture {
  readonly width: number
  readonly height: number
}

const fail = (reason: MediaReason, offset: number): Result.Result<never, MediaError> =>
  Result.fail(new MediaError({ reason, offset }))

/** Parses a record. Fails with `Truncated` below 4 bytes, and with `BadConfiguration` for a marker or version other than 1. */
export const parse = (bytes: Uint8Array): Result.Result<Av1Configuration, MediaError> => {
  if (bytes.length < 4) return fail("Truncated", bytes.length)
  if (bytes[0] !== 0x81) return fail("BadConfiguration", 0)
  const flags = bytes[2]!
  return Result.succeed({
    profile: bytes[1]! >> 5,
    level: bytes[1]! & 0x1f,
    highTier: (flags & 0x80) !== 0,
    bitDepth: (flags & 0x40) === 0 ? 8 : (flags & 0x20) === 0 ? 10 : 12,
    monochrome: (flags & 0x10) !== 0,
    subsamplingX: (flags & 0x08) !== 0,
    subsamplingY: (flags & 0x04) !== 0,
    obus: bytes.subarray(4)
  })
}

/**
 * Parses the AV1 video descriptor that an MPEG2TSSequenceStart packet carries instead (E-RTMP v2, ExVideoTagBody): tag
 * 0x80, its length, and the four bytes of a record without OBUs.
 */
export const parseDescriptor = (bytes: Uint8Array): Result.Result<Av1Configuration, MediaError> => {
  if (bytes.length < 6) return fail("Truncated", bytes.length)
  return bytes[0] === 0x80 && bytes[1]! >= 4 ? parse(bytes.subarray(2, 6)) : fail("BadConfiguration", 0)
}

const SEQUENCE_HEADER = 1

/** Reads the first sequence header among OBUs that carry their sizes. `undefined` where there is none or it makes no sense. */
export const parseSequenceHeader = (obus: Uint8Array): Av1Picture | undefined => {
  let offset = 0
  while (offset < obus.length) {
    const header = obus[offset]!
    offset += (header & 0x04) !== 0 ? 2 : 1
    let size = obus.length - offset
    if ((header & 0x02) !== 0) {
      // leb128, of which a size that fits this input needs four bytes at most.
      size = 0
      for (let i = 0; ; i++) {
        if (i === 4 || offset >= obus.length) return undefined
        const byte = obus[offset++]!
        size |= (byte & 0x7f) << (7 * i)
        if ((byte & 0x80) === 0) break
      }
    }
    if (size < 0 || offset + size > obus.length) return undefined
    if (((header >> 3) & 0x0f) === SEQUENCE_HEADER) return sequenceHeader(obus.subarray(offset, offset + size))
    offset += size
  }
  return undefined
}

const sequenceHeader = (bytes: Uint8Array): Av1Picture | undefined => {
  const reader = new BitReader(bytes)
  reader.skip(4)
  if (reader.flag()) reader.skip(5)
  else skipOperatingPoints(reader)
  const widthBits = reader.bits(4) + 1
  const heightBits = reader.bits(4) + 1
  const width = reader.bits(widthBits) + 1
  const height = reader.bits(heightBits) + 1
  return reader.failed ? undefined : { width, height }
}

/** AV1 §5.5.1, what stands between reduced_still_picture_header and frame_width_bits_minus_1 where that flag is 0. */
const skipOperatingPoints = (reader: BitReader): void => {
  let delayBits = 0
  if (reader.flag()) {
    reader.skip(64)
    if (reader.flag()) reader.uvlc()
    if (reader.flag()) {
      delayBits = reader.bits(5) + 1
      reader.skip(42)
    }
  }
  const hasDisplayDelay = reader.flag()
  const points = reader.bits(5) + 1
  for (let i = 0; i < points; i++) {
    reader.skip(12)
    if (reader.bits(5) > 7) reader.skip(1)
    if (delayBits > 0 && reader.flag()) reader.skip(2 * delayBits + 1)
    if (hasDisplayDelay && reader.flag()) reader.skip(4)
  }
}

/** The name of a profile. */
export const profileName = (profile: number): string =>
  profile === 0 ? "Main" : profile === 1 ? "High" : profile === 2 ? "Professional" : String(profile)

/** The name of a level, such as `5.1`; `undefined` for seq_level_idx 31, which stands for no limit. */
export const levelName = (level: number): string | undefined =>
  level === 31 ? undefined : `${2 + (level >> 2)}.${level & 3}`
