/**
 * The rules of the house, as functions from files to violations. Each one is a plain line: where, and what is wrong.
 */
import { builtinModules } from "node:module"
import type { Source } from "./Sources.ts"

/** A file as text, given by its path relative to the root of the project. */
export interface TextFile {
  readonly path: string
  readonly text: string
}

/** The rooms of `src/`, in the order in which they may import each other: a room sees those before it. */
export const rooms = [
  "protocol",
  "media",
  "live",
  "access",
  "observability",
  "config",
  "server",
  "client",
  "http",
  "node",
  "testing"
] as const

/** The files beside the rooms; they may import everything, and no room imports them. */
export const roof = ["App.ts", "main.ts", "index.ts"] as const

/** The room of a file in `src/`; `roof` for the files beside the rooms, `undefined` for a place that does not exist. */
export const roomOf = (path: string): string | undefined => {
  const [top, room, ...rest] = path.split("/")
  if (top !== "src" || room === undefined) return undefined
  if (rest.length === 0) return (roof as ReadonlyArray<string>).includes(room) ? "roof" : undefined
  return (rooms as ReadonlyArray<string>).includes(room) ? room : undefined
}

/** Every source stands in a room, and imports only from its own room and those before it. */
export const importOrder = (sources: ReadonlyArray<Source>): ReadonlyArray<string> =>
  sources.flatMap((source) => {
    const room = roomOf(source.path)
    if (room === undefined) return [`${source.path}: stands in no room of the house`]
    return source.imports.flatMap(({ specifier, line }) => {
      const target = resolve(source.path, specifier)
      if (target === undefined) return []
      if (!target.endsWith(".ts")) return [`${source.path}:${line}: "${specifier}" does not end in .ts`]
      const targetRoom = roomOf(target)
      if (targetRoom === undefined) return [`${source.path}:${line}: "${specifier}" leads out of the house`]
      return rankOf(targetRoom) <= rankOf(room)
        ? []
        : [`${source.path}:${line}: ${room} must not import ${targetRoom} (${specifier})`]
    })
  })

/** No file imports itself over other files, types included. Each ring is reported once. */
export const importCycles = (sources: ReadonlyArray<Source>): ReadonlyArray<string> => {
  const edges = new Map(
    sources.map((source) => [
      source.path,
      source.imports.flatMap(({ specifier }) => resolve(source.path, specifier) ?? [])
    ])
  )
  const done = new Set<string>()
  const rings = new Set<string>()
  const walk = (path: string, trail: ReadonlyArray<string>): void => {
    const start = trail.indexOf(path)
    if (start !== -1) {
      const ring = trail.slice(start)
      const least = ring.indexOf([...ring].sort()[0]!)
      const turned = [...ring.slice(least), ...ring.slice(0, least)]
      rings.add([...turned, turned[0]].join(" -> "))
      return
    }
    if (done.has(path)) return
    for (const next of edges.get(path) ?? []) walk(next, [...trail, path])
    done.add(path)
  }
  for (const path of edges.keys()) walk(path, [])
  return [...rings].map((ring) => `import cycle: ${ring}`)
}

/** Node's modules and globals, and Effect's packages for Node, stay in `src/node/`; the roof may start what is there. */
export const nodeOnlyInNode = (sources: ReadonlyArray<Source>): ReadonlyArray<string> =>
  sources.flatMap((source) => {
    const room = roomOf(source.path)
    if (room === "node") return []
    const builtins = source.imports.filter(({ specifier }) => isBuiltin(specifier))
    const platform = room === "roof" ? [] : source.imports.filter(({ specifier }) => isPlatform(specifier))
    return [
      ...[...builtins, ...platform].map(({ specifier, line }) => `${source.path}:${line}: imports "${specifier}"`),
      ...source.globals.map(({ name, line }) => `${source.path}:${line}: uses ${name}`)
    ].map((violation) => `${violation} outside of src/node`)
  })

/** Effect's packages are imported module by module, because a barrel costs memory and time at every start. */
export const noBarrels = (sources: ReadonlyArray<Source>): ReadonlyArray<string> =>
  sources.flatMap((source) =>
    source.imports
      .filter(({ specifier }) => /^(?:effect|@effect\/[^/]+)(?:\/index)?$/.test(specifier))
      .map(({ specifier, line }) => `${source.path}:${line}: imports the barrel "${specifier}", not a module of it`)
  )

/**
 * Nothing of `node:http` is imported but types: as Node reads all that it exports when it is imported by name, that costs
 * megabytes. `src/node/BuiltinHttp.ts` has it.
 */
export const noHttpByName = (sources: ReadonlyArray<Source>): ReadonlyArray<string> =>
  sources.flatMap(({ imports, path, text }) => {
    const lines = text.split("\n")
    return imports
      .filter(({ line, specifier }) => /^(?:node:)?http$/.test(specifier) && !/^import type\b/.test(lines[line - 1]!))
      .map(({ specifier, line }) => `${path}:${line}: imports "${specifier}", which loads an HTTP client, and more`)
  })

