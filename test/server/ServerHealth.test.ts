import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"
import * as App from "../../src/App.ts"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import { ConfigStore } from "../../src/config/ConfigStore.ts"
import { keys, model, RtmpConfig } from "../../src/config/RtmpConfig.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import { Health } from "../../src/observability/Health.ts"
import { MemoryStatus } from "../../src/server/Admission.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as ServerHealth from "../../src/server/ServerHealth.ts"
import { Supervisor } from "../../src/server/Supervisor.ts"
import { MemoryNetwork } from "../../src/testing/MemoryNetwork.ts"

const mebibyte = 1024 * 1024

describe("readiness", () => {
  it.effect("is not lost for a part that does not run, which is named", () =>
    Effect.gen(function* () {
      const health = yield* Health
      const supervisor = yield* Supervisor
      const components = Effect.map(health.ready, ({ checks, status }) => [
        status,
        checks.find(({ name }) => name === "components")
      ])
      const check = { name: "components", ok: true }
      assert.deepStrictEqual(yield* components, ["ok", { ...check, reason: "" }])
      let isBroken = true
      const part = Effect.suspend(() => (isBroken ? Effect.fail("no space left") : Effect.never))
      yield* Effect.forkChild(supervisor.supervise("log file", part, { schedule: Schedule.spaced("1 second") }))
      yield* TestClock.adjust(0)
      yield* supervisor.supervise("keyStore", Effect.die("a bug"), { schedule: Schedule.recurs(0) })
      assert.deepStrictEqual(yield* components, ["ok", { ...check, reason: "not running: log file, keyStore" }])
      isBroken = false
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* components, ["ok", { ...check, reason: "not running: keyStore" }])
    }).pipe(
      Effect.provide(
        Layer.merge(ServerHealth.layer, RtmpServer.layerStarted).pipe(
          Layer.provideMerge(App.layerWith({})),
          Layer.provideMerge([Health.layer, RtmpConfig.layer({}), MemoryNetwork.layer, NodeCrypto.layer]),
          Layer.provide(Logger.layer([]))
        )
      ),
      Effect.provideService(MemoryStatus, { freeBytes: () => 1e12 })
    )
  )

  it.effect("is lost while memory is short, at the limit that refuses clients, also after a reload", () => {
    let freeBytes = 1e12
    let minFreeMemory = "64MiB"
    const load = Effect.suspend(() =>
      Effect.fromResult(
        ConfigSource.load(model, [
          ConfigSource.fromValues(keys, { limits: { minFreeMemory }, shutdown: { grace: 0 } }, "test")
        ])
      )
    )
    return Effect.gen(function* () {
      const health = yield* Health
      const store = yield* ConfigStore
      const memory = Effect.map(health.ready, ({ checks }) => checks.find(({ name }) => name === "memory")!)
      assert.deepInclude(yield* memory, { ok: true })
      freeBytes = 64 * mebibyte
      assert.strictEqual((yield* health.ready).status, "ok")
      freeBytes--
      assert.strictEqual((yield* health.ready).status, "failing")
      assert.deepInclude(yield* memory, {
        ok: false,
        reason: "63 MiB of memory are free, less than limits.minFreeMemory, 64MiB"
      })
      assert.strictEqual((yield* health.live).status, "ok", "it still serves who is there")
      minFreeMemory = "32MiB"
      yield* store.reload
      assert.deepInclude(yield* memory, { ok: true })
      minFreeMemory = "0"
      freeBytes = 0
      yield* store.reload
      assert.deepInclude(yield* memory, { ok: true })
    }).pipe(
      Effect.provide(
        Layer.merge(ServerHealth.layer, RtmpServer.layerStarted).pipe(
          Layer.provideMerge(App.layerWith({})),
          Layer.provideMerge([Health.layer, ConfigStore.layer(load), MemoryNetwork.layer, NodeCrypto.layer]),
          Layer.provide(Logger.layer([]))
        )
      ),
      Effect.provideService(MemoryStatus, { freeBytes: () => freeBytes })
    )
  })
})
