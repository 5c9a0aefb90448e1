import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Batch from "../../src/live/Batch.ts"
import { Readdressed } from "../../src/live/Batch.ts"
import { defaultLiveOptions, type LiveOptions, type OutboxOptions } from "../../src/live/LiveOptions.ts"
import * as LiveStream from "../../src/live/LiveStream.ts"
import { BlockedViewers, Outbox, type Prologue } from "../../src/live/Outbox.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as ChunkReader from "../../src/protocol/ChunkReader.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as LiveArbitrary from "../../src/testing/LiveArbitrary.ts"
import { integer } from "../../src/testing/MessageArbitrary.ts"
import { letters, Recording } from "./Recording.ts"

const options: OutboxOptions = {
  maxDelayMs: 1_000,
  maxBytes: 100_000,
  maxRecords: 1_000,
  stallTimeoutMs: 5_000,
  mergeBytes: 500
}

const nothing: Prologue = { runs: [], waiting: 0 }

/** One viewer with a socket that fills up, and a stream that flushes one message after the other, 100 ms apart. */
const setup = (overrides: Partial<OutboxOptions> = {}, capacity = 1, prologue: Prologue = nothing) => {
  const recording = new Recording(capacity)
  const released: Array<string> = []
  const blocked = new BlockedViewers()
  const outbox = new Outbox(1, recording, 1, { ...options, ...overrides }, blocked, {
    released: (_outbox, _nowMs, reason) => released.push(reason),
    videoTracks: () => 1,
    sharedBytes: () => 0,
    sharedFrames: () => 0,
    fastChanged: () => undefined
  })
  outbox.start(prologue, 0)
  let nowMs = 0
  let clockMs = 0
  let number = 0
  const kinds = { K: "Keyframe", i: "InterFrame", a: "AudioFrame", M: "Metadata", V: "VideoHeader" } as const
  const flush = (text: string, stepMs = 100, bytes = 0, wallMs = stepMs): void => {
    for (const letter of text) {
      nowMs += wallMs
      clockMs += stepMs
      const kind = kinds[letter as keyof typeof kinds]
      const message = LiveArbitrary.message({ kind, number: number++ }, clockMs, bytes)
      const batch = Batch.encode(
        [
          {
            kind: message.typeId === Message.AUDIO ? "audio" : message.typeId === Message.VIDEO ? "video" : "data",
            role:
              letter === "K" ? "Keyframe" : letter === "M" ? "Metadata" : letter === "V" ? "SequenceHeader" : "Frame",
            cacheKey: "",
            typeId: message.typeId,
            timestamp: clockMs,
            trackBit: message.typeId === Message.VIDEO ? 1 : 0,
            clockMs,
            receivedAtMs: nowMs,
            payload: message.payload
          }
        ],
        4_096
      )
      outbox.deliver(batch, new Readdressed(batch), nowMs)
    }
  }
  const drain = (writes = Number.POSITIVE_INFINITY): string => {
    const before = recording.received(4_096).length
    recording.makeRoom(writes)
    outbox.drained(nowMs)
    return letters(recording.received(4_096).slice(before))
  }
  return {
    outbox,
    recording,
    released,
    blocked,
    flush,
    drain,
    wait: (ms: number) => {
      nowMs += ms
    },
    now: () => nowMs
  }
}

