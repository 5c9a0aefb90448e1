import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import type { RtmpCryptoShape } from "../../src/protocol/Crypto.ts"
import * as Handshake from "../../src/protocol/Handshake.ts"
import * as HandshakeDigest from "../../src/protocol/HandshakeDigest.ts"

/** Real HMAC, and "random" bytes that are the same in every run: what a partition changes is then visible. */
const fixedCrypto = (): RtmpCryptoShape => {
  let call = 0
  return {
    randomBytes: (count) => {
      call++
      return Uint8Array.from({ length: count }, (_, i) => 31 * i + 17 * call)
    },
    hmacSha256: NodeCrypto.make.hmacSha256
  }
}

const make = (options?: Partial<Handshake.HandshakeOptions>) => Handshake.make({ crypto: fixedCrypto(), ...options })

const nowMs = 1_763_800_000_123
const time = Bytes.fromHex(((nowMs % 2 ** 32) >>> 0).toString(16).padStart(8, "0"))

const simpleC1 = Uint8Array.from({ length: 1536 }, (_, i) => (i >= 4 && i < 8 ? 0 : 7 * i + 1))

const digestC1 = (schema: HandshakeDigest.DigestSchema): Uint8Array => {
  const c1 = Uint8Array.from({ length: 1536 }, (_, i) => 7 * i + 3)
  c1.set(Bytes.fromHex("0000000080000702"))
  HandshakeDigest.seal(NodeCrypto.make, HandshakeDigest.clientKeys, c1, schema)
  return c1
}

const c0c1 = (c1: Uint8Array, version = 3): Uint8Array => Bytes.concat([Uint8Array.of(version), c1])

const progress = (result: Result.Result<Handshake.HandshakeProgress, Handshake.HandshakeError>) =>
  Result.getOrThrow(result)

const failure = (result: Result.Result<Handshake.HandshakeProgress, Handshake.HandshakeError>) =>
  Result.getOrThrow(Result.flip(result))

const s1Of = (send: Uint8Array): Uint8Array => send.subarray(1, 1537)
const s2Of = (send: Uint8Array): Uint8Array => send.subarray(1537)

/** Pushes `input` in pieces of the given sizes, over and over, and gathers what comes out. */
const run = (handshake: Handshake.ServerHandshake, input: Uint8Array, sizes: ReadonlyArray<number>) => {
  const sent: Array<Uint8Array> = []
  const leftover: Array<Uint8Array> = []
  let complete: Handshake.HandshakeComplete | undefined
  let offset = 0
  for (let turn = 0; offset < input.length; turn++) {
    // A copy with other bytes after it, which is overwritten after the push: a view that was kept would show.
    const piece = input.slice(offset, offset + sizes[turn % sizes.length]!)
    offset += piece.length
    if (complete !== undefined) {
      leftover.push(piece)
      continue
    }
    const result = handshake.push(piece, nowMs)
    if (Result.isFailure(result)) return { sent: Bytes.concat(sent), error: result.failure, offset }
    if (result.success.send.length > 0) sent.push(result.success.send)
    if (result.success.complete !== undefined) {
      complete = result.success.complete
      leftover.push(complete.rest.slice())
    }
    piece.fill(0xee)
  }
  return {
    sends: sent.length,
    sent: Bytes.concat(sent),
    kind: complete?.kind,
    clientVersion: complete?.clientVersion,
    echoMatches: complete?.echoMatches,
    leftover: Bytes.concat(leftover)
  }
}

const Sizes = Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1700 })))

