/**
 * What is measured: each scenario with the servers that it is run on, and the goals that its figures are held against.
 *
 * A scenario runs all its servers in turn, and that once for each round. Every run starts a fresh server, brings the
 * load up, lets it settle, and then measures over a window of some seconds.
 */
import process from "node:process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Loaders from "./Loaders.ts"
import { latencyPercentile, percentile } from "./LoadProtocol.ts"
import type { BenchError } from "./Process.ts"
import * as Process from "./Process.ts"
import type { Goal, Lookup, Metrics } from "./Report.ts"
import type { Floor, FloorResult, Served, Target } from "./Targets.ts"
import { application, secured, temporaryFolder, tlsFloor } from "./Targets.ts"

/** One server in a scenario. */
export interface Run {
  readonly server: string
  readonly measure: Effect.Effect<Metrics, BenchError, Scope.Scope>
}

/** A scenario. */
export interface Scenario {
  readonly name: string
  readonly about: string
  readonly runs: ReadonlyArray<Run>
  /** The goals that can be told from the figures that are there. */
  readonly goals: (get: Lookup) => ReadonlyArray<Goal>
}

/** What the scenarios are made for. */
export interface Plan {
  readonly ours: (mode: "low" | "balanced" | "throughput") => Target
  readonly peers: ReadonlyArray<Target>
  readonly floor: Extract<Floor, { readonly run: unknown }> | undefined
  /** Length of the window, in seconds. */
  readonly seconds: number
  /** Everything small: to see that it works, not how fast. */
  readonly quick: boolean
  /** Numbers of viewers for the fan-out. */
  readonly viewers: ReadonlyArray<number>
}

// What is measured against is always called the same.
const oursName = "ours"
const nginxName = "nginx-rtmp"

// What a server gives a joiner at once, up to some seconds of video, is on its way for a moment, and new code runs slowly.
const settleMs = 3_000
const quickSettleMs = 500
// More than any mode adds.
const behindMs = 1_000

interface Load {
  readonly streams: number
  readonly videoKbps: number
  readonly audioKbps: number
  readonly viewers: number
  /** New viewers per second. */
  readonly perSecond?: number
  /** Viewers come through TLS. */
  readonly secure?: boolean
}

interface Running {
  readonly load: Load
  readonly served: Served
  readonly publishers: Loaders.Loader
  readonly viewers: Loaders.Loader
}

const publishersFor = Effect.fnUntraced(function* (served: Served, load: Load) {
  const streams = Array.from({ length: load.streams }, (_, i) => `bench${i}`)
  const { audioKbps, videoKbps } = load
  const publishers = yield* Loaders.start({
    role: "publish",
    port: served.port,
    application,
    streams,
    videoKbps,
    audioKbps
  })
  yield* publishers.started(20_000)
  return { streams, publishers }
})

/** Waits, though not for ever, until no viewer still reads what came before it joined: that would count as delivered. */
const caughtUp = Effect.fnUntraced(function* (viewers: Loaders.Loader) {
  for (let tries = 0; tries < 20; tries++) {
    yield* viewers.ask({ do: "reset" })
    yield* Effect.sleep(500)
    if (latencyPercentile(yield* viewers.ask({ do: "report" }), 1) < behindMs) return
  }
})

/** Starts a server, its publishers and its viewers, and waits until all of them have video and all is calm. */
const bringUp = Effect.fnUntraced(function* (
  plan: Plan,
  target: Target,
  load: Load,
  settings?: Readonly<Record<string, string>>
): Effect.fn.Return<Running, BenchError, Scope.Scope> {
  const served = yield* target.start(settings)
  const { publishers, streams } = yield* publishersFor(served, load)
  const perSecond = load.perSecond ?? 400
  const secure = load.secure === true
  const viewers = yield* Loaders.start({
    role: "play",
    port: secure ? served.securePort! : served.port,
    application,
    streams,
    viewers: load.viewers,
    perSecond,
    secure
  })
  yield* viewers.started(30_000 + (load.viewers / perSecond) * 2_000)
  yield* Effect.sleep(plan.quick ? quickSettleMs : settleMs)
  yield* caughtUp(viewers)
  return { load, served, publishers, viewers }
})

