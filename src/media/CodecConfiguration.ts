/**
 * What a sequence header says, in a few fields that are alike for all codecs: for statistics, logs and pages.
 *
 * Nothing here decides about relaying: a configuration that cannot be read is described by its codec alone.
 */
import * as Result from "effect/Result"
import * as Message from "../protocol/Message.ts"
import * as Aac from "./Aac.ts"
import * as AudioTag from "./AudioTag.ts"
import * as Av1 from "./Av1.ts"
import * as Avc from "./Avc.ts"
import * as Flac from "./Flac.ts"
import * as FourCc from "./FourCc.ts"
import * as Hevc from "./Hevc.ts"
import * as Opus from "./Opus.ts"
import * as VideoTag from "./VideoTag.ts"
import * as Vp9 from "./Vp9.ts"

/**
 * A described configuration. Only `codec`, named as in `MediaFrame`, is always there.
 *
 * - `width`, `height`: pixels. `frameRate`: frames per second, where the configuration tells.
 * - `profile`, `level`: by their usual names, such as `High` and `3.1`.
 * - `sampleRate`: Hz, as played. `channels`: as played.
 */
export interface CodecConfiguration {
  readonly codec: string
  readonly width?: number
  readonly height?: number
  readonly frameRate?: number
  readonly profile?: string
  readonly level?: string
  readonly sampleRate?: number
  readonly channels?: number
}

type Draft = { -readonly [K in keyof CodecConfiguration]: CodecConfiguration[K] }

/**
 * Describes the sequence header in an audio (8) or video (9) message, the first of several tracks; `undefined` for any
 * other message, undecodable ones included.
 */
export const describe = (typeId: number, payload: Uint8Array): CodecConfiguration | undefined =>
  typeId === Message.VIDEO ? describeVideo(payload) : typeId === Message.AUDIO ? describeAudio(payload) : undefined

const describeVideo = (payload: Uint8Array): CodecConfiguration | undefined => {
  const parsed = VideoTag.parse(payload)
  if (Result.isFailure(parsed)) return undefined
  const tag = parsed.success
  switch (tag._tag) {
    case "LegacyPacket":
      if (tag.packetType !== VideoTag.AVC_SEQUENCE_HEADER) return undefined
      return configuration(tag.codecId === VideoTag.HEVC ? FourCc.HVC1 : FourCc.AVC1, tag.body)
    case "ExFrame":
    case "ExMultitrack": {
      const { body, fourCc } = tag._tag === "ExFrame" ? tag : tag.tracks[0]!
      if (tag.packetType === VideoTag.SEQUENCE_START) return configuration(fourCc, body)
      return tag.packetType === VideoTag.MPEG2TS_SEQUENCE_START ? av1(Av1.parseDescriptor(body)) : undefined
    }
    default:
      return undefined
  }
}

const describeAudio = (payload: Uint8Array): CodecConfiguration | undefined => {
  const parsed = AudioTag.parse(payload)
  if (Result.isFailure(parsed)) return undefined
  const tag = parsed.success
  switch (tag._tag) {
    case "AacPacket":
      return tag.packetType === AudioTag.AAC_SEQUENCE_HEADER ? configuration(FourCc.MP4A, tag.body) : undefined
    case "ExFrame":
    case "ExMultitrack": {
      const { body, fourCc } = tag._tag === "ExFrame" ? tag : tag.tracks[0]!
      return tag.packetType === AudioTag.SEQUENCE_START ? configuration(fourCc, body) : undefined
    }
    default:
      return undefined
  }
}

/** Describes the body of a sequence header, for one of the codecs of `FourCc`. */
export const configuration = (fourCc: number, body: Uint8Array): CodecConfiguration => {
  switch (fourCc) {
    case FourCc.AVC1:
      return avc(body)
    case FourCc.HVC1:
      return hevc(body)
    case FourCc.AV01:
      return av1(Av1.parse(body))
    case FourCc.VP08:
    case FourCc.VP09:
      return vpx(fourCc, body)
    case FourCc.MP4A:
      return aac(body)
    case FourCc.OPUS: {
      const head = Opus.parse(body)
      // Opus plays at 48 kHz whatever went into it.
      return Result.isFailure(head)
        ? { codec: "Opus" }
        : { codec: "Opus", sampleRate: 48_000, channels: head.success.channels }
    }
    case FourCc.FLAC: {
      const info = Flac.parse(body)
      return Result.isFailure(info)
        ? { codec: "fLaC" }
        : { codec: "fLaC", sampleRate: info.success.sampleRate, channels: info.success.channels }
    }
    default:
      return { codec: FourCc.toText(fourCc) ?? "" }
  }
}

const avc = (body: Uint8Array): CodecConfiguration => {
  const out: Draft = { codec: "avc1" }
  const record = Avc.parse(body)
  if (Result.isFailure(record)) return out
  const { compatibility, level, profile, sps } = record.success
  out.profile = Avc.profileName(profile, compatibility)
  out.level = Avc.levelName(level, profile, compatibility)
  const picture = sps.length > 0 ? Avc.parseSps(sps[0]!) : undefined
  if (picture !== undefined) {
    out.width = picture.width
    out.height = picture.height
    if (picture.frameRate !== undefined) out.frameRate = picture.frameRate
  }
  return out
}

const hevc = (body: Uint8Array): CodecConfiguration => {
  const out: Draft = { codec: "hvc1" }
  const record = Hevc.parse(body)
  if (Result.isFailure(record)) return out
  const { frameRate, level, profile } = record.success
  out.profile = Hevc.profileName(profile)
  out.level = Hevc.levelName(level)
  if (frameRate !== undefined) out.frameRate = frameRate
  const sps = Hevc.unitOf(record.success, Hevc.SPS)
  const picture = sps === undefined ? undefined : Hevc.parseSps(sps)
  if (picture !== undefined) {
    out.width = picture.width
    out.height = picture.height
  }
  return out
}

const av1 = (record: ReturnType<typeof Av1.parse>): CodecConfiguration => {
  const out: Draft = { codec: "av01" }
  if (Result.isFailure(record)) return out
  const { level, obus, profile } = record.success
  out.profile = Av1.profileName(profile)
  const name = Av1.levelName(level)
  if (name !== undefined) out.level = name
  const picture = Av1.parseSequenceHeader(obus)
  if (picture !== undefined) {
    out.width = picture.width
    out.height = picture.height
  }
  return out
}

const vpx = (fourCc: number, body: Uint8Array): CodecConfiguration => {
  const out: Draft = { codec: fourCc === FourCc.VP08 ? "vp08" : "vp09" }
  const record = Vp9.parse(body)
  if (Result.isFailure(record)) return out
  out.profile = String(record.success.profile)
  const level = Vp9.levelName(record.success.level)
  if (level !== undefined) out.level = level
  return out
}

const aac = (body: Uint8Array): CodecConfiguration => {
  const out: Draft = { codec: "mp4a" }
  const config = Aac.parse(body)
  if (Result.isFailure(config)) return out
  const { channels, outputSampleRate, ps } = config.success
  out.profile = Aac.profileName(config.success)
  out.sampleRate = outputSampleRate
  if (channels > 0) out.channels = ps && channels === 1 ? 2 : channels
  return out
}
