/** A real Prometheus: reads the metrics of a server that runs, and understands every query of the dashboard. */
import * as Fs from "node:fs"
import * as Net from "node:net"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { RtmpClient } from "../../src/client/RtmpClient.ts"
import * as NodeClient from "../../src/node/NodeClient.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as Child from "../interop/Child.ts"
import * as Tools from "../service/Tools.ts"
import * as Media from "../support/Media.ts"

const skipped = Tools.missing("prometheus", "promtool")

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url))

const dashboard = JSON.parse(
  Fs.readFileSync(new URL("../../config/grafana-dashboard.json", import.meta.url), "utf8")
) as { readonly panels: ReadonlyArray<{ readonly targets?: ReadonlyArray<{ readonly expr: string }> }> }

/** The queries as Grafana sends them: for all instances, over the shortest time that has two readings. */
const queries = dashboard.panels
  .flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
  .map((expr) => expr.replaceAll("$__rate_interval", "4s").replaceAll("$instance", ".*"))

const freePort = Effect.callback<number>((resume) => {
  const server = Net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as Net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

const media: Stream.Stream<ReadonlyArray<Message>> = Stream.concat(
  Stream.make([Media.videoHeader(0)]),
  Stream.map(Stream.tick("20 millis").pipe(Stream.zipWithIndex), ([, index]) => [
    index % 25 === 0 ? Media.keyframe(index * 20, index & 0xffff) : Media.interFrame(index * 20, index & 0xffff)
  ])
)

const listening = (child: Child.Child, protocol: string) =>
  Child.until(child, `${protocol} to listen`, (child) => {
    const line = child.stdout.find((text) => text.includes('"listening"') && text.includes(`"protocol":"${protocol}"`))
    return line === undefined ? undefined : (JSON.parse(line) as { readonly port: number }).port
  })

const text = (url: string, init: RequestInit = {}) =>
  Effect.promise(() => fetch(url, init).then((response) => response.text()))

interface Result {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [number, string]
}

describe.skipIf(skipped !== "")(`Prometheus${skipped}`, () => {
  it.live(
    "scrapes a server, finds nothing to object to, and answers all that the dashboard asks",
    () =>
      Effect.gen(function* () {
        const folder = yield* Tools.temporaryFolder
        const server = yield* Child.spawn({
          name: "effect-rtmp",
          command: process.execPath,
          args: [main],
          cwd: folder,
          env: {
            RTMP_LISTEN_HOST: "127.0.0.1",
            RTMP_LISTEN_PORT: "0",
            RTMP_HTTP_PORT: "0",
            RTMP_HTTP_READ_TOKENS: "reader",
            RTMP_METRICS_STREAM_LABELS: "true",
            RTMP_LOG_FORMAT: "json",
            RTMP_LOG_OUTPUT: "stdout"
          }
        })
        const http = yield* listening(server, "http")
        const rtmp = yield* listening(server, "rtmp")
        const client = yield* RtmpClient
        const url = `rtmp://127.0.0.1:${rtmp}/live/a`
        yield* Effect.forkScoped(Effect.result(client.publish(url, media)))
        yield* Effect.forkScoped(Effect.result(Stream.runDrain(client.play(url))))

        const port = yield* freePort
        Fs.writeFileSync(Path.join(folder, "token"), "reader")
        Fs.writeFileSync(
          Path.join(folder, "prometheus.yaml"),
          [
            "global: { scrape_interval: 1s, scrape_timeout: 1s }",
            "scrape_configs:",
            "  - job_name: effect-rtmp",
            "    authorization: { credentials_file: token }",
            `    static_configs: [{ targets: ["127.0.0.1:${http}"] }]`
          ].join("\n")
        )
        yield* Child.spawn({
          name: "prometheus",
          command: "prometheus",
          args: [
            "--config.file=prometheus.yaml",
            "--storage.tsdb.path=data",
            `--web.listen-address=127.0.0.1:${port}`,
            "--web.enable-lifecycle"
          ],
          cwd: folder
        })
        const ask = (query: string) =>
          Effect.tryPromise(async () => {
            const body = new URLSearchParams({ query })
            const response = await fetch(`http://127.0.0.1:${port}/api/v1/query`, { method: "POST", body })
            const { data, error, status } = (await response.json()) as {
              readonly status: string
              readonly error?: string
              readonly data?: { readonly result: ReadonlyArray<Result> }
            }
            return { status, error, result: data?.result ?? [] }
          })
        const until = (query: string) =>
          ask(query).pipe(
            Effect.flatMap((answer) =>
              answer.result.length > 0 ? Effect.succeed(answer) : Effect.fail("nothing yet")
            ),
            Effect.retry({ schedule: Schedule.spaced("250 millis"), times: 100 })
          )
        yield* until("up == 1")
        const viewers = yield* until("rtmp_viewers == 1")
        assert.deepInclude(viewers.result[0]?.metric, { job: "effect-rtmp", instance: `127.0.0.1:${http}` })
        yield* until("rate(rtmp_sent_bytes_total[4s]) > 0")
        const empty: Array<string> = []
        for (const query of queries) {
          const { error, result, status } = yield* ask(query)
          assert.deepStrictEqual([status, error], ["success", undefined], query)
          // What hides zeros is empty as long as nothing goes wrong.
          const all = query.includes(" > 0") ? (yield* ask(query.replaceAll(" > 0", ""))).result : result
          if (all.length === 0) empty.push(query)
        }
        // All series are there from the start, with 0: a panel that is empty is one that asks for something else.
        assert.deepStrictEqual(empty, [])

        const metrics = yield* text(`http://127.0.0.1:${http}/metrics`, { headers: { authorization: "Bearer reader" } })
        Fs.writeFileSync(Path.join(folder, "metrics"), metrics)
        const lint = yield* Child.spawn({
          name: "promtool",
          command: "sh",
          args: ["-c", "promtool check metrics < metrics"],
          cwd: folder
        })
        const { code } = yield* Child.ended(lint)
        assert.deepStrictEqual([code, lint.stdout, lint.stderr], [0, [], []])
      }).pipe(Effect.provide(NodeClient.layer), Effect.scoped),
    60_000
  )
})
