/** Runs a layer over a range of inputs, and stops at the first that fails. */
import type { Layer } from "./Layer.ts"
import { failureOf } from "./Minimise.ts"
import { Random } from "./Random.ts"

/** An input that failed: number `index` of `seed`. */
export interface Failure {
  readonly index: number
  readonly input: Uint8Array
  readonly error: unknown
}

/**
 * A single input may take this long, in milliseconds: thousands of times what the slowest legitimate one takes, so that
 * a busy machine is no failure, and what takes quadratic time is.
 */
export const stepBudgetMs = 2_000

/** Fails where an input takes too long again: the process may have been stopped meanwhile, or starved. */
const timeAgain = async (layer: Layer, input: Uint8Array): Promise<void> => {
  const startedMs = performance.now()
  await layer.check(input)
  const tookMs = performance.now() - startedMs
  if (tookMs > stepBudgetMs) throw new Error(`took ${Math.round(tookMs)} ms`)
}

/**
 * Checks `count` inputs of `seed`, from number `from` on in steps of `stride`. `tick` is called with the number of each
 * input before it is checked; where it gives true the run ends.
 */
export const run = async (
  layer: Layer,
  seed: number,
  from: number,
  count: number,
  stride = 1,
  tick: (index: number, done: number) => boolean = () => false
): Promise<{ readonly done: number; readonly failure: Failure | undefined }> => {
  const random = new Random()
  const { stackTraceLimit } = Error
  // Most inputs end in a typed error, and half of the time would go into stacks that nobody reads.
  Error.stackTraceLimit = 0
  try {
    for (let done = 0; done < count; done++) {
      const index = from + done * stride
      if (tick(index, done)) return { done, failure: undefined }
      const input = layer.generate(random.start(seed, index))
      const startedMs = performance.now()
      try {
        const pending = layer.check(input)
        if (pending !== undefined) await pending
        if (performance.now() - startedMs > stepBudgetMs) await timeAgain(layer, input)
      } catch (error) {
        Error.stackTraceLimit = stackTraceLimit
        return { done, failure: { index, input, error: (await failureOf(layer, input))?.error ?? error } }
      }
    }
    return { done: count, failure: undefined }
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
