/**
 * RTMPS with real clients that verify the server's certificate: FFmpeg 8 from `node-av` always, GStreamer where installed.
 */
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestAuthority from "../support/TestAuthority.ts"
import * as Child from "./Child.ts"
import * as NodeAvPlayer from "./NodeAvPlayer.ts"
import * as NodeAvPublisher from "./NodeAvPublisher.ts"
import { assertSameRun } from "./Packet.ts"
import { layerWith, RunningServer } from "./RunningServer.ts"
import { missing } from "./SystemClients.ts"

const timeoutMs = 60_000
const handshakeTimeoutMs = 4_000
const someTime = 120

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-rtmps-"))
const file = (name: string): string => Path.join(folder, name)

const settings = Effect.acquireRelease(
  Effect.promise(async () => {
    const authority = await TestAuthority.make("the authority of the clients")
    const server = await TestAuthority.forHosts(authority, "localhost")
    const other = await TestAuthority.make("another authority")
    Fs.writeFileSync(file("ca.pem"), authority.certificate)
    Fs.writeFileSync(file("other.pem"), other.certificate)
    Fs.writeFileSync(file("server.pem"), server.certificate)
    Fs.writeFileSync(file("server.key"), server.key)
    return {
      RTMP_HTTP_ENABLED: "false",
      RTMP_HANDSHAKE_TIMEOUT: `${handshakeTimeoutMs} millis`,
      RTMP_TLS_ENABLED: "true",
      RTMP_TLS_HOST: "127.0.0.1",
      RTMP_TLS_PORT: "0",
      RTMP_TLS_CERT_FILE: file("server.pem"),
      RTMP_TLS_KEY_FILE: file("server.key")
    }
  }),
  () => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
)

const securePort = Effect.gen(function* () {
  const server = yield* RunningServer
  const line = yield* server.logged("the port for RTMPS", (line) => line.protocol === "rtmps" && "port" in line)
  return Number(line.port)
})

layer(layerWith(settings), { excludeTestServices: true, timeout: timeoutMs })("over RTMPS", (it) => {
  it.effect(
    "FFmpeg publishes and plays with verification on, byte for byte, beside a viewer in the clear",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const ca = file("ca.pem")
        const url = `rtmps://localhost:${yield* securePort}/live/verified`
        const secure = yield* NodeAvPlayer.start({ url, ca, name: "the viewer through TLS" })
        const plain = yield* NodeAvPlayer.start({ url: server.url("verified"), name: "the viewer in the clear" })
        yield* Effect.all([secure.asked, plain.asked])
        const publisher = yield* NodeAvPublisher.start({ url, ca, clip: "h264-aac", loop: true })
        yield* publisher.accepted
        yield* publisher.sent(someTime)
        const late = yield* NodeAvPlayer.start({ url, ca, name: "the viewer that came late" })
        const viewers = [secure, plain, late]
        yield* Effect.all(
          viewers.map((viewer) => viewer.got(someTime)),
          { concurrency: "unbounded" }
        )
        const left = yield* publisher.leave
        assert.strictEqual(left.reason, "left", left.message)
        for (const viewer of viewers) {
          const end = yield* viewer.end
          assert.strictEqual(end.reason, "eof", `${viewer.child.name}: ${end.message}`)
          assertSameRun(publisher.packets(), viewer.packets(), {
            viewer: viewer.child.name,
            fromTheStart: viewer !== late
          })
        }
      }),
    timeoutMs
  )

  it.effect(
    "FFmpeg turns away from a server that it has no reason to trust, and the log says so",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const url = `rtmps://localhost:${yield* securePort}/live/distrusted`
        const player = yield* NodeAvPlayer.start({ url, ca: file("other.pem") })
        assert.strictEqual((yield* player.end).reason, "error")
        const line = yield* server.logged("the end of the connection", ({ reason }) => reason === "TlsFailed")
        assert.include(String(line.detail), "CertificateRefused")
        assert.match(String(line.client), /^127\.0\.0\.1:\d+$/)
      }),
    timeoutMs
  )

  it.effect(
    "a client that does not come to an end with the TLS handshake is dropped at the deadline of the handshake",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const port = yield* securePort
        const socket = yield* Effect.acquireRelease(
          Effect.sync(() => Net.connect(port, "127.0.0.1").on("error", () => {})),
          (socket) => Effect.sync(() => socket.destroy())
        )
        // The beginning of a greeting, and nothing more.
        socket.write(Buffer.from("1603010200010001fc0303", "hex"))
        yield* Effect.callback<void>((resume) => {
          socket.on("close", () => resume(Effect.void)).resume()
        })
        yield* server.logged("the deadline", ({ reason }) => reason === "HandshakeTimeout")
      }),
    timeoutMs
  )

  const gap = missing(["gst:rtmp2sink", "gst:x264enc"])
  if (gap !== undefined) console.log(`rtmp2sink is not tried over RTMPS: ${gap}`)
  it.effect.skipIf(gap !== undefined)(
    "GStreamer's rtmp2sink publishes",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const location = `location=rtmps://localhost:${yield* securePort}/live/gst`
        // It verifies by the authorities of the system only, of which the test's is none.
        const sink = ["rtmp2sink", location, "tls-validation-flags=0"]
        const child = yield* Child.spawn({
          name: "rtmp2sink",
          command: "gst-launch-1.0",
          args: ["-q", "videotestsrc", "num-buffers=60", "!", "x264enc", "!", "flvmux", "!", ...sink]
        })
        const { code } = yield* Child.ended(child, 30_000)
        assert.strictEqual(code, 0, Child.transcript(child))
        yield* server.logged("the end of the stream", ({ message, stream }) => {
          return message === "publish stopped" && stream === "live/gst"
        })
      }),
    timeoutMs
  )
})
