/**
 * A viewer that costs next to nothing, so that the server stays the bottleneck: one read buffer for all viewers of the
 * process, and a walk over chunk headers that looks at the first bytes of each message alone.
 *
 * The protocol room's `ClientSession` does the start, from the handshake to the first media. The walk runs beside it
 * from the first byte after the handshake and goes on alone: it follows the chunk size, answers pings, acknowledges as
 * the server's window asks, and reads the stamps of `Synthetic`.
 */
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import type { ClientMachine } from "../../src/protocol/ClientSession.ts"
import type { ClientOutput } from "../../src/protocol/ClientSessionState.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as ProtocolControl from "../../src/protocol/ProtocolControl.ts"
import * as UserControl from "../../src/protocol/UserControl.ts"
import * as Synthetic from "./Synthetic.ts"

/** S0, S1 and S2. */
const handshakeBytes = 3073
/** The first bytes of a message that are kept, enough for its stamp. */
const headBytes = Synthetic.VIDEO_STAMP_AT + Synthetic.STAMP_BYTES
/** Basic header of 3 bytes, message header of 11, extended timestamp of 4. */
const maxHeaderBytes = 18
/** Smaller windows are acknowledged as if they were this large. */
const minWindowBytes = 65_536
const headerBytes = [11, 7, 3, 0] as const

const readBuffer = Buffer.allocUnsafe(1 << 18)

/** Latencies in tenths of a millisecond; the last one counts everything above. */
const latencyBuckets = 50_000

/** What all viewers of a process count together. */
export class Tally {
  readonly latency = new Uint32Array(latencyBuckets)

  /** Counts the latency of a frame. */
  add(ms: number): void {
    const tenths = Math.floor(ms * 10)
    this.latency[tenths < 0 ? 0 : tenths < latencyBuckets ? tenths : latencyBuckets - 1]!++
  }
}

/** What one chunk stream remembers, and the first bytes of its current message. */
interface ChunkStream {
  length: number
  left: number
  typeId: number
  extended: boolean
  headHas: number
  readonly head: Uint8Array
  readonly view: DataView
}

const chunkStream = (): ChunkStream => {
  const head = new Uint8Array(headBytes)
  return { length: 0, left: 0, typeId: 0, extended: false, headHas: 0, head, view: new DataView(head.buffer) }
}

/** Connects, through TLS where `secure`, and hands over how many bytes have come into the read buffer. */
const connect = (
  port: number,
  secure: boolean,
  onConnect: () => void,
  onBytes: (length: number) => void
): Net.Socket => {
  const options = {
    host: "127.0.0.1",
    port,
    noDelay: true,
    onread: {
      buffer: readBuffer,
      callback: (length: number) => {
        onBytes(length)
        return true
      }
    }
  }
  return secure
    ? Tls.connect({ ...options, rejectUnauthorized: false }).on("secureConnect", onConnect)
    : Net.connect(options).on("connect", onConnect)
}

/** Connects, and reads whatever comes as a `Viewer` reads, without looking at it. */
export const readAll = (
  port: number,
  secure: boolean,
  onConnect: () => void,
  onBytes: (length: number) => void
): void => {
  connect(port, secure, onConnect, onBytes)
    // The floor ends before its readers.
    .on("error", () => {})
}

/** One connection that plays. `connectOnly` makes one that stops talking after `connect`. */
export class Viewer {
  ready = false
  ended = false
  bytes = 0
  frames = 0
  lost = 0
  videoGaps = 0
  gapsEndedByKeyframe = 0
  disordered = 0
  firstVideoMs = -1
  firstKeyframeMs = -1
  readonly #session: ClientMachine
  readonly #tally: Tally
  readonly #connectOnly: boolean
  readonly #onReady: () => void
  readonly #socket: Net.Socket
  readonly #startedMs: number
  #starting = true
  // The walk
  #handshakeLeft = handshakeBytes
  #chunkSize = 128
  readonly #header = new Uint8Array(maxHeaderBytes)
  #headerHas = 0
  readonly #streams: Array<ChunkStream | undefined> = []
  #current: ChunkStream | undefined
  #chunkLeft = 0
  #videoSequence = -1
  #audioSequence = -1
  // Acknowledgements
  #received = 0
  #acknowledged = 0
  #window = Number.POSITIVE_INFINITY

