/**
 * The configuration of the server: one Schema that gives the types, the defaults, the validation and the documentation.
 *
 * The keys stand in `ConfigGroups`; what the sources are and how they are laid on top of each other is `ConfigSource`'s
 * business, and what happens when they change is `ConfigStore`'s.
 *
 * Times are `Duration`s, sizes are numbers of bytes, bitrates numbers of bits per second, and all of it is read-only. A
 * configuration that has been decoded is complete: nothing in it is optional, and what depends on the profile or on the
 * latency mode has been filled in.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { accessConflicts, acl, auth } from "./ConfigAccess.ts"
import { type ConfigError, describeWarning } from "./ConfigError.ts"
import * as Groups from "./ConfigGroups.ts"
import * as ConfigKey from "./ConfigKey.ts"
import * as ConfigSource from "./ConfigSource.ts"
import { tls, tlsConflicts } from "./ConfigTls.ts"
import { formatBytes, formatDuration } from "./ConfigValue.ts"
import { isThisMachine } from "./ListenHost.ts"

export type { LatencyMode, Profile } from "./ConfigGroups.ts"
export { latencyModes, latencyShapes, profiles } from "./ConfigGroups.ts"

/** What an operator writes: every group and every key may be left out. */
const Written = Schema.Struct({
  profile: Groups.profile,
  instance: ConfigKey.group(Groups.instance),
  listen: ConfigKey.group(Groups.listen),
  tls: ConfigKey.group(tls),
  handshake: ConfigKey.group(Groups.handshake),
  session: ConfigKey.group(Groups.session),
  chunk: ConfigKey.group(Groups.chunk),
  limits: ConfigKey.group(Groups.limits),
  publisher: ConfigKey.group(Groups.publisher),
  play: ConfigKey.group(Groups.play),
  auth: ConfigKey.group(auth),
  acl: ConfigKey.group(acl),
  gopCache: ConfigKey.group(Groups.gopCache),
  outbox: ConfigKey.group(Groups.outbox),
  latency: ConfigKey.group(Groups.latency),
  log: ConfigKey.group(Groups.log),
  metrics: ConfigKey.group(Groups.metrics),
  otlp: ConfigKey.group(Groups.otlp),
  http: ConfigKey.group(Groups.http),
  health: ConfigKey.group(Groups.health),
  shutdown: ConfigKey.group(Groups.shutdown),
  config: ConfigKey.group(Groups.config)
})

/**
 * The latency of one application, all of it worked out: what its mode means, or what holds for the server with another
 * merge window. `mode` is absent where a merge window was set instead of a mode.
 */
export interface ApplicationLatency extends Groups.LatencyShape {
  readonly mode?: Groups.LatencyMode
}

const ApplicationLatency = Schema.Struct({
  mode: Schema.optionalKey(Schema.Literals(Groups.latencyModes)),
  mergeWindowMs: Schema.Finite,
  outboxMaxDelayMs: Schema.Finite,
  gopMinDurationMs: Schema.Finite
})

/** What the server works with: everything is there. */
const Complete = Schema.Struct({
  profile: Schema.Literals(Groups.profiles),
  instance: ConfigKey.complete(Groups.instance),
  listen: ConfigKey.complete(Groups.listen),
  tls: ConfigKey.complete(tls),
  handshake: ConfigKey.complete(Groups.handshake),
  session: ConfigKey.complete(Groups.session),
  chunk: ConfigKey.complete(Groups.chunk),
  limits: ConfigKey.complete(Groups.limits),
  publisher: ConfigKey.complete(Groups.publisher),
  play: ConfigKey.complete(Groups.play),
  auth: ConfigKey.complete(auth),
  acl: ConfigKey.complete(acl),
  gopCache: ConfigKey.complete(Groups.gopCache),
  outbox: ConfigKey.complete(Groups.outbox),
  latency: ConfigKey.complete({
    ...Groups.latency,
    applications: Schema.ReadonlyMap(Schema.String, ApplicationLatency)
  }),
  log: ConfigKey.complete(Groups.log),
  metrics: ConfigKey.complete(Groups.metrics),
  otlp: ConfigKey.complete(Groups.otlp),
  http: ConfigKey.complete(Groups.http),
  health: ConfigKey.complete(Groups.health),
  shutdown: ConfigKey.complete(Groups.shutdown),
  config: ConfigKey.complete(Groups.config)
})

