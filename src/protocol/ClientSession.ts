/**
 * One client-side RTMP connection as a state machine, to publish one stream or to play one: bytes and the time go in,
 * values come out.
 *
 * The counterpart of `ServerSession`. It knows no socket and no clock, and does the whole exchange by itself, from the
 * handshake to the start of the stream: `connect`, Set Chunk Size, `releaseStream`, `FCPublish`, `createStream`,
 * `publish`; or `connect`, `createStream`, `play`, SetBufferLength. States and outputs are in `ClientSessionState`.
 *
 * **Contract**
 *
 * - `start` comes first. All calls return the outputs that they caused, in order; `Send` bytes are to be written in that
 *   order and none may be left out, because later chunks build on earlier ones.
 * - After an `Ended` or `Failed` output the session is `Disconnected`; further calls return nothing.
 * - One session uses one message stream, so the message stream id of what the server sends is not looked at: nginx-rtmp
 *   and others put some statuses on 0.
 *
 * **Gotchas**
 *
 * - Where media comes before `NetStream.Play.Start`, the play counts as started: some servers never send the status.
 * - SRS refuses `connect` by an `onStatus` of level error instead of an `_error`.
 * - The server's Window Acknowledgement Size is honoured from 64 KiB on; smaller windows count as that.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { AmfCodec } from "./amf/AmfCodec.ts"
import type { AmfValue } from "./amf/AmfValue.ts"
import * as Amf from "./amf/AmfValue.ts"
import * as Bytes from "./Bytes.ts"
import type { ChunkReader } from "./ChunkReader.ts"
import { ChunkReading } from "./ChunkReader.ts"
import type { ChunkWriter } from "./ChunkWriter.ts"
import { ChunkWriting } from "./ChunkWriter.ts"
import { type ClientHandshake, ClientHandshakeService } from "./ClientHandshake.ts"
import type {
  ClientEnd,
  ClientFailure,
  ClientInput,
  ClientOptions,
  ClientOutput,
  ClientSessionReason,
  ClientState,
  ClientTarget
} from "./ClientSessionState.ts"
import { ClientSessionError, next } from "./ClientSessionState.ts"
import * as Command from "./Command.ts"
import * as Message from "./Message.ts"
import * as ProtocolControl from "./ProtocolControl.ts"
import * as UserControl from "./UserControl.ts"

/** The exchangeable parts of a client session, fresh for each connection where they hold state. */
export interface ClientParts {
  /** The client's side of the handshake, not started. */
  readonly handshake: ClientHandshake
  /** Reads what the server sends. */
  readonly reader: ChunkReader
  /** Writes what the client sends. */
  readonly writer: ChunkWriter
  /** Decodes commands. */
  readonly decodeCommand: Command.DecodeValues
}

/** One client-side connection. See the contract of this module. */
export interface ClientMachine {
  /** Where the session stands. */
  readonly state: ClientState
  /** The message stream id from the server; 0 before `StreamCreated`. */
  readonly streamId: number
  /** Bytes received, those of the handshake included. */
  readonly bytesReceived: number
  /** Begins with C0 and C1. Throws on a second call. */
  readonly start: (nowMs: number) => ReadonlyArray<ClientOutput>
  /** Takes bytes from the server, in any partition. */
  readonly receive: (bytes: Uint8Array, nowMs: number) => ReadonlyArray<ClientOutput>
  /**
   * Sends media messages on the stream, which must have started (`PublishStarted`): one `Send` for all of them.
   *
   * Type, timestamp and payload are taken as they are, stream and chunk stream ids are the session's own: audio goes on
   * chunk stream 4, video on 6, the rest on 5. `onMetaData` in AMF0 is put behind `@setDataFrame`, which is how servers
   * know it for metadata to keep. Throws where the session does not publish, and for messages that are no media.
   */
  readonly publish: (messages: ReadonlyArray<Message.Message>) => ReadonlyArray<ClientOutput>
  /** Ends in order: `FCUnpublish` and `deleteStream` as far as they apply, then `Ended`. */
  readonly close: () => ReadonlyArray<ClientOutput>
  /** Tells that the connection is gone: `Failed` with `ConnectionClosed`, unless the session has ended before. */
  readonly disconnect: () => ReadonlyArray<ClientOutput>
  /** Does what is due at `nowMs`: deadlines and pings. */
  readonly tick: (nowMs: number) => ReadonlyArray<ClientOutput>
  /** When `tick` is to be called next; infinity for not at all. It can only come nearer through the calls above. */
  readonly nextDeadlineMs: () => number
}

