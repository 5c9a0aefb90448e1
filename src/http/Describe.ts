/**
 * Turns what the services of the server give into what the admin API shows.
 */
import type * as ConfigDiff from "../config/ConfigDiff.ts"
import type { ShownKey } from "../config/ConfigShow.ts"
import type { LogEntry } from "../observability/RecentLog.ts"
import type { ServerStatistics } from "../server/RtmpServer.ts"
import type * as Info from "./AdminSchema.ts"

type Json = (typeof Info.ConfigKeyInfo.Type)["value"]

/** Describes a key that differs. */
export const configChange = (change: ConfigDiff.ConfigChange): typeof Info.ConfigChangeInfo.Type => ({
  path: change.path,
  from: toJson(change.from),
  to: toJson(change.to),
  restart: change.restart
})

/** Describes a key. */
export const configKey = (key: ShownKey): typeof Info.ConfigKeyInfo.Type => ({ ...key, value: toJson(key.value) })

/** Describes a line of the log. */
export const logEntry = ({ id, level, line, room = "" }: LogEntry): typeof Info.LogEntryInfo.Type => ({
  id,
  level,
  room,
  line
})

/** Describes what a server counts. */
export const statistics = (statistics: ServerStatistics): typeof Info.StatisticsInfo.Type => {
  const { live, ...own } = statistics
  return { ...own, ...live, streams: live.streams.length }
}

/** Values of the configuration are written ones: text, numbers, lists and mappings of them. */
const toJson = (value: unknown): Json => JSON.parse(JSON.stringify(value ?? null))
