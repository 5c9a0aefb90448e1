/**
 * Sockets that the service manager opened before this process began: `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` of
 * systemd (`sd_listen_fds(3)`), which `systemd-socket-activate` and other supervisors speak too.
 *
 * This reads what was handed over. It opens, listens on and closes nothing: a descriptor goes to a listener of the
 * transport (`net.Server.listen({ fd })`), which owns it from then on.
 *
 * **Gotchas**
 *
 * `LISTEN_PID` must be this very process. Under `npm start` the descriptors belong to npm, and there are none here: a unit
 * starts Node itself.
 */
import process from "node:process"
import * as Effect from "effect/Effect"

/** The name under which the socket unit hands over the port for RTMP (`SocketActivation.ActivatedSocket.name`). */
export const rtmpSocketName = "rtmp"

/** The name of the port for RTMPS, likewise. */
export const rtmpsSocketName = "rtmps"

/** A socket that was handed over: its file descriptor, and the name that its unit gave it (`FileDescriptorName=`). */
export interface ActivatedSocket {
  readonly fd: number
  readonly name: string
}

/** Environment variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The name under which a unit hands over a descriptor that is connected to the notification socket
 * (`OpenFile=…:notify`, systemd 253). It is no listener.
 */
export const notifyName = "notify"

// Descriptors are handed over without gaps from here on (SD_LISTEN_FDS_START).
const firstFd = 3

// More would be a mistake in the environment, not a unit.
const maxSockets = 1024

/**
 * Reads all descriptors that an environment hands to the process `pid`, in the order of the unit. Variables that are
 * missing, broken or meant for another process give none; a descriptor without a name is called `unknown`.
 */
export const fromEnvironment = (env: Environment, pid: number): ReadonlyArray<ActivatedSocket> => {
  if (env.LISTEN_PID !== String(pid)) return []
  const count = /^\d{1,4}$/.test(env.LISTEN_FDS ?? "") ? Math.min(Number(env.LISTEN_FDS), maxSockets) : 0
  const names = env.LISTEN_FDNAMES?.split(":") ?? []
  return Array.from({ length: count }, (_, index) => ({ fd: firstFd + index, name: names[index] || "unknown" }))
}

/** The listening sockets among the descriptors of an environment: all but the one for notifications. */
export const listeners = (env: Environment, pid: number): ReadonlyArray<ActivatedSocket> =>
  fromEnvironment(env, pid).filter((socket) => socket.name !== notifyName)

/** The listening sockets that were handed to this process; empty when it was started without. */
export const activatedSockets: Effect.Effect<ReadonlyArray<ActivatedSocket>> = Effect.sync(() =>
  listeners(process.env, process.pid)
)