/** Measures for some seconds. */
const watch = Effect.fnUntraced(function* (
  { load, publishers, served, viewers }: Running,
  seconds: number
): Effect.fn.Return<Metrics, BenchError> {
  yield* publishers.ask({ do: "reset" })
  yield* viewers.ask({ do: "reset" })
  const cpuBefore = Process.cpuSeconds(served.pid)
  const writesBefore = Process.writeCalls(served.pid)
  const startedMs = performance.now()
  yield* Effect.sleep(seconds * 1e3)
  const cpu = Process.cpuSeconds(served.pid) - cpuBefore
  const elapsed = (performance.now() - startedMs) / 1e3
  const writes = Process.writeCalls(served.pid) - writesBefore
  const report = yield* viewers.ask({ do: "report" })
  const published = yield* publishers.ask({ do: "report" })
  const gigabits = (report.bytes * 8) / 1e9
  return {
    cpuPerGbit: cpu / gigabits,
    cpuPercent: (100 * cpu) / elapsed,
    gbps: gigabits / elapsed,
    rssMb: Process.residentMb(served.pid),
    firstVideoP50Ms: percentile(report.firstVideoMs, 0.5),
    firstVideoP99Ms: percentile(report.firstVideoMs, 0.99),
    latencyP50Ms: latencyPercentile(report, 0.5),
    latencyP99Ms: latencyPercentile(report, 0.99),
    latencyMaxMs: latencyPercentile(report, 1),
    deliveredPercent: (100 * gigabits) / elapsed / ((load.viewers * (load.videoKbps + load.audioKbps)) / 1e6),
    // Peers that send by other calls than write are not counted.
    ...(writes > 0 ? { writesPerViewer: writes / elapsed / load.viewers } : {}),
    lost: report.lost,
    loadPercent: (100 * report.cpuSeconds) / elapsed,
    publisherLateMs: published.latestMs,
    ...(report.ended > 0 ? { closed: report.ended } : {}),
    ...(report.disordered > 0 ? { disordered: report.disordered } : {})
  }
})

/** A run that brings a load up and watches it. */
const played = (plan: Plan, target: Target, load: Load, settings?: Readonly<Record<string, string>>): Run => ({
  server: target.name,
  measure: Effect.flatMap(bringUp(plan, target, load, settings), (running) => watch(running, plan.seconds))
})

/**
 * Below this share of the stream a server is overloaded: it merges and drops, and what is left looks cheap. One write more or
 * less in a window says nothing: where few are large, that is some hundredths of what is delivered.
 */
const deliveredAtLeast = 97

/** Why a server's figure does not count, if it does not. */
const flaw = (get: Lookup, scenario: string, server: string, metric: string): string | undefined => {
  if (get.median(scenario, server, metric) === undefined) return `${server} was not measured`
  const delivered = get.median(scenario, server, "deliveredPercent")
  const writes = get.seconds * (get.median(scenario, server, "writesPerViewer") ?? Number.POSITIVE_INFINITY)
  return metric === "cpuPerGbit" && delivered !== undefined && delivered < deliveredAtLeast - 100 / writes
    ? `${server} delivered only ${delivered.toFixed(0)} %`
    : undefined
}

const cost = "cpuPerGbit"

const told = (goal: Omit<Goal, "figure" | "note">, note: string | undefined, figure: number | undefined): Goal =>
  note === undefined ? { ...goal, figure } : { ...goal, figure: undefined, note }

