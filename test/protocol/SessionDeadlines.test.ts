import { assert, describe, it } from "@effect/vitest"
import { defaultOptions } from "../../src/protocol/Session.ts"
import { SessionDeadlines } from "../../src/protocol/SessionDeadlines.ts"

const reason = (due: ReturnType<SessionDeadlines["due"]>): string | undefined =>
  typeof due === "object" ? due.reason : due

describe("SessionDeadlines", () => {
  it.each([
    ["Handshake", "HandshakeTimeout", defaultOptions.handshakeTimeoutMs],
    ["WaitingConnect", "ConnectTimeout", defaultOptions.connectTimeoutMs],
    ["Idle", "IdleTimeout", defaultOptions.idleTimeoutMs],
    ["Busy", "PingTimeout", defaultOptions.pingTimeoutMs]
  ] as const)("ends the phase %s with %s at its time and not before", (phase, expected, afterMs) => {
    const deadlines = new SessionDeadlines(defaultOptions, 500)
    // A ping, at its own time.
    deadlines.due("Busy", 500 + defaultOptions.pingIntervalMs)
    assert.strictEqual(reason(deadlines.due(phase, 500 + afterMs - 1)), undefined)
    assert.strictEqual(reason(deadlines.due(phase, 500 + afterMs)), expected)
  })

  it("gives up nobody who was not asked: a server that was held up asks first, and waits", () => {
    const deadlines = new SessionDeadlines(defaultOptions, 0)
    const waitMs = defaultOptions.pingTimeoutMs - defaultOptions.pingIntervalMs
    assert.strictEqual(deadlines.due("Busy", 500_000), "Ping")
    assert.strictEqual(deadlines.nextMs("Busy"), 500_000 + waitMs)
    assert.strictEqual(deadlines.due("Busy", 500_000 + waitMs - 1), undefined)
    assert.strictEqual(reason(deadlines.due("Busy", 500_000 + waitMs)), "PingTimeout")
  })

  it("never ends a client that waits for the server's own decision", () => {
    const deadlines = new SessionDeadlines(defaultOptions, 0)
    assert.strictEqual(deadlines.due("Deciding", 1e9), undefined)
    assert.strictEqual(deadlines.nextMs("Deciding"), Number.POSITIVE_INFINITY)
  })

  it("names a next time at which something is due, in every phase", () => {
    for (const phase of ["Handshake", "WaitingConnect", "Idle", "Busy"] as const) {
      const deadlines = new SessionDeadlines(defaultOptions, 100)
      assert.notStrictEqual(deadlines.due(phase, deadlines.nextMs(phase)), undefined)
    }
  })

  it("lets those sleep who neither publish nor play, and wakes for their time limit only", () => {
    const options = { ...defaultOptions, idleTimeoutMs: 3_600_000 }
    const deadlines = new SessionDeadlines(options, 0)
    assert.strictEqual(deadlines.nextMs("Idle"), 3_600_000)
    assert.strictEqual(deadlines.due("Idle", 3_599_999), undefined)
    assert.strictEqual(reason(deadlines.due("Idle", 3_600_000)), "IdleTimeout")
    // Whoever begins to play after a long rest is asked at once, and not given up.
    assert.strictEqual(deadlines.due("Busy", 3_000_000), "Ping")
  })

  it("pings once for each silence", () => {
    const deadlines = new SessionDeadlines(defaultOptions, 0)
    assert.strictEqual(deadlines.due("Busy", 30_000), "Ping")
    assert.strictEqual(deadlines.due("Busy", 31_000), undefined)
    deadlines.received(31_000)
    assert.strictEqual(deadlines.due("Busy", 61_000), "Ping")
  })
})
