/** Makes a failing input smaller while it fails in the same way. */
import { kindOf, type Layer } from "./Layer.ts"

/** What an input fails with; `undefined` where all is well. */
export const failureOf = async (layer: Layer, input: Uint8Array): Promise<{ readonly error: unknown } | undefined> => {
  try {
    await layer.check(input)
    return undefined
  } catch (error) {
    return { error }
  }
}

const without = (bytes: Uint8Array, from: number, count: number): Uint8Array => {
  const out = new Uint8Array(bytes.length - count)
  out.set(bytes.subarray(0, from))
  out.set(bytes.subarray(from + count), from)
  return out
}

/**
 * Takes parts away, half of the input down to a byte, and then sets bytes to 0, until nothing more can go or the time
 * is over.
 */
export const minimise = async (layer: Layer, input: Uint8Array, budgetMs = 20_000): Promise<Uint8Array> => {
  const first = await failureOf(layer, input)
  if (first === undefined) return input
  const kind = kindOf(first.error)
  const deadline = performance.now() + budgetMs
  const fails = async (candidate: Uint8Array): Promise<boolean> => {
    const failure = await failureOf(layer, candidate)
    return failure !== undefined && kindOf(failure.error) === kind
  }
  let best = input
  for (let size = Math.max(1, best.length >> 1); ; size = Math.max(1, size >> 1)) {
    let shrunk = false
    for (let at = best.length - size; at >= 0; at -= size) {
      if (performance.now() > deadline) return best
      const candidate = without(best, at, size)
      if (!(await fails(candidate))) continue
      best = candidate
      shrunk = true
    }
    if (size === 1 && !shrunk) break
  }
  for (let at = 0; at < best.length && performance.now() < deadline; at++) {
    if (best[at] === 0) continue
    const candidate = best.slice()
    candidate[at] = 0
    if (await fails(candidate)) best = candidate
  }
  return best
}
