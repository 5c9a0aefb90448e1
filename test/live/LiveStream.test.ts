import { assert, describe, it } from "@effect/vitest"
import { defaultLiveOptions, type LiveOptions } from "../../src/live/LiveOptions.ts"
import * as LiveStream from "../../src/live/LiveStream.ts"
import type { Outbox } from "../../src/live/Outbox.ts"
import type { StreamEvent } from "../../src/live/StreamEvents.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as LiveArbitrary from "../../src/testing/LiveArbitrary.ts"
import { LaneRecording, letters, type Received, Recording, RecordingLanes } from "./Recording.ts"

const options: LiveOptions = {
  ...defaultLiveOptions,
  gop: { ...defaultLiveOptions.gop, minDurationMs: 0 },
  chunkSize: 128
}
const tight: LiveOptions = {
  ...options,
  gop: { ...options.gop, maxFrames: 40, maxBytes: 8_000 },
  outbox: { ...options.outbox, maxDelayMs: 200, maxBytes: 4_000, maxRecords: 24, stallTimeoutMs: 5_000 }
}

/** A stream with its publisher: numbers frames, keeps the time, remembers what was accepted. */
class Harness {
  readonly stream: LiveStream.LiveStream
  readonly options: LiveOptions
  readonly events: Array<StreamEvent> = []
  readonly accepted: Array<Received> = []
  dirty = 0
  nowMs = 1_000
  timestamp = 0
  #frames = 0

  constructor(options_: LiveOptions = options, timestamp = 0) {
    this.options = options_
    this.timestamp = timestamp
    this.stream = LiveStream.make("live/a", {
      options: options_,
      emit: (event) => this.events.push(event),
      onDirty: () => this.dirty++
    })
    this.stream.beginSession(this.nowMs)
  }

