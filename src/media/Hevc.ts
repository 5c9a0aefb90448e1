/**
 * H.265 / HEVC: the decoder configuration record of a sequence header (ISO 14496-15 §8.3.3.1), picture size from a
 * sequence parameter set (H.265 §7.3.2.2.1), and the deep check for entry points.
 *
 * For statistics, logs and tools, as `Avc`.
 */
import * as Result from "effect/Result"
import * as Bytes from "../protocol/Bytes.ts"
import * as Avc from "./Avc.ts"
import { BitReader } from "./Bits.ts"
import { MediaError, type MediaReason } from "./MediaError.ts"
import * as Nal from "./Nal.ts"

/** NAL unit type of a video parameter set. */
export const VPS = 32
/** NAL unit type of a sequence parameter set. */
export const SPS = 33
/** NAL unit type of a picture parameter set. */
export const PPS = 34

/** A group of parameter sets or messages of one NAL unit type. `units` are views. */
export interface HevcArray {
  readonly nalType: number
  readonly complete: boolean
  readonly units: ReadonlyArray<Uint8Array>
}

/**
 * A decoder configuration record.
 *
 * - `profile`: general_profile_idc. `highTier`: general_tier_flag. `level`: thirty times the level's name.
 * - `chromaFormat`: 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4. `bitDepth`: of luma.
 * - `frameRate`: frames per second; `undefined` where the record leaves it open, as it mostly does.
 * - `lengthSize`: bytes of the length before each NAL unit, 1 to 4.
 */
export interface HevcConfiguration {
  readonly profile: number
  readonly highTier: boolean
  readonly level: number
  readonly chromaFormat: number
  readonly bitDepth: number
  readonly frameRate: number | undefined
  readonly lengthSize: number
  readonly arrays: ReadonlyArray<HevcArray>
}

/** What a sequence parameter set says: `width` and `height` in pixels, within the conformance window. */
export interface HevcPicture {
  readonly width: number
  readonly height: number
}

const fail = (reason: MediaReason, offset: number): Result.Result<never, MediaError> =>
  Result.fail(new MediaError({ reason, offset }))

/** Bytes of a record before its arrays. */
const FIXED_BYTES = 23

/**
 * Parses a record. Fails with `BadConfiguration` for a version over 1 and `Truncated` for an array cut off.
 *
 * **Gotchas** Encoders from before the format was settled write version 0; it is accepted, as players do.
 */
export const parse = (bytes: Uint8Array): Result.Result<HevcConfiguration, MediaError> => {
  if (bytes.length < FIXED_BYTES) return fail("Truncated", bytes.length)
  if (bytes[0]! > 1) return fail("BadConfiguration", 0)
  const averageFrameRate = Bytes.u16(bytes, 19)
  const arrays: Array<HevcArray> = []
  let offset = FIXED_BYTES
  for (let i = 0; i < bytes[22]!; i++) {
    if (offset + 3 > bytes.length) return fail("Truncated", offset)
    const byte = bytes[offset]!
    const count = Bytes.u16(bytes, offset + 1)
    const units: Array<Uint8Array> = []
    offset += 3
    for (let unit = 0; unit < count; unit++) {
      if (offset + 2 > bytes.length) return fail("Truncated", offset)
      const end = offset + 2 + Bytes.u16(bytes, offset)
      if (end > bytes.length) return fail("Truncated", offset)
      units.push(bytes.subarray(offset + 2, end))
      offset = end
    }
    arrays.push({ nalType: byte & 0x3f, complete: (byte & 0x80) !== 0, units })
  }
  return Result.succeed({
    profile: bytes[1]! & 0x1f,
    highTier: (bytes[1]! & 0x20) !== 0,
    level: bytes[12]!,
    chromaFormat: bytes[16]! & 3,
    bitDepth: (bytes[17]! & 7) + 8,
    frameRate: averageFrameRate === 0 ? undefined : averageFrameRate / 256,
    lengthSize: (bytes[21]! & 3) + 1,
    arrays
  })
}

/** The first NAL unit of a type, for instance `SPS`; `undefined` where the record has none. */
export const unitOf = (configuration: HevcConfiguration, nalType: number): Uint8Array | undefined => {
  for (const array of configuration.arrays)
    if (array.nalType === nalType && array.units.length > 0) return array.units[0]
  return undefined
}

/** Reads a sequence parameter set, NAL header included. `undefined` for anything else, cut off or nonsensical ones included. */
export const parseSps = (unit: Uint8Array): HevcPicture | undefined => {
  if (unit.length < 4 || nalType(unit[0]!) !== SPS) return undefined
  const reader = new BitReader(Nal.unescape(unit))
  reader.skip(16)
  reader.skip(4)
  const maxSubLayersMinus1 = reader.bits(3)
  reader.skip(1)
  skipProfileTierLevel(reader, maxSubLayersMinus1)
  reader.ue()
  const chroma = reader.ue()
  if (chroma > 3) return undefined
  const separatePlanes = chroma === 3 && reader.flag()
  let width = reader.ue()
  let height = reader.ue()
  if (reader.flag()) {
    const unitX = !separatePlanes && (chroma === 1 || chroma === 2) ? 2 : 1
    const unitY = !separatePlanes && chroma === 1 ? 2 : 1
    width -= unitX * (reader.ue() + reader.ue())
    height -= unitY * (reader.ue() + reader.ue())
  }
  if (reader.failed || width < 1 || height < 1 || width > Avc.maxPixels || height > Avc.maxPixels) return undefined
  return { width, height }
}

/** H.265 §7.3.3: 96 bits in general, and for each sub-layer what its two flags announce. */
const skipProfileTierLevel = (reader: BitReader, maxSubLayersMinus1: number): void => {
  reader.skip(96)
  if (maxSubLayersMinus1 === 0) return
  let bits = 0
  for (let i = 0; i < 8; i++) {
    const present = reader.bits(2)
    if (i < maxSubLayersMinus1) bits += ((present & 2) !== 0 ? 88 : 0) + ((present & 1) !== 0 ? 8 : 0)
  }
  reader.skip(bits)
}

const nalType = (byte: number): number => (byte >> 1) & 0x3f

/**
 * Looks through the NAL units of a coded frame for an entry point, up to the first slice: IDR pictures (types 19 and 20)
 * are `Idr`, the other intra random access points (BLA 16 to 18, CRA 21) are `RecoveryPoint`.
 */
export const randomAccess = (data: Uint8Array, lengthSize = 4): Nal.RandomAccess => {
  if (Nal.isAnnexB(data, lengthSize)) return "AnnexB"
  const at = Nal.walk()
  for (;;) {
    const step = Nal.next(data, lengthSize, at)
    if (step === "Malformed") return "Malformed"
    if (step === "End") return "None"
    const type = nalType(data[at.start]!)
    if (type === 19 || type === 20) return "Idr"
    if (type >= 16 && type <= 21) return "RecoveryPoint"
    if (type < 32) return "None"
  }
}

/** The name of a profile, its number where it has none that is common. */
export const profileName = (profile: number): string => {
  switch (profile) {
    case 1:
      return "Main"
    case 2:
      return "Main 10"
    case 3:
      return "Main Still Picture"
    case 4:
      return "Range Extensions"
    default:
      return String(profile)
  }
}

/** The name of a level, such as `4.1`. */
export const levelName = (level: number): string => (level / 30).toFixed(1)
