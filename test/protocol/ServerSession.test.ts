import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import type { AmfValue } from "../../src/protocol/amf/AmfValue.ts"
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import * as Command from "../../src/protocol/Command.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as ProtocolControl from "../../src/protocol/ProtocolControl.ts"
import * as ServerCommands from "../../src/protocol/ServerCommands.ts"
import { SessionError } from "../../src/protocol/Session.ts"
import * as SessionState from "../../src/protocol/SessionState.ts"
import * as Status from "../../src/protocol/Status.ts"
import * as UserControl from "../../src/protocol/UserControl.ts"
import { media, SessionPeer } from "../support/SessionPeer.ts"

const tags = (peer: SessionPeer): ReadonlyArray<string> => peer.outputs.map((output) => output._tag)

const ended = new SessionError({ reason: "StreamEnded", detail: "the stream ended" })

describe("connect", () => {
  it("is answered with window, bandwidth, chunk size, StreamBegin and _result in one write", () => {
    const peer = new SessionPeer().connected()
    assert.deepStrictEqual(peer.drain(), [
      "Window Acknowledgement Size 2500000",
      "Set Peer Bandwidth 2500000",
      "Set Chunk Size 60000",
      "StreamBegin 0",
      "_result 1 NetConnection.Connect.Success"
    ])
    assert.strictEqual(peer.sends.length, 1)
  })

  it("announces the chunk size before the first reply that is longer than a default chunk", () => {
    const peer = new SessionPeer().connected()
    const announced = peer.received.findIndex((message) => message.typeId === Message.SET_CHUNK_SIZE)
    const long = peer.received.findIndex((message) => message.payload.length > 128)
    assert.isAtLeast(announced, 0)
    assert.isAbove(long, announced)
  })

  it("tells E-RTMP clients what is forwarded, and everybody that replies are AMF0", () => {
    const peer = new SessionPeer().shakeHands()
    peer.command("connect", 1, [
      Amf.object({ app: "live", objectEncoding: 3, fourCcList: Amf.strictArray(["hvc1", "*"]), capsEx: 3 })
    ])
    const request = peer.outputs.find((output) => output._tag === "ConnectRequested")
    assert.deepStrictEqual(
      request?._tag === "ConnectRequested" ? [request.request.fourCcs, request.request.capsEx] : [],
      [["hvc1", "*"], 3]
    )
    peer.accept()
    const result = peer.received.find((message) => message.typeId === Message.COMMAND_AMF0)!
    const command = Command.decode(result)
    const success = command._tag === "Success" ? command.success : undefined
    assert.strictEqual(Amf.getNumber(success?.object, "capsEx"), 14)
    assert.strictEqual(Amf.getNumber(Amf.get(success?.object, "videoFourCcInfoMap"), "*"), 4)
    assert.strictEqual(Amf.getNumber(success?.args[0], "objectEncoding"), 0)
  })

  it.each<[string, AmfValue]>([
    ["no command object", null],
    ["no application", Amf.object({ tcUrl: "rtmp://h/live" })],
    ["an application that is a number", Amf.object({ app: 1 })]
  ])("is rejected with %s", (_, object) => {
    const peer = new SessionPeer().shakeHands().command("connect", 1, [object])
    assert.deepStrictEqual(peer.drain(), ["_error 1 NetConnection.Connect.Rejected"])
    assert.strictEqual(peer.closed, "SessionError.Rejected")
  })

  it("accepts an ECMA array as its object and the empty application", () => {
    const peer = new SessionPeer().shakeHands().command("connect", 1, [Amf.ecmaArray({ app: "" })])
    assert.deepStrictEqual(tags(peer), ["HandshakeCompleted", "ConnectRequested"])
  })

  it("rejects a hostile application name before anybody sees it", () => {
    const peer = new SessionPeer().shakeHands().command("connect", 1, [Amf.object({ app: "../live" })])
    assert.deepStrictEqual(peer.drain(), ["_error 1 NetConnection.Connect.InvalidApp"])
    assert.notInclude(tags(peer), "ConnectRequested")
  })

  it("validates the application against the configured ones, instances included", () => {
    const options = { applications: ["live"] }
    const of = (app: string) => new SessionPeer(options).shakeHands().command("connect", 1, [Amf.object({ app })])
    assert.include(tags(of("live")), "ConnectRequested")
    assert.include(tags(of("live/room")), "ConnectRequested")
    assert.strictEqual(of("other").closed, "SessionError.Rejected")
  })

  it("takes the query off application and tcUrl", () => {
    const peer = new SessionPeer()
      .shakeHands()
      .command("connect", 1, [Amf.object({ app: "live?a=1", tcUrl: "rtmp://h/live?b=2" })])
    const request = peer.outputs.find((output) => output._tag === "ConnectRequested")
    assert.deepInclude(request?._tag === "ConnectRequested" ? request.request : {}, {
      application: "live",
      query: "a=1&b=2"
    })
  })

  it("closes the connection when sent twice", () => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer.command("connect", 7, [Amf.object({ app: "live" })])
    assert.deepStrictEqual(peer.drain(), ["_error 7 NetConnection.Connect.Failed"])
    assert.strictEqual(peer.closed, "SessionError.DuplicateConnect")
  })

  it.each<[string, Message.Message]>([
    ["a command", Command.encode({ name: "createStream", transactionId: 1, values: [null], streamId: 0 })],
    ["video", media(Message.VIDEO, [0x17, 1, 0, 0, 0], 1)],
    ["data", media(Message.DATA_AMF0, [2, 0, 1, 0x61], 0)]
  ])("is the only thing to do: %s before it closes the connection", (_, message) => {
    const peer = new SessionPeer().shakeHands().message(message)
    assert.strictEqual(peer.closed, "SessionError.NotConnected")
  })

  it("may be preceded by protocol control messages, as OBS does", () => {
    const peer = new SessionPeer().shakeHands()
    peer.message(ProtocolControl.setChunkSize(4096)).message(ProtocolControl.windowAckSize(5_000_000))
    peer.writer.setChunkSize(4096)
    peer.command("connect", 1, [Amf.object({ app: "live", swfUrl: "x".repeat(300) })])
    assert.include(tags(peer), "ConnectRequested")
  })

  it("echoes a NaN transaction id bit for bit", () => {
    const id = Bytes.fromHex("7ff8000000000abc")
    const peer = new SessionPeer().shakeHands()
    peer.message(
      Command.encode({ name: "connect", transactionId: id, values: [Amf.object({ app: "live" })], streamId: 0 })
    )
    peer.accept()
    const reply = peer.received.find((message) => message.typeId === Message.COMMAND_AMF0)!
    assert.deepStrictEqual(reply.payload.slice(11, 19), id)
  })
})

