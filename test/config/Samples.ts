/** Values that keys accept, and a writer of YAML that has nothing in common with the project's own. */

import * as Duration from "effect/Duration"
import type { ConfigKey } from "../../src/config/ConfigKey.ts"
import { formatDuration } from "../../src/config/ConfigValue.ts"

/** Text that keys accept which do not take any. */
const texts: Readonly<Record<string, ReadonlyArray<string>>> = {
  "listen.host": ["::", "192.0.2.7", "localhost"],
  "http.host": ["::1", "10.0.0.1", "0"],
  "instance.name": ["007", "true", "a-b", "1e3"],
  "log.file.path": ["", "/var/log/a b: #c.log", "C:\\logs\\'x'\".log", "日本 ☃", "- x", "~"],
  "otlp.url": ["", "https://collector.example:4318/?a=b#c"],
  "shutdown.reconnectTo": ["", "rtmp://other.example/live"]
}

const records: Readonly<Record<string, ReadonlyArray<Readonly<Record<string, string | number>>>>> = {
  "latency.applications": [{}, { live: "low", "2024": "1 second" }, { true: 40, "a:b": "throughput" }],
  "log.levels": [{}, { server: "debug" }, { live: "none", tls: "trace" }],
  "otlp.headers": [{}, { Authorization: "Bearer s3cret, indeed: #yes" }]
}

/** A value that the key alone accepts, as it stands in a file; another one for nearly every `seed`. */
export const valueOf = (key: ConfigKey, seed: number): unknown => {
  const at = <A>(values: ReadonlyArray<A>): A => values[seed % values.length]!
  const range = (key.json.anyOf as ReadonlyArray<{ minimum: number; maximum: number }> | undefined)?.[1]
  const { maximum, minimum } = (range ?? key.json) as { readonly minimum: number; readonly maximum: number }
  const number = minimum + (seed % (Math.min(maximum - minimum, 1e9) + 1))
  switch (key.kind) {
    case "duration":
      return seed % 2 === 0 ? number : formatDuration(Duration.millis(number))
    case "bytes":
    case "bitrate":
    case "count":
      return number
    case "boolean":
      return seed % 2 === 0
    case "choice":
      return at(key.json.enum as ReadonlyArray<string>)
    case "list":
      return at([[], ["live"], ["null", "12", "a b"].slice(0, key.secret ? 2 : 3), ["*a", "&b", "!c"]])
    case "record":
      return at(records[key.path]!)
    case "text":
      return at(texts[key.path]!)
  }
}

/** Puts values by path into a nested structure. */
export const nest = (values: ReadonlyMap<string, unknown>): Record<string, unknown> => {
  const root: Record<string, unknown> = {}
  for (const [path, value] of values) {
    const steps = path.split(".")
    let members = root
    for (const step of steps.slice(0, -1)) {
      members[step] ??= {}
      members = members[step] as Record<string, unknown>
    }
    members[steps.at(-1)!] = value
  }
  return root
}

/** Writes a nested structure as YAML in block style, with the odd comment, and every text in quotes. */
export const blockYaml = (value: unknown, indent = ""): string => {
  if (Array.isArray(value) && value.length > 0) {
    return `\n${value.map((item) => `${indent}- ${JSON.stringify(item)} # item\n`).join("")}`
  }
  if (typeof value !== "object" || value === null || Object.keys(value).length === 0)
    return ` ${JSON.stringify(value)}\n`
  return `\n${Object.entries(value)
    .map(([name, member]) => `${indent}${JSON.stringify(name)}:${blockYaml(member, `${indent}   `)}`)
    .join("")}`
}
