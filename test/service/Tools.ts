/**
 * What tests of services need of the machine: which programs are there, and a receiver of notifications.
 *
 * A datagram socket of AF_UNIX is what Node does not have, so the receiver is a few lines of Python.
 */
import { spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { createInterface } from "node:readline"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

const isInstalled = (program: string): boolean => spawnSync(program, ["--version"], { stdio: "ignore" }).status === 0

/** The first of these programs that is not there, as a reason to skip that the report shows; empty when all are. */
export const missing = (...programs: ReadonlyArray<string>): string => {
  const program = programs.find((it) => !isInstalled(it))
  if (program === undefined) return ""
  const reason = `${program} is not installed`
  console.warn(`skipped: ${reason}`)
  return ` (skipped: ${reason})`
}

/** A folder that is gone with the scope. */
export const temporaryFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-service-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

/** Writes a program of the shell into a folder. */
export const writeScript = (folder: string, name: string, lines: ReadonlyArray<string>): void => {
  Fs.writeFileSync(Path.join(folder, name), `${["#!/bin/sh", ...lines].join("\n")}\n`, { mode: 0o755 })
}

// Binds the socket, and starts the program behind it with a connected socket as descriptor 3. Prints each datagram with the
// process that the kernel says it comes from.
const receiver = `
import json, os, socket, struct, subprocess, sys
address, command = sys.argv[1], sys.argv[2:]
name = "\\0" + address[1:] if address.startswith("@") else address
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
server.bind(name)
if command:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.connect(name)
    subprocess.Popen(command, preexec_fn=lambda: os.dup2(client.fileno(), 3), pass_fds=[3],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print(json.dumps({"pid": 0, "text": "bound"}), flush=True)
while True:
    data, ancillary, _, _ = server.recvmsg(65536, socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4))
    pid = 0
    for level, kind, value in ancillary:
        if kind == socket.SCM_CREDENTIALS:
            pid = struct.unpack("3i", value)[0]
        if kind == socket.SCM_RIGHTS:
            os.close(struct.unpack("i", value[:4])[0])
    print(json.dumps({"pid": pid, "text": data.decode()}), flush=True)
`

/** A datagram, and the process that sent it. */
export interface Notification {
  readonly pid: number
  readonly text: string
}

/**
 * Binds a notification socket, and starts `command` with a connected one as descriptor 3. Returns the next notification,
 * without the barriers that `systemd-notify` sends behind each.
 */
export const notifications = (
  address: string,
  command: ReadonlyArray<string> = [],
  env: Readonly<Record<string, string>> = {}
): Effect.Effect<Effect.Effect<Notification>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn("python3", ["-c", receiver, address, ...command], {
          env: { ...process.env, ...env },
          stdio: ["ignore", "pipe", "inherit"]
        })
      ),
      (it) => Effect.sync(() => it.kill("SIGKILL"))
    )
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const next = Effect.promise(async () => {
      for (;;) {
        const { done, value } = await lines.next()
        if (done === true) throw new Error("the receiver has ended")
        const notification = JSON.parse(value) as Notification
        if (notification.text !== "BARRIER=1") return notification
      }
    })
    yield* next
    return next
  })
