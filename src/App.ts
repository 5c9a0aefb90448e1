/**
 * The whole server as one graph of layers, each of which can be replaced alone.
 *
 * ```text
 *   Handshake  ChunkReading  ChunkWriting  AmfCodec  ServerCommands      MediaClassifier  Distribution  StreamEvents
 *        └─────────┴────────────┴────────────┴────────────┘                    └──────────────┼──────────────┘
 *                          ServerSession                Authenticator  ServerEvents     StreamRegistry
 *                                └────────────────────────────┴──────┬──────┴─────────────────┘
 *                                                                RtmpServer
 * ```
 *
 * What a platform gives (`Transport`, `RtmpCrypto`) and what an operator gives (`RtmpConfig`) is left open.
 *
 * **Example** (A server with its own authenticator)
 *
 * ```ts
 * const server = App.layerWith({ authenticator: Layer.succeed(Authenticator, { authorize: onlyFriends }) }).pipe(
 *   Layer.provide([NodeTransport.layer, NodeCrypto.layer, RtmpConfig.layer({ listen: { port: 1935 } })])
 * )
 * ```
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Authenticator } from "./access/Authenticator.ts"
import { RtmpConfig } from "./config/RtmpConfig.ts"
import { Distribution } from "./live/Distribution.ts"
import { StreamEvents } from "./live/StreamEvents.ts"
import { StreamRegistry } from "./live/StreamRegistry.ts"
import { MediaClassifier } from "./media/MediaFrame.ts"
import * as Health from "./observability/Health.ts"
import * as Metrics from "./observability/Metrics.ts"
import * as RuntimeMetrics from "./observability/RuntimeMetrics.ts"
import { AmfCodec } from "./protocol/amf/AmfCodec.ts"
import { ChunkReading } from "./protocol/ChunkReader.ts"
import { ChunkWriting } from "./protocol/ChunkWriter.ts"
import type { RtmpCrypto } from "./protocol/Crypto.ts"
import { Handshake } from "./protocol/Handshake.ts"
import { ServerCommands } from "./protocol/ServerCommands.ts"
import { ServerSession } from "./protocol/ServerSession.ts"
import { AccessControl } from "./server/AccessControl.ts"
import * as DistributionWatch from "./server/DistributionWatch.ts"
import { RtmpServer } from "./server/RtmpServer.ts"
import { ServerEvents } from "./server/ServerEvents.ts"
import * as ServerHealth from "./server/ServerHealth.ts"
import * as ServerMetrics from "./server/ServerMetrics.ts"
import * as ServerOptions from "./server/ServerOptions.ts"
import { Supervisor } from "./server/Supervisor.ts"
import type { Transport } from "./server/Transport.ts"

/** The layers that a server is made of, by the name of what they replace. */
export interface Parts {
  /** The handshake (RTMP 1.0 §5.2). */
  readonly handshake: Layer.Layer<Handshake, never, RtmpCrypto>
  /** The chunk stream reader (RTMP 1.0 §5.3). */
  readonly chunkReading: Layer.Layer<ChunkReading>
  /** The chunk stream writer (RTMP 1.0 §5.3). */
  readonly chunkWriting: Layer.Layer<ChunkWriting>
  /** The AMF codec. */
  readonly amf: Layer.Layer<AmfCodec>
  /** What commands do. */
  readonly commands: Layer.Layer<ServerCommands>
  /** Who may do what. */
  readonly authenticator: Layer.Layer<Authenticator>
  /** Ingest: what media messages are to their stream. */
  readonly ingest: Layer.Layer<MediaClassifier>
  /** Distribution: how viewers are fed. */
  readonly distribution: Layer.Layer<Distribution>
  /** Where events of connections go. */
  readonly events: Layer.Layer<ServerEvents>
  /** The registry of live streams. */
  readonly registry: Layer.Layer<StreamRegistry, never, StreamEvents | MediaClassifier | Distribution | RtmpConfig>
}

/** The registry with the options that the configuration asks for. */
export const layerRegistry: Parts["registry"] = Layer.unwrap(
  Effect.map(RtmpConfig, (config) => StreamRegistry.layerWith(ServerOptions.live(config)))
)

/**
 * The parts of a server with nothing replaced. Who may do what is decided by an `AccessControl` around it, if there is one;
 * without, nobody is refused.
 */
export const defaultParts: Parts = {
  handshake: Handshake.layer,
  chunkReading: ChunkReading.layer,
  chunkWriting: ChunkWriting.layer,
  amf: AmfCodec.layer,
  commands: ServerCommands.layer,
  authenticator: AccessControl.layerAuthenticator,
  ingest: MediaClassifier.layer,
  distribution: Distribution.layer,
  events: ServerEvents.layer,
  registry: layerRegistry
}

/** What a server needs from outside: a network, random bytes and HMAC, and its configuration. */
export type Needs = Transport | RtmpCrypto | RtmpConfig

/** What a server offers besides itself: code around it publishes and subscribes, and restarts what it adds. */
export type Offers = RtmpServer | StreamRegistry | StreamEvents | Supervisor

/** A server with some parts replaced. */
export const layerWith = (parts: Partial<Parts>): Layer.Layer<Offers, never, Needs> => {
  const all = { ...defaultParts, ...parts }
  const session = ServerSession.layer.pipe(
    Layer.provide([all.handshake, all.chunkReading, all.chunkWriting, all.amf, all.commands])
  )
  const live = all.registry.pipe(Layer.provide([all.ingest, all.distribution]), Layer.provideMerge(StreamEvents.layer))
  return RtmpServer.layer.pipe(
    Layer.provide([session, all.authenticator, all.events]),
    Layer.provideMerge(Layer.merge(live, Supervisor.layer))
  )
}

/** A server with nothing replaced. */
export const layer: Layer.Layer<Offers, never, Needs> = layerWith({})

/** What an operated server is told about itself. */
export interface Operation extends Metrics.MetricsSettings, Health.RuntimeLimits {}

/**
 * A server that can be watched: with its metrics and its health, which know of the server, its streams and the process.
 * A replaced `events` part is not counted.
 */
export const layerOperated = (
  operation: Operation,
  parts: Partial<Parts> = {}
): Layer.Layer<Offers | Metrics.Metrics | Health.Health, never, Needs | RuntimeMetrics.RuntimeStats> => {
  const metrics = Metrics.Metrics.layer(operation)
  const events = ServerMetrics.layerEvents.pipe(Layer.provide(metrics))
  return Layer.mergeAll(
    ServerMetrics.layer,
    ServerHealth.layer,
    DistributionWatch.layer,
    RuntimeMetrics.layer,
    Health.layerRuntime(operation)
  ).pipe(
    Layer.provideMerge(layerWith({ events, ...parts })),
    Layer.provideMerge(Layer.merge(metrics, Health.Health.layer))
  )
}
