/**
 * The units of systemd as text: the service, its socket, and the account that it runs under.
 *
 * The same text serves the one service (`effect-rtmp.service`), an instance (`effect-rtmp@studio.service`) and the
 * template of all instances (`effect-rtmp@.service`), whose files differ by the name of the instance (`%i`).
 */

import { type ServiceSettings, stopTimeoutSeconds, systemdUser } from "./ServiceSettings.ts"
import { rtmpSocketName, rtmpsSocketName } from "./SocketActivation.ts"

const lines = (...parts: ReadonlyArray<string | false>): string =>
  `${parts.filter((part) => part !== false).join("\n")}\n`

/** Turns a text into a word of a unit: quoted where needed, with the specifiers (`%`) of systemd taken literally. */
export const quote = (text: string): string => {
  const escaped = text.replaceAll("%", "%%")
  return /^[\w@%+=:,./-]+$/.test(escaped) ? escaped : `"${escaped.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`
}

/** Turns a text into a word of a command line in a unit, where `$` names a variable too. */
export const quoteArgument = (text: string): string => quote(text).replaceAll("$", "$$$$")

/** The name of the unit without what kind it is: `effect-rtmp`, or `effect-rtmp@studio` for the instance `studio`. */
export const unitName = (settings: ServiceSettings): string =>
  settings.instance === undefined ? "effect-rtmp" : `effect-rtmp@${settings.instance}`

/** The service unit. `kind` says whether names are those of the only service or those of an instance. */
export const service = (settings: ServiceSettings, kind: "single" | "instance"): string => {
  const isSystem = settings.scope === "system"
  const name = kind === "single" ? "effect-rtmp" : "%i"
  const directory = kind === "single" ? "effect-rtmp" : "effect-rtmp/%i"
  const command = [settings.node, ...settings.nodeArgs, settings.script, ...settings.args].map(quoteArgument).join(" ")
  const config =
    settings.configPath === undefined
      ? `RTMP_CONFIG=%E/effect-rtmp/${name}.yaml`
      : quote(`RTMP_CONFIG=${settings.configPath}`)
  const hasReload = settings.systemdVersion >= 253
  return lines(
    "# effect-rtmp, an RTMP live server. Written by src/node/SystemdUnits.ts; local changes go into a drop-in:",
    `# systemctl ${isSystem ? "" : "--user "}edit ${kind === "single" ? "effect-rtmp" : "effect-rtmp@NAME"}`,
    "",
    "[Unit]",
    `Description=${kind === "single" ? "RTMP live server" : "RTMP live server %i"}`,
    isSystem && "# An address to listen on may belong to an interface that comes up late.",
    isSystem && "Wants=network-online.target",
    isSystem && "After=network-online.target",
    "StartLimitIntervalSec=60",
    "StartLimitBurst=5",
    "",
    "[Service]",
    ...(hasReload
      ? ["Type=notify-reload"]
      : [
          "Type=notify",
          "# systemctl reload; from systemd 253 on Type=notify-reload does it and waits for the end of the reload.",
          "ExecReload=/bin/kill -HUP $MAINPID"
        ]),
    hasReload && "# Node cannot open a datagram socket by path: this hands it over connected.",
    hasReload && "OpenFile=%t/systemd/notify:notify:graceful",
    `# ${hasReload ? "Without it, messages" : "Messages"} to systemd are sent by systemd-notify, a grandchild of the server.`,
    "NotifyAccess=all",
    `ExecStart=${command}`,
    "# An absolute path here keeps the server from looking for its configuration where it stands.",
    `Environment=${config}`,
    "# Secrets belong in here: the file is read by systemd, and can be root's alone.",
    `EnvironmentFile=-%E/effect-rtmp/${name}.env`,
    ...Object.entries(settings.env).map(([key, value]) => `Environment=${quote(`${key}=${value}`)}`),
    "Restart=on-failure",
    "RestartSec=2",
    "# A configuration that is not valid does not get better by itself.",
    "RestartPreventExitStatus=78",
    "TimeoutStartSec=60",
    "# More than shutdown.grace of the configuration; the server asks for more time where that is longer.",
    `TimeoutStopSec=${stopTimeoutSeconds(settings)}`,
    "# The server ends its helpers itself, after it has told systemd that it stops.",
    "KillMode=mixed",
    "# The event loop has to turn once within this time.",
    "WatchdogSec=30",
    "",
    `StateDirectory=${directory}`,
    "StateDirectoryMode=0750",
    `LogsDirectory=${directory}`,
    "LogsDirectoryMode=0750",
    "ConfigurationDirectory=effect-rtmp",
    `WorkingDirectory=%S/${directory}`,
    "UMask=0027",
    "# A connection is a descriptor; Node raises its soft limit to this.",
    "LimitNOFILE=524288",
    "",
    ...(isSystem ? systemHardening(settings) : []),
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "# MemoryDenyWriteExecute=yes would kill the server: V8 compiles JavaScript to machine code in memory.",
    "MemoryDenyWriteExecute=no",
    "# AF_UNIX for systemd, AF_NETLINK for the names of the interfaces.",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictRealtime=yes",
    "RestrictNamespaces=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "# Node raises the limit of its descriptors.",
    "SystemCallFilter=setrlimit",
    "# What is not allowed fails; it does not kill.",
    "SystemCallErrorNumber=EPERM",
    "",
    "[Install]",
    `WantedBy=${isSystem ? "multi-user.target" : "default.target"}`
  )
}

