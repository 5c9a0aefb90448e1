/**
 * Child processes that belong to a scope, and what the kernel knows about a process: CPU time, memory, wake-ups.
 *
 * **Details**
 *
 * A child is stopped by its process id when its scope closes: SIGTERM, and SIGKILL for it and what it started when that
 * takes too long. Should the bench itself end otherwise, whatever is left is killed at once.
 */
import { spawn as spawnProcess, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import process from "node:process"
import * as Readline from "node:readline"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Something that a run needs did not happen. The message is for whoever reads the table. */
export class BenchError extends Data.TaggedError("BenchError")<{ readonly message: string }> {}

/** What to start. */
export interface Command {
  readonly name: string
  readonly command: string
  readonly args: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

/** A running child. */
export interface Child {
  readonly name: string
  readonly pid: number
  /** Calls back for each line of standard output, those printed before included; gives the function that stops it. */
  readonly watch: (listener: (line: string) => void) => () => void
  /** Writes a line to its standard input. */
  readonly send: (line: string) => void
  /** How it ended; `undefined` while it runs. */
  readonly ending: () => string | undefined
  /** The last lines it printed, for messages. */
  readonly tail: () => string
}

// What a child says at its start can still be read by who asks later; after that only listeners get its lines.
const keptLines = 200
const stopWithinMs = 6_000

const alive = new Set<number>()
process.on("exit", () => {
  for (const pid of alive) killTree(pid)
})

/** Starts a child that is stopped when the scope closes. The `RTMP_` settings of the environment do not reach it. */
export const spawn = ({ args, command, env, name }: Command): Effect.Effect<Child, BenchError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Child & { readonly stop: Effect.Effect<void> }, BenchError>((resume) => {
      const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith("RTMP_"))
      const handle = spawnProcess(command, [...args], {
        stdio: ["pipe", "pipe", "pipe"],
        env: { ...Object.fromEntries(inherited), ...env }
      })
      const first: Array<string> = []
      const last: Array<string> = []
      const listeners = new Set<(line: string) => void>()
      const onEnd = new Set<() => void>()
      let ending: string | undefined
      const remember = (line: string) => {
        last.push(line.slice(0, 300))
        if (last.length > 5) last.shift()
      }
      Readline.createInterface({ input: handle.stdout }).on("line", (line) => {
        remember(line)
        if (first.length < keptLines) first.push(line)
        for (const listener of [...listeners]) listener(line)
      })
      Readline.createInterface({ input: handle.stderr }).on("line", remember)
      // A child that is gone takes no more lines, and its end is seen anyway.
      handle.stdin.on("error", () => {})
      handle.once("error", (cause) => resume(Effect.fail(new BenchError({ message: `${name}: ${cause.message}` }))))
      handle.once("exit", (code, signal) => {
        if (handle.pid !== undefined) alive.delete(handle.pid)
        ending = signal ?? `status ${code}`
        for (const listener of [...onEnd]) listener()
      })
      handle.once("spawn", () => {
        const pid = handle.pid!
        alive.add(pid)
        const stop = Effect.callback<void>((done) => {
          if (ending !== undefined) return done(Effect.void)
          const timer = setTimeout(() => killTree(pid), stopWithinMs)
          onEnd.add(() => {
            clearTimeout(timer)
            done(Effect.void)
          })
          handle.stdin.end()
          handle.kill("SIGTERM")
        })
        resume(
          Effect.succeed({
            name,
            pid,
            stop,
            watch: (listener) => {
              for (const line of first) listener(line)
              listeners.add(listener)
              return () => listeners.delete(listener)
            },
            send: (line) => {
              handle.stdin.write(`${line}\n`)
            },
            ending: () => ending,
            tail: () => last.join("\n    ")
          })
        )
      })
    }),
    (child) => child.stop
  )