/** Makes a session over fresh parts. */
export const make = (target: ClientTarget, options: ClientOptions, parts: ClientParts): ClientMachine =>
  new Session(target, options, parts)

/**
 * Makes client sessions out of the services for handshake, chunks and AMF.
 *
 * Replace any of these alone to change how a client speaks.
 */
export class ClientSession extends Context.Service<
  ClientSession,
  {
    /** Makes the session of one connection. */
    readonly make: (target: ClientTarget, options: ClientOptions) => ClientMachine
  }
>()("effect-rtmp/protocol/ClientSession") {
  /** The sessions of this module. */
  static readonly layer: Layer.Layer<
    ClientSession,
    never,
    ClientHandshakeService | ChunkReading | ChunkWriting | AmfCodec
  > = Layer.effect(
    ClientSession,
    Effect.gen(function* () {
      const handshake = yield* ClientHandshakeService
      const reading = yield* ChunkReading
      const writing = yield* ChunkWriting
      const amf = yield* AmfCodec
      return ClientSession.of({
        make: (target, options) =>
          make(target, options, {
            handshake: handshake.make({ digest: options.digestHandshake, strict: options.strictHandshake }),
            reader: reading.make(options.chunks),
            writer: writing.make(),
            decodeCommand: amf.decode0
          })
      })
    })
  )
}

const COMMAND_CHUNK_STREAM = 3
const AUDIO_CHUNK_STREAM = 4
const DATA_CHUNK_STREAM = 5
const VIDEO_CHUNK_STREAM = 6
const STREAM_COMMAND_CHUNK_STREAM = 8

// Below this, a server asks for so many acknowledgements that sending them costs more than its media.
const minAckWindowBytes = 65_536

/** "onMetaData" as an AMF0 string: how a data message with metadata begins. */
const onMetaData = Bytes.fromHex("02000a6f6e4d65746144617461")

/** "@setDataFrame" as an AMF0 string. */
const setDataFrame = Bytes.fromHex("02000d40736574446174614672616d65")

const noOutputs: ReadonlyArray<ClientOutput> = []

class Session implements ClientMachine {
  state: ClientState = "Idle"
  streamId = 0
  bytesReceived = 0
  readonly #target: ClientTarget
  readonly #options: ClientOptions
  readonly #parts: ClientParts
  #outputs: Array<ClientOutput> = []
  #unsent: Array<Uint8Array> = []
  #transaction = 0
  #connectTransaction = 0
  #createTransaction = 0
  // Deadlines
  #startedMs = 0
  #lastReceivedMs = 0
  #pinged = false
  // Acknowledgements
  #acknowledged = 0
  #ackWindow = Number.POSITIVE_INFINITY
  #announcedWindow = 0
  #pingAnswer: number | undefined

  constructor(target: ClientTarget, options: ClientOptions, parts: ClientParts) {
    this.#target = target
    this.#options = options
    this.#parts = parts
  }

  // Inputs

