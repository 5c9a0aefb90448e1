/**
 * What a CPU profile of Node says, in a few lines: `node test/bench/Profile.ts FILE.cpuprofile [seconds [lines]]`, of the
 * last seconds only where they are given.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"

interface CallFrame {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
}

interface CpuProfile {
  readonly nodes: ReadonlyArray<{ readonly id: number; readonly callFrame: CallFrame }>
  readonly samples: ReadonlyArray<number>
  readonly timeDeltas: ReadonlyArray<number>
}

const root = fileURLToPath(new URL("../../", import.meta.url))

const place = ({ functionName, lineNumber, url }: CallFrame): string => {
  const name = functionName === "" ? "(anonymous)" : functionName
  if (url === "") return name
  const path = url.startsWith("file:") ? Path.relative(root, fileURLToPath(url)) : url
  return `${name}  ${path}:${lineNumber + 1}`
}

/**
 * The functions in which most time was spent, callees not counted, as shares of the time that the process was not idle.
 * Of the last `seconds` alone, less the second in which the process ended: what came before is start and warm-up.
 */
export const summary = (file: string, seconds = Number.POSITIVE_INFINITY, lines = 25): string => {
  const profile = JSON.parse(Fs.readFileSync(file, "utf8")) as CpuProfile
  const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]))
  const spent = new Map<string, number>()
  let busy = 0
  let total = 0
  let at = 0
  const length = profile.timeDeltas.reduce((sum, micros) => sum + micros, 0)
  const isAll = seconds === Number.POSITIVE_INFINITY
  const from = isAll ? 0 : length - (seconds + 1) * 1e6
  const to = isAll ? length : length - 1e6
  profile.samples.forEach((id, i) => {
    const micros = profile.timeDeltas[i]!
    const frame = frames.get(id)!
    at += micros
    if (at < from || at > to) return
    total += micros
    if (frame.functionName === "(idle)") return
    busy += micros
    const where = place(frame)
    spent.set(where, (spent.get(where) ?? 0) + micros)
  })
  const top = [...spent].sort(([, a], [, b]) => b - a).slice(0, lines)
  return [
    `${(busy / 1e6).toFixed(1)} s busy of ${(total / 1e6).toFixed(1)} s`,
    ...top.map(([where, micros]) => `${((100 * micros) / busy).toFixed(1).padStart(6)} %  ${where}`)
  ].join("\n")
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = process.argv[2]
  if (file === undefined) console.error("usage: node test/bench/Profile.ts FILE.cpuprofile [seconds [lines]]")
  else console.log(summary(file, Number(process.argv[3] ?? Number.POSITIVE_INFINITY), Number(process.argv[4] ?? 25)))
}
