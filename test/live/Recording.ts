/** A viewer's end for tests: a socket that is full after a number of writes, and everything that reached it. */
import * as Result from "effect/Result"
import type { DropReport, EndReason, OverflowReason, ViewerSink } from "../../src/live/Outbox.ts"
import type { BatchLane, BatchLanes } from "../../src/live/ViewerSink.ts"
import * as ChunkReader from "../../src/protocol/ChunkReader.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as LiveArbitrary from "../../src/testing/LiveArbitrary.ts"

export interface Received extends LiveArbitrary.MediaContent {
  readonly timestamp: number
  readonly streamId: number
  readonly payload: Uint8Array
}

export class Recording implements ViewerSink {
  readonly writes: Array<Uint8Array> = []
  readonly calls: Array<string> = []
  readonly drops: Array<DropReport> = []
  /** Writes that the socket still takes; infinity for one that is never full. */
  capacity: number
  isFull = false
  wasFull = false
  writtenWhileFull = 0
  ended: EndReason | OverflowReason | undefined

  constructor(capacity = Number.POSITIVE_INFINITY) {
    this.capacity = capacity
  }

  readonly write = (bytes: Uint8Array): boolean => {
    if (this.isFull) this.writtenWhileFull++
    this.writes.push(bytes)
    this.capacity--
    if (this.capacity <= 0) this.isFull = this.wasFull = true
    return !this.isFull
  }
  readonly onStart = () => {
    this.calls.push("start")
  }
  readonly onDry = () => {
    this.calls.push("dry")
  }
  readonly onResume = () => {
    this.calls.push("resume")
  }
  readonly onEnd = (reason: EndReason) => {
    this.calls.push(`end ${reason}`)
    this.ended = reason
  }
  readonly onOverflow = (reason: OverflowReason) => {
    this.calls.push(`overflow ${reason}`)
    this.ended = reason
  }
  readonly onDrops = (report: DropReport) => {
    this.drops.push(report)
  }

  /** Makes room for more writes; the caller tells the viewer. */
  makeRoom(capacity: number): void {
    this.capacity = capacity
    this.isFull = false
  }

  /** Every message that arrived, read by the chunk reader. */
  messages(chunkSize: number): ReadonlyArray<Message> {
    const reader = ChunkReader.make({ minChunkSize: 0 })
    const announce = new Uint8Array([2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, chunkSize >> 8, chunkSize & 0xff])
    Result.getOrThrow(reader.push(announce))
    return this.writes.flatMap((bytes) => Result.getOrThrow(reader.push(bytes)))
  }

  /** The same, taken apart. */
  received(chunkSize: number): ReadonlyArray<Received> {
    return this.messages(chunkSize).map(({ payload, streamId, timestamp, typeId }) => {
      const content = LiveArbitrary.read(typeId, payload)
      if (content === undefined) throw new Error(`unexpected message of type ${typeId}`)
      return { ...content, timestamp, streamId, payload }
    })
  }
}

/**
 * Sockets by number. Each takes the first third of the write that fills it, and every fifth write not at all: its viewer is
 * to be given the rest.
 */
export class RecordingLanes implements BatchLanes {
  readonly #recordings: Array<Recording> = []
  readonly #writes: Array<number> = []

  open(recording: Recording): BatchLane {
    this.#writes.push(0)
    return { lanes: this, lane: this.#recordings.push(recording) - 1 }
  }

  /** How many batches came this way. */
  writes(lane: number): number {
    return this.#writes[lane]!
  }

  write(lane: number, bytes: Uint8Array): number {
    const recording = this.#recordings[lane]!
    if (recording.isFull) recording.writtenWhileFull++
    if (++this.#writes[lane]! % 5 === 0) return -1
    if (recording.capacity > 1) {
      recording.write(bytes)
      return bytes.length
    }
    const taken = Math.floor(bytes.length / 3)
    recording.writes.push(bytes.subarray(0, taken))
    return taken
  }
}

/** A viewer's end that has a lane. */
export class LaneRecording extends Recording {
  readonly lane: BatchLane

  constructor(lanes: RecordingLanes, capacity = Number.POSITIVE_INFINITY) {
    super(capacity)
    this.lane = lanes.open(this)
  }
}

const letterOf: { readonly [K in LiveArbitrary.MediaContent["kind"]]: string } = {
  VideoHeader: "V",
  AudioHeader: "A",
  Keyframe: "K",
  InterFrame: "i",
  AudioFrame: "a",
  VideoEnd: "E",
  Metadata: "M"
}

/** Compact text of what arrived: `V0` is a video header, `K1` a keyframe, `i2` an inter frame, `A0` an audio header, … */
export const letters = (received: ReadonlyArray<LiveArbitrary.MediaContent>): string =>
  received.map(({ kind, number }) => letterOf[kind] + number).join(" ")
