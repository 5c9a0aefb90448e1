import type { AddressInfo } from "node:net"
import { createServer } from "node:net"
import * as NodeSocketServer from "@effect/platform-node-shared/NodeSocketServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { RtmpClient } from "../../src/client/RtmpClient.ts"
import * as NodeClient from "../../src/node/NodeClient.ts"
import * as SessionServer from "../client/SessionServer.ts"

/** Runs a session server on a free TCP port of this host. */
const withServer = <A, E>(
  use: (client: RtmpClient["Service"], url: string, journal: SessionServer.Journal) => Effect.Effect<A, E>,
  options?: SessionServer.SessionServerOptions
) =>
  Effect.gen(function* () {
    const journal = new SessionServer.Journal()
    const server = yield* NodeSocketServer.make({ host: "127.0.0.1", port: 0 })
    yield* Effect.forkScoped(server.run((socket) => Effect.ignore(SessionServer.serve(socket, journal, options))))
    assert(server.address._tag === "InetAddressV4")
    const url = `rtmp://127.0.0.1:${server.address.port}/live/stream`
    return yield* Effect.flatMap(RtmpClient, (client) => use(client, url, journal))
  }).pipe(Effect.provide(NodeClient.layer))

const freePort = Effect.callback<number>((resume) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

describe("NodeClient", () => {
  it.live("publishes over TCP, and the server has everything when it returns", () =>
    withServer((client, url, journal) =>
      Effect.gen(function* () {
        const messages = SessionServer.someMedia(200)
        yield* client.publish(
          url,
          Stream.rechunk(
            Stream.map(Stream.fromIterable(messages), (message) => [message]),
            1
          )
        )
        assert.strictEqual(journal.media.length, messages.length)
        assert.deepStrictEqual(
          journal.media.map(({ payload }) => payload.length),
          messages.map(({ payload }) => payload.length)
        )
        assert.strictEqual(journal.tags.at(-1), "PublishEnded")
      })
    )
  )

  it.live("plays over TCP to the end", () =>
    withServer(
      (client, url) =>
        Effect.gen(function* () {
          const got = (yield* Stream.runCollect(client.play(url))).flat()
          assert.strictEqual(got.length, 1 + 200)
        }),
      { play: SessionServer.someMedia(200), endPlay: true }
    )
  )

  it.live("says that nobody listens", () =>
    Effect.gen(function* () {
      const client = yield* RtmpClient
      const port = yield* freePort
      const error = yield* Effect.flip(client.publish(`rtmp://127.0.0.1:${port}/live/x`, Stream.never))
      assert.strictEqual(error.reason, "DialFailed")
      assert.match(error.message, /ECONNREFUSED/)
    }).pipe(Effect.provide(NodeClient.layer))
  )

  it.live("says that it has no TLS", () =>
    Effect.gen(function* () {
      const client = yield* RtmpClient
      const error = yield* Effect.flip(Stream.runDrain(client.play("rtmps://127.0.0.1/live/x")))
      assert.strictEqual(error.reason, "UnsupportedScheme")
    }).pipe(Effect.provide(NodeClient.layer))
  )
})
