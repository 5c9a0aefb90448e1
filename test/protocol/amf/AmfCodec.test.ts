import { deepStrictEqual } from "node:assert"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { AmfCodec } from "../../../src/protocol/amf/AmfCodec.ts"
import * as Amf from "../../../src/protocol/amf/AmfValue.ts"
import * as Bytes from "../../../src/protocol/Bytes.ts"

describe("AmfCodec", () => {
  it.effect("encodes and decodes both encodings", () =>
    Effect.gen(function* () {
      const codec = yield* AmfCodec
      const values = ["name", 1, Amf.object({ a: true })]
      deepStrictEqual(yield* Effect.fromResult(codec.decode0(codec.encode0(values))), values)
      deepStrictEqual(yield* Effect.fromResult(codec.decode3(codec.encode3(values))), values)
      assert.notDeepEqual(codec.encode0(values), codec.encode3(values))
    }).pipe(Effect.provide(AmfCodec.layer))
  )

  it.effect("fails with the typed error of the decoder", () =>
    Effect.gen(function* () {
      const codec = yield* AmfCodec
      const error0 = yield* Effect.flip(Effect.fromResult(codec.decode0(Bytes.fromHex("0e"))))
      const error3 = yield* Effect.flip(Effect.fromResult(codec.decode3(Bytes.fromHex("0a07"))))
      assert.strictEqual(error0.reason, "UnknownMarker")
      assert.strictEqual(error3.reason, "Externalizable")
    }).pipe(Effect.provide(AmfCodec.layer))
  )

  it.effect("can be replaced in part", () =>
    Effect.gen(function* () {
      const codec = yield* AmfCodec
      deepStrictEqual(Result.getOrThrow(codec.decode0(Bytes.fromHex("05"))), ["mine"])
      deepStrictEqual(codec.encode0([null]), Bytes.fromHex("05"))
    }).pipe(
      Effect.provide(
        Layer.effect(
          AmfCodec,
          Effect.map(AmfCodec, (codec) => ({ ...codec, decode0: () => Result.succeed(["mine"]) }))
        ).pipe(Layer.provide(AmfCodec.layer))
      )
    )
  )
})
