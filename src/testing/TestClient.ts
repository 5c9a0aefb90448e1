/**
 * A client that does what a test tells it, and no more: for scripts that no well-behaved client would follow.
 *
 * It works over any `effect/socket` socket, over TCP or in memory (`MemorySocket`), shakes hands, sends commands,
 * messages or raw bytes, and waits for messages that match. It answers nothing by itself, no ping either. For a client
 * that just publishes or plays there is `RtmpClient`.
 *
 * ```ts
 * const client = yield* TestClient.make(socket)
 * yield* client.handshake
 * yield* client.connect("live")
 * const streamId = yield* client.createStream
 * yield* client.publish(streamId, "name")
 * yield* client.send(message)
 * yield* client.waitForClose
 * ```
 *
 * All that arrives is kept in `received`, and beside it in an inbox: waiting takes the first message there that matches,
 * arrived or yet to come, and leaves the others to be waited for. Times come from the `Clock` of the test.
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as NodeCrypto from "../node/NodeCrypto.ts"
import type { AmfValue } from "../protocol/amf/AmfValue.ts"
import * as Amf from "../protocol/amf/AmfValue.ts"
import * as ChunkReader from "../protocol/ChunkReader.ts"
import * as ChunkWriter from "../protocol/ChunkWriter.ts"
import * as ClientHandshake from "../protocol/ClientHandshake.ts"
import type { ReceivedStatus } from "../protocol/ClientSessionState.ts"
import * as Command from "../protocol/Command.ts"
import type { RtmpCryptoShape } from "../protocol/Crypto.ts"
import * as Message from "../protocol/Message.ts"

/**
 * Why a script did not go on.
 *
 * - `Timeout`: what was waited for did not come. `Closed`: the connection ended before it came.
 * - `Refused`: the server answered with an error; `code` says which.
 * - `Unreadable`: the handshake or the chunk stream of the server was invalid.
 */
export class TestClientError extends Data.TaggedError("TestClientError")<{
  readonly reason: "Timeout" | "Closed" | "Refused" | "Unreadable"
  readonly detail: string
  readonly code?: string
  readonly cause?: unknown
}> {
  /** One line for logs. */
  override get message(): string {
    return this.detail
  }
}

/**
 * How a test client is made; everything may be left out.
 *
 * - `timeout`: how long it waits where a call gives no time of its own; 5 seconds by default.
 * - `digest`: whether C1 carries a digest. `crypto`: random bytes and HMAC; those of Node.js by default.
 */
export interface TestClientOptions {
  /** How long to wait for anything. */
  readonly timeout?: Duration.Input
  /** Whether C1 carries a digest. */
  readonly digest?: boolean
  /** Random bytes and HMAC-SHA-256. */
  readonly crypto?: RtmpCryptoShape
}

/** Options of a command. A transaction id is counted up from 1 unless given; stream 0 and chunk stream 3 are the defaults. */
export interface CallOptions {
  /** Transaction id; 0 asks for no answer. */
  readonly transactionId?: number
  /** Message stream id. */
  readonly streamId?: number
  /** Chunk stream id. */
  readonly chunkStreamId?: number
}

