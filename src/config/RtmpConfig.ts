/**
 * The configuration of the server: one Schema that gives the types, the defaults, the validation and the documentation.
 *
 * A key is added here and nowhere else: its environment variable, its row in the README, its line in the example file
 * and its place in an error follow from the Schema. What the sources are and how they are laid on top of each other is
 * `ConfigSource`'s business.
 *
 * Times are `Duration`s, sizes are numbers of bytes, and all of it is read-only. A configuration that has been decoded is
 * complete: nothing in it is optional, and what depends on the latency mode has been filled in.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Log from "../observability/Log.ts"
import { type ConfigError, describeWarning } from "./ConfigError.ts"
import * as ConfigKey from "./ConfigKey.ts"
import { bytes, choice, count, dependentKey, duration, flag, group, key, list, text } from "./ConfigKey.ts"
import * as ConfigSource from "./ConfigSource.ts"

/** How a viewer's batches are formed: `low` sends at once, `throughput` merges for the fewest writes. */
export const latencyModes = ["low", "balanced", "throughput"] as const

/** A latency mode by its name in the configuration. */
export type LatencyMode = (typeof latencyModes)[number]

const listen = {
  host: key(text("an address or a host name"), "0.0.0.0", "Address to listen on; `::` is IPv6, and IPv4 with it"),
  port: key(count({ min: 0, max: 65_535 }), 1935, "TCP port; 0 takes any free one and logs it"),
  backlog: key(
    count({ min: 1, max: 65_535, unit: "connections" }),
    1024,
    "Connections that the system may hold until the server accepts them"
  )
}

const handshake = {
  timeout: key(duration({ min: "100 ms" }), "10 seconds", "Time for the whole handshake"),
  strict: key(flag, false, "Refuse a C2 that does not repeat S1; encoders in the wild send others"),
  reservedVersions: key(
    choice(["accept", "reject"]),
    "accept",
    "What to do with a C0 other than 3 that the specification reserves for the future"
  )
}

const session = {
  connectTimeout: key(duration({ min: "100 ms" }), "10 seconds", "Time from the handshake to the connect command"),
  idleTimeout: key(duration({ min: "100 ms" }), "30 seconds", "Time from connect to the first publish or play"),
  pingInterval: key(duration({ min: "100 ms" }), "30 seconds", "Silence after which a client is sent a ping"),
  pingTimeout: key(
    duration({ min: "100 ms" }),
    "60 seconds",
    "Silence after which a client is taken for dead; any byte counts as alive"
  ),
  applications: key(list, "", "Names of the applications that clients may connect to; empty allows any"),
  maxStreams: key(
    count({ min: 1, max: 256, unit: "message streams" }),
    8,
    "Message streams that one connection may open"
  )
}

const chunk = {
  outSize: key(count({ min: 128, max: 65_536, unit: "bytes" }), 60_000, "Chunk size of what the server sends"),
  windowAckSize: key(
    bytes({ min: "64KiB", max: "1GiB" }),
    2_500_000,
    "Bytes after which a client is asked for an acknowledgement"
  ),
  peerBandwidth: key(bytes({ min: "64KiB", max: "1GiB" }), 2_500_000, "Window that a client is told to keep to")
}

const limits = {
  maxMessageBytes: key(bytes({ min: "64KiB", max: "16777215" }), "10MiB", "Largest message"),
  maxCommandBytes: key(bytes({ min: "1KiB", max: "16777215" }), "64KiB", "Largest message before publish or play"),
  maxChunkStreams: key(count({ min: 4, max: 65_597, unit: "chunk streams" }), 64, "Chunk streams of one connection"),
  maxReassemblyBytes: key(
    bytes({ min: "64KiB", max: "1GiB" }),
    "16MiB",
    "Bytes of unfinished messages that one connection may hold"
  ),
  maxAnomalies: key(
    count({ min: 0, max: 1_000_000, unit: "anomalies" }),
    64,
    "Oddities that a connection is forgiven before it is closed"
  ),
  maxConnections: key(count({ min: 1, max: 1_000_000, unit: "connections" }), 1000, "Connections at the same time"),
  maxPendingHandshakes: key(
    count({ min: 1, max: 1_000_000, unit: "connections" }),
    1000,
    "Connections whose handshake is not finished yet"
  ),
  maxNameBytes: key(bytes({ min: "1", max: "64KiB" }), 255, "Longest name of an application or a stream"),
  maxQueryBytes: key(bytes({ min: "0", max: "64KiB" }), 4096, "Longest query behind a name"),
  amfDepth: key(count({ min: 4, max: 1024, unit: "levels" }), 32, "Deepest nesting of an AMF value"),
  amfNodes: key(count({ min: 64, max: 1_000_000, unit: "values" }), 4096, "Values in one AMF message"),
  maxMetadataBytes: key(bytes({ min: "1KiB", max: "16777215" }), "1MiB", "Largest metadata of a stream"),
  maxWaitingViewers: key(
    count({ min: 0, max: 1_000_000, unit: "viewers" }),
    1000,
    "Viewers that wait for publishers to come"
  ),
  maxHeaderBytes: key(bytes({ min: "1KiB", max: "64MiB" }), "1MiB", "Codec headers that are kept for one stream"),
  maxTracks: key(count({ min: 1, max: 32, unit: "tracks" }), 32, "Tracks of one stream")
}

