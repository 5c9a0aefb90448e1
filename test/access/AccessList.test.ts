import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as AccessList from "../../src/access/AccessList.ts"
import * as Address from "../../src/access/Address.ts"
import { Authenticator } from "../../src/access/Authenticator.ts"
import { oneOf, request } from "./Requests.ts"

const list = (rules: ReadonlyArray<AccessList.AccessRule>, otherwise?: "allow" | "deny") =>
  Result.getOrThrow(AccessList.make({ rules, ...(otherwise === undefined ? {} : { otherwise }) }))

const from = (remoteAddress: string) => request({ remoteAddress })

describe("AccessList", () => {
  it("is decided by the first rule that fits, and by the rest where none does", () => {
    const some = list([
      { rule: "deny", networks: ["192.0.2.66"] },
      { rule: "allow", networks: ["192.0.2.0/24", "2001:db8::/32"] },
      { rule: "deny", networks: ["all"] }
    ])
    assert.isFalse(some.allows(from("192.0.2.66")))
    assert.isTrue(some.allows(from("192.0.2.67")))
    assert.isTrue(some.allows(from("2001:db8:1::9")))
    assert.isFalse(some.allows(from("198.51.100.1")))
    assert.isTrue(list([]).allows(from("192.0.2.1")))
    assert.isFalse(list([], "deny").allows(from("192.0.2.1")))
  })

  it("sees a mapped address as the IPv4 address, in rules and in clients", () => {
    for (const network of ["192.0.2.0/24", "::ffff:192.0.2.0/120", "::ffff:c000:200/120"]) {
      const some = list([{ rule: "deny", networks: [network] }])
      for (const address of ["192.0.2.9", "::ffff:192.0.2.9", "::ffff:c000:209"]) {
        assert.isFalse(some.allows(from(address)), `${network} ${address}`)
      }
      assert.isTrue(some.allows(from("::ffff:192.0.3.9")))
    }
    assert.isFalse(list([{ rule: "deny", networks: ["fe80::/10"] }]).allows(from("fe80::1%eth0")))
  })

  it("has rules for applications and actions", () => {
    const some = list([
      { rule: "allow", networks: ["10.0.0.0/8"], application: "studio/**", actions: ["publish"] },
      { rule: "deny", networks: ["all"], actions: ["publish"] }
    ])
    assert.isTrue(some.allows(request({ application: "studio/a", remoteAddress: "10.1.2.3" })))
    assert.isFalse(some.allows(request({ application: "live", remoteAddress: "10.1.2.3" })))
    assert.isFalse(some.allows(request({ application: "studio/a" })))
    assert.isTrue(some.allows(request({ action: "play" })))
  })

  it("is the same for a stream however its address is cut, for the server knows one stream of that key", () => {
    const some = list([
      { rule: "deny", networks: ["all"], application: "studio/a" },
      { rule: "allow", networks: ["10.0.0.0/8"], application: "studio" },
      { rule: "deny", networks: ["all"], application: "studio" }
    ])
    for (const [application, stream] of [
      ["studio", "x/y"],
      ["studio/x", "y"],
      ["", "studio/x/y"]
    ] as const) {
      for (const action of ["publish", "play"] as const) {
        assert.isFalse(some.allows(request({ action, application, stream })), application)
        assert.isTrue(some.allows(request({ action, application, stream, remoteAddress: "10.1.2.3" })), application)
      }
    }
    const below = { stream: "a/b", remoteAddress: "10.1.2.3" }
    assert.isFalse(some.allows(request({ ...below, application: "studio" })))
    assert.isTrue(some.allows(request({ application: "studio-b", stream: "a" })))
    assert.isTrue(some.allows(request({ application: "live", stream: "studio" })))
    assert.isTrue(some.allows(request({ application: "live", stream: "studio/x" })))
    assert.isFalse(some.allows(request({ action: "connect", application: "studio/x", stream: "" })))
  })

  const rule = Arbitrary.all({
    rule: oneOf("allow" as const, "deny" as const),
    networks: oneOf(["all"], ["192.0.2.0/25"], ["192.0.2.0/24"], ["2001:db8::/32"]),
    scope: oneOf<Partial<AccessList.AccessRule>>(
      {},
      { application: "live" },
      { actions: ["play"] },
      { application: "x" }
    )
  })

  it.prop(
    "admits whoever it allows something",
    [
      Arbitrary.array(rule, { maxLength: 5 }),
      oneOf("192.0.2.1", "192.0.2.200", "2001:db8::1", "/run/socket"),
      oneOf("connect" as const, "publish" as const, "play" as const)
    ],
    ([rules, remoteAddress, action]) => {
      const some = list(rules.map(({ networks, rule, scope }) => ({ rule, networks, ...scope })))
      if (some.allows(request({ action, remoteAddress }))) assert.isTrue(some.admits(remoteAddress))
    },
    { arbitrary: { runs: 1_000 } }
  )

  it("does not admit whom every rule denies everything", () => {
    const some = list([
      { rule: "deny", networks: ["192.0.2.2"], actions: ["play"] },
      { rule: "deny", networks: ["192.0.2.1"] },
      { rule: "allow", networks: ["all"] }
    ])
    assert.isFalse(some.admits("192.0.2.1"))
    assert.isTrue(some.admits("192.0.2.2"))
  })

  it("is not made of what is no network", () => {
    for (const text of [
      "",
      "10.0.0.0/33",
      "10.0.0.0/",
      "10.0.0/8",
      "::/129",
      "10.0.0.0/-1",
      "example.com",
      "10.0.0.0/8/8"
    ]) {
      const made = AccessList.make({ rules: [{ rule: "allow", networks: [text] }] })
      assert.isTrue(Result.isFailure(made) && made.failure.setting === "rules[0].networks", text)
    }
    assert.isTrue(Result.isFailure(AccessList.make({ rules: [{ rule: "allow", networks: [] }] })))
  })

  it.effect("is an authenticator of its own", () =>
    Effect.gen(function* () {
      const authenticator = yield* Authenticator
      const denied = yield* Effect.flip(authenticator.authorize(from("192.0.2.1")))
      assert.strictEqual(denied.reason, "AddressNotAllowed")
      assert.strictEqual(authenticator.refusal!("192.0.2.1"), "AddressNotAllowed")
      assert.strictEqual(authenticator.refusal!("192.0.2.2"), undefined)
    }).pipe(Effect.provide(AccessList.layer({ rules: [{ rule: "deny", networks: ["192.0.2.1"] }] })))
  )
})

describe("the neighbourhood of an address", () => {
  it("is itself in IPv4, mapped or not, and the /64 in IPv6", () => {
    assert.strictEqual(Address.neighbourhood("192.0.2.1"), "192.0.2.1")
    assert.strictEqual(Address.neighbourhood("::ffff:192.0.2.1"), "192.0.2.1")
    assert.strictEqual(Address.neighbourhood("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64")
    assert.strictEqual(Address.neighbourhood("2001:db8:1:2::9"), "2001:db8:1:2::/64")
    assert.strictEqual(Address.neighbourhood("/run/socket"), "/run/socket")
  })
})
