/**
 * Long runs of the fuzzer.
 *
 *     node test/fuzz/main.ts --layer chunks --count 10000000 --seed 1 --workers 2
 *
 * `--layer all` (the default) takes one layer after the other. `--seconds` ends each layer after that time. Input number
 * i of a seed is always the same, so `--from` goes on where a run ended, and `--from i --count 1` repeats one. What fails
 * is made smaller and kept in `test/fixtures/fuzz/<layer>/`, which the tests replay.
 */
import { createHash } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { Worker } from "node:worker_threads"
import { layerOf, layers } from "./Layers.ts"
import { Random } from "./Random.ts"
import type { Report, Task } from "./Worker.ts"

const { values } = parseArgs({
  options: {
    layer: { type: "string", default: "all" },
    count: { type: "string", default: "10000000" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
    workers: { type: "string", default: "1" },
    seconds: { type: "string", default: "0" }
  }
})

const number = (name: "count" | "seed" | "from" | "workers" | "seconds", least: number): number => {
  const value = Number(values[name])
  if (!Number.isSafeInteger(value) || value < least) throw new Error(`--${name} takes an integer from ${least} on`)
  return value
}

const count = number("count", 1)
const seed = number("seed", 0)
const from = number("from", 0)
const workers = number("workers", 1)
const seconds = number("seconds", 0)

/** A worker that has been at one input for so many seconds does not come back. */
const hangSeconds = 20

const keep = (layer: string, input: Uint8Array): string => {
  const folder = new URL(`../fixtures/fuzz/${layer}/`, import.meta.url)
  mkdirSync(folder, { recursive: true })
  const name = `${createHash("sha256").update(input).digest("hex").slice(0, 12)}.bin`
  writeFileSync(new URL(name, folder), input)
  return `test/fixtures/fuzz/${layer}/${name}`
}

const rate = (done: number, startedMs: number): string =>
  `${Math.round(done / ((performance.now() - startedMs) / 1000)).toLocaleString("en-US")} a second`

/** Runs one layer; true where nothing failed. */
const fuzz = async (layer: string): Promise<boolean> => {
  layerOf(layer)
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const startedMs = performance.now()
  const shares = Array.from({ length: workers }, (_, i) => {
    const progress = new Float64Array(new SharedArrayBuffer(16))
    progress[1] = -1
    const share = Math.floor(count / workers) + (i < count % workers ? 1 : 0)
    const task: Task = { layer, seed, from: from + i, count: share, stride: workers, progress, stop }
    return { worker: new Worker(new URL("Worker.ts", import.meta.url), { workerData: task }), progress }
  })
  const total = () => shares.reduce((sum, { progress }) => sum + progress[0]!, 0)
  const printing = setInterval(() => {
    const memory = Math.round(process.memoryUsage.rss() / 1048576)
    console.log(`${layer}: ${total().toLocaleString("en-US")} inputs, ${rate(total(), startedMs)}, ${memory} MiB`)
  }, 10_000)
  const ending = seconds === 0 ? undefined : setTimeout(() => Atomics.store(stop, 0, 1), seconds * 1000)
  let clean = true
  const finished = shares.map(
    ({ progress, worker }) =>
      new Promise<void>((resolve, reject) => {
        let at = progress[1]!
        // Looks rather than time: while the process is stopped, nobody looks.
        let looks = 0
        const watching = setInterval(() => {
          if (progress[1] !== at || at === -1) {
            at = progress[1]!
            looks = 0
          } else if (++looks > hangSeconds) {
            clean = false
            const input = layerOf(layer).generate(new Random().start(seed, at))
            console.log(`${layer}: input ${at} of seed ${seed} hangs, kept as ${keep(layer, input)}`)
            void worker.terminate()
          }
        }, 1000)
        worker.on("message", (report: Report) => {
          if (report._tag === "Clean") return
          clean = false
          Atomics.store(stop, 0, 1)
          console.log(`${layer}: input ${report.index} of seed ${seed} fails, ${report.error}`)
          console.log(
            `${layer}: ${report.input.length} bytes, made ${report.minimised.length}, kept as ${keep(layer, report.minimised)}`
          )
        })
        worker.on("error", reject)
        worker.on("exit", () => {
          clearInterval(watching)
          resolve()
        })
      })
  )
  await Promise.all(finished)
  clearInterval(printing)
  clearTimeout(ending)
  const done = total()
  console.log(
    `${layer}: ${clean ? "clean" : "FAILED"}, seed ${seed}, inputs ${from} to ${from + done - 1}, ${done.toLocaleString("en-US")} in all, ${rate(done, startedMs)}`
  )
  return clean
}

for (const name of values.layer === "all" ? layers.map((layer) => layer.name) : [values.layer]) {
  if (!(await fuzz(name))) process.exitCode = 1
}
