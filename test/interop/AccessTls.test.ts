/**
 * Client certificates as credentials, at the server as an operator runs it.
 */
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestAuthority from "../support/TestAuthority.ts"
import * as Knock from "./Knock.ts"
import { layerWith, RunningServer } from "./RunningServer.ts"

const timeoutMs = 60_000

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-certificates-"))
const file = (name: string): string => Path.join(folder, name)

const clients = new Map<string, TestAuthority.Issued>()
let ca = ""

const settings = Effect.acquireRelease(
  Effect.promise(async () => {
    const authority = await TestAuthority.make("the authority of the clients")
    const server = await TestAuthority.forHosts(authority, "localhost")
    const other = await TestAuthority.make("another authority")
    ca = authority.certificate
    clients.set("studio", await authority.issue({ subject: "CN=studio-1" }))
    clients.set("viewer", await authority.issue({ subject: "CN=viewer-1" }))
    clients.set("expired", await authority.issue({ subject: "CN=studio-1", notAfter: new Date(Date.now() - 60_000) }))
    clients.set("forged", await other.issue({ subject: "CN=studio-1" }))
    Fs.writeFileSync(file("ca.pem"), authority.certificate)
    Fs.writeFileSync(file("server.pem"), server.certificate)
    Fs.writeFileSync(file("server.key"), server.key)
    return {
      RTMP_HTTP_ENABLED: "false",
      RTMP_TLS_ENABLED: "true",
      RTMP_TLS_HOST: "127.0.0.1",
      RTMP_TLS_PORT: "0",
      RTMP_TLS_CERT_FILE: file("server.pem"),
      RTMP_TLS_KEY_FILE: file("server.key"),
      RTMP_TLS_CLIENT_CERTIFICATES_MODE: "optional",
      RTMP_TLS_CLIENT_CERTIFICATES_CA_FILE: file("ca.pem"),
      RTMP_AUTH_CERTIFICATES: "studio=CN=studio-* application=live stream=cam* actions=publish",
      RTMP_AUTH_KEYS_ALLOW: "ann=key-of-ann",
      RTMP_AUTH_KEYS_DIRECTORY: file("keys")
    }
  }),
  () => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
)

const granted = "NetStream.Publish.Start"
const denied = "NetStream.Publish.Denied"

layer(layerWith(settings), { excludeTestServices: true, timeout: timeoutMs })("a client certificate", (it) => {
  /** What somebody with a certificate, or none, is told. */
  const publishes = (who: string | undefined, name: string, application = "live") =>
    Effect.gen(function* () {
      const server = yield* RunningServer
      const line = yield* server.logged("the port for RTMPS", (line) => line.protocol === "rtmps" && "port" in line)
      const shown = who === undefined ? undefined : clients.get(who)!
      return yield* Knock.answer({
        port: Number(line.port),
        action: "publish",
        application,
        name,
        tls: { ca, ...(shown === undefined ? {} : { cert: shown.certificate, key: shown.key }) }
      })
    })

  it.effect(
    "stands for a credential, for what it is good for, wherever its client cuts the address",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        assert.strictEqual(yield* publishes("studio", "camera"), granted)
        const line = yield* server.logged("who was let in", ({ message }) => message === "access granted")
        assert.deepInclude(line, { method: "certificate", stream: "live/camera" })
        assert.strictEqual(yield* publishes("studio", "live/camera-2", ""), granted)
        assert.strictEqual(yield* publishes("studio", "door"), denied)
        assert.strictEqual(yield* publishes("studio", "camera", "other"), denied)
      }),
    timeoutMs
  )

  it.effect(
    "that no rule names, and none at all, leave room for another credential",
    () =>
      Effect.gen(function* () {
        for (const who of ["viewer", undefined]) {
          assert.strictEqual(yield* publishes(who, "camera-3"), denied, who)
          assert.strictEqual(yield* publishes(who, `camera-4${who}?key=key-of-ann`), granted, who)
        }
      }),
    timeoutMs
  )

  it.effect(
    "that has expired, or that somebody else has issued, ends the connection, also with a key",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        for (const [who, why] of [
          ["expired", "CERT_HAS_EXPIRED"],
          ["forged", "UNABLE_TO"]
        ] as const) {
          assert.notInclude([granted, denied], yield* publishes(who, "camera-5?key=key-of-ann"))
          yield* server.logged(`the end of ${who}`, ({ detail, reason }) => {
            return reason === "TlsFailed" && String(detail).includes(why)
          })
        }
      }),
    timeoutMs
  )
})
