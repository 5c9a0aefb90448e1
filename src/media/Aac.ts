/**
 * AAC: the AudioSpecificConfig of a sequence header (ISO 14496-3 §1.6.2.1).
 *
 * For statistics, logs and tools, as `Avc`.
 *
 * **Gotchas**
 *
 * - Spectral band replication (SBR) and parametric stereo (PS) may be announced in front (object types 5 and 29), behind
 *   the core configuration (a sync word that old decoders overlook), or not at all.
 * - FFmpeg always writes the sync word, with the SBR flag 0 for plain AAC-LC.
 * - Telos Omnia encoders send two bytes where more are announced: what is missing is taken as absent.
 */
import * as Result from "effect/Result"
import { BitReader } from "./Bits.ts"
import { MediaError, type MediaReason } from "./MediaError.ts"

/**
 * An AudioSpecificConfig.
 *
 * - `objectType`: of the core, 2 for AAC-LC. `sbr`, `ps`: announced.
 * - `sampleRate`: Hz, of the core. `outputSampleRate`: Hz, with SBR applied.
 * - `channels`: of the core; 0 where the configuration leaves it open. With `ps` one channel becomes two.
 */
export interface AudioSpecificConfig {
  readonly objectType: number
  readonly sampleRate: number
  readonly outputSampleRate: number
  readonly channels: number
  readonly sbr: boolean
  readonly ps: boolean
}

/** Sample rates by index (ISO 14496-3 §1.6.3.4). */
const sampleRates = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350]

/** Channels by channelConfiguration (ISO 14496-3 §1.6.3.5); 0 for reserved ones, and at index 0, where an element list follows. */
const channelCounts = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0]

const SBR = 5
const PS = 29
const ESCAPE = 31

/** The object types that are followed by a GASpecificConfig (ISO 14496-3 §4.4.1). */
const generalAudio: ReadonlySet<number> = new Set([1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23])

const fail = (reason: MediaReason, offset: number): Result.Result<never, MediaError> =>
  Result.fail(new MediaError({ reason, offset }))

/**
 * Parses an AudioSpecificConfig. Fails with `Truncated` where the core's type, rate and channels are not all there, and
 * with `BadConfiguration` for a reserved rate.
 */
export const parse = (bytes: Uint8Array): Result.Result<AudioSpecificConfig, MediaError> => {
  const reader = new BitReader(bytes)
  let objectType = readObjectType(reader)
  const sampleRate = readSampleRate(reader)
  const channelConfiguration = reader.bits(4)
  if (reader.failed) return fail("Truncated", bytes.length)
  let sbr = objectType === SBR || objectType === PS
  let ps = objectType === PS
  let outputSampleRate = sampleRate
  if (sbr) {
    outputSampleRate = readSampleRate(reader)
    objectType = readObjectType(reader)
    // Cut off behind the announcement: the core can only be AAC-LC.
    if (reader.failed) {
      outputSampleRate = sampleRate
      objectType = 2
    }
  }
  if (sampleRate === 0 || outputSampleRate === 0) return fail("BadConfiguration", 0)
  let channels = channelCounts[channelConfiguration]!
  const listed = generalAudio.has(objectType) ? skipGeneralAudio(reader, objectType, channelConfiguration) : undefined
  if (channelConfiguration === 0 && listed !== undefined) channels = listed
  if (!sbr && listed !== undefined && reader.remaining >= 16 && reader.bits(11) === 0x2b7) {
    if (readObjectType(reader) === SBR && reader.flag()) {
      const rate = readSampleRate(reader)
      if (!reader.failed && rate > 0) {
        sbr = true
        outputSampleRate = rate
        ps = reader.remaining >= 12 && reader.bits(11) === 0x548 && reader.flag()
      }
    }
  }
  return Result.succeed({ objectType, sampleRate, outputSampleRate, channels, sbr, ps })
}

const readObjectType = (reader: BitReader): number => {
  const type = reader.bits(5)
  return type === ESCAPE ? 32 + reader.bits(6) : type
}

/** Hz; 0 for a reserved index. */
const readSampleRate = (reader: BitReader): number => {
  const index = reader.bits(4)
  return index === 15 ? reader.bits(24) : (sampleRates[index] ?? 0)
}

/** Reads over a GASpecificConfig; the channels of its element list, 0 without one, `undefined` where it is cut off. */
const skipGeneralAudio = (reader: BitReader, objectType: number, channelConfiguration: number): number | undefined => {
  reader.skip(1)
  if (reader.flag()) reader.skip(14)
  const hasExtension = reader.flag()
  const channels = channelConfiguration === 0 ? readElements(reader) : 0
  if (objectType === 6 || objectType === 20) reader.skip(3)
  if (hasExtension) {
    if (objectType === 22) reader.skip(16)
    if (objectType === 17 || objectType === 19 || objectType === 20 || objectType === 23) reader.skip(3)
    reader.skip(1)
  }
  return reader.failed ? undefined : channels
}

/** Reads a program_config_element (ISO 14496-3 §4.4.1.1) and counts its channels. */
const readElements = (reader: BitReader): number => {
  reader.skip(10)
  const elements = reader.bits(4) + reader.bits(4) + reader.bits(4)
  const lowFrequency = reader.bits(2)
  const associatedData = reader.bits(3)
  const coupling = reader.bits(4)
  if (reader.flag()) reader.skip(4)
  if (reader.flag()) reader.skip(4)
  if (reader.flag()) reader.skip(3)
  let channels = lowFrequency
  for (let i = 0; i < elements; i++) {
    channels += reader.flag() ? 2 : 1
    reader.skip(4)
  }
  reader.skip(4 * lowFrequency + 4 * associatedData + 5 * coupling)
  reader.align()
  reader.skip(8 * reader.bits(8))
  return channels
}

/** The name of what a configuration describes: `HE-AACv2`, `HE-AAC`, `LC` and so on; the object type's number where it has none. */
export const profileName = (config: AudioSpecificConfig): string => {
  if (config.ps) return "HE-AACv2"
  if (config.sbr) return "HE-AAC"
  switch (config.objectType) {
    case 1:
      return "Main"
    case 2:
      return "LC"
    case 3:
      return "SSR"
    case 4:
      return "LTP"
    case 23:
      return "LD"
    case 39:
      return "ELD"
    case 42:
      return "xHE-AAC"
    default:
      return String(config.objectType)
  }
}
