/**
 * One connection: bytes from the transport go into the session, and its outputs go where they belong: back to the
 * peer, to the stream that it publishes, or to whoever decides.
 *
 * The fiber of a connection opens, authorises and closes. Media does not pass through it: a publisher's read is parsed
 * and published in one synchronous call, and a viewer's bytes are written by the stream that it watches.
 *
 * Closing is a half-close: what was queued is sent, then the end of the stream, and the fiber goes on reading and
 * dropping until the peer has closed too, within bounds of time and bytes. Otherwise the kernel would answer unread
 * bytes with a reset that can overtake an error status which the peer has not read yet.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { AccessDenied, AccessGrant } from "../access/Authenticator.ts"
import type { ViewerSink } from "../live/Outbox.ts"
import type { Publication, Viewer } from "../live/Registry.ts"
import type { CloseReason } from "../observability/CloseReason.ts"
import * as Bytes from "../protocol/Bytes.ts"
import * as RtmpUrl from "../protocol/RtmpUrl.ts"
import type { CloseError, Session, SessionOutput, StreamRequest } from "../protocol/Session.ts"
import { SessionError } from "../protocol/Session.ts"
import type { Status } from "../protocol/Status.ts"
import * as StatusModule from "../protocol/Status.ts"
import type { AccessQuestion } from "./AccessDecision.ts"
import * as AccessDecision from "./AccessDecision.ts"
import { Closing } from "./Closing.ts"
import type { ConnectionEnvironment, Playing } from "./ConnectionEnvironment.ts"
import type { Deadline } from "./DeadlineWheel.ts"
import { closeReason, endError } from "./Errors.ts"
import * as Refusals from "./Refusals.ts"
import type { ConnectionTotals } from "./ServerEvents.ts"
import type { Connection, TransportError } from "./Transport.ts"

// Streams that one connection may wait for: all connections together have a limited number of places to wait.
const maxWaiting = 2

// Replies that a client asked for and does not read. Media has bounds of its own.
const maxUnreadReplyBytes = 256 * 1024

/** A connection as the server sees it. */
export class RtmpConnection implements Deadline {
  /** The identifier that log lines and events carry. */
  readonly id: string
  /** The bytes underneath. */
  readonly transport: Connection
  /** The protocol state. */
  readonly session: Session
  readonly #environment: ConnectionEnvironment
  readonly #openedMs: number
  readonly #publications = new Map<number, Publication>()
  readonly #viewers = new Map<number, Playing>()
  /** Without what its present viewers were given, which they count themselves. */
  #bytesSent = 0
  #unreadReplyBytes = 0
  #replies: Array<Uint8Array> = []
  #holdsReplies = false
  #closing: Closing | undefined
  #ahead: AccessDecision.ReadAhead | undefined
  #defect: Cause.Cause<never> | undefined

  constructor(id: string, transport: Connection, session: Session, environment: ConnectionEnvironment) {
    this.id = id
    this.transport = transport
    this.session = session
    this.#environment = environment
    this.#openedMs = environment.wheel.nowMs()
  }

  /** Serves the connection to its end. It never fails: a defect ends this connection alone. */
  get run(): Effect.Effect<void> {
    return Effect.onExit(this.#serve, (exit) => Effect.sync(() => this.#finish(exit))).pipe(
      Effect.catchCause(() => Effect.void)
    )
  }

