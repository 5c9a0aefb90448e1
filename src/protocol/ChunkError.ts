/**
 * What can be wrong with a chunk stream.
 */
import * as Data from "effect/Data"
import type { Message } from "./Message.ts"

/**
 * Why a chunk stream cannot be read on, with what `ChunkError.value` says then.
 *
 * - `MessageTooLarge`: the announced payload length.
 * - `TooManyChunkStreams`: the id that came on top of the allowed number.
 * - `UninitialisedChunkStream`: the id of a chunk stream that starts with a type 2 or type 3 chunk. Mostly a sign that
 *   reader and sender are out of step.
 * - `InvalidChunkSize`: the announced size, 0 or above 0x7FFFFFFF.
 * - `ChunkSizeAbuse`: the chunk size in force.
 * - `ReassemblyLimit`: the payload bytes that would be held.
 * - `TooManyAnomalies`: their number.
 * - `InvalidControlMessage`: the type of a Set Chunk Size, Window Acknowledgement Size or Set Peer Bandwidth message with
 *   fewer than four bytes.
 * - `AlreadyFailed`: 0. The reader reported another error before.
 */
export type ChunkErrorReason =
  | "MessageTooLarge"
  | "TooManyChunkStreams"
  | "UninitialisedChunkStream"
  | "InvalidChunkSize"
  | "ChunkSizeAbuse"
  | "ReassemblyLimit"
  | "TooManyAnomalies"
  | "InvalidControlMessage"
  | "AlreadyFailed"

/**
 * A violation of the chunk stream protocol or of a limit. The reader that gave it is dead.
 *
 * `offset` counts bytes from the end of the handshake to the start of the chunk at fault; `value` depends on the reason;
 * `messages` were complete before the fault in the same push; `context` is the beginning of that chunk's header in
 * hexadecimal (at most 12 bytes, empty where there is none).
 */
export class ChunkError extends Data.TaggedError("ChunkError")<{
  readonly reason: ChunkErrorReason
  readonly offset: number
  readonly value: number
  readonly messages: ReadonlyArray<Message>
  readonly context?: string
}> {
  /** One line for logs. */
  override get message(): string {
    const where = `at byte ${this.offset}${this.context ? ` (${this.context})` : ""}`
    switch (this.reason) {
      case "MessageTooLarge":
        return `message of ${this.value} bytes is too large ${where}`
      case "TooManyChunkStreams":
        return `chunk stream ${this.value} is one too many ${where}`
      case "UninitialisedChunkStream":
        return `chunk stream ${this.value} not initialised ${where}`
      case "InvalidChunkSize":
        return `invalid chunk size ${this.value} ${where}`
      case "ChunkSizeAbuse":
        return `too many chunks of ${this.value} bytes ${where}`
      case "ReassemblyLimit":
        return `${this.value} bytes of unfinished messages ${where}`
      case "TooManyAnomalies":
        return `${this.value} messages cut short ${where}`
      case "InvalidControlMessage":
        return `control message of type ${this.value} is too short ${where}`
      case "AlreadyFailed":
        return `the chunk reader has failed before, bytes ${where} not read`
    }
  }
}
