/**
 * Writing to a TCP socket through its descriptor, past the layers of streams above it.
 *
 * A batch for a thousand viewers is a thousand writes in a row, each to a socket that nobody has touched for a while. By way
 * of `Socket.write` each of them loads the socket, the state of its stream, its handle, and libuv's part of it, and makes
 * a request object; that is a third of what the system call itself takes. A descriptor is a number, and `fs.writeSync` a
 * system call. What the kernel does not take at once goes the usual way, and so does all that follows until it is sent.
 *
 * The descriptors of all sockets stand in one array, and each socket has a place in it, its lane. A loop over lanes touches
 * a few neighbouring kilobytes where a loop over objects would wait for memory at each of them.
 *
 * **Gotchas**
 *
 * A descriptor is used again as soon as it is closed, perhaps for another client. So it is forgotten before the socket
 * closes it, however that comes about: a `net.Socket` closes its handle in `_destroy` and nowhere else. A socket that
 * encrypts must never be written to like this.
 */
import * as Fs from "node:fs"
import type * as Net from "node:net"
import type { BatchLanes } from "../live/ViewerSink.ts"

/** What `Lanes.open` gives where a socket has no descriptor: on Windows, and where there is no handle any more. */
export const none = -1

const descriptorOf = (socket: Net.Socket): number => {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined
  if (typeof handle !== "object" || handle === null || !("fd" in handle)) return none
  return typeof handle.fd === "number" ? handle.fd : none
}

// A descriptor is kept as a number below `none` while what the kernel did not take waits in its socket.
const behind = (descriptor: number): number => none - 1 - descriptor

/** Writes to the sockets of a listener, each by its lane. */
export class Lanes implements BatchLanes {
  #descriptors = new Int32Array(64).fill(none)
  readonly #sockets: Array<Net.Socket | undefined> = []
  readonly #released: Array<number> = []

  /** Gives a plain, connected socket, to which nothing has been written yet, a lane; `none` where that cannot be. */
  open(socket: Net.Socket): number {
    const descriptor = descriptorOf(socket)
    if (descriptor === none) return none
    const lane = this.#released.pop() ?? this.#sockets.length
    if (lane >= this.#descriptors.length) {
      const grown = new Int32Array(2 * this.#descriptors.length).fill(none)
      grown.set(this.#descriptors)
      this.#descriptors = grown
    }
    this.#descriptors[lane] = descriptor
    this.#sockets[lane] = socket
    const { _destroy } = socket
    socket._destroy = (error, callback) => {
      // It may be another's by now.
      if (this.#sockets[lane] === socket) this.close(lane)
      _destroy.call(socket, error, callback)
    }
    return lane
  }

  /**
   * Writes at once what the kernel takes. Gives the number of bytes that it took, or -1 where the socket cannot be written to
   * in this way, now or at all, and nothing was. Who gets less than all must hand the rest to the socket.
   */
  write(lane: number, bytes: Uint8Array): number {
    let descriptor = this.#descriptors[lane]!
    if (descriptor < 0) {
      if (descriptor === none || this.#sockets[lane]!.writableLength > 0) return none
      descriptor = behind(descriptor)
      this.#descriptors[lane] = descriptor
    }
    const { length } = bytes
    let taken = 0
    try {
      taken = Fs.writeSync(descriptor, bytes, 0, length, null)
    } catch (error) {
      if (!isFull(error)) {
        // The peer is gone. The socket might read that as an orderly end, as the error is told only once.
        this.close(lane)
        this.#sockets[lane]!.destroy(error instanceof Error ? error : undefined)
        return length
      }
    }
    if (taken < length) this.#descriptors[lane] = behind(descriptor)
    return taken
  }

  /** Gives up the descriptor, before the end of the stream is sent. */
  close(lane: number): void {
    this.#descriptors[lane] = none
  }

  /** The lane may be another socket's from now on: nobody writes to it any more, and its socket is destroyed. */
  release(lane: number): void {
    this.#descriptors[lane] = none
    this.#sockets[lane] = undefined
    this.#released.push(lane)
  }
}

const isFull = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "EAGAIN" || error.code === "EWOULDBLOCK")