/** Waits for a line in which `find` finds something. */
export const untilLine = <A>(
  child: Child,
  what: string,
  find: (line: string) => A | undefined,
  withinMs: number
): Effect.Effect<A, BenchError> =>
  Effect.callback<A, BenchError>((resume) => {
    const fail = (why: string) => {
      stop()
      resume(
        Effect.fail(new BenchError({ message: `${child.name}: ${why}, waiting for ${what}\n    ${child.tail()}` }))
      )
    }
    const deadline = setTimeout(() => fail(`nothing for ${withinMs / 1000} s`), withinMs)
    const check = setInterval(() => {
      const ending = child.ending()
      if (ending !== undefined) fail(`ended with ${ending}`)
    }, 100)
    let unwatch = () => {}
    const stop = () => {
      clearTimeout(deadline)
      clearInterval(check)
      unwatch()
    }
    let found = false
    unwatch = child.watch((line) => {
      const value = found ? undefined : find(line)
      if (value === undefined) return
      found = true
      stop()
      resume(Effect.succeed(value))
    })
    // Found among the lines of the past: `unwatch` was not there yet.
    if (found) unwatch()
    return Effect.sync(stop)
  })

/** Waits for a line that is a JSON object in which `find` finds something; other lines are passed over. */
export const untilJson = <T extends object, A>(
  child: Child,
  what: string,
  find: (value: Partial<T>) => A | undefined,
  withinMs: number
): Effect.Effect<A, BenchError> =>
  untilLine(
    child,
    what,
    (line) => {
      if (!line.startsWith("{")) return undefined
      try {
        return find(JSON.parse(line) as Partial<T>)
      } catch {
        // Something that only looked like it.
        return undefined
      }
    },
    withinMs
  )

const read = (path: string): string => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch {
    // It is gone.
    return ""
  }
}

const tasks = (pid: number): ReadonlyArray<string> => {
  try {
    return Fs.readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

/** A process and everything that it started. */
const tree = (pid: number): ReadonlyArray<number> => [
  pid,
  ...tasks(pid).flatMap((task) =>
    read(`/proc/${pid}/task/${task}/children`)
      .split(" ")
      .filter((word) => word.trim() !== "")
      .flatMap((child) => tree(Number(child)))
  )
]

const killTree = (pid: number): void => {
  for (const one of tree(pid)) {
    try {
      process.kill(one, "SIGKILL")
    } catch {
      // It ended by itself.
    }
  }
}

const ticksPerSecond = Number(spawnSync("getconf", ["CLK_TCK"], { encoding: "utf8" }).stdout ?? 100) || 100

/**
 * User and system CPU seconds of a process and its children so far, all threads of them.
 *
 * Taken from `schedstat`, which counts nanoseconds, where the kernel has it: `stat` counts hundredths of a second, and a
 * server that takes in one stream does not use many of these. `stat` also knows children that have ended.
 */
export const cpuSeconds = (pid: number): number => {
  let seconds = 0
  for (const one of tree(pid)) {
    let nanoseconds = 0
    for (const task of tasks(one)) nanoseconds += Number(read(`/proc/${one}/task/${task}/schedstat`).split(" ")[0] || 0)
    seconds += nanoseconds > 0 ? nanoseconds / 1e9 : ticks(one) / ticksPerSecond
  }
  return seconds
}

const ticks = (pid: number): number => {
  // Behind the name, which may hold anything: utime and stime are the 12th and 13th field, then those of ended children.
  const fields = read(`/proc/${pid}/stat`)
    .replace(/^.*\) /s, "")
    .split(" ")
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
}

/** Resident memory of a process and its children, in megabytes of 2^20 bytes. */
export const residentMb = (pid: number): number => {
  let kb = 0
  for (const one of tree(pid)) kb += Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${one}/status`))?.[1] ?? 0)
  return kb / 1024
}

/** How often threads of a process and its children went to sleep by themselves so far: each time they had woken up. */
export const wakeUps = (pid: number): number => {
  let count = 0
  for (const one of tree(pid)) {
    for (const task of tasks(one)) {
      const status = read(`/proc/${one}/task/${task}/status`)
      count += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0)
    }
  }
  return count
}

/** Calls to write, of any kind, that a process and its children made so far. */
export const writeCalls = (pid: number): number => {
  let count = 0
  for (const one of tree(pid)) count += Number(/^syscw: (\d+)/m.exec(read(`/proc/${one}/io`))?.[1] ?? 0)
  return count
}

/** How many files and sockets a process that the bench starts may have open. */
export const fileLimit = (): number => {
  // Node raises its own soft limit to the hard one at its start, and its children inherit that.
  const value = /Max open files\s+(\w+)/.exec(read("/proc/self/limits"))?.[1]
  return value === undefined || value === "unlimited" ? Number.POSITIVE_INFINITY : Number(value)
}
