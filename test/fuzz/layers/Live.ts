/**
 * A live stream between a publisher who sends anything and viewers who come, stall and go: nothing is thrown, whatever
 * is relayed can be read and decoded, and video begins with a keyframe.
 */
import * as Result from "effect/Result"
import { defaultLiveOptions, type LiveOptions } from "../../../src/live/LiveOptions.ts"
import * as LiveStream from "../../../src/live/LiveStream.ts"
import type { Outbox, ViewerSink } from "../../../src/live/Outbox.ts"
import * as MediaFrame from "../../../src/media/MediaFrame.ts"
import * as Bytes from "../../../src/protocol/Bytes.ts"
import * as ChunkReader from "../../../src/protocol/ChunkReader.ts"
import { ensure, type Layer } from "../Layer.ts"
import { Output } from "../Output.ts"
import { payload } from "./Media.ts"

const options: LiveOptions = {
  ...defaultLiveOptions,
  chunkSize: 128,
  gop: { ...defaultLiveOptions.gop, maxBytes: 4_000, maxFrames: 12 },
  outbox: { ...defaultLiveOptions.outbox, maxBytes: 4_000, maxRecords: 12, maxDelayMs: 300 },
  limits: {
    ...defaultLiveOptions.limits,
    maxTracks: 3,
    maxHeaderBytes: 120,
    maxMetadataBytes: 60,
    maxPendingBytes: 2_000,
    maxPendingMessages: 8
  }
}

class Viewer implements ViewerSink {
  readonly reader = ChunkReader.make({ minChunkSize: 0 })
  outbox: Outbox | undefined
  ended = false
  violation: unknown
  #room: number
  readonly #started = new Set<number>()

  constructor(room: number) {
    this.#room = room
  }

  readonly write = (bytes: Uint8Array): boolean => {
    // A stream removes a viewer whose sink throws, and goes on: what does not hold is told at the end.
    try {
      this.#read(bytes)
    } catch (error) {
      this.violation ??= error
    }
    return this.#room === 0 || --this.#room > 0
  }

  #read(bytes: Uint8Array): void {
    ensure(!this.ended, "bytes after the end")
    const read = this.reader.push(bytes)
    ensure(Result.isSuccess(read), "bytes for a viewer that cannot be read", () => String(Result.merge(read)))
    for (const message of Result.getOrThrow(read)) this.#look(message.typeId, message.payload)
  }

  #look(typeId: number, bytes: Uint8Array): void {
    const frame = MediaFrame.classify(typeId, bytes)
    ensure(frame.role !== "Undecodable", "a message is relayed that could stop a player", () => frame.reason)
    ensure(typeId !== 15 && typeId !== 22, "a message in a form that is not for players")
    if (frame.kind !== "video") return
    if (frame.role === "Keyframe") this.#started.add(frame.trackId)
    else ensure(frame.role !== "Frame" || this.#started.has(frame.trackId), "a video that begins without a keyframe")
  }

  makeRoom(room: number): void {
    this.#room = room
  }
  readonly onStart = () => {}
  readonly onDry = () => {}
  readonly onResume = () => {}
  readonly onEnd = () => {
    this.ended = true
  }
  readonly onOverflow = () => {
    this.ended = true
  }
}

const PUBLISH = 8

