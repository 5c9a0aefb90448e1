import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import { Failures, maxAddresses } from "../../src/http/Failures.ts"
import * as Guard from "../../src/http/Guard.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"

const policy = (overrides: Partial<Guard.GuardPolicy> = {}): Guard.GuardPolicy => ({
  readTokens: [],
  writeTokens: [],
  failuresPerMinute: 3,
  ...overrides
})

const request = (overrides: Partial<Guard.GuardedRequest> = {}): Guard.GuardedRequest => ({
  method: "GET",
  needs: "read",
  remoteAddress: "127.0.0.1",
  host: "localhost:8080",
  origin: undefined,
  fetchSite: undefined,
  isForwarded: false,
  authorization: undefined,
  contentType: undefined,
  ...overrides
})

const tokens = policy({
  readTokens: [Redacted.make("reader"), Redacted.make("other-reader")],
  writeTokens: [Redacted.make("writer")]
})

const reasonOf = (refusal: Guard.Refusal | undefined): string => refusal?.reason ?? "let in"

const ask = (guard: Guard.GuardShape, overrides: Partial<Guard.GuardedRequest> = {}, nowMs = 0): string =>
  reasonOf(guard.check(request(overrides), nowMs))

const write = { method: "POST", needs: "write", contentType: "application/json" } as const

describe("a guard with tokens", () => {
  const matrix = [
    ["no header", undefined, "Unauthorized", "Unauthorized"],
    ["an empty token", "Bearer ", "Unauthorized", "Unauthorized"],
    ["another scheme", "Basic reader", "Unauthorized", "Unauthorized"],
    ["a bare token", "reader", "Unauthorized", "Unauthorized"],
    ["a wrong token", "Bearer nobody", "Unauthorized", "Unauthorized"],
    ["a part of a token", "Bearer reade", "Unauthorized", "Unauthorized"],
    ["a longer token", "Bearer readers", "Unauthorized", "Unauthorized"],
    ["two tokens", "Bearer reader writer", "Unauthorized", "Unauthorized"],
    ["a token that reads", "Bearer reader", "let in", "Forbidden"],
    ["a second token that reads", "Bearer other-reader", "let in", "Forbidden"],
    ["a token that writes", "Bearer writer", "let in", "let in"],
    ["a scheme in other letters", "bEARER  writer", "let in", "let in"]
  ] as const

  for (const [what, authorization, read, written] of matrix) {
    it(`answers ${what} with ${read} for a look and ${written} for a change`, () => {
      assert.strictEqual(ask(Guard.make(NodeCrypto.make, tokens), { authorization }), read)
      assert.strictEqual(ask(Guard.make(NodeCrypto.make, tokens), { ...write, authorization }), written)
    })
  }

  it("wants JSON for every change, whatever the token", () => {
    const guard = Guard.make(NodeCrypto.make, tokens)
    const authorization = "Bearer writer"
    for (const contentType of [undefined, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]) {
      assert.strictEqual(ask(guard, { ...write, authorization, contentType }), "UnsupportedMediaType")
    }
    assert.strictEqual(
      ask(guard, { ...write, authorization, contentType: "Application/JSON; charset=utf-8" }),
      "let in"
    )
  })

  it("asks for a token on the loopback too, and lets tokens in from other hosts and through proxies", () => {
    const guard = Guard.make(NodeCrypto.make, tokens)
    assert.strictEqual(ask(guard, {}), "Unauthorized")
    const remote = {
      host: "rtmp.example",
      origin: "https://rtmp.example",
      isForwarded: true,
      remoteAddress: "192.0.2.1"
    }
    assert.strictEqual(ask(guard, { ...remote, authorization: "Bearer reader" }), "let in")
  })

  it("turns wrong tokens away after too many of an address until its minute is over, and lets its right ones in", () => {
    const guard = Guard.make(NodeCrypto.make, tokens)
    const wrong = { authorization: "Bearer wrong" }
    for (let i = 0; i < 3; i++) assert.strictEqual(ask(guard, wrong, 1_000 + i), "Unauthorized")
    const refusal = guard.check(request(wrong), 31_000)
    assert.strictEqual(reasonOf(refusal), "TooManyRequests")
    assert.strictEqual(refusal?.retryAfterSeconds, 30)
    assert.strictEqual(ask(guard, { authorization: "Bearer reader" }, 31_000), "let in")
    assert.strictEqual(ask(guard, { ...write, authorization: "Bearer reader" }, 31_000), "Forbidden")
    assert.strictEqual(ask(guard, { ...wrong, remoteAddress: "192.0.2.1" }, 31_000), "Unauthorized")
    assert.strictEqual(ask(guard, wrong, 60_999), "TooManyRequests")
    assert.strictEqual(ask(guard, wrong, 61_000), "Unauthorized")
  })

  it("compares no more than ten times as many of one address, so that nobody guesses on, but those that it knows", () => {
    const guard = Guard.make(NodeCrypto.make, tokens)
    const known = { authorization: "Bearer reader" }
    const guessed = { authorization: "Bearer other-reader" }
    assert.strictEqual(ask(guard, known, 0), "let in")
    for (let i = 0; i < 29; i++) ask(guard, { authorization: `Bearer guess${i}` }, 1_000)
    assert.strictEqual(ask(guard, { ...write, authorization: "Bearer writer" }, 1_000), "let in")
    ask(guard, { authorization: "Bearer guess" }, 1_000)
    assert.strictEqual(ask(guard, guessed, 1_000), "TooManyRequests")
    assert.strictEqual(ask(guard, known, 1_000), "let in")
    assert.strictEqual(ask(guard, { authorization: "Bearer writer" }, 1_000), "let in")
    assert.strictEqual(ask(guard, { ...guessed, remoteAddress: "192.0.2.1" }, 1_000), "let in")
    assert.strictEqual(ask(guard, guessed, 61_000), "let in")
  })

  it("does not count requests without a token, which guess nothing", () => {
    const guard = Guard.make(NodeCrypto.make, tokens)
    for (let i = 0; i < 100; i++) ask(guard, {})
    assert.strictEqual(ask(guard, { authorization: "Bearer reader" }), "let in")
  })

  it("follows a new policy at once", () => {
    const guard = Guard.make(NodeCrypto.make, tokens)
    guard.configure(policy({ writeTokens: [Redacted.make("new")] }))
    assert.strictEqual(ask(guard, { authorization: "Bearer reader" }), "Unauthorized")
    assert.strictEqual(ask(guard, { authorization: "Bearer new" }), "let in")
  })

  it("lets nobody write where there are tokens for reading only", () => {
    const guard = Guard.make(NodeCrypto.make, policy({ readTokens: [Redacted.make("reader")] }))
    assert.strictEqual(ask(guard, { ...write, authorization: "Bearer reader" }), "Forbidden")
    assert.strictEqual(ask(guard, write), "Unauthorized")
  })
})

