/**
 * Tables and lists for a terminal, as lines of text: aligned, and no wider than the terminal.
 *
 * Cells hold what clients have sent, so every one is escaped here: no text can move the cursor, change a colour or start a
 * line.
 */
import * as CliOutput from "effect/cli/CliOutput"
import * as Log from "../../observability/Log.ts"

/** How something is drawn: the width to keep to (0 for any width), and whether with colours. */
export interface Style {
  readonly columns: number
  readonly colors: boolean
}

/** Plain text of any width: for files and pipes. */
export const plain: Style = { columns: 0, colors: false }

/**
 * A column of a table.
 *
 * - `title`: its head. `cell`: the text of a row; it is escaped.
 * - `align`: `right` for numbers; `left` where left out.
 * - `give`: whether it is the first to become narrower where the terminal is too narrow; it keeps 8 characters.
 */
export interface Column<Row> {
  readonly title: string
  readonly cell: (row: Row) => string
  readonly align?: "left" | "right"
  readonly give?: boolean
}

/** Draws a table: a head and a line for each row. A terminal that is still too narrow cuts the lines. */
export const table = <Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>,
  style: Style
): ReadonlyArray<string> => {
  const cells = rows.map((row) => columns.map((column) => safe(column.cell(row))))
  const widths = columns.map((column, index) =>
    Math.max(CliOutput.displayWidth(column.title), ...cells.map((row) => CliOutput.displayWidth(row[index]!)))
  )
  narrow(columns, widths, style)
  const line = (row: ReadonlyArray<string>): string =>
    shortened(
      row.map((text, index) => padded(text, widths[index]!, columns[index]!.align)).join(gap),
      style.columns
    ).trimEnd()
  return [bold(line(columns.map((column) => column.title)), style), ...cells.map(line)]
}

/** Draws names with their values below each other, the values aligned. What is empty is left out. */
export const fields = (
  members: ReadonlyArray<readonly [name: string, value: string]>,
  style: Style
): ReadonlyArray<string> => {
  const present = members.filter(([, value]) => value !== "")
  const width = Math.max(0, ...present.map(([name]) => CliOutput.displayWidth(name)))
  return present.map(([name, value]) => {
    const head = padded(name, width, "left")
    const room = style.columns === 0 ? 0 : Math.max(1, style.columns - width - gap.length)
    return `${dim(head, style)}${gap}${shortened(safe(value), room)}`
  })
}

/** Makes text from a client safe for a terminal, and leaves it as it is otherwise. */
export const safe = (text: string): string => Log.escapeForLog(text, maxCellBytes)

/** Text in bold, where there are colours. */
export const bold = (text: string, style: Style): string => (style.colors ? `\u001b[1m${text}\u001b[0m` : text)

/** Text in grey, where there are colours. */
export const dim = (text: string, style: Style): string => (style.colors ? `\u001b[2m${text}\u001b[0m` : text)

const gap = "  "
const maxCellBytes = 1_024
const leastWidth = 8

const narrow = <Row>(columns: ReadonlyArray<Column<Row>>, widths: Array<number>, style: Style): void => {
  if (style.columns === 0) return
  let excess = widths.reduce((sum, width) => sum + width + gap.length, -gap.length) - style.columns
  const giving = columns.flatMap((column, index) => (column.give === true ? [index] : []))
  // The widest one gives first, a character at a time, so that none is lost while another has room.
  while (excess > 0) {
    const widest = giving.reduce((best, index) => (widths[index]! > widths[best]! ? index : best), giving[0] ?? -1)
    if (widest === -1 || widths[widest]! <= leastWidth) return
    widths[widest]!--
    excess--
  }
}

const padded = (text: string, width: number, align: "left" | "right" = "left"): string => {
  const cut = shortened(text, width)
  const blanks = " ".repeat(Math.max(0, width - CliOutput.displayWidth(cut)))
  return align === "right" ? blanks + cut : cut + blanks
}

/** Cuts text that is wider than so many columns of the terminal; 0 cuts nothing. */
const shortened = (text: string, width: number): string => {
  if (width === 0 || CliOutput.displayWidth(text) <= width) return text
  let out = ""
  let used = 0
  for (const { segment } of segments.segment(text)) {
    used += CliOutput.displayWidth(segment)
    if (used > width - 1) break
    out += segment
  }
  return `${out}…`
}

const segments = new Intl.Segmenter(undefined, { granularity: "grapheme" })
