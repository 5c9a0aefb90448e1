/**
 * Metrics of single streams in the Prometheus text format, for operators who ask for them.
 *
 * A stream key is chosen by a client, so these series are not registered anywhere: they are written from the streams that
 * there are, a bounded number of them, and are gone with their stream.
 */
import type { StreamStatistics } from "../live/Registry.ts"
import * as Log from "./Log.ts"

const maxKeyBytes = 1_024

interface StreamFamily {
  readonly name: string
  readonly type: "counter" | "gauge"
  readonly help: string
  readonly value: (stream: StreamStatistics) => number
}

const families: ReadonlyArray<StreamFamily> = [
  {
    name: "rtmp_stream_viewers",
    type: "gauge",
    help: "Viewers of a stream.",
    value: (stream) => stream.viewers
  },
  {
    name: "rtmp_stream_bytes_per_second",
    type: "gauge",
    help: "Rate at which the publisher of a stream sends, over the last seconds.",
    value: (stream) => stream.tracks.reduce((sum, track) => sum + track.bitsPerSecond, 0) / 8
  },
  {
    name: "rtmp_stream_received_bytes_total",
    type: "counter",
    help: "Payload bytes that were published to a stream.",
    value: (stream) => stream.bytes
  }
]

/**
 * Writes the series of the first `max` streams, and how many streams are left out. Two keys that look alike once control
 * characters are escaped have one series: that of the older stream.
 */
export const render = (streams: ReadonlyArray<StreamStatistics>, max: number): string => {
  const labelled = new Map<string, StreamStatistics>()
  for (const stream of streams) {
    if (labelled.size >= max) break
    const label = `{stream="${escapeLabel(Log.escapeForLog(stream.key, maxKeyBytes))}"}`
    if (!labelled.has(label)) labelled.set(label, stream)
  }
  const lines: Array<string> = []
  for (const { help, name, type, value } of families) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
    for (const [label, stream] of labelled) lines.push(`${name}${label} ${value(stream)}`)
  }
  lines.push(
    "# HELP rtmp_unlabelled_streams Streams without series of their own, because there are too many.",
    "# TYPE rtmp_unlabelled_streams gauge",
    `rtmp_unlabelled_streams ${streams.length - labelled.size}`
  )
  return `${lines.join("\n")}\n`
}

const escapeLabel = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
