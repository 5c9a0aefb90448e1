/**
 * VP8 and VP9: the codec configuration record of a sequence header (VP Codec ISO Media File Format Binding §2.2).
 *
 * The record has no picture size: frames carry it. For statistics, logs and tools, as `Avc`.
 *
 * **Gotchas** In Enhanced RTMP the record comes with the header of the MP4 box it was made for, version 1 and 24 flag bits
 * (FFmpeg, gortmplib and RootEncoder all write it). A record without that header is read too.
 */
import * as Result from "effect/Result"
import { MediaError } from "./MediaError.ts"

/**
 * A configuration record. `level` is ten times the level's name; `chroma` is 0 or 1 for 4:2:0 (two sample positions),
 * 2 for 4:2:2, 3 for 4:4:4.
 */
export interface VpxConfiguration {
  readonly profile: number
  readonly level: number
  readonly bitDepth: number
  readonly chroma: number
  readonly fullRange: boolean
}

/** Parses a record. Fails with `Truncated` where it is shorter than its fixed part. */
export const parse = (bytes: Uint8Array): Result.Result<VpxConfiguration, MediaError> => {
  const hasBoxHeader = bytes.length >= 12 && bytes[0] === 1 && bytes[1] === 0 && bytes[2] === 0 && bytes[3] === 0
  const offset = hasBoxHeader ? 4 : 0
  if (bytes.length - offset < 8) return Result.fail(new MediaError({ reason: "Truncated", offset: bytes.length }))
  const byte = bytes[offset + 2]!
  return Result.succeed({
    profile: bytes[offset]!,
    level: bytes[offset + 1]!,
    bitDepth: byte >> 4,
    chroma: (byte >> 1) & 7,
    fullRange: (byte & 1) === 1
  })
}

/** The name of a level, such as `3.1`; `undefined` for 0, which says nothing. */
export const levelName = (level: number): string | undefined => (level === 0 ? undefined : (level / 10).toFixed(1))
