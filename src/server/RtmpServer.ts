/**
 * The RTMP server: accepts connections, serves each in a supervised fiber of its own, and stops in order.
 *
 * **Example** (A server inside a program)
 *
 * ```ts
 * const program = Effect.gen(function* () {
 *   const server = yield* RtmpServer
 *   const address = yield* server.start
 *   yield* Effect.log(`publish to rtmp://${address.host}:${address.port}/live/name`)
 *   yield* Stream.runForEach(server.streamEvents, (event) => Effect.log(event._tag, event.streamKey))
 * })
 * ```
 */
import * as Array from "effect/Array"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { Authenticator } from "../access/Authenticator.ts"
import { ConfigStore } from "../config/ConfigStore.ts"
import { RtmpConfig, type RtmpConfigData } from "../config/RtmpConfig.ts"
import type { RegistryStatistics, StreamStatistics } from "../live/Registry.ts"
import type { StreamEvent } from "../live/StreamEvents.ts"
import { StreamEvents } from "../live/StreamEvents.ts"
import { StreamRegistry } from "../live/StreamRegistry.ts"
import * as LogLevels from "../observability/LogLevels.ts"
import { ServerSession } from "../protocol/ServerSession.ts"
import type { SessionState } from "../protocol/SessionState.ts"
import { AddressLimits } from "./AddressLimits.ts"
import { Admission, FileStatus, MemoryStatus, type Refusal } from "./Admission.ts"
import type { ConnectionEnvironment } from "./ConnectionEnvironment.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import * as Departure from "./Departure.ts"
import { Diagnostics } from "./Diagnostics.ts"
import { withAdvice } from "./Errors.ts"
import { Counts, Life } from "./Life.ts"
import * as Listening from "./Listening.ts"
import { RefusalReports } from "./RefusalReports.ts"
import { RtmpConnection } from "./RtmpConnection.ts"
import type { DrainOptions, ServerAdmin, StopOptions, StreamInfo } from "./ServerAdmin.ts"
import type { ServerEvent } from "./ServerEvents.ts"
import { ServerEvents } from "./ServerEvents.ts"
import type { Moment } from "./ServerInfo.ts"
import * as ServerInfo from "./ServerInfo.ts"
import * as ServerLog from "./ServerLog.ts"
import * as ServerOptions from "./ServerOptions.ts"
import { StopSignal } from "./StopSignal.ts"
import { make as makeSupervisor, Supervisor } from "./Supervisor.ts"
import type { Connection, Endpoint, ListenOptions } from "./Transport.ts"
import { Transport, TransportError } from "./Transport.ts"
import * as Turns from "./Turns.ts"

/** A snapshot of a server. */
export interface ServerStatistics {
  /** Connections now, those in the handshake included. */
  readonly connections: number
  /** The same by their state; `Disconnected` are those that are only still sent what waits for them. */
  readonly states: Readonly<Record<SessionState, number>>
  /** Connections whose handshake is not complete. */
  readonly handshakes: number
  /** Connections accepted since the start. */
  readonly accepted: number
  /** Connections refused for a limit since the start. */
  readonly refused: number
  /** Handshakes completed since the start, and those among them whose C2 did not repeat S1 (RTMP 1.0 §5.2.4). */
  readonly handshakesCompleted: number
  readonly echoMismatches: number
  /** `limits.distributionBitrate`: the bits per second to all viewers that the machine is planned for. Not enforced. */
  readonly distributionTargetBitsPerSecond: number
  /** Messages of unknown types that were skipped, of connections that ended and that are open. */
  readonly unknownMessages: number
  /** Bytes of all connections that ended and all that are open. */
  readonly bytesReceived: number
  readonly bytesSent: number
  /** Streams, publishers and viewers. */
  readonly live: RegistryStatistics
}

/** Where a server listens: RTMP in the clear (`rtmp`), or with TLS (`rtmps`). */
export interface ListenerAddress extends Endpoint {
  readonly protocol: Listening.ListenerName
}

