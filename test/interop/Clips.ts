/**
 * Short clips for the clients to publish, encoded with the FFmpeg 8 of `node-av` from generated pictures and sounds.
 *
 * Nothing is committed: a clip is made when a test first asks for it and kept in the system's folder for temporary
 * files under a name that says how it was made, so that a changed recipe makes a new clip. All are FLV files written by
 * FFmpeg itself (with Enhanced RTMP tags for HEVC, AV1 and Opus), because an FLV file holds the very times and payloads
 * that go over RTMP.
 *
 * **Details**
 *
 * Every picture and every stretch of sound differs from all others, so that a hash names one packet. Pictures hold
 * noise, so that keyframes are much larger than a chunk.
 */
import { createHash, randomUUID } from "node:crypto"
import { existsSync, mkdirSync, renameSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** The clips that tests can ask for. `h264-bframes` has frames that are shown in another order than they are sent. */
export type ClipName = "h264-aac" | "h264-bframes-aac" | "hevc-aac" | "av1-aac" | "h264-opus" | "aac"

interface VideoRecipe {
  readonly encoder: string
  readonly options: Readonly<Record<string, string | number>>
  readonly bFrames: number
}

interface AudioRecipe {
  readonly encoder: string
  readonly format: "flt" | "fltp"
}

interface Recipe {
  readonly video?: VideoRecipe
  readonly audio: AudioRecipe
}

const version = 3
const seconds = 4
const width = 320
const height = 240
const framesPerSecond = 30
const noiseSide = 128
const framesPerKeyframe = 30
const samplesPerSecond = 48_000

const x264 = {
  preset: "veryfast",
  "x264-params": `scenecut=0:keyint=${framesPerKeyframe}:min-keyint=${framesPerKeyframe}`
}
const x265Params = [`keyint=${framesPerKeyframe}`, `min-keyint=${framesPerKeyframe}`, "scenecut=0", "bframes=0"]
const x265 = {
  preset: "ultrafast",
  "x265-params": [...x265Params, "open-gop=0", "repeat-headers=0", "log-level=error"].join(":")
}
const aac: AudioRecipe = { encoder: "aac", format: "fltp" }
const opus: AudioRecipe = { encoder: "libopus", format: "flt" }

const recipes: Record<ClipName, Recipe> = {
  "h264-aac": { video: { encoder: "libx264", options: x264, bFrames: 0 }, audio: aac },
  "h264-bframes-aac": { video: { encoder: "libx264", options: x264, bFrames: 2 }, audio: aac },
  "hevc-aac": { video: { encoder: "libx265", options: x265, bFrames: 0 }, audio: aac },
  // The low-delay form sends each picture as it is shown; FLV has no composition times for AV1.
  "av1-aac": {
    video: { encoder: "libsvtav1", options: { preset: 10, "svtav1-params": "pred-struct=1:rc=2" }, bFrames: 0 },
    audio: aac
  },
  "h264-opus": { video: { encoder: "libx264", options: x264, bFrames: 0 }, audio: opus },
  aac: { audio: aac }
}

/** A fixed sequence of pseudo-random bytes, so that clips made twice from one recipe show and sound the same. */
const noise = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) & 0xff
  }
}

/** Picture number `index` as planar 4:2:0: a gradient that moves, with a square of noise that wanders over it. */
const picture = (index: number): Buffer => {
  const buffer = Buffer.alloc((width * height * 3) / 2)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) buffer[y * width + x] = (x + y + index * 3) & 0xff
  }
  const random = noise(index + 1)
  const left = (index * 4) % (width - noiseSide)
  const top = (index * 2) % (height - noiseSide)
  for (let y = 0; y < noiseSide; y++) {
    for (let x = 0; x < noiseSide; x++) buffer[(top + y) * width + left + x] = random()
  }
  buffer.fill(128 + ((index * 5) % 64), width * height)
  return buffer
}

/** Stereo sound from sample `from` on: a rising tone under a little noise, planar or interleaved. */
const sound = (from: number, samples: number, format: AudioRecipe["format"]): Buffer => {
  const floats = new Float32Array(samples * 2)
  const random = noise(from + 7)
  for (let i = 0; i < samples; i++) {
    const t = (from + i) / samplesPerSecond
    const value = 0.3 * Math.sin(2 * Math.PI * (220 + 60 * t) * t) + (random() - 128) / 4096
    if (format === "fltp") {
      floats[i] = value
      floats[samples + i] = -value
    } else {
      floats[2 * i] = value
      floats[2 * i + 1] = -value
    }
  }
  return Buffer.from(floats.buffer)
}

type Lib = typeof import("node-av/lib")
type CodecContext = import("node-av/lib").CodecContext
type Frame = import("node-av/lib").Frame
type Packet = import("node-av/lib").Packet

/** Gives every frame to an opened encoder, in turn, and collects the packets that come out of it. */
const drain = async (
  lib: Lib,
  encoder: CodecContext,
  frames: Iterable<Frame>,
  streamIndex: number
): Promise<Array<Packet>> => {
  const packets: Array<Packet> = []
  const receive = async () => {
    while (true) {
      const packet = new lib.Packet()
      packet.alloc()
      if ((await encoder.receivePacket(packet)) < 0) {
        packet.free()
        return
      }
      packet.streamIndex = streamIndex
      packet.timeBase = encoder.timeBase
      packets.push(packet)
    }
  }
  for (const frame of frames) {
    lib.FFmpegError.throwIfError(await encoder.sendFrame(frame), "send a frame to an encoder")
    frame.free()
    await receive()
  }
  await encoder.sendFrame(null)
  await receive()
  return packets
}

