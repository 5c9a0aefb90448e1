/** A small H.264 and AAC stream, message by message. */
import * as Message from "../../src/protocol/Message.ts"

const make = (typeId: number, timestamp: number, payload: ReadonlyArray<number>): Message.Message => ({
  typeId,
  streamId: 1,
  chunkStreamId: typeId === Message.VIDEO ? 6 : 4,
  timestamp,
  payload: Uint8Array.from(payload)
})

/** AVC sequence header: High profile, one SPS, one PPS. */
export const videoHeader = (timestamp = 0): Message.Message =>
  make(
    Message.VIDEO,
    timestamp,
    [0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 4, 0x67, 0x64, 0, 0x1f, 1, 0, 2, 0x68, 0xee]
  )

/** AAC sequence header: LC, 44.1 kHz, stereo. */
export const audioHeader = (timestamp = 0): Message.Message => make(Message.AUDIO, timestamp, [0xaf, 0, 0x12, 0x10])

/** An AVC keyframe; `mark` tells frames apart. */
export const keyframe = (timestamp: number, mark = 0): Message.Message =>
  make(Message.VIDEO, timestamp, [0x17, 1, 0, 0, 0, 0, 0, 0, 3, 0x65, mark >> 8, mark & 0xff])

/** An AVC inter frame. */
export const interFrame = (timestamp: number, mark = 0): Message.Message =>
  make(Message.VIDEO, timestamp, [0x27, 1, 0, 0, 0, 0, 0, 0, 3, 0x41, mark >> 8, mark & 0xff])

/** A raw AAC frame. */
export const audio = (timestamp: number, mark = 0): Message.Message =>
  make(Message.AUDIO, timestamp, [0xaf, 1, 0x21, mark >> 8, mark & 0xff])

/** What tells a frame: its kind, its mark, its time. */
export const label = (message: Message.Message): string => {
  const [first, second] = message.payload
  const kind = message.typeId === Message.AUDIO ? "audio" : first === 0x17 ? "key" : "inter"
  return second === 0
    ? `${message.typeId === Message.AUDIO ? "audio" : "video"} header`
    : `${kind} @${message.timestamp}`
}
