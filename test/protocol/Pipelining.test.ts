import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as ChunkReader from "../../src/protocol/ChunkReader.ts"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import * as Command from "../../src/protocol/Command.ts"
import * as Message from "../../src/protocol/Message.ts"
import { defaultOptions, type SessionOptions, type SessionOutput } from "../../src/protocol/Session.ts"
import { media, SessionPeer } from "../support/SessionPeer.ts"

const call = (name: string, values: Parameters<typeof Command.encode>[0]["values"], streamId = 0): Message.Message =>
  Command.encode({ name, transactionId: 1, values, streamId })
const connect = call("connect", [Amf.object({ app: "live", tcUrl: "rtmp://h/live" })])
const create = call("createStream", [null])
const publish = call("publish", [null, "s", "live"], 1)
const play = call("play", [null, "s"], 1)
const picture = (length: number): Message.Message => media(9, [0x17, 1, 0, 0, 0, ...new Array(length).fill(7)])

/** Gives a session all messages in one read, grants whatever it asks for, and tells what came out. */
const oneRead = (messages: ReadonlyArray<Message.Message>, options: SessionOptions = defaultOptions) => {
  const { nowMs, session } = new SessionPeer(options).shakeHands()
  const outputs: Array<SessionOutput> = []
  const take = (from: ReadonlyArray<SessionOutput>): void => {
    outputs.push(...from)
    const asked = from.find((output) => "requestId" in output)
    if (asked === undefined || !("requestId" in asked)) return
    take(session.accept(asked.requestId, nowMs))
    take(session.resume(nowMs))
  }
  take(session.receive(ChunkWriter.make().writeAll(messages), nowMs))
  return outputs.flatMap((output) =>
    output._tag === "Send" ? [] : output._tag === "Close" ? [`Close ${output.error.reason}`] : [output._tag]
  )
}

describe("what comes in the same read as the command before it", () => {
  it("is judged by the limits that the command has led to: a large picture of a publisher that does not wait", () => {
    const large = picture(2 * defaultOptions.maxCommandBytes)
    assert.deepStrictEqual(oneRead([connect, create, publish, large]), [
      "ConnectRequested",
      "PublishRequested",
      "Media"
    ])
  })

  it("is too large behind a play as it would be in a read of its own", () => {
    const large = picture(2 * defaultOptions.maxCommandBytes)
    assert.deepStrictEqual(oneRead([connect, create, play, large]), [
      "ConnectRequested",
      "PlayRequested",
      "Close MessageTooLarge"
    ])
  })

  it("is too large before connect, whatever follows", () => {
    assert.deepStrictEqual(oneRead([picture(2 * defaultOptions.maxCommandBytes), connect]), ["Close MessageTooLarge"])
  })
})

describe("a reader that stops at commands", () => {
  const messages = [connect, create, media(8, [1]), publish, media(8, [2]), media(9, [3]), create]
  const bytes = ChunkWriter.make().writeAll(messages)

  it("gives the same messages for any cut, each push up to one command, and holds what was pushed behind it", () => {
    for (let size = 1; size <= bytes.length; size++) {
      const reader = ChunkReader.make()
      reader.stopAtCommands!()
      const seen: Array<Message.Message> = []
      const push = (piece: Uint8Array): void => {
        const read = Result.getOrThrow(reader.push(piece))
        const commands = read.filter(({ typeId }) => typeId === Message.COMMAND_AMF0).length
        assert.isAtMost(commands, 1)
        if (reader.heldBytes! > 0) assert.strictEqual(read.at(-1)!.typeId, Message.COMMAND_AMF0)
        seen.push(...read)
      }
      for (let at = 0; at < bytes.length; at += size) {
        push(bytes.slice(at, at + size))
        // Half of the time what is held meets the next bytes, half of the time it is read alone.
        while (reader.heldBytes! > 0 && size % 2 === 0) push(Bytes.empty)
      }
      while (reader.heldBytes! > 0) push(Bytes.empty)
      assert.deepStrictEqual(
        seen.map(({ payload, typeId }) => [typeId, ...payload]),
        messages.map(({ payload, typeId }) => [typeId, ...payload])
      )
      assert.strictEqual(reader.bytesRead, bytes.length)
    }
  })

  it("says where a fault lies as if it had not stopped", () => {
    const broken = Bytes.concat([bytes, Uint8Array.of(0xc9)])
    const reader = ChunkReader.make()
    reader.stopAtCommands!()
    let failed = Result.flip(reader.push(broken))
    while (Result.isFailure(failed)) failed = Result.flip(reader.push(Bytes.empty))
    assert.deepInclude(failed.success, { reason: "UninitialisedChunkStream", offset: bytes.length })
  })
})

describe("bytes behind the last argument of a command", () => {
  const rubbish = [0x0e, 0xff, 0x02, 0xff]
  const behind = (message: Message.Message): Message.Message => ({
    ...message,
    payload: Bytes.concat([message.payload, Uint8Array.from(rubbish)])
  })

  it("are ignored", () => {
    assert.deepStrictEqual(oneRead([behind(connect), behind(create), behind(publish), picture(10)]), [
      "ConnectRequested",
      "PublishRequested",
      "Media"
    ])
  })

  it("do not stand for an argument, or for the command object", () => {
    const withoutName = behind(call("publish", [null], 1))
    assert.include(oneRead([connect, create, withoutName]).join(), "Close")
    const withoutObject = behind({ ...connect, payload: connect.payload.slice(0, 19) })
    assert.deepStrictEqual(oneRead([withoutObject]), ["Close MalformedCommand"])
  })
})

describe("messages of next to nothing", () => {
  const opening = [connect, create, publish]
  const silence = (count: number, length: number) =>
    Array.from({ length: count }, () => media(8, new Array(length).fill(0)))

  it("close a connection that sends them as fast as the line carries", () => {
    assert.strictEqual(oneRead([...opening, ...silence(20_000, 0)]).at(-1), "Close LimitReached")
  })

  it("count in aggregates too", () => {
    const tags = (count: number) =>
      media(
        22,
        Array.from({ length: count * 15 }, (_, i) => (i % 15 === 0 ? 8 : 0))
      )
    const full = tags(4_096)
    assert.strictEqual(oneRead([...opening, full, full]).length, 2 + 2)
    assert.strictEqual(oneRead([...opening, full, full, full, full]).at(-1), "Close LimitReached")
    // As many bytes without so many tags.
    const large = media(22, [9, 0, 0xee, 0x80, 0, 0, 0, 0, 0, 0, 0, ...new Array(61_000).fill(0)])
    assert.strictEqual(oneRead([...opening, large, large, large, large]).length, 2 + 4)
  })

  it("may come for minutes at once, as silence sent ahead of time does", () => {
    assert.strictEqual(oneRead([...opening, ...silence(9_000, 3)]).length, 2 + 9_000)
  })

  it("may go on for ever at the pace of a clock", () => {
    const peer = new SessionPeer().publishing()
    for (let second = 0; second < 60; second++) {
      peer.nowMs += 1_000
      peer.bytes(peer.writer.writeAll(silence(1_500, 0)))
    }
    assert.strictEqual(peer.closed, undefined)
  })

  it("are not counted among messages of some size, however many these are", () => {
    assert.strictEqual(oneRead([...opening, ...silence(40_000, 60)]).length, 2 + 40_000)
  })
})
