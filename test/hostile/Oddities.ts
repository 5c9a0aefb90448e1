/**
 * What is legal, or to be put up with, and odd: whole sessions of publishers, and what a viewer of theirs is given.
 *
 * `Server.test.ts` sends each of them to a running server, at once and byte by byte. Behind the oddity every one of them
 * sends one more frame, so that whatever was misread would show.
 */
import * as Amf from "../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"
import * as ChunkWriter from "../../src/protocol/ChunkWriter.ts"
import * as Command from "../../src/protocol/Command.ts"
import * as Message from "../../src/protocol/Message.ts"
import { abort, be, join, setChunkSize, type0, type1, type2, type3 } from "../protocol/chunks.ts"
import * as Media from "../support/Media.ts"
import { hello } from "./Peers.ts"
import { hex } from "./Poison.ts"

/** A publisher of `live/` and `stream`: its bytes, and the frames behind its headers and its keyframe at 0. */
export interface Oddity {
  readonly name: string
  readonly stream: string
  readonly bytes: Uint8Array
  readonly frames: ReadonlyArray<Message.Message>
}

const call = (name: string, values: Parameters<typeof Command.encode>[0]["values"], streamId = 0): Message.Message =>
  Command.encode({ name, transactionId: 1, values, streamId })
const written = (...messages: ReadonlyArray<Message.Message>) => ChunkWriter.make().writeAll(messages)

const connect = call("connect", [Amf.object({ app: "live", tcUrl: "rtmp://h/live" })])
const opening = [Media.videoHeader(), Media.audioHeader(), Media.keyframe(0)]
const last = Media.interFrame(60_000, 0xbeef)

/** The session of a publisher who connects as it is told and sends what it is told. */
const session = (
  name: string,
  parts: {
    readonly connect?: ReadonlyArray<Message.Message>
    readonly before?: Uint8Array
    readonly publish?: Message.Message
    readonly stream?: string
    readonly chunks?: ReadonlyArray<Uint8Array>
  },
  ...frames: ReadonlyArray<Message.Message>
): Oddity => {
  const stream = parts.stream ?? "odd"
  const { publish = call("publish", [null, stream, "live"], 1) } = parts
  return {
    name,
    stream,
    bytes: join(
      hello,
      parts.before ?? Bytes.empty,
      written(...(parts.connect ?? [connect]), call("createStream", [null]), publish, ...opening),
      ...(parts.chunks ?? []),
      type0(6, last.timestamp, last.typeId, last.payload, { streamId: 1 })
    ),
    frames: [...frames, last]
  }
}

/** Odd chunks of somebody who publishes. */
const chunks = (name: string, bytes: ReadonlyArray<Uint8Array>, ...frames: ReadonlyArray<Message.Message>): Oddity =>
  session(name, { chunks: bytes }, ...frames)
/** Odd commands and messages of somebody who publishes. */
const said = (name: string, messages: ReadonlyArray<Message.Message>, ...frames: ReadonlyArray<Message.Message>) =>
  chunks(name, [written(...messages)], ...frames)
/** An odd connect: what stands behind its name and transaction id. */
const connecting = (name: string, object: string): Oddity =>
  session(name, {
    connect: [{ ...connect, payload: hex(`02 0007 636f6e6e656374 00 3ff0000000000000 ${object}`) }]
  })

const app = "0003 617070 02 0004 6c697665"
const end = "000009"

/** An inter frame of 200 bytes: two chunks. */
const long = (timestamp: number, byte = 0): Message.Message => ({
  ...Media.interFrame(timestamp),
  payload: join(
    hex("27 01 000000 000000bf 41"),
    Uint8Array.from({ length: 190 }, (_, i) => (byte === 0 ? i : byte))
  )
})
const { payload: whole } = long(0)
const first = whole.slice(0, 128)
const rest = whole.slice(128)
const half = type0(6, 40, 9, first, { length: 200, streamId: 1 })
const { payload: sound } = Media.audio(0)
const { payload: picture } = Media.interFrame(0)
const onOne = { streamId: 1 }
const stamp = 0x01020304
const begun = type0(6, stamp, 9, first, { length: 200, streamId: 1 })

