/**
 * H.264 / AVC: the decoder configuration record of a sequence header (ISO 14496-15 §5.2.4.1), picture size and frame rate
 * from a sequence parameter set (H.264 §7.3.2.1.1), and the deep check for entry points.
 *
 * For statistics, logs and tools. A record that does not parse is relayed all the same: players judge for themselves.
 *
 * **Gotchas**
 *
 * - Encoders that send parameter sets in band give a record without any.
 * - The tail that high profiles should have is often missing, and is not looked at.
 */
import * as Result from "effect/Result"
import * as Bytes from "../protocol/Bytes.ts"
import { BitReader } from "./Bits.ts"
import { MediaError, type MediaReason } from "./MediaError.ts"
import * as Nal from "./Nal.ts"

/**
 * A decoder configuration record.
 *
 * - `profile`, `compatibility`, `level`: as in the parameter set, `level` ten times the level's name.
 * - `lengthSize`: bytes of the length before each NAL unit, 1 to 4 (3 is reserved, and read as it says).
 * - `sps`, `pps`: views of the parameter sets.
 */
export interface AvcConfiguration {
  readonly profile: number
  readonly compatibility: number
  readonly level: number
  readonly lengthSize: number
  readonly sps: ReadonlyArray<Uint8Array>
  readonly pps: ReadonlyArray<Uint8Array>
}

/** What a sequence parameter set says: `width` and `height` in pixels after cropping, and `frameRate`, if it tells, in frames per second. */
export interface AvcPicture {
  readonly width: number
  readonly height: number
  readonly frameRate: number | undefined
}

const fail = (reason: MediaReason, offset: number): Result.Result<never, MediaError> =>
  Result.fail(new MediaError({ reason, offset }))

/** Parses a record. Fails with `BadConfiguration` for a version other than 1 and `Truncated` for a parameter set cut off. */
export const parse = (bytes: Uint8Array): Result.Result<AvcConfiguration, MediaError> => {
  if (bytes.length < 6) return fail("Truncated", bytes.length)
  if (bytes[0] !== 1) return fail("BadConfiguration", 0)
  const sps: Array<Uint8Array> = []
  const pps: Array<Uint8Array> = []
  let offset = parameterSets(bytes, 6, bytes[5]! & 0x1f, sps)
  // Some records end behind the sequence parameter sets.
  if (offset > 0 && offset < bytes.length) offset = parameterSets(bytes, offset + 1, bytes[offset]!, pps)
  if (offset < 0) return fail("Truncated", bytes.length)
  return Result.succeed({
    profile: bytes[1]!,
    compatibility: bytes[2]!,
    level: bytes[3]!,
    lengthSize: (bytes[4]! & 3) + 1,
    sps,
    pps
  })
}

/** Reads `count` parameter sets, each behind a 16-bit length; the offset behind them, -1 where one is cut off. */
const parameterSets = (bytes: Uint8Array, offset: number, count: number, into: Array<Uint8Array>): number => {
  for (let i = 0; i < count; i++) {
    if (offset + 2 > bytes.length) return -1
    const end = offset + 2 + Bytes.u16(bytes, offset)
    if (end > bytes.length) return -1
    into.push(bytes.subarray(offset + 2, end))
    offset = end
  }
  return offset
}

/** The largest width or height that is believed. */
export const maxPixels = 65_536

/** Reads a sequence parameter set, NAL header included. `undefined` for anything else, cut off or nonsensical ones included. */
export const parseSps = (unit: Uint8Array): AvcPicture | undefined => {
  if (unit.length < 4 || (unit[0]! & 0x1f) !== 7) return undefined
  const reader = new BitReader(Nal.unescape(unit))
  reader.skip(8)
  const profile = reader.bits(8)
  reader.skip(16)
  reader.ue()
  let chroma = 1
  let separatePlanes = false
  if (highProfiles.has(profile)) {
    chroma = reader.ue()
    if (chroma > 3) return undefined
    if (chroma === 3) separatePlanes = reader.flag()
    reader.ue()
    reader.ue()
    reader.skip(1)
    if (reader.flag()) {
      for (let i = 0; i < (chroma === 3 ? 12 : 8); i++) if (reader.flag()) skipScalingList(reader, i < 6 ? 16 : 64)
    }
  }
  reader.ue()
  const orderType = reader.ue()
  if (orderType === 0) reader.ue()
  else if (orderType === 1) {
    reader.skip(1)
    reader.se()
    reader.se()
    const cycle = reader.ue()
    if (cycle > 255) return undefined
    for (let i = 0; i < cycle; i++) reader.se()
  } else if (orderType > 2) return undefined
  reader.ue()
  reader.skip(1)
  const widthInMacroblocks = reader.ue() + 1
  const heightInMapUnits = reader.ue() + 1
  const framesOnly = reader.flag()
  if (!framesOnly) reader.skip(1)
  reader.skip(1)
  const fields = framesOnly ? 1 : 2
  let width = widthInMacroblocks * 16
  let height = heightInMapUnits * 16 * fields
  if (reader.flag()) {
    const subsampled = !separatePlanes
    const unitX = subsampled && (chroma === 1 || chroma === 2) ? 2 : 1
    const unitY = (subsampled && chroma === 1 ? 2 : 1) * fields
    width -= unitX * (reader.ue() + reader.ue())
    height -= unitY * (reader.ue() + reader.ue())
  }
  if (reader.failed || width < 1 || height < 1 || width > maxPixels || height > maxPixels) return undefined
  // From here on what is missing costs the frame rate only.
  return { width, height, frameRate: reader.flag() ? vuiFrameRate(reader) : undefined }
}

