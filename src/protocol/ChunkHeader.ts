/**
 * The constants and the basic header of a chunk, shared by `ChunkReader` and `ChunkWriter` (RTMP 1.0 §5.3.1).
 *
 * A chunk is a basic header (1 to 3 bytes: format and chunk stream id), a message header (11, 7, 3 or 0 bytes by
 * format), an extended timestamp where the 24-bit field is 0xFFFFFF, and at most one chunk size of payload. This module
 * knows lengths and writes basic headers; it keeps no state between chunks and reads nothing.
 */

/** Payload bytes of a chunk until the first Set Chunk Size of a direction (RTMP 1.0 §5.4.1). */
export const DEFAULT_CHUNK_SIZE = 128

/** The largest chunk size that makes a difference: no message is longer than its 24-bit length field can say. */
export const MAX_CHUNK_SIZE = 0xffffff

/** The longest payload that the 24-bit length field of a message header can announce, in bytes (RTMP 1.0 §5.3.1.2). */
export const MAX_PAYLOAD_BYTES = 0xffffff

/** The smallest chunk stream id; 0 and 1 mark the longer basic headers (RTMP 1.0 §5.3.1.1). */
export const MIN_CHUNK_STREAM_ID = 2

/** The largest chunk stream id that the three-byte basic header holds: 64 + 255 + 256 * 255. */
export const MAX_CHUNK_STREAM_ID = 65599

/** The chunk stream that protocol control and user control messages go by (RTMP 1.0 §5.4, §6.2). */
export const CONTROL_CHUNK_STREAM_ID = 2

/** The value of a 24-bit timestamp field which says that an extended timestamp follows (RTMP 1.0 §5.3.1.3). */
export const EXTENDED_TIMESTAMP = 0xffffff

/** The most bytes that stand before the payload of a chunk: 3 of basic header, 11 of message header, 4 of timestamp. */
export const MAX_HEADER_BYTES = 18

/**
 * A chunk format (RTMP 1.0 §5.3.1.2): 0 carries everything, 1 leaves out the message stream id, 2 also length and type,
 * 3 everything.
 */
export type Format = 0 | 1 | 2 | 3

/** The length in bytes of the shortest basic header for a chunk stream id: 1 up to 63, 2 up to 319, 3 above. */
export const basicHeaderLength = (chunkStreamId: number): number =>
  chunkStreamId < 64 ? 1 : chunkStreamId < 320 ? 2 : 3

/**
 * Writes the shortest basic header for a chunk stream id and gives the offset after it.
 *
 * The caller has checked the bounds of the target and the range of the id (2 to 65599).
 *
 * **Gotchas**
 *
 * The two id bytes of the three-byte form are little-endian: the specification's formula, and what every known
 * implementation writes.
 */
export const putBasicHeader = (target: Uint8Array, offset: number, format: Format, chunkStreamId: number): number => {
  if (chunkStreamId < 64) {
    target[offset] = (format << 6) | chunkStreamId
    return offset + 1
  }
  const id = chunkStreamId - 64
  if (id < 256) {
    target[offset] = format << 6
    target[offset + 1] = id
    return offset + 2
  }
  target[offset] = (format << 6) | 1
  target[offset + 1] = id
  target[offset + 2] = id >>> 8
  return offset + 3
}