describe("a guard without tokens", () => {
  const guard = Guard.make(NodeCrypto.make, policy())

  for (const host of ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "[::1]"]) {
    it(`lets in who names this machine ${host}`, () => {
      assert.strictEqual(ask(guard, { host }), "let in")
      assert.strictEqual(ask(guard, { ...write, host }), "let in")
    })
  }

  const foreign = [
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "",
    "::1",
    "[::2]"
  ]
  for (const host of [...foreign, "127.0.0.1@evil.example", "localhost:80:80", "0.0.0.0", undefined]) {
    it(`refuses the host ${host}, as a page would send it whose name was made to resolve to this machine`, () => {
      assert.strictEqual(ask(guard, { host }), "Forbidden")
    })
  }

  it("refuses the pages of other sites, and lets its own in", () => {
    assert.strictEqual(ask(guard, { origin: "http://localhost:8080" }), "let in")
    for (const origin of ["https://evil.example", "null", "http://localhost:3000", "https://localhost:8080"]) {
      assert.strictEqual(ask(guard, { origin }), "Forbidden", origin)
    }
    for (const fetchSite of ["cross-site", "same-site"]) assert.strictEqual(ask(guard, { fetchSite }), "Forbidden")
    for (const fetchSite of ["same-origin", "none"]) assert.strictEqual(ask(guard, { fetchSite }), "let in")
  })

  it("refuses what a proxy has passed on, behind which may be anybody", () => {
    assert.strictEqual(ask(guard, { isForwarded: true }), "Forbidden")
    assert.isTrue(Guard.isForwarded({ "x-forwarded-for": "192.0.2.1" }))
    assert.isFalse(Guard.isForwarded({ host: "localhost" }))
  })

  it("wants JSON for every change, which a form of another site cannot send", () => {
    assert.strictEqual(ask(guard, { ...write, contentType: "text/plain" }), "UnsupportedMediaType")
  })
})

describe("the loopback", () => {
  it("is 127.0.0.0/8 and ::1, also as IPv4 in IPv6", () => {
    for (const address of ["127.0.0.1", "127.255.0.3", "::1", "::ffff:127.0.0.1"])
      assert.isTrue(Guard.isLoopback(address))
    for (const address of ["0.0.0.0", "::", "128.0.0.1", "::ffff:10.0.0.1", "127.0.0.1.evil"]) {
      assert.isFalse(Guard.isLoopback(address))
    }
  })
})

describe("the table of failures", () => {
  it("never remembers more addresses than it may, and forgets the oldest first", () => {
    const failures = new Failures()
    for (let i = 0; i < maxAddresses + 10; i++) failures.note(`10.0.${i >> 8}.${i & 255}`, 0)
    assert.strictEqual(failures.size, maxAddresses)
    assert.strictEqual(failures.blockedMs("10.0.0.9", 1, 0), 0)
    assert.strictEqual(failures.blockedMs("10.0.0.10", 1, 0), 60_000)
  })

  it("forgets what is older than a minute", () => {
    const failures = new Failures()
    failures.note("192.0.2.1", 0)
    failures.note("192.0.2.2", 60_000)
    assert.strictEqual(failures.size, 1)
    assert.strictEqual(failures.blockedMs("192.0.2.1", 1, 59_999), 0)
  })

  it("takes all addresses of one IPv6 network for one, and others for others", () => {
    const failures = new Failures()
    failures.note("2001:db8:0:1::5", 0)
    assert.strictEqual(failures.blockedMs("2001:db8:0:1:ffff::9", 1, 0), 60_000)
    assert.strictEqual(failures.blockedMs("2001:db8:0:2::5", 1, 0), 0)
    failures.note("::ffff:192.0.2.7", 0)
    assert.strictEqual(failures.blockedMs("192.0.2.7", 1, 0), 60_000)
  })
})
