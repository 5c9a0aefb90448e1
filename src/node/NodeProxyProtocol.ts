/**
 * The PROXY protocol on sockets: asks connections from trusted networks whose they are before anybody else sees them.
 * Loaded only where somebody is trusted.
 */
import type * as Net from "node:net"
import * as IpNetwork from "effect/net/IpNetwork"
import * as Result from "effect/Result"
import * as Address from "../access/Address.ts"
import * as ProxyProtocol from "../server/ProxyProtocol.ts"
import type { Endpoint, ProxyProtocolOptions } from "../server/Transport.ts"
import { TransportError } from "../server/Transport.ts"

/** What came of a connection from a load balancer: whose it is, or why that is not known. */
export type ProxyAnswer = { readonly remote: Endpoint } | { readonly error: TransportError }

// A balancer sends the header at once; its specification asks for three seconds at least, for a lost packet.
const headerTimeoutMs = 5_000

const usualMaxWaiting = 1_024

/** Asks connections that come from trusted networks. */
export interface ProxyDoor {
  /** Whether a peer is trusted, so that it has to say whose the connection is. */
  readonly isTrusted: (remoteAddress: string | undefined) => boolean
  /**
   * Reads the header from a paused socket, and calls back with what it says; the socket is paused again then, with what
   * came behind the header put back. Not called where the balancer closes without a word, as its health check does.
   */
  readonly ask: (socket: Net.Socket, direct: Endpoint, answer: (answer: ProxyAnswer) => void) => void
  /** How many have not said whose they are. */
  readonly waiting: () => number
  /** Drops all connections that have not said whose they are. */
  readonly close: () => void
}

/** Makes a door; fails for a network that is none. A header must be whole within `timeoutMs`. */
export const make = (
  options: ProxyProtocolOptions,
  timeoutMs: number = headerTimeoutMs
): Result.Result<ProxyDoor, TransportError> => {
  const networks: Array<IpNetwork.IpNetwork> = []
  for (const text of options.trusted) {
    const network = Address.parseNetwork(text)
    if (network === undefined) {
      const detail = `the PROXY protocol is to be trusted from ${JSON.stringify(text)}, which is no network`
      return Result.fail(new TransportError({ reason: "ListenFailed", detail }))
    }
    networks.push(network)
  }
  const pending = new Set<Net.Socket>()
  return Result.succeed({
    isTrusted: (remoteAddress) => {
      const address = remoteAddress === undefined ? undefined : Address.parse(remoteAddress)
      return address !== undefined && networks.some((network) => IpNetwork.contains(network, address))
    },
    ask: (socket, direct, answer) => {
      if (pending.size >= (options.maxWaiting ?? usualMaxWaiting)) {
        socket.destroy()
        return
      }
      pending.add(socket)
      ask(socket, direct, timeoutMs, (said) => {
        pending.delete(socket)
        if (said !== undefined) answer(said)
      })
    },
    waiting: () => pending.size,
    close: () => {
      for (const socket of pending) socket.destroy()
    }
  })
}

const refused = (detail: string): ProxyAnswer => ({
  error: new TransportError({ reason: "ProxyRefused", detail })
})

const ask = (
  socket: Net.Socket,
  direct: Endpoint,
  timeoutMs: number,
  answer: (answer: ProxyAnswer | undefined) => void
): void => {
  const reader = new ProxyProtocol.ProxyReader()
  let received = 0
  const finish = (said: ProxyAnswer | undefined, rest?: Uint8Array): void => {
    clearTimeout(deadline)
    socket.off("data", read)
    socket.off("close", gone)
    socket.off("end", ended)
    socket.pause()
    if (rest !== undefined && rest.length > 0) socket.unshift(rest)
    answer(said)
  }
  const read = (bytes: Uint8Array): void => {
    received += bytes.length
    const progress = reader.push(bytes)
    if (Result.isFailure(progress)) finish(refused(progress.failure.message))
    else if (progress.success !== undefined) {
      const { header, rest } = progress.success
      finish({ remote: clientOf(header) ?? direct }, rest)
    }
  }
  const gone = (): void => finish(undefined)
  const ended = (): void => finish(received === 0 ? undefined : refused("the header breaks off"))
  const deadline = setTimeout(() => {
    finish(refused(received === 0 ? "no PROXY protocol header came in time" : "the header was not whole in time"))
  }, timeoutMs)
  // What is to be said about it, the close event says; whoever takes over listens too.
  socket.on("error", () => {})
  socket.on("close", gone)
  socket.on("end", ended)
  socket.on("data", read)
  socket.resume()
}

/** The client that a header names, if it names one that has an address. */
const clientOf = ({ source, transport }: ProxyProtocol.ProxyHeader): Endpoint | undefined =>
  transport === "stream" && source?._tag === "Ip" ? { host: source.host, port: source.port } : undefined
