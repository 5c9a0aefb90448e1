/**
 * The part of an Enhanced RTMP header that audio and video share: the ModEx chain and the multitrack layout
 * (E-RTMP v2, ExVideoTagHeader and ExAudioTagHeader).
 *
 * A `Cursor` walks a message in three steps, `open`, `enter`, then `nextTrack` until it says no, and allocates nothing,
 * so that a look at a multitrack frame costs no more than one at any other. It knows neither codecs nor packet types:
 * `VideoTag`, `AudioTag` and `MediaFrame` do.
 *
 * **Gotchas**
 *
 * - The number of the multitrack packet type differs: 6 for video, 5 for audio. ModEx is 7 for both.
 * - A step that returns `false` with a `reason` ends the walk; the cursor's other fields then mean nothing.
 */
import * as Bytes from "../protocol/Bytes.ts"
import type { MediaReason } from "./MediaError.ts"

/** The packet type of a modifier, for audio and video alike. */
export const MOD_EX = 7
/** ModExType TimestampOffsetNano: nanoseconds to add to the presentation time of this message. */
export const TIMESTAMP_OFFSET_NANO = 0

/** No multitrack message: one body that ends with the message. */
export const SINGLE = -1
/** AvMultitrackType OneTrack. */
export const ONE_TRACK = 0
/** AvMultitrackType ManyTracks: several tracks of one codec. */
export const MANY_TRACKS = 1
/** AvMultitrackType ManyTracksManyCodecs: each track with a FourCC of its own. */
export const MANY_TRACKS_MANY_CODECS = 2

/** The most modifiers one message may chain. The specification has no limit and defines a single modifier. */
export const maxModEx = 32

/** The most tracks one message may hold. The specification has no limit but the one byte of a track id. */
export const maxTracks = 32

/** The largest legal nanosecond offset. */
export const maxNanoseconds = 999_999

/**
 * One modifier of the chain in front of a packet.
 *
 * - `type`: ModExType, 0 to 15. Types other than `TIMESTAMP_OFFSET_NANO` are carried along and mean nothing.
 * - `data`: 1 to 65536 bytes; at least 3 for `TIMESTAMP_OFFSET_NANO`.
 * - `wide`: the size was written in its long form. More than 255 bytes need it; below that it is the sender's choice,
 *   kept so that building gives back what was parsed.
 */
export interface ModEx {
  readonly type: number
  readonly data: Uint8Array
  readonly wide: boolean
}

/** Where a walk through a message stands. One object serves any number of messages, one after the other. */
export class Cursor {
  /** The packet type in effect: after `open` the one behind the ModEx chain, after `enter` the real one of a multitrack message. */
  packetType = 0
  /** Offset of the next byte to read. */
  offset = 0
  /** Modifiers passed so far. */
  modExCount = 0
  /** Type of the last modifier that was read. */
  modExType = 0
  /** Offset of the first data byte of the last modifier. */
  modExStart = 0
  /** Offset behind the last data byte of the last modifier. */
  modExEnd = 0
  /** Nanosecond offset of the message; of several the last, 0 where there is none. */
  nanoseconds = 0
  /** `SINGLE`, `ONE_TRACK`, `MANY_TRACKS` or `MANY_TRACKS_MANY_CODECS`. */
  multitrackType = SINGLE
  /** FourCC of the track. */
  fourCc = 0
  /** Id of the track, 0 to 255; 0 outside a multitrack message. */
  trackId = 0
  /** Offset of the first byte of the track's body. */
  bodyStart = 0
  /** Offset behind the last byte of the track's body. */
  bodyEnd = 0
  /** Tracks passed so far, the present one included. */
  trackCount = 0
  /** Why a step failed; `""` while none has. */
  reason: MediaReason | "" = ""
}

const fail = (cursor: Cursor, reason: MediaReason): false => {
  cursor.reason = reason
  return false
}

/** Puts the cursor behind byte 0 of `bytes`, which must not be empty, without a look at the ModEx chain. */
export const start = (bytes: Uint8Array, cursor: Cursor): void => {
  cursor.packetType = bytes[0]! & 0x0f
  cursor.offset = 1
  cursor.modExCount = 0
  cursor.nanoseconds = 0
  cursor.multitrackType = SINGLE
  cursor.fourCc = 0
  cursor.trackId = 0
  cursor.trackCount = 0
  cursor.reason = ""
}

