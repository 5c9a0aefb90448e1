/**
 * A client session and a server session joined by two pipes in memory, under a clock that only moves when told.
 *
 * Everything between the two is real: handshake, chunks, AMF, commands. What is missing is the network, so a test can
 * say how the bytes are cut, look at all that happened on either side, and let hours pass at once.
 *
 * ```ts
 * const pair = SessionPair.make({ target: { intent: "publish" }, toServer: [1, 700], toClient: [3] })
 * pair.start()
 * pair.client.state // "Publishing"
 * pair.publish([{ typeId: Message.AUDIO, streamId: 0, chunkStreamId: 4, timestamp: 0, payload }])
 * pair.serverOutputs // …, { _tag: "Media", … }
 * pair.advance(60_000)
 * ```
 *
 * Calls that make bytes deliver them to the end before they return. Requests of the client are decided on the spot, by
 * `decide` or else with yes. When one side closes, the other side learns it after the last byte, as with TCP.
 */
import * as NodeCrypto from "../node/NodeCrypto.ts"
import * as Amf0 from "../protocol/amf/Amf0.ts"
import * as Bytes from "../protocol/Bytes.ts"
import * as ChunkReader from "../protocol/ChunkReader.ts"
import * as ChunkWriter from "../protocol/ChunkWriter.ts"
import * as ClientHandshake from "../protocol/ClientHandshake.ts"
import * as ClientSession from "../protocol/ClientSession.ts"
import type { ClientOptions, ClientOutput, ClientTarget } from "../protocol/ClientSessionState.ts"
import { defaultClientOptions } from "../protocol/ClientSessionState.ts"
import type { RtmpCryptoShape } from "../protocol/Crypto.ts"
import * as Handshake from "../protocol/Handshake.ts"
import * as Message from "../protocol/Message.ts"
import * as ServerCommands from "../protocol/ServerCommands.ts"
import * as ServerSession from "../protocol/ServerSession.ts"
import type { Session, SessionOptions, SessionOutput } from "../protocol/Session.ts"
import { defaultOptions } from "../protocol/Session.ts"
import type { Status } from "../protocol/Status.ts"

/** An output by which a server session asks for a decision. */
export type SessionRequest = Extract<SessionOutput, { readonly requestId: number }>

/**
 * What a pair is made of; everything may be left out.
 *
 * - `target`: what the client is for; by default to publish `live/stream`.
 * - `client`, `server`: options of the two sessions, over their defaults. `handlers`: the server's commands.
 * - `decide`: gives the status with which to refuse a request, or `undefined` to grant it.
 * - `toServer`, `toClient`: how many bytes each delivery takes, over and over; by default all there are. Numbers of at
 *   least 1, as from `Arbitrary` or a Schema.
 * - `startMs`: the time at which the connection is accepted and the client starts.
 */
export interface SessionPairOptions {
  /** What the client is for. */
  readonly target?: Partial<ClientTarget>
  /** Options of the client session. */
  readonly client?: Partial<ClientOptions>
  /** Options of the server session. */
  readonly server?: Partial<SessionOptions>
  /** Commands of the server. */
  readonly handlers?: ServerCommands.CommandHandlers
  /** Decides requests. */
  readonly decide?: (request: SessionRequest) => Status | undefined
  /** Sizes of deliveries to the server, in bytes. */
  readonly toServer?: ReadonlyArray<number>
  /** Sizes of deliveries to the client, in bytes. */
  readonly toClient?: ReadonlyArray<number>
  /** The time at the start, in milliseconds. */
  readonly startMs?: number
  /** Random bytes and HMAC of both sides; those of Node.js by default. */
  readonly crypto?: RtmpCryptoShape
}

/** The client target of a pair where none is given. */
export const defaultTarget: ClientTarget = {
  intent: "publish",
  application: "live",
  stream: "stream",
  tcUrl: "rtmp://localhost:1935/live"
}

/** Joins a client session and a server session. Nothing happens before `start`. */
export const make = (options: SessionPairOptions = {}): SessionPair => new SessionPair(options)

