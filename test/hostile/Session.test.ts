/** What a hostile or clumsy client sends once it is connected, and what becomes of its session. */
import { assert, describe, it } from "@effect/vitest"
import type { AmfValue } from "../../src/protocol/amf/AmfValue.ts"
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as Command from "../../src/protocol/Command.ts"
import * as Message from "../../src/protocol/Message.ts"
import { media, SessionPeer } from "../support/SessionPeer.ts"

const tags = (peer: SessionPeer) => peer.outputs.map((output) => output._tag)

const outputOf = <Tag extends string>(peer: SessionPeer, tag: Tag) => {
  const found = peer.outputs.findLast((output) => output._tag === tag)
  if (found?._tag !== tag) throw new Error(`no ${tag} among ${tags(peer).join(", ")}`)
  return found as Extract<(typeof peer.outputs)[number], { _tag: Tag }>
}

/** A command of bytes, for what no encoder writes. */
const raw = (hex: string, streamId = 0): Message.Message => ({
  ...media(Message.COMMAND_AMF0, [...Bytes.fromHex(hex.replaceAll(" ", ""))], streamId),
  chunkStreamId: 3
})

const control = (typeId: number, hex: string, streamId = 0): Message.Message => ({
  ...media(typeId, [...Bytes.fromHex(hex.replaceAll(" ", ""))], streamId),
  chunkStreamId: 2
})

const text = (value: string): string =>
  `02 ${value.length.toString(16).padStart(4, "0")} ${Bytes.hex(Bytes.fromUtf8(value))}`

describe("a transaction id", () => {
  it.each([
    ["-1", "bff0000000000000"],
    ["infinity", "7ff0000000000000"],
    ["-infinity", "fff0000000000000"],
    ["1.5", "3ff8000000000000"],
    ["1e300", "7e37e43c8800759c"]
  ])("of %s is echoed bit for bit", (_, bytes) => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer.message(raw(`${text("createStream")} 00 ${bytes} 05`))
    assert.strictEqual(Bytes.hex(peer.received.at(-1)!.payload.slice(11, 19)), bytes)
  })

  it.each([
    ["minus zero", "00 8000000000000000 05"],
    ["text", `${text("1")} 05`],
    ["null", "05 05"],
    ["missing", ""]
  ])("that is %s asks for no answer, and the command is done all the same", (_, rest) => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer.message(raw(`${text("createStream")} ${rest}`))
    assert.deepStrictEqual(peer.drain(), [])
    assert.strictEqual(peer.closed, undefined)
    peer.command("publish", 3, [null, "s", "live"], 1)
    assert.include(tags(peer), "PublishRequested")
  })
})

