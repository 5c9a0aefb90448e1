/**
 * What differs between two configurations, key by key: for the command line, and for a reload.
 */
import * as ConfigShow from "./ConfigShow.ts"
import * as ConfigYaml from "./ConfigYaml.ts"
import { keys, type RtmpConfigData, written } from "./RtmpConfig.ts"

/**
 * One key that differs.
 *
 * - `from` and `to`: the values as they would stand in a file; `***` for secrets, which then look the same.
 * - `restart`: whether the change has no effect before the server starts anew.
 */
export interface ConfigChange {
  readonly path: string
  readonly from: unknown
  readonly to: unknown
  readonly restart: boolean
}

/** Lists the keys in which `to` differs from `from`, in the order of the Schema; defaults that follow a profile too. */
export const diff = (from: RtmpConfigData, to: RtmpConfigData): ReadonlyArray<ConfigChange> => {
  const before = written(from)
  const after = written(to)
  return keys.flatMap((key) => {
    const [left, right] = [before.get(key.path), after.get(key.path)]
    if (identity(left) === identity(right)) return []
    const change: ConfigChange = {
      path: key.path,
      from: ConfigShow.redact(key, left),
      to: ConfigShow.redact(key, right),
      restart: key.restart
    }
    return change
  })
}

/** Writes a change on one line: `listen.port: 1935 -> 1936 (needs a restart)`. */
export const describe = ({ from, path, restart, to }: ConfigChange): string =>
  `${path}: ${ConfigYaml.inline(from)} -> ${ConfigYaml.inline(to)}${restart ? " (needs a restart)" : ""}`

/** The order of a list counts; the order in a mapping does not. */
const identity = (value: unknown): string =>
  JSON.stringify(
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1))
      : value
  )
