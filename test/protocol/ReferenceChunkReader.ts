/**
 * A chunk reader written for being obviously right: all bytes at once, one chunk after the other, no views, no fast path.
 * `ChunkReader` is checked against it. `dialect` makes it read as other implementations do where they differ.
 */
import { type ChunkErrorReason, type ChunkReaderLimits, defaultLimits } from "../../src/protocol/ChunkReader.ts"
import type { Message } from "../../src/protocol/Message.ts"

export interface Dialect {
  /** What a fresh type 3 adds after a type 0: the time again (FFmpeg, librtmp, GStreamer) or nothing (nginx-rtmp). */
  readonly freshAfterType0: "time" | "nothing"
  /** Whether an extended delta is read as a time (SRS). */
  readonly extendedDeltaIsTime: boolean
  /** Whether a fresh type 3 has an extended timestamp (not for OBS), and whether that is learned or a matter of course. */
  readonly extendedOnType3: "learned" | "always" | "neverOnFresh"
}

export const specification: Dialect = {
  freshAfterType0: "time",
  extendedDeltaIsTime: false,
  extendedOnType3: "learned"
}

export interface Outcome {
  readonly messages: ReadonlyArray<Message>
  readonly error: { readonly reason: ChunkErrorReason; readonly offset: number; readonly value: number } | undefined
}

class EndOfBytes extends Error {}
class Violation extends Error {
  readonly reason: ChunkErrorReason
  readonly value: number
  constructor(reason: ChunkErrorReason, value: number) {
    super(reason)
    this.reason = reason
    this.value = value
  }
}

interface State {
  time: number
  field: number
  added: number
  extended: boolean
  length: number
  typeId: number
  streamId: number
  partial: Array<number>
}

export const read = (
  input: Uint8Array,
  options?: { readonly limits?: Partial<ChunkReaderLimits>; readonly dialect?: Dialect }
): Outcome => {
  const limits = { ...defaultLimits, ...options?.limits }
  const dialect = options?.dialect ?? specification
  const messages: Array<Message> = []
  const states = new Map<number, State>()
  let at = 0
  let chunkStart = 0
  let chunkSize = 128
  let anomalies = 0
  let debt = 0
  const repeats: { fresh?: boolean; continuation?: boolean } = {}

  const bytes = (count: number): Array<number> => {
    if (at + count > input.length) throw new EndOfBytes()
    at += count
    return [...input.subarray(at - count, at)]
  }
  const number = (count: number): number => bytes(count).reduce((sum, byte) => sum * 256 + byte, 0)
  const modulo = (value: number): number => ((value % 2 ** 32) + 2 ** 32) % 2 ** 32
  const big = (value: number): Array<number> => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255)

  const chunk = (): void => {
    const [first] = bytes(1)
    const format = Math.floor(first! / 64)
    let id = first! % 64
    if (id === 0) id = 64 + number(1)
    else if (id === 1) {
      const [low, high] = bytes(2)
      id = 64 + low! + 256 * high!
    }
    let state = states.get(id)
    if (state === undefined && format >= 2) throw new Violation("UninitialisedChunkStream", id)
    if (state === undefined && states.size === limits.maxChunkStreams) throw new Violation("TooManyChunkStreams", id)

    const fresh = format < 3 || state!.partial.length === 0
    if (format < 3) {
      let field = number(3)
      const header = bytes(format === 0 ? 8 : format === 1 ? 4 : 0)
      const extended = field === 0xffffff
      if (extended) field = number(4)
      if (state === undefined) {
        state = { time: 0, field: 0, added: 0, extended, length: 0, typeId: 0, streamId: 0, partial: [] }
        states.set(id, state)
      }
      if (state.partial.length > 0) {
        state.partial = []
        anomalies++
        if (anomalies > limits.maxAnomalies) throw new Violation("TooManyAnomalies", anomalies)
      }
      if (format < 2) {
        state.length = header[0]! * 65536 + header[1]! * 256 + header[2]!
        state.typeId = header[3]!
      }
      if (format === 0) {
        state.streamId = header[4]! + 256 * header[5]! + 65536 * header[6]! + 16777216 * header[7]!
      }
      const absolute = format === 0 || (extended && dialect.extendedDeltaIsTime)
      state.time = absolute ? field : modulo(state.time + field)
      state.field = field
      state.added = format === 0 && dialect.freshAfterType0 === "nothing" ? 0 : field
      state.extended = extended
    } else {
      if (state!.extended) extendedOnType3(state!, fresh)
      if (fresh) state!.time = modulo(state!.time + state!.added)
    }
    const current = state!
    if (fresh) {
      if (current.length > limits.maxMessageBytes) throw new Violation("MessageTooLarge", current.length)
      if (current.length < 4 && [1, 5, 6].includes(current.typeId)) {
        throw new Violation("InvalidControlMessage", current.typeId)
      }
    }
    const left = current.length - current.partial.length
    const size = Math.min(left, chunkSize)
    const held = [...states.values()].reduce((sum, one) => sum + one.partial.length, 0) + size
    if (held > limits.maxReassemblyBytes) throw new Violation("ReassemblyLimit", held)
    if (chunkSize >= limits.minChunkSize) debt = Math.max(0, debt - size)
    else if (size < left) debt += limits.minChunkSize - size
    if (debt > limits.maxChunkDebtBytes) throw new Violation("ChunkSizeAbuse", chunkSize)

    for (const byte of bytes(size)) current.partial.push(byte)
    if (current.partial.length < current.length) return
    const payload = Uint8Array.from(current.partial)
    current.partial = []
    const value = payload.length < 4 ? 0 : new DataView(payload.buffer).getUint32(0)
    if (current.typeId === 1) {
      if (value === 0 || value > 0x7fffffff) throw new Violation("InvalidChunkSize", value)
      chunkSize = Math.min(value, 0xffffff)
    }
    if (current.typeId === 2 && payload.length >= 4) {
      const aborted = states.get(value)
      if (aborted !== undefined) aborted.partial = []
    }
    const { streamId, time, typeId } = current
    messages.push({ typeId, streamId, chunkStreamId: id, timestamp: time, payload })
  }

  const extendedOnType3 = (state: State, fresh: boolean): void => {
    const kind = fresh ? "fresh" : "continuation"
    if (dialect.extendedOnType3 === "neverOnFresh" && fresh) return
    if (dialect.extendedOnType3 === "learned" && repeats[kind] === undefined) {
      const candidates = [state.field, ...(fresh ? [] : [state.time])].map(big)
      const next = [...input.subarray(at, at + 4)]
      const possible = candidates.some((candidate) => next.every((byte, i) => byte === candidate[i]))
      if (possible && next.length < 4) throw new EndOfBytes()
      repeats[kind] = possible
    }
    if (dialect.extendedOnType3 !== "learned" || repeats[kind]) bytes(4)
  }

  while (at < input.length) {
    chunkStart = at
    try {
      chunk()
    } catch (error) {
      if (error instanceof EndOfBytes) return { messages, error: undefined }
      if (error instanceof Violation) {
        return { messages, error: { reason: error.reason, offset: chunkStart, value: error.value } }
      }
      throw error
    }
  }
  return { messages, error: undefined }
}
