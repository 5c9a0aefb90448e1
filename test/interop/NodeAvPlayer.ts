/**
 * FFmpeg 8 as a player: `play.ts` in a child process, since its reads block until something arrives.
 */
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.ts"
import { lineParser } from "./NodeAvPublisher.ts"
import type { Packet } from "./Packet.ts"
import type { StreamInfo } from "./StreamInfo.ts"

/** How a player ended: at the stream's end, with enough packets, or with an error of FFmpeg. */
export interface PlayEnd {
  readonly reason: "eof" | "enough" | "error"
  readonly errorCode: number
  readonly message: string
  readonly streams: ReadonlyArray<StreamInfo>
}

/** A player that runs or ran. */
export interface NodeAvPlayer {
  readonly child: Child.Child
  /** What has arrived until now, in order. */
  readonly packets: () => ReadonlyArray<Packet>
  /** Waits until it has asked the server to play. */
  readonly asked: Effect.Effect<void, Child.ChildError>
  /** Waits until `count` packets have arrived. */
  readonly got: (count: number) => Effect.Effect<void, Child.ChildError>
  /** Waits until it has ended by itself, and gives how. */
  readonly end: Effect.Effect<PlayEnd & Child.Ending, Child.ChildError>
}

/** What to play, and how. */
export interface PlayOptions {
  readonly url: string
  /** Names the player in failure messages. */
  readonly name?: string
  /** Hands out packets from the first on, instead of holding them while FFmpeg finds out what the stream is. */
  readonly unprobed?: boolean
  /** Leaves after so many packets. */
  readonly packets?: number
  /** File with the authorities of which one must vouch for the server's certificate. */
  readonly ca?: string
}

type Line =
  | { readonly event: "open"; readonly streams: ReadonlyArray<StreamInfo> }
  | (Packet & { readonly event: "packet" })
  | (PlayEnd & { readonly event: "end" })

/** Starts to play; the process is killed when the scope closes, if it is not gone by then. */
export const start = ({
  ca,
  name = "node-av player",
  packets,
  unprobed = false,
  url
}: PlayOptions): Effect.Effect<NodeAvPlayer, Child.ChildError, Scope.Scope> =>
  Effect.gen(function* () {
    const script = fileURLToPath(new URL("play.ts", import.meta.url))
    const child = yield* Child.spawn({
      name,
      command: process.execPath,
      args: [
        script,
        url,
        ...(unprobed ? ["--unprobed"] : []),
        ...(packets === undefined ? [] : ["--packets", String(packets)]),
        ...(ca === undefined ? [] : ["--ca", ca])
      ]
    })
    const parse = lineParser<Line>(child)
    return {
      child,
      packets: () => parse().packets,
      asked: Child.until(child, "its play command", ({ stderr }) =>
        stderr.some((line) => line.includes("Sending play command")) ? true : undefined
      ).pipe(Effect.asVoid),
      got: (count) =>
        Child.until(child, `${count} packets to arrive`, () =>
          parse().packets.length >= count ? true : undefined
        ).pipe(Effect.asVoid),
      end: Child.ended(child, 30_000).pipe(
        Effect.map((ending) => {
          const last = parse().lines.findLast((line) => line.event === "end")
          return {
            reason: last?.reason ?? ("error" as const),
            errorCode: last?.errorCode ?? 0,
            message: last?.message ?? Child.transcript(child),
            streams: last?.streams ?? [],
            ...ending
          }
        })
      )
    }
  })
