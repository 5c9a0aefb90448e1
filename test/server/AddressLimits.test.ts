import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Authenticator, anonymous } from "../../src/access/Authenticator.ts"
import { type AddressLimitOptions, AddressLimits } from "../../src/server/AddressLimits.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as TestServer from "../support/TestServer.ts"

const { client, events, pass, settle } = TestServer

const options: AddressLimitOptions = {
  maxConnections: 100,
  maxConnectionsPerAddress: 3,
  maxPendingHandshakesPerAddress: 0,
  acceptRatePerAddress: 0,
  acceptRate: 0,
  ipv6PrefixBits: 64,
  exemptNetworks: []
}

const make = (change: Partial<AddressLimitOptions> = {}) => {
  const limits = new AddressLimits({ ...options, ...change }, 0)
  return {
    limits,
    enter: (host: string, nowMs = 0) => {
      const key = limits.keyOf(host)
      return key === undefined ? "exempt" : limits.enter(key, nowMs)?.limit
    },
    leave: (host: string) => limits.leave(limits.keyOf(host)!)
  }
}

describe("the limits of an address", () => {
  it("hold one address to its connections, give a place back when one ends, and leave others alone", () => {
    const { enter, leave } = make()
    assert.deepStrictEqual(
      [1, 2, 3, 4].map(() => enter("192.0.2.1")),
      [undefined, undefined, undefined, "address"]
    )
    assert.strictEqual(enter("192.0.2.2"), undefined)
    leave("192.0.2.1")
    assert.strictEqual(enter("192.0.2.1"), undefined)
    assert.strictEqual(enter("192.0.2.1"), "address")
  })

  it("take an IPv4 address for itself where it comes mapped into IPv6", () => {
    const { enter } = make({ maxConnectionsPerAddress: 1 })
    assert.strictEqual(enter("192.0.2.1"), undefined)
    assert.strictEqual(enter("::ffff:192.0.2.1"), "address")
  })

  it("count a network of IPv6 as one address, of the length that is configured", () => {
    const wide = make({ maxConnectionsPerAddress: 1 })
    assert.strictEqual(wide.enter("2001:db8::1"), undefined)
    assert.strictEqual(wide.enter("2001:db8::ffff:2"), "address")
    assert.strictEqual(wide.enter("2001:db8:0:1::1"), undefined)
    const single = make({ maxConnectionsPerAddress: 1, ipv6PrefixBits: 128 })
    assert.strictEqual(single.enter("2001:db8::1"), undefined)
    assert.strictEqual(single.enter("2001:db8::2"), undefined)
  })

  it("let an address have all its connections at once, and then so many a second", () => {
    const { enter, leave } = make({ acceptRatePerAddress: 2 })
    const comeAndGo = (nowMs: number) => {
      const refused = enter("192.0.2.1", nowMs)
      if (refused === undefined) leave("192.0.2.1")
      return refused
    }
    assert.deepStrictEqual(
      [1, 2, 3, 4].map(() => comeAndGo(0)),
      [undefined, undefined, undefined, "addressRate"]
    )
    assert.strictEqual(comeAndGo(499), "addressRate")
    assert.strictEqual(comeAndGo(500), undefined)
    assert.strictEqual(comeAndGo(500), "addressRate")
    // A rest fills no more than there was room for.
    assert.deepStrictEqual(
      [1, 2, 3, 4].map(() => comeAndGo(60_000)),
      [undefined, undefined, undefined, "addressRate"]
    )
  })

  it("let everybody together have as many connections as there are at once, and then so many a second", () => {
    const { enter } = make({ maxConnections: 5, acceptRate: 2 })
    const from = (index: number, nowMs: number) => enter(`198.51.100.${index}`, nowMs)
    assert.deepStrictEqual(
      [1, 2, 3, 4, 5].map((i) => from(i, 0)),
      new Array(5).fill(undefined)
    )
    assert.strictEqual(from(6, 0), "rate")
    assert.strictEqual(from(6, 500), undefined)
    assert.strictEqual(from(7, 500), "rate")
  })

  it("neither count nor hold back who is exempt", () => {
    const { enter, limits } = make({ maxConnectionsPerAddress: 1, exemptNetworks: ["10.0.0.0/8", "::1"] })
    for (let i = 0; i < 5; i++) {
      assert.strictEqual(enter("10.1.2.3"), "exempt")
      assert.strictEqual(enter("::1"), "exempt")
      assert.strictEqual(enter("::ffff:10.9.9.9"), "exempt")
    }
    assert.strictEqual(limits.size.addresses, 0)
  })

  it("remember a bounded number of addresses, and forget those that have recovered", () => {
    const { enter, leave, limits } = make({ maxConnections: 10, acceptRatePerAddress: 1 })
    const { capacity } = limits.size
    for (let i = 0; i < 20_000; i++) {
      const host = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`
      assert.strictEqual(enter(host, 0), undefined)
      leave(host)
      assert.isAtMost(limits.size.addresses, capacity)
    }
    assert.strictEqual(limits.size.addresses, capacity)
    enter("192.0.2.1", 10_000)
    assert.strictEqual(limits.size.addresses, 1)
  })

  it("never push out an address that is connected", () => {
    const { enter, leave } = make({ maxConnections: 4, maxConnectionsPerAddress: 1, acceptRatePerAddress: 1 })
    assert.strictEqual(enter("192.0.2.1"), undefined)
    for (let i = 0; i < 5_000; i++) {
      const host = `10.0.${i >> 8}.${i & 255}`
      if (enter(host) === undefined) leave(host)
    }
    assert.strictEqual(enter("192.0.2.1"), "address")
  })

  it("go on counting who is there when they are replaced", () => {
    const { enter, limits } = make()
    enter("192.0.2.1")
    enter("192.0.2.1")
    limits.reconfigure({ ...options, maxConnections: 10_000, maxConnectionsPerAddress: 2 }, 0)
    assert.strictEqual(enter("192.0.2.1"), "address")
    limits.reconfigure({ ...options, maxConnectionsPerAddress: 0 }, 0)
    assert.strictEqual(enter("192.0.2.1"), undefined)
  })
})

describe("an address with handshakes that it does not finish", () => {
  it("is held to so many, and gets a place for each that it finishes", () => {
    const { enter, limits } = make({ maxPendingHandshakesPerAddress: 2 })
    assert.deepStrictEqual(
      [1, 2, 3].map(() => enter("192.0.2.1")),
      [undefined, undefined, "addressHandshakes"]
    )
    assert.strictEqual(enter("192.0.2.2"), undefined)
    limits.settled("192.0.2.1")
    assert.deepStrictEqual(
      [1, 2].map(() => enter("192.0.2.1")),
      [undefined, "address"]
    )
  })

  it.effect("is refused beyond, whether they come to an end, break off or time out", () =>
    Effect.gen(function* () {
      const log = yield* events
      const refusals = () => log.filter((event) => event._tag === "ConnectionRefused").map(({ limit }) => limit)
      const [first, second] = [yield* client, yield* client]
      yield* settle
      assert.deepStrictEqual(refusals(), [])
      yield* (yield* client).waitForClose
      yield* settle
      assert.deepStrictEqual(refusals(), ["addressHandshakes"])
      yield* first.open("live")
      yield* second.end
      yield* settle
      const again = [yield* client, yield* client]
      yield* settle
      yield* pass("1100 millis")
      assert.deepStrictEqual(refusals(), ["addressHandshakes"])
      yield* pass("10 seconds")
      for (const one of again) yield* one.waitForClose
      yield* (yield* client).open("live")
    }).pipe(Effect.provide(TestServer.layer({ limits: { maxPendingHandshakesPerAddress: 2, exemptNetworks: "" } })))
  )
})

describe("an address that asks for too much", () => {
  const limits = { maxConnectionsPerAddress: 2, exemptNetworks: "" }

  it.effect("is refused with one event at once, one for the rest of the second, and a count that is right", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const log = yield* events
      const first = yield* TestServer.publisher("a")
      yield* TestServer.viewer("a")
      for (let i = 0; i < 50; i++) yield* (yield* client).waitForClose
      yield* settle
      const refused = () => log.filter((event) => event._tag === "ConnectionRefused")
      assert.deepStrictEqual(
        refused().map(({ count, limit, listener, max }) => [limit, max, listener, count]),
        [["address", 2, "rtmp", 1]]
      )
      assert.strictEqual((yield* server.statistics).refused, 50)
      yield* pass("1100 millis")
      assert.deepStrictEqual(
        refused().map(({ count }) => count),
        [1, 49]
      )
      const { connections, refused: all } = yield* server.statistics
      assert.deepStrictEqual([connections, all], [2, 50])
      yield* first.createStream
    }).pipe(Effect.provide(TestServer.layer({ limits })))
  )

  it.effect("may come back when one of its connections has ended", () =>
    Effect.gen(function* () {
      const first = yield* client
      yield* first.open("live")
      yield* (yield* client).open("live")
      yield* (yield* client).waitForClose
      yield* first.end
      yield* settle
      yield* (yield* client).open("live")
    }).pipe(Effect.provide(TestServer.layer({ limits })))
  )
})

describe("an address that is not to be listened to", () => {
  it.effect("is closed before a byte is read, with a reason, and nothing is made for it", () => {
    const open = { value: true }
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      const log = yield* events
      const before = yield* client
      yield* before.open("live")
      open.value = false
      const blocked = yield* client
      yield* blocked.waitForClose
      yield* settle
      assert.deepInclude(
        log.find((event) => event._tag === "ConnectionRefused"),
        { limit: "access", reason: "TooManyFailures" }
      )
      const { accepted, connections } = yield* server.statistics
      assert.deepStrictEqual([accepted, connections], [1, 1])
      yield* before.createStream
    }).pipe(
      Effect.provide(
        TestServer.layer(
          {},
          {
            authenticator: Layer.succeed(Authenticator, {
              authorize: () => Effect.succeed(anonymous),
              refusal: () => (open.value ? undefined : "TooManyFailures")
            })
          }
        )
      )
    )
  })
})
