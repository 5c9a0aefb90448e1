/**
 * NAL units, as H.264 and H.265 have in common: walking length-prefixed ones, and undoing emulation prevention.
 *
 * A relay needs none of this: it goes by the frame type of the message. It is for the deeper look of those who do not
 * trust that, and for reading parameter sets.
 */

/**
 * What a deep look at coded data found.
 *
 * - `Idr`: an instantaneous decoder refresh. Nothing before it is needed.
 * - `RecoveryPoint`: an entry point of another kind (an H.264 recovery point message, an H.265 CRA or BLA picture).
 * - `None`: neither.
 * - `AnnexB`: start codes where lengths should be, which broken encoders write.
 * - `Malformed`: a unit that is empty or goes past the end, before anything above was found.
 */
export type RandomAccess = "Idr" | "RecoveryPoint" | "None" | "AnnexB" | "Malformed"

/** Where a walk over length-prefixed NAL units stands: the bounds of the present unit. */
export interface NalWalk {
  /** Offset of the unit's first byte. */
  start: number
  /** Offset behind its last byte. */
  end: number
}

/** A walk that stands before the first unit. */
export const walk = (): NalWalk => ({ start: 0, end: 0 })

/**
 * Moves on to the next unit of `data`, whose lengths take `lengthSize` bytes, 1 to 4.
 *
 * `End` behind the last one, `Malformed` for a unit that is empty, cut off, or of a length that goes past the end.
 */
export const next = (data: Uint8Array, lengthSize: number, at: NalWalk): "Unit" | "End" | "Malformed" => {
  if (at.end === data.length) return "End"
  if (at.end + lengthSize > data.length) return "Malformed"
  let length = 0
  for (let i = 0; i < lengthSize; i++) length = length * 256 + data[at.end + i]!
  const start = at.end + lengthSize
  if (length === 0 || length > data.length - start) return "Malformed"
  at.start = start
  at.end = start + length
  return "Unit"
}

/**
 * Tells whether data with 4-byte lengths begins with a start code instead (H.264 Annex B). A length of 1 would be a unit
 * without content, so `00 00 00 01` has one sensible reading.
 */
export const isAnnexB = (data: Uint8Array, lengthSize: number): boolean =>
  lengthSize === 4 && data.length > 4 && data[0] === 0 && data[1] === 0 && data[2] === 0 && data[3] === 1

/** The most bytes of a parameter set that are looked at: the fields of interest come first, and real ones are far smaller. */
export const maxParameterSetBytes = 4096

/**
 * A copy of a NAL unit without its emulation prevention bytes (H.264 §7.4.1, the 3 in `00 00 03`), of at most
 * `maxParameterSetBytes` input bytes.
 */
export const unescape = (unit: Uint8Array): Uint8Array => {
  const length = Math.min(unit.length, maxParameterSetBytes)
  const out = new Uint8Array(length)
  let size = 0
  let zeros = 0
  for (let i = 0; i < length; i++) {
    const byte = unit[i]!
    if (zeros >= 2 && byte === 3) {
      zeros = 0
      continue
    }
    zeros = byte === 0 ? zeros + 1 : 0
    out[size++] = byte
  }
  return out.subarray(0, size)
}