  constructor(
    port: number,
    secure: boolean,
    session: ClientMachine,
    tally: Tally,
    connectOnly: boolean,
    onReady: () => void
  ) {
    this.#session = session
    this.#tally = tally
    this.#connectOnly = connectOnly
    this.#onReady = onReady
    this.#startedMs = performance.now()
    this.#socket = connect(
      port,
      secure,
      () => this.#apply(session.start(Date.now())),
      (length) => this.#read(readBuffer, length)
    )
    // The close event that follows says all there is to know.
    this.#socket.on("error", () => {})
    this.#socket.on("close", () => {
      this.ended = true
    })
  }

  /** Starts counting over. */
  reset(): void {
    this.bytes = 0
    this.frames = 0
    this.lost = 0
    this.videoGaps = 0
    this.gapsEndedByKeyframe = 0
    this.disordered = 0
  }

  /** Stops reading. */
  stall(): void {
    this.#socket.pause()
  }

  /** Reads again. */
  resume(): void {
    this.#socket.resume()
  }

  /** Closes the connection without a word. */
  leave(): void {
    this.#socket.destroy()
  }

  #apply(outputs: ReadonlyArray<ClientOutput>): void {
    for (const output of outputs) {
      if (output._tag === "Send") this.#socket.write(output.bytes)
      else if (output._tag === "Failed" || output._tag === "Ended") this.#socket.destroy()
      else if (output._tag === "Media") this.#starting = false
      else if (output._tag === "Connected" && this.#connectOnly) {
        // What the session wants to say from here on is dropped.
        this.#starting = false
        this.#becomeReady()
        return
      }
    }
  }

  #becomeReady(): void {
    if (this.ready) return
    this.ready = true
    this.#onReady()
  }

  #read(buffer: Uint8Array, length: number): void {
    this.bytes += length
    if (this.#starting) this.#apply(this.#session.receive(buffer.subarray(0, length), Date.now()))
    let at = 0
    if (this.#handshakeLeft > 0) {
      at = Math.min(this.#handshakeLeft, length)
      this.#handshakeLeft -= at
    }
    this.#walk(buffer, at, length)
    this.#received += length
    if (this.#starting) this.#acknowledged = this.#received
    else if (this.#received - this.#acknowledged >= this.#window) {
      this.#acknowledged = this.#received
      this.#send(ProtocolControl.acknowledgement(this.#received >>> 0))
    }
  }

  #send(message: Message.Message): void {
    const bytes = new Uint8Array(32)
    const length = ChunkWriter.encodeInto(bytes, 0, message.typeId, 0, 2, 0, message.payload, 128)
    this.#socket.write(bytes.subarray(0, length))
  }

  #walk(buffer: Uint8Array, at: number, end: number): void {
    while (at < end) {
      if (this.#chunkLeft > 0) {
        const stream = this.#current!
        const take = Math.min(this.#chunkLeft, end - at)
        if (stream.headHas < headBytes) {
          const copy = Math.min(headBytes - stream.headHas, take)
          for (let i = 0; i < copy; i++) stream.head[stream.headHas + i] = buffer[at + i]!
          stream.headHas += copy
        }
        at += take
        this.#chunkLeft -= take
        if (this.#chunkLeft === 0 && stream.left === 0) this.#message(stream)
      } else {
        this.#header[this.#headerHas++] = buffer[at++]!
        this.#tryHeader()
      }
    }
  }

  /** Begins a chunk when its header is whole. */
  #tryHeader(): void {
    const header = this.#header
    const has = this.#headerHas
    const low = header[0]! & 63
    const basicBytes = low === 0 ? 2 : low === 1 ? 3 : 1
    if (has < basicBytes) return
    const format = header[0]! >> 6
    const need = basicBytes + headerBytes[format]!
    if (has < need) return
    const id = low === 0 ? header[1]! + 64 : low === 1 ? header[1]! + header[2]! * 256 + 64 : low
    let stream = this.#streams[id]
    if (stream === undefined) {
      stream = chunkStream()
      this.#streams[id] = stream
    }
    const at = basicBytes
    const extended =
      format === 3 ? stream.extended : header[at] === 0xff && header[at + 1] === 0xff && header[at + 2] === 0xff
    if (extended && has < need + 4) return
    stream.extended = extended
    if (format < 2) {
      stream.length = (header[at + 3]! << 16) | (header[at + 4]! << 8) | header[at + 5]!
      stream.typeId = header[at + 6]!
    }
    if (stream.left === 0) {
      stream.left = stream.length
      stream.headHas = 0
    }
    this.#current = stream
    this.#chunkLeft = Math.min(stream.left, this.#chunkSize)
    stream.left -= this.#chunkLeft
    this.#headerHas = 0
    if (this.#chunkLeft === 0) this.#message(stream)
  }

  #message(stream: ChunkStream): void {
    const { head, headHas, view } = stream
    switch (stream.typeId) {
      case Message.VIDEO:
        // Byte 1 tells a coded picture from a sequence header.
        if (headHas >= 2 && head[1] === 1) this.#video(head[0] === 0x17, headHas === headBytes ? view : undefined)
        return
      case Message.AUDIO:
        if (headHas >= Synthetic.AUDIO_STAMP_AT + Synthetic.STAMP_BYTES) this.#audio(view)
        return
      case Message.SET_CHUNK_SIZE:
        this.#chunkSize = view.getUint32(0)
        return
      case Message.WINDOW_ACK_SIZE:
        this.#window = Math.max(view.getUint32(0), minWindowBytes)
        return
      case Message.USER_CONTROL:
        if (!this.#starting && view.getUint16(0) === UserControl.PING_REQUEST) {
          this.#send(UserControl.pingResponse(view.getUint32(2)))
        }
        return
    }
  }

  #video(isKeyframe: boolean, view: DataView | undefined): void {
    if (this.firstVideoMs < 0) this.firstVideoMs = performance.now() - this.#startedMs
    if (isKeyframe && this.firstKeyframeMs < 0) this.firstKeyframeMs = performance.now() - this.#startedMs
    if (!this.ready) this.#becomeReady()
    if (view?.getUint32(Synthetic.VIDEO_STAMP_AT) !== Synthetic.MAGIC) return
    const sequence = view.getUint32(Synthetic.VIDEO_STAMP_AT + 4)
    this.#tally.add(Synthetic.nowMs() - view.getFloat64(Synthetic.VIDEO_STAMP_AT + 8))
    if (this.#count(sequence, this.#videoSequence)) {
      this.videoGaps++
      if (isKeyframe) this.gapsEndedByKeyframe++
    }
    this.#videoSequence = sequence
  }

  #audio(view: DataView): void {
    if (view.getUint32(Synthetic.AUDIO_STAMP_AT) !== Synthetic.MAGIC) return
    const sequence = view.getUint32(Synthetic.AUDIO_STAMP_AT + 4)
    this.#count(sequence, this.#audioSequence)
    this.#audioSequence = sequence
  }

  /** Counts a stamped message; tells whether some before it are missing. */
  #count(sequence: number, previous: number): boolean {
    this.frames++
    if (previous < 0 || sequence === previous + 1) return false
    if (sequence <= previous) {
      this.disordered++
      return false
    }
    this.lost += sequence - previous - 1
    return true
  }
}
