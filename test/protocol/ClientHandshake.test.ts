import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as ClientHandshake from "../../src/protocol/ClientHandshake.ts"
import * as Handshake from "../../src/protocol/Handshake.ts"
import * as HandshakeDigest from "../../src/protocol/HandshakeDigest.ts"

const crypto = NodeCrypto.make
const nowMs = 123_456

type Progress = Result.Result<ClientHandshake.ClientHandshakeProgress, ClientHandshake.ClientHandshakeError>

const progress = (result: Progress) => Result.getOrThrow(result)
const failure = (result: Progress) => Result.getOrThrow(Result.flip(result))

const started = (options?: Partial<ClientHandshake.ClientHandshakeOptions>) => {
  const client = ClientHandshake.make({ crypto, ...options })
  const c1 = client.start(nowMs).slice(1)
  return { client, c1 }
}

/** S0, S1 with zero version bytes, and the given S2. */
const plainAnswer = (s2: Uint8Array): Uint8Array => {
  const s1 = Uint8Array.from({ length: 1536 }, (_, i) => (i >= 4 && i < 8 ? 0 : 5 * i + 2))
  return Bytes.concat([Uint8Array.of(3), s1, s2])
}

/** Takes pieces of the given sizes from a growing backlog, in turn. */
const pieces = (sizes: ReadonlyArray<number>) => {
  let turn = 0
  return (backlog: Uint8Array): [piece: Uint8Array, rest: Uint8Array] => {
    const size = sizes[turn++ % sizes.length]!
    return [backlog.slice(0, size), backlog.slice(size)]
  }
}

const Sizes = Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1700 })))

/** Lets a client and a server talk over two pipes that deliver pieces of the given sizes. */
const converse = (
  digest: boolean,
  toServerSizes: ReadonlyArray<number>,
  toClientSizes: ReadonlyArray<number>,
  strict = true
) => {
  const client = ClientHandshake.make({ crypto, digest, strict })
  const server = Handshake.make({ crypto, strict })
  const takeForServer = pieces(toServerSizes)
  const takeForClient = pieces(toClientSizes)
  let toServer = client.start(nowMs)
  let toClient = Bytes.empty
  let clientComplete: ClientHandshake.ClientHandshakeComplete | undefined
  let serverComplete: Handshake.HandshakeComplete | undefined
  let serverRest = Bytes.empty
  let clientRest = Bytes.empty
  while (toServer.length > 0 || toClient.length > 0) {
    if (toServer.length > 0) {
      const [piece, rest] = takeForServer(toServer)
      toServer = rest
      if (serverComplete === undefined) {
        const { send, complete } = Result.getOrThrow(server.push(piece, nowMs))
        toClient = Bytes.concat([toClient, send])
        serverComplete = complete
        if (complete !== undefined) {
          serverRest = complete.rest
          toClient = Bytes.concat([toClient, Bytes.fromUtf8("from the server")])
        }
      } else serverRest = Bytes.concat([serverRest, piece])
    }
    if (toClient.length > 0) {
      const [piece, rest] = takeForClient(toClient)
      toClient = rest
      if (clientComplete === undefined) {
        const { send, complete } = progress(client.push(piece, nowMs))
        toServer = Bytes.concat([toServer, send])
        clientComplete = complete
        if (complete !== undefined) {
          clientRest = complete.rest
          toServer = Bytes.concat([toServer, Bytes.fromUtf8("from the client")])
        }
      } else clientRest = Bytes.concat([clientRest, piece])
    }
  }
  return {
    states: [client.state, server.state],
    kinds: [clientComplete?.kind, serverComplete?.kind],
    echoes: [clientComplete?.echoMatches, serverComplete?.echoMatches],
    serverGot: Bytes.utf8(serverRest),
    clientGot: Bytes.utf8(clientRest)
  }
}

