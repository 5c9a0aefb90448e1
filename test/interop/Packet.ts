/**
 * The packets that a client sent or got, and the comparison that every interop test makes: what a viewer was given is
 * what the publisher sent, byte for byte, from a keyframe on, without a hole.
 *
 * Not a parser: `Flv.ts`, the node-av scripts and `SystemClients.ts` make these values out of what each client prints
 * or writes.
 */
import { assert } from "vitest"

/**
 * What a packet belongs to. `other` is a stream that FFmpeg made up out of something else, such as metadata whose time is
 * not 0, which it hands out as subtitles; no publisher here sends one.
 */
export type Kind = "video" | "audio" | "other"

/** One coded frame as a client saw it: its times in milliseconds and a hash of the bytes that a decoder is given. */
export interface Packet {
  readonly kind: Kind
  readonly dtsMs: number
  readonly ptsMs: number
  readonly key: boolean
  readonly bytes: number
  readonly sha256: string
}

/**
 * How times agree: they are the `same`; or all are `shifted` by one distance, give or take a millisecond of rounding; or
 * they are not compared, because the client makes up its own (`other`).
 */
export type Times = "same" | "shifted" | "other"

/** What `assertSameRun` demands beyond identical payloads. */
export interface RunOptions {
  /** Names the viewer in failure messages. */
  readonly viewer: string
  /** The run ends with the last packet sent. `false` for a viewer that left early. */
  readonly toTheEnd?: boolean
  /** How many packets at the end the viewer may lack, for a client that is known to throw some away. */
  readonly mayLack?: number
  /**
   * The run starts with the first packet sent: for a viewer that was there before the publisher. Where there is video,
   * only video is held to that, since sound before the first picture is of no use.
   */
  readonly fromTheStart?: boolean
  /** How the viewer's times must agree with those of `sent`. Unless told otherwise, `same`. */
  readonly times?: Times
}

const kinds: ReadonlyArray<Kind> = ["video", "audio", "other"]

const ofKind = (packets: ReadonlyArray<Packet>, kind: Packet["kind"]) =>
  packets.filter((packet) => packet.kind === kind)

const show = (packet: Packet | undefined): string =>
  packet === undefined
    ? "nothing"
    : `${packet.kind} dts ${packet.dtsMs} pts ${packet.ptsMs} ${packet.key ? "key " : ""}${packet.bytes} B ${packet.sha256.slice(0, 12)}`

/** Where in `sent` the run `got` starts, or -1: the first place where every payload matches. */
const findRun = (sent: ReadonlyArray<Packet>, got: ReadonlyArray<Packet>, toTheEnd: boolean): number => {
  const first = toTheEnd ? sent.length - got.length : 0
  for (let start = Math.max(0, first); start + got.length <= sent.length; start++) {
    if (got.every((packet, i) => packet.sha256 === sent[start + i]!.sha256)) return start
  }
  return -1
}

/** Says where two runs part, aligned on the viewer's first packet: the evidence in a failure message. */
const explain = (sent: ReadonlyArray<Packet>, got: ReadonlyArray<Packet>): string => {
  const known = new Map(sent.map((packet, index) => [packet.sha256, index]))
  const foreign = got.findIndex((packet) => !known.has(packet.sha256))
  const parts = [`sent ${sent.length}, got ${got.length}`]
  if (foreign >= 0) parts.push(`packet ${foreign} got was never sent: ${show(got[foreign])}`)
  const holes: Array<string> = []
  for (let i = 1; i < got.length && holes.length < 4; i++) {
    const before = known.get(got[i - 1]!.sha256)
    const now = known.get(got[i]!.sha256)
    if (before !== undefined && now !== undefined && now !== before + 1) {
      holes.push(`after sent #${before} came sent #${now} (${show(got[i])})`)
    }
  }
  parts.push(...holes)
  parts.push(`first got: ${show(got[0])}, last got: ${show(got.at(-1))}, last sent: ${show(sent.at(-1))}`)
  return parts.join("; ")
}

/**
 * Fails unless, for video and for audio, `got` is one contiguous run of `sent` with identical payloads, the video run
 * starts with a keyframe, and the times agree.
 *
 * **Details**
 *
 * Audio and video are compared apart, since their order in relation to each other is the client's business. A kind that
 * was sent must have arrived.
 */
export const assertSameRun = (
  sent: ReadonlyArray<Packet>,
  got: ReadonlyArray<Packet>,
  { fromTheStart = false, mayLack = 0, times = "same", toTheEnd = true, viewer }: RunOptions
): void => {
  for (const kind of kinds) {
    const sentOfKind = ofKind(sent, kind)
    const gotOfKind = ofKind(got, kind)
    if (sentOfKind.length === 0) {
      assert.lengthOf(gotOfKind, 0, `${viewer}: got a packet of kind ${kind}, which nobody sent: ${show(gotOfKind[0])}`)
      continue
    }
    assert.isAbove(gotOfKind.length, 0, `${viewer}: no ${kind} arrived`)
    let start = -1
    for (let lack = 0; start < 0 && lack <= mayLack; lack++) {
      start = findRun(sentOfKind.slice(0, sentOfKind.length - lack), gotOfKind, toTheEnd)
    }
    assert.isAtLeast(start, 0, `${viewer}: ${kind} is not one run of what was sent: ${explain(sentOfKind, gotOfKind)}`)
    if (fromTheStart && (kind === "video" || ofKind(sent, "video").length === 0))
      assert.strictEqual(start, 0, `${viewer}: the first ${start} ${kind} packets are missing`)
    if (kind === "video")
      assert.isTrue(gotOfKind[0]!.key, `${viewer}: starts without a keyframe: ${show(gotOfKind[0])}`)
    if (times === "other") continue
    const shift = times === "same" ? 0 : gotOfKind[0]!.dtsMs - sentOfKind[start]!.dtsMs
    const slack = times === "same" ? 0 : 1
    for (const [i, packet] of gotOfKind.entries()) {
      const original = sentOfKind[start + i]!
      const apart = `${viewer}: ${kind} packet ${i} has other times or flags: sent ${show(original)}, got ${show(packet)}`
      assert.isAtMost(Math.abs(packet.dtsMs - original.dtsMs - shift), slack, apart)
      assert.isAtMost(Math.abs(packet.ptsMs - original.ptsMs - shift), slack, apart)
      assert.strictEqual(packet.key, original.key, apart)
    }
  }
}

/** Fails unless decoding times never run backwards, in each of video and audio. */
export const assertMonotonic = (packets: ReadonlyArray<Packet>, viewer: string): void => {
  for (const kind of kinds) {
    const run = ofKind(packets, kind)
    for (let i = 1; i < run.length; i++) {
      assert.isAtLeast(
        run[i]!.dtsMs,
        run[i - 1]!.dtsMs,
        `${viewer}: time runs backwards: ${show(run[i - 1])}, ${show(run[i])}`
      )
    }
  }
}
