/**
 * Reads the packets of an FLV file, for the clients that write what they play into one.
 *
 * Deliberately not the server's own parser, so that the two cannot share a mistake. It knows as much as the clips need:
 * AVC and AAC tags, and Enhanced RTMP tags without multitrack; metadata and codec headers are left out.
 */
import { createHash } from "node:crypto"
import type { Packet } from "./Packet.ts"

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex")

const videoPacket = (body: Buffer, dtsMs: number): Packet | undefined => {
  const first = body[0]!
  let key: boolean
  let start: number
  let shiftMs = 0
  if ((first & 0x80) !== 0) {
    const type = first & 0x0f
    if (type !== 1 && type !== 3) return undefined
    key = ((first >> 4) & 7) === 1
    start = 5
    // Coded frames with a composition time are those of codecs that reorder pictures.
    if (type === 1 && ["avc1", "hvc1", "vvc1"].includes(body.toString("latin1", 1, 5))) {
      shiftMs = body.readIntBE(5, 3)
      start = 8
    }
  } else {
    if ((first & 0x0f) !== 7 || body[1] !== 1) return undefined
    key = first >> 4 === 1
    start = 5
    shiftMs = body.readIntBE(2, 3)
  }
  const data = body.subarray(start)
  return { kind: "video", dtsMs, ptsMs: dtsMs + shiftMs, key, bytes: data.length, sha256: sha256(data) }
}

const audioPacket = (body: Buffer, dtsMs: number): Packet | undefined => {
  const enhanced = body[0]! >> 4 === 9
  const coded = enhanced ? (body[0]! & 0x0f) === 1 : body[1] === 1
  if (!coded) return undefined
  const data = body.subarray(enhanced ? 5 : 2)
  return { kind: "audio", dtsMs, ptsMs: dtsMs, key: true, bytes: data.length, sha256: sha256(data) }
}

/**
 * The packets of an FLV file, in its order.
 *
 * **Details**
 *
 * Throws when the file is not FLV, or ends within a tag.
 */
export const packets = (file: Buffer): ReadonlyArray<Packet> => {
  if (file.toString("latin1", 0, 3) !== "FLV") throw new Error(`not an FLV file: ${file.length} bytes`)
  const found: Array<Packet> = []
  let at = file.readUInt32BE(5) + 4
  while (at < file.length) {
    const size = at + 11 <= file.length ? file.readUIntBE(at + 1, 3) : Number.POSITIVE_INFINITY
    const end = at + 11 + size + 4
    if (end > file.length) throw new Error(`the FLV file ends within the tag at byte ${at}`)
    const dtsMs = file.readUIntBE(at + 4, 3) + file[at + 7]! * 0x1_00_00_00
    const body = file.subarray(at + 11, at + 11 + size)
    const type = file[at]! & 0x1f
    const packet =
      size === 0 ? undefined : type === 9 ? videoPacket(body, dtsMs) : type === 8 ? audioPacket(body, dtsMs) : undefined
    if (packet !== undefined) found.push(packet)
    at = end
  }
  return found
}
