import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Amf0 from "../../src/protocol/amf/Amf0.ts"
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as Message from "../../src/protocol/Message.ts"
import { SessionError } from "../../src/protocol/Session.ts"
import * as Status from "../../src/protocol/Status.ts"
import * as SessionPair from "../../src/testing/SessionPair.ts"

const Sizes = Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2_000 })))

const media = (typeId: number, timestamp: number, length: number): Message.Message => ({
  typeId,
  streamId: 1,
  chunkStreamId: typeId === Message.AUDIO ? 4 : typeId === Message.VIDEO ? 6 : 5,
  timestamp,
  payload: Uint8Array.from({ length }, (_, i) => i * 7 + timestamp)
})

/** Audio, video and data, over the edge of the chunk size and of the 24-bit timestamp. */
const batches = [
  [media(Message.VIDEO, 0, 50), media(Message.AUDIO, 0, 4)],
  [media(Message.VIDEO, 40, 130_000), media(Message.AUDIO, 23, 300), media(Message.AUDIO, 46, 300)],
  [media(Message.VIDEO, 0xfffffe, 60_000), media(Message.VIDEO, 0xffffff, 60_001), media(Message.AUDIO, 0x1000000, 1)],
  [{ ...media(Message.DATA_AMF0, 0x1000001, 0), payload: Amf0.encode(["onCuePoint", Amf.object({ x: 1 })]) }]
]

const fields = ({ payload, streamId, timestamp, typeId }: Message.Message) => [
  typeId,
  streamId,
  timestamp,
  Bytes.hex(payload, Number.POSITIVE_INFINITY)
]

const clientTags = (pair: SessionPair.SessionPair) => pair.clientOutputs.map(({ _tag }) => _tag)
const serverTags = (pair: SessionPair.SessionPair) => pair.serverOutputs.map(({ _tag }) => _tag)

const received = (pair: SessionPair.SessionPair) =>
  [...pair.serverOutputs, ...pair.clientOutputs].flatMap((output) => (output._tag === "Media" ? [output.message] : []))

const publishAll = (options: SessionPair.SessionPairOptions) => {
  const pair = SessionPair.make(options).start()
  for (const batch of batches) pair.publish(batch)
  return pair.close()
}

const playAll = (options: SessionPair.SessionPairOptions) => {
  const pair = SessionPair.make({ ...options, target: { intent: "play" } }).start()
  for (const batch of batches) pair.relay(batch)
  return pair.onServer((server) => server.endPlay(1, new SessionError({ reason: "StreamEnded", detail: "over" })))
}

