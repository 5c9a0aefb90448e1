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
import type { AccessDenied, AccessGrant, AccessRequest } from "../access/Authenticator.ts"
import type { Publication } from "../live/Registry.ts"
import * as RtmpUrl from "../protocol/RtmpUrl.ts"
import type { CloseError, Session, SessionOutput } from "../protocol/Session.ts"
import { SessionError } from "../protocol/Session.ts"
import * as StatusModule from "../protocol/Status.ts"
import type { AccessQuestion } from "./AccessDecision.ts"
import * as AccessDecision from "./AccessDecision.ts"
import { Closing } from "./Closing.ts"
import { ConnectionAccess, streamOf } from "./ConnectionAccess.ts"
import type { ConnectionEnvironment, Playing } from "./ConnectionEnvironment.ts"
import type { Deadline } from "./DeadlineWheel.ts"
import * as PlayerSink from "./PlayerSink.ts"
import * as Refusals from "./Refusals.ts"
import { Replies } from "./Replies.ts"
import type { ConnectionTotals } from "./ServerEvents.ts"
import type { Connection, TransportError } from "./Transport.ts"
import * as Verdict from "./Verdict.ts"
import * as ViewerLimits from "./ViewerLimits.ts"

// Streams that one connection may wait for: all connections together have a limited number of places to wait.
const maxWaiting = 2

// Shared by all who publish nothing, and never written to.
const noPublications = new Map<number, Publication>()

/** A connection as the server sees it. */
export class RtmpConnection implements Deadline {
  /** The identifier that log lines and events carry. */
  readonly id: string
  /** The bytes underneath. */
  readonly transport: Connection
  /** The protocol state. */
  readonly session: Session
  /** Where it came in. */
  readonly listener: string
  readonly #environment: ConnectionEnvironment
  readonly #openedMs: number
  #publications = noPublications
  readonly #viewers = new Map<number, Playing>()
  /** Without what its present viewers were given, which they count themselves. */
  #bytesSent = 0
  readonly #replies: Replies
  #closing: Closing | undefined
  #ahead: AccessDecision.ReadAhead | undefined
  readonly #access: ConnectionAccess
  #defect: Cause.Cause<never> | undefined
  /** What the last read has asked, until it is decided on. */
  #question: AccessQuestion | undefined

