/**
 * What happens to those who did nothing wrong when a publisher dies, a second one comes, or somebody sends garbage.
 */
import { randomBytes } from "node:crypto"
import * as Net from "node:net"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as NodeAvPlayer from "./NodeAvPlayer.ts"
import * as NodeAvPublisher from "./NodeAvPublisher.ts"
import { assertMonotonic, assertSameRun, type Packet } from "./Packet.ts"
import { type LogLine, RunningServer, resumeGraceMs } from "./RunningServer.ts"
import * as Tap from "./Tap.ts"

const timeoutMs = 60_000

const someTime = 120

/** Connects, sends these bytes, and gives its own port once the server has closed the connection. */
const sendAndWaitForClose = (
  port: number,
  bytes: ReadonlyArray<Uint8Array>
): Effect.Effect<number, Error, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => Net.connect(port, "127.0.0.1")),
    (socket) => Effect.sync(() => socket.destroy())
  ).pipe(
    Effect.flatMap((socket) =>
      Effect.callback<number, Error>((resume) => {
        let ownPort = 0
        socket.on("connect", () => {
          ownPort = socket.localPort!
          for (const part of bytes) socket.write(part)
        })
        socket.on("data", () => {})
        // A server may reset a connection on which it left bytes unread; closed is closed.
        socket.on("error", () => {})
        socket.on("close", () => resume(Effect.succeed(ownPort)))
      })
    ),
    Effect.timeoutOrElse({
      duration: 20_000,
      orElse: () => Effect.fail(new Error("the server keeps a connection open that sent garbage"))
    })
  )

/** The handshake of a client that does not wait for the server's answers. */
const handshake = Buffer.concat([Buffer.from([3]), Buffer.alloc(8), randomBytes(1528), randomBytes(1536)])

/** What is sent, the bytes, and the reason that the log gives for the close. */
const garbage: ReadonlyArray<readonly [string, ReadonlyArray<Uint8Array>, string]> = [
  ["a request of a web browser", [Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")], "HandshakeFailed"],
  ["a TLS greeting", [Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0]), randomBytes(512)])], "HandshakeFailed"],
  // A first chunk without a header to inherit from: no continuation can be meant.
  [
    "a handshake and then chunks that continue nothing",
    [handshake, Buffer.alloc(64 * 1024, 0xc7)],
    "ProtocolViolation"
  ],
  // A chunk size of zero.
  [
    "a handshake and then an impossible chunk size",
    [handshake, Buffer.from([2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0])],
    "ProtocolViolation"
  ]
]

