/**
 * What a connection needs of the server around it, and what the server sees of its viewers. Types only.
 */
import type { Authenticator } from "../access/Authenticator.ts"
import type { Viewer } from "../live/Registry.ts"
import type { StreamRegistry } from "../live/StreamRegistry.ts"
import type { DeadlineWheel } from "./DeadlineWheel.ts"
import type { ServerEvent } from "./ServerEvents.ts"
import type { Turns } from "./Turns.ts"

/** What a connection uses of the server around it. */
export interface ConnectionEnvironment {
  readonly wheel: DeadlineWheel
  readonly turns: Turns
  /** Tells that a connection which is only being opened was served: what can wait for others waits a little longer. */
  readonly giveWay: () => void
  readonly registry: StreamRegistry["Service"]
  readonly authenticator: Authenticator["Service"]
  readonly emit: (event: ServerEvent) => void
  /** Keys that nobody may publish or play. */
  readonly disabled: ReadonlySet<string>
  /** Unsent bytes past which a viewer's connection is ended. Read anew each time, as the three below. */
  readonly maxBufferedBytes: () => number
  /** Whether a viewer may wait for a stream that nobody publishes yet. */
  readonly waitForPublisher: () => boolean
  /** Publications of all connections at the same time. */
  readonly maxPublishers: () => number
  /** Whether clients are being moved away: nothing begins any more, and nobody is waited for. */
  readonly isLeaving: () => boolean
  /** Keys of the streams that connections publish now; the connections keep it. */
  readonly publishing: Set<string>
  /** How many viewers a stream may have by the grant of its publisher, by its key; the connections make and keep it. */
  viewerLimits?: Map<string, number>
}

/** What a connection plays. */
export interface Playing {
  readonly streamKey: string
  readonly viewer: Viewer
}
