/**
 * Sessions: whatever a client sends, the state machine holds, its answers can be read, and no partition makes a difference.
 *
 * `commands` makes well-formed messages in any order, `session` damages what real encoders and players send.
 */
import * as Result from "effect/Result"
import * as Amf0 from "../../../src/protocol/amf/Amf0.ts"
import * as Bytes from "../../../src/protocol/Bytes.ts"
import * as ChunkReader from "../../../src/protocol/ChunkReader.ts"
import * as ChunkWriter from "../../../src/protocol/ChunkWriter.ts"
import * as Message from "../../../src/protocol/Message.ts"
import * as ServerCommands from "../../../src/protocol/ServerCommands.ts"
import * as ServerSession from "../../../src/protocol/ServerSession.ts"
import type { Session, SessionOptions, SessionOutput } from "../../../src/protocol/Session.ts"
import { defaultOptions, SessionError } from "../../../src/protocol/Session.ts"
import * as Status from "../../../src/protocol/Status.ts"
import { ensure, hasControl, type Layer, same } from "../Layer.ts"
import { Output } from "../Output.ts"
import { hashOf, Random } from "../Random.ts"
import { amf0 } from "./Amf.ts"
import { cut } from "./Chunks.ts"
import { payload } from "./Media.ts"

/** A handshake that is over before it begins: these layers are about what comes after. */
const noHandshake: ServerSession.SessionParts["handshake"] = {
  state: "Complete",
  push: (bytes) =>
    Result.succeed({
      send: Bytes.empty,
      complete: { kind: "simple", clientVersion: 3, echoMatches: true, rest: bytes }
    })
}

const options: SessionOptions = defaultOptions

/** What came of a session, without what may depend on how its bytes were cut: answers to pings, acknowledgements. */
interface Transcript {
  readonly events: Array<unknown>
  tooManyAnomalies: boolean
}

/** Drives a session as a server does, and keeps a model of what it may do. */
class Drive {
  readonly transcript: Transcript = { events: [], tooManyAnomalies: false }
  readonly #session: Session
  readonly #reader = ChunkReader.make()
  readonly #publishing = new Set<number>()
  readonly #playing = new Set<number>()
  #connected = false
  #closed = false
  #nowMs = 1_000

