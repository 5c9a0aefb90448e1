/**
 * The Windows service: the description that WinSW reads, where its files belong, and scripts for it.
 *
 * A Windows service is a program that talks to the service control manager, which Node does not. So a wrapper runs it, and
 * the wrapper is WinSW 2 (MIT license): one program that reads an XML file beside it, stops Node with Ctrl+C (the server
 * takes it as SIGINT, and ends in order), and kills only after `stoptimeout`. `sc.exe` alone cannot run Node, NSSM has had
 * no release since 2017 and none for ARM64, and a scheduled task is killed without a word when it is stopped.
 *
 * The operator downloads WinSW; this package neither holds nor fetches programs. For x64 it is `WinSW-x64.exe`, which needs
 * nothing else. For ARM64 it is `WinSW.NET461.exe`, which is for any processor and runs natively on the .NET Framework
 * 4.8.1 of Windows 11. Node itself comes for both.
 *
 * **Gotchas**
 *
 * - The wrapper stands among the programs, where only administrators write, because administrators run it; the account of
 *   the service (`LocalService`) may write to its data only.
 * - Windows starts the service again after any error, also for a configuration that is not valid; with growing delays.
 * - Windows has no SIGHUP to reload on: the server watches its file, and reloads through its API.
 */
import { configFileName, type ServiceSettings, serviceName, stopTimeoutSeconds } from "./ServiceSettings.ts"
import { escape } from "./Xml.ts"

/** The identifier of the service: its name. */
export const id = serviceName

/** The file of WinSW's release that is for a processor. */
export const wrapperFor = (architecture: string): "WinSW-x64.exe" | "WinSW.NET461.exe" =>
  architecture === "x64" ? "WinSW-x64.exe" : "WinSW.NET461.exe"

/** Where the wrapper, its description, the configuration and the data are kept. */
export const paths = (settings: ServiceSettings) => {
  const programs = `${settings.programFiles}\\effect-rtmp\\service`
  const data = `${settings.programData}\\effect-rtmp`
  return {
    programs,
    wrapper: `${programs}\\${id(settings)}.exe`,
    description: `${programs}\\${id(settings)}.xml`,
    data,
    config: settings.configPath ?? `${data}\\${configFileName(settings)}`,
    state: `${data}\\${settings.instance ?? "effect-rtmp"}`,
    logs: `${data}\\${settings.instance ?? "effect-rtmp"}\\logs`
  }
}

/** The description for WinSW 2. */
export const description = (settings: ServiceSettings): string => {
  const { config, logs, state } = paths(settings)
  const command = [...settings.nodeArgs, settings.script, ...settings.args]
  const env = { RTMP_CONFIG: config, ...settings.env }
  const title = settings.instance === undefined ? "RTMP live server" : `RTMP live server ${settings.instance}`
  return `${[
    '<?xml version="1.0" encoding="UTF-8"?>',
    "<!-- effect-rtmp, an RTMP live server, for WinSW 2. Written by src/node/WindowsService.ts. -->",
    "<service>",
    element("id", id(settings)),
    element("name", title),
    element("description", `${title} (effect-rtmp)`),
    element("executable", settings.node),
    ...command.map((argument) => element("argument", argument)),
    element("workingdirectory", state),
    ...Object.entries(env).map(([name, value]) => `  <env name="${escape(name)}" value="${escape(value)}"/>`),
    "  <startmode>Automatic</startmode>",
    "  <delayedAutoStart>true</delayedAutoStart>",
    "  <!-- An account with hardly any rights and no password. -->",
    "  <serviceaccount>",
    ...(settings.user === undefined
      ? ["    <domain>NT AUTHORITY</domain>", "    <user>LocalService</user>"]
      : [`    <user>${escape(settings.user)}</user>`, "    <allowservicelogon>true</allowservicelogon>"]),
    "  </serviceaccount>",
    "  <!-- Ctrl+C, then time for more than shutdown.grace of the configuration. -->",
    `  <stoptimeout>${stopTimeoutSeconds(settings)} sec</stoptimeout>`,
    '  <onfailure action="restart" delay="2 sec"/>',
    '  <onfailure action="restart" delay="10 sec"/>',
    '  <onfailure action="restart" delay="60 sec"/>',
    "  <resetfailure>1 hour</resetfailure>",
    element("logpath", logs),
    '  <log mode="roll-by-size">',
    "    <sizeThreshold>10240</sizeThreshold>",
    "    <keepFiles>8</keepFiles>",
    "  </log>",
    "</service>"
  ].join("\n")}\n`
}

const element = (name: string, text: string): string => `  <${name}>${escape(text)}</${name}>`