interface Running {
  readonly listeners: ReadonlyArray<Listening.Listening>
  /** Open the ports anew when they die. */
  readonly keepers: ReadonlyArray<Fiber.Fiber<void, unknown>>
  readonly address: Endpoint
  readonly scope: Scope.Closeable
  readonly startedMs: number
}

const toMillis = (duration: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(duration))

/**
 * A server that can be started, stopped and watched.
 *
 * - `start` opens the listeners (RTMP, RTMPS, or both) and gives the address of the first. Starting a running server gives
 *   the same address. A listener that dies later is opened anew by the supervisor, at the same address, and no connection
 *   notices; the others go on.
 * - `stop` closes the port at once and moves clients away as `drain` does (see `ServerAdmin`), but lets every publisher go
 *   on for the grace, to bring its stream to an end by itself; what is left shortly before the grace is over is told the
 *   end, and dropped when it is. It returns when all have gone, and the server can be started again. A viewer that does
 *   not read cannot hold it, and `force` (or a second signal) ends all waiting.
 * - `address` is where it listens first, or undefined; `addresses` is all of it, without listeners that are being opened
 *   anew.
 * - `events` tells of connections and the server, `streamEvents` of streams, both from the moment of subscription on.
 * - The rest is `ServerAdmin`'s.
 *
 * Closing the scope of the layer stops the server.
 */
export class RtmpServer extends Context.Service<
  RtmpServer,
  ServerAdmin & {
    readonly start: Effect.Effect<Endpoint, TransportError>
    readonly stop: (options?: StopOptions) => Effect.Effect<void>
    readonly address: Effect.Effect<Endpoint | undefined>
    readonly addresses: Effect.Effect<ReadonlyArray<ListenerAddress>>
    readonly events: Stream.Stream<ServerEvent>
    readonly streamEvents: Stream.Stream<StreamEvent>
    readonly statistics: Effect.Effect<ServerStatistics>
  }
>()("effect-rtmp/server/RtmpServer") {
  /** A server that has not been started yet. */
  static readonly layer: Layer.Layer<
    RtmpServer,
    never,
    Transport | RtmpConfig | ServerSession | StreamRegistry | StreamEvents | ServerEvents | Authenticator
  > = Layer.suspend(() => Layer.effect(RtmpServer, make))

  /** Starts the server for as long as the layer lives; fails where the listener cannot be opened. */
  static readonly layerStarted: Layer.Layer<never, TransportError, RtmpServer> = Layer.effectDiscard(
    Effect.flatMap(RtmpServer, (server) => server.start)
  )
}

const noStates: ServerStatistics["states"] = {
  Connecting: 0,
  Handshaking: 0,
  Connected: 0,
  Publishing: 0,
  Subscribing: 0,
  Disconnected: 0
}

// Of each turn of the event loop a fraction of a millisecond goes to log lines.
const linesPerTurn = 4

// The end of the grace in which those who have not left by themselves are told the end and still sent what waits.
const farewellMs = 2_000

