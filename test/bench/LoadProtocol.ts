/**
 * What the bench and its load generators say to each other: the work is one JSON argument, then JSON lines pass over
 * standard input and output. The end of standard input ends a load generator, so that none outlives its bench.
 */

/** Work for a process that publishes: one connection for each stream. */
export interface PublishWork {
  readonly role: "publish"
  readonly port: number
  readonly application: string
  readonly streams: ReadonlyArray<string>
  /** Bit rates of the video and the audio of each stream, in kbit/s. */
  readonly videoKbps: number
  readonly audioKbps: number
}

/** Work for a process that plays: viewers are dealt out to the streams in turn. */
export interface PlayWork {
  readonly role: "play"
  readonly port: number
  readonly application: string
  readonly streams: ReadonlyArray<string>
  readonly viewers: number
  /** New connections per second. */
  readonly perSecond: number
  /** Through TLS; whose certificate it is does not matter. */
  readonly secure?: boolean
}

/** Work for a process that connects, sends `connect`, and then says nothing any more. */
export interface IdleWork {
  readonly role: "idle"
  readonly port: number
  readonly application: string
  readonly connections: number
  /** New connections per second. */
  readonly perSecond: number
}

/** Work for a process that only reads, whatever comes: what the floor writes to. */
export interface ReadWork {
  readonly role: "read"
  readonly port: number
  readonly viewers: number
  /** New connections per second. */
  readonly perSecond: number
  /** Through TLS; whose certificate it is does not matter. */
  readonly secure?: boolean
}

/** What a load generator is to do. */
export type Work = PublishWork | PlayWork | IdleWork | ReadWork

/**
 * What a load generator can be told. `from` and `to` choose viewers by their number, `to` excluded.
 *
 * - `reset`: counters and latencies start over. First-video times stay.
 * - `stall`, `resume`: stops reading, and reads again.
 * - `leave`: closes the connections.
 */
export interface Request {
  readonly id: number
  readonly do: "report" | "reset" | "stall" | "resume" | "leave"
  readonly from?: number
  readonly to?: number
}

/** What a load generator says by itself. */
export type Notice = { readonly notice: "started" } | { readonly notice: "failed"; readonly detail: string }

/** What happened since the last reset. */
export interface Report {
  /** Connections asked for, those that got video (of idle ones: those connected), and those that ended since the start. */
  readonly connections: number
  readonly ready: number
  readonly ended: number
  /** Bytes read by viewers, or payload bytes sent by publishers. */
  readonly bytes: number
  /** Stamped messages, audio and video. */
  readonly frames: number
  /** Stamped messages that were jumped over, in how many gaps, and after how many of these video went on with a keyframe. */
  readonly lost: number
  readonly videoGaps: number
  readonly gapsEndedByKeyframe: number
  /** Viewers with a gap in their video. */
  readonly viewersWithGaps: number
  /** Stamped messages that came twice or out of order. */
  readonly disordered: number
  /** From the call to connect to the first coded picture, and to the first keyframe, in milliseconds. */
  readonly firstVideoMs: ReadonlyArray<number>
  readonly firstKeyframeMs: ReadonlyArray<number>
  /** Counts of latencies of video frames, as [tenths of a millisecond, count]. */
  readonly latency: ReadonlyArray<readonly [number, number]>
  /** How late a publisher was at most with a frame, in milliseconds: its socket was full, or its process busy. */
  readonly latestMs: number
  /** CPU time of the load generator since the reset, in seconds. */
  readonly cpuSeconds: number
}

/** The answer to a request. */
export interface Answer {
  readonly id: number
  readonly report: Report
}

/** A report of nothing. */
export const emptyReport: Report = {
  connections: 0,
  ready: 0,
  ended: 0,
  bytes: 0,
  frames: 0,
  lost: 0,
  videoGaps: 0,
  gapsEndedByKeyframe: 0,
  viewersWithGaps: 0,
  disordered: 0,
  firstVideoMs: [],
  firstKeyframeMs: [],
  latency: [],
  latestMs: 0,
  cpuSeconds: 0
}

/** The report of several load generators as one. */
export const mergeReports = (reports: ReadonlyArray<Report>): Report => {
  const sum = (pick: (report: Report) => number) => reports.reduce((total, report) => total + pick(report), 0)
  const latency = new Map<number, number>()
  for (const report of reports) {
    for (const [tenths, count] of report.latency) latency.set(tenths, (latency.get(tenths) ?? 0) + count)
  }
  return {
    connections: sum((r) => r.connections),
    ready: sum((r) => r.ready),
    ended: sum((r) => r.ended),
    bytes: sum((r) => r.bytes),
    frames: sum((r) => r.frames),
    lost: sum((r) => r.lost),
    videoGaps: sum((r) => r.videoGaps),
    gapsEndedByKeyframe: sum((r) => r.gapsEndedByKeyframe),
    viewersWithGaps: sum((r) => r.viewersWithGaps),
    disordered: sum((r) => r.disordered),
    firstVideoMs: reports.flatMap((r) => r.firstVideoMs),
    firstKeyframeMs: reports.flatMap((r) => r.firstKeyframeMs),
    latency: [...latency].sort(([a], [b]) => a - b),
    latestMs: Math.max(0, ...reports.map((r) => r.latestMs)),
    cpuSeconds: sum((r) => r.cpuSeconds)
  }
}

/** The value below which a share of `values` lies; -1 where there are none. */
export const percentile = (values: ReadonlyArray<number>, share: number): number => {
  if (values.length === 0) return -1
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

/** The latency in milliseconds below which a share of the frames came; -1 where none came. */
export const latencyPercentile = (report: Report, share: number): number => {
  const total = report.latency.reduce((sum, [, count]) => sum + count, 0)
  let seen = 0
  for (const [tenths, count] of report.latency) {
    seen += count
    if (seen > total * share) return tenths / 10
  }
  return report.latency.length === 0 ? -1 : report.latency[report.latency.length - 1]![0] / 10
}