describe("connect", () => {
  const asked = (...values: ReadonlyArray<AmfValue>) => {
    const peer = new SessionPeer().shakeHands().command("connect", 1, values)
    return outputOf(peer, "ConnectRequested").request
  }

  it.each<[string, AmfValue]>([
    ["text", "live"],
    ["a number", 3],
    ["undefined", undefined],
    ["a strict array", Amf.strictArray(["live"])]
  ])("with %s for its object names no application, and is rejected", (_, object) => {
    const peer = new SessionPeer().shakeHands().command("connect", 1, [object])
    assert.deepStrictEqual(peer.drain(), ["_error 1 NetConnection.Connect.Rejected"])
    assert.strictEqual(peer.closed, "SessionError.Rejected")
  })

  it("takes members of the wrong type for absent", () => {
    const request = asked(
      Amf.object({ app: "live", tcUrl: Amf.object({ app: "other" }), objectEncoding: "3", flashVer: 9, capsEx: "15" })
    )
    assert.deepStrictEqual([request.tcUrl, request.flashVer, request.capsEx], ["", "", 0])
  })

  it("takes the last of two applications, for deciding and for routing alike", () => {
    const peer = new SessionPeer().shakeHands()
    const app = (name: string) => `0003 617070 ${text(name)}`
    peer.message(raw(`${text("connect")} 00 3ff0000000000000 03 ${app("open")} ${app("secret")} 000009`))
    assert.strictEqual(outputOf(peer, "ConnectRequested").request.application, "secret")
    peer.accept().command("createStream", 2, [null]).command("publish", 3, [null, "s"], 1)
    assert.strictEqual(outputOf(peer, "PublishRequested").request.application, "secret")
  })

  it("takes the names of JavaScript's own properties for what they are", () => {
    const entries = new Map<string, AmfValue>([
      ["__proto__", Amf.object({ app: "other" })],
      ["constructor", 1],
      ["app", "hasOwnProperty"]
    ])
    assert.strictEqual(asked({ _tag: "Object", className: undefined, entries }).application, "hasOwnProperty")
    const peer = new SessionPeer().shakeHands().command("connect", 1, [Amf.object({ toString: "live" })])
    assert.strictEqual(peer.closed, "SessionError.Rejected")
  })

  it("does not need a tcUrl, and does not believe one that names another place", () => {
    assert.strictEqual(asked(Amf.object({ app: "live" })).application, "live")
    const request = asked(Amf.object({ app: "live", tcUrl: "http://169.254.169.254/other" }))
    assert.strictEqual(request.application, "live")
  })

  it("takes an object of a class for an object, and ignores values behind it", () => {
    assert.strictEqual(asked(Amf.object({ app: "live" }, "flash.Evil"), "more", Amf.object({})).application, "live")
  })

  it("closes at an application name of 64 KB before anybody sees it", () => {
    const peer = new SessionPeer().shakeHands().command("connect", 1, [Amf.object({ app: "x".repeat(65_000) })])
    assert.deepStrictEqual(tags(peer), ["HandshakeCompleted", "Close"])
  })
})

describe("a command name", () => {
  it.each([
    ["that is empty", ""],
    ["with escapes and line ends", "\u001b[2J\r\nroot: logged in\u0000"],
    ["of 60,000 characters", "A".repeat(60_000)],
    ["of JavaScript's own properties", "__proto__"],
    ["in the wrong case", "Publish"]
  ])("%s is one anomaly, of which no byte reaches the log", (_, name) => {
    const peer = new SessionPeer().connected()
    peer.drain()
    peer.command(name, 0, [null])
    const { detail, kind } = outputOf(peer, "Anomaly")
    assert.strictEqual(kind, "UnknownCommand")
    assert.match(detail, /^[ -~]{1,80}$/)
    assert.strictEqual(peer.closed, undefined)
  })
})

