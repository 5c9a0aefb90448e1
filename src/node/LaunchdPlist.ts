/**
 * The job of launchd (macOS) as a property list, and where it belongs.
 *
 * **Gotchas**
 *
 * - launchd starts a job again after any exit status but 0. It cannot make an exception for a configuration that is not
 *   valid, so such a server is tried once in `throttleSeconds` until it is put right.
 * - launchd has no readiness, no watchdog and no rotation of what a job prints: for files that rotate, configure them in
 *   the server.
 * - The server reloads with `launchctl kill SIGHUP system/effect-rtmp`.
 */
import { configFileName, type ServiceSettings, serviceName, stopTimeoutSeconds } from "./ServiceSettings.ts"
import { escape } from "./Xml.ts"

/** The least time between two starts, in seconds. */
export const throttleSeconds = 10

/** The account of a service of the machine where none is named. */
export const launchdUser = "nobody"

/** The label of the job: the name of the service. */
export const label = serviceName

/** Where the job, its configuration and what it prints are kept. */
export const paths = (settings: ServiceSettings) => {
  const library = settings.scope === "system" ? "/Library" : `${settings.home}/Library`
  const jobs = settings.scope === "system" ? "LaunchDaemons" : "LaunchAgents"
  const support = `${library}/Application Support/effect-rtmp`
  return {
    plist: `${library}/${jobs}/${label(settings)}.plist`,
    support,
    config: settings.configPath ?? `${support}/${configFileName(settings)}`,
    state: `${support}/${settings.instance ?? "effect-rtmp"}`,
    logs: `${library}/Logs/effect-rtmp`,
    log: `${library}/Logs/effect-rtmp/${label(settings)}.log`
  }
}

/** The property list of the job. */
export const plist = (settings: ServiceSettings): string => {
  const { config, log, state } = paths(settings)
  const command = [settings.node, ...settings.nodeArgs, settings.script, ...settings.args]
  const env = { RTMP_CONFIG: config, ...settings.env }
  return `${[
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">',
    "<!-- effect-rtmp, an RTMP live server. Written by src/node/LaunchdPlist.ts. -->",
    '<plist version="1.0">',
    "<dict>",
    ...entry("Label", string(label(settings))),
    ...entry("ProgramArguments", array(command)),
    ...entry("EnvironmentVariables", dictionary(env)),
    ...entry("WorkingDirectory", string(state)),
    ...(settings.scope === "system" ? entry("UserName", string(settings.user ?? launchdUser)) : []),
    ...entry("RunAtLoad", ["<true/>"]),
    "  <!-- Start it again when it ended with an error, not when it was told to stop. -->",
    ...entry("KeepAlive", ["<dict>", "  <key>SuccessfulExit</key>", "  <false/>", "</dict>"]),
    ...entry("ThrottleInterval", integer(throttleSeconds)),
    "  <!-- More than shutdown.grace of the configuration; then launchd kills. -->",
    ...entry("ExitTimeOut", integer(stopTimeoutSeconds(settings))),
    "  <!-- Without this macOS slows down the timers of a job in the background. -->",
    ...entry("ProcessType", string("Interactive")),
    "  <!-- A connection is a descriptor; the default is 256. -->",
    ...entry("SoftResourceLimits", ["<dict>", "  <key>NumberOfFiles</key>", "  <integer>65536</integer>", "</dict>"]),
    ...entry("HardResourceLimits", ["<dict>", "  <key>NumberOfFiles</key>", "  <integer>65536</integer>", "</dict>"]),
    ...entry("Umask", integer(0o027)),
    ...entry("StandardOutPath", string(log)),
    ...entry("StandardErrorPath", string(log)),
    "</dict>",
    "</plist>"
  ].join("\n")}\n`
}

const entry = (key: string, value: ReadonlyArray<string>): ReadonlyArray<string> =>
  [`<key>${escape(key)}</key>`, ...value].map((line) => `  ${line}`)

const string = (text: string): ReadonlyArray<string> => [`<string>${escape(text)}</string>`]

const integer = (value: number): ReadonlyArray<string> => [`<integer>${value}</integer>`]

const array = (texts: ReadonlyArray<string>): ReadonlyArray<string> => [
  "<array>",
  ...texts.flatMap(string).map((line) => `  ${line}`),
  "</array>"
]

const dictionary = (record: Readonly<Record<string, string>>): ReadonlyArray<string> => [
  "<dict>",
  ...Object.entries(record).flatMap(([key, value]) => [
    `  <key>${escape(key)}</key>`,
    ...string(value).map((it) => `  ${it}`)
  ]),
  "</dict>"
]
