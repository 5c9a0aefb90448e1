/**
 * The files of the project: everything below its root that version control does not ignore.
 *
 * The tree is walked rather than asked of git, so that the rules also hold where there is only a copy of the files.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import type { TextFile } from "./Rules.ts"

/** The root of the project. */
export const root: string = Path.resolve(import.meta.dirname, "../..")

/** Turns the lines of a `.gitignore` into a test of paths. Knows names, anchored paths and `*`; throws at the rest. */
export const ignorer = (gitignore: string): ((path: string, isDirectory: boolean) => boolean) => {
  const rules = gitignore
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      if (/[!?[\]\\]|\*\*/.test(line)) throw new Error(`.gitignore: "${line}" is more than this project needs`)
      const directoryOnly = line.endsWith("/")
      const body = line.replace(/^\/|\/$/g, "")
      const anchored = line.replace(/\/$/, "").includes("/")
      const pattern = body
        .split("*")
        .map((part) => part.replace(/[.+^${}()|]/g, "\\$&"))
        .join("[^/]*")
      return { directoryOnly, regExp: new RegExp(anchored ? `^${pattern}$` : `^(?:.*/)?${pattern}$`) }
    })
  return (path, isDirectory) => rules.some((rule) => (isDirectory || !rule.directoryOnly) && rule.regExp.test(path))
}

const ignores = ignorer(Fs.readFileSync(Path.join(root, ".gitignore"), "utf8"))

/** The names in the root of the project that are not ignored. */
export const entries = (): ReadonlyArray<string> =>
  Fs.readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.name !== ".git" && !ignores(entry.name, entry.isDirectory()))
    .map((entry) => entry.name)

/** The paths of all files that are not ignored, relative to the root, in order. */
export const paths = (): ReadonlyArray<string> => {
  const found: Array<string> = []
  const walk = (directory: string): void => {
    for (const entry of Fs.readdirSync(Path.join(root, directory), { withFileTypes: true })) {
      const path = directory === "" ? entry.name : `${directory}/${entry.name}`
      if (path === ".git" || ignores(path, entry.isDirectory())) continue
      if (entry.isDirectory()) walk(path)
      else if (entry.isFile()) found.push(path)
    }
  }
  walk("")
  return found.sort()
}

/** Reads files, leaving out those that are not text. */
export const texts = (paths: ReadonlyArray<string>): ReadonlyArray<TextFile> =>
  paths.flatMap((path) => {
    const bytes = Fs.readFileSync(Path.join(root, path))
    return bytes.includes(0) ? [] : [{ path, text: bytes.toString("utf8") }]
  })