  publish(kind: LiveArbitrary.MediaContent["kind"], number = 0, stepMs = 0, bytes = 0): boolean {
    this.timestamp = (this.timestamp + stepMs) >>> 0
    this.nowMs += stepMs
    const isFrame = kind === "Keyframe" || kind === "InterFrame" || kind === "AudioFrame"
    const content = { kind, number: isFrame ? this.#frames++ : number }
    const message = LiveArbitrary.message(content, this.timestamp, bytes)
    const accepted = this.stream.publish(message, this.nowMs)
    if (accepted) {
      this.accepted.push({ ...content, timestamp: this.timestamp, streamId: 1, payload: message.payload })
    }
    return accepted
  }

  /** `V0 A0 K i i a`: publishes one message after the other, 20 ms apart, and flushes. */
  play(text: string, stepMs = 20): this {
    const kinds = {
      V: "VideoHeader",
      A: "AudioHeader",
      K: "Keyframe",
      i: "InterFrame",
      a: "AudioFrame",
      M: "Metadata",
      E: "VideoEnd"
    } as const
    for (const word of text.split(" ")) {
      this.publish(kinds[word[0] as keyof typeof kinds], Number(word.slice(1)), stepMs)
    }
    this.stream.flush(this.nowMs)
    return this
  }

  join(recording = new Recording(), messageStreamId = 1): Recording {
    this.stream.join(recording, this.nowMs, messageStreamId)
    return recording
  }

  letters(recording: Recording): string {
    return letters(recording.received(this.options.chunkSize))
  }
}

describe("LiveStream: fan-out", () => {
  it("hands the same bytes object to every viewer that keeps up", () => {
    const harness = new Harness()
    const viewers = Array.from({ length: 5 }, () => harness.join())
    harness.play("V0 A0 K i a i")
    assert.strictEqual(viewers[0]!.writes.length, 1)
    for (const viewer of viewers) assert.strictEqual(viewer.writes[0], viewers[0]!.writes[0])
  })

  it("gives all joiners between two flushes the same bytes", () => {
    const harness = new Harness().play("M1 V0 A0 K i a i")
    const [first, second] = [harness.join(), harness.join()]
    assert.strictEqual(first.writes.length, 1)
    assert.strictEqual(first.writes[0], second.writes[0])
    assert.strictEqual(harness.letters(first), "M1 V0 A0 K0 i1 a2 i3")
  })

  it("adds only what is new to the bytes of the joiners before", () => {
    const harness = new Harness().play("V0 K i")
    const first = harness.join()
    harness.play("i i")
    const second = harness.join()
    assert.strictEqual(second.writes.length, 2)
    assert.strictEqual(second.writes[0], first.writes[0])
    assert.strictEqual(harness.letters(second), "V0 K0 i1 i2 i3")
    for (let i = 0; i < 40; i++) {
      harness.play("i")
      harness.join()
    }
    const last = harness.join()
    assert.isAtMost(last.writes.length, 16)
    assert.strictEqual(last.received(128).length, 45)
  })

  it("copies a batch once for all viewers with another message stream id", () => {
    const harness = new Harness().play("V0 A0 K")
    const odd = [harness.join(new Recording(), 7), harness.join(new Recording(), 7)]
    const usual = harness.join()
    harness.play("i a i")
    assert.strictEqual(odd[0]!.writes[1], odd[1]!.writes[1])
    assert.notStrictEqual(odd[0]!.writes[1], usual.writes[1])
    for (const { streamId } of odd[0]!.received(128)) assert.strictEqual(streamId, 7)
    assert.strictEqual(harness.letters(odd[0]!), "V0 A0 K0 i1 a2 i3")
    assert.strictEqual(harness.letters(usual), "V0 A0 K0 i1 a2 i3")
  })

  it("reads payloads no more after the flush, so that a receive buffer may be reused", () => {
    const harness = new Harness()
    const viewer = harness.join()
    harness.play("V0")
    const message = LiveArbitrary.message({ kind: "Keyframe", number: 9 }, 5, 300)
    const before = message.payload.slice()
    harness.stream.publish(message, 1_000)
    harness.stream.flush(1_000)
    message.payload.fill(0)
    assert.deepStrictEqual(viewer.received(128)[1]!.payload, before)
    assert.deepStrictEqual(harness.join().received(128)[1]!.payload, before)
  })

  it("tells once that it is dirty, and flushes by itself at its bound", () => {
    const harness = new Harness({ ...options, limits: { ...options.limits, maxPendingMessages: 4 } })
    const viewer = harness.join()
    harness.publish("VideoHeader")
    harness.publish("Keyframe")
    harness.publish("InterFrame")
    assert.strictEqual(harness.dirty, 1)
    assert.strictEqual(viewer.writes.length, 0)
    harness.publish("InterFrame")
    assert.strictEqual(viewer.writes.length, 1)
    assert.strictEqual(harness.stream.pending, 0)
    harness.publish("InterFrame")
    assert.strictEqual(harness.dirty, 2)
  })

  it("goes on when a sink throws, leaves or joins in the middle of a flush", () => {
    const harness = new Harness()
    const before = harness.join()
    const thrower = new Recording()
    harness.stream.join({ ...thrower, write: () => assert.fail("thrown by a sink") }, 0)
    const leaver: { outbox?: Outbox } = {}
    const joined: Array<Recording> = []
    leaver.outbox = harness.stream.join(
      {
        ...new Recording(),
        write: () => {
          leaver.outbox?.leave(0)
          joined.push(harness.join())
          return true
        }
      },
      0
    )
    const after = harness.join()
    harness.play("V0 K i")
    harness.play("i i")
    assert.strictEqual(harness.letters(before), "V0 K0 i1 i2 i3")
    assert.strictEqual(harness.letters(after), "V0 K0 i1 i2 i3")
    assert.strictEqual(joined.length, 1)
    assert.strictEqual(harness.letters(joined[0]!), "V0 K0 i1 i2 i3")
    assert.deepStrictEqual(thrower.ended, "SinkFailed")
    assert.strictEqual(harness.stream.viewers, 3)
  })
})

describe("LiveStream: joining", () => {
  it("starts before the first byte, with the headers at the time of the first cached frame", () => {
    const harness = new Harness(options, 0xffffff00).play("M1 V0 A0 K i", 100)
    const viewer = harness.join()
    assert.deepStrictEqual(viewer.calls, ["start"])
    const received = viewer.received(128)
    assert.strictEqual(letters(received), "M1 V0 A0 K0 i1")
    const keyframeAt = harness.accepted.find(({ kind }) => kind === "Keyframe")!.timestamp
    // FFmpeg takes metadata at any other time for a frame of a text stream.
    assert.strictEqual(received[0]!.timestamp, 0)
    for (const { timestamp } of received.slice(1, 4)) assert.strictEqual(timestamp, keyframeAt)
  })

  it("sends headers at once, then audio, and video from the next keyframe on where nothing is cached", () => {
    const harness = new Harness({ ...options, gop: { ...options.gop, enabled: false } }).play("V0 A0 K i a i")
    const viewer = harness.join()
    harness.play("i a i a K i")
    assert.strictEqual(harness.letters(viewer), "V0 A0 a5 a7 K8 i9")
  })

  it("does not hold audio back where there is no video", () => {
    const harness = new Harness().play("A0 a a")
    const viewer = harness.join()
    harness.play("a a")
    assert.strictEqual(harness.letters(viewer), "A0 a2 a3")
    assert.isTrue(viewer.writes.length === 2)
  })

  it("gives joiners no frames from before a changed header, and relays the change in its place", () => {
    const harness = new Harness().play("V0 A0 K i")
    const before = harness.join()
    harness.play("i V1 i")
    const between = harness.join()
    harness.play("i K i")
    assert.strictEqual(harness.letters(before), "V0 A0 K0 i1 i2 V1 i3 i4 K5 i6")
    assert.strictEqual(harness.letters(between), "V1 A0 K5 i6")
  })

  it("keeps its cache where a header is repeated unchanged", () => {
    const harness = new Harness().play("V0 K i V0 i")
    assert.strictEqual(harness.letters(harness.join()), "V0 K0 i1 i2")
  })

  it("begins no group of pictures with an end of sequence, and does not cache it", () => {
    const harness = new Harness().play("V0 K i E i")
    assert.strictEqual(harness.letters(harness.join()), "V0 K0 i1 i2")
  })

  it("gives a viewer who has paused only headers, and a keyframe first when it goes on", () => {
    const harness = new Harness().play("V0 A0 K i")
    const recording = new Recording()
    const outbox = harness.stream.join(recording, 0)
    outbox.pause(true)
    harness.play("i a K V1 K M1")
    outbox.pause(false)
    harness.play("i a K i")
    assert.strictEqual(harness.letters(recording), "V0 A0 K0 i1 V1 M1 a7 K8 i9")
  })

  it("lets a viewer switch audio off at once and video on at a keyframe", () => {
    const harness = new Harness().play("V0 A0 K i a")
    const recording = new Recording()
    const outbox = harness.stream.join(recording, 0)
    outbox.receiveAudio(false)
    harness.play("i a i a")
    outbox.receiveVideo(false)
    outbox.receiveAudio(true)
    harness.play("i a K a")
    outbox.receiveVideo(true)
    harness.play("i a K a i")
    assert.strictEqual(harness.letters(recording), "V0 A0 K0 i1 a2 i3 i5 a8 a10 a12 K13 a14 i15")
  })
})

describe("LiveStream: what a publisher may send", () => {
  it("drops what players cannot decode, inter frames before a keyframe and frames before their header", () => {
    const harness = new Harness()
    const viewer = harness.join()
    const video = (bytes: ReadonlyArray<number>): Message.Message => ({
      typeId: Message.VIDEO,
      streamId: 1,
      chunkStreamId: 6,
      timestamp: 0,
      payload: Uint8Array.from(bytes)
    })
    assert.isFalse(harness.stream.publish(video([0x1f, 1, 0, 0, 0, 1]), 0))
    assert.isFalse(harness.publish("Keyframe"))
    assert.isTrue(harness.publish("VideoHeader"))
    assert.isFalse(harness.publish("InterFrame"))
    assert.isTrue(harness.publish("Keyframe"))
    harness.stream.flush(0)
    const { drops } = harness.stream.statistics(0)
    assert.deepStrictEqual([drops.undecodable, drops.noHeader, drops.noKeyframe], [1, 1, 1])
    assert.strictEqual(harness.letters(viewer), "V0 K2")
  })

  it("throws for messages that are no media, which is our own misuse", () => {
    const command = { typeId: Message.COMMAND_AMF0, streamId: 1, chunkStreamId: 3, timestamp: 0, payload: Bytes.empty }
    assert.throws(() => new Harness().stream.publish(command, 0), RangeError)
  })

  it("splits aggregates, and takes @setDataFrame off metadata", () => {
    const harness = new Harness().play("V0")
    const viewer = harness.join()
    const wrapped = Bytes.concat([
      Bytes.fromHex("02 000d"),
      Bytes.fromUtf8("@setDataFrame"),
      LiveArbitrary.payload({ kind: "Metadata", number: 4 })
    ])
    harness.stream.publish(
      { typeId: Message.DATA_AMF0, streamId: 1, chunkStreamId: 4, timestamp: 3, payload: wrapped },
      0
    )
    const frames = [0, 1].map((number) =>
      LiveArbitrary.payload({ kind: number === 0 ? "Keyframe" : "InterFrame", number })
    )
    const aggregate = Bytes.concat(
      frames.flatMap((payload, index) => [
        new Uint8Array([9, 0, 0, payload.length, 0, 0, index * 40, 0, 0, 0, 0]),
        payload,
        new Uint8Array([0, 0, 0, payload.length + 11])
      ])
    )
    harness.stream.publish(
      { typeId: Message.AGGREGATE, streamId: 1, chunkStreamId: 4, timestamp: 1_000, payload: aggregate },
      0
    )
    harness.stream.flush(0)
    const received = viewer.received(128)
    assert.strictEqual(letters(received), "V0 M4 K0 i1")
    assert.deepStrictEqual(
      received.slice(2).map(({ timestamp }) => timestamp),
      [1_000, 1_040]
    )
  })

  it("forgets metadata that the publisher takes back, and relays nothing of it", () => {
    const harness = new Harness().play("M1 V0 K")
    const viewer = harness.join()
    harness.publish("Metadata", 2)
    harness.stream.publish(
      {
        typeId: Message.DATA_AMF0,
        streamId: 1,
        chunkStreamId: 4,
        timestamp: 0,
        payload: Bytes.concat([
          Bytes.fromHex("02 000f"),
          Bytes.fromUtf8("@clearDataFrame"),
          Bytes.fromHex("02 000a"),
          Bytes.fromUtf8("onMetaData")
        ])
      },
      0
    )
    harness.stream.flush(0)
    assert.strictEqual(harness.letters(viewer), "M1 V0 K0 M2")
    assert.strictEqual(harness.letters(harness.join()), "V0 K0")
  })

  it("bounds tracks and header bytes; a track without its header gets no frames", () => {
    const header = (trackId: number, bytes: number): Message.Message => ({
      typeId: Message.VIDEO,
      streamId: 1,
      chunkStreamId: 6,
      timestamp: 0,
      payload: Bytes.concat([
        new Uint8Array([0x96, 0x00]),
        Bytes.fromUtf8("hvc1"),
        new Uint8Array([trackId]),
        new Uint8Array(bytes)
      ])
    })
    const keyframe = (trackId: number): Message.Message => ({
      ...header(trackId, 4),
      payload: Bytes.concat([new Uint8Array([0x96, 0x03]), Bytes.fromUtf8("hvc1"), new Uint8Array([trackId, 1, 2, 3])])
    })
    const harness = new Harness({
      ...options,
      limits: { ...options.limits, maxTracks: 3, maxHeaderBytes: 200 }
    })
    assert.isTrue(harness.stream.publish(header(0, 80), 0))
    assert.isTrue(harness.stream.publish(header(1, 80), 0))
    assert.isFalse(harness.stream.publish(header(2, 80), 0))
    assert.isFalse(harness.stream.publish(header(3, 1), 0))
    assert.isTrue(harness.stream.publish(keyframe(1), 0))
    assert.isFalse(harness.stream.publish(keyframe(2), 0))
    harness.stream.flush(0)
    const statistics = harness.stream.statistics(0)
    assert.strictEqual(statistics.headerBytes, 2 * 87)
    assert.strictEqual(statistics.drops.headerLimit, 2)
    assert.strictEqual(statistics.drops.trackLimit, 1)
    assert.isTrue(harness.stream.publish(header(2, 10), 0))
    assert.isTrue(harness.stream.publish(keyframe(2), 0))
  })

  it("caches the headers of a message of several tracks by track", () => {
    const harness = new Harness()
    const many = Bytes.concat([
      new Uint8Array([0x96, 0x10]),
      Bytes.fromUtf8("hvc1"),
      new Uint8Array([0, 0, 0, 2, 1, 1, 1, 0, 0, 2, 2, 2])
    ])
    const message = { typeId: Message.VIDEO, streamId: 1, chunkStreamId: 6, timestamp: 0, payload: many }
    const watching = harness.join()
    harness.stream.publish(message, 0)
    harness.stream.flush(0)
    assert.deepStrictEqual(watching.messages(128)[0]!.payload, many)
    const joined = harness.join().messages(128)
    assert.strictEqual(joined.length, 2)
    assert.deepStrictEqual(
      joined.map(({ payload }) => payload[6]),
      [0, 1]
    )
  })

  it("waits for a keyframe of each video track", () => {
    const frame = (trackId: number, key: boolean): Message.Message => ({
      typeId: Message.VIDEO,
      streamId: 1,
      chunkStreamId: 6,
      timestamp: 0,
      payload: Bytes.concat([
        new Uint8Array([key ? 0x96 : 0xa6, 0x01]),
        Bytes.fromUtf8("av01"),
        new Uint8Array([trackId, 1, 2, 3])
      ])
    })
    const harness = new Harness()
    for (const [track, key] of [
      [1, true],
      [0, true],
      [1, false],
      [0, false]
    ] as const) {
      harness.stream.publish(frame(track, key), 0)
    }
    harness.stream.flush(0)
    // Track 1 leads. Its next keyframe begins the cache anew, without one of track 0.
    harness.stream.publish(frame(1, true), 0)
    harness.stream.publish(frame(0, false), 0)
    harness.stream.publish(frame(1, false), 0)
    harness.stream.flush(0)
    const viewer = harness.join()
    harness.stream.publish(frame(0, false), 0)
    harness.stream.publish(frame(0, true), 0)
    harness.stream.publish(frame(0, false), 0)
    harness.stream.flush(0)
    assert.deepStrictEqual(
      viewer.messages(128).map(({ payload }) => [payload[6], payload[0] === 0x96]),
      [
        [1, true],
        [1, false],
        [0, true],
        [0, false]
      ]
    )
  })

  it("voids headers and cache when a track changes its codec", () => {
    const mp3 = {
      typeId: Message.AUDIO,
      streamId: 1,
      chunkStreamId: 4,
      timestamp: 0,
      payload: Bytes.fromHex("2f 01 02")
    }
    const harness = new Harness().play("A0 V0 K a i")
    harness.stream.publish(mp3, 0)
    harness.stream.publish(mp3, 0)
    harness.stream.flush(0)
    const joined = harness.join().messages(128)
    assert.deepStrictEqual(
      joined.map(({ payload, typeId }) => [typeId, payload[1]]),
      [[Message.VIDEO, 0]]
    )
    assert.deepInclude(harness.events.at(-2), { _tag: "CodecChanged", kind: "audio", codec: ".mp3" })
  })

  it("reports gaps with their step, and holds back events beyond the limit per second", () => {
    const harness = new Harness({ ...options, limits: { ...options.limits, maxMediaEventsPerSecond: 3 } })
    harness.play("V0 K i")
    harness.publish("InterFrame", 0, 1_001)
    assert.deepInclude(harness.events.at(-1), { _tag: "Gap", kind: "video", trackId: 0, stepMs: 1_001 })
    const before = harness.events.length
    for (let i = 0; i < 10; i++) {
      harness.timestamp = (harness.timestamp + (i % 2 === 0 ? -5_000 : 5_000)) >>> 0
      harness.publish("InterFrame")
    }
    assert.strictEqual(harness.events.length, before + 2)
    const statistics = harness.stream.statistics(harness.nowMs)
    assert.strictEqual(statistics.suppressedEvents, 8)
    assert.strictEqual(statistics.tracks[0]!.gaps, 11)
  })
})

describe("LiveStream: lanes", () => {
  it("writes the batches of viewers who keep up in their lanes, and gives their sinks what a lane did not take", () => {
    const harness = new Harness().play("V0 K")
    const lanes = new RecordingLanes()
    const recording = new LaneRecording(lanes)
    const outbox = harness.stream.join(recording, 0)
    const before = recording.writes.length
    for (let i = 0; i < 10; i++) harness.play("i")
    assert.strictEqual(lanes.writes(recording.lane.lane), 10)
    assert.strictEqual(recording.writes.length, before + 10)
    assert.strictEqual(harness.letters(recording), "V0 K0 i1 i2 i3 i4 i5 i6 i7 i8 i9 i10")
    assert.strictEqual(
      outbox.bytes,
      recording.writes.reduce((sum, { length }) => sum + length, 0)
    )
  })

  it("leaves the lane of a full socket alone until it has drained, and loses nothing in between", () => {
    const harness = new Harness().play("V0 K")
    const lanes = new RecordingLanes()
    const recording = new LaneRecording(lanes, 2)
    const outbox = harness.stream.join(recording, 0)
    harness.play("i")
    assert.isTrue(recording.isFull)
    harness.play("i").play("i")
    assert.strictEqual(lanes.writes(recording.lane.lane), 1)
    recording.makeRoom(10)
    outbox.drained(harness.nowMs)
    harness.play("i")
    assert.strictEqual(lanes.writes(recording.lane.lane), 2)
    assert.strictEqual(recording.writtenWhileFull, 0)
    assert.strictEqual(harness.letters(recording), "V0 K0 i1 i2 i3 i4")
  })

  it("writes to nobody's lane once a viewer has left, whoever takes its place in the list", () => {
    const harness = new Harness().play("V0 K")
    const lanes = new RecordingLanes()
    const recordings = [0, 1, 2, 3].map(() => new LaneRecording(lanes))
    const outboxes = recordings.map((recording) => harness.stream.join(recording, 0))
    const writes = () => recordings.map(({ lane }) => lanes.writes(lane.lane))
    harness.play("i")
    assert.deepStrictEqual(writes(), [1, 1, 1, 1])
    outboxes[1]!.leave(harness.nowMs)
    harness.play("i")
    assert.deepStrictEqual(writes(), [2, 1, 2, 2])
    // In the middle of a flush: whoever is told of a full socket may leave.
    const leaver = new LaneRecording(lanes)
    const leaving = harness.stream.join({ ...leaver, onFull: () => leaving.leave(0), writeBatch: leaver.write }, 0)
    const last = new LaneRecording(lanes)
    harness.stream.join(last, 0)
    leaver.capacity = 1
    harness.play("i").play("i")
    assert.isTrue(leaving.ended)
    assert.deepStrictEqual(writes(), [4, 1, 4, 4])
    assert.deepStrictEqual([lanes.writes(leaver.lane.lane), lanes.writes(last.lane.lane)], [1, 2])
  })
})

describe("LiveStream: sessions", () => {
  it("relays timestamps as they are in the first session, across the wrap", () => {
    const harness = new Harness(options, 0xffffffd0)
    const viewer = harness.join()
    harness.play("V0 A0 K i a i a")
    assert.deepStrictEqual(
      viewer.received(128).map(({ timestamp }) => timestamp),
      harness.accepted.map(({ timestamp }) => timestamp)
    )
  })

  it("continues the timeline for a publisher who comes back, with fresh headers and a keyframe first", () => {
    const harness = new Harness(options, 0xfffffff0).play("M1 V0 A0 K i a")
    const viewer = harness.join()
    const lastTimestamp = harness.timestamp
    harness.stream.beginSession(harness.nowMs)
    assert.strictEqual(harness.letters(harness.join()), "")
    harness.timestamp = 7_000_000
    harness.play("V1 A1 i a K i")
    const received = viewer.received(128)
    assert.strictEqual(letters(received), "M1 V0 A0 K0 i1 a2 V1 A1 a4 K5 i6")
    const second = received.slice(6)
    for (let i = 1; i < second.length; i++) {
      assert.isTrue(((second[i]!.timestamp - second[i - 1]!.timestamp) | 0) >= 0)
    }
    assert.strictEqual((second[0]!.timestamp - lastTimestamp) >>> 0, 40)
    assert.strictEqual((second[2]!.timestamp - lastTimestamp) >>> 0, 40)
    assert.strictEqual((second[3]!.timestamp - second[2]!.timestamp) >>> 0, 20)
    assert.strictEqual(harness.letters(harness.join()), "V1 A1 K5 i6")
  })

  it("tells viewers once that the stream is dry, once that it goes on, and new ones as well", () => {
    const harness = new Harness().play("V0 K")
    const viewer = harness.join()
    harness.stream.markDry(0)
    harness.stream.markDry(0)
    const late = harness.join()
    harness.stream.markResumed(0)
    harness.stream.markResumed(0)
    assert.deepStrictEqual(viewer.calls, ["start", "dry", "resume"])
    assert.deepStrictEqual(late.calls, ["start", "dry", "resume"])
  })

  it("ends viewers that keep up at once, and full ones after what waits for them", () => {
    const harness = new Harness().play("V0 K")
    const quick = harness.join()
    const slow = new Recording(1)
    const outbox = harness.stream.join(slow, 0)
    harness.play("i i")
    harness.publish("InterFrame")
    harness.stream.end("Unpublished", harness.nowMs)
    assert.strictEqual(quick.ended, "Unpublished")
    assert.strictEqual(slow.ended, undefined)
    assert.strictEqual(harness.stream.viewers, 1)
    slow.makeRoom(10)
    outbox.drained(harness.nowMs)
    assert.strictEqual(slow.ended, "Unpublished")
    assert.strictEqual(harness.letters(slow), "V0 K0 i1 i2 i3")
    assert.strictEqual(harness.letters(quick), "V0 K0 i1 i2 i3")
    assert.strictEqual(harness.stream.viewers, 0)
  })
})

/** Runs commands and checks, after each, what must hold for every viewer; then everything that they received. */
const runCommands = (commands: ReadonlyArray<LiveArbitrary.LiveCommand>, options_: LiveOptions): Harness => {
  const harness = new Harness(options_, 0xffff_f000)
  const viewers: Array<{ recording: Recording; outbox: Outbox; filtered: boolean }> = []
  const lanes = new RecordingLanes()
  const pick = (index: number) => viewers[index % Math.max(1, viewers.length)]
  for (const command of commands) {
    switch (command._tag) {
      case "Publish":
        harness.publish(command.kind, command.number, command.stepMs, command.bytes)
        break
      case "Flush":
        harness.stream.flush(harness.nowMs)
        break
      case "Join": {
        if (viewers.length === 8) break
        const capacity = command.capacity === 0 ? Number.POSITIVE_INFINITY : command.capacity
        const recording = viewers.length % 2 === 0 ? new Recording(capacity) : new LaneRecording(lanes, capacity)
        const outbox = harness.stream.join(recording, harness.nowMs, command.messageStreamId)
        viewers.push({ recording, outbox, filtered: false })
        break
      }
      case "Drain": {
        const viewer = pick(command.viewer)
        if (viewer?.recording.isFull !== true) break
        viewer.recording.makeRoom(command.capacity)
        viewer.outbox.drained(harness.nowMs)
        break
      }
      case "Leave":
        pick(command.viewer)?.outbox.leave(harness.nowMs)
        break
      case "Filter": {
        const viewer = pick(command.viewer)
        if (viewer === undefined) break
        viewer.filtered = true
        if (command.what === "Audio") viewer.outbox.receiveAudio(command.on)
        else if (command.what === "Video") viewer.outbox.receiveVideo(command.on)
        else viewer.outbox.pause(command.on)
        break
      }
      case "Wait":
        harness.nowMs += command.ms
        break
    }
    harness.stream.tick(harness.nowMs)
    for (const { outbox, recording } of viewers) {
      assert.isAtMost(outbox.statistics().heldBytes, options_.outbox.maxBytes)
      assert.isAtMost(outbox.statistics().queuedBytes, outbox.statistics().heldBytes)
      assert.isAtMost(outbox.statistics().queuedRecords, options_.outbox.maxRecords)
      assert.strictEqual(recording.writtenWhileFull, 0, "written to a full socket")
      assert.strictEqual(outbox.blocked, recording.isFull && !outbox.ended)
    }
    assert.strictEqual(harness.stream.viewers, viewers.filter(({ outbox }) => !outbox.ended).length)
    const { gop } = harness.stream.statistics(harness.nowMs)
    assert.isAtMost(gop.frames, options_.gop.maxFrames)
    assert.isAtMost(gop.bytes, options_.gop.maxBytes)
  }
  harness.stream.flush(harness.nowMs)
  for (const { filtered, outbox, recording } of viewers) {
    checkViewer(harness, recording, {
      complete: !filtered && !recording.wasFull && !outbox.ended,
      filtered,
      streamId: outbox.messageStreamId
    })
    outbox.leave(harness.nowMs)
  }
  assert.strictEqual(harness.stream.viewers, 0)
  assert.strictEqual(harness.stream.nextDeadlineMs(), undefined)
  const joined = harness.events.filter(({ _tag }) => _tag === "SubscriberJoined").length
  const left = harness.events.filter(({ _tag }) => _tag === "SubscriberLeft").length
  assert.deepStrictEqual([joined, left], [viewers.length, viewers.length])
  return harness
}

/** What one viewer received is a sequence that a player can decode. */
const checkViewer = (
  harness: Harness,
  recording: Recording,
  viewer: { complete: boolean; filtered: boolean; streamId: number }
): void => {
  const received = recording.received(harness.options.chunkSize)
  const isVideo = ({ kind }: LiveArbitrary.MediaContent) => kind === "Keyframe" || kind === "InterFrame"
  const isFrame = (content: LiveArbitrary.MediaContent) => isVideo(content) || content.kind === "AudioFrame"
  // What each accepted frame needs: its headers, and for an inter frame the video frame before it.
  const needs = new Map<number, { published: Received; header: number | undefined; before: number }>()
  let [video, audio, before]: [number | undefined, number | undefined, number] = [undefined, undefined, -1]
  for (const published of harness.accepted) {
    if (published.kind === "VideoHeader") video = published.number
    else if (published.kind === "AudioHeader") audio = published.number
    else if (isFrame(published)) {
      needs.set(published.number, {
        published,
        header: published.kind === "AudioFrame" ? audio : video,
        before: published.kind === "InterFrame" ? before : -1
      })
      if (isVideo(published)) before = published.number
    }
  }
  ;[video, audio, before] = [undefined, undefined, -1]
  let last = -1
  for (const content of received) {
    assert.strictEqual(content.streamId, viewer.streamId)
    if (content.kind === "VideoHeader") video = content.number
    else if (content.kind === "AudioHeader") audio = content.number
    if (!isFrame(content)) continue
    const need = needs.get(content.number)
    assert.isDefined(need, "a frame that was not accepted")
    const { header, published } = need
    assert.strictEqual(content.kind, published.kind)
    assert.strictEqual(content.timestamp, published.timestamp)
    assert.deepStrictEqual(content.payload, published.payload)
    assert.isAbove(content.number, last, "frames in another order")
    last = content.number
    assert.strictEqual(content.kind === "AudioFrame" ? audio : video, header, "the wrong header")
    if (content.kind === "InterFrame") assert.strictEqual(before, need.before, "an inter frame without its reference")
    if (isVideo(content)) before = content.number
  }
  if (!viewer.complete) return
  for (const wanted of [isVideo, ({ kind }: LiveArbitrary.MediaContent) => kind === "AudioFrame"]) {
    const got = received.filter(wanted).map(({ number }) => number)
    const all = harness.accepted.filter(wanted).map(({ number }) => number)
    assert.deepStrictEqual(got, all.slice(all.length - got.length), "a viewer that keeps up missed a frame")
  }
}

describe("LiveStream: any life of a stream", () => {
  it.prop(
    "gives every viewer a decodable sequence, and one that keeps up all of it",
    [LiveArbitrary.commands()],
    ([commands]) => {
      runCommands(commands, options)
    }
  )

  it.prop("holds its bounds however slow viewers are", [LiveArbitrary.slowCommands()], ([commands]) => {
    runCommands(commands, tight)
  })

  it.prop("does the same without a cache", [LiveArbitrary.commands()], ([commands]) => {
    runCommands(commands, { ...tight, gop: { ...tight.gop, enabled: false } })
  })
})
