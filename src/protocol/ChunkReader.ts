/**
 * Reads an RTMP chunk stream: bytes in, whole messages out (RTMP 1.0 §5.3).
 *
 * A reader holds the state of one direction of one connection, from the first byte after the handshake. It takes the
 * bytes in any partition and gives the same messages. It applies Set Chunk Size and Abort to itself, because they change
 * what the next bytes mean, and interprets nothing else: it is not a session, keeps no clock, and answers nothing.
 *
 * **Memory**
 *
 * - What is pushed is lent: the reader keeps nothing of it but copies, so that a transport can read into the same buffer again.
 * - Each message is assembled in a buffer of its own, which its payload covers exactly.
 * - What the reader holds is bounded by what it received, never by a length that was only announced: a buffer of the full
 *   length is made when the connection has sent at least as many bytes already, otherwise it grows by doubling.
 *   `bufferedBytes <= 3 * bytesRead + 1024 * maxChunkStreams + 18` at any time.
 *
 * **Gotchas**
 *
 * - A type 3 chunk that starts a message adds the last timestamp field, also after a type 0 chunk (RTMP 1.0 §5.3.1.2.4):
 *   FMLE relies on it. nginx-rtmp writes such chunks for "same time as before", which only agrees where that field is 0.
 * - Senders disagree on whether type 3 chunks repeat the extended timestamp. FFmpeg, librtmp since 2015, GStreamer and
 *   FMLE do; OBS before 2024 and SDKs on old librtmp do not; newer OBS does only where the message continues. The reader
 *   learns it from the first such chunk of either kind, and keeps to it for the connection.
 * - A chunk of type 0, 1 or 2 in the middle of a message starts a new one and drops the old (seen from OBS, rarely). Each
 *   counts as an anomaly.
 * - A chunk stream may start with type 1, as librtmp answers its first ping: the time is the delta, the message stream 0.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Bytes from "./Bytes.ts"
import { ChunkError, type ChunkErrorReason } from "./ChunkError.ts"
import { DEFAULT_CHUNK_SIZE, EXTENDED_TIMESTAMP, MAX_CHUNK_SIZE, MAX_HEADER_BYTES } from "./ChunkHeader.ts"
import {
  ABORT,
  COMMAND_AMF0,
  COMMAND_AMF3,
  type Message,
  SET_CHUNK_SIZE,
  SET_PEER_BANDWIDTH,
  WINDOW_ACK_SIZE
} from "./Message.ts"

export { ChunkError, type ChunkErrorReason } from "./ChunkError.ts"

/**
 * What a reader tolerates. All numbers are non-negative integers; each limit is the last value that passes.
 *
 * - `maxMessageBytes`: payload length of a message, checked when its header is read.
 * - `maxChunkStreams`: chunk stream ids seen on the connection. Real clients use at most 8.
 * - `maxReassemblyBytes`: payload of unfinished messages over all chunk streams, the chunk that is being read included
 *   at its full size.
 * - `maxAnomalies`: messages cut short by the header of another.
 * - `minChunkSize`: chunk sizes below it are metered, see `maxChunkDebtBytes`. 0 switches the meter off.
 * - `maxChunkDebtBytes`: every chunk that leaves its message unfinished while the chunk size is below `minChunkSize` adds
 *   what it lacks to that size; chunks at larger sizes pay back their length. A debt above this is abuse: a peer that
 *   makes the reader parse a header for every byte or two.
 */
export interface ChunkReaderLimits {
  readonly maxMessageBytes: number
  readonly maxChunkStreams: number
  readonly maxReassemblyBytes: number
  readonly maxAnomalies: number
  readonly minChunkSize: number
  readonly maxChunkDebtBytes: number
}

/** Limits that every known encoder stays far below, for a connection that may publish. */
export const defaultLimits: ChunkReaderLimits = {
  maxMessageBytes: 10 * 1024 * 1024,
  maxChunkStreams: 64,
  maxReassemblyBytes: 16 * 1024 * 1024,
  maxAnomalies: 8,
  minChunkSize: 64,
  maxChunkDebtBytes: 4 * 1024 * 1024
}