/** The decoded configuration. */
export type RtmpConfigData = typeof Complete.Type

/** A configuration as it is written: groups and keys may be left out, durations and sizes may be text. */
export type RtmpConfigInput = typeof Written.Encoded

/** A rule between two keys of a group: the value of `lesser` must not exceed that of `greater`. */
interface AtMost {
  readonly group: string
  readonly lesser: string
  readonly greater: string
  readonly compare: (config: RtmpConfigData) => readonly [lesser: number, greater: number]
  readonly format: (value: number) => string
}

const formatMs = (ms: number): string => formatDuration(Duration.millis(ms))

const rules: ReadonlyArray<AtMost> = [
  {
    group: "session",
    lesser: "pingInterval",
    greater: "pingTimeout",
    compare: ({ session }) => [Duration.toMillis(session.pingInterval), Duration.toMillis(session.pingTimeout)],
    format: formatMs
  },
  {
    group: "gopCache",
    lesser: "minDuration",
    greater: "maxDuration",
    compare: ({ gopCache }) => [Duration.toMillis(gopCache.minDuration), Duration.toMillis(gopCache.maxDuration)],
    format: formatMs
  },
  {
    group: "limits",
    lesser: "maxCommandBytes",
    greater: "maxMessageBytes",
    compare: ({ limits }) => [limits.maxCommandBytes, limits.maxMessageBytes],
    format: formatBytes
  },
  {
    group: "limits",
    lesser: "maxMetadataBytes",
    greater: "maxMessageBytes",
    compare: ({ limits }) => [limits.maxMetadataBytes, limits.maxMessageBytes],
    format: formatBytes
  },
  {
    group: "limits",
    lesser: "maxMessageBytes",
    greater: "maxReassemblyBytes",
    compare: ({ limits }) => [limits.maxMessageBytes, limits.maxReassemblyBytes],
    format: formatBytes
  }
]

const isConsistent = Schema.makeFilter<RtmpConfigData>((config) => [
  ...rules.flatMap(({ compare, format, greater, group, lesser }) => {
    const [value, bound] = compare(config)
    return value <= bound
      ? []
      : [{ path: [group, lesser], issue: `at most ${format(bound)}, the value of ${group}.${greater}` }]
  }),
  ...(config.listen.enabled || config.tls.enabled
    ? []
    : [{ path: ["listen", "enabled"], issue: "true, because tls.enabled is false: the server would listen nowhere" }]),
  ...tlsConflicts(config.tls),
  ...accessConflicts(config.auth)
])

/** Whoever reaches the API may do everything with the server, so others than this machine need tokens. */
const isGuarded = Schema.makeFilter<RtmpConfigData>(({ http: { enabled, host, readTokens, writeTokens } }) =>
  !enabled || readTokens.length > 0 || writeTokens.length > 0 || isThisMachine(host)
    ? []
    : [
        {
          path: ["http", "host"],
          issue:
            "127.0.0.1, ::1 or localhost as long as http.readTokens and http.writeTokens (RTMP_HTTP_READ_TOKENS, " +
            "RTMP_HTTP_WRITE_TOKENS) are empty and http.enabled is true"
        }
      ]
)

const completion = SchemaTransformation.transform<RtmpConfigData, typeof Written.Type>({
  decode: (written) => {
    const profile = Groups.profileDefaults[written.profile]
    const shape = Groups.latencyShapes[written.latency.mode]
    const gopCache = {
      minDuration: Duration.millis(shape.gopMinDurationMs),
      ...profile.gopCache,
      ...written.gopCache
    }
    const outbox = { maxDelay: Duration.millis(shape.outboxMaxDelayMs), ...profile.outbox, ...written.outbox }
    const server = {
      outboxMaxDelayMs: Duration.toMillis(outbox.maxDelay),
      gopMinDurationMs: Duration.toMillis(gopCache.minDuration)
    }
    const applications = new Map(
      [...written.latency.applications].map(([name, value]): readonly [string, ApplicationLatency] => [
        name,
        typeof value === "string"
          ? { mode: value, ...Groups.latencyShapes[value] }
          : { mergeWindowMs: Duration.toMillis(value), ...server }
      ])
    )
    return {
      ...written,
      listen: { ...profile.listen, ...written.listen },
      limits: { ...profile.limits, ...written.limits },
      gopCache,
      outbox,
      latency: { mergeWindow: Duration.millis(shape.mergeWindowMs), ...written.latency, applications }
    }
  },
  encode: (config) => ({
    ...config,
    latency: {
      ...config.latency,
      applications: new Map(
        [...config.latency.applications].map(([name, { mode, mergeWindowMs }]) => [
          name,
          mode ?? Duration.millis(mergeWindowMs)
        ])
      )
    }
  })
})

