/**
 * Measures the chunk codec on one core: `node test/bench/micro/chunk.ts [seconds per row]`.
 *
 * Messages of 200 KB are video frames at tens of Mbit/s, those of 300 bytes alternate audio and video. Bytes count headers.
 * A message that is read costs an allocation and one copy, which `encodeInto` shows without the allocation; of 300 bytes the
 * allocation is most of it.
 *
 * Node 24.21, 2 shared cores of an AMD EPYC; take the ratios. Best of many 0.2 s runs; while other processes use both
 * cores the figures fall by up to a half.
 *
 * | what                                                     |   MB/s | ns/message |
 * |----------------------------------------------------------|-------:|-----------:|
 * | read 200 KB, chunks of 60,000, pushes of 64 KiB          |  11553 |      17312 |
 * | read 200 KB, chunks of 4,096, pushes of 64 KiB           |  11420 |      17518 |
 * | read 200 KB, chunks of 128, pushes of 64 KiB             |   3695 |      54555 |
 * | read 200 KB, chunks of 60,000, pushes of 1,448           |   8242 |      24265 |
 * | read 200 KB, chunks of 60,000, pushes of 1               |     51 |    3959520 |
 * | read 300 B, chunks of 60,000, pushes of 64 KiB           |    569 |        529 |
 * | read 300 B, chunks of 128, pushes of 64 KiB              |    442 |        685 |
 * | write 200 KB, chunks of 60,000                           |   7391 |      27060 |
 * | write 200 KB, chunks of 128                              |   3041 |      66276 |
 * | write 300 B, chunks of 60,000                            |   4540 |         66 |
 * | encodeInto 200 KB, chunks of 60,000                      |  53770 |       3720 |
 * | encodeInto 300 B, chunks of 60,000                       |  13998 |         22 |
 */
import * as Result from "effect/Result"
import * as ChunkReader from "../../../src/protocol/ChunkReader.ts"
import * as ChunkWriter from "../../../src/protocol/ChunkWriter.ts"
import { AUDIO, type Message, VIDEO } from "../../../src/protocol/Message.ts"

const seconds = Number(process.argv[2] ?? 2)

const media = (typeId: number, bytes: number, timestamp: number): Message => ({
  typeId,
  streamId: 1,
  chunkStreamId: typeId === AUDIO ? 4 : 6,
  timestamp,
  payload: new Uint8Array(bytes).map((_, i) => (i * 31 + timestamp) & 0xff)
})

const video = Array.from({ length: 40 }, (_, i) => media(VIDEO, 200_000, 40 * i))
const small = Array.from({ length: 20_000 }, (_, i) => media(i % 2 === 0 ? VIDEO : AUDIO, 300, 10 * i))

const encode = (messages: ReadonlyArray<Message>, chunkSize: number): Uint8Array => {
  const writer = ChunkWriter.make({ chunkSize })
  return writer.writeAll(messages)
}

const pieces = (bytes: Uint8Array, size: number): ReadonlyArray<Uint8Array> => {
  const out: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += size) out.push(bytes.slice(at, at + size))
  return out
}

/** Runs `work` for the wanted time and gives bytes per second: the best fifth of a second, for machines shared with others. */
const rate = (bytes: number, work: () => void): number => {
  const warm = performance.now() + 300
  while (performance.now() < warm) work()
  const end = performance.now() + seconds * 1000
  let best = 0
  while (performance.now() < end) {
    const from = performance.now()
    let rounds = 0
    do {
      work()
      rounds++
    } while (performance.now() - from < 200)
    best = Math.max(best, (bytes * rounds) / ((performance.now() - from) / 1000))
  }
  return best
}

const report = (name: string, bytes: number, messages: number, work: () => void): void => {
  const perSecond = rate(bytes, work)
  const mbs = (perSecond / 1e6).toFixed(0).padStart(6)
  const perMessage = ((1e9 * (bytes / messages)) / perSecond).toFixed(0).padStart(10)
  console.log(` * | ${name.padEnd(56)} | ${mbs} | ${perMessage} |`)
}

const read = (name: string, messages: ReadonlyArray<Message>, chunkSize: number, pushBytes: number): void => {
  const bytes = encode(messages, chunkSize)
  const buffers = pieces(bytes, pushBytes)
  const reader = (): ChunkReader.ChunkReader => {
    const made = ChunkReader.make()
    const setChunkSize = Uint8Array.of(2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, chunkSize >> 8, chunkSize & 0xff)
    made.push(setChunkSize)
    return made
  }
  report(`read ${name}`, bytes.length, messages.length, () => {
    const one = reader()
    let count = 0
    for (const buffer of buffers) count += Result.getOrThrow(one.push(buffer)).length
    if (count !== messages.length) throw new Error(`${count} messages of ${messages.length}`)
  })
}

console.log(` * | ${"what".padEnd(56)} |   MB/s | ns/message |`)
console.log(` * |${"-".repeat(58)}|-------:|-----------:|`)
read("200 KB, chunks of 60,000, pushes of 64 KiB", video, 60_000, 65_536)
read("200 KB, chunks of 4,096, pushes of 64 KiB", video, 4096, 65_536)
read("200 KB, chunks of 128, pushes of 64 KiB", video, 128, 65_536)
read("200 KB, chunks of 60,000, pushes of 1,448", video, 60_000, 1448)
read("200 KB, chunks of 60,000, pushes of 1", video.slice(0, 5), 60_000, 1)
read("300 B, chunks of 60,000, pushes of 64 KiB", small, 60_000, 65_536)
read("300 B, chunks of 128, pushes of 64 KiB", small, 128, 65_536)

const write = (name: string, messages: ReadonlyArray<Message>, chunkSize: number): void => {
  const length = encode(messages, chunkSize).length
  report(`write ${name}`, length, messages.length, () => encode(messages, chunkSize))
}
write("200 KB, chunks of 60,000", video, 60_000)
write("200 KB, chunks of 128", video, 128)
write("300 B, chunks of 60,000", small, 60_000)

const target = new Uint8Array(16 * 1024 * 1024)
const encodeInto = (name: string, messages: ReadonlyArray<Message>, chunkSize: number): void => {
  const run = (): number => {
    let at = 0
    for (const m of messages) {
      at = ChunkWriter.encodeInto(target, at, m.typeId, 1, m.chunkStreamId, m.timestamp, m.payload, chunkSize)
    }
    return at
  }
  report(`encodeInto ${name}`, run(), messages.length, run)
}
encodeInto("200 KB, chunks of 60,000", video, 60_000)
encodeInto("300 B, chunks of 60,000", small, 60_000)
