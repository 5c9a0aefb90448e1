import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as ConnectionSpans from "../../src/server/ConnectionSpans.ts"
import type { ServerEvent } from "../../src/server/ServerEvents.ts"
import * as TestServer from "../support/TestServer.ts"

const { pass, publisher, settle } = TestServer

/** A tracer that keeps its spans. */
const recorder = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, tracer }
}

const times = (span: Tracer.NativeSpan): readonly [bigint, bigint] => {
  if (span.status._tag !== "Ended") throw new Error(`${span.name} has not ended`)
  return [span.status.startTime, span.status.endTime]
}

const remote = { host: "203.0.113.7", port: 5 }
const open = (connectionId = "c1"): ServerEvent => ({ _tag: "ConnectionOpened", connectionId, remote })
const close = (reason: "ClientClosed" | "Rejected" = "ClientClosed", connectionId = "c1"): ServerEvent => ({
  _tag: "ConnectionClosed",
  connectionId,
  remote,
  reason,
  detail: "",
  stage: "Publishing",
  totals: { bytesReceived: 10, bytesSent: 20, durationMs: 5 }
})
const life: ReadonlyArray<ServerEvent> = [
  open(),
  { _tag: "HandshakeCompleted", connectionId: "c1", remote, kind: "simple", echoMatches: true },
  { _tag: "ClientConnected", connectionId: "c1", remote, application: "live", flashVer: "FMLE\n" },
  { _tag: "PublishStarted", connectionId: "c1", remote, streamKey: "live/a" },
  { _tag: "PublishStarted", connectionId: "c1", remote, streamKey: "live/b" },
  { _tag: "PublishStopped", connectionId: "c1", remote, streamKey: "live/a" },
  { _tag: "Anomaly", connectionId: "c1", remote, kind: "UnknownCommand", detail: "?" },
  close()
]

describe("ConnectionSpans", () => {
  it("makes a span for a connection, and a child for each phase from its first event to its last", () => {
    const { spans, tracer } = recorder()
    const follow = ConnectionSpans.make(tracer)
    life.forEach((event, index) => {
      assert.strictEqual(spans.length, 0)
      follow(event, BigInt(index * 10))
    })
    assert.deepStrictEqual(
      spans.map((span) => [span.name, ...times(span)]),
      [
        ["rtmp connection", 0n, 70n],
        ["rtmp handshake", 0n, 10n],
        ["rtmp connect", 10n, 20n],
        ["rtmp publish", 30n, 50n],
        ["rtmp publish", 40n, 70n]
      ]
    )
    const [root, ...children] = spans
    assert.isTrue(Option.isNone(root!.parent))
    for (const child of children) {
      assert.strictEqual(Option.getOrThrow(child.parent).spanId, root!.spanId)
      assert.strictEqual(child.traceId, root!.traceId)
    }
    assert.deepStrictEqual(Object.fromEntries(root!.attributes), {
      "rtmp.handshake": "simple",
      "rtmp.application": "live",
      "rtmp.flash_ver": "FMLE\\u{a}",
      "rtmp.connection": "c1",
      "client.address": "203.0.113.7",
      "client.port": 5,
      "rtmp.close_reason": "ClientClosed",
      "rtmp.stage": "Publishing",
      "rtmp.bytes_received": 10,
      "rtmp.bytes_sent": 20
    })
    assert.deepStrictEqual(root!.events, [["anomaly", 60n, { kind: "UnknownCommand" }]])
    assert.deepStrictEqual(
      children.slice(2).map((child) => child.attributes.get("rtmp.stream")),
      ["live/a", "live/b"]
    )
  })

  it("marks what an operator may want to look into as an error", () => {
    const { spans, tracer } = recorder()
    const follow = ConnectionSpans.make(tracer)
    for (const reason of ["ClientClosed", "Rejected"] as const) {
      follow(open(), 0n)
      follow(close(reason), 1n)
    }
    const roots = spans.filter((span) => span.name === "rtmp connection")
    assert.deepStrictEqual(
      roots.map(({ status }) => status._tag === "Ended" && Exit.isSuccess(status.exit)),
      [true, false]
    )
  })

  it("has a span for a connection whose beginning it missed, as long as that lasted", () => {
    const { spans, tracer } = recorder()
    const follow = ConnectionSpans.make(tracer)
    for (const event of life.slice(1)) follow(event, 50_000_000n)
    assert.deepStrictEqual(
      spans.map((span) => [span.name, ...times(span)]),
      [["rtmp connection", 45_000_000n, 50_000_000n]]
    )
  })

  it("notes no more of a connection than is bounded", () => {
    const { spans, tracer } = recorder()
    const follow = ConnectionSpans.make(tracer)
    follow(open(), 0n)
    for (let i = 0; i < 3 * ConnectionSpans.maxNotes; i++) {
      follow({ _tag: "PlayStarted", connectionId: "c1", remote, streamKey: `live/${i}` }, 1n)
      follow({ _tag: "Anomaly", connectionId: "c1", remote, kind: "UnknownCommand", detail: "" }, 1n)
    }
    follow(close(), 2n)
    assert.strictEqual(spans.length, 1 + ConnectionSpans.maxNotes)
    assert.strictEqual(spans[0]!.events.length, ConnectionSpans.maxNotes)
  })

  it("follows a bounded number of connections, the newest", () => {
    const { spans, tracer } = recorder()
    const follow = ConnectionSpans.make(tracer)
    for (let i = 0; i <= ConnectionSpans.maxConnections; i++) follow(open(`c${i}`), 0n)
    follow(close("ClientClosed", "c0"), 10_000_000n)
    follow(close("ClientClosed", "c1"), 10_000_000n)
    const roots = spans.filter((span) => span.name === "rtmp connection")
    assert.deepStrictEqual(roots.map(times), [
      [5_000_000n, 10_000_000n],
      [0n, 10_000_000n]
    ])
  })

  it.effect("follows the connections of a server", () => {
    const { spans, tracer } = recorder()
    return Effect.gen(function* () {
      yield* settle
      const from = yield* publisher("a")
      yield* from.end
      yield* pass("1 minute")
      assert.deepStrictEqual(
        spans.map(({ name }) => name),
        ["rtmp connection", "rtmp handshake", "rtmp connect", "rtmp publish"]
      )
    }).pipe(
      Effect.provide(ConnectionSpans.layer.pipe(Layer.provideMerge(TestServer.layer()))),
      Effect.provideService(Tracer.Tracer, tracer)
    )
  })
})