  readonly start = (nowMs: number): ReadonlyArray<ClientOutput> => {
    if (!this.#move("start")) throw new Error("a client session starts once")
    this.#startedMs = nowMs
    this.#lastReceivedMs = nowMs
    this.#unsent.push(this.#parts.handshake.start(nowMs))
    return this.#take()
  }

  readonly receive = (bytes: Uint8Array, nowMs: number): ReadonlyArray<ClientOutput> => {
    if (this.state === "Idle") throw new Error("a client session has to be started before it takes bytes")
    if (this.state === "Disconnected" || bytes.length === 0) return noOutputs
    this.#lastReceivedMs = nowMs
    this.#pinged = false
    this.bytesReceived += bytes.length
    if (this.state === "Handshaking") this.#shakeHands(bytes, nowMs)
    else this.#read(bytes)
    this.#answerPing()
    this.#acknowledge()
    return this.#take()
  }

  readonly publish = (messages: ReadonlyArray<Message.Message>): ReadonlyArray<ClientOutput> => {
    if (this.state === "Disconnected" || messages.length === 0) return noOutputs
    if (this.state !== "Publishing") throw new Error(`media cannot be published while ${this.state}`)
    const addressed = new Array<Message.Message>(messages.length)
    for (let i = 0; i < messages.length; i++) addressed[i] = this.#addressed(messages[i]!)
    this.#unsent.push(this.#parts.writer.writeAll(addressed))
    return this.#take()
  }

  readonly close = (): ReadonlyArray<ClientOutput> => {
    if (this.state === "Disconnected") return noOutputs
    if (this.streamId !== 0) {
      if (this.#target.intent === "publish") this.#call("FCUnpublish", [null, this.#target.stream])
      this.#call("deleteStream", [null, this.streamId])
    }
    this.#end("Closed")
    return this.#take()
  }

  readonly disconnect = (): ReadonlyArray<ClientOutput> => {
    if (this.state === "Disconnected") return noOutputs
    this.#fail("ConnectionClosed", `the connection ended while ${this.state}`)
    return this.#take()
  }

  readonly tick = (nowMs: number): ReadonlyArray<ClientOutput> => {
    if (this.state === "Idle" || this.state === "Publishing" || this.state === "Disconnected") return noOutputs
    if (this.state === "Playing") {
      const silentMs = nowMs - this.#lastReceivedMs
      if (silentMs >= this.#options.silenceTimeoutMs) {
        this.#fail("SilenceTimeout", `nothing received for ${(silentMs / 1000).toFixed(1)} s`)
      } else if (silentMs >= this.#options.silenceTimeoutMs / 2 && !this.#pinged) {
        this.#pinged = true
        this.#send(UserControl.pingRequest(nowMs >>> 0))
      }
    } else if (nowMs - this.#startedMs >= this.#options.startTimeoutMs) {
      const seconds = ((nowMs - this.#startedMs) / 1000).toFixed(1)
      this.#fail("StartTimeout", `still ${this.state} after ${seconds} s`)
    }
    return this.#take()
  }

  readonly nextDeadlineMs = (): number => {
    switch (this.state) {
      case "Idle":
      case "Publishing":
      case "Disconnected":
        return Number.POSITIVE_INFINITY
      case "Playing":
        return this.#lastReceivedMs + this.#options.silenceTimeoutMs / (this.#pinged ? 1 : 2)
      default:
        return this.#startedMs + this.#options.startTimeoutMs
    }
  }

  // Reading

  #shakeHands(bytes: Uint8Array, nowMs: number): void {
    const result = this.#parts.handshake.push(bytes, nowMs)
    if (Result.isFailure(result)) {
      this.#failWith(result.failure)
      return
    }
    const { complete, send } = result.success
    if (send.length > 0) this.#unsent.push(send)
    if (complete === undefined) return
    this.#move("handshakeDone")
    this.#output({ _tag: "HandshakeCompleted", kind: complete.kind, echoMatches: complete.echoMatches })
    this.#connect()
    if (complete.rest.length > 0) this.#read(complete.rest)
  }

  #read(bytes: Uint8Array): void {
    const result = this.#parts.reader.push(bytes)
    const messages = Result.isFailure(result) ? result.failure.messages : result.success
    for (let i = 0; i < messages.length && this.state !== "Disconnected"; i++) this.#handle(messages[i]!)
    if (Result.isFailure(result)) this.#failWith(result.failure)
  }

  #handle(message: Message.Message): void {
    switch (message.typeId) {
      case Message.AUDIO:
      case Message.VIDEO:
      case Message.DATA_AMF0:
      case Message.DATA_AMF3:
      case Message.AGGREGATE:
        if (this.state === "PlayRequested") this.#playStarted()
        if (this.state === "Playing") this.#output({ _tag: "Media", message })
        return
      case Message.COMMAND_AMF0:
      case Message.COMMAND_AMF3:
        this.#command(message)
        return
      case Message.WINDOW_ACK_SIZE:
      case Message.SET_PEER_BANDWIDTH:
        this.#control(message)
        return
      case Message.USER_CONTROL:
        this.#userControl(message)
        return
    }
  }

  #control(message: Message.Message): void {
    const decoded = ProtocolControl.decode(message)
    if (Result.isFailure(decoded)) return
    const control = decoded.success
    if (control._tag === "WindowAckSize") {
      this.#ackWindow = control.size === 0 ? Number.POSITIVE_INFINITY : Math.max(control.size, minAckWindowBytes)
    } else if (control._tag === "SetPeerBandwidth" && control.size !== this.#announcedWindow) {
      // RTMP 1.0 §5.4.5 asks for it, with the window that the server has just set.
      if (control.size === 0 || control.size > 0x7fffffff) return
      this.#announcedWindow = control.size
      this.#send(ProtocolControl.windowAckSize(control.size))
    }
  }