/** Reads one modifier. To be called while `packetType` is `MOD_EX`; `false` with a `reason` where it is malformed. */
export const nextModEx = (bytes: Uint8Array, cursor: Cursor): boolean => {
  if (++cursor.modExCount > maxModEx) return fail(cursor, "BadModEx")
  let offset = cursor.offset
  if (offset >= bytes.length) return fail(cursor, "Truncated")
  let size = bytes[offset++]! + 1
  if (size === 256) {
    if (offset + 2 > bytes.length) return fail(cursor, "Truncated")
    size = Bytes.u16(bytes, offset) + 1
    offset += 2
  }
  if (offset + size + 1 > bytes.length) return fail(cursor, "Truncated")
  const next = bytes[offset + size]!
  cursor.modExStart = offset
  cursor.modExEnd = offset + size
  cursor.modExType = next >> 4
  cursor.packetType = next & 0x0f
  cursor.offset = offset + size + 1
  if (cursor.modExType === TIMESTAMP_OFFSET_NANO) {
    if (size < 3) return fail(cursor, "BadModEx")
    cursor.nanoseconds = Bytes.u24(bytes, offset)
    if (cursor.nanoseconds > maxNanoseconds) return fail(cursor, "BadModEx")
  }
  return true
}

/** Puts the cursor behind byte 0 and the ModEx chain of `bytes`, which must not be empty; `false` with a `reason` where malformed. */
export const open = (bytes: Uint8Array, cursor: Cursor): boolean => {
  start(bytes, cursor)
  while (cursor.packetType === MOD_EX) if (!nextModEx(bytes, cursor)) return false
  return true
}

/**
 * Reads what stands between the ModEx chain and the first track: the multitrack byte, if the packet type is
 * `multitrackPacketType`, and the FourCC that all tracks share, if they do.
 */
export const enter = (bytes: Uint8Array, cursor: Cursor, multitrackPacketType: number): boolean => {
  if (cursor.packetType === multitrackPacketType) {
    if (cursor.offset >= bytes.length) return fail(cursor, "Truncated")
    const byte = bytes[cursor.offset++]!
    cursor.multitrackType = byte >> 4
    cursor.packetType = byte & 0x0f
    if (cursor.multitrackType > MANY_TRACKS_MANY_CODECS || cursor.packetType === multitrackPacketType) {
      return fail(cursor, "BadMultitrack")
    }
    if (cursor.packetType === MOD_EX) return fail(cursor, "UnknownPacketType")
    if (cursor.multitrackType === MANY_TRACKS_MANY_CODECS) return true
  }
  return readFourCc(bytes, cursor)
}

/**
 * Moves on to the next track, or to the only body of a message that is not multitrack. `false` with an empty `reason`
 * behind the last one, and with a reason where the track goes past the end of the message.
 */
export const nextTrack = (bytes: Uint8Array, cursor: Cursor): boolean => {
  const many = cursor.multitrackType > ONE_TRACK
  if (cursor.trackCount > 0 && (!many || cursor.offset === bytes.length)) return false
  if (++cursor.trackCount > maxTracks) return fail(cursor, "TooManyTracks")
  let end = bytes.length
  if (cursor.multitrackType !== SINGLE) {
    if (cursor.multitrackType === MANY_TRACKS_MANY_CODECS && !readFourCc(bytes, cursor)) return false
    if (cursor.offset >= end) return fail(cursor, "Truncated")
    cursor.trackId = bytes[cursor.offset++]!
    if (many) {
      if (cursor.offset + 3 > end) return fail(cursor, "Truncated")
      const size = Bytes.u24(bytes, cursor.offset)
      cursor.offset += 3
      if (cursor.offset + size > end) return fail(cursor, "Truncated")
      end = cursor.offset + size
    }
  }
  cursor.bodyStart = cursor.offset
  cursor.bodyEnd = end
  cursor.offset = end
  return true
}

const readFourCc = (bytes: Uint8Array, cursor: Cursor): boolean => {
  if (cursor.offset + 4 > bytes.length) return fail(cursor, "Truncated")
  cursor.fourCc = Bytes.u32(bytes, cursor.offset)
  cursor.offset += 4
  return true
}

