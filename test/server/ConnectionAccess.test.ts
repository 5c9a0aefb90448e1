import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  AccessDenied,
  type AccessGrant,
  type AccessRequest,
  Authenticator,
  anonymous
} from "../../src/access/Authenticator.ts"
import * as Command from "../../src/protocol/Command.ts"
import type * as Message from "../../src/protocol/Message.ts"
import type { ClientRole } from "../../src/protocol/Session.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as TestClient from "../../src/testing/TestClient.ts"
import * as Media from "../support/Media.ts"
import * as TestServer from "../support/TestServer.ts"

const { client, closes, events, pass, publisher, settle, viewer } = TestServer

/** Decides as told, and remembers what it was asked and what has ended. */
const asked = (decide: (request: AccessRequest) => Effect.Effect<AccessGrant, AccessDenied>) => {
  const requests: Array<AccessRequest> = []
  const ended: Array<string> = []
  const authenticator = Layer.succeed(Authenticator, {
    authorize: (request) => {
      requests.push(request)
      return decide(request)
    },
    ended: ({ action, application, stream }) => ended.push(`${action} ${application}/${stream}`)
  })
  return { requests, ended, layer: TestServer.layer({ publisher: { resumeGrace: 0 } }, { authenticator }) }
}

const grants = (byAction: Partial<Record<AccessRequest["action"], AccessGrant>>) =>
  asked(({ action }) => Effect.succeed(byAction[action] ?? anonymous))

/** A keyframe of so many bytes. */
const large = (bytes: number, timestamp: number): Message.Message => {
  const payload = new Uint8Array(bytes)
  payload.set(Media.keyframe(0).payload)
  return { ...Media.keyframe(timestamp), payload }
}

