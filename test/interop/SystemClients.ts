/**
 * The clients that the system may have: `ffmpeg`, `ffprobe`, GStreamer's `gst-launch-1.0` and `rtmpdump`, each in a child
 * process, as publishers of a clip and as players.
 *
 * Which of them are there is the system's business; `missing` tells, and tests skip what they cannot run.
 */
import { spawnSync } from "node:child_process"
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.ts"
import * as Clips from "./Clips.ts"
import * as Flv from "./Flv.ts"
import type { Packet, Times } from "./Packet.ts"

/** Tells whether a program is in the search path. */
export const isInstalled = (program: string): boolean =>
  (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/** Tells whether GStreamer has an element. */
export const hasElement = (element: string): boolean =>
  isInstalled("gst-inspect-1.0") && spawnSync("gst-inspect-1.0", ["--exists", element]).status === 0

/** The first of these programs and GStreamer elements (`gst:rtmp2src`) that is not there, as a reason to skip. */
export const missing = (needs: ReadonlyArray<string>): string | undefined => {
  for (const need of needs) {
    const element = /^gst:(.*)$/.exec(need)?.[1]
    if (element === undefined) {
      if (!isInstalled(need)) return `${need} is not installed`
    } else if (!isInstalled("gst-launch-1.0")) return "gst-launch-1.0 is not installed"
    else if (!hasElement(element)) return `GStreamer has no ${element}`
  }
  return undefined
}

/** A player that runs or ran. */
export interface Player {
  readonly child: Child.Child
  readonly name: string
  /** Waits until it has asked the server to play. */
  readonly asked: Effect.Effect<void, Child.ChildError>
  /** What it got; whole once it has ended. */
  readonly packets: () => ReadonlyArray<Packet>
}

/** A kind of player. */
export interface PlayerKind {
  readonly name: string
  /** What it needs of the system, for `missing`. */
  readonly needs: ReadonlyArray<string>
  /** The exit status it has at the end of a file. */
  readonly endStatus: number
  /** How many packets it may throw away at the end. */
  readonly mayLack: number
  /** What its times are in relation to the server's. */
  readonly times: Times
  readonly start: (url: string) => Effect.Effect<Player, Child.ChildError, Scope.Scope>
}

/** A kind of publisher: sends a clip from its start to its end, then unpublishes and exits with 0. */
export interface PublisherKind {
  readonly name: string
  /** What it needs of the system, for `missing`. */
  readonly needs: ReadonlyArray<string>
  /** What its times are in relation to the clip's. */
  readonly times: Times
  readonly start: (url: string, clip: Clips.ClipName) => Effect.Effect<Child.Child, Child.ChildError, Scope.Scope>
}

/** The packets of a clip, as its publishers send them. */
export const packetsOf = (clip: Clips.ClipName): Effect.Effect<ReadonlyArray<Packet>> =>
  Effect.promise(async () => Flv.packets(readFileSync(await Clips.path(clip))))

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-rtmp-interop-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

const asked = (child: Child.Child, mark: RegExp) =>
  Child.until(child, "its play command", ({ stderr }) =>
    stderr.some((line) => mark.test(line)) ? true : undefined
  ).pipe(Effect.asVoid)

/** A player that writes an FLV file, and says `mark` on standard error when it asks to play. */
const fileWriter =
  (
    name: string,
    mark: RegExp,
    command: (url: string, file: string) => Omit<Child.Command, "name">
  ): PlayerKind["start"] =>
  (url) =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "out.flv")
      const child = yield* Child.spawn({ name, ...command(url, file) })
      return {
        child,
        name,
        asked: asked(child, mark),
        packets: () => (existsSync(file) ? Flv.packets(readFileSync(file)) : [])
      }
    })

/** System FFmpeg, which copies what it plays into a file. */
export const ffmpegPlayer: PlayerKind = {
  name: "ffmpeg",
  needs: ["ffmpeg"],
  endStatus: 0,
  mayLack: 0,
  times: "same",
  start: fileWriter("ffmpeg player", /Sending play command/, (url, file) => ({
    command: "ffmpeg",
    args: ["-nostdin", "-v", "debug", "-copyts", "-i", url, "-c", "copy", "-f", "flv", "-y", file]
  }))
}

interface Probed {
  readonly packets: ReadonlyArray<{
    readonly codec_type: string
    readonly pts: number
    readonly dts: number
    readonly size: string
    readonly flags: string
    readonly data_hash: string
  }>
}

