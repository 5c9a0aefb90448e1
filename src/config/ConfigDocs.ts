/**
 * The documentation of the configuration, written out of the Schema: a table for people, a file to copy and fill in.
 *
 * These are pure functions of the keys, so that what is printed can never differ from what is decoded.
 */
import type { ConfigKey } from "./ConfigKey.ts"

/** Writes the keys as a Markdown table with aligned columns: path, variable, default, and meaning. */
export const markdownTable = (keys: ReadonlyArray<ConfigKey>): string => {
  const head = ["key", "variable", "default", "meaning"]
  const rows = keys.map((key) => [
    `\`${key.path}\``,
    `\`${key.variable}\``,
    defaultOf(key),
    cell(`${key.description}${unitOf(key)}`)
  ])
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)))
  const line = (cells: ReadonlyArray<string>, fill: string): string =>
    `| ${cells.map((text, column) => text.padEnd(widths[column]!, fill)).join(" | ")} |`
  return [line(head, " "), line(["", "", "", ""], "-"), ...rows.map((row) => line(row, " "))].join("\n")
}

/** Writes the keys as an environment file with every variable commented out and set to its default. */
export const envFile = (keys: ReadonlyArray<ConfigKey>): string => {
  const lines = [
    "# Settings of effect-rtmp, as environment variables. Every line is commented out and shows the default.",
    "# Durations: `5 seconds`, `500 ms`, `10s` or milliseconds. Sizes: `16MiB` or a number of bytes."
  ]
  let group = ""
  for (const key of keys) {
    if (key.group !== group) {
      group = key.group
      lines.push("", `# ---- ${group} ----`)
    }
    lines.push("", `# ${key.description}.`, `# Accepts ${key.expected}.`)
    if (key.defaultNote !== "") lines.push(`# Default: ${key.defaultText}, or ${key.defaultNote}.`)
    lines.push(`#${key.variable}=${key.defaultText}`)
  }
  return `${lines.join("\n")}\n`
}

const defaultOf = (key: ConfigKey): string => {
  const text = key.defaultText === "" ? "(empty)" : `\`${key.defaultText}\``
  return cell(key.defaultNote === "" ? text : `${text}; ${key.defaultNote}`)
}

const unitOf = (key: ConfigKey): string => {
  switch (key.kind) {
    case "choice":
      return ` (${key.expected})`
    case "count":
      return key.unit === "bytes" ? " (bytes)" : ""
    default:
      return ""
  }
}

/** A vertical bar would end the cell. */
const cell = (text: string): string => text.replaceAll("|", "\\|")