/** A client under the control of a test. Made by `make`. */
export interface TestClient {
  /** Every message received so far, in order. */
  readonly received: ReadonlyArray<Message.Message>
  /** Bytes received so far, those of the handshake included. */
  readonly bytesReceived: () => number
  /** Shakes hands. To be called once; scripts that spoil the handshake use `sendRaw` instead. */
  readonly handshake: Effect.Effect<ClientHandshake.ClientHandshakeComplete, TestClientError>
  /** Sends bytes as they are. */
  readonly sendRaw: (bytes: Uint8Array) => Effect.Effect<void, TestClientError>
  /** Sends messages as they are. Set Chunk Size takes effect for the messages after it. */
  readonly send: (...messages: ReadonlyArray<Message.Message>) => Effect.Effect<void, TestClientError>
  /** Sends a command and gives its transaction id. `values` begin with the command object. */
  readonly call: (
    name: string,
    values: ReadonlyArray<AmfValue>,
    options?: CallOptions
  ) => Effect.Effect<number, TestClientError>
  /** Sends a command and waits for its `_result`; fails with `Refused` on an `_error`. */
  readonly request: (
    name: string,
    values: ReadonlyArray<AmfValue>,
    options?: CallOptions
  ) => Effect.Effect<Command.Command, TestClientError>
  /** Connects to an application, with further members of the command object where given. */
  readonly connect: (
    application: string,
    members?: Readonly<Record<string, AmfValue>>
  ) => Effect.Effect<Command.Command, TestClientError>
  /** Creates a message stream and gives its id. */
  readonly createStream: Effect.Effect<number, TestClientError>
  /** Publishes and waits for `NetStream.Publish.Start`; fails with `Refused` on a status of level error. */
  readonly publish: (streamId: number, name: string, type?: string) => Effect.Effect<ReceivedStatus, TestClientError>
  /** Plays and waits for `NetStream.Play.Start`; fails with `Refused` on a status of level error. */
  readonly play: (streamId: number, name: string) => Effect.Effect<ReceivedStatus, TestClientError>
  /** Shakes hands, connects and creates a stream, and gives its id. */
  readonly open: (application: string) => Effect.Effect<number, TestClientError>
  /** Takes the first message that matches, waiting for it if need be. */
  readonly waitFor: (
    predicate: (message: Message.Message) => boolean,
    timeout?: Duration.Input
  ) => Effect.Effect<Message.Message, TestClientError>
  /** Takes as many matching messages as asked for. */
  readonly waitForMany: (
    count: number,
    predicate: (message: Message.Message) => boolean,
    timeout?: Duration.Input
  ) => Effect.Effect<ReadonlyArray<Message.Message>, TestClientError>
  /** Takes the first command with this name. */
  readonly waitForCommand: (name: string, timeout?: Duration.Input) => Effect.Effect<Command.Command, TestClientError>
  /** Takes the first status with this code, and those of other codes in front of it. */
  readonly waitForStatus: (code: string, timeout?: Duration.Input) => Effect.Effect<ReceivedStatus, TestClientError>
  /** Waits until the server has closed the connection. */
  readonly waitForClose: Effect.Effect<void, TestClientError>
  /** Closes the sending side. What the server still sends is received. */
  readonly end: Effect.Effect<void>
}

/** Tells whether a message is a command with this name. */
export const isCommand =
  (name: string) =>
  (message: Message.Message): boolean =>
    commandOf(message)?.name === name

/** Tells whether a message is of this type. */
export const isType =
  (typeId: number) =>
  (message: Message.Message): boolean =>
    message.typeId === typeId

/**
 * Connects the socket and reads from it until the scope closes.
 *
 * Fails with `Closed` where the socket cannot be connected.
 */
