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
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { Authenticator } from "../access/Authenticator.ts"
import { RtmpConfig } from "../config/RtmpConfig.ts"
import type { RegistryStatistics } from "../live/Registry.ts"
import type { StreamEvent } from "../live/StreamEvents.ts"
import { StreamEvents } from "../live/StreamEvents.ts"
import { StreamRegistry } from "../live/StreamRegistry.ts"
import { ServerSession } from "../protocol/ServerSession.ts"
import * as DeadlineWheel from "./DeadlineWheel.ts"
import type { ConnectionEnvironment } from "./RtmpConnection.ts"
import { RtmpConnection } from "./RtmpConnection.ts"
import type { ServerEvent } from "./ServerEvents.ts"
import { ServerEvents } from "./ServerEvents.ts"
import * as ServerLog from "./ServerLog.ts"
import * as ServerOptions from "./ServerOptions.ts"
import type { Connection, Endpoint, Listener, TransportError } from "./Transport.ts"
import { Transport } from "./Transport.ts"
import * as Turns from "./Turns.ts"

/** A snapshot of a server. */
export interface ServerStatistics {
  /** Connections now, those in the handshake included. */
  readonly connections: number
  /** Connections whose handshake is not complete. */
  readonly handshakes: number
  /** Connections accepted since the start. */
  readonly accepted: number
  /** Connections refused for a limit since the start. */
  readonly refused: number
  /** Handshakes completed since the start, and those among them whose C2 did not repeat S1 (RTMP 1.0 §5.2.4). */
  readonly handshakesCompleted: number
  readonly echoMismatches: number
  /** Messages of unknown types that were skipped, of connections that ended and that are open. */
  readonly unknownMessages: number
  /** Bytes of all connections that ended and all that are open. */
  readonly bytesReceived: number
  readonly bytesSent: number
  /** Streams, publishers and viewers. */
  readonly live: RegistryStatistics
}

/** How to stop: `force` drops every connection at once. */
export interface StopOptions {
  readonly force?: boolean
}

interface Running {
  readonly listener: Listener
  readonly scope: Scope.Closeable
}

/**
 * A server that can be started, stopped and watched.
 *
 * - `start` opens the listener and gives the bound address. Starting a running server gives the same address.
 * - `stop` refuses new connections at once, tells publishers and viewers, and closes what is left after
 *   `shutdown.grace`. It can be started again afterwards. A viewer that does not read cannot hold it.
 * - `address` is where it listens, or undefined.
 * - `events` tells of connections, `streamEvents` of streams, both from the moment of subscription on.
 *
 * Closing the scope of the layer stops the server.
 */