/** The CPU per gigabit of one server in terms of another's. */
const ratio = (get: Lookup, scenario: string, what: string, server: string, other: string, atMost: number): Goal =>
  told(
    { scenario, what, atMost, unit: "x" },
    flaw(get, scenario, server, cost) ?? flaw(get, scenario, other, cost),
    get.ratio(scenario, server, other, cost)
  )

/** The CPU per gigabit of a server in terms of its own in another scenario. */
const growth = (get: Lookup, scenario: string, what: string, server: string, from: string, atMost: number): Goal =>
  told(
    { scenario, what, atMost, unit: "x" },
    flaw(get, scenario, server, cost) ?? flaw(get, from, server, cost),
    get.median(scenario, server, cost)! / get.median(from, server, cost)!
  )

const limit = (
  get: Lookup,
  scenario: string,
  what: string,
  server: string,
  metric: string,
  bound: { readonly atMost: number } | { readonly atLeast: number },
  unit = ""
): Goal =>
  told({ scenario, what, unit, ...bound }, flaw(get, scenario, server, metric), get.median(scenario, server, metric))

/** The peers of a scenario that has goals without them: left out where only the rig is tried. */
const bystanders = (plan: Plan): ReadonlyArray<Target> => (plan.quick ? [] : plan.peers)

const desktop = { streams: 1, videoKbps: 2_500, audioKbps: 128 } as const

// Each of our modes with a floor at the cadence that it wrote at in the run before; `hertz` is what it is made for, for when it
// was not run: merge windows of 40 and 350 ms, and a write for each frame of video and audio.
const modes = [
  { mode: "balanced", floorName: "floor for ours", hertz: 25 },
  { mode: "throughput", floorName: "floor for throughput", hertz: 3 },
  { mode: "low", floorName: "floor for low", hertz: 73 }
] as const

/**
 * One stream to many viewers: what the server is for.
 *
 * A profile of 1,000 viewers in the default mode (`perf record -g` with `--perf-basic-prof`) has 89 of 100 samples in the flush:
 * 82 in the system call, which is the floor; 4 in Node's `fs.writeSync`; 1 in the loop itself. It was 12 in the loop while it
 * touched the objects of each viewer, which had left the processor's caches since the flush before; so it works on two
 * arrays of numbers now. 5 take in the publisher's packets, 75 a second; the rest are timers, log and metrics. No message allocates for
 * a viewer, no viewer has a timer.
 */
const fanOut = (plan: Plan, viewers: number): Scenario => {
  const { floor } = plan
  const kbps = desktop.videoKbps + desktop.audioKbps
  const name = `fanout-${viewers}`
  const load = { ...desktop, viewers }
  return {
    name,
    about: `one stream of ${kbps} kbit/s to ${viewers} viewers`,
    // What is held against one another stands side by side: a round takes minutes, in which the machine changes.
    runs: [
      ...plan.peers.slice(0, 1).map((peer) => played(plan, peer, load)),
      ...modes.flatMap(({ floorName, hertz, mode }) => {
        const { measure, server } = played(plan, plan.ours(mode), load)
        let cadence: number = hertz
        const noted = Effect.tap(measure, ({ writesPerViewer }) =>
          Effect.sync(() => {
            cadence = writesPerViewer ?? hertz
          })
        )
        const bare = Effect.suspend(() =>
          Effect.map(floor!.run(viewers, cadence, kbps, plan.seconds), (result) =>
            floorMetrics(result, viewers, kbps, cadence)
          )
        )
        return [{ server, measure: noted }, ...(floor === undefined ? [] : [{ server: floorName, measure: bare }])]
      }),
      ...plan.peers.slice(1).map((peer) => played(plan, peer, load))
    ],
    // The goals are for these two numbers of viewers, and say nothing of others.
    goals: (get) => [
      ...(viewers === 1_000
        ? [
            ratio(get, name, "CPU per gigabit, of nginx", oursName, nginxName, 0.6),
            ratio(get, name, "CPU per gigabit, of the floor", oursName, modes[0].floorName, 1.35),
            ratio(get, name, "throughput mode, of nginx", "ours, throughput", nginxName, 0.3),
            ratio(get, name, "throughput mode, of the floor", "ours, throughput", modes[1].floorName, 1.35),
            ratio(get, name, "low mode, of nginx", "ours, low", nginxName, 1),
            limit(get, name, "resident memory", oursName, "rssMb", { atMost: 140 }, "MB")
          ]
        : []),
      ...(viewers === 2_000
        ? [
            ...[oursName, "ours, throughput", "ours, low"].map((server) =>
              growth(get, name, `${server}: CPU per gigabit, of that at 200`, server, "fanout-200", 1.15)
            ),
            limit(get, name, "resident memory", oursName, "rssMb", { atMost: 190 }, "MB")
          ]
        : [])
    ]
  }
}

