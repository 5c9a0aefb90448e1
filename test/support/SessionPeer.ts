/**
 * The client's end of a `ServerSession` in tests: sends messages, and decodes what comes back into short descriptions.
 */
import * as Result from "effect/Result"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as Amf0 from "../../src/protocol/amf/Amf0.ts"
import type { AmfValue } from "../../src/protocol/amf/AmfValue.ts"
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as ChunkReader from "../../src/protocol/ChunkReader.ts"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import * as Command from "../../src/protocol/Command.ts"
import * as Handshake from "../../src/protocol/Handshake.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as ServerCommands from "../../src/protocol/ServerCommands.ts"
import * as ServerSession from "../../src/protocol/ServerSession.ts"
import type { Session, SessionOptions, SessionOutput } from "../../src/protocol/Session.ts"
import { defaultOptions } from "../../src/protocol/Session.ts"
import * as UserControl from "../../src/protocol/UserControl.ts"

/** What the session sent, shortened: `WindowAckSize 2500000`, `_result 1 …`, `onStatus@1 NetStream.Publish.Start`. */
export const describeMessage = (message: Message.Message): string => {
  switch (message.typeId) {
    case Message.SET_CHUNK_SIZE:
    case Message.ACKNOWLEDGEMENT:
    case Message.WINDOW_ACK_SIZE:
    case Message.SET_PEER_BANDWIDTH:
      return `${Message.typeName(message.typeId)} ${new DataView(message.payload.slice().buffer).getUint32(0)}`
    case Message.USER_CONTROL: {
      const event = Result.getOrThrow(UserControl.decode(message.payload))
      return `${event._tag} ${"streamId" in event ? event.streamId : "timestamp" in event ? event.timestamp : ""}`
    }
    case Message.COMMAND_AMF0: {
      const command = Result.getOrThrow(Command.decode(message))
      const info = command.args[0]
      const code = Amf.getString(info, "code") ?? (info === undefined ? "" : String(info))
      return command.name === "onStatus"
        ? `onStatus@${message.streamId} ${code}`
        : `${command.name} ${command.transactionId} ${code}`.trim()
    }
    case Message.DATA_AMF0:
      return `data@${message.streamId} ${Result.getOrThrow(Amf0.decode(message.payload)).join(" ")}`
    default:
      return `type ${message.typeId}`
  }
}

/** A client over a session, at a time that the test sets. */
export class SessionPeer {
  readonly session: Session
  readonly writer = ChunkWriter.make()
  readonly reader = ChunkReader.make()
  nowMs = 1_000
  /** Every output but Send, in order. */
  readonly outputs: Array<Exclude<SessionOutput, { _tag: "Send" }>> = []
  /** Every message that the session sent, in order. */
  readonly received: Array<Message.Message> = []
  /** Bytes of each `Send`, after the handshake. */
  readonly sends: Array<Uint8Array> = []
  #handshakeBytes = 3073

  constructor(
    options: Partial<SessionOptions> = {},
    commands: ServerCommands.CommandHandlers = ServerCommands.defaultHandlers
  ) {
    const all = { ...defaultOptions, ...options }
    this.session = ServerSession.make(
      all,
      {
        handshake: Handshake.make({
          crypto: NodeCrypto.make,
          strict: all.strictHandshake,
          acceptReservedVersions: all.acceptReservedVersions
        }),
        reader: ChunkReader.make(all.chunks),
        writer: ChunkWriter.make(),
        decodeCommand: Amf0.decode,
        commands
      },
      this.nowMs
    )
  }

  /** Takes outputs of a call that the test made itself. */
  take(outputs: ReadonlyArray<SessionOutput>): this {
    for (const output of outputs) {
      if (output._tag !== "Send") {
        this.outputs.push(output)
        continue
      }
      let bytes = output.bytes
      if (this.#handshakeBytes > 0) {
        const skipped = Math.min(this.#handshakeBytes, bytes.length)
        this.#handshakeBytes -= skipped
        bytes = bytes.subarray(skipped)
      }
      if (bytes.length === 0) continue
      this.sends.push(bytes)
      this.received.push(...Result.getOrThrow(this.reader.push(bytes)))
    }
    return this
  }

  /** Sends raw bytes. */
  bytes(bytes: Uint8Array): this {
    return this.take(this.session.receive(bytes, this.nowMs))
  }

  /** Does the handshake. */
  shakeHands(): this {
    const hello = new Uint8Array(1537)
    hello[0] = 3
    return this.bytes(hello).bytes(new Uint8Array(1536))
  }

  /** Sends a message. */
  message(message: Message.Message): this {
    return this.bytes(this.writer.write(message))
  }

  /** Sends a command with the command object and arguments given. */
  command(name: string, transactionId: number, values: ReadonlyArray<AmfValue>, streamId = 0): this {
    return this.message(Command.encode({ name, transactionId, values, streamId }))
  }

  /** Grants the pending request, and lets the session go on. */
  accept(): this {
    this.take(this.session.accept(this.requestId, this.nowMs))
    return this.take(this.session.resume(this.nowMs))
  }

  /** The id of the newest request. */
  get requestId(): number {
    const request = this.outputs.findLast((output) => "requestId" in output)
    if (request === undefined || !("requestId" in request)) throw new Error("nothing was requested")
    return request.requestId
  }

  /** Handshake, connect and its grant. */
  connected(app = "live"): this {
    return this.shakeHands()
      .command("connect", 1, [Amf.object({ app, tcUrl: `rtmp://h/${app}` })])
      .accept()
  }

  /** A connected client that publishes `name`. */
  publishing(name = "s"): this {
    return this.connected().command("createStream", 2, [null]).command("publish", 3, [null, name, "live"], 1).accept()
  }

  /** A connected client that plays `name`. */
  playing(name = "s"): this {
    return this.connected().command("createStream", 2, [null]).command("play", 3, [null, name, -2000], 1).accept()
  }

  /** Forgets what came so far, and tells it shortened. */
  drain(): ReadonlyArray<string> {
    const out = this.received.map(describeMessage)
    this.received.length = 0
    return out
  }

  /** The error of the Close output, as `Tag.reason`; undefined while the session lives. */
  get closed(): string | undefined {
    const close = this.outputs.find((output) => output._tag === "Close")
    return close?._tag === "Close" ? `${close.error._tag}.${close.error.reason}` : undefined
  }
}

/** A media message. */
export const media = (
  typeId: number,
  payload: ReadonlyArray<number>,
  streamId = 1,
  timestamp = 0
): Message.Message => ({
  typeId,
  streamId,
  chunkStreamId: 6,
  timestamp,
  payload: Uint8Array.from(payload)
})
