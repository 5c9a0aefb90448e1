import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { AdminContext } from "../../src/http/AdminContext.ts"
import type { AdminEvent } from "../../src/http/AdminEventSchema.ts"
import * as AdminEvents from "../../src/http/AdminEvents.ts"
import { maxFollowers } from "../../src/http/AdminHandlers.ts"
import { RecentLog } from "../../src/observability/RecentLog.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import { publisher, settle } from "../support/TestServer.ts"
import * as Harness from "./AdminHarness.ts"

type Event = typeof AdminEvent.Type

const run = <A, E, R>(effect: Effect.Effect<A, E, R>) => effect.pipe(Effect.scoped, Effect.provide(Harness.services()))

const tagOf = (event: Event): string =>
  event.type === "server" || event.type === "stream" ? `${event.type} ${event.event._tag}` : event.type

/** Takes events until one has this tag. */
const until = Effect.fnUntraced(function* (queue: Queue.Dequeue<Event, unknown>, tag: string) {
  const seen: Array<string> = []
  while (seen.at(-1) !== tag) seen.push(tagOf(yield* Effect.orDie(Queue.take(queue))))
  return seen
})

describe("the event stream", () => {
  it.effect("begins with a heartbeat, and then tells what happens to connections and streams", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const { queue, response } = yield* Harness.follow(port)
        assert.strictEqual(response.headers["content-type"], "text/event-stream")
        assert.deepStrictEqual(yield* until(queue, "heartbeat"), ["heartbeat"])
        yield* publisher("a")
        const seen = yield* until(queue, "stream Published")
        assert.include(seen, "server ConnectionOpened")
        assert.include(seen, "server HandshakeCompleted")
      })
    )
  )

  it.effect("tells the typed client the same, as values", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const api = yield* Harness.client(port)
        const events = yield* api.events.follow({ query: {} })
        const queue = yield* Queue.make<Event>()
        yield* Effect.forkScoped(Stream.runForEach(events, (event) => Queue.offer(queue, event)))
        yield* until(queue, "heartbeat")
        yield* publisher("a")
        yield* until(queue, "stream Published")
      })
    )
  )

  it.effect("tells changes of the configuration, without secrets", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const { queue } = yield* Harness.follow(port)
        yield* until(queue, "heartbeat")
        const sources = yield* Harness.Sources
        sources.input = { ...sources.input, http: { port: 0, writeTokens: "secret" } }
        const api = yield* Harness.client(port)
        yield* api.config.reload({ payload: {} })
        const event = yield* Queue.take(queue)
        assert.deepInclude(event, { type: "config" })
        assert.notInclude(JSON.stringify(event), "secret")
      })
    )
  )

  it.effect("tells lines of the log where they are asked for, from the level on, and none of the past", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const log = yield* RecentLog
        log.add("error", "live", '{"message":"past"}')
        const { queue } = yield* Harness.follow(port, "/api/v1/events?logs=warn&room=live")
        yield* until(queue, "heartbeat")
        log.add("info", "live", '{"message":"too quiet"}')
        log.add("warn", "server", '{"message":"elsewhere"}')
        log.add("warn", "live", '{"message":"now"}')
        const event = yield* Queue.take(queue)
        assert.deepInclude(event, {
          type: "log",
          entry: { id: 4, level: "warn", room: "live", line: '{"message":"now"}' }
        })
      })
    )
  )

  it.effect("beats four times a minute", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const { queue } = yield* Harness.follow(port)
        yield* until(queue, "heartbeat")
        yield* settle
        yield* TestClock.adjust("15 seconds")
        assert.deepStrictEqual(yield* Queue.take(queue), { type: "heartbeat", at: 15_000, lost: 0 })
      })
    )
  )

  it.effect("ends in order when the API closes", () =>
    run(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { port } = yield* Scope.provide(Harness.open, scope)
        const { queue } = yield* Harness.follow(port)
        yield* until(queue, "heartbeat")
        yield* Scope.close(scope, Exit.void)
        // Dies where the answer breaks off instead.
        yield* Stream.runDrain(Stream.fromQueue(queue))
      })
    )
  )

  it.effect("has room for so many followers, and for another when one has gone", () =>
    run(
      Effect.gen(function* () {
        const { port } = yield* Harness.open
        const followers = yield* Effect.forEach(Array.from({ length: maxFollowers }), () => Harness.follow(port))
        for (const { queue } of followers) yield* until(queue, "heartbeat")
        const refused = yield* Harness.request(port, "/api/v1/events")
        assert.strictEqual(refused.status, 429)
        assert.strictEqual(refused.headers["retry-after"], "30")
        followers[0]!.response.destroy()
        yield* settle
        const { queue } = yield* Harness.follow(port)
        yield* until(queue, "heartbeat")
      })
    )
  )
})

describe("a follower that does not read", () => {
  it.effect("keeps no more than so many events, loses the oldest, and is told how many", () =>
    run(
      Effect.gen(function* () {
        const server = yield* RtmpServer
        const context = AdminContext.of({
          version: "",
          runtime: "",
          startedAt: 0,
          listeners: Effect.succeed([]),
          stop: () => Effect.void,
          closing: Effect.never
        })
        const stream = yield* Effect.provideService(AdminEvents.follow({}), AdminContext, context)
        for (let batch = 0; batch < 5; batch++) {
          for (let i = 0; i < 500; i++) yield* server.disableStream(`live/${batch * 500 + i}`)
          yield* settle
        }
        yield* TestClock.adjust("15 seconds")
        const seen = yield* Stream.runCollect(Stream.take(stream, AdminEvents.capacity))
        const keys = seen.flatMap((event) =>
          event.type === "server" && event.event._tag === "StreamDisabled" ? [event.event.streamKey] : []
        )
        assert.strictEqual(keys.at(-1), "live/2499")
        assert.strictEqual(keys.length, AdminEvents.capacity - 1)
        const last = seen.at(-1)
        assert.strictEqual(last?.type === "heartbeat" && last.lost > 1_400, true)
      })
    )
  )
})
