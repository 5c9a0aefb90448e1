/**
 * What a server does on each command: one handler per name, in a table that a custom server can extend.
 *
 * Handlers are synchronous and talk to the session through `CommandContext`. The reply sequences are those that FFmpeg,
 * OBS, GStreamer, librtmp and hardware encoders were seen to need:
 *
 * - `onStatus` goes out on the message stream that it is about, with a plain object: GStreamer hangs without the first,
 *   FFmpeg without the second.
 * - A transaction id of 0 gets no reply. GStreamer sends 0 for most commands.
 * - `onBWDone` is never sent: it makes clients start a bandwidth check.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Amf0 from "./amf/Amf0.ts"
import type { AmfValue } from "./amf/AmfValue.ts"
import * as Amf from "./amf/AmfValue.ts"
import * as Command from "./Command.ts"
import * as Message from "./Message.ts"
import * as ProtocolControl from "./ProtocolControl.ts"
import * as RtmpUrl from "./RtmpUrl.ts"
import type {
  AnomalyKind,
  ClientRole,
  CloseError,
  ConnectRequest,
  SessionOptions,
  SessionOutput,
  StreamRequest
} from "./Session.ts"
import { SessionError } from "./Session.ts"
import type { Status } from "./Status.ts"
import * as StatusModule from "./Status.ts"
import * as UserControl from "./UserControl.ts"

/** A message stream of a connection (RTMP 1.0 §7.2.1.3), made by createStream. */
export interface MessageStream {
  readonly id: number
  state: "Idle" | "Publishing" | "Playing"
  /** Canonical stream name of the current or last publish or play; empty before. */
  name: string
  /** Whether it has published before: media that is still on its way is then dropped without complaint. */
  hasPublished: boolean
}

/** What a session offers to command handlers. */
export interface CommandContext {
  readonly options: SessionOptions
  /** The accepted connect request; undefined before. */
  readonly connect: ConnectRequest | undefined
  /** Message streams by id. */
  readonly streams: Map<number, MessageStream>
  /** Queues a message to the peer. */
  readonly send: (message: Message.Message) => void
  /** Queues an `onStatus` on a message stream. */
  readonly onStatus: (streamId: number, status: Status, extra?: Readonly<Record<string, AmfValue>>) => void
  /** Gives an output to whoever drives the session. */
  readonly output: (output: SessionOutput) => void
  /** Counts an oddity; too many close the connection. */
  readonly anomaly: (kind: AnomalyKind, detail: string) => void
  /** Ends the connection once what is queued has been sent. */
  readonly close: (error: CloseError) => void
  readonly requestConnect: (request: ConnectRequest, transaction: Uint8Array) => void
  readonly requestPublish: (request: StreamRequest) => void
  readonly requestPlay: (request: StreamRequest) => void
  /** Whether the transition table allows a publish or play now. */
  readonly mayStart: (input: "publish" | "play") => boolean
  /** Ends what a message stream does, if anything. */
  readonly stopStream: (stream: MessageStream) => void
}

/** Handles one command. */
export type CommandHandler = (context: CommandContext, command: Command.Command, message: Message.Message) => void

/** The commands of a server, and the replies to accepted requests. */
export interface CommandHandlers {
  /** By command name, case-sensitive. */
  readonly handlers: ReadonlyMap<string, CommandHandler>
  /** Any other command. */
  readonly unknown: CommandHandler
  /** A connect was accepted: the reply of RTMP 1.0 §7.2.1.1. */
  readonly connected: (context: CommandContext, transaction: Uint8Array) => void
  /** A publish was accepted. */
  readonly publishing: (context: CommandContext, stream: MessageStream, request: StreamRequest) => void
  /** A play was accepted. */
  readonly playing: (context: CommandContext, stream: MessageStream, request: StreamRequest) => void
}

// Multitrack, ModEx and nanosecond timestamps pass through; reconnect requests are not for a server to receive.
const serverCapsEx = 2 | 4 | 8

// What any codec can expect of a server that forwards without decoding (E-RTMP v2, FourCcInfoMask.CanForward).
const canForward = 4

const reply = (context: CommandContext, command: Command.Command, values: ReadonlyArray<AmfValue>): void => {
  if (command.transactionId === 0) return
  context.send(Command.encode({ name: "_result", transactionId: command.transactionIdBytes, values, streamId: 0 }))
}

const fail = (context: CommandContext, command: Command.Command, status: Status): void => {
  if (command.transactionId === 0) return
  context.send(
    Command.encode({
      name: "_error",
      transactionId: command.transactionIdBytes,
      values: [null, StatusModule.toAmf(status)],
      streamId: 0
    })
  )
}