describe("Outbox: a full socket", () => {
  it("keeps what comes in order, and writes it merged when the socket drains", () => {
    const { drain, flush, outbox, recording } = setup()
    flush("KiaiM")
    assert.isTrue(outbox.blocked)
    assert.strictEqual(outbox.statistics().queuedRecords, 4)
    assert.strictEqual(drain(), "i1 a2 i3 M4")
    assert.strictEqual(recording.writes.length, 2)
    assert.isFalse(outbox.blocked)
    assert.isTrue(outbox.fast)
    assert.strictEqual(outbox.statistics().queuedBytes, 0)
  })

  it("merges up to its bound, and stops when the socket is full again", () => {
    const { drain, flush, outbox, recording } = setup()
    flush("Kiiiiiii", 100, 200)
    assert.strictEqual(drain(2), "i1 i2 i3 i4")
    assert.strictEqual(recording.writes.length, 3)
    assert.isAtMost(recording.writes[1]!.length, 500)
    assert.isTrue(outbox.blocked)
    assert.strictEqual(drain(), "i5 i6 i7")
  })

  it("writes what is large from where it lies, between small ones that are merged", () => {
    const { drain, flush, recording } = setup({ mergeBytes: 100_000, maxBytes: 1_000_000 })
    flush("Ka")
    flush("aa")
    flush("K", 100, 20_000)
    flush("aa")
    assert.strictEqual(drain(), "a1 a2 a3 K4 a5 a6")
    const [small, large, rest, ...others] = recording.writes.slice(1)
    assert.isBelow(small!.length, 1_000)
    assert.isAtLeast(large!.length, 20_000)
    assert.strictEqual(large!.length, large!.buffer.byteLength, "the batch itself")
    assert.isBelow(rest!.length, 1_000)
    assert.deepStrictEqual(others, [])
  })

  it("holds references, not copies: what lies together in a batch is written from it", () => {
    const stream = LiveStream.make("live/a", { options: { ...defaultLiveOptions, outbox: options } })
    stream.beginSession(0)
    const slow = new Recording(1)
    const quick = new Recording()
    const outbox = stream.join(slow, 0)
    stream.join(quick, 0)
    const publish = (kind: LiveArbitrary.MediaContent["kind"], number: number) =>
      stream.publish(LiveArbitrary.message({ kind, number }, number), 0)
    publish("VideoHeader", 0)
    publish("Keyframe", 1)
    stream.flush(0)
    publish("InterFrame", 2)
    publish("InterFrame", 3)
    stream.flush(0)
    slow.makeRoom(1)
    outbox.drained(0)
    assert.strictEqual(slow.writes[1]!.buffer, quick.writes[1]!.buffer)
    assert.deepStrictEqual(slow.writes[1], quick.writes[1])
  })

  it("drops old inter frames up to a later keyframe, and keeps keyframes, headers, audio and metadata", () => {
    const { drain, flush, outbox } = setup()
    flush("KiaiVKiMiaKiiai")
    const received = drain()
    // 1.5 s wait; what is older than half a second goes, and what depends on it.
    assert.strictEqual(received, "a2 V4 K5 M7 a9 K10 i11 i12 a13 i14")
    const { drops } = outbox.statistics()
    assert.strictEqual(drops.late + drops.orphaned, 4)
  })

  it("drops inter frames until the next keyframe comes where the queue has none", () => {
    const { drain, flush } = setup()
    flush("Kiiiiiiiiiiii")
    flush("aiiKi")
    assert.strictEqual(drain(), "a13 K16 i17")
  })

  it("judges by waiting as well as by media time", () => {
    const media = setup()
    media.flush("Kiiiiiiiiiiii", 100, 0, 0)
    assert.isAbove(media.outbox.statistics().drops.late, 0)
    const waiting = setup()
    waiting.flush("Kiiiiiiiiiiii", 0, 0, 100)
    assert.isAbove(waiting.outbox.statistics().drops.late, 0)
    const neither = setup()
    neither.flush("Kiiiiiiiiii")
    assert.strictEqual(neither.outbox.statistics().drops.late, 0)
  })

  it("drops all waiting inter frames at its bound in bytes, and removes the viewer where that is not enough", () => {
    const light = setup({ maxBytes: 2_000 })
    light.flush("Kiiiiiiiiii", 10, 200)
    assert.strictEqual(light.outbox.ended, false)
    assert.isAbove(light.outbox.statistics().drops.full, 0)
    assert.isAtMost(light.outbox.statistics().queuedBytes, 2_000)
    light.flush("Ki", 10, 200)
    assert.strictEqual(light.drain(), "K11 i12")
    const heavy = setup({ maxBytes: 2_000 })
    heavy.flush("KKKKKKKKKKK", 10, 200)
    assert.strictEqual(heavy.recording.ended, "Full")
    assert.deepStrictEqual(heavy.released, ["Full"])
    assert.strictEqual(heavy.outbox.statistics().queuedRecords, 0)
    assert.strictEqual(heavy.blocked.size, 0)
  })

  it("bounds the number of records, however small", () => {
    const { flush, outbox, recording } = setup({ maxRecords: 20 })
    flush(`K${"a".repeat(20)}`, 10)
    assert.isFalse(outbox.ended)
    flush("a", 10)
    assert.strictEqual(recording.ended, "Full")
  })

  it("removes a viewer whose socket does not drain in time", () => {
    const { blocked, flush, recording, wait, now } = setup()
    flush("K")
    assert.strictEqual(blocked.nextStallMs(), 5_100)
    wait(4_999)
    blocked.removeStalled(now())
    assert.isUndefined(recording.ended)
    wait(1)
    blocked.removeStalled(now())
    assert.strictEqual(recording.ended, "Stalled")
    assert.strictEqual(blocked.nextStallMs(), undefined)
  })

  it("removes a viewer that drains a little now and then and still falls behind", () => {
    const { drain, flush, recording } = setup({ maxDelayMs: 1_000, stallTimeoutMs: 2_000, mergeBytes: 1 })
    for (let i = 0; i < 60 && recording.ended === undefined; i++) {
      flush("aa")
      drain(1)
    }
    assert.strictEqual(recording.ended, "Stalled")
  })

  it("writes a join in pieces of whole messages, one for each turn, where the sink can be called later", () => {
    const frame = (number: number, size: number) => ({
      kind: "video" as const,
      role: "Keyframe" as const,
      typeId: Message.VIDEO,
      timestamp: number,
      payload: Uint8Array.from({ length: size }, (_, i) => (i === 0 ? 0x17 : i === 1 ? 1 : number))
    })
    const runs = [
      Batch.encodeMessages([frame(1, 40_000), frame(2, 20_000), frame(3, 40_000), frame(4, 100_000)], 128),
      Batch.encodeMessages([frame(5, 10)], 128)
    ]
    const writes: Array<Uint8Array> = []
    let asked = 0
    const ignore = () => {}
    const sink = {
      write: (bytes: Uint8Array) => {
        writes.push(bytes)
        return true
      },
      later: () => {
        asked++
      },
      onStart: ignore,
      onDry: ignore,
      onResume: ignore,
      onEnd: ignore,
      onOverflow: ignore
    }
    const outbox = new Outbox(1, sink, 1, defaultLiveOptions.outbox, new BlockedViewers(), {
      released: ignore,
      videoTracks: () => 0,
      sharedBytes: () => 0,
      sharedFrames: () => 0,
      fastChanged: () => undefined
    })
    outbox.start({ runs, waiting: 0 }, 0)
    for (let turn = 0; turn < 3; turn++) {
      assert.strictEqual(writes.length, turn + 1)
      assert.strictEqual(asked, turn + 1)
      outbox.drained(turn)
    }
    assert.strictEqual(outbox.fast, true)
    assert.strictEqual(asked, 3)
    const counts = writes.map((bytes) => Result.getOrThrow(ChunkReader.make().push(bytes)).length)
    assert.deepStrictEqual(counts, [1, 2, 1, 1], "the first piece ends with a large message")
    const expected = Bytes.concat(runs.map((run) => run.bytes))
    assert.isTrue(Bytes.equals(Bytes.concat(writes), expected))
  })

  it("writes the rest of a join before anything else once the socket drains", () => {
    const runs = [1, 2, 3].map((number) =>
      Batch.encodeMessages(
        [
          {
            kind: "video",
            role: "Keyframe",
            typeId: Message.VIDEO,
            timestamp: 0,
            payload: LiveArbitrary.payload({ kind: "Keyframe", number })
          }
        ],
        4_096
      )
    )
    const { drain, flush, recording } = setup({}, 1, { ...nothing, runs })
    assert.strictEqual(recording.writes.length, 1)
    assert.strictEqual(recording.writes[0], runs[0]!.bytes)
    flush("i")
    assert.strictEqual(drain(1), "K2")
    assert.strictEqual(drain(), "K3 i0")
  })

  it("reports drops at most once per second, and all of them in the end", () => {
    const { drain, flush, outbox, recording, wait } = setup()
    flush(`K${"i".repeat(30)}`)
    flush("iiiii", 10)
    const total = outbox.statistics().drops.late + outbox.statistics().drops.orphaned
    assert.isAtMost(recording.drops.length, 3)
    wait(1_000)
    drain()
    const reported = recording.drops.reduce((sum, { full, late, orphaned }) => sum + full + late + orphaned, 0)
    assert.strictEqual(reported, total)
  })
})

