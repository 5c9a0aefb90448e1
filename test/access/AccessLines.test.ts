import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as AccessLines from "../../src/access/AccessLines.ts"

const hash = "ab".repeat(32)

describe("a line", () => {
  it("of a key is the key or its hash, with what it is good for", () => {
    const key = Result.getOrThrow(
      AccessLines.key(
        "ann",
        "s3cret=key== application=live stream=cam* actions=publish+play expires=2030-01-31T12:00:00Z"
      )
    )
    assert.strictEqual(Redacted.value(key.key!), "s3cret=key==")
    const { key: _, ...rest } = key
    assert.deepStrictEqual(rest, {
      id: "ann",
      application: "live",
      stream: "cam*",
      actions: ["publish", "play"],
      expiresAtMs: Date.UTC(2030, 0, 31, 12)
    })
    assert.deepStrictEqual(Result.getOrThrow(AccessLines.key("bob", `sha256:${hash} publishAs=show login=true`)), {
      id: "bob",
      sha256: hash,
      publishAs: "show",
      login: true
    })
  })

  it("of a rule has networks and a scope, and must be one that a list takes", () => {
    assert.deepStrictEqual(
      Result.getOrThrow(AccessLines.rule("deny 192.0.2.0/24 2001:db8::1 application=live actions=publish")),
      { rule: "deny", networks: ["192.0.2.0/24", "2001:db8::1"], application: "live", actions: ["publish"] }
    )
  })

  it("of a certificate may hold blanks in quotes, and equals signs of its own", () => {
    assert.deepStrictEqual(
      Result.getOrThrow(AccessLines.certificate("studio", '"CN=studio-1,O=Example Ltd" stream=a publishAs=b')),
      { id: "studio", name: "CN=studio-1,O=Example Ltd", stream: "a", publishAs: "b" }
    )
  })

  it("that makes no sense is refused, and nothing of it is repeated", () => {
    const table: ReadonlyArray<Result.Result<unknown, string>> = [
      AccessLines.key("a", ""),
      AccessLines.key("a", "s3cret s3cret"),
      AccessLines.key("a", "s3cret application=live s3cret"),
      AccessLines.key("a", "s3cret actions=s3cret"),
      AccessLines.key("a", "s3cret actions="),
      AccessLines.key("a", "s3cret expires=s3cret"),
      AccessLines.key("a", "s3cret login=s3cret"),
      AccessLines.key("a", "s3cret stream=a stream=b"),
      AccessLines.key("a", `s3cret stream=${"s3cret".repeat(100)}`),
      AccessLines.key("a", '"s3cret'),
      AccessLines.rule("refuse all"),
      AccessLines.rule("deny"),
      AccessLines.rule("deny 192.0.2.0/33"),
      AccessLines.rule("deny all stream=a"),
      AccessLines.certificate("a", "DNS:a DNS:b"),
      AccessLines.certificate("a", "")
    ]
    for (const [index, line] of table.entries()) {
      assert.isTrue(Result.isFailure(line), String(index))
      if (Result.isFailure(line)) assert.notInclude(line.failure, "s3cret")
    }
  })
})