const check = (input: Uint8Array): void => {
  const stream = LiveStream.make("live/f", { options })
  const viewers: Array<Viewer> = []
  let nowMs = 1_000
  let timestamp = 0
  stream.beginSession(nowMs)
  for (let at = 0; at < input.length; ) {
    const op = input[at++]! % 16
    const argument = input[at++] ?? 0
    const viewer = viewers.length === 0 ? undefined : viewers[argument % viewers.length]
    nowMs += argument & 0x3f
    if (op >= PUBLISH) {
      const length = Math.min(input[at++] ?? 0, input.length - at)
      const typeId = ([8, 9, 9, 18, 15, 22] as const)[argument % 6]!
      timestamp = (timestamp + (argument === 255 ? 0xfffffff0 : argument & 0x3f)) >>> 0
      stream.publish({ typeId, streamId: 1, chunkStreamId: 4, timestamp, payload: input.slice(at, at + length) }, nowMs)
      at += length
      if (op % 2 === 0) stream.flush(nowMs)
      continue
    }
    switch (op) {
      case 0:
      case 1:
        stream.flush(nowMs)
        break
      case 2: {
        if (viewers.length >= 6) break
        const joined = new Viewer(argument % 4)
        viewers.push(joined)
        joined.outbox = stream.join(joined, nowMs, argument % 8 === 7 ? 5 : 1)
        break
      }
      case 3:
        if (viewer !== undefined && !viewer.ended) {
          viewer.makeRoom(argument >> 5)
          viewer.outbox!.drained(nowMs)
        }
        break
      case 4:
        if (viewer !== undefined && !viewer.ended) {
          viewer.outbox!.leave(nowMs)
          viewer.ended = true
        }
        break
      case 5:
        if (viewer !== undefined && !viewer.ended) viewer.outbox!.receiveVideo(argument >= 128)
        break
      case 6:
        if (viewer !== undefined && !viewer.ended) viewer.outbox!.pause(argument >= 128)
        break
      default:
        stream.beginSession(nowMs)
        timestamp = argument * 1_000
    }
    const { gop, headerBytes, metadataBytes } = stream.statistics(nowMs)
    ensure(gop.bytes <= options.gop.maxBytes && gop.frames <= options.gop.maxFrames, "a cache beyond its bounds")
    ensure(headerBytes <= 120 && metadataBytes <= 60, "headers beyond their bounds")
  }
  stream.end("Unpublished", nowMs)
  for (const viewer of viewers) {
    if (!viewer.ended) {
      viewer.makeRoom(0)
      viewer.outbox!.drained(nowMs)
      ensure(viewer.ended, "a viewer that is not told the end")
    }
    if (viewer.violation !== undefined) throw viewer.violation
  }
}

const out = new Output()

export const liveLayer: Layer = {
  name: "live",
  inputsInTests: 15_000,
  generate: (random) => {
    out.clear()
    for (let i = 4 + random.below(30); i > 0; i--) {
      if (random.once(3)) {
        out.u8(random.below(PUBLISH)).u8(random.below(256))
        continue
      }
      const argument = random.below(256)
      out.u8(PUBLISH + random.below(8)).u8(argument)
      const at = out.length
      out.u8(0)
      const typeId = [8, 9, 9, 18, 15, 22][argument % 6]!
      if (typeId === 22) {
        for (let tags = random.below(4); tags > 0; tags--) {
          const start = out.length
          out.u8(9).u24(0).u32(0).u24(0)
          payload(out, random, 9)
          if (out.length >= start + 4) out.patch24(start + 1, Math.max(0, out.length - start - 11))
          out.u32(0)
        }
      } else if (random.once(2)) {
        if (typeId === 9) out.bytes(random.pick(frames))
        else if (typeId === 8) out.bytes(random.pick(sounds))
        else payload(out, random, typeId)
      } else payload(out, random, typeId)
      if (out.length - at - 1 > 255) out.length = at + 256
      out.patch8(at, out.length - at - 1)
    }
    return out.finish()
  },
  check
}

const hex = (text: string) => [...Bytes.fromHex(text.replaceAll(" ", ""))]
const frames = [
  hex("17 00 000000 01 64 00 1f ff e1 0004 67 64 00 1f 01 0002 68 ee"),
  hex("17 01 000000 00000003 65 00 01"),
  hex("27 01 000000 00000003 41 00 01"),
  hex("27 01 000000 00000003 41 00 02"),
  hex("90 68766331 01 01"),
  hex("91 68766331 000000 01"),
  hex("a1 68766331 000000 01"),
  hex("17 02 000000")
]
const sounds = [hex("af 00 12 10"), hex("af 01 21 00"), hex("90 4f707573 01"), hex("91 4f707573 aa"), []]
