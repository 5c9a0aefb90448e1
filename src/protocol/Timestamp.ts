/**
 * Arithmetic on RTMP timestamps: unsigned 32-bit milliseconds that wrap after 49 d 17 h 2 min 47.296 s.
 *
 * Two timestamps compare by the sign of their difference modulo 2^32 (serial arithmetic as in RFC 1982), as RTMP 1.0 §4
 * asks: `0x10` comes after `0xFFFFFFF0`. A difference of exactly 2^31 counts as backwards.
 */

/** Adds `delta` milliseconds (any integer, negative too) to `timestamp`, modulo 2^32. */
export const add = (timestamp: number, delta: number): number => (timestamp + delta) >>> 0

/** Milliseconds from `from` to `to`, in -2^31 … 2^31-1. */
export const difference = (to: number, from: number): number => (to - from) | 0

/** Tells whether `left` comes after `right`. */
export const isAfter = (left: number, right: number): boolean => difference(left, right) > 0

/** The later of two timestamps. */
export const max = (left: number, right: number): number => (isAfter(left, right) ? left : right)
