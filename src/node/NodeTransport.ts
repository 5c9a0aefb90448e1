/**
 * The transport on Node: a `net.Server` whose connections are fibers, with synchronous writes straight to the socket.
 *
 * Each connection uses its `net.Socket` directly: reading pauses it while nobody pulls, so that backpressure reaches the
 * peer, and writing is a plain call. A media batch for a thousand viewers is handed to the kernel for a thousand sockets in
 * one turn of the event loop (`DirectWrite`).
 *
 * **Details**
 *
 * `TCP_NODELAY` is set, because the server merges writes itself, and TCP keep-alive, so that a peer that lost its
 * power is noticed even where nothing is to be sent.
 */

import * as Net from "node:net"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Connection, Endpoint, Listener, ListenOptions, ProxyProtocolOptions } from "../server/Transport.ts"
import { Transport, TransportError } from "../server/Transport.ts"
import * as DirectWrite from "./DirectWrite.ts"
import * as LentReads from "./LentReads.ts"
import { NodeCertificates } from "./NodeCertificates.ts"
import type { Certificates } from "./NodeTls.ts"
import { activatedSockets, rtmpSocketName, rtmpsSocketName } from "./SocketActivation.ts"

const nothing = new Uint8Array(0)

let viewed: Uint8Array = nothing
let view: Buffer = Buffer.alloc(0)

/**
 * The `Buffer` of an array. Node makes one for every write of anything else, which a batch for a thousand viewers needs
 * once; the last one is kept.
 */
const bufferOf = (bytes: Uint8Array): Buffer => {
  if (bytes !== viewed) {
    viewed = bytes
    view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }
  return view
}

const keepAliveInitialDelayMs = 30_000

/**
 * Makes a connection of a `net.Socket` that is paused. It takes over the events of the socket. `remote` is the client where
 * that is not the peer, `toError` says what an error of the socket means, and `lanes` write past the socket, which must
 * be a plain one; whoever handles the connection to its end then releases its lane. `inlet` is what the socket reads into, if
 * that is the shared buffer.
 */
export const makeConnection = (
  socket: Net.Socket,
  remote: Endpoint = peerOf(socket),
  toError: (cause: Error) => TransportError = brokeOff,
  lanes?: DirectWrite.Lanes,
  inlet?: LentReads.Inlet
): Connection => {
  const lane = lanes?.open(socket) ?? DirectWrite.none
  const direct = lanes === undefined || lane === DirectWrite.none ? undefined : { lanes, lane }
  return new NodeConnection(socket, remote, toError, direct, inlet)
}

/** A place among the sockets of a listener. */
interface Lane {
  readonly lanes: DirectWrite.Lanes
  readonly lane: number
}

/** Goes on where a flow has ended. */
type Flowing = (result: Effect.Effect<void, TransportError>) => void

const noChunks: Array<Uint8Array> = []

// What is read is lent. Not `slice`, which is a view where the array is a `Buffer`.
const copyOf = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes)

// An object with methods, not one with a closure for each: there are thousands of them.
class NodeConnection implements Connection {
  readonly remote: Endpoint
  readonly lane: Lane | undefined
  readonly pull: Connection["pull"]
  readonly #socket: Net.Socket
  readonly #toError: (cause: Error) => TransportError
  /** Who waits for the socket to drain by itself. */
  #waiting: Array<() => void> | undefined
  /** What has arrived while nobody took it. */
  #chunks = noChunks
  #error: TransportError | undefined
  #flowing: Flowing | undefined
  #take: ((bytes: Uint8Array) => boolean) | undefined
  /** Whether the socket is being read. */
  #isReading = false

