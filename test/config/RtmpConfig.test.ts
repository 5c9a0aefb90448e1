import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TestConsole from "effect/testing/TestConsole"
import { ConfigError } from "../../src/config/ConfigError.ts"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import * as Config from "../../src/config/RtmpConfig.ts"
import { RtmpConfig } from "../../src/config/RtmpConfig.ts"
import * as Log from "../../src/observability/Log.ts"

const fromRecord = (variables: Record<string, string>) =>
  ConfigSource.load(Config.model, [ConfigSource.fromRecord(Config.keys, variables)])

const loaded = (variables: Record<string, string>): Config.RtmpConfigData =>
  Result.getOrThrow(fromRecord(variables)).config

const problems = (variables: Record<string, string>): ReadonlyArray<string> => {
  const result = fromRecord(variables)
  assert.isTrue(Result.isFailure(result), "expected a ConfigError")
  return Result.isFailure(result) ? result.failure.message.split("\n").slice(1) : []
}

/** The decoded value of a key, by its path. */
/** Two secrets compare as equal, whatever they are. */
const shown = (value: unknown): unknown => (Redacted.isRedacted(value) ? Redacted.value(value) : value)

const valueAt = (config: Config.RtmpConfigData, path: string): unknown =>
  path.split(".").reduce<unknown>((members, step) => (members as Record<string, unknown>)[step], config)

const isGroup = (value: unknown): value is object => Object.getPrototypeOf(value) === Object.prototype