describe("pipelined commands", () => {
  it("in front of a fault are answered before the connection closes", () => {
    const peer = new SessionPeer().shakeHands()
    const connect = Command.encode({
      name: "connect",
      transactionId: 1,
      values: [Amf.object({ app: "live" })],
      streamId: 0
    })
    peer.bytes(Bytes.concat([ChunkWriter.make().write(connect), new Uint8Array(32).fill(0xff)]))
    assert.strictEqual(peer.closed, undefined)
    peer.accept()
    assert.include(peer.drain(), "_result 1 NetConnection.Connect.Success")
    assert.strictEqual(peer.closed, "ChunkError.UninitialisedChunkStream")
  })

  it("are held back until connect is decided and then answered in order", () => {
    const peer = new SessionPeer().shakeHands()
    const writer = ChunkWriter.make()
    const burst = Bytes.concat([
      writer.write(
        Command.encode({ name: "connect", transactionId: 1, values: [Amf.object({ app: "live" })], streamId: 0 })
      ),
      writer.write(Command.encode({ name: "createStream", transactionId: 2, values: [null], streamId: 0 })),
      writer.write(Command.encode({ name: "play", transactionId: 3, values: [null, "s", -2000], streamId: 1 }))
    ])
    peer.bytes(burst)
    assert.deepStrictEqual(tags(peer), ["HandshakeCompleted", "ConnectRequested"])
    assert.deepStrictEqual(peer.drain(), [])
    peer.accept()
    assert.deepStrictEqual(peer.drain().slice(-2), ["_result 1 NetConnection.Connect.Success", "_result 2 1"])
    peer.accept()
    assert.deepStrictEqual(peer.drain().slice(0, 3), [
      "StreamBegin 1",
      "onStatus@1 NetStream.Play.Reset",
      "onStatus@1 NetStream.Play.Start"
    ])
  })

  it("die with a connection that is rejected", () => {
    const peer = new SessionPeer().shakeHands()
    const writer = ChunkWriter.make()
    peer.bytes(
      Bytes.concat([
        writer.write(
          Command.encode({ name: "connect", transactionId: 1, values: [Amf.object({ app: "live" })], streamId: 0 })
        ),
        writer.write(Command.encode({ name: "createStream", transactionId: 2, values: [null], streamId: 0 }))
      ])
    )
    peer.take(peer.session.reject(peer.requestId, Status.error("NetConnection.Connect.Rejected", "no"), peer.nowMs))
    peer.take(peer.session.resume(peer.nowMs))
    assert.deepStrictEqual(peer.drain(), ["_error 1 NetConnection.Connect.Rejected"])
    assert.strictEqual(peer.closed, "SessionError.Rejected")
  })
})