/** As `open`, and gives the modifiers with views of their data; `undefined` with the cursor's `reason` where malformed. */
export const collectModEx = (bytes: Uint8Array, cursor: Cursor): Array<ModEx> | undefined => {
  start(bytes, cursor)
  const chain: Array<ModEx> = []
  while (cursor.packetType === MOD_EX) {
    const wide = bytes[cursor.offset] === 0xff
    if (!nextModEx(bytes, cursor)) return undefined
    chain.push({ type: cursor.modExType, data: bytes.subarray(cursor.modExStart, cursor.modExEnd), wide })
  }
  return chain
}

/**
 * Writes byte 0 (`highBits` and a packet type), the chain, and in the place of each modifier's next type what follows it.
 *
 * Throws a `RangeError`, a defect of ours, for a chain that `open` would not accept.
 */
export const writeModEx = (
  writer: Bytes.BytesWriter,
  highBits: number,
  chain: ReadonlyArray<ModEx>,
  packetType: number
): void => {
  if (chain.length > maxModEx) throw new RangeError("too many modifiers")
  writer.u8(highBits | (chain.length === 0 ? packetType : MOD_EX))
  for (let i = 0; i < chain.length; i++) {
    const { data, type, wide } = chain[i]!
    const size = data.length
    if (size < 1 || size > 65536 || type < 0 || type > 15) throw new RangeError("modifier out of range")
    if (type === TIMESTAMP_OFFSET_NANO && (size < 3 || Bytes.u24(data, 0) > maxNanoseconds)) {
      throw new RangeError("nanosecond offset out of range")
    }
    if (wide || size > 255) writer.u8(0xff).u16(size - 1)
    else writer.u8(size - 1)
    writer.bytes(data).u8((type << 4) | (i + 1 < chain.length ? MOD_EX : packetType))
  }
}

/** The nanosecond offset that a chain gives its message: of several the last, 0 where there is none. */
export const nanoseconds = (chain: ReadonlyArray<ModEx>): number => {
  let offset = 0
  for (const { data, type } of chain) if (type === TIMESTAMP_OFFSET_NANO) offset = Bytes.u24(data, 0)
  return offset
}

/** The modifier that adds `nanoseconds`, 0 to 999,999. Throws a `RangeError` for any other number. */
export const timestampOffset = (nanoseconds: number): ModEx => {
  if (!(Number.isInteger(nanoseconds) && nanoseconds >= 0 && nanoseconds <= maxNanoseconds)) {
    throw new RangeError("nanosecond offset out of range")
  }
  const data = new Uint8Array(3)
  Bytes.putU24(data, 0, nanoseconds)
  return { type: TIMESTAMP_OFFSET_NANO, data, wide: false }
}

/** One track of a multitrack message, or the parts of it that have to be written. */
export interface TrackBytes {
  readonly fourCc: number
  readonly trackId: number
  readonly body: Uint8Array
}

/**
 * Writes the multitrack byte and the tracks. Where the type has them share a FourCC, that of the first track is written.
 *
 * Throws a `RangeError` for a number of tracks that the type does not allow, for FourCCs that should be one and are not,
 * and for a real packet type that is multitrack or ModEx itself.
 */
export const writeTracks = (
  writer: Bytes.BytesWriter,
  multitrackType: number,
  packetType: number,
  multitrackPacketType: number,
  tracks: ReadonlyArray<TrackBytes>
): void => {
  const many = multitrackType !== ONE_TRACK
  if (tracks.length < 1 || tracks.length > (many ? maxTracks : 1)) throw new RangeError("wrong number of tracks")
  if (multitrackType < ONE_TRACK || multitrackType > MANY_TRACKS_MANY_CODECS) throw new RangeError("multitrack type")
  if (packetType === multitrackPacketType || packetType === MOD_EX) throw new RangeError("packet type out of place")
  const ownCodecs = multitrackType === MANY_TRACKS_MANY_CODECS
  writer.u8((multitrackType << 4) | packetType)
  if (!ownCodecs) writer.u32(tracks[0]!.fourCc)
  for (const track of tracks) {
    if (ownCodecs) writer.u32(track.fourCc)
    else if (track.fourCc !== tracks[0]!.fourCc) throw new RangeError("tracks of different codecs")
    writer.u8(track.trackId)
    if (many) writer.u24(track.body.length)
    writer.bytes(track.body)
  }
}