/** Whether type 3 chunks repeat the extended timestamp, as far as the sender has shown. */
export type ExtendedTimestampMode = "Unknown" | "Present" | "Absent"

/**
 * Reads one direction of one connection. Made by `make`.
 */
export interface ChunkReader {
  /**
   * Takes the next bytes of the connection and gives the messages that they complete, in order of completion.
   *
   * Nothing of `bytes` is kept but copies. Set Chunk Size and Abort are applied and returned. Fails with a `ChunkError`
   * whose `messages` were complete before the fault; from then on the reader is dead and fails with `AlreadyFailed`.
   */
  readonly push: (bytes: Uint8Array) => Result.Result<ReadonlyArray<Message>, ChunkError>
  /** Bytes pushed so far: a double, exact far beyond 2^32. */
  readonly bytesRead: number
  /** The chunk size that the sender has set, 1 to 0xFFFFFF; 128 at first. */
  readonly chunkSize: number
  /** Messages cut short so far by a type 0, 1 or 2 chunk. */
  readonly anomalies: number
  /** Bytes of memory held for unfinished messages and headers. */
  readonly bufferedBytes: number
  /** How the sender treats extended timestamps on type 3 chunks that continue a message, and on those that start one. */
  readonly extendedTimestamps: {
    readonly continuation: ExtendedTimestampMode
    readonly fresh: ExtendedTimestampMode
  }
  /** Changes `maxMessageBytes` for messages that start from now on: sessions start low and raise it on publish. */
  readonly setMaxMessageBytes: (maxMessageBytes: number) => void
  /**
   * Ends every push at the first command message that it completes, from now on: what a command leads to, such as another
   * `maxMessageBytes`, then holds for whatever is behind it, however the bytes were cut. What was pushed with it waits; the
   * next push reads on, an empty one too. Absent where a reader does not do that.
   */
  readonly stopAtCommands?: () => void
  /** Bytes that wait for the next push behind a command. */
  readonly heldBytes?: number
}

/**
 * Makes a reader for the bytes after a handshake.
 *
 * Limits left out are those of `defaultLimits`. Throws a `RangeError` for a limit that is not a non-negative integer.
 */
export const make = (limits?: Partial<ChunkReaderLimits>): ChunkReader => {
  const all = { ...defaultLimits, ...limits }
  for (const name of Object.keys(defaultLimits) as Array<keyof ChunkReaderLimits>) checkLimit(name, all[name])
  return new Reader(all)
}

/**
 * Turns a stream of received bytes into a stream of the messages that each buffer completes, empty batches left out.
 *
 * Fails with the reader's `ChunkError`; what was complete in front of the fault is in its `messages`. `makeReader` is
 * called for each run of the stream, and lets a custom reader or other limits take the place of `make`.
 */
export const decode =
  (makeReader: () => ChunkReader = make) =>
  <E, R>(self: Stream.Stream<Uint8Array, E, R>): Stream.Stream<ReadonlyArray<Message>, E | ChunkError, R> =>
    Stream.suspend(() => {
      const reader = makeReader()
      return self.pipe(
        Stream.mapEffect((bytes) => Effect.fromResult(reader.push(bytes))),
        Stream.filter((messages) => messages.length > 0)
      )
    })

/**
 * Makes chunk readers: the service to replace where a server reads another framing, or counts what passes.
 */
export class ChunkReading extends Context.Service<
  ChunkReading,
  {
    /** Makes a reader for one connection. */
    readonly make: (limits?: Partial<ChunkReaderLimits>) => ChunkReader
  }
>()("effect-rtmp/protocol/ChunkReader") {
  /** The reader of this module. */
  static readonly layer: Layer.Layer<ChunkReading> = Layer.succeed(ChunkReading, { make })
}

