/**
 * The client's side of the handshake (RTMP 1.0 §5.2), plain or with a Flash Player 9 digest.
 *
 * `start` gives C0 and C1; `push` takes the server's bytes in any partition, gives C2 as soon as S1 is whole, and hands
 * over what came after S2. Only then may the client send anything else (RTMP 1.0 §5.2.1). No clock, no randomness and
 * no deadline of its own.
 *
 * The states and what moves between them, rendered from `transitions`:
 *
 * | state      | Started   | VersionAccepted | VersionRefused | S1Received | S2Accepted | S2Refused |
 * |------------|-----------|-----------------|----------------|------------|------------|-----------|
 * | Idle       | WaitingS0 | Failed          | Failed         | Failed     | Failed     | Failed    |
 * | WaitingS0  | Failed    | WaitingS1       | Failed         | Failed     | Failed     | Failed    |
 * | WaitingS1  | Failed    | Failed          | Failed         | WaitingS2  | Failed     | Failed    |
 * | WaitingS2  | Failed    | Failed          | Failed         | Failed     | Complete   | Failed    |
 * | Complete   | Failed    | Failed          | Failed         | Failed     | Failed     | Failed    |
 * | Failed     | Failed    | Failed          | Failed         | Failed     | Failed     | Failed    |
 *
 * **Gotchas**
 *
 * - To a plain S1 the C2 is an exact copy of it, as librtmp, OBS and FFmpeg send it.
 * - Like those three this client takes any S2 unless told to be `strict`: servers exist that fill it with anything.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Bytes from "./Bytes.ts"
import { RtmpCrypto, type RtmpCryptoShape } from "./Crypto.ts"
import { echoes, type HandshakeKind, VERSION } from "./Handshake.ts"
import * as HandshakeDigest from "./HandshakeDigest.ts"

/** What a client handshake waits for, or how it ended. */
export type ClientHandshakeState = "Idle" | "WaitingS0" | "WaitingS1" | "WaitingS2" | "Complete" | "Failed"

/**
 * What can happen to a client handshake.
 *
 * - `Started`: C0 and C1 were taken to be sent.
 * - `VersionAccepted`, `VersionRefused`: S0 is there, and can or cannot be talked to.
 * - `S1Received`: S1 is whole.
 * - `S2Accepted`, `S2Refused`: S2 is whole; it is refused only where `strict` asks for an answer and it is none.
 */
export type ClientHandshakeInput =
  | "Started"
  | "VersionAccepted"
  | "VersionRefused"
  | "S1Received"
  | "S2Accepted"
  | "S2Refused"

const refuseAll: Readonly<Record<ClientHandshakeInput, ClientHandshakeState>> = {
  Started: "Failed",
  VersionAccepted: "Failed",
  VersionRefused: "Failed",
  S1Received: "Failed",
  S2Accepted: "Failed",
  S2Refused: "Failed"
}

/**
 * The next state for each state and input: the only place where the state of a client handshake is decided.
 *
 * `Failed` stands in every cell that the protocol does not know.
 */
export const transitions: Readonly<
  Record<ClientHandshakeState, Readonly<Record<ClientHandshakeInput, ClientHandshakeState>>>
> = {
  Idle: { ...refuseAll, Started: "WaitingS0" },
  WaitingS0: { ...refuseAll, VersionAccepted: "WaitingS1" },
  WaitingS1: { ...refuseAll, S1Received: "WaitingS2" },
  WaitingS2: { ...refuseAll, S2Accepted: "Complete" },
  Complete: refuseAll,
  Failed: refuseAll
}

/**
 * How a client handshake is to be held.
 *
 * - `crypto`: where random bytes and HMAC-SHA-256 come from.
 * - `digest`: sends a C1 with a digest of schema 1, as FFmpeg does; off by default. A server that does not know
 *   digests answers plainly, and the handshake goes on as a plain one.
 * - `strict`: refuses (`EchoMismatch`) an S2 that answers C1 neither by echo, bytes 4 to 7 aside, nor by digest. Off
 *   by default.
 */
