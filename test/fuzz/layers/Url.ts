/** Names and URLs: a name that is accepted is canonical, and stays what it is. */
import * as Result from "effect/Result"
import * as Bytes from "../../../src/protocol/Bytes.ts"
import * as RtmpUrl from "../../../src/protocol/RtmpUrl.ts"
import { ensure, hasControl, type Layer } from "../Layer.ts"
import { Output } from "../Output.ts"

const words = [
  "live",
  "a",
  "s",
  "/",
  "/",
  "//",
  "..",
  ".",
  "/../",
  "%2e%2e",
  "%2f",
  "%2F",
  "%00",
  "%",
  "%zz",
  "%c0%ae",
  "\\",
  " ",
  "?",
  "?key=1",
  "&",
  "&&",
  "=",
  "#",
  "%3f",
  "%23",
  "rtmp://h/live/",
  "rtmps://[::1]:443/",
  "rtmp%3a%2f%2fh%2flive%2f",
  "rtmp://",
  ":1935",
  ":99999",
  "mp4:",
  "flv:",
  "_definst_",
  "/_definst_",
  "\r\n",
  "\u001b[2J",
  "\0",
  "\u007f",
  "é",
  "日本",
  "\u202e",
  "\u2028",
  "🎥",
  "x".repeat(90),
  "C:\\",
  "$(id)",
  "*",
  "'",
  '"',
  "k=v&",
  "authmod=adobe",
  "[",
  "]",
  "@",
  "h",
  "http://",
  "+"
]

const encoder = new TextEncoder()
const encoded = words.map((word) => encoder.encode(word))
const decoder = new TextDecoder()
const out = new Output()

const ensureCanonical = (part: string, canonical: RtmpUrl.CanonicalName): void => {
  const { name, query } = canonical
  ensure(!hasControl(name) && !hasControl(query), `a control character in a ${part} name or its query`)
  ensure(!/[\\?#]/.test(name), `a ${part} name with a query, a fragment or a backslash`)
  ensure(Bytes.fromUtf8(name).length <= 255 && Bytes.fromUtf8(query).length <= 4096, `a ${part} name beyond its limit`)
  ensure(query.split("&").length <= 64, "more parameters than the limit")
  for (const segment of name === "" ? [] : name.split("/")) {
    ensure(
      segment !== "" && segment !== "." && segment !== "..",
      `a ${part} name that leads somewhere else`,
      () => name
    )
    ensure(!/[. ]$/.test(segment), `a ${part} name that some file systems shorten`, () => name)
  }
  RtmpUrl.parameter(query, "key")
}

const checkText = (text: string): void => {
  const application = RtmpUrl.application(text)
  if (Result.isFailure(application)) {
    ensure(application.failure instanceof RtmpUrl.NameError, "an error that is no NameError")
  } else {
    ensureCanonical("application", application.success)
    const { name } = application.success
    // A percent sign may be decoded once more, and the instance of Flash servers may be taken off once more.
    if (!/%|_definst_/.test(name)) {
      const again = RtmpUrl.application(name)
      ensure(Result.isSuccess(again) && again.success.name === name, "an application that changes", () => name)
    }
  }
  for (const app of ["live", ""]) {
    const stream = RtmpUrl.stream(text, app)
    if (Result.isFailure(stream)) {
      ensure(stream.failure instanceof RtmpUrl.NameError, "an error that is no NameError")
      continue
    }
    const { name } = stream.success
    ensureCanonical("stream", stream.success)
    ensure(name !== "", "an empty stream name")
    if (!/%/.test(name)) {
      const again = RtmpUrl.stream(name, app)
      ensure(Result.isSuccess(again) && again.success.name === name, "a stream name that changes", () => name)
    }
  }
  RtmpUrl.queryOf(text)
  ensure(RtmpUrl.boundedQueryOf(text).length <= 4096, "a query beyond its limit")
  RtmpUrl.parameter(text, "key")
  const url = RtmpUrl.parse(text)
  if (Result.isFailure(url)) {
    ensure(url.failure instanceof RtmpUrl.RtmpUrlError, "an error that is no RtmpUrlError")
    return
  }
  const { application: app, host, port, stream, tcUrl } = url.success
  ensure(port >= 1 && port <= 65_535 && host !== "" && stream !== "", "a URL with a part that means nothing")
  const again = RtmpUrl.parse(`${tcUrl}${app === "" ? "" : "/"}${stream}`)
  ensure(
    Result.isSuccess(again) &&
      again.success.application === app &&
      again.success.stream === stream &&
      again.success.host === host,
    "a URL that changes when it is put together again",
    () => text
  )
}

export const urlLayer: Layer = {
  name: "url",
  inputsInTests: 100_000,
  generate: (random) => {
    out.clear()
    if (random.once(3)) out.latin("rtmp://h/live/s")
    for (let i = random.below(9); i > 0; i--) out.bytes(random.pick(encoded))
    if (random.once(200)) for (let i = 0; i < 70; i++) out.latin("&k=v")
    return (random.once(6) ? out.damage(random, 0, 1 + random.below(2)) : out).finish()
  },
  check: (input) => checkText(decoder.decode(input))
}
