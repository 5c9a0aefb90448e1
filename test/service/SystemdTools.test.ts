import { spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import process from "node:process"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { defaults, type ServiceSettings } from "../../src/node/ServiceSettings.ts"
import * as SystemdUnits from "../../src/node/SystemdUnits.ts"
import { missing, temporaryFolder } from "./Tools.ts"

const noAnalyze = missing("systemd-analyze")
const noActivate = missing("systemd-socket-activate")

// The check looks whether programs are there.
const there: ServiceSettings = { ...defaults, node: "/bin/true" }
const awkward: ServiceSettings = {
  ...there,
  args: ["100%", "$HOME", 'say "hi"', "back\\slash", "semi;colon", "ü ö", "%n"],
  env: { RTMP_LOG_FORMAT: "json", GREETING: '100% "it\'s" $HOME \\n' },
  configPath: "/etc/my configs/100%.yaml",
  lowPorts: true,
  socketPort: 443
}

const verify = (folder: string, units: Readonly<Record<string, string>>, names: ReadonlyArray<string>) => {
  for (const [name, text] of Object.entries(units)) Fs.writeFileSync(Path.join(folder, name), text)
  return spawnSync("systemd-analyze", ["verify", "--man=no", ...names.map((name) => Path.join(folder, name))], {
    encoding: "utf8"
  })
}

describe(`the units, as systemd reads them${noAnalyze}`, () => {
  for (const [what, settings] of Object.entries({ "with defaults": there, "with awkward settings": awkward })) {
    it.live.skipIf(noAnalyze !== "")(`${what} are without fault`, () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const result = verify(
          folder,
          {
            "effect-rtmp.service": SystemdUnits.service(settings, "single"),
            "effect-rtmp.socket": SystemdUnits.socket(1935, "single"),
            "effect-rtmp-tls.socket": SystemdUnits.socket(1936, "single", "rtmps"),
            "effect-rtmp@.service": SystemdUnits.service(settings, "instance"),
            "effect-rtmp@.socket": SystemdUnits.socket(1937, "instance"),
            "effect-rtmp-tls@.socket": SystemdUnits.socket(1938, "instance", "rtmps")
          },
          [
            "effect-rtmp.service",
            "effect-rtmp.socket",
            "effect-rtmp-tls.socket",
            "effect-rtmp@studio.service",
            "effect-rtmp@studio.socket",
            "effect-rtmp-tls@studio.socket"
          ]
        )
        assert.strictEqual(result.stderr, "")
        assert.strictEqual(result.status, 0)
      })
    )
  }

  it.live.skipIf(noAnalyze !== "")("of a user are without fault", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      Fs.writeFileSync(
        Path.join(folder, "effect-rtmp.service"),
        SystemdUnits.service({ ...there, scope: "user" }, "single")
      )
      const result = spawnSync(
        "systemd-analyze",
        ["verify", "--user", "--man=no", Path.join(folder, "effect-rtmp.service")],
        { encoding: "utf8", env: { ...process.env, XDG_RUNTIME_DIR: folder, HOME: folder } }
      )
      assert.strictEqual(result.stderr, "")
      assert.strictEqual(result.status, 0)
    })
  )

  it.live.skipIf(noAnalyze !== "")("with a fault are found out, so that the tests above can fail", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const broken = SystemdUnits.service(there, "single").replace("ProtectSystem=", "ProtectSystems=")
      assert.include(
        verify(folder, { "effect-rtmp.service": broken }, ["effect-rtmp.service"]).stderr,
        "ProtectSystems"
      )
    })
  )

  it.live.skipIf(noAnalyze !== "")("leave the server exposed to little", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const exposure = (settings: ServiceSettings): number => {
        const file = Path.join(folder, "effect-rtmp.service")
        Fs.writeFileSync(file, SystemdUnits.service(settings, "single"))
        const { stdout } = spawnSync(
          "systemd-analyze",
          ["security", "--no-pager", "--offline=true", "--json=off", file],
          { encoding: "utf8" }
        )
        return Number(/exposure level[^\d]*([\d.]+)/.exec(stdout)?.[1])
      }
      // 10 is a service without any protection.
      assert.isAtMost(exposure(there), 2)
      assert.isAtMost(exposure({ ...there, lowPorts: true }), 3)
    })
  )
})

const freePort = Effect.callback<number>((resume) => {
  const server = Net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as Net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** Connects once somebody listens, and reads what there is to read. */
const read = (port: number): Effect.Effect<string> =>
  Effect.callback<string, Error>((resume) => {
    const socket = Net.connect(port, "127.0.0.1")
    let text = ""
    socket.on("data", (bytes) => {
      text += String(bytes)
    })
    socket.on("end", () => resume(Effect.succeed(text)))
    socket.on("error", (error) => resume(Effect.fail(error)))
    return Effect.sync(() => socket.destroy())
  }).pipe(
    Effect.tapError(() => Effect.sleep(20)),
    Effect.eventually
  )

describe(`systemd-socket-activate${noActivate}`, () => {
  it.live.skipIf(noActivate !== "")("hands over a socket that the server serves, with its name", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn(
            "systemd-socket-activate",
            [
              `--listen=127.0.0.1:${port}`,
              "--fdname=rtmp",
              process.execPath,
              Path.join(import.meta.dirname, "SocketServer.ts")
            ],
            { stdio: ["ignore", "inherit", "ignore"] }
          )
        ),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      // Nothing of the server runs before this, and the connection waits until it does.
      const said = JSON.parse(yield* read(port))
      assert.deepStrictEqual(said.sockets, [{ fd: 3, name: "rtmp" }])
      assert.strictEqual(said.address, `127.0.0.1:${port}`)
      assert.deepStrictEqual(JSON.parse(yield* read(port)), said)
    })
  )
})
