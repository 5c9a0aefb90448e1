/**
 * Hostile peers at the sockets of a server that asks who they are, and that allows an address only so much, beside a
 * publisher and a viewer who lose nothing.
 */
import * as Net from "node:net"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import * as App from "../../src/App.ts"
import * as AdobeAuth from "../../src/access/AdobeAuth.ts"
import * as ConfigSource from "../../src/config/ConfigSource.ts"
import { ConfigStore } from "../../src/config/ConfigStore.ts"
import { keys, model, type RtmpConfigInput } from "../../src/config/RtmpConfig.ts"
import * as NodeAccess from "../../src/node/NodeAccess.ts"
import * as NodeCrypto from "../../src/node/NodeCrypto.ts"
import * as NodeTransport from "../../src/node/NodeTransport.ts"
import { AccessControl } from "../../src/server/AccessControl.ts"
import { RtmpServer } from "../../src/server/RtmpServer.ts"
import * as TestClient from "../../src/testing/TestClient.ts"
import * as Media from "../support/Media.ts"
import { frames } from "../support/TestServer.ts"

const serving = (config: RtmpConfigInput) => {
  const settings: RtmpConfigInput = {
    listen: { host: "127.0.0.1", port: 0 },
    publisher: { resumeGrace: 0 },
    latency: { mergeWindow: 0 },
    shutdown: { grace: 0 },
    ...config,
    limits: { minFreeMemory: 0, ...config.limits }
  }
  const load = Effect.suspend(() =>
    Effect.fromResult(ConfigSource.load(model, [ConfigSource.fromValues(keys, settings, "test")]))
  )
  return RtmpServer.layerStarted.pipe(
    Layer.provideMerge(App.layer),
    Layer.provideMerge(NodeAccess.layer),
    Layer.provide([NodeTransport.layer, NodeCrypto.layer, ConfigStore.layer(load)]),
    Layer.provide(Logger.layer([]))
  )
}

const port = Effect.map(
  Effect.flatMap(RtmpServer, (server) => server.address),
  (address) => address!.port
)

const client = Effect.flatMap(port, (port) =>
  Effect.flatMap(NodeSocket.makeNet({ host: "127.0.0.1", port }), (socket) => TestClient.make(socket))
)

/** A publisher and a viewer; the function sends a frame, and fails where not all of them have arrived. */
const witnesses = (application: string) =>
  Effect.gen(function* () {
    const publisher = yield* client
    yield* publisher.publish(yield* publisher.open(application), "good")
    yield* publisher.send(Media.videoHeader(), Media.audioHeader(), Media.keyframe(0))
    const viewer = yield* client
    yield* viewer.play(yield* viewer.open(application), "good")
    yield* viewer.waitForMany(3, isFrame)
    const sent: Array<string> = ["video header", "audio header", "key @0"]
    return Effect.gen(function* () {
      const atMs = sent.length * 20
      yield* publisher.send(Media.interFrame(atMs))
      sent.push(`inter @${atMs}`)
      yield* viewer.waitFor(isFrame)
      assert.deepStrictEqual(frames(viewer), sent)
    })
  })

const isFrame = ({ typeId }: { readonly typeId: number }): boolean => typeId === 8 || typeId === 9

describe("beside a publisher and a viewer who are known", () => {
  /** Connects with a query; gives the words with which that was refused, or `let in`. */
  const connecting = (query: string): Effect.Effect<string, unknown, RtmpServer | Scope.Scope> =>
    Effect.gen(function* () {
      const peer = yield* client
      yield* peer.handshake
      return yield* Effect.matchEffect(peer.connect(`live?${query}`), {
        onSuccess: () => Effect.succeed("let in"),
        onFailure: (error) =>
          error.reason === "Refused" ? Effect.as(peer.waitForClose, error.detail) : Effect.fail(error)
      })
    })

  /** What the owner of a password answers to what the server asks. */
  const answering = (asked: string, password: string, user = "ann"): string => {
    const told = (name: string) => new RegExp(`[?&]${name}=([^&\\s]+)`).exec(asked)?.[1] ?? ""
    const verifier = AdobeAuth.verifierOf("ann", told("salt"), password)
    const response = AdobeAuth.adobeResponse(verifier, told("opaque"), "6372a40c")
    return `authmod=adobe&user=${user}&challenge=6372a40c&response=${response}&opaque=${told("opaque")}`
  }

  it.live("logins that are repeated, cut, made up or guessed are refused, and then their address is not heard", () =>
    Effect.gen(function* () {
      const control = yield* AccessControl
      const frameArrives = yield* witnesses("live?key=key-of-ann")
      const ask = connecting("authmod=adobe&user=ann")
      const refused = "authfailed"
      const good = answering(yield* ask, "key-of-ann")
      assert.strictEqual(yield* connecting(good), "let in")
      const failures = [
        good,
        answering(yield* ask, "key-of-eve"),
        answering(yield* ask, "key-of-ann").replace(/&opaque=.*/, ""),
        answering(yield* ask, "key-of-ann").replace(/response=[^&]*/, "response=%00***"),
        "authmod=llnw&user=ann&nonce=AAAA&cnonce=&nc=zz&response=00"
      ]
      for (const query of failures) {
        assert.deepStrictEqual(yield* control.blocked, [])
        assert.include(yield* connecting(query), refused, query)
        yield* frameArrives
      }
      assert.lengthOf(yield* control.blocked, 1)
      const unheard = yield* client
      yield* unheard.waitForClose
      assert.strictEqual(unheard.bytesReceived(), 0)
      yield* frameArrives
      assert.isTrue(yield* control.unblock("127.0.0.1"))
      assert.strictEqual(yield* connecting(answering(yield* ask, "key-of-ann")), "let in")
      // A user with an ampersand is the user in front of it, and asking is no failure.
      assert.include(yield* connecting("authmod=adobe&user=ann&user=eve&x"), "reason=needauth")
      yield* frameArrives
    }).pipe(
      Effect.provide(
        serving({ auth: { keys: { allow: { ann: "key-of-ann login=true" } }, adobe: { enabled: true } } })
      ),
      Effect.scoped
    )
  )
})

describe("beside a publisher and a viewer of the same address", () => {
  it.live("a hundred connections at once get the places that are left, and nobody waits for the others", () =>
    Effect.gen(function* () {
      const server = yield* RtmpServer
      const frameArrives = yield* witnesses("live")
      const to = yield* port
      const all = Array.from({ length: 100 }, () => Net.connect({ port: to, host: "127.0.0.1" }))
      let closed = 0
      yield* Effect.callback<void>((resume) => {
        for (const socket of all) {
          socket.on("error", () => {})
          socket.resume()
          socket.on("close", () => {
            closed++
            if (closed === 92) resume(Effect.void)
          })
        }
      })
      yield* frameArrives
      assert.deepStrictEqual([closed, (yield* server.statistics).connections], [92, 10])
      yield* Effect.callback<void>((resume) => {
        for (const socket of all) {
          socket.on("close", () => {
            if (closed === 100) resume(Effect.void)
          })
          socket.destroy()
        }
      })
      // Its places are free again once the server has seen it go.
      let again = yield* Effect.exit(Effect.flatMap(client, (next) => next.open("live")))
      while (again._tag === "Failure") again = yield* Effect.exit(Effect.flatMap(client, (next) => next.open("live")))
      yield* frameArrives
    }).pipe(
      Effect.provide(
        serving({ limits: { maxConnectionsPerAddress: 10, acceptRatePerAddress: 0, exemptNetworks: "" } })
      ),
      Effect.scoped
    )
  )
})
