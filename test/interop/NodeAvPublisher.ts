/**
 * FFmpeg 8 as a publisher: `publish.ts` in a child process, so that a blocking call holds nobody else and so that it can
 * be killed without a word to the server.
 */
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.ts"
import * as Clips from "./Clips.ts"
import type { Packet } from "./Packet.ts"
import type { StreamInfo } from "./StreamInfo.ts"

/** How `publish.ts` says that it ended: `end` of the file, `left` after SIGTERM, or an `error` of FFmpeg. */
export interface PublishEnd {
  readonly reason: "end" | "left" | "error"
  readonly errorCode: number
  readonly message: string
}

/** A publisher that runs or ran. */
export interface NodeAvPublisher {
  readonly child: Child.Child
  /** What has been sent until now, in order. */
  readonly packets: () => ReadonlyArray<Packet>
  /** Waits until the server has agreed to the publishing, and gives what is published. */
  readonly accepted: Effect.Effect<ReadonlyArray<StreamInfo>, Child.ChildError>
  /** Waits until `count` packets have been sent. */
  readonly sent: (count: number) => Effect.Effect<void, Child.ChildError>
  /** Waits until it has ended, and gives how. */
  readonly end: Effect.Effect<PublishEnd & Child.Ending, Child.ChildError>
  /** Ends the stream as an encoder does, and waits until it has ended. */
  readonly leave: Effect.Effect<PublishEnd & Child.Ending, Child.ChildError>
  /** Kills it: the server sees the connection break off in mid-stream. */
  readonly kill: Effect.Effect<Child.Ending, Child.ChildError>
}

/** What to publish, and how. */
export interface PublishOptions {
  readonly url: string
  readonly clip: Clips.ClipName
  /** How much faster than real time. Unless told otherwise, 4. */
  readonly speed?: number
  /** Starts over at the clip's end, until it is made to leave or is killed. */
  readonly loop?: boolean
  /** File with the authorities of which one must vouch for the server's certificate. */
  readonly ca?: string
}

type Line =
  | { readonly event: "open"; readonly streams: ReadonlyArray<StreamInfo> }
  | (Packet & { readonly event: "packet" })
  | (PublishEnd & { readonly event: "end" })

/** Reads what a script has printed, each line once, however often it is asked. */
export const lineParser = <L extends { readonly event: string }>(child: Child.Child) => {
  const lines: Array<L> = []
  const packets: Array<Packet> = []
  let parsed = 0
  return () => {
    for (; parsed < child.stdout.length; parsed++) {
      const line = JSON.parse(child.stdout[parsed]!) as L
      if (line.event === "packet") {
        const { bytes, dtsMs, key, kind, ptsMs, sha256 } = line as unknown as Packet
        packets.push({ kind, dtsMs, ptsMs, key, bytes, sha256 })
      } else lines.push(line)
    }
    return { lines, packets }
  }
}

/** Starts to publish; the process is killed when the scope closes, if it is not gone by then. */
export const start = ({
  ca,
  clip,
  loop = false,
  speed = 4,
  url
}: PublishOptions): Effect.Effect<NodeAvPublisher, Child.ChildError, Scope.Scope> =>
  Effect.gen(function* () {
    const file = yield* Effect.promise(() => Clips.path(clip))
    const script = fileURLToPath(new URL("publish.ts", import.meta.url))
    const child = yield* Child.spawn({
      name: `node-av publisher of ${clip}`,
      command: process.execPath,
      args: [
        script,
        file,
        url,
        "--speed",
        String(speed),
        ...(loop ? ["--loop"] : []),
        ...(ca === undefined ? [] : ["--ca", ca])
      ]
    })
    const parse = lineParser<Line>(child)
    const end = Child.ended(child, 30_000).pipe(
      Effect.map((ending) => {
        const last = parse().lines.findLast((line) => line.event === "end")
        return {
          reason: last?.reason ?? ("error" as const),
          errorCode: last?.errorCode ?? 0,
          message: last?.message ?? Child.transcript(child),
          ...ending
        }
      })
    )
    return {
      child,
      packets: () => parse().packets,
      accepted: Child.until(child, "the server's consent", () =>
        parse()
          .lines.flatMap((line) => (line.event === "open" ? [line.streams] : []))
          .at(0)
      ),
      sent: (count) =>
        Child.until(child, `${count} packets to be sent`, () =>
          parse().packets.length >= count ? true : undefined
        ).pipe(Effect.asVoid),
      end,
      leave: Effect.suspend(() => {
        Child.signal(child, "SIGTERM")
        return end
      }),
      kill: Effect.suspend(() => {
        Child.signal(child, "SIGKILL")
        return Child.ended(child)
      })
    }
  })
