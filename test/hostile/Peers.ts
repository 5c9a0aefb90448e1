/**
 * Hostile peers: what they send to a server, and the reason with which it closes their connection.
 *
 * The reasons hold for a server whose deadlines are short, as those of the tests are, and where somebody publishes
 * `good` in the application `live`.
 */
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import * as Command from "../../src/protocol/Command.ts"
import * as HandshakeDigest from "../../src/protocol/HandshakeDigest.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Media from "../support/Media.ts"
import { media } from "../support/SessionPeer.ts"
import { dropped, hex, onMetaData } from "./Poison.ts"

/** How a peer sends: all at once, byte by byte, or with an end of its own. */
export type How = "at once" | "bytewise" | "then FIN" | "then RST"

/** What a peer sends: bytes, or bytes that it makes of what the server sent to others, who asked with a digest or without. */
export type What = Uint8Array | ((s1: { readonly plain: Uint8Array; readonly sealed: Uint8Array }) => Uint8Array)

/** A peer: what it is, what it sends and how, and the reason with which the server closes its connection. */
export type Peer = readonly [name: string, what: What, reason: string, how?: How]

const text = Bytes.fromUtf8
const noise = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 197 + 31) & 0xff)

/** C0, a C1 and the rest of a session that needs no answer. */
const withC1 = (c1: Uint8Array) => Bytes.concat([Uint8Array.of(3), c1, connected.slice(1537)])
/** A C1 that is sealed by these schemas, one after the other: each one's digest covers those before it, and spoils them. */
export const sealed = (...schemas: ReadonlyArray<HandshakeDigest.DigestSchema>) => {
  const c1 = Bytes.concat([hex("00000000 80000702"), noise(1528)])
  for (const schema of schemas) HandshakeDigest.seal(NodeCrypto.make, HandshakeDigest.clientKeys, c1, schema)
  return c1
}

/** C0, C1 and C2 of a client that does not wait. */
export const hello = Bytes.concat([Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0), noise(1528), noise(1536)])
const call = (name: string, values: Parameters<typeof Command.encode>[0]["values"], streamId = 0): Message.Message =>
  Command.encode({ name, transactionId: 1, values, streamId })
const connect = call("connect", [Amf.object({ app: "live", tcUrl: "rtmp://h/live" })])
const create = call("createStream", [null])
const written = (...messages: ReadonlyArray<Message.Message>) => ChunkWriter.make().writeAll(messages)
/** The same, and a connect to `live`. */
export const connected = Bytes.concat([hello, written(connect)])
const after = (...parts: ReadonlyArray<Uint8Array>) => Bytes.concat([connected, ...parts])
/** A type 0 chunk of a chunk stream, with an announced length. */
const started = (id: number, length: number) =>
  Bytes.concat([
    Uint8Array.of(1, (id - 64) & 0xff, (id - 64) >> 8),
    hex("000000"),
    hex(length.toString(16).padStart(6, "0")),
    hex("09 01000000"),
    noise(128)
  ])

/** A message of protocol control, or of user control. */
const control = (typeId: number, payload: string): Message.Message => ({
  ...media(typeId, [...hex(payload)], 0),
  chunkStreamId: 2
})
const times = (count: number, ...messages: ReadonlyArray<Message.Message>) =>
  Array.from({ length: count }, () => messages).flat()
/** What a publisher sends, and what a player. */
const publishing = (...messages: ReadonlyArray<Message.Message>) =>
  Bytes.concat([hello, written(connect, create, call("publish", [null, "z"], 1), ...messages)])
const playing = (...messages: ReadonlyArray<Message.Message>) => Bytes.concat([player("good"), written(...messages)])
/** What somebody sends who plays. */
export const player = (name: string) => Bytes.concat([hello, written(connect, create, call("play", [null, name], 1))])
const connecting = (payload: string | Uint8Array) =>
  Bytes.concat([hello, written({ ...connect, payload: typeof payload === "string" ? hex(payload) : payload })])
const connectName = "02 0007 636f6e6e656374 00 3ff0000000000000"

