import { assert, describe, it } from "@effect/vitest"
import * as Journald from "../../src/observability/Journald.ts"
import * as LogLevels from "../../src/observability/LogLevels.ts"
import * as LogSink from "../../src/observability/LogSink.ts"

describe("Journald", () => {
  it("writes the priority of syslog in front of each line", () => {
    const lines: Array<string> = []
    const sink = Journald.sink(LogSink.direct((line) => lines.push(line)))
    for (const level of LogLevels.levels) if (level !== "none") sink.write(level, level)
    assert.deepStrictEqual(lines, ["<7>trace", "<7>debug", "<6>info", "<4>warn", "<3>error", "<2>fatal"])
  })

  it("keeps one line one line, so that no text can set a priority of its own", () => {
    assert.strictEqual(Journald.withPriority("a\n<0>b", "info"), "<6>a\\n<0>b")
  })

  it("reads the stream that systemd names, and nothing else", () => {
    assert.deepStrictEqual(Journald.parseStream("9:123456"), { device: "9", inode: "123456" })
    for (const value of [undefined, "", "9", "9:", ":1", "9:1:2", "-1:2", "a:b", " 9:1", "9:1\n"]) {
      assert.isUndefined(Journald.parseStream(value))
    }
  })

  it("is not taken in by a variable that was inherited without its stream", () => {
    const stream = { device: "9", inode: "1" }
    assert.isTrue(Journald.isJournal(stream, { device: "9", inode: "1" }))
    assert.isFalse(Journald.isJournal(stream, { device: "9", inode: "2" }))
    assert.isFalse(Journald.isJournal(stream, { device: "8", inode: "1" }))
    assert.isFalse(Journald.isJournal(undefined, undefined))
    assert.isFalse(Journald.isJournal(stream, undefined))
  })
})