const checkLimit = (name: string, value: number): void => {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`${name} must be a non-negative integer: ${value}`)
}

/** Results of `#header` that are not an offset. */
const INCOMPLETE = -1
const FAILED = -2

/** Smallest reassembly buffer, unless the message is shorter. */
const MIN_BUFFER_BYTES = 1024

/** Up to this many bytes, a loop copies faster than `set` with the view that it needs. Measured on Node 24. */
const LOOP_COPY_BYTES = 24

/** Ids that clients use are below it. */
const usualChunkStreams = 9

/** What the chunks of one id have in common, and the message in progress there. */
class ChunkStream {
  readonly id: number
  /** Absolute time of the message that started last. */
  timestamp = 0
  /** The last timestamp field, absolute from type 0, a delta from 1 and 2: what a fresh type 3 adds. */
  field = 0
  /** Whether that field was an extended one. */
  extended = false
  length = 0
  typeId = 0
  streamId = 0
  /** Payload of the message in progress: there is one exactly when `received > 0`. */
  buffer: Uint8Array = Bytes.empty
  received = 0

  constructor(id: number) {
    this.id = id
  }
}

class Reader implements ChunkReader {
  bytesRead = 0
  chunkSize = DEFAULT_CHUNK_SIZE
  anomalies = 0
  readonly #limits: ChunkReaderLimits
  #maxMessageBytes: number

  /** Chunk streams 2 to 63 by id, as far as there are any, and the rest. */
  readonly #low: Array<ChunkStream | undefined> = new Array(usualChunkStreams).fill(undefined)
  #high: Map<number, ChunkStream> | undefined = undefined
  #count = 0

  /** The chunk whose payload is being read, if `#inChunk`. */
  #inChunk = false
  #stream: ChunkStream = new ChunkStream(0)
  #remaining = 0

  /** A header that does not end in the buffer it started in. */
  readonly #carry = new Uint8Array(MAX_HEADER_BYTES)
  #carryLength = 0

  /** Offset in the stream of the first byte of the buffer in hand, and of the chunk in progress. */
  #base = 0
  #chunkOffset = 0

  /** Payload bytes of unfinished messages, and bytes allocated for them. */
  #pending = 0
  #allocated = 0
  #debt = 0

  #continuationMode: ExtendedTimestampMode = "Unknown"
  #freshMode: ExtendedTimestampMode = "Unknown"

  #stopsAtCommands = false
  /** What a push has left behind a command. */
  #held: Uint8Array = Bytes.empty

  #dead = false
  #reason: ChunkErrorReason = "AlreadyFailed"
  #value = 0
  #context = ""

  constructor(limits: ChunkReaderLimits) {
    this.#limits = limits
    this.#maxMessageBytes = limits.maxMessageBytes
  }

  get bufferedBytes(): number {
    return this.#allocated + this.#carryLength
  }