export const make = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  options: TestClientOptions = {}
): Effect.fn.Return<TestClient, TestClientError, Scope.Scope> {
  const defaultTimeout = options.timeout ?? "5 seconds"
  const pull = yield* Effect.mapError(Socket.readerBytes(socket), lost)
  const writerScope = yield* Scope.fork(yield* Effect.scope)
  const writer = yield* Scope.provide(socket.writer, writerScope)
  const inbox = new Inbox()
  const reader = ChunkReader.make()
  const chunks = ChunkWriter.make()
  const shake = ClientHandshake.make({ crypto: options.crypto ?? NodeCrypto.make, digest: options.digest ?? false })
  let transaction = 0

  const write = (bytes: Uint8Array) => Effect.mapError(writer.write(bytes), lost)

  const waiting = <A>(what: string, effect: Effect.Effect<A, TestClientError>, timeout?: Duration.Input) =>
    Effect.timeoutOrElse(effect, {
      duration: timeout ?? defaultTimeout,
      orElse: () =>
        Effect.fail(
          new TestClientError({ reason: "Timeout", detail: `waited in vain for ${what}: ${inbox.summary()}` })
        )
    })

  const read = (bytes: Uint8Array): Effect.Effect<void, TestClientError> =>
    Effect.suspend(() => {
      if (bytes.length === 0) return Effect.void
      const result = reader.push(bytes)
      inbox.add(Result.isFailure(result) ? result.failure.messages : result.success)
      return Result.isFailure(result) ? Effect.fail(unreadable(result.failure)) : Effect.void
    })

  const receive = (bytes: Uint8Array): Effect.Effect<void, TestClientError> =>
    Effect.suspend(() => {
      inbox.bytes += bytes.length
      // A script that spoils the handshake by hand has no use for what is answered, other than its end.
      if (shake.state === "Idle") return Effect.void
      if (shake.state === "Complete") return read(bytes)
      const pushed = shake.push(bytes, 0)
      if (Result.isFailure(pushed)) return Effect.fail(unreadable(pushed.failure))
      const { complete, send } = pushed.success
      const answer = send.length === 0 ? Effect.void : write(send)
      if (complete === undefined) return answer
      // C2 first: whoever waits for the handshake sends as soon as it is told.
      return Effect.andThen(
        answer,
        Effect.suspend(() => {
          inbox.shaken(complete)
          return read(complete.rest)
        })
      )
    })

  yield* Effect.forever(
    Effect.flatMap(Effect.mapError(pull, lost), (pulled) => Effect.forEach(pulled, receive, { discard: true }))
  ).pipe(
    Effect.catch((error: TestClientError) => Effect.sync(() => inbox.fail(error))),
    Effect.forkScoped
  )

  const send: TestClient["send"] = (...messages) => Effect.suspend(() => write(chunks.writeAll(messages)))

  const call: TestClient["call"] = (name, values, options) =>
    Effect.suspend(() => {
      const transactionId = options?.transactionId ?? ++transaction
      const { chunkStreamId = 3, streamId = 0 } = options ?? {}
      return Effect.as(send(Command.encode({ name, transactionId, values, streamId, chunkStreamId })), transactionId)
    })

  const take = (what: string, predicate: (message: Message.Message) => boolean, timeout?: Duration.Input) =>
    waiting(what, inbox.take(predicate), timeout)

  const request: TestClient["request"] = Effect.fnUntraced(function* (name, values, options) {
    const id = yield* call(name, values, options)
    const isAnswer = (message: Message.Message): boolean => {
      const command = commandOf(message)
      return command?.transactionId === id && (command.name === "_result" || command.name === "_error")
    }
    const answer = commandOf(yield* take(`the result of ${name}`, isAnswer))!
    if (answer.name === "_error") return yield* refused(name, statusOf(answer))
    return answer
  })

  const start = Effect.fnUntraced(function* (
    name: string,
    code: string,
    streamId: number,
    values: ReadonlyArray<AmfValue>
  ) {
    yield* call(name, values, { streamId, chunkStreamId: 8 })
    for (;;) {
      const status = statusOf(commandOf(yield* take(code, isCommand("onStatus")))!)
      if (status.level === "error") return yield* refused(name, status)
      if (status.code === code) return status
    }
  })

  const handshake: TestClient["handshake"] = Effect.suspend(() => {
    const first = shake.start(0)
    return Effect.andThen(write(first), waiting("the handshake", inbox.awaitShake()))
  })

  const connect: TestClient["connect"] = (application, members) =>
    request("connect", [Amf.object({ app: application, tcUrl: `rtmp://localhost/${application}`, ...members })])

  const createStream = Effect.flatMap(
    Effect.suspend(() => request("createStream", [null])),
    ({ args }) =>
      typeof args[0] === "number"
        ? Effect.succeed(args[0])
        : Effect.fail(new TestClientError({ reason: "Unreadable", detail: "createStream gave no number" }))
  )

  return {
    received: inbox.received,
    bytesReceived: () => inbox.bytes,
    handshake,
    sendRaw: write,
    send,
    call,
    request,
    connect,
    createStream,
    publish: (streamId, name, type = "live") =>
      start("publish", "NetStream.Publish.Start", streamId, [null, name, type]),
    play: (streamId, name) => start("play", "NetStream.Play.Start", streamId, [null, name, -2]),
    open: (application) => Effect.andThen(Effect.andThen(handshake, connect(application)), createStream),
    waitFor: (predicate, timeout) => take("a message", predicate, timeout),
    waitForMany: (count, predicate, timeout) =>
      Effect.forEach(Array.from({ length: count }), (_, i) => take(`message ${i + 1} of ${count}`, predicate, timeout)),
    waitForCommand: (name, timeout) =>
      Effect.map(take(`the command ${name}`, isCommand(name), timeout), (message) => commandOf(message)!),
    waitForStatus: Effect.fnUntraced(function* (code, timeout) {
      for (;;) {
        const status = statusOf(commandOf(yield* take(code, isCommand("onStatus"), timeout))!)
        if (status.code === code) return status
      }
    }),
    waitForClose: waiting("the end of the connection", inbox.awaitEnd()),
    end: Scope.close(writerScope, Exit.void)
  }
})