describe("SessionPair", () => {
  it("publishes from the handshake to the end, every message arriving as it was sent", () => {
    const pair = publishAll({})
    assert.deepStrictEqual(clientTags(pair), [
      "HandshakeCompleted",
      "Connected",
      "StreamCreated",
      "Status",
      "PublishStarted",
      "Ended"
    ])
    assert.deepStrictEqual(
      serverTags(pair).filter((tag) => tag !== "Media"),
      ["HandshakeCompleted", "ConnectRequested", "PublishRequested", "PublishEnded"]
    )
    assert.deepStrictEqual(received(pair).map(fields), batches.flat().map(fields))
    assert.strictEqual(pair.client.state, "Disconnected")
    assert.strictEqual(pair.server.state, "Disconnected")
  })

  it("plays from the handshake to the end of the stream", () => {
    const pair = playAll({})
    assert.deepStrictEqual(
      clientTags(pair).filter((tag) => tag !== "Media"),
      ["HandshakeCompleted", "Connected", "StreamCreated", "Status", "Status", "PlayStarted", "Status", "Ended"]
    )
    const [sampleAccess, ...relayed] = received(pair)
    assert.strictEqual(Bytes.hex(sampleAccess!.payload), Bytes.hex(Amf0.encode(["|RtmpSampleAccess", true, true])))
    assert.deepStrictEqual(relayed.map(fields), batches.flat().map(fields))
    assert.deepStrictEqual(pair.clientOutputs.at(-1), { _tag: "Ended", end: "Unpublished" })
  })

  it.prop(
    "gives the same outputs and bytes for a publish, however they are cut and whatever the handshake",
    { toServer: Sizes, toClient: Sizes, digestHandshake: Schema.Boolean },
    ({ digestHandshake, toClient, toServer }) => {
      const options = { client: { digestHandshake, strictHandshake: true }, server: { strictHandshake: true } }
      const whole = publishAll(options)
      const cut = publishAll({ ...options, toClient, toServer })
      assert.deepStrictEqual(clientTags(cut), clientTags(whole))
      assert.deepStrictEqual(serverTags(cut), serverTags(whole))
      assert.deepStrictEqual(received(cut).map(fields), received(whole).map(fields))
      assert.strictEqual(cut.bytesToServer, whole.bytesToServer)
    },
    { arbitrary: { runs: 15 } }
  )

  it.prop(
    "gives the same outputs for a play, however its bytes are cut",
    { toServer: Sizes, toClient: Sizes },
    ({ toClient, toServer }) => {
      const whole = playAll({})
      const cut = playAll({ toClient, toServer })
      assert.deepStrictEqual(clientTags(cut), clientTags(whole))
      assert.deepStrictEqual(serverTags(cut), serverTags(whole))
      assert.deepStrictEqual(received(cut).map(fields), received(whole).map(fields))
    },
    { arbitrary: { runs: 15 } }
  )

  it("brings a whole publish through one byte at a time", () => {
    const pair = SessionPair.make({ toServer: [1], toClient: [1] })
      .start()
      .publish(batches[0]!)
      .close()
    assert.deepStrictEqual(received(pair).map(fields), batches[0]!.map(fields))
  })

  it("lets views of received payloads stay valid after later bytes", () => {
    const pair = SessionPair.make({ toServer: [5_000] }).start()
    pair.publish(batches[0]!)
    const before = received(pair).map(fields)
    for (const batch of batches.slice(1)) pair.publish(batch)
    assert.deepStrictEqual(received(pair).slice(0, before.length).map(fields), before)
  })

  for (const [tag, code, stage] of [
    ["ConnectRequested", "NetConnection.Connect.Rejected", "ConnectRequested"],
    ["PublishRequested", "NetStream.Publish.BadName", "PublishRequested"]
  ] as const) {
    it(`brings a refusal of ${tag} to the client as a failure with its code`, () => {
      const pair = SessionPair.make({
        toClient: [7],
        decide: (request) => (request._tag === tag ? Status.error(code, "not you") : undefined)
      }).start()
      const output = pair.clientOutputs.at(-1)
      assert(output?._tag === "Failed" && output.error._tag === "ClientSessionError")
      assert.strictEqual(output.error.code, code)
      assert.strictEqual(output.error.stage, stage)
      assert.strictEqual(serverTags(pair).at(-1), "Close")
    })
  }

  it("brings a kick to a publisher as a failure of its stream", () => {
    const pair = SessionPair.make().start()
    pair.onServer((server) =>
      server.kick(
        1,
        Status.error("NetStream.Publish.Rejected", "maintenance"),
        new SessionError({ reason: "Kicked", detail: "maintenance" })
      )
    )
    const output = pair.clientOutputs.at(-1)
    assert(output?._tag === "Failed" && output.error._tag === "ClientSessionError")
    assert.strictEqual(output.error.reason, "StreamFailed")
  })

  it("keeps an idle player for a day: each side pings, the other answers", () => {
    const pair = SessionPair.make({ target: { intent: "play" } })
      .start()
      .advance(24 * 3_600_000)
    assert.strictEqual(pair.client.state, "Playing")
    assert.strictEqual(pair.server.state, "Subscribing")
    assert.isAbove(pair.bytesToServer, 10_000)
  })

  it("keeps a publisher that sends nothing for a day, by its answers to pings alone", () => {
    const pair = SessionPair.make()
      .start()
      .advance(24 * 3_600_000)
    assert.strictEqual(pair.client.state, "Publishing")
    assert.strictEqual(pair.server.state, "Publishing")
  })

  it("acknowledges what it plays, and the server what is published, once a window", () => {
    const pair = SessionPair.make({ server: { windowAckSize: 100_000 }, target: { intent: "play" } }).start()
    const before = pair.bytesToServer
    for (let i = 0; i < 10; i++) pair.relay([media(Message.VIDEO, i, 60_000)])
    // An acknowledgement is 4 bytes behind a header of at most 12.
    assert.isAtLeast(pair.bytesToServer - before, 5 * 5)
    assert.isAtMost(pair.bytesToServer - before, 6 * 16)
  })

  it("tells the client when the connection is cut, and the server too", () => {
    const pair = SessionPair.make().start().cut()
    const output = pair.clientOutputs.at(-1)
    assert(output?._tag === "Failed" && output.error._tag === "ClientSessionError")
    assert.strictEqual(output.error.reason, "ConnectionClosed")
    assert.strictEqual(pair.server.state, "Disconnected")
  })

  it("stops at the deadlines on the way: a server closes on a client that never begins", () => {
    const pair = SessionPair.make({ startMs: 5_000 })
    pair.advance(9_999)
    assert.deepStrictEqual(serverTags(pair), [])
    pair.advance(1)
    assert.deepStrictEqual(serverTags(pair), ["Close"])
    assert.strictEqual(pair.nowMs, 15_000)
  })

  it("takes bytes that no session would send", () => {
    const pair = SessionPair.make().start().injectToServer(Bytes.fromHex("ff"))
    assert.strictEqual(serverTags(pair).at(-1), "Close")
    assert.strictEqual(clientTags(pair).at(-1), "Failed")
    const other = SessionPair.make().start().injectToClient(Bytes.fromHex("ff"))
    assert.strictEqual(clientTags(other).at(-1), "Failed")
    assert.strictEqual(other.server.state, "Disconnected")
  })
})
