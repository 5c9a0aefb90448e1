/**
 * What every joiner is given before frames: the newest metadata and the newest sequence header of each track.
 *
 * Entries are copies of exactly their size, as they outlive every buffer they came in. The owner keeps the sum in bounds.
 */

import * as Bytes from "../protocol/Bytes.ts"
import type { EncodableMessage, MediaKind, MediaRole } from "./Batch.ts"

interface Entry {
  readonly kind: MediaKind
  readonly trackKey: number
  readonly typeId: number
  readonly payload: Uint8Array
}

/** The cache of one stream. */
export class HeaderCache {
  readonly #entries = new Map<string, Entry>()
  #metadata: Entry | undefined
  #bytes = 0

  /** Bytes of all sequence headers. */
  get bytes(): number {
    return this.#bytes
  }

  /** Bytes of the metadata, 0 where there is none. */
  get metadataBytes(): number {
    return this.#metadata?.payload.length ?? 0
  }

  /** Bytes held for a key. */
  bytesOf(key: string): number {
    return this.#entries.get(key)?.payload.length ?? 0
  }

  /** Keeps a copy of a header. `"Same"` where the bytes were there already, `"Changed"` where others were. */
  set(key: string, kind: MediaKind, trackKey: number, typeId: number, payload: Uint8Array): "New" | "Same" | "Changed" {
    const known = this.#entries.get(key)
    if (known !== undefined && Bytes.equals(known.payload, payload)) return "Same"
    this.#bytes += payload.length - (known?.payload.length ?? 0)
    this.#entries.set(key, { kind, trackKey, typeId, payload: payload.slice() })
    return known === undefined ? "New" : "Changed"
  }

  /** Keeps a copy of the metadata. Tells whether it differs from what was there. */
  setMetadata(typeId: number, payload: Uint8Array): boolean {
    if (this.#metadata !== undefined && Bytes.equals(this.#metadata.payload, payload)) return false
    this.#metadata = { kind: "data", trackKey: -1, typeId, payload: payload.slice() }
    return true
  }

  /** Forgets the metadata. */
  clearMetadata(): void {
    this.#metadata = undefined
  }

  /** Forgets the headers of a track, whose codec has changed. */
  clearTrack(trackKey: number): void {
    for (const [key, entry] of this.#entries) {
      if (entry.trackKey !== trackKey) continue
      this.#entries.delete(key)
      this.#bytes -= entry.payload.length
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.clear()
    this.#metadata = undefined
    this.#bytes = 0
  }

  /** Metadata, video headers, audio headers, in the order that players want, all at one timestamp. */
  messages(timestamp: number): ReadonlyArray<EncodableMessage> {
    const out: Array<EncodableMessage> = []
    const add = ({ kind, payload, typeId }: Entry, role: MediaRole) =>
      out.push({ kind, role, typeId, timestamp, payload })
    if (this.#metadata !== undefined) add(this.#metadata, "Metadata")
    for (const entry of this.#entries.values()) if (entry.kind === "video") add(entry, "SequenceHeader")
    for (const entry of this.#entries.values()) if (entry.kind !== "video") add(entry, "SequenceHeader")
    return out
  }
}

/** Makes an empty cache. */
export const make = (): HeaderCache => new HeaderCache()
