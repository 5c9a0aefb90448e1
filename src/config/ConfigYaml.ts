/**
 * Writes configuration values as YAML, so that the file reader gives the same values back.
 *
 * Only what a configuration holds can be written: scalars, lists of texts and mappings of scalars, in nested groups. It needs
 * no library, because the server prints its configuration also where it has read no file.
 */

/** Writes a value on one line: a scalar, a list in brackets or a mapping in braces. */
export const inline = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map((item) => scalar(item, true)).join(", ")}]`
  if (typeof value !== "object" || value === null) return scalar(value, false)
  const members = Object.entries(value).map(([name, member]) => `${scalar(name, true)}: ${scalar(member, true)}`)
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`
}

/** One key and the lines that stand for it, without indentation. */
export interface Member {
  readonly path: string
  readonly lines: ReadonlyArray<string>
}

/**
 * Writes members below their groups, two blanks for each step; members of a group must stand together. `gap` puts an
 * empty line before every member and group.
 */
export const nested = (members: ReadonlyArray<Member>, gap: boolean): string => {
  const out: Array<string> = []
  let open: ReadonlyArray<string> = []
  for (const { lines, path } of members) {
    const groups = path.split(".").slice(0, -1)
    let depth = 0
    while (depth < groups.length && groups[depth] === open[depth]) depth++
    if (gap && out.length > 0) out.push("")
    for (; depth < groups.length; depth++) out.push(`${"  ".repeat(depth)}${groups[depth]}:`)
    open = groups
    out.push(...lines.map((line) => `${"  ".repeat(groups.length)}${line}`))
  }
  return `${out.join("\n")}\n`
}

/** Text stands without quotes where nothing in it means anything to YAML, and nothing hides or moves on a terminal. */
const scalar = (value: unknown, inFlow: boolean): string => {
  if (typeof value !== "string") return String(value)
  const isPlain = (inFlow ? flowWord : blockWord).test(value) && !looksTyped.test(value)
  return isPlain ? value : JSON.stringify(value).replace(unsafe, escapeUnits)
}

const flowWord = /^[\p{L}\p{N}_][\p{L}\p{N}_./-]*(?: [\p{L}\p{N}_./-]+)*$/u
// A colon with a blank behind it would make a mapping.
const blockWord = /^[\p{L}\p{N}_/](?:[\p{L}\p{N}_./@%+-]|:(?! ))*(?: [\p{L}\p{N}_./@%+-]+)*$/u
const looksTyped = /^(?:null|true|false|(?:\.\d+|\d+(?:\.\d*)?)(?:e[-+]?\d+)?|0x[\da-f]+|0o[0-7]+|\.inf|\.nan)$|:$/i
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

const escapeUnits = (character: string): string =>
  [...Array(character.length).keys()]
    .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`)
    .join("")
