/**
 * The server's side of the handshake (RTMP 1.0 §5.2), plain and with Flash Player 9 digests.
 *
 * A `ServerHandshake` takes the client's first bytes in any partition and says what to answer; when the client's C2 is
 * whole it hands over the bytes that came after it, which belong to the chunk stream. It has no clock, no randomness
 * and no deadline of its own: the caller passes the time in, and closes a connection whose handshake takes too long.
 *
 * The states and what moves between them, rendered from `transitions`:
 *
 * | state      | VersionAccepted | VersionRefused | C1Received | C2Accepted | C2Refused |
 * |------------|-----------------|----------------|------------|------------|-----------|
 * | WaitingC0  | WaitingC1       | Failed         | Failed     | Failed     | Failed    |
 * | WaitingC1  | Failed          | Failed         | WaitingC2  | Failed     | Failed    |
 * | WaitingC2  | Failed          | Failed         | Failed     | Complete   | Failed    |
 * | Complete   | Failed          | Failed         | Failed     | Failed     | Failed    |
 * | Failed     | Failed          | Failed         | Failed     | Failed     | Failed    |
 *
 * **Gotchas**
 *
 * - S0, S1 and S2 leave as one array, to be written at once: AWS Elemental encoders want them in one segment.
 * - To a plain client S2 is an exact copy of C1, because StreamPack compares it, and bytes 4 to 7 of S1 are zero,
 *   because every player on FFmpeg takes anything else there for a digest and then fails to verify it.
 * - C2 is consumed, not enforced: an FFmpeg publisher copies S1 into it even after a digest handshake, GStreamer puts
 *   its own clock into bytes 4 to 7.
 * - librtmp, and with it OBS, sends C2 and `connect` in one segment; Cisco CMS does not even wait for S2.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Bytes from "./Bytes.ts"
import { RtmpCrypto, type RtmpCryptoShape } from "./Crypto.ts"
import * as HandshakeDigest from "./HandshakeDigest.ts"

/** What a server handshake waits for, or how it ended. */
export type HandshakeState = "WaitingC0" | "WaitingC1" | "WaitingC2" | "Complete" | "Failed"

/**
 * What can happen to a server handshake.
 *
 * - `VersionAccepted`, `VersionRefused`: C0 is there, and can or cannot be answered.
 * - `C1Received`: C1 is whole; whatever it holds can be answered.
 * - `C2Accepted`, `C2Refused`: C2 is whole; it is refused only where `strict` asks for an echo and it is none.
 */
export type HandshakeInput = "VersionAccepted" | "VersionRefused" | "C1Received" | "C2Accepted" | "C2Refused"

/**
 * The next state for each state and input: the only place where the state of a server handshake is decided.
 *
 * `Failed` stands in every cell that the protocol does not know.
 */
export const transitions: Readonly<Record<HandshakeState, Readonly<Record<HandshakeInput, HandshakeState>>>> = {
  WaitingC0: {
    VersionAccepted: "WaitingC1",
    VersionRefused: "Failed",
    C1Received: "Failed",
    C2Accepted: "Failed",
    C2Refused: "Failed"
  },
  WaitingC1: {
    VersionAccepted: "Failed",
    VersionRefused: "Failed",
    C1Received: "WaitingC2",
    C2Accepted: "Failed",
    C2Refused: "Failed"
  },
  WaitingC2: {
    VersionAccepted: "Failed",
    VersionRefused: "Failed",
    C1Received: "Failed",
    C2Accepted: "Complete",
    C2Refused: "Failed"
  },
  Complete: {
    VersionAccepted: "Failed",
    VersionRefused: "Failed",
    C1Received: "Failed",
    C2Accepted: "Failed",
    C2Refused: "Failed"
  },
  Failed: {
    VersionAccepted: "Failed",
    VersionRefused: "Failed",
    C1Received: "Failed",
    C2Accepted: "Failed",
    C2Refused: "Failed"
  }
}

/** The RTMP version that is spoken here, sent as S0 (RTMP 1.0 §5.2.2). */
export const VERSION = 3

/** Which dialect of the handshake a client spoke; the digit names the `HandshakeDigest.DigestSchema`. */
export type HandshakeKind = "simple" | "digest-schema0" | "digest-schema1"

