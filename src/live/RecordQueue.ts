/**
 * A first-in, first-out queue of media records: a ring that grows by doubling and forgets what it hands out.
 *
 * It is what the group-of-pictures cache and the queues of slow viewers are built on: `push` and `shift` are amortised
 * O(1), a record that left is not referenced any more, and an emptied queue gives its memory back. Not a general
 * container: it has no bound of its own, its owner has.
 */
import type { MediaRecord } from "./Batch.ts"

const initialCapacity = 16

/** A ring of records, oldest first. */
export class RecordQueue {
  #slots: Array<MediaRecord | undefined> = []
  #head = 0
  #length = 0

  /** Records in the queue. */
  get length(): number {
    return this.#length
  }

  /** The record `index` places behind the oldest one, `undefined` outside the queue. */
  at(index: number): MediaRecord | undefined {
    if (index < 0 || index >= this.#length) return undefined
    return this.#slots[(this.#head + index) & (this.#slots.length - 1)]
  }

  /** The oldest record. */
  first(): MediaRecord | undefined {
    return this.at(0)
  }

  /** The newest record. */
  last(): MediaRecord | undefined {
    return this.at(this.#length - 1)
  }

  /** Puts another record in the place of one. `index` must be inside the queue. */
  replace(index: number, record: MediaRecord): void {
    if (index < 0 || index >= this.#length) throw new RangeError(`no record at ${index}`)
    this.#slots[(this.#head + index) & (this.#slots.length - 1)] = record
  }

  /** Appends a record. */
  push(record: MediaRecord): void {
    if (this.#length === this.#slots.length) this.#resize(Math.max(initialCapacity, this.#length * 2))
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = record
    this.#length++
  }

  /** Takes the oldest record out. */
  shift(): MediaRecord | undefined {
    if (this.#length === 0) return undefined
    const record = this.#slots[this.#head]
    this.#slots[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#slots.length - 1)
    this.#length--
    if (this.#length === 0) this.clear()
    return record
  }

  /** Keeps the records for which `keep` holds, in order. `keep` is called once per record, oldest first. */
  retain(keep: (record: MediaRecord) => boolean): void {
    const mask = this.#slots.length - 1
    let kept = 0
    for (let i = 0; i < this.#length; i++) {
      const record = this.#slots[(this.#head + i) & mask]!
      if (!keep(record)) continue
      this.#slots[(this.#head + kept) & mask] = record
      kept++
    }
    for (let i = kept; i < this.#length; i++) this.#slots[(this.#head + i) & mask] = undefined
    this.#length = kept
    if (kept === 0) this.clear()
  }

  /** Forgets every record and the memory that held them. */
  clear(): void {
    this.#slots = []
    this.#head = 0
    this.#length = 0
  }

  #resize(capacity: number): void {
    const slots: Array<MediaRecord | undefined> = new Array(capacity).fill(undefined)
    for (let i = 0; i < this.#length; i++) slots[i] = this.at(i)
    this.#slots = slots
    this.#head = 0
  }
}