/** A tag of an aggregate. */
const tag = (typeId: number, timestamp: number, payload: Uint8Array): Uint8Array =>
  join(
    Uint8Array.of(typeId),
    be(3, payload.length),
    be(3, timestamp),
    hex("00 000000"),
    payload,
    be(4, payload.length + 11)
  )
const aggregate = (...parts: ReadonlyArray<Uint8Array>): Message.Message => ({
  ...Media.audio(40),
  typeId: Message.AGGREGATE,
  payload: join(...parts)
})

/** Every oddity, by name. */
export const oddities: ReadonlyArray<Oddity> = [
  chunks(
    "a chunk size with two bytes too many",
    [type0(2, 0, 1, hex("00001000 ffff")), type0(6, 40, 9, whole, onOne)],
    long(40)
  ),
  chunks("a chunk size that grows inside of a message", [half, setChunkSize(4096), type3(6, rest)], long(40)),
  chunks(
    "a chunk size that shrinks inside of a message",
    [half, setChunkSize(50), type3(6, rest.subarray(0, 50)), setChunkSize(128), type3(6, rest.subarray(50))],
    long(40)
  ),
  chunks(
    "a chunk size in two chunks",
    [
      setChunkSize(3),
      type0(2, 0, 1, hex("000010"), { length: 4 }),
      type0(4, 40, 8, sound.subarray(0, 3), { length: 5, streamId: 1 }),
      type3(2, hex("00")),
      type3(4, sound.subarray(3)),
      type0(6, 60, 9, whole, onOne)
    ],
    Media.audio(40),
    long(60)
  ),
  chunks(
    "a chunk size on a chunk stream of media",
    [type0(7, 99, 1, be(4, 4096), { streamId: 3 }), type0(6, 40, 9, whole, onOne)],
    long(40)
  ),
  chunks(
    "frames without a byte, of which audio stands for silence",
    [type0(4, 1, 8, Bytes.empty, onOne), type0(6, 1, 9, Bytes.empty, onOne)],
    { ...Media.audio(1), payload: Bytes.empty }
  ),
  chunks(
    "control messages without a byte",
    [2, 3, 4].map((typeId) => type0(2, 0, typeId, Bytes.empty))
  ),
  chunks(
    "a message that another one takes the place of",
    [half, type0(6, 50, 9, picture, onOne)],
    Media.interFrame(50)
  ),
  chunks("a message that becomes another in its middle", [half, type1(6, 10, 8, sound)], Media.audio(50)),
  chunks(
    "chunks of type 3 that each begin a message",
    [type0(4, 100, 8, sound, onOne), type2(4, 20, sound), type3(4, sound), type3(4, sound)],
    ...[100, 120, 140, 160].map((at) => Media.audio(at))
  ),
  chunks(
    "one chunk stream by both of its long headers",
    [hex("00 08 000028 000005 08 01000000"), sound, hex("81 08 00 000002"), sound, hex("c0 08"), sound],
    ...[40, 42, 44].map((at) => Media.audio(at))
  ),
  chunks(
    "audio on the chunk stream of control, video on that of commands",
    [type0(2, 41, 8, sound, onOne), type0(3, 42, 9, picture, onOne)],
    Media.audio(41),
    Media.interFrame(42)
  ),
  chunks(
    "an acknowledgement between the chunks of a frame",
    [half, type0(2, 0, 3, be(4, 9)), type3(6, rest)],
    long(40)
  ),
  chunks(
    "video on two chunk streams at a time",
    [half, type0(7, 41, 9, picture, onOne), type3(6, rest)],
    Media.interFrame(41),
    long(40)
  ),
  chunks(
    "60 frames chunk by chunk in turn",
    [
      ...Array.from({ length: 60 }, (_, i) => type0(i + 3, 40 + i, 9, first, { length: 200, streamId: 1 })),
      ...Array.from({ length: 60 }, (_, i) => type3(i + 3, rest))
    ],
    ...Array.from({ length: 60 }, (_, i) => long(40 + i))
  ),
  chunks(
    "an extended timestamp of 16",
    [hex("06 ffffff 0000c8 09 01000000 00000010"), first, hex("c6 00000010"), rest],
    long(16)
  ),
  chunks("continuations with the extended timestamp", [begun, type3(6, join(be(4, stamp), rest))], long(stamp)),
  chunks(
    "continuations without the extended timestamp",
    [begun, type3(6, rest), type0(6, stamp, 9, first, { length: 200, streamId: 1 }), type3(6, rest)],
    long(stamp),
    long(stamp)
  ),
  chunks(
    "a time that goes back by a delta of minus one",
    [type0(4, 100, 8, sound, onOne), type1(4, 0xffffffff, 8, sound), type3(4, join(be(4, 0xffffffff), sound))],
    ...[100, 99, 98].map((at) => Media.audio(at))
  ),
  chunks("an Abort of a message that begins anew", [half, abort(6), type3(6, first), type3(6, rest)], long(80)),
  said(
    "an aggregate that is cut off behind its second tag",
    [aggregate(tag(8, 7, sound), tag(9, 27, picture), hex("08 0000ff 000030 00 000000 af01"))],
    Media.audio(40),
    Media.interFrame(60)
  ),
  said(
    "an aggregate in an aggregate",
    [aggregate(tag(8, 7, sound), tag(Message.AGGREGATE, 27, tag(8, 7, sound)), tag(8, 47, sound))],
    Media.audio(40)
  ),
  session("protocol control before connect", {
    before: written(
      { typeId: Message.SET_CHUNK_SIZE, streamId: 0, chunkStreamId: 2, timestamp: 0, payload: be(4, 128) },
      { typeId: Message.WINDOW_ACK_SIZE, streamId: 0, chunkStreamId: 2, timestamp: 0, payload: be(4, 2_500_000) }
    )
  }),
  connecting("an object of a class for the object of connect", `10 0003 466f6f ${app} ${end}`),
  connecting("an array for the object of connect", `08 ffffffff ${app} ${end}`),
  connecting(
    "members of connect of the wrong type",
    `03 ${app} 0005 746355726c 03 ${end} 000e 6f626a656374456e636f64696e67 02 0001 33 ${end}`
  ),
  connecting("two applications, of which the last one counts", `03 0003 617070 02 0001 78 ${app} ${end}`),
  connecting(
    "dates and XML in connect",
    `03 ${app} 0001 61 0b 7ff8000000000000 ffff 0001 62 0f 00000007 3c61 2668693b 2f ${end}`
  ),
  connecting(
    "a reference bomb in connect",
    `03 ${app} ${Array.from({ length: 16 }, (_, i) => `0001 ${(0x61 + i).toString(16)} 0a 00000002 07 ${i.toString(16).padStart(4, "0")} 07 ${i.toString(16).padStart(4, "0")}`).join(" ")} ${end}`
  ),
  connecting(
    "values behind the object of connect, and bytes behind them",
    `03 ${app} ${end} 05 00 7ff8000000000000 02`
  ),
  session("a tcUrl that names another place", {
    connect: [call("connect", [Amf.object({ app: "live", tcUrl: "rtmp://admin@169.254.169.254/other?x" })])]
  }),
  session("commands without a name, and with names that no log should show", {
    connect: [connect, call("\r\n\u001b[2J", [null]), call("", [null]), call("x".repeat(60_000), [null])]
  }),
  ...["LIVE", "record", "append", "../../etc/passwd", 7, null].map((type) =>
    session(`a publish of type ${JSON.stringify(type)}`, { publish: call("publish", [null, "odd", type], 1) })
  ),
  ...["$(id)", "*", "'; drop table streams --", "{{name}}", "ünïcödé 🎥"].map((stream) =>
    session(`a stream called ${stream}`, { stream })
  ),
  said(
    "deleteStream of what is not there",
    [Number.NaN, -1, 1e300, 2, 0, 0xffffffff].map((id) => call("deleteStream", [null, id]))
  ),
  said("releases of others, and ends of what never began", [
    call("releaseStream", [null, "good"]),
    call("closeStream", [null], 2),
    call("deleteStream", [null])
  ])
]
