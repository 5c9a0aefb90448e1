/**
 * Media messages, publishers' sessions and viewers' behaviour, for property tests of whatever relays a live stream.
 *
 * The builders make the smallest payloads that count as what they are: AVC and AAC headers that name a configuration,
 * frames that carry a sequence number, `onMetaData` with one value. `read` takes them apart again, so that a test can
 * tell for every message that arrives which one it was, and which header it needs.
 *
 * `commands` are what can happen to one stream: publish, flush, join, drain, leave and so on. They are plain values, so
 * a failing sequence shrinks to the few that matter.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Bytes from "../protocol/Bytes.ts"
import * as Message from "../protocol/Message.ts"
import { integer } from "./MessageArbitrary.ts"

/** What a payload of this module is. `number` is the sequence number of a frame, the configuration of a header. */
export interface MediaContent {
  readonly kind: "VideoHeader" | "Keyframe" | "InterFrame" | "VideoEnd" | "AudioHeader" | "AudioFrame" | "Metadata"
  readonly number: number
}

const frameHeaderBytes = {
  Keyframe: [0x17, 1, 0, 0, 0],
  InterFrame: [0x27, 1, 0, 0, 0],
  AudioFrame: [0xaf, 1]
} as const

/** A payload of the given content. Frames are padded to `bytes` where that is more than they need. */
export const payload = (content: MediaContent, bytes = 0): Uint8Array => {
  switch (content.kind) {
    case "VideoHeader":
      return new Uint8Array([0x17, 0, 0, 0, 0, 1, 0x64, 0, content.number])
    case "AudioHeader":
      return new Uint8Array([0xaf, 0, 0x12, content.number])
    case "VideoEnd":
      return new Uint8Array([0x17, 2, 0, 0, 0])
    case "Metadata":
      return new Bytes.BytesWriter(32)
        .u8(2)
        .u16(10)
        .utf8("onMetaData")
        .u8(8)
        .u32(1)
        .u16(1)
        .utf8("v")
        .u8(0)
        .f64(content.number)
        .u24(9)
        .finish()
    case "Keyframe":
    case "InterFrame":
    case "AudioFrame": {
      const header = frameHeaderBytes[content.kind]
      const out = new Uint8Array(Math.max(bytes, header.length + 4))
      out.set(header)
      Bytes.putU32(out, header.length, content.number)
      // A filler that depends on the place: a chunk header in the middle of it would show.
      for (let i = header.length + 4; i < out.length; i++) out[i] = (content.number + i * 7) & 0xff
      return out
    }
  }
}

/** A message as a publisher sends it. */
export const message = (content: MediaContent, timestamp: number, bytes = 0): Message.Message => ({
  typeId: typeIdOf(content),
  streamId: 1,
  chunkStreamId: 4,
  timestamp: timestamp >>> 0,
  payload: payload(content, bytes)
})

/** What a payload that `payload` made is; `undefined` for anything else. */
export const read = (typeId: number, bytes: Uint8Array): MediaContent | undefined => {
  switch (typeId) {
    case Message.VIDEO:
      if (bytes[1] === 0) return { kind: "VideoHeader", number: bytes[8]! }
      if (bytes[1] === 2) return { kind: "VideoEnd", number: 0 }
      return { kind: bytes[0] === 0x17 ? "Keyframe" : "InterFrame", number: Bytes.u32(bytes, 5) }
    case Message.AUDIO:
      if (bytes[1] === 0) return { kind: "AudioHeader", number: bytes[3]! }
      return { kind: "AudioFrame", number: Bytes.u32(bytes, 2) }
    case Message.DATA_AMF0:
      return { kind: "Metadata", number: new DataView(bytes.buffer, bytes.byteOffset).getFloat64(22) }
    default:
      return undefined
  }
}

const typeIdOf = ({ kind }: MediaContent): number =>
  kind === "Metadata"
    ? Message.DATA_AMF0
    : kind === "AudioFrame" || kind === "AudioHeader"
      ? Message.AUDIO
      : Message.VIDEO

/**
 * Something that happens to a stream. `viewer` counts modulo the viewers there are.
 *
 * - `Publish`: a message, `stepMs` after the one before; `number` is a configuration for headers and metadata.
 * - `Join`: `capacity` is how many writes its socket takes until it is full; 0 for one that is never full.
 * - `Drain`: the socket of a viewer takes `capacity` more writes.
 * - `Wait`: time passes without media.
 */
export type LiveCommand =
  | {
      readonly _tag: "Publish"
      readonly kind: MediaContent["kind"]
      readonly number: number
      readonly stepMs: number
      readonly bytes: number
    }
  | { readonly _tag: "Flush" }
  | { readonly _tag: "Join"; readonly capacity: number; readonly messageStreamId: number }
  | { readonly _tag: "Drain"; readonly viewer: number; readonly capacity: number }
  | { readonly _tag: "Leave"; readonly viewer: number }
  | {
      readonly _tag: "Filter"
      readonly viewer: number
      readonly what: "Audio" | "Video" | "Pause"
      readonly on: boolean
    }
  | { readonly _tag: "Wait"; readonly ms: number }

const kinds: ReadonlyArray<MediaContent["kind"]> = [
  "Keyframe",
  "Keyframe",
  "InterFrame",
  "InterFrame",
  "InterFrame",
  "InterFrame",
  "InterFrame",
  "InterFrame",
  "AudioFrame",
  "AudioFrame",
  "AudioFrame",
  "AudioFrame",
  "VideoHeader",
  "AudioHeader",
  "Metadata",
  "VideoEnd"
]

