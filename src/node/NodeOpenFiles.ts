/**
 * How many files and sockets a Node process has open, and how many more it may open.
 */
import * as fs from "node:fs"
import process from "node:process"
import * as Layer from "effect/Layer"
import { FileStatus } from "../server/Admission.ts"

/**
 * How many are open; undefined where the system does not tell, as Windows does not. Linux says it in one call since 6.2,
 * and lists them before, as macOS and the BSDs do.
 */
export const count = (): number | undefined => {
  if (process.platform === "win32") return undefined
  const directory = process.platform === "linux" ? "/proc/self/fd" : "/dev/fd"
  try {
    const { size } = fs.statSync(directory)
    if (process.platform === "linux" && size > 0) return size
    // Less the one that the listing itself opens.
    return fs.readdirSync(directory).length - 1
  } catch {
    return undefined
  }
}

/** How many may be open: the soft limit, which Node raises to the hard one at its start; undefined where nobody tells. */
export const max = (): number | undefined => {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(fs.readFileSync("/proc/self/limits", "utf8"))?.[1]
    return soft === undefined ? undefined : Number(soft)
  } catch {
    return undefined
  }
}

/** How many more may be opened; without bound where nobody tells. */
export const layer: Layer.Layer<never> = Layer.sync(FileStatus, () => {
  const most = max()
  return {
    freeFiles: () => {
      const open = most === undefined ? undefined : count()
      return most === undefined || open === undefined ? Number.POSITIVE_INFINITY : most - open
    }
  }
})