const make = Effect.gen(function* () {
  let config = yield* RtmpConfig
  const store = Option.getOrUndefined(yield* Effect.serviceOption(ConfigStore))
  const transport = yield* Transport
  const sessions = yield* ServerSession
  const registry = yield* StreamRegistry
  const authenticator = yield* Authenticator
  const { emit: emitEvent, events } = yield* ServerEvents
  const streamEvents = yield* StreamEvents
  const supervisor = yield* Effect.flatMap(Effect.serviceOption(Supervisor), (option) =>
    Option.isSome(option) ? Effect.succeed(option.value) : makeSupervisor
  )
  const diagnostics = yield* Diagnostics
  const stopSignal = yield* StopSignal
  const wheel = yield* DeadlineWheel.make
  const context = yield* Effect.context<never>()
  const runFork = Effect.runForkWith(context)
  const clock = yield* Effect.clockWith(Effect.succeed)
  const moment = (): Moment => ({ nowMs: wheel.nowMs(), epochMs: clock.currentTimeMillisUnsafe() })

  let sessionOptions = ServerOptions.session(config)
  const admission = new Admission(config.limits, yield* MemoryStatus, yield* FileStatus)
  const addresses = new AddressLimits(config.limits, wheel.nowMs())
  const connections = new Map<string, RtmpConnection>()
  /** What those in the handshake are counted by, by connection. */
  const shaking = new Map<string, string>()
  const disabled = new Set<string>()
  const rates = new ServerInfo.Rates()
  const one = yield* Semaphore.make(1)
  const life = new Life(wheel, connections)
  let running: Running | undefined
  const counts = new Counts()

  const settled = (id: string): void => {
    const key = shaking.get(id)
    if (key === undefined) return
    shaking.delete(id)
    addresses.settled(key)
  }

  const logging = Turns.make(linesPerTurn)
  const minimumLevel = Context.get(context, References.MinimumLogLevel)
  const levels = Option.getOrUndefined(yield* Effect.serviceOption(LogLevels.LogLevels))
  const emit = (event: ServerEvent): void => {
    counts.count(event)
    if (event._tag === "HandshakeCompleted") settled(event.connectionId)
    if (event._tag === "ConnectionClosed" && event.reason === "Defect") {
      diagnostics.note(`${event.connectionId}: ${event.detail}`, clock.currentTimeMillisUnsafe())
    }
    emitEvent(event)
    // A rush of viewers is served first; their lines are made in the next turns, in order.
    logging.later(() => {
      const line = ServerLog.serverLine(event)
      if (ServerLog.isEnabled(line, minimumLevel, levels)) runFork(ServerLog.write(line))
    })
  }
  life.onChange = (from, to) => emit({ _tag: "LifecycleChanged", from, to })
  const refusals = new RefusalReports(wheel, (report) => emit({ _tag: "ConnectionRefused", ...report }))
  const turns = Turns.make()
  const environment: ConnectionEnvironment = {
    wheel,
    turns,
    giveWay: () => {
      turns.giveWay()
      logging.giveWay()
    },
    registry,
    authenticator,
    emit,
    disabled,
    // A single message may be larger than an outbox.
    maxBufferedBytes: () => Math.max(config.outbox.maxBytes, 2 * config.limits.maxMessageBytes),
    waitForPublisher: () => config.play.waitForPublisher,
    maxPublishers: () => config.limits.maxPublishers,
    isLeaving: () => life.isLeaving,
    publishing: new Set()
  }

  if (store !== undefined) {
    const take = (next: RtmpConfigData): void => {
      config = next
      sessionOptions = ServerOptions.session(next)
      admission.limits = next.limits
      addresses.reconfigure(next.limits, wheel.nowMs())
      registry.reconfigure(ServerOptions.live(next))
    }
    // What those who are connected were promised stays; limits and what comes after follow the new configuration.
    const prepare = (next: RtmpConfigData) => Effect.succeed(Effect.sync(() => take(next)))
    take(yield* store.register({ name: "server", prepare }))
  }

  const handshakes = (): number => {
    let count = 0
    for (const { session } of connections.values()) {
      if (session.state === "Connecting" || session.state === "Handshaking") count++
    }
    return count
  }

  /** Why nobody is let in from an address now; one that is, `key` is counted by. */
  const refusal = ({ remote }: Connection, key: string | undefined): Refusal | undefined => {
    const nowMs = wheel.nowMs()
    const isDraining = life.isLeaving
    const reason = isDraining ? undefined : authenticator.refusal?.(remote.host)
    if (reason !== undefined) return { limit: "access", max: 0, reason }
    const waiting = running?.listeners.reduce((sum, listener) => sum + listener.waiting(), 0) ?? 0
    const limit = admission.refusal({
      nowMs,
      isDraining,
      connections: connections.size + waiting,
      handshakes: () => handshakes() + waiting
    })
    return limit ?? (key === undefined ? undefined : addresses.enter(key, nowMs))
  }

  const handle = (listener: Listening.ListenerName) => (transportConnection: Connection) =>
    Effect.suspend(() => {
      const { remote } = transportConnection
      const key = addresses.keyOf(remote.host)
      const refused = refusal(transportConnection, key)
      if (refused !== undefined) {
        refusals.add(refused, remote, listener, wheel.nowMs())
        transportConnection.destroy()
        return Effect.void
      }
      const id = `c${++counts.accepted}`
      const session = sessions.make(sessionOptions, wheel.nowMs())
      const connection = new RtmpConnection(id, transportConnection, session, environment, listener)
      connections.set(id, connection)
      if (key !== undefined) shaking.set(id, key)
      return Effect.ensuring(
        connection.run,
        Effect.sync(() => {
          connections.delete(id)
          settled(id)
          if (key !== undefined) addresses.leave(key)
          counts.ended(connection)
          if (connections.size === 0) life.emptied()
        })
      )
    })

  /** What to listen on, by name. */
  const wanted = (): ReadonlyArray<readonly [Listening.ListenerName, ListenOptions]> => {
    const { listen, tls } = config
    const { backlog } = listen
    const proxyProtocol = { ...listen.proxyProtocol, maxWaiting: config.limits.maxPendingHandshakes }
    return [
      ...(listen.enabled ? [["rtmp", { host: listen.host, port: listen.port, backlog, proxyProtocol }] as const] : []),
      ...(tls.enabled
        ? [["rtmps", { host: tls.host, port: tls.port, backlog, proxyProtocol, secure: true }] as const]
        : [])
    ]
  }

  const start = one.withPermits(1)(
    Effect.gen(function* () {
      if (running !== undefined) return running.address
      life.enter("Starting")
      const scope = yield* Scope.make()
      const listeners = yield* Effect.forEach(wanted(), ([name, options]) =>
        Effect.mapError(Listening.open(transport, options, handle(name), name), (error) => withAdvice(error, name))
      ).pipe(
        Effect.filterOrFail(
          Array.isArrayNonEmpty,
          () => new TransportError({ reason: "ListenFailed", detail: "neither listen.enabled nor tls.enabled is set" })
        ),
        Scope.provide(scope),
        Effect.onError(() =>
          Effect.andThen(
            Scope.close(scope, Exit.void),
            Effect.sync(() => life.enter("Stopped"))
          )
        )
      )
      const keepers = yield* Effect.forEach(listeners, ({ keep, name }) =>
        Effect.forkIn(supervisor.supervise(name === "rtmp" ? "listener" : `listener ${name}`, keep), scope)
      )
      const [{ address }] = listeners
      running = { listeners, keepers, address, scope, startedMs: wheel.nowMs() }
      life.enter("Running")
      for (const { address, name } of listeners) {
        yield* Effect.logInfo("listening").pipe(
          Effect.annotateLogs({ room: "server", protocol: name, host: address.host, port: address.port })
        )
      }
      return address
    })
  )

  const endAll = (reason: Departure.Farewell["reason"], detail: string): void => {
    for (const connection of [...connections.values()]) connection.shutdown(reason, detail)
  }

  const tell = (farewell: Departure.Farewell): void => {
    const open = connections.size
    const asked = Departure.tell(connections.values(), registry, farewell)
    if (open > 0) emit({ _tag: "ClientsAsked", connections: open, asked, reconnectTo: farewell.reconnectTo })
  }

  const drain = (options: DrainOptions = {}): Effect.Effect<void> =>
    one.withPermits(1)(
      Effect.sync(() => {
        if (running === undefined) return
        life.enter("Draining")
        const detail = "The server moves its clients elsewhere."
        tell({ reason: "Kicked", detail, reconnectTo: options.reconnectTo ?? config.shutdown.reconnectTo })
        life.after(toMillis(options.grace ?? config.shutdown.grace), () => endAll("Kicked", detail))
      })
    )

  const resume = one.withPermits(1)(
    Effect.sync(() => {
      if (life.state !== "Draining") return
      life.cancel()
      life.enter("Running")
    })
  )

  const finish = Effect.fnUntraced(function* (was: Running, options: StopOptions) {
    const { keepers, listeners, scope, startedMs } = was
    running = undefined
    const stopMs = wheel.nowMs()
    const open = connections.size
    const graceMs = options.force === true ? 0 : toMillis(options.grace ?? config.shutdown.grace)
    life.cancel()
    life.enter("Stopping")
    // Somebody may sit before a terminal, and wonder.
    const hint = open > 0 && graceMs > 0 ? { hint: "a second signal or `effect-rtmp stop --force` ends it now" } : {}
    yield* Effect.logInfo("stopping").pipe(
      Effect.annotateLogs({ room: "lifecycle", connections: open, graceMs, ...hint })
    )
    yield* Fiber.interruptAll(keepers)
    yield* Effect.forEach(listeners, (listening) => listening.close, { discard: true })
    if (options.force !== true) {
      const detail = "The server is stopping."
      tell({ reason: "ServerStopping", detail, reconnectTo: options.reconnectTo ?? config.shutdown.reconnectTo })
      const lastMs = Math.min(farewellMs, graceMs / 4)
      yield* life.untilEmpty(graceMs - lastMs)
      endAll("ServerStopping", detail)
      yield* life.untilEmpty(lastMs)
    }
    const dropped = connections.size
    for (const connection of [...connections.values()]) connection.destroy()
    yield* Scope.close(scope, Exit.void)
    refusals.flush()
    // The ends of streams are written first: the summary is the last line.
    yield* Effect.yieldNow
    const now = wheel.nowMs()
    const { accepted, past, publications, reasons, refused } = counts
    emit({
      _tag: "ServerStopped",
      summary: {
        connections: open,
        dropped,
        accepted,
        publications,
        refused,
        bytesReceived: past.bytesReceived,
        bytesSent: past.bytesSent,
        uptimeMs: Math.round(now - startedMs),
        stopMs: Math.round(now - stopMs),
        reasons: { ...reasons }
      }
    })
    life.enter("Stopped")
    logging.flush()
  })

  const stop = (options: StopOptions = {}): Effect.Effect<void> =>
    Effect.suspend(() => {
      // A stop that is under way holds the permit, and is hurried up.
      if (options.force === true) life.hurry()
      return one.withPermits(1)(Effect.suspend(() => (running === undefined ? Effect.void : finish(running, options))))
    })

  const leave = (
    streamKey: string,
    detail: string,
    which: "publishing" | "all",
    reason: "Kicked" | "LimitReached" = "Kicked"
  ): boolean => {
    let found = false
    for (const connection of [...connections.values()]) {
      if (which === "publishing" && !connection.publishing.includes(streamKey)) continue
      if (connection.leave(streamKey, reason, detail)) found = true
    }
    return found
  }

  yield* Effect.forkScoped(
    Stream.runForEach(streamEvents.events, (event) => {
      if (event._tag === "BitrateExceeded" && config.limits.enforcePublishBitrate) {
        leave(event.streamKey, "The stream is above the bitrate that this server takes.", "publishing", "LimitReached")
      }
      const line = ServerLog.streamLine(event)
      return line !== undefined && ServerLog.isEnabled(line, minimumLevel, levels) ? ServerLog.write(line) : Effect.void
    })
  )
  const uncontribute = diagnostics.contribute("server", () => {
    const { streams, ...live } = registry.statistics(wheel.nowMs())
    return {
      lifecycle: life.state,
      connections: connections.size,
      handshakes: handshakes(),
      accepted: counts.accepted,
      refused: counts.refused,
      closeReasons: counts.reasons,
      streams: streams.length,
      ...live
    }
  })
  const unhurry = stopSignal.onUrgent(() => life.hurry())
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      stop(),
      Effect.sync(() => {
        uncontribute()
        unhurry()
      })
    )
  )

  const describe = (statistics: StreamStatistics): StreamInfo =>
    ServerInfo.stream(
      statistics,
      ServerInfo.headersOf(registry.get(statistics.key)),
      disabled.has(statistics.key),
      moment()
    )
  return RtmpServer.of({
    start,
    stop,
    address: Effect.sync(() => running?.listeners.at(0)?.boundTo),
    addresses: Effect.sync(
      () =>
        running?.listeners.flatMap(({ boundTo, name }) =>
          boundTo === undefined ? [] : [{ protocol: name, ...boundTo }]
        ) ?? []
    ),
    events,
    streamEvents: streamEvents.events,
    statistics: Effect.sync(() => {
      const totals = { ...counts.past }
      const states = { ...noStates }
      for (const { session, totals: open } of connections.values()) {
        states[session.state]++
        totals.bytesReceived += open.bytesReceived
        totals.bytesSent += open.bytesSent
        totals.unknownMessages += session.statistics.unknownMessages
      }
      return {
        connections: connections.size,
        states,
        handshakes: states.Connecting + states.Handshaking,
        accepted: counts.accepted,
        refused: counts.refused + refusals.untold,
        handshakesCompleted: counts.handshakesCompleted,
        echoMismatches: counts.echoMismatches,
        distributionTargetBitsPerSecond: config.limits.distributionBitrate,
        ...totals,
        live: registry.statistics(wheel.nowMs())
      }
    }),
    connections: Effect.sync(() => {
      const now = moment()
      return globalThis.Array.from(connections.values(), (connection) => ServerInfo.connection(connection, rates, now))
    }),
    connection: (id) =>
      Effect.sync(() => {
        const connection = connections.get(id)
        return connection === undefined ? undefined : ServerInfo.connection(connection, rates, moment())
      }),
    streams: Effect.sync(() => registry.statistics(wheel.nowMs()).streams.map(describe)),
    stream: (key) =>
      Effect.sync(() => {
        const statistics = registry.statistics(wheel.nowMs()).streams.find((stream) => stream.key === key)
        return statistics === undefined ? undefined : describe(statistics)
      }),
    kick: (id, description = "The operator closed the connection.") =>
      Effect.sync(() => {
        const connection = connections.get(id)
        connection?.shutdown("Kicked", description)
        return connection !== undefined
      }),
    kickPublisher: (streamKey, description = "The operator ended the stream.") =>
      Effect.sync(() => leave(streamKey, description, "publishing")),
    withdraw: (credential, description = "The operator withdrew the permission.") =>
      Effect.sync(() =>
        [...connections].flatMap(([id, connection]) => (connection.withdraw(credential, description) ? [id] : []))
      ),
    disableStream: (streamKey) =>
      Effect.sync(() => {
        if (disabled.has(streamKey)) return false
        disabled.add(streamKey)
        emit({ _tag: "StreamDisabled", streamKey })
        leave(streamKey, "The operator disabled the stream.", "all")
        return true
      }),
    enableStream: (streamKey) =>
      Effect.sync(() => {
        if (!disabled.delete(streamKey)) return false
        emit({ _tag: "StreamEnabled", streamKey })
        return true
      }),
    disabledStreams: Effect.sync(() => [...disabled]),
    drain,
    resume,
    lifecycle: Effect.sync(() => life.state),
    lifecycleChanges: Stream.filterMap(events, (event) =>
      event._tag === "LifecycleChanged" ? Result.succeed(event.to) : Result.fail(event)
    ),
    awaitStopped: life.stopped,
    components: supervisor.components
  })
})
