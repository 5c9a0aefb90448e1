/**
 * The documentation of the configuration, written out of the Schema: a table for people, files to copy and fill in, and a
 * JSON Schema for editors.
 *
 * These are pure functions of the keys, so that what is printed can never differ from what is decoded.
 */
import type { ConfigKey } from "./ConfigKey.ts"
import type { JsonSchema } from "./ConfigValue.ts"
import * as ConfigYaml from "./ConfigYaml.ts"

/** Writes the keys as Markdown, a table with aligned columns for each group: path, variable, default, and meaning. */
export const markdownTables = (keys: ReadonlyArray<ConfigKey>): string => {
  const groups = [...new Set(keys.map((key) => key.group))]
  return groups
    .map((group) => {
      const table = markdownTable(keys.filter((key) => key.group === group))
      return group === "" ? table : `**${group}**\n\n${table}`
    })
    .join("\n\n")
}

/** Writes the keys as one Markdown table with aligned columns: path, variable, default, and meaning. */
export const markdownTable = (keys: ReadonlyArray<ConfigKey>): string => {
  const head = ["key", "variable", "default", "meaning"]
  const rows = keys.map((key) => [
    `\`${key.path}\``,
    `\`${key.variable}\``,
    defaultOf(key),
    cell(`${key.description}${unitOf(key)}${key.restart ? " ↻" : ""}`)
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
    "# They win over the configuration file, which RTMP_CONFIG names.",
    "# Durations: `5 seconds`, `500 ms`, `10s` or milliseconds. Sizes: `16MiB` or a number of bytes."
  ]
  let group: string | undefined
  for (const key of keys) {
    if (key.group !== group) {
      group = key.group
      if (group !== "") lines.push("", `# ---- ${group} ----`)
    }
    lines.push("", `# ${key.description}.`, `# Accepts ${key.expected}.`)
    if (key.defaultNote !== "") lines.push(`# Default: ${key.defaultText}, or ${key.defaultNote}.`)
    if (key.restart) lines.push("# A change needs a restart.")
    lines.push(`#${key.variable}=${key.defaultText}`)
  }
  return `${lines.join("\n")}\n`
}

/**
 * Writes the keys as a configuration file in which every key is commented out and shows its default. A comment is a hash
 * and a blank; a hash alone stands before a key, and may be taken away. `schemaFile` is where editors find the JSON Schema.
 */
export const yamlFile = (keys: ReadonlyArray<ConfigKey>, schemaFile: string): string => {
  const head = [
    `# yaml-language-server: $schema=${schemaFile}`,
    "# Settings of effect-rtmp. Every key is commented out and shows its default: take the `#` before it away to set it.",
    "# A variable in the environment wins over this file: `RTMP_LISTEN_PORT` over `listen.port`, and so on.",
    "# Durations: `5 seconds`, `500 ms`, `10s` or milliseconds. Sizes: `16MiB` or a number of bytes."
  ]
  const members = keys.map((key) => ({
    path: key.path,
    lines: [
      `# ${key.description}.`,
      `# Accepts ${key.expected}.`,
      ...(key.defaultNote === "" ? [] : [`# Default: ${key.defaultText}, or ${key.defaultNote}.`]),
      ...(key.restart ? ["# A change needs a restart."] : []),
      `#${key.path.slice(key.path.lastIndexOf(".") + 1)}: ${ConfigYaml.inline(key.defaultInput)}`
    ]
  }))
  return `${head.join("\n")}\n\n${ConfigYaml.nested(members, true)}`
}

/**
 * Gives the JSON Schema (draft 2020-12) of the configuration file. It is at most as permissive as the server: rules between
 * keys and the ranges of values with a unit are the server's to check.
 */
export const jsonSchema = (keys: ReadonlyArray<ConfigKey>): JsonSchema => ({
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Configuration of effect-rtmp",
  ...membersOf(keys, 0)
})

/** The JSON Schema of the keys that share their first `depth` steps. A group may be left empty, which YAML reads as null. */
const membersOf = (keys: ReadonlyArray<ConfigKey>, depth: number): JsonSchema => {
  const names = [...new Set(keys.map((key) => key.path.split(".")[depth]!))]
  const properties = names.map((name): readonly [string, JsonSchema] => {
    const below = keys.filter((key) => key.path.split(".")[depth] === name)
    const key = below[0]!
    return [name, key.path.split(".").length > depth + 1 ? membersOf(below, depth + 1) : schemaOf(key)]
  })
  return { type: ["object", "null"], properties: Object.fromEntries(properties), additionalProperties: false }
}

const schemaOf = (key: ConfigKey): JsonSchema => ({
  description: [
    `${key.description}.`,
    ...(key.defaultNote === "" ? [] : [`Default: ${key.defaultText}, or ${key.defaultNote}.`]),
    ...(key.restart ? ["A change needs a restart."] : []),
    `Environment: ${key.variable}.`
  ].join(" "),
  default: key.defaultInput,
  ...key.json
})

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
