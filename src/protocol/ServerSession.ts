/**
 * One server-side RTMP connection as a state machine: bytes and the time go in, values come out.
 *
 * The session knows no socket, no clock and no stream. It answers what the protocol alone can answer (control messages,
 * pings, `createStream`, …) and turns the rest into outputs. Decisions that take time (may this key publish?) leave as
 * `ConnectRequested`, `PublishRequested` and `PlayRequested` with a request id and come back through `accept` or
 * `reject`, and then `resume`. Until then the session holds back whatever else has arrived: a client that pipelines
 * connect, createStream and play gets its answers in order. Whoever drives it should not read from the socket meanwhile, so that a client
 * that does not wait is slowed by TCP.
 *
 * **Contract**
 *
 * - `receive`, `accept`, `reject`, `tick` and the other calls return the outputs that they caused, in order. `Send`
 *   bytes are to be written in that order.
 * - After a `Close` output the session is `Disconnected`; further calls return nothing.
 * - Nothing of the bytes that were received is kept but copies: payloads of `Media` outputs are good for as long as the
 *   caller keeps them.
 * - Bytes written by others between two `Send` outputs (media for a viewer) must be whole chunks on chunk streams that
 *   the session does not use: it uses 2 and 3.
 *
 * Command names and reply sequences are those of RTMP 1.0 §7.2 as FFmpeg, OBS, GStreamer, librtmp and hardware encoders
 * need them; see `ServerCommands`.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { AmfCodec } from "./amf/AmfCodec.ts"
import type { AmfValue } from "./amf/AmfValue.ts"
import * as Bytes from "./Bytes.ts"
import type { ChunkError } from "./ChunkReader.ts"
import { ChunkReading } from "./ChunkReader.ts"
import { ChunkWriting } from "./ChunkWriter.ts"
import * as Command from "./Command.ts"
import { Handshake } from "./Handshake.ts"
import * as Message from "./Message.ts"
import * as ProtocolControl from "./ProtocolControl.ts"
import type { CommandContext, MessageStream } from "./ServerCommands.ts"
import { ServerCommands } from "./ServerCommands.ts"
import type {
  AnomalyKind,
  CloseError,
  ConnectRequest,
  Session,
  SessionOptions,
  SessionOutput,
  SessionStage,
  SessionStatistics,
  StreamRequest
} from "./Session.ts"
import { SessionError } from "./Session.ts"
import { commandsPerSecond, SessionBudgets, tinyMessagesPerSecond } from "./SessionBudgets.ts"
import type { DeadlinePhase } from "./SessionDeadlines.ts"
import { SessionDeadlines } from "./SessionDeadlines.ts"
import type { PendingRequest, SessionParts } from "./SessionParts.ts"
import type { SessionInput, SessionState } from "./SessionState.ts"
import * as SessionStateModule from "./SessionState.ts"
import type { Status } from "./Status.ts"
import * as StatusModule from "./Status.ts"
import * as UserControl from "./UserControl.ts"

// E-RTMP v2, CapsExMask.Reconnect.
const reconnectCapability = 1

const noOutputs: ReadonlyArray<SessionOutput> = []

// Below this, a client asks for so many acknowledgements that answering them costs more than its media.
const minAckWindow = 65_536

export type { SessionParts } from "./SessionParts.ts"

class SessionImpl implements Session, CommandContext {
  readonly options: SessionOptions
  readonly parts: SessionParts
  readonly streams = new Map<number, MessageStream>()
  state: SessionState = "Connecting"
  connect: ConnectRequest | undefined
  #endedIn: SessionStage | undefined
  /** What the reader failed with, while messages in front of the fault wait for a decision. */
  #failure: ChunkError | undefined
  #outputs: Array<SessionOutput> = []
  #unsent: Array<Uint8Array> = []
  #request: PendingRequest | undefined
  #requestId = 0
  #backlog: ReadonlyArray<Message.Message> = []
  #backlogAt = 0
  readonly #deadlines: SessionDeadlines
  // Acknowledgements
  #bytesReceived = 0
  #acknowledged = 0
  #ackWindow: number
  // Anomalies
  #anomalies = 0
  readonly #budgets: SessionBudgets
  #readerAnomalies = 0
  #unknownMessages = 0
  #unknownTypes: Set<number> | undefined
  #pingAnswer: number | undefined
  #now: number

  constructor(options: SessionOptions, parts: SessionParts, nowMs: number) {
    this.options = options
    this.parts = parts
    this.#deadlines = new SessionDeadlines(options, nowMs)
    this.#now = nowMs
    this.#budgets = new SessionBudgets(options.maxAnomalies, nowMs)
    this.#ackWindow = options.windowAckSize
    parts.reader.stopAtCommands?.()
  }

  get isWaiting(): boolean {
    return this.#request !== undefined
  }

  get canReconnect(): boolean {
    // As an integer of 32 bits: a client may send any double.
    return this.state !== "Disconnected" && ((this.connect?.capsEx ?? 0) & reconnectCapability) !== 0
  }

  get stage(): SessionStage {
    if (this.#endedIn !== undefined) return this.#endedIn
    switch (this.state) {
      case "Connecting":
      case "Handshaking": {
        const stage = this.parts.handshake.state
        return stage === "Complete" || stage === "Failed" ? this.state : stage
      }
      case "Connected":
        return this.connect === undefined ? "WaitingConnect" : this.state
      default:
        return this.state
    }
  }

  get statistics(): SessionStatistics {
    return {
      state: this.state,
      bytesReceived: this.#bytesReceived,
      anomalies: this.#anomalies,
      unknownMessages: this.#unknownMessages,
      connect: this.connect
    }
  }

  receive(bytes: Uint8Array, nowMs: number): ReadonlyArray<SessionOutput> {
    if (this.state === "Disconnected" || bytes.length === 0) return noOutputs
    this.#now = nowMs
    this.#deadlines.received(nowMs)
    this.#bytesReceived += bytes.length
    if (this.state === "Connecting" || this.state === "Handshaking") this.#shakeHands(bytes, nowMs)
    else this.#read(bytes)
    this.#acknowledge()
    return this.#take()
  }

  accept(requestId: number, nowMs: number): ReadonlyArray<SessionOutput> {
    const request = this.#takeRequest(requestId, nowMs)
    if (request === undefined) return noOutputs
    switch (request._tag) {
      case "Connect": {
        this.connect = request.request
        this.parts.reader.setMaxMessageBytes(this.options.maxMessageBytes)
        this.#deadlines.idle(nowMs)
        this.parts.commands.connected(this, request.transaction)
        break
      }
      case "Publish": {
        const stream = this.streams.get(request.request.streamId)
        if (stream === undefined || !this.#move("publish")) break
        stream.state = "Publishing"
        this.parts.commands.publishing(this, stream, request.request)
        break
      }
      case "Play": {
        const stream = this.streams.get(request.request.streamId)
        if (stream === undefined || !this.#move("play")) break
        stream.state = "Playing"
        // Whoever plays sends nothing but commands.
        this.parts.reader.setMaxMessageBytes(this.options.maxCommandBytes)
        this.parts.commands.playing(this, stream, request.request)
        break
      }
    }
    return this.#take()
  }

  resume(nowMs: number): ReadonlyArray<SessionOutput> {
    if (this.#request !== undefined || this.state === "Disconnected") return noOutputs
    this.#now = nowMs
    const backlog = this.#backlog
    const at = this.#backlogAt
    this.#backlog = []
    this.#backlogAt = 0
    if (at < backlog.length) this.#process(at === 0 ? backlog : backlog.slice(at))
    this.#readOn()
    this.#failIfDone()
    return this.#take()
  }

  reject(requestId: number, status: Status, nowMs: number, error?: SessionError): ReadonlyArray<SessionOutput> {
    const request = this.#takeRequest(requestId, nowMs)
    if (request === undefined) return noOutputs
    if (request._tag === "Connect") {
      this.send(
        Command.encode({
          name: "_error",
          transactionId: request.transaction,
          values: [null, StatusModule.toAmf(status)],
          streamId: 0
        })
      )
    } else {
      this.onStatus(request.request.streamId, status)
    }
    this.close(error ?? new SessionError({ reason: "Rejected", detail: status.description }))
    return this.#take()
  }

  publishNotify(streamId: number): ReadonlyArray<SessionOutput> {
    const stream = this.streams.get(streamId)
    if (stream?.state !== "Playing") return noOutputs
    this.send(UserControl.streamBegin(streamId))
    this.onStatus(streamId, StatusModule.status("NetStream.Play.PublishNotify", `${stream.name} is now published.`))
    return this.#take()
  }

  streamDry(streamId: number): ReadonlyArray<SessionOutput> {
    if (this.streams.get(streamId)?.state !== "Playing") return noOutputs
    this.send(UserControl.streamDry(streamId))
    return this.#take()
  }

  endPlay(streamId: number, error: SessionError): ReadonlyArray<SessionOutput> {
    const stream = this.streams.get(streamId)
    if (stream?.state !== "Playing") return noOutputs
    if (error.reason === "StreamNotFound") {
      this.onStatus(streamId, StatusModule.error("NetStream.Play.StreamNotFound", error.detail))
    } else {
      // librtmp and FFmpeg end on UnpublishNotify, GStreamer on StreamEOF alone.
      this.onStatus(
        streamId,
        StatusModule.status("NetStream.Play.UnpublishNotify", `${stream.name} is now unpublished.`)
      )
    }
    this.send(UserControl.streamEof(streamId))
    stream.state = "Idle"
    // Clients open a connection for each stream that they play, and end when it closes.
    if (!this.#isBusy) this.close(error)
    return this.#take()
  }

  kick(streamId: number, status: Status, error: SessionError): ReadonlyArray<SessionOutput> {
    if (this.state === "Disconnected") return noOutputs
    this.onStatus(streamId, status)
    const stream = this.streams.get(streamId)
    if (stream !== undefined) {
      // What a publisher that does not listen goes on sending is then dropped without complaint.
      stream.hasPublished ||= stream.state === "Publishing"
      stream.state = "Idle"
    }
    // FFmpeg, librtmp and GStreamer have one stream on a connection, and some of them end with the connection only.
    if (!this.#isBusy) this.close(error)
    return this.#take()
  }

  requestReconnect(tcUrl: string, description: string): ReadonlyArray<SessionOutput> {
    if (this.state !== "Publishing" && !this.canReconnect) return noOutputs
    const status = StatusModule.leave(this.canReconnect, description)
    this.onStatus(0, status, tcUrl === "" ? undefined : { tcUrl })
    return this.#take()
  }

  abort(error: SessionError): ReadonlyArray<SessionOutput> {
    this.close(error)
    return this.#take()
  }

  tick(nowMs: number): ReadonlyArray<SessionOutput> {
    if (this.state === "Disconnected") return noOutputs
    this.#now = nowMs
    const due = this.#deadlines.due(this.#phase, nowMs)
    if (due === "Ping") this.send(UserControl.pingRequest(nowMs >>> 0))
    else if (due !== undefined) this.close(due)
    return this.#take()
  }

  nextDeadlineMs(): number {
    return this.state === "Disconnected" ? Number.POSITIVE_INFINITY : this.#deadlines.nextMs(this.#phase)
  }

  get #phase(): DeadlinePhase {
    if (this.state === "Connecting" || this.state === "Handshaking") return "Handshake"
    if (this.#request !== undefined) return "Deciding"
    if (this.connect === undefined) return "WaitingConnect"
    return this.state === "Connected" ? "Idle" : "Busy"
  }

  disconnect(): void {
    this.#endedIn ??= this.stage
    this.#move("close")
    this.#backlog = []
    this.#request = undefined
  }

  send(message: Message.Message): void {
    if (this.state !== "Disconnected") this.#unsent.push(this.parts.writer.write(message))
  }

  onStatus(streamId: number, status: Status, extra?: Readonly<Record<string, AmfValue>>): void {
    this.send(
      Command.encode({
        name: "onStatus",
        transactionId: 0,
        values: [null, StatusModule.toAmf(status, extra)],
        streamId
      })
    )
  }

  output(output: SessionOutput): void {
    this.#flush()
    this.#outputs.push(output)
  }

  anomaly(kind: AnomalyKind, detail: string): void {
    this.#anomalies++
    this.output({ _tag: "Anomaly", kind, detail })
    if (!this.#budgets.anomaly(this.#now)) {
      this.close(new SessionError({ reason: "TooManyAnomalies", detail: `too many anomalies, the last: ${detail}` }))
    }
  }

  close(error: CloseError): void {
    if (this.state === "Disconnected") return
    this.output({ _tag: "Close", error })
    this.disconnect()
  }

  requestConnect(request: ConnectRequest, transaction: Uint8Array): void {
    const id = ++this.#requestId
    this.#request = { _tag: "Connect", id, transaction, request }
    this.output({ _tag: "ConnectRequested", requestId: id, request })
  }

  requestPublish(request: StreamRequest): void {
    const id = ++this.#requestId
    this.#request = { _tag: "Publish", id, request }
    this.output({ _tag: "PublishRequested", requestId: id, request })
  }

  requestPlay(request: StreamRequest): void {
    const id = ++this.#requestId
    this.#request = { _tag: "Play", id, request }
    this.output({ _tag: "PlayRequested", requestId: id, request })
  }

  mayStart(input: "publish" | "play"): boolean {
    return SessionStateModule.next(this.state, input) !== undefined
  }

  stopStream(stream: MessageStream): void {
    const state = stream.state
    if (state === "Idle") return
    stream.state = "Idle"
    stream.hasPublished ||= state === "Publishing"
    this.output({ _tag: state === "Publishing" ? "PublishEnded" : "PlayEnded", streamId: stream.id })
    this.#settle()
  }

  #shakeHands(bytes: Uint8Array, nowMs: number): void {
    this.#move("bytes")
    const result = this.parts.handshake.push(bytes, nowMs)
    if (Result.isFailure(result)) {
      this.close(result.failure)
      return
    }
    const { complete, send } = result.success
    if (send.length > 0) this.#unsent.push(send)
    if (complete === undefined) return
    this.#move("handshakeDone")
    this.#deadlines.handshaken(nowMs)
    this.parts.reader.setMaxMessageBytes(this.options.maxCommandBytes)
    this.output({ _tag: "HandshakeCompleted", kind: complete.kind, echoMatches: complete.echoMatches })
    if (complete.rest.length > 0) this.#read(complete.rest)
  }

  #read(bytes: Uint8Array): void {
    this.#push(bytes)
    this.#readOn()
  }

  /** Reads what waits behind a command that has been dealt with. */
  #readOn(): void {
    const { reader } = this.parts
    while (reader.heldBytes && this.#request === undefined && this.state !== "Disconnected") this.#push(Bytes.empty)
  }

  #push(bytes: Uint8Array): void {
    const { reader } = this.parts
    const result = reader.push(bytes)
    const anomalies = reader.anomalies
    if (anomalies !== this.#readerAnomalies) {
      this.#readerAnomalies = anomalies
      // Before the messages: one of them may end the session, and nothing comes after its end.
      this.anomaly("ChunkHeaderRestart", "a message was cut short by a new header on its chunk stream")
      if (this.state === "Disconnected") return
    }
    if (Result.isFailure(result)) {
      // What came before the fault is answered first, so that the answer does not depend on how the bytes were cut.
      this.#failure = result.failure
      this.#process(result.failure.messages)
      this.#failIfDone()
      return
    }
    if (!this.#budgets.messages(result.success, reader.bytesRead - (reader.heldBytes ?? 0), this.#now)) {
      const detail = `more than ${tinyMessagesPerSecond} messages a second of next to nothing`
      this.close(new SessionError({ reason: "LimitReached", detail }))
      return
    }
    this.#process(result.success)
  }

  #failIfDone(): void {
    if (this.#failure !== undefined && this.#request === undefined) this.close(this.#failure)
  }

  #process(messages: ReadonlyArray<Message.Message>): void {
    if (this.#request !== undefined) {
      // Only bytes that were read before the decision was asked for come here: see the module's contract.
      this.#backlog =
        this.#backlogAt < this.#backlog.length ? [...this.#backlog.slice(this.#backlogAt), ...messages] : messages
      this.#backlogAt = 0
      return
    }
    for (let i = 0; i < messages.length; i++) {
      this.#handle(messages[i]!)
      if (this.state === "Disconnected") return
      if (this.#request !== undefined) {
        this.#backlog = messages
        this.#backlogAt = i + 1
        return
      }
    }
    this.#answerPing()
  }

  #handle(message: Message.Message): void {
    switch (message.typeId) {
      case Message.AUDIO:
      case Message.VIDEO:
      case Message.DATA_AMF0:
      case Message.DATA_AMF3:
      case Message.AGGREGATE:
        this.#media(message)
        return
      case Message.COMMAND_AMF0:
      case Message.COMMAND_AMF3:
        this.#command(message)
        return
      case Message.SET_CHUNK_SIZE:
      case Message.ABORT:
      case Message.ACKNOWLEDGEMENT:
        // The reader has applied the first two. Acknowledgements are not relied upon: FFmpeg sends none.
        return
      case Message.WINDOW_ACK_SIZE:
      case Message.SET_PEER_BANDWIDTH:
        this.#control(message)
        return
      case Message.USER_CONTROL:
        this.#userControl(message)
        return
      case Message.SHARED_OBJECT_AMF0:
      case Message.SHARED_OBJECT_AMF3:
        return
      default:
        this.#unknown(message)
    }
  }

  #media(message: Message.Message): void {
    const stream = this.streams.get(message.streamId)
    if (stream !== undefined && stream.state === "Publishing") {
      this.output({ _tag: "Media", streamId: stream.id, message })
      return
    }
    if (this.connect === undefined) {
      this.close(new SessionError({ reason: "NotConnected", detail: "media before connect" }))
      return
    }
    // What was on its way when a publisher stopped is no fault of its.
    if (stream?.hasPublished !== true && (message.typeId === Message.AUDIO || message.typeId === Message.VIDEO)) {
      this.anomaly("MediaWithoutPublish", `media on message stream ${message.streamId}, which does not publish`)
    }
  }

  #command(message: Message.Message): void {
    if (!this.#budgets.command(this.#now)) {
      const detail = `more than ${commandsPerSecond} commands a second`
      this.close(new SessionError({ reason: "LimitReached", detail }))
      return
    }
    if (message.payload.length > this.options.maxCommandBytes) {
      this.close(
        new SessionError({ reason: "MalformedCommand", detail: `a command of ${message.payload.length} bytes` })
      )
      return
    }
    const decoded = Command.decode(message, this.options.amf, this.parts.decodeCommand)
    if (Result.isFailure(decoded)) {
      const error = decoded.failure
      if (error.reason === "NotACommand") this.anomaly("MessageWithoutCommand", error.message)
      else this.close(new SessionError({ reason: "MalformedCommand", detail: error.message }))
      return
    }
    const command = decoded.success
    if (this.connect === undefined && command.name !== "connect") {
      this.close(new SessionError({ reason: "NotConnected", detail: "a command before connect" }))
      return
    }
    const handler = this.parts.commands.handlers.get(command.name)
    if (handler === undefined) this.parts.commands.unknown(this, command, message)
    else handler(this, command, message)
  }

  #control(message: Message.Message): void {
    const decoded = ProtocolControl.decode(message)
    if (Result.isFailure(decoded)) {
      this.anomaly("ShortControlMessage", decoded.failure.message)
      return
    }
    const control = decoded.success
    if (control._tag === "WindowAckSize") {
      this.#ackWindow = control.size === 0 ? Number.POSITIVE_INFINITY : Math.max(control.size, minAckWindow)
    } else if (control._tag === "SetPeerBandwidth" && control.size !== this.options.windowAckSize) {
      this.send(ProtocolControl.windowAckSize(this.options.windowAckSize))
    }
  }

  #userControl(message: Message.Message): void {
    const decoded = UserControl.decode(message.payload)
    if (Result.isFailure(decoded)) {
      this.anomaly("ShortControlMessage", decoded.failure.message)
      return
    }
    // A flood of pings gets one answer for each read, the newest.
    if (decoded.success._tag === "PingRequest") this.#pingAnswer = decoded.success.timestamp
  }

  #answerPing(): void {
    if (this.#pingAnswer === undefined) return
    this.send(UserControl.pingResponse(this.#pingAnswer))
    this.#pingAnswer = undefined
  }

  #unknown(message: Message.Message): void {
    this.#unknownMessages++
    this.#unknownTypes ??= new Set()
    if (this.#unknownTypes.has(message.typeId)) return
    this.#unknownTypes.add(message.typeId)
    this.anomaly("UnknownMessageType", `message type ${message.typeId} is unknown and skipped`)
  }

  #acknowledge(): void {
    if (this.connect === undefined || this.#bytesReceived - this.#acknowledged < this.#ackWindow) return
    this.#acknowledged = this.#bytesReceived
    // Counted with the 3,073 bytes of the handshake, as librtmp does; no client checks it.
    this.send(ProtocolControl.acknowledgement(this.#bytesReceived % 0x1_0000_0000))
  }

  #takeRequest(requestId: number, nowMs: number): PendingRequest | undefined {
    const request = this.#request
    if (request === undefined || request.id !== requestId) return undefined
    this.#request = undefined
    this.#now = nowMs
    return request
  }

  get #isBusy(): boolean {
    for (const stream of this.streams.values()) if (stream.state !== "Idle") return true
    return false
  }

  #settle(): void {
    if (this.#isBusy || (this.state !== "Publishing" && this.state !== "Subscribing")) return
    this.#move("idle")
    this.parts.reader.setMaxMessageBytes(this.options.maxMessageBytes)
    this.#deadlines.idle(this.#now)
  }

  #move(input: SessionInput): boolean {
    const state = SessionStateModule.next(this.state, input)
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

  #take(): ReadonlyArray<SessionOutput> {
    this.#flush()
    if (this.#outputs.length === 0) return noOutputs
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }
}

/** Makes a session over fresh parts. `nowMs` is the time of accept, on any monotonic clock in milliseconds. */
export const make = (options: SessionOptions, parts: SessionParts, nowMs: number): Session =>
  new SessionImpl(options, parts, nowMs)

/**
 * Makes server sessions out of the services for handshake, chunks, AMF and commands.
 *
 * Replace any of these alone to change how a server speaks.
 */
export class ServerSession extends Context.Service<
  ServerSession,
  {
    /** Makes the session of one connection, accepted at `nowMs`. */
    readonly make: (options: SessionOptions, nowMs: number) => Session
  }
>()("effect-rtmp/protocol/ServerSession") {
  /** Sessions over the services for handshake, chunks, AMF and commands. */
  static readonly layer: Layer.Layer<
    ServerSession,
    never,
    Handshake | ChunkReading | ChunkWriting | AmfCodec | ServerCommands
  > = Layer.effect(
    ServerSession,
    Effect.gen(function* () {
      const handshake = yield* Handshake
      const reading = yield* ChunkReading
      const writing = yield* ChunkWriting
      const amf = yield* AmfCodec
      const commands = yield* ServerCommands
      return ServerSession.of({
        make: (options, nowMs) =>
          make(
            options,
            {
              handshake: handshake.make({
                strict: options.strictHandshake,
                acceptReservedVersions: options.acceptReservedVersions
              }),
              reader: reading.make(options.chunks),
              writer: writing.make(),
              decodeCommand: amf.decode0,
              commands
            },
            nowMs
          )
      })
    })
  )
}