describe("publish and play", () => {
  it.each<[string, ReadonlyArray<AmfValue>]>([
    ["missing", []],
    ["in capitals", ["LIVE"]],
    ["record", ["record"]],
    ["append", ["append"]],
    ["a path", ["../../etc/passwd"]],
    ["a number", [1]],
    ["null", [null]]
  ])("publishes live where the type is %s, and uses the type for nothing", (_, type) => {
    const peer = new SessionPeer().connected().command("createStream", 2, [null])
    peer.command("publish", 3, [null, "s", ...type], 1)
    assert.deepStrictEqual(outputOf(peer, "PublishRequested").request, {
      streamId: 1,
      application: "live",
      stream: "s",
      query: ""
    })
  })

  it.each([0, 2, 16_777_216, 0xffffffff])(
    "refuses to play on message stream %i, which was never created",
    (streamId) => {
      const peer = new SessionPeer().connected().command("createStream", 2, [null])
      peer.drain()
      peer.command("play", 3, [null, "s"], streamId)
      assert.deepStrictEqual(peer.drain(), [`onStatus@${streamId} NetStream.Failed`])
      assert.strictEqual(peer.closed, "SessionError.IllegalCommand")
    }
  )

  it("refuses to publish where it plays, on the same message stream", () => {
    const peer = new SessionPeer().playing()
    peer.drain()
    peer.command("publish", 4, [null, "s"], 1)
    assert.strictEqual(peer.closed, "SessionError.IllegalCommand")
    assert.notInclude(tags(peer), "PublishRequested")
  })

  it("counts names in bytes: 255 pass, 256 do not", () => {
    const ask = (name: string) => {
      const peer = new SessionPeer().connected().command("createStream", 2, [null])
      return peer.command("publish", 3, [null, name], 1)
    }
    assert.include(tags(ask("x".repeat(255))), "PublishRequested")
    assert.strictEqual(ask("x".repeat(256)).closed, "SessionError.Rejected")
    assert.strictEqual(ask("é".repeat(128)).closed, "SessionError.Rejected")
  })

  it.each(["$(id)", "*", "'; drop table streams --", "{{7*7}}", "%s%n"])(
    "takes %j for a name like any other",
    (name) => {
      const peer = new SessionPeer().connected().command("createStream", 2, [null])
      peer.command("publish", 3, [null, name], 1)
      assert.strictEqual(outputOf(peer, "PublishRequested").request.stream, name)
    }
  )

  it("drops media on message streams that do not publish, in whatever order of bytes they are written", () => {
    const peer = new SessionPeer().publishing()
    peer.outputs.length = 0
    for (const streamId of [0, 2, 16_777_216, 0xffffffff]) peer.message(media(Message.VIDEO, [0x17, 1], streamId))
    assert.deepStrictEqual(new Set(tags(peer)), new Set(["Anomaly"]))
  })

  it("ends nothing when others are named, unpublished or released that it does not publish", () => {
    const player = new SessionPeer().playing()
    for (const name of ["releaseStream", "FCUnpublish", "FCPublish"]) player.command(name, 0, [null, "s"])
    assert.strictEqual(player.session.state, "Subscribing")
    assert.notInclude(tags(player), "PublishEnded")
  })

  it("takes deleteStream and closeStream over and over without a publish", () => {
    const peer = new SessionPeer().connected().command("createStream", 2, [null])
    peer.outputs.length = 0
    for (let i = 0; i < 20; i++) {
      peer
        .command("closeStream", 0, [null], 1)
        .command("deleteStream", 0, [null, i])
        .command("FCUnpublish", 0, [null, "s"])
    }
    assert.deepStrictEqual(tags(peer), [])
    assert.strictEqual(peer.session.state, "Connected")
  })

  it("keeps a playing session through 150 changes of mind, each answered and passed on once", () => {
    const peer = new SessionPeer().playing()
    peer.outputs.length = 0
    for (let i = 0; i < 150; i++) peer.command("receiveVideo", 0, [null, i % 2 === 0], 1)
    assert.strictEqual(tags(peer).filter((tag) => tag === "PlayChanged").length, 150)
    assert.strictEqual(peer.closed, undefined)
  })
})

describe("answers to questions that were never asked", () => {
  it.each(["_result", "_error", "onStatus", "onBWDone"])("%s is ignored", (name) => {
    const peer = new SessionPeer().publishing()
    peer.drain()
    peer.outputs.length = 0
    peer.command(name, 77, [null, Amf.object({ code: "NetStream.Publish.Start", level: "error" })], 1)
    assert.deepStrictEqual([peer.drain(), tags(peer)], [[], []])
  })
})

