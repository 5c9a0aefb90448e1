import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as App from "../../src/App.ts"
import { AccessDenied, Authenticator } from "../../src/access/Authenticator.ts"
import type { LayerOperated } from "../../src/node/LayerOperated.ts"
import * as NodeRehearsal from "../../src/node/NodeRehearsal.ts"
import { type ServerEvent, ServerEvents } from "../../src/server/ServerEvents.ts"
import { Transport, TransportError } from "../../src/server/Transport.ts"

/** The layers of the real server, and everything that happens to the one of the rehearsal. */
const watched = () => {
  const events: Array<ServerEvent> = []
  const layer = Layer.effect(
    ServerEvents,
    Effect.map(ServerEvents, (inner) => ({
      ...inner,
      emit: (event: ServerEvent) => {
        events.push(event)
        inner.emit(event)
      }
    }))
  ).pipe(Layer.provide(ServerEvents.layer))
  const layerOperated: LayerOperated = (operation) => App.layerOperated(operation, { events: layer })
  return { events, layerOperated }
}

const sockets = () => process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP"))

const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

describe("NodeRehearsal", () => {
  it.live("has viewers join, each of whom is served, and leaves no socket, metric or log line of it", () =>
    Effect.gen(function* () {
      const { events, layerOperated } = watched()
      const before = sockets()
      const registry = new Map()
      const lines: Array<unknown> = []
      yield* NodeRehearsal.rehearse(layerOperated).pipe(
        Effect.provideService(Metric.MetricRegistry, registry),
        Effect.provide(Logger.layer([Logger.make(({ message }) => void lines.push(message))]))
      )
      const count = (tag: ServerEvent["_tag"]) => events.filter(({ _tag }) => _tag === tag).length
      assert.strictEqual(count("PublishStarted"), 1)
      assert.isAtLeast(count("PlayStarted"), 64)
      assert.strictEqual(count("PlayStarted"), count("ConnectionOpened") - 1)
      assert.strictEqual(count("ConnectionClosed"), count("ConnectionOpened"))
      assert.strictEqual(count("ConnectionRefused"), 0)
      assert.strictEqual(count("AccessRefused"), 0)
      // Viewers leave by themselves once they are served; the stop ends the publisher, and who has not quite left yet.
      const reasons = events.flatMap((event) => (event._tag === "ConnectionClosed" ? [event.reason] : []))
      assert.includeMembers(["ClientClosed", "StreamEnded", "ServerStopping"], [...new Set(reasons)])
      // A handle is closed a turn after it was asked to.
      for (let i = 0; i < 10 && sockets().length > before.length; i++) yield* turn
      assert.deepStrictEqual(sockets(), before)
      assert.strictEqual(registry.size, 0)
      assert.deepStrictEqual(lines, [])
    })
  )

  it.live("does not wait for viewers who are turned away", () =>
    Effect.gen(function* () {
      let asked = 0
      const authenticator = Layer.succeed(Authenticator, {
        authorize: ({ action }) => {
          if (action === "play") asked++
          return action === "play"
            ? Effect.fail(new AccessDenied({ reason: "NotAllowed", description: "No." }))
            : Effect.succeed({ credential: "" })
        }
      })
      yield* NodeRehearsal.rehearse((operation) => App.layerOperated(operation, { authenticator }))
      // One wave is sixty-four of them.
      assert.isAbove(asked, 64)
    })
  )

  it.live("is done without where there is no loopback interface, or something in it dies", () =>
    Effect.gen(function* () {
      const closed: Layer.Layer<Transport> = Layer.succeed(Transport, {
        listen: () =>
          Effect.fail(new TransportError({ reason: "AddressNotAvailable", detail: "no loopback interface" }))
      })
      yield* NodeRehearsal.rehearse((operation) => App.layerOperated(operation).pipe(Layer.provide(closed)))
      yield* NodeRehearsal.rehearse(() => Layer.effectContext(Effect.die(new Error("a layer that dies"))))
    })
  )
})
