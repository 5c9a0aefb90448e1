/**
 * What has to be said to Node before anything else is imported: keep what was compiled, and keep the heap small.
 *
 * **Compile cache.** A server that starts from its sources strips and compiles some hundreds of modules: half of its
 * start goes to that, and the first viewers after a restart, who come all at once, pay for the functions that nobody has
 * called yet. The cache holds all of it, and is written before the port opens, and when the process ends. It lies where
 * `NODE_COMPILE_CACHE` says, otherwise in a folder of the user's own below the system's temporary one, and is keyed by
 * Node's version and by what the sources say. `NODE_DISABLE_COMPILE_CACHE=1` switches it off. `npm start` switches it on before this module, too, so
 * that not even that needs what strips types, which is 14 MB.
 *
 * **Young generation.** V8 lets it grow to three times 16 MiB, which pays where many objects are made and live for a
 * while. Here few are made, and what is large is a buffer outside of the heap, which goes back to the system when the
 * young generation is collected. With the first size kept, a thousand viewers take 124 MB instead of 212, and no more
 * processor time.
 *
 * **Old generation.** V8 counts those buffers when it decides that it is time to mark everything, and the heap is small:
 * a publisher of 50 Mbit/s has it marked once or twice a second, which is most of what taking it in costs. When it may
 * double in between, that halves; it costs some megabytes, and only where so much is published.
 *
 * **Compilers.** A start has some 900 functions compiled by Maglev on threads of its own, which free what they worked with on
 * yet other threads; the C library keeps that for the threads that had it, 22 MB in all, for as long as the process lives. Freed
 * on the main thread it is used again.
 */
import * as Fs from "node:fs"
import * as Module from "node:module"
import * as Path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import * as V8 from "node:v8"

/** Prepares the process for what is imported from now on. Where something cannot be set, nothing is different. */
export const prepare = (): void => {
  const stale = staleness(new URL("../..", import.meta.url), import.meta.url)
  if (stale !== undefined) process.stderr.write(`effect-rtmp: ${stale}\n`)
  V8.setFlagsFromString("--semi-space-growth-factor=1")
  V8.setFlagsFromString("--heap-growing-percent=100")
  V8.setFlagsFromString("--no-maglev-destroy-on-background")
  Module.enableCompileCache()
}

/** Writes what was compiled until now, for the next start: a process that is killed has no end to write it at. */
export const keepCompiled = (): void => Module.flushCompileCache()

/**
 * Tells that what was compiled is older than its sources; undefined where it is not, or where there is no knowing. Inside a
 * checkout `npx effect-rtmp` runs `dist/`, which nobody may have built since. `root` is the folder of the package, `running`
 * the address of a module that runs. A package that was installed has not what the sources are compiled with, and is not
 * looked at.
 */
export const staleness = (root: URL, running: string): string | undefined => {
  if (!running.endsWith(".js")) return undefined
  const folder = fileURLToPath(root)
  try {
    if (!Fs.existsSync(Path.join(folder, "src/tsconfig.json"))) return undefined
    const builtMs = Fs.statSync(Path.join(folder, "dist/main.js")).mtimeMs
    const newer = Fs.readdirSync(Path.join(folder, "src"), { recursive: true, encoding: "utf8" }).find(
      (path) => path.endsWith(".ts") && Fs.statSync(Path.join(folder, "src", path)).mtimeMs > builtMs
    )
    if (newer === undefined) return undefined
    return `dist/ is older than src/${newer}: build it with \`npm run build\`, or start the sources with \`npm start\``
  } catch {
    return undefined
  }
}