const floorMetrics = (
  { bytes, cpuSeconds, refused, residentMb, seconds }: FloorResult,
  viewers: number,
  kbps: number,
  cadence: number
): Metrics => ({
  cpuPerGbit: cpuSeconds / ((bytes * 8) / 1e9),
  cpuPercent: (100 * cpuSeconds) / seconds,
  gbps: (bytes * 8) / 1e9 / seconds,
  deliveredPercent: ((bytes * 8) / 1e3 / seconds / viewers / kbps) * 100,
  writesPerViewer: cadence,
  ...(residentMb === undefined ? {} : { rssMb: residentMb }),
  ...(refused > 0 ? { refused } : {})
})

const join = (plan: Plan): Scenario => {
  const viewers = plan.quick ? 50 : 500
  const singles = plan.quick ? 3 : 9
  const name = "join"
  return {
    name,
    about: `${viewers} viewers that join within a second, after one alone`,
    runs: [plan.ours("balanced"), ...bystanders(plan)].map((target) => ({
      server: target.name,
      measure: Effect.gen(function* () {
        const served = yield* target.start()
        const { streams } = yield* publishersFor(served, { ...desktop, viewers })
        // A full group of pictures is there to be given out.
        yield* Effect.sleep(plan.quick ? 2_500 : 4_500)
        const play = Effect.fnUntraced(function* (viewers: number) {
          const load = yield* Loaders.start({
            role: "play",
            port: served.port,
            application,
            streams,
            viewers,
            perSecond: viewers
          })
          yield* load.started(60_000)
          // Long enough for the keyframe that a server without a cache makes its viewers wait for.
          yield* Effect.sleep(plan.quick ? 500 : 2_500)
          return yield* load.ask({ do: "report" })
        })
        // They come within a second, too, but each finds the server with nothing else to do.
        const alone = yield* Effect.scoped(play(singles))
        const together = yield* play(viewers)
        const single = percentile(alone.firstVideoMs, 0.5)
        return {
          firstVideoP50Ms: percentile(together.firstVideoMs, 0.5),
          firstVideoP99Ms: percentile(together.firstVideoMs, 0.99),
          aloneMs: single,
          p99OverAloneMs: percentile(together.firstVideoMs, 0.99) - single,
          firstKeyframeP50Ms: percentile(together.firstKeyframeMs, 0.5),
          firstKeyframeP99Ms: percentile(together.firstKeyframeMs, 0.99),
          closed: together.ended
        }
      })
    })),
    goals: (get) => [
      limit(get, name, "first video, p99 over one viewer's", oursName, "p99OverAloneMs", { atMost: 50 }, "ms")
    ]
  }
}

