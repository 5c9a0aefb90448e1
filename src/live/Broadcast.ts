/**
 * Tells things to whoever subscribes, from code that must not wait and must not be re-entered.
 *
 * `emit` appends to a queue and returns. A fiber passes on what is there to a bounded, sliding `PubSub`, so that
 * subscribers run in fibers of their own, later: an unsafe call of the `PubSub` itself would resume them on the stack of
 * whoever emits, in the middle of a publish, say.
 */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** Values that one subscriber may fall behind before it loses the oldest. */
export const defaultCapacity = 1_024

/** A way to tell values of one type. */
export interface Broadcast<A> {
  /** Takes a value, at once and from anywhere. Where nobody subscribes it is forgotten on the spot. */
  readonly emit: (value: A) => void
  /** Subscribes until the scope closes: values from now on, the oldest of `capacity` lost by who is slow. */
  readonly subscribe: Effect.Effect<PubSub.Subscription<A>, never, Scope.Scope>
  /** The values from the moment on at which the stream is run. It ends with the broadcast. */
  readonly values: Stream.Stream<A>
}

/** Makes a broadcast that lives as long as the current scope. */
export const make = Effect.fnUntraced(function* <A>(
  capacity: number = defaultCapacity
): Effect.fn.Return<Broadcast<A>, never, Scope.Scope> {
  const inbox = yield* Effect.acquireRelease(Queue.sliding<A>(capacity), Queue.shutdown)
  const hub = yield* Effect.acquireRelease(PubSub.sliding<A>(capacity), PubSub.shutdown)
  yield* Effect.forkScoped(
    Effect.forever(Effect.flatMap(Queue.takeAll(inbox), (values) => PubSub.publishAll(hub, values)))
  )
  let subscribers = 0
  const counted = Effect.acquireRelease(
    Effect.sync(() => {
      subscribers++
    }),
    () =>
      Effect.sync(() => {
        subscribers--
      })
  )
  return {
    emit: (value) => {
      if (subscribers > 0) Queue.offerUnsafe(inbox, value)
    },
    subscribe: Effect.andThen(counted, PubSub.subscribe(hub)),
    values: Stream.unwrap(Effect.as(counted, Stream.fromPubSub(hub)))
  }
})