  get #serve(): Effect.Effect<never, TransportError> {
    const self = this
    return Effect.gen(function* () {
      self.#environment.wheel.schedule(self)
      self.#environment.emit({ _tag: "ConnectionOpened", connectionId: self.id, remote: self.transport.remote })
      while (true) {
        const chunks = yield* self.#ahead === undefined ? self.transport.pull : self.#ahead.next
        for (let i = 0; i < chunks.length; i++) {
          self.#holdsReplies = true
          let request = self.#receive(chunks[i]!)
          while (request !== undefined) {
            yield* self.#decide(request)
            request = self.#apply(self.session.resume(self.#environment.wheel.nowMs()))
          }
          self.#releaseReplies()
        }
      }
    })
  }

  #receive(bytes: Uint8Array): AccessQuestion | undefined {
    if (this.#closing === undefined) {
      if (this.#publications.size === 0 && this.#viewers.size === 0) this.#environment.giveWay()
      return this.#apply(this.session.receive(bytes, this.#environment.wheel.nowMs()))
    }
    if (this.#closing.received(bytes.length, this.#environment.wheel.nowMs())) this.transport.destroy()
    return undefined
  }

  /** Does what a session put out; gives back the request that it waits for, if any. */
  #apply(outputs: ReadonlyArray<SessionOutput>): AccessQuestion | undefined {
    let request: AccessQuestion | undefined
    for (let i = 0; i < outputs.length; i++) {
      const output = outputs[i]!
      switch (output._tag) {
        case "Media":
          this.#publications.get(output.streamId)?.publish(output.message, this.#environment.wheel.nowMs())
          break
        case "Send":
          this.#send(output.bytes)
          break
        case "ConnectRequested":
        case "PublishRequested":
        case "PlayRequested":
          request = output
          break
        case "PublishEnded":
          this.#endPublication(output.streamId, "unpublish")
          break
        case "PlayEnded":
          this.#endViewer(output.streamId)
          break
        case "PlayChanged":
          this.#change(output)
          break
        case "HandshakeCompleted":
          this.#environment.emit({
            _tag: "HandshakeCompleted",
            connectionId: this.id,
            remote: this.transport.remote,
            kind: output.kind,
            echoMatches: output.echoMatches
          })
          break
        case "Anomaly":
          this.#environment.emit({
            _tag: "Anomaly",
            connectionId: this.id,
            remote: this.transport.remote,
            kind: output.kind,
            detail: output.detail
          })
          break
        case "Close":
          this.#close(output.error)
          break
      }
    }
    return request
  }

  #send(bytes: Uint8Array): void {
    if (this.#holdsReplies) this.#replies.push(bytes)
    else this.#write(bytes)
  }

  /** Writes the replies that one read has caused, together: a client that pipelines its commands gets one segment. */
  #releaseReplies(): void {
    this.#holdsReplies = false
    const replies = this.#replies
    if (replies.length === 0) return
    this.#replies = []
    this.#write(replies.length === 1 ? replies[0]! : Bytes.concat(replies))
  }

  #write(bytes: Uint8Array): void {
    this.#bytesSent += bytes.length
    if (this.transport.write(bytes)) {
      this.#unreadReplyBytes = 0
      return
    }
    // Some transports never take bytes at once: what was written before this has gone if nothing else waits.
    if (this.transport.bufferedBytes() <= bytes.length) this.#unreadReplyBytes = 0
    this.#unreadReplyBytes += bytes.length
    if (this.#unreadReplyBytes > maxUnreadReplyBytes) {
      this.#apply(
        this.session.abort(
          new SessionError({ reason: "LimitReached", detail: "the client asks and does not read the answers" })
        )
      )
      this.transport.destroy()
    }
  }

  /** Asks whether a request is allowed, and answers it. */
  #decide(request: AccessQuestion): Effect.Effect<void, TransportError> {
    const { action, application, query, stream } = AccessDecision.describe(request)
    const decision = this.#environment.authenticator.authorize({
      action,
      application,
      stream,
      query,
      tcUrl:
        request._tag === "ConnectRequested" ? request.request.tcUrl : (this.session.statistics.connect?.tcUrl ?? ""),
      remoteAddress: this.transport.remote.host,
      connectionId: this.id
    })
    // An answer that is there already, as on an open server, needs no timer; for any other nobody's replies wait.
    if (Exit.isExit(decision)) {
      return Effect.match(decision as Effect.Effect<AccessGrant, AccessDenied>, {
        onSuccess: (grant) => this.#granted(request, grant),
        onFailure: (denied) => this.#denied(request, denied)
      })
    }
    this.#releaseReplies()
    this.#ahead ??= new AccessDecision.ReadAhead(this.transport.pull)
    return Effect.map(this.#ahead.during(Effect.result(AccessDecision.timely(decision))), (answer) => {
      if (Result.isSuccess(answer)) this.#granted(request, answer.success)
      else this.#denied(request, answer.failure)
    })
  }

  #denied(request: AccessQuestion, denied: AccessDenied): void {
    const { action, application, stream } = AccessDecision.describe(request)
    this.#environment.emit({
      _tag: "AccessRefused",
      connectionId: this.id,
      remote: this.transport.remote,
      action,
      streamKey: RtmpUrl.streamKey(application, stream),
      reason: denied.reason
    })
    this.#refuse(request.requestId, StatusModule.error(AccessDecision.denialCode(action), denied.description))
  }

  #refuse(requestId: number, status: Status, error?: SessionError): void {
    this.#apply(this.session.reject(requestId, status, this.#environment.wheel.nowMs(), error))
  }

  #granted(request: AccessQuestion, grant: AccessGrant): void {
    // The client may have been closed while the answer was on its way.
    if (this.#closing !== undefined) return
    switch (request._tag) {
      case "ConnectRequested":
        this.#environment.emit({
          _tag: "ClientConnected",
          connectionId: this.id,
          remote: this.transport.remote,
          application: request.request.application,
          flashVer: request.request.flashVer
        })
        this.#accept(request.requestId)
        break
      case "PublishRequested":
        this.#startPublication(request.requestId, request.request, grant)
        break
      case "PlayRequested":
        this.#startViewer(request.requestId, request.request)
        break
    }
  }

  #accept(requestId: number): void {
    this.#apply(this.session.accept(requestId, this.#environment.wheel.nowMs()))
  }

  #startPublication(requestId: number, request: StreamRequest, grant: AccessGrant): void {
    const environment = this.#environment
    const key = RtmpUrl.streamKey(request.application, request.stream)
    const refusal = Refusals.publish(environment, key)
    if (refusal !== undefined) {
      this.#refuse(requestId, refusal.status, refusal.error)
      return
    }
    const claim = environment.registry.claim(key, {
      publisherId: this.id,
      credential: grant.credential,
      nowMs: environment.wheel.nowMs(),
      onTakenOver: () => this.#kickPublisher(request.streamId, "TakenOver", "Another publisher took this stream over.")
    })
    if (Result.isFailure(claim)) {
      const detail = `${request.stream} is already being published.`
      const reason = claim.failure.reason === "Closed" ? "ServerStopping" : "PublishConflict"
      this.#refuse(
        requestId,
        StatusModule.error("NetStream.Publish.BadName", detail),
        new SessionError({ reason, detail: `${key}: ${claim.failure.message}` })
      )
      return
    }
    this.#publications.set(request.streamId, claim.success)
    environment.publishing.add(claim.success.stream.key)
    this.#accept(requestId)
    this.#environment.emit({
      _tag: "PublishStarted",
      connectionId: this.id,
      remote: this.transport.remote,
      streamKey: key
    })
  }

  #endPublication(streamId: number, how: "unpublish" | "vanish"): void {
    const publication = this.#publications.get(streamId)
    if (publication === undefined) return
    this.#publications.delete(streamId)
    this.#environment.publishing.delete(publication.stream.key)
    // Nobody can come back to a server that moves its clients away.
    const end = this.#environment.isLeaving() ? "unpublish" : how
    publication[end](this.#environment.wheel.nowMs())
    this.#environment.emit({
      _tag: "PublishStopped",
      connectionId: this.id,
      remote: this.transport.remote,
      streamKey: publication.stream.key
    })
  }

  #kickPublisher(
    streamId: number,
    reason: "TakenOver" | "Kicked" | "ServerStopping" | "LimitReached",
    detail: string
  ): void {
    this.#endPublication(streamId, "unpublish")
    this.#apply(
      this.session.kick(
        streamId,
        // The one error status in mid-stream that makes FFmpeg stop at once; the others stop when the connection closes.
        StatusModule.error("NetStream.Publish.Denied", detail),
        new SessionError({ reason, detail })
      )
    )
  }

  #startViewer(requestId: number, request: StreamRequest): void {
    const { registry, waitForPublisher, wheel } = this.#environment
    const key = RtmpUrl.streamKey(request.application, request.stream)
    const { streamId } = request
    const refusal = Refusals.play(this.#environment, key)
    if (refusal !== undefined) {
      this.#refuse(requestId, refusal.status, refusal.error)
      return
    }
    let accepted = false
    let viewing: Viewer | undefined
    /** From when on the viewer waits for its first bytes; below zero once it has them. */
    let joiningSinceMs = wheel.nowMs()
    const drained = (): void => this.#guard(() => viewing?.drained(wheel.nowMs()))
    const onFull = (): void => {
      if (this.transport.bufferedBytes() > this.#environment.maxBufferedBytes()) this.#overflow(key)
      else this.transport.onDrain(drained)
    }
    const sink: ViewerSink = {
      write: (bytes) => {
        // In the order in which they were made: what was said of the stream goes out before the stream.
        if (this.#replies.length > 0) this.#releaseReplies()
        if (joiningSinceMs >= 0) {
          registry.meters.joinTime.observe(wheel.nowMs() - joiningSinceMs)
          joiningSinceMs = -1
        }
        if (this.transport.write(bytes)) return true
        onFull()
        return false
      },
      // Closer to the socket than `write`: what it touches besides is what fan-out costs.
      writeBatch: this.transport.write,
      onFull,
      full: () => this.transport.bufferedBytes() > 0,
      whenDrained: () => this.transport.onDrain(drained),
      later: () => this.#environment.turns.later(drained),
      onStart: () => {
        if (accepted) {
          // It has waited for its publisher until now: that is not the time that joining takes.
          joiningSinceMs = wheel.nowMs()
          this.#apply(this.session.publishNotify(streamId))
        } else {
          // The stream is live: the replies go out before its first bytes, which follow this call.
          accepted = true
          this.#accept(requestId)
        }
      },
      onDry: () => {
        this.#apply(this.session.streamDry(streamId))
      },
      onResume: () => {
        this.#apply(this.session.publishNotify(streamId))
      },
      onEnd: (reason) => {
        this.#forgetViewer(streamId)
        this.#apply(this.session.endPlay(streamId, endError(reason, key)))
      },
      onOverflow: (reason) => {
        this.#forgetViewer(streamId)
        if (reason !== "Stalled") return this.#overflow(key)
        const detail = `the viewer of ${key} does not read`
        this.#apply(this.session.abort(new SessionError({ reason: "OutboxStalled", detail })))
        this.transport.destroy()
      },
      onDrops: (drops) => {
        const { remote } = this.transport
        this.#environment.emit({ _tag: "FramesDropped", connectionId: this.id, remote, streamKey: key, drops })
      }
    }
    const viewer = registry.subscribe(key, {
      sink,
      nowMs: wheel.nowMs(),
      messageStreamId: streamId,
      waitForPublisher: waitForPublisher() && this.#waiting < maxWaiting
    })
    if (Result.isFailure(viewer)) {
      const detail = `${request.stream} is not being published.`
      this.#refuse(
        requestId,
        StatusModule.error("NetStream.Play.StreamNotFound", detail),
        new SessionError({ reason: "StreamNotFound", detail: `${key}: ${viewer.failure.message}` })
      )
      return
    }
    viewing = viewer.success
    this.#viewers.set(streamId, { streamKey: key, viewer: viewing })
    if (!accepted) {
      accepted = true
      this.#accept(requestId)
    }
    this.#environment.emit({
      _tag: "PlayStarted",
      connectionId: this.id,
      remote: this.transport.remote,
      streamKey: key
    })
  }

  /** Ends a connection that holds more unsent bytes than one viewer may, whatever they are. */
  #overflow(key: string): void {
    const detail = `the viewer of ${key} is too slow for the stream`
    this.#apply(this.session.abort(new SessionError({ reason: "OutboxOverflow", detail })))
    this.transport.destroy()
  }

  /** Streams that this connection waits for. */
  get #waiting(): number {
    let count = 0
    for (const { viewer } of this.#viewers.values()) if (!viewer.started) count++
    return count
  }

  #endViewer(streamId: number): void {
    const playing = this.#viewers.get(streamId)
    if (playing === undefined) return
    playing.viewer.leave(this.#environment.wheel.nowMs())
    this.#forgetViewer(streamId)
  }

  #forgetViewer(streamId: number): void {
    this.#bytesSent += this.#viewers.get(streamId)?.viewer.statistics().bytes ?? 0
    this.#viewers.delete(streamId)
  }

  #change(output: Extract<SessionOutput, { readonly _tag: "PlayChanged" }>): void {
    const viewer = this.#viewers.get(output.streamId)?.viewer
    if (viewer === undefined) return
    if (output.what === "pause") viewer.pause(output.value)
    else if (output.what === "audio") viewer.receiveAudio(output.value)
    else viewer.receiveVideo(output.value)
  }

  /**
   * Ends the connection in order, as when the server stops: viewers are told the end, publishers get an error status.
   * Does nothing for one that is being closed already.
   */
  shutdown(reason: "ServerStopping" | "Kicked", detail: string): void {
    if (this.#closing !== undefined) return
    this.#guard(() => {
      for (const streamId of [...this.#publications.keys()]) this.#kickPublisher(streamId, reason, detail)
      for (const streamId of [...this.#viewers.keys()]) this.#kickViewer(streamId, reason, detail)
      this.#apply(this.session.abort(new SessionError({ reason, detail })))
    })
  }

  /**
   * Ends what the connection publishes or plays of one stream, as `shutdown` does, and itself where that was all. Gives
   * back whether there was anything.
   */
  leave(streamKey: string, reason: "Kicked" | "LimitReached", detail: string): boolean {
    const publishes = [...this.#publications].filter(([, { stream }]) => stream.key === streamKey)
    const plays = [...this.#viewers].filter(([, playing]) => playing.streamKey === streamKey)
    this.#guard(() => {
      for (const [streamId] of publishes) this.#kickPublisher(streamId, reason, detail)
      for (const [streamId] of plays) this.#kickViewer(streamId, reason, detail)
    })
    return publishes.length + plays.length > 0
  }

  #kickViewer(streamId: number, reason: "ServerStopping" | "Kicked" | "LimitReached", detail: string): void {
    this.#endViewer(streamId)
    this.#apply(this.session.endPlay(streamId, new SessionError({ reason, detail })))
  }

  /**
   * Asks the client to go on elsewhere: see `Session.requestReconnect`. Gives back whether it understands that.
   */
  requestReconnect(tcUrl: string, description: string): boolean {
    if (!this.session.canReconnect) return false
    this.#guard(() => this.#apply(this.session.requestReconnect(tcUrl, description)))
    return true
  }

  /** Keys of the streams that it publishes. */
  get publishing(): ReadonlyArray<string> {
    return Array.from(this.#publications.values(), ({ stream }) => stream.key)
  }

  /** What it plays, or waits for. */
  get playing(): ReadonlyArray<Playing> {
    return [...this.#viewers.values()]
  }

  /** When it was opened, in the wheel's milliseconds. */
  get openedMs(): number {
    return this.#openedMs
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.transport.destroy()
  }

  /** Counters, for statistics and the closing log line. */
  get totals(): ConnectionTotals {
    let bytesSent = this.#bytesSent
    for (const { viewer } of this.#viewers.values()) bytesSent += viewer.statistics().bytes
    return {
      bytesReceived: this.session.statistics.bytesReceived,
      bytesSent,
      durationMs: Math.round(this.#environment.wheel.nowMs() - this.#openedMs)
    }
  }

  /** The next time at which the session, or the closing of the connection, has something due. */
  nextDeadlineMs(): number {
    return this.#closing === undefined ? this.session.nextDeadlineMs() : this.#closing.untilMs
  }

  /** Does what is due. */
  tick(nowMs: number): void {
    if (this.#closing === undefined) this.#guard(() => this.#apply(this.session.tick(nowMs)))
    else {
      this.#closing.untilMs = Number.POSITIVE_INFINITY
      this.transport.destroy()
    }
  }

  #close(error: CloseError): void {
    if (this.#closing !== undefined) return
    this.#releaseReplies()
    const { stage } = this.session
    this.#closing = new Closing(error, stage === "Publishing", this.#environment.wheel.nowMs())
    this.#release()
    if (error._tag === "HandshakeError" || stage === "WaitingC0" || stage === "WaitingC1" || stage === "WaitingC2") {
      // Nothing was promised yet, and nothing is worth waiting for.
      this.transport.destroy()
      return
    }
    this.transport.end()
    this.#environment.wheel.schedule(this)
  }

  /** Runs what is called from outside of the fiber: what it throws ends this connection, as a defect of the fiber does. */
  #guard(run: () => void): void {
    try {
      run()
    } catch (defect) {
      this.#defect ??= Cause.die(defect)
      this.transport.destroy()
    }
  }

  #release(): void {
    // A publisher whose connection ended without a word may come back: its viewers wait for it.
    for (const streamId of [...this.#publications.keys()]) this.#endPublication(streamId, "vanish")
    for (const streamId of [...this.#viewers.keys()]) this.#endViewer(streamId)
  }

  #finish(exit: Exit.Exit<never, TransportError>): void {
    this.#environment.wheel.cancel(this)
    this.session.disconnect()
    this.#release()
    this.transport.destroy()
    const { detail, reason } = this.#verdict(exit)
    const error = this.#closing?.error
    this.#environment.emit({
      _tag: "ConnectionClosed",
      connectionId: this.id,
      remote: this.transport.remote,
      reason,
      detail,
      stage: error?._tag === "HandshakeError" ? error.stage : this.session.stage,
      totals: this.totals
    })
  }

  #verdict(exit: Exit.Exit<never, TransportError>): { readonly reason: CloseReason; readonly detail: string } {
    if (this.#defect !== undefined) return { reason: "Defect", detail: Cause.pretty(this.#defect) }
    if (this.#closing !== undefined) {
      return { reason: closeReason(this.#closing.error), detail: this.#closing.error.message }
    }
    if (Exit.isFailure(exit)) {
      const failure = Cause.findError(exit.cause)
      if (Result.isSuccess(failure)) {
        return { reason: closeReason(failure.success), detail: failure.success.message }
      }
      if (!Cause.hasInterruptsOnly(exit.cause)) {
        return { reason: "Defect", detail: Cause.pretty(exit.cause) }
      }
    }
    return { reason: "ServerStopping", detail: "the server stopped" }
  }
}
