/** Handshakes, whole, damaged and not at all: any partition gives the same answer, outcome and rest. */
import * as Result from "effect/Result"
import * as NodeCrypto from "../../../src/node/NodeCrypto.ts"
import * as Bytes from "../../../src/protocol/Bytes.ts"
import * as ClientHandshake from "../../../src/protocol/ClientHandshake.ts"
import type { RtmpCryptoShape } from "../../../src/protocol/Crypto.ts"
import * as Handshake from "../../../src/protocol/Handshake.ts"
import { ensure, type Layer, same } from "../Layer.ts"
import { Output } from "../Output.ts"
import { hashOf, Random } from "../Random.ts"
import { cut } from "./Chunks.ts"

const fixed = new Uint8Array(4096).map((_, index) => (index * 151 + 7) & 0xff)

/** What was asked of HMAC for the input in hand: its pieces ask the same again, and comparing is cheaper. */
const asked: Array<{ readonly key: Uint8Array; readonly data: Uint8Array; readonly answer: Uint8Array }> = []

const crypto: RtmpCryptoShape = {
  randomBytes: (count) => fixed.slice(0, count),
  hmacSha256: (key, data) => {
    for (const before of asked) {
      if (Buffer.compare(before.data, data) === 0 && Buffer.compare(before.key, key) === 0) return before.answer.slice()
    }
    const answer = NodeCrypto.make.hmacSha256(key, data)
    asked.push({ key: key.slice(), data: data.slice(), answer: answer.slice() })
    return answer
  }
}

const digests = Array.from({ length: 8 }, (_, seed) =>
  ClientHandshake.make({
    crypto: { ...crypto, randomBytes: (count) => fixed.slice(seed * 16, seed * 16 + count) },
    digest: true
  }).start(seed)
)

const openings = [
  "\x16\x03\x01\x02\x00",
  "GET / HTTP/1.1\r\n",
  "PROXY TCP4 1.2.3.4",
  "\r\n\r\n\0\r\nQUIT\n",
  "SSH-2.0-x",
  "\0\0\0\x85\xffSMB"
]

interface Outcome {
  sent: Uint8Array
  rest: Uint8Array
  end: unknown
}

const shake = (options: Omit<Handshake.HandshakeOptions, "crypto">, pieces: Iterable<Uint8Array>): Outcome => {
  const handshake = Handshake.make({ crypto, ...options })
  const outcome: Outcome = { sent: Bytes.empty, rest: Bytes.empty, end: undefined }
  for (const piece of pieces) {
    if (handshake.state === "Complete") {
      outcome.rest = Bytes.concat([outcome.rest, piece])
      continue
    }
    const pushed = handshake.push(piece, 5)
    if (Result.isFailure(pushed)) {
      ensure(pushed.failure instanceof Handshake.HandshakeError, "an error that is no HandshakeError")
      ensure(handshake.state === "Failed", "a handshake that lives after an error")
      // Of a request and a PROXY header with the same initial, the bytes that came with it tell which it is.
      const reason = pushed.failure.reason === "ProxyProtocol" ? "HttpOnRtmpPort" : pushed.failure.reason
      outcome.end = [reason, pushed.failure.stage, pushed.failure.value]
      // A C2 that is refused together with its C1 leaves nothing worth answering.
      outcome.sent = Bytes.empty
      break
    }
    const { complete, send } = pushed.success
    if (send.length > 0) outcome.sent = Bytes.concat([outcome.sent, send])
    if (complete === undefined) continue
    outcome.rest = complete.rest.slice()
    outcome.end = [complete.kind, complete.clientVersion, complete.echoMatches]
  }
  return outcome
}

const out = new Output()
const local = new Random()

/** Bytes of no meaning, to copy from: which they are makes no difference for anything but digests. */
const pool = new Output().noise(new Random(), 65_536).finish()

const noise = (random: Random, count: number): void => {
  const at = random.below(pool.length - count)
  out.bytes(pool.subarray(at, at + count))
}

/** S1 after a plain C1, which a client echoes: the time of `shake`, no version, and the bytes that are no chance. */
const echo = Uint8Array.of(0, 0, 0, 5, 0, 0, 0, 0, ...fixed.subarray(0, 1528))

export const handshakeLayer: Layer = {
  name: "handshake",
  inputsInTests: 8_000,
  generate: (random) => {
    out.clear()
    if (random.once(4)) {
      out.latin(random.pick(openings)).noise(random, random.below(40))
      if (random.once(2)) out.damage(random, 0, 1)
      return out.finish()
    }
    if (random.once(3)) out.bytes(random.pick(digests))
    else {
      out
        .u8(random.once(4) ? random.below(256) : 3)
        .u32(random.u32())
        .u32(random.once(2) ? 0 : random.u32())
      noise(random, 1528)
    }
    if (random.once(2)) out.damage(random, random.below(out.length), 1)
    if (random.once(3)) out.bytes(echo)
    else noise(random, 1536)
    noise(random, random.below(20))
    if (random.once(8)) out.damage(random, 0, 1)
    return out.finish()
  },
  check: (input) => {
    const random = local.start(hashOf(input.length > 200 ? input.subarray(-100) : input), 0)
    const options = { strict: random.once(4), acceptReservedVersions: !random.once(4) }
    asked.length = 0
    const whole = shake(options, [input])
    ensure(same(whole, shake(options, cut(input, random))), "a partition gives another handshake")
    ensure(whole.sent.length === 0 || whole.sent.length === 3073, "an answer of another length")
    const expected = Array.isArray(whole.end) && typeof whole.end[2] === "boolean" ? input.subarray(3073) : Bytes.empty
    ensure(same(whole.rest, expected), "bytes behind the handshake that are lost or made up")
  }
}
