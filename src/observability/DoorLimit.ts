/**
 * The limits for which a connection is refused before a byte of it is read: one list for admission, events and metrics.
 *
 * `connections`, `handshakes`, `memory` and `files` are of the whole server; `address`, `addressHandshakes` and `addressRate` of
 * one address, `rate` of all; `access` says that the address is not listened to.
 */

/** The limits, as they are called in events, logs and metric labels. */
export const doorLimits = [
  "connections",
  "address",
  "addressHandshakes",
  "addressRate",
  "rate",
  "handshakes",
  "memory",
  "files",
  "access"
] as const

/** One of them. */
export type DoorLimit = (typeof doorLimits)[number]
