import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as Amf0 from "../../src/protocol/amf/Amf0.ts"
import { AmfCodec } from "../../src/protocol/amf/AmfCodec.ts"
import type { AmfValue } from "../../src/protocol/amf/AmfValue.ts"
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as ChunkReader from "../../src/protocol/ChunkReader.ts"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import * as ClientHandshake from "../../src/protocol/ClientHandshake.ts"
import * as ClientSession from "../../src/protocol/ClientSession.ts"
import type { ClientOptions, ClientOutput, ClientTarget } from "../../src/protocol/ClientSessionState.ts"
import { defaultClientOptions, transitions } from "../../src/protocol/ClientSessionState.ts"
import * as Command from "../../src/protocol/Command.ts"
import * as Handshake from "../../src/protocol/Handshake.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as ProtocolControl from "../../src/protocol/ProtocolControl.ts"
import * as UserControl from "../../src/protocol/UserControl.ts"

const crypto = NodeCrypto.make

/** A client against a server that a test writes by hand, message by message. */
class Script {
  readonly client: ClientSession.ClientMachine
  readonly outputs: Array<ClientOutput> = []
  readonly isPublish: boolean
  readonly #handshake = Handshake.make({ crypto, strict: true })
  readonly #reader = ChunkReader.make()
  readonly #writer = ChunkWriter.make()
  #isShaken = false
  #sent: Array<Message.Message> = []
  nowMs = 1_000

  constructor(intent: ClientTarget["intent"], options?: Partial<ClientOptions>) {
    const all = { ...defaultClientOptions, ...options }
    this.isPublish = intent === "publish"
    this.client = ClientSession.make(
      { intent, application: "live", stream: "key?secret=1", tcUrl: "rtmp://h:1935/live" },
      all,
      {
        handshake: ClientHandshake.make({ crypto, digest: all.digestHandshake, strict: all.strictHandshake }),
        reader: ChunkReader.make(all.chunks),
        writer: ChunkWriter.make(),
        decodeCommand: Amf0.decode
      }
    )
  }