describe("publish", () => {
  it("follows FFmpeg through releaseStream, FCPublish, createStream and publish", () => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer
      .command("releaseStream", 2, [null, "s"])
      .command("FCPublish", 3, [null, "s"])
      .command("createStream", 4, [null])
    assert.deepStrictEqual(
      peer.drain(),
      ["_result 2 undefined", "_result 3 undefined", "onFCPublish 0 NetStream.Publish.Start", "_result 4 1"].map(
        (line) => line.replace(" undefined", "")
      )
    )
    peer.command("publish", 5, [null, "s?key=secret", "live"], 1)
    const request = peer.outputs.find((output) => output._tag === "PublishRequested")
    assert.deepStrictEqual(request?._tag === "PublishRequested" ? request.request : undefined, {
      streamId: 1,
      application: "live",
      stream: "s",
      query: "key=secret"
    })
    peer.accept()
    assert.deepStrictEqual(peer.drain(), ["StreamBegin 1", "onStatus@1 NetStream.Publish.Start"])
    assert.strictEqual(peer.session.state, "Publishing")
  })

  it("answers nothing to transaction id 0, which GStreamer sends", () => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer.command("releaseStream", 0, [null, "s"]).command("createStream", 0, [null])
    assert.deepStrictEqual(peer.drain(), [])
    peer.command("FCPublish", 0, [null, "s"])
    assert.deepStrictEqual(peer.drain(), ["onFCPublish 0 NetStream.Publish.Start"])
  })

  it("lets media of the published message stream through, payload untouched, and no other", () => {
    const peer = new SessionPeer().publishing()
    peer.outputs.length = 0
    peer.message(media(Message.VIDEO, [0x17, 1, 0, 0, 0, 9], 1, 40))
    peer.message(media(Message.AUDIO, [0xaf, 1, 2], 1, 41))
    peer.message(media(Message.VIDEO, [0x27, 1, 0, 0, 0], 2, 42))
    assert.deepStrictEqual(tags(peer), ["Media", "Media", "Anomaly"])
    const first = peer.outputs[0]
    assert.deepStrictEqual(
      first?._tag === "Media" ? [first.streamId, first.message.timestamp, [...first.message.payload]] : [],
      [1, 40, [0x17, 1, 0, 0, 0, 9]]
    )
  })

  it("refuses messages over the command limit before connect and from players, at their header", () => {
    const big = media(Message.VIDEO, new Array(70_000).fill(0x17))
    assert.strictEqual(new SessionPeer().shakeHands().message(big).closed, "ChunkError.MessageTooLarge")
    const peer = new SessionPeer().publishing()
    peer.message(big)
    assert.strictEqual(peer.outputs.at(-1)?._tag, "Media")
    assert.strictEqual(new SessionPeer().playing().message(big).closed, "ChunkError.MessageTooLarge")
  })

  it.each<[string, AmfValue]>([
    ["empty", ""],
    ["missing", undefined],
    ["null", null],
    ["a number", 7],
    ["a path upwards", "../../etc/passwd"],
    ["with control characters", "a\u001b[31m"]
  ])("refuses a name that is %s with BadName, and closes", (_, name) => {
    const peer = new SessionPeer().connected().command("createStream", 2, [null])
    peer.drain()
    peer.command("publish", 3, name === undefined ? [null] : [null, name], 1)
    assert.deepStrictEqual(peer.drain(), ["onStatus@1 NetStream.Publish.BadName"])
    assert.strictEqual(peer.closed, "SessionError.Rejected")
  })

  it("refuses a message stream that was never created", () => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer.command("publish", 3, [null, "s"], 9)
    assert.deepStrictEqual(peer.drain(), ["onStatus@9 NetStream.Failed"])
    assert.strictEqual(peer.closed, "SessionError.IllegalCommand")
  })

  it("refuses a second publish on the same message stream", () => {
    const peer = new SessionPeer().publishing()
    peer.drain()
    peer.command("publish", 4, [null, "other"], 1)
    assert.deepStrictEqual(peer.drain(), ["onStatus@1 NetStream.Publish.BadName"])
  })

  it("refuses to play on a connection that publishes, and the other way round", () => {
    const publisher = new SessionPeer().publishing().command("createStream", 8, [null])
    publisher.command("play", 9, [null, "s"], 2)
    assert.strictEqual(publisher.closed, "SessionError.IllegalCommand")
    const player = new SessionPeer().playing().command("createStream", 8, [null]).command("publish", 9, [null, "x"], 2)
    assert.strictEqual(player.closed, "SessionError.IllegalCommand")
  })

  it.each<[string, (peer: SessionPeer) => SessionPeer]>([
    ["deleteStream by number", (peer) => peer.command("deleteStream", 0, [null, 1])],
    ["deleteStream by name (GStreamer)", (peer) => peer.command("deleteStream", 0, [null, "s"])],
    ["closeStream", (peer) => peer.command("closeStream", 0, [null], 1)],
    ["FCUnpublish", (peer) => peer.command("FCUnpublish", 0, [null, "whatever"])]
  ])("ends once and for all with %s", (_, stop) => {
    const peer = new SessionPeer().publishing()
    peer.outputs.length = 0
    stop(stop(peer))
    assert.deepStrictEqual(tags(peer), ["PublishEnded"])
    assert.strictEqual(peer.session.state, "Connected")
    peer.outputs.length = 0
    for (let i = 0; i < 100; i++) peer.message(media(Message.AUDIO, [0xaf, 1, 2]))
    assert.notInclude(tags(peer), "Media")
  })

  it.each<AmfValue>([2, -1, Number.NaN, 1e300, null, undefined])("is not ended by deleteStream of %s", (argument) => {
    const peer = new SessionPeer().publishing()
    peer.command("deleteStream", 0, [null, argument])
    assert.strictEqual(peer.session.state, "Publishing")
  })
})

