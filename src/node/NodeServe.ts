/**
 * A server as a process of its own: a graph such as `App.layerOperated`, with everything that a process on Node adds to it, in the order in which it
 * starts. It ends in the opposite one: the service manager is told, the server stops, HTTP closes, the log is flushed.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { describeWarning } from "../config/ConfigError.ts"
import * as ConfigShow from "../config/ConfigShow.ts"
import { ConfigStore } from "../config/ConfigStore.ts"
import type { RtmpConfigData } from "../config/RtmpConfig.ts"
import { Health } from "../observability/Health.ts"
import type { LogServices } from "../observability/Log.ts"
import { inRoom, LogLevels } from "../observability/LogLevels.ts"
import { LogOutputs } from "../observability/LogSink.ts"
import { Diagnostics } from "../server/Diagnostics.ts"
import { LastWords } from "../server/LastWords.ts"
import { RtmpServer } from "../server/RtmpServer.ts"
import * as SupervisedLog from "../server/SupervisedLog.ts"
import { Supervisor } from "../server/Supervisor.ts"
import type { ServeArguments } from "./cli/ServeArguments.ts"
import * as ServeConfig from "./cli/ServeConfig.ts"
import type { LayerOperated } from "./LayerOperated.ts"
import * as NodeAccess from "./NodeAccess.ts"
import { NodeCertificates } from "./NodeCertificates.ts"
import * as NodeConfigFile from "./NodeConfigFile.ts"
import * as NodeCrypto from "./NodeCrypto.ts"
import * as NodeHttp from "./NodeHttp.ts"
import * as NodeLog from "./NodeLog.ts"
import * as NodeMemory from "./NodeMemory.ts"
import * as NodeOpenFiles from "./NodeOpenFiles.ts"
import * as NodePackage from "./NodePackage.ts"
import * as NodeRuntimeStats from "./NodeRuntimeStats.ts"
import * as NodeSettings from "./NodeSettings.ts"
import * as NodeSignals from "./NodeSignals.ts"
import * as NodeStart from "./NodeStart.ts"
import * as NodeTelemetry from "./NodeTelemetry.ts"
import * as NodeTransport from "./NodeTransport.ts"
import { Systemd } from "./Systemd.ts"

/**
 * Serves with what the command line says, until the process is told to stop or the API stops the server.
 *
 * `rehearsed` is what a rehearsal is held with before the port opens (`listen.rehearsal`): the server without what a program
 * adds to it, whose effects are to be had once. There is none where it is left out.
 */
export const serve = Effect.fnUntraced(function* (
  args: ServeArguments,
  layerOperated: LayerOperated,
  rehearsed?: LayerOperated
) {
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
    Layer.provide([NodeTransport.layerActivated, NodeMemory.layer, NodeOpenFiles.layer, NodeRuntimeStats.layer]),
    Layer.provideMerge([NodeCertificates.layer, NodeAccess.layer]),
    Layer.provideMerge([NodeCrypto.layer, ConfigStore.layer(ServeConfig.loadFrom(file, args.settings), loaded)])
  )
  // HTTP first: when its port is taken, no client has been let in yet; and until RTMP listens, `/readyz` says that it does not.
  const services = RtmpServer.layerStarted.pipe(
    Layer.provideMerge(NodeHttp.layer({ version }).pipe(Layer.provideMerge(app))),
    Layer.provideMerge(Systemd.layer)
  )
  if (config.listen.rehearsal && rehearsed !== undefined) {
    const NodeRehearsal = yield* Effect.promise(() => import("./NodeRehearsal.ts"))
    yield* NodeRehearsal.rehearse(rehearsed)
  }
  NodeStart.keepCompiled()
  const lastWords = yield* makeLastWords
  // Written down before anything is closed, where it can be: the report is to say how things stood.
  const serving = run(file, config).pipe(Effect.tapCause(lastWords), Effect.scoped)
  yield* Effect.andThen(inRoom("config")(about), Effect.provide(serving, services)).pipe(
    Effect.tapCause(lastWords),
    Effect.provide(
      layerTelemetry(config, version).pipe(
        Layer.provideMerge(layerWitness(lastWords)),
        Layer.provideMerge(layerLog(config))
      )
    )
  )
})

