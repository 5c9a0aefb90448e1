/**
 * A long run of the real server process among publishers and viewers that come and go, viewers that stall, and hostile
 * peers of every kind: `node test/bench/soak.ts --minutes 60`.
 *
 * **Details**
 *
 * After a warm-up everybody leaves, and the idle server is measured: memory after a collection, open files, fibers,
 * connections, streams. That is the beginning. In the end everybody leaves again, and all of it has to be as it was;
 * in between no frame of a well-behaved pair may be lost, doubled, changed or out of order. Exit status 1 says that one
 * of these does not hold.
 *
 * `--seed` repeats the choices. `--json FILE` also writes the result there. `--hostile` is the number of hostile peers a
 * second. All of it takes about half a core, most of it the load's own.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import process from "node:process"
import * as Readline from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as Bytes from "../../src/protocol/Bytes.ts"
import { layerOf } from "../fuzz/Layers.ts"
import { Random } from "../fuzz/Random.ts"
import { connected, hello, peers } from "../hostile/Peers.ts"
import { cpuSeconds, residentMb } from "./Process.ts"
import { type Ending, nothingSeen, Publisher, type Seen, Viewer } from "./SoakClients.ts"
import type { Alive } from "./SoakProbe.ts"

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    hostile: { type: "string", default: "4" },
    json: { type: "string" }
  }
})
const minutes = Number(values.minutes)
const hostilePerSecond = Number(values.hostile)
const warmUpMs = Math.min(180_000, Math.max(20_000, minutes * 6_000))
const loadMs = minutes * 60_000
const sampleMs = Math.min(60_000, Math.max(10_000, loadMs / 30))

/** How much more than in the beginning the heap may hold in the end: what V8 keeps of compiled code varies. */
const heapSlackBytes = 3 * 1024 * 1024

let choices = 0
/** Choices that follow from the seed and from how many were made before. */
const random = (): Random => new Random().start(Number(values.seed), choices++)
const endings: ReadonlyArray<Ending> = ["in order", "FIN", "RST"]
const between = (from: number, to: number): number => from + random().below(to - from)

interface Server {
  readonly process: ChildProcess.ChildProcess
  readonly pid: number
  readonly port: number
  readonly httpPort: number
  /** Lines of the log at level error and above. */
  readonly errors: Array<string>
}

const startServer = async (folder: string): Promise<Server> => {
  const probe = new URL("SoakProbe.ts", import.meta.url).href
  const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("RTMP_"))
  const child = ChildProcess.spawn(process.execPath, ["--expose-gc", "--import", probe, main], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    cwd: folder,
    env: {
      ...Object.fromEntries(inherited),
      RTMP_LISTEN_HOST: "127.0.0.1",
      RTMP_LISTEN_PORT: "0",
      RTMP_HTTP_PORT: "0",
      // Hostile peers publish, too, and must not take the places of those who are counted.
      RTMP_LIMITS_MAX_PUBLISHERS: "100",
      RTMP_LOG_FORMAT: "json",
      RTMP_LOG_OUTPUT: "stdout",
      RTMP_SHUTDOWN_GRACE: "2 seconds"
    }
  })
  process.on("exit", () => child.kill("SIGKILL"))
  const errors: Array<string> = []
  const ports = new Map<string, number>()
  await new Promise<void>((resolve, reject) => {
    child.once("exit", (code, signal) => reject(new Error(`the server ended with ${signal ?? code}`)))
    Readline.createInterface({ input: child.stdout! }).on("line", (text) => {
      if (/"level":"(error|fatal)"/.test(text) && errors.length < 20) errors.push(text)
      if (!text.includes('"message":"listening"')) return
      const { port, protocol } = JSON.parse(text) as { port: number; protocol: string }
      ports.set(protocol, port)
      if (ports.has("rtmp") && ports.has("http")) resolve()
    })
  })
  return { process: child, pid: child.pid!, port: ports.get("rtmp")!, httpPort: ports.get("http")!, errors }
}

/** One look at the server. */
interface Sample extends Alive {
  readonly atSeconds: number
  readonly rssMb: number
  readonly fds: number
  readonly cpuSeconds: number
  /** What the server says of itself at `/metrics`. */
  readonly rtmpConnections: number
  readonly rtmpStreams: number
}

const startedMs = performance.now()

