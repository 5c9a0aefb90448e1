/** The fixtures of this room: recorded FLV files, and sequence header bodies by name. */
import { readFileSync } from "node:fs"
import * as Result from "effect/Result"
import * as FlvTag from "../../src/media/FlvTag.ts"
import * as Bytes from "../../src/protocol/Bytes.ts"

const url = (name: string): URL => new URL(`../fixtures/media/${name}`, import.meta.url)

/** The bytes of a fixture. */
export const file = (name: string): Uint8Array => new Uint8Array(readFileSync(url(name)))

/** The tags of an FLV fixture. */
export const tags = (name: string): ReadonlyArray<FlvTag.FlvTag> => Result.getOrThrow(FlvTag.read(file(`${name}.flv`)))

/** All FLV fixtures. */
export const flvNames = ["avc-aac", "hevc-opus", "av1-flac", "vp9-ac3", "multitrack", "h263", "mp3"] as const

/** The sequence header bodies by name. */
export const headers: ReadonlyMap<string, Uint8Array> = new Map(
  readFileSync(url("headers.hex"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [name, hex] = line.split(" ")
      return [name!, Bytes.fromHex(hex!)] as const
    })
)

/** A sequence header body. */
export const header = (name: string): Uint8Array => {
  const bytes = headers.get(name)
  if (bytes === undefined) throw new Error(`no header ${name}`)
  return bytes
}