/** `ffprobe`, which prints each packet with its hash. */
export const ffprobePlayer: PlayerKind = {
  name: "ffprobe",
  needs: ["ffprobe"],
  endStatus: 0,
  mayLack: 0,
  times: "same",
  start: (url) =>
    Effect.gen(function* () {
      const name = "ffprobe"
      const child = yield* Child.spawn({
        name,
        command: "ffprobe",
        args: ["-v", "debug", "-show_packets", "-show_data_hash", "sha256", "-of", "json", url]
      })
      return {
        child,
        name,
        asked: asked(child, /Sending play command/),
        packets: () =>
          (JSON.parse(child.stdout.join("\n")) as Probed).packets.map((packet) => ({
            kind: packet.codec_type === "video" || packet.codec_type === "audio" ? packet.codec_type : "other",
            dtsMs: packet.dts,
            ptsMs: packet.pts,
            key: packet.flags.startsWith("K"),
            bytes: Number(packet.size),
            sha256: packet.data_hash.replace(/^SHA256:/, "")
          }))
      }
    })
}

/**
 * GStreamer's `rtmp2src`, whose output is an FLV stream.
 *
 * **Gotchas**
 *
 * It holds one message for the thread that writes, and drops it when the end of the stream arrives before that thread
 * has taken it. Whether that happens is chance.
 */
export const gstPlayer: PlayerKind = {
  name: "gst rtmp2src",
  needs: ["gst:rtmp2src"],
  endStatus: 0,
  mayLack: 1,
  times: "same",
  start: fileWriter("gst rtmp2src", /Sending play/, (url, file) => ({
    command: "gst-launch-1.0",
    args: ["-q", "rtmp2src", `location=${url}`, "!", "filesink", `location=${file}`],
    env: { GST_DEBUG: "rtmp2src:5,rtmpclient:5", GST_DEBUG_NO_COLOR: "1" }
  }))
}

/**
 * The same, taken apart by `flvdemux`, as players of GStreamer do, and put together again.
 *
 * **Gotchas**
 *
 * `flvmux` forgets that pictures are shown in another order than they are sent, so its times say nothing.
 */
export const gstDemuxPlayer: PlayerKind = {
  name: "gst rtmp2src ! flvdemux",
  needs: ["gst:rtmp2src", "gst:flvdemux", "gst:flvmux"],
  endStatus: 0,
  mayLack: 1,
  times: "other",
  start: fileWriter("gst rtmp2src ! flvdemux", /Sending play/, (url, file) => ({
    command: "gst-launch-1.0",
    args: [
      "-q",
      "rtmp2src",
      `location=${url}`,
      ..."! flvdemux name=d flvmux name=m streamable=true ! filesink".split(" "),
      `location=${file}`,
      ..."d.video ! queue ! m.video d.audio ! queue ! m.audio".split(" ")
    ],
    env: { GST_DEBUG: "rtmp2src:5,rtmpclient:5", GST_DEBUG_NO_COLOR: "1" }
  }))
}

/** librtmp's `rtmpdump`. */
export const rtmpdumpPlayer: PlayerKind = {
  name: "rtmpdump",
  needs: ["rtmpdump"],
  endStatus: 0,
  mayLack: 0,
  times: "same",
  start: fileWriter("rtmpdump", /sending play/, (url, file) => ({
    command: "rtmpdump",
    args: ["-V", "--live", "-r", url, "-o", file]
  }))
}

/** System FFmpeg, which sends the packets of a clip at four times their pace. */
export const ffmpegPublisher: PublisherKind = {
  name: "ffmpeg",
  needs: ["ffmpeg"],
  times: "same",
  start: (url, clip) =>
    Effect.gen(function* () {
      const file = yield* Effect.promise(() => Clips.path(clip))
      return yield* Child.spawn({
        name: "ffmpeg publisher",
        command: "ffmpeg",
        args: ["-nostdin", "-v", "verbose", "-readrate", "4", "-i", file, "-c", "copy", "-f", "flv", url]
      })
    })
}

/** A GStreamer pipeline that takes a clip apart and puts it together again, paced by its own clock. */
const gstPublisher = (sink: string, location: (url: string) => string): PublisherKind => ({
  name: `gst ${sink}`,
  needs: [`gst:${sink}`, "gst:flvmux", "gst:flvdemux"],
  times: "shifted",
  start: (url, clip) =>
    Effect.gen(function* () {
      const file = yield* Effect.promise(() => Clips.path(clip))
      const words = `filesrc location=${file} ! flvdemux name=d flvmux name=m streamable=true ! identity sync=true ! ${sink}`
      return yield* Child.spawn({
        name: `gst ${sink}`,
        command: "gst-launch-1.0",
        args: [
          "-q",
          ...words.split(" "),
          `location=${location(url)}`,
          ..."d.video ! queue ! m.video d.audio ! queue ! m.audio".split(" ")
        ]
      })
    })
})

/** GStreamer's own RTMP implementation as a publisher. */
export const gstRtmp2Publisher = gstPublisher("rtmp2sink", (url) => url)

/** librtmp as a publisher, in GStreamer's element for it. */
export const librtmpPublisher = gstPublisher("rtmpsink", (url) => `${url} live=1`)
