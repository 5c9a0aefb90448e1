/**
 * The measuring rig: `npm run bench [-- options]`.
 *
 * Runs the micro benchmarks and every scenario of `Scenarios` on our server and on its peers, on this machine, in turn,
 * and prints one table of medians and one of goals. Take ratios within one run: absolute figures are the machine's.
 *
 * ```text
 *   --only NAME,...     scenarios to run, by name or its beginning: micro, fanout-1000, fanout, join, latency, ingest-1x50,
 *                       ingest-10x50, wide, stall, idle
 *   --servers NAME,...  servers to run, by the beginning of what the table calls them: ours, nginx, node, floor
 *   --rounds N          how often each server runs in each scenario; medians are shown (3)
 *   --seconds S         length of each measuring window (10)
 *   --players N,...     numbers of viewers of the fan-out (200,1000,2000)
 *   --quick             everything small, one round, in less than two minutes: to see that it works
 *   --json FILE         where to write everything (test/bench/results/<time>.json)
 *   --nms DIR           a folder in which node-media-server is installed, to measure it, too
 *   --cpu-prof DIR      writes a CPU profile of each run of our server there, and prints where time went: not together
 *                       with figures that are to count. `node test/bench/Profile.ts FILE` prints it again
 *   --list              prints the scenarios
 * ```
 *
 * **What is measured**
 *
 * - CPU is user and system time of the server, all its processes and threads, from `/proc`, for each gigabit that the
 *   viewers read. Resident memory is that at the end of the window.
 * - First video is the time from a viewer's call to `connect` until the first coded picture has been read whole. A
 *   keyframe may come later where a server keeps no group of pictures (`firstKeyframe…`).
 * - Latency is the time from a publisher handing a frame over until a viewer has read it whole: it includes the kernel
 *   twice and the event loops of both load generators. Lost packets are stamped frames, audio and video, that viewers
 *   never saw although later ones came.
 * - A server that delivers less than the stream is overloaded, and looks cheap for it: its CPU figures are shown, but no
 *   goal is told from them. `writesPerViewer` are its calls to write for each viewer and second: the floor is
 *   run at that cadence. Where the load generators need all of their cores (`load gen. CPU %`, one core is 100) they
 *   read late, and a server that writes often gets away with fewer wake-ups than it would cost.
 * - The floor is a C program that writes the same bytes to as many sockets and knows no protocol.
 *
 * **What it needs**
 *
 * Linux. About as many open files as the most viewers, with some to spare (`ulimit -n`). For peers: `apt-get install
 * nginx libnginx-mod-rtmp`, and `npm install node-media-server` in some folder. For the floor a C compiler. What is
 * missing is said and left out.
 *
 * `EFFECT_RTMP_MAIN` names another script to run as our server, such as the built `dist/main.js`.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Micro from "./Micro.ts"
import * as Process from "./Process.ts"
import * as Profile from "./Profile.ts"
import * as Report from "./Report.ts"
import type { Scenario } from "./Scenarios.ts"
import * as Scenarios from "./Scenarios.ts"
import * as Targets from "./Targets.ts"

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    servers: { type: "string" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    players: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    nms: { type: "string" },
    "cpu-prof": { type: "string" },
    list: { type: "boolean", default: false }
  }
})

const words = (text: string | undefined): ReadonlyArray<string> | undefined =>
  text?.split(",").map((word) => word.trim())

/** Whether a name begins with one of the words that were given, if any were. */
const isChosen = (name: string, chosen: ReadonlyArray<string> | undefined): boolean =>
  chosen === undefined || chosen.some((word) => name === word || name.startsWith(word))

const positive = (name: string, text: string | undefined, otherwise: number): number => {
  const value = text === undefined ? otherwise : Number(text)
  if (!(value > 0)) throw new Error(`--${name} takes a positive number, not ${text}`)
  return value
}

const resultFile = (): string => {
  if (options.json !== undefined) return Path.resolve(options.json)
  const folder = fileURLToPath(new URL("results/", import.meta.url))
  Fs.mkdirSync(folder, { recursive: true })
  return Path.join(folder, `${new Date().toISOString().replaceAll(":", "-").slice(0, 19)}.json`)
}

