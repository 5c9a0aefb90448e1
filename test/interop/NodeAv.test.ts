/**
 * FFmpeg 8, from `node-av`, publishes and plays: always run, since it comes with npm.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { ClipName } from "./Clips.ts"
import * as NodeAvPlayer from "./NodeAvPlayer.ts"
import * as NodeAvPublisher from "./NodeAvPublisher.ts"
import { assertMonotonic, assertSameRun } from "./Packet.ts"
import { RunningServer } from "./RunningServer.ts"

const timeoutMs = 60_000

/** A second and a half of the clips, or more: enough to have been past a keyframe that was not the first. */
const someTime = 120

layer(RunningServer.layer, { excludeTestServices: true, timeout: timeoutMs })("with FFmpeg 8 of node-av", (it) => {
  const clips: ReadonlyArray<readonly [ClipName, string]> = [
    ["h264-aac", "H.264 and AAC"],
    ["h264-bframes-aac", "H.264 with B-frames"],
    ["hevc-aac", "HEVC through Enhanced RTMP"],
    ["av1-aac", "AV1 through Enhanced RTMP"],
    ["h264-opus", "Opus through Enhanced RTMP"],
    ["aac", "sound alone"]
  ]
  for (const [clip, what] of clips) {
    it.effect(
      `${what}: a viewer that waited and one that came late get what was published, byte for byte, to its end`,
      () =>
        Effect.gen(function* () {
          const server = yield* RunningServer
          const url = server.url(`node-av-${clip}`)
          const early = yield* NodeAvPlayer.start({ url, name: "the viewer that waited" })
          yield* early.asked
          const publisher = yield* NodeAvPublisher.start({ url, clip, loop: true })
          const published = yield* publisher.accepted
          yield* publisher.sent(someTime)
          const late = yield* NodeAvPlayer.start({ url, name: "the viewer that came late" })
          yield* Effect.all([early.got(someTime), late.got(someTime)], { concurrency: "unbounded" })
          const left = yield* publisher.leave
          assert.strictEqual(left.reason, "left", left.message)
          for (const viewer of [early, late]) {
            const { name } = viewer.child
            const end = yield* viewer.end
            assert.strictEqual(end.reason, "eof", `${name}: ${end.message}`)
            assert.strictEqual(end.code, 0, name)
            assertSameRun(publisher.packets(), viewer.packets(), { viewer: name, fromTheStart: viewer === early })
            assertMonotonic(viewer.packets(), name)
            assert.deepStrictEqual(
              [...end.streams].sort((a, b) => b.kind.localeCompare(a.kind)),
              published,
              `${name}: the codecs and their configuration`
            )
          }
        }),
      timeoutMs
    )
  }

  it.effect(
    "several viewers at once get the same bytes, and one that leaves takes nothing from the others",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const url = server.url("several")
        const start = (name: string) => NodeAvPlayer.start({ url, name, unprobed: true })
        const viewers = yield* Effect.all([start("viewer 1"), start("viewer 2"), start("viewer 3")])
        const leaver = yield* NodeAvPlayer.start({ url, name: "the viewer that leaves", unprobed: true, packets: 40 })
        yield* Effect.all([leaver, ...viewers].map((viewer) => viewer.asked))
        const publisher = yield* NodeAvPublisher.start({ url, clip: "h264-aac", loop: true })
        const { reason } = yield* leaver.end
        assert.strictEqual(reason, "enough")
        assertSameRun(publisher.packets(), leaver.packets(), { viewer: leaver.child.name, toTheEnd: false })
        yield* publisher.sent(publisher.packets().length + someTime)
        yield* publisher.leave
        for (const viewer of viewers) {
          const end = yield* viewer.end
          assert.strictEqual(end.reason, "eof", end.message)
          assertSameRun(publisher.packets(), viewer.packets(), { viewer: viewer.child.name, fromTheStart: true })
        }
      }),
    timeoutMs
  )

  it.effect(
    "a viewer of a name that nobody publishes waits, and plays when its publisher comes",
    () =>
      Effect.gen(function* () {
        const server = yield* RunningServer
        const url = server.url("waiting")
        const viewer = yield* NodeAvPlayer.start({ url, unprobed: true })
        yield* viewer.asked
        // Another stream comes and goes in the meantime; it is none of this viewer's business.
        const other = yield* NodeAvPublisher.start({ url: server.url("waiting-other"), clip: "h264-aac", speed: 8 })
        assert.strictEqual((yield* other.end).reason, "end")
        assert.isUndefined(viewer.child.ending)
        assert.lengthOf(viewer.packets(), 0)
        const publisher = yield* NodeAvPublisher.start({ url, clip: "h264-aac" })
        const published = yield* publisher.end
        assert.strictEqual(published.reason, "end", published.message)
        const end = yield* viewer.end
        assert.strictEqual(end.reason, "eof", end.message)
        assertSameRun(publisher.packets(), viewer.packets(), { viewer: "the viewer", fromTheStart: true })
      }),
    timeoutMs
  )
})
