import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as ConfigDiff from "../../src/config/ConfigDiff.ts"
import * as ConfigShow from "../../src/config/ConfigShow.ts"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import { keys, model, RtmpConfig } from "../../src/config/RtmpConfig.ts"

const load = (variables: Record<string, string>) =>
  Result.getOrThrow(ConfigSource.load(model, [ConfigSource.fromRecord(keys, variables)]))

const loaded = load({
  RTMP_PROFILE: "mobile",
  RTMP_LISTEN_PORT: "1936",
  RTMP_HTTP_READ_TOKENS: "s3cret",
  RTMP_OTLP_HEADERS: "Authorization=s3cret",
  RTMP_LATENCY_APPLICATIONS: "live=low"
})

describe("the effective configuration", () => {
  it("has every key with its value and where it comes from, and no secret", () => {
    const shown = ConfigShow.show(loaded)
    assert.deepStrictEqual(
      shown.map(({ path }) => path),
      keys.map(({ path }) => path)
    )
    const at = (path: string) => shown.find((it) => it.path === path)
    assert.deepStrictEqual(at("listen.port"), {
      path: "listen.port",
      value: 1936,
      origin: "RTMP_LISTEN_PORT",
      isDefault: false
    })
    assert.strictEqual(at("listen.host")?.origin, "default")
    assert.deepStrictEqual(at("limits.maxPublishers"), {
      path: "limits.maxPublishers",
      value: 3,
      origin: "default of profile mobile",
      isDefault: true
    })
    assert.strictEqual(at("outbox.maxDelay")?.origin, "default of latency.mode balanced")
    assert.deepStrictEqual([at("http.readTokens")?.value, at("http.writeTokens")?.value], ["***", []])
    assert.strictEqual(at("otlp.headers")?.value, "***")
  })

  it("is written as lines, as a file and as data", () => {
    const shown = ConfigShow.show(loaded)
    assert.deepStrictEqual(ConfigShow.settings(shown), [
      "profile = mobile (RTMP_PROFILE)",
      "listen.port = 1936 (RTMP_LISTEN_PORT)",
      "latency.applications = { live: low } (RTMP_LATENCY_APPLICATIONS)",
      'otlp.headers = "***" (RTMP_OTLP_HEADERS)',
      'http.readTokens = "***" (RTMP_HTTP_READ_TOKENS)'
    ])
    const text = ConfigShow.toYaml(shown)
    assert.include(
      text,
      "profile: mobile # RTMP_PROFILE\ninstance:\n  name: default # default\nlisten:\n  enabled: true # default\n  host: 0.0.0.0 # default\n"
    )
    assert.include(text, '\n  file:\n    path: "" # default\n')
    const data = ConfigShow.toJson(shown) as { readonly log: { readonly file: { readonly maxSize: string } } }
    assert.strictEqual(data.log.file.maxSize, "100MiB")
  })
})

describe("a difference", () => {
  it("is listed by key with both values, secrets hidden, and whether it needs a restart", () => {
    const changes = ConfigDiff.diff(
      RtmpConfig.defaults,
      load({
        RTMP_LISTEN_PORT: "1936",
        RTMP_HTTP_WRITE_TOKENS: "s3cret",
        RTMP_LATENCY_MODE: "low",
        RTMP_LOG_LEVELS: "server=debug"
      }).config
    )
    assert.deepStrictEqual(changes.map(ConfigDiff.describe), [
      "listen.port: 1935 -> 1936 (needs a restart)",
      "gopCache.minDuration: 2 seconds -> 0 ms",
      "outbox.maxDelay: 5 seconds -> 500 ms",
      "latency.mode: balanced -> low",
      "latency.mergeWindow: 40 ms -> 0 ms",
      "log.levels: {} -> { server: debug }",
      'http.writeTokens: [] -> "***"'
    ])
  })

  it("is none between ways of writing the same, and one between secrets that look alike", () => {
    const same = [
      { RTMP_SESSION_PING_TIMEOUT: "1 minute", RTMP_LOG_LEVELS: "server=debug,live=warn" },
      { RTMP_SESSION_PING_TIMEOUT: "60s", RTMP_LOG_LEVELS: "live=WARN,server=debug" }
    ] as const
    assert.deepStrictEqual(ConfigDiff.diff(load(same[0]).config, load(same[1]).config), [])
    const secrets = ConfigDiff.diff(
      load({ RTMP_HTTP_READ_TOKENS: "a" }).config,
      load({ RTMP_HTTP_READ_TOKENS: "b" }).config
    )
    assert.deepStrictEqual(secrets, [{ path: "http.readTokens", from: "***", to: "***", restart: false }])
  })
})
