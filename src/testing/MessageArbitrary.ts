/**
 * Arbitraries for the chunk stream: messages, legal ways to chunk them, and partitions of bytes.
 *
 * `chunk` is an encoder that is free where the specification is: chunk sizes, header formats, header forms, interleaving.
 * It shares no code with `ChunkWriter` beyond field access, so a custom reader or writer can be checked against it.
 * Choices and payloads come from seeds: an arbitrary shrinks the messages, and the rest follows deterministically.
 *
 * **Example** (any partition of the bytes gives the same messages)
 *
 * ```ts
 * it.prop("reads any partition", [MessageArbitrary.chunkedStream, MessageArbitrary.partition], ([stream, lengths]) => {
 *   const reader = ChunkReader.make()
 *   const read = MessageArbitrary.split(stream.bytes, lengths).flatMap((bytes) => Result.getOrThrow(reader.push(bytes)))
 *   assert.deepStrictEqual(read, stream.messages)
 * })
 * ```
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as Bytes from "../protocol/Bytes.ts"
import * as ChunkHeader from "../protocol/ChunkHeader.ts"
import * as Message from "../protocol/Message.ts"
import * as Timestamp from "../protocol/Timestamp.ts"

/**
 * Messages and one legal chunk stream of them, from a chunk size of 128 on.
 *
 * `messages` are in the order in which `bytes` completes them.
 */
export interface ChunkedStream {
  readonly messages: ReadonlyArray<Message.Message>
  readonly bytes: Uint8Array
}

/** A source of choices: `random(n)` is an integer from 0 to n-1, for n up to 2^32. */
export type Random = (below: number) => number

/** A small deterministic generator, for choices that need not shrink. Not for secrets. */
export const random = (seed: number): Random => {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * below)
  }
}

/** `length` bytes that look random and depend on the seed only. */
export const payload = (seed: number, length: number): Uint8Array => {
  const next = random(seed)
  const out = new Uint8Array(length)
  for (let i = 0; i < length; i++) out[i] = next(256)
  return out
}

/** An integer between two bounds, both included. */
export const integer = (minimum: number, maximum: number): Arbitrary.Arbitrary<number> =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

/** Any unsigned 32-bit number, the edges of the range more often than others. */
export const u32: Arbitrary.Arbitrary<number> = integer(0, 0xffffffff)

/** Up to 300 arbitrary bytes, or up to `maxLength`. */
export const bytes = (maxLength = 300): Arbitrary.Arbitrary<Uint8Array> =>
  Arbitrary.map(Arbitrary.all([u32, integer(0, maxLength)]), ([seed, length]) => payload(seed, length))

/**
 * Any message that a reader hands on without acting on it: all types but Set Chunk Size and Abort, all ids and times.
 *
 * Window Acknowledgement Size and Set Peer Bandwidth have their five bytes at least.
 */
export const message: Arbitrary.Arbitrary<Message.Message> = Arbitrary.map(
  Arbitrary.all({
    typeId: integer(3, 256),
    streamId: u32,
    chunkStreamId: integer(ChunkHeader.MIN_CHUNK_STREAM_ID, ChunkHeader.MAX_CHUNK_STREAM_ID),
    timestamp: u32,
    payload: Arbitrary.map(bytes(), (body) => (body.length < 5 ? Bytes.concat([body, payload(1, 5)]) : body))
  }),
  (message) => ({ ...message, typeId: message.typeId & 0xff })
)

/** What a message of `messages` is made of: numbers that pick among interesting values, and shrink to the plain ones. */
interface Picks {
  readonly stream: number
  readonly kind: number
  readonly length: number
  readonly step: number
  readonly seed: number
}

