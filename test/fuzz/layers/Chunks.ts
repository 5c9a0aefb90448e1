/** Chunk streams: any partition reads the same, memory stays within its bound, and what was read can be written again. */
import * as Result from "effect/Result"
import * as ChunkReader from "../../../src/protocol/ChunkReader.ts"
import * as ChunkWriter from "../../../src/protocol/ChunkWriter.ts"
import type { Message } from "../../../src/protocol/Message.ts"
import { ensure, type Layer, same } from "../Layer.ts"
import { Output } from "../Output.ts"
import { hashOf, Random } from "../Random.ts"

const ids = [2, 3, 4, 6, 6, 6, 63, 64, 319, 320, 65_599]
const types = [8, 9, 9, 9, 20, 20, 17, 18, 1, 2, 3, 4, 5, 6, 0, 22, 255]
const lengths = [0, 1, 3, 4, 5, 30, 127, 128, 129, 300, 1000, 0xffffff]
const times = [0, 20, 20, 40, 0xfffffe, 0xffffff, 0x1000000, 0xffffffff, 0xfffffff0, 0x80000000]
const sizes = [1, 2, 3, 64, 127, 128, 129, 4096, 65_536, 0x7fffffff, 0, 0x80000000, 0xffffffff]

interface Open {
  length: number
  typeId: number
  field: number
  left: number
}

const basic = (out: Output, random: Random, format: number, id: number): void => {
  if (id < 64) out.u8((format << 6) | id)
  else if (id < 320 && random.once(2)) out.u8(format << 6).u8(id - 64)
  else
    out
      .u8((format << 6) | 1)
      .u8(id - 64)
      .u8((id - 64) >> 8)
}

/** Writes chunks as a sender would that keeps most rules. */
const chunks = (out: Output, random: Random): void => {
  const open = new Map<number, Open>()
  let chunkSize = 128
  const repeats = !random.once(4)
  for (let i = 1 + random.below(12); i > 0; i--) {
    const id = random.pick(ids)
    let state = open.get(id)
    let format = random.below(4)
    if (state === undefined && !random.once(20)) format = 0
    else if (state !== undefined && state.left > 0 && !random.once(20)) format = 3
    basic(out, random, format, id)
    if (format < 3) {
      const time = random.pick(times)
      const length = format < 2 ? random.pick(lengths) : (state?.length ?? 0)
      const typeId = format < 2 ? random.pick(types) : (state?.typeId ?? 0)
      out.u24(Math.min(time, 0xffffff))
      if (format < 2) out.u24(length).u8(typeId)
      if (format < 1) out.u32Le(random.once(10) ? random.u32() : 1)
      if (time >= 0xffffff) out.u32(time)
      state = { length, typeId, field: time, left: length }
      open.set(id, state)
    } else {
      if (state === undefined) continue
      if (state.field >= 0xffffff && repeats) out.u32(state.field)
      if (state.left === 0) state.left = state.length
    }
    const count = Math.min(state.left, chunkSize)
    if (count > 4096) {
      out.noise(random, random.below(600))
      return
    }
    if (state.typeId === 1 && state.left === state.length && count >= 4) {
      const size = random.pick(sizes)
      out.u32(size).noise(random, count - 4)
      if (state.left === count) chunkSize = size === 0 || size > 0x7fffffff ? chunkSize : Math.min(size, 0xffffff)
    } else if (state.typeId === 2 && count >= 4) out.u32(random.pick(ids)).noise(random, count - 4)
    else out.noise(random, count)
    state.left -= count
  }
}

interface Outcome {
  readonly messages: Array<Message>
  error: { readonly reason: string; readonly offset: number; readonly value: number } | undefined
}

const maxHeaderBytes = 18

