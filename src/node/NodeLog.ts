/**
 * The log on Node: which sinks there are, and the whole log over them.
 *
 * Standard output and standard error never block, files rotate, a service of systemd writes priorities for the journal, and
 * `native` is the log of the platform. What an output needs is loaded when it is used.
 */
import * as Fs from "node:fs"
import process from "node:process"
import { isatty } from "node:tty"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { FileIdentity } from "../observability/Journald.ts"
import * as Journald from "../observability/Journald.ts"
import type { LogOptions, LogServices } from "../observability/Log.ts"
import * as Log from "../observability/Log.ts"
import type { LogTarget, OpenSink } from "../observability/LogSink.ts"
import { LogSinks } from "../observability/LogSink.ts"
import { NativeSink } from "../observability/NativeLog.ts"
import * as NodeLogStream from "./NodeLogStream.ts"

/**
 * The whole log on Node.
 *
 * `native` is the sink for the output of that name; without it, the program that the platform has for its log. Whether
 * standard output is a terminal is found out where the settings do not say it.
 *
 * **Example** (The service with a level of its own for one room, and a file)
 *
 * ```ts
 * const log = NodeLog.layer({
 *   level: "info",
 *   levels: { session: "debug" },
 *   format: "auto",
 *   file: { ...LogSink.defaultFile, path: "effect-rtmp.log" }
 * })
 * ```
 */
export const layer = (settings: LogOptions, native?: Layer.Layer<NativeSink>): Layer.Layer<LogServices> =>
  Layer.suspend(() =>
    Log.layerWith({ isTerminal: isatty(NodeLogStream.stdout), ...settings }).pipe(Layer.provide(layerSinks(native)))
  )

/** The sinks of Node. */
export const layerSinks = (native?: Layer.Layer<NativeSink>): Layer.Layer<LogSinks> =>
  Layer.effect(
    LogSinks,
    Effect.map(NodeLogStream.reporter, (report) =>
      LogSinks.of({
        open: (target, onResume) => {
          const options = { onResume, report }
          if (target._tag === "File") {
            return Effect.map(
              Effect.flatMap(
                Effect.promise(() => import("./NodeLogFile.ts")),
                (NodeLogFile) => NodeLogFile.sink(target.settings, options)
              ),
              (sink): OpenSink => ({ name: "file", sink, ownTime: false })
            )
          }
          if (target.output === "native") {
            return Effect.map(openNative(native, report), (sink): OpenSink => ({ name: "native", sink, ownTime: true }))
          }
          const { fd, journal } = resolve(target.output)
          return Effect.map(
            NodeLogStream.sink(fd, options),
            (sink): OpenSink =>
              journal
                ? { name: "journald", sink: Journald.sink(sink), ownTime: true }
                : { name: fd === NodeLogStream.stdout ? "stdout" : "stderr", sink, ownTime: false }
          )
        }
      })
    )
  )

const openNative = (native: Layer.Layer<NativeSink> | undefined, report: (text: string) => void) =>
  Effect.gen(function* () {
    const layer =
      native ?? (yield* Effect.promise(() => import("./NodeLogNative.ts")).pipe(Effect.map((it) => it.layer(report))))
    const scope = yield* Effect.scope
    return yield* Effect.provide(NativeSink, yield* Layer.buildWithScope(layer, scope))
  })

/** Where an output of standard streams goes, and whether with priorities for the journal. */
const resolve = (
  output: Exclude<Extract<LogTarget, { readonly _tag: "Output" }>["output"], "native">
): { readonly fd: 1 | 2; readonly journal: boolean } => {
  if (output === "stdout") return { fd: NodeLogStream.stdout, journal: false }
  if (output === "stderr") return { fd: NodeLogStream.stderr, journal: false }
  const stream = Journald.parseStream(process.env.JOURNAL_STREAM)
  if (Journald.isJournal(stream, identityOf(NodeLogStream.stdout))) return { fd: NodeLogStream.stdout, journal: true }
  if (Journald.isJournal(stream, identityOf(NodeLogStream.stderr))) return { fd: NodeLogStream.stderr, journal: true }
  return { fd: NodeLogStream.stdout, journal: output === "journald" }
}

const identityOf = (fd: number): FileIdentity | undefined => {
  try {
    const { dev, ino } = Fs.fstatSync(fd, { bigint: true })
    return { device: String(dev), inode: String(ino) }
  } catch {
    return undefined
  }
}