  constructor() {
    this.#session = ServerSession.make(
      options,
      {
        handshake: noHandshake,
        reader: ChunkReader.make(),
        writer: ChunkWriter.make(),
        decodeCommand: Amf0.decode,
        commands: ServerCommands.defaultHandlers
      },
      this.#nowMs
    )
  }

  receive(bytes: Uint8Array): void {
    this.#serve(this.#session.receive(bytes, this.#nowMs))
  }

  #serve(first: ReadonlyArray<SessionOutput>): void {
    let request = this.#take(first)
    for (let turns = 0; request !== undefined && !this.#closed; turns++) {
      ensure(turns < 1000, "a session that asks for ever")
      if (/deny/.test(request.name)) {
        this.#take(this.#session.reject(request.id, Status.error(request.code, "No."), this.#nowMs))
        ensure(this.#closed, "a session that goes on after a refusal")
        return
      }
      request.granted()
      this.#take(this.#session.accept(request.id, this.#nowMs))
      request = this.#take(this.#session.resume(this.#nowMs))
    }
  }

  #take(outputs: ReadonlyArray<SessionOutput>) {
    let request: { id: number; name: string; code: Status.StatusCode; granted: () => void } | undefined
    for (const output of outputs) {
      ensure(!this.#closed, "an output after the end", () => output._tag)
      ensure(
        request === undefined || ["Send", "Anomaly", "Close"].includes(output._tag),
        "an output while a decision is due",
        () => output._tag
      )
      switch (output._tag) {
        case "Send":
          this.#sent(output.bytes)
          continue
        case "ConnectRequested":
          ensure(!this.#connected, "two connects")
          this.#ensureName(output.request.application, true)
          ensure(output.request.tcUrl.length <= 4096 && output.request.flashVer.length <= 255, "endless names are kept")
          request = {
            id: output.requestId,
            name: output.request.application,
            code: "NetConnection.Connect.Rejected",
            granted: () => {
              this.#connected = true
            }
          }
          break
        case "PublishRequested":
        case "PlayRequested": {
          const { stream, streamId } = output.request
          const isPublish = output._tag === "PublishRequested"
          ensure(this.#connected, "a stream before connect")
          ensure(!this.#publishing.has(streamId) && !this.#playing.has(streamId), "a message stream that is in use")
          ensure(isPublish ? this.#playing.size === 0 : this.#publishing.size === 0, "a session that does both")
          this.#ensureName(stream, false)
          request = {
            id: output.requestId,
            name: stream,
            code: isPublish ? "NetStream.Publish.BadName" : "NetStream.Play.Failed",
            granted: () => (isPublish ? this.#publishing : this.#playing).add(streamId)
          }
          break
        }
        case "Media":
          ensure(this.#publishing.has(output.streamId), "media of a stream that does not publish")
          ensure(output.message.streamId === output.streamId, "media of another message stream")
          break
        case "PublishEnded":
          ensure(this.#publishing.delete(output.streamId), "the end of what was not published")
          break
        case "PlayEnded":
          ensure(this.#playing.delete(output.streamId), "the end of what was not played")
          break
        case "PlayChanged":
          ensure(this.#playing.has(output.streamId), "a change of what is not played")
          break
        case "Anomaly":
          ensure(!hasControl(output.detail), "a control character in a message", () => output.detail)
          // Told once for each read in which they happened.
          if (output.kind === "ChunkHeaderRestart") continue
          break
        case "Close":
          this.#closed = true
          ensure(!hasControl(output.error.message), "a control character in a message", () => output.error.message)
          if (output.error.reason === "TooManyAnomalies") this.transcript.tooManyAnomalies = true
          this.transcript.events.push(["Close", output.error._tag, output.error.reason])
          continue
      }
      this.transcript.events.push(output)
    }
    ensure(this.#closed === (this.#session.state === "Disconnected"), "a state that is not what was told")
    return request
  }

  #sent(bytes: Uint8Array): void {
    const read = this.#reader.push(bytes)
    ensure(Result.isSuccess(read), "an answer that cannot be read", () => String(Result.merge(read)))
    for (const message of Result.getOrThrow(read)) {
      if (message.typeId === Message.ACKNOWLEDGEMENT) continue
      if (message.typeId === Message.USER_CONTROL && message.payload[1] === 7) continue
      if (message.typeId === Message.COMMAND_AMF0) {
        ensure(Result.isSuccess(Amf0.decode(message.payload)), "an answer that is no AMF0")
      }
      this.transcript.events.push(["Sent", message.typeId, message.streamId, message.payload])
    }
  }

  #ensureName(name: string, mayBeEmpty: boolean): void {
    ensure(mayBeEmpty || name !== "", "an empty name")
    ensure(
      !hasControl(name) && !/(?:^|\/)\.\.?(?:\/|$)|^\/|\/$|\\/.test(name),
      "a name that is not canonical",
      () => name
    )
  }

  /** Ends what goes on, from the server's side, and lets all deadlines pass. */
  finish(random: Random): void {
    if (!this.#closed) {
      const deadline = this.#session.nextDeadlineMs()
      ensure(deadline >= this.#nowMs && Number.isFinite(deadline), "a session without a deadline")
      this.#take(this.#session.requestReconnect("", "Moving."))
      for (const id of this.#playing) {
        this.#take(this.#session.streamDry(id))
        this.#take(this.#session.publishNotify(id))
        if (random.once(2))
          this.#take(this.#session.endPlay(id, new SessionError({ reason: "StreamEnded", detail: "over" })))
      }
      for (const id of this.#publishing) {
        if (this.#closed) break
        const error = new SessionError({ reason: "Kicked", detail: "kicked" })
        if (random.once(2))
          this.#take(this.#session.kick(id, Status.error("NetStream.Publish.BadName", "Kicked."), error))
      }
      for (let i = 0; i < 8 && !this.#closed; i++) {
        this.#nowMs = Math.max(this.#nowMs, this.#session.nextDeadlineMs())
        this.#take(this.#session.tick(this.#nowMs))
      }
      ensure(this.#closed, "a silent session that is never closed")
    }
    ensure(
      this.#session.receive(Uint8Array.of(2, 0, 0, 0), this.#nowMs).length === 0,
      "a session that lives after its end"
    )
    ensure(this.#session.tick(this.#nowMs + 1e9).length === 0, "a session that lives after its end")
    ensure(this.#session.nextDeadlineMs() === Number.POSITIVE_INFINITY, "a deadline after the end")
  }
}

const local = new Random()

const check = (input: Uint8Array): void => {
  const random = local.start(hashOf(input), 0)
  const whole = new Drive()
  whole.receive(input.slice())
  const events = [...whole.transcript.events]
  const parts = new Drive()
  for (const piece of cut(input, random)) parts.receive(piece)
  if (!whole.transcript.tooManyAnomalies && !parts.transcript.tooManyAnomalies) {
    ensure(same(events, parts.transcript.events), "a partition gives another session", () =>
      firstDifference(events, parts.transcript.events)
    )
  }
  whole.finish(random)
  parts.finish(random)
}

const firstDifference = (left: ReadonlyArray<unknown>, right: ReadonlyArray<unknown>): string => {
  const at = left.findIndex((event, index) => !same(event, right[index]))
  const index = at < 0 ? left.length : at
  return `${index}, ${JSON.stringify(left[index])?.slice(0, 200)} and ${JSON.stringify(right[index])?.slice(0, 200)}`
}

const names = [
  "connect",
  "createStream",
  "createStream",
  "publish",
  "publish",
  "play",
  "play",
  "deleteStream",
  "closeStream",
  "releaseStream",
  "FCPublish",
  "FCUnpublish",
  "FCSubscribe",
  "pause",
  "seek",
  "receiveAudio",
  "receiveVideo",
  "_result",
  "_error",
  "onStatus",
  "close",
  "_checkbw",
  "getStreamLength",
  "@setDataFrame",
  "nonsense",
  "toString",
  "__proto__",
  ""
]
const streamNames = [
  "s",
  "s?key=1",
  "a/b",
  "../a",
  "",
  "x".repeat(300),
  "mp4:s",
  "deny",
  "a\nb",
  "%2e%2e/a",
  "rtmp://h/live/s"
]
const applications = ["live", "live/x?k=v", "", "../live", "deny", "a\u0000b"]
const transactions = [0, 1, 2, 3, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e300]

const string = (out: Output, text: string): void => {
  out.u8(2).u16(text.length).latin(text)
}

/** Writes one message as one chunk: the chunk size is 65536 by then. */
const message = (out: Output, typeId: number, streamId: number, id: number, body: () => void): void => {
  out.u8(id).u24(0)
  const at = out.length
  out.u24(0).u8(typeId).u32Le(streamId)
  const start = out.length
  body()
  out.patch24(at, Math.max(0, out.length - start))
}

const command = (out: Output, random: Random, name: string, streamId: number, body: () => void): void =>
  message(out, random.once(30) ? 17 : 20, streamId, 3, () => {
    string(out, name)
    if (!random.once(40)) out.u8(0).f64(random.pick(transactions))
    body()
  })

const connect = (out: Output, random: Random): void =>
  command(out, random, "connect", 0, () => {
    out.u8(random.once(5) ? 8 : 3)
    out.u16(3).latin("app")
    string(out, random.once(6) ? random.pick(applications) : "live")
    out.u16(5).latin("tcUrl")
    string(out, "rtmp://h/live?k=v")
    if (random.once(3)) {
      out.u16(6).latin("capsEx").u8(0).f64(random.pick(transactions))
      out.u16(10).latin("fourCcList")
      amf0(out, random, 2)
    }
    out.u24(9)
  })

const anything = (out: Output, random: Random): void => {
  const streamId = random.once(20) ? random.u32() : random.below(3)
  switch (random.below(8)) {
    case 0: {
      const typeId = random.pick([8, 9, 15, 18, 22])
      message(out, typeId, streamId, 6, () => payload(out, random, typeId === 22 ? 9 : typeId))
      break
    }
    case 1: {
      const value = random.once(2) ? random.u32() : 65_536
      const event = random.below(9)
      message(out, random.pick([3, 4, 5, 6, 2, 1]), 0, 2, () => out.u16(event).u32(value).u32(0))
      break
    }
    case 2:
      message(out, random.below(256), streamId, 5, () => out.noise(random, random.below(12)))
      break
    default: {
      const name = random.pick(names)
      if (name === "connect") connect(out, random)
      else command(out, random, name, streamId, () => callArguments(random, name))
    }
  }
}

const callArguments = (random: Random, name: string): void => {
  out.u8(5)
  if (name === "publish" || name === "play") {
    string(out, random.once(3) ? random.pick(streamNames) : random.pick(["s", "t"]))
  } else if (name === "deleteStream" && !random.once(3)) out.u8(0).f64(random.below(4))
  else for (let i = random.below(3); i > 0; i--) amf0(out, random, 2)
}

const out = new Output()

const largeChunks = (): void => {
  out.clear().bytes([2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]).u32(65_536)
}

export const commandLayer: Layer = {
  name: "commands",
  inputsInTests: 8_000,
  generate: (random) => {
    largeChunks()
    if (!random.once(12)) connect(out, random)
    // Most inputs come to where things happen, and some are left to chance.
    if (!random.once(4))
      for (let i = random.below(3); i > 0; i--) command(out, random, "createStream", 0, () => out.u8(5))
    for (let i = random.below(3); i > 0; i--) {
      command(out, random, random.once(2) ? "publish" : "play", 1 + random.below(2), () =>
        callArguments(random, "publish")
      )
    }
    for (let i = random.below(14); i > 0; i--) anything(out, random)
    return out.finish()
  },
  check
}

const hex = (text: string) => [...Bytes.fromHex(text.replaceAll(" ", ""))]
const videoHeader = hex("17 00 000000 01 64 00 1f ff e1 0004 67 64 00 1f 01 0002 68 ee")

/** What FFmpeg, OBS, GStreamer and players send, from connect to the end, message by message. */
const scripts: ReadonlyArray<(random: Random) => void> = [
  (random) => {
    connect(out, random)
    for (const name of ["releaseStream", "FCPublish"]) {
      command(out, random, name, 0, () => {
        out.u8(5)
        string(out, "s")
      })
    }
    command(out, random, "createStream", 0, () => out.u8(5))
    command(out, random, "publish", 1, () => {
      out.u8(5)
      string(out, "s?key=1")
      string(out, "live")
    })
    message(out, 18, 1, 4, () => {
      string(out, "@setDataFrame")
      string(out, "onMetaData")
      out.u8(8).u32(1).u16(5).latin("width").u8(0).f64(1280).u24(9)
    })
    message(out, 9, 1, 6, () => out.bytes(videoHeader))
    for (let i = 0; i < 4; i++) {
      message(out, 9, 1, 6, () =>
        out.bytes([i === 0 ? 0x17 : 0x27, 1, 0, 0, 0]).noise(random, 8 + random.below(random.once(4) ? 200 : 20))
      )
      message(out, 8, 1, 4, () => out.bytes([0xaf, 1]).noise(random, 20))
    }
    command(out, random, "FCUnpublish", 0, () => {
      out.u8(5)
      string(out, "s")
    })
    command(out, random, "deleteStream", 0, () => out.u8(5).u8(0).f64(1))
  },
  (random) => {
    connect(out, random)
    message(out, 5, 0, 2, () => out.u32(2_500_000))
    command(out, random, "createStream", 0, () => out.u8(5))
    command(out, random, "FCSubscribe", 0, () => {
      out.u8(5)
      string(out, "s")
    })
    command(out, random, "play", 1, () => {
      out.u8(5)
      string(out, "s")
      out.u8(0).f64(-2000)
    })
    message(out, 4, 0, 2, () => out.u16(3).u32(1).u32(3000))
    message(out, 4, 0, 2, () => out.u16(6).u32(77))
    command(out, random, "pause", 1, () => out.u8(5).u8(1).u8(1).u8(0).f64(0))
    command(out, random, "receiveVideo", 1, () => out.u8(5).u8(1).u8(0))
    message(out, 3, 0, 2, () => out.u32(5000))
    command(out, random, "closeStream", 1, () => out.u8(5))
  }
]

/** Cuts the one-chunk messages of a script into chunks of 128, which is the size before anybody sets another. */
const rechunk = (random: Random, source: Uint8Array): void => {
  out.clear()
  for (let at = 0; at < source.length; ) {
    const length = Bytes.u24(source, at + 4)
    out.bytes(source.subarray(at, at + 12))
    for (let sent = 0; sent < length; sent += 128) {
      if (sent > 0) out.u8(0xc0 | (source[at]! & 0x3f))
      out.bytes(source.subarray(at + 12 + sent, at + 12 + Math.min(length, sent + 128)))
    }
    at += 12 + length
  }
  out.damage(random, 0, random.below(5))
}

export const sessionLayer: Layer = {
  name: "session",
  inputsInTests: 8_000,
  generate: (random) => {
    out.clear()
    random.pick(scripts)(random)
    // Some end early, as connections do.
    const script = out.finish()
    rechunk(random, random.once(3) ? script.subarray(0, ends(random, script)) : script)
    return out.finish()
  },
  check
}

/** The end of one of the messages of a script. */
const ends = (random: Random, script: Uint8Array): number => {
  let at = 0
  for (let count = 1 + random.below(8); count > 0 && at < script.length; count--) at += 12 + Bytes.u24(script, at + 4)
  return at
}
