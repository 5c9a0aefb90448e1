/**
 * Live streams as Effect streams: for custom code that watches or feeds one inside the server.
 *
 * A subscription is a viewer like any other: it starts with headers and the cached group of pictures, and where its
 * consumer is slower than the stream it has an outbox with the same bounds. First `bufferBatches` batches wait; past them
 * inter frames are dropped up to a later keyframe, and a consumer that stays too slow, or stops pulling for
 * `stallTimeoutMs`, fails with `SubscriptionLost`. The publisher and other viewers never wait for it.
 *
 * Publishing is synchronous, so the source is pulled as fast as it gives: pace it, or bound its rate, at the source.
 *
 * **Gotchas**
 *
 * - Payloads are views of bytes that all viewers share: do not change them, and copy what is kept for long.
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Bytes from "../protocol/Bytes.ts"
import * as ChunkReader from "../protocol/ChunkReader.ts"
import * as ChunkWriter from "../protocol/ChunkWriter.ts"
import * as Message from "../protocol/Message.ts"
import type { OverflowReason, ViewerSink } from "./Outbox.ts"
import { type PublishConflict, StreamNotFound, type TooManyWaiting } from "./Registry.ts"
import { StreamRegistry } from "./StreamRegistry.ts"

/** The consumer of a subscription did not keep up with the stream. */
export class SubscriptionLost extends Data.TaggedError("SubscriptionLost")<{
  readonly reason: OverflowReason
  readonly streamKey: string
}> {
  /** One line for logs. */
  override get message(): string {
    return this.reason === "Stalled" ? "the consumer stopped pulling" : "the consumer is too slow for the stream"
  }
}

/** Another publisher has taken the name over. */
export class TakenOver extends Data.TaggedError("TakenOver")<{ readonly streamKey: string }> {
  /** One line for logs. */
  override get message(): string {
    return "another publisher has taken the stream over"
  }
}

/** How to subscribe. */
export interface SubscribeOptions {
  /** Whether to wait where nobody publishes the stream yet; `false` where left out. */
  readonly waitForPublisher?: boolean
  /** Batches that wait before the outbox does; 16 where left out. */
  readonly bufferBatches?: number
}

/**
 * The messages of a live stream, one batch per flush, metadata and headers first. Ends with the stream.
 *
 * Messages have message stream id 1 and the stream's own timestamps. Subscribes when it is run, leaves when its scope
 * closes. Fails with `StreamNotFound` or `TooManyWaiting` where there is no stream to subscribe to (`StreamNotFound` also
 * after a wait in vain), and with `SubscriptionLost` where the consumer is too slow.
 */
export const subscribe = (
  streamKey: string,
  options: SubscribeOptions = {}
): Stream.Stream<ReadonlyArray<Message.Message>, StreamNotFound | TooManyWaiting | SubscriptionLost, StreamRegistry> =>
  Stream.fromPull(
    Effect.gen(function* () {
      const registry = yield* StreamRegistry
      const bufferBatches = options.bufferBatches ?? 16
      const queue = yield* Effect.acquireRelease(
        Queue.make<Uint8Array, SubscriptionLost | StreamNotFound | Cause.Done>(),
        Queue.shutdown
      )
      const sink: ViewerSink = {
        // The outbox stops at the first `false`, which bounds the queue.
        write: (bytes) => {
          Queue.offerUnsafe(queue, bytes)
          return Queue.sizeUnsafe(queue) < bufferBatches
        },
        onStart: () => {},
        onDry: () => {},
        onResume: () => {},
        onEnd: (reason) => {
          if (reason === "NotFound") Queue.failCauseUnsafe(queue, Cause.fail(new StreamNotFound({ streamKey })))
          else Queue.endUnsafe(queue)
        },
        onOverflow: (reason) => {
          Queue.failCauseUnsafe(queue, Cause.fail(new SubscriptionLost({ reason, streamKey })))
        }
      }
      const viewer = yield* Effect.acquireRelease(
        Effect.suspend(() =>
          Effect.fromResult(
            registry.subscribe(streamKey, {
              sink,
              nowMs: registry.nowMs(),
              waitForPublisher: options.waitForPublisher ?? false
            })
          )
        ),
        (viewer) => Effect.sync(() => viewer.leave(registry.nowMs()))
      )
      const decode = makeDecoder(registry.options.chunkSize)
      return Effect.map(Queue.takeAll(queue), (batches) => {
        viewer.drained(registry.nowMs())
        return [decode(batches[0]), ...batches.slice(1).map(decode)] as const
      })
    })
  ).pipe(Stream.scoped)

/** Who publishes with `publishFrom`. */
export interface PublishOptions {
  /** For events and statistics. */
  readonly publisherId: string
  /** What identifies the permission to publish; anonymous where left out. Not a secret. */
  readonly credential?: string
}

/**
 * Publishes the messages of a source under a name, until the source ends.
 *
 * The end of the source ends the stream. Its failure, and an interruption, count as a lost connection: viewers wait for
 * the next publisher as long as the grace lasts. Fails with `PublishConflict` where the name is taken, and with
 * `TakenOver` where another publisher takes it away; messages that are no media are skipped.
 */
export const publishFrom = <E, R>(
  streamKey: string,
  source: Stream.Stream<Message.Message, E, R>,
  options: PublishOptions
): Effect.Effect<void, E | PublishConflict | TakenOver, R | StreamRegistry> =>
  Effect.gen(function* () {
    const registry = yield* StreamRegistry
    // A queue resumes its taker in a later turn of the event loop, not in the middle of somebody else's claim.
    const takenOver = yield* Effect.acquireRelease(Queue.sliding<void>(1), Queue.shutdown)
    const publication = yield* Effect.acquireRelease(
      Effect.suspend(() =>
        Effect.fromResult(
          registry.claim(streamKey, {
            publisherId: options.publisherId,
            credential: options.credential ?? "",
            nowMs: registry.nowMs(),
            onTakenOver: () => {
              Queue.offerUnsafe(takenOver, undefined)
            }
          })
        )
      ),
      (publication, exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) publication.unpublish(registry.nowMs())
          else publication.vanish(registry.nowMs())
        })
    )
    const pump = Stream.runForEachArray(source, (messages) =>
      Effect.sync(() => {
        const nowMs = registry.nowMs()
        for (const message of messages) if (Message.isMedia(message.typeId)) publication.publish(message, nowMs)
      })
    )
    yield* Effect.raceFirst(
      pump,
      Effect.flatMap(Queue.take(takenOver), () => Effect.fail(new TakenOver({ streamKey })))
    )
  }).pipe(Effect.scoped)

/** Reads batches as the viewer of a stream gets them: whole messages, in chunks of a known size. */
const makeDecoder = (chunkSize: number): ((batch: Uint8Array) => ReadonlyArray<Message.Message>) => {
  const reader = ChunkReader.make({ maxMessageBytes: 0xffffff, minChunkSize: 0 })
  const payload = new Uint8Array(4)
  Bytes.putU32(payload, 0, chunkSize)
  const announced = ChunkWriter.make().write({
    typeId: Message.SET_CHUNK_SIZE,
    streamId: 0,
    chunkStreamId: 2,
    timestamp: 0,
    payload
  })
  Result.getOrThrow(reader.push(announced))
  return (batch) => Result.getOrThrow(reader.push(batch))
}
