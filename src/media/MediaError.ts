/**
 * Why an audio, video or data payload cannot be understood: one closed set of reasons for the whole room.
 *
 * The parsers fail with a `MediaError`; `MediaFrame.classify`, which never fails, puts the same reason into its answer.
 * Neither is a reason to close a connection: the server drops the one message and the stream goes on.
 */
import * as Data from "effect/Data"

/**
 * The reasons.
 *
 * What the layout itself makes undecodable, and so a parser reports too:
 *
 * - `Empty`: a video or data message without a byte. (An empty audio message is legal: it means silence.)
 * - `Truncated`: a header, or a body of declared size, goes past the end of the message.
 * - `UnknownCodec`, `UnknownFourCc`, `UnknownFrameType`, `UnknownPacketType`, `UnknownCommand`: a value that no version
 *   of the specification defines there.
 * - `BadModEx`: a modifier that breaks its own rules, or more modifiers than `ExHeader.maxModEx`.
 * - `BadMultitrack`: a multitrack message inside another, or a reserved multitrack type.
 * - `TooManyTracks`: more tracks in one message than `ExHeader.maxTracks`.
 *
 * What is laid out well and still must not reach a player:
 *
 * - `EmptyHeader`, `EmptyFrame`: a sequence header, or a coded frame, without a body.
 * - `TooLarge`: a sequence header over `MediaFrame.maxHeaderBytes`, or metadata over `Metadata.maxMetadataBytes`.
 * - `BadChannels`: a MultichannelConfig that does not hold together.
 * - `NoHandler`: a data message that does not begin with a handler name.
 * - `BadAmf`: metadata that is cut off, nested too deep, or not AMF.
 * - `UnknownMessageType`: not an audio, video or data message.
 *
 * Only the parsers of codec configurations use the last one: `BadConfiguration`, a record that contradicts itself or its version.
 */
export type MediaReason =
  | "Empty"
  | "Truncated"
  | "UnknownCodec"
  | "UnknownFourCc"
  | "UnknownFrameType"
  | "UnknownPacketType"
  | "UnknownCommand"
  | "BadModEx"
  | "BadMultitrack"
  | "TooManyTracks"
  | "EmptyHeader"
  | "EmptyFrame"
  | "TooLarge"
  | "BadChannels"
  | "NoHandler"
  | "BadAmf"
  | "UnknownMessageType"
  | "BadConfiguration"

/** A payload that a parser of this room gave up on. `offset` is the byte offset from its start at which the parser stood. */
export class MediaError extends Data.TaggedError("MediaError")<{
  readonly reason: MediaReason
  readonly offset: number
}> {
  /** The reason and the place, in one line. */
  override get message(): string {
    return `${this.reason} at offset ${this.offset}`
  }
}
