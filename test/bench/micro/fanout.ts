/**
 * Measures the live room on one core: `node test/bench/micro/fanout.ts [seconds per row]`.
 *
 * Sinks only count, so that the rows show what a delivery costs besides the socket. A message is a video frame of 5,000
 * bytes or an audio frame of 300; publishing, encoding and copying it are in the rows that say so, shared by all viewers.
 *
 * Node 24.21, 2 shared cores of an AMD EPYC; best of many 20 ms runs. Take the ratios.
 *
 * | what                                                                   |       ns |
 * |------------------------------------------------------------------------|---------:|
 * | bare loop over 1,000 sinks, per sink                                   |      1.2 |
 * | publish and flush without viewers, per message of 5,000 or 300 bytes   |      264 |
 * | publish 2 messages and flush to 1,000 viewers, per delivery            |      3.6 |
 * | publish 20 messages and flush to 1,000 viewers, per delivery           |      8.6 |
 * | the same with another message stream id, per delivery of 2 messages    |     21.9 |
 * | the same for viewers who filter audio, per delivery of 2 messages      |     37.9 |
 * | queue for 1,000 full sockets, drained every 50 flushes, per delivery   |     80.4 |
 * | the same with 5 s of media and drops after 1 s, drained every 250      |      263 |
 * | join and leave between two flushes, GOP of 1 s                         |      151 |
 * | flush and 10 joins, GOP of 1 s, per join                               |     1558 |
 */
import { defaultLiveOptions, type LiveOptions } from "../../../src/live/LiveOptions.ts"
import * as LiveStream from "../../../src/live/LiveStream.ts"
import type { Outbox, ViewerSink } from "../../../src/live/Outbox.ts"
import type { Message } from "../../../src/protocol/Message.ts"
import * as LiveArbitrary from "../../../src/testing/LiveArbitrary.ts"

const seconds = Number(process.argv[2] ?? 1)
const viewers = 1_000
const frameBytes = 5_000

/** A sink that does next to nothing: what is left is the cost of the live room. */
class CountingSink implements ViewerSink {
  bytes = 0
  writes = 0
  readonly isFull: boolean
  constructor(full: boolean) {
    this.isFull = full
  }
  write(bytes: Uint8Array): boolean {
    this.bytes += bytes.length
    this.writes++
    return !this.isFull
  }
  onStart(): void {}
  onDry(): void {}
  onResume(): void {}
  onEnd(): void {}
  onOverflow(): void {}
}

const unbounded: LiveOptions = {
  ...defaultLiveOptions,
  outbox: { ...defaultLiveOptions.outbox, maxDelayMs: 1e9, maxBytes: 1e12, maxRecords: 1e9, stallTimeoutMs: 1e12 }
}

/** A stream with a GOP of 50 frames, published message by message. */
class Publisher {
  readonly stream: LiveStream.LiveStream
  readonly #keyframe = LiveArbitrary.message({ kind: "Keyframe", number: 1 }, 0, frameBytes)
  readonly #interFrame = LiveArbitrary.message({ kind: "InterFrame", number: 2 }, 0, frameBytes)
  readonly #audio = LiveArbitrary.message({ kind: "AudioFrame", number: 3 }, 0, 300)
  #count = 0
  nowMs = 0

  constructor(options: LiveOptions) {
    this.stream = LiveStream.make("live/bench", { options })
    this.stream.beginSession(0)
    this.stream.publish(LiveArbitrary.message({ kind: "VideoHeader", number: 0 }, 0), 0)
    this.stream.publish(LiveArbitrary.message({ kind: "AudioHeader", number: 0 }, 0), 0)
  }