const publisher = {
  conflict: key(
    choice(["reject", "takeover"]),
    "reject",
    "What becomes of a second publisher of the same stream: refused, or let in where both have the same credential"
  ),
  silentAfter: key(
    duration({ min: "0" }),
    "5 seconds",
    "Time without media after which a publisher may be replaced by another one in any case"
  ),
  resumeGrace: key(
    duration({ min: "0" }),
    "10 seconds",
    "Time that viewers stay after their publisher broke off, for it to come back; 0 ends the stream at once"
  )
}

const play = {
  waitForPublisher: key(flag, true, "Let a viewer wait for a stream that nobody publishes yet"),
  waitTimeout: key(duration({ min: "0" }), "60 seconds", "Longest wait for a publisher")
}

const gopCache = {
  enabled: key(flag, true, "Keep the current group of pictures, so that a new viewer has a picture at once"),
  maxDuration: key(duration({ min: "0" }), "30 seconds", "Longest time that is kept"),
  maxBytes: key(bytes({ min: "0", max: "4GiB" }), "32MiB", "Most bytes that are kept for one stream"),
  maxFrames: key(
    count({ min: 0, max: 1_000_000, unit: "messages" }),
    4096,
    "Most messages that are kept for one stream"
  )
}

const gopCacheMinDuration = duration({ min: "0" })

const outbox = {
  maxBytes: key(bytes({ min: "64KiB", max: "4GiB" }), "16MiB", "Bytes that may wait for one viewer"),
  stallTimeout: key(duration({ min: "100 ms" }), "30 seconds", "Time without progress after which a viewer is closed")
}

const outboxMaxDelay = duration({ min: "10 ms" })

const latency = {
  mode: key(
    choice(latencyModes),
    "balanced",
    "What to favour: `low` sends every message at once, `throughput` merges the most into one write"
  )
}

const latencyMergeWindow = duration({ min: "0", max: "10 seconds" })

const log = {
  level: key(choice(Log.levels), "info", "Lowest level that is logged"),
  format: key(choice(Log.formats), "auto", "`pretty` for people, `json` for machines; `auto` is `pretty` on a terminal")
}

const shutdown = {
  grace: key(duration({ min: "0" }), "30 seconds", "Time for connections to end when the server stops")
}

/** The defaults that follow from the latency mode, in milliseconds. */
const modes: Readonly<
  Record<LatencyMode, { readonly mergeWindow: number; readonly maxDelay: number; readonly minDuration: number }>
> = {
  low: { mergeWindow: 0, maxDelay: 500, minDuration: 0 },
  balanced: { mergeWindow: 40, maxDelay: 5000, minDuration: 2000 },
  throughput: { mergeWindow: 350, maxDelay: 5000, minDuration: 2000 }
}

const noteOf = (name: "mergeWindow" | "maxDelay" | "minDuration"): string =>
  latencyModes
    .filter((mode) => mode !== "balanced" && modes[mode][name] !== modes.balanced[name])
    .map((mode) => `${ConfigKey.formatDuration(Duration.millis(modes[mode][name]))} with latency mode \`${mode}\``)
    .join(", ")

const dependent = <A, I>(
  value: ConfigKey.ConfigValue<A, I>,
  name: "mergeWindow" | "maxDelay" | "minDuration",
  description: string
) => dependentKey(value, ConfigKey.formatDuration(Duration.millis(modes.balanced[name])), noteOf(name), description)