describe("ClientHandshake", () => {
  it("starts with C0 3 and a plain C1: time, zeros and random bytes", () => {
    const client = ClientHandshake.make({ crypto })
    assert.strictEqual(client.state, "Idle")
    const c0c1 = client.start(nowMs)
    assert.strictEqual(c0c1.length, 1537)
    assert.strictEqual(c0c1[0], 3)
    assert.strictEqual(Bytes.u32(c0c1, 1), nowMs)
    assert.strictEqual(Bytes.u32(c0c1, 5), 0)
    assert.notDeepEqual(c0c1.slice(9), ClientHandshake.make({ crypto }).start(nowMs).slice(9))
    assert.strictEqual(client.state, "WaitingS0")
  })

  it("starts with a C1 that carries a digest of schema 1 when asked to", () => {
    const { c1 } = started({ digest: true })
    assert.notStrictEqual(Bytes.u32(c1, 4), 0)
    assert.strictEqual(HandshakeDigest.find(crypto, HandshakeDigest.clientKeys, c1)?.schema, 1)
  })

  it("sends a copy of S1 as soon as S1 is whole, and completes with S2", () => {
    const { client, c1 } = started()
    const answer = plainAnswer(c1)
    assert.strictEqual(progress(client.push(answer.subarray(0, 1536), nowMs)).send.length, 0)
    const { send, complete } = progress(client.push(answer.subarray(1536, 1537), nowMs))
    assert.deepStrictEqual(send, answer.slice(1, 1537))
    assert.isUndefined(complete)
    assert.strictEqual(client.state, "WaitingS2")
    const input = Bytes.concat([answer.subarray(1537), Bytes.fromHex("02aabb")])
    const last = progress(client.push(input, nowMs))
    assert.strictEqual(last.send.length, 0)
    assert.strictEqual(last.complete?.kind, "simple")
    assert.strictEqual(last.complete?.serverVersion, 3)
    assert.isTrue(last.complete?.echoMatches)
    assert.strictEqual(Bytes.hex(last.complete!.rest), "02aabb")
    assert.strictEqual(last.complete!.rest.buffer, input.buffer)
    assert.strictEqual(client.state, "Complete")
  })

  it("goes on plainly when a server does not answer its digest with one", () => {
    const { client, c1 } = started({ digest: true, strict: true })
    const { send, complete } = progress(client.push(plainAnswer(c1), nowMs))
    assert.deepStrictEqual(send, plainAnswer(c1).slice(1, 1537))
    assert.strictEqual(complete?.kind, "simple")
  })

  it("copies an S1 with version bytes but no valid digest", () => {
    const { client } = started({ digest: true })
    const answer = plainAnswer(new Uint8Array(1536))
    answer[5] = 4
    const { send, complete } = progress(client.push(answer, nowMs))
    assert.deepStrictEqual(send, answer.slice(1, 1537))
    assert.isFalse(complete?.echoMatches)
  })

  it("refuses an S2 that does not echo C1 only when strict, whatever stands in bytes 4 to 7", () => {
    const s2 = (c1: Uint8Array, at: number): Uint8Array => c1.map((byte, i) => (i === at ? byte ^ 1 : byte))
    for (const at of [0, 8, 1535]) {
      const lax = started()
      assert.isFalse(progress(lax.client.push(plainAnswer(s2(lax.c1, at)), nowMs)).complete?.echoMatches)
      const strict = started({ strict: true })
      const error = failure(strict.client.push(plainAnswer(s2(strict.c1, at)), nowMs))
      assert.strictEqual(error.reason, "EchoMismatch")
      assert.strictEqual(error.stage, "WaitingS2")
    }
    const clocked = started({ strict: true })
    assert.isTrue(progress(clocked.client.push(plainAnswer(s2(clocked.c1, 5)), nowMs)).complete?.echoMatches)
  })

  it("judges S0 on sight for every value", () => {
    for (let version = 0; version < 256; version++) {
      const { client } = started()
      const result = client.push(Uint8Array.of(version), nowMs)
      if (version >= 3 && version < 32 && version !== 0x15 && version !== 0x16) {
        assert.strictEqual(progress(result).send.length, 0)
        continue
      }
      const error = failure(result)
      assert.strictEqual(error.value, version)
      assert.strictEqual(error.stage, "WaitingS0")
      assert.strictEqual(
        error.reason,
        version === 0x15 || version === 0x16
          ? "TlsServer"
          : version === 0x48
            ? "HttpServer"
            : version >= 32 && version < 127
              ? "TextProtocol"
              : "UnsupportedVersion"
      )
      assert.strictEqual(failure(client.push(Uint8Array.of(3), nowMs)).reason, "AlreadyFailed")
    }
  })

  it("throws when it is used out of order, which is the caller's mistake", () => {
    const client = ClientHandshake.make({ crypto })
    assert.throws(() => client.push(Uint8Array.of(3), nowMs), /started/)
    const c1 = client.start(nowMs).slice(1)
    assert.throws(() => client.start(nowMs), /once/)
    client.push(plainAnswer(c1), nowMs)
    assert.throws(() => client.push(Uint8Array.of(3), nowMs), /chunk stream/)
  })

  for (const digest of [false, true]) {
    const kind = digest ? "digest-schema1" : "simple"
    const expected: ReturnType<typeof converse> = {
      states: ["Complete", "Complete"],
      kinds: [kind, kind],
      echoes: [true, true],
      serverGot: "from the client",
      clientGot: "from the server"
    }

    it(`agrees with the server on a ${kind} handshake, both strict, byte by byte`, () => {
      assert.deepStrictEqual(converse(digest, [1], [1]), expected)
    })

    it.prop(
      `agrees with the server on a ${kind} handshake, both strict, in random pieces`,
      { toServer: Sizes, toClient: Sizes },
      ({ toServer, toClient }) => {
        assert.deepStrictEqual(converse(digest, toServer, toClient), expected)
      }
    )
  }

  it("has a state for every state and input, and one way to completion", () => {
    const states = ["Idle", "WaitingS0", "WaitingS1", "WaitingS2", "Complete", "Failed"] as const
    const inputs = ["Started", "VersionAccepted", "VersionRefused", "S1Received", "S2Accepted", "S2Refused"] as const
    assert.sameMembers(Object.keys(ClientHandshake.transitions), [...states])
    const ways: Array<string> = []
    for (const state of states) {
      assert.sameMembers(Object.keys(ClientHandshake.transitions[state]), [...inputs])
      for (const input of inputs) {
        const next = ClientHandshake.transitions[state][input]
        assert.include(states, next)
        if (next !== "Failed") ways.push(`${state} ${input} ${next}`)
      }
    }
    assert.deepStrictEqual(ways, [
      "Idle Started WaitingS0",
      "WaitingS0 VersionAccepted WaitingS1",
      "WaitingS1 S1Received WaitingS2",
      "WaitingS2 S2Accepted Complete"
    ])
  })

  it.effect("is provided by its layer, with the options of each handshake", () =>
    Effect.gen(function* () {
      const service = yield* ClientHandshake.ClientHandshakeService
      assert.strictEqual(Bytes.u32(service.make().start(nowMs), 5), 0)
      assert.notStrictEqual(Bytes.u32(service.make({ digest: true }).start(nowMs), 5), 0)
    }).pipe(Effect.provide(ClientHandshake.ClientHandshakeService.layer.pipe(Layer.provide(NodeCrypto.layer))))
  )
})