/**
 * How a server handshake is to be held.
 *
 * - `crypto`: where random bytes and HMAC-SHA-256 come from.
 * - `strict`: refuses (`EchoMismatch`) a C2 that neither echoes S1, bytes 4 to 7 aside, nor carries the digest that
 *   answers S1. Off by default. With it, of digest clients those that just copy S1 still pass, FFmpeg among them.
 * - `acceptReservedVersions`: answers the reserved versions 4 to 31 (6, 8 and 9 are encrypted RTMPE) with version 3
 *   and goes on in plain, as RTMP 1.0 §5.2.2 says a server should; otherwise refuses them. On by default.
 */
export interface HandshakeOptions {
  /** Where random bytes and HMAC-SHA-256 come from. */
  readonly crypto: RtmpCryptoShape
  /** Whether a C2 that does not answer S1 fails the handshake; `false` by default. */
  readonly strict?: boolean
  /** Whether versions 4 to 31 are answered with 3; `true` by default. */
  readonly acceptReservedVersions?: boolean
}

/**
 * What a finished server handshake found out.
 *
 * - `kind`: the dialect that was spoken.
 * - `clientVersion`: C0, 3 for every client that matters.
 * - `echoMatches`: whether C2 answered S1, by echo or by digest. For diagnosis: an FFmpeg player's C2 does, and a
 *   client that skipped C2 and sent `connect` in its place does not.
 * - `rest`: the bytes after C2, a view of the array that was pushed last; may be empty.
 */
export interface HandshakeComplete {
  /** The dialect that was spoken. */
  readonly kind: HandshakeKind
  /** C0 as the client sent it. */
  readonly clientVersion: number
  /** Whether C2 answered S1, by echo or by digest. */
  readonly echoMatches: boolean
  /** The bytes after C2: a view, possibly empty. */
  readonly rest: Uint8Array
}

/**
 * What came of one push.
 *
 * - `send`: bytes for the client, to be written at once; empty for all pushes but the one that completes C1.
 * - `complete`: set by the push that completes C2.
 */
export interface HandshakeProgress {
  /** Bytes for the client: S0, S1 and S2 in one array, or nothing. */
  readonly send: Uint8Array
  /** The outcome, once C2 is whole. */
  readonly complete: HandshakeComplete | undefined
}

/**
 * The server's side of one handshake.
 *
 * - `state`: what it waits for, or how it ended.
 * - `push(bytes, nowMs)`: takes the next bytes from the client, as many as there are, and the time in milliseconds
 *   (any origin; its low 32 bits go into S1). Nothing of `bytes` is kept but copies.
 *
 * It is dead after an error: every later push gives `AlreadyFailed`. A push after completion throws, because those
 * bytes belong to the chunk stream and the caller lost its way.
 */
export interface ServerHandshake {
  /** What the handshake waits for, or how it ended. */
  readonly state: HandshakeState
  /** Takes the next bytes from the client, and the time in milliseconds. */
  readonly push: (bytes: Uint8Array, nowMs: number) => Result.Result<HandshakeProgress, HandshakeError>
}

/**
 * Why a server handshake failed.
 *
 * - `UnsupportedVersion`: C0 is 0 to 2, 127 or more, or (where reserved versions are refused) 4 to 31.
 * - `TlsOnPlainPort`, `HttpOnRtmpPort`, `ProxyProtocol`, `TextProtocol`: C0 is how another protocol begins.
 * - `EchoMismatch`: `strict`, and C2 does not answer S1.
 * - `AlreadyFailed`: a push after one of the above.
 */
export type HandshakeReason =
  | "UnsupportedVersion"
  | "TlsOnPlainPort"
  | "HttpOnRtmpPort"
  | "ProxyProtocol"
  | "TextProtocol"
  | "EchoMismatch"
  | "AlreadyFailed"

/**
 * A client that cannot be served, found out during its handshake.
 *
 * `stage` is the state in which it happened, `value` the first byte (C0) where that is the reason. The message fits
 * one log line and tells the operator what to look at; it holds none of the client's bytes but that one, as a number.
 */
