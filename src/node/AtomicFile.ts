/**
 * Files that hold either what they held before or all of what is written, whatever happens meanwhile.
 */
import { randomBytes } from "node:crypto"
import * as FsPromises from "node:fs/promises"
import * as Path from "node:path"
import process from "node:process"

/**
 * Writes a file beside its place, flushes it to the disk and moves it there; the directory is made if there is none, for its
 * owner only. `mode` is that of the file, such as `0o600`. Rejects with the error of the system; nothing has changed then.
 */
export const write = async (path: string, content: string | Uint8Array, mode: number): Promise<void> => {
  const directory = Path.dirname(path)
  await FsPromises.mkdir(directory, { recursive: true, mode: 0o700 })
  const beside = Path.resolve(directory, `.${randomBytes(8).toString("hex")}.tmp`)
  inProgress.add(beside)
  try {
    const file = await FsPromises.open(beside, "wx", mode)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await FsPromises.rename(beside, path)
  } catch (error) {
    await FsPromises.rm(beside, { force: true })
    throw error
  } finally {
    inProgress.delete(beside)
  }
  await flushDirectory(directory)
}

/** Removes a file for good, where there is one. Rejects with the error of the system. */
export const remove = async (path: string): Promise<void> => {
  await FsPromises.rm(path, { force: true })
  await flushDirectory(Path.dirname(path))
}

/** Tells whether a file is one that `write` had not finished when a process or the machine broke down. */
export const isUnfinished = (path: string): boolean =>
  /^\.[0-9a-f]{16}\.tmp$/.test(Path.basename(path)) && !inProgress.has(Path.resolve(path))

/** What this process is writing now, which is not unfinished for good. */
const inProgress = new Set<string>()

/** Makes a change of names durable. Windows has no such thing, and does it by itself. */
const flushDirectory = async (directory: string): Promise<void> => {
  if (process.platform === "win32") return
  const handle = await FsPromises.open(directory, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