const program = Effect.gen(function* () {
  const { quick } = options
  const rounds = positive("rounds", options.rounds, quick ? 1 : 3)
  const seconds = positive("seconds", options.seconds, quick ? 2 : 10)
  const viewers =
    words(options.players)?.map((text) => positive("players", text, 0)) ?? (quick ? [100] : [200, 1_000, 2_000])
  const servers = words(options.servers)
  const profiles = options["cpu-prof"] === undefined ? undefined : Path.resolve(options["cpu-prof"])
  const flags = profiles === undefined ? [] : ["--cpu-prof", "--cpu-prof-dir", profiles]

  const folder = yield* Targets.temporaryFolder
  const floor = Targets.floor(folder)
  const peers: Array<Targets.Target> = []
  for (const peer of [Targets.nginx(), Targets.nodeMediaServer(options.nms)]) {
    if ("start" in peer) peers.push(peer)
    else console.log(`${peer.name} is not measured: ${peer.missing}`)
  }
  if ("missing" in floor) console.log(`the floor is not measured: ${floor.missing}`)

  const plan: Scenarios.Plan = {
    ours: (mode) => Targets.ours(mode, flags),
    peers,
    floor: "run" in floor ? floor : undefined,
    seconds,
    quick,
    viewers
  }
  const everything = [Micro.scenario(quick ? 0.2 : 1), ...Scenarios.all(plan)]
  if (options.list) {
    for (const { about, name } of everything) console.log(`${name.padEnd(14)} ${about}`)
    return
  }
  const scenarios = everything.filter(({ name }) => isChosen(name, words(options.only)))
  if (scenarios.length === 0) return yield* new Process.BenchError({ message: `no scenario is called ${options.only}` })

  const needed = Math.max(...viewers, quick ? 200 : 1_000) + 200
  if (Process.fileLimit() < needed) {
    return yield* new Process.BenchError({
      message: `only ${Process.fileLimit()} files may be open: raise it with ulimit -n ${needed * 2}, or ask for fewer --players`
    })
  }
  const file = resultFile()
  console.log(Report.machine())
  console.log(`load ${loadNow()}, ${rounds} rounds, windows of ${seconds} s\n`)

  const samples: Array<Report.Sample> = []
  for (const scenario of scenarios) {
    console.log(`${scenario.name}: ${scenario.about}`)
    // Micro benchmarks look for the best of many runs themselves.
    const times = scenario.name === "micro" ? 1 : rounds
    for (let round = 1; round <= times; round++) {
      for (const run of scenario.runs) {
        if (scenario.name !== "micro" && !isChosen(run.server, servers)) continue
        samples.push(yield* once(scenario, run, round))
        Report.save(file, { quick, rounds, seconds }, samples, goalsOf(scenarios, samples, seconds))
      }
    }
  }

  const rows = Report.rows(samples)
  const goals = goalsOf(scenarios, samples, seconds)
  const macro = rows.filter((row) => row.scenario !== "micro")
  if (macro.length > 0) console.log(`\n${Report.table(macro)}`)
  for (const { metrics, scenario, server } of rows) {
    if (scenario !== "micro") continue
    console.log(`\nmicro/${server}`)
    for (const [name, value] of Object.entries(metrics))
      console.log(`  ${name.padEnd(66)} ${Report.format(value).padStart(12)}`)
  }
  if (goals.length > 0) console.log(`\n${Report.goalTable(goals)}`)
  if (profiles !== undefined) printProfiles(profiles, seconds)
  console.log(`\nload ${loadNow()}; everything is in ${Path.relative(process.cwd(), file)}`)
})

const once = (scenario: Scenario, run: Scenarios.Run, round: number): Effect.Effect<Report.Sample> =>
  Effect.scoped(run.measure).pipe(
    Effect.match({
      onSuccess: (metrics): Report.Sample => ({ ...sampleOf(scenario, run, round), metrics }),
      onFailure: ({ message }): Report.Sample => ({
        ...sampleOf(scenario, run, round),
        metrics: {},
        failure: message
      })
    }),
    Effect.tap((sample) => Effect.sync(() => console.log(`  ${progress(sample)}`)))
  )

const sampleOf = (scenario: Scenario, run: Scenarios.Run, round: number) => ({
  scenario: scenario.name,
  server: run.server,
  round,
  load: Os.loadavg()[0]!
})

const progress = ({ failure, load, metrics, round, scenario, server }: Report.Sample): string => {
  const what =
    failure ??
    (scenario === "micro"
      ? `${Object.keys(metrics).length} figures`
      : Object.entries(metrics)
          .map(([name, value]) => `${name} ${Report.format(value)}`)
          .join(", "))
  return `${round} ${server.padEnd(18)} load ${load.toFixed(1)}: ${what}`
}

const goalsOf = (
  scenarios: ReadonlyArray<Scenario>,
  samples: ReadonlyArray<Report.Sample>,
  seconds: number
): ReadonlyArray<Report.Goal> => {
  const get = Report.lookup(samples, seconds)
  return scenarios.flatMap((scenario) => scenario.goals(get))
}

const loadNow = (): string =>
  Os.loadavg()
    .map((value) => value.toFixed(1))
    .join(" ")

const printProfiles = (folder: string, seconds: number): void => {
  for (const name of Fs.readdirSync(folder).filter((name) => name.endsWith(".cpuprofile"))) {
    console.log(`\n${name}\n${Profile.summary(Path.join(folder, name), seconds)}`)
  }
}

NodeRuntime.runMain(
  Effect.scoped(program).pipe(
    Effect.catch((error) =>
      Effect.sync(() => {
        console.error(`bench: ${error.message}`)
        process.exitCode = 1
      })
    )
  )
)