export class RtmpServer extends Context.Service<
  RtmpServer,
  {
    readonly start: Effect.Effect<Endpoint, TransportError>
    readonly stop: (options?: StopOptions) => Effect.Effect<void>
    readonly address: Effect.Effect<Endpoint | undefined>
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

// Of each turn of the event loop a fraction of a millisecond goes to log lines.
const linesPerTurn = 4

const make = Effect.gen(function* () {
  const config = yield* RtmpConfig
  const transport = yield* Transport
  const sessions = yield* ServerSession
  const registry = yield* StreamRegistry
  const authenticator = yield* Authenticator
  const { emit: emitEvent, events } = yield* ServerEvents
  const streamEvents = yield* StreamEvents
  const wheel = yield* DeadlineWheel.make
  const context = yield* Effect.context<never>()
  const runFork = Effect.runForkWith(context)

  const sessionOptions = ServerOptions.session(config)
  const connections = new Set<RtmpConnection>()
  const empty = Latch.makeUnsafe(true)
  const one = yield* Semaphore.make(1)
  let running: Running | undefined
  let accepted = 0
  let refused = 0
  let handshakesCompleted = 0
  let echoMismatches = 0
  const past = { bytesReceived: 0, bytesSent: 0, unknownMessages: 0 }

  const logging = Turns.make(linesPerTurn)
  const emit = (event: ServerEvent): void => {
    if (event._tag === "HandshakeCompleted") {
      handshakesCompleted++
      if (!event.echoMatches) echoMismatches++
    }
    emitEvent(event)
    const line = ServerLog.serverLine(event)
    if (!ServerLog.isEnabled(line, Context.get(context, References.MinimumLogLevel))) return
    // A rush of viewers is served first; their lines follow in the next turns, in order.
    logging.later(() => runFork(ServerLog.write(line)))
  }
  const environment: ConnectionEnvironment = {
    wheel,
    turns: Turns.make(),
    registry,
    authenticator,
    emit,
    // A single message may be larger than an outbox.
    maxBufferedBytes: Math.max(config.outbox.maxBytes, 2 * config.limits.maxMessageBytes),
    waitForPublisher: config.play.waitForPublisher
  }

  const handshakes = (): number => {
    let count = 0
    for (const { session } of connections) {
      if (session.state === "Connecting" || session.state === "Handshaking") count++
    }
    return count
  }

  const limitReached = (): { readonly limit: "connections" | "handshakes"; readonly max: number } | undefined => {
    const { maxConnections, maxPendingHandshakes } = config.limits
    if (connections.size >= maxConnections) return { limit: "connections", max: maxConnections }
    // Counting handshakes costs a walk over all connections: only where there may be too many.
    if (connections.size >= maxPendingHandshakes && handshakes() >= maxPendingHandshakes) {
      return { limit: "handshakes", max: maxPendingHandshakes }
    }
    return undefined
  }

  const handle = (transportConnection: Connection): Effect.Effect<void> =>
    Effect.suspend(() => {
      const over = limitReached()
      if (over !== undefined) {
        refused++
        emit({ _tag: "ConnectionRefused", remote: transportConnection.remote, ...over })
        transportConnection.destroy()
        return Effect.void
      }
      accepted++
      const connection = new RtmpConnection(
        `c${accepted}`,
        transportConnection,
        sessions.make(sessionOptions, wheel.nowMs()),
        environment
      )
      connections.add(connection)
      empty.closeUnsafe()
      return Effect.ensuring(
        connection.run,
        Effect.sync(() => {
          connections.delete(connection)
          past.bytesReceived += connection.totals.bytesReceived
          past.bytesSent += connection.totals.bytesSent
          past.unknownMessages += connection.session.statistics.unknownMessages
          if (connections.size === 0) empty.openUnsafe()
        })
      )
    })

  const start = one.withPermits(1)(
    Effect.gen(function* () {
      if (running !== undefined) return running.listener.address
      const scope = yield* Scope.make()
      const listener = yield* transport.listen(config.listen, handle).pipe(
        Scope.provide(scope),
        Effect.onError(() => Scope.close(scope, Exit.void))
      )
      running = { listener, scope }
      const { host, port } = listener.address
      yield* Effect.logInfo("listening").pipe(Effect.annotateLogs({ protocol: "rtmp", host, port }))
      return listener.address
    })
  )

  const stop = (options?: StopOptions): Effect.Effect<void> =>
    one.withPermits(1)(
      Effect.gen(function* () {
        if (running === undefined) return
        const { listener, scope } = running
        running = undefined
        const force = options?.force === true
        const open = connections.size
        yield* Effect.logInfo("stopping").pipe(Effect.annotateLogs({ connections: open, force }))
        yield* listener.close
        if (!force) {
          for (const connection of [...connections]) connection.shutdown("ServerStopping", "The server is stopping.")
          yield* Effect.timeoutOption(empty.await, config.shutdown.grace)
        }
        const dropped = connections.size
        for (const connection of [...connections]) connection.destroy()
        yield* Scope.close(scope, Exit.void)
        logging.flush()
        yield* Effect.logInfo("stopped").pipe(
          Effect.annotateLogs({
            connections: open,
            dropped,
            accepted,
            bytesReceived: past.bytesReceived,
            bytesSent: past.bytesSent
          })
        )
      })
    )

  yield* Effect.forkScoped(
    Stream.runForEach(streamEvents.events, (event) => {
      const line = ServerLog.streamLine(event)
      return line === undefined ? Effect.void : ServerLog.write(line)
    })
  )
  yield* Effect.addFinalizer(() => stop())

  return RtmpServer.of({
    start,
    stop,
    address: Effect.sync(() => running?.listener.address),
    events,
    streamEvents: streamEvents.events,
    statistics: Effect.sync(() => {
      const totals = { ...past }
      for (const { session, totals: open } of connections) {
        totals.bytesReceived += open.bytesReceived
        totals.bytesSent += open.bytesSent
        totals.unknownMessages += session.statistics.unknownMessages
      }
      return {
        connections: connections.size,
        handshakes: handshakes(),
        accepted,
        refused,
        handshakesCompleted,
        echoMismatches,
        ...totals,
        live: registry.statistics(wheel.nowMs())
      }
    })
  })
})