export class HandshakeError extends Data.TaggedError("HandshakeError")<{
  readonly reason: HandshakeReason
  readonly stage: HandshakeState
  readonly value?: number
}> {
  /** One line for logs. */
  override get message(): string {
    switch (this.reason) {
      case "UnsupportedVersion":
        return `unsupported RTMP version ${this.value}: expected ${VERSION}`
      case "TlsOnPlainPort":
        return "TLS client on the plain RTMP port: use rtmp:// here, or rtmps:// with the port of the TLS listener"
      case "HttpOnRtmpPort":
        return "HTTP request on the RTMP port: RTMPT is not supported, check that the URL begins with rtmp://"
      case "ProxyProtocol":
        return "PROXY protocol header on a listener without it: enable it here or turn it off on the load balancer"
      case "TextProtocol":
        return `not an RTMP client: the first byte is ${this.value}, as in a text protocol`
      case "EchoMismatch":
        return "C2 does not echo S1: strict handshakes are on, and this client does not answer what it was sent"
      case "AlreadyFailed":
        return "the handshake has failed before: no more bytes are taken"
    }
  }
}

/** Starts the server's side of a handshake. */
export const make = (options: HandshakeOptions): ServerHandshake => new Machine(options)

/**
 * Handshakes for servers, as a service: replace it to hold them in another way.
 *
 * Its `layer` needs `RtmpCrypto`.
 */
export class Handshake extends Context.Service<
  Handshake,
  {
    /** Starts the server's side of a handshake. */
    readonly make: (options?: Omit<HandshakeOptions, "crypto">) => ServerHandshake
  }
>()("effect-rtmp/protocol/Handshake") {
  /** The handshakes of this module. */
  static readonly layer: Layer.Layer<Handshake, never, RtmpCrypto> = Layer.effect(
    Handshake,
    Effect.map(RtmpCrypto, (crypto) => Handshake.of({ make: (options) => make({ ...options, crypto }) }))
  )
}

const idle: HandshakeProgress = { send: Bytes.empty, complete: undefined }

/** Version bytes of a digest S1: anything but zero, which tells the client to look for the digest. */
const DIGEST_SERVER_VERSION = 0x03050101

class Machine implements ServerHandshake {
  #state: HandshakeState = "WaitingC0"
  readonly #options: HandshakeOptions
  #clientVersion = 0
  #kind: HandshakeKind = "simple"
  /** C1 while it arrives, then C2: at most 1536 bytes, allocated when the first of them is there. */
  #packet: Uint8Array = Bytes.empty
  #filled = 0
  /** A copy of S1, to compare C2 with. */
  #s1: Uint8Array = Bytes.empty
  /** The digest in S1, or empty after a plain handshake. */
  #s1Digest: Uint8Array = Bytes.empty

  constructor(options: HandshakeOptions) {
    this.#options = options
  }

  get state(): HandshakeState {
    return this.#state
  }