layer(RunningServer.layer, { excludeTestServices: true, timeout: timeoutMs })("in spite of others", (it) => {
  it.effect(
    "a viewer plays on when its publisher is killed and comes back in time",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const url = server.url("resumed")
        const viewer = yield* NodeAvPlayer.start({ url, unprobed: true })
        yield* viewer.asked
        const first = yield* NodeAvPublisher.start({ url, clip: "h264-aac", loop: true })
        yield* viewer.got(someTime)
        yield* first.kill
        const second = yield* NodeAvPublisher.start({ url, clip: "h264-aac", loop: true })
        yield* second.accepted
        yield* second.sent(someTime)
        yield* second.leave
        const end = yield* viewer.end
        assert.strictEqual(end.reason, "eof", end.message)
        const played = viewer.packets()
        assertMonotonic(played, "the viewer")
        // Of video nothing may be missing from the second publisher, so what is before its packets is from the first.
        const isVideo = (packet: Packet) => packet.kind === "video"
        const video = played.filter(isVideo)
        const resent = second.packets().filter(isVideo)
        const split = video.length - resent.length
        assert.isAbove(split, 0, `the viewer got ${video.length} frames, the second publisher sent ${resent.length}`)
        assertSameRun(first.packets().filter(isVideo), video.slice(0, split), {
          viewer: "the viewer, before",
          fromTheStart: true,
          toTheEnd: false
        })
        assertSameRun(resent, video.slice(split), {
          viewer: "the viewer, after",
          fromTheStart: true,
          times: "shifted"
        })
        // Sound and picture are moved together.
        const shiftOf = (kind: Packet["kind"]) => {
          const last = (packets: ReadonlyArray<Packet>) => packets.findLast((packet) => packet.kind === kind)!.dtsMs
          return last(played) - last(second.packets())
        }
        assert.strictEqual(shiftOf("audio"), shiftOf("video"), "sound and picture drifted apart")
        const sent = new Set([...first.packets(), ...second.packets()].map((packet) => packet.sha256))
        assert.deepStrictEqual(
          played.filter((packet) => !sent.has(packet.sha256)),
          [],
          "packets that nobody sent"
        )
      }),
    timeoutMs
  )

  it.effect(
    "a viewer ends by itself when its publisher is killed and stays away",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const url = server.url("abandoned")
        const viewer = yield* NodeAvPlayer.start({ url, unprobed: true })
        yield* viewer.asked
        const publisher = yield* NodeAvPublisher.start({ url, clip: "h264-aac", loop: true })
        yield* viewer.got(someTime)
        const killed = yield* publisher.kill
        const end = yield* viewer.end
        assert.strictEqual(end.reason, "eof", end.message)
        const waitedMs = end.atMs - killed.atMs
        assert.isAtLeast(waitedMs, resumeGraceMs - 500, "the viewer was sent away before the grace was over")
        assert.isAtMost(waitedMs, resumeGraceMs + 5000, "the viewer was kept long after the grace was over")
        assertSameRun(publisher.packets(), viewer.packets(), {
          viewer: "the viewer",
          fromTheStart: true,
          toTheEnd: false
        })
      }),
    timeoutMs
  )

  it.effect(
    "a second publisher of a live name is told BadName, and the first goes on undisturbed",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const url = server.url("contested")
        const viewer = yield* NodeAvPlayer.start({ url, unprobed: true })
        yield* viewer.asked
        const first = yield* NodeAvPublisher.start({ url, clip: "h264-aac", loop: true })
        yield* first.accepted
        const tap = yield* Tap.open(server.port)
        const second = yield* NodeAvPublisher.start({
          url: `rtmp://127.0.0.1:${tap.port}/live/contested`,
          clip: "h264-bframes-aac"
        })
        const refused = yield* second.end
        assert.strictEqual(refused.reason, "error")
        assert.lengthOf(second.packets(), 0, "the second publisher was let in")
        assert.isTrue(tap.fromServer().includes("NetStream.Publish.BadName"), "the reason is on the wire")
        yield* server.logged("the refusal", (line) => line.reason === "PublishConflict")
        yield* first.sent(first.packets().length + someTime)
        const left = yield* first.leave
        assert.strictEqual(left.reason, "left", left.message)
        const end = yield* viewer.end
        assert.strictEqual(end.reason, "eof", end.message)
        assertSameRun(first.packets(), viewer.packets(), { viewer: "the viewer", fromTheStart: true })
      }),
    timeoutMs
  )

  it.effect(
    "connections that send garbage are closed with one log line each, and nobody else loses anything",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const url = server.url("beside-garbage")
        const viewer = yield* NodeAvPlayer.start({ url, unprobed: true })
        yield* viewer.asked
        const publisher = yield* NodeAvPublisher.start({ url, clip: "h264-aac", loop: true })
        yield* viewer.got(someTime)
        for (const [what, bytes, reason] of garbage) {
          const port = yield* sendAndWaitForClose(server.port, bytes)
          const isAboutIt = (line: LogLine) => line.client === `127.0.0.1:${port}`
          yield* server.logged(`a line about ${what} from port ${port}`, isAboutIt)
          yield* publisher.sent(publisher.packets().length + 10)
          const lines = server.log().filter(isAboutIt)
          assert.deepStrictEqual(
            lines.map((line) => line.reason),
            [reason],
            `log lines about ${what}: ${JSON.stringify(lines)}`
          )
        }
        yield* publisher.leave
        const end = yield* viewer.end
        assert.strictEqual(end.reason, "eof", end.message)
        assertSameRun(publisher.packets(), viewer.packets(), { viewer: "the viewer", fromTheStart: true })
      }),
    timeoutMs
  )

  it.effect(
    "after all that the server has logged no error, and stops in peace when it is asked to",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const ending = yield* server.stop
        assert.strictEqual(ending.signal, null)
        assert.strictEqual(ending.code, 0)
        const loud = server.log().filter((line) => !["info", "warn"].includes(line.level))
        assert.deepStrictEqual(loud, [])
        assert.deepStrictEqual(server.child.stderr, [])
      }),
    timeoutMs
  )
})
