/**
 * The servers that are measured: ours in each latency mode, and its peers where they are installed.
 *
 * Each is started on a free port of the loopback with a configuration of its own in a temporary folder, and stopped
 * when the scope closes. `application` is `live` everywhere.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import { createRequire } from "node:module"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Loaders from "./Loaders.ts"
import type { BenchError } from "./Process.ts"
import * as Process from "./Process.ts"

/** A server that listens. */
export interface Served {
  readonly pid: number
  readonly port: number
  /** The port for RTMPS, where it was asked for. */
  readonly securePort?: number
}

/** A server that can be started. */
export interface Target {
  /** What the table calls it. */
  readonly name: string
  /** Starts it. Settings are environment variables of ours, and mean nothing to a peer. */
  readonly start: (settings?: Readonly<Record<string, string>>) => Effect.Effect<Served, BenchError, Scope.Scope>
}

/** A peer, or the reason why it is not measured. */
export type Peer = Target | { readonly name: string; readonly missing: string }

/** The application that every server offers. */
export const application = "live"

const main = process.env.EFFECT_RTMP_MAIN ?? fileURLToPath(new URL("../../src/main.ts", import.meta.url))

/** A folder that is removed when the scope closes. */
export const temporaryFolder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-bench-"))),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
)

// As `npm start` does: with what was compiled before, Node needs nothing that strips types, which is 14 MB.
const compiled = ["--import", "data:text/javascript,import m from 'node:module';m.enableCompileCache()"]

/**
 * Our server in a latency mode, with everything else as it is by default but the number of connections, which would
 * keep more than a thousand viewers out. `flags` are for Node.
 */
export const ours = (mode: "low" | "balanced" | "throughput", flags: ReadonlyArray<string> = []): Target => ({
  name: mode === "balanced" ? "ours" : `ours, ${mode}`,
  start: (settings) =>
    Effect.gen(function* () {
      const child = yield* Process.spawn({
        name: "our server",
        command: process.execPath,
        args: [...flags, ...compiled, main],
        env: {
          RTMP_LISTEN_HOST: "127.0.0.1",
          RTMP_LISTEN_PORT: "0",
          RTMP_LOG_FORMAT: "json",
          RTMP_LATENCY_MODE: mode,
          RTMP_LIMITS_MAX_CONNECTIONS: "20000",
          RTMP_SHUTDOWN_GRACE: "2 seconds",
          ...settings
        }
      })
      const port = yield* Process.untilLine(child, "the port it listens on", listeningPort("rtmp"), 20_000)
      if (settings?.RTMP_TLS_ENABLED !== "true") return { pid: child.pid, port }
      const securePort = yield* Process.untilLine(child, "the port for RTMPS", listeningPort("rtmps"), 20_000)
      return { pid: child.pid, port, securePort }
    })
})

/** Settings of ours with which it serves RTMPS too, with a certificate that it makes in a folder. */
export const secured = (folder: string): Readonly<Record<string, string>> => ({
  RTMP_TLS_ENABLED: "true",
  RTMP_TLS_HOST: "127.0.0.1",
  RTMP_TLS_PORT: "0",
  RTMP_TLS_SELF_SIGNED: "true",
  RTMP_TLS_DIRECTORY: folder
})

const listeningPort =
  (protocol: "rtmp" | "rtmps") =>
  (line: string): number | undefined => {
    const isOurs = line.includes('"message":"listening"') && line.includes(`"protocol":"${protocol}"`)
    const port = isOurs ? /"port":"?(\d+)/.exec(line)?.[1] : undefined
    return port === undefined ? undefined : Number(port)
  }

/** nginx with its RTMP module as Debian packages it: one worker, no log. */
export const nginx = (): Peer => {
  const name = "nginx-rtmp"
  const version = spawnSync("nginx", ["-V"], { encoding: "utf8" })
  if (version.error !== undefined) return { name, missing: "apt-get install nginx libnginx-mod-rtmp" }
  const folder = /--modules-path=(\S+)/.exec(version.stderr)?.[1] ?? "/usr/lib/nginx/modules"
  const module = Path.join(folder, "ngx_rtmp_module.so")
  if (!Fs.existsSync(module)) return { name, missing: "apt-get install libnginx-mod-rtmp" }
  return {
    name,
    start: () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const port = yield* freePort
        const file = Path.join(folder, "nginx.conf")
        Fs.writeFileSync(
          file,
          `load_module ${module};
daemon off;
worker_processes 1;
worker_rlimit_nofile ${Math.min(Process.fileLimit(), 65_536)};
pid ${folder}/pid;
error_log ${folder}/error.log error;
events { worker_connections 16384; }
rtmp {
  access_log off;
  server {
    listen 127.0.0.1:${port};
    chunk_size 4096;
    max_message 16M;
    application ${application} { live on; }
  }
}
`
        )
        const child = yield* Process.spawn({ name, command: "nginx", args: ["-c", file, "-e", `${folder}/error.log`] })
        yield* untilOpen(child, port)
        return { pid: child.pid, port }
      })
  }
}