const commandOf = (message: Message.Message): Command.Command | undefined =>
  message.typeId === Message.COMMAND_AMF0 || message.typeId === Message.COMMAND_AMF3
    ? Result.getOrUndefined(Command.decode(message))
    : undefined

const statusOf = (command: Command.Command): ReceivedStatus => {
  const information = command.args[0]
  return {
    level: Amf.getString(information, "level") ?? "",
    code: Amf.getString(information, "code") ?? "",
    description: Amf.getString(information, "description") ?? ""
  }
}

const refused = (name: string, { code, description }: ReceivedStatus): TestClientError =>
  new TestClientError({ reason: "Refused", detail: `${name} refused: ${code}, ${description}`, code })

const lost = (cause: Socket.SocketError): TestClientError =>
  new TestClientError({ reason: "Closed", detail: `the connection has ended: ${cause.message}`, cause })

const unreadable = (cause: Error): TestClientError =>
  new TestClientError({ reason: "Unreadable", detail: cause.message, cause })

interface Waiter<A> {
  readonly predicate: (message: Message.Message) => boolean
  readonly resume: (result: Effect.Effect<A, TestClientError>) => void
}

/** What has arrived, and who waits for what. */
class Inbox {
  bytes = 0
  readonly received: Array<Message.Message> = []
  #unclaimed: Array<Message.Message> = []
  #waiters: Array<Waiter<Message.Message>> = []
  #onShake: ((result: Effect.Effect<ClientHandshake.ClientHandshakeComplete, TestClientError>) => void) | undefined
  #shaken: ClientHandshake.ClientHandshakeComplete | undefined
  #onEnd: Array<(result: Effect.Effect<void>) => void> = []
  #error: TestClientError | undefined

  add(messages: ReadonlyArray<Message.Message>): void {
    for (const message of messages) {
      this.received.push(message)
      const at = this.#waiters.findIndex(({ predicate }) => predicate(message))
      if (at < 0) this.#unclaimed.push(message)
      else this.#waiters.splice(at, 1)[0]!.resume(Effect.succeed(message))
    }
  }

  shaken(complete: ClientHandshake.ClientHandshakeComplete): void {
    this.#shaken = complete
    this.#onShake?.(Effect.succeed(complete))
  }

  fail(error: TestClientError): void {
    this.#error = error
    const waiters = this.#waiters
    this.#waiters = []
    for (const { resume } of waiters) resume(Effect.fail(error))
    this.#onShake?.(Effect.fail(error))
    for (const resume of this.#onEnd) resume(Effect.void)
  }

  take(predicate: Waiter<Message.Message>["predicate"]): Effect.Effect<Message.Message, TestClientError> {
    return Effect.callback((resume) => {
      const at = this.#unclaimed.findIndex(predicate)
      if (at >= 0) return resume(Effect.succeed(this.#unclaimed.splice(at, 1)[0]!))
      if (this.#error !== undefined) return resume(Effect.fail(this.#error))
      const waiter = { predicate, resume }
      this.#waiters.push(waiter)
      return Effect.sync(() => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter)
      })
    })
  }

  awaitShake(): Effect.Effect<ClientHandshake.ClientHandshakeComplete, TestClientError> {
    return Effect.callback((resume) => {
      if (this.#shaken !== undefined) resume(Effect.succeed(this.#shaken))
      else if (this.#error !== undefined) resume(Effect.fail(this.#error))
      else this.#onShake = resume
    })
  }

  awaitEnd(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (this.#error !== undefined) resume(Effect.void)
      else this.#onEnd.push(resume)
    })
  }

  /** What came instead, for the message of a timeout. */
  summary(): string {
    if (this.#unclaimed.length === 0) return "nothing else is there"
    const names = this.#unclaimed.slice(-8).map((message) => {
      const command = commandOf(message)
      return command?.name ?? Message.typeName(message.typeId) ?? `type ${message.typeId}`
    })
    return `${this.#unclaimed.length} other messages are there, the last: ${names.join(", ")}`
  }
}