  constructor(
    socket: Net.Socket,
    remote: Endpoint,
    toError: (cause: Error) => TransportError,
    lane?: Lane | undefined,
    inlet?: LentReads.Inlet | undefined,
    error?: TransportError
  ) {
    this.remote = remote
    this.lane = lane
    this.#socket = socket
    this.#toError = toError
    this.#error = error
    if (inlet === undefined) {
      socket.on("data", (chunk: Uint8Array) => {
        if (!this.#received(chunk)) socket.pause()
      })
    } else inlet.take = (bytes) => this.#received(bytes)
    const ended = (): void => this.#fail(closed)
    socket.on("end", ended)
    socket.on("error", (cause: Error) => this.#fail(toError(cause)))
    socket.on("close", ended)
    this.pull = Effect.suspend(() => {
      const chunks: Array<Uint8Array> = []
      const first = this.flow((chunk) => {
        chunks.push(copyOf(chunk))
        return false
      })
      return Effect.as(first, chunks)
    })
  }

  flow(take: (bytes: Uint8Array) => boolean): Effect.Effect<void, TransportError> {
    return Effect.callback((resume) => {
      this.#flow(resume, take)
      return Effect.sync(() => {
        this.#flowing = undefined
        this.#take = undefined
      })
    })
  }

  write(bytes: Uint8Array): boolean {
    const { lane } = this
    if (lane === undefined) return this.#writeSocket(bytes)
    const taken = lane.lanes.write(lane.lane, bytes)
    if (taken === bytes.length) return true
    return this.#writeSocket(taken > 0 ? bytes.subarray(taken) : bytes)
  }

  #writeSocket(bytes: Uint8Array): boolean {
    const socket = this.#socket
    if (!socket.writable) return true
    socket.write(bufferOf(bytes))
    // The return value of `write` compares with the high-water mark; this says whether the kernel took it all.
    return socket.writableLength === 0
  }

  bufferedBytes(): number {
    return this.#socket.writableLength
  }

  onDrain(callback: () => void): void {
    const socket = this.#socket
    if (socket.writableLength === 0) {
      setImmediate(() => {
        if (!socket.destroyed) callback()
      })
      return
    }
    // Past the high-water mark the socket tells by itself, for nothing.
    if (socket.writableNeedDrain) {
      if (this.#waiting === undefined) {
        this.#waiting = []
        socket.on("drain", () => this.#drained())
      }
      this.#waiting.push(callback)
      return
    }
    // Stands behind what is being written, without a callback on every write before it.
    socket.write(nothing, (error) => {
      if (error == null) callback()
    })
  }

  #drained(): void {
    const callbacks = this.#waiting!
    this.#waiting = []
    for (const callback of callbacks) callback()
  }

  end(): void {
    const { lane } = this
    if (lane !== undefined) lane.lanes.close(lane.lane)
    if (this.#socket.writable) this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /**
   * The socket is read while somebody takes what arrives, and stands still from the first chunk that nobody waited for: then
   * the receive window closes, and the peer waits. Gives back whether it is to be read on.
   */
  #received(chunk: Uint8Array): boolean {
    if (this.#take !== undefined) {
      this.#hand(chunk, this.#take)
      return true
    }
    if (this.#chunks === noChunks) this.#chunks = []
    this.#chunks.push(copyOf(chunk))
    this.#isReading = false
    return false
  }

  #fail(failure: TransportError): void {
    this.#error ??= failure
    this.#endFlow(Effect.fail(this.#error))
  }

  /** Gives a chunk to whoever lets it flow; gives back whether there may be more. */
  #hand(chunk: Uint8Array, take: (bytes: Uint8Array) => boolean): boolean {
    let result: Effect.Effect<void> = Effect.void
    try {
      if (take(chunk)) return true
    } catch (defect) {
      result = Effect.die(defect)
    }
    this.#endFlow(result)
    return false
  }

  #endFlow(result: Effect.Effect<void, TransportError>): void {
    const resume = this.#flowing
    this.#flowing = undefined
    this.#take = undefined
    resume?.(result)
  }