const sample = async (server: Server): Promise<Sample> => {
  const alive = await new Promise<Alive>((resolve, reject) => {
    server.process.once("message", (answer: Alive | { readonly error: string }) => {
      if ("error" in answer) reject(new Error(answer.error))
      else resolve(answer)
    })
    server.process.send("look")
  })
  const rssMb = residentMb(server.pid)
  const fds = Fs.readdirSync(`/proc/${server.pid}/fd`).length
  const counted = await metrics(server)
  return {
    ...alive,
    atSeconds: Math.round((performance.now() - startedMs) / 1e3),
    rssMb: Math.round(rssMb * 10) / 10,
    fds,
    cpuSeconds: Math.round(cpuSeconds(server.pid) * 10) / 10,
    ...counted
  }
}

/** What the server says of itself at `/metrics`. */
const metrics = async (server: Server): Promise<Pick<Sample, "rtmpConnections" | "rtmpStreams">> => {
  const response = await fetch(`http://127.0.0.1:${server.httpPort}/metrics`, { headers: { connection: "close" } })
  const text = await response.text()
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? ([0-9.e+-]+)$`, "gm"))].reduce(
      (total, [, value]) => total + Number(value),
      0
    )
  return { rtmpConnections: sum("rtmp_connections"), rtmpStreams: sum("rtmp_streams") }
}

/** Those who need nothing of the server first. */
const ready = peers.flatMap(([name, what]) => (typeof what === "function" ? [] : [[name, what] as const]))

const fuzzed = ["handshake", "session", "commands", "chunks", "media"].map(layerOf)

/** What a hostile peer sends: one of the known kinds, or something that the fuzzer makes up. */
const hostileBytes = (from: Random): Uint8Array => {
  if (from.once(2)) return from.pick(ready)[1]
  const layer = from.pick(fuzzed)
  const input = layer.generate(new Random().start(Number(values.seed), from.u32()))
  if (layer.name === "handshake") return input
  return Bytes.concat([layer.name === "chunks" || layer.name === "media" ? connected : hello, input])
}

const hostile = { peers: 0, closedByServer: 0, closedByPeer: 0, flooded: 0 }
const open = new Set<Net.Socket>()

/** Empty audio messages as fast as the server reads them. */
const flood = Bytes.concat(Array.from({ length: 5_000 }, () => Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0)))

const attack = (port: number): void => {
  const from = random()
  const bytes = hostileBytes(from)
  hostile.peers++
  const socket = Net.connect({
    port,
    host: "127.0.0.1",
    // Addresses of their own, as far as a loopback has them.
    localAddress: `127.0.1.${1 + from.below(200)}`,
    noDelay: true
  })
  open.add(socket)
  let isOurs = false
  const leave = (): void => {
    isOurs = true
    if (from.once(2)) socket.resetAndDestroy()
    else socket.destroy()
  }
  // Some do not read what they are sent.
  if (!from.once(5)) socket.resume()
  socket.on("error", () => {})
  socket.on("close", () => {
    open.delete(socket)
    if (isOurs) hostile.closedByPeer++
    else hostile.closedByServer++
  })
  const style = from.below(20)
  socket.on("connect", () => {
    if (style === 0) drip(socket, bytes, 40)
    else if (style === 1) drip(socket, bytes, 400)
    else if (style === 2) {
      hostile.flooded++
      socket.write(connected)
      for (let i = 0; i < 4; i++) socket.write(flood)
    } else {
      socket.write(bytes)
      if (style < 6) socket.end()
      else if (style < 9) setTimeout(leave, from.below(20))
    }
    setTimeout(leave, 2_000 + from.below(30_000))
  })
}

/** Sends a few bytes at a time. */
const drip = (socket: Net.Socket, bytes: Uint8Array, everyMs: number): void => {
  let at = 0
  const timer = setInterval(() => {
    if (at >= bytes.length || socket.destroyed) return clearInterval(timer)
    socket.write(bytes.subarray(at, at + 7))
    at += 7
  }, everyMs)
}

const clients = new Set<Publisher | Viewer>()

const keep = <A extends Publisher | Viewer>(client: A): A => {
  clients.add(client)
  void client.whenEnded().then(() => clients.delete(client))
  return client
}

let streams = 0
let stalled = 0

/** A publisher with some viewers, of which some leave, some stay, and some stall. */
const pair = async (port: number, seen: Seen, lifeMs: number, untilMs: number): Promise<void> => {
  const publisher = keep(new Publisher(port, `soak/s${++streams}`, seen))
  const endMs = Math.min(performance.now() + lifeMs, untilMs)
  const live = (): boolean => performance.now() < endMs && !publisher.ended
  await sleep(300)
  const viewers = between(1, 4)
  for (let i = 0; i < viewers && live(); i++) {
    const viewer = keep(new Viewer(port, publisher, seen))
    if (random().once(2)) void sleep(between(500, 20_000)).then(() => viewer.leave(random().pick(endings)))
    await sleep(between(0, Math.max(1, Math.min(8_000, lifeMs / 4))))
  }
  while (live()) await sleep(Math.min(1_000, Math.max(0, endMs - performance.now())))
  publisher.end(random().pick(endings))
}

/** A viewer that stops reading for some time, and then goes or reads on. */
const stall = async (port: number, publisher: Publisher, seen: Seen): Promise<void> => {
  const viewer = keep(new Viewer(port, publisher, seen, true))
  stalled++
  await sleep(between(500, 3_000))
  viewer.stall()
  await sleep(between(5_000, 40_000))
  if (random().once(2)) {
    viewer.socket.resume()
    await sleep(between(1_000, 10_000))
  }
  viewer.leave(random().pick(endings))
}

/** Everybody comes, and goes, and at `untilMs` all leave. */
const load = async (server: Server, seen: Seen, untilMs: number): Promise<void> => {
  const left = (): number => untilMs - performance.now()
  const waiting: Array<Promise<void>> = []
  const steady = ["good", "steady"].map((name) => keep(new Publisher(server.port, name, seen)))
  await sleep(500)
  for (const publisher of steady) for (let i = 0; i < 3; i++) keep(new Viewer(server.port, publisher, seen))
  const every = async (pauseMs: () => number, act: () => Promise<void> | void): Promise<void> => {
    while (left() > 3_000) {
      const done = act()
      if (done !== undefined) {
        const pending = done.finally(() => void waiting.splice(waiting.indexOf(pending), 1))
        waiting.push(pending)
      }
      await sleep(Math.min(pauseMs(), Math.max(0, left())))
    }
  }
  await Promise.all([
    every(
      () => between(3_000, 9_000),
      () => pair(server.port, seen, between(2_000, 45_000), untilMs)
    ),
    every(
      () => between(5_000, 20_000),
      () => stall(server.port, random().pick(steady), seen)
    ),
    every(
      () => between(1, 2_000 / hostilePerSecond),
      () => attack(server.port)
    )
  ])
  await sleep(Math.max(0, left()))
  for (const publisher of steady) publisher.end("in order")
  await Promise.all(waiting)
  const deadlineMs = performance.now() + 20_000
  while ((clients.size > 0 || open.size > 0) && performance.now() < deadlineMs) await sleep(100)
  for (const socket of open) socket.destroy()
  for (const client of clients) client.socket.destroy()
}

/**
 * Waits until the server has forgotten what it keeps for those who may come back, and looks at it: once more for as long
 * as something is under way that was not in the `beginning`, for a minute at most.
 */
const idle = async (server: Server, beginning?: Sample): Promise<Sample> => {
  for (let left = 60; left > 0; left--) {
    const { rtmpConnections, rtmpStreams } = await metrics(server)
    if (rtmpConnections === 0 && rtmpStreams === 0) break
    await sleep(1_000)
  }
  for (let left = 6; ; left--) {
    // What follows the last connection: log lines, a rest between flushes, the request for these metrics.
    await sleep(10_000)
    const found = await sample(server)
    if (left === 0 || beginning === undefined) return found
    if (found.fibers <= beginning.fibers && found.timers <= beginning.timers && found.fds <= beginning.fds) return found
  }
}

const mb = (bytes: number): string => (bytes / 1048576).toFixed(1)

const row = (name: string, it: Sample): string =>
  [
    name.padEnd(10),
    String(it.atSeconds).padStart(6),
    mb(it.heapUsed).padStart(7),
    mb(it.external).padStart(8),
    it.rssMb.toFixed(0).padStart(5),
    String(it.fds).padStart(4),
    String(it.fibers).padStart(7),
    `${it.rtmpConnections}/${it.connections}`.padStart(9),
    `${it.rtmpStreams}/${it.streams}`.padStart(7),
    String(it.viewers).padStart(7),
    String(it.timers).padStart(7),
    it.cpuSeconds.toFixed(1).padStart(8)
  ].join(" ")

const heading = "           seconds heap MB external   RSS  fds fibers  conns  streams viewers timers   CPU s"

const main = async (): Promise<boolean> => {
  const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-soak-"))
  process.on("exit", () => Fs.rmSync(folder, { recursive: true, force: true }))
  const server = await startServer(folder)
  let died: string | undefined
  server.process.once("exit", (code, signal) => {
    died ??= `${signal ?? code}`
  })
  console.log(`server ${server.pid}, warm-up ${warmUpMs / 1e3} s, load ${loadMs / 1e3} s, seed ${values.seed}`)
  console.log(heading)
  const samples: Array<Sample> = []
  const say = (name: string, it: Sample): Sample => {
    console.log(row(name, it))
    return it
  }
  say("started", await sample(server))
  const warm = nothingSeen()
  await load(server, warm, performance.now() + warmUpMs)
  const first = say("beginning", await idle(server))
  const seen = nothingSeen()
  const untilMs = performance.now() + loadMs
  const loading = load(server, seen, untilMs)
  const cpuBefore = process.cpuUsage()
  while (untilMs - performance.now() > sampleMs / 2 && died === undefined) {
    await sleep(Math.min(sampleMs, untilMs - performance.now()))
    if (died === undefined) samples.push(say("under load", await sample(server)))
  }
  if (died !== undefined) {
    console.log(`the server died: ${died}`)
    return false
  }
  await loading
  const ownCpu = process.cpuUsage(cpuBefore)
  const last = say("end", await idle(server, first))
  died = "was stopped"
  server.process.kill("SIGTERM")

  const problems: Array<string> = []
  const back = (what: string, before: number, after: number, slack = 0): void => {
    if (after > before + slack) problems.push(`${what}: ${before} in the beginning, ${after} in the end`)
  }
  back("open files", first.fds, last.fds)
  back("fibers", first.fibers, last.fibers)
  back("sockets", first.sockets, last.sockets)
  back("timers", first.timers, last.timers)
  back("bytes of the heap", first.heapUsed, last.heapUsed, heapSlackBytes)
  back("bytes outside of the heap", first.external, last.external, heapSlackBytes)
  for (const what of ["rtmpConnections", "rtmpStreams", "connections", "streams", "viewers"] as const) {
    if (last[what] !== 0) problems.push(`${what}: ${last[what]} in the end`)
  }
  for (const [name, it] of [["warm-up", warm] as const, ["load", seen] as const]) {
    for (const what of ["lost", "disordered", "corrupt", "cutShort", "refused"] as const) {
      if (it[what] > 0) problems.push(`${what} in the ${name}: ${it[what]}`)
    }
    for (const complaint of it.complaints) problems.push(`  ${complaint}`)
  }
  for (const line of server.errors) problems.push(`  log: ${line}`)
  const { complaints: _, ...counts } = seen
  const result = {
    minutes,
    seed: Number(values.seed),
    isBack: problems.length === 0,
    problems,
    ...counts,
    stalled,
    hostile,
    serverCpuSeconds: Math.round((last.cpuSeconds - first.cpuSeconds) * 10) / 10,
    loadCpuSeconds: Math.round((ownCpu.user + ownCpu.system) / 1e5) / 10,
    peakRssMb: Math.max(...samples.map((it) => it.rssMb)),
    beginning: first,
    end: last,
    samples
  }
  console.log(
    `${counts.publications} publications, ${counts.plays} plays, ${stalled} viewers that stalled, ${hostile.peers} hostile peers; ` +
      `${counts.framesReceived} frames received, ${counts.lost} lost, ${counts.disordered} out of order, ${counts.corrupt} changed`
  )
  for (const problem of problems) console.log(problem)
  console.log(problems.length === 0 ? "Everything is as it was." : "NOT as it was.")
  const json = JSON.stringify(result)
  if (values.json !== undefined) Fs.writeFileSync(values.json, `${json}\n`)
  console.log(json)
  return problems.length === 0
}

process.exit((await main()) ? 0 : 1)