const call = (context: CommandContext, name: string, status: Status): void =>
  context.send(Command.encode({ name, transactionId: 0, values: [null, StatusModule.toAmf(status)], streamId: 0 }))

const refuse = (
  context: CommandContext,
  streamId: number,
  status: Status,
  reason: "IllegalCommand" | "Rejected" = "IllegalCommand"
): void => {
  context.onStatus(streamId, status)
  context.close(new SessionError({ reason, detail: status.description }))
}

const isAllowed = (applications: ReadonlyArray<string>, name: string): boolean =>
  applications.length === 0 || applications.includes(name) || applications.includes(name.split("/", 1)[0]!)

const roleOf = (type: string | undefined, flashVer: string): ClientRole => {
  if (type === "nonprivate" || /^FMLE\//i.test(flashVer)) return "publisher"
  return /^[A-Z]{3} \d/.test(flashVer) ? "player" : "unknown"
}

const fourCcs = (object: AmfValue): ReadonlyArray<string> => {
  const names = new Set<string>()
  const list = Amf.get(object, "fourCcList")
  if (typeof list === "object" && list !== null && list._tag === "StrictArray") {
    for (const item of list.values) if (typeof item === "string") names.add(item)
  }
  for (const key of ["videoFourCcInfoMap", "audioFourCcInfoMap"]) {
    const map = Amf.get(object, key)
    if (typeof map === "object" && map !== null && (map._tag === "Object" || map._tag === "EcmaArray")) {
      for (const name of map.entries.keys()) names.add(name)
    }
  }
  return [...names]
}

const connect: CommandHandler = (context, command) => {
  if (context.connect !== undefined) {
    fail(context, command, StatusModule.error("NetConnection.Connect.Failed", "Already connected."))
    context.close(new SessionError({ reason: "DuplicateConnect", detail: "a second connect on one connection" }))
    return
  }
  const reject = (status: Status): void => {
    fail(context, command, status)
    context.close(new SessionError({ reason: "Rejected", detail: status.description }))
  }
  const app = Amf.getString(command.object, "app")
  if (app === undefined) {
    reject(StatusModule.error("NetConnection.Connect.Rejected", "No application was named."))
    return
  }
  const name = RtmpUrl.application(app, context.options.names)
  if (Result.isFailure(name)) {
    reject(StatusModule.error("NetConnection.Connect.InvalidApp", `Invalid application name (${name.failure.reason}).`))
    return
  }
  if (!isAllowed(context.options.applications, name.success.name)) {
    reject(StatusModule.error("NetConnection.Connect.InvalidApp", "There is no such application."))
    return
  }
  const tcUrl = Amf.getString(command.object, "tcUrl") ?? Amf.getString(command.object, "tcurl") ?? ""
  const flashVer = Amf.getString(command.object, "flashVer") ?? Amf.getString(command.object, "flashver") ?? ""
  context.requestConnect(
    {
      application: name.success.name,
      query: RtmpUrl.mergeQueries(name.success.query, RtmpUrl.boundedQueryOf(tcUrl, context.options.names)),
      // Kept for as long as the connection lasts.
      tcUrl: tcUrl.slice(0, context.options.names.maxQueryBytes),
      flashVer: flashVer.slice(0, context.options.names.maxNameBytes),
      role: roleOf(Amf.getString(command.object, "type"), flashVer),
      capsEx: Amf.getNumber(command.object, "capsEx") ?? 0,
      fourCcs: fourCcs(command.object)
    },
    command.transactionIdBytes
  )
}

// The same for everybody.
const connectResult = Amf0.encode([
  Amf.object({
    fmsVer: "FMS/3,5,7,7009",
    capabilities: 31,
    mode: 1,
    capsEx: serverCapsEx,
    videoFourCcInfoMap: Amf.object({ "*": canForward }),
    audioFourCcInfoMap: Amf.object({ "*": canForward })
  }),
  StatusModule.toAmf(StatusModule.status("NetConnection.Connect.Success", "Connection succeeded."), {
    // Replies are AMF0 whatever was asked for.
    objectEncoding: 0
  })
])

const connected: CommandHandlers["connected"] = (context, transaction) => {
  const options = context.options
  context.send(ProtocolControl.windowAckSize(options.windowAckSize))
  context.send(ProtocolControl.setPeerBandwidth(options.peerBandwidth, "dynamic"))
  // Before the first reply that is longer than the default chunk: old librtmp keeps a stale chunk size otherwise.
  context.send(ProtocolControl.setChunkSize(options.chunkSize))
  context.send(UserControl.streamBegin(0))
  context.send(Command.encode({ name: "_result", transactionId: transaction, values: connectResult, streamId: 0 }))
}

const createStream: CommandHandler = (context, command) => {
  if (context.streams.size >= context.options.maxStreams) {
    fail(context, command, StatusModule.error("NetConnection.Call.Failed", "Too many streams on this connection."))
    context.anomaly("TooManyStreams", `more than ${context.options.maxStreams} message streams`)
    return
  }
  // The lowest free id: GStreamer recognises the end of a stream only on message stream 1.
  let id = 1
  while (context.streams.has(id)) id++
  context.streams.set(id, { id, state: "Idle", name: "", hasPublished: false })
  reply(context, command, [null, id])
}

const start = (
  context: CommandContext,
  command: Command.Command,
  message: Message.Message,
  input: "publish" | "play"
): void => {
  const streamId = message.streamId
  const stream = context.streams.get(streamId)
  const badName = input === "publish" ? "NetStream.Publish.BadName" : "NetStream.Play.Failed"
  if (stream === undefined) {
    refuse(context, streamId, StatusModule.error("NetStream.Failed", `There is no message stream ${streamId}.`))
    return
  }
  if (stream.state !== "Idle") {
    refuse(context, streamId, StatusModule.error(badName, "This message stream is already in use."))
    return
  }
  if (!context.mayStart(input)) {
    refuse(context, streamId, StatusModule.error("NetStream.Failed", "A connection either publishes or plays."))
    return
  }
  const raw = command.args[0]
  const connection = context.connect!
  const name =
    typeof raw === "string"
      ? RtmpUrl.stream(raw, connection.application, context.options.names)
      : Result.fail(new RtmpUrl.NameError({ part: "stream", reason: "Empty" }))
  if (Result.isFailure(name)) {
    const code = input === "publish" ? badName : "NetStream.Play.StreamNotFound"
    refuse(context, streamId, StatusModule.error(code, `Invalid stream name (${name.failure.reason}).`), "Rejected")
    return
  }
  stream.name = name.success.name
  const request: StreamRequest = {
    streamId,
    application: connection.application,
    stream: name.success.name,
    query: RtmpUrl.mergeQueries(name.success.query, connection.query)
  }
  if (input === "publish") context.requestPublish(request)
  else context.requestPlay(request)
}

const publishing: CommandHandlers["publishing"] = (context, stream) => {
  context.send(UserControl.streamBegin(stream.id))
  context.onStatus(stream.id, StatusModule.status("NetStream.Publish.Start", `${stream.name} is now published.`), {
    details: stream.name
  })
}

const sampleAccess = Amf0.encode(["|RtmpSampleAccess", true, true])

const playing: CommandHandlers["playing"] = (context, stream) => {
  const details = { details: stream.name }
  context.send(UserControl.streamBegin(stream.id))
  context.onStatus(
    stream.id,
    StatusModule.status("NetStream.Play.Reset", `Playing and resetting ${stream.name}.`),
    details
  )
  context.onStatus(stream.id, StatusModule.status("NetStream.Play.Start", `Started playing ${stream.name}.`), details)
  context.send({
    typeId: Message.DATA_AMF0,
    streamId: stream.id,
    chunkStreamId: 3,
    timestamp: 0,
    payload: sampleAccess
  })
}

/** The stream that a deleteStream names: by number, or (GStreamer sends a name) the only one there is. */
const deleted = (context: CommandContext, argument: AmfValue): MessageStream | undefined => {
  if (typeof argument === "number") return context.streams.get(argument)
  if (typeof argument === "string" && context.streams.size === 1) return context.streams.values().next().value
  return undefined
}

const deleteStream: CommandHandler = (context, command) => {
  const stream = deleted(context, command.args[0])
  if (stream === undefined) return
  context.stopStream(stream)
  context.streams.delete(stream.id)
}

const closeStream: CommandHandler = (context, _command, message) => {
  const stream = context.streams.get(message.streamId)
  if (stream === undefined || stream.state === "Idle") return
  const wasPublishing = stream.state === "Publishing"
  context.stopStream(stream)
  context.onStatus(
    stream.id,
    wasPublishing
      ? StatusModule.status("NetStream.Unpublish.Success", `${stream.name} is now unpublished.`)
      : StatusModule.status("NetStream.Play.Stop", `Stopped playing ${stream.name}.`)
  )
}

const fcPublish: CommandHandler = (context, command) => {
  reply(context, command, [null])
  call(context, "onFCPublish", StatusModule.status("NetStream.Publish.Start", "Ready for publish."))
}

const fcUnpublish: CommandHandler = (context, command) => {
  // The name is not looked at: a connection ends its own streams and nobody else's.
  for (const stream of context.streams.values()) if (stream.state === "Publishing") context.stopStream(stream)
  reply(context, command, [null])
  call(context, "onFCUnpublish", StatusModule.status("NetStream.Unpublish.Success", "Stopped publishing."))
}

const fcSubscribe: CommandHandler = (context, command) => {
  reply(context, command, [null])
  call(context, "onFCSubscribe", StatusModule.status("NetStream.Play.Start", "Ready for play."))
}

const pause: CommandHandler = (context, command, message) => {
  const stream = context.streams.get(message.streamId)
  if (stream?.state !== "Playing") return
  const paused = command.args[0] === true
  context.onStatus(
    stream.id,
    paused
      ? StatusModule.status("NetStream.Pause.Notify", `Paused ${stream.name}.`)
      : StatusModule.status("NetStream.Unpause.Notify", `Unpaused ${stream.name}.`)
  )
  context.output({ _tag: "PlayChanged", streamId: stream.id, what: "pause", value: paused })
}

const seek: CommandHandler = (context, _command, message) => {
  if (!context.streams.has(message.streamId)) return
  context.onStatus(message.streamId, StatusModule.error("NetStream.Seek.Failed", "A live stream cannot be sought."))
}

const receive =
  (what: "audio" | "video"): CommandHandler =>
  (context, command, message) => {
    const stream = context.streams.get(message.streamId)
    if (stream?.state !== "Playing") return
    const wanted = command.args[0] !== false
    if (wanted) {
      context.onStatus(stream.id, StatusModule.status("NetStream.Seek.Notify", `Resuming ${what} of ${stream.name}.`))
      context.onStatus(stream.id, StatusModule.status("NetStream.Play.Start", `Started playing ${stream.name}.`))
    }
    context.output({ _tag: "PlayChanged", streamId: stream.id, what, value: wanted })
  }

const acknowledge: CommandHandler = (context, command) => reply(context, command, [null])

const nothing: CommandHandler = () => {}

const unknown: CommandHandler = (context, command) => {
  fail(context, command, StatusModule.error("NetConnection.Call.Failed", "There is no such command."))
  context.anomaly("UnknownCommand", `unknown command of ${command.name.length} characters`)
}

/** The handlers of a live server. */
export const defaultHandlers: CommandHandlers = {
  handlers: new Map<string, CommandHandler>([
    ["connect", connect],
    ["createStream", createStream],
    ["publish", (context, command, message) => start(context, command, message, "publish")],
    ["play", (context, command, message) => start(context, command, message, "play")],
    ["deleteStream", deleteStream],
    ["closeStream", closeStream],
    ["releaseStream", acknowledge],
    ["FCPublish", fcPublish],
    ["FCUnpublish", fcUnpublish],
    ["FCSubscribe", fcSubscribe],
    ["FCUnsubscribe", acknowledge],
    ["_checkbw", acknowledge],
    ["getStreamLength", (context, command) => reply(context, command, [null, 0])],
    ["pause", pause],
    ["pauseRaw", pause],
    ["pauseraw", pause],
    ["seek", seek],
    ["receiveAudio", receive("audio")],
    ["receiveVideo", receive("video")],
    [
      "close",
      (context) => context.close(new SessionError({ reason: "ClosedByClient", detail: "the client sent close" }))
    ],
    // Answers to questions that were never asked.
    ["_result", nothing],
    ["_error", nothing],
    ["onStatus", nothing],
    ["onBWDone", nothing]
  ]),
  unknown,
  connected,
  publishing,
  playing
}

/**
 * The command handlers of a server.
 *
 * A custom server adds a command by providing a table with one more entry:
 *
 * ```ts
 * Layer.succeed(ServerCommands, {
 *   ...ServerCommands.defaultHandlers,
 *   handlers: new Map([...ServerCommands.defaultHandlers.handlers, ["hello", hello]])
 * })
 * ```
 */
export class ServerCommands extends Context.Service<ServerCommands, CommandHandlers>()(
  "effect-rtmp/protocol/ServerCommands"
) {
  /** The commands of a live server, and no others. */
  static readonly layer: Layer.Layer<ServerCommands> = Layer.succeed(ServerCommands, defaultHandlers)
}
