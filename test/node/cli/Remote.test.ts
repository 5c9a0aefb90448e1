import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Remote from "../../../src/node/cli/Remote.ts"

interface Given {
  readonly env?: Record<string, string>
  readonly config?: string
  readonly url?: string
  readonly tokenFile?: string
}

const address = ({ config, env = {}, tokenFile, url }: Given) =>
  Remote.address(config, { url: Option.fromNullishOr(url), tokenFile: Option.fromNullishOr(tokenFile) }).pipe(
    Effect.map(({ token, url }) => [url, token === undefined ? undefined : Redacted.value(token)] as const),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
  )

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-cli-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
)

const file = (name: string, text: string) =>
  Effect.map(folder, (folder) => {
    const path = Path.join(folder, name)
    Fs.writeFileSync(path, text)
    return path
  })

describe("Remote.address", () => {
  it.effect.each([
    ["127.0.0.1", "http://127.0.0.1:9000"],
    ["0.0.0.0", "http://127.0.0.1:9000"],
    ["::", "http://[::1]:9000"],
    ["::1", "http://[::1]:9000"],
    ["api.example", "http://api.example:9000"]
  ])("finds a server that listens on %s at %s", ([host, url]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* address({ env: { RTMP_HTTP_HOST: host, RTMP_HTTP_PORT: "9000" } }), [
        url,
        undefined
      ])
    })
  )

  it.effect("takes the token of the file before that of the environment, and that before the configuration's", () =>
    Effect.gen(function* () {
      const config = yield* file("a.yaml", "http: { readTokens: [reader], writeTokens: [writer, other] }\n")
      const tokenFile = yield* file("token", "from-file\n")
      const env = { RTMP_HTTP_TOKEN: "from-env" }
      assert.strictEqual((yield* address({ config, env, tokenFile }))[1], "from-file")
      assert.strictEqual((yield* address({ config, env }))[1], "from-env")
      assert.strictEqual((yield* address({ config }))[1], "writer")
      const readable = yield* file("b.yaml", "http: { readTokens: [reader] }\n")
      assert.strictEqual((yield* address({ config: readable }))[1], "reader")
    })
  )

  it.effect("sends no token of a configuration that nobody named to an address that somebody named", () =>
    Effect.gen(function* () {
      const env = { RTMP_HTTP_WRITE_TOKENS: "secret" }
      assert.deepStrictEqual(yield* address({ env, url: "https://other.example/" }), [
        "https://other.example",
        undefined
      ])
      assert.strictEqual((yield* address({ env }))[1], "secret")
    })
  )

  it.effect.each([
    [{ url: "ftp://x" }, "usage"],
    [{ url: "http://user:secret@x" }, "usage"],
    [{ env: { RTMP_HTTP_ENABLED: "false" } }, "unavailable"],
    [{ env: { RTMP_HTTP_PORT: "0" } }, "usage"],
    [{ tokenFile: "does-not-exist" }, "usage"],
    [{ url: "http://x", env: { RTMP_HTTP_TOKEN: "two words" } }, "usage"]
  ] as ReadonlyArray<readonly [Given, string]>)(
    "explains why %j cannot be used, without its secrets",
    ([given, outcome]) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(address(given))
        assert.strictEqual(error._tag === "CommandError" ? error.outcome : error._tag, outcome)
        assert.notMatch(error.message, /secret|two words/)
      })
  )
})