  static readonly #hosting: PlayerSink.Hosting<RtmpConnection> = {
    before: (connection, bytes) => connection.#replies.before(bytes),
    apply: (connection, outputs) => void connection.#apply(outputs),
    accept: (connection, requestId) => connection.#accept(requestId),
    forget: (connection, streamId) => connection.#forgetViewer(streamId),
    overflow: (connection, streamKey) => connection.#overflow(streamKey),
    turnOut: (connection, streamId) => connection.#kickViewer(streamId, "LimitReached", ViewerLimits.description),
    guard: (connection, run) => connection.#guard(run)
  }

  constructor(
    id: string,
    transport: Connection,
    session: Session,
    environment: ConnectionEnvironment,
    listener = "rtmp"
  ) {
    this.id = id
    this.listener = listener
    this.transport = transport
    this.session = session
    this.#environment = environment
    this.#openedMs = environment.wheel.nowMs()
    this.#replies = new Replies(transport, () => this.#ignored())
    this.#access = new ConnectionAccess(environment.authenticator, id, transport, session)
  }

  /** Serves the connection to its end. It never fails: a defect ends this connection alone. */
  get run(): Effect.Effect<void> {
    return Effect.onExit(this.#serve, (exit) => Effect.sync(() => this.#finish(exit))).pipe(
      Effect.catchCause(() => Effect.void)
    )
  }

  get #serve(): Effect.Effect<never, TransportError> {
    return Effect.suspend(() => {
      const { id, listener, transport } = this
      this.#environment.wheel.schedule(this)
      this.#environment.emit({ _tag: "ConnectionOpened", connectionId: id, remote: transport.remote, listener })
      const flow = transport.flow?.((bytes) => this.#take(bytes))
      const flown = flow === undefined ? undefined : Effect.andThen(flow, this.#settle)
      // No generator: while it waits for the next read, it would keep the last one alive.
      return Effect.forever(
        Effect.suspend(() => {
          const ahead = this.#ahead
          if (flown !== undefined && (ahead === undefined || ahead.isEmpty)) return flown
          return Effect.flatMap(ahead?.next ?? transport.pull, (chunks) => this.#takeAll(chunks, 0))
        }),
        { disableYield: true }
      )
    })
  }

  /** Takes what was read; `false` where there is a question in it, which is to be settled before anything else is taken. */
  #take(bytes: Uint8Array): boolean {
    this.#replies.hold()
    this.#question = this.#receive(bytes)
    if (this.#question !== undefined) return false
    this.#replies.release()
    return true
  }

  #takeAll(chunks: ReadonlyArray<Uint8Array>, from: number): Effect.Effect<void, TransportError> {
    for (let i = from; i < chunks.length; i++) {
      if (!this.#take(chunks[i]!)) return Effect.flatMap(this.#settle, () => this.#takeAll(chunks, i + 1))
    }
    return Effect.void
  }

  /** Decides on the question that the last read has asked, and on those that stand behind it in the same read. */
  get #settle(): Effect.Effect<void, TransportError> {
    return Effect.suspend(() => {
      const question = this.#question
      if (question === undefined) {
        this.#replies.release()
        return Effect.void
      }
      this.#question = undefined
      return Effect.flatMap(this.#decide(question), () => {
        this.#question = this.#apply(this.session.resume(this.#environment.wheel.nowMs()))
        return this.#settle
      })
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
          if (this.#access.isMetered) this.#meter(output.streamId, output.message.payload.length)
          break
        case "Send":
          this.#replies.send(output.bytes)
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

  /** Ends a connection whose client asks and does not read. */
  #ignored(): void {
    const detail = "the client asks and does not read the answers"
    this.#apply(this.session.abort(new SessionError({ reason: "LimitReached", detail })))
    this.transport.destroy()
  }

  /** Asks whether a request is allowed, and answers it. */
  #decide(question: AccessQuestion): Effect.Effect<void, TransportError> {
    const request = this.#access.describe(question)
    const decision = this.#environment.authenticator.authorize(request)
    // An answer that is there already, as on an open server, needs no timer; for any other nobody's replies wait.
    if (Exit.isExit(decision)) {
      return Effect.match(decision as Effect.Effect<AccessGrant, AccessDenied>, {
        onSuccess: (grant) => this.#granted(question, request, grant),
        onFailure: (denied) => this.#denied(question, request, denied)
      })
    }
    this.#replies.release()
    this.#ahead ??= new AccessDecision.ReadAhead(this.transport.pull)
    return Effect.map(this.#ahead.during(Effect.result(AccessDecision.timely(decision))), (answer) => {
      if (Result.isSuccess(answer)) this.#granted(question, request, answer.success)
      else this.#denied(question, request, answer.failure)
    })
  }

  #denied(question: AccessQuestion, request: AccessRequest, denied: AccessDenied): void {
    const { action } = request
    this.#environment.emit({
      _tag: "AccessRefused",
      connectionId: this.id,
      remote: this.transport.remote,
      action,
      streamKey: AccessDecision.refusedKey(request, denied),
      reason: denied.reason
    })
    this.#turnAway(question, AccessDecision.denial(action, denied))
  }

  #granted(request: AccessQuestion, asked: AccessRequest, grant: AccessGrant): void {
    this.#access.granted(request, asked, grant, this.#environment.wheel.nowMs())
    // The client may have been closed while the answer was on its way.
    if (this.#closing !== undefined) {
      this.#access.end(streamOf(request))
      return
    }
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
        this.#startPublication(request, grant)
        break
      case "PlayRequested":
        this.#startViewer(request, grant)
        break
    }
  }

  #accept(requestId: number): void {
    const { wheel } = this.#environment
    this.#apply(this.session.accept(requestId, wheel.nowMs()))
    // The next deadline may come sooner than the one before; and there was none while the answer was waited for.
    wheel.schedule(this)
  }

  #startPublication(question: AccessDecision.PublishQuestion, grant: AccessGrant): void {
    const environment = this.#environment
    const { request } = question
    const key = RtmpUrl.streamKey(request.application, grant.stream ?? request.stream)
    const refusal = Refusals.publish(environment, key)
    if (refusal !== undefined) {
      this.#turnAway(question, refusal)
      return
    }
    // Those who wait for it are started by the claim.
    const isNew = !environment.publishing.has(key)
    if (isNew) ViewerLimits.take(environment, key, grant)
    const claim = environment.registry.claim(key, {
      publisherId: this.id,
      credential: grant.credential,
      nowMs: environment.wheel.nowMs(),
      onTakenOver: () => this.#kickPublisher(request.streamId, "TakenOver", "Another publisher took this stream over.")
    })
    if (Result.isFailure(claim)) {
      if (isNew) environment.viewerLimits?.delete(key)
      this.#turnAway(question, Refusals.notClaimed(key, request.stream, claim.failure))
      return
    }
    if (this.#publications === noPublications) this.#publications = new Map()
    this.#publications.set(request.streamId, claim.success)
    const { stream } = claim.success
    environment.publishing.add(stream.key)
    // Only now where somebody else was there before.
    if (!isNew) ViewerLimits.take(environment, key, grant)
    this.#accept(question.requestId)
    environment.emit({
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
    this.#environment.viewerLimits?.delete(publication.stream.key)
    // Nobody can come back to a server that moves its clients away.
    const end = this.#environment.isLeaving() ? "unpublish" : how
    publication[end](this.#environment.wheel.nowMs())
    this.#environment.emit({
      _tag: "PublishStopped",
      connectionId: this.id,
      remote: this.transport.remote,
      streamKey: publication.stream.key
    })
    this.#access.end(streamId)
  }

  /** Refuses what was asked for, also where it was granted. */
  #turnAway(question: AccessQuestion, { error, status }: Refusals.Refusal): void {
    this.#apply(this.session.reject(question.requestId, status, this.#environment.wheel.nowMs(), error))
    this.#access.end(streamOf(question))
  }

  #meter(streamId: number, bytes: number): void {
    if (!this.#access.exceeds(streamId, bytes, this.#environment.wheel.nowMs())) return
    this.#kickPublisher(streamId, "LimitReached", "The stream is above the bitrate that it was granted.")
  }

  /** Ends what was granted for a time that is over. */
  #expire(nowMs: number): void {
    for (const streamId of this.#access.due(nowMs)) {
      this.#withdraw(streamId, "LimitReached", "The time that was granted is over.")
    }
  }

  /** Ends what was granted for a message stream, or for the connection (0). */
  #withdraw(streamId: number, reason: "Kicked" | "LimitReached", detail: string): void {
    if (this.#publications.has(streamId)) this.#kickPublisher(streamId, reason, detail)
    else if (this.#viewers.has(streamId)) this.#kickViewer(streamId, reason, detail)
    else if (streamId === 0) this.shutdown(reason, detail)
    else this.#access.end(streamId)
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

  #startViewer(question: AccessDecision.PlayQuestion, grant: AccessGrant): void {
    const { registry, waitForPublisher, wheel } = this.#environment
    const { request, requestId } = question
    const key = RtmpUrl.streamKey(request.application, grant.stream ?? request.stream)
    const { streamId } = request
    const refusal = Refusals.play(this.#environment, key, registry.get(key)?.viewers ?? 0)
    if (refusal !== undefined) {
      this.#turnAway(question, refusal)
      return
    }
    const sink = PlayerSink.make(this, RtmpConnection.#hosting, this.#environment, {
      streamKey: key,
      streamId,
      requestId
    })
    const viewer = registry.subscribe(key, {
      sink,
      nowMs: wheel.nowMs(),
      messageStreamId: streamId,
      waitForPublisher: waitForPublisher() && this.#waiting < maxWaiting
    })
    if (Result.isFailure(viewer)) {
      this.#turnAway(question, Refusals.notFound(key, request.stream, viewer.failure))
      return
    }
    sink.viewer = viewer.success
    this.#viewers.set(streamId, { streamKey: key, viewer: viewer.success })
    sink.accept()
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
    this.#access.end(streamId)
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
  shutdown(reason: "ServerStopping" | "Kicked" | "LimitReached", detail: string): void {
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

  /** Ends what was granted to a credential, as `leave` does; everything, where the connection itself was. */
  withdraw(credential: string, detail: string): boolean {
    const granted = this.#closing === undefined ? this.#access.grantedTo(credential) : []
    this.#guard(() => {
      for (const streamId of granted) this.#withdraw(streamId, "Kicked", detail)
    })
    return granted.length > 0
  }

  #kickViewer(streamId: number, reason: "ServerStopping" | "Kicked" | "LimitReached", detail: string): void {
    this.#endViewer(streamId)
    this.#apply(this.session.endPlay(streamId, new SessionError({ reason, detail })))
  }

  /**
   * Asks the client to go on elsewhere: see `Session.requestReconnect`. Gives back whether it follows that.
   */
  requestReconnect(tcUrl: string, description: string): boolean {
    const { canReconnect } = this.session
    this.#guard(() => this.#apply(this.session.requestReconnect(tcUrl, description)))
    return canReconnect
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
    let bytesSent = this.#bytesSent + this.#replies.bytes
    for (const { viewer } of this.#viewers.values()) bytesSent += viewer.statistics().bytes
    return {
      bytesReceived: this.session.statistics.bytesReceived,
      bytesSent,
      durationMs: Math.round(this.#environment.wheel.nowMs() - this.#openedMs)
    }
  }

  /** The next time at which the session, or the closing of the connection, has something due. */
  nextDeadlineMs(): number {
    if (this.#closing !== undefined) return this.#closing.untilMs
    return Math.min(this.session.nextDeadlineMs(), this.#access.nextDeadlineMs)
  }

  /** Does what is due. */
  tick(nowMs: number): void {
    if (this.#closing === undefined) {
      this.#guard(() => {
        this.#apply(this.session.tick(nowMs))
        this.#expire(nowMs)
      })
    } else {
      this.#closing.untilMs = Number.POSITIVE_INFINITY
      this.transport.destroy()
    }
  }

  #close(error: CloseError): void {
    if (this.#closing !== undefined) return
    this.#replies.release()
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
    this.#access.endAll()
    this.transport.destroy()
    const { detail, reason } = Verdict.make(this.#defect, this.#closing?.error, exit)
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
}
