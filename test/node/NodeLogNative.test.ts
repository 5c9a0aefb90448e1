import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeLogNative from "../../src/node/NodeLogNative.ts"
import { NativeLog, NativeSink } from "../../src/observability/NativeLog.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(tmpdir(), "effect-rtmp-log-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
)

/** A program that takes part of a platform's: it appends what it reads, or is given, to a file. */
const copyTo = (path: string, code: string): NodeLogNative.Program => ({
  command: process.execPath,
  args: ["-e", `const out = (text) => require("node:fs").appendFileSync(${JSON.stringify(path)}, text); ${code}`]
})

const until = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.andThen(Effect.sleep("5 millis"), until(condition))))

const read = (path: string): string => (Fs.existsSync(path) ? Fs.readFileSync(path, "utf8") : "")

describe("bindings", () => {
  it("name the program, the tag and the priority of each platform", () => {
    const { eventLogBinding, logcatBinding, osLogBinding, syslogBinding } = NodeLogNative
    assert.deepStrictEqual(syslogBinding.program(4, "tag", ""), {
      command: "logger",
      args: ["-t", "tag", "-p", "daemon.warning"]
    })
    assert.deepStrictEqual(osLogBinding.program(0, "tag", "").args, ["-t", "tag", "-p", "daemon.notice"])
    assert.deepStrictEqual(osLogBinding.program(17, "tag", "").args, ["-t", "tag", "-p", "daemon.crit"])
    // A message that begins like an option is none.
    assert.deepStrictEqual(logcatBinding.program(6, "tag", "-c all").args, ["-p", "e", "-t", "tag", "--", "-c all"])
    const script = Buffer.from(eventLogBinding.program(1, "it's", "").args.at(-1)!, "base64").toString("utf16le")
    assert.strictEqual(script, NodeLogNative.eventLogScript("it's"))
    assert.include(script, "$source = 'it''s'")
    assert.include(script, "WriteEntry")
  })

  it.live("feed one process per priority with lines", () =>
    Effect.gen(function* () {
      const root = yield* directory
      const reports: Array<string> = []
      const binding: NodeLogNative.Binding = {
        ...NodeLogNative.syslogBinding,
        program: (priority, tag) =>
          copyTo(Path.join(root, `${tag}.${priority}`), 'process.stdin.on("data", (chunk) => out(chunk))')
      }
      yield* Effect.gen(function* () {
        const sink = yield* NativeSink
        for (let i = 0; i < 100; i++) sink.write(`line ${i}`, i % 2 === 0 ? "info" : "error")
        yield* sink.flush
        assert.strictEqual(sink.lost(), 0)
      }).pipe(
        Effect.provide(
          Layer.provide(
            NativeSink.layerSyslog("tag"),
            NodeLogNative.layerNativeLog(binding, (text) => reports.push(text))
          )
        )
      )
      const info = Path.join(root, "tag.6")
      const error = Path.join(root, "tag.3")
      yield* until(() => read(info).endsWith("line 98\n") && read(error).endsWith("line 99\n"))
      assert.strictEqual(read(info).split("\n").length, 51)
      assert.deepStrictEqual(reports, [])
    })
  )

  it.live("feed one process with all priorities in front of the lines", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* directory, "out")
      const binding: NodeLogNative.Binding = {
        mode: "stream",
        allPriorities: true,
        program: () => copyTo(path, 'process.stdin.on("data", (chunk) => out(chunk))')
      }
      yield* Effect.gen(function* () {
        const sink = yield* NativeSink
        sink.write("a", "info")
        sink.write("b", "error")
        yield* sink.close
      }).pipe(
        Effect.provide(
          Layer.provide(
            NativeSink.layerEventLog(),
            NodeLogNative.layerNativeLog(binding, () => undefined)
          )
        )
      )
      yield* until(() => read(path).endsWith("b\n"))
      assert.strictEqual(read(path), "4\ta\n1\tb\n")
    })
  )

  it.live("run one process per line, in order", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* directory, "out")
      const binding: NodeLogNative.Binding = {
        ...NodeLogNative.logcatBinding,
        program: (priority, tag, message) => copyTo(path, `out(${JSON.stringify(`${priority} ${tag} ${message}\n`)})`)
      }
      yield* Effect.gen(function* () {
        const sink = yield* NativeSink
        sink.write("a\tb", "info")
        sink.write("c", "fatal")
        yield* sink.flush
      }).pipe(
        Effect.provide(
          Layer.provide(
            NativeSink.layerLogcat("tag"),
            NodeLogNative.layerNativeLog(binding, () => undefined)
          )
        )
      )
      assert.strictEqual(read(path), "4 tag a\\u{9}b\n7 tag c\n")
    })
  )

  it.live("report a program that is not there, and count what is lost at the end", () =>
    Effect.gen(function* () {
      const reports: Array<string> = []
      const binding: NodeLogNative.Binding = {
        ...NodeLogNative.syslogBinding,
        program: () => ({ command: "no-such-program-here", args: [] })
      }
      yield* Effect.gen(function* () {
        const native = yield* NativeLog
        native.write(6, "tag", "a")
        yield* until(() => reports.length > 0)
        yield* native.close
        assert.strictEqual(native.lost(), 1)
      }).pipe(Effect.provide(NodeLogNative.layerNativeLog(binding, (text) => reports.push(text))))
      assert.include(reports[0], "cannot run no-such-program-here")
      assert.include(reports[1], "1 lines are lost")
    })
  )
})
