/**
 * The arguments of plain serving, read by hand: a server that starts must not load a whole command line for it.
 *
 * Nothing, or `serve`, and a few flags: that is what services and containers start. Everything else, mistakes included, is
 * left to `Cli`, which knows these flags too and has help and suggestions for them. Nothing is imported here but the
 * process.
 */
import process from "node:process"

/**
 * What is asked of a server on the command line.
 *
 * - `config`: the configuration file; `undefined` for `RTMP_CONFIG`, or the file in the usual place.
 * - `settings`: keys with their values as text, in the order in which they were written; they win over the file and the
 *   environment. `flag` is where a value was written, for people: `--profile`, or `--set listen.port`.
 */
export interface ServeArguments {
  readonly config: string | undefined
  readonly settings: ReadonlyArray<Setting>
}

/** One key of the configuration that was set on the command line. */
export interface Setting {
  readonly path: string
  readonly value: string
  readonly flag: string
}

/** Flags that stand for a key of their own. */
export const shortcuts: ReadonlyMap<string, string> = new Map([
  ["profile", "profile"],
  ["log-level", "log.level"]
])

/** The arguments of this process, without Node and the script. */
export const argv = (): ReadonlyArray<string> => process.argv.slice(2)

/**
 * Reads the arguments of plain serving: an optional `serve`, and then `--config`, `--profile`, `--log-level` and `--set`
 * with their values, as `--config FILE` or `--config=FILE`. Gives `undefined` for all that is anything else.
 */
export const parse = (args: ReadonlyArray<string>): ServeArguments | undefined => {
  const settings: Array<Setting> = []
  let config: string | undefined
  for (let index = args[0] === "serve" ? 1 : 0; index < args.length; index++) {
    const match = /^--([a-z-]+)(?:=(.*))?$/s.exec(args[index]!)
    if (match === null) return undefined
    const name = match[1]!
    const value = match[2] ?? args[++index]
    // What looks like a flag is a forgotten value.
    if (value === undefined || value === "" || (match[2] === undefined && value.startsWith("-"))) return undefined
    const path = shortcuts.get(name)
    if (name === "config") {
      if (config !== undefined) return undefined
      config = value
    } else if (name === "set") {
      const setting = assignment(value)
      if (setting === undefined) return undefined
      settings.push(setting)
    } else if (path !== undefined) settings.push({ path, value, flag: `--${name}` })
    else return undefined
  }
  return { config, settings }
}

/** Reads the value of `--set`: a key, an equals sign and a value, which may be empty. */
export const assignment = (text: string): Setting | undefined => {
  const equals = text.indexOf("=")
  if (equals < 1) return undefined
  const path = text.slice(0, equals).trim()
  return { path, value: text.slice(equals + 1), flag: `--set ${path}` }
}
