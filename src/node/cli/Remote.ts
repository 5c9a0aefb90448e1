/**
 * The server that runs: where its API is, with which token, and what went wrong in words when it does not answer.
 */

import * as FsPromises from "node:fs/promises"
import * as ConfigProvider from "effect/ConfigProvider"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { type ConfigError, type ConfigProblem, describe } from "../../config/ConfigError.ts"
import * as ConfigSource from "../../config/ConfigSource.ts"
import type { RtmpConfigData } from "../../config/RtmpConfig.ts"
import type { AdminClient } from "../../http/AdminClient.ts"
import * as LogText from "../../observability/LogText.ts"
import { CommandError, fail } from "./CommandError.ts"

/** What the flags of a command say about the server. */
export interface Target {
  readonly url: Option.Option<string>
  readonly tokenFile: Option.Option<string>
}

/** Where the API is, without a slash at the end, and the token to show; `undefined` for none. */
export interface Address {
  readonly url: string
  readonly token: Redacted.Redacted<string> | undefined
}

/**
 * Finds the API: by `--url`, or by `http.host` and `http.port` of the configuration.
 *
 * The token is that of `--token-file`, else of `RTMP_HTTP_TOKEN`, else the first of the configuration that may write, else
 * the first that may read. Tokens of a configuration that nobody named are not sent to an address that somebody did name.
 * Without `needsToken` none is looked for.
 */
export const address = (
  config: string | undefined,
  target: Target,
  needsToken = true
): Effect.Effect<Address, CommandError | ConfigError> =>
  Effect.gen(function* () {
    const given = Option.isSome(target.url) ? yield* parseUrl(target.url.value) : undefined
    const token = needsToken ? yield* explicitToken(target.tokenFile) : undefined
    const isNeeded = given === undefined || (needsToken && token === undefined && config !== undefined)
    const settings = isNeeded ? yield* configuration(config) : undefined
    const url = given ?? (yield* urlOf(settings!.http))
    return { url, token: token ?? (settings === undefined ? undefined : firstToken(settings.http)) }
  })

/** The address of the API of a configuration. An unspecified address is that of this machine. */
export const urlOf = (http: RtmpConfigData["http"]): Effect.Effect<string, CommandError> => {
  if (!http.enabled) return Effect.fail(fail("unavailable", `${noApi}, because http.enabled is false`))
  if (http.port === 0) {
    const why = "http.port is 0, so the server chose a port by itself and logged it: give the address with --url"
    return Effect.fail(fail("usage", why))
  }
  const host = reachable(http.host)
  return Effect.succeed(`http://${host.includes(":") ? `[${host}]` : host}:${http.port}`)
}

/** The longest time that the server may take to answer. */
export const answerTimeout = "30 seconds"

/**
 * Asks the server: hands its client to `use`, and turns every failure into words. The modules of HTTP are loaded here, and
 * not before.
 */
export const call = <A, E extends Failure>(
  config: string | undefined,
  target: Target,
  use: (client: AdminClient) => Effect.Effect<A, E>,
  timeout: Duration.Input = answerTimeout
): Effect.Effect<A, CommandError | ConfigError> =>
  Effect.gen(function* () {
    const { token, url } = yield* address(config, target)
    // Not the HTTP client of the web: it refuses the ports of other protocols, whoever listens there.
    const [AdminClient, NodeHttpClient] = yield* Effect.promise(() =>
      Promise.all([import("../../http/AdminClient.ts"), import("@effect/platform-node/NodeHttpClient")])
    )
    return yield* AdminClient.make({ baseUrl: url, ...(token === undefined ? {} : { token }) }).pipe(
      Effect.flatMap(use),
      Effect.provide(NodeHttpClient.layerNodeHttp),
      Effect.timeoutOrElse({
        duration: timeout,
        orElse: () => Effect.fail(fail("unavailable", `the server at ${url} does not answer in time`))
      }),
      Effect.mapError((error) => explain(error, url, token !== undefined))
    )
  })

/** What a call of the client may fail with: errors of the API, of HTTP and of decoding, and those of commands. */
export interface Failure {
  readonly _tag: string
  readonly message: string
}

/** Turns what went wrong into words for the operator, and an exit status. */
export const explain = (error: Failure | CommandError, url: string, hasToken: boolean): CommandError => {
  if (error instanceof CommandError) return error
  const said = LogText.escapeForLog(error.message, maxMessageBytes)
  switch (error._tag) {
    case "Unauthorized": {
      const way = `put a token of the server in a file for --token-file, or in ${ConfigSource.tokenVariable}`
      return fail("noPermission", `the server at ${url} refused: ${hasToken ? said : "it asks for a token"}; ${way}`)
    }
    case "Forbidden":
      return fail("noPermission", `the server at ${url} refused: ${said}`)
    case "NotFound":
    case "Conflict":
      return fail("failed", said)
    case "TooManyRequests":
      return fail("unavailable", `the server at ${url} refused: ${said}`)
    case "BadRequest":
      return fail("usage", `the server at ${url} did not accept the request: ${said}`)
    case "Unprocessable":
      return fail("config", problemsOf(error) ?? said)
    case "HttpClientError": {
      const reason =
        "reason" in error ? (error.reason as { readonly _tag: string; readonly cause?: unknown }) : undefined
      if (reason?._tag === "TransportError") return fail("unavailable", unreachable(codeOf(reason.cause), url))
      return fail("unavailable", `what answers at ${url} is not this version of effect-rtmp, or no effect-rtmp at all`)
    }
    case "SchemaError":
      return fail("unavailable", `the answer of ${url} cannot be understood: it may be another version of effect-rtmp`)
    default:
      return fail("failed", said)
  }
}