/** A pair of sessions. Made by `make`. */
export class SessionPair {
  /** The client's side. Its calls return outputs that the pair does not see: use those of the pair, or `client…`. */
  readonly client: ClientSession.ClientMachine
  /** The server's side. Its calls return outputs that the pair does not see: use `onServer`. */
  readonly server: Session
  /** What the client session gave back so far, `Send` left out. */
  readonly clientOutputs: Array<ClientOutput> = []
  /** What the server session gave back so far, `Send` left out. */
  readonly serverOutputs: Array<SessionOutput> = []
  /** The time, in milliseconds. */
  nowMs: number
  readonly #decide: (request: SessionRequest) => Status | undefined
  readonly #toServer: Pipe
  readonly #toClient: Pipe
  readonly #chunkSize: number

  /** See `make`. */
  constructor(options: SessionPairOptions) {
    const crypto = options.crypto ?? NodeCrypto.make
    const clientOptions: ClientOptions = { ...defaultClientOptions, ...options.client }
    const serverOptions: SessionOptions = { ...defaultOptions, ...options.server }
    this.nowMs = options.startMs ?? 0
    this.#decide = options.decide ?? (() => undefined)
    this.#toServer = new Pipe(options.toServer)
    this.#toClient = new Pipe(options.toClient)
    this.#chunkSize = serverOptions.chunkSize
    this.client = ClientSession.make({ ...defaultTarget, ...options.target }, clientOptions, {
      handshake: ClientHandshake.make({
        crypto,
        digest: clientOptions.digestHandshake,
        strict: clientOptions.strictHandshake
      }),
      reader: ChunkReader.make(clientOptions.chunks),
      writer: ChunkWriter.make(),
      decodeCommand: Amf0.decode
    })
    this.server = ServerSession.make(
      serverOptions,
      {
        handshake: Handshake.make({
          crypto,
          strict: serverOptions.strictHandshake,
          acceptReservedVersions: serverOptions.acceptReservedVersions
        }),
        reader: ChunkReader.make(serverOptions.chunks),
        writer: ChunkWriter.make(),
        decodeCommand: Amf0.decode,
        commands: options.handlers ?? ServerCommands.defaultHandlers
      },
      this.nowMs
    )
  }

  /** Bytes that the client has sent so far. */
  get bytesToServer(): number {
    return this.#toServer.total
  }

  /** Bytes that the server has sent so far. */
  get bytesToClient(): number {
    return this.#toClient.total
  }

  /** Starts the client, and lets the two talk until both wait. */
  start(): this {
    return this.onClient((client) => client.start(this.nowMs))
  }

  /** Sends media from a client that publishes. */
  publish(messages: ReadonlyArray<Message.Message>): this {
    return this.onClient((client) => client.publish(messages))
  }

  /** Lets the client end in order. */
  close(): this {
    return this.onClient((client) => client.close())
  }

  /** Calls the client session, takes what it gives back, and lets the two talk until both wait. */
  onClient(call: (client: ClientSession.ClientMachine) => ReadonlyArray<ClientOutput>): this {
    this.#takeClient(call(this.client))
    return this.run()
  }

  /** Calls the server session, takes what it gives back, and lets the two talk until both wait. */
  onServer(call: (server: Session) => ReadonlyArray<SessionOutput>): this {
    this.#takeServer(call(this.server))
    return this.run()
  }

  /**
   * Sends media to a client that plays, as a server relays it: in chunks that build on no other, beside those of the
   * session, on message stream 1.
   */
  relay(messages: ReadonlyArray<Message.Message>): this {
    for (const message of messages) this.#toClient.push(selfContained(message, this.#chunkSize))
    return this.run()
  }

  /** Sends bytes to the server as if the client had: for what no client session would send. */
  injectToServer(bytes: Uint8Array): this {
    this.#toServer.push(bytes)
    return this.run()
  }

  /** Sends bytes to the client as if the server had: for what no server session would send. */
  injectToClient(bytes: Uint8Array): this {
    this.#toClient.push(bytes)
    return this.run()
  }

  /** Cuts the connection: what is in flight arrives, then both sides learn that it is gone. */
  cut(): this {
    this.#toServer.end()
    this.#toClient.end()
    return this.run()
  }

