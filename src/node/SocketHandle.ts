/**
 * The handle under a `net.Socket`, for the two things that a media server needs and Node does not offer: the descriptor to
 * write to (`DirectWrite`), and an end of reading that takes effect at once.
 *
 * Node documents neither. Where a future one has them no more, nothing is done, and all goes the usual way.
 */
import type * as Net from "node:net"

/** What is known of a handle. */
interface Handle {
  readonly fd?: unknown
  readonly readStart?: unknown
  readonly readStop?: unknown
}

const handleOf = (socket: Net.Socket): Handle | undefined => {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined
  return typeof handle === "object" && handle !== null ? handle : undefined
}

/** The descriptor of a socket; -1 where it has none, as on Windows and after its end. */
export const descriptorOf = (socket: Net.Socket): number => {
  const fd = handleOf(socket)?.fd
  return typeof fd === "number" ? fd : -1
}

/** Makes bytes that arrive wake nobody, until `startReading`: unlike `Socket.pause`, which reads on until 64 KiB wait. */
export const stopReading = (socket: Net.Socket): void => {
  const handle = handleOf(socket)
  if (typeof handle?.readStop === "function") handle.readStop()
}

/** Takes `stopReading` back. The state of the stream has not changed meanwhile, and takes no notice. */
export const startReading = (socket: Net.Socket): void => {
  const handle = handleOf(socket)
  if (typeof handle?.readStart === "function") handle.readStart()
}