export interface ClientHandshakeOptions {
  /** Where random bytes and HMAC-SHA-256 come from. */
  readonly crypto: RtmpCryptoShape
  /** Whether C1 carries a digest; `false` by default. */
  readonly digest?: boolean
  /** Whether an S2 that does not answer C1 fails the handshake; `false` by default. */
  readonly strict?: boolean
}

/**
 * What a finished client handshake found out.
 *
 * - `kind`: the dialect that the server answered in.
 * - `serverVersion`: S0, almost always 3.
 * - `echoMatches`: whether S2 answered C1, by echo or by digest.
 * - `rest`: the bytes after S2, a view of the array that was pushed last; may be empty.
 */
export interface ClientHandshakeComplete {
  /** The dialect that the server answered in. */
  readonly kind: HandshakeKind
  /** S0 as the server sent it. */
  readonly serverVersion: number
  /** Whether S2 answered C1, by echo or by digest. */
  readonly echoMatches: boolean
  /** The bytes after S2: a view, possibly empty. */
  readonly rest: Uint8Array
}

/**
 * What came of one push.
 *
 * - `send`: C2, from the push that completes S1; otherwise empty.
 * - `complete`: set by the push that completes S2, which is often the same.
 */
export interface ClientHandshakeProgress {
  /** C2, or nothing. */
  readonly send: Uint8Array
  /** The outcome, once S2 is whole. */
  readonly complete: ClientHandshakeComplete | undefined
}

/**
 * The client's side of one handshake.
 *
 * - `state`: what it waits for, or how it ended.
 * - `start(nowMs)`: gives C0 and C1 in one array of 1537 bytes, once. The low 32 bits of the time go into C1.
 * - `push(bytes, nowMs)`: takes the next bytes from the server. Nothing of `bytes` is kept but copies.
 *
 * It is dead after an error: every later push gives `AlreadyFailed`. A second `start`, a push before it and a push
 * after completion throw, because the caller lost its way.
 */
export interface ClientHandshake {
  /** What the handshake waits for, or how it ended. */
  readonly state: ClientHandshakeState
  /** Gives C0 and C1, once. */
  readonly start: (nowMs: number) => Uint8Array
  /** Takes the next bytes from the server, and the time in milliseconds. */
  readonly push: (bytes: Uint8Array, nowMs: number) => Result.Result<ClientHandshakeProgress, ClientHandshakeError>
}

/**
 * Why a client handshake failed.
 *
 * - `UnsupportedVersion`: S0 is 0 to 2, or 32 and more and not a letter.
 * - `TlsServer`: S0 is how a TLS alert or handshake begins.
 * - `TextProtocol`: S0 is a printable character; `HttpServer` where it is the `H` of an HTTP status line.
 * - `EchoMismatch`: `strict`, and S2 does not answer C1.
 * - `AlreadyFailed`: a push after one of the above.
 */
export type ClientHandshakeReason =
  | "UnsupportedVersion"
  | "TlsServer"
  | "HttpServer"
  | "TextProtocol"
  | "EchoMismatch"
  | "AlreadyFailed"

/**
 * A server that cannot be talked to, found out during the handshake.
 *
 * `stage` is the state in which it happened, `value` the first byte (S0) where that is the reason.
 */
export class ClientHandshakeError extends Data.TaggedError("ClientHandshakeError")<{
  readonly reason: ClientHandshakeReason
  readonly stage: ClientHandshakeState
  readonly value?: number
}> {
  /** One line for logs. */
  override get message(): string {
    switch (this.reason) {
      case "UnsupportedVersion":
        return `the server answered with RTMP version ${this.value}: expected ${VERSION}`
      case "TlsServer":
        return "the server speaks TLS on this port: use rtmps:// instead of rtmp://"
      case "HttpServer":
        return "the server speaks HTTP on this port: check host and port of the URL"
      case "TextProtocol":
        return `not an RTMP server: the first byte is ${this.value}, as in a text protocol`
      case "EchoMismatch":
        return "S2 does not echo C1: strict handshakes are on, and this server does not answer what it was sent"
      case "AlreadyFailed":
        return "the handshake has failed before: no more bytes are taken"
    }
  }
}

