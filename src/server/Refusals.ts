/**
 * What a server refuses by itself, whoever asks: disabled streams, too many publishers, streams that are taken or not there,
 * anything while it empties.
 */
import type { PublishConflict } from "../live/Registry.ts"
import { SessionError } from "../protocol/Session.ts"
import type { Status } from "../protocol/Status.ts"
import * as StatusModule from "../protocol/Status.ts"
import * as ViewerLimits from "./ViewerLimits.ts"

/** What refusals depend on: a part of the environment of a connection. */
export interface RefusalState {
  readonly disabled: ReadonlySet<string>
  readonly maxPublishers: () => number
  readonly isLeaving: () => boolean
  readonly publishing: ReadonlySet<string>
  readonly viewerLimits?: ReadonlyMap<string, number>
}

/** A refusal: what the client is told, and what the log says. */
export interface Refusal {
  readonly status: Status
  readonly error: SessionError
}

// Of the codes that make OBS stop at once, the one that FFmpeg and GStreamer report as a matter of permission.
const denied = (description: string): Status => StatusModule.error("NetStream.Publish.Denied", description)

/** Why nobody may publish a stream now; undefined where somebody may. */
export const publish = (state: RefusalState, key: string): Refusal | undefined => {
  if (state.isLeaving()) {
    return {
      status: denied("The server takes no more streams."),
      error: new SessionError({ reason: "ServerStopping", detail: `${key}: clients are being moved away` })
    }
  }
  if (state.disabled.has(key)) {
    return {
      status: denied("This stream is disabled."),
      error: new SessionError({ reason: "Rejected", detail: `${key} is disabled` })
    }
  }
  const max = state.maxPublishers()
  // Whoever takes over, or comes back before the old connection is gone, takes a place that is taken already.
  if (state.publishing.size >= max && !state.publishing.has(key)) {
    return {
      // As above, except that nothing is wrong with the permission.
      status: StatusModule.error("NetStream.Publish.Rejected", "The server has as many publishers as it takes."),
      error: new SessionError({ reason: "LimitReached", detail: `${key}: limits.maxPublishers (${max}) is reached` })
    }
  }
  return undefined
}

/** Why nobody may play a stream now, which has so many viewers; undefined where somebody may. */
export const play = (state: RefusalState, key: string, viewers: number): Refusal | undefined => {
  if (viewers >= ViewerLimits.of(state, key)) {
    return {
      status: StatusModule.error("NetStream.Play.Failed", ViewerLimits.description),
      error: new SessionError({ reason: "LimitReached", detail: `${key} has as many viewers as its publisher may` })
    }
  }
  if (!state.isLeaving() && !state.disabled.has(key)) return undefined
  return {
    status: StatusModule.error("NetStream.Play.StreamNotFound", "This stream is not available."),
    error: state.isLeaving()
      ? new SessionError({ reason: "ServerStopping", detail: `${key}: clients are being moved away` })
      : new SessionError({ reason: "Rejected", detail: `${key} is disabled` })
  }
}

/** What a publisher is told whose stream the registry does not give away. `name` is what the client calls it. */
export const notClaimed = (key: string, name: string, { message, reason }: PublishConflict): Refusal => ({
  status: StatusModule.error("NetStream.Publish.BadName", `${name} is already being published.`),
  error: new SessionError({
    reason: reason === "Closed" ? "ServerStopping" : "PublishConflict",
    detail: `${key}: ${message}`
  })
})

/** What a viewer is told whose stream is not there. `name` is what the client calls it. */
export const notFound = (key: string, name: string, { message }: Error): Refusal => ({
  status: StatusModule.error("NetStream.Play.StreamNotFound", `${name} is not being published.`),
  error: new SessionError({ reason: "StreamNotFound", detail: `${key}: ${message}` })
})