/** A message that a publisher may send at any time, in the mix of a real stream. */
export const publish: Arbitrary.Arbitrary<LiveCommand> = Arbitrary.map(
  Arbitrary.all([integer(0, kinds.length - 1), integer(0, 2), integer(0, 50), integer(0, 400)]),
  ([kind, number, stepMs, bytes]) => ({ _tag: "Publish", kind: kinds[kind]!, number, stepMs, bytes })
)

/** Any command, `Publish` most of the time. */
export const command: Arbitrary.Arbitrary<LiveCommand> = Arbitrary.flatMap(integer(0, 29), (choice) => {
  if (choice < 18) return publish
  if (choice < 22) return Arbitrary.Constant<LiveCommand>({ _tag: "Flush" })
  if (choice < 24) {
    return Arbitrary.map(
      Arbitrary.all([integer(0, 4), integer(0, 3)]),
      ([capacity, id]): LiveCommand => ({ _tag: "Join", capacity, messageStreamId: id === 3 ? 5 : 1 })
    )
  }
  if (choice < 27) {
    return Arbitrary.map(
      Arbitrary.all([integer(0, 7), integer(1, 4)]),
      ([viewer, capacity]): LiveCommand => ({ _tag: "Drain", viewer, capacity })
    )
  }
  if (choice < 28) {
    return Arbitrary.map(
      Arbitrary.all([integer(0, 7), integer(0, 2), integer(0, 1)]),
      ([viewer, what, on]): LiveCommand => ({
        _tag: "Filter",
        viewer,
        what: (["Audio", "Video", "Pause"] as const)[what]!,
        on: on === 1
      })
    )
  }
  if (choice < 29) return Arbitrary.map(integer(0, 7), (viewer): LiveCommand => ({ _tag: "Leave", viewer }))
  return Arbitrary.map(integer(0, 2_000), (ms): LiveCommand => ({ _tag: "Wait", ms }))
})

const opening: ReadonlyArray<LiveCommand> = [
  { _tag: "Publish", kind: "VideoHeader", number: 0, stepMs: 0, bytes: 0 },
  { _tag: "Publish", kind: "AudioHeader", number: 0, stepMs: 0, bytes: 0 },
  { _tag: "Publish", kind: "Keyframe", number: 0, stepMs: 0, bytes: 0 },
  { _tag: "Flush" }
]

/** A life of a stream: up to `maxLength` commands after both headers and a keyframe. */
export const commands = (maxLength = 120): Arbitrary.Arbitrary<ReadonlyArray<LiveCommand>> =>
  Arbitrary.map(Arbitrary.array(command, { minLength: 10, maxLength }), (rest) => [...opening, ...rest])

/**
 * A life of a stream with three viewers from its start, whose sockets are full after the first write and drain now and
 * then: what a queue does when it is rarely empty.
 */
export const slowCommands = (maxLength = 300): Arbitrary.Arbitrary<ReadonlyArray<LiveCommand>> => {
  const join: LiveCommand = { _tag: "Join", capacity: 1, messageStreamId: 1 }
  const batch = Arbitrary.map(
    Arbitrary.all([Arbitrary.array(publish, { minLength: 1, maxLength: 8 }), command, integer(0, 5)]),
    ([published, any, which]): ReadonlyArray<LiveCommand> => [
      ...published,
      { _tag: "Flush" },
      which === 0 ? any : which < 3 ? { _tag: "Drain", viewer: which, capacity: 1 } : { _tag: "Wait", ms: which }
    ]
  )
  return Arbitrary.map(Arbitrary.array(batch, { minLength: 5, maxLength: Math.ceil(maxLength / 6) }), (batches) => [
    ...opening,
    join,
    join,
    { ...join, messageStreamId: 5 },
    ...batches.flat()
  ])
}

/** Something that publishers and viewers do with the names of a registry; `who` and `name` count modulo what there is. */
export type RegistryCommand =
  | { readonly _tag: "Claim"; readonly name: number; readonly credential: number }
  | { readonly _tag: "Media"; readonly who: number }
  | { readonly _tag: "Unpublish"; readonly who: number }
  | { readonly _tag: "Vanish"; readonly who: number }
  | { readonly _tag: "Subscribe"; readonly name: number; readonly wait: boolean; readonly full: boolean }
  | { readonly _tag: "Leave"; readonly who: number }
  | { readonly _tag: "Drain"; readonly who: number }
  | { readonly _tag: "Flush" }
  | { readonly _tag: "Tick"; readonly ms: number }

/** What happens to a registry, each command about as likely as any other. */
export const registryCommands = (maxLength = 80): Arbitrary.Arbitrary<ReadonlyArray<RegistryCommand>> =>
  Arbitrary.array(
    Arbitrary.map(
      Arbitrary.all([integer(0, 11), integer(0, 9), integer(0, 3)]),
      ([choice, who, detail]): RegistryCommand => {
        switch (choice) {
          case 0:
          case 1:
            return { _tag: "Claim", name: who, credential: detail }
          case 2:
          case 3:
            return { _tag: "Media", who }
          case 4:
            return { _tag: "Unpublish", who }
          case 5:
            return { _tag: "Vanish", who }
          case 6:
          case 7:
            return { _tag: "Subscribe", name: who, wait: detail % 2 === 0, full: detail > 1 }
          case 8:
            return { _tag: "Leave", who }
          case 9:
            return { _tag: "Drain", who }
          case 10:
            return { _tag: "Flush" }
          default:
            return { _tag: "Tick", ms: who * 400 + detail }
        }
      }
    ),
    { minLength: 5, maxLength }
  )
