/**
 * Publishes and plays RTMP streams as Effects and Streams.
 *
 * ```ts
 * const program = Effect.gen(function* () {
 *   const client = yield* RtmpClient
 *   // Copies a stream from one server to another, for as long as it lasts.
 *   yield* client.publish("rtmp://there/live/copy", client.play("rtmp://here/live/original"))
 * })
 * ```
 *
 * Each publish and each play has a connection of its own, which lives in the scope of the Effect or Stream that is run:
 * interrupting it ends the stream in order. Nothing is tried twice; `Effect.retry` and `Stream.retry` are for that, and
 * `RtmpClientError.reason` tells when they make sense.
 *
 * **Gotchas**
 *
 * - Media passes in batches of `Message`, as it was read. Payloads may be views of receive buffers: copy what is kept.
 * - A player that is not pulled does not read, and the server's buffers fill until it is dropped there.
 * - A publish sends as fast as its stream comes. Pacing recorded media to real time is the stream's business.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { ClientSession } from "../protocol/ClientSession.ts"
import type { ClientOptions, ClientOutput, ClientTarget } from "../protocol/ClientSessionState.ts"
import { defaultClientOptions } from "../protocol/ClientSessionState.ts"
import type { Message } from "../protocol/Message.ts"
import * as RtmpUrl from "../protocol/RtmpUrl.ts"
import * as ClientLink from "./ClientLink.ts"
import { RtmpClientError } from "./RtmpClientError.ts"
import { RtmpDialer } from "./RtmpDialer.ts"

/** What a client does. */
export interface RtmpClientShape {
  /**
   * Publishes the batches of `media` at `url` (`rtmp://host[:port]/application/stream[?query]`) and ends the stream in
   * order when they end.
   *
   * The stream is not started before the server has agreed. Fails with the error of `media`, or with an
   * `RtmpClientError`; a server that ends the publish first is an error too (`EndedByServer`).
   */
  readonly publish: <E, R>(
    url: string,
    media: Stream.Stream<ReadonlyArray<Message>, E, R>,
    options?: Partial<ClientOptions>
  ) => Effect.Effect<void, RtmpClientError | E, R>
  /**
   * Plays the stream at `url`: audio, video, data and aggregate messages, in batches that are never empty.
   *
   * Ends when the server says that the stream is over, and fails when the connection does without that.
   */
  readonly play: (
    url: string,
    options?: Partial<ClientOptions>
  ) => Stream.Stream<ReadonlyArray<Message>, RtmpClientError>
}

/** Publishes and plays RTMP streams. `node/NodeClient` has the layer that dials over TCP. */
export class RtmpClient extends Context.Service<RtmpClient, RtmpClientShape>()("effect-rtmp/client/RtmpClient") {
  /** Client sessions on the sockets of an `RtmpDialer`. */
  static readonly layer: Layer.Layer<RtmpClient, never, ClientSession | RtmpDialer> = Layer.effect(
    RtmpClient,
    Effect.gen(function* () {
      const sessions = yield* ClientSession
      const dialer = yield* RtmpDialer

      const open = Effect.fnUntraced(function* (
        url: string,
        intent: ClientTarget["intent"],
        options: Partial<ClientOptions> | undefined
      ): Effect.fn.Return<ClientLink.ClientLink, RtmpClientError, Scope.Scope> {
        const parsed = RtmpUrl.parse(url)
        if (Result.isFailure(parsed)) {
          const cause = parsed.failure
          return yield* new RtmpClientError({ reason: "InvalidUrl", detail: cause.message, cause })
        }
        const { application, stream, tcUrl } = parsed.success
        const all: ClientOptions = { ...defaultClientOptions, ...options }
        const socket = yield* dialer.dial(parsed.success)
        const session = sessions.make({ intent, application, stream, tcUrl }, all)
        return yield* ClientLink.open(socket, session, all.startTimeoutMs)
      })

      return RtmpClient.of({
        publish: (url, media, options) =>
          Effect.scoped(
            Effect.gen(function* () {
              const link = yield* open(url, "publish", options)
              while (!has(yield* link.step, "PublishStarted"));
              yield* Effect.raceFirst(Stream.runForEach(media, link.publish), endOf(link))
            })
          ),
        play: (url, options) =>
          Stream.unwrap(Effect.map(open(url, "play", options), (link) => Stream.fromPull(Effect.succeed(pullOf(link)))))
      })
    })
  )
}

const has = (outputs: ReadonlyArray<ClientOutput>, tag: ClientOutput["_tag"]): boolean => {
  for (const output of outputs) if (output._tag === tag) return true
  return false
}

/** Waits for a publish to end from the server's side, which is never what was asked for. */
const endOf = (link: ClientLink.ClientLink): Effect.Effect<never, RtmpClientError> =>
  Effect.forever(
    Effect.flatMap(link.step, (outputs) =>
      has(outputs, "Ended")
        ? Effect.fail(new RtmpClientError({ reason: "EndedByServer", detail: "the server ended the stream" }))
        : Effect.void
    )
  )

type Batch = ReadonlyArray<Message>

/** The media of a link, one batch for each read that had some. */
const pullOf = (link: ClientLink.ClientLink): Effect.Effect<readonly [Batch], RtmpClientError | Cause.Done> => {
  let isEnded = false
  const pull: Effect.Effect<readonly [Batch], RtmpClientError | Cause.Done> = Effect.suspend(() =>
    isEnded
      ? Cause.done()
      : Effect.flatMap(link.step, (outputs) => {
          const batch: Array<Message> = []
          for (const output of outputs) {
            if (output._tag === "Media") batch.push(output.message)
            else if (output._tag === "Ended") isEnded = true
          }
          return batch.length === 0 ? pull : Effect.succeed([batch] as const)
        })
  )
  return pull
}