  #flow(resume: Flowing, take: (bytes: Uint8Array) => boolean): void {
    this.#flowing = resume
    while (this.#chunks.length > 0) {
      const chunk = this.#chunks.shift()!
      if (!this.#hand(chunk, take)) return
    }
    const end = this.#end
    if (end !== undefined) {
      this.#endFlow(Effect.fail(end))
      return
    }
    this.#take = take
    if (this.#isReading) return
    this.#isReading = true
    this.#socket.resume()
  }

  /** Why nothing more comes; an error that has destroyed the socket is told by its events a moment later. */
  get #end(): TransportError | undefined {
    if (this.#error !== undefined) return this.#error
    const { destroyed, errored } = this.#socket
    if (!destroyed) return undefined
    return errored == null ? closed : this.#toError(errored)
  }
}

/**
 * Opens a TCP listener; the contract is that of `Transport`.
 *
 * The `net.Server` is used as it is: `effect/socket` would give every connection a socket with a scope, a latch and two
 * fibers of its own, of which nothing is used here, and hundreds of viewers that join at once would wait for them.
 *
 * `certificates` is what a secure listener shows to clients.
 */
export const listen = (
  options: ListenOptions,
  handle: (connection: Connection) => Effect.Effect<void>,
  certificates?: Certificates
): Effect.Effect<Listener, TransportError, Scope.Scope> =>
  Effect.gen(function* () {
    const runFork = Effect.runForkWith(yield* Effect.context<never>())
    const lanes = new DirectWrite.Lanes()
    const connect = options.secure === true ? yield* secured(options, certificates) : plain(lanes)
    const door = options.proxyProtocol === undefined ? undefined : yield* doorFor(options.proxyProtocol)
    const serving = new Map<Connection, Fiber.Fiber<void>>()
    const server = Net.createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveInitialDelayMs,
      pauseOnConnect: true
    })
    const serve = (connection: Connection): void => {
      const fiber = runFork(handle(connection))
      serving.set(connection, fiber)
      fiber.addObserver(() => {
        serving.delete(connection)
        connection.destroy()
        if (connection.lane !== undefined) lanes.release(connection.lane.lane)
      })
    }
    server.on("connection", (socket) => {
      if (door === undefined || !door.isTrusted(socket.remoteAddress)) serve(connect(socket))
      else {
        const direct = peerOf(socket)
        door.ask(socket, direct, (answer) => {
          serve("error" in answer ? refused(socket, direct, answer.error) : connect(socket, answer.remote))
        })
      }
    })
    const died = Deferred.makeUnsafe<TransportError>()
    let closing = false
    // Takes effect at once, and reports back only when the last connection is gone: not waited for.
    const close = Effect.sync(() => {
      closing = true
      server.close()
    })
    yield* Effect.acquireRelease(open(server, options), () =>
      Effect.andThen(
        close,
        Effect.suspend(() => {
          door?.close()
          return Fiber.interruptAll([...serving.values()])
        })
      )
    )
    const check = (detail: string): void => {
      if (closing || server.listening) return
      Deferred.doneUnsafe(died, Exit.succeed(new TransportError({ reason: "ListenFailed", detail })))
    }
    // Once it is open, a failure is mostly one of accepting: a connection is lost, and the listener goes on.
    server.on("error", (error) => check(`the listener failed (${code(error)})`))
    server.on("close", () => check("the listener closed by itself"))
    return {
      address: endpoint(server.address()),
      close,
      died: Deferred.await(died),
      waiting: () => door?.waiting() ?? 0
    }
  })

/** Starts to listen. */
const open = (server: Net.Server, options: ListenOptions): Effect.Effect<void, TransportError> =>
  Effect.callback((resume) => {
    const failed = (error: Error): void => resume(Effect.fail(listenError(error, options)))
    server.once("error", failed)
    const { backlog, fd, host, port } = options
    server.listen(fd === undefined ? { host, port, backlog } : { fd, backlog }, () => {
      server.removeListener("error", failed)
      resume(Effect.void)
    })
    return Effect.sync(() => {
      server.close()
    })
  })

/** What makes connections in the clear. A socket on which a load balancer was asked has been read, and stays what it is. */
const plain =
  (lanes: DirectWrite.Lanes) =>
  (accepted: Net.Socket, remote?: Endpoint): Connection => {
    if (remote !== undefined) return makeConnection(accepted, remote, brokeOff, lanes)
    const inlet: LentReads.Inlet = { take: () => false }
    const socket = LentReads.adopt(accepted, inlet)
    return makeConnection(socket, peerOf(socket), brokeOff, lanes, socket === accepted ? undefined : inlet)
  }