/** Asks for a stream by these arguments. */
const asking = (name: "publish" | "play", ...values: ReadonlyArray<string | number | null>) =>
  after(written(create, call(name, [null, ...values], 1)))

/** Peers of a port that speaks TLS. */
export const securePeers: ReadonlyArray<Peer> = [
  ["plain RTMP where TLS is spoken", connected, "TlsFailed"],
  ["HTTP where TLS is spoken", text("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "TlsFailed"],
  ["noise where TLS is spoken", noise(5_000), "TlsFailed"],
  ["a greeting of SSL 2", Bytes.concat([hex("802e 01 0002 0015 0000 0010"), noise(100)]), "TlsFailed"],
  ["a TLS record beyond its largest size", Bytes.concat([hex("16 0301 ffff 01 00fffb"), noise(2_000)]), "TlsFailed"],
  [
    "a TLS greeting that does not end",
    Bytes.concat([hex("16 0301 3fff 01 003ffb 0303"), noise(200)]),
    "HandshakeTimeout"
  ],
  [
    "a TLS greeting, byte by byte",
    Bytes.concat([hex("16 0301 3fff 01 003ffb 0303"), noise(600)]),
    "HandshakeTimeout",
    "bytewise"
  ],
  ["nothing at all where TLS is spoken", Bytes.empty, "HandshakeTimeout"],
  [
    "a TLS greeting of version 1.0",
    Bytes.concat([hex("16 0301 002d 01 000029 0301"), noise(32), hex("00 0002 002f 01 00")]),
    "TlsFailed"
  ],
  ["an end without a byte where TLS is spoken", Bytes.empty, "ClientClosed", "then FIN"],
  ["a reset in the TLS greeting", hex("16 0301 3fff 01"), "ConnectionReset", "then RST"]
]

/** Every peer, by name. */
export const peers: ReadonlyArray<Peer> = [
  ["version 0", Uint8Array.of(0), "HandshakeFailed"],
  ["version 1", Uint8Array.of(1), "HandshakeFailed"],
  ["version 2", Uint8Array.of(2), "HandshakeFailed"],
  ["the version of RTMPE", Bytes.concat([Uint8Array.of(6), connected.slice(1)]), "ClientClosed", "then FIN"],
  ["version 32", Uint8Array.of(32), "HandshakeFailed"],
  ["version 255", Uint8Array.of(255), "HandshakeFailed"],
  ["a TLS greeting", hex("16 0301 0200 01 0001fc 0303"), "HandshakeFailed"],
  ["an HTTP request", text("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "HandshakeFailed"],
  ["a HEAD request", text("HEAD / HTTP/1.0\r\n\r\n"), "HandshakeFailed"],
  ["an RTMPT request", text("POST /open/1 HTTP/1.1\r\n\r\n"), "HandshakeFailed"],
  ["a PROXY header", text("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"), "HandshakeFailed"],
  ["a PROXY header of version 2", hex("0d0a0d0a000d0a515549540a 21 11 000c"), "HandshakeFailed"],
  ["an OPTIONS request", text("OPTIONS * RTSP/1.0\r\n\r\n"), "HandshakeFailed"],
  ["an SSH client", text("SSH-2.0-OpenSSH_9.6\r\n"), "HandshakeFailed"],
  ["an SMB scanner", hex("00000085 ff534d42"), "HandshakeFailed"],
  [
    "a version in C1 and no digest",
    Bytes.concat([Uint8Array.of(3, 0, 0, 0, 0, 9, 0, 124, 2), connected.slice(9)]),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a C1 of all ones",
    Bytes.concat([Uint8Array.of(3), new Uint8Array(1536).fill(0xff), connected.slice(1537)]),
    "ClientClosed",
    "then FIN"
  ],
  ["a C1 of zeros", withC1(new Uint8Array(1536)), "ClientClosed", "then FIN"],
  ["the server's own S1 as C1", ({ plain }) => withC1(plain), "ClientClosed", "then FIN"],
  ["the server's own S1 as C1, with its digest", ({ sealed }) => withC1(sealed), "ClientClosed", "then FIN"],
  ["a digest of schema 0 around one of schema 1", withC1(sealed(1, 0)), "ClientClosed", "then FIN"],
  ["a digest of schema 1 around one of schema 0", withC1(sealed(0, 1)), "ClientClosed", "then FIN"],
  ["nothing at all", Bytes.empty, "HandshakeTimeout"],
  ["a version and nothing more", Uint8Array.of(3), "HandshakeTimeout"],
  ["half of a handshake, byte by byte", hello.slice(0, 700), "HandshakeTimeout", "bytewise"],
  ["a handshake without its end", hello.slice(0, 3072), "HandshakeTimeout"],
  ["a handshake and then silence", hello, "ConnectTimeout"],
  ["connect and then silence", connected, "IdleTimeout"],
  ["connect, byte by byte, and then silence", connected, "IdleTimeout", "bytewise"],
  ["an end after the version", Uint8Array.of(3), "ClientClosed", "then FIN"],
  ["an end after C1", hello.slice(0, 1537), "ClientClosed", "then FIN"],
  ["a reset after C1", hello.slice(0, 1537), "ConnectionReset", "then RST"],
  ["a reset after the handshake", hello, "ConnectionReset", "then RST"],
  ["an end after the handshake", hello, "ClientClosed", "then FIN"],
  ["an end without a byte", Bytes.empty, "ClientClosed", "then FIN"],
  ["an end in the middle of a chunk", after(hex("04 000000 000400 09")), "ClientClosed", "then FIN"],
  ["a reset after the version", Uint8Array.of(3), "ConnectionReset", "then RST"],
  ["a reset in the middle of a chunk", after(hex("04 000000 000400 09")), "ConnectionReset", "then RST"],
  [
    "connect in the place of C2",
    Bytes.concat([hello.slice(0, 1537), written(connect), noise(1536)]),
    "ProtocolViolation"
  ],
  ["a chunk size of 0", after(hex("02 000000 000004 01 00000000 00000000")), "ProtocolViolation"],
  ["a chunk size of four billion", after(hex("02 000000 000004 01 00000000 ffffffff")), "ProtocolViolation"],
  ["a chunk size of two bytes", after(hex("02 000000 000002 01 00000000 0000")), "ProtocolViolation"],
  ["a chunk size without a size", after(hex("02 000000 000000 01 00000000")), "ProtocolViolation"],
  ["user control without an event", after(hex("02 000000 000000 06 00000000")), "ProtocolViolation"],
  [
    "a chunk in pieces of a byte, over and over",
    after(
      hex("02 000000 000004 01 00000000 00000001"),
      hex("04 000000 0fffff 09 01000000 00"),
      ...Array.from({ length: 100_000 }, () => Uint8Array.of(0xc4, 0))
    ),
    "ProtocolViolation"
  ],
  ["a chunk size of two billion", after(hex("02 000000 000004 01 00000000 7fffffff")), "ClientClosed", "then FIN"],
  [
    "a thousand chunk sizes",
    after(written(...times(1_000, control(Message.SET_CHUNK_SIZE, "00001000")))),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a thousand chunk streams with a byte each",
    after(...Array.from({ length: 1_000 }, (_, i) => started(100 + i, 129))),
    "ProtocolViolation"
  ],
  ["a chunk stream that starts with type 1", after(hex("44 000000 000001 12 00")), "ClientClosed", "then FIN"],
  [
    "a message that grows in its middle, over and over",
    after(
      ...Array.from({ length: 100 }, () =>
        Bytes.concat([hex("06 000000 0000ff 09 01000000"), noise(128), hex("46 000000 0fffff 09"), noise(128)])
      )
    ),
    "ProtocolViolation"
  ],
  ["an extended timestamp cut off", after(hex("06 ffffff 000004 09 01000000 0000")), "ClientClosed", "then FIN"],
  [
    "a frame that looks like the timestamp it leaves out",
    Bytes.concat([
      publishing(),
      hex("06 ffffff 0000c8 09 01000000 01020304"),
      noise(128),
      hex("c6 01020304"),
      noise(68),
      hex("e1 000102 e2 000102")
    ]),
    "ProtocolViolation"
  ],
  [
    "Aborts of nothing, windows and bandwidths of anything",
    after(
      written(
        ...times(
          100,
          control(Message.ABORT, "0000ffff"),
          control(Message.ABORT, "00000002"),
          control(Message.ABORT, "00"),
          control(Message.ACKNOWLEDGEMENT, "ffffffff"),
          control(Message.ACKNOWLEDGEMENT, "00000000"),
          control(Message.WINDOW_ACK_SIZE, "00000000"),
          control(Message.WINDOW_ACK_SIZE, "00000001"),
          control(Message.WINDOW_ACK_SIZE, "ffffffff"),
          control(Message.SET_PEER_BANDWIDTH, "00000000 ff")
        )
      )
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "messages of every unknown type",
    after(written(...[0, 7, 10, 11, 12, 13, 14, 21, 23, 100, 255].map((typeId) => media(typeId, [1, 2, 3])))),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a flood of pings",
    after(written(...times(50_000, control(Message.USER_CONTROL, "0006 00000007")))),
    "LimitReached"
  ],
  [
    "user control that nobody asked for",
    after(
      written(
        ...times(
          10,
          control(Message.USER_CONTROL, "0007 12345678"),
          control(Message.USER_CONTROL, "0003 ffffffff 00000000"),
          control(Message.USER_CONTROL, "0003 00000001 ffffffff"),
          control(Message.USER_CONTROL, "001b 0101"),
          control(Message.USER_CONTROL, "ffff 00"),
          control(Message.USER_CONTROL, "0006")
        )
      )
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a hundred aggregates of next to nothing",
    publishing(
      ...times(100, media(Message.AGGREGATE, [...new Uint8Array(60_000).map((_, i) => (i % 15 === 0 ? 8 : 0))]))
    ),
    "LimitReached"
  ],
  [
    "media on message streams of nobody",
    publishing(...times(100, media(9, [0x17, 1], 0xffffffff), media(9, [0x17, 1], 16_777_216))),
    "ProtocolViolation"
  ],
  ["a window without a size", after(hex("02 000000 000000 05 00000000")), "ProtocolViolation"],
  ["a message of 16 MiB", after(hex("04 000000 ffffff 09 01000000")), "ProtocolViolation"],
  ["a chunk that continues nothing", after(hex("c7")), "ProtocolViolation"],
  ["a chunk of type 2 that continues nothing", after(hex("87 000000")), "ProtocolViolation"],
  [
    "a hundred messages begun and none finished",
    after(...Array.from({ length: 100 }, (_, i) => started(100 + i, 10_000_000))),
    "ProtocolViolation"
  ],
  [
    "a message cut short by another, over and over",
    after(...Array.from({ length: 20 }, () => started(100, 1_000))),
    "ProtocolViolation"
  ],
  ["noise behind connect", after(noise(5_000)), "ProtocolViolation"],
  ["a command before connect", Bytes.concat([hello, written(create)]), "CommandViolation"],
  ["video before connect", Bytes.concat([hello, written(media(9, [0x17, 1, 0, 0, 0, 1]))]), "CommandViolation"],
  ["a second connect", Bytes.concat([hello, written(connect, connect)]), "CommandViolation"],
  [
    "a connect of objects nested 10,000 deep",
    Bytes.concat([
      hello,
      written({
        ...connect,
        payload: Bytes.concat([connect.payload.slice(0, 19), ...Array.from({ length: 10_000 }, () => hex("03000161"))])
      })
    ]),
    "CommandViolation"
  ],
  [
    "a connect cut off",
    Bytes.concat([hello, written({ ...connect, payload: connect.payload.slice(0, 30) })]),
    "CommandViolation"
  ],
  ["a connect with a string of four gigabytes", connecting(`${connectName} 0c ffffffff 61`), "CommandViolation"],
  ["a connect with a string beyond its end", connecting(`${connectName} 02 ffff 61`), "CommandViolation"],
  ["a connect with an array of four billion", connecting(`${connectName} 0a ffffffff 05`), "CommandViolation"],
  [
    "a connect with a million values",
    connecting(Bytes.concat([hex(`${connectName} 0a 00100000`), new Uint8Array(60_000).fill(5)])),
    "CommandViolation"
  ],
  [
    "a connect with an object without its end",
    connecting(`${connectName} 03 0003 617070 02 0004 6c697665`),
    "CommandViolation"
  ],
  ["a connect with a key without a name", connecting(`${connectName} 03 0000 05 000009`), "CommandViolation"],
  ["a connect with an unknown marker", connecting(`${connectName} 12`), "CommandViolation"],
  ["a connect with a reference to nothing", connecting(`${connectName} 07 ffff`), "CommandViolation"],
  ["a connect with broken AMF3", connecting(`${connectName} 11 0a 07 01`), "CommandViolation"],
  ["a connect whose object is a string", connecting(`${connectName} 02 0004 6c697665`), "Rejected"],
  [
    "a connect of JavaScript's own properties",
    connecting(`${connectName} 03 0009 5f5f70726f746f5f5f 03 0003 617070 02 0004 6c697665 000009 000009`),
    "Rejected"
  ],
  [
    "messages without a command",
    after(written(...times(100, { ...create, payload: hex("00 3ff0000000000000") }))),
    "ProtocolViolation"
  ],
  [
    "AMF3 commands without a selector",
    after(
      written(
        ...times(
          3,
          { ...create, typeId: Message.COMMAND_AMF3, payload: hex("01") },
          { ...create, typeId: Message.COMMAND_AMF3, payload: Bytes.empty }
        )
      )
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "transaction ids of any kind",
    after(
      written(
        ...["7ff8000000000001", "7ff0000000000000", "bff0000000000000", "8000000000000000"].map((id) => ({
          ...create,
          payload: hex(`02 000c 63726561746553747265616d 00 ${id} 05`)
        }))
      )
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "an application of 60,000 characters",
    Bytes.concat([hello, written(call("connect", [Amf.object({ app: "x".repeat(60_000) })]))]),
    "Rejected"
  ],
  ["no application", Bytes.concat([hello, written(call("connect", [null]))]), "Rejected"],
  [
    "an application that leads upwards",
    Bytes.concat([hello, written(call("connect", [Amf.object({ app: "../live" })]))]),
    "Rejected"
  ],
  [
    "an application with a NUL",
    Bytes.concat([hello, written(call("connect", [Amf.object({ app: "live\u0000" })]))]),
    "Rejected"
  ],
  [
    "an application with an encoded NUL",
    Bytes.concat([hello, written(call("connect", [Amf.object({ app: "live%00x" })]))]),
    "Rejected"
  ],
  [
    "an application with line ends",
    Bytes.concat([hello, written(call("connect", [Amf.object({ app: "live\r\nx" })]))]),
    "Rejected"
  ],
  [
    "an application with a backslash",
    Bytes.concat([hello, written(call("connect", [Amf.object({ app: "live\\x" })]))]),
    "Rejected"
  ],
  [
    "an application in overlong UTF-8",
    connecting(`${connectName} 03 0003 617070 02 0005 6c c0af 6c 69 000009`),
    "Rejected"
  ],
  ["a stream name that is null", asking("publish", null), "Rejected"],
  ["a stream name that is a number", asking("publish", 7), "Rejected"],
  ["a stream name that is not there", asking("publish"), "Rejected"],
  ["a stream name of 256 bytes", asking("publish", "x".repeat(256)), "Rejected"],
  ["a stream name with a drive", asking("publish", "C:\\x"), "Rejected"],
  ["a stream name that leads upwards, encoded", asking("publish", "%2e%2e%2fx"), "Rejected"],
  ["a stream name that ends in a dot", asking("publish", "x."), "Rejected"],
  ["a stream name that asks for a file", asking("play", "mp4:x"), "Rejected"],
  ["a stream name that reads backwards", asking("publish", "a\u202egpj"), "Rejected"],
  ["65 parameters", asking("publish", `x?${"a&".repeat(64)}`), "Rejected"],
  ["publish on message stream 0", after(written(create, call("publish", [null, "x"], 0))), "CommandViolation"],
  [
    "a stream name that leads upwards",
    Bytes.concat([hello, written(connect, create, call("publish", [null, "../../etc/passwd"], 1))]),
    "Rejected"
  ],
  [
    "a stream name with escapes",
    Bytes.concat([hello, written(connect, create, call("publish", [null, "a\u001b[2J\r\n"], 1))]),
    "Rejected"
  ],
  [
    "the name that is live",
    Bytes.concat([hello, written(connect, create, call("publish", [null, "good"], 1))]),
    "PublishConflict"
  ],
  [
    "another spelling of the name that is live",
    Bytes.concat([hello, written(connect, create, call("publish", [null, "/%67ood/?x=1"], 1))]),
    "PublishConflict"
  ],
  ["a second publish on its message stream", publishing(call("publish", [null, ""], 1)), "CommandViolation"],
  [
    "a stream without a name",
    Bytes.concat([hello, written(connect, create, call("publish", [null, ""], 1))]),
    "Rejected"
  ],
  [
    "a query of 60,000 characters",
    Bytes.concat([hello, written(connect, create, call("publish", [null, `q?${"a=b&".repeat(15_000)}`], 1))]),
    "Rejected"
  ],
  ["streams beyond the limit", Bytes.concat([hello, written(connect, ...times(150, create))]), "ProtocolViolation"],
  ["publish and play on one message stream", playing(call("publish", [null, "x"], 1)), "CommandViolation"],
  [
    "answers that nobody asked for",
    after(written(...times(10, ...["_result", "_error", "onStatus", "onBWDone"].map((name) => call(name, [null]))))),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a player who changes its mind a thousand times",
    playing(...times(500, call("pause", [null, true, 0], 1), call("receiveVideo", [null, true], 1))),
    "LimitReached"
  ],
  ["a player who seeks a thousand times", playing(...times(1_000, call("seek", [null, 1_000], 1))), "LimitReached"],
  [
    "a publisher who begins and ends over and over",
    publishing(...times(500, call("closeStream", [null], 1), call("publish", [null, "z"], 1))),
    "LimitReached"
  ],
  [
    "a player who begins and ends over and over",
    playing(...times(500, call("closeStream", [null], 1), call("play", [null, "good"], 1))),
    "LimitReached"
  ],
  [
    "streams made and deleted over and over",
    after(written(...times(500, create, call("deleteStream", [null, 1])))),
    "LimitReached"
  ],
  [
    "a player of what is not there",
    Bytes.concat([hello, written(connect, create, call("play", [null, "nobody"], 1))]),
    "ClientClosed",
    "then FIN"
  ],
  [
    "media after the end of the stream",
    publishing(call("deleteStream", [null, 1]), ...times(30, media(9, [0x17, 1, 0, 0, 0, 1]))),
    "ClientClosed",
    "then FIN"
  ],
  [
    "media without publish",
    after(written(create, ...times(100, media(9, [0x17, 1, 0, 0, 0, 1])))),
    "ProtocolViolation"
  ],
  [
    "every way to end a stream, over and over",
    publishing(
      ...times(
        10,
        call("FCUnpublish", [null, "z"]),
        call("closeStream", [null], 1),
        call("deleteStream", [null, 1]),
        call("deleteStream", [null, "z"])
      )
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a publisher who ends and is gone before it is answered",
    publishing(call("FCUnpublish", [null, "z"]), call("deleteStream", [null, 1])),
    "ConnectionReset",
    "then RST"
  ],
  [
    "a publisher of 256 tracks",
    publishing(
      ...Array.from({ length: 256 }, (_, track) => media(9, [...hex("96 00 61763031"), track, ...hex("81000c00")]))
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a publisher of a sequence header of a mebibyte, and of NAL units beyond the end",
    publishing(
      media(9, [0x17, 0, 0, 0, 0, ...new Uint8Array(0x100000)]),
      media(9, [...hex("17 01 000000 ffffffff 65")]),
      media(9, [...hex("17 00 000000 01 64001f ff ff ffff 67")]),
      media(9, [...hex("27 01 000000 00000000")])
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a publisher of keyframes alone, of headers that change, and of ends that go on",
    publishing(
      ...Array.from({ length: 500 }, (_, i) => ({ ...Media.keyframe(i), streamId: 1 })),
      ...Array.from({ length: 100 }, (_, i) => media(9, [...Media.videoHeader().payload.slice(0, -1), i])),
      ...times(50, media(9, [...hex("17 02 000000")]), Media.interFrame(600))
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a publisher who changes its codec with every frame",
    publishing(
      ...times(
        50,
        Media.videoHeader(),
        Media.keyframe(0),
        media(9, [...hex("90 61763031 81000c00")]),
        media(9, [...hex("91 61763031 0a0b")])
      )
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a publisher of all that stops players",
    publishing(...dropped.map(([, typeId, payload]) => media(typeId, [...hex(payload)]))),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a publisher whose time jumps",
    publishing(
      ...[0, 0xffffd8f0, 3_600_000, 0xfffffff0, 16].map((timestamp) => ({
        ...media(9, [0x17, 1, 0, 0, 0, 1]),
        timestamp
      }))
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a publisher of metadata without end",
    publishing(
      ...times(200, media(Message.DATA_AMF0, [...hex(`${onMetaData} 05`)])),
      media(Message.DATA_AMF0, [...hex(onMetaData), 0x0c, 0, 0x20, 0, 0, ...new Array(0x200000).fill(0x61)])
    ),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a message stream that does not exist",
    Bytes.concat([hello, written(connect, call("publish", [null, "x"], 7))]),
    "CommandViolation"
  ],
  [
    "publish and play on one connection",
    Bytes.concat([
      hello,
      written(connect, create, create, call("publish", [null, "x"], 1), call("play", [null, "x"], 2))
    ]),
    "CommandViolation"
  ],
  [
    "a hundred unknown commands",
    Bytes.concat([hello, written(connect, ...Array.from({ length: 100 }, () => call("nonsense", [null])))]),
    "ProtocolViolation"
  ],
  [
    "a thousand commands",
    Bytes.concat([hello, written(connect, ...Array.from({ length: 1_000 }, () => call("FCPublish", [null, "good"])))]),
    "LimitReached"
  ],
  [
    "names of others, released and unpublished",
    Bytes.concat([
      hello,
      written(
        connect,
        call("releaseStream", [null, "good"]),
        call("FCUnpublish", [null, "good"]),
        call("deleteStream", [null, 1]),
        call("closeStream", [null], 1)
      )
    ]),
    "IdleTimeout"
  ],
  [
    "media of a player",
    Bytes.concat([
      hello,
      written(
        connect,
        create,
        call("play", [null, "good"], 1),
        ...Array.from({ length: 100 }, () => media(9, [0x17, 1, 0, 0, 0, 1]))
      )
    ]),
    "ProtocolViolation"
  ],
  [
    "a flood of empty audio",
    Bytes.concat([
      hello,
      written(connect, create, call("publish", [null, "x"], 1), ...Array.from({ length: 20_000 }, () => media(8, [])))
    ]),
    "LimitReached"
  ],
  [
    "a player who sends its end and reads on",
    Bytes.concat([hello, written(connect, create, call("play", [null, "good"], 1))]),
    "ClientClosed",
    "then FIN"
  ],
  [
    "a publisher who is reset",
    Bytes.concat([hello, written(connect, create, call("publish", [null, "x"], 1), media(9, [0x17, 0, 0, 0, 0, 1]))]),
    "ConnectionReset",
    "then RST"
  ],
  [
    "a publisher who ends in the middle of a frame",
    Bytes.concat([
      hello,
      written(connect, create, call("publish", [null, "y"], 1)),
      hex("06 000000 000400 09 01000000 17010000")
    ]),
    "ClientClosed",
    "then FIN"
  ]
]
