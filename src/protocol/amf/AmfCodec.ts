/**
 * The AMF codec as a service, so that a custom server can put another in its place, or wrap this one to observe it.
 *
 * The four functions are synchronous: sessions call them while they turn bytes into events. In an `Effect`,
 * `Effect.fromResult` lifts what a decoder gives.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Amf0 from "./Amf0.ts"
import * as Amf3 from "./Amf3.ts"

/**
 * Encodes and decodes AMF0 and AMF3.
 *
 * - `decode0` and `decode3` give all values of an input or a typed `AmfError`, and throw nothing for a peer's fault.
 * - `encode0` and `encode3` throw a `RangeError` for values that cannot be written: that is our misuse.
 *
 * @see `Amf0.decode`, `Amf0.encode`, `Amf3.decode` and `Amf3.encode` for the contracts.
 */
export class AmfCodec extends Context.Service<
  AmfCodec,
  {
    readonly decode0: typeof Amf0.decode
    readonly encode0: typeof Amf0.encode
    readonly decode3: typeof Amf3.decode
    readonly encode3: typeof Amf3.encode
  }
>()("effect-rtmp/protocol/amf/AmfCodec") {
  /** The codec of this package. */
  static readonly layer: Layer.Layer<AmfCodec> = Layer.succeed(AmfCodec, {
    decode0: Amf0.decode,
    encode0: Amf0.encode,
    decode3: Amf3.decode,
    encode3: Amf3.encode
  })
}
