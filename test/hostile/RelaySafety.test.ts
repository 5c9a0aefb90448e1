/**
 * What a publisher sends and what reaches players of it: nothing that was seen to stop one.
 *
 * Each message is put between the frames of a good stream. GStreamer's demuxer stops for good at a codec that it does
 * not know, and FFmpeg loses a packet to each data message that is not AMF.
 */
import { assert, describe, it } from "@effect/vitest"
import { defaultLiveOptions } from "../../src/live/LiveOptions.ts"
import * as LiveStream from "../../src/live/LiveStream.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as Message from "../../src/protocol/Message.ts"
import { Recording } from "../live/Recording.ts"
import * as Media from "../support/Media.ts"
import { dropped, hex, onMetaData } from "./Poison.ts"

const { AUDIO, DATA_AMF0, VIDEO } = Message

const options = { ...defaultLiveOptions, chunkSize: 128 }

/** A good stream with one message after its keyframe. Gives payloads that a viewer and a later joiner got. */
const played = (typeId: number, payload: Uint8Array, timestamp = 40) => {
  const stream = LiveStream.make("live/a", { options })
  const viewer = new Recording()
  const send = (message: Message.Message) => stream.publish(message, 1_000)
  stream.beginSession(1_000)
  for (const message of [Media.videoHeader(), Media.audioHeader(), Media.keyframe(0), Media.audio(20)]) send(message)
  stream.flush(1_000)
  stream.join(viewer, 1_000)
  const accepted = send({ typeId, streamId: 1, chunkStreamId: 4, timestamp, payload })
  send(Media.interFrame(80))
  send(Media.audio(90))
  stream.flush(1_000)
  const joiner = new Recording()
  stream.join(joiner, 1_000)
  const seen = (recording: Recording) =>
    recording.messages(128).map(({ payload, typeId }) => `${typeId} ${Bytes.hex(payload)}`)
  return { accepted, stream, viewer: seen(viewer), joiner: seen(joiner) }
}

const good = [
  Media.videoHeader(),
  Media.audioHeader(),
  Media.keyframe(0),
  Media.audio(20),
  Media.interFrame(80),
  Media.audio(90)
]
const goodPayloads = good.map(({ payload, typeId }) => `${typeId} ${Bytes.hex(payload)}`)

describe("viewers never see", () => {
  it.each(dropped.filter(([, typeId]) => typeId !== 23))("%s", (_, typeId, payload) => {
    const { joiner, viewer } = played(typeId, hex(payload))
    assert.deepStrictEqual(viewer, goodPayloads)
    assert.deepStrictEqual(joiner, goodPayloads)
  })
})

const relayed: ReadonlyArray<readonly [name: string, typeId: number, payload: string]> = [
  ["silence, which is audio without a byte", AUDIO, ""],
  ["the end of the video sequence", VIDEO, "17 02 000000"],
  ["a seek command among the frames", VIDEO, "57 00"],
  ["metadata of null", DATA_AMF0, `${onMetaData} 05`],
  ["metadata with a count of four billion", DATA_AMF0, `${onMetaData} 08 FFFFFFFF 0001 61 05 000009`],
  ["metadata without its end", DATA_AMF0, `${onMetaData} 08 00000001 0001 61 05`]
]

describe("viewers do see, and go on after", () => {
  it.each(relayed)("%s", (_, typeId, payload) => {
    const { accepted, viewer } = played(typeId, hex(payload))
    assert.isTrue(accepted)
    assert.deepStrictEqual(viewer, [
      ...goodPayloads.slice(0, 4),
      `${typeId} ${Bytes.hex(hex(payload))}`,
      ...goodPayloads.slice(4)
    ])
  })
})

describe("what is kept for joiners", () => {
  it("is not replaced by an empty header, nor emptied by the end of a sequence", () => {
    for (const payload of ["17 00 000000", "17 02 000000"]) {
      assert.strictEqual(played(VIDEO, hex(payload)).joiner[0], goodPayloads[0])
      assert.include(played(VIDEO, hex(payload)).joiner, goodPayloads[2])
    }
  })

  it("holds no metadata of null, and no seek command", () => {
    assert.deepStrictEqual(played(DATA_AMF0, hex(`${onMetaData} 05`)).joiner, goodPayloads)
    assert.notInclude(played(VIDEO, hex("57 00")).joiner, "9 5700")
  })

  it("survives headers that change with each frame", () => {
    const stream = LiveStream.make("live/a", { options })
    stream.beginSession(0)
    for (let i = 0; i < 50; i++) {
      stream.publish({ ...Media.videoHeader(i), payload: hex(`17 00 000000 01 64 00 ${(i + 16).toString(16)} ff`) }, i)
      stream.publish(Media.keyframe(i, i), i)
      stream.flush(i)
    }
    const joiner = new Recording()
    stream.join(joiner, 50)
    const headers = joiner.messages(128).filter(({ payload }) => payload[1] === 0)
    assert.deepStrictEqual(
      headers.map(({ payload }) => payload[8]),
      [65]
    )
  })

  it("is not begun by a time that goes back by ten seconds, forward by an hour, or wraps", () => {
    for (const timestamp of [0xffffd8f0, 3_600_000, 0xfffffff0]) {
      const frame = Media.interFrame(timestamp)
      const { viewer } = played(VIDEO, frame.payload, timestamp)
      assert.strictEqual(viewer.length, goodPayloads.length + 1)
    }
  })
})

describe("a stream of one kind", () => {
  it.each([
    ["sound alone", [Media.audioHeader(), Media.audio(0), Media.audio(20)]],
    ["pictures alone", [Media.videoHeader(), Media.keyframe(0), Media.interFrame(40)]],
    ["metadata alone", [{ ...Media.audio(0), typeId: DATA_AMF0, payload: hex(`${onMetaData} 03 000009`) }]]
  ])("of %s reaches viewers from its first message on, and joiners too", (_, messages) => {
    const stream = LiveStream.make("live/a", { options })
    const [viewer, joiner] = [new Recording(), new Recording()]
    stream.beginSession(0)
    stream.join(viewer, 0)
    for (const message of messages) stream.publish(message, 0)
    stream.flush(0)
    stream.join(joiner, 0)
    const payloads = messages.map(({ payload }) => payload)
    for (const recording of [viewer, joiner]) {
      assert.deepStrictEqual(
        recording.messages(128).map(({ payload }) => payload),
        payloads
      )
    }
  })
})
