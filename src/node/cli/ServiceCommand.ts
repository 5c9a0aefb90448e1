/**
 * `effect-rtmp service`: the server as a service of the operating system.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Flags from "./Flags.ts"

const target = {
  instance: Flag.String("instance").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("Name of this one among several side by side"),
    Flag.optional
  ),
  scope: Flag.Literals("scope", ["system", "user"]).pipe(
    Flag.withDescription("A service of the machine, or of your own user without special rights"),
    Flag.withDefault("system")
  )
}

const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withDescription("Print what would be done, and do nothing"),
  Flag.withDefault(false),
  Flag.withoutNegation
)

const port = (name: string, description: string) =>
  Flag.Int(name).pipe(
    Flag.withMetavar("PORT"),
    Flag.filter(
      (value) => value >= 1 && value <= 65_535,
      (value) => `Expected a port from 1 to 65535, found ${value}`
    ),
    Flag.withDescription(description)
  )

const optionalText = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const installFlags = {
  ...target,
  dryRun,
  json: Flags.json,
  account: optionalText("account", "NAME", "Account that the server runs under; otherwise that of the platform"),
  env: Flag.KeyValuePair("env").pipe(
    Flag.withDescription("Variable of its environment, which others can read; may be repeated"),
    Flag.withDefault({})
  ),
  nodeArgs: Flag.String("node-arg").pipe(
    Flag.withMetavar("ARG"),
    Flag.withDescription("Argument of Node, as --node-arg=--max-old-space-size=512; may be repeated"),
    Flag.atLeast(0)
  ),
  lowPorts: Flag.Boolean("low-ports").pipe(
    Flag.withDescription("Let it listen on ports below 1024"),
    Flag.withDefault(false),
    Flag.withoutNegation
  ),
  socketPort: port("socket-port", "RTMP port that systemd opens for the server").pipe(Flag.optional),
  wrapper: Flag.File("wrapper").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Path of WinSW 2, which a service on Windows needs"),
    Flag.optional
  )
}

const actions = Effect.promise(() => import("./ServiceActions.ts"))

const install = Command.make("install", installFlags, (flags) =>
  Effect.gen(function* () {
    const { install } = yield* actions
    yield* install(yield* Flags.configPath, flags)
  })
).pipe(
  Command.withDescription(
    "Install the server as a service and start it: with systemd, launchd or Windows. Again is fine: it brings the service to\n  what the flags say. A configuration that is there stays as it is; where there is none, one with all defaults is written."
  ),
  Command.withShortDescription("Install and start the server as a service"),
  Command.withExamples([
    { command: "effect-rtmp service install --dry-run", description: "See first what would be done" },
    { command: "sudo effect-rtmp service install", description: "A service of the machine" },
    { command: "effect-rtmp service install --scope user --instance studio", description: "One of your own, by a name" }
  ])
)

const uninstall = Command.make("uninstall", { ...target, dryRun, json: Flags.json }, (flags) =>
  Effect.gen(function* () {
    const { uninstall } = yield* actions
    yield* uninstall(flags)
  })
).pipe(
  Command.withDescription("Stop the service and remove it. Its configuration, data and logs stay."),
  Command.withShortDescription("Stop and remove the service"),
  Command.withExamples([{ command: "sudo effect-rtmp service uninstall" }])
)

const status = Command.make("status", { ...target, json: Flags.json }, (flags) =>
  Effect.gen(function* () {
    const { status } = yield* actions
    yield* status(flags)
  })
).pipe(
  Command.withDescription(
    "Ask the service manager how the service is. The exit status is 0 if it runs, and 1 otherwise."
  ),
  Command.withShortDescription("Tell how the service is"),
  Command.withExamples([{ command: "effect-rtmp service status --json" }])
)

/** The group of commands about the service of the operating system. */
export const command = Command.make("service").pipe(
  Command.withDescription("Install, remove and look at the server as a service of the operating system"),
  Command.withSubcommands([{ group: "COMMANDS", commands: [install, uninstall, status] }])
)
