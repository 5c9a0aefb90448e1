/**
 * A live stream out of nothing: H.264-like video at 30 frames a second with a keyframe every 2 seconds, and AAC-like
 * audio, at a constant bit rate, in which every frame carries a stamp.
 *
 * Headers, tags and NAL unit lengths are valid, the pictures are noise. A stamp is 16 bytes: a magic number, the number
 * of the frame among those of its kind, and the time at which it was handed over, on the monotonic clock that all
 * processes of a machine share. Nothing on the way is to change it, so whoever finds it knows latency and loss.
 */
import { hrtime } from "node:process"
import * as Amf0 from "../../src/protocol/amf/Amf0.ts"
import * as AmfValue from "../../src/protocol/amf/AmfValue.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Media from "../support/Media.ts"

const [bootSeconds, bootNanoseconds] = hrtime()
const bootMs = bootSeconds * 1e3 + bootNanoseconds / 1e6 - performance.now()

/** Milliseconds on the clock of the machine, comparable between processes. */
export const nowMs = (): number => bootMs + performance.now()

/** What a stamp begins with. */
export const MAGIC = 0x73746d70
/** Where the stamp lies in a video payload: behind the tag header, the NAL unit length and the NAL unit header. */
export const VIDEO_STAMP_AT = 10
/** Where the stamp lies in an audio payload: behind the tag header. */
export const AUDIO_STAMP_AT = 2
/** How long a stamp is. */
export const STAMP_BYTES = 16

const framesPerSecond = 30
const framesPerGroup = 60
// How much larger than an inter frame a keyframe is: about what x264 makes of moving pictures at a constant bit rate.
const keyframeWeight = 6
const audioFrameMs = 1024 / 44.1

/** A payload that is used again for each frame of its kind, since publishing copies it at once. */
class Template {
  readonly payload: Uint8Array
  readonly #view: DataView
  readonly #stampAt: number

  constructor(bytes: number, head: ReadonlyArray<number>, stampAt: number) {
    this.payload = new Uint8Array(Math.max(bytes, stampAt + STAMP_BYTES))
    for (let i = 0; i < this.payload.length; i++) this.payload[i] = (i * 131 + (i >> 8) * 7 + 1) & 0xff
    this.payload.set(head)
    this.#view = new DataView(this.payload.buffer)
    this.#stampAt = stampAt
  }

  stamp(sequence: number): Uint8Array {
    this.#view.setUint32(this.#stampAt, MAGIC)
    this.#view.setUint32(this.#stampAt + 4, sequence)
    this.#view.setFloat64(this.#stampAt + 8, nowMs())
    return this.payload
  }
}

const video = (bytes: number, tag: number, nal: number): Template => {
  const size = Math.max(Math.round(bytes), VIDEO_STAMP_AT + STAMP_BYTES)
  const nalBytes = size - 9
  const length = [(nalBytes >> 24) & 0xff, (nalBytes >> 16) & 0xff, (nalBytes >> 8) & 0xff, nalBytes & 0xff]
  return new Template(size, [tag, 1, 0, 0, 0, ...length, nal], VIDEO_STAMP_AT)
}

/** A stream that is paced by whoever takes its frames. */
export class Synthetic {
  readonly #keyframe: Template
  readonly #interFrame: Template
  readonly #audio: Template | undefined
  readonly #metadata: Uint8Array
  #begun = false
  #videoFrames = 0
  #audioFrames = 0

  constructor(videoKbps: number, audioKbps: number) {
    const bytesPerGroup = (videoKbps * 125 * framesPerGroup) / framesPerSecond
    const interBytes = bytesPerGroup / (framesPerGroup - 1 + keyframeWeight)
    this.#keyframe = video(interBytes * keyframeWeight, 0x17, 0x65)
    this.#interFrame = video(interBytes, 0x27, 0x41)
    this.#audio =
      audioKbps > 0 ? new Template((audioKbps * 125 * audioFrameMs) / 1e3, [0xaf, 1], AUDIO_STAMP_AT) : undefined
    this.#metadata = Amf0.encode([
      "onMetaData",
      AmfValue.object({ width: 1280, height: 720, framerate: framesPerSecond, videocodecid: 7, audiocodecid: 10 })
    ])
  }

  /** When the next frame is due, in milliseconds from the start. */
  get dueMs(): number {
    const videoMs = (this.#videoFrames * 1e3) / framesPerSecond
    return this.#audio === undefined ? videoMs : Math.min(videoMs, this.#audioFrames * audioFrameMs)
  }

  /** Payload bytes of all frames so far. */
  bytes = 0

  /** Takes the next frame, behind the headers where it is the first. Its payload is good until the next call. */
  take(): ReadonlyArray<Message.Message> {
    const frame = this.#frame()
    this.bytes += frame.payload.length
    if (this.#begun) return [frame]
    this.#begun = true
    const metadata = { ...frame, typeId: Message.DATA_AMF0, chunkStreamId: 5, timestamp: 0, payload: this.#metadata }
    return [metadata, Media.videoHeader(), Media.audioHeader(), frame]
  }

  #frame(): Message.Message {
    const dueMs = this.dueMs
    const timestamp = Math.floor(dueMs)
    if (this.#audio !== undefined && this.#audioFrames * audioFrameMs === dueMs) {
      const payload = this.#audio.stamp(this.#audioFrames++)
      return { typeId: Message.AUDIO, streamId: 1, chunkStreamId: 4, timestamp, payload }
    }
    const template = this.#videoFrames % framesPerGroup === 0 ? this.#keyframe : this.#interFrame
    return {
      typeId: Message.VIDEO,
      streamId: 1,
      chunkStreamId: 6,
      timestamp,
      payload: template.stamp(this.#videoFrames++)
    }
  }
}