  #userControl(message: Message.Message): void {
    const decoded = UserControl.decode(message.payload)
    if (Result.isFailure(decoded)) return
    const event = decoded.success
    switch (event._tag) {
      case "PingRequest":
        // A flood of pings gets one answer for each read, the newest.
        this.#pingAnswer = event.timestamp
        return
      case "StreamDry":
        this.#output({ _tag: "StreamDry", streamId: event.streamId })
        return
      case "StreamEof":
        this.#output({ _tag: "StreamEof", streamId: event.streamId })
        if (this.state === "Playing" && event.streamId === this.streamId) this.#end("StreamEof")
        return
    }
  }

  #command(message: Message.Message): void {
    const decoded = Command.decode(message, this.#options.amf, this.#parts.decodeCommand)
    if (Result.isFailure(decoded)) {
      if (decoded.failure.reason === "Malformed") this.#fail("MalformedCommand", decoded.failure.message)
      return
    }
    const command = decoded.success
    switch (command.name) {
      case "_result":
        this.#result(command)
        return
      case "_error":
        this.#error(command)
        return
      case "onStatus":
        this.#status(command, message.streamId)
        return
    }
  }

  #result(command: Command.Command): void {
    if (this.state === "ConnectRequested" && command.transactionId === this.#connectTransaction) {
      this.#move("connected")
      this.#output({ _tag: "Connected", properties: command.object, information: command.args[0] })
      this.#createStream()
    } else if (this.state === "StreamRequested" && command.transactionId === this.#createTransaction) {
      const streamId = command.args[0]
      if (typeof streamId !== "number" || !Number.isInteger(streamId) || streamId < 1 || streamId > 0xffffffff) {
        this.#fail("MalformedCommand", "the result of createStream is no message stream id")
        return
      }
      this.streamId = streamId
      this.#output({ _tag: "StreamCreated", streamId })
      if (this.#target.intent === "publish") this.#requestPublish()
      else this.#requestPlay()
    }
  }

  #error(command: Command.Command): void {
    const { code, description } = statusOf(command)
    if (this.state === "ConnectRequested" && command.transactionId === this.#connectTransaction) {
      this.#fail("ConnectRejected", explain("the server refused the connection", code, description), code)
    } else if (this.state === "StreamRequested" && command.transactionId === this.#createTransaction) {
      this.#fail("StreamRejected", explain("the server refused to create a stream", code, description), code)
    }
  }

  #status(command: Command.Command, streamId: number): void {
    const status = statusOf(command)
    const { code } = status
    this.#output({ _tag: "Status", streamId, status })
    if (status.level === "error") {
      const reason =
        this.state === "ConnectRequested"
          ? "ConnectRejected"
          : this.state === "Publishing" || this.state === "Playing"
            ? "StreamFailed"
            : "StreamRejected"
      this.#fail(reason, explain(refusals[reason], code, status.description), code)
    } else if (this.state === "PublishRequested") {
      if (code !== "NetStream.Publish.Start") return
      this.#move("publishStarted")
      this.#output({ _tag: "PublishStarted", streamId: this.streamId })
    } else if (this.state === "Publishing") {
      if (code === "NetStream.Unpublish.Success") this.#end("Unpublished")
    } else if (this.state === "PlayRequested" || this.state === "Playing") {
      if (code === "NetStream.Play.Start" || code === "NetStream.Play.PublishNotify") this.#playStarted()
      else if (playEnds.has(code)) this.#end("Unpublished")
    }
  }

  // Asking

  #connect(): void {
    const target = this.#target
    const isPublish = target.intent === "publish"
    const members: Record<string, AmfValue> = { app: target.application }
    if (isPublish) members.type = "nonprivate"
    members.flashVer =
      this.#options.flashVer ?? (isPublish ? "FMLE/3.0 (compatible; effect-rtmp)" : "LNX 9,0,124,2 (effect-rtmp)")
    members.tcUrl = target.tcUrl
    if (!isPublish) {
      members.fpad = false
      members.capabilities = 15
      members.audioCodecs = 4071
      members.videoCodecs = 252
      members.videoFunction = 1
    }
    members.fourCcList = Amf.strictArray(["*"])
    members.capsEx = this.#options.capsEx
    this.#connectTransaction = this.#call("connect", [Amf.object(members)])
  }

  #createStream(): void {
    this.#send(ProtocolControl.setChunkSize(this.#options.chunkSize))
    if (this.#target.intent === "publish") {
      this.#call("releaseStream", [null, this.#target.stream])
      this.#call("FCPublish", [null, this.#target.stream])
    }
    this.#createTransaction = this.#call("createStream", [null])
  }

  #requestPublish(): void {
    this.#move("publish")
    this.#callStream("publish", [null, this.#target.stream, "live"])
  }

  #requestPlay(): void {
    this.#move("play")
    // -2 is "live, or else recorded", what players send by default (RTMP 1.0 §7.2.2.1).
    this.#callStream("play", [null, this.#target.stream, -2])
    this.#send(UserControl.setBufferLength(this.streamId, this.#options.bufferMs))
  }

  #playStarted(): void {
    if (this.#move("playStarted")) this.#output({ _tag: "PlayStarted", streamId: this.streamId })
  }

  #call(name: string, values: ReadonlyArray<AmfValue>): number {
    const transactionId = ++this.#transaction
    this.#send(Command.encode({ name, transactionId, values, streamId: 0, chunkStreamId: COMMAND_CHUNK_STREAM }))
    return transactionId
  }

  #callStream(name: string, values: ReadonlyArray<AmfValue>): void {
    const transactionId = ++this.#transaction
    const { streamId } = this
    this.#send(Command.encode({ name, transactionId, values, streamId, chunkStreamId: STREAM_COMMAND_CHUNK_STREAM }))
  }

  #addressed(message: Message.Message): Message.Message {
    const { payload, timestamp, typeId } = message
    if (!Message.isMedia(typeId)) throw new RangeError(`message type ${typeId} is no media`)
    return {
      typeId,
      streamId: this.streamId,
      chunkStreamId:
        typeId === Message.AUDIO
          ? AUDIO_CHUNK_STREAM
          : typeId === Message.VIDEO
            ? VIDEO_CHUNK_STREAM
            : DATA_CHUNK_STREAM,
      timestamp,
      payload:
        typeId === Message.DATA_AMF0 && startsWith(payload, onMetaData)
          ? Bytes.concat([setDataFrame, payload])
          : payload
    }
  }

  // Ends

  #end(end: ClientEnd): void {
    this.#output({ _tag: "Ended", end })
    this.#move("close")
  }

  #fail(reason: ClientSessionReason, detail: string, code?: string): void {
    const stage = this.state
    this.#failWith(
      new ClientSessionError(
        code === undefined || code === "" ? { reason, stage, detail } : { reason, stage, detail, code: printable(code) }
      )
    )
  }

  #failWith(error: ClientFailure): void {
    if (this.state === "Disconnected") return
    this.#output({ _tag: "Failed", error })
    this.#move("close")
  }

  // Outputs

  #answerPing(): void {
    if (this.#pingAnswer === undefined) return
    this.#send(UserControl.pingResponse(this.#pingAnswer))
    this.#pingAnswer = undefined
  }

  #acknowledge(): void {
    if (this.bytesReceived - this.#acknowledged < this.#ackWindow) return
    this.#acknowledged = this.bytesReceived
    // Counted with the 3,073 bytes of the handshake, as librtmp does; no server checks it.
    this.#send(ProtocolControl.acknowledgement(this.bytesReceived % 0x1_0000_0000))
  }

  #send(message: Message.Message): void {
    if (this.state !== "Disconnected") this.#unsent.push(this.#parts.writer.write(message))
  }

  #output(output: ClientOutput): void {
    this.#flush()
    this.#outputs.push(output)
  }

  #move(input: ClientInput): boolean {
    const state = next(this.state, input)
    if (state === undefined) return false
    this.state = state
    return true
  }

  #flush(): void {
    if (this.#unsent.length === 0) return
    const unsent = this.#unsent
    this.#unsent = []
    this.#outputs.push({ _tag: "Send", bytes: unsent.length === 1 ? unsent[0]! : Bytes.concat(unsent) })
  }

  #take(): ReadonlyArray<ClientOutput> {
    this.#flush()
    if (this.#outputs.length === 0) return noOutputs
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }
}

