/**
 * The files in `config/` that services are made with, and where they stand.
 *
 * `node test/service/GeneratedFiles.ts` writes them; `GeneratedFiles.test.ts` fails when they are not what `src/node` says.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Dockerfile from "../../src/node/Dockerfile.ts"
import * as LaunchdPlist from "../../src/node/LaunchdPlist.ts"
import { defaults, type ServiceSettings } from "../../src/node/ServiceSettings.ts"
import * as SystemdUnits from "../../src/node/SystemdUnits.ts"
import * as WindowsScripts from "../../src/node/WindowsScripts.ts"
import * as WindowsService from "../../src/node/WindowsService.ts"

const root = Path.resolve(import.meta.dirname, "../..")

const launchd: ServiceSettings = {
  ...defaults,
  node: "/usr/local/bin/node",
  script: "/usr/local/lib/node_modules/effect-rtmp/dist/main.js"
}

// WinSW puts the folders of the machine in.
const windows: ServiceSettings = {
  ...defaults,
  node: "%ProgramFiles%\\nodejs\\node.exe",
  script: "%ProgramFiles%\\effect-rtmp\\node_modules\\effect-rtmp\\dist\\main.js",
  programFiles: "%ProgramFiles%",
  programData: "%ProgramData%"
}

const texts: Readonly<Record<string, string>> = {
  "config/systemd/effect-rtmp.service": SystemdUnits.service(defaults, "single"),
  "config/systemd/effect-rtmp@.service": SystemdUnits.service(defaults, "instance"),
  "config/systemd/effect-rtmp.socket": SystemdUnits.socket(1935, "single"),
  "config/systemd/effect-rtmp-tls.socket": SystemdUnits.socket(1936, "single", "rtmps"),
  "config/systemd/effect-rtmp.sysusers": SystemdUnits.sysusers,
  "config/launchd/effect-rtmp.plist": LaunchdPlist.plist(launchd),
  "config/windows/effect-rtmp.xml": WindowsService.description(windows),
  // PowerShell 5 takes a file without a mark for one in the code page of the machine; these are ASCII.
  "config/windows/install.ps1": WindowsScripts.install,
  "config/windows/uninstall.ps1": WindowsScripts.uninstall,
  "config/docker/Dockerfile": Dockerfile.dockerfile(Dockerfile.defaults),
  "config/docker/Dockerfile.dockerignore": Dockerfile.dockerignore
}

/** The files: where each one stands, what it holds (empty where it is missing), and what it should hold. */
export const generatedFiles = (): ReadonlyArray<{
  readonly path: string
  readonly actual: string
  readonly expected: string
}> =>
  Object.entries(texts).map(([path, expected]) => {
    const file = Path.join(root, path)
    return { path, actual: Fs.existsSync(file) ? Fs.readFileSync(file, "utf8") : "", expected }
  })

if (import.meta.main) {
  for (const { expected, path } of generatedFiles()) {
    Fs.mkdirSync(Path.dirname(Path.join(root, path)), { recursive: true })
    Fs.writeFileSync(Path.join(root, path), expected)
  }
}