describe("control messages of a hostile client", () => {
  const silent: ReadonlyArray<readonly [name: string, message: Message.Message]> = [
    ["an acknowledgement that goes back", control(Message.ACKNOWLEDGEMENT, "ffffffff")],
    ["an acknowledgement of nothing", control(Message.ACKNOWLEDGEMENT, "00000000")],
    ["a window of 0", control(Message.WINDOW_ACK_SIZE, "00000000")],
    ["a window of 4 GiB", control(Message.WINDOW_ACK_SIZE, "ffffffff")],
    ["a ping response that nobody asked for", control(Message.USER_CONTROL, "0007 12345678")],
    ["a buffer length of 0 for an unknown stream", control(Message.USER_CONTROL, "0003 ffffffff 00000000")],
    ["a buffer length of 49 days", control(Message.USER_CONTROL, "0003 00000001 ffffffff")],
    ["a SWF verification response", control(Message.USER_CONTROL, "001b 0101")],
    ["an unknown event", control(Message.USER_CONTROL, "ffff 00")],
    ["an Abort of a chunk stream that there is not", control(Message.ABORT, "0000ffff")],
    ["an Abort of the control chunk stream", control(Message.ABORT, "00000002")],
    ["a shared object", control(Message.SHARED_OBJECT_AMF0, "0000")]
  ]

  it.each(silent)("%s changes nothing, a thousand times over", (_, message) => {
    const peer = new SessionPeer().publishing()
    peer.drain()
    peer.outputs.length = 0
    for (let i = 0; i < 1_000; i++) peer.message(message)
    assert.deepStrictEqual([peer.drain(), tags(peer)], [[], []])
    peer.message(media(Message.AUDIO, [0xaf, 1, 2]))
    assert.deepStrictEqual(tags(peer), ["Media"])
  })

  it.each([
    ["a bandwidth of 0", "00000000 00"],
    ["a limit type that does not exist", "00010000 ff"],
    ["no limit type", "00010000"]
  ])("%s throttles nothing, and is answered with the window", (_, payload) => {
    const peer = new SessionPeer().publishing()
    peer.drain()
    peer.message(control(Message.SET_PEER_BANDWIDTH, payload))
    assert.deepStrictEqual(peer.drain(), ["Window Acknowledgement Size 2500000"])
    assert.strictEqual(peer.closed, undefined)
  })

  it.each([
    ["an event number cut short", Message.USER_CONTROL, "00"],
    ["no event at all", Message.USER_CONTROL, ""],
    ["a ping without a time", Message.USER_CONTROL, "0006"]
  ])("%s is an anomaly and no answer", (_, typeId, payload) => {
    const peer = new SessionPeer().publishing()
    peer.drain()
    peer.message(control(typeId, payload))
    assert.deepStrictEqual(peer.drain(), [])
    assert.strictEqual(outputOf(peer, "Anomaly").kind, "ShortControlMessage")
  })

  it("are understood on any chunk stream and message stream", () => {
    const peer = new SessionPeer().publishing()
    peer.drain()
    peer.message({ ...control(Message.USER_CONTROL, "0006 00000007", 9), chunkStreamId: 400 })
    assert.deepStrictEqual(peer.drain(), ["PingResponse 7"])
  })

  it("of unknown types are skipped, and told of once for each type", () => {
    const peer = new SessionPeer().publishing()
    peer.outputs.length = 0
    for (const typeId of [0, 7, 10, 14, 21, 23, 255]) {
      for (let i = 0; i < 10; i++) peer.message(media(typeId, [1, 2, 3]))
    }
    assert.strictEqual(tags(peer).filter((tag) => tag === "Anomaly").length, 7)
    assert.strictEqual(peer.closed, undefined)
  })
})

describe("connect cut off anywhere", () => {
  it("is a malformed command or a rejected one, and never anything else", () => {
    const { payload } = Command.encode({
      name: "connect",
      transactionId: 1,
      values: [Amf.object({ app: "live", tcUrl: "rtmp://h/live", fourCcList: Amf.strictArray(["av01", "hvc1"]) })],
      streamId: 0
    })
    const outcomes = new Set<string>()
    for (let length = 1; length < payload.length; length++) {
      const peer = new SessionPeer().shakeHands().message({ ...raw(""), payload: payload.slice(0, length) })
      assert.notInclude(tags(peer), "ConnectRequested")
      outcomes.add(peer.closed ?? `open after ${length}`)
    }
    assert.sameMembers([...outcomes], ["SessionError.MalformedCommand", "SessionError.Rejected"])
  })
})