/** The profiles whose parameter sets carry a chroma format (H.264 §7.3.2.1.1). */
const highProfiles: ReadonlySet<number> = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135])

const skipScalingList = (reader: BitReader, size: number): void => {
  let last = 8
  let following = 8
  for (let i = 0; i < size && following !== 0 && !reader.failed; i++) {
    following = (last + reader.se() + 256) % 256
    if (following !== 0) last = following
  }
}

const vuiFrameRate = (reader: BitReader): number | undefined => {
  if (reader.flag() && reader.bits(8) === 255) reader.skip(32)
  if (reader.flag()) reader.skip(1)
  if (reader.flag()) {
    reader.skip(4)
    if (reader.flag()) reader.skip(24)
  }
  if (reader.flag()) {
    reader.ue()
    reader.ue()
  }
  if (!reader.flag()) return undefined
  const unitsInTick = reader.bits(32)
  const timeScale = reader.bits(32)
  // A tick is a field, and a frame has two of them.
  return reader.failed || unitsInTick === 0 || timeScale === 0 ? undefined : timeScale / (2 * unitsInTick)
}

/**
 * Looks through the NAL units of an `AVC_NALU` body or coded frame for an entry point, up to the first slice.
 *
 * For encoders that mark frames wrongly; `lengthSize` is that of the record, 4 from almost all of them.
 */
export const randomAccess = (data: Uint8Array, lengthSize = 4): Nal.RandomAccess => {
  if (Nal.isAnnexB(data, lengthSize)) return "AnnexB"
  const at = Nal.walk()
  let recovery = false
  for (;;) {
    const step = Nal.next(data, lengthSize, at)
    if (step === "Malformed") return "Malformed"
    if (step === "End") return recovery ? "RecoveryPoint" : "None"
    const type = data[at.start]! & 0x1f
    if (type === 5) return "Idr"
    if (type >= 1 && type <= 4) return recovery ? "RecoveryPoint" : "None"
    if (type === 6 && !recovery) recovery = hasRecoveryPoint(data, at.start + 1, at.end)
  }
}

const RECOVERY_POINT = 6

/** Looks for a recovery point among the messages of an SEI unit (H.264 §7.3.2.3.1); payload sizes are taken as written. */
const hasRecoveryPoint = (data: Uint8Array, offset: number, end: number): boolean => {
  while (offset < end) {
    let type = 0
    while (offset < end && data[offset] === 0xff) {
      type += 255
      offset++
    }
    if (offset >= end) return false
    type += data[offset++]!
    let size = 0
    while (offset < end && data[offset] === 0xff) {
      size += 255
      offset++
    }
    if (offset >= end) return false
    size += data[offset++]!
    if (type === RECOVERY_POINT) return size > 0
    offset += size
  }
  return false
}

/** The name of a profile, its number where it has none that is common. */
export const profileName = (profile: number, compatibility: number): string => {
  switch (profile) {
    case 66:
      return (compatibility & 0x40) !== 0 ? "Constrained Baseline" : "Baseline"
    case 77:
      return "Main"
    case 88:
      return "Extended"
    case 100:
      return "High"
    case 110:
      return "High 10"
    case 122:
      return "High 4:2:2"
    case 244:
      return "High 4:4:4 Predictive"
    default:
      return String(profile)
  }
}

/** The name of a level, such as `3.1`. Level 1b is written as 11 with a flag by the older profiles and as 9 by the others. */
export const levelName = (level: number, profile: number, compatibility: number): string => {
  const isOlder = profile === 66 || profile === 77 || profile === 88
  if (level === 9 || (level === 11 && isOlder && (compatibility & 0x10) !== 0)) return "1b"
  return (level / 10).toFixed(1)
}