  next(): void {
    this.nowMs += 20
    const timestamp = this.nowMs >>> 0
    const video = this.#count++ % 50 === 0 ? this.#keyframe : this.#interFrame
    this.stream.publish(at(video, timestamp), this.nowMs)
    this.stream.publish(at(this.#audio, timestamp), this.nowMs)
  }

  turn(messages: number): void {
    for (let i = 0; i < messages; i += 2) this.next()
    this.stream.flush(this.nowMs)
  }
}

const at = ({ chunkStreamId, payload, streamId, typeId }: Message, timestamp: number): Message => ({
  typeId,
  streamId,
  chunkStreamId,
  timestamp,
  payload
})

/** Nanoseconds per unit: the best of many short runs, as other processes share the cores. */
const measure = (name: string, units: number, run: () => void): number => {
  const until = performance.now() + 1_000 * seconds
  let best = Number.POSITIVE_INFINITY
  while (performance.now() < until) {
    const start = performance.now()
    let rounds = 0
    while (performance.now() - start < 20) {
      run()
      rounds++
    }
    best = Math.min(best, ((performance.now() - start) * 1e6) / rounds / units)
  }
  console.log(`| ${name.padEnd(70)} | ${best.toFixed(best < 100 ? 1 : 0).padStart(8)} |`)
  return best
}

const joined = (publisher: Publisher, full: boolean, messageStreamId = 1): ReadonlyArray<Outbox> => {
  publisher.turn(2)
  return Array.from({ length: viewers }, () =>
    publisher.stream.join(new CountingSink(full), publisher.nowMs, messageStreamId)
  )
}

console.log(`| ${"what".padEnd(70)} | ${"ns".padStart(8)} |`)
console.log(`|${"-".repeat(72)}|${"-".repeat(9)}:|`)

{
  const sinks = Array.from({ length: viewers }, () => new CountingSink(false))
  const bytes = new Uint8Array(10)
  measure("bare loop over 1,000 sinks, per sink", viewers, () => {
    for (let i = 0; i < sinks.length; i++) sinks[i]!.write(bytes)
  })
}
{
  const publisher = new Publisher(defaultLiveOptions)
  measure("publish and flush without viewers, per message of 5,000 or 300 bytes", 20, () => publisher.turn(20))
}
{
  const publisher = new Publisher(defaultLiveOptions)
  joined(publisher, false)
  measure("publish 2 messages and flush to 1,000 viewers, per delivery", viewers, () => publisher.turn(2))
}
{
  const publisher = new Publisher(defaultLiveOptions)
  joined(publisher, false)
  measure("publish 20 messages and flush to 1,000 viewers, per delivery", viewers, () => publisher.turn(20))
}
{
  const publisher = new Publisher(defaultLiveOptions)
  joined(publisher, false, 2)
  measure("the same with another message stream id, per delivery of 2 messages", viewers, () => publisher.turn(2))
}
{
  const publisher = new Publisher(defaultLiveOptions)
  for (const outbox of joined(publisher, false)) outbox.receiveAudio(false)
  measure("the same for viewers who filter audio, per delivery of 2 messages", viewers, () => publisher.turn(2))
}
{
  const publisher = new Publisher(unbounded)
  const blocked = joined(publisher, true)
  let turns = 0
  measure("queue for 1,000 full sockets, drained every 50 flushes, per delivery", viewers, () => {
    publisher.turn(2)
    if (++turns % 50 === 0) for (const outbox of blocked) outbox.drained(publisher.nowMs)
  })
}
{
  const publisher = new Publisher({
    ...unbounded,
    outbox: { ...unbounded.outbox, maxDelayMs: 1_000, maxBytes: 1e12 }
  })
  const blocked = joined(publisher, true)
  let turns = 0
  measure("the same with 5 s of media and drops after 1 s, drained every 250", viewers, () => {
    publisher.turn(2)
    if (++turns % 250 === 0) for (const outbox of blocked) outbox.drained(publisher.nowMs)
  })
}
{
  const publisher = new Publisher(defaultLiveOptions)
  for (let i = 0; i < 49; i++) publisher.turn(2)
  const sink = new CountingSink(false)
  measure("join and leave between two flushes, GOP of 1 s", 1, () => {
    publisher.stream.join(sink, publisher.nowMs).leave(publisher.nowMs)
  })
  measure("flush and 10 joins, GOP of 1 s, per join", 10, () => {
    publisher.turn(2)
    for (let i = 0; i < 10; i++) publisher.stream.join(sink, publisher.nowMs).leave(publisher.nowMs)
  })
}
