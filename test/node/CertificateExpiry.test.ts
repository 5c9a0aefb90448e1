import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import * as CertificateExpiry from "../../src/node/CertificateExpiry.ts"
import { renewAt } from "../../src/node/CertificateRenewal.ts"
import { acmeOff, type CertificateReport, type CertificateStatus } from "../../src/server/Certificates.ts"

const dayMs = 86_400_000

const certificate = (days: number, rest: Partial<CertificateStatus> = {}): CertificateStatus => ({
  source: "file",
  path: "a.pem",
  names: ["a.test"],
  issuer: "CN=An authority",
  notBefore: 0,
  notAfter: days * dayMs,
  publicKeySha256: "x",
  problem: "",
  ...rest
})

const reportOf = (
  certificates: ReadonlyArray<CertificateStatus>,
  lastError = "",
  isAcme = false
): CertificateReport => ({
  enabled: true,
  certificates,
  acme: isAcme ? { ...acmeOff, state: "Waiting", domains: ["a.test"], lastError } : acmeOff
})

describe("a certificate that ends", () => {
  it.effect("is warned of at 30, 7 and 1 days and when it has ended, each once, however often one looks", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
        const [words, { daysLeft }] = message as [string, { readonly daysLeft: number }]
        said.push(`${logLevel} ${words} ${daysLeft}`)
      })
      const { warn } = CertificateExpiry.make(() => [certificate(100)])
      yield* Effect.gen(function* () {
        for (let hour = 0; hour < 102 * 24; hour++) {
          yield* warn
          yield* TestClock.adjust("1 hour")
        }
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepStrictEqual(said, [
        "Warn certificate ends soon 30",
        "Warn certificate ends soon 7",
        "Error certificate ends soon 1",
        "Error certificate has ended 0"
      ])
    })
  )

  it.effect("is warned of once with the most urgent words where a server starts late, and anew for its successor", () =>
    Effect.gen(function* () {
      const said: Array<unknown> = []
      const logger = Logger.make<unknown, void>(({ message }) => {
        said.push((message as ReadonlyArray<unknown>)[0])
      })
      let current = certificate(100)
      const { warn } = CertificateExpiry.make(() => [current])
      yield* TestClock.adjust("95 days")
      yield* Effect.provide(Effect.andThen(warn, warn), Logger.layer([logger]))
      assert.deepStrictEqual(said, ["certificate ends soon"])
      current = certificate(99, { publicKeySha256: "y" })
      yield* Effect.provide(warn, Logger.layer([logger]))
      assert.lengthOf(said, 2)
    })
  )

  it("is no news where it is renewed by itself in time, or is for a few days only", () => {
    const left = (it: CertificateStatus, days: number) => CertificateExpiry.stageOf(it, it.notAfter - days * dayMs)
    assert.strictEqual(left(certificate(90), 29), 30)
    assert.isUndefined(left(certificate(90, { source: "acme" }), 29))
    assert.strictEqual(left(certificate(90, { source: "acme" }), 6.5), 7)
    assert.isUndefined(left(certificate(6, { source: "acme" }), 1.5))
    assert.strictEqual(left(certificate(6), 0.5), 1)
    assert.strictEqual(left(certificate(1), 0), 0)
  })

  it.effect("fails the check where nothing good is left and nothing comes, and is a remark otherwise", () =>
    Effect.gen(function* () {
      const check = (report: CertificateReport) => CertificateExpiry.check(report)
      assert.deepStrictEqual(yield* check(reportOf([certificate(90)])), { ok: true })
      assert.deepStrictEqual(yield* check(reportOf([certificate(3, { notBefore: -90 * dayMs })])), {
        ok: true,
        reason: "a.test ends in 3 days"
      })
      assert.deepStrictEqual(yield* check(reportOf([certificate(90, { problem: "a.pem: is broken" })])), {
        ok: true,
        reason: "a.test is the last good one: a.pem: is broken"
      })
      assert.deepStrictEqual(yield* check(reportOf([])), { ok: false, reason: "there is no certificate yet" })
      assert.deepStrictEqual(yield* check(reportOf([], "x: away", true)), {
        ok: true,
        reason: "there is no certificate yet; not obtained: x: away"
      })
      yield* TestClock.adjust("3 days")
      assert.deepStrictEqual(yield* check(reportOf([certificate(3)])), { ok: false, reason: "a.test has ended" })
    })
  )

  it("is told to metrics as the first end of all", () => {
    assert.strictEqual(CertificateExpiry.firstEnd([certificate(9), certificate(3), certificate(5)]), 3 * dayMs)
    assert.strictEqual(CertificateExpiry.firstEnd([]), 0)
  })
})

describe("the time to renew", () => {
  it("is so many days before the end, at two thirds of a short life, and a little later for some", () => {
    const times = { notBefore: 0, notAfter: 90 * dayMs }
    assert.strictEqual(renewAt(times, 20, 0), 70 * dayMs)
    assert.strictEqual(renewAt(times, 60, 0), 60 * dayMs)
    assert.strictEqual(renewAt({ notBefore: 0, notAfter: 6 * dayMs }, 30, 0), 4 * dayMs)
    assert.strictEqual(renewAt(times, 20, 1), 72 * dayMs)
  })
})
