/**
 * A program that publishes an FLV file to an RTMP URL with the FFmpeg 8 of `node-av`, copying its packets.
 *
 *     node test/interop/publish.ts FILE URL [--speed 1] [--loop] [--ca FILE]
 *
 * It sends each packet at its decoding time, divided by the speed, and prints one JSON object a line: `{event: "open", streams}`
 * when the server has agreed, each packet just before it is sent, and `{event: "end", reason}`. With `--loop` it starts over at the file's
 * end, with times that go on. SIGTERM makes it leave as an encoder does (end of sequence, unpublish); SIGKILL makes it
 * vanish. With `--ca` the server of an `rtmps://` URL must have a certificate that the authorities in that file vouch for. FFmpeg's own log goes to standard error.
 */
import { createHash } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { AV_LOG_VERBOSE } from "node-av/constants"
import { Dictionary, FFmpegError, FormatContext, Log, Packet } from "node-av/lib"
import { describe } from "./StreamInfo.ts"

const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    speed: { type: "string", default: "1" },
    loop: { type: "boolean", default: false },
    ca: { type: "string" }
  }
})
const [file, url] = positionals
if (file === undefined || url === undefined) throw new Error("usage: publish.ts FILE URL [--speed 1] [--loop]")
const speed = Number(values.speed)

let leaving = false
process.once("SIGTERM", () => {
  leaving = true
})

Log.setLevel(AV_LOG_VERBOSE)

const end = (reason: "end" | "left" | "error", code = 0, during = ""): never => {
  say({ event: "end", reason, errorCode: code, message: code < 0 ? `${during}: ${FFmpegError.strerror(code)}` : "" })
  // FFmpeg's threads and unread replies do not hold the process.
  process.exit(reason === "error" ? 1 : 0)
}

interface Read {
  readonly packet: Packet
  readonly dtsMs: number
}

const input = new FormatContext()
FFmpegError.throwIfError(await input.openInput(file), `open ${file}`)
FFmpegError.throwIfError(await input.findStreamInfo(), `probe ${file}`)
const packets: Array<Read> = []
while (true) {
  const packet = new Packet()
  packet.alloc()
  if ((await input.readFrame(packet)) < 0) break
  packets.push({ packet, dtsMs: Number(packet.dts) })
}

const output = new FormatContext()
// The bindings give no options to a protocol; FFmpeg's own `tee` does, for a single output too.
const [format, target] =
  values.ca === undefined
    ? ["flv", url]
    : ["tee", `[f=flv:flvflags=no_duration_filesize:tls_verify=1:ca_file=${values.ca}]${url}`]
FFmpegError.throwIfError(output.allocOutputContext2(null, format, target), "make the output")
const streams = input.streams.map((stream) => {
  const copy = output.newStream(null)
  stream.codecpar.copy(copy.codecpar)
  copy.codecpar.codecTag = 0
  copy.timeBase = stream.timeBase
  return describe(stream.codecpar)
})
const opened = format === "tee" ? 0 : await output.openOutput()
if (opened < 0) end("error", opened, "open")
using header = Dictionary.fromObject(format === "tee" ? {} : { flvflags: "no_duration_filesize" })
const begun = await output.writeHeader(header)
if (begun < 0) end("error", begun, "header")
say({ event: "open", streams })

const loopMs = packets.at(-1)!.dtsMs + 40
const startedAtMs = performance.now()
for (let round = 0; round === 0 || (values.loop && !leaving); round++) {
  for (const { packet, dtsMs } of packets) {
    const dueAtMs = startedAtMs + (dtsMs + round * loopMs) / speed
    while (!leaving && performance.now() < dueAtMs) await sleep(Math.min(50, Math.max(1, dueAtMs - performance.now())))
    if (leaving) break
    const sending = packet.clone()!
    const stream = sending.streamIndex
    sending.pts += BigInt(round * loopMs)
    sending.dts += BigInt(round * loopMs)
    const data = sending.data!
    // Printed before it is written, so that nothing reaches the server that the test does not know of.
    say({
      event: "packet",
      kind: streams[stream]!.kind,
      dtsMs: Number(sending.dts),
      ptsMs: Number(sending.pts),
      key: sending.isKeyframe,
      bytes: data.length,
      sha256: createHash("sha256").update(data).digest("hex")
    })
    const written = await output.writeFrame(sending)
    sending.free()
    if (written < 0) end("error", written, "write")
  }
}
const finished = await output.writeTrailer()
if (finished < 0) end("error", finished, "trailer")
if (format !== "tee") await output.closeOutput()
end(leaving ? "left" : "end")
