/**
 * What the endpoints of the admin API do: they translate between HTTP and the services of the server, and nothing else.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpEffect from "effect/http/HttpEffect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Stream from "effect/Stream"
import * as ConfigDiff from "../config/ConfigDiff.ts"
import * as ConfigShow from "../config/ConfigShow.ts"
import { ConfigStore } from "../config/ConfigStore.ts"
import { keys, loadWith } from "../config/RtmpConfig.ts"
import { Health } from "../observability/Health.ts"
import { LogLevels } from "../observability/LogLevels.ts"
import { Metrics } from "../observability/Metrics.ts"
import { RecentLog } from "../observability/RecentLog.ts"
import { RtmpServer } from "../server/RtmpServer.ts"
import type { DrainOptions } from "../server/ServerAdmin.ts"
import { AdminApi } from "./AdminApi.ts"
import { AdminContext } from "./AdminContext.ts"
import { Conflict, NotFound, TooManyRequests, Unprocessable } from "./AdminErrors.ts"
import * as AdminEvents from "./AdminEvents.ts"
import * as Describe from "./Describe.ts"
import * as Probes from "./Probes.ts"

/** Clients that may follow the events at the same time. */
export const maxFollowers = 16

/** Rooms that may have a level of their own. */
export const maxLeveledRooms = 64

const defaultLines = 100

const retryAfterSeconds = 30

const toDrainOptions = (payload: { readonly reconnectTo?: string; readonly graceMs?: number }): DrainOptions => ({
  ...(payload.reconnectTo === undefined ? {} : { reconnectTo: payload.reconnectTo }),
  ...(payload.graceMs === undefined ? {} : { grace: payload.graceMs })
})

/** The endpoints about the server as a whole. */
export const layerServer = HttpApiBuilder.group(
  AdminApi,
  "server",
  Effect.fnUntraced(function* (handlers) {
    const server = yield* RtmpServer
    const health = yield* Health
    const store = yield* ConfigStore
    const context = yield* AdminContext
    const clock = yield* Clock.Clock
    return handlers.handleAll({
      info: Effect.fnUntraced(function* () {
        const config = yield* store.current
        const addresses = yield* server.addresses
        const others = yield* context.listeners
        const now = clock.currentTimeMillisUnsafe()
        return {
          version: context.version,
          runtime: context.runtime,
          instance: config.instance.name,
          lifecycle: yield* server.lifecycle,
          startedAt: context.startedAt,
          uptimeMs: Math.max(0, now - context.startedAt),
          listeners: [...addresses, ...others],
          statistics: Describe.statistics(yield* server.statistics),
          components: yield* server.components
        }
      }),
      health: () => Effect.all({ live: health.live, ready: health.ready }),
      drain: Effect.fnUntraced(function* ({ payload }) {
        const before = yield* server.lifecycle
        if (before !== "Running" && before !== "Draining") {
          return yield* new Conflict({ message: `the server is ${before}, and has nobody to move away` })
        }
        yield* server.drain(toDrainOptions(payload))
        return { lifecycle: yield* server.lifecycle }
      }),
      resume: Effect.fnUntraced(function* () {
        yield* server.resume
        const lifecycle = yield* server.lifecycle
        if (lifecycle !== "Running") {
          return yield* new Conflict({ message: `the server is ${lifecycle}, which cannot be taken back` })
        }
        return { lifecycle }
      }),
      shutdown: Effect.fnUntraced(function* ({ payload }) {
        const { connections } = yield* server.statistics
        yield* context.stop({ ...toDrainOptions(payload), ...(payload.force === true ? { force: true } : {}) })
        return { connections }
      })
    })
  })
)

/** The endpoints about streams. */
export const layerStreams = HttpApiBuilder.group(
  AdminApi,
  "streams",
  Effect.fnUntraced(function* (handlers) {
    const server = yield* RtmpServer
    return handlers.handleAll({
      list: () => Effect.all({ streams: server.streams, disabled: server.disabledStreams }),
      get: Effect.fnUntraced(function* ({ query }) {
        return (yield* server.stream(query.key)) ?? (yield* new NotFound({ message: "nobody publishes this stream" }))
      }),
      kick: Effect.fnUntraced(function* ({ payload: { description, key } }) {
        if (yield* server.kickPublisher(key, description)) return { key }
        return yield* new NotFound({ message: "no connection publishes this stream" })
      }),
      disable: ({ payload: { key } }) => Effect.map(server.disableStream(key), (changed) => ({ key, changed })),
      enable: ({ payload: { key } }) => Effect.map(server.enableStream(key), (changed) => ({ key, changed }))
    })
  })
)

/** The endpoints about connections. */
export const layerConnections = HttpApiBuilder.group(
  AdminApi,
  "connections",
  Effect.fnUntraced(function* (handlers) {
    const server = yield* RtmpServer
    const gone = new NotFound({ message: "there is no such connection, or no longer" })
    return handlers.handleAll({
      list: ({ query: { stream } }) =>
        Effect.map(server.connections, (connections) =>
          stream === undefined
            ? connections
            : connections.filter(
                ({ playing, publishing }) =>
                  publishing.includes(stream) || playing.some(({ streamKey }) => streamKey === stream)
              )
        ),
      get: Effect.fnUntraced(function* ({ params }) {
        return (yield* server.connection(params.id)) ?? (yield* gone)
      }),
      kick: Effect.fnUntraced(function* ({ params: { id }, payload }) {
        return (yield* server.kick(id, payload.description)) ? { id } : yield* gone
      })
    })
  })
)