/** A batch of frames of the given sizes: `K`, `i` and `a` as in `setup`. */
const batchOf = (frames: ReadonlyArray<readonly [letter: string, bytes: number]>, nowMs: number): Batch.Batch =>
  Batch.encode(
    frames.map(([letter, bytes], number) => {
      const kind = letter === "a" ? "AudioFrame" : letter === "K" ? "Keyframe" : "InterFrame"
      const { payload, typeId } = LiveArbitrary.message({ kind, number }, nowMs, bytes)
      return {
        kind: letter === "a" ? "audio" : "video",
        role: letter === "K" ? "Keyframe" : "Frame",
        cacheKey: "",
        typeId,
        timestamp: nowMs,
        trackBit: letter === "a" ? 0 : 1,
        clockMs: nowMs,
        receivedAtMs: nowMs,
        payload
      }
    }),
    60_000
  )

describe("Outbox: the memory that it keeps alive", () => {
  it("is bounded for a stalled viewer of 100 Mbit/s, audio and video in shared batches", () => {
    for (const [filter, seconds] of [
      ["none", 20],
      ["audio only", 20],
      ["video lost", 20]
    ] as const) {
      const maxBytes = 4_000_000
      const sink = new Recording(1)
      const outbox = new Outbox(
        1,
        sink,
        1,
        { ...defaultLiveOptions.outbox, maxBytes, mergeBytes: 1, stallTimeoutMs: 60_000 },
        new BlockedViewers(),
        {
          released: () => {},
          videoTracks: () => 1,
          sharedBytes: () => 0,
          sharedFrames: () => 0,
          fastChanged: () => undefined
        }
      )
      outbox.start(nothing, 0)
      if (filter === "audio only") outbox.receiveVideo(false)
      for (let frame = 0; frame < seconds * 25; frame++) {
        const keyframe = filter === "video lost" ? frame === 0 : frame % 50 === 0
        const batch = batchOf(
          [
            ["a", 300],
            [keyframe ? "K" : "i", keyframe ? 50_000 : 510_000],
            ["a", 300]
          ],
          frame * 40
        )
        outbox.deliver(batch, new Readdressed(batch), frame * 40)
        const { heldBytes, queuedBytes } = outbox.statistics()
        assert.isAtMost(heldBytes, maxBytes, filter)
        assert.isAtMost(queuedBytes, heldBytes)
      }
      assert.isFalse(outbox.ended, filter)
      assert.isAbove(outbox.statistics().queuedRecords, 900, "audio waits")
      // Each record is written alone, as a view of the buffer that it waited in: exactly those were counted.
      const counted = outbox.statistics().heldBytes
      sink.writes.length = 0
      sink.makeRoom(Number.POSITIVE_INFINITY)
      outbox.drained(seconds * 1_000)
      const reachable = new Set(sink.writes.map(({ buffer }) => buffer))
      assert.strictEqual(
        [...reachable].reduce((sum, buffer) => sum + buffer.byteLength, 0),
        counted
      )
      assert.strictEqual(outbox.statistics().heldBytes, 0)
    }
  })

  it.prop(
    "counts each batch once, keeps what waits as it was, and falls to nothing when all is written",
    [
      Arbitrary.array(
        Arbitrary.array(Arbitrary.all([integer(0, 5), integer(0, 400)]), { minLength: 1, maxLength: 6 }),
        { minLength: 5, maxLength: 40 }
      ),
      integer(1, 3)
    ],
    ([batches, drains]) => {
      const maxBytes = 8_000
      const sink = new Recording(1)
      const outbox = new Outbox(1, sink, 1, { ...options, maxBytes, mergeBytes: 700 }, new BlockedViewers(), {
        released: () => {},
        videoTracks: () => 1,
        sharedBytes: () => 0,
        sharedFrames: () => 0,
        fastChanged: () => undefined
      })
      outbox.start(nothing, 0)
      const sent = new Set<string>()
      let nowMs = 0
      for (const frames of batches) {
        nowMs += 100
        const batch = batchOf(
          frames.map(([choice, bytes]) => ["Kiiiaa"[choice]!, bytes] as const),
          nowMs
        )
        for (const { end, start } of batch.records) sent.add(batch.bytes.subarray(start, end).join())
        outbox.deliver(batch, new Readdressed(batch), nowMs)
        assert.isAtMost(outbox.statistics().heldBytes, maxBytes)
        assert.isAtMost(outbox.statistics().queuedBytes, outbox.statistics().heldBytes)
        if (nowMs % 700 === 0) {
          sink.makeRoom(drains)
          outbox.drained(nowMs)
        }
      }
      sink.makeRoom(Number.POSITIVE_INFINITY)
      outbox.drained(nowMs)
      const { heldBytes, queuedBytes } = outbox.statistics()
      assert.deepStrictEqual([heldBytes, queuedBytes], [0, 0])
      const messages = sink.messages(60_000)
      for (const message of messages) {
        const payload = message.payload
        assert.isTrue(
          [...sent].some((bytes) => bytes.endsWith(payload.join())),
          "a message that was not sent"
        )
      }
    }
  )
})

