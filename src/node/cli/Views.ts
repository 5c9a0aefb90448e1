/**
 * What the admin API answers, drawn for people.
 */
import type * as Info from "../../http/AdminSchema.ts"
import * as Table from "./Table.ts"
import * as Words from "./Words.ts"

type Stream = typeof Info.StreamInfo.Type
type Track = typeof Info.TrackInfo.Type
type Connection = typeof Info.ConnectionInfo.Type
type StreamList = typeof Info.StreamList.Type

/** What `status` shows. */
export interface Status {
  readonly server: typeof Info.ServerInfo.Type
  readonly health: typeof Info.HealthInfo.Type
  readonly streams: StreamList
}

/** Draws the list of streams, and the keys that are disabled. `now` is in milliseconds since 1970. */
export const streams = ({ disabled, streams }: StreamList, now: number, style: Table.Style): ReadonlyArray<string> => [
  ...(streams.length === 0 ? ["nothing is published"] : Table.table(streamColumns(now), streams, style)),
  ...(disabled.length === 0 ? [] : ["", `disabled: ${disabled.map(Table.safe).join(", ")}`])
]

/** Draws one stream with its tracks. */
export const stream = (it: Stream, now: number, style: Table.Style): ReadonlyArray<string> => [
  ...Table.fields(
    [
      ["key", it.key],
      ["state", streamState(it)],
      ["publisher", it.publisher],
      ["since", `${Words.moment(it.since)} (${Words.span(now - it.since)})`],
      ["viewers", `${it.viewers} (most ${it.viewersPeak})`],
      ["bitrate", Words.bitrate(it.bitsPerSecond)],
      ["received", Words.bytes(it.bytes)],
      [
        "cached",
        `${Words.counted(it.gop.frames, "frame")}, ${Words.bytes(it.gop.bytes)}, ${Words.span(it.gop.durationMs)}`
      ]
    ],
    style
  ),
  ...(it.tracks.length === 0 ? [] : ["", ...Table.table(trackColumns, it.tracks, style)])
]

/** Draws the list of connections. */
export const connections = (list: ReadonlyArray<Connection>, now: number, style: Table.Style): ReadonlyArray<string> =>
  list.length === 0 ? ["nobody is connected"] : Table.table(connectionColumns(now), list, style)

/** Draws one connection with what it plays. */
export const connection = (it: Connection, now: number, style: Table.Style): ReadonlyArray<string> => [
  ...Table.fields(
    [
      ["id", it.id],
      ["address", endpoint(it.remote)],
      ["state", it.state],
      ["since", `${Words.moment(it.openedAt)} (${Words.span(now - it.openedAt)})`],
      ["application", it.application],
      ["client", it.flashVer],
      ["follows a move", it.canReconnect ? "yes" : "no"],
      ["received", `${Words.bytes(it.bytesReceived)}, ${Words.bitrate(it.receiveBitsPerSecond)}`],
      ["sent", `${Words.bytes(it.bytesSent)}, ${Words.bitrate(it.sendBitsPerSecond)}`],
      ["publishes", it.publishing.join(", ")]
    ],
    style
  ),
  ...(it.playing.length === 0 ? [] : ["", ...Table.table(playingColumns, it.playing, style)])
]

/** Draws the server on one screen, with as many streams as `maxStreams`, the largest audiences first. */
export const status = (
  { health, server, streams }: Status,
  maxStreams: number,
  now: number,
  style: Table.Style
): ReadonlyArray<string> => {
  const { statistics: count } = server
  const shown = [...streams.streams].sort((left, right) => right.viewers - left.viewers).slice(0, maxStreams)
  const more = streams.streams.length - shown.length
  return [
    ...Table.fields(
      [
        ["server", `effect-rtmp ${server.version}, ${server.runtime}, instance ${server.instance}`],
        ["state", `${server.lifecycle}, up ${Words.span(server.uptimeMs)}`],
        ["health", healthWords(health)],
        [
          "listens",
          server.listeners.map(({ host, port, protocol }) => `${protocol} ${endpoint({ host, port })}`).join(", ")
        ],
        [
          "connections",
          `${count.connections} (${count.publishers} publishing, ${count.viewers} viewing, ${count.waitingViewers} waiting, ${count.blockedViewers} blocked)`
        ],
        ["since the start", `${count.accepted} accepted, ${count.refused} refused`],
        ["received", Words.bytes(count.bytesReceived)],
        ["sent", Words.bytes(count.bytesSent)],
        ...server.components
          .filter(({ restarts, state }) => state !== "Running" || restarts > 0)
          .map(({ lastError, name, restarts, state }): readonly [string, string] => [
            Table.safe(name),
            `${state}, restarted ${restarts} times${lastError === "" ? "" : `: ${lastError}`}`
          ])
      ],
      style
    ),
    "",
    ...(shown.length === 0 ? ["nothing is published"] : Table.table(streamColumns(now), shown, style)),
    ...(more > 0 ? [Table.dim(`and ${Words.counted(more, "stream")} more: effect-rtmp streams`, style)] : []),
    ...(streams.disabled.length === 0 ? [] : [`disabled: ${streams.disabled.map(Table.safe).join(", ")}`])
  ]
}

