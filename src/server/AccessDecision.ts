/**
 * What a connection asks the authenticator, and how it waits for the answer.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { AccessAction, AccessRequest } from "../access/Authenticator.ts"
import { AccessDenied, secretStream } from "../access/Authenticator.ts"
import * as RtmpUrl from "../protocol/RtmpUrl.ts"
import { SessionError, type SessionOutput } from "../protocol/Session.ts"
import type { Status, StatusCode } from "../protocol/Status.ts"
import * as StatusModule from "../protocol/Status.ts"
import type { Refusal } from "./Refusals.ts"
import type { Connection, TransportError } from "./Transport.ts"

/** A request of a session that waits for `accept` or `reject`. */
export type AccessQuestion = Extract<SessionOutput, { readonly requestId: number }>

/** A request to publish. */
export type PublishQuestion = Extract<AccessQuestion, { readonly _tag: "PublishRequested" }>

/** A request to play. */
export type PlayQuestion = Extract<AccessQuestion, { readonly _tag: "PlayRequested" }>

/** What a request asks for, in the authenticator's terms. `query` is secret. */
export const describe = (
  request: AccessQuestion
): {
  readonly action: AccessAction
  readonly application: string
  readonly stream: string
  readonly query: string
} => {
  switch (request._tag) {
    case "ConnectRequested":
      return { action: "connect", application: request.request.application, stream: "", query: request.request.query }
    case "PublishRequested":
      return { action: "publish", ...request.request }
    case "PlayRequested":
      return { action: "play", ...request.request }
  }
}

/** What is shown of the stream that was refused: the application alone for `connect`, and no name that may be a key. */
export const refusedKey = (
  { action, application, stream }: Pick<AccessRequest, "action" | "application" | "stream">,
  { isStreamSecret }: AccessDenied
): string =>
  action === "connect" ? application : RtmpUrl.streamKey(application, isStreamSecret === true ? secretStream : stream)

/** The status code of a refusal: those that make OBS give up at once instead of waiting for the connection to close. */
export const denialCode = (action: AccessAction): StatusCode => {
  switch (action) {
    case "connect":
      return "NetConnection.Connect.Rejected"
    case "publish":
      return "NetStream.Publish.Denied"
    case "play":
      return "NetStream.Play.Failed"
  }
}

/**
 * The status of a refusal. One that leads elsewhere is `NetConnection.Connect.Rejected` whatever was asked for: that is
 * where clients look for an address.
 */
export const denialStatus = (action: AccessAction, { description, redirect }: AccessDenied): Status =>
  redirect === undefined
    ? StatusModule.error(denialCode(action), description)
    : { ...StatusModule.error("NetConnection.Connect.Rejected", description), redirect }

/**
 * What becomes of a client that was refused: what it is told, and what the log says. Every login begins with two connections that
 * are closed because they do not know what to answer yet; that is no reason to warn of anybody.
 */
export const denial = (action: AccessAction, denied: AccessDenied): Refusal => ({
  status: denialStatus(action, denied),
  error:
    action === "connect" && denied.reason === "CredentialMissing"
      ? new SessionError({ reason: "LoginAsked", detail: "the client was asked to log in" })
      : new SessionError({ reason: "Rejected", detail: denied.description })
})

const decisionTimeout = "30 seconds"

const undecided = new AccessDenied({
  reason: "Unavailable",
  description: "Access could not be decided in time."
})

/** Gives up waiting for an answer after half a minute, as if it had been denied. */
export const timely = <A>(decision: Effect.Effect<A, AccessDenied>): Effect.Effect<A, AccessDenied> =>
  Effect.timeoutOrElse(decision, { duration: decisionTimeout, orElse: () => Effect.fail(undecided) })

// A client that pipelines sends connect, createStream and play, and perhaps its first media.
const maxAheadBytes = 64 * 1024

/**
 * Reads on while an answer is awaited, so that a client that leaves meanwhile is noticed and its question withdrawn.
 *
 * What arrives is kept, up to a bound; past it nothing is read, and TCP slows the client. One for a connection, made
 * when it first has to wait.
 */
export class ReadAhead {
  readonly #pull: Connection["pull"]
  #chunks: Array<Uint8Array> = []
  #bytes = 0
  /** A read that has begun and must not be lost: it is left running when the answer comes first. */
  #reading: Fiber.Fiber<Exit.Exit<ReadonlyArray<Uint8Array>, TransportError>> | undefined

  constructor(pull: Connection["pull"]) {
    this.#pull = pull
  }

  /** Whether nothing was read ahead that has not been taken. */
  get isEmpty(): boolean {
    return this.#chunks.length === 0 && this.#reading === undefined
  }

  /** What has been read ahead, or what comes next. */
  get next(): Connection["pull"] {
    return Effect.suspend(() => {
      if (this.#chunks.length > 0) {
        const chunks = this.#chunks
        this.#chunks = []
        this.#bytes = 0
        return Effect.succeed(chunks)
      }
      const reading = this.#reading
      if (reading === undefined) return this.#pull
      return Effect.flatMap(Fiber.join(reading), (exit) => {
        this.#reading = undefined
        return exit
      })
    })
  }

  /** Waits for `answer`, and reads meanwhile. Fails, and interrupts what gives the answer, when the client leaves. */
  during<A>(answer: Effect.Effect<A>): Effect.Effect<A, TransportError> {
    return Effect.raceFirst(answer, this.#watch)
  }

  get #watch(): Effect.Effect<never, TransportError> {
    const self = this
    return Effect.gen(function* () {
      while (self.#bytes < maxAheadBytes) {
        const exit = yield* Fiber.join(yield* self.#begin)
        self.#reading = undefined
        if (Exit.isFailure(exit)) return yield* Effect.failCause(exit.cause)
        for (const chunk of exit.value) {
          self.#chunks.push(chunk)
          self.#bytes += chunk.length
        }
      }
      return yield* Effect.never
    })
  }

  // Detached, because the race that it begins in may end before it does; it ends with the connection at the latest.
  get #begin(): Effect.Effect<Fiber.Fiber<Exit.Exit<ReadonlyArray<Uint8Array>, TransportError>>> {
    return Effect.uninterruptible(
      Effect.suspend(() =>
        this.#reading === undefined
          ? Effect.tap(Effect.forkDetach(Effect.exit(this.#pull)), (reading) =>
              Effect.sync(() => {
                this.#reading = reading
              })
            )
          : Effect.succeed(this.#reading)
      )
    )
  }
}
