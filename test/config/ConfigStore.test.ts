import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import { ConfigStore, prepareTimeoutMs, type ReloadError, type ReloadReport } from "../../src/config/ConfigStore.ts"
import { keys, model, RtmpConfig, type RtmpConfigInput } from "../../src/config/RtmpConfig.ts"
import { roomOf } from "../../src/observability/LogLevels.ts"

/** A store whose sources are a variable of the test. */
const withStore = <A, E>(
  initial: RtmpConfigInput,
  body: (
    store: ConfigStore["Service"],
    say: (values: RtmpConfigInput) => void
  ) => Effect.Effect<A, E, Scope.Scope | RtmpConfig>
) =>
  Effect.suspend(() => {
    let values = initial
    const load = Effect.suspend(() =>
      Effect.fromResult(ConfigSource.load(model, [ConfigSource.fromValues(keys, values, "test")]))
    )
    return Effect.gen(function* () {
      return yield* body(yield* ConfigStore, (next) => {
        values = next
      })
    }).pipe(Effect.scoped, Effect.provide(ConfigStore.layer(load).pipe(Layer.provideMerge(Logger.layer([])))))
  })

/** A component that writes down what happens to it. */
const follower = (name: string, notes: Array<string>) => ({
  name,
  prepare: (next: RtmpConfig["Service"], previous: RtmpConfig["Service"]) =>
    Effect.gen(function* () {
      notes.push(`${name} prepares ${previous.session.maxStreams} -> ${next.session.maxStreams}`)
      yield* Effect.addFinalizer((exit) =>
        Effect.sync(() => notes.push(`${name} ${Exit.isSuccess(exit) ? "done" : "undone"}`))
      )
      return Effect.sync(() => {
        notes.push(`${name} commits`)
      })
    })
})

const paths = (changes: ReloadReport["changes"]): ReadonlyArray<string> => changes.map(({ path }) => path)

