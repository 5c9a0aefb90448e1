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

// A lane is a place, and how often that place had been given away before: who still holds the lane of a connection that is
// gone does not write to the one that has its place now.
const placeBits = 16
const placeMask = (1 << placeBits) - 1
const turnMask = (1 << 15) - 1

/** Writes to the sockets of a listener, each by its lane. Beyond 65,536 at the same time sockets have none. */
export class Lanes implements BatchLanes {
  #descriptors = new Int32Array(64).fill(none)
  #turns = new Uint16Array(64)
  readonly #sockets: Array<Net.Socket | undefined> = []
  readonly #released: Array<number> = []

  /** Gives a plain, connected socket, to which nothing has been written yet, a lane; `none` where that cannot be. */
  open(socket: Net.Socket): number {
    const descriptor = descriptorOf(socket)
    if (descriptor === none) return none
    const place = this.#released.pop() ?? this.#sockets.length
    if (place > placeMask) return none
    if (place >= this.#descriptors.length) this.#grow()
    this.#descriptors[place] = descriptor
    this.#sockets[place] = socket
    const lane = (this.#turns[place]! << placeBits) | place
    const { _destroy } = socket
    socket._destroy = (error, callback) => {
      this.close(lane)
      _destroy.call(socket, error, callback)
    }
    return lane
  }

  /**
   * Writes at once what the kernel takes. Gives the number of bytes that it took, or -1 where the socket cannot be written to
   * in this way, now or at all, and nothing was. Who gets less than all must hand the rest to the socket.
   */
  write(lane: number, bytes: Uint8Array): number {
    const place = lane & placeMask
    if (this.#turns[place] !== lane >>> placeBits) return none
    let descriptor = this.#descriptors[place]!
    if (descriptor < 0) {
      if (descriptor === none || this.#sockets[place]!.writableLength > 0) return none
      descriptor = behind(descriptor)
      this.#descriptors[place] = descriptor
    }
    const { length } = bytes
    let taken = 0
    try {
      taken = Fs.writeSync(descriptor, bytes, 0, length, null)
    } catch (error) {
      if (!isFull(error)) {
        // The peer is gone. The socket might read that as an orderly end, as the error is told only once.
        this.#descriptors[place] = none
        this.#sockets[place]!.destroy(error instanceof Error ? error : undefined)
        return length
      }
    }
    if (taken < length) this.#descriptors[place] = behind(descriptor)
    return taken
  }

  /** Gives up the descriptor, before the end of the stream is sent. */
  close(lane: number): void {
    const place = lane & placeMask
    if (this.#turns[place] === lane >>> placeBits) this.#descriptors[place] = none
  }

  /** Gives the place of a lane to the next socket. Nobody can write to the lane any more. */
  release(lane: number): void {
    const place = lane & placeMask
    if (this.#turns[place] !== lane >>> placeBits) return
    this.#descriptors[place] = none
    this.#turns[place] = (this.#turns[place]! + 1) & turnMask
    this.#sockets[place] = undefined
    this.#released.push(place)
  }

  #grow(): void {
    const descriptors = new Int32Array(2 * this.#descriptors.length).fill(none)
    descriptors.set(this.#descriptors)
    this.#descriptors = descriptors
    const turns = new Uint16Array(descriptors.length)
    turns.set(this.#turns)
    this.#turns = turns
  }
}

// What libuv takes for "try again", too: BSD and macOS say that buffers are short where Linux says that the socket is full.
const fullCodes: ReadonlySet<unknown> = new Set(["EAGAIN", "EWOULDBLOCK", "ENOBUFS"])

const isFull = (error: unknown): boolean => error instanceof Error && "code" in error && fullCodes.has(error.code)
