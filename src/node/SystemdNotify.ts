/**
 * How a message reaches the service manager: the senders behind `Systemd`.
 *
 * `NOTIFY_SOCKET` is a datagram socket of the family AF_UNIX. Node has no such sockets (`node:dgram` is UDP, `node:net` is
 * for streams), and this package has no native code. Two ways are left:
 *
 * 1. **A descriptor** that the service manager has connected to its own socket and handed over under the name `notify`
 *    (`OpenFile=` of systemd 253 and newer). A message is one `write(2)` to it. Nothing is started, and the sender that the
 *    kernel reports is this process.
 * 2. **`systemd-notify`**, the program that comes with every systemd. A process of Node's size is expensive to fork
 *    (10 ms without a turn of the event loop at 350 MB resident), so a shell of 1 MB is started once, while
 *    the server is small, and starts the program for each line that it reads. The unit needs `NotifyAccess=all` for it.
 *
 * **Gotchas**
 *
 * The shell ignores SIGTERM, SIGINT and SIGHUP, because a service manager may send them to the whole group and the last
 * message is due after that. It ends with its standard input, that is with the server, whatever became of it.
 */
import type { ChildProcess } from "node:child_process"
import * as Fs from "node:fs"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Environment, fromEnvironment, notifyName } from "./SocketActivation.ts"

/**
 * A message that did not reach the service manager.
 *
 * `NoCommand`: there is no `systemd-notify` (or no shell), and trying again is useless. `SendFailed`: the descriptor or the
 * program refused it. `TimedOut`: the service manager did not take it in time.
 */
export class NotifyError extends Data.TaggedError("NotifyError")<{
  readonly reason: "NoCommand" | "SendFailed" | "TimedOut"
  readonly detail: string
}> {
  override get message(): string {
    return this.detail
  }
}

/** The assignments of one message, such as `READY=1` (`sd_notify(3)`). None holds a control character. */
export type Assignments = ReadonlyArray<string>

/** Sends one message; called for one message at a time. */
export type Sender = (assignments: Assignments) => Effect.Effect<void, NotifyError>

/** How long one message may take, in milliseconds. */
export const sendTimeoutMs = 10_000

/** Sends over a descriptor that is connected to the notification socket. */
export const descriptorSender =
  (fd: number): Sender =>
  (assignments) =>
    settled((resume) => {
      // Not the synchronous call: a service manager that does not read would stop the event loop.
      Fs.write(fd, assignments.join("\n"), (error) => {
        resume(error === null ? Effect.void : failed("SendFailed", `the notification socket: ${error.message}`))
      })
    })

// `$line` is split at tabs and nowhere else, and is not expanded.
const script = `trap "" TERM INT HUP
set -f
IFS="\t"
while read -r line; do
  systemd-notify -- $line >/dev/null
  echo $?
done`

/** Sends with the program `systemd-notify`, out of a small shell that lives as long as the scope. */
export const commandSender = (env: Environment): Effect.Effect<Sender, never, Scope.Scope> =>
  Effect.gen(function* () {
    let shell: ChildProcess | undefined
    let answer: ((result: Effect.Effect<void, NotifyError>) => void) | undefined
    const settle = (result: Effect.Effect<void, NotifyError>): void => {
      const resume = answer
      answer = undefined
      resume?.(result)
    }
    const start = Effect.promise(() => import("node:child_process")).pipe(
      Effect.map(({ spawn }) => {
        const child = spawn("/bin/sh", ["-c", script], {
          env: { NOTIFY_SOCKET: env.NOTIFY_SOCKET, PATH: env.PATH ?? "/usr/bin:/bin" },
          stdio: ["pipe", "pipe", "ignore"]
        })
        shell = child
        const gone = (why: string) => () => {
          if (shell !== child) return
          shell = undefined
          settle(failed("SendFailed", why))
        }
        child.on("error", () => {
          if (shell === child) shell = undefined
          settle(failed("NoCommand", "there is no /bin/sh to start systemd-notify with"))
        })
        child.on("exit", gone("the shell that starts systemd-notify has ended"))
        child.stdin.on("error", gone("the shell that starts systemd-notify does not read"))
        child.stdout.on("data", (bytes: Uint8Array) => settle(exitOf(new TextDecoder().decode(bytes).trim())))
        // Neither may keep a process alive that has nothing else to do.
        child.unref()
        for (const pipe of [child.stdin, child.stdout]) (pipe as unknown as { unref(): void }).unref()
        return child
      })
    )
    yield* start
    yield* Effect.addFinalizer(() => Effect.sync(() => shell?.stdin?.end()))
    return (assignments) =>
      Effect.flatMap(
        Effect.suspend(() => (shell === undefined ? start : Effect.succeed(shell))),
        (child) =>
          settled((resume) => {
            answer = resume
            child.stdin?.write(`${assignments.join("\t")}\n`)
          })
      ).pipe(
        Effect.tapError((error) =>
          Effect.sync(() => {
            // A late answer would be taken for that of the next message.
            if (error.reason !== "TimedOut") return
            const child = shell
            shell = undefined
            answer = undefined
            child?.kill("SIGKILL")
          })
        )
      )
  })

/** The sender that an environment calls for: `undefined` without a `NOTIFY_SOCKET`, that is, without a listener. */
export const fromEnv = (env: Environment, pid: number): Effect.Effect<Sender | undefined, never, Scope.Scope> => {
  if (env.NOTIFY_SOCKET === undefined || env.NOTIFY_SOCKET === "") return Effect.undefined
  const handed = fromEnvironment(env, pid).find((socket) => socket.name === notifyName && isSocket(socket.fd))
  return handed === undefined ? commandSender(env) : Effect.succeed(descriptorSender(handed.fd))
}

const failed = (reason: NotifyError["reason"], detail: string): Effect.Effect<never, NotifyError> =>
  Effect.fail(new NotifyError({ reason, detail }))

/** Waits for a callback, and for no longer than it may take; also where it cannot be interrupted, as in a finalizer. */
const settled = (
  register: (resume: (result: Effect.Effect<void, NotifyError>) => void) => void
): Effect.Effect<void, NotifyError> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => {
      resume(failed("TimedOut", `the service manager took no message in ${sendTimeoutMs / 1000} s`))
    }, sendTimeoutMs)
    register((result) => {
      clearTimeout(timer)
      resume(result)
    })
    return Effect.sync(() => clearTimeout(timer))
  })

const exitOf = (status: string): Effect.Effect<void, NotifyError> => {
  switch (status) {
    case "0":
      return Effect.void
    case "127":
      return failed("NoCommand", "systemd-notify is not installed")
    default:
      return failed("SendFailed", `systemd-notify ended with status ${status}`)
  }
}

const isSocket = (fd: number): boolean => {
  try {
    return Fs.fstatSync(fd).isSocket()
  } catch {
    return false
  }
}
