/**
 * Opus: the identification header of a sequence header (RFC 7845 §5.1).
 *
 * Enhanced RTMP lets a sender leave it out; what is missing then comes from a MultichannelConfig, or is mono or stereo as
 * the packets say.
 */
import * as Result from "effect/Result"
import * as Bytes from "../protocol/Bytes.ts"
import { MediaError, type MediaReason } from "./MediaError.ts"

/**
 * An identification header.
 *
 * - `channels`: of the output, at least 1. `preSkip`: samples at 48 kHz to leave out at the start.
 * - `inputSampleRate`: Hz before encoding, 0 where not told. Opus always decodes at 48 kHz.
 * - `outputGain`: in 1/256 dB. `mappingFamily`: 0 for mono and stereo.
 */
export interface OpusHead {
  readonly version: number
  readonly channels: number
  readonly preSkip: number
  readonly inputSampleRate: number
  readonly outputGain: number
  readonly mappingFamily: number
}

const MAGIC = Bytes.fromUtf8("OpusHead")
const FIXED_BYTES = 19

const fail = (reason: MediaReason, offset: number): Result.Result<never, MediaError> =>
  Result.fail(new MediaError({ reason, offset }))

/**
 * Parses a header. Fails with `Truncated` below 19 bytes, and with `BadConfiguration` without its magic, for a major
 * version other than 0, and for no channels.
 */
export const parse = (bytes: Uint8Array): Result.Result<OpusHead, MediaError> => {
  if (bytes.length < FIXED_BYTES) return fail("Truncated", bytes.length)
  if (!Bytes.equals(bytes.subarray(0, 8), MAGIC)) return fail("BadConfiguration", 0)
  if (bytes[8]! > 15) return fail("BadConfiguration", 8)
  if (bytes[9] === 0) return fail("BadConfiguration", 9)
  return Result.succeed({
    version: bytes[8]!,
    channels: bytes[9]!,
    preSkip: bytes[10]! | (bytes[11]! << 8),
    inputSampleRate: Bytes.u32Le(bytes, 12),
    outputGain: ((bytes[16]! | (bytes[17]! << 8)) << 16) >> 16,
    mappingFamily: bytes[18]!
  })
}
