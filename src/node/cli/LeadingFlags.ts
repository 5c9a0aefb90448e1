/**
 * The flags that set keys, where people write them: also before the name of the command that takes them.
 */
import { type CommandError, fail } from "./CommandError.ts"
import { shortcuts } from "./ServeArguments.ts"

/** The commands that take these flags. */
const takers: ReadonlySet<string> = new Set(["serve", "config check", "config show"])

/**
 * Moves `--set`, `--profile` and `--log-level` that stand before a command behind it, as in `effect-rtmp --set listen.port=1936
 * serve`. Gives an error that says where they belong, for a command that has no use for them.
 */
export const settle = (args: ReadonlyArray<string>): ReadonlyArray<string> | CommandError => {
  const words: Array<string> = []
  const settings: Array<string> = []
  const others: Array<string> = []
  let index = 0
  while (index < args.length && words.length < (words[0] === "config" ? 2 : 1)) {
    const text = args[index++]!
    const match = /^--([a-z-]+)(=.*)?$/s.exec(text)
    if (match === null) {
      if (text.startsWith("-")) return args
      words.push(text)
      continue
    }
    const isSetting = match[1] === "set" || shortcuts.has(match[1]!)
    // What any other flag takes is its own business.
    if (!isSetting && match[1] !== "config") return args
    const into = isSetting ? settings : others
    into.push(text)
    if (match[2] === undefined && index < args.length) into.push(args[index++]!)
  }
  if (settings.length === 0 || words.length === 0) return args
  const command = words.join(" ")
  if (takers.has(command)) return [...others, ...words, ...settings, ...args.slice(index)]
  // A word that is no command has a better error of its own.
  if (command === "config") return args
  const flag = settings[0]!.split("=", 1)[0]
  return fail(
    "usage",
    `${flag} is for a server that is started, not for "${command}": it goes with serve, config check and config show`
  )
}
