/**
 * Splits aggregate messages: type 22, FLV tags back to back in one payload (RTMP 1.0 §7.1.6).
 *
 * Every tag is `type u8, size u24, time u24, time bits 24-31 u8, stream id u24`, the data, and the length of the tag
 * before as u32. The figure in the specification misstates time and length; the layout of FLV is what FFmpeg, librtmp and
 * GStreamer read and what senders send. Nothing here builds aggregates: players gain nothing from them.
 *
 * **Gotchas**
 *
 * - Tag times are rebased: the first message gets the aggregate's time, the others keep their distance to it.
 * - The length after the last tag may be missing, and its value is never checked: nginx-rtmp and GStreamer tolerate both.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Bytes from "./Bytes.ts"
import { AGGREGATE, AUDIO, DATA_AMF0, DATA_AMF3, type Message, VIDEO } from "./Message.ts"
import * as Timestamp from "./Timestamp.ts"

/** What an aggregate may hold: `maxSubMessages` is the most messages taken from one. */
export interface AggregateLimits {
  readonly maxSubMessages: number
}

/** 4,096 messages of one aggregate. */
export const defaultLimits: AggregateLimits = { maxSubMessages: 4096 }

/**
 * The messages of an aggregate, up to the first fault.
 *
 * `truncated` tells that bytes were left over: a tag cut short, a tag that is not audio, video or data (an aggregate in an
 * aggregate among them), or more tags than allowed.
 */
export interface Split {
  readonly messages: ReadonlyArray<Message>
  readonly truncated: boolean
}

const TAG_HEADER_BYTES = 11
const BACK_POINTER_BYTES = 4

/**
 * Splits a type 22 message into audio, video and data messages with the aggregate's message stream and chunk stream.
 *
 * Payloads are views of the aggregate's. Throws a `RangeError` for a message of another type.
 */
export const split = (message: Message, limits: AggregateLimits = defaultLimits): Split => {
  if (message.typeId !== AGGREGATE) throw new RangeError(`message type ${message.typeId} is not an aggregate`)
  const { chunkStreamId, payload, streamId } = message
  const messages: Array<Message> = []
  let offsetMs = 0
  let at = 0
  while (at < payload.length) {
    const start = at + TAG_HEADER_BYTES
    if (start > payload.length || messages.length >= limits.maxSubMessages) return { messages, truncated: true }
    const typeId = payload[at]!
    const end = start + Bytes.u24(payload, at + 1)
    if (!isTagType(typeId) || end > payload.length) return { messages, truncated: true }
    const tagTime = ((payload[at + 7]! << 24) | Bytes.u24(payload, at + 4)) >>> 0
    if (messages.length === 0) offsetMs = Timestamp.difference(message.timestamp, tagTime)
    messages.push({
      typeId,
      streamId,
      chunkStreamId,
      timestamp: Timestamp.add(tagTime, offsetMs),
      payload: payload.subarray(start, end)
    })
    if (end === payload.length) break
    at = end + BACK_POINTER_BYTES
    if (at > payload.length) return { messages, truncated: true }
  }
  return { messages, truncated: false }
}

/** How many messages `split` would give, or tags of other types; looks at the headers alone. */
export const count = (payload: Uint8Array, { maxSubMessages }: AggregateLimits = defaultLimits): number => {
  let tags = 0
  for (let at = 0; at + TAG_HEADER_BYTES <= payload.length && tags < maxSubMessages; tags++) {
    at += TAG_HEADER_BYTES + Bytes.u24(payload, at + 1) + BACK_POINTER_BYTES
  }
  return tags
}

/** Splits aggregate messages: the service face of this module. */
export class AggregateSplitter extends Context.Service<
  AggregateSplitter,
  {
    /** See the function of this name. */
    readonly split: (message: Message, limits?: AggregateLimits) => Split
  }
>()("effect-rtmp/protocol/Aggregate") {
  /** The splitter of this module. */
  static readonly layer: Layer.Layer<AggregateSplitter> = Layer.succeed(AggregateSplitter, { split })
}

const isTagType = (typeId: number): boolean =>
  typeId === AUDIO || typeId === VIDEO || typeId === DATA_AMF0 || typeId === DATA_AMF3