describe("a reload", () => {
  it.effect("asks every component first, then changes all, and reports what has changed", () =>
    withStore({ session: { maxStreams: 1 } }, (store, say) =>
      Effect.gen(function* () {
        const notes: Array<string> = []
        const config = yield* store.register(follower("a", notes))
        assert.strictEqual(config.session.maxStreams, 1)
        yield* store.register(follower("b", notes))
        const reports = yield* Effect.forkChild(Stream.runCollect(Stream.take(store.changes, 1)), {
          startImmediately: true
        })

        say({ session: { maxStreams: 2 }, http: { readTokens: "s3cret" } })
        const report = yield* store.reload
        assert.deepStrictEqual(notes, [
          "a prepares 1 -> 2",
          "b prepares 1 -> 2",
          "a commits",
          "b commits",
          "b done",
          "a done"
        ])
        assert.deepStrictEqual(report.changes, [
          { path: "session.maxStreams", from: 1, to: 2, restart: false },
          { path: "http.readTokens", from: [], to: "***", restart: false }
        ])
        assert.strictEqual(report.previous.session.maxStreams, 1)
        assert.strictEqual(report.config, yield* store.current)
        assert.strictEqual((yield* store.current).session.maxStreams, 2)
        assert.strictEqual((yield* store.loaded).origins.get("session.maxStreams"), "test")
        assert.strictEqual((yield* RtmpConfig).session.maxStreams, 1)
        assert.deepStrictEqual(yield* Fiber.join(reports), [report])
      })
    )
  )

  it.effect("changes nothing when one component refuses, dies or takes for ever, and names it", () =>
    withStore({ session: { maxStreams: 1 } }, (store, say) =>
      Effect.gen(function* () {
        const table: ReadonlyArray<
          readonly [ReloadError["reason"], Effect.Effect<Effect.Effect<void>, unknown>, string]
        > = [
          ["Refused", Effect.fail(new Error("no such certificate")), "no such certificate"],
          ["Refused", Effect.fail("just so"), "just so"],
          ["Died", Effect.die(new Error("a bug")), "a bug"],
          ["TimedOut", Effect.never, "it was not ready within 30 seconds"]
        ]
        const before = yield* store.loaded
        say({ session: { maxStreams: 2 } })
        for (const [reason, outcome, detail] of table) {
          const notes: Array<string> = []
          const attempt = Effect.gen(function* () {
            yield* store.register(follower("good", notes))
            yield* store.register({ name: "tls", prepare: () => outcome })
            return yield* Effect.flip(store.reload)
          })
          const fiber = yield* Effect.forkChild(Effect.scoped(attempt), { startImmediately: true })
          yield* TestClock.adjust(prepareTimeoutMs)
          const error = yield* Fiber.join(fiber)
          assert.strictEqual(error._tag === "ReloadError" && error.reason, reason)
          assert.strictEqual(
            error.message,
            `the configuration was not changed, and the old one stays in force, because of tls: ${detail}`
          )
          assert.deepStrictEqual(notes, ["good prepares 1 -> 2", "good undone"])
          assert.strictEqual(yield* store.loaded, before)
        }
        assert.deepStrictEqual(paths((yield* store.reload).changes), ["session.maxStreams"])
      })
    )
  )

  it.effect(
    "says in the log of its room what it did, that the old one stays where it did nothing, and since when",
    () => {
      const lines: Array<string> = []
      const logger = Logger.make<unknown, void>(({ fiber, message }) => {
        lines.push(`[${roomOf(fiber, message)}] ${Array.isArray(message) ? message[0] : message}`)
      })
      return withStore({}, (store, say) =>
        Effect.gen(function* () {
          say({ session: { maxStreams: 2 } })
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* store.reload).inForceMs, 0)
          yield* TestClock.adjust("3 seconds")
          assert.strictEqual((yield* store.reload).inForceMs, 3_000)
          say({ session: { maxStreams: -1 }, limits: { maxTracks: 99 } })
          yield* Effect.flip(store.reload)
          say({ session: { maxStreams: 3 } })
          yield* store.register({ name: "moon", prepare: () => Effect.fail("full") })
          yield* Effect.flip(store.reload)
          assert.deepStrictEqual(lines.slice(0, 2), [
            "[config] the configuration has changed",
            "[config] the configuration is in force already"
          ])
          assert.match(
            lines[2]!,
            /^\[config\] the configuration was not changed, and the old one stays in force: .*session\.maxStreams.*; .*limits\.maxTracks/
          )
          assert.match(lines[3]!, /^\[config\] .*the old one stays in force, because of moon: full$/)
          assert.strictEqual(lines.length, 4)
        }).pipe(Effect.provideService(Logger.CurrentLoggers, new Set([logger])))
      )
    }
  )

  it.effect("changes nothing when the sources are wrong", () =>
    withStore({}, (store, say) =>
      Effect.gen(function* () {
        const notes: Array<string> = []
        yield* store.register(follower("a", notes))
        say({ session: { maxStreams: -1 } })
        const error = yield* Effect.flip(store.reload)
        assert.strictEqual(error._tag, "ConfigError")
        assert.deepStrictEqual(notes, [])
        assert.deepStrictEqual(yield* store.current, RtmpConfig.defaults)
      })
    )
  )

  it.effect("keeps what needs a restart as it is, and names it until it is gone", () =>
    withStore({ listen: { port: 1 } }, (store, say) =>
      Effect.gen(function* () {
        const notes: Array<string> = []
        yield* store.register(follower("a", notes))
        say({ listen: { port: 2 }, otlp: { headers: "a=s3cret" } })
        const only = yield* store.reload
        assert.deepStrictEqual(notes, [])
        assert.deepStrictEqual(only.changes, [])
        assert.deepStrictEqual(only.needsRestart, [
          { path: "listen.port", from: 1, to: 2, restart: true },
          { path: "otlp.headers", from: {}, to: "***", restart: true }
        ])

        say({ listen: { port: 2 }, profile: "mobile", latency: { mode: "low" } })
        const both = yield* store.reload
        assert.deepStrictEqual(paths(both.needsRestart), ["listen.port"])
        assert.includeMembers(
          [...paths(both.changes)],
          ["profile", "limits.maxConnections", "latency.mode", "outbox.maxDelay"]
        )
        const current = yield* store.current
        assert.deepStrictEqual([current.listen.port, current.limits.maxConnections], [1, 100])
        assert.strictEqual(Duration.toMillis(current.outbox.maxDelay), 500)
        assert.sameMembers([...(yield* store.loaded).origins.keys()], ["listen.port", "profile", "latency.mode"])
        assert.deepStrictEqual(paths((yield* store.reload).needsRestart), ["listen.port"])

        say({ listen: { port: 1 }, profile: "mobile", latency: { mode: "low" } })
        assert.deepStrictEqual((yield* store.reload).needsRestart, [])
      })
    )
  )

  it.effect("asks a component too that registers while others prepare, and none that has gone", () =>
    withStore({ session: { maxStreams: 1 } }, (store, say) =>
      Effect.gen(function* () {
        const notes: Array<string> = []
        const gate = yield* Deferred.make<void>()
        const leaving = yield* Scope.make()
        yield* Scope.provide(store.register(follower("leaving", notes)), leaving)
        yield* store.register({ name: "slow", prepare: () => Effect.as(Deferred.await(gate), Effect.void) })
        say({ session: { maxStreams: 2 } })
        const reload = yield* Effect.forkChild(store.reload, { startImmediately: true })
        const late = yield* store.register(follower("late", notes))
        assert.strictEqual(late.session.maxStreams, 1)
        yield* Scope.close(leaving, Exit.void)
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(reload)
        assert.deepStrictEqual(notes.slice(0, 3), ["leaving prepares 1 -> 2", "late prepares 1 -> 2", "late commits"])
        assert.notInclude(notes, "leaving commits")
      })
    )
  )

  it.effect("makes the change of every component, also behind one that dies in the middle of its own", () =>
    withStore({ session: { maxStreams: 1 } }, (store, say) =>
      Effect.gen(function* () {
        const notes: Array<string> = []
        yield* store.register({ name: "broken", prepare: () => Effect.succeed(Effect.die("half-way")) })
        yield* store.register(follower("b", notes))
        say({ session: { maxStreams: 2 } })
        assert.deepStrictEqual((yield* store.reload).failed, ["broken"])
        assert.include(notes, "b commits")
      })
    )
  )

  it.effect("runs alone: others wait for it", () =>
    withStore({ session: { maxStreams: 1 } }, (store, say) =>
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        let running = 0
        yield* store.register({
          name: "slow",
          prepare: () =>
            Effect.gen(function* () {
              assert.strictEqual(++running, 1)
              yield* Deferred.await(gate)
              return Effect.sync(() => {
                running--
              })
            })
        })
        say({ session: { maxStreams: 2 } })
        const first = yield* Effect.forkChild(store.reload, { startImmediately: true })
        say({ session: { maxStreams: 3 } })
        const second = yield* Effect.forkChild(store.reload, { startImmediately: true })
        yield* Deferred.succeed(gate, undefined)
        assert.strictEqual((yield* Fiber.join(first)).config.session.maxStreams, 2)
        assert.strictEqual((yield* Fiber.join(second)).previous.session.maxStreams, 2)
        assert.strictEqual((yield* store.current).session.maxStreams, 3)
      })
    )
  )

  it.effect("that is interrupted while components prepare changes nothing and can be done again", () =>
    withStore({ session: { maxStreams: 1 } }, (store, say) =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Scope.provide(store.register({ name: "stuck", prepare: () => Effect.never }), scope)
        say({ session: { maxStreams: 2 } })
        yield* Fiber.interrupt(yield* Effect.forkChild(store.reload, { startImmediately: true }))
        assert.strictEqual((yield* store.current).session.maxStreams, 1)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(paths((yield* store.reload).changes), ["session.maxStreams"])
      })
    )
  )
})

describe("a static store", () => {
  it.effect("has the configuration of the server, and a reload that changes nothing", () =>
    Effect.gen(function* () {
      const store = yield* ConfigStore
      assert.strictEqual((yield* store.current).listen.port, 7)
      const report = yield* store.reload
      assert.deepStrictEqual([report.changes, report.needsRestart], [[], []])
    }).pipe(
      Effect.provide(
        ConfigStore.layerStatic.pipe(Layer.provide([RtmpConfig.layer({ listen: { port: 7 } }), Logger.layer([])]))
      )
    )
  )
})