/** The health in one line: `live and ready` with what there is to remark, or what is wrong. */
export const healthWords = ({ live, ready }: Status["health"]): string => {
  if (live.status === "ok" && ready.status === "ok") {
    const remarks = ready.checks.filter(({ reason }) => reason !== "").map(({ name, reason }) => `${name}: ${reason}`)
    return ["live and ready", ...remarks].join("; ")
  }
  const reasons = [...live.checks, ...ready.checks]
    .filter(({ ok }) => !ok)
    .map(({ name, reason }) => `${name}: ${reason}`)
  return `${live.status === "ok" ? "live, not ready" : "not live"}: ${[...new Set(reasons)].join("; ")}`
}

/** An address and a port: `192.0.2.1:1935`, `[2001:db8::1]:1935`. */
export const endpoint = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  `${host.includes(":") ? `[${host}]` : host}:${port}`

const streamState = ({ disabled, dry, state }: Stream): string =>
  [state, ...(dry ? ["no media"] : []), ...(disabled ? ["disabled"] : [])].join(", ")

/** The tracks in a word each: `avc 1920x1080@30 + aac`. */
const tracksOf = ({ tracks }: Stream): string =>
  tracks
    .map(({ codec, frameRate, height, kind, width }) =>
      [
        codec,
        ...(kind === "video" && width > 0 ? [`${width}x${height}${frameRate > 0 ? `@${rounded(frameRate)}` : ""}`] : [])
      ].join(" ")
    )
    .join(" + ")

const rounded = (value: number): string => String(Math.round(value * 100) / 100)

const blank = (value: number, text: string): string => (value === 0 ? "" : text)

const streamColumns = (now: number): ReadonlyArray<Table.Column<Stream>> => [
  { title: "STREAM", cell: ({ key }) => key, give: true },
  { title: "STATE", cell: streamState },
  { title: "FOR", cell: ({ since }) => Words.span(now - since), align: "right" },
  { title: "VIEWERS", cell: ({ viewers }) => String(viewers), align: "right" },
  { title: "BITRATE", cell: ({ bitsPerSecond }) => Words.bitrate(bitsPerSecond), align: "right" },
  { title: "MEDIA", cell: tracksOf, give: true },
  { title: "PUBLISHER", cell: ({ publisher }) => publisher }
]

const trackColumns: ReadonlyArray<Table.Column<Track>> = [
  { title: "TRACK", cell: ({ kind, trackId }) => `${kind} ${trackId}` },
  {
    title: "CODEC",
    cell: ({ codec, level, profile }) => [codec, profile, level].filter((it) => it !== "").join(" "),
    give: true
  },
  {
    title: "FORMAT",
    cell: ({ channels, height, kind, sampleRate, width }) =>
      kind === "video"
        ? blank(width, `${width}x${height}`)
        : [blank(sampleRate, `${sampleRate} Hz`), blank(channels, `${channels} ch`)].filter((it) => it !== "").join(" ")
  },
  { title: "FRAMES/S", cell: ({ frameRate }) => blank(frameRate, rounded(frameRate)), align: "right" },
  { title: "BITRATE", cell: ({ bitsPerSecond }) => Words.bitrate(bitsPerSecond), align: "right" },
  {
    title: "KEYFRAMES",
    cell: ({ keyframeIntervalMs: ms }) => blank(ms, `every ${rounded(ms / 1000)}s`),
    align: "right"
  },
  { title: "GAPS", cell: ({ gaps }) => String(gaps), align: "right" }
]

const connectionColumns = (now: number): ReadonlyArray<Table.Column<Connection>> => [
  { title: "ID", cell: ({ id }) => id },
  { title: "ADDRESS", cell: ({ remote }) => endpoint(remote) },
  { title: "STATE", cell: ({ state }) => state },
  { title: "FOR", cell: ({ openedAt }) => Words.span(now - openedAt), align: "right" },
  { title: "IN", cell: ({ receiveBitsPerSecond }) => Words.bitrate(receiveBitsPerSecond), align: "right" },
  { title: "OUT", cell: ({ sendBitsPerSecond }) => Words.bitrate(sendBitsPerSecond), align: "right" },
  {
    title: "LAG",
    cell: ({ playing }) => (playing.length === 0 ? "" : Words.span(Math.max(...playing.map(({ lagMs }) => lagMs)))),
    align: "right"
  },
  {
    title: "STREAMS",
    cell: ({ playing, publishing }) =>
      [
        ...publishing.map((key) => `publishes ${key}`),
        ...playing.map(({ started, streamKey }) => `${started ? "plays" : "waits for"} ${streamKey}`)
      ].join(", "),
    give: true
  },
  { title: "CLIENT", cell: ({ flashVer }) => flashVer, give: true }
]

const playingColumns: ReadonlyArray<Table.Column<Connection["playing"][number]>> = [
  { title: "PLAYS", cell: ({ streamKey }) => streamKey, give: true },
  { title: "STARTED", cell: ({ started }) => (started ? "yes" : "waits") },
  { title: "FRAMES", cell: ({ frames }) => String(frames), align: "right" },
  { title: "BYTES", cell: ({ bytes }) => Words.bytes(bytes), align: "right" },
  { title: "LAG", cell: ({ lagMs }) => Words.span(lagMs), align: "right" },
  { title: "WAITING", cell: ({ queuedBytes }) => Words.bytes(queuedBytes), align: "right" },
  { title: "LOST", cell: ({ drops }) => String(drops.late + drops.full + drops.orphaned), align: "right" }
]