describe("play", () => {
  it("is answered with StreamBegin, Reset, Start and sample access on its message stream", () => {
    const peer = new SessionPeer().connected().command("createStream", 2, [null])
    peer.drain()
    peer.command("play", 3, [null, "s", -2000], 1).accept()
    assert.deepStrictEqual(peer.drain(), [
      "StreamBegin 1",
      "onStatus@1 NetStream.Play.Reset",
      "onStatus@1 NetStream.Play.Start",
      "data@1 |RtmpSampleAccess true true"
    ])
    assert.strictEqual(peer.session.state, "Subscribing")
  })

  it("ends with UnpublishNotify for FFmpeg and librtmp and StreamEOF for GStreamer, then closes", () => {
    const peer = new SessionPeer().playing()
    peer.drain()
    peer.take(peer.session.endPlay(1, ended))
    assert.deepStrictEqual(peer.drain(), ["onStatus@1 NetStream.Play.UnpublishNotify", "StreamEof 1"])
    assert.strictEqual(peer.closed, "SessionError.StreamEnded")
  })

  it("goes on when another stream of the same connection ends", () => {
    const peer = new SessionPeer()
      .playing()
      .command("createStream", 4, [null])
      .command("play", 5, [null, "t"], 2)
      .accept()
    peer.take(peer.session.endPlay(1, ended))
    assert.strictEqual(peer.closed, undefined)
    peer.take(peer.session.endPlay(2, ended))
    assert.strictEqual(peer.closed, "SessionError.StreamEnded")
  })

  it("tells a missing stream with StreamNotFound", () => {
    const peer = new SessionPeer().playing()
    peer.drain()
    peer.take(
      peer.session.endPlay(1, new SessionError({ reason: "StreamNotFound", detail: "nobody publishes live/s" }))
    )
    assert.deepStrictEqual(peer.drain(), ["onStatus@1 NetStream.Play.StreamNotFound", "StreamEof 1"])
  })

  it("is told of silence and of the publisher's return", () => {
    const peer = new SessionPeer().playing()
    peer.drain()
    peer.take(peer.session.streamDry(1)).take(peer.session.publishNotify(1))
    assert.deepStrictEqual(peer.drain(), ["StreamDry 1", "StreamBegin 1", "onStatus@1 NetStream.Play.PublishNotify"])
  })

  it("passes pause, receiveAudio and receiveVideo on, and refuses to seek", () => {
    const peer = new SessionPeer().playing()
    peer.drain()
    peer.outputs.length = 0
    peer.command("pause", 0, [null, true, 0], 1).command("pause", 0, [null, false, 0], 1)
    peer.command("receiveAudio", 0, [null, false], 1).command("receiveVideo", 0, [null, true], 1)
    peer.command("seek", 0, [null, 1000], 1)
    assert.deepStrictEqual(
      peer.outputs.map((output) => (output._tag === "PlayChanged" ? [output.what, output.value] : output._tag)),
      [
        ["pause", true],
        ["pause", false],
        ["audio", false],
        ["video", true]
      ]
    )
    assert.deepStrictEqual(peer.drain(), [
      "onStatus@1 NetStream.Pause.Notify",
      "onStatus@1 NetStream.Unpause.Notify",
      "onStatus@1 NetStream.Seek.Notify",
      "onStatus@1 NetStream.Play.Start",
      "onStatus@1 NetStream.Seek.Failed"
    ])
  })

  it("never lets media of a viewer through", () => {
    const peer = new SessionPeer().playing()
    peer.outputs.length = 0
    peer.message(media(Message.VIDEO, [0x17, 1, 0, 0, 0]))
    assert.deepStrictEqual(tags(peer), ["Anomaly"])
  })

  it("answers the questions that players ask beside it", () => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer
      .command("getStreamLength", 4, [null, "s"])
      .command("_checkbw", 5, [null])
      .command("FCSubscribe", 0, [null, "s"])
    assert.deepStrictEqual(peer.drain(), ["_result 4 0", "_result 5", "onFCSubscribe 0 NetStream.Play.Start"])
  })
})

