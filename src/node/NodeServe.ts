/**
 * A server as a process of its own: a graph such as `App.layerOperated`, with everything that a process on Node adds to it, in the order in which it
 * starts. It ends in the opposite one: the service manager is told, HTTP closes, the server stops, the log is flushed.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { describeWarning } from "../config/ConfigError.ts"
import * as ConfigShow from "../config/ConfigShow.ts"
import { ConfigStore } from "../config/ConfigStore.ts"
import type { RtmpConfig, RtmpConfigData } from "../config/RtmpConfig.ts"
import { Health, type RuntimeLimits } from "../observability/Health.ts"
import { inRoom, LogLevels } from "../observability/LogLevels.ts"
import type { Metrics, MetricsSettings } from "../observability/Metrics.ts"
import type { RuntimeStats } from "../observability/RuntimeMetrics.ts"
import type { RtmpCrypto } from "../protocol/Crypto.ts"
import { RtmpServer } from "../server/RtmpServer.ts"
import type { Supervisor } from "../server/Supervisor.ts"
import type { Transport } from "../server/Transport.ts"
import type { ServeArguments } from "./cli/ServeArguments.ts"
import * as ServeConfig from "./cli/ServeConfig.ts"
import * as NodeConfigFile from "./NodeConfigFile.ts"
import * as NodeCrypto from "./NodeCrypto.ts"
import * as NodeHttp from "./NodeHttp.ts"
import * as NodeLog from "./NodeLog.ts"
import * as NodeMemory from "./NodeMemory.ts"
import * as NodePackage from "./NodePackage.ts"
import * as NodeRuntimeStats from "./NodeRuntimeStats.ts"
import * as NodeSettings from "./NodeSettings.ts"
import * as NodeSignals from "./NodeSignals.ts"
import * as NodeTelemetry from "./NodeTelemetry.ts"
import * as NodeTransport from "./NodeTransport.ts"
import { Systemd } from "./Systemd.ts"

/** The graph of a server that can be watched, as `App.layerOperated` gives it, or one of a program's own. */
export type LayerOperated = (
  operation: MetricsSettings & RuntimeLimits
) => Layer.Layer<RtmpServer | Supervisor | Metrics | Health, never, Transport | RtmpCrypto | RtmpConfig | RuntimeStats>

/** Serves with what the command line says, until the process is told to stop or the API stops the server. */
export const serve = Effect.fnUntraced(function* (args: ServeArguments, layerOperated: LayerOperated) {
  const { file, loaded } = yield* ServeConfig.load(args)
  const { config } = loaded
  const version = NodePackage.version()
  const about = Effect.gen(function* () {
    for (const warning of loaded.warnings) yield* Effect.logWarning(describeWarning(warning))
    const set = ConfigShow.settings(ConfigShow.show(loaded))
    yield* Effect.logInfo("configuration", { version, file: file ?? "none", set: set.join(", ") })
  })
  const app = layerOperated({
    version,
    streamLabels: config.metrics.streamLabels,
    maxEventLoopLagMs: Duration.toMillis(config.health.maxEventLoopLag)
  }).pipe(
    Layer.provide([NodeTransport.layerActivated, NodeMemory.layer, NodeRuntimeStats.layer]),
    Layer.provideMerge([NodeCrypto.layer, ConfigStore.layer(ServeConfig.loadFrom(file, args.settings), loaded)])
  )
  const services = NodeHttp.layer({ version }).pipe(
    Layer.provideMerge(RtmpServer.layerStarted.pipe(Layer.provideMerge(app))),
    Layer.provideMerge(Systemd.layer)
  )
  yield* Effect.andThen(inRoom("config")(about), Effect.provide(Effect.scoped(run(file, config)), services)).pipe(
    Effect.provide(layerTelemetry(config, version).pipe(Layer.provideMerge(NodeLog.layer(NodeSettings.log(config)))))
  )
})

const layerTelemetry = (config: RtmpConfigData, version: string): Layer.Layer<never> => {
  const settings = NodeSettings.telemetry(config, version)
  return settings === undefined ? Layer.empty : NodeTelemetry.layer(settings)
}

/** Everything runs: says so, follows the configuration, and waits for the end. */
const run = Effect.fnUntraced(function* (file: string | undefined, config: RtmpConfigData) {
  const server = yield* RtmpServer
  const systemd = yield* Systemd
  const store = yield* ConfigStore
  const levels = yield* LogLevels
  const health = yield* Health
  yield* store.register({
    name: "log",
    prepare: (next) => Effect.succeed(levels.replace(NodeSettings.logLevels(next)))
  })
  const reload = Effect.catch(store.reload, (error) => inRoom("config")(Effect.logError(error.message)))
  yield* Effect.forkScoped(Stream.runForEach(NodeSignals.signals(["SIGHUP"]), () => systemd.reloading(reload)))
  if (file !== undefined) yield* Effect.forkScoped(NodeConfigFile.reloadOnChange(file))
  if (config.otlp.url !== "" && config.otlp.traces) {
    const ConnectionSpans = yield* Effect.promise(() => import("../server/ConnectionSpans.ts"))
    yield* Layer.build(ConnectionSpans.layer)
  }
  yield* systemd.watchdog(Effect.map(health.live, ({ status }) => status === "ok"))
  const address = yield* server.address
  yield* systemd.ready(address === undefined ? undefined : `listening on ${address.host}:${address.port}`)
  yield* Effect.addFinalizer(() => systemd.stopping({ graceMs: Duration.toMillis(config.shutdown.grace) }))
  yield* server.awaitStopped
})
