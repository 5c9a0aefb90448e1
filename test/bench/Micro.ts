/**
 * The micro benchmarks as a scenario: each file of `micro/` is run by itself, and the table that it prints is read.
 */
import * as Fs from "node:fs"
import process from "node:process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Process from "./Process.ts"
import type { Goal, Lookup, Metrics } from "./Report.ts"
import type { Scenario } from "./Scenarios.ts"

const folder = fileURLToPath(new URL("micro/", import.meta.url))

const rowOf = (line: string): ReadonlyArray<string> | undefined => {
  const text = line.replace(/^\s*\*?\s*/, "")
  return text.startsWith("|")
    ? text
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim())
    : undefined
}

/** The figures of a printed table: `row: column` for each number. */
export const figures = (lines: ReadonlyArray<string>): Metrics => {
  const metrics: Record<string, number> = {}
  let titles: ReadonlyArray<string> | undefined
  let previous: ReadonlyArray<string> | undefined
  for (const line of lines) {
    const cells = rowOf(line)
    if (cells?.every((cell) => /^:?-+:?$/.test(cell))) titles = previous
    else if (cells !== undefined && titles !== undefined) {
      cells.forEach((cell, i) => {
        const value = Number(cell.replaceAll(",", ""))
        if (i > 0 && cell !== "" && Number.isFinite(value)) metrics[`${cells[0]}: ${titles![i]}`] = value
      })
    }
    previous = cells
  }
  return metrics
}

const goals: ReadonlyArray<readonly [file: string, metric: string, atLeast: number, unit: string]> = [
  ["chunk", "read 200 KB, chunks of 60,000, pushes of 64 KiB: MB/s", 1_500, "MB/s"],
  ["chunk", "read 200 KB, chunks of 128, pushes of 64 KiB: MB/s", 300, "MB/s"],
  ["amf", "AMF0 decode OBS onMetaData: per second", 200_000, "/s"]
]

/** All micro benchmarks, each row of which is measured for `seconds`. */
export const scenario = (seconds: number): Scenario => ({
  name: "micro",
  about: "parts of the data plane on one core",
  runs: Fs.readdirSync(folder)
    .filter((file) => file.endsWith(".ts"))
    .sort()
    .map((file) => ({
      server: file.slice(0, -3),
      measure: Effect.gen(function* () {
        const child = yield* Process.spawn({
          name: `micro/${file}`,
          command: process.execPath,
          args: [`${folder}${file}`, String(seconds)]
        })
        const lines: Array<string> = []
        child.watch((line) => lines.push(line))
        while (child.ending() === undefined) yield* Effect.sleep(50)
        if (child.ending() !== "status 0") {
          return yield* new Process.BenchError({ message: `micro/${file}: ${child.ending()}\n    ${child.tail()}` })
        }
        return figures(lines)
      })
    })),
  goals: (get: Lookup): ReadonlyArray<Goal> =>
    goals.flatMap(([file, metric, atLeast, unit]): ReadonlyArray<Goal> => {
      const figure = get.median("micro", file, metric)
      return figure === undefined ? [] : [{ scenario: "micro", what: metric.split(":")[0]!, figure, atLeast, unit }]
    })
})
