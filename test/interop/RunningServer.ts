/**
 * The server as an operator runs it: `src/main.ts` in a process of its own, on a free port, with its log as the only
 * thing that is known about it.
 *
 * **Details**
 *
 * `EFFECT_RTMP_MAIN` names another script to run instead, such as the built `dist/main.js`.
 */
import { fileURLToPath } from "node:url"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.ts"

/** A line of the log, with the fields it has beside these. A line that is not JSON has the level `unknown`. */
export interface LogLine {
  readonly level: string
  readonly message: string
  readonly [field: string]: unknown
}

/** How long viewers of the server under test wait for a publisher that broke off. */
export const resumeGraceMs = 5000

const shutdownGraceMs = 5000

const parse = (line: string): LogLine => {
  try {
    const fields: unknown = JSON.parse(line)
    if (typeof fields === "object" && fields !== null && "level" in fields && "message" in fields)
      return fields as LogLine
  } catch {
    // What is not JSON did not come from the logger, and is kept for the eye.
  }
  return { level: "unknown", message: line }
}

/** The port in the line that says where the server listens for RTMP; the API has one of its own. */
const listeningPort = (child: Child.Child): number | undefined => {
  for (const line of child.stdout) {
    if (!/listening/i.test(line) || !/"protocol":"rtmp"/.test(line)) continue
    const port = /"port":"?(\d+)/.exec(line)?.[1] ?? /127\.0\.0\.1:(\d+)/.exec(line)?.[1]
    if (port !== undefined) return Number(port)
  }
  return undefined
}

/** The server under test. */
export class RunningServer extends Context.Service<
  RunningServer,
  {
    readonly child: Child.Child
    readonly port: number
    /** The URL of a stream of that name. */
    readonly url: (stream: string) => string
    /** Everything logged until now. */
    readonly log: () => ReadonlyArray<LogLine>
    /** Waits until a line is logged that `matches`, or was before. */
    readonly logged: (
      what: string,
      matches: (line: LogLine) => boolean,
      withinMs?: number
    ) => Effect.Effect<LogLine, Child.ChildError>
    /** Asks it to stop, as a service manager does, and waits until it has. */
    readonly stop: Effect.Effect<Child.Ending, Child.ChildError>
  }
>()("effect-rtmp/test/interop/RunningServer") {
  /** Starts the server, and stops it when the layer's scope closes: with SIGTERM, and with SIGKILL if that takes too long. */
  static readonly layer = Layer.suspend(() => layerWith(Effect.succeed({})))
}

/** The same with further settings, which are made before it starts and removed after it has ended. */
export const layerWith = <E>(
  settings: Effect.Effect<Readonly<Record<string, string>>, E, Scope.Scope>
): Layer.Layer<RunningServer, E | Child.ChildError> =>
  Layer.effect(
    RunningServer,
    Effect.gen(function* () {
      const further = yield* settings
      const script = process.env.EFFECT_RTMP_MAIN ?? fileURLToPath(new URL("../../src/main.ts", import.meta.url))
      const child = yield* Child.spawn({
        name: "server",
        command: process.execPath,
        args: [script],
        env: {
          RTMP_LISTEN_HOST: "127.0.0.1",
          RTMP_LISTEN_PORT: "0",
          RTMP_LOG_LEVEL: "info",
          RTMP_LOG_FORMAT: "json",
          RTMP_PUBLISHER_RESUME_GRACE: `${resumeGraceMs} millis`,
          RTMP_SHUTDOWN_GRACE: `${shutdownGraceMs} millis`,
          ...further
        }
      })
      const port = yield* Child.until(child, "the port it listens on", listeningPort)
      const log = () => child.stdout.map(parse)
      const stop = Effect.suspend(() => {
        Child.signal(child, "SIGTERM")
        return Child.ended(child, shutdownGraceMs + 5000)
      })
      yield* Effect.addFinalizer(() => Effect.ignore(stop))
      return RunningServer.of({
        child,
        port,
        url: (stream) => `rtmp://127.0.0.1:${port}/live/${stream}`,
        log,
        logged: (what, matches, withinMs) =>
          Child.until(child, what, () => child.stdout.map(parse).find(matches), withinMs),
        stop
      })
    })
  )
