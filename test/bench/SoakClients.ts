/**
 * The well-behaved clients of the soak: a publisher whose every frame carries its number and a checksum, and a viewer
 * that finds each frame missing, doubled, out of order or changed.
 */
import * as Net from "node:net"
import { crc32 } from "node:zlib"
import * as Effect from "effect/Effect"
import * as NodeClient from "../../src/node/NodeClient.ts"
import { type ClientMachine, ClientSession } from "../../src/protocol/ClientSession.ts"
import type { ClientOutput } from "../../src/protocol/ClientSessionState.ts"
import { defaultClientOptions } from "../../src/protocol/ClientSessionState.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Media from "../support/Media.ts"

const sessions = Effect.runSync(Effect.provide(ClientSession, NodeClient.layerSession))

const application = "live"
const frameMs = 50
const framesPerGroup = 40
const videoBytes = 1_000
const keyframeBytes = 6_000
const audioBytes = 300

// Tag header, NAL unit length and NAL unit header; number and checksum follow.
const videoStampAt = 10
const audioStampAt = 2
const stampBytes = 8

/** What all clients saw together. */
export interface Seen {
  publications: number
  plays: number
  framesSent: number
  framesReceived: number
  bytesReceived: number
  lost: number
  disordered: number
  corrupt: number
  /** Streams that ended in order and whose last frame did not come, and connections of ours that ended by themselves. */
  cutShort: number
  refused: number
  /** The first few things that went wrong, in words. */
  readonly complaints: Array<string>
}

/** Nothing seen yet. */
export const nothingSeen = (): Seen => ({
  publications: 0,
  plays: 0,
  framesSent: 0,
  framesReceived: 0,
  bytesReceived: 0,
  lost: 0,
  disordered: 0,
  corrupt: 0,
  cutShort: 0,
  refused: 0,
  complaints: []
})

const complain = (seen: Seen, text: string): void => {
  if (seen.complaints.length < 20) seen.complaints.push(`${new Date().toISOString()} ${text}`)
}

const frame = (typeId: number, sequence: number, head: ReadonlyArray<number>, length: number): Message.Message => {
  const payload = new Uint8Array(length)
  payload.set(head)
  const at = typeId === Message.VIDEO ? videoStampAt : audioStampAt
  for (let i = at + stampBytes; i < length; i++) payload[i] = (i * 7 + sequence * 13) & 0xff
  const view = new DataView(payload.buffer)
  view.setUint32(at, sequence)
  view.setUint32(at + 4, crc32(payload.subarray(at + stampBytes), sequence))
  return {
    typeId,
    streamId: 1,
    chunkStreamId: typeId === Message.VIDEO ? 6 : 4,
    timestamp: sequence * frameMs,
    payload
  }
}

/** A connection that drives a client session. */
abstract class Client {
  readonly stream: string
  readonly socket: Net.Socket
  protected readonly session: ClientMachine
  protected readonly seen: Seen
  ended = false
  #onEnd: (() => void) | undefined

  constructor(port: number, intent: "publish" | "play", stream: string, seen: Seen, host: string) {
    this.stream = stream
    this.seen = seen
    const tcUrl = `rtmp://${host}:${port}/${application}`
    this.session = sessions.make({ intent, application, stream, tcUrl }, defaultClientOptions)
    this.socket = Net.connect({ port, host, noDelay: true })
    this.socket.on("connect", () => this.apply(this.session.start(performance.now())))
    this.socket.on("data", (bytes) => this.apply(this.session.receive(bytes, performance.now())))
    // The close event that follows says all there is to know.
    this.socket.on("error", () => {})
    this.socket.on("close", () => {
      this.ended = true
      this.onClose()
      this.#onEnd?.()
    })
  }

  /** Resolves when the connection is closed. */
  readonly whenEnded = (): Promise<void> =>
    new Promise((resolve) => {
      if (this.ended) resolve()
      else this.#onEnd = resolve
    })

  protected apply(outputs: ReadonlyArray<ClientOutput>): void {
    for (const output of outputs) {
      if (output._tag === "Send") this.socket.write(output.bytes)
      else this.take(output)
    }
  }

  protected abstract take(output: ClientOutput): void
  protected abstract onClose(): void
}

/** How a client ends. */
export type Ending = "in order" | "FIN" | "RST"

/** A publisher, from its first frame until it is told to end. */
export class Publisher extends Client {
  /** The number of the last frame that was sent. */
  last = -1
  ending: Ending | undefined
  live = false
  #timer: NodeJS.Timeout | undefined

  constructor(port: number, stream: string, seen: Seen, host = "127.0.0.1") {
    super(port, "publish", stream, seen, host)
  }

