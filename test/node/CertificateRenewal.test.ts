import * as Path from "node:path"
import { setImmediate } from "node:timers/promises"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import type { NodeCertificatesShape } from "../../src/node/NodeCertificates.ts"
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
})