/** Prepares the client's side of a handshake. */
export const make = (options: ClientHandshakeOptions): ClientHandshake => new Machine(options)

/**
 * Handshakes for clients, as a service: replace it to hold them in another way.
 *
 * Its `layer` needs `RtmpCrypto`.
 */
export class ClientHandshakeService extends Context.Service<
  ClientHandshakeService,
  {
    /** Prepares the client's side of a handshake. */
    readonly make: (options?: Omit<ClientHandshakeOptions, "crypto">) => ClientHandshake
  }
>()("effect-rtmp/protocol/ClientHandshake") {
  /** The handshakes of this module. */
  static readonly layer: Layer.Layer<ClientHandshakeService, never, RtmpCrypto> = Layer.effect(
    ClientHandshakeService,
    Effect.map(RtmpCrypto, (crypto) =>
      ClientHandshakeService.of({
        make: (options) => make({ ...options, crypto })
      })
    )
  )
}

const idle: ClientHandshakeProgress = {
  send: Bytes.empty,
  complete: undefined
}

/** Version bytes of a digest C1: Flash Player 9.0.124.2, which FFmpeg claims to be as well. */
const DIGEST_CLIENT_VERSION = 0x09007c02

class Machine implements ClientHandshake {
  #state: ClientHandshakeState = "Idle"
  readonly #options: ClientHandshakeOptions
  #serverVersion = 0
  #kind: HandshakeKind = "simple"
  /** S1 while it arrives, then S2. */
  #packet: Uint8Array = Bytes.empty
  #filled = 0
  /** A copy of C1, to compare S2 with. */
  #c1: Uint8Array = Bytes.empty
  /** The digest in C1, or empty in a plain handshake. */
  #c1Digest: Uint8Array = Bytes.empty

  constructor(options: ClientHandshakeOptions) {
    this.#options = options
  }

  get state(): ClientHandshakeState {
    return this.#state
  }