describe("the schema", () => {
  it("has a complete and valid default for every key", () => {
    for (const key of Config.keys) assert.isDefined(valueAt(RtmpConfig.defaults, key.path), key.path)
    const paths = (members: object, above: string): ReadonlyArray<string> =>
      Object.entries(members).flatMap(([name, member]) =>
        isGroup(member) ? paths(member, `${above}${name}.`) : [`${above}${name}`]
      )
    assert.sameMembers(
      Config.keys.map((key) => key.path),
      [...paths(RtmpConfig.defaults, "")]
    )
  })

  it("keeps the defaults that operators rely on", () => {
    const { listen, chunk, limits, gopCache, outbox, latency, publisher } = RtmpConfig.defaults
    assert.deepStrictEqual(listen, {
      enabled: true,
      host: "0.0.0.0",
      port: 1935,
      backlog: 1024,
      rehearsal: true,
      proxyProtocol: { trusted: [] }
    })
    assert.deepStrictEqual(chunk, { outSize: 60_000, windowAckSize: 2_500_000, peerBandwidth: 2_500_000 })
    assert.strictEqual(limits.maxMessageBytes, 10 * 1024 * 1024)
    assert.strictEqual(publisher.conflict, "reject")
    assert.strictEqual(latency.mode, "balanced")
    assert.strictEqual(Duration.toMillis(latency.mergeWindow), 40)
    assert.strictEqual(Duration.toMillis(outbox.maxDelay), 5000)
    assert.strictEqual(Duration.toMillis(gopCache.minDuration), 2000)
  })

  it("says of every default, as it is documented, that it is accepted and means the default", () => {
    for (const key of Config.keys) {
      const config = loaded({ [key.variable]: key.defaultText })
      assert.deepStrictEqual(valueAt(config, key.path), valueAt(RtmpConfig.defaults, key.path), key.path)
    }
  })

  it("describes every key, with a variable of its own", () => {
    for (const key of Config.keys) {
      assert.match(key.description, /^[`A-Z].*[^.]$/, key.path)
      assert.match(key.variable, /^RTMP(_[A-Z0-9]+)+$/, key.path)
    }
    assert.strictEqual(new Set(Config.keys.map((key) => key.variable)).size, Config.keys.length)
  })

  it("writes a configuration so that it reads back the same", () => {
    const config = loaded({ RTMP_LATENCY_MODE: "low", RTMP_SESSION_APPLICATIONS: "live,studio" })
    const written = Schema.encodeSync(Config.RtmpConfigSchema)(config)
    assert.deepStrictEqual(Schema.decodeSync(Config.RtmpConfigSchema)(written), config)
    assert.strictEqual(written.limits?.maxMessageBytes, "10MiB")
    assert.strictEqual(written.session?.pingTimeout, "1 minute")
  })
})

describe("the HTTP API that others can reach", () => {
  const problems = (variables: Record<string, string>, model: typeof Config.model = Config.model) => {
    const result = ConfigSource.load(model, [ConfigSource.fromRecord(Config.keys, variables)])
    return Result.isFailure(result) ? result.failure.problems : []
  }

  it.each(["0.0.0.0", "::", "192.0.2.1", "api.example", "127.0.0.1.evil", "localhost.evil"])(
    "is refused at %s without a token, with the ways out, and taken with one",
    (host) => {
      const [problem, ...more] = problems({ RTMP_HTTP_HOST: host })
      assert.deepStrictEqual(more, [])
      assert.deepInclude(problem, {
        reason: "Conflict",
        path: "http.host",
        origin: "RTMP_HTTP_HOST",
        found: `"${host}"`
      })
      for (const words of ["127.0.0.1", "http.readTokens", "RTMP_HTTP_WRITE_TOKENS", "http.enabled"])
        assert.include(problem!.expected, words)
      for (const out of [
        { RTMP_HTTP_READ_TOKENS: "a" },
        { RTMP_HTTP_WRITE_TOKENS: "a" },
        { RTMP_HTTP_ENABLED: "false" }
      ])
        assert.deepStrictEqual(problems({ RTMP_HTTP_HOST: host, ...out } as Record<string, string>), [])
      assert.deepStrictEqual(problems({ RTMP_HTTP_HOST: host }, Config.askingModel), [], "for those who only ask it")
    }
  )

  it.each(["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])("needs no token at %s", (host) => {
    assert.deepStrictEqual(problems({ RTMP_HTTP_HOST: host }), [])
  })
})

describe("the environment", () => {
  it("overrides every key by its variable", () => {
    const other: Record<string, string> = {
      duration: "7 seconds",
      bytes: "128KiB",
      count: "200",
      bitrate: "7 Mbit/s",
      text: "192.0.2.7",
      list: "a,b",
      record: "a=b"
    }
    const special: Record<string, string> = {
      "session.pingTimeout": "50 seconds",
      "limits.maxNameBytes": "1KiB",
      "limits.maxQueryBytes": "1KiB",
      "limits.maxMessageBytes": "2MiB",
      "limits.maxReassemblyBytes": "32MiB",
      "limits.maxTracks": "3",
      "limits.maxConnectionsPerAddress": "3",
      "limits.ipv6PrefixBits": "48",
      "limits.exemptNetworks": "10.0.0.0/8",
      "handshake.reservedVersions": "reject",
      "publisher.conflict": "takeover",
      "latency.mode": "throughput",
      "log.level": "debug",
      "log.levels": "server=debug",
      "log.format": "json",
      "log.output": "stderr",
      "log.file.interval": "hour",
      "log.file.format": "pretty",
      "latency.applications": "live=low",
      "otlp.url": "https://collector.example:4318",
      "shutdown.reconnectTo": "rtmp://other.example/live",
      profile: "mobile",
      "tls.minVersion": "TLSv1.3",
      "tls.ciphers": "ECDHE+AESGCM",
      "tls.clientCertificates.mode": "optional",
      "tls.acme.challenge": "tls-alpn-01",
      "tls.acme.email": "ann@example.org",
      "tls.acme.directoryUrl": "https://localhost:14000/dir",
      "tls.acme.eab.hmacKey": "c2VjcmV0",
      "listen.proxyProtocol.trusted": "10.0.0.0/8",
      "auth.required": "play",
      "auth.keys.in": "name",
      "auth.keys.parameter": "k",
      "auth.keys.allow": "ann=s3cret-key",
      "auth.adobe.dialect": "llnw",
      "auth.adobe.application": "studio",
      "auth.jwt.secret": "s3cret-s3cret-s3cret-s3cret-s3cret",
      "auth.jwt.jwksUrl": "https://issuer.example/jwks",
      "auth.jwt.algorithms": "ES256",
      "auth.jwt.parameter": "t",
      "auth.callback.maxOpenFor": "1 hour",
      "auth.callback.url": "http://127.0.0.1:9",
      "auth.callback.actions": "connect",
      "auth.callback.format": "form",
      "auth.callback.fallback": "allow",
      "auth.callback.pins": `${"A".repeat(43)}=`,
      "acl.rules": "deny all",
      "acl.otherwise": "deny"
    }
    // What has no meaning alone.
    const companions: Record<string, Record<string, string>> = {
      "auth.required": { RTMP_AUTH_KEYS_ENABLED: "true" },
      "auth.callback.certFile": {
        RTMP_AUTH_CALLBACK_KEY_FILE: "key.pem",
        RTMP_AUTH_CALLBACK_URL: "https://hooks.example"
      },
      "auth.callback.keyFile": {
        RTMP_AUTH_CALLBACK_CERT_FILE: "cert.pem",
        RTMP_AUTH_CALLBACK_URL: "https://hooks.example"
      },
      "http.host": {
        RTMP_HTTP_READ_TOKENS: "a-token-that-is-long-enough",
        RTMP_HTTP_WRITE_TOKENS: "another-token-that-is-long"
      },
      "tls.enabled": { RTMP_TLS_SELF_SIGNED: "true" },
      "listen.enabled": { RTMP_TLS_ENABLED: "true", RTMP_TLS_SELF_SIGNED: "true" },
      "auth.callback.caFile": { RTMP_AUTH_CALLBACK_URL: "https://hooks.example" },
      "auth.callback.pins": { RTMP_AUTH_CALLBACK_URL: "https://hooks.example" }
    }
    for (const key of Config.keys) {
      const before = valueAt(RtmpConfig.defaults, key.path)
      const value = special[key.path] ?? (key.kind === "boolean" ? String(!before) : other[key.kind]!)
      const after = valueAt(loaded({ ...companions[key.path], [key.variable]: value }), key.path)
      assert.notDeepEqual(shown(after), shown(before), key.path)
    }
  })

  it("counts an empty variable as not set, and leaves variables of others alone", () => {
    const result = Result.getOrThrow(
      fromRecord({ RTMP_LISTEN_PORT: "", HOME: "x", RTMPS_PORT: "1", rtmp_listen_port: "1" })
    )
    assert.deepStrictEqual(result.config, RtmpConfig.defaults)
    assert.deepStrictEqual(result.warnings, [])
    assert.strictEqual(result.origins.size, 0)
  })

  it("never shows a secret in an error", () => {
    const found = problems({ RTMP_HTTP_READ_TOKENS: "s3c ret", RTMP_OTLP_HEADERS: "s3cret" })
    assert.strictEqual(found.length, 2)
    for (const problem of found) assert.match(problem, /found a value that is secret$/)
  })

  it("remembers which values it has set", () => {
    const { origins } = Result.getOrThrow(fromRecord({ RTMP_LISTEN_PORT: "0" }))
    assert.deepStrictEqual([...origins], [["listen.port", "RTMP_LISTEN_PORT"]])
  })

  it("reports every problem at once, each with the variable, the path, what was expected and what was found", () => {
    assert.deepStrictEqual(
      problems({ RTMP_LISTEN_PORT: "70000", RTMP_SESSION_PING_INTERVAL: "soon", RTMP_LOG_LEVEL: "loud\n" }),
      [
        '  RTMP_LISTEN_PORT (listen.port): expected a whole number from 0 to 65535, found "70000"',
        '  RTMP_SESSION_PING_INTERVAL (session.pingInterval): expected a duration from 100 ms to 24 days (`5 seconds`, `500 ms`, `10s` or milliseconds), found "soon"',
        '  RTMP_LOG_LEVEL (log.level): expected `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `none`, found "loud\\u{a}"'
      ]
    )
  })

  it("reports keys that contradict each other, also where one of them is a default", () => {
    assert.deepStrictEqual(problems({ RTMP_SESSION_PING_INTERVAL: "2 minutes", RTMP_GOP_CACHE_MAX_DURATION: "1s" }), [
      '  RTMP_SESSION_PING_INTERVAL (session.pingInterval): expected at most 1 minute, the value of session.pingTimeout, found "2 minutes"',
      "  RTMP_GOP_CACHE_MIN_DURATION (gopCache.minDuration): expected at most 1 second, the value of gopCache.maxDuration, found 2 seconds (default)"
    ])
    assert.strictEqual(problems({ RTMP_LIMITS_MAX_MESSAGE_BYTES: "128KiB" }).length, 1)
    assert.strictEqual(
      problems({ RTMP_LIMITS_MAX_MESSAGE_BYTES: "64KiB", RTMP_LIMITS_MAX_REASSEMBLY_BYTES: "64KiB" }).length,
      1
    )
    assert.strictEqual(problems({ RTMP_LIMITS_MAX_REASSEMBLY_BYTES: "64KiB" }).length, 1)
    assert.strictEqual(problems({ RTMP_LIMITS_MAX_COMMAND_BYTES: "11MiB" }).length, 1)
  })

  it("warns of unknown variables and suggests what was meant", () => {
    const table: ReadonlyArray<readonly [string, string | undefined]> = [
      ["RTMP_LISTN_PORT", "RTMP_LISTEN_PORT"],
      ["RTMP_PORT", "RTMP_LISTEN_PORT"],
      ["RTMP_GOP_MAX_BYTES", "RTMP_GOP_CACHE_MAX_BYTES"],
      ["RTMP_LOG_LEVLE", "RTMP_LOG_LEVEL"],
      ["RTMP_LOG_FILE_SIZE", "RTMP_LOG_FILE_MAX_SIZE"],
      ["RTMP_WHATEVER_ELSE", undefined]
    ]
    for (const [name, suggestion] of table) {
      const { warnings, config } = Result.getOrThrow(fromRecord({ [name]: "1" }))
      assert.deepStrictEqual(warnings, [suggestion === undefined ? { origin: name } : { origin: name, suggestion }])
      assert.deepStrictEqual(config, RtmpConfig.defaults)
    }
  })

  it.effect("is read through the ConfigProvider, unknown variables included", () =>
    Effect.gen(function* () {
      const env = {
        RTMP_LISTEN_PORT: "1936",
        RTMP_LISTEN_PRT: "1",
        RTMP_GOP_7: "x",
        RTMP_LOG_LEVEL: "debug",
        PATH: "/"
      }
      const result = yield* Config.loadFromEnv.pipe(
        Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
      )
      assert.strictEqual(result.config.listen.port, 1936)
      assert.strictEqual(result.config.log.level, "debug")
      assert.sameMembers(
        result.warnings.map((warning) => warning.origin),
        ["RTMP_LISTEN_PRT", "RTMP_GOP_7"]
      )
    })
  )

  it.effect("may have a variable with an absurd index without being searched for the ones before", () =>
    Effect.gen(function* () {
      const env = { RTMP_X_4294967294: "1" }
      const source = yield* ConfigSource.fromProvider(Config.keys, ConfigProvider.fromEnv({ env }))
      assert.deepStrictEqual(
        source.warnings.map((warning) => warning.origin),
        ["RTMP_X_4294967294"]
      )
    })
  )

  it.effect("that cannot be read is an error that says so", () =>
    Effect.gen(function* () {
      const broken = ConfigProvider.make(() =>
        Effect.fail(new ConfigProvider.SourceError({ message: "no such vault" }))
      )
      const error = yield* Effect.flip(ConfigSource.fromProvider(Config.keys, broken))
      assert.strictEqual(error.reason, "SourceFailed")
      assert.include(error.message, "no such vault")
    })
  )
})

describe("latency modes", () => {
  const shape = (variables: Record<string, string>) => {
    const { gopCache, latency, outbox } = loaded(variables)
    return [latency.mergeWindow, outbox.maxDelay, gopCache.minDuration].map((value) => Duration.toMillis(value))
  }

  it("set the merge window, and for low latency the queue and the cache too", () => {
    assert.deepStrictEqual(shape({ RTMP_LATENCY_MODE: "low" }), [0, 500, 0])
    assert.deepStrictEqual(shape({ RTMP_LATENCY_MODE: "balanced" }), [40, 5000, 2000])
    assert.deepStrictEqual(shape({ RTMP_LATENCY_MODE: "throughput" }), [350, 5000, 2000])
  })

  it("yield to what is set by hand", () => {
    assert.deepStrictEqual(
      shape({
        RTMP_LATENCY_MODE: "low",
        RTMP_LATENCY_MERGE_WINDOW: "10 ms",
        RTMP_OUTBOX_MAX_DELAY: "3s",
        RTMP_GOP_CACHE_MIN_DURATION: "1s"
      }),
      [10, 3000, 1000]
    )
  })
})

describe("profiles", () => {
  const shape = (variables: Record<string, string>) => {
    const { gopCache, limits, outbox } = loaded(variables)
    const { distributionBitrate, maxConnections, maxPublishers, publishBitrate } = limits
    return [maxConnections, maxPublishers, publishBitrate, distributionBitrate, gopCache.maxBytes, outbox.maxBytes]
  }
  const mib = 1024 * 1024

  it("set the defaults of the limits, and of what is kept and may wait", () => {
    const desktop = [1000, 10, 50_000_000, 500_000_000, 32 * mib, 16 * mib]
    assert.deepStrictEqual(shape({}), desktop)
    assert.deepStrictEqual(shape({ RTMP_PROFILE: "desktop" }), desktop)
    assert.deepStrictEqual(shape({ RTMP_PROFILE: "mobile" }), [100, 3, 20_000_000, 100_000_000, 16 * mib, 8 * mib])
  })

  it("yield to what is set by hand", () => {
    const limits = { RTMP_LIMITS_MAX_PUBLISHERS: "5", RTMP_LIMITS_PUBLISH_BITRATE: "6 Mbit/s" }
    assert.deepStrictEqual(shape({ RTMP_PROFILE: "mobile", ...limits }).slice(0, 3), [100, 5, 6_000_000])
  })
})

describe("the latency of single applications", () => {
  it("is what the mode means, or what holds for the server with another merge window", () => {
    const { applications } = loaded({
      RTMP_LATENCY_MODE: "throughput",
      RTMP_OUTBOX_MAX_DELAY: "3s",
      RTMP_LATENCY_APPLICATIONS: "live=low,event=100 ms"
    }).latency
    assert.deepStrictEqual(
      [...applications],
      [
        ["live", { mode: "low", mergeWindowMs: 0, outboxMaxDelayMs: 500, gopMinDurationMs: 0 }],
        ["event", { mergeWindowMs: 100, outboxMaxDelayMs: 3000, gopMinDurationMs: 2000 }]
      ]
    )
  })

  it("is refused for other words and longer windows", () => {
    for (const value of ["live=fast", "live=11 seconds", "live", "live=-1", "live=low,live=low"]) {
      assert.strictEqual(problems({ RTMP_LATENCY_APPLICATIONS: value }).length, 1, value)
    }
  })
})

describe("sources", () => {
  it("lie on top of each other key by key, the last one uppermost", () => {
    const file = ConfigSource.fromValues(
      Config.keys,
      { listen: { port: 1, backlog: 5 }, log: { level: "warn" } },
      "file"
    )
    const environment = ConfigSource.fromRecord(Config.keys, { RTMP_LISTEN_PORT: "2" })
    const { config, origins } = Result.getOrThrow(ConfigSource.load(Config.model, [file, environment]))
    assert.deepStrictEqual([config.listen.port, config.listen.backlog, config.log.level], [2, 5, "warn"])
    assert.strictEqual(origins.get("listen.port"), "RTMP_LISTEN_PORT")
    assert.strictEqual(origins.get("listen.backlog"), "file")
  })

  it("warn of paths that are no keys", () => {
    const source = ConfigSource.fromValues(Config.keys, { listen: { prot: 1 }, nonsense: { deep: 1 } }, "file")
    const { warnings } = Result.getOrThrow(ConfigSource.load(Config.model, [source]))
    assert.deepStrictEqual(warnings, [
      { origin: "listen.prot (file)", suggestion: "listen.port" },
      { origin: "nonsense.deep (file)" }
    ])
  })

  it("report a wrong element of a list once, at its key", () => {
    const source = ConfigSource.fromValues(Config.keys, { session: { applications: ["live", 7] } }, "file")
    const result = ConfigSource.load(Config.model, [source])
    assert.deepStrictEqual(Result.isFailure(result) && result.failure.problems, [
      {
        reason: "InvalidValue",
        origin: "file",
        path: "session.applications",
        expected: "a list of names with commas between them",
        found: '["live",7]'
      }
    ])
  })

  it.prop("never throw, whatever the variables hold", [Schema.Array(Schema.String)], ([values]) => {
    const variables = Object.fromEntries(
      values.map((value, index) => [Config.keys[index % Config.keys.length]!.variable, value])
    )
    const result = fromRecord(variables)
    if (Result.isFailure(result)) {
      assert.isAbove(result.failure.problems.length, 0)
      assert.notInclude(result.failure.message.replaceAll("\n  ", ""), "\n")
    }
  })
})

describe("layers", () => {
  it.effect("give the defaults with overrides that are written as in a file", () =>
    Effect.gen(function* () {
      const config = yield* RtmpConfig
      assert.strictEqual(config.listen.port, 0)
      assert.strictEqual(Duration.toMillis(config.publisher.resumeGrace), 5000)
      assert.strictEqual(Duration.toMillis(config.session.idleTimeout), 1500)
      assert.deepStrictEqual(config.limits, RtmpConfig.defaults.limits)
    }).pipe(
      Effect.provide(
        RtmpConfig.layer({
          listen: { port: 0 },
          publisher: { resumeGrace: "5 seconds" },
          session: { idleTimeout: Duration.millis(1500) }
        })
      )
    )
  )

  it.effect("die of overrides that are wrong, because the program is", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.provide(RtmpConfig, RtmpConfig.layer({ listen: { port: -1 } })))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.instanceOf(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, ConfigError)
    })
  )

  it.effect("read the environment, and log what was not understood", () =>
    Effect.gen(function* () {
      const env = { RTMP_LISTEN_PORT: "1936", RTMP_LISTEN_HOTS: "x" }
      const provider = Layer.succeed(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
      const config = yield* Effect.provide(
        RtmpConfig,
        RtmpConfig.layerFromEnv.pipe(Layer.provide([provider, Log.layer({ level: "info", format: "json" })]))
      )
      assert.strictEqual(config.listen.port, 1936)
      const lines = yield* TestConsole.logLines
      assert.strictEqual(lines.length, 1)
      assert.include(
        JSON.parse(String(lines[0])).message,
        "RTMP_LISTEN_HOTS is not a setting and has no effect; did you mean RTMP_LISTEN_HOST?"
      )
    }).pipe(Effect.provide(Layer.fresh(TestConsole.layer)))
  )

  it.effect("fail with every problem when the environment is wrong", () =>
    Effect.gen(function* () {
      const env = { RTMP_LISTEN_PORT: "x", RTMP_LOG_FORMAT: "y" }
      const provider = Layer.succeed(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
      const error = yield* Effect.flip(Effect.provide(RtmpConfig, Layer.provide(RtmpConfig.layerFromEnv, provider)))
      assert.deepStrictEqual(
        error.problems.map((problem) => problem.origin),
        ["RTMP_LISTEN_PORT", "RTMP_LOG_FORMAT"]
      )
    })
  )
})