/** Decodes what an operator writes into the complete configuration. */
export const RtmpConfigSchema: Schema.Codec<RtmpConfigData, RtmpConfigInput> = Written.pipe(
  Schema.decodeTo(Complete.check(isConsistent, isGuarded), completion)
)

/** Every key, in the order of the Schema. */
export const keys: ReadonlyArray<ConfigKey.ConfigKey> = ConfigKey.keysOf(Written)

/** The Schema and its keys, as `ConfigSource.load` takes them. */
export const model: ConfigSource.ConfigModel<RtmpConfigData, RtmpConfigInput> = { schema: RtmpConfigSchema, keys }

/**
 * The same for whoever reads a configuration without serving with it, to ask the server or to compare files: its tokens may
 * stand where only the server can read them, so their absence is no mistake here.
 */
export const askingModel: typeof model = {
  schema: Written.pipe(Schema.decodeTo(Complete.check(isConsistent), completion)),
  keys
}

/**
 * Gives every key as it would stand in a file: text for durations, sizes and bitrates; secrets in clear. By path, in the
 * order of the Schema.
 */
export const written = (config: RtmpConfigData): ReadonlyMap<string, unknown> => {
  const encoded: unknown = Schema.encodeSync(RtmpConfigSchema)(config)
  return new Map(
    keys.map(({ path }) => [
      path,
      path.split(".").reduce<unknown>((members, step) => (members as Record<string, unknown>)[step], encoded)
    ])
  )
}

/**
 * Loads the configuration from sources such as a file, and from the environment, which lies above them. The environment
 * is read through the current `ConfigProvider`.
 *
 * Warnings and origins come with it; `RtmpConfig.layerFromEnv` logs the warnings instead.
 */
export const loadWith = (
  sources: ReadonlyArray<ConfigSource.ConfigSource>
): Effect.Effect<ConfigSource.LoadedConfig<RtmpConfigData>, ConfigError> =>
  Effect.gen(function* () {
    const environment = yield* ConfigSource.fromProvider(keys, yield* ConfigProvider.ConfigProvider)
    return yield* Effect.fromResult(ConfigSource.load(model, [...sources, environment]))
  })

/** Loads the configuration from the environment alone. */
export const loadFromEnv: Effect.Effect<ConfigSource.LoadedConfig<RtmpConfigData>, ConfigError> = loadWith([])

/** The configuration of the server, as a service. */
export class RtmpConfig extends Context.Service<RtmpConfig, RtmpConfigData>()("effect-rtmp/config/RtmpConfig") {
  /** The configuration where nothing is set. */
  static readonly defaults: RtmpConfigData = Schema.decodeSync(RtmpConfigSchema)({})

  /**
   * Gives the defaults with some keys replaced, written as in a file: `{ listen: { port: 0 }, publisher: { resumeGrace:
   * "5 seconds" } }`. Values that are not valid are a mistake in the program, and a defect with the `ConfigError`.
   */
  static readonly layer = (overrides: RtmpConfigInput = {}): Layer.Layer<RtmpConfig> =>
    Layer.effect(
      RtmpConfig,
      Effect.suspend(() => {
        const loaded = ConfigSource.load(model, [ConfigSource.fromValues(keys, overrides, "override")])
        if (Result.isFailure(loaded)) return Effect.die(loaded.failure)
        return Effect.succeed(loaded.success.config)
      })
    )

  /** Reads the environment through the current `ConfigProvider`, and logs a warning for each unknown `RTMP_` variable. */
  static readonly layerFromEnv: Layer.Layer<RtmpConfig, ConfigError> = Layer.effect(
    RtmpConfig,
    Effect.gen(function* () {
      const { config, warnings } = yield* loadFromEnv
      for (const warning of warnings) yield* Effect.logWarning(describeWarning(warning))
      return config
    })
  )
}
