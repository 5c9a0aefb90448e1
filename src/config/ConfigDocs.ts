/**
 * The documentation of the configuration, written out of the Schema: a table for people, a file to copy and fill in.
 *
 * These are pure functions of the keys, so that what is printed can never differ from what is decoded.
 */
import type { ConfigKey } from "./ConfigKey.ts"

/** Writes the keys as a Markdown table: path, variable, default, meaning and what is accepted. */
export const markdownTable = (keys: ReadonlyArray<ConfigKey>): string =>
  [
    "| key | variable | default | meaning |",
    "|---|---|---|---|",
    ...keys.map(
      (key) =>
        `| \`${key.path}\` | \`${key.variable}\` | ${defaultOf(key)} | ${cell(`${key.description}${unitOf(key)}`)} |`
    )
  ].join("\n")

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
