/**
 * The load generator, a process of its own: `node test/bench/load.ts '<Work as JSON>'`. The bench starts it, and talks
 * to it as `LoadProtocol` says.
 *
 * Publishers are those of the client room. Viewers are `Viewer`s, of which one process carries thousands.
 */
import process from "node:process"
import * as Readline from "node:readline"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { RtmpClient } from "../../src/client/RtmpClient.ts"
import * as NodeClient from "../../src/node/NodeClient.ts"
import { ClientSession } from "../../src/protocol/ClientSession.ts"
import { defaultClientOptions } from "../../src/protocol/ClientSessionState.ts"
import type { Message } from "../../src/protocol/Message.ts"
import type {
  Answer,
  IdleWork,
  Notice,
  PlayWork,
  PublishWork,
  ReadWork,
  Report,
  Request,
  Work
} from "./LoadProtocol.ts"
import { emptyReport } from "./LoadProtocol.ts"
import * as Synthetic from "./Synthetic.ts"
import { readAll, Tally, Viewer } from "./Viewer.ts"

const say = (line: Notice | Answer): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

/** Does what a request asks for, apart from the report, which follows every request. */
interface Load {
  readonly perform: (request: Request) => void
  readonly report: (request: Request) => Omit<Report, "cpuSeconds">
}

const publish = (work: PublishWork): Load => {
  const sources = work.streams.map(() => new Synthetic.Synthetic(work.videoKbps, work.audioKbps))
  let latestMs = 0
  let bytesAtReset = 0
  let running = 0
  const bytes = () => sources.reduce((sum, source) => sum + source.bytes, 0)

  const media = (source: Synthetic.Synthetic): Stream.Stream<ReadonlyArray<Message>> => {
    let startedMs = -1
    const take = Effect.sync((): readonly [ReadonlyArray<Message>] => {
      latestMs = Math.max(latestMs, Synthetic.nowMs() - startedMs - source.dueMs)
      return [source.take()]
    })
    const pull = Effect.suspend(() => {
      if (startedMs < 0) {
        startedMs = Synthetic.nowMs()
        if (++running === sources.length) say({ notice: "started" })
      }
      const waitMs = startedMs + source.dueMs - Synthetic.nowMs()
      return waitMs > 0 ? Effect.delay(take, waitMs) : take
    })
    return Stream.fromPull(Effect.succeed(pull))
  }

  const program = Effect.gen(function* () {
    const client = yield* RtmpClient
    const { application, port, streams } = work
    yield* Effect.forEach(
      sources,
      (source, i) =>
        // Encoders do not tick together: their frames are spread over the time of one.
        Effect.delay(
          client.publish(`rtmp://127.0.0.1:${port}/${application}/${streams[i]}`, media(source)),
          (i * 33) / sources.length
        ),
      { concurrency: "unbounded", discard: true }
    )
  })
  Effect.runFork(
    Effect.catch(Effect.provide(program, NodeClient.layer), (error) =>
      Effect.sync(() => say({ notice: "failed", detail: `publish: ${error.message}` }))
    )
  )
  return {
    perform: (request) => {
      if (request.do !== "reset") return
      latestMs = 0
      bytesAtReset = bytes()
    },
    report: () => ({
      ...emptyReport,
      connections: sources.length,
      ready: running,
      bytes: bytes() - bytesAtReset,
      latestMs
    })
  }
}

const connect = (work: PlayWork | IdleWork): Load => {
  const sessions = Effect.runSync(Effect.provide(ClientSession, NodeClient.layerSession))
  const { application, perSecond, port } = work
  const wanted = work.role === "play" ? work.viewers : work.connections
  const viewers: Array<Viewer> = []
  const tally = new Tally()
  let ready = 0
  const onReady = () => {
    if (++ready === wanted) say({ notice: "started" })
  }
  const startedMs = performance.now()
  const open = () => {
    const due = Math.min(wanted, Math.floor(((performance.now() - startedMs) * perSecond) / 1e3) + 1)
    while (viewers.length < due) {
      const stream = work.role === "play" ? work.streams[viewers.length % work.streams.length]! : "idle"
      const tcUrl = `rtmp://127.0.0.1:${port}/${application}`
      const session = sessions.make({ intent: "play", application, stream, tcUrl }, defaultClientOptions)
      const secure = work.role === "play" && work.secure === true
      viewers.push(new Viewer(port, secure, session, tally, work.role === "idle", onReady))
    }
    if (viewers.length < wanted) setTimeout(open, 5)
  }
  open()
  const chosen = ({ from, to }: Request) => viewers.slice(from ?? 0, to ?? viewers.length)
  return {
    perform: (request) => {
      if (request.do === "report") return
      for (const viewer of chosen(request)) viewer[request.do]()
      if (request.do === "reset") tally.latency.fill(0)
    },
    report: (request) => {
      const some = chosen(request)
      const sum = (pick: (viewer: Viewer) => number) => some.reduce((total, viewer) => total + pick(viewer), 0)
      const latency: Array<readonly [number, number]> = []
      tally.latency.forEach((count, tenths) => {
        if (count > 0) latency.push([tenths, count])
      })
      return {
        ...emptyReport,
        connections: some.length,
        ready: sum((v) => (v.ready ? 1 : 0)),
        ended: sum((v) => (v.ended ? 1 : 0)),
        bytes: sum((v) => v.bytes),
        frames: sum((v) => v.frames),
        lost: sum((v) => v.lost),
        videoGaps: sum((v) => v.videoGaps),
        gapsEndedByKeyframe: sum((v) => v.gapsEndedByKeyframe),
        viewersWithGaps: sum((v) => (v.videoGaps > 0 ? 1 : 0)),
        disordered: sum((v) => v.disordered),
        firstVideoMs: some.map((v) => v.firstVideoMs).filter((ms) => ms >= 0),
        firstKeyframeMs: some.map((v) => v.firstKeyframeMs).filter((ms) => ms >= 0),
        latency
      }
    }
  }
}

const read = ({ perSecond, port, secure = false, viewers }: ReadWork): Load => {
  let opened = 0
  let connected = 0
  let bytes = 0
  const startedMs = performance.now()
  const open = () => {
    const due = Math.min(viewers, Math.floor(((performance.now() - startedMs) * perSecond) / 1e3) + 1)
    for (; opened < due; opened++) {
      readAll(
        port,
        secure,
        () => {
          if (++connected === viewers) say({ notice: "started" })
        },
        (length) => {
          bytes += length
        }
      )
    }
    if (opened < viewers) setTimeout(open, 5)
  }
  open()
  return {
    perform: (request) => {
      if (request.do === "reset") bytes = 0
    },
    report: () => ({ ...emptyReport, connections: viewers, ready: connected, bytes })
  }
}

const work = JSON.parse(process.argv[2] ?? "{}") as Work
const load = work.role === "publish" ? publish(work) : work.role === "read" ? read(work) : connect(work)
let cpuAtReset = process.cpuUsage()

const lines = Readline.createInterface({ input: process.stdin })
lines.on("line", (line) => {
  const request = JSON.parse(line) as Request
  load.perform(request)
  if (request.do === "reset") cpuAtReset = process.cpuUsage()
  const cpu = process.cpuUsage(cpuAtReset)
  say({ id: request.id, report: { ...load.report(request), cpuSeconds: (cpu.user + cpu.system) / 1e6 } })
})
lines.on("close", () => process.exit(0))