const read = (
  limits: Partial<ChunkReader.ChunkReaderLimits>,
  maxChunkStreams: number,
  pieces: Iterable<Uint8Array>,
  stops = false
) => {
  const reader = ChunkReader.make(limits)
  if (stops) reader.stopAtCommands!()
  const outcome: Outcome = { messages: [], error: undefined }
  for (const piece of pieces) {
    let pushed = reader.push(piece)
    while (stops && Result.isSuccess(pushed) && reader.heldBytes! > 0) {
      const last = pushed.success.at(-1)?.typeId
      ensure(last === 20 || last === 17, "a stop without a command")
      // What was carried of a header may turn out to be payload, and is held with the rest.
      ensure(reader.heldBytes! <= piece.length + maxHeaderBytes, "more is held than was pushed")
      outcome.messages.push(...pushed.success)
      pushed = reader.push(new Uint8Array(0))
    }
    if (Result.isFailure(pushed)) {
      const { messages, offset, reason, value } = pushed.failure
      ensure(pushed.failure instanceof ChunkReader.ChunkError, "an error that is no ChunkError")
      outcome.messages.push(...messages)
      outcome.error = { reason, offset, value }
      ensure(reader.bufferedBytes === 0, "memory that is held after an error")
      const after = reader.push(piece)
      ensure(Result.isFailure(after) && after.failure.reason === "AlreadyFailed", "a reader that lives after an error")
      break
    }
    outcome.messages.push(...pushed.success)
    ensure(
      reader.bufferedBytes <= 3 * reader.bytesRead + 1024 * maxChunkStreams + 18,
      "memory beyond the bound",
      () => `${reader.bufferedBytes} of ${reader.bytesRead} bytes read`
    )
  }
  return outcome
}

/** Where pieces are smallest, they are so for about as many bytes of a long input, and larger around them. */
const finePieces = 48

/**
 * Pieces of a size that the input itself picks, each a view of one copy.
 *
 * A long input in single bytes would take most of the time of its check: there it is a part of it, anywhere, that is
 * taken to pieces so small.
 */
export const cut = (input: Uint8Array, random: Random): ReadonlyArray<Uint8Array> => {
  const largest = random.pick([1, 2, 7, 40, 400])
  const copy = input.slice()
  const pieces: Array<Uint8Array> = []
  const fineBytes = finePieces * largest
  const fineFrom = input.length > 2 * fineBytes ? random.below(input.length - fineBytes) : 0
  const fineTo = input.length > 2 * fineBytes ? fineFrom + fineBytes : input.length
  for (let at = 0; at < input.length; ) {
    const size = at >= fineFrom && at < fineTo ? 1 + random.below(largest) : 1 + random.below(400)
    const to = at < fineFrom ? Math.min(at + size, fineFrom) : at + size
    pieces.push(copy.subarray(at, to))
    at = to
  }
  return pieces
}

const tight: Partial<ChunkReader.ChunkReaderLimits> = {
  maxMessageBytes: 1000,
  maxChunkStreams: 4,
  maxReassemblyBytes: 1200,
  maxAnomalies: 1,
  maxChunkDebtBytes: 256
}
const open: Partial<ChunkReader.ChunkReaderLimits> = {
  maxMessageBytes: 0xffffff,
  maxChunkStreams: 65_600,
  minChunkSize: 0
}

const out = new Output()
const local = new Random()

export const chunkLayer: Layer = {
  name: "chunks",
  inputsInTests: 25_000,
  generate: (random) => {
    out.clear()
    chunks(out, random)
    return (random.once(3) ? out.damage(random, 0, 1 + random.below(3)) : out).finish()
  },
  check: (input) => {
    const random = local.start(hashOf(input), 0)
    const isTight = random.once(4)
    const limits = isTight ? tight : {}
    const streams = isTight ? 4 : 64
    const whole = read(limits, streams, [input])
    const parts = read(limits, streams, cut(input, random), random.once(2))
    ensure(same(whole.messages, parts.messages), "a partition gives other messages")
    ensure(same(whole.error, parts.error), "a partition gives another error", () =>
      JSON.stringify([whole.error, parts.error])
    )
    if (whole.messages.length === 0) return
    const written = ChunkWriter.make().writeAll(whole.messages)
    const reader = ChunkReader.make(open)
    const again = reader.push(written)
    ensure(reader.bufferedBytes === 0, "memory that is held behind whole messages")
    ensure(Result.isSuccess(again), "what was written cannot be read", () => String(Result.merge(again)))
    ensure(same(Result.getOrThrow(again), whole.messages), "a message changes when it is written and read")
  }
}
