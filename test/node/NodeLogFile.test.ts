import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { gunzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as NodeLogFile from "../../src/node/NodeLogFile.ts"
import type { FileSettings } from "../../src/observability/LogSink.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(tmpdir(), "effect-rtmp-log-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

const settings = (path: string, more: Partial<FileSettings> = {}): FileSettings => ({
  path,
  maxBytes: 1_000_000,
  interval: "never",
  gzip: false,
  maxFiles: 3,
  ...more
})

/** Opens a sink that tries again at once; `reports` is what the operator was told. */
const open = (file: FileSettings, maxQueuedBytes?: number) =>
  Effect.gen(function* () {
    const reports: Array<string> = []
    const resumes: Array<number> = []
    const sink = yield* NodeLogFile.sink(file, {
      onResume: (lost) => resumes.push(lost),
      report: (text) => reports.push(text),
      retry: Schedule.spaced("5 millis"),
      maxBatchBytes: 400,
      ...(maxQueuedBytes === undefined ? {} : { maxQueuedBytes })
    })
    return { sink, reports, resumes }
  })

const line = (i: number): string => `line ${String(i).padStart(4, "0")} ${"x".repeat(90)}`

const textOf = (path: string): string =>
  path.endsWith(".gz") ? gunzipSync(Fs.readFileSync(path)).toString() : Fs.readFileSync(path, "utf8")

const numbersIn = (text: string): ReadonlyArray<number> => [...text.matchAll(/line (\d+)/g)].map(([, i]) => Number(i))

describe("NodeLogFile", () => {
  it.live("makes the directory, appends, and lets only the owner and the group read", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* directory, "a", "b", "server.log")
      for (const text of ["first", "second"]) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { reports, sink } = yield* open(settings(path))
            sink.write(text, "info")
            yield* sink.flush
            assert.deepStrictEqual(reports, [])
          })
        )
      }
      assert.strictEqual(textOf(path), "first\nsecond\n")
      assert.strictEqual(Fs.statSync(path).mode & 0o007, 0)
    })
  )

  for (const gzip of [true, false]) {
    it.live(`puts full files aside ${gzip ? "compressed" : "as they are"}, and keeps so many of them`, () =>
      Effect.gen(function* () {
        const root = yield* directory
        const path = Path.join(root, "server.log")
        const { reports, sink } = yield* open(settings(path, { gzip, maxBytes: 1_000, maxFiles: 2 }))
        for (let i = 0; i < 60; i++) {
          sink.write(line(i), "info")
          if (i % 5 === 4) yield* sink.flush
        }
        yield* sink.close
        const end = gzip ? ".gz" : ""
        assert.deepStrictEqual(Fs.readdirSync(root).sort(), ["server.log", `server.log.1${end}`, `server.log.2${end}`])
        const kept = [`${path}.2${end}`, `${path}.1${end}`, path].flatMap((file) => numbersIn(textOf(file)))
        assert.isAbove(kept.length, 10)
        assert.deepStrictEqual(
          kept,
          Array.from({ length: kept.length }, (_, i) => 60 - kept.length + i)
        )
        assert.strictEqual(sink.lost(), 0)
        assert.deepStrictEqual(reports, [])
      })
    )
  }

  it.live("ends a line that a crash cut off before it writes the next", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* directory, "server.log")
      Fs.writeFileSync(path, '{"time":"2026')
      const { sink } = yield* open(settings(path))
      sink.write("next", "info")
      yield* sink.flush
      assert.strictEqual(textOf(path), '{"time":"2026\nnext\n')
    })
  )

  it.live("holds what fits and counts the rest while a file is in the way, and writes when it is gone", () =>
    Effect.gen(function* () {
      const root = yield* directory
      const blocker = Path.join(root, "logs")
      Fs.writeFileSync(blocker, "in the way")
      const path = Path.join(blocker, "server.log")
      const { reports, resumes, sink } = yield* open(settings(path), 20 * (line(0).length + 64))
      for (let i = 0; i < 50; i++) sink.write(line(i), "info")
      assert.strictEqual(sink.lost(), 30)
      while (reports.length === 0) yield* Effect.sleep("1 millis")
      Fs.rmSync(blocker)
      yield* sink.flush
      assert.deepStrictEqual(
        numbersIn(textOf(path)),
        Array.from({ length: 20 }, (_, i) => i)
      )
      assert.deepStrictEqual(resumes, [30])
      assert.strictEqual(reports.length, 1)
      assert.include(reports[0], `cannot write ${path}`)
    })
  )

  for (const [what, take] of [
    ["its directory was removed", (root: string) => Fs.rmSync(Path.join(root, "logs"), { recursive: true })],
    ["its directory was moved", (root: string) => Fs.renameSync(Path.join(root, "logs"), Path.join(root, "old"))],
    [
      "it was moved alone",
      (root: string) => Fs.renameSync(Path.join(root, "logs", "server.log"), Path.join(root, "old"))
    ],
    [
      "another one came in its place",
      (root: string) => {
        Fs.writeFileSync(Path.join(root, "new"), "")
        Fs.renameSync(Path.join(root, "new"), Path.join(root, "logs", "server.log"))
      }
    ]
  ] as const) {
    it.live(`is made anew when ${what}, so that no line goes where nobody looks`, () =>
      Effect.gen(function* () {
        const root = yield* directory
        const path = Path.join(root, "logs", "server.log")
        // Full after each seventh line, so that it is also put aside in between.
        const { reports, sink } = yield* open(settings(path, { maxBytes: 700, maxFiles: 9 }))
        let next = 0
        const writeSome = Effect.gen(function* () {
          for (let i = 0; i < 10; i++) {
            sink.write(line(next++), "info")
            yield* sink.flush
          }
        })
        yield* writeSome
        take(root)
        const from = next
        yield* writeSome
        yield* writeSome
        const written = ["server.log.5", "server.log.4", "server.log.3", "server.log.2", "server.log.1", "server.log"]
          .map((name) => Path.join(root, "logs", name))
          .flatMap((file) => (Fs.existsSync(file) ? numbersIn(textOf(file)) : []))
        assert.deepStrictEqual(
          written.filter((number) => number >= from),
          Array.from({ length: 20 }, (_, i) => from + i)
        )
        assert.deepStrictEqual([reports, sink.lost()], [[], 0])
      })
    )
  }

  it.live(
    "is made anew each time that logrotate has put it aside and made an empty one, however little was written",
    () =>
      Effect.gen(function* () {
        const root = yield* directory
        const path = Path.join(root, "server.log")
        const { reports, sink } = yield* open(settings(path))
        for (const day of [1, 2, 3]) {
          sink.write(`line of day ${day}`, "info")
          yield* sink.flush
          Fs.renameSync(path, `${path}.day${day}`)
          Fs.writeFileSync(path, "")
        }
        for (const day of [1, 2, 3]) assert.strictEqual(textOf(`${path}.day${day}`), `line of day ${day}\n`)
        assert.deepStrictEqual(reports, [])
      })
  )

  it.live("does not take a device or a directory for a log file", () =>
    Effect.gen(function* () {
      const root = yield* directory
      yield* Effect.forEach(
        [root, "/dev/full"],
        (path) =>
          Effect.gen(function* () {
            const { reports, sink } = yield* open(settings(path))
            sink.write("a", "info")
            while (reports.length === 0) yield* Effect.sleep("1 millis")
            assert.match(reports[0]!, /not a file|EISDIR/)
          }).pipe(Effect.scoped),
        { concurrency: "unbounded" }
      )
    })
  )

  it.live("opens the file again after it was closed under its hands", () =>
    Effect.gen(function* () {
      const root = yield* directory
      const path = Path.join(root, "server.log")
      const { reports, sink } = yield* open(settings(path, { maxBytes: 150, maxFiles: 1 }))
      sink.write("a", "info")
      yield* sink.flush
      // A directory where the full file should go: it cannot be put aside.
      Fs.mkdirSync(`${path}.1`)
      Fs.writeFileSync(Path.join(`${path}.1`, "busy"), "")
      for (let i = 0; i < 5; i++) sink.write(line(i), "info")
      while (reports.length === 0) yield* Effect.sleep("1 millis")
      Fs.rmSync(`${path}.1`, { recursive: true })
      yield* sink.flush
      const all = numbersIn(textOf(`${path}.1`) + textOf(path))
      assert.include(all, 4)
      assert.strictEqual(sink.lost(), 0)
    })
  )
})