/** What an operator writes: every group and every key may be left out. */
const Written = Schema.Struct({
  listen: group(listen),
  handshake: group(handshake),
  session: group(session),
  chunk: group(chunk),
  limits: group(limits),
  publisher: group(publisher),
  play: group(play),
  gopCache: group({
    enabled: gopCache.enabled,
    minDuration: dependent(
      gopCacheMinDuration,
      "minDuration",
      "Time that the cache tries to cover; 0 keeps the newest group of pictures only"
    ),
    maxDuration: gopCache.maxDuration,
    maxBytes: gopCache.maxBytes,
    maxFrames: gopCache.maxFrames
  }),
  outbox: group({
    maxDelay: dependent(
      outboxMaxDelay,
      "maxDelay",
      "How far a viewer may fall behind before frames up to a keyframe are dropped for it"
    ),
    maxBytes: outbox.maxBytes,
    stallTimeout: outbox.stallTimeout
  }),
  latency: group({
    mode: latency.mode,
    mergeWindow: dependent(latencyMergeWindow, "mergeWindow", "Time in which messages are merged into one write")
  }),
  log: group(log),
  shutdown: group(shutdown)
})

/** What the server works with: everything is there. */
const Complete = Schema.Struct({
  listen: Schema.toType(Schema.Struct(listen)),
  handshake: Schema.toType(Schema.Struct(handshake)),
  session: Schema.toType(Schema.Struct(session)),
  chunk: Schema.toType(Schema.Struct(chunk)),
  limits: Schema.toType(Schema.Struct(limits)),
  publisher: Schema.toType(Schema.Struct(publisher)),
  play: Schema.toType(Schema.Struct(play)),
  gopCache: Schema.toType(Schema.Struct({ ...gopCache, minDuration: gopCacheMinDuration.codec })),
  outbox: Schema.toType(Schema.Struct({ ...outbox, maxDelay: outboxMaxDelay.codec })),
  latency: Schema.toType(Schema.Struct({ ...latency, mergeWindow: latencyMergeWindow.codec })),
  log: Schema.toType(Schema.Struct(log)),
  shutdown: Schema.toType(Schema.Struct(shutdown))
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

const formatMs = (ms: number): string => ConfigKey.formatDuration(Duration.millis(ms))

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
    format: ConfigKey.formatBytes
  },
  {
    group: "limits",
    lesser: "maxMetadataBytes",
    greater: "maxMessageBytes",
    compare: ({ limits }) => [limits.maxMetadataBytes, limits.maxMessageBytes],
    format: ConfigKey.formatBytes
  },
  {
    group: "limits",
    lesser: "maxMessageBytes",
    greater: "maxReassemblyBytes",
    compare: ({ limits }) => [limits.maxMessageBytes, limits.maxReassemblyBytes],
    format: ConfigKey.formatBytes
  }
]

const isConsistent = Schema.makeFilter<RtmpConfigData>((config) =>
  rules.flatMap(({ compare, format, greater, group, lesser }) => {
    const [value, bound] = compare(config)
    return value <= bound
      ? []
      : [{ path: [group, lesser], issue: `at most ${format(bound)}, the value of ${group}.${greater}` }]
  })
)

/** Decodes what an operator writes into the complete configuration. */
export const RtmpConfigSchema: Schema.Codec<RtmpConfigData, RtmpConfigInput> = Written.pipe(
  Schema.decodeTo(
    Complete.check(isConsistent),
    SchemaTransformation.transform<RtmpConfigData, typeof Written.Type>({
      decode: (written) => {
        const defaults = modes[written.latency.mode]
        return {
          ...written,
          gopCache: { minDuration: Duration.millis(defaults.minDuration), ...written.gopCache },
          outbox: { maxDelay: Duration.millis(defaults.maxDelay), ...written.outbox },
          latency: { mergeWindow: Duration.millis(defaults.mergeWindow), ...written.latency }
        }
      },
      encode: (config) => config
    })
  )
)

/** Every key, in the order of the Schema. */
export const keys: ReadonlyArray<ConfigKey.ConfigKey> = ConfigKey.keysOf(Written)

/** The Schema and its keys, as `ConfigSource.load` takes them. */
export const model: ConfigSource.ConfigModel<RtmpConfigData, RtmpConfigInput> = { schema: RtmpConfigSchema, keys }

/**
 * Loads the configuration from the environment, through the current `ConfigProvider`.
 *
 * Warnings and origins come with it; `RtmpConfig.layerFromEnv` logs the warnings instead.
 */
export const loadFromEnv: Effect.Effect<ConfigSource.LoadedConfig<RtmpConfigData>, ConfigError> = Effect.gen(
  function* () {
    const source = yield* ConfigSource.fromProvider(keys, yield* ConfigProvider.ConfigProvider)
    return yield* Effect.fromResult(ConfigSource.load(model, [source]))
  }
)

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
        const loaded = ConfigSource.load(model, [ConfigSource.fromValues(overrides, "override")])
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
