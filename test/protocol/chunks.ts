/** Chunks by hand, and the golden messages, for the tests of the chunk reader and the chunk writer. */
import * as Bytes from "../../src/protocol/Bytes.ts"
import type { Message } from "../../src/protocol/Message.ts"

export const hex = Bytes.fromHex

export const join = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Bytes.concat(parts)

/** Payload bytes 0, 1, 2, … */
export const counting = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i)

export const be = (width: number, value: number): Uint8Array =>
  Uint8Array.from({ length: width }, (_, i) => Math.floor(value / 256 ** (width - 1 - i)) % 256)

const times = (field: number): { readonly field: Uint8Array; readonly extended: Uint8Array } => ({
  field: be(3, Math.min(field, 0xffffff)),
  extended: field >= 0xffffff ? be(4, field) : Bytes.empty
})

const body = (payload: Uint8Array | number): { readonly length: number; readonly sent: Uint8Array } =>
  typeof payload === "number" ? { length: payload, sent: Bytes.empty } : { length: payload.length, sent: payload }

/** A type 0 chunk on a chunk stream below 64. A number for the payload is the announced length, with nothing following. */
export const type0 = (
  id: number,
  timestamp: number,
  typeId: number,
  payload: Uint8Array | number,
  options?: { readonly streamId?: number; readonly length?: number }
): Uint8Array => {
  const { extended, field } = times(timestamp)
  const { length, sent } = body(payload)
  const stream = be(4, options?.streamId ?? 0).reverse()
  return join(Uint8Array.of(id), field, be(3, options?.length ?? length), Uint8Array.of(typeId), stream, extended, sent)
}

/** A type 1 chunk on a chunk stream below 64. */
export const type1 = (
  id: number,
  delta: number,
  typeId: number,
  payload: Uint8Array | number,
  length?: number
): Uint8Array => {
  const { extended, field } = times(delta)
  const { length: own, sent } = body(payload)
  return join(Uint8Array.of(0x40 | id), field, be(3, length ?? own), Uint8Array.of(typeId), extended, sent)
}

/** A type 2 chunk on a chunk stream below 64. */
export const type2 = (id: number, delta: number, payload: Uint8Array): Uint8Array => {
  const { extended, field } = times(delta)
  return join(Uint8Array.of(0x80 | id), field, extended, payload)
}

/** A type 3 chunk on a chunk stream below 64. */
export const type3 = (id: number, payload: Uint8Array): Uint8Array => join(Uint8Array.of(0xc0 | id), payload)

export const setChunkSize = (size: number): Uint8Array => type0(2, 0, 1, be(4, size))

export const abort = (id: number): Uint8Array => type0(2, 0, 2, be(4, id))

/** A chunk stream of one message and the message, as real clients and servers exchange them. */
export interface Golden {
  readonly name: string
  readonly bytes: Uint8Array
  readonly message: Message
}

const golden = (
  name: string,
  header: string,
  typeId: number,
  chunkStreamId: number,
  streamId: number,
  payload: string
): Golden => ({
  name,
  bytes: hex(header + payload),
  message: { typeId, streamId, chunkStreamId, timestamp: 0, payload: hex(payload) }
})

export const goldens: ReadonlyArray<Golden> = [
  golden("WindowAckSize 2,500,000", "02 000000 000004 05 00000000", 5, 2, 0, "002625A0"),
  golden("SetPeerBandwidth 2,500,000 dynamic", "02 000000 000005 06 00000000", 6, 2, 0, "002625A0 02"),
  golden("SetChunkSize 60000", "02 000000 000004 01 00000000", 1, 2, 0, "0000EA60"),
  golden("StreamBegin 0", "02 000000 000006 04 00000000", 4, 2, 0, "0000 00000000"),
  golden("StreamBegin 1", "02 000000 000006 04 00000000", 4, 2, 0, "0000 00000001"),
  golden("StreamEOF 1", "02 000000 000006 04 00000000", 4, 2, 0, "0001 00000001"),
  golden("PingRequest", "02 000000 000006 04 00000000", 4, 2, 0, "0006 01020304"),
  golden("PingResponse", "02 000000 000006 04 00000000", 4, 2, 0, "0007 01020304"),
  golden("SetBufferLength 1, 3000", "02 000000 00000A 04 00000000", 4, 2, 0, "0003 00000001 00000BB8"),
  golden("Acknowledgement 0xFFFFFFF0", "02 000000 000004 03 00000000", 3, 2, 0, "FFFFFFF0"),
  golden("Abort 6", "02 000000 000004 02 00000000", 2, 2, 0, "00000006"),
  golden(
    "connect",
    "03 000000 00003A 14 00000000",
    20,
    3,
    0,
    `020007636F6E6E656374 003FF0000000000000 03 0003617070 0200046C697665 0005746355726C
     02000D72746D703A2F2F682F6C697665 000009`
  ),
  golden(
    "createStream",
    "03 000000 000019 14 00000000",
    20,
    3,
    0,
    "02000C63726561746553747265616D 004010000000000000 05"
  ),
  golden(
    "_result",
    "03 000000 00001D 14 00000000",
    20,
    3,
    0,
    "0200075F726573756C74 004010000000000000 05 003FF0000000000000"
  ),
  golden(
    "publish",
    "08 000000 00001F 14 01000000",
    20,
    8,
    1,
    "0200077075626C697368 004014000000000000 05 02000173 0200046C697665"
  ),
  golden(
    "play",
    "08 000000 00001E 14 01000000",
    20,
    8,
    1,
    "020004706C6179 004014000000000000 05 02000173 00C09F400000000000"
  ),
  golden(
    "onStatus NetStream.Publish.Start",
    "05 000000 00005B 14 01000000",
    20,
    5,
    1,
    `0200086F6E537461747573 000000000000000000 05 03 00056C6576656C 020006737461747573 0004636F6465
     0200174E657453747265616D2E5075626C6973682E5374617274 000B6465736372697074696F6E 0200026F6B 000009`
  ),
  golden(
    "|RtmpSampleAccess",
    "05 000000 000018 12 01000000",
    18,
    5,
    1,
    "0200117C52746D7053616D706C65416363657373 0101 0101"
  )
]

/** Chunk stream ids by their basic headers: type 0 and type 3 in the shortest form. */
export const basicHeaders: ReadonlyArray<readonly [id: number, type0: string, type3: string]> = [
  [2, "02", "C2"],
  [63, "3F", "FF"],
  [64, "0000", "C000"],
  [319, "00FF", "C0FF"],
  [320, "010001", "C10001"],
  [365, "012D01", "C12D01"],
  [65599, "01FFFF", "C1FFFF"]
]

/** Messages of 200 bytes with an extended timestamp, at chunk size 128, by the SHA-256 of their 221 bytes. */
export const extendedGoldens: ReadonlyArray<readonly [timestamp: number, sha256: string]> = [
  [0xffffff, "603f65dc52bd20ef39feda074d7d5dcc5ce3f51c8f97f398842fd6265973c49e"],
  [0x1000000, "37ee1e4085aafaf2556f721cb840cc3d111a9893b09d223f25cdff8a4fa7fa97"]
]

export const extendedMessage = (timestamp: number): Message => ({
  typeId: 9,
  streamId: 1,
  chunkStreamId: 6,
  timestamp,
  payload: counting(200)
})
