/**
 * The clients of the system, each as a publisher for all players that are there. What is not installed is skipped, and
 * the name of the skipped test says why.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Child from "./Child.ts"
import * as NodeAvPlayer from "./NodeAvPlayer.ts"
import * as NodeAvPublisher from "./NodeAvPublisher.ts"
import { assertMonotonic, assertSameRun, type Packet, type Times } from "./Packet.ts"
import { RunningServer } from "./RunningServer.ts"
import * as SystemClients from "./SystemClients.ts"

const timeoutMs = 60_000

/** Longest time that a player may take to leave after its publisher. */
const leaveMs = 5000

const allPlayers = [
  SystemClients.ffmpegPlayer,
  SystemClients.ffprobePlayer,
  SystemClients.gstPlayer,
  SystemClients.gstDemuxPlayer,
  SystemClients.rtmpdumpPlayer
]

const players = allPlayers.filter((kind) => SystemClients.missing(kind.needs) === undefined)

const names = players.map((player) => player.name).join(", ")

/** Waits for the end of each player, and holds it against what was published. */
const assertPlayed = (
  watching: ReadonlyArray<readonly [SystemClients.PlayerKind, SystemClients.Player]>,
  sent: ReadonlyArray<Packet>,
  publisherEnding: Child.Ending,
  { fromTheStart, times }: { readonly fromTheStart: boolean; readonly times: Times }
) =>
  Effect.forEach(watching, ([kind, { child, packets }]) =>
    Effect.gen(function* () {
      const ending = yield* Child.ended(child)
      assert.strictEqual(ending.code, kind.endStatus, Child.transcript(child))
      assert.isAtMost(ending.atMs - publisherEnding.atMs, leaveMs, `${kind.name} stayed on after the stream's end`)
      assertSameRun(sent, packets(), {
        viewer: kind.name,
        fromTheStart,
        mayLack: kind.mayLack,
        times: kind.times === "same" ? times : kind.times
      })
      assertMonotonic(packets(), kind.name)
    })
  )

const startPlayers = (url: string) =>
  Effect.forEach(players, (kind) =>
    Effect.gen(function* () {
      const player = yield* kind.start(url)
      yield* player.asked
      return [kind, player] as const
    })
  )

/** Says on the terminal what is not tested here, since a skipped test is easy to overlook. */
const skipped = (what: string, reason: string): string => {
  const text = `${what} (skipped: ${reason})`
  console.warn(text)
  return text
}

layer(RunningServer.layer, { excludeTestServices: true, timeout: timeoutMs })("with the system's clients", (it) => {
  for (const kind of allPlayers) {
    const reason = SystemClients.missing(kind.needs)
    if (reason !== undefined) it.skip(skipped(`${kind.name} plays`, reason), () => {})
  }

  for (const kind of [SystemClients.ffmpegPublisher, SystemClients.gstRtmp2Publisher, SystemClients.librtmpPublisher]) {
    const reason = SystemClients.missing(kind.needs)
    const name = `${kind.name} publishes: FFmpeg 8, ${names} get every byte and leave at the end`
    it.effect.skipIf(reason !== undefined)(
      reason === undefined ? name : skipped(name, reason),
      () =>
        Effect.gen(function* () {
          const server = yield* RunningServer
          const url = server.url(`by-${kind.name.replaceAll(" ", "-")}`)
          const watching = yield* startPlayers(url)
          const modern = yield* NodeAvPlayer.start({ url })
          yield* modern.asked
          const publisher = yield* kind.start(url, "h264-aac")
          const ending = yield* Child.ended(publisher, 30_000)
          assert.strictEqual(ending.code, 0, Child.transcript(publisher))
          const sent = yield* SystemClients.packetsOf("h264-aac")
          const { times } = kind
          yield* assertPlayed(watching, sent, ending, { fromTheStart: true, times })
          const end = yield* modern.end
          assert.strictEqual(end.reason, "eof", end.message)
          assertSameRun(sent, modern.packets(), { viewer: modern.child.name, fromTheStart: true, times })
        }),
      timeoutMs
    )
  }

  it.effect.skipIf(players.length === 0)(
    `FFmpeg 8 publishes with B-frames: ${names} get every byte and leave at the end`,
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const url = server.url("by-node-av")
        const watching = yield* startPlayers(url)
        const publisher = yield* NodeAvPublisher.start({ url, clip: "h264-bframes-aac" })
        const end = yield* publisher.end
        assert.strictEqual(end.reason, "end", end.message)
        yield* assertPlayed(watching, publisher.packets(), end, { fromTheStart: true, times: "same" })
      }),
    timeoutMs
  )

  it.effect.skipIf(players.length === 0)(
    `players that come late start at a keyframe and get every byte from there: ${names}`,
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const url = server.url("joined-late")
        const publisher = yield* NodeAvPublisher.start({ url, clip: "h264-bframes-aac", loop: true })
        yield* publisher.sent(120)
        const watching = yield* startPlayers(url)
        yield* publisher.sent(publisher.packets().length + 120)
        const end = yield* publisher.leave
        assert.strictEqual(end.reason, "left", end.message)
        yield* assertPlayed(watching, publisher.packets(), end, { fromTheStart: false, times: "same" })
      }),
    timeoutMs
  )

  it.effect.skipIf(players.length === 0)(
    `players play on when the publisher is killed and comes back, and leave at its end: ${names}`,
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const url = server.url("came-back")
        const watching = yield* startPlayers(url)
        const first = yield* NodeAvPublisher.start({ url, clip: "h264-aac", loop: true })
        yield* first.sent(120)
        yield* first.kill
        const second = yield* NodeAvPublisher.start({ url, clip: "h264-aac" })
        const end = yield* second.end
        assert.strictEqual(end.reason, "end", end.message)
        const resent = second.packets().filter((packet) => packet.kind === "video")
        for (const [kind, { child, packets }] of watching) {
          const ending = yield* Child.ended(child)
          assert.strictEqual(ending.code, kind.endStatus, Child.transcript(child))
          const video = packets().filter((packet) => packet.kind === "video")
          // The second publisher sends its first picture once.
          const start = video.findLastIndex((packet) => packet.sha256 === resent[0]!.sha256)
          assert.isAbove(start, 0, `${kind.name} has not seen both publishers`)
          assertSameRun(resent, video.slice(start), {
            viewer: kind.name,
            fromTheStart: true,
            mayLack: kind.mayLack,
            times: kind.times === "same" ? "shifted" : kind.times
          })
          assertMonotonic(packets(), kind.name)
        }
      }),
    timeoutMs
  )
})