/**
 * What a server adds between a publisher and 200 viewers.
 *
 * Whether the low mode stays below 5 ms is the processor's to say: a message is 200 writes, each of them is the kernel's from
 * end to end (the floor shows how much), and on the other core the load generator reads 200 sockets. Where 1,000 viewers take
 * 0.05 s/Gbit in the default mode, 99 of 100 frames are there within 2.7 to 4.6 ms. Where they take 0.086, a message for 200 costs
 * us 2.0 ms, of which the floor would take 1.5, and it is 7.2 to 7.5 ms, with nginx-rtmp at 10.5 to 11.6 and node-media-server
 * at 7.6 to 9.8 in the same runs. There, a profile (`perf record -g`) has 77 of 100 samples in the flush, 71 of them in the
 * system call, 3 in Node's way there and 3 in our loop; 12 take in the publisher's packets.
 * Next would be a second thread that writes half of the lanes: a lane is a number, and a batch could be shared memory.
 */
const latency = (plan: Plan): Scenario => {
  const viewers = plan.quick ? 50 : 200
  const name = "latency"
  return {
    name,
    about: `publish to play with ${viewers} viewers`,
    runs: [plan.ours("low"), plan.ours("balanced"), ...bystanders(plan)].map((target) =>
      played(plan, target, { ...desktop, viewers })
    ),
    goals: (get) => [
      limit(get, name, "low mode, p99", "ours, low", "latencyP99Ms", { atMost: 5 }, "ms"),
      limit(get, name, "default mode, p99", oursName, "latencyP99Ms", { atMost: 50 }, "ms")
    ]
  }
}

/**
 * Publishers of 50 Mbit/s with one viewer each: what taking in costs.
 *
 * This row is missed by far, and a profile of ten publishers (`perf record -g`) says why. Of 100 samples, 44 are V8's worker
 * threads, which mark and sweep, and 8 its part of that on the main thread. 35 are the kernel on the main thread, 54 ms in a second,
 * where nginx-rtmp takes 33 for everything: it also hands out fresh pages, and writes batches. 4 are copies, 3 JavaScript, ours and
 * Effect's.
 * What is read lands in one buffer that all sockets share, so it is the messages and the batches that V8 counts when it
 * decides to collect: 62 MB of each in a second. One publisher costs twice as much for a gigabit as ten, most of it code that finds the
 * processor's caches cold.
 * Next would be payloads in memory that is used again once a flush has encoded them: half of what there is to collect. It
 * takes back what `ServerSession` promises, that payloads are good for as long as they are kept. To let the heap grow more in
 * between would cost everyone memory, not only those who take in so much.
 */
const ingest = (plan: Plan, streams: number): Scenario => {
  const name = `ingest-${streams}x50`
  return {
    name,
    about: `${streams} publisher${streams > 1 ? "s" : ""} of 50 Mbit/s with one viewer each; CPU per gigabit taken in`,
    runs: [plan.ours("balanced"), ...plan.peers].map((target) =>
      // One viewer for each stream: what is read is what came in.
      played(plan, target, { streams, videoKbps: 49_800, audioKbps: 160, viewers: streams })
    ),
    goals: (get) => [
      limit(get, name, "lost packets", oursName, "lost", { atMost: 0 }),
      ratio(get, name, "CPU per gigabit in, of nginx", oursName, nginxName, 1.3)
    ]
  }
}

const wide = (plan: Plan): Scenario => {
  const viewers = plan.quick ? 4 : 20
  const name = "wide"
  return {
    name,
    about: `one stream of 25 Mbit/s to ${viewers} viewers`,
    runs: [plan.ours("balanced"), ...bystanders(plan)].map((target) =>
      played(plan, target, { streams: 1, videoKbps: 24_840, audioKbps: 160, viewers })
    ),
    goals: (get) => [
      limit(get, name, "lost packets", oursName, "lost", { atMost: 0 }),
      limit(get, name, "delivered", oursName, "gbps", { atLeast: plan.quick ? 0.097 : 0.485 }, "Gbit/s")
    ]
  }
}