/**
 * The socket unit: systemd opens the port for RTMP and hands it over, so that connections wait instead of failing while
 * the server restarts, and a port below 1024 needs no capability. The port for RTMPS is a unit of its own beside it, as all
 * ports of one unit have the same name, and names the service that it is for.
 */
export const socket = (port: number, kind: "single" | "instance", listener: "rtmp" | "rtmps" = "rtmp"): string =>
  lines(
    "# The port of effect-rtmp, opened by systemd. Written by src/node/SystemdUnits.ts.",
    listener === "rtmps" && "# Beside effect-rtmp.socket; the server speaks TLS on it where tls.enabled is true.",
    "",
    "[Unit]",
    `Description=${listener === "rtmp" ? "Port" : "TLS port"} of the RTMP live server${kind === "single" ? "" : " %i"}`,
    "",
    "[Socket]",
    `ListenStream=${port}`,
    `FileDescriptorName=${listener === "rtmp" ? rtmpSocketName : rtmpsSocketName}`,
    listener === "rtmps" && `Service=effect-rtmp${kind === "single" ? "" : "@%i"}.service`,
    "Backlog=1024",
    "NoDelay=yes",
    "KeepAlive=yes",
    "",
    "[Install]",
    "WantedBy=sockets.target"
  )

/** The account of the service, for systemd-sysusers. */
export const sysusers: string = lines(
  "# The account of effect-rtmp, for systemd-sysusers. Written by src/node/SystemdUnits.ts.",
  `u ${systemdUser} - "RTMP live server"`
)

const systemHardening = (settings: ServiceSettings): ReadonlyArray<string> => {
  const isUnderHome = [settings.node, settings.script, settings.configPath ?? ""].some((path) =>
    /^\/(?:home|root|run\/user)\//.test(path)
  )
  return [
    `User=${settings.user ?? systemdUser}`,
    ...(settings.lowPorts
      ? [
          "# For ports below 1024, and nothing else.",
          "AmbientCapabilities=CAP_NET_BIND_SERVICE",
          "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"
        ]
      : ["CapabilityBoundingSet=", "PrivateUsers=yes"]),
    "ProtectSystem=strict",
    ...(isUnderHome
      ? ["# Not `yes`: a file that the server is started with stands there.", "ProtectHome=read-only"]
      : ["ProtectHome=yes"]),
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "# Not ProcSubset=pid: the memory that is free is read from /proc/meminfo.",
    "ProtectProc=invisible",
    "RemoveIPC=yes"
  ]
}