const encode = async (recipe: Recipe, file: string): Promise<void> => {
  const lib = await import("node-av/lib")
  const c = await import("node-av/constants")
  // The encoders report their settings at the level of warnings.
  lib.Log.setLevel(c.AV_LOG_ERROR)
  process.env.SVT_LOG = "1"
  const output = new lib.FormatContext()
  lib.FFmpegError.throwIfError(output.allocOutputContext2(null, "flv", file), "make an FLV file")
  const open = async (encoder: string, configure: (context: CodecContext) => void, options: VideoRecipe["options"]) => {
    const codec = lib.Codec.findEncoderByName(encoder as Parameters<typeof lib.Codec.findEncoderByName>[0])
    if (codec === null) throw new Error(`node-av has no encoder ${encoder}`)
    const context = new lib.CodecContext()
    context.allocContext3(codec)
    configure(context)
    context.setFlags(c.AV_CODEC_FLAG_GLOBAL_HEADER)
    using dictionary = lib.Dictionary.fromObject(options)
    lib.FFmpegError.throwIfError(await context.open2(codec, dictionary), `open ${encoder}`)
    const stream = output.newStream(null)
    stream.timeBase = context.timeBase
    stream.codecpar.fromContext(context)
    stream.codecpar.codecTag = 0
    return { context, stream }
  }
  const packets: Array<Packet> = []
  const streams: Array<import("node-av/lib").Stream> = []
  const contexts: Array<CodecContext> = []
  if (recipe.video !== undefined) {
    const { bFrames, encoder, options } = recipe.video
    const { context, stream } = await open(
      encoder,
      (context) => {
        context.width = width
        context.height = height
        context.pixelFormat = c.AV_PIX_FMT_YUV420P
        context.timeBase = new lib.Rational(1, framesPerSecond)
        context.framerate = new lib.Rational(framesPerSecond, 1)
        context.gopSize = framesPerKeyframe
        context.maxBFrames = bFrames
        context.bitRate = 2_000_000n
        context.threadCount = 1
      },
      options
    )
    const frames = function* () {
      for (let i = 0; i < seconds * framesPerSecond; i++) {
        yield lib.Frame.fromVideoBuffer(picture(i), {
          width,
          height,
          format: c.AV_PIX_FMT_YUV420P,
          timeBase: { num: 1, den: framesPerSecond },
          pts: BigInt(i)
        })
      }
    }
    packets.push(...(await drain(lib, context, frames(), stream.index)))
    streams.push(stream)
    contexts.push(context)
  }
  const { encoder, format } = recipe.audio
  const sampleFormat = format === "fltp" ? c.AV_SAMPLE_FMT_FLTP : c.AV_SAMPLE_FMT_FLT
  const { context, stream } = await open(
    encoder,
    (context) => {
      context.sampleRate = samplesPerSecond
      context.sampleFormat = sampleFormat
      context.channelLayout = c.AV_CHANNEL_LAYOUT_STEREO
      context.timeBase = new lib.Rational(1, samplesPerSecond)
      context.bitRate = 96_000n
    },
    {}
  )
  const samples = context.frameSize
  const frames = function* () {
    for (let from = 0; from + samples <= seconds * samplesPerSecond; from += samples) {
      yield lib.Frame.fromAudioBuffer(sound(from, samples, format), {
        nbSamples: samples,
        format: sampleFormat,
        sampleRate: samplesPerSecond,
        channelLayout: c.AV_CHANNEL_LAYOUT_STEREO,
        timeBase: { num: 1, den: samplesPerSecond },
        pts: BigInt(from)
      })
    }
  }
  packets.push(...(await drain(lib, context, frames(), stream.index)))
  streams.push(stream)
  contexts.push(context)
  lib.FFmpegError.throwIfError(await output.openOutput(), `open ${file}`)
  // Duration and size stay out of the metadata: a live stream has none.
  using header = lib.Dictionary.fromObject({ flvflags: "no_duration_filesize" })
  lib.FFmpegError.throwIfError(await output.writeHeader(header), "write the header")
  for (const packet of packets) packet.rescaleTs(packet.timeBase, streams[packet.streamIndex]!.timeBase)
  packets.sort((a, b) => Number(a.dts - b.dts) || a.streamIndex - b.streamIndex)
  for (const packet of packets) {
    lib.FFmpegError.throwIfError(await output.writeFrame(packet), "write a packet")
    packet.free()
  }
  lib.FFmpegError.throwIfError(await output.writeTrailer(), "write the trailer")
  await output.closeOutput()
  output.freeContext()
  for (const context of contexts) context.freeContext()
}

/**
 * Makes the clip unless a run before did, and gives its path.
 *
 * **Details**
 *
 * The file appears under its name only when it is whole, so test files that run at the same time may ask for one clip.
 */
export const path = async (name: ClipName): Promise<string> => {
  const recipe = recipes[name]
  const frame = { version, seconds, width, height, noiseSide, framesPerSecond, framesPerKeyframe, samplesPerSecond }
  const key = createHash("sha256").update(JSON.stringify({ recipe, frame })).digest("hex").slice(0, 16)
  const folder = join(tmpdir(), "effect-rtmp-clips")
  const file = join(folder, `${name}-${key}.flv`)
  if (existsSync(file)) return file
  mkdirSync(folder, { recursive: true })
  const draft = `${file}.${randomUUID()}`
  await encode(recipe, draft)
  renameSync(draft, file)
  return file
}
