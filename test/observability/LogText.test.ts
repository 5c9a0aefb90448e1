import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as LogText from "../../src/observability/LogText.ts"

const secretNames = [
  ...["key", "token", "password", "secret", "authorization", "query", "cookie", "Authorization", "KEY", "keys"],
  ...["streamKey", "stream_key", "streamkey", "API_KEY", "x-api-key", "accessToken", "refreshtoken", "http.tokens"],
  ...["clientSecret", "userPassword", "urlQuery", "PRIVATE_KEY", "set-cookie"]
]
const openNames = [
  ...["keyframe", "keyFrames", "monkey", "keyboard", "tokenizer", "secretary", "queryless", "stream", "connection"],
  ...["", "passwordless", "jqueryui"]
]

describe("fields that hold secrets", () => {
  it("are told by the end of their names", () => {
    for (const name of secretNames) assert.isTrue(LogText.isSecretName(name), name)
    for (const name of openNames) assert.isFalse(LogText.isSecretName(name), name)
  })

  it("are told the same way when more names were seen than are remembered", () => {
    for (let i = 0; i < 3_000; i++) LogText.isSecretName(`name${i}`)
    assert.isTrue(LogText.isSecretName("quiteNewToken"))
    assert.isFalse(LogText.isSecretName("quiteNewName"))
  })

  it("are hidden whatever they hold, wherever they stand", () => {
    assert.strictEqual(LogText.safeField("key", "s3cret"), "***")
    assert.strictEqual(LogText.safeField("key", { a: 1 }), "***")
    assert.strictEqual(LogText.safeField("key", 12345), "***")
    assert.strictEqual(LogText.safeField("tokens", ["s3cret"]), "***")
    assert.deepStrictEqual(LogText.safeField("config", { auth: [{ token: "s3cret", name: "a" }], port: 1 }), {
      auth: [{ token: "***", name: "a" }],
      port: 1
    })
  })

  it("are hidden in instances of classes and errors, which keep what else they say", () => {
    class Login {
      readonly user = "a"
      readonly password = "s3cret"
    }
    class Holder {
      readonly login = new Login()
    }
    assert.deepStrictEqual(LogText.withoutSecrets(new Login()), { user: "a", password: "***" })
    assert.deepStrictEqual(LogText.withoutSecrets(new Holder()), { login: { user: "a", password: "***" } })
    const error = Object.assign(new Error("refused"), { token: "s3cret", status: 401 })
    assert.deepStrictEqual(LogText.withoutSecrets(error), {
      name: "Error",
      message: "refused",
      token: "***",
      status: 401
    })
  })

  it("leave everything else alone: counts, dates, redacted values, instances without secrets", () => {
    const date = new Date(0)
    const redacted = Redacted.make("s3cret")
    class Point {
      readonly x = 1
    }
    const point = new Point()
    assert.strictEqual(LogText.safeField("keys", 3), 3)
    assert.strictEqual(LogText.safeField("tokens", true), true)
    for (const value of [1, "text", null, undefined, date, redacted, point]) {
      assert.strictEqual(LogText.withoutSecrets(value), value)
    }
  })

  it("are looked for only so deep and so far, so that a cycle or a large value ends", () => {
    const cycle: Record<string, unknown> = { token: "s3cret" }
    cycle.self = cycle
    const text = JSON.stringify(LogText.withoutSecrets(cycle))
    assert.notInclude(text, "s3cret")
    assert.include(text, "…")
    const large = LogText.withoutSecrets(Array.from({ length: 5_000 }, (_, i) => i)) as ReadonlyArray<unknown>
    assert.strictEqual(large.length, 1_001)
    assert.strictEqual(large.at(-1), "…")
  })

  it("do not end who logs when a getter throws", () => {
    const hostile = Object.defineProperty({}, "a", {
      enumerable: true,
      get: () => {
        throw new Error("no")
      }
    })
    assert.strictEqual(LogText.withoutSecrets(hostile), LogText.unprintable)
  })
})