/** node-media-server, where a folder was given in which it is installed. */
export const nodeMediaServer = (folder: string | undefined): Peer => {
  const name = "node-media-server"
  if (folder === undefined) return { name, missing: "npm install node-media-server in some folder, and --nms FOLDER" }
  let module: string
  try {
    module = createRequire(Path.join(Path.resolve(folder), "any.js")).resolve(name)
  } catch {
    return { name, missing: `it is not installed in ${folder}` }
  }
  return {
    name,
    start: () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const port = yield* freePort
        const httpPort = yield* freePort
        const options = {
          bind: "127.0.0.1",
          rtmp: { port },
          http: { port: httpPort },
          auth: { play: false, publish: false, secret: "", jwt: { secret: "bench", users: [] } },
          notify: { url: "" },
          store: { path: Path.join(folder, "store"), maxHistory: 10 },
          record: { auto: false, path: Path.join(folder, "record") }
        }
        const file = Path.join(folder, "server.cjs")
        Fs.writeFileSync(
          file,
          `const Server = require(${JSON.stringify(module)})\nnew Server(${JSON.stringify(options)}).run()\n`
        )
        const child = yield* Process.spawn({ name, command: process.execPath, args: [file] })
        yield* untilOpen(child, port)
        return { pid: child.pid, port }
      })
  }
}

const freePort: Effect.Effect<number> = Effect.callback((resume) => {
  const server = Net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** Waits until somebody listens. */
const untilOpen = (child: Process.Child, port: number): Effect.Effect<void, BenchError> =>
  Effect.gen(function* () {
    for (let tries = 0; tries < 100; tries++) {
      if (yield* canConnect(port)) return
      if (child.ending() !== undefined) break
      yield* Effect.sleep(100)
    }
    const state = child.ending() ?? "it does not listen"
    return yield* new Process.BenchError({ message: `${child.name} did not start: ${state}\n    ${child.tail()}` })
  })

const canConnect = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = Net.connect(port, "127.0.0.1")
    const done = (open: boolean) => {
      socket.destroy()
      resume(Effect.succeed(open))
    }
    socket.once("connect", () => done(true))
    socket.once("error", () => done(false))
  })

/** What the floor measured. */
export interface FloorResult {
  readonly cpuSeconds: number
  readonly bytes: number
  readonly seconds: number
  readonly refused: number
  /** Resident memory in megabytes of 2^20 bytes, of a floor that tells. */
  readonly residentMb?: number
}

/** The floor, or the reason why there is none. */
export type Floor =
  | {
      readonly run: (
        viewers: number,
        writesPerSecond: number,
        kbps: number,
        seconds: number
      ) => Effect.Effect<FloorResult, BenchError, Scope.Scope>
    }
  | { readonly name: string; readonly missing: string }

/** The floor of RTMPS: a bare TLS server on Node. */
export const tlsFloor = (
  viewers: number,
  writesPerSecond: number,
  kbps: number,
  seconds: number
): Effect.Effect<FloorResult, BenchError, Scope.Scope> =>
  Effect.gen(function* () {
    const script = fileURLToPath(new URL("tlsFloor.ts", import.meta.url))
    const args = [script, ...[viewers, writesPerSecond, kbps, seconds].map(String)]
    return yield* floorResult(yield* Process.spawn({ name: "TLS floor", command: process.execPath, args }), {
      viewers,
      seconds,
      secure: true
    })
  })

/** Lets a floor write to readers, and takes its result. */
const floorResult = Effect.fnUntraced(function* (
  child: Process.Child,
  { seconds, secure, viewers }: { readonly viewers: number; readonly seconds: number; readonly secure: boolean }
): Effect.fn.Return<FloorResult, BenchError, Scope.Scope> {
  const { port } = JSON.parse(yield* Process.untilLine(child, "its port", (line) => line, 10_000)) as { port: number }
  yield* Loaders.start({ role: "read", port, viewers, perSecond: secure ? 400 : 1_000, secure })
  const line = yield* Process.untilLine(
    child,
    "its result",
    (line) => (line.includes("cpuSeconds") ? line : undefined),
    seconds * 1e3 + 30_000
  )
  return JSON.parse(line) as FloorResult
})

/** Compiles the floor into a folder. */
export const floor = (folder: string): Floor => {
  const source = fileURLToPath(new URL("floor.c", import.meta.url))
  const binary = Path.join(folder, "floor")
  const compiled = spawnSync("cc", ["-O2", "-o", binary, source], { encoding: "utf8" })
  if (compiled.error !== undefined) return { name: "floor", missing: "there is no C compiler (cc)" }
  if (compiled.status !== 0) return { name: "floor", missing: `cc: ${compiled.stderr.split("\n")[0]}` }
  return {
    run: (viewers, writesPerSecond, kbps, seconds) =>
      Effect.gen(function* () {
        const args = [viewers, writesPerSecond, kbps, seconds].map(String)
        const child = yield* Process.spawn({ name: "floor", command: binary, args })
        return yield* floorResult(child, { viewers, seconds, secure: false })
      })
  }
}
