/**
 * Reading from publishers at intervals, instead of whenever a packet arrives.
 *
 * An encoder sends each frame and each piece of audio by itself, 75 times a second and more, and where viewers' writes are
 * merged anyway nobody gains by looking at each of them at once: waking up for it costs the server more than what is in
 * it. So the kernel collects meanwhile, and all publishers are read in the same turn of the event loop.
 */

/** Calls back at the next point of time that is a multiple of the interval; the callbacks of one point in one turn. */
export const make = (
  nowMs: () => number = () => performance.now(),
  schedule: (callback: () => void, delayMs: number) => void = (callback, delayMs) => setTimeout(callback, delayMs)
): ((intervalMs: number, callback: () => void) => void) => {
  const waiting = new Map<number, Array<() => void>>()
  return (intervalMs, callback) => {
    const known = waiting.get(intervalMs)
    if (known !== undefined) {
      known.push(callback)
      return
    }
    const callbacks = [callback]
    waiting.set(intervalMs, callbacks)
    schedule(
      () => {
        waiting.delete(intervalMs)
        for (const wake of callbacks) wake()
      },
      Math.ceil(intervalMs - (nowMs() % intervalMs))
    )
  }
}

/** The one of this process. */
export const atNext = make()
