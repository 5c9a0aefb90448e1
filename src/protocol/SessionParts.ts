/**
 * What a server session is made of, and what it waits for.
 */
import type { ChunkReader } from "./ChunkReader.ts"
import type { ChunkWriter } from "./ChunkWriter.ts"
import type * as Command from "./Command.ts"
import type { ServerHandshake } from "./Handshake.ts"
import type { CommandHandlers } from "./ServerCommands.ts"
import type { ConnectRequest, StreamRequest } from "./Session.ts"

/** The exchangeable parts of a session, fresh for each connection where they hold state. */
export interface SessionParts {
  readonly handshake: ServerHandshake
  readonly reader: ChunkReader
  readonly writer: ChunkWriter
  readonly decodeCommand: Command.DecodeValues
  readonly commands: CommandHandlers
}

/** A decision that a session waits for. */
export type PendingRequest =
  | {
      readonly _tag: "Connect"
      readonly id: number
      readonly transaction: Uint8Array
      readonly request: ConnectRequest
    }
  | { readonly _tag: "Publish"; readonly id: number; readonly request: StreamRequest }
  | { readonly _tag: "Play"; readonly id: number; readonly request: StreamRequest }
