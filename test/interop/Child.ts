/**
 * A child process whose printed lines a test can wait for: every client and the server itself run in one.
 *
 * **Details**
 *
 * A child belongs to a `Scope` and is killed, by its process id, when the scope closes. All that it printed is kept, so
 * a wait looks at what was printed before it began, too, and a failed wait carries the last lines as evidence.
 */
import { spawn as spawnProcess } from "node:child_process"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** How a child ended. `atMs` is on the clock of `performance.now()` in the test's process. */
export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly atMs: number
}

/** A running or ended child process. The arrays grow while it runs. */
export interface Child {
  readonly name: string
  readonly pid: number
  readonly stdout: ReadonlyArray<string>
  readonly stderr: ReadonlyArray<string>
  /** `undefined` as long as it runs. */
  readonly ending: Ending | undefined
  /** Calls back after each new line and after the end; gives the function that stops it. */
  readonly watch: (listener: () => void) => () => void
}

/** A child could not be started, ended when it should not have, or did not do in time what a test waited for. */
export class ChildError extends Data.TaggedError("ChildError")<{
  readonly reason: "NotStarted" | "Ended" | "TimedOut"
  readonly message: string
}> {}

/** What to run. Its standard input is closed. */
export interface Command {
  readonly name: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** The last lines a child printed and how it ended, for failure messages. */
export const transcript = (child: Child): string => {
  const tail = (name: string, lines: ReadonlyArray<string>) =>
    lines.length === 0
      ? []
      : [`  ${name}, last of ${lines.length} lines:`, ...lines.slice(-15).map((line) => `    ${line.slice(0, 400)}`)]
  const state = child.ending === undefined ? "running" : `ended with ${child.ending.signal ?? child.ending.code}`
  return [
    `${child.name} (pid ${child.pid}) ${state}`,
    ...tail("stdout", child.stdout),
    ...tail("stderr", child.stderr)
  ].join("\n")
}

/** Cuts arriving text into lines; gives the function that hands out an unended last line. */
const lineReader = (stream: NodeJS.ReadableStream, onLine: (line: string) => void) => {
  let rest = ""
  stream.setEncoding("utf8")
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n")
    rest = lines.pop()!
    for (const line of lines) onLine(line)
  })
  return () => {
    if (rest !== "") onLine(rest)
    rest = ""
  }
}

/** Starts a child process that is killed when the scope closes, which waits until it is gone. */
export const spawn = ({ args, command, cwd, env, name }: Command): Effect.Effect<Child, ChildError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Child, ChildError>((resume) => {
      const stdout: Array<string> = []
      const stderr: Array<string> = []
      const listeners = new Set<() => void>()
      const tell = () => {
        for (const listener of [...listeners]) listener()
      }
      let ending: Ending | undefined
      const handle = spawnProcess(command, [...args], {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, ...env },
        ...(cwd === undefined ? {} : { cwd })
      })
      const collect = (lines: Array<string>) => (line: string) => {
        lines.push(line)
        tell()
      }
      const flushOut = lineReader(handle.stdout, collect(stdout))
      const flushErr = lineReader(handle.stderr, collect(stderr))
      const child: Child = {
        name,
        pid: handle.pid ?? 0,
        stdout,
        stderr,
        get ending() {
          return ending
        },
        watch: (listener) => {
          listeners.add(listener)
          return () => listeners.delete(listener)
        }
      }
      handle.once("spawn", () => resume(Effect.succeed(child)))
      handle.once("error", (error) =>
        resume(
          Effect.fail(new ChildError({ reason: "NotStarted", message: `${name} did not start: ${error.message}` }))
        )
      )
      // Taken at "exit", since "close" also waits for whoever else holds the pipes.
      let exitedAtMs = 0
      handle.once("exit", () => {
        exitedAtMs = performance.now()
      })
      handle.once("close", (code, signal) => {
        flushOut()
        flushErr()
        ending = { code, signal, atMs: exitedAtMs }
        tell()
      })
    }),
    (child) =>
      Effect.suspend(() => {
        signal(child, "SIGKILL")
        return Effect.ignore(ended(child))
      })
  )

/** Sends a signal to a child that still runs. */
export const signal = (child: Child, name: NodeJS.Signals): void => {
  if (child.ending !== undefined) return
  try {
    process.kill(child.pid, name)
  } catch {
    // It ended a moment ago, and the notice is on its way.
  }
}

/**
 * Waits until `find` gives something, asked again after every line printed and at the end.
 *
 * **Details**
 *
 * Fails with `Ended` when the child ends before that, and with `TimedOut` after `withinMs`; both with its transcript.
 */
export const until = <A>(
  child: Child,
  what: string,
  find: (child: Child) => A | undefined,
  withinMs = 20_000
): Effect.Effect<A, ChildError> =>
  Effect.callback<A, ChildError>((resume) => {
    const finish = (result: Effect.Effect<A, ChildError>) => {
      stop()
      resume(result)
    }
    const fail = (reason: "Ended" | "TimedOut") =>
      finish(Effect.fail(new ChildError({ reason, message: `waited for ${what}\n${transcript(child)}` })))
    const check = () => {
      const found = find(child)
      if (found !== undefined) finish(Effect.succeed(found))
      else if (child.ending !== undefined) fail("Ended")
    }
    const timer = setTimeout(() => fail("TimedOut"), withinMs)
    const unwatch = child.watch(check)
    const stop = () => {
      clearTimeout(timer)
      unwatch()
    }
    check()
    return Effect.sync(stop)
  })

/** Waits until a child has ended, by itself or after a signal sent before. */
export const ended = (child: Child, withinMs = 20_000): Effect.Effect<Ending, ChildError> =>
  until(child, "its end", (child) => child.ending, withinMs)
