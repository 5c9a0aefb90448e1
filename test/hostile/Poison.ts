/**
 * Messages of publishers that were seen to stop players, or to cost them packets, and that no viewer is given.
 */
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as Message from "../../src/protocol/Message.ts"

const { AUDIO, DATA_AMF0, DATA_AMF3, VIDEO } = Message

/** Bytes of hexadecimal digits, with spaces anywhere. */
export const hex = (digits: string): Uint8Array => Bytes.fromHex(digits.replaceAll(" ", ""))

/** The name with which metadata begins, in AMF0. */
export const onMetaData = "02 000A 6F6E4D65746144617461"
const nested = (depth: number): string => `${onMetaData} ${"03 0001 61 ".repeat(depth)} 05 ${"000009".repeat(depth)}`

/** The messages, by name. */
export const dropped: ReadonlyArray<readonly [name: string, typeId: number, payload: string]> = [
  ["video without a byte", VIDEO, ""],
  ["video of one byte", VIDEO, "17"],
  ["video cut off in its composition time", VIDEO, "17 01"],
  ["a keyframe without a NAL unit", VIDEO, "17 01 000000"],
  ["an empty video sequence header", VIDEO, "17 00 000000"],
  ["audio of one byte", AUDIO, "AF"],
  ["an audio frame without a byte of sound", AUDIO, "AF 01"],
  ["an empty audio sequence header", AUDIO, "AF 00"],
  ["video of codec 15", VIDEO, "1F 01 000000 AA"],
  ["audio of format 13", AUDIO, "DF AA"],
  ["audio of format 15, which DJI drones send by mistake", AUDIO, "FF AA"],
  ["a frame of MP3 among AAC", AUDIO, "2F FFFB9064"],
  ["a frame of Opus among AAC", AUDIO, "91 4F707573 AA"],
  ["a frame of HEVC as codec 12 among AVC", VIDEO, "2C 01 000000 00000001 02"],
  ["a keyframe of HEVC as codec 12 among AVC", VIDEO, "1C 01 000000 00000001 26"],
  ["a seek command of another codec", VIDEO, "52 00"],
  ["the end of a sequence of another codec", VIDEO, "1C 02 000000"],
  ["a keyframe of VP9 among AVC", VIDEO, "91 76703039 82"],
  ["enhanced video of an unknown codec", VIDEO, "91 58585858 AA"],
  ["enhanced audio of an unknown codec", AUDIO, "91 58585858 AA"],
  ["enhanced video of packet type 15", VIDEO, "9F 61766331 AA"],
  ["enhanced video cut off in its codec", VIDEO, "91 6176"],
  ["a modifier longer than the message", VIDEO, "97 FF FFFF 00"],
  ["a nanosecond offset over 999,999", VIDEO, "97 02 0F4240 01 61763031 01"],
  ["modifiers to the end of the message", VIDEO, `97${"00 AA 17".repeat(100)}`],
  ["tracks in tracks", VIDEO, "96 06 61766331 01 01"],
  ["a reserved kind of tracks", VIDEO, "96 31 61766331 01 01"],
  ["a track longer than the message", VIDEO, "96 11 61763031 00 0000FF 01"],
  ["a track of no bytes", VIDEO, "96 11 61763031 00 000000"],
  ["data without a byte", DATA_AMF0, ""],
  ["data that is the byte 255", DATA_AMF0, "FF"],
  ["a bare time code as data", DATA_AMF0, "00000001"],
  ["metadata cut off", DATA_AMF0, `${onMetaData} 08 00000001 0005 7769`],
  ["metadata nested 2,000 deep", DATA_AMF0, nested(2_000)],
  ["AMF3 data without anything", DATA_AMF3, "00"],
  ["a message of a type that is no media", 23, "0102"],
  ["an aggregate without anything", Message.AGGREGATE, ""],
  ["an aggregate of noise", Message.AGGREGATE, "FFFFFFFFFFFFFFFFFFFFFFFFFFFF"]
]