/** Whether a call failed because no server runs there, or one that has no API. */
export const isAbsent = ({ message, outcome }: CommandError): boolean =>
  outcome === "unavailable" && (message.startsWith(noServer) || message.startsWith(noApi))

const noServer = "no server answers at"
const noApi = "the server has no API"

/** Says why nothing answers, from the code of the system. */
export const unreachable = (code: string, url: string): string => {
  switch (code) {
    case "ECONNREFUSED":
      return `${noServer} ${url}: start it with \`effect-rtmp serve\`, or name the right one with --config or --url`
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `there is no host of that name: ${url}`
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "ETIMEDOUT":
    case "UND_ERR_CONNECT_TIMEOUT":
      return `${url} cannot be reached from here (${code})`
    default:
      return `the connection to ${url} broke off${code === "" ? "" : ` (${code})`}: the server may be stopping`
  }
}

/** The code of the system in an error, or in what caused it; empty for none. */
export const codeOf = (error: unknown): string => {
  for (let it = error, depth = 0; typeof it === "object" && it !== null && depth < 5; depth++) {
    if ("code" in it && typeof it.code === "string") return LogText.escapeForLog(it.code)
    // Several addresses were tried, and each has failed.
    it = "errors" in it && Array.isArray(it.errors) ? it.errors[0] : "cause" in it ? it.cause : undefined
  }
  return ""
}

const maxMessageBytes = 2_048

const problemsOf = (error: object): string | undefined => {
  const problems = "problems" in error ? (error.problems as ReadonlyArray<ConfigProblem>) : []
  if (problems.length === 0) return undefined
  const lines = problems.map((problem) => `  ${LogText.escapeForLog(describe(problem), maxMessageBytes)}`)
  return ["the server did not take the configuration, and keeps the one that it has:", ...lines].join("\n")
}

/** Loaded only here, because an address that was given needs none of it. */
const configuration = (config: string | undefined): Effect.Effect<RtmpConfigData, ConfigError> =>
  Effect.flatMap(
    Effect.promise(() => import("./ServeConfig.ts")),
    (ServeConfig) => ServeConfig.loadToAsk(config)
  )

const reachable = (host: string): string => {
  const bare = host.replace(/^\[(.*)\]$/, "$1")
  if (bare === "0.0.0.0" || bare === "") return "127.0.0.1"
  return /^(?:::|(?:0+:){7}0+)$/.test(bare) ? "::1" : bare
}

const parseUrl = (text: string): Effect.Effect<string, CommandError> => {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`)
  return url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === ""
    ? Effect.succeed(`${url.origin}${url.pathname.replace(/\/+$/, "")}`)
    : Effect.fail(
        fail("usage", `--url takes an address such as http://127.0.0.1:8080, found "${LogText.redactUrl(text)}"`)
      )
}

const explicitToken = (
  file: Option.Option<string>
): Effect.Effect<Redacted.Redacted<string> | undefined, CommandError> =>
  Effect.gen(function* () {
    if (Option.isSome(file)) {
      const path = LogText.escapeForLog(file.value, 1024)
      const text = yield* Effect.tryPromise({
        try: () => FsPromises.readFile(file.value, "utf8"),
        catch: (error) => {
          const code = codeOf(error)
          const why = code === "EACCES" ? "permission denied" : code === "ENOENT" ? "it does not exist" : code
          return fail(code === "EACCES" ? "noPermission" : "usage", `cannot read the token from ${path}: ${why}`)
        }
      })
      return yield* checked(text.trim(), path)
    }
    const provider = yield* ConfigProvider.ConfigProvider
    const variable = yield* Effect.orElseSucceed(provider.load([ConfigSource.tokenVariable]), () => undefined)
    const value = variable?.value?.trim() ?? ""
    return value === "" ? undefined : yield* checked(value, ConfigSource.tokenVariable)
  })

/** A token becomes part of a header: what is not a token must not, and must not be shown either. */
const checked = (token: string, origin: string): Effect.Effect<Redacted.Redacted<string>, CommandError> =>
  /^[\x21-\x7e]+$/.test(token)
    ? Effect.succeed(Redacted.make(token))
    : Effect.fail(fail("usage", `${origin} does not hold a token: one line without blanks`))

const firstToken = ({ readTokens, writeTokens }: RtmpConfigData["http"]): Redacted.Redacted<string> | undefined =>
  writeTokens[0] ?? readTokens[0]
