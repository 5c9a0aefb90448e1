/**
 * Hostile peers: what they send to a server, and the reason with which it closes their connection.
 *
 * The reasons hold for a server whose deadlines are short, as those of the tests are, and where somebody publishes
 * `good` in the application `live`.
 */
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import * as Command from "../../src/protocol/Command.ts"
import type * as Message from "../../src/protocol/Message.ts"
import { media } from "../support/SessionPeer.ts"

/** How a peer sends: all at once, byte by byte, or with an end of its own. */
export type How = "at once" | "bytewise" | "then FIN" | "then RST"

const text = Bytes.fromUtf8
const hex = (digits: string) => Bytes.fromHex(digits.replaceAll(" ", ""))
const noise = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 197 + 31) & 0xff)

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

/** Every peer, by name. */
export const peers: ReadonlyArray<readonly [name: string, bytes: Uint8Array, reason: string, how?: How]> = [
  ["version 0", Uint8Array.of(0), "HandshakeFailed"],
  ["version 2", Uint8Array.of(2), "HandshakeFailed"],
  ["version 32", Uint8Array.of(32), "HandshakeFailed"],
  ["version 255", Uint8Array.of(255), "HandshakeFailed"],
  ["a TLS greeting", hex("16 0301 0200 01 0001fc 0303"), "HandshakeFailed"],
  ["an HTTP request", text("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "HandshakeFailed"],
  ["an RTMPT request", text("POST /open/1 HTTP/1.1\r\n\r\n"), "HandshakeFailed"],
  ["a PROXY header", text("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"), "HandshakeFailed"],
  ["a PROXY header of version 2", hex("0d0a0d0a000d0a515549540a 21 11 000c"), "HandshakeFailed"],
  ["an SSH client", text("SSH-2.0-OpenSSH_9.6\r\n"), "HandshakeFailed"],
  ["an SMB scanner", hex("00000085 ff534d42"), "HandshakeFailed"],
  ["nothing at all", Bytes.empty, "HandshakeTimeout"],
  ["a version and nothing more", Uint8Array.of(3), "HandshakeTimeout"],
  ["half of a handshake, byte by byte", hello.slice(0, 700), "HandshakeTimeout", "bytewise"],
  ["a handshake without its end", hello.slice(0, 3072), "HandshakeTimeout"],
  ["a handshake and then silence", hello, "ConnectTimeout"],
  ["connect and then silence", connected, "IdleTimeout"],
  ["connect, byte by byte, and then silence", connected, "IdleTimeout", "bytewise"],
  ["an end after the version", Uint8Array.of(3), "ClientClosed", "then FIN"],
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
  ["no application", Bytes.concat([hello, written(call("connect", [null]))]), "Rejected"],
  [
    "an application that leads upwards",
    Bytes.concat([hello, written(call("connect", [Amf.object({ app: "../live" })]))]),
    "Rejected"
  ],
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
