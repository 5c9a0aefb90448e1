/** The certificates of a server as a test sees them: the real layer, on files of the test, with its log lines to wait for. */
import * as Fs from "node:fs"
import type * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Tls from "node:tls"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { ConfigError } from "../../src/config/ConfigError.ts"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import { ConfigStore } from "../../src/config/ConfigStore.ts"
import { keys, model, type RtmpConfigInput } from "../../src/config/RtmpConfig.ts"
import { NodeCertificates, type NodeCertificatesShape } from "../../src/node/NodeCertificates.ts"
import { Health } from "../../src/observability/Health.ts"
import { Metrics } from "../../src/observability/Metrics.ts"
import { Supervisor } from "../../src/server/Supervisor.ts"

/** A folder of its own, gone after the test. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-tls-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** A line of the log: its message, and its fields. */
export interface Line {
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** What a test works with. */
export interface Running {
  readonly certificates: NodeCertificatesShape
  readonly store: ConfigStore["Service"]
  /** Reloads the configuration. */
  readonly reload: ConfigStore["Service"]["reload"]
  readonly health: Health["Service"]
  readonly metrics: Metrics["Service"]
  /** Begins `maintain`, in the scope of the test. */
  readonly maintain: Effect.Effect<void, never, Scope.Scope>
  /** Replaces what the configuration says of TLS, for the next reload. */
  readonly configure: (tls: NonNullable<RtmpConfigInput["tls"]>) => void
  /** All lines so far. */
  readonly lines: ReadonlyArray<Line>
  /** Waits for the next line with a message, those that came before the call and were not taken included. */
  readonly line: (message: string) => Effect.Effect<Line>
}

/** Builds the certificates that some settings ask for; TLS is on. */
export const make = (tls: NonNullable<RtmpConfigInput["tls"]>): Effect.Effect<Running, ConfigError, Scope.Scope> =>
  Effect.gen(function* () {
    let settings = tls
    const lines: Array<Line> = []
    const arrived = yield* Queue.unbounded<Line>()
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      const parts = Array.isArray(message) ? message : [message]
      const fields = parts.find((part) => typeof part === "object" && part !== null) ?? {}
      const line = { level: logLevel, message: String(parts[0]), fields }
      lines.push(line)
      Queue.offerUnsafe(arrived, line)
    })
    const load = Effect.suspend(() =>
      Effect.fromResult(
        ConfigSource.load(model, [ConfigSource.fromValues(keys, { tls: { enabled: true, ...settings } }, "test")])
      )
    )
    const layer = NodeCertificates.layer.pipe(
      Layer.provideMerge(ConfigStore.layer(load)),
      Layer.provideMerge(Layer.mergeAll(Health.layer, Metrics.layer({ version: "1" }), Supervisor.layer)),
      Layer.provideMerge(Logger.layer([logger]))
    )
    const context = yield* Layer.build(layer)
    const store = Context.get(context, ConfigStore)
    const service = Context.get(context, NodeCertificates)
    const certificates = {
      ...service,
      renew: Effect.provideContext(service.renew, context),
      reload: Effect.provideContext(service.reload, context)
    }
    return {
      certificates,
      store,
      reload: Effect.provideContext(store.reload, context),
      health: Context.get(context, Health),
      metrics: Context.get(context, Metrics),
      maintain: Effect.provideContext(certificates.maintain, context),
      configure: (next) => {
        settings = next
      },
      lines,
      line: (message) =>
        Effect.gen(function* () {
          for (;;) {
            const line = yield* Queue.take(arrived)
            if (line.message === message) return line
          }
        })
    }
  })

/** What a client sees that asks for a name: the certificate in use for it, checked against `ca`. */
export const serving = (
  certificates: NodeCertificatesShape,
  servername: string,
  ca = ""
): Effect.Effect<{ readonly names: string; readonly fingerprint: string; readonly authorized: boolean }> =>
  Effect.callback((resume) => {
    const server = Tls.createServer({ SNICallback: (name, callback) => callback(null, certificates.contextOf(name)) })
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as Net.AddressInfo
      const socket = Tls.connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false, ca })
      socket.on("secureConnect", () => {
        const { fingerprint256, subjectaltname = "" } = socket.getPeerCertificate()
        const { authorized } = socket
        socket.destroy()
        server.close(() => resume(Effect.succeed({ names: subjectaltname, fingerprint: fingerprint256, authorized })))
      })
      socket.on("error", (error) => resume(Effect.die(error)))
    })
  })