describe("Outbox: a socket that is full at the start", () => {
  const runs = [1, 2].map((number) =>
    Batch.encodeMessages(
      [
        {
          kind: "video",
          role: "Keyframe",
          typeId: Message.VIDEO,
          timestamp: 0,
          payload: LiveArbitrary.payload({ kind: "Keyframe", number }, 100_000)
        }
      ],
      60_000
    )
  )

  it("gets nothing before it has drained, and the sink is asked to say so", () => {
    const recording = new Recording()
    let asked = 0
    const sink = { ...recording, full: () => true, whenDrained: () => asked++ }
    const outbox = new Outbox(1, sink, 1, options, new BlockedViewers(), {
      released: () => {},
      videoTracks: () => 0,
      sharedBytes: () => 0,
      sharedFrames: () => 0,
      fastChanged: () => undefined
    })
    outbox.start({ runs, waiting: 0 }, 0)
    assert.deepStrictEqual([outbox.blocked, asked, recording.writes.length], [true, 1, 0])
    assert.strictEqual(outbox.stallsAtMs, options.stallTimeoutMs)
    outbox.drained(1)
    assert.strictEqual(letters(recording.received(60_000)), "K1 K2")
    assert.isTrue(outbox.fast)
  })

  it("copies no more of a join than is being written for another message stream id", () => {
    const run = Batch.encodeMessages(
      Array.from({ length: 8 }, (_, number) => ({
        kind: "video" as const,
        role: "Keyframe" as const,
        typeId: Message.VIDEO,
        timestamp: 0,
        payload: LiveArbitrary.payload({ kind: "Keyframe", number }, 30_000)
      })),
      60_000
    )
    const recording = new Recording(1)
    const outbox = new Outbox(1, recording, 9, options, new BlockedViewers(), {
      released: () => {},
      videoTracks: () => 0,
      sharedBytes: () => 0,
      sharedFrames: () => 0,
      fastChanged: () => undefined
    })
    outbox.start({ runs: [run], waiting: 0 }, 0)
    assert.strictEqual(recording.writes.length, 1)
    assert.isAtMost(recording.writes[0]!.buffer.byteLength, 64 * 1024)
    recording.makeRoom(Number.POSITIVE_INFINITY)
    outbox.drained(0)
    const received = recording.received(60_000)
    assert.strictEqual(letters(received), "K0 K1 K2 K3 K4 K5 K6 K7")
    for (const { streamId } of received) assert.strictEqual(streamId, 9)
  })
})

