/**
 * The smoke test of the package: what a user gets from npm, on a machine that has never seen this repository.
 *
 * It builds, packs, installs the archive into an empty project, imports its public face, starts its executable on a free
 * port, shakes hands with it over TCP, and stops it by its process id. It prints one line per step and the sums at last;
 * it is not part of `npm test`, because it needs npm and the network.
 */
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const work = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-rtmp-smoke-"))
const project = Path.join(work, "project")

const handshakeBytes = 1536

let passed = 0
let failed = 0

/** Runs a step; after a failure the ones that need it are not tried, and count as failed. */
const step = async (name: string, body: () => Promise<void> | void): Promise<void> => {
  if (failed > 0) {
    failed++
    console.log(`not tried  ${name}`)
    return
  }
  try {
    await body()
    passed++
    console.log(`passed     ${name}`)
  } catch (error) {
    failed++
    console.log(`FAILED     ${name}\n${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Runs a program to its end and gives back its standard output. */
const run = (command: string, args: ReadonlyArray<string>, cwd: string): string => {
  const result = ChildProcess.spawnSync(command, args, { cwd, encoding: "utf8", timeout: 600_000, stdio: "pipe" })
  if (result.error !== undefined) throw result.error
  if (result.status !== 0)
    throw new Error(`${command} ${args.join(" ")}: exit ${result.status}\n${result.stdout}${result.stderr}`)
  return result.stdout
}

const check = (condition: boolean, message: string): void => {
  if (!condition) throw new Error(message)
}

const within = async <A>(ms: number, what: string, promise: Promise<A>): Promise<A> => {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}

const freePort = async (): Promise<number> => {
  const server = Net.createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as Net.AddressInfo
  server.close()
  await once(server, "close")
  return port
}

/** Sends C0 and C1, reads S0, S1 and S2, and answers with C2 (RTMP 1.0 §5.2). */
const shakeHands = async (port: number): Promise<void> => {
  const socket = Net.connect(port, "127.0.0.1")
  try {
    await once(socket, "connect")
    const c1 = Buffer.alloc(handshakeBytes, 7)
    c1.fill(0, 0, 8)
    socket.write(Buffer.concat([Buffer.from([3]), c1]))
    let reply = Buffer.alloc(0)
    for await (const data of socket) {
      reply = Buffer.concat([reply, data as Buffer])
      if (reply.length >= 1 + 2 * handshakeBytes) break
    }
    check(reply.length === 1 + 2 * handshakeBytes, `the server answered with ${reply.length} bytes`)
    check(reply[0] === 3, `S0 is ${reply[0]}, not 3`)
    const echo = reply.subarray(1 + handshakeBytes + 8)
    check(echo.equals(c1.subarray(8)), "S2 does not repeat the random bytes of C1")
  } finally {
    socket.destroy()
  }
}

let archive = ""
let server: ChildProcess.ChildProcess | undefined
let output = ""
let port = 0

try {
  await step("build", () => {
    run("npm", ["run", "build"], root)
    check(Fs.existsSync(Path.join(root, "dist/main.js")), "there is no dist/main.js")
  })

  await step("pack", () => {
    const report = run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", work], root)
    const start = report.search(/^[[{]/m)
    check(start !== -1, `npm pack did not answer in JSON:\n${report}`)
    const parsed = JSON.parse(report.slice(start)) as unknown
    // An array up to npm 11, an object by the package's name after it.
    const [packed] = Object.values(parsed as Record<string, unknown>) as ReadonlyArray<{
      readonly filename: string
      readonly files: ReadonlyArray<{ readonly path: string }>
    }>
    check(packed !== undefined, "npm pack packed nothing")
    archive = Path.join(work, Path.basename(packed!.filename))
    const paths = packed!.files.map((file) => file.path)
    const required = ["dist/main.js", "dist/index.js", "dist/index.d.ts", "src/index.ts", "README.md", "LICENSE"]
    for (const path of [...required, "config/effect-rtmp.env.example"]) {
      check(paths.includes(path), `the archive lacks ${path}`)
    }
    const stray = paths.filter((path) => /^(?:test|\.ci|node_modules)\//.test(path) || path.endsWith("tsconfig.json"))
    check(stray.length === 0, `the archive holds ${stray.join(", ")}`)
  })

  await step("install into an empty project", () => {
    Fs.mkdirSync(project)
    const manifest = { name: "smoke", version: "1.0.0", private: true, type: "module" }
    Fs.writeFileSync(Path.join(project, "package.json"), JSON.stringify(manifest))
    run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", archive], project)
  })

  await step("import the public face and a module by its path", () => {
    const program = [
      'const face = await import("effect-rtmp")',
      'const config = await import("effect-rtmp/config/RtmpConfig")',
      'if (Object.keys(face).length === 0) throw new Error("the public face is empty")',
      'if (config.RtmpConfig.defaults.listen.port !== 1935) throw new Error("the defaults are not there")'
    ].join("\n")
    run(process.execPath, ["--input-type=module", "--eval", program], project)
  })

  await step("type-check the examples of the README", () => {
    const readme = Fs.readFileSync(Path.join(root, "README.md"), "utf8")
    const examples = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1]!)
    check(examples.length > 0, "the README has no examples")
    const names = examples.map((_, index) => `example${index + 1}.ts`)
    for (const [index, name] of names.entries()) Fs.writeFileSync(Path.join(project, name), examples[index]!)
    const options = ["--noEmit", "--strict", "--module", "NodeNext", "--target", "ES2024", "--skipLibCheck"]
    run(process.execPath, [Path.join(root, "node_modules/typescript/bin/tsc"), ...options, ...names], project)
  })

  await step("start the executable, which says where it listens", async () => {
    port = await freePort()
    const bin = Path.join(project, "node_modules/.bin/effect-rtmp")
    check(Fs.existsSync(bin), "the package has no executable effect-rtmp")
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      // The executable starts with `node` from the path: the one that runs this test.
      PATH: `${Path.dirname(process.execPath)}${Path.delimiter}${process.env.PATH ?? ""}`,
      RTMP_LISTEN_HOST: "127.0.0.1",
      RTMP_LISTEN_PORT: String(port),
      RTMP_LOG_FORMAT: "json"
    }
    const child = ChildProcess.spawn(bin, [], { cwd: project, env, stdio: ["ignore", "pipe", "pipe"] })
    server = child
    const isListening = new Promise<void>((resolve, reject) => {
      const onData = (data: Buffer): void => {
        output += data.toString("utf8")
        if (output.includes(String(port))) resolve()
      }
      child.stdout.on("data", onData)
      child.stderr.on("data", onData)
      child.on("error", reject)
      child.on("exit", (code) => reject(new Error(`the executable ended with ${code}\n${output}`)))
    })
    await within(20_000, `a log line with port ${port}`, isListening).catch((error: Error) => {
      throw new Error(`${error.message}\n${output}`)
    })
  })

  await step("answer a handshake", () => within(10_000, "the handshake", shakeHands(port)))

  await step("stop by process id", async () => {
    const child = server!
    const exit = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>
    child.kill("SIGTERM")
    const [code, signal] = await within(20_000, "the end of the process", exit)
    // 143 is how a shell counts a process that ended of SIGTERM; 130 is Effect's code for an interrupted program.
    const isClean = signal === "SIGTERM" || (code !== null && [0, 130, 143].includes(code))
    check(isClean, `it ended with ${code ?? signal}\n${output}`)
  })
} finally {
  if (server !== undefined && server.exitCode === null && server.signalCode === null) server.kill("SIGKILL")
  Fs.rmSync(work, { recursive: true, force: true })
}

console.log(`smoke: ${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
