/**
 * Command messages (RTMP 1.0 §7.1.1, §7.2): a name, a transaction id, a command object and arguments, in AMF0.
 *
 * This module turns payloads into `Command` values and back. What a command does is decided in `ServerCommands` and
 * `ClientSession`.
 *
 * **Gotchas**
 *
 * - A transaction id is any double, NaN included, and is answered bit for bit: its eight bytes are kept beside the
 *   number, and neither is ever used as an index.
 * - Type 17 (AMF3) carries one selector byte and then AMF0, in which each AMF3 value has a switch marker of its own
 *   (E-RTMP v2, AMF3 in RTMP). Replies in type 20 are understood by every client that sends type 17.
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import * as Amf0 from "./amf/Amf0.ts"
import type { AmfError, AmfLimits, AmfValue } from "./amf/AmfValue.ts"
import { commandLimits } from "./amf/AmfValue.ts"
import * as Bytes from "./Bytes.ts"
import * as Message from "./Message.ts"

/**
 * A decoded command.
 *
 * - `name`: the procedure, compared case-sensitively.
 * - `transactionId`: 0 where the sender gave none; `transactionIdBytes` are its eight bytes as they came.
 * - `object`: the command object, usually an object, an ECMA array or null; undefined where it is missing.
 * - `args`: what follows.
 */
export interface Command {
  readonly name: string
  readonly transactionId: number
  readonly transactionIdBytes: Uint8Array
  readonly object: AmfValue
  readonly args: ReadonlyArray<AmfValue>
}

/**
 * A command message that cannot be understood.
 *
 * `NotACommand` is harmless (the first value is no string, the body is empty, the AMF3 selector is unknown) and the
 * message is to be ignored; `Malformed` carries the AMF error and ends the connection.
 */
export class CommandError extends Data.TaggedError("CommandError")<{
  readonly reason: "NotACommand" | "Malformed"
  readonly cause?: AmfError
}> {
  override get message(): string {
    return this.cause === undefined ? "a command message without a command" : `malformed command: ${this.cause.message}`
  }
}

/** The eight bytes of transaction id 0, which asks for no answer. */
export const noTransaction: Uint8Array = new Uint8Array(8)

/**
 * Decodes the AMF0 values of a payload, as `Amf0.decode` and `AmfCodec` do. `required` values must be there, and bytes
 * behind them that are none may be ignored.
 */
export type DecodeValues = (
  bytes: Uint8Array,
  options: { readonly limits: AmfLimits; readonly offset: number; readonly required: number }
) => Result.Result<Array<AmfValue>, AmfError>

// Name, transaction id and command object. Arguments may be left out, and some clients send bytes behind the last one.
const requiredValues = 3

/** Decodes a command message of type 20 or 17. Bytes behind the last argument are ignored. */
export const decode = (
  message: Message.Message,
  limits: AmfLimits = commandLimits,
  decodeValues: DecodeValues = Amf0.decode
): Result.Result<Command, CommandError> => {
  const payload = message.payload
  let offset = 0
  if (message.typeId === Message.COMMAND_AMF3) {
    if (payload[0] !== 0) return Result.fail(new CommandError({ reason: "NotACommand" }))
    offset = 1
  }
  if (payload.length <= offset) return Result.fail(new CommandError({ reason: "NotACommand" }))
  const decoded = decodeValues(payload, { limits, offset, required: requiredValues })
  if (Result.isFailure(decoded)) return Result.fail(new CommandError({ reason: "Malformed", cause: decoded.failure }))
  const [name, transactionId, object, ...args] = decoded.success
  if (typeof name !== "string") return Result.fail(new CommandError({ reason: "NotACommand" }))
  const isNumber = typeof transactionId === "number"
  return Result.succeed({
    name,
    transactionId: isNumber ? transactionId : 0,
    transactionIdBytes: isNumber ? transactionIdBytes(payload, offset) : noTransaction,
    object,
    args
  })
}

/**
 * Encodes a command as a type 20 message.
 *
 * `transactionId` is a number, or the eight bytes of the request that this answers; `values` what comes after it, the
 * command object first, or the bytes of that in AMF0.
 */
export const encode = (options: {
  readonly name: string
  readonly transactionId: number | Uint8Array
  readonly values: ReadonlyArray<AmfValue> | Uint8Array
  readonly streamId: number
  readonly chunkStreamId?: number
}): Message.Message => {
  const { transactionId, values } = options
  const number = typeof transactionId === "number" ? transactionId : 0
  const encoded = values instanceof Uint8Array
  const head = Amf0.encode(encoded ? [options.name, number] : [options.name, number, ...values])
  const payload = encoded ? Bytes.concat([head, values]) : head
  if (typeof transactionId !== "number") payload.set(transactionId, transactionIdOffset(payload, 0))
  return {
    typeId: Message.COMMAND_AMF0,
    streamId: options.streamId,
    chunkStreamId: options.chunkStreamId ?? 3,
    timestamp: 0,
    payload
  }
}

/** The raw transaction id behind the name, which is a string (02) or a long string (0C). */
const transactionIdBytes = (payload: Uint8Array, offset: number): Uint8Array => {
  const start = transactionIdOffset(payload, offset)
  return payload.slice(start, start + 8)
}

const transactionIdOffset = (payload: Uint8Array, offset: number): number =>
  1 +
  (payload[offset] === 0x02 ? offset + 3 + Bytes.u16(payload, offset + 1) : offset + 5 + Bytes.u32(payload, offset + 1))
