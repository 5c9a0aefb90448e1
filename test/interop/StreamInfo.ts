/**
 * What a client knows about the streams that it sends or gets: printed by the node-av scripts, compared by the tests.
 */
import { createHash } from "node:crypto"
import { AVMEDIA_TYPE_AUDIO, AVMEDIA_TYPE_VIDEO } from "node-av/constants"
import { avGetCodecName, type CodecParameters } from "node-av/lib"
import type { Kind } from "./Packet.ts"

/** One stream. `extradata` is the hash of the codec's configuration record, `null` where there is none. */
export interface StreamInfo {
  readonly kind: Kind
  readonly codec: string | null
  readonly extradata: string | null
  readonly width: number
  readonly height: number
  readonly sampleRate: number
}

/** Describes what FFmpeg found. */
export const describe = (parameters: CodecParameters): StreamInfo => ({
  kind:
    parameters.codecType === AVMEDIA_TYPE_VIDEO
      ? "video"
      : parameters.codecType === AVMEDIA_TYPE_AUDIO
        ? "audio"
        : "other",
  codec: avGetCodecName(parameters.codecId),
  extradata: parameters.extradata === null ? null : createHash("sha256").update(parameters.extradata).digest("hex"),
  width: parameters.width,
  height: parameters.height,
  sampleRate: parameters.sampleRate
})