  take(outputs: ReadonlyArray<ClientOutput>): this {
    for (const output of outputs) {
      if (output._tag !== "Send") {
        this.outputs.push(output)
        continue
      }
      let bytes = output.bytes
      if (!this.#isShaken) {
        const { complete, send } = Result.getOrThrow(this.#handshake.push(bytes, this.nowMs))
        if (send.length > 0) this.take(this.client.receive(send, this.nowMs))
        if (complete === undefined) continue
        this.#isShaken = true
        bytes = complete.rest
      }
      this.#sent.push(...Result.getOrThrow(this.#reader.push(bytes)))
    }
    return this
  }

  start(): this {
    return this.take(this.client.start(this.nowMs))
  }

  reply(...messages: ReadonlyArray<Message.Message>): this {
    return this.take(this.client.receive(this.#writer.writeAll(messages), this.nowMs))
  }

  raw(bytes: Uint8Array): this {
    return this.take(this.client.receive(bytes, this.nowMs))
  }

  /** What the client has sent since the last call. */
  sent(): ReadonlyArray<Message.Message> {
    const sent = this.#sent
    this.#sent = []
    return sent
  }

  /** The names of the commands among that, other messages by their type. */
  sentNames(): ReadonlyArray<string> {
    return this.sent().map((message) => (message.typeId === 20 ? command(message).name : `type ${message.typeId}`))
  }

  /** Brings the session to the point where it waits for the status of publish or play. */
  requested(): this {
    return this.start()
      .reply(call("_result", 1, [null, connectInformation]))
      .reply(call("_result", this.isPublish ? 4 : 2, [null, 1]))
  }

  started(): this {
    return this.requested().reply(status(this.isPublish ? "NetStream.Publish.Start" : "NetStream.Play.Start"))
  }
}

const publisher = (options?: Partial<ClientOptions>): Script => new Script("publish", options)

const player = (options?: Partial<ClientOptions>): Script => new Script("play", options)

const command = (message: Message.Message): Command.Command => Result.getOrThrow(Command.decode(message))

const call = (name: string, transactionId: number, values: ReadonlyArray<AmfValue>, streamId = 0) =>
  Command.encode({ name, transactionId, values, streamId })

const connectInformation = Amf.object({ level: "status", code: "NetConnection.Connect.Success" })

const status = (code: string, level = "status", description = "", streamId = 1) =>
  call("onStatus", 0, [null, Amf.object({ level, code, description })], streamId)

const media = (typeId: number, payload: Uint8Array, timestamp = 0): Message.Message => ({
  typeId,
  streamId: 1,
  chunkStreamId: 6,
  timestamp,
  payload
})

const tags = (script: Script): ReadonlyArray<string> => script.outputs.map((output) => output._tag)

const last = (script: Script): ClientOutput => script.outputs.at(-1)!

const failure = (script: Script) => {
  const output = last(script)
  assert(output._tag === "Failed")
  assert(output.error._tag === "ClientSessionError")
  return output.error
}

describe("ClientSession", () => {
  describe("publish", () => {
    it("connects as an encoder does, with what E-RTMP asks for", () => {
      const [connect, ...others] = publisher().start().sent()
      assert.strictEqual(others.length, 0)
      assert.strictEqual(connect!.chunkStreamId, 3)
      assert.strictEqual(connect!.streamId, 0)
      const { name, object, transactionId } = command(connect!)
      assert.strictEqual(name, "connect")
      assert.strictEqual(transactionId, 1)
      assert.deepStrictEqual(
        [...Amf.entriesOf(object)!],
        [
          ["app", "live"],
          ["type", "nonprivate"],
          ["flashVer", "FMLE/3.0 (compatible; effect-rtmp)"],
          ["tcUrl", "rtmp://h:1935/live"],
          ["fourCcList", Amf.strictArray(["*"])],
          ["capsEx", 14]
        ]
      )
    })

    it("sets its chunk size, then asks for a stream and publishes on it", () => {
      const script = publisher({ chunkSize: 4096 }).start()
      script.sent()
      const [chunkSize, ...commands] = script.reply(call("_result", 1, [null, connectInformation])).sent()
      assert.deepStrictEqual(ProtocolControl.decode(chunkSize!), Result.succeed({ _tag: "SetChunkSize", size: 4096 }))
      assert.deepStrictEqual(
        commands.map(command).map(({ args, name, transactionId }) => [name, transactionId, ...args]),
        [
          ["releaseStream", 2, "key?secret=1"],
          ["FCPublish", 3, "key?secret=1"],
          ["createStream", 4]
        ]
      )
      const [publish, ...none] = script.reply(call("_result", 4, [null, 7])).sent()
      assert.strictEqual(none.length, 0)
      assert.strictEqual(publish!.streamId, 7)
      assert.deepStrictEqual([command(publish!).name, ...command(publish!).args], ["publish", "key?secret=1", "live"])
      assert.strictEqual(script.client.state, "PublishRequested")
      script.reply(status("NetStream.Publish.Start", "status", "", 7))
      assert.strictEqual(script.client.state, "Publishing")
      assert.deepStrictEqual(tags(script), [
        "HandshakeCompleted",
        "Connected",
        "StreamCreated",
        "Status",
        "PublishStarted"
      ])
      assert.deepStrictEqual(last(script), { _tag: "PublishStarted", streamId: 7 })
    })

    it("goes on though releaseStream and FCPublish are refused or never answered", () => {
      const script = publisher()
        .start()
        .reply(call("_result", 1, [null, connectInformation]))
      script.reply(call("_error", 2, [null, connectInformation]), call("onFCPublish", 0, [null, connectInformation]))
      assert.strictEqual(script.client.state, "StreamRequested")
    })

    it("sends a batch of media as one array, on its own ids and with its own timestamps", () => {
      const script = publisher().started()
      script.sent()
      const batch = [
        media(Message.VIDEO, Uint8Array.of(0x17, 0), 40),
        media(Message.AUDIO, Uint8Array.of(0xaf, 0), 41),
        media(Message.DATA_AMF0, Amf0.encode(["onCuePoint", null]), 42)
      ]
      const outputs = script.client.publish(batch.map((message) => ({ ...message, streamId: 9, chunkStreamId: 77 })))
      assert.strictEqual(outputs.length, 1)
      const sent = script.take(outputs).sent()
      assert.deepStrictEqual(
        sent.map(({ chunkStreamId, streamId, timestamp }) => [chunkStreamId, streamId, timestamp]),
        [
          [6, 1, 40],
          [4, 1, 41],
          [5, 1, 42]
        ]
      )
      assert.deepStrictEqual(
        sent.map(({ payload }) => Bytes.hex(payload)),
        batch.map(({ payload }) => Bytes.hex(payload))
      )
    })

    it("puts metadata behind @setDataFrame, once", () => {
      const script = publisher().started()
      script.sent()
      const metadata = Amf0.encode(["onMetaData", Amf.object({ width: 2 })])
      const framed = Amf0.encode(["@setDataFrame", "onMetaData", Amf.object({ width: 2 })])
      script.take(script.client.publish([media(Message.DATA_AMF0, metadata), media(Message.DATA_AMF0, framed)]))
      for (const { payload } of script.sent()) assert.strictEqual(Bytes.hex(payload), Bytes.hex(framed))
    })

    it("throws for media before the start, and for messages that are no media", () => {
      const script = publisher().requested()
      assert.throws(() => script.client.publish([media(Message.AUDIO, Bytes.empty)]), /PublishRequested/)
      script.reply(status("NetStream.Publish.Start"))
      assert.throws(() => script.client.publish([call("connect", 1, [])]), RangeError)
    })

    it("says FCUnpublish and deleteStream when it closes, and nothing after", () => {
      const script = publisher().started()
      script.sent()
      const sent = script.take(script.client.close()).sent().map(command)
      assert.deepStrictEqual(
        sent.map(({ args, name }) => [name, ...args]),
        [
          ["FCUnpublish", "key?secret=1"],
          ["deleteStream", 1]
        ]
      )
      assert.deepStrictEqual(last(script), { _tag: "Ended", end: "Closed" })
      assert.strictEqual(script.client.state, "Disconnected")
      assert.strictEqual(script.client.close().length, 0)
      assert.strictEqual(script.client.disconnect().length, 0)
      assert.strictEqual(script.client.publish([media(Message.AUDIO, Bytes.empty)]).length, 0)
    })

    it("closes without a word about a stream that was never created", () => {
      const script = publisher().start()
      script.sent()
      assert.deepStrictEqual(script.take(script.client.close()).sentNames(), [])
      assert.deepStrictEqual(last(script), { _tag: "Ended", end: "Closed" })
    })

    it("ends when the server unpublishes it", () => {
      const script = publisher().started().reply(status("NetStream.Unpublish.Success"))
      assert.deepStrictEqual(last(script), { _tag: "Ended", end: "Unpublished" })
    })
  })

  describe("play", () => {
    it("connects as a player does, and plays with a buffer length", () => {
      const script = player({ bufferMs: 1234 }).start()
      const { object } = command(script.sent()[0]!)
      assert.isUndefined(Amf.getString(object, "type"))
      assert.strictEqual(Amf.getNumber(object, "videoFunction"), 1)
      script.reply(call("_result", 1, [null, connectInformation]))
      assert.deepStrictEqual(script.sentNames(), ["type 1", "createStream"])
      const [play, buffer] = script.reply(call("_result", 2, [null, 1])).sent()
      assert.strictEqual(play!.streamId, 1)
      assert.deepStrictEqual([command(play!).name, ...command(play!).args], ["play", "key?secret=1", -2])
      assert.deepStrictEqual(
        UserControl.decode(buffer!.payload),
        Result.succeed({ _tag: "SetBufferLength", streamId: 1, bufferMs: 1234 })
      )
    })

    for (const code of ["NetStream.Play.Start", "NetStream.Play.PublishNotify"]) {
      it(`starts with ${code}`, () => {
        const script = player().requested().reply(status("NetStream.Play.Reset"), status(code))
        assert.strictEqual(script.client.state, "Playing")
        assert.deepStrictEqual(last(script), { _tag: "PlayStarted", streamId: 1 })
      })
    }

    it("starts with media where no status comes, and loses none of it", () => {
      const script = player()
        .requested()
        .reply(media(Message.VIDEO, Uint8Array.of(0x17), 5), media(Message.AUDIO, Uint8Array.of(0xaf), 6))
      assert.deepStrictEqual(tags(script).slice(-3), ["PlayStarted", "Media", "Media"])
      script.reply(status("NetStream.Play.Start"))
      assert.strictEqual(tags(script).filter((tag) => tag === "PlayStarted").length, 1)
    })

    it("gives out audio, video, data and aggregates as they came", () => {
      const script = player().started()
      const messages = [Message.AUDIO, Message.VIDEO, Message.DATA_AMF0, Message.DATA_AMF3, Message.AGGREGATE].map(
        (typeId, i) => media(typeId, Uint8Array.of(typeId, i, 3), 1000 + i)
      )
      script.reply(...messages)
      const got = script.outputs.flatMap((output) => (output._tag === "Media" ? [output.message] : []))
      assert.deepStrictEqual(got, messages)
    })

    it("ends with UnpublishNotify, Stop, Complete or StreamEOF of its stream", () => {
      for (const code of ["UnpublishNotify", "Stop", "Complete"]) {
        const script = player()
          .started()
          .reply(status(`NetStream.Play.${code}`))
        assert.deepStrictEqual(last(script), { _tag: "Ended", end: "Unpublished" })
      }
      const script = player().started().reply(UserControl.streamEof(2))
      assert.strictEqual(script.client.state, "Playing")
      script.reply(UserControl.streamEof(1))
      assert.deepStrictEqual(tags(script).slice(-2), ["StreamEof", "Ended"])
      assert.deepStrictEqual(last(script), { _tag: "Ended", end: "StreamEof" })
    })

    it("reports StreamDry and goes on", () => {
      const script = player().started().reply(UserControl.streamDry(1))
      assert.deepStrictEqual(last(script), { _tag: "StreamDry", streamId: 1 })
      assert.strictEqual(script.client.state, "Playing")
    })

    it("says deleteStream when it closes", () => {
      const script = player().started()
      script.sent()
      assert.deepStrictEqual(script.take(script.client.close()).sentNames(), ["deleteStream"])
    })

    it("gives out nothing more of a read in which it ended", () => {
      const script = player()
        .started()
        .reply(status("NetStream.Play.Stop"), media(Message.AUDIO, Uint8Array.of(0xaf)), UserControl.streamEof(1))
      assert.deepStrictEqual(last(script), { _tag: "Ended", end: "Unpublished" })
      assert.strictEqual(script.client.receive(Uint8Array.of(1, 2, 3), 0).length, 0)
    })
  })

  describe("refusals", () => {
    const rejected = (code: string, level = "error") => Amf.object({ level, code, description: "no\r\n\u{1b}[31m way" })

    it("of connect arrive as _error, or as onStatus from SRS", () => {
      for (const refusal of [
        call("_error", 1, [null, rejected("NetConnection.Connect.Rejected")]),
        status("NetConnection.Connect.Rejected", "error", "no\r\n\u{1b}[31m way", 0)
      ]) {
        const error = failure(publisher().start().reply(refusal))
        assert.strictEqual(error.reason, "ConnectRejected")
        assert.strictEqual(error.stage, "ConnectRequested")
        assert.strictEqual(error.code, "NetConnection.Connect.Rejected")
        assert.strictEqual(
          error.message,
          "the server refused the connection: NetConnection.Connect.Rejected, no\u{FFFD}\u{FFFD}\u{FFFD}[31m way"
        )
      }
    })

    it("of createStream, publish and play are told from one another by their stage", () => {
      const create = publisher()
        .start()
        .reply(call("_result", 1, [null, connectInformation]))
      const createError = failure(create.reply(call("_error", 4, [null, rejected("NetConnection.Call.Failed")])))
      assert.deepInclude({ ...createError }, { reason: "StreamRejected", stage: "StreamRequested" })
      const publish = failure(publisher().requested().reply(status("NetStream.Publish.BadName", "error")))
      assert.deepInclude({ ...publish }, { reason: "StreamRejected", stage: "PublishRequested" })
      const play = failure(player().requested().reply(status("NetStream.Play.StreamNotFound", "error")))
      assert.deepInclude({ ...play }, { reason: "StreamRejected", code: "NetStream.Play.StreamNotFound" })
    })

    it("after the start are another failure", () => {
      for (const script of [publisher(), player()]) {
        const error = failure(script.started().reply(status("NetStream.Failed", "error", "kicked")))
        assert.strictEqual(error.reason, "StreamFailed")
        assert.strictEqual(error.message, "the server ended the stream: NetStream.Failed, kicked")
      }
    })

    it("that are long are cut short", () => {
      const error = failure(
        publisher()
          .start()
          .reply(status("x", "error", "y".repeat(10_000)))
      )
      assert.isBelow(error.message.length, 300)
    })

    it("of warning level are none", () => {
      const script = player().started().reply(status("NetStream.Play.InsufficientBW", "warning"))
      assert.strictEqual(script.client.state, "Playing")
      assert.strictEqual(last(script)._tag, "Status")
    })
  })

  describe("unexpected input", () => {
    it("is ignored where it is an answer to something else", () => {
      const script = publisher()
        .start()
        .reply(
          call("_result", 9, [null, connectInformation]),
          call("_error", 2, [null, connectInformation]),
          call("onBWDone", 0, [null]),
          call("anything", 8, [null, 1])
        )
      assert.strictEqual(script.client.state, "ConnectRequested")
      script.reply(call("_result", 1, [null, connectInformation]), call("_result", 1, [null, 3]))
      assert.strictEqual(script.client.state, "StreamRequested")
    })

    it("is ignored where it is too short to mean anything, or no command", () => {
      const short = (typeId: number, payload: string): Message.Message => ({
        typeId,
        streamId: 0,
        chunkStreamId: 2,
        timestamp: 0,
        payload: Bytes.fromHex(payload)
      })
      const script = player()
        .started()
        .reply(
          short(Message.USER_CONTROL, "00"),
          short(Message.USER_CONTROL, "0006"),
          short(Message.USER_CONTROL, "001a01"),
          short(Message.COMMAND_AMF0, "05"),
          short(Message.COMMAND_AMF3, "01"),
          short(99, "0102")
        )
      assert.strictEqual(script.client.state, "Playing")
    })

    it("fails where a command is malformed, or a stream id impossible", () => {
      const malformed = { ...call("x", 0, []), payload: Bytes.fromHex("02000178 03 000161") }
      assert.strictEqual(failure(publisher().start().reply(malformed)).reason, "MalformedCommand")
      for (const streamId of [0, -1, 1.5, 2 ** 32, Number.NaN, "1", null, undefined]) {
        const script = player()
          .start()
          .reply(call("_result", 1, [null, connectInformation]))
        assert.strictEqual(failure(script.reply(call("_result", 2, [null, streamId]))).reason, "MalformedCommand")
      }
    })

    it("fails where chunks cannot be read, after what was complete in front of them", () => {
      const script = player().started()
      const good = ChunkWriter.make().write(media(Message.AUDIO, Uint8Array.of(0xaf, 1), 9))
      script.raw(Bytes.concat([good, Bytes.fromHex("fe")]))
      assert.deepStrictEqual(tags(script).slice(-2), ["Media", "Failed"])
      const output = last(script)
      assert(output._tag === "Failed" && output.error._tag === "ChunkError")
      assert.strictEqual(output.error.reason, "UninitialisedChunkStream")
    })

    it("fails where the handshake does", () => {
      const { client } = publisher()
      client.start(0)
      const [output] = client.receive(Bytes.fromUtf8("HTTP/1.1 400 Bad Request\r\n"), 0)
      assert(output?._tag === "Failed" && output.error._tag === "ClientHandshakeError")
      assert.strictEqual(output.error.reason, "HttpServer")
      assert.strictEqual(client.state, "Disconnected")
    })
  })

  describe("keeping the connection", () => {
    it("answers pings in every state, the newest of each read", () => {
      const script = publisher().start()
      script.sent()
      const pong = (timestamp: number) => Result.succeed({ _tag: "PingResponse", timestamp } as const)
      const answers = (sent: ReadonlyArray<Message.Message>) => sent.map(({ payload }) => UserControl.decode(payload))
      script.reply(UserControl.pingRequest(1), UserControl.pingRequest(0xfffffffe))
      assert.deepStrictEqual(answers(script.sent()), [pong(0xfffffffe)])
      const playing = player().started()
      playing.sent()
      assert.deepStrictEqual(answers(playing.reply(UserControl.pingRequest(7)).sent()), [pong(7)])
    })

    it("answers Set Peer Bandwidth with its window, unless that is the last one or senseless", () => {
      const script = player().started()
      script.sent()
      const bandwidth = (size: number): Message.Message => ({
        ...ProtocolControl.setPeerBandwidth(1, "dynamic"),
        payload: Bytes.fromHex(`${size.toString(16).padStart(8, "0")}02`)
      })
      script.reply(bandwidth(2_500_000), bandwidth(2_500_000), bandwidth(0), bandwidth(0x80000000))
      assert.deepStrictEqual(
        script.sent().map((message) => ProtocolControl.decode(message)),
        [Result.succeed({ _tag: "WindowAckSize", size: 2_500_000 } as const)]
      )
    })

    it("acknowledges at the server's window, at most once a read, and never for a window of 0", () => {
      const script = player().started().reply(ProtocolControl.windowAckSize(100_000))
      script.sent()
      const before = script.client.bytesReceived
      const acknowledged: Array<number> = []
      const payload = new Uint8Array(30_000)
      for (let i = 0; i < 20; i++) {
        script.reply(media(Message.VIDEO, payload, i))
        for (const message of script.sent()) {
          const control = Result.getOrThrow(ProtocolControl.decode(message))
          assert(control._tag === "Acknowledgement")
          assert.strictEqual(control.sequence, script.client.bytesReceived)
          acknowledged.push(control.sequence)
        }
      }
      const received = script.client.bytesReceived - before
      assert.strictEqual(acknowledged.length, Math.floor(received / 120_000))
      script.reply({ ...ProtocolControl.windowAckSize(1), payload: new Uint8Array(4) })
      for (let i = 0; i < 20; i++) script.reply(media(Message.VIDEO, payload, i))
      assert.strictEqual(script.sent().length, 0)
    })

    it("treats tiny windows as 64 KiB", () => {
      const script = player().started().reply(ProtocolControl.windowAckSize(1))
      script.sent()
      for (let i = 0; i < 100; i++) script.reply(media(Message.AUDIO, new Uint8Array(1_000), i))
      assert.strictEqual(script.sent().length, 1)
    })

    it("gives up when the start takes too long, whatever arrives meanwhile", () => {
      for (const advance of [
        (script: Script) => script.start(),
        (script: Script) => script.start().reply(call("_result", 1, [null, connectInformation])),
        (script: Script) => script.requested()
      ]) {
        const script = advance(publisher({ startTimeoutMs: 5_000 }))
        const { client } = script
        const stage = client.state
        assert.strictEqual(client.nextDeadlineMs(), 6_000)
        script.nowMs = 5_999
        script.reply(UserControl.pingRequest(1)).take(client.tick(5_999))
        assert.strictEqual(client.state, stage)
        assert.deepInclude({ ...failure(script.take(client.tick(6_000))) }, { reason: "StartTimeout", stage })
      }
    })

    it("pings a silent server at half the time, and gives it up at the whole", () => {
      const script = player({ silenceTimeoutMs: 60_000 }).started()
      const { client } = script
      script.sent()
      assert.strictEqual(client.nextDeadlineMs(), 31_000)
      assert.deepStrictEqual(script.take(client.tick(30_999)).sentNames(), [])
      assert.deepStrictEqual(script.take(client.tick(31_000)).sentNames(), ["type 4"])
      assert.deepStrictEqual(script.take(client.tick(32_000)).sentNames(), [])
      assert.strictEqual(client.nextDeadlineMs(), 61_000)
      script.nowMs = 60_000
      script.reply(UserControl.pingResponse(31_000))
      assert.strictEqual(client.nextDeadlineMs(), 90_000)
      script.take(client.tick(119_999))
      assert.strictEqual(client.state, "Playing")
      assert.strictEqual(failure(script.take(client.tick(120_000))).reason, "SilenceTimeout")
    })

    it("lets a publisher be silent for ever", () => {
      const { client } = publisher().started()
      assert.strictEqual(client.nextDeadlineMs(), Number.POSITIVE_INFINITY)
      assert.strictEqual(client.tick(1e12).length, 0)
    })

    it("fails when the connection goes away, and says when that was", () => {
      const script = publisher().requested()
      const error = failure(script.take(script.client.disconnect()))
      assert.deepInclude({ ...error }, { reason: "ConnectionClosed", stage: "PublishRequested" })
    })
  })

  it("throws when it is used before its start, or started twice", () => {
    const { client } = publisher()
    assert.throws(() => client.receive(Uint8Array.of(3), 0), /started/)
    client.start(0)
    assert.throws(() => client.start(0), /once/)
  })

  it.prop(
    "never throws and stays dead after its end, whatever a server sends",
    {
      intent: Schema.Literals(["publish", "play"]),
      garbage: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))
    },
    ({ garbage, intent }) => {
      const script = intent === "publish" ? publisher() : player()
      script.started().raw(Uint8Array.from(garbage)).raw(new Uint8Array(200).fill(0x5a))
      if (script.client.state === "Disconnected") assert.include(["Ended", "Failed"], last(script)._tag)
      script.take(script.client.close())
      assert.strictEqual(script.client.state, "Disconnected")
      assert.strictEqual(tags(script).filter((tag) => tag === "Ended" || tag === "Failed").length, 1)
    }
  )

  it("has transitions that close from everywhere and lead forwards only", () => {
    const order = Object.keys(transitions) as Array<keyof typeof transitions>
    for (const state of order) {
      const nexts = Object.entries(transitions[state])
      assert.strictEqual(transitions[state].close, state === "Disconnected" ? undefined : "Disconnected")
      for (const [, nextState] of nexts) assert.isAbove(order.indexOf(nextState), order.indexOf(state))
    }
  })

  it.effect("is made by its layer out of handshake, chunks and AMF", () =>
    Effect.gen(function* () {
      const sessions = yield* ClientSession.ClientSession
      const target: ClientTarget = { intent: "play", application: "a", stream: "s", tcUrl: "rtmp://h/a" }
      const client = sessions.make(target, { ...defaultClientOptions, digestHandshake: true })
      const [output] = client.start(0)
      assert(output?._tag === "Send")
      assert.strictEqual(output.bytes.length, 1537)
      assert.notStrictEqual(Bytes.u32(output.bytes, 5), 0)
    }).pipe(
      Effect.provide(
        ClientSession.ClientSession.layer.pipe(
          Layer.provide([
            ClientHandshake.ClientHandshakeService.layer.pipe(Layer.provide(NodeCrypto.layer)),
            ChunkReader.ChunkReading.layer,
            ChunkWriter.ChunkWriting.layer,
            AmfCodec.layer
          ])
        )
      )
    )
  )
})
