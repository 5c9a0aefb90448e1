import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import * as Systemd from "../../src/node/Systemd.ts"
import * as SystemdNotify from "../../src/node/SystemdNotify.ts"

const pid = 4711

/** A service manager that keeps what it is told, and fails as long as `failure` is set. */
const listening = (env: Record<string, string> = {}) => {
  const heard = {
    messages: [] as ReadonlyArray<string>[],
    failure: undefined as SystemdNotify.NotifyError | undefined,
    attempts: 0
  }
  const sender: SystemdNotify.Sender = (assignments) =>
    Effect.suspend(() => {
      heard.attempts++
      if (heard.failure !== undefined) return Effect.fail(heard.failure)
      heard.messages.push(assignments)
      return Effect.void
    })
  return Object.assign(heard, { make: Systemd.make({ env, pid, monotonicUsec: () => 1_234_567n, sender }) })
}

const lost = (reason: SystemdNotify.NotifyError["reason"]) => new SystemdNotify.NotifyError({ reason, detail: "lost" })

/** Counts the log lines of an effect. */
const countingLogs = <A, E, R>(effect: (count: () => number) => Effect.Effect<A, E, R>) => {
  let lines = 0
  const logger = Logger.make(() => {
    lines++
  })
  return Effect.provide(
    effect(() => lines),
    Logger.layer([logger])
  )
}

