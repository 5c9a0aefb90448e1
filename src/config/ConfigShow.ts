/**
 * The effective configuration, to be looked at: every key with its value and where the value comes from.
 *
 * Pure functions of a loaded configuration, for the command line, the API and the log at start. Secrets are never in them:
 * one that is set is shown as three asterisks.
 */
import * as Log from "../observability/Log.ts"
import type { ConfigKey } from "./ConfigKey.ts"
import type { LoadedConfig } from "./ConfigSource.ts"
import * as ConfigYaml from "./ConfigYaml.ts"
import { keys, type RtmpConfigData, written } from "./RtmpConfig.ts"

/** What stands for a secret that is set. */
export const redacted = "***"

/**
 * One key as it is shown.
 *
 * - `value`: as it would stand in a file; `***` for a secret that is set.
 * - `origin`: where the value was written: `file.yaml:3:9`, a variable, `default`, or `default of profile mobile`.
 * - `isDefault`: whether no source has set it.
 */
export interface ShownKey {
  readonly path: string
  readonly value: unknown
  readonly origin: string
  readonly isDefault: boolean
}

/** Lists every key, in the order of the Schema. */
export const show = (loaded: LoadedConfig<RtmpConfigData>): ReadonlyArray<ShownKey> => {
  const values = written(loaded.config)
  return keys.map((key) => {
    const origin = loaded.origins.get(key.path)
    const usual = key.dependsOn === "" ? "default" : `default of ${key.dependsOn} ${values.get(key.dependsOn)}`
    return {
      path: key.path,
      value: redact(key, values.get(key.path)),
      origin: origin ?? usual,
      isDefault: origin === undefined
    }
  })
}

/** Writes the configuration as a file that reads back the same, except for secrets; comments name the origins. */
export const toYaml = (shown: ReadonlyArray<ShownKey>): string =>
  ConfigYaml.nested(
    shown.map(({ origin, path, value }) => ({
      path,
      lines: [
        `${path.slice(path.lastIndexOf(".") + 1)}: ${ConfigYaml.inline(value)} # ${Log.escapeForLog(origin, 1024)}`
      ]
    })),
    false
  )

/** Gives the configuration as JSON data, nested like a file; origins are left out. */
export const toJson = (shown: ReadonlyArray<ShownKey>): { readonly [name: string]: unknown } => {
  const root: Record<string, unknown> = {}
  for (const { path, value } of shown) {
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

/** Writes what somebody has set on one line each, for the log at start: `listen.port = 1936 (RTMP_LISTEN_PORT)`. */
export const settings = (shown: ReadonlyArray<ShownKey>): ReadonlyArray<string> =>
  shown
    .filter((key) => !key.isDefault)
    .map(({ origin, path, value }) => `${path} = ${ConfigYaml.inline(value)} (${Log.escapeForLog(origin, 1024)})`)

/** Hides the value of a secret, unless there is nothing to hide. */
export const redact = (key: Pick<ConfigKey, "secret">, value: unknown): unknown => {
  const isEmpty = value === "" || (typeof value === "object" && value !== null && Object.keys(value).length === 0)
  return key.secret && !isEmpty ? redacted : value
}
