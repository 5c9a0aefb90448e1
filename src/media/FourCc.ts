/**
 * FourCC codes: how Enhanced RTMP names codecs (E-RTMP v2, Enhanced Audio and Enhanced Video).
 *
 * On the wire a FourCC is four ASCII characters; here it is the number those four bytes make big-endian, because numbers
 * compare cheaply and `onMetaData` carries them so (E-RTMP v2, Enhancing onMetaData). Case matters: `Opus` is not `opus`.
 */

/** VP8. */
export const VP08 = 0x76703038
/** VP9. */
export const VP09 = 0x76703039
/** AV1. */
export const AV01 = 0x61763031
/** H.264 / AVC. */
export const AVC1 = 0x61766331
/** H.265 / HEVC. */
export const HVC1 = 0x68766331
/** H.266 / VVC. */
export const VVC1 = 0x76766331
/** AC-3. */
export const AC_3 = 0x61632d33
/** Enhanced AC-3. */
export const EC_3 = 0x65632d33
/** Opus. */
export const OPUS = 0x4f707573
/** MP3. */
export const MP3 = 0x2e6d7033
/** FLAC. */
export const FLAC = 0x664c6143
/** AAC. */
export const MP4A = 0x6d703461

/** The video codecs that Enhanced RTMP v2 defines. */
export const video: ReadonlyArray<number> = [AVC1, HVC1, AV01, VP09, VP08, VVC1]

/** The audio codecs that Enhanced RTMP v2 defines. */
export const audio: ReadonlyArray<number> = [MP4A, OPUS, FLAC, AC_3, EC_3, MP3]

/** The index of a FourCC in `video`, -1 where it is not one of them. */
export const videoIndex = (fourCc: number): number => {
  switch (fourCc) {
    case AVC1:
      return 0
    case HVC1:
      return 1
    case AV01:
      return 2
    case VP09:
      return 3
    case VP08:
      return 4
    case VVC1:
      return 5
    default:
      return -1
  }
}

/** The index of a FourCC in `audio`, -1 where it is not one of them. */
export const audioIndex = (fourCc: number): number => {
  switch (fourCc) {
    case MP4A:
      return 0
    case OPUS:
      return 1
    case FLAC:
      return 2
    case AC_3:
      return 3
    case EC_3:
      return 4
    case MP3:
      return 5
    default:
      return -1
  }
}

/** Tells whether coded frames of this codec carry a composition time (E-RTMP v2, ExVideoTagBody): AVC, HEVC and VVC. */
export const hasCompositionTime = (fourCc: number): boolean => fourCc === AVC1 || fourCc === HVC1 || fourCc === VVC1

/** The four characters of a code, `undefined` where they are not all printable ASCII. */
export const toText = (fourCc: number): string | undefined => {
  let text = ""
  for (let shift = 24; shift >= 0; shift -= 8) {
    const byte = (fourCc >>> shift) & 0xff
    if (byte < 0x20 || byte > 0x7e) return undefined
    text += String.fromCharCode(byte)
  }
  return text
}

/** The code of four printable ASCII characters, `undefined` for any other text. */
export const fromText = (text: string): number | undefined => {
  if (text.length !== 4) return undefined
  let fourCc = 0
  for (let i = 0; i < 4; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code > 0x7e) return undefined
    fourCc = fourCc * 256 + code
  }
  return fourCc
}