  readonly start = (nowMs: number): Uint8Array => {
    if (this.#state !== "Idle") throw new Error("a client handshake starts once")
    const { crypto } = this.#options
    const out = new Uint8Array(1 + HandshakeDigest.PACKET_BYTES)
    const c1 = out.subarray(1)
    out[0] = VERSION
    Bytes.putU32(c1, 0, nowMs)
    c1.set(crypto.randomBytes(HandshakeDigest.PACKET_BYTES - 8), 8)
    if (this.#options.digest === true) {
      Bytes.putU32(c1, 4, DIGEST_CLIENT_VERSION)
      this.#c1Digest = HandshakeDigest.seal(crypto, HandshakeDigest.clientKeys, c1, 1)
    }
    this.#c1 = c1.slice()
    this.#move("Started")
    return out
  }

  readonly push = (bytes: Uint8Array, _nowMs: number): Result.Result<ClientHandshakeProgress, ClientHandshakeError> => {
    if (this.#state === "Failed") {
      return Result.fail(new ClientHandshakeError({ reason: "AlreadyFailed", stage: "Failed" }))
    }
    if (this.#state === "Idle") throw new Error("a client handshake has to be started before it takes bytes")
    if (this.#state === "Complete") throw new Error("bytes after a complete handshake belong to the chunk stream")
    if (bytes.length === 0) return Result.succeed(idle)
    let offset = 0
    let send = Bytes.empty
    if (this.#state === "WaitingS0") {
      const reason = refuse(bytes[0]!)
      if (reason !== undefined) return this.#fail(reason, "VersionRefused", bytes[0]!)
      this.#serverVersion = bytes[0]!
      this.#move("VersionAccepted")
      offset = 1
    }
    if (this.#state === "WaitingS1") {
      offset = this.#fill(bytes, offset)
      if (this.#filled < HandshakeDigest.PACKET_BYTES) return Result.succeed(idle)
      send = this.#answer()
      this.#filled = 0
      this.#move("S1Received")
    }
    offset = this.#fill(bytes, offset)
    if (this.#filled < HandshakeDigest.PACKET_BYTES) {
      return Result.succeed(send.length === 0 ? idle : { send, complete: undefined })
    }
    const echoMatches = this.#s2Matches()
    if (!echoMatches && this.#options.strict === true) return this.#fail("EchoMismatch", "S2Refused", undefined)
    this.#move("S2Accepted")
    this.#release()
    return Result.succeed({
      send,
      complete: {
        kind: this.#kind,
        serverVersion: this.#serverVersion,
        echoMatches,
        rest: bytes.subarray(offset)
      }
    })
  }

  #move(input: ClientHandshakeInput): void {
    this.#state = transitions[this.#state][input]
  }

  #fail(
    reason: ClientHandshakeReason,
    input: ClientHandshakeInput,
    value: number | undefined
  ): Result.Result<never, ClientHandshakeError> {
    const stage = this.#state
    this.#move(input)
    this.#release()
    return Result.fail(new ClientHandshakeError(value === undefined ? { reason, stage } : { reason, stage, value }))
  }

  #release(): void {
    this.#packet = Bytes.empty
    this.#c1 = Bytes.empty
    this.#c1Digest = Bytes.empty
  }

  /** Copies what belongs to the current packet and gives the offset of what does not. */
  #fill(bytes: Uint8Array, offset: number): number {
    const end = Math.min(bytes.length, offset + HandshakeDigest.PACKET_BYTES - this.#filled)
    if (end === offset) return offset
    if (this.#packet.length === 0) this.#packet = new Uint8Array(HandshakeDigest.PACKET_BYTES)
    this.#packet.set(bytes.subarray(offset, end), this.#filled)
    this.#filled += end - offset
    return end
  }

  /** Builds C2 for the S1 that is in `#packet`. */
  #answer(): Uint8Array {
    const { crypto } = this.#options
    const s1 = this.#packet
    const found =
      this.#c1Digest.length === 0 || Bytes.u32(s1, 4) === 0
        ? undefined
        : HandshakeDigest.find(crypto, HandshakeDigest.serverKeys, s1)
    if (found === undefined) return s1.slice()
    this.#kind = found.schema === 0 ? "digest-schema0" : "digest-schema1"
    const c2 = new Uint8Array(HandshakeDigest.PACKET_BYTES)
    c2.set(crypto.randomBytes(HandshakeDigest.REPLY_DIGEST_POSITION))
    HandshakeDigest.sealReply(crypto, HandshakeDigest.clientKeys, found.digest, c2)
    return c2
  }

  #s2Matches(): boolean {
    return (
      echoes(this.#packet, this.#c1) ||
      (this.#c1Digest.length > 0 &&
        HandshakeDigest.verifyReply(this.#options.crypto, HandshakeDigest.serverKeys, this.#c1Digest, this.#packet))
    )
  }
}

const TLS_ALERT_RECORD = 0x15
const TLS_HANDSHAKE_RECORD = 0x16
const LETTER_H = 0x48

/** Says why a server that begins like this cannot be talked to, or `undefined` where it can. */
const refuse = (version: number): ClientHandshakeReason | undefined => {
  if (version === TLS_ALERT_RECORD || version === TLS_HANDSHAKE_RECORD) return "TlsServer"
  if (version === LETTER_H) return "HttpServer"
  if (version < VERSION) return "UnsupportedVersion"
  if (version < 32) return undefined
  return version < 127 ? "TextProtocol" : "UnsupportedVersion"
}