  protected take(output: ClientOutput): void {
    if (output._tag === "PublishStarted") {
      this.live = true
      this.seen.publications++
      this.apply(this.session.publish([Media.videoHeader(), Media.audioHeader()]))
      this.#timer = setInterval(() => this.#send(), frameMs)
    } else if (output._tag === "Failed" || output._tag === "Ended") {
      if (this.ending !== undefined) return
      this.seen.refused++
      complain(
        this.seen,
        `publisher of ${this.stream}: ${output._tag === "Failed" ? output.error.message : output.end}`
      )
      this.socket.destroy()
    }
  }

  #send(): void {
    const sequence = ++this.last
    const isKey = sequence % framesPerGroup === 0
    const head = isKey ? [0x17, 1, 0, 0, 0, 0, 0, 0, 3, 0x65] : [0x27, 1, 0, 0, 0, 0, 0, 0, 3, 0x41]
    this.seen.framesSent += 2
    this.apply(
      this.session.publish([
        frame(Message.VIDEO, sequence, head, isKey ? keyframeBytes : videoBytes),
        frame(Message.AUDIO, sequence, [0xaf, 1], audioBytes)
      ])
    )
  }

  protected onClose(): void {
    clearInterval(this.#timer)
    if (this.ending !== undefined) return
    this.seen.cutShort++
    complain(this.seen, `publisher of ${this.stream}: the server closed its connection`)
  }

  /** Ends the stream. */
  end(ending: Ending): void {
    if (this.ending !== undefined || this.ended) return
    this.ending = ending
    clearInterval(this.#timer)
    if (ending === "RST") this.socket.resetAndDestroy()
    else {
      if (ending === "in order") this.apply(this.session.close())
      this.socket.end()
      this.socket.resume()
    }
  }
}

/** A viewer that checks what it gets. */
export class Viewer extends Client {
  /** Frames that it has received. */
  frames = 0
  readonly #publisher: Publisher
  #videoAt = -1
  #audioAt = -1
  #isLeaving = false
  #isOver = false
  /** Whether it stopped reading once: what was dropped for it then is not counted as lost. */
  readonly #isSlow: boolean

  constructor(port: number, publisher: Publisher, seen: Seen, isSlow = false, host = "127.0.0.1") {
    super(port, "play", publisher.stream, seen, host)
    this.#publisher = publisher
    this.#isSlow = isSlow
  }

  protected take(output: ClientOutput): void {
    if (output._tag === "PlayStarted") this.seen.plays++
    else if (output._tag === "Media") this.#check(output.message)
    else if (output._tag === "Failed" || output._tag === "Ended") {
      this.#isOver = output._tag === "Ended"
      this.socket.destroy()
    }
  }

  #check({ payload, typeId }: Message.Message): void {
    if ((typeId !== Message.VIDEO && typeId !== Message.AUDIO) || payload[1] !== 1) return
    const isVideo = typeId === Message.VIDEO
    const at = isVideo ? videoStampAt : audioStampAt
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
    const sequence = view.getUint32(at)
    this.seen.framesReceived++
    this.frames++
    this.seen.bytesReceived += payload.length
    if (view.getUint32(at + 4) !== crc32(payload.subarray(at + stampBytes), sequence)) {
      this.seen.corrupt++
      complain(this.seen, `viewer of ${this.stream}: frame ${sequence} is changed`)
    }
    const before = isVideo ? this.#videoAt : this.#audioAt
    if (isVideo) this.#videoAt = sequence
    else this.#audioAt = sequence
    if (before < 0 || sequence === before + 1) return
    if (sequence <= before) {
      this.seen.disordered++
      complain(this.seen, `viewer of ${this.stream}: frame ${sequence} behind ${before}`)
    } else if (!this.#isSlow) {
      this.seen.lost += sequence - before - 1
      complain(this.seen, `viewer of ${this.stream}: frame ${sequence} behind ${before}`)
    }
  }

  protected onClose(): void {
    if (this.#isLeaving || this.#isSlow) return
    const { ending, last } = this.#publisher
    // What a publisher had sent when its connection was reset may never have reached the server.
    if (ending === "RST") return
    if (ending !== undefined && this.#isOver && this.#videoAt === last && this.#audioAt === last) return
    // The stream was over before it began to play.
    if (ending !== undefined && this.#videoAt < 0) return
    this.seen.cutShort++
    complain(
      this.seen,
      `viewer of ${this.stream}: ended at ${this.#videoAt} and ${this.#audioAt} of ${last}, ${ending ?? "live"}`
    )
  }

  /** Goes away. */
  leave(ending: Ending): void {
    this.#isLeaving = true
    if (ending === "RST") this.socket.resetAndDestroy()
    else if (ending === "FIN") this.socket.destroy()
    else {
      this.apply(this.session.close())
      this.socket.end()
      this.socket.resume()
    }
  }

  /** Stops reading. */
  stall(): void {
    this.socket.pause()
  }
}
