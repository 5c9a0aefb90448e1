/**
 * One trace for each connection, made from the server's events by a fiber of its own: a span for the connection, and a
 * child for each of its phases (handshake, connect, every publication, every play).
 *
 * Spans are made when their connection ends, from a few numbers noted until then. Nothing of it happens in the fiber of
 * a connection, and nothing at all unless this layer is built: it is for servers that export traces.
 *
 * **Gotchas**
 *
 * - Times are those at which the events reach this module, a turn of the event loop after they happened.
 * - A connection that was there before the layer, or whose events were lost in a rush, has a span for itself only.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as CloseReason from "../observability/CloseReason.ts"
import * as Log from "../observability/Log.ts"
import { RtmpServer } from "./RtmpServer.ts"
import type { ServerEvent } from "./ServerEvents.ts"
import type { Endpoint } from "./Transport.ts"

/** Connections that are followed at a time. Of more, the oldest are forgotten. */
export const maxConnections = 50_000

/** Phases and events that are noted for one connection; more are dropped. */
export const maxNotes = 64

/** Makes a span for each connection of the server that ends, until the scope closes. Uses the current `Tracer`. */
export const layer: Layer.Layer<never, never, RtmpServer> = Layer.effectDiscard(
  Effect.gen(function* () {
    const server = yield* RtmpServer
    const clock = yield* Clock.Clock
    const follow = make(yield* Tracer.Tracer)
    yield* Effect.forkScoped(
      Stream.runForEach(server.events, (event) => Effect.sync(() => follow(event, clock.currentTimeNanosUnsafe())))
    )
  })
)

interface Phase {
  readonly name: string
  readonly attributes: Readonly<Record<string, string | number | boolean>>
  readonly start: bigint
  end: bigint | undefined
}

interface Note {
  readonly name: string
  readonly attributes: Record<string, unknown>
  readonly at: bigint
}

interface Followed {
  readonly openedAt: bigint
  readonly attributes: Record<string, string | number | boolean>
  readonly phases: Array<Phase>
  readonly notes: Array<Note>
}

/** Gives a function that takes the events in order, each with its time in nanoseconds since 1970. */
export const make = (tracer: Tracer.Tracer): ((event: ServerEvent, atNanos: bigint) => void) => {
  const followed = new Map<string, Followed>()

  const begin = (connection: Followed, phase: string, at: bigint, attributes: Phase["attributes"] = {}): void => {
    if (connection.phases.length >= maxNotes) return
    connection.phases.push({ name: phase, attributes, start: at, end: undefined })
  }
  const finish = (connection: Followed, at: bigint, phase: string, streamKey?: string): void => {
    const stream = streamKey === undefined ? undefined : text(streamKey)
    for (const open of connection.phases) {
      if (open.end !== undefined || open.name !== phase) continue
      if (stream === undefined || open.attributes["rtmp.stream"] === stream) open.end = at
    }
  }
  const note = (connection: Followed, name: string, at: bigint, attributes: Record<string, unknown>): void => {
    if (connection.notes.length < maxNotes) connection.notes.push({ name, at, attributes })
  }

  return (event, at) => {
    if (event._tag === "ConnectionOpened") {
      if (followed.size >= maxConnections) {
        for (const oldest of followed.keys()) {
          followed.delete(oldest)
          break
        }
      }
      const opened: Followed = { openedAt: at, attributes: {}, phases: [], notes: [] }
      begin(opened, "handshake", at)
      followed.set(event.connectionId, opened)
      return
    }
    if (event._tag === "ConnectionClosed") {
      const connection = followed.get(event.connectionId) ?? {
        openedAt: at - BigInt(Math.round(event.totals.durationMs)) * 1_000_000n,
        attributes: {},
        phases: [],
        notes: []
      }
      followed.delete(event.connectionId)
      emit(tracer, connection, event, at)
      return
    }
    if (!("connectionId" in event)) return
    const connection = followed.get(event.connectionId)
    if (connection === undefined) return
    switch (event._tag) {
      case "HandshakeCompleted":
        connection.attributes["rtmp.handshake"] = event.kind
        finish(connection, at, "handshake")
        begin(connection, "connect", at)
        break
      case "ClientConnected":
        connection.attributes["rtmp.application"] = text(event.application)
        connection.attributes["rtmp.flash_ver"] = text(event.flashVer)
        finish(connection, at, "connect")
        break
      case "PublishStarted":
        begin(connection, "publish", at, { "rtmp.stream": text(event.streamKey) })
        break
      case "PlayStarted":
        begin(connection, "play", at, { "rtmp.stream": text(event.streamKey) })
        break
      case "PublishStopped":
        finish(connection, at, "publish", event.streamKey)
        break
      case "FramesDropped":
        note(connection, "frames dropped", at, { ...event.drops })
        break
      case "AccessRefused":
        note(connection, "access refused", at, { action: event.action, reason: event.reason })
        break
      case "Anomaly":
        note(connection, "anomaly", at, { kind: event.kind })
        break
    }
  }
}

type Closed = Extract<ServerEvent, { readonly _tag: "ConnectionClosed" }>

const emit = (tracer: Tracer.Tracer, connection: Followed, closed: Closed, at: bigint): void => {
  const span = tracer.span({
    name: "rtmp connection",
    kind: "server",
    parent: Option.none(),
    annotations: Context.empty(),
    links: [],
    startTime: connection.openedAt,
    root: true,
    sampled: true
  })
  const attributes = {
    ...connection.attributes,
    "rtmp.connection": closed.connectionId,
    ...client(closed.remote),
    "rtmp.close_reason": closed.reason,
    "rtmp.stage": closed.stage,
    "rtmp.bytes_received": closed.totals.bytesReceived,
    "rtmp.bytes_sent": closed.totals.bytesSent
  }
  for (const [name, value] of Object.entries(attributes)) span.attribute(name, value)
  for (const note of connection.notes) span.event(note.name, note.at, note.attributes)
  for (const phase of connection.phases) {
    const child = tracer.span({
      name: `rtmp ${phase.name}`,
      kind: "internal",
      parent: Option.some(span),
      annotations: Context.empty(),
      links: [],
      startTime: phase.start,
      root: false,
      sampled: true
    })
    for (const [name, value] of Object.entries(phase.attributes)) child.attribute(name, value)
    child.end(phase.end ?? at, Exit.void)
  }
  // A client that leaves is no error; what an operator may want to look into is.
  span.end(at, CloseReason.level(closed.reason) === "info" ? Exit.void : Exit.fail(new Error(closed.reason)))
}

const client = (remote: Endpoint): Readonly<Record<string, string | number>> => ({
  "client.address": remote.host,
  "client.port": remote.port
})

const maxTextBytes = 255

const text = (name: string): string => Log.escapeForLog(name, maxTextBytes)