describe("createStream", () => {
  it("gives the lowest free id, starting at 1, and takes ids back", () => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer.command("createStream", 2, [null]).command("createStream", 3, [null]).command("deleteStream", 0, [null, 1])
    peer.command("createStream", 4, [null])
    assert.deepStrictEqual(peer.drain(), ["_result 2 1", "_result 3 2", "_result 4 1"])
  })

  it("stops at the limit with an error, and goes on", () => {
    const peer = new SessionPeer({ maxStreams: 2 }).connected()
    peer.drain()
    for (let id = 2; id < 5; id++) peer.command("createStream", id, [null])
    assert.deepStrictEqual(peer.drain(), ["_result 2 1", "_result 3 2", "_error 4 NetConnection.Call.Failed"])
    assert.strictEqual(peer.closed, undefined)
  })
})

describe("unknown and broken messages", () => {
  it("answers an unknown command with _error where a reply is due", () => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer.command("set_playlist", 9, [null]).command("startTransmit", 0, [null])
    assert.deepStrictEqual(peer.drain(), ["_error 9 NetConnection.Call.Failed"])
  })

  it("reports an unknown message type once per connection and skips it", () => {
    const peer = new SessionPeer().connected()
    peer.outputs.length = 0
    for (const typeId of [7, 7, 99, 7]) peer.message(media(typeId, [1], 0))
    assert.deepStrictEqual(
      peer.outputs.map((output) => (output._tag === "Anomaly" ? output.detail : "")),
      ["message type 7 is unknown and skipped", "message type 99 is unknown and skipped"]
    )
    assert.strictEqual(peer.session.statistics.unknownMessages, 4)
  })

  it("closes on a command whose AMF is malformed", () => {
    const peer = new SessionPeer().connected().message(media(Message.COMMAND_AMF0, [2, 0, 9, 0x61], 0))
    assert.strictEqual(peer.closed, "SessionError.MalformedCommand")
  })

  it.each<[string, ReadonlyArray<number>, number]>([
    ["an empty body", [], Message.COMMAND_AMF0],
    ["a name that is a number", [0, 0, 0, 0, 0, 0, 0, 0, 0], Message.COMMAND_AMF0],
    ["an AMF3 command with an unknown selector", [3, 2, 0, 1, 0x61], Message.COMMAND_AMF3]
  ])("ignores a command message with %s", (_, payload, typeId) => {
    const peer = new SessionPeer().connected().message(media(typeId, payload, 0))
    assert.strictEqual(peer.outputs.at(-1)?._tag, "Anomaly")
    assert.strictEqual(peer.closed, undefined)
  })

  it("answers an AMF3 command of Flash in AMF0", () => {
    const peer = new SessionPeer().connected()
    peer.drain()
    const command = Command.encode({ name: "createStream", transactionId: 5, values: [null], streamId: 0 })
    peer.message({
      ...command,
      typeId: Message.COMMAND_AMF3,
      payload: Bytes.concat([Uint8Array.of(0), command.payload])
    })
    assert.deepStrictEqual(peer.drain(), ["_result 5 1"])
  })

  it("forgives anomalies within a budget that refills by one a second, and closes past it", () => {
    const unknown = (peer: SessionPeer) => peer.command("nonsense", 0, [null])
    const peer = new SessionPeer({ maxAnomalies: 3 }).connected()
    for (let i = 0; i < 3; i++) unknown(peer)
    assert.strictEqual(peer.closed, undefined)
    peer.nowMs += 1_000
    assert.strictEqual(unknown(peer).closed, undefined)
    assert.strictEqual(unknown(peer).closed, "SessionError.TooManyAnomalies")
  })

  it("lets a client send 200 commands at once and 50 a second, and closes past that, whatever they are", () => {
    const flood = (peer: SessionPeer, count: number) => {
      for (let i = 0; i < count && peer.closed === undefined; i++) peer.command("FCPublish", 0, [null, "s"])
    }
    const peer = new SessionPeer().publishing()
    flood(peer, 197)
    assert.strictEqual(peer.closed, undefined)
    peer.nowMs += 1_000
    flood(peer, 50)
    assert.strictEqual(peer.closed, undefined)
    flood(peer, 1)
    assert.strictEqual(peer.closed, "SessionError.LimitReached")
  })

  it("makes publishing and closing over and over cost the client its connection", () => {
    const peer = new SessionPeer().connected().command("createStream", 2, [null])
    let rounds = 0
    while (peer.closed === undefined && rounds < 1_000) {
      rounds++
      peer.command("publish", 3, [null, "s", "live"], 1)
      if (peer.closed === undefined) peer.accept().command("closeStream", 0, [null], 1)
    }
    assert.strictEqual(peer.closed, "SessionError.LimitReached")
    assert.isAtMost(rounds, 100)
  })

  it("gives nothing any more once it is closed", () => {
    const peer = new SessionPeer().shakeHands().command("createStream", 1, [null])
    assert.strictEqual(peer.session.state, "Disconnected")
    assert.deepStrictEqual(peer.session.receive(new Uint8Array(100), 0), [])
    assert.deepStrictEqual(peer.session.tick(1e9), [])
    assert.deepStrictEqual(peer.session.endPlay(1, ended), [])
  })
})

