/**
 * Reading from accepted sockets into one buffer that all of them share.
 *
 * Node makes an array of 64 KiB for every read of an accepted socket, and takes it through its streams. For a publisher of 75
 * packets a second that is two thirds of what a packet costs in Node; at 50 Mbit/s it is what keeps the garbage collector busy.
 * `onread` is Node's way around both, but `net.Server` has no such option. So the handle of a socket that was accepted, and not
 * read yet, goes over to a new socket that has it.
 *
 * **Gotchas**
 *
 * - What was read is lent: the next read, of any socket, writes over it.
 * - That a socket can be made of a handle is what `net.Server` and `child_process` themselves rely on, and is in no manual. Where a
 *   socket shows no handle, it stays as it is.
 */
import * as Net from "node:net"

/** Where reads go; `take` gives back whether reading goes on, and must not throw. */
export interface Inlet {
  /** Takes what was read, until it returns. */
  take: (bytes: Uint8Array) => boolean
}

// The largest read that Node would make of a socket by itself.
const lent = new Uint8Array(64 * 1024)

/** The option of a socket that reads into the shared buffer. */
export const onread = (inlet: Inlet): Net.OnReadOpts => ({
  buffer: lent,
  callback: (length) => inlet.take(length === lent.length ? lent : lent.subarray(0, length))
})

/**
 * Gives a socket that was accepted with `pauseOnConnect` over to one that reads into the shared buffer once it is resumed, and
 * gives that back; the same socket where that cannot be.
 */
export const adopt = (accepted: Net.Socket, inlet: Inlet): Net.Socket => {
  const handle: unknown = "_handle" in accepted ? accepted._handle : undefined
  if (typeof handle !== "object" || handle === null) return accepted
  Object.assign(accepted, { _handle: null })
  // The types know a handle of another kind alone, and nothing of the other option.
  const options: object = { handle, pauseOnCreate: true, onread: onread(inlet) }
  const socket = new Net.Socket(options)
  // An empty shell, which the server still counts.
  accepted.destroy()
  return socket
}