/** The log, whose writers are parts of the server like any other: `log file`, `log stdout` and so on. */
const layerLog = (config: RtmpConfigData): Layer.Layer<LogServices | Supervisor> =>
  NodeLog.layer(NodeSettings.log(config)).pipe(Layer.provide(SupervisedLog.layer), Layer.provideMerge(Supervisor.layer))

const layerTelemetry = (config: RtmpConfigData, version: string): Layer.Layer<never> => {
  const settings = NodeSettings.telemetry(config, version)
  if (settings === undefined || !(settings.metrics || settings.logs || settings.traces)) return Layer.empty
  // What is built on it sees its logger and tracer only; `run` asks for the exporter, where there is one.
  return NodeTelemetry.layerKept(settings)
}

/**
 * A fault that nothing recovers from, with what is known of the server, in the log too, where its lines go to a file only;
 * once, however many hear of it.
 */
const makeLastWords = Effect.map(Diagnostics, (diagnostics) => {
  let isSaid = false
  return (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (isSaid || !Cause.hasDies(cause)) return Effect.void
      isSaid = true
      const report = JSON.stringify(diagnostics.last(Date.now()))
      return Effect.logFatal("unexpected failure", cause, { report }).pipe(inRoom("lifecycle"))
    })
})

/** What no fiber hears of is written down as well, and nothing ends before it is. */
const layerWitness = (say: (cause: Cause.Cause<unknown>) => Effect.Effect<void>) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { flush } = yield* LogOutputs
      const lastWords = yield* LastWords
      const context = yield* Effect.context<never>()
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          lastWords.add((cause) => Effect.andThen(say(cause), flush).pipe(Effect.provideContext(context)))
        ),
        (remove) => Effect.sync(remove)
      )
    })
  )

/** Everything runs: says so, follows the configuration, and waits for the end. */
const run = Effect.fnUntraced(function* (file: string | undefined, config: RtmpConfigData) {
  const server = yield* RtmpServer
  const systemd = yield* Systemd
  const store = yield* ConfigStore
  const levels = yield* LogLevels
  const health = yield* Health
  // It ends last here, and so sends what the stop has to say.
  if (config.otlp.url !== "") yield* NodeTelemetry.supervise
  yield* store.register({
    name: "log",
    prepare: (next) => Effect.succeed(levels.replace(NodeSettings.logLevels(next)))
  })
  yield* Effect.forkScoped(
    Stream.runForEach(NodeSignals.signals(["SIGHUP"]), () => systemd.reloading(Effect.ignore(store.reload)))
  )
  if (file !== undefined) yield* Effect.forkScoped(NodeConfigFile.reloadOnChange(file))
  if (config.otlp.url !== "" && config.otlp.traces) {
    const ConnectionSpans = yield* Effect.promise(() => import("../server/ConnectionSpans.ts"))
    yield* Layer.build(ConnectionSpans.layer)
  }
  yield* (yield* NodeCertificates).maintain
  yield* systemd.watchdog(Effect.map(health.live, ({ status }) => status === "ok"))
  const address = yield* server.address
  yield* systemd.ready(address === undefined ? undefined : `listening on ${address.host}:${address.port}`)
  let isTold = false
  const stopping = Effect.suspend(() => {
    if (isTold) return Effect.void
    isTold = true
    return systemd.stopping({ graceMs: Duration.toMillis(config.shutdown.grace) })
  })
  yield* Effect.forkScoped(
    Stream.runForEach(server.lifecycleChanges, (to) => (to === "Stopping" ? stopping : Effect.void))
  )
  // Before HTTP closes: until the last client has gone, the server can be watched, and be told to hurry.
  yield* Effect.addFinalizer(() => Effect.andThen(stopping, server.stop()))
  yield* server.awaitStopped
})