describe("moving a client away", () => {
  const asking = (capsEx: number) =>
    new SessionPeer()
      .shakeHands()
      .command("connect", 1, [Amf.object({ app: "live", tcUrl: "rtmp://h/live", capsEx })])
      .accept()
      .command("createStream", 2, [null])
      .command("publish", 3, [null, "s", "live"], 1)
      .accept()

  it("sends a ReconnectRequest with an address to a client that declared it, and goes on as before", () => {
    const peer = asking(3)
    peer.drain()
    assert.isTrue(peer.session.canReconnect)
    peer.take(peer.session.requestReconnect("rtmp://other/live", "Maintenance."))
    const command = Result.getOrThrow(Command.decode(peer.received[0]!))
    assert.deepStrictEqual([command.name, command.transactionId, peer.received[0]!.streamId], ["onStatus", 0, 0])
    assert.strictEqual(Amf.getString(command.args[0], "level"), "status")
    assert.strictEqual(Amf.getString(command.args[0], "code"), "NetConnection.Connect.ReconnectRequest")
    assert.strictEqual(Amf.getString(command.args[0], "tcUrl"), "rtmp://other/live")
    assert.strictEqual(Amf.getString(command.args[0], "description"), "Maintenance.")
    peer.message(media(Message.AUDIO, [0xaf, 1, 2]))
    assert.deepStrictEqual([peer.outputs.at(-1)?._tag, peer.closed], ["Media", undefined])
  })

  it("names no address where the client is to come back to the same one", () => {
    const peer = asking(1)
    peer.drain()
    peer.take(peer.session.requestReconnect("", "Maintenance."))
    const command = Result.getOrThrow(Command.decode(peer.received[0]!))
    assert.strictEqual(Amf.get(command.args[0], "tcUrl"), undefined)
  })

  it.each([0, 2, 14, Number.NaN, -2])(
    "tells a publisher with capsEx %s that the server will stop, no more",
    (capsEx) => {
      const peer = asking(capsEx)
      peer.drain()
      assert.isFalse(peer.session.canReconnect)
      peer.take(peer.session.requestReconnect("", "Maintenance."))
      const command = Result.getOrThrow(Command.decode(peer.received[0]!))
      assert.deepStrictEqual([command.name, command.transactionId, peer.received[0]!.streamId], ["onStatus", 0, 0])
      // Of level `error`, FFmpeg would take it for the end.
      assert.strictEqual(Amf.getString(command.args[0], "level"), "status")
      assert.strictEqual(Amf.getString(command.args[0], "code"), "NetConnection.Connect.AppShutdown")
      peer.message(media(Message.AUDIO, [0xaf, 1, 2]))
      assert.deepStrictEqual([peer.outputs.at(-1)?._tag, peer.closed], ["Media", undefined])
    }
  )

  it("says nothing to one that neither publishes nor follows", () => {
    const peer = new SessionPeer()
      .shakeHands()
      .command("connect", 1, [Amf.object({ app: "live" })])
      .accept()
    assert.deepStrictEqual(peer.session.requestReconnect("rtmp://other/live", "Maintenance."), [])
  })

  it("ends one of two streams of a connection with its status, drops what still comes of it, and closes with the last", () => {
    const peer = asking(0).command("createStream", 4, [null]).command("publish", 5, [null, "t", "live"], 2).accept()
    peer.drain()
    const status = Status.error("NetStream.Publish.Denied", "Taken over.")
    const error = new SessionError({ reason: "TakenOver", detail: "taken over" })
    peer.take(peer.session.kick(1, status, error))
    assert.deepStrictEqual(peer.drain(), ["onStatus@1 NetStream.Publish.Denied"])
    peer.outputs.length = 0
    peer.message(media(Message.VIDEO, [0x17, 1], 1)).message(media(Message.VIDEO, [0x17, 1], 2))
    assert.deepStrictEqual(
      peer.outputs.map((output) => (output._tag === "Media" ? output.streamId : output._tag)),
      [2]
    )
    peer.take(peer.session.kick(2, status, error))
    assert.deepStrictEqual(peer.drain(), ["onStatus@2 NetStream.Publish.Denied"])
    assert.strictEqual(peer.closed, "SessionError.TakenOver")
  })
})