describe("messages", () => {
  it.effect("say what sd_notify(3) asks for", () =>
    Effect.gen(function* () {
      const manager = listening()
      const systemd = yield* manager.make
      yield* systemd.ready("listening on port 1935")
      yield* systemd.ready()
      yield* systemd.status("3 streams")
      yield* systemd.stopping({ graceMs: 30_000, status: "bye" })
      yield* systemd.stopping()
      assert.deepStrictEqual(manager.messages, [
        ["READY=1", "STATUS=listening on port 1935"],
        ["READY=1"],
        ["STATUS=3 streams"],
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=45000000", "STATUS=bye"],
        ["STOPPING=1"]
      ])
    })
  )

  it.effect("keep a status in one line and within its bytes, at the edge and past it", () =>
    Effect.gen(function* () {
      const manager = listening()
      const systemd = yield* manager.make
      yield* systemd.status("a\nREADY=1\tb\u0000")
      yield* systemd.status("x".repeat(Systemd.maxStatusBytes))
      yield* systemd.status("x".repeat(Systemd.maxStatusBytes + 1))
      yield* systemd.status(`${"x".repeat(Systemd.maxStatusBytes - 1)}é`)
      const status = (length: number) => [`STATUS=${"x".repeat(length)}`]
      assert.deepStrictEqual(manager.messages, [
        ["STATUS=a READY=1 b"],
        status(Systemd.maxStatusBytes),
        status(Systemd.maxStatusBytes),
        status(Systemd.maxStatusBytes - 1)
      ])
    })
  )

  it.effect("wait for the one before", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const order: Array<string> = []
      const systemd = yield* Systemd.make({
        env: {},
        pid,
        monotonicUsec: () => 0n,
        sender: (assignments) =>
          Effect.gen(function* () {
            order.push(`begin ${assignments[0]}`)
            yield* Deferred.await(gate)
            order.push(`end ${assignments[0]}`)
          })
      })
      const both = yield* Effect.forkChild(
        Effect.all([systemd.status("a"), systemd.status("b")], { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      assert.deepStrictEqual(order, ["begin STATUS=a"])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(both)
      assert.deepStrictEqual(order, ["begin STATUS=a", "end STATUS=a", "begin STATUS=b", "end STATUS=b"])
    })
  )
})

describe("a reload", () => {
  const reload = ["RELOADING=1", "MONOTONIC_USEC=1234567"]

  it.effect("is told with the time of the machine, and its end", () =>
    Effect.gen(function* () {
      const manager = listening()
      const systemd = yield* manager.make
      const result = yield* systemd.reloading(
        Effect.sync(() => {
          assert.deepStrictEqual(manager.messages, [reload])
          return 7
        })
      )
      assert.strictEqual(result, 7)
      assert.deepStrictEqual(manager.messages, [reload, ["READY=1"]])
    })
  )

  it.effect("ends for the service manager too when it fails, dies or is interrupted", () =>
    Effect.gen(function* () {
      for (const bad of [Effect.fail("broken"), Effect.die("broken"), Effect.interrupt]) {
        const manager = listening()
        const systemd = yield* manager.make
        yield* Effect.exit(systemd.reloading(bad))
        assert.deepStrictEqual(manager.messages, [reload, ["READY=1"]])
      }
    })
  )
})

describe("a message that is lost", () => {
  it.effect("is logged once and hurts nobody, and the next is tried", () =>
    countingLogs((count) =>
      Effect.gen(function* () {
        const manager = listening()
        manager.failure = lost("SendFailed")
        const systemd = yield* manager.make
        yield* systemd.ready()
        yield* systemd.status("a")
        assert.strictEqual(count(), 1)
        manager.failure = undefined
        yield* systemd.status("b")
        assert.deepStrictEqual(manager.messages, [["STATUS=b"]])
        assert.strictEqual(count(), 1)
      })
    )
  )

  it.effect("is the last one where there is nothing to send with", () =>
    countingLogs((count) =>
      Effect.gen(function* () {
        const manager = listening()
        manager.failure = lost("NoCommand")
        const systemd = yield* manager.make
        yield* systemd.ready()
        yield* systemd.status("a")
        yield* systemd.stopping()
        assert.strictEqual(manager.attempts, 1)
        assert.strictEqual(count(), 1)
      })
    )
  )
})

describe("the watchdog", () => {
  const tenSeconds = { WATCHDOG_USEC: "10000000" }

  it("asks for signs of life at half of its time, of the process that it means", () => {
    const of = (env: Record<string, string>) => Systemd.watchdogIntervalMs(env, pid)
    assert.strictEqual(of(tenSeconds), 5000)
    assert.strictEqual(of({ ...tenSeconds, WATCHDOG_PID: "4711" }), 5000)
    assert.strictEqual(of({ ...tenSeconds, WATCHDOG_PID: "4712" }), undefined)
    assert.strictEqual(of({}), undefined)
    for (const bad of ["", "0", "-1", "1e6", "abc"]) assert.strictEqual(of({ WATCHDOG_USEC: bad }), undefined, bad)
    assert.strictEqual(of({ WATCHDOG_USEC: "1" }), 1)
    assert.strictEqual(of({ WATCHDOG_USEC: "999999999999999999" }), 0x7fffffff)
  })

  it.effect("is given them at once and at each interval, and none after the scope", () =>
    Effect.gen(function* () {
      const manager = listening(tenSeconds)
      const systemd = yield* manager.make
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* systemd.watchdog(Effect.succeed(true))
          yield* TestClock.adjust(0)
          assert.strictEqual(manager.messages.length, 1)
          yield* TestClock.adjust(4999)
          assert.strictEqual(manager.messages.length, 1)
          yield* TestClock.adjust(1)
          assert.strictEqual(manager.messages.length, 2)
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(manager.messages.length, 14)
        })
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(manager.messages.length, 14)
      assert.deepStrictEqual(manager.messages[0], ["WATCHDOG=1"])
    })
  )

  it.effect("is given none while the server is not healthy, with one line in the log", () =>
    countingLogs((count) =>
      Effect.gen(function* () {
        const manager = listening(tenSeconds)
        const systemd = yield* manager.make
        let healthy = false
        yield* systemd.watchdog(Effect.sync(() => healthy))
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(manager.messages.length, 0)
        assert.strictEqual(count(), 1)
        healthy = true
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(manager.messages, [["WATCHDOG=1"]])
      })
    )
  )

  it.effect("is given none by a check that does not come back", () =>
    Effect.gen(function* () {
      const manager = listening(tenSeconds)
      const systemd = yield* manager.make
      yield* systemd.watchdog(Effect.never)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(manager.messages.length, 0)
    })
  )

  it.effect("runs no check and wakes nobody where it was not asked for", () =>
    Effect.gen(function* () {
      let checks = 0
      const check = Effect.sync(() => {
        checks++
        return true
      })
      const unasked = yield* listening().make
      const unheard = yield* Systemd.make({ env: tenSeconds, pid, sender: undefined, monotonicUsec: () => 0n })
      for (const systemd of [unasked, unheard]) {
        assert.strictEqual(systemd.watchdogIntervalMs, undefined)
        yield* systemd.watchdog(check)
      }
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(checks, 0)
    })
  )
})

describe("without a service manager", () => {
  it.effect("nothing is sent, and a reload is just a reload", () =>
    Effect.gen(function* () {
      const systemd = yield* Systemd.make({ env: {}, pid, sender: undefined, monotonicUsec: () => 0n })
      assert.isFalse(systemd.isListening)
      yield* systemd.ready("a")
      yield* systemd.stopping()
      assert.strictEqual(yield* systemd.reloading(Effect.succeed(1)), 1)
      assert.strictEqual(yield* SystemdNotify.fromEnv({}, pid), undefined)
      assert.strictEqual(yield* SystemdNotify.fromEnv({ NOTIFY_SOCKET: "" }, pid), undefined)
    })
  )
})
