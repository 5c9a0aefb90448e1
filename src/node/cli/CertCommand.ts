/**
 * `effect-rtmp cert`: the certificates that RTMPS is served with.
 */

import * as Path from "node:path"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import type { CertificateReportInfo } from "../../http/CertificateApi.ts"
import * as Log from "../../observability/Log.ts"
import { fail } from "./CommandError.ts"
import * as Flags from "./Flags.ts"
import * as Output from "./Output.ts"
import * as Remote from "./Remote.ts"
import * as Table from "./Table.ts"
import * as Words from "./Words.ts"

type Report = typeof CertificateReportInfo.Type
type Certificate = Report["certificates"][number]

/** Draws the certificates, and how ACME is doing. `now` is in milliseconds since 1970. */
export const view = (report: Report, now: number, style: Table.Style): ReadonlyArray<string> => {
  if (!report.enabled) return ["the server serves no RTMPS: tls.enabled is false"]
  const { acme, certificates } = report
  const problems = certificates.flatMap(({ names, problem }) =>
    problem === "" ? [] : [`${Table.safe(names[0] ?? "")} is the last good one: ${Table.safe(problem)}`]
  )
  const attempt =
    acme.state === "Ordering"
      ? "a certificate is being obtained now"
      : acme.nextAttemptAt > now
        ? `next attempt in ${Words.span(acme.nextAttemptAt - now)} (${Words.moment(acme.nextAttemptAt)})`
        : "next attempt now"
  return [
    ...(certificates.length === 0 ? ["there is no certificate yet"] : Table.table(columns(now), certificates, style)),
    ...(problems.length === 0 ? [] : ["", ...problems]),
    ...(acme.state === "Off" ? [] : ["", `ACME at ${Table.safe(acme.directoryUrl)}: ${attempt}`]),
    ...(acme.lastError === "" ? [] : [`the last attempt failed: ${Table.safe(acme.lastError)}`])
  ]
}

const columns = (now: number): ReadonlyArray<Table.Column<Certificate>> => [
  { title: "NAMES", cell: ({ names }) => names.join(", "), give: true },
  { title: "FROM", cell: ({ source }) => sources[source] },
  { title: "ENDS", cell: ({ notAfter }) => Words.moment(notAfter) },
  {
    title: "LEFT",
    cell: ({ notAfter }) => (notAfter <= now ? "ended" : Words.span(notAfter - now)),
    align: "right"
  },
  { title: "ISSUER", cell: ({ issuer }) => issuer, give: true },
  { title: "FILE", cell: ({ path }) => path, give: true }
]

const sources: Readonly<Record<Certificate["source"], string>> = {
  file: "file",
  acme: "ACME",
  selfSigned: "self-signed"
}

const show = (json: boolean, report: Report) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => Output.either(json, report, (style) => view(report, now, style)))

const listed = ({ json, ...target }: Command.Command.Config.Infer<typeof Flags.reading>) =>
  Effect.gen(function* () {
    const report = yield* Remote.call(yield* Flags.configPath, target, (client) => client.certificates.list())
    yield* show(json, report)
  })

const list = Command.make("list", Flags.reading, listed).pipe(
  Command.withDescription(
    "List the certificates in use: the names that they are for, where they come from and when they end; and how ACME is doing."
  ),
  Command.withShortDescription("List the certificates and when they end"),
  Command.withExamples([{ command: "effect-rtmp cert list --json" }])
)

const reload = Command.make("reload", Flags.reading, ({ json, ...target }) =>
  Effect.gen(function* () {
    const report = yield* Remote.call(yield* Flags.configPath, target, (client) =>
      client.certificates.reload({ payload: {} })
    )
    yield* show(json, report)
  })
).pipe(
  Command.withDescription(
    "Let the server read its certificate files again. It also does so by itself when they change. What cannot be used is not\n  taken, and the last good certificate stays. No connection notices."
  ),
  Command.withShortDescription("Read the certificate files again"),
  Command.withExamples([{ command: "effect-rtmp cert reload", description: "For a hook that has replaced the files" }])
)