describe("Outbox: tracks that are no more", () => {
  it("do not keep a viewer off the fast path", () => {
    let tracks = 3
    const outbox = new Outbox(1, new Recording(), 1, options, new BlockedViewers(), {
      released: () => {},
      videoTracks: () => tracks,
      sharedBytes: () => 0,
      sharedFrames: () => 0,
      fastChanged: () => undefined
    })
    outbox.start({ runs: [], waiting: 3 }, 0)
    const keyframe = batchOf([["K", 10]], 1)
    outbox.deliver(keyframe, new Readdressed(keyframe), 1)
    assert.isFalse(outbox.fast)
    // The next session has one track.
    tracks = 1
    const inter = batchOf([["i", 10]], 2)
    outbox.deliver(inter, new Readdressed(inter), 2)
    assert.isTrue(outbox.fast)
  })
})

describe("Outbox: its end", () => {
  it("waits for a full socket though nothing is queued, as long as a socket may be full", () => {
    const { blocked, drain, flush, outbox, recording } = setup()
    flush("K")
    outbox.end("Unpublished", 200)
    assert.isUndefined(recording.ended)
    assert.strictEqual(drain(), "")
    assert.strictEqual(recording.ended, "Unpublished")
    const stalled = setup()
    stalled.flush("K")
    stalled.outbox.end("Unpublished", 200)
    stalled.blocked.removeStalled(5_100)
    assert.strictEqual(stalled.recording.ended, "Stalled")
    assert.strictEqual(blocked.size, 0)
  })

  it("is told once, and the sink is not called again", () => {
    const { blocked, flush, outbox, recording, released } = setup()
    flush("Kii")
    outbox.leave(0)
    outbox.leave(0)
    outbox.end("Unpublished", 0)
    outbox.overflow("Full", 0)
    flush("i")
    recording.makeRoom(9)
    outbox.drained(0)
    assert.deepStrictEqual(recording.calls, ["start"])
    assert.deepStrictEqual(released, ["Left"])
    assert.strictEqual(recording.writes.length, 1)
    assert.strictEqual(blocked.size, 0)
  })

  it("drops nothing more and takes nothing more while it waits for its end", () => {
    const { drain, flush, outbox, recording } = setup()
    flush("Kii")
    outbox.end("PublisherLost", 0)
    flush("i")
    assert.isUndefined(recording.ended)
    assert.strictEqual(drain(), "i1 i2")
    assert.strictEqual(recording.ended, "PublisherLost")
  })

  it("is not prevented by a sink that throws", () => {
    for (const name of ["onStart", "onDry", "onResume", "onEnd", "onOverflow"] as const) {
      const released: Array<string> = []
      const sink = {
        ...new Recording(),
        [name]: () => {
          throw new Error(name)
        }
      }
      const outbox = new Outbox(1, sink, 1, options, new BlockedViewers(), {
        released: (_outbox, _nowMs, reason) => released.push(reason),
        videoTracks: () => 0,
        sharedBytes: () => 0,
        sharedFrames: () => 0,
        fastChanged: () => undefined
      })
      outbox.start(nothing, 0)
      outbox.dry(0)
      outbox.resume(0)
      if (name === "onOverflow") outbox.overflow("Full", 0)
      else outbox.end("Unpublished", 0)
      assert.strictEqual(released.length, 1, name)
    }
  })
})

describe("Outbox: statistics", () => {
  it("count bytes and frames of the fast and the slow path alike", () => {
    const live: LiveOptions = { ...defaultLiveOptions, outbox: options }
    const stream = LiveStream.make("live/a", { options: live })
    stream.beginSession(0)
    const recordings = [new Recording(), new Recording(1), new Recording()]
    const viewers = recordings.map((recording, index) => stream.join(recording, 7, index === 2 ? 3 : 1))
    const kinds = ["VideoHeader", "Keyframe", "InterFrame", "InterFrame", "VideoEnd"] as const
    kinds.forEach((kind, number) => {
      stream.publish(LiveArbitrary.message({ kind, number }, number), 7)
      stream.flush(7)
    })
    recordings[1]!.makeRoom(100)
    viewers[1]!.drained(7)
    for (const [index, viewer] of viewers.entries()) {
      const statistics = viewer.statistics()
      assert.strictEqual(statistics.frames, 3)
      assert.strictEqual(
        statistics.bytes,
        recordings[index]!.writes.reduce((sum, bytes) => sum + bytes.length, 0)
      )
      assert.strictEqual(statistics.joinedAtMs, 7)
    }
  })
})
