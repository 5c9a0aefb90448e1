/**
 * A rehearsal before the doors open: viewers join a server of their own, over the loopback interface.
 *
 * When a server starts again, everybody comes back at once, and finds a program of which no function has been called yet: the
 * first three hundred viewers wait twice as long for their first picture as those who come after them. So what they ask for
 * is done some hundred times before the port opens. The server is built of the same layers as the real one, and nothing is
 * left of it: it has a port, streams and metrics of its own, and its log goes nowhere.
 *
 * **Gotchas**
 *
 * It takes a third of a second, and some seconds at most. A machine on which it fails (no loopback interface, say) serves as well as
 * any other, only not as quickly at first. Layers that a program adds to the server, and that reach out of it (a database, a
 * port), are no part for a rehearsal: give it those of the server alone.
 */
import * as Net from "node:net"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { RtmpConfig } from "../config/RtmpConfig.ts"
import * as LogFormat from "../observability/LogFormat.ts"
import * as AmfValue from "../protocol/amf/AmfValue.ts"
import * as Bytes from "../protocol/Bytes.ts"
import * as ChunkWriter from "../protocol/ChunkWriter.ts"
import * as Command from "../protocol/Command.ts"
import * as Message from "../protocol/Message.ts"
import { RtmpServer } from "../server/RtmpServer.ts"
import type { LayerOperated } from "./LayerOperated.ts"
import * as NodeCrypto from "./NodeCrypto.ts"
import * as NodeRuntimeStats from "./NodeRuntimeStats.ts"
import * as NodeTransport from "./NodeTransport.ts"

// Some four hundred viewers. With half of it the first rush is slower by a third; with more, V8's compilers only take memory.
const budget = Duration.millis(300)
const viewersPerWave = 64

/** The bytes of S0, S1 and S2, or of C0, C1 and C2 (RTMP 1.0 §5.2). */
const handshakeBytes = 1 + 2 * 1536

const keyframeBytes = 4_000

/** Rehearses with a server of these layers, which are built for it and closed, and returns when nothing of it is left. */
export const rehearse = (layerOperated: LayerOperated): Effect.Effect<void> =>
  Effect.gen(function* () {
    const server = yield* RtmpServer
    const clock = yield* Clock.Clock
    const { port } = yield* server.start
    const startedMs = clock.currentTimeMillisUnsafe()
    yield* client(port, publishing, 0)
    const viewer = Effect.scoped(client(port, playing, keyframeBytes))
    const wave = Effect.all(Array<typeof viewer>(viewersPerWave).fill(viewer), {
      concurrency: "unbounded",
      discard: true
    })
    while (clock.currentTimeMillisUnsafe() - startedMs < Duration.toMillis(budget)) yield* wave
    yield* server.stop({ force: true })
  }).pipe(
    Effect.scoped,
    Effect.provide(stage(layerOperated), { local: true }),
    Effect.timeout(Duration.times(budget, 10)),
    Effect.catchCause((cause) => Effect.logDebug("no rehearsal", cause))
  )

/** The server of the rehearsal, and what keeps it apart from the real one. */
const stage = (layerOperated: LayerOperated): Layer.Layer<RtmpServer> =>
  layerOperated({ version: "", streamLabels: false, maxEventLoopLagMs: Number.POSITIVE_INFINITY }).pipe(
    Layer.provide([
      NodeTransport.layer,
      NodeCrypto.layer,
      NodeRuntimeStats.layer,
      // What is merged waits for a timer, and a rehearsal has no time.
      RtmpConfig.layer({ listen: { host: "127.0.0.1", port: 0 }, latency: { mode: "low" }, limits: { acceptRate: 0 } })
    ]),
    Layer.provideMerge(
      Layer.merge(
        Layer.succeed(Metric.MetricRegistry, new Map()),
        Logger.layer([Logger.make((options) => void LogFormat.json(LogFormat.eventOf(options)))])
      )
    )
  )

/**
 * A client that says what it has to say once the handshake is over, and is served when it has got `wanted` bytes more. It is
 * gone with the scope. One that breaks off counts as served.
 */
const client = (port: number, says: Uint8Array, wanted: number): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => Net.connect({ host: "127.0.0.1", port, noDelay: true })),
    (socket) => Effect.sync(() => socket.destroy())
  ).pipe(
    Effect.flatMap((socket) =>
      Effect.callback<void>((resume) => {
        let received = 0
        let said = false
        socket.on("error", () => {})
        socket.on("close", () => resume(Effect.void))
        socket.on("data", (bytes) => {
          received += bytes.length
          if (received < handshakeBytes) return
          if (!said) socket.write(says)
          said = true
          if (received > handshakeBytes + wanted) resume(Effect.void)
        })
        socket.write(Uint8Array.of(3))
        socket.write(new Uint8Array(1536))
      })
    )
  )

const command = (name: string, transactionId: number, streamId: number, ...values: ReadonlyArray<AmfValue.AmfValue>) =>
  Command.encode({ name, transactionId, values, streamId, chunkStreamId: streamId === 0 ? 3 : 8 })

/** C2, and commands that do not wait for their answers. */
const talk = (what: "publish" | "play", ...media: ReadonlyArray<Message.Message>): Uint8Array =>
  Bytes.concat([
    new Uint8Array(1536),
    ChunkWriter.make().writeAll([
      command("connect", 1, 0, AmfValue.object({ app: "live", flashVer: "FMLE/3.0", tcUrl: "rtmp://localhost/live" })),
      command("createStream", 2, 0, null),
      command(what, 3, 1, null, "rehearsal"),
      ...media
    ])
  ])

const video = (timestamp: number, payload: Uint8Array): Message.Message => ({
  typeId: Message.VIDEO,
  streamId: 1,
  chunkStreamId: 6,
  timestamp,
  payload
})

const playing = talk("play")

// An AVC sequence header with its shortest parameter sets, and a keyframe: what every viewer is given.
const publishing = talk(
  "publish",
  video(0, Bytes.fromHex("17 00 000000 01 64001f ff e1 0001 67 01 0001 68")),
  video(0, Bytes.concat([Bytes.fromHex("17 01 000000"), new Uint8Array(keyframeBytes)]))
)
