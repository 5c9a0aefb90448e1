/**
 * An RTMP message: what the chunk stream carries (RTMP 1.0 §6), and the type ids by their names in the specification.
 *
 * Messages are plain objects, because one is made for every audio and video frame. Nothing here interprets a payload:
 * `UserControl`, `ProtocolControl` and `Command` do, and `media/` for audio, video and data.
 */

/** Set Chunk Size (RTMP 1.0 §5.4.1). */
export const SET_CHUNK_SIZE = 1
/** Abort Message (RTMP 1.0 §5.4.2). */
export const ABORT = 2
/** Acknowledgement (RTMP 1.0 §5.4.3). */
export const ACKNOWLEDGEMENT = 3
/** User Control Message (RTMP 1.0 §6.2). */
export const USER_CONTROL = 4
/** Window Acknowledgement Size (RTMP 1.0 §5.4.4). */
export const WINDOW_ACK_SIZE = 5
/** Set Peer Bandwidth (RTMP 1.0 §5.4.5). */
export const SET_PEER_BANDWIDTH = 6
/** Audio Message (RTMP 1.0 §7.1.4): the body of an FLV audio tag. */
export const AUDIO = 8
/** Video Message (RTMP 1.0 §7.1.5): the body of an FLV video tag. */
export const VIDEO = 9
/** Data Message, AMF3 (RTMP 1.0 §7.1.2). */
export const DATA_AMF3 = 15
/** Shared Object Message, AMF3 (RTMP 1.0 §7.1.3). Skipped. */
export const SHARED_OBJECT_AMF3 = 16
/** Command Message, AMF3 (RTMP 1.0 §7.1.1). */
export const COMMAND_AMF3 = 17
/** Data Message, AMF0 (RTMP 1.0 §7.1.2). */
export const DATA_AMF0 = 18
/** Shared Object Message, AMF0 (RTMP 1.0 §7.1.3). Skipped. */
export const SHARED_OBJECT_AMF0 = 19
/** Command Message, AMF0 (RTMP 1.0 §7.1.1). */
export const COMMAND_AMF0 = 20
/** Aggregate Message (RTMP 1.0 §7.1.6). */
export const AGGREGATE = 22

/**
 * One message, as read from or written to a chunk stream.
 *
 * - `typeId`: message type, 0 to 255.
 * - `streamId`: message stream id, unsigned 32-bit; 0 for control messages and connection commands.
 * - `chunkStreamId`: chunk stream id it came on, or is to be sent on; 2 to 65599.
 * - `timestamp`: milliseconds, unsigned 32-bit, absolute.
 * - `payload`: the body. That of a message from a `ChunkReader` is the message's own.
 */
export interface Message {
  readonly typeId: number
  readonly streamId: number
  readonly chunkStreamId: number
  readonly timestamp: number
  readonly payload: Uint8Array
}

/** Tells whether a message of this type carries audio, video or data of a stream. */
export const isMedia = (typeId: number): boolean =>
  typeId === AUDIO || typeId === VIDEO || typeId === DATA_AMF0 || typeId === DATA_AMF3 || typeId === AGGREGATE

/** The name of a message type for logs; `undefined` for types that no version of the specification names. */
export const typeName = (typeId: number): string | undefined => names.get(typeId)

const names: ReadonlyMap<number, string> = new Map([
  [SET_CHUNK_SIZE, "Set Chunk Size"],
  [ABORT, "Abort"],
  [ACKNOWLEDGEMENT, "Acknowledgement"],
  [USER_CONTROL, "User Control"],
  [WINDOW_ACK_SIZE, "Window Acknowledgement Size"],
  [SET_PEER_BANDWIDTH, "Set Peer Bandwidth"],
  [AUDIO, "Audio"],
  [VIDEO, "Video"],
  [DATA_AMF3, "Data (AMF3)"],
  [SHARED_OBJECT_AMF3, "Shared Object (AMF3)"],
  [COMMAND_AMF3, "Command (AMF3)"],
  [DATA_AMF0, "Data (AMF0)"],
  [SHARED_OBJECT_AMF0, "Shared Object (AMF0)"],
  [COMMAND_AMF0, "Command (AMF0)"],
  [AGGREGATE, "Aggregate"]
])
