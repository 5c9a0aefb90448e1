/**
 * FLAC: the STREAMINFO block of a sequence header (RFC 9639 §8.2).
 *
 * **Gotchas** Enhanced RTMP asks for the marker `fLaC`, a block header, and the block; FFmpeg 8 writes the block alone.
 * Both are read.
 */
import * as Result from "effect/Result"
import * as Bytes from "../protocol/Bytes.ts"
import { MediaError } from "./MediaError.ts"

/** A STREAMINFO block: `sampleRate` in Hz, `channels` 1 to 8, `bitsPerSample` 4 to 32. */
export interface StreamInfo {
  readonly sampleRate: number
  readonly channels: number
  readonly bitsPerSample: number
}

const MARKER = 0x664c6143
const BLOCK_BYTES = 34

/** Parses a header. Fails with `Truncated` where the block is not whole, and with `BadConfiguration` for a sample rate of 0. */
export const parse = (bytes: Uint8Array): Result.Result<StreamInfo, MediaError> => {
  const offset = bytes.length >= 8 && Bytes.u32(bytes, 0) === MARKER ? 8 : 0
  if (bytes.length - offset < BLOCK_BYTES) {
    return Result.fail(new MediaError({ reason: "Truncated", offset: bytes.length }))
  }
  // 20 bits of rate, 3 of channels and 5 of sample size, in the 10th to 13th byte.
  const packed = Bytes.u32(bytes, offset + 10)
  const sampleRate = packed >>> 12
  if (sampleRate === 0) return Result.fail(new MediaError({ reason: "BadConfiguration", offset: offset + 10 }))
  return Result.succeed({
    sampleRate,
    channels: ((packed >> 9) & 7) + 1,
    bitsPerSample: ((packed >> 4) & 0x1f) + 1
  })
}