  get extendedTimestamps(): ChunkReader["extendedTimestamps"] {
    return { continuation: this.#continuationMode, fresh: this.#freshMode }
  }

  get heldBytes(): number {
    return this.#held.length
  }

  stopAtCommands(): void {
    this.#stopsAtCommands = true
  }

  setMaxMessageBytes(maxMessageBytes: number): void {
    checkLimit("maxMessageBytes", maxMessageBytes)
    this.#maxMessageBytes = maxMessageBytes
  }

  push(pushed: Uint8Array): Result.Result<ReadonlyArray<Message>, ChunkError> {
    if (this.#dead) {
      return Result.fail(new ChunkError({ reason: "AlreadyFailed", offset: this.bytesRead, value: 0, messages: [] }))
    }
    this.bytesRead += pushed.length
    let bytes = pushed
    if (this.#held.length > 0) {
      bytes = pushed.length === 0 ? this.#held : Bytes.concat([this.#held, pushed])
      this.#held = Bytes.empty
    }
    const start = this.bytesRead - bytes.length
    const out: Array<Message> = []
    let from = 0
    while (this.#carryLength > 0 && from < bytes.length) {
      const carried = this.#carryLength + 1
      this.#carry[carried - 1] = bytes[from++]!
      this.#carryLength = carried
      this.#base = start + from - carried
      const after = this.#header(this.#carry, 0, carried)
      if (after === INCOMPLETE) continue
      if (after === FAILED) return this.#failure(out)
      this.#carryLength = 0
      if (after < carried) {
        // Bytes that might have been an extended timestamp and are not: payload, or even the next header.
        this.#base += after
        if (!this.#read(this.#carry.slice(after, carried), 0, out)) return this.#failure(out)
        if (this.#stopsAtCommands && out.length > 0 && endsWithCommand(out)) {
          this.#held = Bytes.concat([this.#held, bytes.subarray(from)])
          return Result.succeed(out)
        }
      }
    }
    this.#base = start
    return this.#carryLength > 0 || this.#read(bytes, from, out) ? Result.succeed(out) : this.#failure(out)
  }

  /** Reads `input` from `at` to its end, leaving an incomplete header in the carry. False on a failure. */
  #read(input: Uint8Array, at: number, out: Array<Message>): boolean {
    const end = input.length
    for (;;) {
      if (this.#inChunk) {
        const stream = this.#stream
        const chunk = this.#remaining
        if (chunk > end - at) {
          if (at < end) this.#append(stream, input, at, end - at)
          this.#remaining = chunk - (end - at)
          return true
        }
        this.#inChunk = false
        this.#append(stream, input, at, chunk)
        if (stream.received === stream.length) {
          const payload = stream.buffer
          this.#release(stream)
          if (!this.#complete(stream, payload, out)) return false
        }
        at += chunk
        if (this.#stopsAtCommands && (stream.typeId === COMMAND_AMF0 || stream.typeId === COMMAND_AMF3)) {
          // Unless the message goes on.
          if (stream.received === 0) {
            // `slice` of a `Buffer` would be a view.
            if (at < end) this.#held = new Uint8Array(input.subarray(at))
            return true
          }
        }
      }
      if (at === end) return true
      const after = this.#header(input, at, end)
      if (after < 0) {
        if (after === FAILED) return false
        for (let i = at; i < end; i++) this.#carry[i - at] = input[i]!
        this.#carryLength = end - at
        return true
      }
      at = after
    }
  }

  /**
   * Reads the header at `start`, makes its chunk the one in progress, and gives the offset after it.
   *
   * Changes nothing where the header is `INCOMPLETE`, so that it can be called again with more bytes.
   */
  #header(input: Uint8Array, start: number, end: number): number {
    const first = input[start]!
    const format = first >> 6
    let at = start + 1
    let id = first & 0x3f
    let stream: ChunkStream | undefined
    if (id >= 2) {
      stream = this.#low[id]
    } else if (id === 0) {
      if (at >= end) return INCOMPLETE
      id = 64 + input[at]!
      at += 1
      stream = this.#high?.get(id)
    } else {
      if (at + 1 >= end) return INCOMPLETE
      id = 64 + input[at]! + 256 * input[at + 1]!
      at += 2
      stream = this.#high?.get(id)
    }

    if (format === 3) {
      if (stream === undefined) return this.#fail("UninitialisedChunkStream", id, input, start, at)
      const fresh = stream.received === 0
      if (stream.extended) {
        const width = this.#repeated(stream, fresh, input, at, end)
        if (width < 0) return INCOMPLETE
        at += width
      }
      if (fresh) {
        stream.timestamp = (stream.timestamp + stream.field) >>> 0
        if (stream.length > this.#maxMessageBytes) return this.#fail("MessageTooLarge", stream.length, input, start, at)
      }
    } else {
      if (stream === undefined) {
        if (format === 2) return this.#fail("UninitialisedChunkStream", id, input, start, at)
        if (this.#count >= this.#limits.maxChunkStreams) return this.#fail("TooManyChunkStreams", id, input, start, at)
      }
      const width = format === 0 ? 11 : format === 1 ? 7 : 3
      const fields = at
      at += width
      if (at > end) return INCOMPLETE
      let field = Bytes.u24(input, fields)
      const extended = field === EXTENDED_TIMESTAMP
      if (extended) {
        if (at + 4 > end) return INCOMPLETE
        field = Bytes.u32(input, at)
        at += 4
      }
      if (stream === undefined) stream = this.#open(id)
      else if (stream.received > 0) {
        this.#release(stream)
        if (++this.anomalies > this.#limits.maxAnomalies) {
          return this.#fail("TooManyAnomalies", this.anomalies, input, start, at)
        }
      }
      stream.field = field
      stream.extended = extended
      if (format === 0) {
        stream.timestamp = field
        stream.streamId = Bytes.u32Le(input, fields + 7)
      } else {
        stream.timestamp = (stream.timestamp + field) >>> 0
      }
      if (format !== 2) {
        stream.length = Bytes.u24(input, fields + 3)
        stream.typeId = input[fields + 6]!
      }
      if (stream.length > this.#maxMessageBytes) return this.#fail("MessageTooLarge", stream.length, input, start, at)
      if (stream.length < 4 && isStrict(stream.typeId)) {
        return this.#fail("InvalidControlMessage", stream.typeId, input, start, at)
      }
    }

    const left = stream.length - stream.received
    const chunk = Math.min(left, this.chunkSize)
    const held = this.#pending + chunk
    if (held > this.#limits.maxReassemblyBytes) return this.#fail("ReassemblyLimit", held, input, start, at)
    if (this.chunkSize < this.#limits.minChunkSize) {
      if (chunk < left) {
        this.#debt += this.#limits.minChunkSize - chunk
        if (this.#debt > this.#limits.maxChunkDebtBytes) {
          return this.#fail("ChunkSizeAbuse", this.chunkSize, input, start, at)
        }
      }
    } else if (this.#debt > 0) {
      this.#debt = Math.max(0, this.#debt - chunk)
    }
    this.#inChunk = true
    this.#stream = stream
    this.#remaining = chunk
    this.#chunkOffset = this.#base + start
    return at
  }

  /**
   * Tells how many bytes of extended timestamp a type 3 chunk has at `at`: 4, 0, or `INCOMPLETE`.
   *
   * While the sender's habit is unknown, the bytes there are compared with what it would repeat, and the first that
   * differs decides. So a sender that leaves the timestamp out is rarely made to wait for bytes of its next chunk.
   */
  #repeated(stream: ChunkStream, fresh: boolean, input: Uint8Array, at: number, end: number): number {
    const mode = fresh ? this.#freshMode : this.#continuationMode
    if (mode === "Absent") return 0
    const available = Math.min(end - at, 4)
    if (mode === "Unknown") {
      // Some senders repeat the absolute time after a delta.
      const other = fresh ? stream.field : stream.timestamp
      let isField = true
      let isOther = true
      for (let i = 0; i < available; i++) {
        const byte = input[at + i]!
        if (byte !== ((stream.field >>> (24 - 8 * i)) & 0xff)) isField = false
        if (byte !== ((other >>> (24 - 8 * i)) & 0xff)) isOther = false
      }
      if (!isField && !isOther) return this.#learn(fresh, "Absent", 0)
      if (available === 4) return this.#learn(fresh, "Present", 4)
    }
    return available < 4 ? INCOMPLETE : 4
  }

  #learn(fresh: boolean, mode: ExtendedTimestampMode, width: number): number {
    if (fresh) this.#freshMode = mode
    else this.#continuationMode = mode
    return width
  }

  #open(id: number): ChunkStream {
    const stream = new ChunkStream(id)
    if (id < 64) {
      while (this.#low.length < id) this.#low.push(undefined)
      this.#low[id] = stream
    } else {
      this.#high ??= new Map()
      this.#high.set(id, stream)
    }
    this.#count++
    return stream
  }

  /** Copies payload to the message in progress. */
  #append(stream: ChunkStream, input: Uint8Array, at: number, count: number): void {
    const received = stream.received
    const needed = received + count
    if (needed > stream.buffer.length) this.#grow(stream, needed)
    const buffer = stream.buffer
    if (count <= LOOP_COPY_BYTES) {
      for (let i = 0; i < count; i++) buffer[received + i] = input[at + i]!
    } else {
      buffer.set(new Uint8Array(input.buffer, input.byteOffset + at, count), received)
    }
    stream.received = needed
    this.#pending += count
  }

  #grow(stream: ChunkStream, needed: number): void {
    const others = this.#allocated - stream.buffer.length
    const earned = Math.min(this.bytesRead, this.#limits.maxReassemblyBytes)
    const capacity =
      others + stream.length <= earned ? stream.length : Math.min(stream.length, Math.max(MIN_BUFFER_BYTES, 2 * needed))
    const grown = new Uint8Array(capacity)
    if (stream.received > 0) grown.set(stream.buffer)
    stream.buffer = grown
    this.#allocated = others + capacity
  }

  /** Forgets the message in progress, not the header state. */
  #release(stream: ChunkStream): void {
    this.#pending -= stream.received
    this.#allocated -= stream.buffer.length
    stream.received = 0
    stream.buffer = Bytes.empty
  }

  #complete(stream: ChunkStream, payload: Uint8Array, out: Array<Message>): boolean {
    if (stream.typeId === SET_CHUNK_SIZE) {
      const size = Bytes.u32(payload, 0)
      if (size === 0 || size > 0x7fffffff) {
        this.#fail("InvalidChunkSize", size, Bytes.empty, 0, 0)
        return false
      }
      this.chunkSize = Math.min(size, MAX_CHUNK_SIZE)
    } else if (stream.typeId === ABORT && payload.length >= 4) {
      const id = Bytes.u32(payload, 0)
      const aborted = id < 64 ? this.#low[id] : this.#high?.get(id)
      if (aborted !== undefined && aborted.received > 0) this.#release(aborted)
    }
    out.push({
      typeId: stream.typeId,
      streamId: stream.streamId,
      chunkStreamId: stream.id,
      timestamp: stream.timestamp,
      payload
    })
    return true
  }