  /** Delivers what is in flight, and what comes of it, until nothing is. */
  run(): this {
    for (;;) {
      const toServer = this.#toServer.next()
      const toClient = this.#toClient.next()
      if (toServer === undefined && toClient === undefined) return this
      if (toServer === ended) this.server.disconnect()
      else if (toServer !== undefined) this.#takeServer(this.server.receive(toServer, this.nowMs))
      if (toClient === ended) this.#takeClient(this.client.disconnect())
      else if (toClient !== undefined) this.#takeClient(this.client.receive(toClient, this.nowMs))
    }
  }

  /** Lets time pass, stopping at every deadline of either side on the way. */
  advance(durationMs: number): this {
    const endMs = this.nowMs + durationMs
    for (;;) {
      const dueMs = Math.min(this.client.nextDeadlineMs(), this.server.nextDeadlineMs())
      if (dueMs > endMs) break
      this.nowMs = Math.max(this.nowMs, dueMs)
      this.#takeServer(this.server.tick(this.nowMs))
      this.#takeClient(this.client.tick(this.nowMs))
      this.run()
      // A session that is still due after it was called would stop the clock.
      if (dueMs === Math.min(this.client.nextDeadlineMs(), this.server.nextDeadlineMs())) break
    }
    this.nowMs = endMs
    return this
  }

  #takeClient(outputs: ReadonlyArray<ClientOutput>): void {
    for (const output of outputs) {
      if (output._tag === "Send") {
        this.#toServer.push(output.bytes)
        continue
      }
      this.clientOutputs.push(output)
      if (output._tag === "Ended" || output._tag === "Failed") this.#toServer.end()
    }
  }

  #takeServer(outputs: ReadonlyArray<SessionOutput>): void {
    let requests: Array<SessionRequest> | undefined
    for (const output of outputs) {
      if (output._tag === "Send") {
        this.#toClient.push(output.bytes)
        continue
      }
      this.serverOutputs.push(output)
      if (output._tag === "Close") this.#toClient.end()
      // Decided once everything is taken: what the session sends on a decision comes after what it has sent already.
      else if ("requestId" in output) requests = [...(requests ?? []), output]
    }
    for (const request of requests ?? []) {
      const refusal = this.#decide(request)
      this.#takeServer(
        refusal === undefined
          ? this.server.accept(request.requestId, this.nowMs)
          : this.server.reject(request.requestId, refusal, this.nowMs)
      )
    }
  }
}

const ended = Symbol("ended")

/** One direction: bytes in flight, cut as told, and then perhaps an end. */
class Pipe {
  total = 0
  #bytes: Uint8Array = Bytes.empty
  #isEnded = false
  #endTaken = false
  #turn = 0
  readonly #sizes: ReadonlyArray<number> | undefined

  constructor(sizes: ReadonlyArray<number> | undefined) {
    this.#sizes = sizes === undefined || sizes.length === 0 ? undefined : sizes
  }

  push(bytes: Uint8Array): void {
    if (this.#isEnded) return
    this.total += bytes.length
    this.#bytes = this.#bytes.length === 0 ? bytes : Bytes.concat([this.#bytes, bytes])
  }

  end(): void {
    this.#isEnded = true
  }

  /** A copy of the next bytes to arrive, the end, or nothing for now. */
  next(): Uint8Array | typeof ended | undefined {
    if (this.#bytes.length === 0) {
      if (!this.#isEnded || this.#endTaken) return undefined
      this.#endTaken = true
      return ended
    }
    const size = this.#sizes === undefined ? this.#bytes.length : this.#sizes[this.#turn++ % this.#sizes.length]!
    const piece = this.#bytes.slice(0, size)
    this.#bytes = this.#bytes.subarray(piece.length)
    return piece
  }
}

const RELAY_STREAM = 1

/** One message in chunks of its own, on a chunk stream that server sessions leave alone. */
const selfContained = (message: Message.Message, chunkSize: number): Uint8Array => {
  const { payload, timestamp, typeId } = message
  const chunkStreamId = typeId === Message.AUDIO ? 4 : typeId === Message.VIDEO ? 6 : 7
  const bytes = new Uint8Array(ChunkWriter.encodedLength(payload.length, timestamp, chunkStreamId, chunkSize))
  ChunkWriter.encodeInto(bytes, 0, typeId, RELAY_STREAM, chunkStreamId, timestamp, payload, chunkSize)
  return bytes
}
