/**
 * From measurements to tables: medians over the rounds, one row for each server in each scenario, and the goals.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"

/** Figures by name. What a run did not measure is not there. */
export type Metrics = Readonly<Record<string, number>>

/** One run of one server in one scenario. */
export interface Sample {
  readonly scenario: string
  readonly server: string
  readonly round: number
  /** Load of the machine in the last minute, at the end of the run. */
  readonly load: number
  readonly metrics: Metrics
  /** Why there are no figures. */
  readonly failure?: string
}

/** Something that is to hold. */
export interface Goal {
  readonly scenario: string
  readonly what: string
  /** `undefined` where it was not measured, or what was measured does not count: `note` says why. */
  readonly figure: number | undefined
  readonly note?: string
  readonly atMost?: number
  readonly atLeast?: number
  readonly unit: string
}

/** Looks up figures that are in the samples. */
export interface Lookup {
  /** Length of a window. */
  readonly seconds: number
  readonly median: (scenario: string, server: string, metric: string) => number | undefined
  /**
   * One server's figure in terms of another's: the median of the ratios within each round. A shared machine is a fourth slower
   * in one minute than in another, and what ran right after one another was hit alike.
   */
  readonly ratio: (scenario: string, server: string, other: string, metric: string) => number | undefined
}

const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** One row: the medians of all runs of a server in a scenario. */
export interface Row {
  readonly scenario: string
  readonly server: string
  readonly runs: number
  readonly failed: number
  readonly metrics: Metrics
}

/** Puts the runs of each server in each scenario together, in the order of their first appearance. */
export const rows = (samples: ReadonlyArray<Sample>): ReadonlyArray<Row> => {
  const groups = new Map<string, Array<Sample>>()
  for (const sample of samples) {
    const key = `${sample.scenario}\n${sample.server}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [sample])
    else group.push(sample)
  }
  return [...groups.values()].map((group) => {
    const good = group.filter((sample) => sample.failure === undefined)
    const metrics: Record<string, number> = {}
    for (const name of new Set(good.flatMap((sample) => Object.keys(sample.metrics)))) {
      metrics[name] = median(good.map((sample) => sample.metrics[name]).filter((value) => value !== undefined))
    }
    const { scenario, server } = group[0]!
    return { scenario, server, runs: good.length, failed: group.length - good.length, metrics }
  })
}

/** A lookup in samples. */
export const lookup = (samples: ReadonlyArray<Sample>, seconds: number): Lookup => {
  const all = rows(samples)
  return {
    seconds,
    median: (scenario, server, metric) =>
      all.find((row) => row.scenario === scenario && row.server === server)?.metrics[metric],
    ratio: (scenario, server, other, metric) => {
      const ofServer = (name: string) =>
        samples.filter((sample) => sample.scenario === scenario && sample.server === name)
      const others = new Map(ofServer(other).map((sample) => [sample.round, sample.metrics[metric]]))
      const ratios = ofServer(server).flatMap(({ metrics, round }) => {
        const [figure, otherFigure] = [metrics[metric], others.get(round)]
        return figure === undefined || otherFigure === undefined ? [] : [figure / otherFigure]
      })
      return ratios.length === 0 ? undefined : median(ratios)
    }
  }
}

/** Whether a goal holds; not where it could not be told. */
export const holds = ({ atLeast, atMost, figure }: Goal): boolean =>
  figure !== undefined && (atMost === undefined || figure <= atMost) && (atLeast === undefined || figure >= atLeast)

const columns: ReadonlyArray<readonly [title: string, metric: string, digits: number]> = [
  ["CPU s/Gbit", "cpuPerGbit", 4],
  ["Gbit/s", "gbps", 3],
  ["RSS MB", "rssMb", 0],
  ["first video p50", "firstVideoP50Ms", 1],
  ["p99 ms", "firstVideoP99Ms", 1],
  ["latency p50", "latencyP50Ms", 1],
  ["p99 ms", "latencyP99Ms", 1],
  ["delivered %", "deliveredPercent", 1],
  ["lost", "lost", 0],
  ["load gen. CPU %", "loadPercent", 0]
]

const shown = new Set([...columns.map(([, metric]) => metric), "cpuPercent"])

const cells = (row: Row): ReadonlyArray<string> => {
  const rest = Object.entries(row.metrics)
    .filter(([name]) => !shown.has(name))
    .map(([name, value]) => `${name} ${format(value)}`)
  return [
    row.scenario,
    row.server,
    ...columns.map(([, metric, digits]) => row.metrics[metric]?.toFixed(digits) ?? ""),
    [...(row.failed > 0 ? [`${row.failed} of ${row.failed + row.runs} runs failed`] : []), ...rest].join(", ")
  ]
}

/** A number with as many digits as say something. */
export const format = (value: number): string =>
  Number.isInteger(value) ? String(value) : value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 1 : 3)

const grid = (lines: ReadonlyArray<ReadonlyArray<string>>, left: number): string => {
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)))
  const draw = (line: ReadonlyArray<string>) =>
    `| ${line.map((cell, i) => (i < left || i === line.length - 1 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(" | ")} |`
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`
  return [draw(lines[0]!), rule, ...lines.slice(1).map(draw)].join("\n")
}

/** The table of all rows. */
export const table = (all: ReadonlyArray<Row>): string =>
  grid([["scenario", "server", ...columns.map(([title]) => title), "more"], ...all.map(cells)], 2)

/** The table of all goals. */
export const goalTable = (goals: ReadonlyArray<Goal>): string =>
  grid(
    [
      ["scenario", "what", "figure", "goal", ""],
      ...goals.map((goal) => [
        goal.scenario,
        goal.what,
        goal.figure === undefined ? "" : `${format(goal.figure)} ${goal.unit}`.trim(),
        goal.atMost === undefined ? `>= ${goal.atLeast}` : `<= ${goal.atMost}`,
        goal.figure === undefined ? `NOT TOLD: ${goal.note}` : holds(goal) ? "holds" : "MISSED"
      ])
    ],
    2
  )

/** The machine in one line. */
export const machine = (): string => {
  const cpus = Os.cpus()
  const memory = Math.round(Os.totalmem() / 2 ** 30)
  return `${cpus.length} x ${cpus[0]?.model.trim() ?? "unknown"}, ${memory} GiB, Linux ${Os.release()}, Node ${process.versions.node}`
}

/** Writes everything as JSON. */
export const save = (
  file: string,
  about: Readonly<Record<string, unknown>>,
  samples: ReadonlyArray<Sample>,
  goals: ReadonlyArray<Goal>
): void => {
  const content = {
    ...about,
    machine: machine(),
    medians: rows(samples),
    goals: goals.map((goal) => ({ ...goal, holds: holds(goal) })),
    samples
  }
  Fs.writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`)
}