  /** Notes the error. `start` to `end` is the header at fault in `input`; empty when it is behind us already. */
  #fail(reason: ChunkErrorReason, value: number, input: Uint8Array, start: number, end: number): number {
    if (end > start) this.#chunkOffset = this.#base + start
    this.#reason = reason
    this.#value = value
    this.#context = Bytes.hex(input.subarray(start, Math.min(end, start + 12)))
    return FAILED
  }

  /** Makes the error and lets go of everything held. */
  #failure(messages: ReadonlyArray<Message>): Result.Result<never, ChunkError> {
    this.#dead = true
    this.#low.fill(undefined)
    this.#high = undefined
    this.#stream = new ChunkStream(0)
    this.#carryLength = 0
    this.#held = Bytes.empty
    this.#pending = 0
    this.#allocated = 0
    return Result.fail(
      new ChunkError({
        reason: this.#reason,
        offset: this.#chunkOffset,
        value: this.#value,
        messages,
        context: this.#context
      })
    )
  }
}

const endsWithCommand = (messages: ReadonlyArray<Message>): boolean => {
  const { typeId } = messages[messages.length - 1]!
  return typeId === COMMAND_AMF0 || typeId === COMMAND_AMF3
}

/** Types that must hold their four bytes: without them the sender's intent is lost. The other control types are skipped. */
const isStrict = (typeId: number): boolean =>
  typeId === SET_CHUNK_SIZE || typeId === WINDOW_ACK_SIZE || typeId === SET_PEER_BANDWIDTH
