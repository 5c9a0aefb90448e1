/**
 * Where the bytes of a viewer go, and what it is told: the end of a stream that is at a connection.
 *
 * An object with methods, not one with a closure for each: a server has thousands of them.
 */

import type { Viewer } from "../live/Registry.ts"
import type { BatchLane, DropReport, EndReason, OverflowReason, ViewerSink } from "../live/ViewerSink.ts"
import type { Session, SessionOutput } from "../protocol/Session.ts"
import { SessionError } from "../protocol/Session.ts"
import type { ConnectionEnvironment } from "./ConnectionEnvironment.ts"
import { endError } from "./Errors.ts"
import type { Connection } from "./Transport.ts"
import * as ViewerLimits from "./ViewerLimits.ts"

/** The connection that plays. */
export interface Host {
  readonly id: string
  readonly transport: Connection
  readonly session: Session
}

/** What a viewer does to its connection. One object serves all connections, and is told which. */
export interface Hosting<H extends Host> {
  /** What is to be written instead of `bytes`, so that replies which wait go out before them. */
  readonly before: (host: H, bytes: Uint8Array) => Uint8Array
  /** Does what the session put out. */
  readonly apply: (host: H, outputs: ReadonlyArray<SessionOutput>) => void
  /** Answers the request to play. */
  readonly accept: (host: H, requestId: number) => void
  /** The viewer of a message stream has ended by itself. */
  readonly forget: (host: H, streamId: number) => void
  /** Ends a connection that holds more unsent bytes than one viewer may. */
  readonly overflow: (host: H, streamKey: string) => void
  /** Ends one viewer because its stream has as many as it may. */
  readonly turnOut: (host: H, streamId: number) => void
  /** Runs what is called from outside of the connection's fiber; a defect ends the connection. */
  readonly guard: (host: H, run: () => void) => void
}

/** What was asked for: which stream, on which message stream, by which request of the session. */
export interface Asked {
  readonly streamKey: string
  readonly streamId: number
  readonly requestId: number
}

/** The sink of one viewer. */
export interface PlayerSink extends ViewerSink {
  /** The viewer, set as soon as there is one: it may be started before that. */
  viewer: Viewer | undefined
  /** Answers the request to play, unless it was answered when the viewer was started. */
  readonly accept: () => void
}

/** Makes the sink of a viewer. */
export const make = <H extends Host>(
  host: H,
  hosting: Hosting<H>,
  environment: ConnectionEnvironment,
  asked: Asked
): PlayerSink => new Sink(host, hosting, environment, asked)

class Sink<H extends Host> implements PlayerSink {
  readonly lane: BatchLane | undefined
  viewer: Viewer | undefined
  #accepted = false
  readonly #host: H
  readonly #hosting: Hosting<H>
  readonly #environment: ConnectionEnvironment
  readonly #asked: Asked
  /** From when on the viewer waits for its first bytes; below zero once it has them. */
  #joiningSinceMs: number

  constructor(host: H, hosting: Hosting<H>, environment: ConnectionEnvironment, asked: Asked) {
    this.lane = host.transport.lane
    this.#host = host
    this.#hosting = hosting
    this.#environment = environment
    this.#asked = asked
    this.#joiningSinceMs = environment.wheel.nowMs()
  }

  write(piece: Uint8Array): boolean {
    // In the order of their making: what was said of the stream goes out before it.
    const bytes = this.#hosting.before(this.#host, piece)
    if (this.#joiningSinceMs >= 0) {
      const { registry, wheel } = this.#environment
      registry.meters.joinTime.observe(wheel.nowMs() - this.#joiningSinceMs)
      this.#joiningSinceMs = -1
    }
    if (this.#host.transport.write(bytes)) return true
    this.onFull()
    return false
  }

  /** Closer to the socket than `write`: what it touches besides is what fan-out costs. */
  writeBatch(bytes: Uint8Array): boolean {
    return this.#host.transport.write(bytes)
  }

  onFull(): void {
    if (this.#host.transport.bufferedBytes() > this.#environment.maxBufferedBytes()) {
      this.#hosting.overflow(this.#host, this.#asked.streamKey)
    } else this.whenDrained()
  }

  full(): boolean {
    return this.#host.transport.bufferedBytes() > 0
  }

  whenDrained(): void {
    this.#host.transport.onDrain(() => this.#drained())
  }

  later(): void {
    this.#environment.turns.later(() => this.#drained())
  }

  #drained(): void {
    this.#hosting.guard(this.#host, () => this.viewer?.drained(this.#environment.wheel.nowMs()))
  }

  onStart(): void {
    if (!this.#accepted) {
      // The stream is live: the replies go out before its first bytes, which follow this call.
      this.accept()
      return
    }
    // It has waited for its publisher until now: that is not the time that joining takes.
    const { registry, turns, wheel } = this.#environment
    this.#joiningSinceMs = wheel.nowMs()
    const viewers = registry.get(this.#asked.streamKey)?.viewers ?? 0
    if (viewers > ViewerLimits.of(this.#environment, this.#asked.streamKey)) {
      const turnOut = (): void => this.#hosting.turnOut(this.#host, this.#asked.streamId)
      turns.later(() => this.#hosting.guard(this.#host, turnOut))
    }
    this.onResume()
  }

  accept(): void {
    if (this.#accepted) return
    this.#accepted = true
    this.#hosting.accept(this.#host, this.#asked.requestId)
  }

  onDry(): void {
    this.#hosting.apply(this.#host, this.#host.session.streamDry(this.#asked.streamId))
  }

  onResume(): void {
    this.#hosting.apply(this.#host, this.#host.session.publishNotify(this.#asked.streamId))
  }

  onEnd(reason: EndReason): void {
    this.#hosting.forget(this.#host, this.#asked.streamId)
    this.#hosting.apply(
      this.#host,
      this.#host.session.endPlay(this.#asked.streamId, endError(reason, this.#asked.streamKey))
    )
  }

  onOverflow(reason: OverflowReason): void {
    const host = this.#host
    this.#hosting.forget(host, this.#asked.streamId)
    if (reason !== "Stalled") {
      this.#hosting.overflow(host, this.#asked.streamKey)
      return
    }
    const detail = `the viewer of ${this.#asked.streamKey} does not read`
    this.#hosting.apply(host, host.session.abort(new SessionError({ reason: "OutboxStalled", detail })))
    host.transport.destroy()
  }

  onDrops(drops: DropReport): void {
    const { id, transport } = this.#host
    this.#environment.emit({
      _tag: "FramesDropped",
      connectionId: id,
      remote: transport.remote,
      streamKey: this.#asked.streamKey,
      drops
    })
  }
}
