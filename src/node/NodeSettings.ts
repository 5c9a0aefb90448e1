/**
 * What the configuration means to the parts that only a Node process has: its log and its exporters.
 */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import type { RtmpConfigData } from "../config/RtmpConfig.ts"
import type { LogOptions } from "../observability/Log.ts"
import type { LevelTable } from "../observability/LogLevels.ts"
import type { TelemetrySettings } from "../observability/Telemetry.ts"

/** The log of the process. */
export const log = (config: RtmpConfigData): LogOptions => {
  const { file, format, level, levels, output } = config.log
  const options: LogOptions = { level, levels: Object.fromEntries(levels), format, output }
  if (file.path === "") return options
  const { compress, interval, maxFiles, maxSize, path } = file
  return {
    ...options,
    file: { path, maxBytes: maxSize, interval, maxFiles, gzip: compress, format: file.format }
  }
}

/** The levels of the log, which can change while the process runs. */
export const logLevels = (config: RtmpConfigData): LevelTable => ({
  level: config.log.level,
  rooms: Object.fromEntries(config.log.levels)
})

/** What is exported to a collector; `undefined` for nothing. */
export const telemetry = (config: RtmpConfigData, version: string): TelemetrySettings | undefined => {
  const { headers, interval, logs, metrics, traces, url } = config.otlp
  if (url === "") return undefined
  return {
    url,
    headers: Object.fromEntries([...headers].map(([name, value]) => [name, Redacted.value(value)])),
    metrics,
    logs,
    traces,
    intervalMs: Duration.toMillis(interval),
    serviceVersion: version,
    attributes: { "service.instance.id": config.instance.name }
  }
}