/** Statuses after which nothing more comes of a stream that is played. */
const playEnds: ReadonlySet<string> = new Set([
  "NetStream.Play.UnpublishNotify",
  "NetStream.Play.Stop",
  "NetStream.Play.Complete"
])

const refusals = {
  ConnectRejected: "the server refused the connection",
  StreamRejected: "the server refused the stream",
  StreamFailed: "the server ended the stream"
} as const

/** The information object is the last of the values; the command object in front of it is null. */
const statusOf = (command: Command.Command) => {
  const information = command.args.find((value) => Amf.entriesOf(value) !== undefined) ?? command.object
  return {
    level: Amf.getString(information, "level") ?? "",
    code: Amf.getString(information, "code") ?? "",
    description: Amf.getString(information, "description") ?? ""
  }
}

const explain = (what: string, code: string, description: string): string => {
  const said = [code, description].filter((text) => text !== "").join(", ")
  return said === "" ? what : `${what}: ${printable(said)}`
}

const MAX_SAID_CHARACTERS = 200

/** What a server said, fit for one log line. */
const printable = (text: string): string =>
  text.slice(0, MAX_SAID_CHARACTERS).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "\u{FFFD}")

const startsWith = (bytes: Uint8Array, start: Uint8Array): boolean =>
  bytes.length >= start.length && Bytes.equals(bytes.subarray(0, start.length), start)
