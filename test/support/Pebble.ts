/**
 * A real ACME server for tests: `pebble`, with a certificate of an authority that the test makes, and a name server of ours
 * that says of every name that it is this machine. Names are validated as they would be in the world, at other ports.
 */
import { execFileSync } from "node:child_process"
import { randomInt } from "node:crypto"
import * as Dgram from "node:dgram"
import * as Fs from "node:fs"
import * as Https from "node:https"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Child from "../interop/Child.ts"
import * as TestAuthority from "./TestAuthority.ts"

/** Whether the program is there; where it is not, tests say so and are skipped. */
export const isInstalled: boolean = (() => {
  try {
    execFileSync("pebble", ["-h"], { stdio: "ignore" })
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ENOENT"
  }
})()

if (!isInstalled) console.warn("skipped: the tests against an ACME server, because `pebble` is not installed")

/** A running directory. `roots` gives the authorities that its certificates go back to. */
export interface Pebble {
  readonly directoryUrl: string
  /** PEM file with the authority of the directory's own address. */
  readonly caFile: string
  readonly roots: Effect.Effect<string>
  readonly stop: Effect.Effect<void>
}

/** How it is set up; the ports are those that it validates at. */
export interface PebbleOptions {
  readonly folder: string
  readonly httpPort?: number
  readonly tlsPort?: number
  readonly validitySeconds?: number
  /** The accounts that it asks to be used, with their keys in base64 (URL-safe); without them it asks for none. */
  readonly accounts?: Readonly<Record<string, string>>
  /** Names that it gives no certificate for. */
  readonly blocked?: ReadonlyArray<string>
}

/**
 * A port that is free now, and stays so: below those that the system gives to whoever asks for any, which may be taken by
 * another test before this one is at it.
 */
export const freePort: Effect.Effect<number> = Effect.callback<number>((resume) => {
  const attempt = (): void => {
    const port = randomInt(20_000, 32_000)
    const server = Net.createServer()
    server.once("error", attempt)
    server.listen(port, "127.0.0.1", () => {
      server.close(() => resume(Effect.succeed(port)))
    })
  }
  attempt()
})

/** Starts a directory, which ends with the scope. */
export const start = (options: PebbleOptions): Effect.Effect<Pebble, Child.ChildError, Scope.Scope> =>
  Effect.gen(function* () {
    const { accounts, blocked = [], folder, httpPort = 1, tlsPort = 1, validitySeconds = 86_400 } = options
    const at = (name: string) => Path.join(folder, name)
    const authority = yield* Effect.promise(() => TestAuthority.make("Pebble of a test"))
    const own = yield* Effect.promise(() => TestAuthority.forHosts(authority, "localhost"))
    const [port, managementPort] = [yield* freePort, yield* freePort]
    const config = {
      pebble: {
        listenAddress: `127.0.0.1:${port}`,
        managementListenAddress: `127.0.0.1:${managementPort}`,
        certificate: at("pebble.pem"),
        privateKey: at("pebble.key"),
        httpPort,
        tlsPort,
        ocspResponderURL: "",
        externalAccountBindingRequired: accounts !== undefined,
        externalAccountMACKeys: accounts ?? {},
        certificateValidityPeriod: validitySeconds,
        domainBlocklist: blocked
      }
    }
    Fs.writeFileSync(at("pebble-ca.pem"), authority.certificate)
    Fs.writeFileSync(at("pebble.pem"), own.certificate)
    Fs.writeFileSync(at("pebble.key"), own.key)
    Fs.writeFileSync(at("pebble.json"), JSON.stringify(config))
    const names = yield* nameServer
    const child = yield* Child.spawn({
      name: "pebble",
      command: "pebble",
      args: ["-config", at("pebble.json"), "-dnsserver", `127.0.0.1:${names}`],
      env: { PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "0", PEBBLE_AUTHZREUSE: "0" }
    })
    const isUp = (line: string) => line.includes("Listening on:")
    yield* Child.until(child, "the directory", ({ stderr, stdout }) =>
      [...stdout, ...stderr].filter(isUp).length >= 1 && [...stdout, ...stderr].some((it) => it.includes("Management"))
        ? true
        : undefined
    )
    return {
      directoryUrl: `https://localhost:${port}/dir`,
      caFile: at("pebble-ca.pem"),
      roots: Effect.promise(() => get(managementPort, "/roots/0", authority.certificate)),
      stop: Effect.suspend(() => {
        Child.signal(child, "SIGKILL")
        return Effect.asVoid(Effect.orDie(Child.ended(child)))
      })
    }
  })

const get = (port: number, path: string, ca: string): Promise<string> =>
  new Promise((resolve, reject) => {
    Https.get({ host: "localhost", port, path, ca, agent: false }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (chunk: string) => {
        text += chunk
      })
      response.on("end", () => resolve(text))
    }).on("error", reject)
  })

/** Answers every question for an address (RFC 1035 §4.1) with this machine, over UDP. Gives its port. */
const nameServer: Effect.Effect<number, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.callback<Dgram.Socket>((resume) => {
      const socket = Dgram.createSocket("udp4")
      socket.on("message", (query, from) => {
        let end = 12
        while (query[end] !== 0) end += query[end]! + 1
        const isAddress = query.readUInt16BE(end + 1) === 1
        const head = Buffer.from(query.subarray(0, 12))
        head.writeUInt16BE(0x8180, 2)
        head.writeUInt16BE(isAddress ? 1 : 0, 6)
        head.writeUInt16BE(0, 8)
        head.writeUInt16BE(0, 10)
        const answer = isAddress
          ? Buffer.from([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1])
          : Buffer.alloc(0)
        socket.send(Buffer.concat([head, query.subarray(12, end + 5), answer]), from.port, from.address)
      })
      socket.bind(0, "127.0.0.1", () => resume(Effect.succeed(socket)))
    }),
    (socket) =>
      Effect.callback<void>((resume) => {
        socket.close(() => resume(Effect.void))
      })
  ),
  (socket) => socket.address().port
)