const tls = (plan: Plan): Scenario => {
  const load: Load = {
    streams: 1,
    videoKbps: 904,
    audioKbps: 96,
    viewers: plan.quick ? 20 : 500,
    perSecond: 200,
    secure: true
  }
  const kbps = load.videoKbps + load.audioKbps
  const name = "tls"
  const floorName = "TLS floor on Node"
  let cadence = 25
  const ours = plan.ours("balanced")
  return {
    name,
    about: `one stream of ${kbps} kbit/s to ${load.viewers} viewers through TLS`,
    runs: [
      {
        server: ours.name,
        measure: Effect.gen(function* () {
          const folder = yield* temporaryFolder
          const metrics = yield* played(plan, ours, load, secured(folder)).measure
          cadence = metrics.writesPerViewer ?? cadence
          return metrics
        })
      },
      {
        server: floorName,
        measure: Effect.suspend(() =>
          Effect.map(tlsFloor(load.viewers, cadence, kbps, plan.seconds), (result) =>
            floorMetrics(result, load.viewers, kbps, cadence)
          )
        )
      }
    ],
    goals: (get) => [ratio(get, name, "CPU per gigabit, of a bare TLS server on Node", oursName, floorName, 1.3)]
  }
}

/** V8 collects what is left after some activity in the seconds that follow, and gives the memory back. */
const quietMs = 40_000

const stall = (plan: Plan): Scenario => {
  const viewers = plan.quick ? 10 : 100
  const stalled = viewers / 2
  const stallSeconds = plan.quick ? 12 : 30
  const videoKbps = 19_840
  const outboxMb = 16
  const name = "stall"
  return {
    name,
    about: `${stalled} of ${viewers} viewers of 20 Mbit/s stop reading for ${stallSeconds} s`,
    runs: [plan.ours("balanced"), ...bystanders(plan)].map((target) => ({
      server: target.name,
      measure: Effect.gen(function* () {
        // Otherwise whoever stalls is closed at the moment at which it would read again.
        const running = yield* bringUp(
          plan,
          target,
          { streams: 1, videoKbps, audioKbps: 160, viewers },
          {
            RTMP_OUTBOX_STALL_TIMEOUT: "120 seconds"
          }
        )
        const { served, viewers: load } = running
        const memory = () => Process.residentMb(served.pid)
        yield* Effect.sleep(3_000)
        yield* load.ask({ do: "reset" })
        const before = memory()
        let peak = before
        yield* load.ask({ do: "stall", to: stalled })
        for (let second = 0; second < stallSeconds; second++) {
          yield* Effect.sleep(1_000)
          peak = Math.max(peak, memory())
        }
        const others = yield* load.ask({ do: "report", from: stalled })
        yield* load.ask({ do: "resume", to: stalled })
        for (let second = 0; second < 6; second++) {
          yield* Effect.sleep(1_000)
          peak = Math.max(peak, memory())
        }
        const back = yield* load.ask({ do: "report", to: stalled })
        yield* load.ask({ do: "leave", to: stalled })
        yield* Effect.sleep(plan.quick ? 2_000 : quietMs)
        const after = memory()
        return {
          lost: others.lost,
          rssMb: before,
          peakMb: peak,
          afterMb: after,
          afterOverBefore: after / before,
          growthMb: peak - before,
          closed: back.ended,
          resumed: back.viewersWithGaps,
          gaps: back.videoGaps,
          notAtKeyframe: back.videoGaps - back.gapsEndedByKeyframe
        }
      })
    })),
    goals: (get) => [
      limit(get, name, "packets that the others lost", oursName, "lost", { atMost: 0 }),
      limit(get, name, "memory that the stalled cost", oursName, "growthMb", { atMost: stalled * outboxMb }, "MB"),
      limit(get, name, "memory after they left, of before", oursName, "afterOverBefore", { atMost: 1.1 }, "x"),
      limit(get, name, "stalled viewers that were closed", oursName, "closed", { atMost: 0 }),
      limit(get, name, "stalled viewers that resumed", oursName, "resumed", { atLeast: stalled }),
      limit(get, name, "gaps that ended at no keyframe", oursName, "notAtKeyframe", { atMost: 0 })
    ]
  }
}