  push(bytes: Uint8Array, nowMs: number): Result.Result<HandshakeProgress, HandshakeError> {
    if (this.#state === "Failed") return Result.fail(new HandshakeError({ reason: "AlreadyFailed", stage: "Failed" }))
    if (this.#state === "Complete") throw new Error("bytes after a complete handshake belong to the chunk stream")
    if (bytes.length === 0) return Result.succeed(idle)
    let offset = 0
    let send = Bytes.empty
    if (this.#state === "WaitingC0") {
      const reason = refuse(bytes, this.#options.acceptReservedVersions ?? true)
      if (reason !== undefined) return this.#fail(reason, "VersionRefused", bytes[0]!)
      this.#clientVersion = bytes[0]!
      this.#move("VersionAccepted")
      offset = 1
    }
    if (this.#state === "WaitingC1") {
      offset = this.#fill(bytes, offset)
      if (this.#filled < HandshakeDigest.PACKET_BYTES) return Result.succeed(idle)
      send = this.#answer(nowMs)
      this.#filled = 0
      this.#move("C1Received")
    }
    offset = this.#fill(bytes, offset)
    if (this.#filled < HandshakeDigest.PACKET_BYTES) {
      return Result.succeed(send.length === 0 ? idle : { send, complete: undefined })
    }
    const echoMatches = this.#c2Matches()
    if (!echoMatches && this.#options.strict === true) return this.#fail("EchoMismatch", "C2Refused", undefined)
    this.#move("C2Accepted")
    this.#release()
    return Result.succeed({
      send,
      complete: {
        kind: this.#kind,
        clientVersion: this.#clientVersion,
        echoMatches,
        rest: bytes.subarray(offset)
      }
    })
  }

  #move(input: HandshakeInput): void {
    this.#state = transitions[this.#state][input]
  }

  #fail(
    reason: HandshakeReason,
    input: HandshakeInput,
    value: number | undefined
  ): Result.Result<never, HandshakeError> {
    const stage = this.#state
    this.#move(input)
    this.#release()
    return Result.fail(new HandshakeError(value === undefined ? { reason, stage } : { reason, stage, value }))
  }

  #release(): void {
    this.#packet = Bytes.empty
    this.#s1 = Bytes.empty
    this.#s1Digest = Bytes.empty
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

  /** Builds S0, S1 and S2 for the C1 that is in `#packet`. */
  #answer(nowMs: number): Uint8Array {
    const { crypto } = this.#options
    const c1 = this.#packet
    const out = new Uint8Array(1 + 2 * HandshakeDigest.PACKET_BYTES)
    const s1 = out.subarray(1, 1 + HandshakeDigest.PACKET_BYTES)
    const s2 = out.subarray(1 + HandshakeDigest.PACKET_BYTES)
    out[0] = VERSION
    Bytes.putU32(s1, 0, nowMs)
    s1.set(crypto.randomBytes(HandshakeDigest.PACKET_BYTES - 8), 8)
    const found = Bytes.u32(c1, 4) === 0 ? undefined : HandshakeDigest.find(crypto, HandshakeDigest.clientKeys, c1)
    if (found === undefined) {
      s2.set(c1)
    } else {
      this.#kind = found.schema === 0 ? "digest-schema0" : "digest-schema1"
      Bytes.putU32(s1, 4, DIGEST_SERVER_VERSION)
      this.#s1Digest = HandshakeDigest.seal(crypto, HandshakeDigest.serverKeys, s1, found.schema)
      s2.set(crypto.randomBytes(HandshakeDigest.REPLY_DIGEST_POSITION))
      HandshakeDigest.sealReply(crypto, HandshakeDigest.serverKeys, found.digest, s2)
    }
    this.#s1 = s1.slice()
    return out
  }

  #c2Matches(): boolean {
    return (
      echoes(this.#packet, this.#s1) ||
      (this.#s1Digest.length > 0 &&
        HandshakeDigest.verifyReply(this.#options.crypto, HandshakeDigest.clientKeys, this.#s1Digest, this.#packet))
    )
  }
}

/**
 * Tells whether `reply` (C2 or S2) echoes `packet` (S1 or C1): the time and the 1528 random bytes, with whatever in
 * bytes 4 to 7, where the replying side may put the time at which it read the packet (RTMP 1.0 §5.2.4).
 */
export const echoes = (reply: Uint8Array, packet: Uint8Array): boolean =>
  Bytes.equals(reply.subarray(0, 4), packet.subarray(0, 4)) && Bytes.equals(reply.subarray(8), packet.subarray(8))

/**
 * Says why bytes that begin like this cannot become an RTMP connection, or `undefined` where they can.
 *
 * The first byte decides, so that nobody is kept waiting for more; only for a `P` do the bytes at hand after it tell
 * an HTTP method from a PROXY protocol header.
 */
const refuse = (bytes: Uint8Array, acceptReservedVersions: boolean): HandshakeReason | undefined => {
  const version = bytes[0]!
  if (version === VERSION) return undefined
  if (version === TLS_HANDSHAKE_RECORD) return "TlsOnPlainPort"
  if (version === PROXY_V2_SIGNATURE) return "ProxyProtocol"
  if (version < VERSION) return "UnsupportedVersion"
  if (version < 32) return acceptReservedVersions ? undefined : "UnsupportedVersion"
  if (version === LETTER_P && beginsProxyV1(bytes)) return "ProxyProtocol"
  if (httpMethodInitials.includes(version)) return "HttpOnRtmpPort"
  return version < 127 ? "TextProtocol" : "UnsupportedVersion"
}

const TLS_HANDSHAKE_RECORD = 0x16
const PROXY_V2_SIGNATURE = 0x0d
const LETTER_P = 0x50
const proxyV1 = Bytes.fromUtf8("PROXY ")

/** Initials of GET, POST, PUT, PATCH, HEAD, OPTIONS, DELETE, CONNECT and TRACE. */
const httpMethodInitials = Bytes.fromUtf8("GPHODCT")

const beginsProxyV1 = (bytes: Uint8Array): boolean => {
  const length = Math.min(bytes.length, proxyV1.length)
  return length > 1 && Bytes.equals(bytes.subarray(0, length), proxyV1.subarray(0, length))
}