describe("control messages", () => {
  it("answers a flood of pings once for each read, with the newest", () => {
    const peer = new SessionPeer().connected()
    peer.drain()
    const writer = ChunkWriter.make()
    peer.bytes(Bytes.concat([1, 2, 3].map((timestamp) => writer.write(UserControl.pingRequest(timestamp)))))
    assert.deepStrictEqual(peer.drain(), ["PingResponse 3"])
  })

  it("answers Set Peer Bandwidth with the window, as GStreamer expects", () => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer.message(ProtocolControl.setPeerBandwidth(1_000_000, "dynamic"))
    assert.deepStrictEqual(peer.drain(), ["Window Acknowledgement Size 2500000"])
  })

  it("acknowledges by the client's window, at most once for each read and counting the handshake", () => {
    const peer = new SessionPeer().publishing()
    peer.message(ProtocolControl.windowAckSize(100_000))
    peer.drain()
    const video = media(Message.VIDEO, new Array(60_000).fill(0x27))
    peer.message(video)
    assert.deepStrictEqual(peer.drain(), [])
    peer.message(video)
    assert.deepStrictEqual(peer.drain(), [`Acknowledgement ${peer.session.statistics.bytesReceived}`])
    assert.isAbove(peer.session.statistics.bytesReceived, 120_000 + 3073)
  })

  it("does not let a tiny window make it acknowledge every message", () => {
    const peer = new SessionPeer().publishing()
    peer.message(ProtocolControl.windowAckSize(1))
    peer.drain()
    for (let i = 0; i < 50; i++) peer.message(media(Message.AUDIO, [0xaf, 1, 2, 3]))
    assert.deepStrictEqual(peer.drain(), [])
  })
})

