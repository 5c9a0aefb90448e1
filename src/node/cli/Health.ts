/**
 * `effect-rtmp health`: asks the probe of a server, with as little as possible: it is run every few seconds in a container.
 *
 * Neither the command line of Effect nor its HTTP client is loaded for it.
 */
import process from "node:process"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as LogText from "../../observability/LogText.ts"
import { Http } from "../BuiltinHttp.ts"
import { type CommandError, fail } from "./CommandError.ts"
import * as Remote from "./Remote.ts"

/** What is asked: of which server, whether it is merely alive, and how the answer is printed. */
export interface HealthOptions {
  readonly config: string | undefined
  readonly url: string | undefined
  readonly live: boolean
  readonly json: boolean
}

/** How long a probe may take, in milliseconds: less than the patience of whoever asks every few seconds. */
export const timeoutMs = 4_000

/** Reads the arguments of a plain `health`; `undefined` for all that is anything else. */
export const parse = (args: ReadonlyArray<string>): HealthOptions | undefined => {
  if (args[0] !== "health") return undefined
  let options: HealthOptions = { config: undefined, url: undefined, live: false, json: false }
  for (let index = 1; index < args.length; index++) {
    const match = /^--([a-z]+)(?:=(.+))?$/s.exec(args[index]!)
    const name = match?.[1]
    if ((name === "live" || name === "json") && match?.[2] === undefined) options = { ...options, [name]: true }
    else if (name === "config" || name === "url") {
      const value = match?.[2] ?? args[++index]
      if (value === undefined || value === "" || value.startsWith("-")) return undefined
      options = { ...options, [name]: value }
    } else return undefined
  }
  return options
}

/**
 * Asks `/readyz`, or `/healthz` with `live`, and prints the answer. Every failure has the exit status 1, as orchestrators
 * want it.
 */
export const check = (options: HealthOptions): Effect.Effect<void, CommandError> =>
  Effect.gen(function* () {
    const target = { url: Option.fromNullishOr(options.url), tokenFile: Option.none() }
    const { url } = yield* Remote.address(options.config, target, false)
    const answer = yield* probe(`${url}/${options.live ? "healthz" : "readyz"}`, url)
    const report = parseReport(answer.body)
    if (report === undefined) {
      return yield* fail(
        "failed",
        `what answers at ${url} is not this version of effect-rtmp, or no effect-rtmp at all`
      )
    }
    const isWell = answer.status === 200
    if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`)
    else if (isWell) process.stdout.write(`${options.live ? "live" : "ready"}\n`)
    if (isWell) return
    const reasons = report.checks
      .filter(({ ok }) => !ok)
      .map(({ name, reason }) => `${LogText.escapeForLog(name)}: ${LogText.escapeForLog(reason, 512)}`)
    const words = `the server is not ${options.live ? "live" : "ready"}`
    return yield* fail("failed", options.json ? "" : [words, reasons.join("; ")].filter((it) => it !== "").join(": "))
  }).pipe(Effect.mapError((error) => fail("failed", error.message)))

interface Answer {
  readonly status: number
  readonly body: string
}

const maxBodyCharacters = 65_536

const probe = (address: string, url: string): Effect.Effect<Answer, CommandError> =>
  Effect.callback((resume) => {
    const failed = (error: unknown): void =>
      resume(Effect.fail(fail("failed", Remote.unreachable(Remote.codeOf(error), url))))
    const open = (module: Pick<typeof Http, "get">): void => {
      const request = module.get(address, { agent: false, timeout: timeoutMs }, (response) => {
        let body = ""
        response.setEncoding("utf8")
        response.on("data", (text: string) => {
          if (body.length < maxBodyCharacters) body += text
        })
        response.on("error", failed)
        response.on("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, body })))
      })
      request.on("timeout", () => {
        resume(Effect.fail(fail("failed", `the server at ${url} does not answer within ${timeoutMs / 1000} seconds`)))
        request.destroy()
      })
      request.on("error", failed)
    }
    if (address.startsWith("https:")) import("node:https").then(open, failed)
    else open(Http)
  })

interface Report {
  readonly status: string
  readonly checks: ReadonlyArray<{ readonly name: string; readonly ok: boolean; readonly reason: string }>
}

const parseReport = (body: string): Report | undefined => {
  try {
    const value = JSON.parse(body) as Partial<Report>
    const isReport =
      typeof value.status === "string" &&
      Array.isArray(value.checks) &&
      value.checks.every((it) => typeof it.name === "string" && typeof it.reason === "string")
    return isReport ? (value as Report) : undefined
  } catch {
    return undefined
  }
}