/** The endpoints about the configuration. */
export const layerConfig = HttpApiBuilder.group(
  AdminApi,
  "config",
  Effect.fnUntraced(function* (handlers) {
    const store = yield* ConfigStore
    return handlers.handleAll({
      show: () =>
        Effect.map(store.loaded, (loaded) => ({
          keys: ConfigShow.show(loaded).map(Describe.configKey),
          warnings: loaded.warnings
        })),
      check: Effect.fnUntraced(function* ({ payload }) {
        const now = yield* store.current
        // Few runs ever need it, and it brings a parser for YAML.
        const ConfigFile = yield* Effect.promise(() => import("../config/ConfigFile.ts"))
        const loaded = yield* Effect.result(
          Effect.flatMap(ConfigFile.parse(keys, payload.text, "text"), (source) => loadWith([source]))
        )
        if (loaded._tag === "Success") {
          const { config, warnings } = loaded.success
          const changes = ConfigDiff.diff(now, config).map(Describe.configChange)
          return { valid: true, problems: [], warnings, changes }
        }
        const { detail, problems } = loaded.failure
        return {
          valid: false,
          problems:
            problems.length > 0
              ? problems
              : [
                  {
                    reason: "Syntax" as const,
                    origin: "text",
                    path: "",
                    expected: "a configuration",
                    found: `${detail}`
                  }
                ],
          warnings: [],
          changes: []
        }
      }),
      reload: () =>
        store.reload.pipe(
          Effect.map((report) => ({
            changes: report.changes.map(Describe.configChange),
            inForceMs: report.inForceMs,
            needsRestart: report.needsRestart.map(Describe.configChange),
            warnings: report.warnings,
            failed: report.failed
          })),
          Effect.catchTags({
            ConfigError: ({ message, problems }) => Effect.fail(new Unprocessable({ message, problems })),
            ReloadError: ({ message }) => Effect.fail(new Conflict({ message }))
          })
        )
    })
  })
)

/** The endpoints about the log. */
export const layerLog = HttpApiBuilder.group(
  AdminApi,
  "log",
  Effect.fnUntraced(function* (handlers) {
    const levels = yield* LogLevels
    const log = yield* RecentLog
    return handlers.handleAll({
      levels: () => levels.get,
      setLevel: Effect.fnUntraced(function* ({ payload: { level, room } }) {
        const { rooms } = yield* levels.get
        if (room !== undefined && !Object.hasOwn(rooms, room) && Object.keys(rooms).length >= maxLeveledRooms) {
          return yield* new Conflict({ message: `${maxLeveledRooms} rooms have a level of their own already` })
        }
        yield* levels.set(level, room)
        return yield* levels.get
      }),
      resetLevel: ({ payload: { room } }) => Effect.andThen(levels.reset(room), levels.get),
      lines: ({ query }) =>
        Effect.map(log.recent({ limit: defaultLines, ...query }), (entries) => entries.map(Describe.logEntry))
    })
  })
)

/** The endpoint that tells what happens. */
export const layerEvents = HttpApiBuilder.group(
  AdminApi,
  "events",
  Effect.fnUntraced(function* (handlers) {
    const services = yield* Effect.context<RtmpServer | ConfigStore | RecentLog | AdminContext>()
    let followers = 0
    return handlers.handle(
      "follow",
      Effect.fnUntraced(function* ({ query: { logs, room } }) {
        if (followers >= maxFollowers) {
          yield* HttpEffect.appendPreResponseHandler((_, response) =>
            Effect.succeed(HttpServerResponse.setHeader(response, "retry-after", String(retryAfterSeconds)))
          )
          const message = `${maxFollowers} clients follow the events already`
          return yield* new TooManyRequests({ message, retryAfterSeconds })
        }
        const place = Effect.acquireRelease(
          Effect.sync(() => {
            followers++
          }),
          () =>
            Effect.sync(() => {
              followers--
            })
        )
        return Stream.unwrap(
          Effect.andThen(
            place,
            AdminEvents.follow({
              ...(logs === undefined ? {} : { level: logs }),
              ...(room === undefined ? {} : { room })
            })
          )
        ).pipe(Stream.provideContext(services))
      })
    )
  })
)

/** The probes and the metrics, for whoever serves the API by other means than `NodeHttp`. */
export const layerProbes = HttpApiBuilder.group(
  AdminApi,
  "probes",
  Effect.fnUntraced(function* (handlers) {
    const health = yield* Health
    const metrics = yield* Metrics
    const store = yield* ConfigStore
    return handlers.handleAll({
      healthz: () => Effect.map(Probes.healthz(health), respond),
      readyz: () => Effect.map(Probes.readyz(health), respond),
      metrics: () => Effect.map(Probes.metrics(metrics, store), respond)
    })
  })
)

const respond = ({ body, contentType, status }: Probes.Answer) => HttpServerResponse.text(body, { status, contentType })