/** Every module has a header, and every export a docstring whose first sentence begins with a capital or a code word. */
export const documented = (sources: ReadonlyArray<Source>): ReadonlyArray<string> =>
  sources.flatMap((source) => [
    ...(source.hasHeader ? [] : [`${source.path}: does not begin with a comment for the module`]),
    ...source.exports.flatMap(({ doc, line, name }) => {
      if (doc === "") return [`${source.path}:${line}: ${name} has no docstring`]
      return /^[\p{Lu}\p{N}`"]/u.test(doc) ? [] : [`${source.path}:${line}: the docstring of ${name} is not a sentence`]
    }),
    ...source.defaultExportLines.map((line) => `${source.path}:${line}: default export`)
  ])

/** A file can be read in one sitting. The exceptions carry their reason; one that is not needed any more is a violation. */
export const fileSizes = (
  files: ReadonlyArray<TextFile>,
  exceptions: Readonly<Record<string, string>>,
  maxBytes: number = 24 * 1024
): ReadonlyArray<string> => [
  ...files.flatMap(({ path, text }) => {
    const bytes = new TextEncoder().encode(text).length
    return bytes <= maxBytes || Object.hasOwn(exceptions, path)
      ? []
      : [`${path}: ${bytes} bytes are more than ${maxBytes}; split it, or list it with a reason`]
  }),
  ...Object.entries(exceptions).flatMap(([path, reason]) => {
    const file = files.find((it) => it.path === path)
    const isNeeded = file !== undefined && new TextEncoder().encode(file.text).length > maxBytes
    if (!isNeeded) return [`${path}: is listed as too large and is not`]
    return reason.trim() === "" ? [`${path}: is listed as too large without a reason`] : []
  })
]

const topLevel: ReadonlySet<string> = new Set([
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  "README.md",
  "LICENSE",
  "src",
  "test",
  "config"
])

/** The root of the project holds what it must, and nothing that happened to be put there. */
export const topLevelEntries = (names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.filter((name) => !name.startsWith(".") && !topLevel.has(name)).map((name) => `${name}: does not belong here`)

// The words are put together here, so that this file does not find itself.
const forbidden: ReadonlyArray<readonly [RegExp, string]> = [
  [/(?<![\w.~-])\/(?:home|root|Users|work)\/[\w.-]/, "a path of some machine"],
  [/[A-Z]:\\\\?Users\\/, "a path of some machine"],
  [new RegExp(`\\.\\./${"shared"}\\b`), "a place outside of the project"],
  [new RegExp(`\\b${"protocol"}\\.md\\b`), "a file outside of the project"],
  [new RegExp(`${"registry"}\\.(?:npmjs|yarnpkg|npmmirror)\\.`), "the address of a registry"],
  [new RegExp(`"${"resolved"}":\\s*"https?:`), "the address of a registry"],
  [new RegExp(`(?<![\\w.])${"registry"}\\s*=\\s*\\S*//`), "the address of a registry"]
]

/** No tracked file names a path of the machine it was written on, a file beside the project, or a registry. */
export const foreignNames = (files: ReadonlyArray<TextFile>): ReadonlyArray<string> =>
  files.flatMap(({ path, text }) =>
    forbidden.flatMap(([pattern, what]) => {
      const match = pattern.exec(text)
      if (match === null) return []
      const line = text.slice(0, match.index).split("\n").length
      return [`${path}:${line}: names ${what} (${match[0].trim()})`]
    })
  )

/** Dependencies are pinned: the version of each is one exact version. */
export const exactVersions = (packageJson: string): ReadonlyArray<string> => {
  const manifest = JSON.parse(packageJson) as Readonly<Record<string, Readonly<Record<string, string>> | undefined>>
  return ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "overrides"].flatMap((kind) =>
    Object.entries(manifest[kind] ?? {})
      .filter(([, version]) => !/^\d+\.\d+\.\d+(?:-[\w.-]+)?$/.test(version))
      .map(([name, version]) => `package.json: ${kind} ${name} is "${version}", not an exact version`)
  )
}

const rankOf = (room: string): number =>
  room === "roof" ? rooms.length : (rooms as ReadonlyArray<string>).indexOf(room)

/** The path that a relative import leads to; `undefined` for the name of a package. */
const resolve = (from: string, specifier: string): string | undefined => {
  if (!specifier.startsWith(".")) return undefined
  const steps = from.split("/").slice(0, -1)
  for (const step of specifier.split("/")) {
    if (step === "..") steps.pop()
    else if (step !== ".") steps.push(step)
  }
  return steps.join("/")
}

const isBuiltin = (specifier: string): boolean =>
  specifier.startsWith("node:") || builtinModules.includes(specifier.split("/")[0]!)

const isPlatform = (specifier: string): boolean => /^@effect\/platform-node(?:-shared)?(?:\/|$)/.test(specifier)
