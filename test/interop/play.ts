/**
 * A program that plays an RTMP URL with the FFmpeg 8 of `node-av` until the stream ends.
 *
 *     node test/interop/play.ts URL [--unprobed] [--packets N] [--ca FILE]
 *
 * It prints one JSON object a line: `{event: "open", streams}` once FFmpeg knows the streams, each packet, and
 * `{event: "end", reason, streams}` with reason `eof`, `enough` (N packets came) or `error`. Probing is what every
 * player does, and FFmpeg hands out no packet while it lasts; `--unprobed` prints packets as they come. With `--ca` the
 * server of an `rtmps://` URL must have a certificate that the authorities in that file vouch for. FFmpeg's own log goes
 * to standard error.
 */
import { createHash } from "node:crypto"
import { parseArgs } from "node:util"
import { AV_LOG_DEBUG, AVERROR_EOF } from "node-av/constants"
import { Dictionary, FFmpegError, FormatContext, Log, Packet } from "node-av/lib"
import { describe } from "./StreamInfo.ts"

const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)
const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex")

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { unprobed: { type: "boolean", default: false }, packets: { type: "string" }, ca: { type: "string" } }
})
const [url] = positionals
if (url === undefined) throw new Error("usage: play.ts URL [--unprobed] [--packets N]")
const wanted = values.packets === undefined ? Number.POSITIVE_INFINITY : Number(values.packets)

// At this level FFmpeg says which RTMP command it sends.
Log.setLevel(AV_LOG_DEBUG)

const input = new FormatContext()

const streams = () => input.streams.map((stream) => describe(stream.codecpar))

const end = (code: number, during: string): never => {
  const reason = code >= 0 ? "enough" : code === AVERROR_EOF ? "eof" : "error"
  const known = during === "open" ? [] : streams()
  say({
    event: "end",
    reason,
    errorCode: code,
    message: code < 0 ? `${during}: ${FFmpegError.strerror(code)}` : "",
    streams: known
  })
  process.exit(reason === "error" ? 1 : 0)
}

using options = Dictionary.fromObject(values.ca === undefined ? {} : { tls_verify: "1", ca_file: values.ca })
const opened = await input.openInput(url, null, options)
if (opened < 0) end(opened, "open")
if (!values.unprobed) {
  const probed = await input.findStreamInfo()
  if (probed < 0) end(probed, "probe")
}
say({ event: "open", streams: streams() })

const packet = new Packet()
packet.alloc()
for (let count = 0; count < wanted; count++) {
  const read = await input.readFrame(packet)
  if (read < 0) end(read, "read")
  const data = packet.data ?? Buffer.alloc(0)
  say({
    event: "packet",
    kind: describe(input.streams[packet.streamIndex]!.codecpar).kind,
    dtsMs: Number(packet.dts),
    ptsMs: Number(packet.pts),
    key: packet.isKeyframe,
    bytes: data.length,
    sha256: sha256(data)
  })
  packet.unref()
}
end(0, "read")
