/**
 * The RTMP client on Node.js: TCP from `node:net`, cryptography from `node:crypto`, the protocol of this package.
 *
 * ```ts
 * const program = Effect.gen(function* () {
 *   const client = yield* RtmpClient
 *   yield* Stream.runForEach(client.play("rtmp://localhost/live/stream"), (batch) => Effect.log(batch.length))
 * })
 * NodeRuntime.runMain(Effect.provide(program, NodeClient.layer))
 * ```
 */
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { RtmpClient } from "../client/RtmpClient.ts"
import { RtmpClientError } from "../client/RtmpClientError.ts"
import { RtmpDialer } from "../client/RtmpDialer.ts"
import { AmfCodec } from "../protocol/amf/AmfCodec.ts"
import { ChunkReading } from "../protocol/ChunkReader.ts"
import { ChunkWriting } from "../protocol/ChunkWriter.ts"
import { ClientHandshakeService } from "../protocol/ClientHandshake.ts"
import { ClientSession } from "../protocol/ClientSession.ts"
import * as NodeCrypto from "./NodeCrypto.ts"

/**
 * Dials `rtmp://` URLs over TCP, without Nagle's delay and with keep-alive.
 *
 * `rtmps://` fails with `UnsupportedScheme`: put a dialer of your own in its place, for example over
 * `NodeSocket.makeTls`.
 */
export const layerDialer: Layer.Layer<RtmpDialer> = Layer.succeed(RtmpDialer, {
  dial: ({ host, port, secure }) =>
    secure
      ? Effect.fail(
          new RtmpClientError({
            reason: "UnsupportedScheme",
            detail: "this client has no TLS: rtmps:// is not supported"
          })
        )
      : NodeSocket.makeNet({ host, port, noDelay: true, keepAlive: true })
})

/** Client sessions of this package, with Node's cryptography. */
export const layerSession: Layer.Layer<ClientSession> = ClientSession.layer.pipe(
  Layer.provide([
    ClientHandshakeService.layer.pipe(Layer.provide(NodeCrypto.layer)),
    ChunkReading.layer,
    ChunkWriting.layer,
    AmfCodec.layer
  ])
)

/** The client, ready to use. */
export const layer: Layer.Layer<RtmpClient> = RtmpClient.layer.pipe(Layer.provide([layerSession, layerDialer]))