describe("what is granted", () => {
  it.effect("goes with what the connection asks next: who has logged in is known", () => {
    const { layer, requests } = grants({ connect: { credential: "user:ann", user: "ann" } })
    return Effect.gen(function* () {
      yield* publisher("a")
      assert.deepStrictEqual(
        requests.map(({ action, login }) => [action, login?.user]),
        [
          ["connect", undefined],
          ["publish", "ann"]
        ]
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("is asked for with what the client looks like: an encoder, a player, or neither", () => {
    const { layer, requests } = grants({})
    const clients: ReadonlyArray<readonly [Readonly<Record<string, string>>, ClientRole]> = [
      [{ flashVer: "FMLE/3.0 (compatible; FMSc/1.0)", type: "nonprivate" }, "publisher"],
      [{ flashVer: "fmle/3.0" }, "publisher"],
      // librtmp in rtmpsink.
      [{ flashVer: "LNX 10,0,32,18", type: "nonprivate" }, "publisher"],
      [{ flashVer: "LNX 9,0,124,2" }, "player"],
      [{ flashver: "WIN 11,5,502,146" }, "player"],
      [{ flashVer: "Encoder 1.0" }, "unknown"],
      [{}, "unknown"]
    ]
    return Effect.gen(function* () {
      for (const [members, role] of clients) {
        requests.length = 0
        const from = yield* client
        yield* from.handshake
        yield* from.connect("live", members)
        yield* from.publish(yield* from.createStream, role)
        assert.deepStrictEqual(
          requests.map(({ action, role }) => [action, role]),
          [
            ["connect", role],
            ["publish", role]
          ],
          JSON.stringify(members)
        )
        yield* from.end
        yield* pass("3 seconds")
      }
    }).pipe(Effect.provide(layer))
  })

  it.effect(
    "may be another name, under which the stream is published and played, and no event shows the one that came",
    () => {
      const { ended, layer } = asked(({ action, stream }) =>
        Effect.succeed(
          action !== "connect" && stream === "s3cret" ? { credential: "key:1", stream: "show" } : anonymous
        )
      )
      return Effect.gen(function* () {
        const server = yield* RtmpServer
        const log = yield* events
        const from = yield* publisher("s3cret")
        yield* from.send(Media.videoHeader(), Media.keyframe(0))
        const to = yield* viewer("show")
        yield* TestServer.viewer("s3cret")
        yield* settle
        assert.deepStrictEqual(
          (yield* server.streams).map(({ key, viewers }) => [key, viewers]),
          [["live/show", 2]]
        )
        yield* from.end
        yield* to.waitForClose
        yield* pass("3 seconds")
        assert.notInclude(JSON.stringify(log), "s3cret")
        assert.sameMembers(
          ended.filter((it) => it !== "connect live/"),
          ["publish live/show", "play live/show", "play live/show"]
        )
      }).pipe(Effect.provide(layer))
    }
  )

  it.effect("is told to have ended once each, also where it could not begin", () => {
    const { ended, layer } = grants({})
    return Effect.gen(function* () {
      const first = yield* publisher("a")
      yield* first.send(Media.videoHeader(), Media.keyframe(0))
      const second = yield* client
      assert.strictEqual(
        (yield* Effect.flip(second.publish(yield* second.open("live"), "a"))).code,
        "NetStream.Publish.BadName"
      )
      yield* second.waitForClose
      yield* pass("3 seconds")
      assert.deepStrictEqual(ended, ["publish live/a", "connect live/"])
      yield* first.call("deleteStream", [null, 1])
      yield* settle
      assert.deepStrictEqual(ended.slice(2), ["publish live/a"])
      yield* first.end
      yield* pass("3 seconds")
      assert.deepStrictEqual(ended.slice(3), ["connect live/"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("may be for a time, after which publisher and viewer are ended with a reason", () => {
    const { layer } = grants({
      publish: { credential: "a", limits: { durationMs: 60_000 } },
      play: { credential: "b", limits: { durationMs: 20_000 } }
    })
    return Effect.gen(function* () {
      const log = yield* events
      const from = yield* publisher("a")
      yield* from.send(Media.videoHeader(), Media.keyframe(0))
      const to = yield* viewer("a")
      for (let second = 1; second <= 19; second++) {
        yield* from.send(Media.keyframe(second * 1_000))
        yield* pass("1 second")
      }
      assert.deepStrictEqual(closes(log), [])
      yield* from.send(Media.keyframe(20_000))
      yield* pass("2 seconds")
      yield* to.waitForClose
      for (let second = 21; second <= 61; second++) {
        yield* Effect.ignore(from.send(Media.keyframe(second * 1_000)))
        yield* pass("1 second")
      }
      yield* from.waitForClose
      yield* pass("15 seconds")
      assert.deepStrictEqual([...closes(log)].sort(), ["LimitReached in Publishing", "LimitReached in Subscribing"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("may be a bitrate, above which a publisher is ended", () => {
    const { layer } = grants({ publish: { credential: "a", limits: { bitsPerSecond: 100_000 } } })
    return Effect.gen(function* () {
      const log = yield* events
      const from = yield* publisher("a")
      yield* from.send(Media.videoHeader())
      // 80 kbit/s for a while, and 160 kbit/s from then on.
      for (let second = 1; second <= 12; second++) {
        yield* from.send(large(10_000, second * 1_000))
        yield* pass("1 second")
      }
      assert.deepStrictEqual(closes(log), [])
      for (let second = 13; second <= 24; second++) {
        yield* Effect.ignore(from.send(large(20_000, second * 1_000)))
        yield* pass("1 second")
      }
      yield* from.waitForClose
      assert.deepStrictEqual(closes(log), ["LimitReached in Publishing"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("may be so many viewers, those who were there first; whoever refuses a second publisher keeps it", () => {
    const { layer } = grants({ publish: { credential: "a", limits: { viewers: 2 } } })
    return Effect.gen(function* () {
      const early = [yield* viewer("a"), yield* viewer("a"), yield* viewer("a")]
      const from = yield* publisher("a")
      yield* from.send(Media.videoHeader(), Media.keyframe(0))
      yield* early[2]!.waitForClose
      const late = yield* client
      assert.strictEqual((yield* Effect.flip(late.play(yield* late.open("live"), "a"))).code, "NetStream.Play.Failed")
      const second = yield* client
      yield* Effect.flip(second.publish(yield* second.open("live"), "a"))
      yield* settle
      const server = yield* RtmpServer
      assert.strictEqual((yield* server.stream("live/a"))?.viewers, 2)
      yield* early[0]!.call("deleteStream", [null, 1])
      yield* settle
      yield* viewer("a")
    }).pipe(Effect.provide(layer))
  })
})

describe("a credential that is withdrawn", () => {
  const byName = asked(({ action, stream }) =>
    Effect.succeed(action === "connect" ? anonymous : { credential: `key:${stream}` })
  )

  it.effect("ends what was published with it, and leaves the connection what it publishes with another", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const log = yield* events
      const from = yield* publisher("a")
      yield* from.publish(yield* from.createStream, "b")
      yield* from.send(Media.videoHeader(), Media.keyframe(0))
      const [connection] = yield* server.connections
      assert.deepStrictEqual(yield* server.withdraw("key:a", "The key was revoked."), [connection!.id])
      yield* from.waitForStatus("NetStream.Publish.Denied")
      yield* from.send({ ...Media.videoHeader(), streamId: 2 }, { ...Media.keyframe(0), streamId: 2 })
      yield* pass("3 seconds")
      const [still] = yield* server.connections
      assert.deepStrictEqual(still?.publishing, ["live/b"])
      assert.strictEqual((yield* server.stream("live/b"))?.tracks[0]?.frames, 1)
      assert.deepStrictEqual([closes(log), byName.ended.filter((it) => it === "publish live/a").length], [[], 1])
      assert.deepStrictEqual(yield* server.withdraw("key:a"), [])
      yield* server.withdraw("key:b")
      yield* from.waitForClose
      yield* pass("3 seconds")
      assert.deepStrictEqual(closes(log), ["Kicked in Publishing"])
    }).pipe(Effect.provide(byName.layer))
  )

  it.effect("ends what is played with it, live or waited for, of every connection, and of nobody else", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const from = yield* publisher("a")
      yield* from.send(Media.videoHeader(), Media.keyframe(0))
      const [playing, waiting, both] = [yield* viewer("w"), yield* viewer("w"), yield* viewer("a")]
      yield* both.play(yield* both.createStream, "w")
      yield* settle
      assert.strictEqual((yield* server.withdraw("key:w")).length, 3)
      yield* playing.waitForClose
      yield* waiting.waitForClose
      yield* from.send(Media.interFrame(40))
      yield* settle
      assert.strictEqual(TestServer.frames(both).at(-1), "inter @40")
      assert.deepStrictEqual(
        (yield* server.connections)
          .filter(({ state }) => state !== "Disconnected")
          .map(({ playing }) => playing.length),
        [0, 1]
      )
    }).pipe(Effect.provide(byName.layer))
  )

  it.effect("ends the whole connection that was let in with it, and nobody has none", () => {
    const { layer } = grants({ connect: { credential: "user:ann", user: "ann" }, publish: { credential: "user:ann" } })
    return Effect.gen(function* () {
      const server = yield* RtmpServer
      const from = yield* publisher("a")
      const idle = yield* TestServer.asking(0)
      yield* viewer("a")
      assert.deepStrictEqual(yield* server.withdraw(""), [])
      assert.strictEqual((yield* server.withdraw("user:ann")).length, 3)
      yield* from.waitForStatus("NetStream.Publish.Denied")
      yield* from.waitForClose
      yield* idle.waitForClose
    }).pipe(Effect.provide(layer))
  })
})

describe("a refusal", () => {
  const denied = (extra: Partial<AccessDenied>) =>
    asked(({ action }) =>
      action === "connect"
        ? Effect.succeed(anonymous)
        : Effect.fail(new AccessDenied({ reason: "NotAllowed", description: "no", ...extra }))
    )

  it.effect("shows no name that may be a key, in no event", () => {
    const { layer } = denied({ isStreamSecret: true })
    return Effect.gen(function* () {
      const log = yield* events
      const from = yield* client
      yield* Effect.flip(from.publish(yield* from.open("live"), "s3cret"))
      yield* from.waitForClose
      yield* pass("3 seconds")
      const refused = log.find((event) => event._tag === "AccessRefused")
      assert.strictEqual(refused?._tag === "AccessRefused" ? refused.streamKey : "", "live/***")
      assert.notInclude(JSON.stringify(log), "s3cret")
    }).pipe(Effect.provide(layer))
  })

  it.effect(
    "of a connection that shows no credential is a question, and no reason to warn; of a stream it is one",
    () => {
      const { layer } = asked(({ action, query }) =>
        action === "connect" && query.startsWith("known")
          ? Effect.succeed(anonymous)
          : Effect.fail(new AccessDenied({ reason: "CredentialMissing", description: "code=403 need auth" }))
      )
      return Effect.gen(function* () {
        const log = yield* events
        const stranger = yield* client
        yield* stranger.handshake
        assert.strictEqual((yield* Effect.flip(stranger.connect("live"))).code, "NetConnection.Connect.Rejected")
        yield* stranger.waitForClose
        const known = yield* client
        yield* Effect.flip(known.publish(yield* known.open("live?known"), "a"))
        yield* known.waitForClose
        yield* pass("3 seconds")
        assert.deepStrictEqual(closes(log), ["LoginAsked in WaitingConnect", "Rejected in Connected"])
      }).pipe(Effect.provide(layer))
    }
  )

  it.effect("leads elsewhere as Flash Media Server does, and then closes", () => {
    const redirect = "rtmp://other.example/live"
    const { layer } = asked(() =>
      Effect.fail(new AccessDenied({ reason: "NotAllowed", description: "elsewhere", redirect }))
    )
    return Effect.gen(function* () {
      const from = yield* client
      yield* from.handshake
      const error = yield* Effect.flip(from.connect("live"))
      assert.strictEqual(error.code, "NetConnection.Connect.Rejected")
      const message = from.received.find(TestClient.isCommand("_error"))
      const text = JSON.stringify(Command.decode(message!), (_, value) => (value instanceof Map ? [...value] : value))
      assert.include(text, "302")
      assert.include(text, redirect)
      yield* from.waitForClose
    }).pipe(Effect.provide(layer))
  })
})