const renew = Command.make("renew", Flags.reading, ({ json, ...target }) =>
  Effect.gen(function* () {
    const report = yield* Remote.call(
      yield* Flags.configPath,
      target,
      (client) => client.certificates.renew({ payload: {} }),
      renewTimeout
    )
    yield* show(json, report)
  })
).pipe(
  Command.withDescription(
    "Let the server obtain a new certificate from its ACME directory now, and wait for it. The server renews by itself in\n  time; directories limit how often one may ask. Where it fails, the last good certificate stays."
  ),
  Command.withShortDescription("Obtain a new certificate by ACME now"),
  Command.withExamples([{ command: "effect-rtmp cert renew" }])
)

const selfSigned = Command.make(
  "self-signed",
  {
    name: Flag.String("name").pipe(
      Flag.withMetavar("NAME"),
      Flag.filter(
        (name) => /^[A-Za-z0-9*:._-]{1,253}$/.test(name),
        (name) => `Expected a host name or an address, found "${Log.escapeForLog(name)}"`
      ),
      Flag.withDescription("Host name or address that it is for; may be repeated. Otherwise the names of this machine"),
      Flag.atLeast(0)
    ),
    out: Flag.Directory("out").pipe(
      Flag.withMetavar("DIR"),
      Flag.withDescription("Directory for certificate.pem and key.pem; otherwise this one"),
      Flag.withDefault(".")
    ),
    force: Flag.Boolean("force").pipe(
      Flag.withDescription("Replace files that are there already"),
      Flag.withDefault(false),
      Flag.withoutNegation
    )
  },
  ({ force, name, out }) =>
    Effect.gen(function* () {
      const [SelfSigned, CertificateFile] = yield* Effect.promise(() =>
        Promise.all([import("../SelfSigned.ts"), import("../CertificateFile.ts")])
      )
      const files = [Path.join(out, "certificate.pem"), Path.join(out, "key.pem")] as const
      if (!force) {
        for (const path of files) {
          const found = yield* Effect.result(CertificateFile.readText(path))
          if (found._tag === "Failure" && found.failure.reason === "FileMissing") continue
          const place = Log.escapeForLog(Flags.shortened(path), 1024)
          return yield* fail(
            "failed",
            `${place} is there already: \`--force\` replaces it, \`--out\` names another place`
          )
        }
      }
      const names = name.length === 0 ? SelfSigned.localNames() : name
      const made = yield* SelfSigned.make(names, yield* Clock.currentTimeMillis)
      const write = (path: string, text: string, mode: number) =>
        Effect.mapError(CertificateFile.write(path, text, mode), ({ message }) => fail("failed", message))
      yield* write(files[1], made.key, 0o600)
      yield* write(files[0], made.chain, 0o644)
      const [certFile, keyFile] = files.map((path) => Log.escapeForLog(Flags.shortened(path), 1024))
      yield* Console.log(
        `made ${certFile} and ${keyFile} for ${names.map(Table.safe).join(", ")}, good for ${SelfSigned.validDays} days`
      )
      yield* Console.log(`set tls.certFile and tls.keyFile to them, and let clients trust ${certFile}`)
    })
).pipe(
  Command.withDescription(
    "Make a certificate for development, signed by itself, with its key. It needs no server. No client trusts it before it is\n  told to. `tls.selfSigned: true` makes one without any file to look after."
  ),
  Command.withShortDescription("Make a certificate for development"),
  Command.withExamples([
    { command: "effect-rtmp cert self-signed --name studio.local --name 192.0.2.7 --out certificates" }
  ])
)

// Longer than an order may take at most.
const renewTimeout = "6 minutes"

/** The group of commands about certificates. Without one of them it lists the certificates. */
export const command = Command.make("cert", Flags.reading, listed).pipe(
  Command.withDescription("Look at the certificates of RTMPS, and renew them. Without a command, list them."),
  Command.withShortDescription("List, reload, renew and make certificates"),
  Command.withSubcommands([{ group: "COMMANDS", commands: [list, reload, renew, selfSigned] }]),
  Command.withExamples([{ command: "effect-rtmp cert" }, { command: "effect-rtmp cert renew" }])
)
