import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as RtmpUrl from "../../src/protocol/RtmpUrl.ts"

const name = (result: Result.Result<RtmpUrl.CanonicalName, RtmpUrl.NameError>): string =>
  Result.isSuccess(result) ? result.success.name : `!${result.failure.reason}`

describe("RtmpUrl.application", () => {
  it.each([
    ["live", "live", ""],
    ["live/", "live", ""],
    ["/live", "live", ""],
    ["//live//", "live", ""],
    ["live/_definst_", "live", ""],
    ["a//b", "a/b", ""],
    ["", "", ""],
    ["live?k=v", "live", "k=v"],
    ["live?x=1?authmod=adobe&user=u", "live", "x=1&authmod=adobe&user=u"],
    ["caf%C3%A9", "café", ""],
    ["100%", "100%", ""]
  ])("brings %j into the form %j with query %j", (raw, expected, query) => {
    assert.deepStrictEqual(RtmpUrl.application(raw), Result.succeed({ name: expected, query }))
  })

  it.each([
    ["../live", "RelativeSegment"],
    ["a/./b", "RelativeSegment"],
    ["%2e%2e%2flive", "RelativeSegment"],
    ["a\\b", "Backslash"],
    ["a\u0000b", "ControlCharacter"],
    ["a%00b", "ControlCharacter"],
    ["a\r\nb", "ControlCharacter"],
    ["a\u001b[31m", "ControlCharacter"],
    ["a\u202egpj", "ControlCharacter"],
    ["a\ufffdb", "InvalidUtf8"],
    ["live.", "TrailingDotOrSpace"],
    ["x".repeat(256), "TooLong"],
    ["é".repeat(128), "TooLong"],
    [`a?${"k".repeat(4097)}`, "TooLong"],
    [`a?${"k&".repeat(64)}`, "TooManyParameters"],
    ["a?k=\u0000", "ControlCharacter"]
  ])("rejects %j as %s", (raw, reason) => {
    assert.strictEqual(name(RtmpUrl.application(raw)), `!${reason}`)
  })

  it("accepts names and queries at their limits", () => {
    assert.strictEqual(name(RtmpUrl.application("x".repeat(255))), "x".repeat(255))
    assert.isTrue(Result.isSuccess(RtmpUrl.application(`a?${"k".repeat(4096)}`)))
    assert.isTrue(Result.isSuccess(RtmpUrl.application(`a?${"k&".repeat(63)}`)))
  })
})

describe("RtmpUrl.stream", () => {
  it.each([
    ["s", "s"],
    ["/s", "s"],
    ["c/d", "c/d"],
    ["a%20b", "a b"],
    ["a b", "a b"],
    ["$(id)", "$(id)"],
    ["*", "*"],
    ["rtmp://10.0.0.1/live/cam", "cam"],
    ["rtmp://10.0.0.1/other/cam", "other/cam"],
    ["rtmp%3A%2F%2Fuser:secret@10.0.0.1%2Flive%2Fcam%3Fk=secret", "cam"]
  ])("brings %j into the form %j", (raw, expected) => {
    assert.strictEqual(name(RtmpUrl.stream(raw, "live")), expected)
  })

  it.each([
    ["", "Empty"],
    ["/", "Empty"],
    ["?key=1", "Empty"],
    ["../../etc/passwd", "RelativeSegment"],
    ["C:\\x", "Backslash"],
    ["mp4:s.mp4", "TypePrefix"],
    ["cam%3Fkey=secret", "EncodedQuery"],
    ["cam%23x", "EncodedQuery"],
    ["rtmpt://user:secret@host/live/cam", "Url"],
    ["http%3A%2F%2Fhost%2Fcam", "Url"],
    ["MP4:s", "TypePrefix"],
    ["s ", "TrailingDotOrSpace"]
  ])("rejects %j as %s", (raw, reason) => {
    assert.strictEqual(name(RtmpUrl.stream(raw, "live")), `!${reason}`)
  })

  it("gives one key to every way in which clients cut the same URL", () => {
    const key = (app: string, stream: string) =>
      RtmpUrl.streamKey(name(RtmpUrl.application(app)), name(RtmpUrl.stream(stream, name(RtmpUrl.application(app)))))
    assert.deepStrictEqual(
      [key("a/b", "c/d?x=1"), key("a/b/c", "d"), key("/a/b/", "/c/d")],
      ["a/b/c/d", "a/b/c/d", "a/b/c/d"]
    )
  })

  it("gives the same name again when a canonical name is brought into form", () => {
    for (const raw of ["a%20b", "//x//y/", "café", "100%"]) {
      const once = name(RtmpUrl.stream(raw, ""))
      assert.strictEqual(name(RtmpUrl.stream(once, "")), once)
    }
  })
})

describe("RtmpUrl.parameter", () => {
  it("takes the first of repeated parameters and tells an empty value from none", () => {
    assert.strictEqual(RtmpUrl.parameter("key=a&key=b", "key"), "a")
    assert.strictEqual(RtmpUrl.parameter("key", "key"), "")
    assert.strictEqual(RtmpUrl.parameter("other=1", "key"), undefined)
    assert.strictEqual(RtmpUrl.parameter("key=a%26b", "key"), "a&b")
    assert.strictEqual(RtmpUrl.parameter("key=a=b", "key"), "a=b")
  })

  it("lets the stream name's query win over the application's", () => {
    assert.strictEqual(RtmpUrl.parameter(RtmpUrl.mergeQueries("key=name", "", "key=app"), "key"), "name")
  })

  it("reads the query of a quoted tcUrl", () => {
    assert.strictEqual(RtmpUrl.queryOf("'rtmp://h/live?key=1'"), "key=1")
  })
})

describe("RtmpUrl.parse", () => {
  it("cuts application and stream at the last slash, as librtmp does", () => {
    const url = Result.getOrThrow(RtmpUrl.parse("rtmp://example.org:1936/a/b/c/d?x=1/2"))
    assert.deepStrictEqual(url, {
      secure: false,
      host: "example.org",
      port: 1936,
      application: "a/b/c",
      stream: "d?x=1/2",
      tcUrl: "rtmp://example.org:1936/a/b/c"
    })
  })

  it("knows the default ports and IPv6 literals", () => {
    assert.strictEqual(Result.getOrThrow(RtmpUrl.parse("rtmp://h/a/b")).port, 1935)
    assert.strictEqual(Result.getOrThrow(RtmpUrl.parse("rtmps://h/a/b")).port, 443)
    const url = Result.getOrThrow(RtmpUrl.parse("rtmp://[::1]:1935/live/s"))
    assert.strictEqual(url.host, "::1")
    assert.strictEqual(url.tcUrl, "rtmp://[::1]:1935/live")
  })

  it.each([
    ["http://h/a/b", "Scheme"],
    ["rtmp:///a/b", "Host"],
    ["rtmp://h:0/a/b", "Port"],
    ["rtmp://h:x/a/b", "Port"],
    ["rtmp://h/a/", "Path"],
    ["rtmp://h", "Path"]
  ])("rejects %j (%s)", (text, reason) => {
    const result = RtmpUrl.parse(text)
    assert.strictEqual(Result.isFailure(result) ? result.failure.reason : "accepted", reason)
  })
})