/** What makes secure connections. */
const secured = Effect.fnUntraced(function* (options: ListenOptions, certificates: Certificates | undefined) {
  if (certificates === undefined) {
    const detail = `cannot speak TLS on ${options.host}:${options.port}: there are no certificates (NodeCertificates)`
    return yield* new TransportError({ reason: "ListenFailed", detail })
  }
  const NodeTls = yield* Effect.promise(() => import("./NodeTls.ts"))
  return (socket: Net.Socket, remote: Endpoint = peerOf(socket)): Connection =>
    NodeTls.makeConnection(socket, remote, certificates, makeConnection)
})

/** What asks load balancers whose their connections are, where any are trusted. */
const doorFor = Effect.fnUntraced(function* (options: ProxyProtocolOptions) {
  if (options.trusted.length === 0) return undefined
  const NodeProxyProtocol = yield* Effect.promise(() => import("./NodeProxyProtocol.ts"))
  return yield* Effect.fromResult(NodeProxyProtocol.make(options))
})

/** A connection that is over before it began. */
const refused = (socket: Net.Socket, remote: Endpoint, error: TransportError): Connection =>
  new NodeConnection(socket, remote, brokeOff, undefined, undefined, error)

/** The transport of Node: TCP through libuv, and TLS where `NodeCertificates` is in the environment. */
export const layer: Layer.Layer<Transport> = Layer.effect(
  Transport,
  Effect.map(Effect.serviceOption(NodeCertificates), (option) => {
    const certificates = Option.getOrUndefined(option)
    return { listen: (options, handle) => listen(options, handle, certificates) }
  })
)

/** The same, listening on the sockets that the service manager opened for RTMP and RTMPS, where it has (`LISTEN_FDS`). */
export const layerActivated: Layer.Layer<Transport> = Layer.effect(
  Transport,
  Effect.gen(function* () {
    const sockets = yield* activatedSockets
    const certificates = Option.getOrUndefined(yield* Effect.serviceOption(NodeCertificates))
    return {
      listen: (options, handle) => {
        const name = options.secure === true ? rtmpsSocketName : rtmpSocketName
        const fd = sockets.find((socket) => socket.name === name)?.fd
        return listen(fd === undefined ? options : { ...options, fd }, handle, certificates)
      }
    }
  })
)

const peerOf = (socket: Net.Socket): Endpoint => ({
  host: socket.remoteAddress ?? "unknown",
  port: socket.remotePort ?? 0
})

const endpoint = (address: string | Net.AddressInfo | null): Endpoint =>
  typeof address === "object" && address !== null
    ? { host: address.address, port: address.port }
    : { host: address ?? "unknown", port: 0 }

const brokeOff = (cause: Error): TransportError =>
  new TransportError({ reason: "Reset", detail: `the connection broke off (${code(cause)})`, cause })

// Every connection ends with one, and a stack trace would cost more than all the rest of the end.
const closed = new TransportError({ reason: "Closed", detail: "the peer closed the connection" })

const code = (cause: unknown): string => (cause instanceof Error && "code" in cause ? String(cause.code) : "unknown")

const listenError = (cause: Error, options: ListenOptions): TransportError => {
  const reason = code(cause)
  const where = `${options.host}:${options.port}`
  switch (reason) {
    case "EADDRINUSE":
      return new TransportError({ reason: "AddressInUse", detail: `${where} is in use by another program`, cause })
    case "EADDRNOTAVAIL":
      return new TransportError({
        reason: "AddressNotAvailable",
        detail: `this machine has no address ${where}`,
        cause
      })
    case "EACCES":
      return new TransportError({ reason: "PermissionDenied", detail: `no permission to listen on ${where}`, cause })
    default:
      return new TransportError({ reason: "ListenFailed", detail: `cannot listen on ${where} (${reason})`, cause })
  }
}