const heapScript = fileURLToPath(new URL("heap.ts", import.meta.url))

interface Memory {
  readonly id: string
  readonly heapUsed: number
  readonly external: number
}

/** What one idle connection holds, from a server inside a process that can collect its garbage. */
const heapPerConnection = (connections: number): Effect.Effect<Metrics, BenchError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const child = yield* Process.spawn({
        name: "server in process",
        command: process.execPath,
        args: ["--expose-gc", heapScript]
      })
      const port = yield* Process.untilJson<Served, number>(child, "its port", ({ port }) => port, 20_000)
      const memory = (id: string) =>
        Effect.suspend(() => {
          child.send(id)
          return Process.untilJson<Memory, Memory>(
            child,
            "its memory",
            (said) => (said.id === id ? (said as Memory) : undefined),
            20_000
          )
        })
      // The first connections warm the code up, and go again.
      yield* Effect.scoped(
        Effect.flatMap(Loaders.start({ role: "idle", port, application, connections: 50, perSecond: 200 }), (load) =>
          load.started(30_000)
        )
      )
      yield* Effect.sleep(1_500)
      const before = yield* memory("before")
      const load = yield* Loaders.start({ role: "idle", port, application, connections, perSecond: 400 })
      yield* load.started(60_000)
      yield* Effect.sleep(2_000)
      const after = yield* memory("after")
      return {
        heapKbPerConnection: (after.heapUsed - before.heapUsed) / connections / 1024,
        externalKbPerConnection: (after.external - before.external) / connections / 1024
      }
    })
  )

const idle = (plan: Plan): Scenario => {
  const connections = plan.quick ? 200 : 1_000
  const name = "idle"
  return {
    name,
    about: `${connections} connections that do nothing after connect`,
    runs: [plan.ours("balanced"), ...bystanders(plan)].map((target) => ({
      server: target.name,
      measure: Effect.gen(function* () {
        const served = yield* target.start({ RTMP_SESSION_IDLE_TIMEOUT: "1 hour" })
        yield* Effect.sleep(1_000)
        const empty = Process.residentMb(served.pid)
        const load = yield* Loaders.start({
          role: "idle",
          port: served.port,
          application,
          connections,
          perSecond: 400
        })
        yield* load.started(60_000)
        yield* Effect.sleep(plan.quick ? 3_000 : quietMs)
        const before = Process.wakeUps(served.pid)
        // As long as the interval of pings: they are what an idle server does.
        const windowSeconds = plan.quick ? plan.seconds : 30
        yield* Effect.sleep(windowSeconds * 1e3)
        const wakeUps = Process.wakeUps(served.pid) - before
        const rss = Process.residentMb(served.pid)
        const { ended } = yield* load.ask({ do: "report" })
        const heap = target.name === oursName ? yield* heapPerConnection(connections) : {}
        return {
          rssMb: rss,
          emptyMb: empty,
          rssKbPerConnection: ((rss - empty) * 1024) / connections,
          wakeUpsPerSecond: wakeUps / windowSeconds,
          closed: ended,
          ...heap
        }
      })
    })),
    goals: (get) => [
      limit(get, name, "heap for each", oursName, "heapKbPerConnection", { atMost: 25 }, "KB"),
      limit(get, name, "wake-ups of the process", oursName, "wakeUpsPerSecond", { atMost: 1 }, "/s")
    ]
  }
}

/** All scenarios of a plan, in the order in which they run. */
export const all = (plan: Plan): ReadonlyArray<Scenario> => [
  ...plan.viewers.map((viewers) => fanOut(plan, viewers)),
  join(plan),
  latency(plan),
  ingest(plan, 1),
  ...(plan.quick ? [] : [ingest(plan, 10)]),
  wide(plan),
  tls(plan),
  stall(plan),
  idle(plan)
]