describe("deadlines", () => {
  const tick = (peer: SessionPeer, nowMs: number) => {
    peer.nowMs = nowMs
    return peer.take(peer.session.tick(nowMs))
  }

  it("end a handshake that is not complete ten seconds after accept, whatever progress it makes", () => {
    const peer = new SessionPeer()
    peer.bytes(Uint8Array.of(3))
    for (let second = 1; second < 10; second++) {
      peer.nowMs = 1_000 + second * 1_000
      peer.bytes(new Uint8Array(10))
      tick(peer, peer.nowMs)
    }
    assert.strictEqual(peer.closed, undefined)
    assert.strictEqual(peer.session.nextDeadlineMs(), 11_000)
    assert.strictEqual(tick(peer, 11_000).closed, "SessionError.HandshakeTimeout")
  })

  it("are cancelled when the handshake completes, and give way to those for connect and publish or play", () => {
    const waiting = new SessionPeer().shakeHands()
    assert.strictEqual(tick(waiting, 10_999).closed, undefined)
    assert.strictEqual(tick(waiting, 11_000).closed, "SessionError.ConnectTimeout")
    const idle = new SessionPeer().connected()
    assert.strictEqual(tick(idle, 30_999).closed, undefined)
    assert.strictEqual(tick(idle, 31_000).closed, "SessionError.IdleTimeout")
  })

  it("ping a silent viewer, take any byte for life, and close one that stays silent", () => {
    const peer = new SessionPeer().playing()
    peer.drain()
    tick(peer, 30_999)
    assert.deepStrictEqual(peer.drain(), [])
    tick(peer, 31_000)
    tick(peer, 32_000)
    assert.deepStrictEqual(peer.drain(), ["PingRequest 31000"])
    peer.message(UserControl.pingResponse(31_000))
    assert.strictEqual(peer.session.nextDeadlineMs(), 62_000)
    tick(peer, 62_000)
    assert.strictEqual(peer.closed, undefined)
    assert.strictEqual(tick(peer, 92_000).closed, "SessionError.PingTimeout")
  })

  it("never end a stream that receives media, as OBS answers no pings", () => {
    const peer = new SessionPeer().publishing()
    for (let nowMs = 1_000; nowMs < 300_000; nowMs += 1_000) {
      tick(peer, nowMs)
      peer.message(media(Message.AUDIO, [0xaf, 1, 2]))
    }
    assert.strictEqual(peer.closed, undefined)
  })
})

describe("the transition table", () => {
  it("leads from every state to Disconnected, and from there nowhere", () => {
    for (const state of Object.keys(SessionState.transitions) as Array<SessionState.SessionState>) {
      assert.strictEqual(SessionState.next(state, "close"), "Disconnected")
    }
    assert.strictEqual(SessionState.next("Disconnected", "bytes"), undefined)
  })

  it("lets nobody publish or play before the handshake is done", () => {
    for (const state of ["Connecting", "Handshaking"] as const) {
      assert.strictEqual(SessionState.next(state, "publish"), undefined)
      assert.strictEqual(SessionState.next(state, "play"), undefined)
    }
  })
})

describe("custom commands", () => {
  it("are added by one more entry in the table", () => {
    const hello: ServerCommands.CommandHandler = (context, command) =>
      context.send(
        Command.encode({
          name: "_result",
          transactionId: command.transactionIdBytes,
          values: [null, "hello"],
          streamId: 0
        })
      )
    const commands = {
      ...ServerCommands.defaultHandlers,
      handlers: new Map([...ServerCommands.defaultHandlers.handlers, ["hello", hello] as const])
    }
    const peer = new SessionPeer({}, commands).connected()
    peer.drain()
    peer.command("hello", 9, [null])
    assert.deepStrictEqual(peer.drain(), ["_result 9 hello"])
  })
})
