/**
 * Work that can wait, a little in each turn of the event loop.
 *
 * When hundreds of viewers join within a second, each is given megabytes of cached media. Written as fast as the sockets
 * take them, they would keep the next joiner waiting; so their pieces stand in one queue, of which each turn does a few,
 * and new connections are served between turns. While they are still coming, turns are even passed over.
 */

/** A queue of callbacks. */
export interface Turns {
  /** Calls back in a later turn, after those that wait already. The callback must not throw. */
  readonly later: (callback: () => void) => void
  /** Tells that something more urgent was done since the last turn: the next one is passed over, within bounds. */
  readonly giveWay: () => void
  /** Calls back at once, in order, all that wait. */
  readonly flush: () => void
}

// One, so that a connection that is being opened waits for little more than a tenth of a millisecond; turns that have
// nothing else to do follow one another at once.
const defaultPerTurn = 1

// So many turns in a row are passed over at most: what waits must get on, however many connections keep coming.
const maxPassedOver = 64

// Lets input and output have their turn in between, which a microtask or a timer of 0 ms might not.
const nextTurn = (callback: () => void): void => {
  if (typeof setImmediate === "function") setImmediate(callback)
  else setTimeout(callback, 0)
}

/** Makes a queue that calls `perTurn` callbacks in each turn; `schedule` is what a turn is. */
export const make = (perTurn: number = defaultPerTurn, schedule: (callback: () => void) => void = nextTurn): Turns => {
  let waiting: Array<() => void> = []
  let at = 0
  let scheduled = false
  let urgent = false
  let passedOver = 0
  const turn = (): void => {
    scheduled = false
    if (urgent && passedOver < maxPassedOver) {
      urgent = false
      passedOver++
      go()
      return
    }
    urgent = false
    passedOver = 0
    const end = Math.min(at + perTurn, waiting.length)
    while (at < end) waiting[at++]!()
    if (at < waiting.length) {
      // What is done must not be kept alive by what is not, nor be moved in every turn.
      if (at >= 1024) {
        waiting = waiting.slice(at)
        at = 0
      }
      go()
      return
    }
    waiting = []
    at = 0
  }
  const go = (): void => {
    if (scheduled) return
    scheduled = true
    schedule(turn)
  }
  return {
    later: (callback) => {
      waiting.push(callback)
      go()
    },
    giveWay: () => {
      urgent = true
    },
    flush: () => {
      while (at < waiting.length) waiting[at++]!()
      waiting = []
      at = 0
    }
  }
}