describe("Handshake", () => {
  describe("plain", () => {
    it("answers C0 and C1 with S0, S1 and S2 in one array: time, zeros and random bytes, then C1 as it came", () => {
      const handshake = make()
      assert.strictEqual(handshake.state, "WaitingC0")
      const { send, complete } = progress(handshake.push(c0c1(simpleC1), nowMs))
      assert.isUndefined(complete)
      assert.strictEqual(send.length, 3073)
      assert.strictEqual(send[0], 3)
      assert.deepStrictEqual(s1Of(send).slice(0, 4), time)
      assert.deepStrictEqual(s1Of(send).slice(4, 8), new Uint8Array(4))
      assert.deepStrictEqual(s1Of(send).slice(8), fixedCrypto().randomBytes(1528))
      assert.deepStrictEqual(s2Of(send).slice(), simpleC1)
      assert.strictEqual(handshake.state, "WaitingC2")
    })

    it("answers nothing before C1 is whole", () => {
      const handshake = make()
      assert.strictEqual(progress(handshake.push(c0c1(simpleC1).subarray(0, 1536), nowMs)).send.length, 0)
      assert.strictEqual(handshake.state, "WaitingC1")
      assert.strictEqual(progress(handshake.push(simpleC1.subarray(1535), nowMs)).send.length, 3073)
    })

    it("completes with an exact echo of S1 and hands over what follows, as a view", () => {
      const handshake = make()
      const { send } = progress(handshake.push(c0c1(simpleC1), nowMs))
      const input = Bytes.concat([s1Of(send), Bytes.fromHex("0300000000000414")])
      const { complete, send: nothing } = progress(handshake.push(input, nowMs))
      assert.strictEqual(nothing.length, 0)
      assert.strictEqual(complete?.kind, "simple")
      assert.strictEqual(complete?.clientVersion, 3)
      assert.isTrue(complete?.echoMatches)
      assert.strictEqual(Bytes.hex(complete!.rest), "0300000000000414")
      assert.strictEqual(complete!.rest.buffer, input.buffer)
      assert.strictEqual(handshake.state, "Complete")
    })

    it("takes C0, C1, C2 and connect in one segment, from clients that do not wait for the answer", () => {
      const input = Bytes.concat([c0c1(simpleC1), new Uint8Array(1536), Bytes.fromHex("03aabbcc")])
      const { send, complete } = progress(make().push(input, nowMs))
      assert.strictEqual(send.length, 3073)
      assert.isFalse(complete?.echoMatches)
      assert.strictEqual(Bytes.hex(complete!.rest), "03aabbcc")
    })

    it("answers C1 whose version is not zero and that holds no valid digest plainly, with zeros in bytes 4 to 7", () => {
      for (const version of ["80000702", "09007c02", "ffffffff", "00000001"]) {
        const c1 = simpleC1.slice()
        c1.set(Bytes.fromHex(version), 4)
        const handshake = make()
        const { send } = progress(handshake.push(c0c1(c1), nowMs))
        assert.deepStrictEqual(s1Of(send).slice(4, 8), new Uint8Array(4))
        assert.deepStrictEqual(s2Of(send).slice(), c1)
        assert.strictEqual(progress(handshake.push(s1Of(send), nowMs)).complete?.kind, "simple")
      }
    })

    it("takes C1 for plain when its version is zero, digest or not", () => {
      const c1 = digestC1(1)
      c1.fill(0, 4, 8)
      HandshakeDigest.seal(NodeCrypto.make, HandshakeDigest.clientKeys, c1, 1)
      assert.deepStrictEqual(s2Of(progress(make().push(c0c1(c1), nowMs)).send).slice(), c1)
    })

    it("takes its own S1 as C1, for nothing is derived from it", () => {
      const { send } = progress(make().push(c0c1(simpleC1), nowMs))
      const reflected = make()
      const answer = progress(reflected.push(c0c1(s1Of(send)), nowMs)).send
      assert.strictEqual(progress(reflected.push(s1Of(answer), nowMs)).complete?.kind, "simple")
    })
  })

  describe("with digests", () => {
    for (const schema of [0, 1] as const) {
      it(`answers a C1 of schema ${schema} with an S1 and an S2 that an FFmpeg player can verify`, () => {
        const c1 = digestC1(schema)
        const handshake = make()
        const { send } = progress(handshake.push(c0c1(c1), nowMs))
        const s1 = s1Of(send)
        assert.isAtLeast(s1[4]!, 3)
        assert.strictEqual(HandshakeDigest.find(NodeCrypto.make, HandshakeDigest.serverKeys, s1)?.schema, schema)
        const at = HandshakeDigest.position(c1, schema)
        assert.isTrue(
          HandshakeDigest.verifyReply(NodeCrypto.make, HandshakeDigest.serverKeys, c1.subarray(at, at + 32), s2Of(send))
        )
        assert.strictEqual(progress(handshake.push(s1, nowMs)).complete?.kind, `digest-schema${schema}`)
      })

      it(`counts a C2 with a valid digest and a copy of S1 as answers, nothing else (schema ${schema})`, () => {
        const answer = (c2For: (s1: Uint8Array, s1Digest: Uint8Array) => Uint8Array): boolean | undefined => {
          const handshake = make()
          const s1 = s1Of(progress(handshake.push(c0c1(digestC1(schema)), nowMs)).send)
          const at = HandshakeDigest.position(s1, schema)
          return progress(handshake.push(c2For(s1, s1.subarray(at, at + 32)), nowMs)).complete?.echoMatches
        }
        const sealed = (digest: Uint8Array): Uint8Array => {
          const c2 = Uint8Array.from({ length: 1536 }, (_, i) => 3 * i)
          HandshakeDigest.sealReply(NodeCrypto.make, HandshakeDigest.clientKeys, digest, c2)
          return c2
        }
        assert.isTrue(answer((s1) => s1.slice()))
        assert.isTrue(answer((_, digest) => sealed(digest)))
        assert.isFalse(answer(() => sealed(new Uint8Array(32))))
        assert.isFalse(answer(() => new Uint8Array(1536)))
      })
    }

    it("tries schema 0 first, so that a C1 with digests in both gets schema 0", () => {
      const crypto: RtmpCryptoShape = {
        ...fixedCrypto(),
        hmacSha256: () => new Uint8Array(32)
      }
      const c1 = new Uint8Array(1536)
      c1[4] = 9
      const handshake = make({ crypto })
      const { send } = progress(handshake.push(c0c1(c1), nowMs))
      assert.strictEqual(progress(handshake.push(s1Of(send), nowMs)).complete?.kind, "digest-schema0")
    })

    it("keeps to the packet when the offset bytes of both blocks are all ones", () => {
      const c1 = digestC1(0)
      c1.fill(0xff, 8, 12)
      c1.fill(0xff, 772, 776)
      HandshakeDigest.seal(NodeCrypto.make, HandshakeDigest.clientKeys, c1, 0)
      const handshake = make()
      const { send } = progress(handshake.push(c0c1(c1), nowMs))
      assert.strictEqual(progress(handshake.push(s1Of(send), nowMs)).complete?.kind, "digest-schema0")
    })
  })

  describe("C2", () => {
    const outcome = (strict: boolean, change: (c2: Uint8Array) => void) => {
      const handshake = make({ strict })
      const c2 = s1Of(progress(handshake.push(c0c1(simpleC1), nowMs)).send).slice()
      change(c2)
      return { handshake, result: handshake.push(c2, nowMs) }
    }

    it("passes with any content by default, and says that it is no echo", () => {
      const { complete } = progress(outcome(false, (c2) => c2.fill(0x55)).result)
      assert.isFalse(complete?.echoMatches)
    })

    it("is refused when strict and any byte of the time or the random part differs", () => {
      for (const at of [0, 3, 8, 1535]) {
        const change = (c2: Uint8Array) => {
          c2[at] = c2[at]! ^ 1
        }
        assert.isFalse(progress(outcome(false, change).result).complete?.echoMatches)
        const { handshake, result } = outcome(true, change)
        assert.strictEqual(failure(result).reason, "EchoMismatch")
        assert.strictEqual(failure(result).stage, "WaitingC2")
        assert.strictEqual(handshake.state, "Failed")
      }
    })

    it("passes when strict with the client's own clock in bytes 4 to 7, as GStreamer sends it", () => {
      const { complete } = progress(outcome(true, (c2) => c2.fill(0x77, 4, 8)).result)
      assert.isTrue(complete?.echoMatches)
    })
  })

  describe("C0", () => {
    const refused = (first: Uint8Array, options?: Partial<Handshake.HandshakeOptions>) => {
      const handshake = make(options)
      const error = failure(handshake.push(first, nowMs))
      assert.strictEqual(handshake.state, "Failed")
      assert.strictEqual(error.stage, "WaitingC0")
      assert.strictEqual(error.value, first[0])
      return error.reason
    }

    it("is judged on sight for every value, and alone", () => {
      const http = [..."GPHODCT"].map((letter) => letter.charCodeAt(0))
      for (let version = 0; version < 256; version++) {
        const first = Uint8Array.of(version)
        if (version >= 3 && version < 32 && version !== 0x16 && version !== 0x0d) {
          const handshake = make()
          assert.strictEqual(progress(handshake.push(first, nowMs)).send.length, 0)
          assert.strictEqual(handshake.state, "WaitingC1")
        } else if (version === 0x16) assert.strictEqual(refused(first), "TlsOnPlainPort")
        else if (version === 0x0d) assert.strictEqual(refused(first), "ProxyProtocol")
        else if (http.includes(version)) assert.strictEqual(refused(first), "HttpOnRtmpPort")
        else if (version >= 32 && version < 127) assert.strictEqual(refused(first), "TextProtocol")
        else assert.strictEqual(refused(first), "UnsupportedVersion")
      }
    })

    it("of 4 to 31 is answered with version 3, and reported as it was", () => {
      for (const version of [4, 6, 8, 9, 31]) {
        const handshake = make()
        const { send } = progress(handshake.push(c0c1(simpleC1, version), nowMs))
        assert.strictEqual(send[0], 3)
        assert.strictEqual(progress(handshake.push(s1Of(send), nowMs)).complete?.clientVersion, version)
      }
    })

    it("of 4 to 31 is refused where reserved versions are not accepted", () => {
      const options = { acceptReservedVersions: false }
      for (const version of [4, 6, 31]) {
        assert.strictEqual(refused(Uint8Array.of(version), options), "UnsupportedVersion")
      }
      assert.strictEqual(refused(Uint8Array.of(0x16), options), "TlsOnPlainPort")
      assert.strictEqual(make(options).push(Uint8Array.of(3), nowMs)._tag, "Success")
    })

    for (const [input, reason] of [
      ["GET / HTTP/1.1\r\n\r\n", "HttpOnRtmpPort"],
      ["POST /open/1 HTTP/1.1\r\n", "HttpOnRtmpPort"],
      ["PUT /x HTTP/1.1\r\n", "HttpOnRtmpPort"],
      ["PATCH /x HTTP/1.1\r\n", "HttpOnRtmpPort"],
      ["P", "HttpOnRtmpPort"],
      ["PO", "HttpOnRtmpPort"],
      ["PR", "ProxyProtocol"],
      ["PROXY", "ProxyProtocol"],
      ["PROXY TCP4 192.0.2.1 192.0.2.2 40000 1935\r\n", "ProxyProtocol"],
      ["PROPFIND / HTTP/1.1\r\n", "HttpOnRtmpPort"],
      ["HEAD / HTTP/1.0\r\n", "HttpOnRtmpPort"],
      ["OPTIONS * HTTP/1.1\r\n", "HttpOnRtmpPort"],
      ["DELETE /x HTTP/1.1\r\n", "HttpOnRtmpPort"],
      ["CONNECT x:443 HTTP/1.1\r\n", "HttpOnRtmpPort"],
      ["TRACE / HTTP/1.1\r\n", "HttpOnRtmpPort"],
      ["SSH-2.0-OpenSSH_9.2\r\n", "TextProtocol"],
      ["\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "ProxyProtocol"]
    ] as const) {
      it(`tells ${JSON.stringify(input.slice(0, 12))} from RTMP as ${reason}`, () => {
        assert.strictEqual(refused(Bytes.fromUtf8(input)), reason)
      })
    }

    it("tells a TLS ClientHello and an SMB negotiation from RTMP", () => {
      assert.strictEqual(refused(Bytes.fromHex("16030100f5010000f10303")), "TlsOnPlainPort")
      assert.strictEqual(refused(Bytes.fromHex("0000002fff534d42")), "UnsupportedVersion")
    })

    it("is explained in one line that says what the operator can do", () => {
      const message = (first: string) => failure(make().push(Bytes.fromUtf8(first), nowMs)).message
      assert.match(message("\x16"), /^TLS client on the plain RTMP port/)
      assert.match(message("GET "), /^HTTP request on the RTMP port/)
      for (const first of ["\0", "\x16", "GET ", "PROXY ", "SSH", "\x7f"]) assert.notMatch(message(first), /[\r\n]/)
    })
  })

  describe("any partition of the input", () => {
    const c2 = s1Of(progress(make().push(c0c1(simpleC1), nowMs)).send).slice()
    const after = Uint8Array.from({ length: 300 }, (_, i) => i)
    const inputs = {
      simple: Bytes.concat([c0c1(simpleC1), c2, after]),
      "digest-schema0": Bytes.concat([c0c1(digestC1(0)), c2, after]),
      "digest-schema1": Bytes.concat([c0c1(digestC1(1)), c2, after])
    } as const

    for (const kind of ["simple", "digest-schema0", "digest-schema1"] as const) {
      const whole = run(make(), inputs[kind], [inputs[kind].length])
      it(`gives the same answer, outcome and leftover (${kind})`, () => {
        assert.strictEqual(whole.kind, kind)
        assert.strictEqual(whole.sends, 1)
        assert.deepStrictEqual(whole.leftover, after)
        assert.deepStrictEqual(run(make(), inputs[kind], [1]), whole)
      })
      it.prop(
        `gives the same answer, outcome and leftover in random pieces (${kind})`,
        { sizes: Sizes },
        ({ sizes }) => {
          assert.deepStrictEqual(run(make(), inputs[kind], sizes), whole)
        }
      )
    }

    it.prop(
      "never throws and never gets past 3073 bytes without an outcome, for any bytes",
      {
        input: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))),
        sizes: Sizes
      },
      ({ input, sizes }) => {
        const bytes = new Uint8Array(3100).fill(0xa5)
        bytes.set(input)
        const outcome = run(make(), bytes, sizes)
        assert.isTrue(outcome.error !== undefined || outcome.leftover.length === 27)
      }
    )
  })

  it("takes empty pushes for nothing", () => {
    const handshake = make()
    for (let i = 0; i < 3; i++) {
      assert.deepStrictEqual(progress(handshake.push(Bytes.empty, nowMs)), {
        send: Bytes.empty,
        complete: undefined
      })
    }
    assert.strictEqual(handshake.state, "WaitingC0")
  })

  it("is dead after an error", () => {
    const handshake = make()
    handshake.push(Uint8Array.of(0), nowMs)
    for (const bytes of [c0c1(simpleC1), Bytes.empty]) {
      assert.strictEqual(failure(handshake.push(bytes, nowMs)).reason, "AlreadyFailed")
    }
    assert.strictEqual(handshake.state, "Failed")
  })

  it("throws when it is pushed on after completion, which is the caller's mistake", () => {
    const handshake = make()
    handshake.push(Bytes.concat([c0c1(simpleC1), new Uint8Array(1536)]), nowMs)
    assert.throws(() => handshake.push(Uint8Array.of(3), nowMs), /chunk stream/)
  })

  describe("transitions", () => {
    const states = ["WaitingC0", "WaitingC1", "WaitingC2", "Complete", "Failed"] as const
    const inputs = ["VersionAccepted", "VersionRefused", "C1Received", "C2Accepted", "C2Refused"] as const

    it("name a state for every state and input, and nothing else", () => {
      assert.sameMembers(Object.keys(Handshake.transitions), [...states])
      for (const state of states) {
        assert.sameMembers(Object.keys(Handshake.transitions[state]), [...inputs])
        for (const input of inputs) assert.include(states, Handshake.transitions[state][input])
      }
    })

    it("lead to completion by C0, C1 and C2 in this order and by no other way", () => {
      const ways = states.flatMap((state) =>
        inputs.flatMap((input) => {
          const next = Handshake.transitions[state][input]
          return next === "Failed" ? [] : [`${state} ${input} ${next}`]
        })
      )
      assert.deepStrictEqual(ways, [
        "WaitingC0 VersionAccepted WaitingC1",
        "WaitingC1 C1Received WaitingC2",
        "WaitingC2 C2Accepted Complete"
      ])
    })
  })

  it.effect("is provided by its layer, with the options of each handshake", () =>
    Effect.gen(function* () {
      const service = yield* Handshake.Handshake
      const handshake = service.make()
      const { send } = progress(handshake.push(c0c1(simpleC1), nowMs))
      assert.isTrue(progress(handshake.push(s1Of(send), nowMs)).complete?.echoMatches)
      const strict = service.make({ strict: true })
      strict.push(c0c1(simpleC1), nowMs)
      assert.strictEqual(failure(strict.push(new Uint8Array(1536), nowMs)).reason, "EchoMismatch")
    }).pipe(Effect.provide(Handshake.Handshake.layer.pipe(Layer.provide(NodeCrypto.layer))))
  )
})
