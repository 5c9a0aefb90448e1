/** One worker of a long run: checks its share of the inputs, and says in shared memory where it stands. */
import { parentPort, workerData } from "node:worker_threads"
import { layerOf } from "./Layers.ts"
import { minimise } from "./Minimise.ts"
import { run } from "./Run.ts"

/** What a worker is given. `progress[0]` counts inputs done, `progress[1]` is the number of the one in hand, -1 for none. */
export interface Task {
  readonly layer: string
  readonly seed: number
  readonly from: number
  readonly count: number
  readonly stride: number
  readonly progress: Float64Array
  /** Not 0: stop. */
  readonly stop: Int32Array
}

/** What a worker says when it is done. */
export type Report =
  | { readonly _tag: "Clean"; readonly done: number }
  | {
      readonly _tag: "Failed"
      readonly done: number
      readonly index: number
      readonly error: string
      readonly input: Uint8Array
      readonly minimised: Uint8Array
    }

const task = workerData as Task
const layer = layerOf(task.layer)
const { done, failure } = await run(layer, task.seed, task.from, task.count, task.stride, (index, done) => {
  task.progress[0] = done
  task.progress[1] = index
  return (done & 63) === 0 && Atomics.load(task.stop, 0) !== 0
})
task.progress[0] = done
let report: Report = { _tag: "Clean", done }
if (failure !== undefined) {
  // Making it smaller takes its time, and is no hang.
  task.progress[1] = -1
  const { error, index, input } = failure
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  report = { _tag: "Failed", done, index, error: text, input, minimised: await minimise(layer, input) }
}
parentPort!.postMessage(report)