const chunkStreamIds = [4, 6, 3, 2, 5, 63, 64, 319, 320, 65599]
const typeIds = [
  Message.AUDIO,
  Message.VIDEO,
  Message.VIDEO,
  Message.SET_CHUNK_SIZE,
  Message.DATA_AMF0,
  Message.COMMAND_AMF0,
  Message.SET_CHUNK_SIZE,
  Message.USER_CONTROL,
  Message.ACKNOWLEDGEMENT,
  0,
  255
]
const chunkSizes = [128, 1, 2, 3, 5, 64, 127, 129, 200, 4096, 60_000, 65_536, 0xffffff, 0x7fffffff]
const payloadLengths = [5, 5, 5, 0, 1, 3, 4, 127, 128, 129, 200, 256, 300, 700]
const startTimes = [0, 26, 1000, 0xfffffe, 0xffffff, 0x1000000, 0xfffffff0, 0x80000000]
const steps = [20, 20, 20, 0, 40, -1000, 0xfffffe, 0xffffff, 0x1000000, -97, 0x7fffffff]

const pick = <A>(from: ReadonlyArray<A>, index: number): A => from[index % from.length]!

const sequence = (start: number, picks: ReadonlyArray<Picks>): ReadonlyArray<Message.Message> => {
  const before = new Map<number, Message.Message>()
  return picks.map(({ kind, length, seed, step, stream }) => {
    const chunkStreamId = pick(chunkStreamIds, stream)
    const last = before.get(chunkStreamId)
    // The largest picks repeat what the chunk stream had before, which shorter headers need.
    const typeId = kind > typeIds.length && last !== undefined ? last.typeId : pick(typeIds, kind)
    const payloadLength =
      length > payloadLengths.length && last !== undefined ? last.payload.length : pick(payloadLengths, length)
    const time = last?.timestamp ?? pick(startTimes, start)
    const made: Message.Message = {
      typeId,
      streamId: seed % 7 === 6 ? seed : 1,
      chunkStreamId,
      // Doubling the time is what a type 3 chunk after a type 0 chunk means.
      timestamp: Timestamp.add(time, step > steps.length ? time : pick(steps, step)),
      payload: typeId === Message.SET_CHUNK_SIZE ? new Uint8Array(4) : payload(seed, payloadLength)
    }
    if (typeId === Message.SET_CHUNK_SIZE) Bytes.putU32(made.payload, 0, pick(chunkSizes, seed))
    before.set(chunkStreamId, made)
    return made
  })
}

/**
 * Up to 12 messages on a few chunk streams, Set Chunk Size among them.
 *
 * Times, lengths and types often repeat or grow steadily, so that every header format is legal often enough; times reach
 * the range of extended timestamps and wrap. Chunk sizes are 1 to 0x7FFFFFFF.
 */
export const messages: Arbitrary.Arbitrary<ReadonlyArray<Message.Message>> = Arbitrary.map(
  Arbitrary.all([
    integer(0, startTimes.length - 1),
    Arbitrary.array(
      Arbitrary.all({
        stream: integer(0, 14),
        kind: integer(0, 26),
        length: integer(0, 36),
        step: integer(0, 16),
        seed: u32
      }),
      { maxLength: 12 }
    )
  ]),
  ([start, picks]) => sequence(start, picks)
)

/** Everything a peer has to remember of a chunk stream. */
interface HeaderState {
  readonly message: Message.Message
  readonly field: number
  readonly extended: boolean
}

/**
 * Chunks messages in a legal way that the seed picks, starting at a chunk size of 128.
 *
 * Messages of one chunk stream keep their order; those of different ones interleave chunk by chunk. A Set Chunk Size
 * message counts from its last byte. Depending on the seed, type 3 chunks leave the extended timestamp out as old librtmp
 * does, unless its absence cannot be told from the bytes.
 */
export const chunk = (messages: ReadonlyArray<Message.Message>, seed: number): ChunkedStream =>
  tryChunk(messages, seed, seed % 4 !== 1 && seed % 4 !== 3, seed % 4 < 2) ?? tryChunk(messages, seed, true, true)!

