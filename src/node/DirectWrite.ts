/**
 * Writing to a TCP socket through its descriptor, past the layers of streams above it.
 *
 * A batch for a thousand viewers is a thousand writes in a row, each to a socket that nobody has touched for a while. By way
 * of `Socket.write` each of them loads the socket, the state of its stream, its handle, and libuv's part of it, and makes
 * a request object; that is a third of what the system call itself takes. A descriptor is a number, and `fs.writeSync` a
 * system call. What the kernel does not take at once goes the usual way, and so does all that follows until it is sent.
 *
 * **Gotchas**
 *
 * A descriptor is used again as soon as it is closed, perhaps for another client. So it is forgotten before the socket
 * closes it, however that comes about: a `net.Socket` closes its handle in `_destroy` and nowhere else. A socket that
 * encrypts must never be written to like this.
 */
import * as Fs from "node:fs"
import type * as Net from "node:net"

/** Writes to one socket. */
export interface DirectWrite {
  /**
   * Writes at once what the kernel takes. Gives the number of bytes that it took, or -1 where the socket cannot be written to
   * in this way, now or at all, and nothing was.
   */
  readonly write: (bytes: Uint8Array) => number
  /** Gives up the descriptor, before the end of the stream is sent. */
  readonly close: () => void
}

// Where a socket has no descriptor: on Windows, and where there is no handle any more.
const none = -1

const descriptorOf = (socket: Net.Socket): number => {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined
  if (typeof handle !== "object" || handle === null || !("fd" in handle)) return none
  return typeof handle.fd === "number" ? handle.fd : none
}

/** Takes the descriptor of a plain, connected socket, to which nothing has been written yet. */
export const make = (socket: Net.Socket): DirectWrite => {
  let descriptor = descriptorOf(socket)
  /** Whether what the kernel did not take waits in the socket. */
  let behind = false
  const { _destroy } = socket
  socket._destroy = function (error, callback) {
    descriptor = none
    _destroy.call(this, error, callback)
  }
  return {
    write: (bytes) => {
      if (descriptor === none) return none
      if (behind) {
        if (socket.writableLength > 0) return none
        behind = false
      }
      let taken = 0
      try {
        taken = Fs.writeSync(descriptor, bytes)
      } catch (error) {
        if (!isFull(error)) {
          // The peer is gone. The socket might read that as an orderly end, as the error is told only once.
          descriptor = none
          socket.destroy(error instanceof Error ? error : undefined)
          return bytes.length
        }
      }
      behind = taken < bytes.length
      return taken
    },
    close: () => {
      descriptor = none
    }
  }
}

const isFull = (error: unknown): boolean =>
  error instanceof Error && "code" in error && (error.code === "EAGAIN" || error.code === "EWOULDBLOCK")
