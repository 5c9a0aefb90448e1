import { assert, describe, it } from "@effect/vitest"
import * as Table from "../../../src/node/cli/Table.ts"
import * as Words from "../../../src/node/cli/Words.ts"

const columns: ReadonlyArray<Table.Column<readonly [string, number]>> = [
  { title: "NAME", cell: ([name]) => name, give: true },
  { title: "COUNT", cell: ([, count]) => String(count), align: "right" }
]

describe("Table", () => {
  it("aligns columns, numbers to the right, and ends no line in blanks", () => {
    const lines = Table.table(
      columns,
      [
        ["live/a", 5],
        ["live/camera", 1234]
      ],
      Table.plain
    )
    assert.deepStrictEqual(lines, ["NAME         COUNT", "live/a           5", "live/camera   1234"])
  })

  it("counts wide and combining characters as a terminal does", () => {
    const lines = Table.table(
      columns,
      [
        ["日本", 1],
        ["é", 2]
      ],
      Table.plain
    )
    assert.deepStrictEqual(lines, ["NAME  COUNT", "日本      1", "é         2"])
  })

  it("keeps to the width of the terminal: what may give gives first, and never wider than it", () => {
    const rows: ReadonlyArray<readonly [string, number]> = [["live/a-very-long-name-of-a-stream", 1]]
    assert.deepStrictEqual(Table.table(columns, rows, { columns: 24, colors: false }), [
      "NAME               COUNT",
      "live/a-very-long…      1"
    ])
    for (const line of Table.table(columns, rows, { columns: 10, colors: false })) assert.isAtMost([...line].length, 10)
  })

  it("escapes what a client sent, so that it can neither start a line nor send a sequence to the terminal", () => {
    const hostile = "a\u001b[2J\nFAKE 99\u202e"
    const lines = [
      ...Table.table(columns, [[hostile, 1]], { columns: 0, colors: true }),
      ...Table.fields([["name", hostile]], { columns: 0, colors: true })
    ]
    assert.strictEqual(lines.length, 3)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what is looked for.
    for (const line of lines) assert.notMatch(line.replace(/\u001b\[[012]m/g, ""), /[\u0000-\u001f\u202e]/)
  })

  it("uses colours only where they are wanted", () => {
    assert.include(Table.table(columns, [], { columns: 0, colors: true })[0], "\u001b[1m")
    assert.notInclude(Table.table(columns, [], Table.plain).join(), "\u001b")
  })

  it("leaves empty fields out and aligns the others", () => {
    const lines = Table.fields(
      [
        ["key", "live/a"],
        ["publisher", ""],
        ["state", "Live"]
      ],
      Table.plain
    )
    assert.deepStrictEqual(lines, ["key    live/a", "state  Live"])
  })
})

describe("Words", () => {
  it.each([
    [0, "0 bit/s"],
    [999, "999 bit/s"],
    [1_000, "1 kbit/s"],
    [4_250_000, "4.3 Mbit/s"],
    [999_960, "1 Mbit/s"],
    [12_345_678_901, "12.3 Gbit/s"]
  ])("write %d bit/s as %s", (rate, text) => {
    assert.strictEqual(Words.bitrate(rate), text)
  })

  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1_000, "1000 B"],
    [1_536, "1.5 KiB"],
    [5 * 1024 ** 3, "5 GiB"]
  ])("write %d bytes as %s", (count, text) => {
    assert.strictEqual(Words.bytes(count), text)
  })

  it.each([
    [-5, "0s"],
    [0, "0s"],
    [850, "850ms"],
    [61_000, "1m 1s"],
    [3_600_000, "1h"],
    [3_605_000, "1h"],
    [90_000_000, "1d 1h"]
  ])("write a span of %d ms as %s", (ms, text) => {
    assert.strictEqual(Words.span(ms), text)
  })
})