const tryChunk = (
  messages: ReadonlyArray<Message.Message>,
  seed: number,
  repeatsOnContinuation: boolean,
  repeatsOnFresh: boolean
): ChunkedStream | undefined => {
  const next = random(seed)
  const writer = new Bytes.BytesWriter()
  const done: Array<Message.Message> = []
  const waiting = new Map<number, Array<Message.Message>>()
  for (const message of messages) {
    const queue = waiting.get(message.chunkStreamId)
    if (queue === undefined) waiting.set(message.chunkStreamId, [message])
    else queue.push(message)
  }
  const states = new Map<number, HeaderState>()
  const sent = new Map<number, number>()
  let chunkSize = ChunkHeader.DEFAULT_CHUNK_SIZE
  let continuationIsClear = repeatsOnContinuation
  let freshIsClear = repeatsOnFresh

  while (waiting.size > 0) {
    const id = [...waiting.keys()][next(waiting.size)]!
    const queue = waiting.get(id)!
    const message = queue[0]!
    const from = sent.get(id) ?? 0
    const to = Math.min(message.payload.length, from + chunkSize)
    let state = states.get(id)
    const fresh = from === 0
    let format: ChunkHeader.Format = 3
    if (fresh) {
      const formats = legalFormats(state, message)
      format = formats[next(formats.length)]!
    }
    putBasic(writer, format, id, next)
    if (format < 3) {
      const field = format === 0 ? message.timestamp : Timestamp.add(message.timestamp, -state!.message.timestamp)
      const extended = field >= ChunkHeader.EXTENDED_TIMESTAMP
      writer.u24(extended ? ChunkHeader.EXTENDED_TIMESTAMP : field)
      if (format < 2) writer.u24(message.payload.length).u8(message.typeId)
      if (format < 1) writer.u32Le(message.streamId)
      if (extended) writer.u32(field)
      state = { message, field, extended }
    } else {
      state = { ...state!, message }
      if (state.extended) {
        if (fresh ? repeatsOnFresh : repeatsOnContinuation) writer.u32(state.field)
        else if (!(fresh ? freshIsClear : continuationIsClear)) {
          const first = message.payload[from]
          if (first === undefined || first === state.field >>> 24 || first === message.timestamp >>> 24)
            return undefined
          if (fresh) freshIsClear = true
          else continuationIsClear = true
        }
      }
    }
    states.set(id, state)
    writer.bytes(message.payload.subarray(from, to))
    if (to < message.payload.length) {
      sent.set(id, to)
      continue
    }
    sent.delete(id)
    done.push(message)
    queue.shift()
    if (queue.length === 0) waiting.delete(id)
    if (message.typeId === Message.SET_CHUNK_SIZE) {
      chunkSize = Math.min(Bytes.u32(message.payload, 0), ChunkHeader.MAX_CHUNK_SIZE)
    }
  }
  return { messages: done, bytes: writer.finish() }
}

const legalFormats = (state: HeaderState | undefined, message: Message.Message): ReadonlyArray<ChunkHeader.Format> => {
  if (state === undefined || state.message.streamId !== message.streamId) return [0]
  const last = state.message
  if (last.payload.length !== message.payload.length || last.typeId !== message.typeId) return [0, 1]
  return Timestamp.add(last.timestamp, state.field) === message.timestamp ? [0, 1, 2, 3, 3, 3] : [0, 1, 2]
}

const putBasic = (writer: Bytes.BytesWriter, format: ChunkHeader.Format, id: number, next: Random): void => {
  const bits = format << 6
  if (id < 64) writer.u8(bits | id)
  else if (id < 320 && next(2) === 0) writer.u8(bits).u8(id - 64)
  else writer.u8(bits | 1).u16Le(id - 64)
}

/** Messages of `messages` with a legal chunk stream of them. */
export const chunkedStream: Arbitrary.Arbitrary<ChunkedStream> = Arbitrary.map(
  Arbitrary.all([messages, u32]),
  ([all, seed]) => chunk(all, seed)
)

/** A way to cut bytes into pieces: piece lengths to be used in turn, see `split`. Some pieces are empty. */
export const partition: Arbitrary.Arbitrary<ReadonlyArray<number>> = Arbitrary.array(integer(0, 300), { maxLength: 12 })

/** Cuts bytes into copies of the given lengths, over and over; into one piece where all lengths are 0. */
export const split = (bytes: Uint8Array, lengths: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  if (!lengths.some((length) => length > 0)) return [bytes.slice()]
  const out: Array<Uint8Array> = []
  let at = 0
  for (let i = 0; at < bytes.length; i++) {
    const length = pick(lengths, i)
    out.push(bytes.slice(at, at + length))
    at += length
  }
  return out
}
