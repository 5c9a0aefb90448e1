import { assert, describe, it } from "@effect/vitest"
import * as Views from "../../../src/node/cli/Views.ts"

const now = Date.UTC(2026, 0, 2, 3, 4, 5)

const track = {
  kind: "video" as const,
  trackId: 0,
  codec: "avc",
  profile: "High",
  level: "4.1",
  width: 1920,
  height: 1080,
  frameRate: 29.97,
  sampleRate: 0,
  channels: 0,
  bitsPerSecond: 4_000_000,
  keyframeIntervalMs: 2_000,
  frames: 100,
  bytes: 1_000_000,
  gaps: 0
}

const audio = {
  ...track,
  kind: "audio" as const,
  codec: "aac",
  profile: "LC",
  level: "",
  width: 0,
  height: 0,
  frameRate: 0,
  sampleRate: 48_000,
  channels: 2,
  bitsPerSecond: 128_000,
  keyframeIntervalMs: 0
}

const stream = {
  key: "live/camera",
  application: "live",
  name: "camera",
  publisher: "c1",
  state: "Live" as const,
  since: now - 65_000,
  viewers: 12,
  viewersPeak: 20,
  bitsPerSecond: 4_128_000,
  bytes: 33_000_000,
  dry: false,
  disabled: false,
  tracks: [track, audio],
  gop: { frames: 60, bytes: 1_000_000, durationMs: 2_000 }
}

const plain = { columns: 0, colors: false }

describe("Views", () => {
  it("draw a list of streams", () => {
    assert.deepStrictEqual(Views.streams({ streams: [stream], disabled: ["live/x\n"] }, now, plain), [
      "STREAM       STATE    FOR  VIEWERS     BITRATE  MEDIA                      PUBLISHER",
      "live/camera  Live   1m 5s       12  4.1 Mbit/s  avc 1920x1080@29.97 + aac  c1",
      "",
      "disabled: live/x\\u{a}"
    ])
  })

  it("draw a list within 80 columns", () => {
    const lines = Views.streams({ streams: [{ ...stream, key: `live/${"x".repeat(60)}` }], disabled: [] }, now, {
      columns: 80,
      colors: false
    })
    for (const line of lines) assert.isAtMost(line.length, 80)
    assert.include(lines[1], "…")
    assert.match(lines[1]!, /c1$/)
  })

  it("draw one stream with its tracks", () => {
    assert.deepStrictEqual(Views.stream(stream, now, plain), [
      "key        live/camera",
      "state      Live",
      "publisher  c1",
      "since      2026-01-02 03:03:00Z (1m 5s)",
      "viewers    12 (most 20)",
      "bitrate    4.1 Mbit/s",
      "received   31.5 MiB",
      "cached     60 frames, 977 KiB, 2s",
      "",
      "TRACK    CODEC         FORMAT         FRAMES/S     BITRATE  KEYFRAMES  GAPS",
      "video 0  avc High 4.1  1920x1080         29.97    4 Mbit/s   every 2s     0",
      "audio 0  aac LC        48000 Hz 2 ch            128 kbit/s                0"
    ])
  })

  it("draw what a connection does, with the names that its client sent escaped", () => {
    const connection = {
      id: "c2",
      remote: { host: "2001:db8::1", port: 5000 },
      state: "Subscribing",
      openedAt: now - 1_000,
      application: "live",
      flashVer: "evil\u001b]0;title\u0007",
      canReconnect: false,
      bytesReceived: 3_000,
      bytesSent: 2_000_000,
      receiveBitsPerSecond: 0,
      sendBitsPerSecond: 4_000_000,
      publishing: [],
      playing: [
        {
          streamKey: "live/camera",
          started: true,
          frames: 30,
          bytes: 2_000_000,
          lagMs: 250,
          queuedBytes: 1_000,
          drops: { late: 1, full: 2, orphaned: 3 }
        }
      ]
    }
    const [, line] = Views.connections([connection], now, plain)
    assert.strictEqual(
      line,
      "c2  [2001:db8::1]:5000  Subscribing   1s  0 bit/s  4 Mbit/s  250ms  plays live/camera  evil\\u{1b}]0;title\\u{7}"
    )
    const text = Views.connection(connection, now, plain).join("\n")
    assert.include(text, "live/camera  yes          30  1.9 MiB  250ms   1000 B     6")
  })

  it("put the health in a word, or in its reasons", () => {
    const ok = { status: "ok" as const, checks: [] }
    const failing = { status: "failing" as const, checks: [{ name: "listening", ok: false, reason: "not yet" }] }
    assert.strictEqual(Views.healthWords({ live: ok, ready: ok }), "live and ready")
    assert.strictEqual(Views.healthWords({ live: ok, ready: failing }), "live, not ready: listening: not yet")
    assert.strictEqual(Views.healthWords({ live: failing, ready: failing }), "not live: listening: not yet")
  })
})
