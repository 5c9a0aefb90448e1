/** A publisher and a viewer beside whom something breaks, and who must lose nothing. */
import { setTimeout as sleep } from "node:timers/promises"
import { assert } from "@effect/vitest"
import { nothingSeen, Publisher, type Seen, Viewer } from "../bench/SoakClients.ts"

/** Waits until something holds. */
export const until = async (
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs = 20_000
): Promise<void> => {
  const deadlineMs = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${withinMs} ms: ${what}`)
    await sleep(20)
  }
}

/** A publisher and a viewer who check everything, until the returned function ends them and tells what they saw. */
export const witnesses = async (port: number, host?: string, stream = "good"): Promise<() => Promise<Seen>> => {
  const seen = nothingSeen()
  const publisher = new Publisher(port, stream, seen, host)
  await until("the publisher is live", () => publisher.live)
  const viewer = new Viewer(port, publisher, seen, false, host)
  await until("the viewer sees something", () => viewer.frames > 10)
  return async () => {
    publisher.end("in order")
    await viewer.whenEnded()
    await publisher.whenEnded()
    return seen
  }
}

/** Checks that whatever was sent was received, once, whole and in order. */
export const nothingLost = ({
  complaints,
  corrupt,
  cutShort,
  disordered,
  framesReceived,
  lost,
  refused
}: Seen): void => {
  assert.deepStrictEqual([...complaints], [])
  assert.deepStrictEqual([lost, disordered, corrupt, cutShort, refused], [0, 0, 0, 0, 0])
  assert.isAbove(framesReceived, 10)
}
