import * as Path from "node:path"
import { setImmediate } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { NodeCertificatesShape } from "../../src/node/NodeCertificates.ts"
import { Health } from "../../src/observability/Health.ts"
import { Metrics } from "../../src/observability/Metrics.ts"
import { make as makeSupervisor, Supervisor } from "../../src/server/Supervisor.ts"
import * as Pebble from "../support/Pebble.ts"
import * as TestCertificates from "../support/TestCertificates.ts"

const hop = Effect.promise(() => setImmediate())

/** How long until the next attempt, in milliseconds, as soon as that is known. */
const pauseOf = (certificates: NodeCertificatesShape) =>
  Effect.gen(function* () {
    for (;;) {
      const pauseMs = (yield* certificates.report).acme.nextAttemptAt - (yield* Clock.currentTimeMillis)
      if (pauseMs > 0) return pauseMs
      yield* hop
    }
  })

describe("the renewal of a certificate", () => {
  it.effect("begins when names are configured, and tries again later and later where the directory is away", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const port = yield* Pebble.freePort
      const base = { selfSigned: true, directory: Path.join(folder, "data") }
      const { certificates, configure, line, maintain, reload } = yield* TestCertificates.make(base)
      yield* maintain
      assert.strictEqual((yield* certificates.report).acme.state, "Off")
      assert.strictEqual((yield* Effect.flip(certificates.renew)).reason, "AcmeOff")

      configure({
        ...base,
        acme: {
          domains: ["rtmp.test"],
          acceptTerms: true,
          directoryUrl: `https://localhost:${port}/dir`,
          challenge: "tls-alpn-01"
        }
      })
      yield* reload
      const failure = line("no certificate was obtained")
      const { fields, level } = yield* failure
      assert.strictEqual(level, "Error")
      assert.strictEqual(fields.reason, "AcmeUnreachable")
      for (const minutes of [2, 4, 8]) {
        const pauseMs = yield* pauseOf(certificates)
        assert.isAtLeast(pauseMs, minutes * 60_000 * 0.8)
        assert.isAtMost(pauseMs, minutes * 60_000 * 1.2)
        yield* TestClock.adjust(pauseMs - 1)
        assert.strictEqual(yield* pauseOf(certificates), 1)
        yield* TestClock.adjust(1)
        yield* failure
      }
      const { acme, certificates: listed } = yield* certificates.report
      assert.deepStrictEqual([...acme.domains], ["rtmp.test"])
      assert.include(acme.lastError, `https://localhost:${port}/dir: cannot be reached`)
      // The one that was made stays meanwhile.
      assert.deepStrictEqual(
        listed.map(({ source }) => source),
        ["selfSigned"]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("asks its directory no more often when it dies than when it fails", () =>
    Effect.gen(function* () {
      const folder = yield* TestCertificates.folder
      const { certificates, health, metrics } = yield* TestCertificates.make({
        selfSigned: true,
        directory: Path.join(folder, "data")
      })
      const runs = new Map<string, number>()
      const supervisor = yield* makeSupervisor
      // The parts of a server whose certificates are looked after by code that dies at once.
      const dying = Supervisor.of({
        ...supervisor,
        supervise: (name, _, options) =>
          supervisor.supervise(
            name,
            Effect.suspend(() => {
              runs.set(name, (runs.get(name) ?? 0) + 1)
              return Effect.die(new Error("a bug"))
            }),
            options
          )
      })
      yield* certificates.maintain.pipe(
        Effect.provideService(Supervisor, dying),
        Effect.provideService(Health, health),
        Effect.provideService(Metrics, metrics)
      )
      yield* TestClock.adjust("1 hour")
      // As often as one that fails.
      assert.isAtLeast(runs.get("acme") ?? 0, 4)
      assert.isAtMost(runs.get("acme") ?? 0, 6)
      assert.isAbove(runs.get("certificates") ?? 0, 50)
    }).pipe(Effect.scoped)
  )
})
